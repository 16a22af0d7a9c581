//! One protocol for every node: looks, recorded steps, the lock, and the truth after a lost link.
//!
//! Why it exists: a link can be cut at any byte, and the question "did it run?" must then have an answer. So every node gets
//! the same small prelude (`session.sh`) over whatever stream its transport opens, and the node itself keeps what is true: a
//! step is claimed there, started there by a leader that outlives the link, and its code is kept there.
//!
//! The eight rules, and where they live:
//! 1. *Never* is final: leader and whoever asks race to link `go` into the claim; the first decides (`hz_tell`, `leader.sh`).
//! 2. The state directory is the node's; *never* needs the run's marker and the boot id (`hz_judge`, `hz_tell`).
//! 3. A leader is boot id + pid namespace + pid + start time (`hz_alive`).
//! 4. Refusals carry their reason; room is taken before the start; a result is made once; output is capped (`hz_claim`).
//! 5. Claims are made inside the lock's generation; taking over renames it (`hz_take`).
//! 6. The step's world is the login's (`leader.sh`, [`crate::transport`]).
//! 7. POSIX tools and `setsid` only.
//! 8. Deadlines: a look's process group is killed through a second stream; the session goes on.
//!
//! Invariant: one round trip a command, and no answer is ever made up. A node's whole session is root's when the node says
//! `become = "sudo"`: claims, lock and identity are then root's too. A second stream is opened only while the first is busy
//! with a step or a look that has to be ended.

mod live;
mod wire;

use crate::plan::Node;
use crate::reach::{Claim, Greeting, Locked, Progress, Reach, Reply, Sent, Started, Truth, Unreachable};
use crate::shell::Value;
use live::{Following, Looking, Word};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::time::Duration;
use wire::{Kept, Link, Lost, now, random, word};

/// Connecting, and answers that need no waiting on the node.
const PROMPTLY: Duration = Duration::from_secs(30);
/// A step that is followed says something at least every second, even if only that it has nothing to say.
const SILENCE: Duration = Duration::from_secs(20);
const LOOK_CAP: usize = 1 << 20;
const STEP_CAP: usize = 64 << 20;
const STATE: &str = "/var/lib/hawiz";

/// The step that is followed on a node's first stream.
enum Step {
    Recorded(Following),
    /// On a node without claims: its own streams are the session's.
    Bare(Looking, Vec<Progress>),
}

#[derive(Default)]
struct Place {
    link: Option<Link>,
    /// For what must be said while `link` is busy.
    side: Option<Link>,
    greeting: Option<Greeting>,
    generation: Option<String>,
    step: Option<(Claim, Step)>,
    /// Bytes of the last step's output that were handed on, to go on there after a lost link.
    told: Option<(Claim, [u64; 2])>,
    /// Claims whose output is removed after it was read.
    secret: Option<Claim>,
}

/// The nodes of one run, each behind its own session.
pub struct Fleet {
    nodes: Vec<(Node, Place)>,
    base: PathBuf,
    tmpfs: bool,
    cap: usize,
}

fn lost(node: &str) -> impl Fn(Lost) -> Unreachable {
    move |Lost(why)| Unreachable { node: node.to_string(), why }
}

/// A run's id as a file name.
fn slug(run: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !run.is_empty() && run.len() < 100 && run.chars().all(safe) { run.to_string() } else { hash(&[run]) }
}

fn hash(parts: &[&str]) -> String {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part.as_bytes());
    }
    sha.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect()
}

fn name(node: &str, claim: &Claim) -> String {
    hash(&[&claim.run, node, &claim.step, &claim.attempt.to_string()])
}

fn truth(said: &str) -> Truth {
    let (word, rest) = said.trim().split_once(' ').unwrap_or((said.trim(), ""));
    match word {
        "never" => Truth::Never,
        "running" => Truth::Running,
        "done" => rest.parse().map_or_else(|_| Truth::Unknown("its code was not understood".into()), Truth::Done),
        "unknown" => Truth::Unknown(rest.to_string()),
        _ => Truth::Unknown("the node did not say".into()),
    }
}

