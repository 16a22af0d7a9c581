//! What names what: judged over the whole playbook.
//!
//! Why it exists: a name that nothing knows is a failover that stops in the middle. Invariant: only what this file alone
//! decides is told here; nodes are the site's, and scripts and `{names}` in texts the planner's.

use super::inputs;
use super::names::{self, KNOWN, ON};
use super::read::{Reader, listed};
use super::{At, Condition, Input, InputKind, Over, Playbook, Stage, Step, What};
use crate::problem::did_you_mean;
use std::collections::{HashMap, HashSet};

/// All that has a name in the playbook.
struct Names<'a> {
    inputs: HashMap<&'a str, &'a Input>,
    groups: HashSet<&'a str>,
    roles: HashSet<&'a str>,
    captures: HashSet<&'a str>,
    procedures: HashMap<&'a str, &'a [Stage]>,
    /// Procedures that `failover` is made of: they know `from` and `to`.
    failover: HashSet<&'a str>,
}

fn steps(playbook: &Playbook) -> impl Iterator<Item = &Step> {
    playbook.procedures.iter().flat_map(|(_, stages)| stages).flat_map(|stage| &stage.steps)
}

pub(crate) fn judge(playbook: &Playbook, r: &mut Reader) {
    // Where TOML itself is broken, a name may be unknown only because its line could not be read.
    if r.broken() {
        return;
    }
    let names = Names {
        inputs: playbook.inputs.iter().map(|(n, i)| (n.as_str(), i)).collect(),
        groups: playbook.groups.iter().map(|g| g.as_str()).collect(),
        roles: steps(playbook).filter_map(|s| s.role.as_ref()).map(|n| n.as_str()).collect(),
        captures: steps(playbook).flat_map(|s| &s.capture).map(|n| n.as_str()).collect(),
        procedures: playbook.procedures.iter().map(|(n, s)| (n.as_str(), s.as_slice())).collect(),
        failover: closure(playbook, "failover"),
    };
    name_space(playbook, r);
    tables(playbook, r);
    for (proc, stages) in &playbook.procedures {
        procedure(proc, r);
        twice(stages.iter().filter_map(|s| Some((s.ident()?, s.id.as_ref().or(s.stage.as_ref())?))), "stages", r);
        for stage in stages {
            self::stage(proc, stage, &names, r);
        }
        known(proc, stages, &names, r);
    }
}

/// A procedure and all that it uses, directly or not.
fn closure<'a>(playbook: &'a Playbook, from: &'a str) -> HashSet<&'a str> {
    let mut found = HashSet::from([from]);
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        for used in playbook.procedure(name).into_iter().flatten().filter_map(|s| s.use_.as_ref()) {
            if found.insert(used.as_str()) {
                open.push(used.as_str());
            }
        }
    }
    found
}

