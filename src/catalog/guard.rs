//! Who owns the system, and that nobody else starts it: the ownership record and the boot guard.
//!
//! Why it exists: a node whose power was cut knows nothing of the node that took over. When it comes back, its service
//! manager starts what is enabled, and the shared data has two masters before anybody has looked. What the node itself
//! remembers cannot help, since it was down; so the answer lies where the data lies. The **record** is one file on the shared
//! storage. It names the node that owns the system, and its installation (the machine id: a node that was set up anew, or a
//! copy of a disk, is another one). The **guard** is what each node's systemd asks before it starts what only the owner runs.
//!
//! Invariants:
//! - The guard lets a unit start only where the record names this node and this installation. No record, another name, a
//!   storage that is not mounted, cannot be read or does not answer in time: the unit stays down. So do a guard's unit or
//!   script that was lost. Silence is never a yes.
//! - It holds for every start: at boot, by hand, by `Restart=`, by another unit. Therefore a dependency (`Requires=` and
//!   `After=` of a oneshot that does not stay active, so that it is asked each time) and not an `ExecCondition=`, which
//!   systemd 239 does not know, nor an `ExecStartPre=`, which comes after the unit's own. A guard that refuses stops nothing that runs.
//! - It never mounts: `RequiresMountsFor=` would mount a `noauto` file system that only the active node may have. It is
//!   ordered after the mount, and waits for storage that comes late, for half a minute.
//! - The record is written whole or not at all and is on disk before anything else is done. `activate` writes it before its
//!   other exclusive changes, when every peer is proven inactive; `deactivate` withdraws it when everything has stopped:
//!   were it withdrawn before, a roll-back could not start again what the guard then refuses. A run that ends in between
//!   leaves a record of a node that is inactive, or about to be the only one; neither lets a second node start.
//! - An undo never takes the record from another node that has become the owner since.
//!
//! The files of a guard are handled as one text (a path, then its lines, each behind a blank): what is wanted, what is
//! found, and what an undo brings back are compared and laid down by the same few functions.

use super::text::{Args, Shape};
use super::{Fill, Recipe, Text, Texts, Undo};
use crate::shell::Value;
use schemars::JsonSchema;
use serde::Deserialize;

/// The ownership record.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The file, on storage that all nodes of the system share; its folder is made.
    pub record: Text,
    /// The mount point that it lies on: while nothing is mounted there, nobody can tell who owns the system. Left out: nobody looks.
    pub mount: Option<Text>,
}

/// A boot guard.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// The system's name on the node: `xcat` gives the unit `hawiz-guard-xcat`.
    pub name: Text,
    /// What only the owner runs. A unit that is not there yet is guarded as soon as it is; with `postgresql` goes `postgresql@`.
    pub units: Texts,
    /// The ownership record.
    pub record: Text,
    /// The mount point that it lies on. Left out: the record's folder is waited for.
    pub mount: Option<Text>,
}

/// The node by its name, as the record says it.
fn node(args: &mut Args) -> Result<(), String> {
    args.take("node", &Text("{node}".into()), Shape::Name).map(drop)
}

/// The arguments, and the words `RECORD NODE` of a template, with what follows them.
fn record<'a>(p: &Record, fill: &'a dyn Fill) -> Result<(Args<'a>, &'static str), String> {
    let mut args = Args::new(fill);
    args.take("record", &p.record, Shape::Path)?;
    node(&mut args)?;
    let mount = args.maybe("mount", &p.mount, Shape::Path)?;
    Ok((args, if mount { " @mount@" } else { "" }))
}

pub(super) fn owns(p: &Record, fill: &dyn Fill) -> Result<Value, String> {
    let (args, mount) = record(p, fill)?;
    Ok(args.look(&format!("owns @record@ @node@{mount}")))
}

pub(super) fn own(p: &Record, fill: &dyn Fill) -> Result<Recipe, String> {
    let (args, mount) = record(p, fill)?;
    Ok(Recipe::plain(
        args.look(&format!("owns @record@ @node@{mount}")),
        args.change(&format!("own_record @record@ @node@{mount}")),
        Undo::Run(args.change(&format!("record_back @record@ @node@ \"$before\"{mount}"))),
    ))
}

pub(super) fn disown(p: &Record, fill: &dyn Fill) -> Result<Recipe, String> {
    let (args, mount) = record(p, fill)?;
    Ok(Recipe::plain(
        args.look(&format!("disowned @record@ @node@{mount}")),
        args.change("rm @record@\nrecord_lasts @record@"),
        Undo::Run(args.change(&format!("record_back @record@ @node@ \"$before\"{mount}"))),
    ))
}

/// The arguments, and a template's words for them.
fn guard<'a>(p: &Guard, fill: &'a dyn Fill) -> Result<(Args<'a>, String), String> {
    let mut args = Args::new(fill);
    let name = args.take("name", &p.name, Shape::Name)?.ok_or("`name` must be known before the run")?;
    if name.starts_with('.') || name.contains(|c: char| !c.is_ascii_alphanumeric() && !"_.-".contains(c)) {
        return Err(format!("`name` may hold letters, digits, `_`, `-` and `.` (not first): {name}"));
    }
    args.take("record", &p.record, Shape::Path)?;
    node(&mut args)?;
    let mount = if args.maybe("mount", &p.mount, Shape::Path)? { "@mount@" } else { "''" };
    args.list("units", &p.units, Shape::Unit)?;
    Ok((args, format!("@name@ @record@ @node@ {mount} @units@")))
}

pub(super) fn guarded(p: &Guard, fill: &dyn Fill) -> Result<Value, String> {
    let (args, words) = guard(p, fill)?;
    Ok(args.look(&format!("boot_guard_stands {words}")))
}

pub(super) fn install(p: &Guard, fill: &dyn Fill) -> Result<Recipe, String> {
    let (args, words) = guard(p, fill)?;
    Ok(Recipe::plain(
        args.look(&format!("boot_guarded {words}")),
        args.change(&format!(
            "_files=$(guard_wanted {words})\nprintf '%s\\n' \"$_files\" | guard_lay @name@\nsystemctl daemon-reload"
        )),
        Undo::Run(args.change("printf %s \"$before\" | guard_lay @name@\nsystemctl daemon-reload")),
    ))
}