impl Fleet {
    /// Connects to nobody. `base`: the folder of the site file, for `via`.
    pub fn new(nodes: Vec<Node>, base: PathBuf) -> Fleet {
        // For tests on machines whose temporary folder is a tmpfs: claims there last as long as the boot, which the boot id
        // checks anyway.
        let tmpfs = std::env::var_os("HAWIZ_TMPFS_STATE").is_some_and(|v| v == "1");
        let nodes = nodes.into_iter().map(|n| (n, Place::default())).collect();
        Fleet { nodes, base, tmpfs, cap: STEP_CAP }
    }
    /// Who holds a node's lock now, in words. Changes nothing.
    pub fn holder(&mut self, node: &str) -> Option<String> {
        let i = self.index(node).ok()?;
        let said = self.ask_again(i, "hz_who", &[], PROMPTLY).ok()?;
        said.lines().find_map(|l| l.strip_prefix("held ").map(String::from))
    }
    /// Another cap for a step's kept output, per stream.
    pub fn cap(mut self, bytes: usize) -> Fleet {
        self.cap = bytes;
        self
    }
    /// Whether claims are kept on a tmpfs; `HAWIZ_TMPFS_STATE=1` says yes.
    pub fn tmpfs(mut self, accepted: bool) -> Fleet {
        self.tmpfs = accepted;
        self
    }
    fn index(&self, node: &str) -> Result<usize, Unreachable> {
        let found = self.nodes.iter().position(|(n, _)| n.name == node);
        found.ok_or_else(|| Unreachable { node: node.into(), why: "the plan has no such node".into() })
    }
    /// A fresh session and what the node says of itself.
    fn connect(&self, i: usize) -> Result<(Link, Greeting), Lost> {
        let node = &self.nodes[i].0;
        let state = node.state.clone().unwrap_or_else(|| STATE.into());
        let quoted = String::from_utf8(crate::shell::quote(state.as_bytes())).expect("it was a string");
        let hello = format!("{quoted} {}", u8::from(self.tmpfs));
        let mut link = Link::open(node, &self.base, &hello).map_err(Lost)?;
        let answer = link.answer(PROMPTLY)?;
        let mut greeting =
            Greeting { identity: None, boot: String::new(), uid: 0, state, unrecorded: None, addresses: Vec::new() };
        for line in String::from_utf8_lossy(&answer).lines() {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let given = (!value.is_empty()).then(|| value.to_string());
            match key {
                "group" => link.group = value.parse().ok(),
                "boot" => greeting.boot = value.to_string(),
                "uid" => greeting.uid = value.parse().map_err(|_| Lost("its `id -u` is not a number".into()))?,
                "id" => greeting.identity = given,
                "unrecorded" => greeting.unrecorded = given,
                "address" => greeting.addresses.extend(given),
                "address6" => {
                    if let Ok(bits) = u128::from_str_radix(value, 16) {
                        greeting.addresses.push(std::net::Ipv6Addr::from(bits).to_string());
                    }
                }
                _ => {}
            }
        }
        Ok((link, greeting))
    }
    fn open(&mut self, i: usize) -> Result<(), Lost> {
        if self.nodes[i].1.link.is_none() {
            let (link, greeting) = self.connect(i)?;
            let place = &mut self.nodes[i].1;
            place.link = Some(link);
            place.greeting = Some(greeting);
        }
        Ok(())
    }
    /// The stream that is free to be asked something: the first, or a second one while a step is followed on the first.
    fn free(&mut self, i: usize) -> Result<&mut Link, Lost> {
        self.open(i)?;
        if self.nodes[i].1.step.is_none() {
            return Ok(self.nodes[i].1.link.as_mut().expect("open made it"));
        }
        if self.nodes[i].1.side.is_none() {
            self.nodes[i].1.side = Some(self.connect(i)?.0);
        }
        Ok(self.nodes[i].1.side.as_mut().expect("just made"))
    }
    /// Asks something short. A stream that fails is dropped, so that the next question gets a fresh one.
    fn ask(&mut self, i: usize, function: &str, words: &[&[u8]], wait: Duration) -> Result<String, Lost> {
        let link = self.free(i)?;
        link.call(function, words);
        match link.answer(wait) {
            Ok(answer) => Ok(String::from_utf8_lossy(&answer).into_owned()),
            Err(e) => {
                self.drop_free(i);
                Err(e)
            }
        }
    }
    fn drop_free(&mut self, i: usize) {
        let place = &mut self.nodes[i].1;
        if place.step.is_some() { place.side = None } else { place.link = None }
    }
    /// Like [`Fleet::ask`], on a fresh stream if the one at hand turned out to be dead. For questions that may be repeated.
    fn ask_again(&mut self, i: usize, function: &str, words: &[&[u8]], wait: Duration) -> Result<String, Lost> {
        match self.ask(i, function, words, wait) {
            Ok(answer) => Ok(answer),
            Err(_) => self.ask(i, function, words, wait),
        }
    }
    /// Ends what runs on a busy stream, through another one.
    fn kill(&mut self, i: usize, pid: u32) {
        let Ok((mut side, _)) = self.connect(i) else { return };
        side.call("hz_kill", &[pid.to_string().as_bytes()]);
        let _ = side.answer(PROMPTLY);
    }
    /// Kills a look that is late, and the session with it: one process group. What it had said is kept.
    fn end_look(&mut self, i: usize, looking: &mut Looking, kept: &mut (Kept, Kept)) {
        let Ok(group) = self.free(i).map(|link| link.group) else { return };
        if let Some(group) = group {
            self.kill(i, group);
        }
        if let Ok(link) = self.free(i) {
            let _ = live::look(link, looking, Duration::from_millis(100), kept);
        }
        self.drop_free(i);
    }
    fn begin_look(link: &mut Link, sent: &Sent) -> Looking {
        let tag = random(8);
        let text = wire::plain(&sent.script).unwrap_or_else(|| {
            link.set(&[b"hz_plain ", &word(&sent.script)[..]].concat());
            b"\"$hz_v\"".to_vec()
        });
        match &sent.stdin {
            None => link.call("hz_look", &[tag.as_bytes(), &text]),
            Some(stdin) => link.call("hz_feed", &[tag.as_bytes(), &text, &word(stdin)]),
        }
        Looking::new(&link.mark(), &tag)
    }
    fn attach(&mut self, i: usize, claim: &Claim) -> Result<(), Lost> {
        self.open(i)?;
        let (node, place) = &mut self.nodes[i];
        let link = place.link.as_mut().expect("open made it");
        let secret: &[u8] = if place.secret.as_ref() == Some(claim) { b"1" } else { b"0" };
        link.call("hz_attach", &[slug(&claim.run).as_bytes(), name(&node.name, claim).as_bytes(), secret]);
        let told = place.told.take().filter(|(c, _)| c == claim).map_or([0; 2], |(_, told)| told);
        let following = Following::new(link.mark(), told);
        place.step = Some((claim.clone(), Step::Recorded(following)));
        Ok(())
    }
    /// The link under a step is gone: remember how much was told.
    fn part(&mut self, i: usize) {
        let place = &mut self.nodes[i].1;
        place.link = None;
        if let Some((claim, Step::Recorded(following))) = place.step.take() {
            place.told = Some((claim, following.told));
        }
    }
    /// What every question about a claim names.
    fn about(&self, i: usize, claim: &Claim) -> [Vec<u8>; 4] {
        [
            slug(&claim.run).into_bytes(),
            name(&self.nodes[i].0.name, claim).into_bytes(),
            crate::shell::quote(claim.marker.as_bytes()),
            crate::shell::quote(claim.boot.as_bytes()),
        ]
    }
    fn unrecorded(&self, i: usize) -> Option<String> {
        self.nodes[i].1.greeting.as_ref().and_then(|g| g.unrecorded.clone())
    }
}

