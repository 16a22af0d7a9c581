//! Answers without a person: from a file, from `--yes`, or a refusal.
//!
//! Invariant: everything must be answerable before the first change ([`missing`]); `--yes` answers plain gates only; an
//! answer for a gate whose commands changed since is refused.

use super::{Answer, Choice, Given, Prompter, Question};
use crate::plan::{Gate, Plan, Step, What};
use crate::site::Answers;
use std::time::Duration;

/// The id under which an answers file answers the gate of a roll-back.
pub const ROLL_BACK: &str = "rollback";

fn is_yes(said: &str) -> bool {
    ["yes", "y"].iter().any(|yes| said.trim().eq_ignore_ascii_case(yes))
}

/// Answers from a file and flags; a person, where there is one, is asked for the rest.
pub struct Scripted<'a> {
    pub answers: Answers,
    pub yes: bool,
    /// Asked for what nobody answered; none: refused.
    pub person: Option<&'a mut dyn Prompter>,
}

impl Scripted<'_> {
    fn found(&self, question: &Question) -> Option<(Answer, &'static str)> {
        match question {
            Question::Gate { stage, gate, digest, .. } => {
                if let Some((_, said)) = self.answers.gates.iter().find(|(id, _)| id.value == *stage) {
                    let known = self.answers.digests.iter().find(|(id, _)| id.value == *stage);
                    if known.is_some_and(|(_, d)| d.value != *digest) {
                        return Some((
                            Answer::Stop(format!(
                                "the commands of `{stage}` have changed since the answers were written"
                            )),
                            "answers",
                        ));
                    }
                    let yes = match gate {
                        Gate::Type(word) => said.value == *word,
                        _ => is_yes(&said.value),
                    };
                    return Some((if yes { Answer::Yes } else { Answer::No }, "answers"));
                }
                (self.yes && matches!(gate, Gate::Ask)).then_some((Answer::Yes, "yes-flag"))
            }
            // That it was done says nothing of its being taken back.
            Question::Manual { undo: true, .. } => None,
            Question::Manual { step, .. } | Question::Terminal { step, .. } => {
                let said = self
                    .answers
                    .manual
                    .iter()
                    .find(|(id, _)| *step == id.value || step.split('@').next() == Some(&id.value))?;
                let answer = match question {
                    Question::Manual { capture: Some(_), .. } => Answer::Text(said.1.as_str().into()),
                    _ if said.1.value == "done" => Answer::Yes,
                    _ => Answer::No,
                };
                Some((answer, "answers"))
            }
            Question::Undo { gate, .. } => {
                let said = self.answers.gates.iter().find(|(id, _)| id.value == ROLL_BACK);
                match (said, gate) {
                    (Some((_, said)), Gate::Type(word)) if said.value == *word => Some((Answer::Yes, "answers")),
                    (Some((_, said)), Gate::Ask | Gate::Open) if is_yes(&said.value) => Some((Answer::Yes, "answers")),
                    (Some(_), _) => Some((Answer::No, "answers")),
                    (None, Gate::Type(_)) => None,
                    (None, _) => self.yes.then_some((Answer::Yes, "yes-flag")),
                }
            }
            _ => None,
        }
    }
}

impl Prompter for Scripted<'_> {
    fn ask(&mut self, question: &Question) -> Given {
        if let Some((answer, by)) = self.found(question) {
            return Given { answer, by, took: Duration::ZERO };
        }
        if let Some(person) = &mut self.person {
            return person.ask(question);
        }
        let answer = match question {
            Question::Failure { .. } | Question::Unknown { .. } => Answer::Choice(Choice::Quit, None),
            _ => Answer::Stop("nobody is there to answer".into()),
        };
        Given { answer, by: "nobody", took: Duration::ZERO }
    }
    fn person(&self) -> bool {
        self.person.as_ref().is_some_and(|p| p.person())
    }
}

