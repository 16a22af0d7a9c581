//! A Pacemaker cluster on AWS, from three bare hosts to a node that is lost and cannot be fenced.
//!
//! Why it exists: whether the playbook `rhel-ha-aws` works can only be told by what it drives: pcs, Pacemaker, Corosync, fence_aws,
//! awsvip, awseip, IPaddr2 and the AWS CLI are real here, an instance that is stopped is a host without power. Each procedure is
//! a dry run first, which changes nothing; then it is run, killed at a moment drawn by lot and gone on with; then it is run
//! again, and must find everything as it should be: neither the cluster, nor the hosts, nor AWS note a change.
//!
//! Its packages are large, so it runs only where asked for (`HAWIZ_LAB_AWS=1`), after `tests/lab/worlds/aws/prepare`; `docs/lab.md`.

#[path = "lab/rig.rs"]
mod rig;
mod support;

use rig::{Lab, Said, said, script, text};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::Dice;

const NODES: [&str; 3] = ["nodea", "nodeb", "nodec"];
const VIP: &str = "10.77.0.68";
/// What a host keeps of a change: packages, accounts, configuration, the instances of its units, and the cluster's own count of them and who runs what.
const PICTURE: &str = r#"
for f in /var/lib/dpkg/status /etc/shadow /etc/hosts /etc/corosync/corosync.conf /var/lib/pcsd/known-hosts; do
  if [ -e "$f" ]; then stat -c '%n %z' "$f"; else echo "no $f"; fi
done
systemctl show -p InvocationID -p UnitFileState pcsd corosync pacemaker
if grep -q 'cluster_name: lab' /etc/corosync/corosync.conf && systemctl is-active -q pacemaker; then
  cibadmin --query --xpath /cib | grep -o ' \(admin_\)\?epoch="[0-9]*"'
  for resource in privip vip elastic; do crm_resource --resource $resource --locate -Q 2>/dev/null || echo "$resource nowhere"; done
fi"#;

/// The operator's desk: a place on the wire, with a person's key to AWS.
struct Desk {
    lab: Lab,
    dice: Dice,
    ssh: bool,
    times: Vec<String>,
}

