//! The playbook for Oracle OS Management Hub against a real HAProxy, with clients that ask all the while.
//!
//! `HAWIZ_BLESS=1` writes the plans in `tests/osmh/` anew. Where haproxy, openssl, curl, socat or ss is missing, the tests that
//! want them say that they were skipped.

#[path = "osmh/german.rs"]
mod german;
#[path = "osmh/kept.rs"]
mod kept;
#[path = "osmh/oci.rs"]
mod oci;
#[path = "osmh/world.rs"]
mod osmh;
#[path = "lab/paper.rs"]
mod paper;
#[path = "osmh/secret.rs"]
mod secret;
mod support;
#[path = "osmh/zero.rs"]
mod zero;

use osmh::{BACKENDS, Clients, Site, UP, skipped, until};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use support::Ended;

const DRAIN: [&str; 4] = ["deactivate", "--on", "StationA", "--yes"];
const BACK: [&str; 4] = ["activate", "--on", "StationA", "--yes"];
const LOST: [&str; 7] = ["failover", "--from", "StationA", "--to", "StationB", "--unplanned", "--yes"];
const OUT: &str = "0 1";
const DRAINING: &str = "2 8";
const IN: &str = "2 0";

/// hawiz in the background, killed when it is let go.
struct Hawiz(Child, std::path::PathBuf);

