//! A change's turn: look, record the intent, change, look again, record the result.
//!
//! Invariants: nothing is sent that is not on disk as an intent; an attempt whose end is not known is asked of the node
//! before anything else happens to that step, and where the node does not know either, a look or a person decides, never a
//! repeat; *looking* again never *runs* again.

use super::attempt::{Attempt, Ran, TICK};
use super::failure::{After, Failure};
use super::looks::{evidence, unsure};
use super::{Engine, Go, Halt};
use crate::catalog::NO_RETRY;
use crate::event::{Event, Outcome, Purpose};
use crate::plan::{Answer, Change, Step, What};
use crate::prompt::{Answer as Said, Choice, Question};
use crate::reach::{TAKEN_OVER, Truth};
use crate::shell::Value;
use std::time::Duration;

/// How often a step is begun anew because the link was lost before it began.
pub(super) const CUTS: u32 = 3;

/// How a step's turn ended.
pub(super) struct End {
    pub outcome: Outcome,
    pub code: Option<i32>,
    pub tail: String,
}
impl End {
    pub(super) fn of(outcome: Outcome) -> End {
        End { outcome, code: None, tail: String::new() }
    }
}

/// A step's turn: its end, or a halt of the run (with the step's end where there is one).
pub(super) type Turn<T = End> = Result<T, (Option<End>, Halt)>;

impl From<Halt> for (Option<End>, Halt) {
    fn from(halt: Halt) -> Self {
        (None, halt)
    }
}

enum Judged {
    Again,
    /// Look again, for this long.
    Look(Duration),
    End(End),
}

/// What came of trying.
enum Tried {
    Ran(Attempt),
    /// Nothing was run: it need not be, or cannot be now.
    End(End),
    Cannot(Failure),
    /// Time has passed: look anew.
    Again,
}

/// Attempts of this sitting.
struct Tries {
    made: u32,
    left: u32,
}

