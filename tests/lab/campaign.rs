//! Handovers with a fault in each: where the fault strikes, when, and when it is mended is drawn by lot.
//!
//! Why it exists: the faults that matter are those nobody thought of putting in a scenario. Whatever happens, three things
//! must hold at the end of each: never two at once (the observer), no acknowledged row lost (the writer), and what hawiz says
//! is so. How it got there (alone, by a resume, by a roll-back, or with a person's help) is counted.
//!
//! A [`Trial`] is one handover; [`commands`] says how one is done. Another kind of handover (one command, or an unplanned
//! one) is another arm there, and what may be its outcome.

use crate::fault::Fault;
use crate::observer::{NODES, Observer};
use crate::rig::{Lab, PATIENCE};
use crate::station::{Station, Way, ended, stations};
use crate::support::{self, Dice};
use crate::writer::Writer;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// No command of a trial takes longer, whatever befalls the hosts; a deadline of a step included.
const LONGEST: Duration = Duration::from_secs(150);

/// How a handover is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// `deactivate` here, `activate` there.
    TwoCommands,
    /// The source has lost its power before anything is begun; a person says so, and the target is activated.
    Attested,
    /// `failover`, planned.
    Failover,
    /// The source is struck before anything is begun; its power is cut by its controller, then the target takes over.
    Unplanned,
}

impl Handover {
    /// Its fault comes first.
    fn answers_a_fault(self) -> bool {
        matches!(self, Handover::Attested | Handover::Unplanned)
    }
}

fn commands(lab: &Lab, how: Handover, from: &str, to: &str) -> Vec<Vec<String>> {
    let line = |words: &[&str]| words.iter().map(|w| w.to_string()).collect::<Vec<_>>();
    match how {
        Handover::TwoCommands => {
            vec![line(&["deactivate", "--on", from, "--yes"]), line(&["activate", "--on", to, "--yes"])]
        }
        Handover::Attested => vec![line(&["activate", "--on", to, "--yes", "--attest", from])],
        Handover::Failover => vec![line(&["failover", "--from", from, "--to", to, "--yes"])],
        Handover::Unplanned => {
            let answers = answers(lab, from).display().to_string();
            vec![line(&["failover", "--from", from, "--to", to, "--unplanned", "--yes", "--answers", &answers])]
        }
    }
}

/// The word that a person types before this host's power is cut.
fn answers(lab: &Lab, from: &str) -> PathBuf {
    lab.run.join(format!("answers-{from}.toml"))
}

/// Which host a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    Source,
    Target,
}

/// One handover and what befalls it; all of it is drawn before it begins.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    pub how: Handover,
    pub fault: Option<(Fault, Victim)>,
    /// hawiz itself is killed after this long.
    pub killed: Option<Duration>,
    /// From the first command to the fault.
    pub after: Duration,
    /// From the fault to its remedy; `None`: when the commands have ended.
    pub mended: Option<Duration>,
}

/// Each fault once, none of them by lot: where it hurts, and mended when that has been felt.
pub fn each_once() -> Vec<Trial> {
    use {Fault::*, Victim::*};
    let ms = Duration::from_millis;
    let calm = Trial { how: Handover::TwoCommands, fault: None, killed: None, after: ms(0), mended: None };
    let hit = |fault, victim, after, mended: Option<u64>| Trial {
        fault: Some((fault, victim)),
        after: ms(after),
        mended: mended.map(ms),
        ..calm
    };
    vec![
        hit(PowerCut, Target, 900, None),
        hit(CablePulled, Source, 150, Some(4_000)),
        hit(SshdHung, Source, 150, Some(3_000)),
        hit(DiskFull, Target, 300, None),
        // The source is back while its peer is being activated.
        hit(PowerCut, Source, 700, Some(0)),
        Trial { killed: Some(ms(900)), ..calm },
        Trial { how: Handover::Attested, ..hit(PowerCut, Source, 0, None) },
        Trial { how: Handover::Failover, ..calm },
        Trial { how: Handover::Unplanned, ..hit(CablePulled, Source, 0, None) },
        Trial { how: Handover::Failover, ..hit(PowerCut, Target, 900, None) },
        Trial { how: Handover::Unplanned, ..hit(SshdHung, Source, 0, None) },
    ]
}

