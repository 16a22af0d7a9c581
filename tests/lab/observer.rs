//! Who holds the address, and who runs the database on the shared data: seen from outside, all the while.
//!
//! Why it exists: hawiz's own word that no two nodes were ever active is worth nothing; somebody must have watched. The
//! observer uses nothing of hawiz and nothing inside the hosts: the kernel's table of local addresses of each host's
//! network, and the processes whose working directory *is* the shared data directory (by device and inode, so whoever
//! started them, and under whichever name the place goes).
//!
//! It looks every 25 ms; besides, each address event of a host (`ip monitor`) makes it look at once, so that a holder for a
//! moment only is not missed. Starts of a database are read from PostgreSQL's own log. A host whose power is off holds
//! nothing. Invariant: two at once, ever, is a violation, and stays in the verdict.

use crate::rig::{Lab, VIP};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const NODES: [&str; 2] = ["xcatmn1", "xcatmn2"];

const EVERY: Duration = Duration::from_millis(25);

/// What was so at one moment.
#[derive(Clone, Default, PartialEq)]
struct Sight {
    holders: BTreeSet<&'static str>,
    databases: BTreeSet<&'static str>,
}

impl Sight {
    fn violation(&self) -> bool {
        self.holders.len() > 1 || self.databases.len() > 1
    }
}

#[derive(Default)]
struct Seen {
    last: Sight,
    violations: usize,
    samples: u64,
    pause: Duration,
    timeline: Vec<(Duration, String)>,
}

/// What can be said in the end.
pub struct Verdict {
    /// How often two held the address or ran the database.
    pub violations: usize,
    /// Looks a second, events not counted.
    pub rate: f64,
    /// The longest time in which nobody looked.
    pub pause: Duration,
    pub timeline: String,
}

impl Verdict {
    /// No two at once, and somebody looked often enough to say so.
    #[track_caller]
    pub fn is_clean(&self) {
        assert_eq!(self.violations, 0, "two at once:\n{}", self.timeline);
        assert!(self.rate >= 10.0, "looked {:.1} times a second only", self.rate);
    }
}

/// How to look: where the hosts are, and which process namespaces were theirs.
struct Eye {
    run: PathBuf,
    data: (u64, u64),
    spaces: Mutex<BTreeMap<PathBuf, &'static str>>,
}

impl Eye {
    /// The host's pid 1 as this machine knows it, while it lives.
    fn init(&self, node: &str) -> Option<u32> {
        let note = fs::read_to_string(self.run.join(node).join("init")).ok()?;
        let (pid, born) = note.trim().split_once(' ')?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut rest = stat.rsplit_once(')')?.1.split_whitespace();
        let alive = rest.next()? != "Z";
        (alive && rest.nth(18)? == born).then(|| pid.parse().ok())?
    }
    fn look(&self) -> Sight {
        let mut sight = Sight::default();
        let mut spaces = self.spaces.lock().expect("nobody fails while looking");
        for node in NODES {
            let Some(init) = self.init(node) else { continue };
            if let Ok(space) = fs::read_link(format!("/proc/{init}/ns/pid")) {
                spaces.insert(space, node);
            }
            let routes = fs::read_to_string(format!("/proc/{init}/net/fib_trie")).unwrap_or_default();
            let mut lines = routes.lines();
            while let Some(line) = lines.next() {
                if line.trim_start().strip_prefix("|-- ") == Some(VIP)
                    && lines.next().is_some_and(|l| l.contains("/32 host LOCAL"))
                {
                    sight.holders.insert(node);
                }
            }
        }
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let proc = entry.path();
            if entry.file_name().as_encoded_bytes()[0].is_ascii_digit()
                && fs::read(proc.join("comm")).is_ok_and(|c| c == b"postgres\n")
                && fs::metadata(proc.join("cwd")).is_ok_and(|m| (m.dev(), m.ino()) == self.data)
                && let Some(node) = fs::read_link(proc.join("ns/pid")).ok().and_then(|s| spaces.get(&s))
            {
                sight.databases.insert(node);
            }
        }
        sight
    }
}

/// Watches as long as it lives.
pub struct Observer {
    start: Instant,
    seen: Arc<Mutex<Seen>>,
    over: Arc<AtomicBool>,
    monitors: Vec<Child>,
    threads: Vec<JoinHandle<()>>,
}

