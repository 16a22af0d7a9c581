//! What a campaign came to, in figures: a table for the README, and what is behind each number that wants explaining.
//!
//! Why it exists: "it survived two hundred faults" is worth as much as what is said beside it: which faults, how often a
//! person was needed, how long nobody was served. Invariant: every run is in exactly one row and under exactly one end.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How a trial came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The commands alone.
    Alone,
    /// hawiz itself, asked to resume or to roll back, or to do it again.
    Again,
    /// The same, after a person had said that a lock's run is over.
    Unlocked,
    /// hawiz said that it cannot know; a person looked, and decided.
    Unknown,
    /// hawiz would not, and a person had to.
    Person,
}

pub const ENDS: [End; 5] = [End::Alone, End::Again, End::Unlocked, End::Unknown, End::Person];

/// One trial, as far as it counts.
pub struct Ended {
    pub kind: String,
    /// hawiz was killed besides.
    pub killed: bool,
    pub end: End,
    /// From the fault until rows were acknowledged again; `None`: they were all the while.
    pub back: Option<Duration>,
    /// What a person should look at.
    pub remark: Option<String>,
}

#[derive(Default)]
pub struct Report {
    pub trials: Vec<Ended>,
    pub violations: usize,
    pub rows: usize,
    pub rate: f64,
    pub pause: Duration,
}

impl Report {
    pub fn unknown(&self) -> usize {
        self.trials.iter().filter(|t| t.end == End::Unknown).count()
    }
}

/// Of several pairs of hosts, one after the other.
impl FromIterator<Report> for Report {
    fn from_iter<I: IntoIterator<Item = Report>>(reports: I) -> Report {
        let mut all = Report { rate: f64::INFINITY, ..Report::default() };
        for report in reports {
            all.trials.extend(report.trials);
            all.violations += report.violations;
            all.rows += report.rows;
            // Where the least was seen.
            all.rate = all.rate.min(report.rate);
            all.pause = all.pause.max(report.pause);
        }
        all
    }
}

/// Runs, killed besides, each end, median and longest time.
fn row(of: &[&Ended]) -> String {
    let ends = ENDS.map(|end| of.iter().filter(|t| t.end == end).count());
    let mut back: Vec<Duration> = of.iter().filter_map(|t| t.back).collect();
    back.sort();
    let killed = of.iter().filter(|t| t.killed).count();
    let dash = |n: usize| if n == 0 { "–".to_string() } else { n.to_string() };
    let secs = |d: Option<&Duration>| d.map_or("–".into(), |d| format!("{:.1}", d.as_secs_f64()));
    let ends = ends.map(dash).join(" | ");
    let median = secs(back.get(back.len() / 2));
    format!(
        "{} | {} | {ends} | {} | {median} | {} |",
        of.len(),
        dash(killed),
        dash(of.len() - back.len()),
        secs(back.last())
    )
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut kinds: BTreeMap<&str, Vec<&Ended>> = BTreeMap::new();
        for trial in &self.trials {
            kinds.entry(&trial.kind).or_default().push(trial);
        }
        writeln!(
            f,
            "{} runs, {} violations, {} unknown; {} rows acknowledged, none lost; watched {:.0} times a second, longest pause {:.0?}\n",
            self.trials.len(),
            self.violations,
            self.unknown(),
            self.rows,
            self.rate,
            self.pause
        )?;
        writeln!(
            f,
            "| fault | runs | hawiz killed too | alone | went on | after `unlock` | unknown | by a person | never without service | median s | longest s |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|---|")?;
        for (kind, trials) in &kinds {
            writeln!(f, "| {kind} | {}", row(trials))?;
        }
        writeln!(f, "| **all** | {}", row(&self.trials.iter().collect::<Vec<_>>()))?;
        for (n, trial) in self.trials.iter().enumerate() {
            if let Some(remark) = &trial.remark {
                write!(f, "\n{n}: {}: {remark}", trial.kind)?;
            }
        }
        Ok(())
    }
}
