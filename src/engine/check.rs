//! Checks: looks that must be true, on one node or on several.
//!
//! Invariant: what a check told (captures, roles) is told once a run; looked at again it may differ, and that is said, but
//! what was shown and decided upon stays.

use super::failure::{After, Failure};
use super::looks::Seen;
use super::{Engine, Go};
use crate::event::{Event, Outcome, Purpose};
use crate::plan::{Answer, Check, Place, Step, TrueOn, What};
use crate::shell::Value;
use std::time::Duration;

/// What each of its nodes said.
pub(super) type Sights = Vec<(String, Seen)>;

impl Engine<'_> {
    pub(super) fn check(&mut self, step: &Step) -> Go {
        let What::Check(check) = &step.what else { unreachable!("only checks come here") };
        let since = self.clock.now();
        let node = self.node_of(&step.place).unwrap_or_default();
        let (title, number, of) = (self.title(step), self.step_number, self.plan.steps().count() as u32);
        self.record(Event::StepStarted { step: step.instance.clone(), title, node: node.clone(), number, of })?;
        let mut within = step.within;
        loop {
            let (seen, refused) = self.looks_until(step, check, within)?;
            let why = match refused {
                None => match self.learn(step, check, &seen)? {
                    Ok(()) => {
                        self.fresh.push(step.instance.clone());
                        return self.finish(step, &node, Outcome::Passed, Some(0), shown(step, &seen), since);
                    }
                    Err(why) => why,
                },
                Some(why) => why,
            };
            // It was not waited for to its end: that says nothing of the check.
            self.heed()?;
            let tail = seen.iter().map(|(_, s)| s.shown()).collect::<Vec<_>>().join("\n");
            let failed = Failure { why: why.clone(), tail, ..Failure::default() };
            match self.after_failure(step, &node, &failed) {
                Ok(After::Retry) => within = step.within,
                Ok(After::Look(longer)) => within = longer,
                Ok(After::Skip(reason)) => {
                    return self.finish(step, &node, Outcome::Skipped(reason), None, failed.tail, since);
                }
                Ok(After::GoOn) => return self.finish(step, &node, Outcome::Failed(why), None, failed.tail, since),
                Err(halt) => {
                    self.finish(step, &node, Outcome::Failed(why), None, failed.tail, since)?;
                    return Err(halt);
                }
            }
        }
    }

    /// Looks until it is true, for `within`; what is unsettled is waited for even where the playbook gives no time.
    pub(super) fn looks_until(&mut self, step: &Step, check: &Check, within: Duration) -> Go<(Sights, Option<String>)> {
        let began = self.clock.now();
        loop {
            let seen = self.looks(step, check)?;
            let refused = why_not(check, &seen);
            let spent = self.clock.now().saturating_sub(began);
            let unsettled = seen.iter().any(|(_, s)| s.answer == Answer::Unsettled);
            let limit = if unsettled { within.max(Duration::from_secs(10)) } else { within };
            if refused.is_none() || spent >= limit || self.pending().is_some() {
                return Ok((seen, refused));
            }
            self.clock.sleep(step.every.min(limit.saturating_sub(spent).max(Duration::from_millis(50))));
        }
    }

    /// Its looks, on all its nodes side by side.
    pub(super) fn looks(&mut self, step: &Step, check: &Check) -> Go<Sights> {
        let mut nodes = Vec::new();
        for (place, _) in &check.looks {
            self.choose(place)?;
            nodes.push(match (place, self.node_of(place)) {
                (_, Some(n)) => n,
                (Place::Role(key) | Place::OneOf { key, .. }, None) => key.clone(),
                (_, None) => String::new(),
            });
        }
        let looks = check.looks.iter().map(|(_, look)| look).zip(&nodes);
        let wanted = looks.map(|(look, node)| self.wanted(step, node, look, Purpose::Check)).collect();
        let seen = self.look_each(wanted)?;
        Ok(nodes.into_iter().zip(seen).collect())
    }

    /// Captures and roles of a check that is true.
    fn learn(&mut self, step: &Step, check: &Check, seen: &[(String, Seen)]) -> Go<Result<(), String>> {
        let several = check.looks.len() > 1 && check.role.is_none();
        for (node, s) in seen.iter().filter(|(_, s)| s.answer == Answer::Yes) {
            for (key, value) in match super::looks::words(step, &s.reply.out, several.then_some(node.as_str())) {
                Ok(words) => words,
                Err(why) => return Ok(Err(why)),
            } {
                self.keep(step, key, value)?;
            }
        }
        if let Some(role) = &check.role
            && let Some((node, _)) = seen.iter().find(|(_, s)| s.answer == Answer::Yes)
        {
            self.keep(step, role.clone(), Value::from(node.as_str()))?;
        }
        Ok(Ok(()))
    }

    /// Single assignment: what a run knows, it keeps.
    fn keep(&mut self, step: &Step, key: String, value: Value) -> Go {
        match self.history.values.get(&key) {
            Some(before) if *before == value => Ok(()),
            Some(before) => {
                let text = format!(
                    "`{}` told {key} = {}, now it tells {}; this run keeps the first",
                    self.title(step),
                    before.lossy(),
                    value.lossy()
                );
                self.record(Event::Noted { text })
            }
            None => self.record(Event::Captured { key, value }),
        }
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

/// Why a check is not true, in words; `None`: it is.
pub(super) fn why_not(check: &Check, seen: &[(String, Seen)]) -> Option<String> {
    let answers: Vec<Answer> = seen.iter().map(|(_, s)| s.answer).collect();
    let (yes, all) = (answers.iter().filter(|a| **a == Answer::Yes).count(), seen.len());
    let words = |pick: fn(&Seen) -> bool| -> String {
        let one = |(n, s): &(String, Seen)| if all == 1 { s.shown() } else { format!("{n}: {}", s.shown()) };
        seen.iter().filter(|(_, s)| pick(s)).map(one).collect::<Vec<_>>().join("; ")
    };
    let every = all + check.lost;
    let on = |want: &str| format!("true on {yes} of {every} nodes, wanted {want}; {}", words(|_| true));
    match check.sum(&answers) {
        Answer::Yes if check.same && !seen.windows(2).all(|w| w[0].1.reply.out == w[1].1.reply.out) => {
            Some(format!("not the same everywhere: {}", words(|_| true)))
        }
        Answer::Yes => None,
        Answer::No => Some(match check.true_on {
            TrueOn::All => words(|s| s.answer == Answer::No),
            TrueOn::None => on("none"),
            TrueOn::One => on("exactly one"),
            TrueOn::Any => on("at least one"),
            TrueOn::Majority => on("more than half"),
        }),
        _ => Some(format!("cannot tell: {}", words(|s| !matches!(s.answer, Answer::Yes | Answer::No)))),
    }
}
