//! Who acts: one line, in every record and on every lock.
//!
//! Why it exists: after an incident the first question is who did it, from where; and a lock that does not say whose it is
//! gets broken by the wrong person. Invariant: it never fails and never asks the network or a name service; what is not
//! known is left out (cron and CI have no terminal, a directory user is not in `/etc/passwd`).
//!
//! `root (sudo: alice), uid 0, from 10.5.106.9, pts/3, host xcatmn2, pid 4711`

use std::fmt;
use std::path::PathBuf;

/// What is known about who acts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The name of the effective user.
    pub login: Option<String>,
    /// Who became that by sudo.
    pub sudo: Option<String>,
    pub uid: u32,
    /// The address an SSH client came from.
    pub from: Option<String>,
    /// The terminal, without `/dev/`.
    pub tty: Option<String>,
    pub host: String,
    pub pid: u32,
}

impl Who {
    /// This process.
    pub fn here() -> Who {
        let passwd = std::fs::read("/etc/passwd").unwrap_or_default();
        let uid = rustix::process::geteuid().as_raw();
        let tty = [tty_of(std::io::stdin()), tty_of(std::io::stderr())].into_iter().flatten().next();
        Who {
            uid,
            tty,
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid: std::process::id(),
            ..Who::of(uid, &String::from_utf8_lossy(&passwd), &|name| std::env::var(name).ok())
        }
    }

    /// The part that the environment and `/etc/passwd` tell.
    fn of(uid: u32, passwd: &str, env: &dyn Fn(&str) -> Option<String>) -> Who {
        let set = |name: &str| env(name).map(|v| v.trim().to_string()).filter(|v| !v.is_empty());
        let login = entry(passwd, uid).map(|(name, _)| name.to_string());
        Who {
            login: login.or_else(|| set("LOGNAME")).or_else(|| set("USER")),
            // Only root is made by sudo in a way that says who was before; the variable outlives an `su` to others.
            sudo: set("SUDO_USER"),
            uid,
            from: ["SSH_CONNECTION", "SSH_CLIENT"]
                .into_iter()
                .find_map(|name| set(name)?.split_whitespace().next().map(str::to_string)),
            ..Who::default()
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", plain(self.login.as_deref().unwrap_or("?")))?;
        if let Some(sudo) = &self.sudo {
            write!(f, " (sudo: {})", plain(sudo))?;
        }
        write!(f, ", uid {}", self.uid)?;
        if let Some(from) = &self.from {
            write!(f, ", from {}", plain(from))?;
        }
        if let Some(tty) = &self.tty {
            write!(f, ", {}", plain(tty))?;
        }
        if !self.host.is_empty() {
            write!(f, ", host {}", plain(&self.host))?;
        }
        write!(f, ", pid {}", self.pid)
    }
}

/// Environment variables may hold anything; a holder's line is one short line on somebody else's screen.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(128).collect()
}

fn tty_of(fd: impl std::os::fd::AsFd) -> Option<String> {
    let name = rustix::termios::ttyname(fd, Vec::new()).ok()?;
    let name = name.to_string_lossy();
    Some(name.strip_prefix("/dev/").unwrap_or(&name).to_string())
}

/// Name and home of a user in `/etc/passwd`.
fn entry(passwd: &str, uid: u32) -> Option<(&str, &str)> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let known = fields.len() >= 6 && !fields[0].is_empty() && fields[2].parse() == Ok(uid);
        known.then(|| (fields[0], fields[5]))
    })
}

/// The home that `/etc/passwd` gives this user.
pub fn home() -> Option<PathBuf> {
    let passwd = std::fs::read("/etc/passwd").ok()?;
    let passwd = String::from_utf8_lossy(&passwd);
    let (_, home) = entry(&passwd, rustix::process::geteuid().as_raw())?;
    Some(PathBuf::from(home)).filter(|h| h.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\n+::::::\nbroken\nalice:x:1000:1000::/home/alice:/bin/sh\n";

    fn of(uid: u32, env: &[(&str, &str)]) -> String {
        let who = Who::of(uid, PASSWD, &|n| env.iter().find(|(k, _)| *k == n).map(|(_, v)| v.to_string()));
        Who { host: "xcatmn2".into(), pid: 4711, ..who }.to_string()
    }

    #[test]
    fn everything_known_makes_one_line() {
        let env = [("SUDO_USER", "alice"), ("SSH_CONNECTION", "10.5.106.9 50000 10.5.106.71 22")];
        let who = Who::of(0, PASSWD, &|n| env.iter().find(|(k, _)| *k == n).map(|(_, v)| v.to_string()));
        let who = Who { tty: Some("pts/3".into()), host: "xcatmn2".into(), pid: 4711, ..who };
        assert_eq!(who.to_string(), "root (sudo: alice), uid 0, from 10.5.106.9, pts/3, host xcatmn2, pid 4711");
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        assert_eq!(of(1000, &[]), "alice, uid 1000, host xcatmn2, pid 4711");
        assert_eq!(of(77, &[]), "?, uid 77, host xcatmn2, pid 4711");
        assert_eq!(of(77, &[("SSH_CLIENT", "  "), ("SUDO_USER", "")]), "?, uid 77, host xcatmn2, pid 4711");
    }

    #[test]
    fn a_directory_user_is_named_by_the_login() {
        assert_eq!(of(77, &[("LOGNAME", "bob")]), "bob, uid 77, host xcatmn2, pid 4711");
        assert_eq!(of(1000, &[("LOGNAME", "bob")]), "alice, uid 1000, host xcatmn2, pid 4711");
    }

    #[test]
    fn hostile_variables_stay_one_short_line() {
        let line = of(0, &[("SUDO_USER", "a\n\u{1b}[2Jb"), ("SSH_CLIENT", &"9".repeat(5000))]);
        assert!(line.starts_with("root (sudo: a??[2Jb), uid 0, from 999"), "{line}");
        assert!(line.len() < 400 && line.lines().count() == 1, "{line}");
    }

    #[test]
    fn this_process_is_always_somebody() {
        let who = Who::here().to_string();
        assert!(who.contains(&format!("pid {}", std::process::id())), "{who}");
    }
}
