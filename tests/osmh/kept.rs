//! Whom somebody works at stays out of service, whatever becomes of HAProxy's process.
//!
//! Why it exists: HAProxy forgets drain and maintenance when it loads its configuration or starts anew. A station that is
//! being repaired would get requests then, unasked.

use super::osmh::{Clients, Site, UP, skipped, until};
use super::{BACK, DRAIN, IN, OUT};
use std::fs;

const KEY: [(&str, &str); 1] = [("HAWIZ_SECRET_MACS_KEY", "key-of-keys-17")];

/// An environment that `setup` has set up.
fn set_up() -> Site {
    let site = Site::bare();
    fs::write(site.world.dir.join("answers.toml"), "[manual]\n\"setup/create-the-profile/profile\" = \"done\"\n")
        .expect("the folder is ours");
    setup(&site, 0);
    site
}

fn setup(site: &Site, code: i32) -> String {
    let go = ["setup", "--on", "StationA", "--yes", "--answers", "answers.toml"];
    site.world.hawiz_with(&go, &KEY).is(code).out
}

/// From now on `setup` wants other lines in HAProxy's configuration.
fn other_lines(site: &Site) {
    let shipped = fs::read_to_string(site.world.dir.join("playbook.toml")).expect("it was written");
    let other = shipped.replace("retries 3", "retries 4");
    assert_ne!(other, shipped);
    // And nobody need be asked what becomes of the profile.
    let by_hand = "undo.manual = \"In OS Management Hub delete the profile {profile}.\"";
    assert!(other.contains(by_hand));
    site.world.playbook(&other.replace(by_hand, "undo.none = \"it may stay\""));
}

fn orders(site: &Site, verb: &str) -> usize {
    let log = fs::read_to_string(site.dir.join("systemctl.log")).expect("it was used");
    log.lines().filter(|l| l.starts_with(verb)).count()
}

#[test]
fn a_station_in_maintenance_stays_so_when_haproxy_loads_a_configuration_or_starts_anew() {
    if skipped() {
        return;
    }
    let site = set_up();
    let clients = Clients::start(&site);
    site.world.hawiz(&DRAIN).is(0);
    let (then, loads) = (clients.seen(), orders(&site, "reload"));
    other_lines(&site);
    setup(&site, 0);
    assert_eq!(orders(&site, "reload"), loads + 1);
    clients.go_on();
    assert!(site.all("StationA", OUT) && site.all("StationB", IN), "{}", site.states());
    let seen = clients.stop();
    assert_eq!((seen.a, seen.lost.len()), (then.a, 0), "{:?}", seen.lost);

    site.systemctl(&["stop", "haproxy"]);
    site.systemctl(&["start", "haproxy"]);
    until("HAProxy is there again", || !site.states().is_empty());
    assert!(site.all("StationA", OUT) && site.all("StationB", IN), "{}", site.states());
    // Nor does it stay out longer than it should.
    site.world.hawiz(&BACK).is(0);
    site.systemctl(&["stop", "haproxy"]);
    site.systemctl(&["start", "haproxy"]);
    until("both are up", || site.states() == UP);
}

#[test]
fn who_was_taken_out_by_hand_stays_out_when_a_configuration_is_loaded() {
    if skipped() {
        return;
    }
    let site = set_up();
    site.ask("set server be_proxy/StationA state maint");
    site.ask("set server be_mirror_http/StationB state drain");
    let before = site.states();
    other_lines(&site);
    setup(&site, 0);
    assert_eq!(site.states(), before);
    // And nothing is loaded for its sake.
    let loads = orders(&site, "reload");
    site.ask("set server be_proxy/StationA state ready");
    setup(&site, 0);
    assert_eq!(orders(&site, "reload"), loads);
}

#[test]
fn a_configuration_that_would_leave_nobody_in_service_is_not_loaded() {
    if skipped() {
        return;
    }
    let site = set_up();
    site.world.hawiz(&DRAIN).is(0);
    // Whoever wrote this site file has forgotten the other station.
    let path = site.world.dir.join("hawiz.toml");
    let text = fs::read_to_string(&path).expect("it was written");
    let (from, to) = (text.find("[nodes.StationB]").expect("it is there"), text.find("[nodes.lb]").expect("it, too"));
    fs::write(&path, format!("{}{}", &text[..from], &text[to..])).expect("the folder is ours");
    let config = fs::read_to_string(site.dir.join("haproxy.cfg")).expect("it is there");
    let loads = orders(&site, "reload");
    let said = setup(&site, 6);
    assert!(said.contains("all servers of be_proxy are out of service"), "{said}");
    assert_eq!(orders(&site, "reload"), loads);
    assert!(site.all("StationA", OUT) && site.all("StationB", IN), "{}", site.states());
    site.world.hawiz_with(&["rollback", "--yes"], &KEY).is(9);
    assert_eq!(fs::read_to_string(site.dir.join("haproxy.cfg")).expect("it is there"), config);
    assert!(site.all("StationA", OUT) && site.all("StationB", IN), "{}", site.states());
}

#[test]
fn a_roll_back_brings_the_former_configuration_back_and_the_stations_serve_all_the_while() {
    if skipped() {
        return;
    }
    let site = set_up();
    let config = || fs::read_to_string(site.dir.join("haproxy.cfg")).expect("it is there");
    let before = config();
    site.world.hawiz(&DRAIN).is(0);
    let clients = Clients::start(&site);
    other_lines(&site);
    setup(&site, 0);
    assert_ne!(config(), before);
    site.world.hawiz_with(&["rollback", "--yes"], &KEY).is(9);
    assert_eq!(config(), before);
    clients.go_on();
    assert!(site.all("StationA", OUT) && site.all("StationB", IN), "{}", site.states());
    clients.lost_none();
}
