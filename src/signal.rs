//! Signals: a person's ^C and a dropped connection, as something the engine asks for between acts.
//!
//! Why it exists: a failover that dies in the middle of a step is worse than one that is slow to stop. One ^C stops after
//! this step, two break it off, TERM, HUP and QUIT leave at once with a run that can be resumed. Invariant: no signal ends
//! the process by itself; nothing but counting happens in a handler (all of it is signal-hook's, there is no unsafe here).
//!
//! Handled, not ignored: a child would inherit *ignored*, but gets a handled signal's default back. ^Z in a step does
//! nothing; at a prompt the prompter may ask [`Signals::take_suspend`] and call [`suspend`]. A closed screen (SIGPIPE) is
//! an error of that write. Who started hawiz under `nohup` has said what a hang-up is to mean: it stays ignored then.

use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// How the engine is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// One ^C: when the running step has ended.
    AfterStep,
    /// A second ^C: break the step off and record what is known of it.
    BreakOff,
    /// TERM, HUP, QUIT: leave at once; the run can be resumed.
    Leave,
}

/// What the engine knows of signals. Tests script it.
pub trait Interrupts {
    /// What was asked for, the strongest; stays until cleared.
    fn pending(&self) -> Option<Stop>;
    /// The name of the signal behind [`Interrupts::pending`], for the record.
    fn name(&self) -> &'static str;
    /// A ^C was answered (as *quit* at a prompt): it asks for nothing any more. Leaving is never cleared.
    fn clear_interrupt(&self);
}

/// The signals of this process.
pub struct Signals {
    /// A byte for each ^C: they must be counted, also when two come between looks.
    interrupts: OwnedFd,
    counted: AtomicU32,
    /// A byte for any signal that asks for something, to end a poll.
    wake: OwnedFd,
    leave: Arc<AtomicBool>,
    /// The number of the signal that asked to leave, 0 for none.
    which: Arc<AtomicUsize>,
    suspend: Arc<AtomicBool>,
}

impl Signals {
    /// Takes over the signals of the process; once, before any thread.
    pub fn install() -> io::Result<Signals> {
        use signal_hook::{flag, low_level::pipe};
        let (interrupts, write_interrupt) = pair()?;
        let (wake, write_wake) = pair()?;
        let leave = Arc::new(AtomicBool::new(false));
        let which = Arc::new(AtomicUsize::new(0));
        let suspend = Arc::new(AtomicBool::new(false));

        pipe::register_raw(SIGINT, write_interrupt)?;
        for signal in [SIGTERM, SIGHUP, SIGQUIT] {
            if signal == SIGHUP && ignored_at_start(SIGHUP) {
                continue;
            }
            flag::register_usize(signal, Arc::clone(&which), signal as usize)?;
            flag::register(signal, Arc::clone(&leave))?;
            pipe::register_raw(signal, write_wake.try_clone()?)?;
        }
        flag::register(SIGTSTP, Arc::clone(&suspend))?;
        // Registered after what they announce, so that whoever is woken finds it.
        pipe::register_raw(SIGTSTP, write_wake.try_clone()?)?;
        pipe::register_raw(SIGINT, write_wake)?;
        flag::register(SIGPIPE, Arc::new(AtomicBool::new(false)))?;
        Ok(Signals { interrupts, counted: AtomicU32::new(0), wake, leave, which, suspend })
    }

    /// Becomes readable with every signal that asks for something; [`Signals::drain`] it then.
    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Empties the wake pipe. What was asked for stays pending.
    pub fn drain(&self) {
        empty(&self.wake);
    }

    /// Whether a ^Z (or `kill -TSTP`) came since it was asked last.
    pub fn take_suspend(&self) -> bool {
        self.suspend.swap(false, Ordering::SeqCst)
    }

    fn interrupts(&self) -> u32 {
        let new = empty(&self.interrupts);
        self.counted.fetch_add(new, Ordering::SeqCst) + new
    }
}

impl Interrupts for Signals {
    fn pending(&self) -> Option<Stop> {
        if self.leave.load(Ordering::SeqCst) {
            return Some(Stop::Leave);
        }
        match self.interrupts() {
            0 => None,
            1 => Some(Stop::AfterStep),
            _ => Some(Stop::BreakOff),
        }
    }

    fn name(&self) -> &'static str {
        match self.which.load(Ordering::SeqCst) as i32 {
            SIGTERM => "SIGTERM",
            SIGHUP => "SIGHUP",
            SIGQUIT => "SIGQUIT",
            _ => "SIGINT",
        }
    }

    fn clear_interrupt(&self) {
        self.interrupts();
        self.counted.store(0, Ordering::SeqCst);
    }
}

/// Stops the process group as the terminal's ^Z would, and returns when it was continued. `false`: nobody could continue
/// it (no shell above it with job control), so nothing was done.
pub fn suspend() -> bool {
    if !somebody_can_continue() {
        return false;
    }
    // The whole group, as the terminal does it: a shell waits for `hawiz | tee` until all of it has stopped.
    rustix::process::kill_current_process_group(rustix::process::Signal::STOP).is_ok()
}

/// The kernel's rule for *orphaned* groups: some member's parent is in another group of the same session. Seen from here
/// upwards. Read from `/proc`, where a process of an outer PID namespace is number 0: a container's entry is led by one.
fn somebody_can_continue() -> bool {
    let Some(mine) = Family::of("self") else { return false };
    let mut parent = mine.parent;
    while parent > 0 {
        let Some(theirs) = Family::of(&parent.to_string()) else { return false };
        if theirs.group != mine.group {
            return theirs.session == mine.session;
        }
        parent = theirs.parent;
    }
    false
}

/// Where a process stands for job control.
struct Family {
    parent: i32,
    group: i32,
    session: i32,
}

