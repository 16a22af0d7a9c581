//! Oracle OS Management Hub on booted hosts: a real HAProxy under systemd, two stations with one volume, an instance that asks.
//!
//! Why it exists: that a drain loses no request, that a power cut is noticed and that the last station is never taken out is
//! HAProxy's and systemd's doing; only they can say whether they were told rightly. Each procedure runs dry, for real, killed at
//! a moment drawn by lot and resumed, and once more when all is done; what the hosts say (see [`hub`]) tells whether anything
//! was changed. The seed of the lot is printed; `HAWIZ_SEED` gives it again. Where the lab can be had is told in `docs/lab.md`.

#[path = "osmh/asking.rs"]
mod asking;
#[path = "osmh/hub.rs"]
mod hub;
#[path = "lab/paper.rs"]
mod paper;
#[path = "lab/rig.rs"]
mod rig;
#[path = "lab/station.rs"]
#[allow(dead_code, reason = "faults of fencing are another suite's")]
mod station;
mod support;

use asking::{Asking, Download, now};
use hub::{Hub, KEY, SETUP, STATIONS, until};
use rig::Lab;
use station::Way;
use std::time::{Duration, Instant};
use support::Dice;

const DRAIN: [&str; 4] = ["deactivate", "--on", "sta", "--yes"];
/// Out of rotation, but it goes on running.
const AWAY: [&str; 6] = ["deactivate", "--on", "sta", "--yes", "--set", "service="];
const BACK: [&str; 4] = ["activate", "--on", "sta", "--yes"];
const OVER: [&str; 6] = ["failover", "--from", "sta", "--to", "stb", "--yes"];
const LOST: [&str; 7] = ["failover", "--from", "sta", "--to", "stb", "--unplanned", "--yes"];
const RECONFIGURE: [&str; 3] = ["run", "reconfigure", "--yes"];
const SWITCH: [&str; 5] = ["run", "instance", "--on", "web1", "--yes"];
/// What nobody but a person can tell is asked each time.
const TOLD: [&str; 3] =
    ["setup/create-the-profile/profile", "reconfigure/change-the-stations/edit", "instance/switch-target/switch"];
/// Another configuration for HAProxy, which serves the same.
const OTHERWISE: [&str; 6] = ["setup", "--on", "sta", "--yes", "--set", "lb_bind=10.77.0.30"];

#[test]
fn a_new_environment_is_set_up_taken_back_and_set_up_again_from_an_haproxy_that_serves_nothing() {
    let test = "a_new_environment_is_set_up_taken_back_and_set_up_again_from_an_haproxy_that_serves_nothing";
    let Some(lab) = Lab::world(test, "osmh", None) else { return };
    let hub = Hub::new(&lab, Way::Via);
    let mut dice = Dice::new("setup");
    let bare = || {
        let lb = lab.on(
            "lb",
            "cksum /etc/haproxy/*.cfg; ls /etc/haproxy /var/lib/haproxy; systemctl is-active haproxy; systemctl is-enabled haproxy || :",
        );
        let stations = STATIONS.map(|s| lab.on(s, "findmnt -n /mnt/mirror; systemctl is-active osmh-station || :"));
        (lb, stations, lab.on("web1", "find /tmp -type f; systemctl is-active mgmt_agent || :"))
    };
    let new = bare();
    hub.dry(&["run", "preflight"], 4);
    hub.dry(&SETUP, 0);

    // Without a person and without answers nothing is begun.
    let before = hub.picture();
    hub.without_answers(&SETUP).ends(4).says("setup/create-the-profile/profile");
    assert_eq!(hub.picture(), before);

    // A person does it when it is asked for; then takes it back.
    let said = hub.by_a_person(&SETUP, &hub.chores()).ends(0);
    assert!(!said.out.contains(KEY));
    let moments = hub.moments();
    hub.both_serve();
    assert_eq!(
        lab.on("web1", "find /tmp -type f; cat /opt/oracle/mgmt_agent/seen"),
        "-rw------- root",
        "the key was anybody's, or is still there"
    );
    lab.on("web1", &format!("! grep -rqs {KEY} /etc /opt /tmp /var"));
    let here = std::process::Command::new("grep").args(["-rqs", KEY]).arg(hub.desk.state()).status();
    assert_eq!(here.expect("there is grep").code(), Some(1), "the key is in the run's record");
    hub.by_a_person(&["rollback", "--yes"], &hub.chores_undone()).ends(9);
    assert_eq!(bare(), new);

    // Done beforehand and said in a file; killed on the way.
    for station in STATIONS {
        hub.mount(station);
        hub.register(station);
    }
    // (What was done beforehand has fewer moments.)
    hub.interrupted(&SETUP, moments * 4 / 5, &mut dice);
    hub.both_serve();
    hub.again(&SETUP, &TOLD);

    let (moments, _) = hub.looks(&["run", "preflight"]);
    hub.again(&["run", "preflight"], &[]);
    hub.interrupted(&["run", "preflight"], moments, &mut dice);
    let before = hub.picture();
    hub.say(&["status"]).ends(0);
    assert_eq!(hub.picture(), before);
    reconfigured(&hub, &mut dice);
    hub.dry(&SWITCH, 0);
    let (moments, _) = hub.real(&SWITCH);
    hub.interrupted(&SWITCH, moments, &mut dice);
    hub.again(&[&SWITCH[..], &["--set", "instance_knows=/etc/osmh-proxy"]].concat(), &TOLD);

    // After a power cut of its host HAProxy is back by itself, and so is everybody but whom somebody works at.
    hub.say(&AWAY).ends(0);
    lab.power("lb", "off");
    lab.power("lb", "on");
    until("stb serves", || hub.serves("stb"));
    assert!(hub.is_out("sta"), "{}", hub.states());
    hub.say(&BACK).ends(0);
    hub.both_serve();
    hub.again(&SETUP, &TOLD);
}

