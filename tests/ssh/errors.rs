//! What is said when a node cannot be reached: each its own text, within its deadline.
//!
//! The texts are in `golden/`, with what differs from run to run written as `{port}`, `{address}`, `{dir}`, `{print}`.

use super::*;
use crate::sshd::{OURS, Wire, keys, skipped, user};

/// Connecting, and a second.
const PATIENCE: Duration = Duration::from_secs(31);

/// Why the node cannot be entered, held to its golden file.
#[track_caller]
fn refused(name: &str, node: Node, server: &Sshd, within: Duration) {
    let mut fleet = fleet_of(vec![node], server);
    let begun = Instant::now();
    let why = fleet.greet("n").expect_err("it cannot be entered").why;
    let took = begun.elapsed();
    assert!(took <= within, "{name} took {took:?}: {why}");
    golden(name, &why, server);
}

#[track_caller]
fn golden(name: &str, text: &str, server: &Sshd) {
    let mut shown = text.to_string();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        for key in [
            format!("host-a-{kind}"),
            format!("host-b-{kind}"),
            format!("id-{kind}"),
            format!("locked-{kind}"),
            "stranger".into(),
        ] {
            let mut print = std::process::Command::new("ssh-keygen");
            let said = sshd::done(print.arg("-lf").arg(keys().join(&key)));
            let print = said.split_whitespace().nth(1).expect("SHA256:…").to_string();
            shown = shown.replace(&print, &format!("{{print of {key}}}"));
        }
    }
    for (what, word) in [
        (keys().to_string_lossy().into_owned(), "{keys}"),
        (server.dir.to_string_lossy().into_owned(), "{dir}"),
        (std::env::var("HAWIZ_SSH_CONFIG").unwrap_or_default().replace("config-", "known-"), "{known_hosts}"),
        (server.port.to_string(), if server.port == 22 { "22" } else { "{port}" }),
        (server.address.clone(), "{address}"),
    ] {
        if !what.is_empty() {
            shown = shown.replace(&what, word);
        }
    }
    if !OURS {
        eprintln!("{name}: {shown}");
        return;
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ssh/golden").join(format!("{name}.txt"));
    if std::env::var_os("HAWIZ_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the tree is writable");
        std::fs::write(&path, format!("{shown}\n")).expect("the tree is writable");
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(format!("{shown}\n"), wanted, "{name}: HAWIZ_BLESS=1 writes it");
}

#[test]
fn nobody_listens() {
    let Some(server) = Server::default().start() else { return };
    let node = server.node();
    server.kill();
    refused("refused", node, &server, Duration::from_secs(2));
}

#[test]
fn nothing_comes_back() {
    let (Some(mut server), Some(wire)) = (Server::default().net().start(), Wire::new()) else { return };
    let n = wire.join(&mut server);
    // A neighbour that is known and silent: a dead host behind a router.
    server.known_as(&format!("10.99.{n}.9"));
    wire.ip(&format!("neigh add 10.99.{n}.9 lladdr 02:00:00:00:00:09 dev v{n} nud permanent"));
    wire.inside(|| refused("timed-out", server.node(), &server, PATIENCE));
    server.known_as(&format!("10.99.{n}.8"));
    wire.inside(|| refused("no-such-neighbour", server.node(), &server, PATIENCE));
    server.known_as("192.0.2.1");
    wire.inside(|| refused("no-route", server.node(), &server, Duration::from_secs(2)));
}

#[test]
fn the_server_is_frozen_before_it_says_a_word() {
    let Some(server) = Server::default().start() else { return };
    let node = server.node();
    server.stop();
    refused("frozen", node, &server, PATIENCE);
}

#[test]
fn the_name_is_unknown() {
    let Some(server) = Server::default().start() else { return };
    if !OURS {
        return skipped("needs hawiz's own SSH");
    }
    let mut node = server.node();
    node.address = Some("no-such-host.invalid".into());
    refused("no-such-name", node, &server, Duration::from_secs(11));
}

#[test]
fn the_host_key_is_not_known() {
    let Some(server) = Server::default().start() else { return };
    server.trusted("");
    refused("host-key-unknown", server.node(), &server, Duration::from_secs(3));
    assert_eq!(std::fs::read_to_string(server.dir.join("known_hosts")).unwrap_or_default(), "", "nothing is written");
}

#[test]
fn the_host_key_is_another_one() {
    let (Some(server), Some(other)) = (Server::default().start(), Server::default().other_keys().start()) else {
        return;
    };
    let theirs = other.known("127.0.0.1").replace(&format!(":{}", other.port), &format!(":{}", server.port));
    server.trusted(&theirs);
    refused("host-key-changed", server.node(), &server, Duration::from_secs(3));
}

#[test]
fn only_another_kind_of_host_key_is_known_and_that_one_is_used() {
    let Some(server) = Server::default().start() else { return };
    for kind in ["rsa", "ecdsa", "ed25519"] {
        let line = server.known("127.0.0.1").lines().find(|l| l.contains(kind)).expect("it has one").to_string();
        server.trusted(&format!("{line}\n"));
        fleet(&server).greet("n").unwrap_or_else(|e| panic!("{kind}: {e:?}"));
    }
}

