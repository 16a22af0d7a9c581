//! One connection, and the thread that keeps it.
//!
//! Why it exists: libssh2's own timeouts lie on healthy links and hang on dead ones, so the session never blocks and all
//! waiting is done here, against deadlines of our own. Everybody else speaks to this thread by [`Want`]s and reads and writes
//! plain descriptors.
//!
//! Invariant: a connection that is broken is said to be broken on every line at once; one that is silent for
//! [`SILENCE`] although it was asked for a sign of life is broken.

use super::dial::{self, Socket};
use super::line::{Far, Line, Near};
use super::login;
use super::{Board, Facts, Road};
use crate::transport::Trouble;
use rustix::event::{PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use ssh2::{BlockDirections, ErrorCode, Session};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

/// After this long without a word the far side is asked for one.
const ASK: Duration = Duration::from_secs(5);
/// After this long without an answer to that, the connection is given up: a dead peer is noticed within 20 s, also by a
/// machine that is busy and late with all it does.
const SILENCE: Duration = Duration::from_secs(10);
/// How often a line that is being opened or closed is looked after while others are open.
const PASSING: Duration = Duration::from_millis(10);
/// From the first byte to the agreed keys, and from there to being logged in (a person's typing does not count).
pub(super) const GREETING: Duration = Duration::from_secs(15);

/// What sshd says when it opens no further channel.
pub(super) fn refused(said: impl std::fmt::Display) -> Trouble {
    let mut t = Trouble::new(format!("sshd opens no further session on this connection ({said})"))
        .hint("its `MaxSessions` may be too low, or the account may only forward");
    t.refused = true;
    t
}

/// What the thread can be asked for.
pub(super) enum Want {
    Line(Far, Near),
}

/// The near side of the thread.
pub(super) struct Keeper {
    wants: Sender<Want>,
    wake: Arc<OwnedFd>,
}
impl Keeper {
    pub(super) fn ask(&self, want: Want) -> bool {
        let asked = self.wants.send(want).is_ok();
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
        asked
    }
}
impl Drop for Keeper {
    fn drop(&mut self) {
        // The thread sees that nobody can ask any more.
        let (gone, _) = channel();
        self.wants = gone;
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
    }
}

/// "Not yet", in libssh2's words.
pub(super) fn again(e: &ssh2::Error) -> bool {
    e.code() == ErrorCode::Session(-37)
}

/// Starts the thread. It writes on the board how far it got.
pub(super) fn start(road: Road, board: Arc<Board>, number: u64) -> Keeper {
    let (wants, asked) = channel();
    let wake = eventfd(0, rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK);
    let wake = Arc::new(wake.expect("an eventfd can be made"));
    let keeper = Keeper { wants, wake: Arc::clone(&wake) };
    let name = format!("ssh {}", road.node);
    let thread = move || {
        let board = &board;
        let mut facts = road.facts();
        board.learnt(&road.node, facts.clone());
        let opened = open(&road, board, number, &mut facts);
        board.learnt(&road.node, facts);
        match opened {
            Ok((session, socket)) => {
                board.ready(number);
                let end = serve(&session, &socket, &asked, &wake);
                board.broken(number);
                // Who asked meanwhile is not kept waiting.
                while let Ok(Want::Line(far, near)) = asked.try_recv() {
                    Line::new(far, near).lost(&end);
                }
            }
            Err(trouble) => board.failed(number, trouble),
        }
    };
    // libssh2 and OpenSSL are content with this; two hundred of the usual size would not matter either, but why.
    let spawned = std::thread::Builder::new().name(name).stack_size(512 * 1024).spawn(thread);
    spawned.expect("a thread can be started");
    keeper
}

fn open(road: &Road, board: &Arc<Board>, number: u64, facts: &mut Facts) -> Result<(Session, Socket), Trouble> {
    let socket = dial::reach(road, board)?;
    facts.address.clone_from(&socket.address);
    let mut session = Session::new().map_err(|e| Trouble::new(e.message().to_string()))?;
    session.set_blocking(false);
    session.set_tcp_stream(socket.same());
    session.set_keepalive(true, ASK.as_secs() as u32);
    let mut host_key = login::HostKey::prepare(road, &session)?;
    let waiting = Waiting { session: session.clone(), socket: &socket, typing: Default::default() };
    let deadline = Instant::now() + GREETING;
    waiting.until(deadline, || session.handshake()).map_err(|e| login::greeting_failed(e, &socket, road))?;
    facts.banner = session.banner().unwrap_or_default().to_string();
    host_key.check(road, board, number, &session, facts)?;
    login::enter(road, board, number, &waiting, facts)?;
    Ok((session, socket))
}

/// An error of libssh2, or the deadline.
#[derive(Debug)]
pub(super) enum Failed {
    Late,
    /// The socket itself: the kernel's word.
    Socket(Errno),
    Ssh(ssh2::Error),
}

/// Waiting for one thing to succeed, before any line is open.
pub(super) struct Waiting<'a> {
    pub session: Session,
    pub socket: &'a Socket,
    /// Time that a person took; no deadline counts it.
    pub typing: std::cell::Cell<Duration>,
}
impl Waiting<'_> {
    pub(super) fn until<T>(
        &self,
        deadline: Instant,
        mut step: impl FnMut() -> Result<T, ssh2::Error>,
    ) -> Result<T, Failed> {
        loop {
            match step() {
                Ok(v) => return Ok(v),
                Err(e) if again(&e) => {}
                Err(e) => return Err(self.socket.error().map_or(Failed::Ssh(e), Failed::Socket)),
            }
            self.socket.quick();
            let left = (deadline + self.typing.get()).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failed::Late);
            }
            let mut fds = [PollFd::new(&self.socket.fd, wanted(&self.session))];
            let _ = poll(&mut fds, Some(&timespec(left)));
        }
    }
}

