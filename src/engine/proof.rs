//! The proof: every peer of an exclusive system is inactive.
//!
//! Why it exists: two active nodes on one data set is the accident hawiz is there to prevent. Invariant: the engine takes
//! the proof itself, before the first change and again right before each exclusive one; nothing in a playbook or on the
//! command line skips it. Looked at beats fenced and vouched for; a sign of life beats both; silence proves nothing. A node
//! that an unplanned failover has lost is never looked at: it is fenced in this run, or vouched for.

use super::looks::{Seen, evidence};
use super::{Engine, Go, Halt};
use crate::event::{Event, Proven, Purpose};
use crate::plan::{Answer, Fence, Proof, What};
use crate::prompt::{Answer as Said, Question};
use std::time::Duration;

/// A check of `inactive` that is false. Its title says what must be so, never what is: that is said here.
pub(crate) fn not_so(title: &str, said: &str) -> String {
    let said = if said.is_empty() { String::new() } else { format!(" ({said})") };
    format!("\"{title}\"{said}")
}

impl Engine<'_> {
    /// Every peer, or the run ends here.
    pub(super) fn prove_all(&mut self, again: bool) -> Go {
        let plan = self.plan;
        // The one that gives up is active until its turn is over.
        let first = plan.first_proofs();
        let now = |p: &&Proof| self.crossed || plan.failover.is_none() || first.iter().any(|f| f.node == p.node);
        let peers = plan.proof.iter().filter(|p| Some(&p.node) != plan.target.as_ref()).filter(now).collect();
        self.prove_these(peers, again)
    }

    /// All but this one, which is to be active again: also the node that this run is about.
    pub(super) fn prove_all_but(&mut self, node: &str) -> Go {
        let plan = self.plan;
        let all = plan.proof.iter().chain(&plan.closing).chain(&plan.undone);
        self.prove_these(all.filter(|p| p.node != node).collect(), true)
    }

    /// All but the two of a failover.
    pub(super) fn prove_others(&mut self) -> Go {
        let plan = self.plan;
        let two = |n: &str| plan.target.as_deref() == Some(n) || plan.from() == Some(n);
        self.prove_these(plan.proof.iter().filter(|p| !two(&p.node)).collect(), false)
    }

    fn prove_these(&mut self, peers: Vec<&Proof>, again: bool) -> Go {
        let lost = self.plan.lost();
        let (lost, peers): (Vec<_>, Vec<_>) = peers.into_iter().partition(|p| lost == Some(&p.node));
        let nodes: Vec<String> = peers.iter().map(|p| p.node.clone()).collect();
        let met = self.greet_each(&nodes)?;
        let reached: Vec<&Proof> = peers.iter().zip(&met).filter_map(|(p, met)| met.is_ok().then_some(*p)).collect();
        let mut looked = self.proven_by_looking(&reached)?.into_iter();
        let mut refused = Vec::new();
        for (node, met) in nodes.into_iter().zip(met) {
            let proven = match met {
                Ok(()) => {
                    let proven = looked.next().expect("each peer that was reached was looked at");
                    self.still_there(&node, proven)?
                }
                Err(why) => self.unreached(&node, &why)?,
            };
            self.proof_taken(node, proven, again, &mut refused)?;
        }
        for peer in lost {
            let proven = self.lost(&peer.node, again)?;
            self.proof_taken(peer.node.clone(), proven, again, &mut refused)?;
        }
        if refused.is_empty() { Ok(()) } else { Err(Halt::NotReady(refused.join("; "))) }
    }

    fn proof_taken(&mut self, node: String, proven: Proven, again: bool, refused: &mut Vec<String>) -> Go {
        self.record(Event::ProofTaken { node: node.clone(), proven: proven.clone(), again })?;
        self.proven.insert(node.clone(), proven.clone());
        match proven {
            Proven::LookedAt | Proven::Attested | Proven::Fenced(_) => {}
            Proven::Active(why) => refused.push(format!("{node} is active: {why}")),
            Proven::Alive(why) => {
                let fenced = self.plan.fence_of(&node).is_some_and(|f| self.is_fenced(f));
                let but = if fenced { "was fenced" } else { "was vouched for" };
                refused.push(format!("{node} {but}, but it shows a sign of life: {why}"))
            }
            Proven::CannotTell(why) => refused.push(format!("{node} is not proven inactive: {why}")),
        }
        Ok(())
    }

    /// It could be reached before and may be gone now: then somebody may vouch for it.
    fn still_there(&mut self, node: &str, proven: Proven) -> Go<Proven> {
        if matches!(proven, Proven::CannotTell(_))
            && let Err(u) = self.reach.greet(node)
        {
            self.greeted.remove(node);
            self.record(Event::NodeUnreachable { node: node.into(), why: u.why.clone() })?;
            return self.unreached(node, &u.why);
        }
        Ok(proven)
    }

    /// A peer that cannot be reached; that of a failover which was to give up may be left for lost.
    fn unreached(&mut self, node: &str, why: &str) -> Go<Proven> {
        if !self.may_go_unplanned(node) || !self.prompter.person() {
            if self.may_go_unplanned(node) {
                self.hints.push(format!("on a terminal `hawiz resume` offers to go on without {node}"));
            }
            return self.vouched(node, why);
        }
        self.silent(node, why)?;
        match self.greet(node)? {
            Err(why) => self.unreached(node, &why),
            Ok(()) => {
                let plan = self.plan;
                let own = plan.proof.iter().find(|p| p.node == node).expect("only nodes with a proof are proven");
                self.proven_of(own)
            }
        }
    }

    /// The node that an unplanned failover has lost: fenced in this run, or vouched for.
    fn lost(&mut self, node: &str, again: bool) -> Go<Proven> {
        let plan = self.plan;
        let Some(fence) = plan.fence_of(node).filter(|f| self.is_fenced(f)) else {
            let why = match plan.fence_of(node) {
                Some(_) => "its power is not known to be off",
                None => "it is left for lost, and no fence device is known for it",
            };
            return self.vouched(node, why);
        };
        if let Some(sign) = self.sign_of_life(node)? {
            return Ok(Proven::Alive(sign));
        }
        // Somebody may have switched it on again since.
        let ask = again || self.earlier.is_some();
        if ask && let Some(on) = self.power_is_on(fence)? {
            return Ok(Proven::Active(format!("its power is on again: {on}")));
        }
        Ok(Proven::Fenced(fence.by.clone()))
    }

    /// What the first device that says *on* says; `None`: none of them does.
    pub(super) fn power_is_on(&mut self, fence: &Fence) -> Go<Option<String>> {
        let plan = self.plan;
        for step in plan.steps().filter(|s| fence.steps.contains(&s.instance)) {
            let (What::Check(check), Some(at)) = (&step.what, self.node_of(&step.place)) else { continue };
            for (_, look) in &check.looks {
                let seen = self.look(step, &at, look, Purpose::Proof)?;
                if seen.answer == Answer::No {
                    return Ok(Some(seen.shown()));
                }
            }
        }
        Ok(None)
    }

    /// All checks of `inactive` on each of these: the nodes side by side, the checks of one in order. One that is false
    /// decides; one that cannot tell leaves it open.
    pub(super) fn proven_by_looking(&mut self, proofs: &[&Proof]) -> Go<Vec<Proven>> {
        let mut looks = Vec::new();
        for (of, proof) in proofs.iter().enumerate() {
            for step in &proof.steps {
                let What::Check(check) = &step.what else { continue };
                for (place, look) in &check.looks {
                    looks.extend(self.node_of(place).map(|node| (of, step, node, look)));
                }
            }
        }
        let since = self.clock.now();
        let mut said: Vec<Option<Seen>> = looks.iter().map(|_| None).collect();
        let mut left: Vec<usize> = (0..looks.len()).collect();
        loop {
            let wanted = left.iter().map(|i| {
                let (_, step, node, look) = &looks[*i];
                self.wanted(step, node, look, Purpose::Proof)
            });
            let wanted = wanted.collect();
            for (i, seen) in left.iter().zip(self.look_each(wanted)?) {
                said[*i] = Some(seen);
            }
            let spent = self.clock.now().saturating_sub(since);
            // What is still to be waited for, and how long until it is looked at next.
            let waits = |i: &usize| {
                let (_, step, ..) = &looks[*i];
                said[*i].as_ref().and_then(|seen| seen.wait(step, step.within, spent))
            };
            let Some(wait) = left.iter().filter_map(waits).min() else { break };
            if self.pending().is_some() {
                break;
            }
            left.retain(|i| waits(i).is_some());
            self.clock.sleep(wait);
        }
        let (mut active, mut open) = (vec![Vec::new(); proofs.len()], vec![Vec::new(); proofs.len()]);
        for ((of, step, ..), seen) in looks.iter().zip(said) {
            let (title, seen) = (self.title(step), seen.expect("each was looked at"));
            match seen.answer {
                Answer::Yes => {}
                Answer::No => active[*of].push(not_so(&title, &evidence(&seen.reply))),
                _ => open[*of].push(format!("{title}: {}", seen.shown())),
            }
        }
        let proven = |(active, open): (Vec<String>, Vec<String>)| match (active.is_empty(), open.is_empty()) {
            (true, true) => Proven::LookedAt,
            (false, _) => Proven::Active(format!("not so: {}", active.join("; "))),
            (true, false) => Proven::CannotTell(open.join("; ")),
        };
        Ok(active.into_iter().zip(open).map(proven).collect())
    }

    /// The same of one node.
    pub(super) fn proven_of(&mut self, proof: &Proof) -> Go<Proven> {
        Ok(self.proven_by_looking(&[proof])?.pop().expect("one was asked for"))
    }

    /// A peer that cannot be looked at: somebody may vouch for it, unless it shows a sign of life.
    fn vouched(&mut self, node: &str, why: &str) -> Go<Proven> {
        if let Some(sign) = self.sign_of_life(node)? {
            return Ok(Proven::Alive(sign));
        }
        if self.settings.attest.iter().any(|n| n == node) {
            self.attested.entry(node.to_string()).or_insert(self.began);
        }
        let fresh = |at: &Duration| self.clock.now().saturating_sub(*at) < self.settings.vouched;
        if self.attested.get(node).is_some_and(fresh) {
            return Ok(Proven::Attested);
        }
        if !self.prompter.person() && self.attested.contains_key(node) {
            let long = self.settings.vouched.as_secs();
            return Ok(Proven::CannotTell(format!("it was vouched for longer than {long}s ago, which counts no more")));
        }
        let lost = self.plan.lost() == Some(node);
        let cannot = if lost { why.to_string() } else { format!("it cannot be reached ({why})") };
        if !self.prompter.person() {
            if lost {
                let hint =
                    format!("name a fence device in the site file (`[nodes.{node}.fence]`), or vouch: --attest {node}");
                self.hints.push(hint);
            }
            return Ok(Proven::CannotTell(format!("{cannot}; vouch for it with --attest {node}")));
        }
        loop {
            let lines = vec![format!("{node} cannot be looked at: {why}")];
            let given = self.prompter.ask(&Question::Attest { node: node.into(), lines });
            let named = matches!(&given.answer, Said::Text(name) if name.lossy() == node);
            match given.answer {
                Said::Again => continue,
                _ if named || given.answer == Said::Yes => {
                    self.attested.insert(node.to_string(), self.clock.now());
                    // It may have woken up while the name was typed.
                    return Ok(match self.sign_of_life(node)? {
                        Some(sign) => Proven::Alive(sign),
                        None => Proven::Attested,
                    });
                }
                _ => return Ok(Proven::CannotTell(format!("{cannot}, and nobody vouched for it"))),
            }
        }
    }

    /// `deactivate`: the target must be inactive at the end, as it would have to prove to others.
    pub(super) fn closing(&mut self) -> Go {
        let plan = self.plan;
        let Some(closing) = &plan.closing else { return Ok(()) };
        let proven = self.proven_of(closing)?;
        self.record(Event::ProofTaken { node: closing.node.clone(), proven: proven.clone(), again: false })?;
        match proven {
            Proven::Active(why) | Proven::CannotTell(why) => {
                Err(Halt::Failed(format!("{} went through its deactivation, but is not inactive: {why}", closing.node)))
            }
            _ => Ok(()),
        }
    }

    /// What the proof said of a peer, for the last screen.
    pub(super) fn proof_words(&self, node: &str) -> Option<String> {
        Some(match self.proven.get(node)? {
            Proven::LookedAt => "inactive, as was looked at; not changed".to_string(),
            Proven::Attested => "inactive: a person vouched for it".to_string(),
            Proven::Fenced(by) => format!("fenced in this run: its power is off ({by})"),
            Proven::Active(_) => "active, as was looked at".to_string(),
            Proven::Alive(why) => format!("not known; it shows a sign of life: {why}"),
            Proven::CannotTell(why) => format!("not known: {why}"),
        })
    }
}
