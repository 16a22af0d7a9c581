//! The node itself: its name, its clock, its processes and packages.
//!
//! Invariants: the host name is set for now only, so that a reboot brings the node's own name back; of several clock
//! daemons one that says *synchronised* is enough, and silence of all is *could not look*.

use super::text::{Args, Shape};
use super::{Fill, Recipe, Text, Undo};
use crate::shell::Value;
use schemars::JsonSchema;
use serde::Deserialize;

/// The clock of a node.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Clock {}

/// A process.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// The program's name as `ps -o comm` shows it, the whole of it (the kernel keeps 15 characters).
    pub name: Text,
}

/// A package.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name to rpm or dpkg.
    pub name: Text,
}

/// A host name.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hostname {
    /// The name the node answers to until it boots again.
    pub name: Text,
}

pub(super) fn clock(_: &Clock, fill: &dyn Fill) -> Result<Value, String> {
    Ok(Args::new(fill).look("clock_is_right"))
}

pub(super) fn process(p: &Process, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    args.take("name", &p.name, Shape::Name)?;
    Ok(args.look("process_runs @name@"))
}

pub(super) fn package(p: &Package, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    args.take("name", &p.name, Shape::Name)?;
    Ok(args.look("package_is_installed @name@"))
}

pub(super) fn hostname(p: &Hostname, fill: &dyn Fill) -> Result<Recipe, String> {
    let mut args = Args::new(fill);
    args.take("name", &p.name, Shape::HostName)?;
    Ok(Recipe {
        done: Some(args.look("hostname_is @name@")),
        run: args.change("hostname @name@"),
        verify: None,
        undo: Undo::Run(args.change(r#"hostname "$(printf %s "$before")""#)),
        paths: Vec::new(),
        addresses: Vec::new(),
    })
}