fn wanted(session: &Session) -> PollFlags {
    match session.block_directions() {
        BlockDirections::Outbound | BlockDirections::Both => PollFlags::IN | PollFlags::OUT,
        _ => PollFlags::IN,
    }
}

pub(super) fn timespec(d: Duration) -> Timespec {
    Timespec { tv_sec: d.as_secs() as i64, tv_nsec: d.subsec_nanos().into() }
}

/// Carries all lines until nobody wants the connection any more, or it breaks.
fn serve(session: &Session, socket: &Socket, asked: &Receiver<Want>, wake: &OwnedFd) -> Trouble {
    let mut lines: Vec<Line> = Vec::new();
    let end = carry(session, socket, asked, wake, &mut lines);
    for line in &mut lines {
        line.lost(&end);
    }
    end
}

fn carry(session: &Session, socket: &Socket, asked: &Receiver<Want>, wake: &OwnedFd, lines: &mut Vec<Line>) -> Trouble {
    let mut asked_at: Option<Instant> = None;
    let mut heard = Instant::now();
    loop {
        let mut wanted_still = true;
        loop {
            match asked.try_recv() {
                Ok(Want::Line(far, near)) => lines.push(Line::new(far, near)),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    wanted_still = false;
                    break;
                }
            }
        }
        let more = match step_all(session, lines) {
            Ok(more) => more,
            Err(e) => return broken(&e, socket),
        };
        lines.retain(|l| !l.over());
        if !wanted_still && lines.is_empty() {
            // Said, not discussed: nobody waits for a farewell.
            let _ = session.disconnect(None, "done", None);
            return Trouble::new("the connection was closed");
        }
        socket.quick();

        // Nobody reads the socket while no line wants bytes; then nothing can be said of its silence either.
        let reading = lines.iter().any(Line::reads);
        if !reading {
            (heard, asked_at) = (Instant::now(), None);
        }
        let idle = heard.elapsed();
        if idle >= ASK {
            asked_at.get_or_insert_with(Instant::now);
            let _ = session.keepalive_send();
        }
        if asked_at.is_some_and(|since| since.elapsed() >= SILENCE) {
            let long = heard.elapsed().as_secs();
            return Trouble::new(format!("nothing was heard of it for {long} s, although it was asked"))
                .hint("the machine, its sshd or the network between may be stopped");
        }
        let mut next = asked_at.map_or(ASK.saturating_sub(idle), |_| Duration::from_secs(1));
        if lines.iter().any(Line::passing) {
            next = next.min(if lines.len() > 1 { PASSING } else { PASSING * 10 });
        }
        if more {
            next = Duration::ZERO;
        }

        let flags = if reading { wanted(session) } else { wanted(session) - PollFlags::IN };
        let mut fds = vec![PollFd::new(&socket.fd, flags), PollFd::new(wake, PollFlags::IN)];
        let mut whose = Vec::new();
        for (i, line) in lines.iter().enumerate() {
            for (fd, flags) in line.watched() {
                fds.push(PollFd::from_borrowed_fd(fd, flags));
                whose.push(i);
            }
        }
        match poll(&mut fds, Some(&timespec(next))) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Trouble::new(format!("cannot wait for it: {e}")),
        }
        let seen = fds[0].revents();
        if seen.contains(PollFlags::IN) {
            heard = Instant::now();
            asked_at = None;
        }
        if fds[1].revents().contains(PollFlags::IN) {
            let _ = rustix::io::read(wake, &mut [0u8; 8]);
        }
        let gone: Vec<usize> = fds[2..]
            .iter()
            .zip(&whose)
            .filter(|(fd, _)| fd.revents().intersects(PollFlags::ERR | PollFlags::NVAL))
            .map(|(_, i)| *i)
            .collect();
        drop(fds);
        gone.into_iter().for_each(|i| lines[i].leave());
        if seen.intersects(PollFlags::ERR | PollFlags::HUP) && (!reading || seen.contains(PollFlags::ERR)) {
            let why = socket.error().map_or("the connection was closed by the other side".into(), dial::broke);
            return Trouble::new(why);
        }
    }
}

/// All lines, until nothing moves any more or others must have their turn (`true`). A packet read for one may be another's.
fn step_all(session: &Session, lines: &mut [Line]) -> Result<bool, ssh2::Error> {
    for _ in 0..64 {
        let mut moved = false;
        let mut opening = false;
        for line in lines.iter_mut() {
            if line.opening() && std::mem::replace(&mut opening, true) {
                continue;
            }
            moved |= line.step(session)?;
        }
        // The socket will not tell of what was read from it already.
        if !moved && !lines.iter().any(Line::has_news) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn broken(e: &ssh2::Error, socket: &Socket) -> Trouble {
    match socket.error() {
        Some(errno) => Trouble::new(dial::broke(errno)),
        None => match e.code() {
            ErrorCode::Session(-13 | -43) => Trouble::new("the connection was closed by the other side"),
            _ => Trouble::new(format!("the connection broke: {}", e.message())),
        },
    }
}
