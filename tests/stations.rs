//! Two stations work on the same nodes: one is lost, the other goes on with its run; each step is made exactly once, and whoever
//! comes back late does nothing.
//!
//! A station is a state directory of its own. `HAWIZ_CAMPAIGN=1` makes it longer; the seed is printed.

mod support;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::pty::talk;
use support::{Dice, Ended, World, campaign, failover, lonely, spread, step};

/// The second station.
fn there(world: &World, args: &[&str]) -> Ended {
    world.hawiz(&[&["--state-dir", "there"], args].concat())
}

fn journal(world: &World, station: &str, run: &str) -> String {
    fs::read_to_string(world.dir.join(station).join("runs").join(run).join("journal.jsonl")).unwrap_or_default()
}

fn until(what: &str, so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}: it never is");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The first station's hawiz; killed when it is let go.
struct First(Child);

impl First {
    fn start(world: &World, args: &[&str]) -> First {
        let out = fs::File::create(world.dir.join("first.out")).expect("the folder is ours");
        let child = world.command(args).stdout(out).stderr(Stdio::null()).spawn();
        First(child.expect("hawiz was built for this test"))
    }
    fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.0.id().to_string()]).status();
        assert!(done.expect("kill is everywhere").success());
    }
    fn ends(&mut self, world: &World) -> (Option<i32>, String) {
        let code = self.0.wait().expect("it is ours").code();
        (code, fs::read_to_string(world.dir.join("first.out")).expect("it was made"))
    }
}
impl Drop for First {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Three steps on one node, the second of which runs until `w/go` is there.
fn waiting() -> World {
    let waits = "name = \"Waits\"\nrun.sh = '''\necho begun >>\"$w/$node/trace\"\nwhile [ ! -e \"$w/go\" ]; do sleep 0.05; done\n\
                 echo ended >>\"$w/$node/trace\"\n'''\nundo.none = \"nothing\"\n";
    let world = World::new(&lonely(&[&step("First", ""), waits, &step("Last", "")]));
    world.lonely_site();
    world
}

/// The first station's run stands in the middle of its second step.
fn in_the_middle() -> (World, First, String) {
    let world = waiting();
    let first = First::start(&world, &["activate", "--on", "a", "--yes"]);
    until("the second step runs", || world.trace("a").len() == 2);
    let run = world.runs().pop().expect("it has begun");
    (world, first, run)
}

const ALL: [&str; 4] = ["first", "begun", "ended", "last"];

#[test]
fn a_run_whose_station_is_lost_is_gone_on_with_by_another_and_the_first_does_nothing_more() {
    let (world, first, run) = in_the_middle();
    drop(first);
    // Its silence proves nothing.
    let held = there(&world, &["resume", "--from", "a", "--yes"]).is(5);
    assert!(held.err.contains("the run may be alive: a is held by "), "{}", held.err);
    assert!(held.err.contains("when it is really gone: hawiz unlock a --reason TEXT"), "{}", held.err);
    assert!(!world.dir.join("there").exists(), "nothing was kept");
    // What runs still is waited for or ended by an express word.
    let runs = there(&world, &["unlock", "a", "--reason", "its host burnt down"]).is(4);
    assert!(
        runs.err.contains("`Waits` (started ") && runs.err.contains(") still runs on a; nothing was changed"),
        "{}",
        runs.err
    );
    assert!(runs.err.contains("`--wait` takes the lock") && world.locked("a"), "{}", runs.err);
    world.put("w/go", "");
    let freed = there(&world, &["unlock", "a", "--reason", "its host burnt down", "--wait"]).is(0);
    assert!(
        freed.out.starts_with("a is unlocked; it was held by ") && freed.out.contains(", last heard of "),
        "{}",
        freed.out
    );
    assert!(freed.out.ends_with(&format!("to go on with it here:  hawiz resume {run} --from a\n")), "{}", freed.out);
    assert_eq!(world.trace("a"), &ALL[..3]);

    let ended = there(&world, &["resume", "--from", "a", "--yes"]).is(0);
    assert!(ended.out.contains("this run is taken over from the copy on a: "), "{}", ended.out);
    assert_eq!(world.trace("a"), ALL);
    assert!(!world.locked("a"));

    // The first station is there again.
    let late = world.hawiz(&["resume", &run, "--yes"]).is(5);
    let last = late.out.lines().last().expect("it ends");
    assert!(last.contains("exit 5; because: another station has taken this run over on a: it went on with "), "{last}");
    assert!(last.contains(": its host burnt down; nothing further was done"), "{last}");
    assert_eq!(world.trace("a"), ALL);
    assert!(!world.locked("a"));
    there(&world, &["resume", &run, "--yes"]).is(2).says("is over");
}

#[test]
fn a_run_that_was_taken_over_before_its_first_change_is_the_others_too() {
    let world = World::new("format = 1\n");
    // Once the lock is taken, its look waits for `go`.
    let lock = world.dir.join("state/a/lock");
    let looks = format!(
        "name = \"First\"\ndone.sh = 'test ! -d {} || while ! test -e \"$w/go\"; do sleep 0.02; done; test -e \"$w/first\"'\n\
         run.sh = 'echo first >>\"$w/$node/trace\"; : >\"$w/first\"'\nundo.none = \"nothing\"\n",
        lock.display()
    );
    world.playbook(&lonely(&[&looks]));
    world.lonely_site();
    let first = First::start(&world, &["activate", "--on", "a", "--yes"]);
    until("the node is locked and copied to", || world.locked("a") && !copies(&world, "a").is_empty());
    drop(first);
    world.put("w/go", "");
    let run = world.runs().pop().expect("it has begun");
    there(&world, &["unlock", "a", "--reason", "it is gone"]).is(0);
    there(&world, &["resume", "--from", "a", &run, "--yes"]).is(0);
    assert_eq!(world.trace("a"), ["first"]);
    // All is done already, but not by this one.
    let late = world.hawiz(&["resume", &run, "--yes"]).is(5);
    assert!(late.out.contains("another station has taken this run over on a"), "{}", late.out);
    assert!(!world.locked("a"));
}

#[test]
fn a_frozen_station_that_wakes_after_it_was_taken_over_ends_with_five_and_says_who_and_why() {
    let (world, mut first, run) = in_the_middle();
    first.signal("-STOP");
    world.put("w/go", "");
    there(&world, &["unlock", "a", "--reason", "no answer from its console", "--wait"]).is(0);
    there(&world, &["resume", "--from", "a", &run, "--yes"]).is(0);
    assert_eq!(world.trace("a"), ALL);
    first.signal("-CONT");
    let (code, out) = first.ends(&world);
    assert_eq!(code, Some(5), "{out}");
    let last = out.lines().last().expect("it ends");
    assert!(last.contains("because: a: the lock was taken over; unlocked by "), "{last}");
    assert!(last.contains(": no answer from its console; nothing further was done"), "{last}");
    assert_eq!(world.trace("a"), ALL);
    // It can neither go on with it nor take it back.
    world.hawiz(&["resume", &run, "--yes"]).is(5);
    world.hawiz(&["rollback", &run, "--yes"]).is(5);
    assert_eq!(world.trace("a"), ALL);
}

#[test]
fn a_frozen_station_that_wakes_while_the_other_holds_the_lock_does_not_give_that_lock_back() {
    let (world, mut first, run) = in_the_middle();
    first.signal("-STOP");
    there(&world, &["unlock", "a", "--reason", "frozen", "--stop"]).is(0).says("was ended on a");
    // Its second step has failed, so the other station stops there; its third attempt is under way when the first wakes.
    let mut second = First::start(&world, &["--state-dir", "there", "resume", "--from", "a", &run, "--yes"]);
    let (code, out) = second.ends(&world);
    assert_eq!(code, Some(6), "{out}");
    let mut second = First::start(&world, &["--state-dir", "there", "resume", &run, "--yes"]);
    until("it runs again", || world.trace("a").len() == 3);
    first.signal("-CONT");
    let (code, _) = first.ends(&world);
    assert_eq!(code, Some(6), "its step was ended by somebody else, and it stops there");
    assert!(world.locked("a"), "the lock is the second station's");
    world.hawiz(&["resume", &run, "--yes"]).is(5).says("it is held by ");
    assert!(world.locked("a"), "the lock is the second station's");
    world.put("w/go", "");
    assert_eq!(second.ends(&world).0, Some(0));
    assert_eq!(world.trace("a"), ["first", "begun", "begun", "ended", "last"]);
    assert!(!world.locked("a"));
}

/// Types these answers, one after the other, each when its question stands on the screen.
fn answers<'a>(all: &'a [(&'a str, &'a str)]) -> impl FnMut(&str) -> Option<Vec<u8>> + 'a {
    let mut next = 0;
    move |screen| {
        let (question, answer) = all.get(next)?;
        // Keys that are typed before the prompt is drawn are thrown away.
        let last = screen.rsplit('\n').next()?.trim_end().trim_end_matches("\u{1b}[0m");
        (screen.contains(question) && last.ends_with(':')).then(|| {
            next += 1;
            // Esc is a key of its own.
            if *answer == "\u{1b}" { answer.as_bytes().to_vec() } else { format!("{answer}\r").into_bytes() }
        })
    }
}

