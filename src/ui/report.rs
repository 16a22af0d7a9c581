//! The end of a run in words, `hawiz show`, and the lines of `hawiz runs`.
//!
//! Why it exists: the last screen is what is read over the phone; it must say what state each node is in, what was left
//! out and why, and what to type next. Invariant: everything here is computed from Events; the verdict and the exit code
//! are the engine's and are not judged again.

use super::escape::{columns, line as harmless};
use super::lines::Lines;
use super::text::{beside, hang, wrap};
use super::{Ink, Style, plain};
use crate::event::{Event, Record, Verdict};
use chrono::Local;

/// A verdict in words.
pub fn verdict(v: Verdict) -> &'static str {
    match v {
        Verdict::Completed => "done and verified",
        Verdict::Degraded => "done, but optional steps failed",
        Verdict::Declined => "declined; nothing was changed",
        Verdict::NotReady => "not ready; nothing was changed",
        Verdict::Locked => "another run holds the lock, or took it",
        Verdict::Stopped => "stopped; what was changed stands, and it can be gone on with",
        Verdict::Failed => "failed; what was changed stands, and it can be gone on with",
        Verdict::Unknown => "the outcome of a step is unknown",
        Verdict::RolledBack => "rolled back",
        Verdict::Stuck => "stuck: an undo failed",
        Verdict::Dry => "went on dry: nothing was changed after that",
    }
}

/// How an ending is to be taken at a glance.
pub fn ink(v: Verdict) -> Ink {
    match v {
        Verdict::Completed => Ink::Good,
        Verdict::Declined | Verdict::Dry | Verdict::RolledBack | Verdict::Degraded => Ink::Doubt,
        _ => Ink::Bad,
    }
}

/// How a sitting ended: the fields of `run-finished`.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    pub verdict: Verdict,
    pub exit: u8,
    pub why: Option<&'a str>,
    pub nodes: &'a [(String, String)],
    pub skipped: &'a [(String, String)],
    pub next: &'a [String],
}

/// The sign of an ending; `?` is kept for what nobody knows.
fn mark(v: Verdict, style: &Style) -> &'static str {
    let m = style.marks();
    match v {
        Verdict::Completed => m.yes,
        Verdict::Declined | Verdict::Dry | Verdict::RolledBack => m.not_yet,
        Verdict::Degraded => "!",
        Verdict::Unknown => m.doubt,
        _ => m.no,
    }
}

/// The last screen.
pub fn last_screen(end: &End<'_>, style: &Style) -> Vec<String> {
    let m = style.marks();
    let mut out = Vec::new();
    let text = format!("{} {}", mark(end.verdict, style), sentence(verdict(end.verdict)));
    for (i, l) in beside(&text, &format!("exit {}", end.exit), style.width).into_iter().enumerate() {
        out.push(if i == 0 { style.paint(ink(end.verdict), &l) } else { l });
    }
    if let Some(why) = end.why.filter(|_| end.verdict != Verdict::Dry) {
        out.extend(hang(&format!("  Because: {}", harmless(why)), style.width));
    }
    let wide = end.nodes.iter().map(|(n, _)| columns(&harmless(n))).max().unwrap_or(0).min(20);
    for (node, state) in end.nodes {
        let node = harmless(node);
        let pad = " ".repeat(wide.saturating_sub(columns(&node)));
        let indent = wide.max(columns(&node)) + 4;
        for (i, l) in wrap(&harmless(state), style.width.saturating_sub(indent)).iter().enumerate() {
            out.push(if i == 0 { format!("  {node}{pad}  {l}") } else { format!("{}{l}", " ".repeat(indent)) });
        }
    }
    if !end.skipped.is_empty() {
        out.push("  Left out:".to_string());
        for (what, why) in end.skipped {
            out.extend(hang(&format!("    {} {}: {}", m.not_yet, harmless(what), harmless(why)), style.width));
        }
    }
    out.extend(next(end.next, style.width));
    out
}

