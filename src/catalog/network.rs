//! Addresses that move: are they here, are they free, take one, give one up.
//!
//! Why it exists: the address is what clients see as *the active node*. Two holders are a split brain, a wrong prefix is
//! a route nobody wanted, and deleting a primary address can silently take its neighbours along.
//!
//! Invariants: an address is judged by itself, never by its label or by part of its text (10.5.106.7 is not 10.5.106.70);
//! prefix and interface of what is deleted come from the node; other addresses of the interface stay; an IPv6 address
//! counts once its duplicate detection is through. Looks send at most three ARP or ND questions.

use super::text::{Args, Shape};
use super::{Fill, Recipe, Text, Undo};
use crate::shell::{Value, Word};
use schemars::JsonSchema;
use serde::Deserialize;

/// An address of a node, on any interface or on one.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Present {
    /// The address, without prefix.
    pub address: Text,
    /// The interface that must hold it; left out: any.
    pub dev: Option<Text>,
}

/// An address that nobody may hold but this node.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Free {
    /// The address, without prefix.
    pub address: Text,
    /// The interface through which the question is asked.
    pub dev: Text,
}

/// An address to add.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Add {
    /// The address, without prefix.
    pub address: Text,
    /// The real prefix length of its network (8, 24, 64); 32 or 128 for a lone address.
    pub prefix: Text,
    /// The interface.
    pub dev: Text,
    /// A label such as `eth0:0` (IPv4 only): at most 15 characters, beginning with the interface's name.
    pub label: Option<Text>,
    /// Tell the neighbours at once that the address moved (gratuitous ARP, unsolicited neighbour advertisement).
    pub announce: Option<Text>,
}

/// An address to remove; prefix and interface are taken from the node.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Del {
    /// The address, without prefix.
    pub address: Text,
}

#[derive(Clone, Copy, PartialEq)]
enum Family {
    V4,
    V6,
    /// Only the run will tell.
    Late,
}
fn family(address: Option<&str>) -> Family {
    match address {
        None => Family::Late,
        Some(a) if a.contains(':') => Family::V6,
        Some(_) => Family::V4,
    }
}
impl Family {
    /// The template for the family, or both behind a `case`.
    fn pick(self, v4: &str, v6: &str) -> String {
        let indent = |t: &str| t.trim().lines().map(|l| format!("    {l}\n")).collect::<String>();
        match self {
            Family::V4 => v4.trim().into(),
            Family::V6 => v6.trim().into(),
            Family::Late => format!("case @address@ in\n*:*)\n{}    ;;\n*)\n{}    ;;\nesac", indent(v6), indent(v4)),
        }
    }
    /// One template in which `FAM` and `BITS` stand for the family's own.
    fn fit(self, template: &str) -> String {
        let with = |fam: &str, bits: &str| template.replace("FAM", fam).replace("BITS", bits);
        self.pick(&with("4", "32"), &with("6", "128"))
    }
}

const PRESENT: &str = r#"
_a=$(ip -o -FAM addr showDEV to @address@/BITS) || exit 126
case $_a in
'') printf '%s is not on %s\n' @address@ WHERE; exit 1 ;;
*dadfailed*) printf '%s is here but unusable: another node holds it (dadfailed)\n' @address@; exit 1 ;;
*tentative*) printf '%s is being checked for duplicates\n' @address@; exit 4 ;;
esac
printf '%s\n' "$_a" | awk '{ print $4 " is on " $2 }'
"#;

fn present_text(family: Family, dev: bool) -> String {
    let (dev, place) = if dev { (" dev @dev@", "@dev@") } else { ("", "'any interface of this node'") };
    let template = PRESENT.replace("DEV", dev).replace("WHERE", place);
    // The duplicate check is IPv6's; IPv4 text need not speak of it.
    let v4: String = template
        .lines()
        .filter(|l| !l.starts_with("*dad") && !l.starts_with("*tent"))
        .map(|l| format!("{l}\n"))
        .collect();
    family.pick(&Family::V4.fit(&v4), &Family::V6.fit(&template))
}

pub(super) fn present(p: &Present, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    let address = args.take("address", &p.address, Shape::Address)?;
    let dev = args.maybe("dev", &p.dev, Shape::Device)?;
    Ok(args.look(&present_text(family(address.as_deref()), dev)))
}

const FREE_HEAD: &str = r#"
_a=$(ip -o -FAM addr show to @address@/BITS) || exit 126
if [ -n "$_a" ]; then printf 'this node itself holds %s\n' @address@; exit 0; fi
_l=$(ip -o link show dev @dev@) || exit 126
case $_l in *NO-CARRIER*|*'state DOWN'*) printf '%s has no link: silence proves nothing\n' @dev@ >&2; exit 126 ;; esac
"#;

const FREE_4: &str = r#"
command -v arping >/dev/null || { echo 'arping is missing: nobody can be asked' >&2; exit 126; }
_v=$(arping -V 2>&1) || :
case $_v in
*Habets*) _o=$(arping -0 -c 3 -i @dev@ @address@ 2>&1) || :
    case $_o in
    *' bytes from '*) _r=taken ;;
    *' 0 packets received'*) _r=free ;;
    *) _r='?' ;;
    esac ;;
