//! The catalogue: what a playbook can say in one word, and the plain shell it becomes.
//!
//! Why it exists: looks and changes that every site needs (services, addresses, files, mounts) are written once, with
//! their look, change, verification and undo, and judged by what commands print, never by their failing.
//!
//! Invariants: a look changes nothing and creates nothing; every text is POSIX sh under `set -eu` and `LC_ALL=C`; values
//! stand in it only as quoted [`Word`]s. Exit codes of a catalogue look: see [`crate::plan::Reading::Catalog`]
//! (0 yes, 1 no, 3 nothing to do here and why on stdout, 4 unsettled, all else could not look). A catalogue change that
//! ends with [`NO_RETRY`] failed for good. What `done` printed on stdout before the change is `$before` in `undo`.

use crate::shell::{Value, Word};
use schemars::JsonSchema;
use serde::Deserialize;

/// Exit code of a catalogue change that trying again cannot mend (an absent unit).
pub const NO_RETRY: i32 = 125;

/// A parameter: text with `{names}`; numbers and booleans may be written as such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

/// One or several parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts(pub Vec<Text>);

/// Fills `{names}` in parameters; the planner's scope stands behind it.
pub trait Fill {
    fn word(&self, text: &Text) -> Result<Word, String>;
    /// A list input in a list parameter gives one word an item.
    fn words(&self, texts: &Texts) -> Result<Vec<Word>, String>;
}

/// What an operation becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    pub done: Option<Value>,
    pub run: Value,
    pub verify: Option<Value>,
    pub undo: Undo,
    /// Paths that are mounted, unmounted, linked or replaced: hawiz's own state may not lie below them.
    pub paths: Vec<Word>,
    /// Addresses that move: no node may be known by one.
    pub addresses: Vec<Word>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Undo {
    Run(Value),
    None(String),
}

/// A look by name: `check.OP`, `done.OP`, `when.OP`, `verify.OP`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    Sh(String),
}

/// A change by name: `run.OP`, `undo.OP`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Sh(String),
}

impl Check {
    /// The catalogue's word for it.
    pub fn word(&self) -> &'static str {
        "sh"
    }
    /// Its shell text. `Sh` is the planner's own affair and never comes here.
    pub fn look(&self, _fill: &dyn Fill) -> Result<Value, String> {
        Err("not in the catalogue".into())
    }
}
impl Action {
    pub fn word(&self) -> &'static str {
        "sh"
    }
    pub fn recipe(&self, _fill: &dyn Fill) -> Result<Recipe, String> {
        Err("not in the catalogue".into())
    }
}
