//! A host that nobody knows.

use super::*;

/// A server that is in no known_hosts file.
fn stranger(server: &Sshd) -> World {
    let world = desk(&[]);
    site(&world, &node(server, "a", &key("id-ed25519")));
    world
}

fn known(world: &World) -> String {
    fs::read_to_string(world.dir.join("known_hosts")).expect("it is there")
}

const ASKED: &str = "Type `yes` or `no`";

#[test]
fn a_typed_yes_makes_it_known_for_the_next_time() {
    let Some(server) = Server::default().start() else { return };
    let world = stranger(&server);
    let ran = typed(&world, &["run", "who"], &[(ASKED, "yes\r")]).is(0);
    shows(&ran, ASKED, 1);
    ran.says("is not in known_hosts").says("ssh-ed25519 SHA256:");
    assert_eq!(known(&world), format!("[127.0.0.1]:{} {}\n", server.port, server.host_key("ed25519")));
    let ran = typed(&world, &["run", "who"], &[(ASKED, "no\r")]).is(0);
    shows(&ran, ASKED, 0);
    world.hawiz(&["run", "who", "--yes"]).is(0);
}

#[test]
fn whatever_is_not_a_yes_is_none_and_nothing_is_written() {
    let Some(server) = Server::default().start() else { return };
    let world = stranger(&server);
    // What is no answer is asked again, five times at most.
    let five: Vec<(&str, &str)> = std::iter::once((ASKED, "y\r")).chain([(ASKED, "Y\r"); 4]).collect();
    let cases: [&[(&str, &str)]; 4] =
        [&[(ASKED, "no\r")], &[(ASKED, "\u{1b}")], &[(ASKED, "y\r"), (ASKED, "no\r")], &five];
    for answers in cases {
        let ran = typed(&world, &["run", "who"], answers).is(4);
        shows(&ran, "is not in known_hosts", 1);
        assert_eq!(known(&world), "", "{answers:?}");
        ran.says("its host key was not accepted");
    }
    assert!(!server.log().contains("Accepted"), "{}", server.log());
}

#[test]
fn it_is_not_asked_about_in_a_dry_run_nor_without_a_terminal() {
    let Some(server) = Server::default().start() else { return };
    let world = stranger(&server);
    let ran = world.hawiz(&["run", "who", "--yes"]).is(4);
    ran.says("is not known: `ssh-ed25519` SHA256:");
    world.playbook(&lonely(&[&support::step("Count", "")]));
    let ran = typed(&world, &["activate", "--on", "a", "--dryrun"], &[(ASKED, "yes\r")]).is(4);
    shows(&ran, ASKED, 0);
    ran.says("cannot be reached");
    assert_eq!(known(&world), "");
}

#[test]
fn a_key_that_has_changed_is_never_asked_about() {
    let (Some(server), Some(other)) = (Server::default().start(), Server::default().other_keys().start()) else {
        return;
    };
    let world = stranger(&server);
    let lines = other.known("127.0.0.1").replace(&format!(":{}", other.port), &format!(":{}", server.port));
    fs::write(world.dir.join("known_hosts"), &lines).expect("our own folder");
    let ran = typed(&world, &["run", "who"], &[(ASKED, "yes\r")]).is(4);
    shows(&ran, ASKED, 0);
    ran.says("known_hosts:");
    assert_eq!(known(&world), lines);
    assert!(!server.log().contains("Accepted"), "{}", server.log());
}
