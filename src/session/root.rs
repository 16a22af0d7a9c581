//! Becoming root: how a session's first shell makes way for root's, and what it means when it may not.
//!
//! Why it exists: a node's whole session is root's where its site says `become`, so that this is asked once a session and not
//! once a command. Invariant: a password is written only after the program that wants it has said so with words nobody
//! else can know (`sudo`) or by its own prompt (`su`), and at most once; otherwise the next shell would read it as a command.

use crate::transport::Trouble;

/// The ways the site file knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Become {
    Sudo,
    Doas,
    Su,
}

/// What helps without anybody's changing the node.
pub const WITHOUT: &str = "run hawiz on a terminal, or with `$HAWIZ_SECRET_BECOME_PASSWORD`, to give the password";

/// A password on its way.
pub struct Waiting {
    /// What its reader says when it waits, on standard error.
    prompt: Vec<u8>,
    password: Option<Vec<u8>>,
}

pub enum Prompted {
    /// Write this.
    Now(Vec<u8>),
    /// It was written and is asked for again: it was wrong.
    Wrong,
    NotYet,
}

impl Waiting {
    /// Looks at what standard error has said so far.
    pub fn look(&mut self, said: &[u8]) -> Prompted {
        let mut times = 0;
        let mut from = 0;
        while let Some(at) = super::wire::find(said, &self.prompt, from) {
            times += 1;
            from = at + self.prompt.len();
        }
        match (times, self.password.take()) {
            (0, kept) => {
                self.password = kept;
                Prompted::NotYet
            }
            (_, Some(mut password)) => {
                password.push(b'\n');
                Prompted::Now(password)
            }
            (1, None) => Prompted::NotYet,
            (_, None) => Prompted::Wrong,
        }
    }
}

