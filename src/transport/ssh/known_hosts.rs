//! Whose host key is it: OpenSSH's known_hosts, read by hawiz itself.
//!
//! Why it exists: libssh2's own reading lets `@revoked` and `!negated` lines match, knows no wildcards, calls a key of another
//! type an attack and gives up at one bad line.
//!
//! Invariant: [`Verdict::Known`] is said only of a key that equals, byte for byte, the key of a line that matches the host,
//! and that no matching line revokes. A line that is not understood never makes a key known; it is named in
//! [`KnownHosts::bad`].
//!
//! Two decisions. A host of which only keys of *another type* are known is refused ([`Verdict::OtherType`]), as `ssh` does:
//! [`KnownHosts::preference`] has asked the server for the known types first, so either it has lost them or somebody in
//! between offers a type of his own to be asked about as a new host. And a plain name stands for port 22 alone, where `ssh`
//! also takes it for a host on another port.

mod add;
mod line;
mod shelf;
mod verdict;

pub use add::{add, line_for};
pub use line::BadLine;
pub use shelf::Shelf;
pub use verdict::{Place, Refusal, Verdict};

use base64::Engine;
use line::{Entry, Mark};
use sha2::{Digest, Sha256};
use std::path::Path;

/// What is wanted of a server that nothing is known of, best first: what libssh2 speaks, but for DSA and certificates. RSA
/// with SHA-1 is spoken only to whom the user's `HostKeyAlgorithms` names it.
const ALGORITHMS: [(&str, &str); 7] = [
    ("ssh-ed25519", "ssh-ed25519"),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
    ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
    ("ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "ssh-rsa"),
    ("rsa-sha2-256", "ssh-rsa"),
    ("ssh-rsa", "ssh-rsa"),
];

/// The lines of some known_hosts files.
#[derive(Clone, Debug, Default)]
pub struct KnownHosts {
    entries: Vec<Entry>,
    /// Keys that `RevokedHostKeys` revokes for every host.
    revoked: Vec<(Place, Vec<u8>)>,
    /// What was not understood and is not used.
    pub bad: Vec<BadLine>,
}

impl KnownHosts {
    /// Reads the user's files, then the system's, in the order given. One that is not there is empty.
    pub fn read<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> KnownHosts {
        let mut known = KnownHosts::default();
        for file in files {
            match bytes(file.as_ref()) {
                Ok(text) => known.take(file.as_ref(), &text),
                Err(why) => known.bad.push(BadLine { place: Place { file: file.as_ref().into(), line: 0 }, why }),
            }
        }
        known
    }

    fn take(&mut self, file: &Path, text: &[u8]) {
        for (n, raw) in text.split(|b| *b == b'\n').enumerate() {
            let place = Place { file: file.into(), line: n + 1 };
            match line::parse(raw) {
                Ok(None) => {}
                Ok(Some((mark, hosts, key))) => self.entries.push(Entry { place, mark, hosts, key }),
                Err(why) => self.bad.push(BadLine { place, why }),
            }
        }
    }

    /// Adds what `RevokedHostKeys` names: public keys, one a line, refused for every host. What cannot be read is an error
    /// here, since a key might be revoked by it.
    pub fn revoke(&mut self, file: &Path) -> Result<(), String> {
        let named = format!("`RevokedHostKeys` names `{}`", file.display());
        let text = match std::fs::metadata(file) {
            Ok(_) => bytes(file).map_err(|why| format!("{named}, which {why}"))?,
            Err(e) => return Err(format!("{named}, which cannot be read: {e}")),
        };
        if text.starts_with(b"SSHKRL") {
            return Err(format!("{named}, a key revocation list, which hawiz cannot read"));
        }
        for (n, raw) in text.split(|b| *b == b'\n').enumerate() {
            if let Some(key) = line::public_key(raw).map_err(|why| format!("{named}, line {}: {why}", n + 1))? {
                self.revoked.push((Place { file: file.into(), line: n + 1 }, key));
            }
        }
        Ok(())
    }

    fn matching(&self, host: &str, port: u16) -> Vec<&Entry> {
        let name = name(host, port);
        self.entries.iter().filter(|e| e.hosts.matches(name.as_bytes())).collect()
    }

    /// Every line that matches a host, whatever its key or marker: what `ssh-keygen -F` finds.
    pub fn places(&self, host: &str, port: u16) -> Vec<&Place> {
        self.matching(host, port).into_iter().map(|e| &e.place).collect()
    }

    /// Judges the key that a server has shown; `key` is its blob as it came over the wire.
    pub fn judge(&self, host: &str, port: u16, key: &[u8]) -> Verdict {
        let matching = self.matching(host, port);
        let everywhere = self.revoked.iter().find(|(_, k)| k == key).map(|(place, _)| place);
        let here = matching.iter().find(|e| e.mark == Mark::Revoked && e.key == key).map(|e| &e.place);
        if let Some(place) = here.or(everywhere) {
            return Verdict::Revoked(place.clone());
        }
        let plain: Vec<&Entry> = matching.iter().copied().filter(|e| e.mark == Mark::None).collect();
        if let Some(same) = plain.iter().find(|e| e.key == key) {
            return Verdict::Known(same.place.clone());
        }
        let kind = key_type(key);
        if let Some(other) = plain.iter().find(|e| key_type(&e.key) == kind) {
            return Verdict::Changed { place: other.place.clone(), was: fingerprint(&other.key) };
        }
        if let Some(first) = plain.first() {
            let mut types: Vec<String> = Vec::new();
            for kind in plain.iter().filter_map(|e| key_type(&e.key)) {
                if !types.iter().any(|t| t == kind) {
                    types.push(kind.to_string());
                }
            }
            return Verdict::OtherType { place: first.place.clone(), types };
        }
        match matching.iter().find(|e| e.mark == Mark::Authority) {
            Some(authority) => Verdict::Authority(authority.place.clone()),
            None => Verdict::Unknown,
        }
    }

    /// Host key algorithms to ask the server for, those of known keys first: otherwise it shows the type that it likes best.
    /// `allowed` is the user's `HostKeyAlgorithms`; empty allows all but RSA with SHA-1. Nothing left means that the host
    /// cannot be reached as the user wants it.
    pub fn preference(&self, host: &str, port: u16, allowed: &[String]) -> Vec<&'static str> {
        let matching = self.matching(host, port);
        let known: Vec<&str> =
            matching.iter().filter(|e| e.mark == Mark::None).filter_map(|e| key_type(&e.key)).collect();
        let may = |name: &str| match allowed {
            [] => name != "ssh-rsa",
            _ => allowed.iter().any(|a| a == name),
        };
        let mut order: Vec<(&str, &str)> = ALGORITHMS.into_iter().filter(|(name, _)| may(name)).collect();
        order.sort_by_key(|(_, kind)| !known.contains(kind));
        order.into_iter().map(|(name, _)| name).collect()
    }
}

