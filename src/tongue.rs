//! A plan in the operator's own language.
//!
//! Why it exists: at three in the morning a person reads their own language fastest; commands, ids, journals and logs stay one,
//! so that two people can talk about them. Invariant: what is translated is only ever read by a person at a terminal or on
//! paper: ids, commands, digests and records are those of the plan, whatever the language.

use crate::event::{Event, Looked, Record};
use crate::plan::{Place, Plan, Stage, Step, Undo, What};
use crate::playbook::{At, Playbook, StepWords, Translation};
use crate::resolve::{Piece, pieces};
use crate::shell::{Part, Value, Word};
use std::collections::BTreeMap;

/// A procedure's stages and steps have the same ids wherever they are used, but for what `use` may put in front.
fn find<'a, T>(words: &'a [(At<String>, T)], id: &str) -> Option<&'a T> {
    let is = |known: &str| id.strip_suffix(known).is_some_and(|front| front.is_empty() || front.ends_with('/'));
    words.iter().find(|(known, _)| is(&known.value)).map(|(_, words)| words)
}

/// The plan with its texts as the translation has them; what that does not have stays as it is.
pub fn spoken(plan: &Plan, words: &Translation) -> Plan {
    let mut spoken = plan.clone();
    if let Some(title) = &words.title {
        spoken.title.clone_from(&title.value);
    }
    if let Some(about) = &words.about {
        let whom = Whom { target: plan.target.as_deref(), node: None, items: &[] };
        spoken.about = fill(&about.value, &|name| known(plan, name, whom)).shown();
    }
    for secret in &mut spoken.secrets {
        if let Some(prompt) = find(&words.inputs, &secret.name) {
            secret.prompt.clone_from(&prompt.value);
        }
    }
    for proof in spoken.proof.iter_mut().chain(&mut spoken.closing).chain(&mut spoken.undone) {
        let about = Whom { target: Some(&proof.node), node: None, items: &[] };
        proof.steps.iter_mut().for_each(|step| say(step, words, plan, about));
    }
    for stage in &mut spoken.stages {
        // In a failover each stage has a target of its own.
        let about = Whom { target: stage.of.as_deref().or(plan.target.as_deref()), node: None, items: &[] };
        if let Some(words) = find(&words.stages, &stage.id) {
            let whom = Whom { node: about.target, ..about };
            let said = |text: &At<String>| fill(&text.value, &|name| known(plan, name, whom)).shown();
            words.stage.iter().for_each(|text| stage.title = said(text));
            words.about.iter().for_each(|text| stage.about = said(text));
        }
        stage.steps.iter_mut().for_each(|step| say(step, words, plan, about));
    }
    if let Some(instead) = spoken.failover.as_mut().and_then(|f| f.instead.as_mut()) {
        **instead = self::spoken(instead, words);
    }
    spoken
}

/// Whom a text is about, and where it stands.
#[derive(Clone, Copy)]
struct Whom<'a> {
    target: Option<&'a str>,
    node: Option<&'a str>,
    /// Loops' values.
    items: &'a [(String, Value)],
}

fn say(step: &mut Step, words: &Translation, plan: &Plan, whom: Whom) {
    let Some(StepWords { name, manual, about, undo, no_return }) = find(&words.steps, &step.id) else { return };
    let node = match &step.place {
        Place::Node(node) => Some(node.clone()),
        _ => None,
    };
    let items = step.items.clone();
    let whom = Whom { node: node.as_deref(), items: &items, ..whom };
    let known = |wanted: &str| known(plan, wanted, whom);
    if let Some(name) = name {
        step.title = fill(&name.value, &known);
    }
    if let (Some(text), What::Manual(manual)) = (manual, &mut step.what) {
        manual.text = fill(&text.value, &known);
    }
    if let Some(about) = about {
        step.about = fill(&about.value, &known).shown();
    }
    let of_step = match &mut step.what {
        What::Check(_) => return,
        What::Change(change) => &mut change.undo,
        What::Manual(manual) => &mut manual.undo,
    };
    match (of_step, undo, no_return) {
        (Undo::Manual(text), Some(said), _) => *text = fill(&said.value, &known),
        (Undo::None(why), Some(said), _) | (Undo::NoReturn(why), _, Some(said)) => {
            *why = fill(&said.value, &known).shown();
        }
        _ => {}
    }
}

/// What a name between braces means for a whole plan.
fn known(plan: &Plan, name: &str, whom: Whom) -> Option<Value> {
    let item = |name: &str| whom.items.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let role = |name: &str| match name {
        "target" => whom.target,
        "to" => plan.target.as_deref(),
        "from" => plan.from(),
        "node" => whom.node,
        _ => None,
    };
    let role = |name: &str| item(name).or_else(|| role(name).map(Value::from));
    if let Some((base, var)) = name.rsplit_once('.') {
        return plan.node(&role(base)?.lossy())?.var(var);
    }
    // As a title joins them.
    let peer = |n: &&String| Some(n.as_str()) != whom.target && Some(n.as_str()) != plan.lost();
    let joined = |names: Vec<&str>| Some(Value::from(names.join(", ").as_str()));
    match name {
        "all" => return joined(plan.all.iter().map(String::as_str).collect()),
        "peers" => return joined(plan.all.iter().filter(peer).map(String::as_str).collect()),
        _ => {}
    }
    role(name).or_else(|| plan.inputs.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()))
}

