//! The run for programs: one JSON object a line.
//!
//! Why it exists: what scripts read must not change when a wording does. Invariant: a line is a journal record, field
//! for field; the first line carries `"format": 1`, and a reader that meets another number must not go on. New fields
//! and new event types may appear under the same number: pass over what you do not know.
//!
//! # A line
//!
//! | field | |
//! |---|---|
//! | `format` | first line only: 1 |
//! | `seq` | number of the record, from 1; 0 for what is shown but not kept (`output`, `step-started`) |
//! | `utc` | RFC 3339 with milliseconds |
//! | `who` | who acted: login, sudo user, SSH client and tty |
//! | `event` | an object; its `type` is one of these: |
//!
//! | `type` | fields |
//! |---|---|
//! | `run-started` | `run` id, `format` of the journal, `hawiz` version, `procedure`, `target` node or null, `from`: the node that gives up in a failover (absent: none), `unplanned` true (absent: false), `plan` digest, `title`, `sources` files read, `stages` ids, `comment` or null, `marker` |
//! | `run-resumed` | `run`, `purpose` (`resume`, `rollback`, …), `hawiz` |
//! | `node-seen` | `node`, `boot` id, `identity` or null, `unrecorded`: why it keeps no record, or null |
//! | `node-unreachable` | `node`, `why` |
//! | `node-locked` | `node`; the lock's `generation` |
//! | `node-held` | `node`, `holder` in words |
//! | `proof-taken` | `node`, `proven` (`"looked-at"`, `"attested"`, `{"active": why}`, `{"cannot-tell": why}`, `{"alive": sign}`, `{"fenced": by}`), `again` |
//! | `stage-started` | `stage` id, `title`, `number`, `of` |
//! | `stage-skipped` | `stage`, `title`, `reason`, `already`: true when all of it is so already (absent: it was left out) |
//! | `looked` | `step` instance, `title`, `node`, `purpose` (`when`, `check`, `before`, `after`, `verify`, `undone`, `proof`), `answer` (`yes`, `no`, `unsettled`, `could-not-look`), `code` or null, `evidence` |
//! | `gate-asked` | `stage` |
//! | `gate-answered` | `stage`, `answer`, `by` |
//! | `step-started` | `step`, `title`, `node`, `number`, `of` |
//! | `step-intent` | `step`, `title`, `node`, `attempt`, `claim` or null, `before`: what the look printed, or null, `was`: its answer, or null |
//! | `attempt-failed` | `step`, `node`, `attempt`, `of`, `code` or null, `why`, `tail` of the output |
//! | `output` | `step`, `node`, `stderr` true or false, `text` as it came |
//! | `link-lost` | `step`, `node`, `why` |
//! | `captured` | `key`, `value` (text, or `{"hex": …}` when it is not UTF-8) |
//! | `step-finished` | `step`, `title`, `node`, `outcome` `{"is": …, "why": …}` with `is` one of `done`, `already`, `passed`, `skipped`, `failed`, `unknown`, `undone`, `undo-failed`, `attempts`, `code` or null, `tail`, `show`: true when the playbook wants `tail` shown (absent: false), `took_ms` |
//! | `chosen` | `step`, `choice`, `reason` or null |
//! | `went-unplanned` | `node`, `why` |
//! | `undo-intent` | `step`, `title`, `node`, `attempt`, `claim` or null |
//! | `undo-finished` | `step`, `title`, `node`, `outcome`, `tail` |
//! | `noted` | `text` |
//! | `interrupted` | `signal`, `then` |
//! | `run-finished` | `verdict` (`completed`, `degraded`, `declined`, `not-ready`, `locked`, `stopped`, `failed`, `unknown`, `rolled-back`, `stuck`, `dry`), `exit` code, `why` it ended early (absent: it did not), `nodes` `[[node, state]…]`, `skipped` `[[what, why]…]`, `next` lines |
//!
//! The last line of a sitting is `run-finished`. Text is as nodes printed it, with secrets masked; JSON escapes control
//! characters below U+0020, nothing else is taken out.

use super::{Sink, View};
use crate::event::Record;
use serde::Serialize;

pub const FORMAT: u32 = 1;

pub struct Json {
    out: Sink,
    begun: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<u32>,
    #[serde(flatten)]
    record: &'a Record,
}

impl Json {
    pub fn stdout() -> Self {
        Json::new(Sink::new(std::io::stdout()))
    }
    pub fn new(out: Sink) -> Self {
        Json { out, begun: false }
    }
}

impl View for Json {
    fn event(&mut self, record: &Record) {
        let format = (!self.begun).then_some(FORMAT);
        self.begun = true;
        if let Ok(text) = serde_json::to_string(&Line { format, record }) {
            self.out.line(&text);
        }
    }
    fn finish(&mut self) {}
}
