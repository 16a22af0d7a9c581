//! What a kind of step is, for the person who writes a playbook: `hawiz explain ip-add`.
//!
//! Why it exists: a page written beside the catalogue would be wrong after the first change of either. So nothing is
//! written here but sample values: parameters and their meaning come from the catalogue's own schema, the shell text
//! from compiling a sample.
//!
//! Invariant: every word of the catalogue can be explained, and what is shown is what would run.

use crate::catalog::{Action, Check, Fill, Library, Recipe, Text, Texts, Undo};
use crate::shell::{Value, Word};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeSet;

/// The sample value of a parameter, by kind and name.
fn sample(word: &str, param: &str) -> Json {
    match (word, param) {
        ("link" | "resolves", "path") => json!("/etc/xcat"),
        ("link" | "resolves", "to") => json!("/HA/etc/xcat"),
        ("file-has-line" | "line-in-file", "path") => json!("/var/lib/pgsql/data/pg_hba.conf"),
        ("hostname", "name") => json!("xcatmn1"),
        ("mount" | "mounted", "source") => json!("nas:/export/ha"),
        ("boot-guard" | "boot-guarded", "name") => json!("xcat"),
        (_, "record") => json!("/HA/.hawiz/owner"),
        (_, "mount") => json!("/HA"),
        (_, "units") => json!(["xcatd", "postgresql"]),
        (_, "keep") => json!("/var/lib/haproxy"),
        (_, "config") => json!("/etc/haproxy/haproxy.cfg"),
        (_, "sign") => json!("loaded_"),
        (_, "backends") => json!(["be_web", "be_api"]),
        ("haproxy-load", "unit") => json!("haproxy"),
        (_, "socket") => json!("/run/haproxy/admin.sock"),
        (_, "backend") => json!("be_web"),
        (_, "server") => json!("web1"),
        (_, "unit") => json!("postgresql"),
        (_, "address") => json!("10.5.106.7"),
        (_, "addresses") => json!(["10.5.106.7", "10.5.106.70"]),
        (_, "names") => json!(["xcatmn1", "xcatmn1.cluster.com"]),
        (_, "prefix") => json!(8),
        (_, "dev") => json!("eth0"),
        (_, "label") => json!("eth0:0"),
        (_, "announce" | "writable") => json!(true),
        (_, "path") => json!("/HA"),
        (_, "type") => json!("nfs"),
        (_, "options") => json!("hard,vers=4.2"),
        (_, "line") => json!("host    all    all    10.5.106.7/32    md5"),
        (_, "host") => json!("10.5.106.7"),
        (_, "port") => json!(443),
        (_, "url") => json!("https://10.5.106.7/login"),
        (_, "status") => json!(200),
        (_, "name") => json!("postgres"),
        (_, "conf") => json!("/var/lib/pgsql/data/postgresql.conf"),
        (_, "agent") => json!("ocf:heartbeat:Filesystem"),
        (_, "params") => json!({ "device": "/dev/vg/ha", "directory": "/HA", "fstype": "xfs" }),
        (_, "instance") => json!("ha"),
        (_, "node") => json!("xcatmn1"),
        _ => json!("…"),
    }
}

/// Samples hold no `{names}`; an operation itself may ask for its node's.
struct Plain;
impl Fill for Plain {
    fn word(&self, text: &Text) -> Result<Word, String> {
        Ok(Word::literal(text.0.replace("{node}", "xcatmn1")))
    }
    fn words(&self, texts: &Texts) -> Result<Vec<Word>, String> {
        texts.0.iter().map(|t| self.word(t)).collect()
    }
}

struct Param {
    name: String,
    required: bool,
    list: bool,
    about: String,
}

struct Kind {
    word: String,
    about: String,
    params: Vec<Param>,
}

fn text(json: &Json, key: &str) -> String {
    json.get(key).and_then(Json::as_str).unwrap_or_default().replace('\n', " ")
}

/// The words of one enum, read from its schema.
fn read(schema: &schemars::Schema) -> Vec<Kind> {
    let root = schema.as_value();
    let mut kinds = Vec::new();
    for variant in root.get("oneOf").and_then(Json::as_array).into_iter().flatten() {
        let Some((word, params)) = variant.get("properties").and_then(Json::as_object).and_then(|p| p.iter().next())
        else {
            continue;
        };
        let inside = text(params, "$ref");
        let inside = root.pointer(inside.trim_start_matches('#')).unwrap_or(params);
        let required: Vec<&str> =
            inside.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
        let params = inside.get("properties").and_then(Json::as_object).into_iter().flatten().map(|(name, p)| Param {
            name: name.clone(),
            required: required.contains(&name.as_str()),
            list: text(p, "$ref").ends_with("/Texts"),
            about: text(p, "description"),
        });
        kinds.push(Kind { word: word.clone(), about: text(variant, "description"), params: params.collect() });
    }
    kinds
}
fn looks() -> Vec<Kind> {
    read(&schemars::schema_for!(Check))
}
fn changes() -> Vec<Kind> {
    read(&schemars::schema_for!(Action))
}

