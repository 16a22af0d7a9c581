//! Real keystrokes at real prompts: every test brings its own terminal, and waits for text, never for time.
//!
//! Most drive [`Terminal`] in a thread of this process on a pty. Stopping (^Z) and the way in from `stdin` and `stderr`
//! need a process of their own: the test binary starts itself again, in a session whose terminal is the pty.

use hawiz::plan::Gate;
use hawiz::prompt::terminal::Terminal;
use hawiz::prompt::{Answer, Choice, Given, Prompter, Question};
use hawiz::shell::Value;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
const SHOW: &str = "\u{1b}[?25h";

/// A terminal, seen from the person's side.
struct Pty {
    master: OwnedFd,
    slave: OwnedFd,
    seen: String,
    /// Up to here it was expected.
    read: usize,
}

impl Pty {
    fn new() -> Pty {
        Pty::sized(24, 80)
    }
    fn sized(rows: u16, columns: u16) -> Pty {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("the system has ptys");
        grantpt(&master).expect("it is ours");
        unlockpt(&master).expect("it is ours");
        let name = ptsname(&master, Vec::new()).expect("it has a name");
        let slave = rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
            .expect("its other side can be opened");
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).expect("it has a size");
        Pty { master, slave, seen: String::new(), read: 0 }
    }
    fn fd(&self) -> OwnedFd {
        self.slave.try_clone().expect("descriptors are left")
    }
    fn modes(&self) -> Termios {
        tcgetattr(&self.slave).expect("it is a terminal")
    }
    fn send(&self, keys: &str) {
        let mut rest = keys.as_bytes();
        while !rest.is_empty() {
            let n = rustix::io::write(&self.master, rest).expect("the terminal is open");
            rest = &rest[n..];
        }
    }
    /// Reads what is there now, or within `wait`; `false` when nothing came.
    fn pump(&mut self, wait: Duration) -> bool {
        let timeout = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        if poll(&mut fds, Some(&timeout)).unwrap_or(0) == 0 {
            return false;
        }
        let mut buffer = [0; 4096];
        match rustix::io::read(&self.master, &mut buffer) {
            Ok(n) if n > 0 => {
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
                true
            }
            _ => false,
        }
    }
    /// Waits for a text after what was last expected.
    #[track_caller]
    fn expect(&mut self, text: &str) {
        let begun = Instant::now();
        loop {
            if let Some(at) = self.seen[self.read..].find(text) {
                self.read += at + text.len();
                return;
            }
            let left = PATIENCE.checked_sub(begun.elapsed()).unwrap_or_default();
            if left.is_zero() || (!self.pump(left) && begun.elapsed() >= PATIENCE) {
                panic!("{text:?} did not come; since the last: {:?}", &self.seen[self.read..]);
            }
        }
    }
    /// All that was drawn since what was last expected, when nothing draws any more.
    fn rest(&mut self) -> String {
        while self.pump(Duration::ZERO) {}
        self.seen[self.read..].to_string()
    }
}

/// Asks in a thread; the terminal's modes must be the old ones afterwards, and the cursor shown.
struct Asked {
    thread: JoinHandle<Vec<Given>>,
    before: String,
}

fn modes(t: &Termios) -> String {
    format!("{:?} {:?} {:?} {:?}", t.input_modes, t.output_modes, t.control_modes, t.local_modes)
}

fn ask(pty: &Pty, questions: Vec<Question>) -> Asked {
    ask_with(pty, questions, None, Box::new(|| None), false)
}

fn ask_with(
    pty: &Pty,
    questions: Vec<Question>,
    wake: Option<OwnedFd>,
    signalled: Box<dyn Fn() -> Option<String> + Send>,
    dumb: bool,
) -> Asked {
    let before = modes(&pty.modes());
    let (input, output) = (pty.fd(), pty.fd());
    let thread = std::thread::spawn(move || {
        let mut terminal = Terminal::on(input, output, wake, signalled, false, dumb).expect("it is a terminal");
        questions.iter().map(|q| terminal.ask(q)).collect()
    });
    Asked { thread, before }
}

