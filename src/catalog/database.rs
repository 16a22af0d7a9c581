//! PostgreSQL: does it answer, and on which addresses does it listen.
//!
//! Invariants: `starting up` is neither up nor down; of several `listen_addresses` the last one counts, a commented-out
//! one is the default `localhost`, and `'*'` covers every address.

use super::file::Edit;
use super::text::{Args, Shape};
use super::{Fill, Recipe, Text, Texts};
use crate::shell::Value;
use schemars::JsonSchema;
use serde::Deserialize;

/// A PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Host name, address, or the directory of its socket.
    pub host: Text,
}

/// Addresses a PostgreSQL server listens on.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Its postgresql.conf. Files it includes and postgresql.auto.conf are not looked at.
    pub conf: Text,
    /// The addresses that must be among `listen_addresses`; others stay. The server must be restarted to see it.
    pub addresses: Texts,
}

pub(super) fn ready(p: &Server, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    args.take("host", &p.host, Shape::Plain)?;
    Ok(args.look("pg_answers @host@"))
}

const LISTEN: Edit = Edit {
    file: "@conf@",
    args: "@addresses@",
    look: "listen_has",
    refuse: "",
    with: "listen_with",
    without: "listen_without",
};

pub(super) fn listen(p: &Listen, fill: &dyn Fill) -> Result<Recipe, String> {
    let mut args = Args::new(fill);
    args.take("conf", &p.conf, Shape::Path)?;
    args.list("addresses", &p.addresses, Shape::Host)?;
    Ok(LISTEN.recipe(&args))
}
