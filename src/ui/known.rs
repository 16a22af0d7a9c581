//! What a command on paper works out by itself from what was written down before.
//!
//! Why it exists: the engine knows a found node's variables and what each node told; a page and a script have shell variables
//! only. Whoever follows them writes down what was found (`leader=front2`, `key_front1=…`), and nothing that hawiz knows already.
//! Invariant: the same value as the engine would send, whichever node was found.

use super::words::{node_of, variable};
use crate::plan::{Node, Plan, Step, What};
use crate::shell::{BEFORE, Command, Want, quote};
use std::collections::BTreeSet;

pub(super) struct Known<'p> {
    plan: &'p Plan,
    /// Shell variables that steps tell.
    told: BTreeSet<String>,
}

impl<'p> Known<'p> {
    pub(super) fn of(plan: &'p Plan) -> Self {
        let told = plan.steps().flat_map(captures).map(|(name, _)| name).collect();
        Known { plan, told }
    }

    /// Shell lines that set what a command wants, where that does not bear the name under which it is written down.
    pub(super) fn assigned(&self, command: &Command) -> Vec<u8> {
        let wants = command.wants.iter().filter(|w| w.key != BEFORE);
        wants.filter_map(|want| Some([self.line(want)?, b"\n".to_vec()].concat())).flatten().collect()
    }

    /// The shell variables that must be written down for this.
    pub(super) fn needed(&self, want: &Want) -> Vec<String> {
        match self.parts(&want.key) {
            Some((base, var)) if is_set(base) => {
                let told = self.nodes(base).into_iter().map(|n| told_by(var, n));
                told.filter(|name| self.told.contains(name)).collect()
            }
            Some((base, _)) => vec![variable(base)],
            None => vec![variable(&want.key)],
        }
    }

    fn line(&self, want: &Want) -> Option<Vec<u8>> {
        let assign = |word: &[u8]| [want.var.as_bytes(), b"=", word].concat();
        let Some((base, var)) = self.parts(&want.key) else {
            let name = variable(&want.key);
            return (name != want.var).then(|| assign(format!("${name}").as_bytes()));
        };
        let all = self.nodes(base);
        let some: Vec<(&str, Vec<u8>)> = all.iter().filter_map(|n| Some((*n, self.value(n, var)?))).collect();
        if is_set(base) {
            let lines: Vec<u8> = some
                .iter()
                .flat_map(|(n, word)| [b" ", &quote(format!("{n} ").as_bytes())[..], word].concat())
                .collect();
            return Some(assign(&[b"$(printf '%s\\n'", &lines[..], b")"].concat()));
        }
        if let [(_, first), others @ ..] = &some[..]
            && some.len() == all.len()
            && others.iter().all(|(_, word)| word == first)
        {
            return Some(assign(first));
        }
        let cases =
            some.iter().flat_map(|(n, word)| [&quote(n.as_bytes())[..], b") ", &assign(word), b" ;; "].concat());
        Some([format!("case ${} in ", variable(base)).into_bytes(), cases.collect(), b"esac".to_vec()].concat())
    }

    /// A node's variable as a shell word: what it told, else what the site says.
    fn value(&self, node: &str, var: &str) -> Option<Vec<u8>> {
        let name = told_by(var, node);
        if self.told.contains(&name) {
            return Some(format!("\"${name}\"").into_bytes());
        }
        Some(quote(&self.plan.node(node)?.var(var)?.0))
    }

    /// `leader.fqdn`: the variable of a found node.
    fn parts<'k>(&self, key: &'k str) -> Option<(&'k str, &'k str)> {
        key.rsplit_once('.').filter(|_| !self.told.contains(&variable(key)))
    }

    fn nodes(&self, base: &str) -> Vec<&'p str> {
        let name = |n: &'p Node| n.name.as_str();
        if is_set(base) {
            self.plan.members(base).map(name).collect()
        } else {
            self.plan.nodes.iter().map(name).collect()
        }
    }
}

/// The shell variables that a step tells, and who tells each if several nodes do.
pub(super) fn captures(step: &Step) -> Vec<(String, Option<&str>)> {
    let all = || step.capture.iter();
    match &step.what {
        What::Check(check) if check.looks.len() > 1 && check.role.is_none() => {
            let nodes = check.looks.iter().filter_map(|(place, _)| node_of(place));
            nodes.flat_map(|node| all().map(move |(name, _)| (told_by(name, node), Some(node)))).collect()
        }
        _ => all().map(|(_, key)| (variable(key), None)).collect(),
    }
}

fn told_by(name: &str, node: &str) -> String {
    variable(&format!("{name}@{node}"))
}

fn is_set(base: &str) -> bool {
    base == "all" || base == "peers"
}
