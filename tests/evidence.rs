//! The truth table of evidence: what is known of the node that was active, and whether another may take over.
//!
//! Why it exists: *never two active nodes* is decided here and nowhere else, so each kind of evidence has its row, and each
//! row is played with the real binary. `HAWIZ_BLESS=1` writes docs/evidence.md anew from the rows.

#[path = "failover/pair.rs"]
mod pair;
mod support;

use pair::{DEVICE, answers, pair, program, unplug};
use std::io::Write;
use support::World;

const PLANNED: &[&str] = &["failover", "--from", "a", "--to", "b", "--yes"];
const UNPLANNED: &[&str] =
    &["failover", "--from", "a", "--to", "b", "--unplanned", "--yes", "--answers", "answers.toml"];
const ATTESTED: &[&str] = &["failover", "--from", "a", "--to", "b", "--unplanned", "--yes", "--attest", "a"];
const TWO: &str = "[[nodes.a.fence]]\nagent = \"fence_test\"\noptions = { plug = \"1\" }\n[[nodes.a.fence]]\nagent = \"fence_test\"\noptions = { plug = \"2\" }\ndeadline = \"2s\"\n";
/// An address of documentation: nobody answers there.
const ADDRESSED: &str = "[nodes.a.fence]\nagent = \"fence_test\"\noptions = { plug = \"1\" }\n";

/// One line of the table.
struct Row {
    /// What is known of `a`, in words.
    evidence: &'static str,
    verdict: &'static str,
    args: &'static [&'static str],
    site: &'static str,
    set: fn(&World),
    code: i32,
    /// What the run says of it.
    says: &'static str,
}

/// What the playbook knows of a node that cannot be asked.
const ALIVE: &str = "[[alive]]\nstage = \"Is it alive?\"\n  [[alive.step]]\n  name = \"has a session at the database\"\n  \
    check.sh = 'test -e \"$w/$from\" && test -e \"$w/session\" && echo \"asked from $node\"'\n";
const VOUCHED: &[&str] = &["activate", "--on", "b", "--yes", "--attest", "a"];

fn nothing(_: &World) {}
/// `a` is behind SSH, and something answers there.
fn ssh_port(world: &World) {
    let listener = std::net::TcpListener::bind("127.0.0.2:0").expect("this machine has a loopback");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        listener.incoming().for_each(|s| drop(s.and_then(|mut s| s.write_all(b"SSH-2.0-OpenSSH_9.6\r\n"))))
    });
    way_to_a(world, &format!("address = \"127.0.0.2\"\nport = {port}\n"));
}
fn way_to_a(world: &World, way: &str) {
    let site = std::fs::read_to_string(world.dir.join("hawiz.toml")).expect("it was written just now");
    world.put("hawiz.toml", &site.replacen("via = [\"env\", \"NODE=a\", \"sh\"]\n", way, 1));
}
fn address(world: &World) {
    let site = std::fs::read_to_string(world.dir.join("hawiz.toml")).expect("it was written just now");
    world.put("hawiz.toml", &site.replacen("[nodes.a]\n", "[nodes.a]\naddress = \"192.0.2.1\"\n", 1));
}

