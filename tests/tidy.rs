//! The house rules that no compiler keeps: which room may know which, which crate has which door.
//!
//! Why it exists: a rule that is only written down is broken within a month. Each is a search over the tree, so a
//! violation names its file and line.

use std::path::{Path, PathBuf};

fn files(dir: &str, ext: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut todo = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(dir)];
    while let Some(dir) = todo.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == ext) {
                out.push(path);
            }
        }
    }
    out.sort();
    out
}

/// Path below the project, with `/`.
fn short(path: &Path) -> String {
    path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("a file of the project").to_string_lossy().into_owned()
}

/// Lines of code, tests at a file's foot left out, comments too.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(path).expect("a source file can be read");
    let body = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default().to_string();
    body.lines()
        .enumerate()
        .map(|(i, l)| (i + 1, l.to_string()))
        .filter(|(_, l)| !l.trim_start().starts_with("//"))
        .collect()
}

/// Every line of `rooms` that has one of `words`, but in files of `except`.
fn offenders(rooms: &[&str], words: &[&str], except: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    for path in files("src", "rs") {
        let name = short(&path);
        if !rooms.iter().any(|r| name.starts_with(r)) || except.iter().any(|e| name.starts_with(e)) {
            continue;
        }
        for (n, line) in code(&path) {
            if words.iter().any(|w| line.contains(w)) {
                out.push(format!("{name}:{n}: {}", line.trim()));
            }
        }
    }
    out
}

#[track_caller]
fn none(found: Vec<String>, rule: &str) {
    assert!(found.is_empty(), "{rule}\n{}", found.join("\n"));
}

const CORE: [&str; 9] = [
    "src/engine",
    "src/history.rs",
    "src/plan.rs",
    "src/event.rs",
    "src/catalog",
    "src/shell.rs",
    "src/survey.rs",
    "src/reach.rs",
    "src/resolve/scope.rs",
];

#[test]
fn the_core_touches_no_file_no_process_no_environment_and_no_screen() {
    let words = [
        "std::fs",
        "std::process",
        "std::env",
        "TcpStream",
        "UdpSocket",
        "println!",
        "eprintln!",
        "print!(",
        "std::io",
    ];
    none(offenders(&CORE, &words, &[]), "engine, history, plan, event, catalog and shell only think");
}

#[test]
fn the_core_knows_no_terminal_no_transport_and_no_file_format() {
    let words = [
        "dialoguer",
        "indicatif",
        "ssh2",
        "duct::",
        "clap",
        "toml::",
        "crate::ui",
        "crate::session",
        "crate::transport",
        "crate::journal",
        "crate::app",
    ];
    none(offenders(&CORE, &words, &[]), "the core imports none of these");
}

#[test]
fn one_crate_has_one_door() {
    let doors: [(&str, &[&str]); 5] = [
        ("clap", &["src/cli.rs", "src/app/mod.rs"]),
        ("dialoguer", &["src/prompt/"]),
        ("indicatif", &["src/ui/term.rs"]),
        ("duct", &["src/transport/", "src/secret.rs"]),
        ("toml", &["src/playbook", "src/site"]),
    ];
    for (name, doors) in doors {
        let name = name.trim_end_matches(':');
        let words = [
            format!("use {name}::"),
            format!("use {name};"),
            format!(" {name}::"),
            format!("({name}::"),
            format!("<{name}::"),
        ];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        none(offenders(&["src"], &words, doors), &format!("`{name}` has its door in {}", doors.join(", ")));
    }
}

#[test]
fn the_views_know_neither_engine_nor_transport() {
    none(
        offenders(&["src/ui"], &["crate::engine", "crate::transport", "crate::session", "crate::reach::Reach"], &[]),
        "ui draws from events and plans",
    );
}

#[test]
fn there_is_no_dry_run_flag_below_the_composition_root() {
    let found = offenders(
        &["src"],
        &["dry_run:", "dryrun:", "dry_run ==", "if dry", "interactive:"],
        &["src/app", "src/cli.rs"],
    );
    none(found, "a dry run prints the plan; the engine has no flag for it");
}

#[test]
fn nothing_is_left_loose() {
    // A macro cannot know which of its expansions need the attribute.
    let words = [".unwrap()", "todo!(", "unimplemented!(", "dbg!(", "#[allow("];
    none(
        offenders(&["src"], &words, &["src/playbook/table.rs"]),
        "unwrap with a reason (`expect`), no loose ends, `#[expect]` instead of `#[allow]`",
    );
}

#[test]
fn there_is_no_drawer() {
    let names = ["utils", "util", "common", "helpers", "helper", "misc"];
    let found = files("src", "rs")
        .iter()
        .filter(|p| p.file_stem().is_some_and(|s| names.iter().any(|n| s == *n)))
        .map(|p| short(p))
        .collect();
    none(found, "a file is named for what it holds");
}

#[test]
fn every_room_says_why_it_exists() {
    let mut found = Vec::new();
    for path in files("src", "rs") {
        let text = std::fs::read_to_string(&path).expect("a source file can be read");
        if !text.starts_with("//! ") {
            found.push(short(&path));
        }
    }
    none(found, "module docs open each file");
}

#[test]
fn every_shipped_toml_parses() {
    use hawiz::playbook::{Playbook, Translation};
    use hawiz::problem::Problems;
    for path in files("playbooks", "toml") {
        let text = std::fs::read_to_string(&path).expect("a playbook can be read");
        let mut problems = Problems::default();
        // `NAME.LANG.toml` is a translation.
        match path.file_stem().is_some_and(|stem| stem.to_string_lossy().contains('.')) {
            true => drop(Translation::parse(&short(&path), &text, &mut problems)),
            false => drop(Playbook::parse(&short(&path), &text, &mut problems)),
        }
        assert!(problems.is_empty(), "{problems}");
    }
}

#[test]
fn the_changelog_knows_this_version() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("CHANGELOG.md"))
        .expect("there is a changelog");
    let version = env!("CARGO_PKG_VERSION");
    assert!(text.contains(&format!("## [{version}]")), "CHANGELOG.md has no entry for {version}");
}

#[test]
fn no_path_of_a_developers_machine_is_in_the_tree() {
    let mut found = Vec::new();
    // Put together here, so that this file does not find itself.
    let words = [["/wo", "rk/"].concat(), ["/fa", "rm/"].concat(), ["/tmp/", "hz/"].concat()];
    for (dir, ext) in [
        ("src", "rs"),
        ("tests", "rs"),
        ("tests", "toml"),
        ("tests", "sh"),
        ("playbooks", "toml"),
        ("examples", "toml"),
        ("docs", "md"),
        ("benches", "rs"),
    ] {
        for path in files(dir, ext) {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            for (n, line) in text.lines().enumerate() {
                if words.iter().any(|w| line.contains(w.as_str())) {
                    found.push(format!("{}:{}: {}", short(&path), n + 1, line.trim()));
                }
            }
        }
    }
    none(found, "paths are relative to the project");
}