/// One name means one thing.
fn name_space(playbook: &Playbook, r: &mut Reader) {
    let mut all: Vec<(&'static str, &str, std::ops::Range<usize>)> = Vec::new();
    let mut add = |kind, at: &'_ At<String>, name| all.push((kind, name, at.span.clone()));
    playbook.inputs.iter().for_each(|(n, _)| add("an input", n, n.as_str()));
    playbook.node_vars.iter().for_each(|(n, _)| add("a node variable", n, n.as_str()));
    playbook.functions.iter().for_each(|(n, _)| add("a function", n, n.as_str()));
    for step in steps(playbook) {
        step.capture.iter().for_each(|n| add("a captured value", n, n.as_str()));
        step.role.iter().for_each(|n| add("a role", n, n.as_str()));
        for (n, _) in &step.each {
            n.split_whitespace().for_each(|word| add("a loop", n, word));
        }
    }
    let mut first: HashMap<&str, &'static str> = HashMap::new();
    let mut told: HashSet<(&'static str, &str)> = HashSet::new();
    for (kind, name, span) in &all {
        if let Some((message, hint)) = names::against(name) {
            r.wrong_hint(
                span,
                format!("{message} ({})", kind.trim_start_matches("a ").trim_start_matches("an ")),
                hint,
            );
            continue;
        }
        let is = first.entry(name).or_insert(kind);
        if is != kind && told.insert((kind, name)) {
            let hint = "one name means one thing in a playbook; choose another";
            r.wrong_hint(span, format!("`{name}` is {is} already, and {kind} here"), hint);
        }
    }
}

/// Names of the shell's own that a function cannot have.
const SHELL: &[&str] = &[
    "if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "while", "until", "for", "in", "break",
    "continue", "eval", "exec", "exit", "export", "readonly", "return", "set", "shift", "times", "trap", "unset",
];

/// Keys of `[env]`, `groups`, `[functions]`.
fn tables(playbook: &Playbook, r: &mut Reader) {
    for (name, _) in playbook.env.iter().filter(|(n, _)| !names::is_env(n)) {
        r.wrong_hint(&name.span, format!("`{}` is not the name of a variable", name.value), "letters, digits and `_`");
    }
    for (name, text) in &playbook.functions {
        if SHELL.contains(&name.as_str()) {
            r.wrong_hint(
                &name.span,
                format!("`{}` is a word of the shell", name.value),
                "choose another name for the function",
            );
        }
        if text.trim().is_empty() {
            r.wrong(&text.span, format!("the function `{}` is empty", name.value));
        }
    }
    for (i, group) in playbook.groups.iter().enumerate() {
        if ON.contains(&group.as_str()) {
            let hint = format!("`on = \"{}\"` would mean two things; choose another name", group.value);
            r.wrong_hint(&group.span, format!("a group cannot be called `{}`", group.value), hint);
        } else if !names::is_id(group) {
            let hint = "lower-case letters, digits, `-` and `_`, and at least one letter";
            r.wrong_hint(&group.span, format!("`{}` is not the name of a group", group.value), hint);
        } else if playbook.groups[..i].iter().any(|g| g.value == group.value) {
            r.wrong(&group.span, format!("the group `{}` stands twice", group.value));
        }
    }
    let mut told = HashSet::new();
    for role in steps(playbook).filter_map(|s| s.role.as_ref()) {
        if playbook.groups.iter().any(|g| g.value == role.value) && told.insert(role.as_str()) {
            let hint = format!("`on = \"{}\"` would mean two things; choose another name", role.value);
            r.wrong_hint(&role.span, format!("the role `{}` has the name of a group", role.value), hint);
        }
    }
}

/// The name of a procedure.
fn procedure(name: &At<String>, r: &mut Reader) {
    if KNOWN.contains(&name.as_str()) {
        return;
    }
    let near = did_you_mean(name, KNOWN.iter().copied());
    if !names::is_id(name) {
        let hint = near.unwrap_or_else(|| "lower-case letters, digits, `-` and `_`".into());
        r.wrong_hint(&name.span, format!("`{}` is not the name of a procedure", name.value), hint);
    } else if let Some(hint) = near {
        r.warn(&name.span, format!("`{}` is a procedure of your own, run with `hawiz run {0}`", name.value), hint);
    }
}

/// The same id twice in one place.
fn twice<'a>(ids: impl Iterator<Item = (String, &'a At<String>)>, what: &str, r: &mut Reader) {
    let mut seen = HashSet::new();
    for (id, at) in ids.filter(|(id, _)| !id.is_empty()) {
        if let Some(id) = seen.replace(id) {
            r.wrong_hint(&at.span, format!("two {what} have the id `{id}`"), "say an `id` of its own for one of them");
        }
    }
}

fn stage(proc: &At<String>, stage: &Stage, names: &Names<'_>, r: &mut Reader) {
    if let Some(used) = &stage.use_ {
        match names.procedures.get(used.as_str()) {
            // The site's fence agents stand in for it.
            None if used.as_str() == "fence" => {}
            None => {
                let hint = did_you_mean(used, names.procedures.keys().copied());
                r.wrong_maybe(&used.span, format!("there is no procedure `{}`", used.value), hint);
            }
            Some(_) if reaches(used, proc, names) => {
                r.wrong_hint(&used.span, format!("`{}` uses itself", proc.value), "no plan would ever end");
            }
            Some(_) => {}
        }
    }
    if let Some(target) = &stage.target
        && (matches!(target.as_str(), "all" | "peers" | "others" | "here")
            || target.trim().contains(char::is_whitespace))
    {
        let hint = "a role, `from` or `to`: one node";
        r.wrong_hint(&target.span, format!("`{}` is not one node", target.value), hint);
    }
    for place in stage.on.iter().flatten().chain(&stage.target) {
        self::place(proc, place, names, r);
    }
    conditions(stage.if_.iter().chain(&stage.if_not), names, r);
    if proc.as_str() == "failover" && stage.on.is_none() && stage.use_.is_none() {
        for (look, word) in stage.when.iter().map(|l| (l, "when")).chain(stage.done.iter().map(|l| (l, "done"))) {
            r.missing(&look.span, format!("nothing says where `{word}` looks"), NO_TARGET);
        }
    }
    twice(stage.steps.iter().map(|s| (s.ident(), s.id.as_ref().unwrap_or(&s.name))), "steps of one stage", r);
    for step in &stage.steps {
        self::step(proc, stage, step, names, r);
    }
}

