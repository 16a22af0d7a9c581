//! Two booted systemd hosts, a real database, a real address: activate, hand over, interrupt, resume, roll back.
//!
//! Why it exists: stand-ins on PATH agree with whoever wrote them. Here `systemctl` is systemd's, the database is
//! PostgreSQL's, the address is on an interface and the power can be cut in the middle of a step; only xCAT's own
//! commands are stand-ins, and they too need the database. How the hosts are made is told in `docs/lab.md`.
//!
//! The tests run where they can (root, systemd-nspawn, and the root file system that `tests/lab/prepare` makes); elsewhere
//! each says on stderr that it was skipped, and why. `HAWIZ_LAB=1` makes that a failure, `HAWIZ_LAB=0` skips them all.
//! Every test has hosts of its own; whatever it starts is ended by `tests/lab/down` when its [`Lab`] goes out of scope.

#[path = "lab/guard.rs"]
mod guard;
#[path = "lab/ocf.rs"]
mod ocf;
#[path = "lab/rig.rs"]
mod rig;
#[path = "lab/ssh.rs"]
mod ssh;
mod support;

use rig::{Lab, Person, Said, script, text};
use std::io::Write;
use std::path::Path;
use std::process::Command;

#[test]
fn an_active_node_hands_over_to_the_other_one() {
    let Some(lab) = Lab::new("an_active_node_hands_over_to_the_other_one") else { return };
    lab.nobody();
    lab.say(&["activate", "--on", "xcatmn1", "--dryrun"]).ends(0);
    lab.nobody();
    lab.say(&["activate", "--on", "xcatmn1", "--yes", "--set", "console=conserver"]).ends(0);
    lab.is_active("xcatmn1");
    assert_eq!(lab.on("xcatmn1", "systemctl is-active conserver; cat /etc/conserver.cf"), "active\nmaster xcatmn1");
    lab.is_inactive("xcatmn2");
    lab.only("xcatmn1");

    // A second active node is refused, and nothing is touched.
    lab.say(&["activate", "--on", "xcatmn2", "--yes"]).ends(4).says("xcatmn1");
    lab.is_inactive("xcatmn2");
    lab.only("xcatmn1");

    lab.on("xcatmn1", "/opt/xcat/sbin/tab \"INSERT INTO site VALUES ('written', 'on xcatmn1')\"");
    lab.say(&["deactivate", "--on", "xcatmn1", "--yes"]).ends(0);
    lab.is_inactive("xcatmn1");
    assert_eq!(lab.on("xcatmn1", "hostname"), "mn70");
    lab.nobody();

    lab.say(&["activate", "--on", "xcatmn2", "--yes"]).ends(0);
    lab.is_active("xcatmn2");
    lab.only("xcatmn2");
    assert_eq!(lab.on("xcatmn2", "/opt/xcat/sbin/tab \"SELECT value FROM site WHERE key = 'written'\""), "on xcatmn1");
    assert_eq!(lab.on("xcatmn2", "/opt/xcat/sbin/tab 'SELECT mgtifname FROM networks'"), "eth0:0");
    assert_eq!(lab.on("xcatmn2", "systemctl is-active conserver"), "active", "as xcatmn1 had noted");
    lab.is_inactive("xcatmn1");

    lab.say(&["deactivate", "--on", "xcatmn2", "--yes"]).ends(0);
    lab.is_inactive("xcatmn2");
    assert_eq!(lab.on("xcatmn2", "hostname"), "xcatmn2");
    assert_eq!(lab.on("xcatmn2", "ip -o -4 addr show dev eth0").lines().count(), 1);
    lab.nobody();
}

#[test]
fn killed_in_the_middle_of_a_start_it_is_resumed_and_starts_nothing_twice() {
    let Some(lab) = Lab::new("killed_in_the_middle_of_a_start_it_is_resumed_and_starts_nothing_twice") else { return };
    lab.slow("xcatmn1", 4);
    let mut hawiz = lab.amid(&["activate", "--on", "xcatmn1", "--yes"], "xcatmn1", "xcatd");
    hawiz.kill().expect("SIGKILL");
    hawiz.wait().expect("a child of ours");
    // The step goes on without it, and the lock says whose it is.
    lab.say(&["status"]).says("xcatmn1 is held by a run").says("xcatmn1 is active");
    lab.say(&["activate", "--on", "xcatmn2", "--yes"]).ends(4);
    lab.say(&["resume", "--yes"]).ends(0);
    assert_eq!(lab.starts("xcatmn1"), 1);
    lab.is_active("xcatmn1");
    lab.is_inactive("xcatmn2");
    lab.only("xcatmn1");
    let locks = "ls -d /var/lib/hawiz/lock 2>/dev/null || echo free";
    assert_eq!((lab.on("xcatmn1", locks), lab.on("xcatmn2", locks)), ("free".into(), "free".into()));
}

