//! What the text of a plan says of a failover: who is active, when the source is proven, what cannot be taken back.
//!
//! Why it exists: at night the first question is who is active now, the last what cannot be undone. Invariant: what is said
//! here comes from the plan and from looks just taken; nothing is decided.

use super::escape::line as harmless;
use super::script_text::Text;
use super::tally::{State, misfit, proof_before, stage_done, stage_skipped, state};
use super::text::{count, hang};
use super::words::{place, source, title};
use super::{Ink, plain};
use crate::event::Proven;
use crate::plan::{Stage, Undo, What};

impl Text<'_> {
    /// Who is active, of the nodes of a failover.
    pub(super) fn roles(&mut self) {
        let Some(looks) = self.looks.filter(|_| self.plan.failover.is_some()) else { return };
        let seen: Vec<_> =
            self.plan.roles().iter().filter_map(|p| Some((&p.node, &looks.proofs.get(&p.node)?.0))).collect();
        if seen.is_empty() {
            return;
        }
        self.line("");
        self.beside("Who is active?", "", Ink::Strong);
        for (node, proven) in seen {
            let gives_up = self.plan.from() == Some(node);
            let (mark, ink) = match proven {
                Proven::Active(_) if gives_up => (self.marks.yes, Ink::Good),
                Proven::LookedAt if !gives_up => (self.marks.yes, Ink::Good),
                Proven::CannotTell(_) => (self.marks.doubt, Ink::Doubt),
                _ => (self.marks.no, Ink::Bad),
            };
            let said = plain::proven(proven).replacen("ACTIVE", "active", 1);
            for l in hang(&format!("  {mark} {}: {}", harmless(node), harmless(&said)), self.style.width) {
                let painted = self.style.paint(ink, &l);
                self.line(&painted);
            }
        }
        if let Some(no) = misfit(self.plan, looks) {
            for text in [format!("  {} {}", self.marks.no, harmless(&no.why)), format!("    {}", harmless(&no.hint))] {
                for l in hang(&text, self.style.width) {
                    let painted = self.style.paint(Ink::Bad, &l);
                    self.line(&painted);
                }
            }
        }
    }

    /// Before the other node takes over, the one that gives up must be proven: here, by its own checks or by its power.
    pub(super) fn source(&mut self, stage: usize) {
        let plan = self.plan;
        if let Some(proof) = proof_before(plan, stage) {
            self.line("");
            let node = harmless(&proof.node);
            let right = format!("proof {} {node}", self.marks.dot);
            self.beside(&format!("Proof: is {node} inactive now?"), &right, Ink::Strong);
            if self.style.verbose > 0 || self.looks.is_none() {
                self.steps(&proof.steps, std::slice::from_ref(&proof.node), false);
            } else {
                let n = count(proof.steps.len(), "check is", "checks are");
                self.prose(
                    2,
                    &format!(
                        "{n} looked at again; {node} must be inactive before {} changes anything.",
                        plan.target.as_deref().unwrap_or("the other")
                    ),
                );
            }
            if let Some(instead) = plan.failover.as_ref().and_then(|f| f.instead.as_deref()) {
                let way = match instead.fence_of(&proof.node) {
                    Some(fence) => format!("its power is cut ({})", fence.by),
                    None => "you vouch for it".to_string(),
                };
                self.prose(2, &format!("Should {node} stop answering, hawiz offers to go on unplanned: {way}."));
            }
            return;
        }
        let first = plan.stages.iter().position(|s| s.of.is_some() && s.of == plan.target) == Some(stage);
        if let Some(fence) = plan.lost().and_then(|n| plan.fence_of(n)).filter(|_| first && plan.activates) {
            self.line("");
            let node = harmless(&fence.node);
            let right = format!("proof {} {node}", self.marks.dot);
            self.beside(&format!("Proof: is {node} off?"), &right, Ink::Strong);
            let text = format!(
                "Its power is off ({}), and it shows no sign of life: asked again before each change that only one node may have.",
                fence.by
            );
            self.prose(2, &text);
        }
    }

    /// Which of a stage's checks are looked at before the source gives anything up.
    pub(super) fn early(&mut self, stage: &Stage) {
        let n = stage.steps.iter().filter(|s| self.early.has(s)).count();
        if let Some(from) = self.plan.from().filter(|_| n > 0) {
            let (is, it) = if n == 1 { ("check is", "it is") } else { ("checks are", "one is") };
            let from = harmless(from);
            self.prose(
                2,
                &format!("{n} {is} looked at before {from} gives anything up, too: if {it} false, nothing is changed."),
            );
        }
    }

    /// What else is a sign of life, where a node cannot be looked at.
    pub(super) fn signs(&mut self) {
        let plan = self.plan;
        if let Some(target) = plan.target.as_ref().filter(|_| !plan.moving.is_empty() && plan.activates) {
            let text = format!(
                "Where a node cannot be looked at, {} also asks who else holds the address; an answer refuses:",
                harmless(target)
            );
            self.prose(2, &text);
            for look in &plan.moving {
                self.command("sign", &source(&look.command), "", 4);
            }
        }
        for proof in plan.alive.iter().filter(|p| plan.activates && !p.steps.is_empty()) {
            let node = harmless(&proof.node);
            self.prose(
                2,
                &format!("Where {node} cannot be looked at, each of these is a sign that it is alive, and refuses:"),
            );
            for step in &proof.steps {
                let What::Check(check) = &step.what else { continue };
                for (at, look) in &check.looks {
                    let on = place(at, self.looks);
                    self.command("sign", &source(&look.command), &format!("on {}", harmless(&on)), 4);
                }
            }
        }
    }

    /// Once more, where it is read last: what cannot be taken back. What is so already is not done.
    pub(super) fn no_return(&mut self) {
        for (n, stage) in self.plan.stages.iter().enumerate() {
            if stage_skipped(stage, self.looks) || stage_done(stage, self.looks) {
                continue;
            }
            let looks = self.looks;
            for step in stage.steps.iter().filter(|s| state(s, looks, true) != State::Already) {
                let undo = match &step.what {
                    What::Change(c) => &c.undo,
                    What::Manual(m) => &m.undo,
                    What::Check(_) => continue,
                };
                if let Undo::NoReturn(why) = undo {
                    let title = title(&step.title, self.looks);
                    let text = format!(
                        "Point of no return: after \"{title}\" (stage {}) it cannot be taken back, because {}.",
                        n + 1,
                        harmless(why).trim_end_matches('.')
                    );
                    for l in hang(&text, self.style.width) {
                        let text = self.style.paint(Ink::Bad, &l);
                        self.line(&text);
                    }
                }
            }
        }
    }
}
