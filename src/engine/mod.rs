//! The engine: look → record the intent → change → look again → record the result.
//!
//! Why it exists: one loop walks a Plan the same way for a person, a runbook, a resumed run and a story test. It knows no
//! terminal, no file and no process: it asks a Prompter, works through Reach, records through a Sink.
//!
//! Invariants: an event is recorded before the next act; a record that cannot be written stops the run before the next
//! change; no command is sent that the plan does not hold; the verdict is computed from outcomes, never assumed.
//! There is no dry-run flag: a dry run prints the Plan and looks ([`crate::survey`]), it never comes here.

mod change;
mod check;
mod looks;
mod proof;
mod undo;

pub(crate) use looks::{evidence, value_of};

use crate::event::{Event, Outcome, Verdict};
use crate::history::History;
use crate::plan::{Gate, OnFailure, Place, Plan, Stage, Step, What};
use crate::problem::Exit;
use crate::prompt::{Answer, Choice, Prompter, Question};
use crate::reach::Reach;
use crate::shell::Value;
use crate::signal::{Interrupts, Stop};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where events go. `record` returns when the event is on disk.
pub trait Sink {
    fn record(&mut self, event: Event) -> Result<(), String>;
    /// For the eye only (live output).
    fn show(&mut self, event: Event);
}

/// Time as the run feels it; suspended machines count.
pub trait Clock {
    fn now(&self) -> Duration;
    /// Sleeps, shorter when a signal comes.
    fn sleep(&self, time: Duration);
}

/// What the command line decided.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Who holds the nodes' locks, in words.
    pub holder: String,
    /// `--attest NODE`
    pub attest: Vec<String>,
    /// `--override STEP=REASON`
    pub overrides: Vec<(String, String)>,
    /// Addresses a sign of life is looked for at are probed at most this long.
    pub probe: Duration,
}

/// How a sitting ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    pub verdict: Verdict,
    pub exit: Exit,
    pub why: Option<String>,
}

/// Why the walk ends before the plan does.
#[derive(Debug)]
pub(crate) enum Halt {
    Declined(String),
    NotReady(String),
    Locked(String),
    /// Stopped by a person or a signal; resumable.
    Stopped(String),
    /// A required step failed.
    Failed(String),
    Unknown(String),
    Dry,
    /// A person chose to undo this run.
    Undo,
    /// The journal cannot be written.
    Journal(String),
}

pub(crate) type Go<T = ()> = Result<T, Halt>;

pub struct Engine<'a> {
    plan: &'a Plan,
    reach: &'a mut dyn Reach,
    prompter: &'a mut dyn Prompter,
    sink: &'a mut dyn Sink,
    clock: &'a dyn Clock,
    interrupts: &'a dyn Interrupts,
    secrets: &'a BTreeMap<String, Value>,
    settings: Settings,
    history: History,
    greeted: BTreeMap<String, crate::reach::Greeting>,
    locked: Vec<String>,
    /// A step was left running on a node: its lock stays with this run.
    left_running: bool,
    /// The one ^C was said already.
    told: bool,
    /// Attestations of this sitting: node → when.
    attested: BTreeMap<String, Duration>,
    step_number: u32,
}

/// A yes that took longer has its looks taken again.
const FRESH: Duration = Duration::from_secs(30);

impl<'a> Engine<'a> {
    #[expect(clippy::too_many_arguments, reason = "the engine's whole world, handed over once")]
    pub fn new(
        plan: &'a Plan,
        history: History,
        reach: &'a mut dyn Reach,
        prompter: &'a mut dyn Prompter,
        sink: &'a mut dyn Sink,
        clock: &'a dyn Clock,
        interrupts: &'a dyn Interrupts,
        secrets: &'a BTreeMap<String, Value>,
        settings: Settings,
    ) -> Self {
        Engine {
            plan,
            reach,
            prompter,
            sink,
            clock,
            interrupts,
            secrets,
            settings,
            history,
            greeted: BTreeMap::new(),
            locked: Vec::new(),
            left_running: false,
            told: false,
            attested: BTreeMap::new(),
            step_number: 0,
        }
    }

    /// Walks the plan from where the history stands to its end, or to where it must stop.
    pub fn run(mut self) -> Ending {
        let halt = match self.walk() {
            Err(Halt::Undo) => return self.undo_and_close(),
            other => other.err(),
        };
        self.close(halt)
    }

