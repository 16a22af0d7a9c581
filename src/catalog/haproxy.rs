//! Servers behind HAProxy: which of them serve, take one out without losing a request, bring it back.
//!
//! Why it exists: where every node may serve at once, to fail over is to change who is in the load balancer's rotation. HAProxy
//! does that while it runs, by its stats socket (`level admin`), and says nothing when it has obeyed: what it really did is
//! looked at.
//!
//! Invariants: **the last server of a backend that is up is never taken out**: each change that takes one out looks for another
//! first, on the node, in the same text, and tries whether it takes a connection. States are read from `show servers state`, never from words for people. Of a
//! server or a backend that is not there nothing is said but that (*could not look*). The node must have socat, python3 or an nc that knows `-U`.

use super::text::{Args, Shape};
use super::{Fill, Recipe, Text, Undo};
use crate::shell::Value;
use schemars::JsonSchema;
use serde::Deserialize;

/// A server of a backend.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The stats socket: `/run/haproxy/admin.sock`. Changes need `level admin`.
    pub socket: Text,
    /// The backend, by its name in HAProxy's configuration.
    pub backend: Text,
    /// The server, by its name there.
    pub server: Text,
}

fn args<'a>(p: &Server, fill: &'a dyn Fill) -> Result<Args<'a>, String> {
    let mut args = Args::new(fill);
    args.take("socket", &p.socket, Shape::Path)?;
    args.take("backend", &p.backend, Shape::Name)?;
    args.take("server", &p.server, Shape::Name)?;
    Ok(args)
}

fn look(p: &Server, fill: &dyn Fill, text: &str) -> Result<Value, String> {
    Ok(args(p, fill)?.look(&format!("{text} @socket@ @backend@ @server@")))
}
pub(super) fn up(p: &Server, fill: &dyn Fill) -> Result<Value, String> {
    look(p, fill, "haproxy_is up")
}
pub(super) fn down(p: &Server, fill: &dyn Fill) -> Result<Value, String> {
    look(p, fill, "haproxy_is down")
}
pub(super) fn checked(p: &Server, fill: &dyn Fill) -> Result<Value, String> {
    look(p, fill, "haproxy_checks")
}
pub(super) fn spare(p: &Server, fill: &dyn Fill) -> Result<Value, String> {
    look(p, fill, "haproxy_spare")
}
pub(super) fn idle(p: &Server, fill: &dyn Fill) -> Result<Value, String> {
    look(p, fill, "haproxy_idle")
}

/// Only while another one is up; said so that it holds without `set -e` too, as on paper.
const SPARE: &str = "haproxy_spare @socket@ @backend@ @server@ || exit 1\n";

fn state(wanted: &str) -> String {
    format!("haproxy_tell @socket@ set server @backend@/@server@ state {wanted}")
}

pub(super) fn drain(p: &Server, fill: &dyn Fill) -> Result<Recipe, String> {
    let run = args(p, fill)?.change(&format!("{SPARE}{}", state("drain")));
    let undo = args(p, fill)?.change(&state("\"$before\""));
    Ok(Recipe::plain(look(p, fill, "haproxy_is drained")?, run, Undo::Run(undo)))
}
pub(super) fn out(p: &Server, fill: &dyn Fill) -> Result<Recipe, String> {
    let run = args(p, fill)?.change(&format!("{SPARE}{}", state("maint")));
    let undo = args(p, fill)?.change(&state("\"$before\""));
    Ok(Recipe::plain(look(p, fill, "haproxy_is out")?, run, Undo::Run(undo)))
}
pub(super) fn ready(p: &Server, fill: &dyn Fill) -> Result<Recipe, String> {
    let run = args(p, fill)?.change(&state("ready"));
    let undo = args(p, fill)?.change(&format!("{SPARE}{}", state("\"$before\"")));
    Ok(Recipe::plain(look(p, fill, "haproxy_is up")?, run, Undo::Run(undo)))
}
pub(super) fn cut(p: &Server, fill: &dyn Fill) -> Result<Recipe, String> {
    let run = args(p, fill)?.change("haproxy_tell @socket@ shutdown sessions server @backend@/@server@");
    Ok(Recipe::plain(idle(p, fill)?, run, Undo::None("what was cut is opened anew by its client".into())))
}
