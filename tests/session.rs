//! The session protocol against real shells: every rule of `src/session.rs` as a sentence.

#[path = "session/locks.rs"]
mod locks;
#[path = "session/world.rs"]
mod world;

use hawiz::plan::How;
use hawiz::reach::{Locked, Progress, Reach, Started, Truth};
use hawiz::session::Fleet;
use rustix::process::{Signal, kill_process};
use std::path::Path;
use std::time::{Duration, Instant};
use world::*;

#[test]
fn a_look_tells_its_output_and_code_apart() {
    each(|w| {
        let mut fleet = w.fleet();
        for _ in 0..3 {
            let reply = fleet.look("n", &sent("echo out; echo err >&2; printf end; exit 3"), SOON).expect("a session");
            assert_eq!(reply.code, Some(3), "{}: {reply:?}", w.shell);
            assert_eq!((reply.out.lossy(), reply.err.lossy()), ("out\nend".into(), "err\n".into()), "{}", w.shell);
        }
    });
}

#[test]
fn a_step_runs_once_and_its_code_and_output_are_kept() {
    each(|w| {
        let (mut fleet, hello) = w.locked();
        let c = claim(&hello.boot, "start", 1);
        let ended = run(&mut fleet, &c, &sent("echo out; echo err >&2; exit 4"));
        assert_eq!(ended.end, Progress::Done(4), "{}", w.shell);
        assert_eq!((&ended.out[..], &ended.err[..]), (&b"out\n"[..], &b"err\n"[..]), "{}", w.shell);
        assert_eq!(fleet.truth("n", &c), Ok(Truth::Done(4)), "{}", w.shell);
        assert!(matches!(fleet.start("n", &c, &sent("echo again")), Started::Lost(_)), "{}", w.shell);
        assert_eq!(run(&mut fleet, &claim(&hello.boot, "start", 2), &sent("exit 0")).end, Progress::Done(0));
        let (out, err) = fleet.output("n", &c).expect("a session");
        assert_eq!((out.lossy(), err.lossy()), ("out\n".into(), "err\n".into()), "{}", w.shell);
        fleet.unlock("n", "r").expect("it was ours");
    });
}

#[test]
fn what_a_step_reads_and_what_its_script_holds_arrive_byte_for_byte() {
    each(|w| {
        let (mut fleet, hello) = w.locked();
        let all: Vec<u8> = (0..=255u8).chain(*b"'\"$(`\\\\n%s\n\n").cycle().take(200_000).collect();
        let mut s = sent("od -An -v -tx1 | tr -d ' \\n'");
        s.stdin = Some(all.clone());
        let hex: String = all.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(run(&mut fleet, &claim(&hello.boot, "a", 1), &s).out, hex.as_bytes(), "{} step", w.shell);
        let reply = fleet.look("n", &s, SOON).expect("a session");
        assert!(reply.out.0 == hex.as_bytes(), "{} look", w.shell);
        let odd: Vec<u8> = (1..=255u8).filter(|b| *b != b'\'').collect();
        let script = [b"printf %s '", &odd[..], b"'"].concat();
        assert_eq!(fleet.look("n", &sent(script.clone()), SOON).expect("a session").out.0, odd, "{} look", w.shell);
        assert_eq!(run(&mut fleet, &claim(&hello.boot, "b", 1), &sent(script)).out, odd, "{} step", w.shell);
    });
}

#[test]
fn who_holds_the_lock_is_said_and_a_run_takes_its_own_lock_over() {
    each(|w| {
        let (mut first, hello) = w.locked();
        let mut second = w.fleet();
        let Ok(Locked::Held(who)) = second.lock("n", "other", "m", "you@there, pid 2") else { panic!("{}", w.shell) };
        assert!(who.starts_with("me@here, pid 1, run r, since 2"), "{who}");
        assert_eq!(second.lock("n", "r", "m", "me@here, pid 3"), Ok(Locked::Ours));
        let refused = first.start("n", &claim(&hello.boot, "late", 1), &sent("true"));
        let Started::Refused(why) = refused else { panic!("{}: {refused:?}", w.shell) };
        assert!(why.starts_with("the lock was taken over; it is held by me@here, pid 3, run r, since 2"), "{why}");
        let broken = second.break_lock("n", "gone").expect("a session").expect("it was held");
        assert!(broken.starts_with("me@here, pid 3, run r"), "{broken}");
        assert_eq!(first.lock("n", "other", "m", "you@there, pid 2"), Ok(Locked::Ours));
        first.unlock("n", "other").expect("ours");
        assert_eq!(first.greet("n").expect("open").identity, second.greet("n").expect("open").identity);
    });
}

#[test]
fn a_look_has_a_deadline_and_the_session_goes_on() {
    each(|w| {
        let mut fleet = w.fleet();
        let reply =
            fleet.look("n", &sent("echo a; sleep 77 & sleep 78"), Duration::from_millis(200)).expect("a session");
        assert_eq!((reply.code, reply.out.lossy()), (None, "a\n".into()), "{}", w.shell);
        assert!(reply.problem.expect("says why").contains("killed"));
        assert_eq!(fleet.look("n", &sent("exit 1"), SOON).expect("a session").code, Some(1), "{}", w.shell);
    });
}

