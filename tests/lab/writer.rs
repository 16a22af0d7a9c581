//! A client that keeps inserting numbered rows through the virtual address, and remembers which were acknowledged.
//!
//! Why it exists: "no acknowledged row is lost" can only be said by somebody who wrote down each acknowledgement when it
//! came. It speaks PostgreSQL's protocol itself (a startup message and simple queries), since a `psql` for each row would
//! take this machine's time, and its waits could not be bounded. Invariants: a number is acknowledged only after the server
//! said `INSERT 0 1` and was ready again, and is then on this machine's disk; an attempt that failed is never tried again
//! under the same number.

use crate::rig::{Lab, VIP};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A connection that does not answer within this is given up; the row is then neither acknowledged nor denied.
const PATIENCE: Duration = Duration::from_millis(400);
const PAUSE: Duration = Duration::from_millis(15);

/// A session with the server.
struct Session(TcpStream);

impl Session {
    fn open() -> std::io::Result<Session> {
        let address: SocketAddr = format!("{VIP}:5432").parse().expect("an address");
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut session = Session(stream);
        let hello = b"\0\x03\0\0user\0xcatadm\0database\0xcatdb\0\0";
        session.0.write_all(&[&(hello.len() as u32 + 4).to_be_bytes()[..], hello].concat())?;
        session.ready()?;
        Ok(session)
    }
    /// Reads until the server is ready; answers its tags of completed commands.
    fn ready(&mut self) -> std::io::Result<String> {
        let mut done = String::new();
        loop {
            let mut head = [0; 5];
            self.0.read_exact(&mut head)?;
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]).saturating_sub(4);
            let mut body = vec![0; length as usize];
            self.0.read_exact(&mut body)?;
            match head[0] {
                b'Z' => return Ok(done),
                b'E' => return Err(std::io::Error::other(String::from_utf8_lossy(&body).into_owned())),
                b'C' => done += String::from_utf8_lossy(&body).trim_end_matches('\0'),
                _ => {}
            }
        }
    }
    fn insert(&mut self, n: u64) -> std::io::Result<()> {
        let query = format!("INSERT INTO written (n) VALUES ({n})\0");
        self.0.write_all(&[b"Q", &(query.len() as u32 + 4).to_be_bytes()[..], query.as_bytes()].concat())?;
        let done = self.ready()?;
        if done == "INSERT 0 1" { Ok(()) } else { Err(std::io::Error::other(done)) }
    }
}

/// One acknowledged row.
#[derive(Clone, Copy)]
struct Row {
    n: u64,
    at: Instant,
}

/// Writes as long as it lives.
pub struct Writer {
    over: Arc<AtomicBool>,
    rows: Arc<Mutex<Vec<Row>>>,
    /// Why the last attempt came to nothing.
    wrong: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// From a place on the wire that is no host and no station.
    pub fn new(lab: &Lab) -> Writer {
        let place = File::open(Path::new("/run/netns").join(lab.net("wire"))).expect("the wire has its namespace");
        let mut log = File::options()
            .create(true)
            .append(true)
            .open(lab.run.join("acknowledged"))
            .expect("the run's folder is ours");
        let (over, rows) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let wrong = Arc::new(Mutex::new(String::new()));
        let (stop, list, why) = (Arc::clone(&over), Arc::clone(&rows), Arc::clone(&wrong));
        let thread = std::thread::spawn(move || {
            use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
            use std::os::fd::AsFd;
            move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network)).expect("root enters a network");
            let mut session = None;
            for n in 1.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let wrote = match session.take() {
                    Some(open) => Ok(open),
                    None => Session::open(),
                }
                .and_then(|mut open| open.insert(n).map(|()| open));
                match wrote {
                    Ok(open) => {
                        session = Some(open);
                        writeln!(log, "{n}").and_then(|()| log.sync_data()).expect("this machine's disk takes a line");
                        list.lock().expect("nobody fails with it").push(Row { n, at: Instant::now() });
                    }
                    Err(error) => *why.lock().expect("nobody fails with it") = format!("row {n}: {error}"),
                }
                std::thread::sleep(PAUSE);
            }
        });
        Writer { over, rows, wrong, thread: Some(thread) }
    }
    pub fn acknowledged(&self) -> usize {
        self.rows.lock().expect("nobody fails with it").len()
    }
    /// Waits until a row that was begun after this moment is acknowledged; how long that took.
    #[track_caller]
    pub fn next(&self, patience: Duration) -> Duration {
        self.within(patience).unwrap_or_else(|why| panic!("no row was acknowledged for {patience:?}: {why}"))
    }
    /// The same, or what the last attempt came to.
    pub fn within(&self, patience: Duration) -> Result<Duration, String> {
        let from = Instant::now();
        // The first one may have been under way already.
        let enough = self.acknowledged() + 2;
        while self.acknowledged() < enough {
            if from.elapsed() > patience {
                return Err(self.wrong.lock().expect("nobody fails with it").clone());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(from.elapsed())
    }
    /// The longest time without an acknowledged row from this moment on.
    pub fn gap(&self, from: Instant) -> Duration {
        let rows = self.rows.lock().expect("nobody fails with it");
        let mut before = rows.iter().rfind(|r| r.at <= from).map_or(from, |r| r.at);
        let mut longest = Duration::ZERO;
        for row in rows.iter().filter(|r| r.at > from) {
            longest = longest.max(row.at - before);
            before = row.at;
        }
        longest
    }
    /// How long after this moment rows were acknowledged for good again; `None`: there was no pause worth the name.
    pub fn back(&self, from: Instant) -> Option<Duration> {
        let rows = self.rows.lock().expect("nobody fails with it");
        let mut before = rows.iter().rfind(|r| r.at <= from).map_or(from, |r| r.at);
        let mut back = None;
        for row in rows.iter().filter(|r| r.at > from) {
            if row.at - before > PATIENCE {
                back = Some(row.at - from);
            }
            before = row.at;
        }
        back
    }
    /// Every acknowledged row is in the table that this node serves.
    #[track_caller]
    pub fn nothing_is_lost(&self, lab: &Lab, node: &str) {
        // Those that are acknowledged by now; the table is read afterwards.
        let acknowledged: Vec<u64> = self.rows.lock().expect("nobody fails with it").iter().map(|r| r.n).collect();
        let table = lab.on(node, "psql -XAtq -h 10.5.106.7 -U xcatadm xcatdb -c 'SELECT n FROM written'");
        let table: BTreeSet<u64> = table.lines().filter_map(|l| l.parse().ok()).collect();
        let lost: Vec<&u64> = acknowledged.iter().filter(|n| !table.contains(n)).collect();
        assert!(lost.is_empty(), "{} of {} acknowledged rows are lost: {lost:?}", lost.len(), acknowledged.len());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
