//! One line from a terminal, key by key.
//!
//! Why it exists: dialoguer reads through console, which polls nothing but the terminal, answers ^C with a signal to
//! itself, knows no ^Z, and keeps what was typed before the question; a failover wizard must be woken by SIGTERM and
//! must not take a paste for three answers. So dialoguer's theme draws, and this reads.
//!
//! Invariant: whichever way [`Keys::line`] is left, a panic included, the terminal's modes are as they were before and
//! the cursor is shown. What was typed before the question stood is never part of an answer.

use super::Ended;
use super::lend::{Lend, lend, unstopped};
use crate::ui::escape;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::termios::{self, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Nothing may have been typed for this long before a question is drawn; a paste comes in bursts.
const QUIET: Duration = Duration::from_millis(40);
/// But a key that is held down must not keep the question away for ever.
const QUIET_AT_MOST: Duration = Duration::from_secs(1);
/// What follows an Esc later than this does not belong to it.
const ESCAPE: Duration = Duration::from_millis(100);
/// Nobody types more.
const LONGEST: usize = 4096;

/// What the keyboard gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Text(String),
    /// Esc, ^D, ^C, end of input, a signal: which.
    Stop(String),
    /// Stopped and gone on with, by ^Z or from outside: the screen and the looks are old.
    Again,
}

/// How reading ended.
enum End {
    Line(Line),
    /// ^Z, typed or sent.
    Suspend,
}
impl End {
    fn stop(why: impl Into<String>) -> End {
        End::Line(Line::Stop(why.into()))
    }
}

/// Tells which signal came, and reads the wake-up descriptor empty. `SIGTSTP` = as ^Z, `SIGCONT` = draw again, all
/// others stop.
pub type Signalled = Box<dyn Fn() -> Option<String>>;

pub struct Keys {
    input: OwnedFd,
    output: OwnedFd,
    /// Readable when a signal came.
    wake: Option<OwnedFd>,
    signalled: Signalled,
    /// `TERM=dumb`: no control sequence at all.
    dumb: bool,
    /// The terminal does not show control characters while this lives.
    hushed: bool,
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.hush(false);
    }
}

/// The terminal's modes while a line is read; dropped, they are as before.
struct Raw<'a> {
    keys: &'a Keys,
    before: Termios,
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(&self.keys.input, OptionalActions::Now, &self.before);
        self.keys.show_cursor();
    }
}

/// The edited line.
struct Edit {
    text: String,
    hidden: bool,
}

impl Keys {
    pub fn new(input: OwnedFd, output: OwnedFd, wake: Option<OwnedFd>, signalled: Signalled, dumb: bool) -> Self {
        Keys { input, output, wake, signalled, dumb, hushed: false }
    }

    /// A `^C` that the terminal shows moves the cursor under whatever is being drawn, and leaves a dead line behind. From
    /// here on it is not shown; dropped, it is again.
    pub fn hushed(mut self) -> Self {
        let shows = termios::tcgetattr(&self.input).is_ok_and(|m| m.local_modes.contains(LocalModes::ECHOCTL));
        self.hushed = shows;
        self.hush(true);
        self
    }

    fn hush(&self, hush: bool) {
        if !self.hushed {
            return;
        }
        if let Ok(mut modes) = termios::tcgetattr(&self.input) {
            modes.local_modes.set(LocalModes::ECHOCTL, !hush);
            let _ = unstopped(|| termios::tcsetattr(&self.input, OptionalActions::Now, &modes));
        }
    }

