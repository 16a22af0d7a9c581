//! How a plan stands, from the looks alone: each step's state, and all of them counted.
//!
//! Why it exists: a dry run, a gate and the exit code of a dry run must agree on what refuses. Invariant: only a look that
//! said no, before the first change, refuses; what could not be looked at is never taken for a no.

use super::Looks;
use super::words::node_of;
use crate::event::{Proven, Purpose};
use crate::plan::{Answer, Check, OnFailure, Plan, Proof, Stage, Step, What};
use crate::roles::{self, Refusal};
use serde::Serialize;

/// What a dry run found, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub stages: usize,
    /// Changes and manual steps that would be made.
    pub changes: usize,
    /// So already.
    pub already: usize,
    /// Looked at and true.
    pub passed: usize,
    /// Looked at, false, before any change: these refuse.
    pub refused: usize,
    /// Could not be looked at.
    pub unknown: usize,
    /// Only the run itself will tell.
    pub not_yet: usize,
    /// Peers without proof.
    pub unproven: usize,
    /// Nodes that a step stands on and that cannot be reached.
    pub gone: usize,
    /// The failover does not fit who is active.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub misfit: bool,
}
impl Tally {
    /// Nothing that could be looked at refuses (exit 0), or something does (exit 4).
    pub fn ready(&self) -> bool {
        self.refused == 0 && self.unproven == 0 && self.gone == 0 && !self.misfit
    }
}

/// How a step stands, from the looks alone.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Nothing was looked at: `hawiz plan`.
    Planned,
    Passed,
    Refused,
    Doubt(String),
    Change,
    Already,
    NotYet,
    /// Its `when`, or its stage's, is false.
    Skipped,
}

/// How a step stands; `changed`: a step before it would change something, so that a *no* is only *not yet*.
pub fn state(step: &Step, looks: Option<&Looks>, changed: bool) -> State {
    let Some(looks) = looks else { return State::Planned };
    if looks.one(&step.instance, Purpose::When).is_some_and(|s| s.looked.answer == Answer::No) {
        return if changed { State::NotYet } else { State::Skipped };
    }
    let done = match &step.what {
        What::Check(check) => return check_state(step, check, looks, changed),
        What::Change(c) => &c.done,
        What::Manual(m) => &m.done,
    };
    if looks.is_finished(&step.instance) {
        return State::Already;
    }
    match looks.one(&step.instance, Purpose::Before).map(|s| s.looked.answer) {
        Some(Answer::Yes) => State::Already,
        Some(Answer::CouldNotLook) if done.is_some() && !changed => State::Doubt("could not look".into()),
        _ if node_of(&step.place).is_some_and(|n| looks.unreachable.contains_key(n)) => {
            State::Doubt("cannot be reached".into())
        }
        _ => State::Change,
    }
}

fn check_state(step: &Step, check: &Check, looks: &Looks, changed: bool) -> State {
    let all: Vec<Answer> = looks.of(&step.instance, Purpose::Check).map(|s| s.looked.answer).collect();
    if all.is_empty() {
        if changed {
            return State::NotYet;
        }
        let gone = node_of(&step.place).is_some_and(|n| looks.unreachable.contains_key(n));
        return State::Doubt(if gone { "cannot be reached" } else { "not looked at" }.into());
    }
    match check.sum(&all) {
        Answer::Yes => State::Passed,
        _ if changed => State::NotYet,
        Answer::No => State::Refused,
        Answer::Unsettled => State::Doubt("not settled yet".into()),
        Answer::CouldNotLook => State::Doubt("could not look".into()),
    }
}

/// Counts a plan without printing it; `app` takes the exit code from it.
pub fn tally(plan: &Plan, looks: Option<&Looks>) -> Tally {
    let mut tally = Tally::of(plan, looks);
    let early = plan.early_set();
    let mut changed = false;
    for stage in &plan.stages {
        if stage_skipped(stage, looks) {
            continue;
        }
        if stage_done(stage, looks) {
            tally.already += stage.steps.len();
            continue;
        }
        for step in &stage.steps {
            let after = changed && !early.has(step);
            tally.count(step, &state(step, looks, after), &mut changed);
        }
    }
    tally
}