#[test]
fn text_that_cannot_be_understood_is_no_answer_and_runs_nothing() {
    each(|w| {
        let (mut fleet, hello) = w.locked();
        let witness = w.dir.join("ran");
        for broken in ["fi", "if true; then", "echo 'x", "}", "echo $(", "case x in", "( true"] {
            let text = format!("echo x >{}\n{broken}", witness.display());
            let reply = fleet.look("n", &sent(text.as_str()), SOON).expect("a session");
            assert_eq!(reply.code, None, "{} {broken}: {reply:?}", w.shell);
            assert!(reply.problem.is_some());
            let ended = run(&mut fleet, &claim(&hello.boot, broken, 1), &sent(text.as_str()));
            assert!(matches!(ended.end, Progress::Done(1..)), "{} {broken}: {:?}", w.shell, ended.end);
            assert!(!witness.exists(), "{} {broken}", w.shell);
        }
        let mut s = sent("fi");
        s.stdin = Some(b"x".to_vec());
        assert_eq!(fleet.look("n", &s, SOON).expect("a session").code, None, "{}", w.shell);
        assert_eq!(fleet.look("n", &sent(""), SOON).expect("a session").code, Some(0), "{}", w.shell);
        assert_eq!(fleet.look("n", &sent("# a comment"), SOON).expect("a session").code, Some(0), "{}", w.shell);
        assert_eq!(fleet.look("n", &sent("return 3"), SOON).expect("a session").code, Some(3), "{}", w.shell);
    });
}

#[test]
fn a_look_that_dies_by_a_signal_is_never_true_or_false() {
    each(|w| {
        let mut fleet = w.fleet();
        for signal in ["KILL", "TERM", "PIPE", "SEGV"] {
            let reply = fleet.look("n", &sent(format!("sh -c 'kill -{signal} $$'")), SOON).expect("a session");
            assert!(reply.code.is_none_or(|c| c >= 128), "{} {signal}: {reply:?}", w.shell);
        }
        let itself = fleet.look("n", &sent("kill -KILL $$; sleep 0.1"), SOON).expect("a session");
        assert_eq!(itself.code, None, "{}", w.shell);
        assert_eq!(fleet.look("n", &sent("no-such-tool"), SOON).expect("a session").code, Some(127), "{}", w.shell);
        assert_eq!(fleet.look("n", &sent("false; true"), SOON).expect("a session").code, Some(1), "{} -e", w.shell);
        let unset = fleet.look("n", &sent("echo $nothing; true"), SOON).expect("a session");
        assert_ne!(unset.code, Some(0), "{} -u", w.shell);
    });
}

#[test]
fn long_and_binary_output_of_a_look_is_framed_and_capped() {
    each(|w| {
        let mut fleet = w.fleet();
        let reply = fleet.look("n", &sent("head -c 1000000 /dev/zero; head -c 999999 /dev/zero >&2"), SOON);
        let reply = reply.expect("a session");
        assert_eq!((reply.out.0.len(), reply.err.0.len()), (1_000_000, 999_999), "{}", w.shell);
        let reply =
            fleet.look("n", &sent("echo first; head -c 10000000 /dev/zero; echo last"), SOON).expect("a session");
        assert_eq!(reply.code, Some(0));
        assert!(reply.out.0.len() < (1 << 20) + 100 && reply.out.0.starts_with(b"first\n"), "{}", w.shell);
        assert!(reply.out.0.ends_with(b"last\n") && reply.out.lossy().contains("bytes were left out here]"));
    });
}

#[test]
fn a_line_for_the_log_is_not_waited_for_and_arrives_all_the_same() {
    each(|w| {
        let log = w.dir.join("log");
        w.stand_in("logger", &format!("#!/bin/sh\nsleep 0.2\nprintf '%s\\n' \"$4\" >>'{}'\n", log.display()));
        let (mut fleet, hello) = w.locked();
        let began = Instant::now();
        let shell = shell_pid(&mut fleet);
        kill_process(shell, Signal::STOP).expect("it is ours");
        for n in 0..3 {
            fleet.syslog("n", &format!("line {n}: it's ü"));
        }
        assert!(began.elapsed() < Duration::from_secs(4), "{}", w.shell);
        kill_process(shell, Signal::CONT).expect("it is ours");
        // What is asked next has its own answer, whatever it is.
        assert_eq!(
            fleet.look("n", &sent("echo a; exit 3"), SOON).expect("a session").out.lossy(),
            "a\n",
            "{}",
            w.shell
        );
        fleet.syslog("n", "line 3");
        let c = claim(&hello.boot, "start", 1);
        let ended = run(&mut fleet, &c, &sent("echo b; exit 4"));
        assert_eq!((ended.end, &ended.out[..]), (Progress::Done(4), &b"b\n"[..]), "{}", w.shell);
        fleet.syslog("n", "line 4");
        assert_eq!(fleet.truth("n", &c), Ok(Truth::Done(4)), "{}", w.shell);
        fleet.syslog("n", "line 5");
        assert_eq!(fleet.output("n", &c).expect("a session").0.lossy(), "b\n", "{}", w.shell);
        fleet.syslog("n", "line 6");
        fleet.unlock("n", "r").expect("ours");
        // The last one is sent, although the session ends at once.
        fleet.syslog("n", "the end");
        drop(fleet);
        assert!(began.elapsed() < Duration::from_secs(10), "{}", w.shell);
        let lines = until("the last line", || {
            let mut lines: Vec<String> = std::fs::read_to_string(&log).ok()?.lines().map(String::from).collect();
            lines.sort();
            (lines.len() == 8).then_some(lines)
        });
        assert_eq!(
            (&lines[0][..], &lines[3][..], &lines[7][..]),
            ("line 0: it's ü", "line 3", "the end"),
            "{}",
            w.shell
        );
    });
}

