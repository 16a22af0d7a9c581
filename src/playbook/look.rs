//! Looks, changes and undoings as written: a table with exactly one operation.
//!
//! Why it exists: the catalogue is a serde enum that grows; its words for a mistake are made for programs. Invariant: any
//! serde enum of operations will do here, nothing but `sh` is known by name.

use super::lint;
use super::read::{Read, Reader, Value, described, listed, table};
use super::{At, LookDef, UndoDef};
use crate::catalog::{Action, Check};
use crate::problem::did_you_mean;
use serde::de::{self, DeserializeOwned, Visitor};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, ValueDeserializer};

/// The words of a catalogue enum.
pub(crate) fn operations<T: DeserializeOwned>() -> &'static [&'static str] {
    T::deserialize(Probe).err().map_or(&[], |p| p.0)
}

/// Asks a serde enum for its variants, by failing with them.
struct Probe;
#[derive(Debug)]
struct Variants(&'static [&'static str]);
impl std::fmt::Display for Variants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
impl std::error::Error for Variants {}
impl de::Error for Variants {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Variants(&[])
    }
}
impl<'de> de::Deserializer<'de> for Probe {
    type Error = Variants;
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Variants> {
        Err(Variants(&[]))
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Variants> {
        Err(Variants(variants))
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

type Entry<'i> = (Spanned<DeString<'i>>, Value<'i>);

/// The only entry of a table; `what` is what it holds: "look", "change", "undo".
fn single<'i>(key: &str, what: &str, value: Value<'i>, r: &mut Reader) -> Option<Entry<'i>> {
    let span = value.span();
    if let DeValue::String(_) = value.get_ref() {
        let hint = format!("a script is written `{key}.sh = …`");
        r.wrong_hint(&span, format!("`{key}` wants an operation, not {}", described(value.get_ref())), hint);
        return None;
    }
    let mut entries = table(key, value, r)?.into_iter();
    let Some(first) = entries.next() else {
        r.wrong_hint(
            &span,
            format!("`{key}` says no operation"),
            format!("write `{key}.sh = …`, or another operation"),
        );
        return None;
    };
    let more: Vec<Entry<'_>> = entries.collect();
    if let Some((second, _)) = more.first() {
        let all: Vec<&str> = std::iter::once(&first).chain(&more).map(|(k, _)| k.get_ref().as_ref()).collect();
        let number = match all.len() {
            2 => "two operations".to_string(),
            n => format!("{n} operations"),
        };
        r.wrong_hint(
            &second.span(),
            format!("{number} in one {what}: {}", listed(all)),
            match what {
                "undo" => "one operation undoes a step; several commands go into one `undo.sh`".to_string(),
                _ => format!("a {what} is one operation; make two steps of it, or one script"),
            },
        );
        return None;
    }
    Some(first)
}

/// One operation of the catalogue. `others`: the other half of it, for "is a change, goes with …".
fn operation<T: DeserializeOwned>(
    key: &str,
    what: &str,
    (name, value): Entry<'_>,
    misplaced: impl Fn(&str) -> Option<String>,
    r: &mut Reader,
) -> Option<At<T>> {
    let at = name.span();
    let op = name.get_ref().to_string();
    let known = operations::<T>();
    if !known.is_empty() && !known.contains(&op.as_str()) {
        let hint = misplaced(&op).or_else(|| did_you_mean(&op, known.iter().copied()));
        let hint = hint.unwrap_or_else(|| format!("one of {}", listed(known.iter().copied())));
        r.wrong_hint(&at, format!("there is no {what} `{op}`"), hint);
        return None;
    }
    let span = at.start.min(value.span().start)..at.end.max(value.span().end);
    if op == "sh" {
        let text = <At<String>>::read(&format!("{key}.sh"), value.clone(), r)?;
        if !lint::script(&format!("{key}.sh"), &text, r) {
            return None;
        }
    }
    let whole = |value: Value<'_>| {
        let mut table = DeTable::new();
        table.insert(name.clone(), value);
        T::deserialize(ValueDeserializer::from(Spanned::new(span.clone(), DeValue::Table(table))))
    };
    if !matches!(value.get_ref(), DeValue::Table(_)) {
        return match whole(value.clone()) {
            Ok(parsed) => Some(At { value: parsed, span }),
            Err(error) => {
                parameter(&op, error.message(), &value.span(), None, &at, r);
                None
            }
        };
    }
    // One mistake after the other: what was told is mended, and the whole is tried again.
    let mut rest = value;
    let mut told: Vec<String> = Vec::new();
    loop {
        let error = match whole(rest.clone()) {
            Ok(parsed) if told.is_empty() => return Some(At { value: parsed, span }),
            Ok(_) => return None,
            Err(error) => error,
        };
        let missing = error.message().starts_with("missing field");
        let place = error.span().filter(|_| !missing).unwrap_or_else(|| at.clone());
        let about = (!missing).then(|| inside(&rest, &place, &mut Vec::new())).flatten();
        let DeValue::Table(parameters) = rest.get_mut() else { return None };
        let name = match &about {
            Some((path, _)) => path[0].clone(),
            None => lint::quoted(error.message()).into_iter().next()?,
        };
        // A mended one again: nothing new is to be learnt.
        if told.contains(&name) {
            return None;
        }
        let near = parameter(&op, error.message(), &place, about, &at, r);
        let stand_in = Spanned::new(at.clone(), DeValue::String(DeString::from("x")));
        match near {
            Near::Other => drop(parameters.remove(name.as_str())),
            Near::Key(near) => {
                parameters.remove(name.as_str());
                if !parameters.contains_key(near.as_str()) {
                    parameters.insert(Spanned::new(at.clone(), DeString::from(near)), stand_in);
                }
            }
            Near::Missing => drop(parameters.insert(Spanned::new(at.clone(), DeString::from(name.clone())), stand_in)),
            Near::Value => drop(parameters.insert(Spanned::new(at.clone(), DeString::from(name.clone())), stand_in)),
        }
        told.push(name);
    }
}

