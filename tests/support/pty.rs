//! hawiz on a terminal: keys go in, the screen comes out.
//!
//! Invariant: what was started here is ended here, by its own process id, however the test ends.

use super::{Ended, World};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs hawiz on a terminal. `keys` says what to type when the screen has been quiet: it gets all of the screen so far;
/// `None` waits on.
pub fn talk(world: &World, args: &[&str], patience: Duration, keys: impl FnMut(&str) -> Option<Vec<u8>>) -> Ended {
    let argv: Vec<&str> = [env!("CARGO_BIN_EXE_hawiz")].iter().chain(args).copied().collect();
    talk_to(world, &argv, patience, keys)
}

/// The same with any program.
pub fn talk_to(
    world: &World,
    argv: &[&str],
    patience: Duration,
    mut keys: impl FnMut(&str) -> Option<Vec<u8>>,
) -> Ended {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pty");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("the pty is ours");
    let name = ptsname(&master, Vec::new()).expect("the pty has a name");
    let slave = || {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).custom_flags(OFlags::NOCTTY.bits() as i32);
        options.open(name.to_str().expect("/dev/pts is ASCII")).expect("its other side")
    };
    let size = rustix::termios::Winsize { ws_row: 40, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&master, size).expect("a size");
    // A session of its own, with this terminal as its own; it is its own group's leader, so nothing of it is left behind.
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]).args(argv).current_dir(&world.dir).env_clear();
    command.envs(world.environment()).stdin(slave()).stdout(slave()).stderr(slave());
    let mut child = Kept(command.spawn().expect("setsid is part of util-linux"));
    drop(command); // or our own copies of the slave would keep it open
    let mut master = fs::File::from(master);
    let (mut raw, began, mut quiet) = (Vec::new(), Instant::now(), Instant::now());
    let status = loop {
        let mut fds = [PollFd::new(&master, PollFlags::IN)];
        let wait = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        if poll(&mut fds, Some(&wait)).is_ok_and(|n| n > 0) {
            let mut piece = [0; 4096];
            match master.read(&mut piece) {
                Ok(n) if n > 0 => {
                    raw.extend_from_slice(&piece[..n]);
                    quiet = Instant::now();
                    continue;
                }
                // The other side is closed: whoever had it is gone, or about to go.
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        if let Some(status) = child.0.try_wait().expect("it is a child of ours") {
            break status;
        }
        assert!(began.elapsed() < patience, "it hangs:\n{}", String::from_utf8_lossy(&raw));
        if quiet.elapsed() > Duration::from_millis(40) {
            if let Some(bytes) = keys(&String::from_utf8_lossy(&raw)) {
                let _ = master.write_all(&bytes);
            }
            quiet = Instant::now();
        }
    };
    let out = String::from_utf8_lossy(&raw).into_owned();
    Ended { code: status.code(), signal: status.signal(), out, err: String::new() }
}
