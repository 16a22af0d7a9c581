//! What a login wants of a person, typed on a terminal; and that no password stays anywhere.

use super::*;
use crate::sshd::{PHRASE, here, keys, user};
use crate::support::{Ended, World, pty};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

const PASSWORD: &str = "Tr0ub4dor+3'y";
const SECRET: &str = "c0rrect-H0rse%b";
const ROOTS: &str = "st4ple-B4ttery&x";
const PATIENCE: Duration = Duration::from_secs(60);

/// A desk with a terminal: a world whose only node is behind this server.
struct Terminal {
    world: World,
    known: PathBuf,
}

impl Terminal {
    /// `more`: lines of the node in the site file.
    fn new(server: &Sshd, playbook: &str, more: &str) -> Terminal {
        let mut world = World::new(playbook);
        let known = world.dir.join("known");
        std::fs::copy(server.dir.join("known_hosts"), &known).expect("the folder is ours");
        let config = world.dir.join("ssh_config");
        let text = format!(
            "Host *\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n  IdentitiesOnly yes\n  IdentityFile /nowhere\n",
            known.display()
        );
        std::fs::write(&config, text).expect("the folder is ours");
        world.env.push(("HAWIZ_SSH_CONFIG".into(), config.to_string_lossy().into_owned()));
        world.env.push(("NO_COLOR".into(), "1".into()));
        world.put(
            "hawiz.toml",
            &format!(
                "playbook = \"playbook.toml\"\n[inputs]\ndir = \"{}\"\n[nodes.a]\naddress = \"{}\"\nport = {}\nuser = \"{}\"\nstate = \"{}\"\n{more}",
                server.dir.display(),
                server.address,
                server.port,
                server.login,
                server.state().display()
            ),
        );
        Terminal { world, known }
    }
    /// Types each answer when its question has come.
    fn types(&self, args: &[&str], answers: &[(&str, &str)]) -> Ended {
        let (mut left, mut from) = (answers.iter(), 0);
        let mut next = left.next();
        let ended = pty::talk(&self.world, args, PATIENCE, |screen| {
            let (question, answer) = next?;
            let at = screen.get(from..)?.find(question)?;
            from += at + question.len();
            next = left.next();
            Some(format!("{answer}\r").into_bytes())
        });
        assert!(next.is_none(), "nobody asked for {next:?}:\n{}", ended.out);
        ended
    }
}

fn identity(key: &str) -> String {
    format!("identity = \"{}\"\n", keys().join(key).display())
}

/// Says who it is.
const WHO: &str = "format = 1\ntitle = \"Who is there\"\n[inputs]\ndir = {}\n[[go]]\nstage = \"Look\"\n[[go.step]]\nname = \"Who\"\nrun.sh = 'id -un >\"$dir/who\"'\nundo.none = \"\"\n";
const GO: [&str; 5] = ["run", "go", "--on", "a", "--yes"];

/// Who the step was.
fn who(server: &Sshd) -> String {
    std::fs::read_to_string(server.dir.join("who")).unwrap_or_default().trim().to_string()
}

#[test]
fn an_encrypted_key_is_opened_by_its_typed_passphrase_and_a_wrong_one_may_be_typed_again() {
    let Some(server) = Server::default().start() else { return };
    for kind in ["ed25519", "rsa", "ecdsa"] {
        let desk = Terminal::new(&server, WHO, &identity(&format!("locked-{kind}")));
        desk.types(&GO, &[("passphrase of", "not it"), ("not right", PHRASE)]).is(0);
    }
    // Without a person it is said what is missing, and nobody waits.
    let desk = Terminal::new(&server, WHO, &identity("locked-ed25519"));
    let ended = desk.world.hawiz(&GO).is(4);
    assert!(ended.err.contains("passphrase") || ended.out.contains("passphrase"), "{ended:?}");
}

