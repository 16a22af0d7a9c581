//! Roll-back: what this run changed, and nothing else, last first, shown before it runs.
//!
//! Invariant: an undo is recorded as a step is; one that fails leaves the run *stuck*, with the commands that are left. An
//! undo with an exclusive effect is an activation: the same proof comes before it.

use super::change::Ran;
use super::{Engine, Go, Halt};
use crate::event::{Event, Outcome, Purpose};
use crate::plan::{Answer, Step, Undo, What};
use crate::prompt::{Answer as Said, Question};
use crate::reach::Truth;
use std::time::Duration;

impl Engine<'_> {
    pub(super) fn undo_run(&mut self) -> Go {
        let plan = self.plan;
        let todo: Vec<String> = self.history.to_undo().iter().map(|s| s.to_string()).collect();
        let steps: Vec<&Step> = todo.iter().filter_map(|i| plan.steps().find(|s| s.instance == *i)).collect();
        if steps.is_empty() {
            return Err(Halt::Stopped("nothing of this run is left to undo".into()));
        }
        let lines = self.undo_lines(&steps);
        loop {
            let given = self.prompter.ask(&Question::Undo { lines: lines.clone() });
            match given.answer {
                Said::Yes => break,
                Said::Again => {}
                Said::Stop(why) => return Err(Halt::Stopped(why)),
                _ => return Err(Halt::Stopped("the roll-back was declined".into())),
            }
        }
        if !self.history.undoing {
            let (run, hawiz) = (self.history.run.clone(), env!("CARGO_PKG_VERSION").to_string());
            self.record(Event::RunResumed { run, purpose: "rollback".into(), hawiz })?;
        }
        // Giving back what a deactivation took makes the node active again.
        if plan.exclusive && (plan.procedure == "deactivate" || steps.iter().any(|s| activates(s))) {
            self.prove_all(false)?;
        }
        for step in steps {
            if let Some(why) = self.undo_step(step)? {
                return Err(Halt::Stopped(why));
            }
            if self
                .history
                .steps
                .get(&step.instance)
                .is_some_and(|s| matches!(s.undone, Some(Outcome::UndoFailed(_) | Outcome::Unknown(_))))
            {
                return Err(Halt::Stopped(format!("the undo of `{}` failed", self.title(step))));
            }
        }
        Ok(())
    }

    /// Undoes one step. `Some`: the roll-back ends here, and why.
    fn undo_step(&mut self, step: &Step) -> Go<Option<String>> {
        let (undo, done) = match &step.what {
            What::Change(c) => (&c.undo, c.done.as_ref()),
            What::Manual(m) => (&m.undo, m.done.as_ref()),
            What::Check(_) => return Ok(None),
        };
        self.heed_undo()?;
        let node = self.history.steps.get(&step.instance).map(|s| s.node.clone()).unwrap_or_default();
        let title = self.title(step);
        let (outcome, tail) = match undo {
            Undo::NoReturn(why) => return Ok(Some(format!("`{title}` cannot be undone: {why}"))),
            Undo::None(why) => (Outcome::Skipped(why.clone()), String::new()),
            Undo::Manual(text) => {
                let lines = text.shown().lines().map(String::from).collect();
                self.record(Event::UndoIntent {
                    step: step.instance.clone(),
                    title: title.clone(),
                    node: node.clone(),
                    attempt: 1,
                    claim: None,
                })?;
                match self.prompter.ask(&Question::Manual { step: step.instance.clone(), lines, capture: None }).answer
                {
                    Said::Yes => (Outcome::Undone, String::new()),
                    _ => (Outcome::UndoFailed("not confirmed".into()), String::new()),
                }
            }
            Undo::Run(command) => {
                if activates(step) && self.plan.exclusive {
                    self.prove_all(true)?;
                }
                // A claim of an undo that was under way when hawiz ended is learnt, not repeated.
                let open =
                    self.history.steps.get(&step.instance).and_then(|s| s.undo.last()).filter(|i| !i.ended).cloned();
                let before = self
                    .history
                    .steps
                    .get(&step.instance)
                    .and_then(|s| s.intents.first())
                    .and_then(|i| i.before.clone());
                let attempt = match open.and_then(|i| i.claim) {
                    Some(claim) => self.undo_end(step, &node, &claim)?,
                    None => None,
                };
                let attempt = match attempt {
                    Some(a) => a,
                    None => {
                        let sent = match self.sent(command, before.as_ref()) {
                            Ok(sent) => sent,
                            Err(why) => {
                                return self
                                    .undone(step, title, node, Outcome::UndoFailed(why), String::new())
                                    .map(|()| None);
                            }
                        };
                        let claim = self.claim(step, &node, "#undo");
                        let number = self.history.steps.get(&step.instance).map_or(0, |s| s.undo.len() as u32) + 1;
                        self.record(Event::UndoIntent {
                            step: step.instance.clone(),
                            title: title.clone(),
                            node: node.clone(),
                            attempt: number,
                            claim: Some(claim.clone()),
                        })?;
                        self.execute(step, &node, &claim, &sent, step.deadline)?
                    }
                };
                let tail = attempt.tail();
                let outcome = match attempt.ran {
                    Ran::Exit(0) => match done {
                        Some(done) => {
                            let seen = self.no_longer(step, &node, done)?;
                            match seen.answer {
                                Answer::No => Outcome::Undone,
                                _ if seen.nothing_to_do => Outcome::Undone,
                                _ => Outcome::UndoFailed(format!("the undo ran, but it is still so: {}", seen.shown())),
                            }
                        }
                        None => Outcome::Undone,
                    },
                    Ran::Exit(code) => Outcome::UndoFailed(format!("exit {code}")),
                    Ran::Never(why) => Outcome::UndoFailed(format!("it was not started: {why}")),
                    Ran::Broken(why, Truth::Unknown(w)) => Outcome::Unknown(format!("{why}; {w}")),
                    Ran::Broken(why, _) => Outcome::UndoFailed(why),
                    Ran::Unknown(why) => Outcome::Unknown(why),
                    Ran::Left(why) => {
                        self.left_running = true;
                        return Ok(Some(why));
                    }
                };
                (outcome, tail)
            }
        };
        self.undone(step, title, node, outcome, tail).map(|()| None)
    }

    /// Looks until it is no longer so, as long as a change has to show.
    fn no_longer(&mut self, step: &Step, node: &str, done: &crate::plan::Look) -> Go<super::looks::Seen> {
        let since = self.clock.now();
        loop {
            let seen = self.look(step, node, done, Purpose::Undone)?;
            if seen.answer == Answer::No || seen.nothing_to_do || self.clock.now().saturating_sub(since) >= step.within
            {
                return Ok(seen);
            }
            self.clock.sleep(step.every.min(Duration::from_secs(2)));
        }
    }

    fn undo_end(&mut self, step: &Step, node: &str, claim: &crate::reach::Claim) -> Go<Option<super::change::Attempt>> {
        let nothing = |ran| super::change::Attempt { ran, out: Vec::new(), err_tail: Vec::new() };
        Ok(match self.truth(step, node, claim, "hawiz ended in this undo")? {
            // It certainly did not start: it is done anew.
            Some(Ran::Never(_)) => None,
            Some(ran) => Some(nothing(ran)),
            None => Some(self.follow(step, node, claim, step.deadline)?),
        })
    }

    fn undone(&mut self, step: &Step, title: String, node: String, outcome: Outcome, tail: String) -> Go {
        self.record(Event::UndoFinished { step: step.instance.clone(), title, node, outcome, tail })
    }

    fn heed_undo(&mut self) -> Go {
        match self.interrupts.pending() {
            None => Ok(()),
            Some(_) => Err(Halt::Stopped(format!("stopped by {}", self.interrupts.name()))),
        }
    }

    /// The preview: each undo as the text that would run.
    fn undo_lines(&self, steps: &[&Step]) -> Vec<String> {
        let mut out = Vec::new();
        for step in steps {
            let node = self.history.steps.get(&step.instance).map(|s| s.node.clone()).unwrap_or_default();
            out.push(format!("{} ({node})", self.title(step)));
            let undo = match &step.what {
                What::Change(c) => &c.undo,
                What::Manual(m) => &m.undo,
                What::Check(_) => continue,
            };
            match undo {
                Undo::Run(c) => out.extend(String::from_utf8_lossy(&c.source()).lines().map(|l| format!("    {l}"))),
                Undo::Manual(t) => out.push(format!("    by hand: {}", t.shown())),
                Undo::None(why) => out.push(format!("    nothing: {why}")),
                Undo::NoReturn(why) => {
                    out.push(format!("    POINT OF NO RETURN, the roll-back ends here: {why}"));
                    break;
                }
            }
        }
        out
    }

    /// What a stuck roll-back leaves to be done by hand.
    pub(super) fn left_to_undo(&self) -> Vec<(String, String)> {
        let mut out = Vec::new();
        for instance in self.history.to_undo() {
            let Some(step) = self.plan.steps().find(|s| s.instance == instance) else { continue };
            let node = self.history.steps.get(instance).map(|s| s.node.clone()).unwrap_or_default();
            let undo = match &step.what {
                What::Change(c) => &c.undo,
                What::Manual(m) => &m.undo,
                What::Check(_) => continue,
            };
            match undo {
                Undo::Run(c) => out.push((node, String::from_utf8_lossy(&c.source()).into_owned())),
                Undo::Manual(t) => out.push((node, t.shown())),
                Undo::None(_) => {}
                Undo::NoReturn(_) => break,
            }
        }
        out
    }
}

/// Its undo makes a node active, or gives it what only one node may have.
fn activates(step: &Step) -> bool {
    matches!(&step.what, What::Change(c) if matches!(c.kind.as_str(), "ip-del" | "umount" | "resource"))
}
