//! The Brest playbook on booted hosts: real systemd, PostgreSQL, sshd, Apache, Kerberos' keytabs and a real floating address;
//! OpenNebula is a stand-in whose servers really elect (`tests/lab/worlds/brest`).
//!
//! Why it exists: `tests/brest.rs` runs the playbook among stand-ins of every program, which agree with whoever wrote them.
//! Each procedure is run dry, then really, killed once at a place drawn by lot and gone on with, then once more on the finished
//! system, where every step is already so and the hosts' own logs say that nothing was changed. After every move one server
//! holds the address, by the kernel's tables and by who answers on the wire. Where the lab cannot be had, each test says so
//! (`docs/lab.md`).

#[path = "lab/brest.rs"]
mod brest;
#[path = "lab/paper.rs"]
mod paper;
#[path = "lab/rig.rs"]
mod rig;
mod support;

use brest::{ALL, ASKED, FLOAT, Zone, answered};
use rig::PATIENCE;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::Dice;

/// The gates of what destroys something, and what only a person knows.
const ANSWERS: &str = r#"[gates]
"raft-configure/run-brest-s-own-wizard" = "front1"
[manual]
"preflight/what-only-a-person-knows/discretionary" = "done"
"preflight/what-only-a-person-knows/controller" = "done"
"raft-configure/browser/firefox" = "done"
"#;
const FOURTH: &str = r#"[gates]
"copy-database/replace-the-database-of-target" = "front4"
"remove-server/take-target-out-of-the-zone" = "front4"
"#;
const MESH: [&str; 4] = ["run", "ssh-mesh", "--on", "front1"];
const CONFIGURE: [&str; 4] = ["run", "raft-configure", "--on", "front1"];
const ADD: [&str; 6] = ["run", "add-server", "--on", "front4", "--set", "parity=any"];
const REMOVE: [&str; 6] = ["run", "remove-server", "--on", "front4", "--set", "parity=any"];

/// What takes minutes is asked for.
fn asked_for(test: &str) -> bool {
    if !support::campaign() {
        brest::skipped(&format!("lab_brest::{test}: minutes; HAWIZ_CAMPAIGN=1 runs it"));
    }
    support::campaign()
}
fn seconds(what: &str, since: Instant) {
    eprintln!("{what}: {:.1} s", since.elapsed().as_secs_f64());
}

// ------------------------------------------------------------ the wizard

#[test]
fn servers_become_a_zone_by_the_wizard_and_one_joins_and_leaves() {
    let test = "servers_become_a_zone_by_the_wizard_and_one_joins_and_leaves";
    if !asked_for(test) {
        return;
    }
    let Some(zone) = Zone::new(test) else { return };
    let mut dice = Dice::new("kills");

    let answers = zone.answers(ANSWERS);
    // (A dry run cannot look at keys that are not there yet.)
    zone.interrupted(&MESH, &answers, &mut dice, 10);
    zone.again(&MESH, &answers);
    zone.dry(&MESH);
    zone.again(&["run", "preflight", "--on", "front1"], &answers);
    zone.dry(&CONFIGURE);

    // The wizard has the operator's terminal, over SSH. hawiz is killed while it works: it may have left half a zone, and
    // nobody can tell how much of one. The run is taken back, and every server is what it was.
    let alone = ALL.map(|n| zone.alone(n));
    let all = [&CONFIGURE[..], &["--yes", "--answers", &answers]].concat();
    let mut person = zone.person(&all);
    answered(&mut person, &ASKED);
    std::thread::sleep(Duration::from_millis(dice.below(9000)));
    zone.kill_hawiz();
    person.end();
    zone.wizard_ends();
    let halfway = zone.say(&["resume", "--yes", "--answers", &answers]);
    eprintln!("killed while the wizard worked; resume: {:?}, {}", halfway.code, halfway.last());
    if halfway.code != Some(0) {
        halfway.says("its end is not known").says("while its program had the terminal");
        zone.say(&["rollback", "--yes"]).ends(9);
        assert_eq!(ALL.map(|n| zone.alone(n)), alone);

        // Begun anew, and killed while it still asks: nothing was done, so it is asked again.
        let mut person = zone.person(&all);
        let (question, _) = ASKED.split_at(dice.below(6) as usize);
        answered(&mut person, question);
        person.asked(ASKED[question.len()].0, "");
        zone.kill_hawiz();
        person.end();
        zone.wizard_ends();
        let mut person = zone.person(&["resume", "--yes", "--answers", &answers]);
        person.asked("its end is not known", "");
        person.asked("[r]etry", "r\r");
        answered(&mut person, &ASKED);
        person.end().ends(0).says("Настройка зоны завершена");
        zone.once();
    }
    zone.leader();
    let wizard = "\"raft-configure/run-brest-s-own-wizard/wizard\" = \"done\"\n";
    zone.again(&CONFIGURE, &zone.answers(&[ANSWERS, wizard].concat()));
    read_by_the_genuine_client(&zone);

    zone.four();
    let answers = zone.answers(FOURTH);
    zone.dry(&ADD);
    let began = Instant::now();
    zone.interrupted(&ADD, &answers, &mut dice, 8);
    seconds("add-server, killed and gone on with", began);
    let leader = zone.leader();
    joined(&zone, leader);
    zone.again(&ADD, &answers);

    zone.dry(&REMOVE);
    zone.interrupted(&REMOVE, &answers, &mut dice, 4);
    assert_eq!(zone.leader(), leader);
    assert_eq!(zone.states(leader).len(), 3);
    zone.again(&REMOVE, &answers);
}

