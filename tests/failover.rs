//! `hawiz failover` as an operator meets it: what it refuses and how, what it does, and how it is taken back.
//!
//! Invariant: every refusal is checked by its whole text, and that it changed nothing is looked up in the world.

#[path = "failover/cast.rs"]
mod cast;
#[path = "failover/early.rs"]
mod early;
#[path = "failover/leftover.rs"]
mod leftover;
#[path = "failover/pair.rs"]
mod pair;
mod support;

use pair::{DEVICE, answers, pair, unplug};
use std::time::Duration;
use support::pty::talk;
use support::{Ended, World};

const PLANNED: [&str; 6] = ["failover", "--from", "a", "--to", "b", "--yes"];

/// The last line's reason and what is said to do.
fn why(ended: &Ended) -> String {
    let line = ended.out.lines().last().unwrap_or_default();
    let because = line.split_once("because: ").map_or("", |(_, b)| b);
    let next: Vec<&str> = line.split("; next: ").skip(1).map(|n| n.trim_end_matches(" [Failed]")).collect();
    format!("{}\n{}", because.split("; a: ").next().unwrap_or_default(), next.join("\n"))
}

fn untouched(world: &World) {
    assert!(world.trace("a").is_empty() && world.trace("b").is_empty(), "something was done");
    assert!(!world.dir.join("fenced").exists(), "something was fenced");
}

#[test]
fn one_gives_up_and_the_other_takes_over_in_one_run() {
    let world = pair("");
    let ended = world.hawiz(&["failover", "--yes"]).is(0);
    assert_eq!((world.trace("a"), world.trace("b")), (vec!["stop".into()], vec!["prepare".into(), "start".into()]));
    assert!(ended.out.ends_with("a: inactive, as was looked at; b: active; every step is done and verified [Done]\n"));
    assert_eq!(world.runs().len(), 1);
    // And back: nobody has to say which way.
    world.hawiz(&["failover", "--yes"]).is(0).says("failover from b to a: A pair");
    assert!(!world.locked("a") && !world.locked("b"));
}

#[test]
fn what_cannot_be_right_is_refused_before_anything_is_looked_at() {
    let world = pair("");
    let told = |args: &[&str]| {
        let ended = world.hawiz(args).is(2);
        ended.err.replace(&world.dir.display().to_string(), "W")
    };
    assert_eq!(
        told(&["failover", "--from", "a", "--to", "a"]),
        "error: hawiz.toml: `a` cannot fail over to itself\n  hint: `--from` gives up, `--to` takes over; they are two nodes\n"
    );
    assert_eq!(
        told(&["failover", "--to", "c"]),
        "error: hawiz.toml: the site has no node `c`\n  hint: did you mean `a`?\n"
    );
    assert_eq!(
        told(&["failover", "--to", "a", "--on", "b"]),
        "error: `--to a` and `--on b`: one node takes over\n  hint: `--to NODE` says which\n"
    );
    assert_eq!(
        told(&["plan", "failover"]),
        "error: hawiz.toml: which node gives up? name it with --from NODE (a, b)\n"
    );
    untouched(&world);
    assert_eq!(world.runs(), [""; 0]);
}

#[test]
fn who_is_active_decides_whether_it_begins() {
    let world = pair("");
    world.put("w/b/active", "");
    let both = world.hawiz(&["failover", "--yes"]).is(4);
    assert_eq!(
        both.err,
        "error: SPLIT BRAIN: a and b are active at once (a: not so: \"is not active\" (exit 1); b: not so: \"is not active\" (exit 1))\n  \
         hint: decide which of them is right, and deactivate the other: hawiz deactivate --on NODE\n"
            .replace(" (exit 1)", "")
    );
    let both = world.hawiz(&PLANNED).is(4);
    assert!(why(&both).starts_with("SPLIT BRAIN: a and b are active at once (a: not so: "), "{}", both.out);

    std::fs::remove_file(world.dir.join("w/a/active")).expect("it was put there");
    let other = world.hawiz(&PLANNED).is(4);
    assert_eq!(
        why(&other),
        "b is active already (not so: \"is not active\")\nthere is nothing to fail over; away from it: hawiz failover --from b"
    );
    std::fs::remove_file(world.dir.join("w/b/active")).expect("it was put there");
    let nobody = world.hawiz(&PLANNED).is(4);
    assert_eq!(why(&nobody), "nobody is active, so nobody can give up\nmake a node active: hawiz activate --on b");
    let nobody = world.hawiz(&["failover", "--yes"]).is(4);
    assert_eq!(
        nobody.err,
        "error: nobody is active, so nobody can give up\n  hint: make a node active: hawiz activate --on NODE\n"
    );
    untouched(&world);
}

