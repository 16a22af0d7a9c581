//! The desk a run is worked at: journal, views, the looks so far, and the person in front of it.
//!
//! Invariant: an event is on disk before any view sees it; secrets are masked before either does.

use super::nodes;
use crate::engine::{Clock, Sink};
use crate::event::{Event, Outcome, Record, Verdict};
use crate::journal::Journal;
use crate::mask::Masker;
use crate::plan::Plan;
use crate::problem::{Exit, Fatal};
use crate::prompt::terminal::Terminal;
use crate::prompt::{Answer, Choice, Ended, Given, Prompter, Question};
use crate::shell::Value;
use crate::signal::{Interrupts, Signals, Stop};
use crate::tongue::Teller;
use crate::transport::terminal;
use crate::ui::gate::{Drawer, Failed};
use crate::ui::script::rest_text;
use crate::ui::{Looks, Style, View, Views};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// What was shown and seen, shared by the sink and the person.
pub(super) struct Screen {
    pub views: Views,
    pub looks: Looks,
    /// The last failure, for its menu: attempt, code, and whether it stands on the screen.
    failed: (u32, Option<i32>, bool),
    changed: Vec<String>,
    /// How the rest of the plan is printed when somebody goes on dry; None: not at all.
    dry: Option<(Rc<Plan>, Style)>,
    /// The stage whose gate was answered last.
    stage: String,
    /// A planned failover that went on unplanned.
    pub unplanned: bool,
    /// Who retells it in the operator's language; None: nobody does.
    teller: Option<Teller>,
}

impl Screen {
    pub(super) fn new(views: Views, dry: Option<(Rc<Plan>, Style)>, teller: Option<Teller>) -> Rc<RefCell<Screen>> {
        let (looks, changed, stage) = (Looks::default(), Vec::new(), String::new());
        let unplanned = false;
        Rc::new(RefCell::new(Screen { views, looks, failed: (0, None, false), changed, dry, stage, unplanned, teller }))
    }

    pub(super) fn show(&mut self, record: &Record) {
        let told = self.teller.as_mut().map(|t| t.retell(record));
        let record = told.as_ref().unwrap_or(record);
        self.looks.record(record);
        match &record.event {
            Event::AttemptFailed { attempt, code, .. } => self.failed = (*attempt, *code, true),
            Event::StepStarted { .. } => self.failed = (0, None, false),
            Event::StepFinished { title, outcome: Outcome::Done, .. } => self.changed.push(title.clone()),
            Event::GateAnswered { stage, .. } => self.stage.clone_from(stage),
            Event::WentUnplanned { .. } => self.unplanned = true,
            Event::RunFinished { verdict: Verdict::Dry, .. } => self.rest(),
            _ => {}
        }
        self.views.event(record);
    }

    /// What would have come: before the verdict, which is the last that is read.
    fn rest(&mut self) {
        let Some((plan, style)) = &self.dry else { return };
        let plan = plan.now(self.unplanned);
        let from = plan.stages.iter().position(|s| s.id == self.stage).unwrap_or(0);
        self.looks.now = Some(chrono::Utc::now());
        let text = rest_text(plan, from, &self.looks, style);
        self.views.pause();
        super::say(&format!("\nFrom here on dry, nothing of this is done:\n{text}"));
    }
}

/// Journal first, then the screen.
pub(super) struct Desk {
    pub journal: Journal,
    pub screen: Rc<RefCell<Screen>>,
    pub who: String,
    /// All that must be kept out of what is shown and kept.
    pub secrets: Vec<Vec<u8>>,
    /// None: there are no secrets.
    pub masker: Option<Masker>,
}

impl Desk {
    fn masked(&mut self, event: Event) -> Event {
        let Some(masker) = &mut self.masker else { return event };
        let text = serde_json::to_string(&event).expect("an event is plain data");
        let masked = masker.mask_all(&text);
        // A mask that broke the form would be a bug; what cannot be read back is better not kept at all.
        serde_json::from_str(&masked).unwrap_or(Event::Noted { text: "a record was left out: it held a secret".into() })
    }
}

