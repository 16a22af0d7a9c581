//! One run of the campaign: its node, its hawiz, what went wrong, and what is to be true afterwards.

use crate::sshd::{Sshd, Wire, lives, processes};
use crate::support::{Dice, World, lonely};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// What can go wrong. Those whose wait is long come first, so that they begin first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The cable is out until hawiz has noticed, and a while longer.
    CutLong,
    /// The cable stays out as long as hawiz lives.
    CutForGood,
    /// Every sshd of the node stands still until hawiz has noticed, and a while longer.
    FrozenLong,
    /// The server of the session stands still; it is thawed when hawiz has gone on without it and ended.
    SessionFrozen,
    /// The same, and it is never thawed.
    SessionFrozenForGood,
    /// The node's shell stands still, and not its sshd.
    ShellFrozen,
    /// The power: nobody says farewell, and the node comes back with another boot id.
    PowerCut,
    /// hawiz is killed while the cable is out.
    KilledInCut,
    /// hawiz is killed while the session stands still, and that is thawed after another one went on.
    KilledWhileFrozen,
    CutShort,
    FrozenShort,
    ShellFrozenShort,
    SessionKilled,
    ListenerKilled,
    AllKilled,
    /// The node says farewell before it goes.
    Reboot,
    Killed,
}
pub use Fault::*;

pub const FAULTS: [Fault; 17] = [
    CutLong,
    CutForGood,
    FrozenLong,
    SessionFrozen,
    SessionFrozenForGood,
    ShellFrozen,
    PowerCut,
    KilledInCut,
    KilledWhileFrozen,
    CutShort,
    FrozenShort,
    ShellFrozenShort,
    SessionKilled,
    ListenerKilled,
    AllKilled,
    Reboot,
    Killed,
];

impl Fault {
    /// It destroys what the node knows of a step that ran.
    fn destroys(self) -> bool {
        matches!(self, PowerCut | Reboot)
    }
    /// Over so soon that it may cost time and nothing else.
    fn short(self) -> bool {
        matches!(self, CutShort | FrozenShort | ShellFrozenShort | SessionKilled | ListenerKilled | AllKilled)
    }
    /// The other side says nothing any more, and hawiz has to notice.
    fn silent(self) -> bool {
        matches!(
            self,
            CutLong | CutForGood | FrozenLong | SessionFrozen | SessionFrozenForGood | ShellFrozen | PowerCut
        )
    }
}

/// A node and a world that runs of the campaign use one after the other.
pub struct Lot<'w> {
    pub wire: &'w Wire,
    pub server: Sshd,
    pub world: World,
}

/// What came of one run.
#[derive(Clone, Debug)]
pub struct Came {
    pub fault: Fault,
    /// Of the hawiz that met the fault; `None`: it was killed.
    pub first: Option<i32>,
    pub last: Option<i32>,
    pub resumes: u32,
    pub unknown: usize,
    /// From the fault to the word that the link is lost.
    pub noticed: Option<Duration>,
}

/// Steps, and the lines that each leaves.
const STEPS: [(&str, &[&str]); 5] = [
    ("first", &["first"]),
    ("ticks", &["begin", "end"]),
    ("mark", &["mark"]),
    ("told", &["told"]),
    ("last", &["last one-two"]),
];

fn playbook() -> String {
    let step = |name: &str, run: &str, more: &str| {
        format!("name = \"{name}\"\nrun.sh = '''\n{run}\n'''\nundo.none = \"\"\n{more}")
    };
    lonely(&[
        &step("First", "echo first >>\"$w/$node/trace\"", ""),
        &step(
            "Ticks",
            "echo begin >>\"$w/$node/trace\"\nfor i in 1 2 3 4 5 6; do echo \"tick $i\"; sleep 0.2; done\necho end >>\"$w/$node/trace\"",
            "",
        ),
        &step(
            "Mark",
            "echo mark >>\"$w/$node/trace\"\n: >\"$w/$node/mark\"",
            "done.sh = 'sleep 0.3; test -e \"$w/$node/mark\"'\n",
        ),
        &step(
            "Told",
            "echo told >>\"$w/$node/trace\"\nprintf one-\nsleep 0.5\necho two\nsleep 0.3",
            "capture = \"word\"\n",
        ),
        &step("Last", "echo \"last $word\" >>\"$w/$node/trace\"", ""),
    ])
}

