//! A stand-in node: a state directory of its own and a PATH on which `sh` is the shell under test.

use hawiz::plan::{How, Node};
use hawiz::reach::{Claim, Greeting, Locked, Progress, Reach, Sent, Started};
use hawiz::session::Fleet;
use rustix::process::Pid;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub const SHELLS: [(&str, &str); 4] = [("dash", "dash"), ("bash", "bash"), ("busybox", "busybox"), ("mksh", "mksh")];
pub const SOON: Duration = Duration::from_secs(20);

pub struct World {
    pub dir: PathBuf,
    pub shell: &'static str,
}

fn which(program: &str) -> Option<PathBuf> {
    ["/bin", "/usr/bin", "/usr/local/bin"].iter().map(|d| Path::new(d).join(program)).find(|p| p.exists())
}

impl World {
    pub fn new(shell: &'static str, program: &str) -> Option<World> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Some(path) = which(program) else {
            eprintln!("skipped: {program} is not installed");
            return None;
        };
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("hawiz-session-{}-{n}", std::process::id()));
        std::fs::create_dir_all(dir.join("bin")).expect("the temporary folder is writable");
        std::os::unix::fs::symlink(path, dir.join("bin/sh")).expect("a fresh folder");
        Some(World { dir, shell })
    }
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }
    pub fn node(&self) -> Node {
        let path = format!("PATH={}:/usr/local/bin:/usr/bin:/bin", self.dir.join("bin").display());
        Node {
            name: "n".into(),
            login: Default::default(),
            how: How::Via(vec!["env".into(), path, "sh".into()]),
            address: None,
            become_root: None,
            state: Some(self.state().to_string_lossy().into_owned()),
            group: None,
            vars: Vec::new(),
        }
    }
    /// The node as another login sees it; `None` when this test may not become one.
    pub fn nobody(&self) -> Option<Node> {
        let mut node = self.node();
        if !rustix::process::geteuid().is_root() || which("setpriv").is_none() {
            eprintln!("skipped: needs root and setpriv");
            return None;
        }
        if let How::Via(argv) = &mut node.how {
            argv.splice(0..0, ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].map(String::from));
        }
        Some(node)
    }
    /// A program of the node's own, in front of all others.
    pub fn stand_in(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.dir.join("bin").join(name);
        std::fs::write(&path, text).expect("the world's own folder");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("just written");
    }
    /// From now on a leader stops itself before it has the right to begin; its process id will stand in the file returned.
    pub fn freezing_leaders(&self) -> PathBuf {
        let note = self.dir.join("pid");
        let text = format!(
            "#!/bin/sh\ncase $2 in */leader) echo $$ >{0}.t; mv {0}.t {0}; kill -STOP $$;; esac\nexec /usr/bin/setsid \"$@\"\n",
            note.display()
        );
        self.stand_in("setsid", &text);
        note
    }
    /// All paths below the world's folder.
    pub fn snapshot(&self) -> Vec<PathBuf> {
        let (mut found, mut open) = (Vec::new(), vec![self.dir.clone()]);
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
                if entry.file_type().is_ok_and(|t| t.is_dir()) {
                    open.push(entry.path());
                }
                found.push(entry.path());
            }
        }
        found.sort();
        found
    }
    pub fn fleet(&self) -> Fleet {
        Fleet::new(vec![self.node()], self.dir.clone()).tmpfs(true)
    }
    /// A fleet that holds the lock for run `r`.
    pub fn locked(&self) -> (Fleet, Greeting) {
        let mut fleet = self.fleet();
        let greeting = fleet.greet("n").expect("the shell starts");
        assert_eq!(fleet.lock("n", "r", "m", "me@here, pid 1"), Ok(Locked::Ours), "{}", self.shell);
        (fleet, greeting)
    }
}
impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The same story under every shell.
pub fn each(story: impl Fn(&World)) {
    for (name, program) in SHELLS {
        if let Some(world) = World::new(name, program) {
            eprintln!("-- {name}");
            story(&world);
        }
    }
}

pub fn sent(script: impl Into<Vec<u8>>) -> Sent {
    Sent { script: script.into(), ..Sent::default() }
}
pub fn claim(boot: &str, step: &str, attempt: u32) -> Claim {
    Claim { run: "r".into(), step: step.into(), attempt, marker: "m".into(), boot: boot.into() }
}
pub struct Ended {
    pub end: Progress,
    pub out: Vec<u8>,
    pub err: Vec<u8>,
}
pub fn follow(fleet: &mut Fleet, claim: &Claim) -> Ended {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match fleet.poll("n", claim, SOON) {
            Progress::Output(true, bytes) => err.extend(bytes),
            Progress::Output(false, bytes) => out.extend(bytes),
            end => return Ended { end, out, err },
        }
    }
}
pub fn run(fleet: &mut Fleet, claim: &Claim, sent: &Sent) -> Ended {
    assert_eq!(fleet.start("n", claim, sent), Started::Running);
    follow(fleet, claim)
}

/// The pid of the node's persistent shell, in whose subshell a look runs.
pub fn shell_pid(fleet: &mut Fleet) -> Pid {
    let pid = fleet.look("n", &sent("echo $$"), SOON).expect("a session").out.lossy();
    Pid::from_raw(pid.trim().parse().expect("a number")).expect("not 0")
}
/// Waits for something that another process does.
pub fn until<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    for _ in 0..4000 {
        if let Some(found) = seen() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("waited too long for {what}");
}
/// The only claim that began in a state directory: its script, beside which all the rest of it is.
pub fn only_claim(world: &World) -> PathBuf {
    let go = world.snapshot().into_iter().find(|p| p.extension().is_some_and(|e| e == "go"));
    go.expect("a claim that began").with_extension("")
}
/// Who is in a process group and has not ended.
pub fn processes(group: i32) -> Vec<String> {
    let all = std::fs::read_dir("/proc").expect("a /proc").filter_map(|e| e.ok());
    all.filter_map(|process| {
        let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let (state, theirs) = (fields.next()?, fields.nth(1)?);
        (theirs == group.to_string() && !"ZX".contains(state)).then_some(stat.trim().to_string())
    })
    .collect()
}