/// So many, by lot.
pub fn drawn(runs: usize, dice: &mut Dice) -> Vec<Trial> {
    let mut draw = || {
        let fault = Fault::ALL.get(dice.below(Fault::ALL.len() as u64 + 1) as usize).copied();
        let victim = if dice.below(2) == 0 { Victim::Source } else { Victim::Target };
        let killed = (dice.below(4) == 0 || fault.is_none()).then(|| Duration::from_millis(dice.below(3_000)));
        let after = Duration::from_millis(dice.below(3_000));
        let mended = (dice.below(2) == 0).then(|| Duration::from_millis(dice.below(2_000)));
        let plain = Trial { how: Handover::Failover, fault: fault.map(|f| (f, victim)), killed, after, mended };
        match dice.below(10) {
            // A word about a host that is alive would be a lie, so it is given after a power cut only.
            0 => Trial { how: Handover::Attested, fault: Some((Fault::PowerCut, Victim::Source)), ..plain },
            1..=3 => {
                let fault = fault.unwrap_or(Fault::PowerCut);
                // What is cut off is not plugged in again in the middle: whoever cuts the power expects it to stay off.
                Trial { how: Handover::Unplanned, fault: Some((fault, Victim::Source)), mended: None, ..plain }
            }
            4..=5 => Trial { how: Handover::TwoCommands, ..plain },
            _ => plain,
        }
    };
    (0..runs).map(|_| draw()).collect()
}

/// How a trial came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The commands alone.
    Alone,
    /// hawiz itself, asked to resume or to roll back, or to do it again.
    Again,
    /// The same, after a person had said that a lock's run is over.
    Unlocked,
    /// hawiz said that it cannot know; a person looked, and decided.
    Unknown,
    /// hawiz would not, and a person had to.
    Person,
}

/// The figures.
#[derive(Default)]
pub struct Report {
    ends: BTreeMap<(String, End), usize>,
    gaps: Vec<Duration>,
    rows: usize,
    violations: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let runs: usize = self.ends.values().sum();
        let mut gaps = self.gaps.clone();
        gaps.sort();
        let median = gaps.get(gaps.len() / 2).copied().unwrap_or_default();
        let longest = gaps.last().copied().unwrap_or_default();
        writeln!(
            f,
            "{runs} handovers, {} violations, {} rows acknowledged and none lost; without service: median {median:.1?}, longest {longest:.1?}",
            self.violations, self.rows
        )?;
        for ((fault, end), n) in &self.ends {
            writeln!(f, "  {fault:<34} {:<8} {n}", format!("{end:?}").to_lowercase())?;
        }
        Ok(())
    }
}

struct Campaign<'l> {
    lab: &'l Lab,
    stations: [Station<'l>; 2],
    observer: Observer,
    writer: Writer,
    active: &'static str,
}

/// Runs the trials one after the other on this lab, each from where the one before it ended.
/// What happened when is kept in the target folder as `failover-NAME`.
pub fn run(lab: &Lab, name: &str, trials: &[Trial]) -> Report {
    let stations = stations(lab, Way::Ssh, "service.toml");
    for from in NODES {
        let words = format!("[gates]\n\"fence/cut-the-power\" = \"{from}\"\n");
        std::fs::write(answers(lab, from), words).expect("the run is ours");
    }
    let mut campaign =
        Campaign { lab, stations, observer: Observer::new(lab), writer: Writer::new(lab), active: NODES[0] };
    campaign.a_person_settles(NODES[0]);
    let mut report = Report::default();
    for (n, trial) in trials.iter().enumerate() {
        let (end, gap) = campaign.trial(n, trial);
        let fault = trial.fault.map(|(f, v)| format!("{f:?} {v:?}")).unwrap_or_default();
        let how = match trial.how {
            Handover::TwoCommands => "two commands",
            Handover::Attested => "attested",
            Handover::Failover => "planned",
            Handover::Unplanned => "unplanned",
        };
        let fault = format!("{how} {fault}");
        let killed = if trial.killed.is_some() { " hawiz killed" } else { "" };
        let what = format!("{}{killed}", fault.trim());
        if support::campaign() {
            eprintln!("{n:>4} {what:<34} {:<8} {gap:.1?}", format!("{end:?}").to_lowercase());
        }
        *report.ends.entry((what, end)).or_default() += 1;
        report.gaps.push(gap);
    }
    let verdict = campaign.observer.verdict();
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("failover-{name}"));
    std::fs::write(&kept, &verdict.timeline).expect("the target folder is writable");
    verdict.is_clean();
    report.violations = verdict.violations;
    report.rows = campaign.writer.acknowledged();
    report
}