/// Killed when it is let go.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Kept {
    /// Its code, if it ends before `so`.
    fn ends_before(&mut self, what: &str, mut so: impl FnMut() -> bool) -> Option<Option<i32>> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("a child of ours") {
                return Some(status.code());
            }
            if so() {
                return None;
            }
            assert!(begun.elapsed() < Duration::from_secs(180), "{what}: it never is");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    fn ends(&mut self) -> Option<i32> {
        self.ends_before("its end", || false).expect("it waits for that")
    }
}

fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

fn at(record: &Value) -> i64 {
    let utc = record["utc"].as_str().expect("a record says when");
    chrono::DateTime::parse_from_rfc3339(utc).expect("as RFC 3339 has it").timestamp_millis()
}

/// The step's short name.
fn of(record: &Value) -> &str {
    let instance = record["event"]["step"].as_str().unwrap_or_default();
    instance.rsplit('/').next().unwrap_or_default().split('@').next().unwrap_or_default()
}

fn is(record: &Value, kind: &str) -> bool {
    record["event"]["type"] == kind
}

impl<'w> Lot<'w> {
    pub fn new(wire: &'w Wire, mut server: Sshd) -> Lot<'w> {
        wire.join(&mut server);
        let mut world = World::new("");
        let config = std::env::var("HAWIZ_SSH_CONFIG").expect("set with the first server");
        world.env.push(("HAWIZ_SSH_CONFIG".into(), config));
        let site = server.site("a");
        let dir = world.dir.display();
        let site: String = site.lines().filter(|l| !l.starts_with("state")).map(|l| format!("{l}\n")).collect();
        world.put(
            "hawiz.toml",
            &format!("playbook = \"playbook.toml\"\n[inputs]\nw = \"{dir}/w\"\n{site}state = \"{dir}/state/a\"\n"),
        );
        Lot { wire, server, world }
    }

    fn start(&self, args: &[&str]) -> Kept {
        let mut command = self.world.command(args);
        self.wire.enter(&mut command);
        let file = |name: &str| {
            let path = self.world.dir.join(name);
            fs::File::options().create(true).append(true).open(path).expect("the folder is ours")
        };
        command.stdout(Stdio::from(file("here/said"))).stderr(Stdio::from(file("here/errors")));
        Kept(command.spawn().expect("hawiz was built for this test"))
    }

    /// Goes on; anew where there is nothing to go on with.
    fn resume(&self) -> Option<i32> {
        let code = self.start(&["resume", "--yes", "--output", "json"]).ends();
        if code != Some(2) || !self.world.trace("a").is_empty() {
            return code;
        }
        // Killed before its plan was on disk, or stopped before its first change.
        self.start(&["activate", "--on", "a", "--yes", "--output", "json"]).ends()
    }

    fn records(&self) -> Vec<Value> {
        let Some(run) = self.world.runs().pop() else { return Vec::new() };
        let text = fs::read_to_string(self.world.dir.join("here/runs").join(run).join("journal.jsonl"));
        text.unwrap_or_default().lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
    }

    /// When the link was said to be lost, after this, by the hawiz that met it.
    fn lost_after(&self, when: i64) -> Option<i64> {
        let records = self.records();
        let met = records.iter().take_while(|r| !is(r, "run-resumed"));
        met.filter(|r| is(r, "link-lost")).map(at).find(|t| *t >= when)
    }

    /// The shells of all sessions with what they run; steps are sessions of their own.
    fn shells(&self) -> Vec<Pid> {
        let sessions = self.server.sessions();
        let session_of = |pid: Pid| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
            stat.rsplit_once(')')?.1.split_whitespace().nth(3)?.parse::<i32>().ok()
        };
        let all = processes();
        let ours = self.server.all();
        let mine = |p: &&crate::sshd::Process| {
            p.name != "sshd" && sessions.iter().any(|s| s.as_raw_nonzero().get() == p.parent)
        };
        let ids: Vec<i32> = all.iter().filter(mine).filter_map(|p| session_of(p.pid)).collect();
        ours.into_iter()
            .filter(|pid| session_of(*pid).is_some_and(|id| ids.contains(&id)))
            .filter(|pid| !sessions.contains(pid))
            .collect()
    }

