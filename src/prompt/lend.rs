//! The operator's terminal, lent to another program and taken back.
//!
//! Why it exists: an installer or a console asks its own questions; it must have the terminal as if a shell had started it
//! (its own foreground group, so that ^C and ^Z are its own), and hawiz must have it back as it was. Invariant: whichever
//! way [`lend`] is left, a panic included, hawiz's group is in the foreground again, the terminal's modes are as before,
//! the cursor is shown; and the program has ended, or it is said that it may not have.
//!
//! The only room that needs `libc`: a process that is not in the foreground may only take the terminal back while the
//! signal that would stop it for that is held off, and nothing safe does that.

use super::Ended;
use super::keys::stop_this_job;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpgrp, kill_process_group, waitpid};
use rustix::termios::{OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcgetpgrp, tcsetattr, tcsetpgrp};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often it is looked whether the program has ended.
const TICK: Duration = Duration::from_millis(20);
/// What a program that is told to hang up has, before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// What a program may have left on: colours, a hidden cursor, a paste's marks, the mouse, an application's keypad.
const SOBER: &str = "\x1b[0m\x1b[?25h\x1b[?2004l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1l\x1b>";
/// And the second screen, where it could not leave that itself.
const FIRST_SCREEN: &str = "\x1b[?1047l";

/// The terminal, and what interests meanwhile.
pub struct Lend<'a> {
    pub input: BorrowedFd<'a>,
    pub output: BorrowedFd<'a>,
    /// Nothing but text may be written to it.
    pub dumb: bool,
    /// Hawiz is to leave: the program is ended.
    pub leave: &'a dyn Fn() -> bool,
}

/// Does something that would stop a process of the background.
pub(super) fn unstopped<T>(does: impl FnOnce() -> T) -> T {
    // SAFETY: the sets are initialised by sigemptyset and pthread_sigmask before they are read; only this thread's mask is
    // changed, and it is put back. Both calls may be made between fork and exec.
    unsafe {
        let mut held = std::mem::zeroed();
        let mut before = std::mem::zeroed();
        libc::sigemptyset(&mut held);
        libc::sigaddset(&mut held, libc::SIGTTOU);
        libc::pthread_sigmask(libc::SIG_BLOCK, &held, &mut before);
        let done = does();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        done
    }
}

/// The terminal as it was; dropped, it is so again.
struct Back<'a> {
    of: &'a Lend<'a>,
    modes: Termios,
    /// It is the terminal of this process's session, so there is a foreground to give away.
    foreground: bool,
}

impl Back<'_> {
    fn take(&self) {
        unstopped(|| {
            if self.foreground {
                let _ = tcsetpgrp(self.of.input, getpgrp());
            }
            let _ = tcsetattr(self.of.input, OptionalActions::Now, &self.modes);
        });
    }
}

impl Drop for Back<'_> {
    fn drop(&mut self) {
        self.take();
        if !self.of.dumb {
            let _ = rustix::io::write(self.of.output, SOBER.as_bytes());
        }
        // Typed for the program, not for the next question.
        let _ = tcflush(self.of.input, QueueSelector::IFlush);
    }
}