impl Engine<'_> {
    pub(super) fn change_step(&mut self, step: &Step) -> Go {
        let since = self.clock.now();
        if let Some(why) = self.when(step)? {
            return self.skip(step, why);
        }
        let Some(node) = self.node_of(&step.place) else { return self.skip(step, "its node is not known".into()) };
        if node != "here" && !self.lock_asked.contains(&node) && self.gate == super::gate::Way::Passed {
            // A role's node is known only now.
            self.lock(&node)?;
        }
        let (title, number, of) = (self.title(step), self.step_number, self.plan.steps().count() as u32);
        self.record(Event::StepStarted { step: step.instance.clone(), title, node: node.clone(), number, of })?;
        // What had the terminal of an earlier sitting is not a person's to begin before its end was asked for.
        let lent = self.history.steps.get(&step.instance).and_then(|s| s.open()).is_some_and(|i| i.claim.is_some());
        let turn = match &step.what {
            What::Change(c) if c.tty && !lent && !self.lends(c, &node) => {
                self.manual(step, &self.by_hand(c, &node), &node)
            }
            What::Change(c) => self.change(step, c, &node),
            What::Manual(m) => self.manual(step, m, &node),
            What::Check(_) => unreachable!("checks have a room of their own"),
        };
        match turn {
            Ok(end) => self.finish(step, &node, end.outcome, end.code, end.tail, since),
            Err((Some(end), halt)) => {
                self.finish(step, &node, end.outcome, end.code, end.tail, since)?;
                Err(halt)
            }
            Err((None, halt)) => Err(halt),
        }
    }

    fn change(&mut self, step: &Step, change: &Change, node: &str) -> Turn {
        let mut tries = Tries { made: 0, left: step.tries };
        let mut cut = 0;
        // An attempt of an earlier sitting whose end is not known: the node knows.
        let mut earlier = self.history.steps.get(&step.instance).and_then(|s| s.open()).cloned();
        loop {
            let tried = match earlier.take() {
                Some(intent) => {
                    let attempt = self.learn_end(step, node, intent.claim.as_ref(), "hawiz ended in this step")?;
                    if let Ran::Never(why) = &attempt.ran {
                        // It never began, so nothing has failed: its turn just comes now.
                        let why = format!("it was not started: {why}");
                        self.failed(step, node, &Failure { why, ..Failure::default() }, intent.attempt)?;
                        self.history.never_began(&step.instance);
                        continue;
                    }
                    Tried::Ran(attempt)
                }
                None => self.attempt(step, change, node)?,
            };
            if let Tried::Ran(Attempt { ran: Ran::Cut(why), .. }) = &tried
                && cut < CUTS
            {
                // It never began and never will, so nothing has failed: it is begun anew.
                cut += 1;
                let why = format!("it was not started: {why}");
                self.failed(step, node, &Failure { why, ..Failure::default() }, tries.made + cut)?;
                self.history.never_began(&step.instance);
                self.heed()?;
                continue;
            }
            let ran = matches!(tried, Tried::Ran(_));
            let mut failure = match tried {
                Tried::Again => continue,
                Tried::End(end) => return Ok(end),
                Tried::Cannot(failure) => failure,
                Tried::Ran(attempt) => match self.came_of(step, change, node, attempt)? {
                    Ok(end) => return Ok(end),
                    Err(failure) => failure,
                },
            };
            let mut judged = self.judge(step, node, &failure, &mut tries, ran)?;
            loop {
                match judged {
                    Judged::Again => break,
                    Judged::End(end) => return Ok(end),
                    // Nothing was run: looking again is all there is to trying again.
                    Judged::Look(_) if !ran => break,
                    Judged::Look(within) => match self.verified(step, change, node, within, None, String::new())? {
                        End { outcome: Outcome::Failed(why), .. } => {
                            failure.why = why;
                            judged = self.decide(step, node, &failure, &mut tries)?;
                        }
                        end => return Ok(end),
                    },
                }
            }
        }
    }

    /// Looks, and if it is not so: records the intent and runs it.
    fn attempt(&mut self, step: &Step, change: &Change, node: &str) -> Turn<Tried> {
        let tried = |e: &Self| e.history.steps.get(&step.instance).is_some_and(|s| s.started() > 0);
        let mut before = None;
        if let Some(done) = &change.done {
            let seen = self.look_until(step, node, done, Purpose::Before, Duration::ZERO)?;
            self.still_ours(node)?;
            match seen.answer {
                Answer::Yes if tried(self) => {
                    return self.verified(step, change, node, step.within, None, String::new()).map(Tried::End);
                }
                Answer::Yes if seen.nothing_to_do => {
                    return Ok(Tried::End(End::of(Outcome::Skipped(evidence(&seen.reply)))));
                }
                Answer::Yes => {
                    return Ok(Tried::End(End::of(match self.capture(step, &seen.reply.out)? {
                        Ok(()) => Outcome::Already,
                        Err(why) => Outcome::Failed(why),
                    })));
                }
                Answer::No => before = Some((seen.reply.out, seen.answer)),
                Answer::Unsettled | Answer::CouldNotLook => {
                    let why = format!("nothing was run: {}", unsure(&seen));
                    return Ok(Tried::Cannot(Failure { why, ..Failure::default() }));
                }
            }
        }
        self.heed()?;
        if self.pass_gate()? {
            return Ok(Tried::Again);
        }
        if step.exclusive && self.plan.exclusive {
            self.crossed = true;
            self.prove_all(true)?;
            self.inscribe_active(node)?;
        }
        self.all_still_ours(node)?;
        // What was there before the first attempt is what an undo must bring back.
        let first =
            self.history.steps.get(&step.instance).and_then(|s| s.intents.first()).and_then(|i| i.before.clone());
        let was = before.as_ref().map(|b| b.1);
        let kept = first.or(before.map(|b| b.0));
        let sent = match self.sent(&change.run, kept.as_ref()) {
            Ok(sent) => sent,
            Err(why) => return Ok(Tried::End(End::of(Outcome::Skipped(why)))),
        };
        let claim = self.claim(step, node, "");
        let (id, title, node_) = (step.instance.clone(), self.title(step), node.to_string());
        let (attempt, claim_) = (claim.attempt, Some(claim.clone()));
        self.record(Event::StepIntent { step: id, title, node: node_, attempt, claim: claim_, before: kept, was })?;
        let attempt = match change.tty {
            true => self.lend(step, change, node, &claim, &sent)?,
            false => self.execute(step, node, &claim, &sent)?,
        };
        Ok(Tried::Ran(attempt))
    }

    /// What an attempt's end means: the step's end, or a failure to decide about.
    fn came_of(&mut self, step: &Step, change: &Change, node: &str, attempt: Attempt) -> Turn<Result<End, Failure>> {
        let tail = attempt.tail();
        let output = String::from_utf8_lossy(&attempt.err_tail).into_owned();
        let failure =
            |why: String, code, final_| Failure { why, code, tail: tail.clone(), output: output.clone(), final_ };
        let ended = |end: End, final_| match end.outcome {
            Outcome::Failed(why) => Err(failure(why, end.code, final_)),
            _ => Ok(end),
        };
        Ok(match attempt.ran {
            Ran::Exit(code) if change.exits.contains(&code) => {
                if change.done.is_none()
                    && let Err(why) = self.capture(step, &Value(attempt.out.clone()))?
                {
                    return Ok(Err(failure(why, Some(code), false)));
                }
                ended(self.verified(step, change, node, step.within, Some(code), tail.clone())?, false)
            }
            Ran::Exit(code) => {
                Err(failure(format!("exit {code}"), Some(code), code == NO_RETRY && change.kind != "sh"))
            }
            Ran::Never(why) | Ran::Cut(why) => {
                self.history.never_began(&step.instance);
                let why = format!("it was not started: {why}");
                if why.contains(TAKEN_OVER) {
                    let end = End { outcome: Outcome::Failed(why.clone()), code: None, tail: tail.clone() };
                    let halt = format!("{} ({node}): {why}; nothing further was done", self.title(step));
                    return Err((Some(end), Halt::Taken(halt)));
                }
                Err(failure(why, None, false))
            }
            // Ended by us: what it left behind is looked at. Without a look an exit code that says *well done* may be
            // what it says of being ended.
            Ran::Broken(why, Truth::Done(code)) if change.done.is_some() || !change.exits.contains(&code) => {
                let why = format!("{why} (exit {code})");
                match self.so_now(step, change, node)? {
                    Some(Answer::Yes) => {
                        ended(self.verified(step, change, node, step.within, Some(code), tail.clone())?, true)
                    }
                    _ => Err(failure(why, Some(code), true)),
                }
            }
            Ran::Broken(why, Truth::Done(_)) => ended(self.unknown(step, change, node, why, tail.clone())?, true),
            Ran::Broken(why, Truth::Never) => {
                self.history.never_began(&step.instance);
                Err(failure(format!("{why}; it had not started"), None, true))
            }
            Ran::Broken(why, Truth::Running) => {
                let why = format!("{why}; it does not end, and still runs");
                let halt = Halt::Unknown(format!("{} ({node}): {why}", self.title(step)));
                return Err((Some(End { outcome: Outcome::Unknown(why), code: None, tail }), halt));
            }
            Ran::Broken(why, Truth::Unknown(w)) => {
                ended(self.unknown(step, change, node, format!("{why}; {w}"), tail.clone())?, true)
            }
            Ran::Unknown(why) => ended(self.unknown(step, change, node, why, tail.clone())?, true),
            Ran::Left(why) => return Err((None, Halt::Stopped(why))),
            Ran::Lost(why) => {
                if self.may_go_unplanned(node) && self.prompter.person() {
                    self.silent(node, &why)?;
                    // It may answer now; its turn comes as after a resume.
                    let claim =
                        self.history.steps.get(&step.instance).and_then(|s| s.open()).and_then(|i| i.claim.clone());
                    let attempt = self.learn_end(step, node, claim.as_ref(), &why)?;
                    return self.came_of(step, change, node, attempt);
                }
                return Err((None, Halt::Unknown(format!("{} ({node}): {why}", self.title(step)))));
            }
        })
    }

    /// One attempt failed: recorded, and with that known to have ended.
    fn failed(&mut self, step: &Step, node: &str, failed: &Failure, attempt: u32) -> Go {
        let (step_, node, of) = (step.instance.clone(), node.to_string(), step.tries.max(attempt));
        let (code, why, tail) = (failed.code, failed.why.clone(), failed.tail.clone());
        self.record(Event::AttemptFailed { step: step_, node, attempt, of, code, why, tail })
    }

    /// After a failure: another try, another look, or the end of the step.
    fn judge(&mut self, step: &Step, node: &str, failed: &Failure, tries: &mut Tries, ran: bool) -> Turn<Judged> {
        tries.left = tries.left.saturating_sub(1);
        tries.made += 1;
        let more = tries.left > 0 && !failed.final_;
        if ran || more {
            self.failed(step, node, failed, tries.made)?;
        }
        if self.pending().is_some() {
            // With tries left it has not failed yet: a resume tries on.
            let end = (!more).then(|| End {
                outcome: Outcome::Failed(failed.why.clone()),
                code: failed.code,
                tail: failed.tail.clone(),
            });
            let halt = self.heed().err().unwrap_or_else(|| self.signalled());
            return Err((end, halt));
        }
        if !more {
            return self.decide(step, node, failed, tries);
        }
        let until = self.clock.now() + step.wait;
        while self.clock.now() < until {
            self.clock.sleep(until.saturating_sub(self.clock.now()).min(TICK));
            self.heed()?;
        }
        Ok(Judged::Again)
    }

    fn decide(&mut self, step: &Step, node: &str, failed: &Failure, tries: &mut Tries) -> Turn<Judged> {
        let end = |outcome| End { outcome, code: failed.code, tail: failed.tail.clone() };
        let why = || Outcome::Failed(failed.why.clone());
        match self.after_failure(step, node, failed) {
            // A person's retry is one more attempt, then they are asked again.
            Ok(After::Retry) => {
                tries.left = 1;
                Ok(Judged::Again)
            }
            Ok(After::Look(within)) => Ok(Judged::Look(within)),
            Ok(After::Skip(reason)) => Ok(Judged::End(end(Outcome::Skipped(reason)))),
            Ok(After::GoOn) => Ok(Judged::End(end(why()))),
            Err(halt) => Err((Some(end(why())), halt)),
        }
    }

    /// Looks again after a change: `done` and every `verify` must be true.
    fn verified(
        &mut self,
        step: &Step,
        change: &Change,
        node: &str,
        within: Duration,
        code: Option<i32>,
        tail: String,
    ) -> Turn {
        let since = self.clock.now();
        let after = change.done.iter().map(|l| (l, Purpose::After));
        for (look, purpose) in after.chain(change.verify.iter().map(|l| (l, Purpose::Verify))) {
            let left = within.saturating_sub(self.clock.now().saturating_sub(since));
            let seen = self.look_until(step, node, look, purpose, left)?;
            if seen.answer != Answer::Yes && self.hurried() {
                let (signal, then) =
                    (self.interrupts.name().to_string(), "stops here; a resume looks whether it became so");
                self.record(Event::Interrupted { signal, then: then.into() })?;
                return Err((None, self.signalled()));
            }
            let why = match (seen.answer, purpose) {
                (Answer::Yes, Purpose::After) => match self.capture(step, &seen.reply.out)? {
                    Ok(()) => continue,
                    Err(why) => why,
                },
                (Answer::Yes, _) => continue,
                (Answer::No, Purpose::After) => format!("it ran, but it is not so: {}", seen.shown()),
                (Answer::No, _) => format!("it ran, but its verification is false: {}", seen.shown()),
                _ => format!("it ran, but {}", unsure(&seen)),
            };
            return Ok(End { outcome: Outcome::Failed(why), code, tail });
        }
        Ok(End { outcome: Outcome::Done, code, tail })
    }

    /// What `done` says now; without one nothing does: a verification may have been true before. Of a program that had the
    /// terminal it is all there is, and the playbook says that it tells.
    fn so_now(&mut self, step: &Step, change: &Change, node: &str) -> Go<Option<Answer>> {
        let verify = change.verify.first().filter(|_| change.tty).map(|l| (l, Purpose::Verify));
        let Some((look, purpose)) = change.done.as_ref().map(|l| (l, Purpose::After)).or(verify) else {
            return Ok(None);
        };
        Ok(Some(self.look_until(step, node, look, purpose, Duration::ZERO)?.answer))
    }

    /// An attempt whose end nobody knows: the look decides; without one a person does. *Failed* means: known not to be so.
    fn unknown(&mut self, step: &Step, change: &Change, node: &str, why: String, tail: String) -> Turn {
        if change.kind == "fence" {
            // Sent again it does no harm, and what counts is what the device says in the end.
            return Ok(End { outcome: Outcome::Failed(format!("its end is not known ({why})")), code: None, tail });
        }
        match self.so_now(step, change, node)? {
            // Was not there before and is there now: ours.
            Some(Answer::Yes) => return self.verified(step, change, node, step.within, None, tail),
            Some(Answer::No) => {
                let why = format!("its end is not known ({why}), and it is not so now");
                return Ok(End { outcome: Outcome::Failed(why), code: None, tail });
            }
            _ => {}
        }
        let halt = Halt::Unknown(format!("{} ({node}): its outcome is not known: {why}", self.title(step)));
        if !self.prompter.person() || self.hurried() {
            return Err((Some(End { outcome: Outcome::Unknown(why), code: None, tail }), halt));
        }
        match self.ask_unknown(step, &why)? {
            Some(true) => self.verified(step, change, node, step.within, None, tail),
            Some(false) => Ok(End { outcome: Outcome::Failed(format!("{why}; it did not happen")), code: None, tail }),
            None => Err((Some(End { outcome: Outcome::Unknown(why), code: None, tail }), halt)),
        }
    }

    /// Did it happen? A person knows, or does not.
    pub(super) fn ask_unknown(&mut self, step: &Step, why: &str) -> Go<Option<bool>> {
        let question = Question::Unknown { step: step.instance.clone(), lines: vec![why.to_string()] };
        let (choice, happened) = loop {
            match self.prompter.ask(&question).answer {
                Said::Again => {}
                Said::Choice(Choice::Happened, _) => break ("happened", true),
                Said::Choice(Choice::DidNot, _) => break ("did-not", false),
                _ => return Ok(None),
            }
        };
        self.record(Event::Chosen { step: step.instance.clone(), choice: choice.into(), reason: None })?;
        Ok(Some(happened))
    }
}