*) _r=0; _o=$(arping -D -c 3 -I @dev@ @address@ 2>&1) || _r=$?
    case $_r-$_o in
    *'not ARPable'*) _r='?' ;;
    0-*) _r=free ;;
    1-|1-*eply*) _r=taken ;;
    *) _r='?' ;;
    esac ;;
esac
case $_r in
free) printf 'nobody answers on %s\n' @address@ ;;
taken) printf 'another node answers on %s\n' @address@; printf '%s\n' "$_o" | grep -i -e reply -e 'bytes from' | head -n 1; exit 1 ;;
*) printf '%s\n' "$_o" >&2; exit 126 ;;
esac
"#;

/// The kernel's own neighbour discovery is the probe: an unanswered solicitation leaves FAILED behind.
const FREE_6: &str = r#"
_o=$(ping -6 -n -c 3 -w 4 -I @dev@ @address@ 2>&1) || :
_n=$(ip -6 neigh show to @address@ dev @dev@) || exit 126
case $_o$_n in
*' bytes from '*|*lladdr*) printf 'another node answers on %s\n' @address@; exit 1 ;;
*FAILED*|*INCOMPLETE*) printf 'nobody answers on %s\n' @address@ ;;
*) printf 'cannot ask for %s: %s\n' @address@ "$_o" >&2; exit 126 ;;
esac
"#;

pub(super) fn free(p: &Free, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    let address = args.take("address", &p.address, Shape::Address)?;
    args.take("dev", &p.dev, Shape::Device)?;
    let v4 = Family::V4.fit(FREE_HEAD) + FREE_4;
    let v6 = Family::V6.fit(FREE_HEAD) + FREE_6;
    Ok(args.look(&family(address.as_deref()).pick(&v4, &v6)))
}

const ADD_4: &str = r#"
_a=$(ip -o -4 addr show to @address@/32)
if [ -n "$_a" ]; then printf 'on another interface of this node: %s\n' "$_a" >&2; exit 125; fi
ip addr add @address@/@prefix@BRD dev @dev@LABEL
"#;
const ADD_6: &str = r#"
_a=$(ip -o -6 addr show to @address@/128)
if [ -n "$_a" ]; then printf 'on this node already: %s\n' "$_a" >&2; exit 125; fi
ip -6 addr add @address@/@prefix@ dev @dev@
"#;
/// Waits for duplicate address detection.
const SETTLE_6: &str = r#"
_n=0
while _a=$(ip -o -6 addr show dev DEV to @address@/128); do
    case $_a in
    *dadfailed*) ip -6 addr del CIDR dev DEV
        printf 'another node holds %s: removed again\n' @address@ >&2; exit 125 ;;
    *tentative*) _n=$((_n + 1)); [ "$_n" -lt 15 ] || exit 1; sleep 1 ;;
    *) break ;;
    esac
done
"#;
/// Not announced is said and is no failure. One kind of arping fails when nobody answers, which nobody should.
const ANNOUNCE_4: &str = r#"
_o=$(arping -U -c 3 -I DEV @address@ 2>&1) || case $_o in *transmitted*) ;; *) echo "note: not announced: $_o" >&2 ;; esac
"#;
const ANNOUNCE_6: &str = r#"
_o=$(ndsend @address@ DEV 2>&1) || echo "note: not announced: $_o" >&2
"#;

pub(super) fn add(p: &Add, fill: &dyn Fill) -> Result<Recipe, String> {
    let mut args = Args::new(fill);
    let address = args.take("address", &p.address, Shape::Address)?;
    let prefix = args.take("prefix", &p.prefix, Shape::Prefix)?;
    let dev = args.take("dev", &p.dev, Shape::Device)?;
    let has_label = args.maybe("label", &p.label, Shape::Label)?;
    let announce = args.flag("announce", &p.announce)?;
    let family = family(address.as_deref());

    let bits: Option<u32> = prefix.as_deref().and_then(|n| n.parse().ok());
    let most = if family == Family::V4 { 32 } else { 128 };
    if bits.is_some_and(|n| n == 0 || n > most) {
        return Err(format!("`prefix` is out of range: {} (1 to {most})", bits.unwrap_or_default()));
    }
    if has_label {
        if family == Family::V6 {
            return Err("`label` is for IPv4 only".into());
        }
        let label = args.word("label").known().map(|v| v.lossy());
        if let (Some(label), Some(dev)) = (&label, &dev)
            && !label.starts_with(dev.as_str())
        {
            return Err(format!("`label` must begin with the interface's name `{dev}`: {label}"));
        }
    }

    // The last bits hold no broadcast address.
    let brd = if bits.is_some_and(|n| n >= 31) { "" } else { " brd +" };
    let mut v4 = ADD_4.replace("BRD", brd).replace("LABEL", if has_label { " label @label@" } else { "" });
    let mut v6 = ADD_6.to_owned() + SETTLE_6.trim_start();
    if announce {
        v4 += ANNOUNCE_4.trim_start();
        v6 += ANNOUNCE_6.trim_start();
    }
    let fit = |t: &str| t.replace("CIDR", "@address@/@prefix@").replace("DEV", "@dev@");
    Ok(Recipe {
        done: Some(args.look(&present_text(family, true))),
        run: args.change(&family.pick(&fit(&v4), &fit(&v6))),
        verify: None,
        undo: Undo::Run(args.change(&family.pick(&del_4(" dev @dev@"), &del_6(" dev @dev@")))),
        paths: Vec::new(),
        addresses: vec![args.word("address").clone()],
    })
}

