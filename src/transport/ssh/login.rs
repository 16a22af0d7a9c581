//! Who is there, and getting in: the host's key, then ours.
//!
//! Why it exists: a wrong order here either locks an account out (a server counts every key it is shown) or sends a password
//! to a stranger. Invariant: the host's key is judged before anything of ours is sent; a key that cannot be used is never
//! tried, and what was tried is named when nothing opened the door.

use super::agent::{Agent, agent};
use super::config::{Config, Method};
use super::connection::{Failed, GREETING, Waiting};
use super::dial::Socket;
use super::key_file::{KeyFile, public_key};
use super::known_hosts::{self, KnownHosts, Verdict};
use super::{Board, Facts, Road};
use crate::transport::{Need, Said, Trouble};
use rustix::io::Errno;
use ssh2::{ErrorCode, KeyboardInteractivePrompt, MethodType, Prompt, Session};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

/// What known_hosts holds, before and after the server has shown its key.
pub(super) struct HostKey {
    known: Arc<KnownHosts>,
}

impl HostKey {
    /// Asks the server for the kinds of key that are known of it.
    pub(super) fn prepare(road: &Road, session: &Session) -> Result<HostKey, Trouble> {
        let config = &road.config;
        let known = config.known_hosts(&road.shelf).map_err(Trouble::new)?;
        let (name, port) = config.known_as();
        let preferred = known.preference(name, port, &config.host_key_algorithms);
        if preferred.is_empty() {
            return Err(Trouble::new("`HostKeyAlgorithms` in ssh_config leaves no kind of host key that hawiz speaks")
                .hint("such a host is reached by `via = [\"ssh\", …]`"));
        }
        let all = preferred.join(",");
        session.method_pref(MethodType::HostKey, &all).map_err(|e| Trouble::new(e.message().to_string()))?;
        Ok(HostKey { known })
    }

    pub(super) fn check(
        &mut self,
        road: &Road,
        board: &Board,
        number: u64,
        session: &Session,
        facts: &mut Facts,
    ) -> Result<(), Trouble> {
        let (key, _) = session.host_key().ok_or_else(|| Trouble::new("its sshd showed no host key"))?;
        let kind = known_hosts::key_type(key).unwrap_or("unknown").to_string();
        let fingerprint = known_hosts::fingerprint(key);
        facts.host_key = format!("{kind} {fingerprint}");
        let (host, port) = road.config.known_as();
        let name = known_hosts::name(host, port);
        facts.notes.extend(self.known.bad.iter().map(ToString::to_string));
        let verdict = self.known.judge(host, port, key);
        match (&verdict, road.config.user_known_hosts.first()) {
            (Verdict::Known(place), _) => {
                facts.known_in = place.to_string();
                return Ok(());
            }
            (Verdict::Unknown, Some(file)) if road.config.asks_for_host_keys() => {
                let ask = Need::HostKey {
                    node: road.node.clone(),
                    host: host.to_string(),
                    port,
                    kind,
                    fingerprint,
                    file: file.clone(),
                };
                match board.ask(number, ask) {
                    Said::Yes => {
                        let line = known_hosts::line_for(host, port, key, road.config.hash_known_hosts);
                        known_hosts::add(file, &line).map_err(|why| {
                            Trouble::new(format!("its host key cannot be written into {}: {why}", file.display()))
                        })?;
                        facts.known_in =
                            match road.config.known_hosts(&road.shelf).map(|known| known.judge(host, port, key)) {
                                Ok(Verdict::Known(place)) => place.to_string(),
                                _ => file.display().to_string(),
                            };
                        return Ok(());
                    }
                    Said::Nobody => {}
                    Said::No | Said::Stop | Said::Text(_) => return Err(Trouble::new("its host key was not accepted")),
                }
            }
            _ => {}
        }
        let refusal = verdict.refusal(&name, key).expect("only a known key is not refused");
        let hint = match verdict {
            // Nobody would be asked on a terminal either.
            Verdict::Unknown if !road.config.asks_for_host_keys() => "by ssh_config nobody is asked about it \
                (`StrictHostKeyChecking`, `BatchMode`, `UserKnownHostsFile`): compare it with what `ssh-keygen -lf` says of the \
                key in /etc/ssh on the node's own console, then write it into known_hosts"
                .to_string(),
            _ => refusal.hint,
        };
        Err(Trouble::new(refusal.cause).hint(hint))
    }
}

