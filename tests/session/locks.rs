//! The lock between stations, and the copy of a run's record: `src/session/lock.rs`, `copy.rs` and `station.rs` as sentences.

use super::world::*;
use hawiz::journal::Trail;
use hawiz::reach::{Locked, Progress, Reach, Started, Truth};
use hawiz::session::{Left, name};
use rustix::process::{Signal, kill_process};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Where a station keeps the run.
fn station(w: &World, stations: &[&str]) -> hawiz::session::Fleet {
    let mut fleet = w.fleet();
    fleet.carry(Trail::of(&w.dir), &stations.iter().map(|s| s.to_string()).collect::<Vec<_>>());
    fleet
}

fn files(w: &World, file: &str) -> Vec<PathBuf> {
    w.snapshot().into_iter().filter(|p| p.starts_with(w.state()) && p.file_name().is_some_and(|n| n == file)).collect()
}

/// The copies as the node gives them, of the oldest generation first.
fn copied(w: &World) -> Option<(String, Vec<String>)> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let copied = w.fleet().copied(&["n".into()], "r").pop().expect("one was asked").expect("a session")?;
    Some((text(copied.plan), copied.journals.into_iter().map(text).collect()))
}

#[test]
fn a_claim_of_who_lost_the_lock_fails_and_says_who_has_it_and_why() {
    each(|w| {
        let (mut first, hello) = w.locked();
        let mut second = w.fleet();
        let was = second.break_lock("n", "unlocked by you@there: it's gone, 100% \\c").expect("a session");
        assert!(was.expect("it was held").starts_with("me@here, pid 1, run r, since 2"), "{}", w.shell);
        let why = "the lock was taken over; unlocked by you@there: it's gone, 100% \\c";
        let late = first.start("n", &claim(&hello.boot, "late", 1), &sent("true"));
        assert_eq!(late, Started::Refused(why.into()), "{}", w.shell);
        assert_eq!(second.lock("n", "other", "m", "you@there, pid 2"), Ok(Locked::Ours), "{}", w.shell);
        let Started::Refused(late) = first.start("n", &claim(&hello.boot, "late", 1), &sent("true")) else {
            panic!("{}: it began", w.shell)
        };
        assert!(late.starts_with(&format!("{why}; it is held by you@there, pid 2, run other, since 2")), "{late}");
        // Looking says so, too; and it gives nothing back that is not its own.
        assert_eq!(first.taken("n"), None, "{}", w.shell);
        assert_eq!(first.look("n", &sent("echo a; exit 3"), SOON).expect("a session").code, Some(3), "{}", w.shell);
        assert!(first.taken("n").expect("the node has said so").starts_with(why), "{}", w.shell);
        first.unlock("n", "r").expect("a session");
        assert!(second.standing("n", None).expect("a session").holder.is_some(), "{}", w.shell);
        assert_eq!(second.taken("n"), None, "{}", w.shell);
    });
}

#[test]
fn whoever_meets_a_lock_is_told_for_how_long_its_holder_has_been_silent() {
    each(|w| {
        let (mut first, hello) = w.locked();
        first.look("n", &sent("true"), SOON).expect("a session");
        let heard = files(w, "heard").pop().expect("it was heard of");
        let now: u64 = {
            let text = fs::read_to_string("/proc/uptime").expect("Linux has it");
            text.split('.').next().expect("seconds").parse().expect("a number")
        };
        let mut second = w.fleet();
        let mut said = |line: String| {
            fs::write(&heard, line).expect("ours");
            let Ok(Locked::Held(who)) = second.lock("n", "other", "m", "you") else { panic!("{}", w.shell) };
            who.split_once(", last heard of ").expect("it is told").1.to_string()
        };
        let boot = &hello.boot;
        for (ago, words) in [(185, "3 min ago"), (7200, "2 h ago"), (400_000, "4 days ago")] {
            if ago < now {
                assert_eq!(said(format!("{boot} {}\n", now - ago)), words, "{}", w.shell);
            }
        }
        assert_eq!(said("another-boot 5\n".into()), "before the node was rebooted", "{}", w.shell);
        // Each step and each look counts; whatever is wrong with the note, nothing else is.
        first.look("n", &sent("true"), SOON).expect("a session");
        assert!(fs::read_to_string(&heard).expect("it is there").starts_with(boot), "{}", w.shell);
        fs::write(&heard, "\n").expect("ours");
        let Ok(Locked::Held(who)) = w.fleet().lock("n", "other", "m", "you") else { panic!("{}", w.shell) };
        assert!(!who.contains("last heard"), "{}: {who}", w.shell);
    });
}