impl Reach for Fleet {
    fn greet(&mut self, node: &str) -> Result<Greeting, Unreachable> {
        let i = self.index(node)?;
        self.open(i).map_err(lost(node))?;
        Ok(self.nodes[i].1.greeting.clone().expect("open made it"))
    }

    fn look(&mut self, node: &str, sent: &Sent, deadline: Duration) -> Result<Reply, Unreachable> {
        let i = self.index(node)?;
        let link = self.free(i).map_err(lost(node))?;
        let mut looking = Self::begin_look(link, sent);
        let mut kept = (Kept::new(LOOK_CAP), Kept::new(LOOK_CAP));
        let late = match live::look(link, &mut looking, deadline, &mut kept) {
            Ok(Some(code)) => {
                let problem = code.is_none().then(|| "`sh` did not understand the text, nothing of it ran".into());
                return Ok(live::reply(code, kept, problem));
            }
            Ok(None) => format!("it did not end within {deadline:?} and was killed"),
            Err(Lost(why)) => {
                self.drop_free(i);
                return Ok(live::reply(None, kept, Some(format!("the link was lost: {why}"))));
            }
        };
        self.end_look(i, &mut looking, &mut kept);
        Ok(live::reply(None, kept, Some(late)))
    }

    fn lock(&mut self, node: &str, run: &str, marker: &str, holder: &str) -> Result<Locked, Unreachable> {
        let i = self.index(node)?;
        let generation = format!("g{}", random(8));
        let since = chrono::Local::now().format("%Y-%m-%d %H:%M:%S");
        let words = format!("{}, run {run}, since {since}", holder.replace('\n', " "));
        let marker = crate::shell::quote(marker.as_bytes());
        let identity = random(16);
        let run = slug(run);
        let args: [&[u8]; 5] =
            [run.as_bytes(), &marker, generation.as_bytes(), identity.as_bytes(), &word(words.as_bytes())];
        // Asked again after a lost link it is a lock of the same run, and taken over.
        let answer = self.ask_again(i, "hz_lock", &args, PROMPTLY).map_err(lost(node))?;
        let mut locked = Locked::Impossible("the node did not say".into());
        for line in answer.lines() {
            let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
            match key {
                "ours" => locked = Locked::Ours,
                "held" => locked = Locked::Held(rest.to_string()),
                "impossible" => locked = Locked::Impossible(rest.to_string()),
                "id" if !rest.is_empty() => {
                    if let Some(greeting) = &mut self.nodes[i].1.greeting {
                        greeting.identity = Some(rest.to_string());
                    }
                }
                _ => {}
            }
        }
        self.nodes[i].1.generation = (locked == Locked::Ours).then_some(generation);
        Ok(locked)
    }

