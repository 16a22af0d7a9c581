//! Two booted systemd hosts, a real database, a real address: activate, hand over, interrupt, resume, roll back.
//!
//! Why it exists: stand-ins on PATH agree with whoever wrote them. Here `systemctl` is systemd's, the database is
//! PostgreSQL's, the address is on an interface and the power can be cut in the middle of a step; only xCAT's own
//! commands are stand-ins, and they too need the database. How the hosts are made is told in `docs/lab.md`.
//!
//! The tests run where they can (root, systemd-nspawn, and the root file system that `tests/lab/prepare` makes); elsewhere
//! each says on stderr that it was skipped, and why. `HAWIZ_LAB=1` makes that a failure, `HAWIZ_LAB=0` skips them all.
//! Every test has hosts of its own; whatever it starts is ended by `tests/lab/down` when its [`Lab`] goes out of scope.

#[path = "lab/ssh.rs"]
mod ssh;
mod support;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const VIP: &str = "10.5.106.7";

/// What one test may take; a hung test says where instead of hanging the suite.
const PATIENCE: Duration = Duration::from_secs(90);

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab").join(name)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_string()
}

/// One run of the lab: its hosts live as long as this.
struct Lab {
    run: PathBuf,
}

/// What a command of hawiz gave.
struct Said {
    code: Option<i32>,
    out: String,
}

impl Said {
    #[track_caller]
    fn ends(self, code: i32) -> Said {
        assert_eq!(self.code, Some(code), "{}", self.out);
        self
    }
    #[track_caller]
    fn says(self, what: &str) -> Said {
        assert!(self.out.contains(what), "`{what}` is not in:\n{}", self.out);
        self
    }
    fn last(&self) -> &str {
        self.out.lines().last().unwrap_or_default()
    }
}

impl Lab {
    /// Boots the hosts, or says aloud why this test is skipped.
    fn new(test: &str) -> Option<Lab> {
        let wish = std::env::var("HAWIZ_LAB").unwrap_or_default();
        let can = Command::new(script("can")).output().expect("`sh` runs tests/lab/can");
        let why = match wish.as_str() {
            "0" => Some("HAWIZ_LAB=0".to_string()),
            _ if !can.status.success() => Some(text(&can.stdout)),
            _ => None,
        };
        if let Some(why) = why {
            assert_ne!(wish, "1", "HAWIZ_LAB=1, but the lab cannot be had: {why}");
            // Past the test harness, which keeps what a passed test prints to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED lab::{test}: {why}");
            return None;
        }
        let up =
            Command::new(script("up")).arg(std::process::id().to_string()).output().expect("`sh` runs tests/lab/up");
        assert!(up.status.success(), "the lab did not come up: {}", text(&up.stderr));
        Some(Lab { run: PathBuf::from(text(&up.stdout)) })
    }
    fn token(&self) -> String {
        self.run.file_name().expect("a run has a name").to_string_lossy().into_owned()
    }
    /// A command line of hawiz on the operator's machine: a third place on the wire, with no other network.
    fn hawiz(&self, args: &[&str]) -> Command {
        let mut c = Command::new("nsenter");
        c.arg(format!("--net=/run/netns/hzlab-{}-wire", self.token())).arg(env!("CARGO_BIN_EXE_hawiz"));
        c.arg("--site").arg(self.run.join("hawiz.toml"));
        c.arg("--playbook").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks/xcat.toml"));
        c.arg("--state-dir").arg(self.run.join("state")).args(args);
        for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("HAWIZ_")) {
            c.env_remove(name);
        }
        c.stdin(Stdio::null());
        c
    }
    fn say(&self, args: &[&str]) -> Said {
        said(self.hawiz(args))
    }
    /// Starts hawiz and comes back while `unit` on `node` is being started by it.
    fn amid(&self, args: &[&str], node: &str, unit: &str) -> Child {
        let mut child = self.hawiz(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("hawiz starts");
        let until = Instant::now() + PATIENCE;
        while self.on(node, &format!("systemctl is-active {unit} || :")) != "activating" {
            assert!(Instant::now() < until, "{unit} is never started");
            assert!(child.try_wait().expect("a child of ours").is_none(), "hawiz ended before it started {unit}");
            std::thread::sleep(Duration::from_millis(50));
        }
        child
    }
    /// What a shell inside a host prints.
    #[track_caller]
    fn on(&self, node: &str, shell: &str) -> String {
        let out = self.inside(node, shell);
        assert!(out.status.success(), "`{shell}` on {node}: {}{}", text(&out.stdout), text(&out.stderr));
        text(&out.stdout)
    }
    fn inside(&self, node: &str, shell: &str) -> Output {
        Command::new(self.run.join("enter")).args([node, "sh", "-c", shell]).output().expect("the run has its enter")
    }
    #[track_caller]
    fn power(&self, node: &str, how: &str) {
        let out = Command::new(script("power")).arg(&self.run).args([node, how]).output().expect("`sh` runs it");
        assert!(out.status.success(), "{node} {how}: {}", text(&out.stderr));
    }
    /// From now on a start of xcatd takes this long, and starts are counted anew.
    fn slow(&self, node: &str, seconds: u32) {
        self.on(node, &format!("mkdir -p /run/lab; echo {seconds} >/run/lab/slow; rm -f /var/log/lab-xcatd-starts"));
    }
    fn starts(&self, node: &str) -> usize {
        self.on(node, "cat /var/log/lab-xcatd-starts").lines().count()
    }
    fn holds(&self, node: &str) -> bool {
        self.on(node, "ip -o -4 addr show dev eth0").contains(&format!(" {VIP}/8 "))
    }
    /// Nothing but what is really so on a node that is active.
    #[track_caller]
    fn is_active(&self, node: &str) {
        assert!(self.holds(node), "{node} does not hold {VIP}");
        let units = "postgresql postgresql@15-main xcatd named dhcpd ntpd";
        assert_eq!(self.on(node, &format!("systemctl is-active {units}")), ["active"; 6].join("\n"));
        assert_eq!(self.on(node, "hostname"), "xcatmn1");
        assert_eq!(self.on(node, "psql -XAtq -h 10.5.106.7 -U xcatadm xcatdb -c 'SELECT 1'"), "1");
        let from_the_wire = self.on(if node == "xcatmn1" { "xcatmn2" } else { "xcatmn1" }, "ping -c 1 -w 3 10.5.106.7");
        assert!(from_the_wire.contains("1 received"), "{from_the_wire}");
        self.stays_off(node);
    }
    #[track_caller]
    fn is_inactive(&self, node: &str) {
        assert!(!self.holds(node), "{node} still holds {VIP}");
        let units = "postgresql postgresql@15-main xcatd named dhcpd conserver ntpd";
        let states = self.on(node, &format!("systemctl is-active {units} || :"));
        assert_eq!(states, ["inactive"; 7].join("\n"), "{node}");
        assert_eq!(self.on(node, "pgrep -x postgres || echo none"), "none");
        self.stays_off(node);
    }
    #[track_caller]
    fn stays_off(&self, node: &str) {
        let states = self.on(node, "systemctl is-enabled postgresql xcatd named dhcpd conserver 2>/dev/null || :");
        assert_eq!(states, ["disabled"; 5].join("\n"), "{node}");
    }
    #[track_caller]
    fn only(&self, node: &str) {
        let status = self.say(&["status"]).ends(0);
        assert_eq!(status.last(), format!("{node} is active"), "{}", status.out);
    }
    #[track_caller]
    fn nobody(&self) {
        let status = self.say(&["status"]).ends(4);
        assert_eq!(status.last(), "nobody is active", "{}", status.out);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let down = Command::new(script("down")).arg(&self.run).output().expect("`sh` runs tests/lab/down");
        if std::thread::panicking() {
            return;
        }
        assert!(down.status.success(), "{}", text(&down.stderr));
        let token = format!("hzlab-{}-", self.token());
        let left = |dir: &str| {
            std::fs::read_dir(dir)
                .into_iter()
                .flatten()
                .flatten()
                .filter(|e| e.file_name().to_string_lossy().starts_with(&token))
                .count()
        };
        for dir in [
            "/run/netns",
            "/sys/fs/cgroup",
            "/sys/fs/cgroup/systemd",
            "/sys/fs/cgroup/unified",
            "/run/systemd/nspawn/propagate",
        ] {
            assert_eq!(left(dir), 0, "something of {token} is left in {dir}");
        }
        let mounts = std::fs::read_to_string("/proc/self/mounts").expect("there is /proc");
        assert!(!mounts.contains(&*self.run.to_string_lossy()), "{mounts}");
        assert!(!self.run.exists());
    }
}

