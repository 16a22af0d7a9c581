//! Every byte the journal writer makes durable passes here: write, sync, rename.
//!
//! Why it exists: promises 4.5 and 4.6 (each record on disk before the next act; nothing twice, nothing lost) can only be
//! proven by killing the real process at each of these acts. Invariant: the journal writes, syncs and renames nowhere else.
//!
//! # The test hook
//!
//! Two environment variables, read when a journal is created or opened, no cost but one `if` when unset:
//!
//! * `HAWIZ_TEST_KILL_LOG=FILE` appends one line `N WHAT ACT PLACE` for each boundary passed, for example
//!   `12 record 3 step-intent write in`. Acts are `write` (places `before`, `in`: the first half of the bytes has been
//!   written by a call of its own, `after`), `sync`, `rename` and `cut` (`before`, `after`).
//! * `HAWIZ_TEST_KILL_AT=N` makes the process SIGKILL itself at the N-th boundary, counted from 1. The log line of that
//!   boundary is written before.
//!
//! So a test runs once with the log to enumerate the boundaries, then once for each N.

use crate::problem::{Exit, Fatal};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The boundaries of one process, when a test asked for them.
struct Hook {
    at: Option<u64>,
    log: Option<File>,
    passed: u64,
}

/// Writes, syncs and renames; see the module's words.
pub(super) struct Disk {
    hook: Option<Hook>,
}

impl Disk {
    pub fn from_env() -> Result<Disk, Fatal> {
        let at = std::env::var_os("HAWIZ_TEST_KILL_AT");
        let log = std::env::var_os("HAWIZ_TEST_KILL_LOG");
        if at.is_none() && log.is_none() {
            return Ok(Disk { hook: None });
        }
        let wrong = |what: &str| Fatal::new(Exit::Usage, format!("the test hook {what}"));
        let at = match at {
            None => None,
            Some(n) => Some(
                n.to_str()
                    .and_then(|n| n.parse().ok())
                    .ok_or_else(|| wrong("`HAWIZ_TEST_KILL_AT` wants the number of a boundary"))?,
            ),
        };
        let log = match log {
            None => None,
            Some(path) => Some(
                File::options()
                    .append(true)
                    .create(true)
                    .mode(0o600)
                    .open(&path)
                    .map_err(|e| wrong(&format!("`HAWIZ_TEST_KILL_LOG`: {e}")))?,
            ),
        };
        Ok(Disk { hook: Some(Hook { at, log, passed: 0 }) })
    }

    fn boundary(&mut self, what: &str, act: &str, place: &str) {
        let Some(hook) = &mut self.hook else { return };
        hook.passed += 1;
        if let Some(log) = &mut hook.log {
            // A log that can't be written shows in the test that counts its lines; the journal must not care.
            let _ = log.write_all(format!("{} {what} {act} {place}\n", hook.passed).as_bytes());
        }
        if hook.at == Some(hook.passed) {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            // SIGKILL can't be blocked, but its delivery may take a moment: nothing may happen in it.
            loop {
                std::thread::park();
            }
        }
    }

    /// One write(2) of all bytes (more only when the kernel takes fewer than given, or the hook asks for two halves).
    pub fn write(&mut self, mut file: &File, bytes: &[u8], what: &str) -> io::Result<()> {
        self.boundary(what, "write", "before");
        if self.hook.is_some() {
            let half = bytes.len() / 2;
            file.write_all(&bytes[..half])?;
            self.boundary(what, "write", "in");
            file.write_all(&bytes[half..])?;
        } else {
            file.write_all(bytes)?;
        }
        self.boundary(what, "write", "after");
        Ok(())
    }

    pub fn sync(&mut self, file: &File, what: &str) -> io::Result<()> {
        self.boundary(what, "sync", "before");
        file.sync_data()?;
        self.boundary(what, "sync", "after");
        Ok(())
    }

    /// Cuts a file off.
    pub fn cut(&mut self, file: &File, len: u64) -> io::Result<()> {
        self.boundary("torn tail", "cut", "before");
        file.set_len(len)?;
        self.boundary("torn tail", "cut", "after");
        self.sync(file, "torn tail")
    }

    /// Whether a test watches; what is only worked out for its log may be left out otherwise.
    pub fn hooked(&self) -> bool {
        self.hook.is_some()
    }

    /// Makes names in a directory durable.
    pub fn sync_dir(&mut self, dir: &Path, what: &str) -> io::Result<()> {
        self.boundary(what, "sync", "before");
        match File::open(dir)?.sync_all() {
            // Some network and FUSE file systems have no such thing; there is nothing better to do on them.
            Err(e)
                if matches!(
                    e.raw_os_error().map(rustix::io::Errno::from_raw_os_error),
                    Some(rustix::io::Errno::INVAL | rustix::io::Errno::NOTSUP | rustix::io::Errno::NOSYS)
                ) => {}
            other => other?,
        }
        self.boundary(what, "sync", "after");
        Ok(())
    }

    /// Puts a whole file in place: temporary file, sync, rename, sync of the directory. A reader sees all of it or none.
    pub fn put(&mut self, path: &Path, bytes: &[u8], what: &str) -> io::Result<()> {
        let temp = path.with_extension("tmp");
        // What lies there is the leavings of a killed process; we hold the run's lock.
        match std::fs::remove_file(&temp) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = File::options().write(true).create_new(true).mode(0o600).open(&temp)?;
        self.write(&file, bytes, what)?;
        self.sync(&file, what)?;
        self.boundary(what, "rename", "before");
        std::fs::rename(&temp, path)?;
        self.boundary(what, "rename", "after");
        self.sync_dir(path.parent().expect("a file inside a run directory has a parent"), "directory")
    }
}
