//! Parameters and templates: how a word of the playbook gets into shell text.
//!
//! Why it exists: every family needs the same three things: read a parameter, refuse what can't be right, and put it
//! into text as one quoted word. Doing it in one place keeps values out of commands by construction.
//!
//! Invariants: a template never holds a value, only `@name@` where a whole word may stand; a value known when planning
//! is checked when planning; a value known only at run time is checked by a `fits` at the head of the text.

use super::{Fill, Text, Texts};
use crate::shell::{Part, Value, Word};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

struct Scalar;
impl<'de> Visitor<'de> for Scalar {
    type Value = Text;
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("text, a whole number, true or false")
    }
    fn visit_str<E: Error>(self, v: &str) -> Result<Text, E> {
        Ok(Text(v.to_owned()))
    }
    fn visit_i64<E: Error>(self, v: i64) -> Result<Text, E> {
        Ok(Text(v.to_string()))
    }
    fn visit_u64<E: Error>(self, v: u64) -> Result<Text, E> {
        Ok(Text(v.to_string()))
    }
    fn visit_bool<E: Error>(self, v: bool) -> Result<Text, E> {
        Ok(Text(v.to_string()))
    }
}
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Scalar)
    }
}

struct OneOrMany;
impl<'de> Visitor<'de> for OneOrMany {
    type Value = Texts;
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("text, or a list of texts")
    }
    fn visit_str<E: Error>(self, v: &str) -> Result<Texts, E> {
        Scalar.visit_str(v).map(|t| Texts(vec![t]))
    }
    fn visit_i64<E: Error>(self, v: i64) -> Result<Texts, E> {
        Scalar.visit_i64(v).map(|t| Texts(vec![t]))
    }
    fn visit_u64<E: Error>(self, v: u64) -> Result<Texts, E> {
        Scalar.visit_u64(v).map(|t| Texts(vec![t]))
    }
    fn visit_bool<E: Error>(self, v: bool) -> Result<Texts, E> {
        Scalar.visit_bool(v).map(|t| Texts(vec![t]))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Texts, A::Error> {
        let mut all = Vec::new();
        while let Some(text) = seq.next_element::<Text>()? {
            all.push(text);
        }
        if all.is_empty() { Err(A::Error::custom("the list is empty")) } else { Ok(Texts(all)) }
    }
}
impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(OneOrMany)
    }
}

impl JsonSchema for Text {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer", "boolean"] })
    }
}
impl JsonSchema for Texts {
    fn schema_name() -> Cow<'static, str> {
        "Texts".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<Text>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

/// What a parameter must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Unit,
    Address,
    Prefix,
    Device,
    Label,
    Path,
    Host,
    HostName,
    Port,
    Url,
    Status,
    /// Of a process or a package.
    Name,
    /// One line, not empty.
    Line,
    /// One word that is no option: a mount's source, a file system type, mount options.
    Plain,
}

