//! Reading one TOML value after the other, each on its own.
//!
//! Why it exists: serde stops at the first mistake of a file. Here every key is read for itself, so that one wrong value
//! hides no other. Invariant: [`Read::read`] gives `None` only after it has pushed a problem with a place.

use super::{At, Entries, Given};
use crate::problem::{Problem, Problems, did_you_mean};
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(crate) type Value<'i> = Spanned<DeValue<'i>>;

/// What is known while one file is read.
pub(crate) struct Reader {
    pub file: usize,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
    /// The procedure that is being read.
    pub procedure: String,
    /// Names whose table entry was wrong: whoever mentions them is not told that they are unknown.
    pub lost: HashSet<String>,
    /// Lines on which TOML itself is broken; what else seems wrong there is not told.
    broken: Vec<Range<usize>>,
}

impl Reader {
    /// Registers the text and reads what can be read of it, TOML's own mistakes told.
    pub fn open<'t>(name: &str, text: &'t str, problems: &mut Problems) -> (Reader, Value<'t>) {
        let file = problems.file(name, text);
        let mut r = Reader {
            file,
            problems: Vec::new(),
            warnings: Vec::new(),
            procedure: String::new(),
            lost: HashSet::new(),
            broken: Vec::new(),
        };
        // A byte order mark is an editor's, not a person's; TOML allows it, its spans count it.
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let (span, message, hint) = super::syntax::words(&error, text);
            let line = line_of(text, span.start);
            // One slip of the pen on one line is one problem; the parser sees several.
            if !r.broken.iter().any(|b| b.start == line.start) {
                let mut problem = Problem::new(message).at(span);
                problem.hint = hint;
                r.push(problem);
                r.broken.push(line);
            }
        }
        let span = table.span();
        (r, Spanned::new(span, DeValue::Table(table.into_inner())))
    }
    /// Hands all problems over. True when there were none.
    pub fn close(self, problems: &mut Problems) -> bool {
        let sound = self.problems.is_empty();
        problems.list.extend(self.problems);
        sound
    }
    /// TOML itself is broken: what is missing may be what could not be read.
    pub fn broken(&self) -> bool {
        !self.broken.is_empty()
    }
    pub fn push(&mut self, mut problem: Problem) {
        problem.file = self.file;
        let at = problem.span.get_or_insert(0..0);
        if !self.broken.iter().any(|b| b.contains(&at.start)) {
            self.problems.push(problem);
        }
    }
    pub fn wrong(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.push(Problem::new(message).at(span.clone()));
    }
    pub fn wrong_hint(&mut self, span: &Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Problem::new(message).at(span.clone()).hint(hint));
    }
    /// With a hint if there is one.
    pub fn wrong_maybe(&mut self, span: &Range<usize>, message: impl Into<String>, hint: Option<String>) {
        let mut problem = Problem::new(message).at(span.clone());
        problem.hint = hint;
        self.push(problem);
    }
    /// Something is not there. Not told while TOML itself is broken.
    pub fn missing(&mut self, span: &Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        if !self.broken() {
            self.wrong_hint(span, message, hint);
        }
    }
    /// A key that must be there; its meaning is the hint.
    pub fn absent(&mut self, span: &Range<usize>, key: &str, what: &str, meaning: &str) {
        let meaning = meaning.trim().trim_end_matches('.');
        let mut hint = meaning.to_string();
        if let Some(first) = hint.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        self.missing(span, format!("`{key}` is missing in {what}"), hint);
    }
    pub fn warn(&mut self, span: &Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        let mut problem = Problem::new(message).at(span.clone()).hint(hint);
        problem.file = self.file;
        self.warnings.push(problem);
    }
    /// `KEY wants WANTED, not WHAT STANDS THERE`
    pub fn wants(&mut self, key: &str, wanted: &str, value: &Value<'_>) {
        self.wrong(&value.span(), format!("`{key}` wants {wanted}, not {}", described(value.get_ref())));
    }
    /// Gives the key that was probably meant: that one is not missed as well.
    pub fn unknown(
        &mut self,
        span: &Range<usize>,
        key: &str,
        what: &str,
        known: &[&'static str],
    ) -> Option<&'static str> {
        let near = nearest(key, known);
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("{what} knows {}", listed(known.iter().copied())),
        };
        self.wrong_hint(span, format!("unknown key `{key}` in {what}"), hint);
        near
    }
}

/// The key that was probably meant.
pub(crate) fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let hint = did_you_mean(key, known.iter().copied())?;
    known.iter().copied().find(|k| hint == format!("did you mean `{k}`?"))
}

/// From the line's first byte to the next line's.
fn line_of(text: &str, byte: usize) -> Range<usize> {
    let mut at = byte.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let end = text[at..].find('\n').map_or(text.len() + 1, |i| at + i + 1);
    start..end
}

