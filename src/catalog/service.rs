//! Services: systemd first, OpenRC and init scripts where there is none.
//!
//! Why it exists: "is it stopped?" is the question a split brain hangs on. The answer is read from what the service
//! manager printed; its exit code alone says *inactive* of a unit that is just stopping, and *failed* of a broken bus.
//!
//! Invariants: a unit that is not there is told apart from one that is stopped; *activating*, *deactivating* and
//! *reloading* are neither active nor inactive; where systemd is installed but silent, nothing else may claim that a
//! unit is absent; a change is the plain command (`systemctl start postgresql`), which is not run when the unit is not there.

use super::text::{Args, Shape};
use super::{Fill, Recipe, Text, Undo};
use crate::shell::Value;
use schemars::JsonSchema;
use serde::Deserialize;

/// A service, by the name its service manager knows it by.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// The unit: `postgresql`, `xcatd`, `ntpd`. systemd takes other kinds with their ending (`ha.target`).
    pub unit: Text,
}

fn args<'a>(p: &Unit, fill: &'a dyn Fill) -> Result<Args<'a>, String> {
    let mut args = Args::new(fill);
    args.take("unit", &p.unit, Shape::Unit)?;
    Ok(args)
}

fn look(p: &Unit, fill: &dyn Fill, text: &str) -> Result<Value, String> {
    Ok(args(p, fill)?.look(text))
}
pub(super) fn active(p: &Unit, fill: &dyn Fill) -> Result<Value, String> {
    look(p, fill, "service_is active @unit@")
}
pub(super) fn inactive(p: &Unit, fill: &dyn Fill) -> Result<Value, String> {
    look(p, fill, "service_is inactive @unit@")
}
pub(super) fn exists(p: &Unit, fill: &dyn Fill) -> Result<Value, String> {
    look(p, fill, "service_is known @unit@")
}
pub(super) fn enabled(p: &Unit, fill: &dyn Fill) -> Result<Value, String> {
    look(p, fill, "service_boot_is enabled @unit@")
}

fn change(p: &Unit, fill: &dyn Fill, verb: &str) -> Result<Value, String> {
    Ok(args(p, fill)?.change(&"without_systemd VERB @unit@ || systemctl VERB @unit@".replace("VERB", verb)))
}

fn recipe(done: Option<Value>, run: Value, verify: Option<Value>, undo: Undo) -> Recipe {
    Recipe { done, run, verify, undo, paths: Vec::new(), addresses: Vec::new() }
}

pub(super) fn start(p: &Unit, fill: &dyn Fill) -> Result<Recipe, String> {
    Ok(recipe(Some(active(p, fill)?), change(p, fill, "start")?, None, Undo::Run(change(p, fill, "stop")?)))
}
pub(super) fn stop(p: &Unit, fill: &dyn Fill) -> Result<Recipe, String> {
    Ok(recipe(Some(inactive(p, fill)?), change(p, fill, "stop")?, None, Undo::Run(change(p, fill, "start")?)))
}
pub(super) fn enable(p: &Unit, fill: &dyn Fill) -> Result<Recipe, String> {
    Ok(recipe(Some(enabled(p, fill)?), change(p, fill, "enable")?, None, Undo::Run(change(p, fill, "disable")?)))
}
pub(super) fn disable(p: &Unit, fill: &dyn Fill) -> Result<Recipe, String> {
    let done = look(p, fill, "service_boot_is disabled @unit@")?;
    Ok(recipe(Some(done), change(p, fill, "disable")?, None, Undo::Run(change(p, fill, "enable")?)))
}
/// Nothing that can be seen tells a restarted unit from one that was not, so there is no `done`.
pub(super) fn restart(p: &Unit, fill: &dyn Fill) -> Result<Recipe, String> {
    let undo = Undo::None("a restart leaves nothing to put back".into());
    Ok(recipe(None, change(p, fill, "restart")?, Some(active(p, fill)?), undo))
}
