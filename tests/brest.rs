//! The Brest playbook in a zone of stand-ins: every procedure planned, and those that move something really run.
//!
//! Invariants: each is a dry run first, which changes nothing; then real; then again on the finished system, where nothing
//! is left to be done. After every move one server holds the floating address, and it is the leader.

mod support;
#[path = "brest/world.rs"]
mod world;

use support::Ended;
use world::{Zone, zone, zone_of};

const THREE: [&str; 3] = ["front1", "front2", "front3"];
const FOUR: [&str; 4] = ["front1", "front2", "front3", "front4"];

/// The root SSH mesh, which the document wants before anything else.
fn meshed(nodes: &[&str]) -> Zone {
    mesh(zone(nodes), nodes)
}
fn mesh(zone: Zone, nodes: &[&str]) -> Zone {
    zone.world.hawiz(&["run", "ssh-mesh", "--on", "front1", "--yes"]).is(0);
    for node in nodes {
        let _ = std::fs::remove_file(zone.world.dir.join(format!("w/{node}/trace")));
    }
    zone
}

fn answers(zone: &Zone, text: &str) {
    zone.world.put("answers.toml", text);
}

/// Dry, real, and once more: the last run finds all as it should be. What the real one said is returned.
fn three_times(zone: &Zone, args: &[&str]) -> Ended {
    let before = zone.world.picture("w");
    zone.world.hawiz(&[args, &["--dryrun"]].concat()).is(0);
    assert_eq!(zone.world.picture("w"), before, "a dry run changed something");
    let args = [args, &["--yes", "--answers", "answers.toml"]].concat();
    let ended = zone.world.hawiz(&args).is(0);
    assert_eq!(zone.holders(), [zone.leader()], "one server holds the address, and it leads");
    let changes = zone.changes();
    let again = zone.world.hawiz(&args).is(0);
    assert_eq!(zone.changes(), changes, "{}", again.out);
    assert!(!again.out.contains("kipped"), "what is so already is not skipped: {}", again.out);
    ended
}

#[test]
fn every_procedure_is_planned_and_the_translation_is_not_stale() {
    let root = env!("CARGO_MANIFEST_DIR");
    let zone = zone(&THREE);
    let ended = zone.world.hawiz(&["validate", "hawiz.toml"]).is(0);
    assert!(ended.out.ends_with("13 procedures can be planned\n"), "{}", ended.out);
    let said = zone.world.hawiz(&["validate", &format!("{root}/playbooks/brest.toml")]).is(0);
    assert_eq!(said.err, "");
    assert_eq!(
        said.out,
        format!(
            "{root}/playbooks/brest.toml: this playbook is in order\n{root}/playbooks/brest.ru.toml: this translation is in order\n"
        )
    );
}

#[test]
fn a_planned_failover_takes_the_address_from_a_leader_that_keeps_it() {
    let zone = meshed(&THREE);
    answers(&zone, "");
    zone.world.put("w/front1/stubborn", "");
    three_times(&zone, &["failover", "--from", "front1"]);
    assert_eq!(zone.leader(), "front2");
    assert_eq!(
        zone.changes(),
        [
            "front1: systemctl stop opennebula",
            "front1: ip addr del 127.0.0.1/24 dev eth0",
            "front1: systemctl start opennebula"
        ]
    );
}

#[test]
fn a_planned_failover_of_a_server_that_does_not_lead_changes_nothing() {
    let zone = meshed(&THREE);
    zone.world.hawiz(&["failover", "--from", "front3", "--yes"]).is(0).says("front1 leads");
    assert_eq!((zone.leader().as_str(), zone.changes()), ("front1", vec![]));
}

