//! Side by side: what is asked of many nodes takes as long as one of them, and is told in their order.
//!
//! Why it exists: a site has thirty nodes, and an operator one coffee. Invariant: times are compared with the sum that one
//! after the other would take at the least, never with a clock alone; a loaded machine must not fail this.

mod support;

use hawiz::plan::{How, Node};
use hawiz::reach::{Ask, Reach, Sent};
use hawiz::session::Fleet;
use std::time::{Duration, Instant};
use support::World;

const NODES: u64 = 20;
const NAP: Duration = Duration::from_millis(400);

/// At least three times as fast as one after the other.
#[track_caller]
fn quick(since: Instant, naps: u64) {
    let (took, sum) = (since.elapsed(), NAP * (NODES * naps) as u32);
    assert!(took * 3 < sum, "{took:?}, one after the other {sum:?}");
}

fn name(i: u64) -> String {
    format!("n{i:02}")
}

/// The last ones are the quickest, so that order is no accident.
fn nap(i: u64) -> String {
    let more = Duration::from_millis((NODES - i) * 10);
    format!("sleep {}", (NAP + more).as_secs_f64())
}

/// Nodes whose shells take their time to begin.
fn fleet() -> (Fleet, Vec<String>) {
    let node = |i: u64| Node {
        name: name(i),
        how: How::Via(vec!["sh".into(), "-c".into(), format!("{}; exec sh", nap(i))]),
        login: Default::default(),
        address: None,
        become_root: None,
        state: Some(format!("/nonexistent/{i}")),
        group: None,
        vars: Vec::new(),
    };
    (Fleet::new((0..NODES).map(node).collect(), "/".into()), (0..NODES).map(name).collect())
}

fn ask(node: &str, script: String) -> Ask {
    Ask {
        node: node.into(),
        sent: Sent { script: script.into_bytes(), ..Sent::default() },
        deadline: Duration::from_secs(60),
    }
}

#[test]
fn sessions_are_opened_and_looks_are_taken_side_by_side_and_told_in_order() {
    let (mut fleet, nodes) = fleet();
    let since = Instant::now();
    let states: Vec<String> = fleet.greet_all(&nodes).into_iter().map(|g| g.expect("it is there").state).collect();
    quick(since, 1);
    assert_eq!(states, (0..NODES).map(|i| format!("/nonexistent/{i}")).collect::<Vec<_>>());

    let since = Instant::now();
    let asks: Vec<Ask> =
        (0..NODES).rev().map(|i| ask(&name(i), format!("{}; echo {}; exit {i}", nap(i), name(i)))).collect();
    let said: Vec<_> = fleet.look_all(&asks).into_iter().map(|r| r.expect("a session")).collect();
    quick(since, 1);
    let told: Vec<_> = said.iter().map(|r| (r.out.lossy().trim().to_string(), r.code)).collect();
    assert_eq!(told, (0..NODES).rev().map(|i| (name(i), Some(i as i32))).collect::<Vec<_>>());
}

#[test]
fn several_looks_on_one_node_stay_in_order_and_one_that_is_missing_holds_nobody_up() {
    let (mut fleet, _) = fleet();
    let last = name(NODES - 1);
    let asks = [
        ask(&last, "sleep 0.3; echo first".into()),
        ask("stranger", "echo never".into()),
        ask(&last, "echo second".into()),
        ask(&name(NODES - 2), "echo other".into()),
    ];
    let said = fleet.look_all(&asks);
    let told: Vec<String> = said.into_iter().map(|r| r.map_or_else(|u| u.why, |r| r.out.lossy())).collect();
    assert_eq!(told, ["first\n", "the plan has no such node", "second\n", "other\n"]);
}

#[test]
fn nodes_that_are_expected_are_opened_while_something_else_is_done() {
    let (mut fleet, nodes) = fleet();
    let since = Instant::now();
    fleet.expect(&nodes);
    fleet.expect(&nodes);
    assert!(since.elapsed() < NAP, "it waits for them");
    // One after the other, as the engine's scripted nodes are: they have all begun long ago.
    for node in &nodes {
        fleet.greet(node).expect("it is there");
    }
    quick(since, 1);
}

#[test]
fn a_run_on_many_nodes_takes_its_proof_and_its_checks_side_by_side_and_keeps_their_order() {
    let playbook = format!(
        r#"format = 1
title = "Many"
[inputs]
w = {{}}
[[inactive]]
stage = "Inactive"
[[inactive.step]]
name = "is idle"
check.sh = '''
{nap}
test ! -e "$w/$node"
'''
[[inactive.step]]
name = "is quiet"
check.sh = 'true'
[[activate]]
stage = "All of them"
[[activate.step]]
name = "Ready"
on = "all"
true-on = "all"
check.sh = '''
{nap}
echo "$node"
'''
"#,
        nap = format_args!("sleep {}", NAP.as_secs_f64())
    );
    let world = World::new(&playbook);
    let dir = world.dir.display();
    let mut site = format!("playbook = \"playbook.toml\"\n[inputs]\nw = \"{dir}/w\"\n");
    for i in 0..NODES {
        let (name, shell) = (name(i), format!("{}; exec sh", nap(i)));
        site.push_str(&format!(
            "[nodes.{name}]\nvia = [\"sh\", \"-c\", \"{shell}\"]\nstate = \"{dir}/state/{name}\"\n"
        ));
    }
    world.put("hawiz.toml", &site);

    let since = Instant::now();
    let ran = world.hawiz(&["activate", "--on", "n03", "--yes", "--output", "json"]).is(0);
    // To begin, the proof, the check.
    quick(since, 3);
    let mut seen = Vec::new();
    let mut looked = Vec::new();
    let mut proven = Vec::new();
    for line in ran.out.lines() {
        let record: serde_json::Value = serde_json::from_str(line).expect("a line is a record");
        let event = &record["event"];
        let node = event["node"].as_str().unwrap_or_default().to_string();
        match event["type"].as_str().unwrap_or_default() {
            "node-seen" => seen.push(node),
            "looked" => looked.push((node, event["title"].as_str().unwrap_or_default().to_string())),
            "proof-taken" => proven.push(node),
            _ => {}
        }
    }
    let all: Vec<String> = (0..NODES).map(name).collect();
    let peers: Vec<String> = all.iter().filter(|n| *n != "n03").cloned().collect();
    assert_eq!(seen.len(), all.len());
    assert_eq!(proven, peers);
    let each = |n: &String| [(n.clone(), "is idle".to_string()), (n.clone(), "is quiet".to_string())];
    let proof: Vec<_> = peers.iter().flat_map(each).collect();
    let check: Vec<_> = all.iter().map(|n| (n.clone(), "Ready".to_string())).collect();
    assert_eq!(looked, [proof, check].concat());

    let since = Instant::now();
    world.hawiz(&["activate", "--on", "n03", "--dryrun"]).is(0);
    quick(since, 3);
}
