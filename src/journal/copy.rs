//! Copies of a run's record: what they are made from, how they are read, and how a run goes on from one.
//!
//! Why it exists: the machine that a run was started on may be the one that fails. Invariants: a copy is whole up to its first
//! gap, and nothing behind a gap counts; a run that goes on from a copy has a new name for its station in its record, so that
//! whoever comes back with an older record is known by what it does not know; a record that knows as much is never replaced.
//!
//! A copy is the journal's own lines, each piece of them behind an empty line. A piece may be torn, missing or there twice: the
//! records are numbered, so the next number is looked for, and what is no record is passed over.

use super::disk::Disk;
use super::{JOURNAL, Journal, PLAN, lock, place, read};
use crate::event::{Event, Record};
use crate::plan::Plan;
use crate::problem::{Exit, Fatal};
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A plan that is longer than this is not copied: it would hold up the first step on every node.
const PLAN_CAP: u64 = 1 << 20;

/// The files of a run, to make copies of.
#[derive(Clone, Debug)]
pub struct Trail {
    plan: PathBuf,
    journal: PathBuf,
}

impl Trail {
    /// Of a run's directory.
    pub fn of(dir: &Path) -> Trail {
        Trail { plan: dir.join(PLAN), journal: dir.join(JOURNAL) }
    }
    /// Why no other station will be able to go on with this run.
    pub fn too_large(&self) -> Option<String> {
        let size = std::fs::metadata(&self.plan).ok()?.len();
        (size > PLAN_CAP).then(|| {
            format!(
                "the plan is {}, too large to be kept on the nodes: no other station can go on with this run",
                super::size(size)
            )
        })
    }
    pub fn plan(&self) -> Option<Vec<u8>> {
        if self.too_large().is_some() { None } else { std::fs::read(&self.plan).ok() }
    }
    /// Whole lines from there on: as many as `most` bytes hold, but one at least.
    pub fn since(&self, at: u64, most: usize) -> Vec<u8> {
        let mut text = Vec::new();
        let read = File::open(&self.journal).and_then(|mut file| {
            file.seek(SeekFrom::Start(at))?;
            file.read_to_end(&mut text)
        });
        let mut end = 0;
        // What cannot be read now is read the next time.
        for line in read.iter().flat_map(|_| text.split_inclusive(|b| *b == b'\n')) {
            if !line.ends_with(b"\n") || (end > 0 && end + line.len() > most) {
                break;
            }
            end += line.len();
        }
        text.truncate(end);
        text
    }
}

/// The names of the stations that a run has come by, in order: its own marker first, then one for each time that another went
/// on with it. Some of those left no record: what they did can only be what the nodes know.
pub fn stations(records: &[Record]) -> Vec<String> {
    let names = |r: &Record| match &r.event {
        Event::RunStarted { marker, .. } => Some(marker.clone()),
        Event::RunResumed { taken, .. } => taken.clone(),
        _ => None,
    };
    records.iter().filter_map(names).flat_map(|n| n.split(' ').map(String::from).collect::<Vec<_>>()).collect()
}

/// Whether the nodes know that the run is this station's: since it was taken over here, one of them was locked. Until then the
/// station before may have gone on with it, and this record be too old.
pub fn arrived(records: &[Record]) -> bool {
    arrived_until(records) == records.len()
}

/// Up to where a record is what the nodes know of, too.
fn arrived_until(records: &[Record]) -> usize {
    let taken = records.iter().rposition(|r| matches!(&r.event, Event::RunResumed { taken: Some(_), .. }));
    let locked = |at: &usize| records[*at..].iter().any(|r| matches!(r.event, Event::NodeLocked { .. }));
    taken.filter(|at| !locked(at)).unwrap_or(records.len())
}

/// How much a record knows: whoever went on with the run knows more than whoever was left behind.
fn knows(records: &[Record]) -> (usize, usize) {
    (stations(records).len(), records.len())
}

