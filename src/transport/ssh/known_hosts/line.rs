//! One line of a known_hosts file.
//!
//! Why it exists: the format has grown for thirty years, and a line that is read wrongly lets the wrong host in. Invariant:
//! a line is understood whole or is named as bad; names and keys are bytes, whatever their encoding.

use super::{Place, key_type};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::fmt;

/// OpenSSH's own limit; a longer name matches nothing there.
const LONGEST: usize = 1023;

/// A line that was skipped, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    pub place: Place,
    pub why: String,
}
impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    Revoked,
    Authority,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub place: Place,
    pub mark: Mark,
    pub hosts: Hosts,
    pub key: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(super) enum Hosts {
    Hashed {
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
    /// Lower-case patterns; `true` negates.
    Patterns(Vec<(bool, Vec<u8>)>),
}

impl Hosts {
    fn parse(field: &[u8]) -> Result<Hosts, String> {
        if field.starts_with(b"|") {
            let parts: Vec<&[u8]> = field.split(|b| *b == b'|').collect();
            let [b"", b"1", salt, hash] = parts[..] else { return Err("the hashed host name is broken".into()) };
            let decoded = |part| STANDARD.decode(part).ok().filter(|d| d.len() == 20);
            return match (decoded(salt), decoded(hash)) {
                (Some(salt), Some(hash)) => Ok(Hosts::Hashed { salt, hash }),
                _ => Err("the hashed host name is broken".into()),
            };
        }
        let patterns = field.split(|b| *b == b',').map(|part| {
            let (not, part) = part.strip_prefix(b"!").map_or((false, part), |p| (true, p));
            if part.len() > LONGEST {
                return Err(format!("a host name longer than {LONGEST} bytes"));
            }
            Ok((not, part.to_ascii_lowercase()))
        });
        patterns.collect::<Result<_, _>>().map(Hosts::Patterns)
    }

    /// `name` is in lower case.
    pub fn matches(&self, name: &[u8]) -> bool {
        match self {
            Hosts::Hashed { salt, hash } => hashed(salt, name) == *hash,
            Hosts::Patterns(patterns) => {
                let hit = |want| patterns.iter().any(|(not, p)| *not == want && glob(p, name));
                // One negated match voids the whole line, wherever it stands.
                !hit(true) && hit(false)
            }
        }
    }
}

/// HMAC-SHA1 of a name under a salt.
pub(super) fn hashed(salt: &[u8], name: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha1>::new_from_slice(salt).expect("HMAC takes a key of any length");
    mac.update(name);
    mac.finalize().into_bytes().to_vec()
}

/// `*` is any bytes, `?` any one. Goes back to the last star alone, so that it ends soon whatever the pattern.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match &mut star {
                Some((after, from)) => {
                    *from += 1;
                    (p, n) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// The next word of a line, and what follows it.
fn word(line: &[u8]) -> (&[u8], &[u8]) {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = line.iter().position(|b| !blank(b)).unwrap_or(line.len());
    let line = &line[start..];
    line.split_at(line.iter().position(blank).unwrap_or(line.len()))
}

/// A line without its `\r`, or nothing if there is only a comment on it.
fn content(raw: &[u8]) -> Result<Option<&[u8]>, String> {
    let line = raw.strip_suffix(b"\r").unwrap_or(raw);
    match word(line).0.first() {
        None | Some(b'#') => Ok(None),
        Some(_) if line.contains(&0) => Err("it holds a NUL byte".into()),
        Some(_) => Ok(Some(line)),
    }
}

/// Marker, hosts and key of a line; `None` for an empty one or a comment.
pub(super) fn parse(raw: &[u8]) -> Result<Option<(Mark, Hosts, Vec<u8>)>, String> {
    let Some(line) = content(raw)? else { return Ok(None) };
    let (mut first, mut rest) = word(line);
    let mut mark = Mark::None;
    while first.starts_with(b"@") {
        if mark != Mark::None {
            return Err("more than one marker".into());
        }
        mark = match first {
            b"@revoked" => Mark::Revoked,
            b"@cert-authority" => Mark::Authority,
            _ => {
                let shown = String::from_utf8_lossy(first);
                return Err(format!("`{shown}` is no marker; there are `@revoked` and `@cert-authority`"));
            }
        };
        (first, rest) = word(rest);
    }
    let hosts = Hosts::parse(first)?;
    match word(rest).0 {
        b"" => Err("no key after the host names".into()),
        comment if comment.starts_with(b"#") => Err("no key after the host names".into()),
        _ => Ok(Some((mark, hosts, key(rest)?))),
    }
}

/// The key on a line of its own, as in `RevokedHostKeys`; `None` for an empty one or a comment.
pub(super) fn public_key(raw: &[u8]) -> Result<Option<Vec<u8>>, String> {
    content(raw)?.map(key).transpose()
}

/// `TYPE BASE64 [COMMENT]`.
fn key(text: &[u8]) -> Result<Vec<u8>, String> {
    let (kind, rest) = word(text);
    if kind.len() < 8 && kind.iter().all(u8::is_ascii_digit) {
        return Err("a key of SSH version 1".into());
    }
    let encoded = word(rest).0;
    if encoded.is_empty() || encoded.starts_with(b"#") {
        return Err("no key after the type".into());
    }
    let blob = STANDARD.decode(encoded).map_err(|_| "the key is no base64")?;
    match key_type(&blob) {
        Some(own) if own.as_bytes() == kind => Ok(blob),
        Some(own) => Err(format!("it says `{}`, but the key is `{own}`", String::from_utf8_lossy(kind))),
        None => Err("the key is cut short".into()),
    }
}
