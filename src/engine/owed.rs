//! The register: said first, written before a node becomes the active one, brought up to date at the end.
//!
//! Why it exists: what a run leaves owed must be known to whoever comes next, from whatever station. Invariants: in an
//! exclusive system no node is given what only one may have before it is written on that node that it becomes active, and
//! what the others owe; a register that cannot be written there stops the run before that change. On the other nodes it is
//! written where they can be reached, and where not, that is said.

use super::{Engine, Go, Halt};
use crate::event::{Event, Outcome, Proven, Verdict};
use crate::register::{Debt, Owes, Register};

impl Engine<'_> {
    /// What the nodes that were greeted say of this system.
    fn register(&self) -> Option<Register> {
        let system = self.plan.system()?;
        let all = self.greeted.values().flat_map(|g| &g.registers).filter(|r| r.system == system);
        Some(Register::newest(all).unwrap_or_else(|| Register::new(&system)))
    }

    /// Before anything else: what is owed since earlier runs.
    pub(super) fn say_what_is_owed(&mut self) -> Go {
        if self.plan.system().is_none() {
            return Ok(());
        }
        // Only the newest register counts, and any of the nodes may have it.
        // A node that is lost is never contacted.
        let lost = self.plan.lost().map(String::from);
        let peers = self.plan.proof.iter().map(|p| p.node.clone()).filter(|n| Some(n) != lost.as_ref());
        let peers: Vec<String> = peers.collect();
        self.greet_each(&peers)?;
        let Some(register) = self.register() else { return Ok(()) };
        let mine = |d: &Debt| d.run == self.history.run;
        let debts: Vec<Debt> = register.debts.iter().filter(|d| !mine(d)).cloned().collect();
        if debts.is_empty() { Ok(()) } else { self.record(Event::Owed { debts }) }
    }

    /// Right before a change that gives the target what only one node may have.
    pub(super) fn inscribe_active(&mut self, node: &str) -> Go {
        let Some(mut register) = self.register() else { return Ok(()) };
        let before = register.clone();
        register.activated(node);
        for debt in self.not_deactivated() {
            register.owe(debt);
        }
        if register.says_as(&before) && before.epoch > 0 {
            return Ok(());
        }
        self.inscribe(register, Some(node))
    }

    /// Nodes that were proven inactive by somebody's word only: nobody has seen what is enabled or mounted there.
    fn not_deactivated(&self) -> Vec<Debt> {
        let run = &self.history.run;
        let owes = |(node, why): (&String, &str)| Debt {
            node: node.clone(),
            owes: Owes::Deactivation,
            run: run.clone(),
            why: why.into(),
        };
        let vouched = self.proven.iter().filter_map(|(node, proven)| match proven {
            Proven::Attested => Some((node, "it could not be reached, and a person vouched for it")),
            Proven::Fenced(_) => Some((node, "its power was cut")),
            _ => None,
        });
        vouched.map(owes).collect()
    }

    /// Steps that a person skipped, that failed and were let be, or whose outcome nobody knows.
    fn steps_owed(&self) -> Vec<Debt> {
        let h = &self.history;
        let why = |id: &String, step: &crate::history::Step| match &step.outcome {
            Some(Outcome::Unknown(why)) if step.ours() => Some(format!("its outcome is not known: {why}")),
            Some(Outcome::Failed(why)) => Some(format!("it failed: {why}")),
            Some(Outcome::Skipped(why)) if h.skipped_by_choice.contains(id) || why.starts_with("overridden: ") => {
                Some(format!("it was skipped: {why}"))
            }
            _ => None,
        };
        let debt = |(id, step): (&String, &crate::history::Step)| {
            let (node, why) = (step.node.clone(), why(id, step)?);
            Some(Debt { node, owes: Owes::Step(id.clone()), run: h.run.clone(), why })
        };
        h.steps.iter().filter_map(debt).collect()
    }

    /// At the end of a sitting, while the locks are held: what this run has made of the system.
    pub(super) fn bring_up_to_date(&mut self, verdict: Verdict) {
        let plan = self.plan;
        let (Some(mut register), Some(target)) = (self.register(), plan.target.as_deref()) else { return };
        let before = register.clone();
        let whole = matches!(verdict, Verdict::Completed | Verdict::Degraded);
        let from = plan.from().filter(|from| plan.gives_up(from));
        match (plan.procedure.as_str(), verdict) {
            ("failover", _) if whole => {
                from.into_iter().for_each(|from| register.deactivated(from));
                register.activated(target);
            }
            ("failover", Verdict::RolledBack) => {
                register.deactivated(target);
                from.into_iter().for_each(|from| register.activated(from));
            }
            ("activate", _) if whole => register.activated(target),
            ("activate", Verdict::RolledBack) | ("deactivate", Verdict::Completed | Verdict::Degraded) => {
                register.deactivated(target);
            }
            ("deactivate", Verdict::RolledBack) if before.active.is_none() => register.activated(target),
            _ => {}
        }
        if whole || matches!(verdict, Verdict::Unknown) {
            for debt in self.steps_owed() {
                register.owe(debt);
            }
        }
        if verdict == Verdict::RolledBack {
            let run = &self.history.run;
            register.debts.retain(|d| d.run != *run);
        }
        // A run that found everything so writes nothing, unless that pays what was owed.
        let pays = before.debts.iter().any(|d| d.node == target && !register.debts.contains(d));
        if register.says_as(&before) || !(self.history.changed() || pays) {
            return self.spread(&before);
        }
        let locked = if self.locked.is_empty() { self.lock_these(vec![target.into()]) } else { Ok(()) };
        if let Err(Halt::NotReady(why) | Halt::Locked(why)) = locked.and_then(|()| self.inscribe(register, None)) {
            // The run's own record says it as well.
            let _ = self.record(Event::Noted { text: why });
        }
    }

    /// A node that was away when it was written is told now.
    fn spread(&mut self, newest: &Register) {
        let knows = |r: &Register| r.system == newest.system && r.epoch >= newest.epoch;
        let told =
            |n: &&String| self.greeted.get(*n).is_none_or(|g| g.unrecorded.is_some() || g.registers.iter().any(knows));
        let late: Vec<String> = self.locked.iter().filter(|n| !told(n)).cloned().collect();
        for node in late.iter().filter(|_| newest.epoch > 0) {
            // Nobody relies on it there: whoever asks asks all.
            let _ = self.reach.inscribe(node, newest);
        }
    }

    /// Writes it, on `first` before all others.
    fn inscribe(&mut self, mut register: Register, first: Option<&str>) -> Go {
        register.epoch += 1;
        register.since = self.clock.utc();
        register.run.clone_from(&self.history.run);
        register.by.clone_from(&self.settings.holder);
        let others = self.locked.iter().filter(|n| Some(n.as_str()) != first).cloned();
        let nodes: Vec<String> = first.map(String::from).into_iter().chain(others).collect();
        let (mut written, mut missed) = (Vec::new(), Vec::new());
        for node in nodes {
            let unrecorded = self.greeted.get(&node).and_then(|g| g.unrecorded.clone());
            let said = match unrecorded {
                Some(why) => Err(why),
                None => self.reach.inscribe(&node, &register),
            };
            match said {
                Ok(()) => {
                    if let Some(g) = self.greeted.get_mut(&node) {
                        g.registers.retain(|r| r.system != register.system);
                        g.registers.push(register.clone());
                    }
                    written.push(node);
                }
                // A node without records was said to be one before; nothing can be asked of it here either.
                Err(why) if Some(node.as_str()) == first && self.locked.contains(&node) => {
                    return Err(Halt::NotReady(format!(
                        "it cannot be written on {node} that it becomes active: {why}"
                    )));
                }
                Err(why) => missed.push((node, why)),
            }
        }
        self.record(Event::Registered { register, nodes: written, missed })
    }
}
