//! hawiz over SSH while everything breaks at a random moment: each step's effects exactly once, never a wrong *done*.
//!
//! Why it exists: that a lost link costs nothing but time is a promise about all moments, and nobody thinks of all of them.
//! The real binary changes a real node behind a real `sshd`, in a network of their own; cables are cut, servers, shells and
//! hawiz itself are frozen or killed, the node is rebooted. Afterwards the journal is held against what the node's files say.
//!
//! `HAWIZ_CAMPAIGN=1` makes it longer (221 and 40 runs, about four minutes); the seed is printed. One run of a kind again:
//! `HAWIZ_FAULT=CutLong HAWIZ_FAULT_SEED=…`, as its failure says.

#[path = "ssh_faults/lot.rs"]
mod lot;
#[path = "support/sshd.rs"]
mod sshd;
mod support;

use lot::{Came, FAULTS, Fault, Lot};
use sshd::{Server, Wire};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;
use support::{Dice, campaign};

/// Runs that wait most of their time can be many at once.
const ABREAST: usize = 13;

/// Deals the runs out to a few nodes that are used again and again.
fn each(wire: &Wire, runs: Vec<(Fault, u64)>, work: impl Fn(&Lot, Fault, u64) + Sync) {
    let left = Mutex::new(runs);
    std::thread::scope(|scope| {
        for _ in 0..ABREAST.min(left.lock().expect("nobody has it yet").len()) {
            scope.spawn(|| {
                let Some(server) = Server::default().net().start() else { return };
                let lot = Lot::new(wire, server);
                loop {
                    let next = left.lock().expect("no worker fails while it holds this").pop();
                    let Some((fault, seed)) = next else { break };
                    work(&lot, fault, seed);
                }
            });
        }
    });
}

#[test]
fn whatever_breaks_at_a_random_moment_each_step_takes_effect_once() {
    let Some(wire) = Wire::new() else { return };
    let mut dice = Dice::new("faults over SSH");
    let times = if campaign() { 13 } else { 1 };
    let mut runs: Vec<(Fault, u64)> = Vec::new();
    for fault in FAULTS.iter().filter(|f| wanted(**f)) {
        runs.extend((0..times).map(|_| (*fault, dice.below(u64::MAX))));
    }
    if let Ok(one) = std::env::var("HAWIZ_FAULT_SEED") {
        let one = one.parse().expect("a number");
        runs.iter_mut().for_each(|(_, seed)| *seed = one);
    }
    // The last is taken first, and those that take longest are the first; in a campaign the kinds are mixed.
    if campaign() {
        runs.sort_by_key(|(_, seed)| *seed);
    } else {
        runs.sort_by(|a, b| b.cmp(a));
    }
    let (begun, came) = (Instant::now(), Mutex::new(Vec::new()));
    let of = runs.len();
    each(&wire, runs, |lot, fault, seed| {
        let patient = campaign() && seed % 4 == 0;
        // One that fails is told by its own panic; the others go on.
        let one = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lot.run(fault, seed, patient)));
        came.lock().expect("nobody panics with it").extend(one);
    });
    let came = came.into_inner().expect("nobody panics with it");
    tell(&came);
    eprintln!("{} of {of} runs in {:?}", came.len(), begun.elapsed());
    assert_eq!(came.len(), of);
}

#[test]
fn of_what_hawiz_says_it_stopped_nothing_is_left_whatever_broke_meanwhile() {
    let Some(wire) = Wire::new() else { return };
    let mut dice = Dice::new("faults in stopping");
    let (few, more) =
        ([lot::SessionFrozen, lot::CutShort, lot::SessionKilled, lot::Killed], [lot::CutLong, lot::AllKilled]);
    let mut runs: Vec<(Fault, u64)> = few.iter().map(|f| (*f, dice.below(u64::MAX))).collect();
    if campaign() {
        let all = [few.as_slice(), &more, &[lot::FrozenShort, lot::ShellFrozen, lot::ShellFrozenShort]].concat();
        runs.extend((0..4).flat_map(|_| all.clone()).map(|f| (f, dice.below(u64::MAX))).collect::<Vec<_>>());
    }
    let (of, ended) = (runs.len(), Mutex::new(Vec::new()));
    each(&wire, runs, |lot, fault, seed| {
        let resumes = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lot.stop(fault, seed)));
        ended.lock().expect("nobody panics with it").extend(resumes);
    });
    let ended = ended.into_inner().expect("nobody panics with it");
    eprintln!("{} of {of} were stopped; resumes: {}", ended.len(), ended.iter().sum::<u32>());
    assert_eq!(ended.len(), of);
}

/// `HAWIZ_FAULT` names one kind.
fn wanted(fault: Fault) -> bool {
    std::env::var("HAWIZ_FAULT").map_or(true, |f| f == format!("{fault:?}"))
}

fn tell(came: &[Came]) {
    let mut kinds: BTreeMap<Fault, Vec<&Came>> = BTreeMap::new();
    for one in came {
        kinds.entry(one.fault).or_default().push(one);
    }
    eprintln!("{:<22} runs  first: 0   6   7   4 killed  then: done unknown  noticed at most", "fault");
    for (fault, all) in kinds {
        let first = |code: Option<i32>| all.iter().filter(|c| c.first == code).count();
        let done = all.iter().filter(|c| c.last == Some(0)).count();
        let unknown: usize = all.iter().map(|c| c.unknown).sum();
        let noticed = all.iter().filter_map(|c| c.noticed).max().map(|n| format!("{:.1} s", n.as_secs_f64()));
        eprintln!(
            "{:<22} {:>4} {:>9} {:>3} {:>3} {:>3} {:>6} {:>11} {:>7}  {}",
            format!("{fault:?}"),
            all.len(),
            first(Some(0)),
            first(Some(6)),
            first(Some(7)),
            first(Some(4)),
            first(None),
            done,
            unknown,
            noticed.unwrap_or_default()
        );
    }
    let slowest = came.iter().filter_map(|c| c.noticed).max();
    eprintln!(
        "a dead peer was noticed after {slowest:?} at most; resumes: {}",
        came.iter().map(|c| c.resumes).sum::<u32>()
    );
}
