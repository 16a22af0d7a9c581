//! Knocking at a node's SSH port: does anybody answer there?
//!
//! Why it exists: a node whose power was cut, or that somebody vouches for, must not say anything any more. Invariant: nothing is said
//! to it and nobody logs in; a connection that is taken is a sign of life already, silence and refusal prove nothing.

use std::io::Read;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// What is heard, once it is.
pub type Knocked = Receiver<Option<String>>;

/// Knocks, and returns at once: finding an address by its name may take longer than anybody waits.
pub fn at((host, port): (String, u16), within: Duration) -> Knocked {
    let (tell, heard) = channel();
    // Where no thread can be had nothing is heard.
    let _ = std::thread::Builder::new().spawn(move || tell.send(knock(&host, port, within)));
    heard
}

pub fn heard(knocked: Knocked, within: Duration) -> Option<String> {
    knocked.recv_timeout(within + Duration::from_millis(500)).ok().flatten()
}

fn knock(host: &str, port: u16, within: Duration) -> Option<String> {
    let until = Instant::now() + within;
    let left = || until.saturating_duration_since(Instant::now()).max(Duration::from_millis(50));
    let known = (host, port).to_socket_addrs().ok()?;
    let mut stream = known.into_iter().find_map(|at| TcpStream::connect_timeout(&at, left()).ok())?;
    stream.set_read_timeout(Some(left())).ok()?;
    let mut banner = [0u8; 64];
    // What it says is for the reader.
    let said = stream.read(&mut banner).unwrap_or(0);
    let text = String::from_utf8_lossy(&banner[..said]).lines().next().unwrap_or("").to_string();
    Some(match text.is_empty() {
        true => format!("{host} takes connections on port {port}"),
        false => format!("{host} says `{text}` on port {port}"),
    })
}