    /// As if nothing had ever happened here.
    fn fresh(&self) {
        self.wire.mend(&self.server);
        self.server.reboot();
        self.world.fresh();
        fs::create_dir_all(self.world.dir.join("here")).expect("the folder is ours");
    }

    fn listening(&self) {
        if self.server.listener().is_none() {
            self.server.listen();
        }
    }

    /// Goes wrong at its moment, is put right again. Returns when it went wrong, when the node had lost what it did not keep on
    /// its disk, and how hawiz ended.
    fn suffer(&self, fault: Fault, dice: &mut Dice, hawiz: &mut Kept, patient: bool) -> (i64, i64, Option<i32>) {
        let (wire, server) = (self.wire, &self.server);
        let nap = |ms: u64| std::thread::sleep(Duration::from_millis(ms));
        let when = now();
        let mut gone = when;
        let longer = dice.below(5_000);
        let noticed = |hawiz: &mut Kept| {
            // In a look nobody speaks of it.
            let begun = Instant::now();
            let late = || begun.elapsed() > Duration::from_secs(25);
            let ended = hawiz.ends_before("the link is lost", || self.lost_after(when).is_some() || late());
            if ended.is_none() {
                nap(longer);
            }
            ended
        };
        let code = match fault {
            CutLong => {
                wire.cut(server);
                noticed(hawiz);
                wire.mend(server);
                hawiz.ends()
            }
            CutForGood => {
                wire.cut(server);
                let ended = noticed(hawiz);
                if ended.is_none() && !patient {
                    let _ = hawiz.0.kill();
                }
                let code = hawiz.ends();
                wire.mend(server);
                code
            }
            FrozenLong => {
                server.stop();
                noticed(hawiz);
                server.cont();
                hawiz.ends()
            }
            SessionFrozen | SessionFrozenForGood => {
                let frozen = server.sessions();
                server.signal(&frozen, Signal::STOP);
                let code = hawiz.ends();
                if fault == SessionFrozen {
                    server.signal(&frozen, Signal::CONT);
                }
                code
            }
            ShellFrozen => {
                let frozen = self.shells();
                server.signal(&frozen, Signal::STOP);
                let code = hawiz.ends();
                server.signal(&frozen, Signal::CONT);
                code
            }
            PowerCut => {
                wire.cut(server);
                server.reboot();
                gone = now();
                nap(longer);
                wire.mend(server);
                hawiz.ends()
            }
            KilledInCut => {
                wire.cut(server);
                nap(longer / 3);
                let _ = hawiz.0.kill();
                let code = hawiz.ends();
                nap(longer / 3);
                wire.mend(server);
                code
            }
            KilledWhileFrozen => {
                let frozen = server.sessions();
                server.signal(&frozen, Signal::STOP);
                nap(longer / 5);
                let _ = hawiz.0.kill();
                hawiz.ends()
            }
            CutShort => {
                wire.cut(server);
                nap(200 + longer / 2);
                wire.mend(server);
                hawiz.ends()
            }
            FrozenShort => {
                server.stop();
                nap(200 + longer);
                server.cont();
                hawiz.ends()
            }
            ShellFrozenShort => {
                let frozen = self.shells();
                server.signal(&frozen, Signal::STOP);
                nap(200 + longer);
                server.signal(&frozen, Signal::CONT);
                hawiz.ends()
            }
            SessionKilled => {
                server.kill_sessions();
                hawiz.ends()
            }
            ListenerKilled => {
                server.signal(&server.listener().into_iter().collect::<Vec<_>>(), Signal::KILL);
                nap(longer / 2);
                self.listening();
                hawiz.ends()
            }
            AllKilled => {
                server.kill();
                nap(longer / 2);
                self.listening();
                hawiz.ends()
            }
            Reboot => {
                server.reboot();
                gone = now();
                hawiz.ends()
            }
            Killed => {
                let _ = hawiz.0.kill();
                hawiz.ends()
            }
        };
        (when, gone, code)
    }

