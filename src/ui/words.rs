//! What the parts of a plan are called: places, titles, owners, tries, input.
//!
//! Why it exists: text, paper, script and gates name the same thing alike. Invariant: nothing here decides; what comes
//! from a playbook or a node is harmless to a terminal when it leaves ([`super::escape`]).

use super::Looks;
use super::escape::line as harmless;
use super::text::duration;
use super::wrap::dedent;
use crate::plan::{Gate, OnFailure, Place, Plan, Stage, Step, What};
use crate::shell::{Command, StdinPart, Word, quote};
use std::time::Duration;

/// The node's name, when planning knows it.
pub(super) fn node_of(place: &Place) -> Option<&str> {
    match place {
        Place::Node(n) => Some(n),
        _ => None,
    }
}

/// Where a step runs, in words.
pub(super) fn place(place: &Place, looks: Option<&Looks>) -> String {
    let now = |key: &str| looks.and_then(|l| l.values.get(key)).map(|v| v.lossy());
    match place {
        Place::Node(n) => n.clone(),
        Place::Here => "this machine".to_string(),
        Place::Role(key) => now(key).map_or(key.clone(), |n| format!("{key} ({n} now)")),
        Place::OneOf { key, nodes } => {
            now(key).unwrap_or_else(|| format!("the first of {} that can be reached", nodes.join(", ")))
        }
    }
}

/// A title, with run-time values where they are known.
pub(super) fn title(word: &Word, looks: Option<&Looks>) -> String {
    let filled = looks.and_then(|l| word.fill(&l.values)).map(|v| v.lossy());
    harmless(&filled.unwrap_or_else(|| word.shown())).into_owned()
}

/// The places of a stage, each once: at the right of its header.
pub(super) fn places(stage: &Stage, looks: Option<&Looks>) -> Vec<String> {
    let mut seen: Vec<&Place> = Vec::new();
    for step in &stage.steps {
        let of_check = match &step.what {
            What::Check(c) => c.looks.as_slice(),
            _ => &[],
        };
        let all = if of_check.len() > 1 { of_check.iter().map(|(p, _)| p).collect() } else { vec![&step.place] };
        for p in all {
            if !seen.contains(&p) {
                seen.push(p);
            }
        }
    }
    seen.into_iter().map(|p| place(p, looks)).collect()
}

pub(super) fn stage_note(stage: &Stage, looks: Option<&Looks>, dot: &str) -> String {
    let places = places(stage, looks);
    let places = if places.len() > 3 { format!("{} nodes", places.len()) } else { places.join(", ") };
    let owner = stage.owner.as_deref().map(|o| format!("[{}]", harmless(o))).unwrap_or_default();
    let gate = match &stage.gate {
        Gate::Open => String::new(),
        Gate::Ask => "asks".to_string(),
        Gate::Type(word) => format!("type {}", harmless(word)),
    };
    let left = [owner, gate].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(" ");
    [left, places].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(&format!(" {dot} "))
}

/// What makes the standard input, as the shell writes it: `printf 'user=%s\n' "$user"`; `None` when nothing is read.
/// `value` gives the shell word for a run-time value or a secret.
pub(super) fn printf(command: &Command, value: impl Fn(&str) -> Vec<u8>) -> Option<Vec<u8>> {
    let mut format = Vec::new();
    let mut words: Vec<Vec<u8>> = Vec::new();
    for part in &command.stdin.as_ref()?.0 {
        match part {
            StdinPart::Text(v) => {
                for b in &v.0 {
                    match b {
                        b'\n' => format.extend_from_slice(b"\\n"),
                        b'\\' => format.extend_from_slice(b"\\\\"),
                        b'%' => format.extend_from_slice(b"%%"),
                        // An option it must not become.
                        b'-' if format.is_empty() => format.extend_from_slice(b"\\055"),
                        b => format.push(*b),
                    }
                }
            }
            StdinPart::Name(n) | StdinPart::Secret(n) => {
                format.extend_from_slice(b"%s");
                words.push(value(n));
            }
        }
    }
    let mut out = b"printf ".to_vec();
    out.extend(quote(&format));
    for w in words {
        out.push(b' ');
        out.extend(w);
    }
    Some(out)
}

/// The same, for the eye.
pub(super) fn stdin(command: &Command) -> Option<String> {
    let bytes = printf(command, |n| format!("\"${n}\"").into_bytes())?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Of a step that needs a terminal, on paper.
pub(super) const TERMINAL: &str = "needs a terminal";

/// The same where hawiz runs it.
pub(super) fn terminal(plan: &Plan, step: &Step) -> &'static str {
    let lends = match &step.place {
        Place::Node(node) => plan.lends(node),
        Place::Here => true,
        Place::Role(_) | Place::OneOf { .. } => return TERMINAL,
    };
    if lends { "gets your terminal" } else { "by hand: no terminal reaches it" }
}

/// Tries, deadline, and what a failure means, where they differ from what is usual. `terminal`: what is said of a step that
/// needs one.
pub(super) fn notes(step: &Step, terminal: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    if step.tries > 1 {
        out.push(format!("{} tries, {} apart", step.tries, duration(step.wait)));
    }
    match (&step.what, step.deadline) {
        (What::Change(_), Some(d)) if step.tries > 1 => out.push(format!("{} each", duration(d))),
        (What::Change(_), Some(d)) if d != Duration::from_secs(300) => out.push(format!("deadline {}", duration(d))),
        (What::Change(c), None) if !c.tty => out.push("no deadline".to_string()),
        (What::Check(_), _) if !step.within.is_zero() => out.push(format!("waits up to {}", duration(step.within))),
        _ => {}
    }
    if let What::Change(c) = &step.what
        && c.tty
    {
        out.push(terminal.to_string());
    }
    if step.exclusive {
        out.push("proof again before it".to_string());
    }
    match step.on_failure {
        OnFailure::Stop => {}
        OnFailure::Ask => out.push("may be skipped".to_string()),
        OnFailure::Continue => out.push("optional".to_string()),
    }
    out.join(", ")
}

/// The text with its plan-time values at the head, for the eye: without the indent that a script has in its playbook.
pub(super) fn source(command: &Command) -> String {
    let text = dedent(&command.text.lossy());
    if command.binds.is_empty() {
        return text;
    }
    let bare = Command { text: text.into(), ..command.clone() };
    String::from_utf8_lossy(&bare.source()).into_owned()
}

/// `PATH` is put in front of the node's own; the rest is exported as it is.
pub(super) fn assignment(name: &str, value: &[u8]) -> String {
    let value = String::from_utf8_lossy(&quote(value)).into_owned();
    if name == "PATH" { format!("PATH={value}:\"$PATH\"") } else { format!("{name}={value}") }
}

/// The shell variable for a key of the run: `leader.fqdn` is `leader_fqdn`, `nic@node1` is `nic_node1`.
pub(super) fn variable(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}
