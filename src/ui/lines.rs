//! Events as finished lines, for the terminal, a log of it, and `show`.
//!
//! Why it exists: what scrolls by in a run and what `show` prints a week later must be the same words. Invariant: lines
//! that left here are never taken back; a loop whose instances agree becomes one line, so the last result may be held
//! until the next event tells that the loop is over ([`Lines::flush`]).

use super::escape::{block, columns, cut, line as harmless};
use super::plain;
use super::report::{End, last_screen};
use super::text::{beside, count, fold_titles, hang};
use super::{Ink, Style};
use crate::event::{Event, Outcome, Proven, Purpose, Record};
use crate::plan::Answer;
use std::collections::BTreeMap;

pub struct Lines {
    style: Style,
    /// Say what begins, too: there is no progress bar that does.
    progress: bool,
    held: Option<Held>,
    /// A stage's heading, until something of the stage is printed.
    heading: Vec<String>,
    /// What the step that runs has told.
    learnt: Vec<String>,
    /// What it saw, and where.
    saw: Vec<(String, Answer)>,
    told: Option<Told>,
    /// Nodes that could not be reached, and why, as it was last said.
    away: BTreeMap<String, String>,
    /// Title and node of the step that runs.
    pub current: Option<(String, String)>,
}

/// The failure that was printed last, so that it is not printed again when the step ends.
struct Told {
    step: String,
    why: String,
    /// None: a person was shown all of it.
    tail: Option<String>,
}

/// The fields of a finished step.
struct Finished<'a> {
    step: &'a str,
    title: &'a str,
    node: &'a str,
    outcome: &'a Outcome,
    tries: u32,
    tail: &'a str,
    show: bool,
    ms: u64,
}

/// Results of one loop, not yet printed.
struct Held {
    id: String,
    outcome: Outcome,
    titles: Vec<String>,
    nodes: Vec<String>,
    took_ms: u64,
}

impl Lines {
    /// For a terminal or a log; a still one is told what begins.
    pub fn new(style: Style) -> Self {
        let (heading, learnt, saw) = (Vec::new(), Vec::new(), Vec::new());
        Lines {
            style,
            progress: !style.live,
            held: None,
            heading,
            learnt,
            saw,
            told: None,
            away: BTreeMap::new(),
            current: None,
        }
    }
    /// For `show`: only what became of it.
    pub fn report(style: Style) -> Self {
        Lines { progress: false, ..Lines::new(Style { live: false, ..style }) }
    }

    /// The heading of the stage, if nothing of the stage was printed yet.
    pub fn heading(&mut self) -> Vec<String> {
        std::mem::take(&mut self.heading)
    }

    /// What is held back, now.
    pub fn flush(&mut self) -> Vec<String> {
        let Some(h) = self.held.take() else { return Vec::new() };
        let titles: Vec<&str> = h.titles.iter().map(String::as_str).collect();
        let mut nodes = h.nodes.clone();
        nodes.dedup();
        let mut out = self.heading();
        out.extend(self.result(&h.outcome, &fold_titles(&titles), &[nodes.join(", ")], h.took_ms));
        out
    }