    /// Takes back what the history says this run changed, last first.
    pub fn roll_back(mut self) -> Ending {
        match self.greet_all().and_then(|()| self.lock_all()) {
            Ok(()) => self.undo_and_close(),
            Err(halt) => self.close(Some(halt)),
        }
    }

    fn undo_and_close(mut self) -> Ending {
        let halt = self.undo_run().err();
        self.close(halt)
    }

    fn walk(&mut self) -> Go {
        let plan = self.plan;
        self.greet_all()?;
        if self.history.changed() {
            self.lock_all()?;
        }
        if plan.activates {
            self.prove_all(false)?;
        }
        if self.history.changed() {
            self.still_so()?;
        }
        let of = plan.stages.len() as u32;
        for (n, stage) in plan.stages.iter().enumerate() {
            self.stage(n as u32 + 1, of, stage)?;
        }
        self.closing()
    }

    /// Before the first change of a resumed run all that was finished is looked at again.
    fn still_so(&mut self) -> Go {
        let plan = self.plan;
        for step in plan.steps() {
            let look = match (&step.what, self.history.outcome(&step.instance)) {
                (What::Change(c), Some(Outcome::Done)) => c.done.as_ref().or(c.verify.first()),
                (What::Manual(m), Some(Outcome::Done)) => m.done.as_ref().or(m.verify.as_ref()),
                _ => continue,
            };
            let (Some(look), Some(node)) = (look, self.node_of(&step.place)) else { continue };
            let seen = self.look(step, &node, look, crate::event::Purpose::After)?;
            if seen.answer != crate::plan::Answer::Yes {
                let why = format!("`{}` was done on {node}, but is no longer so: {}", step.title.shown(), seen.shown());
                self.record(Event::Noted { text: why.clone() })?;
                // Its turn comes again: with a person at its stage's gate, else the run stops here.
                if !self.prompter.person() {
                    return Err(Halt::Stopped(why));
                }
                self.history.steps.remove(&step.instance);
                if let Some(stage) = plan.stages.iter().find(|s| s.steps.iter().any(|x| x.instance == step.instance)) {
                    self.history.gates.remove(&stage.id);
                }
            }
        }
        Ok(())
    }

    fn stage(&mut self, number: u32, of: u32, stage: &Stage) -> Go {
        if self.history.skipped_stages.contains_key(&stage.id) {
            self.step_number += stage.steps.len() as u32;
            return Ok(());
        }
        let finished = |e: &Self, s: &Step| {
            matches!(e.history.outcome(&s.instance), Some(Outcome::Done | Outcome::Already | Outcome::Skipped(_)))
        };
        let has_changes = stage.steps.iter().any(Step::changes);
        if has_changes
            && stage.steps.iter().filter(|s| s.changes()).all(|s| finished(self, s))
            && self.history.changed()
        {
            // Finished in an earlier sitting: its checks are looked at again, nobody is asked.
            for step in &stage.steps {
                self.step_number += 1;
                if !step.changes() && self.when(step)?.is_none() {
                    self.check(step)?;
                }
            }
            return Ok(());
        }
        if let Some(when) = &stage.when {
            let place = stage.when_on.clone().unwrap_or(Place::Here);
            let (yes, why) = self.stage_when(stage, when, &place)?;
            if !yes {
                self.step_number += stage.steps.len() as u32;
                return self.record(Event::StageSkipped {
                    stage: stage.id.clone(),
                    title: stage.title.clone(),
                    reason: why,
                });
            }
        }
        self.record(Event::StageStarted { stage: stage.id.clone(), title: stage.title.clone(), number, of })?;
        let mut passed = self.history.gates.contains_key(&stage.id)
            && stage.steps.iter().any(|s| self.history.steps.get(&s.instance).is_some_and(|s| !s.intents.is_empty()));
        // An open gate of an earlier sitting is asked again.
        if passed && self.history.finished.is_none() && self.resumed_fresh(stage) {
            passed = false;
        }
        for (i, step) in stage.steps.iter().enumerate() {
            self.step_number += 1;
            self.heed()?;
            if !step.changes() {
                if let Some(why) = self.when(step)? {
                    self.skip(step, why)?;
                    continue;
                }
                self.check(step)?;
                continue;
            }
            if finished(self, step) {
                continue;
            }
            if !passed {
                passed = self.pass_gate(stage, &stage.steps[..i], &stage.steps[i..])?;
            }
            self.change_step(step)?;
        }
        // A gate that was raised over looks only: shown with what they saw.
        if !passed && !has_changes && stage.gate != Gate::Open && !self.history.gates.contains_key(&stage.id) {
            self.ask_gate(stage, &stage.steps)?;
        }
        Ok(())
    }

