//! Becoming root: by sudo, doas and su, asked and not.

use super::*;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const WORD: &str = "cricket bat";
const NONE: &str =
    "auth required pam_unix.so nodelay\naccount required pam_permit.so\nsession required pam_permit.so\n";

/// A node whose sudoers, doas.conf and PAM are its own.
fn server(etc: &[(&str, u32, &str)]) -> Option<Sshd> {
    let server = Server::default().user(user("root", 0, "/bin/sh").password("r00t word"));
    let pam = ["pam.d/sudo", "pam.d/su", "pam.d/doas"];
    let server = pam.iter().fold(server, |s, p| s.etc(p, 0o644, NONE));
    let server = etc.iter().fold(server, |s, (name, mode, text)| s.etc(name, *mode, text));
    op(server, Some(WORD))
}

fn sudo(rule: &str) -> Option<Sshd> {
    if !here(&["sudo"]) {
        return None;
    }
    server(&[("sudoers", 0o440, rule)])
}

/// A site of this node, whose one step says who it is and whose the lock is.
fn world(server: &Sshd, how: &str) -> World {
    let world = desk(&[server]);
    let more = format!("{}become = \"{how}\"", key("id-ed25519"));
    site(&world, &node(server, "a", &more));
    let state = server.state().join("a");
    let me = format!(
        "name = \"Me\"\nrun.sh = '''\nid -un >{0}/me\nstat -c %U {1}/lock >>{0}/me\n'''\ndone.sh = 'test -s {0}/me'\n\
         undo.none = \"nothing\"\n",
        server.dir.display(),
        state.display()
    );
    let dir = "op may not write here";
    fs::write(server.dir.join("note"), dir).expect("our own folder");
    world.playbook(&lonely(&[&me]));
    world
}

const GO: [&str; 3] = ["activate", "--on", "a"];
const UNATTENDED: [&str; 4] = ["activate", "--on", "a", "--yes"];

/// It ran as root, and everything that the session keeps is root's.
#[track_caller]
fn all_is_roots(server: &Sshd) {
    let me = fs::read_to_string(server.dir.join("me")).expect("the step has run");
    assert_eq!(me, "root\nroot\n");
    let mut todo = vec![server.state().join("a")];
    let mut seen = 0;
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).expect("it is there");
        assert_eq!(meta.uid(), 0, "{}", path.display());
        seen += 1;
        if meta.is_dir() {
            todo.extend(fs::read_dir(&path).expect("a folder").flatten().map(|e| e.path()));
        }
    }
    assert!(server.state().join("a/id").exists() && seen > 2, "{seen}");
    again(server);
}

/// As if nothing had been done.
fn again(server: &Sshd) {
    let _ = fs::remove_file(server.dir.join("me"));
}

#[test]
fn sudo_without_a_password_makes_the_whole_session_roots() {
    let Some(server) = sudo("op ALL=(root) NOPASSWD: /bin/sh, /usr/bin/sh\n") else { return };
    world(&server, "sudo").hawiz(&UNATTENDED).is(0);
    all_is_roots(&server);
}

#[test]
fn a_password_of_sudo_is_asked_for_once_also_when_it_was_wrong_and_when_the_link_was_lost() {
    let Some(server) = sudo("op ALL=(ALL) ALL\n") else { return };
    let world = world(&server, "sudo");
    let (asked, right) = ("sudo wants the password of op", format!("{WORD}\r"));
    let ran = typed(&world, &GO, &[(asked, "wicket\r"), ("not right", &right), (GATE, "y\r")]).is(0);
    shows(&ran, asked, 2);
    shows(&ran, "not right", 1);
    assert!(!ran.out.contains(WORD) && !ran.out.contains("wicket"), "{}", ran.out);
    all_is_roots(&server);
    let ran = passwords::broken(&server, &world, &[(asked, &right)]);
    shows(&ran, asked, 1);
}

#[test]
fn two_nodes_that_want_the_same_password_ask_once() {
    let Some(server) = sudo("op ALL=(ALL) ALL\n") else { return };
    let world = desk(&[&server]);
    let more = format!("{}become = \"sudo\"", key("id-ed25519"));
    site(&world, &(node(&server, "a", &more) + &node(&server, "b", &more)));
    let ran = typed(&world, &["run", "who"], &[("sudo wants the password", &format!("{WORD}\r"))]).is(0);
    shows(&ran, "sudo wants the password", 1);
    ran.says("root");
}

