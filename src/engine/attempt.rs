//! One attempt of a recorded command: started, followed, its end learnt, broken off.
//!
//! Invariants: an end is never made up: it is an exit code, *certainly never began*, or not known; while something may
//! still run, the locks stay with this run.

use super::{Engine, Go};
use crate::event::Event;
use crate::plan::Step;
use crate::prompt::{Answer as Said, Choice, Question};
use crate::reach::{Claim, Progress, Sent, Started, Truth};
use crate::signal::Stop;
use std::time::Duration;

/// How long a broken-off command has between TERM and KILL.
const GRACE: Duration = Duration::from_secs(10);
/// How often a running step is asked, at least.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// How long the truth of a lost link is asked for before hawiz gives up for now.
const LOST: Duration = Duration::from_secs(60);
/// How often the output of a step that has ended is asked for over links that break.
const HEAR: u32 = 3;
/// Output kept for a person to look at.
const KEPT: usize = 256 * 1024;

/// How an attempt ended.
pub(super) enum Ran {
    Exit(i32),
    /// It certainly did not start.
    Never(String),
    /// The link was lost before it began, and now it never will.
    Cut(String),
    /// Ended by us before its own end: why, and what the node says.
    Broken(String, Truth),
    Unknown(String),
    /// Left running on the node; a resume will learn its end.
    Left(String),
    /// The node cannot be asked; a resume will learn its end.
    Lost(String),
}

pub(super) struct Attempt {
    pub ran: Ran,
    pub out: Vec<u8>,
    pub err_tail: Vec<u8>,
}

