//! Commands that only look: dry run, `plan`, `check`, `status`. Nothing is created anywhere, on no machine.

use super::entrance::{self, Porter};
use super::files::{self, Read};
use super::{Done, colour, nodes, say, say_bytes, tongue, verbosity};
use crate::cli::{Common, Format, Output, Roles, Set};
use crate::event::Proven;
use crate::plan::{Answer, Plan, What};
use crate::problem::{Exit, Fatal};
use crate::reach::Reach;
use crate::roles;
use crate::survey::{self, Survey};
use crate::ui::{self, Looks, Style};

fn format(f: Format) -> ui::script::Format {
    match f {
        Format::Text => ui::script::Format::Text,
        Format::Md => ui::script::Format::Md,
        Format::Sh => ui::script::Format::Sh,
        Format::Json => ui::script::Format::Json,
    }
}

/// `hawiz plan PROC`: the resolved plan, contacting nobody.
pub(super) fn plan(common: &Common, procedure: &str, roles: &Roles, set: &Set, how: Format) -> Done {
    let read = read(common, procedure, roles, set, false)?;
    let style = Style::stdout(colour(common), verbosity(common));
    let spoken = spoken(common, &read.plan, format(how))?;
    say_bytes(&ui::script::render(spoken.as_ref().unwrap_or(&read.plan), None, format(how), &style));
    // As in `files::read`: the process ends here.
    std::mem::forget(read);
    Ok(Exit::Ok)
}

/// The plan for the eye; what a program reads has one language.
fn spoken(common: &Common, plan: &Plan, how: ui::script::Format) -> Result<Option<Plan>, Fatal> {
    if how == ui::script::Format::Json { Ok(None) } else { tongue::spoken(common, plan) }
}

fn read(common: &Common, procedure: &str, roles: &Roles, set: &Set, look: bool) -> Result<Read, Fatal> {
    if procedure == "failover" {
        return super::failover::read(common, roles, set, look, false);
    }
    files::read(common, procedure, set)
}

/// Looks are remembered nowhere: the fleet gets a state directory that is only ever read.
pub(super) fn fleet(read: &Read, common: &Common) -> Result<crate::session::Fleet<Porter>, Fatal> {
    let state = crate::journal::state_dir(common.state_dir.as_deref())?;
    Ok(nodes::fleet(&read.plan, &read.folder, &state, entrance::nobody()))
}

pub(super) fn looks(survey: &Survey, fleet: &mut dyn Reach, plan: &Plan) -> Looks {
    let now = chrono::Utc::now();
    let mut looks = Looks::default();
    looks.now = Some(now);
    for l in &survey.looks {
        looks.add(l.clone(), Some(now));
    }
    looks.unreachable = survey.unreachable.clone();
    looks.unrecorded = survey.unrecorded.clone();
    looks.values = survey.values.clone();
    for (node, proven) in &survey.proof {
        looks.proofs.insert(node.clone(), (proven.clone(), Some(now)));
    }
    for node in &plan.nodes {
        let changes =
            plan.steps().any(|s| s.changes() && matches!(&s.place, crate::plan::Place::Node(n) if *n == node.name));
        if changes
            && !survey.unreachable.contains_key(&node.name)
            && let Ok(g) = fleet.greet(&node.name)
            && let Some(why) = g.unrecorded
        {
            looks.unrecorded.insert(node.name.clone(), why);
        }
    }
    looks
}

/// Why a plan could not begin now.
fn refusals(plan: &Plan, survey: &Survey) -> Vec<String> {
    let mut out = survey.refused.clone();
    if plan.activates {
        for (node, proven) in &survey.proof {
            match proven {
                // What is wrong with them is said in one sentence.
                _ if plan.failover.is_some() && (plan.gives_up(node) || plan.target.as_ref() == Some(node)) => {}
                Proven::LookedAt | Proven::Attested | Proven::Fenced(_) => {}
                Proven::Active(why) => out.insert(0, format!("{node} is active: {why}")),
                Proven::CannotTell(why) | Proven::Alive(why) => {
                    out.insert(0, format!("{node} is not proven inactive: {why}"))
                }
            }
        }
    }
    if let (Some(from), Some(to)) = (plan.from(), plan.target.as_deref())
        && plan.exclusive
        && let Err(no) = roles::fit(&survey.proof, from, to, plan.lost().is_some())
    {
        out.insert(0, format!("{}; {}", no.why, no.hint));
    }
    out
}

/// What somebody vouches for counts in a dry run as it would count.
fn vouched(plan: &Plan, survey: &mut Survey, attest: &[String]) {
    for proof in plan.first_proofs() {
        let said = attest.contains(&proof.node);
        let node = proof.node.clone();
        if plan.lost() == Some(&node) {
            let why =
                format!("it is left for lost, and no fence device is known for it; vouch for it: --attest {node}");
            survey.proof.push((node, if said { Proven::Attested } else { Proven::CannotTell(why) }));
        } else if said && survey.unreachable.contains_key(&node) {
            survey.proof.iter_mut().filter(|(n, _)| *n == node).for_each(|(_, p)| *p = Proven::Attested);
        }
    }
}