#[test]
fn a_session_is_left_without_waiting_for_the_other_side() {
    each(|w| {
        let mut node = w.node();
        let How::Via(argv) = &mut node.how else { panic!("a world is behind `via`") };
        argv.splice(0..0, ["sh", "-c", "\"$@\"; sleep 5", "sh"].map(String::from));
        let mut fleet = Fleet::new(vec![node], w.dir.clone()).tmpfs(true);
        fleet.greet("n").expect("the shell starts");
        let began = Instant::now();
        drop(fleet);
        assert!(began.elapsed() < Duration::from_millis(150), "{} {:?}", w.shell, began.elapsed());
    });
}

#[test]
fn a_look_creates_nothing_on_the_node() {
    each(|w| {
        let before = w.snapshot();
        let mut fleet = w.fleet();
        let mut s = sent("cat; echo x | cat");
        s.stdin = Some(vec![b'x'; 300_000]);
        fleet.look("n", &sent(vec![b'\n'; 300_000]), SOON).expect("a session");
        fleet.look("n", &s, SOON).expect("a session");
        fleet.syslog("n", "hello");
        let greeting = fleet.greet("n").expect("open");
        assert_eq!((greeting.identity, greeting.unrecorded), (None, None), "{}", w.shell);
        assert!(greeting.addresses.iter().any(|a| a == "127.0.0.1"), "{:?}", greeting.addresses);
        assert_eq!(w.snapshot(), before, "{}", w.shell);
    });
}

#[test]
fn the_step_gets_the_world_of_the_login() {
    each(|w| {
        let (mut fleet, hello) = w.locked();
        let text = "umask; pwd; echo $LC_ALL; case $PATH: in */sbin:*) echo sbin;; esac; cat; \
                    while read -r k v; do case $k in SigIgn:) echo $v;; esac; done </proc/self/status";
        let ended = run(&mut fleet, &claim(&hello.boot, "world", 1), &sent(text));
        let out = String::from_utf8(ended.out).expect("text");
        let lines: Vec<&str> = out.lines().collect();
        let [umask, "/", "C", "sbin", ignored] = lines[..] else { panic!("{}: {lines:?}", w.shell) };
        assert_eq!(u32::from_str_radix(umask, 8), Ok(login_umask()), "{}", w.shell);
        let ignored = u64::from_str_radix(ignored, 16).expect("hexadecimal");
        for signal in [Signal::INT, Signal::PIPE, Signal::TERM, Signal::CHILD] {
            assert_eq!(ignored & (1 << (signal.as_raw() - 1)), 0, "{} ignores {signal:?}", w.shell);
        }
    });
}
fn login_umask() -> u32 {
    let old = std::process::Command::new("sh").args(["-c", "umask"]).output().expect("sh");
    u32::from_str_radix(String::from_utf8_lossy(&old.stdout).trim(), 8).expect("octal")
}

#[test]
fn a_frozen_session_starts_nothing_after_never_was_said() {
    each(|w| {
        let (mut first, hello) = w.locked();
        let (c, witness) = (claim(&hello.boot, "late", 1), w.dir.join("ran"));
        let shell = shell_pid(&mut first);
        kill_process(shell, Signal::STOP).expect("it is ours");
        std::thread::scope(|scope| {
            let started = scope.spawn(|| first.start("n", &c, &sent(format!("echo x >>{}", witness.display()))));
            let mut second = w.fleet();
            let said = second.truth("n", &c);
            kill_process(shell, Signal::CONT).expect("it is ours");
            assert_eq!(said, Ok(Truth::Never), "{}", w.shell);
            assert!(!matches!(started.join(), Ok(Started::Running)), "{}", w.shell);
            assert_eq!(second.truth("n", &c), Ok(Truth::Never), "{}", w.shell);
        });
        assert!(!witness.exists(), "{}", w.shell);
    });
}

#[test]
fn a_leader_frozen_before_it_has_the_right_starts_nothing_afterwards() {
    each(|w| {
        let note = w.freezing_leaders();
        for takeover in [false, true] {
            let (mut first, hello) = w.locked();
            let (c, witness) = (claim(&hello.boot, "late", u32::from(takeover)), w.dir.join("ran"));
            std::thread::scope(|scope| {
                let started = scope.spawn(|| first.start("n", &c, &sent(format!("echo x >>{}", witness.display()))));
                let leader = until("the leader", || std::fs::read_to_string(&note).ok());
                let leader = rustix::process::Pid::from_raw(leader.trim().parse().expect("a pid")).expect("not 0");
                let mut second = w.fleet();
                if takeover {
                    assert_eq!(second.lock("n", "r", "m", "second"), Ok(Locked::Ours));
                } else {
                    assert_eq!(second.truth("n", &c), Ok(Truth::Never), "{}", w.shell);
                }
                kill_process(leader, Signal::CONT).expect("it is ours");
                let started = started.join().expect("no panic");
                let Started::Refused(why) = started else { panic!("{} {started:?}", w.shell) };
                let want = match takeover {
                    true => "the lock was taken over; it is held by second, run r, since 2",
                    false => "it was revoked before it began",
                };
                assert!(why.starts_with(want), "{}: {why}", w.shell);
                assert_eq!(second.truth("n", &c), Ok(Truth::Never), "{}", w.shell);
            });
            assert!(!witness.exists(), "{}", w.shell);
            std::fs::remove_file(&note).expect("it was written");
        }
    });
}

