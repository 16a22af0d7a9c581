//! One protocol for every node: looks, recorded steps, the lock, and the truth after a lost link.
//!
//! Why it exists: a link can be cut at any byte, and the question "did it run?" must then have an answer. So every node gets
//! the same small prelude (`session.sh`, `lock.sh`) over whatever stream its transport opens, and the node itself keeps what
//! is true: a step is claimed there, started there by a leader that outlives the link, and its code is kept there.
//!
//! The eight rules, and where they live:
//! 1. *Never* is final: leader and whoever asks race to make the claim's `go`; the first decides (`hz_tell`, `leader.sh`).
//! 2. The state directory is the node's; *never* needs the run's marker and the boot id (`hz_judge`, `hz_tell`).
//! 3. A leader is boot id + pid namespace + pid + start time (`hz_alive`).
//! 4. Refusals carry their reason; room is taken before the start; a result is made once; output is capped (`hz_claim`).
//! 5. Claims are made inside the lock's generation; taking over renames it (`hz_take`, [`lock`], [`station`]).
//! 6. The step's world is the login's (`leader.sh`, [`crate::transport`]).
//! 7. POSIX tools and `setsid` only.
//! 8. Deadlines: a look's process group is killed through a second stream; the session goes on.
//!
//! Invariant: one round trip a command, and no answer is ever made up. A node's whole session is root's when the node says
//! `become = "sudo"`: claims, lock and identity are then root's too. Nodes do not know of each other ([`seat`]): what is
//! asked of several of them is asked side by side ([`abreast`]), and answered in the order it was asked in.

mod abreast;
mod copy;
mod door;
mod knock;
mod lay;
mod live;
mod lock;
mod patience;
mod root;
mod seat;
mod station;
mod wire;

use crate::journal::{self, Journal, Trail};
use crate::plan::Node;
use crate::reach::{Ask, Claim, Greeting, Locked, Progress, Reach, Reply, Sent, Started, Truth, Unreachable};
use crate::register::Register;
use crate::shell::Value;
use crate::transport::{Need, Said, Ways, ssh};
pub use copy::unpacked;
use door::Door;
pub use door::STATE;
pub use lock::Broken;
use seat::Seat;
pub use station::{Copied, Left, Standing, name};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// What answers where nobody is: nothing.
pub type Nobody = fn(&Need) -> Said;

/// A look, when it was sent, and how long its answer took.
pub struct Timed {
    pub at: SystemTime,
    pub took: Duration,
    pub reply: Result<Reply, Unreachable>,
}

/// The nodes of one run, each behind its own session. `P` answers what a login needs of a person; it is asked on the thread
/// that works with the fleet, and need not be fit for any other.
pub struct Fleet<P = Nobody> {
    seats: Vec<Seat>,
    ways: Arc<Ways>,
    person: P,
    /// Where this station keeps the records of its runs.
    records: Option<PathBuf>,
}

fn stranger(node: &str) -> Unreachable {
    Unreachable { node: node.into(), why: "the plan has no such node".into(), hint: None }
}

impl Fleet {
    /// Connects to nobody. `base`: the folder of the site file, for `via`.
    pub fn new(nodes: Vec<Node>, base: PathBuf) -> Fleet {
        // For tests on machines whose temporary folder is a tmpfs: claims there last as long as the boot, which the boot id
        // checks anyway.
        let tmpfs = std::env::var_os("HAWIZ_TMPFS_STATE").is_some_and(|v| v == "1");
        let ways = Arc::new(Ways::new(&base));
        let seat = |node| Seat::new(Door { node, ways: Arc::clone(&ways), tmpfs });
        let seats = nodes.into_iter().map(seat).collect();
        Fleet { seats, ways, person: |_| Said::Nobody, records: None }
    }
}

