//! What a `{name}` or `$name` means at one place of a playbook.
//!
//! Why it exists: the same word may be an input, a loop's item, a node's variable, a role or a value that only the run
//! will learn; every text asks here. Invariant: a value is put in once and never looked at again; a secret is never a word.

use super::Cast;
use crate::catalog::{self, Text, Texts};
use crate::plan::Node;
use crate::problem::did_you_mean;
use crate::resolve::functions::Functions;
use crate::shell::{Part, StdinPart, Value, Want, Word};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    Value(Value),
    List(Vec<Value>),
    Secret(String),
    /// A node by name: `{x}` is its name, `{x.VAR}` its variable.
    Node(String),
    /// Known at run time: kept under `key`, told by the step `from`.
    Runtime {
        key: String,
        from: String,
    },
}

/// Where a step runs, as far as names go.
#[derive(Clone, Debug, PartialEq)]
pub enum On {
    Node(String),
    Here,
    /// A role or a `one of`: the key under which the run keeps the node's name, and the step that finds it.
    Runtime {
        key: String,
        from: String,
    },
}

/// All that the whole plan knows.
#[derive(Debug, Default)]
pub struct World {
    pub names: BTreeMap<String, Bound>,
    pub nodes: Vec<Node>,
    /// Defaults of `[node-vars]`, as written.
    pub node_defaults: BTreeMap<String, Option<String>>,
    /// Captures: name → (step id, whether it is kept a node).
    pub captures: BTreeMap<String, (String, bool)>,
    /// Roles: name → the step that finds it.
    pub roles: BTreeMap<String, String>,
    /// What texts may call.
    pub functions: Rc<Functions>,
}

/// One place's view of the world.
pub struct Scope<'a> {
    pub world: &'a World,
    pub loops: Vec<(String, Bound)>,
    pub on: On,
    pub cast: &'a Cast,
    /// Run-time names met while filling, for the command's wants.
    wants: RefCell<Vec<Want>>,
    /// The last input met that is empty: what may be wrong with a text that does not fit.
    empty: RefCell<Option<String>>,
}

impl<'a> Scope<'a> {
    pub fn new(world: &'a World, on: On, cast: &'a Cast) -> Self {
        Scope { world, loops: Vec::new(), on, cast, wants: RefCell::default(), empty: RefCell::default() }
    }
    /// The empty input met since the last call.
    pub fn take_empty(&self) -> Option<String> {
        self.empty.take()
    }
    /// The run-time names met since the last call.
    pub fn take_wants(&self) -> Vec<Want> {
        self.wants.take()
    }

    /// A plain name.
    fn plain(&self, name: &str) -> Option<Bound> {
        if let Some((_, bound)) = self.loops.iter().rev().find(|(n, _)| n == name) {
            return Some(bound.clone());
        }
        match name {
            "node" => Some(match &self.on {
                On::Node(n) => Bound::Node(n.clone()),
                On::Here => Bound::Value("here".into()),
                On::Runtime { key, from } => Bound::Runtime { key: key.clone(), from: from.clone() },
            }),
            "target" => self.cast.target.clone().map(Bound::Node),
            "from" => self.cast.from.clone().map(Bound::Node),
            "to" => self.cast.to.clone().map(Bound::Node),
            "all" => Some(Bound::List(self.cast.all.iter().map(|n| n.as_str().into()).collect())),
            "peers" => Some(Bound::List(self.cast.peers.iter().map(|n| n.as_str().into()).collect())),
            _ => {
                if let Some(from) = self.world.roles.get(name) {
                    return Some(Bound::Runtime { key: name.into(), from: from.clone() });
                }
                if let Some((from, per_node)) = self.world.captures.get(name) {
                    return (!per_node).then(|| Bound::Runtime { key: name.into(), from: from.clone() });
                }
                self.world.names.get(name).cloned()
            }
        }
    }

    /// `{base.var}`.
    fn dotted(&self, base: &str, var: &str) -> Result<Bound, String> {
        match self.plain(base) {
            Some(Bound::Node(node)) => self.node_var(&node, var),
            Some(Bound::Runtime { key, from }) if self.world.roles.contains_key(base) || base == "node" => {
                if self.world.captures.get(var).is_some_and(|c| c.1) || self.knows_var(var) {
                    Ok(Bound::Runtime { key: format!("{key}.{var}"), from })
                } else {
                    Err(format!("`{var}` is not a variable of any node"))
                }
            }
            Some(_) => Err(format!("`{base}` is not a node, so `{{{base}.{var}}}` means nothing")),
            None => Err(self.unknown(base)),
        }
    }

    fn knows_var(&self, var: &str) -> bool {
        var == "address" || self.world.node_defaults.contains_key(var)
    }