    pub fn event(&mut self, record: &Record) -> Vec<String> {
        let quiet = self.style.verbose < 0;
        let verbose = self.style.verbose > 0;
        let m = self.style.marks();
        if let Event::StepFinished { step, title, node, outcome, attempts, tail, show, took_ms, .. } = &record.event {
            let (tries, show, ms) = (*attempts, *show, *took_ms);
            return self.finished(&Finished { step, title, node, outcome, tries, tail, show, ms });
        }
        // What says nothing at this loudness must not end a loop either.
        let silent = match &record.event {
            Event::StepStarted { title, node, .. } => {
                self.current = Some((harmless(title).into_owned(), harmless(node).into_owned()));
                self.saw.clear();
                true
            }
            Event::Looked(l) if l.purpose == Purpose::Check => {
                self.saw.retain(|(node, _)| *node != l.node);
                self.saw.push((l.node.clone(), l.answer));
                !verbose
            }
            Event::Captured { key, value } if self.current.is_some() => {
                self.learnt.push(format!("{key} = {}", value.lossy()));
                true
            }
            Event::Looked(_) | Event::NodeLocked { .. } | Event::Output { .. } => !verbose,
            Event::StepIntent { .. } => !self.progress || quiet,
            Event::NodeSeen { node, unrecorded, .. } => {
                self.away.remove(node);
                unrecorded.is_none() && !verbose
            }
            Event::NodeUnreachable { node, why } => self.away.insert(node.clone(), why.clone()).as_ref() == Some(why),
            Event::ProofTaken { proven: Proven::LookedAt, again, .. } => quiet || (*again && !verbose),
            Event::StageStarted { .. } | Event::StageSkipped { .. } | Event::Captured { .. } => quiet,
            Event::RunStarted { .. } | Event::RunResumed { .. } | Event::Chosen { .. } => quiet,
            Event::GateAnswered { by, .. } => quiet || (self.style.live && by == "person"),
            Event::UndoIntent { .. } => !self.progress || quiet,
            Event::GateAsked { .. } | Event::Other => true,
            _ => false,
        };
        if silent {
            return Vec::new();
        }
        let mut out = self.flush();
        if !matches!(record.event, Event::StageStarted { .. } | Event::StageSkipped { .. }) {
            out.extend(self.heading());
        }
        let ink =
            |ink: Ink, lines: Vec<String>| -> Vec<String> { lines.iter().map(|l| self.style.paint(ink, l)).collect() };
        let w = self.style.width;
        let says = |mark: &str, text: &str| hang(&format!("{mark} {}", harmless(text)), w);
        match &record.event {
            Event::RunStarted { run, procedure, target, from, unplanned, title, sources, comment, .. } => {
                let what = crate::plan::what(procedure, from.as_deref(), target.as_deref(), *unplanned);
                out.extend(ink(Ink::Strong, beside(&harmless(title), &harmless(&what), w)));
                out.extend(hang(&format!("Run {run}. Read: {}", harmless(&sources.join(", "))), w));
                out.extend(comment.iter().flat_map(|c| hang(&format!("Comment: {}", harmless(c)), w)));
            }
            Event::RunResumed { run, purpose, .. } => {
                out.extend(ink(Ink::Strong, hang(&format!("Going on with run {run}: {}", harmless(purpose)), w)));
            }
            Event::NodeSeen { node, unrecorded: Some(why), .. } => {
                out.extend(ink(
                    Ink::Doubt,
                    says(m.doubt, &format!("{node} keeps no record of steps and no lock: {why}")),
                ));
            }
            Event::NodeSeen { node, .. } => out.extend(says(m.yes, &format!("{node} answers"))),
            Event::NodeUnreachable { node, why } => {
                out.extend(ink(Ink::Doubt, says(m.doubt, &format!("{node} cannot be reached: {why}"))));
            }
            Event::NodeLocked { node, .. } => out.extend(says(m.yes, &format!("{node} is locked for this run"))),
            Event::NodeHeld { node, holder } => {
                out.extend(ink(Ink::Bad, says(m.no, &format!("{node} is held by {holder}"))));
            }
            Event::ProofTaken { node, proven, .. } => {
                let (mark, colour) = match proven {
                    Proven::LookedAt | Proven::Attested | Proven::Fenced(_) => (m.yes, Ink::Good),
                    Proven::CannotTell(_) => (m.doubt, Ink::Doubt),
                    Proven::Active(_) | Proven::Alive(_) => (m.no, Ink::Bad),
                };
                out.extend(ink(colour, says(mark, &format!("{node} {}", plain::proven(proven)))));
            }
            Event::StageStarted { title, number, of, .. } => {
                let left = format!("{number} {} {}", m.dot, harmless(title));
                let mut heading = vec![String::new()];
                heading.extend(ink(Ink::Strong, beside(&left, &format!("{number} of {of}"), w)));
                self.heading = heading;
            }
            Event::StageSkipped { title, reason, already, .. } => {
                out.push(String::new());
                let (mark, how) = if *already { (m.already, "already so") } else { (m.not_yet, "skipped") };
                let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                out.extend(says(mark, &format!("{title}: {how}{why}")));
            }
            Event::Looked(l) => {
                let mark = match l.answer {
                    Answer::Yes => m.yes,
                    Answer::No => m.no,
                    _ => m.doubt,
                };
                let left = format!("    {mark} {}: {}", plain::purpose(l.purpose), harmless(&l.title));
                out.extend(ink(Ink::Dim, beside(&left, &harmless(&l.node), w)));
                out.extend(self.tail(&l.evidence, 4));
            }
            Event::GateAnswered { answer, by, .. } => {
                out.extend(hang(&format!("  answered: {} (by {})", harmless(answer), harmless(by)), w));
            }
            Event::StepIntent { title, node, attempt, .. } => {
                self.current = Some((harmless(title).into_owned(), harmless(node).into_owned()));
                let again = if *attempt > 1 { format!(" {} attempt {attempt}", m.dot) } else { String::new() };
                let left = format!("  {} {}", m.change, harmless(title));
                out.extend(ink(Ink::Change, beside(&left, &format!("{}{again}", harmless(node)), w)));
            }
            Event::AttemptFailed { step, node, attempt, of, code, why, tail } => {
                self.told = Some(Told { step: step.clone(), why: why.clone(), tail: Some(tail.clone()) });
                let title = self.current.as_ref().map_or("a step".to_string(), |(t, _)| t.clone());
                let code = code.map_or("no exit code".to_string(), |c| format!("exit {c}"));
                let tries = if *of > 1 { format!(" {} try {attempt} of {of}", m.dot) } else { String::new() };
                let right = format!("{}{tries} {} {code}", harmless(node), m.dot);
                out.extend(ink(Ink::Bad, beside(&format!("  {} {title}", m.no), &right, w)));
                if *why != code {
                    out.extend(hang(&format!("    {}", harmless(why)), w));
                }
                out.extend(self.tail(tail, 4));
            }
            Event::Output { text, .. } => out.extend(self.tail(text, usize::MAX)),
            Event::LinkLost { node, why, .. } => {
                let text =
                    format!("  {} the link to {node} was lost: {why}; asking it what became of the step", m.doubt);
                out.extend(ink(Ink::Doubt, hang(&harmless(&text), w)));
            }
            Event::Captured { key, value } => {
                let text = format!("  learnt: {key} = {}", value.lossy());
                out.extend(ink(Ink::Dim, hang(&harmless(&text), w)));
            }
            Event::Chosen { step, choice, reason } => {
                if self.told.as_ref().is_none_or(|t| t.step != *step) {
                    self.told = Some(Told { step: step.clone(), why: String::new(), tail: None });
                }
                let reason = reason.as_deref().map(|r| format!(", because: {r}")).unwrap_or_default();
                out.extend(hang(&harmless(&format!("  chosen: {choice}{reason}")), w));
            }
            Event::WentUnplanned { node, why } => {
                out.extend(ink(
                    Ink::Bad,
                    says("!", &format!("Unplanned from here on: {node} is left for lost ({why})")),
                ));
            }
            Event::UndoIntent { title, node, .. } => {
                out.extend(ink(
                    Ink::Change,
                    beside(&format!("  {} undo: {}", m.change, harmless(title)), &harmless(node), w),
                ));
            }
            Event::UndoFinished { title, node, outcome, tail, .. } => {
                out.extend(self.result(
                    outcome,
                    &format!("undo: {}", harmless(title)),
                    &[harmless(node).into_owned()],
                    0,
                ));
                out.extend(self.why(outcome));
                if !matches!(outcome, Outcome::Undone | Outcome::Skipped(_)) {
                    out.extend(self.tail(tail, 8));
                }
            }
            Event::Owed { debts } => {
                out.extend(ink(Ink::Doubt, says("!", "Owed since earlier runs (`hawiz settle` pays):")));
                for debt in debts {
                    out.extend(ink(Ink::Doubt, hang(&format!("    {}", harmless(&debt.words())), w)));
                }
            }
            Event::Registered { register, nodes, missed } => {
                if self.style.verbose > 0 || !missed.is_empty() {
                    let words = format!("written on {}: {}", nodes.join(", "), plain::registered(register));
                    out.extend(says(m.yes, &words));
                }
                for (node, why) in missed {
                    let words = format!("{node} was not told who is the active one: {why}");
                    out.extend(ink(Ink::Doubt, says(m.doubt, &words)));
                }
            }
            Event::Noted { text } => out.extend(ink(Ink::Doubt, says("!", text))),
            Event::Interrupted { signal, then } => {
                out.extend(ink(Ink::Doubt, says("!", &format!("{signal}: {then}"))));
            }
            Event::RunFinished { verdict, exit, why, nodes, skipped, next } => {
                out.push(String::new());
                let end = End { verdict: *verdict, exit: *exit, why: why.as_deref(), nodes, skipped, next };
                out.extend(last_screen(&end, &self.style));
            }
            Event::GateAsked { .. } | Event::StepStarted { .. } | Event::StepFinished { .. } | Event::Other => {}
        }
        out
    }

