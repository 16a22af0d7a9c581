//! Whether a sitting has ended that took a node's lock.
//!
//! Why it exists: a node that was dead or hung when a run ended still holds that run's lock when it is back. Invariant: a lock is only
//! called left behind when the record says that the very sitting which took this generation of it has ended; silence, time and
//! a later sitting at another station say nothing.

use crate::event::{Event, Record};

/// When it ended, in words; `None`: it is not known to have.
pub fn ended(records: &[Record], node: &str, generation: &str) -> Option<String> {
    let took =
        |e: &Event| matches!(e, Event::NodeLocked { node: n, generation: Some(g) } if n == node && g == generation);
    let at = records.iter().position(|r| took(&r.event))?;
    for record in &records[at..] {
        match &record.event {
            Event::RunFinished { verdict, .. } => {
                let how = serde_json::to_value(verdict).ok()?;
                return Some(format!("{}, {}", how.as_str()?.replace('-', " "), record.utc));
            }
            // Another station went on with the run; the one before may only be frozen.
            Event::RunResumed { taken: Some(_), .. } => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Verdict;

    fn record(event: Event) -> Record {
        Record { seq: 1, utc: "T".into(), who: "w".into(), event }
    }
    fn locked(generation: &str) -> Record {
        record(Event::NodeLocked { node: "a".into(), generation: Some(generation.into()) })
    }
    fn resumed(taken: Option<&str>) -> Record {
        let (run, purpose, hawiz) = ("r".into(), "resume".into(), "0".into());
        record(Event::RunResumed { run, purpose, hawiz, taken: taken.map(String::from) })
    }
    fn finished() -> Record {
        let (nodes, skipped, next) = (Vec::new(), Vec::new(), Vec::new());
        record(Event::RunFinished { verdict: Verdict::RolledBack, exit: 9, why: None, nodes, skipped, next })
    }

    #[test]
    fn only_the_end_of_the_sitting_that_took_the_lock_says_that_it_is_left_behind() {
        let says = |records: &[Record]| ended(records, "a", "g2");
        assert_eq!(says(&[locked("g2"), finished()]).as_deref(), Some("rolled back, T"));
        assert_eq!(says(&[locked("g1"), finished(), resumed(None), locked("g2")]), None);
        assert_eq!(says(&[locked("g1"), finished()]), None);
        assert_eq!(ended(&[locked("g2"), finished()], "b", "g2"), None);
        // It was cut off, and the same station went on: nobody has that lock any more.
        assert!(says(&[locked("g2"), resumed(None), finished()]).is_some());
        assert_eq!(says(&[locked("g2"), resumed(Some("x")), finished()]), None);
    }
}
