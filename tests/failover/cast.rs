//! Playbooks that fence in their own way, more than two nodes, and more than one station.

use crate::pair::{DEVICE, PLAYBOOK, answers, pair};
use crate::support::{Ended, World};
use crate::{PLANNED, untouched, why};

const UNPLANNED: [&str; 9] =
    ["failover", "--from", "a", "--to", "b", "--unplanned", "--yes", "--answers", "answers.toml"];

/// The playbook's own way to cut the power: a socket that is switched off, and says so.
const SOCKET: &str = r#"[[fence]]
stage = "Pull the plug"
on = "here"
  [[fence.step]]
  name = "Switch the socket of {target} off"
  run.sh = 'echo "off $target" >>"$w/../socket"; test -e "$w/lies" || : >"$w/../off"'
  no-return = "it loses its power"
  [[fence.step]]
  name = "The socket is off"
  check.sh = 'test -e "$w/../off"'
"#;

fn socket(world: &World) -> Option<String> {
    std::fs::read_to_string(world.dir.join("socket")).ok()
}

#[test]
fn a_playbook_may_cut_the_power_in_its_own_way() {
    let world = pair(DEVICE);
    world.playbook(&format!("{PLAYBOOK}{SOCKET}"));
    world.hawiz(&UNPLANNED[..7]).is(4).says("gate   fence/pull-the-plug  (type `a`; --yes never answers it)");
    world.put("answers.toml", "[gates]\n\"fence/pull-the-plug\" = \"a\"\n");
    // What the socket says counts, not what was sent to it.
    world.put("w/lies", "");
    world.hawiz(&UNPLANNED).is(6);
    assert_eq!((socket(&world).as_deref(), world.trace("b").len()), (Some("off a\n"), 0));
    std::fs::remove_file(world.dir.join("w/lies")).expect("it was put there");
    let ended = world.hawiz(&UNPLANNED).is(0);
    assert!(
        ended.out.contains("proof a (again): inactive: its power was cut in this run (the playbook's `fence`)"),
        "{}",
        ended.out
    );
    assert_eq!(socket(&world).as_deref(), Some("off a\noff a\n"));
    // The site's device was not needed, and a was not contacted.
    assert!(!world.dir.join("fenced").exists() && world.trace("a").is_empty());
    assert_eq!(world.trace("b"), ["prepare", "start"]);
}

#[test]
fn a_playbooks_own_fence_ends_in_a_check_and_runs_elsewhere() {
    let world = pair("");
    let plan = ["plan", "failover", "--from", "a", "--to", "b", "--unplanned"];
    let (change, _) = SOCKET.rsplit_once("  [[fence.step]]\n").expect("two steps");
    world.playbook(&format!("{PLAYBOOK}{change}"));
    world.hawiz(&plan).is(2).says("`fence` must end in a `check`").says("only a look that says *off* is a proof");
    world.playbook(&format!("{PLAYBOOK}{}", SOCKET.replacen("  run.sh", "  on = \"target\"\n  run.sh", 1)));
    world.hawiz(&plan).is(2).says("`fence` never runs on `target`");
}

#[test]
fn a_step_may_cut_the_power_with_the_sites_devices() {
    let world = pair(DEVICE);
    let own = "[[failover]]\nstage = \"Cut\"\nif.mode = \"unplanned\"\ngate = \"type off\"\n  [[failover.step]]\n  name = \"Cut\"\n  \
        on = \"here\"\n  run.fence = { node = \"{from}\" }\n[[failover]]\nuse = \"deactivate\"\ntarget = \"from\"\nif.mode = \"planned\"\n\
        [[failover]]\nuse = \"activate\"\ntarget = \"to\"\n";
    world.playbook(&format!("{PLAYBOOK}{own}"));
    world.put("answers.toml", "[gates]\n\"failover/cut\" = \"off\"\n");
    world.put("device-1", "lies");
    world.hawiz(&UNPLANNED).is(6).says("fence_test says the power is on: Status: ON");
    assert!(world.trace("b").is_empty());
    world.put("device-1", "works");
    let ended = world.hawiz(&UNPLANNED).is(0);
    assert!(
        ended.out.contains("proof a (again): inactive: its power was cut in this run (fence_test 1)"),
        "{}",
        ended.out
    );
    assert_eq!(world.trace("b"), ["prepare", "start"]);
}

/// A third node, that may take over as well.
fn three(more: &str) -> World {
    let world = pair("");
    let dir = world.dir.display();
    std::fs::create_dir_all(world.dir.join("w/c")).expect("the folder is ours");
    world.site(&format!("[nodes.c]\nvia = [\"env\", \"NODE=c\", \"sh\"]\nstate = \"{dir}/state/c\"\n{more}"));
    world
}

#[test]
fn of_three_nodes_the_one_that_takes_over_is_named_and_the_third_is_proven_and_locked_too() {
    let world = three("");
    let ended = world.hawiz(&["failover", "--yes"]).is(2);
    assert!(ended.err.contains("which node takes over? name it with --to NODE (b, c)"), "{}", ended.err);
    untouched(&world);
    let ended = world.hawiz(&["failover", "--to", "c", "--yes"]).is(0);
    assert!(ended.out.contains("failover from a to c: A pair"), "{}", ended.out);
    assert_eq!((world.trace("a"), world.trace("c")), (vec!["stop".into()], vec!["prepare".into(), "start".into()]));
    assert!(ended.out.contains("proof b (again): inactive: looked at"), "{}", ended.out);
    assert!(ended.out.contains("node b: locked for this run") && world.trace("b").is_empty(), "{}", ended.out);
}

