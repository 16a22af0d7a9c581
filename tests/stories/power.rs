//! The power is cut before and after every record of a full story; whatever was cut, the next sittings end in the same
//! world, and each change was made once.

use crate::teller::*;
use crate::world::*;
use hawiz::plan::{Gate, Plan};
use hawiz::problem::Exit;

fn full() -> Plan {
    exclusive(plan(vec![
        stage("look", Gate::Open, vec![check("ready", "a"), check("leader", "a").capture("who")]),
        stage("one", Gate::Ask, vec![change("x", "a").tries(2), blind("log", "a"), change("y", "b")]),
        stage("two", Gate::Ask, vec![change("vip", "a").exclusive(), change("z", "a").verify("is z"), check("z", "a")]),
    ]))
}

fn begin() -> Story {
    let story = Story::new(full()).fact("ready").looks("is leader", &[(0, "anna")]);
    story.acts("make x", &[Act::Fail(1)])
}

fn log(story: &Story) -> String {
    story.world().log.join("\n")
}

fn sitting(story: &mut Story) -> Option<Exit> {
    story.runbook().map(|e| e.exit)
}

/// Cuts in each sitting where told, then lets it end.
fn end(story: &mut Story) -> Exit {
    for _ in 0..8 {
        if let Some(exit) = sitting(story) {
            return exit;
        }
    }
    panic!("it never ends");
}

#[test]
fn a_power_cut_at_any_record_changes_everything_once() {
    let mut straight = begin();
    assert_eq!(end(&mut straight), Exit::Ok);
    let ended = |s: &Story| {
        let world = s.world();
        (world.facts.clone(), world.trace.clone())
    };
    let wanted = ended(&straight);
    let records = straight.records.borrow().len();
    assert_eq!(wanted.1, ["make x", "make log", "make y", "make vip", "make z"]);
    assert!(records > 40, "{records}");
    for half in 2..2 * records {
        let mut s = begin();
        s.cut = Some(half);
        assert_eq!(sitting(&mut s), None, "cut {half}");
        // A second cut, a few records into the next sitting.
        s.cut = Some(2 * s.records.borrow().len() + 5);
        let over = end(&mut s);
        // What had its last word was over.
        assert!(matches!(over, Exit::Ok), "cut {half}: {over:?}\n{}", log(&s));
        assert_eq!(ended(&s), wanted, "cut {half}\n{}", log(&s));
        assert!(s.world().locks.is_empty(), "cut {half}: a lock is left\n{}", log(&s));
    }
}

#[test]
fn a_power_cut_at_any_record_of_a_roll_back_undoes_everything_once() {
    let failing = || begin().acts("make z", &[Act::Fail(1)]);
    let mut straight = failing();
    assert_eq!(end(&mut straight), Exit::Stopped);
    let before = straight.records.borrow().len();
    assert_eq!(straight.roll_back_runbook().expect("it ends").exit, Exit::RolledBack);
    let (wanted, records) = (straight.world().trace.clone(), straight.records.borrow().len());
    assert_eq!(wanted[4..], ["drop z", "drop vip", "drop y", "drop log", "drop x"]);
    for half in 2 * before..2 * records {
        let mut s = failing();
        end(&mut s);
        s.cut = Some(half);
        assert!(s.roll_back_runbook().is_none(), "cut {half}");
        // Once it has begun, a resume goes on with it; before, a roll-back is asked for again.
        let undoing = s.history().undoing;
        let over = if undoing { s.runbook() } else { s.roll_back_runbook() };
        let exit = over.expect("it ends").exit;
        let nothing_left = s.history().to_undo().is_empty();
        assert!(nothing_left && matches!(exit, Exit::RolledBack | Exit::Stopped), "cut {half}: {exit:?}\n{}", log(&s));
        assert_eq!(s.world().trace, wanted, "cut {half}\n{}", log(&s));
        assert!(s.world().locks.is_empty(), "cut {half}: a lock is left");
    }
}
