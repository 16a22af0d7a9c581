//! Looking at a whole plan without changing anything: dry run, `check`, `status`.
//!
//! Why it exists: a dry run must say what is so now, what would be done, and whether a guard would refuse. It shares every
//! text with the engine, because both take it from the Plan. Invariant: only looks are sent; nothing is created anywhere;
//! a look after the first would-be change cannot refuse: false there means *not yet*, but for those that a failover takes before
//! its source gives anything up.

use crate::engine::Wanted;
use crate::event::{Looked, Proven, Purpose};
use crate::plan::{Answer, Check, Early, Look, OnFailure, Place, Plan, Proof, Step, What};
use crate::reach::{Ask, Reach, Reply, Sent};
use crate::shell::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    pub looks: Vec<Looked>,
    /// node → why it cannot be reached.
    pub unreachable: BTreeMap<String, String>,
    /// Nodes that a change stands on and that keep neither record nor lock: why.
    pub unrecorded: BTreeMap<String, String>,
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
    /// Stages in which nothing would be done, as far as no command would change anything before them: their ids.
    pub settled: BTreeSet<String>,
    /// Stages and steps that would be skipped: id or instance → why.
    pub skipped: BTreeMap<String, String>,
    /// What captures gave.
    pub values: BTreeMap<String, Value>,
}

/// Takes the looks of a plan. `proofs`: also of the peers.
pub fn survey(plan: &Plan, reach: &mut dyn Reach, proofs: bool) -> Survey {
    let mut s = Surveyor { plan, reach, out: Survey::default(), early: plan.early_set(), dirty: false, touched: false };
    s.meet(&plan.needs(proofs));
    if proofs {
        s.proofs();
    }
    for stage in &plan.stages {
        let before = s.out.would;
        s.stage(stage);
        if s.out.would == before && !s.touched {
            s.out.settled.insert(stage.id.clone());
        }
    }
    s.out
}

struct Surveyor<'a> {
    plan: &'a Plan,
    reach: &'a mut dyn Reach,
    out: Survey,
    /// A change would have been made before this point.
    early: Early<'a>,
    dirty: bool,
    /// The same, but for what a person does by hand: that does not undo what is so already.
    touched: bool,
}

