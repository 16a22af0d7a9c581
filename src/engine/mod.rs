//! The engine: look → record the intent → change → look again → record the result.
//!
//! Why it exists: one loop walks a Plan the same way for a person, a runbook, a resumed run and a story test. It knows no
//! terminal, no file and no process: it asks a Prompter, works through Reach, records through a Sink.
//!
//! Invariants: an event is recorded before the next act; a record that cannot be written stops the run before the next
//! change; no command is sent that the plan does not hold; the verdict is computed from outcomes, never assumed.
//! There is no dry-run flag: a dry run prints the Plan and looks ([`crate::survey`]), it never comes here.
//!
//! The rooms, in the order a run goes through them: [`nodes`] (greeting, locks), [`owed`] (what earlier runs left), [`proof`] (nobody else is active) with [`life`],
//! [`source`] (who gives up in a failover, and what if it stops answering), [`early`] (what the other node refuses before that),
//! [`again`] (what a resumed run looks at first), [`gate`] (the question before a stage's changes), [`check`], [`change`]
//! with [`attempt`], [`lend`] and [`manual`], [`failure`] (the menu), [`undo`], [`close`] (verdict and last words). [`looks`] is used
//! by all of them.

mod again;
mod attempt;
mod change;
mod check;
mod close;
mod early;
mod failure;
mod gate;
mod lend;
mod life;
mod looks;
mod manual;
mod nodes;
mod owed;
mod proof;
mod source;
mod undo;

pub(crate) use looks::{Wanted, evidence, value_of, words};
pub(crate) use nodes::one_machine;
pub(crate) use proof::not_so;
pub(crate) use undo::gate_of as undo_gate;

use crate::event::{Event, Outcome, Proven, Purpose, Verdict};
use crate::history::History;
use crate::plan::{Gate, Place, Plan, Step};
use crate::problem::Exit;
use crate::prompt::Prompter;
use crate::reach::{Greeting, Reach};
use crate::shell::Value;
use crate::signal::{Interrupts, Stop};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Where events go. `record` returns when the event is on disk.
pub trait Sink {
    fn record(&mut self, event: Event) -> Result<(), String>;
    /// For the eye only (live output).
    fn show(&mut self, event: Event);
    /// A secret that was not known from the beginning: kept out of all that follows.
    fn hide(&mut self, _secret: &Value) {}
}

/// Time as the run feels it; suspended machines count.
pub trait Clock {
    fn now(&self) -> Duration;
    /// The wall clock of this machine: UTC, RFC 3339, whole seconds.
    fn utc(&self) -> String;
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
    /// How long an attestation counts.
    pub vouched: Duration,
    /// Flags that a later command needs to find this run, each followed by a space; for the hints of the last words.
    pub flags: String,
}

/// How a sitting ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    pub verdict: Verdict,
    pub exit: Exit,
    pub why: Option<String>,
}

/// Why the walk ends before the plan does. What that means for verdict and exit code depends on whether anything was
/// changed, and is decided in one place only: [`close`].
#[derive(Debug)]
pub(crate) enum Halt {
    /// By a person or a signal.
    Stopped(String),
    /// Something is not as it must be.
    NotReady(String),
    /// A required step failed.
    Failed(String),
    /// Another run holds a node.
    Locked(String),
    /// This run's lock of a node was taken from it: it does nothing more.
    Taken(String),
    Unknown(String),
    Dry,
    /// A person chose to undo this run.
    Undo,
    /// A person chose to go on without the node that was to give up: why.
    Unplanned(String),
    /// The journal cannot be written.
    Journal(String),
}

impl Halt {
    /// A question was not answered: a person stops, an answer that is missing makes the run not ready.
    fn stop(why: String, by: &str) -> Halt {
        if by == "person" { Halt::Stopped(why) } else { Halt::NotReady(why) }
    }
}

pub(crate) type Go<T = ()> = Result<T, Halt>;

