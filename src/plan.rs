//! The Plan: plain data in which every command is already shell text.
//!
//! Why it exists: a dry run prints a Plan, the engine walks a Plan, the journal keeps a Plan; there is no second way to
//! know what would happen. Resume runs the journal's Plan, so nothing here may depend on today's files.
//!
//! Invariant: a Plan that exists is runnable: every name, id, reference and script in it was checked when it was made
//! ([`crate::resolve`]), and its digest covers all that a node will see.

mod failover;
mod step;

pub use failover::{Early, Failover, Fence, what};

use crate::shell::{Command, Value, Word};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Format of `plan.json`. A newer one is refused, older ones are read.
pub const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub format: u32,
    /// The hawiz that made it.
    pub hawiz: String,
    /// `activate`, `deactivate`, `setup`, `status`, or the name behind `run`.
    pub procedure: String,
    pub title: String,
    #[serde(default)]
    pub about: String,
    /// Files that were read: (what, path as given, digest).
    pub sources: Vec<Source>,
    /// The node the procedure is about.
    pub target: Option<String>,
    /// The node that is this machine, if any.
    pub here: Option<String>,
    /// All nodes of the site, in site order.
    pub nodes: Vec<Node>,
    /// `[env]`: exported for every command; `PATH` is put in front of the node's own.
    pub env: Vec<(String, Value)>,
    /// Functions that its commands call, name and body text: the catalogue's, then those of `[functions]`.
    pub functions: Vec<(String, Value)>,
    /// Inputs by name, secrets left out. For the reader and for resume's comparison with `--set`.
    pub inputs: Vec<(String, Value)>,
    /// Secrets that steps of this plan need, by name. Never their values.
    pub secrets: Vec<Secret>,
    /// Run-time values the plan will learn: key, and the step that tells.
    pub captures: Vec<(String, String)>,
    /// What `{all}` means: the nodes of the first group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub all: Vec<String>,
    /// The system has `inactive`: at most one node may be active.
    pub exclusive: bool,
    /// It makes its target active: the proof is taken before the first change.
    pub activates: bool,
    /// The proof: for each peer of an exclusive system, the checks of `inactive` there.
    pub proof: Vec<Proof>,
    pub stages: Vec<Stage>,
    /// `deactivate`: the checks of `inactive` on the target, taken at the end.
    #[serde(default)]
    pub closing: Option<Proof>,
    /// `activate`: the same, taken when a roll-back has undone it.
    #[serde(default)]
    pub undone: Option<Proof>,
    /// Exclusive systems: the gate that `activate` asks before it gives a node what only one may have. Asked, too, when a
    /// roll-back makes a node active again; where there is none, the node's name is to be typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reactivation: Option<Gate>,
    /// `failover`: who gives up and who takes over; `target` is then the node that takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
    /// Not of an exclusive system: nodes that a person vouches for as off; they are in no set and count in a majority.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub off: Vec<String>,
    /// Nodes whose power it cuts, and which steps show that it is off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fences: Vec<Fence>,
    /// Looks from the node that becomes active; one that says *no* hears somebody else on an address that is to move to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moving: Vec<Look>,
    /// The playbook's own signs of life of each other node, looked for from elsewhere; one look that is true is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alive: Vec<Proof>,
    /// Paths that it mounts, unmounts, links or copies: hawiz's own state may not lie below them.
    #[serde(default)]
    pub paths: Vec<Value>,
    /// Addresses that it moves: no node may be known by one.
    #[serde(default)]
    pub addresses: Vec<Value>,
    /// Covers everything above that a node will see.
    pub digest: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub what: String,
    pub path: String,
    pub digest: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub name: String,
    pub how: How,
    #[serde(default)]
    pub login: Login,
    #[serde(default)]
    pub address: Option<String>,
    #[serde(default)]
    pub become_root: Option<String>,
    /// Where the node keeps claims, lock and identity; `None` = `/var/lib/hawiz`.
    #[serde(default)]
    pub state: Option<String>,
    #[serde(default)]
    pub group: Option<String>,
    #[serde(default)]
    pub vars: Vec<(String, Value)>,
}

/// How a byte stream to the node's `sh` is opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    Local,
    Via(Vec<String>),
    /// SSH to the node's `address`, as its `login` says.
    Ssh,
}

impl Node {
    /// What the site says of it by this name: a variable, else its address.
    pub fn var(&self, name: &str) -> Option<Value> {
        let set = self.vars.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        set.or_else(|| self.address.as_deref().filter(|_| name == "address").map(Value::from))
    }
}

