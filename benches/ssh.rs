//! hawiz over SSH beside those who do the same: bash with `ssh`, a control master, Ansible, pyinfra.
//!
//! Why it exists: what the README says of speed over SSH is a claim, and anybody can repeat it: `benches/run ssh`. A figure
//! that misses its target is printed as missed and fails nothing.
//!
//! How it is measured: a real `sshd` in a network namespace of its own, a wire with a fixed delay (`benches/delayer`) between
//! it and another one, where all the tools run. Every figure is cold start to exit of the command line a person would type.
//! In each of five rounds (`HAWIZ_BENCH_ROUNDS`) every tool has its turn; printed is the median, in brackets the lowest and the
//! highest. Peers note nothing on the node, so their one figure stands beside hawiz's looks and its recorded steps.
//! Round trips a command: the slope of what a further step costs (60 steps less 20, a 40th) over the three delays.
//!
//! Peak memory is the kernel's `ru_maxrss` of that one process, not of its children.

mod process;
#[path = "../tests/support/sshd.rs"]
mod sshd;

use process::{Ran, run};
use sshd::{Server, Slow, Sshd, Wire, keys};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const HAWIZ: &str = env!("CARGO_BIN_EXE_hawiz");
/// Round-trip times, in milliseconds.
const DELAYS: [u64; 3] = [0, 20, 100];
const STEPS: usize = 20;
const MORE: usize = 60;
const NODES: usize = 50;
const MANY: usize = 200;
const GIGABYTE: f64 = 1e9;

/// What a step does, everywhere.
const DOES: &str = "test -d /";

fn rounds() -> usize {
    std::env::var("HAWIZ_BENCH_ROUNDS").ok().and_then(|v| v.parse().ok()).unwrap_or(5).max(1)
}

/// One figure, a value a round.
#[derive(Default, Clone)]
struct Figure(Vec<f64>);

impl Figure {
    fn sorted(&self) -> Vec<f64> {
        let mut v = self.0.clone();
        v.sort_by(f64::total_cmp);
        v
    }
    fn mid(&self) -> f64 {
        let v = self.sorted();
        if v.is_empty() { f64::NAN } else { (v[(v.len() - 1) / 2] + v[v.len() / 2]) / 2.0 }
    }
    fn range(&self) -> String {
        let v = self.sorted();
        format!("{} ({}–{})", short(self.mid()), short(v[0]), short(v[v.len() - 1]))
    }
}

fn short(x: f64) -> String {
    if x.abs() >= 9.95 { format!("{x:.1}") } else { format!("{x:.2}") }
}

/// A server at the end of a slow wire, under many addresses, and everything the tools want to know of it.
struct Bench {
    wire: Wire,
    slow: Slow,
    server: Sshd,
    dir: PathBuf,
    venv: Option<PathBuf>,
    count: std::cell::Cell<usize>,
}

fn address(i: usize) -> String {
    format!("10.98.{}.{}", i / 250, i % 250 + 1)
}

