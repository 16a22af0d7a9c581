//! Events as finished lines, for the terminal, a log of it, and `show`.
//!
//! Why it exists: what scrolls by in a run and what `show` prints a week later must be the same words. Invariant: lines
//! that left here are never taken back; a loop whose instances agree becomes one line, so the last result may be held
//! until the next event tells that the loop is over ([`Lines::flush`]).

use super::escape::{block, columns, cut, line as harmless};
use super::plain;
use super::report::last_screen;
use super::text::{beside, count, fold_titles, hang};
use super::{Ink, Style};
use crate::event::{Event, Outcome, Proven, Record};
use crate::plan::Answer;

pub struct Lines {
    style: Style,
    /// Say what begins, too: there is no progress bar that does.
    progress: bool,
    held: Option<Held>,
    /// Title and node of the step that runs.
    pub current: Option<(String, String)>,
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
        Lines { style, progress: !style.live, held: None, current: None }
    }
    /// For `show`: only what became of it.
    pub fn report(style: Style) -> Self {
        Lines { style: Style { live: false, ..style }, progress: false, held: None, current: None }
    }

    /// What is held back, now.
    pub fn flush(&mut self) -> Vec<String> {
        let Some(h) = self.held.take() else { return Vec::new() };
        let titles: Vec<&str> = h.titles.iter().map(String::as_str).collect();
        let mut nodes = h.nodes.clone();
        nodes.dedup();
        self.result(&h.outcome, &fold_titles(&titles), &nodes.join(", "), 1, h.took_ms)
    }

    pub fn event(&mut self, record: &Record) -> Vec<String> {
        let quiet = self.style.verbose < 0;
        let verbose = self.style.verbose > 0;
        let m = self.style.marks();
        if let Event::StepFinished { step, title, node, outcome, attempts, tail, took_ms, .. } = &record.event {
            return self.finished(step, title, node, outcome, *attempts, tail, *took_ms);
        }
        // What says nothing at this loudness must not end a loop either.
        let silent = match &record.event {
            Event::StepStarted { title, node, .. } => {
                self.current = Some((harmless(title).into_owned(), harmless(node).into_owned()));
                true
            }
            Event::Looked(_) | Event::NodeLocked { .. } | Event::Output { .. } => !verbose,
            Event::StepIntent { .. } => !self.progress || quiet,
            Event::NodeSeen { unrecorded, .. } => unrecorded.is_none() && !verbose,
            Event::ProofTaken { proven: Proven::LookedAt, again, .. } => quiet || (*again && !verbose),
            Event::StageStarted { .. } | Event::StageSkipped { .. } | Event::Captured { .. } => quiet,
            Event::RunStarted { .. } | Event::RunResumed { .. } | Event::Chosen { .. } => quiet,
            Event::GateAnswered { by, .. } => quiet || (self.style.live && by == "person"),
            Event::UndoIntent { .. } => !self.progress || quiet,
            Event::Other => true,
            _ => false,
        };
        if silent {
            return Vec::new();
        }
        let mut out = self.flush();
        let ink =
            |ink: Ink, lines: Vec<String>| -> Vec<String> { lines.iter().map(|l| self.style.paint(ink, l)).collect() };
        let w = self.style.width;
        let says = |mark: &str, text: &str| hang(&format!("{mark} {}", harmless(text)), w);
        match &record.event {
            Event::RunStarted { run, procedure, target, title, sources, comment, .. } => {
                let what = target.as_deref().map_or(procedure.clone(), |t| format!("{procedure} {t}"));
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
            Event::NodeLocked { node } => out.extend(says(m.yes, &format!("{node} is locked for this run"))),
            Event::NodeHeld { node, holder } => {
                out.extend(ink(Ink::Bad, says(m.no, &format!("{node} is held by {holder}"))));
            }
            Event::ProofTaken { node, proven, .. } => {
                let (mark, colour) = match proven {
                    Proven::LookedAt | Proven::Attested => (m.yes, Ink::Good),
                    Proven::CannotTell(_) => (m.doubt, Ink::Doubt),
                    Proven::Active(_) | Proven::Alive(_) => (m.no, Ink::Bad),
                };
                out.extend(ink(colour, says(mark, &format!("{node} {}", plain::proven(proven)))));
            }
            Event::StageStarted { title, number, of, .. } => {
                out.push(String::new());
                let left = format!("{number} {} {}", m.dot, harmless(title));
                out.extend(ink(Ink::Strong, beside(&left, &format!("{number} of {of}"), w)));
            }
            Event::StageSkipped { title, reason, .. } => {
                out.push(String::new());
                out.extend(says(m.not_yet, &format!("{title}: skipped: {reason}")));
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
            Event::AttemptFailed { node, attempt, of, code, why, tail, .. } => {
                let title = self.current.as_ref().map_or("a step".to_string(), |(t, _)| t.clone());
                let code = code.map_or("no exit code".to_string(), |c| format!("exit {c}"));
                let right = format!("{} {d} try {attempt} of {of} {d} {code}", harmless(node), d = m.dot);
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
            Event::Chosen { choice, reason, .. } => {
                let reason = reason.as_deref().map(|r| format!(", because: {r}")).unwrap_or_default();
                out.extend(hang(&harmless(&format!("  chosen: {choice}{reason}")), w));
            }
            Event::UndoIntent { title, node, .. } => {
                out.extend(ink(
                    Ink::Change,
                    beside(&format!("  {} undo: {}", m.change, harmless(title)), &harmless(node), w),
                ));
            }
            Event::UndoFinished { title, node, outcome, tail, .. } => {
                out.extend(self.result(outcome, &format!("undo: {}", harmless(title)), &harmless(node), 1, 0));
                if !matches!(outcome, Outcome::Undone | Outcome::Skipped(_)) {
                    out.extend(self.tail(tail, 8));
                }
            }
            Event::Noted { text } => out.extend(ink(Ink::Doubt, says("!", text))),
            Event::Interrupted { signal, then } => {
                out.extend(ink(Ink::Doubt, says("!", &format!("{signal}: {then}"))));
            }
            Event::RunFinished { verdict, exit, nodes, skipped, next } => {
                out.push(String::new());
                out.extend(last_screen(*verdict, *exit, nodes, skipped, next, &self.style));
            }
            Event::GateAsked { .. } | Event::StepStarted { .. } | Event::StepFinished { .. } | Event::Other => {}
        }
        out
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one event")]
    fn finished(
        &mut self,
        step: &str,
        title: &str,
        node: &str,
        outcome: &Outcome,
        tries: u32,
        tail: &str,
        ms: u64,
    ) -> Vec<String> {
        self.current = None;
        let agrees = matches!(outcome, Outcome::Passed | Outcome::Already | Outcome::Done);
        if self.style.verbose < 0 && (agrees || matches!(outcome, Outcome::Skipped(_))) {
            return Vec::new();
        }
        let id = step.split('@').next().unwrap_or(step);
        let title = harmless(title).into_owned();
        let node = harmless(node).into_owned();
        if agrees && tries <= 1 && self.style.verbose <= 0 {
            if let Some(h) = &mut self.held
                && h.id == id
                && h.outcome == *outcome
            {
                h.titles.push(title);
                h.nodes.push(node);
                h.took_ms += ms;
                return Vec::new();
            }
            let out = self.flush();
            let held = Held {
                id: id.to_string(),
                outcome: outcome.clone(),
                titles: vec![title],
                nodes: vec![node],
                took_ms: ms,
            };
            self.held = Some(held);
            return out;
        }
        let mut out = self.flush();
        out.extend(self.result(outcome, &title, &node, tries, ms));
        if matches!(outcome, Outcome::Failed(_) | Outcome::Unknown(_) | Outcome::UndoFailed(_)) {
            out.extend(self.tail(tail, 8));
        }
        out
    }

    fn result(&self, outcome: &Outcome, title: &str, node: &str, tries: u32, ms: u64) -> Vec<String> {
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
        if tries > 1 {
            right.push(format!("{tries} tries"));
        }
        if ms >= 1000 {
            right.push(format!("{}.{}s", ms / 1000, ms % 1000 / 100));
        }
        right.push(node.to_string());
        let right = right.join(&format!(" {} ", m.dot));
        let mut out: Vec<String> = Vec::new();
        for (i, l) in beside(&format!("  {mark} {title}"), &right, self.style.width).into_iter().enumerate() {
            out.push(match l.split_once(mark) {
                Some((lead, rest)) if i == 0 => format!("{lead}{}{rest}", self.style.paint(ink, mark)),
                _ => l,
            });
        }
        if let Some(why) = plain::why(outcome) {
            let word = plain::word(outcome).to_lowercase();
            out.extend(hang(&format!("    {word}: {}", harmless(why)), self.style.width));
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
