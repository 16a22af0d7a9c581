//! `hawiz failover`: who gives up and who takes over is found out, then it is a procedure like any other.
//!
//! Why it exists: at night nobody should have to say what can be seen. Invariant: what was found here is only who is asked
//! for; the run looks for itself before it changes anything.

use super::files::{self, Parts, Read};
use super::{Done, entrance, nodes, run};
use crate::cli::{self, Common, Go, Set};
use crate::journal;
use crate::plan::Plan;
use crate::problem::{Exit, Fatal};
use crate::prompt::terminal::Terminal;
use crate::prompt::{Answer, Prompter, Question};
use crate::reach::Reach;
use crate::resolve::{Roles, from_whom};
use crate::roles;
use crate::survey;
use crate::ui;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn failover(common: &Common, roles: &cli::Roles, go: &Go) -> Done {
    let mut parts = files::parts(common, &go.set)?;
    parts.off.clone_from(&go.answer.attest);
    let read = planned(common, parts, roles, &go.set, !go.offline, run::interactive() && !go.dryrun)?;
    run::begin(common, read, go)
}

/// A failover so soon after another one wants a reason: given with `--comment`, or asked for. `None`: none is wanted.
pub(super) fn reason(read: &Read, state: &Path, go: &Go, ask: bool) -> Result<Option<String>, Fatal> {
    let given = go.comment.clone().filter(|c| !c.trim().is_empty());
    let Some(interval) = read.min_interval.filter(|_| read.plan.failover.is_some() && given.is_none()) else {
        return Ok(go.comment.clone());
    };
    let nodes: Vec<String> = read.plan.nodes.iter().map(|n| n.name.clone()).collect();
    let Some(last) = journal::latest_failover(state, &nodes) else { return Ok(None) };
    let ago = ui::moment(&last.ended).map(|t| (chrono::Utc::now() - t).to_std().unwrap_or_default());
    let Some(ago) = ago.filter(|ago| *ago < interval) else { return Ok(None) };
    let text = format!(
        "run `{}` failed over {}s ago, less than `min-interval` ({}s): is it the system that is at fault?",
        last.id,
        ago.as_secs(),
        interval.as_secs()
    );
    if !ask {
        return Err(Fatal::new(Exit::NotReady, text).hint("say why it is right all the same: --comment TEXT"));
    }
    let mut terminal = Terminal::new(None, Box::new(|| None), true)
        .map_err(|e| Fatal::new(Exit::Internal, format!("cannot ask on this terminal: {e}")))?;
    super::say(&format!("{text}\n"));
    let question =
        Question::Input { name: "reason".into(), prompt: "Why fail over again?".into(), choices: Vec::new() };
    loop {
        match terminal.ask(&question).answer {
            Answer::Text(why) if !why.lossy().trim().is_empty() => return Ok(Some(why.lossy())),
            Answer::Text(_) | Answer::Again => {}
            _ => return Err(Fatal::new(Exit::Declined, "no reason was given; nothing was run")),
        }
    }
}

/// The plan of a failover. `look`: who gives up may be found by looking; `ask`: logins may ask a person.
pub(super) fn read(common: &Common, roles: &cli::Roles, set: &Set, look: bool, ask: bool) -> Result<Read, Fatal> {
    planned(common, files::parts(common, set)?, roles, set, look, ask)
}

fn planned(
    common: &Common,
    mut parts: Parts,
    roles: &cli::Roles,
    set: &Set,
    look: bool,
    ask: bool,
) -> Result<Read, Fatal> {
    let to = match (&roles.to, &set.on) {
        (Some(to), Some(on)) if to != on => {
            return Err(Fatal::new(Exit::Usage, format!("`--to {to}` and `--on {on}`: one node takes over"))
                .hint("`--to NODE` says which"));
        }
        (to, on) => to.clone().or_else(|| on.clone()),
    };
    let mut roles = Roles { from: roles.from.clone(), to, unplanned: roles.unplanned };
    let exclusive = parts.playbook.procedure("inactive").is_some();
    if look && exclusive && from_whom(&parts.playbook, &parts.site, &roles).is_none() {
        roles.from = Some(found(common, &mut parts, &roles, ask)?);
    }
    parts.read("failover", None, Some(roles))
}

/// Two names of one machine would look like two that are active.
fn one_machine_one_name(plan: &Plan, fleet: &mut dyn Reach) -> Result<(), Fatal> {
    let names: Vec<String> = plan.nodes.iter().map(|n| n.name.clone()).collect();
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for (node, met) in names.iter().zip(fleet.greet_all(&names)) {
        if let Some(id) = met.ok().and_then(|g| g.identity)
            && let Some(other) = known.insert(id, node.clone())
        {
            return Err(Fatal::new(Exit::NotReady, crate::engine::one_machine(&other, node)));
        }
    }
    Ok(())
}

/// The node that is active now.
fn found(common: &Common, parts: &mut Parts, wanted: &Roles, ask: bool) -> Result<String, Fatal> {
    let plan = parts.plan("failover", None, None)?;
    let state = journal::state_dir(common.state_dir.as_deref())?;
    let porter = if ask { entrance::at_a_terminal(true)? } else { entrance::nobody() };
    let mut fleet = nodes::fleet(&plan, &parts.site.folder, &state, porter);
    let survey = survey::survey(&plan, &mut fleet, true);
    one_machine_one_name(&plan, &mut fleet)?;
    roles::source(&survey.proof, wanted.to.as_deref(), wanted.unplanned)
        .map_err(|no| Fatal::new(Exit::NotReady, no.why).hint(no.hint))
}
