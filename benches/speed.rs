//! What hawiz costs, beside bash doing the same work in the same run.
//!
//! Why it exists: the speeds in the README are claims, and a claim needs a measurement that anybody can repeat:
//! `benches/run`. A figure that misses its target is printed as missed; it never fails a build, because a busy machine is
//! not a broken program.
//!
//! How it is measured: every figure is taken in rounds (five, or `HAWIZ_BENCH_ROUNDS`), hawiz and bash in turn within a
//! round; printed is the median of the rounds' medians and, in brackets, the lowest and the highest of them.
//!
//! * A look: `Fleet::look` and `sh -c` with the same text, in turn; its cost is the difference. The 95th percentile is that
//!   of looks, less the median of `sh -c`; beside it what `sh -c` itself strays from its median (a busy machine shows there).
//! * A recorded change: the real engine walks a plan of steps with a look and a change each; the time from a step's first
//!   record to its last, median over the steps: look, intent, claim, change, look, result. *Apart from fsync* means: journal
//!   and node state lie on a tmpfs, where `fsync` and `sync` return at once but everything else is done (the programs that
//!   call them are started, too). The same on disk is printed beside it.
//! * A plan: a playbook of 10,000 written steps, each with its own shell texts, read, checked (`sh -n` of every text),
//!   resolved and printed by `hawiz plan`; bash prints as many lines from a list, and checks nothing.
//! * Output: a step that prints 10^9 bytes, its output kept on the node and followed by hawiz.
//!
//! Peak memory is the kernel's `ru_maxrss` of that one process, not of its children.

mod process;

use hawiz::engine::{Clock, Engine, Settings, Sink};
use hawiz::event::{Event, Verdict};
use hawiz::history::History;
use hawiz::journal::{Journal, new_run_id};
use hawiz::plan::{How, Node, Plan};
use hawiz::playbook::Playbook;
use hawiz::problem::Problems;
use hawiz::prompt::answers::Scripted;
use hawiz::reach::{Reach, Sent};
use hawiz::resolve::{self, Files, Request};
use hawiz::session::Fleet;
use hawiz::signal::{Interrupts, Stop};
use hawiz::site::{Answers, Site};
use process::run;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const HAWIZ: &str = env!("CARGO_BIN_EXE_hawiz");
const LOOKS: usize = 200;
const CHANGES: usize = 60;
const STEPS: usize = 10_000;
const GIGABYTE: u64 = 1_000_000_000;

fn rounds() -> usize {
    std::env::var("HAWIZ_BENCH_ROUNDS").ok().and_then(|v| v.parse().ok()).unwrap_or(5).max(1)
}

