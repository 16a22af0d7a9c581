//! The fold: what a run has done, learnt from its Events and from nothing else.
//!
//! Why it exists: resume, roll-back, status and report must agree on what happened. Invariant: `apply` is total and pure;
//! folding the journal again always gives the same History.

use crate::event::{Event, Outcome, Record, Verdict};
use crate::plan::Answer;
use crate::reach::Claim;
use crate::shell::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One recorded intent.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    pub node: String,
    pub attempt: u32,
    pub claim: Option<Claim>,
    /// What the look printed before the change.
    pub before: Option<Value>,
    /// What the look answered before the change.
    pub was: Option<Answer>,
    /// The attempt is known to have ended.
    pub ended: bool,
    /// It may have begun on the node. False only when the node said that it never did.
    pub started: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    pub title: String,
    pub node: String,
    pub intents: Vec<Intent>,
    pub outcome: Option<Outcome>,
    pub undo: Vec<Intent>,
    pub undone: Option<Outcome>,
}

impl Step {
    /// An attempt whose end is not known; one whose step is recorded as *unknown* as well.
    pub fn open(&self) -> Option<&Intent> {
        self.intents.last().filter(|i| !i.ended)
    }
    /// An undo whose end is not known.
    pub fn open_undo(&self) -> Option<&Intent> {
        self.undo.last().filter(|i| !i.ended)
    }
    /// How many attempts may have begun on the node.
    pub fn started(&self) -> usize {
        self.intents.iter().filter(|i| i.started).count()
    }
    /// This run tried to change something here, and that was not taken back.
    pub fn ours(&self) -> bool {
        self.started() > 0
            && !matches!(self.undone, Some(Outcome::Undone | Outcome::Skipped(_)))
            && !matches!(self.outcome, Some(Outcome::Already))
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    pub run: String,
    pub marker: String,
    pub procedure: String,
    pub target: Option<String>,
    pub started: String,
    pub plan: String,
    /// By instance.
    pub steps: BTreeMap<String, Step>,
    /// Instances in the order of their first intent.
    pub order: Vec<String>,
    /// Gates that were passed: stage → answer.
    pub gates: BTreeMap<String, String>,
    pub skipped_stages: BTreeMap<String, String>,
    /// Steps that a person chose to skip.
    pub skipped_by_choice: BTreeSet<String>,
    /// Nodes whose lock this run has had.
    pub locked: BTreeSet<String>,
    /// Captures, roles, choices of `one of`.
    pub values: BTreeMap<String, Value>,
    /// node → (identity, boot id) as seen last.
    pub seen: BTreeMap<String, (Option<String>, String)>,
    /// Nodes on which steps run without claims: why.
    pub unrecorded: BTreeMap<String, String>,
    pub finished: Option<(Verdict, u8)>,
    /// A roll-back of this run has begun.
    pub undoing: bool,
    /// A planned failover that goes on unplanned: why.
    pub unplanned: Option<String>,
    pub last_seq: u64,
}

impl History {
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> History {
        let mut h = History::default();
        for r in records {
            if h.started.is_empty() {
                h.started = r.utc.clone();
            }
            h.last_seq = r.seq;
            h.apply(&r.event);
        }
        h
    }

    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::RunStarted { run, procedure, target, plan, marker, .. } => {
                self.run.clone_from(run);
                self.procedure.clone_from(procedure);
                self.target.clone_from(target);
                self.plan.clone_from(plan);
                self.marker.clone_from(marker);
            }
            Event::RunResumed { purpose, .. } => {
                self.finished = None;
                self.undoing |= purpose == "rollback";
            }
            Event::NodeSeen { node, boot, identity, unrecorded } => {
                self.seen.insert(node.clone(), (identity.clone(), boot.clone()));
                match unrecorded {
                    Some(why) => drop(self.unrecorded.insert(node.clone(), why.clone())),
                    None => drop(self.unrecorded.remove(node)),
                }
            }
            Event::GateAnswered { stage, answer, .. }
                if answer != "no" && answer != "dry" && answer != "quit" && answer != "stop" =>
            {
                self.gates.insert(stage.clone(), answer.clone());
            }
            Event::StageSkipped { stage, reason, .. } => {
                self.skipped_stages.insert(stage.clone(), reason.clone());
            }
            Event::Captured { key, value } => {
                self.values.insert(key.clone(), value.clone());
            }
            Event::StepIntent { step, title, node, attempt, claim, before, was } => {
                if !self.order.contains(step) {
                    self.order.push(step.clone());
                }
                let s = self.steps.entry(step.clone()).or_default();
                s.title.clone_from(title);
                s.node.clone_from(node);
                s.outcome = None;
                let (claim, before) = (claim.clone(), before.clone());
                s.intents.push(Intent {
                    node: node.clone(),
                    attempt: *attempt,
                    claim,
                    before,
                    was: *was,
                    ended: false,
                    started: true,
                });
            }
            Event::AttemptFailed { step, .. } => {
                if let Some(i) = self.steps.get_mut(step).and_then(|s| s.intents.last_mut()) {
                    i.ended = true;
                }
            }
            Event::StepFinished { step, title, node, outcome, attempts, .. } => {
                let s = self.steps.entry(step.clone()).or_default();
                s.title.clone_from(title);
                s.node.clone_from(node);
                s.outcome = Some(outcome.clone());
                if !matches!(outcome, Outcome::Unknown(_))
                    && let Some(i) = s.intents.last_mut()
                {
                    i.ended = true;
                }
                // The record's own word for "nothing of it ever began on the node".
                if *attempts == 0 {
                    s.intents.iter_mut().for_each(|i| i.started = false);
                }
            }
            Event::UndoIntent { step, node, attempt, claim, .. } => {
                let s = self.steps.entry(step.clone()).or_default();
                s.undone = None;
                let claim = claim.clone();
                s.undo.push(Intent {
                    node: node.clone(),
                    attempt: *attempt,
                    claim,
                    before: None,
                    was: None,
                    ended: false,
                    started: true,
                });
            }
            Event::UndoFinished { step, outcome, .. } => {
                let s = self.steps.entry(step.clone()).or_default();
                s.undone = Some(outcome.clone());
                if !matches!(outcome, Outcome::Unknown(_))
                    && let Some(i) = s.undo.last_mut()
                {
                    i.ended = true;
                }
            }
            Event::Chosen { step, choice, .. } if choice == "skip" => {
                self.skipped_by_choice.insert(step.clone());
            }
            Event::RunFinished { verdict, exit, .. } => self.finished = Some((*verdict, *exit)),
            Event::WentUnplanned { why, .. } => self.unplanned = Some(why.clone()),
            Event::NodeLocked { node, .. } => drop(self.locked.insert(node.clone())),
            Event::NodeUnreachable { .. }
            | Event::NodeHeld { .. }
            | Event::ProofTaken { .. }
            | Event::StageStarted { .. }
            | Event::Looked(_)
            | Event::GateAsked { .. }
            | Event::GateAnswered { .. }
            | Event::StepStarted { .. }
            | Event::Output { .. }
            | Event::LinkLost { .. }
            | Event::Owed { .. }
            | Event::Registered { .. }
            | Event::Chosen { .. }
            | Event::Noted { .. }
            | Event::Interrupted { .. }
            | Event::Other => {}
        }
    }

    /// Something on a node was changed, or may have been.
    pub fn changed(&self) -> bool {
        self.steps.values().any(|s| s.started() > 0)
    }
    /// The node said that the last attempt never began. The journal learns it with the step's end.
    pub fn never_began(&mut self, instance: &str) {
        if let Some(i) = self.steps.get_mut(instance).and_then(|s| s.intents.last_mut()) {
            (i.started, i.ended) = (false, true);
        }
    }
    /// Something is changed still (not all of it was taken back).
    pub fn changed_still(&self) -> bool {
        self.steps.values().any(Step::ours)
    }
    pub fn outcome(&self, instance: &str) -> Option<&Outcome> {
        self.steps.get(instance)?.outcome.as_ref()
    }
    /// The run can be gone on with.
    pub fn resumable(&self) -> bool {
        match &self.finished {
            None => true,
            Some((v, _)) => {
                matches!(v, Verdict::Stopped | Verdict::Failed | Verdict::Unknown | Verdict::Stuck | Verdict::Dry)
                    && self.changed()
            }
        }
    }
    /// Instances to take back, last first.
    pub fn to_undo(&self) -> Vec<&str> {
        self.order.iter().rev().filter(|i| self.steps.get(*i).is_some_and(Step::ours)).map(String::as_str).collect()
    }
}
