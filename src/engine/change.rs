//! A change's turn: look, record the intent, change, look again, record the result.
//!
//! Invariant: nothing is sent that is not on disk as an intent, and no outcome is guessed: an attempt whose end is not
//! known is asked of the node before anything else happens to that step.

use super::looks::{Seen, evidence};
use super::{After, Engine, Failure, Go, Halt};
use crate::catalog::NO_RETRY;
use crate::event::{Event, Outcome, Purpose};
use crate::plan::{Answer, Change, Manual, Step, What};
use crate::prompt::{Answer as Said, Choice, Question};
use crate::reach::{Claim, Progress, Sent, Started, Truth};
use crate::shell::Value;
use crate::signal::Stop;
use std::time::Duration;

/// How long a broken-off command has between TERM and KILL.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// How often a running step is asked, at least.
const TICK: Duration = Duration::from_millis(100);
/// How long the truth of a lost link is asked for before it counts as unknown.
const LOST: Duration = Duration::from_secs(60);
/// Output kept for a person to look at.
const KEPT: usize = 256 * 1024;

/// How an attempt ended.
pub(super) enum Ran {
    Exit(i32),
    /// It certainly did not start.
    Never(String),
    /// Ended by us before its own end: why, and what the node says.
    Broken(String, Truth),
    Unknown(String),
    /// Left running on the node; a resume will learn its end.
    Left(String),
}

pub(super) struct Attempt {
    pub ran: Ran,
    pub out: Vec<u8>,
    pub err_tail: Vec<u8>,
}

