//! The plan as a checklist for paper: boxes to tick, commands in fences, room for who and when.
//!
//! Why it exists: when the wizard's machine is the one that is down, somebody does it by hand. Invariant: the order is the
//! engine's, and no command is shortened or wrapped.

use super::Looks;
use super::escape::{block as shown, line as harmless};
use super::known::{Known, captures};
use super::script_text::rule;
use super::tally::{proof_before, proofs, stage_done, stage_skipped};
use super::text::duration;
use super::words::{TERMINAL, assignment, node_of, notes, place, places, source, stage_note, stdin, title};
use crate::event::Purpose;
use crate::plan::{Gate, Look, Plan, Reading, Stage, Step, TrueOn, Undo, What};
use crate::shell::{BEFORE, Command};

pub fn render(plan: &Plan, looks: Option<&Looks>) -> String {
    let mut md = Md { looks, known: Known::of(plan), out: String::new() };
    md.line(&format!("# {}: {}", harmless(&plan.title), harmless(&plan.what())));
    md.line("");
    if !plan.about.is_empty() {
        md.line(&shown(&plan.about));
        md.line("");
    }
    md.line("Who: ____________________  When: ____________________");
    md.line("");
    let path =
        |s: &crate::plan::Source| format!("- {}: `{}` ({})", s.what, s.path, s.digest.get(..12).unwrap_or(&s.digest));
    plan.sources.iter().for_each(|s| md.line(&path(s)));
    md.line(&format!("- plan: {}", plan.digest.get(..12).unwrap_or(&plan.digest)));
    for s in &plan.secrets {
        md.line(&format!("- secret `{}`: {}", s.name, harmless(&s.prompt)));
    }
    for step in plan.steps() {
        for (name, _) in captures(step) {
            md.line(&format!("- `${name}`: from {} ____________________", harmless(&step.id)));
        }
    }
    let mut head: Vec<String> = plan.env.iter().map(|(k, v)| format!("{}; export {k}", assignment(k, &v.0))).collect();
    for (name, body) in &plan.functions {
        head.push(format!("{name}() {{\n{}\n}}", body.lossy().trim_matches('\n')));
    }
    md.line("");
    if !head.is_empty() {
        md.line("First, in every shell that is used (start it with `sh`):");
        md.fence(&head.join("\n"), "");
        md.line("");
    }
    md.line("Below, a block of commands is true, or done, when it ends with 0 (`echo $?`); 126 and more: it could not be told.");
    for proof in proofs(plan) {
        md.line("");
        md.line(&format!("## Proof: is {} inactive?", harmless(&proof.node)));
        md.stands_on(&proof.node);
        proof.steps.iter().for_each(|s| md.step(s, false));
    }
    for (i, stage) in plan.stages.iter().enumerate() {
        if let Some(proof) = proof_before(plan, i) {
            md.line("");
            md.line(&format!("## Proof: is {} inactive now?", harmless(&proof.node)));
            md.stands_on(&proof.node);
            proof.steps.iter().for_each(|s| md.step(s, false));
        }
        md.stage(i + 1, stage);
    }
    if let Some(closing) = &plan.closing {
        md.line("");
        md.line(&format!("## At the end: is {} inactive?", harmless(&closing.node)));
        md.stands_on(&closing.node);
        closing.steps.iter().for_each(|s| md.step(s, false));
    }
    md.out
}

struct Md<'a> {
    looks: Option<&'a Looks>,
    known: Known<'a>,
    out: String,
}

