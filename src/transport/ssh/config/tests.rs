//! ssh_config as the real `ssh -G` reads it.
//!
//! Why it exists: what `ssh -G` leaves unexpanded, and how it prints it, was found by running it, and differs by version.

use super::*;

/// A folder with an ssh_config in it.
struct Room {
    dir: PathBuf,
    me: Me,
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Room {
    /// `None` where there is no `ssh`.
    fn new(of: &str, text: &str) -> Option<Room> {
        if std::process::Command::new("ssh").arg("-V").output().is_err() {
            println!("skipped: no ssh here");
            return None;
        }
        let dir = std::env::temp_dir().join(format!("hawiz-config-{of}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a folder");
        let file = dir.join("ssh_config");
        std::fs::write(&file, text.replace("DIR", &dir.to_string_lossy())).expect("written");
        let me = Me::of(1000, "alice", "/home/alice", "mn9", &[("HAWIZ_SSH_CONFIG", &file.to_string_lossy())]);
        Some(Room { dir, me })
    }
    fn read(&self, address: &str, login: &Login) -> Result<Config, String> {
        Config::read(address, login, &self.dir, &self.me)
    }
    fn config(&self, address: &str) -> Config {
        self.read(address, &Login::default()).expect("read")
    }
    /// `user@host:port` of every host on the way.
    fn way(&self, address: &str, login: &Login) -> Result<String, String> {
        let way = Config::way(address, login, &self.dir, &self.me)?;
        assert!(way.iter().all(|c| c.jump.is_empty()));
        Ok(way.iter().map(|c| format!("{}@{}:{}", c.user, c.hostname, c.port)).collect::<Vec<_>>().join(" "))
    }
}

fn paths(list: &[&str]) -> Vec<PathBuf> {
    list.iter().map(PathBuf::from).collect()
}
fn jump(text: &str) -> Login {
    Login { jump: Some(text.into()), ..Login::default() }
}

#[test]
fn what_ssh_config_says_is_what_ssh_does() {
    let Some(room) = Room::new(
        "all",
        r#"
Host mn1
  HostName MN1.Example.org
  User bob
  Port 2200
  IdentityFile ~/keys/%h-%r
  IdentityFile "/a b/c"
  IdentityFile none
  IdentitiesOnly yes
  IdentityAgent ~/agent
  UserKnownHostsFile "/x/a b" /x/%h
  GlobalKnownHostsFile none
  HostKeyAlias cluster
  StrictHostKeyChecking yes
  HashKnownHosts yes
  HostKeyAlgorithms ssh-ed25519,rsa-sha2-512
  ConnectTimeout 7
  AddressFamily inet6
  BindAddress 10.0.0.9
  PreferredAuthentications gssapi-with-mic,password,publickey
  BatchMode yes
  NumberOfPasswordPrompts 1
  ServerAliveInterval 5
  ServerAliveCountMax 2
  RevokedHostKeys /x/revoked
  ProxyCommand nc -X 5 %h %p %r
Match final all
  PasswordAuthentication no
"#,
    ) else {
        return;
    };
    let expected = Config {
        address: "mn1".into(),
        hostname: "mn1.example.org".into(),
        port: 2200,
        user: "bob".into(),
        identity_files: paths(&["/home/alice/keys/mn1.example.org-bob", "/a b/c"]),
        identities_only: true,
        // ssh itself fills this one in, from the home of `/etc/passwd`.
        identity_agent: AgentAt::Path(crate::who::home().expect("a home").join("agent")),
        jump: vec![],
        proxy_command: Some("nc -X 5 mn1.example.org 2200 bob".into()),
        user_known_hosts: paths(&["/x/a b", "/x/mn1.example.org"]),
        global_known_hosts: vec![],
        revoked_host_keys: Some("/x/revoked".into()),
        host_key_alias: Some("cluster".into()),
        strict_host_key_checking: Strict::Yes,
        hash_known_hosts: true,
        host_key_algorithms: vec!["ssh-ed25519".into(), "rsa-sha2-512".into()],
        connect_timeout: Some(Duration::from_secs(7)),
        address_family: Family::V6,
        bind_address: Some("10.0.0.9".into()),
        methods: vec![Method::PublicKey],
        batch: true,
        password_prompts: 1,
        alive_interval: Some(Duration::from_secs(5)),
        alive_count: 2,
        notes: vec![],
        untried: vec![],
    };
    let config = room.config("mn1");
    assert_eq!(config, expected);
    assert_eq!(config.known_as(), ("cluster", 22));
    assert!(config.known_hosts(&Shelf::default()).expect_err("it is not there").contains("`/x/revoked`"));
}

#[test]
fn without_a_word_in_ssh_config_the_defaults_are_sshs_own() {
    let Some(room) = Room::new("none", "") else { return };
    let config = room.config("10.5.106.70");
    assert_eq!((config.hostname.as_str(), config.port), ("10.5.106.70", 22));
    assert_eq!(config.known_as(), ("10.5.106.70", 22));
    assert!(config.identity_files.contains(&PathBuf::from("/home/alice/.ssh/id_ed25519")));
    assert_eq!(config.identity_agent, AgentAt::Variable("SSH_AUTH_SOCK".into()));
    assert_eq!(config.methods, [Method::PublicKey, Method::KeyboardInteractive, Method::Password]);
    assert_eq!(config.strict_host_key_checking, Strict::Ask);
    assert!(config.user_known_hosts[0].ends_with(".ssh/known_hosts"), "{:?}", config.user_known_hosts);
    assert!(config.host_key_algorithms.iter().any(|a| a == "ssh-ed25519"));
    assert_eq!((config.connect_timeout, config.alive_interval), (None, None));
    assert_eq!((config.notes, config.untried), (vec![], vec![]));
    // Addresses are written in one way, for known_hosts.
    assert_eq!(room.config("2001:DB8:0:0::1").hostname, "2001:db8::1");
    assert_eq!(room.config("[::1]").hostname, "::1");
    assert_eq!(room.config("fe80::1%lo").hostname, "fe80::1%lo");
}

#[test]
fn the_site_file_wins_over_ssh_config() {
    let Some(room) = Room::new(
        "site",
        "Host mn1\n User bob\n Port 2200\n IdentityFile /k\n ProxyJump gw\nMatch user carol\n HostName own\n",
    ) else {
        return;
    };
    let login = Login {
        user: Some("carol".into()),
        port: Some(23),
        identity: Some("keys/mn1".into()),
        jump: Some("a@gw1,[::1]:24".into()),
    };
    let config = room.read("mn1", &login).expect("read");
    assert_eq!((config.user.as_str(), config.port, config.hostname.as_str()), ("carol", 23, "own"));
    assert_eq!(config.identity_files, [room.dir.join("keys/mn1")]);
    assert!(config.identities_only);
    assert_eq!(config.jump.iter().map(Hop::to_string).collect::<Vec<_>>(), ["a@gw1", "[::1]:24"]);
    assert_eq!(room.config("mn1").jump.iter().map(Hop::to_string).collect::<Vec<_>>(), ["gw"]);
    assert_eq!(room.read("mn1", &jump("none")).expect("read").jump, []);
    let home = Login { identity: Some("~/k".into()), ..Login::default() };
    assert_eq!(room.read("mn1", &home).expect("read").identity_files, paths(&["/home/alice/k"]));
}

#[test]
fn where_the_agent_is_comes_as_it_was_said() {
    let Some(room) = Room::new(
        "agent",
        "Host off\n IdentityAgent none\nHost own\n IdentityAgent SSH_AUTH_SOCK\nHost variable\n IdentityAgent $MY_AGENT\n\
         Host path\n IdentityAgent /run/%h\n",
    ) else {
        return;
    };
    for (host, expected) in [
        ("off", AgentAt::Off),
        ("own", AgentAt::Variable("SSH_AUTH_SOCK".into())),
        ("variable", AgentAt::Variable("MY_AGENT".into())),
        ("path", AgentAt::Path("/run/path".into())),
    ] {
        assert_eq!(room.config(host).identity_agent, expected, "{host}");
    }
}

#[test]
fn what_hawiz_does_otherwise_is_said() {
    let Some(room) = Room::new(
        "notes",
        "IdentityFile DIR/key\nHost a\n StrictHostKeyChecking no\n VerifyHostKeyDNS yes\n KnownHostsCommand /bin/x %H\n \
         NoHostAuthenticationForLocalhost yes\n BindInterface eth9\nHost b\n StrictHostKeyChecking accept-new\n \
         IdentityFile /k-%C\nHost c\n GSSAPIAuthentication yes\n HostbasedAuthentication yes\n CertificateFile ~/cert\n \
         PKCS11Provider /usr/lib/p11.so\nHost d\n ProxyCommand nc %h\n ProxyUseFdpass yes\nHost e\n ProxyCommand nc %C\n",
    ) else {
        return;
    };
    std::fs::write(room.dir.join("key-cert.pub"), "").expect("written");
    let own = format!("the certificate `{}`", room.dir.join("key-cert.pub").display());
    assert_eq!(
        room.config("a").notes,
        [
            "`KnownHostsCommand /bin/x %H` of ssh_config is not followed",
            "`VerifyHostKeyDNS true` of ssh_config is not followed",
            "`BindInterface eth9` of ssh_config is not followed",
            "`NoHostAuthenticationForLocalhost yes` of ssh_config is not followed",
            "`StrictHostKeyChecking no` of ssh_config is not followed: an unknown host key is asked about",
        ]
    );
    assert_eq!(
        room.config("b").notes,
        [
            "a key file of ssh_config is left out: `/k-%C` holds `%C`, which hawiz does not know",
            "`StrictHostKeyChecking accept-new` of ssh_config is not followed: an unknown host key is asked about",
        ]
    );
    assert_eq!(
        room.config("c").untried,
        [
            "the certificate `~/cert`",
            own.as_str(),
            "keys of the smart card (`PKCS11Provider /usr/lib/p11.so`)",
            "Kerberos (`GSSAPIAuthentication yes`)",
            "the login by host (`HostbasedAuthentication yes`)",
        ]
    );
    let refused = |host| room.read(host, &Login::default()).expect_err("not spoken");
    assert_eq!(refused("d"), "ssh_config says `ProxyUseFdpass` or `ProxyCommand -`, which hawiz does not speak");
    assert_eq!(refused("e"), "`nc %C` holds `%C`, which hawiz does not know");
}

#[test]
fn under_sudo_it_says_whose_files_they_are() {
    let Some(mut room) = Room::new("sudo", "Host mn1\n ProxyJump gw\n") else { return };
    let file = room.dir.join("ssh_config");
    let env = [("HAWIZ_SSH_CONFIG", file.to_str().expect("text")), ("SUDO_USER", "alice")];
    room.me = Me::of(0, "root", "/root", "mn9", &env);
    let note = "hawiz runs as `root` by sudo: ssh_config, keys and known_hosts are those of `root`, not of `alice`";
    assert_eq!(room.config("mn1").notes, [note]);
    let way = Config::way("mn1", &Login::default(), &room.dir, &room.me).expect("a way");
    assert_eq!(way.iter().map(|c| c.notes.len()).collect::<Vec<_>>(), [0, 1], "said once");
}

#[test]
fn the_way_leads_over_every_jump_host() {
    let Some(room) = Room::new(
        "way",
        "Host mn*\n User root\n ProxyJump gw2\nHost gw2\n User b\n HostName 10.0.0.2\n ProxyJump x@gw1:23\nHost gw1\n \
         HostName 10.0.0.1\n ProxyCommand nc %h %p\nHost loop\n ProxyJump loop2\nHost loop2\n ProxyJump loop\nHost own\n \
         ProxyJump own\nMatch all\n User u\n",
    ) else {
        return;
    };
    let all = Login::default();
    assert_eq!(room.way("mn1", &all), Ok("x@10.0.0.1:23 b@10.0.0.2:22 root@mn1:22".into()));
    let way = Config::way("mn1", &all, &room.dir, &room.me).expect("a way");
    assert_eq!(way[0].proxy_command.as_deref(), Some("nc 10.0.0.1 23"));
    // The first of a chain keeps its own way, to the others the chain is the way.
    assert_eq!(room.way("mn1", &jump("gw2,gw1")), Ok("x@10.0.0.1:23 b@10.0.0.2:22 u@10.0.0.1:22 root@mn1:22".into()));
    let way = Config::way("mn1", &jump("a,gw1"), &room.dir, &room.me).expect("a way");
    assert_eq!(way[1].proxy_command, None);
    assert_eq!(room.way("mn1", &jump("none")), Ok("root@mn1:22".into()));
    for host in ["loop", "own"] {
        let said = room.way(host, &all).expect_err("no end");
        // Newer versions of ssh see the shortest loop themselves.
        assert!(said.contains("twice") || said.contains("jumphost loop"), "{said}");
    }
    let long = (0..8).map(|n| format!("h{n}")).collect::<Vec<_>>().join(",");
    assert_eq!(room.way("h9", &jump(&long)), Err("there are more than 7 hosts on the way".into()));
}

#[test]
fn what_cannot_be_read_is_said_as_ssh_says_it() {
    let Some(mut room) = Room::new("broken", "Host *\n  Nonsense yes\n") else { return };
    let said = room.read("mn1", &Login::default()).expect_err("broken");
    assert!(said.starts_with("ssh_config cannot be used: `ssh -G` says: "), "{said}");
    assert!(said.contains("line 2: Bad configuration option: nonsense"), "{said}");
    room.me = Me::of(1000, "alice", "/home/alice", "mn9", &[("HAWIZ_SSH_CONFIG", "/does/not/exist")]);
    let said = room.read("mn1", &Login::default()).expect_err("missing");
    assert!(said.contains("/does/not/exist"), "{said}");
}

#[test]
fn no_option_reaches_ssh() {
    let me = Me::of(1000, "alice", "/home/alice", "mn9", &[]);
    let read = |address: &str, login: &Login| Config::read(address, login, Path::new("/"), &me).expect_err("refused");
    let all = Login::default();
    assert_eq!(read("-oProxyCommand=id", &all), "`-oProxyCommand=id` is no host name");
    assert_eq!(read("bob@mn1", &all), "`bob@mn1` is no host name");
    assert_eq!(read("ssh://mn1", &all), "`ssh://mn1` is no host name");
    let user = Login { user: Some("-oX".into()), ..Login::default() };
    assert_eq!(read("mn1", &user), "`-oX` is no login name");
    assert_eq!(read("mn1", &jump("gw,-oX")), "`-oX` is no host name");
}

#[test]
fn without_ssh_its_defaults_hold_and_that_is_said() {
    let me = Me::of(1000, "alice", "/home/alice", "mn9", &[]);
    let config = Config::plain("mn1", chain("gw").expect("a hop"), &me);
    assert_eq!(
        config.identity_files,
        paths(
            &["id_ed25519", "id_ecdsa", "id_rsa"]
                .map(|f| ["/home/alice/.ssh/", f].concat())
                .each_ref()
                .map(String::as_str)
        )
    );
    assert_eq!(config.user, "alice");
    assert_eq!(config.notes, ["there is no `ssh` here, so ssh_config was not read: its defaults hold"]);
}

#[test]
fn what_older_versions_of_ssh_print_is_understood() {
    let me = Me::of(1000, "alice", "/home/alice", "mn9", &[]);
    let text = "user bob\nhostname mn1\nport 22\nchallengeresponseauthentication no\npasswordauthentication yes\n\
                stricthostkeychecking true\nuserknownhostsfile ~/.ssh/known_hosts ~/.ssh/known_hosts2\nidentityfile ~/k\n";
    let config = Config::said("mn1", text, &me).expect("understood");
    assert_eq!(config.user_known_hosts, paths(&["/home/alice/.ssh/known_hosts", "/home/alice/.ssh/known_hosts2"]));
    assert_eq!(config.methods, [Method::PublicKey, Method::Password]);
    assert_eq!(config.strict_host_key_checking, Strict::Yes);
    assert_eq!(Config::said("mn1", "port 22\n", &me), Err("`ssh -G` says no host name".into()));
    assert_eq!(
        Config::said("mn1", "hostname mn1\nport x\n", &me),
        Err("`ssh -G` says `port x`, which is no number".into())
    );
}
