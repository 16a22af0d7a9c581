//! Answers that come in pieces: a look's two streams, a step's output while it runs.
//!
//! Why it exists: bytes between marks belong to one stream, and marks may arrive torn. Invariant: a byte is handed on once,
//! in order, and never before it is certain that it is not the beginning of a mark.

use super::wire::{Kept, Link, Lost, find, now};
use crate::reach::{Progress, Reply, Truth};
use crate::shell::Value;
use std::collections::VecDeque;
use std::time::Duration;

/// How many bytes at the end may be the beginning of a mark.
fn torn(buffer: &[u8], mark: &[u8]) -> usize {
    (1..mark.len().min(buffer.len() + 1)).rev().find(|n| buffer.ends_with(&mark[..*n])).unwrap_or(0)
}

/// What stands between the begin and the end mark of one stream.
struct Between {
    begin: Vec<u8>,
    end: Vec<u8>,
    begun: bool,
    pub code: Option<i32>,
    /// What stands behind the code.
    rest: String,
}
impl Between {
    fn new(mark: &[u8]) -> Self {
        Between {
            begin: [mark, b"<\n"].concat(),
            end: [mark, b">"].concat(),
            begun: false,
            code: None,
            rest: String::new(),
        }
    }
    /// Takes what is certain off the buffer.
    fn take(&mut self, buffer: &mut Vec<u8>) -> Vec<u8> {
        if self.code.is_some() {
            return Vec::new();
        }
        if !self.begun {
            match find(buffer, &self.begin, 0) {
                Some(at) => drop(buffer.drain(..at + self.begin.len())),
                None => {
                    let keep = torn(buffer, &self.begin);
                    buffer.drain(..buffer.len() - keep);
                    return Vec::new();
                }
            }
            self.begun = true;
        }
        match find(buffer, &self.end, 0) {
            Some(at) => {
                if let Some(line) = find(buffer, b"\n", at) {
                    let code = String::from_utf8_lossy(&buffer[at + self.end.len()..line]).into_owned();
                    let (code, rest) = code.trim().split_once(' ').unwrap_or((code.trim(), ""));
                    (self.code, self.rest) = (Some(code.parse().unwrap_or(126)), rest.to_string());
                    let data = buffer[..at].to_vec();
                    buffer.drain(..=line);
                    return data;
                }
                buffer.drain(..at).collect()
            }
            None => {
                let keep = torn(buffer, &self.end);
                buffer.drain(..buffer.len() - keep).collect()
            }
        }
    }
}

/// A look (or a step without a claim) under way.
pub struct Looking {
    out: Between,
    err: Between,
    tag: Vec<u8>,
    /// Standard output until the tag's line is whole.
    early: Vec<u8>,
    /// Its text was understood; only then anything of it ran.
    understood: bool,
}
impl Looking {
    pub fn new(mark: &[u8], tag: &str) -> Self {
        Looking {
            out: Between::new(mark),
            err: Between::new(mark),
            tag: format!("{tag}\n").into_bytes(),
            early: Vec::new(),
            understood: false,
        }
    }
    /// For answers that are no look's: nothing to understand, so no tag.
    pub fn untagged(mark: &[u8]) -> Self {
        Looking { understood: true, ..Looking::new(mark, "") }
    }
    /// New output: standard output, standard error.
    pub fn take(&mut self, link: &mut Link) -> (Vec<u8>, Vec<u8>) {
        let mut out = self.out.take(&mut link.out);
        if !self.understood {
            self.early.append(&mut out);
            if self.early.starts_with(&self.tag) {
                self.understood = true;
                out = self.early.split_off(self.tag.len());
            }
        }
        (out, self.err.take(&mut link.err))
    }
    /// By whom the lock was taken from this run, if the node said so.
    pub fn taken(&self) -> Option<String> {
        (!self.out.rest.is_empty()).then(|| self.out.rest.clone())
    }
    /// The code, once both streams have ended; `Some(None)`: the text was not understood, nothing of it ran.
    pub fn ended(&self) -> Option<Option<i32>> {
        let code = self.out.code?;
        self.err.code?;
        Some(self.understood.then_some(code))
    }
}

