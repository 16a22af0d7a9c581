//! Whoever logs in, whatever their shell prints, however they got there.

use super::*;
use crate::sshd::{OURS, Wire, here, keys, skipped, user};
use crate::support::World;
use std::process::Command;

/// A server with one more account that has this login shell.
fn with_shell(shell: &str, files: &[(&str, &str)]) -> Option<Sshd> {
    let mut account = user("op", 4711, shell);
    for (name, content) in files {
        account = account.file(name, content);
    }
    let mut server = Server::default().user(account).start()?;
    server.login_as("op");
    Some(server)
}

/// Looks and a recorded step work there.
#[track_caller]
fn works(server: &Sshd) {
    let (mut fleet, hello) = locked(server);
    let reply = fleet.look("n", &sent("echo 'it''s' \"$0\" $((1 + 1)); exit 3"), SOON).expect("a session");
    assert_eq!((reply.code, reply.err.lossy()), (Some(3), String::new()), "{reply:?}");
    assert!(reply.out.lossy().starts_with("its "), "{reply:?}");
    // An attempt is made once, whatever else is changed in between.
    static ATTEMPT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
    let attempt = ATTEMPT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let ended = run(&mut fleet, &claim(&hello.boot, "start", attempt), &sent("id -un; echo err >&2; exit 4"));
    assert_eq!((ended.end, ended.err), (Progress::Done(4), b"err\n".to_vec()));
    assert_eq!(ended.out, format!("{}\n", server.login).into_bytes());
}

fn works_under(shell: &str) {
    let Some(path) = sshd::which(shell) else { return skipped(&format!("{shell} is not installed")) };
    if let Some(server) = with_shell(&path.to_string_lossy(), &[]) {
        works(&server);
    }
}

#[test]
fn tcsh_as_a_login_shell_is_no_hindrance() {
    works_under("tcsh");
}

#[test]
fn fish_as_a_login_shell_is_no_hindrance() {
    works_under("fish");
}

#[test]
fn bash_as_a_login_shell_is_no_hindrance() {
    works_under("bash");
}

#[test]
fn busybox_as_a_login_shell_is_no_hindrance() {
    let Some(busybox) = sshd::which("busybox") else { return skipped("busybox is not installed") };
    // A login shell is called by its own name, and busybox by the name it is called.
    let Some(mut server) = Server::default().user(user("op", 4711, "/run/sh")).start() else { return };
    sshd::done(server.command("ln").arg("-s").arg(busybox).arg("/run/sh"));
    server.login_as("op");
    works(&server);
}

#[test]
fn a_noisy_bashrc_disturbs_no_answer() {
    let Some(bash) = sshd::which("bash") else { return skipped("bash is not installed") };
    let noise = "echo welcome; echo error >&2; printf 'no newline'; printf '\\033[31m\\0@x.000001<\\n'\n";
    let Some(server) = with_shell(&bash.to_string_lossy(), &[(".bashrc", noise)]) else { return };
    works(&server);
}

#[test]
fn a_login_banner_disturbs_no_answer() {
    let banner = std::env::temp_dir().join(format!("hawiz-banner-{}", std::process::id()));
    std::fs::write(&banner, "Authorised people only.\n@x.000001<\n".repeat(50)).expect("a temporary file");
    let server = Server::default().line(&format!("Banner {}", banner.display())).start();
    if let Some(server) = server {
        works(&server);
    }
    let _ = std::fs::remove_file(&banner);
}

#[test]
fn a_login_that_is_not_root_gets_root_by_sudo_for_the_whole_session() {
    if !here(&["sudo"]) {
        return;
    }
    let Some(mut server) = Server::default()
        .user(user("op", 4711, "/bin/sh"))
        .etc("sudoers", 0o440, "op ALL=(ALL) NOPASSWD: ALL\n")
        .start()
    else {
        return;
    };
    server.login_as("op");
    let mut node = server.node();
    node.become_root = Some("sudo".into());
    let mut fleet = fleet_of(vec![node], &server);
    assert_eq!(fleet.greet("n").unwrap_or_else(|e| panic!("{e:?}")).uid, 0);
    assert_eq!(fleet.lock("n", "r", "m", "me"), Ok(Locked::Ours));
    assert_eq!(says(&mut fleet, "id -u; echo $SUDO_USER"), "0\nop\n");
}