#[test]
fn an_unplanned_failover_waits_for_the_election_and_the_lost_leader_returns_without_the_address() {
    let zone = meshed(&THREE);
    zone.kill("front1");
    answers(
        &zone,
        "[gates]\n\"failover/is-from-off\" = \"front1\"\n[manual]\n\"failover/is-from-off/isolated\" = \"done\"\n",
    );
    let args = ["failover", "--from", "front1", "--unplanned"];
    let again = [&args[..], &["--yes", "--answers", "answers.toml"]].concat();
    zone.world.hawiz(&[&args[..], &["--dryrun"]].concat()).is(0);
    zone.world.hawiz(&again).is(0);
    assert_eq!(zone.leader(), "front2");
    zone.world.hawiz(&again).is(0);
    assert_eq!(zone.changes(), [""; 0], "the zone elects; hawiz looks");

    // It was cut off, not off: it comes back with the address, as the known fault has it.
    zone.boot("front1");
    zone.world.put("w/front1/float", "");
    std::fs::remove_file(zone.world.dir.join("w/front1/active-opennebula")).expect("it ran");
    assert_eq!(zone.holders(), ["front1", "front2"]);
    three_times(&zone, &["run", "return", "--on", "front1"]);
    assert_eq!(zone.changes(), ["front1: ip addr del 127.0.0.1/24 dev eth0", "front1: systemctl start opennebula"]);
}

#[test]
fn two_holders_of_the_address_stop_a_failover_and_are_cured() {
    let zone = meshed(&THREE);
    zone.world.put("w/front3/float", "");
    zone.world.hawiz(&["failover", "--from", "front1", "--yes"]).is(4);
    assert_eq!(zone.changes(), [""; 0]);
    answers(&zone, "");
    three_times(&zone, &["run", "address"]);
    assert_eq!(zone.changes(), ["front3: ip addr del 127.0.0.1/24 dev eth0"]);
}

#[test]
fn without_a_majority_nothing_is_changed() {
    let zone = meshed(&THREE);
    answers(
        &zone,
        "[gates]\n\"failover/is-from-off\" = \"front1\"\n[manual]\n\"failover/is-from-off/isolated\" = \"done\"\n",
    );
    zone.kill("front1");
    zone.kill("front3");
    zone.world.hawiz(&["failover", "--from", "front1", "--unplanned", "--yes", "--answers", "answers.toml"]).is(4);
    zone.world.hawiz(&["run", "return", "--on", "front3", "--yes"]).is(4);
    zone.world.put("removal.toml", "[gates]\n\"remove-server/is-target-off\" = \"front1\"\n\"remove-server/take-target-out-of-the-zone\" = \"front1\"\n[manual]\n\"remove-server/is-target-off/isolated\" = \"done\"\n");
    let remove = ["run", "remove-server", "--on", "front1", "--set", "gone=true", "--set", "parity=any", "--yes"];
    zone.world.hawiz(&[&remove[..], &["--answers", "removal.toml"]].concat()).is(4);
    assert_eq!(zone.changes(), [""; 0]);
    assert_eq!(zone.members(), THREE);
}

#[test]
fn three_of_five_fail_over_when_a_second_server_is_vouched_for_as_off() {
    let nodes = ["front1", "front2", "front3", "front4", "front5"];
    let zone = mesh(zone_of(5, &nodes), &nodes);
    answers(
        &zone,
        "[gates]\n\"failover/is-from-off\" = \"front1\"\n[manual]\n\"failover/is-from-off/isolated\" = \"done\"\n",
    );
    zone.kill("front1");
    zone.kill("front4");
    let lost = ["failover", "--from", "front1", "--unplanned"];
    let yes = ["--yes", "--answers", "answers.toml"];
    let refused = zone.world.hawiz(&[&lost[..], &yes].concat()).is(4);
    refused.says("cannot reach front4").says("if it is off, and nothing is to be done there: --attest front4");

    let vouched = [&lost[..], &["--attest", "front4"]].concat();
    zone.world.hawiz(&[&vouched[..], &["--dryrun"]].concat()).is(0);
    let said = zone.world.hawiz(&[&vouched[..], &yes].concat()).is(0);
    said.says("front4 is vouched for as off, and counts as lost").says("3 of 5 answer");
    assert_eq!((zone.leader().as_str(), zone.holders()), ("front2", vec!["front2"]));
    assert_eq!(zone.changes(), [""; 0]);

    // Whoever is vouched for and answers is not off; nor is it what the work is about.
    zone.world
        .hawiz(&[&lost[..], &["--attest", "front5"], &yes].concat())
        .is(4)
        .says("front5 was vouched for as off, but it answers");
    zone.world.hawiz(&["run", "return", "--on", "front4", "--attest", "front4"]).is(2).says("nothing can run there");

    // The first comes back while the second is still away.
    zone.boot("front1");
    zone.world
        .hawiz(&["run", "return", "--on", "front1", "--attest", "front4", "--yes"])
        .is(0)
        .says("3 of 5 lead or follow, http://front4:2633/RPC2 is error");

    // Two that are on, and whose service does not run, come back one after the other.
    for node in ["front1", "front3"] {
        std::fs::remove_file(zone.world.dir.join(format!("w/{node}/active-opennebula"))).expect("it ran");
    }
    zone.boot("front4");
    for node in ["front3", "front1"] {
        zone.world.hawiz(&["run", "return", "--on", node, "--yes"]).is(0);
    }
    zone.kill("front4");

    // Three away: the two that are left are no majority, whoever is vouched for.
    zone.kill("front1");
    zone.kill("front5");
    let two = [&vouched[..], &["--attest", "front5"], &yes].concat();
    zone.world.hawiz(&two).is(4).says("true on 2 of 5 nodes, wanted more than half");
    assert_eq!(zone.holders(), [""; 0]);
}

