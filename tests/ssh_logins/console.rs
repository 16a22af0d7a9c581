//! A program of a step on the operator's terminal, at the other end of `ssh -t`.

use super::*;
use crate::support::pty::talk_to;

/// Where it waits; no text of its script.
pub const WORD: &str = "\u{1b}[?25lword? ";
const AND: &str = "\u{1b}[1mand? ";
const SLOW: &str = "\u{1b}[1mnot so fast";

/// It asks for a word, and makes it so; `^C` is its own.
pub fn step(server: &Sshd) -> String {
    let dir = server.dir.display();
    format!(
        "name = \"Console\"\nabout = \"It asks for a word.\"\ntty = true\nrun.sh = '''\n\
         trap 'printf \"\\033[1mnot so fast\\\\n\"' INT\nstty -echo\nprintf '\\033[?25lword? '\nuntil read -r word; do :; done\n\
         case $word in early) printf now >{dir}/console; printf '\\033[1mand? '; read -r more ;; esac\nstty echo\n\
         printf '%s by %s on %s' \"$word\" \"$(id -un)\" \"$(tty)\" >{dir}/console\necho \"{{$word}}\"\n'''\n\
         verify.sh = 'test -s {dir}/console'\nundo.none = \"nothing\"\n"
    )
}

fn made(server: &Sshd) -> String {
    fs::read_to_string(server.dir.join("console")).unwrap_or_default()
}

fn world(server: &Sshd, more: &str) -> World {
    let world = desk(&[server]);
    let more = format!("{}{more}", key("id-ed25519"));
    site(&world, &node(server, "a", &more));
    world.playbook(&lonely(&[&step(server)]));
    world
}

/// On a terminal that says before and after how it is set; the screen, and that this is the same.
#[track_caller]
fn set_as_before(world: &World, keys: impl FnMut(&str) -> Option<Vec<u8>>) -> Ended {
    let script = format!("stty -g; {} activate --on a; echo \"[$?]\"; stty -g", env!("CARGO_BIN_EXE_hawiz"));
    let ran = talk_to(world, &["sh", "-c", &format!("trap : INT; {script}")], PATIENCE, keys);
    let modes: Vec<&str> = ran.out.lines().filter(|l| l.matches(':').count() > 20).collect();
    assert!(modes.len() == 2 && modes[0] == modes[1], "{}", ran.out);
    ran
}

#[test]
fn it_reads_a_line_and_an_interrupt_is_its_own() {
    let Some(server) = Server::default().start() else { return };
    let world = world(&server, "");
    let all = [(GATE, "y\r"), (WORD, "\u{3}"), (SLOW, "red\r")];
    let ran = set_as_before(&world, turns(&all)).says("[0]").says("your terminal, until it ends").says("{red}");
    assert!(made(&server).starts_with(&format!("red by {} on /dev/pts/", server.login)), "{}", made(&server));
    // It was echoing nothing while it read, and the cursor it hid is shown again.
    assert!(!ran.out.contains("fast\r\nred"), "{}", ran.out);
    let hidden = ran.out.find(WORD).expect("it was hidden");
    assert!(ran.out[hidden..].contains("\u{1b}[?25h"), "{}", ran.out);
}

#[test]
fn a_link_lost_in_its_middle_is_decided_by_what_is_so() {
    let Some(server) = Server::default().start() else { return };
    for (early, what) in [(true, "[0]"), (false, "[6]")] {
        let _ = fs::remove_file(server.dir.join("console"));
        let world = world(&server, "");
        let all: &[(&str, &str)] =
            if early { &[(GATE, "y\r"), (WORD, "early\r")] } else { &[(GATE, "y\r"), ("What now?", "q\r")] };
        let mut keys = turns(all);
        let mut cut = false;
        let ran = set_as_before(&world, |screen| {
            let at = if early { AND } else { WORD };
            if screen.contains(at) && !std::mem::replace(&mut cut, true) {
                server.kill_sessions();
            }
            keys(screen)
        });
        assert!(cut, "{}", ran.out);
        ran.says(what);
        assert_eq!(made(&server), if early { "now" } else { "" });
    }
}

#[test]
fn its_own_ssh_that_is_killed_leaves_the_terminal_as_it_was() {
    let Some(server) = Server::default().start() else { return };
    let world = world(&server, "");
    let mut keys = turns(&[(GATE, "y\r"), ("What now?", "r\r"), (WORD, "blue\r")]);
    let mut killed = false;
    let ran = set_as_before(&world, |screen| {
        if screen.contains(WORD) && !std::mem::replace(&mut killed, true) {
            let port = server.port.to_string();
            let ours = |p: &&sshd::Process| {
                let line = fs::read(format!("/proc/{}/cmdline", p.pid.as_raw_nonzero())).unwrap_or_default();
                p.name == "ssh" && String::from_utf8_lossy(&line).contains(&port)
            };
            let all = sshd::processes();
            let ssh = all.iter().find(ours).expect("it runs");
            rustix::process::kill_process(ssh.pid, rustix::process::Signal::KILL).expect("it is ours");
        }
        keys(screen)
    });
    ran.says("it was ended by signal 9").says("{blue}").says("[0]");
}

#[test]
fn with_sudo_it_is_roots() {
    if !here(&["sudo"]) {
        return;
    }
    for (rule, asked) in [("op ALL=(root) NOPASSWD: /bin/sh, /usr/bin/sh\n", false), ("op ALL=(ALL) ALL\n", true)] {
        let pam = "auth required pam_unix.so nodelay\naccount required pam_permit.so\nsession required pam_permit.so\n";
        let server = Server::default().etc("sudoers", 0o440, rule).etc("pam.d/sudo", 0o644, pam);
        let Some(server) = op(server, Some("cricket bat")) else { return };
        let world = world(&server, "become = \"sudo\"");
        let word = "cricket bat\r";
        let mut all = vec![(GATE, "y\r"), (WORD, "green\r")];
        if asked {
            // hawiz is told for its session, sudo by itself for the program: hawiz is not in between.
            all = vec![("sudo wants the password", word), (GATE, "y\r"), ("assword for op: ", word), (WORD, "green\r")];
        }
        let ran = set_as_before(&world, turns(&all)).says("[0]").says("{green}");
        assert!(!ran.out.contains("cricket"), "{}", ran.out);
        assert!(made(&server).starts_with("green by root on /dev/pts/"), "{}", made(&server));
    }
}
