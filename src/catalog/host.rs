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

const CLOCK: &str = r#"
_no=
if command -v chronyc >/dev/null; then
    _o=$(chronyc -n tracking 2>&1) || :
    case $_o in
    *'Not synchronised'*) _no='chronyc: not synchronised' ;;
    *'Leap status     : '*) echo 'chronyc: synchronised'; exit 0 ;;
    esac
fi
if command -v ntpstat >/dev/null; then
    _o=$(ntpstat 2>&1) || :
    case $_o in unsynchronised*) _no='ntpstat: unsynchronised' ;; synchronised*) printf '%s\n' "$_o" | head -n 1; exit 0 ;; esac
fi
if command -v ntpq >/dev/null; then
    _o=$(ntpq -pn 2>&1) || :
    case $_o in
    *remote*refid*'
*'*) echo 'ntpq: synchronised to a peer'; exit 0 ;;
    *remote*refid*) _no='ntpq: no peer is chosen' ;;
    esac
fi
if command -v timedatectl >/dev/null; then
    _o=$(timedatectl show -p NTPSynchronized 2>/dev/null || timedatectl status 2>&1) || :
    case $_o in
    *NTPSynchronized=yes*|*'ynchronized: yes'*) echo 'timedatectl: synchronised'; exit 0 ;;
    *NTPSynchronized=no*|*'ynchronized: no'*) _no='timedatectl: not synchronised' ;;
    esac
fi
if [ -z "$_no" ]; then echo 'no chronyc, ntpstat, ntpq or timedatectl told anything' >&2; exit 126; fi
printf '%s\n' "$_no"
exit 1
"#;

pub(super) fn clock(_: &Clock, fill: &dyn Fill) -> Result<Value, String> {
    Ok(Args::new(fill).look(CLOCK))
}

const PROCESS: &str = r#"
if command -v pgrep >/dev/null; then
    _r=0; _o=$(pgrep -x @pattern@ 2>&1) || _r=$?
    case $_r-$_o in 0-*) _o=$(echo $_o) ;; 1-) ;; *) printf '%s\n' "$_o" >&2; exit 126 ;; esac
else
    _o=$(ps -e -o pid= -o comm=) || exit 126
    _r=0; _o=$(printf '%s\n' "$_o" | _n=@short@ awk '$2 == ENVIRON["_n"] { printf "%s ", $1; f = 1 } END { exit !f }') || _r=1
fi
if [ "$_r" = 1 ]; then printf 'no process %s\n' @name@; exit 1; fi
printf 'process %s: %s\n' @name@ "$_o"
"#;

pub(super) fn process(p: &Process, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    let template = match args.take("name", &p.name, Shape::Name)? {
        // The kernel keeps 15 characters of it, and pgrep reads a pattern.
        Some(name) => {
            let short = &name[..name.len().min(15)];
            let pattern: String =
                short.chars().flat_map(|c| if ".+".contains(c) { vec!['\\', c] } else { vec![c] }).collect();
            args.set("short", short);
            args.set("pattern", pattern);
            PROCESS.to_owned()
        }
        None => {
            let head = "_n=$(printf %.15s @name@)\n_q=$(printf '%s\\n' \"$_n\" | sed 's/[.+]/\\\\&/g')";
            head.to_owned() + &PROCESS.replace("@pattern@", "\"$_q\"").replace("@short@", "$_n")
        }
    };
    Ok(args.look(&template))
}

const PACKAGE: &str = r#"
_no=
if command -v rpm >/dev/null; then
    _o=$(rpm -q @name@ 2>&1) || :
    case $_o in *'not installed'*) _no=rpm ;; error*|'') ;; *) printf '%s is installed\n' "$_o"; exit 0 ;; esac
fi
if command -v dpkg-query >/dev/null; then
    _o=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n' @name@ 2>&1) || :
    case $_o in
    ?i*) printf '%s is installed\n' "${_o#* }"; exit 0 ;;
    *'no packages found'*|?[nc]*) _no=dpkg ;;
    esac
fi
if [ -z "$_no" ]; then printf 'neither rpm nor dpkg told anything: %s\n' "${_o-}" >&2; exit 126; fi
printf 'package %s is not installed (%s)\n' @name@ "$_no"
exit 1
"#;

pub(super) fn package(p: &Package, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    args.take("name", &p.name, Shape::Name)?;
    Ok(args.look(PACKAGE))
}

const NAMED: &str = r#"
_h=$(hostname) || exit 126
printf '%s\n' "$_h"
[ "$_h" = @name@ ] || exit 1
"#;

pub(super) fn hostname(p: &Hostname, fill: &dyn Fill) -> Result<Recipe, String> {
    let mut args = Args::new(fill);
    args.take("name", &p.name, Shape::HostName)?;
    Ok(Recipe {
        done: Some(args.look(NAMED)),
        run: args.change("hostname @name@"),
        verify: None,
        undo: Undo::Run(args.change(r#"hostname "$(printf %s "$before")""#)),
        paths: Vec::new(),
        addresses: Vec::new(),
    })
}
