//! `PLAYBOOK.LANG.toml`: a playbook's texts in another language, by id.
//!
//! Why it exists: operators read their own language; commands and structure stay one. Invariant: a translation holds texts
//! only, never structure; whether its ids still exist is judged against a plan.

use super::names::slashes;
use super::read::{Map, Read, Reader, Slot, Value};
use super::table::table;
use super::{At, Entries};
use crate::problem::Problems;
use toml::de::DeValue;

#[derive(Clone, Debug, Default)]
pub struct Translation {
    pub title: Option<At<String>>,
    pub about: Option<At<String>>,
    /// Input: prompt.
    pub inputs: Entries<At<String>>,
    /// `PROC/STAGE`
    pub stages: Entries<StageWords>,
    /// `PROC/STAGE/STEP`
    pub steps: Entries<StepWords>,
}

#[derive(Clone, Debug, Default)]
pub struct StageWords {
    pub stage: Option<At<String>>,
    pub about: Option<At<String>>,
}

#[derive(Clone, Debug, Default)]
pub struct StepWords {
    pub name: Option<At<String>>,
    pub manual: Option<At<String>>,
    pub about: Option<At<String>>,
    /// Of `undo.manual` and `undo.none`.
    pub undo: Option<At<String>>,
    pub no_return: Option<At<String>>,
}

table! {
    /// A translation of a playbook.
    struct RawTranslation, "a translation" {
        /// The playbook's title.
        "title" title: At<String>,
        /// Shown at the head of plan and run.
        "about" about: At<String>,
        /// Input: prompt.
        "inputs" inputs: Map<At<String>>,
        /// `PROC/STAGE`: its title, or `{ stage, about }`.
        "stages" stages: Map<TitleOr>,
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
        /// How a person takes it back, or why nothing needs to be.
        "undo" undo: At<String>,
        /// Why it cannot be undone.
        "no-return" no_return: At<String>,
    }
}

table! {
    /// A stage's texts.
    struct RawStageWords, "a stage's translation" {
        /// Title.
        "stage" stage: At<String>,
        /// Said with the gate.
        "about" about: At<String>,
    }
}

/// A stage's title alone, or with what is said of it.
pub(crate) struct TitleOr(RawStageWords);

impl Read for TitleOr {
    fn read(key: &str, value: Value<'_>, r: &mut Reader) -> Option<Self> {
        if matches!(value.get_ref(), DeValue::Table(_)) {
            return RawStageWords::read(key, value, r).map(TitleOr);
        }
        let title = At::<String>::read(key, value, r)?;
        let mut words = RawStageWords { span: title.span.clone(), ..RawStageWords::default() };
        words.stage = Slot { key: Some(title.span.clone()), value: Some(title) };
        Some(TitleOr(words))
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
            let words = |mut w: RawWords| StepWords {
                name: w.name.take(),
                manual: w.manual.take(),
                about: w.about.take(),
                undo: w.undo.take(),
                no_return: w.no_return.take(),
            };
            let of_stage = |mut w: RawStageWords| StageWords { stage: w.stage.take(), about: w.about.take() };
            Translation {
                title: raw.title.take(),
                about: raw.about.take(),
                inputs: raw.inputs.take().unwrap_or_default().0,
                stages: stages.into_iter().map(|(id, w)| (id, of_stage(w.0))).collect(),
                steps: steps.into_iter().map(|(id, w)| (id, words(w))).collect(),
            }
        });
        lowered.filter(|_| r.close(problems)).map(|t| (t, file))
    }
}
