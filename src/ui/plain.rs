//! The log: one line an event, for files, `grep` and `tail -f`.
//!
//! Why it exists: the record of a failover is read years later with the tools of that day. Invariant: one event is one
//! line, whatever a node printed; nothing moves and nothing is coloured.
//!
//! # Grammar
//!
//! ```text
//! line    = time " - " LEVEL " - " text [ " [" outcome "]" ]
//! time    = YYYY-MM-DD " " HH:MM:SS "," mmm        local time, as the machine's own log has it
//! LEVEL   = DEBUG | INFO | WARNING | ERROR
//! outcome = Passed | Already | Done | Skipped | Failed | Unknown | Undone | Dryrun
//! text    = no newline: `\n` stands for one; control characters show as `^[`, `\x9b`, `<U+202E>`
//! ```
//!
//! The same shape the first failover script of xCAT wrote (`2018-06-24 22:13:10,559 - DEBUG - … [Passed]`), so what
//! reads those logs reads these. DEBUG is what was looked at and printed, INFO what happened, WARNING what a person
//! should read, ERROR what went wrong. Every text begins with the kind of event, then names node and step.

use super::escape::line as harmless;
use super::{Sink, View};
use crate::event::{Event, Looked, Outcome, Proven, Purpose, Record, Verdict};
use crate::plan::Answer;
use crate::register::Register;
use chrono::{DateTime, Local, NaiveDateTime, Utc};

pub struct Plain {
    out: Sink,
    local: fn(DateTime<Utc>) -> NaiveDateTime,
    /// `-q` leaves DEBUG away.
    debug: bool,
}

impl Plain {
    pub fn stdout(verbose: i8) -> Self {
        Plain::new(Sink::new(std::io::stdout()), |t| t.with_timezone(&Local).naive_local(), verbose)
    }
    pub fn new(out: Sink, local: fn(DateTime<Utc>) -> NaiveDateTime, verbose: i8) -> Self {
        Plain { out, local, debug: verbose >= 0 }
    }
}

impl View for Plain {
    fn event(&mut self, record: &Record) {
        let (level, text, outcome) = say(&record.event);
        if level == Level::Debug && !self.debug {
            return;
        }
        let time = match super::moment(&record.utc) {
            Some(t) => (self.local)(t).format("%Y-%m-%d %H:%M:%S,%3f").to_string(),
            None => record.utc.clone(),
        };
        let outcome = outcome.map(|o| format!(" [{o}]")).unwrap_or_default();
        self.out.line(&format!("{time} - {} - {}{outcome}", level.word(), harmless(text.trim_end())));
    }
    fn finish(&mut self) {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
}
impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warning => "WARNING",
            Level::Error => "ERROR",
        }
    }
}

