//! A scenario's world: a throw-away root in namespaces of its own, in which commands are recording stand-ins.
//!
//! Why it exists: hawiz runs there unchanged, and cannot touch this machine. Invariants: `prepare` lays out what
//! `prepare.py` lays out; what is started inside ends with the world, since its first process is pid 1 of a pid
//! namespace; a world is deleted only when its run was as wanted.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What unshares here: `None`, and why, where namespaces are not permitted.
pub fn unshare() -> &'static Result<Vec<&'static str>, String> {
    static FOUND: OnceLock<Result<Vec<&'static str>, String>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let plain = vec!["-m", "-n", "-p", "-u", "--fork", "--kill-child"];
        let user = [&["-r"], plain.as_slice()].concat();
        let mut why = String::new();
        for flags in [plain, user] {
            let probe = "mkdir -p \"$0\" && mount --rbind \"$0\" \"$0\"";
            let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("probe");
            let out = Command::new("unshare").args(&flags).args(["sh", "-c", probe]).arg(place).output();
            match out {
                Ok(out) if out.status.success() => return Ok(flags),
                Ok(out) => why = String::from_utf8_lossy(&out.stderr).trim().to_owned(),
                Err(e) => why = format!("unshare (util-linux): {e}"),
            }
        }
        Err(why)
    })
}

