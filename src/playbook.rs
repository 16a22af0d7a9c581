//! The playbook as written: TOML in, a tree with places out. Nothing is resolved here.
//!
//! Why it exists: a person's mistakes must be shown where they were made, all at once. Invariant: whatever is read keeps
//! its span, and nothing that is not understood is passed over.

mod inputs;
pub(crate) mod lint;
mod look;
mod lower;
pub(crate) mod names;
pub(crate) mod raw;
pub(crate) mod read;
mod schema;
mod syntax;
pub(crate) mod table;
mod translation;
mod whole;

pub use names::{KNOWN, slug};
pub use translation::{StageWords, StepWords, Translation};

use crate::catalog::{Action, Check};
use crate::problem::{Problem, Problems};
use read::{Read, Reader};
use std::ops::{Deref, Range};

/// The format this hawiz reads.
pub const FORMAT: i64 = 1;

/// A value with its place in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct At<T> {
    pub value: T,
    pub span: Range<usize>,
}
impl<T> Deref for At<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// A table whose order and key places are kept.
pub type Entries<T> = Vec<(At<String>, T)>;

#[derive(Clone, Debug, Default)]
pub struct Playbook {
    pub title: String,
    pub about: String,
    pub groups: Vec<At<String>>,
    /// A failover so soon after another one needs a reason.
    pub min_interval: Option<std::time::Duration>,
    pub env: Entries<At<String>>,
    pub inputs: Entries<Input>,
    pub node_vars: Entries<NodeVar>,
    pub functions: Entries<At<String>>,
    /// In order of first appearance; all `[[PROC]]` of one name together.
    pub procedures: Entries<Vec<Stage>>,
    /// What is allowed, but seldom meant (FORMAT, trap 5). Same places as problems.
    pub warnings: Vec<Problem>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InputKind {
    #[default]
    Text,
    Ip,
    Int,
    Bool,
    Path,
    Choice,
    List,
    Secret,
}

#[derive(Clone, Debug)]
pub struct Input {
    pub kind: InputKind,
    pub prompt: String,
    pub default: Option<At<Given>>,
    /// `default-for.INPUT = { VALUE = … }`
    pub default_for: Option<(At<String>, Entries<At<Given>>)>,
    pub of: Vec<String>,
}

/// A scalar or a list, as an input's value is written (numbers and booleans already as text).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    One(String),
    Many(Vec<String>),
}

#[derive(Clone, Debug)]
pub struct NodeVar {
    pub prompt: String,
    pub default: Option<At<String>>,
}

#[derive(Clone, Debug)]
pub struct Stage {
    /// Of the `[[PROC]]` header or the first key.
    pub span: Range<usize>,
    pub stage: Option<At<String>>,
    pub id: Option<At<String>>,
    pub use_: Option<At<String>>,
    pub target: Option<At<String>>,
    pub on: Option<Vec<At<String>>>,
    pub owner: Option<String>,
    pub gate: Option<At<String>>,
    pub about: String,
    pub if_: Vec<Condition>,
    pub if_not: Vec<Condition>,
    pub when: Option<At<LookDef>>,
    pub done: Option<At<LookDef>>,
    pub steps: Vec<Step>,
}

/// `if.INPUT = ONE-OR-MANY`
#[derive(Clone, Debug)]
pub struct Condition {
    pub input: At<String>,
    pub values: Vec<At<String>>,
}

/// A look as written: an operation, perhaps under `not`.
#[derive(Clone, Debug)]
pub struct LookDef {
    pub not: bool,
    pub check: Check,
}

#[derive(Clone, Debug)]
pub enum What {
    Check(At<LookDef>),
    Run(At<Action>),
    Manual(At<String>),
}

#[derive(Clone, Debug)]
pub enum UndoDef {
    Run(At<Action>),
    Manual(At<String>),
    None(At<String>),
}

/// What a loop runs over.
#[derive(Clone, Debug)]
pub enum Over {
    /// Written out; items may hold `{names}`.
    Items(Vec<At<String>>),
    /// A list input, role, group, `peers`, `all`, `others`, or `reverse of X`.
    Named(At<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    Stop,
    Ask,
    Continue,
}

#[derive(Clone, Debug)]
pub struct Retry {
    pub tries: u32,
    pub wait: Option<std::time::Duration>,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub span: Range<usize>,
    pub name: At<String>,
    pub id: Option<At<String>>,
    pub about: String,
    pub what: What,
    pub on: Option<Vec<At<String>>>,
    /// Loop names (several words: an item's words go to each, the last takes the rest) and what they run over.
    pub each: Vec<(At<String>, Over)>,
    pub if_: Vec<Condition>,
    pub if_not: Vec<Condition>,
    pub when: Option<At<LookDef>>,
    pub done: Option<At<LookDef>>,
    pub verify: Option<At<LookDef>>,
    pub within: Option<std::time::Duration>,
    pub every: Option<std::time::Duration>,
    pub deadline: Option<std::time::Duration>,
    pub retry: Option<Retry>,
    pub exits: Option<Vec<i32>>,
    pub on_failure: Option<OnFailure>,
    pub undo: Option<UndoDef>,
    pub no_return: Option<At<String>>,
    pub capture: Vec<At<String>>,
    pub true_on: Option<At<crate::plan::TrueOn>>,
    pub role: Option<At<String>>,
    pub same: bool,
    pub stdin: Option<At<String>>,
    pub tty: bool,
    pub show: bool,
    pub exclusive: Option<bool>,
    pub early: Option<bool>,
    /// STAGE/STEP of the same procedure; see [`crate::plan::Step::reverses`].
    pub reverses: Option<At<String>>,
}

impl Step {
    /// `id`, or what the name gives.
    pub fn ident(&self) -> String {
        self.id.as_ref().map_or_else(|| slug(&self.name), |id| id.value.clone())
    }
}

impl Stage {
    /// `id`, or what the title gives; `None` with `use` and no `id`.
    pub fn ident(&self) -> Option<String> {
        self.id.as_ref().map(|id| id.value.clone()).or_else(|| self.stage.as_ref().map(|title| slug(title)))
    }
}

impl Playbook {
    /// Reads one playbook and tells all its mistakes. `Some` only when there were none; with the file's index for
    /// problems that are found later.
    pub fn parse(name: &str, text: &str, problems: &mut Problems) -> Option<(Playbook, usize)> {
        let (mut r, value) = Reader::open(name, text, problems);
        let file = r.file;
        // A newer format may have keys that nobody here knows: nothing else is judged.
        let newer = value
            .get_ref()
            .get("format")
            .and_then(|v| Some((v.get_ref().as_integer()?.as_str().parse().ok()?, v.span())));
        if let Some((format, span)) = newer.filter(|(format, _): &(i64, _)| *format > FORMAT) {
            let hint = format!("this one reads format {FORMAT}");
            r.wrong_hint(&span, format!("format {format} needs a newer hawiz"), hint);
            r.close(problems);
            return None;
        }
        let playbook = raw::RawPlaybook::read("playbook", value, &mut r).map(|raw| lower::playbook(raw, &mut r));
        let warnings = std::mem::take(&mut r.warnings);
        let sound = r.close(problems);
        playbook.filter(|_| sound).map(|playbook| (Playbook { warnings, ..playbook }, file))
    }
    /// The stages of a procedure.
    pub fn procedure(&self, name: &str) -> Option<&[Stage]> {
        self.procedures.iter().find(|(n, _)| n.value == name).map(|(_, stages)| stages.as_slice())
    }
    pub fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.iter().find(|(n, _)| n.value == name).map(|(_, input)| input)
    }
}
