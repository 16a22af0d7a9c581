//! What the nodes write down of their system: who is active since when, and what is owed until somebody settles it.
//!
//! Why it exists: the register is read by somebody else, from another station, days later. So the real binary writes it, other
//! commands read it, and the files on the nodes are what is compared.

mod support;

use support::{World, failover};

/// Two nodes; `b` cannot be reached while there is a file `off`.
fn world() -> World {
    let world = World::new(&format!("{}\n{DEACTIVATE}", failover()));
    let dir = world.dir.display();
    let a = format!("[nodes.a]\nvia = [\"env\", \"NODE=a\", \"sh\"]\nstate = \"{dir}/state/a\"\n");
    let gone = format!("test ! -e {dir}/off || exit 255; exec env NODE=b sh");
    let b = format!("[nodes.b]\nvia = [\"sh\", \"-c\", \"{gone}\"]\nstate = \"{dir}/state/b\"\n");
    world.put("hawiz.toml", &format!("playbook = \"playbook.toml\"\n[inputs]\nw = \"{dir}/w\"\n{a}{b}"));
    world
}

const DEACTIVATE: &str = r#"
[[deactivate]]
stage = "Stop"
[[deactivate.step]]
name = "Inactive"
run.sh = 'echo inactive >>"$w/$node/trace"; rm -f "$w/$node/active"'
done.sh = 'test ! -e "$w/$node/active"'
undo.none = "it is started by activating"
[[fragile]]
stage = "Go"
[[fragile.step]]
name = "Breaks"
on-failure = "continue"
run.sh = 'exit 3'
undo.none = "nothing came of it"
[[fragile.step]]
name = "Holds"
exclusive = true
run.sh = ': >"$w/$node/active"'
done.sh = 'test -e "$w/$node/active"'
undo.sh = 'rm -f "$w/$node/active"'
"#;

/// A node's register without what differs from run to run.
fn register(world: &World, node: &str) -> Vec<String> {
    let text = std::fs::read_to_string(world.dir.join("state").join(node).join("system.playbook")).unwrap_or_default();
    let runs = world.runs();
    let mut out = Vec::new();
    for line in text.lines().filter(|l| !l.starts_with("since ") && !l.starts_with("by ")) {
        let mut line = line.replace('\t', " | ");
        for (n, run) in runs.iter().enumerate() {
            line = line.replace(run, &format!("RUN{n}"));
        }
        out.push(line);
    }
    out
}

/// What a command prints, its last line.
fn last(out: &str) -> &str {
    out.lines().last().unwrap_or_default()
}

#[test]
fn every_node_knows_who_was_made_active_and_by_which_run() {
    let world = world();
    world.hawiz(&["activate", "--on", "a", "--yes"]).is(0);
    for node in ["a", "b"] {
        assert_eq!(register(&world, node), ["epoch 1", "active a", "run RUN0"], "{node}");
    }
    let status = world.hawiz(&["status"]).is(0);
    assert!(status.out.contains(&format!("by {}", who(&world))), "{}", status.out);
    assert_eq!(last(&status.out), "a is active");
    world.hawiz(&["deactivate", "--on", "a", "--yes"]).is(0);
    for node in ["a", "b"] {
        assert_eq!(register(&world, node), ["epoch 2", "active ", "run RUN1"], "{node}");
    }
    assert_eq!(last(&world.hawiz(&["status"]).is(4).out), "nobody is active");
}

/// Who wrote the register, as it says.
fn who(world: &World) -> String {
    let text = std::fs::read_to_string(world.dir.join("state/a/system.playbook")).expect("it was written");
    text.lines().find_map(|l| l.strip_prefix("by ")).expect("it says who").to_string()
}

#[test]
fn it_is_written_before_the_node_is_given_what_only_one_may_have() {
    let world = world();
    // Nothing can be made in the state directory once the lock is taken: the register is a folder.
    std::fs::create_dir_all(world.dir.join("state/a/system.playbook.new")).expect("our own folder");
    world.hawiz(&["activate", "--on", "a", "--yes"]).is(6).says("it cannot be written on a that it becomes active");
    assert!(!world.dir.join("w/a/active").exists());
    assert_eq!(register(&world, "a"), [""; 0]);
    // It goes on where it stopped when that was mended.
    std::fs::remove_dir(world.dir.join("state/a/system.playbook.new")).expect("our own folder");
    world.hawiz(&["resume", "--yes"]).is(0);
    assert_eq!(register(&world, "b"), ["epoch 1", "active a", "run RUN0"]);
    assert_eq!(world.trace("a"), ["count", "blind", "active"]);
}