#[test]
fn on_a_terminal_the_node_is_typed_and_what_runs_is_waited_for_stopped_or_left() {
    let patience = Duration::from_secs(30);
    let unlock = ["unlock", "a", "--reason", "its host burnt down"];
    let (type_it, what) = ("Type `a` to go on", ": wait for it");
    for (then, left) in [("stop", 0), ("leave", 1), ("wait", 0)] {
        let (world, first, run) = in_the_middle();
        drop(first);
        // Esc, or another word than the node's name, changes nothing.
        let no = talk(&world, &unlock, patience, answers(&[(type_it, "b"), ("is no answer here", "\u{1b}")])).is(3);
        assert!(no.out.contains("nothing was changed") && world.locked("a"), "{}", no.out);
        let said = [(type_it, "a"), (what, then)];
        let mut typed = answers(&said);
        let ended = talk(&world, &unlock, patience, |screen| {
            if screen.contains("waiting for `Waits`") {
                world.put("w/go", "");
            }
            typed(screen)
        });
        let said = &ended.out;
        assert_eq!(ended.code, Some(0), "{then}: {said}");
        for part in
            ["Take the lock of a away", "  held by  ", "  runs     `Waits` (started ", "Its silence proves nothing"]
        {
            assert!(said.contains(part), "{then}: {said}");
        }
        assert_eq!(said.matches("still runs on a: whoever goes on waits for its end").count(), left, "{then}: {said}");
        assert!(said.contains(&format!("hawiz resume {run} --from a")) && !world.locked("a"), "{then}: {said}");
        world.put("w/go", "");
        // A step that was stopped has failed; a resume of the station's own run tries it once more.
        let again = world.hawiz(&["resume", &run, "--yes"]).code;
        assert_eq!(again, Some(if then == "stop" { 6 } else { 0 }), "{then}");
        world.hawiz(&["resume", &run, "--yes"]);
        assert_eq!(world.trace("a").iter().filter(|l| *l == "ended").count(), 1, "{then}: {:?}", world.trace("a"));
    }
}

