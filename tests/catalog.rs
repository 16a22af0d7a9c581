//! What each word of the catalogue becomes, to the letter: `tests/catalog/OP/CASE.toml` holds the parameters and the
//! text. `HAWIZ_BLESS=1 cargo test --test catalog` writes what comes out now; read the diff.
//!
//! In a parameter `{name}` stands for a value that only a run knows.

use hawiz::catalog::{Action, Check, Fill, Text, Texts, Undo};
use hawiz::shell::{Part, Word, definition};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Braces;
impl Fill for Braces {
    fn word(&self, text: &Text) -> Result<Word, String> {
        let mut parts = Vec::new();
        let mut rest = text.0.as_str();
        while let Some((front, tail)) = rest.split_once('{') {
            let (name, back) = tail.split_once('}').ok_or("no closing brace")?;
            if !front.is_empty() {
                parts.push(Part::Text(front.into()));
            }
            parts.push(Part::Name(name.into()));
            rest = back;
        }
        if !rest.is_empty() || parts.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Word(parts))
    }
    fn words(&self, texts: &Texts) -> Result<Vec<Word>, String> {
        texts.0.iter().map(|t| self.word(t)).collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/catalog")
}
fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> =
        std::fs::read_dir(dir).expect("the folder is there").map(|e| e.expect("readable").path()).collect();
    all.sort();
    all
}

/// The texts of a case, by name; or the error.
fn compile(op: &str, params: &toml::Value) -> Result<Vec<(&'static str, String)>, String> {
    let tagged = toml::Value::Table([(op.to_owned(), params.clone())].into_iter().collect());
    let mut out = Vec::new();
    if Check::WORDS.contains(&op) {
        let check: Check = tagged.try_into().map_err(|e: toml::de::Error| e.message().to_owned())?;
        assert_eq!(check.word(), op);
        out.push(("look", check.look(&Braces)?.lossy()));
        return Ok(out);
    }
    let action: Action = tagged.try_into().map_err(|e: toml::de::Error| e.message().to_owned())?;
    assert_eq!(action.word(), op);
    let recipe = action.recipe(&Braces)?;
    let mut push = |name, value: Option<hawiz::shell::Value>| out.extend(value.map(|v| (name, v.lossy())));
    push("done", recipe.done);
    push("run", Some(recipe.run));
    push("verify", recipe.verify);
    match recipe.undo {
        Undo::Run(text) => push("undo", Some(text)),
        Undo::None(why) => push("no-undo", Some(why.into())),
    }
    let list = |words: Vec<Word>| words.iter().map(Word::shown).collect::<Vec<_>>().join("\n");
    let (paths, addresses) = (list(recipe.paths), list(recipe.addresses));
    push("paths", (!paths.is_empty()).then(|| paths.into()));
    push("addresses", (!addresses.is_empty()).then(|| addresses.into()));
    Ok(out)
}

fn written(about: &str, params: &toml::Value, texts: &Result<Vec<(&'static str, String)>, String>) -> String {
    let mut out = String::new();
    if !about.is_empty() {
        out += &format!("about = {}\n", toml::Value::String(about.into()));
    }
    out += &format!("params = {params}\n");
    match texts {
        Err(why) => out += &format!("error = {}\n", toml::Value::String(why.clone())),
        Ok(texts) => {
            for (name, text) in texts {
                match text.contains('\n') {
                    true if !text.contains("'''") => out += &format!("{name} = '''\n{text}'''\n"),
                    _ => out += &format!("{name} = {}\n", toml::Value::String(text.clone())),
                }
            }
        }
    }
    out
}

/// Shells that must understand every text.
fn shells() -> Vec<Vec<&'static str>> {
    [vec!["dash"], vec!["bash", "--posix"], vec!["busybox", "sh"], vec!["mksh"]]
        .into_iter()
        .filter(|argv| Command::new(argv[0]).arg("-c").arg("true").output().is_ok())
        .collect()
}

