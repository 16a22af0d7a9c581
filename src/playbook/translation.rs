//! `PLAYBOOK.LANG.toml`: titles in another language, by id.
//!
//! Why it exists: operators read their own language; commands and structure stay one. Invariant: a translation holds texts
//! only, never structure; whether its ids still exist is judged against a plan.

use super::names::slashes;
use super::read::{Map, Read, Reader};
use super::table::table;
use super::{At, Entries};
use crate::problem::Problems;

#[derive(Clone, Debug, Default)]
pub struct Translation {
    pub title: Option<At<String>>,
    /// Input: prompt.
    pub inputs: Entries<At<String>>,
    /// `PROC/STAGE`: title.
    pub stages: Entries<At<String>>,
    /// `PROC/STAGE/STEP`
    pub steps: Entries<StepWords>,
}

#[derive(Clone, Debug, Default)]
pub struct StepWords {
    pub name: Option<At<String>>,
    pub manual: Option<At<String>>,
    pub about: Option<At<String>>,
}

table! {
    /// A translation of a playbook.
    struct RawTranslation, "a translation" {
        /// The playbook's title.
        "title" title: At<String>,
        /// Input: prompt.
        "inputs" inputs: Map<At<String>>,
        /// `PROC/STAGE`: title.
        "stages" stages: Map<At<String>>,
        /// `PROC/STAGE/STEP`: its texts.
        "steps" steps: Map<RawWords>,
    }
}

table! {
    /// A step's texts.
    struct RawWords, "a step's translation" {
        /// Title.
        "name" name: At<String>,
        /// What a person does.
        "manual" manual: At<String>,
        /// Shown before the step.
        "about" about: At<String>,
    }
}

impl Translation {
    /// `Some` only when there was no mistake.
    pub fn parse(name: &str, text: &str, problems: &mut Problems) -> Option<(Translation, usize)> {
        let (mut r, value) = Reader::open(name, text, problems);
        let file = r.file;
        let raw = RawTranslation::read("translation", value, &mut r);
        let lowered = raw.map(|mut raw| {
            let stages = raw.stages.take().unwrap_or_default().0;
            let steps = raw.steps.take().unwrap_or_default().0;
            stages.iter().for_each(|(id, _)| slashes(id, 1, "`PROCEDURE/STAGE`", &mut r));
            steps.iter().for_each(|(id, _)| slashes(id, 2, "`PROCEDURE/STAGE/STEP`", &mut r));
            let words =
                |mut w: RawWords| StepWords { name: w.name.take(), manual: w.manual.take(), about: w.about.take() };
            Translation {
                title: raw.title.take(),
                inputs: raw.inputs.take().unwrap_or_default().0,
                stages,
                steps: steps.into_iter().map(|(id, w)| (id, words(w))).collect(),
            }
        });
        lowered.filter(|_| r.close(problems)).map(|t| (t, file))
    }
}
