//! The tables of a site file and an answers file, key by key.
//!
//! Why it exists: as for playbooks, one list of keys for reader, hints and JSON Schema.

use crate::playbook::read::{Dur, List, Many, Map, Reader, Scalar, Value};
use crate::playbook::table::{table, words};
use crate::playbook::{At, Given, KNOWN};
use std::ops::Range;

table! {
    /// Which playbook, which nodes and how each is reached, which values.
    struct RawSite, "a site file", astray in_site {
        /// A file, or the name of a playbook.
        "playbook" playbook: At<String>,
        /// Picks the translation; from the locale if it is not said.
        "language" language: At<String>,
        /// `"none"`: this exclusive system has no other node, on purpose.
        "peers" peers: At<NoPeers>,
        /// A failover so soon after another one needs a reason; it beats the playbook's.
        "min-interval" min_interval: At<Dur>,
        /// Values of the playbook's inputs.
        "inputs" inputs: Map<At<Given>>,
        /// Commands, run here, whose first output line is the secret.
        "secrets" secrets: Map<At<List<At<String>>>>,
        /// The nodes, in order of preference: `[nodes.NAME]`.
        must "nodes" nodes: Map<RawNode>,
    }
}

fn in_site(_: &mut RawSite, key: &str, at: &Range<usize>, _: Value<'_>, r: &mut Reader) -> bool {
    let playbooks = ["format", "title", "groups", "env", "node-vars", "functions"];
    if KNOWN.contains(&key) || playbooks.contains(&key) {
        r.wrong_hint(
            at,
            format!("`{key}` belongs to a playbook"),
            "a site file says who and where, the playbook says how",
        );
        return true;
    }
    if RawNode::KEYS.contains(&key) {
        r.wrong_hint(at, format!("`{key}` belongs to a node"), "a node begins with `[nodes.NAME]`");
        return true;
    }
    false
}

/// The only thing `peers` can say.
pub(crate) struct NoPeers;
words!(NoPeers, "Peers" { "none" => NoPeers });

table! {
    /// A node: exactly one of `address`, `local`, `via` says how it is reached.
    struct RawNode, "a node" {
        /// Reached by SSH; with `local` or `via` only a value.
        "address" address: At<String>,
        /// Login name for SSH.
        "user" user: At<String>,
        /// Port for SSH.
        "port" port: At<u16>,
        /// Key file for SSH.
        "identity" identity: At<String>,
        /// Host to go through.
        "jump" jump: At<String>,
        /// This very machine.
        "local" local: At<bool>,
        /// A program with a POSIX sh on its standard input.
        "via" via: At<List<At<String>>>,
        /// How the login becomes root, for every command on it: `sudo`, `doas`, `su`; `none` = it does not.
        "become" become_: At<Become>,
        /// Where it keeps claims, lock and identity; its own disk.
        "state" state: At<String>,
        /// One of the playbook's `groups`.
        "group" group: At<String>,
        /// Values of the playbook's `node-vars`.
        "vars" vars: Map<At<Scalar>>,
        /// How it loses its power; several devices: `[[nodes.X.fence]]`, each of them must say off.
        "fence" fence: Many<RawFence>,
    }
}

/// The ways of becoming root.
#[derive(Clone, Copy)]
pub(crate) enum Become {
    Sudo,
    Doas,
    Su,
    None,
}
words!(Become, "Become" { "sudo" => Become::Sudo, "doas" => Become::Doas, "su" => Become::Su, "none" => Become::None });
impl Become {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Become::Sudo => "sudo",
            Become::Doas => "doas",
            Become::Su => "su",
            Become::None => "none",
        }
    }
}

table! {
    /// How a node loses its power.
    struct RawFence, "`fence`", astray in_fence {
        /// A fence agent, such as `fence_ipmilan`.
        must "agent" agent: At<String>,
        /// Its options; may hold `{name}`, secrets too.
        "options" options: Map<At<Scalar>>,
        /// How long one command of it may take; 60s if left out.
        "deadline" deadline: At<Dur>,
    }
}

fn in_fence(out: &mut RawFence, key: &str, at: &Range<usize>, _: Value<'_>, r: &mut Reader) -> bool {
    if let Some(known) = RawNode::KEYS.iter().copied().find(|k| *k == key) {
        out.meant.push(known);
        r.wrong_hint(at, format!("`{key}` belongs to the node"), "a node's keys stand before its `[nodes.NAME.fence]`");
        return true;
    }
    false
}

table! {
    /// Answers for a run without a terminal.
    struct RawAnswers, "an answers file" {
        /// The plan's digest; it must then match.
        "plan" plan: At<String>,
        /// Values of the playbook's inputs.
        "inputs" inputs: Map<At<Given>>,
        /// `PROC/STAGE`: digest of what was read.
        "digests" digests: Map<At<String>>,
        /// `PROC/STAGE`: `yes`, or the typed word.
        "gates" gates: Map<At<String>>,
        /// `PROC/STAGE/STEP`: `done`, or the captured text.
        "manual" manual: Map<At<String>>,
    }
}
