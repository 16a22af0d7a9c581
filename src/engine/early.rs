//! What the other node refuses is found out before the source gives anything up.
//!
//! Why it exists: a failover whose target turns out unfit after the source's power was cut has made one dead node into two. So the
//! checks at the head of the activation ([`crate::plan::Plan::early`]) are looked at before the first change of the source's
//! part, and again in their place. Invariants: nothing is learnt here, for what a check tells may change when the source gives up; a
//! check that cannot be looked at refuses as one that is false does; looked at before the gate, and again when its yes took long.

use super::{Engine, Go, Halt};
use crate::event::Event;
use crate::plan::What;

impl Engine<'_> {
    /// Every check that can refuse before the source gives up, or the run ends here.
    pub(super) fn fit_to_take_over(&mut self) -> Go {
        let plan = self.plan;
        let guards = plan.early();
        let (Some(first), Some(from), Some(to)) = (guards.first(), plan.from(), plan.target.as_deref()) else {
            return Ok(());
        };
        // Once the source has given up, their place is the only one.
        let before = plan.steps().enumerate().take_while(|(_, s)| s.instance != first.instance);
        if self.crossed || !before.filter(|(_, s)| s.changes()).any(|(at, s)| !self.settled(at, s)) {
            return Ok(());
        }
        let mut refused = Vec::new();
        for step in &guards {
            let What::Check(check) = &step.what else { continue };
            let (seen, why) = self.looks_until(step, check, step.within)?;
            self.heed()?;
            if let Some(why) = why {
                let nodes: Vec<&str> = seen.iter().map(|(node, _)| node.as_str()).collect();
                refused.push(format!("{} ({}): {why}", self.title(step), nodes.join(", ")));
            }
        }
        let kept = match plan.lost().and_then(|lost| plan.fence_of(lost)) {
            Some(_) => format!("{from} keeps its power"),
            None => format!("{from} is left as it is"),
        };
        if refused.is_empty() {
            let n = guards.len();
            let checks = if n == 1 { "1 check is true".to_string() } else { format!("{n} checks are true") };
            let text = format!("before {from} gives anything up: {checks} of what {to} needs");
            return self.record(Event::Noted { text });
        }
        self.hints
            .push(format!("what can only be true once {from} has given up is marked `early = false` in the playbook"));
        Err(Halt::NotReady(format!("{to} is not fit to take over, so {kept}: {}", refused.join("; "))))
    }
}
