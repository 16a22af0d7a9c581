//! A stand-in node: a state directory of its own and a PATH on which `sh` is the shell under test.

use hawiz::plan::{How, Node};
use hawiz::reach::{Claim, Greeting, Locked, Progress, Reach, Sent, Started};
use hawiz::session::Fleet;
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
        // SAFETY: every test sets the same value, before any session is opened.
        unsafe { std::env::set_var("HAWIZ_TMPFS_STATE", "1") };
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
            how: How::Via(vec!["env".into(), path, "sh".into()]),
            address: None,
            become_root: None,
            state: Some(self.state().to_string_lossy().into_owned()),
            group: None,
            vars: Vec::new(),
        }
    }
    pub fn fleet(&self) -> Fleet {
        Fleet::new(vec![self.node()], self.dir.clone())
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
