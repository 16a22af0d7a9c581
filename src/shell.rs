//! Shell text, and the only room that makes it.
//!
//! Why it exists: whatever hawiz does on a node is shell text that a person can read in a dry run and paste. Text is
//! therefore built once, when planning, and never again: what is shown and what is sent are the same bytes.
//!
//! Invariant: no value is ever formatted into a command unquoted. A value known when planning becomes a quoted literal;
//! a value known only at run time (a capture, a role, what a look saw) stays `"$name"` in the text and travels beside it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Bytes that travel losslessly: mostly UTF-8, but host names, file contents and `--set` values need not be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Value(pub Vec<u8>);

impl Value {
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        Value(text.into())
    }
    /// For people: what is not UTF-8 is replaced, so this must never reach a node.
    pub fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Value(s.as_bytes().to_vec())
    }
}
impl From<String> for Value {
    fn from(s: String) -> Self {
        Value(s.into_bytes())
    }
}
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.lossy())
    }
}

/// In files a value is a string; bytes that are not UTF-8 are kept as `{"hex": "…"}`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Text(String),
    Hex { hex: String },
}
impl Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => s.serialize_str(text),
            Err(_) => Stored::Hex { hex: self.0.iter().map(|b| format!("{b:02x}")).collect() }.serialize(s),
        }
    }
}
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match Stored::deserialize(d)? {
            Stored::Text(text) => Ok(Value(text.into_bytes())),
            Stored::Hex { hex } => {
                let digits = hex.as_bytes();
                let pair = |p: &[u8]| std::str::from_utf8(p).ok().and_then(|p| u8::from_str_radix(p, 16).ok());
                digits
                    .chunks(2)
                    .map(|p| if p.len() == 2 { pair(p) } else { None })
                    .collect::<Option<Vec<u8>>>()
                    .map(Value)
                    .ok_or_else(|| serde::de::Error::custom("`hex` is not pairs of hexadecimal digits"))
            }
        }
    }
}

/// One shell word: literal text and run-time values, side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word(pub Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Known when planning.
    Text(Value),
    /// Known at run time only; the shell variable of this name holds it.
    Name(String),
}

impl Word {
    pub fn literal(text: impl Into<Value>) -> Self {
        Word(vec![Part::Text(text.into())])
    }
    pub fn name(name: impl Into<String>) -> Self {
        Word(vec![Part::Name(name.into())])
    }
    /// The value, when it is known without a run.
    pub fn known(&self) -> Option<Value> {
        let mut out = Vec::new();
        for part in &self.0 {
            match part {
                Part::Text(v) => out.extend_from_slice(&v.0),
                Part::Name(_) => return None,
            }
        }
        Some(Value(out))
    }
    /// The names of run-time values in it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|p| match p {
            Part::Name(n) => Some(n.as_str()),
            Part::Text(_) => None,
        })
    }
    /// The word with its run-time values filled in (for what a person reads, or for stdin); `None` when one is missing.
    pub fn fill(&self, values: &BTreeMap<String, Value>) -> Option<Value> {
        let mut out = Vec::new();
        for part in &self.0 {
            match part {
                Part::Text(v) => out.extend_from_slice(&v.0),
                Part::Name(n) => out.extend_from_slice(&values.get(n)?.0),
            }
        }
        Some(Value(out))
    }
    /// For titles: run-time values show as `$name`.
    pub fn shown(&self) -> String {
        self.0
            .iter()
            .map(|p| match p {
                Part::Text(v) => v.lossy(),
                Part::Name(n) => format!("${n}"),
            })
            .collect()
    }
    /// The word as shell source, quoted.
    pub fn quoted(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.0 {
            match part {
                Part::Text(v) if v.is_empty() => {}
                Part::Text(v) => out.extend(quote(&v.0)),
                Part::Name(n) => out.extend(format!("\"${n}\"").into_bytes()),
            }
        }
        if out.is_empty() { b"''".to_vec() } else { out }
    }
}

/// Quotes bytes as one POSIX shell word. Plain words stay as they are, for the eye.
pub fn quote(bytes: &[u8]) -> Vec<u8> {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_@%+=:,./^-".contains(b);
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return bytes.to_vec();
    }
    let mut out = vec![b'\''];
    for b in bytes {
        if *b == b'\'' { out.extend_from_slice(b"'\\''") } else { out.push(*b) }
    }
    out.push(b'\'');
    out
}

