//! Tells a story: plans in few words, sittings, and the transcript that is the expectation.
//!
//! Invariant: the transcript has one line an event, a question or a command on a node, in the order they happened.
//! `HAWIZ_BLESS=1` writes the expectations anew; each is to be read before it is kept.

use crate::world::*;
use hawiz::engine::{Ending, Engine, Settings, Sink};
use hawiz::event::{Event, Outcome, Proven, Record};
use hawiz::history::History;
use hawiz::plan::*;
use hawiz::prompt::answers::Scripted;
use hawiz::prompt::{Answer as Said, Choice, Given, Prompter, Question};
use hawiz::shell::{Command, Value, Want, Word};
use hawiz::signal::Stop;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A command; `$x<key` in it says where a run-time value comes from.
pub fn command(text: &str) -> Command {
    let mut command = Command::default();
    let mut out = Vec::new();
    for word in text.split(' ') {
        match word.strip_prefix('$').and_then(|w| w.split_once('<')) {
            Some((var, key)) => {
                command.wants.push(Want { var: var.into(), key: key.into(), from: format!("`{key}`") });
                out.push(format!("${var}"));
            }
            None => out.push(word.into()),
        }
    }
    command.text = Value::from(out.join(" "));
    command
}

pub fn look(text: &str) -> Look {
    let (reading, text) = match text.strip_prefix("catalog ") {
        Some(text) => (Reading::Catalog, text),
        None => (Reading::Script, text),
    };
    Look { command: command(text), not: false, reading, kind: "sh".into() }
}

fn step(name: &str, on: &str, what: What) -> Step {
    let changes = !matches!(what, What::Check(_));
    let place = match on.split_once(':') {
        Some(("role", key)) => Place::Role(key.into()),
        Some(("one", nodes)) => Place::OneOf { key: "one".into(), nodes: nodes.split(',').map(String::from).collect() },
        _ => Place::Node(on.into()),
    };
    Step {
        id: format!("p/{name}"),
        instance: format!("p/{name}@{on}"),
        items: Vec::new(),
        title: Word::literal(name),
        about: String::new(),
        place,
        what,
        when: None,
        within: secs(if changes { 4 } else { 0 }),
        every: secs(2),
        deadline: changes.then(|| secs(300)),
        look_deadline: secs(30),
        tries: 1,
        wait: secs(3),
        on_failure: OnFailure::Stop,
        capture: Vec::new(),
        show: false,
        exclusive: false,
        early: None,
        reverses: None,
    }
}

/// `x` is started by `make x`, looked at by `is x`, undone by `drop x`.
pub fn change(fact: &str, on: &str) -> Step {
    let done = Some(look(&format!("is {fact}")));
    let undo = Undo::Run(command(&format!("drop {fact}")));
    let (run, exits, kind) = (command(&format!("make {fact}")), vec![0], "sh".to_string());
    step(fact, on, What::Change(Box::new(Change { done, run, verify: Vec::new(), undo, exits, tty: false, kind })))
}

/// A change without a look.
pub fn blind(fact: &str, on: &str) -> Step {
    change(fact, on).edit(|c| c.done = None)
}

pub fn check(fact: &str, on: &str) -> Step {
    check_on(fact, &[on], TrueOn::All)
}

pub fn check_on(fact: &str, on: &[&str], true_on: TrueOn) -> Step {
    let looks = on.iter().map(|n| (Place::Node(n.to_string()), look(&format!("is {fact}")))).collect();
    step(&format!("{fact}?"), on[0], What::Check(Check { looks, true_on, role: None, same: false, lost: 0 }))
}

pub fn manual(fact: &str, on: &str, done: bool) -> Step {
    let done = done.then(|| look(&format!("is {fact}")));
    let text = Word::literal(format!("do {fact} by hand"));
    let undo = Undo::Manual(Word::literal(format!("take {fact} back by hand")));
    step(fact, on, What::Manual(Box::new(Manual { text, done, verify: None, undo })))
}

