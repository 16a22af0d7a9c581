//! Which language a plan is shown in, and where its words come from.
//!
//! Why it exists: the language follows `--lang`, else the site, else the locale; the words stand in `PLAYBOOK.LANG.toml` beside
//! the playbook. Invariants: a language that was asked for by name is shown or refused; one that was only guessed never stops
//! a failover; nothing of it reaches a record or a log.

use super::files;
use crate::cli::Common;
use crate::plan::Plan;
use crate::playbook::{Playbook, Translation};
use crate::problem::{Exit, Fatal, Problem, Problems};
use crate::tongue;
use std::path::Path;

/// Translations in the binary: playbook, language, text.
const EMBEDDED: [(&str, &str, &str); 2] = [
    ("brest", "ru", include_str!("../../playbooks/brest.ru.toml")),
    ("osmh", "de", include_str!("../../playbooks/osmh.de.toml")),
];
/// How a playbook in the binary is called among a plan's sources.
pub(super) const INSIDE: &str = " (in hawiz)";

/// The words of this playbook in this language; `None`: there are none.
fn words(playbook: &str, language: &str) -> Result<Option<(String, String)>, Fatal> {
    let Some(stem) = playbook.trim_end_matches(INSIDE).strip_suffix(".toml") else { return Ok(None) };
    if playbook.ends_with(INSIDE) {
        let found = EMBEDDED.iter().find(|(name, lang, _)| *name == stem && *lang == language);
        return Ok(found.map(|(name, lang, text)| (format!("{name}.{lang}.toml{INSIDE}"), text.to_string())));
    }
    let path = format!("{stem}.{language}.toml");
    if !Path::new(&path).exists() {
        return Ok(None);
    }
    files::file(Path::new(&path), "translation").map(|text| Some((path, text)))
}

/// The locale, as far as it can be shown: one that is not UTF-8 has no letters for it.
fn locale() -> Option<String> {
    let set = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_MESSAGES")).or_else(|| set("LANG"))?;
    let code = locale.split_once('.').map_or("UTF-8", |(_, code)| code).to_ascii_lowercase();
    code.starts_with("utf").then_some(locale)
}

/// The first of the languages that has words.
fn first(playbook: &str, languages: &[String]) -> Result<Option<Translation>, Fatal> {
    for language in languages {
        let Some((name, text)) = words(playbook, language)? else { continue };
        let mut problems = Problems::default();
        return match Translation::parse(&name, &text, &mut problems) {
            Some((words, _)) => Ok(Some(words)),
            None => Err(problems.into()),
        };
    }
    Ok(None)
}

fn translation(common: &Common, site: Option<&str>, playbook: &str) -> Result<Option<Translation>, Fatal> {
    if let Some(asked) = &common.lang {
        let languages = tongue::wanted(asked);
        let found = first(playbook, &languages)?;
        if found.is_none() && !languages.is_empty() {
            return Err(Fatal::new(
                Exit::Usage,
                format!("`--lang {asked}`: `{playbook}` has no words in that language"),
            )
            .hint(format!(
                "they would stand in a file beside it, `NAME.{}.toml`; without --lang it speaks its own",
                languages[0]
            )));
        }
        return Ok(found);
    }
    let Some(guessed) = site.map(String::from).or_else(locale) else { return Ok(None) };
    Ok(first(playbook, &tongue::wanted(&guessed)).unwrap_or_else(|why| {
        eprintln!("hawiz: shown in the playbook's own language: {why}");
        None
    }))
}

/// The playbook's words for a plan that is made or was kept; `None`: its own.
fn of(common: &Common, plan: &Plan) -> Result<Option<Translation>, Fatal> {
    let read = |what: &str| plan.sources.iter().find(|s| s.what == what).map(|s| s.path.as_str());
    let Some(playbook) = read("playbook") else { return Ok(None) };
    let language = read("site").and_then(|path| files::language(Path::new(path)));
    translation(common, language.as_deref(), playbook)
}

/// The plan as a person is shown it.
pub(super) fn spoken(common: &Common, plan: &Plan) -> Result<Option<Plan>, Fatal> {
    Ok(of(common, plan)?.map(|words| tongue::spoken(plan, &words)))
}

/// A playbook's prompts, before anything is planned.
pub(super) fn prompts(common: &Common, site: Option<&str>, source: &str, playbook: &mut Playbook) -> Result<(), Fatal> {
    let Some(words) = translation(common, site, source)? else { return Ok(()) };
    for (name, input) in &mut playbook.inputs {
        // A secret's prompt stands in the plan, which has one language.
        if let Some((_, prompt)) = words.inputs.iter().find(|(n, _)| n.value == name.value)
            && input.kind != crate::playbook::InputKind::Secret
        {
            input.prompt.clone_from(&prompt.value);
        }
    }
    Ok(())
}

/// What is wrong with the translations beside a playbook file: their own mistakes, and ids that it does not have.
pub(super) fn beside(path: &Path, playbook: &Playbook, problems: &mut Problems) -> Result<Vec<String>, Fatal> {
    if let Some(name) = path.display().to_string().strip_suffix(INSIDE).and_then(|n| n.strip_suffix(".toml")) {
        return Ok(inside(name, playbook, problems));
    }
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found: Vec<_> = std::fs::read_dir(folder).map(|all| all.flatten().collect()).unwrap_or_default();
    found.sort_by_key(std::fs::DirEntry::file_name);
    let mut names = Vec::new();
    for entry in found {
        let file = entry.file_name().to_string_lossy().into_owned();
        let language = file.strip_prefix(&format!("{stem}.")).and_then(|f| f.strip_suffix(".toml"));
        if language.is_some_and(|l| !l.is_empty() && !l.contains('.')) {
            check(&entry.path(), playbook, problems)?;
            names.push(entry.path().display().to_string());
        }
    }
    Ok(names)
}

/// The same of those in the binary.
fn inside(playbook_name: &str, playbook: &Playbook, problems: &mut Problems) -> Vec<String> {
    let mut names = Vec::new();
    for (_, language, text) in EMBEDDED.iter().filter(|(name, ..)| *name == playbook_name) {
        let name = format!("{playbook_name}.{language}.toml{INSIDE}");
        read(&name, text, playbook, problems);
        names.push(name);
    }
    names
}

/// One translation against its playbook.
pub(super) fn check(path: &Path, playbook: &Playbook, problems: &mut Problems) -> Result<(), Fatal> {
    let text = files::file(path, "translation")?;
    read(&path.display().to_string(), &text, playbook, problems);
    Ok(())
}

fn read(name: &str, text: &str, playbook: &Playbook, problems: &mut Problems) {
    let Some((words, index)) = Translation::parse(name, text, problems) else { return };
    for (span, why) in tongue::stale(&words, playbook) {
        let mut stale = Problem::new(why).at(span).hint("what got another name there has another id");
        stale.file = index;
        problems.push(stale);
    }
}

/// The playbook that a file translates, by its name; `None`: it is no translation.
pub(super) fn base(path: &Path) -> Option<std::path::PathBuf> {
    let stem = path.file_stem()?.to_str()?;
    let (name, language) = stem.rsplit_once('.')?;
    let fine = (2..=8).contains(&language.len()) && language.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let base = path.with_file_name(format!("{name}.toml"));
    (fine && base.exists()).then_some(base)
}
