//! Handovers with a fault in each, one after the other on one pair of hosts.
//!
//! Why it exists: whatever befalls a handover, three things must hold at its end: never two at once (the observer), no
//! acknowledged row lost (the writer), and what hawiz says is so. How it got there (alone, by a resume, by another station,
//! or with a person's help) is counted. Invariant: whoever helps does only what hawiz's own words lead a person to, until
//! nothing is left but to give up on what was begun; that is counted as a person's work.

use crate::fault::Fault;
use crate::figures::{End, Ended, Report};
use crate::observer::{NODES, Observer};
use crate::rig::{Lab, PATIENCE, Said, ended, text, whole};
use crate::station::{Station, Way, controller, stations};
use crate::support;
use crate::trial::{Controller, Handover, Rival, Trial, Victim, answers, commands};
use crate::writer::Writer;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// No command of a trial takes longer, whatever befalls the hosts; a deadline of a step included.
const LONGEST: Duration = Duration::from_secs(150);

struct Campaign<'l> {
    lab: &'l Lab,
    stations: [Station<'l>; 2],
    observer: Observer,
    writer: Writer,
    active: &'static str,
    /// Where the records of those trials are kept that want explaining.
    kept: PathBuf,
}

/// Runs the trials one after the other on this lab, each from where the one before it ended.
/// What happened when is kept in the target folder as `failover-NAME`.
pub fn run(lab: &Lab, name: &str, trials: &[Trial]) -> Report {
    let stations = stations(lab, Way::Ssh, "service.toml");
    for from in NODES {
        let words = format!("[gates]\n\"fence/cut-the-power\" = \"{from}\"\n");
        std::fs::write(answers(lab, from), words).expect("the run is ours");
    }
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("failover-{name}"));
    let _ = std::fs::remove_dir_all(&kept);
    std::fs::create_dir_all(&kept).expect("the target folder is writable");
    let (observer, writer) = (Observer::new(lab), Writer::new(lab));
    let mut campaign = Campaign { lab, stations, observer, writer, active: NODES[0], kept };
    campaign.a_person_settles(NODES[0]);
    let mut report = Report::default();
    for (n, trial) in trials.iter().enumerate() {
        let ended = campaign.trial(n, trial);
        if support::campaign() {
            let back = ended.back.map_or("served".into(), |b| format!("{b:.1?}"));
            let killed = if ended.killed { ", hawiz killed" } else { "" };
            let what = format!("{}{killed} ({:?})", ended.kind, trial.how);
            let end = format!("{:?}", ended.end).to_lowercase();
            eprintln!("{name} {n:>3} {what:<64} {end:<8} {back:<8} {}", ended.remark.as_deref().unwrap_or_default());
        }
        report.trials.push(ended);
        let timeline = campaign.observer.verdict().timeline;
        std::fs::write(campaign.kept.join("timeline"), timeline).expect("the target folder is writable");
    }
    let verdict = campaign.observer.verdict();
    verdict.is_clean();
    (report.violations, report.rate, report.pause) = (verdict.violations, verdict.rate, verdict.pause);
    report.rows = campaign.writer.acknowledged();
    report
}

/// Who is who in a trial.
struct Cast<'c, 'l> {
    trial: &'c Trial,
    /// From the one station and the other in turn.
    mine: &'c Station<'l>,
    other: &'c Station<'l>,
    from: &'static str,
    to: &'static str,
}

/// What the commands came to.
struct Codes {
    mine: Vec<Option<i32>>,
    rival: Option<i32>,
    /// When the first thing went wrong.
    fault: Instant,
}

