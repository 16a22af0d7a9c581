//! Lines of files: one more line, a hosts entry, a name server.
//!
//! Why it exists: `echo >>` glues a line to one without an end, `sed -i` loses links, owners and contexts and can't touch
//! a bind-mounted /etc/hosts, and neither can be taken back.
//!
//! Invariants: the file is edited in place, through links, so that owner, mode, attributes and context stay; the whole
//! new text is on disk beside it (or in TMPDIR) before the file is touched; undo brings back the very bytes if nobody
//! else has changed the file, and takes out only its own line if somebody has.
//!
//! The look prints the file: `absent`, or `present`, a new line and the bytes as they are. That is `$before`. What a
//! person reads is the look's last line on stderr.

use super::text::{Args, Shape};
use super::{Fill, Recipe, Text, Texts, Undo};
use crate::shell::Value;
use schemars::JsonSchema;
use serde::Deserialize;

/// A line of a text file.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The file; a link is followed.
    pub path: Text,
    /// The whole line, compared as it stands.
    pub line: Text,
}

/// An entry of /etc/hosts.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostsEntry {
    /// The address.
    pub address: Text,
    /// Its names, the first one first. A name that another address holds is refused, naming the line.
    pub names: Texts,
}

/// A name server in /etc/resolv.conf.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nameserver {
    /// Its address; it is put in front of the others. Resolvers use the first three.
    pub address: Text,
}

/// One kind of edit, by the names of its functions; all take what stands in `args`, a template.
pub(super) struct Edit<'a> {
    pub file: &'a str,
    pub args: &'a str,
    /// Is the file as wanted? Takes the file, a note on stderr.
    pub look: &'a str,
    /// Why the edit may not be made: takes the file. May be empty.
    pub refuse: &'a str,
    /// Takes the file, prints the new text.
    pub with: &'a str,
    /// Takes the text before the change and the text now, prints it without our part.
    pub without: &'a str,
}

impl Edit<'_> {
    pub fn recipe(&self, args: &Args) -> Recipe {
        let Edit { file, args: words, look, refuse, with, without } = self;
        let refuse = if refuse.is_empty() { String::new() } else { format!("{refuse} {file} {words}\n") };
        Recipe::plain(
            args.look(&format!("file_before {file}\n{look} {file} {words}")),
            args.change(&format!("{refuse}file_edit {file} {with} {words}")),
            Undo::Run(args.change(&format!("file_restore {file} \"$before\" {with} {without} {words}"))),
        )
    }
}

fn line_args<'a>(p: &Line, fill: &'a dyn Fill) -> Result<Args<'a>, String> {
    let mut args = Args::new(fill);
    args.take("path", &p.path, Shape::Path)?;
    args.take("line", &p.line, Shape::Line)?;
    Ok(args)
}
pub(super) fn has_line(p: &Line, fill: &dyn Fill) -> Result<Value, String> {
    Ok(line_args(p, fill)?.look("has_line @path@ @line@"))
}

const LINE: Edit =
    Edit { file: "@path@", args: "@line@", look: "has_line", refuse: "", with: "line_with", without: "line_without" };
pub(super) fn line(p: &Line, fill: &dyn Fill) -> Result<Recipe, String> {
    Ok(LINE.recipe(&line_args(p, fill)?))
}

const HOSTS: Edit = Edit {
    file: "/etc/hosts",
    args: "@address@ @names@",
    look: "hosts_has",
    refuse: "hosts_not_taken",
    with: "hosts_with",
    without: "hosts_without",
};
pub(super) fn hosts(p: &HostsEntry, fill: &dyn Fill) -> Result<Recipe, String> {
    let mut args = Args::new(fill);
    args.take("address", &p.address, Shape::Address)?;
    args.list("names", &p.names, Shape::HostName)?;
    Ok(HOSTS.recipe(&args))
}

const NAMESERVER: Edit = Edit {
    file: "/etc/resolv.conf",
    args: "@address@",
    look: "nameserver_is",
    refuse: "",
    with: "nameserver_with",
    without: "nameserver_without",
};
pub(super) fn nameserver(p: &Nameserver, fill: &dyn Fill) -> Result<Recipe, String> {
    let mut args = Args::new(fill);
    args.take("address", &p.address, Shape::Address)?;
    Ok(NAMESERVER.recipe(&args))
}