#[test]
fn of_start_and_never_exactly_one_comes_true_in_400_races() {
    each(|w| {
        let (mut first, hello) = w.locked();
        let mut second = w.fleet();
        second.greet("n").expect("the shell starts");
        let mut never = 0;
        for n in 0..100u32 {
            let (c, witness) = (claim(&hello.boot, "race", n), w.dir.join(format!("ran-{n}")));
            let (started, said) = std::thread::scope(|scope| {
                let s = sent(format!("echo x >>{}", witness.display()));
                let started = scope.spawn({
                    let (c, first) = (&c, &mut first);
                    move || {
                        let started = first.start("n", c, &s);
                        if started == Started::Running {
                            assert_eq!(follow(first, c).end, Progress::Done(0));
                        }
                        started
                    }
                });
                std::thread::sleep(Duration::from_micros(u64::from(n) * 97));
                let said = second.truth("n", &c).expect("a session");
                (started.join().expect("no panic"), said)
            });
            let ran = std::fs::read_to_string(&witness).unwrap_or_default();
            match (&started, &said) {
                (Started::Running, Truth::Running | Truth::Done(0)) => assert_eq!(ran, "x\n"),
                (Started::Refused(_) | Started::Lost(_), Truth::Never) => assert_eq!(ran, ""),
                other => panic!("{} race {n}: {other:?}", w.shell),
            }
            never += u32::from(said == Truth::Never);
        }
        eprintln!("{}: never {never} of 100", w.shell);
    });
}

#[test]
fn of_many_runs_that_want_the_lock_one_gets_it() {
    each(|w| {
        let mut fleets: Vec<Fleet> = (0..4).map(|_| w.fleet()).collect();
        for _ in 0..10 {
            let won = std::thread::scope(|scope| {
                let takers: Vec<_> = fleets
                    .iter_mut()
                    .enumerate()
                    .map(|(i, f)| scope.spawn(move || f.lock("n", &format!("run-{i}"), "m", "me").expect("a session")))
                    .collect();
                let all: Vec<Locked> = takers.into_iter().map(|t| t.join().expect("no panic")).collect();
                assert_eq!(all.iter().filter(|l| **l == Locked::Ours).count(), 1, "{} {all:?}", w.shell);
                all.iter().position(|l| *l == Locked::Ours).expect("one")
            });
            fleets[won].unlock("n", &format!("run-{won}")).expect("ours");
        }
    });
}

#[test]
fn another_process_with_the_leaders_pid_is_not_the_leader() {
    each(|w| {
        let (mut fleet, hello) = w.locked();
        let c = claim(&hello.boot, "gone", 1);
        assert_eq!(run(&mut fleet, &c, &sent("true")).end, Progress::Done(0));
        let (rc, who) = (only_claim(w).with_extension("rc"), only_claim(w).with_extension("who"));
        std::fs::write(rc, format!("{:111}\n", "")).expect("ours");
        let kept = std::fs::read_to_string(&who).expect("it began");
        let words: Vec<&str> = kept.split_whitespace().collect();
        let me = std::process::id();
        std::fs::write(&who, format!("leader {} {} {me} 1\n", words[1], words[2])).expect("ours");
        let gone = Truth::Unknown("its process is gone and left no code".into());
        assert_eq!(fleet.truth("n", &c), Ok(gone.clone()), "{}", w.shell);
        assert_eq!(fleet.cancel("n", &c, Duration::ZERO), Ok(gone), "{}: and it is not signalled", w.shell);
        std::fs::write(&who, format!("leader another-boot {} {me} 1\n", words[2])).expect("ours");
        let reboot = Truth::Unknown("the node was rebooted while it ran".into());
        assert_eq!(fleet.truth("n", &c), Ok(reboot), "{}", w.shell);
        std::fs::write(&who, format!("leader {} 1 {me} 1\n", words[1])).expect("ours");
        let other = Truth::Unknown("it was started in another container of this machine".into());
        assert_eq!(fleet.truth("n", &c), Ok(other), "{}", w.shell);
    });
}

#[test]
fn never_is_not_said_without_the_marker_or_after_a_reboot() {
    each(|w| {
        let (mut fleet, hello) = w.locked();
        let mut c = claim(&hello.boot, "lost", 1);
        c.marker = "another".into();
        let unknown = Truth::Unknown("the node has no record of this run".into());
        assert_eq!(fleet.truth("n", &c), Ok(unknown), "{}", w.shell);
        c = claim("another-boot", "lost", 1);
        let reboot = Truth::Unknown("the node was rebooted since it was to start".into());
        assert_eq!(fleet.truth("n", &c), Ok(reboot), "{}", w.shell);
        assert_eq!(fleet.truth("n", &claim(&hello.boot, "lost", 1)), Ok(Truth::Never), "{}", w.shell);
        let refused = fleet.start("n", &claim(&hello.boot, "lost", 1), &sent("true"));
        assert!(matches!(refused, Started::Lost(_)), "{} {refused:?}", w.shell);
        // A claim that seems not to have begun: what was made last may have gone with the power.
        assert_eq!(run(&mut fleet, &claim(&hello.boot, "begun", 1), &sent("true")).end, Progress::Done(0));
        let rc = w.snapshot().into_iter().find(|p| p.extension().is_some_and(|e| e == "rc")).expect("it ended");
        std::fs::remove_file(rc.with_extension("go")).expect("ours");
        std::fs::remove_file(rc).expect("ours");
        let reboot = Truth::Unknown("the node was rebooted since it was to start".into());
        assert_eq!(fleet.truth("n", &claim("another-boot", "begun", 1)), Ok(reboot), "{}", w.shell);
    });
}

