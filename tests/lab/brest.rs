//! A Raft zone on booted hosts, as an operator's station and an outsider see it.
//!
//! Why it exists: "one server holds the floating address" is seen here without hawiz and without the hosts' own word: in the
//! kernel's tables of each host's network, and by who answers for the address on the wire. What a procedure changed is read
//! from the system's own logs. Invariant: whatever is started lives in the [`Lab`] and ends with it.

use crate::paper;
use crate::rig::{Lab, PATIENCE, Person, Said, said, script, text, whole};
use crate::support::Dice;
use serde_json::Value;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const ALL: [&str; 4] = ["front1", "front2", "front3", "front4"];
const FLOAT: &str = "10.77.0.40";

/// What a host would tell of a change: the management service's log, statements that wrote to the database, units that were
/// started or stopped, addresses, and the files of whatever the playbook touches.
const PICTURE: &str = r#"
cat /var/log/one/oned.log
grep -h 'statement:' /var/log/postgresql/*.log || :
journalctl -q -o cat -u opennebula -u opennebula-sunstone -u apache2 -u postgresql -u postgresql@15-main
ip -o -4 addr show dev eth0
find /etc/one /etc/apache2 /etc/systemd/system /root /var/lib/one -type f -exec sha256sum {} + | sort -k 2
"#;

pub struct Zone {
    pub lab: Lab,
    site: Cell<&'static str>,
}

/// What a run left in its journal.
pub struct Journal(Vec<Value>);

impl Journal {
    fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().map(|r| &r["event"]).filter(move |e| e["type"] == kind)
    }
    /// Steps whose outcome is this: their ids.
    pub fn steps(&self, outcome: &str) -> Vec<String> {
        let of = self.of("step-finished").filter(|e| e["outcome"]["is"] == outcome);
        of.map(|e| e["step"].as_str().unwrap_or_default().to_string()).collect()
    }
}

impl Zone {
    /// Four servers, each alone, with sshd; the site file names the first three.
    pub fn new(test: &str) -> Option<Zone> {
        let lab = Lab::world(test, "brest", None)?;
        let out = whole(Command::new(script("stations")).arg(&lab.run));
        assert!(out.status.success(), "{}", text(&out.stderr));
        let at = lab.run.join("station1");
        let four = std::fs::read_to_string(at.join("ssh.toml")).expect("it was made");
        let mut kept = true;
        let three = four.lines().filter(|line| {
            kept = if line.starts_with('[') { !line.starts_with("[nodes.front4") } else { kept };
            kept
        });
        std::fs::write(at.join("three.toml"), three.collect::<Vec<_>>().join("\n")).expect("the run is ours");
        Some(Zone { lab, site: Cell::new("three.toml") })
    }
    /// A zone of three that was made without hawiz.
    pub fn made(test: &str) -> Option<Zone> {
        let zone = Zone::new(test)?;
        let keys = "[ -e /root/.ssh/id_rsa ] || ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_rsa; cat /root/.ssh/id_rsa.pub";
        let all: String = ALL.map(|n| zone.lab.on(n, keys) + "\n").concat();
        let hosts =
            ALL.map(|n| format!("{n},{n}.brest.test {}\n", zone.lab.on(n, "cat /etc/ssh/ssh_host_ed25519_key.pub")));
        for node in ALL {
            zone.lab.on(
                node,
                &format!(
                    "echo '{all}' >>/root/.ssh/authorized_keys; echo '{}' >/root/.ssh/known_hosts",
                    hosts.concat()
                ),
            );
        }
        zone.lab.on(
            "front1",
            &format!("printf '3\\neth0\\n{FLOAT}\\nfront1\\nfront2\\nfront3\\n' | brestcloud-raft-configure"),
        );
        zone.settles(PATIENCE);
        Some(zone)
    }
    pub fn four(&self) {
        self.site.set("ssh.toml");
    }
    fn at(&self) -> PathBuf {
        self.lab.run.join("station1")
    }
    pub fn answers(&self, text: &str) -> String {
        let path = self.at().join("answers.toml");
        std::fs::write(&path, text).expect("the run is ours");
        path.display().to_string()
    }
    pub fn hawiz(&self, args: &[&str]) -> Command {
        let playbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks/brest.toml");
        let at = self.at();
        let mut hawiz = self.lab.hawiz_at("station1", &at.join(self.site.get()), &playbook, &at.join("state"), args);
        hawiz.env("HAWIZ_SSH_CONFIG", at.join("config"));
        hawiz
    }
    pub fn say(&self, args: &[&str]) -> Said {
        said(self.hawiz(args))
    }
    pub fn person(&self, args: &[&str]) -> Person {
        // `script` runs a line of the shell, so the configuration travels in the command.
        let hawiz = self.hawiz(args);
        let mut command = Command::new("env");
        command.arg(format!("HAWIZ_SSH_CONFIG={}", self.at().join("config").display()));
        command.arg(hawiz.get_program()).args(hawiz.get_args());
        Person::at(&command)
    }
    pub fn journal(&self) -> Journal {
        let runs = std::fs::read_dir(self.at().join("state/runs")).into_iter().flatten().flatten();
        let newest = runs.map(|e| e.path()).max();
        let text = newest.and_then(|r| std::fs::read_to_string(r.join("journal.jsonl")).ok()).unwrap_or_default();
        Journal(text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect())
    }
    fn runs(&self) -> usize {
        std::fs::read_dir(self.at().join("state/runs")).into_iter().flatten().count()
    }

    /// Does what the checklist of a procedure says, on the servers that it names; the changes that it took.
    #[track_caller]
    pub fn on_paper(&self, args: &[&str]) -> Vec<String> {
        let md = self.say(&[args, &["--format", "md"]].concat()).ends(0).out;
        let sh = |place: &str, script: &str| match place {
            "this machine" => whole(self.lab.place("station1", "sh").args(["-c", script])),
            host => self.lab.inside(host, script),
        };
        let by_hand = |what: &str| panic!("nothing is asked of a person here: {what}");
        let vars = ["one_etc=/etc/one", "one_home=/var/lib/one", "root=/root", "apache=/etc/apache2"];
        let vars = vars.map(|v| v.split_once('=').expect("a pair")).map(|(n, v)| (n.to_string(), v.to_string()));
        paper::Person { sh: &sh, by_hand: &by_hand, written: &[], of_node: &|_| vars.to_vec() }.follows(&md)
    }

    // -------------------------------------------------------- three times

    pub fn picture(&self, nodes: &[&str]) -> Vec<String> {
        let lab = &self.lab;
        let one = |n: &str| format!("{n}\n{}", lab.on(n, PICTURE));
        std::thread::scope(|s| {
            let all: Vec<_> = nodes.iter().map(|n| s.spawn(move || one(n))).collect();
            all.into_iter().map(|t| t.join().expect("the host can be asked")).collect()
        })
    }
    /// A dry run: nothing is different afterwards.
    #[track_caller]
    pub fn dry(&self, args: &[&str]) {
        let before = self.picture(&ALL);
        self.say(&[args, &["--dryrun"]].concat()).ends(0);
        same(&before, &self.picture(&ALL));
    }
    /// hawiz is killed at a step drawn by lot among the first of a run, and the run is gone on with. How many steps had
    /// ended when it was killed is returned.
    #[track_caller]
    pub fn interrupted(&self, args: &[&str], answers: &str, dice: &mut Dice, among: u64) -> usize {
        let before = self.runs();
        let mut all = vec!["--yes", "--answers", answers];
        all.splice(0..0, args.iter().copied());
        let after = 1 + usize::try_from(dice.below(among)).expect("small");
        let mut hawiz = self.hawiz(&all).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("hawiz starts");
        let until = Instant::now() + PATIENCE;
        while self.runs() == before || self.journal().steps("done").len() < after {
            assert!(Instant::now() < until, "{args:?}: step {after} never ends");
            if hawiz.try_wait().expect("a child of ours").is_some() {
                panic!("{args:?}: it ended before {after} changes: {:?}", self.journal().steps("done"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        hawiz.kill().expect("SIGKILL");
        hawiz.wait().expect("a child of ours");
        self.say(&["resume", "--yes", "--answers", answers]).ends(0);
        let done = self.journal().steps("done");
        let mut once = done.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), done.len(), "done twice: {done:?}");
        after
    }
    /// On the finished system: no step does anything, and the system's own logs say the same. Those that were skipped.
    #[track_caller]
    pub fn again(&self, args: &[&str], answers: &str) -> Vec<String> {
        let before = self.picture(&ALL);
        let said = self.say(&[args, &["--yes", "--answers", answers]].concat()).ends(0);
        let after = self.picture(&ALL);
        if before != after {
            eprintln!("{}", said.out);
        }
        same(&before, &after);
        let journal = self.journal();
        let by_hand = |s: &String| s.contains("/what-only-a-person-knows/");
        let done: Vec<String> = journal.steps("done").into_iter().filter(|s| !by_hand(s)).collect();
        assert_eq!(done, [""; 0], "done again");
        journal.steps("skipped")
    }

    // -------------------------------------------------------- who holds the address

    /// Hosts whose network has the floating address: the kernel's word.
    pub fn holders(&self) -> Vec<&'static str> {
        let has = |node: &&'static str| {
            let net = format!("hzlab-{}-{node}", self.lab.token());
            let out =
                Command::new("ip").args(["-n", &net, "-o", "-4", "addr", "show", "dev", "eth0", "to", FLOAT]).output();
            !out.expect("iproute2 is here").stdout.is_empty()
        };
        ALL.into_iter().filter(has).collect()
    }
    /// Machine addresses that answer for it on the wire.
    pub fn answering(&self) -> Vec<String> {
        let net = format!("--net=/run/netns/hzlab-{}-wire", self.lab.token());
        let root = self.lab.run.join("front1/root");
        let mut ask = Command::new("nsenter");
        ask.arg(net).args(["chroot", &root.display().to_string(), "arping", "-c", "2", "-w", "3", "-I", "br0", FLOAT]);
        let said = text(&ask.output().expect("nsenter is here").stdout);
        let mac = |l: &str| Some(l.split_once('[')?.1.split_once(']')?.0.to_lowercase());
        let mut macs: Vec<String> = said.lines().filter_map(mac).collect();
        macs.sort();
        macs.dedup();
        macs
    }
    fn mac(&self, node: &str) -> String {
        let net = format!("hzlab-{}-{node}", self.lab.token());
        let out = Command::new("ip").args(["-n", &net, "-o", "link", "show", "dev", "eth0"]).output();
        let out = text(&out.expect("iproute2 is here").stdout);
        let mac = out.split_once("link/ether ").and_then(|(_, m)| m.split(' ').next());
        mac.unwrap_or_else(|| panic!("{out}")).to_lowercase()
    }
    /// Each server's state, as the one at `node` sees it: ENDPOINT'S HOST STATE.
    pub fn states(&self, node: &str) -> Vec<(String, String)> {
        let rows =
            "onezone show 0 | awk '/SERVERS/ { t = 1 } /STATUS/ { t = 2 } t == 1 && $1 ~ /^[0-9]+$/ { at[$1] = $NF }
                    t == 2 && $1 ~ /^[0-9]+$/ { print at[$1], $3 }'";
        let row = |l: &str| {
            let (at, state) = l.split_once(' ').expect("two words");
            let host = at.trim_start_matches("http://").split([':', '.']).next().expect("a host");
            (host.to_string(), state.to_string())
        };
        self.lab.on(node, rows).lines().map(row).collect()
    }
    /// One server holds the address, it is the leader by its own word, and the wire hears nobody else: who.
    #[track_caller]
    pub fn leader(&self) -> &'static str {
        let holders = self.holders();
        assert_eq!(holders.len(), 1, "who holds {FLOAT}: {holders:?}");
        let node = holders[0];
        assert_eq!(self.answering(), [self.mac(node)], "who answers for {FLOAT}");
        let leads: Vec<String> = self.states(node).into_iter().filter(|s| s.1 == "leader").map(|s| s.0).collect();
        assert_eq!(leads, [node]);
        node
    }
    /// Waits until one server that is not `gone` holds the address.
    #[track_caller]
    pub fn taken(&self, gone: &str, patience: Duration) -> &'static str {
        let until = Instant::now() + patience;
        loop {
            if let [node] = self.holders()[..]
                && node != gone
            {
                return node;
            }
            assert!(Instant::now() < until, "nobody takes {FLOAT}: {:?}", self.holders());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    /// Waits until every server of the zone leads or follows, and all are at the same place of the log.
    #[track_caller]
    pub fn settles(&self, patience: Duration) {
        let node = self.taken("", patience);
        let until = Instant::now() + patience;
        // Whoever has just started follows before it has caught up: term and index say when.
        let even = "onezone show 0 | awk '/STATUS/ { t = 1 } t && $1 ~ /^[0-9]+$/ { print $4, $5 }' | sort -u | wc -l";
        while self.lab.on(node, even) != "1" || self.states(node).iter().any(|s| s.1 != "leader" && s.1 != "follower") {
            assert!(Instant::now() < until, "{:?}", self.states(node));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[track_caller]
pub fn same(before: &[String], after: &[String]) {
    for (a, b) in before.iter().zip(after) {
        let new: Vec<&str> = b.lines().filter(|l| !a.lines().any(|m| m == *l)).collect();
        let gone: Vec<&str> = a.lines().filter(|l| !b.lines().any(|m| m == *l)).collect();
        assert!(a == b, "{} changed; new: {new:#?} gone: {gone:#?}", a.lines().next().unwrap_or_default());
    }
}
