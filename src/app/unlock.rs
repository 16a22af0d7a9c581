//! `hawiz unlock NODE --reason T`: a lock whose run is gone.
//!
//! Why it exists: only a person knows that a run is gone; its silence proves nothing. Invariants: it is shown who holds the lock
//! and what that run still does there before the lock is taken away; what still runs is waited for, ended or left by an express
//! word, never by default; without a terminal nothing is changed while something runs, unless a flag says what to do about it.

use super::{Done, colour, entrance, files, run, say};
use crate::cli::Common;
use crate::event::{Event, Record};
use crate::plan::Gate;
use crate::problem::{Exit, Fatal};
use crate::prompt::terminal::Terminal;
use crate::prompt::{Answer, Prompter, Question};
use crate::reach::{Reach, Truth, Unreachable};
use crate::session::{Fleet, Standing};
use crate::ui::Style;
use crate::who::Who;
use std::io::Write;
use std::time::Duration;

/// How long a step has between TERM and KILL.
const GRACE: Duration = Duration::from_secs(10);
/// How often a node is asked whether a step has ended.
const PAUSE: Duration = Duration::from_millis(500);

/// What is to be done about what still runs.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Wait,
    Stop,
    Leave,
}

/// What the lock's run does on a node, by its claims' names: running, and claimed without having begun.
struct Doing {
    running: Vec<(String, String)>,
    waiting: Vec<String>,
}

fn lost(u: Unreachable) -> Fatal {
    Fatal::new(Exit::NotReady, format!("cannot reach {}: {}", u.node, u.why))
}

/// The site's nodes; this one must be among them.
pub(super) fn site(common: &Common, node: &str) -> Result<files::Nodes, Fatal> {
    let site = files::nodes(common)?;
    if !site.nodes.iter().any(|n| n.name == node) {
        let known: Vec<&str> = site.nodes.iter().map(|n| n.name.as_str()).collect();
        return Err(Fatal::new(Exit::Usage, format!("the site has no node `{node}`"))
            .hint(format!("it has: {}", known.join(", "))));
    }
    Ok(site)
}

/// The nodes, and whoever can be asked for what a login needs.
pub(super) fn fleet(common: &Common, site: &files::Nodes) -> Result<Fleet<entrance::Porter>, Fatal> {
    let colours = Style::stderr(colour(common), 0).colours;
    let porter = if run::interactive() { entrance::at_a_terminal(colours)? } else { entrance::nobody() };
    Ok(Fleet::new(site.nodes.clone(), site.folder.clone()).asking(porter))
}

pub(super) fn unlock(common: &Common, node: &str, reason: &str, wait: bool, stop: bool) -> Done {
    if reason.trim().is_empty() {
        return Err(Fatal::new(Exit::Usage, "`--reason` is empty"));
    }
    let site = site(common, node)?;
    let mut fleet = fleet(common, &site)?;
    let standing = fleet.standing(node, None).map_err(lost)?;
    let Some((run, holder)) = standing.holder.clone() else {
        // A lock that nobody has finished taking is nobody's.
        fleet.break_lock(node, reason).map_err(lost)?;
        say(&format!("{node} is not locked\n"));
        return Ok(Exit::Ok);
    };
    let records = records(&mut fleet, node, &run);
    let doing = doing(&standing, &records);
    let told = match (wait, stop) {
        (true, _) => Some(Then::Wait),
        (_, true) => Some(Then::Stop),
        _ => None,
    };
    let mut then = told.unwrap_or(Then::Leave);
    let mut terminal = None;
    if run::interactive() {
        let colours = Style::stderr(colour(common), 0).colours;
        let mut person = Terminal::new(None, Box::new(|| None), colours)
            .map_err(|e| Fatal::new(Exit::Internal, format!("cannot ask on this terminal: {e}")))?;
        let lines = shown(node, &holder, &doing);
        ask(
            &mut person,
            &Question::Gate {
                stage: String::new(),
                gate: Gate::Type(node.to_string()),
                digest: String::new(),
                view: lines.clone(),
                lines,
            },
        )?;
        terminal = Some(person);
    } else if !doing.running.is_empty() && told.is_none() {
        let what: Vec<String> =
            doing.running.iter().map(|(_, title)| format!("{title} still runs on {node}")).collect();
        let text = format!("{node} is held by {holder}; {}; nothing was changed", what.join(", "));
        return Err(Fatal::new(Exit::NotReady, text)
            .hint("`--wait` takes the lock and waits for the end of it, `--stop` takes the lock and ends it"));
    }
    if let (false, None, Some(person)) = (doing.running.is_empty(), told, &mut terminal) {
        then = what_of_it(person, node, &doing)?;
    }
    let who = Who::here().to_string();
    let when = chrono::Local::now().format("%Y-%m-%d %H:%M:%S");
    let words = format!("unlocked by {who} on {when}: {reason}");
    let Some(holder) = fleet.break_lock(node, &words).map_err(lost)? else {
        say(&format!("{node} is not locked any more: its run has given it back\n"));
        return Ok(Exit::Ok);
    };
    fleet.syslog(node, &format!("unlocked by {who}: {reason}; it was held by {holder}"));
    say(&format!("{node} is unlocked; it was held by {holder}\n"));
    // Nothing can begin there any more; what had begun until now is all there is.
    let left = afterwards(&mut fleet, node, &run, &records, then)?;
    for title in &left {
        say(&format!("{title} still runs on {node}: whoever goes on waits for its end\n"));
    }
    if left.is_empty() {
        say("nothing of that run runs there any more; what it did is not undone: look before you go on\n");
    }
    say(&format!("to go on with it here:  hawiz resume {run} --from {node}\n"));
    Ok(Exit::Ok)
}

