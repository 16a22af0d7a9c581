//! Two operators at machines of their own, each with an address on the wire, a site file and a state directory.
//!
//! Why it exists: what one operator's machine knows, the other's does not. A failover that is begun at one and ended at the
//! other, or at both at once, must not depend on a shared disk.

use crate::rig::{Lab, Said, said, script, text, whole_of};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command};

/// How the hosts are reached.
#[derive(Clone, Copy, PartialEq)]
pub enum Way {
    /// Through their namespaces, past the network.
    Via,
    /// By the hosts' own sshd, which this starts.
    Ssh,
}

pub struct Station<'l> {
    lab: &'l Lab,
    name: &'static str,
    site: &'static str,
    playbook: PathBuf,
}

/// Both stations, for a playbook.
pub fn stations<'l>(lab: &'l Lab, way: Way, playbook: &str) -> [Station<'l>; 2] {
    let site = if way == Way::Ssh { "ssh.toml" } else { "hawiz.toml" };
    if way == Way::Ssh {
        lab.sshd();
    }
    ["station1", "station2"].map(|name| Station { lab, name, site, playbook: script(playbook) })
}

impl Station<'_> {
    pub fn hawiz(&self, args: &[&str]) -> Command {
        let dir = self.lab.run.join(self.name);
        let mut hawiz = self.lab.hawiz_at(self.name, &dir.join(self.site), &self.playbook, &self.state(), args);
        hawiz.env("HAWIZ_SSH_CONFIG", dir.join("config"));
        hawiz
    }
    pub fn say(&self, args: &[&str]) -> Said {
        said(self.hawiz(args))
    }
    /// Starts it; what it says is in [`Station::said`].
    pub fn start(&self, args: &[&str]) -> Child {
        let file = std::fs::File::create(self.paper()).expect("the run is ours");
        let twin = file.try_clone().expect("it is open");
        self.hawiz(args).stdout(file).stderr(twin).spawn().expect("hawiz starts")
    }
    /// What the command that was started last has said.
    pub fn said(&self) -> String {
        std::fs::read(self.paper()).map(|b| text(&b)).unwrap_or_default()
    }
    fn paper(&self) -> PathBuf {
        self.lab.run.join(self.name).join("said")
    }
    /// The fence agent's exit code and words.
    pub fn fence(&self, node: &str, action: &str) -> Said {
        self.fence_as(node, action, "sesame")
    }
    pub fn fence_as(&self, node: &str, action: &str, password: &str) -> Said {
        let run = self.lab.run.display();
        let options =
            format!("action={action}\nip={run}\nplug={node}\nusername=admin\npassword={password}\npower_timeout=60\n");
        let out = whole_of(&mut self.lab.place(self.name, script("fence_lab")), &options);
        Said { code: out.status.code(), out: text(&[out.stdout, out.stderr].concat()) }
    }
    /// Does it with a state directory on a disk of half a MiB that is full to the last byte, then with room on that disk.
    pub fn with_a_full_disk(&self, full: impl FnOnce(), room: impl FnOnce()) {
        let disk = |mut command: Command| {
            let done = command.arg(self.state()).status();
            assert!(done.is_ok_and(|s| s.success()), "the small disk: {command:?}");
        };
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=512k,mode=700", "hzlab"]);
        disk(mount);
        let fill = self.state().join("fill");
        // The copying ends when the disk is full.
        let filled =
            std::fs::File::create(&fill).and_then(|mut f| std::io::copy(&mut std::io::repeat(0).take(1 << 20), &mut f));
        assert!(filled.is_err(), "the disk is larger than it should be");
        full();
        std::fs::remove_file(&fill).expect("it was filled");
        room();
        disk(Command::new("umount"));
    }
    /// The run that was begun last here.
    pub fn newest(&self) -> Option<String> {
        let runs = std::fs::read_dir(self.state().join("runs")).into_iter().flatten().flatten();
        runs.map(|e| e.file_name().to_string_lossy().into_owned()).max()
    }
    pub fn state(&self) -> PathBuf {
        self.lab.run.join(self.name).join("state")
    }
    /// As if nobody had ever worked here.
    pub fn forget(&self) {
        for entry in std::fs::read_dir(self.state()).into_iter().flatten().flatten() {
            let path = entry.path();
            let gone = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            gone.expect("the state directory is ours");
        }
    }
}

/// What a host's management controller does wrong from now on: `fails`, `hangs`, `unknown`, `lies`; `None`: nothing.
pub fn controller(lab: &Lab, node: &str, mode: Option<&str>) {
    let file = lab.run.join(node).join("bmc/mode");
    match mode {
        Some(mode) => std::fs::write(file, mode.to_owned() + "\n").expect("the run is ours"),
        None => {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// What it was asked, since the last time that this was asked.
pub fn requests(lab: &Lab, node: &str) -> Vec<String> {
    let file = lab.run.join(node).join("bmc/log");
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let _ = std::fs::remove_file(file);
    text.lines().map(String::from).collect()
}