impl Hawiz {
    fn start(site: &Site, args: &[&str]) -> Hawiz {
        Hawiz::start_in(site, args, "said")
    }
    fn start_in(site: &Site, args: &[&str], said: &str) -> Hawiz {
        let path = site.world.dir.join(said);
        let out = fs::File::create(&path).expect("the folder is ours");
        let err = out.try_clone().expect("one more handle");
        Hawiz(site.world.command(args).stdout(out).stderr(err).spawn().expect("hawiz was built for this test"), path)
    }
    fn ends(mut self) -> (Option<i32>, String) {
        let code = self.0.wait().expect("it is ours").code();
        (code, fs::read_to_string(&self.1).expect("it was made"))
    }
}
impl Drop for Hawiz {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The changes of a run that came to this end: `Done`, `Already`.
fn came(ended: &Ended, word: &str) -> Vec<String> {
    let mark = format!("[{word}]");
    let step =
        |l: &str| l.split(" - INFO - ").nth(1).and_then(|l| l.split(" (").next()).unwrap_or_default().to_string();
    ended.out.lines().filter(|l| l.ends_with(&mark)).map(step).filter(|s| !s.starts_with("run ended")).collect()
}

#[test]
fn a_planned_drain_loses_no_request_and_waits_for_a_long_download() {
    if skipped() {
        return;
    }
    let site = Site::new();
    let clients = Clients::start(&site);
    let mut download = site.download('A');
    let dry = site.world.hawiz(&["deactivate", "--on", "StationA", "--dryrun", "--format", "sh"]).is(0);
    assert!(dry.out.contains("set server be_proxy/StationA state drain"), "{}", dry.out);
    assert_eq!(site.states(), UP, "a dry run changed something");

    let hawiz = Hawiz::start(&site, &DRAIN);
    until("A is drained everywhere", || site.all("StationA", DRAINING));
    clients.go_on();
    assert!(site.all("StationA", DRAINING), "it did not wait for the download");
    site.stations[0].release();
    let mut rest = Vec::new();
    let _ = download.read(&mut [0]).map(|_| rest.push(b'A'));
    drop(download);
    let (code, said) = hawiz.ends();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(rest, b"A", "the download was cut");
    assert!(site.all("StationA", OUT) && site.all("StationB", IN), "{}", site.states());

    let then = clients.seen();
    clients.go_on();
    assert_eq!(clients.seen().a, then.a, "A still gets requests");
    site.world.hawiz(&BACK).is(0);
    assert_eq!(site.states(), UP);
    until("A serves again", || clients.seen().a > then.a);
    clients.lost_none();
}

#[test]
fn what_is_so_already_is_said_and_nothing_is_told_to_haproxy() {
    if skipped() {
        return;
    }
    let site = Site::new();
    // The sessions that are not cut are so already the first time, too.
    for (args, changed, already) in [(&DRAIN[..], 6, 9), (&BACK[..], 3, 3)] {
        assert_eq!(came(&site.world.hawiz(args).is(0), "Done").len(), changed);
        let before = site.ask("show servers state");
        let again = site.world.hawiz(args).is(0);
        assert_eq!((came(&again, "Done"), came(&again, "Already").len()), (vec![], already));
        // All but the time since the last change, which only grows when there was none.
        let plain = |text: &str| -> Vec<String> {
            let rows = text.lines().map(|l| l.split(' ').collect::<Vec<_>>());
            rows.filter(|w| w.len() > 15).map(|w| [&w[..9], &w[10..11]].concat().join(" ")).collect()
        };
        assert_eq!(plain(&site.ask("show servers state")), plain(&before));
    }
}

#[test]
fn the_last_station_is_never_drained() {
    if skipped() {
        return;
    }
    let mut site = Site::new();
    site.world.hawiz(&["deactivate", "--on", "StationB", "--yes"]).is(0);
    let before = site.states();
    let refused = site.world.hawiz(&DRAIN).is(4);
    assert!(refused.out.contains("no server but StationA is up in be_proxy"), "{}", refused.out);
    assert_eq!(site.states(), before);
    site.world.hawiz(&["activate", "--on", "StationB", "--yes"]).is(0);

    // Nor when the other one is dead, which only the health check tells.
    site.stations[1].die();
    until("HAProxy sees that B is dead", || site.all("StationB", "0 0"));
    let before = site.states();
    site.world.hawiz(&DRAIN).is(4);
    assert_eq!(site.states(), before);
}

#[test]
fn the_change_itself_refuses_when_the_other_station_died_after_the_look() {
    if skipped() {
        return;
    }
    let mut site = Site::new();
    site.stations[1].die();
    until("HAProxy sees that B is dead", || site.all("StationB", "0 0"));
    let plan = site.world.hawiz(&["plan", "deactivate", "--on", "StationA", "--format", "md"]).is(0).out;
    let states: Vec<String> = paper::changes(&plan).into_iter().filter(|c| c.contains("state ")).collect();
    assert_eq!(states.len(), 6, "three drains and three times maintenance");
    let script = states.iter().fold(paper::head(&plan), |all, code| format!("{all}\n(\n{code}\n)\n"));
    // As on paper: without `set -e`.
    let out = Command::new("sh").arg("-c").arg(&script).env("PATH", osmh::path()).output().expect("sh");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(said.matches("no server but StationA is up").count(), 6, "{said}");
    assert!(site.all("StationA", IN), "{}", site.states());
}

#[test]
fn a_dead_station_is_noticed_and_the_survivor_serves() {
    if skipped() {
        return;
    }
    let mut site = Site::new();
    let clients = Clients::start(&site);
    let early = site.world.hawiz(&LOST).is(4);
    assert!(early.out.contains("The load balancer sees StationA down"), "{}", early.out);
    assert_eq!(site.states(), UP, "it serves: nothing is changed");

    site.stations[0].die();
    site.world.hawiz(&LOST).is(0);
    assert!(site.all("StationA", OUT) && site.all("StationB", IN), "{}", site.states());
    clients.settle();
    let then = clients.seen();
    clients.go_on();
    let now = clients.seen();
    assert_eq!((now.a, now.lost.len()), (then.a, then.lost.len()), "once it is out, nothing is lost any more");
    // Back to life it gets nothing by itself; only when it is brought back.
    site.boot(0);
    clients.go_on();
    assert_eq!(clients.seen().a, now.a);
    site.world.hawiz(&["failover", "--from", "StationB", "--to", "StationA", "--yes"]).is(0);
    assert!(site.all("StationA", IN) && site.all("StationB", OUT), "{}", site.states());
    let then = clients.seen();
    clients.go_on();
    let seen = clients.stop();
    assert_eq!(
        (seen.b, seen.lost.len()),
        (then.b, now.lost.len()),
        "a planned failover loses nothing: {:?}",
        seen.lost
    );
}

#[test]
fn a_drain_that_was_killed_is_gone_on_with() {
    if skipped() {
        return;
    }
    let site = Site::new();
    let clients = Clients::start(&site);
    let download = site.download('A');
    let hawiz = Hawiz::start(&site, &DRAIN);
    until("A is drained everywhere", || site.all("StationA", DRAINING));
    drop(hawiz);
    site.stations[0].release();
    drop(download);
    site.world.hawiz(&["resume", "--yes"]).is(0);
    assert!(site.all("StationA", OUT) && site.all("StationB", IN), "{}", site.states());
    clients.lost_none();
    site.world.hawiz(&["rollback", "--yes"]).is(9);
    assert_eq!(site.states(), UP, "rolled back it serves again");
}

#[test]
fn a_failover_killed_at_any_moment_is_gone_on_with_and_no_request_is_lost() {
    if skipped() {
        return;
    }
    let site = Site::new();
    let clients = Clients::start(&site);
    let mut dice = support::Dice::new("osmh");
    for (from, to) in [("StationA", "StationB"), ("StationB", "StationA"), ("StationA", "StationB")] {
        let go = ["failover", "--from", from, "--to", to, "--yes"];
        let runs = site.world.runs().len();
        // Its record has some 130 lines; the kill comes after any of them.
        let lines = dice.below(130) as usize;
        let mut hawiz = Hawiz::start(&site, &go);
        until("it got that far", || {
            let said = fs::read_to_string(&hawiz.1).unwrap_or_default();
            said.lines().count() > lines || hawiz.0.try_wait().expect("it is ours").is_some()
        });
        let ended = hawiz.0.try_wait().expect("it is ours").is_some();
        drop(hawiz);
        assert!(ended || site.world.runs().len() > runs, "killed after {lines} lines it left no record");
        if !ended {
            site.world.hawiz(&["resume", "--yes"]).is(0);
        }
        assert!(site.all(from, OUT) && site.all(to, IN), "killed after {lines} lines: {}", site.states());
    }
    clients.lost_none();
}

#[test]
fn sessions_that_will_not_end_are_cut_only_when_a_person_says_so() {
    if skipped() {
        return;
    }
    let site = Site::new();
    // The shipped playbook waits ten minutes; here one second is enough.
    let shipped = fs::read_to_string(site.world.dir.join("playbook.toml")).expect("it was written");
    let impatient = shipped.replace("within     = \"10m\"", "within     = \"1s\"");
    assert_ne!(impatient, shipped);
    site.world.playbook(&impatient);
    let mut download = site.download('A');
    site.world.hawiz(&DRAIN).is(6);
    assert!(site.all("StationA", DRAINING), "nothing is cut unasked: {}", site.states());
    let reason = "deactivate/drain-target/sessions=the client hangs";
    let ended = site.world.hawiz(&[&DRAIN[..], &["--override", reason]].concat()).is(0);
    assert!(ended.out.contains("the client hangs"), "{}", ended.out);
    assert!(site.all("StationA", OUT), "{}", site.states());
    assert!(!download.read(&mut [0]).is_ok_and(|n| n == 1), "it was not cut");
}

// ---------------------------------------------------------------- setup

#[test]
fn a_new_environment_is_set_up_and_set_up_again_nothing_changes() {
    if skipped() {
        return;
    }
    let site = Site::bare();
    fs::write(site.world.dir.join("answers.toml"), "[manual]\n\"setup/create-the-profile/profile\" = \"done\"\n")
        .expect("the folder is ours");
    let go = ["setup", "--on", "StationA", "--yes", "--answers", "answers.toml"];
    let secret = [("HAWIZ_SECRET_MACS_KEY", "key-of-keys-17")];
    let first = site.world.hawiz_with(&go, &secret).is(0);
    assert_eq!(site.states(), UP);
    let [proxy, ..] = site.ports;
    let wanted = format!(
        "-rw-------\nManagementAgentInstallKey = key-of-keys-17\nService.plugin.osmh.download = true\n\
         GatewayServerHost = 127.0.0.1\nGatewayServerPort = {proxy}\n"
    );
    assert_eq!(fs::read_to_string(site.dir.join("agent.saw")).expect("the agent was set up"), wanted);
    assert!(!site.world.dir.join("input.rsp").exists(), "the key still lies there");
    for (path, bytes) in site.world.picture("") {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("key-of-keys"), "the key is in {}", path.display());
    }
    let log = || fs::read_to_string(site.dir.join("systemctl.log")).expect("it was used");
    let orders = |log: &str| log.lines().filter(|l| l.starts_with("start") || l.starts_with("reload")).count();
    let (before, config) = (orders(&log()), fs::read_to_string(site.dir.join("haproxy.cfg")).expect("it is there"));
    let again = site.world.hawiz_with(&go, &secret).is(0);
    assert_eq!(orders(&log()), before);
    assert_eq!(fs::read_to_string(site.dir.join("haproxy.cfg")).expect("it is there"), config);
    // Only of the profile nobody but a person can tell.
    assert_eq!(came(&again, "Done"), ["Create the profile ha on here"]);
    let all = came(&first, "Done").len() + came(&first, "Already").len();
    assert_eq!(came(&again, "Already").len(), all - 1, "{}", again.out);
    site.world.hawiz(&["run", "preflight"]).is(0);
    site.world.hawiz(&["status"]).is(0);
}

