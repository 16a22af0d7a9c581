//! Another station takes over: a run goes on here from the copies of its record on its nodes.
//!
//! Why it exists: the machine a run was started on may be gone for good. Invariants: nothing is taken over while a lock of the run
//! is held anywhere it can be asked; of all copies that can be had the one that knows most counts; the nodes are reached as this
//! station's own site file says, the plan is the run's own.

use super::run;
use super::unlock::{fleet, site};
use crate::cli::Common;
use crate::history::History;
use crate::journal::{Copy, Journal};
use crate::plan::{How, Node, Plan};
use crate::problem::{Exit, Fatal};
use crate::reach::Reach;
use crate::who::Who;
use std::path::Path;

/// A run as it was found.
struct Found {
    copy: Copy,
    /// Where.
    node: String,
}

/// Fetches the run and makes it this station's own; its id, and what there is to say about it. `back`: to take it back, which
/// can be done with one that is over, too.
pub(super) fn take_over(
    common: &Common,
    state: &Path,
    node: &str,
    run: Option<String>,
    back: bool,
) -> Result<(String, Vec<String>), Fatal> {
    let mut site = site(common, node)?;
    let mut near = fleet(common, &site)?;
    let unreached = |u: crate::reach::Unreachable| {
        Fatal::new(Exit::NotReady, format!("cannot reach {}: {}", u.node, u.why)).hint(u.hint.unwrap_or_default())
    };
    let kept = near.copies(node).map_err(unreached)?;
    let run = pick(kept, node, run)?;
    let copied = near.copied(&[node.to_string()], &run).pop().expect("one was asked").map_err(unreached)?;
    let copied = copied.ok_or_else(|| none(node, &run))?;
    let first = Copy::read(&run, &copied.plan, &copied.journals)?;
    drop(near);

    // The nodes as they are reached from here; of those that this site file does not know, as the run's own did.
    let own = std::mem::take(&mut site.nodes);
    let nodes = reached(&first.plan, own)?;
    let names: Vec<String> = nodes.iter().map(|n| n.name.clone()).collect();
    site.nodes.clone_from(&nodes);
    let mut fleet = fleet(common, &site)?;
    let mut said = Vec::new();
    let met = fleet.greet_all(&names);
    let there: Vec<String> = names.iter().zip(&met).filter(|(_, met)| met.is_ok()).map(|(n, _)| n.clone()).collect();
    for u in met.iter().filter_map(|met| met.as_ref().err()) {
        said.push(format!(
            "{} cannot be reached, so whether it knows more of this run is not known: {}",
            u.node, u.why
        ));
    }
    held(&mut fleet, &there, &run)?;
    let mut stations = Vec::new();
    let mut best = Found { copy: first, node: node.to_string() };
    for (name, copied) in there.iter().zip(fleet.copied(&there, &run)) {
        let Ok(Some(copied)) = copied else { continue };
        if !copied.station.is_empty() && !stations.contains(&copied.station) {
            stations.push(copied.station.clone());
        }
        match Copy::read(&run, &copied.plan, &copied.journals) {
            Ok(copy) if copy.knows_more_than(&best.copy.records) => {
                said.push(format!("{name} knows more of this run than {}", best.node));
                best = Found { copy, node: name.clone() };
            }
            Ok(_) => {}
            Err(e) => said.push(format!("the copy on {name} is of no use: {e}")),
        }
    }
    drop(fleet);
    over(&best.copy, &run, back)?;
    best.copy.plan.here = nodes.iter().find(|n| n.how == How::Local).map(|n| n.name.clone());
    best.copy.plan.nodes = nodes;
    for source in best.copy.plan.sources.iter_mut().filter(|s| s.what == "site") {
        if let Ok(path) = std::path::absolute(&site.path) {
            source.path = path.display().to_string();
        }
    }
    let name = run::marker();
    let mine = Journal::adopt(state, &best.copy, &run, &Who::here().to_string(), &stations, &name)?;
    let (utc, who) = best.copy.last();
    let copy = format!("the copy on {}: {} records, the last of {utc} by {who}", best.node, best.copy.records.len());
    let text = if mine {
        format!("this run is taken over with this station's own record, which knows as much as {copy}")
    } else {
        format!("this run is taken over from {copy}")
    };
    said.insert(0, text);
    Ok((run, said))
}

fn none(node: &str, run: &str) -> Fatal {
    Fatal::new(Exit::NotReady, format!("{node} has no copy of run `{run}`"))
        .hint("a copy lies on every node on which the run has begun a step; another node may have one")
}

/// The run that was named, else the newest of which there is a copy; ids sort as the runs went.
fn pick(mut kept: Vec<String>, node: &str, run: Option<String>) -> Result<String, Fatal> {
    match run {
        Some(run) if kept.contains(&run) => Ok(run),
        Some(run) => Err(none(node, &run)),
        None => {
            kept.sort();
            kept.pop().ok_or_else(|| {
                Fatal::new(Exit::NotReady, format!("{node} has no copy of any run"))
                    .hint("a copy lies on every node on which a run has begun a step; another node may have one")
            })
        }
    }
}

