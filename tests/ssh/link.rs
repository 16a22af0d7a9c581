//! Links that are cut, hosts that hang, secrets on their way.

use super::*;
use crate::sshd::{Wire, here, keys, skipped};
use crate::support::World;
use rustix::process::Signal;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// How long a dead peer may go unnoticed, and a second for whoever looks.
const NOTICED: Duration = Duration::from_secs(21);

/// A step that waits for a word, then leaves a line.
fn waiting(server: &Sshd) -> (String, std::path::PathBuf, std::path::PathBuf) {
    let (go, witness) = (server.dir.join("go"), server.dir.join("ran"));
    let text = format!(
        "echo before; while [ ! -e {} ]; do sleep 0.05; done; echo x >>{}; echo after",
        go.display(),
        witness.display()
    );
    (text, go, witness)
}

#[test]
fn a_cut_cable_is_noticed_and_the_step_that_ran_on_is_found_again() {
    let (Some(mut server), Some(wire)) = (Server::default().net().start(), Wire::new()) else { return };
    wire.join(&mut server);
    wire.inside(|| {
        let (mut fleet, hello) = locked(&server);
        let (text, go, witness) = waiting(&server);
        let c = claim(&hello.boot, "long", 1);
        assert_eq!(fleet.start("n", &c, &sent(text)), Started::Running);
        assert_eq!(fleet.poll("n", &c, SOON), Progress::Output(false, b"before\n".to_vec()));
        wire.cut(&server);
        let begun = Instant::now();
        let over = until_over(&mut fleet, &c);
        assert!(matches!(over, Progress::Lost(_)), "{over:?}");
        assert!(begun.elapsed() <= NOTICED, "noticed after {:?}", begun.elapsed());
        std::fs::write(&go, "").expect("our own folder");
        wire.mend(&server);
        // The kernel remembers for a moment that nobody was there, and says so at once; whoever asks, asks again.
        let truth = until("the node to be reached again", || fleet.truth("n", &c).ok());
        assert!(matches!(truth, Truth::Running | Truth::Done(0)), "{truth:?}");
        let ended = session::follow(&mut fleet, &c);
        assert_eq!(
            (ended.end, &ended.out[..]),
            (Progress::Done(0), &b"after\n"[..]),
            "what was told is not told again"
        );
        assert_eq!(times(&witness), 1);
    });
}

#[test]
fn a_cable_that_is_out_for_two_seconds_costs_nothing() {
    let (Some(mut server), Some(wire)) = (Server::default().net().start(), Wire::new()) else { return };
    wire.join(&mut server);
    wire.inside(|| {
        let (mut fleet, hello) = locked(&server);
        let c = claim(&hello.boot, "long", 1);
        assert_eq!(fleet.start("n", &c, &sent("sleep 1; echo a; sleep 1; echo b")), Started::Running);
        wire.cut(&server);
        std::thread::sleep(Duration::from_secs(2));
        wire.mend(&server);
        let ended = session::follow(&mut fleet, &c);
        assert_eq!((ended.end, &ended.out[..]), (Progress::Done(0), &b"a\nb\n"[..]));
        assert_eq!(says(&mut fleet, "echo on"), "on\n");
    });
}

#[test]
fn a_server_that_is_frozen_is_noticed_and_its_late_answers_harm_nobody() {
    let Some(server) = Server::default().start() else { return };
    let (mut fleet, hello) = locked(&server);
    let (text, go, witness) = waiting(&server);
    let c = claim(&hello.boot, "long", 1);
    assert_eq!(fleet.start("n", &c, &sent(text)), Started::Running);
    server.stop();
    let begun = Instant::now();
    let over = until_over(&mut fleet, &c);
    assert!(matches!(over, Progress::Lost(_)), "{over:?}");
    assert!(begun.elapsed() <= NOTICED, "noticed after {:?}", begun.elapsed());
    std::fs::write(&go, "").expect("our own folder");
    server.cont();
    assert_eq!(until("the truth", || fleet.truth("n", &c).ok().filter(|t| *t != Truth::Running)), Truth::Done(0));
    assert_eq!((until_over(&mut fleet, &c), times(&witness)), (Progress::Done(0), 1));
}

#[test]
fn a_node_that_is_frozen_before_a_step_starts_does_not_start_it_after_never_was_said() {
    let Some(server) = Server::default().start() else { return };
    let (mut first, hello) = locked(&server);
    let witness = server.dir.join("ran");
    let c = claim(&hello.boot, "late", 1);
    let frozen = server.sessions();
    server.signal(&frozen, Signal::STOP);
    std::thread::scope(|scope| {
        let text = format!("echo x >>{}", witness.display());
        let started = scope.spawn(|| first.start("n", &c, &sent(text)));
        let mut second = fleet(&server);
        assert_eq!(second.truth("n", &c), Ok(Truth::Never));
        server.signal(&frozen, Signal::CONT);
        assert!(!matches!(started.join(), Ok(Started::Running)));
        assert_eq!(second.truth("n", &c), Ok(Truth::Never));
    });
    assert!(!witness.exists());
}