    /// Whether a stage's gate belongs to an earlier sitting only.
    fn resumed_fresh(&self, stage: &Stage) -> bool {
        stage.steps.iter().any(|s| s.changes() && self.history.outcome(&s.instance).is_none())
            && !stage.steps.iter().any(|s| self.history.steps.get(&s.instance).is_some_and(|s| s.open().is_some()))
    }

    /// Looks at what is to come in this stage, then asks its gate. False: nothing is left to change, nobody was asked.
    fn pass_gate(&mut self, stage: &Stage, before: &[Step], rest: &[Step]) -> Go<bool> {
        let mut left = false;
        for step in rest.iter().filter(|s| s.changes()) {
            left |= !self.already(step)?;
        }
        if !left {
            return Ok(false);
        }
        self.lock_all()?;
        if stage.gate != Gate::Open {
            self.ask_gate(stage, before)?;
        }
        Ok(true)
    }

    fn ask_gate(&mut self, stage: &Stage, before: &[Step]) -> Go {
        loop {
            self.record(Event::GateAsked { stage: stage.id.clone() })?;
            let question = Question::Gate {
                stage: stage.id.clone(),
                gate: stage.gate.clone(),
                digest: stage.digest.clone(),
                lines: Vec::new(),
                view: Vec::new(),
            };
            let given = self.prompter.ask(&question);
            let typed = |word: &Value| matches!(&stage.gate, Gate::Type(w) if *word == Value::from(w.as_str()));
            let (answer, halt) = match given.answer {
                Answer::Yes => (
                    match &stage.gate {
                        Gate::Type(w) => w.clone(),
                        _ => "yes".into(),
                    },
                    None,
                ),
                Answer::Text(word) if typed(&word) => (word.lossy(), None),
                Answer::No => ("no".to_string(), Some(self.declined("answered no"))),
                Answer::Dry => ("dry".to_string(), Some(Halt::Dry)),
                Answer::Again => {
                    self.look_again(before)?;
                    continue;
                }
                Answer::Stop(why) => ("stop".to_string(), Some(self.declined(&why))),
                Answer::Quit | Answer::Choice(..) | Answer::Text(_) => {
                    ("quit".to_string(), Some(self.declined("quit")))
                }
            };
            self.record(Event::GateAnswered { stage: stage.id.clone(), answer, by: given.by.to_string() })?;
            if let Some(halt) = halt {
                return Err(halt);
            }
            if given.took > FRESH {
                self.look_again(before)?;
            }
            return Ok(());
        }
    }

    /// The looks before a gate, taken again: what was true must still be, the proof as well.
    fn look_again(&mut self, before: &[Step]) -> Go {
        if self.plan.activates {
            self.prove_all(true)?;
        }
        for step in before {
            if !step.changes() && matches!(self.history.outcome(&step.instance), Some(Outcome::Passed)) {
                self.check(step)?;
            }
        }
        Ok(())
    }

    fn declined(&self, why: &str) -> Halt {
        if self.history.changed() { Halt::Stopped(why.to_string()) } else { Halt::Declined(why.to_string()) }
    }

    /// A signal between steps.
    fn heed(&mut self) -> Go {
        match self.interrupts.pending() {
            None => Ok(()),
            Some(_) => {
                let signal = self.interrupts.name().to_string();
                self.record(Event::Interrupted {
                    signal: signal.clone(),
                    then: "stops here; nothing is running".into(),
                })?;
                Err(self.declined(&format!("stopped by {signal}")))
            }
        }
    }

