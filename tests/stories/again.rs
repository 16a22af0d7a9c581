//! Resume: the journal's plan, the node's truth, nothing twice.

use crate::stories;
use crate::teller::*;
use crate::world::*;
use hawiz::plan::Gate;
use hawiz::prompt::{Answer as Said, Choice};
use hawiz::reach::Truth;

fn three() -> hawiz::plan::Plan {
    plan(vec![
        stage("look", Gate::Open, vec![check("ready", "a")]),
        stage("one", Gate::Ask, vec![change("x", "a"), check("served", "a"), change("y", "a")]),
        stage("two", Gate::Ask, vec![change("z", "a")]),
    ])
}

stories! {
    cut_at_the_gate_it_is_asked_again: three(), |s| {
        let mut s = s.fact("ready").fact("served").on("gate p/one", Trigger::PowerCut);
        s.person(&[]);
        s.person(&[Said::Yes, Said::Yes]);
        s
    };
    cut_after_the_intent_it_never_began_and_its_turn_comes: three(), |s| {
        let mut s = s.fact("ready").fact("served").on("intent x", Trigger::PowerCut);
        s.person(&[Said::Yes]);
        s.runbook();
        s
    };
    cut_in_the_step_its_end_is_learnt_and_the_gate_asked_before_the_next: three(), |s| {
        let mut s = s.fact("ready").fact("served").acts("make x", &[Act::Slow(5)]).on("a$ make x", Trigger::PowerCut);
        s.person(&[Said::Yes]);
        s.person(&[Said::Yes, Said::Yes]);
        s
    };
    cut_after_the_result_nothing_is_repeated: three(), |s| {
        let mut s = s.fact("ready").fact("served").on("[done] x", Trigger::PowerCut);
        s.person(&[Said::Yes]);
        s.person(&[Said::Yes, Said::Yes]);
        s
    };
    a_resumed_gate_can_be_declined: three(), |s| {
        let mut s = s.fact("ready").fact("served").acts("make x", &[Act::Slow(5)]).on("a$ make x", Trigger::PowerCut);
        s.person(&[Said::Yes]);
        s.person(&[Said::No]);
        s
    };
    cut_in_a_step_that_failed_the_menu_comes_and_a_retry_asks_the_gate: three(), |s| {
        let mut s = s.fact("ready").fact("served").acts("make x", &[Act::Fail(1)]).on("a$ make x", Trigger::PowerCut);
        s.person(&[Said::Yes]);
        s.person(&[retry(), Said::Yes, Said::Yes]);
        s
    };
    a_step_that_failed_is_tried_anew_behind_its_gate: three(), |s| {
        let mut s = s.fact("ready").fact("served").acts("make y", &[Act::Fail(1)]);
        s.runbook();
        s.person(&[Said::Yes, Said::Yes]);
        s
    };
    what_the_run_made_false_itself_does_not_refuse: plan(vec![
        stage("look", Gate::Open, vec![check("free", "a")]),
        stage("one", Gate::Ask, vec![blind("x", "a").edit(|c| c.run = command("drop free")), change("y", "a")]),
    ]), |s| {
        let mut s = s.fact("free").on("[done] x", Trigger::PowerCut);
        s.person(&[Said::Yes]);
        s.runbook();
        s
    };
    a_guard_of_what_is_to_come_refuses_on_resume: three(), |s| {
        let mut s = s.fact("ready").fact("served").on("[done] x", Trigger::PowerCut);
        s.person(&[Said::Yes]);
        s.world().facts.remove("served");
        s.runbook();
        s
    };
    what_is_no_longer_so_stops_a_runbook: three(), |s| {
        let mut s = s.fact("ready").fact("served").on("[done] y", Trigger::PowerCut);
        s.person(&[Said::Yes]);
        s.world().facts.remove("x");
        s.runbook();
        s
    };
    what_is_no_longer_so_is_done_again_by_a_person_with_a_new_claim: three(), |s| {
        let mut s = s.fact("ready").fact("served").on("[done] y", Trigger::PowerCut);
        s.person(&[Said::Yes]);
        s.world().facts.remove("x");
        s.person(&[Said::Yes, Said::Yes]);
        assert_eq!(s.world().trace, ["make x", "make y", "make x", "make z"]);
        s
    };
    what_was_already_so_and_is_no_longer_is_seen_too: three(), |s| {
        let mut s = s.fact("ready").fact("served").fact("x").on("[done] y", Trigger::PowerCut);
        s.person(&[Said::Yes]);
        s.world().facts.remove("x");
        s.runbook();
        s
    };
    an_unknown_end_is_never_repeated_by_a_resume: plain(vec![blind("x", "a"), change("y", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Lost(Truth::Unknown("its record is gone".into()), true)]);
        s.runbook();
        s.runbook();
        s.person(&[Said::Choice(Choice::Happened, None), Said::Yes]);
        assert_eq!(s.world().trace, ["make x", "make y"]);
        s
    };
    a_reboot_in_between_makes_never_unknown: plain(vec![blind("x", "a")]), |s| {
        let mut s = s.on("intent x", Trigger::PowerCut);
        s.runbook();
        s.world().boots.insert("a".into(), "boot2".into());
        s.runbook();
        s
    };
    a_node_that_came_back_tells_what_became_of_it: plain(vec![change("x", "a")]), |s| {
        let mut s = s.on("a$ make x", Trigger::Down("a"));
        s.runbook();
        s.world().down.clear();
        s.runbook();
        assert_eq!(s.world().trace, ["make x"]);
        s
    };
    another_machine_under_the_old_name_is_refused: three(), |s| {
        let mut s = s.fact("ready").fact("served").on("[done] x", Trigger::PowerCut);
        s.runbook();
        s.world().identities.insert("a".into(), "id-other".into());
        s.runbook();
        s
    };
    a_lock_taken_by_another_run_meanwhile_stops_the_resume: three(), |s| {
        let mut s = s.fact("ready").fact("served").acts("make y", &[Act::Fail(1)]);
        s.runbook();
        s.world().locks.insert("a".into(), ("r2".into(), "eve@there, run r2".into()));
        s.runbook();
        s
    };
    the_proof_is_taken_anew_by_a_resume: exclusive(three()), |s| {
        let mut s = s.fact("ready").fact("served").on("[done] x", Trigger::PowerCut);
        s.runbook();
        s.world().facts.remove("quiet");
        s.runbook();
        s
    };
    an_attestation_does_not_outlive_its_sitting: exclusive(three()), |s| {
        let mut s = s.fact("ready").fact("served").on("[done] x", Trigger::PowerCut);
        s.world().down.insert("b".into());
        s.person(&[Said::Yes, Said::Yes]);
        s.person(&[Said::No]);
        s
    };
    captured_values_come_from_the_journal: plan(vec![
        stage("look", Gate::Open, vec![check("leader", "a").capture("who")]),
        stage("go", Gate::Ask, vec![change("x", "a"), blind("use", "a").edit(|c| c.run = command("make use-of $who<who"))]),
    ]), |s| {
        let mut s = s.looks("is leader", &[(0, "anna"), (0, "berta")]).on("gate p/go", Trigger::PowerCut);
        s.person(&[]);
        s.runbook();
        s
    };
    a_manual_step_that_was_cut_off_is_looked_at_and_asked_again: plain(vec![manual("cable", "a", true), change("x", "a")]), |s| {
        let mut s = s.on("by hand ->", Trigger::PowerCut);
        s.person(&[Said::Yes]);
        s.world().facts.insert("cable".into());
        s.person(&[Said::Yes]);
        s
    };
    an_optional_step_that_failed_is_not_tried_again: plain(vec![
        change("x", "a").on_failure(hawiz::plan::OnFailure::Continue), change("y", "a"),
    ]), |s| {
        let mut s = s.acts("make x", &[Act::Fail(1), Act::Fail(1)]).on("[failed] x", Trigger::PowerCut);
        s.runbook();
        s.runbook();
        s
    };
    a_skipped_stage_stays_skipped_once_the_run_went_past_it: {
        let mut p = three();
        p.stages[1].when = Some(look("is wanted"));
        p.stages[1].when_on = Some(hawiz::plan::Place::Node("a".into()));
        p
    }, |s| {
        let mut s = s.fact("ready").on("[done] z", Trigger::PowerCut);
        s.runbook();
        s.world().facts.insert("wanted".into());
        s.runbook();
        s
    };
    a_finished_walk_that_was_cut_before_its_last_word_only_looks: three(), |s| {
        let mut s = s.fact("ready").fact("served").on("[done] z", Trigger::PowerCut);
        s.runbook();
        s.runbook();
        assert_eq!(s.world().trace, ["make x", "make y", "make z"]);
        s
    };
}
