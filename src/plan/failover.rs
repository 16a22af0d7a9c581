//! What a plan knows of a failover: who gives up, how its power is cut, when it is proven.
//!
//! Why it exists: engine, survey and every view must agree on which node is asked when. Invariant: a node that is lost is in
//! none of the answers that name nodes to be contacted.

use super::{Check, OnFailure, Place, Plan, Proof, Stage, Step, What};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// What a failover is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failover {
    /// The node that gives up; `None`: the playbook never names it.
    pub from: Option<String>,
    /// `from` is gone or not to be trusted: it is in no set and never contacted, only fenced or vouched for.
    pub unplanned: bool,
    /// The same, unplanned: for when `from` stops answering in the middle. Its steps have the ids of this plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<Box<Plan>>,
}

/// How a node's power is cut in this plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fence {
    pub node: String,
    /// What cuts it, in words: its agents, or the playbook's own steps.
    pub by: String,
    /// Instances of its steps, in order. It is fenced when each ended well; the checks among them are its proof.
    pub steps: Vec<String>,
}

/// Which checks are looked at early; see [`Plan::early`].
#[derive(Default)]
pub struct Early<'p>(HashSet<&'p str>);

impl Early<'_> {
    pub fn has(&self, step: &Step) -> bool {
        self.0.contains(step.instance.as_str())
    }
}

/// See [`Plan::what`].
pub fn what(procedure: &str, from: Option<&str>, target: Option<&str>, unplanned: bool) -> String {
    match (from, target) {
        (None, None) => procedure.to_string(),
        (None, Some(target)) => format!("{procedure} {target}"),
        (Some(from), target) => {
            let to = target.map(|to| format!(" to {to}")).unwrap_or_default();
            format!("{procedure} from {from}{to}{}", if unplanned { ", unplanned" } else { "" })
        }
    }
}

impl Plan {
    /// The plan in force: the other one, once a failover went on unplanned.
    pub fn now(&self, unplanned: bool) -> &Plan {
        let instead = self.failover.as_ref().and_then(|f| f.instead.as_deref());
        instead.filter(|_| unplanned).unwrap_or(self)
    }
    /// The node that gives up in a failover.
    pub fn from(&self) -> Option<&str> {
        self.failover.as_ref().and_then(|f| f.from.as_deref())
    }
    /// The node that is never contacted: what an unplanned failover has lost.
    pub fn lost(&self) -> Option<&str> {
        self.failover.as_ref().filter(|f| f.unplanned).and_then(|f| f.from.as_deref())
    }
    /// A failover away from this node, which is still asked.
    pub fn gives_up(&self, node: &str) -> bool {
        self.from() == Some(node) && self.lost() != Some(node)
    }
    pub fn fence_of(&self, node: &str) -> Option<&Fence> {
        self.fences.iter().find(|f| f.node == node)
    }
    /// The proofs that are taken before the first change; none when nobody is made active. The node that gives up in a
    /// failover is proven later, when it has given up or its power is off.
    pub fn first_proofs(&self) -> Vec<&Proof> {
        let later = |node: &str| self.gives_up(node) || (self.lost() == Some(node) && self.fence_of(node).is_some());
        self.proof.iter().filter(|p| self.activates && !later(&p.node)).collect()
    }
    /// Checks that are looked at before the source of a failover gives anything up, and again in their place: those at the
    /// head of the other node's activation that can refuse. What the source's own being active makes false cannot be asked
    /// so early; who holds an address is such a thing, and of the rest the playbook says it (`early = false`).
    pub fn early(&self) -> Vec<&Step> {
        let Some(from) = self.from() else { return Vec::new() };
        let (mut gives, mut out) = (false, Vec::new());
        for stage in &self.stages {
            let takes_over = stage.of.is_some() && stage.of == self.target;
            for step in &stage.steps {
                let of_source = stage.of.as_deref() == Some(from)
                    || self.fence_of(from).is_some_and(|f| f.steps.contains(&step.instance));
                match step.changes() {
                    true if of_source => gives = true,
                    true => return out,
                    false if gives && takes_over && !of_source && early(stage, step, from) => out.push(step),
                    false => {}
                }
            }
        }
        out
    }
    /// The same, to be asked of many steps.
    pub fn early_set(&self) -> Early<'_> {
        Early(self.early().into_iter().map(|s| s.instance.as_str()).collect())
    }
    /// What a failover looks at to find out who is active: every node that may be contacted.
    pub fn roles(&self) -> Vec<&Proof> {
        let all = self.proof.iter().chain(&self.undone);
        all.filter(|p| self.failover.is_some() && self.exclusive && self.lost() != Some(&p.node)).collect()
    }
    /// What it does, in words: `activate beta`, `failover from alpha to beta, unplanned`.
    pub fn what(&self) -> String {
        what(&self.procedure, self.from(), self.target.as_deref(), self.lost().is_some())
    }
}

/// Whether a check at the head of an activation can be asked before the other node has given up. One with a condition, one
/// that needs what the run learns, and one that may be skipped keep to their place.
fn early(stage: &Stage, step: &Step, from: &str) -> bool {
    let What::Check(Check { looks, .. }) = &step.what else { return false };
    let known = |place: &Place| match place {
        Place::Node(node) => node != from,
        Place::Here => true,
        Place::Role(_) | Place::OneOf { .. } => false,
    };
    let moves = looks.iter().any(|(_, look)| matches!(look.kind.as_str(), "ip-free" | "ip-present"));
    step.early.unwrap_or(!moves)
        && stage.when.is_none()
        && stage.done.is_none()
        && step.when.is_none()
        && step.on_failure == OnFailure::Stop
        && step.wants().is_empty()
        && looks.iter().all(|(place, _)| known(place))
}
