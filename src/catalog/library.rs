//! The catalogue's own shell functions: what its texts call, so that they are short enough to be read.
//!
//! Why it exists: whether a service is stopped takes thirty lines to find out, on every kind of system. They are written
//! once, in `library/*.sh`, printed once at the head of a plan and sent in front of a text that calls them; the text
//! itself says `service_is inactive postgresql`. What changes something stays a literal command in the text.
//!
//! Invariants: POSIX sh that works under `set -eu`; variables begin with `_`, which no name of a playbook can; a
//! function says in its first line what it takes and tells; it ends the script (`exit`) only where going on would be
//! wrong. A playbook's function may not have the name of one of these ([`Library::has`]).

use crate::resolve::names;
use crate::shell::Value;
use std::collections::{BTreeMap, BTreeSet};

const FILES: [&str; 12] = [
    include_str!("library/values.sh"),
    include_str!("library/service.sh"),
    include_str!("library/network.sh"),
    include_str!("library/storage.sh"),
    include_str!("library/file.sh"),
    include_str!("library/database.sh"),
    include_str!("library/host.sh"),
    include_str!("library/remote.sh"),
    include_str!("library/resource.sh"),
    include_str!("library/fence.sh"),
    include_str!("library/guard.sh"),
    include_str!("library/haproxy.sh"),
];

/// One function.
#[derive(Debug)]
pub struct Function {
    pub name: &'static str,
    pub body: &'static str,
    /// Itself and all it needs, by index.
    with: BTreeSet<usize>,
}

/// All functions, each read and scanned once. The default is empty.
#[derive(Debug, Default)]
pub struct Library {
    functions: Vec<Function>,
    by_name: BTreeMap<&'static str, usize>,
}

impl Library {
    pub fn read() -> Library {
        let mut functions: Vec<Function> = FILES.iter().flat_map(|text| split(text)).collect();
        let by_name: BTreeMap<&str, usize> = functions.iter().enumerate().map(|(i, f)| (f.name, i)).collect();
        let calls: Vec<BTreeSet<usize>> =
            functions.iter().map(|f| called(&by_name, &names::scan(f.body).words)).collect();
        for (i, f) in functions.iter_mut().enumerate() {
            let mut todo = vec![i];
            while let Some(next) = todo.pop() {
                if f.with.insert(next) {
                    todo.extend(&calls[next]);
                }
            }
        }
        Library { functions, by_name }
    }

    /// Whether a name is taken.
    pub fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// Those a text with these words calls, and those they need, in order of definition.
    pub fn called(&self, words: &[&str]) -> Vec<&Function> {
        let all: BTreeSet<usize> =
            called(&self.by_name, words).iter().flat_map(|i| &self.functions[*i].with).copied().collect();
        all.into_iter().map(|i| &self.functions[i]).collect()
    }

    /// The functions of a text of the catalogue: name and body, in order of definition.
    pub fn of(&self, text: &Value) -> Vec<(String, Value)> {
        self.called(&names::scan(&text.lossy()).words).iter().map(|f| (f.name.into(), f.body.into())).collect()
    }
}

fn called(by_name: &BTreeMap<&'static str, usize>, words: &[&str]) -> BTreeSet<usize> {
    words.iter().filter_map(|w| by_name.get(w).copied()).collect()
}

/// A file of functions: `name() {` and `}` stand alone on their lines.
fn split(text: &'static str) -> impl Iterator<Item = Function> {
    text.split_inclusive("\n}\n").filter_map(|one| {
        let (name, body) = one.split_once("() {\n")?;
        Some(Function { name: name.trim(), body: body.strip_suffix("\n}\n")?, with: BTreeSet::new() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_short_named_once_and_says_what_it_does() {
        let library = Library::read();
        assert!(library.functions.len() > 40);
        assert_eq!(library.functions.len(), library.by_name.len(), "a name stands twice");
        for f in &library.functions {
            assert!(f.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", f.name);
            assert!(f.body.starts_with("  # "), "{} does not say what it does", f.name);
            assert!(f.body.lines().count() <= 32, "{} is long", f.name);
            let wide = f.body.lines().find(|l| l.chars().count() > 120);
            assert_eq!(wide, None, "{} is wide", f.name);
        }
    }

    #[test]
    fn variables_of_functions_begin_with_an_underscore() {
        for f in Library::read().functions {
            let scan = names::scan(f.body);
            let wrong = |n: &&&str| !n.starts_with(|c: char| c == '_' || c.is_ascii_digit());
            assert_eq!(scan.used.iter().find(wrong), None, "{} uses it", f.name);
            // What looks like one: words of systemd's in a pattern, and one of awk's.
            let wrong = |n: &&&str| n.starts_with(|c: char| c.is_ascii_lowercase()) && **n != "old";
            assert_eq!(scan.assigned.iter().find(wrong), None, "{} assigns it", f.name);
        }
    }

    #[test]
    fn a_text_gets_what_it_calls_and_what_that_needs() {
        let names = |text: &str| -> Vec<String> {
            Library::read().of(&text.into()).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names("mount /HA"), [""; 0]);
        assert_eq!(names("service_is active x"), ["service_state", "service_state_otherwise", "service_is"]);
        assert_eq!(names("echo 'service_is active x' # is_mounted"), [""; 0]);
    }
}
