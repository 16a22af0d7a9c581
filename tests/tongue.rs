//! The operator's own language: what a person reads is translated, what a machine keeps or reads is not.
//!
//! Why it exists: two people who speak different languages work on one cluster, and talk about one run. So the same run is
//! looked at as text, as a checklist, as events and in its journal.

mod support;

use support::{Ended, World};

const PLAYBOOK: &str = r#"
format = 1
title = "Two shops"
about = "Bread for {all}."
[node-vars]
street = { default = "Baker Street" }
[inputs]
unit = { prompt = "Which shop" }
[[open]]
stage = "Open {unit}"
gate = "ask"
about = "In {target.street}."
  [[open.step]]
  name = "Who is the baker?"
  check.sh = "echo Ida"
  capture = ["baker"]
  [[open.step]]
  name = "Light the {unit}"
  about = "It smokes at first."
  run.sh = 'echo "lit on $node" >>"$w/lit"'
  done.sh = 'test -e "$w/lit"'
  undo.none = "it burns down by itself"
  [[open.step]]
  name = "Tell {baker}"
  check.sh = 'test "$baker" = Ida'
  [[open.step]]
  name = "Sweep"
  check.sh = "true"
[[sell]]
stage = "Sell"
  [[sell.step]]
  name = "Sell on {node.street}"
  run.sh = "true"
  no-return = "bread is eaten"
"#;

const RUSSIAN: &str = r#"
title = "Две лавки"
about = "Хлеб для {all}."
[inputs]
unit = "Какая лавка"
[stages]
"open/open-unit" = { stage = "Открыть: {unit}", about = "На улице {target.street}." }
[steps]
"open/open-unit/who-is-the-baker" = { name = "Кто пекарь?" }
"open/open-unit/light-the-unit" = { name = "Разжечь {unit} на {node}", about = "Сначала дымит.", undo = "прогорит сама" }
"sell/sell/sell-on-node-street" = { name = "Продавать: {node.street}", no-return = "хлеб съедят" }
"open/open-unit/tell-baker" = { name = "Сказать: {baker}" }
"#;

fn world() -> World {
    let world = World::new(&PLAYBOOK.replace("[inputs]\n", "[inputs]\nw = { kind = \"path\" }\n"));
    world.put("playbook.ru.toml", RUSSIAN);
    world
}

fn open(world: &World, more: &[&str]) -> Ended {
    world.hawiz(&[&["run", "open", "--on", "a", "--set", "unit=oven", "--yes"], more].concat())
}

#[test]
fn a_plan_is_read_in_the_language_asked_for_and_what_it_lacks_in_its_own() {
    let world = world();
    let plan = |more: &[&str]| {
        world.hawiz(&[&["plan", "open", "--on", "a", "--set", "unit=oven", "--lang", "ru"], more].concat()).is(0).out
    };
    for text in [plan(&[]), plan(&["--format", "md"]), plan(&["--format", "sh"])] {
        for words in ["Две лавки", "Открыть: oven", "Кто пекарь?", "Разжечь oven на a", "Сказать: $baker", "Sweep"]
            .into_iter()
            .chain(["На улице Baker Street.", "прогорит сама"])
        {
            assert!(text.contains(words), "{words}:\n{text}");
        }
        for words in ["Light the", "It smokes", "In Baker", "burns down"] {
            assert!(!text.contains(words), "{words}:\n{text}");
        }
    }
    assert!(plan(&["--format", "md"]).contains("Хлеб для a, b."));
    let sell = world.hawiz(&["plan", "sell", "--on", "a", "--set", "unit=oven", "--lang", "ru"]).is(0);
    sell.says("Продавать: Baker Street").says("хлеб съедят");
    // What a program reads has one language, and the digests do not know of any.
    let english = world.hawiz(&["plan", "open", "--on", "a", "--set", "unit=oven", "--format", "json"]).is(0).out;
    assert_eq!(plan(&["--format", "json"]), english);
}

