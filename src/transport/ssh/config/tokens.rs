//! `~` and `%h` in what `ssh -G` prints: it leaves them in key files and in a `ProxyCommand`.
//!
//! Why it exists: the file that is tried must be the one that `ssh` would try. Invariant: a token that is not known is an
//! error, never text.

use super::Me;
use std::path::PathBuf;

/// What tokens stand for.
pub struct Tokens<'a> {
    pub me: &'a Me,
    /// As it was asked for: `%n`.
    pub address: &'a str,
    /// `%h`
    pub hostname: &'a str,
    /// `%p`
    pub port: u16,
    /// `%r`
    pub user: &'a str,
    /// `%k`, if it is set.
    pub alias: Option<&'a str>,
}

impl Tokens<'_> {
    /// `%` tokens alone.
    pub fn fill(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let token = chars.next();
            match token {
                Some('%') => out.push('%'),
                Some('d') => out += &self.me.home.to_string_lossy(),
                Some('h') => out += self.hostname,
                Some('i') => out += &self.me.uid.to_string(),
                Some('k') => out += self.alias.unwrap_or(self.address),
                Some('l') => out += &self.me.host,
                Some('L') => out += self.me.host.split('.').next().unwrap_or_default(),
                Some('n') => out += self.address,
                Some('p') => out += &self.port.to_string(),
                Some('r') => out += self.user,
                Some('u') => out += &self.me.login,
                other => {
                    let token = other.map(String::from).unwrap_or_default();
                    return Err(format!("`{text}` holds `%{token}`, which hawiz does not know"));
                }
            }
        }
        Ok(out)
    }

    /// A file: `~`, then `%` tokens, then `${VARIABLE}`.
    pub fn path(&self, text: &str) -> Result<PathBuf, String> {
        let filled = self.fill(&tilde(self.me, text)?)?;
        let mut out = String::new();
        let mut rest = filled.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or_else(|| format!("`{text}` has no `}}` after `${{`"))?;
            let value = self.me.var(name).ok_or_else(|| format!("`{text}` needs `${name}`, which is not set"))?;
            out += before;
            out += value;
            rest = after;
        }
        Ok(PathBuf::from(out + rest))
    }
}

/// `~` and `~user` at the beginning.
pub fn tilde(me: &Me, text: &str) -> Result<String, String> {
    let Some(after) = text.strip_prefix('~') else { return Ok(text.to_string()) };
    let (user, rest) = after.split_at(after.find('/').unwrap_or(after.len()));
    let home = match user {
        "" => me.home.to_string_lossy().into_owned(),
        user => me.home_of(user).ok_or_else(|| format!("`{text}`: there is no user `{user}` in /etc/passwd"))?,
    };
    Ok(home + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_filled_as_ssh_fills_them() {
        let me = Me::of(1000, "alice", "/home/alice", "mn9.example.org", &[("KEYS", "/keys")]);
        let tokens =
            Tokens { me: &me, address: "mn1", hostname: "mn1.example.org", port: 2222, user: "bob", alias: None };
        for (text, expected) in [
            ("~/.ssh/id_ed25519", "/home/alice/.ssh/id_ed25519"),
            ("~", "/home/alice"),
            ("~root/key", "/root/key"),
            ("/a b/%h-%p-%r-%n-%k", "/a b/mn1.example.org-2222-bob-mn1-mn1"),
            ("%d/%u-%i-%l-%L", "/home/alice/alice-1000-mn9.example.org-mn9"),
            ("/x%%h", "/x%h"),
            ("${KEYS}/%%h/a~", "/keys/%h/a~"),
        ] {
            assert_eq!(tokens.path(text), Ok(PathBuf::from(expected)), "{text}");
        }
        for (text, why) in [
            ("/%C", "`/%C` holds `%C`, which hawiz does not know"),
            ("/x%", "`/x%` holds `%`, which hawiz does not know"),
            ("${NO}/x", "`${NO}/x` needs `$NO`, which is not set"),
            ("${NO", "`${NO` has no `}` after `${`"),
            ("~nobody-at-all/x", "`~nobody-at-all/x`: there is no user `nobody-at-all` in /etc/passwd"),
        ] {
            assert_eq!(tokens.path(text), Err(why.to_string()));
        }
        assert_eq!(tokens.fill("nc -X 5 %h %p ${KEYS}"), Ok("nc -X 5 mn1.example.org 2222 ${KEYS}".into()));
    }
}
