//! A person at a terminal.
//!
//! Why it exists: every question of the engine in words, with its choices, until one of them was clearly chosen.
//! Invariant: only a clear answer is one. What is not understood asks again and five of them stop; Esc, ^D, ^C, the end
//! of input and signals stop; ^Z asks anew; keys typed before a question stood are thrown away ([`super::keys`]).
//!
//! The lines of a question come from the asker ([`crate::ui::gate`] draws them); dialoguer's theme forms the prompt.

use super::keys::{Keys, Line, Signalled, same};
use super::{Answer, Choice, Ended, Given, Prompter, Question};
use crate::plan::Gate;
use crate::shell::Value;
use crate::ui::escape::{block, line as harmless};
use crate::ui::text::wrap;
use dialoguer::theme::{SimpleTheme, Theme};
use rustix::fd::OwnedFd;
use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

/// Answers that are not understood, before it stops.
const UNKNOWN: usize = 5;

pub struct Terminal {
    keys: Keys,
    colours: bool,
}

/// One thing that may be answered: key, word, how it is offered, what it does.
struct Offer {
    key: &'static str,
    word: &'static str,
    label: &'static str,
    does: &'static str,
}
const fn offer(key: &'static str, word: &'static str, label: &'static str, does: &'static str) -> Offer {
    Offer { key, word, label, does }
}

const YES: Offer = offer("y", "yes", "[y]es", "do it: the commands shown are run, one after the other");
const NO: Offer = offer("n", "no", "[n]o", "do not; what was done before this stands");
const DRY: Offer = offer("d", "dry", "[d]ry from here on", "go on looking and showing; nothing is changed any more");
const VIEW: Offer = offer("v", "view", "[v]iew", "show every look, command and undo of this stage, and ask again");
const QUIT: Offer = offer("q", "quit", "[q]uit", "stop here; `hawiz resume` goes on later");

impl Terminal {
    /// On stdin and stderr, both of which must be terminals. `wake` becomes readable when a signal came; `signalled`
    /// reads it empty and names the signal.
    pub fn new(wake: Option<OwnedFd>, signalled: Signalled, colours: bool) -> std::io::Result<Self> {
        let dumb = std::env::var("TERM").map_or(true, |t| t.is_empty() || t == "dumb");
        let (input, output) = (same(rustix::stdio::stdin())?, same(rustix::stdio::stderr())?);
        let Terminal { keys, colours } = Terminal::on(input, output, wake, signalled, colours, dumb)?;
        Ok(Terminal { keys: keys.hushed(), colours })
    }

    /// On any terminal.
    pub fn on(
        input: OwnedFd,
        output: OwnedFd,
        wake: Option<OwnedFd>,
        signalled: Signalled,
        colours: bool,
        dumb: bool,
    ) -> std::io::Result<Self> {
        for fd in [&input, &output] {
            if !rustix::termios::isatty(fd) {
                return Err(std::io::Error::new(std::io::ErrorKind::NotConnected, "not a terminal"));
            }
        }
        Ok(Terminal { keys: Keys::new(input, output, wake, signalled, dumb), colours: colours && !dumb })
    }

    /// Lends the terminal to a program, which is announced by these lines.
    pub fn lend(&self, lines: &[String], argv: &[OsString], dir: &Path, leave: &dyn Fn() -> bool) -> Ended {
        self.lines(lines);
        let ended = self.keys.lend(argv, dir, leave);
        // It may have ended in the middle of a line.
        self.say("");
        ended
    }

    fn say(&self, text: &str) {
        self.keys.write(&format!("{text}\n"));
    }

    fn lines(&self, lines: &[String]) {
        let bold = console::Style::new().bold().force_styling(self.colours);
        let red = console::Style::new().red().bold().force_styling(self.colours);
        let mut out = String::new();
        for (i, l) in lines.iter().enumerate() {
            let l = harmless(l);
            let text = match i {
                _ if !self.colours => l.into_owned(),
                _ if l.contains("POINT OF NO RETURN") => red.apply_to(&l).to_string(),
                0 => bold.apply_to(&l).to_string(),
                _ => l.into_owned(),
            };
            out.push_str(&text);
            out.push('\n');
        }
        self.keys.write(&out);
    }

