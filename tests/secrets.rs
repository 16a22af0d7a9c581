//! Secrets, end to end: from each source into a step's standard input, and nowhere else.
//!
//! Why it exists: one password in a journal, a log or `ps` is one too many. The real binary runs a step that prints the
//! secret in every form it knows; afterwards no file of hawiz's or of the node's, and no output, holds it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const SECRET: &str = "s3cr3t-Pass+w0rd'x";

struct World {
    dir: PathBuf,
}

impl World {
    fn new(name: &str, site_secrets: &str) -> World {
        let dir = std::env::temp_dir().join(format!("hawiz-secrets-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a world can be made");
        let site = format!(
            "playbook = \"pb.toml\"\n{site_secrets}[nodes.a]\nvia = [\"env\", \"NODE=a\", \"sh\"]\nstate = \"node\"\n"
        );
        std::fs::write(dir.join("hawiz.toml"), site).expect("the site file is written");
        let playbook = r#"
format = 1
title = "A secret goes in"
[inputs]
pw = { kind = "secret", prompt = "The password" }
dir = { kind = "path" }
[[activate]]
stage = "One"
  [[activate.step]]
  name = "Take it"
  stdin = "user\n{pw}\n"
  done.sh = 'test -e "$dir/taken"'
  run.sh = '''
    read -r user
    read -r p
    printf 'plain %s\n' "$p"
    printf '%s' "$p" | od -An -tx1 >/dev/null
    printf '%s' "$p" | base64 2>/dev/null || :
    printf 'json "%s"\n' "$p" >&2
    printf '%s' "$p" | wc -c >"$dir/taken"
    ps -eo args >"$dir/ps" 2>/dev/null || :
    tr '\\0' '\\n' </proc/self/environ >"$dir/environ" || :
  '''
  undo.sh = 'rm "$dir/taken"'
"#;
        std::fs::write(dir.join("pb.toml"), playbook).expect("the playbook is written");
        World { dir }
    }
    fn hawiz(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_hawiz"))
            .args(args)
            .current_dir(&self.dir)
            .env("HAWIZ_STATE_DIR", self.dir.join("runs"))
            .env("HAWIZ_TMPFS_STATE", "1")
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("hawiz starts")
    }
    fn activate(&self, env: &[(&str, &str)]) -> Output {
        let dir = format!("dir={}", self.dir.display());
        self.hawiz(&["activate", "--on", "a", "--yes", "--set", &dir, "-v"], env)
    }
}
impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { out.extend(files(&path)) } else { out.push(path) }
    }
    out
}

fn holds(bytes: &[u8], what: &str) -> bool {
    bytes.windows(what.len()).any(|w| w == what.as_bytes())
}

/// Base64 of the secret, as the step prints it.
const BASE64: &str = "czNjcjN0LVBhc3MrdzByZCd4";

/// What is written where `ps` shows it, to be refused: another, as the tests beside this one list every process.
const SHOWN: &str = "sh0wn-Pass+w0rd'y";

#[track_caller]
fn nowhere(world: &World, out: &Output) {
    is_nowhere(world, out, &[SECRET, BASE64]);
}

#[track_caller]
fn is_nowhere(world: &World, out: &Output, forms: &[&str]) {
    for (name, bytes) in [("stdout", &out.stdout), ("stderr", &out.stderr)] {
        for form in forms {
            assert!(!holds(bytes, form), "{name} shows it:\n{}", String::from_utf8_lossy(bytes));
        }
    }
    for path in files(&world.dir) {
        // What this test wrote itself.
        if path.ends_with("hawiz.toml") || path.ends_with("told") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        for form in forms {
            assert!(!holds(&bytes, form), "{} holds it", path.display());
        }
    }
}

#[test]
fn a_secret_of_the_environment_reaches_the_step_and_nothing_else() {
    let world = World::new("env", "");
    let out = world.activate(&[("HAWIZ_SECRET_PW", SECRET)]);
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(String::from_utf8_lossy(&out.stdout).contains("plain ***"), "the output is masked, not dropped");
    let taken = std::fs::read_to_string(world.dir.join("taken")).expect("the step took it");
    assert_eq!(taken.trim(), SECRET.len().to_string());
    nowhere(&world, &out);
}

#[test]
fn a_secret_of_the_sites_command_reaches_the_step_and_nothing_else() {
    let world = World::new("command", "[secrets]\npw = [\"cat\", \"told\"]\n");
    std::fs::write(world.dir.join("told"), format!("{SECRET}\nnot this line\n")).expect("it is told");
    let out = world.activate(&[]);
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    nowhere(&world, &out);
}

#[test]
fn without_a_source_and_without_a_person_nothing_runs() {
    let world = World::new("none", "");
    let out = world.activate(&[]);
    assert_eq!(out.status.code(), Some(4));
    assert!(
        String::from_utf8_lossy(&out.stderr).contains("`$HAWIZ_SECRET_PW`"),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(!world.dir.join("taken").exists());
}

#[test]
fn a_secret_on_the_command_line_or_in_a_file_is_refused() {
    let world = World::new("refused", "");
    let set = format!("pw={SHOWN}");
    let dir = format!("dir={}", world.dir.display());
    let out = world.hawiz(&["activate", "--on", "a", "--yes", "--set", &dir, "--set", &set], &[]);
    assert_eq!(out.status.code(), Some(2));
    is_nowhere(&world, &out, &[SHOWN]);
    let short = world.activate(&[("HAWIZ_SECRET_PW", "abc")]);
    assert_eq!(short.status.code(), Some(2), "a secret under four characters would mask everything");
    let world = World::new("site", "[inputs]\npw = \"in-a-file\"\n");
    assert_eq!(world.activate(&[]).status.code(), Some(2));
}

#[test]
fn a_dry_run_asks_for_no_secret() {
    let world = World::new("dry", "");
    let dir = format!("dir={}", world.dir.display());
    let out = world
        .hawiz(&["activate", "--on", "a", "--dryrun", "--set", &dir, "--format", "sh"], &[("HAWIZ_SECRET_PW", SECRET)]);
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(String::from_utf8_lossy(&out.stdout).contains("${pw:?secret}"), "{}", String::from_utf8_lossy(&out.stdout));
    assert!(!world.dir.join("runs").exists() && !world.dir.join("node").exists());
    nowhere(&world, &out);
}