/// The gates of the two procedures that destroy something.
const JOIN: &str = "[gates]\n\"copy-database/replace-the-database-of-target\" = \"front4\"\n";
const LEAVE: &str = "[gates]\n\"remove-server/take-target-out-of-the-zone\" = \"NODE\"\n";

#[test]
fn a_server_joins_with_the_leaders_database_and_no_password_is_in_the_arguments() {
    let zone = meshed(&FOUR);
    answers(&zone, JOIN);
    let refused = zone.world.hawiz(&["run", "add-server", "--on", "front4", "--yes", "--answers", "answers.toml"]);
    refused.is(4).says("3 servers, with the new one 4");
    assert_eq!(zone.changes(), [""; 0]);

    three_times(&zone, &["run", "add-server", "--on", "front4", "--set", "parity=any"]);
    assert_eq!(zone.members(), FOUR);
    let at = |path: &str| std::fs::read_to_string(zone.world.dir.join("w").join(path)).unwrap_or_default();
    assert_eq!(at("front4/one/one.d/raft.conf"), "FEDERATION = [\n    MODE = \"STANDALONE\",\n    SERVER_ID = 3\n]\n");
    assert_eq!(at("front1/one/one.d/raft.conf"), "FEDERATION = [\n    MODE = \"STANDALONE\",\n    SERVER_ID = 0\n]\n");
    assert_eq!(at("front4/home/.one/one_auth"), "brestadmin:of-the-zone\n");
    assert_eq!(at("front4/root/hawiz-before.db"), "own");
    assert_eq!((at("front1/root/hawiz.db"), at("front4/root/hawiz.db")), (String::new(), String::new()));
    assert!(at("front4/apache2/apache2.keytab").contains("HTTP/brest."), "the keytab was merged");
    // Neither in what was run nor in anything that hawiz kept.
    let all = zone.changes().join("\n");
    assert!(all.contains("onedb restore") && !all.contains("pw:of"), "{all}");
    for kept in ["state", "here"] {
        let found: Vec<_> = zone
            .world
            .picture(kept)
            .into_iter()
            .filter(|(_, t)| String::from_utf8_lossy(t).contains("pw:of"))
            .collect();
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn a_server_leaves_and_nothing_of_the_zone_stays_on_it() {
    let zone = meshed(&THREE);
    answers(&zone, &LEAVE.replace("NODE", "front3"));
    zone.world
        .hawiz(&["run", "remove-server", "--on", "front3", "--yes", "--answers", "answers.toml"])
        .is(4)
        .says("2 servers stay");
    assert_eq!(zone.changes(), [""; 0]);
    three_times(&zone, &["run", "remove-server", "--on", "front3", "--set", "parity=any"]);
    assert_eq!(zone.members(), ["front1", "front2"]);
    assert_eq!(
        zone.changes(),
        [
            "front1: onezone server-del 0 2",
            "front3: systemctl stop opennebula",
            "front3: systemctl disable opennebula",
            "front3: a2dissite -q ipa-one-apache2-float.conf",
            "front3: systemctl restart apache2"
        ]
    );
}

#[test]
fn a_leader_steps_down_before_it_is_removed() {
    let zone = meshed(&THREE);
    zone.world.put("w/front1/stubborn", "");
    answers(&zone, &LEAVE.replace("NODE", "front1"));
    three_times(&zone, &["run", "remove-server", "--on", "front1", "--set", "parity=any"]);
    assert_eq!((zone.leader().as_str(), zone.members()), ("front2", vec!["front2".into(), "front3".into()]));
    assert_eq!(zone.changes()[..2], ["front1: systemctl stop opennebula", "front1: ip addr del 127.0.0.1/24 dev eth0"]);
}

#[test]
fn preflight_accepts_a_zone_and_names_what_is_wrong_with_one() {
    let zone = meshed(&THREE);
    zone.world.hawiz(&["check", "preflight"]).is(0);
    zone.world.put("w/front2/apache2/astramode.conf", "  astramode OFF\n");
    zone.world.hawiz(&["check", "preflight"]).is(4).says("No server has AstraMode off");
    zone.world.put("w/front2/apache2/astramode.conf", "AstraMode on\n");
    zone.world.put("w/front3/home/.one/one_auth", "other:x\n");
    zone.world.hawiz(&["check", "preflight"]).is(4).says("All have one administrator account");
    zone.world.put("w/front3/home/.one/one_auth", "brestadmin:x\n");
    zone.world.put("w/front3/float", "");
    zone.world.hawiz(&["check", "preflight"]).is(4).says("One server holds 127.0.0.1");
}

#[test]
fn a_zone_that_exists_is_never_configured_again() {
    let zone = meshed(&THREE);
    answers(
        &zone,
        "[manual]\n\"preflight/what-only-a-person-knows/discretionary\" = \"done\"\n\"preflight/what-only-a-person-knows/controller\" = \"done\"\n",
    );
    zone.world.hawiz(&["run", "raft-configure", "--on", "front1", "--yes", "--answers", "answers.toml"]).is(0);
    assert_eq!(zone.changes(), [""; 0]);
}

#[test]
fn a_server_that_was_away_too_long_gets_the_leaders_database() {
    let zone = meshed(&THREE);
    zone.kill("front3");
    zone.boot("front3");
    zone.world.put("w/front3/database", "old");
    answers(&zone, "[gates]\n\"copy-database/replace-the-database-of-target\" = \"front3\"\n");
    three_times(&zone, &["run", "return", "--on", "front3", "--set", "resync=true"]);
    assert!(zone.changes().contains(&"front1: onezone server-reset 0 2".into()), "{:?}", zone.changes());
    assert_eq!(std::fs::read_to_string(zone.world.dir.join("w/front3/database")).expect("it is there"), "zone");
    assert_eq!(
        std::fs::read_to_string(zone.world.dir.join("w/front3/root/hawiz-before.db")).expect("it is there"),
        "old"
    );
    assert_eq!(zone.holders(), ["front1"]);
}

#[test]
fn a_server_that_is_gone_for_good_is_removed_without_being_asked() {
    let zone = meshed(&THREE);
    zone.kill("front1");
    let gates = "[gates]\n\"remove-server/is-target-off\" = \"front1\"\n";
    let manual = "[manual]\n\"remove-server/is-target-off/isolated\" = \"done\"\n";
    answers(&zone, &[&LEAVE.replace("NODE", "front1"), &gates[8..], manual].concat());
    three_times(&zone, &["run", "remove-server", "--on", "front1", "--set", "gone=true", "--set", "parity=any"]);
    assert_eq!(zone.changes(), ["front2: onezone server-del 0 0"]);
}

/// An addition that stops at a full disk.
fn stopped() -> Zone {
    let zone = meshed(&FOUR);
    answers(&zone, JOIN);
    zone.world.put("w/front4/full", "");
    let args = ["run", "add-server", "--on", "front4", "--set", "parity=any", "--yes", "--answers", "answers.toml"];
    zone.world.hawiz(&args).is(6).says("No space left on device");
    std::fs::remove_file(zone.world.dir.join("w/front4/full")).expect("it was put there");
    zone
}

#[test]
fn an_addition_that_stopped_is_gone_on_with() {
    let zone = stopped();
    zone.world.hawiz(&["resume", "--yes", "--answers", "answers.toml"]).is(0);
    assert_eq!((zone.members(), zone.holders()), (FOUR.map(String::from).to_vec(), vec!["front1"]));
    let once = |what: &str| zone.changes().iter().filter(|c| c.contains(what)).count();
    assert_eq!((once("backup"), once("stop opennebula"), once("server-add")), (2, 1, 1));
}

#[test]
fn an_addition_that_stopped_is_taken_back() {
    let zone = stopped();
    zone.world.hawiz(&["rollback", "--yes"]).is(9);
    assert_eq!(zone.members(), THREE);
    let at = |path: &str| zone.world.dir.join("w").join(path);
    assert_eq!(std::fs::read_to_string(at("front4/database")).expect("it is there"), "own");
    assert!(
        at("front4/active-opennebula").exists()
            && !at("front4/root/hawiz.db").exists()
            && !at("front1/root/hawiz.db").exists()
    );
}

#[test]
fn in_russian_every_line_but_those_of_commands_keeps_to_80_columns() {
    let zone = zone(&FOUR);
    let shown = zone.world.hawiz(&["plan", "failover", "--from", "front1", "--lang", "ru"]).is(0).out;
    let cyrillic = |l: &&str| l.chars().any(|c| ('а'..='я').contains(&c));
    let lines: Vec<&str> = shown.lines().filter(cyrillic).collect();
    assert!(lines.len() > 20, "{shown}");
    let wide: Vec<&&str> = lines.iter().filter(|l| l.chars().count() > 80).collect();
    assert!(wide.is_empty(), "{wide:?}");
    // What stands at the right edge ends in one column, however many bytes stand before it.
    let aligned = |l: &&&str| l.trim().contains("   ") && !l.trim().starts_with("undo ");
    let ends: Vec<usize> = lines.iter().filter(aligned).map(|l| l.chars().count()).collect();
    assert!(ends.len() > 15 && ends.iter().all(|n| *n == 80), "{ends:?}");
}

/// As hawiz makes a stage's id from its title.
fn slug(title: &str) -> String {
    let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

#[test]
fn the_russian_translation_lacks_nothing() {
    let read = |name: &str| -> toml::Table {
        let path = format!("{}/playbooks/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).expect("it is shipped").parse().expect("it is TOML")
    };
    let (playbook, russian) = (read("brest.toml"), read("brest.ru.toml"));
    let mut lacks: Vec<String> = Vec::new();
    let mut want = |what: String, there: bool| {
        if !there {
            lacks.push(what);
        }
    };
    for key in ["title", "about"] {
        want(key.into(), russian.contains_key(key));
    }
    for (input, _) in playbook["inputs"].as_table().expect("a table") {
        want(input.clone(), russian["inputs"].get(input).is_some());
    }
    for (procedure, stages) in playbook.iter().filter_map(|(name, v)| Some((name, v.as_array()?))) {
        for stage in stages.iter().filter(|s| s.get("stage").is_some()) {
            let id = format!("{procedure}/{}", slug(stage["stage"].as_str().expect("a title")));
            let said = russian["stages"].get(&id);
            want(id.clone(), said.is_some_and(|s| stage.get("about").is_none() || s.get("about").is_some()));
            for step in stage["step"].as_array().expect("it has steps") {
                let id = format!("{id}/{}", step["id"].as_str().expect("every step has its id"));
                let said = russian["steps"].get(&id);
                let has = |key: &str| said.is_some_and(|s| s.get(key).is_some());
                let words = step.get("undo").is_some_and(|u| u.get("none").or(u.get("manual")).is_some());
                let keys = ["name", "about", "manual"].into_iter().filter(|key| step.get(key).is_some());
                for key in keys.chain(words.then_some("undo")) {
                    want(format!("{id}: {key}"), has(key));
                }
            }
        }
    }
    assert_eq!(lacks, [""; 0]);
}