impl<P: FnMut(&Need) -> Said> Fleet<P> {
    /// Somebody else who can be asked for what a login needs.
    pub fn asking<Q: FnMut(&Need) -> Said>(self, person: Q) -> Fleet<Q> {
        Fleet { seats: self.seats, ways: self.ways, person, records: self.records }
    }
    /// A fleet of the station whose runs are kept there.
    pub fn of_station(self, state: &std::path::Path) -> Self {
        Fleet { records: Some(state.to_path_buf()), ..self }
    }
    /// What logins need of a person is asked here, on the caller's own thread, before the seats are worked on.
    fn settle(&mut self, nodes: &[&str]) {
        // Nobody is asked for what a node wants that is not waited for.
        let shut = |s: &&Seat| nodes.contains(&s.door.node.name.as_str()) && !s.is_open() && s.hurry.is_none();
        let shut: Vec<&Node> = self.seats.iter().filter(shut).map(|s| &s.door.node).collect();
        self.ways.settle(&shut, &mut self.person);
    }
    /// Who holds each node's lock now, in words. Changes nothing.
    pub fn holders(&mut self, nodes: &[String]) -> Vec<Option<String>> {
        self.locks(nodes).into_iter().map(|(held, _)| held).collect()
    }
    /// That, and the runs whose lock was broken and that nobody has gone on with since.
    pub fn locks(&mut self, nodes: &[String]) -> Vec<(Option<String>, Vec<Broken>)> {
        let asked = self.each(nodes.iter().map(|n| (n.as_str(), ())), |seat, ()| seat.holder());
        asked.into_iter().map(Option::unwrap_or_default).collect()
    }
    /// As [`Reach::look_all`], against the clock.
    pub fn look_timed(&mut self, asks: &[Ask]) -> Vec<Timed> {
        let timed = |seat: &mut Seat, a: &Ask| {
            let (at, begun) = (SystemTime::now(), Instant::now());
            let reply = seat.look(&a.sent, a.deadline);
            Timed { at, took: begun.elapsed(), reply }
        };
        let said = self.each(asks.iter().map(|a| (a.node.as_str(), a)), timed);
        let nobody = |a: &Ask| Timed { at: SystemTime::now(), took: Duration::ZERO, reply: Err(stranger(&a.node)) };
        said.into_iter().zip(asks).map(|(said, a)| said.unwrap_or_else(|| nobody(a))).collect()
    }
    /// The run these nodes work for: what a copy of its journal is made from, and the stations it has come by, this one's
    /// last. What is done on this machine itself needs no copy here.
    pub fn carry(&mut self, trail: Trail, stations: &[String]) {
        let trail = Arc::new(trail);
        for seat in &mut self.seats {
            seat.stations = stations.join(" ");
            seat.copy.trail = (seat.door.node.name != "here").then(|| Arc::clone(&trail));
        }
    }
    /// Who holds the node, and what that run (or this one) left there. Makes nothing final.
    pub fn standing(&mut self, node: &str, run: Option<&str>) -> Result<Standing, Unreachable> {
        self.greet(node)?;
        self.seat(node)?.standing(run)
    }
    /// Ends what runs of a claim.
    pub fn end(&mut self, node: &str, run: &str, name: &str, grace: Duration) -> Result<Truth, Unreachable> {
        self.seat(node)?.end(run, name, grace)
    }
    /// The runs of which a node has a copy.
    pub fn copies(&mut self, node: &str) -> Result<Vec<String>, Unreachable> {
        self.greet(node)?;
        self.seat(node)?.copies()
    }
    /// What nodes keep of a run, asked side by side.
    pub fn copied(&mut self, nodes: &[String], run: &str) -> Vec<Result<Option<Copied>, Unreachable>> {
        let said = self.each(nodes.iter().map(|n| (n.as_str(), ())), |seat, ()| seat.copied(run));
        said.into_iter().zip(nodes).map(|(said, n)| said.unwrap_or_else(|| Err(stranger(n)))).collect()
    }
    /// What is known of a node's SSH connection, however far it came.
    pub fn facts(&self, node: &str) -> Option<ssh::Facts> {
        self.ways.facts(&self.seats[self.index(node)?].door.node)
    }
    /// Another cap for a step's kept output, per stream.
    pub fn cap(mut self, bytes: usize) -> Self {
        self.seats.iter_mut().for_each(|s| s.cap = bytes);
        self
    }
    /// Whether claims are kept on a tmpfs; `HAWIZ_TMPFS_STATE=1` says yes.
    pub fn tmpfs(mut self, accepted: bool) -> Self {
        self.seats.iter_mut().for_each(|s| s.door.tmpfs = accepted);
        self
    }
    fn index(&self, node: &str) -> Option<usize> {
        self.seats.iter().position(|s| s.door.node.name == node)
    }
    fn seat(&mut self, node: &str) -> Result<&mut Seat, Unreachable> {
        self.settle(&[node]);
        self.seats.iter_mut().find(|s| s.door.node.name == node).ok_or_else(|| stranger(node))
    }
    /// Greets again, with a password, a node that wants one to become root. Three tries, as the programs themselves give.
    fn with_password(&mut self, node: &str, mut met: Result<Greeting, Unreachable>) -> Result<Greeting, Unreachable> {
        for _ in 0..3 {
            let Some(i) = self.index(node).filter(|_| met.is_err()) else { break };
            let whom = &self.seats[i].door.node;
            let Some(again) = self.ways.wants_password(whom) else { break };
            let how = whom.become_root.clone().unwrap_or_default();
            // One that worked elsewhere is tried before anybody is asked.
            let known = self.ways.password(whom).is_some() && !again;
            if !known {
                let login = if how == "su" { "root".into() } else { self.ways.user(whom) };
                let Said::Text(text) = (self.person)(&Need::Become { node: node.into(), how, login, again }) else {
                    break;
                };
                self.ways.give_password(whom, text.lossy().to_string());
            }
            met = self.seats[i].greet();
        }
        met
    }
    /// Looks, of which those of one node are side by side, too: all but its first over sessions of their own. Where no more
    /// of them can be had they come one after the other.
    fn look_apart(&mut self, asks: &[Ask]) -> Vec<Result<Reply, Unreachable>> {
        let is_first = |i: &usize| !asks[..*i].iter().any(|a| a.node == asks[*i].node);
        let (first, more): (Vec<usize>, Vec<usize>) = (0..asks.len()).partition(is_first);
        let mut more: Vec<(usize, Seat)> = more
            .into_iter()
            .filter_map(|i| Some((i, Seat::new(self.seats[self.index(&asks[i].node)?].door.clone()))))
            .collect();
        let mut said: Vec<Option<Result<Reply, Unreachable>>> = asks.iter().map(|_| None).collect();
        std::thread::scope(|scope| {
            let apart: Vec<_> = more
                .iter_mut()
                .filter_map(|(i, seat)| {
                    let ask = &asks[*i];
                    let look = move || seat.look(&ask.sent, ask.deadline);
                    Some((*i, std::thread::Builder::new().spawn_scoped(scope, look).ok()?))
                })
                .collect();
            let wanted: Vec<Ask> = first.iter().map(|i| asks[*i].clone()).collect();
            for (i, reply) in first.iter().zip(self.look_all(&wanted)) {
                said[*i] = Some(reply);
            }
            for (i, look) in apart {
                said[i] = look.join().ok();
            }
        });
        let look = |(i, said): (usize, Option<Result<Reply, Unreachable>>)| match said {
            Some(Err(_)) | None if !is_first(&i) => self.look(&asks[i].node, &asks[i].sent, asks[i].deadline),
            said => said.unwrap_or_else(|| Err(stranger(&asks[i].node))),
        };
        said.into_iter().enumerate().map(look).collect()
    }
    /// Does the work of each node, side by side, each node's own in order; `None`: there is no such node.
    fn each<'w, W: Send, R: Send>(
        &mut self,
        work: impl Iterator<Item = (&'w str, W)>,
        does: impl Fn(&mut Seat, W) -> R + Sync,
    ) -> Vec<Option<R>> {
        let work: Vec<(&str, W)> = work.collect();
        self.settle(&work.iter().map(|(node, _)| *node).collect::<Vec<_>>());
        let work = work.into_iter().map(|(node, w)| (self.index(node), w)).collect();
        abreast::work(&mut self.seats, work, does)
    }
}

