//! hawiz over a real `sshd`: every trap that was found with SSH, as a sentence.
//!
//! Why it exists: these traps were each met with a real server, and a stand-in would agree with whoever wrote it. Without
//! `sshd` the tests say that they are skipped; what needs accounts or a network of its own needs root besides.
//! `HAWIZ_BLESS=1` writes the texts of the errors (`tests/ssh/golden`) anew; read the diff.

#[path = "ssh/errors.rs"]
mod errors;
#[path = "ssh/link.rs"]
mod link;
#[path = "ssh/login.rs"]
mod login;
#[path = "ssh/person.rs"]
mod person;
#[allow(dead_code, reason = "shared with the tests of the session protocol")]
#[path = "session/world.rs"]
mod session;
#[path = "support/sshd.rs"]
mod sshd;
mod support;

use hawiz::plan::Node;
use hawiz::reach::{Claim, Greeting, Locked, Progress, Reach, Started, Truth};
use hawiz::session::Fleet;
use session::{SOON, claim, run, sent};
use sshd::{Server, Sshd, until};
use std::time::{Duration, Instant};

fn fleet_of(nodes: Vec<Node>, server: &Sshd) -> Fleet {
    Fleet::new(nodes, server.dir.clone()).tmpfs(true)
}

/// A session with a server.
fn fleet(server: &Sshd) -> Fleet {
    fleet_of(vec![server.node()], server)
}

/// A session that holds the lock.
fn locked(server: &Sshd) -> (Fleet, Greeting) {
    let mut fleet = fleet(server);
    let greeting = fleet.greet("n").unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(fleet.lock("n", "r", "m", "me@here, pid 1"), Ok(Locked::Ours));
    (fleet, greeting)
}

/// The end of a step, whatever it said before.
fn until_over(fleet: &mut Fleet, claim: &Claim) -> Progress {
    loop {
        match fleet.poll("n", claim, SOON) {
            Progress::Output(..) | Progress::Quiet => {}
            end => return end,
        }
    }
}

/// What a look on it prints.
#[track_caller]
fn says(fleet: &mut Fleet, script: &str) -> String {
    let reply = fleet.look("n", &sent(script), SOON).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(reply.code, Some(0), "{reply:?}");
    reply.out.lossy()
}

