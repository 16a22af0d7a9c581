//! A byte stream to a node's `sh`, and nothing more.
//!
//! Why it exists: this machine, a container behind `via` and a host behind SSH differ only in how that stream is opened;
//! everything else is one protocol ([`crate::session`]).
//!
//! Invariant: a transport never prompts, prints, retries, or knows what a step is. Its child has no terminal: it is in a
//! session of its own (so that neither ^C nor a password prompt can reach it) and its stdin is a pipe.

pub mod local;
pub mod ssh;
pub mod terminal;
pub mod via;

use crate::plan::{How, Node};
use crate::shell::Value;
use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// An open stream. Our ends of the pipes do not block.
pub struct Stream {
    /// `None` after the pipe was closed.
    pub input: Option<OwnedFd>,
    pub output: OwnedFd,
    pub errors: OwnedFd,
    end: End,
}

/// What is at the other end, as far as this side can tell.
enum End {
    Child(Box<local::Child>),
    /// A shell behind SSH: how it ended, once that is known.
    Far(Farewell),
}

/// Where the carrier of a stream's bytes leaves word of its end.
pub type Farewell = Arc<Mutex<Option<Ended>>>;

/// How the other end ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub how: String,
    /// Not the shell ended, the way to it broke.
    pub broken: bool,
}

impl Stream {
    /// How the other end ended, if it has; for saying why a link was lost.
    pub fn ended(&self) -> Option<Ended> {
        match &self.end {
            End::Child(child) => child.ended().map(|how| Ended { how, broken: false }),
            End::Far(ended) => ended.lock().expect("nobody panics while holding it").clone(),
        }
    }
}

impl Drop for Stream {
    /// Says that no more comes, and does not wait for the other side to believe it.
    fn drop(&mut self) {
        self.input = None;
        let end = std::mem::replace(&mut self.end, End::Far(Farewell::default()));
        if let End::Child(child) = end
            && child.ended().is_none()
        {
            // Where no thread can be had, its closed input is all that it is told.
            let _ = std::thread::Builder::new().spawn(move || child.end());
        }
    }
}

/// The far ends of a stream's pipes, for a transport that carries the bytes itself. They do not block.
pub struct Near {
    pub input: OwnedFd,
    pub output: OwnedFd,
    pub errors: OwnedFd,
    pub ended: Farewell,
}

/// Three pipes: our ends as a stream, the others for who carries them.
fn pipes() -> io::Result<(Stream, Near)> {
    let (far_in, input) = pipe_with(PipeFlags::CLOEXEC)?;
    let (output, far_out) = pipe_with(PipeFlags::CLOEXEC)?;
    let (errors, far_err) = pipe_with(PipeFlags::CLOEXEC)?;
    for fd in [&input, &output, &errors, &far_in, &far_out, &far_err] {
        fcntl_setfl(fd, fcntl_getfl(fd)? | OFlags::NONBLOCK)?;
    }
    let ended = Farewell::default();
    let stream = Stream { input: Some(input), output, errors, end: End::Far(Arc::clone(&ended)) };
    Ok((stream, Near { input: far_in, output: far_out, errors: far_err, ended }))
}

/// What only a person can say before a login goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// The host's key is in no known_hosts file. A yes is written into `file`.
    HostKey {
        node: String,
        host: String,
        port: u16,
        kind: String,
        fingerprint: String,
        file: PathBuf,
    },
    /// `again`: the one before was wrong.
    Passphrase {
        node: String,
        key: PathBuf,
        again: bool,
    },
    Password {
        node: String,
        login: String,
        again: bool,
    },
    /// One prompt of a keyboard-interactive login.
    Reply {
        node: String,
        login: String,
        instruction: String,
        prompt: String,
        echo: bool,
        /// The login before was refused.
        again: bool,
        /// Nothing was answered in this login before.
        first: bool,
    },
    /// `sudo`, `su`: the login's own password, or root's.
    Become {
        node: String,
        how: String,
        login: String,
        again: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Yes,
    No,
    /// No, and whatever else is being asked for is not to be asked.
    Stop,
    Text(Value),
    /// There is nobody to ask.
    Nobody,
}

