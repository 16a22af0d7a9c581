//! How a host is to be reached: what the site file says, then what the user's ssh_config says.
//!
//! Why it exists: whoever can say `ssh mn1` expects hawiz to reach mn1 by the same name, port, user, key and jump host. Only
//! `ssh -G` knows ssh_config: `Match`, `Include`, tokens and the system's own file are read wrongly by all who tried.
//!
//! Invariant: nothing is connected to, asked or written here; a name that could be an option is put to nobody; what the user
//! has set and hawiz does not do is said in words, in [`Config::notes`] or [`Config::untried`].
//!
//! `HAWIZ_SSH_CONFIG=FILE` is read in place of the user's and the system's ssh_config (`ssh -F FILE`): for tests, and for
//! sites that keep one for hawiz. ssh itself looks for it in the home of `/etc/passwd`, not in `$HOME`.

mod jump;
mod me;
mod tokens;

pub use jump::{Hop, chain, host_name, login_name};
pub use me::Me;

use super::known_hosts::{KnownHosts, Shelf};
use crate::plan::Login;
use crate::transport::local;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokens::{Tokens, tilde};

/// `ssh -G` takes 10 ms; a `Match exec` in ssh_config may take longer, and a name may have to be looked up.
const DEADLINE: Duration = Duration::from_secs(10);
/// More hosts than this between here and a node are a mistake in ssh_config.
const LONGEST_WAY: usize = 8;

/// `StrictHostKeyChecking`. A changed or revoked key is refused by all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strict {
    /// An unknown key is refused without asking.
    Yes,
    /// A person is asked. `accept-new` and `no` are taken for this, with a note.
    Ask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Any,
    V4,
    V6,
}

/// A way of logging in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    PublicKey,
    KeyboardInteractive,
    Password,
}

/// `IdentityAgent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentAt {
    Off,
    /// The variable that names the socket.
    Variable(String),
    Path(PathBuf),
}

/// How one host is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The name it was asked for by.
    pub address: String,
    /// The name or address to connect to.
    pub hostname: String,
    pub port: u16,
    pub user: String,
    /// Key files in the order of trying; many will not be there.
    pub identity_files: Vec<PathBuf>,
    /// Of the agent's keys only those that `identity_files` name are tried.
    pub identities_only: bool,
    pub identity_agent: AgentAt,
    /// Hosts on the way, nearest first; see [`Config::way`].
    pub jump: Vec<Hop>,
    /// A program whose stdin and stdout are the connection, for `sh -c`; its tokens are filled in.
    pub proxy_command: Option<String>,
    pub user_known_hosts: Vec<PathBuf>,
    pub global_known_hosts: Vec<PathBuf>,
    pub revoked_host_keys: Option<PathBuf>,
    pub host_key_alias: Option<String>,
    pub strict_host_key_checking: Strict,
    pub hash_known_hosts: bool,
    /// `HostKeyAlgorithms` as ssh_config has it; empty if that was not read.
    pub host_key_algorithms: Vec<String>,
    pub connect_timeout: Option<Duration>,
    pub address_family: Family,
    pub bind_address: Option<String>,
    /// Ways of logging in that are wanted, in the order of trying.
    pub methods: Vec<Method>,
    /// `BatchMode`: nobody is to be asked for a password or a passphrase.
    pub batch: bool,
    pub password_prompts: u32,
    pub alive_interval: Option<Duration>,
    pub alive_count: u32,
    /// What is done otherwise than ssh_config says.
    pub notes: Vec<String>,
    /// Ways of logging in that ssh would try and hawiz does not; worth saying when a login fails.
    pub untried: Vec<String>,
}

