//! Plans as they are printed, and every mistake that only planning can see: whole texts, to the letter.
//!
//! `tests/plans/NAME.toml` is planned for `alpha` of `tests/plans/site.toml`; `NAME.out` is what the real binary says.
//! `HAWIZ_BLESS=1` writes them anew.

use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn every_plan_and_every_mistake_prints_as_recorded() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let mut names: Vec<String> = std::fs::read_dir(&dir)
        .expect("tests/plans is there")
        .flatten()
        .filter_map(|e| e.file_name().to_string_lossy().strip_suffix(".toml").map(String::from))
        .filter(|n| n != "site")
        .collect();
    names.sort();
    assert!(names.len() >= 7, "cases are missing: {names:?}");
    let mut wrong = Vec::new();
    for name in names {
        let out = Command::new(env!("CARGO_BIN_EXE_hawiz"))
            .args([
                "plan",
                "activate",
                "--on",
                "alpha",
                "--site",
                "site.toml",
                "--playbook",
                &format!("{name}.toml"),
                "--color",
                "never",
            ])
            .current_dir(&dir)
            .env("LC_ALL", "C.UTF-8")
            .env("HAWIZ_STATE_DIR", dir.join("nowhere"))
            .stdin(Stdio::null())
            .output()
            .expect("hawiz starts");
        let said = format!(
            "exit {}\n{}{}",
            out.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        let path = dir.join(format!("{name}.out"));
        if std::env::var_os("HAWIZ_BLESS").is_some() {
            std::fs::write(&path, &said).expect("the expectation can be written");
            continue;
        }
        let wanted = std::fs::read_to_string(&path).unwrap_or_default();
        if wanted != said {
            wrong.push(format!("--- {name}: wanted\n{wanted}\n--- {name}: said\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!dir.join("nowhere").exists(), "a plan created a state directory");
}

#[test]
fn a_plan_defines_what_only_the_look_after_its_roll_back_calls() {
    // Without peers there is no proof before it; the functions are needed all the same.
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plans-alone");
    std::fs::create_dir_all(&dir).expect("a folder of our own");
    let site = "playbook = \"./pb.toml\"\npeers = \"none\"\n[nodes.a]\nvia = [\"sh\"]\n";
    std::fs::write(dir.join("hawiz.toml"), site).expect("the site file is written");
    let playbook = "format = 1\ntitle = \"Alone\"\n[[inactive]]\nstage = \"Is it inactive?\"\n[[inactive.step]]\n\
        name = \"x is stopped\"\ncheck.service-inactive = { unit = \"x\" }\n[[activate]]\nstage = \"Go\"\n\
        [[activate.step]]\nname = \"Go\"\nrun.sh = \"true\"\nundo.none = \"nothing\"\n";
    std::fs::write(dir.join("pb.toml"), playbook).expect("the playbook is written");
    let out = Command::new(env!("CARGO_BIN_EXE_hawiz"))
        .args(["plan", "activate", "--on", "a", "--format", "json"])
        .current_dir(&dir)
        .stdin(Stdio::null())
        .output()
        .expect("hawiz starts");
    let whole: serde_json::Value = serde_json::from_slice(&out.stdout).expect("a plan in JSON");
    let names: Vec<&str> =
        whole["plan"]["functions"].as_array().expect("a list").iter().filter_map(|f| f[0].as_str()).collect();
    assert!(names.contains(&"service_is"), "{names:?}");
}