#[test]
fn an_instance_is_switched_and_its_script_run_and_a_script_that_fails_stops_there() {
    if skipped() {
        return;
    }
    let site = Site::new();
    let answers = "[manual]\n\"instance/switch-target/switch\" = \"done\"\n";
    fs::write(site.world.dir.join("answers.toml"), answers).expect("the folder is ours");
    let go = ["run", "instance", "--on", "web1", "--yes", "--answers", "answers.toml"];
    site.world.hawiz(&go).is(4).says("instance-setup.sh is there");
    let (script, log) = (site.dir.join("instance-setup.sh"), site.dir.join("instance.log"));
    fs::write(&script, format!("echo set up >>{}\n", log.display())).expect("the folder is ours");
    site.world.hawiz(&go).is(0);
    assert_eq!(fs::read_to_string(&log).expect("it ran"), "set up\n");
    fs::write(&script, "echo no station >&2; exit 3\n").expect("the folder is ours");
    site.world.hawiz(&go).is(6).says("no station");
}

#[test]
fn the_preflight_sees_a_load_balancer_outside_the_range_and_a_server_without_a_health_check() {
    if skipped() {
        return;
    }
    let site = Site::new();
    site.world.hawiz(&["run", "preflight"]).is(0);
    site.world
        .hawiz(&["run", "preflight", "--set", "permitted=127.0.0.2/31"])
        .is(4)
        .says("permitted range 127.0.0.2/31");
    let path = site.dir.join("haproxy.cfg");
    let text = fs::read_to_string(&path).expect("it was written").replacen(" check inter 200ms fall 2 rise 1", "", 1);
    fs::write(&path, text).expect("the folder is ours");
    site.systemctl(&["reload", "haproxy"]);
    until("the new configuration is loaded", || {
        site.ask("show servers state").lines().any(|l| l.split(' ').nth(13) == Some("0"))
    });
    site.world.hawiz(&["run", "preflight"]).is(4).says("StationA in be_proxy: health is not checked");
}

