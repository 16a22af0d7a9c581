//! A Pacemaker cluster on AWS, from three bare hosts to a node that is lost and cannot be fenced.
//!
//! Why it exists: whether the playbook `rhel-ha-aws` works can only be told by what it drives: pcs, Pacemaker, Corosync, fence_aws,
//! awsvip, awseip, IPaddr2 and the AWS CLI are real here, an instance that is stopped is a host without power. Each procedure is
//! a dry run first, which changes nothing; then it is run, killed in a step drawn by lot and gone on with; then it is run
//! again, and must find everything as it should be: neither the cluster, nor the hosts, nor AWS note a change. Others are taken
//! back, and then done once more by a person who has nothing but their checklist.
//!
//! Its packages are large, so it runs only where asked for (`HAWIZ_LAB_AWS=1`), after `tests/lab/worlds/aws/prepare`; `docs/lab.md`.

#[path = "lab/aws.rs"]
mod aws;
#[path = "lab/paper.rs"]
mod paper;
#[path = "lab/rig.rs"]
mod rig;
mod support;

use aws::{Desk, NODES, another};
use rig::{Lab, PATIENCE, said, text, whole};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn three_hosts_become_a_cluster_on_aws_that_survives_what_is_done_to_it() {
    let test = "three_hosts_become_a_cluster_on_aws_that_survives_what_is_done_to_it";
    if std::env::var("HAWIZ_LAB_AWS").as_deref() != Ok("1") {
        eprintln!("SKIPPED {test}: it is large; `tests/lab/worlds/aws/prepare`, then HAWIZ_LAB_AWS=1");
        return;
    }
    let Some(lab) = Lab::world(test, "aws", None) else { return };
    let mut desk = Desk::new(lab);
    an_image(&mut desk);
    from_nothing(&mut desk);
    once_more_on_paper(&mut desk);
    a_shared_volume(&mut desk);
    planned(&mut desk);
    power_cut(&mut desk);
    cable_pulled(&mut desk);
    a_fencing_that_fails(&mut desk);
    no_secret_was_told(&desk);
    eprintln!("{}", desk.times.join("\n"));
}

fn from_nothing(desk: &mut Desk) {
    let begun = Instant::now();
    desk.three_times(&["run", "install"], "nodec");
    desk.three_times(&["run", "create"], "nodec");
    desk.three_times(&["run", "fencing"], "nodec");
    desk.three_times(&["run", "fencing-test", "--on", "nodec"], "nodec");
    assert_eq!(desk.power_cuts(), 1, "its power was really cut, once");
    desk.three_times(&["run", "resources"], "nodec");
    desk.holder();
    said(desk.hawiz(&["status"])).ends(0);
    desk.times.push(format!("from nothing to all resources: {:.0} s", begun.elapsed().as_secs_f64()));

    // Another cluster is never made of hosts that are in one.
    let before = desk.picture();
    desk.run(&["run", "create", "--set", "cluster=other"], "nodec").ends(4).says("in lab nodea nodeb nodec");
    assert_eq!(desk.picture(), before);
}

/// The cluster is put away, and made by a person from the checklists; what follows is done to that one.
fn once_more_on_paper(desk: &mut Desk) {
    desk.lab.on("nodea", "for r in elastic vip privip; do pcs resource delete $r; done");
    let release = "for a in $(aws ec2 describe-addresses --query 'Addresses[].AllocationId' --output text); do \
                   aws ec2 release-address --allocation-id $a; done";
    assert!(whole(&mut desk.command("sh", &["-ec", release])).status.success());
    desk.lab.on("nodea", "pcs cluster destroy --all");
    desk.on_paper(&["run", "create"], "nodec");

    // What hawiz made it takes back.
    let bare = desk.configured();
    desk.killed_once(&["run", "fencing"], "nodec");
    desk.taken_back("fencing");
    assert_eq!(desk.configured(), bare);
    desk.on_paper(&["run", "fencing"], "nodec");
    let cuts = desk.power_cuts();
    desk.on_paper(&["run", "fencing-test", "--on", "nodec"], "nodec");
    assert_eq!(desk.power_cuts(), cuts + 1);

    let fenced = desk.configured();
    desk.run(&["run", "resources"], "nodec").ends(0);
    desk.holder();
    desk.taken_back("resources");
    assert_eq!(desk.configured(), fenced);
    assert_eq!((desk.addressed(), desk.public_addresses().as_str()), (vec![], ""));
    desk.on_paper(&["run", "resources"], "nodec");
    desk.holder();
}