pub struct World {
    /// Holds `root` and `out`.
    pub dest: PathBuf,
    pub scenario: Value,
    mounts: String,
    shell: String,
    /// More environment for hawiz.
    pub env: Vec<(String, String)>,
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `mkdir -p` with mode 755, whatever the umask.
fn folders(path: &Path) {
    for part in path.ancestors().collect::<Vec<_>>().into_iter().rev().filter(|p| !p.exists()) {
        match fs::create_dir(part) {
            Ok(()) => mode(part, 0o755),
            // The other thread was quicker.
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => panic!("{}: {e}", part.display()),
        }
    }
}

fn mode(path: &Path, bits: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

fn put(path: &Path, content: &str) {
    folders(path.parent().expect("below the world's folder"));
    fs::write(path, content).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    mode(path, 0o644);
}

fn list(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().map(text)
}

fn table(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(k, v)| (k.as_str(), v))
}

impl World {
    /// Lays the scenario out below the target folder, afresh.
    pub fn prepare(scenario: &Value, name: &str) -> World {
        let dest = Path::new(env!("CARGO_TARGET_TMPDIR")).join("xcat").join(name);
        if dest.exists() {
            fs::remove_dir_all(&dest).unwrap_or_else(|e| panic!("{}: {e}", dest.display()));
        }
        let root = dest.join("root");
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        let stubs = &scenario["stubs"];
        let state = &stubs["state"];
        folders(&dest.join("out"));

        // The stand-ins (stubs/install.sh).
        let stub = below("/stub");
        for part in ["bin", "state", "count"] {
            folders(&stub.join(part));
        }
        put(&stub.join("bin/.stub"), include_str!("stubs/stub"));
        mode(&stub.join("bin/.stub"), 0o755);
        for name in include_str!("stubs/names").split_whitespace() {
            symlink(".stub", stub.join("bin").join(name)).expect("the folder is new");
        }
        for empty in ["trace", "trace.rc"] {
            put(&stub.join(empty), "");
        }
        let here = text(&stubs["run_on_host"]);
        put(&stub.join("hostname"), &format!("{here}\n"));
        put(&stub.join("rules"), &list(&stubs["rules"]).map(|r| format!("{r}\n")).collect::<String>());

        // Their state (prepare.py).
        for (host, addresses) in table(&state["addrs"]) {
            put(&stub.join(format!("state/{host}/addrs")), text(addresses));
        }
        for (key, value) in table(&state["site"]) {
            put(&stub.join(format!("state/shared/xcat/site/clustersite/{key}")), text(value));
        }
        let default = serde_json::json!({"10_0_0_0-255_0_0_0": {"mgtifname": "eth0:0"}});
        for (object, attributes) in table(state.get("network").unwrap_or(&default)) {
            for (key, value) in table(attributes) {
                put(&stub.join(format!("state/shared/xcat/network/{object}/{key}")), text(value));
            }
        }
        for (kind, suffix) in [("svc_active", "active"), ("svc_enabled", "enabled")] {
            for (host, units) in table(&state[kind]) {
                for unit in list(units) {
                    put(&stub.join(format!("state/{host}/svc/{unit}.{suffix}")), "");
                }
            }
        }
        let mut mounts = BTreeSet::new();
        for (file, kind) in [("mounts", "mounts"), ("units.missing", "units_missing")] {
            for (host, lines) in table(&state[kind]) {
                put(
                    &stub.join(format!("state/{host}/{file}")),
                    &list(lines).map(|l| format!("{l}\n")).collect::<String>(),
                );
                if kind == "mounts" {
                    mounts.extend(list(lines).map(str::to_owned));
                }
            }
        }
        put(&stub.join(format!("state/{here}/ps")), text(&state["ps"]));

        // The files.
        for (path, content) in table(&stubs["files"]) {
            put(&below(path), text(content));
        }
        for path in list(&stubs["dirs"]) {
            folders(&below(path));
        }
        for (path, to) in table(&stubs["symlinks"]) {
            folders(below(path).parent().expect("an absolute path"));
            symlink(text(to), below(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        }
        for (path, bits) in table(&stubs["modes"]) {
            let bits = u32::from_str_radix(text(bits).trim_start_matches("0o"), 8).expect("modes are octal");
            if below(path).exists() {
                mode(&below(path), bits);
            }
        }

        // The site, and the playbook of this tree.
        put(&below("/site/playbooks/xcat.toml"), include_str!("../../playbooks/xcat.toml"));
        let shell = stubs["sh"].as_str().unwrap_or("sh").to_owned();
        let mounts = mounts.into_iter().collect::<Vec<_>>().join("\n");
        World { dest, scenario: scenario.clone(), mounts, shell, env: Vec::new() }
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.dest.join("root").join(inside.trim_start_matches('/'))
    }

    pub fn write(&self, inside: &str, content: &str) {
        put(&self.path(inside), content);
    }

    pub fn read(&self, inside: &str) -> String {
        fs::read_to_string(self.path(inside)).unwrap_or_default()
    }

    /// Forget what was recorded so far.
    pub fn clear_trace(&self) {
        self.write("/stub/trace", "");
    }

    /// `XCAT_KEEP=1` keeps every world, to be looked at.
    pub fn delete(self) {
        if std::env::var_os("XCAT_KEEP").is_some() {
            return;
        }
        fs::remove_dir_all(&self.dest).unwrap_or_else(|e| panic!("{}: {e}", self.dest.display()));
    }

    /// `argv` inside, as a session of its own; `on_terminal`: with a controlling terminal.
    fn command(&self, argv: &[String], on_terminal: bool) -> Command {
        let flags = unshare().as_ref().expect("asked before a world was made");
        // A stand-in for the whole program may be given, to try the suite itself.
        let hawiz = std::env::var("HAWIZ_UNDER_TEST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_hawiz").into());
        let shell = if which(&self.shell) { self.shell.as_str() } else { "sh" };
        let mut all = Command::new("unshare");
        all.args(flags).arg("sh").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/xcat/world.sh"));
        all.arg(self.dest.join("root")).arg(shell).arg(hawiz).arg(&self.mounts);
        all.args(["/usr/bin/env", "-C", "/site", "/usr/bin/setsid", "--wait"]);
        if on_terminal {
            all.arg("--ctty");
        }
        all.args(argv);
        all.env_clear();
        all.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        all.env("STUB_DIR", "/stub").env("HOME", "/root").env("TERM", "xterm").env("LANG", "C.UTF-8");
        all.env("HAWIZ_TMPFS_STATE", "1"); // the target folder may be in memory
        all.envs(self.env.iter().map(|(k, v)| (k, v)));
        all
    }

    /// The stand-ins come first on PATH only inside: the world itself is made with real ones.
    pub fn argv(args: &[&str]) -> Vec<String> {
        let path = "PATH=/stub/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        ["/usr/bin/env", path].iter().chain(args).map(|s| s.to_string()).collect()
    }

    /// Runs it without a terminal: no input, stdout and stderr kept apart.
    pub fn run(&self, args: &[&str], patience: Duration, end: End) -> Ran {
        let (out, err) = (self.dest.join("out/stdout"), self.dest.join("out/stderr"));
        let file = |p: &Path| fs::File::create(p).unwrap_or_else(|e| panic!("{}: {e}", p.display()));
        let mut command = self.command(&World::argv(args), false);
        command.stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err));
        let mut child = Kept(command.spawn().expect("unshare was found before"));
        let mut ender = Ender::new(end, patience);
        let code = loop {
            if let Some(status) = child.0.try_wait().expect("it is a child of ours") {
                break status.code();
            }
            if !ender.due(&mut child, None) {
                break None;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let read = |p| String::from_utf8_lossy(&fs::read(p).unwrap_or_default()).into_owned();
        Ran { code, stdout: read(out), screen: read(err), asked: Vec::new() }
    }

    /// Runs it on a terminal and types what `answer` says to each prompt; `None` is the end of input.
    pub fn talk(
        &self,
        args: &[&str],
        patience: Duration,
        end: End,
        mut answer: impl FnMut(&Prompt) -> Option<String>,
    ) -> Ran {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pty");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("the pty is ours");
        let name = ptsname(&master, Vec::new()).expect("the pty has a name");
        let slave = || {
            fs::OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(OFlags::NOCTTY.bits() as i32)
                .open(name.to_str().expect("/dev/pts is ASCII"))
                .expect("its other side")
        };
        let size = rustix::termios::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size).expect("a size");
        let mut command = self.command(&World::argv(args), true);
        command.stdin(slave()).stdout(slave()).stderr(slave());
        let mut child = Kept(command.spawn().expect("unshare was found before"));
        drop(command); // or our own copies of the slave would keep it open

        let mut master = fs::File::from(master);
        let mut ender = Ender::new(end, patience);
        let (mut raw, mut typed_at, mut quiet) = (Vec::new(), 0, Instant::now());
        let mut asked = Vec::new();
        let began = Instant::now();
        let code = loop {
            let mut fds = [PollFd::new(&master, PollFlags::IN)];
            let wait = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
            if poll(&mut fds, Some(&wait)).is_ok_and(|n| n > 0) {
                let mut piece = [0; 4096];
                match master.read(&mut piece) {
                    Ok(n) if n > 0 => {
                        raw.extend_from_slice(&piece[..n]);
                        quiet = Instant::now();
                        continue;
                    }
                    // The other side is closed: whoever had it is gone, or about to go.
                    _ => std::thread::sleep(Duration::from_millis(10)),
                }
            }
            if let Some(status) = child.0.try_wait().expect("it is a child of ours") {
                break status.code();
            }
            let screen = plain(&raw);
            // A prompt is the last thing on the screen and stays it: redrawn lines are not answered.
            if quiet.elapsed() > Duration::from_millis(60)
                && let Some(prompt) = Prompt::find(&screen, typed_at)
            {
                let keys = answer(&prompt);
                asked.push(format!("{}: {}", prompt.about(), keys.as_deref().unwrap_or("^D")));
                typed_at = screen.len();
                let keys = keys.map_or_else(|| "\x04".to_owned(), |k| k + "\r");
                master.write_all(keys.as_bytes()).expect("the pty takes it");
                ender.answered();
                quiet = Instant::now();
            }
            // Recorded is a ^C while xcatd is being started, on however slow a machine.
            let begun = || self.read("/stub/trace").contains("systemctl start xcatd");
            if end == End::Interrupt && began.elapsed() < Duration::from_secs(60) && !begun() {
                ender.answered();
            }
            if !ender.due(&mut child, Some(&mut master)) {
                break None;
            }
        };
        Ran { code, stdout: String::new(), screen: plain(&raw), asked }
    }
}

fn which(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|p| std::env::split_paths(&p).any(|d| d.join(program).exists()))
}

