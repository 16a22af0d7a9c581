//! Ways to take the last station out of rotation, none of which leads there.
//!
//! Why it exists: that another one is up is looked at before; between the look and the change somebody else may be at work, a
//! run may be gone on with hours later, and a roll-back takes a station out, too.

use super::osmh::{Clients, Site, skipped, until};
use super::{BACK, DRAIN, DRAINING, Hawiz, IN, LOST, OUT};

const BACK_B: [&str; 4] = ["activate", "--on", "StationB", "--yes"];

#[test]
fn of_two_operators_who_each_drain_a_station_one_is_refused() {
    if skipped() {
        return;
    }
    let site = Site::new();
    let clients = Clients::start(&site);
    // From a machine of their own.
    let elsewhere = site.world.dir.join("elsewhere").display().to_string();
    let other = ["deactivate", "--on", "StationB", "--yes", "--state-dir", &elsewhere];
    // Both at once: one of them has the load balancer's lock, or has drained by the time the other one looks.
    let both = [Hawiz::start_in(&site, &DRAIN, "said"), Hawiz::start_in(&site, &other, "said elsewhere")];
    let mut ended = both.map(Hawiz::ends);
    ended.sort_by_key(|(code, _)| *code);
    let [(done, _), (refused, said)] = ended;
    assert!(done == Some(0) && matches!(refused, Some(4..=6)), "{done:?} {refused:?}: {said}");
    let (a, b) = (site.all("StationA", IN), site.all("StationB", IN));
    assert!(a != b, "{}", site.states());
    site.world.hawiz(&BACK).is(0);
    site.world.hawiz(&BACK_B).is(0);

    // While the first one waits for a download.
    let download = site.download('A');
    let first = Hawiz::start(&site, &DRAIN);
    until("A is drained everywhere", || site.all("StationA", DRAINING));
    site.world.hawiz(&other).is(4).says("no server but StationB is up in be_proxy");
    assert!(site.all("StationB", IN), "{}", site.states());
    site.stations[0].release();
    drop(download);
    assert_eq!(first.ends().0, Some(0));
    assert!(site.all("StationA", OUT) && site.all("StationB", IN), "{}", site.states());
    clients.lost_none();
}

#[test]
fn a_drain_that_was_killed_is_not_gone_on_with_when_the_other_station_died_meanwhile() {
    if skipped() {
        return;
    }
    let mut site = Site::new();
    let download = site.download('A');
    let hawiz = Hawiz::start(&site, &DRAIN);
    until("A is drained everywhere", || site.all("StationA", DRAINING));
    drop(hawiz);
    site.stations[1].die();
    site.stations[0].release();
    drop(download);
    site.world.hawiz(&["resume", "--yes"]).is(6).says("no server but StationA");
    assert!(site.all("StationA", DRAINING), "it was taken out: {}", site.states());
    // Taken back it serves, alone.
    site.world.hawiz(&["rollback", "--yes"]).is(9);
    until("A serves", || site.all("StationA", IN));
}

#[test]
fn an_activation_is_not_rolled_back_when_the_other_station_is_gone_by_then() {
    if skipped() {
        return;
    }
    let mut site = Site::new();
    site.world.hawiz(&DRAIN).is(0);
    site.world.hawiz(&BACK).is(0);
    site.stations[1].die();
    let refused = site.world.hawiz(&["rollback", "--yes"]).is(10);
    assert!(refused.out.contains("no server but StationA"), "{}", refused.out);
    assert!(site.all("StationA", IN), "{}", site.states());
    // And not by whoever took the other one out by hand.
    site.boot(1);
    until("HAProxy sees B again", || site.all("StationB", IN));
    site.world.hawiz(&["deactivate", "--on", "StationA", "--yes"]).is(0);
    site.world.hawiz(&BACK).is(0);
    for backend in super::BACKENDS {
        site.ask(&format!("set server {backend}/StationB state maint"));
    }
    site.world.hawiz(&["rollback", "--yes"]).is(10);
    assert!(site.all("StationA", IN), "{}", site.states());
    site.world.hawiz(&BACK_B).is(0);
}

#[test]
fn where_a_person_works_the_load_balancer_a_station_that_still_serves_is_not_lost() {
    if skipped() {
        return;
    }
    let mut site = Site::new();
    site.hawiz_toml("manual", "");
    let answers = "[manual]\n\"activate/bring-target-in/ready-by-hand\" = \"done\"\n\"lost/keep-target-out/offline-by-hand\" = \"done\"\n";
    std::fs::write(site.world.dir.join("answers.toml"), answers).expect("the folder is ours");
    let lost = [&LOST[..], &["--answers", "answers.toml"]].concat();
    site.world.hawiz(&lost).is(4).says("Nothing takes a connection on port");
    site.stations[0].die();
    site.world.hawiz(&lost).is(0);
    // Whether another station is up there nobody is believed without a word.
    site.world.hawiz(&DRAIN).is(4).says("deactivate/will-anybody-be-left-to-serve/left-by-hand");
}
