//! A procedure for real: journal, nodes, person, engine. And its dry run.

use super::desk::{Boot, Desk, Person, Screen};
use super::entrance::{self, Porter, Shared};
use super::files;
use super::{Done, colour, look, nodes, say, verbosity};
use crate::cli::{Answer, Common, Go, Output, Roles};
use crate::engine::{Ending, Engine, Settings};
use crate::event::{self, Event};
use crate::history::History;
use crate::journal::{self, Journal};
use crate::mask::Masker;
use crate::plan::{OnFailure, Plan, What};
use crate::problem::{Exit, Fatal, did_you_mean};
use crate::prompt::answers::{self, Scripted};
use crate::prompt::terminal::Terminal;
use crate::prompt::{Prompter, Question};
use crate::reach::Reach;
use crate::secret;
use crate::shell::Value;
use crate::signal::{Interrupts, Signals};
use crate::site::Answers;
use crate::survey::survey;
use crate::tongue::Teller;
use crate::ui::gate::Drawer;
use crate::ui::{self, Style, View};
use crate::who::Who;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// How long an attestation counts; `$HAWIZ_VOUCHED` (seconds) can only make it less.
fn vouched() -> Duration {
    let most = Duration::from_secs(600);
    let said = std::env::var("HAWIZ_VOUCHED").ok().and_then(|s| s.parse().ok()).map(Duration::from_secs);
    said.map_or(most, |said: Duration| said.min(most))
}

/// How long a sign of life is waited for.
pub(super) const PROBE: Duration = Duration::from_secs(2);

pub(super) fn procedure(common: &Common, name: &str, go: &Go) -> Done {
    if name == "status" || name == "inactive" {
        return look::check(common, name, &Roles::default(), &go.set);
    }
    if name == "failover" {
        return super::failover::failover(common, &Roles::default(), go);
    }
    begin(common, files::read_without(common, name, &go.set, &go.answer.attest)?, go)
}

/// A plan that was made: its dry run, or a run.
pub(super) fn begin(common: &Common, read: files::Read, go: &Go) -> Done {
    if go.dryrun {
        return look::dry_run(common, read, go.offline, go.format, &go.answer.attest);
    }
    let plan = &read.plan;
    let interactive = interactive();
    if !interactive {
        unattended(common, &read, go.answer.yes)?;
    }
    let state = journal::state_dir(common.state_dir.as_deref())?;
    apart(plan, &state)?;
    let comment = super::failover::reason(&read, &state, go, interactive)?;
    let desk = Front::open(common, plan, interactive, &go.answer, (&read.folder, &state))?;
    let run = journal::new_run_id(&plan.procedure, plan.target.as_deref(), chrono::Utc::now());
    let mut kept = plan.clone();
    for s in &mut kept.sources {
        // A resume may be given from anywhere.
        if let Ok(path) = std::path::absolute(&s.path).map(|p| p.display().to_string())
            && Path::new(&path).exists()
        {
            s.path = path;
        }
    }
    let mut journal = Journal::create(&state, &kept, &run, &desk.who)?;
    journal.reserve(reserve(plan))?;
    let uncopied = journal.trail().too_large();
    let mut at = desk.sit(journal, read.answers.clone(), &[]);
    let started = started(plan, &run, comment);
    at.begin(started)?;
    uncopied.map_or(Ok(()), |why| at.note(why))?;
    Ok(at.work(Way::Run).exit)
}

/// The first record of a run.
pub(super) fn started(plan: &Plan, run: &str, comment: Option<String>) -> Event {
    // Named as short as can be from where the person is; the plan keeps where they really are.
    let here = std::env::current_dir().unwrap_or_default();
    let short = |p: &str| Path::new(p).strip_prefix(&here).map_or(p.to_string(), |s| s.display().to_string());
    Event::RunStarted {
        run: run.into(),
        format: event::FORMAT,
        hawiz: env!("CARGO_PKG_VERSION").into(),
        procedure: plan.procedure.clone(),
        target: plan.target.clone(),
        from: plan.from().map(String::from),
        unplanned: plan.lost().is_some(),
        plan: plan.digest.clone(),
        title: plan.title.clone(),
        sources: plan.sources.iter().map(|s| short(&s.path)).collect(),
        stages: plan.stages.iter().map(|s| s.title.clone()).collect(),
        comment,
        marker: marker(),
    }
}