#[test]
fn what_a_step_says_and_its_end_are_heard_though_the_link_was_lost_before_both() {
    let Some(server) = Server::default().start() else { return };
    let (mut fleet, hello) = locked(&server);
    let (text, go, witness) = waiting(&server);
    let c = claim(&hello.boot, "long", 1);
    assert_eq!(fleet.start("n", &c, &sent(text)), Started::Running);
    assert_eq!(fleet.poll("n", &c, SOON), Progress::Output(false, b"before\n".to_vec()));
    server.kill_sessions();
    assert!(matches!(until_over(&mut fleet, &c), Progress::Lost(_)));
    std::fs::write(&go, "").expect("our own folder");
    assert_eq!(until("its end", || fleet.truth("n", &c).ok().filter(|t| *t != Truth::Running)), Truth::Done(0));
    let ended = session::follow(&mut fleet, &c);
    assert_eq!((ended.end, &ended.out[..], times(&witness)), (Progress::Done(0), &b"after\n"[..], 1));
}

#[test]
fn after_a_frozen_session_the_next_one_comes_over_another_connection() {
    let Some(server) = Server::default().start() else { return };
    let (mut fleet, _) = locked(&server);
    let client = |fleet: &mut Fleet| says(fleet, "echo $SSH_CLIENT");
    let first = client(&mut fleet);
    assert_eq!(first, client(&mut fleet));
    let frozen = server.sessions();
    server.signal(&frozen, Signal::STOP);
    fleet.forget("n");
    let begun = Instant::now();
    assert_ne!(first, client(&mut fleet));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    server.signal(&frozen, Signal::CONT);
}

#[test]
fn a_node_that_was_rebooted_between_two_steps_is_seen_and_nothing_more_is_started() {
    let Some(server) = Server::default().own().start() else { return };
    let (mut fleet, hello) = locked(&server);
    let witness = server.dir.join("ran");
    let text = format!("echo x >>{}", witness.display());
    let ended = session::run(&mut fleet, &claim(&hello.boot, "one", 1), &sent(text.clone()));
    assert_eq!(ended.end, Progress::Done(0));
    server.reboot();
    let started = fleet.start("n", &claim(&hello.boot, "two", 1), &sent(text));
    assert_eq!((started, times(&witness)), (Started::Refused("the node was rebooted meanwhile".into()), 1));
}

/// A mount on the node whose server answers nothing any more.
struct Hung<'a> {
    server: &'a Sshd,
    place: String,
    sftp: rustix::process::Pid,
    sshfs: std::process::Child,
}

impl Hung<'_> {
    fn new(server: &Sshd) -> Hung<'_> {
        let dir = server.dir.display();
        std::fs::create_dir_all(server.dir.join("mnt")).expect("our own folder");
        let script = format!(
            "cd {dir}; mkdir far; mkfifo a b; /usr/lib/openssh/sftp-server <a >b 2>/dev/null & echo $! >sftp; \
             exec sshfs -f -o passive :{dir}/far {dir}/mnt >a <b 2>fuse.log"
        );
        let mut sshfs = server.command("setsid");
        sshfs.args(["sh", "-c", &script]).stdin(Stdio::null()).stdout(Stdio::null());
        let sshfs = sshfs.spawn().expect("util-linux has nsenter");
        until("the mount", || {
            let mounts = sshd::done(server.command("cat").arg("/proc/mounts"));
            mounts.contains("fuse.sshfs").then_some(())
        });
        let sftp = sshd::processes().into_iter().find(|p| p.name == "sftp-server" && server.all().contains(&p.pid));
        let sftp = sftp.expect("it serves the mount").pid;
        server.signal(&[sftp], Signal::STOP);
        Hung { server, place: format!("{dir}/mnt"), sftp, sshfs }
    }
}

impl Drop for Hung<'_> {
    fn drop(&mut self) {
        self.server.signal(&[self.sftp], Signal::CONT);
        let _ = self.server.command("umount").args(["-l", &self.place]).output();
        // What it started inside the node ends with the node.
        let _ = self.sshfs.kill();
        let _ = self.sshfs.wait();
    }
}