/// What to type next, never broken; what is no command is said as it is.
fn next(next: &[String], width: usize) -> Vec<String> {
    let commands: Vec<(&str, &str)> = next.iter().filter_map(|n| command(n)).collect();
    let wide = commands.iter().map(|(label, _)| columns(&harmless(label))).max().unwrap_or(0);
    // In columns where all have a label.
    let wide = if commands.iter().all(|(label, _)| !label.is_empty()) { wide + 2 } else { 0 };
    let fits = commands
        .iter()
        .all(|(l, c)| !c.contains('\n') && 8 + wide.max(columns(&harmless(l)) + 2) + columns(&harmless(c)) <= width);
    let mut out = Vec::new();
    let mut first = true;
    for n in next {
        let Some((label, command)) = command(n) else {
            out.extend(hang(&format!("  {}", harmless(n)), width));
            continue;
        };
        let label = if label.is_empty() { String::new() } else { format!("{}:", harmless(label)) };
        if fits {
            let lead = if first { "Next:" } else { "" };
            let pad = " ".repeat(wide.saturating_sub(columns(&label)).max(usize::from(!label.is_empty())));
            out.push(format!("  {lead:<5} {label}{pad}{}", harmless(command)));
        } else {
            if first {
                out.push("  Next:".to_string());
            }
            let indent = if label.is_empty() { "    " } else { "      " };
            if !label.is_empty() {
                out.extend(hang(&format!("    {label}"), width));
            }
            out.extend(super::escape::block(command).lines().map(|l| format!("{indent}{l}")));
        }
        first = false;
    }
    out
}

/// A line of `next` that is to be typed: what for, and what.
fn command(next: &str) -> Option<(&str, &str)> {
    if let Some((label, command)) = next.split_once(":  ") {
        return Some((label, command.trim_start()));
    }
    if next.starts_with("hawiz ") {
        return Some(("", next));
    }
    next.split_once(": ").filter(|(label, _)| label.starts_with("on ") && label.split(' ').count() == 2)
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

/// `hawiz show`: a run as it was seen; with `-v` every event in a line of its own.
pub fn show(records: &[Record], style: &Style) -> String {
    let mut out = String::new();
    if style.verbose > 0 {
        for r in records {
            let (_, text, outcome) = plain::say(&r.event);
            let outcome = outcome.map(|o| format!(" [{o}]")).unwrap_or_default();
            out.push_str(&format!("{} {:>4}  {}{outcome}\n", clock(&r.utc), r.seq, harmless(&text)));
        }
        return out;
    }
    let mut lines = Lines::report(*style);
    for r in records {
        for l in lines.event(r) {
            out.push_str(&l);
            out.push('\n');
        }
    }
    for l in lines.flush() {
        out.push_str(&l);
        out.push('\n');
    }
    if !records.iter().any(|r| matches!(r.event, Event::RunFinished { .. })) {
        out.push_str("\nThis run has not ended: it still runs, or it was broken off.\n");
    }
    out
}

fn clock(utc: &str) -> String {
    super::moment(utc).map_or(utc.to_string(), |t| t.with_timezone(&Local).format("%H:%M:%S").to_string())
}

/// One run in one line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    pub run: String,
    /// `activate xcatmn2`
    pub what: String,
    pub who: String,
    pub began: String,
    pub comment: Option<String>,
    /// How its last sitting ended; `None` while it runs, or when it was broken off.
    pub end: Option<(Verdict, u8)>,
}

impl Summary {
    pub fn of(records: &[Record]) -> Summary {
        let mut s = Summary::default();
        for r in records {
            match &r.event {
                Event::RunStarted { run, procedure, target, from, unplanned, comment, .. } => {
                    s.run = run.clone();
                    s.what = crate::plan::what(procedure, from.as_deref(), target.as_deref(), *unplanned);
                    s.comment = comment.clone();
                    s.who = r.who.clone();
                    s.began = r.utc.clone();
                }
                Event::RunResumed { .. } => s.end = None,
                Event::RunFinished { verdict, exit, .. } => s.end = Some((*verdict, *exit)),
                _ => {}
            }
        }
        s
    }

    /// `2018-06-24 22:13  RUN  activate xcatmn2  done and verified`, wrapped under itself when it is too long.
    pub fn lines(
        &self,
        style: &Style,
        local: fn(chrono::DateTime<chrono::Utc>) -> chrono::NaiveDateTime,
    ) -> Vec<String> {
        let m = style.marks();
        let began =
            super::moment(&self.began).map_or(self.began.clone(), |t| local(t).format("%Y-%m-%d %H:%M").to_string());
        let (mark, end) = match self.end {
            None => (m.doubt, "runs, or was broken off".to_string()),
            Some((v, exit)) => (mark(v, style), format!("{} (exit {exit})", verdict(v))),
        };
        let comment = self.comment.as_deref().map(|c| format!(" ({c})")).unwrap_or_default();
        let text = format!("{mark} {began}  {}  {}: {end}; {}{comment}", self.run, self.what, self.who);
        hang(&harmless(&text), style.width)
    }
}