    /// One run: fails unless all is as it was promised.
    pub fn run(&self, fault: Fault, seed: u64, patient: bool) -> Came {
        let mut dice = Dice(seed | 1);
        // The first numbers of a small seed are small.
        (0..3).for_each(|_| _ = dice.below(2));
        self.fresh();
        self.world.playbook(&playbook());
        let mut hawiz = self.start(&["activate", "--on", "a", "--yes", "--output", "json"]);
        // Most of what can go wrong is in the steps.
        if dice.below(4) > 0 {
            hawiz.ends_before("the gate", || self.records().iter().any(|r| is(r, "gate-answered")));
        }
        std::thread::sleep(Duration::from_millis(dice.below(3_000)));
        let (when, gone, first) = self.suffer(fault, &mut dice, &mut hawiz, patient);
        drop(hawiz);
        let said = format!("{fault:?}, seed {seed}, first {first:?}");
        let changed = !self.world.trace("a").is_empty();
        let fits = match first {
            None => matches!(fault, Killed | KilledInCut | KilledWhileFrozen | CutForGood),
            Some(0) => true,
            Some(4) => !changed,
            Some(6 | 7) => !fault.short(),
            _ => false,
        };
        assert!(fits, "{said}: {}", self.told());
        let late = self.server.sessions();
        let (mut last, mut resumes) = (first, 0);
        while last != Some(0) && resumes < 4 {
            resumes += 1;
            last = self.resume();
            if last == Some(5) {
                // Its lock stayed where nobody could be reached to give it back; a person who knows says so.
                self.start(&["unlock", "a", "--reason", "that hawiz is gone", "--wait"]).ends();
            }
            if fault.destroys() && last == Some(7) {
                break;
            }
        }
        if fault == KilledWhileFrozen {
            // What the dead one had sent arrives now.
            self.server.signal(&late, Signal::CONT);
            std::thread::sleep(Duration::from_millis(300));
        }
        let unknown = self.judge(fault, gone, last, first, &said);
        let noticed = self.lost_after(when).filter(|_| fault.silent());
        let noticed = noticed.map(|t| Duration::from_millis((t - when) as u64));
        let soon = noticed.is_none_or(|n| n <= Duration::from_secs(20));
        assert!(soon, "{said}, at {when}: noticed after {noticed:?}: {}", self.told());
        Came { fault, first, last, resumes, unknown, noticed }
    }

