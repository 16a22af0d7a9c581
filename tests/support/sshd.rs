//! Debian's own `sshd`, started and ended by a test.
//!
//! Why it exists: what SSH promises holds for the server that people run, not for a stand-in of ours. A [`Server`] says what
//! one is to be like, an [`Sshd`] is one that runs.
//!
//! As root it is a small node: its own process, mount and (if asked for) network namespace, its own accounts, sudoers and
//! boot id ([`init.sh`](../ssh/init.sh)); nothing of this machine is changed, and whatever a session leaves behind ends with
//! it, even if the test is killed. Otherwise it runs as whoever runs the test, on a free port of this machine, and what
//! needs a node of its own is skipped aloud.
//!
//! Invariant: only processes of such a node are ever signalled, by their ids.
#![allow(dead_code, reason = "each test takes what it needs of it")]

use hawiz::plan::{How, Login, Node};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Nodes of the tests are reached by hawiz's own SSH; `false`: by the `ssh` of this machine, as `via`.
pub const OURS: bool = true;

const INIT: &str = include_str!("../ssh/init.sh");

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Past the test harness, which keeps what a passed test prints to itself.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("?").to_string();
    let _ = writeln!(std::io::stderr(), "SKIPPED ssh::{test}: {why}");
}

pub fn which(program: &str) -> Option<PathBuf> {
    let all = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/local/sbin", "/usr/lib/openssh"];
    all.iter().map(|d| Path::new(d).join(program)).find(|p| p.exists())
}

/// All of these are here, or the test says that it is skipped.
pub fn here(programs: &[&str]) -> bool {
    let lacking: Vec<&str> = programs.iter().copied().filter(|p| which(p).is_none()).collect();
    if !lacking.is_empty() {
        skipped(&format!("not installed: {}", lacking.join(", ")));
    }
    lacking.is_empty()
}

/// Waits for something that another process does.
#[track_caller]
pub fn until<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = seen() {
            return found;
        }
        assert!(Instant::now() < end, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a program to its end; fails with what it said.
#[track_caller]
pub fn done(command: &mut Command) -> String {
    let out = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(out.status.success(), "{command:?}: {}{}", text(&out.stdout), text(&out.stderr));
    text(&out.stdout)
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_string()
}

/// Another folder of the tests' own, that every login may enter.
fn folder(kind: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("hawiz-{kind}-{}-{n}", std::process::id()));
    fs::create_dir_all(&dir).expect("the temporary folder is writable");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("just made");
    dir
}

/// The ssh_config that hawiz in this process goes by, and the known hosts of all servers that run.
struct Trust {
    known: PathBuf,
    lines: Mutex<BTreeMap<PathBuf, String>>,
}

fn trust() -> &'static Trust {
    static TRUST: OnceLock<Trust> = OnceLock::new();
    TRUST.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ssh-trust");
        fs::create_dir_all(&dir).expect("the target folder is writable");
        for old in fs::read_dir(&dir).expect("just made").flatten() {
            let name = old.file_name().to_string_lossy().into_owned();
            let pid = name.rsplit('-').next().unwrap_or_default();
            if !Path::new("/proc").join(pid).exists() {
                let _ = fs::remove_file(old.path());
            }
        }
        let me = std::process::id();
        let (config, known) = (dir.join(format!("config-{me}")), dir.join(format!("known-{me}")));
        let text = format!(
            "Host *\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n  IdentitiesOnly yes\n",
            known.display()
        );
        fs::write(&config, text).expect("the target folder is writable");
        // SAFETY: once, before the first session of this process is opened; nothing here reads the environment through C.
        unsafe { std::env::set_var("HAWIZ_SSH_CONFIG", &config) };
        Trust { known, lines: Mutex::default() }
    })
}

impl Trust {
    /// The known hosts of the server in this folder; empty text takes them away.
    fn say(&self, dir: &Path, lines: &str) {
        let mut all = self.lines.lock().expect("nobody panics with it");
        all.insert(dir.to_path_buf(), lines.to_string());
        all.retain(|_, lines| !lines.is_empty());
        let part = self.known.with_extension("part");
        fs::write(&part, all.values().cloned().collect::<String>()).expect("the target folder is writable");
        fs::rename(&part, &self.known).expect("the target folder is writable");
    }
}

