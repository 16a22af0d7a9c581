//! The boot guard on booted hosts: after a power cut only the owner starts what only the owner may run.
//!
//! Why it exists: whether a drop-in holds is systemd's to say, not ours: at boot, by hand, for an instance of a template
//! that a generator pulls in (`postgresql@15-main`). Everything is enabled on both hosts here, as somebody will have
//! left it one day; without the guard both would run the database on the shared data.

use crate::rig::{Lab, VIP};

const UNITS: &str = "postgresql postgresql@15-main xcatd named dhcpd conserver";

/// A host with everything enabled.
fn enable(lab: &Lab, node: &str) {
    lab.on(node, "systemctl enable -q postgresql xcatd named dhcpd conserver 2>&1");
}
/// None of it runs, and no process of the database.
#[track_caller]
fn stays_down(lab: &Lab, node: &str) {
    let states = lab.on(node, &format!("systemctl is-active {UNITS} || :"));
    assert_eq!(states, ["inactive"; 6].join("\n"), "{node}");
    assert_eq!(lab.on(node, "pgrep -x postgres || echo none"), "none");
}
/// The guard's own words, of its last start.
fn guard(lab: &Lab, node: &str) -> String {
    lab.on(node, "systemctl status --no-pager --full hawiz-guard-xcat || :")
}

#[test]
fn after_a_power_cut_the_boot_guard_keeps_down_what_another_node_owns() {
    let Some(lab) = Lab::new("after_a_power_cut_the_boot_guard_keeps_down_what_another_node_owns") else { return };
    for node in ["xcatmn1", "xcatmn2"] {
        lab.say(&["run", "boot-guard", "--on", node, "--yes"]).ends(0);
        lab.say(&["run", "boot-guard", "--on", node, "--yes"]).ends(0).says("[Already]");
        // A start by hand, before anybody owns it.
        lab.on(node, "! systemctl start xcatd postgresql 2>/dev/null");
        stays_down(&lab, node);
    }
    lab.say(&["activate", "--on", "xcatmn1", "--yes", "--set", "console=conserver"]).ends(0);
    lab.is_active("xcatmn1");
    for node in ["xcatmn1", "xcatmn2"] {
        enable(&lab, node);
    }

    // The owner comes back by itself: its units do, the address is hawiz's.
    lab.power("xcatmn1", "off");
    lab.power("xcatmn1", "on");
    let running = lab.on("xcatmn1", "systemctl is-active postgresql postgresql@15-main named dhcpd conserver || :");
    assert_eq!(running, ["active"; 5].join("\n"), "{}", guard(&lab, "xcatmn1"));
    assert!(guard(&lab, "xcatmn1").contains("xcatmn1 owns xcat"), "{}", guard(&lab, "xcatmn1"));
    assert!(!lab.holds("xcatmn1"));
    lab.say(&["activate", "--on", "xcatmn1", "--yes", "--set", "console=conserver"]).ends(0);

    // It loses its power for good, somebody vouches for it, the other one takes over.
    enable(&lab, "xcatmn1");
    lab.power("xcatmn1", "off");
    let unplanned = [
        "failover",
        "--unplanned",
        "--from",
        "xcatmn1",
        "--to",
        "xcatmn2",
        "--attest",
        "xcatmn1",
        "--yes",
        "--set",
        "console=conserver",
    ];
    lab.say(&unplanned).ends(0);
    assert!(lab.holds("xcatmn2"), "{VIP}");
    let running = lab.on("xcatmn2", "systemctl is-active postgresql postgresql@15-main xcatd named dhcpd conserver");
    assert_eq!(running, ["active"; 6].join("\n"));

    lab.power("xcatmn1", "on");
    stays_down(&lab, "xcatmn1");
    let said = guard(&lab, "xcatmn1");
    assert!(said.contains("stays down: xcatmn2 owns xcat since "), "{said}");
    assert!(said.contains("To have it here: hawiz failover --to xcatmn1"), "{said}");
    let unit = lab.on("xcatmn1", "systemctl status --no-pager --full xcatd || :");
    assert!(unit.contains("50-hawiz-guard-xcat.conf"), "{unit}");
    assert!(unit.contains("Dependency failed for xcatd.service"), "{unit}");
    // Nor by hand, nor one of the template's instances alone.
    lab.on("xcatmn1", "! systemctl start xcatd 2>/dev/null; ! systemctl start postgresql@15-main 2>/dev/null");
    stays_down(&lab, "xcatmn1");

    // A planned failover moves the record with the rest.
    lab.on("xcatmn1", "systemctl disable -q postgresql xcatd named dhcpd conserver 2>&1");
    lab.say(&["failover", "--to", "xcatmn1", "--yes"]).ends(0);
    lab.is_active("xcatmn1");
    lab.is_inactive("xcatmn2");
    lab.say(&["deactivate", "--on", "xcatmn1", "--yes"]).ends(0);
    lab.on("xcatmn1", "test ! -e /HA/.hawiz/owner");
}

#[test]
fn the_boot_guard_takes_a_missing_share_for_a_no() {
    let Some(lab) = Lab::new("the_boot_guard_takes_a_missing_share_for_a_no") else { return };
    lab.say(&["run", "boot-guard", "--on", "xcatmn1", "--yes"]).ends(0);
    lab.say(&["activate", "--on", "xcatmn1", "--yes"]).ends(0);
    enable(&lab, "xcatmn1");
    // At the next boot something takes the share away before anything is started.
    let gone = "[Unit]\\nDefaultDependencies=no\\nBefore=basic.target\\n[Service]\\nType=oneshot\\nExecStart=umount /HA\\n\
                [Install]\\nWantedBy=basic.target\\n";
    lab.on("xcatmn1", &format!("printf '{gone}' >/etc/systemd/system/gone.service; systemctl enable -q gone"));
    lab.on("xcatmn1", "sed -i 's/patience=30/patience=2/' /etc/hawiz/guard/xcat; sync");
    lab.power("xcatmn1", "off");
    lab.power("xcatmn1", "on");
    stays_down(&lab, "xcatmn1");
    let said = guard(&lab, "xcatmn1");
    assert!(said.contains("stays down, no answer within 2 s: nothing is mounted on /HA."), "{said}");
}
