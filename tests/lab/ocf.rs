//! The resource agents that people really run: IPaddr2, Filesystem and pgsql, from Debian's `resource-agents`.
//!
//! Why it exists: a text that satisfies a stand-in says nothing about agents that were written for Pacemaker and run here
//! without it.

use crate::rig::{Lab, said, script, text, whole, whole_of};
use std::process::Command;

#[test]
fn resource_agents_take_a_service_from_one_host_to_the_other() {
    let Some(lab) = Lab::new("resource_agents_take_a_service_from_one_host_to_the_other") else { return };
    let own = lab.run.join("ocf-site.toml");
    let hawiz = |args: &[&str]| lab.hawiz_at("wire", &own, &script("ocf.toml"), &lab.run.join("state"), args);
    let say = |args: &[&str]| said(hawiz(args));
    let site = std::fs::read_to_string(lab.run.join("hawiz.toml")).expect("the run has a site file");
    let site = site.replace("db_dir  = \"/var/lib/postgresql\"\n", "");
    std::fs::write(&own, site).expect("the run is ours");
    let runs = |node: &str| (lab.holds(node), lab.on(node, "pgrep -x postgres >/dev/null && echo runs || echo none"));
    let none = || (false, "none".to_string());
    let all = || (true, "runs".to_string());

    // A dry run changes nothing; an agent that looks leaves no notes.
    let dry = say(&["activate", "--on", "xcatmn1", "--dryrun", "--format", "sh"]).ends(0);
    dry.says("ocf_env heartbeat IPaddr2 IPaddr2 cidr_netmask=8 ip=10.5.106.7 nic=eth0\n")
        .says("/usr/lib/ocf/resource.d/heartbeat/IPaddr2 start\n");
    assert_eq!((runs("xcatmn1"), lab.on("xcatmn1", "ls -A /run/resource-agents")), (none(), String::new()));

    say(&["activate", "--on", "xcatmn1", "--yes"]).ends(0);
    assert_eq!((runs("xcatmn1"), runs("xcatmn2")), (all(), none()));
    assert_eq!(lab.on("xcatmn1", "findmnt -rno TARGET /srv/data"), "/srv/data");
    say(&["activate", "--on", "xcatmn2", "--yes"]).ends(4).says("xcatmn1");
    say(&["activate", "--on", "xcatmn1", "--yes"]).ends(0).says("[Already]");

    say(&["deactivate", "--on", "xcatmn1", "--yes"]).ends(0);
    assert_eq!(runs("xcatmn1"), none());
    say(&["activate", "--on", "xcatmn2", "--yes"]).ends(0);
    assert_eq!((runs("xcatmn1"), runs("xcatmn2")), (none(), all()));
    say(&["rollback", "--yes"]).ends(9);
    assert_eq!(runs("xcatmn2"), none());

    // Parameters that cannot be right are refused before anything is started; an agent that cannot look is not a no.
    say(&["activate", "--on", "xcatmn1", "--yes", "--set", "nic=eth7"]).ends(6).says("IPaddr2 validate-all: ");
    say(&["rollback", "--yes"]).ends(9);
    assert_eq!(runs("xcatmn1"), none());
    lab.on("xcatmn2", "mv /usr/bin/fuser /usr/bin/fuser.away");
    say(&["activate", "--on", "xcatmn1", "--yes"]).ends(4).says("couldn't find command: fuser");
    lab.on("xcatmn2", "mv /usr/bin/fuser.away /usr/bin/fuser");

    // The text of the dry run, pasted: the proof on the other host, the changes on this one.
    let mut dry = hawiz(&["activate", "--on", "xcatmn1", "--dryrun", "--format", "sh", "--offline"]);
    let pasted = text(&whole(&mut dry).stdout);
    for (part, node) in [("1", "xcatmn2"), ("2", "xcatmn1")] {
        let mut host = Command::new(lab.run.join("enter"));
        let pasted = format!("hawiz_part={part}\n{pasted}\n");
        let out = whole_of(host.args([node, "sh"]), &pasted);
        assert!(out.status.success(), "part {part}: {}\n{pasted}", text(&out.stderr));
    }
    assert_eq!(runs("xcatmn1"), all());
}
