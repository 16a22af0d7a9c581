//! A Raft zone on booted hosts, as an operator's station and an outsider see it.
//!
//! Why it exists: "one server holds the floating address" is seen here without hawiz and without the hosts' own word: in the
//! kernel's tables of each host's network, and by who answers for the address on the wire. What a procedure changed is read
//! from the system's own logs. Invariant: whatever is started lives in the [`Lab`] and ends with it.

use crate::paper;
use crate::rig::{Lab, PATIENCE, Person, Said, said, text, whole};
use crate::support::Dice;
use serde_json::Value;
use std::cell::Cell;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

pub const ALL: [&str; 4] = ["front1", "front2", "front3", "front4"];
pub const FLOAT: &str = "10.77.0.40";

/// What a host would tell of a change: the management service's log, statements that wrote to the database, units that were
/// started or stopped, addresses, and the files of whatever the playbook touches.
const PICTURE: &str = r#"
cat /var/log/one/oned.log
grep -h 'statement:' /var/log/postgresql/*.log || :
journalctl -q -o cat -u opennebula -u opennebula-sunstone -u apache2 -u postgresql -u postgresql@15-main
ip -o -4 addr show dev eth0
find /etc/one /etc/apache2 /etc/systemd/system /root /var/lib/one -type f -exec sha256sum {} + | sort -k 2
"#;

/// What the wizard asks, and what is typed.
pub const ASKED: [(&str, &str); 6] = [
    ("Количество экземпляров", "3\r"),
    ("Сетевой интерфейс", "eth0\r"),
    ("Плавающий IP-адрес", "10.77.0.40\r"),
    ("экземпляра 1:", "front1\r"),
    ("экземпляра 2:", "front2\r"),
    ("экземпляра 3:", "front3\r"),
];
pub fn answered(person: &mut Person, questions: &[(&str, &str)]) {
    for (what, keys) in questions {
        person.asked(what, keys);
    }
}

/// Said past the test harness, which keeps what a passed test prints to itself.
pub fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {what}");
}

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
        lab.sshd();
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
        Person::at(&self.hawiz(args))
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
    pub fn on_paper(&self, args: &[&str], by_hand: &dyn Fn(&str)) -> Vec<String> {
        let what = args.strip_prefix(&["run"]).unwrap_or(args);
        let md = self.say(&[&["plan"], what, &["--format", "md"]].concat()).ends(0).out;
        let sh = |place: &str, script: &str| match place {
            "this machine" => whole(self.lab.place("station1", "sh").args(["-c", script])),
            // The one thing on a page that is typed at a terminal.
            host if script.contains("\nbrestcloud-raft-configure\n") => {
                let mut person = Person::at(Command::new(self.lab.run.join("enter")).args([host, "sh", "-c", script]));
                answered(&mut person, &ASKED);
                let said = person.end();
                let status = ExitStatus::from_raw(said.code.unwrap_or(1) << 8);
                Output { status, stdout: said.out.into_bytes(), stderr: Vec::new() }
            }
            host => self.lab.inside(host, script),
        };
        paper::Person { sh: &sh, by_hand, written: &[] }.follows(&md)
    }

    // -------------------------------------------------------- three times

    /// Of every host that has its power.
    fn picture(&self) -> Vec<String> {
        let lab = &self.lab;
        let one = |n: &str| match lab.inside(n, "true").status.success() {
            true => format!("{n}\n{}", lab.on(n, PICTURE)),
            false => format!("{n} is off"),
        };
        std::thread::scope(|s| {
            let all: Vec<_> = ALL.iter().map(|n| s.spawn(move || one(n))).collect();
            all.into_iter().map(|t| t.join().expect("the host can be asked")).collect()
        })
    }
    /// A dry run: nothing is different afterwards.
    #[track_caller]
    pub fn dry(&self, args: &[&str]) {
        let before = self.picture();
        self.say(&[args, &["--dryrun"]].concat()).ends(0);
        same(&before, &self.picture());
    }
    /// hawiz is killed at a place drawn by lot, and the run is gone on with: nothing is done twice. Where it was is returned.
    ///
    /// By lot it is the beginning of any step, or one of the first `changes` changes; and then some moments later.
    #[track_caller]
    pub fn interrupted(&self, args: &[&str], answers: &str, dice: &mut Dice, changes: u64) -> String {
        let before = self.runs();
        let all = [args, &["--yes", "--answers", answers]].concat();
        let mut hawiz = self.hawiz(&all).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("hawiz starts");
        let amid_a_change = changes > 0 && dice.below(3) > 0;
        let (lot, later) = (dice.below(1 << 20), Duration::from_millis(dice.below(120)));
        let until = Instant::now() + PATIENCE;
        let at = loop {
            // (Of how many steps is known when the first one begins.)
            let journal = if self.runs() > before { self.journal() } else { Journal(Vec::new()) };
            let begun = journal.of("step-started").last().map(|e| (e["number"].as_u64(), e["of"].as_u64()));
            let tried = journal.of("step-intent").count() as u64;
            match begun {
                Some((Some(number), _)) if amid_a_change && tried > lot % changes => break format!("in step {number}"),
                Some((Some(number), Some(of))) if !amid_a_change && number > lot % (of - 2) => {
                    break format!("at step {number} of {of}");
                }
                _ => {}
            }
            assert!(Instant::now() < until, "{args:?}: hawiz never comes where it is to be killed");
            if hawiz.try_wait().expect("a child of ours").is_some() {
                panic!("{args:?}: it ended before it was killed: {:?}", self.journal().steps("done"));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        std::thread::sleep(later);
        hawiz.kill().expect("SIGKILL");
        hawiz.wait().expect("a child of ours");
        self.say(&["resume", "--yes", "--answers", answers]).ends(0);
        self.once();
        eprintln!("{}: killed {at}", args[..2].join(" "));
        at
    }
    /// No change of the last run was made twice.
    #[track_caller]
    pub fn once(&self) {
        let done = self.journal().steps("done");
        let mut once = done.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), done.len(), "done twice: {done:?}");
    }
    /// On the finished system: every step is already so, and the system's own logs say that nothing was changed.
    #[track_caller]
    pub fn again(&self, args: &[&str], answers: &str) {
        let before = self.picture();
        let said = self.say(&[args, &["--yes", "--answers", answers]].concat()).ends(0);
        let after = self.picture();
        if before != after {
            eprintln!("{}", said.out);
        }
        same(&before, &after);
        let journal = self.journal();
        let by_hand = |s: &String| s.contains("/what-only-a-person-knows/");
        let done: Vec<String> = journal.steps("done").into_iter().filter(|s| !by_hand(s)).collect();
        assert_eq!(done, [""; 0], "done again");
        // (Whether the address is free is asked of a new zone only.)
        let skipped: Vec<String> =
            journal.steps("skipped").into_iter().filter(|s| !s.starts_with("preflight/who-holds")).collect();
        assert_eq!(skipped, [""; 0], "already so is not skipped");
    }
    /// hawiz ends at once, with no chance to say anything: the one that this zone's state directory is given to.
    #[track_caller]
    pub fn kill_hawiz(&self) {
        let state = self.at().join("state").display().to_string();
        let ours = |pid: &String| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = words.split(|b| *b == 0).collect();
            words[0].ends_with(b"/hawiz") && words.contains(&state.as_bytes())
        };
        let all = std::fs::read_dir("/proc").expect("there is /proc").flatten();
        let pids: Vec<String> = all.filter_map(|e| e.file_name().into_string().ok()).filter(ours).collect();
        assert_eq!(pids.len(), 1, "which hawiz? {pids:?}");
        assert!(whole(Command::new("kill").args(["-KILL", &pids[0]])).status.success());
    }
    /// Waits until the wizard, which has lost its terminal, is gone.
    #[track_caller]
    pub fn wizard_ends(&self) {
        let until = Instant::now() + PATIENCE;
        while self.lab.inside("front1", "pgrep -f '[b]restcloud-raft-configure'").status.success() {
            assert!(Instant::now() < until, "the wizard never ends");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    /// What makes a server itself, before there is a zone.
    pub fn alone(&self, node: &str) -> String {
        self.lab.on(
            node,
            "cat /etc/one/one.d/raft.conf /var/lib/one/.one/one_auth; systemctl is-active opennebula; a2query -q -s ipa-one-apache2-float || echo no site
             runuser -u postgres -- psql -qAtX opennebula -c 'SELECT * FROM zone_pool'",
        )
    }

    // -------------------------------------------------------- who holds the address

    /// Hosts whose network has the floating address: the kernel's word.
    pub fn holders(&self) -> Vec<&'static str> {
        let has = |node: &&'static str| {
            let net = self.lab.net(node);
            let out =
                whole(Command::new("ip").args(["-n", &net, "-o", "-4", "addr", "show", "dev", "eth0", "to", FLOAT]));
            !out.stdout.is_empty()
        };
        ALL.into_iter().filter(has).collect()
    }
    /// Machine addresses that answer for it on the wire.
    pub fn answering(&self) -> Vec<String> {
        let mut ask = self.lab.place("wire", "chroot");
        ask.arg(self.lab.run.join("front1/root")).args(["arping", "-c", "2", "-w", "3", "-I", "br0", FLOAT]);
        let said = text(&whole(&mut ask).stdout);
        let mac = |l: &str| Some(l.split_once('[')?.1.split_once(']')?.0.to_lowercase());
        let mut macs: Vec<String> = said.lines().filter_map(mac).collect();
        macs.sort();
        macs.dedup();
        macs
    }
    fn mac(&self, node: &str) -> String {
        let net = self.lab.net(node);
        let out = text(&whole(Command::new("ip").args(["-n", &net, "-o", "link", "show", "dev", "eth0"])).stdout);
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
