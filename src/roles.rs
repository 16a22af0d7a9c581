//! Who is active, who is not: what the looks at all nodes say of a failover that is asked for.
//!
//! Why it exists: a failover from the wrong node, to the wrong node, or between two nodes that are both active makes a bad
//! night worse. Each of these is refused with a text of its own. Invariant: nothing is looked at here and nothing is decided
//! but from what was seen; what could not be seen never counts as inactive.

use crate::event::Proven;

/// Why a failover cannot begin, and what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub why: String,
    pub hint: String,
}

fn refused<T>(why: String, hint: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { why, hint: hint.into() })
}

/// What was seen of each node.
type Seen = [(String, Proven)];

fn active(seen: &Seen) -> Vec<(&str, &str)> {
    seen.iter()
        .filter_map(|(node, proven)| match proven {
            Proven::Active(why) => Some((node.as_str(), why.as_str())),
            _ => None,
        })
        .collect()
}

fn open(seen: &Seen) -> Vec<(&str, &str)> {
    seen.iter()
        .filter_map(|(node, proven)| match proven {
            Proven::CannotTell(why) | Proven::Alive(why) => Some((node.as_str(), why.as_str())),
            _ => None,
        })
        .collect()
}

/// Two that are active are never made one by a failover.
fn one_at_most(seen: &Seen) -> Result<(), Refusal> {
    let active = active(seen);
    if active.len() < 2 {
        return Ok(());
    }
    let names = active.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(" and ");
    let each = active.iter().map(|(n, why)| format!("{n}: {why}")).collect::<Vec<_>>().join("; ");
    refused(
        format!("SPLIT BRAIN: {names} are active at once ({each})"),
        "decide which of them is right, and deactivate the other: hawiz deactivate --on NODE",
    )
}

fn already(to: &str, why: &str) -> Refusal {
    Refusal {
        why: format!("{to} is active already ({why})"),
        hint: format!("there is nothing to fail over; away from it: hawiz failover --from {to}"),
    }
}

fn nobody(to: Option<&str>) -> Refusal {
    let to = to.unwrap_or("NODE");
    Refusal {
        why: "nobody is active, so nobody can give up".into(),
        hint: format!("make a node active: hawiz activate --on {to}"),
    }
}

/// The node that is to give up, where nobody named it: the only one that is not inactive.
pub fn source(seen: &Seen, to: Option<&str>, unplanned: bool) -> Result<String, Refusal> {
    one_at_most(seen)?;
    match (active(seen).as_slice(), open(seen).as_slice()) {
        ([(node, why)], _) if to == Some(node) => Err(already(node, why)),
        ([(node, _)], []) => Ok(node.to_string()),
        ([], [(node, _)]) if unplanned && to != Some(node) => Ok(node.to_string()),
        ([], []) => Err(nobody(to)),
        ([], [(node, why)]) => refused(
            format!("nobody is seen active, and {node} cannot be looked at: {why}"),
            format!("if it is {node} that is to give up: hawiz failover --from {node} --unplanned"),
        ),
        (active, open) => {
            let seen = active.iter().map(|(n, _)| format!("{n} is active"));
            let unseen = open.iter().map(|(n, why)| format!("{n} cannot be looked at: {why}"));
            let all = seen.chain(unseen).collect::<Vec<_>>().join("; ");
            refused(format!("cannot tell which node is to give up: {all}"), "name it with --from NODE")
        }
    }
}

/// Whether a failover from the one to the other may begin. `seen`: of every node that may be contacted.
pub fn fit(seen: &Seen, from: &str, to: &str, unplanned: bool) -> Result<(), Refusal> {
    one_at_most(seen)?;
    let active = active(seen);
    if let Some((_, why)) = active.iter().find(|(n, _)| *n == to) {
        return Err(already(to, why));
    }
    if unplanned {
        return match active.first() {
            Some((node, why)) => refused(
                format!("{node} is active ({why}), not {from}"),
                format!("fail over from that one: hawiz failover --from {node}"),
            ),
            None => Ok(()),
        };
    }
    match seen.iter().find(|(n, _)| n == from).map(|(_, proven)| proven) {
        Some(Proven::Active(_)) => {}
        Some(Proven::CannotTell(why) | Proven::Alive(why)) => {
            return refused(
                format!("{from} cannot be looked at: {why}"),
                format!("if it is gone: hawiz failover --from {from} --to {to} --unplanned"),
            );
        }
        _ => match active.first() {
            Some((node, why)) => {
                return refused(
                    format!("{from} is not active, {node} is ({why})"),
                    format!("fail over from that one: hawiz failover --from {node}"),
                );
            }
            None => return Err(nobody(Some(to))),
        },
    }
    match seen.iter().find(|(n, _)| n == to).map(|(_, proven)| proven) {
        Some(Proven::CannotTell(why) | Proven::Alive(why)) => {
            refused(format!("cannot tell whether {to} is inactive: {why}"), "see why: hawiz nodes, hawiz status")
        }
        _ => Ok(()),
    }
}
