//! The composition root: the only room that knows all others.
//!
//! Why it exists: clap's words become a Plan, a Plan meets nodes, a journal, a person and views; each subcommand is one
//! short function here. Invariant: everything is read before the first change; the process then works from `/`.

mod desk;
mod entrance;
mod failover;
mod files;
mod look;
mod nodes;
mod roster;
mod run;
mod runs;
mod settle;
mod station;
mod status;
mod tongue;
mod unlock;
mod validate;

use crate::cli::{Cli, Command, Common, SchemaOf};
use crate::problem::{Exit, Fatal};
use crate::ui::{self, Style};
use clap::Parser;
use run::Way;
use runs::Again;
use std::io::{IsTerminal, Write};

/// What a command gives: how the process ends.
type Done = Result<Exit, Fatal>;

/// The whole program.
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return if e.use_stderr() { Exit::Usage.code() } else { Exit::Ok.code() };
        }
    };
    let common = cli.common.clone();
    match dispatch(cli) {
        Ok(exit) => exit.code(),
        Err(fatal) => {
            let style = Style::stderr(colour(&common), 0);
            let text = told(&fatal.to_string(), style.width);
            let _ = writeln!(std::io::stderr(), "{} {text}", style.paint(ui::Ink::Bad, "error:"));
            fatal.exit.code()
        }
    }
}

/// An error for this screen: prose is wrapped, what shows a source with its caret is not. A log gets whole lines.
fn told(text: &str, width: usize) -> String {
    let drawn = |l: &str| l.trim_start().starts_with(|c: char| c.is_ascii_digit() || "|-^=".contains(c));
    if !std::io::stderr().is_terminal() || text.lines().any(drawn) {
        return text.to_string();
    }
    // Room for `error: `.
    let lines = text.lines().flat_map(|l| ui::text::hang(l, width.saturating_sub(7)));
    lines.collect::<Vec<_>>().join("\n")
}

fn dispatch(cli: Cli) -> Done {
    let common = &cli.common;
    match cli.command {
        Command::Activate(go) => run::procedure(common, "activate", &go),
        Command::Deactivate(go) => run::procedure(common, "deactivate", &go),
        Command::Failover { roles, go } => failover::failover(common, &roles, &go),
        Command::Setup(go) => run::procedure(common, "setup", &go),
        Command::Run { procedure, go } => run::procedure(common, &procedure, &go),
        Command::Status { sites, set } => status::status(common, &sites, &set),
        Command::Plan { procedure, roles, set, format } => look::plan(common, &procedure, &roles, &set, format),
        Command::Check { procedure, roles, set } => {
            look::check(common, procedure.as_deref().unwrap_or("activate"), &roles, &set)
        }
        Command::Nodes => roster::nodes(common),
        Command::Resume { run, from, answer, sets, answers } => {
            let (from, answers) = (from.as_deref(), answers.as_deref());
            runs::again(common, Again { way: Way::Run, run, from, answer: &answer, answers, sets: &sets })
        }
        Command::Rollback { run, from, answer, answers } => {
            let (from, answers) = (from.as_deref(), answers.as_deref());
            runs::again(common, Again { way: Way::RollBack, run, from, answer: &answer, answers, sets: &[] })
        }
        Command::Settle { node, answer, answers, reason } => {
            settle::settle(common, node, &answer, answers.as_deref(), reason.as_deref())
        }
        Command::Unlock { node, reason, wait, stop } => unlock::unlock(common, &node, &reason, wait, stop),
        Command::Runs => runs::list(common),
        Command::Show { run, follow } => runs::show(common, run, follow),
        Command::Validate { file } => validate::validate(common, file.as_deref()),
        Command::Playbooks => files::playbooks(common),
        Command::Schema { what } => {
            let schema = match what {
                SchemaOf::Playbook => crate::schema::playbook(),
                SchemaOf::Site => crate::schema::site(),
            };
            say(&format!("{}\n", serde_json::to_string_pretty(&schema).expect("a schema is plain JSON")));
            Ok(Exit::Ok)
        }
        Command::Explain { word } => explain(word.as_deref()),
    }
}

fn explain(word: Option<&str>) -> Done {
    let text = match word {
        None => crate::explain::index(),
        Some(word) => crate::explain::word(word).ok_or_else(|| {
            Fatal::new(Exit::Usage, format!("`{word}` is nothing that can be explained"))
                .hint(crate::explain::hint(word))
        })?,
    };
    say(&text);
    Ok(Exit::Ok)
}

/// To stdout; a closed pipe ends nothing.
fn say(text: &str) {
    say_bytes(text.as_bytes());
}
fn say_bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

fn colour(common: &Common) -> ui::Colour {
    match common.color {
        crate::cli::Color::Auto => ui::Colour::Auto,
        crate::cli::Color::Always => ui::Colour::Always,
        crate::cli::Color::Never => ui::Colour::Never,
    }
}

fn verbosity(common: &Common) -> i8 {
    if common.quiet { -1 } else { common.verbose.min(3) as i8 }
}
