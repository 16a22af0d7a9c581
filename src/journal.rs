//! The journal: what happened in a run, on disk before anything else sees it.
//!
//! Why it exists: a failover is interrupted exactly when it matters. What a run wanted to do and did must survive the
//! process, the link and the power, so that `resume` goes on and `rollback` goes back without guessing.
//!
//! Invariant: [`Journal::append`] returns only when the record is on disk; after a failed write the journal takes nothing
//! more, so that a journal that can't be written stops a run before its next change. Records are never changed or deleted;
//! only what a crash left of a last, unfinished line (nobody has acted on it) is cut off when the run is opened again.
//!
//! ```text
//! STATE/runs/20261122-131722-activate-xcatmn2-4f3a/
//!     plan.json       the plan, written whole before the first record
//!     journal.jsonl   one Record a line
//!     lock            flock: one hawiz at a time works on a run; holds the line that says who
//! ```
//!
//! A copy of it lies on the nodes that the run works on; another station can go on from there ([`copy`]).
//!
//! Acts that make something durable pass through [`disk`], which also holds the hook by which tests kill the process at
//! each of them (`HAWIZ_TEST_KILL_AT`, `HAWIZ_TEST_KILL_LOG`). Where runs lie is told by [`place`], reading is in [`read`].

mod copy;
mod disk;
mod place;
mod read;
mod runs;
mod sitting;

pub use copy::{Copy, Trail, arrived, stations};
pub use place::{new_run_id, state_dir};
pub use read::Follow;
pub use runs::{Summary, later_run_touching, latest_failover, latest_open, runs};
pub use sitting::ended;

use crate::event::{Event, Record};
use crate::plan::Plan;
use crate::problem::{Exit, Fatal};
use disk::Disk;
use rustix::fs::{FallocateFlags, FlockOperation};
use rustix::io::Errno;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const PLAN: &str = "plan.json";
const JOURNAL: &str = "journal.jsonl";
const LOCK: &str = "lock";

/// A run's journal, open for writing. While it lives, no other hawiz can open the run.
pub struct Journal {
    run: String,
    dir: PathBuf,
    who: String,
    file: File,
    /// Bytes of whole records.
    len: u64,
    next: u64,
    disk: Disk,
    /// Why nothing is written any more.
    broken: Option<String>,
    note: Option<String>,
    /// Held, not used: the kernel gives the lock back when it is closed, however the process ends.
    _lock: File,
}

impl Journal {
    /// Makes the run's directory with its plan and an empty journal, all of it on disk.
    pub fn create(state: &Path, plan: &Plan, run_id: &str, who: &str) -> Result<Journal, Fatal> {
        let dir = place::run_dir(state, run_id)?;
        let cannot = |what: &Path, e: io::Error| place::cannot_keep(what, &e);
        let mut disk = Disk::from_env()?;
        let runs = place::runs(state, &mut disk)?;
        DirBuilder::new().mode(0o700).create(&dir).map_err(|e| cannot(&dir, e))?;
        let lock = lock(&dir, run_id, who)?;
        let bytes = serde_json::to_vec(plan)
            .map_err(|e| Fatal::new(Exit::Internal, format!("the plan can't be written as JSON: {e}")))?;
        let path = dir.join(JOURNAL);
        let file = File::options().append(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|e| cannot(&path, e))?;
        // The plan comes last: a run directory with a plan is complete.
        disk.put(&dir.join(PLAN), &bytes, "plan").map_err(|e| cannot(&dir.join(PLAN), e))?;
        disk.sync_dir(&runs, "directory").map_err(|e| cannot(&runs, e))?;
        Ok(Journal {
            run: run_id.to_string(),
            dir,
            who: who.to_string(),
            file,
            len: 0,
            next: 1,
            disk,
            broken: None,
            note: None,
            _lock: lock,
        })
    }

    /// Opens a run to go on with it: takes its lock, cuts off what a crash left of a last record (see [`Journal::note`]).
    /// No records at all: hawiz was killed before the first one, and nothing has happened.
    pub fn open(state: &Path, run_id: &str, who: &str) -> Result<(Journal, Plan, Vec<Record>), Fatal> {
        place::guard(state)?;
        let dir = place::run_dir(state, run_id)?;
        if !dir.is_dir() {
            return Err(place::no_such_run(state, run_id));
        }
        let mut disk = Disk::from_env()?;
        let lock = lock(&dir, run_id, who)?;
        let plan = read::plan(&dir, run_id)?;
        let path = dir.join(JOURNAL);
        let text = read::text(&path, run_id)?;
        let parsed = read::records(&text, run_id)?;
        read::belongs(&plan, &parsed.records, run_id)?;
        let file = File::options().append(true).create(true).mode(0o600).open(&path);
        let file = file.map_err(|e| cannot_write(&path, run_id, &e.to_string()))?;
        let mut note = None;
        if parsed.whole < text.len() {
            let cut = text.len() - parsed.whole;
            disk.cut(&file, parsed.whole as u64).map_err(|e| cannot_write(&path, run_id, &e.to_string()))?;
            note = Some(format!(
                "the journal ended in {cut} bytes of an unfinished record, as a crash leaves them; they were cut off, \
                 record {} is the last",
                parsed.records.len()
            ));
        }
        let journal = Journal {
            run: run_id.to_string(),
            dir,
            who: who.to_string(),
            file,
            len: parsed.whole as u64,
            next: parsed.records.len() as u64 + 1,
            disk,
            broken: None,
            note,
            _lock: lock,
        };
        Ok((journal, plan, parsed.records))
    }