/// The fourth follows, with all that its web interface wants, and keeps no copy of the database.
#[track_caller]
fn joined(zone: &Zone, leader: &str) {
    let states = zone.states(leader);
    assert!(states.contains(&("front4".into(), "follower".into())), "{states:?}");
    zone.lab.on("front4", "systemctl is-active opennebula apache2 && a2query -q -s ipa-one-apache2-float");
    let keys = zone.lab.on("front4", "klist -k /etc/apache2/apache2.keytab");
    assert_eq!(keys.matches("HTTP/brest.brest.test@BREST.TEST").count(), 1, "{keys}");
    assert_eq!(
        zone.lab.on("front4", "stat -c %U /var/lib/one/.one/one_auth; ls /root/hawiz.db 2>/dev/null || :"),
        "oneadmin"
    );
}

/// `pyone`, as its maintainers ship it, over the wire.
fn read_by_the_genuine_client(zone: &Zone) {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"))).unwrap_or_default();
    let client = cache.join("hawiz-tools/pyone");
    if !client.join("pyone").is_dir() {
        return brest::skipped("lab_brest::the genuine client: no pyone (tests/run gets it)");
    }
    let leader = zone.leader();
    let address = format!("10.77.0.4{}", &leader[5..]);
    let session = zone.lab.on(leader, "cat /var/lib/one/.one/one_auth");
    let text = "import sys, pyone
one = pyone.OneServer(f'http://{sys.argv[1]}:2633/RPC2', session=sys.stdin.read().strip())
zone = one.zone.info(0)
print(*(s.NAME for s in zone.SERVER_POOL.SERVER), one.zone.raftstatus().STATE)
try:
    pyone.OneServer(f'http://{sys.argv[1]}:2633/RPC2', session='oneadmin:wrong').zone.info(0)
except pyone.OneAuthenticationException:
    print('refused')";
    let mut python = zone.lab.place("station1", "python3");
    python.args(["-c", text, &address]).env("PYTHONPATH", client);
    let out = rig::whole_of(&mut python, &session);
    assert_eq!(rig::text(&out.stdout), "front1 front2 front3 3\nrefused", "{}", rig::text(&out.stderr));
}

// ------------------------------------------------------------ the leader moves

fn lost(node: &str) -> String {
    format!("[gates]\n\"failover/is-from-off\" = \"{node}\"\n[manual]\n\"failover/is-from-off/isolated\" = \"done\"\n")
}