/// `{name}` where it is known; else it is learnt in the run. What is no name stays as it is written.
fn fill(text: &str, known: &dyn Fn(&str) -> Option<Value>) -> Word {
    let Ok(pieces) = pieces(text) else { return Word::literal(text) };
    let part = |piece| match piece {
        Piece::Text(text) => Part::Text(text.into()),
        // (What the run learns bears the shell's name for it.)
        Piece::Name(name) => known(&name).map_or_else(|| Part::Name(name.replace('.', "_")), Part::Text),
    };
    Word(pieces.into_iter().map(part).collect())
}

/// Ids that the playbook does not have, each with what it was meant to be.
pub fn stale(words: &Translation, playbook: &Playbook) -> Vec<(std::ops::Range<usize>, String)> {
    let stages = |wanted: &str| {
        let (procedure, stage) = wanted.split_once('/')?;
        let stages = playbook.procedure(procedure)?;
        stages.iter().find(|s| s.ident().as_deref() == Some(stage))
    };
    let mut out = Vec::new();
    for (id, _) in &words.inputs {
        if !playbook.inputs.iter().any(|(name, _)| name.value == id.value) {
            out.push((id.span.clone(), format!("the playbook has no input `{}`", id.value)));
        }
    }
    for (id, _) in &words.stages {
        if stages(&id.value).is_none() {
            out.push((id.span.clone(), format!("the playbook has no stage `{}`", id.value)));
        }
    }
    for (id, _) in &words.steps {
        let step = id.value.rsplit_once('/').and_then(|(stage, step)| {
            let stage = stages(stage)?;
            stage.steps.iter().find(|s| s.ident() == step)
        });
        if step.is_none() {
            out.push((id.span.clone(), format!("the playbook has no step `{}`", id.value)));
        }
    }
    out
}

/// The languages to look for, the likeliest first: `pt_BR.UTF-8` is `pt-BR`, else `pt`. None: the playbook's own.
pub fn wanted(language: &str) -> Vec<String> {
    let name = language.split(['.', '@']).next().unwrap_or_default().replace('_', "-");
    let short = name.split('-').next().unwrap_or_default().to_string();
    if matches!(short.as_str(), "" | "C" | "POSIX" | "en") {
        return Vec::new();
    }
    if short == name { vec![name] } else { vec![name, short] }
}

/// Retells events in the language of a spoken plan.
pub struct Teller {
    plan: Plan,
    /// What the run has learnt.
    values: BTreeMap<String, Value>,
}

impl Teller {
    pub fn new(spoken: Plan) -> Teller {
        Teller { plan: spoken, values: BTreeMap::new() }
    }

    pub fn retell(&mut self, record: &Record) -> Record {
        let mut told = record.clone();
        match &mut told.event {
            Event::Captured { key, value } => drop(self.values.insert(key.clone(), value.clone())),
            Event::RunStarted { title, stages, .. } => {
                title.clone_from(&self.plan.title);
                stages.iter_mut().zip(&self.plan.stages).for_each(|(told, stage)| told.clone_from(&stage.title));
            }
            Event::StageStarted { stage, title, .. } | Event::StageSkipped { stage, title, .. } => {
                if let Some(known) = self.stage(stage) {
                    title.clone_from(&known.title);
                }
            }
            Event::Looked(Looked { step, title, .. })
            | Event::StepStarted { step, title, .. }
            | Event::StepIntent { step, title, .. }
            | Event::StepFinished { step, title, .. }
            | Event::UndoIntent { step, title, .. }
            | Event::UndoFinished { step, title, .. } => {
                if let Some(known) = self.title(step) {
                    *title = known;
                }
            }
            _ => {}
        }
        told
    }

    fn stage(&self, id: &str) -> Option<&Stage> {
        let instead = self.plan.failover.as_ref().and_then(|f| f.instead.as_deref());
        self.plan.stages.iter().chain(instead.iter().flat_map(|p| &p.stages)).find(|s| s.id == id)
    }

    /// A step's title with what the run has learnt.
    fn title(&self, instance: &str) -> Option<String> {
        let instead = self.plan.failover.as_ref().and_then(|f| f.instead.as_deref());
        let proofs = self.plan.proof.iter().chain(&self.plan.closing).chain(&self.plan.undone).flat_map(|p| &p.steps);
        let mut all = self.plan.steps().chain(instead.into_iter().flat_map(Plan::steps)).chain(proofs);
        let step = all.find(|s| s.instance == instance)?;
        Some(step.titled(|key| self.values.get(key).cloned()))
    }
}
