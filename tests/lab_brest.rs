//! The Brest playbook on booted hosts: real systemd, PostgreSQL, sshd, Apache, Kerberos' keytabs and a real floating address;
//! OpenNebula is a stand-in whose servers really elect (`tests/lab/worlds/brest`).
//!
//! Why it exists: `tests/brest.rs` runs the playbook among stand-ins of every program, which agree with whoever wrote them.
//! Each procedure is run dry, then really, killed once at a step drawn by lot and gone on with, then once more on the finished
//! system, where the hosts' own logs must say that nothing was changed. After every move one server holds the address, by
//! the kernel's tables and by who answers on the wire. Where the lab cannot be had, each test says so (`docs/lab.md`).

#[path = "lab/brest.rs"]
mod brest;
#[path = "lab/paper.rs"]
mod paper;
#[path = "lab/rig.rs"]
mod rig;
mod support;

use brest::{ALL, Zone};
use rig::PATIENCE;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
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
const ADD: [&str; 6] = ["run", "add-server", "--on", "front4", "--set", "parity=any"];
const REMOVE: [&str; 6] = ["run", "remove-server", "--on", "front4", "--set", "parity=any"];

#[test]
fn servers_become_a_zone_by_the_wizard_and_one_joins_and_leaves() {
    if !support::campaign() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED lab_brest::servers_become_a_zone_by_the_wizard_and_one_joins_and_leaves: three minutes; HAWIZ_CAMPAIGN=1 runs it"
        );
        return;
    }
    let test = "servers_become_a_zone_by_the_wizard_and_one_joins_and_leaves";
    let Some(zone) = Zone::new(test) else { return };
    let mut dice = Dice::new("kills");

    let answers = zone.answers(ANSWERS);
    let mesh = ["run", "ssh-mesh", "--on", "front1"];
    // (A dry run cannot look at keys that are not there yet.)
    zone.interrupted(&mesh, &answers, &mut dice, 10);
    assert_eq!(zone.again(&mesh, &answers), [""; 0]);
    zone.dry(&mesh);
    zone.again(&["run", "preflight", "--on", "front1"], &answers);

    // The wizard has the operator's terminal, over SSH.
    let configure = ["run", "raft-configure", "--on", "front1"];
    zone.dry(&configure);
    let mut person = zone.person(&[&configure[..], &["--yes", "--answers", &answers]].concat());
    person.asked("Количество экземпляров", "3\r");
    person.asked("Сетевой интерфейс", "eth0\r");
    person.asked("Плавающий IP-адрес", "10.77.0.40\r");
    for (n, node) in ALL[..3].iter().enumerate() {
        person.asked(&format!("экземпляра {}:", n + 1), &format!("{node}\r"));
    }
    person.end().ends(0).says("Настройка зоны завершена");
    zone.leader();
    let wizard = "\"raft-configure/run-brest-s-own-wizard/wizard\" = \"done\"\n";
    zone.again(&configure, &zone.answers(&[ANSWERS, wizard].concat()));
    read_by_the_genuine_client(&zone);

    zone.four();
    let answers = zone.answers(FOURTH);
    zone.dry(&ADD);
    let began = Instant::now();
    let at = zone.interrupted(&ADD, &answers, &mut dice, 8);
    let took = began.elapsed();
    let leader = zone.leader();
    let joined = |zone: &Zone| {
        let states = zone.states(leader);
        assert!(states.contains(&("front4".into(), "follower".into())), "{states:?}");
        zone.lab.on("front4", "systemctl is-active opennebula apache2 && a2query -q -s ipa-one-apache2-float");
        let keys = zone.lab.on("front4", "klist -k /etc/apache2/apache2.keytab");
        assert_eq!(keys.matches("HTTP/brest.brest.test@BREST.TEST").count(), 1, "{keys}");
        assert_eq!(
            zone.lab.on("front4", "stat -c %U /var/lib/one/.one/one_auth; ls /root/hawiz.db 2>/dev/null || :"),
            "oneadmin"
        );
    };
    joined(&zone);
    let skipped = zone.again(&ADD, &answers);
    eprintln!(
        "add-server: killed after {at} changes, {took:.1?} with the resume; finished it says skipped: {skipped:?}"
    );

    zone.dry(&REMOVE);
    zone.interrupted(&REMOVE, &answers, &mut dice, 4);
    assert_eq!(zone.leader(), leader);
    assert_eq!(zone.states(leader).len(), 3);
    zone.again(&REMOVE, &answers);
}

