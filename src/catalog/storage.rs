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

/// Leaves `SOURCE TYPE OPTIONS` of the topmost mount on the path in `_m`, or nothing. An automount trigger is no mount.
const TABLE: &str = r#"
if command -v findmnt >/dev/null; then
    _r=0; _m=$(findmnt -rn -o SOURCE,FSTYPE,OPTIONS -M @path@ 2>&1) || _r=$?
    case $_r-$_m in 1-) ;; 0-?*) _m=$(printf '%s\n' "$_m" | tail -n 1) ;; *) printf '%s\n' "$_m" >&2; exit 126 ;; esac
else
    _p=$(readlink -f @path@) || exit 126
    _m=$(_p=$_p awk '{ p = $5; gsub(/\\040/, " ", p) }
        p == ENVIRON["_p"] { for (i = 7; $i != "-"; i++); m = $(i + 2) " " $(i + 1) " " $(i + 3) "," $6 }
        END { print m }' /proc/self/mountinfo) || exit 126
fi
case $_m in *' autofs '*) _m= ;; esac
"#;

const MOUNTED: &str = r#"
if [ -z "$_m" ]; then printf '%s is not a mount point\n' @path@; exit 1; fi
"#;
const SOURCE: &str = r#"
case ${_m%% *} in
@source@|*"["@source@"]") ;;
*) if [ -z "$(findmnt -rn -o SOURCE -S @source@ -M @path@ 2>/dev/null)" ]; then
        printf '%s is mounted from %s, not from %s\n' @path@ "${_m%% *}" @source@; exit 1
    fi ;;
