//! Whose ssh_config, keys and agent it is.
//!
//! Why it exists: under sudo they are root's, and a person looks for the reason in the wrong home. Invariant: read once,
//! from `/etc/passwd` and the environment; no secret of hawiz's is in it.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The user hawiz runs as.
#[derive(Clone, Debug)]
pub struct Me {
    pub uid: u32,
    pub login: String,
    /// As ssh has it: from `/etc/passwd`, whatever `$HOME` says; that only for users who are not in there.
    pub home: PathBuf,
    /// This machine's own name.
    pub host: String,
    env: BTreeMap<String, String>,
}

impl Me {
    pub fn here() -> Me {
        let env: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, value)| !name.starts_with("HAWIZ_SECRET_") && !value.is_empty())
            .collect();
        let who = crate::who::Who::here();
        let home = crate::who::home().or_else(|| env.get("HOME").map(PathBuf::from).filter(|h| h.is_absolute()));
        Me {
            uid: who.uid,
            login: who.login.unwrap_or_else(|| who.uid.to_string()),
            home: home.unwrap_or_else(|| PathBuf::from("/")),
            host: who.host,
            env,
        }
    }

    /// A variable that is set and not empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str)
    }

    /// Who became this user by sudo, if that is another one.
    pub fn sudo(&self) -> Option<&str> {
        self.var("SUDO_USER").filter(|who| *who != self.login)
    }

    /// Another user's home, if `/etc/passwd` has him.
    pub fn home_of(&self, user: &str) -> Option<String> {
        let passwd = std::fs::read("/etc/passwd").ok()?;
        let passwd = String::from_utf8_lossy(&passwd);
        let fields = passwd.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|f| f.len() >= 6 && f[0] == user)?;
        Some(fields[5].to_string())
    }

    #[cfg(test)]
    pub fn of(uid: u32, login: &str, home: &str, host: &str, env: &[(&str, &str)]) -> Me {
        let env = env.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Me { uid, login: login.into(), home: home.into(), host: host.into(), env }
    }
}
