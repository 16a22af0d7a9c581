//! PostgreSQL: does it answer, and on which addresses does it listen.
//!
//! Invariants: `starting up` is neither up nor down; of several `listen_addresses` the last one counts, a commented-out
//! one is the default `localhost`, and `'*'` covers every address.

use super::file::Edit;
use super::text::{Args, Shape};
use super::{Fill, Recipe, Text, Texts};
use crate::shell::Value;
use schemars::JsonSchema;
use serde::Deserialize;

/// A PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Host name, address, or the directory of its socket.
    pub host: Text,
}

/// Addresses a PostgreSQL server listens on.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Its postgresql.conf. Files it includes and postgresql.auto.conf are not looked at.
    pub conf: Text,
    /// The addresses that must be among `listen_addresses`; others stay. The server must be restarted to see it.
    pub addresses: Texts,
}

const READY: &str = r#"
_r=0; _o=$(pg_isready -h @host@ 2>&1) || _r=$?
case $_r in
0|1|2) printf '%s\n' "$_o" ;;
*) printf '%s\n' "$_o" >&2; exit 126 ;;
esac
case $_r in 1) exit 4 ;; 2) exit 1 ;; esac # 1: it is there and starting up, 2: no answer
"#;

pub(super) fn ready(p: &Server, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    args.take("host", &p.host, Shape::Plain)?;
    Ok(args.look(READY))
}

/// awk: `v` = the value as it counts, `at` = its line (0: none), `from` and `to` = the text around it.
const LISTEN: Edit = Edit {
    file: "@conf@",
    head: r#"
_n=$(printf '%s ' @addresses@)
_parse='{ a[NR] = $0 }
    tolower($0) ~ /^[ \t]*listen_addresses[ \t=]/ { at = NR; match($0, /^[ \t]*[A-Za-z_]+[ \t]*=?[ \t]*/)
        key = substr($0, 1, RLENGTH); r = substr($0, RLENGTH + 1)
        if (match(r, /^\047[^\047]*\047/)) v = substr(r, 2, RLENGTH - 2); else { match(r, /^[^ \t#]*/); v = substr(r, 1, RLENGTH) }
        tail = substr(r, RLENGTH + 1) }
    function has(list, x,   n, i, w) { n = split(tolower(list), w, /[ \t]*,[ \t]*/)
        for (i = 1; i <= n; i++) { gsub(/^[ \t]+|[ \t]+$/, "", w[i])
            if (w[i] == tolower(x) || w[i] == "*" || w[i] == "0.0.0.0" && x ~ /^[0-9.]+$/ || w[i] == "::" && x ~ /:/) return 1 }
        return 0 }
    function value() { return at ? v : "localhost" }'
export _n
"#,
    look: r#"
awk "$_parse"'
    END { n = split(ENVIRON["_n"], w, " ")
        for (i = 1; i <= n; i++) if (!has(value(), w[i])) { print "listens on " value() ", not on " w[i]; exit 1 }
        print "listens on " value() }' "$_f" >&2
"#,
    refuse: "",
    make: r#"
awk "$_parse"'
    END { n = split(ENVIRON["_n"], w, " "); s = value()
        for (i = 1; i <= n; i++) if (!has(s, w[i])) s = s (s == "" ? "" : ",") w[i]
        for (i = 1; i <= NR; i++) print i == at ? key "\047" s "\047" tail : a[i]
        if (!at) print "listen_addresses = \047" s "\047" }' "$_d/old"
"#,
    unmake: r#"
_had=$(awk "$_parse"' END { print value() }' "$_d/old") awk "$_parse"'
    END { n = split(v, w, /[ \t]*,[ \t]*/); m = split(tolower(ENVIRON["_n"]), o, " "); s = ""
        for (i = 1; i <= n; i++) { ours = 0
            for (j = 1; j <= m; j++) if (tolower(w[i]) == o[j] && !has(ENVIRON["_had"], w[i])) ours = 1
            if (!ours) s = s (s == "" ? "" : ",") w[i] }
        for (i = 1; i <= NR; i++) print i == at ? key "\047" s "\047" tail : a[i] }' "$_d/now"
"#,
};

pub(super) fn listen(p: &Listen, fill: &dyn Fill) -> Result<Recipe, String> {
    let mut args = Args::new(fill);
    args.take("conf", &p.conf, Shape::Path)?;
    args.list("addresses", &p.addresses, Shape::Host)?;
    Ok(LISTEN.recipe(&args))
}
