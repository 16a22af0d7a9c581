//! A step whose program gets the operator's terminal.
//!
//! Why it exists: installers and consoles ask their own questions. The program's keyboard is the terminal, so nothing else
//! can travel beside it: its script is laid ready on the node first, by the same claim that lets a step start at most once,
//! and is then started on the terminal ([`crate::prompt::Question::Terminal`]; the engine knows no terminal).
//!
//! Invariants: nothing is started without a claim; an end that was not seen is not known until a look has told, or a
//! person. Where no terminal reaches (behind `via`, or without a person) it is a manual step.

use super::attempt::{Attempt, Ran};
use super::{Engine, Go};
use crate::plan::{Change, Manual, Step, What};
use crate::prompt::{Answer as Said, Ended, Question};
use crate::reach::{Claim, Sent};
use crate::shell::Word;

/// A claim of this step is its program's, which had the terminal: not its undo's.
pub(super) fn on_terminal(step: &Step, claim: &Claim) -> bool {
    matches!(&step.what, What::Change(c) if c.tty) && claim.step == step.instance
}

impl Engine<'_> {
    /// Whether its program gets the operator's terminal.
    pub(super) fn lends(&self, change: &Change, node: &str) -> bool {
        change.tty && self.prompter.person() && self.plan.lends(node)
    }

    /// What a person does where it cannot.
    pub(super) fn by_hand(&self, change: &Change, node: &str) -> Manual {
        let source = String::from_utf8_lossy(&change.run.source()).into_owned();
        Manual {
            text: Word::literal(format!("run this yourself on {node}, it needs a terminal:\n{source}")),
            done: change.done.clone(),
            verify: change.verify.first().cloned(),
            undo: change.undo.clone(),
        }
    }

    /// Claims it, lays its script ready, and lends the terminal to it until it ends.
    pub(super) fn lend(&mut self, step: &Step, change: &Change, node: &str, claim: &Claim, sent: &Sent) -> Go<Attempt> {
        let file = match self.reach.lay(node, claim, sent) {
            Ok(file) => file,
            Err(why) => return Ok(Attempt::bare(Ran::Never(why))),
        };
        self.left_running = true;
        let question = Question::Terminal { step: step.instance.clone(), node: node.into(), file };
        let ran = match self.prompter.ask(&question).answer {
            Said::Ran(Ended::Exit(code)) => Ran::Exit(code),
            Said::Ran(Ended::Unknown(why)) if self.hurried() => {
                let signal = self.interrupts.name();
                Ran::Left(format!("left by {signal} while `{}` had the terminal: {why}", self.title(step)))
            }
            Said::Ran(Ended::Unknown(why)) => Ran::Unknown(why),
            Said::Ran(Ended::Never(why)) | Said::Stop(why) => Ran::Never(why),
            // Told in an answers file: somebody has run it.
            Said::Yes => Ran::Exit(change.exits.first().copied().unwrap_or(0)),
            _ => Ran::Never("nobody let it have the terminal".into()),
        };
        let attempt = Attempt::bare(ran);
        self.over(&attempt);
        Ok(attempt)
    }
}
