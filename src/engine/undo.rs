//! Roll-back: what this run changed, and nothing else, last first, shown before it runs.
//!
//! Invariants: an undo is recorded as a step is, and one whose end is not known is learnt, never repeated; a step that may
//! still be running is ended first; one undo that fails leaves the run *stuck*, with the commands that are left.
//!
//! An undo with an exclusive effect is an activation: the same proof comes before it, and the same gate. That gate is the
//! one before the exclusive changes of the playbook's `activate` ([`crate::plan::Plan::reactivation`]): typed where it is
//! typed, plain where it is plain, so that `--yes` answers it exactly where it answers an activation's. A plan that knows
//! none (an older one, a playbook whose `activate` has no exclusive change) wants the node's name typed. What is asked and
//! answered is recorded under the gate id `rollback`, by which an answers file answers it.
//!
//! A failover is undone in one go: first what was done to the node that took over, then what was done to the one that gave
//! up, which is its activation. Between the two every other node is proven inactive, the one that had taken over first.

use super::attempt::{Attempt, Ran};
use super::change::CUTS;
use super::gate::FRESH;
use super::looks::Seen;
use super::{Engine, Go, Halt};
use crate::event::{Event, Outcome, Proven, Purpose};
use crate::history::History;
use crate::plan::{Answer, Gate, Look, Plan, Step, Undo, What};
use crate::prompt::answers::ROLL_BACK;
use crate::prompt::{Answer as Said, Question};
use crate::reach::{TAKEN_OVER, Truth};
use crate::shell::{Command, Word};
use std::time::Duration;

/// How long a node may take to be inactive after the last undo.
const SETTLES: Duration = Duration::from_secs(30);

/// A step's undo and its `done`.
fn parts(step: &Step) -> Option<(&Undo, Option<&Look>)> {
    match &step.what {
        What::Change(c) => Some((&c.undo, c.done.as_ref())),
        What::Manual(m) => Some((&m.undo, m.done.as_ref())),
        What::Check(_) => None,
    }
}

/// Its undo makes a node active, or gives it what only one node may have.
fn activates(step: &Step) -> bool {
    matches!(&step.what, What::Change(c) if matches!(c.kind.as_str(), "ip-del" | "umount" | "resource-stop"))
}

/// A step of a failover that is about the node which gives up.
fn of_source(plan: &Plan, step: &Step, from: &str) -> bool {
    let about = |s: &crate::plan::Stage| s.of.as_deref() == Some(from);
    plan.gives_up(from) && plan.stages.iter().any(|s| about(s) && s.steps.iter().any(|x| x.instance == step.instance))
}

/// The node that undoing these makes active again, if it does: giving back what a deactivation took, or undoing a change that
/// took what only one node may have.
fn active_again(plan: &Plan, history: &History, steps: &[&Step]) -> Option<String> {
    // What a failover did to the node that gave up is undone to make it active.
    let from = plan.from().filter(|from| steps.iter().any(|s| of_source(plan, s, from)));
    if let Some(from) = from.filter(|_| plan.exclusive) {
        return Some(from.to_string());
    }
    let taken = steps.iter().find(|s| activates(s)).and_then(|s| history.steps.get(&s.instance));
    let target = plan.target.clone().filter(|_| plan.procedure == "deactivate");
    target.or_else(|| taken.map(|s| s.node.clone())).filter(|_| plan.exclusive)
}

/// The gate of the roll-back of this run.
pub(crate) fn gate_of(plan: &Plan, history: &History) -> Gate {
    let steps: Vec<&Step> = history.to_undo().iter().filter_map(|i| plan.steps().find(|s| s.instance == **i)).collect();
    match active_again(plan, history, &steps) {
        Some(node) => reactivation(plan, &node),
        None => Gate::Ask,
    }
}

fn reactivation(plan: &Plan, node: &str) -> Gate {
    match &plan.reactivation {
        Some(Gate::Ask | Gate::Open) => Gate::Ask,
        // A word of the playbook's own stays; a name is that of the node it is about.
        Some(Gate::Type(word)) if plan.target.as_ref() != Some(word) => Gate::Type(word.clone()),
        Some(Gate::Type(_)) | None => Gate::Type(node.to_string()),
    }
}