#[test]
fn a_node_that_was_vouched_for_owes_its_deactivation_until_it_is_back_and_settled() {
    let world = world();
    world.hawiz(&["activate", "--on", "b", "--yes"]).is(0);
    world.hawiz(&["deactivate", "--on", "b", "--yes"]).is(0);
    world.put("off", "");
    // Only what is on every node is prepared here; `b` cannot take part.
    world.hawiz(&["run", "fragile", "--on", "a", "--yes", "--attest", "b"]).is(8);
    let owed = [
        "epoch 4",
        "active a",
        "run RUN2",
        "debt b |  | RUN2 | it could not be reached, and a person vouched for it",
        "debt a | fragile/go/breaks@a | RUN2 | it failed: exit 3",
    ];
    assert_eq!(register(&world, "a"), owed);
    assert_eq!(register(&world, "b"), ["epoch 2", "active ", "run RUN1"]);
    // The other node is still away: it stays owed, whoever asks.
    assert_eq!(world.hawiz(&["status"]).code, Some(7));
    world.hawiz(&["settle"]).is(4).says("a step is owed, and there is no terminal to say what became of it");
    world.hawiz(&["settle", "b", "--yes"]).is(4).says("b cannot be reached: its deactivation stays owed");
    assert_eq!(register(&world, "a"), owed);
    // It is back, with what it had when it went.
    std::fs::remove_file(world.dir.join("off")).expect("our own file");
    let status = world.hawiz(&["status"]).is(4);
    assert_eq!(last(&status.out), "a is active; several things are owed: `hawiz settle`");
    world.hawiz(&["run", "fragile", "--on", "a", "--yes"]).says("owed since earlier runs: b was not deactivated");
    world.hawiz(&["settle", "--yes", "--reason", "it was done by hand"]).is(0).says("it was done by hand");
    for node in ["a", "b"] {
        assert_eq!(register(&world, node)[1], "active a", "{node}");
        assert!(!register(&world, node).iter().any(|l| l.starts_with("debt ")), "{node}");
    }
    assert_eq!(last(&world.hawiz(&["status"]).is(0).out), "a is active");
    world.hawiz(&["settle"]).is(0).says("nothing is owed");
}

#[test]
fn a_status_is_json_for_those_who_watch_it() {
    let world = world();
    world.hawiz(&["activate", "--on", "a", "--yes"]).is(0);
    let status = world.hawiz(&["status", "--output", "json"]).is(0);
    let json: serde_json::Value = serde_json::from_str(&status.out).expect("it is JSON");
    assert_eq!(json["verdict"], "a is active");
    assert_eq!(json["register"]["active"], "a");
    assert_eq!(json["evidence"]["b"], "looked-at");
    assert_eq!(json["locks"], serde_json::json!({}));
}

#[test]
fn a_roll_back_takes_its_word_back() {
    let world = world();
    world.hawiz(&["activate", "--on", "a", "--yes"]).is(0);
    world.hawiz(&["rollback", "--yes"]).is(9);
    assert_eq!(register(&world, "a"), ["epoch 2", "active ", "run RUN0"]);
}

#[test]
fn several_sites_are_looked_at_in_one_go_and_the_worst_of_them_is_the_exit_code() {
    let world = world();
    world.hawiz(&["activate", "--on", "a", "--yes"]).is(0);
    // The same nodes under another name; and a site whose first node says nothing.
    let site = std::fs::read_to_string(world.dir.join("hawiz.toml")).expect("it was written");
    world.put("second.toml", &site);
    world.put("third.toml", &site.replacen("\"NODE=a\", \"sh\"", "\"NODE=a\", \"false\"", 1));
    let two = world.hawiz(&["status", "hawiz.toml", "second.toml"]).is(0);
    let last: Vec<&str> = two.out.lines().filter(|l| l.ends_with(".toml") || l.starts_with("a is active")).collect();
    assert_eq!(last, ["hawiz.toml", "a is active", "second.toml", "a is active"], "{}", two.out);
    let three = world.hawiz(&["status", "third.toml", "hawiz.toml", "--output", "json"]).is(7);
    let json: serde_json::Value = serde_json::from_str(&three.out).expect("it is JSON");
    let said = |n: usize| (json[n]["site"].as_str(), json[n]["verdict"].as_str());
    assert_eq!(said(0), (Some("third.toml"), Some("cannot tell about a")));
    assert_eq!(said(1), (Some("hawiz.toml"), Some("a is active")));
    // One that cannot be read does not hide the others.
    let gone = world.hawiz(&["status", "gone.toml", "hawiz.toml"]).code;
    assert_eq!(gone, Some(2));
    world.hawiz(&["status", "gone.toml", "hawiz.toml"]).says("a is active");
}
