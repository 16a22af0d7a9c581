//! The lock of a node, as a run sees it: taken, held in a generation of its own, given back.
//!
//! Why it exists: two runs must not work on one node, and one that has lost its lock must not go on. Invariants: a lock is given
//! back only by the generation that holds it, so that who comes back late cannot give back what another has taken since; a lock
//! is never waited for, so that no order of nodes can make two runs wait for each other (one order for all makes one of them
//! win, see `Engine::lock_these`); how long a holder has been silent is told and decides nothing.

use super::door::PROMPTLY;
use super::seat::{Seat, slug};
use super::wire::{Lost, random, word};
use crate::reach::{Locked, Unreachable};

/// A generation of the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The run, as a file name.
    pub run: String,
    pub generation: String,
    pub given_back: bool,
}

/// A run whose lock was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub run: String,
    /// By whom, when and why.
    pub why: String,
}

impl Seat {
    /// Who holds the lock now, in words; and the runs whose lock was broken and that nobody has gone on with since.
    pub fn holder(&mut self) -> (Option<String>, Vec<Broken>) {
        let said = self.ask_again("hz_who", &[], PROMPTLY).unwrap_or_default();
        let held = said.lines().find_map(|l| l.strip_prefix("held ").map(String::from));
        let broken = said.lines().filter_map(|l| l.strip_prefix("broken ")?.split_once(' '));
        let broken = broken.map(|(run, why)| Broken { run: run.into(), why: why.into() });
        (held, broken.collect())
    }

    pub fn lock(&mut self, run: &str, marker: &str, holder: &str) -> Result<Locked, Unreachable> {
        let generation = format!("g{}", random(8));
        let since = chrono::Local::now().format("%Y-%m-%d %H:%M:%S");
        let words = format!("{}, run {run}, since {since}", holder.replace('\n', " "));
        // A run that has come by no other station is known by its own marker.
        let stations = if self.stations.is_empty() { marker } else { &self.stations };
        let stations = crate::shell::quote(stations.as_bytes());
        let marker = crate::shell::quote(marker.as_bytes());
        let identity = random(16);
        let run = slug(run);
        let args: [&[u8]; 6] =
            [run.as_bytes(), &marker, generation.as_bytes(), identity.as_bytes(), &word(words.as_bytes()), &stations];
        // Even when the answer is lost, it may be ours, and is then to be given back.
        self.held = Some(Held { run: run.clone(), generation: generation.clone(), given_back: true });
        // Asked again after a lost link it is a lock of the same run, and taken over.
        let answer = self.ask_again("hz_lock", &args, PROMPTLY).map_err(self.door.lost())?;
        let mut locked = Locked::Impossible("the node did not say".into());
        let mut plan = false;
        let mut later = Vec::new();
        for line in answer.lines() {
            let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
            match key {
                "ours" => locked = Locked::Ours,
                "held" => locked = Locked::Held(rest.to_string()),
                "taken" => locked = Locked::Taken(rest.to_string()),
                "impossible" => locked = Locked::Impossible(rest.to_string()),
                "plan" => plan = true,
                "later" => later.push(rest.to_string()),
                "id" if !rest.is_empty() => {
                    if let Some(greeting) = &mut self.greeting {
                        greeting.identity = Some(rest.to_string());
                    }
                }
                _ => {}
            }
        }
        if let (Locked::Impossible(why), Some(greeting)) = (&locked, &mut self.greeting) {
            // It was seen only when it was tried; steps there run without a record, as was said.
            greeting.unrecorded.get_or_insert_with(|| why.clone());
        }
        self.held = (locked == Locked::Ours).then_some(Held { run, generation, given_back: false });
        self.copy.begins(plan);
        (self.taken, self.later) = (None, later);
        Ok(locked)
    }

    pub fn unlock(&mut self, run: &str) -> Result<(), Unreachable> {
        let Some(held) = self.held.clone() else { return Ok(()) };
        if self.step.is_none() {
            self.carry();
        }
        let words: [&[u8]; 2] = [held.run.as_bytes(), held.generation.as_bytes()];
        debug_assert_eq!(held.run, slug(run), "a seat works for one run");
        let answer = self.ask_again("hz_unlock", &words, PROMPTLY).map_err(self.door.lost())?;
        self.held = Some(Held { given_back: true, ..held });
        match answer.trim().strip_prefix("failed ") {
            Some(why) => Err(self.door.lost()(Lost(format!("cannot give the lock back: {why}")))),
            None => Ok(()),
        }
    }
}