    /// The prompt as dialoguer's theme forms it, wrapped for narrow screens.
    fn prompt(&self, text: &str) -> String {
        let mut out = String::new();
        // Writing into a String cannot fail.
        let _ = SimpleTheme.format_input_prompt(&mut out, text, None);
        let (_, width) = self.keys.size();
        let wrapped = wrap_choices(out.trim_end(), width.saturating_sub(4));
        let styled = console::Style::new().bold().force_styling(self.colours);
        let text = if self.colours { styled.apply_to(wrapped).to_string() } else { wrapped };
        format!("{text} ")
    }

    fn refuse(&self, text: &str) {
        let mut out = String::new();
        let _ = SimpleTheme.format_error(&mut out, text);
        let text = out.strip_prefix("error: ").unwrap_or(&out).to_string();
        let (_, width) = self.keys.size();
        wrap(&text, width).iter().for_each(|l| self.say(l));
    }

    /// Asks until one of the offers was chosen; its index.
    fn choose(&self, question: &str, offers: &[&Offer], extra: &str) -> Result<usize, Answer> {
        let labels: Vec<&str> = offers.iter().map(|o| o.label).chain(["[?]"]).collect();
        let prompt = format!("{question}  {}", labels.join("  "));
        if !extra.is_empty() {
            let (_, width) = self.keys.size();
            crate::ui::text::hang(&format!("  {extra}"), width).iter().for_each(|l| self.say(l));
        }
        let mut unknown = 0;
        loop {
            let text = match self.keys.line(&self.prompt(&prompt), false) {
                Line::Text(text) => text,
                Line::Stop(why) => return Err(Answer::Stop(why)),
                Line::Again => return Err(Answer::Again),
            };
            let text = text.trim();
            if text == "?" {
                let (_, width) = self.keys.size();
                for o in offers {
                    let says = format!("  {:<6}{}", o.key, o.does);
                    crate::ui::text::hang(&says, width).iter().for_each(|l| self.say(l));
                }
                self.say("  Enter alone is no answer. Esc, ^D and ^C stop; ^Z suspends.");
                continue;
            }
            if let Some(i) = offers.iter().position(|o| is(o.key, text) || is(o.word, text)) {
                return Ok(i);
            }
            unknown += 1;
            let keys: Vec<&str> = offers.iter().map(|o| o.key).chain(["?"]).collect();
            self.not_understood(text, &format!("one of {}", keys.join(", ")), unknown)?;
        }
    }

    fn not_understood(&self, text: &str, wanted: &str, times: usize) -> Result<(), Answer> {
        if times >= UNKNOWN {
            self.say("That was the fifth answer that is none: stopping.");
            return Err(Answer::Stop(format!("{UNKNOWN} answers that were not understood")));
        }
        let shown = if text.is_empty() { "Enter alone".to_string() } else { format!("`{}`", harmless(text)) };
        self.refuse(&format!("{shown} is no answer here; type {wanted}. ({} of {UNKNOWN})", times));
        Ok(())
    }

    /// Asks until `take` accepts what was typed.
    fn typed(&self, prompt: &str, hidden: bool, wanted: &str, take: impl Fn(&str) -> Option<Answer>) -> Answer {
        let mut unknown = 0;
        loop {
            let text = match self.keys.line(&self.prompt(prompt), hidden) {
                Line::Text(text) => text,
                Line::Stop(why) => return Answer::Stop(why),
                Line::Again => return Answer::Again,
            };
            if let Some(answer) = take(&text) {
                return answer;
            }
            unknown += 1;
            let shown = if hidden { "" } else { text.trim() };
            if let Err(answer) = self.not_understood(shown, wanted, unknown) {
                return answer;
            }
        }
    }

