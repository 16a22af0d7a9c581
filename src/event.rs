//! Events: everything that happened, as owned, versioned data.
//!
//! Why it exists: the journal stores an Event before anything else sees it, every view draws from Events, and resume is a
//! fold over them ([`crate::history`]). Invariant: Events carry no presentation, no secrets and no references.
//!
//! Field names are a contract: `--output json` prints them, golden journals keep them. New fields get `#[serde(default)]`.

use crate::plan::Answer;
use crate::reach::Claim;
use crate::register::{Debt, Register};
use crate::shell::Value;
use serde::{Deserialize, Serialize};

/// Format of the journal and of `--output json`.
pub const FORMAT: u32 = 1;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// From 1, without gaps.
    pub seq: u64,
    /// UTC, RFC 3339 with milliseconds.
    pub utc: String,
    /// Who acted: login, sudo user, SSH client and tty, in one line.
    pub who: String,
    pub event: Event,
}

/// What a look was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// A stage's or step's condition.
    When,
    /// A check's own question.
    Check,
    /// Is it so already?
    Before,
    /// Is it so after the change?
    After,
    Verify,
    /// Is it undone?
    Undone,
    /// Is this peer inactive?
    Proof,
}

/// A look and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Looked {
    /// The step's instance, or the stage's id for a stage's `when`.
    pub step: String,
    pub title: String,
    pub node: String,
    pub purpose: Purpose,
    pub answer: Answer,
    /// `None`: killed, deadline, lost.
    pub code: Option<i32>,
    /// First lines of what it printed.
    pub evidence: String,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is", content = "why")]
pub enum Outcome {
    /// Changed, and verified.
    Done,
    /// Was so before; nothing was changed, nothing will be undone.
    Already,
    /// A check that is true.
    Passed,
    Skipped(String),
    Failed(String),
    Unknown(String),
    Undone,
    UndoFailed(String),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Completed,
    Degraded,
    Declined,
    NotReady,
    /// Another run or station holds, or took, a node's lock; nothing changed by this one.
    Locked,
    Stopped,
    Failed,
    Unknown,
    RolledBack,
    Stuck,
    /// A person chose to go on dry: nothing was changed after that.
    Dry,
}

/// How a peer was proven inactive, or why it was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proven {
    /// Every check of `inactive` was true there.
    LookedAt,
    /// A person typed its name; counts for this run and ten minutes.
    Attested,
    /// A check was false: it is active, in words.
    Active(String),
    /// It could not be looked at, and nobody vouches: why.
    CannotTell(String),
    /// Somebody vouched, or its power was cut, but it shows a sign of life: which.
    Alive(String),
    /// Its power was cut in this run: by what.
    Fenced(String),
}