impl Bench {
    fn new(rtt: u64, delayer: &Path, venv: Option<PathBuf>) -> Option<Bench> {
        let wire = Wire::new()?;
        // What a server lets in at once is not what is measured.
        let server = Server::default().net().line("MaxStartups 1000").line("LogLevel INFO");
        let mut server = server.start()?;
        let slow = wire.join_slowly(&mut server, 1, delayer, Duration::from_micros(rtt * 500));
        wire.ip("route add 10.98.0.0/16 dev v1");
        let all: String = (0..MANY).map(|i| format!("addr add {}/32 dev lo\n", address(i))).collect();
        let batch = server.dir.join("addresses");
        std::fs::write(&batch, all).expect("our own folder");
        sshd::done(server.command("ip").arg("-batch").arg(&batch));
        let dir = server.dir.join("bench");
        std::fs::create_dir_all(&dir).expect("our own folder");
        let known: String = (0..MANY).map(|i| server.known(&address(i))).collect();
        let bench = Bench { wire, slow, server, dir, venv, count: std::cell::Cell::new(0) };
        bench.put("known_hosts", &known);
        bench.put(
            "ssh_config",
            &format!(
                "Host n\n  HostName {}\nHost *\n  User root\n  IdentityFile {}\n  IdentitiesOnly yes\n  \
                 UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n",
                address(0),
                keys().join("id-ed25519").display(),
                bench.path("known_hosts")
            ),
        );
        bench.hawiz();
        bench.bash();
        bench.ansible();
        bench.pyinfra();
        Some(bench)
    }
    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_string_lossy().into_owned()
    }
    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.dir.join(name), text).expect("our own folder");
    }
    /// A command on the operator's side of the wire.
    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut c = Command::new(program);
        c.args(args).current_dir(&self.dir).stdout(Stdio::null()).stderr(Stdio::null()).env("HOME", &self.dir);
        c.env("HAWIZ_SSH_CONFIG", self.path("ssh_config"));
        self.wire.enter(&mut c);
        c
    }
    fn hawiz(&self) {
        for (name, nodes) in [("one", 1), ("fifty", NODES), ("many", MANY)] {
            let mut site = String::from("playbook = \"playbook.toml\"\n");
            for i in 0..nodes {
                let key = keys().join("id-ed25519");
                let how = if sshd::OURS {
                    format!("address = \"{}\"\nuser = \"root\"\nidentity = \"{}\"", address(i), key.display())
                } else {
                    format!("via = [\"ssh\", \"-F\", \"{}\", \"{}\", \"sh\"]", self.path("ssh_config"), address(i))
                };
                let state = self.server.dir.join(format!("state-{i}"));
                let _ = write!(site, "[nodes.n{i}]\n{how}\nstate = \"{}\"\n", state.display());
            }
            self.put(&format!("{name}.toml"), &site);
        }
        let mut playbook = String::from("format = 1\ntitle = \"A bench\"\n");
        for (name, steps, step) in [
            ("looks", STEPS, format!("check.sh = \"{DOES}\"")),
            ("more-looks", MORE, format!("check.sh = \"{DOES}\"")),
            ("changes", STEPS, format!("run.sh = \"{DOES}\"\nundo.none = \"it changes nothing\"")),
            ("more-changes", MORE, format!("run.sh = \"{DOES}\"\nundo.none = \"it changes nothing\"")),
            ("everywhere", 1, format!("on = \"all\"\ncheck.sh = \"{DOES}\"")),
            ("talk", 1, format!("run.sh = \"{TALK}\"\nundo.none = \"it was only talk\"\ndeadline = \"1h\"")),
        ] {
            let _ = writeln!(playbook, "[[{name}]]\nstage = \"Bench\"");
            for i in 0..steps {
                let _ = writeln!(playbook, "[[{name}.step]]\nname = \"Step {i}\"\n{step}");
            }
        }
        self.put("playbook.toml", &playbook);
    }
    /// `hawiz run PROCEDURE --yes`, with records in a fresh folder.
    fn ours(&self, site: &str, procedure: &str) -> Ran {
        self.count.set(self.count.get() + 1);
        let state = self.path(&format!("runs-{}", self.count.get()));
        let site = self.path(&format!("{site}.toml"));
        let on = if procedure == "everywhere" { vec![] } else { vec!["--on", "n0"] };
        let args = [&["run", procedure, "--yes", "--site", &site, "--state-dir", &state], &on[..]].concat();
        let ran = run(self.command(HAWIZ, &args));
        if ran.code != Some(0) {
            let mut again = self.command(HAWIZ, &args);
            let out = again.stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("it started before");
            panic!(
                "hawiz {}: {:?}\n{}",
                args.join(" "),
                ran.code,
                String::from_utf8_lossy(&[out.stdout, out.stderr].concat())
            );
        }
        let _ = std::fs::remove_dir_all(&state);
        ran
    }
    fn bash(&self) {
        let ssh = format!("ssh -F {}", self.path("ssh_config"));
        self.put("ssh.bash", &format!("set -e\nfor ((i = 0; i < {STEPS}; i++)); do {ssh} n '{DOES}'; done\n"));
        let master = format!("{ssh} -o ControlPath={}", self.path("master"));
        self.put(
            "master.bash",
            &format!(
                "set -e\n{master} -o ControlMaster=yes -fN n\nfor ((i = 0; i < {STEPS}; i++)); do {master} n '{DOES}'; done\n\
                 {master} -O exit n 2>/dev/null\n"
            ),
        );
        let all: Vec<String> = (0..NODES).map(address).collect();
        self.put(
            "fifty.bash",
            &format!(
                "pids=\nfor a in {}; do {ssh} $a '{DOES}' & pids=\"$pids $!\"; done\nfor p in $pids; do wait $p || exit 1; done\n",
                all.join(" ")
            ),
        );
        self.put("talk.bash", &format!("set -o pipefail\n{ssh} n \"{TALK}\" | tee \"$1\" | tail -n 5\n"));
    }
    fn ansible(&self) {
        let Some(venv) = &self.venv else { return };
        let python = std::fs::canonicalize(venv.join("bin/python3")).expect("the venv has a python");
        let hosts: Vec<String> = (0..NODES).map(address).collect();
        let vars = format!("[all:vars]\nansible_user=root\nansible_python_interpreter={}\n", python.display());
        self.put("one.ini", &format!("{}\n{vars}", hosts[0]));
        self.put("fifty.ini", &format!("{}\n{vars}", hosts.join("\n")));
        self.put(
            "ansible.cfg",
            &format!(
                "[defaults]\nforks = {NODES}\ngathering = explicit\nretry_files_enabled = False\nlocal_tmp = {}\n[ssh_connection]\n\
                 pipelining = True\ncontrol_path_dir = {}\nssh_args = -F {} -C -o ControlMaster=auto -o ControlPersist=60s\n",
                self.path("ansible-tmp"),
                self.path("cp"),
                self.path("ssh_config")
            ),
        );
        for (module, steps, name) in [
            ("command", STEPS, "command"),
            ("raw", STEPS, "raw"),
            ("command", 1, "command-once"),
            ("raw", 1, "raw-once"),
        ] {
            let task = format!("    - {module}: {DOES}\n      changed_when: false\n");
            self.put(&format!("{name}.yml"), &format!("- hosts: all\n  tasks:\n{}", task.repeat(steps)));
        }
    }
    fn pyinfra(&self) {
        let hosts: Vec<String> = (0..NODES).map(|i| format!("{:?}", address(i))).collect();
        let data = format!(
            "{{\"ssh_user\": \"root\", \"ssh_key\": \"{}\", \"ssh_config_file\": \"{}\", \"ssh_known_hosts_file\": \"{}\"}}",
            keys().join("id-ed25519").display(),
            self.path("ssh_config"),
            self.path("known_hosts")
        );
        for (name, n) in [("one", 1), ("fifty", NODES)] {
            self.put(&format!("{name}_hosts.py"), &format!("hosts = ([{}], {data})\n", hosts[..n].join(", ")));
        }
        for (name, steps) in [("steps", STEPS), ("once", 1)] {
            let op = |i: usize| format!("server.shell(name=\"step {i}\", commands=[\"{DOES}\"])\n");
            let ops: String = (0..steps).map(op).collect();
            self.put(&format!("{name}_deploy.py"), &format!("from pyinfra.operations import server\n{ops}"));
        }
    }
    /// One of the others; `None`: it is not here.
    fn theirs(&self, tool: &str, many: bool) -> Option<Ran> {
        let (one, venv) = (if many { "fifty" } else { "one" }, self.venv.clone().unwrap_or_default());
        let inside = |program: &str| venv.join("bin").join(program).to_string_lossy().into_owned();
        let command = match tool {
            "bash + ssh" if many => self.command("bash", &["fifty.bash"]),
            "bash + ssh" => self.command("bash", &["ssh.bash"]),
            "bash + control master" if !many => self.command("bash", &["master.bash"]),
            "ansible `command`" | "ansible `raw`" if self.venv.is_some() => {
                let module = if tool.contains("raw") { "raw" } else { "command" };
                let book = if many { format!("{module}-once.yml") } else { format!("{module}.yml") };
                let mut c = self.command(&inside("ansible-playbook"), &["-i", &format!("{one}.ini"), &book]);
                c.env("ANSIBLE_CONFIG", self.path("ansible.cfg")).env("ANSIBLE_HOME", self.path("ansible-home"));
                c
            }
            "pyinfra" if self.venv.is_some() => {
                let deploy = if many { "once_deploy.py" } else { "steps_deploy.py" };
                self.command(&inside("pyinfra"), &["-y", &format!("{one}_hosts.py"), deploy])
            }
            _ => return None,
        };
        let said = std::fs::File::create(self.dir.join("said")).expect("our own folder");
        let mut command = command;
        command.stdout(said.try_clone().expect("a descriptor")).stderr(said);
        let ran = run(command);
        // Masters that a tool left behind would make its next start a warm one.
        for socket in std::fs::read_dir(self.dir.join("cp")).into_iter().flatten().flatten() {
            let path = format!("ControlPath={}", socket.path().display());
            let _ = self.command("ssh", &["-F", "/dev/null", "-o", &path, "-O", "exit", "x"]).status();
        }
        if ran.code != Some(0) {
            let said = std::fs::read_to_string(self.dir.join("said")).unwrap_or_default();
            let end: Vec<&str> = said.lines().rev().take(5).collect();
            eprintln!(
                "{tool} did not succeed ({:?}): {}",
                ran.code,
                end.into_iter().rev().collect::<Vec<_>>().join(" / ")
            );
            return None;
        }
        Some(ran)
    }
}