#[test]
fn breaking_a_lock_forbids_what_was_claimed_and_has_not_begun() {
    each(|w| {
        let note = w.freezing_leaders();
        let (mut first, hello) = w.locked();
        let (c, witness) = (claim(&hello.boot, "late", 1), w.dir.join("ran"));
        std::thread::scope(|scope| {
            let started = scope.spawn(|| first.start("n", &c, &sent(format!("echo x >>{}", witness.display()))));
            let leader = until("the leader", || fs::read_to_string(&note).ok());
            let leader = rustix::process::Pid::from_raw(leader.trim().parse().expect("a pid")).expect("not 0");
            let mut second = w.fleet();
            let before = w.snapshot();
            let open = vec![Left { name: name("n", &c), truth: None }];
            assert_eq!(second.standing("n", None).expect("a session").claims, open, "{}", w.shell);
            assert_eq!(w.snapshot(), before, "{}: looking made something", w.shell);
            second.break_lock("n", "gone").expect("a session").expect("it was held");
            let never = vec![Left { name: name("n", &c), truth: Some(Truth::Never) }];
            assert_eq!(second.standing("n", Some("r")).expect("a session").claims, never, "{}", w.shell);
            kill_process(leader, Signal::CONT).expect("it is ours");
            let started = started.join().expect("no panic");
            assert_eq!(started, Started::Refused("the lock was taken over; gone".into()), "{}", w.shell);
            assert_eq!(second.truth("n", &c), Ok(Truth::Never), "{}", w.shell);
        });
        assert!(!witness.exists(), "{}", w.shell);
    });
}

#[test]
fn what_runs_still_is_told_and_can_be_ended_after_the_lock_was_broken() {
    each(|w| {
        let (mut first, hello) = w.locked();
        let (done, runs) = (claim(&hello.boot, "done", 1), claim(&hello.boot, "runs", 1));
        assert_eq!(run(&mut first, &done, &sent("exit 4")).end, Progress::Done(4), "{}", w.shell);
        assert_eq!(first.start("n", &runs, &sent("sleep 300")), Started::Running, "{}", w.shell);
        let mut second = w.fleet();
        let mut wanted = vec![
            Left { name: name("n", &done), truth: Some(Truth::Done(4)) },
            Left { name: name("n", &runs), truth: Some(Truth::Running) },
        ];
        wanted.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(second.standing("n", None).expect("a session").claims, wanted, "{}", w.shell);
        second.break_lock("n", "gone").expect("a session").expect("it was held");
        let after = second.standing("n", Some("r")).expect("a session");
        assert_eq!((after.holder, after.claims), (None, wanted), "{}", w.shell);
        let ended = second.end("n", "r", &name("n", &runs), Duration::from_secs(5));
        assert_eq!(ended, Ok(Truth::Done(143)), "{}", w.shell);
        assert_eq!(second.end("n", "r", &name("n", &done), Duration::ZERO), Ok(Truth::Done(4)), "{}", w.shell);
    });
}

