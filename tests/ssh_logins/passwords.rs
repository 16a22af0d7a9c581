//! Passwords, and what a server asks by itself.

use super::*;
use crate::support::pty::talk;

/// Runs a step on node `a` with these answers before it, and cuts its connection in the middle: the step is done once.
#[track_caller]
pub fn broken(server: &Sshd, world: &World, answers: &[(&str, &str)]) -> Ended {
    broken_by(server, server, world, answers)
}

/// The same, cut somewhere on the way.
#[track_caller]
pub fn broken_by(server: &Sshd, at: &Sshd, world: &World, answers: &[(&str, &str)]) -> Ended {
    let dir = server.dir.display();
    let slow = format!(
        "name = \"Slow\"\nrun.sh = '''\necho begun >>{dir}/trace\nsleep 1\necho done >>{dir}/trace\n'''\n\
         done.sh = 'grep -q done {dir}/trace'\nundo.none = \"nothing\"\n"
    );
    world.playbook(&lonely(&[&slow]));
    fs::write(server.dir.join("trace"), "").expect("our own folder");
    sshd::done(std::process::Command::new("chmod").arg("666").arg(server.dir.join("trace")));
    let trace = || fs::read_to_string(server.dir.join("trace")).unwrap_or_default();
    let all: Vec<(&str, &str)> = answers.iter().copied().chain([(GATE, "y\r")]).collect();
    let mut keys = turns(&all);
    let mut cut = false;
    let ran = talk(world, &["activate", "--on", "a"], PATIENCE, |screen| {
        if trace().contains("begun") && !std::mem::replace(&mut cut, true) {
            at.kill_sessions();
        }
        keys(screen)
    });
    assert!(cut, "{}", ran.out);
    assert_eq!(trace(), "begun\ndone\n", "{}", ran.out);
    ran.is(0)
}

const WORD: &str = "cricket bat";

fn by_password() -> Option<Sshd> {
    op(Server::default().line("PasswordAuthentication yes").line("PubkeyAuthentication no"), Some(WORD))
}

/// PAM of the node's own, which checks the password of its own shadow file.
fn by_questions(more: &str) -> Option<Sshd> {
    let pam = "auth required pam_unix.so nodelay\naccount required pam_permit.so\nsession required pam_permit.so\n";
    let server = Server::default().line("UsePAM yes").line("KbdInteractiveAuthentication yes").line(more);
    op(server.line("PubkeyAuthentication no").etc("pam.d/sshd", 0o644, pam), Some(WORD))
}

/// Asked, wrong once, right.
#[track_caller]
fn asked(server: &Sshd, question: &str) {
    let world = desk(&[server]);
    site(&world, &node(server, "a", ""));
    let right = format!("{WORD}\r");
    let ran = typed(&world, &["run", "who"], &[(question, "wicket\r"), ("That was not right.", &right)]).is(0);
    shows(&ran, "not right", 1);
    assert!(!ran.out.contains(WORD) && !ran.out.contains("wicket"), "{}", ran.out);
    ran.says("op");
    let ran = broken(server, &world, &[(question, &right)]);
    shows(&ran, "not shown", 1);
}

#[test]
fn a_password_is_asked_for_until_it_is_right_and_not_again_after_a_lost_link() {
    let Some(server) = by_password() else { return };
    asked(&server, "password of op@127.0.0.1");
}

#[test]
fn a_question_of_the_server_is_answered_and_not_again_after_a_lost_link() {
    let Some(server) = by_questions("PasswordAuthentication no") else { return };
    asked(&server, "op@127.0.0.1: ");
}

#[test]
fn three_wrong_ones_are_enough_and_nothing_of_them_is_shown() {
    let Some(server) = by_password() else { return };
    let world = desk(&[&server]);
    site(&world, &node(&server, "a", ""));
    let wrong = "wicket\r";
    let all = [("password of op@", wrong), ("not right", wrong), ("not right", wrong)];
    let ran = typed(&world, &["run", "who"], &all).is(4);
    shows(&ran, "not shown", 3);
    ran.says("`op@127.0.0.1` was not let in (tried: password)");
}

#[test]
fn without_a_terminal_a_password_comes_from_the_environment_and_the_refusal_says_so() {
    for server in [by_password(), by_questions("PasswordAuthentication no")].into_iter().flatten() {
        let world = desk(&[&server]);
        site(&world, &node(&server, "a", ""));
        let variable = "HAWIZ_SECRET_SSH_PASSWORD";
        world.hawiz(&["run", "who", "--yes"]).is(4).says(&format!("${variable}"));
        world.hawiz_with(&["run", "who", "--yes"], &[(variable, WORD)]).is(0).says("op");
        let ran = world.hawiz_with(&["run", "who", "--yes"], &[(variable, "wicket")]).is(4);
        ran.says("was not let in");
    }
}

#[test]
fn a_dry_run_asks_for_no_password() {
    let Some(server) = by_password() else { return };
    let world = desk(&[&server]);
    site(&world, &node(&server, "a", ""));
    world.playbook(&lonely(&[&support::step("Count", "")]));
    let ran = typed(&world, &["activate", "--on", "a", "--dryrun"], &[("password of", "\u{1b}")]).is(4);
    shows(&ran, "password of", 0);
    ran.says("cannot be reached");
}
