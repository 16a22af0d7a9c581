//! The source of a failover falls silent: when a person is told, what is offered, and that nothing is done twice.

use crate::stories;
use crate::teller::*;
use crate::world::*;
use hawiz::plan::{Failover, Fence, Gate, Place, Plan, Proof, Stage, Undo, What};
use hawiz::prompt::{Answer as Said, Choice};
use hawiz::reach::Truth;

fn of(node: &str, mut stage: Stage) -> Stage {
    stage.of = Some(node.into());
    stage
}

fn proof(node: &str) -> Proof {
    Proof { node: node.into(), steps: vec![check("quiet", node)] }
}

fn take_over() -> Stage {
    let mut first = change("x", "a");
    let mut second = change("y", "a");
    (first.exclusive, second.exclusive) = (false, true);
    of("a", stage("take over", Gate::Ask, vec![first, second]))
}

/// From `b` to `a`; `b`'s power can be cut.
fn failover() -> Plan {
    let here = |mut step: hawiz::plan::Step| {
        step.place = Place::Here;
        if let What::Check(c) = &mut step.what {
            c.looks[0].0 = Place::Here;
        }
        step
    };
    let mut off = here(change("off", "here").undo(Undo::NoReturn("b loses its power".into())));
    if let What::Change(c) = &mut off.what {
        (c.done, c.kind) = (None, "fence".into());
    }
    let is_off = here(check("off", "here"));
    let steps = vec![off.instance.clone(), is_off.instance.clone()];
    let mut lost = exclusive(plan(vec![of("b", stage("cut", Gate::Type("b".into()), vec![off, is_off])), take_over()]));
    lost.procedure = "failover".into();
    lost.proof = vec![proof("b")];
    lost.undone = Some(proof("a"));
    lost.fences = vec![Fence { node: "b".into(), by: "the switch".into(), steps }];
    lost.failover = Some(Failover { from: Some("b".into()), unplanned: true, instead: None });
    let mut all = lost.clone();
    all.stages[0] = of("b", stage("give up", Gate::Ask, vec![change("b: tidy", "b"), change("b: quiet", "b")]));
    all.fences = Vec::new();
    all.failover = Some(Failover { from: Some("b".into()), unplanned: false, instead: Some(Box::new(lost)) });
    all
}

fn unplanned() -> Said {
    choose(Choice::Unplanned)
}

stories! {
    a_source_that_answers_gives_up_and_the_other_takes_over: failover(), |s| {
        let mut s = s.no_fact("quiet").fact("a: quiet");
        s.person(&[Said::Yes, Said::Yes]);
        s
    };
    a_source_that_is_silent_at_its_gate_can_be_left_for_lost: failover(), |s| {
        let mut s = s.no_fact("quiet").fact("a: quiet").on("stage give up", Trigger::Down("b"));
        s.person(&[unplanned(), Said::Yes, Said::Yes]);
        assert_eq!(s.world().trace, ["make off", "make x", "make y"]);
        s
    };
    a_source_that_is_silent_between_its_steps_can_be_left_for_lost: failover(), |s| {
        let mut s = s.no_fact("quiet").fact("a: quiet").on("[done] b: tidy", Trigger::Down("b"));
        s.person(&[Said::Yes, unplanned(), Said::Yes, Said::Yes]);
        assert_eq!(s.world().trace, ["make b: tidy", "make off", "make x", "make y"]);
        s
    };
    a_source_that_falls_silent_before_it_is_proven_can_be_left_for_lost: failover(), |s| {
        let mut s = s.no_fact("quiet").fact("a: quiet").on("[done] b: quiet", Trigger::Down("b"));
        s.person(&[Said::Yes, unplanned(), Said::Yes, Said::Yes]);
        assert_eq!(s.world().trace, ["make b: tidy", "make b: quiet", "make off", "make x", "make y"]);
        s
    };
    a_source_that_falls_silent_before_an_exclusive_change_can_be_left_for_lost: failover(), |s| {
        let mut s = s.no_fact("quiet").fact("a: quiet").on("[done] x", Trigger::Down("b"));
        s.person(&[Said::Yes, Said::Yes, unplanned(), Said::Yes, Said::Yes]);
        assert_eq!(s.world().trace, ["make b: tidy", "make b: quiet", "make x", "make off", "make y"]);
        s
    };
    a_link_to_the_source_that_stays_lost_is_left_to_a_person: failover(), |s| {
        let lost = Act::Lost(Truth::Unknown("gone".into()), false);
        let mut s = s.no_fact("quiet").fact("a: quiet").acts("make b: tidy", &[lost]).on("asks the node", Trigger::Down("b"));
        s.person(&[Said::Yes, unplanned(), Said::Yes, Said::Yes]);
        s
    };
    without_a_person_a_silent_source_stops_the_run: failover(), |s| {
        let mut s = s.no_fact("quiet").fact("a: quiet").on("[done] b: quiet", Trigger::Down("b"));
        s.runbook();
        s
    };
    a_resumed_failover_whose_source_is_silent_can_go_unplanned: failover(), |s| {
        let mut s = s.no_fact("quiet").fact("a: quiet").acts("make b: quiet", &[Act::Fail(1)]);
        s.runbook();
        s.world().down.insert("b".into());
        s.person(&[unplanned(), Said::Yes, Said::Yes]);
        assert_eq!(s.world().trace, ["make b: tidy", "make off", "make x", "make y"]);
        s
    };
    a_fence_whose_end_is_unknown_is_sent_again: failover().now(true).clone(), |s| {
        let lost = Act::Lost(Truth::Unknown("its record is gone".into()), false);
        let mut s = s.no_fact("quiet").fact("a: quiet").acts("make off", &[lost]);
        s.person(&[Said::Yes, retry(), Said::Yes]);
        assert_eq!(s.world().trace, ["make off", "make x", "make y"]);
        s
    };
    a_fence_that_was_cut_off_is_asked_for_by_a_resume: failover().now(true).clone(), |s| {
        let mut s = s.no_fact("quiet").fact("a: quiet").on("intent off", Trigger::PowerCut);
        s.person(&[Said::Yes]);
        s.person(&[Said::Yes, Said::Yes]);
        assert_eq!(s.world().trace, ["make off", "make x", "make y"]);
        s
    };
    what_was_vouched_for_at_the_beginning_is_no_longer_so_after_ten_minutes: {
        let mut p = failover().now(true).clone();
        (p.fences, p.stages) = (Vec::new(), vec![take_over()]);
        p
    }, |s| {
        let mut s = s.no_fact("quiet").fact("a: quiet").acts("make x", &[Act::Slow(601)]);
        s.plan.stages[0].steps[0].deadline = None;
        s.settings.attest = vec!["b".into()];
        s.runbook();
        s
    };
    a_failed_activation_goes_back_over_both_nodes: failover(), |s| {
        let mut s = s.no_fact("quiet").fact("a: quiet").acts("make y", &[Act::Fail(1)]);
        s.person(&[Said::Yes, Said::Yes, Said::Choice(Choice::Undo, None), Said::Yes]);
        s
    };
    the_source_is_not_made_active_again_while_the_other_may_be: failover(), |s| {
        let mut s = s.no_fact("quiet").fact("a: quiet").acts("make y", &[Act::Fail(1)]).on("[undone] x", Trigger::NoFact("a: quiet"));
        s.person(&[Said::Yes, Said::Yes, Said::Choice(Choice::Undo, None), Said::Yes]);
        s
    };
}
