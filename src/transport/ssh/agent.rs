//! Where the SSH agent is, and why there is none.
//!
//! Why it exists: "permission denied" is all that a missing agent looks like, and the commonest reason, sudo, is not seen
//! from inside. Invariant: the socket is only connected to and let go; no key is asked for.

use super::config::{AgentAt, Config, Me};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agent {
    Socket(PathBuf),
    /// Why not, as a fragment; empty if the user wants none.
    None(String),
}

/// The agent that this host's login may ask.
pub fn agent(config: &Config, me: &Me) -> Agent {
    match &config.identity_agent {
        AgentAt::Off => Agent::None(String::new()),
        AgentAt::Path(path) => at(path, "`IdentityAgent`", me),
        AgentAt::Variable(name) => match me.var(name) {
            Some(path) => at(Path::new(path), &format!("`${name}`"), me),
            None => Agent::None(unset(name, me)),
        },
    }
}

/// Why the variable is not set.
fn unset(name: &str, me: &Me) -> String {
    if let Some(user) = me.sudo() {
        return format!(
            "sudo took the agent of `{user}` away (`${name}` is not set): `sudo --preserve-env={name} hawiz …` keeps it, or \
             `Defaults env_keep += \"{name}\"` in sudoers"
        );
    }
    if let Some(user) = me.var("DOAS_USER").filter(|user| *user != me.login) {
        return format!(
            "doas took the agent of `{user}` away (`${name}` is not set): `permit setenv {{ {name} }} {user}` in doas.conf \
             keeps it"
        );
    }
    if me.var("SSH_CONNECTION").is_some() {
        return format!(
            "there is no agent: `${name}` is not set; `ssh -A` brings yours along, `eval $(ssh-agent)` starts one"
        );
    }
    format!("there is no agent: `${name}` is not set; `eval $(ssh-agent)` starts one, `ssh-add` gives it a key")
}

fn at(path: &Path, by: &str, me: &Me) -> Agent {
    let named = format!("{by} names `{}`", path.display());
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Agent::None(format!("{named}, which is not there: that agent has ended"));
        }
        Err(e) => return Agent::None(format!("{named}, which cannot be used: {e}")),
    };
    if !meta.file_type().is_socket() {
        return Agent::None(format!("{named}, which is no socket"));
    }
    // Root uses whose agent it is given: under sudo it is the caller's.
    if me.uid != 0 && meta.uid() != me.uid {
        return Agent::None(format!("{named}, which belongs to another user (uid {})", meta.uid()));
    }
    match listens(path) {
        Ok(()) => Agent::Socket(path.to_path_buf()),
        Err(Errno::CONNREFUSED) => Agent::None(format!("{named}, where nobody listens: that agent has ended")),
        Err(Errno::AGAIN) => Agent::None(format!("{named}, whose agent does not answer")),
        Err(e) => Agent::None(format!("{named}, which cannot be used: {e}")),
    }
}

/// Never waits: an agent that is stopped has a full queue at most.
fn listens(path: &Path) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn me(uid: u32, env: &[(&str, &str)]) -> Me {
        let login = if uid == 0 { "root" } else { "alice" };
        Me::of(uid, login, "/nonexistent", "mn9", env)
    }
    fn asked(identity_agent: AgentAt, me: &Me) -> Agent {
        agent(&Config { identity_agent, ..Config::plain("mn1", vec![], me) }, me)
    }
    fn why(env: &[(&str, &str)], uid: u32) -> String {
        match asked(AgentAt::Variable("SSH_AUTH_SOCK".into()), &me(uid, env)) {
            Agent::None(why) => why,
            Agent::Socket(path) => panic!("{path:?}"),
        }
    }

    #[test]
    fn an_agent_that_listens_is_found_and_one_that_has_ended_is_said() {
        let dir = std::env::temp_dir().join(format!("hawiz-agent-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a folder");
        let path = dir.join("agent");
        let text = path.to_str().expect("text");
        let own = rustix::process::geteuid().as_raw();
        let listener = UnixListener::bind(&path).expect("a socket");
        for at in
            [AgentAt::Variable("SSH_AUTH_SOCK".into()), AgentAt::Variable("MINE".into()), AgentAt::Path(path.clone())]
        {
            let me = me(own, &[("SSH_AUTH_SOCK", text), ("MINE", text)]);
            assert_eq!(asked(at, &me), Agent::Socket(path.clone()));
        }
        assert_eq!(
            why(&[("SSH_AUTH_SOCK", text)], own + 1),
            format!("`$SSH_AUTH_SOCK` names `{text}`, which belongs to another user (uid {own})")
        );
        drop(listener);
        assert_eq!(
            why(&[("SSH_AUTH_SOCK", text)], own),
            format!("`$SSH_AUTH_SOCK` names `{text}`, where nobody listens: that agent has ended")
        );
        std::fs::remove_dir_all(&dir).expect("removed");
        assert_eq!(
            why(&[("SSH_AUTH_SOCK", text)], own),
            format!("`$SSH_AUTH_SOCK` names `{text}`, which is not there: that agent has ended")
        );
        assert_eq!(
            why(&[("SSH_AUTH_SOCK", "/etc/passwd")], 0),
            "`$SSH_AUTH_SOCK` names `/etc/passwd`, which is no socket"
        );
    }

    #[test]
    fn who_took_the_agent_away_is_said() {
        assert_eq!(
            why(&[("SUDO_USER", "bob")], 0),
            "sudo took the agent of `bob` away (`$SSH_AUTH_SOCK` is not set): `sudo --preserve-env=SSH_AUTH_SOCK hawiz …` \
             keeps it, or `Defaults env_keep += \"SSH_AUTH_SOCK\"` in sudoers"
        );
        assert!(why(&[("DOAS_USER", "bob")], 0).starts_with("doas took the agent of `bob` away"));
        // sudo to oneself takes nothing away that was there.
        assert!(why(&[("SUDO_USER", "root")], 0).starts_with("there is no agent: `$SSH_AUTH_SOCK` is not set; `eval"));
        assert!(why(&[("SSH_CONNECTION", "a b c d")], 1).contains("`ssh -A` brings yours along"));
        assert_eq!(asked(AgentAt::Off, &me(0, &[])), Agent::None(String::new()));
    }
}