const ROWS: &[Row] = &[
    Row {
        evidence: "looked at: every check of `inactive` is true",
        verdict: "takes over",
        args: PLANNED,
        site: "",
        set: nothing,
        code: 0,
        says: "proof a (again): inactive: looked at",
    },
    Row {
        evidence: "looked at: one check is false",
        verdict: "stops",
        args: PLANNED,
        site: "",
        set: |w| w.put("w/a/leftover", ""),
        code: 6,
        says: "proof a: ACTIVE: not so: \"has nothing left over\"",
    },
    Row {
        evidence: "could not look (126, a signal, a deadline)",
        verdict: "stops",
        args: PLANNED,
        site: "",
        set: |w| {
            w.playbook(&pair::PLAYBOOK.replace(
                "rm -f \"$w/$node/active\"'\n  done",
                "rm -f \"$w/$node/active\"; : >\"$w/$node/blind\"'\n  done",
            ))
        },
        code: 6,
        says: "proof a: can't tell: is not active: could not look",
    },
    Row {
        evidence: "unsettled for longer than ten seconds",
        verdict: "stops",
        args: &["failover", "--from", "a", "--to", "b", "--yes", "--set", "unit=x"],
        site: "",
        set: |w| {
            program(
                w,
                "systemctl",
                "if test \"$NODE\" = a && test ! -e \"$W/w/a/active\"; then s=deactivating; else s=inactive; fi\necho \"LoadState=loaded\"; echo \"ActiveState=$s\"\n",
            )
        },
        code: 6,
        says: "proof a: can't tell: the service is stopped: x is deactivating",
    },
    Row {
        evidence: "cannot be reached, before anything was changed",
        verdict: "refuses",
        args: PLANNED,
        site: "",
        set: |w| unplug(w, ""),
        code: 4,
        says: "hawiz failover --from a --to b --unplanned",
    },
    Row {
        evidence: "fenced: `off`, then the status is off (exit 2 and the word)",
        verdict: "takes over",
        args: UNPLANNED,
        site: DEVICE,
        set: answers,
        code: 0,
        says: "proof a (again): inactive: its power was cut in this run (fence_test 1)",
    },
    Row {
        evidence: "fenced on every device of two",
        verdict: "takes over",
        args: UNPLANNED,
        site: TWO,
        set: answers,
        code: 0,
        says: "proof a (again): inactive: its power was cut in this run (fence_test 1, fence_test 2)",
    },
    Row {
        evidence: "fenced on one device of two, the other says on",
        verdict: "stops",
        args: UNPLANNED,
        site: TWO,
        set: |w| {
            answers(w);
            w.put("device-2", "lies")
        },
        code: 6,
        says: "fence_test says the power is on: Status: ON",
    },
    Row {
        evidence: "fence: `off` succeeds, the status says on",
        verdict: "stops",
        args: UNPLANNED,
        site: DEVICE,
        set: |w| {
            answers(w);
            w.put("device-1", "lies")
        },
        code: 6,
        says: "fence_test says the power is on: Status: ON",
    },
    Row {
        evidence: "fence: `off` fails",
        verdict: "stops",
        args: UNPLANNED,
        site: DEVICE,
        set: |w| {
            answers(w);
            w.put("device-1", "fails")
        },
        code: 6,
        says: "login refused",
    },
    Row {
        evidence: "fence: `off` hangs",
        verdict: "stops",
        args: UNPLANNED,
        site: DEVICE,
        set: |w| {
            answers(w);
            w.put("device-1", "hangs")
        },
        code: 6,
        says: "took longer than 2s",
    },
    Row {
        evidence: "fence: the status fails",
        verdict: "stops, unknown",
        args: UNPLANNED,
        site: DEVICE,
        set: |w| {
            answers(w);
            w.put("device-1", "errs")
        },
        code: 7,
        says: "fence_test does not tell (exit 1): nothing printed",
    },
    Row {
        evidence: "fence: the status ends with 2, without the word",
        verdict: "stops, unknown",
        args: UNPLANNED,
        site: DEVICE,
        set: |w| {
            answers(w);
            w.put("device-1", "mute")
        },
        code: 7,
        says: "fence_test does not tell (exit 2): nothing printed",
    },
    Row {
        evidence: "fence: the status says the word, but ends with 0",
        verdict: "stops, unknown",
        args: UNPLANNED,
        site: DEVICE,
        set: |w| {
            answers(w);
            w.put("device-1", "zero")
        },
        code: 7,
        says: "fence_test does not tell (exit 0): Status: OFF",
    },
    Row {
        evidence: "fenced, but its power is on again before the exclusive change",
        verdict: "stops",
        args: UNPLANNED,
        site: DEVICE,
        set: |w| {
            answers(w);
            w.put("device-1", "wakes")
        },
        code: 6,
        says: "proof a (again): ACTIVE: its power is on again",
    },
    Row {
        evidence: "fenced, but it shows a sign of life",
        verdict: "stops",
        args: UNPLANNED,
        site: ADDRESSED,
        set: |w| {
            answers(w);
            address(w);
            w.put("alive", "")
        },
        code: 6,
        says: "a was fenced, but it shows a sign of life: 192.0.2.1 answers ping",
    },
    Row {
        evidence: "fenced, but somebody else holds an address that is to move",
        verdict: "stops",
        args: UNPLANNED,
        site: DEVICE,
        set: |w| {
            answers(w);
            let more = "  [[activate.step]]\n  name = \"Take it\"\n  run.ip-add = { address = \"192.0.2.9\", prefix = 24, dev = \"eth0\" }\n";
            w.playbook(&format!("{}{more}", pair::PLAYBOOK));
            program(w, "ip", "case $* in *link*) echo '2: eth0: <UP> state UP' ;; esac\n");
            program(
                w,
                "arping",
                "case $* in -V) echo 'arping from iputils' ;; *) echo 'Unicast reply from 192.0.2.9'; exit 1 ;; esac\n",
            );
        },
        code: 6,
        says: "a was fenced, but it shows a sign of life: another node answers on 192.0.2.9",
    },
    Row {
        evidence: "the fence agent is not installed",
        verdict: "refuses",
        args: UNPLANNED,
        site: DEVICE,
        set: |w| {
            answers(w);
            std::fs::remove_file(w.dir.join("bin/fence_test")).expect("it was put there")
        },
        code: 4,
        says: "fence_test is not installed here",
    },
    Row {
        evidence: "no fence device, nobody vouches",
        verdict: "refuses",
        args: UNPLANNED,
        site: "",
        set: answers,
        code: 4,
        says: "it is left for lost, and no fence device is known for it; vouch for it with --attest a",
    },
    Row {
        evidence: "attested: a person vouches, less than ten minutes ago",
        verdict: "takes over",
        args: ATTESTED,
        site: "",
        set: nothing,
        code: 0,
        says: "proof a (again): inactive: a person vouches for it",
    },
    Row {
        evidence: "attestation expired",
        verdict: "stops",
        args: ATTESTED,
        site: "",
        set: |w| w.put("w/slow", ""),
        code: 6,
        says: "it was vouched for longer than 1s ago, which counts no more",
    },
    Row {
        evidence: "attested, but it shows a sign of life",
        verdict: "refuses",
        args: ATTESTED,
        site: "",
        set: |w| {
            address(w);
            w.put("alive", "")
        },
        code: 4,
        says: "a was vouched for, but it shows a sign of life: 192.0.2.1 answers ping",
    },
    Row {
        evidence: "attested, but its SSH port (22, or its `port`) is answered",
        verdict: "refuses",
        args: ATTESTED,
        site: "",
        set: ssh_port,
        code: 4,
        says: "a was vouched for, but it shows a sign of life: 127.0.0.2 says `SSH-2.0-OpenSSH_9.6` on port ",
    },
    Row {
        evidence: "attested, but a check of `alive` is true (a session at the shared database)",
        verdict: "refuses",
        args: ATTESTED,
        site: "",
        set: |w| {
            w.playbook(&format!("{}{ALIVE}", pair::PLAYBOOK));
            w.put("w/session", "")
        },
        code: 4,
        says: "a was vouched for, but it shows a sign of life: has a session at the database (asked from b)",
    },
    Row {
        evidence: "fenced, but a check of `alive` is true",
        verdict: "stops",
        args: UNPLANNED,
        site: DEVICE,
        set: |w| {
            answers(w);
            w.playbook(&format!("{}{ALIVE}", pair::PLAYBOOK));
            w.put("w/session", "")
        },
        code: 6,
        says: "a was fenced, but it shows a sign of life: has a session at the database (asked from b)",
    },
    Row {
        evidence: "fenced, and every check of `alive` is false",
        verdict: "takes over",
        args: UNPLANNED,
        site: DEVICE,
        set: |w| {
            answers(w);
            w.playbook(&format!("{}{ALIVE}", pair::PLAYBOOK))
        },
        code: 0,
        says: "proof a (again): inactive: its power was cut in this run (fence_test 1)",
    },
    Row {
        evidence: "attested, and it takes connections, but no session stands within two seconds",
        verdict: "takes over",
        args: VOUCHED,
        site: "",
        set: |w| way_to_a(w, "via = [\"sh\", \"-c\", \"cat >/dev/null\"]\n"),
        code: 0,
        says: "proof a (again): inactive: a person vouches for it",
    },
    Row {
        evidence: "attested, but it can be looked at, and is active",
        verdict: "refuses",
        args: VOUCHED,
        site: "",
        set: nothing,
        code: 4,
        says: "a is active: not so: \"is not active\"",
    },
];

