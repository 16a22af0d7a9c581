//! One channel of a connection, and the descriptors at its near end.
//!
//! Why it exists: the far shell's three streams must become three descriptors here, so that a node behind SSH is read and
//! written like any child process. Invariant: nothing is read from the far side while what came before still waits for its
//! reader (the channel's window then holds the node back), and one line never waits for another.

use super::connection::{again, refused};
use crate::transport::{Ended, Farewell, Trouble};
use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use ssh2::{Channel, ErrorCode, Session};
use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// How long the far side may take to agree to a closing; nobody waits for it meanwhile.
const FAREWELL: Duration = Duration::from_secs(2);
const CHUNK: usize = 16 * 1024;
/// libssh2's number for a socket that cannot be read.
const BROKEN: i32 = -43;

/// What is to be at the far end.
pub(super) enum Far {
    /// The login's shell, told to run this: `sh`, in the end.
    Shell(String),
    /// A port that the far host can reach.
    Port(String, u16),
}

/// The near ends, and whom to tell.
pub(super) struct Near {
    pub input: OwnedFd,
    pub output: OwnedFd,
    pub errors: Option<OwnedFd>,
    /// How it ended, in words, as soon as that is known.
    pub ended: Farewell,
    pub opened: Sender<Result<(), Trouble>>,
}

enum Phase {
    Waiting,
    Starting(Channel),
    Open(Channel),
    Closing(Channel, Instant),
    Over,
}

/// One direction towards a reader here.
struct Towards {
    fd: Option<OwnedFd>,
    /// What the reader has not taken yet; nothing, as a rule.
    kept: Vec<u8>,
    /// The far side has said all.
    done: bool,
}
impl Towards {
    fn new(fd: Option<OwnedFd>) -> Self {
        Towards { done: fd.is_none(), fd, kept: Vec::new() }
    }
    fn waiting(&self) -> bool {
        !self.kept.is_empty()
    }
    /// Hands on what was kept, then `bytes`. `Err`: nobody reads any more.
    fn hand_on(&mut self, bytes: &[u8]) -> Result<bool, ()> {
        let Some(fd) = &self.fd else { return Err(()) };
        let from_kept = self.waiting();
        if from_kept {
            self.kept.extend_from_slice(bytes);
        }
        let all = if from_kept { &self.kept[..] } else { bytes };
        let mut given = 0;
        while given < all.len() {
            match rustix::io::write(fd, &all[given..]) {
                Ok(n) => given += n,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => return Err(()),
            }
        }
        if !from_kept {
            self.kept = bytes[given..].to_vec();
        } else if given == self.kept.len() {
            self.kept = Vec::new();
        } else {
            self.kept.drain(..given);
        }
        Ok(given > 0)
    }
}

pub(super) struct Line {
    far: Far,
    phase: Phase,
    input: Option<OwnedFd>,
    /// What the channel has not taken yet.
    unsent: Vec<u8>,
    out: Towards,
    err: Towards,
    ended: Farewell,
    opened: Option<Sender<Result<(), Trouble>>>,
    /// Nobody here wants it any more.
    left: bool,
    eof_told: bool,
}

/// An answer that says "not yet", an error that ends this line, or one that ends the connection.
enum Went<T> {
    On(T),
    Later,
    Closed(String),
}

fn went<T>(result: Result<T, ssh2::Error>) -> Result<Went<T>, ssh2::Error> {
    // libssh2's numbers: 21 request failed, 22 channel failure, 23 denied, 24 unknown, 26 closed, 27 end already said, 33 denied.
    match result {
        Ok(v) => Ok(Went::On(v)),
        Err(e) if again(&e) => Ok(Went::Later),
        Err(e) if matches!(e.code(), ErrorCode::Session(-27..=-21 | -33 | -32)) => {
            Ok(Went::Closed(e.message().to_string()))
        }
        Err(e) => Err(e),
    }
}

