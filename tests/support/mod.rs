//! A world in a folder: two nodes behind `via`, a playbook of counting steps, the real binary.
//!
//! Why it exists: promises about crashes, dry runs and exit codes hold for the program people run, not for its parts.
//! Invariants: nothing outside the folder is written; every node has a state directory of its own beside what its steps
//! change; what a step did is a line in its node's `trace`, so that *exactly once* can be counted.
#![allow(dead_code, reason = "each test takes what it needs of it")]

pub mod pty;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub struct World {
    pub dir: PathBuf,
    /// More environment for hawiz.
    pub env: Vec<(String, String)>,
}

/// How a run of hawiz ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// `None`: it was killed.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
    pub signal: Option<i32>,
}

impl Ended {
    /// Fails with everything that was said, unless it ended so.
    #[track_caller]
    pub fn is(self, code: i32) -> Ended {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
    #[track_caller]
    pub fn says(self, text: &str) -> Ended {
        assert!(
            self.out.contains(text) || self.err.contains(text),
            "{text}\nstdout:\n{}\nstderr:\n{}",
            self.out,
            self.err
        );
        self
    }
}

impl World {
    /// A fresh folder with this playbook and the plain site file of two nodes.
    pub fn new(playbook: &str) -> World {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("world-{}-{n}", std::process::id()));
        if dir.exists() {
            fs::remove_dir_all(&dir).expect("the leavings of an earlier run are ours");
        }
        for part in ["w/a", "w/b"] {
            fs::create_dir_all(dir.join(part)).expect("the target folder is writable");
        }
        fs::write(dir.join("w/a/kind"), "k\n").expect("a fresh folder");
        let world = World { dir, env: Vec::new() };
        world.playbook(playbook);
        world.site("");
        world
    }
    pub fn playbook(&self, text: &str) {
        fs::write(self.dir.join("playbook.toml"), text).expect("the folder is ours");
    }
    /// The site file: two nodes, and what is put behind them.
    pub fn site(&self, more: &str) {
        let dir = self.dir.display();
        let node =
            |n: &str| format!("[nodes.{n}]\nvia = [\"env\", \"NODE={n}\", \"sh\"]\nstate = \"{dir}/state/{n}\"\n");
        let text = format!("playbook = \"playbook.toml\"\n[inputs]\nw = \"{dir}/w\"\n{}{}{more}", node("a"), node("b"));
        fs::write(self.dir.join("hawiz.toml"), text).expect("the folder is ours");
    }
    /// One node only, in a system that is not exclusive.
    pub fn lonely_site(&self) {
        let dir = self.dir.display();
        let text = format!(
            "playbook = \"playbook.toml\"\n[inputs]\nw = \"{dir}/w\"\n[nodes.a]\nvia = [\"env\", \"NODE=a\", \"sh\"]\nstate = \"{dir}/state/a\"\n"
        );
        fs::write(self.dir.join("hawiz.toml"), text).expect("the folder is ours");
    }
    pub fn command(&self, args: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hawiz"));
        command.args(args).current_dir(&self.dir).stdin(Stdio::null()).env_clear();
        for (name, value) in self.environment() {
            command.env(name, value);
        }
        command
    }
    pub fn environment(&self) -> Vec<(String, String)> {
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into());
        let dir = self.dir.display();
        let mut all: Vec<(String, String)> = vec![
            ("PATH".into(), path),
            ("HOME".into(), format!("{dir}/home")),
            ("HAWIZ_STATE_DIR".into(), format!("{dir}/here")),
            // The target folder may be in memory.
            ("HAWIZ_TMPFS_STATE".into(), "1".into()),
            ("TERM".into(), "xterm".into()),
            ("LANG".into(), "C.UTF-8".into()),
            ("TZ".into(), "UTC".into()),
        ];
        all.extend(self.env.iter().cloned());
        all
    }
    pub fn hawiz(&self, args: &[impl AsRef<OsStr>]) -> Ended {
        self.hawiz_with(args, &[])
    }
    pub fn hawiz_with(&self, args: &[impl AsRef<OsStr>], env: &[(&str, &str)]) -> Ended {
        let out = self.command(args).envs(env.iter().copied()).output().expect("hawiz was built for this test");
        Ended {
            code: out.status.code(),
            signal: out.status.signal(),
            out: String::from_utf8_lossy(&out.stdout).into_owned(),
            err: String::from_utf8_lossy(&out.stderr).into_owned(),
        }
    }
    /// What steps wrote on a node, a line each.
    pub fn trace(&self, node: &str) -> Vec<String> {
        let text = fs::read(self.dir.join("w").join(node).join("trace")).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().map(String::from).collect()
    }
    /// The runs that were kept, oldest first.
    pub fn runs(&self) -> Vec<String> {
        let Ok(all) = fs::read_dir(self.dir.join("here/runs")) else { return Vec::new() };
        let mut ids: Vec<String> = all.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        ids.sort();
        ids
    }
    pub fn locked(&self, node: &str) -> bool {
        self.dir.join("state").join(node).join("lock").exists()
    }
    pub fn put(&self, path: &str, text: &str) {
        fs::write(self.dir.join(path), text).expect("the folder is ours");
    }
    /// Everything below, byte for byte: path → content.
    pub fn picture(&self, below: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        let mut todo = vec![self.dir.join(below)];
        while let Some(dir) = todo.pop() {
            let Ok(entries) = fs::read_dir(&dir) else { continue };
            all.insert(dir.clone(), Vec::new());
            for path in entries.flatten().map(|e| e.path()) {
                if path.is_dir() && !path.is_symlink() {
                    todo.push(path);
                } else {
                    let content =
                        fs::read_link(&path).map(|t| t.as_os_str().as_bytes().to_vec()).or_else(|_| fs::read(&path));
                    all.insert(path, content.unwrap_or_default());
                }
            }
        }
        all
    }
    /// Back to how it was when it was made.
    pub fn fresh(&self) {
        for part in ["w", "state", "here"] {
            let _ = fs::remove_dir_all(self.dir.join(part));
        }
        for part in ["w/a", "w/b"] {
            fs::create_dir_all(self.dir.join(part)).expect("the folder is ours");
        }
        self.put("w/a/kind", "k\n");
    }
    /// Keeps how it is now, or goes back there.
    pub fn keep(&self) {
        copy(&self.dir, &["w", "state", "here"], "", "kept/");
    }
    pub fn back(&self) {
        copy(&self.dir, &["w", "state", "here"], "kept/", "");
    }
}