// ---------------------------------------------------------------- on paper

/// Does what the paper says, as a person would.
fn followed(site: &Site, args: &[&str]) {
    let md = site.world.hawiz(args).is(0).out;
    let sh = |_: &str, script: &str| {
        let mut sh = Command::new("sh");
        sh.arg("-c").arg(script).envs(site.world.environment()).stdin(Stdio::null()).output().expect("there is sh")
    };
    let by_hand = |what: &str| panic!("nothing is asked of a person here: {what}");
    paper::Person { sh: &sh, by_hand: &by_hand, written: &[] }.follows(&md);
}

#[test]
fn the_paper_followed_by_hand_comes_to_the_same_state() {
    if skipped() {
        return;
    }
    let site = Site::new();
    let clients = Clients::start(&site);
    followed(&site, &["plan", "deactivate", "--on", "StationA", "--format", "md"]);
    assert!(site.all("StationA", OUT) && site.all("StationB", IN), "{}", site.states());
    followed(&site, &["plan", "activate", "--on", "StationA", "--format", "md"]);
    assert_eq!(site.states(), UP);
    clients.lost_none();
}

// ---------------------------------------------------------------- plans, as printed

fn hawiz(args: &[&str]) -> (i32, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_hawiz"))
        .args(args)
        .args(["--site", "examples/osmh/hawiz.toml", "--color", "never"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("LC_ALL", "C.UTF-8")
        .env("HAWIZ_STATE_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("osmh-nowhere"))
        .stdin(Stdio::null())
        .output()
        .expect("hawiz starts");
    let both = [out.stdout, out.stderr].concat();
    (out.status.code().unwrap_or(-1), String::from_utf8_lossy(&both).into_owned())
}

/// Without the functions, which tests/catalog.rs holds, and without digests.
fn plain(md: &str) -> String {
    let head = md.find("First, in every shell").and_then(|a| Some((a, a + md[a..].find("\n## ")?)));
    let text = head.map_or(md.to_string(), |(a, b)| format!("{}{}", &md[..a], &md[b + 1..]));
    let keep = |l: &&str| !["- site: ", "- playbook: ", "- plan: "].iter().any(|d| l.starts_with(d));
    text.lines().filter(keep).map(|l| format!("{l}\n")).collect()
}

#[test]
fn every_plan_prints_as_recorded() {
    let station = ["--on", "StationA"];
    let oci = ["--set", "lb_kind=oci", "--set", "lb_ocid=ocid1.loadbalancer.oc1..x"];
    let manual = ["--set", "lb_kind=manual"];
    let cases: [(&str, &[&str]); 13] = [
        ("preflight", &["run", "preflight"]),
        ("setup", &[&["setup"], &station[..]].concat()),
        ("reconfigure", &["run", "reconfigure"]),
        ("instance", &["run", "instance", "--on", "web1"]),
        ("deactivate", &[&["deactivate"], &station[..]].concat()),
        ("deactivate-oci", &[&["deactivate"], &station[..], &oci[..]].concat()),
        ("deactivate-manual", &[&["deactivate"], &station[..], &manual[..]].concat()),
        ("activate", &[&["activate"], &station[..]].concat()),
        ("activate-oci", &[&["activate"], &station[..], &oci[..]].concat()),
        ("failover", &["failover", "--from", "StationA"]),
        ("unplanned", &["failover", "--from", "StationA", "--unplanned"]),
        ("deactivate.de", &[&["deactivate", "--lang", "de"], &station[..]].concat()),
        ("unplanned.de", &["failover", "--from", "StationA", "--unplanned", "--lang", "de"]),
    ];
    let mut wrong = Vec::new();
    for (name, args) in cases {
        let args: Vec<&str> = ["plan"].into_iter().chain(args.iter().copied().filter(|a| *a != "run")).collect();
        let (code, said) = hawiz(&[&args[..], &["--format", "md"]].concat());
        assert_eq!(code, 0, "{name}: {said}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/osmh/{name}.md"));
        if std::env::var_os("HAWIZ_BLESS").is_some() {
            fs::write(&path, plain(&said)).expect("tests/osmh can be written");
        } else if plain(&said) != fs::read_to_string(&path).unwrap_or_default() {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?} print otherwise; HAWIZ_BLESS=1 writes them anew");
}

#[test]
fn the_shipped_site_and_playbook_are_in_order_whatever_the_load_balancer() {
    let (code, said) = hawiz(&["validate", "playbooks/osmh.toml"]);
    assert_eq!(
        (code, said.as_str()),
        (0, "playbooks/osmh.toml: this playbook is in order\nplaybooks/osmh.de.toml: this translation is in order\n")
    );
    let (code, said) = hawiz(&["validate"]);
    let wanted = "examples/osmh/hawiz.toml: this site file is in order\nplaybooks/osmh.toml: this playbook is in order\n\
                  playbooks/osmh.de.toml: this translation is in order\n14 procedures can be planned\n";
    assert_eq!((code, said.as_str()), (0, wanted));
    assert_eq!(BACKENDS.len(), 3);
}
