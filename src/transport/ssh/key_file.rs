//! What a key file is, before it is tried.
//!
//! Why it exists: libssh2 has one error for a wrong passphrase and for a format it cannot read, and every try counts at the
//! server. Invariant: the file is only looked at, and nothing secret in it is kept or shown; a private key that others can
//! read is not used, as ssh does not use it.

use super::known_hosts::key_type;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// No key is longer.
const LONGEST: u64 = 1 << 16;

/// What libssh2 decrypts.
const CIPHERS: [&str; 10] = [
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
    "aes256-cbc",
    "aes192-cbc",
    "aes128-cbc",
    "aes256-gcm@openssh.com",
    "aes128-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "3des-cbc",
];

/// What a file that is named as a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFile {
    Missing,
    NotReadable(String),
    /// A public key or a certificate: the private one may be in the agent.
    Public,
    /// Wants a passphrase.
    Encrypted {
        format: String,
    },
    /// Ready for use; `kind` is `ssh-ed25519`, `ssh-rsa`, …, or empty where only the key itself would tell.
    Plain {
        kind: String,
    },
    Unsupported(String),
    /// A private key that group or others can get at; the mode.
    WorldReadable(u32),
}

/// Why a key is not tried; nothing for one that is.
impl fmt::Display for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyFile::Missing => write!(f, "is not there"),
            KeyFile::NotReadable(why) => write!(f, "cannot be read: {why}"),
            KeyFile::Public => write!(f, "is a public key"),
            KeyFile::Encrypted { format } => write!(f, "is encrypted ({format})"),
            KeyFile::Plain { kind } if kind.is_empty() => write!(f, "is a private key"),
            KeyFile::Plain { kind } => write!(f, "is a private key (`{kind}`)"),
            KeyFile::Unsupported(why) => write!(f, "{why}"),
            KeyFile::WorldReadable(mode) => {
                write!(f, "can be read by others (mode {mode:04o}) and is not used: `chmod 600` it")
            }
        }
    }
}

impl KeyFile {
    pub fn look(path: &Path) -> KeyFile {
        let (text, mode, own) = match read(path) {
            Ok(read) => read,
            Err(e) if e.kind() == ErrorKind::NotFound => return KeyFile::Missing,
            Err(e) => return KeyFile::NotReadable(e.to_string()),
        };
        let kind = KeyFile::of(&text);
        // ssh minds other people's reading only of what is the caller's own.
        let private = !matches!(kind, KeyFile::Public | KeyFile::Unsupported(_));
        if private && own && mode & 0o077 != 0 { KeyFile::WorldReadable(mode & 0o7777) } else { kind }
    }

    /// Whether trying it makes sense at all.
    pub fn usable(&self) -> bool {
        matches!(self, KeyFile::Plain { .. } | KeyFile::Encrypted { .. })
    }

    fn of(bytes: &[u8]) -> KeyFile {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines().map(str::trim_end);
        let first = lines.clone().find(|l| !l.trim().is_empty()).unwrap_or_default();
        if first.starts_with("PuTTY-User-Key-File-") {
            return unsupported(
                "is a key of PuTTY's: `puttygen KEY.ppk -O private-openssh-new -o KEY` makes it one of OpenSSH's",
            );
        }
        if first.starts_with("SSH PRIVATE KEY FILE FORMAT 1.1") {
            return unsupported("is a key of SSH version 1");
        }
        if public_text(&text).is_some() {
            return KeyFile::Public;
        }
        let begin = |l: &str| {
            Some(l.trim_start_matches(['-', ' ']).strip_prefix("BEGIN ")?.trim_end_matches(['-', ' ']).to_string())
        };
        // Text may stand before it.
        let Some(label) = lines.by_ref().filter(|l| l.starts_with("---")).find_map(begin) else {
            return unsupported("is no key");
        };
        let body: Vec<&str> = lines.take_while(|l| !l.starts_with("---")).collect();
        match label.as_str() {
            "OPENSSH PRIVATE KEY" => openssh(&body.concat()),
            "RSA PRIVATE KEY" => pem("ssh-rsa", &body),
            // The curve is inside.
            "EC PRIVATE KEY" => pem("", &body),
            "DSA PRIVATE KEY" => unsupported(DSA),
            "PRIVATE KEY" => pkcs8(&body.concat()),
            "ENCRYPTED PRIVATE KEY" => KeyFile::Encrypted { format: "PKCS#8".into() },
            "SSH2 ENCRYPTED PRIVATE KEY" => unsupported(
                "is a key of ssh.com's: `ssh-keygen -i -f KEY` makes it one of OpenSSH's, once it has no passphrase",
            ),
            "PUBLIC KEY" | "RSA PUBLIC KEY" | "SSH2 PUBLIC KEY" => KeyFile::Public,
            other => unsupported(&format!("is no private key, but `{other}`")),
        }
    }
}

