//! Runs that were: list, show, resume, roll back.

use super::run::{Front, Way, interactive, signals};
use super::{Done, colour, files, say, station, verbosity};
use crate::cli::{Answer, Common, Output};
use crate::event::{Event, Outcome};
use crate::history::History;
use crate::journal::{self, Journal};
use crate::plan::{Gate, Step};
use crate::problem::{Exit, Fatal};
use crate::ui::{self, Style, View};
use crate::who::Who;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

fn state(common: &Common) -> Result<PathBuf, Fatal> {
    journal::state_dir(common.state_dir.as_deref())
}

pub(super) fn list(common: &Common) -> Done {
    let all = journal::runs(&state(common)?);
    if common.output == Some(Output::Json) {
        for r in all {
            let line = serde_json::json!({
                "run": r.id, "procedure": r.procedure, "target": r.target, "started": r.started,
                "verdict": r.verdict, "open": r.open, "nodes": r.nodes, "problem": r.problem,
            });
            say(&format!("{line}\n"));
        }
        return Ok(Exit::Ok);
    }
    let wide = std::io::stdout().is_terminal().then(|| Style::stdout(colour(common), 0).width);
    if all.is_empty() {
        say("no runs are kept here\n");
    }
    for r in all {
        let when = ui::moment(&r.started)
            .map_or(r.started.clone(), |t| t.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M").to_string());
        let open = if r.open { ", can be resumed" } else { "" };
        let problem = r.problem.as_deref().map(|p| format!("  {p}")).unwrap_or_default();
        let line = format!("{}  {when}  {}{open}{problem}", r.id, r.word());
        // One line a run where it is not a person's screen.
        match wide {
            Some(width) => ui::text::hang(&line, width).iter().for_each(|l| say(&format!("{l}\n"))),
            None => say(&format!("{line}\n")),
        }
    }
    Ok(Exit::Ok)
}

pub(super) fn show(common: &Common, run: Option<String>, follow: bool) -> Done {
    let state = state(common)?;
    let run = match run {
        Some(run) => run,
        None => journal::runs(&state)
            .into_iter()
            .next()
            .map(|r| r.id)
            .ok_or_else(|| Fatal::new(Exit::Usage, "no runs are kept here"))?,
    };
    if follow {
        let signals = signals()?;
        let mut views = match common.output {
            Some(Output::Json) => ui::views(ui::Output::Json, Style::stdout(colour(common), verbosity(common)), true),
            _ => ui::views(ui::Output::Plain, Style::stdout(colour(common), verbosity(common)), true),
        };
        let mut follow = Journal::follow(&state, &run)?;
        use crate::signal::Interrupts;
        while let Some(record) = follow.next(|| signals.pending().is_some()) {
            views.event(&record?);
        }
        views.finish();
        if follow.abandoned() {
            say(&format!("nobody works on this run any more; go on with: hawiz resume {run}\n"));
        }
        return Ok(Exit::Ok);
    }
    let (_, records) = Journal::read(&state, &run)?;
    if common.output == Some(Output::Json) {
        let mut views = ui::views(ui::Output::Json, Style::stdout(colour(common), verbosity(common)), true);
        records.iter().for_each(|r| views.event(r));
        views.finish();
    } else if common.output == Some(Output::Plain) {
        let mut views = ui::views(ui::Output::Plain, Style::stdout(colour(common), verbosity(common)), true);
        records.iter().for_each(|r| views.event(r));
        views.finish();
    } else {
        say(&ui::report::show(&records, &Style::stdout(colour(common), verbosity(common))));
    }
    Ok(Exit::Ok)
}

/// What the command line said of a run that is gone on with or taken back.
pub(super) struct Again<'a> {
    pub way: Way,
    pub run: Option<String>,
    /// Another station's: this one's from its last record on.
    pub from: Option<&'a str>,
    pub answer: &'a Answer,
    pub answers: Option<&'a Path>,
    pub sets: &'a [OsString],
}

/// The run that is meant where none is named.
fn latest(way: Way, state: &Path) -> Result<String, Fatal> {
    let (run, none) = match way {
        Way::Run => (journal::latest_open(state), "there is no run that could be resumed"),
        Way::RollBack => {
            let changed = journal::runs(state).into_iter().find(|r| !r.nodes.is_empty());
            (changed.map(|r| r.id), "there is no run that changed anything")
        }
    };
    run.ok_or_else(|| Fatal::new(Exit::Usage, none))
}

