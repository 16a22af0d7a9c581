//! A checklist for paper, followed: what a person does who has nothing but the page.
//!
//! Why it exists: `--format md` is for the day on which hawiz is not to be had; whether it then leads to the same state can only
//! be known by doing what it says and nothing else. Each code block is given to `sh` on the host that the page names, in its
//! order; what a look says decides what the page says it decides. Invariant: a box's change is made only where the look above
//! it is not true, and then that look is true; a look is waited for where the page says so, and as long as it says.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;
use std::time::{Duration, Instant};

/// How long what a change brings about is waited for; hawiz's own is half a minute where a playbook says nothing.
const AFTERWARDS: Duration = Duration::from_secs(90);

/// A code block that asks.
#[derive(Clone, Debug)]
struct Look {
    place: String,
    code: String,
    /// It is the opposite that is wanted.
    not: bool,
}

/// On how many of its nodes a look must be true.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Rule {
    #[default]
    All,
    One,
    None,
    Any,
    Majority,
}

/// A box.
#[derive(Debug, Default)]
struct Step {
    title: String,
    place: String,
    when: Option<Look>,
    rule: Rule,
    /// All of them must say the same.
    same: bool,
    looks: Vec<Look>,
    done: Option<Look>,
    change: Option<String>,
    by_hand: Option<String>,
    verify: Vec<Look>,
    /// Names that are written down: of the node where it is true; of the words of the first line, and of which node's.
    node: Option<String>,
    words: Vec<(String, String)>,
    /// What stands in brackets behind the title.
    within: Duration,
    tries: u32,
    apart: Duration,
    optional: bool,
}

#[derive(Debug, Default)]
struct Stage {
    place: String,
    when: Option<Look>,
    done: Option<Look>,
    steps: Vec<Step>,
}

/// The page as it is read.
struct Page {
    head: String,
    stages: Vec<Stage>,
}

/// What is put in front in every shell.
pub fn head(md: &str) -> String {
    let Some(from) = md.find("First, in every shell").and_then(|at| Some(at + md[at..].find("```sh\n")? + 6)) else {
        return String::new();
    };
    md[from..from + md[from..].find("\n```").expect("it ends")].to_string()
}

/// The changes of the page, in its order.
#[allow(dead_code, reason = "not every suite wants them alone")]
pub fn changes(md: &str) -> Vec<String> {
    read(md).stages.into_iter().flat_map(|s| s.steps).filter_map(|s| s.change).collect()
}

fn read(md: &str) -> Page {
    let mut page = Page { head: head(md), stages: Vec::new() };
    let (mut label, mut not) = (String::new(), false);
    let mut lines = md.lines();
    while let Some(line) = lines.next() {
        let bare = line.trim();
        if let Some(fence) = bare.strip_suffix("sh").filter(|f| f.len() > 2 && f.bytes().all(|b| b == b'`')) {
            let indent = line.len() - line.trim_start().len();
            let body = lines.by_ref().take_while(|l| l.trim() != fence);
            let code: Vec<&str> = body.map(|l| l.get(indent..).unwrap_or_default()).collect();
            if let Some(stage) = page.stages.last_mut() {
                stage.block(&label, not, code.join("\n"));
            }
            not = false;
        } else if bare == "(the opposite of)" {
            not = true;
        } else {
            if line.starts_with("## ") {
                page.stages.push(Stage::default());
            } else if let Some(stage) = page.stages.last_mut() {
                stage.line(line);
            }
            label = bare.to_string();
        }
    }
    page
}