impl Sink for Desk {
    fn record(&mut self, event: Event) -> Result<(), String> {
        let event = self.masked(event);
        let record = self.journal.append(event).map_err(|e| e.to_string())?;
        self.screen.borrow_mut().show(&record);
        Ok(())
    }
    fn hide(&mut self, secret: &Value) {
        self.secrets.push(secret.0.clone());
        self.masker = Some(Masker::new(self.secrets.iter()));
    }
    fn show(&mut self, event: Event) {
        let event = self.masked(event);
        let utc = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        self.screen.borrow_mut().show(&Record { seq: 0, utc, who: self.who.clone(), event });
    }
}

/// The person at the terminal: draws what a question is about, stops moving parts, asks.
pub(super) struct Person {
    pub terminal: Terminal,
    pub screen: Rc<RefCell<Screen>>,
    pub plan: Rc<Plan>,
    pub drawer: Drawer,
    /// The views print failures on this terminal, too.
    pub tells: bool,
    pub signals: Rc<Signals>,
    /// Of the site file.
    pub folder: PathBuf,
}

impl Person {
    fn drawn(&self, question: &Question) -> Question {
        let mut q = question.clone();
        let mut screen = self.screen.borrow_mut();
        screen.looks.now = Some(chrono::Utc::now());
        let (attempt, code, told) = screen.failed;
        if matches!(q, Question::Failure { .. }) {
            // Once; when it is asked again the screen is another.
            screen.failed.2 = false;
        }
        let plan = self.plan.now(screen.unplanned);
        let step_of = |id: &str| plan.steps().find(|s| s.instance == id);
        let node_of = |s: &crate::plan::Step| match &s.place {
            crate::plan::Place::Node(n) => n.clone(),
            crate::plan::Place::Here => "here".into(),
            crate::plan::Place::Role(k) | crate::plan::Place::OneOf { key: k, .. } => {
                screen.looks.values.get(k).map(|v| v.lossy()).unwrap_or_default()
            }
        };
        match &mut q {
            Question::Gate { stage, lines, view, .. } => {
                if let Some(s) = plan.stages.iter().find(|s| s.id == *stage) {
                    let drawn = self.drawer.gate(plan, s, &screen.looks);
                    (*lines, *view) = (drawn.short, drawn.view);
                }
            }
            Question::Failure { step, lines, output, .. } => {
                if let Some(s) = step_of(step) {
                    let why = lines.first().cloned().unwrap_or_default();
                    let shown = if output.is_empty() { lines[1..].join("\n") } else { output.clone() };
                    *lines = self.drawer.failure(&Failed {
                        step: s,
                        node: &node_of(s),
                        attempt,
                        code,
                        why: &why,
                        output: &shown,
                        told: told && self.tells,
                        changed: &screen.changed,
                    });
                }
            }
            Question::Manual { step, undo, lines, .. } => {
                if let Some(s) = step_of(step) {
                    *lines = if *undo {
                        self.drawer.undo_by_hand(s, Some(&screen.looks))
                    } else {
                        self.drawer.manual(s, Some(&screen.looks))
                    };
                }
            }
            Question::Overdue { step, lines, after } => {
                if let Some(s) = step_of(step) {
                    let output = lines.join("\n");
                    *lines = self.drawer.overdue(s, &node_of(s), *after, &output);
                }
            }
            Question::Attest { node, lines } => {
                *lines = self.drawer.attest(plan, node, &screen.looks);
            }
            Question::Unknown { step, lines } => {
                if let Some(s) = step_of(step) {
                    let why = lines.join("; ");
                    *lines = self.drawer.unknown(s, &node_of(s), &why, Some(&screen.looks));
                }
            }
            Question::Undo { steps, lines, active, .. } if !steps.is_empty() => {
                *lines = self.drawer.undo(plan, steps, Some(&screen.looks), active.as_deref());
            }
            Question::Terminal { .. }
            | Question::Trust { .. }
            | Question::Undo { .. }
            | Question::Secret { .. }
            | Question::Input { .. } => {}
        }
        q
    }
}

