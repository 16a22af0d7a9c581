//! hawiz reads known_hosts as OpenSSH does: random files, put to `ssh-keygen -F` and to `ssh` itself.
//!
//! `HAWIZ_CAMPAIGN=1` makes it longer; the seed is printed.

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hawiz::transport::ssh::known_hosts::{KnownHosts, Verdict, add, fingerprint, key_type, line_for, name};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::{Dice, campaign};

/// A folder of keys, and what is written with them.
struct Room {
    dir: PathBuf,
    /// Private key file and the public key's `TYPE BASE64`.
    keys: Vec<(PathBuf, String)>,
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn said(command: &mut Command) -> (bool, String) {
    let out = command.stdin(Stdio::null()).output().expect("it starts");
    (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
}

impl Room {
    /// `None` where there is no `ssh-keygen`.
    fn new(of: &str) -> Option<Room> {
        if Command::new("ssh-keygen").arg("-?").stdin(Stdio::null()).output().is_err() {
            println!("skipped: no ssh-keygen here");
            return None;
        }
        let dir = std::env::temp_dir().join(format!("hawiz-known-{of}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a folder");
        let kinds = ["ed25519", "ed25519", "ed25519", "ecdsa", "ecdsa", "rsa"];
        let keys = kinds.iter().enumerate().map(|(n, kind)| {
            let file = dir.join(format!("key{n}"));
            let (made, text) = said(Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(&file));
            assert!(made, "{text}");
            let public = std::fs::read_to_string(file.with_extension("pub")).expect("a public key");
            (file, public.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
        });
        let keys = keys.collect();
        Some(Room { dir, keys })
    }

    /// A file of a few lines, some of them hashed, some of them broken.
    fn file(&self, dice: &mut Dice) -> PathBuf {
        let file = self.dir.join("known_hosts");
        let mut pick = |list: &[&str]| list[dice.below(list.len() as u64) as usize].to_string();
        let mut text = String::new();
        let names: Vec<String> = ["mn1", "mn2"].iter().flat_map(|h| [name(h, 22), name(h, 2222)]).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let half = |pick: &mut dyn FnMut(&[&str]) -> String| {
            let mut half = String::new();
            for _ in 0..5 {
                let part = match pick(&["plain", "plain", "list", "wild", "not", "hash", "junk"]).as_str() {
                    "plain" => pick(&names),
                    "list" => format!("{},{}", pick(&names), pick(&["MN1", "other", "[mn2]:2222", "10.0.0.1"])),
                    "wild" => pick(&["mn?", "*", "[mn?]:2222", "m*1", "[*]:2222", "*.org", "[*"]),
                    "not" => pick(&["*,!mn1", "!mn2,mn?", "mn*,!*2", "!mn1", "*,![mn1]:2222", "!!mn1,*"]),
                    "hash" => {
                        let (host, port) = (pick(&["mn1", "mn2"]), pick(&["22", "2222"]));
                        let blob = [&[0, 0, 0, 1][..], b"x"].concat();
                        let line = line_for(&host, port.parse().expect("a port"), &blob, true);
                        line.split(' ').next().expect("the host").to_string()
                    }
                    _ => {
                        half += &pick(&[
                            "# a comment\n",
                            "\n",
                            "mn1\n",
                            "mn1 ssh-ed25519\n",
                            "@what mn1 ssh-ed25519 AAAA\n",
                            "@revoked @revoked mn1 ssh-ed25519 AAAA\n",
                            "|1|abc|def ssh-ed25519 AAAA\n",
                            "\tmn2 ssh-rsa # none\n",
                        ]);
                        continue;
                    }
                };
                let mark = pick(&["", "", "", "", "@revoked ", "@cert-authority "]);
                let keys: Vec<&str> = self.keys.iter().map(|(_, k)| k.as_str()).collect();
                let line = format!("{mark}{part}{}{}", pick(&[" ", "\t", "  "]), pick(&keys));
                half += &format!("{}{line}{}\n", pick(&["", "", " "]), pick(&["", "", " a comment"]));
            }
            half
        };
        // `ssh-keygen -H` hashes what can be, and leaves the rest.
        text += &half(&mut pick);
        if pick(&["hash", "leave"]) == "hash" {
            std::fs::write(&file, &text).expect("written");
            said(Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&file));
            text = std::fs::read_to_string(&file).expect("read");
        }
        text += &half(&mut pick);
        std::fs::write(&file, text).expect("written");
        file
    }
}

/// Line numbers, markers and keys that `ssh-keygen -F` finds.
fn found(file: &Path, host: &str, port: u16) -> Vec<(usize, String, String)> {
    let (_, text) = said(Command::new("ssh-keygen").args(["-F", &name(host, port), "-f"]).arg(file));
    let mut out = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((_, rest)) = line.split_once(" found: line ") else { continue };
        let mut words = rest.split_whitespace();
        let number = words.next().and_then(|n| n.parse().ok()).expect("a line number");
        let mark = words.next().unwrap_or("").to_string();
        let shown: Vec<&str> = lines.next().expect("the line itself").split_whitespace().collect();
        let key = shown.iter().position(|w| w.starts_with("ssh-") || w.starts_with("ecdsa-")).expect("a key");
        out.push((number, mark, shown[key..key + 2].join(" ")));
    }
    out
}

fn blob(key: &str) -> Vec<u8> {
    STANDARD.decode(key.split(' ').nth(1).expect("a key")).expect("base64")
}

#[test]
fn random_files_are_judged_as_ssh_keygen_finds_them() {
    let Some(room) = Room::new("keygen") else { return };
    let mut dice = Dice::new("known_hosts against ssh-keygen -F");
    let mut seen = [0; 6];
    for _ in 0..if campaign() { 2000 } else { 120 } {
        let file = room.file(&mut dice);
        let text = std::fs::read_to_string(&file).expect("read");
        let known = KnownHosts::read([&file]);
        for (host, port) in [("mn1", 22), ("MN2", 2222), ("mn3", 22)] {
            let theirs: Vec<_> = found(&file, host, port)
                .into_iter()
                // It does not decode the keys it finds.
                .filter(|(_, _, key)| room.keys.iter().any(|(_, k)| k == key))
                .collect();
            let lines: Vec<usize> = theirs.iter().map(|(n, _, _)| *n).collect();
            let ours: Vec<usize> = known.places(host, port).iter().map(|p| p.line).collect();
            assert_eq!(ours, lines, "{host} port {port} in\n{text}");
            for (_, shown) in &room.keys {
                let of = |mark: &str| theirs.iter().filter(|(_, m, _)| m == mark).collect::<Vec<_>>();
                let kind = |key: &str| key.split(' ').next().expect("a type").to_string();
                let verdict = known.judge(host, port, &blob(shown));
                let (nth, right) = match &verdict {
                    Verdict::Revoked(at) => (0, of("REVOKED").iter().any(|(n, _, k)| (*n, k) == (at.line, shown))),
                    Verdict::Known(at) => (1, of("").iter().any(|(n, _, k)| (*n, k) == (at.line, shown))),
                    Verdict::Changed { place, .. } => (
                        2,
                        of("").iter().all(|(_, _, k)| k != shown)
                            && of("").iter().any(|(n, _, k)| *n == place.line && kind(k) == kind(shown)),
                    ),
                    Verdict::OtherType { .. } => {
                        (3, !of("").is_empty() && of("").iter().all(|(_, _, k)| kind(k) != kind(shown)))
                    }
                    Verdict::Authority(_) => (4, of("").is_empty() && !of("CA").is_empty()),
                    Verdict::Unknown => (5, of("").is_empty() && of("CA").is_empty()),
                };
                assert!(right, "{verdict:?} for {host} port {port} with {shown} in\n{text}");
                let revoked = of("REVOKED").iter().any(|(_, _, k)| k == shown);
                assert_eq!(revoked, nth == 0, "{verdict:?} for {shown} in\n{text}");
                seen[nth] += 1;
            }
        }
    }
    assert!(seen.iter().all(|n| *n > 0), "every verdict was reached: {seen:?}");
}

#[test]
fn ssh_finds_what_was_added_and_calls_it_by_the_same_fingerprint() {
    let Some(room) = Room::new("add") else { return };
    let file = room.dir.join("ssh/known_hosts");
    for (n, (private, key)) in room.keys.iter().enumerate() {
        let (host, port) = (format!("Node{n}.example.org"), [22, 2222][n % 2]);
        add(&file, &line_for(&host, port, &blob(key), n < 3)).expect("added");
        assert_eq!(found(&file, &host, port), [(n + 1, String::new(), key.clone())]);
        let (_, listed) = said(Command::new("ssh-keygen").arg("-lf").arg(private.with_extension("pub")));
        assert_eq!(listed.split(' ').nth(1), Some(fingerprint(&blob(key)).as_str()));
        assert_eq!(key_type(&blob(key)), key.split(' ').next());
    }
}

#[test]
fn a_key_is_known_exactly_when_ssh_goes_on_to_the_login() {
    let sshd = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].into_iter().find(|p| Path::new(p).exists());
    let (Some(sshd), Ok(_)) = (sshd, Command::new("ssh").arg("-V").output()) else {
        return println!("skipped: no ssh or no sshd here");
    };
    let Some(room) = Room::new("ssh") else { return };
    // Debian's sshd wants it, and only its service makes it.
    let _ = std::fs::create_dir("/run/sshd");
    let mut dice = Dice::new("known_hosts against ssh");
    for _ in 0..if campaign() { 300 } else { 24 } {
        let file = room.file(&mut dice);
        let (private, key) = &room.keys[dice.below(room.keys.len() as u64) as usize];
        let (host, port) = ([["mn1", "mn2"][dice.below(2) as usize]][0], [22, 2222][dice.below(2) as usize]);
        let served = format!(
            "{sshd} -i -f /dev/null -o HostKey={} -o UsePAM=no -o PasswordAuthentication=no \
             -o KbdInteractiveAuthentication=no -o AuthorizedKeysFile=none",
            private.display()
        );
        let (_, text) = said(
            Command::new("ssh").args(["-F", "none", "-T", "-p", &port.to_string(), "-o", "BatchMode=yes"]).args([
                "-oGlobalKnownHostsFile=none",
                "-oStrictHostKeyChecking=yes",
                "-oIdentityFile=none",
                "-oIdentityAgent=none",
                &format!("-oUserKnownHostsFile={}", file.display()),
                &format!("-oProxyCommand={served}"),
                host,
                "true",
            ]),
        );
        let known = KnownHosts::read([&file]);
        let verdict = known.judge(host, port, &blob(key));
        let right = match &verdict {
            Verdict::Known(_) => text.contains("Permission denied"),
            Verdict::Revoked(_) => text.contains("REVOKED HOST KEY"),
            Verdict::Changed { .. } | Verdict::OtherType { .. } => text.contains("HAS CHANGED"),
            Verdict::Unknown | Verdict::Authority(_) => text.contains("host key is known for"),
        };
        // ssh takes the plain name for another port, too; hawiz does not.
        let plain = port != 22
            && matches!(verdict, Verdict::Unknown | Verdict::Authority(_))
            && matches!(known.judge(host, 22, &blob(key)), Verdict::Known(_));
        let file = std::fs::read_to_string(&file).expect("read");
        assert!(
            right || (plain && text.contains("Permission denied")),
            "{verdict:?} for {host} port {port} with {key}, but ssh says\n{text}in\n{file}"
        );
    }
}