/// A whole file; one that is not there is empty. Nothing that might block for ever is opened.
fn bytes(file: &Path) -> Result<Vec<u8>, String> {
    use std::os::unix::fs::FileTypeExt;
    let kind = match std::fs::metadata(file) {
        Ok(meta) => meta.file_type(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(format!("cannot be read: {e}")),
    };
    // `/dev/null` is what some name to have no file at all.
    if kind.is_char_device() {
        return Ok(Vec::new());
    }
    if !kind.is_file() {
        return Err("is no file".into());
    }
    std::fs::read(file).map_err(|e| format!("cannot be read: {e}"))
}

/// What the files know a host by: the name alone for port 22, else `[name]:port`. Lower case; an IPv6 address in its short
/// form, with its scope.
pub fn name(host: &str, port: u16) -> String {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let mut bare = bare.to_ascii_lowercase();
    let (address, scope) = bare.split_at(bare.find('%').unwrap_or(bare.len()));
    if let Ok(short) = address.parse::<std::net::Ipv6Addr>() {
        bare = format!("{short}{scope}");
    }
    if port == 22 { bare } else { format!("[{bare}]:{port}") }
}

/// The type a key's blob says of itself: `ssh-ed25519`, `ssh-rsa`, …
pub fn key_type(blob: &[u8]) -> Option<&str> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    std::str::from_utf8(rest.get(..u32::from_be_bytes(*length) as usize)?).ok().filter(|t| !t.is_empty())
}

