//! `hawiz status`: which node is active, since when and by which run, what is owed, who holds a lock.
//!
//! Why it exists: the first question of everybody who comes to a system. Invariants: who is active is what was looked at just now;
//! the register only tells since when, and is contradicted aloud; nothing is created anywhere. Exit code of an exclusive system:
//! 0 exactly one is active and nothing is owed, 4 anything else that is known, 7 not to be known; of others 0 every check is
//! true, 4 one is false, 7 cannot tell.

use super::files;
use super::look::{fleet, looks, matrix, reached};
use super::{Done, colour, say, say_bytes, verbosity};
use crate::cli::{Common, Output, Set};
use crate::event::Proven;
use crate::plan::{Answer, Plan};
use crate::problem::{Exit, Fatal};
use crate::reach::Reach;
use crate::register::Register;
use crate::survey::{self, Survey};
use crate::ui::{self, Ink, Style, escape};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;

/// One site, or several: each as if it were asked for alone, then the worst of their exit codes. As JSON a list.
pub(super) fn status(common: &Common, sites: &[PathBuf], set: &Set) -> Done {
    if sites.is_empty() {
        let (text, exit) = of_site(common, set)?;
        say_bytes(&text);
        return Ok(exit);
    }
    let json = common.output == Some(Output::Json);
    let (mut worst, mut all) = (Exit::Ok, Vec::new());
    // A look works from `/`.
    let whole = |site: &PathBuf| std::path::absolute(site).unwrap_or_else(|_| site.clone());
    for (site, at) in sites.iter().zip(sites.iter().map(whole).collect::<Vec<_>>()) {
        let said = of_site(&Common { site: Some(at), ..common.clone() }, set);
        let name = site.display().to_string();
        worst = worst.worst(said.as_ref().map_or_else(|e| e.exit, |(_, exit)| *exit));
        match (said, json) {
            (Ok((text, _)), true) => {
                let mut one: serde_json::Value =
                    serde_json::from_slice(&text).expect("it was written as JSON just now");
                one["site"] = name.into();
                all.push(one);
            }
            (Err(e), true) => all.push(serde_json::json!({ "site": name, "problem": e.to_string() })),
            (Ok((text, _)), false) => {
                say(&format!("{}\n", escape::line(&name)));
                say_bytes(&text);
                say("\n");
            }
            (Err(e), false) => say(&format!("{}\n{e}\n\n", escape::line(&name))),
        }
    }
    if json {
        let mut out = serde_json::to_vec_pretty(&all).expect("plain values are JSON");
        out.push(b'\n');
        say_bytes(&out);
    }
    Ok(worst)
}

/// What is printed of one site, and its exit code.
fn of_site(common: &Common, set: &Set) -> Result<(Vec<u8>, Exit), Fatal> {
    let read = files::read(common, "status", set)?;
    let plan = &read.plan;
    let mut fleet = fleet(&read, common)?;
    std::env::set_current_dir("/").ok();
    let survey = survey::survey(plan, &mut fleet, true);
    let nodes: Vec<String> = reached(plan, &survey).collect();
    let register = register(plan, &nodes, &mut fleet);
    let (mut locks, mut broken) = (BTreeMap::new(), Vec::new());
    for (node, (holder, stopped)) in nodes.iter().zip(fleet.locks(&nodes)) {
        if let Some(holder) = holder {
            locks.insert(node.clone(), holder);
        }
        let words =
            |b: &crate::session::Broken| format!("run {} was stopped on {node} and not gone on with: {}", b.run, b.why);
        broken.extend(stopped.iter().map(words));
    }
    let (verdict, exit) = verdict(plan, &survey, register.as_ref());
    if common.output == Some(Output::Json) {
        let style = Style::stdout(colour(common), verbosity(common));
        let looks = looks(&survey, &mut fleet, plan);
        let plain = ui::script::render(plan, Some(&looks), ui::script::Format::Json, &style);
        return Ok((with_verdict(&plain, &survey, register.as_ref(), &locks, &verdict), exit));
    }
    let style = Style::stdout(colour(common), verbosity(common));
    // What is read by a program has whole lines.
    let width = if std::io::stdout().is_terminal() { style.width } else { usize::MAX };
    let mut out = matrix(plan, &survey, &style);
    if plan.exclusive {
        out.push_str("\nWho is active\n");
        for (node, proven) in &survey.proof {
            let line = evidence(node, proven, &style);
            ui::text::hang(&line, width).iter().for_each(|l| out.push_str(&format!("{l}\n")));
        }
    }
    let mut lines = register.as_ref().map(history).unwrap_or_default();
    lines.extend(locks.iter().map(|(node, holder)| format!("{node} is held by a run: {holder}")));
    lines.append(&mut broken);
    lines.iter().flat_map(|l| ui::text::hang(&escape::line(l), width)).for_each(|l| out.push_str(&format!("{l}\n")));
    if plan.exclusive {
        let split = verdict.starts_with("SPLIT BRAIN");
        let verdict = if split { style.paint(Ink::Bad, &verdict) } else { verdict };
        out.push_str(&format!("{verdict}\n"));
    }
    Ok((out.into_bytes(), exit))
}