/// Prints 10^9 bytes.
const TALK: &str = "yes 'the quick brown fox jumps over the lazy dog, again and again' | head -c 1000000000";

const PEERS: [&str; 5] = ["bash + ssh", "bash + control master", "ansible `command`", "ansible `raw`", "pyinfra"];

/// A tool's figures at the three delays.
type Three = [Figure; 3];

fn mids(three: &Three) -> String {
    let all: Vec<String> =
        three.iter().map(|f| if f.0.is_empty() { "–".to_string() } else { short(f.mid()) }).collect();
    if all.iter().all(|s| s == "–") { "–".into() } else { all.join(" / ") }
}

fn ratios(theirs: &Three, ours: &Three) -> String {
    let ratio = |(t, o): (&Figure, &Figure)| {
        let r = t.mid() / o.mid();
        if !r.is_finite() { "–".to_string() } else { format!("{r:.1}") }
    };
    let all: Vec<String> = theirs.iter().zip(ours).map(ratio).collect();
    if all.iter().all(|s| s == "–") { "–".into() } else { format!("× {}", all.join(" / ")) }
}

fn verdict(three: &Three, targets: [f64; 3]) -> String {
    let all: Vec<String> = targets.iter().map(|t| format!("{t}")).collect();
    if three.iter().all(|f| f.0.is_empty()) {
        return format!("≤ {}", all.join(" / "));
    }
    let missed: Vec<String> = (0..3)
        .filter(|i| !three[*i].0.is_empty() && three[*i].mid() > targets[*i])
        .map(|i| format!("{} ms", DELAYS[i]))
        .collect();
    let word = if missed.is_empty() { "pass".to_string() } else { format!("MISS at {}", missed.join(", ")) };
    format!("≤ {}: {word}", all.join(" / "))
}

