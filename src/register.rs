//! The register of an exclusive system: which node it was made active on, by which run, and what is still owed.
//!
//! Why it exists: after a failover at night somebody else comes in the morning, from another station, and must be told that the
//! old node was never deactivated. So every node of the system that can be reached keeps this text in its own state directory.
//!
//! Invariants: of several registers the one with the highest epoch is the last word; a debt stays until it is paid or a person
//! says why it is none. It tells and warns; it proves nothing: whether a node is active is looked at ([`crate::engine`]'s proof).

use serde::{Deserialize, Serialize};

/// What a node, or somebody at it, still has to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is", content = "step")]
pub enum Owes {
    /// It lost the system without being deactivated: services may still be enabled there, data mounted.
    Deactivation,
    /// A step that was skipped by choice, failed and was let be, or whose outcome nobody knows; its instance.
    Step(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debt {
    pub node: String,
    #[serde(flatten)]
    pub owes: Owes,
    /// The run that left it.
    pub run: String,
    pub why: String,
}

impl Debt {
    /// One line, for people.
    pub fn words(&self) -> String {
        match &self.owes {
            Owes::Deactivation => format!("{} was not deactivated: {} (run {})", self.node, self.why, self.run),
            Owes::Step(step) => format!("{step} on {}: {} (run {})", self.node, self.why, self.run),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// Which system: the playbook's name.
    pub system: String,
    /// Counts what was written; 0: nothing yet.
    pub epoch: u64,
    /// The node that the system was made active on; `None`: on none.
    pub active: Option<String>,
    /// When that was written: UTC, RFC 3339.
    pub since: String,
    /// The run that wrote it, and who that was.
    pub run: String,
    pub by: String,
    pub debts: Vec<Debt>,
}

impl Register {
    pub fn new(system: &str) -> Register {
        Register { system: system.into(), ..Register::default() }
    }

    /// The last word of several; debts that another one with the same epoch knows are kept.
    pub fn newest<'a>(all: impl IntoIterator<Item = &'a Register>) -> Option<Register> {
        let mut newest: Option<Register> = None;
        for one in all {
            match &mut newest {
                Some(so_far) if so_far.epoch > one.epoch => {}
                Some(so_far) if so_far.epoch == one.epoch => {
                    for debt in &one.debts {
                        so_far.owe(debt.clone());
                    }
                }
                _ => newest = Some(one.clone()),
            }
        }
        newest
    }

    /// A node becomes the active one; whatever it owed for having lost the system is void.
    pub fn activated(&mut self, node: &str) {
        self.active = Some(node.into());
        self.paid(node);
    }

    /// A node was deactivated, and looked at.
    pub fn deactivated(&mut self, node: &str) {
        if self.active.as_deref() == Some(node) {
            self.active = None;
        }
        self.paid(node);
    }

    fn paid(&mut self, node: &str) {
        self.debts.retain(|d| d.node != node || d.owes != Owes::Deactivation);
    }

    pub fn owe(&mut self, debt: Debt) {
        if !self.debts.iter().any(|d| d.node == debt.node && d.owes == debt.owes) {
            self.debts.push(debt);
        }
    }

    /// They say the same of the system, whoever wrote it and when.
    pub fn says_as(&self, other: &Register) -> bool {
        (&self.active, &self.debts) == (&other.active, &other.debts)
    }

    /// As it stands in a node's file: a key and its words a line, in the words of a debt a tab between parts. The first line is
    /// the epoch, which the node compares.
    pub fn text(&self) -> String {
        let flat = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
        let mut out = format!("epoch {}\n", self.epoch);
        let said = [
            ("active", self.active.as_deref().unwrap_or_default()),
            ("since", &self.since),
            ("run", &self.run),
            ("by", &self.by),
        ];
        for (key, words) in said {
            out += &format!("{key} {}\n", flat(words));
        }
        for Debt { node, owes, run, why } in &self.debts {
            let owes = match owes {
                Owes::Deactivation => String::new(),
                Owes::Step(step) => flat(step),
            };
            out += &format!("debt {node}\t{owes}\t{run}\t{}\n", flat(why));
        }
        out
    }

    /// Reads it back. `None`: it is not whole. Lines that a newer hawiz wrote are passed over.
    pub fn read(system: &str, text: &str) -> Option<Register> {
        let mut register = Register::new(system);
        let mut lines = text.lines();
        register.epoch = lines.next()?.strip_prefix("epoch ")?.trim().parse().ok()?;
        for line in lines {
            let (key, words) = line.split_once(' ').unwrap_or((line, ""));
            match key {
                "active" => register.active = (!words.is_empty()).then(|| words.to_string()),
                "since" => register.since = words.into(),
                "run" => register.run = words.into(),
                "by" => register.by = words.into(),
                "debt" => {
                    let mut parts = words.splitn(4, '\t').map(str::to_string);
                    let (node, owes, run, why) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
                    let owes = if owes.is_empty() { Owes::Deactivation } else { Owes::Step(owes) };
                    register.debts.push(Debt { node, owes, run, why });
                }
                _ => {}
            }
        }
        Some(register)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register() -> Register {
        let debt = |node: &str, owes| Debt { node: node.into(), owes, run: "r1".into(), why: "it was fenced".into() };
        Register {
            system: "xcat".into(),
            epoch: 7,
            active: Some("mn2".into()),
            since: "2026-11-22T03:04:05Z".into(),
            run: "r1".into(),
            by: "root@station".into(),
            debts: vec![
                debt("mn1", Owes::Deactivation),
                debt("mn2", Owes::Step("activate/start/dhcpd@mn2[net=a b]".into())),
            ],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Register::read("xcat", &register().text()), Some(register()));
    }

    #[test]
    fn words_cannot_forge_a_line() {
        let mut forged = register();
        forged.by = "root\ndebt x\t\tr9\twhy".into();
        forged.debts[0].why = "a\tb\nepoch 9".into();
        let read = Register::read("xcat", &forged.text()).expect("it is whole");
        assert_eq!((read.epoch, read.debts.len()), (7, 2));
        assert_eq!(read.debts[0].why, "a b epoch 9");
    }

    #[test]
    fn half_of_it_is_none() {
        for text in ["", "active mn1\n", "epoch x\n", "epoch 3\ndebt mn1\t\tr1\n"] {
            assert_eq!(Register::read("xcat", text), None, "{text:?}");
        }
    }

    #[test]
    fn the_highest_epoch_is_the_last_word_and_no_debt_of_an_equal_is_lost() {
        let old = Register { epoch: 6, active: Some("mn1".into()), ..Register::new("xcat") };
        let same = Register { debts: vec![], ..register() };
        for order in [[&old, &register(), &same], [&same, &old, &register()]] {
            assert_eq!(Register::newest(order), Some(register()));
        }
        assert_eq!(Register::newest([]), None);
    }

    #[test]
    fn a_deactivation_pays_and_an_activation_makes_the_debt_void() {
        let mut r = register();
        r.deactivated("mn1");
        assert_eq!((r.active.as_deref(), r.debts.len()), (Some("mn2"), 1));
        let mut r = register();
        r.activated("mn1");
        assert_eq!((r.active.as_deref(), r.debts.len()), (Some("mn1"), 1));
        r.deactivated("mn1");
        assert_eq!(r.active, None);
    }
}