const NO_TARGET: &str = "`failover` has no `target`: say `on`, in the step or its stage";

/// Whether `from` comes to `to` by `use`.
fn reaches(from: &str, to: &str, names: &Names<'_>) -> bool {
    let mut seen = HashSet::from([from]);
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        if name == to {
            return true;
        }
        for used in names.procedures.get(name).copied().into_iter().flatten().filter_map(|s| s.use_.as_ref()) {
            if seen.insert(used.as_str()) {
                open.push(used.as_str());
            }
        }
    }
    false
}

/// One word of `on`.
fn place(proc: &At<String>, place: &At<String>, names: &Names<'_>, r: &mut Reader) {
    let word = place.strip_prefix("one of ").map_or(place.as_str(), str::trim);
    if word.is_empty() || word.contains(char::is_whitespace) && !word.contains('{') {
        let hint = "a word such as `target`, `peers`, `all`, `here`, a group, a role, a node, or `one of` one of these";
        r.wrong_hint(&place.span, format!("`{}` is not a place", place.value), hint);
        return;
    }
    match word {
        "others" => r.wrong_hint(&place.span, "`others` is known in `each` only", "all but the target are `peers`"),
        "target" if proc.as_str() == "failover" => {
            r.wrong_hint(&place.span, "`failover` has no `target`", "it knows `from` and `to`");
        }
        "from" | "to" if !names.failover.contains(proc.as_str()) && proc.as_str() != "alive" => {
            let hint = "the node a procedure is about is `target`";
            r.wrong_hint(&place.span, format!("`{word}` is known in `failover` only"), hint);
        }
        _ => {}
    }
}

fn conditions<'a>(all: impl Iterator<Item = &'a Condition>, names: &Names<'_>, r: &mut Reader) {
    for Condition { input: name, values } in all {
        if name.as_str() == "mode" {
            for value in values.iter().filter(|v| !matches!(v.as_str(), "planned" | "unplanned")) {
                let hint =
                    did_you_mean(value, ["planned", "unplanned"]).unwrap_or_else(|| "`planned` or `unplanned`".into());
                r.wrong_hint(&value.span, format!("there is no mode `{}`", value.value), hint);
            }
            continue;
        }
        let Some(input) = names.inputs.get(name.as_str()) else {
            if r.lost.contains(name.as_str()) {
                continue;
            }
            let hint = if names.captures.contains(name.as_str()) || names.roles.contains(name.as_str()) {
                Some(format!("`{}` is known at its step's turn only: ask with `when`", name.value))
            } else {
                did_you_mean(name, names.inputs.keys().copied().chain(["mode"]))
            };
            r.wrong_maybe(&name.span, format!("`{}` is not an input", name.value), hint);
            continue;
        };
        if !inputs::can_decide(name, input, r) {
            continue;
        }
        for value in values {
            if let Some((message, hint)) = inputs::against(input, value) {
                r.wrong_maybe(&value.span, format!("input `{}`: {message}", name.value), hint);
            }
        }
    }
}

fn step(proc: &At<String>, stage: &Stage, step: &Step, names: &Names<'_>, r: &mut Reader) {
    step.on.iter().flatten().for_each(|place| self::place(proc, place, names, r));
    conditions(step.if_.iter().chain(&step.if_not), names, r);
    loops(step, names, r);
    let mut seen = HashSet::new();
    for name in step.capture.iter().filter(|n| !seen.insert(n.as_str())) {
        r.wrong(&name.span, format!("`{}` is captured twice in one step", name.value));
    }
    if let (Some(stdin), Some(capture)) = (&step.stdin, step.capture.first()) {
        let secret =
            |name: &&&str| names.inputs[**name].kind == InputKind::Secret && stdin.contains(&format!("{{{name}}}"));
        if let Some(secret) = names.inputs.keys().filter(secret).min() {
            let hint = "what a command prints that got a secret may hold it";
            r.wrong_hint(&capture.span, format!("`capture` in a step that gets the secret `{secret}`"), hint);
        }
    }
    let on = step.on.as_ref().or(stage.on.as_ref());
    let manual = matches!(step.what, What::Manual(_));
    if proc.as_str() == "failover" && on.is_none() && !manual {
        r.missing(&step.name.span, "nothing says where this step runs", NO_TARGET);
    }
    if proc.as_str() == "fence" && !manual {
        let hint = "it may not be alive: `on = \"here\"`, `on = \"peers\"`, `on = \"one of peers\"`";
        match on.map(|on| on.iter().find(|p| matches!(p.strip_prefix("one of ").unwrap_or(p), "target" | "all"))) {
            None => {
                r.missing(&step.name.span, "`fence` never runs on `target`, and this step does not say where", hint)
            }
            Some(Some(place)) => r.wrong_hint(&place.span, "`fence` never runs on `target`", hint),
            Some(None) => {}
        }
    }
}

