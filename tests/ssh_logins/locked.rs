//! A key with a passphrase.

use super::*;
use crate::sshd::PHRASE;

/// Three nodes of one server, all by the same locked key.
fn three(server: &Sshd) -> World {
    let world = desk(&[server]);
    let nodes: Vec<String> = ["a", "b", "c"].iter().map(|n| node(server, n, &key("locked-ed25519"))).collect();
    site(&world, &nodes.concat());
    world
}

#[test]
fn its_passphrase_is_asked_for_once_for_all_nodes_and_again_when_it_was_wrong() {
    let Some(server) = Server::default().start() else { return };
    let world = three(&server);
    let asked = "passphrase of";
    let right = format!("{PHRASE}\r");
    let ran = typed(&world, &["run", "who"], &[(asked, "open barley\r"), ("That was not right.", &right)]).is(0);
    shows(&ran, asked, 2);
    shows(&ran, "not right", 1);
    assert!(!ran.out.contains(PHRASE) && !ran.out.contains("open barley"), "{}", ran.out);
    assert_eq!(server.log().matches("Accepted publickey").count(), 3, "{}", server.log());
}

#[test]
fn a_person_who_does_not_give_it_is_asked_once_and_told_what_was_tried() {
    let Some(server) = Server::default().start() else { return };
    let world = three(&server);
    let ran = typed(&world, &["run", "who"], &[("passphrase of", "\u{1b}")]).is(4);
    shows(&ran, "passphrase of", 1);
    ran.says("(its passphrase was not given)");
}

#[test]
fn without_a_terminal_it_comes_from_the_environment_and_the_refusal_says_so() {
    let Some(server) = Server::default().start() else { return };
    let world = three(&server);
    let out = "HAWIZ_SECRET_SSH_PASSPHRASE";
    let ran = world.hawiz(&["run", "who", "--yes"]).is(4);
    ran.says("its passphrase was not given").says(&format!("${out}"));
    world.hawiz_with(&["run", "who", "--yes"], &[(out, PHRASE)]).is(0);
    let ran = world.hawiz_with(&["run", "who", "--yes"], &[(out, "open barley")]).is(4);
    assert!(!format!("{}{}", ran.out, ran.err).contains("open barley"));
    // A wrong one there is no reason not to ask who is at the terminal.
    let mut world = world;
    world.env.push((out.into(), "open barley".into()));
    let ran = typed(&world, &["run", "who"], &[("That was not right.", &format!("{PHRASE}\r"))]).is(0);
    shows(&ran, "passphrase of", 1);
}

#[test]
fn a_dry_run_asks_nobody_and_the_node_could_not_be_looked_at() {
    let Some(server) = Server::default().start() else { return };
    let world = three(&server);
    world.playbook(&lonely(&[&support::step("Count", "")]));
    site(&world, &node(&server, "a", &key("locked-ed25519")));
    let ran = typed(&world, &["activate", "--on", "a", "--dryrun"], &[("passphrase of", "\u{1b}")]);
    shows(&ran, "passphrase of", 0);
    ran.is(4).says("cannot be reached");
    let mut world = world;
    world.env.push(("HAWIZ_SECRET_SSH_PASSPHRASE".into(), PHRASE.into()));
    let ran = typed(&world, &["activate", "--on", "a", "--dryrun"], &[]).is(0);
    shows(&ran, "cannot be reached", 0);
}

#[test]
fn a_connection_that_broke_comes_back_without_a_question() {
    let Some(server) = Server::default().start() else { return };
    let world = desk(&[&server]);
    site(&world, &node(&server, "a", &key("locked-ed25519")));
    let ran = passwords::broken(&server, &world, &[("passphrase of", &format!("{PHRASE}\r"))]);
    shows(&ran, "passphrase of", 1);
    assert!(server.log().matches("Accepted publickey").count() >= 2, "{}", server.log());
}
