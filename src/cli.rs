//! The command line: clap types only.
//!
//! Why it exists: scripts and tests rely on these words; they are a contract. Invariant: nothing is decided here.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(name = "hawiz", version, about = "Interactive failover wizard: look, show, ask, change, look again", long_about = None)]
#[command(propagate_version = true, disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
}

/// Flags that every command understands.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The site file [default: ./hawiz.toml, then /etc/hawiz/hawiz.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub site: Option<PathBuf>,
    /// The playbook, a file or a name; the site file's otherwise
    #[arg(long, global = true, value_name = "PLAYBOOK")]
    pub playbook: Option<String>,
    /// Where runs are kept [default: $HAWIZ_STATE_DIR, /var/lib/hawiz, or $XDG_STATE_HOME/hawiz]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// How it is shown [default: term on a terminal, else plain]
    #[arg(long, global = true, value_name = "HOW")]
    pub output: Option<Output>,
    /// Colour [default: auto; NO_COLOR is honoured]
    #[arg(long, global = true, default_value = "auto", value_name = "WHEN", hide_default_value = true)]
    pub color: Color,
    /// Language of titles and prompts, such as `de` [default: the site's, else the locale's]
    #[arg(long, global = true, value_name = "LANG")]
    pub lang: Option<String>,
    /// Show more; twice for all
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Show less
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Term,
    Plain,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Md,
    Sh,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a node the active one
    Activate(Go),
    /// Make a node stop being the active one
    Deactivate(Go),
    /// Let one node give up and another take over, in one run
    Failover {
        #[command(flatten)]
        roles: Roles,
        #[command(flatten)]
        go: Go,
    },
    /// Prepare a node
    Setup(Go),
    /// Run any procedure of the playbook
    Run {
        /// The procedure
        procedure: String,
        #[command(flatten)]
        go: Go,
    },
    /// Which node is active; the exit code says so too
    Status {
        /// Several site files, one after the other [default: the one of --site]
        #[arg(value_name = "SITE")]
        sites: Vec<PathBuf>,
        #[command(flatten)]
        set: Set,
    },
    /// Print the plan of a procedure, contacting nobody
    Plan {
        /// The procedure
        procedure: String,
        #[command(flatten)]
        roles: Roles,
        #[command(flatten)]
        set: Set,
        /// text, md (a checklist for paper), sh (to paste), json
        #[arg(long, default_value = "text", value_name = "FORMAT")]
        format: Format,
    },
    /// Only look: never a change
    Check {
        /// The procedure [default: activate]
        procedure: Option<String>,
        #[command(flatten)]
        roles: Roles,
        #[command(flatten)]
        set: Set,
    },
    /// Whether each node can be reached, entered and commanded; if not, what to do
    Nodes,
    /// Go on with a run that was stopped
    Resume {
        /// The run [default: the newest that can be resumed]
        run: Option<String>,
        /// Go on here with a run of another station, from the copy of its record on this node
        #[arg(long, value_name = "NODE")]
        from: Option<String>,
        #[command(flatten)]
        answer: Answer,
        /// A value; it must be the run's own
        #[arg(long = "set", value_name = "INPUT=VALUE")]
        sets: Vec<OsString>,
        /// A file with answers
        #[arg(long, value_name = "FILE")]
        answers: Option<PathBuf>,
    },
    /// Take back what a run changed, last first
    Rollback {
        /// The run [default: the newest that changed something]
        run: Option<String>,
        /// Take back here a run of another station, from the copy of its record on this node
        #[arg(long, value_name = "NODE")]
        from: Option<String>,
        #[command(flatten)]
        answer: Answer,
        /// A file with answers
        #[arg(long, value_name = "FILE")]
        answers: Option<PathBuf>,
    },
    /// Pay what earlier runs left owed: deactivate a node that is back, say what became of a step
    Settle {
        /// The node [default: all that owe something]
        node: Option<String>,
        #[command(flatten)]
        answer: Answer,
        /// A file with answers
        #[arg(long, value_name = "FILE")]
        answers: Option<PathBuf>,
        /// What was done about steps that were left; it is recorded
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Take a node's lock away from a run that is gone
    Unlock {
        /// The node
        node: String,
        /// Why; it is recorded on the node
        #[arg(long)]
        reason: String,
        /// If a step of that run still runs there, wait for its end
        #[arg(long, conflicts_with = "stop")]
        wait: bool,
        /// If a step of that run still runs there, end it
        #[arg(long)]
        stop: bool,
    },
    /// List the runs kept here
    Runs,
    /// What happened in a run
    Show {
        /// The run [default: the newest]
        run: Option<String>,
        /// Follow a run that is under way
        #[arg(long)]
        follow: bool,
    },
    /// Check a playbook or site file
    Validate {
        /// The file [default: the site file and its playbook]
        file: Option<PathBuf>,
    },
    /// List the playbooks that can be named
    Playbooks,
    /// Print the JSON Schema of a playbook or a site file
    Schema {
        /// playbook or site
        what: SchemaOf,
    },
    /// Explain a step kind, an exit code or an error
    Explain {
        /// The word; without it, the list
        word: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    Playbook,
    Site,
}

/// Who is who in a failover.
#[derive(Debug, Clone, Default, Args)]
pub struct Roles {
    /// Failover: the node that takes over [default: the only other one]
    #[arg(long, value_name = "NODE")]
    pub to: Option<String>,
    /// Failover: the node that gives up [default: the one that is found active]
    #[arg(long, value_name = "NODE")]
    pub from: Option<String>,
    /// Failover: that node is gone or not to be trusted; its power is cut, or you vouch for it
    #[arg(long)]
    pub unplanned: bool,
}

/// Which node, which values.
#[derive(Debug, Clone, Default, Args)]
pub struct Set {
    /// The node it is about [default: this machine]
    #[arg(long, value_name = "NODE")]
    pub on: Option<String>,
    /// An input's value
    #[arg(long = "set", value_name = "INPUT=VALUE")]
    pub sets: Vec<OsString>,
    /// A file with answers and values
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,
}

/// Who answers.
#[derive(Debug, Clone, Default, Args)]
pub struct Answer {
    /// Answer plain gates with yes (never a typed gate, a manual step, an attestation or an unknown outcome)
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Vouch that this node is inactive; for this run and ten minutes (where several may be active: that it is off, for this run)
    #[arg(long, value_name = "NODE")]
    pub attest: Vec<String>,
    /// Let a false check with on-failure = "ask" be skipped
    #[arg(long = "override", value_name = "STEP=REASON")]
    pub overrides: Vec<String>,
}

#[derive(Debug, Clone, Default, Args)]
pub struct Go {
    #[command(flatten)]
    pub set: Set,
    #[command(flatten)]
    pub answer: Answer,
    /// Show what would happen: looks, changes nothing, asks nothing
    #[arg(long, alias = "dry-run", short = 'n')]
    pub dryrun: bool,
    /// With --dryrun: contact nobody
    #[arg(long, requires = "dryrun")]
    pub offline: bool,
    /// With --dryrun: text, md, sh (to paste), json
    #[arg(long, value_name = "FORMAT", requires = "dryrun")]
    pub format: Option<Format>,
    /// A word for the journal
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
}