impl Md<'_> {
    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    /// As below a stage's title: where what follows is looked at.
    fn stands_on(&mut self, node: &str) {
        self.line("");
        self.line(&format!("*{}*", harmless(node)));
    }

    fn stage(&mut self, number: usize, stage: &Stage) {
        self.line("");
        self.line(&format!("## {number}. {}", harmless(&stage.title)));
        let note = stage_note(stage, self.looks, "·");
        if !note.is_empty() {
            self.line("");
            self.line(&format!("*{note}*"));
        }
        if !stage.about.is_empty() {
            self.line("");
            self.line(&shown(&stage.about));
        }
        for (look, at, purpose) in stage.asked() {
            let at = place(at, self.looks);
            let on = if places(stage, self.looks) == [at.as_str()] { String::new() } else { format!(" on {at}") };
            self.line("");
            self.line(&match purpose {
                Purpose::When => format!("Only when this is true{on}, else skip the whole stage:"),
                _ => format!("Nothing to do when this is true{on}: all of the stage is so already:"),
            });
            self.look(look, "");
        }
        if stage_skipped(stage, self.looks) {
            self.line("");
            self.line("Skipped when this was printed: its condition was false.");
        }
        if stage_done(stage, self.looks) {
            self.line("");
            self.line("So already when this was printed.");
        }
        match &stage.gate {
            Gate::Open => {}
            Gate::Ask => self.line("\n- [ ] **Go on?**"),
            Gate::Type(word) => self.line(&format!("\n- [ ] **Go on? Say aloud: {}**", harmless(word))),
        }
        let several = places(stage, self.looks).len() > 1;
        stage.steps.iter().for_each(|s| self.step(s, several));
    }

    fn step(&mut self, step: &Step, several: bool) {
        let notes = notes(step, TERMINAL);
        let mut extra: Vec<String> = Vec::new();
        let of_one = !matches!(&step.what, What::Check(c) if c.looks.len() > 1);
        if several && of_one {
            extra.push(format!("on {}", harmless(&place(&step.place, self.looks))));
        }
        if !notes.is_empty() {
            extra.push(notes);
        }
        let extra = if extra.is_empty() { String::new() } else { format!(" ({})", extra.join("; ")) };
        self.line("");
        self.line(&format!("- [ ] **{}**{extra}", title(&step.title, self.looks)));
        if !step.about.is_empty() {
            self.indented(&shown(&step.about));
        }
        if let Some(when) = &step.when {
            self.indented("only when:");
            self.look(when, "  ");
        }
        match &step.what {
            What::Check(c) => {
                let one = c.looks.len() < 2;
                let all = c.true_on == TrueOn::All || one && c.true_on != TrueOn::None;
                if (!all || c.same)
                    && let Some(rule) = rule(c)
                {
                    self.indented(&format!("must be true {rule}"));
                }
                for (p, look) in &c.looks {
                    let on = if c.looks.len() > 1 {
                        format!(" on {}", harmless(&place(p, self.looks)))
                    } else {
                        String::new()
                    };
                    let seen = self.looks.and_then(|l| {
                        let wanted = node_of(p).unwrap_or_default();
                        l.of(&step.instance, Purpose::Check).find(|s| c.looks.len() < 2 || s.looked.node == wanted)
                    });
                    let now =
                        seen.map(|s| format!(", was: {}", super::plain::answer(s.looked.answer))).unwrap_or_default();
                    let must = if all { "must be true" } else { "true" };
                    self.indented(&format!("{must}{on}{now}:"));
                    self.look(look, "  ");
                }
                if let Some(role) = &c.role {
                    self.indented(&format!("`${role}` = ____________________ (the node where it is true)"));
                }
            }
            What::Change(c) => {
                if let Some(done) = &c.done {
                    let seen = self.looks.and_then(|l| l.one(&step.instance, Purpose::Before));
                    let now =
                        seen.map(|s| format!(" (was: {})", super::plain::answer(s.looked.answer))).unwrap_or_default();
                    self.indented(&format!("nothing to do when this is true{now}; true afterwards:"));
                    self.look(done, "  ");
                }
                self.indented("change:");
                self.command(&c.run, "  ");
                for v in &c.verify {
                    self.indented(&format!("then true, within {}:", duration(step.within)));
                    self.look(v, "  ");
                }
                self.undo(&c.undo);
            }
            What::Manual(m) => {
                if let Some(done) = &m.done {
                    self.indented("nothing to do when this is true:");
                    self.look(done, "  ");
                }
                self.indented(&format!("by hand: {}", title(&m.text, self.looks)));
                if let Some(v) = &m.verify {
                    self.indented("then true:");
                    self.look(v, "  ");
                }
                self.undo(&m.undo);
            }
        }
        for (name, node) in captures(step) {
            let on = node.map(|n| format!(" on {n}")).unwrap_or_default();
            self.indented(&format!("`${name}` = ____________________ (from its first line{on})"));
        }
    }

    fn undo(&mut self, undo: &Undo) {
        match undo {
            Undo::Run(c) => {
                let before = c.wants.iter().any(|w| w.key == BEFORE);
                let what = if before {
                    format!(" (`${BEFORE}`: what the first look printed before the change)")
                } else {
                    String::new()
                };
                self.indented(&format!("undo{what}:"));
                self.command(c, "  ");
            }
            Undo::Manual(text) => self.indented(&format!("undo by hand: {}", title(text, self.looks))),
            Undo::None(why) => self.indented(&format!("no undo needed: {}", harmless(why))),
            Undo::NoReturn(why) => self.indented(&format!("**POINT OF NO RETURN:** {}", harmless(why))),
        }
    }

    fn look(&mut self, look: &Look, indent: &str) {
        if look.not {
            self.line(&format!("{indent}(the opposite of)"));
        }
        // (3: there is nothing that could be otherwise, such as a unit to be stopped.)
        let first = if look.reading == Reading::Catalog { "trap '[ $? -ne 3 ] || exit 0' EXIT\n" } else { "" };
        self.block(&look.command, first, indent);
    }
    fn command(&mut self, command: &Command, indent: &str) {
        self.block(command, "", indent);
    }
    fn block(&mut self, command: &Command, first: &str, indent: &str) {
        let known = String::from_utf8_lossy(&self.known.assigned(command)).into_owned();
        let mut text = source(command);
        if let Some(input) = stdin(command) {
            text = format!("{input} | (\n{}\n)", text.trim_end());
        }
        // As the engine sends it: in a shell of its own, so that what is false does not end the person's.
        text = format!("(set -eu\n{first}{known}{}\n)", text.trim_end());
        self.fence(&text, indent);
    }
    fn indented(&mut self, text: &str) {
        for l in text.lines() {
            self.line(&format!("  {l}"));
        }
    }
    /// A fence longer than any run of backquotes in the text.
    fn fence(&mut self, text: &str, indent: &str) {
        let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat(longest.max(2) + 1);
        self.line(&format!("{indent}{fence}sh"));
        for l in shown(text).trim_end().lines() {
            self.line(&format!("{indent}{l}"));
        }
        self.line(&format!("{indent}{fence}"));
    }
}