/// Every node has it, and whoever comes back must have it again.
fn a_shared_volume(desk: &mut Desk) {
    desk.dry(&["run", "shared-block"]);
    desk.killed_once(&["run", "shared-block"], "nodec");
    desk.taken_back("shared-block");
    desk.on_paper(&["run", "shared-block"], "nodec");
}

/// Over SSH from here on: what is true of `via` is not yet true of the network.
fn planned(desk: &mut Desk) {
    desk.lab.sshd();
    desk.site = desk.lab.run.join("station1/ssh.toml").display().to_string();
    let from = desk.holder();
    desk.three_times(&["failover", "--from", &from], &from);
    assert_ne!(desk.holder(), from);
    desk.three_times(&["run", "back", "--on", &from], &from);
    assert_ne!(desk.holder(), from, "nothing moves back by itself");

    // Taken back, it may run the service again, but moves nothing.
    let from = desk.holder();
    let before = desk.configured();
    desk.run(&["failover", "--from", &from], &from).ends(0);
    let to = desk.holder();
    desk.taken_back("failover");
    assert_eq!((desk.holder(), desk.configured()), (to.clone(), before));

    // There and back on paper.
    let changed = desk.on_paper(&["failover", "--from", &to], &to);
    assert_eq!(changed, [format!("Put {to} on standby")]);
    assert_ne!(desk.holder(), to);
    let changed = desk.on_paper(&["run", "back", "--on", &to], &to);
    assert_eq!(changed, [format!("{to} is not on standby")]);
}

fn power_cut(desk: &mut Desk) {
    let from = desk.holder();
    let begun = Instant::now();
    desk.lab.power(&from, "off");
    desk.run(&["failover", "--from", &from, "--unplanned"], &from).ends(0);
    assert_ne!(desk.holder(), from);
    desk.times.push(format!("power cut: another node holds all, proven after {:.0} s", begun.elapsed().as_secs_f64()));
    // It comes back by itself, too: there is no standing still to compare a dry run with.
    desk.killed_once(&["run", "back", "--on", &from], &from);
    desk.once_more(&["run", "back", "--on", &from], &from);
    desk.once_more(&["failover", "--from", &from, "--unplanned"], &from);

    // The same by a person with two pages.
    let from = desk.holder();
    desk.lab.power(&from, "off");
    desk.page(&["failover", "--from", &from, "--unplanned"]);
    assert_ne!(desk.holder(), from);
    desk.on_paper(&["run", "back", "--on", &from], &from);
    desk.once_more(&["failover", "--from", &from, "--unplanned"], &from);
}

/// The host lives on, with the addresses: only fencing makes that safe.
fn cable_pulled(desk: &mut Desk) {
    let from = desk.holder();
    let begun = Instant::now();
    desk.lab.cable(&from, "down");
    desk.killed_once(&["failover", "--from", &from, "--unplanned"], &from);
    assert_ne!(desk.holder(), from);
    desk.times
        .push(format!("cable pulled: another node holds all, proven after {:.0} s", begun.elapsed().as_secs_f64()));
    desk.lab.cable(&from, "up");
    desk.killed_once(&["run", "back", "--on", &from], &from);
    desk.once_more(&["run", "back", "--on", &from], &from);
}