/// Reads a look to its end. `Ok(Err(looking))`: its deadline has passed.
pub fn look(
    link: &mut Link,
    looking: &mut Looking,
    deadline: Duration,
    kept: &mut (Kept, Kept),
) -> Result<Option<Option<i32>>, Lost> {
    let until = now() + deadline;
    loop {
        let (out, err) = looking.take(link);
        kept.0.push(&out);
        kept.1.push(&err);
        if let Some(code) = looking.ended() {
            return Ok(Some(code));
        }
        // Output without end has a deadline, too.
        if now() >= until || !link.pump(until)? {
            return Ok(None);
        }
    }
}

pub fn reply(code: Option<i32>, kept: (Kept, Kept), problem: Option<String>) -> Reply {
    Reply { code, out: Value(kept.0.finish()), err: Value(kept.1.finish()), problem }
}

/// What the node says of a claim.
pub fn truth(said: &str) -> Truth {
    let (word, rest) = said.trim().split_once(' ').unwrap_or((said.trim(), ""));
    match word {
        "never" => Truth::Never,
        "running" => Truth::Running,
        "done" => rest.parse().map_or_else(|_| Truth::Unknown("its code was not understood".into()), Truth::Done),
        "unknown" => Truth::Unknown(rest.to_string()),
        _ => Truth::Unknown("the node did not say".into()),
    }
}

/// What a recorded step says besides output.
pub enum Word {
    /// The leader has won the right to start.
    Begun,
    Refused(String),
    /// The claim was there before.
    Exists,
}

/// A recorded step that is followed.
pub struct Following {
    mark: Vec<u8>,
    /// 1: standard output, 2: standard error, 0: neither.
    side: u8,
    /// Bytes still to be passed over, because they were handed on before the link was lost.
    skip: [u64; 2],
    /// Bytes handed on.
    pub told: [u64; 2],
    pub ready: VecDeque<Progress>,
    pub word: Option<Word>,
    /// A piece of the journal's copy could not be written.
    pub torn: bool,
    pub over: bool,
}
impl Following {
    pub fn new(mark: Vec<u8>, skip: [u64; 2]) -> Self {
        Following { mark, side: 0, skip, told: skip, ready: VecDeque::new(), word: None, torn: false, over: false }
    }
    fn data(&mut self, mut bytes: Vec<u8>) {
        if self.side == 0 || bytes.is_empty() {
            return;
        }
        let i = usize::from(self.side - 1);
        let skip = self.skip[i].min(bytes.len() as u64);
        self.skip[i] -= skip;
        bytes.drain(..skip as usize);
        if !bytes.is_empty() {
            self.told[i] += bytes.len() as u64;
            self.ready.push_back(Progress::Output(self.side == 2, bytes));
        }
    }
    /// Takes what is certain off the link's buffer.
    pub fn take(&mut self, link: &mut Link) {
        while !self.over {
            let Some(at) = find(&link.out, &self.mark, 0) else {
                let keep = torn(&link.out, &self.mark);
                let sure = link.out.drain(..link.out.len() - keep).collect();
                return self.data(sure);
            };
            let before = link.out.drain(..at).collect();
            self.data(before);
            let Some(line) = link.line() else { return };
            let rest = &line[self.mark.len().min(line.len())..];
            let Some(kind) = rest.chars().next() else { continue };
            let rest = rest[kind.len_utf8()..].trim();
            match kind {
                '0'..='2' => self.side = kind as u8 - b'0',
                'g' => {
                    self.side = if rest == "err" { 2 } else { 1 };
                    self.skip[usize::from(self.side - 1)] = 0;
                }
                '~' => self.torn = true,
                '+' => self.word = Some(Word::Begun),
                '!' => {
                    self.word = Some(Word::Refused(rest.to_string()));
                    self.over = true;
                }
                '=' => {
                    self.word = Some(Word::Exists);
                    self.over = true;
                }
                '>' => {
                    let code = rest.parse::<i32>();
                    let end =
                        code.map_or_else(|_| Progress::Lost("its code was not understood".into()), Progress::Done);
                    self.ready.push_back(end);
                    self.over = true;
                }
                '?' => {
                    self.ready.push_back(Progress::Lost("its process is gone and left no code".into()));
                    self.over = true;
                }
                _ => {}
            }
        }
    }
}
