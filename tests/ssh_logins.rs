//! Getting in over SSH as an operator meets it: the real binary on a terminal, a real `sshd`, everything that may be asked.
//!
//! Why it exists: what is asked, how often and of whom cannot be seen from inside a transport. Without `sshd` the tests say
//! that they are skipped; what needs accounts or a network of its own needs root besides.

#[path = "ssh_logins/agents.rs"]
mod agents;
#[path = "ssh_logins/console.rs"]
mod console;
#[path = "ssh_logins/hosts.rs"]
mod hosts;
#[path = "ssh_logins/jumps.rs"]
mod jumps;
#[path = "ssh_logins/locked.rs"]
mod locked;
#[path = "ssh_logins/passwords.rs"]
mod passwords;
#[path = "ssh_logins/root.rs"]
mod root;
#[path = "support/sshd.rs"]
mod sshd;
mod support;

use sshd::{Server, Sshd, here, keys, user};
use std::fs;
use std::time::Duration;
use support::pty::talk;
use support::{Ended, World, lonely};

const PATIENCE: Duration = Duration::from_secs(40);
const GATE: &str = "Continue?";

/// `who` looks on all nodes of the site.
const WHO: &str = "format = 1\ntitle = \"Who is there\"\n[inputs]\nw = {}\n[[who]]\nstage = \"Look\"\n[[who.step]]\nname = \"Who\"\n\
                   on = \"all\"\nshow = true\ncheck.sh = 'id -un'\n";

/// A folder from which hawiz reaches nodes; its ssh_config knows all these servers, and asks about others.
fn desk(servers: &[&Sshd]) -> World {
    let mut world = World::new(WHO);
    let known = world.dir.join("known_hosts");
    let lines: String = servers.iter().map(|s| s.known(&s.address)).collect();
    fs::write(&known, lines).expect("a fresh folder");
    let config = world.dir.join("ssh_config");
    let text = format!(
        "Host *\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n  IdentityFile none\n",
        known.display()
    );
    fs::write(&config, text).expect("a fresh folder");
    world.env.push(("HAWIZ_SSH_CONFIG".into(), config.display().to_string()));
    site(&world, "");
    world
}

/// The ssh_config, before what holds for all.
fn config(world: &World, more: &str) {
    let old = fs::read_to_string(world.dir.join("ssh_config")).expect("it was written");
    let all = old.rfind("Host *\n").expect("it ends so");
    world.put("ssh_config", &format!("{more}{}", &old[all..]));
}

fn site(world: &World, nodes: &str) {
    let dir = world.dir.display();
    world.put("hawiz.toml", &format!("playbook = \"playbook.toml\"\n[inputs]\nw = \"{dir}/w\"\n{nodes}"));
}

/// A server as a node; several nodes of one server differ in where they keep their state.
fn node(server: &Sshd, name: &str, more: &str) -> String {
    let (address, port, login) = (&server.address, server.port, &server.login);
    let state = server.state().join(name);
    format!(
        "[nodes.{name}]\naddress = \"{address}\"\nport = {port}\nuser = \"{login}\"\nstate = \"{}\"\n{more}\n",
        state.display()
    )
}

fn key(name: &str) -> String {
    format!("identity = \"{}\"\n", keys().join(name).display())
}

/// Answers in turn: each is typed when its question stands behind the one before.
fn turns(all: &[(&str, &str)]) -> impl FnMut(&str) -> Option<Vec<u8>> + use<> {
    let mut all: Vec<(String, String)> = all.iter().map(|(q, a)| (q.to_string(), a.to_string())).collect();
    all.reverse();
    let mut seen = 0;
    move |screen| {
        let (question, answer) = all.last()?;
        let at = screen[seen..].find(question.as_str())?;
        seen += at + question.len();
        let answer = answer.as_bytes().to_vec();
        all.pop();
        Some(answer)
    }
}

/// On a terminal, with these answers.
fn typed(world: &World, args: &[&str], all: &[(&str, &str)]) -> Ended {
    talk(world, args, PATIENCE, turns(all))
}

/// How often something stands on the screen.
#[track_caller]
fn shows(ended: &Ended, what: &str, times: usize) {
    assert_eq!(ended.out.matches(what).count(), times, "{what}\n{}\n{}", ended.out, ended.err);
}

/// An account `op` that logs in with a key, and whatever else the server is to be like.
fn op(server: Server, password: Option<&str>) -> Option<Sshd> {
    let account = user("op", 4711, "/bin/sh");
    let account = password.into_iter().fold(account, |a, p| a.password(p));
    let mut server = server.user(account).start()?;
    server.login_as("op");
    Some(server)
}
