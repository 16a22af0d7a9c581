//! All runs of a state directory: what each was, how it ended, and which nodes it touched.
//!
//! Why it exists: `runs`, `status`, `resume` without a name, and the rule that a run is not resumed or rolled back once a
//! later one has touched its nodes. Invariant: one unreadable run never hides the others; it is listed with its problem.

use super::{PLAN, place, read};
use crate::event::{Event, Record, Verdict};
use crate::plan::Plan;
use std::path::Path;

/// One run in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub id: String,
    pub procedure: String,
    pub target: Option<String>,
    /// UTC; of its first record.
    pub started: String,
    /// UTC; of its last record.
    pub ended: String,
    /// How its last sitting ended; `None`: it has not, or was interrupted.
    pub verdict: Option<Verdict>,
    /// `resume` makes sense: it was interrupted, or ended with something left to do.
    pub open: bool,
    /// On which it recorded an intent, in order.
    pub nodes: Vec<String>,
    /// Why it can't be read.
    pub problem: Option<String>,
}

impl Summary {
    /// One word for a list: the verdict, or `open`, or `unreadable`.
    pub fn word(&self) -> String {
        match (&self.problem, self.verdict) {
            (Some(_), _) => "unreadable".into(),
            (None, None) => "open".into(),
            (None, Some(verdict)) => {
                serde_json::to_value(verdict).ok().and_then(|v| v.as_str().map(str::to_string)).unwrap_or_default()
            }
        }
    }
}

/// All runs, newest first.
pub fn runs(state: &Path) -> Vec<Summary> {
    let mut all: Vec<Summary> = loaded(state).into_iter().map(|(summary, _)| summary).collect();
    all.sort_by(|a, b| (&b.started, &b.id).cmp(&(&a.started, &a.id)));
    all
}

/// The newest run that `resume` makes sense for.
pub fn latest_open(state: &Path) -> Option<String> {
    runs(state).into_iter().find(|r| r.open).map(|r| r.id)
}

/// The run that touched one of these nodes (recorded an intent there) after this run did so last, or, where it never did,
/// after this run began. Resume, roll-back and settle are refused then. A run without a record has looked at nothing yet: all
/// that others did was done before it begins.
pub fn later_run_touching(state: &Path, run_id: &str, nodes: &[String]) -> Option<String> {
    let all = loaded(state);
    let (mine, records) = all.iter().find(|(s, _)| s.id == run_id).filter(|(_, records)| !records.is_empty())?;
    let mut latest: Option<(&str, &str)> = None;
    for node in nodes {
        let since = touches(records).filter(|(n, _)| n == node).map(|(_, utc)| utc).last().unwrap_or(&mine.started);
        for (other, records) in all.iter().filter(|(s, _)| s.id != run_id) {
            for (_, utc) in touches(records).filter(|(n, utc)| n == node && *utc > since) {
                if latest.is_none_or(|(at, _)| utc > at) {
                    latest = Some((utc, &other.id));
                }
            }
        }
    }
    latest.map(|(_, id)| id.to_string())
}

/// The newest failover that changed one of these nodes.
pub fn latest_failover(state: &Path, nodes: &[String]) -> Option<Summary> {
    let touched = |r: &Summary| r.nodes.iter().any(|n| nodes.contains(n));
    runs(state).into_iter().filter(|r| r.procedure == "failover" && touched(r)).max_by(|a, b| a.ended.cmp(&b.ended))
}

/// Node and time of every intent. Times of one format and zone compare as text.
fn touches(records: &[Record]) -> impl Iterator<Item = (&str, &str)> {
    records.iter().filter_map(|r| match &r.event {
        Event::StepIntent { node, .. } | Event::UndoIntent { node, .. } => Some((node.as_str(), r.utc.as_str())),
        _ => None,
    })
}

/// Every run that has begun, with its records as far as they can be read.
fn loaded(state: &Path) -> Vec<(Summary, Vec<Record>)> {
    let Ok(entries) = std::fs::read_dir(state.join("runs")) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let id = entry.file_name().into_string().ok()?;
            let dir = place::run_dir(state, &id).ok()?;
            // Without a plan it never began: hawiz was killed while it made the directory.
            dir.join(PLAN).exists().then(|| {
                let read = read::plan(&dir, &id).and_then(|plan| {
                    let text = read::text(&dir.join(super::JOURNAL), &id)?;
                    Ok((plan, read::records(&text, &id)?.records))
                });
                match read {
                    Ok((plan, records)) => (summary(&id, &plan, &records), records),
                    Err(fatal) => (unreadable(id, fatal.message), Vec::new()),
                }
            })
        })
        .collect()
}

fn summary(id: &str, plan: &Plan, records: &[Record]) -> Summary {
    let mut nodes: Vec<String> = Vec::new();
    for (node, _) in touches(records) {
        if !nodes.iter().any(|n| n == node) {
            nodes.push(node.to_string());
        }
    }
    let (mut verdict, mut open) = (None, true);
    for record in records {
        match &record.event {
            Event::RunFinished { verdict: v, exit, .. } => {
                verdict = Some(*v);
                // Internal error, stopped after a change, unknown, stuck; stopped because its lock was taken.
                open = matches!(exit, 1 | 6 | 7 | 10) || (*exit == 5 && *v == Verdict::Stopped);
            }
            Event::RunStarted { .. } | Event::RunResumed { .. } => (verdict, open) = (None, true),
            _ => {}
        }
    }
    Summary {
        id: id.to_string(),
        procedure: plan.procedure.clone(),
        target: plan.target.clone(),
        started: records.first().map_or_else(|| time_in(id), |r| r.utc.clone()),
        ended: records.last().map_or_else(|| time_in(id), |r| r.utc.clone()),
        verdict,
        open,
        nodes,
        problem: None,
    }
}

fn unreadable(id: String, problem: String) -> Summary {
    Summary {
        procedure: String::new(),
        target: None,
        started: time_in(&id),
        ended: time_in(&id),
        verdict: None,
        open: false,
        nodes: Vec::new(),
        problem: Some(problem),
        id,
    }
}

/// The time in a run's id, as a record would have it.
fn time_in(id: &str) -> String {
    let head = id.get(..15).unwrap_or_default();
    chrono::NaiveDateTime::parse_from_str(head, "%Y%m%d-%H%M%S")
        .map(|t| t.format("%Y-%m-%dT%H:%M:%S.000Z").to_string())
        .unwrap_or_default()
}