    fn finished(&mut self, f: &Finished<'_>) -> Vec<String> {
        self.current = None;
        let (learnt, told) = (std::mem::take(&mut self.learnt), self.told.take().filter(|t| t.step == f.step));
        let saw = std::mem::take(&mut self.saw);
        let agrees = matches!(f.outcome, Outcome::Passed | Outcome::Already | Outcome::Done);
        if self.style.verbose < 0 && (agrees || matches!(f.outcome, Outcome::Skipped(_))) {
            return Vec::new();
        }
        let id = f.step.split('@').next().unwrap_or(f.step);
        let title = harmless(f.title).into_owned();
        let node = self.place(f.node, &saw);
        let shown = f.show && !f.tail.trim().is_empty();
        if agrees && f.tries <= 1 && self.style.verbose <= 0 && !shown && learnt.is_empty() {
            if let Some(h) = &mut self.held
                && h.id == id
                && h.outcome == *f.outcome
            {
                h.titles.push(title);
                h.nodes.push(node);
                h.took_ms += f.ms;
                return Vec::new();
            }
            let out = self.flush();
            let (id, outcome) = (id.to_string(), f.outcome.clone());
            self.held = Some(Held { id, outcome, titles: vec![title], nodes: vec![node], took_ms: f.ms });
            return out;
        }
        let mut out = self.flush();
        out.extend(self.heading());
        let bad = matches!(f.outcome, Outcome::Failed(_) | Outcome::Unknown(_) | Outcome::UndoFailed(_));
        let why = plain::why(f.outcome).unwrap_or_default();
        // Said already, with its output: now in one line.
        let again = bad && told.as_ref().is_some_and(|t| t.why == why);
        let mut right = Vec::new();
        if again && columns(why) <= 16 {
            right.push(harmless(why).into_owned());
        }
        if f.tries > 1 {
            right.push(format!("{} tries", f.tries));
        }
        right.push(node);
        out.extend(self.result(f.outcome, &title, &right, f.ms));
        if !again {
            out.extend(self.why(f.outcome));
        }
        let told_tail = told.is_some_and(|t| t.tail.is_none_or(|tail| tail == f.tail));
        // Why a check is false is what it printed.
        if bad && !told_tail && saw.is_empty() {
            out.extend(self.tail(f.tail, 8));
        } else if shown && agrees {
            out.extend(self.tail(f.tail, usize::MAX));
        }
        if !learnt.is_empty() {
            let text = hang(&harmless(&format!("    learnt: {}", learnt.join(", "))), self.style.width);
            out.extend(text.iter().map(|l| self.style.paint(Ink::Dim, l)));
        }
        out
    }

