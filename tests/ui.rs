//! What the operator sees, character for character: every view of one run, the plan in every format, every question.
//!
//! `HAWIZ_GOLDEN=write cargo test --test ui` writes the files in `tests/ui/` anew; read the difference.

#[path = "ui/fixture.rs"]
mod fixture;

use fixture::*;
use hawiz::event::Record;
use hawiz::ui::gate::{Drawer, Failed};
use hawiz::ui::script::{Format, render, tally};
use hawiz::ui::{Looks, Sink, Style, View, json::Json, plain::Plain, report, term::Term};
use std::io::Write;
use std::sync::{Arc, Mutex};

/// Where a view writes in a test.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);
impl Write for Page {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no test panics while writing").extend_from_slice(buf);
        Ok(buf.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no test panics while writing").clone()).expect("views print UTF-8")
    }
}

#[track_caller]
fn golden(name: &str, got: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui").join(name);
    if std::env::var_os("HAWIZ_GOLDEN").is_some_and(|v| v == "write") {
        std::fs::write(&path, got).expect("tests/ui can be written");
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    if want != got {
        let at = want.lines().zip(got.lines()).take_while(|(a, b)| a == b).count();
        panic!(
            "{name} differs at line {}:\n  want {:?}\n  got  {:?}\n\nwhole:\n{got}",
            at + 1,
            want.lines().nth(at),
            got.lines().nth(at)
        );
    }
}

fn seen() -> Looks {
    let mut looks = Looks::default();
    looks_at(&mut looks, &fixture::looks());
    looks
}
fn looks_at(looks: &mut Looks, records: &[Record]) {
    records.iter().for_each(|r| looks.record(r));
    looks.now = hawiz::ui::moment("2018-06-24T22:13:52.559Z");
}

fn watch(view: &mut dyn View) {
    everything().iter().for_each(|r| view.event(r));
    view.finish();
}

fn text(looks: Option<&Looks>, style: Style) -> String {
    String::from_utf8(render(&plan(), looks, Format::Text, &style)).expect("text is UTF-8")
}

#[test]
fn a_terminal_that_cannot_move_shows_every_event_in_plain_lines() {
    for (name, style) in [
        ("term-80.txt", Style::still(80, false)),
        ("term-40.txt", Style::still(40, false)),
        ("term-80-ascii.txt", Style::still(80, true)),
        ("term-80-verbose.txt", Style { verbose: 1, ..Style::still(80, false) }),
        ("term-80-quiet.txt", Style { verbose: -1, ..Style::still(80, false) }),
    ] {
        let page = Page::default();
        watch(&mut Term::new(Sink::new(page.clone()), style));
        golden(name, &page.text());
        assert!(!page.text().contains('\u{1b}'), "{name}: a log has no control sequences");
    }
}

#[test]
fn no_line_that_can_be_broken_is_wider_than_the_screen() {
    for width in [80, 40] {
        let page = Page::default();
        watch(&mut Term::new(Sink::new(page.clone()), Style::still(width, true)));
        let wide: Vec<String> = page.text().lines().filter(|l| l.chars().count() > width).map(String::from).collect();
        let typed = wide.iter().filter(|l| !l.contains("hawiz settle") && !l.contains("ip addr del")).count();
        assert_eq!(typed, 0, "{wide:#?}");
    }
}

#[test]
fn the_log_says_every_event_in_one_line() {
    let page = Page::default();
    watch(&mut Plain::new(Sink::new(page.clone()), |t| t.naive_utc(), 0));
    golden("plain.txt", &page.text());
    assert_eq!(page.text().lines().count(), everything().len());
    let shape = |l: &str| {
        let mut parts = l.splitn(3, " - ");
        let time = parts.next().unwrap_or_default();
        time.len() == 23 && ["DEBUG", "INFO", "WARNING", "ERROR"].contains(&parts.next().unwrap_or_default())
    };
    assert!(page.text().lines().all(shape));
}

#[test]
fn every_record_is_one_json_line_that_can_be_read_back() {
    let page = Page::default();
    watch(&mut Json::new(Sink::new(page.clone())));
    golden("json.txt", &page.text());
    let back: Vec<Record> = page.text().lines().map(|l| serde_json::from_str(l).expect("a record")).collect();
    assert_eq!(back, everything());
    assert!(page.text().starts_with("{\"format\":1,\"seq\":1,"));
}

#[test]
fn every_kind_of_event_is_in_the_transcript() {
    let kinds: std::collections::BTreeSet<String> = everything()
        .iter()
        .map(|r| serde_json::to_value(&r.event).expect("events serialise")["type"].as_str().unwrap_or("?").to_string())
        .collect();
    assert_eq!(kinds.len(), 28, "{kinds:?}");
}

#[test]
fn a_dry_run_prints_every_look_command_and_undo() {
    let looks = seen();
    golden("dry-80.txt", &text(Some(&looks), Style::still(80, false)));
    golden("dry-40.txt", &text(Some(&looks), Style::still(40, false)));
    golden("dry-80-ascii.txt", &text(Some(&looks), Style::still(80, true)));
    golden("dry-80-verbose.txt", &text(Some(&looks), Style { verbose: 1, ..Style::still(80, false) }));
    golden("plan-80.txt", &text(None, Style::still(80, false)));
    let t = tally(&plan(), Some(&looks));
    assert_eq!((t.changes, t.passed, t.refused, t.unproven, t.ready()), (5, 5, 0, 1, false), "{t:?}");
}

#[test]
fn the_plan_can_be_ticked_off_on_paper() {
    golden("plan.md", &String::from_utf8(render(&plan(), None, Format::Md, &Style::still(80, false))).expect("UTF-8"));
}

#[test]
fn the_plan_as_json_is_the_plan() {
    let looks = seen();
    let bytes = render(&plan(), Some(&looks), Format::Json, &Style::still(80, false));
    let value: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    let back: hawiz::plan::Plan = serde_json::from_value(value["plan"].clone()).expect("a plan");
    assert_eq!(back, plan());
    assert_eq!(value["format"], 1);
    assert_eq!(value["looks"].as_array().map(Vec::len), Some(9));
    assert_eq!(value["unreachable"]["xcatmn1"], "no answer on 10.5.106.70:22 in 10s");
}

#[test]
fn a_gate_says_what_was_seen_and_what_will_be_done_in_sixteen_lines() {
    let looks = seen();
    let plan = plan();
    let mut out = String::new();
    for width in [80, 40] {
        let drawer = Drawer { width, ascii: false };
        for stage in &plan.stages {
            let drawn = drawer.gate(&plan, stage, &looks);
            out.push_str(&format!("##### {} at {width}\n{}\n", stage.id, drawn.short.join("\n")));
            if width == 80 {
                assert!(drawn.short.len() <= 16, "{:#?}", drawn.short);
                out.push_str(&format!("##### v\n{}\n", drawn.view.join("\n")));
            }
        }
    }
    golden("gate.txt", &out);
}

#[test]
fn what_an_earlier_sitting_did_is_no_change_at_the_gate_of_a_resumed_run() {
    use hawiz::event::{Event, Outcome, Purpose};
    use hawiz::plan::Answer;
    let mut looks = seen();
    let (step, title) = ("activate/address/add@xcatmn2", "Add 10.5.106.7/8 to eth0");
    let plan = plan();
    let stage = plan.stages.iter().find(|s| s.id == "activate/address").expect("the stage is there");
    let drawn = |looks: &Looks| Drawer { width: 80, ascii: false }.gate(&plan, stage, looks).short.join("\n");
    assert!(drawn(&looks).contains("ip addr add"), "{}", drawn(&looks));
    let done = Event::StepFinished {
        step: step.into(),
        title: title.into(),
        node: "xcatmn2".into(),
        outcome: Outcome::Done,
        attempts: 1,
        code: Some(0),
        tail: String::new(),
        took_ms: 1,
        show: false,
    };
    records(vec![done]).iter().for_each(|r| looks.record(r));
    assert!(!drawn(&looks).contains("ip addr add"), "{}", drawn(&looks));
    // It is no longer so: its turn comes again.
    let gone = Event::Looked(looked(step, title, Purpose::After, Answer::No, ""));
    records(vec![gone]).iter().for_each(|r| looks.record(r));
    assert!(drawn(&looks).contains("ip addr add"), "{}", drawn(&looks));
}

#[test]
fn a_gate_of_very_many_changes_still_shows_the_point_of_no_return() {
    let mut steps: Vec<_> = (0..100)
        .map(|i| {
            let title = format!("Start unit{i}");
            step("xcatmn2", "p/s/u", Some(("unit", &format!("u{i}"))), &title, change("is", "start", undo("stop")))
        })
        .collect();
    steps.push(step(
        "xcatmn2",
        "p/s/x",
        None,
        "Wipe",
        change("gone", "wipe", hawiz::plan::Undo::NoReturn("the data is gone".into())),
    ));
    let plan = bare(vec![stage("p/s", "Many", None, hawiz::plan::Gate::Type("xcatmn2".into()), steps)]);
    let drawn = Drawer { width: 80, ascii: true }.gate(&plan, &plan.stages[0], &seen());
    assert!((14..=16).contains(&drawn.short.len()), "{:#?}", drawn.short);
    assert!(drawn.short.iter().any(|l| l.contains("POINT OF NO RETURN: Wipe: the data is gone")));
    assert!(drawn.short.iter().any(|l| l.contains("more changes: v shows all")));
    assert!(drawn.short.iter().any(|l| l.contains("101 changes, 100 of them undoable")));
}

#[test]
fn questions_say_what_happened_and_what_stands() {
    let plan = plan();
    let looks = seen();
    let mut out = String::new();
    for width in [80, 40] {
        let d = Drawer { width, ascii: false };
        let start = &plan.stages[2].steps[0];
        let failed = Failed {
            step: start,
            node: "xcatmn2",
            attempt: 3,
            code: Some(1),
            why: "exit 1",
            told: false,
            output: "one\ntwo\nthree\nfour\nfive\nJob for \u{1b}[31mxcatd.service failed because the control process exited with error code",
            changed: &["10.5.106.7 added".to_string(), "postgresql started".to_string()],
        };
        let mut put =
            |name: &str, lines: Vec<String>| out.push_str(&format!("##### {name} at {width}\n{}\n", lines.join("\n")));
        put("failure", d.failure(&failed));
        put("failure, nothing changed", d.failure(&Failed { changed: &[], code: None, output: "", ..failed }));
        let mut all: Vec<String> = plan.steps().filter(|s| s.changes()).map(|s| s.instance.clone()).collect();
        all.reverse();
        put("failure, told", d.failure(&Failed { told: true, ..failed }));
        put("undo", d.undo(&plan, &all, None, None));
        put("undo that makes a node active", d.undo(&plan, &all[..1], Some(&looks), Some("xcatmn2")));
        let mut console = start.clone();
        if let hawiz::plan::What::Change(c) = &mut console.what {
            c.tty = true;
        }
        put("lend", d.lend(&console, "xcatmn2", &looks));
        put("manual, for want of a terminal", d.manual(&console, Some(&looks)));
        put("attest", d.attest(&plan, "xcatmn1", &looks));
        let by_hand = &plan.stages[3].steps[0];
        put("manual", d.manual(by_hand, Some(&looks)));
        put("manual, taken back", d.undo_by_hand(by_hand, Some(&looks)));
        put("a change, taken back by hand", {
            let mut by_hand = start.clone();
            if let hawiz::plan::What::Change(c) = &mut by_hand.what {
                c.undo = hawiz::plan::Undo::Manual(hawiz::shell::Word(vec![hawiz::shell::Part::Text(
                    "Pull the plug of xcatmn2.".into(),
                )]));
            }
            d.undo_by_hand(&by_hand, Some(&looks))
        });
        put("overdue", d.overdue(start, "xcatmn2", secs(300), "still\nrunning\n"));
        put("unknown", d.unknown(start, "xcatmn2", "the node was rebooted in between", Some(&looks)));
    }
    golden("questions.txt", &out);
}

#[test]
fn a_run_can_be_read_again_later() {
    let records = everything();
    golden("show-80.txt", &report::show(&records, &Style::still(80, false)));
    let summary = report::Summary::of(&records);
    let lines = summary.lines(&Style::still(80, false), |t| t.naive_utc());
    assert_eq!(
        lines,
        [
            "✗ 2018-06-24 22:13 20180624-221310-k7q activate xcatmn2: stuck: an undo failed",
            "  (exit 10); root (alice) from 10.5.1.9 on pts/3 (RZ2 loses power at 23:00)"
        ]
    );
    let broken_off = report::show(&records[..20], &Style::still(80, false));
    assert!(broken_off.ends_with("This run has not ended: it still runs, or it was broken off.\n"));
}

#[test]
fn a_closed_pipe_stops_nothing() {
    struct Closed(Arc<Mutex<u32>>);
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            *self.0.lock().expect("no test panics while writing") += 1;
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let tries = Arc::new(Mutex::new(0));
    let sink = || Sink::new(Closed(tries.clone()));
    watch(&mut Term::new(sink(), Style::still(80, true)));
    watch(&mut Plain::new(sink(), |t| t.naive_utc(), 0));
    watch(&mut Json::new(sink()));
    assert_eq!(*tries.lock().expect("no test panics while writing"), 3, "one try each, then silence");
}

#[test]
fn ten_thousand_steps_are_printed_in_linear_time() {
    let steps = |n: usize| {
        let steps = (0..n)
            .map(|i| {
                let title = format!("Start the unit of number {i}");
                step(
                    "xcatmn2",
                    &format!("p/s/u{i}"),
                    None,
                    &title,
                    change("systemctl is-active x", "systemctl start x", undo("systemctl stop x")),
                )
            })
            .collect();
        bare(vec![stage("p/s", "Many", None, hawiz::plan::Gate::Ask, steps)])
    };
    let looks = seen();
    let took = |n: usize, format| {
        let plan = steps(n);
        let begun = std::time::Instant::now();
        let out = render(&plan, Some(&looks), format, &Style::still(80, false));
        assert!(out.len() > n * 50);
        begun.elapsed()
    };
    for format in [Format::Text, Format::Md, Format::Sh, Format::Json] {
        let (few, many) = (took(1_000, format), took(10_000, format));
        // Unoptimised and on a busy machine; quadratic work would take a hundred times as long.
        assert!(many < few * 40 + std::time::Duration::from_millis(200), "{format:?}: {few:?}, then {many:?}");
    }
}

/// What a still terminal of 80 columns shows of these events.
fn term(events: Vec<hawiz::event::Event>) -> String {
    let page = Page::default();
    let mut view = Term::new(Sink::new(page.clone()), Style::still(80, false));
    records(events).iter().for_each(|r| view.event(r));
    view.finish();
    page.text()
}

fn done(step: &str, title: &str, outcome: hawiz::event::Outcome, tail: &str, show: bool) -> hawiz::event::Event {
    let (step, title, node, tail) = (step.into(), title.into(), "a".into(), tail.into());
    hawiz::event::Event::StepFinished { step, title, node, outcome, attempts: 1, code: Some(0), tail, show, took_ms: 1 }
}

#[test]
fn output_that_is_to_be_shown_is_shown_though_all_is_well() {
    use hawiz::event::Outcome::Passed;
    let event = done("p/s/x@a", "The world now", Passed, "one\n\u{1b}[2Jtwo\n", true);
    let shown = term(vec![event.clone()]);
    assert_eq!(shown.lines().skip(1).collect::<Vec<_>>(), ["    | one", "    | ^[[2Jtwo"]);
    let page = Page::default();
    Plain::new(Sink::new(page.clone()), |t| t.naive_utc(), 0).event(&records(vec![event])[0]);
    assert!(page.text().contains("printed: one\\n^[[2Jtwo; 0.001s [Passed]"), "{}", page.text());
}

#[test]
fn a_stage_has_one_heading_and_a_gate_brings_its_own() {
    use hawiz::event::{Event, Outcome};
    let page = Page::default();
    let mut view = Term::new(Sink::new(page.clone()), Style::still(80, false));
    let begun = |id: &str, n| Event::StageStarted { stage: id.into(), title: format!("Stage {n}"), number: n, of: 2 };
    let ask = |id: &str| Event::GateAsked { stage: id.into() };
    records(vec![begun("p/a", 1), ask("p/a")]).iter().for_each(|r| view.event(r));
    view.gate();
    let after = [done("p/a/x@a", "X", Outcome::Done, "", false), begun("p/b", 2), ask("p/b")];
    records(after.to_vec()).iter().for_each(|r| view.event(r));
    let by_flag = Event::GateAnswered { stage: "p/b".into(), answer: "yes".into(), by: "yes-flag".into() };
    records(vec![by_flag]).iter().for_each(|r| view.event(r));
    let lines: Vec<String> = page.text().lines().map(|l| l.split("   ").next().unwrap_or(l).to_string()).collect();
    assert_eq!(lines, ["", "  ✓ X", "", "2 · Stage 2", "  answered: yes (by yes-flag)"]);
}

#[test]
fn a_failure_is_told_once_and_a_check_on_several_nodes_names_them() {
    use hawiz::event::{Event, Outcome};
    let failed = Event::AttemptFailed {
        step: "p/s/x@a".into(),
        node: "a".into(),
        attempt: 1,
        of: 1,
        code: Some(1),
        why: "exit 1".into(),
        tail: "no".into(),
    };
    let shown = term(vec![failed, done("p/s/x@a", "X", Outcome::Failed("exit 1".into()), "no", false)]);
    assert_eq!(shown.lines().filter(|l| l.contains("| no")).count(), 1, "{shown}");
    assert!(shown.lines().last().is_some_and(|l| l.starts_with("  ✗ X") && l.ends_with("exit 1 · a")), "{shown}");

    let look = |node: &str, answer| {
        let mut l = looked("p/s/y@a", "Y", hawiz::event::Purpose::Check, answer, "");
        l.node = node.into();
        Event::Looked(l)
    };
    use hawiz::plan::Answer::{No, Yes};
    let begins = Event::StepStarted { step: "p/s/y@a".into(), title: "Y".into(), node: "a".into(), number: 1, of: 1 };
    let passed = done("p/s/y@a", "Y", Outcome::Passed, "", false);
    let both = term(vec![begins.clone(), look("a", Yes), look("b", Yes), passed.clone()]);
    assert!(both.trim_end().ends_with("  a, b"), "{both}");
    let one = term(vec![begins, look("a", Yes), look("b", No), passed]);
    assert!(one.trim_end().ends_with("  a ✓, b ✗"), "{one}");
}
