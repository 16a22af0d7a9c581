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

/// One kind of edit. All texts are templates; `FILE` stands for the file's word.
pub(super) struct Edit {
    pub file: &'static str,
    /// Sets variables that the rest uses.
    pub head: &'static str,
    /// Reads the file `$_f` (which exists): exit code 0 when it is as wanted, 1 when not; a note on stderr.
    pub look: &'static str,
    /// Why the edit may not be made: a note on stderr and `exit 125`. May be empty.
    pub refuse: &'static str,
    /// Reads `$_d/old`, prints the new text.
    pub make: &'static str,
    /// Reads `$_d/old` (before the change) and `$_d/now`, prints the text without our part.
    pub unmake: &'static str,
}

const LOOK: &str = r#"
_f=FILE
if [ ! -e "$_f" ]; then echo absent; printf '%s does not exist\n' "$_f" >&2; exit 1; fi
if [ ! -f "$_f" ] || [ ! -r "$_f" ]; then printf '%s is no readable file\n' "$_f" >&2; exit 126; fi
echo present
cat "$_f"
"#;
const OPEN: &str = r#"
_f=$(readlink -f FILE)
_d=$(mktemp -d "${_f%/*}/.hawiz.XXXXXX" 2>/dev/null || mktemp -d) # beside it, so that room is tried
trap 'rm -rf "$_d"' EXIT
trap 'exit 130' HUP INT TERM
"#;
const READ: &str = r#"
if [ -e "$_f" ]; then cat "$_f" >"$_d/old"; else : >"$_d/old"; fi
"#;
const WRITE: &str = r#"
cat "$_d/new" >"$_f" || { cat "$_d/old" >"$_f"; exit 1; } # in place: owner, mode, links and context stay
"#;
const UNDO: &str = r#"
printf %s "${before#present?}" >"$_d/old"
case $before in absent*) [ -e "$_f" ] || exit 0; : >"$_d/old" ;; esac
cat "$_f" >"$_d/now"
MAKE >"$_d/made"
if cmp -s "$_d/made" "$_d/now"; then
    case $before in absent*) rm "$_f"; exit ;; esac
    cat "$_d/old" >"$_d/new"
else
    echo 'note: changed by somebody since; only our own part is taken out' >&2
    UNMAKE >"$_d/new"
fi
cat "$_d/new" >"$_f" || { cat "$_d/now" >"$_f"; exit 1; }
"#;

impl Edit {
    pub fn recipe(&self, args: &Args) -> Recipe {
        let fit = |parts: &[&str]| -> String {
            let text: String = parts.iter().map(|p| p.trim_start()).collect();
            text.replace("UNMAKE", self.unmake.trim()).replace("MAKE", self.make.trim()).replace("FILE", self.file)
        };
        let change = ["MAKE >\"$_d/new\"\n", WRITE].concat();
        Recipe {
            done: Some(args.look(&fit(&[self.head, LOOK, self.look]))),
            run: args.change(&fit(&[self.head, OPEN, READ, self.refuse, &change])),
            verify: None,
            undo: Undo::Run(args.change(&fit(&[self.head, OPEN, UNDO]))),
            paths: vec![],
            addresses: vec![],
        }
    }
}

const HAS_LINE: &str = r#"
if [ ! -e @path@ ]; then printf '%s does not exist\n' @path@; exit 1; fi
_r=0; grep -qxF -e @line@ @path@ || _r=$?
case $_r in
0) printf '%s has the line\n' @path@ ;;
1) printf '%s does not have the line\n' @path@; exit 1 ;;
*) exit 126 ;;
esac
"#;

fn line_args<'a>(p: &Line, fill: &'a dyn Fill) -> Result<Args<'a>, String> {
    let mut args = Args::new(fill);
    args.take("path", &p.path, Shape::Path)?;
    args.take("line", &p.line, Shape::Line)?;
    Ok(args)
}
pub(super) fn has_line(p: &Line, fill: &dyn Fill) -> Result<Value, String> {
    Ok(line_args(p, fill)?.look(HAS_LINE))
}

const LINE: Edit = Edit {
    file: "@path@",
    head: "",
    look: r#"
_r=0; grep -qxF -e @line@ "$_f" || _r=$?
case $_r in
0) echo 'the line is there' >&2 ;;
1) echo 'the line is not there' >&2; exit 1 ;;
*) exit 126 ;;
esac
"#,
    refuse: "",
    make: r#"_l=@line@ awk '{ print } END { print ENVIRON["_l"] }' "$_d/old""#,
    unmake: r#"_l=@line@ awk '{ a[NR] = $0 } $0 == ENVIRON["_l"] { k = NR }
    END { for (i = 1; i <= NR; i++) if (i != k) print a[i] }' "$_d/now""#,
};
pub(super) fn line(p: &Line, fill: &dyn Fill) -> Result<Recipe, String> {
    Ok(LINE.recipe(&line_args(p, fill)?))
}

