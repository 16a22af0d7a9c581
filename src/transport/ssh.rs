//! SSH, by libssh2: one connection a host, one thread a connection, any number of shells on it.
//!
//! Why it exists: a command may cost one round trip only, so connections stay open, and a second shell (to end what is stuck
//! in the first) must not cost a second login. The door to the ssh2 crate: nobody else imports it.
//!
//! What differs from the design's "a transport never prompts": a login may need a person in its middle (a key's passphrase,
//! an unknown host key). The transport still never asks. It puts an [`Need`] on the board and waits; whoever waits for the
//! connection ([`Net::settle`]) may answer, or let it be refused.
//!
//! Invariant: no byte goes to a host whose key is not in known_hosts or was not just accepted by a person; what a person
//! typed is kept in memory for reconnecting, and nowhere else.

pub mod agent;
pub mod config;
mod connection;
mod dial;
pub mod key_file;
pub mod known_hosts;
mod line;
mod login;

use super::{Need, Said, Stream, Trouble, pipes};
use crate::plan::Node;
use config::{Config, Me};
use connection::{Keeper, Want};
use known_hosts::Shelf;
use line::Far;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// For the login as a whole, a person's typing not counted. Each part has a shorter deadline of its own.
const PATIENCE: Duration = Duration::from_secs(60);
/// For a channel on a connection that stands.
const CHANNEL: Duration = Duration::from_secs(20);

/// What is known of a connection, for people; what it did not come to is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The address it is connected to, or was to be.
    pub address: String,
    pub port: u16,
    /// The server's own words, `SSH-2.0-…`.
    pub banner: String,
    /// Kind and fingerprint of the host's key.
    pub host_key: String,
    /// Where that key stands: `file:line`.
    pub known_in: String,
    pub user: String,
    /// What opened the door: `agent key …`, `key …`, `password`.
    pub login: String,
    /// What ssh_config asks for and this login does not do.
    pub notes: Vec<String>,
}

/// How far a connection is.
#[derive(Clone, Debug)]
enum State {
    Opening,
    Asking(Need, Option<Said>),
    Ready,
    /// It never stood: that is told once, then tried anew.
    Failed(Trouble),
    /// It stood and broke: nothing to tell, who wants it gets a new one.
    Broken,
}

