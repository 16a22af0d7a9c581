//! What logins need of a person: a host key's confirmation, passphrases, passwords.
//!
//! Why it exists: a transport never prompts, and a dry run asks for no secret. Invariants: an unknown host key is only ever
//! accepted by a person who types `yes`; a secret from the environment is tried once, what was wrong is not tried again.

use super::desk::Person;
use crate::problem::{Exit, Fatal};
use crate::prompt::terminal::Terminal;
use crate::prompt::{Answer, Prompter, Question};
use crate::shell::Value;
use crate::transport::{Need, Said};
use crate::ui::View;
use std::cell::RefCell;
use std::rc::Rc;

/// The person of a run, who is asked by the engine and by logins, never by both at a time.
#[derive(Clone)]
pub(super) struct Shared(pub Rc<RefCell<Person>>);

impl Prompter for Shared {
    fn ask(&mut self, question: &Question) -> crate::prompt::Given {
        self.0.borrow_mut().ask(question)
    }
    fn person(&self) -> bool {
        true
    }
}

/// Answers what logins need.
pub(super) type Porter = Box<dyn FnMut(&Need) -> Said>;

/// In a dry run and in whatever only looks: the environment, nobody else.
pub(super) fn nobody() -> Porter {
    Box::new(|need| given(need).unwrap_or(Said::Nobody))
}

/// Where a person may be asked.
pub(super) fn porter(person: Option<Shared>) -> Porter {
    match person {
        None => nobody(),
        Some(Shared(person)) => Box::new(move |need| {
            given(need).unwrap_or_else(|| {
                let mut person = person.borrow_mut();
                person.screen.borrow_mut().views.pause();
                said(person.terminal.ask(&question(need)).answer)
            })
        }),
    }
}

/// At a terminal, without a run. Signals do what they always do: nothing is under way that must be ended in order.
pub(super) fn at_a_terminal(colours: bool) -> Result<Porter, Fatal> {
    let mut terminal = Terminal::new(None, Box::new(|| None), colours)
        .map_err(|e| Fatal::new(Exit::Internal, format!("cannot ask on this terminal: {e}")))?;
    Ok(Box::new(move |need| {
        given(need).unwrap_or_else(|| {
            loop {
                match terminal.ask(&question(need)).answer {
                    // Stopped and gone on with.
                    Answer::Again => {}
                    answer => return said(answer),
                }
            }
        })
    }))
}

fn said(answer: Answer) -> Said {
    match answer {
        Answer::Yes => Said::Yes,
        Answer::Text(text) => Said::Text(text),
        Answer::No => Said::No,
        _ => Said::Stop,
    }
}

/// The variable that may hold an answer.
fn variable(need: &Need) -> Option<&'static str> {
    match need {
        // A question of the server's own: only the one that is a password by its name, and only once.
        Need::Reply { prompt, echo, again, first, .. } => {
            (*first && !again && !echo && prompt.contains("assword")).then_some("HAWIZ_SECRET_SSH_PASSWORD")
        }
        Need::HostKey { .. } => None,
        Need::Passphrase { again, .. } => (!again).then_some("HAWIZ_SECRET_SSH_PASSPHRASE"),
        Need::Password { again, .. } => (!again).then_some("HAWIZ_SECRET_SSH_PASSWORD"),
        Need::Become { again, .. } => (!again).then_some("HAWIZ_SECRET_BECOME_PASSWORD"),
    }
}

fn given(need: &Need) -> Option<Said> {
    let value = std::env::var_os(variable(need)?)?;
    Some(Said::Text(Value::new(std::os::unix::ffi::OsStrExt::as_bytes(value.as_os_str()))))
}

pub(super) fn question(need: &Need) -> Question {
    let secret = |name: &str, prompt: String| Question::Secret { name: name.into(), prompt };
    let wrong = |again: bool| if again { "That was not right. " } else { "" };
    match need {
        Need::HostKey { node, host, port, kind, fingerprint, file } => Question::Trust {
            lines: vec![
                format!("{node}: the key of {host} port {port} is not in known_hosts. It says it is"),
                format!("  {kind} {fingerprint}"),
                "Compare it with what the node's own console says:".into(),
                "  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub".into(),
                format!("A yes is written into {}.", file.display()),
            ],
        },
        Need::Passphrase { node, key, again } => {
            secret("passphrase", format!("{}{node}: passphrase of {}", wrong(*again), key.display()))
        }
        Need::Password { node, login, again } => {
            secret("password", format!("{}{node}: password of {login}", wrong(*again)))
        }
        Need::Reply { node, login, instruction, prompt, echo, again, first } => {
            let asked = prompt.trim().trim_end_matches(':');
            let wrong = wrong(*again && *first);
            let text = if instruction.trim().is_empty() {
                format!("{wrong}{node}, {login}: {asked}")
            } else {
                format!("{wrong}{node}, {login}: {}: {asked}", instruction.trim())
            };
            if *echo {
                Question::Input { name: "reply".into(), prompt: text, choices: Vec::new() }
            } else {
                secret("reply", text)
            }
        }
        Need::Become { node, how, login, again } => {
            secret("password", format!("{}{node}: {how} wants the password of {login}", wrong(*again)))
        }
    }
}
