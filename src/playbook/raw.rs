//! The tables of a playbook, key by key, as they may be written.
//!
//! Why it exists: this is the format's one list of keys; reader, "did you mean", and JSON Schema all come from it.
//! Invariant: what stands here has a type only; what goes with what is judged in `lower`, what names what in `whole`.

use super::read::{Dur, List, Many, Map, Read, Reader, Scalar, Value, Version, nearest};
use super::table::{table, words};
use super::{At, Given, InputKind, LookDef, OnFailure, Over, Stage, Step, UndoDef};
use crate::plan::TrueOn;
use crate::problem::did_you_mean;
use std::ops::Range;
use toml::de::DeValue;

table! {
    /// How a system of nodes is made active, inactive, looked at.
    struct RawPlaybook, "a playbook", astray procedure, rest procedures: List<Stage> {
        /// The version of this format: `format = 1`.
        must "format" format: At<Version>,
        /// What it is for; shown at the head of plan, run and report.
        must "title" title: String,
        /// Shown below the title.
        "about" about: String,
        /// Kinds of nodes; the first is what `target`, `peers` and `all` mean.
        "groups" groups: List<At<String>>,
        /// A failover so soon after another one needs a reason.
        "min-interval" min_interval: At<Dur>,
        /// Exported for every command on nodes; `PATH` is put in front of the node's own.
        "env" env: Map<At<Scalar>>,
        /// One value a run.
        "inputs" inputs: Map<RawInput>,
        /// One value a node, from the site's `vars`.
        "node-vars" node_vars: Map<RawNodeVar>,
        /// Shell functions that scripts may use.
        "functions" functions: Map<At<String>>,
    }
}

/// Every other top-level key is a procedure, if it looks like one.
fn procedure(out: &mut RawPlaybook, key: &str, at: &Range<usize>, value: Value<'_>, r: &mut Reader) -> bool {
    let known = did_you_mean(key, RawPlaybook::KEYS.iter().copied());
    match value.get_ref() {
        DeValue::Array(items) if items.iter().any(|v| matches!(v.get_ref(), DeValue::Table(_))) => {
            let stage_like = items.iter().any(|v| match v.get_ref() {
                DeValue::Table(t) => ["stage", "use", "step"].iter().any(|k| t.contains_key(*k)),
                _ => false,
            });
            if !stage_like && known.is_some() {
                r.wrong_maybe(at, format!("`{key}` is not a procedure: it has no stage"), known);
                return true;
            }
        }
        DeValue::Table(t) => {
            let hint = known.filter(|_| !t.contains_key("step"));
            r.wrong_maybe(at, format!("`{key}` is not a procedure (a procedure is written `[[{key}]]`)"), hint);
            return true;
        }
        _ => {
            out.meant.extend(r.unknown(at, key, "a playbook", RawPlaybook::KEYS));
            return true;
        }
    }
    r.procedure = key.to_string();
    if let Some(stages) = List::<Stage>::read(key, value, r) {
        out.procedures.push((At { value: key.to_string(), span: at.clone() }, stages));
    }
    true
}

table! {
    /// A value of the run.
    struct RawInput, "an input" {
        /// What it is.
        "kind" kind: At<InputKind>,
        /// How it is asked for.
        "prompt" prompt: String,
        /// Without one it must be given; `""`: it may be left out.
        "default" default: At<Given>,
        /// By another input's value: `default-for.INPUT = { VALUE = … }`.
        "default-for" default_for: Map<Map<At<Given>>>,
        /// The values of a choice.
        "of" of: List<At<Scalar>>,
    }
}

words!(InputKind, "InputKind" {
    "text" => InputKind::Text,
    "ip" => InputKind::Ip,
    "int" => InputKind::Int,
    "bool" => InputKind::Bool,
    "path" => InputKind::Path,
    "choice" => InputKind::Choice,
    "list" => InputKind::List,
    "secret" => InputKind::Secret,
});

table! {
    /// A value of each node.
    struct RawNodeVar, "a node variable" {
        /// How it is asked for.
        "prompt" prompt: String,
        /// May hold `{node}` and `{node.address}`.
        "default" default: At<Scalar>,
    }
}

/// `if.INPUT = ONE-OR-MANY`
pub(crate) type Conditions = Map<Many<At<Scalar>>>;

table! {
    /// A stage of a procedure; its keys stand before its first step.
    struct RawStage, "a stage", astray in_stage, one of ["stage", "use"] {
        /// Title.
        "stage" stage: At<String>,
        /// Part of ids; from the title if it is not said.
        "id" id: At<String>,
        /// A procedure whose stages are put here.
        "use" use_: At<String>,
        /// With `use`: who is `target` inside.
        "target" target: At<String>,
        /// Where the steps run that do not say it themselves.
        "on" on: Many<At<String>>,
        /// Who answers for it; printed as `[owner]`.
        "owner" owner: String,
        /// `open`, `ask`, `type` or `type TEXT`.
        "gate" gate: At<String>,
        /// Shown above the gate.
        "about" about: String,
        /// Kept when the input has one of these values.
        "if" if_: Conditions,
        /// Kept when the input has none of these values.
        "if-not" if_not: Conditions,
        /// Looked at before the gate; false: the stage is skipped.
        "when" when: At<LookDef>,
        /// Looked at before the gate; true: each of its steps is already so, and nobody is asked.
        "done" done: At<LookDef>,
        /// Its steps, in order.
        "step" step: List<Step>,
    }
}