impl Campaign<'_> {
    fn trial(&mut self, n: usize, trial: &Trial) -> Ended {
        let (from, to) = (self.active, NODES[usize::from(self.active == NODES[0])]);
        let (mine, other) = (&self.stations[n % 2], &self.stations[1 - n % 2]);
        let cast = Cast { trial, mine, other, from, to };
        self.writer.next(PATIENCE);
        self.observer.note(format!("trial {n}: {from} to {to}, {trial:?}"));
        let codes = self.play(&cast);
        self.observer.note(format!("ended {:?} {:?}: {}", codes.mine, codes.rival, last(&mine.said())));
        let mut remarks = Vec::new();
        if trial.controller == Some(Controller::Lies) {
            assert!(!codes.mine.contains(&Some(0)), "trial {n}: a lie was believed: {}", mine.said());
            if matches!(codes.mine[..], [Some(6)]) && !mine.said().contains("sign of life") {
                remarks.push(format!("the lie was not what stopped it: {}", last(&mine.said())));
            }
        }
        let whole = commands(self.lab, trial.how, from, to).len();
        let mut done = codes.mine.len() == whole && codes.mine.iter().all(|c| *c == Some(0));
        let mut active = to;
        if trial.rival.is_some() && (done || codes.rival == Some(0)) {
            // Either of them may have had the last word.
            done = self.soon(|| NODES.iter().any(|n| self.is_whole(n)));
            active = NODES.into_iter().find(|n| self.is_whole(n)).unwrap_or(to);
            done &= !(active == from && trial.rival.is_some_and(|(r, _)| r == Rival::GiveUp));
        }
        // A database whose host had its power cut is started by nobody; what hawiz said was so when it said it.
        let mut end = End::Alone;
        let mut settled = done && self.soon(|| self.is_whole(active));
        if !settled {
            active = to;
            (end, settled) = self.again(n, &cast, &codes, &mut remarks);
        }
        if settled && (end != End::Alone || trial.how == Handover::Unplanned) {
            self.debts_are_paid(mine, &mut remarks);
        }
        if !settled {
            self.power_is_on();
            remarks.push(format!("ended {:?}", codes.mine));
            self.keep(n);
            end = if end == End::Unknown { end } else { End::Person };
            self.a_person_settles(active);
        }
        self.active = active;
        if let Err(why) = self.writer.within(PATIENCE) {
            remarks.push(format!("{active} was active, but nobody was served: {why}; {}", self.wire(active)));
            self.keep(n);
            end = End::Person;
            self.a_person_settles(active);
            self.writer.next(PATIENCE);
        }
        let back = self.writer.back(codes.fault);
        self.writer.nothing_is_lost(self.lab, active);
        let verdict = self.observer.verdict();
        assert_eq!(verdict.violations, 0, "trial {n}, {trial:?}: two at once:\n{}", verdict.timeline);
        let killed = codes.mine.last() == Some(&None);
        let mut kind = trial.kind();
        if kind.starts_with("hawiz killed") && !killed {
            kind = "hawiz to be killed, but it had ended".into();
        }
        let remark = (!remarks.is_empty()).then(|| remarks.join("; "));
        Ended { kind, killed, end, back, remark }
    }

    /// The commands, and all that befalls them.
    fn play(&self, cast: &Cast) -> Codes {
        let Cast { trial, mine, other, from, to, .. } = *cast;
        let fault_at = Mutex::new(None);
        let befell = || {
            fault_at.lock().expect("nobody fails with it").get_or_insert_with(Instant::now);
        };
        let strike = || {
            let (fault, victim) = trial.fault?;
            let node = if victim == Victim::Source { from } else { to };
            self.observer.note(format!("{fault:?} of {node}"));
            befell();
            fault.strike(self.lab, node);
            Some((fault, node))
        };
        if let Some(wrong) = trial.controller {
            controller(self.lab, from, Some(wrong.mode()));
        }
        let mut struck = if trial.first { strike() } else { None };
        if trial.controller.is_some() || trial.rival.is_some() {
            befell();
        }
        let begun = Instant::now();
        let (codes, rival) = std::thread::scope(|scope| {
            let hawiz = scope.spawn(|| {
                let mut codes = Vec::new();
                for command in commands(self.lab, trial.how, from, to) {
                    let child = mine.start(&words(&command));
                    let left = trial.killed.and_then(|k| k.checked_sub(begun.elapsed()));
                    // Killed for good: a child that outlives its time is killed by `ended`.
                    let code = ended(child, left.unwrap_or(LONGEST));
                    if code.is_none() {
                        befell();
                    }
                    codes.push(code);
                    if code != Some(0) {
                        break;
                    }
                }
                codes
            });
            let rival = trial.rival.map(|(rival, at)| {
                scope.spawn(move || {
                    std::thread::sleep(at);
                    let line: &[&str] = match rival {
                        Rival::Same => &["failover", "--from", from, "--to", to, "--yes"],
                        Rival::Back => &["failover", "--from", to, "--to", from, "--yes"],
                        Rival::GiveUp => &["deactivate", "--on", from, "--yes"],
                    };
                    ended(other.start(line), LONGEST)
                })
            });
            let back = trial.back.map(|at| {
                scope.spawn(move || {
                    std::thread::sleep(at);
                    self.observer.note(format!("somebody switches {from} on"));
                    mine.fence(from, "on");
                })
            });
            if struck.is_none() && trial.fault.is_some() {
                std::thread::sleep(trial.after);
                struck = strike();
            }
            match trial.mended {
                Some(soon) => std::thread::sleep(soon),
                None => {
                    while !hawiz.is_finished() {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                }
            }
            if let Some(back) = back {
                back.join().expect("it ends");
            }
            if let Some((fault, node)) = struck {
                fault.mend(self.lab, node);
                self.observer.note(format!("{fault:?} of {node} is mended"));
            }
            let rival = rival.and_then(|r| r.join().expect("it ends"));
            (hawiz.join().expect("it ends"), rival)
        });
        controller(self.lab, from, None);
        self.power_is_on();
        let fault = fault_at.into_inner().expect("nobody fails with it").unwrap_or(begun);
        Codes { mine: codes, rival, fault }
    }

    /// hawiz is asked to end what it began, then to hand over once more.
    fn again(&self, n: usize, cast: &Cast, codes: &Codes, remarks: &mut Vec<String>) -> (End, bool) {
        let Cast { trial, mine, other, from, to, .. } = *cast;
        let killed = codes.mine.last() == Some(&None);
        let mut end = End::Again;
        let mut station = mine;
        let mut said = None;
        if killed && trial.heir {
            (end, station) = (End::Unlocked, other);
            said = self.taken_over(cast);
            if let Some(Said { code: Some(0), .. }) = &said {
                // The first station is back, and finds that it is its run no longer.
                let late = mine.say(&["resume", "--yes"]);
                self.observer.note(format!("the first station resumes: {:?} {}", late.code, late.last()));
                if !matches!(late.code, Some(2 | 4 | 5)) {
                    remarks.push(format!("the first station's resume ended {:?}: {}", late.code, late.last()));
                    self.keep(n);
                }
            }
        }
        let mut said = said.unwrap_or_else(|| self.asked(station, &self.go_on(&["resume", "--yes"], cast), &mut end));
        if said.code == Some(6) {
            said = self.asked(station, &["rollback", "--yes"].map(String::from), &mut end);
        }
        if said.code == Some(7) {
            remarks.push(format!("unknown: {}", said.last()));
            return (End::Unknown, false);
        }
        if self.soon(|| self.is_whole(to)) {
            return (end, true);
        }
        let lines: Vec<Vec<&str>> = if self.is_whole(from) {
            vec![vec!["failover", "--from", from, "--to", to, "--yes"]]
        } else {
            vec![vec!["deactivate", "--on", from, "--yes"], vec!["activate", "--on", to, "--yes"]]
        };
        for line in lines {
            let line: Vec<String> = line.into_iter().map(String::from).collect();
            let said = self.asked(station, &line, &mut end);
            if said.code != Some(0) {
                remarks.push(format!("{line:?} ended {:?}: {}", said.code, said.last()));
                return (end, false);
            }
        }
        (end, self.soon(|| self.is_whole(to)))
    }
    /// With the word for the gate that cuts the power.
    fn go_on(&self, line: &[&str], cast: &Cast) -> Vec<String> {
        let mut line: Vec<String> = line.iter().map(|w| w.to_string()).collect();
        if cast.trial.how == Handover::Unplanned {
            line.extend(["--answers".into(), answers(self.lab, cast.from).display().to_string()]);
        }
        line
    }
    /// A command; where a lock is met that nobody could give back, a person says that its run is over.
    fn asked(&self, station: &Station, line: &[String], end: &mut End) -> Said {
        let mut said = station.say(&words(line));
        if said.code == Some(5) {
            *end = End::Unlocked;
            self.unlock(station, "its run has ended");
            said = station.say(&words(line));
        }
        self.observer.note(format!("{line:?}: {:?} {}", said.code, said.last()));
        said
    }
    fn unlock(&self, station: &Station, why: &str) {
        for node in NODES {
            let said = station.say(&["unlock", node, "--reason", why, "--wait"]);
            self.observer.note(format!("unlock {node}: {:?} {}", said.code, said.last()));
        }
    }
    /// The other station takes the run over; `None`: no node knows of it.
    fn taken_over(&self, cast: &Cast) -> Option<Said> {
        // Without its name it would be the newest run that the node has heard of.
        let run = cast.mine.newest()?;
        self.unlock(cast.other, "the first station is gone");
        for node in [cast.to, cast.from] {
            let said = cast.other.say(&words(&self.go_on(&["resume", &run, "--from", node, "--yes"], cast)));
            self.observer.note(format!("resume {run} --from {node}: {:?} {}", said.code, said.last()));
            if !matches!(said.code, Some(2 | 4)) {
                return Some(said);
            }
        }
        None
    }
    /// What a run left owed is paid, and hawiz says that all is well.
    fn debts_are_paid(&self, station: &Station, remarks: &mut Vec<String>) {
        self.power_is_on();
        let first = station.say(&["status"]);
        if first.code == Some(0) {
            return;
        }
        let paid = station.say(&["settle", "--yes", "--reason", "looked at"]);
        let then = station.say(&["status"]);
        self.observer.note(format!("settle: {:?} {}; status: {:?}", paid.code, paid.last(), then.code));
        if then.code != Some(0) {
            let (paid, why) = (format!("{:?} {}", paid.code, paid.last()), then.last());
            remarks.push(format!("status ends {:?}, after settle ({paid}) {:?}: {why}", first.code, then.code));
        }
    }
    /// As a person would who gave up on what was begun: both hosts down for good, records gone, then one active.
    fn a_person_settles(&self, to: &'static str) {
        self.observer.note("a person settles it");
        for node in NODES {
            self.lab.on(node, "ip addr del 10.5.106.7/8 dev eth0 2>/dev/null; systemctl stop postgresql@15-main");
            self.lab.on(node, "systemctl reset-failed; rm -rf /var/lib/hawiz/*");
        }
        self.stations.iter().for_each(Station::forget);
        self.stations[0].say(&["activate", "--on", to, "--yes"]).ends(0);
        assert!(self.soon(|| self.is_whole(to)), "{:?}", self.observer.active());
    }
    /// The stations' records, for whoever wants to know why.
    fn keep(&self, n: usize) {
        let place = self.kept.join(n.to_string());
        std::fs::create_dir_all(&place).expect("the target folder is writable");
        for (number, station) in self.stations.iter().enumerate() {
            let copied = Command::new("cp").arg("-a").arg(station.state()).arg(place.join(number.to_string())).status();
            assert!(copied.is_ok_and(|s| s.success()), "the records cannot be kept");
        }
    }
    /// What the wire and the database say, where somebody is active and serves nobody.
    fn wire(&self, active: &str) -> String {
        let neighbours = whole(Command::new("ip").args(["-n", &self.lab.net("wire"), "neigh"]));
        let look = "ip -o -4 addr show dev eth0; psql -XAtq -h 10.5.106.7 -U xcatadm xcatdb -c 'SELECT 1' 2>&1";
        format!("{:?} {:?}", text(&neighbours.stdout), text(&self.lab.inside(active, look).stdout))
    }
    /// Whoever lost its power, by a fault or by its controller, has it again.
    fn power_is_on(&self) {
        for node in NODES {
            Fault::PowerCut.mend(self.lab, node);
        }
    }
    fn is_whole(&self, node: &'static str) -> bool {
        self.observer.active() == (vec![node], vec![node])
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

fn words(line: &[String]) -> Vec<&str> {
    line.iter().map(String::as_str).collect()
}

fn last(said: &str) -> &str {
    said.lines().last().unwrap_or_default()
}