/// What the site file says of an SSH login; what is `None` the user's ssh_config decides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Login {
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub port: Option<u16>,
    /// Key file; relative ones are below the folder of the site file.
    #[serde(default)]
    pub identity: Option<String>,
    /// Host to go through, as in `ssh -J`: `user@host:port`, several with commas.
    #[serde(default)]
    pub jump: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Secret {
    pub name: String,
    pub prompt: String,
    /// The site's command for it, if any.
    #[serde(default)]
    pub argv: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    pub node: String,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// `PROC/ID`: the gate's id.
    pub id: String,
    pub title: String,
    #[serde(default)]
    pub about: String,
    #[serde(default)]
    pub owner: Option<String>,
    pub gate: Gate,
    /// Looked at before the gate; false: the whole stage is skipped, nobody asked.
    #[serde(default)]
    pub when: Option<Look>,
    /// The node on which `when` and `done` are looked at.
    #[serde(default)]
    pub when_on: Option<Place>,
    /// Looked at after `when`; true: each of its steps is already so, nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Look>,
    /// `failover`: the node that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    pub steps: Vec<Step>,
    /// Covers the commands of this stage; an answers file names it.
    pub digest: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    Open,
    Ask,
    /// The word to type.
    Type(String),
}

/// Where a step runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    Node(String),
    /// This machine, as the person who runs hawiz, no `become`.
    Here,
    /// A role found at run time; the key under which the run keeps the node's name.
    Role(String),
    /// The first of these that can be reached; chosen once a run, kept under the key.
    OneOf {
        key: String,
        nodes: Vec<String>,
    },
}

/// One step on one node (a check with several nodes is one step with several looks).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// `PROC/STAGE/STEP`.
    pub id: String,
    /// `…@NODE[loop=value]`: unique in the plan.
    pub instance: String,
    /// Loops' values, for folding and for the eye.
    #[serde(default)]
    pub items: Vec<(String, Value)>,
    pub title: Word,
    #[serde(default)]
    pub about: String,
    pub place: Place,
    pub what: What,
    /// At the step's turn: false = skipped.
    #[serde(default)]
    pub when: Option<Look>,
    /// Look again until true, this long, this often.
    pub within: Duration,
    pub every: Duration,
    /// One attempt of one command; `None` = none.
    pub deadline: Option<Duration>,
    pub look_deadline: Duration,
    pub tries: u32,
    pub wait: Duration,
    pub on_failure: OnFailure,
    /// Names and keys under which words of the first output line are kept.
    #[serde(default)]
    pub capture: Vec<(String, String)>,
    #[serde(default)]
    pub show: bool,
    /// Every peer's proof is taken again right before this change.
    #[serde(default)]
    pub exclusive: bool,
    /// Whether it may be looked at before the source of a failover gives anything up; `None`: as its kind says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early: Option<bool>,
    /// Id of an earlier step whose effect ends with this one: once this has begun, nobody expects the other to be so still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverses: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    Stop,
    Ask,
    Continue,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    Check(Check),
    Change(Box<Change>),
    Manual(Box<Manual>),
}

/// A look that must be true.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// One a node; more than one only with `true_on`. The places agree with the step's when there is one.
    pub looks: Vec<(Place, Look)>,
    pub true_on: TrueOn,
    /// The node where it was true becomes this role.
    #[serde(default)]
    pub role: Option<String>,
    /// Output must be the same on all its nodes.
    #[serde(default)]
    pub same: bool,
    /// Nodes that are not asked and count all the same: those that an unplanned failover has lost.
    #[serde(default, skip_serializing_if = "is_none_at_all")]
    pub lost: usize,
}

fn is_none_at_all(n: &usize) -> bool {
    *n == 0
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrueOn {
    All,
    One,
    None,
    Any,
    Majority,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// True before = already; must be true after; must be false after an undo.
    #[serde(default)]
    pub done: Option<Look>,
    pub run: Command,
    /// Each must be true after the change, besides `done`.
    #[serde(default)]
    pub verify: Vec<Look>,
    pub undo: Undo,
    /// Exit codes that are not a failure.
    pub exits: Vec<i32>,
    /// The command gets the operator's terminal.
    #[serde(default)]
    pub tty: bool,
    /// The catalogue's word (`service-start`), or `sh`.
    pub kind: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manual {
    pub text: Word,
    #[serde(default)]
    pub done: Option<Look>,
    #[serde(default)]
    pub verify: Option<Look>,
    pub undo: Undo,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undo {
    /// `look`: what must be true after it, when there is no `done` that must be false.
    Run(Command),
    Manual(Word),
    /// Why nothing needs undoing.
    None(String),
    /// Why it cannot be undone: roll-back ends here.
    NoReturn(String),
}

/// A look: text, and how its exit code is to be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    pub command: Command,
    /// The opposite is wanted; can't tell stays can't tell.
    #[serde(default)]
    pub not: bool,
    pub reading: Reading,
    /// The catalogue's word (`ip-present`), or `sh`.
    pub kind: String,
}

/// How an exit code becomes one of the four answers (DESIGN: looks have four answers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// A playbook's own text: 0 yes, 1–125 no, else could not look. Under `not` only 1 is no.
    Script,
    /// The catalogue's text: 0 yes, 1 no, 3 yes because there is nothing to do (an absent unit), 4 unsettled,
    /// all else could not look.
    Catalog,
}

/// What a look answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Yes,
    No,
    /// In between (activating, tentative): waited for.
    Unsettled,
    /// Tool missing, deadline, signal, text not understood. Never *no*.
    CouldNotLook,
}