/// "`a`, `b`, `c`"
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}

/// What stands there, for "not …".
pub(crate) fn described(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(s) if !s.is_empty() && s.len() <= 40 && !s.contains('\n') => format!("the text `{s}`"),
        DeValue::String(s) if s.is_empty() => "an empty text".into(),
        DeValue::String(_) => "a text".into(),
        DeValue::Integer(i) => format!("the number {}", i.as_str()),
        DeValue::Float(f) => format!("the number {}", f.as_str()),
        DeValue::Boolean(b) => format!("`{b}`"),
        DeValue::Datetime(d) => format!("the date {d}"),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// One key's value, read on its own.
pub(crate) trait Read: Sized {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self>;
}

/// A key that may be absent, wrong (told already) or there.
pub(crate) struct Slot<T> {
    /// Where the key stands; `None`: it does not.
    pub key: Option<Range<usize>>,
    pub value: Option<T>,
}
impl<T> Default for Slot<T> {
    fn default() -> Self {
        Slot { key: None, value: None }
    }
}
impl<T> Slot<T> {
    pub fn given(&self) -> bool {
        self.key.is_some()
    }
    pub fn take(&mut self) -> Option<T> {
        self.value.take()
    }
}

impl<T: Read> Read for At<T> {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        let span = value.span();
        Some(At { value: T::read(key, value, r)?, span })
    }
}

impl Read for String {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(_) => match value.into_inner() {
                DeValue::String(s) => Some(s.into_owned()),
                _ => unreachable!("looked at in the line before"),
            },
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                let shown = described(value.get_ref());
                r.wrong_hint(&value.span(), format!("`{key}` wants a text, not {shown}"), "put it in quotes");
                None
            }
            _ => {
                r.wants(key, "a text", &value);
                None
            }
        }
    }
}

impl Read for bool {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        match value.get_ref() {
            DeValue::Boolean(b) => Some(*b),
            DeValue::String(s) if matches!(s.as_ref(), "true" | "false") => {
                let hint = format!("without quotes: `{key} = {s}`");
                r.wrong_hint(
                    &value.span(),
                    format!("`{key}` wants `true` or `false`, not {}", described(value.get_ref())),
                    hint,
                );
                None
            }
            _ => {
                r.wants(key, "`true` or `false`", &value);
                None
            }
        }
    }
}

fn integer<T: TryFrom<i64>>(key: &str, value: Value<'_>, r: &mut Reader, wanted: &str) -> Option<T> {
    if let DeValue::Integer(i) = value.get_ref() {
        let number = i64::from_str_radix(i.as_str(), i.radix()).ok().and_then(|n| T::try_from(n).ok());
        if number.is_some() {
            return number;
        }
    }
    r.wants(key, wanted, &value);
    None
}
impl Read for u16 {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        integer(key, value, r, "a number from 0 to 65535")
    }
}
impl Read for u32 {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        integer(key, value, r, "a whole number")
    }
}
impl Read for i32 {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        integer(key, value, r, "a whole number")
    }
}

/// The number behind `format`.
pub(crate) struct Version(pub i64);
impl Read for Version {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        Some(Version(integer(key, value, r, "a whole number")?))
    }
}

/// Text; numbers and booleans may be written as such.
#[derive(Clone, Debug)]
pub(crate) struct Scalar(pub String);

pub(crate) fn scalar<'i>(value: DeValue<'i>) -> Result<Cow<'i, str>, DeValue<'i>> {
    Ok(match value {
        DeValue::String(s) => s,
        // As it counts, not as it is spelt: 0x10 and 1_000 are numbers.
        DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
            Ok(n) => Cow::Owned(n.to_string()),
            Err(_) => Cow::Owned(i.as_str().to_string()),
        },
        DeValue::Float(f) => Cow::Owned(f.as_str().to_string()),
        DeValue::Boolean(b) => Cow::Owned(b.to_string()),
        other => return Err(other),
    })
}

impl Read for Scalar {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        let span = value.span();
        match scalar(value.into_inner()) {
            Ok(text) => Some(Scalar(text.into_owned())),
            Err(other) => {
                let hint = matches!(other, DeValue::Datetime(_)).then(|| "put it in quotes".to_string());
                r.wrong_maybe(
                    &span,
                    format!("`{key}` wants a text, a number or a boolean, not {}", described(&other)),
                    hint,
                );
                None
            }
        }
    }
}
impl From<At<Scalar>> for At<String> {
    fn from(at: At<Scalar>) -> Self {
        At { value: at.value.0, span: at.span }
    }
}

impl Read for Given {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        if matches!(value.get_ref(), DeValue::Array(_)) {
            let items = List::<Scalar>::read(key, value, r)?.0;
            return Some(Given::Many(items.into_iter().map(|s| s.0).collect()));
        }
        if matches!(value.get_ref(), DeValue::Table(_)) {
            r.wants(key, "a text, a number, a boolean or a list of them", &value);
            return None;
        }
        Some(Given::One(Scalar::read(key, value, r)?.0))
    }
}