fn play(row: &Row) {
    let mut world = pair(row.site);
    (row.set)(&world);
    if row.evidence == "attestation expired" {
        world.env.push(("HAWIZ_VOUCHED".into(), "1".into()));
    }
    let was = world.trace("b");
    let ended = world.hawiz(row.args);
    assert_eq!(ended.code, Some(row.code), "{}\nstdout:\n{}\nstderr:\n{}", row.evidence, ended.out, ended.err);
    let said = ended.out.contains(row.says) || ended.err.contains(row.says);
    assert!(said, "{}: {}\nstdout:\n{}\nstderr:\n{}", row.evidence, row.says, ended.out, ended.err);
    let active = world.dir.join("w/b/active").exists();
    assert_eq!(active, row.code == 0, "{}: whether b is active\n{}", row.evidence, ended.out);
    assert!(was.is_empty());
    let started = world.trace("b").contains(&"start".to_string());
    assert_eq!(started, row.code == 0, "{}: whether the exclusive change was started", row.evidence);
    if row.verdict == "refuses" {
        assert!(world.trace("a").is_empty() && world.trace("b").is_empty() && !world.dir.join("fenced").exists());
    }
    if row.args.contains(&"--unplanned") {
        assert!(world.trace("a").is_empty(), "{}: a was contacted", row.evidence);
        assert!(!world.dir.join("state/a").exists(), "{}: a was contacted", row.evidence);
    }
}