impl Shape {
    fn is(self) -> &'static str {
        match self {
            Shape::Unit => "the name of a unit",
            Shape::Address => "an IP address",
            Shape::Prefix => "a prefix length",
            Shape::Device => "the name of a network interface",
            Shape::Label => "an address label (at most 15 characters)",
            Shape::Path => "an absolute path",
            Shape::Host => "a host name or address",
            Shape::HostName => "a host name",
            Shape::Port => "a port (1 to 65535)",
            Shape::Url => "an http:// or https:// address",
            Shape::Status => "an HTTP status (100 to 599)",
            Shape::Name => "a plain name",
            Shape::Line => "one line of text",
            Shape::Plain => "a single word",
        }
    }
    /// What the library's `fits` calls it; for values that only a run knows.
    fn kind(self) -> &'static str {
        match self {
            Shape::Unit => "unit",
            Shape::Address => "address",
            Shape::Prefix | Shape::Port | Shape::Status => "number",
            Shape::Device | Shape::Label => "device",
            Shape::Path => "path",
            Shape::Host => "host",
            Shape::HostName => "hostname",
            Shape::Url => "url",
            Shape::Name => "name",
            Shape::Line => "line",
            Shape::Plain => "word",
        }
    }
    /// The value as it shall stand, or nothing when it is not of this shape.
    fn check(self, v: &str) -> Option<String> {
        let only = |extra: &str| {
            !v.is_empty() && !v.starts_with('-') && v.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
        };
        let number = |low: u32, high: u32| {
            v.bytes().all(|b| b.is_ascii_digit()) && v.parse().is_ok_and(|n: u32| (low..=high).contains(&n))
        };
        let fine = match self {
            // One spelling of an address everywhere: what `ip` prints is what is compared.
            Shape::Address => return v.parse::<IpAddr>().ok().map(|a| a.to_string()),
            Shape::Path => {
                let fine = v.starts_with('/') && !v.contains(['\n', '\0']);
                let short = v.trim_end_matches('/');
                return fine.then(|| if short.is_empty() { "/".into() } else { short.into() });
            }
            Shape::Unit => only(r":_.@\-"),
            Shape::Prefix => number(0, 128),
            Shape::Device | Shape::Label => only("_.:@-") && v.len() <= 15,
            Shape::Host => v.parse::<IpAddr>().is_ok() || (only("_.:%-") && v.len() <= 253),
            Shape::HostName => only("_.-") && v.len() <= 253 && v.parse::<IpAddr>().is_err(),
            Shape::Port => number(1, 65535),
            Shape::Url => {
                let rest = v.strip_prefix("http://").or_else(|| v.strip_prefix("https://"));
                rest.is_some_and(|r| !r.is_empty()) && v.chars().all(|c| c.is_ascii_graphic())
            }
            Shape::Status => number(100, 599),
            Shape::Name => only("_.:+@-"),
            Shape::Line => !v.is_empty() && !v.contains(['\n', '\0']),
            Shape::Plain => !v.is_empty() && !v.starts_with('-') && v.chars().all(|c| !c.is_whitespace() && c != '\0'),
        };
        fine.then(|| v.to_owned())
    }
}

/// The parameters of one operation, read and checked, ready to stand in a template.
pub(super) struct Args<'a> {
    fill: &'a dyn Fill,
    words: Vec<(&'static str, Vec<Word>)>,
    /// Values to be checked at run time.
    late: Vec<(Word, Shape)>,
}

impl<'a> Args<'a> {
    pub fn new(fill: &'a dyn Fill) -> Self {
        Args { fill, words: Vec::new(), late: Vec::new() }
    }

    /// Reads a parameter; answers its value when it is known already.
    pub fn take(&mut self, name: &'static str, text: &Text, shape: Shape) -> Result<Option<String>, String> {
        let word = self.fill.word(text)?;
        let (word, known) = self.checked(name, word, shape)?;
        self.words.push((name, vec![word]));
        Ok(known)
    }

    /// An optional one; left out and empty are the same (`default = ""` = may be left out). Answers whether it is there.
    pub fn maybe(&mut self, name: &'static str, text: &Option<Text>, shape: Shape) -> Result<bool, String> {
        let Some(text) = text else { return Ok(false) };
        if self.fill.word(text)?.known().is_some_and(|v| v.is_empty()) {
            return Ok(false);
        }
        self.take(name, text, shape).map(|_| true)
    }

    /// An optional yes or no; it shapes the text, so it must be known.
    pub fn flag(&self, name: &str, text: &Option<Text>) -> Result<bool, String> {
        let Some(text) = text else { return Ok(false) };
        match self.fill.word(text)?.known().map(|v| v.lossy()).as_deref() {
            Some("true" | "yes") => Ok(true),
            Some("false" | "no" | "") => Ok(false),
            Some(other) => Err(format!("`{name}` is neither true nor false: {other}")),
            None => Err(format!("`{name}` must be known before the run")),
        }
    }

