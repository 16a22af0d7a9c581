//! One open session with a node: messages out, frames in, deadlines.
//!
//! Why it exists: the only place that knows how bytes become answers. Invariant: an answer exists only when its end mark,
//! which carries a nonce that no command can know, was read; anything else is [`Lost`], and says why.

use super::root::{self, Become, Prompted};
use crate::plan::{How, Node};
use crate::transport::{Ended, Stream, Trouble, Ways};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::Read;
use std::time::Duration;

/// Time since boot: a suspended laptop's deadline has passed when it wakes.
pub fn now() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

/// Bytes nobody can guess, as hexadecimal digits.
pub fn random(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut f| f.read_exact(&mut buffer))
        .expect("Linux has /dev/urandom, and without it no nonce is safe");
    buffer.iter().map(|b| format!("{b:02x}")).collect()
}

/// Data as one single-quoted word of `printf %b` escapes: printable characters only, whatever the shell thinks of bytes.
pub fn word(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 8 + 2);
    out.push(b'\'');
    for b in bytes {
        match b {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\'' => out.extend_from_slice(b"\\0047"),
            b' '..=b'~' => out.push(*b),
            _ => out.extend_from_slice(format!("\\0{b:03o}").as_bytes()),
        }
    }
    out.push(b'\'');
    out
}

