//! Roll-back: in reverse, only what is ours, stuck when it does not work.

use crate::stories;
use crate::teller::*;
use crate::world::*;
use hawiz::plan::{Gate, Undo};
use hawiz::prompt::{Answer as Said, Choice};
use hawiz::reach::Truth;

fn three() -> hawiz::plan::Plan {
    plain(vec![change("x", "a"), change("y", "a"), change("z", "a")])
}

stories! {
    a_person_undoes_the_run_from_the_menu_in_reverse: three(), |s| {
        let mut s = s.acts("make z", &[Act::Fail(1)]);
        s.person(&[Said::Yes, Said::Choice(Choice::Undo, None), Said::Yes]);
        assert_eq!(s.world().trace[2..], ["drop z", "drop y", "drop x"]);
        s
    };
    an_undo_that_is_declined_leaves_the_way_forward: three(), |s| {
        let mut s = s.acts("make z", &[Act::Fail(1)]);
        s.person(&[Said::Yes, Said::Choice(Choice::Undo, None), Said::No]);
        s.runbook();
        s
    };
    what_was_already_so_is_never_undone: three(), |s| {
        let mut s = s.fact("y").acts("make z", &[Act::Fail(1)]);
        s.runbook();
        s.roll_back(&[Said::Yes]);
        assert!(s.world().facts.contains("y"));
        s
    };
    a_half_done_change_gets_its_undo: plain(vec![change("x", "a").verify("is served")]), |s| {
        s.runbook();
        s.roll_back_runbook();
        s
    };
    an_undo_that_fails_is_stuck_with_what_is_left: three(), |s| {
        let mut s = s.acts("make z", &[Act::Fail(1)]).acts("drop y", &[Act::Fail(4)]);
        s.runbook();
        s.roll_back_runbook();
        s
    };
    an_undo_whose_lock_was_taken_over_is_not_stuck_and_ends_with_five: three(), |s| {
        let taken = Act::Refused("the lock was taken over; unlocked by eve: gone");
        let mut s = s.acts("make z", &[Act::Fail(1)]).acts("drop y", &[taken]);
        s.runbook();
        s.roll_back_runbook();
        s
    };
    an_undo_that_changes_nothing_is_stuck: three(), |s| {
        let mut s = s.acts("make z", &[Act::Fail(1)]).acts("drop y", &[Act::Fail(0)]);
        s.runbook();
        s.roll_back_runbook();
        s
    };
    a_stuck_roll_back_is_gone_on_with: three(), |s| {
        let mut s = s.acts("make z", &[Act::Fail(1)]).acts("drop y", &[Act::Fail(4)]);
        s.runbook();
        s.roll_back_runbook();
        s.roll_back_runbook();
        s
    };
    a_point_of_no_return_ends_the_roll_back: plain(vec![
        change("x", "a").undo(Undo::NoReturn("the old data is gone".into())), change("y", "a"), change("z", "a"),
    ]), |s| {
        let mut s = s.acts("make z", &[Act::Fail(1)]);
        s.runbook();
        s.roll_back_runbook();
        s
    };
    what_needs_no_undo_is_passed_over: plain(vec![change("x", "a"), change("y", "a").undo(Undo::None("harmless".into())), change("z", "a")]), |s| {
        let mut s = s.acts("make z", &[Act::Fail(1)]);
        s.runbook();
        s.roll_back_runbook();
        s
    };
    an_undo_by_hand_without_a_person_is_stuck: plain(vec![manual("cable", "a", true), change("y", "a")]), |s| {
        let mut s = s.on("by hand ->", Trigger::Fact("cable")).acts("make y", &[Act::Fail(1)]);
        s.person(&[Said::Yes, Said::Yes, Said::Choice(Choice::Quit, None)]);
        s.roll_back_runbook();
        s
    };
    an_undo_by_hand_is_confirmed_and_looked_at: plain(vec![manual("cable", "a", true), change("y", "a")]), |s| {
        let mut s = s.on("do cable by hand ->", Trigger::Fact("cable")).acts("make y", &[Act::Fail(1)]);
        s.person(&[Said::Yes, Said::Yes, Said::Choice(Choice::Quit, None)]);
        s.roll_back(&[Said::Yes, Said::Yes]);
        s.world().facts.remove("cable");
        s.roll_back(&[Said::Yes, Said::Yes]);
        s
    };
    an_undo_uses_what_was_there_before_the_first_attempt: plain(vec![
        change("x", "a").tries(2).undo(Undo::Run(command("make back-to $before<before"))).edit(|c| c.done = Some(look("is set"))),
    ]), |s| {
        let mut s = s.looks("is set", &[(1, "old"), (1, "old"), (1, "half"), (1, "half")]).acts("make x", &[Act::Fail(1), Act::Fail(1)]);
        s.runbook();
        s.roll_back_runbook();
        s
    };
    undoing_a_taken_address_takes_the_proof_first: exclusive(plain(vec![change("vip", "a").kind("ip-del"), change("z", "a")])), |s| {
        let mut s = s.acts("make z", &[Act::Fail(1)]);
        s.runbook();
        s.roll_back_runbook();
        s
    };
    undoing_a_taken_address_is_refused_while_a_peer_is_active: exclusive(plain(vec![change("vip", "a").kind("ip-del"), change("z", "a")])), |s| {
        let mut s = s.acts("make z", &[Act::Fail(1)]);
        s.runbook();
        s.world().facts.remove("quiet");
        s.roll_back_runbook();
        s.world().facts.insert("quiet".into());
        s.runbook();
        s
    };
    undoing_a_deactivation_is_an_activation: deactivate(plain(vec![change("x", "a"), change("z", "a")])), |s| {
        let mut s = s.acts("make z", &[Act::Fail(1)]);
        s.runbook();
        s.roll_back_runbook();
        s
    };
    cut_in_the_roll_back_a_resume_goes_on_rolling_back: three(), |s| {
        let mut s = s.acts("make z", &[Act::Fail(1)]).on("[undone] y", Trigger::PowerCut);
        s.runbook();
        s.roll_back_runbook();
        s.runbook();
        assert!(s.world().facts.iter().all(|f| f == "quiet"));
        s
    };
    cut_in_an_undo_its_end_is_learnt: three(), |s| {
        let mut s = s.acts("make z", &[Act::Fail(1)]).acts("drop y", &[Act::Slow(4)]).on("a$ drop y", Trigger::PowerCut);
        s.runbook();
        s.roll_back_runbook();
        s.roll_back_runbook();
        assert_eq!(s.world().trace.iter().filter(|t| *t == "drop y").count(), 1);
        s
    };
    cut_after_the_intent_of_an_undo_it_is_done_anew: three(), |s| {
        let mut s = s.acts("make z", &[Act::Fail(1)]).on("intent to undo y", Trigger::PowerCut);
        s.runbook();
        s.roll_back_runbook();
        s.roll_back_runbook();
        s
    };
    an_undo_whose_end_is_unknown_is_settled_by_the_look: three(), |s| {
        let mut s = s.acts("make z", &[Act::Fail(1)]).acts("drop y", &[Act::Lost(Truth::Unknown("its record is gone".into()), true)]);
        s.runbook();
        s.roll_back_runbook();
        s.roll_back_runbook();
        assert_eq!(s.world().trace.iter().filter(|t| *t == "drop y").count(), 1);
        s
    };
    a_step_that_still_runs_is_ended_before_it_is_undone: three(), |s| {
        let mut s = s.acts("make y", &[Act::Slow(30)]).on("a$ make y", Trigger::PowerCut);
        s.runbook();
        s.roll_back_runbook();
        s
    };
    a_step_that_never_began_is_not_undone: three(), |s| {
        let mut s = s.on("intent y", Trigger::PowerCut);
        s.runbook();
        s.roll_back_runbook();
        s
    };
    a_step_whose_end_is_unknown_is_not_undone_blindly: plain(vec![change("x", "a"), blind("y", "a")]), |s| {
        let mut s = s.acts("make y", &[Act::Lost(Truth::Unknown("its record is gone".into()), true)]);
        s.runbook();
        s.roll_back_runbook();
        s.roll_back(&[Said::Choice(Choice::Happened, None), Said::Yes]);
        s
    };
    a_node_that_was_not_changed_may_be_down: plan(vec![stage("go", Gate::Ask, vec![change("x", "a"), change("y", "b")])]), |s| {
        let mut s = s.acts("make y", &[Act::Refused("no space left on its disk")]);
        s.runbook();
        s.world().down.insert("b".into());
        s.roll_back_runbook();
        s
    };
    an_interrupt_in_a_roll_back_stops_after_the_undo: three(), |s| {
        let mut s = s.acts("make z", &[Act::Fail(1)]).on("a$ drop z", Trigger::Signal(hawiz::signal::Stop::AfterStep));
        s.runbook();
        s.roll_back_runbook();
        s.runbook();
        s
    };
    a_roll_back_that_makes_a_node_active_asks_the_gate_of_an_activation: deactivate(plain(vec![change("x", "a"), change("z", "a")])), |s| {
        s.plan.reactivation = Some(Gate::Type("two masters".into()));
        let mut s = s.acts("make z", &[Act::Fail(1)]);
        s.runbook();
        // Plain yes is none, neither of a runbook nor typed.
        s.roll_back_runbook();
        s.roll_back(&[Said::Text("yes".into())]);
        assert!(s.world().facts.contains("x"));
        s.roll_back(&[Said::Text("two masters".into())]);
        s
    };
    where_no_gate_of_an_activation_is_known_the_nodes_name_is_typed: deactivate(plain(vec![change("x", "a"), change("z", "a")])), |s| {
        s.plan.reactivation = None;
        let mut s = s.acts("make z", &[Act::Fail(1)]);
        s.runbook();
        s.roll_back_runbook();
        s.roll_back(&[Said::Text("a".into())]);
        s
    };
    the_name_that_is_typed_is_the_one_of_the_node_that_becomes_active: exclusive(plan(vec![
        stage("go", Gate::Ask, vec![change("vip", "b").kind("ip-del"), change("z", "a")]),
    ])), |s| {
        s.plan.reactivation = Some(Gate::Type("a".into()));
        s.plan.undone = Some(hawiz::plan::Proof { node: "a".into(), steps: vec![check("silent", "a")] });
        let mut s = s.acts("make z", &[Act::Fail(1)]);
        s.runbook();
        s.roll_back(&[Said::Text("b".into())]);
        s.world().facts.insert("silent".into());
        s.roll_back(&[Said::Text("b".into())]);
        s
    };
    a_gate_of_a_roll_back_that_took_long_has_its_proof_taken_again: deactivate(plain(vec![change("x", "a"), change("z", "a")])), |s| {
        let mut s = s.acts("make z", &[Act::Fail(1)]);
        s.runbook();
        s.takes.set(31);
        let s_ = s.on("? undo", Trigger::NoFact("quiet"));
        s = s_;
        s.roll_back(&[Said::Yes]);
        assert!(s.world().facts.contains("x"));
        s
    };
    a_roll_back_that_makes_nobody_active_asks_as_before: exclusive(plain(vec![change("x", "a"), change("z", "a")])), |s| {
        s.plan.reactivation = Some(Gate::Type("a".into()));
        let mut s = s.acts("make z", &[Act::Fail(1)]);
        s.runbook();
        s.roll_back_runbook();
        s
    };
}