    /// Reads a list.
    pub fn list(&mut self, name: &'static str, texts: &Texts, shape: Shape) -> Result<(), String> {
        let mut all = Vec::new();
        for word in self.fill.words(texts)? {
            all.push(self.checked(name, word, shape)?.0);
        }
        if all.is_empty() {
            return Err(format!("`{name}` is an empty list"));
        }
        self.words.push((name, all));
        Ok(())
    }

    /// Reads a table of parameters that belong to another program, each of which becomes one word `NAME=VALUE`. One that is
    /// empty is left out. Answers the names with their values.
    pub fn pairs(&mut self, name: &'static str, table: &BTreeMap<String, Text>) -> Result<Vec<(String, Word)>, String> {
        let (mut words, mut values) = (Vec::new(), Vec::new());
        for (key, text) in table {
            let fine = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !key.starts_with(|c: char| c.is_ascii_digit());
            if key.is_empty() || !fine {
                return Err(format!("`{name}`: `{key}` cannot be the name of a parameter"));
            }
            let value = self.fill.word(text)?;
            if value.known().is_some_and(|v| v.is_empty()) {
                continue;
            }
            let (value, _) = self.checked(name, value, Shape::Line).map_err(|why| format!("{why} (`{key}`)"))?;
            words.push(Word([&[Part::Text(format!("{key}=").into())], &value.0[..]].concat()));
            values.push((key.clone(), value));
        }
        self.words.push((name, words));
        Ok(values)
    }

    fn checked(&mut self, name: &'static str, word: Word, shape: Shape) -> Result<(Word, Option<String>), String> {
        let Some(value) = word.known() else {
            self.late.push((word.clone(), shape));
            return Ok((word, None));
        };
        let text = String::from_utf8(value.0.clone());
        match text.as_deref().ok().and_then(|t| shape.check(t)) {
            Some(text) => Ok((Word::literal(text.clone()), Some(text))),
            // A line of a file need not be UTF-8.
            None if shape == Shape::Line && text.is_err() && !value.0.contains(&b'\n') => Ok((word, None)),
            None => Err(format!("`{name}` is not {}: {}", shape.is(), value.lossy())),
        }
    }

    /// The word of a parameter that was taken.
    pub fn word(&self, name: &str) -> &Word {
        let (_, words) = self.words.iter().find(|(n, _)| *n == name).expect("a template names what was taken");
        &words[0]
    }

    /// A parameter made by the operation itself.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.words.push((name, vec![Word::literal(value)]));
    }

    /// A look's text; a run-time value of the wrong shape means that nothing can be looked at.
    pub fn look(&self, template: &str) -> Value {
        self.render(template, 126)
    }

    /// A change's text; a run-time value of the wrong shape will not get better by trying again.
    pub fn change(&self, template: &str) -> Value {
        self.render(template, super::NO_RETRY)
    }

    fn render(&self, template: &str, refuse: i32) -> Value {
        let mut out = Vec::new();
        for (word, shape) in &self.late {
            out.extend_from_slice(format!("fits {} ", shape.kind()).as_bytes());
            out.extend(word.quoted());
            out.extend_from_slice(format!(" || exit {refuse}\n").as_bytes());
        }
        // One pass, so that a value holding `@name@` is not looked at again.
        let mut rest = template.trim_matches('\n');
        while let Some((front, tail)) = rest.split_once('@') {
            out.extend_from_slice(front.as_bytes());
            let end = tail.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(tail.len());
            match &tail[..end] {
                name if !name.is_empty() && tail[end..].starts_with('@') => {
                    let (_, words) =
                        self.words.iter().find(|(n, _)| *n == name).expect("a template names what was taken");
                    let quoted: Vec<_> = words.iter().map(Word::quoted).collect();
                    out.extend(quoted.join(&b' '));
                    rest = &tail[end + 1..];
                }
                _ => {
                    out.push(b'@');
                    rest = tail;
                }
            }
        }
        out.extend_from_slice(rest.as_bytes());
        Value(out)
    }
}