#[test]
fn a_step_outlives_its_session_and_its_effect_comes_once() {
    each(|w| {
        let (mut fleet, hello) = w.locked();
        let (c, witness, go) = (claim(&hello.boot, "long", 1), w.dir.join("ran"), w.dir.join("go-on"));
        let shell = shell_pid(&mut fleet);
        let text = format!(
            "echo before; while [ ! -e {} ]; do sleep 0.05; done; echo x >>{}; echo after",
            go.display(),
            witness.display()
        );
        assert_eq!(fleet.start("n", &c, &sent(text)), Started::Running);
        assert_eq!(fleet.poll("n", &c, SOON), Progress::Output(false, b"before\n".to_vec()), "{}", w.shell);
        rustix::process::kill_process_group(shell, Signal::KILL).expect("it is ours");
        let lost = until("the loss", || match fleet.poll("n", &c, SOON) {
            Progress::Quiet => None,
            other => Some(other),
        });
        assert!(matches!(lost, Progress::Lost(_)), "{} {lost:?}", w.shell);
        assert_eq!(fleet.truth("n", &c), Ok(Truth::Running), "{}", w.shell);
        std::fs::write(&go, "").expect("the world's own folder");
        let ended = follow(&mut fleet, &c);
        assert_eq!((ended.end, &ended.out[..]), (Progress::Done(0), &b"after\n"[..]), "{}", w.shell);
        assert_eq!(std::fs::read_to_string(&witness).expect("it ran"), "x\n", "{}", w.shell);
        assert_eq!(fleet.truth("n", &c), Ok(Truth::Done(0)), "{}", w.shell);
    });
}

#[test]
fn a_step_ends_with_its_own_process_whatever_holds_its_output() {
    each(|w| {
        let (mut fleet, hello) = w.locked();
        let began = Instant::now();
        let ended = run(&mut fleet, &claim(&hello.boot, "daemon", 1), &sent("sleep 60 & echo $!"));
        assert_eq!(ended.end, Progress::Done(0), "{}", w.shell);
        assert!(began.elapsed() < Duration::from_secs(10), "{}", w.shell);
        let pid = String::from_utf8_lossy(&ended.out).trim().parse().expect("a pid");
        kill_process(rustix::process::Pid::from_raw(pid).expect("not 0"), Signal::KILL).expect("it lives on");
        let mut unread = sent("exit 5");
        unread.stdin = Some(vec![0; 300_000]);
        assert_eq!(run(&mut fleet, &claim(&hello.boot, "unread", 1), &unread).end, Progress::Done(5), "{}", w.shell);
    });
}

#[test]
fn a_cancelled_step_leaves_nothing_in_its_group() {
    each(|w| {
        let (mut fleet, hello) = w.locked();
        let stories =
            [("sleep 61", 143), ("trap '' TERM; sleep 62 & sleep 63", 137), ("trap : TERM; sleep 64 || exit 9", 9)];
        for (text, code) in stories {
            let c = claim(&hello.boot, text, 1);
            let text = format!("cut -d' ' -f5 /proc/$$/stat; {text}");
            assert_eq!(fleet.start("n", &c, &sent(text)), Started::Running);
            let Progress::Output(false, group) = fleet.poll("n", &c, SOON) else { panic!("{}", w.shell) };
            let group: i32 = String::from_utf8_lossy(&group).trim().parse().expect("a group");
            assert_eq!(fleet.truth("n", &c), Ok(Truth::Running), "{}", w.shell);
            let said = fleet.cancel("n", &c, Duration::from_secs(1));
            assert_eq!(said, Ok(Truth::Done(code)), "{} {code}", w.shell);
            // Who has ended may still be a zombie: not every first process reaps.
            let left = processes(group);
            assert!(left.is_empty(), "{} {code}: {left:?}", w.shell);
            assert_eq!(follow(&mut fleet, &c).end, Progress::Done(code), "{}", w.shell);
        }
        let c = claim(&hello.boot, "not begun", 1);
        assert_eq!(fleet.cancel("n", &c, Duration::ZERO), Ok(Truth::Never), "{}", w.shell);
    });
}

#[test]
fn ten_megabytes_on_both_streams_come_through() {
    each(|w| {
        let (mut fleet, hello) = w.locked();
        let text = "head -c 10000000 /dev/zero & head -c 10000000 /dev/zero >&2; wait";
        let ended = run(&mut fleet, &claim(&hello.boot, "much", 1), &sent(text));
        assert_eq!(
            (ended.end, ended.out.len(), ended.err.len()),
            (Progress::Done(0), 10_000_000, 10_000_000),
            "{}",
            w.shell
        );
    });
}