/// The run's record, as the node's copy has it.
fn records(fleet: &mut Fleet<entrance::Porter>, node: &str, run: &str) -> Vec<Named> {
    let copied = fleet.copied(&[node.to_string()], run).pop().and_then(Result::ok).flatten();
    let copy = copied.and_then(|c| crate::journal::Copy::read(run, &c.plan, &c.journals).ok());
    let records = copy.map(|c| c.records).unwrap_or_default();
    records.iter().filter_map(named).collect()
}

/// A claim's name on the node, and the title of its step.
type Named = (String, String);

fn named(record: &Record) -> Option<Named> {
    let (node, claim, title, undo) = match &record.event {
        Event::StepIntent { node, claim: Some(claim), title, .. } => (node, claim, title, ""),
        Event::UndoIntent { node, claim: Some(claim), title, .. } => (node, claim, title, "the undo of "),
        _ => return None,
    };
    Some((crate::session::name(node, claim), format!("{undo}`{title}` (started {})", moment(&record.utc))))
}

fn moment(utc: &str) -> String {
    crate::ui::moment(utc)
        .map_or_else(|| utc.to_string(), |t| t.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S").to_string())
}

fn doing(standing: &Standing, named: &[Named]) -> Doing {
    let title = |name: &str| {
        let known = named.iter().find(|(n, _)| n == name).map(|(_, title)| title.clone());
        known.unwrap_or_else(|| format!("a step (its claim is {name})"))
    };
    let with = |truth: Option<Truth>| standing.claims.iter().filter(move |c| c.truth == truth);
    Doing {
        running: with(Some(Truth::Running)).map(|c| (c.name.clone(), title(&c.name))).collect(),
        waiting: with(None).map(|c| title(&c.name)).collect(),
    }
}

/// What is shown before the lock is taken away.
fn shown(node: &str, holder: &str, doing: &Doing) -> Vec<String> {
    let mut lines = vec![format!("Take the lock of {node} away"), format!("  held by  {holder}")];
    lines.extend(doing.running.iter().map(|(_, title)| format!("  runs     {title}")));
    lines.extend(doing.waiting.iter().map(|title| format!("  claimed  {title}; it will never begin")));
    if doing.running.is_empty() && doing.waiting.is_empty() {
        lines.push("  nothing of it runs there now".into());
    }
    lines.push("  Its silence proves nothing: be sure that its hawiz is gone, or that it may be stopped.".into());
    lines
}

fn ask(person: &mut Terminal, question: &Question) -> Result<Answer, Fatal> {
    loop {
        match person.ask(question).answer {
            // Stopped and gone on with.
            Answer::Again => {}
            Answer::Text(text) => return Ok(Answer::Text(text)),
            Answer::Stop(why) => return Err(Fatal::new(Exit::Declined, format!("nothing was changed: {why}"))),
            _ => return Err(Fatal::new(Exit::Declined, "nothing was changed")),
        }
    }
}

fn what_of_it(person: &mut Terminal, node: &str, doing: &Doing) -> Result<Then, Fatal> {
    let titles: Vec<&str> = doing.running.iter().map(|(_, title)| title.as_str()).collect();
    let prompt = format!(
        "{} still runs on {node}: wait for it, stop it (TERM, ten seconds, KILL), or leave it running?",
        titles.join(", ")
    );
    let choices = ["wait", "stop", "leave"].map(String::from).to_vec();
    let Answer::Text(text) = ask(person, &Question::Input { name: "then".into(), prompt, choices })? else {
        return Err(Fatal::new(Exit::Declined, "nothing was changed"));
    };
    Ok(match &*text.lossy() {
        "wait" => Then::Wait,
        "stop" => Then::Stop,
        _ => Then::Leave,
    })
}

/// Waits for what runs, or ends it. Says what runs still.
fn afterwards(
    fleet: &mut Fleet<entrance::Porter>,
    node: &str,
    run: &str,
    named: &[Named],
    then: Then,
) -> Result<Vec<String>, Fatal> {
    let mut told = false;
    loop {
        let doing = doing(&fleet.standing(node, Some(run)).map_err(lost)?, named);
        if doing.running.is_empty() || then == Then::Leave {
            return Ok(doing.running.into_iter().map(|(_, title)| title).collect());
        }
        if then == Then::Wait {
            if !std::mem::replace(&mut told, true) {
                for (_, title) in &doing.running {
                    let _ = writeln!(std::io::stderr(), "waiting for {title} on {node}; ^C leaves it running");
                }
            }
            std::thread::sleep(PAUSE);
            continue;
        }
        let mut left = Vec::new();
        for (name, title) in doing.running {
            match fleet.end(node, run, &name, GRACE).map_err(lost)? {
                Truth::Running => left.push(title),
                Truth::Unknown(why) => return Err(Fatal::new(Exit::Unknown, format!("{title} on {node}: {why}"))),
                Truth::Never | Truth::Done(_) => say(&format!("{title} was ended on {node}\n")),
            }
        }
        return Ok(left);
    }
}
