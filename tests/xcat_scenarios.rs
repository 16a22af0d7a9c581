//! The xCAT playbook against recorded behaviour: what `xcatha.py` was asked to do, and what is wanted of hawiz.
//!
//! Why it exists: a failover that was never run is a hope. Each scenario in `xcat/scenarios` is a scripted world
//! (stand-ins for systemctl, ip, makedns…, two nodes, files) in which the real binary runs, inside a throw-away root of
//! its own mount, network and pid namespaces; answers are typed on a terminal, at the gate they belong to.
//!
//! Invariants: one judge (`xcat/judge.rs`) for every scenario; what differs is in [`DIFFERENT`] with its reason, at most
//! five, and the suite fails when one of them begins to agree. Without the right to make namespaces the scenarios are
//! skipped aloud, by name.

#[path = "xcat/judge.rs"]
mod judge;
#[path = "xcat/world.rs"]
mod world;

use serde_json::Value;
use std::collections::VecDeque;
use std::fmt::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use world::{End, Prompt, Ran, World};

/// Scenarios in which hawiz does something else than wished, and why. Starting more, or on the wrong node, is never a reason.
const DIFFERENT: &[(&str, &str)] = &[
    (
        "a-yyy-lock-unrelated",
        "It wants exit 4 and yet everything but the console server started. A guard that refuses changes nothing: the \
         note that names no console server is refused before the first service is started.",
    ),
    (
        "a-wrong5-shared",
        "The fourth of its five wrong letters is d, which is an answer of hawiz: dry from here on. Nothing is changed, \
         and the exit code is that of a dry run, 0. (Five letters that are no answer do stop: see the test beside it.)",
    ),
    ("d-wrong5-then-Y", "As a-wrong5-shared."),
];

/// The stages of the playbook, by which a gate on the screen is recognised.
pub const TITLES: &[&str] = &[
    SHARED,
    ADDRESS,
    SERVICES,
    DISABLE,
    STOP,
    "Is it inactive?",
    "Is it really active?",
    "Can it be set up?",
    "Give the address a name",
    "Let xCAT trust the name",
    "Stop what uses the data",
    "Move the data to the share",
    "Let this node into the database",
    "Leave it as a standby",
    "Boot guard",
    "Is it set up?",
];
const SHARED: &str = "Is the shared data here?";
const ADDRESS: &str = "Take the address";
const SERVICES: &str = "Start the services";
const DISABLE: &str = "Keep the services from starting at boot";
const STOP: &str = "Stop the services";

/// All of them, by name.
pub fn scenarios() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/xcat/scenarios");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the scenarios are in the tree").flatten().map(|e| e.path()).collect();
    files.sort();
    files
        .iter()
        .map(|f| {
            serde_json::from_slice(&std::fs::read(f).expect("readable"))
                .unwrap_or_else(|e| panic!("{}: {e}", f.display()))
        })
        .collect()
}