#[test]
fn a_source_that_cannot_be_reached_is_left_to_an_unplanned_failover() {
    let world = pair("");
    unplug(&world, "");
    let ended = world.hawiz(&PLANNED).is(4);
    assert!(why(&ended).starts_with("cannot reach a: "), "{}", ended.out);
    assert!(why(&ended).ends_with("\nif it is gone: hawiz failover --from a --to b --unplanned"), "{}", ended.out);
    let ended = world.hawiz(&["failover", "--yes"]).is(4);
    assert!(ended.err.contains("nobody is seen active, and a cannot be looked at: "), "{}", ended.err);
    assert!(
        ended.err.ends_with("if it is a that is to give up: hawiz failover --from a --unplanned\n"),
        "{}",
        ended.err
    );
    untouched(&world);
}

#[test]
fn one_machine_behind_two_names_is_refused() {
    let world = pair("");
    world.hawiz(&["failover", "--yes"]).is(0);
    let site = std::fs::read_to_string(world.dir.join("hawiz.toml")).expect("it is there");
    world.put("hawiz.toml", &site.replace("NODE=a", "NODE=b").replace("state/a", "state/b"));
    let before = (world.trace("a"), world.trace("b"));
    let ended = world.hawiz(&PLANNED);
    assert!(
        why(&ended).starts_with("a and b are one machine (same identity): two names"),
        "{} {}",
        ended.out,
        ended.err
    );
    let ended = world.hawiz(&["failover", "--yes"]).is(4);
    assert!(ended.err.starts_with("error: a and b are one machine (same identity): two names"), "{}", ended.err);
    assert_eq!((world.trace("a"), world.trace("b")), before);
}

#[test]
fn a_dry_run_shows_what_is_sent_to_the_fence_agent_and_asks_for_no_secret() {
    let world = pair(DEVICE);
    let mut args = vec!["failover", "--from", "a", "--to", "b", "--unplanned", "--dryrun"];
    let ended = world.hawiz_with(&args, &[("HAWIZ_SECRET_PASSWORD", "")]).is(0);
    let stage =
        ended.out.split("\n2 · ").nth(1).and_then(|s| s.split("\n3 · ").next()).expect("two stages").to_string();
    assert_eq!(
        stage,
        "\
Cut the power of a                                     type a · this machine
  Whatever still runs on a ends at once, and what it has not written is lost.
  → Cut the power of a (fence_test 1)                                deadline 2s
    run     fence_test
    stdin   printf 'action=off\\nplug=1\\npassword=%s\\n' \"$password\"
    undo    none
    POINT OF NO RETURN: a loses its power, and whatever ran there is gone
  · The power of a is off (fence_test 1)                waits up to 2s · not yet
    check   power_is_off fence_test
    stdin   printf 'action=status\\nplug=1\\npassword=%s\\n' \"$password\"

Proof: is a off?                                                       proof · a
  Its power is off (fence_test 1), and it shows no sign of life: asked again
  before each change that only one node may have.
"
    );
    untouched(&world);
    // Nobody vouches, and there is no device.
    world.site("");
    let ended = world.hawiz(&args).is(4);
    assert!(ended.out.contains("- a fence device in the site file: [nodes.a.fence]\n"), "{}", ended.out);
    args.extend(["--attest", "a"]);
    world.hawiz(&args).is(0).says("a: inactive: a person vouches for it");
    assert_eq!(world.runs(), [""; 0]);
}

