//! The journal as a caller sees it: golden ones, torn ones, held ones, and those of killed processes.

#[path = "journal/killed.rs"]
mod killed;
#[path = "journal/samples.rs"]
mod samples;

use hawiz::event::{Event, Record, Verdict};
use hawiz::journal::{Journal, later_run_touching, latest_open, runs};
use hawiz::plan::Plan;
use hawiz::problem::Exit;
use samples::{RUN, WHO, every_event, finished, intent, newer_events, plan, recorded, since, started};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of a test's own, gone with it.
struct Dir(PathBuf);
impl Dir {
    fn new() -> Dir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("journal-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&dir).expect("the target directory can be written");
        Dir(dir)
    }
    fn state(&self) -> PathBuf {
        self.0.join("state")
    }
}
impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn lines(records: &[Record]) -> String {
    records.iter().map(|r| serde_json::to_string(r).expect("a record is JSON") + "\n").collect()
}
/// Puts a run there as if it had been written some time.
fn lay(state: &Path, run: &str, plan: &Plan, journal: &str) {
    let dir = state.join("runs").join(run);
    std::fs::create_dir_all(&dir).expect("the test's directory can be written");
    std::fs::write(dir.join("plan.json"), serde_json::to_vec(plan).expect("a plan is JSON")).expect("written");
    std::fs::write(dir.join("journal.jsonl"), journal).expect("written");
}
fn journal_of(state: &Path, run: &str) -> String {
    std::fs::read_to_string(state.join("runs").join(run).join("journal.jsonl")).expect("there is a journal")
}
fn events(records: Vec<Record>) -> Vec<Event> {
    records.into_iter().map(|r| r.event).collect()
}

#[test]
fn golden_journals_are_read_for_ever() {
    let torn = lines(&recorded(vec![started(), intent("xcatmn2", 1)]));
    let goldens = [
        ("every-event", lines(&recorded(every_event())), every_event()),
        ("failover", lines(&recorded(since())), since()),
        ("torn", torn[..torn.len() - 20].to_string(), vec![started()]),
        (
            "resumed",
            lines(&recorded(vec![
                started(),
                finished(Verdict::Stopped, 6),
                Event::RunResumed { run: RUN.into(), purpose: "resume".into(), hawiz: "0.1.0".into(), taken: None },
                finished(Verdict::Completed, 0),
            ])),
            vec![
                started(),
                finished(Verdict::Stopped, 6),
                Event::RunResumed { run: RUN.into(), purpose: "resume".into(), hawiz: "0.1.0".into(), taken: None },
                finished(Verdict::Completed, 0),
            ],
        ),
    ];
    let register = ("register", lines(&recorded(newer_events())), newer_events());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-1");
    for (name, journal, wanted) in goldens.into_iter().chain([register]) {
        let golden = root.join(name);
        if !golden.exists() {
            std::fs::create_dir_all(&golden).expect("the tree can be written");
            std::fs::write(golden.join("journal.jsonl"), journal).expect("written");
            std::fs::write(golden.join("plan.json"), serde_json::to_vec(&plan()).expect("JSON")).expect("written");
            panic!("{name} was not there and has been made: look at it, and keep it for ever");
        }
        let dir = Dir::new();
        let run = dir.state().join("runs").join(RUN);
        std::fs::create_dir_all(&run).expect("the test's directory can be written");
        for file in ["plan.json", "journal.jsonl"] {
            std::fs::copy(golden.join(file), run.join(file)).expect("copied");
        }
        let wanted = recorded(wanted);
        assert_eq!(Journal::read(&dir.state(), RUN).expect("readable"), (plan(), wanted.clone()), "{name}");
        let (_journal, opened, records) = Journal::open(&dir.state(), RUN, WHO).expect("can be opened");
        assert_eq!((opened, records), (plan(), wanted), "{name}");
    }
}