fn scenario(name: &str) -> Value {
    scenarios().into_iter().find(|s| s["name"] == name).unwrap_or_else(|| panic!("no scenario {name}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

// ------------------------------------------------------------------------------------------ xcatha.py's words to hawiz

/// What xcatha.py was called with, in hawiz's words.
struct Call {
    procedure: &'static str,
    /// The node it runs on.
    on: String,
    /// Inputs that stand in the site file.
    inputs: Vec<(&'static str, String)>,
    /// `--set`, as somebody types it.
    set: Vec<String>,
    dryrun: bool,
    /// Asked at gates; otherwise `--yes`.
    interactive: bool,
}

/// The database a cfgloc among the scenario's files names; of the share first.
fn engine(scenario: &Value) -> &'static str {
    let files = &scenario["stubs"]["files"];
    let cfgloc = ["/HA/etc/xcat/cfgloc", "/etc/xcat/cfgloc"].iter().find_map(|p| files.get(*p)).map(text);
    match cfgloc {
        Some(line) if line.starts_with("Pg:") => "postgresql",
        Some(line) if line.starts_with("mysql:") => "mariadb",
        _ => "sqlite",
    }
}

fn call(scenario: &Value) -> Call {
    let args: Vec<&str> = scenario["args_for_xcatha"].as_array().into_iter().flatten().map(text).collect();
    let after = |flag: &str| args.iter().position(|a| *a == flag).map(|i| args[i + 1].to_owned());
    let procedure = match args[0] {
        "-a" => "activate",
        "-d" => "deactivate",
        "-s" => "setup",
        other => panic!("{}: {other}", scenario["name"]),
    };
    // Without -p, -i and -v xcatha.py asks, and expects the address to be there.
    let interactive = ["-p", "-i", "-v"].iter().all(|f| after(f).is_none());
    let mut inputs = vec![("vip", after("-v").unwrap_or_else(|| "10.5.106.7".into()))];
    let mut set = Vec::new();
    if interactive {
        inputs.push(("address", "expect".into()));
    }
    inputs.extend(after("-p").map(|p| ("shared", p)));
    inputs.extend(after("-n").map(|n| ("hostname", n)));
    if let Some(label) = after("-i") {
        inputs.push(("nic", label.split(':').next().expect("the first of at least one").to_owned()));
        inputs.push(("label", label));
    }
    match after("-t") {
        Some(db) => set.push(format!("db={db}")),
        None => inputs.push(("db", engine(scenario).into())),
    }
    let on = match text(&scenario["stubs"]["run_on_host"]) {
        "operator" => "xcatmn1",
        host => host,
    };
    Call { procedure, on: on.to_owned(), inputs, set, dryrun: args.contains(&"--dryrun"), interactive }
}

/// The nodes of the world: name and own address. A host that has the address of the node it runs on is that node's other name.
fn nodes(scenario: &Value, call: &Call) -> Vec<(String, String)> {
    let vip = &call.inputs[0].1;
    let own = |addresses: &str| {
        let mut all = addresses.lines().filter_map(|l| l.split_whitespace().nth(2)?.split('/').next());
        all.find(|a| a != vip).map(str::to_owned)
    };
    let table = scenario["stubs"]["state"]["addrs"].as_object().expect("every world has addresses");
    let all: Vec<(String, String)> = table.iter().filter_map(|(n, a)| Some((n.clone(), own(text(a))?))).collect();
    let here = all.iter().find(|(n, _)| *n == call.on).expect("the node has an address").1.clone();
    all.into_iter().filter(|(n, a)| *n == call.on || *a != here).collect()
}

/// The site file: each node is this machine under another STUB_HOST; `local` names one that is this machine itself.
fn site(nodes: &[(String, String)], inputs: &[(&str, String)], local: Option<&str>) -> String {
    let mut out = "playbook = \"xcat\"\n\n[inputs]\n".to_owned();
    for (name, value) in inputs {
        let _ = writeln!(out, "{name} = \"{value}\"");
    }
    for (name, address) in nodes {
        let _ = writeln!(out, "\n[nodes.{name}]\naddress = \"{address}\"\nstate = \"/nodes/{name}\"");
        let _ = match local {
            Some(local) if local == name => writeln!(out, "local = true"),
            _ => writeln!(out, "via = [\"env\", \"STUB_HOST={name}\", \"sh\"]"),
        };
    }
    out
}

// ------------------------------------------------------------------------------------------ recorded answers

/// What was typed at each question of xcatha.py, in the order of its questions. It knew only Y, Yes, N, No, D and Dryrun:
/// what it did not know is followed by more for the same question.
fn answers(scenario: &Value) -> VecDeque<VecDeque<String>> {
    let mut all = VecDeque::new();
    let mut open = VecDeque::new();
    for line in text(&scenario["stdin"]).lines() {
        open.push_back(line.to_owned());
        if ["Y", "Yes", "N", "No", "D", "Dryrun"].contains(&line) {
            all.push_back(std::mem::take(&mut open));
        }
    }
    if !open.is_empty() {
        all.push_back(open);
    }
    all
}

/// The gates in the order of xcatha.py's questions.
fn gates(procedure: &str) -> &'static [&'static str] {
    match procedure {
        "activate" => &[ADDRESS, SHARED, SERVICES],
        "deactivate" => &[DISABLE, STOP],
        _ => &[],
    }
}

/// Answers each gate with what belongs to it; then, and at any other gate, the input has ended.
fn typist(procedure: &'static str, answers: VecDeque<VecDeque<String>>) -> impl FnMut(&Prompt) -> Option<String> {
    let mut waiting: Vec<(&str, VecDeque<String>)> = gates(procedure).iter().copied().zip(answers).collect();
    move |prompt| {
        if prompt.is_menu() {
            return Some("q".into());
        }
        let stage = prompt.stage(TITLES).filter(|_| prompt.is_gate())?;
        waiting.iter_mut().find(|(gate, _)| *gate == stage)?.1.pop_front()
    }
}

// ------------------------------------------------------------------------------------------ the suite

fn run(world: &World, call: &Call) -> Ran {
    let mut args = vec!["/opt/hawiz/hawiz", call.procedure, "--on", &call.on];
    for set in &call.set {
        args.extend(["--set", set]);
    }
    if call.dryrun {
        args.push("--dryrun");
    }
    let patience = world.scenario["stubs"]["outer_timeout_s"].as_u64().unwrap_or(100);
    let patience = Duration::from_secs(patience);
    if call.interactive {
        let by_hand = text(&world.scenario["name"]).contains("ctrl-c");
        let end = if by_hand { End::Interrupt } else { End::Terminate };
        world.talk(&args, patience, end, typist(call.procedure, answers(&world.scenario)))
    } else {
        if !call.dryrun {
            args.push("--yes");
        }
        world.run(&args, patience, End::Terminate)
    }
}

/// The world of a scenario with its site file, and the call.
fn set_up(scenario: &Value, name: &str) -> (World, Call) {
    let call = call(scenario);
    let mut world = World::prepare(scenario, name);
    world.write("/site/hawiz.toml", &site(&nodes(scenario, &call), &call.inputs, None));
    world.env.push(("STUB_HOST".into(), call.on.clone()));
    (world, call)
}

/// Everything somebody needs who wants to know why.
fn story(name: &str, bad: &[String], ran: &Ran, world: &World) -> String {
    let mut out = format!("\n==== {name}: {}\n", text(&world.scenario["notes_where_hawiz_should_differ_and_why"]));
    for line in bad {
        let _ = writeln!(out, "  - {line}");
    }
    let _ = writeln!(out, "  asked: {}", ran.asked.join(" · "));
    let tail = |text: &str, n: usize| {
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(n)..].iter().map(|l| format!("  | {l}\n")).collect::<String>()
    };
    let _ = write!(out, "  stdout:\n{}  screen:\n{}", tail(&ran.stdout, 12), tail(&ran.screen, 40));
    let changes: Vec<String> =
        changes(&world.read("/stub/trace")).iter().map(|(h, c)| format!("  > {h}: {c}\n")).collect();
    let _ = write!(out, "  changes:\n{}  kept: {}\n", changes.concat(), world.dest.display());
    out
}

/// Whether namespaces are permitted; if not, says aloud what is skipped.
fn permitted(what: &[String]) -> bool {
    match world::unshare() {
        Ok(_) => true,
        Err(why) => {
            eprintln!("SKIPPED, no namespaces here ({why}): {}", what.join(" "));
            false
        }
    }
}

#[test]
fn every_recorded_scenario_goes_as_wanted_or_differs_for_a_reason_in_the_table() {
    let only = std::env::var("XCAT_ONLY").unwrap_or_default();
    let all: Vec<Value> = scenarios()
        .into_iter()
        .filter(|s| !["flow-planned-failover", "flow-unplanned-fenced"].contains(&text(&s["name"])))
        .filter(|s| only.is_empty() || only.split(',').any(|o| judge::fnmatch(text(&s["name"]), o)))
        .map(complete)
        .collect();
    if !permitted(&all.iter().map(|s| text(&s["name"]).to_owned()).collect::<Vec<_>>()) {
        return;
    }
    assert!(DIFFERENT.len() <= 5, "at most five may differ");
    let (next, stories) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let (began, differ) = (Instant::now(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(scenario) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let name = text(&scenario["name"]);
                    let began = Instant::now();
                    let (world, call) = set_up(scenario, name);
                    let ran = run(&world, &call);
                    let seen = judge::read_trace(&world.read("/stub/trace"));
                    let code = ran.code.map_or(-1, i64::from);
                    let mut bad = judge::check(scenario, &seen, code);
                    if world.path("/root/pwned").exists() {
                        bad.push("a value was run as a command".into());
                    }
                    let expected = DIFFERENT.iter().find(|(n, _)| *n == name);
                    let took = began.elapsed().as_secs_f32();
                    let word = if bad.is_empty() { "as wanted" } else { "different" };
                    eprintln!("{name:36} {word}  exit {code:3} {took:5.1}s");
                    match (bad.is_empty(), expected) {
                        (true, None) => world.delete(),
                        (false, Some(_)) => {
                            differ.fetch_add(1, Ordering::Relaxed);
                            let more: Vec<&String> = bad.iter().filter(|b| b.starts_with("forbidden")).collect();
                            assert!(more.is_empty(), "{name}: starting more is never a reason: {more:?}");
                            world.delete();
                        }
                        (true, Some(_)) => {
                            let bad = ["it is in the table of those that differ, but it agrees".to_owned()];
                            stories.lock().expect("nobody panics with it").push(story(name, &bad, &ran, &world));
                        }
                        (false, None) => {
                            stories.lock().expect("nobody panics with it").push(story(name, &bad, &ran, &world));
                        }
                    }
                }
            });
        }
    });
    let stories = stories.into_inner().expect("nobody panics with it");
    eprintln!(
        "xCAT: {} scenarios, {} different for a reason, {} ill, {:.0} s",
        all.len(),
        differ.into_inner(),
        stories.len(),
        began.elapsed().as_secs_f32()
    );
    assert!(stories.is_empty(), "{}", stories.concat());
}

