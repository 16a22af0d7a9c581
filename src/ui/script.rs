//! The plan on paper: the dry run and `hawiz plan`.
//!
//! Why it exists: "what you saw is what ran" needs a place that prints every command of a [`Plan`] exactly as the engine
//! would send it. There is no dry-run switch in the engine; a dry run is this file, with the looks already taken beside
//! the commands. Invariant: a command printed here is [`Command::source`], byte for byte in `--format sh`
//! ([`super::script_sh`]) and wrapped only where a shell does not mind in the others; values that are not known yet show
//! as `$name` with the step that will tell. (Where a script has a quoted text of several lines, the indent of the other
//! formats stands inside the quotes: they are for the eye, `sh` is for pasting.)

use super::script_text::Text;
pub use super::script_text::{rest_text, stage_text};
pub use super::tally::{State, Tally, state, tally};
use super::{Looks, Style};
use crate::plan::Plan;
use serde::Serialize;

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Md,
    Sh,
    Json,
}

/// Prints the plan; with `looks` it is a dry run. Bytes, because `sh` must keep values that are not UTF-8.
pub fn render(plan: &Plan, looks: Option<&Looks>, format: Format, style: &Style) -> Vec<u8> {
    match format {
        Format::Text => Text::new(plan, looks, style).print().into_bytes(),
        Format::Md => super::script_md::render(plan, looks).into_bytes(),
        Format::Sh => super::script_sh::render(plan),
        Format::Json => json(plan, looks),
    }
}

/// The plan itself, with the looks that were taken: `{"format": 1, "plan": {…}, "looks": […], "unreachable": {…}}`.
fn json(plan: &Plan, looks: Option<&Looks>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Whole<'a> {
        format: u32,
        plan: &'a Plan,
        #[serde(skip_serializing_if = "Option::is_none")]
        looks: Option<Vec<&'a crate::event::Looked>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        unreachable: Option<&'a std::collections::BTreeMap<String, String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tally: Option<Tally>,
    }
    let whole = Whole {
        format: 1,
        plan,
        looks: looks.map(|l| l.all().into_iter().map(|s| &s.looked).collect()),
        unreachable: looks.map(|l| &l.unreachable),
        tally: looks.map(|l| tally(plan, Some(l))),
    };
    let mut out = serde_json::to_vec_pretty(&whole).unwrap_or_default();
    out.push(b'\n');
    out
}
