//! The site file: which playbook, which nodes and how each is reached, which values. And the answers file.
//!
//! Why it exists: a playbook is shared by all sites, this is one site's own. Invariant: as root, a file that others can
//! write is refused; nothing in it is a secret.

mod parse;
pub(crate) mod raw;

use crate::playbook::{At, Entries, Given};
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub struct Site {
    pub playbook: Option<At<String>>,
    pub language: Option<String>,
    /// `peers = "none"`
    pub no_peers: bool,
    /// A failover so soon after another one needs a reason.
    pub min_interval: Option<std::time::Duration>,
    pub inputs: Entries<At<Given>>,
    pub secrets: Entries<Vec<String>>,
    pub nodes: Entries<Node>,
    /// Folder of the file; relative paths in it start there.
    pub folder: PathBuf,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub span: std::ops::Range<usize>,
    pub address: Option<At<String>>,
    pub user: Option<String>,
    pub port: Option<u16>,
    pub identity: Option<String>,
    pub jump: Option<String>,
    pub local: bool,
    pub via: Option<At<Vec<String>>>,
    /// `sudo`, `doas`, `su`, `none`.
    pub become_: Option<At<String>>,
    pub state: Option<At<String>>,
    pub group: Option<At<String>>,
    pub vars: Entries<At<String>>,
    /// Its fence devices; `off` on every one of them takes its power.
    pub fence: Vec<Fence>,
}

#[derive(Clone, Debug)]
pub struct Fence {
    pub span: std::ops::Range<usize>,
    pub agent: At<String>,
    pub options: Entries<At<String>>,
    /// How long one command of it may take.
    pub deadline: Option<std::time::Duration>,
}

/// `--answers F`
#[derive(Clone, Debug, Default)]
pub struct Answers {
    pub inputs: Entries<At<Given>>,
    pub digests: Entries<At<String>>,
    pub gates: Entries<At<String>>,
    pub manual: Entries<At<String>>,
    pub plan: Option<At<String>>,
}