    fn unlock(&mut self, node: &str, run: &str) -> Result<(), Unreachable> {
        let i = self.index(node)?;
        let answer = self.ask_again(i, "hz_unlock", &[slug(run).as_bytes()], PROMPTLY).map_err(lost(node))?;
        self.nodes[i].1.generation = None;
        match answer.trim().strip_prefix("failed ") {
            Some(why) => Err(Unreachable { node: node.into(), why: format!("cannot give the lock back: {why}") }),
            None => Ok(()),
        }
    }

    fn break_lock(&mut self, node: &str, reason: &str) -> Result<Option<String>, Unreachable> {
        let i = self.index(node)?;
        let answer = self.ask_again(i, "hz_break", &[&word(reason.as_bytes())], PROMPTLY).map_err(lost(node))?;
        self.nodes[i].1.generation = None;
        match answer.trim().split_once(' ') {
            Some(("was", who)) => Ok(Some(who.to_string())),
            Some((_, why)) => Err(Unreachable { node: node.into(), why: format!("cannot break the lock: {why}") }),
            None => Ok(None),
        }
    }

    fn start(&mut self, node: &str, claim: &Claim, sent: &Sent) -> Started {
        let i = match self.index(node) {
            Ok(i) => i,
            Err(e) => return Started::Refused(e.why),
        };
        if self.nodes[i].1.step.is_some() {
            // The step before was left; its record stays, its stream is not needed.
            self.part(i);
        }
        if let Err(Lost(why)) = self.open(i) {
            return Started::Refused(why);
        }
        let bare = self.unrecorded(i).is_some();
        let generation = self.nodes[i].1.generation.clone();
        let cap = self.cap.to_string();
        let place = &mut self.nodes[i].1;
        let link = place.link.as_mut().expect("open made it");
        if bare {
            let looking = Self::begin_look(link, sent);
            place.step = Some((claim.clone(), Step::Bare(looking, Vec::new())));
            return Started::Running;
        }
        let Some(generation) = generation else { return Started::Refused("the node's lock is not held".into()) };
        let stdin = sent.stdin.as_ref().map_or_else(
            || b"-".to_vec(),
            |bytes| {
                // What the leader gets is decoded there, so the word's quotes stay and its escapes are kept whole.
                [&b"'+"[..], &word(bytes)[1..]].concat()
            },
        );
        let secret: &[u8] = if sent.secret { b"1" } else { b"0" };
        let hash = name(node, claim);
        link.call(
            "hz_start",
            &[generation.as_bytes(), hash.as_bytes(), &word(&sent.script), &stdin, secret, cap.as_bytes()],
        );
        place.secret = sent.secret.then(|| claim.clone());
        let mut following = Following::new(link.mark(), [0; 2]);
        let until = now() + PROMPTLY;
        let end = loop {
            following.take(link);
            match following.word.take() {
                Some(Word::Begun) => {
                    place.step = Some((claim.clone(), Step::Recorded(following)));
                    return Started::Running;
                }
                Some(Word::Refused(why)) => return Started::Refused(why),
                Some(Word::Exists) => return Started::Lost("this attempt was claimed before".into()),
                None if following.over => break "its leader ended before it began".to_string(),
                None => {}
            }
            match link.pump(until) {
                Ok(true) => {}
                Ok(false) => break "the node did not answer".into(),
                Err(Lost(why)) => break why,
            }
        };
        place.link = None;
        Started::Lost(end)
    }

