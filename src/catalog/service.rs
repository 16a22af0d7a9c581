//! Services: systemd first, OpenRC and init scripts where there is none.
//!
//! Why it exists: "is it stopped?" is the question a split brain hangs on. The answer is read from what the service
//! manager printed; its exit code alone says *inactive* of a unit that is just stopping, and *failed* of a broken bus.
//!
//! Invariants: a unit that is not there is told apart from one that is stopped; *activating*, *deactivating* and
//! *reloading* are neither active nor inactive; where systemd is installed but silent, nothing else may claim that a
//! unit is absent; a change is the plain command (`systemctl start postgresql`) behind one look for the unit.

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

/// Leaves one word in `_s`: systemd's ActiveState, `absent`, or what could not be understood.
const STATE: &str = r#"
_s=$(systemctl show -p LoadState -p ActiveState @unit@ 2>&1) || :
case $_s in
*LoadState=not-found*ActiveState=inactive*|*ActiveState=inactive*LoadState=not-found*) _s=absent ;;
*ActiveState=*) _s=${_s##*ActiveState=}; _s=${_s%%[!a-z]*} ;;
*) _u=@unit@; _u=${_u%.service} # no systemd: OpenRC, else an init script
    if [ -d /run/systemd/system ]; then : # it is there and did not tell
    elif command -v rc-service >/dev/null; then
        _s=$(rc-service "$_u" status 2>&1) || :
        case $_s in
        *'does not exist'*) _s=absent ;;
        *'status: started'*) _s=active ;;
        *'status: starting'*) _s=activating ;;
        *'status: stopping'*) _s=deactivating ;;
        *'status: crashed'*) _s=failed ;;
        *'status: stopped'*|*'status: inactive'*) _s=inactive ;;
        esac
    elif [ -x "/etc/init.d/$_u" ]; then
        _r=0; _s=$("/etc/init.d/$_u" status 2>&1) || _r=$?
        case $_r-$_s in
        *[Uu]sage:*) ;;
        0-*) _s=active ;;
        3-*|[12]-*dead*|[12]-*stopped*|[12]-*'not running'*) _s=inactive ;;
        esac
    elif [ -d /etc/init.d ] && ! command -v systemctl >/dev/null; then
        _s=absent
    fi ;;
esac
"#;

/// Leaves one word in `_s`: `enabled`, another word of `systemctl is-enabled`, `absent`, or what was not understood.
/// `is-enabled` also knows init scripts under systemd, which a unit's properties do not.
const BOOT: &str = r#"
_s=$(systemctl is-enabled @unit@ 2>&1 | tail -n 1)
case $_s in
enabled|enabled-runtime|alias) _s=enabled ;;
disabled|masked|masked-runtime|static|indirect|generated|transient|linked|linked-runtime) ;;
not-found|*'No such file or directory'*|*'does not exist'*) _s=absent ;;
*) _u=@unit@; _u=${_u%.service} # no systemd: OpenRC, else an init script's links
    if [ -d /run/systemd/system ]; then : # it is there and did not tell
    elif command -v rc-update >/dev/null; then
        if rc-service -e "$_u"; then
            _s=$(rc-update show) || exit 126
            _s=$(printf '%s\n' "$_s" | _u=$_u awk '$1 == ENVIRON["_u"] { s = 1 } END { print s ? "enabled" : "disabled" }')
        else _s=absent; fi
    elif [ -x "/etc/init.d/$_u" ]; then
        _s=disabled
        for _l in /etc/rc[2-5].d/S[0-9][0-9]"$_u" /etc/rc.d/rc[2-5].d/S[0-9][0-9]"$_u"; do
            if [ -e "$_l" ]; then _s=enabled; fi
        done
    elif [ -d /etc/init.d ] && ! command -v systemctl >/dev/null; then
        _s=absent
    fi ;;
esac
"#;

const ACTIVE: &str = r#"
case $_s in
active) printf '%s is active\n' @unit@ ;;
inactive|failed|maintenance) printf '%s is %s\n' @unit@ "$_s"; exit 1 ;;
absent) printf 'there is no unit %s\n' @unit@; exit 1 ;;
activating|deactivating|reloading|refreshing) printf '%s is %s\n' @unit@ "$_s"; exit 4 ;;
*) printf '%s: not understood: %s\n' @unit@ "$_s" >&2; exit 126 ;;
esac
"#;

const INACTIVE: &str = r#"
case $_s in
inactive|failed) printf '%s is %s\n' @unit@ "$_s" ;;
active|maintenance) printf '%s is %s\n' @unit@ "$_s"; exit 1 ;;
absent) printf 'there is no unit %s\n' @unit@; exit 3 ;;
activating|deactivating|reloading|refreshing) printf '%s is %s\n' @unit@ "$_s"; exit 4 ;;
*) printf '%s: not understood: %s\n' @unit@ "$_s" >&2; exit 126 ;;
esac
"#;