/// `flow-rerun-all-done` was recorded without the shared directories and with another mgtifname than its active primary
/// would have: it is completed from the base world, since a program that looks must find what is said to be there.
fn complete(mut flow: Value) -> Value {
    if flow["name"] == "flow-rerun-all-done" {
        let base = scenario("a-yyy-conserver");
        for part in ["files", "symlinks", "modes", "sh"] {
            flow["stubs"][part] = base["stubs"][part].clone();
        }
        flow["stubs"]["state"].as_object_mut().expect("a table").remove("network");
    }
    flow
}

// ------------------------------------------------------------------------------------------ beyond the recorded

/// The commands that change something, without what merely looks.
fn changes(trace: &str) -> Vec<judge::Seen> {
    let change = |command: &str| {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[0] {
            "systemctl" => ["start", "stop", "restart", "enable", "disable", "mask", "unmask"]
                .contains(words.get(1).unwrap_or(&"")),
            "ip" => words.iter().any(|w| ["add", "del", "replace"].contains(w)),
            "arping" => words.iter().any(|w| ["-U", "-A"].contains(w)),
            "hostname" | "hostnamectl" => words.len() > 1,
            "ifconfig" => words.len() > 2,
            "chdef" | "mkdef" | "chtab" | "rsync" | "pgsqlsetup" | "mysqlsetup" | "mount" | "umount" => true,
            make => make.starts_with("make"),
        }
    };
    judge::read_trace(trace).into_iter().filter(|(_, c)| change(c)).collect()
}

