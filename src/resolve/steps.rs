//! One step as written → its instances: where it runs, over which items, as which shell text.

use super::names;
use super::scope::{Bound, On, Scope, Supposed};
use super::{Cast, Resolver, step_id};
use crate::catalog::{self, Action, Check, Fill};
use crate::plan::{self, Look, Place, Reading, TrueOn, Undo, What};
use crate::playbook::{At, LookDef, OnFailure, Playbook, Stage, Step, UndoDef};
use crate::problem::Problem;
use crate::shell::{BEFORE, Command, Stdin, StdinPart, Value, Want, Word};
use std::ops::Range;
use std::time::Duration;

const LOOK_DEADLINE: Duration = Duration::from_secs(30);
const RUN_DEADLINE: Duration = Duration::from_secs(300);
const AFTER_CHANGE: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_secs(2);
const RETRY_WAIT: Duration = Duration::from_secs(3);

/// A text, where it stands, and whether its quotes close ([`names::Scan::closed`]), for the syntax check.
pub(super) type Script = (String, Range<usize>, bool);

/// What compiling something gives: the thing, and the scripts it holds. A problem's place is added by [`Resolver::took`].
pub(super) type Made<T> = Result<(T, Vec<Script>), Problem>;

pub(super) fn place(on: &On) -> Place {
    match on {
        On::Node(n) => Place::Node(n.clone()),
        On::Here => Place::Here,
        On::Runtime { key, .. } => Place::Role(key.clone()),
    }
}