impl Line {
    pub(super) fn new(far: Far, near: Near) -> Line {
        Line {
            far,
            phase: Phase::Waiting,
            input: Some(near.input),
            unsent: Vec::new(),
            out: Towards::new(Some(near.output)),
            err: Towards::new(near.errors),
            ended: near.ended,
            opened: Some(near.opened),
            left: false,
            eof_told: false,
        }
    }
    pub(super) fn over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }
    /// libssh2 opens one channel at a time.
    pub(super) fn opening(&self) -> bool {
        matches!(self.phase, Phase::Waiting)
    }
    /// Would a packet from the far side be taken now?
    pub(super) fn reads(&self) -> bool {
        match self.phase {
            Phase::Open(_) => [&self.out, &self.err].into_iter().any(|t| !t.done && !t.waiting()),
            Phase::Over => false,
            _ => true,
        }
    }
    /// Has something come for it that it has not seen? libssh2 reads the socket for all lines at any call for one.
    pub(super) fn has_news(&self) -> bool {
        let Phase::Open(channel) = &self.phase else { return false };
        self.reads() && (channel.read_window().available > 0 || (channel.eof() && !(self.out.done && self.err.done)))
    }
    /// On its way to being open or closed: what it waits for may have come unnoticed.
    pub(super) fn passing(&self) -> bool {
        matches!(self.phase, Phase::Waiting | Phase::Starting(_) | Phase::Closing(..))
    }
    /// The descriptors to be watched, and for what.
    pub(super) fn watched(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let open = matches!(self.phase, Phase::Open(_));
        let input = self.input.as_ref().filter(|_| open && self.unsent.is_empty());
        let reader = |t: &Towards| if t.waiting() { PollFlags::OUT } else { PollFlags::empty() };
        // A reader that has gone is told of without being asked for.
        let out = self.out.fd.as_ref().map(|fd| (fd.as_fd(), reader(&self.out)));
        let err = self.err.fd.as_ref().map(|fd| (fd.as_fd(), reader(&self.err)));
        input.map(|fd| (fd.as_fd(), PollFlags::IN)).into_iter().chain(out).chain(err)
    }
    /// The reader has gone.
    pub(super) fn leave(&mut self) {
        self.left = true;
    }
    /// The connection is gone: why.
    pub(super) fn lost(&mut self, why: &Trouble) {
        self.say(why.why.clone(), true);
        if let Some(opened) = self.opened.take() {
            let _ = opened.send(Err(why.clone()));
        }
        // Best effort: what has arrived is the reader's.
        let _ = self.out.hand_on(b"");
        let _ = self.err.hand_on(b"");
        self.phase = Phase::Over;
    }
    fn say(&self, how: String, broken: bool) {
        let mut ended = self.ended.lock().expect("nobody panics while holding it");
        ended.get_or_insert(Ended { how, broken });
    }
    fn refused(&mut self, why: String) {
        self.say(why.clone(), true);
        if let Some(opened) = self.opened.take() {
            let _ = opened.send(Err(refused(why)));
        }
        self.phase = Phase::Over;
    }

    /// Does what can be done now. `Ok(true)`: something moved. `Err`: the connection is broken.
    pub(super) fn step(&mut self, session: &Session) -> Result<bool, ssh2::Error> {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Waiting => {
                let channel = match &self.far {
                    Far::Shell(_) => session.channel_session(),
                    Far::Port(host, port) => session.channel_direct_tcpip(host, *port, None),
                };
                match went(channel)? {
                    Went::On(channel) => {
                        self.phase = Phase::Starting(channel);
                        return Ok(true);
                    }
                    Went::Later => self.phase = Phase::Waiting,
                    Went::Closed(why) => self.refused(why),
                }
                Ok(false)
            }
            Phase::Starting(mut channel) => {
                let started = match &self.far {
                    // Whatever the login shell is, it reads this; `sh` inherits what the login set up.
                    Far::Shell(command) => went(channel.exec(command))?,
                    Far::Port(..) => Went::On(()),
                };
                match started {
                    Went::On(()) => {
                        // Some kilobytes, which nobody reads again.
                        if let Far::Shell(command) = &mut self.far {
                            *command = String::new();
                        }
                        if let Some(opened) = self.opened.take() {
                            let _ = opened.send(Ok(()));
                        }
                        self.phase = Phase::Open(channel);
                        return Ok(true);
                    }
                    Went::Later => self.phase = Phase::Starting(channel),
                    Went::Closed(why) => self.refused(why),
                }
                Ok(false)
            }
            Phase::Open(mut channel) => {
                let moved = self.carry(&mut channel)?;
                let said_all = self.out.done && self.err.done && !self.out.waiting() && !self.err.waiting();
                self.phase = if self.left || said_all {
                    Phase::Closing(channel, Instant::now() + FAREWELL)
                } else {
                    Phase::Open(channel)
                };
                Ok(moved || self.left || said_all)
            }
            Phase::Closing(mut channel, until) => {
                // It waits for the other side's word, too.
                let closed = !matches!(went(channel.close())?, Went::Later);
                if closed || Instant::now() > until {
                    self.say(how(&channel), false);
                    self.out.fd = None;
                    self.err.fd = None;
                    return Ok(true);
                }
                self.phase = Phase::Closing(channel, until);
                Ok(false)
            }
            Phase::Over => Ok(false),
        }
    }

    /// Both directions of an open channel.
    fn carry(&mut self, channel: &mut Channel) -> Result<bool, ssh2::Error> {
        let mut moved = false;
        let mut buffer = [0; CHUNK];
        // Errors first: what they say belongs before the end.
        for (number, towards) in [(1, &mut self.err), (0, &mut self.out)] {
            while !towards.done {
                if towards.waiting() {
                    match towards.hand_on(b"") {
                        Ok(given) => moved |= given,
                        Err(()) => self.left = true,
                    }
                    if towards.waiting() {
                        break;
                    }
                }
                match channel.stream(number).read(&mut buffer) {
                    Ok(0) if channel.eof() => {
                        towards.done = true;
                        moved = true;
                    }
                    Ok(0) => break,
                    Ok(n) => {
                        moved = true;
                        if towards.hand_on(&buffer[..n]).is_err() {
                            self.left = true;
                            break;
                        }
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => return Err(ssh2::Error::new(ErrorCode::Session(BROKEN), "the connection broke")),
                }
            }
        }
        loop {
            while !self.unsent.is_empty() {
                match channel.write(&self.unsent) {
                    Ok(n) => {
                        moved = true;
                        if n == self.unsent.len() { self.unsent = Vec::new() } else { drop(self.unsent.drain(..n)) }
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(moved),
                    // The far shell is gone; what it said last is still to be read.
                    Err(_) => {
                        self.unsent = Vec::new();
                        self.input = None;
                        return Ok(moved);
                    }
                }
            }
            let Some(input) = &self.input else { break };
            match rustix::io::read(input, &mut buffer) {
                Ok(0) => self.input = None,
                Ok(n) => self.unsent = buffer[..n].to_vec(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(moved),
                Err(_) => self.input = None,
            }
        }
        if !self.eof_told && !matches!(went(channel.send_eof())?, Went::Later) {
            self.eof_told = true;
            moved = true;
        }
        Ok(moved)
    }
}

/// How the far program ended, in words.
fn how(channel: &Channel) -> String {
    match (channel.exit_signal(), channel.exit_status()) {
        (Ok(ssh2::ExitSignal { exit_signal: Some(name), .. }), _) => format!("signal: {name}"),
        (_, Ok(code)) => format!("exit status: {code}"),
        _ => "nothing is known of how".into(),
    }
}