impl Asked {
    #[track_caller]
    fn answers(self, pty: &mut Pty) -> Vec<Answer> {
        let begun = Instant::now();
        while !self.thread.is_finished() {
            pty.pump(Duration::from_millis(10));
            assert!(begun.elapsed() < PATIENCE, "no answer; seen: {:?}", &pty.seen[pty.read..]);
        }
        let given = self.thread.join().expect("prompts do not panic");
        assert_eq!(modes(&pty.modes()), self.before, "the terminal's modes are as before");
        given.into_iter().map(|g| g.answer).collect()
    }
    #[track_caller]
    fn answer(self, pty: &mut Pty) -> Answer {
        self.answers(pty).pop().expect("one question was asked")
    }
}

fn gate() -> Question {
    gate_with(Gate::Ask, vec!["1 · Take the address".into(), "  1 change, undoable".into()])
}
fn gate_with(gate: Gate, lines: Vec<String>) -> Question {
    let view = (1..=40).map(|i| format!("view line {i}")).collect();
    Question::Gate { stage: "p/s".into(), gate, digest: "d".into(), lines, view }
}
fn failure(offers: &[Choice]) -> Question {
    Question::Failure {
        step: "p/s/x".into(),
        lines: vec!["✗ Start xcatd".into()],
        output: "first line of output\nsecond \u{1b}[2Jline".into(),
        offers: offers.to_vec(),
    }
}
fn text(t: &str) -> Answer {
    Answer::Text(Value::from(t))
}
fn stop(why: &str) -> Answer {
    Answer::Stop(why.into())
}

const ASKS: &str = "[q]uit  [?]: ";
const COLOURED: &str = "[q]uit  [?]:\u{1b}[0m ";

#[test]
fn only_a_clear_answer_is_one() {
    for (typed, want) in [
        ("y", Answer::Yes),
        ("Y", Answer::Yes),
        ("yes", Answer::Yes),
        ("Yes", Answer::Yes),
        ("YES", Answer::Yes),
        ("  yes ", Answer::Yes),
        ("n", Answer::No),
        ("No", Answer::No),
        ("d", Answer::Dry),
        ("dry", Answer::Dry),
        ("q", Answer::Quit),
        ("quit", Answer::Quit),
    ] {
        let mut pty = Pty::new();
        let asked = ask(&pty, vec![gate()]);
        pty.expect(ASKS);
        pty.send(&format!("{typed}\r"));
        assert_eq!(asked.answer(&mut pty), want, "{typed:?}");
    }
}

#[test]
fn an_unknown_answer_asks_again_and_the_fifth_stops() {
    let mut pty = Pty::new();
    let asked = ask(&pty, vec![gate()]);
    for (i, typed) in ["ye", "", "yEs", "yy"].into_iter().enumerate() {
        pty.expect(ASKS);
        pty.send(&format!("{typed}\r"));
        let shown = if typed.is_empty() { "Enter alone".to_string() } else { format!("`{typed}`") };
        pty.expect(&format!("{shown} is no answer here; type one of y, n, d, v, q, ?. ({} of 5)", i + 1));
    }
    pty.expect(ASKS);
    pty.send("j\r");
    pty.expect("That was the fifth");
    assert_eq!(asked.answer(&mut pty), stop("5 answers that were not understood"));
}

#[test]
fn keys_typed_before_the_question_answer_nothing() {
    let mut pty = Pty::new();
    pty.send("y\ny\ny\ny\n");
    let asked = ask(&pty, vec![gate()]);
    pty.expect(ASKS);
    pty.send("n\r");
    assert_eq!(asked.answer(&mut pty), Answer::No);
}