/// Why the two did not agree on how to talk.
pub(super) fn greeting_failed(failed: Failed, socket: &Socket, road: &Road) -> Trouble {
    let at = format!("{} port {}", socket.address, road.config.port);
    // Closed before its first word: sshd drops logins when too many have begun (MaxStartups), or by address.
    let dropped = || {
        let mut t = Trouble::new(format!("{at} closed the connection before it said who it is"))
            .hint("it may have too many logins at once (`MaxStartups`), or refuse this address");
        t.busy = true;
        t
    };
    match failed {
        Failed::Late => {
            Trouble::new(format!("{at} takes connections, but its sshd said nothing within {} s", GREETING.as_secs()))
                .hint("its sshd is stopped or hangs, or something else listens there")
        }
        Failed::Socket(Errno::CONNRESET | Errno::PIPE) => dropped(),
        Failed::Socket(e) => Trouble::new(super::dial::broke(e)),
        Failed::Ssh(e) => match e.code() {
            ErrorCode::Session(-13 | -43 | -2) => dropped(),
            ErrorCode::Session(-5 | -8) => {
                Trouble::new(format!("{at} and hawiz have no way of encryption or no kind of host key in common"))
                    .hint("`ssh -v` shows what it offers; such a host is reached by `via = [\"ssh\", …]`")
            }
            _ => Trouble::new(format!("{at}: {}", e.message())),
        },
    }
}

/// One way in that was tried, for the words at the end.
struct Tried(Vec<String>);

/// An attempt's end.
enum Door {
    Open,
    Shut,
    /// The server has had enough.
    Closed(Trouble),
}

/// Logs in: keys of the agent, key files, then what a person types.
pub(super) fn enter(
    road: &Road,
    board: &Board,
    number: u64,
    waiting: &Waiting<'_>,
    facts: &mut Facts,
) -> Result<(), Trouble> {
    let config = &road.config;
    let mut tried = Tried(Vec::new());
    let who = Login { road, board, number, waiting, agent: agent(config, &road.me), ways_out: RefCell::default() };
    if config.methods.contains(&Method::PublicKey)
        && (who.by_agent(&mut tried, facts)? || who.by_files(&mut tried, facts)?)
    {
        return Ok(());
    }
    let offered = who.offered().map_err(|t| tried.add_to(t))?;
    if offered.is_none() {
        facts.login = "nothing asked for".into();
        return Ok(());
    }
    let offered = offered.unwrap_or_default();
    let offers = |what: &str| offered.split(',').any(|o| o == what);
    for method in &config.methods {
        let open = match method {
            Method::PublicKey => false,
            Method::KeyboardInteractive => offers("keyboard-interactive") && who.by_replies(&mut tried, facts)?,
            Method::Password => offers("password") && who.by_password(&mut tried, facts)?,
        };
        if open {
            return Ok(());
        }
    }
    Err(who.refused(&tried, &offered))
}

struct Login<'a> {
    road: &'a Road,
    board: &'a Board,
    number: u64,
    waiting: &'a Waiting<'a>,
    agent: Agent,
    /// How what nobody was there to say can be said.
    ways_out: RefCell<Vec<String>>,
}

