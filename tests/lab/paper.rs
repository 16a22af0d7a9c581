//! A checklist for paper, followed: what a person does who has nothing but the page.
//!
//! Why it exists: when hawiz itself is not to be had, its page must lead to the same state. Each code block is given to `sh`
//! on the host that the page names, in its order; what a look says decides what the page says it decides.

use crate::brest::Zone;
use crate::rig::{PATIENCE, text};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A code block: the words above it, the place of its step, its text.
#[derive(Debug)]
enum Line {
    /// Where its steps are that say nothing.
    Stage(String),
    Step(String),
    Block(String, String),
    /// `$name` is written down: by the first line of the look, or by the node where it is true.
    Note(String),
}

fn read(md: &str) -> Vec<Line> {
    let (mut out, mut label, mut lines) = (Vec::new(), String::new(), md.lines());
    while let Some(line) = lines.next() {
        let bare = line.trim();
        if bare == "```sh" {
            let indent = line.len() - line.trim_start().len();
            let body = lines.by_ref().take_while(|l| l.trim() != "```");
            let body: Vec<&str> = body.map(|l| l.get(indent..).unwrap_or_default()).collect();
            out.push(Line::Block(label.clone(), body.join("\n")));
        } else if line.starts_with("## ") {
            out.push(Line::Stage(String::new()));
        } else if let (Some(Line::Stage(place)), Some(said)) =
            (out.last_mut(), line.strip_prefix('*').and_then(|l| l.strip_suffix('*')))
        {
            *place = said.rsplit(" · ").next().unwrap_or_default().into();
        } else if let Some(title) = line.strip_prefix("- [ ] **") {
            let place = title.rsplit_once("** (on ").map_or("", |(_, p)| p);
            out.push(Line::Step(place.split([';', ')']).next().unwrap_or_default().into()));
        } else if let Some((name, _)) = bare.strip_prefix("`$").and_then(|l| l.split_once("` = ____")) {
            out.push(Line::Note(name.into()));
        }
        if !bare.is_empty() {
            label = bare.to_string();
        }
    }
    out
}

/// Follows a page to its end.
#[track_caller]
pub fn followed(zone: &Zone, args: &[&str]) {
    let md = zone.say(&[args, &["--format", "md"]].concat()).ends(0).out;
    let from = md.find("```sh\n").expect("functions stand first") + 6;
    let head = &md[from..from + md[from..].find("\n```").expect("it ends")];
    let page = read(&md[from + head.len()..]);
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let (mut stage, mut place, mut said) = (String::new(), String::new(), String::new());
    // Of a look on several nodes: each one's, until it is asked where it is true.
    let mut ones: Vec<(String, String)> = Vec::new();
    let (mut leave_step, mut leave_stage) = (false, false);
    for line in page.iter().skip(1) {
        match line {
            Line::Stage(at) => (leave_stage, leave_step, stage, place) = (false, false, at.clone(), at.clone()),
            Line::Step(at) => {
                (leave_step, place) = (false, if at.is_empty() { stage.clone() } else { at.clone() });
                ones.clear();
            }
            Line::Note(name) => {
                if !leave_stage && !leave_step {
                    let until = Instant::now() + PATIENCE;
                    let value = loop {
                        if ones.is_empty() {
                            break said.lines().next().unwrap_or_default().to_string();
                        }
                        let found = ones.iter().find(|(node, script)| zone.lab.inside(node, script).status.success());
                        if let Some((node, _)) = found {
                            break node.clone();
                        }
                        assert!(Instant::now() < until, "{name}: true nowhere: {ones:#?}");
                        std::thread::sleep(Duration::from_millis(200));
                    };
                    for var in ["one_etc=/etc/one", "one_home=/var/lib/one", "root=/root", "apache=/etc/apache2"] {
                        let (var, is) = var.split_once('=').expect("a pair");
                        known.insert(format!("{name}_{var}"), is.into());
                    }
                    known.insert(name.clone(), value);
                }
            }
            Line::Block(_, _) if leave_stage || leave_step => {}
            Line::Block(label, body) => {
                let named = label.rsplit_once(" on ").map_or(place.as_str(), |(_, n)| n.trim_end_matches(':'));
                let node = known.get(named).map_or(named, String::as_str).to_string();
                let values: String = known.iter().map(|(n, v)| format!("{n}='{v}'\n")).collect();
                let run = || {
                    let script = format!("{head}\nset -eu\n{values}{body}\n");
                    if ["", "this machine"].contains(&node.as_str()) {
                        zone.here(&script)
                    } else {
                        zone.lab.inside(&node, &script)
                    }
                };
                let code = || format!("on {node}, {label}\n{body}");
                match label.as_str() {
                    l if l.starts_with("Only when") => leave_stage = !run().status.success(),
                    l if l.starts_with("only when") => leave_step = !run().status.success(),
                    l if l.starts_with("must be true") || l.starts_with("then true") => {
                        let until = Instant::now() + PATIENCE;
                        let mut out = run();
                        while !out.status.success() {
                            assert!(Instant::now() < until, "{}\n{}{}", code(), text(&out.stdout), text(&out.stderr));
                            std::thread::sleep(Duration::from_millis(200));
                            out = run();
                        }
                        said = text(&out.stdout);
                    }
                    // One of several: where it is true.
                    l if l.starts_with("true on ") => {
                        ones.push((node.clone(), format!("{head}\nset -eu\n{values}{}\n", body)))
                    }
                    l if l.starts_with("nothing to do") => leave_step = run().status.success(),
                    "change:" => {
                        let out = run();
                        assert!(out.status.success(), "{}\n{}{}", code(), text(&out.stdout), text(&out.stderr));
                    }
                    _ => {}
                }
            }
        }
    }
}