const EXISTS: &str = r#"
case $_s in
absent) printf 'there is no unit %s\n' @unit@; exit 1 ;;
active|inactive|failed|maintenance|activating|deactivating|reloading|refreshing) printf '%s is there, %s\n' @unit@ "$_s" ;;
*) printf '%s: not understood: %s\n' @unit@ "$_s" >&2; exit 126 ;;
esac
"#;

const ENABLED: &str = r#"
case $_s in
enabled) printf '%s is enabled\n' @unit@ ;;
disabled|masked*|static|indirect|generated|transient|linked*) printf '%s is %s\n' @unit@ "$_s"; exit 1 ;;
absent) printf 'there is no unit %s\n' @unit@; exit 1 ;;
*) printf '%s: not understood: %s\n' @unit@ "$_s" >&2; exit 126 ;;
esac
"#;

const DISABLED: &str = r#"
case $_s in
disabled|masked*|linked*) printf '%s is %s\n' @unit@ "$_s" ;;
static|indirect|generated|transient) printf '%s is %s: enabling and disabling do not apply\n' @unit@ "$_s"; exit 3 ;;
enabled) printf '%s is enabled\n' @unit@; exit 1 ;;
absent) printf 'there is no unit %s\n' @unit@; exit 3 ;;
*) printf '%s: not understood: %s\n' @unit@ "$_s" >&2; exit 126 ;;
esac
"#;

/// The plain command, behind one look for the unit. `VERB` and `OTHERWISE` are put in by [`change`].
const CHANGE: &str = r#"
case $(systemctl show -p LoadState @unit@ 2>&1) in
*LoadState=not-found*) printf 'there is no unit %s\n' @unit@ >&2; exit 125 ;;
*LoadState=*) systemctl VERB @unit@ ;;
*) OTHERWISE ;;
esac
"#;

fn args<'a>(p: &Unit, fill: &'a dyn Fill) -> Result<Args<'a>, String> {
    let mut args = Args::new(fill);
    args.take("unit", &p.unit, Shape::Unit)?;
    Ok(args)
}

fn look(p: &Unit, fill: &dyn Fill, first: &str, then: &str) -> Result<Value, String> {
    Ok(args(p, fill)?.look(&(first.to_owned() + then.trim_start())))
}
pub(super) fn active(p: &Unit, fill: &dyn Fill) -> Result<Value, String> {
    look(p, fill, STATE, ACTIVE)
}
pub(super) fn inactive(p: &Unit, fill: &dyn Fill) -> Result<Value, String> {
    look(p, fill, STATE, INACTIVE)
}
pub(super) fn exists(p: &Unit, fill: &dyn Fill) -> Result<Value, String> {
    look(p, fill, STATE, EXISTS)
}
pub(super) fn enabled(p: &Unit, fill: &dyn Fill) -> Result<Value, String> {
    look(p, fill, BOOT, ENABLED)
}

fn change(p: &Unit, fill: &dyn Fill, verb: &str) -> Result<Value, String> {
    let otherwise = match verb {
        "enable" => {
            "if command -v rc-update >/dev/null; then rc-update add @unit@ default
    elif command -v chkconfig >/dev/null; then chkconfig @unit@ on
    else update-rc.d @unit@ enable; fi"
        }
        "disable" => {
            "if command -v rc-update >/dev/null; then rc-update -a del @unit@
    elif command -v chkconfig >/dev/null; then chkconfig @unit@ off
    else update-rc.d @unit@ disable; fi"
        }
        _ => {
            "if command -v rc-service >/dev/null; then rc-service @unit@ VERB
    elif [ -x /etc/init.d/@unit@ ]; then service @unit@ VERB
    else printf 'there is no unit %s\\n' @unit@ >&2; exit 125; fi"
        }
    };
    let template = CHANGE.replace("OTHERWISE", otherwise).replace("VERB", verb);
    Ok(args(p, fill)?.change(&template))
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
    let done = look(p, fill, BOOT, DISABLED)?;
    Ok(recipe(Some(done), change(p, fill, "disable")?, None, Undo::Run(change(p, fill, "enable")?)))
}
/// Nothing that can be seen tells a restarted unit from one that was not, so there is no `done`.
pub(super) fn restart(p: &Unit, fill: &dyn Fill) -> Result<Recipe, String> {
    let undo = Undo::None("a restart leaves nothing to put back".into());
    Ok(recipe(None, change(p, fill, "restart")?, Some(active(p, fill)?), undo))
}