impl Campaign<'_> {
    fn trial(&mut self, n: usize, trial: &Trial) -> (End, Duration) {
        let (from, to) = (self.active, NODES[usize::from(self.active == NODES[0])]);
        // From the one station and the other in turn.
        let station = &self.stations[n % 2];
        self.writer.next(PATIENCE);
        self.observer.note(format!("trial {n}: {from} to {to}, {trial:?}"));
        let begun = Instant::now();
        let strike = || {
            let (fault, victim) = trial.fault?;
            let node = if victim == Victim::Source { from } else { to };
            self.observer.note(format!("{fault:?} of {node}"));
            fault.strike(self.lab, node);
            Some((fault, node))
        };
        let mut struck = if trial.how.answers_a_fault() { strike() } else { None };
        let codes = std::thread::scope(|scope| {
            let hawiz = scope.spawn(|| {
                let mut codes = Vec::new();
                for command in commands(self.lab, trial.how, from, to) {
                    let words: Vec<&str> = command.iter().map(String::as_str).collect();
                    let child = station.start(&words);
                    let left = trial.killed.and_then(|k| k.checked_sub(begun.elapsed()));
                    let code = match left {
                        // Killed for good: a child that outlives its time is killed by `ended`.
                        Some(left) => ended(child, left),
                        None => ended(child, LONGEST),
                    };
                    codes.push(code);
                    if code != Some(0) {
                        break;
                    }
                }
                codes
            });
            if struck.is_none() && trial.fault.is_some() {
                std::thread::sleep(trial.after);
                struck = strike();
            }
            if let Some((fault, node)) = struck {
                match trial.mended {
                    Some(soon) => std::thread::sleep(soon),
                    None => {
                        while !hawiz.is_finished() {
                            std::thread::sleep(Duration::from_millis(10));
                        }
                    }
                }
                fault.mend(self.lab, node);
                if trial.how == Handover::Unplanned {
                    // Its controller has cut its power.
                    Fault::PowerCut.mend(self.lab, node);
                }
                self.observer.note(format!("{fault:?} of {node} is mended"));
            }
            hawiz.join().expect("it ends")
        });
        self.observer.note(format!("ended {codes:?}"));
        let is_whole = |to: &str| self.observer.active() == (vec![to], vec![to]);
        // A database whose host had its power cut is started by nobody; what hawiz said was so when it said it.
        let mut end = End::Alone;
        let mut settled = codes.len() == commands(self.lab, trial.how, from, to).len()
            && codes.iter().all(|c| *c == Some(0))
            && self.soon(|| is_whole(to));
        if !settled {
            (end, settled) = self.again(station, to);
        }
        if !settled {
            end = if end == End::Unknown { end } else { End::Person };
            self.a_person_settles(to);
        }
        self.active = to;
        self.writer.next(PATIENCE);
        let gap = self.writer.gap(begun);
        self.writer.nothing_is_lost(self.lab, to);
        let verdict = self.observer.verdict();
        assert_eq!(verdict.violations, 0, "trial {n}, {trial:?}: two at once:\n{}", verdict.timeline);
        (end, gap)
    }
    /// hawiz is asked to end what it began, then to hand over once more.
    fn again(&self, station: &Station, to: &'static str) -> (End, bool) {
        let from = NODES[usize::from(to == NODES[0])];
        let mut said = station.say(&["resume", "--yes"]);
        if said.code == Some(6) {
            said = station.say(&["rollback", "--yes"]);
        }
        self.observer.note(format!("resumed or rolled back: {:?} {}", said.code, said.last()));
        if said.code == Some(7) {
            return (End::Unknown, false);
        }
        let mut end = End::Again;
        for line in [["deactivate", "--on", from, "--yes"], ["activate", "--on", to, "--yes"]] {
            let mut said = station.say(&line);
            if said.code == Some(5) {
                // A lock that nobody could give back: only a person may say that its run is over.
                end = End::Unlocked;
                for node in NODES {
                    let unlocked = station.say(&["unlock", node, "--reason", "its run has ended"]);
                    self.observer.note(format!("unlock {node}: {:?} {}", unlocked.code, unlocked.last()));
                }
                said = station.say(&line);
            }
            self.observer.note(format!("{line:?}: {:?} {}", said.code, said.last()));
            if said.code != Some(0) {
                return (end, false);
            }
        }
        (end, self.soon(|| self.observer.active() == (vec![to], vec![to])))
    }
    /// As a person would who gave up on what was begun: both hosts down for good, records gone, then one active.
    fn a_person_settles(&self, to: &str) {
        self.observer.note("a person settles it");
        for node in NODES {
            self.lab.on(node, "ip addr del 10.5.106.7/8 dev eth0 2>/dev/null; systemctl stop postgresql@15-main");
            self.lab.on(node, "systemctl reset-failed; rm -rf /var/lib/hawiz/*");
        }
        self.stations.iter().for_each(Station::forget);
        self.stations[0].say(&["activate", "--on", to, "--yes"]).ends(0);
        assert!(self.soon(|| self.observer.active() == (vec![to], vec![to])), "{:?}", self.observer.active());
    }
    /// The observer looks forty times a second.
    fn soon(&self, so: impl Fn() -> bool) -> bool {
        let until = Instant::now() + Duration::from_secs(3);
        while !so() {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }
}