#[test]
fn without_a_terminal_it_comes_from_the_environment_and_the_refusal_says_both_ways_out() {
    let Some(server) = sudo("op ALL=(ALL) ALL\n") else { return };
    let world = world(&server, "sudo");
    let variable = "HAWIZ_SECRET_BECOME_PASSWORD";
    let ran = world.hawiz(&UNATTENDED).is(4);
    ran.says("sudo wants a password of `op`").says(&format!("${variable}")).says("visudo");
    let ran = world.hawiz_with(&UNATTENDED, &[(variable, "wicket")]).is(4).says("sudo did not take the password");
    assert!(!format!("{}{}", ran.out, ran.err).contains("wicket"));
    assert!(!server.dir.join("me").exists());
    let ran = world.hawiz_with(&UNATTENDED, &[(variable, WORD)]).is(0);
    assert!(!format!("{}{}", ran.out, ran.err).contains(WORD));
    all_is_roots(&server);
    // A dry run asks nobody.
    let ran = typed(&world, &["activate", "--on", "a", "--dryrun"], &[("wants the password", "\u{1b}")]).is(4);
    shows(&ran, "wants the password", 0);
    ran.says("sudo wants a password of `op`");
}

#[test]
fn three_wrong_passwords_are_enough() {
    let Some(server) = sudo("op ALL=(ALL) ALL\n") else { return };
    let world = world(&server, "sudo");
    let wrong = "wicket\r";
    let all = [("sudo wants the password", wrong), ("not right", wrong), ("not right", wrong), ("not right", "\u{1b}")];
    let ran = typed(&world, &GO, &all).is(4).says("sudo did not take the password of `op`");
    shows(&ran, "sudo wants the password", 3);
}

#[test]
fn who_is_not_in_sudoers_gets_the_line_to_add() {
    let Some(server) = sudo("root ALL=(ALL) ALL\n") else { return };
    let line = "op ALL=(root) NOPASSWD: /bin/sh, /usr/bin/sh";
    let world = world(&server, "sudo");
    world.hawiz(&UNATTENDED).is(4).says(line).says("visudo -f /etc/sudoers.d/hawiz");
    // sudo tells nobody that it has no rule before it has a password.
    let ran = typed(&world, &GO, &[("sudo wants the password", &format!("{WORD}\r"))]).is(4);
    shows(&ran, "sudo wants the password", 1);
    let flat = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("does not let `op` run sh as root") && flat.contains(line), "{}", ran.out);
    // With the line it works.
    let text = format!("{line}\n");
    let add = format!("printf %s '{text}' >>/etc/sudoers");
    sshd::done(server.command("sh").args(["-c", &add]));
    world.hawiz(&UNATTENDED).is(0);
    all_is_roots(&server);
}

#[test]
fn doas_that_asks_for_nothing_makes_the_session_roots_and_another_says_what_to_write() {
    if !here(&["doas"]) {
        return;
    }
    let Some(server) = server(&[("doas.conf", 0o600, "permit nopass op as root cmd sh\n")]) else { return };
    world(&server, "doas").hawiz(&UNATTENDED).is(0);
    all_is_roots(&server);
    for rule in ["deny op", "permit op as root"] {
        let text = format!("echo '{rule}' >/etc/doas.conf");
        sshd::done(server.command("sh").args(["-c", &text]));
        let ran = world(&server, "doas").hawiz(&UNATTENDED).is(4);
        ran.says("permit nopass op as root cmd sh").says("/etc/doas.conf");
    }
}

#[test]
fn su_takes_the_password_of_root() {
    let Some(server) = server(&[]) else { return };
    let world = world(&server, "su");
    let asked = "su wants the password of root";
    let all = [(asked, "wicket\r"), ("not right", "r00t word\r"), (GATE, "y\r")];
    let ran = typed(&world, &GO, &all).is(0);
    shows(&ran, asked, 2);
    assert!(!ran.out.contains("r00t word"), "{}", ran.out);
    all_is_roots(&server);
    world.hawiz(&UNATTENDED).is(4).says("su wants the password of root").says("$HAWIZ_SECRET_BECOME_PASSWORD");
    let variable = "HAWIZ_SECRET_BECOME_PASSWORD";
    world.hawiz_with(&UNATTENDED, &[(variable, "r00t word")]).is(0);
    all_is_roots(&server);
    world.hawiz_with(&UNATTENDED, &[(variable, "wicket")]).is(4).says("did not take the password");
}

#[test]
fn a_password_of_sudo_is_not_tried_on_su() {
    if !here(&["sudo"]) {
        return;
    }
    let Some(server) = server(&[("sudoers", 0o440, "op ALL=(ALL) ALL\n")]) else { return };
    let world = desk(&[&server]);
    let more = |how: &str| format!("{}become = \"{how}\"", key("id-ed25519"));
    site(&world, &(node(&server, "a", &more("sudo")) + &node(&server, "b", &more("su"))));
    let all = [("sudo wants the password of op", "cricket bat\r"), ("su wants the password of root", "r00t word\r")];
    let ran = typed(&world, &["run", "who"], &all).is(0);
    shows(&ran, "not right", 0);
    assert!(Path::new(&server.dir).exists());
}
