//! The plan on paper: the dry run and `hawiz plan`.
//!
//! Why it exists: "what you saw is what ran" needs a place that prints every command of a [`Plan`] exactly as the engine
//! would send it. There is no dry-run switch in the engine; a dry run is this file, with the looks already taken beside
//! the commands. Invariant: a command printed here is [`Command::source`], byte for byte in `--format sh`
//! ([`super::script_sh`]) and wrapped only where a shell does not mind in the others; values that are not known yet show
//! as `$name` with the step that will tell. (Where a script has a quoted text of several lines, the indent of the other
//! formats stands inside the quotes: they are for the eye, `sh` is for pasting.)

use super::escape::{block, columns, line as harmless};
use super::text::{beside, count, duration, fold_titles, hang, wrap};
use super::wrap::{dedent, wrap_command};
use super::{Ink, Looks, Marks, Style, plain};
use crate::catalog::Library;
use crate::event::{Proven, Purpose};
use crate::plan::{Answer, Check, Gate, Look, OnFailure, Place, Plan, Proof, Stage, Step, TrueOn, Undo, What};
use crate::shell::{BEFORE, Command, StdinPart, Word, quote};
use serde::Serialize;
use std::time::Duration;

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Md,
    Sh,
    Json,
}

/// Prints the plan; with `looks` it is a dry run. Bytes, because `sh` must keep values that are not UTF-8.
pub fn render(plan: &Plan, looks: Option<&Looks>, format: Format, style: &Style) -> Vec<u8> {
    match format {
        Format::Text => Text::new(plan, looks, style).print().into_bytes(),
        Format::Md => super::script_md::render(plan, looks).into_bytes(),
        Format::Sh => super::script_sh::render(plan),
        Format::Json => json(plan, looks),
    }
}

/// The plan itself, with the looks that were taken: `{"format": 1, "plan": {…}, "looks": […], "unreachable": {…}}`.
fn json(plan: &Plan, looks: Option<&Looks>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Whole<'a> {
        format: u32,
        plan: &'a Plan,
        #[serde(skip_serializing_if = "Option::is_none")]
        looks: Option<Vec<&'a crate::event::Looked>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        unreachable: Option<&'a std::collections::BTreeMap<String, String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tally: Option<Tally>,
    }
    let whole = Whole {
        format: 1,
        plan,
        looks: looks.map(|l| l.all().into_iter().map(|s| &s.looked).collect()),
        unreachable: looks.map(|l| &l.unreachable),
        tally: looks.map(|l| tally(plan, Some(l))),
    };
    let mut out = serde_json::to_vec_pretty(&whole).unwrap_or_default();
    out.push(b'\n');
    out
}

/// What a dry run found, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub stages: usize,
    /// Changes and manual steps that would be made.
    pub changes: usize,
    /// So already.
    pub already: usize,
    /// Looked at and true.
    pub passed: usize,
    /// Looked at, false, before any change: these refuse.
    pub refused: usize,
    /// Could not be looked at.
    pub unknown: usize,
    /// Only the run itself will tell.
    pub not_yet: usize,
    /// Peers without proof.
    pub unproven: usize,
}
impl Tally {
    /// Nothing that could be looked at refuses (exit 0), or something does (exit 4).
    pub fn ready(&self) -> bool {
        self.refused == 0 && self.unproven == 0
    }
}

/// How a step stands, from the looks alone.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Nothing was looked at: `hawiz plan`.
    Planned,
    Passed,
    Refused,
    Doubt(String),
    Change,
    Already,
    NotYet,
    /// Its `when`, or its stage's, is false.
    Skipped,
}

/// How a step stands; `changed`: a step before it would change something, so that a *no* is only *not yet*.
pub fn state(step: &Step, looks: Option<&Looks>, changed: bool) -> State {
    let Some(looks) = looks else { return State::Planned };
    if looks.one(&step.instance, Purpose::When).is_some_and(|s| s.looked.answer == Answer::No) {
        return if changed { State::NotYet } else { State::Skipped };
    }
    let done = match &step.what {
        What::Check(check) => return check_state(step, check, looks, changed),
        What::Change(c) => &c.done,
        What::Manual(m) => &m.done,
    };
    match looks.one(&step.instance, Purpose::Before).map(|s| s.looked.answer) {
        Some(Answer::Yes) => State::Already,
        Some(Answer::CouldNotLook) if done.is_some() && !changed => State::Doubt("could not look".into()),
        _ => State::Change,
    }
}