fn loops(step: &Step, names: &Names<'_>, r: &mut Reader) {
    let mut seen = HashSet::new();
    for (name, over) in &step.each {
        let words: Vec<&str> = name.split_whitespace().collect();
        if words.is_empty() {
            r.wrong(&name.span, "a loop without a name");
        }
        for word in words.iter().filter(|w| !seen.insert(**w)) {
            r.wrong(&name.span, format!("two loops of one step are called `{word}`"));
        }
        match over {
            Over::Items(items) => {
                for item in items.iter().filter(|i| !i.contains('{') && i.split_whitespace().count() < words.len()) {
                    let hint = format!("each item needs {} words, the last name takes the rest", words.len());
                    r.wrong_hint(
                        &item.span,
                        format!("`{}` has too few words for `each.\"{}\"`", item.value, name.value),
                        hint,
                    );
                }
            }
            Over::Named(source) => self::source(source, names, r),
        }
    }
}

/// What a loop runs over, by name.
fn source(source: &At<String>, names: &Names<'_>, r: &mut Reader) {
    const SETS: &[&str] = &["others", "peers", "all"];
    let word = source.strip_prefix("reverse of ").map_or(source.as_str(), str::trim);
    let list = |name: &str| names.inputs.get(name).is_some_and(|i| i.kind == InputKind::List);
    if list(word) || SETS.contains(&word) || names.groups.contains(word) || names.roles.contains(word) {
        return;
    }
    if r.lost.contains(word) {
        return;
    }
    let hint = if names.inputs.contains_key(word) {
        format!("the input `{word}` is not a list: `kind = \"list\"`, or write `[\"{{{word}}}\"]`")
    } else if names.captures.contains(word) {
        format!("`{word}` is known at run time only, and loops are laid out when planning")
    } else {
        let known = names.inputs.keys().copied().filter(|n| list(n));
        let known: Vec<&str> = known
            .chain(SETS.iter().copied())
            .chain(names.groups.iter().copied())
            .chain(names.roles.iter().copied())
            .collect();
        did_you_mean(word, known.iter().copied()).unwrap_or_else(|| {
            format!(
                "a list `[…]`, a list input, a group, a role, {} or `reverse of` one of these",
                listed(SETS.iter().copied())
            )
        })
    };
    r.wrong_hint(&source.span, format!("there is no list `{word}`"), hint);
}

/// What is asked of the procedures that hawiz knows.
fn known(proc: &At<String>, stages: &[Stage], names: &Names<'_>, r: &mut Reader) {
    if matches!(proc.as_str(), "status" | "inactive" | "alive") {
        for stage in stages {
            for step in stage.steps.iter().filter(|s| !matches!(s.what, What::Check(_))) {
                let hint = "only steps with `check` here";
                r.wrong_hint(&step.name.span, format!("`{}` looks, and changes nothing", proc.value), hint);
            }
            if let Some(used) = &stage.use_
                && names.procedures.contains_key(used.as_str())
                && changes(used, names, &mut HashSet::new())
            {
                let hint = "only steps with `check` here";
                r.wrong_hint(
                    &used.span,
                    format!("`{}` looks, and `{}` changes something", proc.value, used.value),
                    hint,
                );
            }
        }
    }
    if proc.as_str() == "fence"
        && let Some(last) = stages.last()
        && last.use_.is_none()
        && let Some(step) = last.steps.last()
        && !matches!(step.what, What::Check(_))
    {
        let hint = "only a look that says *off* is a proof";
        r.wrong_hint(&step.name.span, "`fence` must end in a `check`", hint);
    }
}

/// Whether a procedure, or one that it uses, has a step that is not a check.
fn changes<'a>(name: &'a str, names: &Names<'a>, seen: &mut HashSet<&'a str>) -> bool {
    if !seen.insert(name) {
        return false;
    }
    names.procedures.get(name).copied().into_iter().flatten().any(|stage| {
        stage.steps.iter().any(|s| !matches!(s.what, What::Check(_)))
            || stage.use_.as_ref().is_some_and(|used| changes(used, names, seen))
    })
}
