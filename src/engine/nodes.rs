//! The nodes of a run: greeted, told apart, locked, given back.
//!
//! Why it exists: before anything is changed it must be certain which machines these are, and that no other run works on
//! them. Invariants: one machine has one name; locks are asked for in one order by all runs; a lock is kept as long as
//! something of this run may still be running.

use super::{Engine, Go, Halt};
use crate::event::{Event, Verdict};
use crate::plan::{Place, TrueOn, What};
use crate::reach::{Greeting, Locked, Unreachable};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the other nodes said of their locks this long ago holds for the next change.
const HEARD: Duration = Duration::from_millis(500);

/// Two names that answer with one identity.
pub(crate) fn one_machine(one: &str, other: &str) -> String {
    format!(
        "{one} and {other} are one machine (same identity): two names, a floating address, a shared `state` directory or a clone"
    )
}

impl Engine<'_> {
    /// Greets every node that a step of this plan may run on.
    pub(super) fn greet_all(&mut self) -> Go {
        let plan = self.plan;
        let mut nodes: Vec<String> = Vec::new();
        let mut add = |p: &Place| {
            if let Place::Node(n) = p
                && !nodes.contains(n)
            {
                nodes.push(n.clone());
            }
        };
        for step in plan.steps().chain(plan.closing.iter().flat_map(|c| &c.steps)) {
            add(&step.place);
            if let What::Check(c) = &step.what
                && c.true_on == TrueOn::All
            {
                c.looks.iter().for_each(|(p, _)| add(p));
            }
        }
        self.greet_these(&nodes)
    }

    /// What is vouched for as off is left out, unless it answers: a sign of life beats a word.
    pub(super) fn vouched_off(&mut self) -> Go {
        let off = self.plan.off.clone();
        let met = self.greet_each(&off)?;
        for (node, met) in off.iter().zip(met) {
            let Err(why) = met else {
                return Err(Halt::NotReady(format!(
                    "{node} was vouched for as off, but it answers: leave out `--attest`"
                )));
            };
            let text = format!("{node} is vouched for as off, and counts as lost: {why}");
            self.record(Event::Noted { text })?;
        }
        Ok(())
    }

    pub(super) fn greet_these(&mut self, nodes: &[String]) -> Go {
        let mut met = self.greet_each(nodes)?;
        let silent = nodes.iter().zip(&met).find_map(|(n, met)| Some((n.clone(), met.as_ref().err()?.clone())));
        if let Some((node, why)) = silent.filter(|(n, _)| self.may_go_unplanned(n)) {
            if !self.history.changed() {
                let to = self.plan.target.as_ref().map(|to| format!(" --to {to}")).unwrap_or_default();
                self.hints.push(format!("if it is gone: hawiz failover --from {node}{to} --unplanned"));
            } else {
                self.silent(&node, &why)?;
                met = self.greet_each(nodes)?;
            }
        }
        let silent: Vec<(&String, String)> =
            nodes.iter().zip(met).filter_map(|(n, met)| Some((n, met.err()?))).collect();
        if !silent.is_empty() {
            let about = |n: &str| n == "here" || self.plan.target.as_deref() == Some(n) || self.plan.from() == Some(n);
            if !self.plan.exclusive && !self.history.changed() && !silent.iter().any(|(n, _)| about(n)) {
                let off: Vec<String> = silent.iter().map(|(n, _)| format!("--attest {n}")).collect();
                self.hints.push(format!("if it is off, and nothing is to be done there: {}", off.join(" ")));
            }
            let missed: Vec<String> = silent.iter().map(|(n, why)| format!("cannot reach {n}: {why}")).collect();
            return Err(Halt::NotReady(missed.join("; ")));
        }
        self.one_machine_one_name()
    }

    /// Greets a node once a sitting. The inner error: why it cannot be reached.
    pub(super) fn greet(&mut self, node: &str) -> Go<Result<(), String>> {
        if self.greeted.contains_key(node) {
            return Ok(Ok(()));
        }
        let met = self.reach.greet(node);
        self.met(node, met)
    }

    /// Greets nodes side by side; those that were greeted already are not asked.
    pub(super) fn greet_each(&mut self, nodes: &[String]) -> Go<Vec<Result<(), String>>> {
        let mut new: Vec<String> = Vec::new();
        for node in nodes.iter().filter(|n| !self.greeted.contains_key(*n)) {
            if !new.contains(node) {
                new.push(node.clone());
            }
        }
        let met = self.reach.greet_all(&new);
        let mut why: BTreeMap<String, String> = BTreeMap::new();
        for (node, met) in new.into_iter().zip(met) {
            if let Err(not) = self.met(&node, met)? {
                why.insert(node, not);
            }
        }
        Ok(nodes.iter().map(|n| why.get(n).map_or(Ok(()), |w| Err(w.clone()))).collect())
    }

    fn met(&mut self, node: &str, met: Result<Greeting, Unreachable>) -> Go<Result<(), String>> {
        match met {
            Ok(g) => {
                if let Some((Some(before), _)) = self.history.seen.get(node)
                    && g.identity.as_ref().is_some_and(|now| now != before)
                {
                    return Err(Halt::NotReady(format!(
                        "{node} is not the machine it was when this run began (its identity differs)"
                    )));
                }
                let unrecorded = g.unrecorded.clone().filter(|_| self.will_change(node));
                self.seen(node, g, unrecorded)?;
                Ok(Ok(()))
            }
            Err(u) => {
                self.record(Event::NodeUnreachable { node: node.into(), why: u.why.clone() })?;
                Ok(Err(u.why))
            }
        }
    }

    fn seen(&mut self, node: &str, g: Greeting, unrecorded: Option<String>) -> Go {
        self.record(Event::NodeSeen {
            node: node.into(),
            boot: g.boot.clone(),
            identity: g.identity.clone(),
            unrecorded,
        })?;
        self.greeted.insert(node.to_string(), g);
        Ok(())
    }

    fn will_change(&self, node: &str) -> bool {
        self.plan.steps().any(|s| s.changes() && self.node_of(&s.place).as_deref() == Some(node))
    }

    fn one_machine_one_name(&self) -> Go {
        let mut by_id: BTreeMap<&str, &str> = BTreeMap::new();
        for (node, g) in &self.greeted {
            if let Some(id) = &g.identity
                && node != "here"
                && let Some(other) = by_id.insert(id, node)
            {
                return Err(Halt::NotReady(one_machine(other, node)));
            }
        }
        Ok(())
    }

    /// Takes the locks of all nodes this run may change, and of an exclusive system's other nodes that can be reached:
    /// two activations on two nodes must meet.
    pub(super) fn lock_all(&mut self) -> Go {
        let plan = self.plan;
        let nodes = plan.steps().filter(|s| s.changes()).filter_map(|s| self.node_of(&s.place)).collect();
        self.lock_these(nodes)
    }

    /// A run that was ended before its first change takes the locks it had, where it can: another station may have gone on with
    /// it since, and then there is nothing more for this one to do, not even where all is done already.
    pub(super) fn lock_again(&mut self) -> Go {
        let had: Vec<String> = self.history.locked.iter().filter(|n| self.greeted.contains_key(*n)).cloned().collect();
        if had.is_empty() { Ok(()) } else { self.lock_these(had) }
    }

    pub(super) fn lock_these(&mut self, mut nodes: Vec<String>) -> Go {
        let plan = self.plan;
        if plan.exclusive {
            let lost = plan.lost();
            let peers: Vec<String> = plan.proof.iter().map(|p| p.node.clone()).filter(|n| lost != Some(n)).collect();
            let met = self.greet_each(&peers)?;
            nodes.extend(peers.into_iter().zip(met).filter_map(|(n, met)| met.is_ok().then_some(n)));
        }
        // One order for all, by name, so that of two runs that want the same nodes one gets them; and nobody waits for a lock:
        // who meets one that is held gives back what it has.
        nodes.sort();
        nodes.dedup();
        for node in nodes {
            self.lock(&node)?;
        }
        self.one_machine_one_name()
    }

    /// Asks for a node's lock, once a sitting.
    pub(super) fn lock(&mut self, node: &str) -> Go {
        if self.lock_asked.contains(node) {
            return Ok(());
        }
        self.greet(node)?.map_err(|why| Halt::NotReady(format!("cannot reach {node}: {why}")))?;
        let (run, holder) = (self.history.run.clone(), self.settings.holder.clone());
        let marker = self.history.marker.clone();
        let mut locked = self.reach.lock(node, &run, &marker, &holder);
        if let Ok(Locked::Held(_)) = locked {
            let others: Vec<String> = self.greeted.keys().filter(|n| *n != node).cloned().collect();
            if let Some(whose) = self.reach.give_back(node, &others) {
                let text = format!("{node} was still locked by {whose}; that lock was given back");
                self.record(Event::Noted { text })?;
                locked = self.reach.lock(node, &run, &marker, &holder);
            }
        }
        match locked {
            Ok(Locked::Ours) => {
                self.lock_asked.insert(node.to_string());
                self.locked.push(node.to_string());
                if let Ok(g) = self.reach.greet(node) {
                    let unrecorded = g.unrecorded.clone();
                    self.seen(node, g, unrecorded)?;
                }
                let generation = self.reach.generation(node);
                self.record(Event::NodeLocked { node: node.into(), generation })?;
                self.heard = self.clock.now();
                // What runs on this machine belongs to many systems.
                let matters = node != "here" && self.history.changed();
                if let Some(later) = self.reach.later(node).pop().filter(|_| matters) {
                    self.hints.push(format!("to go on with that one from here: hawiz resume {later} --from {node}"));
                    return Err(Halt::NotReady(format!(
                        "run `{later}` has changed {node} since; `{run}` can neither be resumed nor rolled back"
                    )));
                }
                self.reach.syslog(node, &format!("run {run}: {} begins, {holder}", self.plan.procedure));
                Ok(())
            }
            Ok(Locked::Held(who)) => {
                self.record(Event::NodeHeld { node: node.into(), holder: who.clone() })?;
                Err(Halt::Locked(format!("{node} is held by another run: {who}")))
            }
            Ok(Locked::Taken(who)) => {
                self.record(Event::NodeHeld { node: node.into(), holder: who.clone() })?;
                Err(Halt::Taken(format!(
                    "another station has taken this run over on {node}: {who}; nothing further was done"
                )))
            }
            Ok(Locked::Impossible(why)) => {
                self.lock_asked.insert(node.to_string());
                self.record(Event::Noted { text: format!("{node} keeps no lock and no record of steps: {why}") })
            }
            Err(u) => {
                // The answer was lost, maybe not the lock: it is given back, if there is one, when the node can be asked.
                self.locked.push(node.to_string());
                Err(Halt::NotReady(format!("cannot reach {node}: {}", u.why)))
            }
        }
    }

    /// A run whose lock was taken does nothing further, not even where there is nothing to do.
    pub(super) fn still_ours(&mut self, node: &str) -> Go {
        match self.reach.taken(node) {
            Some(why) => Err(Halt::Taken(format!("{node}: {why}; nothing further was done"))),
            None => Ok(()),
        }
    }

    /// The same of all nodes: before a change, each that was not heard of for a while is asked.
    pub(super) fn all_still_ours(&mut self, node: &str) -> Go {
        let others: Vec<String> = self.locked.iter().filter(|n| *n != node).cloned().collect();
        if self.clock.now().saturating_sub(self.heard) > HEARD && !others.is_empty() {
            self.reach.beat(&others, self.settings.probe);
            self.heard = self.clock.now();
        }
        others.iter().try_for_each(|n| self.still_ours(n))
    }

    pub(super) fn unlock_all(&mut self) {
        let run = self.history.run.clone();
        for node in self.locked.iter().filter(|_| !self.left_running) {
            // A lock that cannot be given back is found by the next run, which then says how.
            let _ = self.reach.unlock(node, &run);
        }
    }

    /// After the last record, so that each node's copy has that, too.
    pub(super) fn farewell(&mut self, verdict: Verdict) {
        for node in std::mem::take(&mut self.locked) {
            let words = format!("run {}: {} ends: {verdict:?}", self.history.run, self.plan.procedure);
            self.reach.syslog(&node, &words);
        }
    }
}
