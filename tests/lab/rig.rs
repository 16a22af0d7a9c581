//! One run of the lab, for the tests: its hosts live as long as the [`Lab`] does.
//!
//! Why it exists: the tests of single commands and those of a failover boot the same hosts; what both need to enter a host,
//! run hawiz and know the truth stands here once. Whatever a test starts is ended by `tests/lab/down` when its [`Lab`] goes
//! out of scope, which looks that nothing is left.
#![allow(dead_code, reason = "each test file takes what it needs of it")]

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const VIP: &str = "10.5.106.7";

/// How long a test waits for something to come; a hung test says where instead of hanging the suite.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// How long a test waits until so many more hosts may be booted, which `up` says by its exit code.
const ROOM: Duration = Duration::from_secs(900);
const NO_ROOM: i32 = 75;
/// How long a whole command is waited for.
const ANY_COMMAND: Duration = Duration::from_secs(240);

pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab").join(name)
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_string()
}

/// One run of the lab: its hosts live as long as this.
pub struct Lab {
    pub run: PathBuf,
}

/// What a command of hawiz gave.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
}

impl Said {
    #[track_caller]
    pub fn ends(self, code: i32) -> Said {
        assert_eq!(self.code, Some(code), "{}", self.out);
        self
    }
    #[track_caller]
    pub fn says(self, what: &str) -> Said {
        assert!(self.out.contains(what), "`{what}` is not in:\n{}", self.out);
        self
    }
    pub fn last(&self) -> &str {
        self.out.lines().last().unwrap_or_default()
    }
}