pub trait Edit: Sized {
    fn edit(self, f: impl FnOnce(&mut Change)) -> Self;
    fn set(self, f: impl FnOnce(&mut Step)) -> Self;
    fn when(self, text: &str) -> Self {
        let when = look(text);
        self.set(|s| s.when = Some(when))
    }
    fn tries(self, n: u32) -> Self {
        self.set(|s| s.tries = n)
    }
    fn on_failure(self, f: OnFailure) -> Self {
        self.set(|s| s.on_failure = f)
    }
    fn exclusive(self) -> Self {
        self.set(|s| s.exclusive = true)
    }
    fn verify(self, text: &str) -> Self {
        let verify = look(text);
        self.edit(|c| c.verify.push(verify))
    }
    fn undo(self, undo: Undo) -> Self {
        self.edit(|c| c.undo = undo)
    }
    fn kind(self, kind: &str) -> Self {
        self.edit(|c| c.kind = kind.into())
    }
    fn capture(self, name: &str) -> Self {
        self.set(|s| s.capture.push((name.into(), name.into())))
    }
}

impl Edit for Step {
    fn edit(mut self, f: impl FnOnce(&mut Change)) -> Step {
        match &mut self.what {
            What::Change(c) => f(c),
            _ => panic!("not a change"),
        }
        self
    }
    fn set(mut self, f: impl FnOnce(&mut Step)) -> Step {
        f(&mut self);
        self
    }
}

pub fn stage(id: &str, gate: Gate, steps: Vec<Step>) -> Stage {
    let (id, title) = (format!("p/{id}"), id.to_string());
    let (about, digest) = (String::new(), "5a".to_string());
    Stage { id, title, about, owner: None, gate, when: None, when_on: None, done: None, of: None, steps, digest }
}

/// A plan of one asked stage about `a`.
pub fn plain(steps: Vec<Step>) -> Plan {
    plan(vec![stage("go", Gate::Ask, steps)])
}

pub fn plan(stages: Vec<Stage>) -> Plan {
    let node = |name: &str| Node {
        name: name.into(),
        how: How::Local,
        login: Default::default(),
        address: Some(format!("10.0.0.{}", name.len())),
        become_root: None,
        state: None,
        group: None,
        vars: Vec::new(),
    };
    Plan {
        format: FORMAT,
        hawiz: "0".into(),
        procedure: "activate".into(),
        title: "A story".into(),
        about: String::new(),
        sources: Vec::new(),
        target: Some("a".into()),
        here: None,
        nodes: vec![node("a"), node("b")],
        env: Vec::new(),
        functions: Vec::new(),
        inputs: Vec::new(),
        secrets: Vec::new(),
        captures: Vec::new(),
        all: vec![],
        exclusive: false,
        activates: false,
        proof: Vec::new(),
        stages,
        closing: None,
        undone: None,
        reactivation: None,
        failover: None,
        off: Vec::new(),
        fences: Vec::new(),
        moving: Vec::new(),
        alive: Vec::new(),
        paths: Vec::new(),
        addresses: Vec::new(),
        digest: "d1".into(),
    }
}

/// The same plan in a system where `b` must be proven inactive first.
pub fn exclusive(mut plan: Plan) -> Plan {
    let proof = |node: &str| Proof { node: node.into(), steps: vec![check("quiet", node)] };
    (plan.exclusive, plan.activates) = (true, true);
    plan.proof = vec![proof("a"), proof("b")];
    plan.reactivation = Some(Gate::Ask);
    plan
}

pub fn deactivate(mut plan: Plan) -> Plan {
    plan = exclusive(plan);
    plan.activates = false;
    plan.procedure = "deactivate".into();
    plan.closing = Some(plan.proof[0].clone());
    plan
}

pub fn retry() -> Said {
    Said::Choice(Choice::Retry, None)
}
pub fn look_again() -> Said {
    Said::Choice(Choice::LookAgain, None)
}
pub fn skip(why: &str) -> Said {
    Said::Choice(Choice::Skip, Some(why.into()))
}
pub fn choose(c: Choice) -> Said {
    Said::Choice(c, None)
}

/// A person whose answers are written down; asked more, they press q.
struct Person {
    at: Shared,
    answers: VecDeque<Said>,
    takes: Rc<Cell<u64>>,
}