impl Look {
    /// The answer to "is it as wanted?", from the command's exit code (`None`: killed, lost, deadline).
    pub fn read(&self, code: Option<i32>) -> Answer {
        let raw = match (self.reading, code) {
            (_, Some(0)) => Answer::Yes,
            (Reading::Catalog, Some(3)) => Answer::Yes,
            (Reading::Catalog, Some(1)) => Answer::No,
            (Reading::Catalog, Some(4)) => Answer::Unsettled,
            (Reading::Script, Some(1)) => Answer::No,
            (Reading::Script, Some(2..=125)) if !self.not => Answer::No,
            _ => Answer::CouldNotLook,
        };
        match (self.not, raw) {
            (true, Answer::Yes) => Answer::No,
            (true, Answer::No) => Answer::Yes,
            (_, other) => other,
        }
    }
}

impl Check {
    /// What the answers of its looks say together. A node that cannot be looked at may be the second holder: for *all*,
    /// *one* and *none* that leaves it open; for *any* and *majority* it is not true there. `answers` may be short of
    /// those that could not even be asked.
    pub fn sum(&self, answers: &[Answer]) -> Answer {
        let count = |a: Answer| answers.iter().filter(|x| **x == a).count();
        let (yes, no, all) = (count(Answer::Yes), count(Answer::No), self.looks.len().max(answers.len()));
        let sure = |yes: bool| if yes { Answer::Yes } else { Answer::No };
        let open = if count(Answer::Unsettled) > 0 { Answer::Unsettled } else { Answer::CouldNotLook };
        match self.true_on {
            TrueOn::All if no > 0 => Answer::No,
            TrueOn::None if yes > 0 => Answer::No,
            TrueOn::One if yes > 1 => Answer::No,
            TrueOn::All | TrueOn::None | TrueOn::One if yes + no < all => open,
            TrueOn::All | TrueOn::None => Answer::Yes,
            TrueOn::One => sure(yes == 1),
            TrueOn::Any => sure(yes > 0),
            TrueOn::Majority => sure(yes * 2 > all + self.lost),
        }
    }
}

impl Plan {
    /// What the system's register is kept under: the playbook's name. `None`: any number of its nodes may be active.
    pub fn system(&self) -> Option<String> {
        let playbook = self.sources.iter().find(|s| s.what == "playbook").filter(|_| self.exclusive)?;
        let name = playbook.path.rsplit('/').next().unwrap_or_default();
        let name = name.split(['.', ' ']).next().unwrap_or_default();
        let safe = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        Some(name.chars().filter(|c| safe(*c)).collect()).filter(|name: &String| !name.is_empty())
    }
    /// The nodes of `all` and of `peers`, in the site's order; what an unplanned failover has lost is in neither.
    pub fn members(&self, set: &str) -> impl Iterator<Item = &Node> {
        let wanted = move |n: &&Node| set == "all" || Some(n.name.as_str()) != self.target.as_deref();
        self.nodes.iter().filter(wanted).filter(|n| self.lost() != Some(&n.name))
    }
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|n| n.name == name)
    }
    /// Whether a program there can be given the operator's terminal. Behind `via` there is only a shell's stdin.
    pub fn lends(&self, node: &str) -> bool {
        node == "here" || self.node(node).is_some_and(|n| !matches!(n.how, How::Via(_)))
    }
    /// All steps that an engine may take, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.stages.iter().flat_map(|s| &s.steps)
    }
    /// The nodes that its steps name, and behind them those of its proof; what is found or chosen at run time is not among
    /// them.
    pub fn needs(&self, proofs: bool) -> Vec<String> {
        let mut nodes: Vec<String> = Vec::new();
        let mut add = |place: &Place| {
            let node = match place {
                Place::Node(node) => node.as_str(),
                Place::Here => "here",
                Place::Role(_) | Place::OneOf { .. } => return,
            };
            if !nodes.iter().any(|n| n == node) {
                nodes.push(node.to_string());
            }
        };
        self.stages.iter().filter_map(|s| s.when_on.as_ref()).for_each(&mut add);
        let lost = self.lost();
        let proofs = self.proof.iter().filter(|p| proofs && lost != Some(&p.node));
        let roles = self.roles();
        let looked = self.closing.iter().chain(proofs).chain(roles).flat_map(|p| &p.steps);
        for step in self.steps().chain(looked) {
            add(&step.place);
            if let What::Check(c) = &step.what {
                c.looks.iter().for_each(|(place, _)| add(place));
            }
        }
        nodes
    }
    /// Every command that may be sent or shown.
    pub fn for_commands<'a>(&'a self, mut each: impl FnMut(&'a Command)) {
        let proofs =
            self.proof.iter().chain(&self.closing).chain(&self.undone).chain(&self.alive).flat_map(|p| &p.steps);
        for look in self.stages.iter().flat_map(Stage::asked).map(|(look, ..)| look).chain(&self.moving) {
            each(&look.command);
        }
        for step in self.steps().chain(proofs) {
            step.for_commands(&mut each);
        }
    }
}