/// What a parameter's mistake leaves to be mended.
enum Near {
    /// A key like none that is known.
    Other,
    /// A key like this one.
    Key(String),
    /// A key that is not there.
    Missing,
    /// A value of another type.
    Value,
}

/// The way to the value, or key, at a place: `["params", "ip"]`.
fn inside(value: &Value<'_>, place: &Range<usize>, path: &mut Vec<String>) -> Option<(Vec<String>, String)> {
    let holds = |s: &Range<usize>| s.start <= place.start && place.end <= s.end;
    match value.get_ref() {
        DeValue::Table(table) => {
            for (k, v) in table {
                path.push(k.get_ref().to_string());
                if k.span() == *place {
                    return Some((path.clone(), described(v.get_ref())));
                }
                if holds(&v.span()) {
                    return inside(v, place, path);
                }
                path.pop();
            }
        }
        DeValue::Array(items) => {
            if let Some(item) = items.iter().find(|i| holds(&i.span())) {
                return inside(item, place, path);
            }
        }
        _ => {}
    }
    (!path.is_empty()).then(|| (path.clone(), described(value.get_ref())))
}

/// serde's words about a parameter, reworded. `about`: the way to it, and what stands there.
fn parameter(
    op: &str,
    message: &str,
    place: &Range<usize>,
    about: Option<(Vec<String>, String)>,
    op_at: &Range<usize>,
    r: &mut Reader,
) -> Near {
    let names = lint::quoted(message);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let path = about.as_ref().map_or_else(|| op.to_string(), |(path, _)| format!("{op}.{}", path.join(".")));
    if message.starts_with("unknown field") || message.starts_with("unexpected keys") {
        let bad = about.as_ref().and_then(|(path, _)| path.last()).map_or(names[0], String::as_str);
        let known: Vec<&str> = match message.split_once("available keys: ") {
            Some((_, known)) => known.split(", ").filter(|k| !k.is_empty()).collect(),
            None => names.iter().skip(1).copied().collect(),
        };
        let near = did_you_mean(bad, known.iter().copied());
        let hint = near.clone().unwrap_or_else(|| match known.as_slice() {
            [] => format!("`{op}` has no parameters"),
            known => format!("`{op}` knows {}", listed(known.iter().copied())),
        });
        r.wrong_hint(place, format!("unknown parameter `{bad}` of `{op}`"), hint);
        near.and_then(|n| lint::quoted(&n).into_iter().next()).map_or(Near::Other, Near::Key)
    } else if message.starts_with("missing field") {
        let missing = names.first().copied().unwrap_or("");
        r.missing(op_at, format!("`{op}` wants `{missing}`"), format!("`{op} = {{ {missing} = … }}`"));
        Near::Missing
    } else if let Some((_, wanted)) = message.split_once(", expected ").filter(|_| message.starts_with("invalid")) {
        let wanted = match wanted {
            "a string" | "string" => "a text",
            "a boolean" => "`true` or `false`",
            "a sequence" => "a list",
            "a map" => "a table",
            "text, a whole number, true or false" => "a text, a number or a boolean",
            other if other.starts_with("struct ") || other.contains(" struct ") => "a table of parameters, `{ … }`",
            "i64" | "i32" | "u64" | "u32" | "u16" | "u8" => "a whole number",
            other => other,
        };
        match about {
            Some((_, shown)) => r.wrong(place, format!("`{path}` wants {wanted}, not {shown}")),
            None => r.wrong(place, format!("`{op}` wants {wanted}")),
        }
        Near::Value
    } else {
        r.wrong(place, format!("`{path}`: {message}"));
        Near::Value
    }
}

