//! From tables to the tree, and what goes with what inside one stage and one step.
//!
//! Why it exists: types say what a key may hold; this says which keys make sense together. Invariant: the tree is always
//! made, with stand-ins where something was wrong, so that `whole` can judge the rest; stand-ins never leave `parse`.

use super::inputs;
use super::names::{is_id, slug};
use super::raw::{Conditions, RawPlaybook, RawStage, RawStep};
use super::read::{Many, Map, Read, Reader, Slot, Value};
use super::whole;
use super::{At, Condition, FORMAT, LookDef, OnFailure, Playbook, Retry, Stage, Step, What};
use crate::catalog::{Action, Check};
use crate::plan::TrueOn;
use std::ops::Range;

pub(crate) fn at<T: Clone>(value: T, span: &Range<usize>) -> At<T> {
    At { value, span: span.clone() }
}

fn stand_in() -> LookDef {
    LookDef { not: false, check: Check::Sh(String::new()) }
}

pub(crate) fn conditions(slot: &mut Slot<Conditions>) -> Vec<Condition> {
    let entries = slot.take().unwrap_or_default().0;
    entries
        .into_iter()
        .map(|(input, values)| Condition { input, values: values.0.into_iter().map(At::from).collect() })
        .collect()
}

fn texts(slot: &mut Slot<Many<At<String>>>) -> Option<Vec<At<String>>> {
    slot.take().map(|m| m.0)
}

/// The id that is said, or that the title gives; told when there is none.
fn id(id: Option<&At<String>>, title: Option<&At<String>>, what: &str, r: &mut Reader) {
    match (id, title) {
        (Some(id), _) if !is_id(id) => {
            let hint = "an id has lower-case letters, digits, `-` and `_`, and at least one letter";
            r.wrong_hint(&id.span, format!("`{}` is not an id", id.value), hint);
        }
        (None, Some(title)) if title.trim().is_empty() => r.wrong(&title.span, format!("`{what}` is empty")),
        (None, Some(title)) if !slug(title).bytes().any(|b| b.is_ascii_lowercase()) => {
            let hint = "an id is made of letters from a to z: say one, `id = \"…\"`";
            r.wrong_hint(&title.span, format!("`{}` needs an `id`", title.value), hint);
        }
        _ => {}
    }
}

pub(crate) fn playbook(mut raw: RawPlaybook, r: &mut Reader) -> Playbook {
    if let Some(format) = raw.format.value.as_ref().filter(|f| f.value.0 != FORMAT) {
        r.wrong_hint(
            &format.span,
            format!("there is no format {}", format.value.0),
            format!("this hawiz reads format {FORMAT}"),
        );
    }
    let entries = |slot: &mut Slot<Map<At<String>>>| slot.take().unwrap_or_default().0;
    let playbook = Playbook {
        title: raw.title.take().unwrap_or_default(),
        about: raw.about.take().unwrap_or_default(),
        groups: raw.groups.take().map(|l| l.0).unwrap_or_default(),
        min_interval: raw.min_interval.take().map(|d| d.value.0),
        env: raw.env.take().unwrap_or_default().0.into_iter().map(|(k, v)| (k, v.into())).collect(),
        inputs: inputs::inputs(raw.inputs.take().unwrap_or_default().0, r),
        node_vars: inputs::node_vars(raw.node_vars.take().unwrap_or_default().0),
        functions: entries(&mut raw.functions),
        procedures: raw.procedures.into_iter().map(|(name, stages)| (name, stages.0)).collect(),
        warnings: Vec::new(),
    };
    whole::judge(&playbook, r);
    playbook
}

/// Lowered as soon as it is read: a table's slots are many times as big as what is in them.
impl Read for Stage {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        RawStage::read(key, value, r).map(|raw| stage(raw, r))
    }
}
impl Read for Step {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        RawStep::read(key, value, r).map(|raw| step(raw, r))
    }
}