#[test]
fn every_case_becomes_its_text() {
    let bless = std::env::var_os("HAWIZ_BLESS").is_some();
    let shells = shells();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for dir in entries(&root()) {
        let op = dir.file_name().expect("a name").to_string_lossy().into_owned();
        for file in entries(&dir) {
            seen.insert(op.clone());
            let source = std::fs::read_to_string(&file).expect("readable");
            let case: toml::Table = source.parse().unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let about = case.get("about").and_then(toml::Value::as_str).unwrap_or_default();
            let params = case.get("params").unwrap_or_else(|| panic!("{}: no params", file.display()));
            let texts = compile(&op, params);
            for (name, text) in
                texts.iter().flatten().filter(|(n, _)| matches!(*n, "look" | "done" | "run" | "verify" | "undo"))
            {
                for shell in &shells {
                    let out = Command::new(shell[0]).args(&shell[1..]).args(["-n", "-c", text]).output().expect("runs");
                    assert!(
                        out.status.success(),
                        "{} {name}: {shell:?}: {}\n{text}",
                        file.display(),
                        String::from_utf8_lossy(&out.stderr)
                    );
                }
            }
            let now = written(about, params, &texts);
            if now != source {
                if bless {
                    std::fs::write(&file, now).expect("writable");
                } else {
                    wrong.push(format!("{}:\n{now}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases differ (HAWIZ_BLESS=1 writes them):\n{}", wrong.len(), wrong.join("\n"));
    let words: BTreeSet<String> =
        Check::WORDS.iter().chain(Action::WORDS).filter(|w| **w != "sh").map(|w| (*w).to_owned()).collect();
    assert_eq!(words, seen, "an operation without cases, or cases without an operation");
}

#[test]
fn every_function_is_shell_however_narrow_the_screen() {
    let texts: Vec<(String, Vec<u8>)> = hawiz::catalog::Library::read()
        .functions()
        .iter()
        .map(|f| (f.name.to_owned(), definition(f.name, &f.body.into())))
        .collect();
    for width in [24, 40, 72, 500] {
        let all: String = texts
            .iter()
            .map(|(_, text)| hawiz::ui::wrap::wrap_command(&String::from_utf8_lossy(text), width).join("\n") + "\n")
            .collect();
        for shell in shells() {
            let out = Command::new(shell[0]).args(&shell[1..]).args(["-n", "-c", &all]).output().expect("runs");
            assert!(out.status.success(), "{shell:?} at {width}: {}", String::from_utf8_lossy(&out.stderr));
        }
    }
}

#[test]
fn no_text_can_overwrite_a_playbooks_name() {
    for dir in entries(&root()) {
        let op = dir.file_name().expect("a name").to_string_lossy().into_owned();
        for file in entries(&dir) {
            let case: toml::Table = std::fs::read_to_string(&file).expect("readable").parse().expect("TOML");
            for (name, text) in compile(&op, &case["params"]).iter().flatten() {
                for line in text.lines() {
                    let first =
                        line.trim_start().split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
                    let assigns = line.trim_start()[first.len()..].starts_with('=')
                        && !line.trim_start()[first.len()..].starts_with("==");
                    assert!(
                        !assigns || first.starts_with('_') || first.is_empty(),
                        "{} {name} assigns `{first}`",
                        file.display()
                    );
                }
            }
        }
    }
}

#[test]
fn parameters_are_forgiving_about_numbers_and_strict_about_names() {
    let parse = |text: &str| toml::from_str::<Action>(text).map_err(|e| e.message().to_owned());
    let add = parse("ip-add = { address = '10.5.106.7', prefix = 8, dev = 'eth0', announce = true }")
        .expect("numbers and booleans");
    assert_eq!(
        add,
        parse("ip-add = { address = '10.5.106.7', prefix = '8', dev = 'eth0', announce = 'true' }").expect("text")
    );
    assert_eq!(parse("service-start = { unti = 'x' }"), Err("unknown field `unti`, expected `unit`".into()));
    assert_eq!(parse("service-start = {}"), Err("missing field `unit`".into()));
    assert_eq!(
        parse("service-start = { unit = 1.5 }"),
        Err("invalid type: floating point `1.5`, expected text, a whole number, true or false".into())
    );
    assert_eq!(parse("hosts-entry = { address = '::1', names = [] }"), Err("the list is empty".into()));
    assert!(
        parse("service-strat = { unit = 'x' }")
            .is_err_and(|e| e.starts_with("unknown variant `service-strat`, expected one of `sh`, `service-start`"))
    );
}

#[test]
fn every_word_is_explained() {
    for (word, line) in hawiz::explain::kinds() {
        assert!(!line.is_empty(), "{word} has no line");
        let page = hawiz::explain::kind(word).unwrap_or_else(|| panic!("{word} is not explained"));
        assert!(!page.contains("\"…\""), "{word} lacks a sample:\n{page}");
        let compiles =
            page.contains("\nrun\n") || page.contains("\nlook\n") || page.contains("not in") || word == "fence";
        assert!(compiles, "{word}'s sample does not compile:\n{page}");
    }
    assert_eq!(hawiz::explain::kind("no-such-word"), None);
}
