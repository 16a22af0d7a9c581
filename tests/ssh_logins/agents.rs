//! Agents: too many keys in them, and none at all.

use super::*;
use std::process::{Child, Command, Stdio};

/// An agent of the test's own, with eight keys that open nothing, and then these.
pub struct Agent {
    child: Child,
    pub socket: String,
}

impl Agent {
    pub fn new(world: &World, more: &[&str]) -> Option<Agent> {
        if !here(&["ssh-agent", "ssh-add"]) {
            return None;
        }
        let socket = world.dir.join("agent").display().to_string();
        let child = Command::new("ssh-agent").args(["-D", "-a", &socket]).stdout(Stdio::null()).spawn();
        let agent = Agent { child: child.expect("openssh-client has it"), socket };
        sshd::until("the agent", || fs::exists(&agent.socket).ok().filter(|t| *t));
        let others = (0..8).map(|n| world.dir.join(format!("other-{n}")));
        let mut add = Command::new("ssh-add");
        add.arg("-q").env("SSH_AUTH_SOCK", &agent.socket);
        for other in others {
            let mut keygen = Command::new("ssh-keygen");
            sshd::done(
                keygen.args(["-q", "-t", "ed25519", "-N", "", "-C"]).arg(file_name(&other)).arg("-f").arg(&other),
            );
            add.arg(other);
        }
        add.args(more.iter().map(|k| keys().join(k)));
        sshd::done(&mut add);
        Some(agent)
    }
}

fn file_name(path: &std::path::Path) -> String {
    path.file_name().expect("it has one").to_string_lossy().into_owned()
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const WHO_IS: [&str; 3] = ["run", "who", "--yes"];

/// A server of the usual patience: six tries.
fn patient() -> Option<Sshd> {
    Server::default().line("MaxAuthTries 6").start()
}

#[test]
fn an_agent_with_eight_keys_is_too_much_for_a_server_unless_one_is_named() {
    let Some(server) = patient() else { return };
    let mut world = desk(&[&server]);
    let Some(agent) = Agent::new(&world, &["id-rsa"]) else { return };
    world.env.push(("SSH_AUTH_SOCK".into(), agent.socket.clone()));
    // The right one is the ninth.
    site(&world, &node(&server, "a", ""));
    let ran = world.hawiz(&WHO_IS).is(4);
    let ran = ran.says("closed the connection while").says("MaxAuthTries").says("IdentitiesOnly yes");
    ran.says("tried: agent key other-0 SHA256:").says("agent key other-4 SHA256:");
    // Named by the site, out of a file or, of a public one, out of the agent.
    site(&world, &node(&server, "a", &key("id-ed25519")));
    world.hawiz(&WHO_IS).is(0);
    site(&world, &node(&server, "a", &key("id-rsa.pub")));
    world.hawiz(&WHO_IS).is(0);
    // Named by ssh_config.
    site(&world, &node(&server, "a", ""));
    let named = format!("Host *\n  IdentitiesOnly yes\n  IdentityFile {}\n", keys().join("id-rsa").display());
    config(&world, &named);
    world.hawiz(&WHO_IS).is(0);
}

#[test]
fn the_site_names_a_key_for_a_program_that_gets_the_terminal_too() {
    let Some(server) = patient() else { return };
    let mut world = desk(&[&server]);
    let Some(agent) = Agent::new(&world, &[]) else { return };
    world.env.push(("SSH_AUTH_SOCK".into(), agent.socket.clone()));
    site(&world, &node(&server, "a", &key("id-ed25519")));
    world.playbook(&lonely(&[&console::step(&server)]));
    let ran = typed(&world, &["activate", "--on", "a"], &[(GATE, "y\r"), (console::WORD, "blue\r")]).is(0);
    ran.says("{blue}");
}

#[test]
fn an_agent_that_sudo_took_away_is_missed_aloud() {
    let Some(server) = patient() else { return };
    let mut world = desk(&[&server]);
    site(&world, &node(&server, "a", ""));
    world.env.push(("SUDO_USER".into(), "alice".into()));
    let ran = world.hawiz(&WHO_IS).is(4);
    let ran = ran.says("sudo took the agent of `alice` away (`$SSH_AUTH_SOCK` is not set)");
    ran.says("sudo --preserve-env=SSH_AUTH_SOCK hawiz").says("Defaults env_keep += \"SSH_AUTH_SOCK\"");
    // Kept, it is used although its socket is somebody else's.
    let Some(agent) = Agent::new(&world, &[]) else { return };
    let mut add = Command::new("ssh-add");
    add.args(["-q", "-D"]).env("SSH_AUTH_SOCK", &agent.socket);
    sshd::done(&mut add);
    let mut add = Command::new("ssh-add");
    sshd::done(add.arg("-q").arg(keys().join("id-ecdsa")).env("SSH_AUTH_SOCK", &agent.socket));
    if sshd::is_root() {
        std::os::unix::fs::chown(&agent.socket, Some(4711), None).expect("root may");
    }
    world.hawiz_with(&WHO_IS, &[("SSH_AUTH_SOCK", &agent.socket)]).is(0);
}
