//! How long a handover takes without faults, beside a plain script that does the same by `ssh`.
//!
//! Why it exists: what hawiz adds (records, proofs, gates) must not be paid for by those who wait for the service. Measured is
//! what they feel: from the command to the first row that is acknowledged on the target. Invariant: hawiz and the script take
//! turns, so that whatever else this machine does befalls both; nothing is asserted about time.

use crate::fault::Fault;
use crate::observer::{NODES, Observer};
use crate::rig::{Lab, PATIENCE, ended, script};
use crate::station::{Station, Way, stations};
use crate::trial::{Handover, answers, commands};
use crate::writer::Writer;
use std::fmt::Write as _;
use std::process::Child;
use std::time::{Duration, Instant};

/// Who does it.
const WAYS: [&str; 3] = ["hawiz", "script, `ssh`", "script, `ssh` over one connection"];

struct Pace<'l> {
    lab: &'l Lab,
    station: Station<'l>,
    observer: Observer,
    writer: Writer,
}

/// What one handover took: to the first row, and to the command's own end.
type Took = (Duration, Duration);

pub const HEAD: &str =
    "| handover | by | command to service on the target, s | to the command's own end, s |\n|---|---|---|---|";

/// So many handovers by each way; a row of medians for each.
pub fn measure(lab: &Lab, how: Handover, times: usize) -> String {
    let [station, _] = stations(lab, Way::Ssh, "service.toml");
    for node in NODES {
        let words = format!("[gates]\n\"fence/cut-the-power\" = \"{node}\"\n");
        std::fs::write(answers(lab, node), words).expect("the run is ours");
    }
    station.say(&["activate", "--on", NODES[0], "--yes"]).ends(0);
    let pace = Pace { lab, station, observer: Observer::new(lab), writer: Writer::new(lab) };
    let mut took: [Vec<Took>; 3] = Default::default();
    for n in 0..times * WAYS.len() {
        let way = n % WAYS.len();
        took[way].push(pace.once(how, way));
    }
    pace.observer.verdict().is_clean();
    let name = if how == Handover::Planned { "planned" } else { "unplanned, after a power cut" };
    let mut rows = String::new();
    for (way, took) in WAYS.iter().zip(&took) {
        let [served, over] = [|t: &Took| t.0, |t: &Took| t.1].map(|part| spread(took.iter().map(part).collect()));
        let _ = writeln!(rows, "| {name}, {times} times | {way} | {served} | {over} |");
    }
    rows
}

/// Median, and from the least to the most.
fn spread(mut all: Vec<Duration>) -> String {
    all.sort();
    let secs = |d: &Duration| format!("{:.2}", d.as_secs_f64());
    let (first, last) = (secs(&all[0]), secs(&all[all.len() - 1]));
    format!("{} ({first}–{last})", secs(&all[all.len() / 2]))
}

impl Pace<'_> {
    fn once(&self, how: Handover, way: usize) -> Took {
        self.writer.next(PATIENCE);
        let from = self.observer.active().0[0];
        let to = NODES[usize::from(from == NODES[0])];
        if how == Handover::Unplanned {
            Fault::PowerCut.strike(self.lab, from);
        }
        let begun = Instant::now();
        let code = ended(self.start(how, way, from, to), PATIENCE);
        let over = begun.elapsed();
        assert_eq!(code, Some(0), "{}: {}", WAYS[way], self.station.said());
        self.writer.next(PATIENCE);
        let served = self.writer.back(begun).expect("it was away");
        assert_eq!(self.observer.active(), (vec![to], vec![to]));
        self.writer.nothing_is_lost(self.lab, to);
        if how == Handover::Unplanned {
            Fault::PowerCut.mend(self.lab, from);
            if way == 0 {
                self.station.say(&["settle", "--yes"]);
            }
        }
        (served, over)
    }
    fn start(&self, how: Handover, way: usize, from: &str, to: &str) -> Child {
        if way == 0 {
            let line = commands(self.lab, how, from, to).remove(0);
            let words: Vec<&str> = line.iter().map(String::as_str).collect();
            return self.station.start(&words);
        }
        let word = if how == Handover::Planned { "planned" } else { "unplanned" };
        let mut plain = self.lab.place("station1", script("plain"));
        plain.arg(&self.lab.run).args(["station1", from, to, word]);
        if way == 2 {
            let socket = self.lab.run.join("station1/%h").display().to_string();
            plain.args(["-oControlMaster=auto", "-oControlPersist=10", &format!("-oControlPath={socket}")]);
        }
        plain.spawn().expect("`sh` runs tests/lab/plain")
    }
}
