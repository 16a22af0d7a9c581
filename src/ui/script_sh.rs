//! The plan as a script for `sh`: `--format sh`.
//!
//! Why it exists: the proof that a dry run told the truth is to paste it: on a fresh node it must leave the same commands
//! in the same order as the real run. It is also what is left when hawiz itself cannot be used. Invariant: every command
//! stands here byte for byte as [`Command::source`] gives it, in a subshell with `set -eu` and without input, as the
//! engine sends it; nothing is wrapped; the order is the engine's: `when`, `done`, change, `done` again, `verify`.
//!
//! # Shape
//!
//! A *part* is what runs on one node without another node's turn in between. A plan of one part is one script that runs
//! as it is. With several parts each is guarded by `hawiz_part`, so that no node ever gets another node's commands:
//! `hawiz_part=2 sh FILE` on the node that part 2 names. Values a part does not learn itself, and secrets, must be set:
//! `: "${name:?…}"` at its head says which and from where. Gates are comments; deadlines are not kept.
//!
//! Exit codes are hawiz's own: 0, 4 nothing was changed, 6 something was, 8 optional steps failed.

use super::known::Known;
use super::parts::{Item, Part, for_commands, learns, parts};
use super::words::{TERMINAL, assignment, node_of, notes, place, printf, stage_note, variable};
use crate::plan::{Gate, Look, OnFailure, Place, Plan, Reading, Stage, Step, Undo, What};
use crate::shell::{BEFORE, Command, StdinPart, quote};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The words the parts are written in.
const WORDS: &str = include_str!("script_sh.sh");

pub fn render(plan: &Plan) -> Vec<u8> {
    let parts = parts(plan);
    let mut sh = Sh { plan, known: Known::of(plan), out: Vec::new() };
    sh.head(parts.len());
    let several = parts.len() > 1;
    for (i, part) in parts.iter().enumerate() {
        sh.part(i + 1, part, several);
    }
    if several {
        sh.line("( exit \"${hawiz_status-0}\" )");
    }
    sh.out
}

struct Sh<'a> {
    plan: &'a Plan,
    known: Known<'a>,
    out: Vec<u8>,
}

