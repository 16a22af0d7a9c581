//! The functions a text may call: the catalogue's for its own texts, the playbook's for scripts.
//!
//! Why it exists: every command of a plan names the functions it needs, and the plan carries those that some command
//! names. Each function's text is scanned once, however many steps call it.
//!
//! Invariant: no playbook's function has the name of one of the catalogue's, so a name means one function.

use super::names;
use crate::catalog::Library;
use crate::playbook::Playbook;
use std::collections::{BTreeMap, BTreeSet};

/// A function of the playbook.
#[derive(Debug)]
pub struct Own {
    pub name: String,
    /// Names it uses, and those it assigns.
    pub used: Vec<String>,
    pub assigned: Vec<String>,
    /// Itself and all it needs, by index.
    with: BTreeSet<usize>,
}

#[derive(Debug, Default)]
pub struct Functions {
    pub library: Library,
    own: Vec<Own>,
    by_name: BTreeMap<String, usize>,
}

impl Functions {
    pub fn new(playbook: &Playbook) -> Functions {
        let scans: Vec<names::Scan> = playbook.functions.iter().map(|(_, body)| names::scan(body)).collect();
        let owned = |all: &[&str]| all.iter().map(|n| n.to_string()).collect();
        let mut own: Vec<Own> = std::iter::zip(&playbook.functions, &scans)
            .map(|((name, _), scan)| Own {
                name: name.value.clone(),
                used: owned(&scan.used),
                assigned: owned(&scan.assigned),
                with: BTreeSet::new(),
            })
            .collect();
        let by_name: BTreeMap<String, usize> = own.iter().enumerate().map(|(i, f)| (f.name.clone(), i)).collect();
        let calls: Vec<BTreeSet<usize>> = scans.iter().map(|s| called(&by_name, &s.words)).collect();
        for (i, f) in own.iter_mut().enumerate() {
            let mut todo = vec![i];
            while let Some(next) = todo.pop() {
                if f.with.insert(next) {
                    todo.extend(&calls[next]);
                }
            }
        }
        Functions { library: Library::read(), own, by_name }
    }

    /// The playbook's functions that a script with these words calls, and those they need, in order of definition.
    pub fn own(&self, words: &[&str]) -> Vec<&Own> {
        let all: BTreeSet<usize> =
            called(&self.by_name, words).iter().flat_map(|i| &self.own[*i].with).copied().collect();
        all.into_iter().map(|i| &self.own[i]).collect()
    }
}

fn called(by_name: &BTreeMap<String, usize>, words: &[&str]) -> BTreeSet<usize> {
    words.iter().filter_map(|w| by_name.get(*w).copied()).collect()
}