#[test]
fn a_run_whose_lock_was_broken_is_shown_with_the_reason_until_it_is_gone_on_with() {
    let text = lonely(&[
        &step("First", ""),
        "name = \"Waits\"\nrun.sh = 'echo begun >>\"$w/$node/trace\"; while [ ! -e \"$w/go\" ]; do sleep 0.05; done'\nundo.none = \"\"\n",
    ]);
    let world = World::new(&format!(
        "{text}[[status]]\nstage = \"Is it there?\"\n[[status.step]]\nname = \"w is there\"\ncheck.sh = 'test -d \"$w\"'\n"
    ));
    world.lonely_site();
    let first = First::start(&world, &["activate", "--on", "a", "--yes"]);
    until("the second step runs", || world.trace("a").len() == 2);
    let run = world.runs().pop().expect("it has begun");
    drop(first);
    let held = there(&world, &["status"]).is(0);
    assert!(held.out.contains("a is held by a run: ") && !held.out.contains("not gone on with"), "{}", held.out);
    world.put("w/go", "");
    there(&world, &["unlock", "a", "--reason", "its host burnt down", "--wait"]).is(0);
    let broken = there(&world, &["status"]).is(0);
    let told = format!("run {run} was stopped on a and not gone on with: unlocked by ");
    assert!(broken.out.contains(&told) && broken.out.contains(": its host burnt down\n"), "{}", broken.out);
    there(&world, &["resume", "--from", "a", "--yes"]).is(0);
    let ended = there(&world, &["status"]).is(0);
    assert!(!ended.out.contains("not gone on with") && !ended.out.contains("held"), "{}", ended.out);
}