impl Sh<'_> {
    fn line(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
        self.out.push(b'\n');
    }
    fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }
    /// Text that may have several lines, none of which may become a command.
    fn remark(&mut self, lead: &str, text: &[u8]) {
        for l in text.split(|b| *b == b'\n') {
            self.bytes(b"# ");
            self.bytes(lead.as_bytes());
            self.bytes(l);
            self.out.push(b'\n');
        }
    }

    fn head(&mut self, parts: usize) {
        let plan = self.plan;
        self.line("#!/bin/sh");
        self.remark("", format!("{}: {}", plan.title, plan.what()).as_bytes());
        let digest = plan.digest.get(..12).unwrap_or(&plan.digest);
        self.remark("", format!("Printed by hawiz {}, plan {digest}.", plan.hawiz).as_bytes());
        if parts > 1 {
            let text = format!(
                "{parts} parts, to be run one after the other, each on its node: hawiz_part=1 sh FILE, then 2, …\n\
                 To paste instead: type hawiz_part=1, paste all, and so on. Without hawiz_part nothing runs."
            );
            self.remark("", text.as_bytes());
        }
        self.remark(
            "",
            b"Each step: look, change, look again. Stops at the first that fails; your shell stays as it is.",
        );
        self.remark("", b"Gates are remarks: read them. Deadlines are not kept here.");
        if parts > 1 {
            self.bytes(WORDS.as_bytes());
        }
    }

    fn part(&mut self, number: usize, part: &Part<'_>, several: bool) {
        let plan = self.plan;
        let on = place(part.place, None);
        let as_root = node_of(part.place).and_then(|n| plan.node(n)).and_then(|n| n.become_root.clone());
        let who = match (&as_root, part.place) {
            (Some(how), _) => format!(", as root ({how})"),
            (None, Place::Here) => ", as yourself".to_string(),
            _ => String::new(),
        };
        self.line("");
        self.remark("", format!("--- on {on}{who}: paste there").as_bytes());
        if several {
            self.line(&format!("if [ \"${{hawiz_part-}}\" = {number} ]; then"));
        }
        self.line("(");
        self.needs(part);
        self.line("cd /");
        self.line("LC_ALL=C; export LC_ALL");
        for (name, value) in &plan.env {
            self.line(&format!("{}; export {name}", assignment(name, &value.0)));
        }
        if !several {
            self.bytes(WORDS.as_bytes());
        }
        let mut used: BTreeSet<&str> = BTreeSet::new();
        for item in &part.items {
            match item {
                Item::Step(step) => step.for_commands(|c| used.extend(c.functions.iter().map(String::as_str))),
                item => for_commands(item, |c| used.extend(c.functions.iter().map(String::as_str))),
            }
        }
        for (name, body) in plan.functions.iter().filter(|(n, _)| used.contains(n.as_str())) {
            self.line(&format!("{name}() {{"));
            self.bytes(&body.0);
            self.line("\n}");
        }
        self.line("hawiz_stage_go=yes");
        let learnt: BTreeSet<String> = part.items.iter().flat_map(learns).collect();
        for item in &part.items {
            self.item(item, &learnt);
        }
        self.line("hawiz_end");
        self.line(")");
        if several {
            self.line("hawiz_status=$?");
            self.line("fi");
        }
    }

    /// What must be set before: secrets, and values that another part learns.
    fn needs(&mut self, part: &Part<'_>) {
        let mut secrets: BTreeSet<&str> = BTreeSet::new();
        let mut wanted: BTreeMap<String, &str> = BTreeMap::new();
        let mut learnt: BTreeSet<String> = BTreeSet::new();
        for item in &part.items {
            for_commands(item, |c| {
                for part in c.stdin.iter().flat_map(|s| &s.0) {
                    if let StdinPart::Secret(s) = part {
                        secrets.insert(s);
                    }
                }
                for w in c.wants.iter().filter(|w| w.key != BEFORE) {
                    for name in self.known.needed(w).into_iter().filter(|name| !learnt.contains(name)) {
                        wanted.entry(name).or_insert(&w.from);
                    }
                }
            });
            learnt.extend(learns(item));
        }
        for s in secrets {
            self.line(&format!(": \"${{{s}:?secret}}\""));
        }
        for (name, from) in wanted {
            let safe = |c: char| c.is_alphanumeric() || " /@[]=._:,-".contains(c);
            let from: String = from.chars().map(|c| if safe(c) { c } else { '_' }).collect();
            self.line(&format!(": \"${{{name}:?from {from}}}\""));
        }
    }

    fn item(&mut self, item: &Item<'_>, learnt: &BTreeSet<String>) {
        match item {
            Item::Remark(text) => {
                self.line("");
                self.remark("", text.as_bytes());
            }
            Item::Stage(number, stage) => self.stage(*number, stage),
            Item::Continued(number) => {
                self.line("");
                self.line(&format!(
                    ": \"${{hawiz_stage_{number}:?yes or no: did the condition of stage {number} hold}}\""
                ));
                self.line(&format!("hawiz_stage_go=$hawiz_stage_{number}"));
            }
            Item::Step(step) => self.step(step, learnt),
            Item::Report(step, check, look) => {
                self.begin(step, learnt);
                let text =
                    format!("several nodes decide: {:?}{}", check.true_on, if check.same { ", the same" } else { "" });
                self.remark("", text.to_lowercase().as_bytes());
                if let Some(role) = &check.role {
                    self.remark("", format!("where it is yes: {role}").as_bytes());
                }
                self.function("hawiz_c", &look.command, "</dev/null");
                self.line(&format!("hawiz_report {} {} {}", reading(look), seconds(step.within), every(step)));
            }
        }
    }

    fn stage(&mut self, number: usize, stage: &Stage) {
        self.line("");
        let note = stage_note(stage, None, "·");
        self.remark("", format!("=== {number} · {}   {note}", stage.title).as_bytes());
        if !stage.about.is_empty() {
            self.remark("    ", stage.about.trim_end().as_bytes());
        }
        match &stage.gate {
            Gate::Open => {}
            Gate::Ask => self.remark("gate: ", b"go on?"),
            Gate::Type(word) => self.remark("gate: ", format!("go on? say aloud: {word}").as_bytes()),
        }
        self.out.extend_from_slice(b"hawiz_stage ");
        self.bytes(&quote(stage.title.as_bytes()));
        self.out.push(b'\n');
        if let Some(when) = &stage.when {
            self.function("hawiz_w", &when.command, "</dev/null");
            self.line(&format!("hawiz_when {} 0 1", reading(when)));
            self.line("hawiz_stage_go=$hawiz_go");
        }
        if let Some(done) = &stage.done {
            self.function("hawiz_d", &done.command, "</dev/null");
            self.line(&format!("hawiz_stage_done {}", reading(done)));
            self.line("hawiz_stage_go=$hawiz_go");
        }
    }

    fn begin(&mut self, step: &Step, learnt: &BTreeSet<String>) {
        self.line("");
        let notes = notes(step, TERMINAL);
        if !notes.is_empty() {
            self.remark("", notes.as_bytes());
        }
        let on_failure = match step.on_failure {
            OnFailure::Stop => "stop",
            OnFailure::Ask => "ask",
            OnFailure::Continue => "continue",
        };
        self.bytes(format!("hawiz_step {on_failure} ").as_bytes());
        self.bytes(&quote(step.title.shown().as_bytes()));
        let needs: BTreeSet<String> =
            step.wants().iter().flat_map(|w| self.known.needed(w)).filter(|v| learnt.contains(v)).collect();
        for name in needs {
            self.bytes(format!(" {name}").as_bytes());
        }
        self.out.push(b'\n');
        if let Some(when) = &step.when {
            self.function("hawiz_w", &when.command, "</dev/null");
            self.line(&format!("hawiz_when {} {} {}", reading(when), seconds(step.within), every(step)));
        }
    }

    fn step(&mut self, step: &Step, learnt: &BTreeSet<String>) {
        self.begin(step, learnt);
        let names: String = step.capture.iter().map(|(_, key)| format!(" {}", variable(key))).collect();
        let (within, every) = (seconds(step.within), every(step));
        match &step.what {
            What::Check(check) => {
                let Some((_, look)) = check.looks.first() else { return };
                self.function("hawiz_c", &look.command, "</dev/null");
                self.line(&format!("hawiz_check {} {within} {every}{names}", reading(look)));
                if let Some(role) = &check.role {
                    let node = quote(node_of(&step.place).unwrap_or("here").as_bytes());
                    let node = String::from_utf8_lossy(&node).into_owned();
                    self.line(&format!("if [ \"$hawiz_answer\" = yes ]; then {}={node}; fi", variable(role)));
                }
            }
            What::Change(c) => {
                let (done, verify) = self.looks(c.done.as_ref(), c.verify.iter());
                self.function("hawiz_r", &c.run, if c.tty { "</dev/tty" } else { "</dev/null" });
                let exits: Vec<String> = c.exits.iter().map(i32::to_string).collect();
                let (tries, wait) = (step.tries, seconds(step.wait));
                self.undo(&c.undo);
                let exits = exits.join(" ");
                self.line(&format!("hawiz_change {done} '{verify}' {within} {every} {tries} {wait} '{exits}'{names}"));
            }
            What::Manual(m) => {
                let (done, verify) = self.looks(m.done.as_ref(), m.verify.iter());
                self.undo(&m.undo);
                self.bytes(format!("hawiz_manual {done} '{verify}' {within} {every} ").as_bytes());
                self.bytes(&quote(m.text.shown().as_bytes()));
                self.line(&names);
            }
        }
    }

    /// Defines the looks of a change, and says how they are read.
    fn looks<'a>(&mut self, done: Option<&Look>, verify: impl Iterator<Item = &'a Look>) -> (String, String) {
        if let Some(done) = done {
            self.function("hawiz_d", &done.command, "</dev/null");
        }
        let mut all = Vec::new();
        for (i, v) in verify.enumerate() {
            self.function(&format!("hawiz_v{}", i + 1), &v.command, "</dev/null");
            all.push(reading(v));
        }
        (done.map_or("-".to_string(), reading), all.join(" "))
    }

    fn undo(&mut self, undo: &Undo) {
        match undo {
            Undo::Run(c) => {
                if c.wants.iter().any(|w| w.key == BEFORE) {
                    self.remark(
                        "undo ",
                        format!("(${BEFORE}: what the first look printed before the change):").as_bytes(),
                    );
                }
                let mut text = c.source();
                while text.last() == Some(&b'\n') {
                    text.pop();
                }
                self.remark("undo  ", &text);
            }
            Undo::Manual(text) => self.remark("undo  ", format!("by hand: {}", text.shown()).as_bytes()),
            Undo::None(why) => self.remark("undo  ", format!("none needed: {why}").as_bytes()),
            Undo::NoReturn(why) => self.remark("", format!("POINT OF NO RETURN: {why}").as_bytes()),
        }
    }

    /// A command as a function: its own subshell, its own input.
    fn function(&mut self, name: &str, command: &Command, input: &str) {
        self.bytes(format!("{name}() {{ ").as_bytes());
        let value = |n: &str| {
            let bound = command.binds.iter().find(|(name, _)| name == n);
            match bound {
                Some((_, value)) => quote(&value.0),
                None => format!("\"${n}\"").into_bytes(),
            }
        };
        let known = self.known.assigned(command);
        if let Some(input) = printf(command, value) {
            if !known.is_empty() {
                self.out.push(b'\n');
                self.bytes(&known);
            }
            self.bytes(&input);
            self.bytes(b" | ");
        }
        self.line("(");
        self.line("set -eu");
        self.bytes(&known);
        self.bytes(&command.source());
        if self.out.last() != Some(&b'\n') {
            self.out.push(b'\n');
        }
        let end = if command.stdin.is_some() { "); }".to_string() } else { format!(") {input}; }}") };
        self.line(&end);
    }
}

fn reading(look: &Look) -> String {
    let how = match look.reading {
        Reading::Script => "script",
        Reading::Catalog => "catalog",
    };
    format!("{how}:{}", if look.not { "not" } else { "plain" })
}

/// Whole seconds, rounded up: `sleep` of POSIX knows no others.
fn seconds(d: Duration) -> u64 {
    d.as_secs() + u64::from(d.subsec_nanos() > 0)
}

fn every(step: &Step) -> u64 {
    seconds(step.every).max(1)
}