#[test]
fn a_leader_moves_on_purpose_and_two_holders_of_the_address_are_cured() {
    let test = "a_leader_moves_on_purpose_and_two_holders_of_the_address_are_cured";
    let Some(zone) = Zone::made(test) else { return };
    let mut dice = Dice::new("kills of a planned failover");
    let none = zone.answers("");

    // On purpose; the leader's hook fails, so it keeps the address: the known fault.
    let first = zone.leader();
    zone.lab.on(first, "touch /etc/one/keeps-address");
    let planned = ["failover", "--from", first];
    zone.dry(&planned);
    let began = Instant::now();
    zone.interrupted(&planned, &none, &mut dice, 2);
    seconds("planned failover, killed and gone on with", began);
    let second = zone.leader();
    assert_ne!(second, first);
    assert!(
        zone.journal().steps("done").iter().any(|s| s.contains("/drop@")),
        "it gave up the address only because of hawiz"
    );
    zone.again(&planned, &none);

    // The same fault without a failover of hawiz's: two hold it, and the wire hears both.
    zone.lab.on(second, "touch /etc/one/keeps-address; systemctl stop opennebula");
    let until = Instant::now() + PATIENCE;
    while zone.holders().len() < 2 {
        assert!(Instant::now() < until, "{:?}", zone.holders());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(zone.answering().len(), 2, "two answer for the address");
    zone.lab.on(second, "rm /etc/one/keeps-address");
    zone.say(&["status"]).ends(4);
    let address = ["run", "address", "--on", "front1"];
    zone.dry(&address);
    zone.interrupted(&address, &none, &mut dice, 1);
    zone.leader();
    zone.lab.on(second, "systemctl start opennebula");
    zone.lab.on(first, "rm -f /etc/one/keeps-address");
    zone.settles(PATIENCE);
    zone.again(&address, &none);

    let began = Instant::now();
    let leader = zone.leader();
    zone.say(&["failover", "--from", leader, "--yes"]).ends(0);
    seconds("planned failover, all of hawiz", began);
    assert_ne!(zone.leader(), leader);
}

#[test]
fn another_leads_after_a_power_cut_and_the_lost_one_returns_without_the_address() {
    let test = "another_leads_after_a_power_cut_and_the_lost_one_returns_without_the_address";
    let Some(zone) = Zone::made(test) else { return };
    let mut dice = Dice::new("kills of an unplanned failover");
    let third = zone.leader();
    let answers = zone.answers(&lost(third));
    let began = Instant::now();
    zone.lab.power(third, "off");
    let fourth = zone.taken(third, PATIENCE);
    seconds("power cut to the new leader with the address", began);
    let unplanned = ["failover", "--from", third, "--unplanned"];
    zone.say(&[&unplanned[..], &["--dryrun"]].concat()).ends(0);
    zone.interrupted(&unplanned, &answers, &mut dice, 0);
    seconds("power cut to the end of hawiz", began);
    assert_eq!(zone.leader(), fourth);
    // Whether it is off is a person's word each time; all else is so already.
    let said = zone.say(&[&unplanned[..], &["--yes", "--answers", &answers]].concat()).ends(0);
    let done = zone.journal().steps("done");
    assert!(done.iter().all(|s| s.starts_with("failover/is-from-off/")), "{done:?}");
    assert_eq!(zone.journal().steps("skipped"), [""; 0], "{}", said.out);
    // It comes back as the known fault has it: with the address, and no member.
    zone.lab.power(third, "on");
    zone.lab.on(third, "systemctl is-system-running --wait || :");
    zone.lab.on(third, &format!("systemctl stop opennebula; ip addr add {FLOAT}/24 dev eth0"));
    let back = ["run", "return", "--on", third];
    zone.dry(&back);
    zone.interrupted(&back, &zone.answers(""), &mut dice, 2);
    assert_eq!(zone.leader(), fourth);
    zone.again(&back, &zone.answers(""));

    // Its cable is pulled: it holds the address, and nobody can ask it. The fence device takes its power.
    zone.lab.cable(fourth, "down");
    let fence = ["failover", "--from", fourth, "--unplanned", "--set", "isolate=fence"];
    let answers = zone.answers(&format!("[gates]\n\"fence/cut-the-power\" = \"{fourth}\"\n"));
    zone.say(&[&fence[..], &["--yes", "--answers", &answers]].concat()).ends(0);
    assert!(!zone.lab.inside(fourth, "true").status.success(), "{fourth} still has its power");
    zone.lab.cable(fourth, "up");
    let fifth = zone.leader();
    zone.lab.power(fourth, "on");
    zone.say(&["run", "return", "--on", fourth, "--yes"]).ends(0);
    assert_eq!(zone.leader(), fifth);

    // One is gone, and another one's service does not run: one of three is no majority, so nobody may be called lost.
    let other = ALL[..3].iter().find(|n| **n != fifth).expect("there are three");
    let answers = zone.answers(&lost(fifth));
    zone.lab.on(other, "systemctl stop opennebula");
    zone.lab.power(fifth, "off");
    let refused = zone.say(&["failover", "--from", fifth, "--unplanned", "--yes", "--answers", &answers]).ends(4);
    refused.says("A majority of the servers runs opennebula").says("nothing was changed");
    assert_eq!(zone.journal().steps("done"), [""; 0]);
    assert_eq!(zone.holders(), [""; 0]);
}

// ------------------------------------------------------------ away too long, gone for good

#[test]
fn a_server_that_was_away_too_long_is_given_the_database_and_one_that_is_gone_is_removed() {
    let test = "a_server_that_was_away_too_long_is_given_the_database_and_one_that_is_gone_is_removed";
    if !asked_for(test) {
        return;
    }
    let Some(zone) = Zone::made(test) else { return };
    let mut dice = Dice::new("kills of a return");
    let leader = zone.leader();
    let [away, gone] = [0, 1].map(|n| *ALL[..3].iter().filter(|n| **n != leader).nth(n).expect("there are three"));

    let answers = zone.answers(&format!("[gates]\n\"copy-database/replace-the-database-of-target\" = \"{away}\"\n"));
    zone.lab.on(away, "systemctl stop opennebula");
    let back = ["run", "return", "--on", away, "--set", "resync=true"];
    zone.dry(&back);
    let began = Instant::now();
    zone.interrupted(&back, &answers, &mut dice, 6);
    seconds("return with the leader's database, killed and gone on with", began);
    assert_eq!(zone.leader(), leader);
    assert!(zone.states(leader).contains(&(away.into(), "follower".into())));
    zone.settles(PATIENCE);
    zone.again(&back, &answers);

    // Gone for good: nothing is asked of it.
    zone.lab.power(gone, "off");
    let answers = zone.answers(&format!(
        "[gates]\n\"remove-server/is-target-off\" = \"{gone}\"\n\"remove-server/take-target-out-of-the-zone\" = \"{gone}\"\n\
         [manual]\n\"remove-server/is-target-off/isolated\" = \"done\"\n"
    ));
    let remove = ["run", "remove-server", "--on", gone, "--set", "gone=true", "--set", "parity=any"];
    zone.dry(&remove);
    zone.interrupted(&remove, &answers, &mut dice, 2);
    assert_eq!(zone.leader(), leader);
    assert_eq!(zone.states(leader).len(), 2);
    zone.again(&remove, &answers);
}

// ------------------------------------------------------------ on paper

fn nothing(what: &str) {
    panic!("nothing is asked of a person here: {what}");
}

#[test]
fn the_leader_moves_and_returns_on_paper_where_hawiz_is_not_to_be_had() {
    let Some(zone) = Zone::made("the_leader_moves_and_returns_on_paper_where_hawiz_is_not_to_be_had") else { return };
    let first = zone.leader();
    // Every code block in its order, by `sh` on the host that is named; the leader keeps the address, the known fault.
    zone.lab.on(first, "touch /etc/one/keeps-address");
    zone.on_paper(&["failover", "--from", first], &nothing);
    let second = zone.leader();
    assert_ne!(second, first);
    assert_eq!(zone.on_paper(&["failover", "--from", first], &nothing), [""; 0], "done again");

    // Two holders.
    zone.lab.on(first, &format!("ip addr add {FLOAT}/24 dev eth0"));
    assert_eq!(zone.on_paper(&["run", "address", "--on", "front1"], &nothing).len(), 1);
    assert_eq!(zone.leader(), second);
    zone.lab.on(first, "rm /etc/one/keeps-address");

    // There and back: the other two are lost in turn until the first leads again, or it does at once.
    zone.lab.on(second, "systemctl stop opennebula");
    let third = zone.taken(second, PATIENCE);
    zone.on_paper(&["run", "return", "--on", second], &nothing);
    assert_eq!(zone.leader(), third);
}

#[test]
fn a_zone_is_made_grows_and_shrinks_on_paper() {
    let test = "a_zone_is_made_grows_and_shrinks_on_paper";
    if !asked_for(test) {
        return;
    }
    let Some(zone) = Zone::new(test) else { return };
    let known = |_: &str| {};
    zone.on_paper(&MESH, &nothing);
    assert_eq!(zone.on_paper(&MESH, &nothing), [""; 0], "done again");
    zone.on_paper(&CONFIGURE, &known);
    zone.leader();
    assert_eq!(zone.on_paper(&CONFIGURE, &known).len(), 2, "only what a person knows is asked again");

    zone.four();
    zone.on_paper(&ADD, &nothing);
    let leader = zone.leader();
    joined(&zone, leader);
    assert_eq!(zone.on_paper(&ADD, &nothing), [""; 0], "done again");
    zone.on_paper(&REMOVE, &nothing);
    assert_eq!(zone.leader(), leader);
    assert_eq!(zone.states(leader).len(), 3);
    assert_eq!(zone.on_paper(&REMOVE, &nothing), [""; 0], "done again");
}