impl Stage {
    fn line(&mut self, line: &str) {
        let bare = line.trim();
        if let Some(title) = line.strip_prefix("- [ ] **") {
            // (Its titles may have stars, what stands behind them has none.)
            let (title, behind) = title.rsplit_once("**").unwrap_or((title, ""));
            let behind = behind.trim().trim_start_matches('(').trim_end_matches(')');
            let mut step = Step { title: title.into(), place: self.place.clone(), tries: 1, ..Step::default() };
            for part in behind.split("; ").flat_map(|p| {
                // A place may be a list of nodes, so that its commas are its own.
                if p.starts_with("on ") { vec![p] } else { p.split(", ").collect() }
            }) {
                match part {
                    "optional" => step.optional = true,
                    p if p.starts_with("on ") => step.place = p[3..].into(),
                    p if p.starts_with("waits up to ") => step.within = duration(&p[12..]),
                    p if p.ends_with(" apart") => step.apart = duration(&p[..p.len() - 6]),
                    p if p.ends_with(" tries") => step.tries = p[..p.len() - 6].parse().expect("a number of tries"),
                    _ => {}
                }
            }
            self.steps.push(step);
            return;
        }
        let Some(step) = self.steps.last_mut() else {
            if let Some(note) = line.strip_prefix('*').and_then(|l| l.strip_suffix('*')) {
                self.place = note.rsplit(" · ").next().unwrap_or_default().into();
            }
            return;
        };
        let written = bare.strip_prefix("`$").and_then(|l| l.split_once("` = ____"));
        if let Some((name, more)) = written {
            if more.contains("(the node where it is true)") {
                step.node = Some(name.into());
            } else {
                let on = more.split_once("first line on ").map_or("", |(_, node)| node.trim_end_matches(')'));
                step.words.push((name.into(), on.into()));
            }
        } else if let Some(what) = bare.strip_prefix("by hand: ") {
            step.by_hand = Some(what.into());
        } else if let Some(rule) = bare.strip_prefix("must be true on ").filter(|_| !bare.ends_with(':')) {
            let rules = [
                ("all of them", Rule::All),
                ("exactly one of them", Rule::One),
                ("none of them", Rule::None),
                ("at least one of them", Rule::Any),
                ("more than half of them", Rule::Majority),
            ];
            let found = rules.iter().find(|(words, _)| rule.starts_with(words));
            step.rule = found.unwrap_or_else(|| panic!("`{bare}` is not understood")).1;
            step.same = rule.contains("the same everywhere");
        }
    }
    fn block(&mut self, label: &str, not: bool, code: String) {
        let unknown = |code| panic!("`{label}`: what is to be done with the code below it?\n{code}");
        let Some(step) = self.steps.last_mut() else {
            let asked = [
                ("Only when this is true", ", else skip the whole stage:", &mut self.when),
                ("Nothing to do when this is true", ": all of the stage is so already:", &mut self.done),
            ];
            let mut found = asked.into_iter().filter_map(|(before, behind, look)| {
                Some((
                    label.strip_prefix(before)?.strip_suffix(behind)?.strip_prefix(" on ").unwrap_or(&self.place),
                    look,
                ))
            });
            match found.next() {
                Some((place, look)) => *look = Some(Look { place: place.into(), code, not }),
                None => unknown(code),
            }
            return;
        };
        // `must be true on front1, was: no:`
        let words = label.trim_end_matches(':').split([',', '(']).next().unwrap_or_default().trim();
        let named = words.rsplit_once(" on ").map(|(_, n)| n.to_string());
        let look = Look { place: named.unwrap_or(step.place.clone()), code, not };
        match label {
            l if l.starts_with("only when") => step.when = Some(look),
            l if ["must be true", "true on ", "true:", "true, "].iter().any(|w| l.starts_with(w)) => {
                step.looks.push(look)
            }
            l if l.starts_with("nothing to do when") => step.done = Some(look),
            l if l.starts_with("then true") => step.verify.push(look),
            "change:" => step.change = Some(look.code),
            l if l.starts_with("undo") => {}
            _ => unknown(look.code),
        }
    }
}

/// `1h`, `2m30s`, `200ms`.
fn duration(text: &str) -> Duration {
    let (mut all, mut number) = (Duration::ZERO, 0);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(digit) = c.to_digit(10) {
            (number, rest) = (number * 10 + digit, &rest[1..]);
            continue;
        }
        let units =
            [("ms", Duration::from_millis(1)), ("h", Duration::from_secs(3600)), ("m", Duration::from_secs(60))];
        let unit = units.iter().chain(&[("s", Duration::from_secs(1))]).find(|(u, _)| rest.starts_with(u)).copied();
        let (unit, one) = unit.unwrap_or_else(|| panic!("`{text}` is no duration"));
        (all, number, rest) = (all + one * number, 0, &rest[unit.len()..]);
    }
    all
}

/// Who follows a page: what is not the same from one system to the next.
pub struct Person<'a> {
    /// A script by `sh` at a place: a node, or `this machine`.
    pub sh: &'a dyn Fn(&str, &str) -> Output,
    /// Does what is to be done by hand.
    pub by_hand: &'a dyn Fn(&str),
    /// What is written on the page before it is begun: secrets.
    pub written: &'a [(&'a str, &'a str)],
}

/// A person with a page in hand, and what was written down on it.
struct Walk<'a> {
    person: &'a Person<'a>,
    head: String,
    known: BTreeMap<String, String>,
    /// Which of several nodes was the first that could be reached.
    chosen: RefCell<BTreeMap<String, String>>,
}

impl Person<'_> {
    /// Follows a page to its end; the titles of the changes that were made.
    #[track_caller]
    pub fn follows(&self, md: &str) -> Vec<String> {
        let page = read(md);
        let known = self.written.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        let mut walk = Walk { person: self, head: page.head, known, chosen: RefCell::default() };
        let mut changed = Vec::new();
        for stage in &page.stages {
            let is = |look: &Option<Look>| look.as_ref().map(|l| walk.so(l).is_ok());
            if is(&stage.when) == Some(false) || is(&stage.done) == Some(true) {
                continue;
            }
            for step in &stage.steps {
                if walk.step(step) {
                    changed.push(step.title.clone());
                }
            }
        }
        changed
    }
}

