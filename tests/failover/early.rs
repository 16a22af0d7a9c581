//! A target that is not fit refuses before anything is taken from the node that gives up.

use crate::pair::{DEVICE, PLAYBOOK, answers, pair};
use crate::support::World;
use crate::{PLANNED, talked, untouched, why};

const UNPLANNED: [&str; 9] =
    ["failover", "--from", "a", "--to", "b", "--unplanned", "--yes", "--answers", "answers.toml"];

/// The activation begins with checks: the data must be there, and one is true only when the power of `a` is off.
const GUARDS: &str = r#"[[activate]]
stage = "Is it fit?"
  [[activate.step]]
  name = "the data is here"
  check.sh = 'test -e "$w/$node/data" || { echo "no data on $node"; exit 1; }'
  [[activate.step]]
  name = "nobody else is active"
  early = false
  check.sh = 'test -e "$w/../off-1" || test ! -e "$w/a/active"'
  [[activate.step]]
  name = "is it known?"
  on-failure = "continue"
  check.sh = 'test -e "$w/$node/never"'
[[activate]]
stage = "Take over"
"#;

fn guarded(more: &str) -> World {
    let world = pair(more);
    world.playbook(&PLAYBOOK.replacen("[[activate]]\nstage = \"Take over\"\n", GUARDS, 1));
    answers(&world);
    world
}

#[test]
fn a_target_that_is_not_fit_leaves_the_source_its_power() {
    let world = guarded(DEVICE);
    let ended = world.hawiz(&UNPLANNED).is(4);
    assert!(
        ended.out.ends_with(
            "because: b is not fit to take over, so a keeps its power: the data is here (b): no data on b; b: not changed; \
             next: what can only be true once a has given up is marked `early = false` in the playbook\n"
        ),
        "{}",
        ended.out
    );
    untouched(&world);
    assert!(!world.locked("b"));
    // And where it is fit, each check is looked at again in its place.
    world.put("w/b/data", "");
    let ended = world.hawiz(&UNPLANNED).is(8);
    assert!(ended.out.contains("before a gives anything up: 1 check is true of what b needs"), "{}", ended.out);
    let kept = |run: &String| std::fs::read_to_string(world.dir.join("here/runs").join(run).join("journal.jsonl"));
    let journals = world.runs().iter().map(|run| kept(run).expect("kept")).collect::<Vec<_>>();
    let journal = journals.iter().find(|j| j.contains("\"verdict\":\"degraded\"")).expect("the second run");
    let looked = |name: &str| {
        let id = format!("\"type\":\"looked\",\"step\":\"activate/is-it-fit/{name}@b\"");
        journal.match_indices(&id).map(|(at, _)| at).collect::<Vec<_>>()
    };
    let off = journal.find("\"type\":\"step-intent\"").expect("its power was cut");
    let data = looked("the-data-is-here");
    assert!(data.len() == 2 && data[0] < off && off < data[1], "{journal}");
    for later in ["nobody-else-is-active", "is-it-known"] {
        let at = looked(later);
        assert!(at.len() == 1 && off < at[0], "{later}: {journal}");
    }
}

#[test]
fn a_target_that_is_not_fit_leaves_the_source_as_it_is() {
    let world = guarded("");
    let ended = world.hawiz(&PLANNED).is(4);
    assert!(
        why(&ended)
            .starts_with("b is not fit to take over, so a is left as it is: the data is here (b): no data on b; "),
        "{}",
        ended.out
    );
    untouched(&world);
    world.put("w/b/data", "");
    world.hawiz(&PLANNED).is(8);
    assert_eq!((world.trace("a"), world.trace("b")), (vec!["stop".into()], vec!["prepare".into(), "start".into()]));
}

#[test]
fn a_check_that_cannot_be_looked_at_refuses_before_the_power_is_cut_too() {
    let world = guarded(DEVICE);
    let blind = GUARDS.replace("test -e \"$w/$node/data\"", "exit 126");
    world.playbook(&PLAYBOOK.replacen("[[activate]]\nstage = \"Take over\"\n", &blind, 1));
    let ended = world.hawiz(&UNPLANNED).is(4);
    assert!(why(&ended).contains("so a keeps its power: the data is here (b): cannot tell: "), "{}", ended.out);
    untouched(&world);
}

#[test]
fn a_dry_run_and_a_plan_say_what_is_looked_at_before_the_source_gives_up() {
    let world = guarded(DEVICE);
    let says = "1 check is looked at before a gives anything up, too: if it is false, nothing\n  is changed.";
    let args = ["failover", "--from", "a", "--to", "b", "--unplanned", "--dryrun"];
    let ended = world.hawiz(&args).is(4).says(says).says("✗ the data is here").says("Not ready: 1 check refuses.");
    assert!(ended.out.contains("· nobody else is active"), "{}", ended.out);
    world.put("w/b/data", "");
    world.hawiz(&args).is(0).says("✓ the data is here");
    world.hawiz(&["plan", "failover", "--from", "a", "--to", "b"]).is(0).says(says);
    let plan = world.hawiz(&["plan", "activate", "--on", "b"]).is(0);
    assert!(!plan.out.contains("gives anything up"), "{}", plan.out);
}

#[test]
fn only_a_check_can_be_early() {
    let world = pair("");
    world.playbook(&PLAYBOOK.replacen("exclusive = true\n", "exclusive = true\n  early = true\n", 1));
    let ended = world.hawiz(&["plan", "activate", "--on", "b"]).is(2);
    assert!(ended.err.contains("`early` in a step with `run`"), "{}", ended.err);
}

#[test]
fn a_target_that_is_not_fit_any_more_keeps_a_source_that_was_left_for_lost_its_power() {
    let world = guarded(DEVICE);
    let text = PLAYBOOK.replacen("[[activate]]\nstage = \"Take over\"\n", GUARDS, 1);
    world.playbook(&text.replacen(
        "echo stop >>\"$w/$node/trace\";",
        "echo stop >>\"$w/$node/trace\"; rm -f \"$w/b/data\";",
        1,
    ));
    world.put("w/b/data", "");
    world.put("w/a/stubborn", "");
    let answers = [("Continue?", "y"), ("[g]o unplanned", "g")];
    let ended = talked(&world, &["failover", "--from", "a", "--to", "b"], &answers).is(6);
    let screen = console::strip_ansi_codes(&ended.out).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        screen.contains("b is not fit to take over, so a keeps its power: the data is here (b): no data on b"),
        "{screen}"
    );
    assert!(!world.dir.join("fenced").exists());
    assert_eq!((world.trace("a"), world.trace("b")), (vec!["stop".into()], Vec::<String>::new()));
}