#[test]
fn every_event_comes_back_as_it_was_written() {
    let mut seen = [false; samples::NUMBERS];
    let all = || [every_event(), since(), newer_events()].concat();
    all().iter().for_each(|e| seen[samples::number(e)] = true);
    assert!(seen.iter().all(|s| *s), "an event is missing in the samples: {seen:?}");

    let dir = Dir::new();
    let mut journal = Journal::create(&dir.state(), &plan(), RUN, WHO).expect("created");
    let written: Vec<Record> = all().into_iter().map(|e| journal.append(e).expect("written")).collect();
    drop(journal);
    let (read, records) = Journal::read(&dir.state(), RUN).expect("readable");
    assert_eq!((read, &records), (plan(), &written));
    assert_eq!(events(records), all());
    for (i, record) in written.iter().enumerate() {
        assert_eq!((record.seq, record.who.as_str()), (i as u64 + 1, WHO));
        let time = chrono::DateTime::parse_from_rfc3339(&record.utc).expect("RFC 3339");
        assert!(record.utc.ends_with('Z') && record.utc.len() == 24, "{}", record.utc);
        assert!((chrono::Utc::now() - time.to_utc()).num_seconds() < 60);
    }
}

#[test]
fn whatever_is_left_of_the_last_line_the_rest_is_kept_and_the_run_goes_on() {
    let whole = recorded(vec![started(), intent("xcatmn2", 1), finished(Verdict::Completed, 0)]);
    let text = lines(&whole);
    let last = lines(&whole[..2]).len();
    let dir = Dir::new();
    for end in last..text.len() {
        lay(&dir.state(), RUN, &plan(), &text[..end]);
        let (_, looked_at) = Journal::read(&dir.state(), RUN).expect("readable");
        assert_eq!(looked_at, whole[..2], "{end} bytes left");
        assert_eq!(journal_of(&dir.state(), RUN).len(), end, "reading changes nothing");

        let (mut journal, _, records) = Journal::open(&dir.state(), RUN, WHO).expect("can be opened");
        assert_eq!(records, whole[..2], "{end} bytes left");
        assert_eq!(journal.note().is_some(), end > last, "{end} bytes left");
        assert_eq!(journal_of(&dir.state(), RUN), text[..last]);
        let next = journal.append(Event::Noted { text: "on".into() }).expect("written");
        assert_eq!(next.seq, 3);
        assert_eq!(journal_of(&dir.state(), RUN), text[..last].to_string() + &lines(&[next]));
    }
}

#[test]
fn a_last_line_of_zeros_is_a_torn_one_but_not_in_the_middle() {
    let text = lines(&recorded(vec![started(), intent("xcatmn2", 1)]));
    let dir = Dir::new();
    lay(&dir.state(), RUN, &plan(), &format!("{text}\0\0\0\0}}\n"));
    let (journal, _, records) = Journal::open(&dir.state(), RUN, WHO).expect("can be opened");
    assert_eq!(records.len(), 2);
    assert_eq!(
        journal.note(),
        Some(
            "the journal ended in 6 bytes of an unfinished record, as a crash leaves them; they were cut off, record 2 is \
             the last"
        )
    );
    drop(journal);
    assert_eq!(journal_of(&dir.state(), RUN), text);

    lay(&dir.state(), RUN, &plan(), &text.replacen("{\"seq\":1", "\0", 1));
    let error = Journal::open(&dir.state(), RUN, WHO).map(|_| ()).expect_err("damaged");
    assert_eq!(error.exit, Exit::Unknown);
    assert!(
        error.message.starts_with(&format!("the record of run `{RUN}` is damaged: journal.jsonl, line 1")),
        "{error}"
    );
}