impl<P: FnMut(&Need) -> Said> Reach for Fleet<P> {
    fn expect(&mut self, nodes: &[String]) {
        let wanted = |s: &&mut Seat| nodes.contains(&s.door.node.name);
        abreast::open(self.seats.iter_mut().filter(wanted).filter_map(Seat::expect));
    }

    fn greet(&mut self, node: &str) -> Result<Greeting, Unreachable> {
        let met = self.seat(node)?.greet();
        self.with_password(node, met)
    }

    fn greet_all(&mut self, nodes: &[String]) -> Vec<Result<Greeting, Unreachable>> {
        let met = self.each(nodes.iter().map(|n| (n.as_str(), ())), |seat, ()| seat.greet());
        let met = met.into_iter().zip(nodes).map(|(met, n)| (n, met.unwrap_or_else(|| Err(stranger(n)))));
        met.collect::<Vec<_>>().into_iter().map(|(n, met)| self.with_password(n, met)).collect()
    }

    fn look(&mut self, node: &str, sent: &Sent, deadline: Duration) -> Result<Reply, Unreachable> {
        self.seat(node)?.look(sent, deadline)
    }

    fn look_all(&mut self, asks: &[Ask]) -> Vec<Result<Reply, Unreachable>> {
        let said = self.each(asks.iter().map(|a| (a.node.as_str(), a)), |seat, a| seat.look(&a.sent, a.deadline));
        said.into_iter().zip(asks).map(|(said, a)| said.unwrap_or_else(|| Err(stranger(&a.node)))).collect()
    }

    fn lock(&mut self, node: &str, run: &str, marker: &str, holder: &str) -> Result<Locked, Unreachable> {
        self.seat(node)?.lock(run, marker, holder)
    }

