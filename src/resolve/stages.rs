//! A procedure's stages as written → as they are walked: conditions, `use`, gates.
//!
//! Why it exists: a procedure may be made of others, each about another node. Invariant: what `use` brings in keeps its
//! ids; a gate is never lower than what stands behind it.

use super::scope::{Bound, On, Scope};
use super::{Asked, Cast, Resolver, compile, digest_of, stage_id, steps};
use crate::plan;
use crate::playbook::{At, Condition, InputKind, Stage};
use crate::problem::did_you_mean;

impl Resolver<'_> {
    pub(super) fn stages(&mut self, proc: &str, stages: &[Stage], cast: &Cast) -> Vec<plan::Stage> {
        let mut out = Vec::new();
        for stage in stages {
            if !self.kept(&stage.if_, &stage.if_not) {
                continue;
            }
            match &stage.use_ {
                Some(used) => self.used(stage, used, cast, &mut out),
                None => out.extend(self.stage(proc, stage, cast)),
            }
        }
        out
    }

    fn used(&mut self, stage: &Stage, used: &At<String>, cast: &Cast, out: &mut Vec<plan::Stage>) {
        if cast.within.contains(&used.value) {
            self.problem(&used.span, format!("`use = \"{}\"` goes round in a circle", used.value));
            return;
        }
        let own = self.pb.procedures.iter().find(|(n, _)| n.value == used.value);
        let fence = used.value == "fence";
        if own.is_none() && !fence {
            let hint = did_you_mean(&used.value, self.pb.procedures.iter().map(|(n, _)| n.as_str()));
            self.problem(&used.span, format!("there is no procedure `{}`", used.value)).hint = hint;
            return;
        }
        let mut inner = cast.clone();
        inner.within.push(used.value.clone());
        inner.on = stage.on.clone().or(inner.on);
        (inner.when, inner.done) = (self.asked(stage, cast, "when"), self.asked(stage, cast, "done"));
        if let Some(id) = &stage.id {
            inner.prefix = format!("{}{}/", cast.prefix, id.value);
        }
        if let Some(role) = &stage.target {
            let role = match (role.as_str(), cast.failover) {
                (word @ ("from" | "to"), true) => {
                    let node = if word == "from" { &cast.from } else { &cast.to };
                    let Some(node) = node else {
                        self.problem(&role.span, cast.unnamed(word));
                        return;
                    };
                    At { value: node.clone(), span: role.span.clone() }
                }
                _ => role.clone(),
            };
            match role.as_str() {
                "target" => {}
                name if self.world.nodes.iter().any(|n| n.name == name) => {
                    inner.target = Some(name.to_string());
                    inner.peers = cast.all.iter().filter(|n| *n != name).cloned().collect();
                }
                other => {
                    self.problem(&role.span, format!("`target = \"{other}\"` is not a node here")).hint =
                        Some("a role that the run finds cannot be the target of `use` in this version".into());
                }
            }
        }
        inner.default_on = if fence { "here" } else { "target" };
        match own {
            Some((_, more)) if fence => self.own_fence(more, &inner, out),
            Some((_, more)) => out.extend(self.stages(&used.value, more, &inner)),
            None => self.device_fence(&used.span, &inner, out),
        }
    }

    fn stage(&mut self, proc: &str, stage: &Stage, cast: &Cast) -> Option<plan::Stage> {
        let id = format!("{}{proc}/{}", cast.prefix, stage_id(stage));
        let title = stage.stage.as_ref().map(|t| t.value.clone()).unwrap_or_default();
        let mut steps = Vec::new();
        for step in &stage.steps {
            if self.kept(&step.if_, &step.if_not) {
                self.step(&id, stage, step, cast, &mut steps);
            }
        }
        let mut compiled = |word| {
            let Asked { look: def, on } = self.asked(stage, cast, word)?;
            let look = compile::look(&def, &Scope::new(&self.world, on.clone(), cast), self.pb);
            Some((self.took(look, &def.span)?, steps::place(&on)))
        };
        let (when, done) = (compiled("when"), compiled("done"));
        let title = self.titled(&title, cast, &stage.span);
        let about = self.titled(&stage.about, cast, &stage.span);
        let gate = self.gate(stage, &steps, cast);
        if steps.is_empty() {
            return None;
        }
        let digest = digest_of(&steps);
        let of = cast.target.clone().filter(|_| cast.failover);
        let owner = stage.owner.clone();
        let ((when, when_on), (done, done_on)) = (when.unzip(), done.unzip());
        if let (Some(one), Some(other), Some(def)) = (&when_on, &done_on, stage.done.as_ref().or(stage.when.as_ref()))
            && one != other
        {
            self.problem(&def.span, "`when` and `done` of one stage would look on different nodes").hint =
                Some("say `on` in the stage that `use`s it".into());
        }
        let when_on = when_on.or(done_on);
        Some(plan::Stage { id, title, about, owner, gate, when, when_on, done, of, steps, digest })
    }

    /// What a stage is asked before its gate, by itself or by the one that `use`s it: `when` or `done`.
    fn asked(&mut self, stage: &Stage, cast: &Cast, word: &str) -> Option<Asked> {
        let (own, above) = if word == "when" { (&stage.when, &cast.when) } else { (&stage.done, &cast.done) };
        let Some(own) = own else { return above.clone() };
        if above.is_some() {
            let twice = format!("the stage that `use`s this one has a `{word}`, and a stage has one");
            self.problem(&own.span, twice).hint = Some(format!("write one `{word}` that asks both"));
        }
        Some(Asked { look: own.clone(), on: self.where_asked(stage, cast) })
    }

    /// Where a stage is asked.
    fn where_asked(&mut self, stage: &Stage, cast: &Cast) -> On {
        let words = cast.on.as_ref().or(stage.on.as_ref());
        let ons = self.on(words.map(Vec::as_slice), cast, &stage.span);
        let target = || cast.target.clone().filter(|t| Some(t) != cast.lost.as_ref()).map_or(On::Here, On::Node);
        ons.into_iter().next().unwrap_or_else(target)
    }

    fn titled(&mut self, text: &str, cast: &Cast, span: &std::ops::Range<usize>) -> String {
        let on = cast.target.clone().map_or(On::Here, On::Node);
        let scope = Scope::new(&self.world, on, cast);
        let filled = scope.fill(text);
        match filled {
            Ok(word) => word.shown(),
            Err(why) => {
                self.problem(span, why);
                text.to_string()
            }
        }
    }

    fn gate(&mut self, stage: &Stage, steps: &[plan::Step], cast: &Cast) -> plan::Gate {
        let no_return = steps.iter().any(|s| match &s.what {
            plan::What::Change(c) => matches!(c.undo, plan::Undo::NoReturn(_)),
            plan::What::Manual(m) => matches!(m.undo, plan::Undo::NoReturn(_)),
            plan::What::Check(_) => false,
        });
        let word = cast.target.clone().or_else(|| cast.from.clone()).unwrap_or_else(|| "yes".into());
        let default = if no_return {
            plan::Gate::Type(word.clone())
        } else if steps.iter().any(plan::Step::changes) {
            plan::Gate::Ask
        } else {
            plan::Gate::Open
        };
        let Some(said) = &stage.gate else { return default };
        let wanted = match said.as_str() {
            "open" => plan::Gate::Open,
            "ask" => plan::Gate::Ask,
            "type" => plan::Gate::Type(word),
            other => {
                let word = other.strip_prefix("type ").unwrap_or(other).trim();
                plan::Gate::Type(self.titled(word, cast, &said.span))
            }
        };
        if matches!(default, plan::Gate::Type(_)) && !matches!(wanted, plan::Gate::Type(_)) {
            let p = self.problem(
                &said.span,
                format!(
                    "`gate = \"{}\"` lowers a gate that must be typed: a step of this stage cannot be undone",
                    said.value
                ),
            );
            p.hint = Some("leave `gate` out, or write `gate = \"type WORD\"`".into());
        }
        wanted
    }

    /// `if` and `if-not` at plan time.
    fn kept(&mut self, wanted: &[Condition], unwanted: &[Condition]) -> bool {
        let mut keep = true;
        for (conditions, want) in [(wanted, true), (unwanted, false)] {
            for c in conditions {
                let value = match self.world.names.get(&c.input.value) {
                    Some(Bound::Value(v)) => v.lossy(),
                    _ if c.input.value == "mode" => self.mode().into(),
                    Some(Bound::List(_) | Bound::Secret(_)) => {
                        self.problem(
                            &c.input.span,
                            format!("`if.{}` needs an input with one value that is no secret", c.input.value),
                        );
                        continue;
                    }
                    // An input without a value was reported where it is missing; an unknown one here.
                    _ => {
                        if !self.pb.inputs.iter().any(|(n, _)| n.value == c.input.value) {
                            let hint = did_you_mean(&c.input.value, self.pb.inputs.iter().map(|(n, _)| n.as_str()));
                            self.problem(&c.input.span, format!("`{}` is not an input", c.input.value)).hint = hint;
                        }
                        continue;
                    }
                };
                let of = self
                    .pb
                    .inputs
                    .iter()
                    .find(|(n, i)| n.value == c.input.value && i.kind == InputKind::Choice)
                    .map(|(_, i)| i.of.clone());
                for v in &c.values {
                    if let Some(of) = &of
                        && !of.contains(&v.value)
                    {
                        let hint = did_you_mean(&v.value, of.iter().map(String::as_str));
                        self.problem(&v.span, format!("`{}` is not a choice of `{}`", v.value, c.input.value)).hint =
                            hint.or_else(|| Some(format!("its choices are: {}", of.join(", "))));
                    }
                }
                keep &= c.values.iter().any(|v| v.value == value) == want;
            }
        }
        keep
    }
}