/// A server with an account that has a password and no key.
fn with_password(lines: &[&str]) -> Option<Sshd> {
    let account = user("op", 4711, "/bin/sh").password(PASSWORD);
    let server = lines.iter().fold(Server::default().user(account), |s, l| s.line(l));
    let mut server = server.start()?;
    server.login_as("op");
    sshd::done(server.command("chmod").arg("777").arg(&server.dir));
    Some(server)
}

#[test]
fn a_password_is_typed_and_a_wrong_one_may_be_typed_again() {
    if !here(&["openssl"]) {
        return;
    }
    let Some(server) = with_password(&["PasswordAuthentication yes", "PubkeyAuthentication no"]) else { return };
    let desk = Terminal::new(&server, WHO, "");
    desk.types(&GO, &[("password of op", "not it"), ("not right", PASSWORD)]).is(0);
    assert_eq!(who(&server), "op");
}

#[test]
fn a_server_that_asks_by_itself_is_answered() {
    if !here(&["openssl"]) {
        return;
    }
    let lines = ["UsePAM yes", "KbdInteractiveAuthentication yes", "PubkeyAuthentication no"];
    let Some(server) = with_password(&lines) else { return };
    let desk = Terminal::new(&server, WHO, "");
    desk.types(&GO, &[("Password", PASSWORD)]).is(0);
    assert_eq!(who(&server), "op");
}

#[test]
fn doas_makes_a_session_root_s() {
    if !here(&["doas"]) {
        return;
    }
    let server =
        Server::default().user(user("op", 4711, "/bin/sh")).etc("doas.conf", 0o600, "permit nopass op\n").start();
    let Some(mut server) = server else { return };
    server.login_as("op");
    let desk = Terminal::new(&server, WHO, &(identity("id-ed25519") + "become = \"doas\"\n"));
    desk.world.hawiz(&GO).is(0);
    assert_eq!(who(&server), "root");
}

#[test]
fn su_makes_a_session_root_s_with_the_typed_password_of_root() {
    if !here(&["su", "openssl"]) {
        return;
    }
    let server = Server::default().user(user("op", 4711, "/bin/sh")).user(user("root", 0, "/bin/sh").password(ROOTS));
    let Some(mut server) = server.start() else { return };
    server.login_as("op");
    let desk = Terminal::new(&server, WHO, &(identity("id-ed25519") + "become = \"su\"\n"));
    desk.types(&GO, &[("su wants the password of root", ROOTS)]).is(0);
    assert_eq!(who(&server), "root");
}

#[test]
fn an_unknown_host_is_accepted_by_a_typed_yes_only_and_known_from_then_on() {
    let Some(server) = Server::default().start() else { return };
    let desk = Terminal::new(&server, WHO, &identity("id-ed25519"));
    let _ = std::fs::remove_file(&desk.known);
    // In a dry run and without a terminal nobody is asked.
    let dry = desk.types(&["run", "go", "--on", "a", "--dryrun"], &[]);
    assert!(dry.code == Some(4) && dry.out.contains("is not known"), "{dry:?}");
    assert!(!desk.known.exists() && !dry.out.contains("Compare it"), "{}", dry.out);
    let ended = desk.world.hawiz(&GO).is(4);
    assert!(ended.out.contains("is not known"), "{ended:?}");
    assert!(!desk.known.exists());
    let no = desk.types(&GO, &[("Is it this host?", "no")]).is(4);
    assert!(!desk.known.exists() && !server.dir.join("who").exists(), "{}", no.out);
    let yes = desk.types(&GO, &[("Is it this host?", "yes")]).is(0);
    let fingerprint =
        sshd::done(std::process::Command::new("ssh-keygen").arg("-lf").arg(keys().join("host-a-ed25519.pub")));
    let fingerprint = fingerprint.split_whitespace().nth(1).expect("its fingerprint");
    assert!(yes.out.replace(['\r', '\n', ' '], "").contains(fingerprint), "{}", yes.out);
    desk.world.hawiz(&GO).is(0);
}

