//! What a second station asks of a node: who holds it and what that run left there, its copy, and to have its lock.
//!
//! Why it exists: a run whose machine is gone is gone on with elsewhere. Invariants: looking makes nothing final; nothing is taken
//! here that a person has not decided upon; after a lock was broken, nothing of its generation can begin any more.

use super::copy::unpacked;
use super::door::PROMPTLY;
use super::live::{self, Looking};
use super::seat::{Seat, hash, slug};
use super::wire::{Kept, Lost, find, word};
use crate::reach::{Claim, Truth, Unreachable};
use std::time::Duration;

const STATION: &str = include_str!("station.sh");
/// A plan and some journals.
const COPY_CAP: usize = 64 << 20;

/// What stands on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The run that holds the lock, and who that is in words.
    pub holder: Option<(String, String)>,
    /// The generation of that lock.
    pub generation: String,
    /// What that run has claimed here, or the one that was asked for.
    pub claims: Vec<Left>,
}

/// A claim that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its name; [`name`] makes it of a [`Claim`].
    pub name: String,
    /// `None`: claimed, and neither begun nor forbidden to.
    pub truth: Option<Truth>,
}

/// What a node keeps of a run besides its claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    pub plan: Vec<u8>,
    /// The station that has worked on it last here.
    pub station: String,
    /// One of each time the run took the lock.
    pub journals: Vec<Vec<u8>>,
}

/// The name of a claim on its node.
pub fn name(node: &str, claim: &Claim) -> String {
    hash(&[&claim.run, node, &claim.step, &claim.attempt.to_string()])
}

impl Seat {
    /// What is asked here a session does not know from the beginning.
    fn teach(&mut self) -> Result<(), Lost> {
        let line = [b"eval \"$(hz_put ", &word(super::wire::stripped(STATION).as_bytes())[..], b")\""].concat();
        self.free()?.set(&line);
        Ok(())
    }
    fn inquire(&mut self, function: &str, words: &[&[u8]], wait: Duration) -> Result<String, Lost> {
        self.teach()?;
        self.ask(function, words, wait)
    }

    /// `run`: instead of the one that holds the lock.
    pub fn standing(&mut self, run: Option<&str>) -> Result<Standing, Unreachable> {
        let run = crate::shell::quote(run.map(slug).unwrap_or_default().as_bytes());
        let said = self.inquire("hz_standing", &[&run], PROMPTLY).map_err(self.door.lost())?;
        let (mut standing, mut held) = (Standing::default(), String::new());
        for line in said.lines() {
            let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
            match key {
                "run" => held = rest.to_string(),
                "generation" => standing.generation = rest.to_string(),
                "held" => standing.holder = Some((held.clone(), rest.to_string())),
                "claim" => {
                    let (name, state) = rest.split_once(' ').unwrap_or((rest, ""));
                    let truth = (state != "claimed").then(|| live::truth(state));
                    standing.claims.push(Left { name: name.into(), truth });
                }
                _ => {}
            }
        }
        Ok(standing)
    }

    /// Takes the lock away from whoever has it.
    pub fn break_lock(&mut self, words: &str) -> Result<Option<String>, Unreachable> {
        let words = word(words.replace('\n', " ").as_bytes());
        let answer = self.inquire("hz_break", &[&words], PROMPTLY).map_err(self.door.lost())?;
        self.held = None;
        match answer.trim().split_once(' ') {
            Some(("was", who)) => Ok(Some(who.to_string())),
            Some((_, why)) => Err(self.door.lost()(Lost(format!("cannot break the lock: {why}")))),
            None => Ok(None),
        }
    }

    /// Gives back the lock of a sitting that has ended, if it is that one's still.
    pub fn give_back(&mut self, run: &str, generation: &str) -> Result<bool, Lost> {
        Ok(self.inquire("hz_give", &[run.as_bytes(), generation.as_bytes()], PROMPTLY)?.trim() == "given")
    }

    /// Ends what runs of a claim, by its name.
    pub fn end(&mut self, run: &str, name: &str, grace: Duration) -> Result<Truth, Unreachable> {
        let seconds = grace.as_secs().to_string();
        let run = slug(run);
        let words: [&[u8]; 5] = [run.as_bytes(), name.as_bytes(), b"''", b"''", seconds.as_bytes()];
        let said = self.ask_again("hz_cancel", &words, PROMPTLY + grace).map_err(self.door.lost())?;
        Ok(live::truth(&said))
    }

    /// The runs of which there is a copy.
    pub fn copies(&mut self) -> Result<Vec<String>, Unreachable> {
        let said = self.inquire("hz_copies", &[], PROMPTLY).map_err(self.door.lost())?;
        Ok(said.lines().map(String::from).collect())
    }

    /// What the node keeps of a run; `None`: nothing.
    pub fn copied(&mut self, run: &str) -> Result<Option<Copied>, Unreachable> {
        let lost = self.door.lost();
        self.teach().map_err(&lost)?;
        let link = self.free().map_err(&lost)?;
        link.call("hz_fetch", &[slug(run).as_bytes()]);
        let part = [b"\n", &link.mark()[..], b"=\n"].concat();
        let mut kept = (Kept::new(COPY_CAP * 2), Kept::new(COPY_CAP * 2));
        let mut looking = Looking::untagged(&link.mark());
        // As long as anything comes.
        match live::look(link, &mut looking, PROMPTLY * 4, &mut kept) {
            Ok(Some(_)) => {}
            end => {
                self.drop_free();
                return Err(lost(end.err().unwrap_or_else(|| Lost("no answer".into()))));
            }
        }
        let all = kept.0.finish();
        let mut parts = Vec::new();
        let mut from = find(&all, &part, 0);
        while let Some(at) = from {
            let begin = at + part.len();
            from = find(&all, &part, begin);
            parts.push(all[begin..from.unwrap_or(all.len())].to_vec());
        }
        if parts.len() < 2 {
            return Ok(None);
        }
        let (plan, station) = (parts.remove(0), parts.remove(0));
        let station = String::from_utf8_lossy(&station).trim().to_string();
        // One that is not whole is nobody's plan: that is said where it is read.
        let plan = unpacked(&plan).unwrap_or_default();
        Ok(Some(Copied { plan, station, journals: parts }))
    }
}