pub struct Engine<'a> {
    plan: &'a Plan,
    reach: &'a mut dyn Reach,
    prompter: &'a mut dyn Prompter,
    sink: &'a mut dyn Sink,
    clock: &'a dyn Clock,
    interrupts: &'a dyn Interrupts,
    secrets: BTreeMap<String, Value>,
    settings: Settings,
    history: History,
    greeted: BTreeMap<String, Greeting>,
    /// Nodes whose lock was asked for, and those that gave it.
    lock_asked: BTreeSet<String>,
    locked: Vec<String>,
    /// When the nodes were asked last whether their locks are this run's.
    heard: Duration,
    /// A step runs on a node, or may: the locks stay with this run.
    left_running: bool,
    /// The one ^C was said already.
    told: bool,
    /// What the last proof of each peer said.
    proven: BTreeMap<String, Proven>,
    /// When this sitting began: what was vouched for on the command line was vouched for then.
    began: Duration,
    /// Attestations of this sitting: node → when.
    attested: BTreeMap<String, Duration>,
    /// Nodes that are vouched for because fencing them did not work.
    unfenced: BTreeSet<String>,
    /// The other node's activation has begun: from here on the one that gave up must be proven, too.
    crossed: bool,
    /// What to do about a refusal, for the last words.
    hints: Vec<String>,
    step_number: u32,
    /// The stage being walked, and how its gate stands in this sitting.
    stage: usize,
    gate: gate::Way,
    /// Checks that were true in this sitting, none of its changes after them: looked at again when a yes took long.
    fresh: Vec<String>,
    /// Finished in an earlier sitting, but no longer so: their turn comes again.
    redo: BTreeSet<String>,
    /// Where the last change of earlier sittings stands in the plan: checks before it were passed for good.
    earlier: Option<usize>,
}

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
        // A run that went on unplanned goes on with that plan.
        let plan = plan.now(history.unplanned.is_some());
        let tried = |s: &Step| history.steps.get(&s.instance).is_some_and(|s| !s.intents.is_empty());
        let earlier = plan.steps().collect::<Vec<_>>().iter().rposition(|s| tried(s));
        Engine {
            plan,
            reach,
            prompter,
            sink,
            clock,
            interrupts,
            secrets: secrets.clone(),
            settings,
            history,
            greeted: BTreeMap::new(),
            lock_asked: BTreeSet::new(),
            locked: Vec::new(),
            heard: clock.now(),
            left_running: false,
            told: false,
            proven: BTreeMap::new(),
            began: clock.now(),
            attested: BTreeMap::new(),
            unfenced: BTreeSet::new(),
            crossed: false,
            hints: Vec::new(),
            step_number: 0,
            stage: 0,
            gate: gate::Way::NotAsked,
            fresh: Vec::new(),
            redo: BTreeSet::new(),
            earlier,
        }
    }

    /// Walks the plan from where the history stands to its end, or to where it must stop. A run whose roll-back has begun
    /// goes on rolling back, never forward.
    pub fn run(mut self) -> Ending {
        self.reach.hurry(&self.settings.attest, self.settings.probe);
        self.reach.expect(&self.plan.needs(true));
        if self.history.undoing {
            return self.roll_back();
        }
        let mut walked = self.walk();
        if let Err(Halt::Unplanned(why)) = &walked {
            let why = why.clone();
            walked = self.go_unplanned(why).and_then(|()| self.walk());
        }
        let halt = match walked {
            Err(Halt::Undo) => self.undo_run().err(),
            other => other.err(),
        };
        self.close(halt)
    }

    /// Takes back what the history says this run changed, last first.
    pub fn roll_back(mut self) -> Ending {
        self.reach.hurry(&self.settings.attest, self.settings.probe);
        let halt = self.undo_ready().and_then(|()| self.undo_run()).err();
        self.close(halt)
    }

    fn walk(&mut self) -> Go {
        let plan = self.plan;
        self.vouched_off()?;
        self.greet_all()?;
        self.say_what_is_owed()?;
        let resumed = self.history.changed();
        if resumed {
            self.lock_all()?;
        } else {
            self.lock_again()?;
        }
        self.crossed = self.across();
        if plan.failover.is_some() && !resumed {
            self.roles()?;
        }
        if plan.activates {
            self.prove_all(false)?;
        }
        // Vouched for already, where its power cannot be cut.
        self.crossed |= plan.lost().is_some_and(|n| plan.fence_of(n).is_none());
        if resumed {
            self.still_so()?;
            self.still_off()?;
        }
        self.fit_to_take_over()?;
        for n in 0..plan.stages.len() {
            self.walk_stage(n)?;
        }
        self.closing()
    }

    fn walk_stage(&mut self, n: usize) -> Go {
        let plan = self.plan;
        let stage = &plan.stages[n];
        let first: usize = plan.stages[..n].iter().map(|s| s.steps.len()).sum();
        self.step_number = first as u32;
        if self.history.skipped_stages.contains_key(&stage.id) && self.went_past(n) {
            return Ok(());
        }
        let todo: Vec<bool> = stage.steps.iter().enumerate().map(|(i, s)| !self.settled(first + i, s)).collect();
        if !todo.contains(&true) {
            return Ok(());
        }
        self.cross(stage)?;
        if !self.begun(n) {
            for (look, place, purpose) in stage.asked() {
                if let Some(reason) = self.left_out(stage, look, place, purpose)? {
                    let (stage, title, already) = (stage.id.clone(), stage.title.clone(), purpose == Purpose::Before);
                    return self.record(Event::StageSkipped { stage, title, reason, already });
                }
            }
        }
        let (number, of) = (n as u32 + 1, plan.stages.len() as u32);
        self.record(Event::StageStarted { stage: stage.id.clone(), title: stage.title.clone(), number, of })?;
        (self.stage, self.gate) = (n, gate::Way::NotAsked);
        for (i, step) in stage.steps.iter().enumerate() {
            self.step_number = (first + i) as u32 + 1;
            if !todo[i] {
                continue;
            }
            self.heed()?;
            if let Some(why) = self.vouched_instead(step) {
                self.skip(step, why)?;
                continue;
            }
            if !step.changes() {
                match self.when(step)? {
                    Some(why) => self.skip(step, why)?,
                    None => self.check(step)?,
                }
                continue;
            }
            // What runs on a node already asks nobody; before anything else is started there, the gate is asked.
            let under_way =
                self.history.steps.get(&step.instance).and_then(|s| s.open()).is_some_and(|i| i.claim.is_some());
            if !under_way {
                self.open_gate(i)?;
            }
            self.change_step(step)?;
        }
        // A gate that was raised over looks only: shown with what they saw.
        if stage.gate != Gate::Open
            && !stage.steps.iter().any(Step::changes)
            && !self.history.gates.contains_key(&stage.id)
        {
            self.ask_gate()?;
        }
        Ok(())
    }

    /// The node a place means now; `None` when a role is not known.
    fn node_of(&self, place: &Place) -> Option<String> {
        match place {
            Place::Node(n) => Some(n.clone()),
            Place::Here => Some("here".into()),
            Place::Role(key) | Place::OneOf { key, .. } => self.history.values.get(key).map(Value::lossy),
        }
    }

    /// Records; what is on disk is folded into the history.
    fn record(&mut self, event: Event) -> Go {
        self.sink.record(event.clone()).map_err(Halt::Journal)?;
        if matches!(event, Event::StepIntent { .. }) {
            self.fresh.clear();
        }
        self.history.apply(&event);
        Ok(())
    }

    fn skip(&mut self, step: &Step, why: String) -> Go {
        let node = self.node_of(&step.place).unwrap_or_default();
        self.finish(step, &node, Outcome::Skipped(why), None, String::new(), self.clock.now())
    }

    fn finish(
        &mut self,
        step: &Step,
        node: &str,
        outcome: Outcome,
        code: Option<i32>,
        tail: String,
        since: Duration,
    ) -> Go {
        let took_ms = self.clock.now().saturating_sub(since).as_millis() as u64;
        let attempts = self.history.steps.get(&step.instance).map_or(0, |s| s.started() as u32);
        let told = attempts > 0 && self.locked.iter().any(|n| n == node);
        let word = format!("run {}: {} [{}]", self.history.run, step.title.shown(), close::label(&outcome));
        let (step, title, show) = (step.instance.clone(), self.title(step), step.show);
        let node_ = node.to_string();
        self.record(Event::StepFinished { step, title, node: node_, outcome, attempts, code, tail, show, took_ms })?;
        // After the record, so that the node's copy of it has this, too.
        if told {
            self.reach.syslog(node, &word);
        }
        self.still_ours(node)
    }

    /// A step's title with what the run has learnt.
    fn title(&self, step: &Step) -> String {
        step.titled(|key| self.value(key))
    }

    /// A signal between steps.
    fn heed(&mut self) -> Go {
        if self.pending().is_none() {
            self.told = false;
            return Ok(());
        }
        let signal = self.interrupts.name().to_string();
        self.record(Event::Interrupted { signal, then: "stops here; nothing is running".into() })?;
        Err(self.signalled())
    }

    fn signalled(&self) -> Halt {
        Halt::Stopped(format!("stopped by {}", self.interrupts.name()))
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

    /// Asked to stop now, not only after this step.
    fn hurried(&self) -> bool {
        matches!(self.pending(), Some(Stop::BreakOff | Stop::Leave))
    }
}