#[test]
fn the_screen_is_translated_the_log_and_the_journal_are_not() {
    let world = world();
    let said = open(&world, &["--output", "term", "--lang", "ru"]).is(0);
    for words in ["Открыть: oven", "Кто пекарь?", "Разжечь oven на a", "Сказать: Ida", "Sweep"]
    {
        assert!(said.err.contains(words), "{words}:\n{}", said.err);
    }
    assert!(!said.err.contains("Tell Ida"), "{}", said.err);
    let run = world.runs().pop().expect("it ran");
    let kept =
        std::fs::read_to_string(world.dir.join("here/runs").join(run).join("journal.jsonl")).expect("it is kept");
    assert!(kept.contains("\"Light the oven\"") && kept.contains("\"Tell Ida\"") && !kept.contains('Р'), "{kept}");
    for how in ["plain", "json"] {
        world.fresh();
        let said = open(&world, &["--output", how, "--lang", "ru"]).is(0);
        let all = said.out + &said.err;
        assert!(all.contains("Light the oven") && !all.contains("Разжечь"), "{all}");
    }
}

#[test]
fn the_language_is_the_flags_else_the_sites_else_the_locales() {
    let world = world();
    let title = |lang: &[&str], env: &[(&str, &str)]| {
        let args = [&["plan", "open", "--on", "a", "--set", "unit=oven"], lang].concat();
        let out = world.hawiz_with(&args, env).is(0).out;
        if out.contains("Две лавки") {
            "ru"
        } else if out.contains("Two shops") {
            "own"
        } else {
            "?"
        }
    };
    assert_eq!(title(&[], &[]), "own");
    assert_eq!(title(&[], &[("LC_ALL", "ru_RU.UTF-8")]), "ru");
    assert_eq!(title(&["--lang", "en"], &[("LC_ALL", "ru_RU.UTF-8")]), "own");
    // A terminal without the letters is not given any, and a language nobody wrote is no reason to stop.
    assert_eq!(title(&[], &[("LC_ALL", "ru_RU.KOI8-R")]), "own");
    assert_eq!(title(&[], &[("LC_ALL", "fr_FR.UTF-8")]), "own");
    let site = std::fs::read_to_string(world.dir.join("hawiz.toml")).expect("it was written");
    world.put("hawiz.toml", &format!("language = \"ru\"\n{site}"));
    assert_eq!(title(&[], &[]), "ru");
    assert_eq!(title(&["--lang", "en"], &[]), "own");
    let args = ["plan", "open", "--on", "a", "--set", "unit=oven", "--lang", "fr"];
    world.hawiz(&args).is(2).says("`--lang fr`").says("has no words in that language");
    // A broken file stops nobody who did not ask for it.
    world.put("playbook.ru.toml", "title = 3\n");
    assert_eq!(title(&[], &[]), "own");
    world.hawiz(&["plan", "open", "--on", "a", "--set", "unit=oven", "--lang", "ru"]).is(2).says("playbook.ru.toml");
}

#[test]
fn a_prompt_is_asked_for_in_the_operators_language() {
    let world = world();
    world.hawiz(&["plan", "open", "--on", "a", "--lang", "ru"]).is(2).says("Какая лавка");
}

#[test]
fn ids_that_the_playbook_does_not_have_are_named_by_validate() {
    let world = world();
    let playbook = world.dir.join("playbook.toml").display().to_string();
    let russian = world.dir.join("playbook.ru.toml").display().to_string();
    world.hawiz(&["validate", &playbook]).is(0).says("playbook.ru.toml: this translation is in order");
    world.hawiz(&["validate", &russian]).is(0).says("this translation is in order");
    let stale = RUSSIAN.replace("tell-baker", "tell-the-baker").replace("unit = \"К", "units = \"К");
    world.put("playbook.ru.toml", &stale);
    for path in [&playbook, &russian] {
        let said = world.hawiz(&["validate", path]).is(2);
        said.says("the playbook has no step `open/open-unit/tell-the-baker`").says("the playbook has no input `units`");
    }
}

#[test]
fn validate_reads_the_translations_of_a_playbook_in_hawiz_too() {
    let world = world();
    let site =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/brest/hawiz.toml")).expect("there");
    let named = site.lines().map(|l| if l.starts_with("playbook") { "playbook = \"brest\"" } else { l });
    world.put("hawiz.toml", &named.collect::<Vec<_>>().join("\n"));
    let site = world.dir.join("hawiz.toml").display().to_string();
    world.hawiz(&["validate", &site]).is(0).says("brest.ru.toml (in hawiz): this translation is in order");
}