#[test]
fn what_was_not_begun_anywhere_leaves_no_copy_and_that_is_said() {
    let world = waiting();
    world.put("w/go", "");
    let none = there(&world, &["resume", "--from", "a"]).is(4);
    assert!(none.err.contains("a has no copy of any run"), "{}", none.err);
    there(&world, &["resume", "--from", "c"]).is(2).says("the site has no node `c`");
    world.hawiz(&["activate", "--on", "a", "--yes"]).is(0);
    let run = world.runs().pop().expect("it ran");
    let over = there(&world, &["resume", "--from", "a"]).is(2);
    assert!(over.err.contains(&format!("run `{run}` is over (")), "{}", over.err);
    there(&world, &["resume", "nothing", "--from", "a"]).is(4).says("a has no copy of run `nothing`");
}

#[test]
fn a_station_never_replaces_its_own_record_by_one_that_knows_less() {
    let (world, first, run) = in_the_middle();
    drop(first);
    there(&world, &["unlock", "a", "--reason", "gone", "--stop"]).is(0);
    let own = journal(&world, "here", &run);
    world.hawiz(&["resume", &run, "--from", "a", "--yes"]).is(2).says("no copy of it knows more than that");
    assert_eq!(journal(&world, "here", &run), own);
    // After another station went on with it, that one knows more, and it comes back by the same way.
    there(&world, &["resume", "--from", "a", "--yes"]).is(6);
    world.put("w/go", "");
    world.hawiz(&["resume", &run, "--from", "a", "--yes"]).is(0);
    assert_eq!(world.trace("a"), ["first", "begun", "begun", "ended", "last"]);
    there(&world, &["resume", &run, "--yes"]).is(5);
}

#[test]
fn a_run_that_loses_one_of_its_nodes_stops_before_its_next_change_and_gives_the_others_back() {
    let world = World::new(&failover());
    let waits = "name = \"Waits\"\nrun.sh = 'echo begun >>\"$w/$node/trace\"; while [ ! -e \"$w/go\" ]; do sleep 0.05; done'\nundo.none = \"\"\n";
    let last = step("Last", "on = [\"a\", \"b\"]");
    world.playbook(&format!(
        "format = 1\ntitle = \"Two\"\n[inputs]\nw = {{}}\n[[activate]]\nstage = \"Go\"\n[[activate.step]]\n{waits}[[activate.step]]\n{last}"
    ));
    let mut first = First::start(&world, &["activate", "--on", "a", "--yes"]);
    until("the first step runs", || world.trace("a").len() == 1);
    assert!(world.locked("a") && world.locked("b"));
    // Nothing of it runs on b, so nothing needs to be said about that.
    there(&world, &["unlock", "b", "--reason", "it is needed"]).is(0).says("nothing of that run runs there any more");
    // What was heard of b half a second ago would still hold.
    let began = Instant::now();
    until("it was heard of too long ago", || began.elapsed() > Duration::from_millis(500));
    world.put("w/go", "");
    let (code, out) = first.ends(&world);
    assert_eq!(code, Some(5), "{out}");
    let last = out.lines().last().expect("it ends");
    assert!(
        last.contains("because: b: the lock was taken over; unlocked by ") && last.contains(": it is needed; "),
        "{last}"
    );
    assert_eq!((world.trace("a"), world.trace("b")), (vec!["begun".into()], Vec::<String>::new()));
    assert!(!world.locked("a") && !world.locked("b"));
    // Nobody has gone on with it, so its own station may.
    world.hawiz(&["resume", "--yes"]).is(0);
    assert_eq!(world.trace("b"), ["last"]);
}

#[test]
fn a_run_that_was_taken_over_and_not_begun_is_taken_over_anew() {
    let (world, first, run) = in_the_middle();
    drop(first);
    there(&world, &["unlock", "a", "--reason", "gone", "--stop"]).is(0);
    // There is no terminal, and nobody answers the gate.
    there(&world, &["resume", "--from", "a"]).is(4).says("these have no answer");
    // The first station goes on meanwhile.
    world.put("w/go", "");
    world.hawiz(&["resume", &run, "--yes"]).is(6);
    there(&world, &["resume", &run, "--yes"]).is(4).says(&format!("take it over anew: hawiz resume {run} --from NODE"));
    there(&world, &["resume", &run, "--from", "a", "--yes"]).is(0);
    assert_eq!(world.trace("a"), ["first", "begun", "begun", "ended", "last"]);
    world.hawiz(&["resume", &run, "--yes"]).is(5);
}

