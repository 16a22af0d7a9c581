//! Looking at a whole plan without changing anything: dry run, `check`, `status`.
//!
//! Why it exists: a dry run must say what is so now, what would be done, and whether a guard would refuse. It shares every
//! text with the engine, because both take it from the Plan. Invariant: only looks are sent; nothing is created anywhere;
//! a look after the first would-be change cannot refuse: false there means *not yet*.

use crate::event::{Looked, Proven, Purpose};
use crate::plan::{Answer, Check, Look, OnFailure, Place, Plan, Step, What};
use crate::reach::{Reach, Reply, Sent};
use crate::shell::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    pub looks: Vec<Looked>,
    /// node → why it cannot be reached.
    pub unreachable: BTreeMap<String, String>,
    pub proof: Vec<(String, Proven)>,
    /// Guards that would refuse: in words.
    pub refused: Vec<String>,
    /// Changes that would be made, changes already so, checks that are true, looks that cannot be told yet.
    pub would: u32,
    pub already: u32,
    pub passed: u32,
    pub undecided: u32,
    /// Optional checks that are false.
    pub optional: u32,
    /// Stages and steps that would be skipped: id or instance → why.
    pub skipped: BTreeMap<String, String>,
    /// What captures gave.
    pub values: BTreeMap<String, Value>,
}

/// Takes the looks of a plan. `proofs`: also of the peers.
pub fn survey(plan: &Plan, reach: &mut dyn Reach, proofs: bool) -> Survey {
    let mut s = Surveyor { plan, reach, out: Survey::default(), dirty: false };
    if proofs {
        s.proofs();
    }
    for stage in &plan.stages {
        s.stage(stage);
    }
    s.out
}

/// The proof of every node of an exclusive system: who is active.
pub fn proof_of_all(plan: &Plan, reach: &mut dyn Reach) -> Survey {
    let mut s = Surveyor { plan, reach, out: Survey::default(), dirty: false };
    s.proofs();
    s.out
}

struct Surveyor<'a> {
    plan: &'a Plan,
    reach: &'a mut dyn Reach,
    out: Survey,
    /// A change would have been made before this point.
    dirty: bool,
}

