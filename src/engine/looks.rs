//! Looking: a plan's look becomes an answer with its evidence.
//!
//! Invariant: looks that are taken side by side are recorded in the order they were asked for, so that a journal does not
//! depend on which node was quicker.

use super::{Engine, Go, Halt};
use crate::event::{Event, Looked, Purpose};
use crate::plan::{Answer, Look, Place, Stage, Step};
use crate::reach::{Ask, Reply, Sent};
use crate::shell::{BEFORE, Command, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a look gave.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub answer: Answer,
    pub reply: Reply,
    /// Its exit code said: true, because there is nothing to do here.
    pub nothing_to_do: bool,
}

/// A look that is wanted.
pub(crate) struct Wanted<'a> {
    /// The step's instance, or the stage's id.
    pub id: &'a str,
    pub title: String,
    pub deadline: Duration,
    pub node: String,
    pub look: &'a Look,
    pub purpose: Purpose,
}

impl Seen {
    /// How long to wait before it is looked at again, when `spent` of the time that it has is gone; `None`: no more.
    /// *Unsettled* is waited for at least ten seconds.
    pub(super) fn wait(&self, step: &Step, within: Duration, spent: Duration) -> Option<Duration> {
        let limit = if self.answer == Answer::Unsettled { within.max(Duration::from_secs(10)) } else { within };
        let over = self.answer == Answer::Yes || spent >= limit;
        (!over).then(|| step.every.min(limit.saturating_sub(spent).max(Duration::from_millis(50))))
    }

    /// The evidence in one line.
    pub(crate) fn shown(&self) -> String {
        match (&self.reply.problem, evidence(&self.reply)) {
            (Some(p), e) if e.is_empty() => format!("could not look: {p}"),
            (Some(p), e) => format!("could not look: {p}; {e}"),
            (None, e) if e.is_empty() => match self.answer {
                Answer::CouldNotLook => format!("could not look (exit {})", code(&self.reply)),
                _ => format!("exit {}", code(&self.reply)),
            },
            (None, e) => e,
        }
    }
}

fn code(reply: &Reply) -> String {
    reply.code.map_or("none".into(), |c| c.to_string())
}

/// What a person should read of a look's output: the last line of its standard error, where the catalogue speaks to
/// people, else the first of its output.
pub(crate) fn evidence(reply: &Reply) -> String {
    let err = reply.err.lossy();
    let out = reply.out.lossy();
    let line = err.lines().rev().find(|l| !l.trim().is_empty()).or_else(|| out.lines().find(|l| !l.trim().is_empty()));
    line.unwrap_or("").trim().chars().take(400).collect()
}

/// A run-time value by its key (see [`crate::shell::Want`]).
pub(crate) fn value_of(plan: &crate::plan::Plan, values: &BTreeMap<String, Value>, key: &str) -> Option<Value> {
    if let Some(v) = values.get(key) {
        return Some(v.clone());
    }
    let (base, var) = key.rsplit_once('.')?;
    let one = |node: &str| values.get(&format!("{var}@{node}")).cloned().or_else(|| plan.node(node)?.var(var));
    if base == "all" || base == "peers" {
        let nodes = plan.members(base).map(|n| n.name.as_str());
        let lines: Vec<Vec<u8>> = nodes.filter_map(|n| Some([n.as_bytes(), b" ", &one(n)?.0].concat())).collect();
        return (!lines.is_empty()).then(|| Value(lines.join(&b'\n')));
    }
    one(&values.get(base)?.lossy())
}

