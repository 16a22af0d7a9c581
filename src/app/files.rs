//! Files that people wrote: found, trusted, read, resolved into a Plan.

use super::{Done, say, tongue};
use crate::cli::{Common, Set};
use crate::plan::{self, Plan};
use crate::playbook::{At, Playbook};
use crate::problem::{Exit, Fatal, Problems, did_you_mean};
use crate::resolve::{self, Files, Request, Roles};
use crate::shell::Value;
use crate::site::{Answers, Site};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Playbooks in the binary, by name.
pub(super) const EMBEDDED: [(&str, &str); 4] = [
    ("brest", include_str!("../../playbooks/brest.toml")),
    ("osmh", include_str!("../../playbooks/osmh.toml")),
    ("rhel-ha-aws", include_str!("../../playbooks/rhel-ha-aws.toml")),
    ("xcat", include_str!("../../playbooks/xcat.toml")),
];

/// All that was read for one command.
pub(super) struct Read {
    pub plan: Plan,
    pub answers: Answers,
    pub folder: PathBuf,
    /// A failover so soon after another one needs a reason.
    pub min_interval: Option<Duration>,
}

/// Site, playbook and answers, before anything is planned from them.
pub(super) struct Parts {
    pub site: Site,
    pub playbook: Playbook,
    pub here: Option<String>,
    /// Nodes that are vouched for as off.
    pub off: Vec<String>,
    answers: Answers,
    sets: Vec<(String, Value)>,
    sources: Vec<plan::Source>,
    files: Files,
    problems: Problems,
}

/// Reads site, playbook and answers, and makes the plan of a procedure.
pub(super) fn read(common: &Common, procedure: &str, set: &Set) -> Result<Read, Fatal> {
    read_without(common, procedure, set, &[])
}

/// The same, without the nodes that are vouched for as off.
pub(super) fn read_without(common: &Common, procedure: &str, set: &Set, off: &[String]) -> Result<Read, Fatal> {
    let parts = Parts { off: off.to_vec(), ..parts(common, set)? };
    let target = match &set.on {
        Some(n) => Some(n.clone()),
        None if procedure == "status" => None,
        None => parts.here.clone(),
    };
    if target.is_none() && matches!(procedure, "activate" | "deactivate" | "setup") {
        let names: Vec<&str> = parts.site.nodes.iter().map(|(n, _)| n.as_str()).collect();
        return Err(Fatal::new(
            Exit::Usage,
            format!("which node is to be {}? none of the site's nodes is this machine", done_to(procedure)),
        )
        .hint(format!(
            "name it with --on NODE ({}), or give the node that is this machine `local = true`",
            names.join(", ")
        )));
    }
    parts.read(procedure, target, None)
}

/// Reads site, playbook and answers.
pub(super) fn parts(common: &Common, set: &Set) -> Result<Parts, Fatal> {
    let mut problems = Problems::default();
    let mut sources = Vec::new();
    let answers = match &set.answers {
        None => Answers::default(),
        Some(path) => {
            let text = file(path, "answers file")?;
            sources.push(source("answers", path, &text));
            Answers::parse(&path.display().to_string(), &text, &mut problems).map(|a| a.0).unwrap_or_default()
        }
    };
    let (site, site_index) = site(common, &mut problems, &mut sources)?;
    let (pb, playbook_index) = match &site {
        Some(site) => playbook(common, site, site_index, &mut problems, &mut sources)?,
        None => (None, 0),
    };
    let sets = sets(&set.sets)?.into_iter().chain(answers.inputs.iter().map(|(k, v)| {
        let value = match &v.value {
            crate::playbook::Given::One(s) => Value::from(s.as_str()),
            crate::playbook::Given::Many(all) => Value::from(all.join("\n")),
        };
        (k.value.clone(), value)
    }));
    let sets = sets.collect();
    let (Some(site), Some(playbook)) = (site, pb) else { return Err(problems.into()) };
    let here = super::nodes::here(&site);
    let files = Files { playbook: playbook_index, site: site_index };
    Ok(Parts { site, playbook, here, off: Vec::new(), answers, sets, sources, files, problems })
}

impl Parts {
    /// The plan of a procedure; `roles`: of a failover.
    pub fn plan(&mut self, procedure: &str, target: Option<String>, roles: Option<Roles>) -> Result<Plan, Fatal> {
        let request = Request {
            procedure: procedure.into(),
            target,
            roles,
            off: self.off.clone(),
            here: self.here.clone(),
            sets: self.sets.clone(),
            sources: self.sources.clone(),
        };
        let made = resolve::resolve(&self.playbook, &self.site, &request, self.files, &mut self.problems);
        match made.filter(|_| self.problems.is_empty()) {
            Some(plan) => Ok(plan),
            None => Err(std::mem::take(&mut self.problems).into()),
        }
    }