impl Read for LookDef {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        let (mut name, mut value) = single(key, "look", value, r)?;
        let mut key = key.to_string();
        let not = name.get_ref() == "not";
        if not {
            key.push_str(".not");
            (name, value) = single(&key, "look", value, r)?;
            if name.get_ref() == "not" {
                r.wrong_hint(
                    &name.span(),
                    "`not` under `not`",
                    format!("write `{}` without both", key.trim_end_matches(".not")),
                );
                return None;
            }
        }
        if let (true, DeValue::String(text)) = (name.get_ref() == "sh", value.get_ref()) {
            lint::look(&key, not, text, &value.span(), r);
        }
        let misplaced = |op: &str| {
            let change = operations::<Action>().contains(&op);
            change.then(|| format!("`{op}` is a change: it goes with `run`"))
        };
        let check = operation::<Check>(&key, "look", (name, value), misplaced, r)?;
        Some(LookDef { not, check: check.value })
    }
}

impl Read for Action {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        let entry = single(key, "change", value, r)?;
        let misplaced = |op: &str| {
            let look = operations::<Check>().contains(&op);
            look.then(|| format!("`{op}` is a look: it goes with `check`, `done`, `when` or `verify`"))
        };
        Some(operation::<Action>(key, "change", entry, misplaced, r)?.value)
    }
}

impl Read for UndoDef {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        if let DeValue::String(_) = value.get_ref() {
            let hint = "write `undo.sh = …`, `undo.manual = …`, or `undo.none = …` with the reason";
            r.wrong_hint(
                &value.span(),
                format!("`{key}` wants an operation, not {}", described(value.get_ref())),
                hint,
            );
            return None;
        }
        let (name, value) = single(key, "undo", value, r)?;
        match name.get_ref().as_ref() {
            "manual" => Some(UndoDef::Manual(At::read("undo.manual", value, r)?)),
            "none" => Some(UndoDef::None(At::read("undo.none", value, r)?)),
            _ => {
                let misplaced = |op: &str| {
                    let look = operations::<Check>().contains(&op);
                    let near = did_you_mean(op, ["manual", "none"]);
                    look.then(|| format!("`{op}` is a look, and changes nothing")).or(near)
                };
                Some(UndoDef::Run(operation::<Action>(key, "change", (name, value), misplaced, r)?))
            }
        }
    }
}
