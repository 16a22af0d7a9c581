//! This machine's own `sh`, and how any child gets its three pipes.
//!
//! Why it exists: the only room that starts a process for a node. Invariant: every descriptor of ours is close-on-exec,
//! the child's own ends are closed here as soon as it has them, and it leads a session of its own; no secret is in its
//! environment.

use super::{End, Stream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a child may take to end by itself after its stdin was closed.
const GRACE: Duration = Duration::from_millis(200);

/// A child that leads a session of its own.
pub(super) struct Child(duct::Handle);

impl Child {
    pub(super) fn ended(&self) -> Option<String> {
        self.status().ok().flatten().map(|s| s.to_string())
    }
    fn status(&self) -> io::Result<Option<std::process::ExitStatus>> {
        Ok(self.0.try_wait()?.map(|ended| ended.status))
    }
    /// Ends it: by itself, by TERM, by KILL.
    pub(super) fn end(&self) {
        if matches!(self.0.wait_timeout(GRACE), Ok(None)) {
            self.signal(Signal::TERM);
            if matches!(self.0.wait_timeout(GRACE), Ok(None)) {
                self.signal(Signal::KILL);
                let _ = self.0.wait_timeout(GRACE);
            }
        }
    }
    fn signal(&self, signal: Signal) {
        // The child is not reaped yet, so its pid cannot be anybody else's; it leads its group.
        if let Some(pid) = self.0.pids().first().and_then(|p| Pid::from_raw(*p as i32)) {
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }
}

/// A program whose input and output are one socket, such as a ProxyCommand.
pub(super) struct Piped(Child);

impl Drop for Piped {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Starts a line of the user's own ssh_config as `ssh` does: by the shell, `far` being its standard input and output.
pub(super) fn piped(command: &str, far: OwnedFd) -> io::Result<Piped> {
    fcntl_setfl(&far, fcntl_getfl(&far)? - OFlags::NONBLOCK)?;
    let input = far.try_clone()?;
    let line = format!("exec {command}");
    let command = lonely(duct::cmd!("sh", "-c", line))
        .stdin_file(File::from(input))
        .stdout_file(File::from(far))
        .stderr_null()
        .unchecked();
    Ok(Piped(Child(command.start()?)))
}

pub fn open() -> io::Result<Stream> {
    start(OsStr::new("sh"), &[], Path::new("/"))
}

pub(super) fn start(program: &OsStr, args: &[String], cwd: &Path) -> io::Result<Stream> {
    let (child_in, input) = pipe_with(PipeFlags::CLOEXEC)?;
    let (output, child_out) = pipe_with(PipeFlags::CLOEXEC)?;
    let (errors, child_err) = pipe_with(PipeFlags::CLOEXEC)?;
    for ours in [&input, &output, &errors] {
        fcntl_setfl(ours, fcntl_getfl(ours)? | OFlags::NONBLOCK)?;
    }
    let child = lonely(duct::cmd(program, args))
        .dir(cwd)
        .stdin_file(File::from(child_in))
        .stdout_file(File::from(child_out))
        .stderr_file(File::from(child_err))
        .unchecked()
        .start()?;
    Ok(Stream { input: Some(input), output, errors, end: End::Child(Box::new(Child(child))) })
}

/// Without a terminal, leading a session of its own, and without our secrets: a secret in hawiz's environment is hawiz's
/// alone.
fn lonely(command: duct::Expression) -> duct::Expression {
    let secrets =
        std::env::vars_os().map(|(name, _)| name).filter(|n| n.as_encoded_bytes().starts_with(b"HAWIZ_SECRET_"));
    secrets.fold(command, |c, name| c.env_remove(name)).before_spawn(|command| {
        // SAFETY: setsid is async-signal-safe and touches no memory of ours.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                Ok(())
            });
        }
        Ok(())
    })
}

/// What a program has said, and how it ended.
pub(super) struct Said {
    /// `None`: killed by a signal.
    pub code: Option<i32>,
    pub output: Vec<u8>,
    pub errors: Vec<u8>,
}

/// Runs a short-lived program with nothing on its stdin; `None` if it has not ended in time, when it is killed with all of
/// its group. What it leaves behind is not waited for.
pub(super) fn ask(program: &OsStr, args: &[String], deadline: Duration) -> io::Result<Option<Said>> {
    let mut stream = start(program, args, Path::new("."))?;
    stream.input = None;
    let until = Instant::now() + deadline;
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    loop {
        let over = [(&stream.output, &mut output), (&stream.errors, &mut errors)].map(|(fd, into)| drain(fd, into));
        // Looked at after the pipes were: a child that has ended has said everything before.
        let End::Child(child) = &stream.end else { unreachable!("start makes a child") };
        if let Some(status) = child.status()? {
            let _ = [(&stream.output, &mut output), (&stream.errors, &mut errors)].map(|(fd, into)| drain(fd, into));
            return Ok(Some(Said { code: status.code(), output, errors }));
        }
        if Instant::now() >= until {
            child.signal(Signal::KILL);
            return Ok(None);
        }
        let mut waits: Vec<PollFd> = [&stream.output, &stream.errors]
            .into_iter()
            .zip(over)
            .filter(|(_, over)| !over)
            .map(|(fd, _)| PollFd::new(fd, PollFlags::IN))
            .collect();
        let pause = Timespec { tv_sec: 0, tv_nsec: if waits.is_empty() { 1_000_000 } else { 20_000_000 } };
        let _ = poll(&mut waits, Some(&pause));
    }
}

/// Reads what is there; `true` at the end.
fn drain(fd: &OwnedFd, into: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 8192];
    loop {
        match rustix::io::read(fd, &mut buffer) {
            Ok(0) => return true,
            Ok(n) => into.extend_from_slice(&buffer[..n]),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return false,
            Err(_) => return true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, milliseconds: u64) -> Option<Said> {
        ask(OsStr::new("sh"), &["-c".into(), script.into()], Duration::from_millis(milliseconds)).expect("started")
    }

    #[test]
    fn a_program_that_is_asked_has_no_input_and_no_terminal() {
        let said = sh("cat; echo out; echo err >&2; exit 3", 60_000).expect("ended");
        assert_eq!((said.code, &said.output[..], &said.errors[..]), (Some(3), &b"out\n"[..], &b"err\n"[..]));
        assert_ne!(sh(": </dev/tty", 60_000).expect("ended").code, Some(0));
        assert_eq!(sh("kill -9 $$", 60_000).expect("ended").code, None);
        let much = sh(
            "i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done",
            60_000,
        );
        assert_eq!(much.expect("ended").output.len(), 123_000);
    }

    #[test]
    fn what_does_not_end_in_time_is_killed_and_what_it_leaves_behind_is_not_waited_for() {
        let begun = Instant::now();
        assert!(sh("sleep 60 & sleep 60", 200).is_none());
        assert_eq!(sh("sleep 5 & echo done", 60_000).expect("ended").output, b"done\n");
        assert!(begun.elapsed() < Duration::from_secs(30));
        let missing = ask(OsStr::new("/does/not/exist"), &[], Duration::from_secs(1)).err().expect("no such program");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