/// As `ssh-keygen -l` prints it: `SHA256:…`.
pub fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", base64::engine::general_purpose::STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    /// A blob of this type; what it holds is nobody's business here.
    fn key(kind: &str, fill: u8) -> Vec<u8> {
        let mut blob = (kind.len() as u32).to_be_bytes().to_vec();
        blob.extend(kind.as_bytes());
        blob.extend([0, 0, 0, 32]);
        blob.extend([fill; 32]);
        blob
    }
    fn text(kind: &str, fill: u8) -> String {
        format!("{kind} {}", STANDARD.encode(key(kind, fill)))
    }
    const ED: &str = "ssh-ed25519";
    fn known(text: &str) -> KnownHosts {
        let mut known = KnownHosts::default();
        known.take(Path::new("kh"), text.as_bytes());
        known
    }
    fn at(line: usize) -> Place {
        Place { file: "kh".into(), line }
    }
    /// How a one-line file judges its own key.
    fn matches(hosts: &str, host: &str, port: u16) -> bool {
        let known = known(&format!("{hosts} {}\n", text(ED, 1)));
        assert_eq!(known.bad, [], "{hosts}");
        known.judge(host, port, &key(ED, 1)) != Verdict::Unknown
    }

    #[test]
    fn names_match_as_in_ssh() {
        for (hosts, host, port, expected) in [
            ("mn1", "mn1", 22, true),
            ("mn1", "MN1", 22, true),
            ("MN1", "mn1", 22, true),
            ("mn1", "mn1", 2222, false),
            ("[mn1]:2222", "mn1", 2222, true),
            ("[mn1]:2222", "mn1", 22, false),
            ("[mn1]:2222", "mn1", 2223, false),
            ("mn1", "mn10", 22, false),
            ("mn1,mn2", "mn2", 22, true),
            ("mn?", "mn2", 22, true),
            ("mn?", "mn", 22, false),
            ("*.example.org", "a.b.example.org", 22, true),
            ("*.example.org", "example.org", 22, false),
            ("*.example.org", "a.example.org", 2222, false),
            ("[*.example.org]:2222", "a.example.org", 2222, true),
            ("*", "anything", 2222, true),
            ("m*n*1", "mxxnyy1", 22, true),
            ("m*n*1", "mxxnyy2", 22, false),
            ("*,!mn1", "mn1", 22, false),
            ("*,!mn1", "mn2", 22, true),
            ("!mn1,*", "mn1", 22, false),
            ("!mn1", "mn2", 22, false),
            ("!*.example.org,*", "a.example.org", 22, false),
            ("10.5.106.70", "10.5.106.70", 22, true),
            ("10.5.106.*", "10.5.106.70", 22, true),
            ("2001:db8::1", "2001:DB8:0:0::1", 22, true),
            ("2001:db8::1", "[2001:db8::1]", 22, true),
            ("[2001:db8::1]:2222", "2001:db8::1", 2222, true),
            ("fe80::1%eth0", "fe80::1%eth0", 22, true),
            ("fe80::1%eth0", "fe80::1%eth1", 22, false),
            ("fe80::1%eth0", "fe80::1", 22, false),
            ("[fe80::1%eth0]:2222", "fe80::1%eth0", 2222, true),
        ] {
            assert_eq!(matches(hosts, host, port), expected, "{hosts} for {host} port {port}");
        }
    }

    #[test]
    fn a_pattern_full_of_stars_does_not_take_for_ever() {
        assert!(!matches(&format!("{}b", "a*".repeat(200)), &"a".repeat(250), 22));
    }

    #[test]
    fn a_hashed_line_matches_its_host_alone() {
        for (host, port) in [("mn1.Example.org", 22), ("mn1", 2222), ("fe80::1%eth0", 22)] {
            let line = line_for(host, port, &key(ED, 1), true);
            assert!(line.starts_with("|1|"), "{line}");
            let known = known(&line);
            assert_eq!(known.judge(host, port, &key(ED, 1)), Verdict::Known(at(1)), "{line}");
            assert_eq!(known.judge("mn2", port, &key(ED, 1)), Verdict::Unknown);
            assert_eq!(known.judge(host, port + 1, &key(ED, 1)), Verdict::Unknown);
        }
        // Made by `ssh-keygen -H`.
        assert!(matches("|1|xN8ISC2DCL+uNmwQGmNFagSZHFQ=|h99ObQEqF2H5Ub+z0NVKBT4AVc8=", "mn1", 22));
    }

    #[test]
    fn each_verdict_has_its_line() {
        let rsa = "ssh-rsa";
        let file = format!(
            "# a comment\n\nmn1 {}\nmn1 {}\nmn2 {}\n@revoked * {}\n@cert-authority *.ca {}\nboth.ca {}\nmn3 {}\nmn3 {}\n",
            text(ED, 1),
            text(rsa, 2),
            text(ED, 3),
            text(ED, 9),
            text(ED, 7),
            text(ED, 8),
            text(ED, 5),
            text(ED, 6),
        );
        let known = known(&file);
        assert_eq!(known.bad, []);
        let was = |fill| fingerprint(&key(ED, fill));
        let types = |t: &[&str]| t.iter().map(|t| t.to_string()).collect::<Vec<_>>();
        for (host, shown, expected) in [
            ("mn1", key(ED, 1), Verdict::Known(at(3))),
            ("mn1", key(rsa, 2), Verdict::Known(at(4))),
            ("mn1", key(ED, 2), Verdict::Changed { place: at(3), was: was(1) }),
            ("mn1", key(rsa, 1), Verdict::Changed { place: at(4), was: fingerprint(&key(rsa, 2)) }),
            (
                "mn1",
                key("ecdsa-sha2-nistp256", 1),
                Verdict::OtherType { place: at(3), types: types(&["ssh-ed25519", "ssh-rsa"]) },
            ),
            ("mn3", key(ED, 6), Verdict::Known(at(10))),
            ("mn3", key(ED, 4), Verdict::Changed { place: at(9), was: was(5) }),
            ("mn4", key(ED, 1), Verdict::Unknown),
            ("mn4", key(ED, 9), Verdict::Revoked(at(6))),
            ("x.ca", key(ED, 7), Verdict::Authority(at(7))),
            ("x.ca", key(ED, 1), Verdict::Authority(at(7))),
            ("both.ca", key(ED, 8), Verdict::Known(at(8))),
            ("both.ca", key(ED, 7), Verdict::Changed { place: at(8), was: was(8) }),
        ] {
            assert_eq!(known.judge(host, 22, &shown), expected, "{host}");
        }
    }

    #[test]
    fn a_revoked_key_stays_refused_whatever_other_lines_say() {
        for file in [
            format!("mn1 {0}\n@revoked mn1 {0}\n", text(ED, 1)),
            format!("@revoked mn1 {0}\nmn1 {0}\n", text(ED, 1)),
            format!("@revoked\t*\t{0}\nmn1 {0}\n", text(ED, 1)),
        ] {
            assert!(matches!(known(&file).judge("mn1", 22, &key(ED, 1)), Verdict::Revoked(_)), "{file}");
        }
    }

    #[test]
    fn a_bad_line_is_named_and_the_others_count() {
        let good = text(ED, 1);
        let cases: [(&[u8], &str); 11] = [
            (b"mn1", "no key after the host names"),
            (b"mn1 ssh-ed25519", "no key after the type"),
            (b"mn1 ssh-ed25519 ****", "the key is no base64"),
            (b"mn1 ssh-ed25519 AAAA", "the key is cut short"),
            (b"mn1 1024 35 12345", "a key of SSH version 1"),
            (b"@revoke mn1 ssh-ed25519 AAAA", "`@revoke` is no marker; there are `@revoked` and `@cert-authority`"),
            (b"@revoked @cert-authority mn1 ssh-ed25519 AAAA", "more than one marker"),
            (b"|1|abc|def ssh-ed25519 AAAA", "the hashed host name is broken"),
            (b"|2|abc|def ssh-ed25519 AAAA", "the hashed host name is broken"),
            (b"mn1\0 ssh-ed25519 AAAA", "it holds a NUL byte"),
            (b"\xff\xfe ssh-ed25519 \xff", "the key is no base64"),
        ];
        for (line, why) in cases {
            let mut file = line.to_vec();
            file.extend(format!("\r\nmn1 {good} comment\r\n").as_bytes());
            let mut known = KnownHosts::default();
            known.take(Path::new("kh"), &file);
            assert_eq!(known.bad, [BadLine { place: at(1), why: why.into() }], "{}", String::from_utf8_lossy(line));
            assert_eq!(known.judge("mn1", 22, &key(ED, 1)), Verdict::Known(at(2)));
        }
        let wrong = known(&format!("mn1 ssh-rsa {}", STANDARD.encode(key(ED, 1))));
        assert_eq!(wrong.bad[0].to_string(), "kh:1: it says `ssh-rsa`, but the key is `ssh-ed25519`");
        let long = known(&format!("{} {good}\n{} {good}", "x".repeat(2000), "a,".repeat(50_000) + "mn1"));
        assert_eq!(long.bad[0].why, "a host name longer than 1023 bytes");
        assert_eq!(long.judge("mn1", 22, &key(ED, 1)), Verdict::Known(at(2)));
    }

    #[test]
    fn a_host_name_of_any_bytes_is_no_obstacle() {
        let mut file = b"\xff\xfe,mn1 ".to_vec();
        file.extend(text(ED, 1).as_bytes());
        let mut known = KnownHosts::default();
        known.take(Path::new("kh"), &file);
        assert_eq!(known.judge("mn1", 22, &key(ED, 1)), Verdict::Known(at(1)));
    }

    #[test]
    fn known_types_are_asked_for_first() {
        let file = format!("mn1 {}\n@revoked mn1 {}\n", text("ssh-rsa", 1), text(ED, 1));
        let mn1 = known(&file);
        let ecdsa = ["ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"];
        let rsa = ["rsa-sha2-512", "rsa-sha2-256"];
        assert_eq!(mn1.preference("mn1", 22, &[]), [&rsa[..], &[ED], &ecdsa].concat());
        assert_eq!(mn1.preference("mn2", 22, &[]), [&[ED], &ecdsa[..], &rsa].concat());
        let allowed: Vec<String> = ["ssh-ed25519", "ssh-rsa", "sk-x", "rsa-sha2-256"].map(String::from).into();
        assert_eq!(mn1.preference("mn1", 22, &allowed), ["rsa-sha2-256", "ssh-rsa", ED]);
        assert!(mn1.preference("mn1", 22, &["sk-x".to_string()]).is_empty());
    }

    #[test]
    fn what_is_revoked_everywhere_is_read_or_refused() {
        let dir = std::env::temp_dir().join(format!("hawiz-revoked-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        let file = dir.join("revoked");
        std::fs::write(&file, format!("# lost\n{} root@mn1\r\n", text(ED, 1))).expect("written");
        let mut hosts = known(&format!("mn1 {}", text(ED, 1)));
        hosts.revoke(&file).expect("read");
        let place = Place { file: file.clone(), line: 2 };
        assert_eq!(hosts.judge("mn1", 22, &key(ED, 1)), Verdict::Revoked(place));
        for (text, why) in [("SSHKRL\n\0", "a key revocation list"), ("mn1 x\n", "line 1: "), ("ssh-rsa\n", "line 1: ")]
        {
            std::fs::write(&file, text).expect("written");
            let said = hosts.revoke(&file).expect_err("not understood");
            assert!(said.contains(why), "{said}");
        }
        std::fs::remove_dir_all(&dir).expect("removed");
        assert!(hosts.revoke(&file).expect_err("gone").contains("cannot be read"));
    }

    #[test]
    fn a_file_that_is_not_there_is_empty_and_one_that_is_none_is_named() {
        let known = KnownHosts::read(["/does/not/exist", "/dev/null", "/etc"]);
        assert_eq!(known.bad.iter().map(ToString::to_string).collect::<Vec<_>>(), ["/etc: is no file"]);
    }

    #[test]
    fn every_refusal_says_what_to_look_at() {
        let key = key(ED, 1);
        let print = fingerprint(&key);
        assert_eq!(print, "SHA256:".to_string() + &STANDARD.encode(Sha256::digest(&key))[..43]);
        let changed = Verdict::Changed { place: at(3), was: "SHA256:x".into() };
        let said = changed.refusal("mn1", &key).expect("refused");
        assert_eq!(
            said.cause,
            format!("the host key of `mn1` has changed: it shows `ssh-ed25519` {print}, kh:3 has SHA256:x")
        );
        assert!(said.hint.contains("ssh-keygen -R 'mn1' -f 'kh'"), "{}", said.hint);
        let authority = Verdict::Authority(at(7)).refusal("mn1", &key).expect("refused");
        assert!(authority.hint.contains("via = [\"ssh\", \"mn1\", \"sh\"]"), "{}", authority.hint);
        assert_eq!(Verdict::Known(at(1)).refusal("mn1", &key), None);
    }

    #[test]
    fn a_blob_says_its_type_or_nothing() {
        assert_eq!(key_type(&key("ssh-rsa", 0)), Some("ssh-rsa"));
        for broken in [&b""[..], b"\0\0", b"\xff\xff\xff\xffx", b"\0\0\0\x02x", b"\0\0\0\0", b"\0\0\0\x01\xff"] {
            assert_eq!(key_type(broken), None);
        }
    }
}