#[test]
fn a_run_is_let_in_by_what_its_record_knows_of_the_stations_before() {
    each(|w| {
        let mut first = station(w, &["m"]);
        assert_eq!(first.lock("n", "r", "m", "me@here, pid 1"), Ok(Locked::Ours), "{}", w.shell);
        // Held by the first station, another does not take it over, though the run is the same; the station itself does.
        let mut second = station(w, &["m", "second"]);
        let Ok(Locked::Taken(who)) = second.lock("n", "r", "m", "you@there") else { panic!("{}", w.shell) };
        assert!(who.starts_with("it is held by me@here, pid 1, run r, since 2"), "{who}");
        assert_eq!(station(w, &["m"]).lock("n", "r", "m", "me@here, pid 2"), Ok(Locked::Ours), "{}", w.shell);
        second.break_lock("n", "unlocked by you: gone").expect("a session").expect("it was held");
        assert_eq!(second.lock("n", "r", "m", "you@there, pid 3"), Ok(Locked::Ours), "{}", w.shell);
        second.unlock("n", "r").expect("ours");
        // Whoever does not know of the second station comes too late.
        for late in [&["m"][..], &["m", "third"]] {
            let Ok(Locked::Taken(who)) = station(w, late).lock("n", "r", "m", "late") else { panic!("{}", w.shell) };
            assert!(who.starts_with("it went on with you@there, pid 3, run r, since 2"), "{who}");
            assert!(who.ends_with("; unlocked by you: gone"), "{who}");
            assert!(!w.state().join("lock").exists(), "{}", w.shell);
        }
        let mut fourth = station(w, &["m", "second", "fourth"]);
        assert_eq!(fourth.lock("n", "r", "m", "new"), Ok(Locked::Ours), "{}", w.shell);
        // Another run has nothing to do with that.
        fourth.unlock("n", "r").expect("ours");
        assert_eq!(station(w, &["m2"]).lock("n", "r2", "m2", "other"), Ok(Locked::Ours), "{}", w.shell);
    });
}

#[test]
fn an_attempt_that_the_node_knows_is_never_made_again_in_a_later_generation() {
    each(|w| {
        let (mut first, hello) = w.locked();
        let (c, witness) = (claim(&hello.boot, "count", 1), w.dir.join("ran"));
        let text = sent(format!("echo x >>{}", witness.display()));
        assert_eq!(run(&mut first, &c, &text).end, Progress::Done(0), "{}", w.shell);
        let mut second = w.fleet();
        assert_eq!(second.lock("n", "r", "m", "you"), Ok(Locked::Ours), "{}", w.shell);
        assert!(matches!(second.start("n", &c, &text), Started::Lost(_)), "{}", w.shell);
        assert_eq!(second.truth("n", &c), Ok(Truth::Done(0)), "{}", w.shell);
        assert_eq!(fs::read_to_string(&witness).expect("it ran"), "x\n", "{}", w.shell);
    });
}