impl Engine<'_> {
    /// Greets and locks what a roll-back needs, and no more: a node that this run never changed may be down.
    pub(super) fn undo_ready(&mut self) -> Go {
        let mut nodes: Vec<String> = Vec::new();
        for instance in self.history.to_undo() {
            let node = &self.history.steps[instance].node;
            if !nodes.contains(node) {
                nodes.push(node.clone());
            }
        }
        self.greet_these(&nodes)?;
        // The others' locks may have been left by a sitting that was killed: given back with the rest, if they can be.
        let tried = self.history.steps.values().filter(|s| !s.intents.is_empty()).map(|s| s.node.clone());
        let others: Vec<String> = tried.filter(|n| !nodes.contains(n)).collect();
        let met = self.greet_each(&others)?;
        nodes.extend(others.into_iter().zip(met).filter_map(|(n, met)| met.is_ok().then_some(n)));
        self.lock_these(nodes)
    }

    pub(super) fn todo(&self) -> Vec<&'_ Step> {
        let plan = self.plan;
        self.history.to_undo().iter().filter_map(|i| plan.steps().find(|s| s.instance == **i)).collect()
    }

    pub(super) fn undo_run(&mut self) -> Go {
        let plan = self.plan;
        self.settle_open()?;
        let todo: Vec<String> = self.todo().iter().map(|s| s.instance.clone()).collect();
        let steps: Vec<&Step> = todo.iter().filter_map(|i| plan.steps().find(|s| s.instance == *i)).collect();
        if steps.is_empty() && self.history.undoing {
            return Ok(());
        }
        if steps.is_empty() {
            let lost = plan.lost().filter(|_| self.history.unplanned.is_some());
            return Err(Halt::Stopped(match lost {
                Some(node) => format!("what was done on {node} is not taken back: this run has left it for lost"),
                None => "nothing of this run is left to undo".into(),
            }));
        }
        let active = active_again(plan, &self.history, &steps);
        let source = plan.from().filter(|from| steps.iter().any(|s| of_source(plan, s, from)));
        match (&active, source) {
            (Some(_), None) => self.prove_all(false)?,
            // The node that took over is proven when it was taken back from it.
            (Some(_), Some(_)) => self.prove_others()?,
            (None, _) => {}
        }
        self.ask_back(&steps, active)?;
        let (run, hawiz) = (self.history.run.clone(), env!("CARGO_PKG_VERSION").to_string());
        self.record(Event::RunResumed { run, purpose: "rollback".into(), hawiz, taken: None })?;
        let mut handed_back = source.is_none();
        for step in steps {
            self.heed()?;
            if !handed_back && source.is_some_and(|from| of_source(plan, step, from)) {
                handed_back = true;
                self.prove_all_but(source.unwrap_or_default())?;
            }
            self.undo_step(step)?;
            if self
                .history
                .steps
                .get(&step.instance)
                .is_some_and(|s| matches!(s.undone, Some(Outcome::UndoFailed(_) | Outcome::Unknown(_))))
            {
                return Err(Halt::Stopped(format!("the undo of `{}` failed", self.title(step))));
            }
        }
        self.inactive_again()
    }

    /// The gate of a roll-back.
    fn ask_back(&mut self, steps: &[&Step], active: Option<String>) -> Go {
        let gate = active.as_ref().map_or(Gate::Ask, |node| reactivation(self.plan, node));
        let question = Question::Undo {
            steps: steps.iter().map(|s| s.instance.clone()).collect(),
            lines: self.undo_lines(steps),
            gate: gate.clone(),
            active: active.clone(),
        };
        let yes = match &gate {
            Gate::Type(word) => word.clone(),
            _ => "yes".to_string(),
        };
        loop {
            if active.is_some() {
                self.record(Event::GateAsked { stage: ROLL_BACK.into() })?;
            }
            let given = self.prompter.ask(&question);
            let typed = matches!((&gate, &given.answer), (Gate::Type(word), Said::Text(t)) if t.lossy() == *word);
            let (answer, halt) = match given.answer {
                Said::Again => {
                    self.prove_back(active.as_deref())?;
                    continue;
                }
                Said::Yes => (yes.as_str(), None),
                _ if typed => (yes.as_str(), None),
                Said::Stop(why) => ("stop", Some(Halt::Stopped(why))),
                _ => ("no", Some(Halt::Stopped("the roll-back was declined".into()))),
            };
            if active.is_some() {
                let (stage, answer, by) = (ROLL_BACK.into(), answer.to_string(), given.by.to_string());
                self.record(Event::GateAnswered { stage, answer, by })?;
            }
            if let Some(halt) = halt {
                return Err(halt);
            }
            if given.took > FRESH {
                self.prove_back(active.as_deref())?;
            }
            return Ok(());
        }
    }

    /// The proof behind the gate of a roll-back, taken again.
    fn prove_back(&mut self, active: Option<&str>) -> Go {
        match active {
            Some(node) if self.plan.from() == Some(node) => self.prove_others(),
            Some(_) => self.prove_all(true),
            None => Ok(()),
        }
    }

    /// A roll-back of an activation ends as a deactivation does: the node must be inactive, as it would have to prove to
    /// others. What ran there before this run was not its to stop: that is said, and no more.
    fn inactive_again(&mut self) -> Go {
        let plan = self.plan;
        let Some(own) = &plan.undone else { return Ok(()) };
        let since = self.clock.now();
        let proven = loop {
            let proven = self.proven_of(own)?;
            // A service that stops by and by has the time that a change has to show.
            if proven == Proven::LookedAt
                || self.clock.now().saturating_sub(since) > SETTLES
                || self.pending().is_some()
            {
                break proven;
            }
            self.clock.sleep(Duration::from_secs(1));
        };
        self.record(Event::ProofTaken { node: own.node.clone(), proven: proven.clone(), again: false })?;
        let (Proven::Active(why) | Proven::CannotTell(why)) = proven else { return Ok(()) };
        let why = format!("everything was taken back, but {} is not inactive: {why}", own.node);
        let before = plan.steps().any(|s| {
            let kind = matches!(&s.what, What::Change(c) if s.exclusive || c.kind == "service-start");
            kind && matches!(self.history.outcome(&s.instance), Some(Outcome::Already))
        });
        if before { self.record(Event::Noted { text: why }) } else { Err(Halt::Stopped(why)) }
    }

    /// Before anything is undone, what may still run is ended, and what never began is told apart.
    fn settle_open(&mut self) -> Go {
        let plan = self.plan;
        for step in plan.steps() {
            let Some(s) = self.history.steps.get(&step.instance).filter(|s| s.ours() && s.undo.is_empty()) else {
                continue;
            };
            let known = s.outcome.as_ref().is_some_and(|o| !matches!(o, Outcome::Unknown(_)));
            let (node, claim) = (s.node.clone(), s.intents.last().and_then(|i| i.claim.clone()));
            let Some(claim) = claim.filter(|_| !known) else { continue };
            let title = self.title(step);
            let attempt = self.learn_end(step, &node, Some(&claim), "this step's end is not recorded")?;
            match attempt.ran {
                Ran::Exit(_) | Ran::Broken(_, Truth::Done(_)) => {}
                Ran::Never(why) | Ran::Cut(why) | Ran::Broken(why, Truth::Never) => {
                    self.history.never_began(&step.instance);
                    let why = format!("it was not started: {why}");
                    self.finish(step, &node, Outcome::Failed(why), None, String::new(), self.clock.now())?;
                }
                Ran::Left(why) => return Err(Halt::Stopped(why)),
                Ran::Lost(why) => return Err(Halt::Unknown(why)),
                Ran::Broken(why, Truth::Running) => {
                    return Err(Halt::Unknown(format!("{title} ({node}): {why}; it still runs")));
                }
                Ran::Broken(why, Truth::Unknown(w)) => self.settle_unknown(step, &node, format!("{why}; {w}"))?,
                Ran::Unknown(why) => self.settle_unknown(step, &node, why)?,
            }
        }
        Ok(())
    }

    /// Where a look can tell afterwards whether it is undone, not knowing does no harm; else a person decides.
    fn settle_unknown(&mut self, step: &Step, node: &str, why: String) -> Go {
        if parts(step).is_some_and(|(_, done)| done.is_some()) {
            return Ok(());
        }
        let halt = Halt::Unknown(format!("{} ({node}): its outcome is not known: {why}", self.title(step)));
        if !self.prompter.person() {
            return Err(halt);
        }
        match self.ask_unknown(step, &why)? {
            Some(true) => Ok(()),
            Some(false) => {
                self.history.never_began(&step.instance);
                self.finish(
                    step,
                    node,
                    Outcome::Failed("it did not happen".into()),
                    None,
                    String::new(),
                    self.clock.now(),
                )
            }
            None => Err(halt),
        }
    }

    fn undo_step(&mut self, step: &Step) -> Go {
        let Some((undo, done)) = parts(step) else { return Ok(()) };
        let node = self.history.steps.get(&step.instance).map(|s| s.node.clone()).unwrap_or_default();
        let (outcome, tail) = match undo {
            Undo::NoReturn(why) => {
                return Err(Halt::Stopped(format!("`{}` cannot be undone: {why}", self.title(step))));
            }
            Undo::None(why) => (Outcome::Skipped(why.clone()), String::new()),
            Undo::Manual(text) => (self.undo_by_hand(step, &node, text, done)?, String::new()),
            Undo::Run(command) => {
                let gave = self.plan.from().is_some_and(|from| of_source(self.plan, step, from));
                let takes = activates(step) || (step.exclusive && (gave || self.plan.procedure == "deactivate"));
                if self.plan.exclusive && takes {
                    self.prove_all_but(&node)?;
                }
                match self.undo_attempt(step, &node, command, done)? {
                    Ok(attempt) => {
                        let tail = attempt.tail();
                        (self.undone(step, &node, done, attempt.ran)?, tail)
                    }
                    Err(outcome) => (outcome, String::new()),
                }
            }
        };
        self.record(Event::UndoFinished { step: step.instance.clone(), title: self.title(step), node, outcome, tail })
    }

    fn undo_intent(&mut self, step: &Step, node: &str, claim: Option<crate::reach::Claim>) -> Go {
        let attempt = self.history.steps.get(&step.instance).map_or(0, |s| s.undo.len() as u32) + 1;
        let (id, title) = (step.instance.clone(), self.title(step));
        self.record(Event::UndoIntent { step: id, title, node: node.into(), attempt, claim })
    }

    fn undo_by_hand(&mut self, step: &Step, node: &str, text: &Word, done: Option<&Look>) -> Go<Outcome> {
        self.undo_intent(step, node, None)?;
        let lines: Vec<String> = text.shown().lines().map(String::from).collect();
        loop {
            let (step_id, lines) = (step.instance.clone(), lines.clone());
            let question = Question::Manual { step: step_id, undo: true, lines, capture: None };
            let given = self.prompter.ask(&question);
            match given.answer {
                Said::Yes => break,
                Said::Again => {}
                Said::No => return Ok(Outcome::UndoFailed("not confirmed".into())),
                // Left for later; without a person there is no later.
                Said::Stop(why) if self.prompter.person() => return Err(Halt::Stopped(why)),
                _ if self.prompter.person() => return Err(Halt::Stopped("not confirmed".into())),
                _ => return Ok(Outcome::UndoFailed("nobody is there to do it".into())),
            }
        }
        self.undone(step, node, done, Ran::Exit(0))
    }

    /// Runs an undo, or learns the end of one that was under way. The inner error: what it comes to without running.
    fn undo_attempt(
        &mut self,
        step: &Step,
        node: &str,
        command: &Command,
        done: Option<&Look>,
    ) -> Go<Result<Attempt, Outcome>> {
        let s = self.history.steps.get(&step.instance);
        let open = s.and_then(|s| s.open_undo()).and_then(|i| i.claim.clone());
        let before = s.and_then(|s| s.intents.first()).and_then(|i| i.before.clone());
        if let Some(claim) = open {
            let attempt = self.learn_end(step, node, Some(&claim), "this undo's end is not recorded")?;
            match &attempt.ran {
                // It certainly did not start: it is done anew.
                Ran::Never(_) => {}
                Ran::Unknown(why) => match done {
                    // It can be seen whether it is left to do.
                    Some(done) => match self.no_longer(step, node, done, Duration::ZERO)? {
                        Seen { answer: Answer::No, .. } => return Ok(Err(Outcome::Undone)),
                        Seen { answer: Answer::Yes, .. } => {}
                        _ => return Ok(Ok(attempt)),
                    },
                    None if self.prompter.person() => match self.ask_unknown(step, &format!("its undo: {why}"))? {
                        Some(true) => return Ok(Err(Outcome::Undone)),
                        Some(false) => {}
                        None => return Ok(Ok(attempt)),
                    },
                    None => return Ok(Ok(attempt)),
                },
                _ => return Ok(Ok(attempt)),
            }
        }
        let sent = match self.sent(command, before.as_ref()) {
            Ok(sent) => sent,
            Err(why) => return Ok(Err(Outcome::UndoFailed(why))),
        };
        let mut cut = 0;
        loop {
            let claim = self.claim(step, node, "#undo");
            self.undo_intent(step, node, Some(claim.clone()))?;
            let attempt = self.execute(step, node, &claim, &sent)?;
            // It never began and never will: it is begun anew.
            if !matches!(attempt.ran, Ran::Cut(_)) || cut == CUTS {
                return Ok(Ok(attempt));
            }
            cut += 1;
        }
    }

    /// What an undo's end means; what was to be undone must no longer be so.
    fn undone(&mut self, step: &Step, node: &str, done: Option<&Look>, ran: Ran) -> Go<Outcome> {
        Ok(match ran {
            Ran::Exit(0) => match done {
                Some(done) => {
                    let seen = self.no_longer(step, node, done, step.within)?;
                    match seen.answer {
                        Answer::No => Outcome::Undone,
                        _ if seen.nothing_to_do => Outcome::Undone,
                        _ => Outcome::UndoFailed(format!("the undo ran, but it is still so: {}", seen.shown())),
                    }
                }
                None => Outcome::Undone,
            },
            Ran::Exit(code) => Outcome::UndoFailed(format!("exit {code}")),
            Ran::Never(why) if why.contains(TAKEN_OVER) => {
                let title = self.title(step);
                return Err(Halt::Taken(format!("the undo of {title} ({node}): {why}; nothing further was done")));
            }
            Ran::Never(why) | Ran::Cut(why) => Outcome::UndoFailed(format!("it was not started: {why}")),
            Ran::Broken(why, Truth::Unknown(w)) => Outcome::Unknown(format!("{why}; {w}")),
            Ran::Broken(why, Truth::Running) => Outcome::Unknown(format!("{why}; it still runs")),
            Ran::Broken(why, Truth::Done(_) | Truth::Never) => Outcome::UndoFailed(why),
            Ran::Unknown(why) => Outcome::Unknown(why),
            Ran::Left(why) => return Err(Halt::Stopped(why)),
            Ran::Lost(why) => return Err(Halt::Unknown(why)),
        })
    }

    /// Looks until it is no longer so, as long as a change has to show.
    fn no_longer(&mut self, step: &Step, node: &str, done: &Look, within: Duration) -> Go<Seen> {
        let since = self.clock.now();
        loop {
            let seen = self.look(step, node, done, Purpose::Undone)?;
            let spent = self.clock.now().saturating_sub(since);
            if seen.answer == Answer::No || seen.nothing_to_do || spent >= within || self.hurried() {
                return Ok(seen);
            }
            self.clock.sleep(step.every.min(within.saturating_sub(spent).max(Duration::from_millis(50))));
        }
    }

    /// The preview: each undo as the text that would run.
    fn undo_lines(&self, steps: &[&Step]) -> Vec<String> {
        let mut out = Vec::new();
        for step in steps {
            let Some((undo, _)) = parts(step) else { continue };
            let node = self.history.steps.get(&step.instance).map(|s| s.node.clone()).unwrap_or_default();
            out.push(format!("{} ({node})", self.title(step)));
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
        for step in self.todo() {
            let Some((undo, _)) = parts(step) else { continue };
            let node = self.history.steps.get(&step.instance).map(|s| s.node.clone()).unwrap_or_default();
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
