//! What is looked at once the whole plan stands: ids, scripts, addresses that move.
//!
//! Why it exists: each step may be right and the plan still wrong. Invariant: nothing here changes the plan.

use super::compile::Script;
use super::{Resolver, syntax};
use crate::plan;
use crate::problem::Problem;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

/// How many scripts are worth an `sh -n`: many are checked while the plan is still being made.
const ENOUGH: usize = 2000;

/// Scripts on their way through `sh -n`, in a thread of their own.
pub(super) struct Checking {
    scripts: Sender<Vec<Script>>,
    said: JoinHandle<Vec<(Range<usize>, String)>>,
}

impl Checking {
    fn new() -> Checking {
        let (scripts, met) = std::sync::mpsc::channel::<Vec<Script>>();
        let said = std::thread::spawn(move || {
            let mut seen: HashSet<String> = HashSet::new();
            let mut said = Vec::new();
            for mut some in met {
                some.retain(|(text, ..)| seen.insert(text.clone()));
                let texts: Vec<(&str, bool)> = some.iter().map(|(text, _, closed)| (text.as_str(), *closed)).collect();
                let all = syntax::check(&texts).into_iter().zip(&some);
                said.extend(all.filter_map(|(said, (_, span, _))| Some((span.clone(), said?))));
            }
            said
        });
        Checking { scripts, said }
    }
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
        let mut seen = HashSet::new();
        for s in stages.iter().flat_map(|s| &s.steps) {
            if !seen.insert(&s.instance) {
                let playbook = self.files.playbook;
                let p = self.site_problem(None, format!("the step `{}` stands twice in this plan", s.instance));
                p.hint = Some("give it an `id` of its own".into());
                p.file = playbook;
            }
        }
    }

    /// A script was met: each text goes through `sh -n` once, while the plan is made.
    pub(super) fn met(&mut self, scripts: Vec<Script>) {
        self.scripts.extend(scripts);
        if self.scripts.len() >= ENOUGH {
            self.syntax();
        }
    }

    /// Sends the scripts met so far through `sh -n`.
    pub(super) fn syntax(&mut self) {
        let scripts = std::mem::take(&mut self.scripts);
        let checking = self.checking.get_or_insert_with(Checking::new);
        checking.scripts.send(scripts).expect("the check of the scripts does not panic");
    }

    pub(super) fn checked(&mut self) {
        let Some(Checking { scripts, said }) = self.checking.take() else { return };
        drop(scripts);
        for (span, said) in said.join().expect("the check of the scripts does not panic") {
            self.problem(&span, format!("this script is not shell: {said}"));
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
