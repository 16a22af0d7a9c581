//! `hawiz nodes` as its user meets it: what is ready, what is not and what to do, for people and for scripts.
//!
//! Invariant: it only looks; the one thing that it may write is the host key that a person has accepted, on this machine.

#[path = "support/sshd.rs"]
mod sshd;
mod support;

use hawiz::ui::Style;
use hawiz::ui::roster::{self, Clock, HostKey, Login, Member, Reason, Roster, Shell, State, Way};
use serde_json::Value;
use sshd::{Server, Sshd, here, keys, which};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;
use support::pty::talk;
use support::{Ended, World};

/// A site of these nodes, whose playbook is nowhere.
fn world(nodes: &str) -> World {
    let world = World::new("");
    world.put("hawiz.toml", &format!("playbook = \"nowhere\"\n{nodes}"));
    world
}

fn node(world: &World, name: &str, via: &str) -> String {
    format!("[nodes.{name}]\nvia = {via}\nstate = \"{}/state/{name}\"\n", world.dir.display())
}

/// The words, without what differs from run to run: the folder (and with it where lines end), and how long things took.
fn words(world: &World, text: &str) -> String {
    let text = text.replace(&world.dir.display().to_string(), "W");
    let words: Vec<&str> = text.split_whitespace().collect();
    let took = |i: usize| words.get(i + 1) == Some(&"ms");
    let shown: Vec<&str> = words.iter().enumerate().map(|(i, w)| if took(i) { "T" } else { w }).collect();
    shown.join(" ")
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}\n{}\n{}", ended.out, ended.err))
}

// ---------------------------------------------------------------- nodes without SSH

/// Ready, without setsid, without a place for its state, and one whose shell does not come.
fn four() -> World {
    let world = world("");
    let tools = world.dir.join("tools");
    fs::create_dir(&tools).expect("a fresh folder");
    for tool in ["sh", "id", "ls", "date", "stat", "sleep"] {
        symlink(which(tool).expect("POSIX has it"), tools.join(tool)).expect("a fresh folder");
    }
    world.put("file", "");
    let poor = format!("[\"env\", \"PATH={}\", \"sh\"]", tools.display());
    let site = [
        node(&world, "good", "[\"sh\"]"),
        node(&world, "poor", &poor),
        format!("[nodes.full]\nvia = [\"sh\"]\nstate = \"{}/file/state\"\n", world.dir.display()),
        node(&world, "gone", "[\"sh\", \"-c\", \"echo 'no such container: lab4' >&2; exit 9\"]"),
    ];
    world.put("hawiz.toml", &format!("playbook = \"nowhere\"\n{}", site.concat()));
    world
}

const FOUR: &str = r#"
  node  address   as    round trip  clock
✓ good  via sh    ME        0.4 ms   same  ready
✗ poor  via env   ME        0.4 ms   same  not ready
✗ full  via sh    ME        0.4 ms   same  not ready
✗ gone  via sh                             not ready

✗ poor keeps no record of steps: the node has no setsid
    install util-linux there; without it a step ends with its connection, and
    nobody knows how

✗ full keeps no record of steps: W/file is not a directory
    name another folder with `state` of the node in the site file

✗ gone cannot be reached: no such container: lab4
    by hand, `echo 'echo here' | sh -c 'echo '\''no such container: lab4'\'' >&2;
    exit 9'` must print `here`, in the site file's folder

✗ 1 of 4 nodes is ready.                                                  exit 4
"#;

#[test]
fn each_node_is_ready_or_says_why_not_and_what_to_do() {
    let world = four();
    let before = world.picture("");
    let me = hawiz::who::Who::here().login.expect("a name");
    let ended = world.hawiz(&["nodes"]).is(4);
    assert_eq!(words(&world, &ended.out), words(&world, &FOUR.replace("ME", &me)));
    assert_eq!(ended.err, "");
    assert!(world.picture("") == before, "it made something");
}

