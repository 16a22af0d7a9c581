//! Stories: the engine in a tiny world in memory; the transcript is the expectation.
//!
//! Why it exists: what hawiz does in every bad hour must be readable line by line. Each story's expectation lies in
//! `tests/stories/NAME.txt`; `HAWIZ_BLESS=1` writes them anew, and each is read before it is kept.

#[path = "stories/again.rs"]
mod again;
#[path = "stories/failover.rs"]
mod failover;
#[path = "stories/lend.rs"]
mod lend;
#[path = "stories/power.rs"]
mod power;
#[path = "stories/stop.rs"]
mod stop;
#[path = "stories/teller.rs"]
mod teller;
#[path = "stories/undo.rs"]
mod undo;
#[path = "stories/world.rs"]
mod world;

use hawiz::plan::{Answer, Gate, OnFailure, Place, TrueOn, What};
use hawiz::problem::Exit;
use hawiz::prompt::{Answer as Said, Choice};
use hawiz::reach::Truth;
use teller::*;
use world::*;

/// A story is a function that tells one.
#[macro_export]
macro_rules! stories {
    ($($name:ident: $plan:expr, |$s:ident| $body:expr;)*) => { $(
        #[test]
        fn $name() {
            #[allow(unused_mut)]
            let mut $s = Story::new($plan);
            let $s = $body;
            $s.told(stringify!($name));
        }
    )* };
}

fn two() -> hawiz::plan::Plan {
    plan(vec![
        stage("look", Gate::Open, vec![check("ready", "a")]),
        stage("go", Gate::Ask, vec![change("x", "a"), change("y", "a")]),
    ])
}