/// The newest of what the nodes have written down; `None`: nothing yet.
pub(super) fn register(plan: &Plan, nodes: &[String], fleet: &mut dyn Reach) -> Option<Register> {
    let system = plan.system()?;
    let met = fleet.greet_all(nodes);
    let all = met.iter().flatten().flat_map(|g| &g.registers).filter(|r| r.system == system);
    Register::newest(all).filter(|r| r.epoch > 0)
}

/// A node and what was seen there.
fn evidence(node: &str, proven: &Proven, style: &Style) -> String {
    let m = style.marks();
    match proven {
        Proven::LookedAt => format!("  {} {node}  inactive", m.not_yet),
        Proven::Active(why) => format!("  {} {node}  active: {}", style.paint(Ink::Good, m.yes), escape::line(why)),
        other => {
            let why = ui::plain::proven(other);
            format!("  {} {node}  {}", style.paint(Ink::Doubt, m.doubt), escape::line(&why))
        }
    }
}

/// What the nodes have written down, in lines.
fn history(register: &Register) -> Vec<String> {
    let Register { active, since, run, by, debts, .. } = register;
    let what = active.as_ref().map_or("deactivated".to_string(), |node| format!("{node} was made active"));
    let mut out = vec![format!("{what} {since} by {by}, run {run}")];
    out.extend(debts.iter().map(|d| format!("owed: {}", d.words())));
    out
}

/// The last line, and the exit code.
fn verdict(plan: &Plan, survey: &Survey, register: Option<&Register>) -> (String, Exit) {
    if !plan.exclusive {
        let answers: Vec<Answer> = survey.looks.iter().map(|l| l.answer).collect();
        return if answers.contains(&Answer::No) {
            ("a check is false".into(), Exit::NotReady)
        } else if answers.iter().any(|a| *a != Answer::Yes) {
            ("cannot tell".into(), Exit::Unknown)
        } else {
            ("every check is true".into(), Exit::Ok)
        };
    }
    let those = |wanted: fn(&Proven) -> bool| -> Vec<&str> {
        survey.proof.iter().filter(|(_, p)| wanted(p)).map(|(n, _)| n.as_str()).collect()
    };
    let active = those(|p| matches!(p, Proven::Active(_)));
    let open = those(|p| matches!(p, Proven::CannotTell(_) | Proven::Alive(_)));
    let owed = register.map_or(0, |r| r.debts.len());
    match (active.as_slice(), open.as_slice()) {
        ([one], []) if owed > 0 => {
            let things = if owed == 1 { "one thing is" } else { "several things are" };
            (format!("{one} is active; {things} owed: `hawiz settle`"), Exit::NotReady)
        }
        ([one], []) => (format!("{one} is active"), Exit::Ok),
        ([], []) => ("nobody is active".to_string(), Exit::NotReady),
        ([_, _, ..], _) => (format!("SPLIT BRAIN: {} are active", active.join(" and ")), Exit::NotReady),
        ([one], open) => (format!("{one} is active; cannot tell about {}", open.join(", ")), Exit::Unknown),
        ([], open) => (format!("cannot tell about {}", open.join(", ")), Exit::Unknown),
    }
}

/// What every look of a plan prints as JSON, and what only a status knows.
fn with_verdict(
    plain: &[u8],
    survey: &Survey,
    register: Option<&Register>,
    locks: &BTreeMap<String, String>,
    verdict: &str,
) -> Vec<u8> {
    let Ok(serde_json::Value::Object(mut all)) = serde_json::from_slice(plain) else { return plain.to_vec() };
    let evidence: BTreeMap<&String, &Proven> = survey.proof.iter().map(|(node, proven)| (node, proven)).collect();
    all.insert("evidence".into(), serde_json::json!(evidence));
    all.insert("register".into(), serde_json::json!(register));
    all.insert("locks".into(), serde_json::json!(locks));
    all.insert("verdict".into(), serde_json::json!(verdict));
    let mut out = serde_json::to_vec_pretty(&all).expect("plain values are JSON");
    out.push(b'\n');
    out
}