#[test]
fn a_script_gets_one_object_with_all_of_it() {
    let world = four();
    let said = json(&world.hawiz(&["nodes", "--output", "json"]).is(4));
    assert_eq!(said["format"], 1);
    assert_eq!(said["ready"], false);
    let all = said["nodes"].as_array().expect("a list");
    let each = |key: &str| all.iter().map(|n| n[key].to_string()).collect::<Vec<_>>();
    assert_eq!(each("name"), ["\"good\"", "\"poor\"", "\"full\"", "\"gone\""]);
    assert_eq!(each("ready"), ["true", "false", "false", "false"]);
    assert_eq!(each("reached"), ["true", "true", "true", "false"]);
    let good = &all[0];
    assert!(good["round_trip_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{good}");
    let clock = |key: &str| good["clock"][key].as_f64().expect("a number");
    assert!(clock("ahead_ms").abs() <= clock("uncertainty_ms"), "one machine has one clock: {good}");
    assert_eq!(good["state"]["path"], format!("{}/state/good", world.dir.display()));
    assert_eq!(good["state"]["unrecorded"], Value::Null);
    assert_eq!(all[1]["setsid"], Value::Null);
    assert_eq!(all[3]["reasons"][0]["why"], "cannot be reached: no such container: lab4");
    // What the documentation lists is what is there.
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/nodes.md")).expect("a page");
    for key in said.as_object().into_iter().chain(good.as_object()).flat_map(|o| o.keys()) {
        assert!(
            docs.contains(&format!("| `{key}`")) || docs.contains(&format!(", `{key}`")),
            "docs/nodes.md has no `{key}`"
        );
    }
}

#[test]
fn zero_when_all_are_ready_and_two_when_the_site_file_cannot_be_read() {
    let world = world("");
    world.put("hawiz.toml", &format!("playbook = \"nowhere\"\n{}", node(&world, "a", "[\"sh\"]")));
    world.hawiz(&["nodes"]).is(0).says("✓ The node is ready.");
    assert_eq!(world.hawiz(&["nodes", "-q"]).is(0).out.lines().count(), 1);
    world.put("hawiz.toml", "[nodes.a]\n");
    world.hawiz(&["nodes"]).is(2).says("nothing says how node `a` is reached");
    world.hawiz(&["nodes", "a"]).is(2);
}

#[test]
fn two_names_of_one_machine_are_not_two_nodes() {
    let world = world("");
    let state = world.dir.join("state");
    fs::create_dir_all(&state).expect("a fresh folder");
    fs::write(state.join("id"), "abc\n").expect("a fresh folder");
    let node = |n: &str| format!("[nodes.{n}]\nvia = [\"sh\"]\nstate = \"{}\"\n", state.display());
    world.put("hawiz.toml", &format!("playbook = \"nowhere\"\n{}{}", node("a"), node("b")));
    let ended = world.hawiz(&["nodes"]).is(4);
    ended.says("✗ b is the same machine as a: both have the identity abc");
}

#[test]
fn every_shell_tells_the_same_of_its_node() {
    let world = world("");
    for shell in ["dash", "bash", "busybox", "mksh"] {
        let Some(path) = which(shell) else {
            sshd::skipped(&format!("not installed: {shell}"));
            continue;
        };
        let via = if shell == "busybox" { "[\"busybox\", \"sh\"]".into() } else { format!("[\"{shell}\"]") };
        world.put("hawiz.toml", &format!("playbook = \"nowhere\"\n{}", node(&world, "a", &via)));
        let said = json(&world.hawiz(&["nodes", "--output", "json"]).is(0));
        let a = &said["nodes"][0];
        let exe = fs::canonicalize(path).expect("it is there");
        assert_eq!(a["shell"]["sh"], exe.display().to_string(), "{shell}");
        assert_eq!(a["uid"], rustix::process::geteuid().as_raw(), "{shell}");
        for known in
            [&a["setsid"], &a["user"], &a["state"]["file_system"], &a["round_trip_ms"], &a["clock"]["ahead_ms"]]
        {
            assert!(!known.is_null(), "{shell}: {a}");
        }
    }
}

// ---------------------------------------------------------------- how it is drawn

fn sample() -> Roster {
    let some = |s: &str| Some(s.to_string());
    let mn1 = Member {
        name: "mn1".into(),
        reached: true,
        address: some("10.5.106.70"),
        port: Some(22),
        banner: some("SSH-2.0-OpenSSH_9.2p1"),
        host_key: Some(HostKey {
            kind: "ssh-ed25519".into(),
            fingerprint: "SHA256:uNiVztksCsDhcc0u9e8BrwKJoMOIh4fmKrqs4g7WV6w".into(),
            known_in: some("/home/ops/.ssh/known_hosts:3"),
        }),
        login: Some(Login { user: "ops".into(), by: some("agent key ops@desk SHA256:abc") }),
        r#become: some("sudo"),
        user: some("root"),
        uid: Some(0),
        round_trip_ms: Some(0.412),
        clock: Some(Clock { ahead_ms: 0.1, uncertainty_ms: 0.3 }),
        shell: Some(Shell { login: some("/bin/bash"), sh: "/usr/bin/dash".into() }),
        setsid: some("/usr/bin/setsid"),
        state: Some(State { path: "/var/lib/hawiz".into(), file_system: some("ext4"), unrecorded: None }),
        ends_with_login: Some(false),
        identity: some("8c5b9e2f0d6a4b17"),
        boot: some("2ab1"),
        notes: vec![
            "`StrictHostKeyChecking no` of ssh_config is not followed: an unknown host key is asked about".into(),
        ],
        ..Member::default()
    };
    let mn2 = Member {
        name: "mn2".into(),
        address: some("fe80::5054:ff:fe12:3456%eth0"),
        port: Some(2222),
        banner: None,
        host_key: None,
        login: Some(Login { user: "ops".into(), by: None }),
        user: None,
        uid: None,
        round_trip_ms: None,
        clock: None,
        shell: None,
        setsid: None,
        state: None,
        ends_with_login: None,
        identity: None,
        boot: None,
        reached: false,
        reasons: vec![Reason {
            why: "cannot be reached: fe80::5054:ff:fe12:3456 port 2222 did not answer within 10 s".into(),
            hint: some("it is down, its address is wrong, or a firewall drops what is sent to it"),
        }],
        ..mn1.clone()
    };
    let lab = Member {
        name: "lab-with-a-long-name".into(),
        way: Way::Via,
        via: ["docker", "exec", "-i", "lab\u{1b}[2J3", "sh"].map(String::from).to_vec(),
        reached: true,
        user: some("root"),
        uid: Some(0),
        round_trip_ms: Some(31.0),
        clock: Some(Clock { ahead_ms: -75_000.0, uncertainty_ms: 515.0 }),
        shell: Some(Shell { login: None, sh: "/bin/busybox".into() }),
        state: Some(State {
            path: "/var/lib/hawiz".into(),
            file_system: some("tmpfs"),
            unrecorded: some("the node has no setsid"),
        }),
        reasons: vec![Reason {
            why: "keeps no record of steps: the node has no setsid".into(),
            hint: some("install util-linux there; without it a step ends with its connection, and nobody knows how"),
        }],
        ..Member::default()
    };
    Roster::of("hawiz.toml".into(), vec![mn1, mn2, lab])
}

/// `HAWIZ_BLESS=1` writes the file anew.
#[track_caller]
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nodes").join(name);
    if std::env::var_os("HAWIZ_BLESS").is_some() {
        fs::write(&path, text).expect("the project's own folder");
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, wanted, "tests/nodes/{name} is not so; HAWIZ_BLESS=1 writes it anew");
}