/// Slope and intercept of a straight line through three points.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let n = points.len() as f64;
    let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let over: f64 = points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
    let slope = over / points.iter().map(|p| (p.0 - mx).powi(2)).sum::<f64>();
    (slope, my - slope * mx)
}

#[derive(Default)]
struct Found {
    looks: Three,
    changes: Three,
    more_looks: Three,
    more_changes: Three,
    fifty: Three,
    peers: [Three; PEERS.len()],
    peers_fifty: [Three; PEERS.len()],
    memory: Figure,
    many: Figure,
    talk: Figure,
    talk_peak: Figure,
    their_talk: Figure,
    delayed: [Figure; 3],
}

fn main() {
    // `cargo test --benches` only wants to know that it builds.
    if std::env::args().any(|a| a == "--test" || a == "--list") {
        return;
    }
    let parts: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = |name: &str| parts.is_empty() || parts.iter().any(|p| p == name);
    let delayer = std::env::var_os("HAWIZ_DELAYER").map(PathBuf::from).expect("benches/run ssh sets it");
    let venv = std::env::var_os("HAWIZ_PEERS").map(PathBuf::from).filter(|v| v.join("bin/python3").exists());
    if venv.is_none() && wanted("peers") {
        println!("Ansible and pyinfra are not here.\n");
    }
    let rounds = rounds();
    let mut found = Found::default();
    for (at, rtt) in DELAYS.into_iter().enumerate() {
        let Some(bench) = Bench::new(rtt, &delayer, venv.clone()) else {
            println!("Nothing was measured: this needs root, network namespaces and sshd.");
            return;
        };
        found.delayed[at].0.push(bench.really());
        for round in 0..rounds {
            eprintln!("{rtt} ms, round {}", round + 1);
            bench.round(at, &mut found, &wanted);
        }
        drop(bench.slow);
    }
    report(&found, rounds);
}

