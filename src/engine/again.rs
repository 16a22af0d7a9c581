//! What a resumed run owes to its earlier sittings.
//!
//! Why it exists: a run that was interrupted meets a world that went on without it. Invariants: nothing that was finished
//! is done again unless it was looked at and is no longer so; nothing that was learnt is learnt anew; what differs is said
//! before the first change. The decision is by instance and by what the journal holds, never by position or title.

use super::{Engine, Go, Halt};
use crate::event::{Event, Outcome, Purpose};
use crate::plan::{Answer, Check, Look, OnFailure, Step, What};
use std::collections::BTreeSet;
use std::time::Duration;

impl Engine<'_> {
    /// Whether a step's turn is over for good. `at`: its place in the plan.
    pub(super) fn settled(&self, at: usize, step: &Step) -> bool {
        if self.redo.contains(&step.instance) {
            return false;
        }
        match (self.history.outcome(&step.instance), step.changes()) {
            (None, _) => false,
            // A guard was passed for the changes behind it: theirs to make false. A later one guards what is to come.
            (Some(_), false) => self.earlier.is_some_and(|last| at < last),
            (Some(Outcome::Done | Outcome::Already | Outcome::Skipped(_)), true) => true,
            // The run went on without it.
            (Some(Outcome::Failed(_)), true) => step.on_failure == OnFailure::Continue,
            (Some(_), true) => false,
        }
    }

    /// A change of this stage was tried, or its gate answered: then the journal decides about its condition.
    pub(super) fn begun(&self, n: usize) -> bool {
        let stage = &self.plan.stages[n];
        self.history.gates.contains_key(&stage.id)
            || stage.steps.iter().any(|s| self.history.steps.get(&s.instance).is_some_and(|s| !s.intents.is_empty()))
    }

    /// A later stage was begun.
    pub(super) fn went_past(&self, n: usize) -> bool {
        (n + 1..self.plan.stages.len()).any(|later| self.begun(later))
    }

    /// Before the first change of a resumed run all that was finished is looked at again, and what differs is said.
    pub(super) fn still_so(&mut self) -> Go {
        let plan = self.plan;
        let reversed = self.reversed();
        for (at, step) in plan.steps().enumerate() {
            let Some(outcome) = self.history.outcome(&step.instance).cloned() else { continue };
            if !reversed.is_empty() && reversed.contains(&(step.id.clone(), self.node_of(&step.place))) {
                continue;
            }
            let looks: Vec<(&Look, Purpose)> = match (&step.what, outcome) {
                (What::Change(c), Outcome::Done) => c
                    .done
                    .iter()
                    .map(|l| (l, Purpose::After))
                    .chain(c.verify.iter().map(|l| (l, Purpose::Verify)))
                    .collect(),
                (What::Change(c), Outcome::Already) => c.done.iter().map(|l| (l, Purpose::Before)).collect(),
                (What::Manual(m), Outcome::Done) => m
                    .done
                    .iter()
                    .map(|l| (l, Purpose::After))
                    .chain(m.verify.iter().map(|l| (l, Purpose::Verify)))
                    .collect(),
                (What::Manual(m), Outcome::Already) => m.done.iter().map(|l| (l, Purpose::Before)).collect(),
                (What::Check(c), Outcome::Passed) if self.settled(at, step) => {
                    self.still_true(step, c)?;
                    continue;
                }
                _ => continue,
            };
            let Some(node) = self.node_of(&step.place) else { continue };
            for (look, purpose) in looks {
                let seen = self.look_until(step, &node, look, purpose, Duration::ZERO)?;
                let title = self.title(step);
                match seen.answer {
                    Answer::Yes => {}
                    Answer::No => {
                        let why = format!("`{title}` was so on {node}, but is no longer: {}", seen.shown());
                        self.record(Event::Noted { text: why.clone() })?;
                        // Its turn comes again behind its stage's gate; that needs somebody who saw this.
                        if !self.prompter.person() {
                            return Err(Halt::Stopped(why));
                        }
                        self.redo.insert(step.instance.clone());
                        break;
                    }
                    _ => {
                        let why = format!("cannot tell whether `{title}` is still so on {node}: {}", seen.shown());
                        return Err(Halt::Stopped(why));
                    }
                }
            }
        }
        Ok(())
    }

    /// Steps of this run that have begun to take back what an earlier one did: whose id they reverse, and where.
    fn reversed(&self) -> BTreeSet<(String, Option<String>)> {
        let begun = |later: &&Step| {
            let done = matches!(self.history.outcome(&later.instance), Some(Outcome::Done | Outcome::Already));
            done || self.history.steps.get(&later.instance).is_some_and(|s| s.started() > 0)
        };
        let plan = self.plan;
        let reversing = plan.steps().filter(|s| s.reverses.is_some()).filter(begun);
        reversing.filter_map(|s| Some((s.reverses.clone()?, self.node_of(&s.place)))).collect()
    }

    /// A fencing of an earlier sitting that does not hold (the power is on again, or the node shows a sign of life) has its turn
    /// again, whole: what said *off* once is no proof now, and to look again at its answer would lead nowhere.
    pub(super) fn still_off(&mut self) -> Go {
        let plan = self.plan;
        let Some((lost, fence)) = plan.lost().and_then(|lost| Some((lost, plan.fence_of(lost)?))) else {
            return Ok(());
        };
        let off: Vec<&Step> = plan.steps().filter(|s| s.changes() && fence.steps.contains(&s.instance)).collect();
        let sent = |s: &&Step| matches!(self.history.outcome(&s.instance), Some(Outcome::Done));
        if off.is_empty() || !off.iter().all(sent) || self.across() {
            return Ok(());
        }
        let on = match self.power_is_on(fence)? {
            Some(on) => Some(format!("its power is on: {on}")),
            None => self.sign_of_life(lost)?.map(|sign| format!("it shows a sign of life: {sign}")),
        };
        let Some(why) = on else { return Ok(()) };
        let why = format!("{lost} was fenced in this run, but {why}");
        self.record(Event::Noted { text: why.clone() })?;
        // Behind the gate of its stage, which somebody answers who saw this.
        if !self.prompter.person() {
            self.hints.push(format!("on a terminal `hawiz resume` cuts the power of {lost} anew"));
            return Err(Halt::Stopped(why));
        }
        self.redo.extend(off.iter().map(|s| s.instance.clone()));
        Ok(())
    }

    /// A guard of changes that were made since: they may have made it false, so it is only said.
    fn still_true(&mut self, step: &Step, check: &Check) -> Go {
        let seen = self.looks(step, check)?;
        if let Some(why) = super::check::why_not(check, &seen) {
            let text = format!("`{}` was true before this run's changes; now: {why}", self.title(step));
            self.record(Event::Noted { text })?;
        }
        Ok(())
    }
}
