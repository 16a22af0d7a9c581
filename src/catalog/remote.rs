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

/// bash is asked first because its words are the same everywhere; `nc` has many dialects.
const PORT: &str = r#"
_r=0
if command -v bash >/dev/null && command -v timeout >/dev/null; then
    _e=$(timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' @host@ @port@ 2>&1) || _r=$?
elif command -v nc >/dev/null; then
    _e=$(nc -v -z -w 5 @host@ @port@ 2>&1 </dev/null) || _r=$?
else
    echo 'neither bash nor nc is there to try the port' >&2; exit 126
fi
case $_r-$_e in
0-*) printf 'port %s of %s is open\n' @port@ @host@ ;;
124-*|143-*|*imed\ out*|*refused*|*nreachable*|*'o route to host'*)
    printf 'port %s of %s: %s\n' @port@ @host@ "${_e:-no answer in 5 s}" | head -n 1; exit 1 ;;
*) printf '%s\n' "$_e" >&2; exit 126 ;;
esac
"#;

pub(super) fn port(p: &Port, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    args.take("host", &p.host, Shape::Host)?;
    args.take("port", &p.port, Shape::Port)?;
    Ok(args.look(PORT))
}

const HTTP: &str = r#"
_r=0
if command -v curl >/dev/null; then
    _c=$(curl -sS -o /dev/null -m 10 -w '%{http_code}' @url@ 2>&1) || _r=$?
    case $_r in 7|28|52|56) printf 'no answer from %s\n' @url@; exit 1 ;; esac
elif command -v wget >/dev/null; then
    _c=$(wget -S -O /dev/null -T 10 @url@ 2>&1) || :
    case $_c in
    *HTTP/*) _c=$(printf '%s\n' "$_c" | awk '$1 ~ /^HTTP\// { print $2; exit }') ;;
    *refused*|*imed\ out*|*nreachable*) printf 'no answer from %s\n' @url@; exit 1 ;;
    esac
else
    echo 'neither curl nor wget is there' >&2; exit 126
fi
case $_r-$_c in
0-@status@) printf '%s answers %s\n' @url@ "$_c" ;;
0-[1-5][0-9][0-9]) printf '%s answers %s, wanted %s\n' @url@ "$_c" @status@; exit 1 ;;
*) printf '%s\n' "$_c" >&2; exit 126 ;;
esac
"#;

pub(super) fn http(p: &Http, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    args.take("url", &p.url, Shape::Url)?;
    if !args.maybe("status", &p.status, Shape::Status)? {
        args.set("status", "200");
    }
    Ok(args.look(HTTP))
}