impl Config {
    /// How `address` is reached. Relative key files of the site file are below `base`. `Err` is a fragment for
    /// "cannot reach `n`: …".
    pub fn read(address: &str, login: &Login, base: &Path, me: &Me) -> Result<Config, String> {
        let host = host_name(address)?;
        if let Some(user) = &login.user {
            login_name(user)?;
        }
        let hops = login.jump.as_deref().map(chain).transpose()?;
        let mut args: Vec<String> = vec!["-T".into(), "-G".into()];
        if let Some(file) = me.var("HAWIZ_SSH_CONFIG") {
            args.extend(["-F".into(), file.into()]);
        }
        if let Some(user) = &login.user {
            args.extend(["-l".into(), user.clone()]);
        }
        if let Some(port) = login.port {
            args.extend(["-p".into(), port.to_string()]);
        }
        if let Some(hops) = &hops {
            let hops: Vec<String> = hops.iter().map(Hop::to_string).collect();
            args.extend(["-J".into(), if hops.is_empty() { "none".into() } else { hops.join(",") }]);
        }
        // Behind `--`, though no name that begins with `-` comes this far.
        args.extend(["--".into(), host.to_string()]);
        let mut config = match local::ask(OsStr::new("ssh"), &args, DEADLINE) {
            Ok(Some(said)) if said.code == Some(0) => Config::said(host, &String::from_utf8_lossy(&said.output), me)?,
            Ok(Some(said)) => return Err(failed(&said)),
            Ok(None) => return Err(format!("`ssh -G` has not read ssh_config within {} s", DEADLINE.as_secs())),
            Err(e) if e.kind() == ErrorKind::NotFound => Config::plain(host, hops.unwrap_or_default(), me),
            Err(e) => return Err(format!("`ssh -G` cannot be started to read ssh_config: {e}")),
        };
        config.user = login.user.clone().unwrap_or(config.user);
        config.port = login.port.unwrap_or(config.port);
        if let Some(identity) = &login.identity {
            // Not by `-i`: of a file that is not there ssh warns and forgets it.
            config.identity_files = vec![base.join(tilde(me, identity)?)];
            config.identities_only = true;
        }
        if let Some(user) = me.sudo() {
            config.notes.push(format!(
                "hawiz runs as `{0}` by sudo: ssh_config, keys and known_hosts are those of `{0}`, not of `{user}`",
                me.login
            ));
        }
        Ok(config)
    }

    /// Every host from here to `address`, which is the last: each is reached through the one before. The first may have a
    /// `proxy_command`.
    pub fn way(address: &str, login: &Login, base: &Path, me: &Me) -> Result<Vec<Config>, String> {
        let mut way = vec![Config::read(address, login, base, me)?];
        // The first host may have a jump host of its own in ssh_config; to the others the way is known.
        while !way[0].jump.is_empty() {
            let hops = way[0].jump.clone();
            let mut lead = Vec::new();
            for (n, hop) in hops.iter().enumerate() {
                // Put as `-J`, so that ssh lets its own `ProxyCommand` be, too.
                let before: Vec<String> = hops[..n].iter().map(Hop::to_string).collect();
                let jump = (n > 0).then(|| before.join(","));
                let login = Login { user: hop.user.clone(), port: hop.port, identity: None, jump };
                let mut config = Config::read(&hop.host, &login, base, me)
                    .map_err(|why| format!("the host `{hop}` on the way: {why}"))?;
                if n > 0 {
                    config.jump.clear();
                }
                lead.push(config);
            }
            way[0].jump.clear();
            lead.append(&mut way);
            way = lead;
            let place = |c: &Config| (c.hostname.clone(), c.port);
            for (n, config) in way.iter().enumerate() {
                let ((host, port), later) = (place(config), &way[n + 1..]);
                if later.iter().any(|l| jump::same((&host, port), (&l.hostname, l.port))) {
                    return Err(format!(
                        "the way leads through `{}` twice: see `ProxyJump` in ssh_config",
                        config.address
                    ));
                }
            }
            if way.len() > LONGEST_WAY {
                return Err(format!("there are more than {} hosts on the way", LONGEST_WAY - 1));
            }
        }
        // What holds for all of them is said once.
        if let Some((last, before)) = way.split_last_mut() {
            before.iter_mut().for_each(|config| config.notes.retain(|note| !last.notes.contains(note)));
        }
        Ok(way)
    }

    /// Whether a person may be asked about a host key that nobody knows: as in ssh, not with `BatchMode`.
    pub fn asks_for_host_keys(&self) -> bool {
        self.strict_host_key_checking == Strict::Ask && !self.batch && !self.user_known_hosts.is_empty()
    }

    /// What the known_hosts files know the host by.
    pub fn known_as(&self) -> (&str, u16) {
        match &self.host_key_alias {
            Some(alias) => (alias, 22),
            None => (&self.hostname, self.port),
        }
    }

    /// The known_hosts files, and what `RevokedHostKeys` revokes.
    pub fn known_hosts(&self, shelf: &Shelf) -> Result<Arc<KnownHosts>, String> {
        let files = self.user_known_hosts.iter().chain(&self.global_known_hosts).cloned().collect();
        shelf.of(files, self.revoked_host_keys.as_deref())
    }

    /// Without `ssh`: its own defaults.
    pub(super) fn plain(host: &str, jump: Vec<Hop>, me: &Me) -> Config {
        let ssh = me.home.join(".ssh");
        Config {
            address: host.to_string(),
            hostname: host.to_string(),
            port: 22,
            user: me.login.clone(),
            identity_files: ["id_ed25519", "id_ecdsa", "id_rsa"].map(|f| ssh.join(f)).into(),
            identities_only: false,
            identity_agent: AgentAt::Variable("SSH_AUTH_SOCK".into()),
            jump,
            proxy_command: None,
            user_known_hosts: vec![ssh.join("known_hosts")],
            global_known_hosts: vec!["/etc/ssh/ssh_known_hosts".into()],
            revoked_host_keys: None,
            host_key_alias: None,
            strict_host_key_checking: Strict::Ask,
            hash_known_hosts: false,
            host_key_algorithms: Vec::new(),
            connect_timeout: None,
            address_family: Family::Any,
            bind_address: None,
            methods: vec![Method::PublicKey, Method::KeyboardInteractive, Method::Password],
            batch: false,
            password_prompts: 3,
            alive_interval: None,
            alive_count: 3,
            notes: vec!["there is no `ssh` here, so ssh_config was not read: its defaults hold".into()],
            untried: Vec::new(),
        }
    }

