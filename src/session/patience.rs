//! Nodes that are not waited for: one that somebody vouches for, and one that is only asked whether its lock still stands.
//!
//! Why it exists: a dead host must not hold up those that live. Invariant: what was not said in time is not known; it is never taken for
//! an answer.

use super::door::Opened;
use super::seat::{A_MOMENT, Seat};
use super::wire::now;
use crate::transport::Trouble;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

impl Seat {
    /// What came of opening it, if that is known in time. What takes longer goes on, and is asked for the next time.
    pub(super) fn soon(&mut self, within: Duration) -> Result<Option<(Opened, Duration)>, Trouble> {
        loop {
            super::abreast::open(self.expect().into_iter());
            let Some(expected) = self.expected.take() else { return Ok(None) };
            match expected.recv_timeout((self.begun + within).saturating_sub(now())) {
                // That it could not be reached a while ago says nothing of now: it is begun anew.
                Ok((Err(_), at)) if now().saturating_sub(at) >= A_MOMENT => {}
                Ok(opened) => return Ok(Some(opened)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {
                    self.expected = Some(expected);
                    let text = format!("no answer within {}s, and it is vouched for", within.as_secs());
                    return Err(Trouble::new(text));
                }
            }
        }
    }

    /// Asks whether the lock is still this run's; not for long, and not again where that was not said in time: silence proves
    /// nothing, and whatever is asked of the node next tells.
    pub fn beat(&mut self, within: Duration) {
        if self.link.is_none() || self.step.is_some() || self.held.is_none() || self.mute {
            return;
        }
        match self.ask("hz_ours", &[], within) {
            Ok(said) => self.taken = said.trim().strip_prefix("taken ").map(String::from).or_else(|| self.taken.take()),
            Err(_) => self.mute = true,
        }
    }
}
