//! Signs of life of a node that cannot be looked at.
//!
//! Why it exists: a fence device may lie, and a person may be wrong; what a node itself still does beats both. Invariants: all signs are
//! looked for side by side, so that they cost as long as the slowest; only a clear *yes* is one, silence proves nothing; the
//! node is not logged in to, and a node that cannot ask is no sign either.

use super::looks::evidence;
use super::{Engine, Go};
use crate::plan::{Answer, Look, What};
use crate::reach::{Ask, Reply, Sent};
use crate::shell::Word;
use std::time::Duration;

/// A look from elsewhere is waited for so long at most.
const AT_MOST: Duration = Duration::from_secs(10);

/// What an answer would mean.
enum Sign<'a> {
    /// *No*: somebody else is on an address that is to move.
    Moving(&'a Look),
    /// *Yes*: it answers ARP/ND and ping.
    Answers,
    /// *Yes*: what the playbook says, by this title.
    Own(String, &'a Look),
}

impl Sign<'_> {
    fn shown_by(&self, reply: &Reply) -> Option<String> {
        let said = evidence(reply);
        match self {
            Sign::Moving(look) => (look.read(reply.code) == Answer::No).then_some(said),
            Sign::Answers => (reply.code == Some(0)).then_some(said),
            Sign::Own(title, look) if look.read(reply.code) == Answer::Yes => {
                Some(if said.is_empty() { title.clone() } else { format!("{title} ({said})") })
            }
            Sign::Own(..) => None,
        }
    }
}

impl Engine<'_> {
    /// An SSH banner at its own port, an answer to ARP/ND and ping from the target, somebody else on an address that is to
    /// move to it, and what the playbook's `alive` knows of it.
    pub(super) fn sign_of_life(&mut self, node: &str) -> Go<Option<String>> {
        let plan = self.plan;
        let wait = self.settings.probe;
        let (mut signs, mut asks) = (Vec::new(), Vec::new());
        if let Some(target) = &plan.target {
            for look in &plan.moving {
                let Ok(sent) = self.sent(&look.command, None) else { continue };
                signs.push(Sign::Moving(look));
                asks.push(Ask { node: target.clone(), sent, deadline: AT_MOST });
            }
            if let Some(address) = plan.node(node).and_then(|n| n.address.as_deref()) {
                let script = crate::catalog::network::sign_of_life(&Word::literal(address)).0;
                signs.push(Sign::Answers);
                asks.push(Ask { node: target.clone(), sent: Sent { script, ..Sent::default() }, deadline: AT_MOST });
            }
        }
        for step in plan.alive.iter().filter(|p| p.node == node).flat_map(|p| &p.steps) {
            let What::Check(check) = &step.what else { continue };
            for (place, look) in &check.looks {
                let (Some(from), Ok(sent)) = (self.node_of(place), self.sent(&look.command, None)) else { continue };
                signs.push(Sign::Own(self.title(step), look));
                asks.push(Ask { node: from, sent, deadline: step.look_deadline.min(AT_MOST) });
            }
        }
        let (banner, replies) = self.reach.signs(node, &asks, wait);
        let shown = || signs.iter().zip(&replies).find_map(|(sign, reply)| sign.shown_by(reply.as_ref().ok()?));
        Ok(banner.or_else(shown))
    }
}