/// How often a step's mark is in a file that it writes to.
fn times(path: &std::path::Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[test]
fn looks_and_steps_tell_output_and_code_apart() {
    let Some(server) = Server::default().start() else { return };
    let (mut fleet, hello) = locked(&server);
    for _ in 0..3 {
        let reply = fleet.look("n", &sent("echo out; echo err >&2; printf end; exit 3"), SOON).expect("a session");
        assert_eq!((reply.code, reply.out.lossy(), reply.err.lossy()), (Some(3), "out\nend".into(), "err\n".into()));
    }
    let ended = run(&mut fleet, &claim(&hello.boot, "start", 1), &sent("echo out; echo err >&2; exit 4"));
    assert_eq!((ended.end, &ended.out[..], &ended.err[..]), (Progress::Done(4), &b"out\n"[..], &b"err\n"[..]));
    fleet.unlock("n", "r").expect("it was ours");
}

#[test]
fn a_death_by_signal_is_never_success() {
    let Some(server) = Server::default().start() else { return };
    let (mut fleet, hello) = locked(&server);
    for signal in ["KILL", "TERM", "PIPE", "HUP"] {
        let reply = fleet.look("n", &sent(format!("sh -c 'kill -{signal} $$'")), SOON).expect("a session");
        assert!(reply.code.is_some_and(|c| c > 128), "{signal}: {reply:?}");
        let itself = fleet.look("n", &sent(format!("kill -{signal} $$; sleep 0.2")), SOON).expect("a session");
        assert_ne!(itself.code, Some(0), "{signal}: {itself:?}");
        let c = claim(&hello.boot, signal, 1);
        let ended = run(&mut fleet, &c, &sent(format!("trap - {signal}; kill -{signal} $$; sleep 1")));
        assert!(matches!(ended.end, Progress::Done(129..)), "{signal}: {:?}", ended.end);
    }
}

#[test]
fn a_lost_session_is_never_success_and_the_step_goes_on() {
    let Some(server) = Server::default().start() else { return };
    let (mut fleet, hello) = locked(&server);
    let (begun, end) = (server.dir.join("begun"), server.dir.join("end"));
    let looking = |fleet: &mut Fleet, times_lost: usize| {
        let _ = std::fs::remove_file(&begun);
        let _ = std::fs::remove_file(&end);
        std::thread::scope(|scope| {
            // It ends when it is told to, so that no session is killed too late.
            let (begun_, end_) = (begun.display(), end.display());
            let text = format!("echo x >>{begun_}; while [ ! -e {end_} ]; do sleep 0.05; done; exit 0");
            let looking = scope.spawn(move || fleet.look("n", &sent(text), SOON));
            for n in 1..=times_lost {
                until("the look", || (times(&begun) == n).then_some(()));
                server.kill_sessions();
            }
            std::fs::write(&end, "").expect("our own folder");
            looking.join().expect("no panic").expect("there was a session")
        })
    };
    // It is taken again, once.
    assert_eq!((looking(&mut fleet, 1).code, times(&begun)), (Some(0), 2));
    let reply = looking(&mut fleet, 2);
    assert_eq!((reply.code, times(&begun)), (None, 2), "{reply:?}");
    assert!(reply.problem.is_some_and(|p| p.contains("lost")));

    let (go, witness) = (server.dir.join("go"), server.dir.join("ran"));
    let text = format!("while [ ! -e {} ]; do sleep 0.05; done; echo x >>{}", go.display(), witness.display());
    let c = claim(&hello.boot, "long", 1);
    fleet.lock("n", "r", "m", "me@here, pid 1").expect("a session");
    assert_eq!(fleet.start("n", &c, &sent(text)), Started::Running);
    server.kill_sessions();
    let over = until_over(&mut fleet, &c);
    assert!(matches!(over, Progress::Lost(_)), "{over:?}");
    assert_eq!(fleet.truth("n", &c), Ok(Truth::Running));
    std::fs::write(&go, "").expect("our own folder");
    assert_eq!(until_over(&mut fleet, &c), Progress::Done(0));
    assert_eq!((times(&witness), fleet.truth("n", &c)), (1, Ok(Truth::Done(0))));
}

#[test]
fn a_step_whose_operator_leaves_goes_on_to_its_end() {
    let Some(server) = Server::default().start() else { return };
    let (mut fleet, hello) = locked(&server);
    let witness = server.dir.join("ran");
    let c = claim(&hello.boot, "long", 1);
    // It writes while nobody reads: SIGPIPE would kill it half-way.
    let text =
        format!("for i in 1 2 3 4 5 6; do echo $i; echo $i >&2; sleep 0.2; done; echo x >>{}", witness.display());
    assert_eq!(fleet.start("n", &c, &sent(text)), Started::Running);
    let begun = Instant::now();
    drop(fleet);
    assert!(begun.elapsed() < Duration::from_secs(2), "closing took {:?}", begun.elapsed());
    until("the end of the sessions", || server.sessions().is_empty().then_some(()));
    until("the end of the step", || witness.exists().then_some(()));
    let mut later = self::fleet(&server);
    assert_eq!(until("its code", || later.truth("n", &c).ok().filter(|t| *t != Truth::Running)), Truth::Done(0));
    let (out, err) = later.output("n", &c).expect("a session");
    assert_eq!((out.lossy(), err.lossy()), ("1\n2\n3\n4\n5\n6\n".into(), "1\n2\n3\n4\n5\n6\n".into()));
    assert_eq!(times(&witness), 1);
    drop(later);
    until("nothing is left", || (server.all().len() <= 1).then_some(()));
}

#[test]
fn ten_megabytes_of_errors_with_a_silent_output_come_through() {
    let Some(server) = Server::default().start() else { return };
    let (mut fleet, hello) = locked(&server);
    let ended = run(&mut fleet, &claim(&hello.boot, "much", 1), &sent("head -c 10000000 /dev/zero >&2"));
    assert_eq!((ended.end, ended.out.len(), ended.err.len()), (Progress::Done(0), 0, 10_000_000));
    let reply = fleet.look("n", &sent("head -c 10000000 /dev/zero >&2; exit 3"), SOON).expect("a session");
    assert_eq!((reply.code, reply.out.0.len()), (Some(3), 0));
    assert!(reply.err.0.len() < (1 << 20) + 100 && reply.err.lossy().contains("bytes were left out here]"));
    assert_eq!(says(&mut fleet, "echo on"), "on\n");
}

#[test]
fn a_look_that_prints_without_end_meets_its_deadline() {
    let Some(server) = Server::default().start() else { return };
    let mut fleet = fleet(&server);
    let begun = Instant::now();
    // It ends by itself some time, so that a deadline that is not kept is no test that hangs.
    let reply = fleet.look("n", &sent("timeout 30 yes"), Duration::from_secs(1)).expect("a session");
    assert_eq!(reply.code, None, "after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(says(&mut fleet, "echo on"), "on\n");
}

#[test]
fn a_daemon_that_a_step_leaves_behind_holds_nothing_up() {
    let Some(server) = Server::default().start() else { return };
    let (mut fleet, hello) = locked(&server);
    let begun = Instant::now();
    let ended = run(&mut fleet, &claim(&hello.boot, "daemon", 1), &sent("sleep 300 & echo $!"));
    assert_eq!(ended.end, Progress::Done(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let pid: String = String::from_utf8_lossy(&ended.out).trim().into();
    assert_eq!(says(&mut fleet, &format!("kill -0 {pid} && echo lives")), "lives\n");
    let begun = Instant::now();
    drop(fleet);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(says(&mut self::fleet(&server), &format!("kill -0 {pid} && echo lives; kill {pid}")), "lives\n");
}

#[test]
fn binary_output_and_input_arrive_byte_for_byte() {
    let Some(server) = Server::default().start() else { return };
    let (mut fleet, hello) = locked(&server);
    let all: Vec<u8> = (0..=255u8).cycle().take(100_000).collect();
    let mut s = sent("tee /dev/stderr");
    s.stdin = Some(all.clone());
    let ended = run(&mut fleet, &claim(&hello.boot, "a", 1), &s);
    assert!(ended.end == Progress::Done(0) && ended.out == all && ended.err == all, "step");
    let reply = fleet.look("n", &s, SOON).expect("a session");
    assert!(reply.code == Some(0) && reply.out.0 == all && reply.err.0 == all, "look");
}

#[test]
fn a_look_while_a_step_runs_is_answered_where_one_session_a_connection_is_allowed() {
    let Some(server) = Server::default().line("MaxSessions 1").start() else { return };
    let (mut fleet, hello) = locked(&server);
    let (c, go) = (claim(&hello.boot, "long", 1), server.dir.join("go"));
    let text = format!("while [ ! -e {} ]; do sleep 0.05; done; echo end", go.display());
    assert_eq!(fleet.start("n", &c, &sent(text)), Started::Running);
    assert_eq!(says(&mut fleet, "echo beside"), "beside\n");
    std::fs::write(&go, "").expect("our own folder");
    assert_eq!(session::follow(&mut fleet, &c).out, b"end\n");
}

#[test]
fn a_cancelled_step_leaves_nothing_in_its_group() {
    let Some(server) = Server::default().start() else { return };
    let (mut fleet, hello) = locked(&server);
    for (text, code) in [("sleep 61.25", 143), ("trap '' TERM; sleep 61.25 & sleep 61.25", 137)] {
        let c = claim(&hello.boot, text, 1);
        assert_eq!(fleet.start("n", &c, &sent(format!("echo begun; {text}"))), Started::Running);
        assert!(matches!(fleet.poll("n", &c, SOON), Progress::Output(false, _)));
        assert_eq!(fleet.cancel("n", &c, Duration::from_secs(1)), Ok(Truth::Done(code)), "{text}");
        let left = says(
            &mut fleet,
            "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null; echo; done | grep '^sleep 61[.]25' || :",
        );
        assert_eq!(left, "", "{text}");
    }
}

#[test]
fn a_node_that_was_rebooted_says_so() {
    let Some(server) = Server::default().own().start() else { return };
    let (mut fleet, hello) = locked(&server);
    assert_eq!(says(&mut fleet, "cat /proc/sys/kernel/random/boot_id"), format!("{}\n", hello.boot));
    let c = claim(&hello.boot, "long", 1);
    assert_eq!(fleet.start("n", &c, &sent("sleep 60")), Started::Running);
    server.reboot();
    assert!(matches!(until_over(&mut fleet, &c), Progress::Lost(_)));
    let rebooted = Truth::Unknown("the node was rebooted while it ran".into());
    assert_eq!(fleet.truth("n", &c), Ok(rebooted));
    fleet.forget("n");
    assert_ne!(fleet.greet("n").expect("it is up again").boot, hello.boot);
}

#[test]
fn another_station_finds_over_ssh_what_the_first_has_left_and_what_its_record_says() {
    let Some(server) = Server::default().start() else { return };
    let record = |n: u32| format!("{{\"seq\":{n},\"what\":\"it's ü, 100% \\\\n\"}}\n");
    // More than goes in front of one message.
    let journal: String = (0..6000).map(record).collect();
    std::fs::write(server.dir.join("plan.json"), vec![b'p'; 100_000]).expect("the folder is ours");
    std::fs::write(server.dir.join("journal.jsonl"), &journal).expect("the folder is ours");
    let mut first = fleet(&server);
    first.carry(hawiz::journal::Trail::of(&server.dir), &["m".into()]);
    let hello = first.greet("n").unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(first.lock("n", "r", "m", "me@here, pid 1"), Ok(Locked::Ours));
    let pieces = journal.len() / (256 * 1024) + 1;
    for attempt in 1..=pieces as u32 {
        let ended = run(&mut first, &claim(&hello.boot, "quick", attempt), &sent("exit 4"));
        assert_eq!(ended.end, Progress::Done(4));
    }
    let running = claim(&hello.boot, "runs", 1);
    assert_eq!(first.start("n", &running, &sent("sleep 300")), Started::Running);

    let mut second = fleet(&server);
    let standing = second.standing("n", None).expect("it can be reached");
    let (run, who) = standing.holder.expect("it is held");
    assert!(
        run == "r" && who.starts_with("me@here, pid 1, run r, since 2") && who.contains(", last heard of "),
        "{who}"
    );
    let name = hawiz::session::name("n", &running);
    let found = standing.claims.iter().find(|c| c.name == name).expect("it was claimed");
    assert_eq!((standing.claims.len(), &found.truth), (pieces + 1, &Some(Truth::Running)));
    second.break_lock("n", "gone").expect("it can be reached").expect("it was held");
    assert_eq!(second.end("n", "r", &name, Duration::from_secs(5)), Ok(Truth::Done(143)));
    assert_eq!(second.copies("n"), Ok(vec!["r".into()]));
    let copied = second.copied(&["n".into()], "r").pop().expect("one was asked").expect("it can be reached");
    let copied = copied.expect("there is one");
    assert_eq!((copied.plan.len(), copied.journals.len()), (100_000, 1));
    let lines: String =
        String::from_utf8_lossy(&copied.journals[0]).split_inclusive('\n').filter(|l| *l != "\n").collect();
    assert!(lines == journal, "{} of {}", lines.len(), journal.len());
    let late = first.start("n", &claim(&hello.boot, "late", 1), &sent("true"));
    assert_eq!(late, Started::Refused("the lock was taken over; gone".into()));
}