/// Other ports, while a station is out of service; then those from before, killed on the way.
fn reconfigured(hub: &Hub, dice: &mut Dice) {
    let ports = || {
        hub.lab.on(
            "lb",
            "echo 'show servers state' | socat stdio /run/haproxy/admin.sock | awk 'NF > 14 && !/^#/ { print $19 }'",
        )
    };
    let moved = [&RECONFIGURE[..], &["--set", "https_port=27443"]].concat();
    hub.tell("sta", "maint");
    hub.listen_on("16080 17080 27443");
    let seen = ["be_proxy stb 2 0", "be_mirror_http stb 2 0", "be_mirror_https stb 0 0"];
    until("HAProxy has seen it", || hub.states_of("stb") == seen);
    hub.dry(&moved, 0);
    let (moments, _) = hub.real(&moved);
    assert_eq!(ports(), "16080\n16080\n17080\n17080\n27443\n27443", "HAProxy goes on with what it had kept");
    assert!(hub.is_out("sta") && hub.serves("stb"), "{}", hub.states());
    hub.again(&moved, &TOLD);
    hub.tell("sta", "ready");
    hub.both_serve();
    hub.listen_on("16080 17080 17443");
    hub.interrupted(&RECONFIGURE, moments, dice);
    assert_eq!(ports(), "16080\n16080\n17080\n17080\n17443\n17443");
    hub.both_serve();
    hub.again(&RECONFIGURE, &TOLD);
}

#[test]
fn the_checklists_followed_by_hand_lead_to_the_same() {
    let Some(lab) = Lab::world("the_checklists_followed_by_hand_lead_to_the_same", "osmh", None) else { return };
    let hub = Hub::new(&lab, Way::Via);
    let mut chores = hub.chores();
    let made = hub.on_paper(&["setup", "--on", "sta"], &chores);
    assert!(made.iter().any(|c| c.starts_with("Write the frontends")), "{made:#?}");
    hub.both_serve();
    lab.on("web1", &format!("! grep -rqs {KEY} /etc /opt /tmp /var"));
    hub.again(&SETUP, &TOLD);
    assert_eq!(hub.on_paper(&["preflight"], &[]), [""; 0]);

    // Other ports, as the console has them from the moment on in which a person is asked for that.
    for station in STATIONS {
        let name = if station == "sta" { "StationA" } else { "StationB" };
        let (asked, hub) = (format!("the management station {name} must have the settings above"), &hub);
        chores.push((asked, Box::new(move || hub.listens_on(station, "16080 17080 27443"))));
    }
    chores.push(("the instance web1".into(), Box::new(|| ())));
    let other = ["--set", "https_port=27443"];
    hub.on_paper(&[&["reconfigure"], &other[..]].concat(), &chores);
    hub.both_serve();
    hub.again(&[&RECONFIGURE[..], &other].concat(), &TOLD);
    assert_eq!(
        hub.on_paper(&[&["instance", "--on", "web1"], &other[..]].concat(), &chores),
        ["Switch web1 to one of the stations", "Run /root/instance-setup.sh"]
    );
    assert_eq!(lab.on("web1", "cat /var/log/instance-setup.log"), "set up");

    // Out and in, over and back, and one that has died.
    let off = |station: &str| lab.on(station, "systemctl is-active osmh-station || :") == "inactive";
    hub.on_paper(&[&["deactivate", "--on", "sta"], &other[..]].concat(), &[]);
    assert!(hub.is_out("sta") && hub.serves("stb") && off("sta"), "{}", hub.states());
    hub.on_paper(&[&["activate", "--on", "sta"], &other[..]].concat(), &[]);
    hub.both_serve();
    hub.on_paper(&[&["failover", "--from", "sta", "--to", "stb"], &other[..]].concat(), &[]);
    assert!(hub.is_out("sta") && hub.serves("stb") && off("sta"), "{}", hub.states());
    hub.say(&[&BACK[..], &other].concat()).ends(0);
    hub.both_serve();
    lab.power("sta", "off");
    hub.on_paper(&[&["failover", "--from", "sta", "--to", "stb", "--unplanned"], &other[..]].concat(), &[]);
    assert!(hub.is_out("sta") && hub.serves("stb"), "{}", hub.states());
    hub.again(&[&LOST[..], &other].concat(), &[]);
}