/// `--dryrun`: what would happen, from looks taken now. It asks nothing and changes nothing.
pub(super) fn dry_run(common: &Common, read: Read, offline: bool, how: Option<Format>, attest: &[String]) -> Done {
    let style = Style::stdout(colour(common), verbosity(common));
    let how = match (how, common.output) {
        (Some(f), _) => format(f),
        (None, Some(Output::Json)) => ui::script::Format::Json,
        (None, _) => ui::script::Format::Text,
    };
    let plan = &read.plan;
    let spoken = spoken(common, plan, how)?;
    let shown = spoken.as_ref().unwrap_or(plan);
    if offline {
        say_bytes(&ui::script::render(shown, None, how, &style));
        return Ok(Exit::Ok);
    }
    let mut fleet = fleet(&read, common)?;
    fleet.hurry(attest, super::run::PROBE);
    std::env::set_current_dir("/").ok();
    let mut survey = survey::survey(plan, &mut fleet, plan.activates);
    vouched(plan, &mut survey, attest);
    for (node, why) in survey.unreachable.clone() {
        if plan.steps().any(|s| matches!(&s.place, crate::plan::Place::Node(n) if *n == node)) {
            survey.refused.insert(0, format!("{node} cannot be reached: {why}"));
        }
    }
    let held = held(plan, &survey, &mut fleet);
    let looks = looks(&survey, &mut fleet, plan);
    say_bytes(&ui::script::render(shown, Some(&looks), how, &style));
    let refused = refusals(plan, &survey);
    if matches!(how, ui::script::Format::Text) && !refused.is_empty() {
        let list: Vec<String> = refused.iter().flat_map(|r| ui::text::hang(&format!("  {r}"), style.width)).collect();
        say(&format!("Would refuse:\n{}\n", list.join("\n")));
    }
    if let Some(held) = held {
        say(&format!("{held}\n"));
        return Ok(Exit::Locked);
    }
    Ok(if refused.is_empty() { Exit::Ok } else { Exit::NotReady })
}

/// A node that would be changed and is held by another run now.
fn held(plan: &Plan, survey: &Survey, fleet: &mut crate::session::Fleet<Porter>) -> Option<String> {
    let changed = |node: &str| plan.steps().any(|s| s.changes() && s.place == crate::plan::Place::Node(node.into()));
    let nodes = reached(plan, survey).filter(|n| changed(n)).collect::<Vec<_>>();
    let holders = fleet.holders(&nodes);
    let held = nodes.iter().zip(holders).find_map(|(node, holder)| Some((node, holder?)));
    held.map(|(node, holder)| format!("{node} is held by another run: {holder}"))
}

/// The nodes that were not found unreachable just now.
pub(super) fn reached(plan: &Plan, survey: &Survey) -> impl Iterator<Item = String> {
    plan.nodes.iter().map(|n| n.name.clone()).filter(|n| !survey.unreachable.contains_key(n))
}

/// `hawiz check [PROC]`: only the looking.
pub(super) fn check(common: &Common, procedure: &str, roles: &Roles, set: &Set) -> Done {
    let read = read(common, procedure, roles, set, true)?;
    let plan = &read.plan;
    let mut fleet = fleet(&read, common)?;
    std::env::set_current_dir("/").ok();
    let survey = survey::survey(plan, &mut fleet, plan.activates);
    if common.output == Some(Output::Json) {
        let looks = looks(&survey, &mut fleet, plan);
        let style = Style::stdout(colour(common), verbosity(common));
        say_bytes(&ui::script::render(plan, Some(&looks), ui::script::Format::Json, &style));
    } else {
        say(&matrix(plan, &survey, &Style::stdout(colour(common), verbosity(common))));
    }
    let refused = refusals(plan, &survey);
    let unreached = survey
        .unreachable
        .iter()
        .any(|(n, _)| plan.steps().any(|s| matches!(&s.place, crate::plan::Place::Node(m) if m == n)));
    let ready = refused.is_empty() && !unreached;
    let width = Style::stdout(colour(common), 0).width;
    for r in &refused {
        ui::text::hang(&format!("not ready: {r}"), width).iter().for_each(|l| say(&format!("{l}\n")));
    }
    say(if ready { "ready\n" } else { "not ready\n" });
    Ok(if ready { Exit::Ok } else { Exit::NotReady })
}

/// Every look, a line each; checks on several nodes as a row of marks.
pub(super) fn matrix(plan: &Plan, survey: &Survey, style: &Style) -> String {
    let m = style.marks();
    let mark = |a: Answer| match a {
        Answer::Yes => style.paint(ui::Ink::Good, m.yes),
        Answer::No => style.paint(ui::Ink::Bad, m.no),
        _ => style.paint(ui::Ink::Doubt, m.doubt),
    };
    let mut out = format!("{}\n", plan.title);
    for stage in &plan.stages {
        out.push_str(&format!("\n{}\n", stage.title));
        for step in &stage.steps {
            let looks: Vec<_> = survey
                .looks
                .iter()
                .filter(|l| l.step == step.instance && l.purpose != crate::event::Purpose::When)
                .collect();
            let title = step.title.shown();
            match (looks.as_slice(), &step.what) {
                ([], _) => out.push_str(&format!("  {} {title}\n", m.not_yet)),
                ([one], _) => {
                    let word = if matches!(step.what, What::Check(_)) { "" } else { "already: " };
                    out.push_str(&format!(
                        "  {} {word}{title}  {}\n",
                        mark(one.answer),
                        ui::escape::line(&one.evidence)
                    ));
                }
                (many, _) => {
                    let row: Vec<String> = many.iter().map(|l| format!("{} {}", l.node, mark(l.answer))).collect();
                    out.push_str(&format!("  {title:<40}  {}\n", row.join("  ")));
                    if style.verbose > 0 {
                        many.iter().for_each(|l| {
                            out.push_str(&format!("      {}: {}\n", l.node, ui::escape::line(&l.evidence)))
                        });
                    }
                }
            }
        }
    }
    out
}
