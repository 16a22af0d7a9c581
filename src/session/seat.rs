//! One node's place in a fleet: its streams, its greeting, the step that is followed there.
//!
//! Why it exists: whatever is asked of several nodes is asked side by side, so that nothing here may know of another node.
//! Invariant: a second stream is opened only while the first is busy with a step or a look that has to be ended.

use super::copy::Copying;
use super::door::{Door, Opened, PROMPTLY};
use super::live::{self, Following, Looking, Word, truth};
use super::lock::Held;
use super::wire::{self, Kept, Link, Lost, now, random, word};
use crate::reach::{Claim, Greeting, Progress, Reply, Sent, Started, Truth, Unreachable};
use crate::register::Register;
use crate::shell::Value;
use crate::transport::Trouble;
use sha2::{Digest, Sha256};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A step that is followed says something at least every second, even if only that it has nothing to say; one that is to
/// start says so at once. A dead peer must be noticed within 20 s.
const SILENCE: Duration = Duration::from_secs(17);
/// How long a session that was lost is tried to be had again for a question that may be repeated: a lock whose answer was
/// lost would stay, a step that was to be stopped would go on.
const RETURN: Duration = Duration::from_secs(10);
/// A failure this old says nothing of now.
pub(super) const A_MOMENT: Duration = Duration::from_secs(5);
const LOOK_CAP: usize = 1 << 20;
const STEP_CAP: usize = 64 << 20;

/// The step that is followed on a node's first stream.
pub(super) enum Step {
    Recorded(Following),
    /// On a node without claims: its own streams are the session's.
    Bare(Looking, Vec<Progress>),
}

/// What standard output and standard error have said.
type Both = (Kept, Kept);

pub struct Seat {
    pub door: Door,
    /// Most bytes of a step's output that are kept, per stream.
    pub cap: usize,
    /// A session that is being opened elsewhere, or was; and when that ended.
    pub(super) expected: Option<Receiver<(Opened, Duration)>>,
    /// Somebody vouches for it: a session is waited for no longer than this, counted from when it was begun to be opened.
    pub(super) hurry: Option<Duration>,
    pub(super) begun: Duration,
    pub(super) link: Option<Link>,
    /// For what must be said while `link` is busy.
    side: Option<Link>,
    pub(super) greeting: Option<Greeting>,
    /// The generation of the lock this run has, or had when it gave it back in order.
    pub(super) held: Option<Held>,
    /// What a copy of the journal is made from, and how far that is.
    pub(super) copy: Copying,
    /// By whom the lock was taken, once the node has said so.
    pub(super) taken: Option<String>,
    /// Other runs that have changed it since this one did, as the node said when it gave the lock.
    pub(super) later: Vec<String>,
    /// It did not say in time whether its lock is still this run's: not asked again.
    pub(super) mute: bool,
    /// The names of the stations that this run has come by, this one's last.
    pub(super) stations: String,
    pub(super) step: Option<(Claim, Step)>,
    /// Bytes of the last step's output that were handed on, to go on there after a lost link.
    told: Option<(Claim, [u64; 2])>,
    /// Claims whose output is removed after it was read.
    secret: Option<Claim>,
}

/// A run's id as a file name.
pub(super) fn slug(run: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !run.is_empty() && run.len() < 100 && run.chars().all(safe) { run.to_string() } else { hash(&[run]) }
}

pub(super) fn hash(parts: &[&str]) -> String {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part.as_bytes());
    }
    sha.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect()
}

