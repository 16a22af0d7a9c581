//! A cluster on the lab's small AWS, as the operator at a desk sees it, and as the hosts, the cluster and AWS tell it themselves.
//!
//! Why it exists: that nothing was changed must not be hawiz's own word. A [`Desk::picture`] is made of files and units of the
//! hosts, of the cluster's own count of its changes, and of the calls to AWS that change something; two that are equal show that
//! nobody did anything. Invariant: whatever is started lives in the [`Lab`] and ends with it.

use crate::paper;
use crate::rig::{Lab, PATIENCE, Said, ended, said, script, text, whole};
use crate::support::Dice;
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const NODES: [&str; 3] = ["nodea", "nodeb", "nodec"];
pub const VIP: &str = "10.77.0.68";
/// What the operator knows and nobody may find: the password of hacluster, the fencing user's keys.
const SECRETS: [(&str, &str); 3] = [
    ("hacluster_password", "sesame-of-hacluster"),
    ("aws_access_key", "AKIAFENCE"),
    ("aws_secret_key", "fence-secret-of-aws"),
];
/// What a host keeps of a change: packages, accounts, configuration, the instances of its units, and the cluster's own count of them and who runs what.
const PICTURE: &str = r#"
for f in /var/lib/dpkg/status /etc/shadow /etc/hosts /etc/corosync/corosync.conf; do
  if [ -e "$f" ]; then stat -c '%n %z' "$f"; else echo "no $f"; fi
done
# (pcsd writes it anew every few minutes.)
cksum /var/lib/pcsd/known-hosts 2>/dev/null || :
systemctl show -p InvocationID -p UnitFileState pcsd corosync pacemaker
if grep -qs 'cluster_name: lab' /etc/corosync/corosync.conf && systemctl is-active -q pacemaker; then
  cibadmin --query --xpath /cib | grep -o ' \(admin_\)\?epoch="[0-9]*"'
  for resource in privip vip elastic; do crm_resource --resource $resource --locate -Q 2>/dev/null || echo "$resource nowhere"; done
fi"#;

/// A place on the wire, with a person's key to AWS.
pub struct Desk {
    pub lab: Lab,
    pub dice: Dice,
    /// The site file.
    pub site: String,
    pub times: Vec<String>,
}

