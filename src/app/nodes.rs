//! This machine among the nodes, and the nodes as a fleet.

use super::entrance::Porter;
use crate::plan::{How, Node, Plan};
use crate::session::Fleet;
use crate::site::Site;
use std::path::Path;

/// The node that is this machine: the one marked `local`, else the one whose own address is on an interface here. Never
/// by host name: the name moves with the virtual IP.
pub(super) fn here(site: &Site) -> Option<String> {
    if let Some((name, _)) = site.nodes.iter().find(|(_, n)| n.local) {
        return Some(name.value.clone());
    }
    let own = addresses();
    site.nodes
        .iter()
        .find(|(_, n)| n.via.is_none() && n.address.as_ref().is_some_and(|a| own.contains(&a.value)))
        .map(|(name, _)| name.value.clone())
}

/// Addresses of this machine's interfaces, from the kernel's own tables.
fn addresses() -> Vec<String> {
    let mut out = Vec::new();
    let mut last = String::new();
    for line in std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default().lines() {
        let line = line.trim();
        if let Some(a) = line.strip_prefix("|-- ") {
            last = a.to_string();
        } else if line.starts_with("/32 host LOCAL") && !out.contains(&last) {
            out.push(last.clone());
        }
    }
    for line in std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default().lines() {
        let Some(hex) = line.split_whitespace().next().filter(|h| h.len() == 32) else { continue };
        let groups: Vec<&str> = (0..8).map(|i| &hex[i * 4..i * 4 + 4]).collect();
        if let Ok(a) = groups.join(":").parse::<std::net::Ipv6Addr>() {
            out.push(a.to_string());
        }
    }
    out.retain(|a| !a.starts_with("127.") && a != "::1");
    out
}

/// A node of the plan, or `here`.
pub(super) fn node(plan: &Plan, name: &str) -> Option<Node> {
    if name == "here" { Some(itself()) } else { plan.node(name).cloned() }
}

/// This machine, for the person who runs hawiz.
fn itself() -> Node {
    Node {
        name: "here".into(),
        how: How::Local,
        login: Default::default(),
        address: None,
        become_root: None,
        state: None,
        group: None,
        vars: Vec::new(),
    }
}

/// The plan's nodes, and `here` for steps that run on this machine as the person who runs hawiz.
pub(super) fn fleet(plan: &Plan, folder: &Path, state: &Path, porter: Porter) -> Fleet<Porter> {
    let mut nodes = plan.nodes.clone();
    nodes.push(Node { state: Some(state.join("here").to_string_lossy().into_owned()), ..itself() });
    Fleet::new(nodes, folder.to_path_buf()).asking(porter).of_station(state)
}