impl Seat {
    pub fn new(door: Door) -> Seat {
        Seat {
            door,
            cap: STEP_CAP,
            expected: None,
            hurry: None,
            begun: Duration::ZERO,
            link: None,
            side: None,
            greeting: None,
            held: None,
            taken: None,
            later: Vec::new(),
            mute: false,
            copy: Copying::default(),
            stations: String::new(),
            step: None,
            told: None,
            secret: None,
        }
    }
    pub fn is_open(&self) -> bool {
        self.link.is_some()
    }
    /// The name of a claim's directory.
    fn hash(&self, claim: &Claim) -> String {
        hash(&[&claim.run, &self.door.node.name, &claim.step, &claim.attempt.to_string()])
    }
    /// Where its session is wanted soon: what opens it, and where to say what came of that. `None`: it is there already.
    pub fn expect(&mut self) -> Option<(Door, Sender<(Opened, Duration)>)> {
        if self.link.is_some() || self.expected.is_some() {
            return None;
        }
        let (told, heard) = channel();
        self.expected = Some(heard);
        self.begun = now();
        Some((self.door.clone(), told))
    }
    fn open(&mut self) -> Result<(), Trouble> {
        // What ended while nobody was asking is no loss; behind a step there may still be output to read.
        if self.step.is_none() && self.link.as_mut().is_some_and(Link::has_ended) {
            self.link = None;
        }
        if self.link.is_none() {
            let early = match self.hurry {
                Some(within) => self.soon(within)?,
                None => self.expected.take().and_then(|e| e.recv().ok()),
            };
            let (link, greeting) = match early {
                Some((Ok(opened), _)) => opened,
                // What could not be reached a moment ago still cannot.
                Some((Err(t), at)) if now().saturating_sub(at) < A_MOMENT => return Err(t),
                _ => self.door.connect()?,
            };
            self.link = Some(link);
            self.greeting = Some(greeting);
            self.copy.link_is_new();
            if let (Some(held), Some(link)) = (self.held.as_ref().filter(|h| !h.given_back), &mut self.link) {
                link.set(format!("hz_gen=$hz_state/lock/{}", held.generation).as_bytes());
            }
        }
        Ok(())
    }
    pub fn greet(&mut self) -> Result<Greeting, Unreachable> {
        self.open().map_err(|t| self.door.shut(t))?;
        Ok(self.greeting.clone().expect("open made it"))
    }
    /// The stream that is free to be asked something: the first, or a second one while a step is followed on the first.
    pub(super) fn free(&mut self) -> Result<&mut Link, Lost> {
        self.open()?;
        if self.step.is_none() {
            return Ok(self.link.as_mut().expect("open made it"));
        }
        if self.side.is_none() {
            self.side = Some(self.door.connect()?.0);
        }
        Ok(self.side.as_mut().expect("just made"))
    }
    /// Asks something short. A stream that fails is dropped, so that the next question gets a fresh one.
    pub(super) fn ask(&mut self, function: &str, words: &[&[u8]], wait: Duration) -> Result<String, Lost> {
        let link = self.free()?;
        link.call(function, words);
        match link.answer(wait) {
            Ok(answer) => Ok(String::from_utf8_lossy(&answer).into_owned()),
            Err(e) => {
                self.drop_free();
                Err(e)
            }
        }
    }
    pub(super) fn drop_free(&mut self) {
        if self.step.is_some() { self.side = None } else { self.link = None }
    }
    /// Like [`Seat::ask`], on a fresh stream if the one at hand turned out to be dead. For questions that may be repeated.
    pub(super) fn ask_again(&mut self, function: &str, words: &[&[u8]], wait: Duration) -> Result<String, Lost> {
        let old = self.link.is_some();
        match self.ask(function, words, wait) {
            Err(_) if old => {
                self.return_until(now() + RETURN)?;
                self.ask(function, words, wait)
            }
            answer => answer,
        }
    }
    /// A free stream. `old`: there was one a moment ago, so the node may be back in a moment.
    fn have(&mut self, old: bool, until: Duration) -> Result<(), Lost> {
        if old { self.return_until(until) } else { self.free().map(drop) }
    }
    /// Tries to have a free stream again, with growing pauses.
    fn return_until(&mut self, until: Duration) -> Result<(), Lost> {
        let mut pause = Duration::from_millis(100);
        loop {
            let lost = match self.free() {
                Ok(_) => return Ok(()),
                Err(lost) => lost,
            };
            if now() + pause > until {
                return Err(lost);
            }
            self.mistrust();
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }
    /// Ends what runs on a busy stream, through another one.
    fn kill(&mut self, pid: u32) {
        let Ok((mut side, _)) = self.door.connect() else { return };
        side.call("hz_kill", &[pid.to_string().as_bytes()]);
        let _ = side.answer(PROMPTLY);
    }
    /// Kills a look that is late, and the session with it: one process group. What it had said is kept.
    fn end_look(&mut self, looking: &mut Looking, kept: &mut (Kept, Kept)) {
        let Ok(group) = self.free().map(|link| link.group) else { return };
        if let Some(group) = group {
            self.kill(group);
        }
        if let Ok(link) = self.free() {
            let _ = live::look(link, looking, Duration::from_millis(100), kept);
        }
        self.drop_free();
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
    fn attach(&mut self, claim: &Claim) -> Result<(), Lost> {
        self.open()?;
        let hash = self.hash(claim);
        let link = self.link.as_mut().expect("open made it");
        let secret: &[u8] = if self.secret.as_ref() == Some(claim) { b"1" } else { b"0" };
        link.call("hz_attach", &[slug(&claim.run).as_bytes(), hash.as_bytes(), secret]);
        let told = self.told.take().filter(|(c, _)| c == claim).map_or([0; 2], |(_, told)| told);
        let following = Following::new(link.mark(), told);
        self.step = Some((claim.clone(), Step::Recorded(following)));
        Ok(())
    }
    /// The link is silent: what comes next needs a connection that is not the one which may hang.
    fn mistrust(&mut self) {
        self.door.ways.forget(&self.door.node);
    }
    /// The link under a step is gone: remember how much was told.
    fn part(&mut self) {
        self.link = None;
        if let Some((claim, Step::Recorded(following))) = self.step.take() {
            self.told = Some((claim, following.told));
        }
    }
    /// What every question about a claim names.
    fn about(&self, claim: &Claim) -> [Vec<u8>; 4] {
        [
            slug(&claim.run).into_bytes(),
            self.hash(claim).into_bytes(),
            crate::shell::quote(claim.marker.as_bytes()),
            crate::shell::quote(claim.boot.as_bytes()),
        ]
    }
    fn unrecorded(&self) -> Option<String> {
        self.greeting.as_ref().and_then(|g| g.unrecorded.clone())
    }

    /// A look changes nothing, so one whose link was lost is taken once more, over a fresh one, in the time that is left.
    pub fn look(&mut self, sent: &Sent, deadline: Duration) -> Result<Reply, Unreachable> {
        let until = now() + deadline;
        let old = self.link.is_some();
        self.have(old, until.min(now() + RETURN)).map_err(self.door.lost())?;
        let (kept, Lost(why)) = match self.look_once(sent, deadline)? {
            Ok(reply) => return Ok(reply),
            Err(lost) => lost,
        };
        if self.return_until(until.min(now() + RETURN)).is_ok()
            && let left = until.saturating_sub(now())
            && !left.is_zero()
            && let Ok(Ok(reply)) = self.look_once(sent, left)
        {
            return Ok(reply);
        }
        Ok(live::reply(None, kept, Some(format!("the link was lost: {why}"))))
    }
    /// The inner error: what had been said when the link was lost.
    fn look_once(&mut self, sent: &Sent, deadline: Duration) -> Result<Result<Reply, (Both, Lost)>, Unreachable> {
        let lost = self.door.lost();
        let link = self.free().map_err(lost)?;
        let mut looking = Self::begin_look(link, sent);
        let mut kept = (Kept::new(LOOK_CAP), Kept::new(LOOK_CAP));
        let late = match live::look(link, &mut looking, deadline, &mut kept) {
            Ok(Some(code)) => {
                self.taken = looking.taken().or_else(|| self.taken.take());
                let problem = code.is_none().then(|| "`sh` did not understand the text, nothing of it ran".into());
                return Ok(Ok(live::reply(code, kept, problem)));
            }
            Ok(None) => format!("it did not end within {deadline:?} and was killed"),
            Err(lost) => {
                self.drop_free();
                return Ok(Err((kept, lost)));
            }
        };
        self.end_look(&mut looking, &mut kept);
        Ok(Ok(live::reply(None, kept, Some(late))))
    }

    pub fn inscribe(&mut self, register: &Register) -> Result<(), String> {
        let (name, epoch) = (slug(&register.system), register.epoch.to_string());
        let words: [&[u8]; 3] = [name.as_bytes(), epoch.as_bytes(), &word(register.text().as_bytes())];
        let answer = self.ask_again("hz_inscribe", &words, PROMPTLY).map_err(|lost| lost.0)?;
        match answer.trim().split_once(' ') {
            None if answer.trim() == "written" => {
                let greeting = self.greeting.as_mut().expect("it answered, so it was greeted");
                greeting.registers.retain(|r| r.system != register.system);
                greeting.registers.push(register.clone());
                Ok(())
            }
            Some(("newer", _)) => Err("what stands there is newer".into()),
            Some((_, why)) => Err(why.to_string()),
            None => Err("the node did not say".into()),
        }
    }

    pub fn start(&mut self, claim: &Claim, sent: &Sent) -> Started {
        let old = self.link.is_some();
        if self.step.is_some() {
            // The step before was left; its record stays, its stream is not needed.
            self.part();
        }
        if let Err(Lost(why)) = self.have(old, now() + RETURN) {
            return Started::Refused(why);
        }
        if self.greeting.as_ref().is_some_and(|g| g.boot != claim.boot) {
            // What the steps before did may be gone with it; a resume looks.
            return Started::Refused("the node was rebooted meanwhile".into());
        }
        let bare = self.unrecorded().is_some();
        let (cap, hash) = (self.cap.to_string(), self.hash(claim));
        let link = self.link.as_mut().expect("open made it");
        if bare {
            let looking = Self::begin_look(link, sent);
            self.step = Some((claim.clone(), Step::Bare(looking, Vec::new())));
            return Started::Running;
        }
        let Some(Held { run, generation, given_back: false }) = self.held.clone() else {
            return Started::Refused("the node's lock is not held".into());
        };
        let room = self.carry();
        let link = self.link.as_mut().expect("open made it");
        let stdin = sent.stdin.as_ref().map_or_else(
            || b"-".to_vec(),
            |bytes| {
                // What the leader gets is decoded there, so the word's quotes stay and its escapes are kept whole.
                [&b"'+"[..], &word(bytes)[1..]].concat()
            },
        );
        let secret: &[u8] = if sent.secret { b"1" } else { b"0" };
        link.call(
            "hz_start",
            &[
                run.as_bytes(),
                generation.as_bytes(),
                hash.as_bytes(),
                &word(&sent.script),
                &stdin,
                secret,
                cap.as_bytes(),
            ],
        );
        self.secret = sent.secret.then(|| claim.clone());
        let mut following = Following::new(link.mark(), [0; 2]);
        let until = now() + SILENCE + room;
        let end = loop {
            following.take(link);
            if following.word.is_some() {
                self.copy.arrived(following.torn);
            }
            match following.word.take() {
                Some(Word::Begun) => {
                    self.step = Some((claim.clone(), Step::Recorded(following)));
                    return Started::Running;
                }
                Some(Word::Refused(why)) => return Started::Refused(why),
                Some(Word::Exists) => return Started::Lost("this attempt was claimed before".into()),
                None if following.over => break "its leader ended before it began".to_string(),
                None => {}
            }
            match link.pump(until) {
                Ok(true) => {}
                Ok(false) => break format!("nothing was heard for {} s", SILENCE.as_secs()),
                Err(Lost(why)) => break why,
            }
        };
        self.link = None;
        self.mistrust();
        Started::Lost(end)
    }

    pub fn poll(&mut self, claim: &Claim, wait: Duration) -> Progress {
        if self.step.as_ref().is_none_or(|(c, _)| c != claim) {
            if self.unrecorded().is_some() {
                return Progress::Lost("the node keeps no record of steps".into());
            }
            if self.step.is_some() {
                self.part();
            }
            if let Err(Lost(why)) = self.attach(claim) {
                return Progress::Lost(why);
            }
        }
        let until = now() + wait;
        loop {
            let (Some(link), Some((_, step))) = (self.link.as_mut(), self.step.as_mut()) else {
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
                self.step = None;
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
                    let recorded = matches!(self.step, Some((_, Step::Recorded(_))));
                    if recorded && now() > link.heard + SILENCE {
                        self.part();
                        self.mistrust();
                        return Progress::Lost(format!("nothing was heard for {} s", SILENCE.as_secs()));
                    }
                    return Progress::Quiet;
                }
                Err(Lost(why)) => {
                    self.part();
                    return Progress::Lost(why);
                }
            }
        }
    }

    pub fn truth(&mut self, claim: &Claim) -> Result<Truth, Unreachable> {
        self.open().map_err(|t| self.door.shut(t))?;
        if let Some(why) = self.unrecorded() {
            return Ok(Truth::Unknown(format!("the node keeps no record of steps: {why}")));
        }
        let about = self.about(claim);
        let words: Vec<&[u8]> = about.iter().map(Vec::as_slice).collect();
        self.ask_again("hz_truth", &words, PROMPTLY).map(|said| truth(&said)).map_err(self.door.lost())
    }

    pub fn cancel(&mut self, claim: &Claim, grace: Duration) -> Result<Truth, Unreachable> {
        if let Some((c, Step::Bare(..))) = &self.step
            && c == claim
        {
            if let Some(group) = self.link.as_ref().and_then(|l| l.group) {
                self.kill(group);
            }
            self.step = None;
            self.link = None;
            return Ok(Truth::Unknown("it was killed; the node keeps no record of steps".into()));
        }
        self.open().map_err(|t| self.door.shut(t))?;
        let about = self.about(claim);
        let seconds = grace.as_secs_f64().ceil().to_string();
        let mut words: Vec<&[u8]> = about.iter().map(Vec::as_slice).collect();
        words.push(seconds.as_bytes());
        self.ask_again("hz_cancel", &words, PROMPTLY + grace).map(|said| truth(&said)).map_err(self.door.lost())
    }

    pub fn output(&mut self, claim: &Claim) -> Result<(Value, Value), Unreachable> {
        let (run, hash, cap) = (slug(&claim.run), self.hash(claim), self.cap + (1 << 16));
        let lost = self.door.lost();
        let link = self.free().map_err(lost)?;
        link.call("hz_output", &[run.as_bytes(), hash.as_bytes()]);
        let mut kept = (Kept::new(cap * 2), Kept::new(cap * 2));
        let mut looking = Looking::untagged(&link.mark());
        match live::look(link, &mut looking, PROMPTLY, &mut kept) {
            Ok(Some(_)) => Ok((Value(kept.0.finish()), Value(kept.1.finish()))),
            end => {
                self.drop_free();
                Err(self.door.lost()(end.err().unwrap_or_else(|| Lost("no answer".into()))))
            }
        }
    }

    pub fn forget(&mut self) {
        self.part();
        self.side = None;
        self.mistrust();
    }
}