const DSA: &str = "is a DSA key, which servers do not take any more";

fn unsupported(why: &str) -> KeyFile {
    KeyFile::Unsupported(why.to_string())
}

/// Its beginning, mode, and whether it is the caller's own.
fn read(path: &Path) -> io::Result<(Vec<u8>, u32, bool)> {
    // A pipe with nobody at its other end would otherwise hold the login up for ever.
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no file"));
    }
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text)?;
    Ok((text, meta.mode(), meta.uid() == rustix::process::geteuid().as_raw()))
}

/// The public half of a key file: its own text, what an OpenSSH key has in the clear, or the `.pub` beside it. With
/// `IdentitiesOnly` it says which of the agent's keys is meant.
pub fn public_key(path: &Path) -> Option<Vec<u8>> {
    let own = read(path).ok().and_then(|(bytes, ..)| {
        let text = String::from_utf8_lossy(&bytes);
        let private =
            text.split_once("-----BEGIN OPENSSH PRIVATE KEY-----").and_then(|(_, after)| after.split_once("-----"));
        match private {
            Some((body, _)) => Some(open_parts(&body.split_whitespace().collect::<String>())?.2),
            None => public_text(&text),
        }
    });
    own.or_else(|| {
        let beside = format!("{}.pub", path.display());
        public_text(&String::from_utf8_lossy(&read(Path::new(&beside)).ok()?.0))
    })
}

/// `TYPE BASE64 [COMMENT]`.
fn public_text(text: &str) -> Option<Vec<u8>> {
    let mut words = text.lines().map(str::trim).find(|l| !l.is_empty())?.split_whitespace();
    let (kind, key) = (words.next()?, STANDARD.decode(words.next()?).ok()?);
    (key_type(&key) == Some(kind)).then_some(key)
}