/// Stdin and stderr are terminals: a person can be asked. A pipe on stdin is never an answer.
pub(super) fn interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

pub(super) fn signals() -> Result<Rc<Signals>, Fatal> {
    Signals::install().map(Rc::new).map_err(|e| Fatal::new(Exit::Internal, format!("cannot take over signals: {e}")))
}

/// Without a terminal every gate must be answered before the first change: of stages that would change nothing no answer is
/// wanted, which only looking can tell.
fn unattended(common: &Common, read: &files::Read, yes: bool) -> Result<(), Fatal> {
    let plan = &read.plan;
    if answers::missing(plan, &read.answers, yes, |_| true).is_empty() {
        return Ok(());
    }
    let settled = survey(plan, &mut look::fleet(read, common)?, false).settled;
    let left = plan.stages.iter().filter(|s| !settled.contains(&s.id)).flat_map(|s| &s.steps);
    let left: BTreeSet<&str> = left.map(|s| s.instance.as_str()).collect();
    let missing = answers::missing(plan, &read.answers, yes, |s| left.contains(s.instance.as_str()));
    if missing.is_empty() {
        return Ok(());
    }
    if output(common) != ui::Output::Json {
        // On stdout, so that `> answers.toml` keeps it.
        say(&format!("{}\n", answers::skeleton(plan).trim_end()));
    }
    let text = format!("there is no terminal, and these have no answer; nothing was run:\n  {}", missing.join("\n  "));
    Err(Fatal::new(Exit::NotReady, text)
        .hint("`--yes` answers plain gates; an answers file to fill in (--answers FILE) stands on stdout"))
}

/// hawiz's own records, and the nodes', may not lie below what the plan mounts, unmounts, links or copies.
fn apart(plan: &Plan, state: &Path) -> Result<(), Fatal> {
    let real = |p: &Path| {
        let mut known = p.to_path_buf();
        // What does not exist yet lies where its nearest folder lies.
        while !known.exists() && known.pop() {}
        let rest = p.strip_prefix(&known).unwrap_or(Path::new(""));
        known.canonicalize().unwrap_or(known.clone()).join(rest)
    };
    let mut mine: Vec<(String, PathBuf)> = vec![("hawiz's state directory".into(), state.to_path_buf())];
    for n in &plan.nodes {
        mine.push((
            format!("the state directory of node `{}`", n.name),
            PathBuf::from(n.state.clone().unwrap_or_else(|| "/var/lib/hawiz".into())),
        ));
    }
    for path in &plan.paths {
        let path = PathBuf::from(path.lossy());
        for (what, dir) in &mine {
            let below = |a: &Path, b: &Path| a.starts_with(b) && b != Path::new("/");
            if below(dir, &path) || below(&real(dir), &real(&path)) {
                return Err(Fatal::new(
                    Exit::Usage,
                    format!("{what}, `{}`, lies below `{}`, which this plan moves", dir.display(), path.display()),
                )
                .hint("name another with --state-dir, or `state` of the node in the site file"));
            }
        }
    }
    Ok(())
}

/// Room for the records of a run: a few for each step, with tails.
fn reserve(plan: &Plan) -> u64 {
    (64 * 1024 + plan.steps().count() as u64 * 8 * 1024).min(64 * 1024 * 1024)
}