/// How a run came out.
pub struct Ran {
    /// `None`: it had to be killed.
    pub code: Option<i32>,
    pub stdout: String,
    /// stderr, or all that was on the terminal.
    pub screen: String,
    /// What was asked and answered.
    pub asked: Vec<String>,
}

/// A question on the screen, from its first word on, and what stands above it.
pub struct Prompt<'a> {
    pub asks: &'a str,
    pub above: &'a str,
}

impl<'a> Prompt<'a> {
    /// What the screen ends with, when that is a question that came after `since`. It may take more than one line.
    fn find(screen: &'a str, since: usize) -> Option<Prompt<'a>> {
        let text = screen.trim_end_matches(' ');
        if text.len() <= since || !text.ends_with(':') {
            return None;
        }
        let known = ["Continue?", "What now?"].iter().filter_map(|q| text[since..].rfind(q)).max().map(|i| i + since);
        let start = known.filter(|s| text[*s..].lines().count() <= 4).unwrap_or(text.rfind('\n').map_or(0, |i| i + 1));
        Some(Prompt { asks: &text[start..], above: &text[..start] })
    }

    pub fn is_gate(&self) -> bool {
        self.asks.starts_with("Continue?")
    }

    pub fn is_menu(&self) -> bool {
        self.asks.starts_with("What now?")
    }

    /// The stage a gate is about: whichever of `titles` was written last.
    pub fn stage<'t>(&self, titles: &[&'t str]) -> Option<&'t str> {
        titles.iter().filter_map(|t| Some((self.above.rfind(t)?, *t))).max().map(|(_, t)| t)
    }

    fn about(&self) -> String {
        let titled = self.stage(crate::TITLES).filter(|_| self.is_gate());
        titled.map_or_else(|| self.asks.trim().to_owned(), str::to_owned)
    }
}