/// Why a node cannot be reached, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// A lower-case fragment, fit for "cannot reach `n`: …".
    pub why: String,
    pub hint: Option<String>,
    /// The other side was busy: the same may succeed a moment later.
    pub busy: bool,
    /// There is a connection, but it gives no further channel.
    pub refused: bool,
}
impl Trouble {
    pub fn new(why: impl Into<String>) -> Trouble {
        Trouble { why: why.into(), hint: None, busy: false, refused: false }
    }
    pub fn hint(mut self, hint: impl Into<String>) -> Trouble {
        self.hint = Some(hint.into());
        self
    }
}
impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.hint {
            Some(hint) => write!(f, "{}; {hint}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

/// The ways to all nodes of a run.
pub struct Ways {
    /// Relative paths of a `via` are below it.
    base: PathBuf,
    net: ssh::Net,
    /// Passwords for becoming root that a person has given: by node, and by whose it is for the nodes that come after.
    passwords: Mutex<BTreeMap<String, String>>,
    /// Nodes that want one; whether the last one was wrong.
    wanted: Mutex<BTreeMap<String, bool>>,
}

impl Ways {
    pub fn new(base: &Path) -> Ways {
        Ways {
            base: base.to_path_buf(),
            net: ssh::Net::new(base),
            passwords: Mutex::default(),
            wanted: Mutex::default(),
        }
    }

    /// Opens a stream to a node. `command` is what sshd is to run; here and behind `via` it is `sh` itself.
    pub fn open(&self, node: &Node, command: String) -> Result<Stream, Trouble> {
        let said = |what: String| move |e: io::Error| Trouble::new(format!("cannot start {what}: {e}"));
        match &node.how {
            How::Local => local::open().map_err(said("`sh`".into())),
            How::Via(argv) => via::open(argv, &self.base).map_err(said(format!("`{}`", argv.join(" ")))),
            How::Ssh => self.net.shell(node, &command),
        }
    }

    /// Begins to reach nodes, where that takes time, and returns at once.
    pub fn expect<'a>(&self, nodes: impl Iterator<Item = &'a Node>) {
        nodes.filter(|n| n.how == How::Ssh).for_each(|n| self.net.expect(n));
    }

    /// Waits until these nodes are reached or cannot be; what a login wants of a person is asked here.
    pub fn settle(&self, nodes: &[&Node], ask: &mut dyn FnMut(&Need) -> Said) {
        let far: Vec<&Node> = nodes.iter().copied().filter(|n| n.how == How::Ssh).collect();
        if !far.is_empty() {
            self.net.settle(&far, ask);
        }
    }

    /// Where a node's SSH server would be, as far as the site and ssh_config say; `None`: no address is known.
    pub fn port(&self, node: &Node) -> Option<(String, u16)> {
        match node.how {
            How::Ssh => self.net.port(node),
            How::Local | How::Via(_) => Some((node.address.clone()?, 22)),
        }
    }

    /// The next stream to a node is opened over a fresh connection.
    pub fn forget(&self, node: &Node) {
        self.net.forget(node);
    }

    /// The login that commands run as, before they become root's.
    pub fn user(&self, node: &Node) -> String {
        match &node.how {
            How::Local => ssh::config::Me::here().login,
            How::Ssh => self.facts(node).map_or_else(|| "LOGIN".into(), |f| f.user),
            // Only what is behind it knows.
            How::Via(_) => "LOGIN".into(),
        }
    }

    pub fn password(&self, node: &Node) -> Option<String> {
        let whose = self.whose(node);
        let given = self.passwords.lock().expect("nobody panics while holding it");
        given.get(&format!("node {}", node.name)).or_else(|| given.get(&whose)).cloned()
    }
    pub fn give_password(&self, node: &Node, text: String) {
        let whose = self.whose(node);
        let mut given = self.passwords.lock().expect("nobody panics while holding it");
        given.insert(whose, text.clone());
        given.insert(format!("node {}", node.name), text);
    }
    /// Whose password it is: root's own is not tried where a login's is wanted, nor one login's for another.
    fn whose(&self, node: &Node) -> String {
        match node.become_root.as_deref() {
            Some("su") => "root".into(),
            _ => format!("login {}", self.user(node)),
        }
    }
    /// The node's session cannot become root's without a password.
    pub fn want_password(&self, node: &Node, again: bool) {
        self.wanted.lock().expect("nobody panics while holding it").insert(node.name.clone(), again);
    }
    pub fn wants_password(&self, node: &Node) -> Option<bool> {
        self.wanted.lock().expect("nobody panics while holding it").remove(&node.name)
    }

    /// What is known of the last SSH connection to a node, however far it came. Connects to nobody.
    pub fn facts(&self, node: &Node) -> Option<ssh::Facts> {
        (node.how == How::Ssh).then(|| self.net.facts(node)).flatten()
    }
}