    /// A step that is stopped because it takes too long, and does not want to end.
    pub fn stop(&self, fault: Fault, seed: u64) -> u32 {
        let mut dice = Dice(seed | 1);
        (0..3).for_each(|_| _ = dice.below(2));
        self.fresh();
        let stuck = "name = \"Stuck\"\ndeadline = \"1s\"\nrun.sh = '''\necho stuck >>\"$w/$node/trace\"\n\
                     trap '' TERM\nsleep 300 &\nsleep 300\n'''\nundo.none = \"\"\n";
        self.world.playbook(&lonely(&[stuck]));
        let mut hawiz = self.start(&["activate", "--on", "a", "--yes", "--output", "json"]);
        std::thread::sleep(Duration::from_millis(300 + dice.below(12_000)));
        let (_, _, first) = self.suffer(fault, &mut dice, &mut hawiz, false);
        drop(hawiz);
        let ended = || {
            let records = self.records();
            let end = records.iter().rfind(|r| is(r, "step-finished") && of(r) == "stuck");
            end.map(|r| r["event"]["outcome"]["is"].as_str().unwrap_or_default().to_string())
        };
        let mut resumes = 0;
        let mut last = first;
        while ended().is_none() && resumes < 4 {
            resumes += 1;
            last = self.resume();
        }
        let why = || format!("{fault:?}, seed {seed}, first {first:?}, last {last:?}: {}", self.told());
        assert_eq!(ended().as_deref(), Some("failed"), "{}", why());
        assert_eq!(last, Some(6), "{}", why());
        let left = self.sleepers();
        assert!(left.is_empty(), "{left:?} are left; {}", why());
        assert_eq!(self.world.trace("a"), ["stuck"], "{}", why());
        resumes
    }

    /// Processes of a step that is stuck.
    fn sleepers(&self) -> Vec<Pid> {
        let stuck = |pid: &Pid| {
            let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
            line == b"sleep\x00300\x00" || line.starts_with(b"sh\0-eu\0")
        };
        self.server.all().into_iter().filter(|pid| stuck(pid) && lives(*pid)).collect()
    }

    fn told(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.world.dir.join(name)).unwrap_or_default();
        format!("trace {:?}\n{}{}", self.world.trace("a"), read("here/said"), read("here/errors"))
    }

    /// Returns how many steps are *unknown*.
    fn judge(&self, fault: Fault, gone: i64, last: Option<i32>, first: Option<i32>, said: &str) -> usize {
        let (trace, records) = (self.world.trace("a"), self.records());
        let why = || format!("{said}, last {last:?}: {}", self.told());
        let mut outcomes: Vec<(&str, &str)> = Vec::new();
        for r in records.iter().filter(|r| is(r, "step-finished")) {
            let outcome = r["event"]["outcome"]["is"].as_str().unwrap_or_default();
            outcomes.retain(|(step, _)| *step != of(r));
            outcomes.push((of(r), outcome));
        }
        let mut unknown = 0;
        for (step, lines) in STEPS {
            let times = |line: &str| trace.iter().filter(|l| *l == line).count();
            assert!(lines.iter().all(|l| times(l) <= 1), "{step} ran twice; {}", why());
            match outcomes.iter().find(|(s, _)| *s == step).map(|(_, o)| *o) {
                Some("done") => assert!(lines.iter().all(|l| times(l) == 1), "{step} is not done; {}", why()),
                Some("unknown") => {
                    unknown += 1;
                    assert!(fault.destroys(), "{step} is unknown; {}", why());
                    let intent = records.iter().rfind(|r| is(r, "step-intent") && of(r) == step);
                    assert!(intent.is_some_and(|r| at(r) <= gone + 1_000), "{step} began after that; {}", why());
                }
                _ => {}
            }
        }
        let all: Vec<&str> = STEPS.iter().flat_map(|(_, lines)| lines.iter().copied()).collect();
        if last == Some(0) {
            assert_eq!(trace, all, "{}", why());
        } else {
            assert!(last == Some(7) && unknown == 1, "{}", why());
        }
        assert!(last != Some(0) || !self.world.locked("a"), "the lock is left; {}", why());
        if first == Some(0) {
            self.heard_once(&why);
        }
        unknown
    }

    /// Whoever followed a step over a lost link heard all it said, and nothing twice.
    fn heard_once(&self, why: &impl Fn() -> String) {
        let text = fs::read_to_string(self.world.dir.join("here/said")).expect("it was written");
        let records = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let heard: String = records
            .filter(|r| is(r, "output") && of(r) == "ticks")
            .map(|r| r["event"]["text"].as_str().unwrap_or_default().to_string())
            .collect();
        let all: String = (1..=6).map(|i| format!("tick {i}\n")).collect();
        assert_eq!(heard, all, "{}", why());
    }
}