impl Desk {
    pub fn new(lab: Lab) -> Desk {
        let site = lab.run.join("hawiz.toml").display().to_string();
        Desk { lab, dice: Dice::new("interruptions"), site, times: vec![] }
    }
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut c = Command::new(script("worlds/aws/desk"));
        c.arg(&self.lab.run).arg(program).args(args).stdin(Stdio::null());
        c
    }
    pub fn hawiz(&self, args: &[&str]) -> Command {
        let run = self.lab.run.display().to_string();
        let playbook = concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks/rhel-ha-aws.toml");
        let state = format!("{run}/state");
        let head = ["--site", &self.site, "--playbook", playbook, "--state-dir", &state];
        let mut c = self.command(env!("CARGO_BIN_EXE_hawiz"), &[&head, args].concat());
        for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("HAWIZ_")) {
            c.env_remove(name);
        }
        c.env("HAWIZ_SSH_CONFIG", format!("{run}/station1/config"));
        c.envs(SECRETS.map(|(name, value)| (format!("HAWIZ_SECRET_{}", name.to_uppercase()), value)));
        c
    }
    /// Answers every typed gate; `lost` is the node that is meant.
    pub fn answers(&self, lost: &str) -> String {
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
    pub fn run(&self, args: &[&str], lost: &str) -> Said {
        let answers = self.answers(lost);
        said(self.hawiz(&[args, &["--yes", "--answers", &answers]].concat()))
    }
    /// What the events of the newest run are, one by one.
    pub fn events(&self) -> Vec<Value> {
        let runs = std::fs::read_dir(self.lab.run.join("state/runs")).into_iter().flatten().flatten();
        let newest = runs.map(|e| e.path()).max();
        let text = newest.and_then(|r| std::fs::read_to_string(r.join("journal.jsonl")).ok()).unwrap_or_default();
        let lines = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        lines.map(|mut record| record["event"].take()).collect()
    }
    fn runs(&self) -> usize {
        std::fs::read_dir(self.lab.run.join("state/runs")).into_iter().flatten().count()
    }
    /// Steps and stages of the newest run that came to this end: their ids.
    pub fn came_to(&self, end: &str) -> Vec<String> {
        let events = self.events();
        let steps = events.iter().filter(|e| e["type"] == "step-finished" && e["outcome"]["is"] == end);
        let left = |e: &&Value| e["type"] == "stage-skipped" && end == "skipped" && e["already"] != true;
        let steps = steps.map(|e| &e["step"]).chain(events.iter().filter(left).map(|e| &e["stage"]));
        steps.map(|id| id.as_str().unwrap_or_default().to_string()).collect()
    }

    // ------------------------------------------------------------ each procedure

    /// Dry; really, killed once and gone on with; and again, where nothing is left to do.
    #[track_caller]
    pub fn three_times(&mut self, args: &[&str], lost: &str) {
        let begun = Instant::now();
        self.dry(args);
        self.killed_once(args, lost);
        self.once_more(args, lost);
        self.times.push(format!("{}: {:.0} s in all", args.join(" "), begun.elapsed().as_secs_f64()));
    }
    #[track_caller]
    pub fn dry(&self, args: &[&str]) {
        let before = self.picture();
        said(self.hawiz(&[args, &["--dryrun"]].concat())).ends(0);
        assert_eq!(self.picture(), before, "a dry run of {} changed something", args.join(" "));
    }
    /// On the finished system: every step is so already, and nothing changes.
    #[track_caller]
    pub fn once_more(&self, args: &[&str], lost: &str) {
        let before = self.picture();
        self.run(args, lost).ends(0);
        assert_eq!(self.picture(), before, "{} again changed something", args.join(" "));
        for wrong in ["done", "failed", "unknown"] {
            assert_eq!(self.came_to(wrong), [""; 0], "{} again: {wrong}", args.join(" "));
        }
        // These hosts have no firewalld.
        let skipped: Vec<String> = self.came_to("skipped").into_iter().filter(|s| !s.contains("/firewall@")).collect();
        assert_eq!(skipped, [""; 0], "{} again: skipped", args.join(" "));
    }
    /// hawiz is killed in a step drawn by lot, and the run is gone on with.
    #[track_caller]
    pub fn killed_once(&mut self, args: &[&str], lost: &str) {
        let answers = self.answers(lost);
        let begun = Instant::now();
        let before = self.runs();
        let mut hawiz = self.hawiz(&[args, &["--yes", "--answers", &answers]].concat());
        let mut hawiz = hawiz.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("hawiz starts");
        let (lot, more) = (self.dice.below(10_000), Duration::from_millis(self.dice.below(3_000)));
        // The step is begun; then it is killed after a while, or when the next one begins.
        let mut in_it: Option<(Value, Instant)> = None;
        let until = Instant::now() + PATIENCE * 2;
        let step = loop {
            let started: Vec<Value> = match self.runs() > before {
                true => self.events().into_iter().filter(|e| e["type"] == "step-started").collect(),
                false => vec![],
            };
            let number = |e: &Value| e["number"].as_u64().expect("a step has a number");
            let of = started.first().map_or(2, |e| e["of"].as_u64().expect("of so many"));
            // Never the last one, which may end before anybody sees that it began.
            let drawn = 1 + lot % (of - 1).max(1);
            if in_it.is_none() {
                let reached = started.iter().find(|e| number(e) >= drawn);
                in_it = reached.map(|e| (e.clone(), Instant::now()));
            }
            if let Some((step, since)) = &in_it
                && (since.elapsed() >= more || started.last().is_some_and(|e| number(e) > number(step)))
            {
                break step.clone();
            }
            let ended = hawiz.try_wait().expect("a child of ours");
            assert!(ended.is_none(), "{}: it ended before step {drawn} of {of} began", args.join(" "));
            assert!(Instant::now() < until, "{}: step {drawn} of {of} never begins", args.join(" "));
            std::thread::sleep(Duration::from_millis(10));
        };
        hawiz.kill().expect("a child of ours");
        assert_eq!(ended(hawiz, PATIENCE), None, "it was killed");
        // A node that was just fenced is not there to be gone on with: that is said (6), until it is back.
        let until = Instant::now() + PATIENCE * 2;
        loop {
            let gone_on = said(self.hawiz(&["resume", "--yes", "--answers", &answers]));
            let away = gone_on.code == Some(6) && gone_on.out.contains("cannot reach");
            if !away || Instant::now() > until {
                gone_on.ends(0);
                break;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        let done = self.came_to("done");
        let mut once = done.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), done.len(), "done twice: {done:?}");
        let told = format!(
            "{}: killed in step {} of {} ({}), done after {:.0?}",
            args.join(" "),
            step["number"],
            step["of"],
            step["step"].as_str().unwrap_or_default(),
            begun.elapsed()
        );
        eprintln!("{told}");
        self.times.push(told);
    }
    /// What the newest run did is taken back.
    #[track_caller]
    pub fn taken_back(&mut self, what: &str) {
        let begun = Instant::now();
        said(self.hawiz(&["rollback", "--yes"])).ends(9);
        self.times.push(format!("{what} taken back: {:.0} s", begun.elapsed().as_secs_f64()));
    }
    /// A page is followed; then hawiz finds all of it so already. The changes it took.
    #[track_caller]
    pub fn on_paper(&mut self, args: &[&str], lost: &str) -> Vec<String> {
        let changed = self.page(args);
        self.once_more(args, lost);
        changed
    }
    /// Does what the checklist says, on the hosts that it names. The changes it took.
    #[track_caller]
    pub fn page(&mut self, args: &[&str]) -> Vec<String> {
        let begun = Instant::now();
        let procedure = args.strip_prefix(&["run"]).unwrap_or(args);
        let md = said(self.hawiz(&[&["plan"], procedure, &["--format", "md"]].concat())).ends(0).out;
        let sh = |place: &str, script: &str| match place {
            "this machine" => whole(&mut self.command("sh", &["-c", script])),
            host => self.lab.inside(host, script),
        };
        let by_hand = |what: &str| panic!("nothing is asked of a person here: {what}");
        let changed = paper::Person { sh: &sh, by_hand: &by_hand, written: &SECRETS }.follows(&md);
        let told = format!("{} on paper: {:.0} s", args.join(" "), begun.elapsed().as_secs_f64());
        eprintln!("{told}: {changed:?}");
        self.times.push(told);
        changed
    }

    // ------------------------------------------------------------ what is so

    /// What AWS was asked to change.
    pub fn aws_changes(&self) -> String {
        std::fs::read_to_string(self.lab.run.join("cloud/changes")).expect("AWS keeps it")
    }
    /// How often the fence device had a host's power cut.
    pub fn power_cuts(&self) -> usize {
        self.aws_changes().matches("AKIAFENCE StopInstances").count()
    }
    pub fn picture(&self) -> String {
        let hosts: Vec<String> = NODES.iter().map(|n| self.lab.on(n, PICTURE)).collect();
        format!("{}\n{}", hosts.join("\n"), self.aws_changes())
    }
    /// What the cluster is configured to run: its resources and their constraints, but not the fence device's keys.
    pub fn configured(&self) -> String {
        let node = self.up()[0];
        let shown = "for s in resources constraints; do cibadmin --query --scope $s 2>/dev/null || echo \"no $s\"; done | \
                     grep -v 'name=.\\(access\\|secret\\)_key'";
        self.lab.on(node, shown)
    }
    /// Public addresses that are allocated.
    pub fn public_addresses(&self) -> String {
        let args = ["ec2", "describe-addresses", "--query", "Addresses[].PublicIp", "--output", "text"];
        text(&whole(&mut self.command("aws", &args)).stdout)
    }
    pub fn up(&self) -> Vec<&'static str> {
        NODES.into_iter().filter(|n| self.lab.inside(n, "true").status.success()).collect()
    }
    /// Hosts with the address on the interface.
    pub fn addressed(&self) -> Vec<&'static str> {
        let has = |n: &&str| self.lab.on(n, "ip -o -4 addr show dev eth0").contains(&format!(" {VIP}/"));
        self.up().into_iter().filter(has).collect()
    }
    /// The node that runs the group, by the cluster's word; the address is on its interface and on no other.
    #[track_caller]
    pub fn holder(&self) -> String {
        let node = self.up()[0];
        let all = ["privip", "vip", "elastic"]
            .map(|r| self.lab.on(node, &format!("crm_resource --resource {r} --locate -Q")).trim().to_string());
        let one = all[0].clone();
        assert_eq!(all, [one.as_str(); 3], "who runs privip, vip, elastic");
        assert_eq!(self.addressed(), [one.as_str()], "who has {VIP}");
        one
    }
    pub fn instance(&self, node: &str) -> String {
        let all = std::fs::read_to_string(self.lab.run.join("cloud/instances")).expect("AWS keeps it");
        let line = all.lines().find(|l| l.starts_with(&format!("{node} "))).expect("every host is an instance");
        line.split(' ').nth(1).expect("its id").to_string()
    }
    /// What a person does at AWS's console.
    #[track_caller]
    pub fn console(&self, what: &str, node: &str) {
        let done = whole(&mut self.command("aws", &["ec2", what, "--instance-ids", &self.instance(node)]));
        assert!(done.status.success(), "{what} {node}: {}", text(&done.stderr));
    }
}

/// A node that holds nothing.
pub fn another(than: &str) -> &'static str {
    NODES.into_iter().rfind(|n| *n != than).expect("there are three")
}