#[test]
fn after_a_power_cut_in_the_middle_of_a_start_a_run_is_taken_back_and_another_one_succeeds() {
    let Some(lab) = Lab::new("after_a_power_cut_in_the_middle_of_a_start_a_run_is_taken_back_and_another_one_succeeds")
    else {
        return;
    };
    lab.slow("xcatmn2", 4);
    let mut hawiz = lab.amid(&["activate", "--on", "xcatmn2", "--yes"], "xcatmn2", "xcatd");
    lab.power("xcatmn2", "off");
    let ended = hawiz.wait().expect("a child of ours").code();
    assert!(matches!(ended, Some(6 | 7)), "something was changed, and the node is gone: {ended:?}");
    let status = lab.say(&["status"]).ends(7);
    assert_eq!(status.last(), "cannot tell about xcatmn2");
    // Nobody can prove that a dead node is inactive.
    lab.say(&["activate", "--on", "xcatmn1", "--yes"]).ends(4).says("xcatmn2");

    lab.power("xcatmn2", "on");
    lab.is_inactive("xcatmn2");
    // The address went with the power, so what the run has done is no longer so; only a person may let it go on.
    lab.say(&["resume", "--yes"]).ends(6).says("no longer");
    lab.say(&["rollback", "--yes"]).ends(9);
    lab.is_inactive("xcatmn2");
    lab.nobody();
    lab.say(&["activate", "--on", "xcatmn2", "--yes"]).ends(0);
    lab.is_active("xcatmn2");
    lab.only("xcatmn2");
}

#[test]
fn after_a_power_cut_a_person_is_asked_again_for_what_is_no_longer_so() {
    let Some(lab) = Lab::new("after_a_power_cut_a_person_is_asked_again_for_what_is_no_longer_so") else { return };
    lab.slow("xcatmn2", 4);
    let mut hawiz = lab.amid(&["activate", "--on", "xcatmn2", "--yes"], "xcatmn2", "xcatd");
    lab.power("xcatmn2", "off");
    hawiz.wait().expect("a child of ours");
    lab.power("xcatmn2", "on");
    let mut person = Person::at(&lab.hawiz(&["resume"]));
    person.asked("Continue?", "y\r");
    person.asked("Continue?", "y\r");
    // What was being started when the power went may have told its end in that moment, or nobody knows it.
    if person.asked_perhaps("What now?", "r\r") {
        assert!(person.screen().contains("its end is not known"), "{}", person.screen());
    }
    person.end().ends(0);
    lab.is_active("xcatmn2");
    lab.only("xcatmn2");
}

#[test]
fn an_activation_that_is_rolled_back_leaves_nobody_active() {
    let Some(lab) = Lab::new("an_activation_that_is_rolled_back_leaves_nobody_active") else { return };
    lab.say(&["activate", "--on", "xcatmn1", "--yes"]).ends(0);
    lab.is_active("xcatmn1");
    lab.say(&["rollback", "--yes"]).ends(9);
    lab.is_inactive("xcatmn1");
    assert_eq!(lab.on("xcatmn1", "cat /etc/resolv.conf"), "search cluster.com\nnameserver 10.5.106.1");
    lab.nobody();
}

#[test]
fn inside_a_host_that_took_over_its_name_hawiz_still_acts_on_that_host() {
    let Some(lab) = Lab::new("inside_a_host_that_took_over_its_name_hawiz_still_acts_on_that_host") else { return };
    let etc = lab.run.join("xcatmn2/root/etc/hawiz");
    std::fs::create_dir_all(etc.join("playbooks")).expect("the host's root is ours");
    let copy = |from: &Path, to: &Path| std::fs::copy(from, to).expect("a file of ours can be copied");
    copy(&script("inside.toml"), &etc.join("hawiz.toml"));
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks/xcat.toml"), &etc.join("playbooks/xcat.toml"));
    copy(Path::new(env!("CARGO_BIN_EXE_hawiz")), &lab.run.join("xcatmn2/root/usr/local/bin/hawiz"));
    let version = lab.inside("xcatmn2", "hawiz --version");
    if !version.status.success() {
        let why = text(&version.stderr);
        let _ = writeln!(std::io::stderr(), "SKIPPED lab::inside_…: this binary does not run on Debian 12: {why}");
        return;
    }
    let hawiz = |args: &str| {
        let out = lab.inside("xcatmn2", &format!("hawiz {args} </dev/null 2>&1"));
        Said { code: out.status.code(), out: text(&out.stdout) }
    };
    // The other node can only be reached by SSH, so somebody has to vouch for it; it is off.
    lab.power("xcatmn1", "off");
    hawiz("activate --yes").ends(4).says("xcatmn1");
    lab.is_inactive("xcatmn2");
    hawiz("activate --yes --attest xcatmn1").ends(0);
    assert!(lab.holds("xcatmn2"));
    assert_eq!(lab.on("xcatmn2", "hostname"), "xcatmn1");
    hawiz("status").ends(7).says("xcatmn2 is active");
    hawiz("deactivate --yes").ends(0).says("xcatmn2: inactive");
    lab.is_inactive("xcatmn2");
    assert_eq!(lab.on("xcatmn2", "hostname"), "xcatmn2");
}

#[test]
fn the_scripts_of_the_lab_are_understood_by_sh() {
    let mut todo = vec![script("")];
    let mut read = 0;
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).expect("tests/lab is there").flatten() {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
                continue;
            }
            let script = std::fs::read(&path).expect("it can be read").starts_with(b"#!/bin/sh\n");
            if script || path.extension().is_some_and(|e| e == "sh") {
                let out = Command::new("sh").arg("-n").arg(&path).output().expect("there is sh");
                assert!(out.status.success(), "{}: {}", path.display(), text(&out.stderr));
                read += 1;
            }
        }
    }
    assert!(read > 10);
}
