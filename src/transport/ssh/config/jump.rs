//! Hosts on the way: `user@host:port`, several with commas, as `ssh -J` takes them.
//!
//! Why it exists: the chain comes from the site file or from `ProxyJump`, and each of its hosts is put to `ssh -G` by itself.
//! Invariant: a name that begins with `-`, or that holds what a shell would act upon, is refused here and put to nobody.

use super::super::known_hosts;
use std::fmt;

/// One host on the way; what is `None` the user's ssh_config decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    pub user: Option<String>,
    /// Without brackets.
    pub host: String,
    pub port: Option<u16>,
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match (self.port, self.host.contains(':')) {
            (Some(port), true) => write!(f, "[{}]:{port}", self.host),
            (Some(port), false) => write!(f, "{}:{port}", self.host),
            (None, true) => write!(f, "[{}]", self.host),
            (None, false) => f.write_str(&self.host),
        }
    }
}

/// The chain, nearest host first; empty for `none`. `Err` is a fragment.
pub fn chain(text: &str) -> Result<Vec<Hop>, String> {
    match text.trim() {
        "" => Ok(Vec::new()),
        none if none.eq_ignore_ascii_case("none") => Ok(Vec::new()),
        chain => chain.split(',').map(|part| hop(part.trim())).collect(),
    }
}

fn hop(text: &str) -> Result<Hop, String> {
    let wrong = || format!("`{text}` is no host to go through: wanted is `user@host:port`");
    let uri = text.get(..6).filter(|s| s.eq_ignore_ascii_case("ssh://"));
    let rest = match uri {
        Some(_) => text[6..].strip_suffix('/').unwrap_or(&text[6..]),
        None => text,
    };
    // The last `@`: a login name may hold one, a host name may not.
    let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
    let (host, port) = match place.strip_prefix('[') {
        Some(inner) => {
            let (host, after) = inner.split_once(']').ok_or_else(wrong)?;
            let port = match after {
                "" => None,
                after => Some(after.strip_prefix(':').ok_or_else(wrong)?),
            };
            (host, port)
        }
        // An address without brackets has colons of its own, and no port.
        None if place.matches(':').count() > 1 => (place, None),
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None => None,
        Some(port) => Some(port.parse::<u16>().ok().filter(|p| *p != 0).ok_or_else(wrong)?),
    };
    let user = match (user, uri) {
        (None, _) => None,
        (Some(user), None) => Some(user.to_string()),
        (Some(user), Some(_)) => Some(unescaped(user).ok_or_else(wrong)?),
    };
    if let Some(user) = &user {
        login_name(user)?;
    }
    Ok(Hop { user, host: host_name(host)?.to_string(), port })
}

/// `%40` and the like, in the login name of a URI.
fn unescaped(text: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            b => b,
        });
    }
    String::from_utf8(out).ok()
}

/// A host name or address that may be put to `ssh` and into a `ProxyCommand`; brackets are taken off.
pub fn host_name(text: &str) -> Result<&str, String> {
    let bare = text.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(text);
    // An empty one, an option, a path or URI, `user@host`; a space or what a shell acts upon.
    let odd = |c: char| c.is_control() || c.is_whitespace() || "'`\"$\\;&<>|(){}[]@/,*?!#".contains(c);
    let port = bare.contains(':') && bare.split('%').next().is_some_and(|a| a.parse::<std::net::Ipv6Addr>().is_err());
    match bare {
        "" => Err("the host name is empty".into()),
        bare if bare.starts_with('-') || bare.contains(odd) => Err(format!("`{text}` is no host name")),
        _ if port => Err(format!("`{text}` is no host name: a port is said by `port`")),
        bare => Ok(bare),
    }
}

/// A login name that may be put to `ssh` and into a `ProxyCommand`.
pub fn login_name(text: &str) -> Result<&str, String> {
    let odd = |c: char| c.is_control() || "'`\";&<>|(){}".contains(c);
    let option = text.split(char::is_whitespace).any(|w| w.starts_with('-'));
    match text {
        "" => Err("the login name is empty".into()),
        text if option || text.ends_with('\\') || text.contains(odd) => Err(format!("`{text}` is no login name")),
        text => Ok(text),
    }
}

/// Whether two names are one place, for finding a way that leads through itself.
pub(super) fn same(a: (&str, u16), b: (&str, u16)) -> bool {
    known_hosts::name(a.0, a.1) == known_hosts::name(b.0, b.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_read_as_ssh_reads_it() {
        for (text, expected) in [
            ("gw", "gw"),
            ("bob@gw:2222", "bob@gw:2222"),
            ("a@b@gw", "a@b@gw"),
            ("gw1,bob@gw2:23", "gw1 bob@gw2:23"),
            ("gw1, gw2", "gw1 gw2"),
            ("[2001:db8::1]:2222", "[2001:db8::1]:2222"),
            ("bob@[fe80::1%eth0]", "bob@[fe80::1%eth0]"),
            ("2001:db8::1", "[2001:db8::1]"),
            ("ssh://bob@gw:2222", "bob@gw:2222"),
            ("SSH://gw/", "gw"),
            ("ssh://a%40b@[::1]:23", "a@b@[::1]:23"),
            ("DOM\\bob@gw", "DOM\\bob@gw"),
            ("none", ""),
            ("", ""),
        ] {
            let hops = chain(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(hops.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), expected, "{text}");
        }
        let hop = &chain("ssh://a%40b@[::1]:23").expect("a hop")[0];
        assert_eq!((hop.user.as_deref(), hop.host.as_str(), hop.port), (Some("a@b"), "::1", Some(23)));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "-oProxyCommand=x",
            "bob@-x",
            "-x@gw",
            "gw,",
            "a,,b",
            "gw:0",
            "gw:65536",
            "gw:x",
            "[::1",
            "[::1]x",
            "gw:22:33",
            "a b",
            "gw;id",
            "$(id)@gw",
            "bob@",
            "@gw",
            "ssh://",
            "ssh://%4@gw",
            "ssh://gw/path",
            "gw\n",
            "gw%0a\nx",
        ] {
            // A newline at the very end is trimmed away.
            assert_eq!(chain(text).is_err(), text != "gw\n", "{text}");
        }
        for text in ["", "-x", "--", "a@b", "ssh://a", "a/b", "a:22", "a b", "a\0b", "a`b"] {
            assert!(host_name(text).is_err(), "{text}");
        }
        for text in ["mn1", "a_b", "[::1]", "fe80::1%eth0", "10.0.0.1", "b\u{fc}ro", "xn--bro-hoa"] {
            assert!(host_name(text).is_ok(), "{text}");
        }
        assert_eq!(host_name("mn1:22").expect_err("a port"), "`mn1:22` is no host name: a port is said by `port`");
    }
}
