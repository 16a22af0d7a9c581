//! Processes that are killed, refused by the disk, or watched while they write.
//!
//! The process is this test program again, running the one test that plays the part; what it does to the world is a line
//! in the file `world`, written after the intent is on disk, as the engine would.

use super::samples::{RUN, WHO, finished, intent, plan, started};
use super::{Dir, events, lay, lines};
use hawiz::event::{Event, Verdict};
use hawiz::journal::{Journal, runs};
use hawiz::problem::Exit;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

const STEPS: u32 = 3;

fn acted(dir: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(dir.join("world")).unwrap_or_default();
    text.lines().map(|l| l.parse().expect("a step's number")).collect()
}
fn act(dir: &Path, step: u32) {
    let world = std::fs::File::options().create(true).append(true).open(dir.join("world"));
    writeln!(world.expect("the test's directory can be written"), "{step}").expect("written");
}

/// A small engine: goes on where the journal ends. An intent without an end is asked of the world, as of a node.
fn go(dir: &Path) {
    let state = dir.join("state");
    let begun = state.join("runs").join(RUN).join("plan.json").exists();
    let (mut journal, records) = if begun {
        let (journal, read, records) = Journal::open(&state, RUN, WHO).expect("a killed run can be opened");
        assert_eq!(read, plan());
        (journal, records)
    } else {
        let _ = std::fs::remove_dir_all(state.join("runs"));
        (Journal::create(&state, &plan(), RUN, WHO).expect("a run can be begun"), Vec::new())
    };
    if records.is_empty() {
        journal.append(started()).expect("written");
    }
    let ends = records.iter().filter(|r| matches!(r.event, Event::Noted { .. })).count() as u32;
    for step in ends..STEPS {
        let intents = records.iter().filter(|r| matches!(r.event, Event::StepIntent { .. })).count() as u32;
        if intents <= step {
            journal.append(intent("xcatmn2", step)).expect("written");
        }
        if !acted(dir).contains(&step) {
            act(dir, step);
        }
        journal.append(Event::Noted { text: format!("step {step} has ended") }).expect("written");
    }
    if !records.iter().any(|r| matches!(r.event, Event::RunFinished { .. })) {
        journal.append(finished(Verdict::Completed, 0)).expect("written");
    }
}