#[test]
fn a_mount_that_hangs_holds_up_neither_a_look_nor_the_operator_of_a_change() {
    if !here(&["sshfs"]) {
        return;
    }
    if !std::path::Path::new("/dev/fuse").exists() {
        return skipped("no /dev/fuse");
    }
    let Some(server) = Server::default().own().start() else { return };
    let (mut fleet, hello) = locked(&server);
    let hung = Hung::new(&server);
    let begun = Instant::now();
    let reply = fleet.look("n", &sent(format!("ls {}", hung.place)), Duration::from_secs(1)).expect("a session");
    assert_eq!(reply.code, None, "{reply:?}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(says(&mut fleet, "echo on"), "on\n");
    fleet.lock("n", "r", "m", "me@here, pid 1").expect("a session");
    let c = claim(&hello.boot, "hangs", 1);
    assert_eq!(fleet.start("n", &c, &sent(format!("echo before; ls {}", hung.place))), Started::Running);
    assert_eq!(fleet.poll("n", &c, SOON), Progress::Output(false, b"before\n".to_vec()));
    let begun = Instant::now();
    let truth = fleet.cancel("n", &c, Duration::from_secs(1)).expect("a session");
    assert!(!matches!(truth, Truth::Never | Truth::Done(0)), "{truth:?}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(says(&mut fleet, "echo on"), "on\n");
}

const SECRET: &str = "s3cr3t-Pass+w0rd'x";

#[test]
fn a_secret_is_in_no_process_no_file_and_not_on_the_screen() {
    let Some(server) = Server::default().start() else { return };
    let world = World::new(
        r#"format = 1
title = "A secret goes in"
[inputs]
pw = { kind = "secret", prompt = "The password" }
dir = { kind = "path" }
[[go]]
stage = "One"
[[go.step]]
name = "Take it"
stdin = "user\n{pw}\n"
done.sh = 'test -e "$dir/taken"'
run.sh = '''
read -r user
read -r p
printf 'plain %s\n' "$p"
printf 'json "%s"\n' "$p" >&2
: >"$dir/reading"
sleep 1
printf '%s' "$p" | wc -c >"$dir/taken"
'''
undo.sh = 'rm "$dir/taken"'
"#,
    );
    let (site, dir) = (server.site("a"), server.dir.display().to_string());
    world.put("hawiz.toml", &format!("playbook = \"playbook.toml\"\n[inputs]\ndir = \"{dir}\"\n{site}"));
    world.put("word", SECRET);
    let config = std::env::var("HAWIZ_SSH_CONFIG").expect("set with the first server");
    let (over, seen) = (AtomicBool::new(false), AtomicBool::new(false));
    let ended = std::thread::scope(|scope| {
        let looked = scope.spawn(|| {
            let mut found = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let reading = server.dir.join("reading").exists();
                for p in sshd::processes() {
                    for file in ["cmdline", "environ"] {
                        let bytes =
                            std::fs::read(format!("/proc/{}/{file}", p.pid.as_raw_nonzero())).unwrap_or_default();
                        // hawiz itself was given it in its environment; its name is asked for after that was read.
                        let name = std::fs::read_to_string(format!("/proc/{}/comm", p.pid.as_raw_nonzero()));
                        let name = name.unwrap_or_default();
                        let given = ["hawiz", "setsid"].contains(&name.trim()) || name.starts_with("ssh-");
                        if holds(&bytes) && !(file == "environ" && (given || name.is_empty())) {
                            found.push(format!("{file} of {} ({})", p.pid.as_raw_nonzero(), p.name));
                        }
                    }
                }
                seen.fetch_or(reading, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
            found
        });
        let mut world = world_with(&world, &[("HAWIZ_SECRET_PW", SECRET), ("HAWIZ_SSH_CONFIG", &config)]);
        world.env.push(("NO_COLOR".into(), "1".into()));
        let ended = support::pty::talk(&world, &["run", "go", "--on", "a", "--yes", "-v"], SOON, |_| None);
        over.store(true, Ordering::Relaxed);
        let found = looked.join().expect("no panic");
        assert!(found.is_empty(), "{found:?}");
        std::mem::forget(world);
        ended
    });
    let ended = ended.is(0);
    assert!(seen.load(Ordering::Relaxed), "nobody looked while the step ran");
    assert!(!holds(ended.out.as_bytes()), "{}", ended.out);
    assert!(ended.out.contains("plain ") || ended.out.contains("Take it"), "{}", ended.out);
    std::fs::remove_file(world.dir.join("word")).expect("it was put there");
    let mut todo = vec![server.dir.clone(), world.dir.clone()];
    while let Some(dir) = todo.pop() {
        for path in std::fs::read_dir(&dir).expect("a folder").flatten().map(|e| e.path()) {
            if path.is_dir() {
                todo.push(path);
            } else {
                assert!(!holds(&std::fs::read(&path).unwrap_or_default()), "{}", path.display());
            }
        }
    }
}

/// The same folder with more environment.
fn world_with(world: &World, env: &[(&str, &str)]) -> World {
    World { dir: world.dir.clone(), env: env.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect() }
}

fn holds(bytes: &[u8]) -> bool {
    let forms = [SECRET.to_string(), "czNjcjN0LVBhc3MrdzByZCd4".into(), "s3cr3t-Pass%2Bw0rd%27x".into()];
    forms.iter().any(|f| bytes.windows(f.len()).any(|w| w == f.as_bytes()))
}

#[test]
fn the_keys_of_the_tests_are_no_secrets_of_anybody() {
    // They are made on this machine and never leave it; nobody's real key is in the tree.
    if !here(&["ssh-keygen"]) {
        return;
    }
    assert!(keys().starts_with(env!("CARGO_TARGET_TMPDIR")));
    let tree = Command::new("git").args(["grep", "-l", "PRIVATE KEY-----", "--", "."]).output();
    let listed = tree.map(|o| sshd::text(&o.stdout)).unwrap_or_default();
    let found: Vec<&str> = listed.lines().filter(|l| !l.ends_with(".rs") && !l.ends_with(".md")).collect();
    assert!(found.is_empty(), "{found:?}");
}