fn copy(dir: &Path, parts: &[&str], from: &str, to: &str) {
    for part in parts {
        let target = dir.join(format!("{to}{part}"));
        let _ = fs::remove_dir_all(&target);
        fs::create_dir_all(target.parent().expect("inside the world")).expect("the folder is ours");
        let done = Command::new("cp").arg("-a").arg(dir.join(format!("{from}{part}"))).arg(&target).status();
        assert!(done.expect("cp is everywhere").success());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What failed is kept to be looked at.
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// A step that leaves a line and a file, is looked at, and can be undone.
pub fn step(name: &str, more: &str) -> String {
    let id = name.to_lowercase().replace(' ', "-");
    format!(
        "name = \"{name}\"\n{more}\nrun.sh = '''\necho {id} >>\"$w/$node/trace\"\n: >\"$w/$node/{id}\"\n'''\n\
         done.sh = 'test -e \"$w/$node/{id}\"'\nundo.sh = '''\necho undo-{id} >>\"$w/$node/trace\"\nrm -f \"$w/$node/{id}\"\n'''\n"
    )
}

/// Two nodes, one of them active: counting steps on both, one without a look, an exclusive one, a check at the end.
pub fn failover() -> String {
    let count = step("Count", "");
    let take = step("Active", "exclusive = true");
    format!(
        r#"format = 1
title = "Two nodes"
[inputs]
w = {{}}
[[inactive]]
stage = "Inactive"
[[inactive.step]]
name = "is not active"
check.sh = 'test ! -e "$w/$node/active"'
[[activate]]
stage = "Prepare"
on = "all"
[[activate.step]]
{count}
[[activate]]
stage = "Go"
[[activate.step]]
name = "Blind"
run.sh = 'echo blind >>"$w/$node/trace"'
undo.sh = 'echo undo-blind >>"$w/$node/trace"'
[[activate.step]]
{take}
"#
    )
}

/// One node, whatever steps.
pub fn lonely(steps: &[&str]) -> String {
    let steps: String = steps.iter().map(|s| format!("[[activate.step]]\n{s}\n")).collect();
    format!(
        "format = 1\ntitle = \"One node\"\n[inputs]\nw = {{}}\nv = {{ default = \"\" }}\n[[activate]]\nstage = \"Go\"\n{steps}"
    )
}

/// Small, seeded, good enough to shuffle with.
pub struct Dice(pub u64);

impl Dice {
    /// From the clock, or from `HAWIZ_SEED`; printed, so that a failure can be had again.
    pub fn new(what: &str) -> Dice {
        let given = std::env::var("HAWIZ_SEED").ok().and_then(|s| s.parse().ok());
        let now =
            || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64);
        let seed = given.unwrap_or_else(now);
        eprintln!("{what}: HAWIZ_SEED={seed}");
        Dice(seed | 1)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// A longer campaign was asked for.
pub fn campaign() -> bool {
    std::env::var_os("HAWIZ_CAMPAIGN").is_some_and(|v| v == "1")
}

/// Deals the numbers out to a few workers, each with something of its own.
pub fn spread<T: Send>(numbers: Vec<u64>, workers: usize, make: impl Fn() -> T + Sync, work: impl Fn(&T, u64) + Sync) {
    let left = std::sync::Mutex::new(numbers);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let own = make();
                loop {
                    let next = left.lock().expect("no worker fails while it holds this").pop();
                    let Some(n) = next else { break };
                    work(&own, n);
                }
            });
        }
    });
}
