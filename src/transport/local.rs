//! This machine's own `sh`, and how any child gets its three pipes.
//!
//! Why it exists: the only room that starts a process for a node. Invariant: every descriptor of ours is close-on-exec,
//! the child's own ends are closed here as soon as it has them, and it leads a session of its own.

use super::Stream;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;

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
    // A secret in hawiz's environment is hawiz's alone.
    let secrets =
        std::env::vars_os().map(|(name, _)| name).filter(|n| n.as_encoded_bytes().starts_with(b"HAWIZ_SECRET_"));
    let command = secrets.fold(duct::cmd(program, args), |c, name| c.env_remove(name));
    let child = command
        .dir(cwd)
        .stdin_file(File::from(child_in))
        .stdout_file(File::from(child_out))
        .stderr_file(File::from(child_err))
        .before_spawn(|command| {
            // SAFETY: setsid is async-signal-safe and touches no memory of ours.
            unsafe {
                command.pre_exec(|| {
                    rustix::process::setsid()?;
                    Ok(())
                });
            }
            Ok(())
        })
        .unchecked()
        .start()?;
    Ok(Stream { input: Some(input), output, errors, child })
}