#[test]
fn the_table_looks_like_this() {
    for (name, width, ascii, verbose) in [
        ("80.txt", 80, false, 0),
        ("80-ascii.txt", 80, true, 0),
        ("80-verbose.txt", 80, false, 1),
        ("60.txt", 60, false, 0),
    ] {
        let text = roster::text(&sample(), &Style { verbose, ..Style::still(width, ascii) });
        golden(name, &text);
        let wide = text.lines().map(|l| l.chars().count()).max();
        assert!(wide.is_some_and(|w| w <= width), "{name}: {wide:?}");
        assert!(!ascii || text.is_ascii(), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}

#[test]
fn colour_is_only_where_it_is_wanted() {
    let world = four();
    assert!(!world.hawiz_with(&["nodes"], &[("NO_COLOR", "1")]).out.contains('\u{1b}'));
    assert!(world.hawiz(&["nodes", "--color", "always"]).out.contains("\u{1b}[32mready"));
}

// ---------------------------------------------------------------- nodes behind a real sshd

/// A site of one server, with a known_hosts file of its own that holds these lines.
fn behind(server: &Sshd, known: &str, more: &str) -> World {
    let mut world = world(&format!(
        "[nodes.n]\naddress = \"127.0.0.1\"\nport = {}\nuser = \"{}\"\nidentity = \"{}\"\nstate = \"{}\"\n{more}",
        server.port,
        server.login,
        keys().join("id-ed25519").display(),
        server.state().display()
    ));
    let file = world.dir.join("known_hosts");
    fs::write(&file, known).expect("a fresh folder");
    let config = format!("Host *\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n", file.display());
    world.put("ssh_config", &config);
    let config = world.dir.join("ssh_config").display().to_string();
    world.env.push(("HAWIZ_SSH_CONFIG".into(), config));
    world
}

fn only(world: &World, code: i32) -> Value {
    json(&world.hawiz(&["nodes", "--output", "json"]).is(code))["nodes"][0].clone()
}

#[test]
fn a_node_behind_ssh_tells_how_it_was_entered() {
    let Some(server) = Server::default().start() else { return };
    let world = behind(&server, &server.known("127.0.0.1"), "");
    let n = only(&world, 0);
    assert_eq!((&n["address"], &n["port"], &n["way"]), (&"127.0.0.1".into(), &server.port.into(), &"ssh".into()));
    assert_eq!(n["host_key"]["kind"], "ssh-ed25519");
    assert_eq!(n["host_key"]["known_in"], format!("{}/known_hosts:1", world.dir.display()));
    assert!(n["banner"].as_str().is_some_and(|b| b.starts_with("SSH-2.0-")), "{n}");
    assert_eq!(n["login"]["user"], server.login.as_str());
    assert_eq!(n["login"]["by"], format!("key {}", keys().join("id-ed25519").display()));
    assert!(n["shell"]["login"].as_str().is_some_and(|s| s.starts_with('/')), "{n}");
    world.hawiz(&["nodes", "-v"]).is(0).says("known in ").says("after /");
    assert!(!server.state().join("id").exists(), "a look made an identity");
}

#[test]
fn an_unknown_host_key_is_refused_without_a_terminal_and_a_typed_yes_makes_it_known() {
    let Some(server) = Server::default().start() else { return };
    let world = behind(&server, "", "");
    let known = || fs::read_to_string(world.dir.join("known_hosts")).expect("it is there");
    let name = format!("[127.0.0.1]:{}", server.port);
    let n = only(&world, 4);
    let why = n["reasons"][0]["why"].as_str().expect("a reason");
    assert!(
        why.starts_with(&format!("cannot be reached: the host key of `{name}` is not known: `ssh-ed25519` SHA256:")),
        "{why}"
    );
    assert!(n["reasons"][0]["hint"].as_str().is_some_and(|h| h.contains("answer yes on a terminal")), "{n}");
    assert_eq!((&n["host_key"]["kind"], &n["host_key"]["known_in"]), (&"ssh-ed25519".into(), &Value::Null));
    assert_eq!(known(), "");

    let ask = |answer: &'static str| {
        let mut asked = false;
        talk(&world, &["nodes"], Duration::from_secs(30), move |screen| {
            (!asked && screen.contains("Type `yes` or `no`")).then(|| {
                asked = true;
                format!("{answer}\r").into_bytes()
            })
        })
    };
    ask("no").is(4).says("its host key was not accepted");
    assert_eq!(known(), "");
    let print = n["host_key"]["fingerprint"].as_str().expect("one");
    ask("yes").is(0).says(print).says("✓ The node is ready.");
    assert_eq!(known(), format!("{name} {}\n", server.host_key("ed25519")));
    // From now on nobody is asked.
    assert_eq!(only(&world, 0)["host_key"]["known_in"], format!("{}/known_hosts:1", world.dir.display()));
    ask("never").is(0);
}

#[test]
fn a_login_that_is_refused_names_what_was_tried_and_keeps_what_is_known_of_the_host() {
    let Some(server) = Server::default().start() else { return };
    let world = behind(&server, &server.known("127.0.0.1"), "");
    let site = fs::read_to_string(world.dir.join("hawiz.toml")).expect("ours").replace("id-ed25519", "stranger");
    world.put("hawiz.toml", &site);
    let n = only(&world, 4);
    let stranger = keys().join("stranger");
    let why = n["reasons"][0]["why"].as_str().expect("a reason");
    assert!(why.contains("was not let in") && why.contains(&format!("key {}", stranger.display())), "{why}");
    assert_eq!(n["host_key"]["known_in"], format!("{}/known_hosts:1", world.dir.display()));
    assert_eq!(n["login"]["by"], Value::Null);
}

#[test]
fn a_sudo_that_refuses_gets_the_line_it_wants() {
    if !here(&["sudo"]) {
        return;
    }
    let op = sshd::user("op", 4242, "/bin/sh");
    let Some(mut server) = Server::default().user(op).start() else { return };
    server.login_as("op");
    let world = behind(&server, &server.known("127.0.0.1"), "become = \"sudo\"\n");
    let n = only(&world, 4);
    let reason = |key: &str| n["reasons"][0][key].as_str().unwrap_or_default().to_string();
    assert_eq!(reason("why"), "cannot be reached: sudo wants a password of `op`");
    let line = "`op ALL=(root) NOPASSWD: /bin/sh, /usr/bin/sh`";
    assert!(reason("hint").contains(line), "{}", reason("hint"));
    assert_eq!(n["login"]["user"], "op");
}