const TWO: &[(&str, &str)] = &[("xcatmn1", "10.5.106.70"), ("xcatmn2", "10.5.106.5")];

fn two() -> Vec<(String, String)> {
    TWO.iter().map(|(n, a)| (n.to_string(), a.to_string())).collect()
}

#[test]
fn after_an_activation_that_took_the_other_nodes_name_status_and_deactivate_still_act_on_this_node() {
    if !permitted(&["a node that has taken the other one's host name".into()]) {
        return;
    }
    // This machine is xcatmn2; neither --on nor a host name says so, only the site file.
    let mut world = World::prepare(&scenario("na-ok"), "renamed");
    world.env.push(("STUB_HOST".into(), "xcatmn2".into()));
    world.env.push(("STUB_REAL_UTS".into(), "1".into()));
    world.write("/site/hawiz.toml", &site(&two(), &[("vip", "10.5.106.7".into())], Some("xcatmn2")));
    let patience = Duration::from_secs(100);
    let hawiz = |args: &str| {
        // The world is entered anew each time, and its host name with it.
        let line = format!(
            "hostname \"$(cat /stub/state/xcatmn2/hostname 2>/dev/null || echo xcatmn2)\"; exec /opt/hawiz/hawiz {args}"
        );
        let ran = world.run(&["sh", "-c", &line], patience, End::Terminate);
        (ran.code, ran.stdout + &ran.screen)
    };

    let (code, said) = hawiz("activate --yes");
    assert_eq!(code, Some(0), "activate\n{said}");
    assert_eq!(
        world.read("/stub/state/xcatmn2/hostname"),
        "xcatmn1\n",
        "the node answers to the virtual IP's name\n{said}"
    );

    world.clear_trace();
    let (code, said) = hawiz("status");
    assert_eq!(code, Some(0), "status: exactly one is active\n{said}");
    assert_eq!(changes(&world.read("/stub/trace")).len(), 1, "the suite's own `hostname`, nothing else\n{said}");

    world.clear_trace();
    let (code, said) = hawiz("deactivate --yes");
    assert_eq!(code, Some(0), "deactivate\n{said}");
    let seen = changes(&world.read("/stub/trace"));
    assert!(seen.iter().all(|(host, _)| host == "xcatmn2"), "{seen:?}");
    for wanted in
        ["systemctl stop postgresql", "systemctl stop xcatd", "ip addr del 10.5.106.7/8 dev eth0", "hostname xcatmn2"]
    {
        assert!(seen.iter().any(|(_, c)| c == wanted), "{wanted}: {seen:?}\n{said}");
    }
    assert_eq!(world.read("/stub/state/xcatmn2/hostname"), "xcatmn2\n", "it has its own name again");
    assert_eq!(world.read("/stub/state/xcatmn1/addrs"), "eth0 eth0 10.5.106.70/8\n", "the other node was left alone");
    world.delete();
}