/// The parts of an OpenSSH key that are never encrypted: cipher, key derivation, and the public key.
fn open_parts(body: &str) -> Option<(String, String, Vec<u8>)> {
    let blob = STANDARD.decode(body).ok()?;
    let mut rest = blob.strip_prefix(b"openssh-key-v1\0")?;
    let mut string = |skip: usize| -> Option<Vec<u8>> {
        let (length, after) = rest.get(skip..)?.split_first_chunk::<4>()?;
        let (value, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = after;
        Some(value.to_vec())
    };
    let (cipher, derivation, _) = (string(0)?, string(0)?, string(0)?);
    // How many keys there are, always one, stands before it.
    let public = string(4)?;
    Some((String::from_utf8_lossy(&cipher).into_owned(), String::from_utf8_lossy(&derivation).into_owned(), public))
}

fn openssh(body: &str) -> KeyFile {
    let Some((cipher, derivation, public)) = open_parts(body) else {
        return unsupported("is an OpenSSH key, but broken");
    };
    let kind = key_type(&public);
    match kind {
        None => return unsupported("is an OpenSSH key, but broken"),
        Some("ssh-dss") => return unsupported(DSA),
        Some(kind) if kind.starts_with("sk-") => {
            return unsupported("needs its FIDO device, which only `via = [\"ssh\", …]` can use");
        }
        Some("ssh-ed25519" | "ssh-rsa" | "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521") => {}
        Some(kind) => return unsupported(&format!("is of type `{kind}`, which hawiz cannot use")),
    }
    match (&*cipher, &*derivation) {
        ("none", _) => KeyFile::Plain { kind: kind.unwrap_or_default().to_string() },
        (cipher, "bcrypt") if CIPHERS.contains(&cipher) => KeyFile::Encrypted { format: format!("OpenSSH, {cipher}") },
        (cipher, _) => unsupported(&format!(
            "is encrypted with `{cipher}`, which hawiz cannot read: `ssh-keygen -p -Z aes256-ctr -f KEY` changes that"
        )),
    }
}

/// The older PEM, which says in words whether it is encrypted.
fn pem(kind: &str, body: &[&str]) -> KeyFile {
    let header = |name: &str| {
        body.iter().find_map(|l| l.split_once(':').filter(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()))
    };
    if !header("Proc-Type").is_some_and(|v| v.ends_with("ENCRYPTED")) {
        return KeyFile::Plain { kind: kind.to_string() };
    }
    let cipher = header("DEK-Info").and_then(|v| v.split(',').next()).unwrap_or_default();
    match cipher {
        "AES-256-CBC" | "AES-192-CBC" | "AES-128-CBC" | "DES-EDE3-CBC" => {
            KeyFile::Encrypted { format: format!("PEM, {cipher}") }
        }
        cipher => unsupported(&format!(
            "is encrypted with `{cipher}`, which hawiz cannot read: `ssh-keygen -p -f KEY` changes that"
        )),
    }
}

/// PKCS#8: the algorithm's identifier stands near the beginning.
fn pkcs8(body: &str) -> KeyFile {
    const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
    let Ok(der) = STANDARD.decode(body) else { return unsupported("is a PKCS#8 key, but broken") };
    let head = &der[..der.len().min(32)];
    let has = |oid: &[u8]| head.windows(oid.len()).any(|w| w == oid);
    match () {
        _ if has(RSA) => KeyFile::Plain { kind: "ssh-rsa".into() },
        _ if has(ED25519) => KeyFile::Plain { kind: "ssh-ed25519".into() },
        _ if has(EC) => KeyFile::Plain { kind: String::new() },
        _ => unsupported("is a PKCS#8 key of a type that hawiz cannot use"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    struct Room(PathBuf);
    impl Drop for Room {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
    impl Room {
        fn new(of: &str) -> Room {
            let dir = std::env::temp_dir().join(format!("hawiz-key-{of}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&dir);
            std::fs::create_dir_all(&dir).expect("a folder");
            Room(dir)
        }
        fn file(&self, name: &str, text: &[u8], mode: u32) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
            path
        }
        /// A key made by `ssh-keygen`; `None` if that cannot be had here.
        fn made(&self, name: &str, args: &[&str]) -> Option<PathBuf> {
            let path = self.0.join(name);
            let mut keygen = std::process::Command::new("ssh-keygen");
            let made = keygen.args(["-q", "-f"]).arg(&path).args(args).stdin(std::process::Stdio::null()).output();
            if !made.is_ok_and(|o| o.status.success()) {
                println!("skipped: no `ssh-keygen {}` here", args.join(" "));
                return None;
            }
            Some(path)
        }
    }

    #[test]
    fn keys_made_by_ssh_keygen_are_told_apart() {
        let room = Room::new("made");
        let plain = |kind: &str| KeyFile::Plain { kind: kind.into() };
        let locked = |format: &str| KeyFile::Encrypted { format: format.into() };
        let cases: [(&[&str], KeyFile); 13] = [
            (&["-t", "ed25519", "-N", ""], plain("ssh-ed25519")),
            (&["-t", "ecdsa", "-b", "384", "-N", ""], plain("ecdsa-sha2-nistp384")),
            (&["-t", "rsa", "-b", "2048", "-N", ""], plain("ssh-rsa")),
            (&["-t", "ed25519", "-N", "hunter22"], locked("OpenSSH, aes256-ctr")),
            (
                &["-t", "ed25519", "-N", "hunter22", "-Z", "aes256-gcm@openssh.com"],
                locked("OpenSSH, aes256-gcm@openssh.com"),
            ),
            (
                &["-t", "ecdsa", "-N", "hunter22", "-Z", "chacha20-poly1305@openssh.com"],
                locked("OpenSSH, chacha20-poly1305@openssh.com"),
            ),
            (&["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""], plain("ssh-rsa")),
            (&["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "hunter22"], locked("PEM, AES-128-CBC")),
            (&["-t", "ecdsa", "-m", "PEM", "-N", ""], plain("")),
            (&["-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", ""], plain("ssh-rsa")),
            (&["-t", "ecdsa", "-m", "PKCS8", "-N", ""], plain("")),
            (&["-t", "ecdsa", "-m", "PKCS8", "-N", "hunter22"], locked("PKCS#8")),
            (&["-t", "dsa", "-N", ""], unsupported(DSA)),
        ];
        for (n, (args, expected)) in cases.into_iter().enumerate() {
            let Some(path) = room.made(&format!("key{n}"), args) else { continue };
            assert_eq!(KeyFile::look(&path), expected, "{args:?}");
            let public = path.with_extension("pub");
            assert_eq!(KeyFile::look(&public), KeyFile::Public, "{args:?}");
            let text = std::fs::read_to_string(&public).expect("read");
            let blob = STANDARD.decode(text.split(' ').nth(1).expect("a key")).expect("base64");
            assert_eq!(public_key(&public).as_ref(), Some(&blob));
            assert_eq!(public_key(&path).as_ref(), Some(&blob), "{args:?}");
            std::fs::remove_file(&public).expect("removed");
            // Inside OpenSSH's own format the public key is in the clear.
            let own = text_of(&path).contains("OPENSSH");
            assert_eq!(public_key(&path), own.then_some(blob), "{args:?}");
        }
    }

    fn text_of(path: &Path) -> String {
        std::fs::read_to_string(path).expect("read")
    }

    /// An OpenSSH key file with nothing secret in it.
    fn openssh_key(cipher: &str, derivation: &str, kind: &str) -> Vec<u8> {
        let string = |s: &[u8]| [&(s.len() as u32).to_be_bytes()[..], s].concat();
        let mut blob = b"openssh-key-v1\0".to_vec();
        blob.extend([string(cipher.as_bytes()), string(derivation.as_bytes()), string(b""), vec![0, 0, 0, 1]].concat());
        blob.extend(string(&string(kind.as_bytes())));
        let text = STANDARD.encode(blob);
        format!("-----BEGIN OPENSSH PRIVATE KEY-----\r\n{text}\r\n-----END OPENSSH PRIVATE KEY-----\r\n").into_bytes()
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let room = Room::new("unsupported");
        let cases: [(&[u8], &str); 13] = [
            (b"", "is no key"),
            (b"hello\n", "is no key"),
            (b"\xff\xfe\0", "is no key"),
            (b"PuTTY-User-Key-File-3: ssh-ed25519\n", "is a key of PuTTY's"),
            (b"SSH PRIVATE KEY FILE FORMAT 1.1\n\0", "is a key of SSH version 1"),
            (b"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n", "is a key of ssh.com's"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n", "is no private key, but `CERTIFICATE`"),
            (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "is an OpenSSH key, but broken"),
            (b"-----BEGIN PRIVATE KEY-----\nAAAA\n", "is a PKCS#8 key of a type"),
            (b"-----BEGIN PRIVATE KEY-----\n****\n", "is a PKCS#8 key, but broken"),
            (&openssh_key("none", "none", "sk-ssh-ed25519@openssh.com"), "needs its FIDO device"),
            (&openssh_key("none", "none", "ssh-xmss@openssh.com"), "is of type `ssh-xmss@openssh.com`"),
            (&openssh_key("serpent", "bcrypt", "ssh-ed25519"), "is encrypted with `serpent`"),
        ];
        for (n, (text, why)) in cases.into_iter().enumerate() {
            let look = KeyFile::look(&room.file(&format!("{n}"), text, 0o600));
            assert!(matches!(&look, KeyFile::Unsupported(said) if said.starts_with(why)), "{look:?}, not {why}");
            assert!(!look.usable());
        }
        let old = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-CBC,00\n\nAAAA\n";
        assert!(KeyFile::of(old).to_string().starts_with("is encrypted with `DES-CBC`"));
        assert_eq!(KeyFile::of(&openssh_key("none", "none", "ssh-rsa")), KeyFile::Plain { kind: "ssh-rsa".into() });
        let text = [b"Bag Attributes\n", &openssh_key("none", "none", "ssh-rsa")[..]].concat();
        assert!(KeyFile::of(&text).usable(), "text may stand before a key");
    }

    #[test]
    fn a_private_key_that_others_can_read_is_refused_and_a_public_one_is_not() {
        let room = Room::new("mode");
        let key = openssh_key("none", "none", "ssh-ed25519");
        for (mode, expected) in [
            (0o600, KeyFile::Plain { kind: "ssh-ed25519".into() }),
            (0o400, KeyFile::Plain { kind: "ssh-ed25519".into() }),
            (0o640, KeyFile::WorldReadable(0o640)),
            (0o604, KeyFile::WorldReadable(0o604)),
            (0o622, KeyFile::WorldReadable(0o622)),
        ] {
            assert_eq!(KeyFile::look(&room.file("key", &key, mode)), expected, "{mode:o}");
        }
        let said = KeyFile::WorldReadable(0o640).to_string();
        assert_eq!(said, "can be read by others (mode 0640) and is not used: `chmod 600` it");
        let public = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAUafc03Sb+/v/sZwTOteLtpgh/wvdX6rs1/tdj09Lfj a@b\n";
        assert_eq!(KeyFile::look(&room.file("key.pub", public, 0o644)), KeyFile::Public);
    }

    #[test]
    fn what_is_no_file_does_not_hold_anybody_up() {
        let room = Room::new("none");
        assert_eq!(KeyFile::look(&room.0.join("x")), KeyFile::Missing);
        assert_eq!(KeyFile::look(&room.0), KeyFile::NotReadable("it is no file".into()));
        let pipe = room.0.join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        if made.is_ok_and(|s| s.success()) {
            assert_eq!(KeyFile::look(&pipe), KeyFile::NotReadable("it is no file".into()));
        }
        assert_eq!(KeyFile::look(Path::new("/dev/null")), KeyFile::NotReadable("it is no file".into()));
    }
}