#[test]
fn a_missing_record_and_a_plan_of_another_run_are_refused() {
    let records = recorded(vec![started(), intent("xcatmn2", 1), finished(Verdict::Completed, 0)]);
    let dir = Dir::new();
    lay(&dir.state(), RUN, &plan(), &lines(&[records[0].clone(), records[2].clone()]));
    let error = Journal::read(&dir.state(), RUN).expect_err("a gap");
    assert!(error.message.ends_with("journal.jsonl: record 2 is missing, 3 stands there"), "{error}");

    lay(&dir.state(), RUN, &Plan { digest: "ffff".into(), ..plan() }, &lines(&records));
    let error = Journal::open(&dir.state(), RUN, WHO).map(|_| ()).expect_err("another plan");
    assert!(error.message.ends_with("plan.json has the digest ffff, but e3b0 was started"), "{error}");
}

#[test]
fn a_newer_format_is_refused_with_the_version_to_use() {
    let dir = Dir::new();
    let wanted = |what: &str, own: &str| {
        format!(
            "run `{RUN}` was written by hawiz 9.1.0 in {what} format 2; this is hawiz {own}, which reads formats up to 1\n  \
             hint: use hawiz 9.1.0 or newer for this run"
        )
    };
    let refused = || {
        let read = Journal::read(&dir.state(), RUN).expect_err("newer");
        let open = Journal::open(&dir.state(), RUN, WHO).map(|_| ()).expect_err("newer");
        assert_eq!((read.exit, open.exit), (Exit::Usage, Exit::Usage));
        assert_eq!(read.to_string(), open.to_string());
        read.to_string()
    };
    let own = env!("CARGO_PKG_VERSION");
    // As we know it but for the number; and of a shape we know nothing of.
    let text = lines(&recorded(vec![started()]))
        .replace("\"format\":1,\"hawiz\":\"0.1.0\"", "\"format\":2,\"hawiz\":\"9.1.0\"");
    lay(&dir.state(), RUN, &plan(), &text);
    assert_eq!(refused(), wanted("journal", own));
    let strange = "{\"n\":1,\"event\":{\"type\":\"run-started\",\"format\":2,\"hawiz\":\"9.1.0\"}}\n{\"n\":2}\n";
    lay(&dir.state(), RUN, &plan(), strange);
    assert_eq!(refused(), wanted("journal", own));
    let path = dir.state().join("runs").join(RUN).join("plan.json");
    std::fs::write(path, "{\"format\":2,\"hawiz\":\"9.1.0\",\"stages\":7}").expect("written");
    assert_eq!(refused(), wanted("plan", own));
    // It is listed all the same.
    assert_eq!(runs(&dir.state())[0].word(), "unreadable");
}

#[test]
fn an_unknown_event_of_this_format_is_kept_and_passed_over() {
    let mut records = recorded(vec![started(), Event::Other, finished(Verdict::Completed, 0)]);
    let strange = "\"type\":\"node-sang\",\"song\":[1,2]";
    let text = lines(&records).replace("\"type\":\"other\"", strange);
    let dir = Dir::new();
    lay(&dir.state(), RUN, &plan(), &text);
    let (mut journal, _, read) = Journal::open(&dir.state(), RUN, WHO).expect("can be opened");
    assert_eq!(read, records);
    records.push(journal.append(Event::Noted { text: "on".into() }).expect("written"));
    assert!(journal_of(&dir.state(), RUN).contains(strange));
    assert_eq!(Journal::read(&dir.state(), RUN).expect("readable").1, records);
}

#[test]
fn a_second_opener_is_refused_and_told_who_holds_the_run() {
    let dir = Dir::new();
    assert_eq!(Journal::holder(&dir.state(), RUN), None);
    let journal = Journal::create(&dir.state(), &plan(), RUN, "alice, uid 1000").expect("created");
    let error = Journal::open(&dir.state(), RUN, "bob, uid 1001").map(|_| ()).expect_err("held");
    assert_eq!(error.exit, Exit::Locked);
    assert_eq!(
        error.to_string(),
        format!("another hawiz works on run `{RUN}`: alice, uid 1000\n  hint: to watch it: hawiz show {RUN} --follow")
    );
    assert_eq!(Journal::holder(&dir.state(), RUN).as_deref(), Some("alice, uid 1000"));
    drop(journal);
    assert_eq!(Journal::holder(&dir.state(), RUN), None);
    let (journal, ..) = Journal::open(&dir.state(), RUN, "bob").expect("free again");
    assert_eq!(Journal::holder(&dir.state(), RUN).as_deref(), Some("bob"));
    assert!(Journal::read(&dir.state(), RUN).is_ok(), "reading needs no lock");
    drop(journal);
}

