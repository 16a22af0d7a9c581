//! A service that moves between two booted hosts while somebody writes to it, somebody watches, and things go wrong.
//!
//! Why it exists: two promises can only be kept, or broken, on real hosts: no acknowledged row is ever lost, and no two nodes
//! ever hold the address or run the database on the shared data. The [`writer`] knows the first, the [`observer`] the
//! second; neither asks hawiz. That the observer sees what it must is proved here by breaking the promise on purpose.
//!
//! Runs where the lab runs (`docs/lab.md`). `HAWIZ_CAMPAIGN=1` makes the campaign long; its seed is printed, and
//! `HAWIZ_SEED` gives it again.

#[path = "lab/campaign.rs"]
mod campaign;
#[path = "lab/fault.rs"]
mod fault;
#[path = "lab/figures.rs"]
mod figures;
#[path = "lab/observer.rs"]
mod observer;
#[path = "lab/pace.rs"]
mod pace;
#[path = "lab/rig.rs"]
mod rig;
#[path = "lab/station.rs"]
mod station;
mod support;
#[path = "lab/trial.rs"]
mod trial;
#[path = "lab/writer.rs"]
mod writer;

use fault::Fault;
use observer::{NODES, Observer};
use rig::{Lab, PATIENCE, VIP, ended};
use station::{Station, Way, controller, requests, stations};
use std::time::{Duration, Instant};
use trial::Handover;
use writer::Writer;

/// How often a campaign does what must go wrong.
const APART: usize = 3;

/// The size of a host's own disk, in MiB.
const DISK: Option<u32> = Some(256);

#[test]
fn a_service_that_is_handed_over_loses_no_row_and_is_never_active_twice() {
    let test = "a_service_that_is_handed_over_loses_no_row_and_is_never_active_twice";
    let Some(lab) = Lab::boot(test, DISK) else { return };
    let [one, two] = stations(&lab, Way::Ssh, "service.toml");
    one.say(&["activate", "--on", "xcatmn1", "--yes"]).ends(0);
    let observer = Observer::new(&lab);
    let writer = Writer::new(&lab);
    writer.next(PATIENCE);
    // There from one station, and back from the other, which knows nothing of the first one's runs.
    for (station, from, to) in [(&one, "xcatmn1", "xcatmn2"), (&two, "xcatmn2", "xcatmn1")] {
        observer.note(format!("handover from {from} to {to}"));
        let begun = Instant::now();
        station.say(&["deactivate", "--on", from, "--yes"]).ends(0);
        station.say(&["activate", "--on", to, "--yes"]).ends(0);
        let took = begun.elapsed();
        writer.next(PATIENCE);
        assert_eq!(observer.active(), (vec![to], vec![to]));
        writer.nothing_is_lost(&lab, to);
        eprintln!("{from} to {to}: two commands took {took:.2?}, {:.2?} without service", writer.gap(begun));
    }
    let verdict = observer.verdict();
    verdict.is_clean();
    eprintln!(
        "{} rows acknowledged, none lost; watched {:.0} times a second, longest pause {:.0?}",
        writer.acknowledged(),
        verdict.rate,
        verdict.pause
    );
    drop(writer);
    two_operators_at_once(&lab, &observer, [&one, &two]);
    without_room_for_the_journal_nothing_is_changed(&observer, &two);
    drop(observer);

    // With the host that gives up and the one that takes over in turn.
    each_of("each-once", &lab, &trial::each_once());
}

#[test]
fn whatever_fencing_does_wrong_no_row_is_lost_and_nobody_is_active_twice() {
    let test = "whatever_fencing_does_wrong_no_row_is_lost_and_nobody_is_active_twice";
    let Some(lab) = Lab::boot(test, DISK) else { return };
    each_of("fencing", &lab, &trial::fencing());
}

fn each_of(name: &str, lab: &Lab, trials: &[trial::Trial]) {
    let report = campaign::run(lab, name, trials);
    eprintln!("{report}");
    assert_eq!(report.unknown(), 0, "no fault of these destroys a record");
}

/// Each operator wants the service on another host, in the same moment.
fn two_operators_at_once(lab: &Lab, observer: &Observer, [one, two]: [&Station; 2]) {
    one.say(&["deactivate", "--on", "xcatmn1", "--yes"]).ends(0);
    observer.note("two operators at once");
    let children =
        [one.start(&["activate", "--on", "xcatmn1", "--yes"]), two.start(&["activate", "--on", "xcatmn2", "--yes"])];
    let codes = children.map(|c| ended(c, PATIENCE));
    observer.verdict().is_clean();
    let (holders, databases) = observer.active();
    let done = codes.iter().filter(|c| **c == Some(0)).count();
    assert!(done <= 1 && codes.iter().all(|c| matches!(c, Some(0 | 4 | 5))), "{codes:?}");
    assert_eq!((holders.len(), databases.len()), (done, done), "{codes:?}: {holders:?} {databases:?}");
    for node in holders {
        one.say(&["deactivate", "--on", node, "--yes"]).ends(0);
    }
    let locks = NODES.map(|n| lab.on(n, "ls -d /var/lib/hawiz/lock 2>/dev/null || echo free"));
    assert_eq!(locks, ["free", "free"]);
}