#[test]
fn one_burst_answers_one_question() {
    let mut pty = Pty::new();
    let asked = ask(&pty, vec![gate(), gate(), failure(&[Choice::Retry, Choice::Quit])]);
    pty.expect(ASKS);
    pty.send("y\ny\ny\ny\ny\n");
    pty.expect(ASKS);
    pty.send("n\rr\rr\rr\r");
    pty.expect("[?]: ");
    pty.send("q\r");
    assert_eq!(asked.answers(&mut pty), [Answer::Yes, Answer::No, Answer::Choice(Choice::Quit, None)]);
}

#[test]
fn what_is_left_of_a_burst_does_not_answer_when_it_is_asked_again() {
    let mut pty = Pty::new();
    let asked = ask(&pty, vec![gate()]);
    pty.expect(ASKS);
    pty.send("x\ny\ny\n");
    pty.expect("(1 of 5)");
    pty.expect(ASKS);
    pty.send("n\r");
    assert_eq!(asked.answer(&mut pty), Answer::No);
}

#[test]
fn every_way_out_stops_and_leaves_the_terminal_as_it_was() {
    for (keys, why) in [("\u{1b}", "Esc"), ("\u{4}", "^D"), ("\u{3}", "^C"), ("y\u{3}", "^C"), ("\u{1c}", "^\\")] {
        for question in [
            gate(),
            gate_with(Gate::Type("node3".into()), vec![]),
            failure(&[Choice::Retry]),
            Question::Secret { name: "pw".into(), prompt: "Password".into() },
            Question::Input { name: "vip".into(), prompt: "Virtual IP".into(), choices: vec![] },
            Question::Undo { steps: vec![], lines: vec![], gate: Gate::Ask, active: None },
        ] {
            let mut pty = Pty::new();
            let asked = ask(&pty, vec![question.clone()]);
            pty.expect(": ");
            pty.send(keys);
            assert_eq!(asked.answer(&mut pty), stop(why), "{question:?}");
            let rest = pty.rest();
            assert!(rest.ends_with(SHOW), "{rest:?}");
        }
    }
}

#[test]
fn a_terminal_that_goes_away_is_the_end_of_input() {
    let mut pty = Pty::new();
    let (input, output) = (pty.fd(), pty.fd());
    let thread = std::thread::spawn(move || {
        let mut terminal = Terminal::on(input, output, None, Box::new(|| None), false, false).expect("a terminal");
        terminal.ask(&gate()).answer
    });
    pty.expect(ASKS);
    drop(pty);
    assert_eq!(thread.join().expect("prompts do not panic"), stop("end of input"));
}

#[test]
fn a_pipe_is_never_asked() {
    let (read, _write) = rustix::pipe::pipe().expect("pipes can be made");
    let pty = Pty::new();
    assert!(Terminal::on(read, pty.fd(), None, Box::new(|| None), false, false).is_err());
}

#[test]
fn a_signal_ends_the_question() {
    for (signal, want) in [("SIGTERM", stop("SIGTERM")), ("SIGHUP", stop("SIGHUP")), ("SIGCONT", Answer::Again)] {
        let mut pty = Pty::new();
        let (read, write) = rustix::pipe::pipe().expect("pipes can be made");
        let signalled = {
            let read = read.try_clone().expect("descriptors are left");
            move || {
                let mut one = [0; 1];
                rustix::io::read(&read, &mut one).ok().filter(|n| *n > 0 && one[0] == b'!').map(|_| signal.to_string())
            }
        };
        let asked = ask_with(&pty, vec![gate()], Some(read), Box::new(signalled), false);
        pty.expect(ASKS);
        pty.send("ye");
        // A signal that does not concern the question (a resized window) changes nothing.
        rustix::io::write(&write, b".").expect("the pipe is open");
        pty.expect("ye");
        rustix::io::write(&write, b"!").expect("the pipe is open");
        assert_eq!(asked.answer(&mut pty), want);
        assert!(pty.rest().ends_with(SHOW));
    }
}

