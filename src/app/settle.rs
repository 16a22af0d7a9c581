//! `hawiz settle`: what earlier runs left owed is paid.
//!
//! Why it exists: a node that was fenced comes back with its services enabled and its data mounted, on a day when nobody
//! remembers that. Invariants: a node that owes its deactivation is deactivated by a run like any other, with its gates, its
//! record and its closing look; a step that was left is struck off only with a person's word for what became of it.

use super::look::{fleet, reached};
use super::{Done, colour, files, run, say, status};
use crate::cli::{Answer, Common, Go, Set};
use crate::plan::Plan;
use crate::problem::{Exit, Fatal};
use crate::prompt::terminal::Terminal;
use crate::prompt::{Answer as Given, Prompter, Question};
use crate::reach::{Locked, Reach};
use crate::register::{Debt, Owes, Register};
use crate::ui::Style;
use crate::who::Who;
use std::path::Path;

pub(super) fn settle(
    common: &Common,
    node: Option<String>,
    answer: &Answer,
    answers: Option<&Path>,
    reason: Option<&str>,
) -> Done {
    // Each run works from `/` in the end.
    let common = &rooted(common);
    let answers = answers.and_then(|f| std::path::absolute(f).ok());
    let read = files::read(common, "status", &Set::default())?;
    if read.plan.system().is_none() {
        let text = "any number of this system's nodes may be active: nothing is ever owed in it";
        return Err(Fatal::new(Exit::Usage, text));
    }
    if let Some(node) = &node {
        known(&read.plan, node)?;
    }
    let mine = |d: &&Debt| node.as_ref().is_none_or(|n| d.node == *n);
    let Some((register, reached)) = owed(common, &read)? else {
        say("nothing is owed\n");
        return Ok(Exit::Ok);
    };
    let debts: Vec<Debt> = register.debts.iter().filter(mine).cloned().collect();
    if debts.is_empty() {
        say(&match &node {
            Some(node) => format!("nothing is owed on {node}\n"),
            None => "nothing is owed\n".to_string(),
        });
        return Ok(Exit::Ok);
    }
    debts.iter().for_each(|d| say(&format!("owed: {}\n", d.words())));
    let mut worst = Exit::Ok;
    for debt in debts.iter().filter(|d| d.owes == Owes::Deactivation) {
        if !reached.contains(&debt.node) {
            say(&format!("{} cannot be reached: its deactivation stays owed\n", debt.node));
            worst = worst.worst(Exit::NotReady);
            continue;
        }
        let set = Set { on: Some(debt.node.clone()), answers: answers.clone(), ..Set::default() };
        let comment = Some(format!("settles what run {} left owed", debt.run));
        let go = Go { set, answer: answer.clone(), comment, ..Go::default() };
        worst = worst.worst(run::procedure(common, "deactivate", &go)?);
    }
    let steps: Vec<Debt> = debts.into_iter().filter(|d| d.owes != Owes::Deactivation).collect();
    if !steps.is_empty() {
        worst = worst.worst(strike_off(common, steps, reason)?);
    }
    Ok(worst)
}

/// The same files, wherever the process stands.
fn rooted(common: &Common) -> Common {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut common = common.clone();
    let near = Path::new("hawiz.toml");
    common.site = common.site.as_deref().or_else(|| near.exists().then_some(near)).map(absolute);
    common.playbook =
        common.playbook.map(|p| if Path::new(&p).exists() { absolute(Path::new(&p)).display().to_string() } else { p });
    common.state_dir = common.state_dir.as_deref().map(absolute);
    common
}

fn known(plan: &Plan, node: &str) -> Result<(), Fatal> {
    if plan.node(node).is_some() {
        return Ok(());
    }
    let known: Vec<&str> = plan.nodes.iter().map(|n| n.name.as_str()).collect();
    let fatal = Fatal::new(Exit::Usage, format!("the site has no node `{node}`"));
    Err(fatal.hint(format!("it has: {}", known.join(", "))))
}

/// What the nodes that can be reached say, and which those are. `None`: nothing is owed.
fn owed(common: &Common, read: &files::Read) -> Result<Option<(Register, Vec<String>)>, Fatal> {
    let mut fleet = fleet(read, common)?;
    let nodes: Vec<String> = read.plan.nodes.iter().map(|n| n.name.clone()).collect();
    fleet.expect(&nodes);
    let met = fleet.greet_all(&nodes);
    let reached: Vec<String> = nodes.into_iter().zip(met).filter_map(|(n, met)| met.is_ok().then_some(n)).collect();
    if reached.is_empty() {
        return Err(
            Fatal::new(Exit::NotReady, "no node can be reached, and only they know what is owed").hint("hawiz nodes")
        );
    }
    let register = status::register(&read.plan, &reached, &mut fleet).filter(|r| !r.debts.is_empty());
    Ok(register.map(|r| (r, reached)))
}

