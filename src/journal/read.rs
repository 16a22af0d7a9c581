//! Reading journals: older formats, torn tails, and those that are still being written.
//!
//! Why it exists: a journal is read by other binaries than the one that wrote it (an upgrade between run and resume), and
//! while it is written (`show --follow`). Invariant: what is not understood is refused with the version to use, never
//! guessed; only a last line that a crash left unfinished is passed over.

use super::{JOURNAL, PLAN, holder};
use crate::event::{Event, FORMAT, Record};
use crate::plan::{self, Plan};
use crate::problem::{Exit, Fatal};
use serde_json::Value;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn newer(run: &str, hawiz: Option<&str>, what: &str, format: u64, ours: u32) -> Fatal {
    let own = env!("CARGO_PKG_VERSION");
    let by = hawiz.unwrap_or("a newer version");
    let fatal = Fatal::new(
        Exit::Usage,
        format!(
            "run `{run}` was written by hawiz {by} in {what} format {format}; this is hawiz {own}, which reads formats up \
             to {ours}"
        ),
    );
    match hawiz {
        Some(version) => fatal.hint(format!("use hawiz {version} or newer for this run")),
        None => fatal.hint("use the hawiz that wrote it for this run"),
    }
}

fn damaged(run: &str, why: String) -> Fatal {
    Fatal::new(Exit::Unknown, format!("the record of run `{run}` is damaged: {why}"))
        .hint(format!("what it did can only be learnt from the nodes; to read it by eye: runs/{run}/{JOURNAL}"))
}

fn unreadable(path: &Path, e: &io::Error) -> Fatal {
    Fatal::new(Exit::NotReady, format!("cannot read `{}`: {e}", path.display()))
}

/// The run's plan.
pub(super) fn plan(dir: &Path, run: &str) -> Result<Plan, Fatal> {
    let path = dir.join(PLAN);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(Fatal::new(
                Exit::Usage,
                format!("run `{run}` never began: hawiz was stopped before it had written the plan"),
            )
            .hint("nothing was changed by it; begin anew"));
        }
        Err(e) => return Err(unreadable(&path, &e)),
    };
    plan_in(&bytes, run)
}

/// A plan from its bytes.
pub(super) fn plan_in(bytes: &[u8], run: &str) -> Result<Plan, Fatal> {
    // The format before the rest: a newer plan need not look like ours.
    #[derive(serde::Deserialize)]
    struct Head {
        format: u64,
        #[serde(default)]
        hawiz: Option<String>,
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|e| damaged(run, format!("{PLAN}: {e}")))?;
    if head.format > u64::from(plan::FORMAT) {
        return Err(newer(run, head.hawiz.as_deref(), "plan", head.format, plan::FORMAT));
    }
    serde_json::from_slice(bytes).map_err(|e| damaged(run, format!("{PLAN}: {e}")))
}

/// The journal's bytes. None yet is an empty one.
pub(super) fn text(path: &Path, run: &str) -> Result<Vec<u8>, Fatal> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(bytes),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Err(damaged(run, format!("there is a plan, but no {JOURNAL}")))
        }
        Err(e) => Err(unreadable(path, &e)),
    }
}

/// Records, and how many bytes they take from the start.
pub(super) struct Parsed {
    pub records: Vec<Record>,
    pub whole: usize,
}

/// All whole records. The last line may be unfinished: without its end, or (as some file systems leave it after a power
/// cut) with its end but no JSON before it.
pub(super) fn records(text: &[u8], run: &str) -> Result<Parsed, Fatal> {
    let mut parsed = Parsed { records: Vec::new(), whole: 0 };
    let mut rest = text;
    while let Some(end) = rest.iter().position(|b| *b == b'\n') {
        let (line, behind) = (&rest[..end], &rest[end + 1..]);
        match record(line, parsed.records.len() as u64 + 1, run) {
            Ok(record) => parsed.records.push(record),
            Err(Bad::NoJson(_)) if behind.is_empty() => break,
            Err(Bad::NoJson(why)) => {
                return Err(damaged(run, format!("{JOURNAL}, line {}: {why}", parsed.records.len() + 1)));
            }
            Err(Bad::Fatal(fatal)) => return Err(fatal),
        }
        rest = behind;
        parsed.whole += end + 1;
    }
    Ok(parsed)
}

enum Bad {
    /// No JSON at all: torn, or damaged.
    NoJson(String),
    Fatal(Fatal),
}