#[test]
fn kept_output_is_capped_and_the_gap_named() {
    each(|w| {
        let (mut fleet, hello) = w.locked();
        fleet = {
            drop(fleet);
            w.fleet().cap(65536)
        };
        assert_eq!(fleet.lock("n", "r", "m", "me"), Ok(Locked::Ours));
        let c = claim(&hello.boot, "much", 1);
        let text = "echo first; head -c 300000 /dev/zero; echo last; echo small >&2";
        let ended = run(&mut fleet, &c, &sent(text));
        assert_eq!((ended.end, &ended.err[..]), (Progress::Done(0), &b"small\n"[..]), "{}", w.shell);
        assert!(ended.out.ends_with(b"last\n"), "{}", w.shell);
        let (out, err) = fleet.output("n", &c).expect("a session");
        assert!(out.0.starts_with(b"first\n") && out.0.ends_with(b"last\n"), "{} {}", w.shell, out.0.len());
        assert!(out.0.len() < 66_000 && out.lossy().contains("about 234475 bytes were left out here"), "{}", w.shell);
        assert_eq!(err.lossy(), "small\n", "{}", w.shell);
        let rest: u64 = std::fs::read_dir(only_claim(w).parent().expect("a generation"))
            .expect("kept")
            .flatten()
            .filter_map(|f| f.metadata().ok())
            .map(|m| m.len())
            .sum();
        assert!(rest < 70_000, "{} keeps {rest}", w.shell);
    });
}

#[test]
fn the_cap_holds_when_nobody_listens_any_more() {
    each(|w| {
        let (fleet, hello) = w.locked();
        drop(fleet);
        let mut fleet = w.fleet().cap(65536);
        assert_eq!(fleet.lock("n", "r", "m", "me"), Ok(Locked::Ours));
        let (c, talk, end) = (claim(&hello.boot, "much", 1), w.dir.join("talk"), w.dir.join("end"));
        let wait = |file: &Path| format!("while [ ! -e {} ]; do sleep 0.05; done", file.display());
        let text = format!("{}; echo first; head -c 300000 /dev/zero; {}; echo last", wait(&talk), wait(&end));
        let shell = shell_pid(&mut fleet);
        assert_eq!(fleet.start("n", &c, &sent(text)), Started::Running);
        rustix::process::kill_process_group(shell, Signal::KILL).expect("it is ours");
        drop(fleet);
        std::fs::write(&talk, "").expect("the world's own folder");
        // The last that a cut makes.
        let tail = only_claim(w).with_extension("out.tail");
        until("the cut", || tail.exists().then_some(()));
        std::fs::write(&end, "").expect("the world's own folder");
        let mut fleet = w.fleet();
        let ended = follow(&mut fleet, &c);
        assert_eq!(ended.end, Progress::Done(0), "{}", w.shell);
        assert!(ended.out.starts_with(b"first\n") && ended.out.ends_with(b"last\n"), "{}", w.shell);
        assert!(ended.out.len() < 66_000, "{} {}", w.shell, ended.out.len());
    });
}

#[test]
fn of_a_step_that_was_killed_the_code_is_known_though_whoever_killed_it_never_came_to_write_it() {
    each(|w| {
        let (mut fleet, hello) = w.locked();
        let c = claim(&hello.boot, "stuck", 1);
        assert_eq!(fleet.start("n", &c, &sent("trap '' TERM; echo on; sleep 300")), Started::Running);
        assert!(matches!(fleet.poll("n", &c, SOON), Progress::Output(..)));
        let kept = std::fs::read_to_string(only_claim(w).with_extension("who")).expect("it began");
        let leader: i32 = kept.split_whitespace().nth(3).expect("its pid").parse().expect("a number");
        // As far as a session comes that is lost right behind its KILL.
        std::fs::write(only_claim(w).with_extension("kill"), "").expect("ours");
        let group = rustix::process::Pid::from_raw(leader).expect("not 0");
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).expect("it is there");
        assert_eq!(w.fleet().truth("n", &c), Ok(Truth::Done(137)), "{}", w.shell);
        assert_eq!(processes(leader), Vec::<String>::new(), "{}", w.shell);
        assert_eq!(fleet.cancel("n", &c, Duration::ZERO), Ok(Truth::Done(137)), "{}", w.shell);
    });
}

#[test]
fn half_a_code_is_no_code() {
    each(|w| {
        let (mut fleet, hello) = w.locked();
        let c = claim(&hello.boot, "code", 1);
        assert_eq!(run(&mut fleet, &c, &sent("exit 143")).end, Progress::Done(143));
        let rc = only_claim(w).with_extension("rc");
        let whole = std::fs::read_to_string(&rc).expect("it ended");
        let line = whole.lines().next().expect("a line");
        assert_eq!(line, "rc 143 143 .", "{}", w.shell);
        for n in 0..line.len() {
            std::fs::write(&rc, format!("{:111}\n", &line[..n])).expect("ours");
            let gone = Truth::Unknown("its process is gone and left no code".into());
            assert_eq!(fleet.truth("n", &c), Ok(gone), "{} {n}", w.shell);
        }
        std::fs::write(&rc, whole).expect("ours");
        assert_eq!(fleet.truth("n", &c), Ok(Truth::Done(143)), "{}", w.shell);
    });
}

