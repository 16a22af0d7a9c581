//! What the engine needs of the nodes: looks, recorded steps, locks, and the truth after a lost link.
//!
//! Why it exists: the engine must not know whether a node is this machine, a folder behind `via` or a host behind SSH,
//! and a story test must be able to be all of them. [`crate::session::Fleet`] is the real one, tests script another.
//!
//! Invariant: nothing here guesses. A missing exit code is `None`, never 0; *never* is only said of a claim that has
//! been made final, so that nobody can start it afterwards (DESIGN 3.3, rule 1).

use crate::register::Register;
use crate::shell::Value;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A command with its run-time values filled in, ready to be sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sent {
    /// The whole script: environment, run-time values, functions, plan-time values, text.
    pub script: Vec<u8>,
    /// What it reads; `None` = nothing.
    pub stdin: Option<Vec<u8>>,
    /// Its output is removed from the node after it was read (a secret went in).
    pub secret: bool,
}

/// What identifies one attempt of one step of one run on one node. Retries are new claims.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    pub run: String,
    /// The step's instance id, with `#undo` behind it for an undo.
    pub step: String,
    pub attempt: u32,
    /// The run's random marker: *never* is believed only of a node whose record of this run carries it.
    pub marker: String,
    /// The node's boot id when the intent was recorded.
    pub boot: String,
}

/// A node as it introduced itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The random id in the node's own state directory; `None` before the first recorded step there.
    pub identity: Option<String>,
    pub boot: String,
    /// `uid` the commands run as.
    pub uid: u32,
    /// The state directory in use.
    pub state: String,
    /// Why steps on this node run without claims and lock, if they do: said in the plan, at the gate, in the last line.
    pub unrecorded: Option<String>,
    /// The node's own addresses (without prefix), to find *this machine* and a moved address.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// What is written there of the systems it belongs to.
    #[serde(default)]
    pub registers: Vec<Register>,
}

/// Why a node cannot be worked with now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    pub node: String,
    /// A lower-case fragment, fit for "cannot reach `n`: …"; ends with the hint, if there is one.
    pub why: String,
    /// What to do about it.
    pub hint: Option<String>,
}
impl Unreachable {
    /// The reason without what to do about it, and that.
    pub fn apart(&self) -> (&str, Option<&str>) {
        let hint = self.hint.as_deref();
        let bare = hint.and_then(|hint| self.why.strip_suffix(hint)).and_then(|why| why.strip_suffix("; "));
        (bare.unwrap_or(&self.why), hint)
    }
}

/// What a look gave back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// `None`: killed, deadline, link lost. Never made up.
    pub code: Option<i32>,
    pub out: Value,
    pub err: Value,
    /// Why there is no code.
    pub problem: Option<String>,
}

/// A look to be taken beside others.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    pub node: String,
    pub sent: Sent,
    pub deadline: Duration,
}

/// How a refusal begins because of which the whole run ends: its lock is another's now.
pub const TAKEN_OVER: &str = "the lock was taken over";

/// What became of a start.
#[derive(Clone, Debug, PartialEq)]
pub enum Started {
    Running,
    /// Nothing was started, for this reason (disk full, lock lost, …); [`TAKEN_OVER`] and by whom.
    Refused(String),
    /// The link was lost while starting: ask [`Reach::truth`].
    Lost(String),
}

/// What a running step did meanwhile.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// Nothing new within the time that was waited.
    Quiet,
    /// Output, in order; `true` = standard error.
    Output(bool, Vec<u8>),
    Done(i32),
    /// Nothing was started, for this reason; said after the fact to save a round trip.
    Refused(String),
    /// The link was lost: ask [`Reach::truth`].
    Lost(String),
}

/// The truth about a claim, as the node knows it. *Never* is final: whatever might have started it later was forbidden to
/// before it was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truth {
    Never,
    Running,
    Done(i32),
    /// The record is gone, the leader is gone without a code, or the node was rebooted in between: why.
    Unknown(String),
}

/// What came of asking for a node's lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Locked {
    Ours,
    /// Another run: who holds it, in words.
    Held(String),
    /// This run, at another station, which has gone on with it: who, in words.
    Taken(String),
    /// No lock can be kept there: why (same as [`Greeting::unrecorded`]).
    Impossible(String),
}

