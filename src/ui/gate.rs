//! What a question shows: the lines of a gate, of the failure menu, of an undo, of a vouching.
//!
//! Why it exists: a person decides on what these lines say, so they are drawn from the plan (the very commands) and from
//! looks just taken (with their age), never from what a playbook's author hoped. Invariant: strings without colour or
//! control codes; a point of no return, a missing proof and a node without records always have a line of their own,
//! however little room there is.
//!
//! The engine must not import `ui`: the composition root holds a [`Drawer`] beside the [`Looks`] it folds from Events,
//! and fills `lines` and `view` of a [`crate::prompt::Question`] before it is asked.

use super::escape::{block, columns, cut, line as harmless};
use super::script::{State, stage_text, state};
use super::tally::proofs;
use super::text::{ago, beside, count, duration, fold_titles, hang};
use super::words::{place, source, stage_note, stdin, terminal, title};
use super::wrap::{dedent, wrap_command};
use super::{Looks, Marks, Style, plain};
use crate::event::{Looked, Proven, Purpose};
use crate::plan::{Answer, Plan, Stage, Step, Undo, What};
use crate::shell::{Command, quote};
use std::time::Duration;

/// Lines a gate may take before `v` is asked for.
pub const LINES: usize = 16;

/// Draws questions for a screen of this width.
#[derive(Clone, Copy, Debug)]
pub struct Drawer {
    pub width: usize,
    pub ascii: bool,
}

/// A gate's lines, and everything behind `v`.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    pub short: Vec<String>,
    pub view: Vec<String>,
}

/// A step that failed, as the failure menu shows it.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    pub step: &'a Step,
    pub node: &'a str,
    pub attempt: u32,
    pub code: Option<i32>,
    pub why: &'a str,
    /// All output that is kept; the menu shows its last lines.
    pub output: &'a str,
    /// What failed stands right above, with its last words.
    pub told: bool,
    /// Titles of the changes this run has made, oldest first.
    pub changed: &'a [String],
}

