//! The session protocol against real shells: every rule of `src/session.rs` as a sentence.

#[path = "session/world.rs"]
mod world;

use hawiz::reach::{Locked, Progress, Reach, Started, Truth};
use std::time::Duration;
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
        assert!(reply.out.0 == hex.as_bytes() || reply.out.0.len() > 100_000, "{} look {reply:?}", w.shell);
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
        assert_eq!(refused, Started::Refused("the lock was taken over".into()), "{}", w.shell);
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
