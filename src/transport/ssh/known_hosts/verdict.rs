//! What the files say of a host key, and the words for it.
//!
//! Why it exists: a host key that is not taken stops a failover, so the person must be told which line to look at and what
//! to do. Invariant: only [`Verdict::Known`] has no refusal.

use super::{fingerprint, key_type};
use std::fmt;
use std::path::PathBuf;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub file: PathBuf,
    /// From 1; 0 is the file as a whole.
    pub line: usize,
}
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.display()),
            line => write!(f, "{}:{line}", self.file.display()),
        }
    }
}

/// What the files say of a key that a server has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Known(Place),
    /// No line matches: the one verdict a person may be asked about.
    Unknown,
    /// A line has another key of this type; `was` is its fingerprint.
    Changed {
        place: Place,
        was: String,
    },
    /// Lines match, but all have keys of other types.
    OtherType {
        place: Place,
        types: Vec<String>,
    },
    Revoked(Place),
    /// Only a certificate authority is known, and hawiz checks no certificates.
    Authority(Place),
}

/// Why a host key is not taken, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub cause: String,
    pub hint: String,
}

impl Verdict {
    /// Words for every verdict but `Known`. `name` is what the files know the host by ([`name`]).
    pub fn refusal(&self, name: &str, key: &[u8]) -> Option<Refusal> {
        let shown = format!("`{}` {}", key_type(key).unwrap_or("?"), fingerprint(key));
        let forget = |place: &Place| {
            format!(
                "if that is a change you know of, take the line out (`ssh-keygen -R '{name}' -f '{}'`); if not, somebody may be \
                 in between",
                place.file.display()
            )
        };
        let (cause, hint) = match self {
            Verdict::Known(_) => return None,
            Verdict::Unknown => (
                format!("the host key of `{name}` is not known: {shown}"),
                "compare it with what `ssh-keygen -lf` says of the key in /etc/ssh on the node's own console, then answer yes \
                 on a terminal"
                    .to_string(),
            ),
            Verdict::Changed { place, was } => {
                (format!("the host key of `{name}` has changed: it shows {shown}, {place} has {was}"), forget(place))
            }
            Verdict::OtherType { place, types } => (
                format!("`{name}` shows a host key of another type: {shown}, {place} has {}", types.join(", ")),
                forget(place),
            ),
            Verdict::Revoked(place) => (
                format!("the host key of `{name}` is revoked by {place}: {shown}"),
                "whoever has this key may be anybody: give the node a new one".to_string(),
            ),
            Verdict::Authority(place) => (
                format!("`{name}` is known only by a certificate authority, {place}, and hawiz checks no certificates"),
                format!("let ssh do it, `via = [\"ssh\", \"{name}\", \"sh\"]`, or add the host's own key to known_hosts"),
            ),
        };
        Some(Refusal { cause, hint })
    }
}
