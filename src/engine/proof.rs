//! The proof: every peer of an exclusive system is inactive.
//!
//! Why it exists: two active nodes on one data set is the accident hawiz is there to prevent. Invariant: the engine takes
//! the proof itself, before the first change and again right before each exclusive one; nothing in a playbook or on the
//! command line skips it. Looked at beats vouched for; a sign of life beats both; silence proves nothing.

use super::looks::{Seen, evidence};
use super::{Engine, Go, Halt};
use crate::event::{Event, Proven, Purpose};
use crate::plan::{Answer, Proof, What};
use crate::prompt::{Answer as Said, Question};
use crate::reach::Sent;
use std::time::Duration;

/// An attestation counts for this run and this long.
const VOUCHED: Duration = Duration::from_secs(600);

/// A check of `inactive` that is false. Its title says what must be so, never what is: that is said here.
pub(crate) fn not_so(title: &str, said: &str) -> String {
    let said = if said.is_empty() { String::new() } else { format!(" ({said})") };
    format!("\"{title}\"{said}")
}

impl Engine<'_> {
    /// Every peer, or the run ends here.
    pub(super) fn prove_all(&mut self, again: bool) -> Go {
        let plan = self.plan;
        self.prove_these(plan.proof.iter().filter(|p| Some(&p.node) != plan.target.as_ref()).collect(), again)
    }

    /// All but this one, which is to be active again: also the node that this run is about.
    pub(super) fn prove_all_but(&mut self, node: &str) -> Go {
        let plan = self.plan;
        let all = plan.proof.iter().chain(&plan.closing).chain(&plan.undone);
        self.prove_these(all.filter(|p| p.node != node).collect(), true)
    }

    fn prove_these(&mut self, peers: Vec<&Proof>, again: bool) -> Go {
        let nodes: Vec<String> = peers.iter().map(|p| p.node.clone()).collect();
        let met = self.greet_each(&nodes)?;
        let reached: Vec<&Proof> = peers.iter().zip(&met).filter_map(|(p, met)| met.is_ok().then_some(*p)).collect();
        let mut looked = self.proven_by_looking(&reached)?.into_iter();
        let mut refused = Vec::new();
        for (node, met) in nodes.into_iter().zip(met) {
            let proven = match met {
                Ok(()) => {
                    let proven = looked.next().expect("each peer that was reached was looked at");
                    self.still_there(&node, proven, again)?
                }
                Err(why) => self.vouched(&node, &why, again)?,
            };
            self.record(Event::ProofTaken { node: node.clone(), proven: proven.clone(), again })?;
            self.proven.insert(node.clone(), proven.clone());
            match proven {
                Proven::LookedAt | Proven::Attested => {}
                Proven::Active(why) => refused.push(format!("{node} is active: {why}")),
                Proven::Alive(why) => {
                    refused.push(format!("{node} was vouched for, but it shows a sign of life: {why}"))
                }
                Proven::CannotTell(why) => refused.push(format!("{node} is not proven inactive: {why}")),
            }
        }
        if refused.is_empty() { Ok(()) } else { Err(Halt::NotReady(refused.join("; "))) }
    }

    /// It could be reached before and may be gone now: then somebody may vouch for it.
    fn still_there(&mut self, node: &str, proven: Proven, again: bool) -> Go<Proven> {
        if matches!(proven, Proven::CannotTell(_))
            && let Err(u) = self.reach.greet(node)
        {
            self.greeted.remove(node);
            self.record(Event::NodeUnreachable { node: node.into(), why: u.why.clone() })?;
            return self.vouched(node, &u.why, again);
        }
        Ok(proven)
    }

    /// All checks of `inactive` on each of these: the nodes side by side, the checks of one in order. One that is false
    /// decides; one that cannot tell leaves it open.
    fn proven_by_looking(&mut self, proofs: &[&Proof]) -> Go<Vec<Proven>> {
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
    fn vouched(&mut self, node: &str, why: &str, again: bool) -> Go<Proven> {
        if let Some(sign) = self.sign_of_life(node)? {
            return Ok(Proven::Alive(sign));
        }
        let fresh = self.attested.get(node).is_some_and(|at| self.clock.now().saturating_sub(*at) < VOUCHED);
        if fresh {
            return Ok(Proven::Attested);
        }
        if self.settings.attest.iter().any(|n| n == node) && !(again && self.attested.contains_key(node)) {
            self.attested.insert(node.to_string(), self.clock.now());
            return Ok(Proven::Attested);
        }
        if !self.prompter.person() {
            return Ok(Proven::CannotTell(format!("it cannot be reached ({why}); vouch for it with --attest {node}")));
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
                _ => return Ok(Proven::CannotTell(format!("it cannot be reached ({why}), and nobody vouched for it"))),
            }
        }
    }

    /// An SSH banner at its own address, or an answer to ARP/ND and ping from the target.
    fn sign_of_life(&mut self, node: &str) -> Go<Option<String>> {
        let plan = self.plan;
        let Some(address) = plan.node(node).and_then(|n| n.address.clone()) else { return Ok(None) };
        let wait = self.settings.probe;
        if let Some(sign) = self.reach.alive(&address, wait) {
            return Ok(Some(sign));
        }
        let Some(target) = plan.target.clone() else { return Ok(None) };
        let script = crate::catalog::network::sign_of_life(&crate::shell::Word::literal(address.as_str()));
        let sent = Sent { script: script.0, ..Sent::default() };
        let reply = self.reach.look(&target, &sent, wait.max(Duration::from_secs(3)));
        Ok(match reply {
            Ok(r) if r.code == Some(0) => Some(evidence(&r)),
            _ => None,
        })
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
            Proven::Active(_) => "active, as was looked at".to_string(),
            Proven::Alive(why) => format!("not known; it shows a sign of life: {why}"),
            Proven::CannotTell(why) => format!("not known: {why}"),
        })
    }
}