impl Login<'_> {
    fn config(&self) -> &Config {
        &self.road.config
    }
    fn name(&self) -> String {
        format!("{}@{}", self.config().user, self.config().hostname)
    }

    /// What only a person knows; `BatchMode` asks nobody.
    fn need(&self, need: Need) -> Said {
        if self.config().batch { Said::Nobody } else { self.board.ask(self.number, need) }
    }
    /// It was not said; what to do about that.
    fn unsaid(&self, said: &Said, what: &str, variable: &str) {
        let text = match said {
            Said::Nobody if self.config().batch => {
                format!("`BatchMode` of ssh_config lets nobody be asked for a {what}")
            }
            Said::Nobody => format!("run hawiz on a terminal, or with `${variable}`, to give the {what}"),
            _ => return,
        };
        let mut all = self.ways_out.borrow_mut();
        if !all.contains(&text) {
            all.push(text);
        }
    }

    fn attempt(&self, step: impl FnMut() -> Result<(), ssh2::Error>) -> Door {
        match self.waiting.until(Instant::now() + GREETING, step) {
            Ok(()) => Door::Open,
            Err(Failed::Late) => Door::Closed(
                Trouble::new(format!("its sshd did not answer a login within {} s", GREETING.as_secs()))
                    .hint("its sshd is stopped or very busy, or asks a directory that does not answer"),
            ),
            // So it looks, too, when what the server said last was overtaken by its closing.
            Err(Failed::Socket(Errno::CONNRESET | Errno::PIPE)) => Door::Closed(self.enough()),
            Err(Failed::Socket(e)) => Door::Closed(Trouble::new(super::dial::broke(e))),
            Err(Failed::Ssh(e)) => match e.code() {
                ErrorCode::Session(-13 | -43 | -7) => Door::Closed(self.enough()),
                _ => Door::Shut,
            },
        }
    }
    fn enough(&self) -> Trouble {
        Trouble::new(format!("its sshd closed the connection while `{}` tried to log in", self.name()))
            .hint("it may have been shown too many keys (`MaxAuthTries`): name one with `identity`, or set `IdentitiesOnly yes`")
    }

    /// Which ways are open; `None`: in already, without any.
    fn offered(&self) -> Result<Option<String>, Trouble> {
        let session = &self.waiting.session;
        let mut said = String::new();
        let door = self.attempt(|| {
            said = session.auth_methods(&self.config().user)?.to_string();
            Ok(())
        });
        match door {
            Door::Open => Ok(Some(said)),
            Door::Shut if session.authenticated() => Ok(None),
            Door::Shut => Ok(Some(String::new())),
            Door::Closed(t) => Err(t),
        }
    }

    fn by_agent(&self, tried: &mut Tried, facts: &mut Facts) -> Result<bool, Trouble> {
        let Agent::Socket(socket) = &self.agent else { return Ok(false) };
        let session = &self.waiting.session;
        let Ok(mut agent) = session.agent() else { return Ok(false) };
        let told = agent.set_identity_path(socket).and_then(|()| agent.connect()).and_then(|()| {
            agent.list_identities()?;
            agent.identities()
        });
        let keys = match told {
            Ok(keys) => keys,
            Err(e) => {
                tried.0.push(format!("the agent at {} ({})", socket.display(), e.message()));
                return Ok(false);
            }
        };
        // With IdentitiesOnly, or a key named by the site: only those of the agent's keys.
        let wanted: Vec<Vec<u8>> = self.config().identity_files.iter().filter_map(|f| public_key(f)).collect();
        let only = self.config().identities_only;
        // Those that are named first: a server counts.
        let (named, others): (Vec<_>, Vec<_>) = keys.iter().partition(|k| wanted.iter().any(|w| w == k.blob()));
        let others = if only { Vec::new() } else { others };
        if named.is_empty() && others.is_empty() {
            let why =
                if keys.is_empty() { "it has no keys" } else { "none of its keys is one of those that are named" };
            tried.0.push(format!("the agent ({why})"));
        }
        for key in named.into_iter().chain(others) {
            let shown = format!("agent key {} {}", key.comment(), known_hosts::fingerprint(key.blob()));
            match self.attempt(|| agent.userauth(&self.config().user, key)) {
                Door::Open => {
                    facts.login = shown;
                    return Ok(true);
                }
                Door::Shut => tried.0.push(shown),
                Door::Closed(t) => return Err(tried.add_to(t)),
            }
        }
        Ok(false)
    }

    fn by_files(&self, tried: &mut Tried, facts: &mut Facts) -> Result<bool, Trouble> {
        for file in &self.config().identity_files {
            let shown = format!("key {}", file.display());
            let encrypted = match KeyFile::look(file) {
                KeyFile::Missing => continue,
                KeyFile::Plain { .. } => false,
                KeyFile::Encrypted { .. } => true,
                // The private half may be in the agent, which was asked before.
                KeyFile::Public => continue,
                not => {
                    tried.0.push(format!("{shown} ({not})"));
                    continue;
                }
            };
            let mut again = false;
            let slot = format!("passphrase {}", file.display());
            let asker = self.board.asker(&slot);
            // One login asks, the others wait until the right one is known, or that nobody gives it.
            let mut turn = encrypted.then(|| asker.lock().expect("nobody panics while holding it"));
            loop {
                if self.board.remembered(&slot).is_some() {
                    turn = None;
                }
                let passphrase = match (encrypted, self.board.remembered(&slot)) {
                    (false, _) => None,
                    (true, Some(text)) => Some(text),
                    (true, None) => {
                        let ask = Need::Passphrase { node: self.road.node.clone(), key: file.clone(), again };
                        match self.need(ask) {
                            Said::Text(text) => Some(text.lossy().to_string()),
                            said => {
                                self.unsaid(&said, "passphrase", "HAWIZ_SECRET_SSH_PASSPHRASE");
                                let why = if again { "not right" } else { "not given" };
                                tried.0.push(format!("{shown} (its passphrase was {why})"));
                                break;
                            }
                        }
                    }
                };
                let session = &self.waiting.session;
                let user = &self.config().user;
                let mut unread = false;
                let door = self.attempt(|| {
                    let said = session.userauth_pubkey_file(user, None, file, passphrase.as_deref());
                    // -16: the file, as far as libssh2 can tell; that is a wrong passphrase, since the file was looked at.
                    unread = said.as_ref().is_err_and(|e| e.code() == ErrorCode::Session(-16));
                    said
                });
                // What could be read was opened by it, whatever the server says of the key.
                if let (Door::Open | Door::Shut, false, Some(text)) = (&door, unread, passphrase) {
                    self.board.remember(slot.clone(), text);
                }
                match door {
                    Door::Open => {
                        facts.login = shown;
                        return Ok(true);
                    }
                    Door::Shut if unread && encrypted => {
                        self.board.forget(&slot);
                        again = true;
                        turn = turn.or_else(|| Some(asker.lock().expect("nobody panics while holding it")));
                    }
                    Door::Shut => {
                        let why = if unread { " (its format is not understood)" } else { "" };
                        tried.0.push(format!("{shown}{why}"));
                        break;
                    }
                    Door::Closed(t) => return Err(tried.add_to(t)),
                }
            }
        }
        Ok(false)
    }

    fn by_password(&self, tried: &mut Tried, facts: &mut Facts) -> Result<bool, Trouble> {
        let slot = format!("password {}", self.name());
        for again in (0..self.config().password_prompts).map(|n| n > 0) {
            let ask = Need::Password { node: self.road.node.clone(), login: self.name(), again };
            let text = match self.board.remembered(&slot) {
                Some(text) => text,
                None => match self.need(ask) {
                    Said::Text(text) => text.lossy().to_string(),
                    said => {
                        self.unsaid(&said, "password", "HAWIZ_SECRET_SSH_PASSWORD");
                        tried.0.push(if again { "password" } else { "password (not given)" }.into());
                        return Ok(false);
                    }
                },
            };
            let session = &self.waiting.session;
            match self.attempt(|| session.userauth_password(&self.config().user, &text)) {
                Door::Open => {
                    self.board.remember(slot, text);
                    facts.login = "password".into();
                    return Ok(true);
                }
                Door::Shut => self.board.forget(&slot),
                Door::Closed(t) => return Err(tried.add_to(t)),
            }
        }
        tried.0.push("password".into());
        Ok(false)
    }

    fn by_replies(&self, tried: &mut Tried, facts: &mut Facts) -> Result<bool, Trouble> {
        let slot = format!("password {}", self.name());
        for again in (0..self.config().password_prompts).map(|n| n > 0) {
            let mut replies = Replies { login: self, again, answered: None, nobody: false, hidden: None };
            let session = &self.waiting.session;
            let door = self.attempt(|| session.userauth_keyboard_interactive(&self.config().user, &mut replies));
            let nobody = replies.nobody;
            match door {
                Door::Open => {
                    // One hidden answer is a password, which a reconnect may repeat; anything else is asked again.
                    if let Some(text) = replies.hidden.filter(|_| replies.answered == Some(1)) {
                        self.board.remember(slot, text);
                    }
                    facts.login = "keyboard-interactive".into();
                    return Ok(true);
                }
                Door::Shut => self.board.forget(&slot),
                Door::Closed(t) => return Err(tried.add_to(t)),
            }
            if nobody {
                let how = if again { "keyboard-interactive" } else { "keyboard-interactive (not answered)" };
                tried.0.push(how.into());
                return Ok(false);
            }
        }
        tried.0.push("keyboard-interactive".into());
        Ok(false)
    }

    fn refused(&self, tried: &Tried, offered: &str) -> Trouble {
        let config = self.config();
        let what = if tried.0.is_empty() {
            "there was nothing to try".into()
        } else {
            format!("tried: {}", tried.0.join(", "))
        };
        let mut hints = self.ways_out.borrow().clone();
        if let Agent::None(why) = &self.agent {
            hints.push(why.clone());
        }
        if !offered.is_empty() {
            hints.push(format!("it takes {}", offered.replace(',', ", ")));
        }
        hints.extend(config.untried.iter().cloned());
        hints.retain(|h| !h.is_empty());
        let t = Trouble::new(format!("`{}` was not let in ({what})", self.name()));
        if hints.is_empty() { t } else { t.hint(hints.join("; ")) }
    }
}

