//! `table!` and `words!`: one declaration from which both the reader and the JSON Schema of a table come.
//!
//! Why it exists: the schema that editors use must never say anything else than what hawiz reads. Invariant: a key stands
//! in exactly one place of the source, with its type and its meaning.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value as Json, json};

/// A table with fixed keys: all keys are read, whatever is wrong with the others.
macro_rules! table {
    ($(#[doc = $about:literal])* struct $name:ident, $what:literal $(, astray $astray:path)? $(, rest $rest:ident : $rty:ty)? $(, one of [$($one:literal),*])? {
        $($(#[doc = $doc:literal])* $($must:ident)? $key:literal $field:ident : $ty:ty),* $(,)?
    }) => {
        $(#[doc = $about])*
        #[derive(Default)]
        pub(crate) struct $name {
            /// Of the whole table, or of its header.
            pub span: std::ops::Range<usize>,
            /// Keys that are not there because something like them is.
            pub meant: Vec<&'static str>,
            $($(#[doc = $doc])* pub $field: $crate::playbook::read::Slot<$ty>,)*
            $(pub $rest: Vec<($crate::playbook::At<String>, $rty)>,)?
        }
        impl $name {
            pub(crate) const KEYS: &[&'static str] = &[$($key),*];
        }
        impl $crate::playbook::read::Read for $name {
            fn read(key: &str, value: $crate::playbook::read::Value<'_>, r: &mut $crate::playbook::read::Reader) -> Option<Self> {
                use $crate::playbook::read::{Read, Slot};
                let mut out = $name { span: value.span(), ..Default::default() };
                for (k, v) in $crate::playbook::read::table(key, value, r)? {
                    let at = k.span();
                    match k.get_ref().as_ref() {
                        $($key => out.$field = Slot { key: Some(at), value: <$ty as Read>::read($key, v, r) },)*
                        other => {
                            $(if $astray(&mut out, other, &at, v, r) { continue; })?
                            out.meant.extend(r.unknown(&at, other, $what, Self::KEYS));
                        }
                    }
                }
                $(if table!(@required $($must)?) && !out.$field.given() && !out.meant.contains(&$key) {
                    r.absent(&out.span, $key, $what, concat!("" $(, $doc)*));
                })*
                Some(out)
            }
        }
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).trim_start_matches("Raw").into()
            }
            fn json_schema(g: &mut schemars::SchemaGenerator) -> schemars::Schema {
                #[allow(unused_mut, unused_assignments)]
                let mut rest = None;
                $(rest = Some(g.subschema_for::<$rty>());)?
                let fields = vec![$((
                    $key,
                    concat!("" $(, $doc)*),
                    table!(@required $($must)?),
                    g.subschema_for::<$ty>(),
                )),*];
                #[allow(unused_mut)]
                let mut schema = $crate::playbook::table::object(concat!("" $(, $about)*), fields, rest);
                $($crate::playbook::table::one_of(&mut schema, &[$($one),*]);)?
                schema
            }
        }
    };
    (@required must) => { true };
    (@required) => { false };
}

/// A text that is one of a few words.
macro_rules! words {
    ($name:ty, $title:literal { $($word:literal => $value:expr),* $(,)? }) => {
        impl $crate::playbook::read::Read for $name {
            fn read(key: &str, value: $crate::playbook::read::Value<'_>, r: &mut $crate::playbook::read::Reader) -> Option<Self> {
                const WORDS: &[&str] = &[$($word),*];
                let $crate::playbook::At { value: text, span } = <$crate::playbook::At<String>>::read(key, value, r)?;
                match text.as_str() {
                    $($word => Some($value),)*
                    other => {
                        let known = $crate::playbook::read::listed(WORDS.iter().copied());
                        let hint = $crate::problem::did_you_mean(other, WORDS.iter().copied())
                            .unwrap_or_else(|| format!("one of {known}"));
                        r.wrong_hint(&span, format!("`{key}` does not know `{other}`"), hint);
                        None
                    }
                }
            }
        }
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $title.into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$($word),*] })
            }
        }
    };
}
pub(crate) use {table, words};

/// Key, meaning, required, type.
pub(crate) type Field = (&'static str, &'static str, bool, Schema);

/// The schema of a table; `rest`: of what stands under all other keys, else they are refused.
pub(crate) fn object(about: &str, fields: Vec<Field>, rest: Option<Schema>) -> Schema {
    let mut properties = serde_json::Map::new();
    let mut required = Vec::new();
    for (key, doc, must, schema) in fields {
        let mut schema = schema.to_value();
        if let Some(map) = schema.as_object_mut() {
            // Beside a `$ref` nothing counts in the drafts that editors know; hence the wrapping.
            if let Some(reference) = map.remove("$ref") {
                map.insert("allOf".into(), json!([{ "$ref": reference }]));
            }
            if !doc.is_empty() {
                map.insert("description".into(), Json::from(doc.trim()));
            }
        }
        properties.insert(key.into(), schema);
        if must {
            required.push(key);
        }
    }
    let rest = rest.map_or(Json::Bool(false), Schema::to_value);
    let mut all = json_schema!({ "type": "object", "properties": properties, "additionalProperties": rest });
    if !required.is_empty() {
        all.insert("required".into(), json!(required));
    }
    if !about.trim().is_empty() {
        all.insert("description".into(), Json::from(about.trim()));
    }
    all
}

/// Exactly one of these keys.
pub(crate) fn one_of(schema: &mut Schema, keys: &[&str]) {
    let forms: Vec<Json> = keys.iter().map(|key| json!({ "required": [key] })).collect();
    schema.insert("oneOf".into(), json!(forms));
}

/// One of several forms.
pub(crate) fn any_of(forms: Vec<Schema>) -> Schema {
    let forms: Vec<Json> = forms.into_iter().map(Schema::to_value).collect();
    json_schema!({ "anyOf": forms })
}

/// Free keys, one type.
pub(crate) fn map_of<T: schemars::JsonSchema>(g: &mut SchemaGenerator) -> Schema {
    let value = g.subschema_for::<T>();
    json_schema!({ "type": "object", "additionalProperties": value })
}