/// A run-time value that a command needs: shell variable `var` gets the value kept under `key`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// The shell variable.
    pub var: String,
    /// Where the run keeps it: a capture's name, `name@node` for a capture per node, a role, `role.VAR`,
    /// or [`BEFORE`] for what this step's own look printed before the change.
    pub key: String,
    /// For the reader: which step will tell.
    pub from: String,
}

/// The key and shell variable under which an undo finds what the step's `done` look printed before the change.
pub const BEFORE: &str = "before";

/// Shell text with the values that belong to it. Built when planning, kept in the plan, shown and sent as it is.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Command {
    /// Values known when planning, assigned at the head in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub binds: Vec<(String, Value)>,
    /// Values known at run time only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wants: Vec<Want>,
    /// Names of the functions that the text calls (with those they need), in order of definition: of the catalogue's
    /// library for its own texts, of the playbook's `[functions]` for scripts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
    /// The text itself; no value stands in it but as a quoted literal.
    pub text: Value,
    /// Standard input; the only place a secret may go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<Stdin>,
}

/// What a command reads: text, run-time values and secrets by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stdin(pub Vec<StdinPart>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StdinPart {
    Text(Value),
    Name(String),
    Secret(String),
}

impl Command {
    pub fn new(text: impl Into<Value>) -> Self {
        Command { text: text.into(), ..Command::default() }
    }
    /// The text with its plan-time values at the head, as it is printed and as it is sent. Functions stand in front
    /// (the dry run prints them once), run-time values in front of those.
    pub fn source(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in &self.binds {
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            out.extend(quote(&value.0));
            out.push(b'\n');
        }
        out.extend_from_slice(&self.text.0);
        out
    }
}

/// What stands in front of every script on a node: the playbook's `[env]`, `PATH` in front of the node's own.
pub fn environment(env: &[(String, Value)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in env {
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend(quote(&value.0));
        if name == "PATH" {
            out.extend_from_slice(b"${PATH:+:$PATH}");
        }
        out.extend_from_slice(b"; export ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    out
}

/// A function's definition.
pub fn definition(name: &str, body: &Value) -> Vec<u8> {
    [name.as_bytes(), b"() {\n", body.0.trim_ascii_end(), b"\n}\n"].concat()
}

impl Command {
    /// The whole script as it is sent: environment, run-time values, functions, then [`Command::source`].
    /// `Err`: the run-time value that is not known.
    pub fn script(
        &self,
        env: &[(String, Value)],
        functions: &[(String, Value)],
        value: impl Fn(&str) -> Option<Value>,
    ) -> Result<Vec<u8>, &Want> {
        let mut out = environment(env);
        for want in &self.wants {
            let known = value(&want.key).ok_or(want)?;
            out.extend_from_slice(want.var.as_bytes());
            out.push(b'=');
            out.extend(quote(&known.0));
            out.push(b'\n');
        }
        for (name, body) in functions.iter().filter(|(n, _)| self.functions.contains(n)) {
            out.extend(definition(name, body));
        }
        out.extend(self.source());
        out.push(b'\n');
        Ok(out)
    }
    /// What it reads, with run-time values and secrets put in. `Err`: the name that is not known.
    pub fn input(
        &self,
        value: impl Fn(&str) -> Option<Value>,
        secrets: &BTreeMap<String, Value>,
    ) -> Result<Option<(Vec<u8>, bool)>, String> {
        let Some(Stdin(parts)) = &self.stdin else { return Ok(None) };
        let (mut out, mut secret) = (Vec::new(), false);
        for part in parts {
            match part {
                StdinPart::Text(v) => out.extend_from_slice(&v.0),
                StdinPart::Name(var) => {
                    let key = self.wants.iter().find(|w| w.var == *var).map_or(var.as_str(), |w| w.key.as_str());
                    out.extend_from_slice(&value(key).ok_or_else(|| var.clone())?.0);
                }
                StdinPart::Secret(name) => {
                    secret = true;
                    out.extend_from_slice(&secrets.get(name).ok_or_else(|| name.clone())?.0);
                }
            }
        }
        Ok(Some((out, secret)))
    }
}