    /// A screen at a time.
    fn page(&self, lines: &[String]) -> Result<(), Answer> {
        let (rows, _) = self.keys.size();
        let step = rows.saturating_sub(2).max(4);
        for (i, chunk) in lines.chunks(step).enumerate() {
            if i > 0 {
                let left = lines.len() - i * step;
                match self.keys.line(&self.prompt(&format!("Enter shows more ({left} lines), q ends")), false) {
                    Line::Text(t) if is("q", t.trim()) => return Ok(()),
                    Line::Text(_) => {}
                    Line::Stop(why) => return Err(Answer::Stop(why)),
                    Line::Again => return Err(Answer::Again),
                }
            }
            for l in chunk {
                self.say(&harmless(l));
            }
        }
        Ok(())
    }

    fn gate(&self, gate: &Gate, lines: &[String], view: &[String]) -> Answer {
        self.lines(lines);
        if let Gate::Type(word) = gate {
            return self.typed_gate(word, view);
        }
        loop {
            return match self.choose("Continue?", &[&YES, &NO, &DRY, &VIEW, &QUIT], "") {
                Ok(0) => Answer::Yes,
                Ok(1) => Answer::No,
                Ok(2) => Answer::Dry,
                Ok(3) => match self.page(view) {
                    Ok(()) => continue,
                    Err(answer) => answer,
                },
                Ok(_) => Answer::Quit,
                Err(answer) => answer,
            };
        }
    }

    fn typed_gate(&self, word: &str, view: &[String]) -> Answer {
        let shown = harmless(word);
        let prompt = format!("Type `{shown}` to go on, v to view; else it asks again, Esc stops");
        let wanted = format!("`{shown}`, exactly so, or press Esc");
        let mut unknown = 0;
        loop {
            let text = match self.keys.line(&self.prompt(&prompt), false) {
                Line::Text(text) => text,
                Line::Stop(why) => return Answer::Stop(why),
                Line::Again => return Answer::Again,
            };
            let text = text.trim();
            let done = if text == word {
                return Answer::Text(Value::from(text));
            } else if is("v", text) {
                self.page(view)
            } else {
                unknown += 1;
                self.not_understood(text, &wanted, unknown)
            };
            if let Err(answer) = done {
                return answer;
            }
        }
    }

    fn failure(&self, lines: &[String], output: &str, offers: &[Choice]) -> Answer {
        const OUTPUT: Offer = offer("o", "output", "[o]utput", "show all that it printed, and ask again");
        self.lines(lines);
        let mut all: Vec<(Option<Choice>, Offer)> = offers.iter().map(|c| (Some(*c), of(*c))).collect();
        let at = all.iter().position(|(c, _)| matches!(c, Some(Choice::Undo | Choice::Quit))).unwrap_or(all.len());
        all.insert(at, (None, OUTPUT));
        let refs: Vec<&Offer> = all.iter().map(|(_, o)| o).collect();
        let extra = if offers.contains(&Choice::Skip) { "" } else { "No [s]kip, it is required." };
        loop {
            let chosen = match self.choose("What now?", &refs, extra) {
                Ok(i) => all[i].0,
                Err(answer) => return answer,
            };
            match chosen {
                None => {
                    let (_, width) = self.keys.size();
                    let text = block(output);
                    let cut = |l: &str| {
                        let chars: Vec<char> = l.chars().collect();
                        let parts = chars.chunks(width.max(20)).map(|c| c.iter().collect());
                        if chars.is_empty() { vec![String::new()] } else { parts.collect::<Vec<String>>() }
                    };
                    let mut shown: Vec<String> = text.lines().flat_map(cut).collect();
                    if shown.is_empty() {
                        shown.push("(it printed nothing)".to_string());
                    }
                    if let Err(answer) = self.page(&shown) {
                        return answer;
                    }
                }
                Some(Choice::Skip) => {
                    let prompt = "Why may it be left out? (goes into the record; Esc stops)";
                    return self.typed(prompt, false, "a reason", |t| {
                        let t = t.trim();
                        (!t.is_empty()).then(|| Answer::Choice(Choice::Skip, Some(t.to_string())))
                    });
                }
                Some(choice) => return Answer::Choice(choice, None),
            }
        }
    }