/// Goes on with a run, or takes it back: the journal's plan, never a new one.
pub(super) fn again(common: &Common, asked: Again) -> Done {
    let Again { way, run, from, answer, answers, sets } = asked;
    let state = &state(common)?;
    let (run, taken) = match from {
        Some(node) => {
            let (run, said) = station::take_over(common, state, node, run, matches!(way, Way::RollBack))?;
            (run, Some(said))
        }
        None => (run.map_or_else(|| latest(way, state), Ok)?, None),
    };
    let run = run.as_str();
    let answers = files::answers(answers)?;
    let who = Who::here().to_string();
    let (journal, plan, records) = Journal::open(state, run, &who)?;
    if taken.is_none() && !journal::arrived(&records) {
        return Err(Fatal::new(
            Exit::NotReady,
            format!(
                "run `{run}` was taken over, but has not locked a node from here; what was done since is not known"
            ),
        )
        .hint(format!("take it over anew: hawiz resume {run} --from NODE")));
    }
    let history = History::of(&records);
    // One that went unplanned has another plan since.
    let plan = plan.now(history.unplanned.is_some()).clone();
    // A roll-back that was begun is gone on with, never left for the way forward.
    let back = matches!(way, Way::RollBack) || history.undoing;
    if !matches!(way, Way::RollBack) && !history.resumable() && !records.is_empty() {
        let how = history.finished.map(|(v, _)| ui::report::verdict(v)).unwrap_or("ended");
        return Err(Fatal::new(Exit::Usage, format!("run `{run}` is over ({how}); there is nothing to go on with"))
            .hint("start anew, or look at it: hawiz show RUN"));
    }
    let cut_off = history.undoing && history.finished.is_none();
    if back && !cut_off && history.to_undo().is_empty() {
        return Err(Fatal::new(Exit::Usage, format!("nothing of run `{run}` is left to undo")));
    }
    let touched: Vec<String> = plan.nodes.iter().map(|n| n.name.clone()).collect();
    if let Some(later) = journal::later_run_touching(state, run, &touched) {
        return Err(Fatal::new(
            Exit::NotReady,
            format!("run `{later}` has changed the same nodes since; `{run}` can neither be resumed nor rolled back"),
        )
        .hint(format!("hawiz show {later}")));
    }
    for (name, value) in files::sets(sets)? {
        match plan.inputs.iter().find(|(n, _)| *n == name) {
            Some((_, before)) if *before == value => {}
            Some((_, before)) => {
                return Err(Fatal::new(
                    Exit::Usage,
                    format!("`--set {name}={}` differs from the run's own value, `{}`", value.lossy(), before.lossy()),
                )
                .hint("a resumed run keeps its values; start anew for other ones"));
            }
            None => return Err(Fatal::new(Exit::Usage, format!("the run has no input `{name}`"))),
        }
    }
    let interactive = interactive();
    if !interactive && back {
        let gate = crate::engine::undo_gate(&plan, &history);
        if !crate::prompt::answers::takes_back(&gate, &answers, answer.yes) {
            let hint = match gate {
                Gate::Type(word) => format!(
                    "it makes a node active again, so its gate is an activation's: answer it with --answers FILE, in which stands\n  \
                     [gates]\n  \"rollback\" = \"{word}\""
                ),
                _ => "`--yes` accepts it".to_string(),
            };
            let text = "there is no terminal to show the roll-back on; nothing was run";
            return Err(Fatal::new(Exit::NotReady, text).hint(hint));
        }
    }
    if !interactive && !back {
        let left = |s: &Step| {
            !matches!(history.outcome(&s.instance), Some(Outcome::Done | Outcome::Already | Outcome::Skipped(_)))
        };
        let open: Vec<String> = crate::prompt::answers::missing(&plan, &answers, answer.yes, left);
        if !open.is_empty() {
            return Err(Fatal::new(
                Exit::NotReady,
                format!("there is no terminal, and these have no answer; nothing was run:\n  {}", open.join("\n  ")),
            ));
        }
    }
    let note = journal.note().map(String::from);
    // `via` programs with relative paths start where the site file was.
    let site = plan.sources.iter().find(|s| s.what == "site").and_then(|s| std::path::absolute(&s.path).ok());
    let folder = site.and_then(|p| p.parent().map(Path::to_path_buf)).unwrap_or_default();
    let changed = today(&plan);
    let front = Front::open(common, &plan, interactive, answer, (&folder, state))?;
    let mut at = front.sit(journal, answers, &journal::stations(&records));
    let fresh = records.is_empty();
    at.resume(history, &records);
    if fresh {
        // The process ended between laying the run out and its first record.
        at.begin(super::run::started(&plan, run, None))?;
    } else if matches!(way, Way::Run) && taken.is_none() {
        at.begin(Event::RunResumed {
            run: run.into(),
            purpose: "resume".into(),
            hawiz: env!("CARGO_PKG_VERSION").into(),
            taken: None,
        })?;
    }
    for text in taken.into_iter().flatten().chain(note).chain(changed) {
        at.note(text)?;
    }
    Ok(at.work(way).exit)
}

/// What differs today from what the run was planned with.
fn today(plan: &crate::plan::Plan) -> Vec<String> {
    let mut out = Vec::new();
    for s in &plan.sources {
        let now = std::fs::read(&s.path).ok().map(|t| crate::resolve::digest(&t));
        if now.is_some_and(|d| d != s.digest) {
            out.push(format!("{} `{}` has changed since this run began; the run keeps its own plan", s.what, s.path));
        }
    }
    if plan.hawiz != env!("CARGO_PKG_VERSION") {
        out.push(format!("this run was planned by hawiz {}, this is {}", plan.hawiz, env!("CARGO_PKG_VERSION")));
    }
    out
}
