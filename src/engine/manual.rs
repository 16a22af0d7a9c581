//! What a person does: told, confirmed, looked at.
//!
//! Invariant: a confirmation is never the last word where there is something to look at.

use super::change::{End, Turn};
use super::failure::{After, Failure};
use super::looks::unsure;
use super::{Engine, Halt};
use crate::event::{Event, Outcome, Purpose};
use crate::plan::{Answer, Look, Manual, Step};
use crate::prompt::{Answer as Said, Question};
use crate::shell::Part;
use std::time::Duration;

impl Engine<'_> {
    pub(super) fn manual(&mut self, step: &Step, manual: &Manual, node: &str) -> Turn {
        let mut ask = true;
        if let Some(done) = &manual.done {
            let seen = self.look_until(step, node, done, Purpose::Before, Duration::ZERO)?;
            match seen.answer {
                // Told in an earlier sitting, and done since.
                Answer::Yes if self.history.steps.get(&step.instance).is_some_and(|s| s.started() > 0) => ask = false,
                Answer::Yes => {
                    return Ok(End::of(match self.capture(step, &seen.reply.out)? {
                        Ok(()) => Outcome::Already,
                        Err(why) => Outcome::Failed(why),
                    }));
                }
                Answer::No => {}
                _ => {
                    let why = unsure(&seen);
                    let halt = Halt::Failed(format!("{} ({node}): {why}", self.title(step)));
                    return Err((Some(End::of(Outcome::Failed(why))), halt));
                }
            }
        }
        if ask {
            if self.pass_gate()? {
                return self.manual(step, manual, node);
            }
            let attempt = self.history.steps.get(&step.instance).map_or(0, |s| s.intents.len() as u32) + 1;
            let (id, title, node) = (step.instance.clone(), self.title(step), node.to_string());
            self.record(Event::StepIntent { step: id, title, node, attempt, claim: None, before: None, was: None })?;
        }
        let mut text = manual.text.clone();
        for part in &mut text.0 {
            if let Part::Name(n) = part
                && let Some(v) = self.value(n)
            {
                *part = Part::Text(v);
            }
        }
        let lines: Vec<String> = text.shown().lines().map(String::from).collect();
        let mut within = step.within;
        loop {
            if ask && let Err(halt) = self.confirmed(step, &lines)? {
                return Err((Some(End::of(Outcome::Failed("not confirmed".into()))), halt));
            }
            ask = true;
            let looks = manual
                .done
                .iter()
                .map(|l| (l, Purpose::After))
                .chain(manual.verify.iter().map(|l| (l, Purpose::Verify)));
            let Some(said) = self.first_not_so(step, node, looks, within)? else { return Ok(End::of(Outcome::Done)) };
            let why = format!("confirmed, but it is not so: {said}");
            let failed = Failure { why: why.clone(), tail: said, ..Failure::default() };
            match self.after_failure(step, node, &failed) {
                Ok(After::Skip(reason)) => return Ok(End::of(Outcome::Skipped(reason))),
                Ok(After::GoOn) => return Ok(End::of(Outcome::Failed(why))),
                Ok(After::Retry) => within = step.within,
                Ok(After::Look(longer)) => (ask, within) = (false, longer),
                Err(halt) => return Err((Some(End::of(Outcome::Failed(why))), halt)),
            }
        }
    }

    /// Asks until it is confirmed, and what is to be typed was. The inner error: it was not.
    fn confirmed(&mut self, step: &Step, lines: &[String]) -> Result<Result<(), Halt>, Halt> {
        loop {
            let capture = step.capture.first().map(|(n, _)| n.clone());
            let (step_id, lines) = (step.instance.clone(), lines.to_vec());
            let question = Question::Manual { step: step_id, undo: false, lines, capture };
            let given = self.prompter.ask(&question);
            if given.by == "nobody" {
                // Nobody was told, so nobody has done it.
                self.history.never_began(&step.instance);
            }
            match given.answer {
                Said::Yes => return Ok(Ok(())),
                Said::Text(v) => match self.capture(step, &v)? {
                    Ok(()) => return Ok(Ok(())),
                    Err(why) => self.record(Event::Noted { text: why })?,
                },
                Said::Again => {}
                Said::Stop(why) => return Ok(Err(Halt::stop(why, given.by))),
                _ => return Ok(Err(Halt::stop("not confirmed".into(), given.by))),
            }
        }
    }

    fn first_not_so<'l>(
        &mut self,
        step: &Step,
        node: &str,
        looks: impl Iterator<Item = (&'l Look, Purpose)>,
        within: Duration,
    ) -> Result<Option<String>, Halt> {
        for (look, purpose) in looks {
            let seen = self.look_until(step, node, look, purpose, within)?;
            if seen.answer != Answer::Yes {
                return Ok(Some(seen.shown()));
            }
        }
        Ok(None)
    }
}
