//! What people write: read whole, and every mistake told at its place.
//!
//! `tests/playbooks/bad/X.toml` holds mistakes, `X.err` all that hawiz says to them; `tests/playbooks/good/X.warn` holds
//! the warnings of a good one. The name says what the file is: `site-…`, `answers-…`, `words-…`, else a playbook.
//! `HAWIZ_BLESS=1` writes the expectations anew.

use hawiz::playbook::{Playbook, Translation};
use hawiz::problem::{Problem, Problems};
use hawiz::site::{Answers, Site};
use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/playbooks").join(name)
}

/// The TOML files of a folder: name, text.
fn files(name: &str) -> Vec<(String, String)> {
    let mut all: Vec<_> = std::fs::read_dir(folder(name))
        .expect("the folder is in the tree")
        .map(|f| f.expect("a readable folder").path())
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .map(|p| {
            let name = p.file_name().expect("a file has a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&p).expect("a readable file"))
        })
        .collect();
    all.sort();
    all
}

/// Reads a file as what its name says. Whether there is a tree, its warnings, its problems.
fn read(name: &str, text: &str) -> (bool, Vec<Problem>, Problems) {
    let mut problems = Problems::default();
    let mut warnings = Vec::new();
    let tree = if name == "hawiz.toml" || name.starts_with("site-") {
        Site::parse(name, text, Path::new("/etc/hawiz"), &mut problems).is_some()
    } else if name.starts_with("answers-") {
        Answers::parse(name, text, &mut problems).is_some()
    } else if name.ends_with(".ru.toml") || name.starts_with("words-") {
        Translation::parse(name, text, &mut problems).is_some()
    } else {
        let read = Playbook::parse(name, text, &mut problems);
        let tree = read.is_some();
        warnings = read.map(|(p, _)| p.warnings).unwrap_or_default();
        tree
    };
    (tree, warnings, problems)
}

/// Compares with a file beside; an empty text wants none.
fn golden(path: &Path, found: &str, wrong: &mut Vec<String>) {
    if std::env::var_os("HAWIZ_BLESS").is_some() {
        match found {
            "" => drop(std::fs::remove_file(path)),
            text => std::fs::write(path, text).expect("a writable tree"),
        }
    }
    let wanted = std::fs::read_to_string(path).unwrap_or_default();
    if wanted != found {
        wrong.push(format!("{}\n--- wanted\n{wanted}\n--- found\n{found}", path.display()));
    }
}

#[test]
fn every_good_file_is_read_without_a_problem_and_with_its_warnings() {
    let mut wrong = Vec::new();
    for (name, text) in files("good") {
        let (tree, warnings, problems) = read(&name, &text);
        assert_eq!(problems.to_string(), "", "{name}");
        assert!(tree, "{name}");
        let shown = Problems { files: problems.files, list: warnings }.to_string();
        golden(&folder("good").join(name).with_extension("warn"), &shown, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_mistake_is_told_with_its_place_and_all_at_once() {
    let mut wrong = Vec::new();
    for (name, text) in files("bad") {
        let (tree, _, problems) = read(&name, &text);
        assert!(!tree, "{name}: a file with mistakes gives no tree");
        assert!(!problems.is_empty(), "{name}: no mistake found");
        golden(&folder("bad").join(name).with_extension("err"), &problems.to_string(), &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same numbers every time.
struct Random(u64);
impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % n
    }
}

#[test]
fn a_damaged_file_gives_a_tree_or_a_problem_inside_the_file_and_never_a_panic() {
    let mut random = Random(7);
    for (name, text) in files("good") {
        for round in 0..60 {
            let mut bytes = text.clone().into_bytes();
            if round % 3 == 0 {
                bytes.truncate(random.below(bytes.len()));
            }
            for _ in 0..if round % 3 == 1 { 1 } else { random.below(6) } {
                if bytes.is_empty() {
                    break;
                }
                let at = random.below(bytes.len());
                match random.below(3) {
                    0 => bytes[at] = b"\"'[]{}=.,#\n x!\\"[random.below(15)],
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, b"\"'[]{}=.,#\n x!\\"[random.below(15)]),
                }
            }
            let damaged = String::from_utf8_lossy(&bytes).into_owned();
            let (tree, _, problems) = read(&name, &damaged);
            assert!(tree == problems.is_empty(), "{name}, round {round}: a tree if and only if there is no problem");
            for problem in &problems.list {
                let span = problem.span.clone().expect("every problem has a place");
                assert!(span.start <= span.end && span.end <= damaged.len(), "{name}, round {round}: {problem:?}");
            }
            // Drawing the carets is part of it.
            assert_eq!(problems.to_string().is_empty(), tree);
        }
    }
}

#[test]
fn ten_thousand_steps_are_read_in_no_time() {
    use std::fmt::Write;
    let mut text = String::from(
        "format = 1\ntitle = \"Long\"\n[inputs]\nvip = { kind = \"ip\" }\ndb = { kind = \"choice\", of = [\"a\", \"b\"] }\n",
    );
    for stage in 0..100 {
        write!(text, "[[activate]]\nstage = \"Stage {stage}\"\n").expect("a text has room");
        for step in 0..100 {
            write!(
                text,
                "  [[activate.step]]\n  name = \"Step {step}\"\n  if.db = \"a\"\n  run.service-start = {{ unit = \"u{step}\" }}\n  within = \"30s\"\n  retry = {{ tries = 3, wait = \"3s\" }}\n"
            )
            .expect("a text has room");
        }
    }
    // This thread's own time, so that a busy machine does not count.
    let now = || {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        std::time::Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
    };
    let begin = now();
    let (tree, _, problems) = read("long.toml", &text);
    let took = now() - begin;
    assert!(tree, "{problems}");
    println!("10,000 steps: {took:?}");
    // Unoptimised it takes about a second; what is caught here is a square.
    let limit = if cfg!(debug_assertions) { 5000 } else { 150 };
    assert!(took.as_millis() < limit, "{took:?}");
}

/// taplo, if it is there: `$TAPLO`, else the one on PATH.
fn taplo() -> Option<std::process::Command> {
    let program = std::env::var_os("TAPLO").unwrap_or_else(|| "taplo".into());
    // The one from npm says its version and exits 1.
    let there =
        std::process::Command::new(&program).arg("--version").output().is_ok_and(|o| o.stdout.starts_with(b"taplo"));
    there.then(|| std::process::Command::new(program))
}

/// The files that taplo refuses with one of hawiz's schemas, and what it says. One start for all: it is slow to begin.
fn refused(what: &str, schema: &serde_json::Value, files: &[(String, String)]) -> (Vec<String>, String) {
    let folder = std::env::temp_dir().join(format!("hawiz-format-{}-{what}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let against = folder.join("schema.json");
    std::fs::write(&against, schema.to_string()).expect("a writable folder");
    let mut command = taplo().expect("asked for before");
    command
        .current_dir(&folder)
        .args(["lint", "--colors", "never", "--schema"])
        .arg(format!("file://{}", against.display()));
    for (name, text) in files {
        std::fs::write(folder.join(name), text).expect("a writable folder");
        command.arg(folder.join(name));
    }
    let output = command.output().expect("it ran a moment ago");
    std::fs::remove_dir_all(&folder).expect("our own folder");
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let names = files.iter().map(|(n, _)| n.clone()).filter(|n| said.contains(&format!("/{n}"))).collect::<Vec<_>>();
    assert_eq!(output.status.success(), names.is_empty(), "{said}");
    (names, said)
}

#[test]
fn taplo_accepts_with_the_schema_what_hawiz_reads_and_refuses_what_is_misshapen() {
    if taplo().is_none() {
        eprintln!("SKIPPED: no taplo, neither as $TAPLO nor on PATH");
        return;
    }
    let (playbook, site) = (hawiz::schema::playbook(), hawiz::schema::site());
    let (sites, rest): (Vec<_>, Vec<_>) = files("good").into_iter().partition(|(n, _)| n == "hawiz.toml");
    let mut playbooks: Vec<_> = rest.into_iter().filter(|(n, _)| !n.ends_with(".ru.toml")).collect();
    let mut sites = sites;
    // What is shipped, under names of its own.
    let shipped = |path: &str| {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("it is shipped");
        (path.replace('/', "-"), text)
    };
    playbooks.extend(
        [
            "playbooks/osmh.toml",
            "playbooks/rhel-ha-aws.toml",
            "playbooks/xcat.toml",
            "examples/demo/demo.toml",
            "examples/first/first.toml",
        ]
        .map(shipped),
    );
    sites.extend(
        ["examples/demo/hawiz.toml", "examples/first/hawiz.toml", "examples/rhel-ha-aws/hawiz.toml"].map(shipped),
    );
    for (schema, files) in [(&playbook, &playbooks), (&site, &sites)] {
        let (names, said) = refused("good", schema, files);
        assert!(names.is_empty(), "{said}");
    }
    let step =
        |lines: &str| format!("format = 1\ntitle = \"x\"\n[[activate]]\nstage = \"s\"\n[[activate.step]]\n{lines}\n");
    let bad_playbooks = [
        step("nmae = \"x\"\ncheck.sh = \"true\""),
        step("name = 3\ncheck.sh = \"true\""),
        step("name = \"x\""),
        step("name = \"x\"\ncheck.sh = \"true\"\nmanual = \"x\""),
        step("name = \"x\"\ncheck.sh = \"true\"\nwithin = 30"),
        step("name = \"x\"\ncheck.sh = \"true\"\nwithin = \"30 s\""),
        step("name = \"x\"\ncheck = { sh = \"true\", port-open = { host = \"x\", port = 1 } }"),
        step("name = \"x\"\ncheck.port-open = { host = \"x\", prot = 1 }"),
        step("name = \"x\"\ncheck.frobnicate = { host = \"x\" }"),
        step("name = \"x\"\nrun.sh = \"true\"\nundo.nnoe = \"x\""),
        step("name = \"x\"\nrun.sh = \"true\"\ngate = \"ask\""),
        step("name = \"x\"\ncheck.sh = \"true\"\non-failure = \"contineu\""),
        "title = \"x\"\n".to_string(),
        "format = 2\ntitle = \"x\"\n".to_string(),
        "format = 1\ntitle = \"x\"\n[inputz]\nvip = {}\n".to_string(),
        "format = 1\ntitle = \"x\"\n[inputs]\nvip = { kind = \"ipv4\" }\n".to_string(),
        "format = 1\ntitle = \"x\"\n[[activate]]\nstage = \"s\"\nuse = \"y\"\n".to_string(),
    ];
    let bad_sites = [
        "playbok = \"x\"\n[nodes.a]\nlocal = true\n".to_string(),
        "[nodes.a]\nadress = \"x\"\n".to_string(),
        "[nodes.a]\nport = 70000\naddress = \"x\"\n".to_string(),
        "peers = \"some\"\n[nodes.a]\nlocal = true\n".to_string(),
    ];
    for (schema, bad) in [(&playbook, bad_playbooks.to_vec()), (&site, bad_sites.to_vec())] {
        let files: Vec<_> = bad.into_iter().enumerate().map(|(i, text)| (format!("bad-{i}.toml"), text)).collect();
        let (names, said) = refused("bad", schema, &files);
        let all: Vec<String> = files.iter().map(|(n, _)| n.clone()).collect();
        assert_eq!(names, all, "{said}");
    }
}