impl Surveyor<'_> {
    fn node_of(&mut self, place: &Place) -> Option<String> {
        match place {
            Place::Node(n) => Some(n.clone()),
            Place::Here => Some("here".into()),
            Place::Role(key) => self.out.values.get(key).map(Value::lossy),
            Place::OneOf { key, nodes } => {
                if let Some(v) = self.out.values.get(key) {
                    return Some(v.lossy());
                }
                let reached = |n: &&String| !self.out.unreachable.contains_key(*n) && self.reach.greet(n).is_ok();
                let found = nodes.iter().find(reached).cloned()?;
                self.out.values.insert(key.clone(), found.as_str().into());
                Some(found)
            }
        }
    }

    /// Greets nodes side by side. Who cannot be reached now is not tried again.
    fn meet(&mut self, nodes: &[String]) {
        for (node, met) in nodes.iter().zip(self.reach.greet_all(nodes)) {
            match met {
                Err(u) => drop(self.out.unreachable.insert(u.node, u.why)),
                Ok(g) => {
                    let changed = |s: &Step| s.changes() && matches!(&s.place, Place::Node(n) if n == node);
                    let why = g.unrecorded.filter(|_| self.plan.steps().any(changed));
                    self.out.unrecorded.extend(why.map(|why| (node.clone(), why)));
                }
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
        let (title, node) = (title.to_string(), node.to_string());
        self.look_each(vec![Wanted { id, title, deadline, node, look, purpose }]).pop()?
    }

    /// Looks side by side, kept in order.
    fn look_each(&mut self, wanted: Vec<Wanted>) -> Vec<Option<(Answer, Reply)>> {
        let (plan, out) = (self.plan, &self.out);
        let value = |key: &str| crate::engine::value_of(plan, &out.values, key);
        // What is not asked: a value is not known (None), or its node cannot be reached.
        let sent = |w: &Wanted| {
            let script = w.look.command.script(&plan.env, &plan.functions, value).ok()?;
            let input = w.look.command.input(value, &BTreeMap::new()).ok()?;
            let sent = Sent { script, stdin: input.map(|(text, _)| text), secret: false };
            let ask = Ask { node: w.node.clone(), sent, deadline: w.deadline };
            Some(out.unreachable.get(&w.node).map_or(Ok(ask), |why| Err(why.clone())))
        };
        let asked: Vec<Option<Result<Ask, String>>> = wanted.iter().map(sent).collect();
        let asks: Vec<Ask> = asked.iter().flatten().flatten().cloned().collect();
        let mut replies = self.reach.look_all(&asks).into_iter();
        let mut reply = || replies.next().expect("each ask has its answer").map_err(|u| u.why);
        let said: Vec<_> = asked.into_iter().map(|ask| ask.map(|ask| ask.and_then(|_| reply()))).collect();
        wanted.into_iter().zip(said).map(|(w, said)| Some(self.told(w, said?))).collect()
    }

    fn told(&mut self, wanted: Wanted, said: Result<Reply, String>) -> (Answer, Reply) {
        let Wanted { id, title, node, look, purpose, .. } = wanted;
        let reply = said.unwrap_or_else(|why| {
            let problem = Some(format!("cannot reach {node}: {why}"));
            self.out.unreachable.insert(node.clone(), why);
            Reply { problem, ..Reply::default() }
        });
        let answer = look.read(reply.code);
        let evidence = match (&reply.problem, crate::engine::evidence(&reply)) {
            (Some(p), e) if e.is_empty() => format!("could not look: {p}"),
            (Some(p), e) => format!("could not look: {p}; {e}"),
            (None, e) => e,
        };
        self.out.looks.push(Looked { step: id.into(), title, node, purpose, answer, code: reply.code, evidence });
        (answer, reply)
    }

    fn proofs(&mut self) {
        let plan = self.plan;
        let mut wanted = Vec::new();
        let mut of = Vec::new();
        let proofs: Vec<&Proof> = if plan.failover.is_some() { plan.roles() } else { plan.proof.iter().collect() };
        for (n, proof) in proofs.iter().enumerate() {
            for step in &proof.steps {
                let What::Check(check) = &step.what else { continue };
                for (place, look) in &check.looks {
                    let Some(node) = self.node_of(place) else { continue };
                    if self.out.unreachable.contains_key(&proof.node) {
                        continue;
                    }
                    wanted.push(self.wanted(step, &step.title.shown(), node, look, Purpose::Proof));
                    of.push((n, step));
                }
            }
        }
        let first = self.out.looks.len();
        let seen = self.look_each(wanted);
        let mut evidence = self.out.looks[first..].iter().map(|l| l.evidence.clone());
        let (mut active, mut open) = (vec![Vec::new(); proofs.len()], vec![Vec::new(); proofs.len()]);
        for ((n, step), seen) in of.into_iter().zip(seen) {
            let title = step.title.shown();
            let said = seen.as_ref().and_then(|_| evidence.next()).unwrap_or_default();
            match seen.map(|s| s.0) {
                Some(Answer::Yes) => {}
                Some(Answer::No) => active[n].push(crate::engine::not_so(&title, &said)),
                _ if said.is_empty() => open[n].push(title),
                _ => open[n].push(format!("{title}: {said}")),
            }
        }
        for (proof, (active, open)) in proofs.iter().zip(active.into_iter().zip(open)) {
            let proven = match self.out.unreachable.get(&proof.node) {
                _ if !active.is_empty() => Proven::Active(format!("not so: {}", active.join("; "))),
                Some(why) => Proven::CannotTell(format!("cannot be reached ({why})")),
                None if !open.is_empty() => Proven::CannotTell(open.join("; ")),
                None => Proven::LookedAt,
            };
            self.out.proof.push((proof.node.clone(), proven));
        }
    }

    fn wanted<'l>(&self, step: &'l Step, title: &str, node: String, look: &'l Look, purpose: Purpose) -> Wanted<'l> {
        Wanted { id: &step.instance, title: title.into(), deadline: step.look_deadline, node, look, purpose }
    }

    fn stage(&mut self, stage: &crate::plan::Stage) {
        for (look, place, purpose) in stage.asked() {
            let node = self.node_of(place);
            let seen =
                node.and_then(|n| self.look(&stage.id, &stage.title, &n, look, purpose, Duration::from_secs(30)));
            match (seen.map(|s| s.0), purpose) {
                (Some(Answer::Yes), Purpose::When) | (Some(Answer::No), Purpose::Before) => {}
                (Some(Answer::No), Purpose::When) if !self.dirty => {
                    self.out.skipped.insert(stage.id.clone(), "its condition is not true".into());
                    return;
                }
                (Some(Answer::Yes), Purpose::Before) => {
                    self.out.already += stage.steps.len() as u32;
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
            self.touched |= step.changes();
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
        self.touched |= !matches!(step.what, What::Manual(_));
    }

    fn check(&mut self, step: &Step, check: &Check, title: &str) {
        let (mut answers, mut outputs) = (Vec::new(), Vec::new());
        let (mut wanted, mut nodes) = (Vec::new(), Vec::new());
        for (place, look) in &check.looks {
            let Some(node) = self.node_of(place) else { continue };
            wanted.push(self.wanted(step, title, node.clone(), look, Purpose::Check));
            nodes.push(node);
        }
        for (node, seen) in nodes.into_iter().zip(self.look_each(wanted)) {
            let Some((answer, reply)) = seen else { continue };
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
            _ if self.dirty && !self.early.has(step) => self.out.undecided += 1,
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