impl Desk {
    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut c = Command::new(script("worlds/aws/desk"));
        c.arg(&self.lab.run).arg(program).args(args).stdin(Stdio::null());
        c
    }
    fn hawiz(&self, args: &[&str]) -> Command {
        let run = self.lab.run.display();
        let site = if self.ssh { format!("{run}/station1/ssh.toml") } else { format!("{run}/hawiz.toml") };
        self.hawiz_with(&site, args)
    }
    fn hawiz_with(&self, site: &str, args: &[&str]) -> Command {
        let run = self.lab.run.display().to_string();
        let playbook = concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks/rhel-ha-aws.toml");
        let state = format!("{run}/state");
        let head = ["--site", site, "--playbook", playbook, "--state-dir", &state];
        let mut c = self.command(env!("CARGO_BIN_EXE_hawiz"), &[&head, args].concat());
        for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("HAWIZ_")) {
            c.env_remove(name);
        }
        c.env("HAWIZ_SSH_CONFIG", format!("{run}/station1/config"));
        c.env("HAWIZ_SECRET_HACLUSTER_PASSWORD", "sesame-of-hacluster");
        c.env("HAWIZ_SECRET_AWS_ACCESS_KEY", "AKIAFENCE").env("HAWIZ_SECRET_AWS_SECRET_KEY", "fence-secret-of-aws");
        c
    }
    /// Answers every typed gate; `lost` is the node that is meant.
    fn answers(&self, lost: &str) -> String {
        let path = self.lab.run.join("answers.toml");
        let gates = [
            ("create/create-the-cluster", "lab"),
            ("fencing-test/cut-the-power-of-target", lost),
            ("failover/fence-again", lost),
            ("failover/confirm", lost),
        ];
        let gates: String = gates.iter().map(|(gate, word)| format!("\"{gate}\" = \"{word}\"\n")).collect();
        let text = format!("[gates]\n{gates}[manual]\n\"failover/confirm/stopped\" = \"done\"\n");
        std::fs::write(&path, text).expect("the run is ours");
        path.display().to_string()
    }
    fn run(&self, args: &[&str], lost: &str) -> Said {
        let answers = self.answers(lost);
        said(self.hawiz(&[args, &["--yes", "--answers", &answers]].concat()))
    }
    /// What AWS was asked to change.
    fn aws_changes(&self) -> String {
        std::fs::read_to_string(self.lab.run.join("cloud/changes")).expect("AWS keeps it")
    }
    fn picture(&self) -> String {
        let hosts: Vec<String> = NODES.iter().map(|n| self.lab.on(n, PICTURE)).collect();
        format!("{}\n{}", hosts.join("\n"), self.aws_changes())
    }
    /// Dry; really, killed once and gone on with; and again, where nothing is left to do.
    #[track_caller]
    fn three_times(&mut self, args: &[&str], lost: &str) {
        let begun = Instant::now();
        let what = args.join(" ");
        let before = self.picture();
        said(self.hawiz(&[args, &["--dryrun"]].concat())).ends(0);
        assert_eq!(self.picture(), before, "a dry run of {what} changed something");
        self.killed_once(args, lost);
        self.once_more(args, lost);
        self.times.push(format!("{what}: {:.0} s in all", begun.elapsed().as_secs_f64()));
    }
    #[track_caller]
    fn once_more(&self, args: &[&str], lost: &str) {
        let before = self.picture();
        let again = self.run(args, lost).ends(0);
        let changes: Vec<&str> = again.out.lines().filter(|l| l.contains(" - change: ")).collect();
        assert!(changes.is_empty(), "{changes:?}");
        assert_eq!(self.picture(), before, "{} again changed something", args.join(" "));
    }
    #[track_caller]
    fn killed_once(&mut self, args: &[&str], lost: &str) {
        let answers = self.answers(lost);
        let begun = Instant::now();
        let moment = Duration::from_millis(300 + self.dice.below(12_000));
        let mut child = self
            .hawiz(&[args, &["--yes", "--answers", &answers]].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("hawiz starts");
        let ended = ended_within(&mut child, moment);
        let mut how = "killed";
        if ended.is_some() {
            how = "not killed";
            assert_eq!(ended, Some(0), "{}", args.join(" "));
        } else {
            child.kill().expect("a child of ours");
            child.wait().expect("a child of ours");
            // A node that was just fenced is not there to be gone on with: that is said (6), until it is back.
            let until = Instant::now() + Duration::from_secs(120);
            let gone_on = loop {
                let gone_on = said(self.hawiz(&["resume", "--yes", "--answers", &answers]));
                // Killed before there was anything to go on with.
                let gone_on = if gone_on.code == Some(2) { self.run(args, lost) } else { gone_on };
                let away = gone_on.code == Some(6) && gone_on.out.contains("cannot reach");
                if !away || Instant::now() > until {
                    break gone_on;
                }
                std::thread::sleep(Duration::from_millis(500));
            };
            gone_on.ends(0);
        }
        let told = format!("{}: {how} after {moment:.1?}, done after {:.0?}", args.join(" "), begun.elapsed());
        eprintln!("{told}");
        self.times.push(told);
    }
    /// The node that runs the group, by the cluster's word; the address is on its interface and on no other.
    #[track_caller]
    fn holder(&self) -> String {
        let up: Vec<&str> = NODES.into_iter().filter(|n| self.lab.inside(n, "true").status.success()).collect();
        let at: Vec<&str> = up
            .iter()
            .copied()
            .filter(|n| self.lab.on(n, "ip -o -4 addr show dev eth0").contains(&format!(" {VIP}/")))
            .collect();
        let one = self.lab.on(up[0], "crm_resource --resource vip --locate -Q").trim().to_string();
        for resource in ["privip", "elastic"] {
            let locate = format!("crm_resource --resource {resource} --locate -Q");
            assert_eq!(self.lab.on(up[0], &locate).trim(), one);
        }
        assert_eq!(at, [one.as_str()], "who has {VIP}");
        one
    }
    fn cable(&self, node: &str, how: &str) {
        let net = format!("hzlab-{}-wire", self.lab.token());
        let done = Command::new("ip").args(["-n", &net, "link", "set", &format!("to-{node}"), how]).status();
        assert!(done.is_ok_and(|s| s.success()), "the cable of {node}: {how}");
    }
    fn instance(&self, node: &str) -> String {
        let all = std::fs::read_to_string(self.lab.run.join("cloud/instances")).expect("AWS keeps it");
        let line = all.lines().find(|l| l.starts_with(&format!("{node} "))).expect("every host is an instance");
        line.split(' ').nth(1).expect("its id").to_string()
    }
}