impl Tally {
    /// What is counted before any step.
    pub(super) fn of(plan: &Plan, looks: Option<&Looks>) -> Tally {
        let stood_on = |n: &str| plan.steps().any(|s| node_of(&s.place).is_some_and(|m| m == n));
        let gone = looks.map_or(0, |l| l.unreachable.keys().filter(|n| stood_on(n)).count());
        let misfit = looks.is_some_and(|l| misfit(plan, l).is_some());
        Tally { stages: plan.stages.len(), unproven: unproven(plan, looks), gone, misfit, ..Tally::default() }
    }
    pub(super) fn count(&mut self, step: &Step, state: &State, changed: &mut bool) {
        match state {
            State::Planned if step.changes() => self.changes += 1,
            State::Planned => self.not_yet += 1,
            State::Passed => self.passed += 1,
            State::Refused if step.on_failure == OnFailure::Continue => self.unknown += 1,
            State::Refused => self.refused += 1,
            State::Doubt(_) => {
                self.unknown += 1;
                self.changes += usize::from(step.changes());
            }
            State::Change => {
                self.changes += 1;
                *changed = true;
            }
            State::Already => self.already += 1,
            State::NotYet if step.changes() => self.changes += 1,
            State::NotYet => self.not_yet += 1,
            State::Skipped => {}
        }
    }
}

/// Peers whose proof is missing.
pub(super) fn unproven(plan: &Plan, looks: Option<&Looks>) -> usize {
    let Some(looks) = looks else { return 0 };
    let proven = |node: &str| {
        matches!(looks.proofs.get(node), Some((Proven::LookedAt | Proven::Attested | Proven::Fenced(_), _)))
    };
    proofs(plan).iter().filter(|p| !proven(&p.node)).count()
}

/// The proofs that are taken before the first change; none when nobody is made active.
pub(super) fn proofs(plan: &Plan) -> Vec<&Proof> {
    plan.first_proofs()
}

/// The proof of the node that gives up in a failover, where it stands: before the first stage of the other's activation.
pub(super) fn proof_before(plan: &Plan, stage: usize) -> Option<&Proof> {
    let of = |s: &Stage| s.of.is_some() && s.of == plan.target;
    let first = plan.stages.iter().position(of) == Some(stage);
    plan.proof.iter().find(|p| first && plan.activates && plan.gives_up(&p.node))
}

/// Why the failover does not fit what was seen of its nodes, and what to do.
pub(super) fn misfit(plan: &Plan, looks: &Looks) -> Option<Refusal> {
    let (from, to) = (plan.from()?, plan.target.as_deref()?);
    let seen: Vec<(String, Proven)> =
        plan.roles().iter().filter_map(|p| Some((p.node.clone(), looks.proofs.get(&p.node)?.0.clone()))).collect();
    if seen.is_empty() { None } else { roles::fit(&seen, from, to, plan.lost().is_some()).err() }
}

pub(super) fn stage_skipped(stage: &Stage, looks: Option<&Looks>) -> bool {
    looks.and_then(|l| l.one(&stage.id, Purpose::When)).is_some_and(|s| s.looked.answer == Answer::No)
}

/// Its own `done` said that all of it is so already.
pub(super) fn stage_done(stage: &Stage, looks: Option<&Looks>) -> bool {
    looks.and_then(|l| l.one(&stage.id, Purpose::Before)).is_some_and(|s| s.looked.answer == Answer::Yes)
}

/// A check of a peer's proof.
pub(super) fn proof_state(step: &Step, looks: Option<&Looks>) -> State {
    match looks.and_then(|l| l.one(&step.instance, Purpose::Proof)).map(|s| s.looked.answer) {
        Some(Answer::Yes) => State::Passed,
        Some(Answer::No) => State::Refused,
        Some(Answer::Unsettled) => State::Doubt("not settled yet".into()),
        _ => State::Doubt("could not look".into()),
    }
}