esac
"#;
const WRITABLE_MOUNT: &str = r#"
case ,${_m##* }, in *,ro,*) printf '%s is mounted read-only\n' @path@; exit 1 ;; esac
if [ ! -w @path@ ]; then printf '%s is mounted but may not be written\n' @path@; exit 1; fi
"#;
const FROM: &str = r#"
printf '%s is mounted from %s\n' @path@ "${_m%% *}"
"#;

fn join(parts: &[&str]) -> String {
    parts.iter().map(|p| p.trim_start()).collect()
}

pub(super) fn mounted(p: &Mounted, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    args.take("path", &p.path, Shape::Path)?;
    let source = if args.maybe("source", &p.source, Shape::Plain)? { SOURCE } else { "" };
    let writable = if args.flag("writable", &p.writable)? { WRITABLE_MOUNT } else { "" };
    Ok(args.look(&join(&[TABLE, MOUNTED, source, writable, FROM])))
}

const ELSEWHERE: &str = r#"
_m=$(findmnt -rn -o SOURCE -M @path@) || :
if [ -n "$_m" ]; then printf '%s is mounted already, from %s\n' @path@ "$_m" >&2; exit 125; fi
"#;

pub(super) fn mount(p: &Mount, fill: &dyn Fill) -> Result<Recipe, String> {
    let mut args = Args::new(fill);
    args.take("path", &p.path, Shape::Path)?;
    let source = args.maybe("source", &p.source, Shape::Plain)?;
    let kind = args.maybe("type", &p.kind, Shape::Plain)?;
    let options = args.maybe("options", &p.options, Shape::Plain)?;
    if !source && (kind || options) {
        return Err("`type` and `options` need `source`; without it /etc/fstab says all".into());
    }
    let run = if source {
        let kind = if kind { " -t @type@" } else { "" };
        let options = if options { " -o @options@" } else { "" };
        join(&[ELSEWHERE, &format!("mount{kind}{options} @source@ @path@")])
    } else {
        "mount @path@".into()
    };
    let done = join(&[TABLE, MOUNTED, if source { SOURCE } else { "" }, FROM]);
    Ok(Recipe {
        done: Some(args.look(&done)),
        run: args.change(&run),
        verify: None,
        undo: Undo::Run(args.change("umount @path@")),
        paths: vec![args.word("path").clone()],
        addresses: Vec::new(),
    })
}

const UNMOUNTED: &str = r#"
if [ -z "$_m" ]; then printf '%s is not mounted\n' @path@; exit 0; fi
printf '%s\n' "$_m"
exit 1
"#;
/// `$before` is `SOURCE TYPE OPTIONS`; spaces in it are escaped. A part of a file system (`/dev/sdb1[/dir]`) has no
/// source one could name, so only /etc/fstab can bring it back.
const REMOUNT: &str = r#"
if _p=@path@ awk '$2 == ENVIRON["_p"] { f = 1 } END { exit !f }' /etc/fstab; then mount @path@; exit; fi
_m=$(printf '%s\n' "$before" | sed 's/\\x20/ /g; s/\\040/ /g')
_o=${_m##* }; _m=${_m% *}; _t=${_m##* }; _s=${_m% *}
case $_s in *']') printf 'mount it by hand: %s is part of %s\n' @path@ "$_s" >&2; exit 125 ;; esac
mount -t "$_t" -o "$_o" "$_s" @path@
"#;

pub(super) fn umount(p: &Umount, fill: &dyn Fill) -> Result<Recipe, String> {
    let mut args = Args::new(fill);
    args.take("path", &p.path, Shape::Path)?;
    Ok(Recipe {
        done: Some(args.look(&join(&[TABLE, UNMOUNTED]))),
        run: args.change("umount @path@"),
        verify: None,
        undo: Undo::Run(args.change(REMOUNT)),
        paths: vec![args.word("path").clone()],
        addresses: Vec::new(),
    })
}

const RESOLVES: &str = r#"
readlink -f / >/dev/null || exit 126
if [ ! -e @path@ ]; then printf '%s does not exist, or leads nowhere\n' @path@; exit 1; fi
_p=$(readlink -f @path@) || exit 126
_t=$(readlink -f @to@) || _t=
if [ "$_p" = "$_t" ]; then printf '%s leads to %s\n' @path@ "$_p"
else printf '%s leads to %s, not to %s\n' @path@ "$_p" @to@; exit 1; fi
"#;

pub(super) fn resolves(p: &Resolves, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    args.take("path", &p.path, Shape::Path)?;
    args.take("to", &p.to, Shape::Path)?;
    Ok(args.look(RESOLVES))
}

/// Leaves in `_b` the first free name to keep the old one under.
const FREE_NAME: &str = r#"
_b=@path@.hawiz-bak; _n=1
while [ -e "$_b" ] || [ -L "$_b" ]; do _b=@path@.hawiz-bak.$_n; _n=$((_n + 1)); done
"#;
/// The last line is what undo reads.
const LINKED: &str = r#"
readlink -f / >/dev/null || exit 126
if [ -L @path@ ] && [ -e @to@ ] && [ "$(readlink -f @path@)" = "$(readlink -f @to@)" ]; then
    printf '%s is a link to %s\n' @path@ @to@; exit 0
fi
"#;
const LINK_BEFORE: &str = r#"
if [ -L @path@ ]; then _k=link; elif [ -d @path@ ]; then _k=directory; elif [ -e @path@ ]; then _k=file; else echo absent; exit 1; fi
printf '%s, to be kept as %s\n' "$_k" "$_b"
exit 1
"#;
const LINK: &str = r#"
if [ ! -e @to@ ]; then printf '%s does not exist\n' @to@ >&2; exit 125; fi
"#;
const LINK_MAKE: &str = r#"
if [ -e @path@ ] || [ -L @path@ ]; then mv @path@ "$_b"; else _b=; fi
ln -s @to@ @path@ || { [ -z "$_b" ] || mv "$_b" @path@; exit 1; }
"#;
const UNLINK: &str = r#"
if [ -L @path@ ] && [ "$(readlink @path@)" = @to@ ]; then rm @path@
elif [ -e @path@ ] || [ -L @path@ ]; then printf '%s is no longer the link that was made: left alone\n' @path@ >&2; exit 125; fi
case $before in *', to be kept as '*)
    _b=$(printf '%s' "${before#*, to be kept as }")
    mv "$_b" @path@ ;;
esac
"#;

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
        done: Some(args.look(&join(&[LINKED, FREE_NAME, LINK_BEFORE]))),
        run: args.change(&join(&[LINK, FREE_NAME, LINK_MAKE])),
        verify: None,
        undo: Undo::Run(args.change(UNLINK)),
        paths: vec![args.word("path").clone()],
        addresses: Vec::new(),
    })
}

/// `test -w` alone does not see a read-only file system in every shell.
const WRITABLE: &str = r#"
if [ ! -e @path@ ]; then printf '%s does not exist\n' @path@; exit 1; fi
_o=
if command -v findmnt >/dev/null; then _o=$(findmnt -rn -o OPTIONS -T @path@) || _o=; fi
case ,$_o, in *,ro,*) printf '%s lies on a read-only file system\n' @path@; exit 1 ;; esac
if [ ! -w @path@ ]; then printf '%s may not be written\n' @path@; exit 1; fi
printf '%s can be written\n' @path@
"#;

pub(super) fn writable(p: &Writable, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    args.take("path", &p.path, Shape::Path)?;
    Ok(args.look(WRITABLE))
}