/// Every kind of look and change with one line about it.
pub fn kinds() -> Vec<(&'static str, String)> {
    let words = Check::WORDS.iter().chain(Action::WORDS.iter().filter(|w| **w != "sh"));
    let all: Vec<Kind> = looks().into_iter().chain(changes()).collect();
    let about = |word: &str| all.iter().find(|k| k.word == word).map(|k| k.about.clone()).unwrap_or_default();
    words.map(|w| (*w, first_sentence(&about(w)))).collect()
}
fn first_sentence(about: &str) -> String {
    about.split_once(". ").map_or_else(|| about.to_owned(), |(first, _)| format!("{first}."))
}

/// Everything about one kind, as plain text; nothing when the catalogue has no such word.
pub fn kind(word: &str) -> Option<String> {
    if let Some(k) = looks().into_iter().find(|k| k.word == word) {
        let mut out = head(&k, "a look", "check");
        let (json, line) = example(&k);
        out += &format!("\nExample\n  check.{word} = {line}\n");
        let check: Check = serde_json::from_value(json).ok()?;
        match check.look(&Plain) {
            Ok(text) => {
                part(&mut out, "look", &text);
                functions(&mut out, &[&text]);
            }
            Err(why) => out += &format!("\n{why}\n"),
        }
        if word != "sh" {
            out += "\nIts exit code: 0 yes, 1 no, 3 yes for there is nothing to do, 4 in between (waited for),\n\
                    anything else: could not look, which is never no.\n";
        }
        return Some(out);
    }
    let k = changes().into_iter().find(|k| k.word == word)?;
    let mut out = head(&k, "a change", "run");
    let (json, line) = example(&k);
    out += &format!("\nExample\n  run.{word} = {line}\n");
    let action: Action = serde_json::from_value(json).ok()?;
    match action.recipe(&Plain) {
        Ok(Recipe { done, run, verify, undo, .. }) => {
            if let Some(done) = &done {
                part(&mut out, "done?", done);
            }
            part(&mut out, "run", &run);
            if let Some(verify) = &verify {
                part(&mut out, "verify", verify);
            }
            match &undo {
                Undo::Run(text) => part(&mut out, "undo", text),
                Undo::None(why) => out += &format!("\nundo\n  none needed: {why}\n"),
            }
            if out.contains("$before") {
                out += "\n$before is what `done?` printed before the change.\n";
            }
            let mut texts: Vec<&Value> = done.iter().chain([&run]).chain(&verify).collect();
            if let Undo::Run(text) = &undo {
                texts.push(text);
            }
            functions(&mut out, &texts);
        }
        Err(why) => out += &format!("\n{why}\n"),
    }
    Some(out)
}

fn head(k: &Kind, what: &str, key: &str) -> String {
    let mut out = format!("{} · {what} (`{key}.{}`)\n{}\n", k.word, k.word, k.about);
    if !k.params.is_empty() {
        out += "\nParameters\n";
        let wide = k.params.iter().map(|p| p.name.len()).max().unwrap_or(0);
        for p in &k.params {
            let need = if p.required { "required" } else { "optional" };
            let list = if p.list { "; one or a list" } else { "" };
            out += &format!("  {:wide$}  {need}{list}. {}\n", p.name, p.about);
        }
    }
    out
}