fn check_state(step: &Step, check: &Check, looks: &Looks, changed: bool) -> State {
    let all: Vec<Answer> = looks.of(&step.instance, Purpose::Check).map(|s| s.looked.answer).collect();
    if all.is_empty() {
        if changed {
            return State::NotYet;
        }
        let gone = node_of(&step.place).is_some_and(|n| looks.unreachable.contains_key(n));
        return State::Doubt(if gone { "cannot be reached" } else { "not looked at" }.into());
    }
    let n = check.looks.len().max(all.len());
    let yes = all.iter().filter(|a| **a == Answer::Yes).count();
    let no = all.iter().filter(|a| **a == Answer::No).count();
    let open = n - yes - no > 0;
    let verdict = match check.true_on {
        TrueOn::All if no > 0 => Some(false),
        TrueOn::All | TrueOn::None if open && (check.true_on == TrueOn::All || yes == 0) => None,
        TrueOn::All => Some(true),
        TrueOn::None => Some(yes == 0),
        TrueOn::One if yes > 1 => Some(false),
        TrueOn::One if open => None,
        TrueOn::One => Some(yes == 1),
        TrueOn::Any => Some(yes > 0),
        TrueOn::Majority => Some(yes * 2 > n),
    };
    match verdict {
        Some(true) => State::Passed,
        _ if changed => State::NotYet,
        Some(false) => State::Refused,
        None if all.contains(&Answer::Unsettled) => State::Doubt("not settled yet".into()),
        None => State::Doubt("could not look".into()),
    }
}

/// Counts a plan without printing it; `app` takes the exit code from it.
pub fn tally(plan: &Plan, looks: Option<&Looks>) -> Tally {
    let mut tally = Tally { stages: plan.stages.len(), unproven: unproven(plan, looks), ..Tally::default() };
    let mut changed = false;
    for stage in &plan.stages {
        if stage_skipped(stage, looks) {
            continue;
        }
        for step in &stage.steps {
            tally.count(step, &state(step, looks, changed), &mut changed);
        }
    }
    tally
}

impl Tally {
    fn count(&mut self, step: &Step, state: &State, changed: &mut bool) {
        match state {
            State::Planned if step.changes() => self.changes += 1,
            State::Planned => self.not_yet += 1,
            State::Passed => self.passed += 1,
            State::Refused if step.on_failure == OnFailure::Continue => self.unknown += 1,
            State::Refused => self.refused += 1,
            State::Doubt(_) => {
                self.unknown += 1;
                self.changes += usize::from(step.changes());
            }
            State::Change => {
                self.changes += 1;
                *changed = true;
            }
            State::Already => self.already += 1,
            State::NotYet if step.changes() => self.changes += 1,
            State::NotYet => self.not_yet += 1,
            State::Skipped => {}
        }
    }
}

fn unproven(plan: &Plan, looks: Option<&Looks>) -> usize {
    let Some(looks) = looks else { return 0 };
    let proven = |node: &str| matches!(looks.proofs.get(node), Some((Proven::LookedAt | Proven::Attested, _)));
    proofs(plan).iter().filter(|p| !proven(&p.node)).count()
}

/// The proofs that are taken before the first change; none when nobody is made active.
pub(super) fn proofs(plan: &Plan) -> &[Proof] {
    if plan.activates { &plan.proof } else { &[] }
}

pub(super) fn stage_skipped(stage: &Stage, looks: Option<&Looks>) -> bool {
    looks.and_then(|l| l.one(&stage.id, Purpose::When)).is_some_and(|s| s.looked.answer == Answer::No)
}

/// The node's name, when planning knows it.
pub(super) fn node_of(place: &Place) -> Option<&str> {
    match place {
        Place::Node(n) => Some(n),
        _ => None,
    }
}

/// Where a step runs, in words.
pub(super) fn place(place: &Place, looks: Option<&Looks>) -> String {
    let now = |key: &str| looks.and_then(|l| l.values.get(key)).map(|v| v.lossy());
    match place {
        Place::Node(n) => n.clone(),
        Place::Here => "this machine".to_string(),
        Place::Role(key) => now(key).map_or(key.clone(), |n| format!("{key} ({n} now)")),
        Place::OneOf { key, nodes } => {
            now(key).unwrap_or_else(|| format!("the first of {} that can be reached", nodes.join(", ")))
        }
    }
}