    /// That, with all else that a command needs.
    pub fn read(mut self, procedure: &str, target: Option<String>, roles: Option<Roles>) -> Result<Read, Fatal> {
        let plan = self.plan(procedure, target, roles)?;
        let Parts { site, playbook, answers, .. } = self;
        if let Some(wanted) = &answers.plan
            && wanted.value != plan.digest
        {
            return Err(Fatal::new(
                Exit::Usage,
                format!("the answers are for plan `{}`, but this is plan `{}`", wanted.value, plan.digest),
            )
            .hint("look at the plan again and write the answers anew"));
        }
        let (folder, min_interval) = (site.folder.clone(), site.min_interval.or(playbook.min_interval));
        // The process ends with this plan: taking a large tree apart before would only take time.
        std::mem::forget(playbook);
        Ok(Read { plan, answers, folder, min_interval })
    }
}

/// The site's nodes, by the site file alone: its playbook may be broken, or none.
pub(super) struct Nodes {
    pub path: String,
    pub folder: PathBuf,
    pub nodes: Vec<plan::Node>,
}

pub(super) fn nodes(common: &Common) -> Result<Nodes, Fatal> {
    let mut problems = Problems::default();
    let (site, _) = site(common, &mut problems, &mut Vec::new())?;
    let Some(site) = site.filter(|_| problems.is_empty()) else { return Err(problems.into()) };
    let here = super::nodes::here(&site);
    let reached = |(name, node): &(At<String>, crate::site::Node)| {
        resolve::inputs::reached(&site, &name.value, node, here.as_deref())
    };
    let nodes = site.nodes.iter().map(reached).collect();
    Ok(Nodes { path: site_path(common)?.display().to_string(), nodes, folder: site.folder })
}

/// The answers file of a run that goes on; its inputs are the run's own already.
pub(super) fn answers(path: Option<&Path>) -> Result<Answers, Fatal> {
    let Some(path) = path else { return Ok(Answers::default()) };
    let mut problems = Problems::default();
    let text = file(path, "answers file")?;
    match Answers::parse(&path.display().to_string(), &text, &mut problems) {
        Some((answers, _)) if problems.is_empty() => Ok(answers),
        _ => Err(problems.into()),
    }
}

fn done_to(procedure: &str) -> &'static str {
    match procedure {
        "activate" => "activated",
        "deactivate" => "deactivated",
        _ => "set up",
    }
}

/// `INPUT=VALUE` flags, each input once.
pub(super) fn sets(sets: &[OsString]) -> Result<Vec<(String, Value)>, Fatal> {
    let mut out: Vec<(String, Value)> = Vec::new();
    for set in sets {
        let bytes = set.as_bytes();
        let at = bytes.iter().position(|b| *b == b'=');
        let name = at.and_then(|at| std::str::from_utf8(&bytes[..at]).ok());
        let (Some(at), Some(name)) = (at, name) else {
            return Err(Fatal::new(Exit::Usage, format!("`--set {}` is not INPUT=VALUE", set.to_string_lossy())));
        };
        if bytes[at + 1..].contains(&0) {
            return Err(Fatal::new(Exit::Usage, format!("`--set {name}`: a value cannot hold a NUL byte")));
        }
        if out.iter().any(|(n, _)| n == name) {
            return Err(Fatal::new(Exit::Usage, format!("`--set {name}` is given twice")));
        }
        out.push((name.to_string(), Value::new(&bytes[at + 1..])));
    }
    Ok(out)
}

fn source(what: &str, path: &Path, text: &str) -> plan::Source {
    plan::Source { what: what.into(), path: path.display().to_string(), digest: resolve::digest(text.as_bytes()) }
}

/// Reads a file that will decide what runs; as root, one that others can write (or whose folder they can) is refused.
pub(super) fn file(path: &Path, what: &str) -> Result<String, Fatal> {
    let text = std::fs::read(path)
        .map_err(|e| Fatal::new(Exit::Usage, format!("{}: cannot read this {what}: {e}", path.display())))?;
    if rustix::process::geteuid().is_root() {
        trusted(path, what)?;
    }
    String::from_utf8(text).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Fatal::new(Exit::Usage, format!("{}: this {what} is not UTF-8 (byte {at})", path.display()))
    })
}

fn trusted(path: &Path, what: &str) -> Result<(), Fatal> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let folder = real.parent().map(Path::to_path_buf);
    for (p, is_folder) in [(Some(real.clone()), false), (folder, true)] {
        let Some(p) = p else { continue };
        let Ok(meta) = std::fs::metadata(&p) else { continue };
        let sticky = is_folder && meta.mode() & 0o1000 != 0;
        let others = meta.mode() & 0o022 != 0 && !sticky && !(meta.mode() & 0o022 == 0o020 && meta.gid() == 0);
        if others || meta.uid() != 0 {
            let whose = if meta.uid() == 0 {
                "others can write it".to_string()
            } else {
                format!("it belongs to uid {}, not to root", meta.uid())
            };
            let which = if is_folder { format!("the folder `{}`", p.display()) } else { format!("`{}`", p.display()) };
            return Err(Fatal::new(Exit::Usage, format!("{which} of this {what} is not to be trusted: {whose}"))
                .hint(format!("chown root:root and chmod go-w {}", p.display())));
        }
    }
    Ok(())
}

