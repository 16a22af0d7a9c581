//! Addresses that move: are they here, are they free, take one, give one up.
//!
//! Why it exists: the address is what clients see as *the active node*. Two holders are a split brain, a wrong prefix is
//! a route nobody wanted, and deleting a primary address can silently take its neighbours along.
//!
//! Invariants: an address is judged by itself, never by its label or by part of its text (10.5.106.7 is not 10.5.106.70);
//! prefix and interface of what is deleted are the node's; other addresses of the interface stay; an IPv6 address
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

/// An address to remove.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Del {
    /// The address, without prefix.
    pub address: Text,
    /// The prefix length it is expected with, so that the plan can show the command. With `dev`.
    pub prefix: Option<Text>,
    /// The interface it is expected on. What the node has is what counts: elsewhere it is removed as well.
    pub dev: Option<Text>,
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
}

pub(super) fn present(p: &Present, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    args.take("address", &p.address, Shape::Address)?;
    let dev = args.maybe("dev", &p.dev, Shape::Device)?;
    Ok(args.look(if dev { "address_on @address@ @dev@" } else { "address_on @address@" }))
}

pub(super) fn free(p: &Free, fill: &dyn Fill) -> Result<Value, String> {
    let mut args = Args::new(fill);
    let address = args.take("address", &p.address, Shape::Address)?;
    args.take("dev", &p.dev, Shape::Device)?;
    Ok(args.look(&family(address.as_deref()).pick("arping_free @address@ @dev@", "neighbour_free @address@ @dev@")))
}

const ADD_4: &str = "
address_not_here @address@
ip addr add @address@/@prefix@BRD dev @dev@LABEL
";
const ADD_6: &str = "
address_not_here @address@
ip -6 addr add @address@/@prefix@ dev @dev@
address_settled @address@/@prefix@ @dev@
";
/// Not announced is said and is no failure.
const ANNOUNCE_4: &str = "arping -U -c 3 -I @dev@ @address@ || not_announced\n";
const ANNOUNCE_6: &str = "ndsend @address@ @dev@ || echo 'note: not announced' >&2\n";
const REMOVE_4: &str = "address_at @address@/@prefix@ @dev@ || exit 0\nip addr del @address@/@prefix@ dev @dev@";
const REMOVE_6: &str = "address_at @address@/@prefix@ @dev@ || exit 0\nip -6 addr del @address@/@prefix@ dev @dev@";

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
    let mut v6 = ADD_6.to_owned();
    if announce {
        v4 += ANNOUNCE_4;
        v6 += ANNOUNCE_6;
    }
    Ok(Recipe {
        done: Some(args.look("address_on @address@ @dev@")),
        run: args.change(&family.pick(&v4, &v6)),
        verify: None,
        undo: Undo::Run(args.change(&family.pick(REMOVE_4, REMOVE_6))),
        paths: Vec::new(),
        addresses: vec![args.word("address").clone()],
    })
}

/// Prefix and interface are a word of what is expected: the command that will run can then be shown.
const DEL_4: &str = "address_at @address@/@prefix@ @dev@ && ip addr del @address@/@prefix@ dev @dev@\n";
const DEL_6: &str = "address_at @address@/@prefix@ @dev@ && ip -6 addr del @address@/@prefix@ dev @dev@\n";
const ELSEWHERE_4: &str = "each_place_of @address@ ip addr del";
const ELSEWHERE_6: &str = "each_place_of @address@ ip -6 addr del";

pub(super) fn del(p: &Del, fill: &dyn Fill) -> Result<Recipe, String> {
    let mut args = Args::new(fill);
    let address = args.take("address", &p.address, Shape::Address)?;
    let prefix = args.maybe("prefix", &p.prefix, Shape::Prefix)?;
    let dev = args.maybe("dev", &p.dev, Shape::Device)?;
    if prefix != dev {
        return Err("`prefix` and `dev` go together; without them the node tells".into());
    }
    let both = |expected: &str, elsewhere: &str| if dev { expected.to_owned() + elsewhere } else { elsewhere.into() };
    let (v4, v6) = (both(DEL_4, ELSEWHERE_4), both(DEL_6, ELSEWHERE_6));
    Ok(Recipe {
        done: Some(args.look("address_gone @address@")),
        run: args.change(&family(address.as_deref()).pick(&v4, &v6)),
        verify: None,
        undo: Undo::Run(args.change("address_back @address@ \"$before\"")),
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
