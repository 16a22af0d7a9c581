//! SIGKILL of the real process wherever the journal writer acts, and at random times: resume ends in the same world, each
//! change made exactly once, every lock given back.
//!
//! `HAWIZ_CAMPAIGN=1` makes it longer; the seed is printed.

mod support;

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use support::{Dice, Ended, World, campaign, failover, lonely, spread, step};

/// How many boundaries a command passes.
fn boundaries(world: &World, args: &[&str], code: i32) -> u64 {
    let log = world.dir.join("boundaries");
    let _ = fs::remove_file(&log);
    world.hawiz_with(args, &[("HAWIZ_TEST_KILL_LOG", log.to_str().expect("a plain path"))]).is(code);
    fs::read_to_string(&log).expect("the hook wrote it").lines().count() as u64
}

fn killed_at(world: &World, args: &[&str], n: u64) -> Ended {
    world.hawiz_with(args, &[("HAWIZ_TEST_KILL_AT", &n.to_string())])
}

/// One resume ends it; what was never begun is begun anew.
fn resumed(world: &World, n: u64) {
    let ended = world.hawiz(&["resume", "--yes"]);
    match ended.code {
        Some(0) => {}
        // Killed before its plan was on disk, or after its last word was.
        Some(2) if ended.err.contains("no run that could be resumed") => {
            if world.trace("a").is_empty() {
                world.hawiz(&["activate", "--on", "a", "--yes"]).is(0);
            }
        }
        _ => panic!("boundary {n}: {ended:?}"),
    }
}

#[test]
fn killed_at_every_boundary_resume_makes_each_change_once() {
    let world = World::new(&failover());
    let of = boundaries(&world, &["activate", "--on", "a", "--yes"], 0);
    let wanted = (world.trace("a"), world.trace("b"));
    assert_eq!(wanted, (vec!["count".into(), "blind".into(), "active".into()], vec!["count".to_string()]));
    assert!(of > 100, "{of} boundaries");
    let began = Instant::now();
    spread(
        (1..=of).collect(),
        5,
        || World::new(&failover()),
        |world, n| {
            world.fresh();
            let ended = killed_at(world, &["activate", "--on", "a", "--yes"], n);
            assert_eq!((ended.code, ended.signal), (None, Some(9)), "boundary {n} of {of}: {ended:?}");
            resumed(world, n);
            assert_eq!((world.trace("a"), world.trace("b")), wanted, "boundary {n} of {of}");
            assert!(!world.locked("a") && !world.locked("b"), "boundary {n} of {of}: a lock is left");
        },
    );
    eprintln!("{of} boundaries in {:?}", began.elapsed());
}

#[test]
fn a_roll_back_killed_at_every_boundary_is_gone_on_with() {
    let failing = || {
        let world = World::new(&format!(
            "{}[[activate.step]]\nname = \"Fails\"\nrun.sh = 'exit 3'\nundo.none = \"it did nothing\"\n",
            failover()
        ));
        world.hawiz(&["activate", "--on", "a", "--yes"]).is(6);
        world.keep();
        world
    };
    let world = failing();
    let of = boundaries(&world, &["rollback", "--yes"], 9);
    let wanted = (world.trace("a"), world.trace("b"));
    assert_eq!(wanted.0, ["count", "blind", "active", "undo-active", "undo-blind", "undo-count"]);
    let began = Instant::now();
    spread((1..=of).collect(), 5, failing, |world, n| {
        world.back();
        let ended = killed_at(world, &["rollback", "--yes"], n);
        assert_eq!(ended.signal, Some(9), "boundary {n} of {of}: {ended:?}");
        let journal = fs::read_to_string(world.dir.join("here/runs").join(&world.runs()[0]).join("journal.jsonl"));
        let begun = journal.expect("there is a run").contains("\"purpose\":\"rollback\"");
        // Once it has begun, resuming never goes forward; before, it is asked for again.
        let ended = world.hawiz(if begun { &["resume", "--yes"] } else { &["rollback", "--yes"] });
        // Its last word was on disk: then there is nothing to resume.
        let over = ended.code == Some(9) || (ended.code == Some(2) && n + 3 > of);
        assert!(over, "boundary {n} of {of}: {ended:?}");
        assert_eq!((world.trace("a"), world.trace("b")), wanted, "boundary {n} of {of}");
        assert!(!world.locked("a") && !world.locked("b"), "boundary {n} of {of}: a lock is left");
    });
    eprintln!("{of} boundaries in {:?}", began.elapsed());
}