#[test]
fn a_third_node_that_is_active_or_cannot_be_looked_at_refuses_before_anything_is_taken_from_the_first() {
    let world = three("");
    world.put("w/b/leftover", "");
    let ended = world.hawiz(&["failover", "--from", "a", "--to", "c", "--yes"]).is(4);
    assert!(why(&ended).starts_with("SPLIT BRAIN: a and b are active at once ("), "{}", ended.out);
    std::fs::remove_file(world.dir.join("w/b/leftover")).expect("it was put there");
    let site = std::fs::read_to_string(world.dir.join("hawiz.toml")).expect("it was written");
    world.put("hawiz.toml", &site.replacen("\"NODE=b\", \"sh\"", "\"NODE=b\", \"false\"", 1));
    let ended = world.hawiz(&["failover", "--from", "a", "--to", "c", "--yes"]).is(4);
    assert!(ended.out.contains("b is not proven inactive: it cannot be reached"), "{}", ended.out);
    untouched(&world);
    let ended = world.hawiz(&["failover", "--from", "a", "--to", "c", "--yes", "--attest", "b"]).is(0);
    assert!(ended.out.contains("proof b (again): inactive: a person vouches for it"), "{}", ended.out);
    assert_eq!(world.trace("c"), ["prepare", "start"]);
}

fn there(world: &World, args: &[&str]) -> Ended {
    world.hawiz(&[&["--state-dir", "there"], args].concat())
}

#[test]
fn a_run_is_neither_gone_on_with_nor_taken_back_when_another_station_has_changed_its_nodes_since() {
    let world = pair("");
    world.put("w/b/broken", "");
    world.hawiz(&PLANNED).is(6);
    // Another station makes the first node active again; the first station keeps no record of that.
    there(&world, &["activate", "--on", "a", "--yes"]).is(0);
    let later = std::fs::read_dir(world.dir.join("there/runs")).expect("it is kept").flatten().next().expect("one run");
    let later = later.file_name().to_string_lossy().into_owned();
    let run = world.runs().pop().expect("one run");
    std::fs::remove_file(world.dir.join("w/b/broken")).expect("it was put there");
    let before = (world.trace("a"), world.trace("b"));
    for command in ["resume", "rollback"] {
        let ended = world.hawiz(&[command, "--yes"]).is(6);
        let said = format!("run `{later}` has changed a since; `{run}` can neither be resumed nor rolled back");
        assert!(ended.out.contains(&said), "{command}: {}", ended.out);
        assert_eq!((world.trace("a"), world.trace("b")), before, "{command}");
        assert!(!world.locked("a") && !world.locked("b"), "{command}");
    }
}

#[test]
fn another_station_takes_a_run_back_from_the_copy_on_a_node() {
    let world = pair("");
    world.put("w/b/broken", "");
    world.hawiz(&PLANNED).is(6);
    let run = world.runs().pop().expect("one run");
    let ended = there(&world, &["rollback", "--from", "b", "--yes"]).is(9);
    assert!(ended.out.contains("this run is taken over from the copy on "), "{}", ended.out);
    assert_eq!(world.trace("b"), ["prepare", "start", "undo-start", "undo-prepare"]);
    assert_eq!(world.trace("a"), ["stop", "undo-stop"]);
    world.hawiz(&["resume", &run, "--yes"]).is(5).says("another station has taken this run over");
    // A run that is over can be taken back from elsewhere as well, once.
    std::fs::remove_file(world.dir.join("w/b/broken")).expect("it was put there");
    world.hawiz(&PLANNED).is(0);
    // Two runs of one second are told apart by chance only.
    let run = world.runs().into_iter().find(|r| *r != run).expect("two runs");
    there(&world, &["rollback", "--from", "b", &run, "--yes"]).is(9);
    assert!(world.dir.join("w/a/active").exists() && !world.dir.join("w/b/active").exists());
    there(&world, &["rollback", &run, "--yes"]).is(2).says(&format!("nothing of run `{run}` is left to undo"));
}

#[test]
fn a_later_run_that_changed_this_machine_alone_keeps_nobody_from_going_on() {
    let world = pair(DEVICE);
    let note = "[[note]]\nstage = \"Note\"\n  [[note.step]]\n  name = \"Note it\"\n  on = \"here\"\n  \
        run.sh = ': >\"$w/noted\"'\n  undo.none = \"nothing\"\n";
    world.playbook(&format!("{PLAYBOOK}{note}"));
    world.put("w/b/broken", "");
    answers(&world);
    world.hawiz(&UNPLANNED).is(6);
    let run = world.runs().pop().expect("one run");
    world.hawiz(&["run", "note", "--yes"]).is(0);
    std::fs::remove_file(world.dir.join("w/b/broken")).expect("it was put there");
    world.hawiz(&["resume", &run, "--yes", "--answers", "answers.toml"]).is(0);
    assert!(world.dir.join("w/noted").exists() && world.dir.join("w/b/active").exists());
}