#[test]
fn a_station_that_is_killed_while_it_takes_over_takes_over_again() {
    // The first is the first time; the second is where there is an older record of the run already.
    for before in [false, true] {
        let (world, first, run) = in_the_middle();
        drop(first);
        world.put("w/go", "");
        there(&world, &["unlock", "a", "--reason", "gone", "--wait"]).is(0);
        if before {
            there(&world, &["resume", "--from", "a"]).is(4);
        }
        let _ = fs::create_dir(world.dir.join("there"));
        world.keep();
        let kept = |to: &str, from: &str| {
            let _ = fs::remove_dir_all(world.dir.join(to));
            let done = Command::new("cp").args(["-a", from, to]).current_dir(&world.dir).status();
            assert!(done.expect("cp is everywhere").success());
        };
        kept("there.kept", "there");
        // As many as making it its own takes, and some of the run itself.
        for n in 1..=24 {
            world.back();
            kept("there", "there.kept");
            let at = n.to_string();
            let args = ["--state-dir", "there", "resume", "--from", "a", "--yes"];
            let ended = world.hawiz_with(&args, &[("HAWIZ_TEST_KILL_AT", &at)]);
            assert_eq!(ended.signal, Some(9), "boundary {n}: {ended:?}");
            there(&world, &["unlock", "a", "--reason", "gone, too", "--wait"]).is(0);
            let again = there(&world, &["resume", &run, "--from", "a", "--yes"]);
            if again.code == Some(2) {
                // The nodes know that the run is its own.
                there(&world, &["resume", &run, "--yes"]).is(0);
            } else {
                again.is(0);
            }
            assert_eq!(world.trace("a"), ALL, "boundary {n}");
            world.hawiz(&["resume", &run, "--yes"]).is(5);
        }
    }
}

/// The copies on a node.
fn copies(world: &World, node: &str) -> Vec<std::path::PathBuf> {
    let all = world.picture(&format!("state/{node}"));
    all.into_keys().filter(|p| p.file_name().is_some_and(|n| n == "journal")).collect()
}

#[test]
fn killed_at_random_moments_and_taken_over_every_step_is_made_once_and_the_records_agree() {
    let mut dice = Dice::new("stations");
    let times = if campaign() { 200 } else { 12 };
    let when: Vec<u64> = (0..times).map(|_| dice.below(1_500) * 1000 + dice.below(1000)).collect();
    let make = || World::new(&failover().replace("echo count", "sleep 0.2\necho count"));
    spread(when, 4, make, |world, dice| {
        world.fresh();
        let _ = fs::remove_dir_all(world.dir.join("there"));
        let (ms, cut) = (dice / 1000, dice % 1000);
        let first = First::start(world, &["activate", "--on", "a", "--yes"]);
        std::thread::sleep(Duration::from_millis(ms));
        drop(first);
        for node in ["a", "b"] {
            there(world, &["unlock", node, "--reason", "its station was killed", "--wait"]).is(0);
        }
        if cut < 300 {
            // The power went, and with it what was written last of some copy.
            for (n, copy) in copies(world, "a").iter().chain(&copies(world, "b")).enumerate() {
                let len = fs::metadata(copy).expect("it is there").len();
                let left = len * (cut + n as u64 * 97) % 300 / 300;
                fs::File::options().write(true).open(copy).and_then(|f| f.set_len(left)).expect("ours");
            }
        }
        let said = format!("killed after {ms} ms, {cut}");

        let run = world.runs().pop().unwrap_or_default();
        let from = if copies(world, "a").is_empty() { "b" } else { "a" };
        let ended = there(world, &["resume", "--from", from, "--yes"]);
        match ended.code {
            Some(0) => {
                let (old, new) = (journal(world, "here", &run), journal(world, "there", &run));
                let at = new.find("\"taken\":").expect("it was taken over");
                let shared = &new[..new[..at].rfind('\n').expect("it is not the first record") + 1];
                assert!(old.starts_with(shared), "{said}: {new}");
            }
            // Nothing was begun on that node, or the record of it is gone, or nothing was left to do.
            Some(4) if ended.err.contains("has no copy") || ended.err.contains("has no record") => {
                there(world, &["activate", "--on", "a", "--yes"]).is(0);
            }
            Some(2) if ended.err.contains("is over") => {}
            _ => panic!("{said}: {ended:?}"),
        }
        if !ended.err.contains("has no record") {
            assert_eq!(world.trace("a"), ["count", "blind", "active"], "{said}: {ended:?}");
        }
        assert_eq!(world.trace("b"), ["count"], "{said}: {ended:?}");
        assert!(!world.locked("a") && !world.locked("b"), "{said}: a lock is left");
        if ended.code == Some(0) {
            let late = world.hawiz(&["resume", &run, "--yes"]);
            assert!(late.code == Some(5) || late.err.contains("is over"), "{said}: {late:?}");
            assert_eq!(world.trace("a"), ["count", "blind", "active"], "{said}: {late:?}");
            assert!(!world.locked("a") && !world.locked("b"), "{said}: a lock is left");
        }
    });
}