    fn node_var(&self, node: &str, var: &str) -> Result<Bound, String> {
        if let Some((from, true)) = self.world.captures.get(var) {
            return Ok(Bound::Runtime { key: format!("{var}@{node}"), from: from.clone() });
        }
        let Some(n) = self.world.nodes.iter().find(|n| n.name == node) else {
            return Err(format!("`{node}` is not a node of the site"));
        };
        if let Some((_, v)) = n.vars.iter().find(|(k, _)| k == var) {
            return Ok(Bound::Value(v.clone()));
        }
        if var == "address" {
            return n
                .address
                .as_deref()
                .map(|a| Bound::Value(a.into()))
                .ok_or_else(|| format!("node `{node}` has no `address` in the site file"));
        }
        match self.world.node_defaults.get(var) {
            Some(Some(default)) => {
                let filled =
                    default.replace("{node.address}", n.address.as_deref().unwrap_or("")).replace("{node}", node);
                Ok(Bound::Value(filled.into()))
            }
            Some(None) => Err(format!("node `{node}` needs the variable `{var}`: set it in `[nodes.{node}] vars`")),
            None => Err(format!("`{var}` is not a variable of any node")),
        }
    }

    fn unknown(&self, name: &str) -> String {
        if self.cast.failover && matches!(name, "from" | "to") {
            return self.cast.unnamed(name);
        }
        let mut known: Vec<&str> = vec!["node", "target", "peers", "all"];
        known.extend(self.world.names.keys().map(String::as_str));
        known.extend(self.world.captures.keys().map(String::as_str));
        known.extend(self.world.roles.keys().map(String::as_str));
        known.extend(self.loops.iter().map(|(n, _)| n.as_str()));
        match did_you_mean(name, known) {
            Some(hint) => format!("`{name}` is not a known name; {hint}"),
            None => format!("`{name}` is not a known name"),
        }
    }

    /// A name in `{…}`.
    pub fn braced(&self, name: &str) -> Result<Bound, String> {
        match name.split_once('.') {
            Some((base, var)) => self.dotted(base, var),
            None => self.plain(name).ok_or_else(|| match self.world.captures.get(name) {
                Some((_, true)) => format!("`{name}` is kept for each node: write `{{node.{name}}}`"),
                _ => self.unknown(name),
            }),
        }
    }

    /// A name after `$` in a script: as it stands, or with `_` for the dot. `None`: not ours.
    pub fn dollar(&self, name: &str) -> Result<Option<Bound>, String> {
        if let Some(bound) = self.plain(name) {
            return Ok(Some(bound));
        }
        for (at, _) in name.match_indices('_') {
            let (base, var) = (&name[..at], &name[at + 1..]);
            match base {
                "all" | "peers" => {
                    let nodes = if base == "all" { &self.cast.all } else { &self.cast.peers };
                    if let Some((from, true)) = self.world.captures.get(var) {
                        return Ok(Some(Bound::Runtime { key: format!("{base}.{var}"), from: from.clone() }));
                    }
                    if self.knows_var(var) {
                        let mut lines = Vec::new();
                        for node in nodes {
                            if let Bound::Value(v) = self.node_var(node, var)? {
                                lines.push(Value([node.as_bytes(), b" ", &v.0].concat()));
                            }
                        }
                        return Ok(Some(Bound::List(lines)));
                    }
                }
                _ => {
                    let node_like = matches!(self.plain(base), Some(Bound::Node(_)))
                        || (self.world.roles.contains_key(base) || base == "node") && self.plain(base).is_some();
                    if node_like && (self.knows_var(var) || self.world.captures.contains_key(var) || self.has_var(var))
                    {
                        return self.dotted(base, var).map(Some);
                    }
                }
            }
        }
        Ok(None)
    }

    fn has_var(&self, var: &str) -> bool {
        self.world.nodes.iter().any(|n| n.vars.iter().any(|(k, _)| k == var))
    }

    /// For an error about a `$name` that is not known.
    pub fn unknown_dollar(&self, name: &str) -> String {
        self.unknown(name)
    }

    fn want(&self, var: String, key: String, from: String) -> Part {
        let mut wants = self.wants.borrow_mut();
        if !wants.iter().any(|w| w.var == var) {
            wants.push(Want { var: var.clone(), key, from });
        }
        Part::Name(var)
    }

    fn part(&self, name: &str) -> Result<Part, String> {
        Ok(match self.braced(name)? {
            Bound::Value(v) => {
                if v.is_empty() && self.world.names.contains_key(name) {
                    *self.empty.borrow_mut() = Some(name.to_string());
                }
                Part::Text(v)
            }
            Bound::Node(n) => Part::Text(n.into()),
            Bound::List(items) => Part::Text(join(&items, b", ")),
            Bound::Runtime { key, from } => self.want(name.replace('.', "_"), key, from),
            Bound::Secret(s) => return Err(format!("`{s}` is a secret: it may only be given to a step's `stdin`")),
        })
    }