/// An event in words; also used by `show -v`.
pub fn say(event: &Event) -> (Level, String, Option<&'static str>) {
    use Level::*;
    match event {
        Event::RunStarted { run, hawiz, procedure, target, from, unplanned, title, sources, comment, plan, .. } => {
            let what = crate::plan::what(procedure, from.as_deref(), target.as_deref(), *unplanned);
            let comment = comment.as_deref().map(|c| format!("; comment: {c}")).unwrap_or_default();
            let text = format!(
                "run {run} started: {what}: {title}; read {}; plan {}; hawiz {hawiz}{comment}",
                sources.join(", "),
                plan.get(..12).unwrap_or(plan),
            );
            (Info, text, None)
        }
        Event::RunResumed { run, purpose, hawiz, taken } => {
            let taken = taken.as_ref().map_or("", |_| ", by another station than before");
            (Info, format!("run {run} gone on with: {purpose}{taken}; hawiz {hawiz}"), None)
        }
        Event::NodeSeen { node, boot, identity, unrecorded } => {
            let id = identity.as_deref().unwrap_or("none yet");
            match unrecorded {
                None => (Debug, format!("node {node}: answers; identity {id}, boot {boot}"), None),
                Some(why) => (Warning, format!("node {node}: answers, but keeps no record: {why}; boot {boot}"), None),
            }
        }
        Event::NodeUnreachable { node, why } => (Warning, format!("node {node}: cannot be reached: {why}"), None),
        Event::NodeLocked { node, .. } => (Debug, format!("node {node}: locked for this run"), None),
        Event::NodeHeld { node, holder } => (Error, format!("node {node}: held by {holder}"), None),
        Event::ProofTaken { node, proven, again } => {
            let again = if *again { " (again)" } else { "" };
            let level = match proven {
                Proven::LookedAt | Proven::Fenced(_) => Info,
                Proven::Attested | Proven::CannotTell(_) => Warning,
                _ => Error,
            };
            let outcome = match proven {
                Proven::LookedAt | Proven::Attested | Proven::Fenced(_) => "Passed",
                Proven::CannotTell(_) => "Unknown",
                _ => "Failed",
            };
            (level, format!("proof {node}{again}: {}", self::proven(proven)), Some(outcome))
        }
        Event::StageStarted { stage, title, number, of } => {
            (Info, format!("stage {number} of {of}: {title} ({stage})"), None)
        }
        Event::StageSkipped { stage, title, reason, already } => {
            let outcome = if *already { "Already" } else { "Skipped" };
            (Info, format!("stage {title} ({stage}): {reason}"), Some(outcome))
        }
        Event::Looked(l) => (Debug, looked(l), None),
        Event::GateAsked { stage } => (Info, format!("gate {stage}: asked"), None),
        Event::GateAnswered { stage, answer, by } => {
            let outcome = (answer == "dry").then_some("Dryrun");
            (Info, format!("gate {stage}: answered {answer} by {by}"), outcome)
        }
        Event::StepStarted { step, title, node, number, of } => {
            (Debug, format!("step {number} of {of} begins: {title} on {node} ({step})"), None)
        }
        Event::StepIntent { step, title, node, attempt, .. } => {
            (Info, format!("change: {title} on {node}, attempt {attempt} ({step})"), None)
        }
        Event::AttemptFailed { step, node, attempt, of, code, why, tail } => {
            let code = code.map_or("no exit code".to_string(), |c| format!("exit {c}"));
            let why = if *why == code { code } else { format!("{why}; {code}") };
            (Warning, format!("attempt {attempt} of {of} failed on {node} ({step}): {why}{}", printed(tail)), None)
        }
        Event::Output { step, node, stderr, text } => {
            let stream = if *stderr { "err" } else { "out" };
            (Debug, format!("{stream} {node} ({step}): {}", text.trim_end_matches('\n')), None)
        }
        Event::LinkLost { step, node, why } => {
            (Warning, format!("link to {node} lost ({step}): {why}; asking the node what became of it"), None)
        }
        Event::Captured { key, value } => (Info, format!("learnt: {key} = {}", value.lossy()), None),
        Event::StepFinished { step, title, node, outcome, attempts, code, tail, show, took_ms } => {
            let mut text = format!("{title} on {node} ({step})");
            if let Some(why) = why(outcome) {
                text.push_str(&format!(": {why}"));
            }
            if *attempts > 1 {
                text.push_str(&format!("; {attempts} attempts"));
            }
            let bad = matches!(outcome, Outcome::Failed(_) | Outcome::Unknown(_) | Outcome::UndoFailed(_));
            if bad {
                let code = code.map_or("no exit code".to_string(), |c| format!("exit {c}"));
                if self::why(outcome) != Some(code.as_str()) {
                    text.push_str(&format!("; {code}"));
                }
                text.push_str(&printed(tail));
            } else if *show {
                text.push_str(&printed(tail));
            }
            text.push_str(&format!("; {}.{:03}s", took_ms / 1000, took_ms % 1000));
            // What is wanted to be seen is not lost to `-q`.
            let level = if *show && level(outcome) == Debug { Info } else { level(outcome) };
            (level, text, Some(word(outcome)))
        }
        Event::Chosen { step, choice, reason } => {
            let reason = reason.as_deref().map(|r| format!("; reason: {r}")).unwrap_or_default();
            (Info, format!("chosen: {choice} ({step}){reason}"), None)
        }
        Event::WentUnplanned { node, why } => {
            (Warning, format!("gone on unplanned: {node} is left for lost: {why}"), None)
        }
        Event::UndoIntent { step, title, node, attempt, .. } => {
            (Info, format!("undo: {title} on {node}, attempt {attempt} ({step})"), None)
        }
        Event::UndoFinished { step, title, node, outcome, tail } => {
            let why = why(outcome).map(|w| format!(": {w}{}", printed(tail))).unwrap_or_default();
            (level(outcome), format!("undo of {title} on {node} ({step}){why}"), Some(word(outcome)))
        }
        Event::Owed { debts } => {
            let debts: Vec<String> = debts.iter().map(crate::register::Debt::words).collect();
            (Warning, format!("owed since earlier runs: {}", debts.join("; ")), None)
        }
        Event::Registered { register, nodes, missed } => {
            let missed: String = missed.iter().map(|(node, why)| format!("; not on {node}: {why}")).collect();
            (Info, format!("written on {}: {}{missed}", nodes.join(", "), registered(register)), None)
        }
        Event::Noted { text } => (Warning, format!("note: {text}"), None),
        Event::Interrupted { signal, then } => (Warning, format!("interrupted by {signal}: {then}"), None),
        Event::RunFinished { verdict, exit, why, nodes, skipped, next } => {
            let mut text = format!("run ended: {}; exit {exit}", super::report::verdict(*verdict));
            if let Some(why) = why {
                text.push_str(&format!("; because: {why}"));
            }
            for (node, state) in nodes {
                text.push_str(&format!("; {node}: {state}"));
            }
            for (what, why) in skipped {
                text.push_str(&format!("; skipped {what}: {why}"));
            }
            for n in next {
                text.push_str(&format!("; next: {n}"));
            }
            let (level, outcome) = match verdict {
                Verdict::Completed => (Info, Some("Done")),
                Verdict::Dry => (Info, Some("Dryrun")),
                Verdict::Declined => (Info, None),
                Verdict::RolledBack => (Warning, Some("Undone")),
                Verdict::Degraded | Verdict::NotReady | Verdict::Locked | Verdict::Stopped => (Warning, None),
                Verdict::Unknown => (Error, Some("Unknown")),
                Verdict::Failed | Verdict::Stuck => (Error, Some("Failed")),
            };
            (level, text, outcome)
        }
        Event::Other => (Debug, "something that a newer hawiz wrote".to_string(), None),
    }
}