/// What a terminal shows, as text: escape sequences and carriage returns are left out.
pub fn plain(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => match chars.next() {
                Some('[') => drop(chars.by_ref().find(|c| ('@'..='~').contains(c))),
                Some(']') => drop(chars.by_ref().find(|c| *c == '\x07' || *c == '\\')),
                Some('(') => drop(chars.next()),
                _ => {}
            },
            '\r' => {}
            c => out.push(c),
        }
    }
    out
}

/// A process that ends with this value.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        // `unshare --kill-child` takes the world's pid 1 along, and with it all that lives in the world.
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// How a run that takes too long is ended from outside.
#[derive(Clone, Copy, PartialEq)]
pub enum End {
    /// As `timeout` does it.
    Terminate,
    /// As a person does it: ^C, and once more.
    Interrupt,
}

/// Ends a run: politely once the time is up, harder five seconds later, for good ten seconds after that.
struct Ender {
    end: End,
    patience: Duration,
    since: Instant,
    done: u32,
}

impl Ender {
    fn new(end: End, patience: Duration) -> Ender {
        Ender { end, patience, since: Instant::now(), done: 0 }
    }

    /// The recorded time is that of a program that asks at once: it begins anew with each answer.
    fn answered(&mut self) {
        self.since = Instant::now();
    }

    /// False: it was killed.
    fn due(&mut self, child: &mut Kept, keyboard: Option<&mut fs::File>) -> bool {
        let over = self.since.elapsed().saturating_sub(self.patience).as_secs_f32();
        let stages: &[f32] = &[0.0, 1.5, 6.0, 16.0];
        if self.since.elapsed() < self.patience || stages.get(self.done as usize).is_none_or(|s| over < *s) {
            return true;
        }
        self.done += 1;
        match (self.done, self.end, keyboard) {
            (1 | 2, End::Interrupt, Some(keyboard)) => keyboard.write_all(b"\x03").expect("the pty takes it"),
            (1..=3, _, _) => {
                if let Some(pid) = hawiz_below(child.0.id()) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
                }
            }
            _ => {
                let _ = child.0.kill();
                let _ = child.0.wait();
                return false;
            }
        }
        true
    }
}

/// The hawiz that runs below our own child; nobody else's.
fn hawiz_below(child: u32) -> Option<rustix::process::Pid> {
    let mut found = vec![child as i32];
    let stat = |pid: i32| -> Option<(String, i32)> {
        let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, tail) = line.rsplit_once(')')?;
        Some((head.split_once('(')?.1.to_owned(), tail.split_whitespace().nth(1)?.parse().ok()?))
    };
    let all: Vec<(i32, String, i32)> = fs::read_dir("/proc")
        .ok()?
        .filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| stat(pid).map(|(name, parent)| (pid, name, parent)))
        .collect();
    while let Some(parent) = found.pop() {
        for (pid, name, _) in all.iter().filter(|(_, _, p)| *p == parent) {
            if name == "hawiz" {
                return rustix::process::Pid::from_raw(*pid);
            }
            found.push(*pid);
        }
    }
    None
}