/// A title, with run-time values where they are known.
pub(super) fn title(word: &Word, looks: Option<&Looks>) -> String {
    let filled = looks.and_then(|l| word.fill(&l.values)).map(|v| v.lossy());
    harmless(&filled.unwrap_or_else(|| word.shown())).into_owned()
}

/// The places of a stage, each once: at the right of its header.
pub(super) fn places(stage: &Stage, looks: Option<&Looks>) -> Vec<String> {
    let mut seen: Vec<&Place> = Vec::new();
    for step in &stage.steps {
        let of_check = match &step.what {
            What::Check(c) => c.looks.as_slice(),
            _ => &[],
        };
        let all = if of_check.len() > 1 { of_check.iter().map(|(p, _)| p).collect() } else { vec![&step.place] };
        for p in all {
            if !seen.contains(&p) {
                seen.push(p);
            }
        }
    }
    seen.into_iter().map(|p| place(p, looks)).collect()
}

pub(super) fn stage_note(stage: &Stage, looks: Option<&Looks>, dot: &str) -> String {
    let places = places(stage, looks);
    let places = if places.len() > 3 { format!("{} nodes", places.len()) } else { places.join(", ") };
    let owner = stage.owner.as_deref().map(|o| format!("[{}]", harmless(o))).unwrap_or_default();
    let gate = match &stage.gate {
        Gate::Open => String::new(),
        Gate::Ask => "asks".to_string(),
        Gate::Type(word) => format!("type {}", harmless(word)),
    };
    let left = [owner, gate].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(" ");
    [left, places].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(&format!(" {dot} "))
}

/// What makes the standard input, as the shell writes it: `printf 'user=%s\n' "$user"`; `None` when nothing is read.
/// `value` gives the shell word for a run-time value or a secret.
pub(super) fn printf(command: &Command, value: impl Fn(&str) -> Vec<u8>) -> Option<Vec<u8>> {
    let mut format = Vec::new();
    let mut words: Vec<Vec<u8>> = Vec::new();
    for part in &command.stdin.as_ref()?.0 {
        match part {
            StdinPart::Text(v) => {
                for b in &v.0 {
                    match b {
                        b'\n' => format.extend_from_slice(b"\\n"),
                        b'\\' => format.extend_from_slice(b"\\\\"),
                        b'%' => format.extend_from_slice(b"%%"),
                        // An option it must not become.
                        b'-' if format.is_empty() => format.extend_from_slice(b"\\055"),
                        b => format.push(*b),
                    }
                }
            }
            StdinPart::Name(n) | StdinPart::Secret(n) => {
                format.extend_from_slice(b"%s");
                words.push(value(n));
            }
        }
    }
    let mut out = b"printf ".to_vec();
    out.extend(quote(&format));
    for w in words {
        out.push(b' ');
        out.extend(w);
    }
    Some(out)
}

/// The same, for the eye.
pub(super) fn stdin(command: &Command) -> Option<String> {
    let bytes = printf(command, |n| format!("\"${n}\"").into_bytes())?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Tries, deadline, and what a failure means, where they differ from what is usual.
pub(super) fn notes(step: &Step) -> String {
    let mut out: Vec<String> = Vec::new();
    if step.tries > 1 {
        out.push(format!("{} tries, {} apart", step.tries, duration(step.wait)));
    }
    match (&step.what, step.deadline) {
        (What::Change(_), Some(d)) if step.tries > 1 => out.push(format!("{} each", duration(d))),
        (What::Change(_), Some(d)) if d != Duration::from_secs(300) => out.push(format!("deadline {}", duration(d))),
        (What::Change(c), None) if !c.tty => out.push("no deadline".to_string()),
        (What::Check(_), _) if !step.within.is_zero() => out.push(format!("waits up to {}", duration(step.within))),
        _ => {}
    }
    if let What::Change(c) = &step.what
        && c.tty
    {
        out.push("needs a terminal".to_string());
    }
    if step.exclusive {
        out.push("proof again before it".to_string());
    }
    match step.on_failure {
        OnFailure::Stop => {}
        OnFailure::Ask => out.push("may be skipped".to_string()),
        OnFailure::Continue => out.push("optional".to_string()),
    }
    out.join(", ")
}

/// One stage in full, as a dry run prints it: what `v` shows at a gate.
pub fn stage_text(plan: &Plan, stage: &Stage, looks: &Looks, style: &Style) -> String {
    let mut text = Text::new(plan, Some(looks), style);
    let number = plan.stages.iter().position(|s| s.id == stage.id).map_or(0, |i| i + 1);
    text.stage(number, stage);
    text.out.trim_start_matches('\n').to_string()
}

/// Columns before a command: four, and the label's eight.
const LABEL: usize = 8;

struct Text<'a> {
    plan: &'a Plan,
    looks: Option<&'a Looks>,
    style: &'a Style,
    marks: &'static Marks,
    out: String,
    changed: bool,
    tally: Tally,
}

