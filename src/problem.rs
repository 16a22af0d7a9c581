//! Problems: what a person reads when something is wrong, and the exit codes scripts rely on.
//!
//! Why it exists: an error at three in the morning must say where, why and what to do, in that order. Texts are lower-case
//! fragments with names in backticks. Invariant: every way out of hawiz is one of [`Exit`].

use std::fmt;
use std::ops::Range;

/// How a process of hawiz ends (DESIGN 4). When several apply, [`Exit::worst`] decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done and verified.
    Ok = 0,
    /// Internal error.
    Internal = 1,
    /// Usage, playbook or inputs wrong; nothing ran.
    Usage = 2,
    /// Declined; nothing changed.
    Declined = 3,
    /// Not ready: a check refused, or answers are missing; nothing changed.
    NotReady = 4,
    /// Another run holds the lock, or took it.
    Locked = 5,
    /// Stopped or failed after something changed; resumable.
    Stopped = 6,
    /// A step's outcome is unknown.
    Unknown = 7,
    /// Done, but optional steps failed.
    Degraded = 8,
    /// Rolled back.
    RolledBack = 9,
    /// Stuck: an undo failed.
    Stuck = 10,
}

impl Exit {
    pub const ALL: [Exit; 11] = [
        Exit::Ok,
        Exit::Internal,
        Exit::Usage,
        Exit::Declined,
        Exit::NotReady,
        Exit::Locked,
        Exit::Stopped,
        Exit::Unknown,
        Exit::Degraded,
        Exit::RolledBack,
        Exit::Stuck,
    ];
    pub fn code(self) -> u8 {
        self as u8
    }
    /// The one that counts when several apply: 10, 7, 6, 9, 8, 5, 4, 3, 0.
    pub fn worst(self, other: Exit) -> Exit {
        const ORDER: [Exit; 11] = [
            Exit::Stuck,
            Exit::Unknown,
            Exit::Stopped,
            Exit::RolledBack,
            Exit::Degraded,
            Exit::Locked,
            Exit::NotReady,
            Exit::Declined,
            Exit::Usage,
            Exit::Internal,
            Exit::Ok,
        ];
        let rank = |e: Exit| ORDER.iter().position(|o| *o == e).expect("ORDER names every Exit");
        if rank(self) <= rank(other) { self } else { other }
    }
    /// What `hawiz explain exit-codes` and the README say.
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Ok => "done and verified",
            Exit::Internal => "internal error",
            Exit::Usage => "usage, playbook or inputs wrong; nothing ran",
            Exit::Declined => "declined; nothing changed",
            Exit::NotReady => "not ready: a check refused, or answers are missing; nothing changed",
            Exit::Locked => "another run holds the lock, or took it",
            Exit::Stopped => "stopped or failed after something changed; resumable",
            Exit::Unknown => "a step's outcome is unknown",
            Exit::Degraded => "done, but optional steps failed",
            Exit::RolledBack => "rolled back",
            Exit::Stuck => "stuck: an undo failed; the commands that are left were printed",
        }
    }
}

/// One thing that is wrong, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Bytes of the source it is about.
    pub span: Option<Range<usize>>,
    /// Index into [`Problems::files`]; a playbook and its site file are judged together.
    pub file: usize,
    pub message: String,
    pub hint: Option<String>,
    /// The input that may be left out, and was, but is needed here: wrong for this procedure only.
    pub left_out: Option<String>,
}

impl Problem {
    pub fn new(message: impl Into<String>) -> Self {
        Problem { span: None, file: 0, message: message.into(), hint: None, left_out: None }
    }
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A source text, for drawing carets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As the person named it.
    pub name: String,
    pub text: String,
}

/// All problems of some files at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    pub files: Vec<Source>,
    pub list: Vec<Problem>,
}

impl Problems {
    /// Registers a source and gives the index its problems carry.
    pub fn file(&mut self, name: impl Into<String>, text: impl Into<String>) -> usize {
        self.files.push(Source { name: name.into(), text: text.into() });
        self.files.len() - 1
    }
    pub fn push(&mut self, problem: Problem) {
        self.list.push(problem);
    }
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// Line and column of a byte, both from 1; the column counts characters.
pub fn place(text: &str, byte: usize) -> (usize, usize) {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    let before = &text[..byte];
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    (line, before[start..].chars().count() + 1)
}

/// Place, cause, hint; then the line with its caret:
///
/// ```text
/// playbooks/xcat.toml:12:3: unknown key `nmae`
///    12 |   nmae = "Start xcatd"
///       |   ^^^^
///   hint: did you mean `name`?
/// ```
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list: Vec<&Problem> = self.list.iter().collect();
        list.sort_by_key(|p| (p.file, p.span.as_ref().map(|s| s.start)));
        for (i, p) in list.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            let source = self.files.get(p.file);
            match (source, &p.span) {
                (Some(source), Some(span)) => {
                    let (line, column) = place(&source.text, span.start);
                    writeln!(f, "{}:{line}:{column}: {}", source.name, p.message)?;
                    let shown = source.text.lines().nth(line - 1).unwrap_or("").replace('\t', " ");
                    let width = line.to_string().len().max(4);
                    let end = place(&source.text, span.end.max(span.start));
                    let rest = shown.chars().count() + 1 - column.min(shown.chars().count() + 1);
                    let carets = if end.0 == line { end.1.saturating_sub(column) } else { rest };
                    writeln!(f, "{line:>width$} | {shown}")?;
                    writeln!(
                        f,
                        "{:width$} | {}{}",
                        "",
                        " ".repeat(column - 1),
                        "^".repeat(carets.clamp(1, rest.max(1)))
                    )?;
                }
                (Some(source), None) => writeln!(f, "{}: {}", source.name, p.message)?,
                (None, _) => writeln!(f, "{}", p.message)?,
            }
            if let Some(hint) = &p.hint {
                writeln!(f, "  hint: {hint}")?;
            }
        }
        Ok(())
    }
}
impl std::error::Error for Problems {}

/// The known word closest to a mistyped one, if any is close.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(word, k), k))
        .filter(|(d, k)| *d <= 1 + k.len() / 4)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| format!("did you mean `{k}`?"))
}

/// An error that already knows how the process must end. Everything else ends as [`Exit::Internal`].
#[derive(Debug)]
pub struct Fatal {
    pub exit: Exit,
    pub message: String,
    pub hint: Option<String>,
}
impl Fatal {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Fatal { exit, message: message.into(), hint: None }
    }
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}
impl std::error::Error for Fatal {}
impl From<Problems> for Fatal {
    fn from(p: Problems) -> Self {
        Fatal::new(Exit::Usage, p.to_string().trim_end().to_string())
    }
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> u8 {
        exit.code()
    }
}
