//! The copy of a run's journal on the nodes it works on.
//!
//! Why it exists: the machine hawiz runs on may be the next to fail; then another one goes on with the run (`docs/stations.md`).
//! Invariants: a copy costs no round trip, it goes in front of what is sent anyway and has no answer; it can never stop a step;
//! its lines are the journal's own, masked as that is, and numbered, so that a piece that is missing is seen by who reads it.

use super::lock::Held;
use super::seat::Seat;
use super::wire::word;
use crate::journal::Trail;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// Most that goes in front of one message; what is left goes with the next.
const PIECE: usize = 256 * 1024;
/// No plan is larger, unpacked.
const MOST: u64 = 64 << 20;
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

/// A plan as it travels and lies on a node: a tenth of its size, so that it fits into what a fresh connection sends without
/// waiting for an acknowledgement; one printable word, so that every shell can keep it.
pub fn packed(plan: &[u8]) -> String {
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::default());
    let whole = packed.write_all(plan).and_then(|()| packed.finish());
    STANDARD.encode(whole.expect("memory takes what is written to it"))
}

/// The plan again. `None`: it is not whole.
pub fn unpacked(word: &[u8]) -> Option<Vec<u8>> {
    let packed = STANDARD.decode(word.trim_ascii()).ok()?;
    let mut plan = Vec::new();
    // Nobody's plan is as large; what says that it is was not written by hawiz.
    DeflateDecoder::new(&packed[..]).take(MOST).read_to_end(&mut plan).ok()?;
    ((plan.len() as u64) < MOST).then_some(plan)
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
            let line = [b"hz_plan ", run.as_bytes(), b" ", packed(&plan).as_bytes()].concat();
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
        // Not worth a connection, never in the way of a step, and nobody waits for it: it has no answer. Behind the next call,
        // because it starts a program, which that would wait for.
        if self.step.is_none() {
            self.carry();
            if let Some(link) = &mut self.link {
                link.send();
                link.behind(&[b"hz_syslog 0 ", &word(line.as_bytes())[..]].concat());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_unpacked_as_it_was_and_half_of_one_is_none() {
        let plan = "{\"stages\": [\"Start the services\"]}\n".repeat(500);
        let word = packed(plan.as_bytes());
        assert!(word.len() * 10 < plan.len() && word.chars().all(|c| c.is_ascii_alphanumeric() || "+/=".contains(c)));
        assert_eq!(unpacked(format!("{word}\n").as_bytes()).as_deref(), Some(plan.as_bytes()));
        for broken in [&word[..word.len() / 2], "{}", "", "AAAA"] {
            assert_eq!(unpacked(broken.as_bytes()), None, "{broken}");
        }
    }
}