impl<'a> Text<'a> {
    fn new(plan: &'a Plan, looks: Option<&'a Looks>, style: &'a Style) -> Self {
        let tally = Tally { stages: plan.stages.len(), unproven: unproven(plan, looks), ..Tally::default() };
        let out = String::with_capacity(4096 + plan.stages.iter().map(|s| s.steps.len() * 256).sum::<usize>());
        Text { plan, looks, style, marks: style.marks(), out, changed: false, tally }
    }

    fn print(mut self) -> String {
        self.head();
        self.proof();
        for (i, stage) in self.plan.stages.iter().enumerate() {
            self.stage(i + 1, stage);
        }
        if let Some(closing) = &self.plan.closing {
            self.line("");
            let left = "At the end: is it inactive?";
            self.beside(left, &format!("proof {} {}", self.marks.dot, closing.node), Ink::Strong);
            self.steps(&closing.steps, &[closing.node.clone()], true);
        }
        self.functions();
        self.foot();
        self.out
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }
    fn prose(&mut self, indent: usize, text: &str) {
        for l in wrap(&block(text), self.style.width.saturating_sub(indent)) {
            self.line(&format!("{}{l}", " ".repeat(indent)));
        }
    }
    fn beside(&mut self, left: &str, right: &str, ink: Ink) {
        for (i, l) in beside(left, right, self.style.width).into_iter().enumerate() {
            match l.strip_prefix(left) {
                Some(rest) if i == 0 => {
                    let text = format!("{}{}", self.style.paint(ink, left), self.style.paint(Ink::Dim, rest));
                    self.line(&text);
                }
                _ => self.line(&l),
            }
        }
    }

    fn head(&mut self) {
        let plan = self.plan;
        let what = match &plan.target {
            Some(t) => format!("{} {t}", plan.procedure),
            None => plan.procedure.clone(),
        };
        let mode = if self.looks.is_some() { "DRY RUN" } else { "PLAN" };
        self.beside(&harmless(&plan.title), &format!("{}   {mode}", harmless(&what)), Ink::Strong);
        match self.looks {
            Some(l) => {
                let n = count(l.nodes.len(), "node", "nodes");
                self.prose(0, &format!("Looked at {n} just now. Nothing is changed, nothing is asked."));
            }
            None => self.prose(0, "Nobody was contacted."),
        }
        let read: Vec<String> = plan.sources.iter().map(|s| format!("{} {}", s.what, s.path)).collect();
        if !read.is_empty() {
            self.prose(0, &format!("Read: {}", read.join(", ")));
        }
        if self.style.verbose > 0 && !plan.about.is_empty() {
            self.prose(0, &plan.about);
        }
        let from = |argv: &Option<Vec<String>>| argv.as_ref().map_or("asked for".into(), |a| format!("from `{}`", a.join(" ")));
        self.table("Before pasting:", plan.secrets.iter().map(|s| (s.name.as_str(), format!("secret, {}", from(&s.argv)))));
        let looks = self.looks;
        let unknown = plan.captures.iter().filter(|(k, _)| looks.is_none_or(|l| !l.values.contains_key(k)));
        self.table("Not known yet:", unknown.map(|(key, from)| (key.as_str(), format!("from {from}"))));
        if !plan.env.is_empty() {
            let all: Vec<String> = plan.env.iter().map(|(k, v)| assignment(k, &v.0)).collect();
            self.command("env", &all.join(" "), "", 0);
        }
        let library = Library::read();
        let (theirs, own): (Vec<_>, Vec<_>) = plan.functions.iter().partition(|(name, _)| library.has(name));
        for (name, body) in own {
            let text = format!("{name}() {{\n{}\n}}", body.lossy().trim_matches('\n'));
            self.command("where", &text, "", 0);
        }
        if !theirs.is_empty() {
            let n = count(theirs.len(), "function", "functions");
            self.prose(0, &format!("Commands call {n} of hawiz; their text is at the end."));
        }
    }