impl Attempt {
    pub(super) fn bare(ran: Ran) -> Attempt {
        Attempt { ran, out: Vec::new(), err_tail: Vec::new() }
    }
    pub(super) fn tail(&self) -> String {
        let text = String::from_utf8_lossy(&self.err_tail).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

impl Engine<'_> {
    pub(super) fn claim(&self, step: &Step, node: &str, suffix: &str) -> Claim {
        let s = self.history.steps.get(&step.instance);
        let attempt = s.map_or(0, |s| if suffix.is_empty() { s.intents.len() } else { s.undo.len() }) as u32 + 1;
        Claim {
            run: self.history.run.clone(),
            step: format!("{}{suffix}", step.instance),
            attempt,
            marker: self.history.marker.clone(),
            boot: self.greeted.get(node).map(|g| g.boot.clone()).unwrap_or_default(),
        }
    }

    /// Starts a recorded command and follows it to its end.
    pub(super) fn execute(&mut self, step: &Step, node: &str, claim: &Claim, sent: &Sent) -> Go<Attempt> {
        self.left_running = true;
        let attempt = match self.reach.start(node, claim, sent) {
            Started::Running => self.follow(step, node, claim)?,
            Started::Refused(why) => Attempt::bare(Ran::Never(why)),
            Started::Lost(why) => self.end_of(step, node, claim, &why)?,
        };
        self.over(&attempt);
        Ok(attempt)
    }

    /// The end of an attempt of an earlier sitting.
    pub(super) fn learn_end(&mut self, step: &Step, node: &str, claim: Option<&Claim>, why: &str) -> Go<Attempt> {
        let Some(claim) = claim else { return Ok(Attempt::bare(Ran::Unknown(why.into()))) };
        self.left_running = true;
        let mut attempt = self.end_of(step, node, claim, why)?;
        if let Ran::Cut(why) = attempt.ran {
            attempt.ran = Ran::Never(why);
        }
        if matches!(attempt.ran, Ran::Exit(_)) && super::lend::on_terminal(step, claim) {
            // What ended is the claiming; the program had the terminal of a hawiz that is gone.
            attempt.ran = Ran::Unknown(format!("{why}, while its program had the terminal"));
        }
        if let (Ran::Exit(_), true) = (&attempt.ran, attempt.err_tail.is_empty()) {
            let (out, err) = self.reach.output(node, claim).unwrap_or_default();
            (attempt.out, attempt.err_tail) = (out.0, err.0);
        }
        self.over(&attempt);
        Ok(attempt)
    }

    pub(super) fn over(&mut self, attempt: &Attempt) {
        self.left_running = matches!(attempt.ran, Ran::Left(_) | Ran::Lost(_) | Ran::Broken(_, Truth::Running));
    }

    fn end_of(&mut self, step: &Step, node: &str, claim: &Claim, why: &str) -> Go<Attempt> {
        Ok(match self.truth(step, node, claim, why)? {
            // It has ended, and what it said is there to be read.
            Some(Ran::Exit(_)) if !super::lend::on_terminal(step, claim) => self.follow(step, node, claim)?,
            Some(ran) => Attempt::bare(ran),
            None => self.follow(step, node, claim)?,
        })
    }

    /// Asks the node what became of a claim; `None`: it runs still.
    fn truth(&mut self, step: &Step, node: &str, claim: &Claim, why: &str) -> Go<Option<Ran>> {
        self.record(Event::LinkLost { step: step.instance.clone(), node: node.into(), why: why.into() })?;
        let since = self.clock.now();
        let mut wait = Duration::from_millis(100);
        loop {
            match self.reach.truth(node, claim) {
                Ok(Truth::Done(code)) => return Ok(Some(Ran::Exit(code))),
                Ok(Truth::Never) => return Ok(Some(Ran::Cut(why.to_string()))),
                Ok(Truth::Running) => return Ok(None),
                Ok(Truth::Unknown(w)) => return Ok(Some(Ran::Unknown(w))),
                Err(u) => {
                    if self.clock.now().saturating_sub(since) > LOST || self.pending().is_some() {
                        return Ok(Some(Ran::Lost(format!(
                            "{node} cannot be reached to learn what became of it: {}",
                            u.why
                        ))));
                    }
                    self.reach.forget(node);
                    self.clock.sleep(wait);
                    wait = (wait * 2).min(Duration::from_secs(5));
                }
            }
        }
    }

    /// Follows a running command: its output live, its deadline, ^C.
    fn follow(&mut self, step: &Step, node: &str, claim: &Claim) -> Go<Attempt> {
        let mut since = self.clock.now();
        let mut attempt = Attempt::bare(Ran::Unknown(String::new()));
        let mut ended = 0;
        loop {
            match self.reach.poll(node, claim, TICK) {
                Progress::Output(stderr, bytes) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    self.sink.show(Event::Output { step: step.instance.clone(), node: node.into(), stderr, text });
                    if !stderr {
                        keep(&mut attempt.out, &bytes);
                    }
                    keep(&mut attempt.err_tail, &bytes);
                }
                Progress::Done(code) => {
                    attempt.ran = Ran::Exit(code);
                    return Ok(attempt);
                }
                Progress::Refused(why) => {
                    attempt.ran = Ran::Never(why);
                    return Ok(attempt);
                }
                Progress::Lost(why) => match self.truth(step, node, claim, &why)? {
                    None => {}
                    // It ended meanwhile; what it said since is still to be heard, for whoever wants it whole.
                    Some(Ran::Exit(_)) if ended < HEAR => ended += 1,
                    Some(ran) => {
                        attempt.ran = ran;
                        return Ok(attempt);
                    }
                },
                Progress::Quiet => {}
            }
            match self.pending() {
                Some(Stop::AfterStep) => self.tell("stops after this step; once more breaks it off")?,
                Some(Stop::BreakOff) => {
                    let signal = self.interrupts.name().to_string();
                    self.record(Event::Interrupted { signal, then: "breaks this step off".into() })?;
                    attempt.ran = self.break_off(node, claim, "broken off");
                    return Ok(attempt);
                }
                Some(Stop::Leave) => {
                    let signal = self.interrupts.name().to_string();
                    let then = "leaves at once; the step goes on on its node".to_string();
                    self.record(Event::Interrupted { signal: signal.clone(), then })?;
                    attempt.ran =
                        Ran::Left(format!("left by {signal} while `{}` was running on {node}", self.title(step)));
                    return Ok(attempt);
                }
                None => {}
            }
            let Some(limit) = step.deadline else { continue };
            let spent = self.clock.now().saturating_sub(since);
            if spent < limit {
                continue;
            }
            let why = format!("took longer than {}s", limit.as_secs());
            if !self.prompter.person() {
                attempt.ran = self.break_off(node, claim, &why);
                return Ok(attempt);
            }
            let question = Question::Overdue { step: step.instance.clone(), lines: vec![why.clone()], after: spent };
            match self.prompter.ask(&question).answer {
                // Stopped by ^Z and gone on with: it may have ended meanwhile, and is asked about again otherwise.
                Said::Again => {}
                Said::Choice(Choice::Extend, _) | Said::Yes => since = self.clock.now(),
                Said::Choice(Choice::EndIt, _) => {
                    attempt.ran = self.break_off(node, claim, &why);
                    return Ok(attempt);
                }
                _ => {
                    attempt.ran = Ran::Left(format!("left while `{}` was running on {node}", self.title(step)));
                    return Ok(attempt);
                }
            }
        }
    }

    fn break_off(&mut self, node: &str, claim: &Claim, why: &str) -> Ran {
        match self.reach.cancel(node, claim, GRACE) {
            Ok(truth) => Ran::Broken(why.to_string(), truth),
            Err(u) => Ran::Lost(format!("{why}, but {node} cannot be reached: {}", u.why)),
        }
    }
}

/// Keeps the end of an output, at most [`KEPT`] bytes of it.
fn keep(all: &mut Vec<u8>, more: &[u8]) {
    all.extend_from_slice(more);
    if all.len() > 2 * KEPT {
        all.drain(..all.len() - KEPT);
    }
}