/// How a peer was proven inactive, in words.
pub fn proven(proven: &Proven) -> String {
    match proven {
        Proven::LookedAt => "inactive: looked at".to_string(),
        Proven::Attested => "inactive: a person vouches for it".to_string(),
        Proven::Active(why) => format!("ACTIVE: {why}"),
        Proven::CannotTell(why) => format!("can't tell: {why}"),
        Proven::Alive(why) => format!("ALIVE, whatever is said of it: {why}"),
        Proven::Fenced(by) => format!("inactive: its power was cut in this run ({by})"),
    }
}

/// What a register says, in words.
pub fn registered(register: &Register) -> String {
    let active =
        register.active.as_ref().map_or("no node is the active one".to_string(), |n| format!("{n} is the active one"));
    let owed = match register.debts.len() {
        0 => "nothing is owed".to_string(),
        1 => format!("owed: {}", register.debts[0].words()),
        n => format!("{n} things are owed"),
    };
    format!("{active}; {owed}")
}

/// What a look was taken for, in words.
pub fn purpose(p: Purpose) -> &'static str {
    match p {
        Purpose::When => "when",
        Purpose::Check => "check",
        Purpose::Before => "done before",
        Purpose::After => "done after",
        Purpose::Verify => "verify",
        Purpose::Undone => "undone",
        Purpose::Proof => "proof",
    }
}

pub fn answer(a: Answer) -> &'static str {
    match a {
        Answer::Yes => "yes",
        Answer::No => "no",
        Answer::Unsettled => "not settled yet",
        Answer::CouldNotLook => "can't tell",
    }
}

fn looked(l: &Looked) -> String {
    let code = match (l.answer, l.code) {
        (Answer::Yes, Some(0)) => String::new(),
        (_, Some(c)) => format!(" (exit {c})"),
        (_, None) => " (no exit code)".to_string(),
    };
    format!(
        "look: {} on {}: {}: {}{code}{}",
        l.title,
        l.node,
        purpose(l.purpose),
        answer(l.answer),
        printed(&l.evidence)
    )
}

fn printed(tail: &str) -> String {
    let tail = tail.trim_end_matches('\n');
    if tail.is_empty() { String::new() } else { format!("; printed: {tail}") }
}

pub fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "Done",
        Outcome::Already => "Already",
        Outcome::Passed => "Passed",
        Outcome::Skipped(_) => "Skipped",
        Outcome::Failed(_) | Outcome::UndoFailed(_) => "Failed",
        Outcome::Unknown(_) => "Unknown",
        Outcome::Undone => "Undone",
    }
}

pub fn why(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Skipped(w) | Outcome::Failed(w) | Outcome::Unknown(w) | Outcome::UndoFailed(w) => Some(w),
        _ => None,
    }
}

fn level(outcome: &Outcome) -> Level {
    match outcome {
        Outcome::Passed => Level::Debug,
        Outcome::Done | Outcome::Already | Outcome::Skipped(_) | Outcome::Undone => Level::Info,
        Outcome::Failed(_) | Outcome::Unknown(_) | Outcome::UndoFailed(_) => Level::Error,
    }
}
