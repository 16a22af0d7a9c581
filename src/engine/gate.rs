//! The gate: the question before a stage's changes.
//!
//! Why it exists: a person decides over what is about to happen, with looks that are seconds old. Invariants: no change of
//! a stage starts before its gate was passed *in this sitting*; a stage whose changes are all so already asks nobody; a yes
//! that took long, and a hawiz that was stopped meanwhile, have their looks taken again.

use super::{Engine, Go, Halt};
use crate::event::{Event, Outcome};
use crate::plan::{Gate, Step};
use crate::prompt::{Answer, Question};
use crate::shell::Value;
use std::time::Duration;

/// A yes that took longer has its looks taken again.
pub(super) const FRESH: Duration = Duration::from_secs(30);

/// How a stage's gate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    NotAsked,
    /// When it was looked at, nothing was left to change; what turns out to be left after all asks first.
    NothingLeft,
    Passed,
}

impl Engine<'_> {
    /// Looks at what is to come from step `from` on, and asks the gate if there is something to change.
    pub(super) fn open_gate(&mut self, from: usize) -> Go {
        if self.gate != Way::NotAsked {
            return Ok(());
        }
        if self.something_left(from)? {
            self.pass_gate()?;
        } else {
            self.gate = Way::NothingLeft;
        }
        Ok(())
    }

    fn something_left(&mut self, from: usize) -> Go<bool> {
        let plan = self.plan;
        let mut left = false;
        for step in plan.stages[self.stage].steps[from..].iter().filter(|s| s.changes()) {
            left |= !self.already(step)?;
        }
        Ok(left)
    }

    /// Right before something is started: locks and gate, once a stage. True: it was asked just now, so time has passed.
    pub(super) fn pass_gate(&mut self) -> Go<bool> {
        if self.gate == Way::Passed {
            return Ok(false);
        }
        self.source_answers()?;
        self.lock_all()?;
        let asks = self.plan.stages[self.stage].gate != Gate::Open;
        if asks {
            self.ask_gate()?;
        }
        self.gate = Way::Passed;
        Ok(asks)
    }

    pub(super) fn ask_gate(&mut self) -> Go {
        let stage = &self.plan.stages[self.stage];
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
            let yes = match &stage.gate {
                Gate::Type(word) => word.as_str(),
                _ => "yes",
            };
            let (answer, halt) = match given.answer {
                Answer::Yes => (yes, None),
                Answer::Text(word) if matches!(stage.gate, Gate::Type(_)) && word == Value::from(yes) => (yes, None),
                Answer::No => ("no", Some(Halt::Stopped("answered no".into()))),
                Answer::Dry => ("dry", Some(Halt::Dry)),
                Answer::Again => {
                    self.look_again()?;
                    continue;
                }
                Answer::Stop(why) => ("stop", Some(Halt::stop(why, given.by))),
                Answer::Quit | Answer::Choice(..) | Answer::Text(_) | Answer::Ran(_) => {
                    ("quit", Some(Halt::Stopped("quit".into())))
                }
            };
            let (stage, answer, by) = (stage.id.clone(), answer.to_string(), given.by.to_string());
            self.record(Event::GateAnswered { stage, answer, by })?;
            if let Some(halt) = halt {
                return Err(halt);
            }
            if given.took > FRESH {
                self.look_again()?;
            }
            return Ok(());
        }
    }

    /// What the gate showed, taken again: the proof, the checks that no change came after, and what is so already.
    fn look_again(&mut self) -> Go {
        let plan = self.plan;
        if plan.activates {
            self.prove_all(true)?;
        }
        self.fit_to_take_over()?;
        let number = self.step_number;
        for instance in std::mem::take(&mut self.fresh) {
            let Some(at) = plan.steps().position(|s| s.instance == instance) else { continue };
            let step = plan.steps().nth(at).expect("its position was found just now");
            if matches!(self.history.outcome(&instance), Some(Outcome::Passed)) {
                self.step_number = at as u32 + 1;
                self.check(step)?;
            }
        }
        self.step_number = number;
        for step in plan.stages[self.stage].steps.iter().filter(|s| s.changes()) {
            self.already(step)?;
        }
        Ok(())
    }

    /// Whether a change's state is there already, as far as can be told before its turn.
    fn already(&mut self, step: &Step) -> Go<bool> {
        use crate::event::Purpose;
        use crate::plan::{Answer, What};
        let redo = self.redo.contains(&step.instance);
        if !redo
            && matches!(
                self.history.outcome(&step.instance),
                Some(Outcome::Done | Outcome::Already | Outcome::Skipped(_))
            )
        {
            return Ok(true);
        }
        // Another attempt may be under way: that is never "already".
        let tried = self.history.steps.get(&step.instance);
        if tried.is_some_and(|s| s.open().is_some()) {
            return Ok(false);
        }
        let tried = tried.is_some_and(|s| s.started() > 0);
        self.choose(&step.place)?;
        let Some(node) = self.node_of(&step.place) else { return Ok(false) };
        if let Some(when) = step.when.as_ref().filter(|_| !tried) {
            if when.command.wants.iter().any(|w| self.value(&w.key).is_none()) {
                return Ok(false);
            }
            match self.look(step, &node, when, Purpose::When)?.answer {
                Answer::No => return Ok(true),
                Answer::Yes => {}
                _ => return Ok(false),
            }
        }
        let done = match &step.what {
            What::Change(c) => c.done.as_ref(),
            What::Manual(m) => m.done.as_ref(),
            What::Check(_) => return Ok(true),
        };
        let Some(done) = done else { return Ok(false) };
        if done.command.wants.iter().any(|w| self.value(&w.key).is_none()) {
            return Ok(false);
        }
        Ok(self.look(step, &node, done, Purpose::Before)?.answer == Answer::Yes)
    }
}
