//! The plan as text: the dry run, `hawiz plan`, and what `v` shows at a gate.
//!
//! Why it exists: see [`super::script`]. Invariant: every command stands under its label, wrapped only where a shell does
//! not mind; what is true or so already takes one line, and a loop whose instances agree takes one together.

use super::escape::{block, columns, line as harmless};
use super::tally::{State, Tally, proof_state, proofs, stage_done, stage_skipped, state};
use super::text::{beside, count, duration, fold_titles, hang, wrap};
use super::words::{assignment, node_of, notes, place, places, source, stage_note, stdin, terminal, title};
use super::wrap::wrap_command;
use super::{Ink, Looks, Marks, Style, plain};
use crate::catalog::Library;
use crate::event::{Proven, Purpose};
use crate::plan::{Answer, Check, Early, Look, Plan, Stage, Step, TrueOn, Undo, What};
use crate::shell::{BEFORE, Command};

/// One stage in full, as a dry run prints it: what `v` shows at a gate.
pub fn stage_text(plan: &Plan, stage: &Stage, looks: &Looks, style: &Style) -> String {
    let mut text = Text::new(plan, Some(looks), style);
    let number = plan.stages.iter().position(|s| s.id == stage.id).map_or(0, |i| i + 1);
    text.stage(number, stage);
    text.out.trim_start_matches('\n').to_string()
}

/// The stages from number `from` (of zero) on: what is left when somebody goes on dry.
pub fn rest_text(plan: &Plan, from: usize, looks: &Looks, style: &Style) -> String {
    let mut text = Text::new(plan, Some(looks), style);
    for (i, stage) in plan.stages.iter().enumerate().skip(from) {
        text.stage(i + 1, stage);
    }
    text.out
}

/// Columns before a command: four, and the label's eight.
const LABEL: usize = 8;

pub(super) struct Text<'a> {
    pub(super) plan: &'a Plan,
    pub(super) looks: Option<&'a Looks>,
    pub(super) style: &'a Style,
    pub(super) marks: &'static Marks,
    out: String,
    pub(super) early: Early<'a>,
    changed: bool,
    tally: Tally,
}

impl<'a> Text<'a> {
    pub(super) fn new(plan: &'a Plan, looks: Option<&'a Looks>, style: &'a Style) -> Self {
        let tally = Tally::of(plan, looks);
        let out = String::with_capacity(4096 + plan.stages.iter().map(|s| s.steps.len() * 256).sum::<usize>());
        let early = plan.early_set();
        Text { plan, looks, style, marks: style.marks(), out, early, changed: false, tally }
    }

    pub(super) fn print(mut self) -> String {
        self.head();
        self.proof();
        for (i, stage) in self.plan.stages.iter().enumerate() {
            self.source(i);
            self.stage(i + 1, stage);
        }
        if let Some(closing) = &self.plan.closing {
            self.line("");
            let left = "At the end: is it inactive?";
            self.beside(left, &format!("proof {} {}", self.marks.dot, closing.node), Ink::Strong);
            self.steps(&closing.steps, std::slice::from_ref(&closing.node), true);
        }
        self.functions();
        self.foot();
        self.out
    }

