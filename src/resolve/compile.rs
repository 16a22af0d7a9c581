//! A look or a script as written → a command: names bound, functions named.
//!
//! Why it exists: playbook's own scripts and the catalogue's texts get their values in two ways, and every step needs both.
//! Invariant: a name that is neither known nor assigned in the text is a problem here, never an unset variable on a node.

use super::names;
use super::scope::{Bound, Scope, Supposed};
use crate::catalog::{Check, Fill};
use crate::plan::{Look, Reading};
use crate::playbook::{At, LookDef, Playbook};
use crate::problem::Problem;
use crate::shell::{BEFORE, Command, Value, Want};
use std::ops::Range;

/// A text, where it stands, and whether its quotes close ([`names::Scan::closed`]), for the syntax check.
pub(super) type Script = (String, Range<usize>, bool);

/// What compiling something gives: the thing, and the scripts it holds. A problem's place is added by [`Resolver::took`].
pub(super) type Made<T> = Result<(T, Vec<Script>), Problem>;

/// A playbook's own script with its values bound.
pub(super) fn script(text: &str, span: &Range<usize>, scope: &Scope, pb: &Playbook) -> Made<Command> {
    let mine = names::scan(text);
    let functions = scope.world.functions.own(&mine.words);
    let mut command = Command {
        functions: functions.iter().map(|f| f.name.clone()).collect(),
        ..Command::new(text.trim_matches('\n'))
    };
    for name in mine.used.iter().copied().chain(functions.iter().flat_map(|f| &f.used).map(String::as_str)) {
        if command.binds.iter().any(|(n, _)| n == name) || command.wants.iter().any(|w| w.var == name) {
            continue;
        }
        let assigned = mine.assigned.contains(&name) || functions.iter().any(|f| f.assigned.iter().any(|n| n == name));
        match scope.dollar(name).map_err(Problem::new)? {
            // `awk -v vip=…` looks like an assignment too: what is known when planning is always handed over.
            Some(Bound::Runtime { .. }) if assigned => {}
            Some(Bound::Value(v)) => command.binds.push((name.into(), v)),
            Some(Bound::Node(n)) => command.binds.push((name.into(), n.into())),
            Some(Bound::List(items)) => {
                let with: &[u8] = if name == "all" || name == "peers" { b" " } else { b"\n" };
                command.binds.push((name.into(), super::scope::join(&items, with)));
            }
            Some(Bound::Runtime { key, from }) => command.wants.push(Want { var: name.into(), key, from }),
            Some(Bound::Secret(s)) => {
                return Err(Problem::new(format!("`{s}` is a secret: it may only be given to a step's `stdin`"))
                    .hint(format!("write `stdin = \"{{{s}}}\\n\"` and let the script read it")));
            }
            None if assigned || names::GIVEN.contains(&name) || pb.env.iter().any(|(n, _)| n.value == name) => {}
            None if name == BEFORE => {
                command.wants.push(Want { var: BEFORE.into(), key: BEFORE.into(), from: String::new() })
            }
            None => {
                return Err(Problem::new(scope.unknown_dollar(name).replacen('`', "`$", 1))
                    .hint("a script's names are inputs, loops, captures, `$node_VAR`, or assigned in it"));
            }
        }
    }
    let closed = mine.closed;
    Ok((command, vec![(text.to_string(), span.clone(), closed)]))
}

/// A text of the catalogue, with the functions it calls and those of the values that stand in it.
pub(super) fn catalogue_command(text: Value, wants: &[Want], scope: &Scope) -> Command {
    let lossy = text.lossy();
    let seen = names::scan(&lossy);
    let functions = scope.world.functions.library.called(&seen.words).iter().map(|f| f.name.to_string()).collect();
    let mut wants: Vec<Want> = wants.iter().filter(|w| seen.used.contains(&w.var.as_str())).cloned().collect();
    if seen.used.contains(&BEFORE) {
        wants.push(Want { var: BEFORE.into(), key: BEFORE.into(), from: String::new() });
    }
    Command { functions, wants, ..Command::new(text) }
}

/// Why the catalogue has no text for it: what it says itself, or the input that was left out and would have been needed.
pub(super) fn unfit(
    kind: &str,
    why: String,
    scope: &Scope,
    pb: &Playbook,
    fits: impl Fn(&dyn Fill) -> bool,
) -> Problem {
    let supposed = Supposed::new(scope);
    let given = |n: &String| pb.inputs.iter().find(|(name, _)| name.value == *n);
    match supposed.and_fits(fits).as_ref().and_then(given) {
        Some((name, _)) => {
            let mut p = Problem::new(format!("`{kind}` needs the input `{}`, which is empty", name.value))
                .hint(format!("give it: --set {0}=…, or `{0} = \"…\"` in `[inputs]` of the site file", name.value));
            p.left_out = Some(name.value.clone());
            p
        }
        None => Problem::new(format!("`{kind}`: {why}")),
    }
}

pub(super) fn look(def: &At<LookDef>, scope: &Scope, pb: &Playbook) -> Made<Look> {
    let kind = def.check.word().to_string();
    match &def.check {
        Check::Sh(text) => {
            if text.trim_start().starts_with("! ") {
                return Err(
                    Problem::new("a script may not begin with `!`").hint("a look has an opposite: `check.not.sh`")
                );
            }
            let (command, scripts) = script(text, &def.span, scope, pb)?;
            Ok((Look { command, not: def.not, reading: Reading::Script, kind }, scripts))
        }
        op => {
            let text = op.look(scope).map_err(|why| unfit(&kind, why, scope, pb, |fill| op.look(fill).is_ok()))?;
            let command = catalogue_command(text, &scope.take_wants(), scope);
            Ok((Look { command, not: def.not, reading: Reading::Catalog, kind }, Vec::new()))
        }
    }
}
