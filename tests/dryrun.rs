//! What you saw is what ran: the dry run's text pasted into `sh` leaves the trace of the real run, and nothing that is
//! typed makes a dry run change anything.
//!
//! `HAWIZ_CAMPAIGN=1` makes it longer; the seed is printed.

mod support;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::pty::talk;
use support::{Dice, World, campaign, failover, lonely, spread, step};

const ODD: &[u8] = b" two  spaces, 'single', \"double\", $HOME `id` \\ back * ?\n second line \t\xff\xfe%s {x} ";

/// Writes the value down byte for byte, by argument and by standard input.
fn odd() -> String {
    let writes = "name = \"Writes {v}\"\nrun.sh = '''\nprintf '%s\\n' \"$v\" >>\"$w/$node/trace\"\nprintf %s \"$v\" >\"$w/$node/value\"\n'''\n\
                  done.sh = 'test \"$(cat \"$w/$node/value\" 2>/dev/null; echo x)\" = \"$(printf %s \"$v\"; echo x)\"'\nundo.none = \"nothing\"\n";
    let reads =
        "name = \"Reads\"\nrun.sh = 'cat >>\"$w/$node/trace\"'\nstdin = \"-{v}-\\n\"\nundo.none = \"nothing\"\n";
    lonely(&[&step("First", ""), writes, reads, "name = \"is written\"\ncheck.sh = 'test -s \"$w/$node/value\"'"])
}

fn with_value(args: &[&str]) -> Vec<OsString> {
    let mut all: Vec<OsString> = args.iter().map(OsString::from).collect();
    all.push("--set".into());
    all.push(OsString::from_vec([b"v=", ODD].concat()));
    all
}

