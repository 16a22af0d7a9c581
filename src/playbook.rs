//! The playbook as written: TOML in, a tree with places out. Nothing is resolved here.
//!
//! Why it exists: a person's mistakes must be shown where they were made, all at once. Invariant: whatever is read keeps
//! its span, and nothing that is not understood is passed over.

use crate::catalog::{Action, Check, Text};
use std::ops::{Deref, Range};

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
    pub env: Entries<At<String>>,
    pub inputs: Entries<Input>,
    pub node_vars: Entries<NodeVar>,
    pub functions: Entries<At<String>>,
    /// In order of first appearance; all `[[PROC]]` of one name together.
    pub procedures: Entries<Vec<Stage>>,
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
}
#[allow(dead_code)]
type _Text = Text;