#[test]
fn the_leader_moves_on_paper_where_hawiz_is_not_to_be_had() {
    let Some(zone) = Zone::made("the_leader_moves_on_paper_where_hawiz_is_not_to_be_had") else { return };
    let leader = zone.leader();
    // Every code block in its order, by `sh` on the host that is named.
    zone.on_paper(&["plan", "failover", "--from", leader]);
    assert_ne!(zone.leader(), leader);
}

/// `pyone`, as its maintainers ship it, over the wire.
fn read_by_the_genuine_client(zone: &Zone) {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"))).unwrap_or_default();
    let client = cache.join("hawiz-tools/pyone");
    if !client.join("pyone").is_dir() {
        let _ = writeln!(std::io::stderr(), "SKIPPED lab_brest::the genuine client: no pyone (tests/run gets it)");
        return;
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
    let mut python = Command::new("nsenter");
    python.arg(format!("--net=/run/netns/hzlab-{}-station1", zone.lab.token())).args(["python3", "-c", text, &address]);
    python.env("PYTHONPATH", client).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut python = python.spawn().expect("nsenter is here");
    python.stdin.take().expect("piped").write_all(session.as_bytes()).expect("it reads");
    let out = python.wait_with_output().expect("a child of ours");
    let said = rig::text(&out.stdout);
    assert_eq!(said, "front1 front2 front3 3\nrefused", "{}", rig::text(&out.stderr));
}

fn lost(node: &str) -> String {
    format!("[gates]\n\"failover/is-from-off\" = \"{node}\"\n[manual]\n\"failover/is-from-off/isolated\" = \"done\"\n")
}
fn seconds(what: &str, since: Instant) {
    eprintln!("{what}: {:.1} s", since.elapsed().as_secs_f64());
}

#[test]
fn a_leader_moves_on_purpose_and_by_a_power_cut_and_one_server_holds_the_address() {
    let test = "a_leader_moves_on_purpose_and_by_a_power_cut_and_one_server_holds_the_address";
    let Some(zone) = Zone::made(test) else { return };
    let mut dice = Dice::new("kills of a failover");
    let none = zone.answers("");

    // On purpose; the leader's hook fails, so it keeps the address: the known fault.
    let first = zone.leader();
    zone.lab.on(first, "touch /etc/one/keeps-address");
    let planned = ["failover", "--from", first];
    zone.dry(&planned);
    let began = Instant::now();
    zone.say(&[&planned[..], &["--yes"]].concat()).ends(0);
    seconds("planned failover, all of hawiz", began);
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
    let third = zone.leader();
    zone.lab.on(second, "systemctl start opennebula");
    zone.lab.on(first, "rm -f /etc/one/keeps-address");
    zone.settles(PATIENCE);
    zone.again(&address, &none);

    // Its power is cut.
    let answers = zone.answers(&lost(third));
    let began = Instant::now();
    zone.lab.power(third, "off");
    let fourth = zone.taken(third, PATIENCE);
    seconds("power cut to the new leader with the address", began);
    let unplanned = ["failover", "--from", third, "--unplanned"];
    zone.say(&[&unplanned[..], &["--dryrun"]].concat()).ends(0);
    zone.say(&[&unplanned[..], &["--yes", "--answers", &answers]].concat()).ends(0);
    seconds("power cut to the end of hawiz", began);
    assert_eq!(zone.leader(), fourth);
    zone.say(&[&unplanned[..], &["--yes", "--answers", &answers]].concat()).ends(0);
    let done = zone.journal().steps("done");
    assert!(done.iter().all(|s| s.starts_with("failover/is-from-off/")), "{done:?}");
    zone.lab.power(third, "on");
    let back = ["run", "return", "--on", third];
    zone.say(&[&back[..], &["--yes"]].concat()).ends(0);
    assert_eq!(zone.leader(), fourth);
    zone.again(&back, &none);

    // Its cable is pulled: it holds the address, and nobody can ask it. The fence device takes its power.
    cable(&zone, fourth, "down");
    let fence = ["failover", "--from", fourth, "--unplanned", "--set", "isolate=fence"];
    let answers = zone.answers(&format!("[gates]\n\"fence/cut-the-power\" = \"{fourth}\"\n"));
    zone.say(&[&fence[..], &["--yes", "--answers", &answers]].concat()).ends(0);
    assert!(!zone.lab.inside(fourth, "true").status.success(), "{fourth} still has its power");
    cable(&zone, fourth, "up");
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

fn cable(zone: &Zone, node: &str, how: &str) {
    let wire = format!("hzlab-{}-wire", zone.lab.token());
    let done = Command::new("ip").args(["-n", &wire, "link", "set", &format!("to-{node}"), how]).status();
    assert!(done.is_ok_and(|s| s.success()), "{node}: the cable cannot be {how}");
}
