//! What a plan knows of a failover: who gives up, how its power is cut, when it is proven.
//!
//! Why it exists: engine, survey and every view must agree on which node is asked when. Invariant: a node that is lost is in
//! none of the answers that name nodes to be contacted.

use super::{Plan, Proof};
use serde::{Deserialize, Serialize};

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
