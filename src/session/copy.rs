//! The copy of a run's journal on the nodes it works on.
//!
//! Why it exists: the machine hawiz runs on may be the next to fail; then another one goes on with the run (`docs/stations.md`).
//! Invariants: a copy costs no round trip, it goes in front of what is sent anyway and has no answer; it can never stop a step;
//! its lines are the journal's own, masked as that is, and numbered, so that a piece that is missing is seen by who reads it.

use super::lock::Held;
use super::seat::Seat;
use super::wire::word;
use crate::journal::Trail;
use std::sync::Arc;
use std::time::Duration;

/// Most that goes in front of one message; what is left goes with the next.
const PIECE: usize = 256 * 1024;
/// Bytes a second that a slow link takes; a message with so much in front of it is waited for longer.
const SLOW: u64 = 64 * 1024;

/// How far the copy on one node is.
#[derive(Default)]
pub struct Copying {
    pub trail: Option<Arc<Trail>>,
    /// Bytes of the journal that were sent, and that have certainly arrived.
    sent: u64,
    sure: u64,
    plan: HasPlan,
}

/// Whether the node has the run's plan.
#[derive(Clone, Copy, Default, PartialEq)]
enum HasPlan {
    #[default]
    No,
    Sent,
    Yes,
}

impl Copying {
    /// A new generation, which has a copy of its own.
    pub fn begins(&mut self, has_plan: bool) {
        (self.sent, self.sure) = (0, 0);
        self.plan = if has_plan { HasPlan::Yes } else { HasPlan::No };
    }
    /// What was on its way may not have come through.
    pub fn link_is_new(&mut self) {
        self.sent = self.sure;
        if self.plan == HasPlan::Sent {
            self.plan = HasPlan::No;
        }
    }
    /// What was sent before this answer was read before it. `torn`: but could not all be written.
    pub fn arrived(&mut self, torn: bool) {
        if torn {
            self.sent = 0;
        }
        self.sure = self.sent;
        if self.plan == HasPlan::Sent {
            self.plan = HasPlan::Yes;
        }
    }
}

impl Seat {
    /// Puts what the journal has said since the last time in front of the next message. Says for how much longer than usual its
    /// answer is to be waited for.
    pub fn carry(&mut self) -> Duration {
        let (Some(trail), Some(Held { run, generation, given_back }), Some(link)) =
            (&self.copy.trail, &self.held, &mut self.link)
        else {
            return Duration::ZERO;
        };
        let mut bytes = 0;
        if self.copy.plan == HasPlan::No
            && !given_back
            && let Some(plan) = trail.plan()
        {
            let line = [b"hz_plan ", run.as_bytes(), b" ", &word(&plan)[..]].concat();
            bytes += line.len();
            link.set(&line);
            self.copy.plan = HasPlan::Sent;
        }
        let lines = trail.since(self.copy.sent, PIECE);
        if !lines.is_empty() {
            self.copy.sent += lines.len() as u64;
            let line = [b"hz_copy ", run.as_bytes(), b" ", generation.as_bytes(), b" ", &word(&lines)[..]].concat();
            bytes += line.len();
            link.set(&line);
        }
        Duration::from_secs(bytes as u64 / SLOW)
    }
    pub fn syslog(&mut self, line: &str) {
        // Not worth a connection, never in the way of a step, and nobody waits for it: it has no answer.
        if self.step.is_none() {
            self.carry();
            if let Some(link) = &mut self.link {
                link.call("hz_syslog", &[&word(line.as_bytes())]);
                link.send();
            }
        }
    }
}