impl Prompter for Person {
    fn ask(&mut self, question: &Question) -> Given {
        let words = match question {
            Question::Gate { .. } => None,
            Question::Failure { lines, offers, .. } => {
                let offers: Vec<String> = offers.iter().map(|o| format!("{o:?}").to_lowercase()).collect();
                Some(format!("? {} ({})", lines[0], offers.join(" ")))
            }
            Question::Manual { lines, capture, .. } => {
                let capture = capture.as_ref().map(|c| format!(" [{c}]")).unwrap_or_default();
                Some(format!("? {}{capture}", lines.join(" / ")))
            }
            Question::Overdue { lines, after, .. } => Some(format!("? {} (after {}s)", lines[0], after.as_secs())),
            Question::Attest { node, lines } => Some(format!("? vouch for {node}: {}", lines.join(" / "))),
            Question::Terminal { node, file, .. } => Some(format!("? terminal for {file} on {node}")),
            Question::Unknown { lines, .. } => Some(format!("? did it happen: {}", lines.join(" / "))),
            Question::Undo { lines, gate, active, .. } => {
                let typed = if let Gate::Type(word) = gate { format!(", type `{word}`") } else { String::new() };
                let active = active.as_ref().map(|n| format!(" (makes {n} active{typed})")).unwrap_or_default();
                Some(format!("? undo{active}: {}", lines.join(" / ")))
            }
            other => Some(format!("? {other:?}")),
        };
        let answer = self.answers.pop_front().unwrap_or(Said::Quit);
        if let Some(words) = words {
            self.at.say(format!("{words} -> {}", said(&answer)));
        } else if answer == Said::Again {
            self.at.say("(stopped and gone on with)");
        }
        let took = secs(self.takes.replace(0));
        self.at.now.set(self.at.now.get() + took);
        self.at.signal.set(self.at.signal.get().filter(|s| *s == Stop::Leave));
        Given { answer, by: "person", took }
    }
    fn person(&self) -> bool {
        true
    }
}

fn said(answer: &Said) -> String {
    match answer {
        Said::Choice(c, reason) => {
            let reason = reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
            format!("{c:?}{reason}").to_lowercase()
        }
        Said::Text(v) => format!("`{}`", v.lossy()),
        Said::Stop(why) => format!("stop: {why}"),
        Said::Ran(ended) => format!("{ended:?}").to_lowercase(),
        other => format!("{other:?}").to_lowercase(),
    }
}

struct Tape {
    at: Shared,
    records: Rc<RefCell<Vec<Record>>>,
    /// The journal takes so many more.
    left: usize,
    /// The power is cut before (even) or after (odd) this record, counted in halves.
    cut: Option<usize>,
}

impl Sink for Tape {
    fn record(&mut self, event: Event) -> Result<(), String> {
        if self.left == 0 {
            return Err("no space left".into());
        }
        self.left -= 1;
        let n = self.records.borrow().len();
        let cut = |half: usize| self.cut == Some(2 * n + half);
        if cut(0) {
            std::panic::resume_unwind(Box::new(PowerCut));
        }
        let line = told(&event);
        let text = serde_json::to_string(&event).expect("an event is plain data");
        let event = serde_json::from_str(&text).expect("what was written can be read");
        let (utc, who) = ("2018-06-24T22:13:10.559Z".to_string(), "me".to_string());
        self.records.borrow_mut().push(Record { seq: n as u64 + 1, utc, who, event });
        if cut(1) {
            std::panic::resume_unwind(Box::new(PowerCut));
        }
        if let Some(line) = line {
            self.at.say(line);
        }
        Ok(())
    }
    fn show(&mut self, event: Event) {
        match &event {
            Event::Output { text, .. } => self.at.say(format!("      {}", text.trim_end())),
            other => self.at.say(format!("(not recorded) {}", told(other).unwrap_or_default())),
        }
    }
}

