//! JSON Schema of the small types: times, lists, looks.
//!
//! Why it exists: these are read by hand, so their schema is written by hand, beside each other in one place. Invariant:
//! whatever the reader takes, the schema takes; what names what is beyond it.

use super::raw::{RawStage, RawStep};
use super::read::{Dur, List, Many, Map, Scalar, Version};
use super::table::{any_of, map_of};
use super::translation::{RawStageWords, TitleOr};
use super::{At, FORMAT, Given, LookDef, Over, Stage, Step, UndoDef};
use crate::catalog::{Action, Check};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// Types that are only another's wrapping.
macro_rules! inline {
    ($([$($generic:ident)?] $name:ty, $g:ident => $schema:expr;)*) => {$(
        impl$(<$generic: JsonSchema>)? JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
            fn json_schema($g: &mut SchemaGenerator) -> Schema {
                let _ = &$g;
                $schema
            }
        }
    )*};
}

inline! {
    [T] At<T>, g => g.subschema_for::<T>();
    [T] Map<T>, g => map_of::<T>(g);
    [T] List<T>, g => { let item = g.subschema_for::<T>(); json_schema!({ "type": "array", "items": item }) };
    [T] Many<T>, g => {
        let one = g.subschema_for::<T>();
        let many = json_schema!({ "type": "array", "items": one.clone(), "minItems": 1 });
        any_of(vec![one, many])
    };
    [] Scalar, g => json_schema!({ "type": ["string", "number", "boolean"] });
    [] Given, g => {
        let item = g.subschema_for::<Scalar>();
        any_of(vec![item.clone(), json_schema!({ "type": "array", "items": item })])
    };
    [] Over, g => {
        let item = g.subschema_for::<Scalar>();
        any_of(vec![json_schema!({ "type": "string" }), json_schema!({ "type": "array", "items": item, "minItems": 1 })])
    };
    [] TitleOr, g => any_of(vec![json_schema!({ "type": "string" }), g.subschema_for::<RawStageWords>()]);
    [] Stage, g => g.subschema_for::<RawStage>();
    [] Step, g => g.subschema_for::<RawStep>();
    [] Version, g => json_schema!({ "type": "integer", "enum": [FORMAT] });
    [] Dur, g => json_schema!({ "type": "string", "pattern": "^[0-9]+[smh]$" });
}

/// A table with one key that is not an operation.
fn wrapped(key: &str, inner: Schema) -> Schema {
    json_schema!({ "type": "object", "properties": { key: inner }, "required": [key], "additionalProperties": false })
}

impl JsonSchema for LookDef {
    fn schema_name() -> Cow<'static, str> {
        "Look".into()
    }
    fn json_schema(g: &mut SchemaGenerator) -> Schema {
        let check = g.subschema_for::<Check>();
        any_of(vec![check.clone(), wrapped("not", check)])
    }
}

impl JsonSchema for UndoDef {
    fn schema_name() -> Cow<'static, str> {
        "Undo".into()
    }
    fn json_schema(g: &mut SchemaGenerator) -> Schema {
        let text = || json_schema!({ "type": "string" });
        any_of(vec![g.subschema_for::<Action>(), wrapped("manual", text()), wrapped("none", text())])
    }
}