#[test]
fn a_line_can_be_corrected() {
    let input = || Question::Input { name: "host".into(), prompt: "Host".into(), choices: vec![] };
    for (keys, want) in [
        ("nodex\u{7f}3\r", "node3"),
        ("wrong all\u{15}right\r", "right"),
        ("one two \u{17}three\r", "one three"),
        ("grü\u{7f}ün ✓\r", "grün ✓"),
        ("\u{7f}\u{7f}a\r", "a"),
        ("a\u{1b}[A\u{1b}[3~\u{1b}OPb\u{1b}xc\r", "abc"),
        ("a\u{202e}b\u{0}\u{7}c\r", "abc"),
        ("tab\tbed\r", "tabbed"),
    ] {
        let mut pty = Pty::new();
        let asked = ask(&pty, vec![input()]);
        pty.expect("(no default): ");
        pty.send(keys);
        assert_eq!(asked.answer(&mut pty), text(want), "{keys:?}");
    }
}

#[test]
fn a_marked_paste_is_text_and_no_answer() {
    let mut pty = Pty::new();
    let asked = ask(&pty, vec![gate()]);
    pty.expect(ASKS);
    pty.send("\u{1b}[200~y\ry\r\u{3}\u{1b}[201~\r");
    pty.expect("`y y` is no answer here");
    pty.expect(ASKS);
    pty.send("\u{1b}[200~yes\u{1b}[201~\r");
    assert_eq!(asked.answer(&mut pty), Answer::Yes);
}

#[test]
fn a_typed_gate_wants_the_very_word() {
    let mut pty = Pty::new();
    let asked = ask(&pty, vec![gate_with(Gate::Type("node3".into()), vec!["POINT OF NO RETURN".into()])]);
    pty.expect("POINT OF NO RETURN\r\n\u{1b}[?25hType `node3` to go on, v to view;");
    for typed in ["y", "yes", "Node3", "node"] {
        pty.expect("Esc stops: ");
        pty.send(&format!("{typed}\r"));
        pty.expect(&format!("`{typed}` is no answer here; type `node3`, exactly so, or press Esc."));
    }
    pty.expect("Esc stops: ");
    pty.send("node3\r");
    assert_eq!(asked.answer(&mut pty), text("node3"));
}

#[test]
fn view_shows_everything_a_screen_at_a_time_and_asks_again() {
    let mut pty = Pty::sized(24, 80);
    let asked = ask(&pty, vec![gate()]);
    pty.expect(ASKS);
    pty.send("v\r");
    pty.expect("view line 22\r\n");
    pty.expect("Enter shows more (18 lines), q ends: ");
    pty.send("\r");
    pty.expect("view line 40\r\n");
    pty.expect(ASKS);
    pty.send("v\r");
    pty.expect("q ends: ");
    pty.send("q\r");
    pty.expect(ASKS);
    pty.send("?\r");
    pty.expect("y     do it: the commands shown are run, one after the other\r\n");
    pty.expect("Enter alone is no answer.");
    pty.expect(ASKS);
    pty.send("y\r");
    assert_eq!(asked.answer(&mut pty), Answer::Yes);
}