/// A playbook's own script with its values bound.
fn script(text: &str, span: &Range<usize>, scope: &Scope, pb: &Playbook) -> Made<Command> {
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
fn catalogue_command(text: Value, wants: &[Want], scope: &Scope) -> Command {
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
fn unfit(kind: &str, why: String, scope: &Scope, pb: &Playbook, fits: impl Fn(&dyn Fill) -> bool) -> Problem {
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

impl Resolver<'_> {
    /// Takes what compiling gave, or reports why it gave nothing.
    pub(super) fn took<T>(&mut self, made: Made<T>, span: &Range<usize>) -> Option<T> {
        match made {
            Ok((thing, scripts)) => {
                self.met(scripts);
                Some(thing)
            }
            Err(mut problem) => {
                problem.span = Some(span.clone());
                problem.file = self.files.playbook;
                self.problems.push(problem);
                None
            }
        }
    }

    pub(super) fn step(&mut self, stage_id: &str, stage: &Stage, step: &Step, cast: &Cast, out: &mut Vec<plan::Step>) {
        let words = step.on.as_ref().or(cast.on.as_ref()).or(stage.on.as_ref());
        let is_check = matches!(step.what, crate::playbook::What::Check(_));
        let ons = self.on(words.map(Vec::as_slice), cast, &step.span);
        if ons.is_empty() {
            return;
        }
        // Loops may run over `others`, so they are laid out for each place.
        if is_check && (ons.len() > 1 || step.true_on.is_some()) {
            let all = self.items(step, cast, &ons[0]);
            for items in all {
                self.instance(stage_id, step, cast, &ons, items, out);
            }
        } else {
            for on in ons {
                for items in self.items(step, cast, &on) {
                    self.instance(stage_id, step, cast, std::slice::from_ref(&on), items, out);
                }
            }
        }
    }

    fn instance(
        &mut self,
        stage_id: &str,
        step: &Step,
        cast: &Cast,
        ons: &[On],
        items: Vec<(String, Bound)>,
        out: &mut Vec<plan::Step>,
    ) {
        let id = format!("{stage_id}/{}", step_id(step));
        let mut instance = id.clone();
        let names: Vec<&str> = ons
            .iter()
            .map(|on| match on {
                On::Node(n) => n.as_str(),
                On::Here => "here",
                On::Runtime { key, .. } => key.as_str(),
            })
            .collect();
        instance.push('@');
        instance.push_str(&names.join("+"));
        let shown: Vec<(String, Value)> = items
            .iter()
            .map(|(n, b)| {
                (
                    n.clone(),
                    match b {
                        Bound::Value(v) => v.clone(),
                        Bound::Node(n) => n.as_str().into(),
                        _ => Value::default(),
                    },
                )
            })
            .collect();
        if !shown.is_empty() {
            let list: Vec<String> = shown.iter().map(|(n, v)| format!("{n}={}", v.lossy())).collect();
            instance.push_str(&format!("[{}]", list.join(",")));
        }
        // The world is put aside while scopes borrow it, so that problems can be added meanwhile.
        let world = std::mem::take(&mut self.world);
        let pb = self.pb;
        let scopes: Vec<Scope> = ons
            .iter()
            .map(|on| {
                let mut s = Scope::new(&world, on.clone(), cast.target.clone(), cast.peers.clone(), cast.all.clone());
                s.loops = items.clone();
                s
            })
            .collect();
        let made = self.compile(step, &scopes, pb);
        let scope = &scopes[0];
        let title = scope.fill(&step.name);
        let about = scope.fill(&step.about).map(|w| w.shown());
        let when = step.when.as_ref().map(|w| (look(w, scope, pb), w.span.clone()));
        scope.take_wants();
        let capture = step
            .capture
            .iter()
            .map(|c| {
                let key = match (&ons[0], world.captures.get(&c.value)) {
                    (On::Node(n), Some((_, true))) => format!("{}@{n}", c.value),
                    _ => c.value.clone(),
                };
                (c.value.clone(), key)
            })
            .collect::<Vec<_>>();
        drop(scopes);
        self.world = world;
        let title = match title {
            Ok(t) => t,
            Err(why) => {
                self.problem(&step.name.span, why);
                Word::literal(step.name.as_str())
            }
        };
        let about = about.unwrap_or_else(|why| {
            self.problem(&step.span, why);
            String::new()
        });
        let when = when.and_then(|(made, span)| self.took(made, &span));
        let Some((what, exclusive)) = made else { return };
        for (_, key) in &capture {
            self.out.captures.push((key.clone(), id.clone()));
        }
        let changes = !matches!(what, What::Check(_));
        let interactive = matches!(what, What::Manual(_)) || step.tty;
        let place = match &ons[0] {
            On::Runtime { key, .. } => match key.strip_prefix("one of ") {
                Some(nodes) => Place::OneOf { key: key.clone(), nodes: nodes.split(' ').map(String::from).collect() },
                None => place(&ons[0]),
            },
            on => place(on),
        };
        out.push(plan::Step {
            id,
            instance,
            items: shown,
            title,
            about,
            place,
            what,
            when,
            within: step.within.unwrap_or(if changes { AFTER_CHANGE } else { Duration::ZERO }),
            every: step.every.unwrap_or(EVERY),
            deadline: step.deadline.or((!interactive).then_some(RUN_DEADLINE)),
            look_deadline: if changes { LOOK_DEADLINE } else { step.deadline.unwrap_or(LOOK_DEADLINE) },
            tries: step.retry.as_ref().map_or(1, |r| r.tries.max(1)),
            wait: step.retry.as_ref().and_then(|r| r.wait).unwrap_or(RETRY_WAIT),
            on_failure: match step.on_failure {
                None | Some(OnFailure::Stop) => plan::OnFailure::Stop,
                Some(OnFailure::Ask) => plan::OnFailure::Ask,
                Some(OnFailure::Continue) => plan::OnFailure::Continue,
            },
            capture,
            show: step.show,
            exclusive,
        });
    }

    /// What the step does, and whether its change is exclusive.
    fn compile(&mut self, step: &Step, scopes: &[Scope], pb: &Playbook) -> Option<(What, bool)> {
        use crate::playbook::What as Def;
        let scope = &scopes[0];
        let stdin = match &step.stdin {
            None => None,
            Some(text) => match scope.fill_stdin(&text.value) {
                Ok(parts) => {
                    self.out.secrets.extend(parts.iter().filter_map(|p| match p {
                        StdinPart::Secret(s) => Some(s.clone()),
                        _ => None,
                    }));
                    Some((Stdin(parts), scope.take_wants()))
                }
                Err(why) => {
                    self.problem(&text.span, why);
                    return None;
                }
            },
        };
        let feed = |c: &mut Command| {
            if let Some((stdin, wants)) = &stdin {
                c.stdin = Some(stdin.clone());
                for w in wants {
                    if !c.wants.iter().any(|x| x.var == w.var) {
                        c.wants.push(w.clone());
                    }
                }
            }
        };
        match &step.what {
            Def::Check(def) => {
                let mut looks = Vec::new();
                for scope in scopes {
                    let made = look(def, scope, pb);
                    let mut l = self.took(made, &def.span)?;
                    feed(&mut l.command);
                    looks.push((place(&scope.on), l));
                }
                let true_on = step.true_on.as_ref().map_or(TrueOn::All, |t| t.value);
                Some((
                    What::Check(plan::Check {
                        looks,
                        true_on,
                        role: step.role.as_ref().map(|r| r.value.clone()),
                        same: step.same,
                    }),
                    false,
                ))
            }
            Def::Run(action) => {
                let (mut change, default) = self.change(step, action, scope, pb)?;
                feed(&mut change.run);
                Some((What::Change(Box::new(change)), step.exclusive.unwrap_or(default)))
            }
            Def::Manual(text) => {
                let filled = match scope.fill(&text.value) {
                    Ok(w) => w,
                    Err(why) => {
                        self.problem(&text.span, why);
                        return None;
                    }
                };
                scope.take_wants();
                let done = self.maybe(step.done.as_ref(), scope, pb)?;
                let verify = self.maybe(step.verify.as_ref(), scope, pb)?;
                let undo = match self.undo(step, scope, pb) {
                    Some(Some(u)) => u,
                    Some(None) => Undo::Manual(Word::literal(format!("take back by hand: {}", filled.shown()))),
                    None => return None,
                };
                Some((
                    What::Manual(Box::new(plan::Manual { text: filled, done, verify, undo })),
                    step.exclusive.unwrap_or(false),
                ))
            }
        }
    }

    /// An optional look: `None` only when it has a problem.
    fn maybe(&mut self, def: Option<&At<LookDef>>, scope: &Scope, pb: &Playbook) -> Option<Option<Look>> {
        match def {
            None => Some(None),
            Some(def) => {
                let made = look(def, scope, pb);
                self.took(made, &def.span).map(Some)
            }
        }
    }

    fn change(
        &mut self,
        step: &Step,
        action: &At<Action>,
        scope: &Scope,
        pb: &Playbook,
    ) -> Option<(plan::Change, bool)> {
        let kind = action.word().to_string();
        if let Some(needs) = action.needs() {
            self.problem(&action.span, format!("`run.{kind}` needs {needs}, which this version does not have"));
            return None;
        }
        let own_done = self.maybe(step.done.as_ref(), scope, pb)?;
        let own_verify = self.maybe(step.verify.as_ref(), scope, pb)?;
        let undo = self.undo(step, scope, pb)?;
        let exits = step.exits.clone().unwrap_or_else(|| vec![0]);
        if let Action::Sh(text) = &action.value {
            let made = script(text, &action.span, scope, pb);
            let run = self.took(made, &action.span)?;
            // A script that mounts, links or copies does it to the paths it is given: hawiz's own records may not lie there.
            const MOVERS: [&str; 9] = ["mount", "umount", "ln", "cp", "mv", "rsync", "tar", "cpio", "pivot_root"];
            let paths = || run.binds.iter().map(|(_, v)| v).filter(|v| v.0.starts_with(b"/") && v.0.len() > 1);
            if paths().next().is_some() && names::scan(text).words.iter().any(|w| MOVERS.contains(w)) {
                self.out.paths.extend(paths().cloned());
            }
            let undo = undo.unwrap_or_else(|| Undo::None("nothing was said".into()));
            return Some((
                plan::Change {
                    done: own_done,
                    run,
                    verify: own_verify.into_iter().collect(),
                    undo,
                    exits,
                    tty: step.tty,
                    kind,
                },
                false,
            ));
        }
        let recipe = match action.recipe(scope) {
            Ok(r) => r,
            Err(why) => {
                let problem = unfit(&kind, why, scope, pb, |fill| action.recipe(fill).is_ok());
                return self.took(Err(problem), &action.span);
            }
        };
        if own_done.is_some() && recipe.done.is_some() {
            let p = self.problem(&action.span, format!("`{kind}` knows itself when it is done"));
            p.hint = Some("leave `done` out; what must be true besides goes to `verify`".into());
            return None;
        }
        self.out.paths.extend(recipe.paths.iter().filter_map(Word::known));
        self.out.addresses.extend(recipe.addresses.iter().filter_map(Word::known));
        let wants = scope.take_wants();
        let command = |text: Value| catalogue_command(text, &wants, scope);
        let as_look =
            |text: Value| Look { command: command(text), not: false, reading: Reading::Catalog, kind: kind.clone() };
        let default_exclusive = matches!(kind.as_str(), "ip-add" | "mount" | "resource");
        let change = plan::Change {
            done: recipe.done.map(as_look).or(own_done),
            run: command(recipe.run),
            verify: recipe.verify.map(as_look).into_iter().chain(own_verify).collect(),
            undo: undo.unwrap_or_else(|| match recipe.undo {
                catalog::Undo::Run(text) => Undo::Run(command(text)),
                catalog::Undo::None(why) => Undo::None(why),
            }),
            exits,
            tty: false,
            kind: kind.clone(),
        };
        Some((change, default_exclusive))
    }

    /// The step's own word about undoing: `None` = a problem, `Some(None)` = it says nothing.
    fn undo(&mut self, step: &Step, scope: &Scope, pb: &Playbook) -> Option<Option<Undo>> {
        if let Some(why) = &step.no_return {
            return match scope.fill(&why.value) {
                Ok(w) => Some(Some(Undo::NoReturn(w.shown()))),
                Err(e) => {
                    self.problem(&why.span, e);
                    None
                }
            };
        }
        let filled = |text: &At<String>| scope.fill(&text.value).map_err(|e| (text.span.clone(), e));
        let made = match &step.undo {
            None => return Some(None),
            Some(UndoDef::Manual(text)) => filled(text).map(Undo::Manual),
            Some(UndoDef::None(text)) => filled(text).map(|w| Undo::None(w.shown())),
            Some(UndoDef::Run(action)) => {
                let made = match &action.value {
                    Action::Sh(text) => script(text, &action.span, scope, pb),
                    op => op
                        .recipe(scope)
                        .map(|r| (catalogue_command(r.run, &scope.take_wants(), scope), Vec::new()))
                        .map_err(|why| unfit(op.word(), why, scope, pb, |fill| op.recipe(fill).is_ok())),
                };
                return self.took(made, &action.span).map(|c| Some(Undo::Run(c)));
            }
        };
        scope.take_wants();
        match made {
            Ok(undo) => Some(Some(undo)),
            Err((span, why)) => {
                self.problem(&span, why);
                None
            }
        }
    }
}
