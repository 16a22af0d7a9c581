//! A byte stream to a node's `sh`, and nothing more.
//!
//! Why it exists: this machine, a container behind `via` and a host behind SSH differ only in how that stream is opened;
//! everything else is one protocol ([`crate::session`]).
//!
//! Invariant: a transport never prompts, prints, retries, or knows what a step is. Its child has no terminal: it is in a
//! session of its own (so that neither ^C nor a password prompt can reach it) and its stdin is a pipe.

pub mod local;
pub mod ssh;
pub mod via;

use crate::plan::{How, Node};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, Signal};
use std::io;
use std::path::Path;
use std::time::Duration;

/// An open stream. Our ends of the pipes do not block.
pub struct Stream {
    /// `None` after the pipe was closed.
    pub input: Option<OwnedFd>,
    pub output: OwnedFd,
    pub errors: OwnedFd,
    child: duct::Handle,
}

/// How long a child may take to end by itself after its stdin was closed.
const GRACE: Duration = Duration::from_millis(200);

impl Stream {
    /// How the child ended, if it has; for saying why a link was lost.
    pub fn ended(&self) -> Option<String> {
        match self.child.try_wait() {
            Ok(Some(output)) => Some(output.status.to_string()),
            _ => None,
        }
    }
    fn signal(&self, signal: Signal) {
        // The child is not reaped yet, so its pid cannot be anybody else's; it leads its group.
        if let Some(pid) = self.child.pids().first().and_then(|p| Pid::from_raw(*p as i32)) {
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.input = None;
        if matches!(self.child.wait_timeout(GRACE), Ok(None)) {
            self.signal(Signal::TERM);
            if matches!(self.child.wait_timeout(GRACE), Ok(None)) {
                self.signal(Signal::KILL);
                let _ = self.child.wait_timeout(GRACE);
            }
        }
    }
}

/// Opens the stream to a node; relative paths of a `via` are below `base`. `Err` is a fragment for "cannot reach `n`: …".
pub fn open(node: &Node, base: &Path) -> Result<Stream, String> {
    let said = |what: String| move |e: io::Error| format!("cannot start {what}: {e}");
    match &node.how {
        How::Local => local::open().map_err(said("`sh`".into())),
        How::Via(argv) => via::open(argv, base).map_err(said(format!("`{}`", argv.join(" ")))),
        How::Ssh => Err("only SSH would reach it, which this version does not speak".into()),
    }
}