fn said(mut command: Command) -> Said {
    let out = command.output().expect("hawiz starts");
    Said { code: out.status.code(), out: text(&[out.stdout, out.stderr].concat()) }
}

/// A person at a terminal (util-linux's `script` holds it).
struct Person {
    child: Child,
    seen: Arc<Mutex<Vec<u8>>>,
    read: usize,
}

impl Person {
    fn at(command: &Command) -> Person {
        let mut words = vec![command.get_program().to_string_lossy().into_owned()];
        words.extend(command.get_args().map(|a| a.to_string_lossy().into_owned()));
        let line: Vec<String> = words.iter().map(|w| format!("'{}'", w.replace('\'', r"'\''"))).collect();
        let mut script = Command::new("script");
        script.args(["-qefc", &line.join(" "), "/dev/null"]).env("TERM", "xterm").env("NO_COLOR", "1");
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("util-linux has script");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut out, into) = (child.stdout.take().expect("piped"), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = out.read(&mut bytes) {
                into.lock().expect("nobody panics with it").extend_from_slice(&bytes[..n]);
            }
        });
        Person { child, seen, read: 0 }
    }
    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().expect("nobody panics with it")).into_owned()
    }
    /// Waits until `what` is on the screen after what was read before; then types `keys`.
    #[track_caller]
    fn asked(&mut self, what: &str, keys: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if let Some(at) = screen.get(self.read..).and_then(|new| new.find(what)) {
                self.read += at + what.len();
                break;
            }
            assert!(Instant::now() < until, "`{what}` never came on the screen:\n{screen}");
            assert!(self.child.try_wait().expect("ours").is_none(), "it ended before `{what}`:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
        // A question is drawn before its keys count; what is typed earlier is thrown away.
        std::thread::sleep(Duration::from_millis(300));
        self.child.stdin.as_mut().expect("piped").write_all(keys.as_bytes()).expect("script reads");
    }
    fn end(mut self) -> Said {
        let until = Instant::now() + PATIENCE;
        let code = loop {
            match self.child.try_wait().expect("a child of ours") {
                Some(status) => break status.code(),
                None if Instant::now() > until => {
                    let _ = self.child.kill();
                    break None;
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        Said { code, out: self.screen() }
    }
}

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