/// Runs `argv` in `dir` on the terminal, until it ends.
pub fn lend(of: &Lend, argv: &[OsString], dir: &Path) -> Ended {
    let Some((program, args)) = argv.split_first() else { return Ended::Never("there is nothing to run".into()) };
    let cannot = |e: io::Error| Ended::Never(format!("cannot start `{}`: {e}", program.to_string_lossy()));
    let modes = match tcgetattr(of.input) {
        Ok(modes) => modes,
        Err(e) => return cannot(e.into()),
    };
    let foreground = tcgetpgrp(of.input).is_ok_and(|group| group == getpgrp());
    let mut command = Command::new(program);
    command.args(args).current_dir(dir);
    let pipes = [of.input, of.output, of.output].map(|fd| fd.try_clone_to_owned().map(Stdio::from));
    let [Ok(input), Ok(output), Ok(errors)] = pipes else { return cannot(io::ErrorKind::OutOfMemory.into()) };
    command.stdin(input).stdout(output).stderr(errors);
    // A secret in hawiz's environment is hawiz's alone.
    let secrets = std::env::vars_os().map(|(name, _)| name);
    secrets.filter(|n| n.as_encoded_bytes().starts_with(b"HAWIZ_SECRET_")).for_each(|n| {
        command.env_remove(n);
    });
    if foreground {
        command.process_group(0);
        // SAFETY: it calls pthread_sigmask, getpid and an ioctl, all of which may be called between fork and exec, and
        // touches no memory of ours.
        unsafe {
            command.pre_exec(|| {
                let _ = unstopped(|| tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid()));
                Ok(())
            });
        }
    }
    // What was typed ahead was typed for somebody else.
    let _ = tcflush(of.input, QueueSelector::IFlush);
    let back = Back { of, modes, foreground };
    let child = match command.spawn() {
        Ok(child) => child,
        Err(e) => return cannot(e),
    };
    // It is reaped below only, so its number stays its own until then.
    let pid = Pid::from_raw(child.id() as i32).expect("a child has a number");
    let ended = follow(of, &back, pid);
    if !of.dumb && !matches!(ended, Ended::Exit(_)) {
        let _ = rustix::io::write(of.output, FIRST_SCREEN.as_bytes());
    }
    ended
}

/// Waits for the program, stops with it and goes on with it, ends it when hawiz has to leave.
fn follow(of: &Lend, back: &Back, pid: Pid) -> Ended {
    let signal = |s| match back.foreground {
        true => kill_process_group(pid, s),
        false => rustix::process::kill_process(pid, s),
    };
    let mut leaving: Option<Instant> = None;
    loop {
        match waitpid(Some(pid), WaitOptions::NOHANG | WaitOptions::UNTRACED) {
            Ok(Some((_, status))) if status.stopped() => {
                pause(of, back, pid);
                let _ = signal(Signal::CONT);
            }
            Ok(Some((_, status))) => return ended(status, leaving.is_some()),
            Ok(None) | Err(Errno::INTR) => std::thread::sleep(TICK),
            Err(e) => return Ended::Unknown(format!("its end was not seen: {e}")),
        }
        match leaving {
            None if (of.leave)() => {
                leaving = Some(Instant::now());
                let _ = signal(Signal::HUP);
                let _ = signal(Signal::CONT);
            }
            Some(since) if since.elapsed() > GRACE => {
                let _ = signal(Signal::KILL);
                // What KILL does not end is not waited for.
                if since.elapsed() > 2 * GRACE {
                    return Ended::Unknown("it does not end, not even by KILL".into());
                }
            }
            _ => {}
        }
    }
}

fn ended(status: WaitStatus, leaving: bool) -> Ended {
    match (status.exit_status(), status.terminating_signal()) {
        _ if leaving => Ended::Unknown("it was ended".into()),
        (Some(code), _) => Ended::Exit(code),
        (None, Some(signal)) => Ended::Unknown(format!("it was ended by signal {signal}")),
        (None, None) => Ended::Unknown("its end was not understood".into()),
    }
}

/// The program was stopped (^Z): so is hawiz, as one job with it; gone on with, the program has the terminal again.
fn pause(of: &Lend, back: &Back, pid: Pid) {
    let theirs = tcgetattr(of.input).ok();
    back.take();
    // Gone on with in the background, the terminal is not its own to give.
    while stop_this_job() && back.foreground && tcgetpgrp(of.input).is_ok_and(|g| g != getpgrp()) && !(of.leave)() {}
    unstopped(|| {
        if let Some(modes) = theirs {
            let _ = tcsetattr(of.input, OptionalActions::Now, &modes);
        }
        if back.foreground {
            let _ = tcsetpgrp(of.input, pid);
        }
    });
}
