//! Inputs: which keys go with which kind, and whether a default is of its kind.
//!
//! Why it exists: a default is a value nobody types, so nobody would notice that it is wrong. Invariant: values that hold
//! `{names}` are left to the planner, which knows them.

use super::raw::{RawInput, RawNodeVar};
use super::read::{Reader, listed};
use super::{At, Entries, Given, Input, InputKind, NodeVar};
use crate::problem::did_you_mean;
use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;

pub(crate) fn node_vars(raw: Entries<RawNodeVar>) -> Entries<NodeVar> {
    let lower = |mut v: RawNodeVar| NodeVar {
        prompt: v.prompt.take().unwrap_or_default(),
        default: v.default.take().map(At::from),
    };
    raw.into_iter().map(|(name, v)| (name, lower(v))).collect()
}

pub(crate) fn inputs(raw: Entries<RawInput>, r: &mut Reader) -> Entries<Input> {
    let inputs: Entries<Input> = raw.into_iter().map(|(name, v)| (name, input(v, r))).collect();
    let known: HashMap<&str, &Input> = inputs.iter().map(|(n, i)| (n.value.as_str(), i)).collect();
    for (name, input) in &inputs {
        default_for(name, input, &known, r);
    }
    inputs
}

fn input(mut raw: RawInput, r: &mut Reader) -> Input {
    let kind = raw.kind.value.as_ref().map_or(InputKind::Text, |k| k.value);
    // Of a kind that could not be read nothing else is judged.
    let sure = raw.kind.value.is_some() || !raw.kind.given();
    if sure {
        match (kind, &raw.of.key) {
            (InputKind::Choice, None) => {
                let at = raw.kind.value.as_ref().map_or(&raw.span, |k| &k.span);
                r.missing(at, "a choice without `of`", "say its values: `of = [\"a\", \"b\"]`");
            }
            (InputKind::Choice, Some(at)) if raw.of.value.as_ref().is_some_and(|l| l.0.is_empty()) => {
                r.wrong(at, "`of` is an empty list");
            }
            (InputKind::Choice, Some(_)) => {}
            (_, Some(at)) => r.wrong_hint(
                at,
                "`of` goes with `kind = \"choice\"` only",
                "say `kind = \"choice\"`, or leave `of` out",
            ),
            (_, None) => {}
        }
        if kind == InputKind::Secret {
            for (key, at) in [("default", &raw.default.key), ("default-for", &raw.default_for.key)] {
                if let Some(at) = at {
                    r.wrong_hint(
                        at,
                        format!("a secret has no `{key}`"),
                        "a site says where it is fetched, in `[secrets]`",
                    );
                }
            }
        }
    }
    let of: Vec<At<String>> = raw.of.take().map(|l| l.0.into_iter().map(At::from).collect()).unwrap_or_default();
    for (i, value) in of.iter().enumerate() {
        if of[..i].iter().any(|v| v.value == value.value) {
            r.wrong(&value.span, format!("`{}` stands twice in `of`", value.value));
        }
    }
    let mut pairs = raw.default_for.take().unwrap_or_default().0.into_iter();
    let default_for = pairs.next().map(|(input, values)| (input, values.0));
    for (second, _) in pairs {
        r.wrong_hint(&second.span, "`default-for` by two inputs", "one input decides the default");
    }
    let input = Input {
        kind,
        prompt: raw.prompt.take().unwrap_or_default(),
        default: raw.default.take(),
        default_for,
        of: of.into_iter().map(|v| v.value).collect(),
    };
    if sure && kind != InputKind::Secret {
        let later = input.default_for.iter().flat_map(|(_, values)| values.iter().map(|(_, v)| v));
        for value in input.default.iter().chain(later) {
            of_kind("default", &input, value, r);
        }
    }
    input
}