/// Where threads say how far they are, and find the answers they wait for.
#[derive(Default)]
struct Board {
    states: Mutex<BTreeMap<u64, State>>,
    news: Condvar,
    /// What was learnt of each host, however far its login came.
    facts: Mutex<BTreeMap<String, Facts>>,
    /// How many are answering what is asked, or see to it that somebody does.
    attended: AtomicUsize,
    /// What persons have typed, by what it was for.
    typed: Mutex<BTreeMap<String, String>>,
    /// What several logins want is asked for by one of them.
    askers: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
}
impl Board {
    fn states(&self) -> MutexGuard<'_, BTreeMap<u64, State>> {
        self.states.lock().expect("nobody panics while holding it")
    }
    fn set(&self, number: u64, state: State) {
        self.states().insert(number, state);
        self.news.notify_all();
    }
    fn learnt(&self, host: &str, facts: Facts) {
        self.facts.lock().expect("nobody panics while holding it").insert(host.to_string(), facts);
    }
    fn ready(&self, number: u64) {
        self.set(number, State::Ready);
    }
    fn failed(&self, number: u64, why: Trouble) {
        self.set(number, State::Failed(why));
    }
    fn broken(&self, number: u64) {
        self.set(number, State::Broken);
    }
    /// Waits for a person's answer; for ever, because a person may need that long, and who does not want to wait for the
    /// connection any more does not wait for this thread either.
    fn ask(&self, number: u64, ask: Need) -> Said {
        self.set(number, State::Asking(ask, None));
        let mut states = self.states();
        loop {
            match states.get(&number) {
                Some(State::Asking(_, Some(said))) => {
                    let said = said.clone();
                    states.insert(number, State::Opening);
                    return said;
                }
                Some(State::Asking(..)) => {}
                _ => return Said::Nobody,
            }
            states = self.news.wait(states).expect("nobody panics while holding it");
        }
    }
    /// Waits until a connection stands, or cannot. `idle`: nobody waits for who waits here, so that it may take as long as it
    /// takes until somebody comes who answers.
    fn wait(&self, number: u64, idle: bool) -> Result<(), Trouble> {
        let mut until = Instant::now() + PATIENCE;
        let mut states = self.states();
        loop {
            // A person who is asked, about this host or one before it, takes the time that it takes.
            let asked = || states.values().any(|s| matches!(s, State::Asking(..)));
            if (idle || self.attended.load(Ordering::SeqCst) > 0) && asked() {
                until = Instant::now() + PATIENCE;
            }
            match states.get(&number) {
                Some(State::Ready) => return Ok(()),
                Some(State::Failed(why)) => return Err(why.clone()),
                Some(State::Broken) => return Err(Trouble::new("its connection has just ended")),
                _ => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Trouble::new(format!("its login was not finished within {} s", PATIENCE.as_secs())));
            }
            states = self.news.wait_timeout(states, left).expect("nobody panics while holding it").0;
        }
    }
    fn remembered(&self, what: &str) -> Option<String> {
        self.typed.lock().expect("nobody panics while holding it").get(what).cloned()
    }
    fn remember(&self, what: String, text: String) {
        self.typed.lock().expect("nobody panics while holding it").insert(what, text);
    }
    /// Held by who asks for this, until it is known whether that was right.
    fn asker(&self, what: &str) -> Arc<Mutex<()>> {
        let mut askers = self.askers.lock().expect("nobody panics while holding it");
        Arc::clone(askers.entry(what.to_string()).or_default())
    }
    fn forget(&self, what: &str) {
        self.typed.lock().expect("nobody panics while holding it").remove(what);
    }
}

/// How a host's port is reached.
enum Through {
    Direct,
    Command(String),
    /// A channel of this connection; whose it is, in words.
    Bastion(Arc<Kept>, String),
}

/// Everything a thread needs to open one connection.
struct Road {
    node: String,
    config: Config,
    through: Through,
    me: Arc<Me>,
    shelf: Arc<Shelf>,
}

impl Road {
    /// What is known before the first byte.
    fn facts(&self) -> Facts {
        let Config { hostname, port, user, notes, .. } = &self.config;
        let (address, user, notes) = (hostname.clone(), user.clone(), notes.clone());
        Facts { address, port: *port, user, notes, ..Facts::default() }
    }
}

/// A connection as others hold it.
struct Kept {
    keeper: Keeper,
    number: u64,
}
impl Kept {
    fn ask(&self, want: Want) -> bool {
        self.keeper.ask(want)
    }
}

/// All SSH connections of one run.
pub struct Net {
    board: Arc<Board>,
    /// By host, or by jump: several when a server gives only one channel a connection.
    kept: Mutex<BTreeMap<String, Vec<Arc<Kept>>>>,
    /// The hosts on the way to each node, the node last.
    ways: Mutex<BTreeMap<String, Result<Vec<Config>, Trouble>>>,
    /// Folder of the site file, for key files.
    base: PathBuf,
    me: Arc<Me>,
    shelf: Arc<Shelf>,
    next: Mutex<u64>,
    /// One thread a name looks whether there is a connection and begins one.
    turns: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
}

impl Net {
    pub fn new(base: &Path) -> Net {
        let (board, kept, ways, shelf, next, turns) = Default::default();
        Net { board, kept, ways, base: base.to_path_buf(), me: Arc::new(Me::here()), shelf, next, turns }
    }

    /// Begins to connect to a node, if nothing has begun yet, and returns at once.
    pub fn expect(&self, node: &Node) {
        let _ = self.first(node);
    }

