//! Views: Events in, characters out.
//!
//! Why it exists: the operator, the log and the script that watches see the same run through different eyes; all of them
//! are drawn from the same [`Record`]s, so none can know more than the journal does.
//!
//! Invariant: a view decides nothing and stops nothing. A screen that breaks or a pipe that closes is noted by
//! [`Sink`] and from then on silent; the run goes on. Nothing here imports the engine or a transport.
//!
//! Wiring (in the composition root): [`views`] makes what `--output` asks for. Whoever asks a person calls
//! [`View::pause`] first and [`View::resume`] after, so that no progress line is drawn into the question; a view
//! also pauses by itself on `GateAsked`.

pub mod escape;
pub mod gate;
pub mod json;
mod known;
pub mod lines;
mod parts;
pub mod plain;
pub mod report;
pub mod roster;
pub mod script;
mod script_failover;
pub mod script_md;
pub mod script_sh;
mod script_text;
mod tally;
pub mod term;
pub mod text;
mod words;
pub mod wrap;

use crate::event::{Looked, Outcome, Proven, Purpose, Record};
use crate::plan::Answer;
use crate::shell::Value;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;

/// Somebody who watches a run.
pub trait View {
    fn event(&mut self, record: &Record);
    /// The last event has been: leave the terminal as it was found.
    fn finish(&mut self);
    /// A question is about to be drawn: no moving parts until [`View::resume`].
    fn pause(&mut self) {}
    /// The same for a gate, which brings the heading of its stage.
    fn gate(&mut self) {
        self.pause();
    }
    fn resume(&mut self) {}
}

/// Several views of one run.
#[derive(Default)]
pub struct Views(pub Vec<Box<dyn View>>);

impl View for Views {
    fn event(&mut self, record: &Record) {
        self.0.iter_mut().for_each(|v| v.event(record));
    }
    fn finish(&mut self) {
        self.0.iter_mut().for_each(|v| v.finish());
    }
    fn pause(&mut self) {
        self.0.iter_mut().for_each(|v| v.pause());
    }
    fn gate(&mut self) {
        self.0.iter_mut().for_each(|v| v.gate());
    }
    fn resume(&mut self) {
        self.0.iter_mut().for_each(|v| v.resume());
    }
}

/// `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Term,
    Plain,
    Json,
}

/// The views `--output` asks for. With `term`, a stdout that is no terminal gets the record in plain, so `| tee` works.
pub fn views(output: Output, style: Style, stdout_is_terminal: bool) -> Views {
    match output {
        Output::Plain => Views(vec![Box::new(plain::Plain::stdout(style.verbose))]),
        Output::Json => Views(vec![Box::new(json::Json::stdout())]),
        Output::Term => {
            let mut all: Vec<Box<dyn View>> = vec![Box::new(term::Term::stderr(style))];
            if !stdout_is_terminal {
                all.push(Box::new(plain::Plain::stdout(style.verbose)));
            }
            Views(all)
        }
    }
}

/// How to draw: for this width, these characters, these colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    pub width: usize,
    /// Only ASCII may be printed.
    pub ascii: bool,
    pub colours: bool,
    /// -1 = `-q`, 0, 1 = `-v`, …
    pub verbose: i8,
    /// Lines may be drawn over: a real terminal, not `TERM=dumb`, no screen reader.
    pub live: bool,
}

/// `--color`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Auto,
    Always,
    Never,
}

impl Style {
    /// A log or a golden file: `width` columns, no colour, no moving parts.
    pub fn still(width: usize, ascii: bool) -> Style {
        Style { width, ascii, colours: false, verbose: 0, live: false }
    }
    /// What this process's stderr can show. `NO_COLOR`, `TERM=dumb`, the locale and `ACCESSIBLE` (no moving parts, for
    /// screen readers) are honoured.
    pub fn stderr(colour: Colour, verbose: i8) -> Style {
        Style::of(&console::Term::stderr(), colour, verbose)
    }
    /// The same for stdout: dry runs, plans, reports.
    pub fn stdout(colour: Colour, verbose: i8) -> Style {
        Style::of(&console::Term::stdout(), colour, verbose)
    }
    fn of(term: &console::Term, colour: Colour, verbose: i8) -> Style {
        let env = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let dumb = env("TERM").is_none_or(|t| t == "dumb");
        let locale = env("LC_ALL").or_else(|| env("LC_CTYPE")).or_else(|| env("LANG")).unwrap_or_default();
        let utf8 = locale.to_ascii_lowercase().replace('-', "").ends_with("utf8");
        let terminal = term.is_term();
        let colours = match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => terminal && !dumb && env("NO_COLOR").is_none(),
        };
        let width = term.size_checked().map(|(_, w)| w as usize).filter(|w| *w > 0).unwrap_or(80);
        Style {
            width: width.clamp(20, 120),
            ascii: !utf8 || (terminal && dumb),
            colours,
            verbose,
            live: terminal && !dumb && env("ACCESSIBLE").is_none(),
        }
    }
    pub fn marks(&self) -> &'static Marks {
        if self.ascii { &ASCII } else { &UTF8 }
    }
    pub fn paint(&self, ink: Ink, text: &str) -> String {
        if !self.colours || text.is_empty() {
            return text.to_string();
        }
        let style = console::Style::new().force_styling(true);
        match ink {
            Ink::Good => style.green(),
            Ink::Bad => style.red().bold(),
            Ink::Doubt => style.yellow(),
            Ink::Change => style.cyan(),
            Ink::Strong => style.bold(),
            Ink::Dim => style.dim(),
        }
        .apply_to(text)
        .to_string()
    }
}