#[test]
fn an_agent_is_told_the_action_and_the_options_and_the_secret_goes_nowhere_else() {
    let world = pair(DEVICE);
    answers(&world);
    let args = ["failover", "--to", "b", "--unplanned", "--yes", "--answers", "answers.toml"];
    let ended = world.hawiz(&args).is(0);
    let sent = std::fs::read_to_string(world.dir.join("fenced")).expect("the agent was called");
    assert_eq!(
        sent,
        "action=off plug=1 password=open-sesame \n".to_string()
            + &"action=status plug=1 password=open-sesame \n".repeat(2)
    );
    assert!(!format!("{}{}", ended.out, ended.err).contains("open-sesame"));
    for (path, content) in world.picture("here").into_iter().chain(world.picture("state")) {
        assert!(!String::from_utf8_lossy(&content).contains("open-sesame"), "{}", path.display());
    }
    assert!(world.trace("a").is_empty());
    assert!(ended.out.ends_with(
        "a: fenced in this run: its power is off (fence_test 1); b: active; every step is done and verified [Done]\n"
    ));
}

#[test]
fn without_a_terminal_the_power_is_not_cut_unasked() {
    let world = pair(DEVICE);
    let ended = world.hawiz(&["failover", "--from", "a", "--to", "b", "--unplanned", "--yes"]).is(4);
    assert!(ended.err.contains("gate   fence/cut-the-power  (type `a`; --yes never answers it)"), "{}", ended.err);
    untouched(&world);
}

/// Answers each question by what its prompt ends with.
fn talked(world: &World, args: &[&str], answers: &[(&str, &str)]) -> Ended {
    let mut left = answers.to_vec();
    let mut seen = 0;
    talk(world, args, Duration::from_secs(60), move |screen| {
        let plain = console::strip_ansi_codes(screen).into_owned();
        let (prompt, answer) = *left.first()?;
        let at = plain[seen..].find(prompt)?;
        if !plain.trim_end().ends_with(':') {
            return None;
        }
        seen += at + prompt.len();
        left.remove(0);
        Some(format!("{answer}\r").into_bytes())
    })
}

#[test]
fn a_source_that_will_not_give_up_can_be_left_for_lost_in_the_middle() {
    let world = pair(DEVICE);
    world.put("w/a/stubborn", "");
    let ended = talked(
        &world,
        &["failover", "--from", "a", "--to", "b"],
        &[("Continue?", "y"), ("[g]o unplanned", "g"), ("Type `a`", "a"), ("Continue?", "y")],
    )
    .is(0);
    let screen = console::strip_ansi_codes(&ended.out).into_owned();
    assert!(screen.contains("Unplanned from here on: a is left for lost"), "{screen}");
    assert_eq!((world.trace("a"), world.trace("b")), (vec!["stop".into()], vec!["prepare".into(), "start".into()]));
    let run = world.runs().pop().expect("one run");
    let journal = std::fs::read_to_string(world.dir.join("here/runs").join(&run).join("journal.jsonl")).expect("kept");
    assert!(journal.contains("\"type\":\"went-unplanned\",\"node\":\"a\""));
    assert!(journal.contains("\"is\":\"skipped\",\"why\":\"gone on unplanned, a is left for lost\""));
    assert!(journal.contains("\"proven\":{\"fenced\":\"fence_test 1\"}"));
}

#[test]
fn a_run_that_went_unplanned_is_resumed_as_one() {
    let world = pair(DEVICE);
    world.put("w/a/stubborn", "");
    world.put("device-1", "fails");
    let answers = [("Continue?", "y"), ("[g]o unplanned", "g"), ("Type `a`", "a"), ("[v]ouch for it", "q")];
    talked(&world, &["failover", "--from", "a", "--to", "b"], &answers).is(6);
    assert_eq!((world.trace("a"), world.trace("b")), (vec!["stop".into()], Vec::<String>::new()));
    world.put("device-1", "works");
    unplug(&world, DEVICE);
    let ended = talked(&world, &["resume"], &[("Type `a`", "a"), ("Continue?", "y")]).is(0);
    assert!(!ended.out.contains("cannot be reached"), "it was contacted:\n{}", ended.out);
    assert_eq!((world.trace("a"), world.trace("b")), (vec!["stop".into()], vec!["prepare".into(), "start".into()]));
}

