//! The German texts: every one of the playbook's has its own.

use std::collections::BTreeSet;
use std::path::Path;
use toml::{Table, Value};

fn read(name: &str) -> Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks").join(name);
    std::fs::read_to_string(path).expect("it is shipped").parse().expect("it is TOML")
}

/// The id that a title gives, where none is written.
fn id(of: &Value, title: &str) -> String {
    let written = of.get("id").and_then(Value::as_str);
    let slug = |text: &str| {
        let plain: String =
            text.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { ' ' }).collect();
        plain.split_whitespace().collect::<Vec<_>>().join("-")
    };
    written.map_or_else(|| slug(of[title].as_str().expect("a title")), String::from)
}

#[test]
fn every_text_of_the_playbook_is_there_in_german() {
    let (playbook, german) = (read("osmh.toml"), read("osmh.de.toml"));
    let mut missing = BTreeSet::new();
    let mut has = |place: &str, there: Option<&Value>| {
        if there.is_none() {
            missing.insert(place.to_string());
        }
    };
    let (stages, steps) = (&german["stages"], &german["steps"]);
    has("about", german.get("about"));
    for (input, _) in playbook["inputs"].as_table().expect("inputs") {
        has(input, german["inputs"].get(input));
    }
    let lists = playbook.iter().filter_map(|(name, v)| Some((name, v.as_array()?)));
    for (procedure, list) in lists.filter(|(name, _)| *name != "groups") {
        for stage in list.iter().filter(|s| s.get("use").is_none()) {
            let place = format!("{procedure}/{}", id(stage, "stage"));
            has(&place, stages.get(&place));
            if stage.get("about").is_some() {
                has(&format!("{place}: about"), stages.get(&place).and_then(|s| s.get("about")));
            }
            for step in stage.get("step").and_then(Value::as_array).into_iter().flatten() {
                let place = format!("{place}/{}", id(step, "name"));
                let words = steps.get(&place);
                for key in ["name", "manual", "about", "no-return"].iter().filter(|k| step.get(**k).is_some()) {
                    has(&format!("{place}: {key}"), words.and_then(|w| w.get(*key)));
                }
                let undo = step.get("undo").is_some_and(|u| u.get("manual").or(u.get("none")).is_some());
                if undo {
                    has(&format!("{place}: undo"), words.and_then(|w| w.get("undo")));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
