//! Through a bastion.

use super::*;
use crate::sshd::{PHRASE, Wire, until};

/// How many logins a server has let in.
fn let_in(server: &Sshd) -> usize {
    server.log().matches("Accepted publickey for").count()
}

/// A bastion's lines in ssh_config.
fn gate(server: &Sshd, id: &str) -> String {
    format!(
        "Host gate\n  HostName {}\n  HostKeyAlias gate\n  Port {}\n  User {}\n  IdentityFile {}\n",
        server.address.replace('%', "%%"),
        server.port,
        server.login,
        keys().join(id).display()
    )
}

fn behind(server: &Sshd, name: &str) -> String {
    node(server, name, &format!("{}jump = \"gate\"", key("id-ed25519")))
}

fn trust_gate(world: &World, server: &Sshd) {
    let old = fs::read_to_string(world.dir.join("known_hosts")).expect("it was written");
    world.put("known_hosts", &format!("{old}gate {}\n", server.host_key("ed25519")));
}

#[test]
fn two_nodes_behind_one_bastion_share_one_connection_to_it() {
    let (Some(bastion), Some(a), Some(b)) =
        (Server::default().start(), Server::default().other_keys().start(), Server::default().start())
    else {
        return;
    };
    let world = desk(&[&a, &b]);
    trust_gate(&world, &bastion);
    config(&world, &gate(&bastion, "id-rsa"));
    site(&world, &(behind(&a, "a") + &behind(&b, "b")));
    world.hawiz(&["run", "who", "--yes"]).is(0);
    assert_eq!((let_in(&bastion), let_in(&a), let_in(&b)), (1, 1, 1), "{}", bastion.log());
    // Its passphrase and its host key are asked about once, too.
    config(&world, &gate(&bastion, "locked-rsa"));
    let text = fs::read_to_string(world.dir.join("known_hosts")).expect("it was written");
    let without: String = text.lines().filter(|l| !l.starts_with("gate")).map(|l| format!("{l}\n")).collect();
    world.put("known_hosts", &without);
    let phrase = format!("{PHRASE}\r");
    let all = [("Type `yes` or `no`", "yes\r"), ("passphrase of", &phrase)];
    let ran = typed(&world, &["run", "who"], &all).is(0);
    shows(&ran, "is not in known_hosts", 1);
    shows(&ran, "passphrase of", 1);
    assert_eq!(let_in(&bastion), 2, "{}", bastion.log());
    // A bastion that lets nobody in is named, once for each node.
    config(&world, &gate(&bastion, "stranger"));
    let ran = world.hawiz(&["run", "who", "--yes"]).is(4);
    ran.says(&format!("through `{}@127.0.0.1:{}`", bastion.login, bastion.port)).says("was not let in");
}

#[test]
fn who_takes_his_time_at_a_bastion_is_waited_for() {
    let (Some(bastion), Some(a)) = (Server::default().start(), Server::default().start()) else { return };
    let world = desk(&[&a]);
    trust_gate(&world, &bastion);
    config(&world, &(gate(&bastion, "locked-ed25519") + "Host *\n  ConnectTimeout 1\n"));
    site(&world, &behind(&a, "a"));
    let mut since = None;
    let mut keys = turns(&[("passphrase of", &format!("{PHRASE}\r"))]);
    let ran = crate::support::pty::talk(&world, &["run", "who"], PATIENCE, |screen| {
        let asked = screen.contains("passphrase of");
        let since = *since.get_or_insert_with(std::time::Instant::now);
        if asked && since.elapsed() > Duration::from_millis(1500) { keys(screen) } else { None }
    });
    ran.is(0);
}

#[test]
fn a_bastion_that_was_cut_is_gone_through_again_without_a_question() {
    let (Some(bastion), Some(a)) = (Server::default().start(), Server::default().other_keys().start()) else {
        return;
    };
    let world = desk(&[&a]);
    trust_gate(&world, &bastion);
    config(&world, &gate(&bastion, "locked-ed25519"));
    site(&world, &behind(&a, "a"));
    let ran = passwords::broken_by(&a, &bastion, &world, &[("passphrase of", &format!("{PHRASE}\r"))]);
    shows(&ran, "passphrase of", 1);
    assert!(let_in(&bastion) >= 2 && let_in(&a) >= 2, "{}", bastion.log());
}

#[test]
fn a_node_and_its_bastion_may_have_no_address_but_ipv6() {
    let (Some(mut bastion), Some(mut a)) = (Server::default().start(), Server::default().other_keys().start()) else {
        return;
    };
    if !bastion.log().contains("listening on ::1") {
        return sshd::skipped("this machine has no ::1");
    }
    bastion.known_as("::1");
    a.known_as("::1");
    let world = desk(&[&bastion, &a]);
    let jump = format!("jump = \"{}@[::1]:{}\"", bastion.login, bastion.port);
    config(&world, &format!("Host ::1\n  IdentityFile {}\n", keys().join("id-ed25519").display()));
    site(&world, &node(&a, "a", &format!("{}{jump}", key("id-ed25519"))));
    world.hawiz(&["run", "who", "--yes"]).is(0);
    assert_eq!((let_in(&bastion), let_in(&a)), (1, 1), "{}", bastion.log());
}

#[test]
fn a_link_local_address_names_its_interface() {
    let (Some(mut server), Some(wire)) = (Server::default().net().start(), Wire::new()) else { return };
    let n = wire.join(&mut server);
    let addresses = wire.there(&server, "-6 -o addr show dev eth0 scope link");
    let local = addresses.split_whitespace().find(|w| w.starts_with("fe80")).expect("it has one");
    let local = local.split('/').next().expect("an address").to_string();
    until("the addresses to be tested", || {
        let all = wire.there(&server, "-6 addr show tentative") + &wire.ip("-6 addr show tentative");
        (!all.contains("fe80")).then_some(())
    });
    server.known_as(&format!("{local}%v{n}"));
    let world = desk(&[&server]);
    site(&world, &node(&server, "a", &key("id-ed25519")));
    let mut hawiz = world.command(&["run", "who", "--yes"]);
    wire.enter(&mut hawiz);
    let out = hawiz.output().expect("it was built");
    assert!(out.status.success(), "{}{}", sshd::text(&out.stdout), sshd::text(&out.stderr));
    assert_eq!(let_in(&server), 1, "{}", server.log());
    // And asked about, it is written down so that it is found again.
    world.put("known_hosts", "");
    let inside = |args: &[&str], all: &[(&str, &str)]| wire.inside(|| typed(&world, args, all));
    inside(&["run", "who"], &[("Type `yes` or `no`", "yes\r")]).is(0);
    let ran = inside(&["run", "who"], &[("Type `yes` or `no`", "no\r")]).is(0);
    shows(&ran, "is not in known_hosts", 0);
}