impl Person {
    /// A secret that is needed only now: from where it comes, and from the person only if from nowhere else.
    fn secret(&mut self, name: &str) -> Given {
        let begun = std::time::Instant::now();
        self.screen.borrow_mut().views.pause();
        let plan = Rc::clone(&self.plan);
        let known = plan.secrets.iter().chain(&plan.now(true).secrets).find(|s| s.name == name);
        let terminal = &mut self.terminal;
        let ask = |prompt: &str| {
            let question = Question::Secret { name: name.into(), prompt: prompt.into() };
            match terminal.ask(&question).answer {
                Answer::Text(value) => Ok(value.0),
                _ => Err(Fatal::new(Exit::Declined, format!("the secret `{name}` was not given"))),
            }
        };
        let got = known.map(|s| crate::secret::get(s, |n| std::env::var_os(n), ask));
        let answer = match got {
            Some(Ok(secret)) => Answer::Text(Value::new(secret.expose())),
            Some(Err(why)) => Answer::Stop(why.message),
            None => Answer::Stop(format!("there is no secret `{name}`")),
        };
        self.screen.borrow_mut().views.resume();
        Given { answer, by: "person", took: begun.elapsed() }
    }

    fn lend(&mut self, step: &str, node: &str, file: &str) -> Given {
        let begun = std::time::Instant::now();
        let lines = self.plan.steps().find(|s| s.instance == step).map(|step| {
            let screen = self.screen.borrow();
            self.drawer.lend(step, node, &screen.looks)
        });
        let known = nodes::node(&self.plan, node);
        let argv = known
            .as_ref()
            .map_or_else(|| Err(format!("the plan has no node `{node}`")), |n| terminal::argv(n, &self.folder, file));
        let ended = match argv {
            Err(why) => Ended::Never(why),
            Ok(argv) => {
                self.screen.borrow_mut().views.pause();
                let leave = || matches!(self.signals.pending(), Some(Stop::BreakOff | Stop::Leave));
                let ended = self.terminal.lend(&lines.unwrap_or_default(), &argv, Path::new("/"), &leave);
                // What was sent to hawiz by the keyboard was meant for the program.
                self.signals.take_suspend();
                self.signals.drain();
                if !leave() {
                    self.screen.borrow_mut().views.resume();
                }
                ended
            }
        };
        // What `ssh` says when the link is gone; the program's own 255 cannot be told from it.
        let far = known.is_some_and(|n| n.how == crate::plan::How::Ssh);
        let ended = match ended {
            Ended::Exit(255) if far => Ended::Unknown("`ssh` ended with 255: the link was lost, or never stood".into()),
            other => other,
        };
        Given { answer: Answer::Ran(ended), by: "person", took: begun.elapsed() }
    }
}

impl Prompter for Person {
    fn ask(&mut self, question: &Question) -> Given {
        if let Question::Terminal { step, node, file } = question {
            return self.lend(step, node, file);
        }
        if let Question::Secret { name, .. } = question {
            return self.secret(name);
        }
        let question = self.drawn(question);
        match &question {
            Question::Gate { .. } => self.screen.borrow_mut().views.gate(),
            _ => self.screen.borrow_mut().views.pause(),
        }
        let given = self.terminal.ask(&question);
        let ends = matches!(
            given.answer,
            Answer::No | Answer::Quit | Answer::Dry | Answer::Stop(_) | Answer::Choice(Choice::Quit, _)
        );
        if !ends {
            self.screen.borrow_mut().views.resume();
        }
        // A ^C that answered this question asks for nothing more.
        self.signals.clear_interrupt();
        given
    }
    fn person(&self) -> bool {
        true
    }
}

/// Time that goes on while the machine sleeps; naps end early when a signal comes.
pub(super) struct Boot {
    pub signals: Rc<Signals>,
}

impl Clock for Boot {
    fn now(&self) -> Duration {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(t.tv_sec.max(0) as u64, t.tv_nsec.max(0) as u32)
    }
    fn utc(&self) -> String {
        chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    }
    fn sleep(&self, time: Duration) {
        if self.signals.pending().is_some() {
            // Counted already; a nap is still a nap, or a waiting loop would burn.
            std::thread::sleep(time.min(Duration::from_millis(50)));
            return;
        }
        let fd = self.signals.wake_fd();
        let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
        let timeout = rustix::event::Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        let _ = rustix::event::poll(&mut fds, Some(&timeout));
        self.signals.drain();
    }
}