/// The sample as JSON for the catalogue and as TOML for the reader.
fn example(k: &Kind) -> (Json, String) {
    if k.word == "sh" {
        return (json!({ "sh": "true" }), "'test -f /etc/xcat/cfgloc'".into());
    }
    let samples: Map<String, Json> = k.params.iter().map(|p| (p.name.clone(), sample(&k.word, &p.name))).collect();
    let toml: Vec<String> = samples.iter().map(|(name, value)| format!("{name} = {}", toml(value))).collect();
    let line = if toml.is_empty() { "{}".into() } else { format!("{{ {} }}", toml.join(", ")) };
    (json!({ k.word.as_str(): samples }), line)
}
fn toml(value: &Json) -> String {
    match value {
        Json::Object(o) => {
            let all: Vec<String> = o.iter().map(|(k, v)| format!("{k} = {v}")).collect();
            format!("{{ {} }}", all.join(", "))
        }
        Json::Array(a) => format!("[{}]", a.iter().map(Json::to_string).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn part(out: &mut String, title: &str, text: &Value) {
    *out += &format!("\n{title}\n");
    for line in text.lossy().lines() {
        *out += &format!("  {line}\n");
    }
}

/// The functions that texts call, in full.
fn functions(out: &mut String, texts: &[&Value]) {
    let library = Library::read();
    let called: BTreeSet<String> = texts.iter().flat_map(|t| library.of(t)).map(|(name, _)| name).collect();
    for (i, f) in library.functions().iter().filter(|f| called.contains(f.name)).enumerate() {
        let title = if i == 0 { "\nIts functions\n" } else { "" };
        *out += &format!("{title}  {}() {{\n", f.name);
        f.body.lines().for_each(|l| *out += &format!("  {l}\n"));
        *out += "  }\n";
    }
}

/// Everything that can be explained, by name.
pub fn index() -> String {
    let mut out = String::from(
        "hawiz explain WORD\n\nStep kinds (check.KIND, done.KIND, when.KIND, verify.KIND; run.KIND, undo.KIND)\n",
    );
    for (word, about) in kinds() {
        out += &format!("  {word:<20} {about}\n");
    }
    out += "\nExit codes (hawiz explain 6; hawiz explain exit-codes for all)\n";
    for exit in crate::problem::Exit::ALL {
        out += &format!("  {:<20} {}\n", exit.code(), exit.meaning());
    }
    out += "\nWords\n";
    for (word, about) in WORDS {
        out += &format!("  {word:<20} {}\n", about.split_once(". ").map_or(*about, |(first, _)| first));
    }
    out
}

/// What errors and the last screen speak of.
const WORDS: &[(&str, &str)] = &[
    (
        "proof",
        "Every other node of an exclusive system must be proven inactive before the first change, and again right before each exclusive one. Proof is: every check of `inactive` is true there; or a person types the node's name (--attest NODE), for this run and ten minutes. A sign of life beats a word. Silence proves nothing. Nothing overrides a node that was seen active: deactivate it.",
    ),
    (
        "lock",
        "One run at a time works on a node; its lock lies in the node's state directory and says who holds it. A run that crashed keeps its lock until `hawiz resume` or `hawiz rollback` of that run. `hawiz unlock NODE --reason TEXT` takes it away: it shows who holds it and what of that run still runs there, which is waited for (--wait) or stopped (--stop). Late claims of the old holder then fail, and its run ends with 5. `hawiz resume --from NODE` goes on with that run here.",
    ),
    (
        "unknown",
        "A step's outcome is unknown when its record on the node is gone, the node was rebooted in between, or it cannot be reached. hawiz looks before it says so, and never guesses. Look at the node, then `hawiz resume`.",
    ),
    ("already", "It was so before; nothing was changed, and a roll-back will not touch it."),
    (
        "degraded",
        "The run went through, but a step with on-failure = \"continue\" failed (exit 8). `hawiz show` names it.",
    ),
    (
        "stuck",
        "An undo failed during a roll-back (exit 10). The commands that are left were printed: run them by hand, in that order.",
    ),
    (
        "could-not-look",
        "A look has four answers: yes, no, unsettled, could not look. Only yes and no decide; could not look (a tool is missing, a deadline, a text not understood) is never taken for no, and nothing is run on it.",
    ),
    (
        "gate",
        "A question before a stage. y goes on, n declines, d goes on dry (nothing is changed any more), v shows everything, q stops. A stage that cannot be undone asks for a typed word, which --yes never answers.",
    ),
    (
        "answers",
        "Without a terminal every gate must be answered before the first change: --yes for plain ones, --answers FILE for all. hawiz prints the file to fill in, with a digest of each gate's commands; a gate whose commands changed since is refused.",
    ),
    (
        "unrecorded",
        "A node whose state directory cannot hold records (no write permission, network file system, tmpfs, no `setsid`) runs steps without claims and lock: after a crash their outcome may be unknown.",
    ),
];

/// A step kind, an exit code, or a word of an error.
pub fn word(word: &str) -> Option<String> {
    if word == "exit-codes" || word == "exit" {
        let all: Vec<String> =
            crate::problem::Exit::ALL.iter().map(|e| format!("{:>3}  {}\n", e.code(), e.meaning())).collect();
        return Some(format!("{}When several apply: 10, 7, 6, 9, 8, 5, 4, 3, 0.\n", all.concat()));
    }
    if let Some(exit) =
        crate::problem::Exit::ALL.iter().find(|e| word.trim_start_matches("exit-") == e.code().to_string())
    {
        return Some(format!("exit {}: {}\n", exit.code(), exit.meaning()));
    }
    kind(word).or_else(|| WORDS.iter().find(|(w, _)| *w == word).map(|(w, about)| format!("{w}\n{about}\n")))
}

/// For a word that is not known.
pub fn hint(word: &str) -> String {
    let kinds = kinds();
    let known = kinds.iter().map(|(w, _)| *w).chain(WORDS.iter().map(|(w, _)| *w)).chain(["exit-codes"]);
    crate::problem::did_you_mean(word, known).unwrap_or_else(|| "`hawiz explain` lists what can be".into())
}