#[test]
fn nobody_else_may_read_or_write_and_no_mode_is_widened() {
    let dir = Dir::new();
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o7777;
    std::fs::create_dir(dir.state()).expect("created");
    std::fs::set_permissions(dir.state(), PermissionsExt::from_mode(0o500 | 0o200)).expect("set");
    let journal = Journal::create(&dir.state(), &plan(), RUN, WHO).expect("created");
    assert_eq!(mode(&dir.state()), 0o700);
    assert_eq!((mode(&dir.state().join("runs")), mode(journal.dir())), (0o700, 0o700));
    for file in ["plan.json", "journal.jsonl", "lock"] {
        assert_eq!(mode(&journal.dir().join(file)), 0o600, "{file}");
    }
    let files = std::fs::read_dir(journal.dir()).expect("readable").count();
    assert_eq!(files, 3, "nothing temporary is left");
    let path = journal.dir().join("journal.jsonl");
    drop(journal);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("set");
    drop(Journal::open(&dir.state(), RUN, WHO).expect("can be opened"));
    assert_eq!(mode(&path), 0o640);
}

#[test]
fn root_refuses_a_state_directory_that_others_can_write() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = Dir::new();
    std::fs::create_dir(dir.state()).expect("created");
    std::fs::set_permissions(dir.state(), PermissionsExt::from_mode(0o777)).expect("set");
    let error = hawiz::journal::state_dir(Some(&dir.state())).expect_err("not safe");
    assert_eq!(error.exit, Exit::Usage);
    assert!(error.message.contains("is not safe: everybody can write"), "{error}");
    assert!(Journal::create(&dir.state(), &plan(), RUN, WHO).is_err());
    assert!(!dir.state().join("runs").exists(), "a refusal makes nothing");
}

#[test]
fn looking_makes_nothing() {
    let dir = Dir::new();
    assert_eq!(hawiz::journal::state_dir(Some(&dir.state())).expect("fine"), dir.state());
    assert_eq!((runs(&dir.state()), latest_open(&dir.state())), (Vec::new(), None));
    let error = Journal::read(&dir.state(), RUN).expect_err("no such run");
    assert_eq!((error.exit, error.hint.as_deref()), (Exit::Usage, Some("`hawiz runs` lists them")));
    assert!(Journal::open(&dir.state(), RUN, WHO).is_err());
    assert!(!dir.state().exists());
}

#[test]
fn a_run_id_is_used_once() {
    let dir = Dir::new();
    drop(Journal::create(&dir.state(), &plan(), RUN, WHO).expect("created"));
    assert!(Journal::create(&dir.state(), &plan(), RUN, WHO).is_err());
}

#[test]
fn room_that_is_not_there_is_met_before_the_first_change() {
    let dir = Dir::new();
    let mut journal = Journal::create(&dir.state(), &plan(), RUN, WHO).expect("created");
    journal.reserve(0).expect("nothing wanted");
    journal.reserve(1 << 20).expect("a mebibyte is there, or can't be reserved");
    assert_eq!(journal_of(&dir.state(), RUN), "", "room is not content");
    let error = journal.reserve(1 << 62).expect_err("nobody has that");
    assert_eq!(error.exit, Exit::NotReady);
    assert!(error.message.starts_with("no room for the journal: 4398046511104 MiB wanted in `"), "{error}");
    journal.append(started()).expect("it can be written all the same");
    assert_eq!(Journal::read(&dir.state(), RUN).expect("readable").1.len(), 1);
}