#[test]
fn the_failure_menu_offers_only_what_is_offered() {
    use Choice::{Extend, LookAgain, Quit, Retry, Skip, Undo};
    let mut pty = Pty::new();
    let asked = ask(&pty, vec![failure(&[Retry, LookAgain, Quit])]);
    pty.expect("  No [s]kip, it is required.\r\n");
    pty.expect("What now?  [r]etry  [l]ook again  [o]utput  [q]uit, resumable  [?]: ");
    pty.send("s\r");
    pty.expect("`s` is no answer here; type one of r, l, o, q, ?.");
    pty.expect("[?]: ");
    pty.send("o\r");
    pty.expect("first line of output\r\nsecond ^[[2Jline\r\n");
    pty.expect("[?]: ");
    pty.send("l\r");
    assert_eq!(asked.answer(&mut pty), Answer::Choice(LookAgain, None));

    let mut pty = Pty::new();
    let asked = ask(&pty, vec![failure(&[Retry, Extend, Skip, Undo, Quit])]);
    pty.expect("[?]: ");
    pty.send("s\r");
    pty.expect("(goes into the record; Esc stops): ");
    pty.send("  \r");
    pty.expect("Enter alone is no answer here; type a reason.");
    pty.expect("Esc stops): ");
    pty.send("not needed today\r");
    assert_eq!(asked.answer(&mut pty), Answer::Choice(Skip, Some("not needed today".into())));
}

#[test]
fn every_other_question_has_its_words() {
    let lines = || vec!["a line".to_string()];
    let q = |question: Question, prompt: &str, keys: &str, want: Answer| {
        let mut pty = Pty::new();
        let asked = ask(&pty, vec![question]);
        pty.expect(prompt);
        pty.send(keys);
        assert_eq!(asked.answer(&mut pty), want);
        pty.rest();
        pty.seen
    };
    let step = || "p/s/x".to_string();
    let manual = |capture: Option<&str>| Question::Manual {
        step: step(),
        undo: false,
        lines: lines(),
        capture: capture.map(String::from),
    };
    q(manual(None), "Done?  [d]one  [n]o  [q]uit  [?]: ", "done\r", Answer::Yes);
    q(manual(None), "[?]: ", "n\r", Answer::No);
    q(manual(Some("serial")), "type serial (n: it cannot be done; Esc stops): ", "A 7\r", text("A 7"));
    let overdue = || Question::Overdue { step: step(), lines: lines(), after: Duration::from_secs(300) };
    let asks = "[w]ait longer  [e]nd it  [q]uit, leave it running  [?]: ";
    q(overdue(), asks, "w\r", Answer::Choice(Choice::Extend, None));
    q(overdue(), asks, "e\r", Answer::Choice(Choice::EndIt, None));
    q(overdue(), asks, "q\r", Answer::Choice(Choice::Quit, None));
    let attest = || Question::Attest { node: "xcatmn1".into(), lines: lines() };
    q(attest(), "Type `xcatmn1` to vouch", "xcatmn1\r", text("xcatmn1"));
    let unknown = || Question::Unknown { step: step(), lines: lines() };
    q(unknown(), "[h]appened  [d]id not  [q]uit, resumable  [?]: ", "h\r", Answer::Choice(Choice::Happened, None));
    q(unknown(), "[?]: ", "d\r", Answer::Choice(Choice::DidNot, None));
    q(
        Question::Undo { steps: vec![], lines: lines(), gate: Gate::Ask, active: None },
        "Undo?  [y]es  [n]o  [?]: ",
        "y\r",
        Answer::Yes,
    );
    let (gate, active) = (Gate::Type("xcatmn1".into()), Some("xcatmn1".into()));
    let undo = Question::Undo { steps: vec![], lines: lines(), gate, active };
    q(undo, "Type `xcatmn1` to undo these; else it asks again, Esc stops: ", "xcatmn1\r", text("xcatmn1"));
    let kind =
        || Question::Input { name: "db".into(), prompt: "Database".into(), choices: vec!["a".into(), "b".into()] };
    q(kind(), "Database (a, b; no default): ", "b\r", text("b"));
    let secret = || Question::Secret { name: "pw".into(), prompt: "Password of the BMCs".into() };
    let seen = q(secret(), "Password of the BMCs (pw, not shown): ", "s3cr\u{7f}ret\r", text("s3cret"));
    assert!(!seen.contains('3'), "a secret is not echoed: {seen:?}");
}

