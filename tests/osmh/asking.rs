//! An instance that asks all three ports of the load balancer all the while, and what came of each request.
//!
//! Why it exists: that no request is lost can only be said by who made them. They are made on a beat, each on a connection of
//! its own and once (`ask` in the world's `guest`), so one that hangs delays no other, and a gap in service is as long as it is.

use crate::rig::Lab;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds between two requests to a port.
pub const BEAT: u64 = 60;
/// Seconds that a request is waited for.
const PATIENCE: u64 = 6;

/// Milliseconds of the wall clock, which all hosts of this machine share.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

#[derive(Clone, Debug)]
pub struct Request {
    pub number: u64,
    pub port: u16,
    /// Both in milliseconds of the wall clock.
    pub began: u64,
    pub ended: u64,
    /// The station that answered, or why none did.
    pub who: Result<String, String>,
}

pub struct Asking {
    child: Child,
    until: Option<ChildStdin>,
    seen: Arc<Mutex<Vec<Request>>>,
    reader: Option<JoinHandle<()>>,
}

impl Asking {
    pub fn start(lab: &Lab) -> Asking {
        let mut ask = Command::new(lab.run.join("enter"));
        ask.args(["web1", "/usr/local/sbin/ask", "10.77.0.30", &BEAT.to_string(), &PATIENCE.to_string()]);
        let mut child = ask.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the run has its enter");
        let (until, out) = (child.stdin.take(), child.stdout.take().expect("piped"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&seen);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                into.lock().expect("nobody fails with it").push(request(&line).unwrap_or_else(|| panic!("{line}")));
            }
        });
        let asking = Asking { child, until, seen, reader: Some(reader) };
        asking.go_on();
        asking
    }
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("nobody fails with it").clone()
    }
    /// Those that began after this moment.
    pub fn since(&self, moment: u64) -> Vec<Request> {
        self.seen().into_iter().filter(|r| r.began > moment).collect()
    }
    /// Until ten more requests a port have begun, and all that began before have ended.
    #[track_caller]
    pub fn go_on(&self) {
        let (from, until) = (now(), Instant::now() + Duration::from_secs(60));
        loop {
            let seen = self.seen();
            let later = seen.iter().filter(|r| r.began > from).map(|r| r.number).nth(30);
            if let Some(last) = later
                && seen.iter().filter(|r| r.number <= last).count() as u64 == last
            {
                return;
            }
            assert!(Instant::now() < until, "the instance asks no more");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    /// Who answered since then, and that nobody else did, and nothing was lost.
    #[track_caller]
    pub fn only(&self, station: &str, moment: u64) {
        self.go_on();
        let since = self.since(moment);
        let others: Vec<&Request> = since.iter().filter(|r| r.who.as_deref() != Ok(station)).collect();
        for port in [16080, 17080, 17443] {
            assert!(since.iter().any(|r| r.port == port), "nobody asked port {port}");
        }
        assert!(others.is_empty(), "of {} requests since {moment} not by {station}: {others:?}", since.len());
    }
    /// How many requests there were, and those that were lost.
    pub fn stop(mut self) -> (usize, Vec<Request>) {
        self.end();
        let seen = self.seen();
        let count = seen.len();
        (count, seen.into_iter().filter(|r| r.who.is_err()).collect())
    }
    fn end(&mut self) {
        drop(self.until.take());
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.end();
    }
}

/// A download that takes so many seconds, made by the instance too.
pub struct Download {
    child: Child,
    pub from: String,
    rest: ChildStdout,
}

impl Download {
    pub fn start(lab: &Lab, seconds: u32) -> Download {
        let mut curl = Command::new(lab.run.join("enter"));
        curl.args(["web1", "curl", "-sN", &format!("http://10.77.0.30:17080/slow/{seconds}")]);
        let mut child = curl.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the run has its enter");
        let (mut rest, mut from) = (child.stdout.take().expect("piped"), [0; 3]);
        rest.read_exact(&mut from).expect("it begins with the station's name");
        Download { child, from: String::from_utf8_lossy(&from).into_owned(), rest }
    }
    /// One from each station.
    pub fn of_each(lab: &Lab, seconds: u32) -> [Download; 2] {
        let mut all: Vec<Download> = Vec::new();
        for _ in 0..50 {
            let one = Download::start(lab, seconds);
            if all.iter().all(|d| d.from != one.from) {
                all.push(one);
            }
            if all.len() == 2 {
                break;
            }
        }
        all.sort_by(|a, b| a.from.cmp(&b.from));
        all.try_into().unwrap_or_else(|_| panic!("only one station serves downloads"))
    }
    pub fn goes_on(&mut self) -> bool {
        self.child.try_wait().expect("it is ours").is_none()
    }
    /// Whether it came whole.
    pub fn end(mut self) -> bool {
        let mut rest = String::new();
        let _ = self.rest.read_to_string(&mut rest);
        rest == " whole"
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // What curl itself does ends with its host.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn request(line: &str) -> Option<Request> {
    let mut words = line.splitn(5, ' ');
    let (number, port) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (began, ended) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let who = words.next()?;
    let who = if who.starts_with("lost: ") { Err(who.to_string()) } else { Ok(who.to_string()) };
    Some(Request { number, port, began, ended, who })
}