fn told(event: &Event) -> Option<String> {
    let why = |o: &Outcome| match o {
        Outcome::Skipped(w) | Outcome::Failed(w) | Outcome::Unknown(w) | Outcome::UndoFailed(w) => format!(": {w}"),
        _ => String::new(),
    };
    let name = |o: &Outcome| serde_json::to_value(o).expect("plain")["is"].as_str().expect("tagged").to_string();
    Some(match event {
        Event::RunStarted { .. } => "run".to_string(),
        Event::RunResumed { purpose, .. } => format!("resumed: {purpose}"),
        Event::NodeSeen { node, identity, unrecorded, .. } => {
            let id = identity.as_ref().map(|i| format!(" as {i}")).unwrap_or_default();
            let bare = unrecorded.as_ref().map(|w| format!(", unrecorded: {w}")).unwrap_or_default();
            format!("sees {node}{id}{bare}")
        }
        Event::WentUnplanned { node, why } => format!("unplanned from here on: {node}: {why}"),
        Event::NodeUnreachable { node, why } => format!("cannot reach {node}: {why}"),
        Event::NodeLocked { node, .. } => format!("locks {node}"),
        Event::NodeHeld { node, holder } => format!("{node} is held: {holder}"),
        Event::ProofTaken { node, proven, again } => {
            let proven = match proven {
                Proven::LookedAt => "looked at".to_string(),
                Proven::Attested => "attested".into(),
                Proven::Active(w) => format!("ACTIVE: {w}"),
                Proven::CannotTell(w) => format!("cannot tell: {w}"),
                Proven::Alive(w) => format!("ALIVE: {w}"),
                Proven::Fenced(by) => format!("fenced by {by}"),
            };
            format!("proof of {node}{}: {proven}", if *again { ", again" } else { "" })
        }
        Event::StageStarted { title, .. } => format!("stage {title}"),
        Event::StageSkipped { title, reason, already: false, .. } => format!("stage {title} skipped: {reason}"),
        Event::StageSkipped { title, reason, .. } => format!("stage {title} already so {reason}").trim_end().into(),
        Event::Looked(l) => {
            let purpose = format!("{:?}", l.purpose).to_lowercase();
            let evidence = if l.evidence.is_empty() { String::new() } else { format!(" ({})", l.evidence) };
            format!("  {purpose}: {} on {}? {}{evidence}", l.title, l.node, word(l.answer))
        }
        Event::GateAsked { stage } => format!("gate {stage}"),
        Event::GateAnswered { answer, by, .. } => format!("  {answer}, by {by}"),
        Event::StepStarted { title, node, number, of, .. } => format!("> {title} on {node} [{number}/{of}]"),
        Event::StepIntent { title, attempt, before, .. } => {
            let before = before
                .as_ref()
                .filter(|b| !b.is_empty())
                .map(|b| format!(" before={}", b.lossy().trim_end()))
                .unwrap_or_default();
            format!("  intent {title} #{attempt}{before}")
        }
        Event::AttemptFailed { attempt, of, why, .. } => format!("  attempt {attempt} of {of} failed: {why}"),
        Event::LinkLost { why, .. } => format!("  asks the node: {why}"),
        Event::Captured { key, value } => format!("  learns {key} = {}", value.lossy()),
        Event::StepFinished { title, outcome, .. } => format!("  [{}] {title}{}", name(outcome), why(outcome)),
        Event::Chosen { choice, reason, .. } => {
            format!("  chosen: {choice}{}", reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default())
        }
        Event::UndoIntent { title, attempt, .. } => format!("  intent to undo {title} #{attempt}"),
        Event::UndoFinished { title, outcome, .. } => format!("  [{}] {title}{}", name(outcome), why(outcome)),
        Event::Owed { debts } => {
            let debts: Vec<String> = debts.iter().map(hawiz::register::Debt::words).collect();
            format!("owed: {}", debts.join("; "))
        }
        Event::Registered { register, nodes, missed } => {
            let missed: String = missed.iter().map(|(n, why)| format!("; not on {n}: {why}")).collect();
            let words = hawiz::ui::plain::registered(register);
            format!("  written on {}: {words}{missed}", nodes.join(", "))
        }
        Event::Noted { text } => format!("  note: {text}"),
        Event::Interrupted { signal, then } => format!("  {signal}: {then}"),
        Event::RunFinished { verdict, exit, why, nodes, skipped, next } => {
            let verdict = serde_json::to_value(verdict).expect("plain").as_str().expect("a word").to_string();
            let mut out = format!("end: {verdict}, exit {exit}");
            nodes.iter().for_each(|(n, w)| out.push_str(&format!("\n  {n}: {w}")));
            skipped.iter().for_each(|(n, w)| out.push_str(&format!("\n  skipped {n}: {w}")));
            why.iter().chain(next).for_each(|n| out.push_str(&format!("\n  {n}")));
            out
        }
        Event::Output { .. } | Event::Other => return None,
    })
}

pub struct Story {
    pub plan: Plan,
    pub at: Shared,
    pub records: Rc<RefCell<Vec<Record>>>,
    pub settings: Settings,
    pub left: usize,
    pub cut: Option<usize>,
    /// How long the next answer takes.
    pub takes: Rc<Cell<u64>>,
}

