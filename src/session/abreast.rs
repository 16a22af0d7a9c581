//! Side by side: the same for several nodes at once, at most [`ABREAST`] of them.
//!
//! Why it exists: thirty nodes that take a second each must not take half a minute. Invariants: a node is worked on by one
//! thread at a time, its own work stays in order, and answers come back in the order of the questions.

use super::door::{Door, Opened};
use super::seat::Seat;
use super::wire::now;
use std::collections::VecDeque;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread::Builder;
use std::time::Duration;

/// How many nodes are worked on at a time.
const ABREAST: usize = 64;

/// What a node is to do: the places of its work in the answer, and the work.
type Job<'s, W> = (&'s mut Seat, Vec<(usize, W)>);

/// Each seat's work, in order; `None` for a seat that is not there.
pub fn work<W: Send, R: Send>(
    seats: &mut [Seat],
    work: Vec<(Option<usize>, W)>,
    does: impl Fn(&mut Seat, W) -> R + Sync,
) -> Vec<Option<R>> {
    let mut out: Vec<Option<R>> = work.iter().map(|_| None).collect();
    let mut jobs: Vec<Job<W>> = seats.iter_mut().map(|s| (s, Vec::new())).collect();
    for (at, (seat, w)) in work.into_iter().enumerate() {
        if let Some(seat) = seat {
            jobs[seat].1.push((at, w));
        }
    }
    jobs.retain(|(_, work)| !work.is_empty());
    let threads = jobs.len().min(ABREAST);
    let (jobs, done) = (Mutex::new(jobs.into_iter()), Mutex::new(&mut out));
    let until_none_is_left = || {
        loop {
            let job = jobs.lock().expect("nobody fails while taking a job").next();
            let Some((seat, work)) = job else { return };
            for (at, w) in work {
                let r = does(seat, w);
                done.lock().expect("nobody fails while handing in").as_mut_slice()[at] = Some(r);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // A thread that cannot be had makes it slower, no more: this one works, too.
            let _ = Builder::new().spawn_scoped(scope, until_none_is_left);
        }
        until_none_is_left();
    });
    out
}

/// Opens sessions and returns at once; each is told to whoever asked, when it stands.
pub fn open(wanted: impl Iterator<Item = (Door, Sender<(Opened, Duration)>)>) {
    let wanted: VecDeque<_> = wanted.collect();
    let threads = wanted.len().min(ABREAST);
    let wanted = Arc::new(Mutex::new(wanted));
    for _ in 0..threads {
        let wanted = Arc::clone(&wanted);
        // Where no thread can be had, whoever asked is told nothing, and opens the session himself.
        let _ = Builder::new().spawn(move || {
            loop {
                let next = wanted.lock().expect("nobody fails while taking one").pop_front();
                let Some((door, told)) = next else { return };
                let opened = door.connect();
                let _ = told.send((opened, now()));
            }
        });
    }
}