    /// The plan and the records, for looking at. No lock; an unfinished last record is left out.
    pub fn read(state: &Path, run_id: &str) -> Result<(Plan, Vec<Record>), Fatal> {
        place::guard(state)?;
        let dir = place::run_dir(state, run_id)?;
        if !dir.is_dir() {
            return Err(place::no_such_run(state, run_id));
        }
        let plan = read::plan(&dir, run_id)?;
        let text = read::text(&dir.join(JOURNAL), run_id)?;
        Ok((plan, read::records(&text, run_id)?.records))
    }

    /// The records as they come, from the first on.
    pub fn follow(state: &Path, run_id: &str) -> Result<Follow, Fatal> {
        place::guard(state)?;
        let dir = place::run_dir(state, run_id)?;
        if !dir.is_dir() {
            return Err(place::no_such_run(state, run_id));
        }
        Ok(Follow::new(dir, run_id))
    }

    /// Who works on the run at this moment, if anybody does.
    pub fn holder(state: &Path, run_id: &str) -> Option<String> {
        holder(&place::run_dir(state, run_id).ok()?)
    }

    /// Writes one record and returns when it is on disk. An error means: change nothing more. Its exit code is
    /// `Stopped`; who knows that nothing was changed yet may say `NotReady` instead.
    pub fn append(&mut self, event: Event) -> Result<Record, Fatal> {
        let path = self.dir.join(JOURNAL);
        if let Some(why) = &self.broken {
            return Err(cannot_write(&path, &self.run, why));
        }
        let record = Record { seq: self.next, utc: now(), who: self.who.clone(), event };
        let mut line = serde_json::to_vec(&record)
            .map_err(|e| Fatal::new(Exit::Internal, format!("an event can't be written as JSON: {e}")))?;
        line.push(b'\n');
        let what =
            if self.disk.hooked() { format!("record {} {}", record.seq, kind(&record.event)) } else { String::new() };
        let done = self.disk.write(&self.file, &line, &what).and_then(|()| self.disk.sync(&self.file, &what));
        if let Err(e) = done {
            self.broken = Some(e.to_string());
            // Nobody acts on this record, so it should not be read later either; if this fails too, a torn tail is cut
            // off when the run is opened again, and an intent without an act is learnt from the node.
            let _ = self.file.set_len(self.len);
            return Err(cannot_write(&path, &self.run, &e.to_string()));
        }
        self.len += line.len() as u64;
        self.next += 1;
        Ok(record)
    }

    /// Sets room aside, so that a full disk is met before the first change. Where a file system can't do that, writing
    /// will tell.
    pub fn reserve(&mut self, bytes: u64) -> Result<(), Fatal> {
        if bytes == 0 {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.len, bytes) {
            Err(e @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => Err(Fatal::new(
                Exit::NotReady,
                format!(
                    "no room for the journal: {} wanted in `{}`: {}",
                    size(bytes),
                    self.dir.display(),
                    io::Error::from(e)
                ),
            )
            .hint("nothing was changed; make room, or name another place with `--state-dir DIR`")),
            _ => Ok(()),
        }
    }

    /// What copies of this run's record are made from.
    pub fn trail(&self) -> Trail {
        Trail::of(&self.dir)
    }
    pub fn run_id(&self) -> &str {
        &self.run
    }
    pub fn dir(&self) -> &Path {
        &self.dir
    }
    /// What opening had to mend, for a person to read.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }
}

fn cannot_write(path: &Path, run: &str, why: &str) -> Fatal {
    Fatal::new(Exit::Stopped, format!("cannot write the journal `{}`: {why}; nothing more is changed", path.display()))
        .hint(format!("when it can be written again: hawiz resume {run}"))
}

fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=9_999_999 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes.div_ceil(1024 * 1024)),
    }
}

/// The event's name as the journal writes it.
fn kind(event: &Event) -> String {
    let value = serde_json::to_value(event).unwrap_or_default();
    value["type"].as_str().unwrap_or("event").to_string()
}

/// Takes the run's lock, or says who has it.
fn lock(dir: &Path, run: &str, who: &str) -> Result<File, Fatal> {
    let path = dir.join(LOCK);
    let broken = |e: io::Error| Fatal::new(Exit::NotReady, format!("cannot lock `{}`: {e}", path.display()));
    let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(broken)?;
    // `holder` takes the lock for an instant: a few tries tell that from somebody who works.
    for again in [true, true, true, false] {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) if again => std::thread::sleep(Duration::from_millis(10)),
            Err(Errno::WOULDBLOCK) => {
                let whose = std::fs::read_to_string(&path).unwrap_or_default();
                let whose = whose.lines().next().filter(|w| !w.is_empty()).unwrap_or("somebody who has not said who");
                return Err(Fatal::new(Exit::Locked, format!("another hawiz works on run `{run}`: {whose}"))
                    .hint(format!("to watch it: hawiz show {run} --follow")));
            }
            Err(e) => return Err(broken(e.into())),
        }
    }
    // Only a courtesy to whoever is refused; the lock itself is the kernel's.
    use std::io::Write;
    let _ = file.set_len(0);
    let _ = (&file).write_all(format!("{who}\n").as_bytes());
    Ok(file)
}

/// Who holds the lock in this run directory.
fn holder(dir: &Path) -> Option<String> {
    let path = dir.join(LOCK);
    let file = File::open(&path).ok()?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => {
            let whose = std::fs::read_to_string(&path).unwrap_or_default();
            Some(whose.lines().next().filter(|w| !w.is_empty()).unwrap_or("somebody").to_string())
        }
        _ => None,
    }
}