impl Bench {
    /// The round trip that the wire really makes: a connection to nobody is refused after one.
    fn really(&self) -> f64 {
        let times: Vec<f64> = self.wire.inside(|| {
            let nobody: std::net::SocketAddr = format!("{}:9", address(0)).parse().expect("an address");
            let one = || {
                let begun = Instant::now();
                let _ = std::net::TcpStream::connect(nobody);
                begun.elapsed().as_secs_f64() * 1e3
            };
            (0..10).map(|_| one()).collect()
        });
        Figure(times).mid()
    }
    fn round(&self, at: usize, found: &mut Found, wanted: &dyn Fn(&str) -> bool) {
        if wanted("steps") {
            found.looks[at].0.push(self.ours("one", "looks").wall.as_secs_f64());
            found.changes[at].0.push(self.ours("one", "changes").wall.as_secs_f64());
        }
        if wanted("trips") {
            let few = |procedure| self.ours("one", procedure).wall.as_secs_f64();
            let each = |more: f64, few: f64| (more - few) / (MORE - STEPS) as f64 * 1e3;
            found.more_looks[at].0.push(each(few("more-looks"), few("looks")));
            found.more_changes[at].0.push(each(few("more-changes"), few("changes")));
        }
        if wanted("fifty") {
            found.fifty[at].0.push(self.ours("fifty", "everywhere").wall.as_secs_f64());
        }
        if wanted("peers") {
            for (n, tool) in PEERS.iter().enumerate() {
                found.peers[n][at].0.extend(self.theirs(tool, false).map(|r| r.wall.as_secs_f64()));
                found.peers_fifty[n][at].0.extend(self.theirs(tool, true).map(|r| r.wall.as_secs_f64()));
            }
        }
        if at == 0 && wanted("memory") {
            let ran = self.ours("many", "everywhere");
            found.memory.0.push(ran.peak);
            found.many.0.push(ran.wall.as_secs_f64());
        }
        if at == 0 && wanted("output") {
            let ran = self.ours("one", "talk");
            found.talk.0.push(GIGABYTE / 1e6 / ran.wall.as_secs_f64());
            found.talk_peak.0.push(ran.peak);
            let kept = self.path("kept");
            let ran = run(self.command("bash", &["talk.bash", &kept]));
            assert_eq!(ran.code, Some(0), "bash talk.bash");
            found.their_talk.0.push(GIGABYTE / 1e6 / ran.wall.as_secs_f64());
            let _ = std::fs::remove_file(kept);
        }
    }
}

fn report(found: &Found, rounds: usize) {
    let measured: Vec<String> = found.delayed.iter().map(|f| short(f.mid())).collect();
    println!(
        "hawiz {}, {rounds} rounds; medians. A round trip of 0 / 20 / 100 ms was measured as {} ms.\n",
        env!("CARGO_PKG_VERSION"),
        measured.join(" / ")
    );
    if !sshd::OURS {
        println!("hawiz went through `ssh` as `via` here, not over its own SSH.\n");
    }
    println!("Cold start to exit, seconds at a round trip of 0 / 20 / 100 ms:\n");
    println!("| | {STEPS} steps, one node | one step, {NODES} nodes |\n|---|---|---|");
    println!("| hawiz, looks | {} | {} |", mids(&found.looks), mids(&found.fifty));
    println!("| … target | {} | {} |", verdict(&found.looks, [0.15, 0.8, 3.3]), verdict(&found.fifty, [1.5, 1.5, 2.0]));
    println!("| hawiz, recorded steps | {} | |", mids(&found.changes));
    println!("| … target | {} | |", verdict(&found.changes, [0.4, 1.0, 3.5]));
    for (n, tool) in PEERS.iter().enumerate() {
        let shown = |three: &Three, ours: &Three| match (mids(three).as_str(), ratios(three, ours).as_str()) {
            ("–", _) => "–".to_string(),
            (m, "–") => m.to_string(),
            (m, r) => format!("{m} ({r})"),
        };
        let (one, many) = (shown(&found.peers[n], &found.looks), shown(&found.peers_fifty[n], &found.fifty));
        println!("| {tool} | {one} | {many} |");
    }
    println!("\n× is a tool's time over that of hawiz's looks.\n");
    println!("| | target | hawiz | |\n|---|---|---|---|");
    let judge = |ok: bool| if ok { "pass" } else { "MISS" };
    for (what, three, over) in [("a look", &found.more_looks, 5.0), ("a recorded step", &found.more_changes, 15.0)] {
        if three.iter().any(|f| f.0.is_empty()) {
            continue;
        }
        let points: Vec<(f64, f64)> = three.iter().zip(&found.delayed).map(|(f, d)| (d.mid(), f.mid())).collect();
        let (slope, rest) = line(&points);
        println!("| round trips of {what} | ≤ 1.05 | {slope:.3} | {} |", judge(slope <= 1.05));
        println!("| … what it costs besides, ms | ≤ {over} | {rest:.1} | {} |", judge(rest <= over));
    }
    if !found.memory.0.is_empty() {
        let fine = judge(found.memory.mid() < 60.0);
        println!("| peak memory with {MANY} nodes, MB | < 60 | {} | {fine} |", found.memory.range());
        println!("| … how long it took, s | – | {} | – |", found.many.range());
    }
    if !found.talk.0.is_empty() {
        let fine = judge(found.talk_peak.mid() < 50.0);
        println!("| 1 GB of output from a node: peak memory, MB | < 50 | {} | {fine} |", found.talk_peak.range());
        let bash = found.their_talk.range();
        println!("| … how fast, MB/s; `ssh` into `tee`: {bash} | – | {} | – |", found.talk.range());
    }
}