fn site_path(common: &Common) -> Result<PathBuf, Fatal> {
    if let Some(p) = &common.site {
        return Ok(p.clone());
    }
    for p in ["hawiz.toml", "/etc/hawiz/hawiz.toml"] {
        if Path::new(p).exists() {
            return Ok(PathBuf::from(p));
        }
    }
    Err(Fatal::new(Exit::Usage, "there is no site file: neither `./hawiz.toml` nor `/etc/hawiz/hawiz.toml`")
        .hint("name one with --site FILE; the README shows how to write a first one"))
}

type Parsed<T> = Result<(Option<T>, usize), Fatal>;

pub(super) fn site(common: &Common, problems: &mut Problems, sources: &mut Vec<plan::Source>) -> Parsed<Site> {
    let path = site_path(common)?;
    let text = file(&path, "site file")?;
    sources.push(source("site", &path, &text));
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let index = problems.files.len();
    Ok(match Site::parse(&path.display().to_string(), &text, &folder, problems) {
        Some((site, index)) => (Some(site), index),
        None => (None, index),
    })
}

/// Where a playbook name or file leads, and its text.
fn playbook_text(name: &str, folder: &Path) -> Result<(String, String), Fatal> {
    if name.contains('/') || name.ends_with(".toml") {
        let path = folder.join(name);
        return Ok((path.display().to_string(), file(&path, "playbook")?));
    }
    for dir in [folder.join("playbooks"), PathBuf::from("playbooks"), PathBuf::from("/etc/hawiz/playbooks")] {
        let path = dir.join(format!("{name}.toml"));
        if path.exists() {
            return Ok((path.display().to_string(), file(&path, "playbook")?));
        }
    }
    match EMBEDDED.iter().find(|(n, _)| *n == name) {
        Some((n, text)) => Ok((format!("{n}.toml{}", tongue::INSIDE), text.to_string())),
        None => {
            let known: Vec<String> = names(folder).into_iter().map(|(n, _)| n).collect();
            let hint = did_you_mean(name, known.iter().map(String::as_str))
                .unwrap_or_else(|| format!("known: {}", known.join(", ")));
            Err(Fatal::new(Exit::Usage, format!("there is no playbook `{name}`")).hint(hint))
        }
    }
}

pub(super) fn playbook(
    common: &Common,
    site: &Site,
    site_index: usize,
    problems: &mut Problems,
    sources: &mut Vec<plan::Source>,
) -> Parsed<Playbook> {
    let name = match (&common.playbook, &site.playbook) {
        (Some(name), _) => name.clone(),
        (None, Some(name)) => name.value.clone(),
        (None, None) => {
            let mut p = crate::problem::Problem::new("the site file names no playbook")
                .hint("add `playbook = \"xcat\"`, or give --playbook");
            p.file = site_index;
            problems.push(p);
            return Ok((None, 0));
        }
    };
    // A file given on the command line is meant from here, one in the site file from there.
    let folder = if common.playbook.is_some() { PathBuf::from(".") } else { site.folder.clone() };
    let (path, text) = playbook_text(&name, &folder)?;
    sources.push(source("playbook", Path::new(&path), &text));
    let index = problems.files.len();
    Ok(match Playbook::parse(&path, &text, problems) {
        Some((mut pb, index)) => {
            tongue::prompts(common, site.language.as_deref(), &path, &mut pb)?;
            (Some(pb), index)
        }
        None => (None, index),
    })
}

fn names(folder: &Path) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    for dir in [folder.join("playbooks"), PathBuf::from("/etc/hawiz/playbooks")] {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            if let Some(name) = file.strip_suffix(".toml")
                && !name.contains('.')
                && !out.iter().any(|(n, _)| n == name)
            {
                out.push((name.to_string(), entry.path().display().to_string()));
            }
        }
    }
    for (name, _) in EMBEDDED {
        if !out.iter().any(|(n, _)| n == name) {
            out.push((name.to_string(), "in hawiz".into()));
        }
    }
    out.sort();
    out
}

pub(super) fn playbooks(_common: &Common) -> Done {
    for (name, place) in names(Path::new(".")) {
        let text = playbook_text(&name, Path::new(".")).map(|t| t.1).unwrap_or_default();
        let title = Playbook::parse(&name, &text, &mut Problems::default())
            .map_or("(has mistakes: hawiz validate)".into(), |p| p.0.title);
        say(&format!("{name:<16} {title}  ({place})\n"));
    }
    Ok(Exit::Ok)
}

/// The language that a site file names; a plan that was kept does not say it.
pub(super) fn language(site: &Path) -> Option<String> {
    let (text, mut problems) = (std::fs::read_to_string(site).ok()?, Problems::default());
    Site::parse("", &text, Path::new("."), &mut problems)?.0.language
}
