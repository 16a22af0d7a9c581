//! `hawiz validate`: what is wrong with what people wrote, all at once, before it is needed.
//!
//! Why it exists: a mistake in a playbook, a site file, a translation or an answers file is to be met at a desk, not in an outage.
//! Invariant: every file is read as a run would read it; nobody is contacted.

use super::files::{file, playbook, site};
use super::{Done, say, tongue};
use crate::cli::Common;
use crate::playbook::Playbook;
use crate::problem::{Exit, Problems};
use crate::resolve::{self, Files, Request, Roles};
use crate::site::{Answers, Site};
use std::path::Path;

/// `hawiz validate [FILE]`: all problems at once; without a file the site, its playbook, and the plan of each procedure.
pub(super) fn validate(common: &Common, path: Option<&Path>) -> Done {
    let mut problems = Problems::default();
    let Some(path) = path else { return validate_site(common) };
    let mut translations = Vec::new();
    let base = tongue::base(path);
    let text = file(path, "file")?;
    let name = path.display().to_string();
    let (what, warnings) = match kind(&text) {
        "site" => {
            let folder = path.parent().unwrap_or(Path::new(".")).to_path_buf();
            let parsed = Site::parse(&name, &text, &folder, &mut problems);
            if let Some((site, _)) = &parsed
                && site.playbook.is_some()
                && problems.is_empty()
            {
                return validate_site(&Common { site: Some(path.to_path_buf()), ..common.clone() });
            }
            ("site file", Vec::new())
        }
        "answers" => {
            Answers::parse(&name, &text, &mut problems);
            ("answers file", Vec::new())
        }
        _ if base.is_some() => {
            let base = base.expect("asked just now");
            let playbook = file(&base, "playbook")?;
            if let Some((playbook, _)) = Playbook::parse(&base.display().to_string(), &playbook, &mut problems) {
                tongue::check(path, &playbook, &mut problems)?;
            }
            ("translation", Vec::new())
        }
        _ => {
            let parsed = Playbook::parse(&name, &text, &mut problems);
            if let Some((playbook, _)) = &parsed {
                translations = tongue::beside(path, playbook, &mut problems)?;
            }
            ("playbook", parsed.map(|p| p.0.warnings).unwrap_or_default())
        }
    };
    warn(&name, &text, warnings);
    if !problems.is_empty() {
        return Err(problems.into());
    }
    say(&format!("{name}: this {what} is in order\n"));
    translations.iter().for_each(|name| say(&format!("{name}: this translation is in order\n")));
    Ok(Exit::Ok)
}

fn warn(name: &str, text: &str, warnings: Vec<crate::problem::Problem>) {
    if !warnings.is_empty() {
        let mut all = Problems::default();
        all.file(name, text);
        all.list = warnings
            .into_iter()
            .map(|mut p| {
                p.file = 0;
                p.message = format!("warning: {}", p.message);
                p
            })
            .collect();
        eprint!("{all}");
    }
}

/// What a TOML file is, by its top-level keys.
fn kind(text: &str) -> &'static str {
    let has = |words: &[&str]| text.lines().any(|l| words.iter().any(|w| l.trim_start().starts_with(w)));
    if has(&["[[", "format", "[node-vars]", "[functions]"]) {
        "playbook"
    } else if has(&["[nodes", "playbook", "peers"]) {
        "site"
    } else if has(&["[gates]", "[digests]", "[manual]"]) {
        "answers"
    } else {
        "playbook"
    }
}

/// The playbook's own failover between the first two nodes, planned and unplanned: how many of the two can be planned.
fn failovers(site: &Site, pb: &Playbook, files: Files, problems: &mut Problems) -> usize {
    let mut nodes = site.nodes.iter().map(|(n, _)| n.value.clone());
    let (Some(from), Some(to)) = (nodes.next(), nodes.next()) else { return 0 };
    if pb.procedure("failover").is_none() {
        return 0;
    }
    let mut fine = true;
    for unplanned in [false, true] {
        let roles = Roles { from: Some(from.clone()), to: Some(to.clone()), unplanned };
        let request = Request { procedure: "failover".into(), roles: Some(roles), ..Request::default() };
        let mut mine = Problems { files: problems.files.clone(), list: Vec::new() };
        fine &= resolve::resolve(pb, site, &request, files, &mut mine).is_some();
        problems.list.extend(mine.list.into_iter().filter(|p| p.left_out.is_none()));
    }
    usize::from(fine)
}

/// The site, its playbook, and a plan of every procedure for every node it could be about.
fn validate_site(common: &Common) -> Done {
    let mut problems = Problems::default();
    let mut sources = Vec::new();
    let (site, site_index) = site(common, &mut problems, &mut sources)?;
    let Some(site) = site else { return Err(problems.into()) };
    let (pb, playbook_index) = playbook(common, &site, site_index, &mut problems, &mut sources)?;
    let Some(pb) = pb.filter(|_| problems.is_empty()) else { return Err(problems.into()) };
    for f in problems.files.iter().skip(playbook_index).take(1) {
        warn(&f.name, &f.text, pb.warnings.clone());
    }
    let here = super::nodes::here(&site);
    let first = site.nodes.first().map(|(n, _)| n.value.clone());
    let mut made = 0;
    let mut notes: Vec<(String, String)> = Vec::new();
    for (name, _) in pb.procedures.iter().filter(|(n, _)| !matches!(n.as_str(), "inactive" | "fence" | "failover")) {
        let mut mine = Problems { files: problems.files.clone(), list: Vec::new() };
        let request = Request {
            procedure: name.value.clone(),
            target: here.clone().or(first.clone()),
            here: here.clone(),
            ..Request::default()
        };
        if resolve::resolve(&pb, &site, &request, Files { playbook: playbook_index, site: site_index }, &mut mine)
            .is_some()
        {
            made += 1;
        }
        for p in mine.list {
            match &p.left_out {
                // An input that may be left out is nothing wrong with the site; this procedure will ask for it.
                Some(input) if !notes.iter().any(|(n, i)| (n, i) == (&name.value, input)) => {
                    notes.push((name.value.clone(), input.clone()));
                }
                None if !problems.list.contains(&p) => problems.list.push(p),
                _ => {}
            }
        }
    }
    made += failovers(&site, &pb, Files { playbook: playbook_index, site: site_index }, &mut problems);
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let of = sources.iter().find(|s| s.what == "playbook").expect("it was read").path.clone();
    let translations = tongue::beside(Path::new(&of), &pb, &mut problems)?;
    if !problems.is_empty() {
        return Err(problems.into());
    }
    for s in &sources {
        say(&format!("{}: this {} is in order\n", s.path, if s.what == "site" { "site file" } else { "playbook" }));
    }
    translations.iter().for_each(|name| say(&format!("{name}: this translation is in order\n")));
    say(&format!("{made} procedures can be planned\n"));
    for (procedure, input) in notes {
        say(&format!("note: `{procedure}` needs the input `{input}`, which is empty: give it --set {input}=…\n"));
    }
    Ok(Exit::Ok)
}