/// What a colour is for; never the only sign of anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    Good,
    Bad,
    Doubt,
    Change,
    Strong,
    Dim,
}

/// The signs, and their ASCII twins (two characters, words where they can be, for braille and speech).
#[derive(Debug)]
pub struct Marks {
    pub yes: &'static str,
    pub no: &'static str,
    pub doubt: &'static str,
    pub change: &'static str,
    pub already: &'static str,
    pub not_yet: &'static str,
    pub dot: &'static str,
    pub more: &'static str,
    pub bar: &'static str,
}
pub const UTF8: Marks =
    Marks {
        yes: "✓", no: "✗", doubt: "?", change: "→", already: "=", not_yet: "·", dot: "·", more: "…", bar: "│"
    };
pub const ASCII: Marks = Marks {
    yes: "ok",
    no: "NO",
    doubt: "??",
    change: "->",
    already: "==",
    not_yet: "..",
    dot: "-",
    more: "...",
    bar: "|",
};
impl Marks {
    /// Columns a sign takes; all of one set take the same.
    pub fn wide(&self) -> usize {
        escape::columns(self.yes)
    }
}

/// A place to write to that is given up silently when it breaks.
pub struct Sink {
    out: Option<Box<dyn Write + Send>>,
}
impl Sink {
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Sink { out: Some(Box::new(out)) }
    }
    pub fn write(&mut self, text: &str) {
        if let Some(out) = &mut self.out
            && (out.write_all(text.as_bytes()).is_err() || out.flush().is_err())
        {
            // A closed pipe, a full disk, a gone terminal: the run matters more than its picture.
            self.out = None;
        }
    }
    pub fn line(&mut self, text: &str) {
        self.write(&format!("{text}\n"));
    }
}

/// A look with the moment it was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub looked: Looked,
    pub at: Option<DateTime<Utc>>,
}

/// The looks already taken, and what else is known of the nodes: what a dry run and a gate show beside the plan.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    /// By step instance (or stage id); of one purpose and node only the newest.
    seen: HashMap<String, Vec<Seen>>,
    /// Changes that are done by now, in this sitting or an earlier one.
    finished: HashSet<String>,
    /// Nodes that could not be reached, and why.
    pub unreachable: BTreeMap<String, String>,
    /// Peers' proofs.
    pub proofs: BTreeMap<String, (Proven, Option<DateTime<Utc>>)>,
    /// Run-time values that are known by now.
    pub values: BTreeMap<String, Value>,
    /// Nodes that answered.
    pub nodes: Vec<String>,
    /// Nodes that keep no claims and lock, and why.
    pub unrecorded: BTreeMap<String, String>,
    /// The present, for ages.
    pub now: Option<DateTime<Utc>>,
}

impl Looks {
    /// Folds one record in; what is of no interest here is passed over.
    pub fn record(&mut self, record: &Record) {
        use crate::event::Event;
        let at = moment(&record.utc);
        match &record.event {
            Event::Looked(looked) => {
                if looked.purpose == Purpose::After && looked.answer != Answer::Yes {
                    self.finished.remove(&looked.step);
                }
                self.add(looked.clone(), at);
            }
            Event::StepFinished { step, outcome: Outcome::Done | Outcome::Already, .. } => {
                self.finished.insert(step.clone());
            }
            Event::StepIntent { step, .. } => {
                self.finished.remove(step);
            }
            Event::NodeSeen { node, unrecorded, .. } => {
                self.unreachable.remove(node);
                match unrecorded {
                    Some(why) => self.unrecorded.insert(node.clone(), why.clone()),
                    None => self.unrecorded.remove(node),
                };
                if !self.nodes.contains(node) {
                    self.nodes.push(node.clone());
                }
            }
            Event::NodeUnreachable { node, why } => {
                self.unreachable.insert(node.clone(), why.clone());
            }
            Event::ProofTaken { node, proven, .. } => {
                self.proofs.insert(node.clone(), (proven.clone(), at));
            }
            Event::Captured { key, value } => {
                self.values.insert(key.clone(), value.clone());
            }
            _ => {}
        }
    }
    pub fn add(&mut self, looked: Looked, at: Option<DateTime<Utc>>) {
        if !self.nodes.contains(&looked.node) {
            self.nodes.push(looked.node.clone());
        }
        let all = self.seen.entry(looked.step.clone()).or_default();
        all.retain(|s| s.looked.purpose != looked.purpose || s.looked.node != looked.node);
        all.push(Seen { looked, at });
    }
    /// The looks of a step for a purpose, one a node.
    pub fn of<'a>(&'a self, step: &str, purpose: Purpose) -> impl Iterator<Item = &'a Seen> + use<'a> {
        self.seen.get(step).into_iter().flatten().filter(move |s| s.looked.purpose == purpose)
    }
    pub fn one(&self, step: &str, purpose: Purpose) -> Option<&Seen> {
        self.of(step, purpose).next()
    }
    /// All of them, by step, for `--format json`.
    pub fn all(&self) -> Vec<&Seen> {
        let mut all: Vec<&Seen> = self.seen.values().flatten().collect();
        all.sort_by(|a, b| (&a.looked.step, &a.looked.node, a.at).cmp(&(&b.looked.step, &b.looked.node, b.at)));
        all
    }
    /// A change that is done by now; looks from before it say nothing any more.
    pub fn is_finished(&self, step: &str) -> bool {
        self.finished.contains(step)
    }
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
    /// Seconds since a moment, when both are known.
    pub fn age(&self, at: Option<DateTime<Utc>>) -> Option<i64> {
        Some((self.now? - at?).num_seconds().max(0))
    }
}

/// A record's time.
pub fn moment(utc: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(utc).ok().map(|t| t.with_timezone(&Utc))
}
