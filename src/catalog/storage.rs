//! Mounts, links and where paths really lead.
//!
//! Why it exists: a directory that should lie on shared storage and does not is how a standby starts a database on its
//! own empty disk.
//!
//! Invariants: a path counts as mounted only when it is a mount point itself; "can be written" is found without writing;
//! nothing that was there is overwritten or deleted: it is kept beside under a name that was free.

use super::text::{Args, Shape};
use super::{Fill, Recipe, Text, Undo};
use crate::shell::Value;
use schemars::JsonSchema;
use serde::Deserialize;

/// A mount point.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mounted {
    /// The mount point itself; a directory below one is not enough.
    pub path: Text,
    /// What must be mounted there: a device, `UUID=…`, `LABEL=…`, `server:/export`; left out: anything.
    pub source: Option<Text>,
    /// It must also be writable: mounted read-write, and this login may write there. Nothing is written.
    pub writable: Option<Text>,
}

/// Something to mount.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// The mount point, which must exist.
    pub path: Text,
    /// What to mount; left out: what /etc/fstab says for this path.
    pub source: Option<Text>,
    /// File system type; left out: found out by `mount`. Needs `source`.
    #[serde(rename = "type")]
    pub kind: Option<Text>,
    /// Mount options, comma-separated. Needs `source`.
    pub options: Option<Text>,
}

/// A mount point to unmount.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Umount {
    /// The mount point.
    pub path: Text,
}

/// A path, and the place it must lead to.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resolves {
    /// The path as programs use it.
    pub path: Text,
    /// Where it must end up when every link is followed (links in this one are followed too).
    pub to: Text,
}

/// A symbolic link to make.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The path that becomes a link. What is there now is kept as `PATH.hawiz-bak`, or the next free numbered name.
    pub path: Text,
    /// What it points to; must exist.
    pub to: Text,
}

/// A path that must be writable.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Writable {
    /// A file or directory that exists.
    pub path: Text,
}

pub(super) fn mounted(p: &Mounted, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    args.take("path", &p.path, Shape::Path)?;
    let source = if args.maybe("source", &p.source, Shape::Plain)? { " @source@" } else { "" };
    let word = if args.flag("writable", &p.writable)? { "is_mounted_rw" } else { "is_mounted" };
    Ok(args.look(&format!("{word} @path@{source}")))
}

pub(super) fn mount(p: &Mount, fill: &dyn Fill) -> Result<Recipe, String> {
    let mut args = Args::new(fill);
    args.take("path", &p.path, Shape::Path)?;
    let source = args.maybe("source", &p.source, Shape::Plain)?;
    let kind = args.maybe("type", &p.kind, Shape::Plain)?;
    let options = args.maybe("options", &p.options, Shape::Plain)?;
    if !source && (kind || options) {
        return Err("`type` and `options` need `source`; without it /etc/fstab says all".into());
    }
    let (done, run) = if source {
        let kind = if kind { " -t @type@" } else { "" };
        let options = if options { " -o @options@" } else { "" };
        ("is_mounted @path@ @source@", format!("nothing_mounted @path@\nmount{kind}{options} @source@ @path@"))
    } else {
        ("is_mounted @path@", "mount @path@".into())
    };
    Ok(Recipe {
        done: Some(args.look(done)),
        run: args.change(&run),
        verify: None,
        undo: Undo::Run(args.change("umount @path@")),
        paths: vec![args.word("path").clone()],
        addresses: Vec::new(),
    })
}

pub(super) fn umount(p: &Umount, fill: &dyn Fill) -> Result<Recipe, String> {
    let mut args = Args::new(fill);
    args.take("path", &p.path, Shape::Path)?;
    Ok(Recipe {
        done: Some(args.look("is_unmounted @path@")),
        run: args.change("umount @path@"),
        verify: None,
        undo: Undo::Run(args.change("mount_again @path@ \"$before\"")),
        paths: vec![args.word("path").clone()],
        addresses: Vec::new(),
    })
}

pub(super) fn resolves(p: &Resolves, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    args.take("path", &p.path, Shape::Path)?;
    args.take("to", &p.to, Shape::Path)?;
    Ok(args.look("leads_to @path@ @to@"))
}

pub(super) fn link(p: &Link, fill: &dyn Fill) -> Result<Recipe, String> {
    let mut args = Args::new(fill);
    let path = args.take("path", &p.path, Shape::Path)?;
    let to = args.take("to", &p.to, Shape::Path)?;
    if let (Some(path), Some(to)) = (&path, &to)
        && (path == to || to.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('/')))
    {
        return Err(format!("`to` lies at or below `path`: {to}"));
    }
    Ok(Recipe {
        done: Some(args.look("is_link @path@ @to@")),
        run: args.change("move_aside @path@ @to@\nln -s @to@ @path@ || move_back @path@"),
        verify: None,
        undo: Undo::Run(args.change("link_undone @path@ @to@ \"$before\"")),
        paths: vec![args.word("path").clone()],
        addresses: Vec::new(),
    })
}

pub(super) fn writable(p: &Writable, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    args.take("path", &p.path, Shape::Path)?;
    Ok(args.look("is_writable @path@"))
}