#[test]
fn stations_that_are_killed_in_turn_hand_a_run_on_until_it_is_done_and_every_step_is_made_once() {
    let mut dice = Dice::new("stations in turn");
    let seeds: Vec<u64> = (0..if campaign() { 100 } else { 6 }).map(|_| dice.below(1 << 40)).collect();
    let make = || World::new(&failover().replace("echo count", "sleep 0.1\necho count"));
    spread(seeds, 4, make, |world, seed| {
        world.fresh();
        let stations = ["one", "two", "three"];
        stations.iter().for_each(|s| drop(fs::remove_dir_all(world.dir.join(s))));
        let mut dice = Dice(seed | 1);
        let mut said = vec![format!("seed {seed}")];
        let begins = ["activate", "--on", "a", "--yes"];
        drop(killed(world, "one", &begins, dice.below(900)));
        let run = fs::read_dir(world.dir.join("one/runs")).ok().and_then(|mut all| all.next()?.ok());
        let Some(run) = run.map(|e| e.file_name().to_string_lossy().into_owned()) else { return };
        for round in 0..12 {
            for node in ["a", "b"] {
                world.hawiz(&["--state-dir", "other", "unlock", node, "--reason", "killed", "--wait"]).is(0);
            }
            let station = stations[dice.below(3) as usize];
            let from = if copies(world, "a").is_empty() { "b" } else { "a" };
            let ms = if round > 8 { 20_000 } else { 100 + dice.below(900) };
            let ended = killed(world, station, &["resume", &run, "--from", from, "--yes"], ms);
            said.push(format!("{station} {ms} ms: {:?} {}", ended.code, ended.err));
            match ended.code {
                None => {}
                Some(0) => break,
                // Its own record is the best there is.
                Some(2) if ended.err.contains("no copy of it knows more") => {
                    let ended = killed(world, station, &["resume", &run, "--yes"], ms);
                    said.push(format!("{station} again: {:?} {}", ended.code, ended.err));
                    // It may have been killed after its last word.
                    let over = ended.code == Some(0) || ended.err.contains("is over (done and verified)");
                    assert!(over || ended.code.is_none(), "{said:#?}");
                    if over {
                        break;
                    }
                }
                Some(2) if ended.err.contains("is over") => break,
                Some(4) if ended.err.contains("has no copy") => {
                    world.hawiz(&[&["--state-dir", station], &begins[..]].concat()).is(0);
                    break;
                }
                _ => panic!("{said:#?}"),
            }
        }
        let traces = (world.trace("a"), world.trace("b"));
        assert_eq!(traces, (vec!["count".into(), "blind".into(), "active".into()], vec!["count".into()]), "{said:#?}");
        assert!(!world.locked("a") && !world.locked("b"), "a lock is left: {said:#?}");
    });
}