/// `_t` is what awk compares: the first line of the address counts, and for each name the first line that has it, among
/// addresses of the same family.
const HOSTS: Edit = Edit {
    file: "/etc/hosts",
    head: r#"
_a=@address@; _n=$(printf '%s ' @names@)
export _a _n
"#,
    look: r#"
awk '{ sub(/#.*/, "") } NF > 1 && ($1 ~ /:/) == (ENVIRON["_a"] ~ /:/) {
        if (tolower($1) == tolower(ENVIRON["_a"]) && !seen++) for (i = 2; i <= NF; i++) mine[tolower($i)] = 1
        for (i = 2; i <= NF; i++) if (!(tolower($i) in of)) of[tolower($i)] = tolower($1)
    }
    END { n = split(ENVIRON["_n"], w, " ")
        for (i = 1; i <= n; i++) { k = tolower(w[i])
            if (!(k in mine)) { print w[i] " is not a name of " ENVIRON["_a"]; exit 1 }
            if (of[k] != tolower(ENVIRON["_a"])) { print w[i] " is first a name of " of[k]; exit 1 } }
        print ENVIRON["_a"] " has its names" }' "$_f" >&2
"#,
    refuse: r#"
awk '{ l = $0; sub(/#.*/, "") }
    NF > 1 && ($1 ~ /:/) == (ENVIRON["_a"] ~ /:/) && tolower($1) != tolower(ENVIRON["_a"]) {
        n = split(tolower(ENVIRON["_n"]), w, " ")
        for (i = 2; i <= NF; i++) for (j = 1; j <= n; j++) if (tolower($i) == w[j]) {
            print "line " NR " gives this name to another address: " l; bad = 1; exit } }
    END { exit bad ? 125 : 0 }' "$_d/old" >&2
"#,
    make: r#"
awk '{ l = $0; c = ""; if (match(l, /[ \t]*#/)) { c = substr(l, RSTART); l = substr(l, 1, RSTART - 1) } k = split(l, f, " ") }
    k > 1 && tolower(f[1]) == tolower(ENVIRON["_a"]) && !done++ {
        n = split(ENVIRON["_n"], w, " ")
        for (i = 1; i <= n; i++) { had = 0; for (j = 2; j <= k; j++) if (tolower(f[j]) == tolower(w[i])) had = 1
            if (!had) l = l " " w[i] }
        print l c; next }
    { print }
    END { if (!done) { s = ENVIRON["_a"] " " ENVIRON["_n"]; sub(/ $/, "", s); print s } }' "$_d/old"
"#,
    unmake: r#"
awk '{ l = $0; sub(/#.*/, ""); me = NF > 1 && tolower($1) == tolower(ENVIRON["_a"]) }
    old { if (me && !first++) for (i = 2; i <= NF; i++) had[tolower($i)] = 1; next }
    !me { print l; next }
    { n = split(tolower(ENVIRON["_n"]), w, " "); s = $1; cut = 0
        for (i = 2; i <= NF; i++) { ours = 0; for (j = 1; j <= n; j++) if (tolower($i) == w[j] && !($i in had)) ours = 1
            if (ours) cut = 1; else s = s " " $i }
        c = match(l, /#/) ? " " substr(l, RSTART) : ""
        if (!cut) print l; else if (s != $1) print s c }' old=1 "$_d/old" old=0 "$_d/now"
"#,
};

pub(super) fn hosts(p: &HostsEntry, fill: &dyn Fill) -> Result<Recipe, String> {
    let mut args = Args::new(fill);
    args.take("address", &p.address, Shape::Address)?;
    args.list("names", &p.names, Shape::HostName)?;
    Ok(HOSTS.recipe(&args))
}

const NAMESERVER: Edit = Edit {
    file: "/etc/resolv.conf",
    head: r#"
_a=@address@
export _a
"#,
    look: r#"
awk '$1 == "nameserver" { n++; if ($2 == ENVIRON["_a"]) { f = n; exit } }
    END { if (!f) { print "not among the name servers"; exit 1 }
        if (f > 3) { print "only name server " f ", and three are used"; exit 1 }
        print "name server " f }' "$_f" >&2
"#,
    refuse: r#"
case $_f in /run/*) printf 'note: %s is kept by another program, which may write it anew\n' "$_f" >&2 ;; esac
"#,
    make: r#"
awk '$1 == "nameserver" && !done++ { print "nameserver " ENVIRON["_a"] } { print }
    END { if (!done) print "nameserver " ENVIRON["_a"] }' "$_d/old"
"#,
    unmake: r#"
awk '$1 == "nameserver" && $2 == ENVIRON["_a"] && !done++ { next } { print }' "$_d/now"
"#,
};

pub(super) fn nameserver(p: &Nameserver, fill: &dyn Fill) -> Result<Recipe, String> {
    let mut args = Args::new(fill);
    args.take("address", &p.address, Shape::Address)?;
    Ok(NAMESERVER.recipe(&args))
}