#[test]
fn the_output_of_a_secret_step_is_removed_after_it_was_read() {
    each(|w| {
        let (mut fleet, hello) = w.locked();
        let mut s = sent("cat");
        (s.stdin, s.secret) = (Some(b"hunter2".to_vec()), true);
        let c = claim(&hello.boot, "secret", 1);
        assert_eq!(run(&mut fleet, &c, &s).out, b"hunter2", "{}", w.shell);
        for path in w.snapshot().iter().filter(|p| p.is_file() && !p.starts_with(w.dir.join("bin"))) {
            let bytes = std::fs::read(path).expect("ours");
            assert!(!bytes.windows(7).any(|s| s == b"hunter2"), "{} {}", w.shell, path.display());
        }
        assert_eq!(fleet.output("n", &c).expect("a session").0.0, b"", "{}", w.shell);
    });
}

#[test]
fn a_full_state_directory_refuses_with_its_reason() {
    each(|w| {
        let state = w.state();
        std::fs::create_dir_all(&state).expect("the world's own folder");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "none"])
            .arg(&state)
            .output()
            .is_ok_and(|o| o.status.success());
        if !mounted {
            eprintln!("skipped: may not mount");
            return;
        }
        let (mut fleet, hello) = w.locked();
        let c = claim(&hello.boot, "big", 1);
        let refused = fleet.start("n", &c, &sent(format!("true # {}", "x".repeat(400_000))));
        let said = fleet.truth("n", &c);
        let small = run(&mut fleet, &claim(&hello.boot, "small", 1), &sent("true")).end;
        drop(fleet);
        until("the last process there", || {
            let umount = std::process::Command::new("umount").arg(&state).output();
            umount.ok().filter(|o| o.status.success())
        });
        let Started::Refused(why) = &refused else { panic!("{} {refused:?}", w.shell) };
        let start = format!("its record could not be written to {} (", state.display());
        assert!(why.starts_with(&start) && why.ends_with(" KiB are free there)"), "{} {why}", w.shell);
        assert_eq!((said, small), (Ok(Truth::Never), Progress::Done(0)), "{}", w.shell);
    });
}

#[test]
fn a_login_that_may_not_write_runs_without_claims_and_still_meets_the_lock() {
    each(|w| {
        let Some(node) = w.nobody() else { return };
        let (mut first, hello) = w.locked();
        let mut other = Fleet::new(vec![node], w.dir.clone()).tmpfs(true);
        let greeting = other.greet("n").expect("the shell starts");
        let why = greeting.unrecorded.expect("not writable");
        assert_eq!(why, format!("{} is not writable for uid 65534", w.state().display()), "{}", w.shell);
        assert_eq!(greeting.identity, first.greet("n").expect("open").identity, "{}", w.shell);
        let held = other.lock("n", "mine", "m", "nobody@here").expect("a session");
        let Locked::Held(who) = held else { panic!("{} {held:?}", w.shell) };
        assert!(who.starts_with("me@here, pid 1, run r, since"), "{} {who}", w.shell);
        first.unlock("n", "r").expect("ours");
        assert_eq!(other.lock("n", "mine", "m", "nobody@here"), Ok(Locked::Impossible(why)), "{}", w.shell);
        let c = claim(&hello.boot, "bare", 1);
        let ended = run(&mut other, &c, &sent("echo out; echo err >&2; exit 6"));
        assert_eq!((ended.end, &ended.out[..], &ended.err[..]), (Progress::Done(6), &b"out\n"[..], &b"err\n"[..]));
        assert!(matches!(other.truth("n", &c), Ok(Truth::Unknown(_))), "{}", w.shell);
    });
}

#[test]
fn sudo_makes_the_whole_session_roots_or_says_why_not() {
    each(|w| {
        let Some(mut node) = w.nobody() else { return };
        node.become_root = Some("sudo".into());
        w.stand_in("sudo", "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n");
        let mut fleet = Fleet::new(vec![node], w.dir.clone());
        let refused = fleet.greet("n").expect_err("sudo refuses");
        assert!(refused.why.starts_with("sudo wants a password of `LOGIN`; as root: `visudo -f "), "{}", refused.why);
        w.stand_in("sudo", "#!/bin/sh\necho 'LOGIN is not in the sudoers file.' >&2\nexit 1\n");
        let refused = fleet.greet("n").expect_err("sudo refuses");
        let why = "sudo does not let `LOGIN` run sh as root (LOGIN is not in the sudoers file.); as root: ";
        assert!(refused.why.starts_with(why), "{}", refused.why);
        w.stand_in("sudo", "#!/bin/sh\nshift\nsudo=yes; export sudo\nexec \"$@\"\n");
        let reply = fleet.look("n", &sent("echo $sudo"), SOON).expect("a session");
        assert_eq!(reply.out.lossy(), "yes\n", "{}", w.shell);
    });
}

#[test]
fn memory_is_no_place_for_claims_and_a_missing_program_is_said() {
    each(|w| {
        let mut node = w.node();
        node.state = Some("/dev/shm/hawiz-none".into());
        let mut fleet = Fleet::new(vec![node.clone()], w.dir.clone()).tmpfs(false);
        let why = fleet.greet("n").expect("the shell starts").unrecorded;
        assert_eq!(why.as_deref(), Some("/dev/shm does not survive a reboot (tmpfs)"), "{}", w.shell);
        node.how = How::Via(vec!["no-such-program".into()]);
        let refused = Fleet::new(vec![node.clone()], w.dir.clone()).greet("n").expect_err("no program");
        assert!(refused.why.starts_with("cannot start `no-such-program`: "), "{}", refused.why);
        node.how = How::Via(vec!["sh".into(), "-c".into(), "echo no route >&2; exit 9".into()]);
        let refused = Fleet::new(vec![node], w.dir.clone()).greet("n").expect_err("no shell");
        assert_eq!(refused.why, "no route");
    });
}