/// A run's record as a node kept it.
#[derive(Clone, Debug)]
pub struct Copy {
    pub plan: Plan,
    pub records: Vec<Record>,
    /// The records' own lines.
    lines: Vec<u8>,
}

impl Copy {
    /// The best of what a node kept of this run. `Err`: why there is none.
    pub fn read(run: &str, plan: &[u8], journals: &[Vec<u8>]) -> Result<Copy, Fatal> {
        let plan = read::plan_in(plan, run)?;
        let best = journals.iter().map(|j| whole(j)).max_by_key(|(records, _)| knows(records));
        let (records, lines) = best.unwrap_or_default();
        if records.is_empty() {
            return Err(Fatal::new(Exit::NotReady, format!("the copy of run `{run}` has no record")));
        }
        // What a newer hawiz wrote is refused with its version, as in a journal.
        read::records(&lines, run)?;
        read::belongs(&plan, &records, run)?;
        Ok(Copy { plan, records, lines })
    }

    pub fn knows_more_than(&self, records: &[Record]) -> bool {
        knows(&self.records) > knows(records)
    }

    /// When its last record was made, and by whom.
    pub fn last(&self) -> (&str, &str) {
        self.records.last().map_or(("", ""), |r| (&r.utc, &r.who))
    }
}

/// The records up to the first gap, and their lines.
fn whole(journal: &[u8]) -> (Vec<Record>, Vec<u8>) {
    let (mut records, mut lines): (Vec<Record>, Vec<u8>) = (Vec::new(), Vec::new());
    for line in journal.split_inclusive(|b| *b == b'\n').filter(|l| l.ends_with(b"\n")) {
        if let Ok(record) = serde_json::from_slice::<Record>(line)
            && record.seq == records.len() as u64 + 1
        {
            records.push(record);
            lines.extend_from_slice(line);
        }
    }
    (records, lines)
}

impl Journal {
    /// Makes a copy this station's own run. What is here of the run already, and knows less, is put aside; where it knows as
    /// much it is what is gone on with (`true`), unless the nodes know of no other station at all. `nodes`: the stations that
    /// they know of; `name`: of this one from now on.
    pub fn adopt(
        state: &Path,
        copy: &Copy,
        run_id: &str,
        who: &str,
        nodes: &[String],
        name: &str,
    ) -> Result<bool, Fatal> {
        let dir = place::run_dir(state, run_id)?;
        let cannot = |what: &Path, e: io::Error| place::cannot_keep(what, &e);
        let mut disk = Disk::from_env()?;
        let runs = place::runs(state, &mut disk)?;
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(cannot(&dir, e)),
            _ => {}
        }
        let _lock = lock(&dir, run_id, who)?;
        let path = dir.join(JOURNAL);
        let (mut records, mut lines) = (&copy.records, &copy.lines);
        // Without a plan it is what a crash left of adopting it before.
        let mut own = whole(&std::fs::read(&path).unwrap_or_default());
        let kept = own.0.len();
        own.0.truncate(arrived_until(&own.0));
        own.1 = own.1.split_inclusive(|b| *b == b'\n').take(own.0.len()).flatten().copied().collect();
        let mine = !own.0.is_empty() && !copy.knows_more_than(&own.0);
        if kept > 0 {
            let known = stations(&own.0);
            if mine && kept == own.0.len() && nodes.iter().all(|n| known.contains(n)) {
                return Err(Fatal::new(
                    Exit::Usage,
                    format!("run `{run_id}` is kept here already, and no copy of it knows more than that"),
                )
                .hint(format!("hawiz resume {run_id}")));
            }
            let aside = dir.join(format!("{JOURNAL}.before-{}", chrono::Utc::now().format("%Y%m%d-%H%M%S")));
            std::fs::copy(&path, &aside).map_err(|e| cannot(&aside, e))?;
            if mine {
                (records, lines) = (&own.0, &own.1);
            }
        }
        let known = stations(records);
        let unheard = nodes.iter().filter(|n| !known.contains(n)).map(String::as_str);
        let event = Event::RunResumed {
            run: run_id.into(),
            purpose: "resume".into(),
            hawiz: env!("CARGO_PKG_VERSION").into(),
            taken: Some(unheard.chain([name]).collect::<Vec<_>>().join(" ")),
        };
        let record = Record { seq: records.len() as u64 + 1, utc: super::now(), who: who.into(), event };
        let json = |e: serde_json::Error| Fatal::new(Exit::Internal, format!("the run can't be written as JSON: {e}"));
        let line = serde_json::to_vec(&record).map_err(json)?;
        let plan = serde_json::to_vec(&copy.plan).map_err(json)?;
        let text = [&lines[..], &line, b"\n"].concat();
        disk.put(&path, &text, "copy").map_err(|e| cannot(&path, e))?;
        // The plan comes last: a run directory with a plan is complete. One that is there is the same but for the ways to the
        // nodes.
        disk.put(&dir.join(PLAN), &plan, "plan").map_err(|e| cannot(&dir.join(PLAN), e))?;
        disk.sync_dir(&runs, "directory").map_err(|e| cannot(&runs, e))?;
        Ok(mine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: u64) -> String {
        format!("{{\"seq\":{seq},\"utc\":\"t\",\"who\":\"w\",\"event\":{{\"type\":\"noted\",\"text\":\"{seq}\"}}}}\n")
    }
    fn numbers(text: &str) -> Vec<u64> {
        let (records, lines) = whole(text.as_bytes());
        let again: String = records.iter().map(|r| line(r.seq)).collect();
        assert_eq!(String::from_utf8(lines), Ok(again));
        records.iter().map(|r| r.seq).collect()
    }