#[test]
fn a_planned_failover_loses_no_request_whoever_is_interrupted() {
    let Some(lab) = Lab::world("a_planned_failover_loses_no_request_whoever_is_interrupted", "osmh", None) else {
        return;
    };
    let hub = Hub::new(&lab, Way::Via);
    let mut dice = Dice::new("planned");
    hub.set_up();
    let asking = Asking::start(&lab);

    // Out and in again; then the same, killed on the way.
    hub.dry(&DRAIN, 0);
    let downloads = Download::of_each(&lab, 3);
    let (drains, drained) = hub.real(&DRAIN);
    assert_eq!(downloads.map(Download::end), [true; 2], "a download was cut");
    let out = now();
    assert!(hub.is_out("sta") && hub.serves("stb"), "{}", hub.states());
    assert_eq!(lab.on("sta", "systemctl is-active osmh-station || :"), "inactive");
    hub.again(&DRAIN, &[]);
    asking.only("stb", out);
    hub.dry(&BACK, 0);
    let (backs, back) = hub.real(&BACK);
    hub.both_serve();
    hub.again(&BACK, &[]);
    let both = now();
    asking.go_on();
    assert!(asking.since(both).iter().any(|r| r.who.as_deref() == Ok("sta")), "sta serves again");
    hub.interrupted(&DRAIN, drains, &mut dice);
    assert!(hub.is_out("sta") && hub.serves("stb"), "{}", hub.states());
    asking.only("stb", now());
    hub.interrupted(&BACK, backs, &mut dice);
    hub.both_serve();

    // From one to the other and back, by one command.
    hub.dry(&OVER, 0);
    let (overs, over) = hub.real(&OVER);
    let out = now();
    assert!(hub.is_out("sta") && hub.serves("stb"), "{}", hub.states());
    hub.again(&OVER, &[]);
    asking.only("stb", out);
    hub.interrupted(&["failover", "--from", "stb", "--to", "sta", "--yes"], overs, &mut dice);
    assert!(hub.is_out("stb") && hub.serves("sta"), "{}", hub.states());
    asking.only("sta", now());

    // Whom somebody works at stays out when HAProxy loads another configuration.
    hub.say(&["activate", "--on", "stb", "--yes"]).ends(0);
    hub.both_serve();
    hub.say(&AWAY).ends(0);
    let out = now();
    hub.real(&OTHERWISE);
    assert!(hub.is_out("sta") && hub.serves("stb"), "{}", hub.states());
    hub.again(&OTHERWISE, &TOLD);
    hub.real(&SETUP);
    assert!(hub.is_out("sta") && hub.serves("stb"), "{}", hub.states());
    asking.only("stb", out);

    let (requests, lost) = asking.stop();
    assert!(lost.is_empty(), "of {requests} requests: {lost:?}");
    eprintln!(
        "{requests} requests, none lost; drain and stop {drained:.2?}, back into rotation {back:.2?}, planned failover {over:.2?}"
    );
}

