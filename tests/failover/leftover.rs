//! A node that was away when a run ended still holds its lock when it is back: who knows that the run is over gives it back.

use crate::pair::{PLAYBOOK, pair};
use crate::support::{Ended, World};

/// The way to `a` ends when there is a file `off`, and its sessions with it.
fn world() -> World {
    let world = pair("");
    let site = std::fs::read_to_string(world.dir.join("hawiz.toml")).expect("it was written just now");
    let dir = world.dir.display();
    let way = format!(
        "via = [\"sh\", \"-c\", \"test ! -e {dir}/off || exit 255; echo $$ >>{dir}/sessions; exec env NODE=a sh\"]"
    );
    world.put("hawiz.toml", &site.replacen("via = [\"env\", \"NODE=a\", \"sh\"]", &way, 1));
    let last = "  [[activate.step]]\n  name = \"Last\"\n  run.sh = 'echo last >>\"$w/$node/trace\"; test ! -e \"$w/lose\" || { \
        : >\"$w/../off\"; xargs kill -KILL <\"$w/../sessions\" || :; }'\n  undo.none = \"nothing\"\n";
    world.playbook(&format!("{PLAYBOOK}{last}"));
    world
}

/// `b` has taken over, and `a` went away before its lock could be given back.
fn left() -> World {
    let world = world();
    world.put("w/lose", "");
    world.hawiz(&["failover", "--from", "a", "--to", "b", "--yes"]).is(0);
    assert!(world.locked("a") && !world.locked("b"), "it is left behind");
    for file in ["off", "sessions", "w/lose"] {
        std::fs::remove_file(world.dir.join(file)).expect("it was there");
    }
    world
}

fn there(world: &World, args: &[&str]) -> Ended {
    world.hawiz(&[&["--state-dir", "there"], args].concat())
}

#[test]
fn the_station_of_a_run_that_is_over_gives_its_lock_back_itself() {
    let world = left();
    let run = world.runs().pop().expect("one run");
    let back = world.hawiz(&["failover", "--yes"]).is(0);
    assert!(
        back.out.contains(&format!("a was still locked by run {run}, which has ended (completed, "))
            && back.out.contains("), as this station's record says; that lock was given back"),
        "{}",
        back.out
    );
    assert!(!world.locked("a") && !world.locked("b"));
}

#[test]
fn another_station_gives_it_back_where_a_copy_proves_that_the_run_is_over() {
    let world = left();
    let run = world.runs().pop().expect("one run");
    // Nobody waits for the last words to be written down there.
    let began = std::time::Instant::now();
    let copies = || world.picture(&format!("state/b/run.{run}"));
    let told = |w: &[u8]| w == b"run-finished";
    while !copies().iter().any(|(p, text)| p.ends_with("journal") && text.windows(12).any(told)) {
        assert!(began.elapsed().as_secs() < 30, "the copy never tells of the end");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // Without the copy on the other node nobody here knows.
    let (kept, aside) = (world.dir.join(format!("state/b/run.{run}")), world.dir.join("aside"));
    std::fs::rename(&kept, &aside).expect("it is there");
    let held = there(&world, &["failover", "--yes"]).is(5);
    assert!(held.out.contains("because: a is held by another run: "), "{}", held.out);
    assert!(world.locked("a") && !world.locked("b"));
    std::fs::rename(&aside, &kept).expect("our own folder");
    // One that does not tell of the end proves nothing.
    let copy = copies();
    let (path, text) = copy.iter().find(|(p, _)| p.ends_with("journal")).expect("there is a copy");
    let end = text.windows(12).position(told).expect("it ends");
    std::fs::write(path, &text[..end]).expect("our own file");
    there(&world, &["failover", "--yes"]).is(5);
    std::fs::write(path, text).expect("our own file");
    let back = there(&world, &["failover", "--yes"]).is(0);
    assert!(back.out.contains("), as the copy of its record on b says; that lock was given back"), "{}", back.out);
    assert!(!world.locked("a") && !world.locked("b"));
}