    /// What `ssh -G` printed.
    fn said(address: &str, text: &str, me: &Me) -> Result<Config, String> {
        let said = Said::of(text);
        let hostname = host_name(said.one("hostname").ok_or("`ssh -G` says no host name")?)?.to_string();
        let port = said.number("port")?.unwrap_or(22);
        let user = said.one("user").unwrap_or(&me.login).to_string();
        let alias = said.one("hostkeyalias").map(str::to_string);
        let tokens = Tokens { me, address, hostname: &hostname, port, user: &user, alias: alias.as_deref() };
        let (mut notes, mut untried) = (Vec::new(), Vec::new());

        let mut identity_files = Vec::new();
        for file in said.all("identityfile").filter(|f| !f.eq_ignore_ascii_case("none")) {
            match tokens.path(file) {
                Ok(path) => identity_files.push(path),
                Err(why) => notes.push(format!("a key file of ssh_config is left out: {why}")),
            }
        }
        let identity_agent = match said.one("identityagent") {
            None => AgentAt::Variable("SSH_AUTH_SOCK".into()),
            Some("none") => AgentAt::Off,
            Some("SSH_AUTH_SOCK") => AgentAt::Variable("SSH_AUTH_SOCK".into()),
            Some(text) => match text.strip_prefix('$').filter(|name| !name.starts_with('{')) {
                Some(name) => AgentAt::Variable(name.to_string()),
                None => AgentAt::Path(tokens.path(text)?),
            },
        };
        let proxy_command = said.one("proxycommand").filter(|c| *c != "none").map(|c| tokens.fill(c)).transpose()?;
        if proxy_command.as_deref() == Some("-") || (proxy_command.is_some() && said.is("proxyusefdpass")) {
            return Err("ssh_config says `ProxyUseFdpass` or `ProxyCommand -`, which hawiz does not speak".into());
        }
        let jump = match said.one("proxyjump") {
            Some(jump) => chain(&tokens.fill(jump)?)?,
            None => Vec::new(),
        };

        let mut note = |key: &str, words: &str| {
            if let Some(value) = said.one(key).filter(|v| !matches!(*v, "no" | "false" | "none")) {
                notes.push(format!("`{words} {value}` of ssh_config is not followed"));
            }
        };
        note("knownhostscommand", "KnownHostsCommand");
        note("verifyhostkeydns", "VerifyHostKeyDNS");
        note("bindinterface", "BindInterface");
        note("nohostauthenticationforlocalhost", "NoHostAuthenticationForLocalhost");
        let strict = match said.one("stricthostkeychecking") {
            Some("yes" | "true") => Strict::Yes,
            Some(value @ ("no" | "false" | "off" | "accept-new")) => {
                let value = if value == "accept-new" { value } else { "no" };
                notes.push(format!(
                    "`StrictHostKeyChecking {value}` of ssh_config is not followed: an unknown host key is asked about"
                ));
                Strict::Ask
            }
            _ => Strict::Ask,
        };

        let mut not = |wanted: bool, words: String| {
            if wanted {
                untried.push(words);
            }
        };
        for file in said.all("certificatefile") {
            not(true, format!("the certificate `{file}`"));
        }
        for file in &identity_files {
            let certificate = PathBuf::from(format!("{}-cert.pub", file.display()));
            not(certificate.exists(), format!("the certificate `{}`", certificate.display()));
        }
        if let Some(provider) = said.one("pkcs11provider").filter(|p| *p != "none") {
            not(true, format!("keys of the smart card (`PKCS11Provider {provider}`)"));
        }
        not(said.is("gssapiauthentication"), "Kerberos (`GSSAPIAuthentication yes`)".into());
        not(said.is("hostbasedauthentication"), "the login by host (`HostbasedAuthentication yes`)".into());

        Ok(Config {
            identity_files,
            identities_only: said.is("identitiesonly"),
            identity_agent,
            jump,
            proxy_command,
            user_known_hosts: files(&said, "userknownhostsfile", me),
            global_known_hosts: files(&said, "globalknownhostsfile", me),
            revoked_host_keys: said
                .one("revokedhostkeys")
                .filter(|f| *f != "none")
                .map(|f| tilde(me, f).map(PathBuf::from))
                .transpose()?,
            strict_host_key_checking: strict,
            hash_known_hosts: said.is("hashknownhosts"),
            host_key_algorithms: said.list("hostkeyalgorithms"),
            connect_timeout: said.seconds("connecttimeout")?,
            address_family: match said.one("addressfamily") {
                Some("inet") => Family::V4,
                Some("inet6") => Family::V6,
                _ => Family::Any,
            },
            bind_address: said.one("bindaddress").map(str::to_string),
            methods: methods(&said),
            batch: said.is("batchmode"),
            password_prompts: said.number("numberofpasswordprompts")?.unwrap_or(3),
            alive_interval: said.seconds("serveraliveinterval")?,
            alive_count: said.number("serveralivecountmax")?.unwrap_or(3),
            notes,
            untried,
            address: address.to_string(),
            host_key_alias: alias,
            port,
            user,
            hostname,
        })
    }
}