fn stage(mut raw: RawStage, r: &mut Reader) -> Stage {
    let proc = r.procedure.clone();
    let used = raw.use_.given();
    if let (Some(_), Some(at)) = (&raw.stage.key, &raw.use_.key) {
        r.wrong_hint(
            at,
            "`stage` and `use` in one stage",
            "a stage has steps of its own, or takes those of another procedure",
        );
    } else if !used && !raw.stage.given() && !raw.meant.iter().any(|k| matches!(*k, "stage" | "use")) {
        r.missing(
            &raw.span,
            "`stage` is missing in a stage",
            "its title; or `use`, to take the stages of another procedure",
        );
    }
    if used {
        let foreign =
            [("step", &raw.step.key), ("gate", &raw.gate.key), ("owner", &raw.owner.key), ("about", &raw.about.key)];
        for (key, at) in foreign {
            if let Some(at) = at {
                r.wrong_hint(at, format!("`{key}` with `use`"), "the used stages bring their own");
            }
        }
    } else {
        if let Some(at) = &raw.target.key {
            r.wrong_hint(
                at,
                "`target` without `use`",
                "it says who is `target` in the stages that are used; for steps there is `on`",
            );
        }
        if !raw.step.given() && raw.stage.given() && !raw.meant.contains(&"step") {
            r.missing(&raw.span, "a stage without steps", format!("write `[[{proc}.step]]` below it"));
        }
    }
    id(raw.id.value.as_ref(), raw.stage.value.as_ref(), "stage", r);
    if let Some(gate) = &raw.gate.value {
        self::gate(&proc, gate, r);
    }
    let steps = raw.step.take().map(|l| l.0).unwrap_or_default();
    if let Some(gate) = &raw.gate.value
        && matches!(gate.as_str(), "open" | "ask")
        && steps.iter().any(|s| s.no_return.is_some())
    {
        let hint = "leave `gate` out, or write `type` or `type TEXT`";
        r.wrong_hint(&gate.span, format!("`gate = \"{}\"` above a step with `no-return`", gate.value), hint);
    }
    Stage {
        span: raw.span,
        stage: raw.stage.take(),
        id: raw.id.take(),
        use_: raw.use_.take(),
        target: raw.target.take(),
        on: texts(&mut raw.on),
        owner: raw.owner.take(),
        gate: raw.gate.take(),
        about: raw.about.take().unwrap_or_default(),
        if_: conditions(&mut raw.if_),
        if_not: conditions(&mut raw.if_not),
        when: raw.when.take(),
        done: raw.done.take(),
        steps,
    }
}

