//! Questions to a person, and who answers them.
//!
//! Why it exists: the engine asks, it does not know whom. On a terminal dialoguer asks a person ([`terminal`]); in a
//! runbook an answers file does, or nobody. Invariant: only a clear yes goes on; whatever is not understood asks again,
//! five of them stop; a pipe on stdin is never an answer.

pub mod answers;
pub mod keys;
pub mod lend;
pub mod terminal;

use crate::plan::Gate;
use crate::shell::Value;
use std::time::Duration;

/// What the engine wants to know.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// Go on with this stage?
    Gate {
        stage: String,
        gate: Gate,
        /// Digest of the stage's commands; an answers file must carry the same.
        digest: String,
        /// The lines of the gate (at most 16): where we are, proof, before → after, commands, undo.
        lines: Vec<String>,
        /// Everything, for `v`.
        view: Vec<String>,
    },
    /// A step failed; which of the offered choices?
    Failure {
        step: String,
        lines: Vec<String>,
        /// All output, for `o`.
        output: String,
        offers: Vec<Choice>,
    },
    /// A person must do something, or take it back, and confirm (or, with `capture`, type what they saw).
    Manual { step: String, undo: bool, lines: Vec<String>, capture: Option<String> },
    /// A change runs longer than its deadline.
    Overdue { step: String, lines: Vec<String>, after: Duration },
    /// Type the node's name to vouch that it is inactive.
    Attest { node: String, lines: Vec<String> },
    /// Is this host who it says it is? Only a typed `yes` is one.
    Trust { lines: Vec<String> },
    /// Lend the terminal to the program whose script lies ready at `file` on that node, until it ends.
    Terminal { step: String, node: String, file: String },
    /// The outcome of a step is unknown: did it happen?
    Unknown { step: String, lines: Vec<String> },
    /// Undo these, in this order? `steps` are instances. `active`: the node that they make active again, if they do; then
    /// `gate` is that of an activation, else it is plain.
    Undo { steps: Vec<String>, lines: Vec<String>, gate: Gate, active: Option<String> },
    /// A secret, not echoed.
    Secret { name: String, prompt: String },
    /// An input that has neither value nor default.
    Input { name: String, prompt: String, choices: Vec<String> },
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Yes,
    No,
    /// From here on nothing is changed.
    Dry,
    Quit,
    /// One of the offered choices; a reason where it needs one.
    Choice(Choice, Option<String>),
    /// What was typed: the word of a typed gate, the node's name of an attestation (the asker compares once more),
    /// a captured value, a secret, an input.
    Text(Value),
    /// A program had the terminal.
    Ran(Ended),
    /// The process was stopped (^Z) and gone on with: take the looks again and ask anew. Counts as no answer.
    Again,
    /// End of input, Esc, five unknown answers, a signal: why. Stops, and is never success.
    Stop(String),
}

/// How a program ended that had the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    Exit(i32),
    /// It began, or may have; what became of it was not seen: why.
    Unknown(String),
    /// It certainly did not begin: why.
    Never(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    Retry,
    LookAgain,
    /// Wait longer.
    Extend,
    Skip,
    Undo,
    Quit,
    /// A planned failover goes on without its source.
    Unplanned,
    /// Fencing does not work: a person vouches for the node instead.
    Vouch,
    /// A running, overdue step: end it.
    EndIt,
    /// An unknown outcome: it happened, it did not.
    Happened,
    DidNot,
}

/// An answer with who gave it, for the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    pub answer: Answer,
    /// `person`, `answers`, `yes-flag`, `attest-flag`, `override`, `nobody`.
    pub by: &'static str,
    /// How long the question stood; a yes after more than 30 s has its looks taken again.
    pub took: Duration,
}

pub trait Prompter {
    fn ask(&mut self, question: &Question) -> Given;
    /// Whether a person is there (deadlines ask then, instead of killing).
    fn person(&self) -> bool;
}