#[test]
fn runs_are_listed_newest_first_with_how_they_ended() {
    let dir = Dir::new();
    let state = dir.state();
    let at = |hour: u32, events: Vec<Event>| -> String {
        lines(&recorded(events)).replace("2026-11-22T13", &format!("2026-11-22T{hour:02}"))
    };
    let resumed = Event::RunResumed { run: RUN.into(), purpose: "resume".into(), hawiz: "0.1.0".into(), taken: None };
    let plan = plan();
    lay(&state, "e-running", &plan, &at(10, vec![started(), intent("b", 1), intent("a", 1), intent("b", 2)]));
    lay(&state, "d-done", &plan, &at(11, vec![started(), finished(Verdict::Completed, 0)]));
    lay(&state, "c-stopped", &plan, &at(9, vec![started(), intent("a", 1), finished(Verdict::Stopped, 6)]));
    lay(&state, "b-resumed", &plan, &at(8, vec![started(), finished(Verdict::Stopped, 6), resumed]));
    lay(&state, "20261122-070000-empty", &plan, "");
    lay(&state, "20261122-060000-damaged", &plan, "x\ny\n");
    std::fs::create_dir(state.join("runs/a-never-began")).expect("created");

    let all = runs(&state);
    let seen: Vec<_> = all.iter().map(|r| (r.id.as_str(), r.word(), r.open, r.nodes.join(" "))).collect();
    let wanted = [
        ("d-done", "completed", false, ""),
        ("e-running", "open", true, "b a"),
        ("c-stopped", "stopped", true, "a"),
        ("b-resumed", "open", true, ""),
        ("20261122-070000-empty", "open", true, ""),
        ("20261122-060000-damaged", "unreadable", false, ""),
    ];
    assert_eq!(seen, wanted.map(|(id, word, open, nodes)| (id, word.to_string(), open, nodes.to_string())));
    assert_eq!((all[0].procedure.as_str(), all[0].target.as_deref()), ("activate", Some("xcatmn2")));
    assert_eq!(all[0].started, "2026-11-22T11:17:00.042Z");
    assert_eq!(latest_open(&state).as_deref(), Some("e-running"));
}

#[test]
fn a_later_run_that_touched_a_node_is_found() {
    let dir = Dir::new();
    let state = dir.state();
    let at = |hour: u32, events: Vec<Event>| -> String {
        lines(&recorded(events)).replace("2026-11-22T13", &format!("2026-11-22T{hour:02}"))
    };
    lay(&state, "first", &plan(), &at(8, vec![started(), intent("a", 1)]));
    lay(&state, "second", &plan(), &at(9, vec![started(), intent("b", 1), intent("c", 1)]));
    lay(&state, "looked-only", &plan(), &at(10, vec![started(), finished(Verdict::Declined, 3)]));
    let undo = Event::UndoIntent { step: "s".into(), title: "t".into(), node: "b".into(), attempt: 1, claim: None };
    lay(&state, "third", &plan(), &at(11, vec![started(), undo]));
    let later = |run: &str, nodes: &[&str]| {
        later_run_touching(&state, run, &nodes.iter().map(|n| n.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(later("first", &["a"]), None);
    assert_eq!(later("first", &["a", "b"]).as_deref(), Some("third"));
    assert_eq!(later("first", &["c"]).as_deref(), Some("second"));
    assert_eq!(later("second", &["b"]).as_deref(), Some("third"));
    assert_eq!(later("second", &["c"]), None);
    assert_eq!(later("third", &["a", "b", "c"]), None);
    assert_eq!(later("no-such-run", &["a"]), None);
    // Killed before its first record: its id alone would have it begin before one that ended in the same second.
    lay(&state, "20261122-080000-without-a-record-1eaf", &plan(), "");
    assert_eq!(later("20261122-080000-without-a-record-1eaf", &["a", "b", "c"]), None);
}