/// Milliseconds.
fn ms(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn median(values: Vec<f64>) -> f64 {
    let v = sorted(values);
    if v.is_empty() { f64::NAN } else { (v[(v.len() - 1) / 2] + v[v.len() / 2]) / 2.0 }
}

fn percentile(values: Vec<f64>, of: f64) -> f64 {
    let v = sorted(values);
    v[((v.len() as f64 * of).ceil() as usize).clamp(1, v.len()) - 1]
}

/// One figure, a value a round.
#[derive(Default, Clone)]
struct Figure(Vec<f64>);

impl Figure {
    fn mid(&self) -> f64 {
        median(self.0.clone())
    }
    fn shown(&self, unit: &str) -> String {
        let v = sorted(self.0.clone());
        let n = |x: f64| if x.abs() >= 100.0 { format!("{x:.0}") } else { format!("{x:.2}") };
        format!("{} {unit} ({}–{})", n(self.mid()), n(v[0]), n(v[v.len() - 1]))
    }
}

/// A line of the table.
struct Row {
    what: &'static str,
    limit: Option<f64>,
    unit: &'static str,
    hawiz: Figure,
    bash: Option<Figure>,
}

impl Row {
    fn line(&self) -> String {
        let (target, verdict) = match self.limit {
            None => ("–".to_string(), "–"),
            Some(limit) => {
                (format!("≤ {limit} {}", self.unit), if self.hawiz.mid() <= limit { "pass" } else { "MISS" })
            }
        };
        let (bash, ratio) = match &self.bash {
            None => ("–".into(), "–".into()),
            Some(b) => (b.shown(self.unit), format!("{:.2}", self.hawiz.mid() / b.mid())),
        };
        format!("| {} | {target} | {} | {bash} | {ratio} | {verdict} |", self.what, self.hawiz.shown(self.unit))
    }
}

/// A folder of ours, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(below: &Path, name: &str) -> Folder {
        let path = below.join(format!("hawiz-bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for the bench can be made");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn quiet(program: &str, args: &[&str]) -> Command {
    let mut c = Command::new(program);
    c.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    c
}

/// A bash script, run by file as an operator would.
fn bash(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("the bench's own folder");
    path.to_string_lossy().into_owned()
}

fn version(dir: &Path, rounds: usize) -> Row {
    let script = bash(dir, "version.bash", "echo 'hawiz 0.1.0'\n");
    let (mut ours, mut theirs) = (Figure::default(), Figure::default());
    for _ in 0..rounds {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..40 {
            a.push(ms(run(quiet(HAWIZ, &["--version"])).wall));
            b.push(ms(run(quiet("bash", &[&script])).wall));
        }
        ours.0.push(median(a));
        theirs.0.push(median(b));
    }
    Row { what: "`hawiz --version`", limit: Some(5.0), unit: "ms", hawiz: ours, bash: Some(theirs) }
}

fn node(state: &Path) -> Node {
    Node {
        name: "box".into(),
        how: How::Local,
        login: Default::default(),
        address: None,
        become_root: None,
        state: Some(state.to_string_lossy().into_owned()),
        group: None,
        vars: Vec::new(),
    }
}

fn looks(dir: &Path, rounds: usize) -> Vec<Row> {
    const TEXT: &str = "test -d / && echo so";
    let script = bash(
        dir,
        "looks.bash",
        &format!("for ((i = 0; i < {LOOKS}; i++)); do out=$(sh -c '{TEXT}' 2>&1); code=$?; done\n[ $code = 0 ]\n"),
    );
    let mut fleet = Fleet::new(vec![node(&dir.join("state"))], dir.to_path_buf());
    fleet.greet("box").expect("this machine has sh");
    let sent = Sent { script: TEXT.into(), ..Sent::default() };
    let [mut mid, mut high, mut noise, mut theirs, mut alone] = <[Figure; 5]>::default();
    for _ in 0..rounds {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..LOOKS {
            let begun = Instant::now();
            let reply = fleet.look("box", &sent, Duration::from_secs(10)).expect("a session");
            a.push(ms(begun.elapsed()));
            assert_eq!((reply.code, reply.out.0.as_slice()), (Some(0), &b"so\n"[..]));
            let begun = Instant::now();
            let out = Command::new("sh").args(["-c", TEXT]).stdin(Stdio::null()).output().expect("there is sh");
            b.push(ms(begun.elapsed()));
            assert!(out.status.success());
        }
        let own = median(b.clone());
        noise.0.push(percentile(b, 0.95) - own);
        alone.0.push(own);
        mid.0.push(median(a.clone()) - own);
        high.0.push(percentile(a, 0.95) - own);
        theirs.0.push(ms(run(quiet("bash", &[&script])).wall) / LOOKS as f64 - own);
    }
    let all = Figure(mid.0.iter().zip(&alone.0).map(|(a, b)| a + b).collect());
    vec![
        Row {
            what: "a look, over its own `sh -c`: median",
            limit: Some(1.0),
            unit: "ms",
            hawiz: mid,
            bash: Some(theirs),
        },
        Row {
            what: "… 95th percentile; beside it that of `sh -c`",
            limit: Some(3.0),
            unit: "ms",
            hawiz: high,
            bash: Some(noise),
        },
        Row {
            what: "… the whole look; beside it `sh -c` alone",
            limit: None,
            unit: "ms",
            hawiz: all,
            bash: Some(alone),
        },
    ]
}

fn planned(dir: &Path, playbook: &str, procedure: &str) -> Plan {
    let mut problems = Problems::default();
    let state = dir.join("node");
    let site = format!(
        "playbook = 'bench'\n[inputs]\ndir = '{}'\n[nodes.box]\nlocal = true\nstate = '{}'\n",
        dir.display(),
        state.display()
    );
    let (site, site_index) = Site::parse("site", &site, dir, &mut problems).unwrap_or_else(|| panic!("{problems}"));
    let (pb, index) = Playbook::parse("bench", playbook, &mut problems).unwrap_or_else(|| panic!("{problems}"));
    let request = Request {
        procedure: procedure.into(),
        target: Some("box".into()),
        here: Some("box".into()),
        ..Request::default()
    };
    resolve::resolve(&pb, &site, &request, Files { playbook: index, site: site_index }, &mut problems)
        .unwrap_or_else(|| panic!("{problems}"))
}

/// The journal, and when each step began and ended.
struct Desk {
    journal: Journal,
    begun: Instant,
    recording: Duration,
    steps: Vec<f64>,
    journal_in_step: Vec<f64>,
}

impl Sink for Desk {
    fn record(&mut self, event: Event) -> Result<(), String> {
        if matches!(event, Event::StepStarted { .. }) {
            self.begun = Instant::now();
            self.recording = Duration::ZERO;
        }
        let ends = matches!(event, Event::StepFinished { .. });
        let before = Instant::now();
        self.journal.append(event).map_err(|e| e.to_string())?;
        self.recording += before.elapsed();
        if ends {
            self.steps.push(ms(self.begun.elapsed()));
            self.journal_in_step.push(ms(self.recording));
        }
        Ok(())
    }
    fn show(&mut self, _: Event) {}
}

struct Wall(Instant);

impl Clock for Wall {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
    fn utc(&self) -> String {
        String::new()
    }
    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

struct Nobody;

impl Interrupts for Nobody {
    fn pending(&self) -> Option<Stop> {
        None
    }
    fn name(&self) -> &'static str {
        ""
    }
    fn clear_interrupt(&self) {}
}

/// Walks a plan of changes with everything below `dir`; medians: a change, and what of it was spent in the journal.
fn walk(dir: &Path) -> (f64, f64) {
    let items: Vec<String> = (0..CHANGES).map(|i| format!("'{i}'")).collect();
    let playbook = format!(
        "format = 1\ntitle = 'changes'\n[inputs]\ndir = {{ kind = 'path' }}\n[[go]]\nstage = 'Change'\n  [[go.step]]\n  \
         id = 'one'\n  name = 'Make {{n}}'\n  each.n = [{}]\n  done.sh = '[ -e \"$dir/$n\" ]'\n  run.sh = ': >\"$dir/$n\"'\n  \
         undo.sh = 'rm -f \"$dir/$n\"'\n",
        items.join(", ")
    );
    let plan = planned(dir, &playbook, "go");
    let who = "bench".to_string();
    let run = new_run_id("go", None, chrono::Utc::now());
    let journal = Journal::create(&dir.join("state"), &plan, &run, &who).unwrap_or_else(|e| panic!("{e}"));
    let begun = Instant::now();
    let mut desk = Desk { journal, begun, recording: Duration::ZERO, steps: Vec::new(), journal_in_step: Vec::new() };
    let started = Event::RunStarted {
        run,
        format: hawiz::event::FORMAT,
        hawiz: env!("CARGO_PKG_VERSION").into(),
        procedure: plan.procedure.clone(),
        target: plan.target.clone(),
        from: None,
        unplanned: false,
        plan: plan.digest.clone(),
        title: plan.title.clone(),
        sources: Vec::new(),
        stages: Vec::new(),
        comment: None,
        marker: "bench".into(),
    };
    let mut history = History::default();
    history.apply(&started);
    desk.record(started).expect("the journal is on disk");
    let mut fleet = Fleet::new(plan.nodes.clone(), dir.to_path_buf()).tmpfs(true);
    let mut prompter = Scripted { answers: Answers::default(), yes: true, person: None };
    let (secrets, clock) = (BTreeMap::new(), Wall(begun));
    let settings = Settings { holder: who, probe: Duration::from_secs(1), ..Settings::default() };
    let ending =
        Engine::new(&plan, history, &mut fleet, &mut prompter, &mut desk, &clock, &Nobody, &secrets, settings).run();
    assert_eq!(ending.verdict, Verdict::Completed, "{ending:?}");
    assert_eq!(desk.steps.len(), CHANGES);
    (median(desk.steps), median(desk.journal_in_step))
}

fn changes(disk: &Path, memory: &Path, rounds: usize) -> Vec<Row> {
    // The same in bash: look, note it, change, look, note it; a note is on disk before the next act.
    let text = format!(
        r#"set -u
dir=$1 log=$1/log
for ((i = 0; i < {CHANGES}; i++)); do
  if ! sh -c '[ -e "$1" ]' sh "$dir/$i"; then
    echo "intent $i" >>"$log"; sync -d "$log"
    sh -c ': >"$1"' sh "$dir/$i" >"$dir/out" 2>&1
    code=$?
    sh -c '[ -e "$1" ]' sh "$dir/$i" || exit 1
    echo "done $i $code" >>"$log"; sync -d "$log"
  fi
done
"#
    );
    let script = bash(disk, "changes.bash", &text);
    let mut rows: Vec<Row> = Vec::new();
    for (what, limit, base) in [
        ("a recorded change, apart from fsync (state on tmpfs)", Some(12.0), memory),
        ("… on this disk, fsync and all", None, disk),
    ] {
        let (mut ours, mut theirs, mut journal) = (Figure::default(), Figure::default(), Figure::default());
        for _ in 0..rounds {
            let world = Folder::new(base, "change");
            let (all, records) = walk(&world.0);
            ours.0.push(all);
            journal.0.push(records);
            let world = Folder::new(base, "bash");
            let ran = run(quiet("bash", &[&script, &world.0.to_string_lossy()]));
            assert_eq!(ran.code, Some(0));
            theirs.0.push(ms(ran.wall) / CHANGES as f64);
        }
        rows.push(Row { what, limit, unit: "ms", hawiz: ours, bash: Some(theirs) });
        rows.push(Row { what: "… of it in the journal", limit: None, unit: "ms", hawiz: journal, bash: None });
    }
    rows
}

fn site(dir: &Path) -> String {
    let path = dir.join("hawiz.toml");
    let state = dir.join("node");
    let text = format!("playbook = 'bench'\n[nodes.box]\nlocal = true\nstate = '{}'\n", state.display());
    std::fs::write(&path, text).expect("the bench's own folder");
    path.to_string_lossy().into_owned()
}

/// A playbook of ten thousand steps, a hundred a stage, and what each is.
fn ten_thousand(path: &Path, step: impl Fn(usize) -> String) {
    let mut text = String::from("format = 1\ntitle = 'Ten thousand steps'\n");
    for i in 0..STEPS {
        if i % 100 == 0 {
            text.push_str(&format!("[[go]]\nstage = 'Stage {}'\n", i / 100));
        }
        text.push_str(&step(i));
    }
    std::fs::write(path, text).expect("the bench's own folder");
}

fn plans(dir: &Path, rounds: usize) -> Vec<Row> {
    let (shell, catalogue, list) = (dir.join("shell.toml"), dir.join("catalogue.toml"), dir.join("units"));
    ten_thousand(&shell, |i| {
        format!(
            "  [[go.step]]\n  name = 'Make {i}'\n  done.sh = '[ -e /srv/{i} ]'\n  run.sh = 'mkdir /srv/{i}'\n  \
             undo.sh = 'rmdir /srv/{i}'\n"
        )
    });
    ten_thousand(&catalogue, |i| {
        format!("  [[go.step]]\n  name = 'Start unit-{i}'\n  run.service-start = {{ unit = 'unit-{i}' }}\n")
    });
    let items: String = (0..STEPS).map(|i| format!("{i}\n")).collect();
    std::fs::write(&list, items).expect("the bench's own folder");
    let script = bash(
        dir,
        "plan.bash",
        r#"n=0
while read -r item; do
  n=$((n + 1))
  printf '%s · Make %s\n  done?  [ -e /srv/%s ]\n  run    mkdir /srv/%s\n  undo   rmdir /srv/%s\n' "$n" "$item" "$item" "$item" "$item"
done <"$1"
"#,
    );
    let (site, list) = (site(dir), list.to_string_lossy().into_owned());
    let mut figures: [Figure; 6] = Default::default();
    for _ in 0..rounds {
        for (n, playbook) in [&shell, &catalogue].into_iter().enumerate() {
            let ran = run(quiet(HAWIZ, &["plan", "go", "--site", &site, "--playbook", &playbook.to_string_lossy()]));
            assert_eq!(ran.code, Some(0), "hawiz plan go --site {site} --playbook {}", playbook.display());
            figures[n * 2].0.push(ms(ran.wall));
            figures[n * 2 + 1].0.push(ran.peak);
        }
        let ran = run(quiet("bash", &[&script, &list]));
        assert_eq!(ran.code, Some(0));
        figures[4].0.push(ms(ran.wall));
        figures[5].0.push(ran.peak);
    }
    let [wall, peak, long_wall, long_peak, theirs, their_peak] = figures;
    let (time, space) = ((Some(200.0), "ms"), (Some(100.0), "MB"));
    let row = |what, (limit, unit), hawiz, bash| Row { what, limit, unit, hawiz, bash };
    vec![
        row("10,000 steps of shell text planned and printed", time, wall, Some(theirs)),
        row("… peak memory", space, peak, Some(their_peak)),
        row("10,000 × `service-start` planned and printed", time, long_wall, None),
        row("… peak memory", space, long_peak, None),
    ]
}

fn output(dir: &Path, rounds: usize) -> Vec<Row> {
    const PRINTS: &str = "yes 'the quick brown fox jumps over the lazy dog, again and again' | head -c 1000000000";
    let playbook = dir.join("output.toml");
    let text = format!(
        "format = 1\ntitle = 'Much output'\n[[go]]\nstage = 'Talk'\n  [[go.step]]\n  name = 'Talk'\n  run.sh = \"{PRINTS}\"\n  undo.none = 'it was only talk'\n"
    );
    std::fs::write(&playbook, text).expect("the bench's own folder");
    let site = site(dir);
    let script =
        bash(dir, "output.bash", &format!("bash -c \"{PRINTS}\" | tee \"$1\" | tail -n 5\nexit ${{PIPESTATUS[0]}}\n"));
    let (mut wall, mut peak, mut theirs, mut their_peak) =
        (Figure::default(), Figure::default(), Figure::default(), Figure::default());
    for _ in 0..rounds {
        let world = Folder::new(dir, "talk");
        let state = world.0.join("state").to_string_lossy().into_owned();
        let args =
            ["run", "go", "--yes", "--site", &site, "--playbook", &playbook.to_string_lossy(), "--state-dir", &state];
        let ran = run(quiet(HAWIZ, &args));
        assert_eq!(ran.code, Some(0), "hawiz {}", args.join(" "));
        wall.0.push(ms(ran.wall));
        peak.0.push(ran.peak);
        let ran = run(quiet("bash", &[&script, &world.0.join("kept").to_string_lossy()]));
        assert_eq!(ran.code, Some(0));
        theirs.0.push(ms(ran.wall));
        their_peak.0.push(ran.peak);
    }
    let rate = |f: &Figure| Figure(f.0.iter().map(|t| GIGABYTE as f64 / 1e6 / (t / 1e3)).collect());
    vec![
        Row {
            what: "1 GB of output through a step: peak memory",
            limit: Some(50.0),
            unit: "MB",
            hawiz: peak,
            bash: Some(their_peak),
        },
        Row { what: "… how fast", limit: None, unit: "MB/s", hawiz: rate(&wall), bash: Some(rate(&theirs)) },
    ]
}

fn main() {
    // `cargo test --benches` only wants to know that it builds.
    if std::env::args().any(|a| a == "--test" || a == "--list") {
        return;
    }
    let only = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    let wanted = |name: &str| only.as_deref().is_none_or(|o| o == name);
    let rounds = rounds();
    let disk = Folder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), "disk");
    let memory = Folder::new(Path::new("/dev/shm"), "memory");
    println!("hawiz {}, {rounds} rounds; median of the rounds (lowest–highest)\n", env!("CARGO_PKG_VERSION"));
    println!("| what | target | hawiz | bash, the same | ratio | |\n|---|---|---|---|---|---|");
    let print = |rows: Vec<Row>| rows.iter().for_each(|r| println!("{}", r.line()));
    if wanted("version") {
        print(vec![version(&disk.0, rounds)]);
    }
    if wanted("look") {
        print(looks(&disk.0, rounds));
    }
    if wanted("change") {
        print(changes(&disk.0, &memory.0, rounds));
    }
    if wanted("plan") {
        print(plans(&disk.0, rounds));
    }
    if wanted("output") {
        print(output(&disk.0, rounds));
    }
}