    fn poll(&mut self, node: &str, claim: &Claim, wait: Duration) -> Progress {
        let i = match self.index(node) {
            Ok(i) => i,
            Err(e) => return Progress::Lost(e.why),
        };
        if self.nodes[i].1.step.as_ref().is_none_or(|(c, _)| c != claim) {
            if self.unrecorded(i).is_some() {
                return Progress::Lost("the node keeps no record of steps".into());
            }
            if self.nodes[i].1.step.is_some() {
                self.part(i);
            }
            if let Err(Lost(why)) = self.attach(i, claim) {
                return Progress::Lost(why);
            }
        }
        let until = now() + wait;
        loop {
            let place = &mut self.nodes[i].1;
            let (Some(link), Some((_, step))) = (place.link.as_mut(), place.step.as_mut()) else {
                return Progress::Lost("the session is gone".into());
            };
            let (next, over) = match step {
                Step::Recorded(following) => {
                    following.take(link);
                    let next = following.ready.pop_front();
                    (next, following.over && following.ready.is_empty())
                }
                Step::Bare(looking, waiting) => {
                    let (out, err) = looking.take(link);
                    for (errors, bytes) in [(false, out), (true, err)] {
                        if !bytes.is_empty() {
                            waiting.push(Progress::Output(errors, bytes));
                        }
                    }
                    let end = looking.ended();
                    match (waiting.is_empty(), end) {
                        (false, _) => (Some(waiting.remove(0)), false),
                        // Not understood, so nothing ran: as `sh` says of what it cannot run.
                        (true, Some(code)) => (Some(Progress::Done(code.unwrap_or(126))), true),
                        (true, None) => (None, false),
                    }
                }
            };
            if over {
                place.step = None;
            }
            if let Some(next) = next {
                return next;
            }
            if over {
                return Progress::Lost("the node said nothing of the step's end".into());
            }
            match link.pump(until) {
                Ok(true) => {}
                Ok(false) => {
                    let recorded = matches!(place.step, Some((_, Step::Recorded(_))));
                    if recorded && now() > link.heard + SILENCE {
                        self.part(i);
                        return Progress::Lost(format!("nothing was heard for {} s", SILENCE.as_secs()));
                    }
                    return Progress::Quiet;
                }
                Err(Lost(why)) => {
                    self.part(i);
                    return Progress::Lost(why);
                }
            }
        }
    }