    /// Writes to the terminal; `false` when it is gone.
    pub fn write(&self, text: &str) -> bool {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match rustix::io::write(&self.output, rest) {
                Ok(n) => rest = &rest[n..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let mut fds = [PollFd::new(&self.output, PollFlags::OUT)];
                    let _ = poll(&mut fds, None);
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// Rows and columns of the screen.
    pub fn size(&self) -> (usize, usize) {
        match termios::tcgetwinsize(&self.output) {
            Ok(w) if w.ws_row > 0 && w.ws_col > 0 => (w.ws_row as usize, w.ws_col as usize),
            _ => (24, 80),
        }
    }

    /// Lends the terminal to a program, until it ends or hawiz has to leave.
    pub fn lend(&self, argv: &[OsString], dir: &Path, leave: &dyn Fn() -> bool) -> Ended {
        let (input, output, dumb) = (self.input.as_fd(), self.output.as_fd(), self.dumb);
        self.hush(false);
        let ended = lend(&Lend { input, output, dumb, leave }, argv, dir);
        self.hush(true);
        ended
    }

    fn show_cursor(&self) {
        if !self.dumb {
            self.write("\x1b[?25h");
        }
    }

    /// Draws `prompt` when the keyboard is quiet, and reads a line.
    pub fn line(&self, prompt: &str, hidden: bool) -> Line {
        let before = match termios::tcgetattr(&self.input) {
            Ok(t) => t,
            Err(_) => return Line::Stop("end of input: not a terminal".to_string()),
        };
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN);
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        let raw = Raw { keys: self, before };
        // Flush: what was typed ahead is gone from here on.
        if termios::tcsetattr(&self.input, OptionalActions::Flush, &modes).is_err() {
            return Line::Stop("end of input".to_string());
        }
        let end = self.wait_for_quiet().unwrap_or_else(|| {
            self.show_cursor();
            let end = match self.write(prompt) {
                true => self.read(&mut Edit { text: String::new(), hidden }),
                false => End::stop("end of input"),
            };
            // The next output begins on a line of its own.
            self.write("\n");
            end
        });
        drop(raw);
        match end {
            End::Suspend => {
                self.hush(false);
                stop_this_job();
                self.hush(true);
                Line::Again
            }
            End::Line(line) => line,
        }
    }

    /// Throws away what still comes in, until nothing has for a moment.
    fn wait_for_quiet(&self) -> Option<End> {
        let begun = Instant::now();
        loop {
            let _ = termios::tcflush(&self.input, QueueSelector::IFlush);
            match self.ready(Some(QUIET)) {
                Ready::Ended(end) => return Some(end),
                Ready::Nothing => return None,
                // A hang-up would be readable for ever; the read that follows tells.
                Ready::Keys if begun.elapsed() > QUIET_AT_MOST => return None,
                Ready::Keys => {
                    let mut waste = [0; 1024];
                    if matches!(rustix::io::read(&self.input, &mut waste), Ok(0) | Err(Errno::IO)) {
                        return Some(End::stop("end of input"));
                    }
                }
            }
        }
    }

    fn ready(&self, wait: Option<Duration>) -> Ready {
        let timeout = wait.map(|d| Timespec { tv_sec: d.as_secs() as i64, tv_nsec: d.subsec_nanos().into() });
        loop {
            let mut fds = vec![PollFd::new(&self.input, PollFlags::IN)];
            if let Some(wake) = &self.wake {
                fds.push(PollFd::new(wake, PollFlags::IN));
            }
            let result = poll(&mut fds, timeout.as_ref());
            let woken = fds.get(1).is_some_and(|f| !f.revents().is_empty());
            let keys = !fds[0].revents().is_empty();
            if (woken || matches!(result, Err(Errno::INTR)))
                && let Some(signal) = (self.signalled)()
            {
                return Ready::Ended(match signal.as_str() {
                    "SIGTSTP" => End::Suspend,
                    "SIGCONT" => End::Line(Line::Again),
                    _ => End::stop(signal),
                });
            }
            match result {
                Err(Errno::INTR) => continue,
                Err(_) => return Ready::Ended(End::stop("end of input")),
                Ok(0) => return Ready::Nothing,
                Ok(_) if keys => return Ready::Keys,
                // Woken by a signal that does not concern a question.
                Ok(_) => continue,
            }
        }
    }

    /// The next byte; `wait`: give up after so long.
    fn byte(&self, wait: Option<Duration>) -> Result<Option<u8>, End> {
        loop {
            match self.ready(wait) {
                Ready::Ended(end) => return Err(end),
                Ready::Nothing => return Ok(None),
                Ready::Keys => {}
            }
            let mut one = [0u8; 1];
            match rustix::io::read(&self.input, &mut one) {
                Ok(1) => return Ok(Some(one[0])),
                Err(Errno::INTR | Errno::AGAIN) => {}
                _ => return Err(End::stop("end of input")),
            }
        }
    }

    fn read(&self, edit: &mut Edit) -> End {
        // Between the marks of a bracketed paste Enter is text, not an answer.
        let mut paste = false;
        loop {
            let byte = match self.byte(None) {
                Ok(Some(b)) => b,
                Ok(None) => continue,
                Err(end) => return end,
            };
            match byte {
                0x1b => match self.escape() {
                    Ok(Escape::Alone) if !paste => return End::stop("Esc"),
                    Ok(Escape::PasteBegins) => paste = true,
                    Ok(Escape::PasteEnds) => paste = false,
                    Ok(_) => {}
                    Err(end) => return end,
                },
                b'\r' | b'\n' if paste => self.insert(edit, ' '),
                b'\r' | b'\n' => return End::Line(Line::Text(std::mem::take(&mut edit.text))),
                0x03 if !paste => return End::stop("^C"),
                0x04 if !paste => return End::stop("^D"),
                0x1a if !paste => return End::Suspend,
                0x1c if !paste => return End::stop("^\\"),
                0x7f | 0x08 if !paste => self.rub(edit, 1),
                0x15 if !paste => self.rub(edit, usize::MAX),
                0x17 if !paste => {
                    let kept = edit.text.trim_end();
                    let word = kept.chars().rev().take_while(|c| !c.is_whitespace()).count();
                    let spaces = edit.text.chars().count() - kept.chars().count();
                    self.rub(edit, word + spaces);
                }
                0x00..=0x1f | 0x7f => {}
                first => match self.character(first) {
                    Ok(Some(c)) => self.insert(edit, c),
                    Ok(None) => {}
                    Err(end) => return end,
                },
            }
        }
    }

    /// The rest of a UTF-8 character; `None` when it is none.
    fn character(&self, first: u8) -> Result<Option<char>, End> {
        let more = match first {
            0x00..=0x7f => return Ok(Some(first as char)),
            0xc2..=0xdf => 1,
            0xe0..=0xef => 2,
            0xf0..=0xf4 => 3,
            _ => return Ok(None),
        };
        let mut bytes = vec![first];
        for _ in 0..more {
            match self.byte(Some(ESCAPE))? {
                Some(b @ 0x80..=0xbf) => bytes.push(b),
                _ => return Ok(None),
            }
        }
        Ok(std::str::from_utf8(&bytes).ok().and_then(|s| s.chars().next()))
    }

    /// What follows an Esc: nothing, the marks of a paste, or a key that means nothing here.
    fn escape(&self) -> Result<Escape, End> {
        let Some(next) = self.byte(Some(ESCAPE))? else { return Ok(Escape::Alone) };
        match next {
            0x1b => Ok(Escape::Alone),
            b'O' => {
                self.byte(Some(ESCAPE))?;
                Ok(Escape::Other)
            }
            b'[' => {
                let mut body = Vec::new();
                while let Some(b) = self.byte(Some(ESCAPE))? {
                    if (0x40..=0x7e).contains(&b) || body.len() > 32 {
                        return Ok(match (body.as_slice(), b) {
                            (b"200", b'~') => Escape::PasteBegins,
                            (b"201", b'~') => Escape::PasteEnds,
                            _ => Escape::Other,
                        });
                    }
                    body.push(b);
                }
                Ok(Escape::Other)
            }
            _ => Ok(Escape::Other),
        }
    }

    fn insert(&self, edit: &mut Edit, c: char) {
        let mut buffer = [0; 4];
        let text = c.encode_utf8(&mut buffer);
        // Only what prints as itself: an invisible character in a typed word would be a word nobody sees.
        if edit.text.len() >= LONGEST || escape::line(text) != *text {
            return;
        }
        edit.text.push(c);
        if !edit.hidden {
            self.write(text);
        }
    }

    fn rub(&self, edit: &mut Edit, count: usize) {
        for _ in 0..count {
            let Some(c) = edit.text.pop() else { return };
            if !edit.hidden {
                let mut buffer = [0; 4];
                let wide = escape::columns(c.encode_utf8(&mut buffer));
                self.write(&"\x08 \x08".repeat(wide));
            }
        }
    }
}

enum Ready {
    Keys,
    Ended(End),
    Nothing,
}

enum Escape {
    Alone,
    PasteBegins,
    PasteEnds,
    Other,
}

/// What ^Z does at a shell: the whole job stops (a `| tee` too), and goes on when the shell says so. Where no shell
/// could wake it again (PID 1 of a container), nothing is stopped.
/// False where nobody could wake it, so that it was not stopped.
pub(super) fn stop_this_job() -> bool {
    let woken = Arc::new(AtomicBool::new(false));
    let Ok(id) = signal_hook::flag::register(signal_hook::consts::SIGCONT, Arc::clone(&woken)) else {
        return false;
    };
    let stopped = crate::signal::suspend();
    if stopped {
        // With several threads this one may run on for a moment before all are stopped; it must not get as far as the
        // next question, which changes the terminal's modes. Bounded by turns, not by the time spent stopped.
        for _ in 0..2000 {
            if woken.load(Ordering::SeqCst) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    signal_hook::low_level::unregister(id);
    stopped
}

/// A second descriptor of the same terminal.
pub fn same(fd: impl AsFd) -> std::io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 3)?)
}