/// The nodes of one run. Nothing here prompts or prints; nothing that changes anything is tried twice.
pub trait Reach {
    /// These will be needed soon: begins to open their sessions, and returns at once. Tells nothing; [`Reach::greet`] does.
    fn expect(&mut self, _nodes: &[String]) {}
    /// Greets them side by side; answers in the order of the nodes.
    fn greet_all(&mut self, nodes: &[String]) -> Vec<Result<Greeting, Unreachable>> {
        nodes.iter().map(|n| self.greet(n)).collect()
    }
    /// Looks on several nodes side by side, those of one node in order; answers in the order of the asks.
    fn look_all(&mut self, asks: &[Ask]) -> Vec<Result<Reply, Unreachable>> {
        asks.iter().map(|a| self.look(&a.node, &a.sent, a.deadline)).collect()
    }
    /// Opens the node's session if it is not open, and says what it found. Creates nothing there.
    fn greet(&mut self, node: &str) -> Result<Greeting, Unreachable>;
    /// Runs a look. Creates nothing there. `Err`: no session could be had at all.
    fn look(&mut self, node: &str, sent: &Sent, deadline: Duration) -> Result<Reply, Unreachable>;
    /// Makes the node's identity and takes its lock for this run; a lock of the same run is taken over, where no other
    /// station has gone on with it. Never waits. The first lock of a run leaves its marker there. `holder`: login, host and
    /// pid in words; run and time are added.
    fn lock(&mut self, node: &str, run: &str, marker: &str, holder: &str) -> Result<Locked, Unreachable>;
    /// The generation of the lock that this run has of a node.
    fn generation(&self, _node: &str) -> Option<String> {
        None
    }
    /// Gives back the lock of a node whose holder's sitting is known to have ended: this station's own records say so, or a copy on
    /// one of `others`. In words, whose it was and who says so; `None`: that is not known, or something of it still runs there,
    /// and nothing was changed.
    fn give_back(&mut self, _node: &str, _others: &[String]) -> Option<String> {
        None
    }
    /// Other runs that have begun a step on the node since this one did so last, or since it came there first: as the node said when
    /// it gave its lock.
    fn later(&self, _node: &str) -> Vec<String> {
        Vec::new()
    }
    /// Asks these nodes, side by side and not for long, whether their locks are still this run's; [`Reach::taken`] tells.
    fn beat(&mut self, _nodes: &[String], _within: Duration) {}
    /// By whom this run's lock of the node was taken, in words, as far as what was asked there last has told. Asks nobody.
    fn taken(&mut self, _node: &str) -> Option<String> {
        None
    }
    /// Gives the lock back and marks the run's record as finished (it is pruned after 30 days; taking the lock again
    /// unmarks it).
    fn unlock(&mut self, node: &str, run: &str) -> Result<(), Unreachable>;
    /// Takes the lock away from whoever holds it, so that late claims of that holder fail and what it had claimed and not
    /// begun never begins; says who it was. `reason`, with who has it, is what that holder is told.
    fn break_lock(&mut self, node: &str, reason: &str) -> Result<Option<String>, Unreachable>;
    /// Writes a system's register on a node, whole or not at all; an older one never replaces a newer. Needs the lock. `Err`: why
    /// it does not stand there.
    fn inscribe(&mut self, _node: &str, _register: &Register) -> Result<(), String> {
        Err("it keeps no register".into())
    }
    /// Claims the step and starts it; returns when the node has said that its leader won the right to start, or why
    /// not. Needs the lock, unless the node is unrecorded. An attempt that was claimed before is `Lost`: ask for the truth.
    fn start(&mut self, node: &str, claim: &Claim, sent: &Sent) -> Started;
    /// Claims the step as [`Reach::start`] does and lays its script ready on the node, to be started on a terminal there;
    /// nothing of it runs. Says where it lies. `Err`: it was not claimed, or not for certain, so it must not be started.
    fn lay(&mut self, _node: &str, _claim: &Claim, _sent: &Sent) -> Result<String, String> {
        Err("no terminal reaches it".into())
    }
    /// Waits up to `wait` for output or the end of the step. After a lost link it goes on with the output where it was.
    fn poll(&mut self, node: &str, claim: &Claim, wait: Duration) -> Progress;
    /// The truth about a claim, made final first (see [`Truth`]). Reconnects if it must.
    fn truth(&mut self, node: &str, claim: &Claim) -> Result<Truth, Unreachable>;
    /// Ends the step's process group: TERM, `grace`, KILL; then the truth.
    fn cancel(&mut self, node: &str, claim: &Claim, grace: Duration) -> Result<Truth, Unreachable>;
    /// The kept output of a step (head and tail), for `o` and for resume.
    fn output(&mut self, node: &str, claim: &Claim) -> Result<(Value, Value), Unreachable>;
    /// A sign of life of a node: what its SSH port says, in words. Asked from this machine, without logging in.
    fn alive(&mut self, node: &str, within: Duration) -> Option<String>;
    /// That, and looks that may show one, all side by side, those of one node, too; replies in the order of the asks.
    fn signs(
        &mut self,
        node: &str,
        asks: &[Ask],
        within: Duration,
    ) -> (Option<String>, Vec<Result<Reply, Unreachable>>) {
        (self.alive(node, within), self.look_all(asks))
    }
    /// These are vouched for: whichever of them cannot be had in a moment counts as one that cannot be reached.
    fn hurry(&mut self, _nodes: &[String], _within: Duration) {}
    /// One line for the node's syslog. Best effort.
    fn syslog(&mut self, node: &str, line: &str);
    /// A new session, for when the old one is stuck or a person wants a fresh try.
    fn forget(&mut self, node: &str);
}