impl Family {
    fn of(process: &str) -> Option<Family> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name in brackets may hold anything; behind it come the state, then these three.
        let mut rest = stat.rsplit_once(')')?.1.split_whitespace().skip(1).map(|n| n.parse().ok());
        Some(Family { parent: rest.next()??, group: rest.next()??, session: rest.next()?? })
    }
}

/// Whether this process was started with the signal ignored.
fn ignored_at_start(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    mask.and_then(|m| u64::from_str_radix(m.trim(), 16).ok()).is_some_and(|m| m >> (signal - 1) & 1 == 1)
}

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::pipe::{PipeFlags, pipe_with};
    Ok(pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
}

/// Takes all bytes out of a pipe; how many there were.
fn empty(fd: &OwnedFd) -> u32 {
    let mut all = 0;
    let mut buffer = [0u8; 64];
    loop {
        match rustix::io::read(fd, &mut buffer) {
            Ok(0) => return all,
            Ok(n) => all += n as u32,
            Err(Errno::INTR) => {}
            Err(_) => return all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    /// Runs `story` in a process of its own (this test program, only the test `name`): handlers stay with a process, and
    /// those of the test program must not be touched.
    fn alone(name: &str, how: &str, story: impl FnOnce()) {
        if std::env::var_os("HAWIZ_TEST_ALONE").is_some() {
            return story();
        }
        let me = std::env::current_exe().expect("a running program has a path");
        let script = format!("{how} \"$0\" --exact signal::tests::{name} --test-threads 1");
        let mut child = Command::new("sh");
        child.args(["-c", &script]).arg(me).env("HAWIZ_TEST_ALONE", "1");
        // Whoever runs the tests may have been started with signals ignored (nohup), which is inherited.
        // SAFETY: signal is async-signal-safe and touches no memory of ours.
        unsafe {
            std::os::unix::process::CommandExt::pre_exec(&mut child, || {
                for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, libc::SIGPIPE] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                Ok(())
            });
        }
        let child = child.output();
        let child = child.expect("sh can be started");
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"), "the test `{name}` was not found");
    }
    fn send(signal: i32) {
        signal_hook::low_level::raise(signal).expect("a process can signal itself");
    }
    fn woken(signals: &Signals) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let wake = signals.wake_fd();
        let mut fds = [PollFd::new(&wake, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).expect("poll of a pipe") == 1
    }

    #[test]
    fn one_interrupt_stops_after_the_step_and_two_break_it_off() {
        alone("one_interrupt_stops_after_the_step_and_two_break_it_off", "exec", || {
            let signals = Signals::install().expect("installed");
            assert_eq!(signals.pending(), None);
            assert!(!woken(&signals));
            send(SIGINT);
            assert!(woken(&signals));
            signals.drain();
            assert!(!woken(&signals));
            assert_eq!((signals.pending(), signals.name()), (Some(Stop::AfterStep), "SIGINT"));
            send(SIGINT);
            assert_eq!(signals.pending(), Some(Stop::BreakOff));
            signals.clear_interrupt();
            assert_eq!(signals.pending(), None);
            // Two at once, before anybody looks.
            send(SIGINT);
            send(SIGINT);
            assert_eq!(signals.pending(), Some(Stop::BreakOff));
        });
    }

    #[test]
    fn a_hang_up_leaves_and_an_answered_interrupt_does_not_change_that() {
        alone("a_hang_up_leaves_and_an_answered_interrupt_does_not_change_that", "exec", || {
            let signals = Signals::install().expect("installed");
            for (signal, name) in [(SIGHUP, "SIGHUP"), (SIGTERM, "SIGTERM"), (SIGQUIT, "SIGQUIT")] {
                send(signal);
                assert!(woken(&signals));
                signals.drain();
                send(SIGINT);
                signals.clear_interrupt();
                assert_eq!((signals.pending(), signals.name()), (Some(Stop::Leave), name));
            }
        });
    }

    #[test]
    fn under_nohup_a_hang_up_means_nothing() {
        alone("under_nohup_a_hang_up_means_nothing", "trap '' HUP; exec", || {
            let signals = Signals::install().expect("installed");
            send(SIGHUP);
            assert_eq!((signals.pending(), woken(&signals)), (None, false));
        });
    }

    #[test]
    fn ctrl_z_and_a_closed_screen_neither_stop_nor_end_the_process() {
        alone("ctrl_z_and_a_closed_screen_neither_stop_nor_end_the_process", "exec", || {
            let signals = Signals::install().expect("installed");
            send(SIGTSTP);
            assert!(signals.take_suspend());
            assert!(!signals.take_suspend());
            let (read, write) = pair().expect("a pipe");
            drop(read);
            assert_eq!(rustix::io::write(&write, b"x"), Err(Errno::PIPE));
            assert_eq!(signals.pending(), None);
        });
    }

    #[test]
    fn children_get_the_defaults_back() {
        alone("children_get_the_defaults_back", "exec", || {
            let _signals = Signals::install().expect("installed");
            for name in ["INT", "TERM", "HUP", "QUIT", "PIPE"] {
                let child = Command::new("sh").args(["-c", &format!("kill -{name} $$; sleep 5")]).status();
                assert!(child.expect("sh can be started").signal().is_some(), "{name} is ignored by children");
            }
        });
    }

    #[test]
    fn where_nobody_could_continue_it_nothing_is_suspended() {
        alone("where_nobody_could_continue_it_nothing_is_suspended", "exec setsid -w", || {
            let mine = Family::of("self").expect("a process can read its own state");
            let parent = rustix::process::getppid().map_or(0, |p| p.as_raw_nonzero().get());
            assert_eq!(mine.parent, parent);
            assert!(!suspend());
        });
    }
}