/// On the operator's own machine.
fn without_room_for_the_journal_nothing_is_changed(observer: &Observer, station: &Station) {
    observer.note("the station's disk is full");
    let activate = || station.say(&["activate", "--on", "xcatmn1", "--yes"]);
    station.with_a_full_disk(
        || {
            let said = activate().says("No space left on device");
            assert!(matches!(said.code, Some(2 | 4)), "{:?}: {}", said.code, said.out);
            assert_eq!(observer.active(), (vec![], vec![]));
        },
        || {
            activate().ends(0);
        },
    );
}

#[test]
fn the_rig_is_to_be_believed() {
    let Some(lab) = Lab::boot("the_rig_is_to_be_believed", DISK) else { return };
    let [one, _] = stations(&lab, Way::Via, "service.toml");
    let on = |node: &str| lab.inside(node, "true").status.success();

    // The controller really switches the power, and does wrong only as it is told to.
    one.fence("xcatmn2", "status").ends(0).says("Status: ON");
    one.fence("xcatmn2", "metadata").ends(0).says("<resource-agent name=\"fence_lab\"");
    one.fence_as("xcatmn2", "off", "guess").ends(1).says("Unable to connect/login");
    assert!(on("xcatmn2"));
    one.fence("xcatmn2", "off").ends(0).says("Success: Powered OFF");
    assert!(!on("xcatmn2"));
    one.fence("xcatmn2", "status").ends(2).says("Status: OFF");
    one.fence("xcatmn2", "on").ends(0);
    assert!(on("xcatmn2") && on("xcatmn1"));
    assert_eq!(requests(&lab, "xcatmn2"), ["status true", "off true", "off true", "status true", "on true"]);
    controller(&lab, "xcatmn2", Some("fails"));
    one.fence("xcatmn2", "off").ends(1).says("Failed: the controller refuses");
    controller(&lab, "xcatmn2", Some("lies"));
    one.fence("xcatmn2", "off").ends(0);
    one.fence("xcatmn2", "status").ends(2).says("Status: OFF");
    assert!(on("xcatmn2"), "it lies");
    controller(&lab, "xcatmn2", Some("unknown"));
    one.fence("xcatmn2", "status").ends(1).says("Unable to obtain correct plug status");
    controller(&lab, "xcatmn2", None);
    one.fence("xcatmn2", "status").ends(0);

    // Two holders of the address, and two databases on the shared data, are seen.
    let observer = Observer::new(&lab);
    let violations = |wanted: usize| {
        let until = Instant::now() + Duration::from_secs(10);
        while observer.verdict().violations < wanted && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(observer.verdict().violations, wanted, "{}", observer.verdict().timeline);
    };
    for node in NODES {
        lab.on(node, &format!("ip addr add {VIP}/8 dev eth0"));
    }
    violations(1);
    lab.on("xcatmn1", &format!("ip addr del {VIP}/8 dev eth0"));
    // For a moment only, far shorter than the time between two looks.
    lab.on("xcatmn1", &format!("printf '%s\\n' 'addr add {VIP}/8 dev eth0' 'addr del {VIP}/8 dev eth0' | ip -batch -"));
    violations(2);
    // A dead host holds nothing.
    Fault::PowerCut.strike(&lab, "xcatmn2");
    lab.on("xcatmn1", &format!("ip addr add {VIP}/8 dev eth0"));
    Fault::PowerCut.mend(&lab, "xcatmn2");
    violations(2);
    lab.on("xcatmn1", &format!("ip addr del {VIP}/8 dev eth0"));

    // A word against a sign of life: the active host lets nobody in, but its address is answered for.
    let [one, _] = stations(&lab, Way::Ssh, "service.toml");
    one.say(&["activate", "--on", "xcatmn1", "--yes"]).ends(0);
    Fault::SshdHung.strike(&lab, "xcatmn1");
    one.say(&["activate", "--on", "xcatmn2", "--yes", "--attest", "xcatmn1"]).ends(4).says("sign of life");
    Fault::SshdHung.mend(&lab, "xcatmn1");
    violations(2);
    let seen = what_no_tool_can_know(&lab, &observer, &one);
    for what in
        ["log: xcatmn1 starts the database", "log: xcatmn2 starts the database", "database: xcatmn1 and xcatmn2"]
    {
        assert!(seen.contains(what), "{what}:\n{seen}");
    }
}