/// Prints for each place what `ip addr add` would need to put it back.
const GONE: &str = r#"
_a=$(ip -o -FAM addr show to @address@/BITS) || exit 126
if [ -z "$_a" ]; then printf '%s is on no interface of this node\n' @address@; exit 0; fi
printf '%s\n' "$_a" | awk '{
    s = $2 " " $4
    for (i = 5; i < NF; i++) {
        if ($i == "peer" || $i == "metric" || $3 == "inet" && ($i == "brd" || $i == "scope")) s = s " " $i " " $(i + 1)
        if ($i == "noprefixroute") s = s " " $i
        if ($3 == "inet" && sub(/\\$/, "", $i)) s = s " label " $i
    }
    print s
}'
exit 1
"#;

/// With `promote_secondaries` off the kernel drops a primary address's secondaries with it; it is on while deleting.
const DEL_4: &str = r#"
_a=$(ip -o -4 addr showDEV to @address@/32)
printf '%s\n' "$_a" | while read -r _i _dev _f _cidr _rest; do
    [ -n "$_cidr" ] || continue
    _old=1 _p=/proc/sys/net/ipv4/conf/$_dev/promote_secondaries
    case " $_rest " in *' secondary '*) ;; *)
        case $(ip -o -4 addr show dev "$_dev") in *' secondary '*)
            # or the kernel drops the addresses that came after it
            _old=$(cat "$_p")
            [ "$_old" = 1 ] || echo 1 >"$_p" || { echo 'it would take other addresses along' >&2; exit 125; } ;;
        esac ;;
    esac
    _r=0
    ip addr del "$_cidr" dev "$_dev" || _r=$?
    [ "$_old" = 1 ] || echo "$_old" >"$_p"
    [ "$_r" = 0 ] || exit "$_r"
done
"#;
const DEL_6: &str = r#"
_a=$(ip -o -6 addr showDEV to @address@/128)
printf '%s\n' "$_a" | while read -r _i _dev _f _cidr _rest; do
    [ -z "$_cidr" ] || ip -6 addr del "$_cidr" dev "$_dev"
done
"#;
fn del_4(dev: &str) -> String {
    DEL_4.replace("DEV", dev)
}
fn del_6(dev: &str) -> String {
    DEL_6.replace("DEV", dev)
}

const BACK_4: &str = r#"
set -f # $_how is words
printf '%s\n' "$before" | while read -r _dev _how; do
    [ -n "$_how" ] || continue
    _a=$(ip -o -4 addr show dev "$_dev" to @address@/32)
    [ -n "$_a" ] || ip addr add $_how dev "$_dev"
    ANNOUNCE
done
"#;
const BACK_6: &str = r#"
set -f # $_how is words
printf '%s\n' "$before" | while read -r _dev _how; do
    [ -n "$_how" ] || continue
    _a=$(ip -o -6 addr show dev "$_dev" to @address@/128)
    [ -n "$_a" ] || ip -6 addr add $_how dev "$_dev"
SETTLE    ANNOUNCE
done
"#;

pub(super) fn del(p: &Del, fill: &dyn Fill) -> Result<Recipe, String> {
    let mut args = Args::new(fill);
    let address = args.take("address", &p.address, Shape::Address)?;
    let family = family(address.as_deref());
    let back = |text: &str, announce: &str| text.replace("ANNOUNCE", announce.trim()).replace("DEV", "\"$_dev\"");
    let settle: String = SETTLE_6.trim().lines().map(|l| format!("    {l}\n")).collect();
    let back_6 = BACK_6.replace("SETTLE", &settle.replace("CIDR", "\"${_how%% *}\""));
    let (back_4, back_6) = (back(BACK_4, ANNOUNCE_4), back(&back_6, ANNOUNCE_6));
    Ok(Recipe {
        done: Some(args.look(&family.fit(GONE))),
        run: args.change(&family.pick(&del_4(""), &del_6(""))),
        verify: None,
        undo: Undo::Run(args.change(&family.pick(&back_4, &back_6))),
        paths: Vec::new(),
        addresses: vec![args.word("address").clone()],
    })
}

/// A look from one node at another's own address: an answer to ARP/ND (ping asks for that first) is a sign of life.
/// Silence proves nothing, so only *yes* (0) means anything.
pub fn sign_of_life(address: &Word) -> Value {
    let address = String::from_utf8_lossy(&address.quoted()).into_owned();
    Value::from(format!("ping -c 1 -W 1 {address} >/dev/null 2>&1 && echo {address} answers ping"))
}