/// Tells a value that is not of its input's kind.
fn of_kind(key: &str, input: &Input, value: &At<Given>, r: &mut Reader) {
    match (&value.value, input.kind) {
        (Given::Many(_), InputKind::List) => {}
        (Given::Many(_), _) => {
            r.wrong_hint(&value.span, format!("`{key}` is a list, the input is not"), "say `kind = \"list\"`");
        }
        (Given::One(one), InputKind::List) if !one.contains('{') => {
            let hint =
                if one.is_empty() { "`[]`: it may be left out".to_string() } else { format!("write `[\"{one}\"]`") };
            r.wrong_hint(&value.span, format!("`{key}` of a list is a list, not `{one}`"), hint);
        }
        (Given::One(one), _) => {
            if let Some((message, hint)) = against(input, one) {
                r.wrong_maybe(&value.span, format!("`{key}`: {message}"), hint);
            }
        }
    }
}

/// What speaks against a value of an input: cause and hint. An empty one and one with `{names}` are let pass.
pub(crate) fn against(input: &Input, text: &str) -> Option<(String, Option<String>)> {
    if text.is_empty() || text.contains('{') {
        return None;
    }
    let plain = |message: String, hint: &str| Some((message, Some(hint.to_string())));
    match input.kind {
        InputKind::Choice if !input.of.is_empty() && !input.of.iter().any(|v| v == text) => {
            let known = || input.of.iter().map(String::as_str);
            let hint = did_you_mean(text, known()).unwrap_or_else(|| format!("one of {}", listed(known())));
            Some((format!("`{text}` is not among `of`"), Some(hint)))
        }
        InputKind::Int if text.parse::<i64>().is_err() => {
            plain(format!("`{text}` is not a whole number"), "digits only")
        }
        InputKind::Bool if !matches!(text, "true" | "false") => {
            plain(format!("`{text}` is neither `true` nor `false`"), "write `true` or `false`")
        }
        InputKind::Ip if text.parse::<IpAddr>().is_err() => plain(
            format!("`{text}` is not an IP address"),
            "such as `10.5.106.7` or `fd00::7`, without a prefix length",
        ),
        InputKind::Path if !text.starts_with('/') => {
            plain(format!("`{text}` is not a full path"), "a path begins with `/`")
        }
        _ => None,
    }
}

fn default_for(name: &At<String>, input: &Input, known: &HashMap<&str, &Input>, r: &mut Reader) {
    let Some((by, values)) = &input.default_for else { return };
    let Some(other) = known.get(by.value.as_str()) else {
        if r.lost.contains(by.as_str()) || r.broken() {
            return;
        }
        let hint = did_you_mean(by, known.keys().copied());
        r.wrong_maybe(&by.span, format!("`default-for` names `{}`, which is not an input", by.value), hint);
        return;
    };
    if !can_decide(by, other, r) {
        return;
    }
    for (value, _) in values {
        if let Some((message, hint)) = against(other, value) {
            r.wrong_maybe(&value.span, format!("`{}` of input `{}`: {message}", value.value, by.value), hint);
        }
    }
    // Round and round: no value would ever be known.
    let mut at = *other;
    let mut seen = vec![by.value.as_str()];
    loop {
        let current = *seen.last().expect("it begins with one name and only grows");
        if current == name.value {
            let hint = "give one of them a plain `default`";
            r.wrong_hint(&by.span, format!("the default of `{}` depends on itself", name.value), hint);
            return;
        }
        match &at.default_for {
            Some((next, _)) if !seen.contains(&next.value.as_str()) => match known.get(next.value.as_str()) {
                Some(input) => {
                    seen.push(next.value.as_str());
                    at = input;
                }
                None => return,
            },
            _ => return,
        }
    }
}

/// Whether an input may stand in `if` and `default-for`; told if not.
pub(crate) fn can_decide(name: &At<String>, input: &Input, r: &mut Reader) -> bool {
    let (what, hint) = match input.kind {
        InputKind::Secret => ("a secret", "nothing that is shown may depend on it"),
        InputKind::List => ("a list", "an input with one value decides"),
        _ => return true,
    };
    let span: &Range<usize> = &name.span;
    r.wrong_hint(span, format!("`{}` is {what}", name.value), hint);
    false
}