fn in_stage(_: &mut RawStage, key: &str, at: &Range<usize>, _: Value<'_>, r: &mut Reader) -> bool {
    if RawStep::KEYS.contains(&key) {
        r.wrong_hint(at, format!("`{key}` belongs to a step"), "a step begins with `[[PROCEDURE.step]]`");
        return true;
    }
    false
}

table! {
    /// A step: exactly one of `check`, `run`, `manual`.
    struct RawStep, "a step", astray in_step, one of ["check", "run", "manual"] {
        /// Its title, as people read it: `name = "Start the services"`.
        must "name" name: At<String>,
        /// Part of ids; from the name if it is not said.
        "id" id: At<String>,
        /// Shown before the step.
        "about" about: String,
        /// A look that must be true: `check.OP`.
        "check" check: At<LookDef>,
        /// A change: `run.OP`.
        "run" run: At<crate::catalog::Action>,
        /// What a person does and confirms.
        "manual" manual: At<String>,
        /// Where: `target`, `peers`, `all`, `here`, `from`, `to`, a group, a role, a node, `one of X`.
        "on" on: Many<At<String>>,
        /// Loops, the first outermost.
        "each" each: Map<Over>,
        /// Kept when the input has one of these values.
        "if" if_: Conditions,
        /// Kept when the input has none of these values.
        "if-not" if_not: Conditions,
        /// Looked at when its turn comes; false: skipped.
        "when" when: At<LookDef>,
        /// True before: nothing to do; true after the change; false after an undo.
        "done" done: At<LookDef>,
        /// True after the change.
        "verify" verify: At<LookDef>,
        /// Look again until true, this long.
        "within" within: Dur,
        /// Look again this often.
        "every" every: Dur,
        /// Of one attempt of one command.
        "deadline" deadline: Dur,
        /// Attempts in all, and the pause between them.
        "retry" retry: RawRetry,
        /// Exit codes of `run.sh` that are not a failure.
        "exits" exits: List<At<i32>>,
        /// What happens when it fails.
        "on-failure" on_failure: At<OnFailure>,
        /// How it is undone, or why it need not be.
        "undo" undo: UndoDef,
        /// Why it cannot be undone: roll-back ends here.
        "no-return" no_return: At<String>,
        /// Names for the words of the first output line.
        "capture" capture: Many<At<String>>,
        /// On how many of its nodes a check is true.
        "true-on" true_on: At<TrueOn>,
        /// The node where it was true.
        "role" role: At<String>,
        /// Output must be the same on all its nodes.
        "same" same: bool,
        /// The command's standard input; the only place for a secret.
        "stdin" stdin: At<String>,
        /// `run.sh` gets the operator's terminal.
        "tty" tty: bool,
        /// Show the output though all is well.
        "show" show: bool,
        /// Every peer's proof is taken again right before this change.
        "exclusive" exclusive: bool,
        /// In a failover: looked at before the other node gives anything up, too.
        "early" early: bool,
        /// The earlier step, as STAGE/STEP, whose effect ends with this one.
        "reverses" reverses: At<String>,
    }
}

fn in_step(out: &mut RawStep, key: &str, at: &Range<usize>, _: Value<'_>, r: &mut Reader) -> bool {
    if RawStage::KEYS.contains(&key) {
        r.wrong_hint(at, format!("`{key}` belongs to the stage"), "stage keys stand before the first step");
        return true;
    }
    if let (None, Some(near)) = (nearest(key, RawStep::KEYS), nearest(key, RawStage::KEYS)) {
        out.meant.push(near);
        r.wrong_hint(
            at,
            format!("unknown key `{key}` in a step"),
            format!("did you mean `{near}`? it stands in the stage, before the first step"),
        );
        return true;
    }
    false
}

table! {
    /// Attempts in all, and the pause between them.
    struct RawRetry, "`retry`" {
        /// Attempts in all: `retry = { tries = 3 }`.
        must "tries" tries: At<u32>,
        /// The pause between two.
        "wait" wait: Dur,
    }
}

words!(OnFailure, "OnFailure" {
    "stop" => OnFailure::Stop,
    "ask" => OnFailure::Ask,
    "continue" => OnFailure::Continue,
});

words!(TrueOn, "TrueOn" {
    "all" => TrueOn::All,
    "one" => TrueOn::One,
    "none" => TrueOn::None,
    "any" => TrueOn::Any,
    "majority" => TrueOn::Majority,
});

impl Read for Over {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        match value.get_ref() {
            DeValue::Array(_) => {
                let span = value.span();
                let items = List::<At<Scalar>>::read(key, value, r)?.0;
                if items.is_empty() {
                    r.wrong(&span, format!("`{key}` loops over an empty list"));
                    return None;
                }
                Some(Over::Items(items.into_iter().map(At::from).collect()))
            }
            DeValue::String(_) => Some(Over::Named(At::read(key, value, r)?)),
            _ => {
                r.wants(key, "a list or the name of one", &value);
                None
            }
        }
    }
}