/// The plan's nodes, each reached as the site file here says.
fn reached(plan: &Plan, site: Vec<Node>) -> Result<Vec<Node>, Fatal> {
    let mut nodes = Vec::new();
    for node in &plan.nodes {
        let here = site.iter().find(|n| n.name == node.name);
        nodes.push(match here {
            // What the run knows of it stays: its values are in the plan's commands.
            Some(own) => Node {
                vars: node.vars.clone(),
                group: node.group.clone(),
                address: own.address.clone().or_else(|| node.address.clone()),
                ..own.clone()
            },
            None if node.how == How::Local => {
                return Err(Fatal::new(
                    Exit::Usage,
                    format!("the site file does not say how `{}` is reached from here", node.name),
                )
                .hint("the run was started on that node itself; give it an `address` or a `via` in the site file"));
            }
            None => node.clone(),
        });
    }
    Ok(nodes)
}

/// While a lock of the run is held somewhere, its hawiz may be alive.
fn held(fleet: &mut crate::session::Fleet<super::entrance::Porter>, nodes: &[String], run: &str) -> Result<(), Fatal> {
    let mut held = Vec::new();
    for node in nodes {
        let standing = fleet
            .standing(node, None)
            .map_err(|u| Fatal::new(Exit::NotReady, format!("cannot reach {}: {}", u.node, u.why)))?;
        if let Some((_, who)) = standing.holder.filter(|(of, _)| of == run) {
            held.push((node, who));
        }
    }
    if held.is_empty() {
        return Ok(());
    }
    let words: Vec<String> = held.iter().map(|(node, who)| format!("{node} is held by {who}")).collect();
    let hints: Vec<String> = held.iter().map(|(node, _)| format!("hawiz unlock {node} --reason TEXT")).collect();
    Err(Fatal::new(Exit::Locked, format!("the run may be alive: {}", words.join("; ")))
        .hint(format!("when it is really gone: {}", hints.join(", "))))
}

fn over(copy: &Copy, run: &str, back: bool) -> Result<(), Fatal> {
    let history = History::of(&copy.records);
    if back && history.to_undo().is_empty() && !history.undoing {
        return Err(Fatal::new(Exit::Usage, format!("nothing of run `{run}` is left to undo")));
    }
    if back || history.resumable() {
        return Ok(());
    }
    let how = history.finished.map(|(v, _)| crate::ui::report::verdict(v)).unwrap_or("ended");
    Err(Fatal::new(Exit::Usage, format!("run `{run}` is over ({how}); there is nothing to go on with")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, how: &str, address: Option<&str>) -> Node {
        let text = format!("{{\"name\":\"{name}\",\"how\":{how},\"vars\":[]}}");
        let node: Node = serde_json::from_str(&text).expect("a node");
        Node { address: address.map(String::from), ..node }
    }
    fn plan(nodes: Vec<Node>) -> Plan {
        let plan: Plan = serde_json::from_str(
            r#"{"format":1,"hawiz":"0","procedure":"p","title":"t","sources":[],"target":null,"here":null,"nodes":[],"env":[],"functions":[],"captures":[],"inputs":[],"secrets":[],
                "stages":[],"exclusive":false,"activates":false,"proof":[],"digest":"d"}"#,
        )
        .expect("a plan");
        Plan { nodes, ..plan }
    }

    #[test]
    fn nodes_are_reached_as_the_site_file_here_says_and_else_as_the_run_did() {
        let (local, ssh, via) = ("\"local\"", "\"ssh\"", "{\"via\":[\"sh\"]}");
        let run = plan(vec![
            node("a", local, Some("10.0.0.1")),
            node("b", ssh, Some("b.old")),
            node("c", ssh, Some("c.old")),
        ]);
        let here = vec![node("a", ssh, Some("a.new")), node("b", via, None), node("d", via, None)];
        let found = reached(&run, here).expect("all can be reached");
        let found: Vec<_> = found.iter().map(|n| (&*n.name, &n.how, n.address.as_deref())).collect();
        let wanted: [(&str, &How, Option<&str>); 3] = [
            ("a", &How::Ssh, Some("a.new")),
            ("b", &How::Via(vec!["sh".into()]), Some("b.old")),
            ("c", &How::Ssh, Some("c.old")),
        ];
        assert_eq!(found, wanted);
        let alone = plan(vec![node("a", local, None)]);
        let said = reached(&alone, Vec::new()).expect_err("it was this machine of another station").to_string();
        assert!(said.starts_with("the site file does not say how `a` is reached from here"), "{said}");
    }

    #[test]
    fn without_a_name_the_newest_run_is_taken() {
        let kept =
            || vec!["20261122-1-activate-a".to_string(), "20261123-1-activate-b".into(), "20261121-9-setup".into()];
        assert_eq!(pick(kept(), "a", None).ok().as_deref(), Some("20261123-1-activate-b"));
        assert_eq!(pick(kept(), "a", Some("20261121-9-setup".into())).ok().as_deref(), Some("20261121-9-setup"));
        assert!(pick(kept(), "a", Some("other".into())).is_err() && pick(Vec::new(), "a", None).is_err());
    }
}