    /// Where a step was; of a check on several nodes, what each of them said if they do not agree.
    fn place(&self, node: &str, saw: &[(String, Answer)]) -> String {
        let m = self.style.marks();
        if saw.len() < 2 {
            return harmless(node).into_owned();
        }
        let agree = saw.iter().all(|(_, a)| *a == saw[0].1);
        let one = |(node, answer): &(String, Answer)| match answer {
            _ if agree => node.clone(),
            Answer::Yes => format!("{node} {}", m.yes),
            Answer::No => format!("{node} {}", m.no),
            _ => format!("{node} {}", m.doubt),
        };
        harmless(&saw.iter().map(one).collect::<Vec<_>>().join(", ")).into_owned()
    }

    fn why(&self, outcome: &Outcome) -> Vec<String> {
        let Some(why) = plain::why(outcome) else { return Vec::new() };
        let word = plain::word(outcome).to_lowercase();
        hang(&format!("    {word}: {}", harmless(why)), self.style.width)
    }

    /// One line of a result: its mark, title, and at the right what else there is to say.
    fn result(&self, outcome: &Outcome, title: &str, notes: &[String], ms: u64) -> Vec<String> {
        let m = self.style.marks();
        let (mark, ink) = match outcome {
            Outcome::Done | Outcome::Passed | Outcome::Undone => (m.yes, Ink::Good),
            Outcome::Already => (m.already, Ink::Good),
            Outcome::Skipped(_) => (m.not_yet, Ink::Dim),
            Outcome::Unknown(_) => (m.doubt, Ink::Doubt),
            Outcome::Failed(_) | Outcome::UndoFailed(_) => (m.no, Ink::Bad),
        };
        let mut right: Vec<String> = Vec::new();
        if let Outcome::Already = outcome {
            right.push("already so".into());
        }
        let (node, before) = notes.split_last().map_or((String::new(), &[][..]), |(n, b)| (n.clone(), b));
        right.extend(before.iter().cloned());
        if ms >= 1000 {
            right.push(format!("{}.{}s", ms / 1000, ms % 1000 / 100));
        }
        right.push(node);
        let right = right.join(&format!(" {} ", m.dot));
        let mut out: Vec<String> = Vec::new();
        for (i, l) in beside(&format!("  {mark} {title}"), &right, self.style.width).into_iter().enumerate() {
            out.push(match l.split_once(mark) {
                Some((lead, rest)) if i == 0 => format!("{lead}{}{rest}", self.style.paint(ink, mark)),
                _ => l,
            });
        }
        out
    }

    /// The last lines a node printed, dimmed and cut to the screen.
    fn tail(&self, text: &str, keep: usize) -> Vec<String> {
        let text = block(text.trim_end_matches('\n'));
        let all: Vec<&str> = text.lines().collect();
        let from = all.len().saturating_sub(keep);
        let width = self.style.width.saturating_sub(6).max(8);
        let more = self.style.marks().more;
        let mut out: Vec<String> = Vec::new();
        if from > 0 {
            out.push(
                self.style
                    .paint(Ink::Dim, &format!("    | ({})", count(from, "line before these", "lines before these"))),
            );
        }
        for l in &all[from..] {
            let shown = if columns(l) > width { cut(l, width, more) } else { (*l).into() };
            out.push(self.style.paint(Ink::Dim, &format!("    | {shown}")));
        }
        out
    }
}