fn ended_within(child: &mut Child, time: Duration) -> Option<i32> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return Some(status.code().unwrap_or(-1));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

/// A node that holds nothing.
fn another(than: &str) -> &'static str {
    NODES.into_iter().rfind(|n| *n != than).expect("there are three")
}

#[test]
fn three_hosts_become_a_cluster_on_aws_that_survives_what_is_done_to_it() {
    let test = "three_hosts_become_a_cluster_on_aws_that_survives_what_is_done_to_it";
    if std::env::var("HAWIZ_LAB_AWS").as_deref() != Ok("1") {
        eprintln!("SKIPPED {test}: it is large; `tests/lab/worlds/aws/prepare`, then HAWIZ_LAB_AWS=1");
        return;
    }
    let Some(lab) = Lab::world(test, "aws", None) else { return };
    let mut desk = Desk { lab, dice: Dice::new("interruptions"), ssh: false, times: vec![] };
    from_nothing(&mut desk);
    planned(&mut desk);
    power_cut(&mut desk);
    cable_pulled(&mut desk);
    a_fencing_that_fails(&mut desk);
    images_and_volumes(&mut desk);
    no_secret_was_told(&desk);
    eprintln!("{}", desk.times.join("\n"));
}

fn from_nothing(desk: &mut Desk) {
    let begun = Instant::now();
    desk.three_times(&["run", "install"], "nodec");
    desk.three_times(&["run", "create"], "nodec");
    desk.three_times(&["run", "fencing"], "nodec");
    desk.three_times(&["run", "fencing-test", "--on", "nodec"], "nodec");
    assert_eq!(desk.aws_changes().matches("AKIAFENCE StopInstances").count(), 1, "its power was really cut, once");
    desk.three_times(&["run", "resources"], "nodec");
    desk.holder();
    said(desk.hawiz(&["status"])).ends(0);
    desk.times.push(format!("from nothing to all resources: {:.0} s", begun.elapsed().as_secs_f64()));

    // Another cluster is never made of hosts that are in one.
    let before = desk.picture();
    desk.run(&["run", "create", "--set", "cluster=other"], "nodec").ends(4).says("in lab nodea nodeb nodec");
    assert_eq!(desk.picture(), before);
}

/// On the operator's machine: AWS's own CLI, an image of four megabytes.
fn images_and_volumes(desk: &mut Desk) {
    desk.three_times(&["run", "shared-block"], "nodec");
    let run = desk.lab.run.display().to_string();
    let image = format!("{run}/image.qcow2");
    let made = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2", &image, "4M"]).status();
    if !made.is_ok_and(|s| s.success()) {
        eprintln!("SKIPPED the image: there is no qemu-img");
        return;
    }
    let network = std::fs::read_to_string(desk.lab.run.join("cloud/network")).expect("AWS keeps it");
    let words: Vec<&str> = network.split_whitespace().collect();
    let inputs = format!("image = \"{image}\"\nsubnet = \"{}\"\nsecurity_group = \"{}\"\n", words[0], words[1]);
    let site = std::fs::read_to_string(desk.lab.run.join("hawiz.toml")).expect("the run has it");
    let head = site.split("[nodes").next().expect("the head").replace("cluster      = \"lab\"", "cluster = \"more\"");
    let nodes: String =
        (1..=3).map(|n| format!("[nodes.more{n}]\naddress = \"10.77.0.3{n}\"\nvia = [\"false\"]\n")).collect();
    let file = format!("{run}/image.toml");
    std::fs::write(&file, format!("{head}\n{inputs}{nodes}")).expect("the run is ours");
    let begun = Instant::now();
    let before = desk.aws_changes();
    said(desk.hawiz_with(&file, &["run", "image", "--dryrun"])).ends(0);
    assert_eq!(desk.aws_changes(), before);
    said(desk.hawiz_with(&file, &["run", "image", "--yes"])).ends(0);
    let after = desk.aws_changes();
    assert_eq!(after.matches("RunInstances").count(), 3, "{after}");
    let again = said(desk.hawiz_with(&file, &["run", "image", "--yes"])).ends(0);
    assert!(!again.out.contains(" - change: "), "{}", again.out);
    assert_eq!(desk.aws_changes(), after);
    desk.times.push(format!("run image: {:.0} s in all", begun.elapsed().as_secs_f64()));
}

