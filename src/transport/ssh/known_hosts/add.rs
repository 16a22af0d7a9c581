//! A line more in the user's known_hosts.
//!
//! Why it exists: what a person has said yes to is asked once. Invariant: nothing that was in the file is ever changed, and
//! a line is there whole or not at all: one write at the end, under a lock, on disk before the caller goes on.

use super::line::hashed;
use super::{key_type, name};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{FlockOperation, flock};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long another program may hold the lock; then the line is written all the same: an append cannot tear its lines.
const PATIENCE: Duration = Duration::from_secs(2);

/// The line that makes a key known, without its end; `hash` hides the host's name as `HashKnownHosts` does.
pub fn line_for(host: &str, port: u16, key: &[u8], hash: bool) -> String {
    let mut host = name(host, port);
    if hash {
        let mut salt = [0; 20];
        File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut salt)).expect("Linux has /dev/urandom");
        host = format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(hashed(&salt, host.as_bytes())));
    }
    format!("{host} {} {}", key_type(key).unwrap_or("?"), STANDARD.encode(key))
}

/// Appends a line; makes the file (0600) and its folder (0700) where they are missing. `Err` is a fragment.
pub fn add(file: &Path, line: &str) -> Result<(), String> {
    if line.chars().any(char::is_control) {
        return Err(format!("cannot add to `{}`: the line holds control characters", file.display()));
    }
    append(file, line).map_err(|e| format!("cannot add to `{}`: {e}", file.display()))
}

fn append(file: &Path, line: &str) -> io::Result<()> {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        // A folder that cannot be made but is there is as good: the file system may be read-only above it.
        Err(_) if folder.is_dir() => {}
        other => other?,
    }
    let new = !file.exists();
    let mut out = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(file)?;
    let locked = lock(&out);
    let size = out.metadata()?.len();
    let mut last = [b'\n'];
    if size > 0 {
        out.read_exact_at(&mut last, size - 1)?;
    }
    let text = format!("{}{line}\n", if last == *b"\n" { "" } else { "\n" });
    let written = out.write(text.as_bytes())?;
    if written < text.len() {
        // A full disk takes a part; nobody else can have written behind it while the lock is ours.
        if locked {
            out.set_len(size)?;
        }
        return Err(io::Error::new(io::ErrorKind::StorageFull, "no room for the line"));
    }
    out.sync_all()?;
    if new {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Whether the file is locked now; some network file systems lock nothing.
fn lock(file: &File) -> bool {
    let until = Instant::now() + PATIENCE;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return true,
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder(of: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("hawiz-add-{of}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a folder");
        dir
    }
    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn folder_and_file_are_made_for_their_owner_alone() {
        let dir = folder("new");
        let file = dir.join(".ssh/known_hosts");
        add(&file, "mn1 ssh-ed25519 AAAA").expect("added");
        add(&file, "mn2 ssh-ed25519 AAAA").expect("added");
        assert_eq!(std::fs::read_to_string(&file).expect("read"), "mn1 ssh-ed25519 AAAA\nmn2 ssh-ed25519 AAAA\n");
        assert_eq!((mode(&file), mode(&dir.join(".ssh"))), (0o600, 0o700));
        std::fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_missing_last_newline_is_repaired_and_nothing_else_is_touched() {
        let dir = folder("newline");
        let file = dir.join("known_hosts");
        std::fs::write(&file, b"\xff old").expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("set");
        add(&file, "mn1 x").expect("added");
        assert_eq!(std::fs::read(&file).expect("read"), b"\xff old\nmn1 x\n");
        assert_eq!(mode(&file), 0o644);
        std::fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn many_at_once_lose_nothing() {
        let dir = folder("many");
        let file = dir.join("known_hosts");
        std::thread::scope(|s| {
            for t in 0..8 {
                let file = &file;
                s.spawn(move || (0..20).for_each(|n| add(file, &format!("mn{t}-{n} x")).expect("added")));
            }
        });
        let text = std::fs::read_to_string(&file).expect("read");
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort();
        lines.dedup();
        assert_eq!(lines.len(), 160);
        assert!(lines.iter().all(|l| l.starts_with("mn") && l.ends_with(" x")), "{text}");
        std::fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let said = add(Path::new("/proc/known_hosts"), "mn1 x").expect_err("no such place");
        assert!(said.starts_with("cannot add to `/proc/known_hosts`: "), "{said}");
        let said = add(Path::new("/does/not/exist/known_hosts"), "mn1 x").expect_err("no such place");
        assert!(said.contains("No such file"), "{said}");
        assert!(add(Path::new("/dev/null"), "a\nb").expect_err("two lines").contains("control characters"));
    }
}