impl Drawer {
    fn style(&self) -> Style {
        Style::still(self.width, self.ascii)
    }
    fn marks(&self) -> &'static Marks {
        self.style().marks()
    }

    /// Go on with this stage? `plan` gives its number and the peers to be proven; `looks` what was seen.
    pub fn gate(&self, plan: &Plan, stage: &Stage, looks: &Looks) -> Drawn {
        let m = self.marks();
        let number = plan.stages.iter().position(|s| s.id == stage.id).map_or(0, |i| i + 1);
        let left = format!("{number} {} {} ({number} of {})", m.dot, harmless(&stage.title), plan.stages.len());
        let mut head = beside(&left, &stage_note(stage, Some(looks), m.dot), self.width);
        head.extend(self.about(&stage.about, 2, 3));
        let mut all = proofs(plan);
        // That of a failover's source comes when the other node takes over.
        all.extend(
            plan.proof
                .iter()
                .filter(|p| {
                    Some(p.node.as_str()) == plan.from()
                        && !all.iter().any(|a| a.node == p.node)
                        && looks.proofs.contains_key(&p.node)
                })
                .collect::<Vec<_>>(),
        );
        for proof in all {
            head.extend(self.row("proof", &self.proof(&proof.node, looks)));
        }
        for (node, why) in looks.unrecorded.iter().filter(|(n, _)| plan.node(n).is_some()) {
            head.extend(self.row("beware", &format!("{node} keeps no record of steps and no lock: {}", harmless(why))));
        }
        head.extend(self.row("looked", &self.looked(stage, looks)));

        // What would happen, a step at a time; `changed` makes a later *no* a *not yet*.
        let mut changed = false;
        let states: Vec<(&Step, State)> = stage
            .steps
            .iter()
            .map(|step| {
                let s = state(step, Some(looks), changed);
                changed |= s == State::Change;
                (step, s)
            })
            .collect();
        let foot = self.foot(&states, looks);
        let room = LINES.saturating_sub(head.len() + foot.len());
        let mut short = head;
        short.extend(self.steps(plan, &states, looks, room));
        short.extend(foot);
        let view = stage_text(plan, stage, looks, &Style { verbose: 1, ..self.style() });
        Drawn { short, view: view.lines().map(String::from).collect() }
    }

    /// `label   text`, hanging under itself.
    fn row(&self, label: &str, text: &str) -> Vec<String> {
        let lines = super::text::wrap(&harmless(text), self.width.saturating_sub(10));
        lines.iter().enumerate().map(|(i, l)| format!("  {:<8}{l}", if i == 0 { label } else { "" })).collect()
    }

    fn proof(&self, node: &str, looks: &Looks) -> String {
        match looks.proofs.get(node) {
            None => format!("{node}: not taken yet; nothing is changed without it"),
            Some((proven, at)) => {
                let age = looks.age(*at).map(|s| format!(", {}", ago(s))).unwrap_or_default();
                format!("{node} {}{age}", plain::proven(proven))
            }
        }
    }

    /// What the playbook says of a stage or step, so many lines of it.
    fn about(&self, about: &str, indent: usize, most: usize) -> Vec<String> {
        let pad = " ".repeat(indent);
        let text = block(about.trim_end());
        let all = super::text::wrap(&text, self.width.saturating_sub(indent + 2));
        let mut out: Vec<String> = all.iter().take(most).map(|l| format!("{pad}{l}")).collect();
        if all.len() > most
            && let Some(last) = out.last_mut()
        {
            last.push_str(&format!(" {}", self.marks().more));
        }
        out
    }

    /// What the looks said, by name where there is room. (Checks that are true stand below, with their mark.)
    fn looked(&self, stage: &Stage, looks: &Looks) -> String {
        let purposes = [Purpose::Check, Purpose::Before, Purpose::When];
        let seen: Vec<_> = stage
            .steps
            .iter()
            .filter(|s| !looks.is_finished(&s.instance))
            .flat_map(|s| purposes.into_iter().flat_map(|p| looks.of(&s.instance, p)))
            .collect();
        if seen.is_empty() {
            return "nothing yet: this stage has no look that can be taken now".to_string();
        }
        let oldest = seen.iter().filter_map(|s| looks.age(s.at)).max();
        let age = oldest.map(|s| if s < 2 { "just now".into() } else { format!("{} at most", ago(s)) });
        let age = age.unwrap_or_default();
        let words: Vec<String> = seen.iter().filter_map(|s| said(&s.looked)).collect();
        let text = if words.is_empty() { format!("{age}: all true") } else { format!("{age}: {}", words.join(", ")) };
        if super::text::wrap(&harmless(&text), self.width.saturating_sub(10)).len() <= 2 {
            return text;
        }
        let n = |a: Answer| seen.iter().filter(|s| s.looked.answer == a).count();
        let mut parts = vec![format!("{} true", n(Answer::Yes)), format!("{} not so yet", n(Answer::No))];
        let open = n(Answer::Unsettled) + n(Answer::CouldNotLook);
        if open > 0 {
            parts.push(format!("{open} can't tell"));
        }
        format!("{age}, {}: {}", count(seen.len(), "look", "looks"), parts.join(", "))
    }

    /// As many steps as there is room for: what refuses first, then changes with their commands; the rest is counted.
    fn steps(&self, plan: &Plan, states: &[(&Step, State)], looks: &Looks, room: usize) -> Vec<String> {
        let m = self.marks();
        let mut out: Vec<String> = Vec::new();
        let trouble = states.iter().filter(|(_, s)| matches!(s, State::Refused | State::Doubt(_)));
        let changes = states
            .iter()
            .filter(|(step, s)| *s == State::Change || (step.changes() && matches!(s, State::NotYet | State::Planned)));
        let quiet = |wanted: State| -> Vec<String> {
            states.iter().filter(|(_, s)| *s == wanted).map(|(step, _)| title(&step.title, Some(looks))).collect()
        };
        let mut blocks: Vec<Vec<String>> = Vec::new();
        for (step, s) in trouble {
            let (mark, why) = match s {
                State::Doubt(why) => (m.doubt, why.clone()),
                _ => (m.no, "false".to_string()),
            };
            blocks.push(beside(&format!("  {mark} {}", title(&step.title, Some(looks))), &why, self.width));
        }
        let of_changes = changes.clone().count();
        let all = |abouts| changes.clone().map(|(step, _)| self.change(plan, step, looks, abouts)).collect::<Vec<_>>();
        // What steps are about gives way to what they run.
        let roomy = blocks.iter().chain(&all(true)).map(Vec::len).sum::<usize>() + 2 <= room;
        blocks.extend(all(roomy));
        let tail: Vec<String> =
            [(m.yes, quiet(State::Passed), "true"), (m.already, quiet(State::Already), "so already")]
                .into_iter()
                .filter(|(_, titles, _)| !titles.is_empty())
                .map(|(mark, titles, word)| {
                    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
                    let folded = fold_titles(&titles);
                    let one = format!("  {mark} {folded}");
                    if columns(&one) <= self.width { one } else { format!("  {mark} {} {word}", titles.len()) }
                })
                .collect();
        let room = room.saturating_sub(tail.len());
        let total = blocks.len();
        for (i, lines) in blocks.into_iter().enumerate() {
            let left = total - i;
            let need = lines.len() + usize::from(left > 1);
            if out.len() + need > room {
                let what = if left <= of_changes {
                    count(left, "more change", "more changes")
                } else {
                    format!("{left} more")
                };
                out.push(format!("  {} {what}: v shows all", m.more));
                break;
            }
            out.extend(lines);
        }
        out.extend(tail);
        out
    }

    fn change(&self, plan: &Plan, step: &Step, looks: &Looks, about: bool) -> Vec<String> {
        let m = self.marks();
        let seen = looks.one(&step.instance, Purpose::Before);
        let right = match seen {
            Some(s) => format!("before: {}, after: yes", plain::answer(s.looked.answer)),
            None => match &step.what {
                What::Change(c) if c.done.is_none() => "no look tells".to_string(),
                _ => String::new(),
            },
        };
        let at = place(&step.place, Some(looks));
        let tty = matches!(&step.what, What::Change(c) if c.tty).then(|| terminal(plan, step).to_string());
        let right = [at, tty.unwrap_or_default(), right]
            .into_iter()
            .filter(|s| !s.is_empty())
            .collect::<Vec<_>>()
            .join(&format!(" {} ", m.dot));
        let mut out = beside(&format!("  {} {}", m.change, title(&step.title, Some(looks))), &right, self.width);
        if about {
            out.extend(self.about(&step.about, 4, 2));
        }
        match &step.what {
            What::Change(c) => {
                out.extend(self.command(&c.run, Some(looks), 6, 3));
                // What cuts the power is all in what it reads.
                let reads = stdin(&c.run).filter(|_| c.kind == "fence").map(|text| format!("reads {text}"));
                out.extend(
                    reads
                        .iter()
                        .flat_map(|t| wrap_command(t, self.width.saturating_sub(6)))
                        .map(|l| format!("      {l}")),
                );
            }
            What::Manual(man) => {
                out.extend(hang(&format!("      by hand: {}", title(&man.text, Some(looks))), self.width));
            }
            What::Check(_) => {}
        }
        out
    }

    /// The command first, then in one line the values it has. In short, what only guards it is left to `v`.
    fn command(&self, command: &Command, looks: Option<&Looks>, indent: usize, most: usize) -> Vec<String> {
        let more = self.marks().more;
        let pad = " ".repeat(indent);
        let width = self.width.saturating_sub(indent);
        let text = dedent(&command.text.lossy());
        let guards = |l: &&str| most < usize::MAX && l.starts_with("fits ");
        let text = text.lines().filter(|l| !guards(l)).collect::<Vec<_>>().join("\n");
        let all = wrap_command(&block(&text), width);
        let mut out: Vec<String> = all.iter().take(most).map(|l| format!("{pad}{l}")).collect();
        if all.len() > most {
            let last = out.pop().unwrap_or_default();
            out.push(format!("{} {more}", last.trim_end_matches(" \\")));
        }
        let known = command.wants.iter().filter_map(|w| Some((&w.var, looks?.values.get(&w.key)?)));
        let with: Vec<String> = command
            .binds
            .iter()
            .map(|(name, value)| (name, value))
            .chain(known)
            .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(&quote(&value.0))))
            .collect();
        if !with.is_empty() {
            let text = format!("with {}", with.join(" "));
            out.push(format!("{pad}{}", cut(&harmless(&text), width, more)));
        }
        out
    }

    fn foot(&self, states: &[(&Step, State)], looks: &Looks) -> Vec<String> {
        let skip = |s: &State| matches!(s, State::Already | State::Skipped);
        let changes: Vec<&Step> = states.iter().filter(|(st, s)| st.changes() && !skip(s)).map(|(st, _)| *st).collect();
        let undo = |step: &Step| match &step.what {
            What::Change(c) => Some(c.undo.clone()),
            What::Manual(m) => Some(m.undo.clone()),
            What::Check(_) => None,
        };
        let mut hard: Vec<String> = Vec::new();
        let mut by_hand = 0;
        for step in &changes {
            match undo(step) {
                Some(Undo::NoReturn(why)) => {
                    hard.push(format!("  POINT OF NO RETURN: {}: {}", title(&step.title, Some(looks)), harmless(&why)))
                }
                Some(Undo::Manual(_)) => by_hand += 1,
                _ => {}
            }
        }
        let n = changes.len();
        let mut text =
            format!("  {}", if n == 0 { "nothing to change".to_string() } else { count(n, "change", "changes") });
        if n > 0 && hard.is_empty() {
            text.push_str(if by_hand > 0 { ", undoable, partly by hand" } else { ", undoable" });
        } else if n > hard.len() {
            text.push_str(&format!(", {} of them undoable", n - hard.len()));
        }
        let mut out = vec![text];
        out.extend(hard.iter().flat_map(|l| hang(l, self.width)));
        out
    }

    /// What failed, its last words, and what stands changed. The offers are the prompter's.
    pub fn failure(&self, f: &Failed<'_>) -> Vec<String> {
        let m = self.marks();
        let mut right: Vec<String> = vec![harmless(f.node).into_owned()];
        if f.step.tries > 1 {
            right.push(format!("try {} of {}", f.attempt, f.step.tries));
        }
        let code = f.code.map_or("no exit code".to_string(), |c| format!("exit {c}"));
        right.push(code.clone());
        let right = right.join(&format!(" {} ", m.dot));
        let mut out = Vec::new();
        if !f.told {
            out = beside(&format!("{} {}", m.no, title(&f.step.title, None)), &right, self.width);
            if !f.why.is_empty() && f.why != code {
                out.extend(hang(&format!("    {}", harmless(f.why)), self.width));
            }
        }
        if let What::Change(c) = &f.step.what {
            out.extend(self.command(&c.run, None, 4, 3));
        }
        if !f.told {
            out.extend(self.output(f.output, 4));
        }
        out.extend(self.changed(f.changed));
        out
    }

    /// The last lines of an output; how many were left away.
    fn output(&self, text: &str, keep: usize) -> Vec<String> {
        let text = block(text.trim_end_matches('\n'));
        let all: Vec<&str> = text.lines().collect();
        let from = all.len().saturating_sub(keep);
        let mut out = Vec::new();
        if from > 0 {
            out.push(format!("    | ({}: o)", count(from, "line before these", "lines before these")));
        }
        let width = self.width.saturating_sub(6);
        out.extend(all[from..].iter().map(|l| format!("    | {}", cut(l, width, self.marks().more))));
        out
    }

    fn changed(&self, changed: &[String]) -> Vec<String> {
        if changed.is_empty() {
            return vec!["  Nothing has been changed so far.".to_string()];
        }
        let shown: Vec<String> = changed.iter().map(|c| harmless(c).into_owned()).collect();
        let text = if shown.len() > 6 {
            format!("{} changes, the last: {}", shown.len(), shown[shown.len() - 3..].join("; "))
        } else {
            shown.join("; ")
        };
        hang(&format!("  Changed so far: {text}. Nothing is undone yet."), self.width)
    }

    /// Undo these, in this order? `steps` are instances, the first is undone first.
    /// `active`: the node that they make active again.
    pub fn undo(&self, plan: &Plan, steps: &[String], looks: Option<&Looks>, active: Option<&str>) -> Vec<String> {
        let m = self.marks();
        let known: std::collections::HashMap<&str, &Step> = plan.steps().map(|s| (s.instance.as_str(), s)).collect();
        let mut out = vec![format!("Undo {}, in this order:", count(steps.len(), "change", "changes"))];
        for (i, instance) in steps.iter().enumerate() {
            let Some(step) = known.get(instance.as_str()) else {
                out.push(format!("  {}. {}", i + 1, harmless(instance)));
                continue;
            };
            let at = place(&step.place, looks);
            out.extend(beside(&format!("  {}. {}", i + 1, title(&step.title, looks)), &at, self.width));
            let undo = match &step.what {
                What::Change(c) => &c.undo,
                What::Manual(man) => &man.undo,
                What::Check(_) => continue,
            };
            match undo {
                Undo::Run(c) => {
                    out.extend(self.command(c, looks, 6, usize::MAX));
                    if c.wants.iter().any(|w| w.key == crate::shell::BEFORE) {
                        let text = "      ($before: what the look printed before the change)";
                        out.extend(hang(text, self.width));
                    }
                }
                Undo::Manual(text) => out.extend(hang(&format!("      by hand: {}", title(text, looks)), self.width)),
                Undo::None(why) => out.extend(hang(&format!("      none needed: {}", harmless(why)), self.width)),
                Undo::NoReturn(why) => {
                    let text = format!("      {} CANNOT BE UNDONE: {}; roll-back ends here", m.no, harmless(why));
                    out.extend(hang(&text, self.width));
                }
            }
        }
        if let (Some(node), Some(looks)) = (active, looks) {
            out.push(format!("  This makes {} active again.", harmless(node)));
            for proof in plan.proof.iter().filter(|p| p.node != node) {
                out.extend(self.row("proof", &self.proof(&proof.node, looks)));
            }
        }
        out
    }

    /// Somebody vouches for a node that cannot be looked at.
    pub fn attest(&self, plan: &Plan, node: &str, looks: &Looks) -> Vec<String> {
        let m = self.marks();
        let mut out = beside(&format!("Is {} inactive?", harmless(node)), "you vouch for it", self.width);
        let why = match (looks.unreachable.get(node), looks.proofs.get(node)) {
            _ if plan.lost() == Some(node) => "it is left for lost: hawiz asks nothing of it any more".to_string(),
            (Some(why), _) => format!("it cannot be reached: {why}"),
            (None, Some((p @ (Proven::CannotTell(_) | Proven::Alive(_) | Proven::Active(_)), _))) => plain::proven(p),
            _ => "it could not be looked at".to_string(),
        };
        out.extend(hang(&format!("  {} {}", m.doubt, harmless(&why)), self.width));
        if let Some(proof) = plan.proof.iter().find(|p| p.node == node) {
            out.extend(hang("  These could not be seen, and must be true:", self.width));
            let titles: Vec<String> = proof.steps.iter().map(|s| title(&s.title, None)).collect();
            let room = 8;
            out.extend(titles.iter().take(room).flat_map(|t| hang(&format!("    {} {t}", m.dot), self.width)));
            if titles.len() > room {
                out.push(format!("    {} and {} more", m.more, titles.len() - room));
            }
        }
        let beware = "If it is active after all, two nodes will write the same data. Make sure: power off, or go and see. \
                      It counts for this run and ten minutes.";
        out.extend(super::text::wrap(beware, self.width.saturating_sub(2)).iter().map(|l| format!("  {l}")));
        out
    }

    /// A program gets the terminal.
    pub fn lend(&self, step: &Step, node: &str, looks: &Looks) -> Vec<String> {
        let m = self.marks();
        let right = format!("{} {} your terminal, until it ends", harmless(node), m.dot);
        let mut out = beside(&format!("{} {}", m.change, title(&step.title, Some(looks))), &right, self.width);
        if !step.about.is_empty() {
            out.extend(block(&step.about).lines().flat_map(|l| hang(&format!("  {l}"), self.width)));
        }
        if let What::Change(c) = &step.what {
            out.extend(self.command(&c.run, Some(looks), 4, 12));
        }
        out
    }

    /// A person must do something.
    pub fn manual(&self, step: &Step, looks: Option<&Looks>) -> Vec<String> {
        let m = self.marks();
        let at = place(&step.place, looks);
        let mut out = beside(
            &format!("{} {}", m.change, title(&step.title, looks)),
            &format!("by hand {} {at}", m.dot),
            self.width,
        );
        if !step.about.is_empty() {
            out.extend(block(&step.about).lines().flat_map(|l| hang(&format!("  {l}"), self.width)));
        }
        let text = match &step.what {
            What::Manual(man) => title(&man.text, looks),
            What::Change(c) => source(&c.run),
            What::Check(_) => String::new(),
        };
        if matches!(step.what, What::Change(_)) {
            out.extend(hang("  Run this there, on a terminal; none reaches it from here:", self.width));
            out.extend(wrap_command(&block(&text), self.width.saturating_sub(4)).iter().map(|l| format!("    {l}")));
        } else {
            out.extend(text.lines().flat_map(|l| hang(&format!("  {l}"), self.width)));
        }
        out
    }

    /// A person must take something back.
    pub fn undo_by_hand(&self, step: &Step, looks: Option<&Looks>) -> Vec<String> {
        let m = self.marks();
        let undo = match &step.what {
            What::Manual(man) => &man.undo,
            What::Change(c) => &c.undo,
            What::Check(_) => return Vec::new(),
        };
        let left = format!("{} undo: {}", m.change, title(&step.title, looks));
        let mut out = beside(&left, &format!("by hand {} {}", m.dot, place(&step.place, looks)), self.width);
        if let Undo::Manual(text) = undo {
            out.extend(title(text, looks).lines().flat_map(|l| hang(&format!("  {l}"), self.width)));
        }
        out
    }

    /// A change runs longer than its deadline.
    pub fn overdue(&self, step: &Step, node: &str, after: Duration, output: &str) -> Vec<String> {
        let m = self.marks();
        let right = format!("{node} {} running for {}", m.dot, duration(after));
        let mut out = beside(&format!("{} {}", m.doubt, title(&step.title, None)), &right, self.width);
        out.extend(hang("  It still runs. Its deadline has passed.", self.width));
        out.extend(self.output(output, 4));
        out
    }

    /// Nobody knows whether a change happened.
    pub fn unknown(&self, step: &Step, node: &str, why: &str, looks: Option<&Looks>) -> Vec<String> {
        let m = self.marks();
        let mut out = beside(
            &format!("{} {}", m.doubt, title(&step.title, looks)),
            &format!("{node} {} outcome unknown", m.dot),
            self.width,
        );
        out.extend(hang(&format!("    {}", harmless(why)), self.width));
        let c = match &step.what {
            What::Change(c) => c,
            _ => return out,
        };
        out.extend(self.command(&c.run, looks, 4, usize::MAX));
        if let Some(s) = looks.and_then(|l| l.one(&step.instance, Purpose::After)) {
            out.push(format!("  Looked at afterwards: {}.", plain::answer(s.looked.answer)));
        }
        out.extend(hang(
            "  Look for yourself before you answer: it is not run again unless you say it did not happen.",
            self.width,
        ));
        out
    }
}

/// What a look that was no plain yes of a check said: in the node's words where it has some, else by its title.
fn said(l: &Looked) -> Option<String> {
    let words = l.evidence.trim();
    let speaks = words.contains(' ') && columns(words) <= 60;
    match (l.purpose, l.answer) {
        (Purpose::Check, Answer::Yes) | (Purpose::When, Answer::Yes) => None,
        (_, Answer::Unsettled | Answer::CouldNotLook) => Some(format!("can't tell: {}", l.title)),
        (Purpose::When, Answer::No) => Some(format!("left out: {}", l.title)),
        _ if speaks => Some(words.to_string()),
        (Purpose::Check, Answer::No) => Some(format!("not so: {}", l.title)),
        (_, Answer::Yes) => Some(format!("so already: {}", l.title)),
        (_, Answer::No) => Some(format!("not yet: {}", l.title)),
    }
}