/// A folder from which the real hawiz reaches servers as an ssh_config says.
struct Desk(World);

impl Desk {
    /// `check` looks on all nodes of the site.
    fn new(site: &str, config: &str) -> Desk {
        let world = World::new(
            "format = 1\ntitle = \"Who is there\"\n[[who]]\nstage = \"Look\"\n[[who.step]]\nname = \"Who\"\non = \"all\"\nshow = true\ncheck.sh = 'id -un'\n",
        );
        world.put("hawiz.toml", &format!("playbook = \"playbook.toml\"\n{site}"));
        world.put("ssh_config", config);
        Desk(world)
    }
    fn who(&self, more: &[(&str, &str)]) -> support::Ended {
        let config = self.0.dir.join("ssh_config").to_string_lossy().into_owned();
        let mut env = vec![("HAWIZ_SSH_CONFIG", config.as_str())];
        env.extend(more);
        self.0.hawiz_with(&["run", "who", "--yes"], &env)
    }
    /// The node's lines of a site file when the ssh_config knows all of it under that name.
    fn node(&self, name: &str, state: &Sshd) -> String {
        let how = if OURS {
            format!("address = \"{name}\"")
        } else {
            format!("via = [\"ssh\", \"-F\", \"{}\", \"{name}\", \"sh\"]", self.0.dir.join("ssh_config").display())
        };
        format!("[nodes.{name}]\n{how}\nstate = \"{}\"\n", state.state().display())
    }
    fn site(&self, nodes: &str) {
        self.0.put("hawiz.toml", &format!("playbook = \"playbook.toml\"\n{nodes}"));
    }
}

/// The part of an ssh_config that all have.
fn strict(known: &[&Sshd]) -> String {
    let files: Vec<String> = known.iter().map(|s| s.dir.join("known_hosts").display().to_string()).collect();
    format!(
        "Host *\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  BatchMode yes\n",
        files.join(" ")
    )
}

fn host(name: &str, server: &Sshd, more: &str) -> String {
    format!("Host {name}\n  HostName 127.0.0.1\n  Port {}\n  User {}\n{more}", server.port, server.login)
}

fn identity(key: &str) -> String {
    format!("  IdentityFile {}\n  IdentitiesOnly yes\n", keys().join(key).display())
}

#[test]
fn keys_of_every_kind_log_in() {
    let Some(server) = Server::default().start() else { return };
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let desk = Desk::new("", &(host("one", &server, &identity(&format!("id-{kind}"))) + &strict(&[&server])));
        desk.site(&desk.node("one", &server));
        desk.who(&[]).is(0);
    }
}

#[test]
fn a_jump_host_is_passed_and_a_chain_of_two() {
    let (Some(first), Some(second), Some(last)) =
        (Server::default().start(), Server::default().start(), Server::default().other_keys().start())
    else {
        return;
    };
    let mut config = host("first", &first, &identity("id-ed25519"));
    config += &host("second", &second, &(identity("id-ed25519") + "  ProxyJump first\n"));
    config += &host("last", &last, &(identity("id-rsa") + "  ProxyJump second\n"));
    config += &strict(&[&first, &second, &last]);
    let desk = Desk::new("", &config);
    desk.site(&desk.node("last", &last));
    desk.who(&[]).is(0);
    for (server, name) in [(&first, "first"), (&second, "second")] {
        assert!(server.log().contains("Accepted publickey"), "{name} was not gone through");
    }
}

#[test]
fn a_proxy_command_is_the_way() {
    let Some(server) = Server::default().start() else { return };
    let Some(nc) = sshd::which("busybox") else { return skipped("busybox is not installed") };
    let mark = server.dir.join("proxied");
    let proxy = format!("  ProxyCommand sh -c 'echo x >>{}; exec {} nc 127.0.0.1 %p'\n", mark.display(), nc.display());
    let desk = Desk::new("", &(host("one", &server, &(identity("id-ed25519") + &proxy)) + &strict(&[&server])));
    desk.site(&desk.node("one", &server));
    desk.who(&[]).is(0);
    assert!(times(&mark) >= 1);
}