/// A station's hawiz, killed after that time if it has not ended by then.
fn killed(world: &World, station: &str, args: &[&str], ms: u64) -> Ended {
    let (out, err) = (world.dir.join(format!("{station}.out")), world.dir.join(format!("{station}.err")));
    let file = |path: &std::path::Path| fs::File::create(path).expect("the folder is ours");
    let args = [&["--state-dir", station], args].concat();
    let child = world.command(&args).stdout(file(&out)).stderr(file(&err)).spawn();
    let mut child = First(child.expect("hawiz was built for this test"));
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(ms) && child.0.try_wait().expect("it is ours").is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.0.kill();
    let code = child.0.wait().expect("it is ours").code();
    let text = |path| fs::read_to_string(path).expect("it was made");
    Ended { code, signal: None, out: text(&out), err: text(&err) }
}

#[test]
fn of_two_runs_that_want_both_nodes_one_gets_both_whatever_order_their_sites_name_them_in() {
    let world = World::new(&failover());
    let text = fs::read_to_string(world.dir.join("hawiz.toml")).expect("it was written");
    let at = |n: &str| text.find(&format!("[nodes.{n}]")).expect("it is named");
    let (head, a, b) = (&text[..at("a")], &text[at("a")..at("b")], &text[at("b")..]);
    world.put("other.toml", &format!("{head}{b}{a}"));
    for _ in 0..8 {
        world.fresh();
        let _ = fs::remove_dir_all(world.dir.join("there"));
        let mut both = [("here", "hawiz.toml", "a"), ("there", "other.toml", "b")].map(|(state, site, on)| {
            let args = ["--state-dir", state, "--site", site, "activate", "--on", on, "--yes"];
            First(world.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("hawiz was built"))
        });
        let codes = both.each_mut().map(|f| f.0.wait().expect("it is ours").code());
        // One has won; the other met its lock, or had its turn afterwards and found it active.
        assert!(matches!(codes, [Some(0), Some(4..=6)] | [Some(4..=6), Some(0)]), "{codes:?}");
        let active: Vec<_> =
            ["a", "b"].into_iter().filter(|n| world.dir.join("w").join(n).join("active").exists()).collect();
        assert_eq!(active.len(), 1, "{codes:?}");
        assert!(!world.locked("a") && !world.locked("b"), "{codes:?}: a lock is left");
    }
}

#[test]
fn no_secret_is_in_what_the_nodes_keep() {
    let says = "name = \"Says it\"\nrun.sh = 'read -r p; echo \"it is $p\"; echo \"and $p\" >&2'\nstdin = \"{pw}\\n\"\nundo.none = \"nothing\"\nshow = true\n";
    let text = lonely(&[says, &step("Last", "")]).replace("[inputs]\n", "[inputs]\npw = { kind = \"secret\" }\n");
    let mut world = World::new(&text);
    world.lonely_site();
    world.env.push(("HAWIZ_SECRET_PW".into(), "hunter2-hunter2".into()));
    world.hawiz(&["activate", "--on", "a", "--yes"]).is(0);
    let kept = world.picture("state/a");
    let copy = &kept[&copies(&world, "a")[0]];
    assert!(String::from_utf8_lossy(copy).contains("says-it"), "there is a copy");
    for (path, content) in kept {
        // The plan is packed there.
        let content = [hawiz::session::unpacked(&content).unwrap_or_default(), content].concat();
        assert!(!String::from_utf8_lossy(&content).contains("hunter2"), "{}", path.display());
    }
}

#[test]
fn the_copy_on_the_last_node_is_the_whole_record() {
    let world = World::new(&failover());
    world.hawiz(&["activate", "--on", "a", "--yes"]).is(0);
    let run = world.runs().pop().expect("it ran");
    // Nobody waits for a run's last words to reach its nodes.
    let copied = || {
        let copy = fs::read_to_string(&copies(&world, "a")[0]).expect("it is there");
        copy.split_inclusive('\n').filter(|l| *l != "\n").collect::<String>()
    };
    until("the run's end", || copied().contains("\"type\":\"run-finished\"") && copied().ends_with('\n'));
    assert_eq!(copied(), journal(&world, "here", &run));
    let plan = world.dir.join("state/a").join(format!("run.{run}")).join("plan");
    let own = world.dir.join("here/runs").join(&run).join("plan.json");
    let plan = hawiz::session::unpacked(&fs::read(plan).expect("it is there"));
    assert_eq!(plan, Some(fs::read(own).expect("it is there")));
}
