//! The node that gives up in a failover: who is active at the beginning, when it must be proven, and what if it stops
//! answering.
//!
//! Why it exists: the source of a failover is active when the run begins and must not be when the other node takes over; in
//! between it may fall silent. Invariants: nothing of the target's activation is changed before the source is proven inactive,
//! fenced or vouched for; a source that was left for lost is never contacted again by this run; nothing that was done is
//! done again.

use super::{Engine, Go, Halt};
use crate::event::{Event, Outcome, Proven};
use crate::plan::{Stage, Step, What};
use crate::prompt::{Answer, Choice, Question};
use crate::roles;

impl Engine<'_> {
    /// Looks who is active, and whether that fits what is asked for.
    pub(super) fn roles(&mut self) -> Go {
        let plan = self.plan;
        let (Some(from), Some(to)) = (plan.from(), plan.target.as_deref()) else { return Ok(()) };
        let asked = plan.roles();
        if asked.is_empty() {
            return Ok(());
        }
        let nodes: Vec<String> = asked.iter().map(|p| p.node.clone()).collect();
        let met = self.greet_each(&nodes)?;
        let reached: Vec<_> = asked.iter().zip(&met).filter_map(|(p, met)| met.is_ok().then_some(*p)).collect();
        let mut looked = self.proven_by_looking(&reached)?.into_iter();
        let seen: Vec<(String, Proven)> = nodes
            .into_iter()
            .zip(met)
            .map(|(node, met)| match met {
                Ok(()) => (node, looked.next().expect("each node that was reached was looked at")),
                Err(why) => (node, Proven::CannotTell(why)),
            })
            .collect();
        let fit = roles::fit(&seen, from, to, plan.lost().is_some());
        for (node, proven) in seen {
            // That the one which gives up is active is no news.
            if node != from || fit.is_err() {
                self.record(Event::ProofTaken { node: node.clone(), proven: proven.clone(), again: false })?;
                self.proven.insert(node, proven);
            }
        }
        fit.map_err(|no| {
            self.hints.push(no.hint);
            Halt::NotReady(no.why)
        })
    }

    /// An earlier sitting has begun to activate the other node.
    pub(super) fn across(&self) -> bool {
        let tried = |s: &Step| self.history.steps.get(&s.instance).is_some_and(|s| s.started() > 0);
        let plan = self.plan;
        // It is proven when its power is off.
        if plan.lost().and_then(|n| plan.fence_of(n)).is_some_and(|f| !self.is_fenced(f)) {
            return false;
        }
        plan.stages.iter().any(|s| s.of.is_some() && s.of == plan.target && s.steps.iter().any(tried))
    }

    /// Before the other node's activation begins: the source, too, must be proven now.
    pub(super) fn cross(&mut self, stage: &Stage) -> Go {
        let plan = self.plan;
        if self.crossed || plan.failover.is_none() || !plan.activates || stage.of.is_none() || stage.of != plan.target {
            return Ok(());
        }
        self.crossed = true;
        self.prove_all(false)
    }

    /// This node may be left for lost.
    pub(super) fn may_go_unplanned(&self, node: &str) -> bool {
        self.plan.gives_up(node) && self.plan.failover.as_ref().is_some_and(|f| f.instead.is_some())
    }

    /// Before the gate over the source's steps: does it still answer?
    pub(super) fn source_answers(&mut self) -> Go {
        let plan = self.plan;
        let Some(from) = plan.stages[self.stage].of.clone().filter(|n| self.may_go_unplanned(n)) else { return Ok(()) };
        if !self.greeted.contains_key(&from) {
            return Ok(());
        }
        while let Err(u) = self.reach.greet(&from) {
            self.record(Event::NodeUnreachable { node: from.clone(), why: u.why.clone() })?;
            self.silent(&from, &u.why)?;
        }
        Ok(())
    }

    /// The source does not answer. `Ok`: a person wants it tried once more.
    pub(super) fn silent(&mut self, node: &str, why: &str) -> Go {
        let why = format!("{node} does not answer: {why}");
        if !self.prompter.person() {
            self.hints.push(format!("on a terminal `hawiz resume` offers to go on without {node}"));
            return Err(Halt::NotReady(why));
        }
        let offers = vec![Choice::LookAgain, Choice::Unplanned, Choice::Quit];
        let step = format!("failover@{node}");
        let lines = vec![why.clone(), format!("It was to give up. Go on unplanned: {}", self.way_out(node))];
        let question = Question::Failure { step: step.clone(), lines, output: String::new(), offers };
        let choice = loop {
            match self.prompter.ask(&question).answer {
                Answer::Choice(choice @ (Choice::LookAgain | Choice::Unplanned), _) => break choice,
                Answer::Choice(Choice::Quit, _) | Answer::Quit | Answer::No | Answer::Stop(_) => break Choice::Quit,
                _ => {}
            }
        };
        let (word, next) = match choice {
            Choice::LookAgain => ("look-again", Ok(())),
            Choice::Unplanned => ("unplanned", Err(Halt::Unplanned(why))),
            _ => ("quit", Err(Halt::Stopped(why))),
        };
        self.record(Event::Chosen { step, choice: word.into(), reason: None })?;
        next
    }

    /// What going on without it would take.
    pub(super) fn way_out(&self, node: &str) -> String {
        let instead = self.plan.failover.as_ref().and_then(|f| f.instead.as_deref());
        match instead.and_then(|p| p.fence_of(node)) {
            Some(fence) => format!("its power is cut ({})", fence.by),
            None => "you vouch for it by typing its name".into(),
        }
    }

    /// Leaves the source for lost: the rest of the run is that of an unplanned failover.
    pub(super) fn go_unplanned(&mut self, why: String) -> Go {
        let plan = self.plan;
        let instead = plan.failover.as_ref().and_then(|f| f.instead.as_deref());
        let (Some(instead), Some(from)) = (instead, plan.from()) else { return Err(Halt::Stopped(why)) };
        self.record(Event::WentUnplanned { node: from.into(), why: why.clone() })?;
        // Never contacted again: neither its session nor its lock is waited for.
        self.reach.forget(from);
        self.locked.retain(|n| n != from);
        self.greeted.remove(from);
        self.left_running = false;
        for step in plan.steps() {
            if self.node_of(&step.place).as_deref() != Some(from) {
                continue;
            }
            let over = |o: &Outcome| !matches!(o, Outcome::Failed(_) | Outcome::Unknown(_));
            if self.history.outcome(&step.instance).is_none_or(|o| !over(o)) {
                self.skip(step, format!("gone on unplanned, {from} is left for lost"))?;
            }
        }
        self.plan = instead;
        let tried = |s: &Step| self.history.steps.get(&s.instance).is_some_and(|s| !s.intents.is_empty());
        self.earlier = instead.steps().collect::<Vec<_>>().iter().rposition(|s| tried(s));
        (self.stage, self.gate) = (0, super::gate::Way::NotAsked);
        self.fresh.clear();
        self.reach.expect(&instead.needs(true));
        for secret in &instead.secrets {
            if self.secrets.contains_key(&secret.name) {
                continue;
            }
            let question = Question::Secret { name: secret.name.clone(), prompt: secret.prompt.clone() };
            let Answer::Text(value) = self.prompter.ask(&question).answer else {
                return Err(Halt::Stopped(format!("the secret `{}` was not given", secret.name)));
            };
            self.sink.hide(&value);
            self.secrets.insert(secret.name.clone(), value);
        }
        Ok(())
    }

    /// The node whose power a step cuts, or whose being off it shows.
    pub(super) fn fences(&self, step: &Step) -> Option<&str> {
        let of = |f: &&crate::plan::Fence| f.steps.contains(&step.instance);
        self.plan.fences.iter().find(of).map(|f| f.node.as_str())
    }

    /// A person vouches for a node that could not be fenced. The reason to leave its fencing out; `None`: not vouched for.
    pub(super) fn vouch_instead(&mut self, node: &str) -> Go<Option<String>> {
        let lines = vec![format!("{node} could not be fenced")];
        let given = self.prompter.ask(&Question::Attest { node: node.into(), lines });
        let named = matches!(&given.answer, Answer::Text(name) if name.lossy() == node);
        if !named && given.answer != Answer::Yes {
            return Ok(None);
        }
        self.attested.insert(node.to_string(), self.clock.now());
        self.unfenced.insert(node.to_string());
        Ok(Some(format!("a person vouches for {node} instead")))
    }

    /// Why a step of a fencing is left out: somebody vouches for the node instead.
    pub(super) fn vouched_instead(&self, step: &Step) -> Option<String> {
        let node = self.fences(step).filter(|n| self.unfenced.contains(*n))?;
        Some(format!("a person vouches for {node} instead"))
    }

    /// All of a fencing ended well in this run.
    pub(super) fn is_fenced(&self, fence: &crate::plan::Fence) -> bool {
        let well = |i: &String| {
            let step = self.plan.steps().find(|s| s.instance == *i);
            let check = step.is_some_and(|s| matches!(s.what, What::Check(_)));
            match self.history.outcome(i) {
                Some(Outcome::Passed) => check,
                Some(Outcome::Done | Outcome::Already) => !check,
                // Its own condition left it out; what is off is for the last check to say.
                Some(Outcome::Skipped(_)) => !check && step.is_some_and(|s| s.when.is_some()),
                _ => false,
            }
        };
        !fence.steps.is_empty() && fence.steps.iter().all(well)
    }
}