    /// Greets every node that a step of this plan may run on.
    fn greet_all(&mut self) -> Go {
        let plan = self.plan;
        let mut nodes: Vec<String> = Vec::new();
        let mut add = |p: &Place| {
            if let Place::Node(n) = p
                && !nodes.contains(n)
            {
                nodes.push(n.clone());
            }
        };
        for step in plan.steps().chain(plan.closing.iter().flat_map(|c| &c.steps)) {
            add(&step.place);
            if let What::Check(c) = &step.what
                && c.true_on == crate::plan::TrueOn::All
            {
                c.looks.iter().for_each(|(p, _)| add(p));
            }
        }
        for node in &nodes {
            self.greet(node)?.map_err(|why| Halt::NotReady(format!("cannot reach {node}: {why}")))?;
        }
        self.one_machine_one_name()
    }

    /// Greets a node once a sitting. The inner error: why it cannot be reached.
    fn greet(&mut self, node: &str) -> Go<Result<(), String>> {
        if self.greeted.contains_key(node) {
            return Ok(Ok(()));
        }
        match self.reach.greet(node) {
            Ok(g) => {
                if let Some((Some(before), _)) = self.history.seen.get(node)
                    && g.identity.as_ref().is_some_and(|now| now != before)
                {
                    return Err(Halt::NotReady(format!(
                        "{node} is not the machine it was when this run began (its identity differs)"
                    )));
                }
                let unrecorded = g.unrecorded.clone().filter(|_| self.will_change(node));
                self.record(Event::NodeSeen {
                    node: node.into(),
                    boot: g.boot.clone(),
                    identity: g.identity.clone(),
                    unrecorded,
                })?;
                self.greeted.insert(node.to_string(), g);
                Ok(Ok(()))
            }
            Err(u) => {
                self.record(Event::NodeUnreachable { node: node.into(), why: u.why.clone() })?;
                Ok(Err(u.why))
            }
        }
    }

    fn will_change(&self, node: &str) -> bool {
        self.plan.steps().any(|s| s.changes() && matches!(&s.place, Place::Node(n) if n == node))
    }

    fn one_machine_one_name(&self) -> Go {
        let mut by_id: BTreeMap<&str, &str> = BTreeMap::new();
        for (node, g) in &self.greeted {
            if let Some(id) = &g.identity
                && node != "here"
                && let Some(other) = by_id.insert(id, node)
            {
                return Err(Halt::NotReady(format!(
                    "{other} and {node} are one machine (same identity): two names, a floating address, a shared `state` directory or a clone"
                )));
            }
        }
        Ok(())
    }

    /// Takes the locks of all nodes this run may change, and of an exclusive system's other nodes that can be reached:
    /// two activations on two nodes must meet.
    fn lock_all(&mut self) -> Go {
        if !self.locked.is_empty() {
            return Ok(());
        }
        let plan = self.plan;
        let mut nodes: Vec<String> = Vec::new();
        for step in plan.steps().filter(|s| s.changes()) {
            if let Some(n) = self.node_of(&step.place)
                && !nodes.contains(&n)
            {
                nodes.push(n);
            }
        }
        if plan.exclusive {
            for p in &plan.proof {
                if !nodes.contains(&p.node) && self.greet(&p.node)?.is_ok() {
                    nodes.push(p.node.clone());
                }
            }
        }
        // One order for all, so that two runs cannot hold half each and wait.
        nodes.sort();
        for node in nodes {
            self.lock(&node)?;
        }
        self.one_machine_one_name()
    }

    fn lock(&mut self, node: &str) -> Go {
        use crate::reach::Locked;
        let (run, holder) = (self.history.run.clone(), self.settings.holder.clone());
        match self.reach.lock(node, &run, &self.history.marker, &holder) {
            Ok(Locked::Ours) => {
                self.locked.push(node.to_string());
                if let Ok(g) = self.reach.greet(node) {
                    let seen = Event::NodeSeen {
                        node: node.into(),
                        boot: g.boot.clone(),
                        identity: g.identity.clone(),
                        unrecorded: g.unrecorded.clone(),
                    };
                    self.record(seen)?;
                    self.greeted.insert(node.to_string(), g);
                }
                self.record(Event::NodeLocked { node: node.into() })?;
                self.reach.syslog(node, &format!("run {run}: {} begins, {holder}", self.plan.procedure));
                Ok(())
            }
            Ok(Locked::Held(who)) => {
                self.record(Event::NodeHeld { node: node.into(), holder: who.clone() })?;
                Err(Halt::Locked(format!("{node} is held by another run: {who}")))
            }
            Ok(Locked::Impossible(why)) => {
                let text = format!("{node} keeps no lock and no record of steps: {why}");
                self.record(Event::Noted { text })
            }
            Err(u) => Err(Halt::NotReady(format!("cannot reach {node}: {}", u.why))),
        }
    }