/// The fence device's key is not valid any more, and the holder loses its power.
fn a_fencing_that_fails(desk: &mut Desk) {
    let from = desk.holder();
    std::fs::write(desk.lab.run.join("cloud/denied"), "AKIAFENCE").expect("the run is ours");
    desk.lab.power(&from, "off");
    // AWS says that the instance runs: nobody's word counts against it.
    let begun = Instant::now();
    desk.run(&["failover", "--from", &from, "--unplanned"], &from).ends(6).says("running");
    let peer = another(&from);
    // (`stonith_admin --history` leaves that out.)
    let confirmed = || desk.lab.on(peer, "crm_mon --one-shot --output-as=xml").contains("delegate=\"a human\"");
    assert!(!confirmed(), "nothing was confirmed");
    // A person stops it in the console: then the word is believed, and the cluster goes on. What failed stays said (8).
    desk.console("stop-instances", &from);
    let answers = desk.answers(&from);
    said(desk.hawiz(&["resume", "--yes", "--answers", &answers])).ends(8);
    assert!(confirmed(), "only a person could say that it is off");
    assert!(desk.came_to("done").iter().any(|s| s.starts_with("failover/confirm/tell")), "{:?}", desk.came_to("done"));
    assert_ne!(desk.holder(), from);
    desk.times.push(format!("a fencing that fails, confirmed by a person: {:.0} s", begun.elapsed().as_secs_f64()));
    // The key is mended, and the instance is started. (That the device failed is forgotten, too: it must run in the end.)
    std::fs::remove_file(desk.lab.run.join("cloud/denied")).expect("it was put there");
    desk.console("start-instances", &from);
    let until = Instant::now() + PATIENCE;
    while !desk.lab.inside(&from, "systemctl is-active -q ssh").status.success() {
        assert!(Instant::now() < until, "{from} does not boot");
        std::thread::sleep(Duration::from_millis(200));
    }
    desk.run(&["run", "back", "--on", &from], &from).ends(0);
    desk.once_more(&["run", "back", "--on", &from], &from);
    said(desk.hawiz(&["status"])).ends(0);
}

/// On the operator's machine: AWS's own CLI, an image of four megabytes.
fn an_image(desk: &mut Desk) {
    let run = desk.lab.run.display().to_string();
    let image = format!("{run}/image.qcow2");
    let made = whole(Command::new("sh").args(["-c", "qemu-img create -q -f qcow2 \"$0\" 4M", &image]));
    if !made.status.success() {
        eprintln!("SKIPPED the image: {}", text(&made.stderr));
        return;
    }
    let network = std::fs::read_to_string(desk.lab.run.join("cloud/network")).expect("AWS keeps it");
    let words: Vec<&str> = network.split_whitespace().collect();
    let inputs = format!("image = \"{image}\"\nsubnet = \"{}\"\nsecurity_group = \"{}\"\n", words[0], words[1]);
    let site = std::fs::read_to_string(desk.lab.run.join("hawiz.toml")).expect("the run has it");
    let head = site.split("[nodes").next().expect("the head").replace("cluster      = \"lab\"", "cluster = \"more\"");
    let nodes: String =
        (1..=3).map(|n| format!("[nodes.more{n}]\naddress = \"10.77.0.3{n}\"\nvia = [\"false\"]\n")).collect();
    let lab = std::mem::replace(&mut desk.site, format!("{run}/image.toml"));
    std::fs::write(&desk.site, format!("{head}\n{inputs}{nodes}")).expect("the run is ours");
    desk.dry(&["run", "image"]);
    let launched = |desk: &Desk| desk.aws_changes().matches("RunInstances").count();
    let before = launched(desk);
    desk.killed_once(&["run", "image"], "");
    assert_eq!(launched(desk), before + 3);
    desk.taken_back("image");
    desk.on_paper(&["run", "image"], "");
    desk.site = lab;
}

/// Neither in what hawiz keeps here nor in what it keeps on the hosts.
fn no_secret_was_told(desk: &Desk) {
    let secrets = "sesame-of-hacluster\\|fence-secret-of-aws";
    let here = whole(Command::new("grep").args(["-rl", secrets]).arg(desk.lab.run.join("state")));
    assert_eq!(text(&here.stdout), "");
    for node in NODES {
        assert_eq!(desk.lab.on(node, &format!("grep -rl '{secrets}' /var/lib/hawiz || :")), "");
    }
}