/// Pastes a script, part by part, with the values it asks for.
fn paste(world: &World, script: &[u8], values: &[(&str, &str)]) {
    std::fs::write(world.dir.join("pasted.sh"), script).expect("the folder is ours");
    let text = String::from_utf8_lossy(script).into_owned();
    let parts = (1..).take_while(|n| text.contains(&format!("\"${{hawiz_part-}}\" = {n} ]"))).count().max(1);
    for part in 1..=parts {
        let mut sh = Command::new("sh");
        sh.arg(world.dir.join("pasted.sh")).env_clear().envs(world.environment()).envs(values.iter().copied());
        let out = sh.env("hawiz_part", part.to_string()).stdin(Stdio::null()).output().expect("sh");
        assert!(out.status.success(), "part {part} of {parts}: {}", String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn the_dry_run_pasted_into_sh_leaves_the_trace_of_the_real_run() {
    let world = World::new(&odd());
    world.lonely_site();
    let real = world
        .command(&with_value(&["activate", "--on", "a", "--yes"]))
        .output()
        .expect("hawiz was built for this test");
    assert!(real.status.success(), "{}", String::from_utf8_lossy(&real.stderr));
    let wanted = world.picture("w");
    let value = std::fs::read(world.dir.join("w/a/value")).expect("the step wrote it");
    assert_eq!(value, ODD, "{}", String::from_utf8_lossy(&value));
    for args in [
        &["activate", "--on", "a", "--dryrun", "--format", "sh"][..],
        &["plan", "activate", "--on", "a", "--format", "sh"],
    ] {
        world.fresh();
        let text = world.command(&with_value(args)).output().expect("hawiz was built for this test");
        assert!(text.status.success(), "{}", String::from_utf8_lossy(&text.stderr));
        assert!(!world.dir.join("state").exists() && !world.dir.join("here").exists(), "{args:?} left something");
        paste(&world, &text.stdout, &[]);
        assert_eq!(world.picture("w"), wanted, "{args:?}");
    }
}

#[test]
fn on_two_nodes_the_parts_pasted_in_order_leave_the_same_trace() {
    let world = World::new(&failover());
    world.hawiz(&["activate", "--on", "a", "--yes"]).is(0);
    let wanted = world.picture("w");
    world.fresh();
    let text = world.hawiz(&["activate", "--on", "a", "--dryrun", "--format", "sh"]).is(0);
    paste(&world, text.out.as_bytes(), &[]);
    assert_eq!(world.picture("w"), wanted);
}

/// Anything a person might hit: keys of menus, words, Enter, Esc, ^D, ^C, ^Z, arrows, bytes that are no text.
fn keys(dice: &mut Dice) -> Vec<u8> {
    const ALL: [&[u8]; 24] = [
        b"y",
        b"Y",
        b"yes",
        b"n",
        b"q",
        b"d",
        b"v",
        b"?",
        b"r",
        b"u",
        b"s",
        b"e",
        b"a",
        b"b",
        b"\r",
        b"\r",
        b"\n",
        b"\x1b",
        b"\x04",
        b"\x03",
        b"\x1a",
        b"\x1b[A",
        b" ",
        b"\xff\xc3",
    ];
    (0..=dice.below(6)).flat_map(|_| ALL[dice.below(ALL.len() as u64) as usize].to_vec()).collect()
}

/// Its copy of the run's record has the run's end.
fn has_last_words(world: &World, node: &str) -> bool {
    let ends = |content: &[u8]| String::from_utf8_lossy(content).contains("\"type\":\"run-finished\"");
    world.picture(node).iter().any(|(path, content)| path.ends_with("journal") && ends(content))
}

#[test]
fn nothing_that_is_typed_makes_a_dry_run_change_anything() {
    let mut dice = Dice::new("keys in a dry run");
    let times = if campaign() { 4_000 } else { 200 };
    let seeds: Vec<u64> = (0..times).map(|_| dice.below(u64::MAX)).collect();
    let made = || {
        let world = World::new(&failover());
        // With a past: state of nodes and of hawiz that must stay as it is.
        world.hawiz(&["activate", "--on", "b", "--yes"]).is(0);
        std::fs::remove_file(world.dir.join("w/b/active")).expect("it was active");
        // Nobody waits for a run's last words to reach its nodes; here they must not come in the middle.
        let begun = Instant::now();
        while !["state/a", "state/b"].iter().all(|node| has_last_words(&world, node)) {
            assert!(begun.elapsed() < Duration::from_secs(20), "the nodes have no copy of the run's end");
            std::thread::sleep(Duration::from_millis(5));
        }
        world
    };
    spread(seeds, 4, made, |world, seed| {
        let mut dice = Dice(seed | 1);
        let before = (world.picture("w"), world.picture("state"), world.picture("here"));
        let ended = talk(world, &["activate", "--on", "a", "--dryrun"], Duration::from_secs(30), |_| {
            // Also before it has drawn anything.
            Some(keys(&mut dice))
        });
        // To its end, or ended by ^C.
        assert!(ended.code == Some(0) || ended.signal == Some(2), "seed {seed}: {ended:?}");
        let after = (world.picture("w"), world.picture("state"), world.picture("here"));
        for (was, is) in [(&before.0, &after.0), (&before.1, &after.1), (&before.2, &after.2)] {
            let changed =
                |(path, content): (&PathBuf, &Vec<u8>)| (was.get(path) != Some(content)).then(|| path.clone());
            assert_eq!(
                is.iter().filter_map(changed).collect::<Vec<PathBuf>>(),
                Vec::<PathBuf>::new(),
                "seed {seed}: changed"
            );
            assert_eq!(was.len(), is.len(), "seed {seed}: something is gone");
        }
    });
}

#[test]
fn after_dry_was_chosen_at_a_gate_nothing_that_is_typed_changes_anything() {
    let mut dice = Dice::new("keys after d");
    let times = if campaign() { 1_000 } else { 40 };
    let seeds: Vec<u64> = (0..times).map(|_| dice.below(u64::MAX)).collect();
    spread(
        seeds,
        4,
        || World::new(&failover()),
        |world, seed| {
            let mut dice = Dice(seed | 1);
            let before = world.picture("w");
            let mut chosen = false;
            let ended = talk(world, &["activate", "--on", "a"], Duration::from_secs(30), |screen| {
                if chosen {
                    return Some(keys(&mut dice));
                }
                if !screen.contains("[y]") {
                    return None;
                }
                chosen = true;
                Some([b"d\r".to_vec(), keys(&mut dice)].concat())
            });
            assert_eq!(ended.code, Some(0), "seed {seed}: {ended:?}");
            assert!(world.picture("w") == before, "seed {seed}: something changed");
        },
    );
}