pub(super) fn marker() -> String {
    let mut bytes = [0u8; 8];
    let filled = std::fs::File::open("/dev/urandom").and_then(|mut f| std::io::Read::read_exact(&mut f, &mut bytes));
    if filled.is_err() {
        bytes = (chrono::Utc::now().timestamp_nanos_opt().unwrap_or_default() as u64 ^ u64::from(std::process::id()))
            .to_le_bytes();
    }
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What is to be done with a run.
#[derive(Clone, Copy)]
pub(super) enum Way {
    Run,
    RollBack,
}

/// What can still refuse before anything is written down: the screen, the person, the secrets.
pub(super) struct Front {
    plan: Rc<Plan>,
    screen: Rc<RefCell<Screen>>,
    person: Option<Shared>,
    signals: Rc<Signals>,
    fleet: crate::session::Fleet<Porter>,
    answer: Answer,
    secrets: BTreeMap<String, Value>,
    overrides: Vec<(String, String)>,
    flags: String,
    pub(super) who: String,
}

/// What is vouched for and overridden must be there: a mistyped name would be found when it is too late.
fn known(plan: &Plan, attest: &[String], overrides: &[(String, String)]) -> Result<(), Fatal> {
    for node in attest {
        if plan.node(node).is_none() {
            let names: Vec<&str> = plan.nodes.iter().map(|n| n.name.as_str()).collect();
            return Err(Fatal::new(Exit::Usage, format!("`--attest {node}`: the site has no node `{node}`")).hint(
                did_you_mean(node, names.iter().copied()).unwrap_or_else(|| format!("it has: {}", names.join(", "))),
            ));
        }
    }
    for (id, _) in overrides {
        let step = plan.steps().find(|s| s.id == *id || s.instance == *id);
        let may = step.is_some_and(|s| matches!(s.what, What::Check(_)) && s.on_failure == OnFailure::Ask);
        if !may {
            let why = if step.is_some() { "is no check with on-failure = \"ask\"" } else { "is no step of this plan" };
            return Err(Fatal::new(Exit::Usage, format!("`--override {id}`: that {why}"))
                .hint("only a check that its playbook lets be skipped can be overridden"));
        }
    }
    Ok(())
}

impl Front {
    /// `folders`: of the site file, and of hawiz's own state.
    pub(super) fn open(
        common: &Common,
        plan: &Plan,
        interactive: bool,
        answer: &Answer,
        folders: (&Path, &Path),
    ) -> Result<Front, Fatal> {
        let overrides = answer.overrides.iter().map(|o| match o.split_once('=') {
            Some((step, reason)) if !reason.trim().is_empty() => Ok((step.to_string(), reason.to_string())),
            _ => Err(Fatal::new(Exit::Usage, format!("`--override {o}` is not STEP=REASON"))),
        });
        let overrides = overrides.collect::<Result<Vec<_>, Fatal>>()?;
        known(plan, &answer.attest, &overrides)?;
        let signals = signals()?;
        let stderr = Style::stderr(colour(common), verbosity(common));
        let plan = Rc::new(plan.clone());
        // A person reads their own language; a log and whoever reads it have one.
        let spoken = if output(common) == ui::Output::Term { super::tongue::spoken(common, &plan)? } else { None };
        let teller = spoken.clone().map(Teller::new);
        let shown = spoken.map_or_else(|| Rc::clone(&plan), Rc::new);
        let dry = (output(common) != ui::Output::Json).then(|| (Rc::clone(&shown), stderr));
        let screen = Screen::new(ui::views(output(common), stderr, std::io::stdout().is_terminal()), dry, teller);
        let flags = common.state_dir.as_ref().map(|d| {
            let quoted = crate::shell::quote(std::os::unix::ffi::OsStrExt::as_bytes(d.as_os_str()));
            format!("--state-dir {} ", String::from_utf8_lossy(&quoted))
        });
        let whole = Rc::clone(&plan);
        let mut person = None;
        if interactive {
            let wake = rustix::io::fcntl_dupfd_cloexec(signals.wake_fd(), 3).ok();
            let of = Rc::clone(&signals);
            let signalled = Box::new(move || {
                of.drain();
                if of.take_suspend() {
                    return Some("SIGTSTP".to_string());
                }
                of.pending().map(|_| of.name().to_string())
            });
            let terminal = Terminal::new(wake, signalled, stderr.colours)
                .map_err(|e| Fatal::new(Exit::Internal, format!("cannot ask on this terminal: {e}")))?;
            let drawer = Drawer { width: stderr.width, ascii: stderr.ascii };
            let (screen, plan, signals) = (Rc::clone(&screen), Rc::clone(&shown), Rc::clone(&signals));
            let tells = output(common) == ui::Output::Term;
            let folder = folders.0.to_path_buf();
            let sitting = Person { terminal, screen, plan, drawer, tells, signals, folder };
            person = Some(Shared(Rc::new(RefCell::new(sitting))));
        }
        // While the person reads and is asked.
        let mut fleet = nodes::fleet(&whole, folders.0, folders.1, entrance::porter(person.clone()));
        fleet.expect(&whole.needs(true));
        let mut secrets = BTreeMap::new();
        for s in &plan.secrets {
            let ask = |prompt: &str| match &mut person {
                Some(p) => {
                    let question = Question::Secret { name: s.name.clone(), prompt: prompt.to_string() };
                    match p.0.borrow_mut().terminal.ask(&question).answer {
                        crate::prompt::Answer::Text(v) => Ok(v.0),
                        _ => Err(Fatal::new(Exit::Declined, format!("the secret `{}` was not given", s.name))),
                    }
                }
                None => {
                    let text = format!("the secret `{}` has no source, and nobody is there to ask", s.name);
                    let name = secret::env_name(&s.name);
                    Err(Fatal::new(Exit::NotReady, text)
                        .hint(format!("set `${name}`, or name a command in the site's `[secrets]`")))
                }
            };
            let got = secret::get(s, |n| std::env::var_os(n), ask)?;
            secrets.insert(s.name.clone(), Value::new(got.expose()));
        }
        let (answer, who) = (answer.clone(), Who::here().to_string());
        let flags = flags.unwrap_or_default();
        Ok(Front { plan, screen, person, signals, fleet, answer, secrets, overrides, flags, who })
    }

    /// Sits down to a run whose journal is open. `stations`: what the run has come by, if it was here or elsewhere before.
    pub(super) fn sit(mut self, journal: Journal, answers: Answers, stations: &[String]) -> Sitting {
        self.fleet.carry(journal.trail(), stations);
        let secrets: Vec<Vec<u8>> = self.secrets.values().map(|v| v.0.clone()).collect();
        let masker = (!secrets.is_empty()).then(|| Masker::new(&secrets));
        let (holder, attest, overrides) = (self.who.clone(), self.answer.attest.clone(), self.overrides.clone());
        let settings =
            Settings { holder, attest, overrides, probe: PROBE, vouched: vouched(), flags: self.flags.clone() };
        let desk = Desk { journal, screen: Rc::clone(&self.screen), who: self.who.clone(), secrets, masker };
        Sitting { front: self, desk, answers, settings, history: History::default() }
    }
}

/// One sitting: everything a run needs around the engine.
pub(super) struct Sitting {
    front: Front,
    desk: Desk,
    answers: Answers,
    settings: Settings,
    history: History,
}

impl Sitting {
    /// Records how this sitting begins.
    pub(super) fn begin(&mut self, event: Event) -> Result<(), Fatal> {
        use crate::engine::Sink;
        let exit = if self.history.changed() { Exit::Stopped } else { Exit::NotReady };
        self.desk.record(event.clone()).map_err(|e| Fatal::new(exit, e))?;
        self.history.apply(&event);
        Ok(())
    }

    /// What earlier sittings did.
    pub(super) fn resume(&mut self, history: History, records: &[event::Record]) {
        for r in records {
            self.desk.screen.borrow_mut().looks.record(r);
        }
        self.desk.screen.borrow_mut().unplanned = history.unplanned.is_some();
        self.history = history;
    }

    pub(super) fn note(&mut self, text: String) -> Result<(), Fatal> {
        self.begin(Event::Noted { text })
    }

    /// The work itself. From here on the process stands in `/`, so that it holds no file system that must be unmounted.
    pub(super) fn work(mut self, way: Way) -> Ending {
        let _ = std::env::set_current_dir("/");
        let front = &mut self.front;
        let clock = Boot { signals: Rc::clone(&front.signals) };
        let signals: &Signals = &front.signals;
        let plan = Rc::clone(&front.plan);
        let person = front.person.as_mut().map(|p| p as &mut dyn Prompter);
        let mut prompter = Scripted { answers: self.answers, yes: front.answer.yes, person };
        let (fleet, desk) = (&mut front.fleet, &mut self.desk);
        let engine = Engine::new(
            &plan,
            self.history,
            fleet,
            &mut prompter,
            desk,
            &clock,
            signals,
            &front.secrets,
            self.settings,
        );
        let ending = match way {
            Way::Run => engine.run(),
            Way::RollBack => engine.roll_back(),
        };
        let screen = Rc::clone(&self.desk.screen);
        screen.borrow_mut().views.finish();
        ending
    }
}

fn output(common: &Common) -> ui::Output {
    match common.output {
        Some(Output::Term) => ui::Output::Term,
        Some(Output::Plain) => ui::Output::Plain,
        Some(Output::Json) => ui::Output::Json,
        None if std::io::stderr().is_terminal() => ui::Output::Term,
        None => ui::Output::Plain,
    }
}