/// Keys for tests, made once for all of them: host keys of the sets `a` and `b`, and people's keys.
pub fn keys() -> &'static Path {
    static KEYS: OnceLock<PathBuf> = OnceLock::new();
    KEYS.get_or_init(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ssh-keys-1");
        if all.exists() {
            return all;
        }
        let part = all.with_extension(format!("{}.part", std::process::id()));
        fs::create_dir_all(&part).expect("the target folder is writable");
        let make = |name: &str, kind: &str, phrase: &str| {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", kind, "-N", phrase, "-C", name, "-f"]).arg(part.join(name));
            if kind == "rsa" {
                keygen.args(["-b", "2048"]);
            }
            done(&mut keygen);
        };
        for kind in ["ed25519", "ecdsa", "rsa"] {
            for set in ["a", "b"] {
                make(&format!("host-{set}-{kind}"), kind, "");
            }
            make(&format!("id-{kind}"), kind, "");
            make(&format!("locked-{kind}"), kind, PHRASE);
        }
        make("stranger", "ed25519", "");
        // Another test binary may have been faster.
        if fs::rename(&part, &all).is_err() {
            let _ = fs::remove_dir_all(&part);
        }
        all
    })
}

/// Opens the keys `locked-…`.
pub const PHRASE: &str = "open sesame";

/// An account of a server's own.
#[derive(Clone)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub shell: String,
    /// `crypt`ed; `None`: it has none.
    pub password: Option<String>,
    /// Files in its home.
    pub files: Vec<(String, String)>,
}

pub fn user(name: &str, uid: u32, shell: &str) -> User {
    User { name: name.into(), uid, shell: shell.into(), password: None, files: Vec::new() }
}

impl User {
    pub fn password(mut self, word: &str) -> User {
        self.password = Some(word.into());
        self
    }
    pub fn file(mut self, name: &str, content: &str) -> User {
        self.files.push((name.into(), content.into()));
        self
    }
}

/// What a server is to be like.
#[derive(Clone)]
pub struct Server {
    lines: Vec<String>,
    users: Vec<User>,
    etc: Vec<(String, u32, String)>,
    net: bool,
    set: &'static str,
    port: Option<u16>,
    /// It must be a node of its own.
    own: bool,
}

impl Default for Server {
    fn default() -> Server {
        Server { lines: Vec::new(), users: Vec::new(), etc: Vec::new(), net: false, set: "a", port: None, own: false }
    }
}

impl Server {
    /// A line of its `sshd_config`, before all others, so that it wins.
    pub fn line(mut self, line: &str) -> Server {
        self.lines.push(line.into());
        self
    }
    /// An account; needs a node of its own.
    pub fn user(mut self, user: User) -> Server {
        self.users.push(user);
        self.own = true;
        self
    }
    /// A file below `/etc`; needs a node of its own.
    pub fn etc(mut self, name: &str, mode: u32, content: &str) -> Server {
        self.etc.push((name.into(), mode, content.into()));
        self.own = true;
        self
    }
    /// A network of its own; it is on nothing but `lo` until it is [`Wire::join`]ed. Listens on port 22.
    pub fn net(mut self) -> Server {
        self.net = true;
        self.own = true;
        self
    }
    /// Needs a node of its own: it is to be rebooted, for one.
    pub fn own(mut self) -> Server {
        self.own = true;
        self
    }
    /// The other set of host keys.
    pub fn other_keys(mut self) -> Server {
        self.set = "b";
        self
    }
    pub fn port(mut self, port: u16) -> Server {
        self.port = Some(port);
        self
    }
    /// `None`: it cannot be had here, and why was said.
    pub fn start(self) -> Option<Sshd> {
        if !here(&["sshd", "ssh", "ssh-keygen"]) {
            return None;
        }
        let namespaces = can_be_a_node();
        if let (true, Err(why)) = (self.own, &namespaces) {
            skipped(why);
            return None;
        }
        for _ in 0..5 {
            match Sshd::start(&self, namespaces.is_ok()) {
                Ok(sshd) => return Some(sshd),
                // Somebody was faster at taking the port.
                Err(log) if self.port.is_none() && log.contains("Address already in use") => {}
                Err(log) => panic!("sshd did not start:\n{log}"),
            }
        }
        panic!("five ports were free and then were not");
    }
}