impl Attempt {
    pub(super) fn tail(&self) -> String {
        let text = String::from_utf8_lossy(&self.err_tail).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

impl Engine<'_> {
    pub(super) fn change_step(&mut self, step: &Step) -> Go {
        let since = self.clock.now();
        let open = self.history.steps.get(&step.instance).is_some_and(|s| s.open().is_some());
        if !open && let Some(why) = self.when(step)? {
            return self.skip(step, why);
        }
        let Some(node) = self.node_of(&step.place) else { return self.skip(step, "its node is not known".into()) };
        if node != "here" && !self.locked.contains(&node) {
            // A role's node is known only now.
            self.greet(&node)?.map_err(|why| self.halt(format!("cannot reach {node}: {why}")))?;
            self.lock(&node)?;
        }
        let (title, number, of) = (self.title(step), self.step_number, self.plan.steps().count() as u32);
        self.record(Event::StepStarted { step: step.instance.clone(), title, node: node.clone(), number, of })?;
        let outcome = match &step.what {
            What::Change(c) if c.tty => {
                let manual = Manual {
                    text: crate::shell::Word::literal(format!(
                        "run this yourself on {node}, it needs a terminal:\n{}",
                        String::from_utf8_lossy(&c.run.source())
                    )),
                    done: c.done.clone(),
                    verify: c.verify.first().cloned(),
                    undo: c.undo.clone(),
                };
                self.manual(step, &manual, &node)
            }
            What::Change(c) => self.change(step, c, &node),
            What::Manual(m) => self.manual(step, m, &node),
            What::Check(_) => unreachable!("checks have a room of their own"),
        };
        match outcome {
            Ok(End { outcome, code, tail }) => {
                let attempts = self.history.steps.get(&step.instance).map_or(0, |s| s.intents.len() as u32);
                self.finish(step, &node, outcome, attempts, code, tail, since)
            }
            Err((Some(end), halt)) => {
                let attempts = self.history.steps.get(&step.instance).map_or(0, |s| s.intents.len() as u32);
                self.finish(step, &node, end.outcome, attempts, end.code, end.tail, since)?;
                Err(halt)
            }
            Err((None, halt)) => Err(halt),
        }
    }

    fn change(&mut self, step: &Step, change: &Change, node: &str) -> Turn {
        let mut tries_left = step.tries;
        let mut within = step.within;
        // An attempt of an earlier sitting whose end is not recorded: the node knows.
        let mut earlier = self.history.steps.get(&step.instance).and_then(|s| s.open()).cloned();
        let mut last_before =
            self.history.steps.get(&step.instance).and_then(|s| s.intents.first()).and_then(|i| i.before.clone());
        loop {
            let ours = self.history.steps.get(&step.instance).is_some_and(|s| !s.intents.is_empty());
            let attempt = if let Some(intent) = earlier.take() {
                self.learn_end(step, node, intent.claim.as_ref())?
            } else {
                let mut before = None;
                if let Some(done) = &change.done {
                    let seen = self.look_until(step, node, done, Purpose::Before, Duration::ZERO)?;
                    match seen.answer {
                        Answer::Yes if seen.nothing_to_do => {
                            return Ok(End::of(Outcome::Skipped(evidence(&seen.reply))));
                        }
                        Answer::Yes if ours => return self.verified(step, change, node, within, None, String::new()),
                        Answer::Yes => {
                            if let Err(why) = self.capture(step, &seen.reply.out, node, false)? {
                                return Ok(End::of(Outcome::Failed(why)));
                            }
                            return Ok(End::of(Outcome::Already));
                        }
                        Answer::No => {}
                        Answer::Unsettled | Answer::CouldNotLook => {
                            let failed =
                                Failure { why: format!("nothing was run: {}", unsure(&seen)), ..Failure::default() };
                            match self.judge(step, node, failed, &mut tries_left, &mut within, false)? {
                                Judged::Again => continue,
                                Judged::Look => continue,
                                Judged::End(end) => return Ok(end),
                            }
                        }
                    }
                    before = Some((seen.reply.out.clone(), seen.answer));
                }
                if self.pending().is_some() {
                    let signal = self.interrupts.name().to_string();
                    return Err((None, self.declined(&format!("stopped by {signal}"))));
                }
                if step.exclusive && self.plan.exclusive {
                    self.prove_all(true)?;
                }
                // What was there before the first attempt is what an undo must bring back.
                last_before = last_before.or_else(|| before.as_ref().map(|b| b.0.clone()));
                let sent = match self.sent(&change.run, last_before.as_ref()) {
                    Ok(sent) => sent,
                    Err(why) => return Ok(End::of(Outcome::Skipped(why))),
                };
                let claim = self.claim(step, node, "");
                let number = self.history.steps.get(&step.instance).map_or(0, |s| s.intents.len() as u32) + 1;
                let was = before.as_ref().map(|b| b.1);
                let title = self.title(step);
                self.record(Event::StepIntent {
                    step: step.instance.clone(),
                    title,
                    node: node.into(),
                    attempt: number,
                    claim: Some(claim.clone()),
                    before: last_before.clone(),
                    was,
                })?;
                self.execute(step, node, &claim, &sent, step.deadline)?
            };
            let tail = attempt.tail();
            let output = String::from_utf8_lossy(&attempt.out).into_owned();
            let failed = match attempt.ran {
                Ran::Exit(code) if change.exits.contains(&code) => {
                    let capture = Value(attempt.out.clone());
                    if change.done.is_none()
                        && let Err(why) = self.capture(step, &capture, node, false)?
                    {
                        Failure { why, code: Some(code), tail, output, final_: false }
                    } else {
                        let end = self.verified(step, change, node, within, Some(code), tail.clone())?;
                        match end.outcome {
                            Outcome::Failed(why) => Failure { why, code: Some(code), tail, output, final_: false },
                            _ => return Ok(end),
                        }
                    }
                }
                Ran::Exit(code) => Failure {
                    why: format!("exit {code}"),
                    code: Some(code),
                    tail,
                    output,
                    final_: code == NO_RETRY && change.kind != "sh",
                },
                Ran::Never(why) => {
                    Failure { why: format!("it was not started: {why}"), code: None, tail, output, final_: false }
                }
                Ran::Broken(why, truth) => {
                    let end = match truth {
                        Truth::Done(code) => format!("exit {code}"),
                        Truth::Never => "it had not started".into(),
                        Truth::Running => "it still runs".into(),
                        Truth::Unknown(w) => return self.unknown(step, change, node, format!("{why}; {w}"), tail),
                    };
                    Failure { why: format!("{why} ({end})"), code: None, tail, output, final_: true }
                }
                Ran::Unknown(why) => match self.unknown(step, change, node, why.clone(), tail.clone()) {
                    Ok(End { outcome: Outcome::Failed(_), .. }) => Failure {
                        why: format!("its end is not known ({why}), and it is not so now"),
                        code: None,
                        tail,
                        output,
                        final_: true,
                    },
                    other => return other,
                },
                Ran::Left(why) => {
                    self.left_running = true;
                    return Err((None, Halt::Stopped(why)));
                }
            };
            match self.judge(step, node, failed, &mut tries_left, &mut within, true)? {
                Judged::Again => {}
                Judged::Look => {
                    let end = self.verified(step, change, node, within, None, String::new())?;
                    if !matches!(end.outcome, Outcome::Failed(_)) {
                        return Ok(end);
                    }
                }
                Judged::End(end) => return Ok(end),
            }
        }
    }

    /// After a failure: another try, another look, or the end of the step.
    fn judge(
        &mut self,
        step: &Step,
        node: &str,
        failed: Failure,
        tries_left: &mut u32,
        within: &mut Duration,
        ran: bool,
    ) -> Result<Judged, (Option<End>, Halt)> {
        let of = step.tries;
        *tries_left = tries_left.saturating_sub(1);
        let attempt = of - *tries_left;
        if ran || *tries_left > 0 {
            let event = Event::AttemptFailed {
                step: step.instance.clone(),
                node: node.into(),
                attempt,
                of,
                code: failed.code,
                why: failed.why.clone(),
                tail: failed.tail.clone(),
            };
            self.record(event)?;
        }
        let end =
            |why: &str| End { outcome: Outcome::Failed(why.to_string()), code: failed.code, tail: failed.tail.clone() };
        if self.pending().is_some() {
            let signal = self.interrupts.name().to_string();
            return Err((Some(end(&failed.why)), Halt::Stopped(format!("stopped by {signal}"))));
        }
        if *tries_left > 0 && !failed.final_ {
            let until = self.clock.now() + step.wait;
            while self.clock.now() < until {
                self.clock.sleep(until.saturating_sub(self.clock.now()).min(TICK));
                if self.pending().is_some() {
                    let signal = self.interrupts.name().to_string();
                    self.tell("stops here; nothing is running")?;
                    return Err((Some(end(&failed.why)), Halt::Stopped(format!("stopped by {signal}"))));
                }
            }
            return Ok(Judged::Again);
        }
        match self.after_failure(step, node, &failed) {
            Ok(After::Retry) => {
                *tries_left = step.tries;
                Ok(Judged::Again)
            }
            Ok(After::Look(longer)) => {
                *within = longer;
                Ok(Judged::Look)
            }
            Ok(After::Skip(reason)) => {
                Ok(Judged::End(End { outcome: Outcome::Skipped(reason), code: failed.code, tail: failed.tail.clone() }))
            }
            Ok(After::GoOn) => Ok(Judged::End(end(&failed.why))),
            Err(halt) => Err((Some(end(&failed.why)), halt)),
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
        for (look, purpose) in
            change.done.iter().map(|l| (l, Purpose::After)).chain(change.verify.iter().map(|l| (l, Purpose::Verify)))
        {
            let left = within.saturating_sub(self.clock.now().saturating_sub(since));
            let seen = self.look_until(step, node, look, purpose, left)?;
            match seen.answer {
                Answer::Yes => {
                    if purpose == Purpose::After
                        && let Err(why) = self.capture(step, &seen.reply.out, node, false)?
                    {
                        return Ok(End { outcome: Outcome::Failed(why), code, tail });
                    }
                }
                Answer::No => {
                    let what = if purpose == Purpose::After {
                        "it ran, but it is not so"
                    } else {
                        "it ran, but its verification is false"
                    };
                    return Ok(End { outcome: Outcome::Failed(format!("{what}: {}", seen.shown())), code, tail });
                }
                _ => return Ok(End { outcome: Outcome::Failed(format!("it ran, but {}", unsure(&seen))), code, tail }),
            }
        }
        Ok(End { outcome: Outcome::Done, code, tail })
    }

    /// An attempt whose end nobody knows: the look decides; without one a person does.
    fn unknown(&mut self, step: &Step, change: &Change, node: &str, why: String, tail: String) -> Turn {
        if let Some(done) = change.done.as_ref().or(change.verify.first()) {
            let seen = self.look_until(step, node, done, Purpose::After, Duration::ZERO)?;
            match seen.answer {
                // Was not there before and is there now: ours.
                Answer::Yes => return self.verified(step, change, node, step.within, None, tail),
                Answer::No => return Ok(End { outcome: Outcome::Failed(why), code: None, tail }),
                _ => {}
            }
        }
        let outcome = Outcome::Unknown(why.clone());
        if !self.prompter.person() {
            let halt = Halt::Unknown(format!("{} ({node}): its outcome is not known: {why}", self.title(step)));
            return Err((Some(End { outcome, code: None, tail }), halt));
        }
        let question = Question::Unknown { step: step.instance.clone(), lines: vec![why.clone()] };
        let given = self.prompter.ask(&question);
        let (choice, end) = match given.answer {
            Said::Choice(Choice::Happened, _) => ("happened", End { outcome: Outcome::Done, code: None, tail }),
            Said::Choice(Choice::DidNot, _) => ("did-not", End { outcome: Outcome::Failed(why), code: None, tail }),
            _ => {
                let halt = Halt::Unknown(format!("{} ({node}): its outcome is not known: {why}", self.title(step)));
                return Err((Some(End { outcome, code: None, tail }), halt));
            }
        };
        self.record(Event::Chosen { step: step.instance.clone(), choice: choice.into(), reason: None })?;
        Ok(end)
    }

    fn manual(&mut self, step: &Step, manual: &Manual, node: &str) -> Turn {
        if let Some(done) = &manual.done {
            let seen = self.look_until(step, node, done, Purpose::Before, Duration::ZERO)?;
            match seen.answer {
                Answer::Yes => return Ok(End::of(Outcome::Already)),
                Answer::No => {}
                _ => {
                    let halt = self.halt(format!("{} ({node}): {}", self.title(step), unsure(&seen)));
                    return Err((Some(End::of(Outcome::Failed(unsure(&seen)))), halt));
                }
            }
        }
        let number = self.history.steps.get(&step.instance).map_or(0, |s| s.intents.len() as u32) + 1;
        let title = self.title(step);
        self.record(Event::StepIntent {
            step: step.instance.clone(),
            title,
            node: node.into(),
            attempt: number,
            claim: None,
            before: None,
            was: None,
        })?;
        let mut text = manual.text.clone();
        for part in &mut text.0 {
            if let crate::shell::Part::Name(n) = part
                && let Some(v) = self.value(n)
            {
                *part = crate::shell::Part::Text(v);
            }
        }
        loop {
            let lines = text.shown().lines().map(String::from).collect();
            let capture = step.capture.first().map(|(n, _)| n.clone());
            let given = self.prompter.ask(&Question::Manual { step: step.instance.clone(), lines, capture });
            match given.answer {
                Said::Yes => {}
                Said::Text(v) => {
                    if let Err(why) = self.capture(step, &v, node, false)? {
                        self.record(Event::Noted { text: why })?;
                        continue;
                    }
                }
                Said::Again => continue,
                Said::Stop(why) => {
                    return Err((Some(End::of(Outcome::Failed("not confirmed".into()))), Halt::Stopped(why)));
                }
                _ => {
                    return Err((
                        Some(End::of(Outcome::Failed("not confirmed".into()))),
                        Halt::Stopped("not confirmed".into()),
                    ));
                }
            }
            for (look, purpose) in manual
                .done
                .iter()
                .map(|l| (l, Purpose::After))
                .chain(manual.verify.iter().map(|l| (l, Purpose::Verify)))
            {
                let seen = self.look_until(step, node, look, purpose, step.within)?;
                if seen.answer != Answer::Yes {
                    let why = format!("confirmed, but it is not so: {}", seen.shown());
                    let failed = Failure { why: why.clone(), tail: seen.shown(), ..Failure::default() };
                    return match self.after_failure(step, node, &failed) {
                        Ok(After::Skip(reason)) => Ok(End::of(Outcome::Skipped(reason))),
                        Ok(After::GoOn) => Ok(End::of(Outcome::Failed(why))),
                        Ok(After::Retry | After::Look(_)) => self.manual(step, manual, node),
                        Err(halt) => Err((Some(End::of(Outcome::Failed(why))), halt)),
                    };
                }
            }
            return Ok(End::of(Outcome::Done));
        }
    }

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
    pub(super) fn execute(
        &mut self,
        step: &Step,
        node: &str,
        claim: &Claim,
        sent: &Sent,
        deadline: Option<Duration>,
    ) -> Go<Attempt> {
        match self.reach.start(node, claim, sent) {
            Started::Running => self.follow(step, node, claim, deadline),
            Started::Refused(why) => Ok(Attempt { ran: Ran::Never(why), out: Vec::new(), err_tail: Vec::new() }),
            Started::Lost(why) => {
                let mut attempt = Attempt { ran: Ran::Unknown(why.clone()), out: Vec::new(), err_tail: Vec::new() };
                match self.truth(step, node, claim, &why)? {
                    Some(ran) => attempt.ran = ran,
                    None => attempt = self.follow(step, node, claim, deadline)?,
                }
                Ok(attempt)
            }
        }
    }

    /// The end of an attempt of an earlier sitting.
    fn learn_end(&mut self, step: &Step, node: &str, claim: Option<&Claim>) -> Go<Attempt> {
        let nothing = |ran| Attempt { ran, out: Vec::new(), err_tail: Vec::new() };
        let Some(claim) = claim else {
            return Ok(nothing(Ran::Unknown("hawiz ended before this was recorded".into())));
        };
        match self.truth(step, node, claim, "hawiz ended in this step")? {
            Some(ran @ Ran::Exit(_)) => {
                let (out, err) = self.reach.output(node, claim).unwrap_or_default();
                Ok(Attempt { ran, out: out.0, err_tail: err.0 })
            }
            Some(ran) => Ok(nothing(ran)),
            None => self.follow(step, node, claim, step.deadline),
        }
    }

    /// Asks the node what became of a claim; `None`: it runs still.
    pub(super) fn truth(&mut self, step: &Step, node: &str, claim: &Claim, why: &str) -> Go<Option<Ran>> {
        self.record(Event::LinkLost { step: step.instance.clone(), node: node.into(), why: why.into() })?;
        let since = self.clock.now();
        let mut wait = Duration::from_millis(100);
        loop {
            match self.reach.truth(node, claim) {
                Ok(Truth::Done(code)) => return Ok(Some(Ran::Exit(code))),
                Ok(Truth::Never) => return Ok(Some(Ran::Never(why.to_string()))),
                Ok(Truth::Running) => return Ok(None),
                Ok(Truth::Unknown(w)) => return Ok(Some(Ran::Unknown(w))),
                Err(u) => {
                    if self.clock.now().saturating_sub(since) > LOST || self.pending().is_some() {
                        return Ok(Some(Ran::Left(format!(
                            "cannot reach {node} to learn what became of it: {}",
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
    pub(super) fn follow(&mut self, step: &Step, node: &str, claim: &Claim, deadline: Option<Duration>) -> Go<Attempt> {
        let mut since = self.clock.now();
        let mut attempt = Attempt { ran: Ran::Unknown(String::new()), out: Vec::new(), err_tail: Vec::new() };
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
                Progress::Lost(why) => {
                    if let Some(ran) = self.truth(step, node, claim, &why)? {
                        attempt.ran = ran;
                        return Ok(attempt);
                    }
                }
                Progress::Quiet => {}
            }
            match self.pending() {
                Some(Stop::AfterStep) => self.tell("stops after this step; once more breaks it off")?,
                Some(Stop::BreakOff) => {
                    let signal = self.interrupts.name().to_string();
                    self.record(Event::Interrupted { signal, then: "breaks this step off".into() })?;
                    attempt.ran = self.break_off(node, claim, "broken off")?;
                    return Ok(attempt);
                }
                Some(Stop::Leave) => {
                    let signal = self.interrupts.name().to_string();
                    self.record(Event::Interrupted {
                        signal: signal.clone(),
                        then: "leaves at once; the step goes on on its node".into(),
                    })?;
                    attempt.ran =
                        Ran::Left(format!("left by {signal} while `{}` was running on {node}", self.title(step)));
                    return Ok(attempt);
                }
                None => {}
            }
            let Some(limit) = deadline else { continue };
            let spent = self.clock.now().saturating_sub(since);
            if spent < limit {
                continue;
            }
            let why = format!("took longer than {}s", limit.as_secs());
            if !self.prompter.person() {
                attempt.ran = self.break_off(node, claim, &why)?;
                return Ok(attempt);
            }
            let given = self.prompter.ask(&Question::Overdue {
                step: step.instance.clone(),
                lines: vec![why.clone()],
                after: spent,
            });
            match given.answer {
                Said::Choice(Choice::Extend, _) | Said::Yes | Said::Again => since = self.clock.now(),
                Said::Choice(Choice::EndIt, _) => {
                    attempt.ran = self.break_off(node, claim, &why)?;
                    return Ok(attempt);
                }
                _ => {
                    attempt.ran = Ran::Left(format!("left while `{}` was running on {node}", self.title(step)));
                    return Ok(attempt);
                }
            }
        }
    }

    fn break_off(&mut self, node: &str, claim: &Claim, why: &str) -> Go<Ran> {
        Ok(match self.reach.cancel(node, claim, GRACE) {
            Ok(truth) => Ran::Broken(why.to_string(), truth),
            Err(u) => Ran::Unknown(format!("{why}, but {node} cannot be reached: {}", u.why)),
        })
    }
}

/// How a step's turn ended.
pub(super) struct End {
    pub outcome: Outcome,
    pub code: Option<i32>,
    pub tail: String,
}
impl End {
    fn of(outcome: Outcome) -> End {
        End { outcome, code: None, tail: String::new() }
    }
}

/// A step's turn: its end, or a halt of the run (with the step's end where there is one).
type Turn = Result<End, (Option<End>, Halt)>;

impl From<Halt> for (Option<End>, Halt) {
    fn from(halt: Halt) -> Self {
        (None, halt)
    }
}

enum Judged {
    Again,
    Look,
    End(End),
}

fn unsure(seen: &Seen) -> String {
    match seen.answer {
        Answer::Unsettled => format!("its state does not settle: {}", seen.shown()),
        _ => seen.shown(),
    }
}

/// Keeps the end of an output, at most [`KEPT`] bytes of it.
fn keep(all: &mut Vec<u8>, more: &[u8]) {
    all.extend_from_slice(more);
    if all.len() > 2 * KEPT {
        all.drain(..all.len() - KEPT);
    }
}