#[test]
fn a_node_that_is_vouched_for_is_not_waited_for() {
    let world = pair("");
    way_to_a(&world, "via = [\"sh\", \"-c\", \"cat >/dev/null\"]\n");
    let begun = std::time::Instant::now();
    world.hawiz(VOUCHED).is(0).says("node a: cannot be reached: no answer within 2s, and it is vouched for");
    // A session that says nothing is given up after half a minute.
    assert!(begun.elapsed().as_secs() < 25, "{:?}", begun.elapsed());
}

#[test]
fn signs_of_life_are_looked_for_side_by_side() {
    let world = pair(ADDRESSED);
    answers(&world);
    address(&world);
    let more = "  [[activate.step]]\n  name = \"Take it\"\n  run.ip-add = { address = \"192.0.2.9\", prefix = 24, dev = \"eth0\" }\n";
    world.playbook(&format!("{}{more}", pair::PLAYBOOK));
    program(&world, "ip", "case $* in *link*) echo '2: eth0: <UP> state UP' ;; esac\n");
    let waits =
        "echo $$ >\"$W/asks.new\"; mv \"$W/asks.new\" \"$W/asks\"; until test -e \"$W/pinged\"; do sleep 0.02; done";
    program(&world, "arping", &format!("case $* in -V) echo 'arping from iputils'; exit 0 ;; esac\n{waits}\n"));
    // Somebody answers only while the other question is still open.
    let pings = "until test -e \"$W/asks\"; do sleep 0.02; done; kill -0 \"$(cat \"$W/asks\")\" && : >\"$W/pinged\"\n";
    program(&world, "ping", pings);
    world.hawiz(UNPLANNED).is(6).says("a was fenced, but it shows a sign of life: 192.0.2.1 answers ping");
}

/// The rows with these indices: a few at a time, so that they run side by side.
fn rows(part: usize) {
    ROWS.iter().skip(part).step_by(4).for_each(play);
}

#[test]
fn every_row_of_the_table_holds_first_part() {
    rows(0);
}
#[test]
fn every_row_of_the_table_holds_second_part() {
    rows(1);
}
#[test]
fn every_row_of_the_table_holds_third_part() {
    rows(2);
}
#[test]
fn every_row_of_the_table_holds_fourth_part() {
    rows(3);
}

#[test]
fn the_page_of_evidence_is_made_of_these_rows() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/evidence.md");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let (before, rest) = text.split_once("<!-- rows -->\n").unwrap_or((&text, ""));
    let after = rest.split_once("<!-- end -->").map_or("", |(_, after)| after);
    let mut table = String::from(
        "| what is known of the node that was active | the other node | exit | what hawiz says |\n|---|---|---|---|\n",
    );
    for row in ROWS {
        table.push_str(&format!("| {} | {} | {} | {} |\n", row.evidence, row.verdict, row.code, row.says));
    }
    let whole = format!("{before}<!-- rows -->\n{table}<!-- end -->{after}");
    if std::env::var_os("HAWIZ_BLESS").is_some() {
        std::fs::write(&path, &whole).expect("the page can be written");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), whole, "HAWIZ_BLESS=1 writes it anew");
}
