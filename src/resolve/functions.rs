//! The functions a text may call: the catalogue's for its own texts, the playbook's for scripts.
//!
//! Why it exists: every command of a plan names the functions it needs, and the plan carries those that some command
//! names. Each function's text is scanned once, however many steps call it.
//!
//! Invariant: no playbook's function has the name of one of the catalogue's, so a name means one function.

use super::names::{self, Scan};
use crate::catalog::Library;
use crate::playbook::Playbook;
use std::collections::{BTreeMap, BTreeSet};

/// A function of the playbook.
#[derive(Debug)]
pub struct Own {
    pub name: String,
    pub scan: Scan,
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
        let mut own: Vec<Own> = playbook
            .functions
            .iter()
            .map(|(name, body)| Own { name: name.value.clone(), scan: names::scan(body), with: BTreeSet::new() })
            .collect();
        let by_name: BTreeMap<String, usize> = own.iter().enumerate().map(|(i, f)| (f.name.clone(), i)).collect();
        let calls: Vec<BTreeSet<usize>> = own.iter().map(|f| called(&by_name, &f.scan.words)).collect();
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
    pub fn own(&self, words: &BTreeSet<String>) -> Vec<&Own> {
        let all: BTreeSet<usize> =
            called(&self.by_name, words).iter().flat_map(|i| &self.own[*i].with).copied().collect();
        all.into_iter().map(|i| &self.own[i]).collect()
    }
}

fn called(by_name: &BTreeMap<String, usize>, words: &BTreeSet<String>) -> BTreeSet<usize> {
    words.iter().filter_map(|w| by_name.get(w.as_str()).copied()).collect()
}
