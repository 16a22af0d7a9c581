//! Where a step runs, and over what: the words of `on`, the loops of `each`.
//!
//! Why it exists: a word may mean one node, several, a role that only the run finds, or nothing; all of it is said here.
//! Invariant: nodes come in site order, whatever order they were written in; a loop's items are known when planning.

use super::scope::{Bound, On, Scope};
use super::{Cast, Resolver};
use crate::playbook::{At, InputKind, Over, Step};
use crate::problem::did_you_mean;
use std::ops::Range;

impl Resolver<'_> {
    /// The places a list of `on` words means.
    pub(super) fn on(&mut self, words: Option<&[At<String>]>, cast: &Cast, span: &Range<usize>) -> Vec<On> {
        let Some(words) = words else {
            return match (cast.default_on, &cast.target) {
                ("here", _) => vec![On::Here],
                ("to", _) => cast.to.iter().cloned().map(On::Node).collect(),
                ("all", _) => cast.all.iter().cloned().map(On::Node).collect(),
                (_, Some(t)) if cast.lost.as_ref() == Some(t) => {
                    self.not_contacted(span, t);
                    Vec::new()
                }
                (_, Some(t)) => vec![On::Node(t.clone())],
                (_, None) => {
                    let p = self.problem(span, "this runs on the target, but no node is the target");
                    p.hint =
                        Some("name it with `--on NODE`, or give the node that is this machine `local = true`".into());
                    Vec::new()
                }
            };
        };
        let mut nodes: Vec<String> = Vec::new();
        let mut out: Vec<On> = Vec::new();
        for word in words {
            match word.as_str() {
                "target" => match &cast.target {
                    Some(t) => nodes.push(t.clone()),
                    None => drop(
                        self.problem(&word.span, "no node is the target here")
                            .hint
                            .insert("name it with `--on NODE`".into()),
                    ),
                },
                "peers" => nodes.extend(cast.peers.iter().cloned()),
                "all" => nodes.extend(cast.all.iter().cloned()),
                "here" => out.push(On::Here),
                role @ ("from" | "to") if cast.failover => match if role == "from" { &cast.from } else { &cast.to } {
                    Some(node) => nodes.push(node.clone()),
                    None => drop(self.problem(&word.span, cast.unnamed(role))),
                },
                "from" | "to" => {
                    self.problem(&word.span, format!("`{}` is known in `failover` only", word.value));
                }
                "others" => {
                    self.problem(&word.span, "`others` is known in `each` only");
                }
                other => {
                    if let Some(set) = other.strip_prefix("one of ") {
                        let of = self.set(set.trim(), cast);
                        match of {
                            Some(of) if !of.is_empty() => out.push(On::Runtime {
                                key: format!("one of {}", of.join(" ")),
                                from: "the first that can be reached".into(),
                            }),
                            _ => drop(self.problem(&word.span, format!("`{set}` names no nodes"))),
                        }
                    } else if let Some(from) = self.world.roles.get(other) {
                        out.push(On::Runtime { key: other.to_string(), from: from.clone() });
                    } else if let Some(of) = self.set(other, cast) {
                        nodes.extend(of);
                    } else {
                        let known: Vec<String> = ["target", "peers", "all", "here"]
                            .iter()
                            .map(|s| s.to_string())
                            .chain(self.world.nodes.iter().map(|n| n.name.clone()))
                            .chain(self.pb.groups.iter().map(|g| g.value.clone()))
                            .chain(self.world.roles.keys().cloned())
                            .collect();
                        let hint = did_you_mean(other, known.iter().map(String::as_str));
                        self.problem(&word.span, format!("`{other}` names no node")).hint = hint;
                    }
                }
            }
        }
        if let Some(lost) = cast.lost.as_ref().filter(|l| nodes.contains(l)) {
            let at = words.iter().find(|w| matches!(w.as_str(), "from" | "target") || w.value == *lost);
            let at = at.map_or(span.clone(), |w| w.span.clone());
            self.not_contacted(&at, lost);
            nodes.retain(|n| n != lost);
        }
        let order = |n: &String| self.world.nodes.iter().position(|x| x.name == *n);
        nodes.sort_by_key(order);
        nodes.dedup();
        out.extend(nodes.into_iter().map(On::Node));
        out
    }

    fn not_contacted(&mut self, span: &Range<usize>, lost: &str) {
        let p = self.problem(span, format!("an unplanned failover never contacts `{lost}`: nothing can run there"));
        p.hint = Some("keep such a step for planned ones (`if.mode = \"planned\"`), or run it elsewhere".into());
    }

    /// The nodes a word means, when that is known when planning.
    fn set(&self, word: &str, cast: &Cast) -> Option<Vec<String>> {
        match word {
            "all" => Some(cast.all.clone()),
            "peers" => Some(cast.peers.clone()),
            "target" => cast.target.clone().map(|t| vec![t]),
            _ if self.pb.groups.iter().any(|g| g.value == word) => {
                let group = self.group(Some(word));
                Some(group.into_iter().filter(|n| Some(n) != cast.lost.as_ref() && !cast.off.contains(n)).collect())
            }
            "from" => cast.from.clone().map(|n| vec![n]),
            "to" => cast.to.clone().map(|n| vec![n]),
            _ if self.world.nodes.iter().any(|n| n.name == word) => Some(vec![word.to_string()]),
            _ => None,
        }
    }

    /// All combinations of the loops' items, first loop outermost.
    pub(super) fn items(&mut self, step: &Step, cast: &Cast, on: &On) -> Vec<Vec<(String, Bound)>> {
        let mut rows: Vec<Vec<(String, Bound)>> = vec![Vec::new()];
        for (names, over) in &step.each {
            let mut next = Vec::new();
            for row in rows {
                for item in self.over(over, cast, on, &row) {
                    let mut with = row.clone();
                    let names: Vec<&str> = names.value.split_whitespace().collect();
                    match (&item, names.as_slice()) {
                        (_, [one]) => with.push((one.to_string(), item)),
                        (Bound::Value(v), many) => {
                            let text = v.lossy();
                            let mut rest = text.as_str().trim_start();
                            for (i, name) in many.iter().enumerate() {
                                let last = i + 1 == many.len();
                                let end = if last {
                                    rest.len()
                                } else {
                                    rest.find(char::is_whitespace).unwrap_or(rest.len())
                                };
                                with.push((name.to_string(), Bound::Value(rest[..end].trim_end().into())));
                                rest = rest[end..].trim_start();
                            }
                        }
                        (other, many) => {
                            with.push((many.first().copied().unwrap_or("item").to_string(), other.clone()))
                        }
                    }
                    next.push(with);
                }
            }
            rows = next;
        }
        rows
    }

    fn over(&mut self, over: &Over, cast: &Cast, on: &On, row: &[(String, Bound)]) -> Vec<Bound> {
        match over {
            Over::Items(items) => {
                let mut out = Vec::new();
                for item in items {
                    let mut scope = Scope::new(&self.world, on.clone(), cast);
                    scope.loops = row.to_vec();
                    match scope.fill(&item.value).map(|w| w.known()) {
                        Ok(Some(v)) => out.push(Bound::Value(v)),
                        Ok(None) => drop(self.problem(&item.span, "a loop's item must be known when planning")),
                        Err(why) => drop(self.problem(&item.span, why)),
                    }
                }
                out
            }
            Over::Named(name) => {
                let (reverse, word) = match name.value.strip_prefix("reverse of ") {
                    Some(rest) => (true, rest.trim()),
                    None => (false, name.as_str()),
                };
                let mut items: Vec<Bound> = if word == "others" {
                    let this = match on {
                        On::Node(n) => Some(n.as_str()),
                        _ => None,
                    };
                    cast.all.iter().filter(|n| Some(n.as_str()) != this).cloned().map(Bound::Node).collect()
                } else if let Some(Bound::List(items)) = self.world.names.get(word) {
                    items.iter().cloned().map(Bound::Value).collect()
                } else if let Some(nodes) = self.set(word, cast) {
                    nodes.into_iter().map(Bound::Node).collect()
                } else {
                    let known: Vec<&str> = self
                        .pb
                        .inputs
                        .iter()
                        .filter(|(_, i)| i.kind == InputKind::List)
                        .map(|(n, _)| n.as_str())
                        .collect();
                    let hint = did_you_mean(word, known.into_iter().chain(["all", "peers", "others"]));
                    self.problem(&name.span, format!("`{word}` is no list input, group or node to loop over")).hint =
                        hint;
                    Vec::new()
                };
                if reverse {
                    items.reverse();
                }
                items
            }
        }
    }
}