    #[test]
    fn a_copy_counts_up_to_its_first_gap_whatever_stands_behind_it() {
        assert_eq!(numbers(""), [0u64; 0]);
        assert_eq!(numbers(&format!("\n{}{}\n{}", line(1), line(2), line(3))), [1, 2, 3]);
        assert_eq!(numbers(&format!("\n{}\n{}\n{}", line(1), line(3), line(4))), [1]);
        assert_eq!(numbers(&format!("\n{}", line(2))), [0u64; 0]);
    }

    #[test]
    fn a_torn_piece_that_was_sent_again_is_whole() {
        let torn = &line(2)[..20];
        assert_eq!(numbers(&format!("\n{}\n{torn}", line(1))), [1]);
        assert_eq!(numbers(&format!("\n{}\n{torn}\n{}{}\n{}", line(1), line(1), line(2), line(3))), [1, 2, 3]);
        let all = format!("{}{}{}", line(1), line(2), line(3));
        for cut in 0..all.len() {
            let wanted = all[..cut].matches('\n').count();
            assert_eq!(numbers(&format!("\n{}", &all[..cut])).len(), wanted, "{cut}");
            assert_eq!(numbers(&format!("\n{}\n{all}", &all[..cut])), [1, 2, 3], "{cut}");
        }
    }

    #[test]
    fn pieces_are_whole_lines_and_one_at_least() {
        let dir = std::env::temp_dir().join(format!("hawiz-trail-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the temporary folder is writable");
        let trail = Trail::of(&dir);
        assert_eq!((trail.since(0, 10), trail.plan()), (Vec::new(), None));
        std::fs::write(dir.join(JOURNAL), "one\ntwo\nthree\nfou").expect("ours");
        std::fs::write(dir.join(PLAN), "{}").expect("ours");
        assert_eq!(trail.since(0, 8), b"one\ntwo\n");
        assert_eq!(trail.since(8, 1), b"three\n");
        assert_eq!(trail.since(14, 99), b"");
        assert_eq!((trail.plan(), trail.too_large()), (Some(b"{}".to_vec()), None));
        std::fs::write(dir.join(PLAN), vec![b' '; (1 << 20) + 1]).expect("ours");
        let said = "the plan is 1025 KiB, too large to be kept on the nodes: no other station can go on with this run";
        assert_eq!((trail.plan(), trail.too_large()), (None, Some(said.into())));
        std::fs::remove_dir_all(&dir).expect("ours");
    }
}