/// An agent of the test's own.
struct Agent {
    child: std::process::Child,
    socket: String,
}

impl Agent {
    fn new(desk: &Desk, keys_in_it: &[&str]) -> Agent {
        let socket = desk.0.dir.join(format!("agent-{}", keys_in_it.len())).to_string_lossy().into_owned();
        let child = Command::new("ssh-agent").args(["-D", "-a", &socket]).stdout(std::process::Stdio::null()).spawn();
        let agent = Agent { child: child.expect("openssh-client has it"), socket };
        until("the agent", || std::path::Path::new(&agent.socket).exists().then_some(()));
        for key in keys_in_it {
            let mut add = Command::new("ssh-add");
            sshd::done(add.arg("-q").arg(keys().join(key)).env("SSH_AUTH_SOCK", &agent.socket));
        }
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_agent_logs_in_and_identities_only_keeps_its_other_keys_away() {
    if !here(&["ssh-agent", "ssh-add"]) {
        return;
    }
    // Two tries are all that this server has patience for.
    let Some(server) = Server::default().line("MaxAuthTries 2").start() else { return };
    let desk = Desk::new("", &(host("one", &server, "") + &strict(&[&server])));
    desk.site(&desk.node("one", &server));
    let agent = Agent::new(&desk, &["id-rsa"]);
    desk.who(&[("SSH_AUTH_SOCK", &agent.socket)]).is(0);
    drop(agent);
    let others: Vec<String> = (0..4).map(|n| format!("other-{n}")).collect();
    for other in &others {
        let mut keygen = Command::new("ssh-keygen");
        sshd::done(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(desk.0.dir.join(other)));
    }
    let agent = Agent::new(&desk, &[]);
    for other in &others {
        let mut add = Command::new("ssh-add");
        sshd::done(add.arg("-q").arg(desk.0.dir.join(other)).env("SSH_AUTH_SOCK", &agent.socket));
    }
    desk.0.put("ssh_config", &(host("one", &server, &identity("id-ed25519")) + &strict(&[&server])));
    desk.who(&[("SSH_AUTH_SOCK", &agent.socket)]).is(0);
}

#[test]
fn ipv6_is_spoken_also_link_local() {
    let Some(server) = Server::default().start() else { return };
    if !server.log().contains("listening on ::1") {
        return skipped("this machine has no ::1");
    }
    let mut server = server;
    server.known_as("::1");
    works(&server);
    drop(server);
    let (Some(mut server), Some(wire)) = (Server::default().net().start(), Wire::new()) else { return };
    let n = wire.join(&mut server);
    let addresses = wire.there(&server, "-6 -o addr show dev eth0 scope link");
    let local = addresses.split_whitespace().find(|w| w.starts_with("fe80")).expect("it has one").to_string();
    let local = local.split('/').next().expect("an address").to_string();
    until("its address to be tested", || {
        (!wire.there(&server, "-6 addr show tentative").contains("fe80")).then_some(())
    });
    until("ours, too", || (!wire.ip("-6 addr show tentative").contains("fe80")).then_some(()));
    for address in [format!("fd99:{n}::2"), format!("{local}%v{n}")] {
        server.known_as(&address);
        wire.inside(|| works(&server));
    }
}

#[test]
fn twelve_logins_at_once_pass_a_server_that_lets_in_three() {
    if !OURS {
        return skipped("`ssh` does not try again");
    }
    let Some(server) = Server::default().line("MaxStartups 3:100:3").start() else { return };
    let all: Vec<hawiz::plan::Node> = (0..12)
        .map(|i| {
            let mut node = server.node();
            node.name = format!("n{i}");
            node.state = Some(server.dir.join(format!("state-{i}")).to_string_lossy().into_owned());
            node
        })
        .collect();
    std::thread::scope(|scope| {
        for node in all {
            let server = &server;
            scope.spawn(move || {
                let name = node.name.clone();
                let mut fleet = fleet_of(vec![node], server);
                fleet.greet(&name).unwrap_or_else(|e| panic!("{e:?}"));
            });
        }
    });
}