/// Everything that can happen in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Event {
    /// First of every run. The plan itself lies beside the journal; `plan` is its digest.
    RunStarted {
        run: String,
        format: u32,
        hawiz: String,
        procedure: String,
        #[serde(default)]
        target: Option<String>,
        /// `failover`: the node that gives up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// `failover`: `from` is left for lost.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unplanned: bool,
        plan: String,
        title: String,
        /// The files that were read.
        sources: Vec<String>,
        stages: Vec<String>,
        #[serde(default)]
        comment: Option<String>,
        /// The run's random marker (see `reach::Claim`).
        marker: String,
    },
    /// A run is gone on with (`resume`), undone (`rollback`). `taken`: by another station than before, from a copy of its
    /// journal; the name it goes by from here on.
    RunResumed {
        run: String,
        purpose: String,
        hawiz: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        taken: Option<String>,
    },
    /// A node introduced itself, or could not be reached.
    NodeSeen {
        node: String,
        boot: String,
        identity: Option<String>,
        #[serde(default)]
        unrecorded: Option<String>,
    },
    NodeUnreachable {
        node: String,
        why: String,
    },
    /// This run holds the node's lock now.
    NodeLocked {
        node: String,
        /// The lock's generation: by it a lock that is left behind is known for the one that this sitting took.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        generation: Option<String>,
    },
    /// Another run holds it.
    NodeHeld {
        node: String,
        holder: String,
    },
    /// The proof of a peer. `again`: taken right before an exclusive change.
    ProofTaken {
        node: String,
        proven: Proven,
        again: bool,
    },
    StageStarted {
        stage: String,
        title: String,
        number: u32,
        of: u32,
    },
    StageSkipped {
        stage: String,
        title: String,
        reason: String,
        /// All of it is so already; else it is left out.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        already: bool,
    },
    Looked(Looked),
    /// A gate is open to be answered; what it showed is drawn by the views from the plan and the looks before it.
    GateAsked {
        stage: String,
    },
    /// `yes`, `no`, `dry`, `quit`, or the typed word; `by`: person, answers, yes-flag, nobody.
    GateAnswered {
        stage: String,
        answer: String,
        by: String,
    },
    /// A step's turn. Not in the journal's fold, but for the eye.
    StepStarted {
        step: String,
        title: String,
        node: String,
        number: u32,
        of: u32,
    },
    /// Recorded and on disk before the command is sent.
    StepIntent {
        step: String,
        title: String,
        node: String,
        attempt: u32,
        claim: Option<Claim>,
        before: Option<Value>,
        was: Option<Answer>,
    },
    /// One attempt ended; there may be another.
    AttemptFailed {
        step: String,
        node: String,
        attempt: u32,
        of: u32,
        code: Option<i32>,
        why: String,
        tail: String,
    },
    /// Output of a running step, as it comes. Only for views; the journal keeps tails.
    Output {
        step: String,
        node: String,
        stderr: bool,
        text: String,
    },
    /// The link was lost in a step; the truth is being learnt.
    LinkLost {
        step: String,
        node: String,
        why: String,
    },
    Captured {
        key: String,
        value: Value,
    },
    StepFinished {
        step: String,
        title: String,
        node: String,
        outcome: Outcome,
        attempts: u32,
        #[serde(default)]
        code: Option<i32>,
        /// Last lines of output, masked.
        #[serde(default)]
        tail: String,
        /// The playbook wants the output shown though all is well.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        show: bool,
        /// Milliseconds from the step's turn to its end.
        took_ms: u64,
    },
    /// What a person chose at the failure menu.
    Chosen {
        step: String,
        choice: String,
        reason: Option<String>,
    },
    /// A planned failover whose source stopped answering goes on without it: it is to be fenced or vouched for.
    WentUnplanned {
        node: String,
        why: String,
    },
    /// An undo is about to run.
    UndoIntent {
        step: String,
        title: String,
        node: String,
        attempt: u32,
        claim: Option<Claim>,
    },
    UndoFinished {
        step: String,
        title: String,
        node: String,
        outcome: Outcome,
        #[serde(default)]
        tail: String,
    },
    /// What earlier runs left owed, as the nodes have it; said before anything is done.
    Owed {
        debts: Vec<Debt>,
    },
    /// The system's register was written on these nodes, and not on those: why.
    Registered {
        register: Register,
        nodes: Vec<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        missed: Vec<(String, String)>,
    },
    /// Something a person should know that is no step: an override, a warning, a difference since the run began.
    Noted {
        text: String,
    },
    /// ^C, SIGTERM, SIGHUP: what will happen now.
    Interrupted {
        signal: String,
        then: String,
    },
    /// Last of every sitting. `why`: what ended it before its end; `nodes`: what state each node is in, in words; `next`:
    /// how to go on.
    RunFinished {
        verdict: Verdict,
        exit: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        nodes: Vec<(String, String)>,
        skipped: Vec<(String, String)>,
        next: Vec<String>,
    },
    /// Written by a newer hawiz of the same format; kept, not understood.
    #[serde(other)]
    Other,
}