/// Where a password was seen.
fn holds(bytes: &[u8], words: &[&str]) -> bool {
    words.iter().any(|word| {
        let url: String = word
            .bytes()
            .map(|b| if b.is_ascii_alphanumeric() || b == b'-' { (b as char).to_string() } else { format!("%{b:02X}") })
            .collect();
        let quoted = word.replace('\'', "'\\''");
        let escaped = word.replace('\'', "\\0047");
        [word.to_string(), url, quoted, escaped].iter().any(|f| bytes.windows(f.len()).any(|w| w == f.as_bytes()))
    })
}

fn files_with(dirs: &[&Path], words: &[&str]) -> Vec<PathBuf> {
    let mut todo: Vec<PathBuf> = dirs.iter().map(|d| d.to_path_buf()).collect();
    let mut found = Vec::new();
    while let Some(dir) = todo.pop() {
        for path in std::fs::read_dir(&dir).into_iter().flatten().flatten().map(|e| e.path()) {
            if path.is_dir() && !path.is_symlink() {
                todo.push(path);
            } else if path.is_file() && holds(&std::fs::read(&path).unwrap_or_default(), words) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn the_passwords_of_login_and_sudo_and_a_step_s_secret_are_in_no_process_no_file_and_not_on_the_screen() {
    if !here(&["sudo", "openssl"]) {
        return;
    }
    let account = user("op", 4711, "/bin/sh").password(PASSWORD);
    let server = Server::default()
        .user(account)
        .line("PasswordAuthentication yes")
        .line("PubkeyAuthentication no")
        .etc("sudoers", 0o440, "op ALL=(ALL) ALL\n")
        .start();
    let Some(mut server) = server else { return };
    server.login_as("op");
    let desk = Terminal::new(
        &server,
        r#"format = 1
title = "A secret goes in"
[inputs]
pw = { kind = "secret", prompt = "The secret" }
dir = {}
[[go]]
stage = "One"
[[go.step]]
name = "Take it"
stdin = "user\n{pw}\n"
run.sh = '''
read -r user
read -r p
: >"$dir/reading"
sleep 1
printf '%s' "$p" | wc -c >"$dir/taken"
id -un >"$dir/who"
'''
undo.none = ""
"#,
        "become = \"sudo\"\n",
    );
    let words = [PASSWORD, SECRET];
    let (over, seen) = (AtomicBool::new(false), AtomicBool::new(false));
    let dirs = [server.dir.clone(), desk.world.dir.clone()];
    let (ended, found) = std::thread::scope(|scope| {
        let looked = scope.spawn(|| {
            let mut found = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let reading = server.dir.join("reading").exists();
                for p in sshd::processes() {
                    for file in ["cmdline", "environ"] {
                        let path = format!("/proc/{}/{file}", p.pid.as_raw_nonzero());
                        if holds(&std::fs::read(path).unwrap_or_default(), &words) {
                            found.push(format!("{file} of {}", p.name));
                        }
                    }
                }
                found.extend(files_with(&[&dirs[0], &dirs[1]], &words).iter().map(|p| p.display().to_string()));
                seen.fetch_or(reading, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
            found
        });
        let answers =
            [("The secret", SECRET), ("password of op", PASSWORD), ("sudo wants the password of op", PASSWORD)];
        let typed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            desk.types(&["run", "go", "--on", "a", "--yes", "-v"], &answers)
        }));
        over.store(true, Ordering::Relaxed);
        let found = looked.join().expect("no panic");
        (typed.unwrap_or_else(|p| std::panic::resume_unwind(p)).is(0), found)
    });
    assert!(found.is_empty(), "{found:?}");
    assert!(seen.load(Ordering::Relaxed), "nobody looked while the step ran");
    assert!(!holds(ended.out.as_bytes(), &words), "{}", ended.out);
    assert_eq!((who(&server), files_with(&[&dirs[0], &dirs[1]], &words)), ("root".into(), Vec::new()));
    let taken = std::fs::read_to_string(server.dir.join("taken")).expect("the step wrote it");
    assert_eq!(taken.trim(), SECRET.len().to_string());
}
