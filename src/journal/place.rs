//! Where runs are kept, and who may write there.
//!
//! Why it exists: a journal decides what is run as root on a cluster, so nobody else may have a pen. Invariant: made
//! directories are 0700, files 0600, and the mode of what exists is never changed; looking for the place makes nothing.

use super::disk::Disk;
use crate::problem::{Exit, Fatal};
use std::ffi::OsString;
use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The state directory: the flag, else `$HAWIZ_STATE_DIR`, else `/var/lib/hawiz` for root and
/// `$XDG_STATE_HOME/hawiz` (by default `~/.local/state/hawiz`) for others. Absolute. Creates nothing; as root, refuses one
/// that others can write.
pub fn state_dir(flag: Option<&Path>) -> Result<PathBuf, Fatal> {
    let root = rustix::process::geteuid().is_root();
    let dir = choose(flag, root, &|name| std::env::var_os(name), crate::who::home)?;
    let dir = std::path::absolute(&dir)
        .map_err(|e| Fatal::new(Exit::Usage, format!("cannot tell where `{}` is: {e}", dir.display())))?;
    guard(&dir)?;
    Ok(dir)
}

fn choose(
    flag: Option<&Path>,
    root: bool,
    env: &dyn Fn(&str) -> Option<OsString>,
    home: impl FnOnce() -> Option<PathBuf>,
) -> Result<PathBuf, Fatal> {
    let set = |name: &str| env(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(dir) = flag {
        return Ok(dir.to_path_buf());
    }
    if let Some(dir) = set("HAWIZ_STATE_DIR") {
        return Ok(dir);
    }
    if root {
        return Ok(PathBuf::from("/var/lib/hawiz"));
    }
    // The XDG specification: a relative path is to be ignored.
    if let Some(dir) = set("XDG_STATE_HOME").filter(|d| d.is_absolute()) {
        return Ok(dir.join("hawiz"));
    }
    match set("HOME").filter(|d| d.is_absolute()).or_else(home) {
        Some(home) => Ok(home.join(".local/state/hawiz")),
        None => Err(Fatal::new(Exit::Usage, "no place to keep runs: neither `$HOME` nor a home in /etc/passwd")
            .hint("name one with `--state-dir DIR`")),
    }
}

/// As root: nobody else may be able to write the directory, or to put another in its place.
pub(super) fn guard(dir: &Path) -> Result<(), Fatal> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    // What a link points to counts. Where nothing is yet, what will be made there is ours.
    let Ok(real) = dir.canonicalize() else { return Ok(()) };
    for (place, itself) in [(Some(real.as_path()), true), (real.parent(), false)] {
        let Some((place, meta)) = place.and_then(|p| Some((p, std::fs::metadata(p).ok()?))) else { continue };
        if let Some(why) = writable_by_others(&meta, itself) {
            let hint = format!("chown root `{0}`, chmod go-w `{0}`, or another `--state-dir`", place.display());
            return Err(Fatal::new(
                Exit::Usage,
                format!("the state directory `{}` is not safe: {why} `{}`", dir.display(), place.display()),
            )
            .hint(hint));
        }
    }
    Ok(())
}

/// Why others can write there. Root's own group counts as root. Of the folder around it, a sticky bit is enough (`/tmp`),
/// and its owner is not asked for: in a user namespace it may well be nobody.
fn writable_by_others(meta: &Metadata, itself: bool) -> Option<String> {
    let mode = meta.mode();
    if itself && meta.uid() != 0 {
        return Some(format!("user {} owns", meta.uid()));
    }
    if !itself && mode & 0o1000 != 0 {
        return None;
    }
    if mode & 0o002 != 0 {
        return Some("everybody can write".into());
    }
    (mode & 0o020 != 0 && meta.gid() != 0).then(|| format!("group {} can write", meta.gid()))
}

/// Makes a directory and those above it, 0700; says which were made, topmost first.
pub(super) fn make(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|d| !d.as_os_str().is_empty() && !d.exists()).collect();
    let mut made = Vec::new();
    for dir in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(dir) {
            Ok(()) => made.push(dir.to_path_buf()),
            // Another hawiz was quicker.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Ok(made)
}

/// What could not be kept, and where.
pub(super) fn cannot_keep(what: &Path, e: &io::Error) -> Fatal {
    Fatal::new(Exit::NotReady, format!("cannot keep a journal in `{}`: {e}", what.display()))
        .hint("nothing was changed; `--state-dir DIR` names another place")
}

