//! Cutting a plan into parts: what runs on one node without another node's turn in between.
//!
//! Why it exists: a script can only be pasted where it belongs. Invariant: the parts, one after the other, are the plan in
//! its order, each step once (a check on several nodes once a node).

use super::tally::{proof_before, proofs};
use super::words::{node_of, variable};
use crate::plan::{Check, Look, Place, Plan, Stage, Step, What};
use crate::shell::Command;

/// What a part consists of.
pub(super) enum Item<'a> {
    Stage(usize, &'a Stage),
    Step(&'a Step),
    /// One node's look of a check on several.
    Report(&'a Step, &'a Check, &'a Look),
    Remark(String),
    /// A stage with a condition goes on in another part, which cannot know what the look said.
    Continued(usize),
}

pub(super) struct Part<'a> {
    pub(super) place: &'a Place,
    pub(super) items: Vec<Item<'a>>,
}

/// Cuts the plan where the node changes. Headers and remarks go with the first step after them.
struct Cutter<'a> {
    plan: &'a Plan,
    parts: Vec<Part<'a>>,
    waiting: Vec<Item<'a>>,
    /// Number of the stage whose condition was looked at in an earlier part.
    conditional: Option<usize>,
}

impl<'a> Cutter<'a> {
    fn put(&mut self, place: &'a Place, item: Item<'a>) {
        let fits = self.parts.last().is_some_and(|p| {
            p.place == place || login(self.plan, place).is_some_and(|l| login(self.plan, p.place) == Some(l))
        });
        if !fits {
            let items = self.conditional.map(Item::Continued).into_iter().collect();
            self.parts.push(Part { place, items });
        }
        let items = &mut self.parts.last_mut().expect("one was pushed if none fitted").items;
        items.append(&mut self.waiting);
        items.push(item);
    }
    fn step(&mut self, step: &'a Step) {
        match &step.what {
            What::Check(check) if check.looks.len() > 1 => {
                for (place, look) in &check.looks {
                    self.put(place, Item::Report(step, check, look));
                }
            }
            What::Check(check) => {
                let place = check.looks.first().map_or(&step.place, |(p, _)| p);
                self.put(place, Item::Step(step));
            }
            _ => {
                if step.exclusive && self.plan.exclusive && !self.plan.proof.is_empty() {
                    let all: Vec<&str> = self.plan.proof.iter().map(|p| p.node.as_str()).collect();
                    let text =
                        format!("Before the next change: is every other node inactive, still? ({})", all.join(", "));
                    self.waiting.push(Item::Remark(text));
                }
                self.put(&step.place, Item::Step(step));
            }
        }
    }
}

/// A part is about a login on a machine: `here` is the same as a node that is this machine and needs no `become`.
fn login<'a>(plan: &'a Plan, place: &'a Place) -> Option<&'a str> {
    match place {
        Place::Here => plan.here.as_deref().filter(|n| plan.node(n).is_some_and(|n| n.become_root.is_none())),
        place => node_of(place),
    }
}

/// The plan's parts, in order.
pub(super) fn parts(plan: &Plan) -> Vec<Part<'_>> {
    let mut cut = Cutter { plan, parts: Vec::new(), waiting: Vec::new(), conditional: None };
    for proof in proofs(plan) {
        cut.waiting.push(Item::Remark(format!("Proof: is {} inactive?", proof.node)));
        proof.steps.iter().for_each(|s| cut.step(s));
    }
    for (i, stage) in plan.stages.iter().enumerate() {
        cut.conditional = None;
        if let Some(proof) = proof_before(plan, i) {
            cut.waiting.push(Item::Remark(format!("Proof: is {} inactive now?", proof.node)));
            proof.steps.iter().for_each(|s| cut.step(s));
        }
        match stage.asked().next() {
            Some((_, place, _)) => {
                cut.put(place, Item::Stage(i + 1, stage));
                cut.conditional = Some(i + 1);
            }
            None => cut.waiting.push(Item::Stage(i + 1, stage)),
        }
        stage.steps.iter().for_each(|s| cut.step(s));
    }
    cut.conditional = None;
    if let Some(closing) = &plan.closing {
        cut.waiting.push(Item::Remark(format!("At the end: is {} inactive?", closing.node)));
        closing.steps.iter().for_each(|s| cut.step(s));
    }
    cut.parts
}

/// The shell variables that an item sets.
pub(super) fn learns(item: &Item<'_>) -> Vec<String> {
    match item {
        Item::Step(step) => {
            let role = match &step.what {
                What::Check(c) => c.role.as_deref(),
                _ => None,
            };
            step.capture.iter().map(|(_, key)| key.as_str()).chain(role).map(variable).collect()
        }
        _ => Vec::new(),
    }
}

/// Every command of an item that its part runs.
pub(super) fn for_commands<'a>(item: &Item<'a>, mut each: impl FnMut(&'a Command)) {
    match item {
        Item::Remark(_) | Item::Continued(_) => {}
        Item::Stage(_, stage) => stage.asked().for_each(|(l, ..)| each(&l.command)),
        Item::Report(step, _, look) => {
            step.when.iter().for_each(|l| each(&l.command));
            each(&look.command);
        }
        Item::Step(step) => {
            step.when.iter().for_each(|l| each(&l.command));
            match &step.what {
                What::Check(c) => c.looks.iter().for_each(|(_, l)| each(&l.command)),
                What::Change(c) => {
                    c.done.iter().chain(&c.verify).for_each(|l| each(&l.command));
                    each(&c.run);
                }
                What::Manual(m) => m.done.iter().chain(&m.verify).for_each(|l| each(&l.command)),
            }
        }
    }
}
