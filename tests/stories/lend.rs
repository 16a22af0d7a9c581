//! Steps whose programs get the operator's terminal.

use crate::stories;
use crate::teller::*;
use crate::world::*;
use hawiz::plan::{How, Plan, Step};
use hawiz::prompt::{Answer as Said, Choice, Ended};
use hawiz::reach::Truth;
use hawiz::signal::Stop;

const LENT: &str = "? terminal";

fn console(fact: &str) -> Step {
    change(fact, "a").edit(|c| c.tty = true)
}

/// Nothing tells before it whether it is so.
fn verified(fact: &str) -> Step {
    blind(fact, "a").edit(|c| c.tty = true).verify(&format!("is {fact}"))
}

fn ended(code: i32) -> Said {
    Said::Ran(Ended::Exit(code))
}

fn lost() -> Said {
    Said::Ran(Ended::Unknown("`ssh` ended with 255".into()))
}

fn behind_via(mut plan: Plan) -> Plan {
    plan.nodes[0].how = How::Via(vec!["sh".into()]);
    plan
}

stories! {
    a_program_has_the_terminal_once_and_a_look_decides: plain(vec![console("x"), change("y", "a")]), |s| {
        let mut s = s.on(LENT, Trigger::Fact("x"));
        s.person(&[Said::Yes, ended(0)]);
        s
    };
    a_program_that_ended_well_and_did_nothing_has_failed: plain(vec![console("x")]), |s| {
        s.person(&[Said::Yes, ended(0), choose(Choice::Quit)]);
        s
    };
    a_program_that_failed_may_be_looked_at_again: plain(vec![console("x")]), |s| {
        let mut s = s.on(LENT, Trigger::Fact("x"));
        s.person(&[Said::Yes, ended(3), look_again()]);
        s
    };
    a_retry_lends_it_once_more_with_a_claim_of_its_own: plain(vec![console("x")]), |s| {
        let mut s = s.on("#2", Trigger::Fact("x"));
        s.person(&[Said::Yes, ended(3), retry(), ended(0)]);
        s
    };
    what_is_so_already_needs_no_terminal: plain(vec![console("x")]), |s| {
        let mut s = s.fact("x");
        s.person(&[]);
        s
    };
    a_link_that_is_lost_under_a_program_is_unknown_until_a_look_has_told: plain(vec![console("x")]), |s| {
        let mut s = s.on(LENT, Trigger::Fact("x"));
        s.person(&[Said::Yes, lost()]);
        s
    };
    a_link_that_is_lost_before_a_program_did_anything_is_seen_by_the_look: plain(vec![console("x")]), |s| {
        s.person(&[Said::Yes, lost(), choose(Choice::Quit)]);
        s
    };
    a_verification_alone_decides_about_a_lost_link: plain(vec![verified("x")]), |s| {
        let mut s = s.on(LENT, Trigger::Fact("x"));
        s.person(&[Said::Yes, lost()]);
        s
    };
    where_the_verification_cannot_look_a_person_is_asked: plain(vec![verified("x")]), |s| {
        let mut s = s.looks("is x", &[(127, ""), (127, ""), (0, "")]);
        s.person(&[Said::Yes, lost(), choose(Choice::Happened), look_again()]);
        s
    };
    a_claim_that_is_refused_lends_nothing: plain(vec![console("x")]), |s| {
        let mut s = s.acts("lay", &[Act::Refused("no space left")]);
        s.person(&[Said::Yes, choose(Choice::Quit)]);
        s
    };
    a_claim_that_is_not_certain_lends_nothing: plain(vec![console("x")]), |s| {
        let mut s = s.acts("lay", &[Act::Lost(Truth::Never, false)]);
        s.person(&[Said::Yes, choose(Choice::Quit)]);
        s
    };
    a_program_that_cannot_be_started_changed_nothing: plain(vec![console("x")]), |s| {
        s.person(&[Said::Yes, Said::Ran(Ended::Never("cannot start `ssh`".into())), choose(Choice::Quit)]);
        s
    };
    after_a_power_cut_the_look_tells_what_a_program_did: plain(vec![console("x")]), |s| {
        let mut s = s.on(LENT, Trigger::PowerCut).on("resumed", Trigger::Fact("x"));
        s.person(&[Said::Yes, ended(0)]);
        s.person(&[]);
        s
    };
    after_a_power_cut_a_program_that_did_nothing_is_not_started_again_unasked: plain(vec![console("x")]), |s| {
        let mut s = s.on(LENT, Trigger::PowerCut).on("#2", Trigger::Fact("x"));
        s.person(&[Said::Yes, ended(0)]);
        s.person(&[retry(), Said::Yes, ended(0)]);
        s
    };
    a_signal_that_leaves_ends_the_program_and_a_resume_looks: plain(vec![console("x")]), |s| {
        let mut s = s.on(LENT, Trigger::Signal(Stop::Leave)).on("resumed", Trigger::Fact("x"));
        s.person(&[Said::Yes, Said::Ran(Ended::Unknown("it was ended".into()))]);
        s.person(&[]);
        s
    };
    a_program_that_had_the_terminal_is_undone_like_any_step: plain(vec![console("x"), change("y", "a")]), |s| {
        let mut s = s.on(LENT, Trigger::Fact("x")).acts("make y", &[Act::Fail(1)]);
        s.person(&[Said::Yes, ended(0), choose(Choice::Undo), Said::Yes]);
        s
    };
    behind_via_a_step_with_a_terminal_is_done_by_hand: behind_via(plain(vec![console("x")])), |s| {
        let mut s = s.on("run this yourself", Trigger::Fact("x"));
        s.person(&[Said::Yes, Said::Yes]);
        s
    };
    without_a_person_a_step_with_a_terminal_stops_the_run: plain(vec![console("x")]), |s| {
        s.runbook();
        s
    };
}
