//! Servers behind HAProxy: which of them serve, take one out without losing a request, bring it back.
//!
//! Why it exists: where every node may serve at once, to fail over is to change who is in the load balancer's rotation. HAProxy
//! does that while it runs, by its stats socket (`level admin`), and says nothing when it has obeyed: what it really did is
//! looked at. When it is started anew or loads a configuration it has forgotten all of it, and a server that somebody works at
//! would get requests again: so each change is kept in a file that HAProxy itself reads then (`keep`).
//!
//! Invariants: **the last server of a backend that is up is never taken out**: each change that takes one out looks for another
//! first, on the node, in the same text, and tries whether it takes a connection; a configuration that would leave none is not
//! loaded. States are read from `show servers state`, never from words for people. Of a server or a backend that is not there
//! nothing is said but that (*could not look*). Only who is out of service is kept: of the others the configuration and the
//! health checks know more, and a port that HAProxy finds in the file would win over its configuration's (2.6, tried).
//! The node must have socat, python3 or an nc that knows `-U`.

use super::text::{Args, Shape};
use super::{Fill, Recipe, Text, Texts, Undo};
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

/// A server of a backend that comes into service or leaves it.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The stats socket, with `level admin`: `/run/haproxy/admin.sock`.
    pub socket: Text,
    /// The backend, by its name in HAProxy's configuration.
    pub backend: Text,
    /// The server, by its name there.
    pub server: Text,
    /// The folder in which HAProxy finds, when it starts or is reloaded, who is out of service: the backend has
    /// `load-server-state-from-file local` and `server-state-file-name FOLDER/BACKEND.state`. Left out: it forgets that then.
    pub keep: Option<Text>,
}

/// A configuration by which HAProxy runs, or will.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Loaded {
    /// The stats socket: `/run/haproxy/admin.sock`.
    pub socket: Text,
    /// HAProxy's configuration.
    pub config: Text,
    /// How the name of a backend begins that stands in the configuration only for its name: it is another one whenever the
    /// configuration is.
    pub sign: Text,
}

/// A configuration to be loaded.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// The stats socket: `/run/haproxy/admin.sock`.
    pub socket: Text,
    /// HAProxy's configuration.
    pub config: Text,
    /// How the name of a backend begins that is another one whenever the configuration is.
    pub sign: Text,
    /// HAProxy's unit.
    pub unit: Text,
    /// The backends whose servers that are out of service stay so; each must have one that is not.
    pub backends: Texts,
    /// The folder in which HAProxy finds that; each of these backends has `load-server-state-from-file local` and
    /// `server-state-file-name FOLDER/BACKEND.state`.
    pub keep: Text,
}

/// Backends, and the folder in which it is kept who of them is out of service.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backends {
    /// The stats socket: `/run/haproxy/admin.sock`.
    pub socket: Text,
    /// The backends.
    pub backends: Texts,
    /// The folder in which HAProxy finds, when it starts or is reloaded, who is out of service.
    pub keep: Text,
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

/// The server becomes `wanted`; `looks` is what is true then, and `before` and `after` stand in front of the change and of its undo.
fn becomes(p: &Kept, fill: &dyn Fill, looks: &str, wanted: &str, [before, after]: [&str; 2]) -> Result<Recipe, String> {
    let server = Server { socket: p.socket.clone(), backend: p.backend.clone(), server: p.server.clone() };
    let mut args = args(&server, fill)?;
    let keeps = args.maybe("keep", &p.keep, Shape::Path)?;
    let (kept, keep) = match keeps {
        true => {
            (" &&\n  haproxy_kept @socket@ @backend@ @keep@ @server@", " &&\n  haproxy_keep @socket@ @backend@ @keep@")
        }
        false => ("", ""),
    };
    let tell = |state: &str| format!("haproxy_tell @socket@ set server @backend@/@server@ state {state}{keep}");
    let done = args.look(&format!("haproxy_is {looks} @socket@ @backend@ @server@{kept}"));
    let run = args.change(&format!("{before}{}", tell(wanted)));
    let undo = args.change(&format!("{after}{}", tell("\"$before\"")));
    Ok(Recipe::plain(done, run, Undo::Run(undo)))
}

pub(super) fn drain(p: &Kept, fill: &dyn Fill) -> Result<Recipe, String> {
    becomes(p, fill, "drained", "drain", [SPARE, ""])
}
pub(super) fn out(p: &Kept, fill: &dyn Fill) -> Result<Recipe, String> {
    becomes(p, fill, "out", "maint", [SPARE, ""])
}
pub(super) fn ready(p: &Kept, fill: &dyn Fill) -> Result<Recipe, String> {
    becomes(p, fill, "up", "ready", ["", SPARE])
}
pub(super) fn cut(p: &Server, fill: &dyn Fill) -> Result<Recipe, String> {
    let run = args(p, fill)?.change("haproxy_tell @socket@ shutdown sessions server @backend@/@server@");
    Ok(Recipe::plain(idle(p, fill)?, run, Undo::None("what was cut is opened anew by its client".into())))
}

fn configuration<'a>(p: &Loaded, fill: &'a dyn Fill) -> Result<Args<'a>, String> {
    let mut args = Args::new(fill);
    args.take("socket", &p.socket, Shape::Path)?;
    args.take("config", &p.config, Shape::Path)?;
    args.take("sign", &p.sign, Shape::Name)?;
    Ok(args)
}
const RUNS: &str = "haproxy_runs @socket@ @config@ @sign@";

pub(super) fn loaded(p: &Loaded, fill: &dyn Fill) -> Result<Value, String> {
    Ok(configuration(p, fill)?.look(RUNS))
}
pub(super) fn load(p: &Load, fill: &dyn Fill) -> Result<Recipe, String> {
    let of = Loaded { socket: p.socket.clone(), config: p.config.clone(), sign: p.sign.clone() };
    let mut args = configuration(&of, fill)?;
    args.take("unit", &p.unit, Shape::Unit)?;
    args.take("keep", &p.keep, Shape::Path)?;
    args.list("backends", &p.backends, Shape::Name)?;
    let run = args.change(
        "for _backend in @backends@; do\n  haproxy_keep @socket@ \"$_backend\" @keep@ @config@ || exit 1\ndone\n\
         without_systemd reload @unit@ || systemctl reload @unit@",
    );
    let undo = Undo::None("the undo of its configuration loads that".into());
    Ok(Recipe::plain(args.look(RUNS), run, undo))
}
pub(super) fn kept(p: &Backends, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    args.take("socket", &p.socket, Shape::Path)?;
    args.take("keep", &p.keep, Shape::Path)?;
    args.list("backends", &p.backends, Shape::Name)?;
    Ok(args.look("for _backend in @backends@; do haproxy_kept @socket@ \"$_backend\" @keep@ || exit $?; done"))
}