    /// A text with its names put in: titles, manual texts, list items.
    pub fn fill(&self, text: &str) -> Result<Word, String> {
        let mut parts = Vec::new();
        for piece in pieces(text)? {
            parts.push(match piece {
                Piece::Text(t) => Part::Text(t.into()),
                Piece::Name(n) => self.part(&n)?,
            });
        }
        Ok(Word(merge(parts)))
    }

    /// A step's `stdin`.
    pub fn fill_stdin(&self, text: &str) -> Result<Vec<StdinPart>, String> {
        let mut parts = Vec::new();
        for piece in pieces(text)? {
            parts.push(match piece {
                Piece::Text(t) => StdinPart::Text(t.into()),
                Piece::Name(n) => match self.braced(&n)? {
                    Bound::Secret(s) => StdinPart::Secret(s),
                    _ => match self.part(&n)? {
                        Part::Text(v) => StdinPart::Text(v),
                        Part::Name(v) => StdinPart::Name(v),
                    },
                },
            });
        }
        Ok(parts)
    }
}

impl catalog::Fill for Scope<'_> {
    fn word(&self, text: &Text) -> Result<Word, String> {
        for piece in pieces(&text.0)? {
            if let Piece::Name(n) = piece
                && let Bound::List(_) = self.braced(&n)?
            {
                return Err(format!("`{n}` is a list; this takes one value"));
            }
        }
        self.fill(&text.0)
    }
    fn words(&self, texts: &Texts) -> Result<Vec<Word>, String> {
        let mut all = Vec::new();
        for text in &texts.0 {
            let name = text.0.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(&text.0);
            match self.braced(name) {
                Ok(Bound::List(items)) => all.extend(items.into_iter().map(Word::literal)),
                _ => all.push(self.fill(&text.0)?),
            }
        }
        Ok(all)
    }
}

/// The scope as it would be if every empty input had a value: whether that is all that a text lacks.
pub struct Supposed<'a> {
    scope: &'a Scope<'a>,
    empty: RefCell<Option<String>>,
}

impl<'a> Supposed<'a> {
    pub fn new(scope: &'a Scope<'a>) -> Self {
        Supposed { scope, empty: RefCell::default() }
    }
    /// The input that was supposed to have a value, if the text fits then.
    pub fn and_fits(self, fits: impl Fn(&dyn catalog::Fill) -> bool) -> Option<String> {
        let fine = fits(&self);
        self.scope.take_wants();
        self.empty.take().filter(|_| fine)
    }
    fn suppose(&self, words: Vec<Word>) -> Vec<Word> {
        match self.scope.take_empty() {
            None => words,
            Some(input) => {
                let words = words.iter().map(|_| Word::name(&input)).collect();
                *self.empty.borrow_mut() = Some(input);
                words
            }
        }
    }
}

impl catalog::Fill for Supposed<'_> {
    fn word(&self, text: &Text) -> Result<Word, String> {
        self.scope.take_empty();
        let word = self.scope.word(text)?;
        Ok(self.suppose(vec![word]).remove(0))
    }
    fn words(&self, texts: &Texts) -> Result<Vec<Word>, String> {
        self.scope.take_empty();
        let words = self.scope.words(texts)?;
        Ok(self.suppose(words))
    }
}

/// Joins values.
pub fn join(items: &[Value], with: &[u8]) -> Value {
    Value(items.iter().map(|v| v.0.as_slice()).collect::<Vec<_>>().join(with))
}

pub(crate) enum Piece {
    Text(String),
    Name(String),
}

/// Splits `text {name} {{ text`.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut out = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(more) = rest.strip_prefix('{') {
            plain.push('{');
            rest = more;
            continue;
        }
        let end =
            rest.find('}').ok_or_else(|| format!("`{{` without `}}` in `{text}`; a brace itself is written `{{{{`"))?;
        let name = &rest[..end];
        if name.is_empty() || !name.bytes().all(|c| c.is_ascii_alphanumeric() || b"_.".contains(&c)) {
            return Err(format!("`{{{name}}}` is not a name; a brace itself is written `{{{{`"));
        }
        if !plain.is_empty() {
            out.push(Piece::Text(std::mem::take(&mut plain)));
        }
        out.push(Piece::Name(name.to_string()));
        rest = &rest[end + 1..];
    }
    plain.push_str(rest);
    if !plain.is_empty() || out.is_empty() {
        out.push(Piece::Text(plain));
    }
    Ok(out)
}

/// Neighbouring texts become one.
fn merge(parts: Vec<Part>) -> Vec<Part> {
    let mut out: Vec<Part> = Vec::new();
    for part in parts {
        match (out.last_mut(), part) {
            (Some(Part::Text(before)), Part::Text(v)) => before.0.extend_from_slice(&v.0),
            (_, part) => out.push(part),
        }
    }
    out
}