impl Become {
    pub fn of(word: Option<&str>) -> Option<Become> {
        match word {
            Some("sudo") => Some(Become::Sudo),
            Some("doas") => Some(Become::Doas),
            Some("su") => Some(Become::Su),
            _ => None,
        }
    }
    pub fn word(self) -> &'static str {
        match self {
            Become::Sudo => "sudo",
            Become::Doas => "doas",
            Become::Su => "su",
        }
    }
    /// Whether trying without a password is worth a session.
    pub fn always_asks(self) -> bool {
        self == Become::Su
    }
    /// The line that replaces a shell that is not root's, given `$hz_group` and `$hz_session`; and how it asks.
    pub fn line(self, nonce: &str, password: Option<&str>) -> (String, Option<Waiting>) {
        let waiting = |prompt: String| {
            password.map(|p| Waiting { prompt: prompt.into_bytes(), password: Some(p.as_bytes().to_vec()) })
        };
        let tail = r#"sh -c "$hz_group" hawiz "$hz_session""#;
        let (command, waiting) = match (self, password) {
            (Become::Sudo, None) => (format!("sudo -n {tail}"), None),
            (Become::Sudo, Some(_)) => (format!("sudo -S -p '@{nonce}?' {tail}"), waiting(format!("@{nonce}?"))),
            (Become::Doas, _) => (format!("doas -n {tail}"), None),
            (Become::Su, _) => {
                (r#"su -s /bin/sh -c "$hz_group" root hawiz "$hz_session""#.to_string(), waiting("assword".into()))
            }
        };
        // What these programs say is understood in English only.
        (format!("if [ \"$(id -u)\" != 0 ]; then LC_ALL=C; export LC_ALL; exec {command}; fi; "), waiting)
    }

    /// Whether these are its words, and not those of something else that failed.
    pub fn speaks_in(self, said: &str) -> bool {
        let own: &[&str] = match self {
            Become::Sudo => &["sudo:", "sudoers", "is not allowed to", "incorrect password", "try again"],
            Become::Doas => &["doas:", "doas.conf"],
            Become::Su => &["su:", "Authentication failure", "incorrect password"],
        };
        own.iter().any(|words| said.contains(words))
    }
    /// Whether what it said at its end means that a password is wanted.
    pub fn wants_password(self, said: &str) -> bool {
        match self {
            Become::Sudo => said.contains("a password is required") || said.contains("no password was provided"),
            Become::Doas | Become::Su => false,
        }
    }
    pub fn was_wrong(self, said: &str) -> bool {
        said.contains("incorrect password") || said.contains("Authentication failure") || said.contains("try again")
    }

    /// Why the session could not become root's.
    pub fn refused(self, said: &str, login: &str) -> Trouble {
        let how = self.word();
        let line = match self {
            Become::Sudo => format!("{login} ALL=(root) NOPASSWD: /bin/sh, /usr/bin/sh"),
            Become::Doas => format!("permit nopass {login} as root cmd sh"),
            Become::Su => String::new(),
        };
        let add = match self {
            Become::Sudo => format!("as root: `visudo -f /etc/sudoers.d/hawiz`, and write `{line}` there"),
            Become::Doas => format!("as root: write `{line}` into /etc/doas.conf"),
            Become::Su => "its root may have no password; use `become = \"sudo\"`".into(),
        };
        if said.contains("not found") {
            return Trouble::new(format!("{how} is not installed there ({said})"));
        }
        if said.contains("must have a tty") || said.contains("requiretty") {
            return Trouble::new(format!("{how} wants a terminal there ({said})"))
                .hint(format!("as root: `visudo -f /etc/sudoers.d/hawiz`, and write `Defaults:{login} !requiretty`"));
        }
        if self.wants_password(said) {
            return Trouble::new(format!("{how} wants a password of `{login}`")).hint(format!("{add}; or {WITHOUT}"));
        }
        if self.was_wrong(said) {
            return Trouble::new(format!("{how} did not take the password of `{login}`")).hint(WITHOUT);
        }
        Trouble::new(format!("{how} does not let `{login}` run sh as root ({said})")).hint(add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_written_once_and_only_when_it_is_asked_for() {
        let (line, waiting) = Become::Sudo.line("abc", Some("s3cret"));
        assert!(line.contains("sudo -S -p '@abc?' sh -c") && !line.contains("s3cret"), "{line}");
        let mut waiting = waiting.expect("sudo asks");
        assert!(matches!(waiting.look(b"welcome\n"), Prompted::NotYet));
        assert!(matches!(waiting.look(b"welcome\n@abc?"), Prompted::Now(p) if p == b"s3cret\n"));
        assert!(matches!(waiting.look(b"welcome\n@abc?"), Prompted::NotYet));
        assert!(matches!(waiting.look(b"welcome\n@abc?Sorry, try again.\n@abc?"), Prompted::Wrong));
    }

    #[test]
    fn each_refusal_says_what_to_write_where() {
        let said = |how: Become, said: &str| how.refused(said, "ops").to_string();
        assert_eq!(
            said(Become::Sudo, "sudo: a password is required"),
            "sudo wants a password of `ops`; as root: `visudo -f /etc/sudoers.d/hawiz`, and write `ops ALL=(root) NOPASSWD: \
             /bin/sh, /usr/bin/sh` there; or run hawiz on a terminal, or with `$HAWIZ_SECRET_BECOME_PASSWORD`, to give the \
             password"
        );
        assert_eq!(
            said(Become::Sudo, "ops is not in the sudoers file."),
            "sudo does not let `ops` run sh as root (ops is not in the sudoers file.); as root: `visudo -f \
             /etc/sudoers.d/hawiz`, and write `ops ALL=(root) NOPASSWD: /bin/sh, /usr/bin/sh` there"
        );
        assert_eq!(
            said(Become::Doas, "doas: Operation not permitted"),
            "doas does not let `ops` run sh as root (doas: Operation not permitted); as root: write `permit nopass ops as root \
             cmd sh` into /etc/doas.conf"
        );
        assert_eq!(
            said(Become::Sudo, "sh: 1: exec: sudo: not found"),
            "sudo is not installed there (sh: 1: exec: sudo: not found)"
        );
    }
}
