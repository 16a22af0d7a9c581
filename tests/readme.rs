//! The README is true: its commands run, its picture is of a real run, its tables and examples are what the program says.
//!
//! Why it exists: a page that nobody runs is wrong within a month. Each demo runs in a copy of its own, so that tests neither
//! meet each other nor the world of somebody who is playing. `HAWIZ_BLESS=1 cargo test --test readme` writes the README's
//! picture, tables and examples anew.

#[path = "readme/terminal.rs"]
mod terminal;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
fn read(path: &str) -> String {
    fs::read_to_string(project().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Holds a part of the README, between two lines, to what it must be; with HAWIZ_BLESS=1 writes it.
#[track_caller]
fn holds(begin: &str, end: &str, wanted: &str) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(|e| e.into_inner());
    let readme = read("README.md");
    let from = readme.find(begin).unwrap_or_else(|| panic!("README.md has no line `{begin}`")) + begin.len();
    let to = from + readme[from..].find(end).unwrap_or_else(|| panic!("README.md has no `{end}` after `{begin}`"));
    if readme[from..to] == *wanted {
        return;
    }
    if std::env::var_os("HAWIZ_BLESS").is_some() {
        let text = format!("{}{wanted}{}", &readme[..from], &readme[to..]);
        return fs::write(project().join("README.md"), text).expect("the README can be written");
    }
    assert_eq!(&readme[from..to], wanted, "README.md is stale; HAWIZ_BLESS=1 writes it anew");
}

// ---------------------------------------------------------------- the demo's world

/// A copy of the examples in which nothing has happened yet.
struct World {
    dir: PathBuf,
}

impl World {
    fn new(name: &str) -> World {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("readme-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        copy(&project().join("examples"), &dir.join("examples"));
        World { dir }
    }
    fn path(&self, inside: &str) -> PathBuf {
        self.dir.join("examples/demo/world").join(inside)
    }
    /// A command of the README, `cargo demo …`: the binary with the words that `.cargo/config.toml` puts before.
    fn command(&self, line: &str) -> Command {
        let words = line.split_whitespace().take_while(|w| !w.starts_with('#'));
        let mut words: Vec<String> = words.map(String::from).collect();
        assert_eq!(words.drain(..2).collect::<Vec<_>>(), ["cargo", "demo"], "{line}");
        let config: toml::Table = read(".cargo/config.toml").parse().expect("it is TOML");
        let alias = config["alias"]["demo"].as_array().expect("a list of words").clone();
        let alias: Vec<String> = alias.iter().map(|w| w.as_str().expect("a word").to_string()).collect();
        assert_eq!(alias[..2], ["run", "--"]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_hawiz"));
        command.args(&alias[2..]).args(words);
        self.around(&mut command);
        command
    }
    fn around(&self, command: &mut Command) {
        command.current_dir(&self.dir);
        for gone in ["NO_COLOR", "ACCESSIBLE", "HAWIZ_STATE_DIR", "LC_ALL", "LC_CTYPE", "COLUMNS"] {
            command.env_remove(gone);
        }
        command.env("LANG", "C.UTF-8").env("TZ", "UTC");
        command.env("HAWIZ_TMPFS_STATE", "1"); // the target folder may be in memory
    }
    /// Runs it with nobody there.
    fn run(&self, line: &str) -> (i32, String) {
        let out = self.command(line).stdin(Stdio::null()).output().expect("hawiz runs");
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.code().unwrap_or(-1), text)
    }
    #[track_caller]
    fn ends(&self, code: i32, line: &str) -> String {
        let (got, text) = self.run(line);
        assert_eq!(got, code, "{line}\n{text}");
        text
    }
    /// The services that run in this world: their names.
    fn running(&self) -> Vec<String> {
        let service = self.dir.join("examples/demo/bin/service").canonicalize().expect("it was copied");
        let mut out = Vec::new();
        for process in fs::read_dir("/proc").expect("Linux").flatten() {
            let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let words: Vec<String> =
                words.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
            if words.get(1).is_some_and(|w| Path::new(w) == service) {
                out.push(words[2].clone());
            }
        }
        out.sort();
        out
    }
    /// Waits for something to be there.
    #[track_caller]
    fn until(&self, what: impl Fn() -> bool) {
        let began = Instant::now();
        while !what() {
            assert!(began.elapsed() < Duration::from_secs(60), "it does not come");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    /// Nothing runs, nothing is held.
    #[track_caller]
    fn clean(&self) {
        self.until(|| self.running().is_empty());
        for gone in [
            "address",
            "page",
            "alpha/disk",
            "beta/disk",
            "alpha/note",
            "beta/note",
            "alpha/state/lock",
            "beta/state/lock",
        ] {
            assert!(fs::symlink_metadata(self.path(gone)).is_err(), "world/{gone} is still there");
        }
        for node in ["alpha", "beta"] {
            let left = fs::read_dir(self.path(node).join("run")).map_or(0, |d| d.count());
            assert_eq!(left, 0, "world/{node}/run is not empty");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The services of a test that failed end by themselves when their pid files are gone.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder below the target folder");
    for entry in fs::read_dir(from).expect("a folder of the project").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if name == "world" || name == "state" {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).expect("copied");
        }
    }
}

/// The lines of the README's `sh` blocks.
fn commands() -> Vec<String> {
    blocks("README.md", "sh").join("\n").lines().map(String::from).filter(|l| !l.trim().is_empty()).collect()
}

/// The text of a document's fenced blocks that begin with exactly "```MARK".
fn blocks(path: &str, mark: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in read(path).lines() {
        match &mut open {
            None if line.starts_with("```") => open = Some((line == format!("```{mark}"), String::new())),
            None => {}
            Some((wanted, text)) if line.starts_with("```") => {
                if *wanted {
                    out.push(std::mem::take(text));
                }
                open = None;
            }
            Some((_, text)) => text.push_str(&format!("{line}\n")),
        }
    }
    out
}

fn first_command() -> String {
    commands().into_iter().next().expect("the README has commands")
}

// ---------------------------------------------------------------- the demo

#[test]
fn the_first_command_leads_a_person_through_and_the_picture_is_of_that_run() {
    let world = World::new("picture");
    let (screen, code) = terminal::talk(&world.command(&first_command()), &["Continue?"], &["y\r", "y\r", "y\r"]);
    assert_eq!(code, Some(0), "{screen}");
    world.until(|| world.running() == ["board", "store"]);
    world.ends(0, "cargo demo deactivate --on alpha --yes");
    world.clean();
    holds("<!-- run: begin -->\n```text\n", "```\n<!-- run: end -->", &picture(&screen, &world.dir));
}

/// A screen without what differs from run to run: the run's id, the place, how long things took.
fn picture(screen: &str, place: &Path) -> String {
    let place = format!("{}/", place.canonicalize().expect("it is there").display());
    let mut out: Vec<String> = Vec::new();
    let mut lines = screen.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("Run ") {
            // How it was wrapped depends on the length of the place.
            let mut text = line.to_string();
            while let Some(more) = lines.next_if(|l| l.starts_with("  ")) {
                text.push_str(&format!(" {}", more.trim()));
            }
            let (_, rest) = text.split_once(". ").expect("`Run ID. Read: …`");
            let text = format!("Run 20260101-120000-activate-alpha-0000. {}", rest.replace(&place, ""));
            let mut now = String::new();
            for word in text.split(' ') {
                if !now.is_empty() && now.len() + 1 + word.len() > 80 {
                    out.push(std::mem::replace(&mut now, " ".into()));
                }
                now = if now.is_empty() { word.into() } else { format!("{now} {word}") };
            }
            out.push(now);
            continue;
        }
        out.push(aged(&timeless(line)));
    }
    out.join("\n") + "\n"
}

/// `  ✓ Take it          1.5s · alpha` without the time, `alpha` where it was.
fn timeless(line: &str) -> String {
    let Some((left, right)) = line.rsplit_once("  ") else { return line.into() };
    let time = |w: &&str| w.strip_suffix('s').is_some_and(|n| n.contains('.') && n.parse::<f32>().is_ok());
    let parts: Vec<&str> = right.split(" · ").filter(|w| !time(w)).collect();
    let (left, right) = (left.trim_end(), parts.join(" · "));
    let gap = line.chars().count() - left.chars().count() - right.chars().count();
    format!("{left}{}{right}", " ".repeat(gap))
}

/// `3s ago` and `3s ago at most` are `just now`.
fn aged(line: &str) -> String {
    let line = line.replace(" ago at most", " ago");
    let Some((left, right)) = line.split_once("s ago") else { return line };
    let text = left.trim_end_matches(|c: char| c.is_ascii_digit());
    if text.len() == left.len() { line } else { format!("{text}just now{right}") }
}

#[test]
fn with_yes_nobody_is_asked_and_everything_moves_to_the_other_node_and_back() {
    let world = World::new("moves");
    world.ends(0, &format!("{} --yes", first_command()));
    assert_eq!(world.running(), ["board", "store"]);
    world.ends(0, "cargo demo status");
    let text = world.ends(4, "cargo demo activate --on beta --yes");
    assert!(text.contains("alpha"), "it does not say who is active:\n{text}");
    world.ends(0, "cargo demo deactivate --on alpha --yes");
    world.clean();
    world.ends(4, "cargo demo status");
    world.ends(0, "cargo demo activate --on beta --yes");
    assert_eq!(fs::read_to_string(world.path("address")).expect("it is held"), "beta 192.0.2.7\n");
    world.ends(4, "cargo demo activate --on alpha --yes");
    world.ends(0, "cargo demo deactivate --on beta --yes");
    world.clean();
}

#[test]
fn without_a_terminal_and_without_answers_nothing_is_made() {
    let world = World::new("nobody");
    let text = world.ends(4, &first_command());
    for gate in ["activate/attach-the-disk", "activate/take-the-address", "activate/start-the-services"] {
        assert!(text.contains(gate), "{gate} is not listed:\n{text}");
    }
    world.ends(0, &format!("{} --dryrun", first_command()));
    world.ends(0, &format!("{} --dryrun --offline", first_command()));
    world.ends(4, "cargo demo status");
    assert!(!world.path("").exists(), "a look has made the world");
}

#[test]
fn the_answers_of_the_readme_run_the_demo() {
    let world = World::new("answers");
    let [answers] = &blocks("README.md", "toml answers")[..] else { panic!("one answers file in the README") };
    fs::write(world.dir.join("answers.toml"), answers).expect("written");
    world.ends(0, &format!("{} --answers answers.toml", first_command()));
    world.ends(0, "cargo demo deactivate --on alpha --yes");
    world.clean();
}

#[test]
fn killed_in_the_middle_it_is_gone_on_with_from_anywhere_and_then_taken_back() {
    let world = World::new("killed");
    let mut command = world.command(&format!("{} --yes", first_command()));
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("hawiz runs");
    world.until(|| world.running() == ["store"]);
    child.kill().expect("it still runs");
    child.wait().expect("it is a child of ours");
    let mut elsewhere = Command::new(env!("CARGO_BIN_EXE_hawiz"));
    world.around(&mut elsewhere);
    elsewhere.current_dir("/").args(["resume", "--yes", "--state-dir"]).arg(world.path("runs"));
    let out = elsewhere.stdin(Stdio::null()).output().expect("hawiz runs");
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(world.running(), ["board", "store"], "each once");
    world.ends(9, "cargo demo rollback --yes");
    world.clean();
}

#[test]
fn what_does_not_start_stops_the_run_and_is_taken_back() {
    let world = World::new("trouble");
    let text = world.ends(6, &format!("{} --yes --set trouble=board", first_command()));
    assert!(text.contains("cannot read its own name"), "{text}");
    world.ends(9, "cargo demo rollback --yes");
    world.clean();
    world.ends(8, &format!("{} --yes --set trouble=note", first_command()));
    world.ends(0, "cargo demo deactivate --on alpha --yes");
    world.clean();
}

#[test]
fn a_peer_that_does_not_answer_must_be_vouched_for() {
    let world = World::new("unplugged");
    fs::create_dir_all(world.path("beta")).expect("a folder");
    fs::write(world.path("beta/unplugged"), "").expect("written");
    world.ends(4, &format!("{} --yes", first_command()));
    assert_eq!(world.running(), [""; 0]);
    world.ends(0, &format!("{} --yes --attest beta", first_command()));
    world.ends(0, "cargo demo deactivate --on alpha --yes");
    world.clean();
}

#[test]
fn the_demo_fails_over_and_back() {
    let world = World::new("failover");
    world.ends(0, &format!("{} --yes", first_command()));
    world.ends(0, "cargo demo failover --yes");
    world.ends(4, "cargo demo activate --on alpha --yes");
    world.ends(0, "cargo demo failover --yes");
    world.ends(0, "cargo demo deactivate --on alpha --yes");
    world.clean();
}

#[test]
fn what_cannot_be_undone_wants_a_typed_word() {
    let world = World::new("wipe");
    fs::create_dir_all(world.path("disk")).expect("a folder");
    world.ends(4, "cargo demo run wipe --on alpha --yes");
    let wipe = world.command("cargo demo run wipe --on alpha");
    let (screen, code) = terminal::talk(&wipe, &["Type", "  to go on"], &["yes\r", "alpha\r"]);
    assert_eq!(code, Some(0), "{screen}");
    assert!(!world.path("disk").exists());
}

#[test]
fn every_demo_command_of_the_readme_is_one_hawiz_knows() {
    let world = World::new("words");
    for line in commands().iter().filter(|l| l.starts_with("cargo demo ")) {
        let line = line.split(" #").next().expect("the part before a remark");
        let (code, text) = world.run(&format!("{line} --help"));
        assert_eq!(code, 0, "{line}\n{text}");
    }
}

// ---------------------------------------------------------------- a first playbook

#[test]
fn the_first_playbook_is_shown_as_it_is_and_runs() {
    for file in ["examples/first/hawiz.toml", "examples/first/first.toml"] {
        let text = read(file);
        let (first, rest) = text.split_once('\n').expect("a line that names it");
        assert!(first.starts_with(&format!("# {file}: ")), "{first}");
        holds(&format!("```toml\n{first}\n"), "```", rest);
    }
    let world = World::new("first");
    let folder = world.dir.join("examples/first");
    let place = world.dir.join("place");
    let hawiz = |words: &[&str], code: i32| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hawiz"));
        world.around(&mut command);
        command.current_dir(&folder).args(words).arg("--state-dir").arg(world.dir.join("runs"));
        if !matches!(words[0], "rollback" | "validate") {
            command.arg("--set").arg(format!("dir={}", place.display()));
        }
        let out = command.stdin(Stdio::null()).output().expect("hawiz runs");
        assert_eq!(out.status.code(), Some(code), "{words:?}\n{}", String::from_utf8_lossy(&out.stderr));
    };
    hawiz(&["validate"], 0);
    hawiz(&["activate", "--dryrun"], 0);
    assert!(!place.exists() && !folder.join("state").exists(), "a dry run has made something");
    hawiz(&["activate", "--yes"], 0);
    assert_eq!(fs::read_to_string(place.join("active")).expect("it was made"), "me\n");
    hawiz(&["rollback", "--yes"], 9);
    assert!(!place.exists());
    hawiz(&["activate", "--yes"], 0);
    hawiz(&["deactivate", "--yes"], 4);
    fs::write(folder.join("answers.toml"), "[gates]\n\"deactivate/clear-the-place\" = \"me\"\n").expect("written");
    hawiz(&["deactivate", "--answers", "answers.toml"], 0);
    assert!(!place.exists());
}

// ---------------------------------------------------------------- tables and blocks

#[test]
fn the_exit_codes_are_those_of_the_program() {
    let row = |e: &hawiz::problem::Exit| format!("| {} | {} |\n", e.code(), e.meaning());
    let table: String = hawiz::problem::Exit::ALL.iter().map(row).collect();
    holds("| code | meaning |\n|---|---|\n", "\nWhen several apply", &table);
}

/// Documents whose TOML is held to be right.
fn documents() -> Vec<String> {
    let mut out = vec!["README.md".to_string()];
    for entry in fs::read_dir(project().join("docs")).expect("docs").flatten() {
        out.push(format!("docs/{}", entry.file_name().to_string_lossy()));
    }
    out.sort();
    out
}

/// Every block is a whole file that hawiz accepts, or says that it is a `part` of a playbook or of a site file.
#[test]
fn every_toml_block_is_accepted() {
    let world = World::new("blocks");
    let mut seen = 0;
    for document in documents() {
        for (mark, head) in [
            ("toml", ""),
            ("toml answers", ""),
            ("toml part of a playbook", "format = 1\ntitle = \"x\"\n"),
            ("toml part of a step", "format = 1\ntitle = \"x\"\n[[activate]]\nstage = \"s\"\n[[activate.step]]\n"),
            ("toml part of a site file", "playbook = \"xcat\"\npeers = \"none\"\ninputs.vip = \"192.0.2.7\"\n"),
            ("toml translation", ""),
        ] {
            for block in blocks(&document, mark) {
                seen += 1;
                // A site file stands beside its playbook.
                let folder =
                    if block.contains("playbook = \"first.toml\"") { "examples/first" } else { "examples/demo" };
                // A translation's ids are those of the playbook it stands beside.
                let name =
                    if mark == "toml translation" { "demo.de.toml".into() } else { format!("block-{seen}.toml") };
                let file = world.dir.join(folder).join(name);
                fs::write(&file, format!("{head}{block}")).expect("written");
                let mut command = Command::new(env!("CARGO_BIN_EXE_hawiz"));
                world.around(&mut command);
                let out = command.arg("validate").arg(&file).output().expect("hawiz runs");
                let said = String::from_utf8_lossy(&out.stderr);
                assert!(out.status.success(), "{document}, a block of `{mark}`:\n{block}\n{said}");
            }
        }
        let all = read(&document).lines().filter(|l| l.trim_start().starts_with("```toml")).count();
        let known: usize = MARKS.iter().map(|m| blocks(&document, m).len()).sum();
        assert_eq!(all, known, "{document}: a TOML block is marked in a way that is not looked at");
    }
    assert!(seen >= 3, "only {seen} blocks were found");
}

const MARKS: [&str; 6] = [
    "toml",
    "toml answers",
    "toml part of a playbook",
    "toml part of a step",
    "toml part of a site file",
    "toml translation",
];

#[test]
fn what_the_documents_name_is_there() {
    for document in documents() {
        let text = read(&document);
        let folder = Path::new(&document).parent().expect("a folder").to_path_buf();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !link.contains("://") && !link.starts_with('#') {
                let path = project().join(&folder).join(link.split('#').next().expect("a part"));
                assert!(path.exists(), "{document} links to {link}");
            }
        }
        for word in text.split('`').skip(1).step_by(2).filter(|w| !w.contains(char::is_whitespace)) {
            let ours =
                ["src/", "tests/", "docs/", "examples/", "playbooks/", "benches/"].iter().any(|d| word.starts_with(d));
            if ours && !word.contains("world") {
                assert!(project().join(word).exists(), "{document} names {word}");
            }
        }
    }
}

#[test]
fn the_test_command_is_what_is_run_before_a_change_goes_in() {
    let lines = commands();
    assert!(lines.contains(&"sh tests/run".to_string()), "{lines:?}");
    assert!(read(".ci/run").contains("sh tests/run"));
    let run = read("tests/run");
    for part in ["cargo fmt --check", "cargo clippy --all-targets -- -D warnings", "cargo test"] {
        assert!(run.contains(part), "tests/run does not `{part}`");
    }
}

#[test]
fn the_changelog_has_this_version() {
    let text = read("CHANGELOG.md");
    assert!(text.contains("## [Unreleased]"));
    assert!(
        text.contains(&format!("## [{}]", env!("CARGO_PKG_VERSION"))),
        "CHANGELOG.md knows nothing of this version"
    );
}
