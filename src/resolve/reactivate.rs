//! The gate of a roll-back that makes a node active again.
//!
//! Why it exists: undoing a deactivation is an activation, and must not be had more cheaply than one. A deactivation's plan
//! has no stage to read that from, so it is read from the playbook's `activate`: from the stages that hold what only one
//! node may have. Invariant: conditions (`if`) can only make it stricter than an activation's own, never laxer; where nothing
//! is found, nothing is said, and the engine asks for the node's name to be typed.

use super::Resolver;
use crate::plan::Gate;
use crate::playbook::{Stage, Step, What};

/// It gives a node what only one node may have.
fn exclusive(step: &Step) -> bool {
    let kind = match &step.what {
        What::Run(action) => action.value.word(),
        What::Check(_) | What::Manual(_) => "",
    };
    step.exclusive.unwrap_or(crate::catalog::exclusive(kind))
}

/// The stage's gate as it is written or by default; a word that is not written is the node's name.
fn gate(stage: &Stage, node: &str) -> Gate {
    let said = stage.gate.as_ref().map(|g| g.as_str());
    match said {
        None if stage.steps.iter().any(|s| s.no_return.is_some()) => Gate::Type(node.into()),
        // A roll-back always asks.
        None | Some("open" | "ask") => Gate::Ask,
        Some("type") => Gate::Type(node.into()),
        Some(other) => Gate::Type(other.strip_prefix("type ").unwrap_or(other).trim().to_string()),
    }
}

impl Resolver<'_> {
    /// The strictest gate before an exclusive change of `activate`, for this node; `None`: there is no such change.
    pub(super) fn reactivation(&self, node: &str) -> Option<Gate> {
        let of = |name: &str| self.pb.procedures.iter().find(|(n, _)| n.value == name).map(|(_, stages)| stages);
        let mut found = None;
        let mut seen = vec!["activate"];
        let mut todo: Vec<&Stage> = of("activate")?.iter().collect();
        while let Some(stage) = todo.pop() {
            if let Some(used) = &stage.use_ {
                if !seen.contains(&used.as_str()) {
                    seen.push(used.as_str());
                    todo.extend(of(used.as_str()).into_iter().flatten());
                }
                continue;
            }
            if !stage.steps.iter().any(exclusive) {
                continue;
            }
            match (gate(stage, node), &found) {
                (typed @ Gate::Type(_), _) => found = Some(typed),
                (plain, None) => found = Some(plain),
                _ => {}
            }
        }
        found
    }
}
