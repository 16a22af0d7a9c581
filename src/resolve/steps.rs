//! One step as written → its instances: where it runs, over which items, as which shell text.

use super::compile::{Made, catalogue_command, look, script, unfit};
use super::names;
use super::scope::{Bound, On, Scope};
use super::{Cast, Resolver, step_id};
use crate::catalog::{self, Action, Check};
use crate::plan::{self, Look, Place, Reading, TrueOn, Undo, What};
use crate::playbook::{At, LookDef, OnFailure, Playbook, Stage, Step, UndoDef};
use crate::shell::{Command, Stdin, StdinPart, Value, Word};
use std::ops::Range;
use std::time::Duration;

const LOOK_DEADLINE: Duration = Duration::from_secs(30);
const RUN_DEADLINE: Duration = Duration::from_secs(300);
const AFTER_CHANGE: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_secs(2);
const RETRY_WAIT: Duration = Duration::from_secs(3);

pub(super) fn place(on: &On) -> Place {
    match on {
        On::Node(n) => Place::Node(n.clone()),
        On::Here => Place::Here,
        On::Runtime { key, .. } => match key.strip_prefix("one of ") {
            Some(nodes) => Place::OneOf { key: key.clone(), nodes: nodes.split(' ').map(String::from).collect() },
            None => Place::Role(key.clone()),
        },
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
        use crate::playbook::What as Def;
        let is_check = matches!(step.what, Def::Check(_));
        let by_hand = matches!(step.what, Def::Manual(_)) && cast.lost.is_some() && cast.lost == cast.target;
        let fence = matches!(&step.what, Def::Run(action) if matches!(action.value, Action::Fence(_)));
        if step.on.is_none() && (by_hand || fence) {
            // A person does it wherever they are; power is cut from here.
            for items in self.items(step, cast, &On::Here) {
                self.instance(stage_id, step, cast, &[On::Here], items, out);
            }
            return;
        }
        let ons = self.on(words.map(Vec::as_slice), cast, &step.span);
        if ons.is_empty() {
            return;
        }
        let first = self.items(step, cast, &ons[0]);
        let wrong = self.problems.list.len();
        let rest: Vec<_> = ons[1..].iter().map(|on| self.items(step, cast, on)).collect();
        self.problems.list.truncate(wrong);
        // Loops may run over `others`, or over what a node's variables say.
        let alike = rest.iter().all(|items| *items == first);
        let together = is_check && (ons.len() > 1 || step.true_on.is_some());
        if together && !alike && (step.same || step.role.is_some() || step.true_on.is_some()) {
            self.problem(&step.span, "each node would loop over something else, and one answer is asked of all").hint =
                Some("`each` must give the same items on all nodes here: name a group, or write them out".into());
        } else if together && alike {
            for items in first {
                self.instance(stage_id, step, cast, &ons, items, out);
            }
        } else {
            for (on, all) in ons.iter().zip(std::iter::once(first).chain(rest)) {
                for items in all {
                    self.instance(stage_id, step, cast, std::slice::from_ref(on), items, out);
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
        if let crate::playbook::What::Run(action) = &step.what
            && let Action::Fence(fence) = &action.value
        {
            return self.power_cut((&id, &action.span), step, fence, cast, (&ons[0], items), out);
        }
        let world = std::mem::take(&mut self.world);
        let pb = self.pb;
        let scopes: Vec<Scope> = ons
            .iter()
            .map(|on| {
                let mut s = Scope::new(&world, on.clone(), cast);
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
        let place = place(&ons[0]);
        let mut what = what;
        if let What::Check(check) = &mut what
            && check.true_on == TrueOn::Majority
        {
            // They are not asked, and would have had a voice.
            let words = step.on.as_ref();
            let counts = |lost: &&String| {
                let group = |w: &str| self.group(Some(w)).contains(lost);
                words.is_none_or(|w| {
                    w.iter().any(|w| w.value == "all" || self.pb.groups.iter().any(|g| g.value == w.value) && group(w))
                })
            };
            check.lost = cast.lost.iter().chain(&cast.off).filter(counts).count();
        }
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
            early: step.early,
            reverses: step.reverses.as_ref().and_then(|of| self.reversed(stage_id, of)),
        });
    }

    /// The id of the step that `reverses` names: one of the same procedure.
    fn reversed(&mut self, stage_id: &str, of: &At<String>) -> Option<String> {
        let proc = stage_id.rsplit_once('/').map_or("", |(proc, _)| proc);
        let name = proc.rsplit('/').next().unwrap_or_default();
        let stages = self.pb.procedure(name).unwrap_or_default();
        let ids =
            |stage: &Stage| stage.steps.iter().map(|s| format!("{}/{}", super::stage_id(stage), step_id(s))).collect();
        let known: Vec<String> = stages.iter().flat_map(|stage| -> Vec<String> { ids(stage) }).collect();
        if !known.contains(&of.value) {
            let hint = crate::problem::did_you_mean(&of.value, known.iter().map(String::as_str));
            self.problem(&of.span, format!("`{name}` has no step `{}`", of.value)).hint =
                hint.or_else(|| Some("STAGE/STEP: the ids of a stage and of its step".into()));
            return None;
        }
        Some(format!("{proc}/{}", of.value))
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
                        lost: 0,
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
        if let Action::IpAdd(p) = &action.value {
            // Somebody else who answers there is a sign of life.
            let free = Check::IpFree(catalog::Free { address: p.address.clone(), dev: p.dev.clone() });
            let text = free.look(scope).ok().filter(|_| scope.take_wants().is_empty());
            self.out.moving.extend(text.map(|text| Look {
                command: catalogue_command(text, &[], scope),
                not: false,
                reading: Reading::Catalog,
                kind: "ip-free".into(),
            }));
        }
        let command = |text: Value| catalogue_command(text, &wants, scope);
        let as_look =
            |text: Value| Look { command: command(text), not: false, reading: Reading::Catalog, kind: kind.clone() };
        let default_exclusive = catalog::exclusive(&kind);
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