impl Tried {
    fn add_to(&self, mut t: Trouble) -> Trouble {
        if !self.0.is_empty() {
            t.why = format!("{} (tried: {})", t.why, self.0.join(", "));
        }
        t
    }
}

/// Answers the server's prompts, one conversation at a time.
struct Replies<'a> {
    login: &'a Login<'a>,
    again: bool,
    answered: Option<usize>,
    nobody: bool,
    /// The last hidden answer.
    hidden: Option<String>,
}

impl KeyboardInteractivePrompt for Replies<'_> {
    fn prompt<'b>(&mut self, _user: &str, instruction: &str, prompts: &[Prompt<'b>]) -> Vec<String> {
        let slot = format!("password {}", self.login.name());
        let mut out = Vec::new();
        for p in prompts {
            let ask = Need::Reply {
                node: self.login.road.node.clone(),
                login: self.login.name(),
                instruction: instruction.to_string(),
                prompt: p.text.to_string(),
                echo: p.echo,
                again: self.again,
                first: self.answered.is_none(),
            };
            let remembered = (prompts.len() == 1 && !p.echo && self.answered.is_none())
                .then(|| self.login.board.remembered(&slot))
                .flatten();
            let since = Instant::now();
            let text = match remembered {
                Some(text) => text,
                None => match self.login.need(ask) {
                    Said::Text(text) => text.lossy().to_string(),
                    said => {
                        self.login.unsaid(&said, "password", "HAWIZ_SECRET_SSH_PASSWORD");
                        self.nobody = true;
                        String::new()
                    }
                },
            };
            let typing = &self.login.waiting.typing;
            typing.set(typing.get() + since.elapsed());
            if !p.echo {
                self.hidden = Some(text.clone());
            }
            self.answered = Some(self.answered.unwrap_or(0) + 1);
            out.push(text);
        }
        out
    }
}