#[test]
fn a_source_that_is_on_again_when_its_run_is_resumed_is_fenced_again() {
    let world = pair(DEVICE);
    let answers = [("Type `a`", "a"), ("Continue?", "q")];
    talked(&world, &["failover", "--from", "a", "--to", "b", "--unplanned"], &answers).is(6);
    let offs = || {
        let sent = std::fs::read_to_string(world.dir.join("fenced")).expect("the agent keeps it");
        sent.lines().filter(|l| l.starts_with("action=off")).count()
    };
    assert_eq!(offs(), 1);
    std::fs::remove_file(world.dir.join("off-1")).expect("it is off");
    // Nobody is there who would see that.
    world.put("answers.toml", "[gates]\n\"fence/cut-the-power\" = \"a\"\n");
    let ended = world.hawiz(&["resume", "--yes", "--answers", "answers.toml"]).is(6);
    assert!(ended.out.contains("a was fenced in this run, but its power is on: "), "{}", ended.out);
    assert!(ended.out.contains("on a terminal `hawiz resume` cuts the power of a anew"), "{}", ended.out);
    assert_eq!((offs(), world.trace("b")), (1, Vec::<String>::new()));
    talked(&world, &["resume"], &[("Type `a`", "a"), ("Continue?", "y")]).is(0);
    assert_eq!((offs(), world.trace("b")), (2, vec!["prepare".into(), "start".into()]));
}

#[test]
fn where_fencing_fails_a_person_may_vouch_instead() {
    let world = pair(DEVICE);
    world.put("device-1", "fails");
    let answers = [("Type `a`", "a"), ("[v]ouch for it", "v"), ("a", "a"), ("Continue?", "y")];
    let ended = talked(&world, &["failover", "--from", "a", "--to", "b", "--unplanned"], &answers).is(0);
    let screen = console::strip_ansi_codes(&ended.out).into_owned();
    assert!(screen.contains("a person vouches for a instead"), "{screen}");
    assert_eq!(world.trace("b"), ["prepare", "start"]);
}

#[test]
fn a_failed_activation_is_taken_back_on_both_nodes() {
    let world = pair("");
    world.put("w/b/broken", "");
    world.hawiz(&PLANNED).is(6);
    assert_eq!((world.trace("a"), world.trace("b")), (vec!["stop".into()], vec!["prepare".into(), "start".into()]));
    let ended = world.hawiz(&["rollback", "--yes"]).is(9);
    assert_eq!(world.trace("b"), ["prepare", "start", "undo-start", "undo-prepare"]);
    assert_eq!(world.trace("a"), ["stop", "undo-stop"]);
    assert!(world.dir.join("w/a/active").exists());
    assert!(ended.out.contains("proof b: inactive: looked at"), "{}", ended.out);
    assert!(ended.out.contains("a: active again; all was taken back; b: as it was before this run"), "{}", ended.out);
}

#[test]
fn the_source_is_not_made_active_while_the_other_may_be() {
    let world = pair("");
    world.put("w/b/broken", "");
    world.hawiz(&PLANNED).is(6);
    // Somebody started something there meanwhile.
    world.put("w/b/leftover", "");
    let ended = world.hawiz(&["rollback", "--yes"]).is(6);
    assert_eq!(world.trace("a"), ["stop"], "{}", ended.out);
    assert!(!world.dir.join("w/a/active").exists());
    assert!(ended.out.contains("b is active: not so: \"has nothing left over\""), "{}", ended.out);
}