    /// The node a place means now; `None` when a role is not known.
    fn node_of(&self, place: &Place) -> Option<String> {
        match place {
            Place::Node(n) => Some(n.clone()),
            Place::Here => Some("here".into()),
            Place::Role(key) | Place::OneOf { key, .. } => self.history.values.get(key).map(Value::lossy),
        }
    }

    /// Records, and folds into the history what was recorded.
    fn record(&mut self, event: Event) -> Go {
        self.history.apply(&event);
        self.sink.record(event).map_err(Halt::Journal)
    }

    fn skip(&mut self, step: &Step, why: String) -> Go {
        let node = self.node_of(&step.place).unwrap_or_default();
        self.finish(step, &node, Outcome::Skipped(why), 0, None, String::new(), self.clock.now())
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one event")]
    fn finish(
        &mut self,
        step: &Step,
        node: &str,
        outcome: Outcome,
        attempts: u32,
        code: Option<i32>,
        tail: String,
        since: Duration,
    ) -> Go {
        let took_ms = self.clock.now().saturating_sub(since).as_millis() as u64;
        if attempts > 0 && self.locked.iter().any(|n| n == node) {
            let word = format!("run {}: {} [{}]", self.history.run, step.title.shown(), label(&outcome));
            self.reach.syslog(node, &word);
        }
        let title = self.title(step);
        self.record(Event::StepFinished {
            step: step.instance.clone(),
            title,
            node: node.into(),
            outcome,
            attempts,
            code,
            tail,
            took_ms,
        })
    }

    /// A step's title with what the run has learnt.
    fn title(&self, step: &Step) -> String {
        let mut title = step.title.clone();
        for part in &mut title.0 {
            if let crate::shell::Part::Name(name) = part {
                let key = step.wants().iter().find(|w| w.var == *name).map_or(name.clone(), |w| w.key.clone());
                if let Some(v) = self.value(&key) {
                    *part = crate::shell::Part::Text(v);
                }
            }
        }
        title.shown()
    }

    /// The closing words, computed from outcomes.
    fn close(mut self, halt: Option<Halt>) -> Ending {
        let changed = self.history.changed();
        let degraded = self.history.steps.values().any(|s| matches!(s.outcome, Some(Outcome::Failed(_))));
        let unknown = self.history.steps.values().any(|s| matches!(s.outcome, Some(Outcome::Unknown(_))));
        let stuck =
            self.history.steps.values().any(|s| matches!(s.undone, Some(Outcome::UndoFailed(_) | Outcome::Unknown(_))));
        let after =
            |verdict: Verdict, exit: Exit| if changed { (Verdict::Stopped, Exit::Stopped) } else { (verdict, exit) };
        let (mut verdict, mut exit, why) = match halt {
            None if self.history.undoing => (Verdict::RolledBack, Exit::RolledBack, None),
            None if degraded => (Verdict::Degraded, Exit::Degraded, None),
            None => (Verdict::Completed, Exit::Ok, None),
            Some(Halt::Dry) => {
                let exit = if changed { Exit::Stopped } else { Exit::Ok };
                (Verdict::Dry, exit, Some("dry from here on: nothing was changed after that".to_string()))
            }
            Some(Halt::Declined(w)) => {
                let (v, e) = after(Verdict::Declined, Exit::Declined);
                (v, e, Some(w))
            }
            Some(Halt::NotReady(w)) => {
                let (v, e) = after(Verdict::NotReady, Exit::NotReady);
                (v, e, Some(w))
            }
            Some(Halt::Locked(w)) => {
                let (v, e) = after(Verdict::Locked, Exit::Locked);
                (v, e, Some(w))
            }
            Some(Halt::Stopped(w)) => (Verdict::Stopped, Exit::Stopped, Some(w)),
            Some(Halt::Failed(w)) => (Verdict::Failed, Exit::Stopped, Some(w)),
            Some(Halt::Unknown(w)) => (Verdict::Unknown, Exit::Unknown, Some(w)),
            Some(Halt::Undo) => (Verdict::Stopped, Exit::Stopped, None),
            Some(Halt::Journal(w)) => {
                let e = if changed { Exit::Stopped } else { Exit::Internal };
                (Verdict::Stopped, e, Some(format!("the journal cannot be written: {w}")))
            }
        };
        if unknown && verdict != Verdict::RolledBack {
            (verdict, exit) = (Verdict::Unknown, exit.worst(Exit::Unknown));
        }
        if stuck {
            (verdict, exit) = (Verdict::Stuck, exit.worst(Exit::Stuck));
        }
        self.unlock_all(verdict);
        let nodes = self.node_words(verdict);
        let skipped = self
            .history
            .steps
            .values()
            .filter_map(|s| match &s.outcome {
                Some(Outcome::Skipped(why)) => Some((format!("{} ({})", s.title, s.node), why.clone())),
                _ => None,
            })
            .collect();
        let next = self.next(verdict, why.as_deref());
        let event = Event::RunFinished { verdict, exit: exit.code(), nodes, skipped, next };
        // The last record; when even that cannot be written the code still says what is known.
        let _ = self.sink.record(event);
        Ending { verdict, exit, why }
    }

    fn unlock_all(&mut self, verdict: Verdict) {
        let run = self.history.run.clone();
        for node in std::mem::take(&mut self.locked) {
            self.reach.syslog(&node, &format!("run {run}: {} ends: {verdict:?}", self.plan.procedure));
            if !self.left_running {
                // A lock that cannot be given back is found by the next run, which then says how.
                let _ = self.reach.unlock(&node, &run);
            }
        }
    }

    /// What state each node is in, in words.
    fn node_words(&self, verdict: Verdict) -> Vec<(String, String)> {
        let plan = self.plan;
        let mut out = Vec::new();
        for n in &plan.nodes {
            let steps: Vec<_> = self.history.steps.values().filter(|s| s.node == n.name).collect();
            let is_target = plan.target.as_deref() == Some(n.name.as_str());
            let words = match (plan.procedure.as_str(), verdict, is_target) {
                ("activate", Verdict::Completed, true) => "active; every step is done and verified".to_string(),
                ("activate", Verdict::Degraded, true) => "active, but optional steps failed".to_string(),
                ("deactivate", Verdict::Completed, true) if plan.exclusive => "inactive, as was looked at".to_string(),
                ("deactivate", Verdict::Degraded, true) if plan.exclusive => {
                    "inactive, as was looked at; optional steps failed".to_string()
                }
                _ if steps.iter().any(|s| s.ours()) => {
                    let titles: Vec<&str> = self
                        .history
                        .order
                        .iter()
                        .filter_map(|i| self.history.steps.get(i))
                        .filter(|s| s.node == n.name && s.ours())
                        .map(|s| s.title.as_str())
                        .collect();
                    format!("changed: {}", titles.join(", "))
                }
                _ if steps.iter().any(|s| s.undone.is_some()) => "as it was before this run".to_string(),
                _ if is_target => "not changed".to_string(),
                _ => match self.proof_words(&n.name) {
                    Some(words) => words,
                    None => continue,
                },
            };
            out.push((n.name.clone(), words));
        }
        out
    }

    /// How to go on.
    fn next(&self, verdict: Verdict, why: Option<&str>) -> Vec<String> {
        let mut out: Vec<String> = why.map(String::from).into_iter().collect();
        let run = &self.history.run;
        match verdict {
            Verdict::Stopped | Verdict::Failed | Verdict::Unknown | Verdict::Dry if self.history.changed() => {
                out.push(format!("go on:      hawiz resume {run}"));
                if !self.history.to_undo().is_empty() {
                    out.push(format!("take back:  hawiz rollback {run}"));
                }
                out.push(format!("look:       hawiz show {run}"));
            }
            Verdict::Stuck => {
                out.push("an undo failed; these commands are left:".into());
                for (node, text) in self.left_to_undo() {
                    out.push(format!("on {node}: {text}"));
                }
            }
            Verdict::Locked => {
                out.push("when that run is really gone:  hawiz unlock NODE --reason TEXT".into());
            }
            _ => {}
        }
        for (node, why) in &self.history.unrecorded {
            out.push(format!("{node} kept no record of its steps: {why}"));
        }
        out
    }

    /// What to do about a failure: asks a person, or decides by the playbook.
    fn after_failure(&mut self, step: &Step, node: &str, failed: &Failure) -> Go<After> {
        if step.on_failure == OnFailure::Continue {
            return Ok(After::GoOn);
        }
        let may_skip = step.on_failure == OnFailure::Ask;
        if may_skip && matches!(step.what, What::Check(_)) {
            let over = self.settings.overrides.iter().find(|(s, _)| *s == step.id || *s == step.instance).cloned();
            if let Some((_, reason)) = over {
                self.record(Event::Chosen {
                    step: step.instance.clone(),
                    choice: "override".into(),
                    reason: Some(reason.clone()),
                })?;
                return Ok(After::Skip(format!("overridden: {reason}")));
            }
        }
        // A guard that refuses before anything was changed just refuses: running again costs nothing.
        if !self.history.changed() && matches!(step.what, What::Check(_)) && !may_skip {
            return Err(Halt::NotReady(format!("{} ({node}): {}", self.title(step), failed.why)));
        }
        if !self.prompter.person() {
            return Err(self.fails(step, node, failed));
        }
        let mut offers = vec![Choice::Retry, Choice::LookAgain, Choice::Extend];
        if may_skip {
            offers.push(Choice::Skip);
        }
        if !self.history.to_undo().is_empty() {
            offers.push(Choice::Undo);
        }
        offers.push(Choice::Quit);
        loop {
            let question = Question::Failure {
                step: step.instance.clone(),
                lines: failed.lines(),
                output: failed.output.clone(),
                offers: offers.clone(),
            };
            let given = self.prompter.ask(&question);
            let (choice, reason) = match given.answer {
                Answer::Choice(c, reason) => (c, reason),
                Answer::Again => continue,
                Answer::Stop(_) | Answer::Quit | Answer::No => (Choice::Quit, None),
                Answer::Yes | Answer::Dry | Answer::Text(_) => continue,
            };
            let word = match choice {
                Choice::Retry => "retry",
                Choice::LookAgain => "look-again",
                Choice::Extend => "extend",
                Choice::Skip => "skip",
                Choice::Undo => "undo",
                _ => "quit",
            };
            self.record(Event::Chosen { step: step.instance.clone(), choice: word.into(), reason: reason.clone() })?;
            return match choice {
                Choice::Retry => Ok(After::Retry),
                Choice::LookAgain => Ok(After::Look(Duration::ZERO)),
                Choice::Extend => Ok(After::Look(step.within.max(Duration::from_secs(60)))),
                Choice::Skip => Ok(After::Skip(reason.unwrap_or_else(|| "no reason given".into()))),
                Choice::Undo => Err(Halt::Undo),
                _ => Err(self.fails(step, node, failed)),
            };
        }
    }

    fn fails(&self, step: &Step, node: &str, failed: &Failure) -> Halt {
        let why = format!("{} ({node}): {}", self.title(step), failed.why);
        if self.history.changed() { Halt::Failed(why) } else { Halt::NotReady(why) }
    }

    /// Says once that ^C was seen.
    fn tell(&mut self, then: &str) -> Go {
        if !std::mem::replace(&mut self.told, true) {
            let signal = self.interrupts.name().to_string();
            self.record(Event::Interrupted { signal, then: then.into() })?;
        }
        Ok(())
    }

    fn pending(&self) -> Option<Stop> {
        self.interrupts.pending()
    }
}

/// What went wrong with a step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failure {
    pub why: String,
    pub code: Option<i32>,
    pub tail: String,
    /// All that was kept of its output.
    pub output: String,
    /// Trying again cannot help.
    pub final_: bool,
}

impl Failure {
    fn lines(&self) -> Vec<String> {
        let mut out = vec![self.why.clone()];
        out.extend(self.tail.lines().rev().take(3).map(String::from).collect::<Vec<_>>().into_iter().rev());
        out
    }
}

/// What to do about a failure.
pub(crate) enum After {
    Retry,
    /// Look again, for this long.
    Look(Duration),
    Skip(String),
    /// The playbook says that the run goes on.
    GoOn,
}

pub(crate) fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Already => "already",
        Outcome::Passed => "passed",
        Outcome::Skipped(_) => "skipped",
        Outcome::Failed(_) => "failed",
        Outcome::Unknown(_) => "unknown",
        Outcome::Undone => "undone",
        Outcome::UndoFailed(_) => "undo-failed",
    }
}
