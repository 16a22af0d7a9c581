//! OCF resource agents: over a hundred well-kept programs that start, stop and watch one thing each.
//!
//! Why it exists: a database, a file system, an address in a cloud: somebody has written down how each is started, and what
//! can go wrong. Pacemaker's agents need no Pacemaker: options come as `OCF_RESKEY_…`, the action is the argument.
//!
//! Invariants: *no* is one exit code of `monitor` and no other (7, not running); *yes* is 0 or 8 (running as the promoted
//! one); whatever else an agent says, or no agent at all, is *could not look*. What starts and stops is a literal command.
//! Before a start the agent is asked whether its parameters can be right here (`validate-all`); where not, nothing is
//! started.

use super::text::{Args, Shape};
use super::{Fill, Recipe, Text, Undo};
use crate::shell::{Value, Word};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A program that speaks the interface of OCF resource agents.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// The agent: `ocf:heartbeat:Filesystem`, `heartbeat:Filesystem`, or the path of a program.
    pub agent: Text,
    /// Its parameters, by the agent's own names; one that is empty is left out.
    #[serde(default)]
    pub params: BTreeMap<String, Text>,
    /// Tells two resources of one agent on one node apart, for agents that keep notes; the agent's type if left out.
    pub instance: Option<Text>,
}

/// Where agents lie, and what they are told about that.
const ROOT: &str = "/usr/lib/ocf";

/// Provider, type, path.
fn agent(said: &str) -> Result<[String; 3], String> {
    let plain =
        |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) && s != "..";
    if said.starts_with('/') {
        let mut parts = said.rsplit('/');
        let (kind, provider) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let provider = if provider.is_empty() { "local" } else { provider };
        return match plain(kind) && plain(provider) && !said.contains("/../") {
            true => Ok([provider.into(), kind.into(), said.into()]),
            false => Err(format!("`agent` is not the path of an agent: {said}")),
        };
    }
    let short = said.strip_prefix("ocf:").unwrap_or(said);
    match short.strip_prefix(':').unwrap_or(short).split_once(':') {
        Some((provider, kind)) if plain(provider) && plain(kind) => {
            Ok([provider.into(), kind.into(), format!("{ROOT}/resource.d/{provider}/{kind}")])
        }
        _ => Err(format!("`agent` is not an OCF agent: {said} (`ocf:PROVIDER:TYPE`, or the path of one)")),
    }
}

/// The parameters that name a place or an address, of agents that take one over.
const PATHS: [(&str, &str); 1] = [("Filesystem", "directory")];
const ADDRESSES: [(&str, &str); 5] = [
    ("IPaddr", "ip"),
    ("IPaddr2", "ip"),
    ("IPv6addr", "ipv6addr"),
    ("IPsrcaddr", "ipaddress"),
    ("awsvip", "secondary_private_ip"),
];

struct Made<'a> {
    args: Args<'a>,
    kind: String,
    /// The agent's words `NAME=VALUE`, by NAME.
    params: Vec<(String, Word)>,
}

impl<'a> Made<'a> {
    fn new(p: &Resource, fill: &'a dyn Fill) -> Result<Made<'a>, String> {
        let mut args = Args::new(fill);
        let Some(said) = fill.word(&p.agent)?.known() else {
            return Err("`agent` must be known before the run".into());
        };
        let [provider, kind, path] = agent(&said.lossy())?;
        args.set("provider", provider);
        args.set("type", kind.clone());
        args.set("agent", path);
        if !args.maybe("instance", &p.instance, Shape::Name)? {
            args.set("instance", kind.clone());
        }
        let params = args.pairs("params", &p.params)?;
        Ok(Made { args, kind, params })
    }
    /// What an agent finds in its environment, in front of a text.
    fn with(&self, text: &str) -> String {
        let params = if self.params.is_empty() { "" } else { " @params@" };
        format!("ocf_env @provider@ @type@ @instance@{params}\n{text}")
    }
    fn monitor(&self) -> Value {
        self.args.look(&self.with("ocf_runs @agent@"))
    }
    fn start(&self) -> Value {
        self.args.change(&self.with("ocf_fits @agent@\n@agent@ start"))
    }
    fn stop(&self) -> Value {
        self.args.change(&self.with("@agent@ stop"))
    }
    /// Its values of these parameters.
    fn of(&self, known: &[(&str, &str)]) -> Vec<Word> {
        let wanted = |name: &str| known.iter().any(|(kind, param)| *kind == self.kind && *param == name);
        self.params.iter().filter(|(name, _)| wanted(name)).map(|(_, value)| value.clone()).collect()
    }
    fn recipe(&self, done: Value, run: Value, undo: Value) -> Recipe {
        Recipe {
            done: Some(done),
            run,
            verify: None,
            undo: Undo::Run(undo),
            paths: self.of(&PATHS),
            addresses: self.of(&ADDRESSES),
        }
    }
}

pub(super) fn active(p: &Resource, fill: &dyn Fill) -> Result<Value, String> {
    Ok(Made::new(p, fill)?.monitor())
}

pub(super) fn start(p: &Resource, fill: &dyn Fill) -> Result<Recipe, String> {
    let made = Made::new(p, fill)?;
    Ok(made.recipe(made.monitor(), made.start(), made.stop()))
}

pub(super) fn stop(p: &Resource, fill: &dyn Fill) -> Result<Recipe, String> {
    let made = Made::new(p, fill)?;
    let gone = made.args.look(&made.with("ocf_stopped @agent@"));
    Ok(made.recipe(gone, made.stop(), made.start()))
}