impl Observer {
    pub fn new(lab: &Lab) -> Observer {
        let data = fs::metadata(lab.run.join("share/var/lib/postgresql/15/main")).expect("the shared data is there");
        let eye =
            Arc::new(Eye { run: lab.run.clone(), data: (data.dev(), data.ino()), spaces: Mutex::new(BTreeMap::new()) });
        let start = Instant::now();
        let (seen, over) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let mut observer = Observer { start, seen, over, monitors: Vec::new(), threads: Vec::new() };
        for node in NODES {
            let mut ip = Command::new("ip");
            ip.args(["-n", &format!("hzlab-{}-{node}", lab.token()), "-4", "-o", "monitor", "address"]);
            let mut ip = ip.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("there is `ip`");
            let events = BufReader::new(ip.stdout.take().expect("piped"));
            observer.monitors.push(ip);
            let (eye, seen) = (Arc::clone(&eye), Arc::clone(&observer.seen));
            observer.threads.push(std::thread::spawn(move || {
                for line in events.lines().map_while(Result::ok).filter(|l| l.contains(&format!(" {VIP}/"))) {
                    let gone = line.contains("Deleted");
                    let mut sight = eye.look();
                    if !gone {
                        // It had it, if only for a moment that is over by now.
                        sight.holders.insert(node);
                    }
                    let mut seen = seen.lock().expect("nobody fails while noting");
                    seen.note(start, format!("event: {node} {} {VIP}", if gone { "loses" } else { "gets" }));
                    seen.take(start, sight);
                }
            }));
        }
        let (seen, over) = (Arc::clone(&observer.seen), Arc::clone(&observer.over));
        let logs = NODES.map(|n| (n, lab.run.join(n).join("root/var/log/postgresql/postgresql-15-main.log")));
        observer.threads.push(std::thread::spawn(move || {
            let mut read = logs.each_ref().map(|(_, log)| fs::metadata(log).map_or(0, |m| m.len()));
            let mut before = Instant::now();
            while !over.load(Ordering::Relaxed) {
                let sight = eye.look();
                let starts: Vec<&str> =
                    logs.iter().zip(&mut read).filter_map(|((n, log), at)| started(log, at).then_some(*n)).collect();
                let mut seen = seen.lock().expect("nobody fails while noting");
                seen.samples += 1;
                seen.pause = seen.pause.max(before.elapsed());
                before = Instant::now();
                for node in starts {
                    seen.note(start, format!("log: {node} starts the database"));
                }
                seen.take(start, sight);
                drop(seen);
                std::thread::sleep(EVERY);
            }
        }));
        observer
    }
    /// A line of the test's own: a fault, a command.
    pub fn note(&self, what: impl Into<String>) {
        self.seen.lock().expect("nobody fails while noting").note(self.start, what.into());
    }
    /// Who holds the address, and who runs the database, as last seen.
    pub fn active(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let last = self.seen.lock().expect("nobody fails while noting").last.clone();
        (last.holders.into_iter().collect(), last.databases.into_iter().collect())
    }
    pub fn verdict(&self) -> Verdict {
        let seen = self.seen.lock().expect("nobody fails while noting");
        let mut timeline = String::new();
        for (at, what) in &seen.timeline {
            let _ = writeln!(timeline, "{:9.3} {what}", at.as_secs_f64());
        }
        let rate = seen.samples as f64 / self.start.elapsed().as_secs_f64();
        Verdict { violations: seen.violations, rate, pause: seen.pause, timeline }
    }
}

/// Has a server come up since the log was read up to here?
fn started(log: &PathBuf, at: &mut u64) -> bool {
    let Ok(mut file) = fs::File::open(log) else { return false };
    if file.metadata().map_or(0, |m| m.len()) == *at || file.seek(SeekFrom::Start(*at)).is_err() {
        return false;
    }
    let mut new = Vec::new();
    *at += file.read_to_end(&mut new).unwrap_or(0) as u64;
    String::from_utf8_lossy(&new).contains("starting PostgreSQL")
}

impl Seen {
    fn note(&mut self, start: Instant, what: String) {
        self.timeline.push((start.elapsed(), what));
    }
    fn take(&mut self, start: Instant, sight: Sight) {
        if sight == self.last {
            return;
        }
        let list = |set: &BTreeSet<&str>| set.iter().copied().collect::<Vec<_>>().join(" and ");
        let (holders, databases) = (list(&sight.holders), list(&sight.databases));
        let mark = if sight.violation() { "VIOLATION " } else { "" };
        self.note(start, format!("{mark}address: {holders:<20} database: {databases}"));
        self.violations += usize::from(sight.violation() && !self.last.violation());
        self.last = sight;
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for ip in &mut self.monitors {
            let _ = ip.kill();
            let _ = ip.wait();
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