/// Whether nodes with namespaces of their own can be had.
pub fn can_be_a_node() -> Result<(), String> {
    static CAN: OnceLock<Result<(), String>> = OnceLock::new();
    CAN.get_or_init(|| {
        if !is_root() {
            return Err("needs root".into());
        }
        let dir = folder("can");
        let script = "mount -t proc none /proc && mount -t tmpfs none \"$1\" && mkdir \"$1/u\" \"$1/w\" && \
                      mount -t overlay none -o \"lowerdir=/etc,upperdir=$1/u,workdir=$1/w\" /etc";
        let tried = Command::new("unshare").args(["-m", "-p", "-n", "-f", "sh", "-c", script, "sh"]).arg(&dir).output();
        let _ = fs::remove_dir_all(&dir);
        match tried {
            Ok(out) if out.status.success() => Ok(()),
            Ok(out) => Err(format!("no namespaces to be had: {}", text(&out.stderr))),
            Err(e) => Err(format!("no namespaces to be had: unshare: {e}")),
        }
    })
    .clone()
}

/// A process that lives as long as our end of its standard input.
struct Kept {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Kept {
    fn new(command: &mut Command) -> Kept {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let stdin = child.stdin.take();
        Kept { child, stdin }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.stdin = None;
        let end = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that runs.
pub struct Sshd {
    pub dir: PathBuf,
    pub port: u16,
    /// Who logs in.
    pub login: String,
    /// Where it is reached; a [`Wire`] changes it.
    pub address: String,
    set: &'static str,
    /// In every session's environment.
    token: String,
    /// Of a node of its own: its first process, by the number that counts outside.
    init: Option<Pid>,
    /// The node, or (without root) the server itself.
    kept: Option<Kept>,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // What is frozen could not end.
        for pid in self.all() {
            let _ = kill_process(pid, Signal::CONT);
        }
        if self.init.is_none() {
            let all = self.all();
            self.signal(&all, Signal::KILL);
            self.kept = None;
            let end = Instant::now() + Duration::from_secs(5);
            while all.iter().any(|pid| lives(*pid)) && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        self.kept = None;
        if std::thread::panicking() {
            eprintln!("sshd's log, {}:\n{}", self.dir.join("log").display(), self.log());
        }
        let _ = fs::remove_dir_all(&self.dir);
        trust().say(&self.dir, "");
    }
}

/// A process as `/proc` shows it: number, parent, name, state.
pub struct Process {
    pub pid: Pid,
    pub parent: i32,
    pub name: String,
    pub state: char,
}

pub fn processes() -> Vec<Process> {
    let all = fs::read_dir("/proc").expect("Linux has a /proc").flatten();
    all.filter_map(|entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let stat = fs::read(entry.path().join("stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat).into_owned();
        let (head, rest) = stat.rsplit_once(')')?;
        let mut rest = rest.split_whitespace();
        let state = rest.next()?.chars().next()?;
        Some(Process { pid, parent: rest.next()?.parse().ok()?, name: head.split_once('(')?.1.into(), state })
    })
    .collect()
}

/// It has not ended.
pub fn lives(pid: Pid) -> bool {
    processes().iter().any(|p| p.pid == pid && !"ZX".contains(p.state))
}

impl Sshd {
    fn start(server: &Server, node: bool) -> Result<Sshd, String> {
        let dir = folder("sshd");
        let port = match server.port {
            Some(port) => port,
            None if server.net => 22,
            None => {
                let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
                free.local_addr().expect("it is bound").port()
            }
        };
        let login = if node { "root".into() } else { whoami() };
        let token = format!("hawiz-test-{}-{port}", dir.file_name().expect("a name").to_string_lossy());
        let mut sshd =
            Sshd { dir, port, login, address: "127.0.0.1".into(), set: server.set, token, init: None, kept: None };
        sshd.write(server, node);
        if node {
            let mut unshare = Command::new("unshare");
            unshare.args(["-m", "-p", "-f", "--kill-child"]).args(server.net.then_some("-n"));
            unshare.arg("sh").arg("-c").arg(INIT).arg("init").arg(&sshd.dir);
            unshare.stdout(Stdio::null()).stderr(log_file(&sshd.dir));
            let mut kept = Kept::new(&mut unshare);
            let ready = sshd.dir.join("init");
            until("the node's first process", || {
                let ended = kept.child.try_wait().expect("a child of ours");
                assert!(ended.is_none(), "the node did not come up: {}", sshd.log());
                ready.exists().then_some(())
            });
            let pid = fs::read_to_string(&ready).expect("just seen");
            sshd.init = Pid::from_raw(pid.trim().parse().expect("a number"));
            sshd.kept = Some(kept);
            sshd.listen();
        } else {
            if is_root() {
                fs::create_dir_all("/run/sshd").expect("root may; Debian's service makes it, too");
            }
            let mut command = Command::new(which("sshd").expect("it was looked for"));
            command.args(["-D", "-e", "-f"]).arg(sshd.dir.join("sshd_config"));
            command.stdout(Stdio::null()).stderr(log_file(&sshd.dir));
            sshd.kept = Some(Kept::new(&mut command));
        }
        let end = Instant::now() + Duration::from_secs(20);
        while !sshd.log().contains("Server listening on") {
            if sshd.log().contains("in use") || Instant::now() > end {
                return Err(sshd.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // One of two addresses may be taken by somebody else.
        if sshd.log().contains("Address already in use") { Err(sshd.log()) } else { Ok(sshd) }
    }
    fn write(&self, server: &Server, node: bool) {
        let put = |name: &str, mode: u32, content: &str| {
            let path = self.dir.join(name);
            fs::create_dir_all(path.parent().expect("it is below our folder")).expect("a fresh folder");
            fs::write(&path, content).expect("a fresh folder");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("just written");
        };
        let mut authorized = String::new();
        for entry in fs::read_dir(keys()).expect("they were made").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".pub") && (name.starts_with("id-") || name.starts_with("locked-")) {
                authorized += &fs::read_to_string(entry.path()).expect("a public key");
            }
        }
        put("authorized_keys", 0o644, &authorized);
        let mut config: Vec<String> = server.lines.clone();
        config.push(format!("Port {}", self.port));
        let addresses: &[&str] = if server.net { &["0.0.0.0", "::"] } else { &["127.0.0.1", "::1"] };
        config.extend(addresses.iter().map(|a| format!("ListenAddress {a}")));
        for kind in ["ed25519", "ecdsa", "rsa"] {
            let key = keys().join(format!("host-{}-{kind}", server.set));
            config.push(format!("HostKey {}", key.display()));
        }
        config.push(format!("AuthorizedKeysFile {}", self.dir.join("authorized_keys").display()));
        config.push(format!("PidFile {}", self.dir.join("pid").display()));
        config.push(format!("SetEnv {}=1", self.token.replace('-', "_")));
        // The folder of the keys is below one that everybody may write to.
        for line in ["UsePAM no", "StrictModes no", "PermitRootLogin yes", "PasswordAuthentication no"] {
            config.push(line.into());
        }
        config
            .push("KbdInteractiveAuthentication no\nPrintMotd no\nPrintLastLog no\nUseDNS no\nLogLevel VERBOSE".into());
        config.push("Subsystem sftp internal-sftp".into());
        put("sshd_config", 0o644, &(config.join("\n") + "\n"));
        self.trusted(&(self.known("127.0.0.1") + &self.known("::1")));
        if !node {
            return;
        }
        fs::create_dir_all(self.dir.join("over")).expect("our own folder");
        self.boot();
        let mut users = server.users.clone();
        if !users.iter().any(|u| u.name == "root") {
            users.insert(0, user("root", 0, "/bin/sh"));
        }
        let real = |name: &str| fs::read_to_string(Path::new("/etc").join(name)).unwrap_or_default();
        let (mut passwd, mut shadow, mut group) = (real("passwd"), real("shadow"), real("group"));
        for u in &users {
            let others = |all: &str| -> String {
                all.lines().filter(|l| l.split(':').next() != Some(&u.name)).map(|l| format!("{l}\n")).collect()
            };
            let home = self.home(&u.name);
            passwd = others(&passwd) + &format!("{0}:x:{1}:{1}::{2}:{3}\n", u.name, u.uid, home.display(), u.shell);
            shadow = others(&shadow) + &format!("{}:{}:19000:0:99999:7:::\n", u.name, crypted(u.password.as_deref()));
            if u.uid != 0 {
                group = others(&group) + &format!("{}:x:{}:\n", u.name, u.uid);
            }
            fs::create_dir_all(&home).expect("our own folder");
            for (name, content) in &u.files {
                fs::create_dir_all(home.join(name).parent().expect("in the home")).expect("our own folder");
                fs::write(home.join(name), content).expect("our own folder");
            }
            done(Command::new("chown").args(["-R", &format!("{0}:{0}", u.uid)]).arg(&home));
        }
        put("etc/passwd", 0o644, &passwd);
        put("etc/group", 0o644, &group);
        put("etc/shadow", 0o640, &shadow);
        // nologin is a matter of the accounts here.
        for (name, mode, content) in &server.etc {
            put(&format!("etc/{name}"), *mode, content);
        }
    }
    /// The home of one of its accounts.
    pub fn home(&self, user: &str) -> PathBuf {
        self.dir.join("home").join(user)
    }
    /// Where its nodes keep claims, lock and identity.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }
    pub fn log(&self) -> String {
        text(&fs::read(self.dir.join("log")).unwrap_or_default())
    }
    /// A new boot id.
    fn boot(&self) {
        let id = fs::read_to_string("/proc/sys/kernel/random/uuid").expect("Linux has it");
        fs::write(self.dir.join("boot_id"), id).expect("our own folder");
    }
    /// A command on the node, as root and without SSH.
    pub fn command(&self, program: &str) -> Command {
        let init = self.init.expect("a node of its own");
        let mut command = Command::new("nsenter");
        command.args(["-t", &init.as_raw_nonzero().to_string(), "-m", "-p", "-n", "--", program]);
        command
    }
    /// Starts the server of a node (again).
    pub fn listen(&self) {
        let before = self.log().matches("Server listening on").count();
        let mut sshd = self.command(&which("sshd").expect("it was looked for").to_string_lossy());
        sshd.arg("-f").arg(self.dir.join("sshd_config")).arg("-E").arg(self.dir.join("log"));
        let out = sshd.stdin(Stdio::null()).output().expect("util-linux has nsenter");
        if out.status.success() {
            until("sshd", || (self.log().matches("Server listening on").count() > before).then_some(()));
        }
    }
    /// The lines of a known_hosts file for it, under this name or address.
    pub fn known(&self, host: &str) -> String {
        let host = if self.port == 22 { host.to_string() } else { format!("[{host}]:{}", self.port) };
        ["ed25519", "ecdsa", "rsa"].iter().map(|kind| format!("{host} {}\n", self.host_key(kind))).collect()
    }
    /// `ssh-ed25519 AAAA…`
    pub fn host_key(&self, kind: &str) -> String {
        let line = fs::read_to_string(keys().join(format!("host-{}-{kind}.pub", self.set))).expect("it was made");
        line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }
    /// A configuration for `ssh -F`, under which it is `n`; also under its own address.
    pub fn ssh_config(&self) -> PathBuf {
        self.dir.join("ssh_config")
    }
    /// What is known of its host keys from now on: lines of a known_hosts file.
    pub fn trusted(&self, lines: &str) {
        fs::write(self.dir.join("known_hosts"), lines).expect("our own folder");
        trust().say(&self.dir, lines);
        self.write_ssh_config();
    }
    fn write_ssh_config(&self) {
        let key = keys().join("id-ed25519");
        let text = format!(
            "Host n\n  HostName {}\n  Port {}\n  User {}\n  IdentityFile {}\nHost *\n  IdentitiesOnly yes\n  \
             UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  BatchMode yes\n  \
             ConnectTimeout 10\n",
            // Of an address with a scope.
            self.address.replace('%', "%%"),
            self.port,
            self.login,
            key.display(),
            self.dir.join("known_hosts").display()
        );
        fs::write(self.ssh_config(), text).expect("our own folder");
    }
    /// It as a node of a plan, under the name `n`.
    pub fn node(&self) -> Node {
        let config = self.ssh_config().to_string_lossy().into_owned();
        let via = ["ssh", "-F", &config, "-T", "n", "sh"].map(String::from).to_vec();
        Node {
            name: "n".into(),
            how: if OURS { How::Ssh } else { How::Via(via) },
            login: if !OURS {
                Login::default()
            } else {
                Login {
                    user: Some(self.login.clone()),
                    port: Some(self.port),
                    identity: Some(keys().join("id-ed25519").to_string_lossy().into_owned()),
                    jump: None,
                }
            },
            address: OURS.then(|| self.address.clone()),
            become_root: None,
            state: Some(self.state().to_string_lossy().into_owned()),
            group: None,
            vars: Vec::new(),
        }
    }
    /// It as a node in a site file.
    pub fn site(&self, name: &str) -> String {
        let state = format!("state = \"{}\"\n", self.state().display());
        if OURS {
            let key = keys().join("id-ed25519");
            return format!(
                "[nodes.{name}]\naddress = \"{}\"\nport = {}\nuser = \"{}\"\nidentity = \"{}\"\n{state}",
                self.address,
                self.port,
                self.login,
                key.display()
            );
        }
        let config = self.ssh_config();
        format!("[nodes.{name}]\nvia = [\"ssh\", \"-F\", \"{}\", \"-T\", \"n\", \"sh\"]\n{state}", config.display())
    }

    /// Another account logs in from now on; it has a state directory that it may write to.
    pub fn login_as(&mut self, user: &str) {
        self.login = user.into();
        fs::create_dir_all(self.state()).expect("our own folder");
        done(self.command("chown").arg(user).arg(self.state()));
        self.write_ssh_config();
    }
    /// It is known by another address from now on.
    pub fn known_as(&mut self, address: &str) {
        self.address = address.into();
        // Whoever checks host keys leaves the scope of an address away, or does not.
        let plain = address.split('%').next().unwrap_or(address);
        self.trusted(&(self.known(address) + &self.known(plain)));
    }
    /// Everything of it: server, sessions, and what these left behind. Of a node not its first process.
    pub fn all(&self) -> Vec<Pid> {
        let everybody = processes();
        if let Some(init) = self.init {
            let space = |pid: Pid| fs::read_link(format!("/proc/{}/ns/pid", pid.as_raw_nonzero())).ok();
            let Some(ours) = space(init) else { return Vec::new() };
            let cat = |p: &Process| p.parent == init.as_raw_nonzero().get() && p.name == "cat";
            let those = everybody.iter().filter(|p| p.pid != init && !cat(p) && space(p.pid).as_ref() == Some(&ours));
            return those.map(|p| p.pid).collect();
        }
        let Some(kept) = &self.kept else { return Vec::new() };
        let mut found: Vec<Pid> = Pid::from_raw(kept.child.id() as i32).into_iter().collect();
        let token = format!("{}=1", self.token.replace('-', "_"));
        for p in &everybody {
            let environ = fs::read(format!("/proc/{}/environ", p.pid.as_raw_nonzero())).unwrap_or_default();
            if environ.split(|b| *b == 0).any(|e| e == token.as_bytes()) {
                found.push(p.pid);
            }
        }
        let mut at = 0;
        while at < found.len() {
            let parent = found[at].as_raw_nonzero().get();
            let more: Vec<Pid> = everybody.iter().filter(|p| p.parent == parent).map(|p| p.pid).collect();
            found.extend(more.into_iter().filter(|p| !found.contains(p)).collect::<Vec<_>>());
            at += 1;
        }
        found
    }
    /// The server itself.
    pub fn listener(&self) -> Option<Pid> {
        let init = match self.init {
            None => return self.kept.as_ref().and_then(|k| Pid::from_raw(k.child.id() as i32)),
            Some(init) => init.as_raw_nonzero().get(),
        };
        let ours = self.all();
        let mine = |p: &Process| p.name == "sshd" && p.parent == init && ours.contains(&p.pid);
        processes().into_iter().find(mine).map(|p| p.pid)
    }
    /// The server's children, which serve one connection each.
    pub fn sessions(&self) -> Vec<Pid> {
        let (ours, listener) = (self.all(), self.listener());
        let session = |p: &Process| p.name == "sshd" && ours.contains(&p.pid) && Some(p.pid) != listener;
        processes().into_iter().filter(session).map(|p| p.pid).collect()
    }
    /// Freezes or thaws, or whatever else a signal does.
    pub fn signal(&self, whom: &[Pid], signal: Signal) {
        for pid in whom {
            let _ = kill_process(*pid, signal);
        }
    }
    /// Freezes the server and every session's server: what a hung host looks like.
    pub fn stop(&self) {
        let all: Vec<Pid> = self.listener().into_iter().chain(self.sessions()).collect();
        self.signal(&all, Signal::STOP);
    }
    pub fn cont(&self) {
        self.signal(&self.all(), Signal::CONT);
    }
    /// Ends every session's server; the listener lives on.
    pub fn kill_sessions(&self) {
        self.signal(&self.sessions(), Signal::KILL);
    }
    /// Ends the server and every session's; what the sessions started lives on. [`Sshd::listen`] starts it again.
    pub fn kill(&self) {
        let all: Vec<Pid> = self.listener().into_iter().chain(self.sessions()).collect();
        self.signal(&all, Signal::KILL);
        until("the end of sshd", || all.iter().all(|pid| !lives(*pid)).then_some(()));
    }
    /// Everybody on the node dies at once, and it comes back with another boot id.
    pub fn reboot(&self) {
        until("the end of all", || {
            let all = self.all();
            self.signal(&all, Signal::KILL);
            all.iter().all(|pid| !lives(*pid)).then_some(())
        });
        self.boot();
        self.listen();
    }
    fn pid(&self) -> Pid {
        self.init.expect("a node of its own")
    }
}

fn log_file(dir: &Path) -> fs::File {
    let mut options = fs::OpenOptions::new();
    options.create(true).append(true).open(dir.join("log")).expect("our own folder")
}

fn whoami() -> String {
    done(Command::new("id").arg("-un"))
}

/// For the shadow file.
fn crypted(password: Option<&str>) -> String {
    password.map_or("*".into(), |word| done(Command::new("openssl").args(["passwd", "-6", word])))
}

/// The operator's network, with a wire to each node's: nobody else is on it.
pub struct Wire {
    operator: Kept,
}

impl Wire {
    /// `None`: it cannot be had here, and why was said.
    pub fn new() -> Option<Wire> {
        if let Err(why) = can_be_a_node() {
            skipped(&why);
            return None;
        }
        let mut cat = Command::new("unshare");
        let operator = Kept::new(cat.args(["-n", "cat"]).stdout(Stdio::null()));
        let wire = Wire { operator };
        let home = fs::read_link("/proc/self/ns/net").ok();
        until("the operator's network", || {
            let its = fs::read_link(format!("/proc/{}/ns/net", wire.pid())).ok();
            (its.is_some() && its != home).then_some(())
        });
        wire.ip("link set lo up");
        Some(wire)
    }
    pub fn pid(&self) -> u32 {
        self.operator.child.id()
    }
    /// `ip …` in the operator's network.
    #[track_caller]
    pub fn ip(&self, words: &str) -> String {
        let mut ip = Command::new("ip");
        self.enter(&mut ip);
        done(ip.args(words.split_whitespace()))
    }
    /// `ip …` in a node's network.
    #[track_caller]
    pub fn there(&self, node: &Sshd, words: &str) -> String {
        done(node.command("ip").args(words.split_whitespace()))
    }
    /// A wire to a node: the operator is `10.99.N.1` and `fd99:N::1` there, the node `….2`, by which it is known from now on.
    /// Returns N: no two wires of a process have the same.
    pub fn join(&self, node: &mut Sshd) -> u8 {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let n = (COUNT.fetch_add(1, Ordering::Relaxed) % 250) as u8;
        let there = node.pid().as_raw_nonzero();
        self.ip(&format!("link add v{n} type veth peer name eth0 netns {there}"));
        self.there(node, &format!("addr add 10.99.{n}.2/24 dev eth0"));
        self.there(node, &format!("addr add fd99:{n}::2/64 dev eth0 nodad"));
        self.there(node, "link set eth0 up");
        self.ip(&format!("addr add 10.99.{n}.1/24 dev v{n}"));
        self.ip(&format!("addr add fd99:{n}::1/64 dev v{n} nodad"));
        self.ip(&format!("link set v{n} up"));
        node.known_as(&format!("10.99.{n}.2"));
        n
    }
    /// A wire through `delayer`, which holds every packet that long, each way. Ends with what is returned.
    pub fn join_slowly(&self, node: &mut Sshd, n: u8, delayer: &Path, one_way: Duration) -> Slow {
        let there = node.pid().as_raw_nonzero();
        let mut command = Command::new(delayer);
        command.args([format!("v{n}"), format!("w{n}"), one_way.as_micros().to_string()]);
        self.enter(&mut command);
        let slow = Slow(Kept::new(&mut command));
        until("the delayer", || {
            let mut look = Command::new("ip");
            self.enter(&mut look);
            look.args(["link", "show", &format!("w{n}")]).output().ok().filter(|o| o.status.success())
        });
        self.ip(&format!("link set w{n} netns {there}"));
        self.there(node, &format!("addr add 10.99.{n}.2 peer 10.99.{n}.1 dev w{n}"));
        self.there(node, &format!("link set w{n} up"));
        self.ip(&format!("addr add 10.99.{n}.1 peer 10.99.{n}.2 dev v{n}"));
        self.ip(&format!("link set v{n} up"));
        node.known_as(&format!("10.99.{n}.2"));
        slow
    }
    /// Pulls the cable to a node: nothing gets through, and nobody is told.
    pub fn cut(&self, node: &Sshd) {
        self.there(node, "link set eth0 down");
    }
    pub fn mend(&self, node: &Sshd) {
        self.there(node, "link set eth0 up");
    }
    /// The command runs in the operator's network.
    pub fn enter(&self, command: &mut Command) {
        use std::os::unix::process::CommandExt;
        let space = self.space();
        // SAFETY: setns is a system call that touches no memory of ours; the descriptor was opened before the fork.
        unsafe {
            command.pre_exec(move || Ok(enter(&space)?));
        }
    }
    fn space(&self) -> fs::File {
        fs::File::open(format!("/proc/{}/ns/net", self.pid())).expect("it lives as long as we do")
    }
    /// Does it in the operator's network; threads that it starts are there, too.
    pub fn inside<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let space = self.space();
        let name = std::thread::current().name().unwrap_or("?").to_string();
        std::thread::scope(|scope| {
            let work = move || {
                enter(&space).expect("root may");
                what()
            };
            let thread = std::thread::Builder::new().name(name).spawn_scoped(scope, work).expect("a thread");
            match thread.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

fn enter(space: &fs::File) -> rustix::io::Result<()> {
    use rustix::fd::AsFd;
    rustix::thread::move_into_link_name_space(space.as_fd(), Some(rustix::thread::LinkNameSpaceType::Network))
}

/// A delayer at work.
pub struct Slow(Kept);

impl Drop for Slow {
    fn drop(&mut self) {
        self.thaw();
    }
}

impl Slow {
    /// Nothing gets through any more, and no interface goes down.
    pub fn freeze(&self) {
        let pid = Pid::from_raw(self.0.child.id() as i32).expect("a child of ours");
        kill_process(pid, Signal::STOP).expect("a child of ours");
    }
    pub fn thaw(&self) {
        let pid = Pid::from_raw(self.0.child.id() as i32).expect("a child of ours");
        kill_process(pid, Signal::CONT).expect("a child of ours");
    }
}