    /// Waits until these nodes are connected or cannot be, answering what is asked for meanwhile.
    pub fn settle(&self, nodes: &[&Node], ask: &mut dyn FnMut(&Need) -> Said) {
        let numbers: Vec<u64> = nodes.iter().filter_map(|n| self.first(n).ok()).map(|k| k.number).collect();
        self.board.attended.fetch_add(1, Ordering::SeqCst);
        self.attend(&numbers, ask);
        self.board.attended.fetch_sub(1, Ordering::SeqCst);
    }
    fn attend(&self, numbers: &[u64], ask: &mut dyn FnMut(&Need) -> Said) {
        let mut until = Instant::now() + PATIENCE;
        let mut stopped = false;
        let mut states = self.board.states();
        loop {
            // Bastions ask, too, and their nodes wait for them.
            let asked = states.iter().find_map(|(n, s)| match s {
                State::Asking(ask, None) => Some((*n, ask.clone())),
                _ => None,
            });
            if let Some((number, question)) = asked {
                drop(states);
                let since = Instant::now();
                let said = if stopped { Said::No } else { ask(&question) };
                stopped |= said == Said::Stop;
                until += since.elapsed();
                states = self.board.states();
                if let Some(State::Asking(_, answer @ None)) = states.get_mut(&number) {
                    *answer = Some(said);
                    self.board.news.notify_all();
                }
                continue;
            }
            let open = |n: &u64| matches!(states.get(n), Some(State::Opening | State::Asking(..)));
            let left = until.saturating_duration_since(Instant::now());
            if !numbers.iter().any(open) || left.is_zero() {
                return;
            }
            states = self.board.news.wait_timeout(states, left).expect("nobody panics while holding it").0;
        }
    }

    /// What is known of a node's last connection, however far it came.
    pub fn facts(&self, node: &Node) -> Option<Facts> {
        self.board.facts.lock().expect("nobody panics while holding it").get(&node.name).cloned()
    }

    /// Opens one more shell on a node.
    pub(super) fn shell(&self, node: &Node, command: &str) -> Result<Stream, Trouble> {
        let mut tried = None;
        for kept in self.standing(node)? {
            if let Err(why) = self.wait(&kept) {
                self.drop_one(node, &kept);
                return Err(why);
            }
            match open(&kept, command) {
                // A server that gives one channel only is asked for another connection.
                Err(t) if t.refused => tried = Some(t),
                opened => return opened,
            }
        }
        if self.lines(node) > 2 {
            return Err(tried.unwrap_or_else(|| Trouble::new("no connection is left")));
        }
        let more = self.dial(node)?;
        self.wait(&more)?;
        open(&more, command).map_err(|t| tried.unwrap_or(t))
    }

