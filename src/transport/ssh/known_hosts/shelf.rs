//! The known_hosts files of a run, each set of them read once.
//!
//! Why it exists: two hundred nodes that log in at the same time must not hold two hundred copies of one file. Invariant: what is
//! handed out is what the files hold: their size, times and inode are asked before each use, and a change is read.

use super::KnownHosts;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What changes when a file does: device, inode, size, time of change; `None`: it is not there.
type Stamp = Option<(u64, u64, u64, i64, i64)>;
/// Files in their order, and what `RevokedHostKeys` names.
type Set = (Vec<PathBuf>, Option<PathBuf>);

fn stamp(file: &Path) -> Stamp {
    let meta = std::fs::metadata(file).ok()?;
    Some((meta.dev(), meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec()))
}

/// What a set held, and its files when it was read.
type Kept = (Vec<Stamp>, Arc<KnownHosts>);

#[derive(Debug, Default)]
pub struct Shelf(Mutex<BTreeMap<Set, Kept>>);

impl Shelf {
    /// As [`KnownHosts::read`], then [`KnownHosts::revoke`].
    pub fn of(&self, files: Vec<PathBuf>, revoked: Option<&Path>) -> Result<Arc<KnownHosts>, String> {
        // Asked before the reading: what is changed meanwhile is read again the next time.
        let stamps: Vec<Stamp> = files.iter().map(PathBuf::as_path).chain(revoked).map(stamp).collect();
        let mut sets = self.0.lock().expect("nobody panics while holding it");
        let set = (files, revoked.map(Path::to_path_buf));
        if let Some((then, known)) = sets.get(&set)
            && *then == stamps
        {
            return Ok(Arc::clone(known));
        }
        let mut known = KnownHosts::read(&set.0);
        if let Some(file) = revoked {
            known.revoke(file)?;
        }
        let known = Arc::new(known);
        sets.insert(set, (stamps, Arc::clone(&known)));
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_once_and_again_when_it_has_changed() {
        let dir = std::env::temp_dir().join(format!("hawiz-shelf-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary folder");
        let file = dir.join("known_hosts");
        let shelf = Shelf::default();
        let of = || shelf.of(vec![file.clone()], None).expect("nothing is revoked");
        let none = of();
        assert!(Arc::ptr_eq(&none, &of()));
        std::fs::write(&file, "not a key\n").expect("our own folder");
        let one = of();
        assert_eq!((none.bad.len(), one.bad.len()), (0, 1));
        assert!(Arc::ptr_eq(&one, &of()));
        super::super::add(&file, "another one").expect("our own folder");
        assert_eq!(of().bad.len(), 2);
        std::fs::remove_dir_all(&dir).expect("our own folder");
    }
}
