//! The end of a sitting: verdict, exit code and last words, computed from outcomes.
//!
//! Invariant: a run that changed anything never ends *declined* or *not ready*; one that changed nothing never ends
//! *stopped* or *failed*. Whether it did is what the nodes said, not what was tried: an attempt that never began changed
//! nothing.

use super::{Ending, Engine, Halt};
use crate::event::{Event, Outcome, Verdict};
use crate::problem::Exit;

impl Engine<'_> {
    pub(super) fn close(mut self, halt: Option<Halt>) -> Ending {
        let changed = self.history.changed();
        let steps = || self.history.steps.values();
        let degraded = steps().any(|s| matches!(s.outcome, Some(Outcome::Failed(_))));
        let unknown = steps().any(|s| matches!(s.outcome, Some(Outcome::Unknown(_))) && s.ours());
        let stuck = steps().any(|s| matches!(s.undone, Some(Outcome::UndoFailed(_) | Outcome::Unknown(_))));
        let either =
            |after: Verdict, before: Verdict, exit: Exit| if changed { (after, Exit::Stopped) } else { (before, exit) };
        let ((mut verdict, mut exit), why) = match halt {
            None if self.history.undoing => ((Verdict::RolledBack, Exit::RolledBack), None),
            None if degraded => ((Verdict::Degraded, Exit::Degraded), None),
            None => ((Verdict::Completed, Exit::Ok), None),
            Some(Halt::Dry) => {
                let why = "dry from here on: nothing was changed after that".to_string();
                ((Verdict::Dry, if changed { Exit::Stopped } else { Exit::Ok }), Some(why))
            }
            Some(Halt::Undo) => ((Verdict::Stopped, Exit::Stopped), None),
            Some(Halt::Unplanned(w)) => (either(Verdict::Stopped, Verdict::NotReady, Exit::NotReady), Some(w)),
            Some(Halt::Stopped(w)) => (either(Verdict::Stopped, Verdict::Declined, Exit::Declined), Some(w)),
            Some(Halt::NotReady(w)) => (either(Verdict::Stopped, Verdict::NotReady, Exit::NotReady), Some(w)),
            Some(Halt::Failed(w)) => (either(Verdict::Failed, Verdict::NotReady, Exit::NotReady), Some(w)),
            Some(Halt::Locked(w)) => (either(Verdict::Stopped, Verdict::Locked, Exit::Locked), Some(w)),
            // The one that says who has it now, whatever was changed before.
            Some(Halt::Taken(w)) => {
                ((either(Verdict::Stopped, Verdict::Locked, Exit::Locked).0, Exit::Locked), Some(w))
            }
            Some(Halt::Unknown(w)) => ((Verdict::Unknown, Exit::Unknown), Some(w)),
            Some(Halt::Journal(w)) => (either(Verdict::Stopped, Verdict::NotReady, Exit::NotReady), Some(w)),
        };
        if unknown {
            (verdict, exit) = (Verdict::Unknown, exit.worst(Exit::Unknown));
        }
        if stuck {
            (verdict, exit) = (Verdict::Stuck, exit.worst(Exit::Stuck));
        }
        self.bring_up_to_date(verdict);
        self.unlock_all();
        let skipped = steps_skipped(&self);
        let (nodes, next) = (self.node_words(verdict), self.next(verdict, exit));
        let event = Event::RunFinished { verdict, exit: exit.code(), why: why.clone(), nodes, skipped, next };
        // The last record; when even that cannot be written, the screen and the code still say what is known.
        if self.sink.record(event.clone()).is_err() {
            self.sink.show(event);
        }
        self.farewell(verdict);
        Ending { verdict, exit, why }
    }

    /// What state each node is in, in words.
    fn node_words(&self, verdict: Verdict) -> Vec<(String, String)> {
        let plan = self.plan;
        let mut out = Vec::new();
        for n in &plan.nodes {
            let steps: Vec<_> = self.history.steps.values().filter(|s| s.node == n.name).collect();
            let is_target = plan.target.as_deref() == Some(n.name.as_str());
            let words = match (plan.procedure.as_str(), verdict, is_target) {
                ("activate", Verdict::Completed, true) => "active; every step is done and verified".to_string(),
                ("activate", Verdict::Degraded, true) => "active, but optional steps failed".to_string(),
                ("failover", Verdict::Completed, true) if plan.exclusive => {
                    "active; every step is done and verified".to_string()
                }
                ("failover", Verdict::Degraded, true) if plan.exclusive => {
                    "active, but optional steps failed".to_string()
                }
                ("failover", Verdict::Completed | Verdict::Degraded, false) if self.proven.contains_key(&n.name) => {
                    self.proof_words(&n.name).expect("its proof was found just now").replace("; not changed", "")
                }
                ("failover", Verdict::RolledBack, false) if plan.gives_up(&n.name) && plan.exclusive => {
                    "active again; all was taken back".to_string()
                }
                ("deactivate", Verdict::Completed, true) if plan.exclusive => "inactive, as was looked at".to_string(),
                ("deactivate", Verdict::Degraded, true) if plan.exclusive => {
                    "inactive, as was looked at; optional steps failed".to_string()
                }
                _ if steps.iter().any(|s| s.ours()) => {
                    let ours = self.history.order.iter().filter_map(|i| self.history.steps.get(i));
                    let titles: Vec<&str> =
                        ours.filter(|s| s.node == n.name && s.ours()).map(|s| s.title.as_str()).collect();
                    format!("changed: {}", titles.join(", "))
                }
                _ if steps.iter().any(|s| s.undone.is_some()) => "as it was before this run".to_string(),
                _ if is_target => "not changed".to_string(),
                _ => match self.proof_words(&n.name) {
                    Some(words) => words,
                    None => continue,
                },
            };
            out.push((n.name.clone(), words));
        }
        out
    }

    /// How to go on.
    fn next(&self, verdict: Verdict, exit: Exit) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        let (run, flags) = (&self.history.run, &self.settings.flags);
        let left = !self.left_to_undo().is_empty();
        match verdict {
            // Not its own any more: whoever has it goes on with it or takes it back.
            Verdict::Stopped if exit == Exit::Locked => {
                out.push(format!("look:             hawiz {flags}show {run}"));
                out.push(format!(
                    "to have it back:  hawiz unlock NODE --reason TEXT, then hawiz {flags}resume {run} --from NODE"
                ));
            }
            Verdict::Stopped | Verdict::Failed | Verdict::Unknown | Verdict::Dry if self.history.undoing => {
                if left {
                    out.push(format!("go on with the roll-back:  hawiz {flags}rollback {run}"));
                }
                out.push(format!("look:  hawiz {flags}show {run}"));
            }
            Verdict::Stopped | Verdict::Failed | Verdict::Unknown | Verdict::Dry if self.history.changed() => {
                out.push(format!("go on:      hawiz {flags}resume {run}"));
                if left {
                    out.push(format!("take back:  hawiz {flags}rollback {run}"));
                }
                out.push(format!("look:       hawiz {flags}show {run}"));
            }
            Verdict::Stuck => {
                out.push("an undo failed; these commands are left:".into());
                let left = self.left_to_undo();
                let library = crate::catalog::Library::read();
                let calls = left.iter().any(|(_, text)| !library.of(&text.as_str().into()).is_empty());
                out.extend(left.iter().map(|(node, text)| format!("on {node}: {text}")));
                if calls {
                    let target = self.plan.target.as_ref().map(|t| format!(" --on {t}")).unwrap_or_default();
                    out.push(format!("their functions:  hawiz plan {}{target}  (at its end)", self.plan.procedure));
                }
            }
            Verdict::Locked => {
                out.push(format!("when that run is really gone:  hawiz {flags}unlock NODE --reason TEXT"));
            }
            _ => {}
        }
        out.splice(0..0, self.hints.iter().cloned());
        for (node, why) in &self.history.unrecorded {
            out.push(format!("{node} kept no record of its steps: {why}"));
        }
        out
    }
}

fn steps_skipped(engine: &Engine<'_>) -> Vec<(String, String)> {
    let why = |s: &crate::history::Step| match &s.outcome {
        Some(Outcome::Skipped(why)) => Some((format!("{} ({})", s.title, s.node), why.clone())),
        _ => None,
    };
    engine.history.steps.values().filter_map(why).collect()
}

pub(super) fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Already => "already",
        Outcome::Passed => "passed",
        Outcome::Skipped(_) => "skipped",
        Outcome::Failed(_) => "failed",
        Outcome::Unknown(_) => "unknown",
        Outcome::Undone => "undone",
        Outcome::UndoFailed(_) => "undo-failed",
    }
}