    /// The catalogue's functions: at the left edge and after all else, for they are long and seldom read.
    fn functions(&mut self) {
        let library = Library::read();
        let theirs: Vec<_> = self.plan.functions.iter().filter(|(name, _)| library.has(name)).collect();
        if theirs.is_empty() {
            return;
        }
        self.line("");
        self.beside("Functions that the commands call", "of hawiz", Ink::Strong);
        for (name, body) in theirs {
            let text = format!("{name}() {{\n{}\n}}", body.lossy());
            wrap_command(&block(&text), self.style.width).iter().for_each(|l| self.line(l));
        }
    }

    /// Names and what is said of them, in two columns that line up.
    fn table<'b>(&mut self, label: &str, rows: impl Iterator<Item = (&'b str, String)>) {
        let rows: Vec<(String, String)> = rows.map(|(n, text)| (harmless(n).into_owned(), text)).collect();
        if rows.is_empty() {
            return;
        }
        self.line(label);
        let most = self.style.width / 3;
        let wide = rows.iter().map(|(n, _)| columns(n)).filter(|n| *n <= most).max().unwrap_or(0);
        for (name, text) in &rows {
            let mut lines = wrap(&harmless(text), self.style.width.saturating_sub(wide + 4));
            let mut name = name.as_str();
            if columns(name) > wide {
                self.line(&format!("  {name}"));
                name = "";
            }
            for l in lines.drain(..) {
                self.line(&format!("  {name}{}  {l}", " ".repeat(wide.saturating_sub(columns(name)))));
                name = "";
            }
        }
    }

    fn proof(&mut self) {
        for proof in proofs(self.plan) {
            self.line("");
            let node = harmless(&proof.node);
            self.beside(
                &format!("Proof: is {node} inactive?"),
                &format!("proof {} {node}", self.marks.dot),
                Ink::Strong,
            );
            if let Some((proven, _)) = self.looks.and_then(|l| l.proofs.get(&proof.node)) {
                let (mark, ink) = match proven {
                    Proven::LookedAt | Proven::Attested => (self.marks.yes, Ink::Good),
                    Proven::CannotTell(_) => (self.marks.doubt, Ink::Doubt),
                    _ => (self.marks.no, Ink::Bad),
                };
                let text = format!("  {mark} {node}: {}", harmless(&plain::proven(proven)));
                for l in hang(&text, self.style.width) {
                    let painted = self.style.paint(ink, &l);
                    self.line(&painted);
                }
                match proven {
                    Proven::LookedAt | Proven::Attested if self.style.verbose <= 0 => continue,
                    Proven::CannotTell(_) => {
                        self.prose(4, "It is needed before the first change; one of these gives it:");
                        let checks = count(proof.steps.len(), "check shows", "checks show");
                        self.prose(4, &format!("- it comes back, and {checks} that it is inactive"));
                        self.prose(4, &format!("- you vouch: --attest {node} (or type its name when asked)"));
                    }
                    _ => {}
                }
            }
            self.steps(&proof.steps, std::slice::from_ref(&proof.node), true);
        }
    }

    fn stage(&mut self, number: usize, stage: &Stage) {
        self.line("");
        let left = format!("{number} {} {}", self.marks.dot, harmless(&stage.title));
        self.beside(&left, &stage_note(stage, self.looks, self.marks.dot), Ink::Strong);
        if !stage.about.is_empty() {
            self.prose(2, &stage.about);
        }
        if let Some(when) = &stage.when {
            let now = self.looks.and_then(|l| l.one(&stage.id, Purpose::When)).map(|s| s.looked.answer);
            self.command("when", &source(&when.command), &noted(when, &now_is(now)), 2);
        }
        if stage_skipped(stage, self.looks) {
            return self.line(&format!("  {} the whole stage is skipped: its `when` is false", self.marks.dot));
        }
        self.steps(&stage.steps, &places(stage, self.looks), false);
    }

    /// Steps in order; neighbours of one loop that are all true, or all so already, fold into one line.
    fn steps(&mut self, steps: &[Step], of_stage: &[String], proof: bool) {
        let states: Vec<State> = steps
            .iter()
            .map(|step| {
                let looks = if proof && self.looks.is_some_and(|l| l.one(&step.instance, Purpose::Proof).is_some()) {
                    return proof_state(step, self.looks);
                } else {
                    self.looks
                };
                let s = state(step, looks, self.changed);
                if !proof {
                    self.tally.count(step, &s, &mut self.changed);
                }
                s
            })
            .collect();
        let quiet = |s: &State| matches!(s, State::Passed | State::Already);
        let mut i = 0;
        while i < steps.len() {
            let mut end = i + 1;
            if self.style.verbose <= 0 && quiet(&states[i]) && !steps[i].show {
                while end < steps.len() && steps[end].id == steps[i].id && states[end] == states[i] {
                    end += 1;
                }
            }
            if end > i + 1 {
                let titles: Vec<String> = steps[i..end].iter().map(|s| title(&s.title, self.looks)).collect();
                let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
                self.title(&states[i], &fold_titles(&titles), "");
            } else {
                self.step(&steps[i], &states[i], of_stage);
            }
            i = end;
        }
    }

    fn title(&mut self, state: &State, title: &str, right: &str) {
        let m = self.marks;
        let (mark, ink) = match state {
            State::Passed => (m.yes, Ink::Good),
            State::Refused => (m.no, Ink::Bad),
            State::Doubt(_) => (m.doubt, Ink::Doubt),
            State::Change => (m.change, Ink::Change),
            State::Already => (m.already, Ink::Good),
            State::NotYet | State::Skipped | State::Planned => (m.not_yet, Ink::Dim),
        };
        for (i, l) in beside(&format!("  {mark} {title}"), right, self.style.width).into_iter().enumerate() {
            let text = match l.split_once(mark) {
                Some((lead, rest)) if i == 0 => format!("{lead}{}{rest}", self.style.paint(ink, mark)),
                _ => l,
            };
            self.line(&text);
        }
    }

    fn step(&mut self, step: &Step, state: &State, of_stage: &[String]) {
        let mut right: Vec<String> = vec![notes(step)];
        let at = place(&step.place, self.looks);
        let nodes = if let What::Check(c) = &step.what { c.looks.len() } else { 1 };
        if of_stage.len() > 1 && nodes < 2 {
            right.push(at);
        }
        match state {
            State::NotYet => right.push("not yet".to_string()),
            State::Skipped => right.push("skipped: its `when` is false".to_string()),
            State::Doubt(why) => right.push(why.clone()),
            _ => {}
        }
        right.retain(|r| !r.is_empty());
        let mark = match (state, &step.what) {
            (State::Planned | State::NotYet, What::Change(_) | What::Manual(_)) => State::Change,
            _ => state.clone(),
        };
        let right = right.join(&format!(" {} ", self.marks.dot));
        self.title(&mark, &title(&step.title, self.looks), &right);
        let quiet = matches!(state, State::Passed | State::Already | State::Skipped);
        if !step.about.is_empty() && !quiet {
            self.prose(4, &step.about);
        }
        if step.show || matches!(state, State::Refused | State::Doubt(_)) {
            self.evidence(step);
        }
        if quiet && self.style.verbose <= 0 {
            return;
        }
        if let Some(when) = &step.when {
            self.look("when", when, step, Purpose::When);
        }
        match &step.what {
            What::Check(c) => {
                for (i, (p, look)) in c.looks.iter().enumerate() {
                    let same = i > 0 && c.looks[i - 1].1.command.source() == look.command.source();
                    if c.looks.len() > 1 {
                        let on = format!("on {}", harmless(&place(p, self.looks)));
                        let node = node_of(p).unwrap_or_default().to_string();
                        let now = self
                            .looks
                            .and_then(|l| l.of(&step.instance, Purpose::Check).find(|s| s.looked.node == node))
                            .map(|s| s.looked.answer);
                        self.beside(&format!("    {on}"), &now_is(now), Ink::Dim);
                    }
                    if !same {
                        self.command("check", &source(&look.command), &noted(look, ""), 4);
                        self.reads(&look.command);
                    }
                }
                if let Some(rule) = rule(c) {
                    self.labelled("true", &rule);
                }
            }
            What::Change(c) => {
                if let Some(done) = &c.done {
                    self.look("done?", done, step, Purpose::Before);
                }
                self.command("run", &source(&c.run), "", 4);
                self.reads(&c.run);
                if c.exits != [0] {
                    let all: Vec<String> = c.exits.iter().map(i32::to_string).collect();
                    self.labelled("exits", &format!("{} are no failure", all.join(", ")));
                }
                for v in &c.verify {
                    let right = noted(v, &format!("up to {}", duration(step.within)));
                    self.command("verify", &source(&v.command), &right, 4);
                    self.reads(&v.command);
                }
                self.undo(&c.undo);
            }
            What::Manual(m) => {
                if let Some(done) = &m.done {
                    self.look("done?", done, step, Purpose::Before);
                }
                self.labelled("do", &title(&m.text, self.looks));
                if let Some(v) = &m.verify {
                    let right = noted(v, &format!("up to {}", duration(step.within)));
                    self.command("verify", &source(&v.command), &right, 4);
                }
                self.undo(&m.undo);
            }
        }
        if !step.capture.is_empty() {
            let names: Vec<String> = step.capture.iter().map(|(n, _)| format!("${n}")).collect();
            self.labelled("gives", &format!("{} (the words of the first line)", names.join(" ")));
        }
    }

    fn evidence(&mut self, step: &Step) {
        let Some(looks) = self.looks else { return };
        for p in [Purpose::Check, Purpose::Before, Purpose::Proof] {
            let all: Vec<String> = looks.of(&step.instance, p).map(|s| s.looked.evidence.clone()).collect();
            for l in all.iter().flat_map(|e| e.lines()).take(4) {
                let text =
                    super::escape::cut(&harmless(l), self.style.width.saturating_sub(6), self.marks.more).into_owned();
                let text = format!("    | {text}");
                let text = self.style.paint(Ink::Dim, &text);
                self.line(&text);
            }
        }
    }

    fn look(&mut self, label: &str, look: &Look, step: &Step, purpose: Purpose) {
        let now = self.looks.and_then(|l| l.one(&step.instance, purpose)).map(|s| s.looked.answer);
        let right = match now {
            None if self.looks.is_some() => "now: can't tell yet".to_string(),
            now => now_is(now),
        };
        self.command(label, &source(&look.command), &noted(look, &right), 4);
        self.reads(&look.command);
    }

    fn undo(&mut self, undo: &Undo) {
        match undo {
            Undo::Run(c) => {
                self.command("undo", &source(c), "", 4);
                self.reads(c);
                if c.wants.iter().any(|w| w.key == BEFORE) {
                    self.prose(4 + LABEL, &format!("(${BEFORE}: what the look printed before the change)"));
                }
            }
            Undo::Manual(text) => self.labelled("undo", &format!("by hand: {}", title(text, self.looks))),
            Undo::None(why) => self.labelled("undo", &format!("none needed: {}", harmless(why))),
            Undo::NoReturn(why) => {
                self.labelled("undo", "none");
                for l in hang(&format!("    POINT OF NO RETURN: {}", harmless(why)), self.style.width) {
                    let text = self.style.paint(Ink::Bad, &l);
                    self.line(&text);
                }
            }
        }
    }

    /// Standard input, where there is one.
    fn reads(&mut self, command: &Command) {
        if let Some(text) = stdin(command) {
            self.command("stdin", &text, "", 4);
        }
    }

    fn labelled(&mut self, label: &str, text: &str) {
        let width = self.style.width.saturating_sub(4 + LABEL);
        for (i, l) in wrap(&block(text), width).into_iter().enumerate() {
            let label = if i == 0 { label } else { "" };
            self.line(&format!("    {label:<LABEL$}{l}"));
        }
    }

    /// A command under its label, with a note at the right of its last line.
    fn command(&mut self, label: &str, text: &str, right: &str, indent: usize) {
        let width = self.style.width;
        let pad = " ".repeat(indent);
        let mut lines = wrap_command(&block(text), width.saturating_sub(indent + LABEL));
        if lines.is_empty() {
            lines.push(String::new());
        }
        let last = lines.len() - 1;
        for (i, l) in lines.iter().enumerate() {
            let label = if i == 0 { label } else { "" };
            let left = format!("{pad}{label:<LABEL$}{l}");
            let used = columns(&left);
            if i < last || right.is_empty() {
                self.line(&left);
            } else if used + 2 + right.len() <= width {
                let gap = " ".repeat(width - used - right.len());
                let right = self.style.paint(Ink::Dim, right);
                self.line(&format!("{left}{gap}{right}"));
            } else {
                self.line(&left);
                self.line(&format!("{pad}{:<LABEL$}({right})", ""));
            }
        }
    }

    fn foot(&mut self) {
        let t = self.tally;
        let mut parts = vec![count(t.stages, "stage", "stages"), count(t.changes, "change", "changes")];
        if self.looks.is_some() {
            for (n, what) in [
                (t.already, "so already"),
                (t.passed, "looked at and true"),
                (t.refused, "false"),
                (t.unknown, "could not be looked at"),
                (t.not_yet, "can't tell yet"),
            ] {
                if n > 0 {
                    parts.push(format!("{n} {what}"));
                }
            }
        } else {
            parts.push(count(t.not_yet, "check", "checks"));
        }
        self.line("");
        self.prose(0, &parts.join(&format!(" {} ", self.marks.dot)));
        if self.looks.is_none() {
            return;
        }
        if t.ready() {
            return self.line("Ready, as far as can be told before the first change.");
        }
        let mut why: Vec<String> = Vec::new();
        if t.unproven > 0 {
            why.push(format!("{} not proven inactive", count(t.unproven, "node is", "nodes are")));
        }
        if t.refused > 0 {
            why.push(count(t.refused, "check refuses", "checks refuse"));
        }
        self.beside(&format!("Not ready: {}.", why.join(", ")), "exit 4", Ink::Bad);
    }
}