/// What nobody would answer: gates and manual steps by id, before anything has run. A gate whose commands changed since
/// its answer was written has none. `left`: which steps are still to be taken.
pub fn missing(plan: &Plan, answers: &Answers, yes: bool, left: impl Fn(&Step) -> bool) -> Vec<String> {
    let mut out = Vec::new();
    for stage in plan.stages.iter().filter(|s| s.steps.iter().any(&left)) {
        let known = answers.digests.iter().find(|(id, _)| id.value == stage.id);
        if let Some((_, digest)) = known
            && stage.gate != Gate::Open
            && digest.value != stage.digest
        {
            out.push(format!("gate   {}  (its commands have changed since the answers were written)", stage.id));
            continue;
        }
        let answered = answers.gates.iter().any(|(id, _)| id.value == stage.id);
        match &stage.gate {
            Gate::Open => {}
            Gate::Ask if yes || answered => {}
            Gate::Type(_) if answered => {}
            Gate::Ask => out.push(format!("gate   {}", stage.id)),
            Gate::Type(word) => out.push(format!("gate   {}  (type `{word}`; --yes never answers it)", stage.id)),
        }
        for step in stage.steps.iter().filter(|s| left(s)) {
            let needs = match &step.what {
                What::Manual(m) => m.done.is_none(),
                What::Change(c) => c.tty && c.done.is_none(),
                What::Check(_) => false,
            };
            let answered = answers.manual.iter().any(|(id, _)| id.value == step.id || id.value == step.instance);
            if needs && !answered {
                out.push(format!("manual {}", step.id));
            }
        }
    }
    out
}

/// Whether the gate of a roll-back would be passed.
pub fn takes_back(gate: &Gate, answers: &Answers, yes: bool) -> bool {
    let mut scripted = Scripted { answers: answers.clone(), yes, person: None };
    let question = Question::Undo { steps: Vec::new(), lines: Vec::new(), gate: gate.clone(), active: None };
    scripted.ask(&question).answer == Answer::Yes
}

/// An answers file to fill in: every gate with the digest of its commands.
pub fn skeleton(plan: &Plan) -> String {
    let mut out = format!("# answers for: hawiz {}\nplan = \"{}\"\n\n[inputs]\n", plan.procedure, plan.digest);
    let mut digests = String::from("\n[digests]\n");
    let mut gates = String::from("\n[gates]\n");
    let mut manual = String::new();
    for stage in &plan.stages {
        match &stage.gate {
            Gate::Open => {}
            Gate::Ask => gates.push_str(&format!("\"{}\" = \"\"    # yes or no\n", stage.id)),
            Gate::Type(word) => gates.push_str(&format!("\"{}\" = \"\"    # type {word}\n", stage.id)),
        }
        if stage.gate != Gate::Open {
            digests.push_str(&format!("\"{}\" = \"{}\"\n", stage.id, stage.digest));
        }
        // (What wants the operator's terminal is done by hand where there is none.)
        let by_hand = |s: &&Step| match &s.what {
            What::Manual(_) => true,
            What::Change(c) => c.tty,
            What::Check(_) => false,
        };
        for step in stage.steps.iter().filter(by_hand) {
            let what = if step.capture.is_empty() { "done" } else { "what you saw" };
            manual.push_str(&format!("\"{}\" = \"\"    # {what}\n", step.id));
        }
    }
    out.push_str(&digests);
    out.push_str(&gates);
    if !manual.is_empty() {
        out.push_str("\n[manual]\n");
        out.push_str(&manual);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problems;

    #[test]
    fn that_it_was_done_is_no_answer_to_whether_it_was_taken_back() {
        let text = "[manual]\n\"p/s/x\" = \"done\"\n";
        let (answers, _) = Answers::parse("answers.toml", text, &mut Problems::default()).expect("it is in order");
        let scripted = Scripted { answers, yes: true, person: None };
        let asked = |undo| Question::Manual { step: "p/s/x@here".into(), undo, lines: Vec::new(), capture: None };
        assert_eq!(scripted.found(&asked(false)), Some((Answer::Yes, "answers")));
        assert_eq!(scripted.found(&asked(true)), None);
    }
}