impl Lab {
    /// Boots the hosts, or says aloud why this test is skipped.
    pub fn new(test: &str) -> Option<Lab> {
        Lab::boot(test, None)
    }
    /// The same; each host has a disk of its own of so many MiB, which can be filled.
    pub fn boot(test: &str, disk: Option<u32>) -> Option<Lab> {
        Lab::world(test, "xcat", disk)
    }
    /// The same with the hosts of another world (`tests/lab/worlds`).
    pub fn world(test: &str, world: &str, disk: Option<u32>) -> Option<Lab> {
        let wish = std::env::var("HAWIZ_LAB").unwrap_or_default();
        let can = whole(&mut Command::new(script("can")));
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
        let mut up = Command::new(script("up"));
        up.arg(std::process::id().to_string()).env_remove("HAWIZ_LAB_DISK").env("HAWIZ_LAB_WORLD", world);
        up.envs(disk.map(|mib| ("HAWIZ_LAB_DISK", mib.to_string())));
        let until = Instant::now() + ROOM;
        let up = loop {
            let up = whole(&mut up);
            if up.status.code() != Some(NO_ROOM) || Instant::now() > until {
                break up;
            }
            // The other tests' hosts go away when these end.
            std::thread::sleep(Duration::from_secs(1));
        };
        assert!(up.status.success(), "the lab did not come up: {}", text(&up.stderr));
        Some(Lab { run: PathBuf::from(text(&up.stdout)) })
    }
    pub fn token(&self) -> String {
        self.run.file_name().expect("a run has a name").to_string_lossy().into_owned()
    }
    /// A command line of hawiz on the operator's machine: a third place on the wire, with no other network.
    pub fn hawiz(&self, args: &[&str]) -> Command {
        let playbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks/xcat.toml");
        self.hawiz_at("wire", &self.run.join("hawiz.toml"), &playbook, &self.run.join("state"), args)
    }
    /// The same at a place on the wire, with a site file, a playbook and a state directory of one's own.
    pub fn hawiz_at(&self, place: &str, site: &Path, playbook: &Path, state: &Path, args: &[&str]) -> Command {
        let mut c = self.place(place, env!("CARGO_BIN_EXE_hawiz"));
        c.arg("--site").arg(site).arg("--playbook").arg(playbook).arg("--state-dir").arg(state).args(args);
        for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("HAWIZ_")) {
            c.env_remove(name);
        }
        c
    }
    /// A program at a place on the wire: `wire` itself, a station, a host seen from outside.
    pub fn place(&self, place: &str, program: impl AsRef<OsStr>) -> Command {
        let mut c = Command::new("nsenter");
        c.arg(format!("--net=/run/netns/{}", self.net(place))).arg(program).stdin(Stdio::null());
        c
    }
    /// The name of a place's network namespace.
    pub fn net(&self, place: &str) -> String {
        format!("hzlab-{}-{place}", self.token())
    }
    /// Pulls the plug of a host out of the wall (`down`) or puts it back (`up`); the host's end keeps its address.
    #[track_caller]
    pub fn cable(&self, node: &str, how: &str) {
        let out = whole(Command::new("ip").args(["-n", &self.net("wire"), "link", "set", &format!("to-{node}"), how]));
        assert!(out.status.success(), "the cable of {node}, {how}: {}", text(&out.stderr));
    }
    /// The hosts' own sshd runs, and each station has a key to it and a site file `ssh.toml`.
    #[track_caller]
    pub fn sshd(&self) {
        if !self.run.join("station1/ssh.toml").exists() {
            let out = whole(Command::new(script("stations")).arg(&self.run));
            assert!(out.status.success(), "{}", text(&out.stderr));
        }
    }
    pub fn say(&self, args: &[&str]) -> Said {
        said(self.hawiz(args))
    }
    /// Starts hawiz and comes back while `unit` on `node` is being started by it.
    pub fn amid(&self, args: &[&str], node: &str, unit: &str) -> Child {
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
    pub fn on(&self, node: &str, shell: &str) -> String {
        let out = self.inside(node, shell);
        assert!(out.status.success(), "`{shell}` on {node}: {}{}", text(&out.stdout), text(&out.stderr));
        text(&out.stdout)
    }
    pub fn inside(&self, node: &str, shell: &str) -> Output {
        whole(Command::new(self.run.join("enter")).args([node, "sh", "-c", shell]))
    }
    #[track_caller]
    pub fn power(&self, node: &str, how: &str) {
        let out = whole(Command::new(script("power")).arg(&self.run).args([node, how]));
        assert!(out.status.success(), "{node} {how}: {}", text(&out.stderr));
    }
    /// From now on a start of xcatd takes this long, and starts are counted anew.
    pub fn slow(&self, node: &str, seconds: u32) {
        self.on(node, &format!("mkdir -p /run/lab; echo {seconds} >/run/lab/slow; rm -f /var/log/lab-xcatd-starts"));
    }
    pub fn starts(&self, node: &str) -> usize {
        self.on(node, "cat /var/log/lab-xcatd-starts").lines().count()
    }
    pub fn holds(&self, node: &str) -> bool {
        self.on(node, "ip -o -4 addr show dev eth0").contains(&format!(" {VIP}/8 "))
    }
    /// Nothing but what is really so on a node that is active.
    #[track_caller]
    pub fn is_active(&self, node: &str) {
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
    pub fn is_inactive(&self, node: &str) {
        assert!(!self.holds(node), "{node} still holds {VIP}");
        let units = "postgresql postgresql@15-main xcatd named dhcpd conserver ntpd";
        let states = self.on(node, &format!("systemctl is-active {units} || :"));
        assert_eq!(states, ["inactive"; 7].join("\n"), "{node}");
        assert_eq!(self.on(node, "pgrep -x postgres || echo none"), "none");
        self.stays_off(node);
    }
    #[track_caller]
    pub fn stays_off(&self, node: &str) {
        let states = self.on(node, "systemctl is-enabled postgresql xcatd named dhcpd conserver 2>/dev/null || :");
        assert_eq!(states, ["disabled"; 5].join("\n"), "{node}");
    }
    #[track_caller]
    pub fn only(&self, node: &str) {
        let status = self.say(&["status"]).ends(0);
        assert_eq!(status.last(), format!("{node} is active"), "{}", status.out);
    }
    #[track_caller]
    pub fn nobody(&self) {
        let status = self.say(&["status"]).ends(4);
        assert_eq!(status.last(), "nobody is active", "{}", status.out);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let down = whole(Command::new(script("down")).arg(&self.run));
        if std::thread::panicking() {
            return;
        }
        assert!(down.status.success(), "{}", text(&down.stderr));
        let token = self.net("");
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
        let disks = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
        let disks = disks.filter_map(|d| std::fs::read_to_string(d.path().join("loop/backing_file")).ok());
        // (The name of one run may begin like another's.)
        let run = format!("{}/", self.run.display());
        assert_eq!(disks.filter(|file| file.contains(&run)).count(), 0, "a disk is left");
        let mounts = std::fs::read_to_string("/proc/self/mounts").expect("there is /proc");
        assert!(!mounts.contains(&run), "{mounts}");
        assert!(!self.run.exists());
    }
}

/// Runs a command to its end, without input. One that takes longer than any should is killed, and the test
/// says what it was and what it had said.
#[track_caller]
pub fn whole(command: &mut Command) -> Output {
    whole_of(command, "")
}

/// The same with this as its input: less than a pipe holds.
#[track_caller]
pub fn whole_of(command: &mut Command, input: &str) -> Output {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("what the lab runs is there");
    // One that does not read what it is given says so by its exit code.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let heard = [reads(child.stdout.take().expect("piped")), reads(child.stderr.take().expect("piped"))];
    let until = Instant::now() + ANY_COMMAND;
    let status = loop {
        let status = child.try_wait().expect("a child of ours");
        if let Some(status) = status
            && heard.iter().all(|(_, reader)| reader.is_finished())
        {
            break status;
        }
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            let so_far: Vec<String> =
                heard.iter().map(|(bytes, _)| text(&bytes.lock().expect("it only adds"))).collect();
            let what =
                if status.is_some() { "ended, but something of it keeps its output open" } else { "does not end" };
            panic!("{command:?} {what}:\n{}", so_far.join("\n"));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let [stdout, stderr] = heard.map(|(bytes, _)| std::mem::take(&mut *bytes.lock().expect("it only adds")));
    Output { status, stdout, stderr }
}

/// All that comes, as it comes.
fn reads(mut from: impl Read + Send + 'static) -> (Arc<Mutex<Vec<u8>>>, JoinHandle<()>) {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&bytes);
    let reader = std::thread::spawn(move || {
        let mut some = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut some) {
            into.lock().expect("it only adds").extend_from_slice(&some[..n]);
        }
    });
    (bytes, reader)
}

/// Waits for the end of a child; one that takes longer is killed, and has no code.
pub fn ended(mut child: Child, patience: Duration) -> Option<i32> {
    let until = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return status.code();
        }
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn said(mut command: Command) -> Said {
    let out = whole(&mut command);
    Said { code: out.status.code(), out: text(&[out.stdout, out.stderr].concat()) }
}

/// A person at a terminal (util-linux's `script` holds it), who runs a command with the environment it was given.
pub struct Person {
    child: Child,
    seen: Arc<Mutex<Vec<u8>>>,
    read: usize,
}

impl Person {
    pub fn at(command: &Command) -> Person {
        let mut words = vec![command.get_program().to_string_lossy().into_owned()];
        words.extend(command.get_args().map(|a| a.to_string_lossy().into_owned()));
        let line: Vec<String> = words.iter().map(|w| format!("'{}'", w.replace('\'', r"'\''"))).collect();
        let mut script = Command::new("script");
        script.args(["-qefc", &line.join(" "), "/dev/null"]).env("TERM", "xterm").env("NO_COLOR", "1");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("util-linux has script");
        let (seen, _) = reads(child.stdout.take().expect("piped"));
        Person { child, seen, read: 0 }
    }
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().expect("nobody panics with it")).into_owned()
    }
    /// Waits until `what` is on the screen after what was read before; then types `keys`.
    #[track_caller]
    pub fn asked(&mut self, what: &str, keys: &str) {
        assert!(self.asked_perhaps(what, keys), "it ended before `{what}`:\n{}", self.screen());
    }
    /// The same of a question that need not come: false when it ended without.
    #[track_caller]
    pub fn asked_perhaps(&mut self, what: &str, keys: &str) -> bool {
        let until = Instant::now() + PATIENCE;
        loop {
            let ended = self.child.try_wait().expect("ours").is_some();
            let screen = self.screen();
            if let Some(at) = screen.get(self.read..).and_then(|new| new.find(what)) {
                self.read += at + what.len();
                break;
            }
            if ended {
                return false;
            }
            assert!(Instant::now() < until, "`{what}` never came on the screen:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
        // A question is drawn before its keys count; what is typed earlier is thrown away.
        std::thread::sleep(Duration::from_millis(300));
        self.child.stdin.as_mut().expect("piped").write_all(keys.as_bytes()).expect("script reads");
        true
    }
    pub fn end(self) -> Said {
        let code = ended(self.child, PATIENCE);
        let out = String::from_utf8_lossy(&self.seen.lock().expect("nobody panics with it")).into_owned();
        Said { code, out }
    }
}