#[test]
fn a_second_failover_so_soon_wants_a_reason() {
    let world = pair("");
    let site = std::fs::read_to_string(world.dir.join("hawiz.toml")).expect("it is there");
    world.put("hawiz.toml", &format!("min-interval = \"10m\"\n{site}"));
    world.hawiz(&["failover", "--yes"]).is(0);
    let ended = world.hawiz(&["failover", "--yes"]).is(4);
    assert!(ended.err.contains("less than `min-interval` (600s): is it the system that is at fault?"), "{}", ended.err);
    assert!(ended.err.ends_with("hint: say why it is right all the same: --comment TEXT\n"), "{}", ended.err);
    world
        .hawiz(&["failover", "--yes", "--comment", "the first was a test"])
        .is(0)
        .says("comment: the first was a test");
}

#[test]
fn a_playbook_may_fail_over_in_its_own_order() {
    let world = pair("");
    // A system behind a load balancer: nobody has to be the only one.
    let own = pair::PLAYBOOK.replace("[[inactive", "[[quiet").replace("exclusive = true\n", "");
    let order = "[[failover]]\nuse = \"activate\"\ntarget = \"to\"\n[[failover]]\nuse = \"deactivate\"\ntarget = \"from\"\nif.mode = \"planned\"\n\
        [[failover]]\nstage = \"Who is left?\"\nif.mode = \"unplanned\"\n[[failover.step]]\nname = \"all\"\non = \"all\"\ncheck.sh = 'test \"$node\" = b'\ntrue-on = \"majority\"\n";
    world.playbook(&format!("{own}{order}"));
    world.hawiz(&["failover", "--from", "a", "--to", "b", "--yes"]).is(0);
    let run = world.runs().pop().expect("one run");
    let journal = std::fs::read_to_string(world.dir.join("here/runs").join(&run).join("journal.jsonl")).expect("kept");
    let at = |what: &str| journal.find(what).expect("it was done");
    assert!(at("\"step\":\"activate/take-over/start@b\"") < at("\"step\":\"deactivate/give-up/stop@a\""));
    // Of two nodes one is lost: what is left is no majority.
    let ended = world.hawiz(&["failover", "--from", "a", "--to", "b", "--unplanned", "--yes"]).is(4);
    assert!(ended.out.contains("true on 1 of 2 nodes, wanted more than half"), "{}", ended.out);
}

#[test]
fn nothing_of_an_unplanned_failover_may_stand_on_the_node_that_is_lost() {
    let world = pair("");
    world.playbook(&format!(
        "{}[[failover]]\nstage = \"Look\"\n[[failover.step]]\nname = \"there\"\non = \"from\"\ncheck.sh = 'true'\n",
        pair::PLAYBOOK
    ));
    let ended = world.hawiz(&["plan", "failover", "--from", "a", "--to", "b", "--unplanned"]).is(2);
    assert!(ended.err.contains("an unplanned failover never contacts `a`: nothing can run there"), "{}", ended.err);
    world.hawiz(&["plan", "failover", "--from", "a", "--to", "b"]).is(0);
}

#[test]
fn a_plan_says_what_is_a_sign_of_life_and_none_is_looked_for_on_the_node_itself() {
    let world = pair("");
    let signs = |on: &str| {
        let step = format!(
            "[[alive]]\nstage = \"Alive?\"\n[[alive.step]]\nname = \"a session\"\n{on}check.sh = 'test -e \"$w/$from\"'\n"
        );
        world.playbook(&format!("{}{step}", pair::PLAYBOOK));
        world.hawiz(&["plan", "activate", "--on", "b"])
    };
    let plan = signs("").is(0);
    assert!(
        plan.out.contains("  Where a cannot be looked at, each of these is a sign that it is alive, and\n  refuses:\n"),
        "{}",
        plan.out
    );
    assert!(plan.out.contains("test -e \"$w/$from\"") && plan.out.contains("on b\n"), "{}", plan.out);
    signs("on = \"from\"\n").is(2).says("nothing can run there");
    let plan = world.hawiz(&["plan", "deactivate", "--on", "a"]).is(0);
    assert!(!plan.out.contains("sign"), "{}", plan.out);
}