/// One line as the record with this number.
fn record(line: &[u8], seq: u64, run: &str) -> Result<Record, Bad> {
    let record: Record = match serde_json::from_slice(line) {
        Ok(record) => record,
        Err(e) => return Err(not_ours(line, seq, run, &e)),
    };
    if let Event::RunStarted { format, hawiz, .. } = &record.event
        && *format > FORMAT
    {
        return Err(Bad::Fatal(newer(run, Some(hawiz), "journal", u64::from(*format), FORMAT)));
    }
    if record.seq != seq {
        let why = format!("{JOURNAL}: record {seq} is missing, {} stands there", record.seq);
        return Err(Bad::Fatal(damaged(run, why)));
    }
    Ok(record)
}

/// Why a line is no record of ours: a newer format, or damage.
fn not_ours(line: &[u8], seq: u64, run: &str, e: &serde_json::Error) -> Bad {
    let Ok(value) = serde_json::from_slice::<Value>(line) else { return Bad::NoJson(e.to_string()) };
    let event = &value["event"];
    if let Some(format) = event["format"].as_u64()
        && format > u64::from(FORMAT)
    {
        return Bad::Fatal(newer(run, event["hawiz"].as_str(), "journal", format, FORMAT));
    }
    Bad::Fatal(damaged(run, format!("{JOURNAL}, line {seq}: {e}; a newer hawiz may have written it")))
}

/// A plan that is not the one the run was started with must not be resumed.
pub(super) fn belongs(plan: &Plan, records: &[Record], run: &str) -> Result<(), Fatal> {
    match records.first().map(|r| &r.event) {
        Some(Event::RunStarted { plan: digest, .. }) if *digest != plan.digest => {
            Err(damaged(run, format!("{PLAN} has the digest {}, but {digest} was started", plan.digest)))
        }
        _ => Ok(()),
    }
}

/// The records of a run as they come; see [`Follow::next`].
pub struct Follow {
    dir: PathBuf,
    run: String,
    /// Where the first line that was not read begins.
    at: u64,
    seq: u64,
    ready: VecDeque<Record>,
    finished: bool,
    abandoned: bool,
}

impl Follow {
    pub(super) fn new(dir: PathBuf, run: &str) -> Follow {
        Follow { dir, run: run.to_string(), at: 0, seq: 1, ready: VecDeque::new(), finished: false, abandoned: false }
    }

    /// Waits for the next record, looking every 100 ms. `None`: the run has finished, nobody works on it any more (then
    /// [`Follow::abandoned`]), or `stop` said so.
    pub fn next(&mut self, mut stop: impl FnMut() -> bool) -> Option<Result<Record, Fatal>> {
        let mut asked = Instant::now();
        let mut nobody = false;
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Some(Ok(record));
            }
            if let Err(fatal) = self.fetch() {
                return Some(Err(fatal));
            }
            if !self.ready.is_empty() {
                continue;
            }
            // A resumed run goes on behind its first end, so only an end with nothing behind it is one.
            if self.finished || nobody {
                self.abandoned = !self.finished;
                return None;
            }
            if stop() {
                return None;
            }
            // Asked for seldom; and after a no, the file is read once more: the last words may just have been written.
            if asked.elapsed() >= Duration::from_secs(1) {
                asked = Instant::now();
                nobody = holder(&self.dir).is_none();
                if nobody {
                    continue;
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The run was interrupted: it has no end, and nobody works on it.
    pub fn abandoned(&self) -> bool {
        self.abandoned
    }

    /// Reads whole new lines. An unfinished one is read again next time; a resume may cut it off meanwhile.
    fn fetch(&mut self) -> Result<(), Fatal> {
        let path = self.dir.join(JOURNAL);
        let mut text = Vec::new();
        let read = File::open(&path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.at))?;
            file.read_to_end(&mut text)
        });
        match read {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(unreadable(&path, &e)),
        }
        let mut rest = &text[..];
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let record = match record(&rest[..end], self.seq, &self.run) {
                Ok(record) => record,
                Err(Bad::NoJson(_)) if rest.len() == end + 1 => return Ok(()),
                Err(Bad::NoJson(why)) => {
                    return Err(damaged(&self.run, format!("{JOURNAL}, line {}: {why}", self.seq)));
                }
                Err(Bad::Fatal(fatal)) => return Err(fatal),
            };
            self.finished = matches!(record.event, Event::RunFinished { .. });
            self.ready.push_back(record);
            self.seq += 1;
            self.at += end as u64 + 1;
            rest = &rest[end + 1..];
        }
        Ok(())
    }
}