/// xcatmn1 is active; then it is cut off, and its controller says that it is off, and lies. The word is all there is, and no
/// tool can know better; the observer does. PostgreSQL's own lock does not reach over to another host, so the data is ruined:
/// that is the danger. Answers what was seen.
fn what_no_tool_can_know(lab: &Lab, observer: &Observer, station: &Station) -> String {
    let before = observer.verdict().violations;
    let answers = trial::answers(lab, "xcatmn1");
    std::fs::write(&answers, "[gates]\n\"fence/cut-the-power\" = \"xcatmn1\"\n").expect("the run is ours");
    let unplanned = trial::commands(lab, Handover::Unplanned, "xcatmn1", "xcatmn2").remove(0);
    let unplanned: Vec<&str> = unplanned.iter().map(String::as_str).collect();
    controller(lab, "xcatmn1", Some("lies"));
    // While it answers, it is caught.
    station.say(&unplanned).ends(6).says("sign of life");
    assert_eq!(observer.verdict().violations, before);
    Fault::CablePulled.strike(lab, "xcatmn1");
    // What a database makes of data that another one writes to is its own affair: it may never come up.
    let hawiz = station.start(&["resume", "--yes", unplanned[unplanned.len() - 2], unplanned[unplanned.len() - 1]]);
    let code = ended(hawiz, PATIENCE);
    let holders = observer.active().0;
    assert!(holders.contains(&"xcatmn2"), "it went on: {code:?} {}", station.said());
    Fault::CablePulled.mend(lab, "xcatmn1");
    controller(lab, "xcatmn1", None);
    // One of the two databases may notice that it lost its lock file, and stop; both hosts keep the address.
    let verdict = observer.verdict();
    assert!(verdict.violations > before && observer.active().0 == NODES, "{}", verdict.timeline);
    verdict.timeline
}

#[test]
fn a_campaign_of_faults_by_lot_breaks_no_promise() {
    if !support::campaign() {
        return;
    }
    let test = "a_campaign_of_faults_by_lot_breaks_no_promise";
    let mut dice = support::Dice::new("faults");
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<usize>().ok());
    let (runs, labs) = (number("HAWIZ_RUNS").unwrap_or(200), number("HAWIZ_LABS").unwrap_or(1).max(1));
    let mut trials = trial::drawn(runs, &mut dice);
    let skipped = number("HAWIZ_SKIP").unwrap_or(0).min(runs);
    trials.drain(..skipped);
    // Most of a trial is waiting; so several pairs of hosts share the work where that is asked for.
    let reports: Vec<_> = std::thread::scope(|scope| {
        let share = |(k, trials): (usize, &'_ [trial::Trial])| {
            let trials = trials.to_vec();
            scope.spawn(move || {
                let lab = Lab::boot(test, DISK)?;
                Some(campaign::run(&lab, &format!("by-lot-{skipped}-{k}"), &trials))
            })
        };
        let workers: Vec<_> = trials.chunks(trials.len().div_ceil(labs).max(1)).enumerate().map(share).collect();
        workers.into_iter().map(|w| w.join().expect("it says why itself")).collect()
    });
    let Some(report) = reports.into_iter().collect::<Option<Vec<_>>>() else { return };
    let report: figures::Report = report.into_iter().collect();
    eprintln!("\n{report}");
    assert!(report.unknown() * 50 <= runs, "more than 2 % unknown");

    // Apart, since it must go wrong: each on hosts and data of its own.
    let mut seen = 0;
    for _ in 0..APART {
        let Some(lab) = Lab::boot(test, DISK) else { return };
        let [one, _] = stations(&lab, Way::Ssh, "service.toml");
        one.say(&["activate", "--on", "xcatmn1", "--yes"]).ends(0);
        let observer = Observer::new(&lab);
        what_no_tool_can_know(&lab, &observer, &one);
        seen += observer.verdict().violations.min(1);
    }
    eprintln!(
        "apart, a controller that lies about a host that is cut off: {APART} runs, the observer saw two at once in {seen}"
    );
}

#[test]
fn the_time_from_command_to_service_beside_a_plain_script() {
    if !support::campaign() {
        return;
    }
    let rounds = std::env::var("HAWIZ_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let measure = |how, times| {
        let lab = Lab::boot("the_time_from_command_to_service_beside_a_plain_script", DISK)?;
        Some(pace::measure(&lab, how, times))
    };
    // On two pairs of hosts. There and back is two handovers.
    let (unplanned, planned) = std::thread::scope(|scope| {
        let planned = scope.spawn(|| measure(Handover::Planned, rounds * 2));
        (measure(Handover::Unplanned, rounds), planned.join().expect("it says why itself"))
    });
    let (Some(unplanned), Some(planned)) = (unplanned, planned) else { return };
    eprintln!("{}\n{planned}{unplanned}", pace::HEAD);
}