#[test]
fn the_host_key_is_revoked() {
    let Some(server) = Server::default().start() else { return };
    let lines = server.known("127.0.0.1");
    let revoked: String = lines.lines().map(|l| format!("@revoked {l}\n")).collect();
    server.trusted(&format!("{revoked}{lines}"));
    refused("host-key-revoked", server.node(), &server, Duration::from_secs(3));
}

#[test]
fn hashed_wildcard_and_negated_lines_are_read_as_they_are_meant() {
    let Some(server) = Server::default().start() else { return };
    let (plain, port) = (server.known("127.0.0.1"), server.port);
    let name = format!("[127.0.0.1]:{port}");
    let with = |other: &str| plain.replace(&name, other);
    let known = server.dir.join("hashed");
    std::fs::write(&known, &plain).expect("our own folder");
    sshd::done(std::process::Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&known));
    let hashed = std::fs::read_to_string(&known).expect("just made");
    assert!(hashed.starts_with("|1|"), "{hashed}");
    for fine in [
        hashed,
        with(&format!("[127.0.0.*]:{port}")),
        with(&format!("other,[127.?.0.1]:{port}")),
        format!("this is no line\n{plain}"),
    ] {
        server.trusted(&fine);
        fleet(&server).greet("n").unwrap_or_else(|e| panic!("{fine}: {e:?}"));
    }
    for wrong in [with(&format!("[127.0.0.*]:{port},!{name}")), with(&format!("[127.0.0.2]:{port}"))] {
        server.trusted(&wrong);
        let why = fleet(&server).greet("n").expect_err("it is not known").why;
        assert!(!why.is_empty(), "{wrong}");
    }
}

#[test]
fn no_key_is_taken() {
    let Some(server) = Server::default().start() else { return };
    std::fs::write(server.dir.join("authorized_keys"), "").expect("our own folder");
    refused("no-key-taken", server.node(), &server, Duration::from_secs(4));
}

#[test]
fn nobody_of_that_name_may_log_in() {
    let Some(server) = Server::default().line("AllowUsers nobody-else").start() else { return };
    refused("user-not-allowed", server.node(), &server, Duration::from_secs(6));
}

#[test]
fn the_login_shell_is_nologin() {
    let Some(nologin) = sshd::which("nologin") else { return skipped("nologin is not installed") };
    let Some(mut server) = Server::default().user(user("op", 4711, &nologin.to_string_lossy())).start() else { return };
    server.login_as("op");
    refused("nologin", server.node(), &server, Duration::from_secs(4));
}

#[test]
fn a_command_is_forced() {
    let Some(server) = Server::default().line("ForceCommand echo This account is for backups only.").start() else {
        return;
    };
    refused("forced-command", server.node(), &server, Duration::from_secs(4));
    let Some(server) = Server::default().line("ForceCommand cat").start() else { return };
    refused("forced-command-silent", server.node(), &server, PATIENCE);
}

#[test]
fn a_bashrc_prints_without_end() {
    if !OURS {
        return skipped("needs a first answer that keeps its deadline whatever comes in");
    }
    let Some(bash) = sshd::which("bash") else { return skipped("bash is not installed") };
    let noise = user("op", 4711, &bash.to_string_lossy()).file(".bashrc", "timeout 60 yes noise\n");
    let Some(mut server) = Server::default().user(noise).start() else { return };
    server.login_as("op");
    refused("endless-bashrc", server.node(), &server, PATIENCE);
    // Whoever has told endless noise from an answer has no need to keep it.
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("it is there");
    let peak: u64 = peak.split_whitespace().next().expect("a number").parse().expect("a number");
    assert!(peak < 300_000, "{peak} kB of memory");
}

#[test]
fn no_session_is_allowed() {
    let Some(server) = Server::default().line("MaxSessions 0").start() else { return };
    refused("no-sessions", server.node(), &server, Duration::from_secs(4));
}

#[test]
fn nobody_else_is_let_in() {
    let Some(server) = Server::default().line("MaxStartups 1").line("LoginGraceTime 60").start() else { return };
    // Somebody who never logs in.
    let held = std::net::TcpStream::connect(("127.0.0.1", server.port)).expect("it listens");
    until("the server to take it", || (!server.sessions().is_empty()).then_some(()));
    refused("too-many-logins", server.node(), &server, PATIENCE);
    drop(held);
}

#[test]
fn the_disk_is_full_or_may_not_be_written_to() {
    let Some(server) = Server::default().own().start() else { return };
    let state = server.state();
    std::fs::create_dir_all(&state).expect("our own folder");
    sshd::done(server.command("mount").args(["-t", "tmpfs", "-o", "size=256k", "none"]).arg(&state));
    let (mut fleet, hello) = locked(&server);
    let c = claim(&hello.boot, "big", 1);
    let refused = fleet.start("n", &c, &sent(format!("true # {}", "x".repeat(400_000))));
    let Started::Refused(why) = refused else { panic!("{refused:?}") };
    let digits = why.split(' ').map(|w| if w.trim_start_matches('(').parse::<u32>().is_ok() { "(N" } else { w });
    golden("disk-full", &digits.collect::<Vec<_>>().join(" "), &server);
    assert_eq!(fleet.truth("n", &c), Ok(Truth::Never));
    drop(fleet);
    sshd::done(server.command("mount").args(["-o", "remount,ro"]).arg(&state));
    let greeting = self::fleet(&server).greet("n").expect("it can be entered");
    golden("read-only", &greeting.unrecorded.expect("nothing can be kept there"), &server);
}