/// Over SSH from here on: what is true of `via` is not yet true of the network.
fn planned(desk: &mut Desk) {
    let made = Command::new(script("stations")).arg(&desk.lab.run).output().expect("`sh` runs it");
    assert!(made.status.success(), "{}", text(&made.stderr));
    desk.ssh = true;
    let from = desk.holder();
    desk.three_times(&["failover", "--from", &from], &from);
    assert_ne!(desk.holder(), from);
    desk.three_times(&["run", "back", "--on", &from], &from);
    assert_ne!(desk.holder(), from, "nothing moves back by itself");
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
}

/// The host lives on, with the addresses: only fencing makes that safe.
fn cable_pulled(desk: &mut Desk) {
    let from = desk.holder();
    let begun = Instant::now();
    desk.cable(&from, "down");
    desk.killed_once(&["failover", "--from", &from, "--unplanned"], &from);
    assert_ne!(desk.holder(), from);
    desk.times
        .push(format!("cable pulled: another node holds all, proven after {:.0} s", begun.elapsed().as_secs_f64()));
    desk.cable(&from, "up");
    // It comes back by itself, too: there is no standing still to compare a dry run with.
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
    let history = "stonith_admin --history '*' --output-as=xml";
    assert!(!desk.lab.on(peer, history).contains("a human"), "nothing was confirmed");
    // A person stops it in the console. Then the word is believed, unless the device, which is asked all the while, sees it first;
    // the cluster goes on. What failed stays said (8).
    let stop = desk.command("aws", &["ec2", "stop-instances", "--instance-ids", &desk.instance(&from)]).output();
    assert!(stop.is_ok_and(|o| o.status.success()));
    let answers = desk.answers(&from);
    said(desk.hawiz(&["resume", "--yes", "--answers", &answers])).ends(8);
    assert_ne!(desk.holder(), from);
    desk.times.push(format!("a fencing that fails, confirmed by a person: {:.0} s", begun.elapsed().as_secs_f64()));
    // The key is mended, and the instance is started.
    std::fs::remove_file(desk.lab.run.join("cloud/denied")).expect("it was put there");
    let start = desk.command("aws", &["ec2", "start-instances", "--instance-ids", &desk.instance(&from)]).output();
    assert!(start.is_ok_and(|o| o.status.success()));
    let until = Instant::now() + Duration::from_secs(60);
    while !desk.lab.inside(&from, "systemctl is-active -q ssh").status.success() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(200));
    }
    desk.run(&["run", "back", "--on", &from], &from).ends(0);
    desk.once_more(&["run", "back", "--on", &from], &from);
    said(desk.hawiz(&["status"])).ends(0);
}

/// Neither in what hawiz keeps here nor in what it keeps on the hosts.
fn no_secret_was_told(desk: &Desk) {
    let secrets = "sesame-of-hacluster\\|fence-secret-of-aws";
    let state = desk.lab.run.join("state");
    let here = Command::new("grep").args(["-rl", secrets]).arg(&state).output().expect("there is grep");
    assert_eq!(text(&here.stdout), "");
    for node in NODES {
        assert_eq!(desk.lab.on(node, &format!("grep -rl '{secrets}' /var/lib/hawiz || :")), "");
    }
}