#[test]
fn a_dumb_terminal_gets_no_control_sequence() {
    let mut pty = Pty::sized(24, 40);
    let asked = ask_with(&pty, vec![gate()], None, Box::new(|| None), true);
    pty.expect("Continue?  [y]es  [n]o\r\n  [d]ry from here on  [v]iew  [q]uit\r\n  [?]: ");
    pty.send("y\r");
    assert_eq!(asked.answer(&mut pty), Answer::Yes);
    assert!(!pty.seen.contains('\u{1b}'), "{:?}", pty.seen);
}

// ---------------------------------------------------------------- in a process of its own

/// Starts this test binary again as `name`, with the pty as the terminal of its session.
fn child(pty: &Pty, name: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this test has a file"));
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("HAWIZ_PROBE", "1")
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::from(pty.fd())).stdout(Stdio::null()).stderr(Stdio::from(pty.fd()));
    // SAFETY: between fork and exec only two system calls are made.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
            Ok(())
        });
    }
    command.spawn().expect("this test can be started again")
}

fn probing() -> bool {
    std::env::var_os("HAWIZ_PROBE").is_some()
}

/// Asks once on stdin and stderr, twice if it has to ask again.
#[test]
fn probe_asks() {
    if !probing() {
        return;
    }
    let stdin = rustix::stdio::stdin();
    // As a shell's job: wait until it is in the foreground.
    while rustix::termios::tcgetpgrp(stdin).is_ok_and(|g| g != rustix::process::getpgrp()) {
        std::thread::yield_now();
    }
    let mut terminal = Terminal::new(None, Box::new(|| None), true).expect("it has a terminal");
    let mut answer = terminal.ask(&gate()).answer;
    if answer == Answer::Again {
        eprintln!("asking again");
        answer = terminal.ask(&gate()).answer;
    }
    eprintln!("answer {answer:?}.");
}

/// What a shell with job control does: starts a job in the foreground, tells when it stopped, and wakes it.
#[test]
#[expect(clippy::zombie_processes, reason = "it is waited for by its pid, which also tells of stops")]
fn probe_shell() {
    if !probing() {
        return;
    }
    let mut job = Command::new(std::env::current_exe().expect("this test has a file"));
    job.args(["--exact", "probe_asks", "--nocapture", "--test-threads=1"]).process_group(0).stdout(Stdio::null());
    let job = job.spawn().expect("it can be started again");
    let pid = rustix::process::Pid::from_raw(job.id() as i32).expect("it has a pid");
    rustix::termios::tcsetpgrp(rustix::stdio::stdin(), pid).expect("the terminal is this session's");
    let mut stops = 0;
    while let Ok(Some((_, status))) = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::UNTRACED) {
        if !status.stopped() {
            break;
        }
        stops += 1;
        let now = tcgetattr(rustix::stdio::stdin()).expect("it is a terminal").local_modes;
        let sane = now.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        eprintln!("stopped {stops} sane {sane}.");
        rustix::process::kill_process_group(pid, rustix::process::Signal::CONT).expect("it is our child");
    }
}

