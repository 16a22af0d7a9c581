//! A tiny world in memory: nodes with facts, claims that outlive the engine, time that only moves when somebody waits.
//!
//! Why it exists: a story must be able to be every node, link, signal and power cut there is, exactly repeatable.
//! Invariants: a look is `is FACT`, true when the fact holds; a change is `make FACT` or `drop FACT`; whatever else a story
//! needs is scripted by the text of the command. What a node did stays done when the engine dies.

use hawiz::engine::Clock;
use hawiz::plan::Answer;
use hawiz::reach::*;
use hawiz::shell::Value;
use hawiz::signal::{Interrupts, Stop};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

/// What a command does when it is started; by default it has its effect and exits 0.
#[derive(Clone, Debug)]
pub enum Act {
    /// Exits so, without an effect.
    Fail(i32),
    /// Has its effect and exits so.
    Half(i32),
    /// Has its effect after so long; ended before that, it exits 143 without one.
    Slow(u64),
    /// As slow, but exits 0 when it is ended.
    Polite(u64),
    /// As slow, and does not end when told to.
    Stubborn(u64),
    Refused(&'static str),
    /// The link is lost while starting; this is the truth, with or without the effect.
    Lost(Truth, bool),
    /// Says this and exits 0.
    Says(&'static str),
}

#[derive(Clone, Debug)]
struct Running {
    text: String,
    ends: Duration,
    act: Option<Act>,
    truth: Option<Truth>,
    /// The effect was had.
    over: bool,
    out: Option<Vec<u8>>,
}

#[derive(Default)]
pub struct World {
    pub facts: BTreeSet<String>,
    /// Each change that had its effect, in order.
    pub trace: Vec<String>,
    pub log: Vec<String>,
    /// What a look answers instead, in turn; the last one stays.
    pub looks: BTreeMap<String, VecDeque<(i32, &'static str)>>,
    pub acts: BTreeMap<String, VecDeque<Act>>,
    pub down: BTreeSet<String>,
    pub alive: Option<&'static str>,
    pub identities: BTreeMap<String, String>,
    pub boots: BTreeMap<String, String>,
    /// node → run and words.
    pub locks: BTreeMap<String, (String, String)>,
    pub unrecorded: BTreeSet<String>,
    /// When this is written into the log, that happens.
    pub triggers: Vec<(String, Trigger)>,
    claims: BTreeMap<(String, String, u32), Running>,
}

#[derive(Clone, Debug)]
pub enum Trigger {
    Signal(Stop),
    Down(&'static str),
    Fact(&'static str),
    NoFact(&'static str),
    /// Hawiz is gone, right there.
    PowerCut,
}

#[derive(Clone)]
pub struct Shared {
    pub world: Rc<RefCell<World>>,
    pub now: Rc<Cell<Duration>>,
    pub signal: Rc<Cell<Option<Stop>>>,
}

/// What unwinds when the power is cut.
pub struct PowerCut;

impl Shared {
    pub fn say(&self, line: impl Into<String>) {
        let line = line.into();
        let mut w = self.world.borrow_mut();
        w.log.push(line.clone());
        let Some(i) = w.triggers.iter().position(|(t, _)| line.contains(t.as_str())) else { return };
        match w.triggers.remove(i).1 {
            Trigger::Signal(stop) => self.signal.set(Some(stop)),
            Trigger::Down(node) => drop(w.down.insert(node.into())),
            Trigger::Fact(fact) => drop(w.facts.insert(fact.into())),
            Trigger::NoFact(fact) => drop(w.facts.remove(fact)),
            Trigger::PowerCut => {
                drop(w);
                std::panic::resume_unwind(Box::new(PowerCut));
            }
        }
    }
    fn down(&self, node: &str) -> Result<(), Unreachable> {
        let down = self.world.borrow().down.contains(node);
        if down { Err(Unreachable { node: node.into(), why: "no route to it".into(), hint: None }) } else { Ok(()) }
    }
    /// Lets what has had its time have its effect.
    fn settle(&self) {
        let mut w = self.world.borrow_mut();
        let World { claims, facts, trace, .. } = &mut *w;
        for r in claims.values_mut().filter(|r| !r.over && r.ends <= self.now.get()) {
            r.over = true;
            if !matches!(r.act, Some(Act::Fail(_) | Act::Refused(_) | Act::Lost(_, false))) {
                effect(facts, trace, &r.text);
            }
        }
    }
}

fn effect(facts: &mut BTreeSet<String>, trace: &mut Vec<String>, text: &str) {
    match text.split_once(' ') {
        Some(("make", fact)) => drop(facts.insert(fact.into())),
        Some(("drop", fact)) => drop(facts.remove(fact)),
        _ => {}
    }
    trace.push(text.to_string());
}

impl Clock for Shared {
    fn now(&self) -> Duration {
        self.now.get()
    }
    fn utc(&self) -> String {
        "2018-06-24T20:13:10Z".into()
    }
    fn sleep(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }
}

impl Interrupts for Shared {
    fn pending(&self) -> Option<Stop> {
        self.signal.get()
    }
    fn name(&self) -> &'static str {
        if self.signal.get() == Some(Stop::Leave) { "SIGTERM" } else { "SIGINT" }
    }
    fn clear_interrupt(&self) {
        if self.signal.get() != Some(Stop::Leave) {
            self.signal.set(None);
        }
    }
}

/// A node's view of one script: what stands on its last line, with values put in.
fn text(sent: &Sent) -> String {
    let script = String::from_utf8_lossy(&sent.script).into_owned();
    let lines: Vec<&str> = script.trim_end().lines().collect();
    let mut text = lines.last().unwrap_or(&"").to_string();
    for line in &lines[..lines.len().saturating_sub(1)] {
        if let Some((name, value)) = line.split_once('=') {
            text = text.replace(&format!("${name}"), value.trim_matches('\''));
        }
    }
    text
}

impl Reach for Shared {
    fn greet(&mut self, node: &str) -> Result<Greeting, Unreachable> {
        self.down(node)?;
        let w = self.world.borrow();
        let unrecorded = w.unrecorded.contains(node).then(|| "its disk is read-only".to_string());
        Ok(Greeting {
            identity: w.identities.get(node).cloned(),
            boot: w.boots.get(node).cloned().unwrap_or_else(|| "boot1".into()),
            uid: 0,
            state: "/state".into(),
            unrecorded,
            addresses: Vec::new(),
            registers: Vec::new(),
        })
    }

    fn look(&mut self, node: &str, sent: &Sent, deadline: Duration) -> Result<Reply, Unreachable> {
        self.down(node)?;
        self.settle();
        let text = text(sent);
        let mut w = self.world.borrow_mut();
        for key in [format!("{node}: {text}"), text.clone()] {
            if let Some(queue) = w.looks.get_mut(&key) {
                let (code, out) = if queue.len() > 1 { queue.pop_front().expect("two at least") } else { queue[0] };
                let out: Value = if out.is_empty() { Value::default() } else { format!("{out}\n").into() };
                let problem = (code < 0).then(|| format!("it did not end within {deadline:?} and was killed"));
                return Ok(Reply { code: (code >= 0).then_some(code), out, err: Value::default(), problem });
            }
        }
        // Whatever else is looked for (a sign of life) is not there.
        let fact = text.strip_prefix("is ").unwrap_or("nothing of the kind");
        let yes = w.facts.contains(fact) || w.facts.contains(&format!("{node}: {fact}"));
        Ok(Reply { code: Some(i32::from(!yes)), ..Reply::default() })
    }

    fn lock(&mut self, node: &str, run: &str, _marker: &str, holder: &str) -> Result<Locked, Unreachable> {
        self.down(node)?;
        let mut w = self.world.borrow_mut();
        if w.unrecorded.contains(node) {
            return Ok(Locked::Impossible("its disk is read-only".into()));
        }
        match w.locks.get(node) {
            Some((other, words)) if other != run => Ok(Locked::Held(words.clone())),
            _ => {
                w.locks.insert(node.into(), (run.into(), holder.into()));
                let id = format!("id-{node}");
                w.identities.entry(node.into()).or_insert(id);
                Ok(Locked::Ours)
            }
        }
    }

    fn unlock(&mut self, node: &str, run: &str) -> Result<(), Unreachable> {
        self.down(node)?;
        let mut w = self.world.borrow_mut();
        if w.locks.get(node).is_some_and(|(r, _)| r == run) {
            w.locks.remove(node);
        }
        Ok(())
    }

    fn break_lock(&mut self, _: &str, _: &str) -> Result<Option<String>, Unreachable> {
        unreachable!("the engine never breaks a lock")
    }

    fn start(&mut self, node: &str, claim: &Claim, sent: &Sent) -> Started {
        let text = text(sent);
        if let Err(u) = self.down(node) {
            return Started::Refused(u.why);
        }
        let key = (node.to_string(), claim.step.clone(), claim.attempt);
        let mut w = self.world.borrow_mut();
        if w.claims.contains_key(&key) {
            return Started::Lost("this attempt was claimed before".into());
        }
        let unlocked = !w.unrecorded.contains(node) && w.locks.get(node).is_none_or(|(run, _)| *run != claim.run);
        if unlocked {
            return Started::Refused("the lock was taken over".into());
        }
        let act = w.acts.get_mut(&text).and_then(|acts| acts.pop_front());
        let slow = match act {
            Some(Act::Slow(n) | Act::Polite(n) | Act::Stubborn(n)) => n,
            _ => 0,
        };
        let out = matches!(act, Some(Act::Says(_))).then(|| match act {
            Some(Act::Says(words)) => format!("{words}\n").into_bytes(),
            _ => Vec::new(),
        });
        let truth = match &act {
            Some(Act::Lost(truth, _)) => Some(truth.clone()),
            _ => None,
        };
        if let Some(Act::Refused(why)) = act {
            return Started::Refused(why.into());
        }
        let ends = self.now.get() + Duration::from_secs(slow);
        let lost = truth.is_some();
        w.claims.insert(key, Running { text: text.clone(), ends, act, truth, over: false, out });
        drop(w);
        self.settle();
        self.say(format!("    {node}$ {text}"));
        if lost { Started::Lost("the link was cut".into()) } else { Started::Running }
    }

    /// A claim whose command does nothing; where the script lies is its text and the number of the attempt.
    fn lay(&mut self, node: &str, claim: &Claim, sent: &Sent) -> Result<String, String> {
        let lay = Sent { script: b"lay".to_vec(), ..Sent::default() };
        match self.start(node, claim, &lay) {
            Started::Running => Ok(format!("`{}` #{}", text(sent), claim.attempt)),
            Started::Refused(why) | Started::Lost(why) => Err(why),
        }
    }

    fn poll(&mut self, node: &str, claim: &Claim, wait: Duration) -> Progress {
        if self.down(node).is_err() {
            return Progress::Lost("the link was cut".into());
        }
        let key = (node.to_string(), claim.step.clone(), claim.attempt);
        let mut w = self.world.borrow_mut();
        let r = w.claims.get_mut(&key).expect("what is followed was started");
        if let Some(out) = r.out.take() {
            return Progress::Output(false, out);
        }
        if r.ends <= self.now.get() {
            let code = code(r);
            drop(w);
            self.settle();
            return Progress::Done(code);
        }
        drop(w);
        self.now.set(self.now.get() + wait);
        Progress::Quiet
    }

    fn truth(&mut self, node: &str, claim: &Claim) -> Result<Truth, Unreachable> {
        self.down(node)?;
        self.settle();
        let mut w = self.world.borrow_mut();
        if w.unrecorded.contains(node) {
            return Ok(Truth::Unknown("the node keeps no record of steps".into()));
        }
        let rebooted = w.boots.get(node).is_some_and(|b| *b != claim.boot);
        let key = (node.to_string(), claim.step.clone(), claim.attempt);
        match w.claims.get_mut(&key) {
            Some(r) => Ok(match &r.truth {
                Some(Truth::Running) if r.ends + Duration::from_secs(3) > self.now.get() => {
                    r.ends = self.now.get() + Duration::from_secs(3);
                    r.truth = None;
                    Truth::Running
                }
                Some(truth) => truth.clone(),
                None if r.ends > self.now.get() => Truth::Running,
                None => Truth::Done(code(r)),
            }),
            None if rebooted => Ok(Truth::Unknown("it was rebooted since".into())),
            None => {
                // From now on nobody can start it.
                let text = "revoked".to_string();
                let truth = Some(Truth::Never);
                let ends = self.now.get();
                w.claims.insert(key, Running { text, ends, act: Some(Act::Fail(1)), truth, over: true, out: None });
                Ok(Truth::Never)
            }
        }
    }

    fn cancel(&mut self, node: &str, claim: &Claim, _grace: Duration) -> Result<Truth, Unreachable> {
        self.down(node)?;
        let key = (node.to_string(), claim.step.clone(), claim.attempt);
        let mut w = self.world.borrow_mut();
        if w.unrecorded.contains(node) {
            return Ok(Truth::Unknown("it was killed; the node keeps no record of steps".into()));
        }
        let r = w.claims.get_mut(&key).expect("what is ended was started");
        Ok(match r.act {
            Some(Act::Stubborn(_)) => Truth::Running,
            _ if r.ends <= self.now.get() => Truth::Done(code(r)),
            Some(Act::Polite(_)) => {
                (r.over, r.ends) = (true, self.now.get());
                Truth::Done(0)
            }
            _ => {
                (r.over, r.ends, r.truth) = (true, self.now.get(), Some(Truth::Done(143)));
                Truth::Done(143)
            }
        })
    }

    fn output(&mut self, node: &str, _: &Claim) -> Result<(Value, Value), Unreachable> {
        self.down(node)?;
        Ok((Value::default(), Value::default()))
    }

    fn alive(&mut self, _: &str, _: Duration) -> Option<String> {
        self.world.borrow().alive.map(String::from)
    }

    fn syslog(&mut self, _: &str, _: &str) {}
    fn forget(&mut self, _: &str) {}
}

fn code(r: &Running) -> i32 {
    match r.act {
        Some(Act::Fail(code) | Act::Half(code)) => code,
        _ => 0,
    }
}

/// How a look's answer stands in a transcript.
pub fn word(a: Answer) -> &'static str {
    match a {
        Answer::Yes => "yes",
        Answer::No => "no",
        Answer::Unsettled => "unsettled",
        Answer::CouldNotLook => "could not look",
    }
}