impl Surveyor<'_> {
    fn value(&self, key: &str) -> Option<Value> {
        crate::engine::value_of(self.plan, &self.out.values, key)
    }

    fn node_of(&mut self, place: &Place) -> Option<String> {
        match place {
            Place::Node(n) => Some(n.clone()),
            Place::Here => Some("here".into()),
            Place::Role(key) => self.out.values.get(key).map(Value::lossy),
            Place::OneOf { key, nodes } => {
                if let Some(v) = self.out.values.get(key) {
                    return Some(v.lossy());
                }
                let found = nodes.iter().find(|n| self.reach.greet(n).is_ok()).cloned()?;
                self.out.values.insert(key.clone(), found.as_str().into());
                Some(found)
            }
        }
    }

    /// One look; `None` when a value it needs is not known yet.
    fn look(
        &mut self,
        id: &str,
        title: &str,
        node: &str,
        look: &Look,
        purpose: Purpose,
        deadline: Duration,
    ) -> Option<(Answer, Reply)> {
        let script = look.command.script(&self.plan.env, &self.plan.functions, |k| self.value(k)).ok()?;
        let input = look.command.input(|k| self.value(k), &BTreeMap::new()).ok()?;
        let sent = Sent { script, stdin: input.map(|(text, _)| text), secret: false };
        let reply = match self.reach.look(node, &sent, deadline) {
            Ok(reply) => reply,
            Err(u) => {
                self.out.unreachable.insert(node.to_string(), u.why.clone());
                Reply { problem: Some(format!("cannot reach {node}: {}", u.why)), ..Reply::default() }
            }
        };
        let answer = look.read(reply.code);
        let evidence = match (&reply.problem, crate::engine::evidence(&reply)) {
            (Some(p), e) if e.is_empty() => format!("could not look: {p}"),
            (Some(p), e) => format!("could not look: {p}; {e}"),
            (None, e) => e,
        };
        let looked = Looked {
            step: id.into(),
            title: title.into(),
            node: node.into(),
            purpose,
            answer,
            code: reply.code,
            evidence,
        };
        self.out.looks.push(looked);
        Some((answer, reply))
    }

    fn proofs(&mut self) {
        let plan = self.plan;
        for proof in &plan.proof {
            let proven = match self.reach.greet(&proof.node) {
                Err(u) => {
                    self.out.unreachable.insert(proof.node.clone(), u.why.clone());
                    Proven::CannotTell(format!("cannot be reached ({})", u.why))
                }
                Ok(_) => self.prove(&proof.steps),
            };
            self.out.proof.push((proof.node.clone(), proven));
        }
    }

    fn prove(&mut self, steps: &[Step]) -> Proven {
        let (mut active, mut open) = (Vec::new(), Vec::new());
        for step in steps {
            let What::Check(check) = &step.what else { continue };
            for (place, look) in &check.looks {
                let Some(node) = self.node_of(place) else { continue };
                let title = step.title.shown();
                let seen = self.look(&step.instance, &title, &node, look, Purpose::Proof, step.look_deadline);
                let said = self.out.looks.last().map(|l| l.evidence.clone()).unwrap_or_default();
                let words = if said.is_empty() { title.clone() } else { format!("{title}: {said}") };
                match seen.map(|s| s.0) {
                    Some(Answer::Yes) => {}
                    Some(Answer::No) => active.push(crate::engine::not_so(&title, &said)),
                    _ => open.push(words),
                }
            }
        }
        match (active.is_empty(), open.is_empty()) {
            (true, true) => Proven::LookedAt,
            (false, _) => Proven::Active(format!("not so: {}", active.join("; "))),
            (true, false) => Proven::CannotTell(open.join("; ")),
        }
    }

    fn stage(&mut self, stage: &crate::plan::Stage) {
        if let Some(when) = &stage.when {
            let place = stage.when_on.clone().unwrap_or(Place::Here);
            let node = self.node_of(&place);
            let seen =
                node.and_then(|n| self.look(&stage.id, &stage.title, &n, when, Purpose::When, Duration::from_secs(30)));
            match seen.map(|s| s.0) {
                Some(Answer::Yes) => {}
                Some(Answer::No) if !self.dirty => {
                    self.out.skipped.insert(stage.id.clone(), "its condition is not true".into());
                    return;
                }
                _ => self.out.undecided += 1,
            }
        }
        for step in &stage.steps {
            self.step(step);
        }
    }

    fn step(&mut self, step: &Step) {
        let title = step.title.shown();
        let Some(node) = self.node_of(&step.place) else {
            self.out.undecided += 1;
            self.dirty |= step.changes();
            return;
        };
        if let Some(when) = &step.when {
            match self.look(&step.instance, &title, &node, when, Purpose::When, step.look_deadline).map(|s| s.0) {
                Some(Answer::Yes) => {}
                Some(Answer::No) if !self.dirty => {
                    self.out.skipped.insert(step.instance.clone(), "its condition is not true".into());
                    return;
                }
                Some(Answer::CouldNotLook | Answer::Unsettled) if !self.dirty => {
                    let said = self.out.looks.last().map(|l| l.evidence.clone()).unwrap_or_default();
                    self.out.refused.push(format!("{title} ({node}): cannot tell whether it is to be done: {said}"));
                }
                _ => self.out.undecided += 1,
            }
        }
        match &step.what {
            What::Check(check) => self.check(step, check, &title),
            What::Change(c) => self.change(step, c.done.as_ref(), &node, &title),
            What::Manual(m) => self.change(step, m.done.as_ref(), &node, &title),
        }
    }

    fn change(&mut self, step: &Step, done: Option<&Look>, node: &str, title: &str) {
        match done.and_then(|d| self.look(&step.instance, title, node, d, Purpose::Before, step.look_deadline)) {
            Some((Answer::Yes, _)) => {
                self.out.already += 1;
                return;
            }
            Some((Answer::CouldNotLook, reply)) if !self.dirty && step.on_failure != OnFailure::Continue => {
                let why = reply.problem.clone().unwrap_or_else(|| crate::engine::evidence(&reply));
                self.out.refused.push(format!("{title} ({node}): could not look: {why}"));
            }
            _ => {}
        }
        self.out.would += 1;
        self.dirty = true;
    }

    fn check(&mut self, step: &Step, check: &Check, title: &str) {
        let (mut answers, mut outputs) = (Vec::new(), Vec::new());
        for (place, look) in &check.looks {
            let Some(node) = self.node_of(place) else { continue };
            let Some((answer, reply)) =
                self.look(&step.instance, title, &node, look, Purpose::Check, step.look_deadline)
            else {
                continue;
            };
            answers.push((node.clone(), answer));
            outputs.push(reply.out.clone());
            if answer == Answer::Yes && !self.dirty {
                self.capture(step, check, &reply, &node);
            }
        }
        let all = check.looks.len();
        let mut verdict = check.sum(&answers.iter().map(|(_, a)| *a).collect::<Vec<_>>());
        let differs = check.same && !outputs.windows(2).all(|w| w[0] == w[1]);
        if differs && verdict == Answer::Yes {
            verdict = Answer::No;
        }
        match verdict {
            Answer::Yes => self.out.passed += 1,
            _ if self.dirty => self.out.undecided += 1,
            _ if step.on_failure == OnFailure::Continue => self.out.optional += 1,
            other => {
                let said: Vec<String> = self
                    .out
                    .looks
                    .iter()
                    .rev()
                    .take(all)
                    .filter(|l| (differs || l.answer != Answer::Yes) && l.step == step.instance)
                    .map(|l| if all > 1 { format!("{}: {}", l.node, l.evidence) } else { l.evidence.clone() })
                    .collect();
                let word = if other == Answer::No { "" } else { "cannot tell: " };
                let node = answers.first().map(|(n, _)| n.clone()).unwrap_or_default();
                self.out.refused.push(
                    format!("{title} ({node}): {word}{}", said.join("; ")).trim_end_matches([':', ' ']).to_string(),
                );
            }
        }
    }

    fn capture(&mut self, step: &Step, check: &Check, reply: &Reply, node: &str) {
        if let Some(role) = &check.role {
            self.out.values.entry(role.clone()).or_insert_with(|| node.into());
        }
        let several = check.looks.len() > 1 && check.role.is_none();
        let words = crate::engine::words(step, &reply.out, several.then_some(node)).unwrap_or_default();
        self.out.values.extend(words.into_iter().filter(|(_, value)| !value.is_empty()));
    }
}