pub fn find(hay: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while at + needle.len() <= hay.len() {
        let step = hay[at..=hay.len() - needle.len()].iter().position(|b| *b == needle[0])?;
        at += step;
        if hay[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// The link is gone or has not answered in time: why.
#[derive(Debug)]
pub struct Lost(pub String);
impl From<Trouble> for Lost {
    fn from(t: Trouble) -> Lost {
        Lost(t.to_string())
    }
}
impl From<Lost> for Trouble {
    fn from(Lost(why): Lost) -> Trouble {
        Trouble::new(why)
    }
}

/// The head and the tail of something that may be long.
pub struct Kept {
    head: Vec<u8>,
    tail: Vec<u8>,
    half: usize,
    dropped: usize,
}
impl Kept {
    pub fn new(cap: usize) -> Self {
        Kept { head: Vec::new(), tail: Vec::new(), half: cap / 2, dropped: 0 }
    }
    pub fn push(&mut self, bytes: &[u8]) {
        let room = self.half - self.head.len().min(self.half);
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        self.tail.extend_from_slice(rest);
        // Cut seldom: moving the tail for every chunk would make long outputs quadratic.
        if self.tail.len() > 2 * self.half.max(1) {
            self.cut();
        }
    }
    fn cut(&mut self) {
        let over = self.tail.len().saturating_sub(self.half);
        self.tail.drain(..over);
        self.dropped += over;
    }
    pub fn finish(mut self) -> Vec<u8> {
        self.cut();
        if self.dropped > 0 {
            let gap = format!("\n[hawiz: {} bytes were left out here]\n", self.dropped);
            self.head.extend_from_slice(gap.as_bytes());
        }
        self.head.extend_from_slice(&self.tail);
        self.head
    }
}

/// A session.
pub struct Link {
    stream: Stream,
    nonce: String,
    seq: u64,
    pub out: Vec<u8>,
    pub err: Vec<u8>,
    /// What goes in front of the next call.
    queued: Vec<u8>,
    /// What goes behind it.
    after: Vec<u8>,
    /// What is on its way.
    unsent: Vec<u8>,
    err_open: bool,
    /// The session's process group, if it is its own.
    pub group: Option<u32>,
    /// When something was heard last.
    pub heard: Duration,
    /// A password that a way of becoming root is going to ask for.
    password: Option<root::Waiting>,
    /// More was said than anybody keeps.
    noisy: bool,
    /// The session's own nonce, which goes with the first call when the greeting came before it.
    renamed: Option<String>,
    /// What the node was told of the session, and what it takes to understand what is queued.
    told: Needs,
    wanted: Needs,
}

/// Bytes read at a time: as much as arrives in one packet, and no more, because it lies on the stack of every thread.
const CHUNK: usize = 16 * 1024;
/// From here on a call is read at once, which costs a program.
const LONG: usize = 4096;
/// More than this before an answer is noise.
const NOISE: usize = 1 << 20;
const FRAME: &str = include_str!("frame.sh");
const HELLO: &str = include_str!("hello.sh");
const LOOK: &str = include_str!("look.sh");
const LOCK: &str = include_str!("lock.sh");
const STEPS: &str = include_str!("../session.sh");
const LEADER: &str = include_str!("leader.sh");
/// What is called of [`LOOK`], and of [`LOCK`]; everything else is of [`STEPS`], or needs it.
const LOOKS: [&str; 5] = ["hz_look", "hz_feed", "hz_plain", "hz_kill", "hz_syslog"];
const LOCKS: [&str; 7] = ["hz_lock", "hz_ours", "hz_unlock", "hz_who", "hz_inscribe", "hz_copy", "hz_plan"];

/// How much of the session a function needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Needs {
    Looks,
    Lock,
    Steps,
}

impl Needs {
    /// Of a line that begins with the function's name.
    fn of(line: &[u8]) -> Needs {
        let name = line.split(|b| *b == b' ').next().unwrap_or(line);
        let one_of = |all: &[&str]| all.iter().any(|f| f.as_bytes() == name);
        match name {
            _ if one_of(&LOOKS) => Needs::Looks,
            _ if one_of(&LOCKS) => Needs::Lock,
            _ => Needs::Steps,
        }
    }
}

/// A call a line.
const READS: &str = r#"while IFS= read -r hz_l; do eval "$hz_l"; done"#;

/// The session is to lead a process group of its own, so that a late look can be ended with all its processes. A shell that
/// leads one already must not be put behind setsid, which would fork and let the transport's program end.
const GROUP: &str = r#"hz_x=; { read -r hz_x </proc/$$/stat; } 2>/dev/null
hz_group() { [ "$3" = $$ ]; }
if [ -z "$hz_x" ] || hz_group ${hz_x##*) } || ! command -v setsid >/dev/null 2>&1; then eval "$1"; exit; fi
exec setsid sh -c "$1""#;

fn quoted(bytes: &[u8]) -> String {
    String::from_utf8(crate::shell::quote(bytes)).expect("sources are UTF-8")
}

/// Text as one line of shell source that is exactly it; `None` when it has bytes that not every shell reads as they are.
pub fn plain(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![b'\''];
    for b in bytes {
        match b {
            b'\n' => out.extend_from_slice(b"'\"$hz_nl\"'"),
            b'\'' => out.extend_from_slice(b"'\\''"),
            b'\t' | b' '..=b'~' => out.push(*b),
            _ => return None,
        }
    }
    out.push(b'\'');
    Some(out)
}

/// What sshd is asked to run: a greeting, then a shell that reads a call a line and is told what the greeting found. Whatever the
/// login shell is, it reads this: one line, in single quotes, without a character that csh or fish would see something in. The
/// greeting has a nonce of its own, because this stands in `ps`; the second shell is there so that it does not stand there long.
fn early_command(nonce: &str, hello: &str) -> String {
    let source = format!("{}{}hz_n={nonce}\nhz_hello 000001 {hello}\n", stripped(FRAME), stripped(HELLO));
    let safe = |b: u8| b.is_ascii_alphanumeric() || b" _-=./,:;@+*?[]{}()<>|&#~^".contains(&b);
    let octal =
        |text: String, b: u8| if safe(b) { text + &char::from(b).to_string() } else { text + &format!("\\{b:03o}") };
    let text = source.bytes().fold(String::new(), octal);
    let reads = READS.replace('"', "\\\"").replace('$', "\\$");
    format!(r#"exec sh -c 'eval "$(printf "{text}")"; exec sh -c "{reads}" hawiz "$hz_state" "$hz_boot" "$hz_why"'"#)
}

/// Text that is evaluated whole.
fn evaluated(text: &str) -> Vec<u8> {
    [b"eval \"$(printf %b ", &word(text.as_bytes())[..], b")\"\n"].concat()
}

/// Shell source without its comments and indentation: it travels at every connect, and bash reads it byte by byte.
pub fn stripped(source: &str) -> String {
    let lines = source.lines().map(str::trim_start).filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines.fold(String::new(), |all, line| all + line + "\n")
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.renamed.is_none() {
            self.unsent.append(&mut self.after);
            let _ = self.write();
        }
    }
}

impl Link {
    /// Opens the stream and sends the prelude. `Err`: a fragment for "cannot reach `n`: …".
    /// `hello`: the words of the first question, whose answer is to be read before anything is called.
    /// `root`: how the session becomes root's, and the password for it if it is known.
    pub fn open(node: &Node, ways: &Ways, hello: &str, root: Option<(Become, Option<&str>)>) -> Result<Link, Trouble> {
        // Over SSH the greeting comes back with sshd's own answer. A login that has to become root greets as root.
        let early = node.how == How::Ssh && root.is_none();
        let (first, nonce) = (random(16), random(16));
        let stream = ways.open(node, if early { early_command(&first, hello) } else { "exec sh".into() })?;
        let (root, password) = root.map_or_else(Default::default, |(how, given)| how.line(&nonce, given));
        let mut link = Link {
            stream,
            nonce,
            seq: 1,
            out: Vec::new(),
            err: Vec::new(),
            queued: Vec::new(),
            after: Vec::new(),
            unsent: Vec::new(),
            err_open: true,
            group: None,
            heard: now(),
            password,
            noisy: false,
            renamed: None,
            told: Needs::Looks,
            wanted: Needs::Looks,
        };
        if early {
            link.renamed = Some(std::mem::replace(&mut link.nonce, first));
            return Ok(link);
        }
        let parts = [FRAME, HELLO, LOOK].map(stripped).concat();
        let session = format!("hz_n={}\n{parts}hz_hello 000001 {hello}\n{READS}\n", link.nonce);
        // Nothing may follow until the node has answered: the first shell may read ahead what its successor should read.
        let mut head = format!("hz_group={}; hz_session=", quoted(GROUP.as_bytes())).into_bytes();
        head.extend(crate::shell::quote(session.as_bytes()));
        head.extend_from_slice(format!("; {root}set -- \"$hz_session\"; eval \"$hz_group\"\n").as_bytes());
        link.unsent = head;
        Ok(link)
    }
    /// `@NONCE.SEQ` of the message sent last.
    pub fn mark(&self) -> Vec<u8> {
        format!("@{}.{:06}", self.nonce, self.seq).into_bytes()
    }
    /// Queues a line in front of the next call.
    pub fn set(&mut self, line: &[u8]) {
        self.wanted = self.wanted.max(Needs::of(line));
        self.queued.extend_from_slice(line);
        self.queued.push(b'\n');
    }
    /// Queues a line that has no answer behind the next call; where none comes, it goes when the link is given up.
    pub fn behind(&mut self, line: &[u8]) {
        self.after.extend_from_slice(line);
        self.after.push(b'\n');
    }
    /// Queues `function SEQ words…`; it is written while waiting for the answer.
    pub fn call(&mut self, function: &str, words: &[&[u8]]) {
        let mut all = Vec::new();
        if let Some(nonce) = self.renamed.take() {
            let parts = [FRAME, LOOK].map(stripped).concat();
            all = evaluated(&format!("hz_n={nonce}\nhz_state=$1 hz_boot=$2 hz_why=$3\n{parts}"));
            self.nonce = nonce;
        }
        self.wanted = self.wanted.max(Needs::of(function.as_bytes()));
        if self.told < Needs::Lock && self.wanted >= Needs::Lock {
            let text = format!("hz_leader={}\n{}", quoted(stripped(LEADER).as_bytes()), stripped(LOCK));
            all.extend(evaluated(&text));
        }
        if self.told < Needs::Steps && self.wanted >= Needs::Steps {
            all.extend(evaluated(&stripped(STEPS)));
        }
        self.told = self.told.max(self.wanted);
        all.append(&mut self.queued);
        self.seq += 1;
        all.extend_from_slice(format!("{function} {:06}", self.seq).as_bytes());
        for w in words {
            all.push(b' ');
            all.extend_from_slice(w);
        }
        all.push(b'\n');
        all.append(&mut self.after);
        // A shell reads its lines byte by byte. `head` reads all of it at once, and the call with it: where it reads ahead, nothing
        // is there to be lost, because whoever calls waits for the answer. Without `head` they are lines as others.
        if all.len() > LONG {
            let whole = format!("hz_l=$(head -c {} 2>/dev/null) && eval \"$hz_l\"\n", all.len());
            self.unsent.extend_from_slice(whole.as_bytes());
        }
        self.unsent.extend(all);
        self.heard = now();
    }
    /// Writes and reads what can be, waiting until then at most. `false`: nothing came in time.
    pub fn pump(&mut self, until: Duration) -> Result<bool, Lost> {
        loop {
            let left = until.saturating_sub(now());
            let mut fds = vec![PollFd::new(&self.stream.output, PollFlags::IN)];
            if self.err_open {
                fds.push(PollFd::new(&self.stream.errors, PollFlags::IN));
            }
            if let (false, Some(input)) = (self.unsent.is_empty(), &self.stream.input) {
                fds.push(PollFd::new(input, PollFlags::OUT));
            }
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos() as i64 };
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => return Ok(false),
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(Lost(e.to_string())),
            }
            drop(fds);
            self.write()?;
            // Errors first: when the link ends, they say why.
            let mut news = self.err_open && self.read(true)?;
            news |= self.read(false)?;
            self.prompted()?;
            if news {
                self.heard = now();
                return Ok(true);
            }
        }
    }
    /// Nobody is there any more. For a link that was asked nothing: what it says is taken.
    pub fn has_ended(&mut self) -> bool {
        self.pump(Duration::ZERO).is_err()
    }
    /// Writes what can be written now, and what is queued for a node that understands it; the rest goes with what is said next.
    pub fn send(&mut self) {
        if self.wanted <= self.told && self.renamed.is_none() {
            self.unsent.append(&mut self.queued);
        }
        // Whoever waits for an answer learns of a link that is gone.
        let _ = self.write();
    }
    fn write(&mut self) -> Result<(), Lost> {
        while let (false, Some(input)) = (self.unsent.is_empty(), &self.stream.input) {
            match rustix::io::write(input, &self.unsent) {
                Ok(n) => drop(self.unsent.drain(..n)),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                // The other side is gone; what it said last is still to be read.
                Err(_) => {
                    self.unsent.clear();
                    self.stream.input = None;
                }
            }
        }
        Ok(())
    }
    fn read(&mut self, errors: bool) -> Result<bool, Lost> {
        let (fd, into) =
            if errors { (&self.stream.errors, &mut self.err) } else { (&self.stream.output, &mut self.out) };
        let mut buffer = [0; CHUNK];
        match rustix::io::read(fd, &mut buffer) {
            Ok(0) if errors => {
                self.err_open = false;
                Ok(false)
            }
            Ok(0) => Err(Lost(self.farewell())),
            Ok(n) => {
                into.extend_from_slice(&buffer[..n]);
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(e) => Err(Lost(e.to_string())),
        }
    }
    /// Before the answer begins nothing counts; a login script that prints without end must not fill the memory.
    fn forget_noise(&mut self, begin: &[u8]) {
        if self.out.len() > NOISE && find(&self.out, begin, 0).is_none() {
            let over = self.out.len() - begin.len();
            self.out.drain(..over);
            self.noisy = true;
        }
        if self.err.len() > NOISE {
            let over = self.err.len() - NOISE / 2;
            self.err.drain(..over);
            self.noisy = true;
        }
    }
    fn no_answer(&self, deadline: Duration) -> String {
        let secs = deadline.as_secs();
        if self.noisy {
            return format!("its shell printed without end and did not answer within {secs} s (what its login runs?)");
        }
        if self.stranger().is_some() {
            return format!("no shell answered within {secs} s, but something else did: a forced command?");
        }
        if self.seq == 1 {
            return format!("no shell answered within {secs} s: a forced command, or a login script that waits?");
        }
        format!("no answer within {secs} s")
    }
    /// The last line of something that is no session of ours, because nothing of ours was answered yet.
    fn stranger(&self) -> Option<String> {
        let said = String::from_utf8_lossy(&self.out);
        let last = said.lines().map(str::trim).rfind(|l| !l.is_empty())?;
        (self.seq == 1).then(|| last.chars().filter(|c| !c.is_control()).take(200).collect())
    }
    /// Gives the password that is asked for.
    fn prompted(&mut self) -> Result<(), Lost> {
        match self.password.as_mut().map(|p| p.look(&self.err)) {
            Some(Prompted::Now(password)) => self.unsent.extend(password),
            Some(Prompted::Wrong) => return Err(Lost("incorrect password".into())),
            Some(Prompted::NotYet) | None => {}
        }
        Ok(())
    }
    /// All that standard error has said since the last answer.
    pub fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.err).into_owned()
    }
    /// Why the stream ended: what was said last on standard error, and how the program ended.
    fn farewell(&mut self) -> String {
        while self.err_open && matches!(self.read(true), Ok(true)) {}
        let said = String::from_utf8_lossy(&self.err).into_owned();
        let last = said.lines().map(str::trim).rfind(|l| !l.is_empty() && !l.starts_with('@'));
        std::thread::sleep(Duration::from_millis(10));
        match (last, self.stream.ended()) {
            (_, Some(Ended { how, broken: true })) => how,
            (None, Some(Ended { how, .. })) if self.stranger().is_some() => {
                let said = self.stranger().expect("just seen");
                format!("no shell came ({how}), only `{said}`: a forced command, or an account that lets nobody in?")
            }
            (Some(last), _) => last.to_string(),
            (None, Some(Ended { how, .. })) => format!("its shell ended ({how})"),
            (None, None) => "the link was closed".into(),
        }
    }
    /// The text between the begin and the end mark of the message sent last.
    pub fn answer(&mut self, deadline: Duration) -> Result<Vec<u8>, Lost> {
        let (begin, end) = ([&self.mark()[..], b"<\n"].concat(), [&self.mark()[..], b">"].concat());
        let until = now() + deadline;
        loop {
            if let Some(from) = find(&self.out, &begin, 0)
                && let Some(to) = find(&self.out, &end, from)
                && let Some(line) = find(&self.out, b"\n", to)
            {
                let body = self.out[from + begin.len()..to].to_vec();
                self.out.drain(..=line);
                self.err.clear();
                self.password = None;
                return Ok(body);
            }
            // Bytes that keep coming are no answer.
            if !self.pump(until)? || now() >= until {
                return Err(Lost(self.no_answer(deadline)));
            }
            self.forget_noise(&begin);
        }
    }
    /// Takes one line that begins with `mark` off the front of standard output, if it is there whole.
    pub fn line(&mut self) -> Option<String> {
        let end = find(&self.out, b"\n", 0)?;
        let line = String::from_utf8_lossy(&self.out[..end]).into_owned();
        self.out.drain(..=end);
        Some(line)
    }
}