#[test]
fn a_look_while_a_step_runs_does_not_disturb_it() {
    each(|w| {
        let (mut fleet, hello) = w.locked();
        let (c, go) = (claim(&hello.boot, "long", 1), w.dir.join("go-on"));
        let text = format!("while [ ! -e {} ]; do sleep 0.05; done; echo end", go.display());
        assert_eq!(fleet.start("n", &c, &sent(text)), Started::Running);
        assert_eq!(fleet.look("n", &sent("exit 2"), SOON).expect("a session").code, Some(2), "{}", w.shell);
        std::fs::write(&go, "").expect("the world's own folder");
        let ended = follow(&mut fleet, &c);
        assert_eq!((ended.end, &ended.out[..]), (Progress::Done(0), &b"end\n"[..]), "{}", w.shell);
    });
}

#[test]
fn what_it_costs() {
    each(|w| {
        let (mut fleet, hello) = w.locked();
        let text = sent("test -d / && true");
        fleet.look("n", &text, SOON).expect("a session");
        let median = |mut all: Vec<Duration>| {
            all.sort();
            all[all.len() / 2]
        };
        let looks = (0..100).map(|_| {
            let t = Instant::now();
            fleet.look("n", &text, SOON).expect("a session");
            t.elapsed()
        });
        let look = median(looks.collect());
        let path = w.dir.join("bin/sh");
        let plain = (0..100).map(|_| {
            let t = Instant::now();
            std::process::Command::new(&path).args(["-c", "test -d / && true"]).output().expect("sh");
            t.elapsed()
        });
        let plain = median(plain.collect());
        let steps = (0..20).map(|n| {
            let t = Instant::now();
            run(&mut fleet, &claim(&hello.boot, "cost", n), &text);
            t.elapsed()
        });
        let step = median(steps.collect());
        eprintln!("{}: sh -c {plain:?}, look {look:?}, recorded step {step:?}", w.shell);
    });
}

#[test]
fn this_machines_own_shell_is_reached_without_a_program_between() {
    each(|w| {
        let mut node = w.node();
        node.how = How::Local;
        let mut fleet = Fleet::new(vec![node], w.dir.clone()).tmpfs(true);
        let reply = fleet.look("n", &sent("pwd; cat; test -t 0 && echo terminal; :"), SOON).expect("a session");
        assert_eq!((reply.code, reply.out.lossy()), (Some(0), "/\n".into()));
    });
}

#[test]
fn records_of_finished_runs_are_pruned_after_30_days_and_no_others() {
    each(|w| {
        let (mut fleet, _) = w.locked();
        fleet.unlock("n", "r").expect("ours");
        assert_eq!(fleet.lock("n", "unfinished", "m", "me"), Ok(Locked::Ours));
        fleet.break_lock("n", "test").expect("a session");
        let age = |file: &str, days: u64| {
            let then = std::time::SystemTime::now() - Duration::from_secs(days * 86400);
            let file = std::fs::File::open(w.state().join(file)).expect("it is kept");
            file.set_modified(then).expect("it is ours");
        };
        age("run.r/finished", 29);
        age("run.unfinished/marker", 400);
        assert_eq!(fleet.lock("n", "next", "m", "me"), Ok(Locked::Ours));
        assert!(w.state().join("run.r").exists(), "{}", w.shell);
        age("run.r/finished", 40);
        assert_eq!(fleet.lock("n", "next", "m", "me"), Ok(Locked::Ours));
        assert!(!w.state().join("run.r").exists() && w.state().join("run.unfinished").exists(), "{}", w.shell);
    });
}

#[test]
fn a_script_laid_ready_is_claimed_once_lies_as_it_was_sent_and_not_where_the_lock_was_taken_over() {
    each(|w| {
        let (mut fleet, hello) = w.locked();
        let c = claim(&hello.boot, "console", 1);
        let all: Vec<u8> = (1..=255u8).collect();
        let script = [b"printf %s \"$0\"\n# ", &all[..], b"\n"].concat();
        let file = fleet.lay("n", &c, &sent(script.clone())).expect("it is claimed");
        let lies = std::fs::read(&file).expect("it lies there");
        assert!(lies.ends_with(&script), "{}: {}", w.shell, String::from_utf8_lossy(&lies));
        assert_eq!(fleet.truth("n", &c), Ok(Truth::Done(0)), "{}", w.shell);
        assert!(fleet.lay("n", &c, &sent("true")).is_err(), "{} claims twice", w.shell);
        // Whoever takes the lock over need not fear a late start.
        assert_eq!(w.fleet().lock("n", "r", "m", "me@here, pid 3"), Ok(Locked::Ours));
        assert!(std::fs::read(&file).is_err(), "{}", w.shell);
        assert!(fleet.lay("n", &claim(&hello.boot, "late", 1), &sent("true")).is_err(), "{}", w.shell);
    });
}
