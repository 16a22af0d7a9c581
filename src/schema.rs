//! JSON Schema of playbooks and site files, for editors.
//!
//! Why it exists: a mistake is cheapest while it is typed. Invariant: it comes from the very declarations that the reader
//! comes from (`playbook::raw`, `site::raw`, the catalogue's enums), so it cannot know another format. Draft 7: what
//! taplo and the other TOML editors know.

use crate::playbook::raw::RawPlaybook;
use crate::site::raw::{RawAnswers, RawSite};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

pub fn playbook() -> Value {
    of::<RawPlaybook>("hawiz playbook, format 1")
}

pub fn site() -> Value {
    of::<RawSite>("hawiz site file")
}

pub fn answers() -> Value {
    of::<RawAnswers>("hawiz answers file")
}

fn of<T: JsonSchema>(title: &str) -> Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<T>();
    schema.insert("title".into(), title.into());
    schema.to_value()
}