/// Strikes steps off, each with a reason, on every node that can be reached.
fn strike_off(common: &Common, steps: Vec<Debt>, reason: Option<&str>) -> Done {
    let mut struck = Vec::new();
    for debt in steps {
        match reason.map(|r| Ok(Some(r.to_string()))).unwrap_or_else(|| ask(common, &debt))? {
            Some(reason) => struck.push((debt, reason)),
            None => say(&format!("stays owed: {}\n", debt.words())),
        }
    }
    if struck.is_empty() {
        return Ok(Exit::Declined);
    }
    let read = files::read(common, "status", &Set::default())?;
    let mut fleet = fleet(&read, common)?;
    let survey = crate::survey::survey(&read.plan, &mut fleet, false);
    let mut nodes: Vec<String> = reached(&read.plan, &survey).collect();
    nodes.sort();
    let who = Who::here().to_string();
    let run = format!("settle-{}", chrono::Utc::now().format("%Y%m%d-%H%M%S"));
    let mut locked = Vec::new();
    let mut refused = None;
    for node in &nodes {
        let mut lock = fleet.lock(node, &run, &run, &who);
        if let Ok(Locked::Held(_)) = lock {
            let others: Vec<String> = nodes.iter().filter(|n| *n != node).cloned().collect();
            if let Some(whose) = fleet.give_back(node, &others) {
                say(&format!("{node} was still locked by {whose}; that lock was given back\n"));
                lock = fleet.lock(node, &run, &run, &who);
            }
        }
        match lock {
            Ok(Locked::Ours) => locked.push(node.clone()),
            Ok(Locked::Held(holder) | Locked::Taken(holder)) => {
                refused = Some(Fatal::new(Exit::Locked, format!("{node} is held by another run: {holder}")));
                break;
            }
            Ok(Locked::Impossible(why)) => say(&format!("{node} keeps no register: {why}\n")),
            Err(u) => say(&format!("{node} cannot be reached: {}\n", u.why)),
        }
    }
    let written = match (refused, status::register(&read.plan, &nodes, &mut fleet)) {
        (Some(refused), _) => Err(refused),
        (None, None) => Ok(()),
        (None, Some(mut register)) => {
            register.debts.retain(|d| !struck.iter().any(|(s, _)| s.node == d.node && s.owes == d.owes));
            register.epoch += 1;
            write(&mut fleet, &locked, &register)
        }
    };
    for node in &locked {
        for (debt, reason) in struck.iter().filter(|_| written.is_ok()) {
            fleet.syslog(node, &format!("settled by {who}: {}: {reason}", debt.words()));
        }
        let _ = fleet.unlock(node, &run);
    }
    written?;
    struck.iter().for_each(|(debt, reason)| say(&format!("settled: {}: {reason}\n", debt.words())));
    Ok(Exit::Ok)
}

fn write(fleet: &mut dyn Reach, nodes: &[String], register: &Register) -> Result<(), Fatal> {
    let mut missed = Vec::new();
    for node in nodes {
        if let Err(why) = fleet.inscribe(node, register) {
            missed.push(format!("{node}: {why}"));
        }
    }
    if missed.is_empty() && !nodes.is_empty() {
        return Ok(());
    }
    Err(Fatal::new(Exit::NotReady, format!("it could not be written everywhere: {}", missed.join("; "))))
}

/// What became of a step. `None`: it stays owed.
fn ask(common: &Common, debt: &Debt) -> Result<Option<String>, Fatal> {
    if !run::interactive() {
        let text = format!("a step is owed, and there is no terminal to say what became of it: {}", debt.words());
        return Err(Fatal::new(Exit::NotReady, text).hint("say it with --reason TEXT"));
    }
    let colours = Style::stderr(colour(common), 0).colours;
    let mut terminal = Terminal::new(None, Box::new(|| None), colours)
        .map_err(|e| Fatal::new(Exit::Internal, format!("cannot ask on this terminal: {e}")))?;
    let prompt = format!("{}; what became of it? (empty: it stays owed)", debt.words());
    let question = Question::Input { name: "reason".into(), prompt, choices: Vec::new() };
    loop {
        match terminal.ask(&question).answer {
            Given::Again => {}
            Given::Text(text) if !text.lossy().trim().is_empty() => return Ok(Some(text.lossy().trim().to_string())),
            _ => return Ok(None),
        }
    }
}