fn gate(proc: &str, gate: &At<String>, r: &mut Reader) {
    let typed = gate.strip_prefix("type ").map(str::trim);
    if !matches!(gate.as_str(), "open" | "ask" | "type") && typed.is_none_or(str::is_empty) {
        let hint = crate::problem::did_you_mean(gate, ["open", "ask", "type"])
            .unwrap_or_else(|| "one of `open`, `ask`, `type`, `type TEXT`".into());
        r.wrong_hint(&gate.span, format!("there is no gate `{}`", gate.value), hint);
    } else if proc == "failover" && gate.as_str() == "type" {
        let hint = "`failover` has no `target` to be typed: `gate = \"type {from}\"`";
        r.wrong_hint(&gate.span, "`gate = \"type\"` needs a TEXT in `failover`", hint);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Check,
    Run,
    Manual,
}

fn step(mut raw: RawStep, r: &mut Reader) -> Step {
    id(raw.id.value.as_ref(), raw.name.value.as_ref(), "name", r);
    let given: Vec<(Kind, &str, &Range<usize>)> = [
        (Kind::Check, "check", &raw.check.key),
        (Kind::Run, "run", &raw.run.key),
        (Kind::Manual, "manual", &raw.manual.key),
    ]
    .into_iter()
    .filter_map(|(kind, key, at)| at.as_ref().map(|at| (kind, key, at)))
    .collect();
    match given.as_slice() {
        [(kind, _, _)] => goes_with(*kind, &raw, r),
        [] if raw.meant.iter().any(|k| matches!(*k, "check" | "run" | "manual")) => {}
        [] => r.missing(&raw.span, "a step does nothing", "exactly one of `check`, `run`, `manual`"),
        [.., last] => {
            let keys = super::read::listed(given.iter().map(|(_, key, _)| *key));
            r.wrong_hint(
                last.2,
                format!("{keys} in one step"),
                "exactly one of `check`, `run`, `manual`: make two steps of it",
            );
        }
    }
    if let Some(at) = &raw.on_failure.value {
        match (r.procedure.as_str(), at.value) {
            ("status", OnFailure::Stop | OnFailure::Ask) => {
                r.wrong_hint(
                    &at.span,
                    "`status` always goes on",
                    "leave `on-failure` out: all is looked at, then shown",
                );
            }
            ("inactive", OnFailure::Ask | OnFailure::Continue) => {
                r.wrong_hint(
                    &at.span,
                    "nothing of `inactive` can be passed over",
                    "leave `on-failure` out: it is the proof that no two nodes are active",
                );
            }
            _ => {}
        }
    }
    if let Some(tries) = raw.retry.value.as_ref().and_then(|t| t.tries.value.as_ref())
        && tries.value == 0
    {
        r.wrong_hint(&tries.span, "`tries` is 0", "attempts in all: 1 is none but the first");
    }
    if raw.every.value.is_some_and(|d| d.0.is_zero()) {
        r.wrong(&raw.every.key.clone().unwrap_or_default(), "`every` is 0");
    }
    for (key, slot) in [("manual", &raw.manual), ("no-return", &raw.no_return)] {
        if let Some(text) = &slot.value
            && text.trim().is_empty()
        {
            r.wrong(&text.span, format!("`{key}` is empty"));
        }
    }
    let what = if let Some(look) = raw.check.take() {
        What::Check(look)
    } else if let Some(action) = raw.run.take() {
        What::Run(action)
    } else if let Some(text) = raw.manual.take() {
        What::Manual(text)
    } else if raw.run.given() {
        What::Run(at(Action::Sh(String::new()), &raw.span))
    } else if raw.manual.given() {
        What::Manual(at(String::new(), &raw.span))
    } else {
        What::Check(at(stand_in(), &raw.span))
    };
    Step {
        name: raw.name.take().unwrap_or_else(|| at(String::new(), &raw.span)),
        id: raw.id.take(),
        about: raw.about.take().unwrap_or_default(),
        what,
        on: texts(&mut raw.on),
        each: raw.each.take().unwrap_or_default().0,
        if_: conditions(&mut raw.if_),
        if_not: conditions(&mut raw.if_not),
        when: raw.when.take(),
        done: raw.done.take(),
        verify: raw.verify.take(),
        within: raw.within.take().map(|d| d.0),
        every: raw.every.take().map(|d| d.0),
        deadline: raw.deadline.take().map(|d| d.0),
        retry: raw
            .retry
            .take()
            .map(|mut t| Retry { tries: t.tries.take().map_or(1, |n| n.value), wait: t.wait.take().map(|d| d.0) }),
        exits: raw.exits.take().map(|l| l.0.into_iter().map(|n| n.value).collect()),
        on_failure: raw.on_failure.take().map(|at| at.value),
        undo: raw.undo.take(),
        no_return: raw.no_return.take(),
        capture: texts(&mut raw.capture).unwrap_or_default(),
        true_on: raw.true_on.take(),
        role: raw.role.take(),
        same: raw.same.take().unwrap_or(false),
        stdin: raw.stdin.take(),
        tty: raw.tty.take().unwrap_or(false),
        show: raw.show.take().unwrap_or(false),
        exclusive: raw.exclusive.take(),
        early: raw.early.take(),
        reverses: raw.reverses.take(),
        span: raw.span,
    }
}

/// Which keys make sense in which kind of step.
fn goes_with(kind: Kind, raw: &RawStep, r: &mut Reader) {
    let run_sh = matches!(raw.run.value.as_deref(), Some(Action::Sh(_)));
    let check_sh = matches!(raw.check.value.as_deref(), Some(LookDef { check: Check::Sh(_), .. }));
    // What could not be read is not known not to be a script.
    let may_run_sh = kind == Kind::Run && (run_sh || raw.run.value.is_none());
    let may_sh = may_run_sh || kind == Kind::Check && (check_sh || raw.check.value.is_none());
    let check = kind == Kind::Check;
    let tty = raw.tty.value == Some(true);
    let mut only = |key: &str, at: &Option<Range<usize>>, fits: bool, with: &str| {
        if let (Some(at), false) = (at, fits) {
            let kind = match kind {
                Kind::Check => "check",
                Kind::Run => "run",
                Kind::Manual => "manual",
            };
            r.wrong_hint(at, format!("`{key}` in a step with `{kind}`"), format!("`{key}` goes with {with}"));
        }
    };
    only("true-on", &raw.true_on.key, check, "`check` only");
    only("role", &raw.role.key, check, "`check` only");
    only("same", &raw.same.key, check, "`check` only");
    only("done", &raw.done.key, !check, "`run` and `manual`; a `check` is a look itself");
    only("verify", &raw.verify.key, !check, "`run` and `manual`; a `check` is a look itself");
    only("undo", &raw.undo.key, !check, "`run` and `manual`; a `check` changes nothing");
    only("no-return", &raw.no_return.key, !check, "`run` and `manual`; a `check` changes nothing");
    only("early", &raw.early.key, check, "`check` only");
    only("reverses", &raw.reverses.key, !check, "`run` and `manual`; a `check` changes nothing");
    only("exclusive", &raw.exclusive.key, !check, "`run` and `manual`; a `check` changes nothing");
    only("retry", &raw.retry.key, kind == Kind::Run, "`run`; a look is taken again with `within` and `every`");
    only("exits", &raw.exits.key, may_run_sh, "`run.sh` only");
    only("tty", &raw.tty.key, may_run_sh, "`run.sh` only");
    only("stdin", &raw.stdin.key, may_sh, "`run.sh` and `check.sh` only");
    only("show", &raw.show.key, kind != Kind::Manual, "`check` and `run`; a person shows what they like");

    if let (Some(_), Some(at)) = (&raw.undo.key, &raw.no_return.key) {
        r.wrong_hint(at, "`undo` and `no-return` in one step", "either it can be undone, or roll-back ends here");
    }
    let undo_meant = raw.meant.iter().any(|k| matches!(*k, "undo" | "no-return"));
    if run_sh && !raw.undo.given() && !raw.no_return.given() && !undo_meant {
        let hint = "say one: `undo.sh`, `undo.manual`, `undo.none = \"why\"`, or `no-return = \"why\"`";
        r.missing(&raw.span, "`run.sh` does not say how it is undone", hint);
    }
    let looks = raw.done.given() || raw.verify.given() || raw.meant.iter().any(|k| matches!(*k, "done" | "verify"));
    if let Some(at) = &raw.tty.key
        && tty
        && may_run_sh
    {
        if !looks {
            r.missing(
                at,
                "`tty` without `done` or `verify`",
                "its output is not seen: a look must tell whether it worked",
            );
        }
        if let Some(at) = &raw.stdin.key {
            r.wrong_hint(at, "`stdin` and `tty` in one step", "with `tty` the operator's keyboard is its input");
        }
        if let Some(at) = &raw.capture.key
            && !raw.done.given()
        {
            r.wrong_hint(
                at,
                "`capture` of a step with `tty`",
                "its output is not recorded; let `done` print the values",
            );
        }
    }
    if let Some(at) = &raw.role.key {
        match raw.true_on.value.as_deref() {
            Some(TrueOn::One) => {}
            None if raw.true_on.given() || raw.meant.contains(&"true-on") => {}
            _ => {
                r.wrong_hint(at, "`role` without `true-on = \"one\"`", "a role is the one node where the check is true")
            }
        }
    }
    for (key, at) in [("within", &raw.within.key), ("every", &raw.every.key)] {
        if let (Some(at), false) = (at, looks || check || kind == Kind::Run && !run_sh) {
            r.wrong_hint(at, format!("`{key}` without `done` or `verify`"), "there is no look to be taken again");
        }
    }
    if let (Some(at), true, false) = (&raw.every.key, check, raw.within.given()) {
        r.wrong_hint(
            at,
            "`every` without `within`",
            "a check is looked at once, unless `within` says how long to wait",
        );
    }
    if let Some(exits) = &raw.exits.value {
        if exits.0.is_empty() {
            r.wrong(&raw.exits.key.clone().unwrap_or_default(), "`exits` is an empty list");
        }
        for code in exits.0.iter().filter(|c| !(0..=255).contains(&c.value)) {
            r.wrong(&code.span, format!("there is no exit code {}", code.value));
        }
    }
}
