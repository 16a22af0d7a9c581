//! What is looked at once the whole plan stands: ids, scripts, addresses that move.
//!
//! Why it exists: each step may be right and the plan still wrong. Invariant: nothing here changes the plan.

use super::{Resolver, syntax};
use crate::plan;
use crate::problem::Problem;
use std::collections::BTreeMap;

/// Scripts on their way through `sh -n`.
pub(super) struct Checking {
    spans: Vec<std::ops::Range<usize>>,
    said: std::thread::JoinHandle<Vec<Option<String>>>,
}

impl Resolver<'_> {
    /// Instances must be told apart: the journal, answers and claims know steps by them.
    pub(super) fn unique(&mut self, stages: &[plan::Stage]) {
        let mut gates: BTreeMap<&str, usize> = BTreeMap::new();
        for s in stages {
            *gates.entry(&s.id).or_default() += 1;
        }
        for (id, _) in gates.into_iter().filter(|(_, n)| *n > 1) {
            let playbook = self.files.playbook;
            let p = self.site_problem(None, format!("the stage `{id}` stands twice in this plan"));
            p.hint = Some("give the stage that `use`s it an `id`".into());
            p.file = playbook;
        }
        let mut seen = std::collections::HashSet::new();
        for s in stages.iter().flat_map(|s| &s.steps) {
            if !seen.insert(&s.instance) {
                let playbook = self.files.playbook;
                let p = self.site_problem(None, format!("the step `{}` stands twice in this plan", s.instance));
                p.hint = Some("give it an `id` of its own".into());
                p.file = playbook;
            }
        }
    }

    /// Sends every script through `sh -n`, each text once, while the plan is made.
    pub(super) fn syntax(&mut self) -> Checking {
        let mut seen = std::collections::HashSet::new();
        let mut scripts = std::mem::take(&mut self.scripts);
        scripts.retain(|(text, ..)| seen.insert(text.clone()));
        let spans = scripts.iter().map(|(_, span, _)| span.clone()).collect();
        let said = std::thread::spawn(move || {
            let texts: Vec<(&str, bool)> = scripts.iter().map(|(text, _, closed)| (text.as_str(), *closed)).collect();
            syntax::check(&texts)
        });
        Checking { spans, said }
    }

    pub(super) fn checked(&mut self, checking: Checking) {
        let said = checking.said.join().expect("the check of the scripts does not panic");
        for (span, said) in checking.spans.iter().zip(said) {
            if let Some(said) = said {
                self.problem(span, format!("this script is not shell: {said}"));
            }
        }
    }

    /// A node may not be known by an address that moves.
    pub(super) fn own_addresses(&mut self) {
        for (name, node) in &self.site.nodes {
            let Some(address) = &node.address else { continue };
            if self.out.addresses.iter().any(|a| a.lossy() == address.value) {
                let mut p = Problem::new(format!(
                    "`{}` is the address of node `{}`, but the playbook moves it",
                    address.value, name.value
                ))
                .at(address.span.clone())
                .hint("give the node its own address, which stays with it");
                p.file = self.files.site;
                self.problems.push(p);
            }
        }
    }
}