impl Walk<'_> {
    /// Does what stands below a box; whether anything was changed.
    #[track_caller]
    fn step(&mut self, step: &Step) -> bool {
        if step.when.as_ref().is_some_and(|w| self.so(w).is_err()) {
            return false;
        }
        let each = self.looks(step);
        let mut said = step.looks.last().map_or(String::new(), |l| each[&self.at(&l.place)].clone());
        let (mut changed, mut tries) = (false, 0);
        while step.change.is_some() || step.by_hand.is_some() {
            if let Some(Ok(so)) = step.done.as_ref().map(|d| self.so(d)) {
                said = so;
                break;
            }
            tries += 1;
            (changed, said) = match (&step.change, &step.by_hand) {
                (Some(change), _) => match self.content(&step.place, change, false) {
                    Ok(said) => (true, said),
                    Err(_) if tries < step.tries => {
                        std::thread::sleep(step.apart);
                        continue;
                    }
                    Err(_) if step.optional => break,
                    Err(why) => panic!("{}: {why}", step.title),
                },
                (None, by_hand) => {
                    (self.person.by_hand)(by_hand.as_ref().expect("one of the two"));
                    (true, String::new())
                }
            };
            if let Some(done) = &step.done {
                said = self.comes(&step.title, AFTERWARDS, || self.so(done));
            }
            break;
        }
        if changed {
            for verify in &step.verify {
                self.comes(&step.title, AFTERWARDS, || self.so(verify));
            }
        }
        for on in step.words.iter().map(|(_, on)| on).collect::<BTreeSet<_>>() {
            let said = if on.is_empty() { &said } else { each.get(on).unwrap_or_else(|| panic!("{on} was not asked")) };
            let mut words = said.lines().next().unwrap_or_default().split_whitespace();
            let mut names = step.words.iter().filter(|(_, of)| of == on).peekable();
            while let Some((name, _)) = names.next() {
                let word = words.next().unwrap_or_default();
                let rest = if names.peek().is_none() { words.by_ref().collect() } else { vec![] };
                let value = [&[word], &rest[..]].concat().join(" ");
                assert!(!value.is_empty(), "{}: nothing to write down for `${name}` in `{said}`", step.title);
                self.known.insert(name.clone(), value);
            }
        }
        changed
    }
    /// The looks of a box come true on as many nodes as it says; what they said, by node.
    #[track_caller]
    fn looks(&mut self, step: &Step) -> BTreeMap<String, String> {
        if step.looks.is_empty() {
            return BTreeMap::new();
        }
        let n = step.looks.len();
        let (each, yes) = self.comes(&step.title, step.within, || {
            let all: Vec<_> = step.looks.iter().map(|l| (self.at(&l.place), self.so(l))).collect();
            let yes: Vec<String> = all.iter().filter(|(_, so)| so.is_ok()).map(|(node, _)| node.clone()).collect();
            let enough = match step.rule {
                Rule::All => yes.len() == n,
                Rule::One => yes.len() == 1,
                Rule::None => yes.is_empty(),
                Rule::Any => !yes.is_empty(),
                Rule::Majority => yes.len() * 2 > n,
            };
            let said: BTreeSet<_> = all.iter().filter_map(|(_, so)| so.as_ref().ok()).collect();
            if !enough || step.same && said.len() > 1 {
                return Err(format!("true on {yes:?} of {n}, wanted {:?}: {all:#?}", step.rule));
            }
            Ok((all.into_iter().map(|(node, so)| (node, so.unwrap_or_default())).collect(), yes))
        });
        if let (Some(name), Some(node)) = (&step.node, yes.first()) {
            self.known.insert(name.clone(), node.clone());
        }
        each
    }
    /// Looks until it is so.
    #[track_caller]
    fn comes<T>(&self, what: &str, within: Duration, look: impl Fn() -> Result<T, String>) -> T {
        let until = Instant::now() + within;
        loop {
            match look() {
                Ok(so) => return so,
                Err(why) => assert!(Instant::now() < until, "{what}: not true within {within:?}: {why}"),
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    fn so(&self, look: &Look) -> Result<String, String> {
        self.content(&look.place, &look.code, look.not)
    }
    /// What a block prints, when it ends as it should: with 0, or, where the opposite is wanted, with 1.
    fn content(&self, place: &str, code: &str, not: bool) -> Result<String, String> {
        let values: String = self.known.iter().map(|(n, v)| format!("{n}='{}'\n", v.replace('\'', r"'\''"))).collect();
        let at = self.at(place);
        let out = (self.person.sh)(&at, &format!("{}\n{values}{code}\n", self.head));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_string();
        if out.status.code() == Some(i32::from(not)) {
            return Ok(text(&out.stdout));
        }
        Err(format!("{at}, {}:\n{code}\n{}\n{}", out.status, text(&out.stdout), text(&out.stderr)))
    }
    /// Which host a place is: itself, a node that was found, or the first of several that can be reached.
    fn at(&self, place: &str) -> String {
        if let Some(node) = self.known.get(place) {
            return node.clone();
        }
        let Some(list) = place.strip_prefix("the first of ").and_then(|l| l.strip_suffix(" that can be reached"))
        else {
            assert!(!place.is_empty(), "the page does not say where");
            return place.into();
        };
        let choose = || {
            let first = list.split(", ").find(|node| (self.person.sh)(node, "true").status.success());
            first.unwrap_or_else(|| panic!("none of {list} can be reached")).to_string()
        };
        self.chosen.borrow_mut().entry(place.into()).or_insert_with(choose).clone()
    }
}