#[test]
fn the_copy_goes_with_what_is_sent_and_arrives_byte_for_byte() {
    each(|w| {
        let odd = "{\"n\":1,\"t\":\"it's \\\\n 100% $x `y` ü\"}\n";
        fs::write(w.dir.join("plan.json"), "{\"plan\":\"it's ü\\\\n\"}").expect("ours");
        fs::write(w.dir.join("journal.jsonl"), odd).expect("ours");
        let mut first = station(w, &["m"]);
        let boot = first.greet("n").expect("the shell starts").boot;
        assert_eq!(first.lock("n", "r", "m", "me"), Ok(Locked::Ours), "{}", w.shell);
        assert_eq!(copied(w), None, "{}", w.shell);
        assert_eq!(run(&mut first, &claim(&boot, "one", 1), &sent("exit 0")).end, Progress::Done(0), "{}", w.shell);
        let plan = "{\"plan\":\"it's ü\\\\n\"}".to_string();
        assert_eq!(copied(w), Some((plan.clone(), vec![format!("\n{odd}")])), "{}", w.shell);
        // What came since, and only that; half a line is left for the next time.
        fs::write(w.dir.join("journal.jsonl"), format!("{odd}two\nthr")).expect("ours");
        first.syslog("n", "one is done");
        let copy = until("the copy", || copied(w).filter(|c| c.1[0].ends_with("two\n")));
        assert_eq!(copy.1, [format!("\n{odd}\ntwo\n")], "{}", w.shell);
        fs::write(w.dir.join("journal.jsonl"), format!("{odd}two\nthree\nthe end\n")).expect("ours");
        fs::write(w.dir.join("plan.json"), "another").expect("ours");
        first.unlock("n", "r").expect("ours");
        assert_eq!(copied(w), Some((plan.clone(), vec![format!("\n{odd}\ntwo\n\nthree\nthe end\n")])), "{}", w.shell);
        // The last words come after the lock was given back, and a run's next sitting has a copy of its own.
        fs::write(w.dir.join("journal.jsonl"), format!("{odd}two\nthree\nthe end\nlast\n")).expect("ours");
        first.syslog("n", "it ends");
        until("the last word", || copied(w).filter(|c| c.1[0].ends_with("\nlast\n")));
        let mut again = station(w, &["m"]);
        assert_eq!(again.lock("n", "r", "m", "me"), Ok(Locked::Ours), "{}", w.shell);
        assert_eq!(run(&mut again, &claim(&boot, "two", 1), &sent("exit 0")).end, Progress::Done(0), "{}", w.shell);
        let (kept, copies) = copied(w).expect("it is there");
        assert_eq!((kept, copies.len()), (plan, 2), "{}", w.shell);
        assert!(copies.contains(&format!("\n{odd}two\nthree\nthe end\nlast\n")), "{}: {copies:?}", w.shell);
    });
}

#[test]
fn a_copy_that_cannot_be_written_stops_no_step_and_is_sent_again_whole() {
    each(|w| {
        fs::write(w.dir.join("plan.json"), "{}").expect("ours");
        fs::write(w.dir.join("journal.jsonl"), "one\n").expect("ours");
        let mut fleet = station(w, &["m"]);
        let boot = fleet.greet("n").expect("the shell starts").boot;
        assert_eq!(fleet.lock("n", "r", "m", "me"), Ok(Locked::Ours), "{}", w.shell);
        let info = files(w, "info").pop().expect("there is a generation");
        let copy = info.with_file_name("journal");
        fs::create_dir(&copy).expect("ours");
        let ended = run(&mut fleet, &claim(&boot, "one", 1), &sent("echo a; exit 4"));
        assert_eq!((ended.end, &ended.out[..]), (Progress::Done(4), &b"a\n"[..]), "{}", w.shell);
        fs::remove_dir(&copy).expect("ours");
        fs::write(w.dir.join("journal.jsonl"), "one\ntwo\n").expect("ours");
        assert_eq!(run(&mut fleet, &claim(&boot, "two", 1), &sent("exit 0")).end, Progress::Done(0), "{}", w.shell);
        assert_eq!(fs::read_to_string(&copy).expect("it is there"), "\none\ntwo\n", "{}", w.shell);
    });
}

#[test]
fn after_the_lock_was_broken_the_old_holder_adds_nothing_to_any_copy() {
    each(|w| {
        fs::write(w.dir.join("plan.json"), "{}").expect("ours");
        fs::write(w.dir.join("journal.jsonl"), "one\n").expect("ours");
        let mut first = station(w, &["m"]);
        let boot = first.greet("n").expect("the shell starts").boot;
        assert_eq!(first.lock("n", "r", "m", "me"), Ok(Locked::Ours), "{}", w.shell);
        assert_eq!(run(&mut first, &claim(&boot, "one", 1), &sent("exit 0")).end, Progress::Done(0), "{}", w.shell);
        let kept = copied(w);
        w.fleet().break_lock("n", "gone").expect("a session").expect("it was held");
        fs::write(w.dir.join("journal.jsonl"), "one\ntwo\n").expect("ours");
        first.syslog("n", "late");
        let late = first.start("n", &claim(&boot, "two", 1), &sent("true"));
        assert_eq!(late, Started::Refused("the lock was taken over; gone".into()), "{}", w.shell);
        assert_eq!(copied(w), kept, "{}", w.shell);
    });
}
