//! The terminal: finished results as a tidy list, what runs now below it.
//!
//! Why it exists: the person who decides must see at a glance what is true, what changed and what is going on. Invariant:
//! finished lines come from [`Lines`] and are never redrawn; everything that moves is one [`MultiProgress`] below them,
//! and is gone whenever somebody is asked, or the run is over. On a screen that cannot move ([`Style::live`] is false: a
//! log, `TERM=dumb`, a screen reader) there is no bar, no spinner and no control sequence at all.

use super::escape::{block, cut, line as harmless};
use super::lines::Lines;
use super::{Ink, Sink, Style, View};
use crate::event::{Event, Record};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Lines of a running step's output that are shown.
const OUTPUT: usize = 4;

pub struct Term {
    style: Style,
    lines: Lines,
    out: Sink,
    moving: Option<Moving>,
}

/// What is drawn below the list.
struct Moving {
    bars: MultiProgress,
    shown: Vec<ProgressBar>,
    stage: Option<(String, Instant)>,
    step: Option<(String, Instant)>,
    /// The last lines the step printed; the last may be unfinished.
    output: VecDeque<String>,
    /// Since when a question stands, or nothing more is to move.
    paused: Option<Instant>,
}

impl Term {
    pub fn stderr(style: Style) -> Self {
        Term::new(Sink::new(std::io::stderr()), style)
    }
    /// A `live` style draws its bars on stderr whatever `out` is.
    pub fn new(out: Sink, style: Style) -> Self {
        let moving = style.live.then(|| Moving {
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8)),
            shown: Vec::new(),
            stage: None,
            step: None,
            output: VecDeque::new(),
            paused: None,
        });
        Term { style, lines: Lines::new(style), out, moving }
    }

    fn print(&mut self, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        let mut text = String::new();
        for l in lines {
            text.push_str(l.trim_end());
            text.push('\n');
        }
        match &self.moving {
            Some(m) => m.bars.suspend(|| self.out.write(&text)),
            None => self.out.write(&text),
        }
    }
}

impl View for Term {
    fn event(&mut self, record: &Record) {
        let style = self.style;
        if let Some(m) = &mut self.moving {
            m.before(&record.event, &style);
        }
        // Bars come back before the next thing happens, not while a question may still be on the screen.
        let lines = match &record.event {
            Event::Output { .. } if self.moving.is_some() => Vec::new(),
            _ => self.lines.event(record),
        };
        self.print(&lines);
        if matches!(record.event, Event::GateAsked { .. }) {
            self.still();
        }
    }
    fn finish(&mut self) {
        self.still();
    }
    fn pause(&mut self) {
        self.still();
        let heading = self.lines.heading();
        self.print(&heading);
    }
    fn gate(&mut self) {
        self.still();
        self.lines.heading();
        self.print(&[String::new()]);
    }
    fn resume(&mut self) {
        let style = self.style;
        if let Some(m) = &mut self.moving {
            m.wake();
            m.draw(&style);
        }
    }
}

impl Term {
    fn still(&mut self) {
        let held = self.lines.flush();
        if let Some(m) = &mut self.moving {
            m.clear();
            m.paused.get_or_insert_with(Instant::now);
        }
        self.print(&held);
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        self.still();
    }
}

impl Moving {
    /// What a question took is not the stage's time.
    fn wake(&mut self) {
        let Some(since) = self.paused.take() else { return };
        for (_, began) in self.stage.iter_mut().chain(self.step.iter_mut()) {
            *began += since.elapsed();
        }
    }

    fn before(&mut self, event: &Event, style: &Style) {
        match event {
            Event::StageStarted { title, number, of, .. } => {
                let text = format!("{number}/{of} {}", harmless(title));
                self.stage = Some((text, Instant::now()));
                self.step = None;
            }
            Event::StepStarted { title, node, number, of, .. } => {
                let text = format!(
                    "{} {} {} {} {number}/{of}",
                    harmless(title),
                    style.marks().dot,
                    harmless(node),
                    style.marks().dot
                );
                self.step = Some((text, Instant::now()));
                self.output.clear();
            }
            Event::Output { text, .. } => self.take(text),
            Event::StepFinished { .. } | Event::AttemptFailed { .. } | Event::UndoFinished { .. } => {
                self.output.clear();
                self.step = None;
                // A failure menu may follow at once.
                return self.clear();
            }
            Event::UndoIntent { title, node, .. } => {
                let text = format!("undo: {} {} {}", harmless(title), style.marks().dot, harmless(node));
                self.step = Some((text, Instant::now()));
            }
            Event::RunFinished { .. } => {
                self.stage = None;
                self.step = None;
                return self.clear();
            }
            Event::GateAsked { .. } => return,
            // After these the run ends: nothing is to move any more.
            Event::GateAnswered { answer, .. } if ["no", "stop", "quit", "dry"].contains(&answer.as_str()) => return,
            Event::Chosen { choice, .. } if choice == "quit" => return,
            Event::GateAnswered { .. } | Event::Chosen { .. } => self.wake(),
            _ => {}
        }
        self.draw(style);
    }

    fn take(&mut self, text: &str) {
        // What comes may end in the middle of a line; carriage returns are a node's own progress bar.
        for (i, part) in text.split('\n').enumerate() {
            let part = part.rsplit('\r').next().unwrap_or(part);
            if i == 0 {
                match self.output.back_mut() {
                    Some(last) => last.push_str(part),
                    None => self.output.push_back(part.to_string()),
                }
            } else {
                self.output.push_back(part.to_string());
            }
        }
        while self.output.len() > OUTPUT + 1 {
            self.output.pop_front();
        }
    }

    fn clear(&mut self) {
        for bar in self.shown.drain(..) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
        let _ = self.bars.clear();
    }

    fn draw(&mut self, style: &Style) {
        if self.paused.is_some() {
            return;
        }
        let width = style.width.saturating_sub(7).max(8);
        let more = style.marks().more;
        // Text of a line, whether it spins, since when.
        let mut wanted: Vec<(String, Option<Instant>)> = Vec::new();
        for l in self.output.iter().filter(|l| !l.is_empty()).rev().take(OUTPUT).collect::<Vec<_>>().into_iter().rev() {
            let text = block(l).into_owned();
            wanted.push((style.paint(Ink::Dim, &format!("    | {}", cut(&text, width, more))), None));
        }
        if let Some((text, since)) = &self.step {
            wanted.push((cut(text, width, more).into_owned(), Some(*since)));
        }
        if let Some((text, since)) = &self.stage {
            wanted.push((style.paint(Ink::Dim, &cut(text, width, more)), Some(*since)));
        }
        let kinds = |bars: &[ProgressBar]| bars.len();
        if kinds(&self.shown) != wanted.len() {
            self.clear();
            for (_, since) in &wanted {
                let bar = self.bars.add(ProgressBar::new_spinner());
                if let Some(since) = since {
                    bar.set_elapsed(since.elapsed());
                }
                self.shown.push(bar);
            }
        }
        for (bar, (text, since)) in self.shown.iter().zip(wanted) {
            let template = if since.is_some() { "{spinner} {msg} {elapsed:>4}" } else { "{msg}" };
            let ticks = if style.ascii { "|/-\\ " } else { "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ " };
            let drawn =
                ProgressStyle::with_template(template).expect("the templates above are valid").tick_chars(ticks);
            bar.set_style(drawn);
            bar.set_message(text);
            if since.is_some() {
                bar.enable_steady_tick(Duration::from_millis(125));
            }
        }
    }
}