    /// Throws a node's connections away: the next shell gets a fresh one.
    pub fn forget(&self, node: &Node) {
        self.held().remove(&node.name);
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Arc<Kept>>>> {
        self.kept.lock().expect("nobody panics while holding it")
    }
    fn drop_one(&self, node: &Node, gone: &Arc<Kept>) {
        if let Some(all) = self.held().get_mut(&node.name) {
            all.retain(|k| k.number != gone.number);
        }
    }
    fn lines(&self, node: &Node) -> usize {
        self.held().get(&node.name).map_or(0, Vec::len)
    }
    /// The connections of a node that are not known to be broken; at least one, which may just have begun.
    fn standing(&self, node: &Node) -> Result<Vec<Arc<Kept>>, Trouble> {
        let first = self.first(node)?;
        let held = self.held();
        Ok(held.get(&node.name).cloned().unwrap_or_else(|| vec![first]))
    }
    fn turn(&self, name: &str) -> Arc<Mutex<()>> {
        let mut turns = self.turns.lock().expect("nobody panics while holding it");
        Arc::clone(turns.entry(name.to_string()).or_default())
    }
    /// A connection of this name that stands or is being opened. One that failed counts, too, where that is not told yet.
    fn usable(&self, name: &str, failed_too: bool) -> Option<Arc<Kept>> {
        let mut held = self.held();
        let all = held.get_mut(name)?;
        let states = self.board.states();
        all.retain(|k| match states.get(&k.number) {
            Some(State::Broken) | None => false,
            Some(State::Failed(_)) => failed_too,
            _ => true,
        });
        all.first().cloned()
    }
    fn first(&self, node: &Node) -> Result<Arc<Kept>, Trouble> {
        let turn = self.turn(&node.name);
        let _mine = turn.lock().expect("nobody panics while holding it");
        match self.usable(&node.name, true) {
            Some(kept) => Ok(kept),
            None => self.dial(node),
        }
    }
    fn dial(&self, node: &Node) -> Result<Arc<Kept>, Trouble> {
        let mut way = self.way(node)?;
        let last = way.pop().expect("a way ends at its node");
        let through = self.through(way, &last);
        Ok(self.begin(node.name.clone(), last, through))
    }
    fn begin(&self, name: String, config: Config, through: Through) -> Arc<Kept> {
        let number = {
            let mut next = self.next.lock().expect("nobody panics while holding it");
            *next += 1;
            *next
        };
        self.board.set(number, State::Opening);
        let road =
            Road { node: name.clone(), config, through, me: Arc::clone(&self.me), shelf: Arc::clone(&self.shelf) };
        let kept = Arc::new(Kept { keeper: connection::start(road, Arc::clone(&self.board), number), number });
        self.held().entry(name).or_default().push(Arc::clone(&kept));
        kept
    }
    /// Its host and port, contacting nobody.
    pub fn port(&self, node: &Node) -> Option<(String, u16)> {
        let last = self.way(node).ok()?.pop()?;
        Some((last.hostname, last.port))
    }
    /// ssh_config is read once a run: what it said when the run began holds.
    fn way(&self, node: &Node) -> Result<Vec<Config>, Trouble> {
        let ways = || self.ways.lock().expect("nobody panics while holding it");
        if let Some(known) = ways().get(&node.name) {
            return known.clone();
        }
        let address = node.address.as_deref().unwrap_or(&node.name);
        let way = Config::way(address, &node.login, &self.base, &self.me).map_err(Trouble::new);
        ways().insert(node.name.clone(), way.clone());
        way
    }
    /// One connection to a bastion, however many nodes are behind it.
    fn through(&self, way: Vec<Config>, last: &Config) -> Through {
        let mut name = "the way".to_string();
        let mut through = None;
        let direct = |config: &Config| config.proxy_command.clone().map_or(Through::Direct, Through::Command);
        for config in way {
            // A host that is reached through another is not the same connection as one that is reached directly.
            let whom = format!("{}@{}:{}", config.user, config.hostname, config.port);
            name = format!("{name} {whom}");
            let turn = self.turn(&name);
            let _mine = turn.lock().expect("nobody panics while holding it");
            let lead = through.take().unwrap_or_else(|| direct(&config));
            let kept = self.usable(&name, false).unwrap_or_else(|| self.begin(name.clone(), config, lead));
            through = Some(Through::Bastion(kept, whom));
        }
        through.unwrap_or_else(|| direct(last))
    }
    fn wait(&self, kept: &Kept) -> Result<(), Trouble> {
        self.board.wait(kept.number, false)
    }
}

fn open(kept: &Kept, command: &str) -> Result<Stream, Trouble> {
    let (stream, near) = pipes().map_err(|e| Trouble::new(format!("no pipes can be made here: {e}")))?;
    let (opened, answer) = channel();
    let near =
        line::Near { input: near.input, output: near.output, errors: Some(near.errors), ended: near.ended, opened };
    if !kept.ask(Want::Line(Far::Shell(command.into()), near)) {
        return Err(Trouble::new("its connection has just ended"));
    }
    match answer.recv_timeout(CHANNEL) {
        Ok(answer) => answer.map(|()| stream),
        Err(_) => Err(Trouble::new(format!("sshd did not open a session within {} s", CHANNEL.as_secs()))
            .hint("its sshd is stopped or very busy")),
    }
}
