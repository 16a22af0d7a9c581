//! `--format sh` in a stand-in world: the script runs as it is, and leaves exactly the commands that the engine's order
//! asks for: `when`, `done`, change, `done` again, `verify`; nothing twice, nothing after a failure.

#[path = "ui/fixture.rs"]
#[allow(dead_code, reason = "shared with the tests of the views")]
mod fixture;

use fixture::*;
use hawiz::plan::*;
use hawiz::shell::{Command as Sh, Part, Stdin, StdinPart, Value, Word};
use hawiz::ui::Style;
use hawiz::ui::script::{Format, render};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A directory with stand-ins on PATH that write down what they were called with.
struct World(PathBuf);

impl World {
    fn new(name: &str) -> World {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("script-{name}"));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(dir.join("bin")).expect("the target directory can be written");
        let world = World(dir);
        // `svc up X` makes X so, `svc is X` asks; `fails X` leaves a mark that makes the next `up` fail.
        world.tool("svc", r#"case $1 in is) [ -e "$W/is-$2" ] ;; up) if [ -e "$W/fails-$2" ]; then rm "$W/fails-$2"; exit 9; fi; : >"$W/is-$2" ;; esac"#);
        world.tool("say", r#"printf '%s\n' "$*""#);
        world.tool("eat", r#"cat >"$W/eaten""#);
        world.tool("sleep", ":");
        world
    }
    fn tool(&self, name: &str, body: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.join("bin").join(name);
        let text = format!("#!/bin/sh\nprintf '%s\\n' \"{name} $*\" >>\"$W/trace\"\n{body}\n");
        std::fs::write(&path, text).expect("the target directory can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    fn mark(&self, name: &str) {
        std::fs::write(self.0.join(name), "").expect("the target directory can be written");
    }
    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }
    fn run(&self, shell: &[&str], plan: &Plan, set: &[(&str, &str)]) -> Output {
        let script = render(plan, None, Format::Sh, &Style::still(80, false));
        let file = self.0.join("script");
        std::fs::write(&file, script).expect("the target directory can be written");
        let _ = std::fs::remove_file(self.0.join("trace"));
        let path = format!("{}:{}", self.0.join("bin").display(), std::env::var("PATH").unwrap_or_default());
        Command::new(shell[0])
            .args(&shell[1..])
            .arg(&file)
            .env("W", &self.0)
            .env("PATH", path)
            .envs(set.iter().copied())
            .output()
            .expect("the shell was found before")
    }
}

/// The shells of this machine; `sh` is always there.
fn shells() -> Vec<Vec<&'static str>> {
    let all: [&[&str]; 5] = [&["sh"], &["dash"], &["bash", "--posix"], &["busybox", "sh"], &["mksh"]];
    let there =
        |s: &&[&str]| Command::new(s[0]).args(&s[1..]).args(["-c", ":"]).output().is_ok_and(|o| o.status.success());
    all.into_iter().filter(there).map(<[&str]>::to_vec).collect()
}

fn up(unit: &str) -> Step {
    let what = change(&format!("svc is {unit}"), &format!("svc up {unit}"), undo(&format!("svc down {unit}")));
    step("n", "p/s/up", Some(("unit", unit)), &format!("Start {unit}"), what)
}

fn verify(step: &mut Step, text: &str) {
    if let What::Change(c) = &mut step.what {
        c.verify.push(look(text));
    }
}

#[test]
fn the_script_leaves_the_commands_of_a_run_in_their_order() {
    let mut domain = step("n", "p/s/domain", None, "Which domain?", check("n", look("say cluster.com other words")));
    domain.capture = vec![("domain".into(), "domain".into()), ("rest".into(), "rest".into())];
    let mut zones = up("named");
    zones.title = Word(vec![Part::Text("Publish ".into()), Part::Name("domain".into())]);
    let mut when = look("say when \"$domain\"");
    when.command.wants = vec![want("domain", "p/s/domain")];
    zones.when = Some(when);
    verify(&mut zones, "say verify");
    let mut never = up("never");
    never.when = Some(look("false"));
    let mut secret = step("n", "p/s/secret", None, "It's fed", change("false", "eat", undo("")));
    if let What::Change(c) = &mut secret.what {
        c.done = None;
        let parts = vec![
            StdinPart::Text("-user=100% \\n'x'\npassword=".into()),
            StdinPart::Secret("pw".into()),
            StdinPart::Text("\ndomain=".into()),
            StdinPart::Name("domain".into()),
        ];
        c.run = Sh { stdin: Some(Stdin(parts)), wants: vec![want("domain", "p/s/domain")], ..Sh::new("eat") };
    }
    let mut bound = step("n", "p/s/bound", None, "Bound", change("false", "x", undo("")));
    if let What::Change(c) = &mut bound.what {
        c.done = None;
        c.exits = vec![0, 3];
        c.run = Sh {
            binds: vec![("v".into(), Value::new(b"it's \xff\n$(x)".to_vec()))],
            functions: vec!["f".into()],
            ..Sh::new("f \"$v\"; exit 3")
        };
    }
    let mut plan = bare(vec![stage(
        "p/s",
        "All; of $it",
        Some("Me"),
        Gate::Ask,
        vec![up("pg"), up("pg"), domain, zones, never, secret, bound],
    )]);
    plan.functions = vec![("f".into(), "say \"$HOME_OF\" >/dev/null\nprintf %s \"$1\" >\"$W/bound\"".into())];
    plan.env = vec![("HOME_OF".into(), "x y".into())];
    plan.secrets = vec![Secret { name: "pw".into(), prompt: String::new(), argv: None }];

    for shell in shells() {
        let world = World::new("order");
        let out = world.run(&shell, &plan, &[("pw", "s3cret%s")]);
        let err = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{shell:?}: {err}");
        let want = [
            "svc is pg",
            "svc up pg",
            "svc is pg",
            "svc is pg",
            "say cluster.com other words",
            "say when cluster.com",
            "svc is named",
            "svc up named",
            "svc is named",
            "say verify",
            "eat ",
            "say x y",
        ];
        assert_eq!(world.read("trace").lines().collect::<Vec<_>>(), want, "{shell:?}");
        assert_eq!(world.read("eaten"), "-user=100% \\n'x'\npassword=s3cret%s\ndomain=cluster.com", "{shell:?}");
        assert_eq!(std::fs::read(world.0.join("bound")).expect("it was written"), b"it's \xff\n$(x)", "{shell:?}");
        assert!(err.contains("learnt: rest=other words\n") && err.ends_with("Done.\n"), "{shell:?}: {err}");

        let refused = world.run(&shell, &plan, &[]);
        assert!(
            !refused.status.success() && world.read("trace").is_empty(),
            "{shell:?}: without its secret nothing runs"
        );
    }
}

#[test]
fn the_script_stops_at_the_first_required_failure() {
    for shell in shells() {
        let no = step("n", "p/s/no", None, "Is it ready?", check("n", look("svc is ready")));
        let plan = bare(vec![stage("p/s", "S", None, Gate::Open, vec![no, up("pg")])]);
        let world = World::new("stop");
        let out = world.run(&shell, &plan, &[]);
        assert_eq!((out.status.code(), world.read("trace").as_str()), (Some(4), "svc is ready\n"), "{shell:?}");

        // -e holds inside a step: what comes after a failing command is not run.
        let inner = step("n", "p/s/e", None, "Inner", change("svc is x", "say one; false; say two", undo("")));
        let plan = bare(vec![stage("p/s", "S", None, Gate::Open, vec![up("pg"), inner, up("named")])]);
        let world = World::new("stop");
        let out = world.run(&shell, &plan, &[]);
        let want = "svc is pg\nsvc up pg\nsvc is pg\nsvc is x\nsay one\n";
        assert_eq!((out.status.code(), world.read("trace").as_str()), (Some(6), want), "{shell:?}");
    }
}

#[test]
fn the_script_goes_on_after_an_optional_failure_and_tries_again_where_it_may() {
    for shell in shells() {
        let mut no = step("n", "p/s/no", None, "Optional", check("n", look("svc is ready")));
        no.on_failure = OnFailure::Continue;
        no.capture = vec![("seen".into(), "seen".into())];
        let mut wants = step("n", "p/s/wants", None, "Needs it", check("n", look("say \"$seen\"")));
        if let What::Check(c) = &mut wants.what {
            c.looks[0].1.command.wants = vec![want("seen", "p/s/no")];
        }
        let mut pg = up("pg");
        pg.tries = 2;
        let plan = bare(vec![stage("p/s", "S", None, Gate::Open, vec![no, wants, pg])]);
        let world = World::new("optional");
        world.mark("fails-pg");
        let out = world.run(&shell, &plan, &[]);
        let want = "svc is ready\nsvc is pg\nsvc up pg\nsleep 3\nsvc is pg\nsvc up pg\nsvc is pg\n";
        assert_eq!((out.status.code(), world.read("trace").as_str()), (Some(8), want), "{shell:?}");
    }
}

#[test]
fn looks_are_read_as_the_engine_reads_them() {
    let reads = |reading, not, code: i32| {
        let look = Look { reading, not, ..look(&format!("exit {code}")) };
        let want = match look.read(Some(code)) {
            Answer::Yes => Some(0),
            _ => Some(4),
        };
        let plan =
            bare(vec![stage("p/s", "S", None, Gate::Open, vec![step("n", "p/s/c", None, "C", check("n", look))])]);
        (plan, want)
    };
    let world = World::new("reads");
    for reading in [Reading::Script, Reading::Catalog] {
        for not in [false, true] {
            for code in [0, 1, 2, 3, 4, 125, 126, 127, 130] {
                let (plan, want) = reads(reading, not, code);
                assert_eq!(world.run(&["sh"], &plan, &[]).status.code(), want, "{reading:?} not={not} {code}");
            }
        }
    }
}

#[test]
fn a_part_runs_only_where_it_is_asked_for() {
    let mut first = step("a", "p/s/who", None, "Who?", check("a", look("say node-a")));
    first.capture = vec![("who".into(), "who".into())];
    let mut then = up("pg");
    then.place = Place::Node("b".into());
    if let What::Change(c) = &mut then.what {
        c.run = Sh { wants: vec![want("who", "p/s/who")], ..Sh::new("svc up pg; say \"$who\"") };
    }
    let plan = bare(vec![stage("p/s", "S", None, Gate::Open, vec![first, then])]);
    let world = World::new("parts");
    assert!(world.run(&["sh"], &plan, &[]).status.success());
    assert_eq!(world.read("trace"), "", "without hawiz_part nothing runs");
    assert!(world.run(&["sh"], &plan, &[("hawiz_part", "1")]).status.success());
    assert_eq!(world.read("trace"), "say node-a\n");
    assert!(!world.run(&["sh"], &plan, &[("hawiz_part", "2")]).status.success(), "it needs what part 1 learnt");
    assert_eq!(world.read("trace"), "");
    assert!(world.run(&["sh"], &plan, &[("hawiz_part", "2"), ("who", "node-a")]).status.success());
    assert_eq!(world.read("trace"), "svc is pg\nsvc up pg\nsay node-a\nsvc is pg\n");
}

#[test]
fn a_stage_whose_condition_is_false_is_left_out() {
    let mut plan = bare(vec![
        stage("p/s", "S", None, Gate::Open, vec![up("pg")]),
        stage("p/t", "T", None, Gate::Open, vec![up("named")]),
    ]);
    plan.stages[0].when = Some(look("svc is wanted"));
    plan.stages[0].when_on = Some(Place::Node("n".into()));
    let world = World::new("when");
    let out = world.run(&["sh"], &plan, &[]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(world.read("trace"), "svc is wanted\nsvc is named\nsvc up named\nsvc is named\n");
}

#[test]
fn a_stage_that_is_so_already_is_left_out() {
    let mut plan = bare(vec![
        stage("p/s", "S", None, Gate::Open, vec![up("pg")]),
        stage("p/t", "T", None, Gate::Open, vec![up("named")]),
    ]);
    for stage in &mut plan.stages {
        stage.done = Some(look("svc is pg"));
        stage.when_on = Some(Place::Node("n".into()));
    }
    let world = World::new("done");
    let out = world.run(&["sh"], &plan, &[]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    // Not so before the first stage, so before the second.
    assert_eq!(world.read("trace"), "svc is pg\nsvc is pg\nsvc up pg\nsvc is pg\nsvc is pg\n");
}

/// Two nodes tell their keys, one of them is found to lead, and a third step wants what both told and what the site says.
fn told_and_found() -> Plan {
    let both = |what: &mut What, text: &str| {
        let What::Check(check) = what else { unreachable!("made by `check`") };
        check.looks = ["xcatmn1", "xcatmn2"].map(|n| (Place::Node(n.into()), look(text))).to_vec();
    };
    let mut told = step("xcatmn1", "p/s/key", None, "Its key", check("xcatmn1", look("")));
    both(&mut told.what, "say rsa key-of-$(hostname)");
    told.capture = vec![("kind".into(), "kind@xcatmn1".into()), ("key".into(), "key@xcatmn1".into())];
    let mut found = step("xcatmn1", "p/s/leads", None, "Who leads?", check("xcatmn1", look("")));
    both(&mut found.what, "svc is leader");
    if let What::Check(c) = &mut found.what {
        (c.true_on, c.role) = (TrueOn::One, Some("leader".into()));
    }
    let mut used = step("here", "p/s/use", None, "Use it", change("false", "", Undo::None("".into())));
    used.place = Place::Here;
    let want = |var: &str, key: &str| hawiz::shell::Want { var: var.into(), key: key.into(), from: "p/s/leads".into() };
    if let What::Change(c) = &mut used.what {
        c.done = None;
        c.run = Sh {
            wants: vec![
                want("other_key", "key@xcatmn1"),
                want("leader_key", "leader.key"),
                want("leader_disk", "leader.disk"),
                want("leader_home", "leader.home"),
                want("all_key", "all.key"),
            ],
            ..Sh::new("say \"$other_key; $leader_key; $leader_disk; $leader_home; $all_key\"")
        };
    }
    let mut plan = bare(vec![stage("p/s", "S", None, Gate::Open, vec![told, found, used])]);
    for (node, disk) in plan.nodes.iter_mut().zip(["sd a", "sdb"]) {
        node.vars = vec![("disk".into(), Value::from(disk)), ("home".into(), Value::from("/var/lib/one"))];
    }
    plan
}

#[test]
fn what_the_site_knows_of_a_found_node_is_not_asked_of_whoever_runs_the_script() {
    let plan = told_and_found();
    let known = [("leader", "xcatmn2"), ("key_xcatmn1", "one"), ("key_xcatmn2", "two"), ("hawiz_part", "5")];
    let said = "say one; two; sdb; /var/lib/one; xcatmn1 one\nxcatmn2 two\n";
    for shell in shells() {
        let world = World::new("known");
        let out = world.run(&shell, &plan, &known);
        assert!(out.status.success(), "{shell:?}: {}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(world.read("trace"), said, "{shell:?}");
    }
    let world = World::new("known");
    let out = world.run(&["sh"], &plan, &[&known[..1], &known[2..]].concat());
    assert!(!out.status.success());
    assert!(String::from_utf8_lossy(&out.stderr).contains("key_xcatmn1"), "what is missing is named");
    assert_eq!(world.read("trace"), "");
}

#[test]
fn a_checklist_gives_what_was_written_down_to_the_commands_that_want_it() {
    let md = String::from_utf8(render(&told_and_found(), None, Format::Md, &Style::still(80, false))).expect("text");
    assert!(md.contains("  `$key_xcatmn2` = ____________________ (from its first line on xcatmn2)\n"), "{md}");
    let (_, block) = md.rsplit_once("```sh\n").expect("the last command");
    let (block, _) = block.split_once("\n  ```").expect("it ends");
    let world = World::new("paper");
    let written = "leader=xcatmn1 key_xcatmn1=one key_xcatmn2=two";
    let path = format!("{}:{}", world.0.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let mut sh = Command::new("sh");
    sh.args(["-euc", &format!("{written}\n{block}")]).env("W", &world.0).env("PATH", path);
    let out = sh.output().expect("there is sh");
    assert!(out.status.success(), "{block}\n{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(world.read("trace"), "say one; one; sd a; /var/lib/one; xcatmn1 one\nxcatmn2 two\n");
}

#[test]
fn a_block_of_a_checklist_ends_as_its_look_is_read() {
    for (reading, code, wanted) in [
        (Reading::Script, 0, 0),
        (Reading::Script, 3, 3),
        (Reading::Catalog, 0, 0),
        (Reading::Catalog, 1, 1),
        (Reading::Catalog, 3, 0),
        (Reading::Catalog, 4, 4),
        (Reading::Catalog, 126, 126),
    ] {
        // What fails in the middle counts, and the shell that the block is typed into lives on.
        let look = Look { reading, ..look(&format!("f() {{ return {code}; }}\nf\ntrue")) };
        let step = step("n", "p/s/c", None, "C", check("n", look));
        let plan = bare(vec![stage("p/s", "S", None, Gate::Open, vec![step])]);
        let md = String::from_utf8(render(&plan, None, Format::Md, &Style::still(80, false))).expect("text");
        let (_, block) = md.rsplit_once("```sh\n").expect("the only command");
        let (block, _) = block.split_once("\n  ```").expect("it ends");
        for shell in shells() {
            let out = Command::new(shell[0]).args(&shell[1..]).args(["-c", &format!("{block}\necho $?")]).output();
            let out = out.expect("it was found before");
            assert_eq!(String::from_utf8_lossy(&out.stdout), format!("{wanted}\n"), "{shell:?} {reading:?} {code}");
        }
    }
}

#[test]
fn the_script_prints_the_commands_byte_for_byte() {
    let plan = plan();
    let script = render(&plan, None, Format::Sh, &Style::still(20, true));
    let has = |needle: &[u8]| script.windows(needle.len()).any(|w| w == needle);
    for step in plan.steps() {
        match &step.what {
            What::Change(c) => assert!(has(&c.run.source()), "{}", step.id),
            What::Check(c) => c.looks.iter().for_each(|(_, l)| assert!(has(&l.command.source()), "{}", step.id)),
            What::Manual(m) => assert!(has(m.text.shown().as_bytes())),
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui/plan.sh");
    if std::env::var_os("HAWIZ_GOLDEN").is_some_and(|v| v == "write") {
        std::fs::write(&path, &script).expect("tests/ui can be written");
    }
    assert_eq!(String::from_utf8_lossy(&script), std::fs::read_to_string(&path).unwrap_or_default());
}