#[test]
fn a_power_cut_is_noticed_the_survivor_serves_and_the_last_station_is_never_taken_out() {
    let test = "a_power_cut_is_noticed_the_survivor_serves_and_the_last_station_is_never_taken_out";
    let Some(lab) = Lab::world(test, "osmh", None) else { return };
    let hub = Hub::new(&lab, Way::Ssh);
    let mut dice = Dice::new("unplanned");
    hub.set_up();
    let asking = Asking::start(&lab);
    the_last_station_stays(&hub, &asking);

    let [mut hangs, mut goes_on] = Download::of_each(&lab, 600);
    let cut = Instant::now();
    let at = now();
    lab.power("sta", "off");
    until("HAProxy has sta for dead", || hub.is_dead("sta"));
    let noticed = cut.elapsed();
    asking.go_on();
    asking.only("stb", now());
    assert!(hangs.goes_on(), "a download from the dead station hangs until somebody cuts it");
    let (alone, lost, longest) = outage(&asking, at);
    hub.dry(&LOST, 0);
    let (losts, took) = hub.real(&LOST);
    assert!(hub.is_out("sta") && hub.serves("stb"), "{}", hub.states());
    until("the download that hung was cut", || !hangs.goes_on());
    assert!(goes_on.goes_on(), "the other one was cut, too");
    hub.again(&LOST, &[]);
    // Back to life it gets nothing by itself, only when it is brought back.
    let out = now();
    lab.power("sta", "on");
    assert_eq!(lab.on("sta", "systemctl is-active osmh-station"), "active");
    asking.only("stb", out);
    hub.real(&BACK);
    hub.both_serve();
    asking.go_on();
    let back = now();

    // The other one is lost, and hawiz is killed on the way.
    lab.power("stb", "off");
    until("HAProxy has stb for dead", || hub.is_dead("stb"));
    hub.interrupted(&["failover", "--from", "stb", "--to", "sta", "--unplanned", "--yes"], losts, &mut dice);
    assert!(hub.is_out("stb") && hub.serves("sta"), "{}", hub.states());
    asking.only("sta", now());
    lab.power("stb", "on");
    hub.say(&["activate", "--on", "stb", "--yes"]).ends(0);
    hub.both_serve();
    asking.go_on();

    // Nothing but what was half through, three ports on a beat, when the power went.
    let again = outage(&asking, back);
    for (alone, lost) in [(alone, lost), (again.0, again.1)] {
        assert!(alone < Duration::from_secs(15) && lost <= 6, "{lost} lost, alone after {alone:?}");
    }
    let (requests, gone) = asking.stop();
    eprintln!(
        "{requests} requests, {} lost in all; power cut: noticed after {noticed:.2?}, survivor alone after {alone:.2?}, {lost} lost, \
         slowest answer {longest:.2?} (again: {again:.2?}); failover --unplanned {took:.2?}",
        gone.len()
    );
}

/// Neither when the other one was taken out, nor when it died a moment ago and HAProxy does not know yet.
fn the_last_station_stays(hub: &Hub, asking: &Asking) {
    let refused = |why: &str| {
        let before = hub.states_of("sta");
        let said = hub.say(&DRAIN).ends(4).says(why);
        assert_eq!(hub.states_of("sta"), before, "{}", said.out);
        assert_eq!(hub.lab.on("sta", "systemctl is-active osmh-station"), "active");
    };
    hub.say(&["deactivate", "--on", "stb", "--yes"]).ends(0);
    let before = hub.picture();
    refused("no server but StationA is up in be_proxy");
    assert_eq!(hub.picture(), before);
    hub.say(&["activate", "--on", "stb", "--yes"]).ends(0);
    hub.both_serve();

    // Its program has died: the host is there, and so is its mirror.
    hub.lab.on("stb", "systemctl kill -s KILL osmh-station");
    refused("no server but StationA");
    hub.lab.on("stb", "systemctl reset-failed osmh-station; systemctl start osmh-station");
    hub.both_serve();

    // Its host has died.
    hub.lab.power("stb", "off");
    refused("stb");
    hub.lab.power("stb", "on");
    hub.both_serve();
    asking.go_on();
}

/// Of the requests since a station died: after how long all were answered, how many were not, and the longest wait for an answer.
fn outage(asking: &Asking, from: u64) -> (Duration, usize, Duration) {
    let since = asking.since(from - 1000);
    let lost: Vec<_> = since.iter().filter(|r| r.who.is_err()).collect();
    let slow = |r: &&asking::Request| r.who.is_ok() && r.ended - r.began > 1000;
    let last = since.iter().filter(|r| r.who.is_err() || slow(r)).map(|r| r.began).max().unwrap_or(from);
    let longest = since.iter().filter(|r| r.who.is_ok()).map(|r| r.ended - r.began).max().unwrap_or_default();
    (Duration::from_millis(last.saturating_sub(from)), lost.len(), Duration::from_millis(longest))
}