/// Runs one of the parts below in a process of its own.
fn part(name: &str, dir: &Path, env: &[(&str, String)]) -> (ExitStatus, String) {
    let me = std::env::current_exe().expect("a running program has a path");
    let mut command = Command::new(me);
    command.args(["--exact", &format!("killed::{name}"), "--nocapture", "--test-threads", "1"]);
    command.env("HAWIZ_TEST_PART", dir).envs(env.iter().map(|(k, v)| (k, v)));
    let output = command.output().expect("this test program can be started");
    (output.status, String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}
fn directory() -> Option<PathBuf> {
    std::env::var_os("HAWIZ_TEST_PART").map(PathBuf::from)
}

/// Played by a process of its own; on its own it does nothing.
#[test]
fn part_a_run_from_where_it_is_to_its_end() {
    if let Some(dir) = directory() {
        go(&dir);
    }
}

fn boundaries(dir: &Path) -> Vec<String> {
    let log = dir.join("log");
    let (status, said) =
        part("part_a_run_from_where_it_is_to_its_end", dir, &[("HAWIZ_TEST_KILL_LOG", log.display().to_string())]);
    assert!(status.success(), "{said}");
    std::fs::read_to_string(log).expect("there is a log").lines().map(str::to_string).collect()
}

#[test]
fn killed_at_any_boundary_a_run_ends_the_same_and_does_each_thing_once() {
    let quiet = Dir::new();
    let all = boundaries(&quiet.0);
    let numbered = all.iter().enumerate().all(|(i, line)| line.starts_with(&format!("{} ", i + 1)));
    assert!(numbered, "{all:#?}");
    for wanted in [
        "plan write in",
        "plan sync after",
        "plan rename before",
        "plan rename after",
        "directory sync after",
        "record 1 run-started write before",
        "record 2 step-intent write in",
        "record 2 step-intent sync before",
        "record 8 run-finished sync after",
    ] {
        assert!(all.iter().any(|line| line.ends_with(&format!(" {wanted}"))), "no `{wanted}` in {all:#?}");
    }
    let (_, wanted) = Journal::read(&quiet.state(), RUN).expect("readable");
    for (i, name) in all.iter().enumerate() {
        let dir = Dir::new();
        let at = |n: usize| [("HAWIZ_TEST_KILL_AT", n.to_string())];
        let name_of_part = "part_a_run_from_where_it_is_to_its_end";
        let (status, said) = part(name_of_part, &dir.0, &at(i + 1));
        assert_eq!(status.signal(), Some(9), "{name}: {said}");
        // What is left can always be listed, and read if it has begun.
        for run in runs(&dir.state()) {
            assert_eq!(run.problem, None, "{name}");
            let (_, records) = Journal::read(&dir.state(), RUN).expect(name);
            let intents = records.iter().filter(|r| matches!(r.event, Event::StepIntent { .. })).count();
            assert!(acted(&dir.0).len() <= intents, "{name}: acted before the intent was on disk");
        }
        // Once more while it is opened again: a torn tail is cut off in two acts.
        if name.ends_with("write in") && name.contains(" record ") {
            for n in 1..=3 {
                let (status, said) = part(name_of_part, &dir.0, &at(n));
                assert_eq!(status.signal(), Some(9), "{name}, then {n}: {said}");
            }
        }
        let (status, said) = part(name_of_part, &dir.0, &[]);
        assert!(status.success(), "{name}: {said}");
        assert_eq!(acted(&dir.0), [0, 1, 2], "{name}");
        let (_, records) = Journal::read(&dir.state(), RUN).expect(name);
        assert_eq!(events(records), events(wanted.clone()), "{name}");
    }
}

#[test]
fn a_last_line_that_only_lacks_its_end_is_cut_off_and_written_again() {
    let dir = Dir::new();
    let text = lines(&super::recorded(vec![started(), intent("xcatmn2", 0)]));
    lay(&dir.state(), RUN, &plan(), &text[..text.len() - 1]);
    let log = boundaries(&dir.0);
    assert_eq!(log[0], "1 torn tail cut before");
    assert_eq!(log[1], "2 torn tail cut after");
    assert_eq!(acted(&dir.0), [0, 1, 2]);
}

/// Played by a process of its own, with files that may not grow beyond a few records.
#[test]
fn part_a_run_on_a_disk_that_fills_up() {
    let Some(dir) = directory() else { return };
    use rustix::process::{Resource, Rlimit, setrlimit};
    let signal = signal_hook::consts::SIGXFSZ;
    signal_hook::flag::register(signal, Arc::<AtomicBool>::default()).expect("a handler can be set");
    let state = dir.join("state");
    let mut journal = Journal::create(&state, &plan(), RUN, WHO).expect("created");
    journal.append(started()).expect("written");
    let size = || std::fs::metadata(state.join("runs").join(RUN).join("journal.jsonl")).expect("it is there").len();
    let before = size();
    setrlimit(Resource::Fsize, Rlimit { current: Some(before + 100), maximum: None }).expect("a limit can be set");
    let error = journal.append(intent("xcatmn2", 0)).expect_err("there is no room");
    assert_eq!(error.exit, Exit::Stopped);
    assert!(error.message.ends_with("File too large (os error 27); nothing more is changed"), "{error}");
    assert_eq!(size(), before, "half a record is taken back");
    setrlimit(Resource::Fsize, Rlimit { current: None, maximum: None }).expect("a limit can be lifted");
    let again = journal.append(Event::Noted { text: "x".into() }).expect_err("it takes nothing more");
    assert_eq!(again.to_string(), error.to_string());
    assert_eq!(size(), before);
    drop(journal);
    let (mut journal, _, records) = Journal::open(&state, RUN, WHO).expect("can be opened");
    assert_eq!((records.len(), journal.note()), (1, None));
    assert_eq!(journal.append(intent("xcatmn2", 0)).expect("written").seq, 2);
}

#[test]
fn a_journal_that_could_not_be_written_takes_nothing_more() {
    let dir = Dir::new();
    let (status, said) = part("part_a_run_on_a_disk_that_fills_up", &dir.0, &[]);
    assert!(status.success(), "{said}");
    assert!(dir.state().join("runs").join(RUN).exists(), "the part was not played: {said}");
}

#[test]
fn a_follower_sees_every_record_once_and_ends_with_the_run() {
    let dir = Dir::new();
    let mut journal = Journal::create(&dir.state(), &plan(), RUN, WHO).expect("created");
    journal.append(started()).expect("written");
    let mut follow = Journal::follow(&dir.state(), RUN).expect("there is a run");
    let limit = Instant::now() + Duration::from_secs(20);
    std::thread::scope(|threads| {
        let writer = threads.spawn(move || {
            for step in 0..200 {
                journal.append(intent("xcatmn2", step)).expect("written");
            }
            // The end of a sitting that another follows is no end.
            journal.append(finished(Verdict::Stopped, 6)).expect("written");
            journal.append(Event::Noted { text: "on".into() }).expect("written");
            journal.append(finished(Verdict::Completed, 0)).expect("written");
        });
        writer.join().expect("the writer has not failed");
        let mut seen = Vec::new();
        while let Some(record) = follow.next(|| Instant::now() > limit) {
            seen.push(record.expect("readable").seq);
        }
        assert_eq!(seen, (1..=204).collect::<Vec<u64>>());
        assert!(!follow.abandoned());
    });
}

#[test]
fn a_follower_waits_for_the_next_record_until_it_is_told_to_stop() {
    let dir = Dir::new();
    let mut journal = Journal::create(&dir.state(), &plan(), RUN, WHO).expect("created");
    let mut follow = Journal::follow(&dir.state(), RUN).expect("there is a run");
    let mut asked = 0;
    // The record is written while the follower waits: its own question whether to stop is the clock.
    let first = follow.next(|| {
        asked += 1;
        if asked == 2 {
            journal.append(started()).expect("written");
        }
        false
    });
    assert_eq!(first.expect("a record").expect("readable").seq, 1);
    let mut asked = 0;
    let next = follow.next(|| {
        asked += 1;
        asked > 2
    });
    assert!(next.is_none() && !follow.abandoned());
}

#[test]
fn a_follower_of_a_killed_run_is_told_so() {
    let dir = Dir::new();
    let text = lines(&super::recorded(vec![started(), intent("xcatmn2", 0)]));
    lay(&dir.state(), RUN, &plan(), &text[..text.len() - 9]);
    let mut follow = Journal::follow(&dir.state(), RUN).expect("there is a run");
    assert_eq!(follow.next(|| false).expect("a record").expect("readable").seq, 1);
    assert!(follow.next(|| false).is_none());
    assert!(follow.abandoned());
}