    fn pick(&self, question: &str, choices: &[Choice], offers: &[&Offer]) -> Answer {
        match self.choose(question, offers, "") {
            Ok(i) => Answer::Choice(choices[i], None),
            Err(answer) => answer,
        }
    }

    fn input(&self, prompt: &str, choices: &[String]) -> Answer {
        let text = if choices.is_empty() {
            format!("{} (no default)", harmless(prompt))
        } else {
            format!("{} ({}; no default)", harmless(prompt), harmless(&choices.join(", ")))
        };
        let wanted = if choices.is_empty() { "a value".to_string() } else { format!("one of {}", choices.join(", ")) };
        self.typed(&text, false, &wanted, |t| {
            let t = t.trim();
            let fits = if choices.is_empty() { !t.is_empty() } else { choices.iter().any(|c| c == t) };
            fits.then(|| Answer::Text(Value::from(t)))
        })
    }
}

/// `y`, `Y`; `yes`, `Yes`, `YES`. Not `yEs`, not `ye`.
fn is(word: &str, typed: &str) -> bool {
    let mut chars = word.chars();
    let capital = chars.next().map(|c| c.to_uppercase().chain(chars).collect::<String>()).unwrap_or_default();
    typed == word || typed == capital || typed == word.to_uppercase()
}

/// How a choice is offered at the failure menu.
fn of(choice: Choice) -> Offer {
    match choice {
        Choice::Retry => offer("r", "retry", "[r]etry", "look again, and if it is not so, run it again"),
        Choice::LookAgain => offer("l", "look", "[l]ook again", "only look: you may have put it right yourself"),
        Choice::Extend => offer("e", "extend", "[e]xtend", "wait longer for it to become true"),
        Choice::Skip => offer("s", "skip", "[s]kip", "leave it out; asks for a reason, the run ends degraded"),
        Choice::Undo => offer("u", "undo", "[u]ndo this run", "undo what this run changed, in reverse; shown first"),
        Choice::Unplanned => offer(
            "g",
            "go unplanned",
            "[g]o unplanned",
            "leave the source for lost: its power is cut or you vouch for it, then the other node takes over",
        ),
        Choice::Vouch => offer("v", "vouch", "[v]ouch for it", "you know that it is off: its name is to be typed"),
        Choice::Quit => offer("q", "quit", "[q]uit, resumable", "stop here, nothing is undone; `hawiz resume` goes on"),
        Choice::EndIt => offer("k", "kill", "[k]ill it", "end the running command, then look"),
        Choice::Happened => offer("h", "happened", "[h]appened", "it was done: go on as if it had said so"),
        Choice::DidNot => offer("d", "did not", "[d]id not", "it was not done: it may be run again"),
    }
}

/// Breaks between choices (two spaces) only, when a line is too short for all.
fn wrap_choices(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for (i, part) in text.split("  ").enumerate() {
        let wide = crate::ui::escape::columns(part);
        if i > 0 && used + 2 + wide > width {
            out.push_str("\n  ");
            used = 2;
        } else if i > 0 {
            out.push_str("  ");
            used += 2;
        }
        if wide > width {
            let lines = wrap(part, width);
            out.push_str(&lines.join("\n  "));
            used = lines.last().map_or(0, |l| crate::ui::escape::columns(l) + 2);
        } else {
            out.push_str(part);
            used += wide;
        }
    }
    out
}

