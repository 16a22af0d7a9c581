//! What can befall a host, each with its remedy.
//!
//! Why it exists: a fault is told apart from its neighbours by what still works: a host whose power is gone, one that works
//! on but is heard by nobody, one that is heard but does not let anybody in, one that cannot remember. Each must lead to
//! another answer, so each is made for real. Invariant: `mend` may be called on a host that was not struck.

use crate::rig::Lab;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Everything in it ends at once.
    PowerCut,
    /// It works on, with its address, and nobody hears it.
    CablePulled,
    /// Connections are taken and never answered.
    SshdHung,
    /// Its own disk is full: no claim, no result can be written. (Wants a lab booted with disks of their own.)
    DiskFull,
}

impl Fault {
    pub fn strike(self, lab: &Lab, node: &str) {
        match self {
            Fault::PowerCut => lab.power(node, "off"),
            Fault::CablePulled => lab.cable(node, "down"),
            Fault::SshdHung => {
                // The pids are noted where they mean something: on the host.
                lab.inside(
                    node,
                    "main=$(systemctl show -p MainPID --value ssh); [ \"$main\" != 0 ] || exit 0; mkdir -p /run/lab
                     echo $main $(pgrep -P $main) >/run/lab/hung; kill -STOP $(cat /run/lab/hung)",
                );
            }
            Fault::DiskFull => fill(lab, node),
        }
    }
    pub fn mend(self, lab: &Lab, node: &str) {
        match self {
            Fault::PowerCut if lab.inside(node, "true").status.success() => {}
            Fault::PowerCut => lab.power(node, "on"),
            Fault::CablePulled => lab.cable(node, "up"),
            Fault::SshdHung => {
                lab.inside(node, "[ ! -e /run/lab/hung ] || kill -CONT $(cat /run/lab/hung); rm -f /run/lab/hung");
            }
            Fault::DiskFull => {
                let _ = fs::remove_file(lab.run.join(node).join("disk/fill"));
            }
        }
    }
}

fn fill(lab: &Lab, node: &str) {
    let disk = lab.run.join(node).join("disk");
    let device = |p: &std::path::Path| fs::metadata(p).expect("the run's folder is ours").dev();
    assert_ne!(device(&disk), device(&lab.run), "{node} has no disk of its own that might be filled");
    let mut file = fs::File::create(disk.join("fill")).expect("there is room for a name");
    let mut size = 1 << 20;
    while size > 0 {
        if file.write_all(&vec![0; size]).is_err() {
            size /= 4;
        }
    }
    let _ = file.sync_all();
}
