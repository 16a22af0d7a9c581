//! How a node's session is opened: the way to it, becoming root, its greeting.
//!
//! Why it exists: sessions are opened ahead of time, by threads that know nothing else of a node. Invariant: nothing is
//! created on the node, and a password is asked for by nobody here: what is missing is noted with the ways.

use super::root::Become;
use super::wire::{Link, Lost, random};
use crate::plan::Node;
use crate::reach::{Greeting, Unreachable};
use crate::register::Register;
use crate::transport::{Trouble, Ways};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Where a node keeps its claims, unless its site file says otherwise.
pub const STATE: &str = "/var/lib/hawiz";
/// Connecting, and answers that need no waiting on the node.
pub const PROMPTLY: Duration = Duration::from_secs(30);

/// How a node's sessions are opened; all that a thread needs to open one.
#[derive(Clone)]
pub struct Door {
    pub node: Node,
    pub ways: Arc<Ways>,
    /// Whether claims are kept on a tmpfs.
    pub tmpfs: bool,
}

/// What came of opening a session.
pub type Opened = Result<(Link, Greeting), Trouble>;

impl Door {
    /// A fresh session and what the node says of itself.
    pub fn connect(&self) -> Opened {
        let node = &self.node;
        let state = node.state.clone().unwrap_or_else(|| STATE.into());
        let quoted = String::from_utf8(crate::shell::quote(state.as_bytes())).expect("it was a string");
        let hello = format!("{quoted} {}", u8::from(self.tmpfs));
        let root = Become::of(node.become_root.as_deref());
        let password = self.ways.password(node);
        if let Some(how) = root.filter(|how| how.always_asks() && password.is_none()) {
            self.ways.want_password(node, false);
            return Err(Trouble::new(format!("{} wants the password of root", how.word())).hint(super::root::WITHOUT));
        }
        let root = root.map(|how| (how, password.as_deref()));
        let mut link = self.link(&hello, root)?;
        let answer = link.answer(PROMPTLY).map_err(|lost| self.not_root(root, &link, lost))?;
        let mut greeting = Greeting { state, ..Greeting::default() };
        let mut registers: BTreeMap<String, String> = BTreeMap::new();
        for line in String::from_utf8_lossy(&answer).lines() {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let given = (!value.is_empty()).then(|| value.to_string());
            match key {
                "group" => link.group = value.parse().ok(),
                "boot" => greeting.boot = value.to_string(),
                "uid" => greeting.uid = value.parse().map_err(|_| Lost("its `id -u` is not a number".into()))?,
                "id" => greeting.identity = given,
                "unrecorded" => greeting.unrecorded = given,
                "system" => {
                    let (name, line) = value.split_once(' ').unwrap_or((value, ""));
                    *registers.entry(name.into()).or_default() += &format!("{line}\n");
                }
                "address" => greeting.addresses.extend(given),
                "address6" => {
                    if let Ok(bits) = u128::from_str_radix(value, 16) {
                        greeting.addresses.push(std::net::Ipv6Addr::from(bits).to_string());
                    }
                }
                _ => {}
            }
        }
        greeting.registers = registers.iter().filter_map(|(name, text)| Register::read(name, text)).collect();
        Ok((link, greeting))
    }
    /// A server that lets in a few logins at a time is asked again, not all at once.
    fn link(&self, hello: &str, root: Option<(Become, Option<&str>)>) -> Result<Link, Trouble> {
        let mut pause = Duration::from_millis(100);
        for _ in 0..5 {
            match Link::open(&self.node, &self.ways, hello, root) {
                Err(t) if t.busy => {
                    let part = u32::from_str_radix(&random(1), 16).unwrap_or_default();
                    std::thread::sleep(pause + pause * part / 256);
                    pause *= 2;
                }
                opened => return opened,
            }
        }
        Link::open(&self.node, &self.ways, hello, root)
    }
    /// A session that did not begin, in better words where becoming root was what failed.
    fn not_root(&self, root: Option<(Become, Option<&str>)>, link: &Link, lost: Lost) -> Trouble {
        let Some((how, given)) = root else { return lost.into() };
        let said = format!("{}{}", link.complaint(), lost.0);
        if !how.speaks_in(&said) {
            return lost.into();
        }
        if how.wants_password(&said) || how.was_wrong(&said) {
            self.ways.want_password(&self.node, given.is_some());
        }
        let line = said.lines().find(|l| how.speaks_in(l)).unwrap_or(&lost.0).trim();
        how.refused(line, &self.ways.user(&self.node))
    }
    pub fn lost(&self) -> impl Fn(Lost) -> Unreachable + use<> {
        let node = self.node.name.clone();
        move |Lost(why)| Unreachable { node: node.clone(), why, hint: None }
    }
    pub fn shut(&self, t: Trouble) -> Unreachable {
        Unreachable { node: self.node.name.clone(), why: t.to_string(), hint: t.hint }
    }
}