/// A list, each item read on its own.
#[derive(Clone, Debug)]
pub(crate) struct List<T>(pub Vec<T>);

fn items<T: Read>(key: &str, array: toml::de::DeArray<'_>, r: &mut Reader) -> Option<Vec<T>> {
    let wanted = array.len();
    let mut all = Vec::with_capacity(wanted);
    for item in array {
        all.extend(T::read(key, item, r));
    }
    (all.len() == wanted).then_some(all)
}

impl<T: Read> Read for List<T> {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        match value.get_ref() {
            DeValue::Array(_) => match value.into_inner() {
                DeValue::Array(array) => Some(List(items(key, array, r)?)),
                _ => unreachable!("looked at in the line before"),
            },
            DeValue::String(s) if !s.contains('\n') && s.len() <= 40 => {
                let item = |w: &str| if w.parse::<i64>().is_ok() { w.to_string() } else { format!("\"{w}\"") };
                let hint = format!("write `[{}]`", s.split_whitespace().map(item).collect::<Vec<_>>().join(", "));
                r.wrong_hint(&value.span(), format!("`{key}` wants a list, not {}", described(value.get_ref())), hint);
                None
            }
            DeValue::Table(_) if key == "step" => {
                let hint = format!("a step has two brackets: `[[{}.step]]`", r.procedure);
                r.wrong_hint(&value.span(), "`step` is not a list of steps", hint);
                None
            }
            _ => {
                r.wants(key, "a list", &value);
                None
            }
        }
    }
}

/// ONE-OR-MANY: a value or a list of values.
#[derive(Clone, Debug)]
pub(crate) struct Many<T>(pub Vec<T>);

impl<T: Read> Read for Many<T> {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(array) if array.is_empty() => {
                r.wrong(&span, format!("`{key}` is an empty list"));
                None
            }
            DeValue::Array(array) => Some(Many(items(key, array, r)?)),
            other => Some(Many(vec![T::read(key, Spanned::new(span, other), r)?])),
        }
    }
}

/// DUR: an integer and `s`, `m` or `h`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dur(pub Duration);

const DUR_HINT: &str = "a time is a number with `s`, `m` or `h`: `30s`, `5m`, `2h`";

pub(crate) fn duration(text: &str) -> Option<Duration> {
    let unit = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3600,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // A hundred years are enough, and no sum of two overflows anything.
    let seconds = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    (seconds <= 100 * 366 * 24 * 3600).then(|| Duration::from_secs(seconds))
}

impl Read for Dur {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        if let DeValue::String(s) = value.get_ref()
            && let Some(d) = duration(s)
        {
            return Some(Dur(d));
        }
        r.wrong_hint(&value.span(), format!("`{key}` wants a time, not {}", described(value.get_ref())), DUR_HINT);
        None
    }
}

/// A table with free keys, order kept, each value read on its own.
#[derive(Clone, Debug)]
pub(crate) struct Map<T>(pub Entries<T>);
impl<T> Default for Map<T> {
    fn default() -> Self {
        Map(Vec::new())
    }
}

/// The value as a table; else told.
pub(crate) fn table<'i>(key: &str, value: Value<'i>, r: &mut Reader) -> Option<DeTable<'i>> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) => Some(table),
        DeValue::Array(array) if array.iter().next().is_some_and(|v| matches!(v.get_ref(), DeValue::Table(_))) => {
            r.wrong_hint(&span, format!("`{key}` is one table, not several"), format!("write it once, as `[{key}]`"));
            None
        }
        other => {
            let hint = match key {
                "if" | "if-not" => Some(format!("`{key}.INPUT = \"value\"`")),
                "each" => Some("`each.NAME = …`, a list or the name of one".to_string()),
                "retry" => Some("`retry = { tries = 3, wait = \"3s\" }`".to_string()),
                _ if key.starts_with("inputs.") => Some("an input is declared: `{ default = … }`, or `{}`".to_string()),
                _ if key.starts_with("nodes.") => Some(format!("a node is written `[{key}]`")),
                _ => None,
            };
            r.wrong_maybe(&span, format!("`{key}` wants a table, not {}", described(&other)), hint);
            None
        }
    }
}

impl<T: Read> Read for Map<T> {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        let table = table(key, value, r)?;
        let mut entries = Vec::with_capacity(table.len());
        for (k, v) in table {
            let at = At { span: k.span(), value: k.into_inner().into_owned() };
            match T::read(&format!("{key}.{}", at.value), v, r) {
                Some(value) => entries.push((at, value)),
                None => drop(r.lost.insert(at.value)),
            }
        }
        Some(Map(entries))
    }
}