stories! {
    a_straight_line_is_asked_once_done_and_verified: two(), |s| {
        let mut s = s.fact("ready");
        s.person(&[Said::Yes]);
        s
    };
    a_runbook_with_yes_walks_the_same_line: two(), |s| {
        let mut s = s.fact("ready");
        s.runbook();
        s
    };
    what_is_so_already_asks_nobody_and_changes_nothing: two(), |s| {
        let mut s = s.fact("ready").fact("x").fact("y");
        s.person(&[]);
        s
    };
    what_is_so_already_stands_beside_what_is_done: two(), |s| {
        let mut s = s.fact("ready").fact("x");
        s.person(&[Said::Yes]);
        s
    };
    a_guard_that_refuses_changes_nothing: two(), |s| {
        s.person(&[]);
        s
    };
    a_condition_that_is_false_skips_its_step: plain(vec![change("x", "a").when("is wanted"), change("y", "a")]), |s| {
        s.person(&[Said::Yes]);
        s
    };
    a_condition_that_cannot_be_told_runs_nothing: plain(vec![change("x", "a").when("is wanted")]), |s| {
        let mut s = s.looks("is wanted", &[(127, "")]);
        s.person(&[Said::Yes]);
        s
    };
    a_stage_whose_condition_is_false_asks_nobody: {
        let mut p = two();
        p.stages[1].when = Some(look("is wanted"));
        p.stages[1].when_on = Some(Place::Node("a".into()));
        p
    }, |s| {
        let mut s = s.fact("ready");
        s.person(&[]);
        s
    };
    a_stage_that_is_so_already_asks_nobody: {
        let mut p = two();
        p.stages[1].done = Some(look("is there"));
        p.stages[1].when_on = Some(Place::Node("a".into()));
        p
    }, |s| {
        let mut s = s.fact("ready").fact("there");
        s.person(&[]);
        s
    };
    a_stage_that_cannot_tell_whether_it_is_so_already_runs_nothing: {
        let mut p = two();
        p.stages[1].done = Some(look("is there"));
        p.stages[1].when_on = Some(Place::Node("a".into()));
        p
    }, |s| {
        let mut s = s.fact("ready").looks("is there", &[(127, "")]);
        s.person(&[]);
        s
    };
    an_absent_unit_is_skipped_at_once: plain(vec![change("x", "a").edit(|c| c.done = Some(look("catalog is stopped")))]), |s| {
        let mut s = s.looks("is stopped", &[(3, "unit x is not there")]);
        s.person(&[]);
        s
    };
    a_retry_looks_first_and_succeeds: plain(vec![change("x", "a").tries(3)]), |s| {
        let mut s = s.acts("make x", &[Act::Fail(1)]);
        s.person(&[Said::Yes]);
        s
    };
    a_failed_attempt_that_made_it_so_is_not_repeated: plain(vec![change("x", "a").tries(3)]), |s| {
        let mut s = s.acts("make x", &[Act::Half(1)]);
        s.person(&[Said::Yes]);
        s
    };
    retries_exhausted_without_a_person_stop_resumable: plain(vec![change("x", "a").tries(2)]), |s| {
        let mut s = s.acts("make x", &[Act::Fail(1), Act::Fail(2)]);
        s.runbook();
        s
    };
    a_persons_retry_is_one_attempt_and_asks_again: plain(vec![change("x", "a").tries(2)]), |s| {
        let mut s = s.acts("make x", &[Act::Fail(1), Act::Fail(2), Act::Fail(3)]);
        s.person(&[Said::Yes, retry(), retry()]);
        s
    };
    looking_again_never_runs_again: plain(vec![change("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Fail(1)]).on("? exit 1", Trigger::Fact("other"));
        s.person(&[Said::Yes, look_again(), choose(Choice::Extend), choose(Choice::Quit)]);
        s
    };
    what_became_so_meanwhile_is_seen_by_looking_again: plain(vec![change("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Fail(1)]).on("? exit 1", Trigger::Fact("x"));
        s.person(&[Said::Yes, look_again()]);
        s
    };
    after_looking_again_a_retry_still_waits_for_its_result: plain(vec![change("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Fail(1), Act::Fail(0)]);
        s.world().triggers.push(("$ make x".into(), Trigger::Fact("nothing")));
        s.person(&[Said::Yes, look_again(), retry()]);
        s
    };
    where_there_is_nothing_to_look_at_looking_again_is_not_offered: plain(vec![blind("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Fail(1)]);
        s.person(&[Said::Yes, look_again(), choose(Choice::Quit)]);
        s
    };
    on_failure_ask_lets_a_person_skip_with_a_reason: plain(vec![change("x", "a").on_failure(OnFailure::Ask), change("y", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Fail(1)]);
        s.person(&[Said::Yes, skip("not needed tonight")]);
        s
    };
    on_failure_ask_without_a_person_stops: plain(vec![change("x", "a").on_failure(OnFailure::Ask), change("y", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Fail(1)]);
        s.runbook();
        s
    };
    on_failure_continue_goes_on_degraded: plain(vec![change("x", "a").on_failure(OnFailure::Continue), change("y", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Fail(1)]);
        s.person(&[Said::Yes]);
        s
    };
    a_check_that_may_be_skipped_is_overridden_with_its_reason: {
        let mut p = two();
        p.stages[0].steps[0].on_failure = OnFailure::Ask;
        p
    }, |s| {
        s.settings.overrides.push(("p/ready?".into(), "known, ticket 7".into()));
        s.runbook();
        s
    };
    an_optional_check_that_is_false_degrades: {
        let mut p = two();
        p.stages[0].steps[0].on_failure = OnFailure::Continue;
        p
    }, |s| {
        s.runbook();
        s
    };
    what_the_catalogue_calls_final_is_not_retried: plain(vec![change("x", "a").tries(3).kind("service-start")]), |s| {
        let mut s = s.acts("make x", &[Act::Fail(hawiz::catalog::NO_RETRY)]);
        s.runbook();
        s
    };
    unsettled_is_waited_for: plain(vec![change("x", "a").edit(|c| c.done = Some(look("catalog is x")))]), |s| {
        let mut s = s.looks("is x", &[(4, "activating"), (4, "activating"), (1, "inactive"), (4, "activating"), (0, "")]);
        s.person(&[Said::Yes]);
        s
    };
    what_never_settles_is_not_run_over: plain(vec![change("x", "a").edit(|c| c.done = Some(look("catalog is x")))]), |s| {
        let mut s = s.looks("is x", &[(4, "deactivating")]);
        s.runbook();
        s
    };
    could_not_look_runs_nothing: plain(vec![change("x", "a")]), |s| {
        let mut s = s.looks("is x", &[(127, "is: not found")]);
        s.runbook();
        s
    };
    a_look_that_hangs_is_could_not_look: plan(vec![stage("look", Gate::Open, vec![check("ready", "a")])]), |s| {
        let mut s = s.looks("is ready", &[(-1, "")]);
        s.runbook();
        s
    };
    a_verification_that_is_false_fails: plain(vec![change("x", "a").verify("is served")]), |s| {
        s.runbook();
        s
    };
    it_ran_but_it_is_not_so: plain(vec![change("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Fail(0)]);
        s.runbook();
        s
    };
    a_claim_that_is_refused_changed_nothing: plain(vec![change("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Refused("no space left on its disk")]);
        s.runbook();
        s
    };
    a_lock_that_was_taken_over_starts_nothing: plain(vec![change("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Refused("the lock was taken over")]);
        s.person(&[Said::Yes]);
        s
    };
    a_lock_that_was_taken_over_ends_a_run_with_five_whatever_it_has_changed: plain(vec![
        change("x", "a"), change("y", "b"), change("z", "a"),
    ]), |s| {
        let mut s = s.acts("make y", &[Act::Refused("the lock was taken over; unlocked by eve: gone")]);
        s.person(&[Said::Yes]);
        s
    };
    a_lock_that_is_held_changes_nothing: two(), |s| {
        let mut s = s.fact("ready");
        s.world().locks.insert("a".into(), ("r0".into(), "eve@there, run r0".into()));
        s.person(&[]);
        assert!(s.world().trace.is_empty());
        s
    };
    two_names_for_one_machine_are_refused: plain(vec![change("x", "a"), change("y", "b")]), |s| {
        for n in ["a", "b"] {
            s.world().identities.insert(n.into(), "same".into());
        }
        s.person(&[]);
        s
    };
    a_clone_without_identity_is_found_when_locks_are_taken: plain(vec![change("x", "a"), change("y", "b")]), |s| {
        s.world().identities.insert("b".into(), "id-a".into());
        s.person(&[]);
        s
    };
    no_at_a_gate_before_a_change_is_declined: two(), |s| {
        let mut s = s.fact("ready");
        s.person(&[Said::No]);
        s
    };
    no_at_a_gate_after_a_change_is_stopped: plan(vec![
        stage("one", Gate::Ask, vec![change("x", "a")]), stage("two", Gate::Ask, vec![change("y", "a")]),
    ]), |s| {
        s.person(&[Said::Yes, Said::No]);
        s
    };
    dry_at_a_gate_before_a_change_is_well: two(), |s| {
        let mut s = s.fact("ready");
        s.person(&[Said::Dry]);
        s
    };
    dry_at_a_gate_after_a_change_is_resumable: plan(vec![
        stage("one", Gate::Ask, vec![change("x", "a")]), stage("two", Gate::Type("a".into()), vec![change("y", "a")]),
    ]), |s| {
        s.person(&[Said::Yes, Said::Dry]);
        s
    };
    end_of_input_at_a_gate_stops: two(), |s| {
        let mut s = s.fact("ready");
        s.person(&[Said::Stop("end of input".into())]);
        s
    };
    a_yes_that_took_long_has_its_looks_taken_again: exclusive(two()), |s| {
        let mut s = s.fact("ready");
        s.takes.set(31);
        s.person(&[Said::Yes]);
        s
    };
    a_yes_that_took_too_long_for_its_guard_changes_nothing: two(), |s| {
        let mut s = s.fact("ready").on("gate p/go", Trigger::NoFact("ready"));
        s.takes.set(31);
        s.person(&[Said::Yes]);
        s
    };
    stopped_at_a_gate_and_gone_on_with_looks_and_asks_anew: two(), |s| {
        let mut s = s.fact("ready");
        s.person(&[Said::Again, Said::Yes]);
        s
    };
    a_deadline_with_a_person_is_extended: plain(vec![change("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Slow(310)]);
        s.person(&[Said::Yes, choose(Choice::Extend)]);
        s
    };
    a_deadline_with_a_person_is_ended_and_looked_at: plain(vec![change("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Slow(900)]);
        s.person(&[Said::Yes, choose(Choice::EndIt)]);
        s
    };
    a_deadline_with_a_person_is_left_running_and_locked: plain(vec![change("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Slow(900)]);
        s.person(&[Said::Yes, Said::Quit]);
        s
    };
    a_deadline_asked_again_after_being_stopped_asks_at_once: plain(vec![change("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Slow(900)]);
        s.person(&[Said::Yes, Said::Again, Said::Quit]);
        s
    };
    a_deadline_without_a_person_is_ended_and_looked_at: plain(vec![change("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Slow(900)]);
        s.runbook();
        s
    };
    what_does_not_end_is_unknown_and_keeps_its_lock: plain(vec![change("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Stubborn(900)]);
        s.runbook();
        s
    };
    ended_with_a_zero_and_nothing_to_look_at_is_unknown: plain(vec![blind("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Polite(900)]);
        s.runbook();
        s
    };
    a_lost_link_and_it_was_done: plain(vec![change("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Lost(Truth::Done(0), true)]);
        s.runbook();
        s
    };
    a_lost_link_and_it_still_runs: plain(vec![change("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Lost(Truth::Running, true)]);
        s.runbook();
        s
    };
    a_lost_link_and_it_never_began: plain(vec![change("x", "a").tries(2)]), |s| {
        let mut s = s.acts("make x", &[Act::Lost(Truth::Never, false)]);
        s.runbook();
        s
    };
    a_node_that_cannot_be_asked_leaves_the_step_unknown: plain(vec![change("x", "a")]), |s| {
        let mut s = s.on("a$ make x", Trigger::Down("a"));
        s.runbook();
        s
    };
    an_unknown_end_is_settled_by_the_look: plain(vec![change("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Lost(Truth::Unknown("its record is gone".into()), true)]);
        s.runbook();
        s
    };
    an_unknown_end_that_is_not_so_fails: plain(vec![change("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Lost(Truth::Unknown("its record is gone".into()), false)]);
        s.runbook();
        s
    };
    an_unknown_end_without_look_or_person_is_seven: plain(vec![blind("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Lost(Truth::Unknown("its record is gone".into()), true)]);
        s.runbook();
        s
    };
    an_unknown_end_without_a_look_is_decided_by_a_person: plain(vec![blind("x", "a").verify("is served")]), |s| {
        let mut s = s.fact("served").acts("make x", &[Act::Lost(Truth::Unknown("its record is gone".into()), true)]);
        s.person(&[Said::Yes, choose(Choice::Happened)]);
        s
    };
    an_unknown_end_that_did_not_happen_is_a_failure: plain(vec![blind("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Lost(Truth::Unknown("its record is gone".into()), false)]);
        s.person(&[Said::Yes, choose(Choice::DidNot), retry()]);
        s
    };
    a_peer_that_is_active_refuses: exclusive(two()), |s| {
        let mut s = s.fact("ready").no_fact("quiet").fact("a: quiet");
        s.person(&[]);
        s
    };
    a_peer_that_cannot_be_told_refuses: exclusive(two()), |s| {
        let mut s = s.fact("ready").looks("b: is quiet", &[(127, "no ss here")]);
        s.person(&[]);
        s
    };
    an_attested_peer_lets_it_begin: exclusive(two()), |s| {
        let mut s = s.fact("ready");
        s.world().down.insert("b".into());
        s.person(&[Said::Yes, Said::Yes]);
        s
    };
    an_unreachable_peer_without_a_person_refuses: exclusive(two()), |s| {
        let mut s = s.fact("ready");
        s.world().down.insert("b".into());
        s.runbook();
        s
    };
    an_attestation_by_flag_serves_a_runbook: exclusive(two()), |s| {
        let mut s = s.fact("ready").looks("find out whether it lives", &[(1, "")]);
        s.world().down.insert("b".into());
        s.settings.attest.push("b".into());
        s.runbook();
        s
    };
    a_sign_of_life_beats_an_attestation: exclusive(two()), |s| {
        let mut s = s.fact("ready");
        s.world().down.insert("b".into());
        s.world().alive = Some("10.0.0.1 says `SSH-2.0`");
        s.settings.attest.push("b".into());
        s.person(&[Said::Yes]);
        s
    };
    the_proof_is_taken_again_right_before_an_exclusive_change: exclusive(plain(vec![change("x", "a"), change("vip", "a").exclusive()])), |s| {
        s.person(&[Said::Yes]);
        s
    };
    a_peer_that_woke_up_stops_the_exclusive_change: exclusive(plain(vec![change("x", "a"), change("vip", "a").exclusive()])), |s| {
        let mut s = s.on("[done] x", Trigger::NoFact("quiet"));
        s.person(&[Said::Yes]);
        s
    };
    a_peer_that_went_away_meanwhile_can_be_attested: exclusive(plain(vec![change("x", "a"), change("vip", "a").exclusive()])), |s| {
        let mut s = s.on("[done] x", Trigger::Down("b"));
        s.person(&[Said::Yes, Said::Yes]);
        s
    };
    a_role_is_found_once_and_its_node_locked_at_its_turn: {
        let found = check_on("leader", &["a", "b"], TrueOn::One);
        let found = match found.what.clone() {
            What::Check(mut c) => {
                c.role = Some("primary".into());
                found.set(|s| s.what = What::Check(c))
            }
            _ => found,
        };
        plan(vec![stage("find", Gate::Open, vec![found]), stage("go", Gate::Ask, vec![change("x", "role:primary")])])
    }, |s| {
        let mut s = s.fact("b: leader");
        s.person(&[Said::Yes]);
        s
    };
    one_with_an_unreachable_node_cannot_be_told: plan(vec![
        stage("find", Gate::Open, vec![check_on("leader", &["a", "b"], TrueOn::One)]), stage("go", Gate::Ask, vec![change("x", "a")]),
    ]), |s| {
        let mut s = s.fact("a: leader");
        s.world().down.insert("b".into());
        s.person(&[]);
        s
    };
    one_of_takes_the_first_that_can_be_reached: plain(vec![change("x", "one:b,a")]), |s| {
        s.world().down.insert("b".into());
        s.person(&[Said::Yes]);
        s
    };
    a_captured_value_travels_to_the_step_that_wants_it: plain(vec![
        blind("id", "a").capture("id"), blind("use", "a").edit(|c| c.run = command("make use-of $id<id")),
    ]), |s| {
        let mut s = s.acts("make id", &[Act::Says("i-42")]);
        s.person(&[Said::Yes]);
        s
    };
    a_value_that_was_never_told_skips_the_step_that_wants_it: plain(vec![
        blind("id", "a").capture("id").on_failure(OnFailure::Continue), blind("use", "a").edit(|c| c.run = command("make use-of $id<id")),
    ]), |s| {
        let mut s = s.acts("make id", &[Act::Fail(1)]);
        s.person(&[Said::Yes]);
        s
    };
    a_manual_step_is_told_confirmed_and_looked_at: plain(vec![manual("cable", "a", true)]), |s| {
        let mut s = s.on("by hand ->", Trigger::Fact("cable"));
        s.person(&[Said::Yes, Said::Yes]);
        s
    };
    a_manual_step_that_is_confirmed_but_not_so_is_not_done: plain(vec![manual("cable", "a", true)]), |s| {
        s.person(&[Said::Yes, Said::Yes, look_again(), choose(Choice::Quit)]);
        s
    };
    a_manual_step_that_nobody_was_told_changed_nothing: plain(vec![manual("cable", "a", true)]), |s| {
        s.runbook();
        s
    };
    a_node_without_records_is_said_in_the_last_line: plain(vec![change("x", "a")]), |s| {
        s.world().unrecorded.insert("a".into());
        s.person(&[Said::Yes]);
        s
    };
    a_deactivation_ends_with_its_own_proof: deactivate(plain(vec![change("quiet", "a")])), |s| {
        let mut s = s.no_fact("quiet");
        s.runbook();
        s
    };
    a_deactivation_that_leaves_it_active_has_failed: deactivate(plain(vec![change("x", "a")])), |s| {
        let mut s = s.no_fact("quiet");
        s.runbook();
        s
    };
    a_journal_that_cannot_be_written_stops_before_the_change: plain(vec![change("x", "a")]), |s| {
        s.left = 8;
        assert_eq!(s.person(&[Said::Yes]).expect("it ends").exit, Exit::NotReady);
        assert!(s.world().trace.is_empty());
        s
    };
    a_journal_that_breaks_after_a_change_stops_before_the_next: plain(vec![change("x", "a"), change("y", "a")]), |s| {
        s.left = 12;
        assert_eq!(s.person(&[Said::Yes]).expect("it ends").exit, Exit::Stopped);
        assert_eq!(s.world().trace, ["make x"]);
        s
    };
}

#[test]
fn the_sum_of_a_check_is_one_rule() {
    use Answer::{CouldNotLook as C, No as N, Unsettled as U, Yes as Y};
    let table: [(TrueOn, &[Answer], Answer); 17] = [
        (TrueOn::All, &[Y, Y], Y),
        (TrueOn::All, &[Y, N, C], N),
        (TrueOn::All, &[Y, C], C),
        (TrueOn::All, &[Y, U], U),
        (TrueOn::None, &[N, N], Y),
        (TrueOn::None, &[N, Y, C], N),
        (TrueOn::None, &[N, C], C),
        (TrueOn::One, &[Y, N], Y),
        (TrueOn::One, &[Y, Y, C], N),
        (TrueOn::One, &[Y, C], C),
        (TrueOn::One, &[N, N], N),
        (TrueOn::Any, &[C, Y], Y),
        (TrueOn::Any, &[C, N], N),
        (TrueOn::Majority, &[Y, Y, C], Y),
        (TrueOn::Majority, &[Y, N], N),
        (TrueOn::Majority, &[Y, C, C], N),
        (TrueOn::All, &[], Y),
    ];
    for (true_on, answers, wanted) in table {
        let step = check_on("x", &vec!["a"; answers.len().max(1)], true_on);
        let What::Check(mut check) = step.what else { unreachable!("it is a check") };
        check.looks.truncate(answers.len());
        assert_eq!(check.sum(answers), wanted, "{true_on:?} {answers:?}");
    }
    // A node that could not even be asked counts as one that cannot be told.
    let What::Check(check) = check_on("x", &["a", "b"], TrueOn::One).what else { unreachable!("it is a check") };
    assert_eq!(check.sum(&[Y]), C);
}