impl Prompter for Terminal {
    fn ask(&mut self, question: &Question) -> Given {
        let begun = Instant::now();
        let answer = match question {
            Question::Gate { gate, lines, view, .. } => self.gate(gate, lines, view),
            Question::Failure { lines, output, offers, .. } => self.failure(lines, output, offers),
            Question::Manual { lines, capture, .. } => {
                self.lines(lines);
                match capture {
                    Some(name) => {
                        let name = harmless(name);
                        let prompt = format!("When it is done, type {name} (n: it cannot be done; Esc stops)");
                        self.typed(&prompt, false, "what you see", |t| {
                            let t = t.trim();
                            if is("n", t) || is("no", t) {
                                return Some(Answer::No);
                            }
                            (!t.is_empty()).then(|| Answer::Text(Value::from(t)))
                        })
                    }
                    None => {
                        let done =
                            offer("d", "done", "[d]one", "you have done it; it is looked at where a look can tell");
                        let no = offer("n", "no", "[n]o", "it cannot be done: the step has failed");
                        match self.choose("Done?", &[&done, &no, &QUIT], "") {
                            Ok(0) => Answer::Yes,
                            Ok(1) => Answer::No,
                            Ok(_) => Answer::Quit,
                            Err(answer) => answer,
                        }
                    }
                }
            }
            Question::Overdue { lines, .. } => {
                self.lines(lines);
                let wait = offer("w", "wait", "[w]ait longer", "let it run for its deadline once more");
                let end = offer("e", "end", "[e]nd it", "end it (TERM, ten seconds, KILL), then look what stands");
                let quit = offer(
                    "q",
                    "quit",
                    "[q]uit, leave it running",
                    "stop here; `hawiz resume` learns what became of it",
                );
                self.pick("What now?", &[Choice::Extend, Choice::EndIt, Choice::Quit], &[&wait, &end, &quit])
            }
            Question::Attest { node, lines } => {
                self.lines(lines);
                let shown = harmless(node);
                let prompt = format!("Type `{shown}` to vouch that it is inactive; else it asks again, Esc stops");
                self.typed(&prompt, false, &format!("`{shown}`, exactly so, or press Esc"), |t| {
                    (t.trim() == node).then(|| Answer::Text(Value::from(t.trim())))
                })
            }
            Question::Trust { lines } => {
                self.lines(lines);
                let prompt = "Is it this host? Type `yes` or `no` (no default; Esc stops)";
                self.typed(prompt, false, "`yes` or `no`, as a whole word", |t| match t.trim() {
                    "yes" => Some(Answer::Yes),
                    "no" => Some(Answer::No),
                    _ => None,
                })
            }
            Question::Unknown { lines, .. } => {
                self.lines(lines);
                let (h, d, q) = (of(Choice::Happened), of(Choice::DidNot), of(Choice::Quit));
                self.pick("Did it happen?", &[Choice::Happened, Choice::DidNot, Choice::Quit], &[&h, &d, &q])
            }
            Question::Terminal { .. } => Answer::Ran(Ended::Never("who is asked does not know how to start it".into())),
            Question::Undo { lines, gate: Gate::Type(word), .. } => {
                self.lines(lines);
                let shown = harmless(word);
                let prompt = format!("Type `{shown}` to undo these; else it asks again, Esc stops");
                self.typed(&prompt, false, &format!("`{shown}`, exactly so, or press Esc"), |t| {
                    (t.trim() == word).then(|| Answer::Text(Value::from(t.trim())))
                })
            }
            Question::Undo { lines, .. } => {
                self.lines(lines);
                let yes = offer("y", "yes", "[y]es", "undo these, in this order");
                let no = offer("n", "no", "[n]o", "undo nothing; what was changed stands");
                match self.choose("Undo?", &[&yes, &no], "") {
                    Ok(0) => Answer::Yes,
                    Ok(_) => Answer::No,
                    Err(answer) => answer,
                }
            }
            Question::Secret { name, prompt } => {
                let prompt = format!("{} ({}, not shown)", harmless(prompt), harmless(name));
                self.typed(&prompt, true, "it", |t| (!t.is_empty()).then(|| Answer::Text(Value::from(t))))
            }
            Question::Input { prompt, choices, .. } => self.input(prompt, choices),
        };
        Given { answer, by: "person", took: begun.elapsed() }
    }
    fn person(&self) -> bool {
        true
    }
}