/// A run's view on a live terminal: a step prints and ends, a gate is asked, the run ends.
#[test]
fn probe_view() {
    use hawiz::event::{Event, Outcome, Record, Verdict};
    if !probing() {
        return;
    }
    let style = hawiz::ui::Style::stderr(hawiz::ui::Colour::Never, 0);
    assert!(style.live, "stderr is a terminal that can move");
    let mut views = hawiz::ui::views(hawiz::ui::Output::Term, style, true);
    let step = || ("p/s/x@n".to_string(), "Start xcatd".to_string(), "n".to_string());
    let mut show = |event: Event| {
        use hawiz::ui::View;
        views.event(&Record { seq: 1, utc: "2018-06-24T22:13:10.559Z".into(), who: "me".into(), event });
    };
    let (id, name, on) = step();
    show(Event::StageStarted { stage: "p/s".into(), title: "Start".into(), number: 1, of: 1 });
    show(Event::StepStarted { step: id.clone(), title: name.clone(), node: on.clone(), number: 1, of: 1 });
    let text = "starting \u{1b}[2J\n50%\r100%\n".to_string();
    show(Event::Output { step: id.clone(), node: on.clone(), stderr: false, text });
    // The bars draw in their own time; go on when the other side has seen them.
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the terminal is open");
    let (outcome, tail) = (Outcome::Done, String::new());
    show(Event::StepFinished {
        step: id,
        title: name,
        node: on,
        outcome,
        attempts: 1,
        code: Some(0),
        tail,
        show: false,
        took_ms: 1200,
    });
    show(Event::GateAsked { stage: "p/t".into() });
    eprintln!("a question");
    line.clear();
    std::io::stdin().read_line(&mut line).expect("the terminal is open");
    show(Event::GateAnswered { stage: "p/t".into(), answer: "yes".into(), by: "person".into() });
    show(Event::RunFinished {
        verdict: Verdict::Completed,
        exit: 0,
        why: None,
        nodes: vec![],
        skipped: vec![],
        next: vec![],
    });
    drop(views);
    eprintln!("the end");
}

#[test]
fn a_live_view_shows_what_runs_and_leaves_nothing_that_moves_behind() {
    let mut pty = Pty::new();
    let mut probe = child(&pty, "probe_view");
    // Bars and the output below the list; what the node printed is harmless, and a carriage return overwrites.
    pty.expect("| starting ^[[2J");
    pty.expect("| 100%");
    pty.expect("Start xcatd");
    pty.send("\n");
    pty.expect("Start xcatd");
    pty.expect("1.2s");
    pty.expect("a question\r\n");
    // Nothing is drawn while the question stands; the key comes back as the terminal's echo only.
    let at = pty.read;
    pty.send("\n");
    pty.expect("Done and verified.");
    assert!(pty.seen[at..].starts_with("\r\n"), "{:?}", &pty.seen[at..]);
    pty.expect("the end\r\n");
    assert!(wait(&mut probe, &mut pty));
    assert!(!pty.seen.contains("\u{1b}[?25l"), "the cursor is never hidden");
}

#[test]
fn suspending_restores_the_terminal_and_asks_anew() {
    let mut pty = Pty::new();
    let mut shell = child(&pty, "probe_shell");
    pty.expect(COLOURED);
    pty.send("ye\u{1a}");
    pty.expect(SHOW);
    pty.expect("stopped 1 sane true.");
    pty.expect("asking again");
    pty.expect(COLOURED);
    pty.send("n\r");
    pty.expect("answer No.");
    let status = wait(&mut shell, &mut pty);
    assert!(status, "{:?}", pty.seen);
    assert!(!pty.seen.contains("stopped 2"), "one ^Z stops once: {:?}", pty.seen);
}

#[test]
fn suspending_where_nobody_could_wake_it_asks_anew_at_once() {
    let mut pty = Pty::new();
    let mut alone = child(&pty, "probe_asks");
    pty.expect(COLOURED);
    pty.send("\u{1a}");
    pty.expect("asking again");
    pty.expect(COLOURED);
    pty.send("y\r");
    pty.expect("answer Yes.");
    assert!(wait(&mut alone, &mut pty));
}

#[test]
fn colours_are_closed_again() {
    let mut pty = Pty::new();
    let mut probe = child(&pty, "probe_asks");
    pty.expect("\u{1b}[1m1 · Take the address\u{1b}[0m");
    pty.expect("[?]:\u{1b}[0m ");
    pty.send("q\r");
    pty.expect("answer Quit.");
    assert!(wait(&mut probe, &mut pty));
}

fn wait(child: &mut Child, pty: &mut Pty) -> bool {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status.success();
        }
        pty.pump(Duration::from_millis(10));
        assert!(begun.elapsed() < PATIENCE, "it does not end: {:?}", pty.rest());
    }
}