/// Why `ssh -G` has failed: its last line, as it says it.
fn failed(said: &local::Said) -> String {
    let text = String::from_utf8_lossy(&said.errors);
    // The last one only counts how many there were.
    let line = text.lines().map(str::trim).rfind(|l| !l.is_empty() && !l.contains("terminating,"));
    let clean: String = line.unwrap_or("it does not say why").chars().filter(|c| !c.is_control()).take(300).collect();
    format!("ssh_config cannot be used: `ssh -G` says: {clean}")
}

/// Ways of logging in that ssh would try and hawiz can, in ssh's order.
fn methods(said: &Said) -> Vec<Method> {
    let ask = ["kbdinteractiveauthentication", "challengeresponseauthentication"];
    // Off only if it is said: older versions of ssh have another word for it.
    let on = |key: &str| !matches!(said.one(key), Some("no" | "false"));
    let named = |name: &str| match name {
        "publickey" => Some(Method::PublicKey).filter(|_| on("pubkeyauthentication")),
        "keyboard-interactive" => Some(Method::KeyboardInteractive).filter(|_| ask.iter().all(|k| on(k))),
        "password" => Some(Method::Password).filter(|_| on("passwordauthentication")),
        _ => None,
    };
    let mut order = said.list("preferredauthentications");
    if order.is_empty() {
        order = ["publickey", "keyboard-interactive", "password"].map(String::from).into();
    }
    order.iter().filter_map(|name| named(name)).collect()
}

/// Files on one line, in which blanks are not marked: what does not begin as a path goes on the one before.
fn files(said: &Said, key: &str, me: &Me) -> Vec<PathBuf> {
    let mut out: Vec<String> = Vec::new();
    for part in said.one(key).unwrap_or_default().split(' ').filter(|p| !p.is_empty()) {
        let begins = part.starts_with(['/', '~']) || part == "none";
        match out.last_mut().filter(|last| !begins && last.starts_with(['/', '~'])) {
            Some(last) => *last += &format!(" {part}"),
            None => out.push(part.to_string()),
        }
    }
    let named = out.iter().filter(|f| *f != "none");
    // Older versions of ssh leave the `~`.
    named.map(|f| PathBuf::from(tilde(me, f).unwrap_or_else(|_| f.clone()))).collect()
}

/// The lines of `ssh -G`: a key in lower case, and its value.
struct Said<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl<'a> Said<'a> {
    fn of(text: &'a str) -> Said<'a> {
        let mut map: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (key, value) in text.lines().filter_map(|l| l.split_once(' ')) {
            map.entry(key).or_default().push(value.trim());
        }
        Said(map)
    }
    fn all(&self, key: &str) -> impl Iterator<Item = &'a str> {
        self.0.get(key).into_iter().flatten().copied()
    }
    fn one(&self, key: &str) -> Option<&'a str> {
        self.all(key).next().filter(|v| !v.is_empty())
    }
    fn is(&self, key: &str) -> bool {
        matches!(self.one(key), Some("yes" | "true"))
    }
    fn list(&self, key: &str) -> Vec<String> {
        self.one(key).unwrap_or_default().split(',').filter(|p| !p.is_empty()).map(str::to_string).collect()
    }
    fn number<N: std::str::FromStr>(&self, key: &str) -> Result<Option<N>, String> {
        let number = |v: &str| v.parse().map_err(|_| format!("`ssh -G` says `{key} {v}`, which is no number"));
        self.one(key).map(number).transpose()
    }
    /// Seconds; `none` and 0 are none.
    fn seconds(&self, key: &str) -> Result<Option<Duration>, String> {
        let seconds = match self.one(key) {
            None | Some("none") => None,
            Some(_) => self.number(key)?,
        };
        Ok(seconds.filter(|s| *s > 0).map(Duration::from_secs))
    }
}

#[cfg(test)]
mod tests;
