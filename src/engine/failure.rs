//! What to do about a failure: the playbook decides, or a person at the menu.
//!
//! Invariant: without a person nothing is tried that the playbook does not name, and what was asked is recorded before it
//! happens.

use super::{Engine, Go, Halt};
use crate::event::Event;
use crate::plan::{OnFailure, Step, What};
use crate::prompt::{Answer, Choice, Question};
use std::time::Duration;

/// What went wrong with a step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failure {
    pub why: String,
    pub code: Option<i32>,
    pub tail: String,
    /// All that was kept of its output.
    pub output: String,
    /// Trying again by itself cannot help.
    pub final_: bool,
}

impl Failure {
    fn lines(&self) -> Vec<String> {
        let mut out = vec![self.why.clone()];
        out.extend(self.tail.lines().rev().take(3).map(String::from).collect::<Vec<_>>().into_iter().rev());
        out
    }
}

/// What to do about it.
pub(crate) enum After {
    Retry,
    /// Look again, for this long.
    Look(Duration),
    Skip(String),
    /// The playbook says that the run goes on.
    GoOn,
}

/// Whether there is something to look at.
fn has_look(step: &Step) -> bool {
    match &step.what {
        What::Check(_) => true,
        What::Change(c) => c.done.is_some() || !c.verify.is_empty(),
        What::Manual(m) => m.done.is_some() || m.verify.is_some(),
    }
}

impl Engine<'_> {
    pub(super) fn after_failure(&mut self, step: &Step, node: &str, failed: &Failure) -> Go<After> {
        if step.on_failure == OnFailure::Continue {
            return Ok(After::GoOn);
        }
        let may_skip = step.on_failure == OnFailure::Ask;
        if may_skip && matches!(step.what, What::Check(_)) {
            let over = self.settings.overrides.iter().find(|(s, _)| *s == step.id || *s == step.instance).cloned();
            if let Some((_, reason)) = over {
                let (step, choice) = (step.instance.clone(), "override".to_string());
                self.record(Event::Chosen { step, choice, reason: Some(reason.clone()) })?;
                return Ok(After::Skip(format!("overridden: {reason}")));
            }
        }
        let why = format!("{} ({node}): {}", self.title(step), failed.why);
        let fenced = self.fences(step).map(String::from);
        // A device that does not tell leaves open whether the node still runs.
        let open = fenced.is_some() && matches!(step.what, What::Check(_)) && failed.why.starts_with("cannot tell");
        let halt = if open && self.history.changed() { Halt::Unknown(why) } else { Halt::Failed(why) };
        // A guard that refuses before anything was changed just refuses: running again costs nothing.
        let just_refuses = !self.history.changed() && matches!(step.what, What::Check(_)) && !may_skip;
        if just_refuses || !self.prompter.person() {
            return Err(halt);
        }
        let mut offers = vec![Choice::Retry];
        if has_look(step) {
            offers.extend([Choice::LookAgain, Choice::Extend]);
        }
        if may_skip {
            offers.push(Choice::Skip);
        }
        if fenced.is_some() {
            offers.push(Choice::Vouch);
        }
        if self.may_go_unplanned(node) {
            offers.push(Choice::Unplanned);
        }
        if !self.todo().is_empty() {
            offers.push(Choice::Undo);
        }
        offers.push(Choice::Quit);
        let output = if failed.output.is_empty() { failed.tail.clone() } else { failed.output.clone() };
        let lines = failed.lines();
        let question = Question::Failure { step: step.instance.clone(), lines, output, offers: offers.clone() };
        loop {
            let given = self.prompter.ask(&question);
            let (choice, reason) = match given.answer {
                Answer::Choice(c, reason) if offers.contains(&c) => (c, reason),
                Answer::Stop(_) | Answer::Quit | Answer::No => (Choice::Quit, None),
                Answer::Again | Answer::Yes | Answer::Dry | Answer::Text(_) | Answer::Ran(_) | Answer::Choice(..) => {
                    continue;
                }
            };
            let word = match choice {
                Choice::Retry => "retry",
                Choice::LookAgain => "look-again",
                Choice::Extend => "extend",
                Choice::Skip => "skip",
                Choice::Undo => "undo",
                Choice::Unplanned => "unplanned",
                Choice::Vouch => "vouch",
                _ => "quit",
            };
            self.record(Event::Chosen { step: step.instance.clone(), choice: word.into(), reason: reason.clone() })?;
            if let (Choice::Vouch, Some(node)) = (choice, &fenced) {
                match self.vouch_instead(node)? {
                    Some(why) => return Ok(After::Skip(why)),
                    None => continue,
                }
            }
            return match choice {
                Choice::Retry => Ok(After::Retry),
                Choice::LookAgain => Ok(After::Look(Duration::ZERO)),
                Choice::Extend => Ok(After::Look(step.within.max(Duration::from_secs(60)))),
                Choice::Skip => Ok(After::Skip(reason.unwrap_or_else(|| "no reason given".into()))),
                Choice::Undo => Err(Halt::Undo),
                Choice::Unplanned => Err(Halt::Unplanned(format!("{}: {}", self.title(step), failed.why))),
                _ => Err(halt),
            };
        }
    }
}
