//! Checks: looks that must be true, on one node or on several.

use super::looks::Seen;
use super::{After, Engine, Failure, Go};
use crate::event::{Event, Outcome, Purpose};
use crate::plan::{Answer, Check, Place, Step, TrueOn, What};
use crate::shell::Value;
use std::time::Duration;

/// What a check's looks say together.
enum Sum {
    True,
    False(String),
    CannotTell(String),
}

impl Engine<'_> {
    pub(super) fn check(&mut self, step: &Step) -> Go {
        let What::Check(check) = &step.what else { unreachable!("only checks come here") };
        let since = self.clock.now();
        let node = self.node_of(&step.place).unwrap_or_default();
        let (title, number, of) = (self.title(step), self.step_number, self.plan.steps().count() as u32);
        self.record(Event::StepStarted { step: step.instance.clone(), title, node: node.clone(), number, of })?;
        let mut within = step.within;
        loop {
            let began = self.clock.now();
            let (sum, seen) = loop {
                let seen = self.looks(step, check)?;
                let sum = summed(check, &seen);
                let spent = self.clock.now().saturating_sub(began);
                // Unsettled is waited for even where the playbook gives no time.
                let unsettled = seen.iter().any(|(_, s)| s.answer == Answer::Unsettled);
                let limit = if unsettled { within.max(Duration::from_secs(10)) } else { within };
                if matches!(sum, Sum::True) || spent >= limit || self.pending().is_some() {
                    break (sum, seen);
                }
                self.clock.sleep(step.every.min(limit.saturating_sub(spent).max(Duration::from_millis(50))));
            };
            let why = match sum {
                Sum::True => match self.learn(step, check, &seen)? {
                    Ok(()) => return self.finish(step, &node, Outcome::Passed, 0, Some(0), shown(step, &seen), since),
                    Err(why) => why,
                },
                Sum::False(why) => why,
                Sum::CannotTell(why) => format!("cannot tell: {why}"),
            };
            let failed = Failure {
                why: why.clone(),
                tail: seen.iter().map(|(_, s)| s.shown()).collect::<Vec<_>>().join("\n"),
                ..Failure::default()
            };
            match self.after_failure(step, &node, &failed) {
                Ok(After::Retry) => within = step.within,
                Ok(After::Look(longer)) => within = longer,
                Ok(After::Skip(reason)) => {
                    return self.finish(step, &node, Outcome::Skipped(reason), 0, None, failed.tail, since);
                }
                Ok(After::GoOn) => return self.finish(step, &node, Outcome::Failed(why), 0, None, failed.tail, since),
                Err(halt) => {
                    self.finish(step, &node, Outcome::Failed(why), 0, None, failed.tail, since)?;
                    return Err(halt);
                }
            }
        }
    }

    fn looks(&mut self, step: &Step, check: &Check) -> Go<Vec<(String, Seen)>> {
        let mut out = Vec::new();
        for (place, look) in &check.looks {
            self.choose(place)?;
            let node = match (place, self.node_of(place)) {
                (_, Some(n)) => n,
                (Place::Role(key) | Place::OneOf { key, .. }, None) => key.clone(),
                (_, None) => String::new(),
            };
            let seen = self.look(step, &node, look, Purpose::Check)?;
            out.push((node, seen));
        }
        Ok(out)
    }

    /// Captures and roles of a check that is true.
    fn learn(&mut self, step: &Step, check: &Check, seen: &[(String, Seen)]) -> Go<Result<(), String>> {
        let several = check.looks.len() > 1 && check.role.is_none();
        for (node, s) in seen.iter().filter(|(_, s)| s.answer == Answer::Yes) {
            if let Err(why) = self.capture(step, &s.reply.out, node, several)? {
                return Ok(Err(why));
            }
        }
        if let Some(role) = &check.role
            && let Some((node, _)) = seen.iter().find(|(_, s)| s.answer == Answer::Yes)
            && !self.history.values.contains_key(role)
        {
            self.record(Event::Captured { key: role.clone(), value: Value::from(node.as_str()) })?;
        }
        Ok(Ok(()))
    }
}

fn shown(step: &Step, seen: &[(String, Seen)]) -> String {
    if step.show {
        return seen.iter().map(|(_, s)| s.reply.out.lossy()).collect::<Vec<_>>().join("\n");
    }
    match seen {
        [(_, one)] => one.shown(),
        many => many.iter().map(|(n, s)| format!("{n}: {}", s.shown())).collect::<Vec<_>>().join("; "),
    }
}

/// On how many nodes it is true, against on how many it must be. A node that cannot be looked at may be the second
/// holder: for all, one and none that is *cannot tell*; for any and majority it is *not true there*.
fn summed(check: &Check, seen: &[(String, Seen)]) -> Sum {
    let count = |a: Answer| seen.iter().filter(|(_, s)| s.answer == a).count();
    let (yes, no, all) = (count(Answer::Yes), count(Answer::No), seen.len());
    let unsure = all - yes - no;
    let words = |pick: fn(&Seen) -> bool| -> String {
        let list: Vec<String> = seen
            .iter()
            .filter(|(_, s)| pick(s))
            .map(|(n, s)| if all == 1 { s.shown() } else { format!("{n}: {}", s.shown()) })
            .collect();
        list.join("; ")
    };
    let unclear = || Sum::CannotTell(words(|s| !matches!(s.answer, Answer::Yes | Answer::No)));
    let on =
        |n: usize, want: &str| Sum::False(format!("true on {n} of {all} nodes, wanted {want}; {}", words(|_| true)));
    if check.same && yes == all && !seen.windows(2).all(|w| w[0].1.reply.out == w[1].1.reply.out) {
        return Sum::False(format!("not the same everywhere: {}", words(|_| true)));
    }
    match check.true_on {
        TrueOn::All if no > 0 => Sum::False(words(|s| s.answer == Answer::No)),
        TrueOn::All if unsure > 0 => unclear(),
        TrueOn::All => Sum::True,
        TrueOn::None if yes > 0 => on(yes, "none"),
        TrueOn::None if unsure > 0 => unclear(),
        TrueOn::None => Sum::True,
        TrueOn::One if yes > 1 => on(yes, "exactly one"),
        TrueOn::One if unsure > 0 => unclear(),
        TrueOn::One if yes == 1 => Sum::True,
        TrueOn::One => on(yes, "exactly one"),
        TrueOn::Any if yes > 0 => Sum::True,
        TrueOn::Any => on(yes, "at least one"),
        TrueOn::Majority if yes * 2 > all => Sum::True,
        TrueOn::Majority => on(yes, "more than half"),
    }
}