    fn truth(&mut self, node: &str, claim: &Claim) -> Result<Truth, Unreachable> {
        let i = self.index(node)?;
        self.open(i).map_err(lost(node))?;
        if let Some(why) = self.unrecorded(i) {
            return Ok(Truth::Unknown(format!("the node keeps no record of steps: {why}")));
        }
        let about = self.about(i, claim);
        let words: Vec<&[u8]> = about.iter().map(Vec::as_slice).collect();
        self.ask_again(i, "hz_truth", &words, PROMPTLY).map(|said| truth(&said)).map_err(lost(node))
    }

    fn cancel(&mut self, node: &str, claim: &Claim, grace: Duration) -> Result<Truth, Unreachable> {
        let i = self.index(node)?;
        if let Some((c, Step::Bare(..))) = &self.nodes[i].1.step
            && c == claim
        {
            if let Some(group) = self.nodes[i].1.link.as_ref().and_then(|l| l.group) {
                self.kill(i, group);
            }
            self.nodes[i].1.step = None;
            self.nodes[i].1.link = None;
            return Ok(Truth::Unknown("it was killed; the node keeps no record of steps".into()));
        }
        self.open(i).map_err(lost(node))?;
        let about = self.about(i, claim);
        let seconds = grace.as_secs_f64().ceil().to_string();
        let mut words: Vec<&[u8]> = about.iter().map(Vec::as_slice).collect();
        words.push(seconds.as_bytes());
        self.ask_again(i, "hz_cancel", &words, PROMPTLY + grace).map(|said| truth(&said)).map_err(lost(node))
    }

    fn output(&mut self, node: &str, claim: &Claim) -> Result<(Value, Value), Unreachable> {
        let i = self.index(node)?;
        let (run, hash, cap) = (slug(&claim.run), name(node, claim), self.cap + (1 << 16));
        let link = self.free(i).map_err(lost(node))?;
        link.call("hz_output", &[run.as_bytes(), hash.as_bytes()]);
        let mut kept = (Kept::new(cap * 2), Kept::new(cap * 2));
        let mut looking = Looking::untagged(&link.mark());
        match live::look(link, &mut looking, PROMPTLY, &mut kept) {
            Ok(Some(_)) => Ok((Value(kept.0.finish()), Value(kept.1.finish()))),
            end => {
                self.drop_free(i);
                let why = end.err().map_or("no answer".into(), |Lost(why)| why);
                Err(Unreachable { node: node.into(), why })
            }
        }
    }

    fn alive(&mut self, address: &str, within: Duration) -> Option<String> {
        use std::io::Read;
        let address: std::net::IpAddr = address.parse().ok()?;
        let mut stream = std::net::TcpStream::connect_timeout(&(address, 22).into(), within).ok()?;
        stream.set_read_timeout(Some(within)).ok()?;
        let mut banner = [0u8; 64];
        // A connection that is accepted is a sign of life already; what it says is for the reader.
        let said = stream.read(&mut banner).unwrap_or(0);
        let text = String::from_utf8_lossy(&banner[..said]).lines().next().unwrap_or("").to_string();
        Some(if text.is_empty() {
            format!("{address} takes connections on port 22")
        } else {
            format!("{address} says `{text}` on port 22")
        })
    }

    fn syslog(&mut self, node: &str, line: &str) {
        let Ok(i) = self.index(node) else { return };
        let place = &self.nodes[i].1;
        // Not worth a connection, and never in the way of a step.
        if place.link.is_some() && place.step.is_none() {
            let _ = self.ask(i, "hz_syslog", &[&word(line.as_bytes())], Duration::from_secs(5));
        }
    }

    fn forget(&mut self, node: &str) {
        if let Ok(i) = self.index(node) {
            self.part(i);
            self.nodes[i].1.side = None;
        }
    }
}
