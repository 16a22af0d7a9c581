//! ^C, ^C ^C, TERM: what is running, what is not, what is recorded.

use crate::stories;
use crate::teller::*;
use crate::world::*;
use hawiz::plan::Gate;
use hawiz::prompt::{Answer as Said, Choice};
use hawiz::signal::Stop;

fn two() -> hawiz::plan::Plan {
    plain(vec![change("x", "a"), change("y", "a")])
}

stories! {
    one_interrupt_stops_after_the_step: two(), |s| {
        let mut s = s.acts("make x", &[Act::Slow(2)]).on("a$ make x", Trigger::Signal(Stop::AfterStep));
        s.person(&[Said::Yes]);
        s
    };
    one_interrupt_still_waits_until_the_step_is_so: plain(vec![change("x", "a").set(|s| s.within = secs(20)), change("y", "a")]), |s| {
        let mut s = s.looks("is x", &[(1, ""), (1, ""), (1, ""), (1, ""), (0, "")]).on("a$ make x", Trigger::Signal(Stop::AfterStep));
        s.person(&[Said::Yes]);
        s
    };
    two_interrupts_break_it_off_and_look: two(), |s| {
        let mut s = s.acts("make x", &[Act::Slow(900)]).on("a$ make x", Trigger::Signal(Stop::BreakOff));
        s.person(&[Said::Yes]);
        s
    };
    two_interrupts_while_it_is_waited_for_leave_it_begun: two(), |s| {
        let mut s = s.acts("make x", &[Act::Fail(0)]).on("after: x", Trigger::Signal(Stop::BreakOff));
        s.person(&[Said::Yes]);
        s
    };
    two_interrupts_without_a_look_and_an_honest_code_fail: plain(vec![blind("x", "a")]), |s| {
        let mut s = s.acts("make x", &[Act::Slow(900)]).on("a$ make x", Trigger::Signal(Stop::BreakOff));
        s.person(&[Said::Yes]);
        s
    };
    a_terminating_signal_leaves_at_once_and_the_step_goes_on: two(), |s| {
        let mut s = s.acts("make x", &[Act::Slow(20)]).on("a$ make x", Trigger::Signal(Stop::Leave));
        s.person(&[Said::Yes]);
        s.runbook();
        s
    };
    an_interrupt_before_the_first_change_is_declined: plan(vec![
        stage("look", Gate::Open, vec![check("ready", "a"), check("steady", "a")]), stage("go", Gate::Ask, vec![change("x", "a")]),
    ]), |s| {
        let mut s = s.fact("ready").fact("steady").on("check: ready?", Trigger::Signal(Stop::AfterStep));
        s.person(&[]);
        s
    };
    an_interrupt_while_a_check_is_waited_for_says_nothing_of_the_check: plan(vec![
        stage("look", Gate::Open, vec![check("ready", "a").set(|s| s.within = secs(60))]), stage("go", Gate::Ask, vec![change("x", "a")]),
    ]), |s| {
        let mut s = s.on("check: ready?", Trigger::Signal(Stop::AfterStep));
        s.person(&[]);
        s
    };
    an_interrupt_between_tries_leaves_the_step_to_be_tried_on: plain(vec![change("x", "a").tries(3)]), |s| {
        let mut s = s.acts("make x", &[Act::Fail(1)]).on("attempt 1 of 3", Trigger::Signal(Stop::AfterStep));
        s.person(&[Said::Yes]);
        s.runbook();
        s
    };
    a_terminating_signal_at_the_failure_menu_is_resumable: two(), |s| {
        let mut s = s.acts("make x", &[Act::Fail(1)]);
        s.person(&[Said::Yes, Said::Stop("SIGTERM".into())]);
        s
    };
    a_person_quits_at_the_failure_menu: two(), |s| {
        let mut s = s.acts("make x", &[Act::Fail(1)]);
        s.person(&[Said::Yes, Said::Choice(Choice::Quit, None)]);
        s
    };
}