    pub(super) fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }
    pub(super) fn prose(&mut self, indent: usize, text: &str) {
        for l in wrap(&block(text), self.style.width.saturating_sub(indent)) {
            self.line(&format!("{}{l}", " ".repeat(indent)));
        }
    }
    pub(super) fn beside(&mut self, left: &str, right: &str, ink: Ink) {
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
        let what = plan.what();
        let mode = if self.looks.is_some() { "DRY RUN" } else { "PLAN" };
        self.beside(&harmless(&plan.title), &format!("{}   {mode}", harmless(&what)), Ink::Strong);
        match self.looks {
            Some(l) => {
                let n = count(l.nodes.len(), "node", "nodes");
                self.prose(0, &format!("Looked at {n} just now. Nothing is changed, nothing is asked."));
                for (node, why) in &l.unrecorded {
                    self.prose(0, &format!("{node} keeps no record of steps and no lock: {}", harmless(why)));
                }
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
        let from = |argv: &Option<Vec<String>>| {
            argv.as_ref().map_or("asked for".into(), |a| format!("from `{}`", a.join(" ")))
        };
        self.table(
            "Before pasting:",
            plan.secrets.iter().map(|s| (s.name.as_str(), format!("secret, {}", from(&s.argv)))),
        );
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
        self.roles();
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
                    Proven::LookedAt | Proven::Attested | Proven::Fenced(_) => (self.marks.yes, Ink::Good),
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
                    Proven::CannotTell(_) if self.plan.lost() == Some(&proof.node) => {
                        self.prose(4, "It is needed before the first change; one of these gives it:");
                        self.prose(4, &format!("- a fence device in the site file: [nodes.{node}.fence]"));
                        self.prose(4, &format!("- you vouch: --attest {node} (or type its name when asked)"));
                    }
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
        self.signs();
    }

    fn stage(&mut self, number: usize, stage: &Stage) {
        self.line("");
        let left = format!("{number} {} {}", self.marks.dot, harmless(&stage.title));
        self.beside(&left, &stage_note(stage, self.looks, self.marks.dot), Ink::Strong);
        if !stage.about.is_empty() {
            self.prose(2, &stage.about);
        }
        self.early(stage);
        for (look, _, purpose) in stage.asked() {
            let word = if purpose == Purpose::When { "when" } else { "done" };
            let now = self.looks.and_then(|l| l.one(&stage.id, purpose)).map(|s| s.looked.answer);
            self.command(word, &source(&look.command), &noted(look, &now_is(now)), 2);
        }
        if stage_skipped(stage, self.looks) {
            return self.line(&format!("  {} the whole stage is skipped: its `when` is false", self.marks.dot));
        }
        if stage_done(stage, self.looks) {
            self.tally.already += stage.steps.len();
            return self.line(&format!("  {} the whole stage is so already", self.marks.already));
        }
        self.steps(&stage.steps, &places(stage, self.looks), false);
    }

    /// Steps in order; neighbours of one loop that are all true, or all so already, fold into one line.
    pub(super) fn steps(&mut self, steps: &[Step], of_stage: &[String], proof: bool) {
        let states: Vec<State> = steps
            .iter()
            .map(|step| {
                let looks = if proof && self.looks.is_some_and(|l| l.one(&step.instance, Purpose::Proof).is_some()) {
                    return proof_state(step, self.looks);
                } else {
                    self.looks
                };
                let s = state(step, looks, self.changed && !self.early.has(step));
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
        let mut right: Vec<String> = vec![notes(step, terminal(self.plan, step))];
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
    pub(super) fn command(&mut self, label: &str, text: &str, right: &str, indent: usize) {
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
        self.no_return();
        if self.looks.is_none() {
            return;
        }
        if t.ready() {
            return self.line("Ready, as far as can be told before the first change.");
        }
        let mut why: Vec<String> = Vec::new();
        if t.gone > 0 {
            why.push(format!("{} cannot be reached", count(t.gone, "node", "nodes")));
        }
        if t.unproven > 0 {
            why.push(format!("{} not proven inactive", count(t.unproven, "node is", "nodes are")));
        }
        if t.misfit {
            why.push("the failover does not fit who is active".to_string());
        }
        if t.refused > 0 {
            why.push(count(t.refused, "check refuses", "checks refuse"));
        }
        self.beside(&format!("Not ready: {}.", why.join(", ")), "exit 4", Ink::Bad);
    }
}

/// On how many of its nodes a check must be true, and what is learnt from it.
pub(super) fn rule(check: &Check) -> Option<String> {
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

/// A look's note: what is wanted of it where that is not a plain yes, and how it stands.
fn noted(look: &Look, now: &str) -> String {
    let parts = [if look.not { "must be false" } else { "" }, now];
    parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(", ")
}