    fn unlock(&mut self, node: &str, run: &str) -> Result<(), Unreachable> {
        self.seat(node)?.unlock(run)
    }

    fn break_lock(&mut self, node: &str, reason: &str) -> Result<Option<String>, Unreachable> {
        self.seat(node)?.break_lock(reason)
    }

    fn inscribe(&mut self, node: &str, register: &Register) -> Result<(), String> {
        self.seat(node).map_err(|e| e.why)?.inscribe(register)
    }

    fn start(&mut self, node: &str, claim: &Claim, sent: &Sent) -> Started {
        match self.seat(node) {
            Ok(seat) => seat.start(claim, sent),
            Err(e) => Started::Refused(e.why),
        }
    }

    fn lay(&mut self, node: &str, claim: &Claim, sent: &Sent) -> Result<String, String> {
        self.seat(node).map_err(|e| e.why)?.lay(claim, sent)
    }

    fn poll(&mut self, node: &str, claim: &Claim, wait: Duration) -> Progress {
        match self.seat(node) {
            Ok(seat) => seat.poll(claim, wait),
            Err(e) => Progress::Lost(e.why),
        }
    }

    fn truth(&mut self, node: &str, claim: &Claim) -> Result<Truth, Unreachable> {
        self.seat(node)?.truth(claim)
    }

    fn cancel(&mut self, node: &str, claim: &Claim, grace: Duration) -> Result<Truth, Unreachable> {
        self.seat(node)?.cancel(claim, grace)
    }

    fn output(&mut self, node: &str, claim: &Claim) -> Result<(Value, Value), Unreachable> {
        self.seat(node)?.output(claim)
    }

    fn alive(&mut self, node: &str, within: Duration) -> Option<String> {
        let seat = &self.seats[self.index(node)?];
        knock::heard(knock::at(self.ways.port(&seat.door.node)?, within), within)
    }

    fn signs(
        &mut self,
        node: &str,
        asks: &[Ask],
        within: Duration,
    ) -> (Option<String>, Vec<Result<Reply, Unreachable>>) {
        let port = self.index(node).and_then(|i| self.ways.port(&self.seats[i].door.node));
        let knocked = port.map(|port| knock::at(port, within));
        let said = self.look_apart(asks);
        (knocked.and_then(|knocked| knock::heard(knocked, within)), said)
    }

    fn hurry(&mut self, nodes: &[String], within: Duration) {
        self.seats.iter_mut().filter(|s| nodes.contains(&s.door.node.name)).for_each(|s| s.hurry = Some(within));
    }

    fn later(&self, node: &str) -> Vec<String> {
        self.index(node).map(|i| self.seats[i].later.clone()).unwrap_or_default()
    }

    fn beat(&mut self, nodes: &[String], within: Duration) {
        self.each(nodes.iter().map(|n| (n.as_str(), ())), |seat, ()| seat.beat(within));
    }

    fn generation(&self, node: &str) -> Option<String> {
        self.seats[self.index(node)?].held.as_ref().map(|held| held.generation.clone())
    }

    fn give_back(&mut self, node: &str, others: &[String]) -> Option<String> {
        let standing = self.standing(node, None).ok()?;
        let (run, _) = standing.holder?;
        // What it left running is followed by whoever goes on with it.
        if standing.claims.iter().any(|c| matches!(c.truth, Some(Truth::Running))) {
            return None;
        }
        let own = self.records.as_deref().and_then(|state| Journal::read(state, &run).ok());
        let own = own.and_then(|(_, records)| journal::ended(&records, node, &standing.generation));
        let (said, by) = match own {
            Some(said) => (said, "as this station's record says".to_string()),
            None => self.copied(others, &run).into_iter().zip(others).find_map(|(copied, other)| {
                let copied = copied.ok()??;
                let copy = journal::Copy::read(&run, &copied.plan, &copied.journals).ok()?;
                let said = journal::ended(&copy.records, node, &standing.generation)?;
                Some((said, format!("as the copy of its record on {other} says")))
            })?,
        };
        let given = self.seat(node).ok()?.give_back(&run, &standing.generation).unwrap_or_default();
        given.then(|| format!("run {run}, which has ended ({said}), {by}"))
    }

    fn taken(&mut self, node: &str) -> Option<String> {
        self.seats.iter().find(|s| s.door.node.name == node)?.taken.clone()
    }

    fn syslog(&mut self, node: &str, line: &str) {
        if let Ok(seat) = self.seat(node) {
            seat.syslog(line);
        }
    }

    fn forget(&mut self, node: &str) {
        if let Ok(seat) = self.seat(node) {
            seat.forget();
        }
    }
}