/// A change that takes its time, between two quick ones.
fn slow() -> String {
    let slow = "name = \"Slow\"\nrun.sh = '''\necho begin >>\"$w/$node/trace\"\nsleep 1\necho end >>\"$w/$node/trace\"\n'''\nundo.none = \"\"\n";
    lonely(&[&step("First", ""), slow, &step("Last", "")])
}

#[test]
fn killed_at_random_times_around_a_slow_step_it_runs_exactly_once() {
    let mut dice = Dice::new("random kills");
    let times = if campaign() { 300 } else { 12 };
    let when: Vec<u64> = (0..times).map(|_| dice.below(1_600)).collect();
    let make = || {
        let world = World::new(&slow());
        world.lonely_site();
        world
    };
    spread(when, 4, make, |world, ms| {
        world.fresh();
        let child = Kept(start(world, &["activate", "--on", "a", "--yes"]));
        std::thread::sleep(Duration::from_millis(ms));
        drop(child);
        let ended = world.hawiz(&["resume", "--yes"]);
        if ended.code == Some(2) {
            // Killed before its first word, or after its last.
            if world.trace("a").is_empty() {
                world.hawiz(&["activate", "--on", "a", "--yes"]).is(0);
            }
        } else {
            ended.is(0);
        }
        assert_eq!(world.trace("a"), ["first", "begin", "end", "last"], "killed after {ms} ms");
        assert!(!world.locked("a"), "killed after {ms} ms: the lock is left");
    });
}

/// Killed when it is let go.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(world: &World, args: &[&str]) -> Child {
    world.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("hawiz was built for this test")
}

fn until(what: &str, so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}: it never is");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The node's session is a relay that stands still while a file is there, so that what hawiz has sent arrives later.
/// Frozen with a step's start on its way, and hawiz killed. What the session says goes on being taken, as by a link whose
/// other end has not noticed.
fn frozen() -> World {
    // The condition is looked at before the gate, and again at the step's turn: from there on the session stands still.
    let once = "name = \"Once\"\nrun.sh = 'echo once >>\"$w/$node/trace\"'\nundo.none = \"\"\nwhen.sh = '''\n\
                if [ ! -e \"$w/asked\" ]; then : >\"$w/asked\"; exit 0; fi\n\
                if [ ! -e \"$w/frozen\" ]; then : >\"$w/frozen\"; printenv RELAY >\"$w/hold\"; fi\n'''\n";
    let world = World::new(&lonely(&[&step("First", ""), once]));
    world.put(
        "relay.sh",
        "RELAY=$$ export RELAY\nwhile IFS= read -r line; do\n  while [ \"$(cat \"$1/hold\" 2>/dev/null)\" = $$ ]; do sleep 0.02; done\n  \
         printf '%s\\n' \"$line\"\ndone | sh | (trap '' PIPE; cat 2>/dev/null; cat >/dev/null)\n",
    );
    let dir = world.dir.display();
    world.put(
        "hawiz.toml",
        &format!(
            "playbook = \"playbook.toml\"\n[inputs]\nw = \"{dir}/w\"\n[nodes.a]\nvia = [\"sh\", \"{dir}/relay.sh\", \"{dir}/w\"]\nstate = \"{dir}/state/a\"\n"
        ),
    );
    let child = Kept(start(&world, &["activate", "--on", "a", "--yes"]));
    let journal = || {
        let run = world.runs().pop().unwrap_or_default();
        fs::read_to_string(world.dir.join("here/runs").join(run).join("journal.jsonl")).unwrap_or_default()
    };
    until("the intent is recorded", || journal().contains("\"type\":\"step-intent\",\"step\":\"activate/go/once@a\""));
    std::thread::sleep(Duration::from_millis(100)); // what is sent after the intent is on its way
    drop(child);
    assert_eq!(world.trace("a"), ["first"]);
    world
}

fn thaw(world: &World) {
    fs::remove_file(world.dir.join("w/hold")).expect("it holds");
}

#[test]
fn a_frozen_session_thawed_after_hawiz_went_on_starts_nothing() {
    let world = frozen();
    world.hawiz(&["resume", "--yes"]).is(0);
    assert_eq!(world.trace("a"), ["first", "once"]);
    // What the dead hawiz had sent arrives now, where its lock and its claim are gone.
    thaw(&world);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(world.trace("a"), ["first", "once"]);
    assert!(!world.locked("a"));
}

#[test]
fn a_frozen_session_thawed_before_anybody_went_on_runs_its_step_and_that_is_learnt() {
    let world = frozen();
    thaw(&world);
    until("the step has run", || world.trace("a").len() == 2);
    world.hawiz(&["resume", "--yes"]).is(0);
    assert_eq!(world.trace("a"), ["first", "once"]);
    assert!(!world.locked("a"));
}