fn proof_state(step: &Step, looks: Option<&Looks>) -> State {
    match looks.and_then(|l| l.one(&step.instance, Purpose::Proof)).map(|s| s.looked.answer) {
        Some(Answer::Yes) => State::Passed,
        Some(Answer::No) => State::Refused,
        Some(Answer::Unsettled) => State::Doubt("not settled yet".into()),
        _ => State::Doubt("could not look".into()),
    }
}

fn rule(check: &Check) -> Option<String> {
    let n = check.looks.len();
    let mut out = match check.true_on {
        TrueOn::All if n < 2 => String::new(),
        TrueOn::All => "on all of them".to_string(),
        TrueOn::One => "on exactly one of them".to_string(),
        TrueOn::None => "on none of them".to_string(),
        TrueOn::Any => "on at least one of them".to_string(),
        TrueOn::Majority => "on more than half of them".to_string(),
    };
    if check.same {
        out.push_str(if out.is_empty() { "the same everywhere" } else { ", and the same everywhere" });
    }
    if let Some(role) = &check.role {
        out.push_str(&format!("{}that node is `{role}` from here on", if out.is_empty() { "" } else { "; " }));
    }
    (!out.is_empty()).then_some(out)
}

fn now_is(answer: Option<Answer>) -> String {
    answer.map(|a| format!("now: {}", plain::answer(a))).unwrap_or_default()
}

/// The text with its plan-time values at the head, for the eye: without the indent that a script has in its playbook.
pub(super) fn source(command: &Command) -> String {
    let bare = Command { text: dedent(&command.text.lossy()).into(), ..command.clone() };
    String::from_utf8_lossy(&bare.source()).into_owned()
}

/// A look's note: what is wanted of it where that is not a plain yes, and how it stands.
fn noted(look: &Look, now: &str) -> String {
    let parts = [if look.not { "must be false" } else { "" }, now];
    parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(", ")
}

/// `PATH` is put in front of the node's own; the rest is exported as it is.
pub(super) fn assignment(name: &str, value: &[u8]) -> String {
    let value = String::from_utf8_lossy(&quote(value)).into_owned();
    if name == "PATH" { format!("PATH={value}:\"$PATH\"") } else { format!("{name}={value}") }
}