impl Story {
    pub fn new(plan: Plan) -> Story {
        let at = Shared { world: Rc::default(), now: Rc::default(), signal: Rc::default() };
        at.world.borrow_mut().facts.insert("quiet".into());
        Story {
            plan,
            at,
            records: Rc::default(),
            settings: Settings { holder: "me@here".into(), probe: secs(2), vouched: secs(600), ..Settings::default() },
            left: usize::MAX,
            cut: None,
            takes: Rc::default(),
        }
    }
    pub fn world(&self) -> std::cell::RefMut<'_, World> {
        self.at.world.borrow_mut()
    }
    pub fn fact(self, fact: &str) -> Story {
        self.world().facts.insert(fact.into());
        self
    }
    pub fn no_fact(self, fact: &str) -> Story {
        self.world().facts.remove(fact);
        self
    }
    pub fn acts(self, text: &str, acts: &[Act]) -> Story {
        self.world().acts.insert(text.into(), acts.iter().cloned().collect());
        self
    }
    pub fn looks(self, text: &str, answers: &[(i32, &'static str)]) -> Story {
        self.world().looks.insert(text.into(), answers.iter().copied().collect());
        self
    }
    pub fn on(self, line: &str, trigger: Trigger) -> Story {
        self.world().triggers.push((line.into(), trigger));
        self
    }
    /// A sitting with a person.
    pub fn person(&mut self, answers: &[Said]) -> Option<Ending> {
        let (at, takes) = (self.at.clone(), Rc::clone(&self.takes));
        let mut person = Person { at, answers: answers.iter().cloned().collect(), takes };
        self.sit(&mut person, false)
    }
    /// A sitting of a runbook with `--yes`.
    pub fn runbook(&mut self) -> Option<Ending> {
        self.sit(&mut Scripted { answers: Default::default(), yes: true, person: None }, false)
    }
    pub fn roll_back(&mut self, answers: &[Said]) -> Option<Ending> {
        let (at, takes) = (self.at.clone(), Rc::clone(&self.takes));
        self.sit(&mut Person { at, answers: answers.iter().cloned().collect(), takes }, true)
    }
    pub fn roll_back_runbook(&mut self) -> Option<Ending> {
        self.sit(&mut Scripted { answers: Default::default(), yes: true, person: None }, true)
    }
    pub fn history(&self) -> History {
        History::of(self.records.borrow().iter())
    }
    /// One sitting; `None`: the power was cut.
    fn sit(&mut self, prompter: &mut dyn Prompter, back: bool) -> Option<Ending> {
        let mut tape =
            Tape { at: self.at.clone(), records: Rc::clone(&self.records), left: self.left, cut: self.cut.take() };
        let (mut reach, clock) = (self.at.clone(), self.at.clone());
        let ending = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let first = match (self.records.borrow().is_empty(), back) {
                (true, _) => Some(Event::RunStarted {
                    run: "r1".into(),
                    format: 1,
                    hawiz: "0".into(),
                    procedure: self.plan.procedure.clone(),
                    target: self.plan.target.clone(),
                    from: None,
                    unplanned: false,
                    plan: "d1".into(),
                    title: "A story".into(),
                    sources: Vec::new(),
                    stages: Vec::new(),
                    comment: None,
                    marker: "m".into(),
                }),
                (false, false) => Some(Event::RunResumed {
                    run: "r1".into(),
                    purpose: "resume".into(),
                    hawiz: "0".into(),
                    taken: None,
                }),
                (false, true) => None,
            };
            if let Some(event) = first {
                tape.record(event).expect("a story's journal can be begun");
            }
            let (history, secrets) = (self.history(), BTreeMap::new());
            let settings = self.settings.clone();
            let engine =
                Engine::new(&self.plan, history, &mut reach, prompter, &mut tape, &clock, &self.at, &secrets, settings);
            if back { engine.roll_back() } else { engine.run() }
        }));
        self.at.signal.set(None);
        match ending {
            Ok(ending) => {
                self.at.say(format!("= {}", ending.exit.code()));
                Some(ending)
            }
            Err(cause) if cause.is::<PowerCut>() => {
                self.at.say("= the power is cut");
                None
            }
            Err(cause) => std::panic::resume_unwind(cause),
        }
    }
    /// Compares with the expectation.
    pub fn told(self, name: &str) {
        let world = self.world();
        let mut text = world.log.join("\n");
        text.push_str(&format!("\nfacts: {}\n", world.facts.iter().cloned().collect::<Vec<_>>().join(", ")));
        if !world.locks.is_empty() {
            text.push_str(&format!("locked: {}\n", world.locks.keys().cloned().collect::<Vec<_>>().join(", ")));
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories").join(format!("{name}.txt"));
        if std::env::var_os("HAWIZ_BLESS").is_some_and(|v| v == "1") {
            std::fs::write(&path, &text).expect("the expectation can be written");
            return;
        }
        let wanted = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            wanted == text,
            "{name} is told otherwise (HAWIZ_BLESS=1 keeps it):\n--- wanted\n{wanted}\n--- told\n{text}"
        );
    }
}
