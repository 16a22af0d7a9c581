//! How a script that lies ready on a node is started on the operator's terminal: an argv, nothing more.
//!
//! Why it exists: a session has no terminal to give, so the user's own `ssh -t` carries one. Invariant: what the site says
//! of the login is said to `ssh` in the same words, and nothing of the script stands in the argv.

use crate::plan::{How, Node};
use std::ffi::OsString;
use std::path::Path;

/// `base`: the folder of the site file. The inner error: why no terminal reaches it.
pub fn argv(node: &Node, base: &Path, file: &str) -> Result<Vec<OsString>, String> {
    let words: &[&str] = match node.become_root.as_deref() {
        None | Some("none") => &["sh", "-eu"],
        Some("sudo") => &["sudo", "sh", "-eu"],
        Some("doas") => &["doas", "sh", "-eu"],
        Some("su") => &["su", "-s", "/bin/sh", "--", "root", "-eu"],
        Some(other) => return Err(format!("`become = \"{other}\"` is not known")),
    };
    match &node.how {
        How::Via(_) => Err("behind `via` there is only a shell's stdin".into()),
        How::Local => Ok(words.iter().copied().chain([file]).map(OsString::from).collect()),
        How::Ssh => {
            let login = &node.login;
            let mut out: Vec<OsString> = ["ssh", "-t"].map(OsString::from).into();
            let mut option = |name: &str, value: Option<OsString>| {
                out.extend(value.into_iter().flat_map(|v| [OsString::from(name), v]));
            };
            option("-F", std::env::var_os("HAWIZ_SSH_CONFIG"));
            option("-l", login.user.as_ref().map(OsString::from));
            option("-p", login.port.map(|p| p.to_string().into()));
            option("-i", login.identity.as_ref().map(|i| of_home(i, base)));
            // This key and no other, as the session did: a server counts every key that an agent shows it.
            option("-o", login.identity.as_ref().map(|_| "IdentitiesOnly=yes".into()));
            option("-J", login.jump.as_ref().map(OsString::from));
            // The session has seen its key already; another one than that is refused.
            option("-o", Some("StrictHostKeyChecking=yes".into()));
            let file = String::from_utf8_lossy(&crate::shell::quote(file.as_bytes())).into_owned();
            let words: Vec<&str> = ["exec"].iter().chain(words).copied().chain([file.as_str()]).collect();
            out.extend([
                OsString::from("--"),
                node.address.as_ref().unwrap_or(&node.name).into(),
                words.join(" ").into(),
            ]);
            Ok(out)
        }
    }
}

/// A key file: below the folder of the site file, unless it says where it lies.
fn of_home(identity: &str, base: &Path) -> OsString {
    if identity.starts_with('~') { identity.into() } else { base.join(identity).into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Login;

    fn node(how: How) -> Node {
        Node {
            name: "n".into(),
            how,
            login: Login::default(),
            address: None,
            become_root: None,
            state: None,
            group: None,
            vars: Vec::new(),
        }
    }
    fn said(node: &Node) -> String {
        match argv(node, Path::new("/site"), "/var/lib/hawiz/lock/g1/5a.out") {
            Ok(argv) => argv.iter().map(|w| w.to_string_lossy()).collect::<Vec<_>>().join("|"),
            Err(why) => why,
        }
    }

    #[test]
    fn a_script_lying_ready_is_started_where_it_lies() {
        assert_eq!(said(&node(How::Local)), "sh|-eu|/var/lib/hawiz/lock/g1/5a.out");
        let root = Node { become_root: Some("sudo".into()), ..node(How::Local) };
        assert_eq!(said(&root), "sudo|sh|-eu|/var/lib/hawiz/lock/g1/5a.out");
        assert_eq!(said(&node(How::Via(vec!["sh".into()]))), "behind `via` there is only a shell's stdin");
        let plain = "ssh|-t|-o|StrictHostKeyChecking=yes|--|n|exec sh -eu /var/lib/hawiz/lock/g1/5a.out";
        assert_eq!(said(&node(How::Ssh)), plain);
        let (user, port) = (Some("admin".into()), Some(2222));
        let (identity, jump) = (Some("keys/mn".into()), Some("me@gate:22".into()));
        let login = Login { user, port, identity, jump };
        let far = Node { address: Some("fe80::1%eth0".into()), login, ..Node { how: How::Ssh, ..root } };
        let all = "ssh|-t|-l|admin|-p|2222|-i|/site/keys/mn|-o|IdentitiesOnly=yes|-J|me@gate:22|-o|StrictHostKeyChecking=yes|--|fe80::1%eth0\
                   |exec sudo sh -eu /var/lib/hawiz/lock/g1/5a.out";
        assert_eq!(said(&far), all);
    }
}