impl Engine<'_> {
    pub(super) fn value(&self, key: &str) -> Option<Value> {
        value_of(self.plan, &self.history.values, key)
    }

    /// The command as it is sent. The inner error: which run-time value is not known, and who would tell.
    pub(super) fn sent(&self, command: &Command, before: Option<&Value>) -> Result<Sent, String> {
        let value = |key: &str| if key == BEFORE { before.cloned() } else { self.value(key) };
        let unknown = |var: &str, from: &str| {
            if from.is_empty() {
                format!("`${var}` is not known")
            } else {
                format!("`${var}` is not known (from {from})")
            }
        };
        let script =
            command.script(&self.plan.env, &self.plan.functions, value).map_err(|w| unknown(&w.var, &w.from))?;
        let input = command.input(value, &self.secrets).map_err(|name| unknown(&name, ""))?;
        let (stdin, secret) = input.map_or((None, false), |(text, secret)| (Some(text), secret));
        Ok(Sent { script, stdin, secret })
    }

    /// Which of a step's run-time values are not known yet.
    pub(super) fn missing(&self, step: &Step) -> Option<String> {
        step.wants()
            .into_iter()
            .find(|w| self.value(&w.key).is_none())
            .map(|w| format!("`${}` is not known: {} did not tell", w.var, w.from))
    }

    /// One look, recorded.
    pub(super) fn look(&mut self, step: &Step, node: &str, look: &Look, purpose: Purpose) -> Go<Seen> {
        let wanted = self.wanted(step, node, look, purpose);
        self.look_one(wanted)
    }

    pub(super) fn wanted<'l>(&self, step: &'l Step, node: &str, look: &'l Look, purpose: Purpose) -> Wanted<'l> {
        let (title, node) = (self.title(step), node.to_string());
        Wanted { id: &step.instance, title, deadline: step.look_deadline, node, look, purpose }
    }

    fn look_one(&mut self, wanted: Wanted) -> Go<Seen> {
        let seen = self.look_each(vec![wanted])?.pop();
        Ok(seen.expect("one look was asked for"))
    }

    /// Looks taken side by side, recorded in order.
    pub(super) fn look_each(&mut self, wanted: Vec<Wanted>) -> Go<Vec<Seen>> {
        let mut asks = Vec::new();
        let mut unknown = Vec::new();
        for w in &wanted {
            match self.sent(&w.look.command, None) {
                Ok(sent) => {
                    asks.push(Ask { node: w.node.clone(), sent, deadline: w.deadline });
                    unknown.push(None);
                }
                Err(why) => unknown.push(Some(why)),
            }
        }
        let mut replies = self.reach.look_all(&asks).into_iter();
        let mut all = Vec::new();
        for (w, unknown) in wanted.into_iter().zip(unknown) {
            let reply = match unknown {
                Some(why) => Err(why),
                None => {
                    let reply = replies.next().expect("each ask has its answer");
                    reply.map_err(|u| format!("cannot reach {}: {}", w.node, u.why))
                }
            };
            let reply = reply.unwrap_or_else(|why| Reply { problem: Some(why), ..Reply::default() });
            all.push(self.seen_by(w, reply)?);
        }
        Ok(all)
    }

    /// What a reply says, recorded.
    fn seen_by(&mut self, wanted: Wanted, reply: Reply) -> Go<Seen> {
        let Wanted { id, title, node, look, purpose, .. } = wanted;
        let answer = look.read(reply.code);
        let nothing_to_do = look.reading == crate::plan::Reading::Catalog && reply.code == Some(3);
        let seen = Seen { answer, reply, nothing_to_do };
        let told = seen.reply.problem.is_some() || answer == Answer::CouldNotLook;
        let evidence = if told { seen.shown() } else { evidence(&seen.reply) };
        let looked = Looked { step: id.into(), title, node, purpose, answer, code: seen.reply.code, evidence };
        self.record(Event::Looked(looked))?;
        Ok(seen)
    }

    /// Looks until the answer is *yes*, for `within`; *unsettled* is waited for as long, and at least ten seconds. One ^C
    /// waits for what belongs to the running step; a second one, or a signal that leaves, does not.
    pub(super) fn look_until(
        &mut self,
        step: &Step,
        node: &str,
        look: &Look,
        purpose: Purpose,
        within: Duration,
    ) -> Go<Seen> {
        let since = self.clock.now();
        let of_the_step = matches!(purpose, Purpose::After | Purpose::Verify);
        loop {
            let seen = self.look(step, node, look, purpose)?;
            let spent = self.clock.now().saturating_sub(since);
            let stop = self.hurried() || (!of_the_step && self.pending().is_some());
            let Some(wait) = seen.wait(step, within, spent).filter(|_| !stop) else { return Ok(seen) };
            if self.pending().is_some() {
                self.tell("stops after this step; once more stops now")?;
            }
            self.clock.sleep(wait);
        }
    }

    /// A step's `when`, and whether its run-time values are known: the reason to skip it, if any.
    pub(super) fn when(&mut self, step: &Step) -> Go<Option<String>> {
        self.choose(&step.place)?;
        if self.node_of(&step.place).is_none() {
            return Ok(Some("its node is not known: no role was found".into()));
        }
        // A change that was tried may have made its own condition false; the journal decides.
        let tried = self.history.steps.get(&step.instance).is_some_and(|s| s.started() > 0);
        if let Some(when) = step.when.as_ref().filter(|_| !tried) {
            let node = self.node_of(&step.place).expect("checked just above");
            let wants = when.command.wants.iter().find(|w| self.value(&w.key).is_none());
            if let Some(w) = wants {
                return Ok(Some(format!("`${}` is not known: {} did not tell", w.var, w.from)));
            }
            let seen = self.look(step, &node, when, Purpose::When)?;
            match seen.answer {
                Answer::Yes => {}
                Answer::No => {
                    let evidence = evidence(&seen.reply);
                    let why = if evidence.is_empty() { "its condition is not true".to_string() } else { evidence };
                    return Ok(Some(why));
                }
                Answer::Unsettled | Answer::CouldNotLook => {
                    let why = format!(
                        "{} ({node}): cannot tell whether it is to be done: {}",
                        self.title(step),
                        seen.shown()
                    );
                    return Err(Halt::Failed(why));
                }
            }
        }
        Ok(self.missing(step))
    }

    /// Why a stage is left out, by its `when` (false) or its `done` (true); `None`: go in.
    pub(super) fn left_out(
        &mut self,
        stage: &Stage,
        look: &Look,
        place: &Place,
        purpose: Purpose,
    ) -> Go<Option<String>> {
        let done = purpose == Purpose::Before;
        self.choose(place)?;
        let Some(node) = self.node_of(place) else { return Ok((!done).then(|| "its node is not known".into())) };
        let (title, deadline, on) = (stage.title.clone(), Duration::from_secs(30), node.clone());
        let seen = self.look_one(Wanted { id: &stage.id, title, deadline, node, look, purpose })?;
        match (seen.answer, done) {
            (Answer::Yes, false) | (Answer::No, true) => Ok(None),
            (Answer::No, false) => Ok(Some("its condition is not true".into())),
            (Answer::Yes, true) => Ok(Some(evidence(&seen.reply))),
            _ => {
                let what = if done { "is so already" } else { "is to be done" };
                Err(Halt::Failed(format!("{} ({on}): cannot tell whether it {what}: {}", stage.title, seen.shown())))
            }
        }
    }

    /// `one of X`: the first that can be reached, chosen once a run.
    pub(super) fn choose(&mut self, place: &Place) -> Go {
        let Place::OneOf { key, nodes } = place else { return Ok(()) };
        if self.history.values.contains_key(key) {
            return Ok(());
        }
        for node in nodes {
            if self.greet(node)?.is_ok() {
                return self.record(Event::Captured { key: key.clone(), value: node.as_str().into() });
            }
        }
        Err(Halt::Failed(format!("none of {} can be reached", nodes.join(", "))))
    }

    /// Keeps the words of an output's first line; what a later attempt tells replaces what a failed one told.
    pub(super) fn capture(&mut self, step: &Step, out: &Value) -> Go<Result<(), String>> {
        for (key, value) in match words(step, out, None) {
            Ok(words) => words,
            Err(why) => return Ok(Err(why)),
        } {
            self.record(Event::Captured { key, value })?;
        }
        Ok(Ok(()))
    }
}

/// A step's captures from the first line of an output, split as the shell's `read` would. `node`: kept for that node.
pub(crate) fn words(step: &Step, out: &Value, node: Option<&str>) -> Result<Vec<(String, Value)>, String> {
    let mut rest = out.0.split(|b| *b == b'\n').next().unwrap_or_default().trim_ascii();
    if rest.is_empty() && !step.capture.is_empty() {
        return Err("it printed nothing to keep".into());
    }
    let mut kept = Vec::new();
    for (i, (name, key)) in step.capture.iter().enumerate() {
        let last = i + 1 == step.capture.len();
        let end = if last { rest.len() } else { rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len()) };
        let key = node.map_or(key.clone(), |node| format!("{name}@{node}"));
        kept.push((key, Value::new(rest[..end].trim_ascii_end())));
        rest = rest[end..].trim_ascii_start();
    }
    Ok(kept)
}

/// Why a look does not decide.
pub(super) fn unsure(seen: &Seen) -> String {
    match seen.answer {
        Answer::Unsettled => format!("its state does not settle: {}", seen.shown()),
        _ => seen.shown(),
    }
}