#[test]
fn the_text_of_a_dry_run_pasted_into_sh_leaves_the_trace_of_the_real_run() {
    if !permitted(&["a dry run's text, pasted".into()]) {
        return;
    }
    let patience = Duration::from_secs(100);
    let fresh = |name: &str| {
        let mut world = World::prepare(&scenario("na-ok"), name);
        world.env.push(("STUB_HOST".into(), "xcatmn2".into()));
        world.write("/site/hawiz.toml", &site(&two(), &[("vip", "10.5.106.7".into())], Some("xcatmn2")));
        world
    };

    let real = fresh("paste-real");
    let ran = real.run(&["/opt/hawiz/hawiz", "activate", "--yes"], patience, End::Terminate);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.screen);
    let wanted = changes(&real.read("/stub/trace"));

    let dry = fresh("paste-dry");
    let ran = dry.run(&["/opt/hawiz/hawiz", "activate", "--dryrun", "--format", "sh"], patience, End::Terminate);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.screen);
    assert_eq!(changes(&dry.read("/stub/trace")), [], "a dry run changes nothing");

    // In parts, each to be run on the node it names.
    let pasted = fresh("paste-pasted");
    pasted.write("/site/pasted.sh", &ran.stdout);
    let parts: Vec<&str> =
        ran.stdout.lines().filter_map(|l| l.strip_prefix("# --- on ")?.strip_suffix(": paste there")).collect();
    assert_eq!(parts, ["xcatmn1", "xcatmn2"], "the proof, then the activation");
    for (number, node) in parts.iter().enumerate() {
        let (host, part) = (format!("STUB_HOST={node}"), format!("hawiz_part={}", number + 1));
        let ran = pasted.run(&["env", &host, &part, "sh", "/site/pasted.sh"], patience, End::Terminate);
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.screen);
    }
    assert_eq!(changes(&pasted.read("/stub/trace")), wanted, "{}", pasted.path("/site/pasted.sh").display());
    for world in [real, dry, pasted] {
        world.delete();
    }
}

#[test]
fn five_letters_that_are_no_answer_decline_and_the_right_one_after_them_is_not_waited_for() {
    if !permitted(&["five wrong letters".into()]) {
        return;
    }
    for (name, letters) in [("a-wrong5-shared", "Y\na\nb\nc\nx\ne\nY\n"), ("d-wrong5-then-Y", "a\nb\nc\nx\ne\nY\n")] {
        let mut scenario = scenario(name);
        scenario["stdin"] = letters.into();
        let (world, call) = set_up(&scenario, &format!("{name}-letters"));
        let ran = run(&world, &call);
        let seen = judge::read_trace(&world.read("/stub/trace"));
        let bad = judge::check(&scenario, &seen, ran.code.map_or(-1, i64::from));
        assert!(bad.is_empty(), "{}", story(name, &bad, &ran, &world));
        world.delete();
    }
}
