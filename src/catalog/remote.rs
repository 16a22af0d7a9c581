//! Does something answer there: a port, a web address.
//!
//! Why it exists: a service that says it runs and one that answers are two things.
//!
//! Invariant: *no* is said only when the tool reported a refusal or silence; a name that can't be resolved, a missing tool
//! or a certificate in the way is *could not look*.

use super::text::{Args, Shape};
use super::{Fill, Text};
use crate::shell::Value;
use schemars::JsonSchema;
use serde::Deserialize;

/// A TCP port.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Host name or address, as seen from the node that looks.
    pub host: Text,
    /// The port.
    pub port: Text,
}

/// A web address.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// The address; redirects are not followed.
    pub url: Text,
    /// The status that is wanted; 200 if left out.
    pub status: Option<Text>,
}

pub(super) fn port(p: &Port, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    args.take("host", &p.host, Shape::Host)?;
    args.take("port", &p.port, Shape::Port)?;
    Ok(args.look("port_is_open @host@ @port@"))
}

pub(super) fn http(p: &Http, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    args.take("url", &p.url, Shape::Url)?;
    if !args.maybe("status", &p.status, Shape::Status)? {
        args.set("status", "200");
    }
    Ok(args.look("http_answers @url@ @status@"))
}