/// The directory of all runs: there, on disk, and nobody else's.
pub(super) fn runs(state: &Path, disk: &mut Disk) -> Result<PathBuf, Fatal> {
    let runs = state.join("runs");
    guard(state)?;
    for made in make(&runs).map_err(|e| cannot_keep(&runs, &e))? {
        let above = made.parent().expect("a directory that was made is not the root");
        disk.sync_dir(above, "directory").map_err(|e| cannot_keep(above, &e))?;
    }
    guard(&runs)?;
    Ok(runs)
}

/// The directory of a run. A run's id comes from the command line: it is one plain name, or there is no such run.
pub(super) fn run_dir(state: &Path, run: &str) -> Result<PathBuf, Fatal> {
    let plain = !run.is_empty()
        && !run.starts_with('.')
        && run.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if plain { Ok(state.join("runs").join(run)) } else { Err(no_such_run(state, run)) }
}

pub(super) fn no_such_run(state: &Path, run: &str) -> Fatal {
    Fatal::new(Exit::Usage, format!("no run `{}` in `{}`", run.escape_debug(), state.display()))
        .hint("`hawiz runs` lists them")
}

/// `20261122-131722-activate-xcatmn2-4f3a`: UTC, so that names sort as the runs went.
pub fn new_run_id(procedure: &str, target: Option<&str>, now: chrono::DateTime<chrono::Utc>) -> String {
    let plain = |s: &str| -> String {
        s.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).take(60).collect()
    };
    let mut id = format!("{}-{}", now.format("%Y%m%d-%H%M%S"), plain(procedure));
    if let Some(target) = target {
        id.push('-');
        id.push_str(&plain(target));
    }
    format!("{id}-{:04x}", random() & 0xffff)
}

/// Random enough to tell two runs of one second apart; creating the directory is what makes it sure.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library seeds this from the kernel's random numbers.
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(flag: Option<&str>, root: bool, env: &[(&str, &str)], home: Option<&str>) -> Result<String, String> {
        let lookup = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        choose(flag.map(Path::new), root, &lookup, || home.map(PathBuf::from))
            .map(|p| p.display().to_string())
            .map_err(|f| f.to_string())
    }

    #[test]
    fn the_flag_comes_before_the_environment_and_that_before_the_usual_places() {
        let all = [("HAWIZ_STATE_DIR", "/e"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(chosen(Some("f"), true, &all, None), Ok("f".into()));
        assert_eq!(chosen(None, true, &all, None), Ok("/e".into()));
        assert_eq!(chosen(None, true, &all[1..], None), Ok("/var/lib/hawiz".into()));
        assert_eq!(chosen(None, false, &all[1..], None), Ok("/x/hawiz".into()));
        assert_eq!(chosen(None, false, &all[2..], None), Ok("/h/.local/state/hawiz".into()));
        assert_eq!(chosen(None, false, &[], Some("/p")), Ok("/p/.local/state/hawiz".into()));
    }

    #[test]
    fn empty_variables_and_relative_homes_count_as_unset() {
        let env = [("HAWIZ_STATE_DIR", ""), ("XDG_STATE_HOME", "x"), ("HOME", "h")];
        assert_eq!(chosen(None, false, &env, Some("/p")), Ok("/p/.local/state/hawiz".into()));
        assert!(chosen(None, false, &env, None).is_err_and(|e| e.contains("--state-dir")));
    }

    #[test]
    fn a_run_id_tells_when_what_and_where_and_is_one_plain_name() {
        let now = chrono::DateTime::from_timestamp(1_795_353_442, 0).expect("a valid time");
        let id = new_run_id("activate", Some("xcatmn2"), now);
        assert!(id.starts_with("20261122-131722-activate-xcatmn2-"), "{id}");
        assert_eq!(id.len(), "20261122-131722-activate-xcatmn2-4f3a".len());
        let odd = new_run_id("../a b", Some("ü/.."), now);
        assert!(run_dir(Path::new("/s"), &odd).is_ok(), "{odd}");
        assert!(odd.starts_with("20261122-131722----a-b-----"), "{odd}");
        assert_ne!(new_run_id("a", None, now), new_run_id("a", None, now));
    }

    #[test]
    fn a_run_is_one_plain_name_and_never_a_path() {
        for bad in ["", ".", "..", "../x", "a/b", "a\nb", ".hidden"] {
            let error = run_dir(Path::new("/s"), bad).expect_err(bad);
            assert_eq!(error.exit, Exit::Usage);
        }
        assert_eq!(run_dir(Path::new("/s"), "a-1").expect("a plain name"), Path::new("/s/runs/a-1"));
    }
}
