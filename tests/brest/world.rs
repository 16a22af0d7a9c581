//! A zone in a folder: four servers behind `via`, three of them members, stand-ins for every program the playbook calls.
//!
//! Why it exists: a failover that was never run is a hope. Invariants: nothing outside the folder is touched; the zone's
//! state is files that a test reads and breaks; what was changed on a node is its `trace`, a line a command.

use crate::support::World;
use std::fmt::Write;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

const PROGRAMS: [&str; 17] = [
    "systemctl",
    "pgrep",
    "ip",
    "onezone",
    "onedb",
    "ssh",
    "scp",
    "ssh-keygen",
    "findmnt",
    "a2query",
    "a2ensite",
    "a2dissite",
    "apache2ctl",
    "klist",
    "ktutil",
    "chown",
    "arping",
];
/// Every server there is; the first of them are members of the zone.
const ALL: [&str; 5] = ["front1", "front2", "front3", "front4", "front5"];

/// The world, and what answers behind the floating address.
pub struct Zone {
    pub world: World,
    _web: TcpListener,
}

/// `front1` leads `front2` and `front3`; `nodes` are in the site file.
pub fn zone(nodes: &[&str]) -> Zone {
    zone_of(3, nodes)
}

/// The same with so many members.
pub fn zone_of(members: usize, nodes: &[&str]) -> Zone {
    let mut world = World::new("");
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into());
    world.env.push(("PATH".into(), format!("{}/bin:{path}", world.dir.display())));
    fs::create_dir_all(world.dir.join("bin")).expect("the folder is ours");
    world.put("bin/standin", include_str!("standin"));
    let standin = world.dir.join("bin/standin");
    fs::set_permissions(&standin, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    for name in PROGRAMS {
        symlink("standin", world.dir.join("bin").join(name)).expect("a fresh folder");
    }
    fs::create_dir_all(world.dir.join("w/zone")).expect("the folder is ours");
    world.put("w/zone/next", &format!("{members}\n"));
    world.put("w/zone/leader", "front1\n");
    let mut servers = String::new();
    for (id, node) in ALL[..members].iter().enumerate() {
        // The wizard writes host names, the document's `server-add` full ones.
        writeln!(servers, "{id} {node} http://{node}:2633/RPC2").expect("a string takes it");
    }
    world.put("w/zone/servers", &servers);
    for (id, node) in ALL.iter().enumerate() {
        server(&world, node, (id < members).then_some(id));
    }
    world.put("w/front1/float", "");
    let dir = world.dir.display();
    world.put("enter", "NODE=$1\nexport NODE W\nif [ -e \"$W/$NODE/dead\" ]; then echo \"no route to $NODE\" >&2; exit 1; fi\nexec sh\n");
    let web = TcpListener::bind("127.0.0.1:0").expect("this machine has itself");
    let port = web.local_addr().expect("it was bound just now").port();
    let mut site = format!(
        "playbook = \"{}/playbooks/brest.toml\"\n[inputs]\nfloat_ip = \"127.0.0.1\"\nfloat_if = \"eth0\"\nfloat_short = \"brest\"\nweb_port = {port}\n",
        env!("CARGO_MANIFEST_DIR")
    );
    for node in nodes {
        let at = format!("{dir}/w/{node}");
        write!(
            site,
            "[nodes.{node}]\nvia = [\"env\", \"W={dir}/w\", \"sh\", \"{dir}/enter\", \"{node}\"]\nstate = \"{dir}/state/{node}\"\n\
             vars = {{ fqdn = \"{node}.brest.example\", one_etc = \"{at}/one\", one_home = \"{at}/home\", apache = \"{at}/apache2\", \
             root = \"{at}/root\", host_key = \"{at}/host_key.pub\" }}\n"
        )
        .expect("a string takes it");
    }
    world.put("hawiz.toml", &site);
    Zone { world, _web: web }
}

/// A server as it is after its installation; with a number it is a member of the zone.
fn server(world: &World, node: &str, member: Option<usize>) {
    let at = format!("w/{node}");
    for part in ["one/one.d", "one/ssl", "home/.one", "apache2/sites-available", "apache2/sites-enabled", "root"] {
        fs::create_dir_all(world.dir.join(&at).join(part)).expect("the folder is ours");
    }
    let put = |path: &str, text: &str| world.put(&format!("{at}/{path}"), text);
    for unit in ["opennebula", "opennebula-sunstone", "apache2"] {
        put(&format!("active-{unit}"), "");
        put(&format!("enabled-{unit}"), "");
    }
    put("one/one.d/db.conf", &format!("BACKEND = \"postgresql\",\nPASSWD = \"pw:of {node}\"\n"));
    let id = member.map_or("-1".into(), |id| id.to_string());
    put("one/one.d/raft.conf", &format!("FEDERATION = [\n    MODE = \"STANDALONE\",\n    SERVER_ID = {id}\n]\n"));
    put("home/.one/one_auth", &format!("brestadmin:of-{}\n", if member.is_some() { "the-zone" } else { node }));
    put("database", if member.is_some() { "zone" } else { "own" });
    put("host_key.pub", &format!("ssh-ed25519 HOST-{node} root@{node}\n"));
    put("apache2/apache2.keytab", &format!("HTTP/{node}.brest.example@BREST\n"));
    put("apache2/astramode.conf", "AstraMode on\n");
    if member.is_some() {
        put("one/ssl/brest.crt", "certificate\n");
        put("one/ssl/brest.key", "key\n");
        put("apache2/sites-available/ipa-one-apache2-float.conf", "site\n");
        put("apache2/sites-enabled/ipa-one-apache2-float.conf", "");
        put("apache2/apache2.brest.keytab", "HTTP/brest.brest.example@BREST\n");
    }
}

impl Zone {
    pub fn leader(&self) -> String {
        fs::read_to_string(self.world.dir.join("w/zone/leader")).expect("the zone is there").trim().into()
    }
    /// Who holds the floating address.
    pub fn holders(&self) -> Vec<&'static str> {
        ALL.into_iter().filter(|n| self.world.dir.join("w").join(n).join("float").exists()).collect()
    }
    pub fn members(&self) -> Vec<String> {
        let text = fs::read_to_string(self.world.dir.join("w/zone/servers")).expect("the zone is there");
        text.lines().filter_map(|l| l.split_whitespace().nth(1)).map(String::from).collect()
    }
    /// What was changed, on all nodes.
    pub fn changes(&self) -> Vec<String> {
        ALL.iter().flat_map(|n| self.world.trace(n).into_iter().map(move |l| format!("{n}: {l}"))).collect()
    }
    /// Power off: nothing of it runs, nobody gets in, and the others elect.
    pub fn kill(&self, node: &str) {
        self.world.put(&format!("w/{node}/dead"), "");
        let dir = &self.world.dir;
        let show = Command::new(dir.join("bin/onezone"))
            .args(["show", "0"])
            .env("W", dir.join("w"))
            .env("NODE", node)
            .output()
            .expect("it is a program");
        assert!(show.status.success(), "{}", String::from_utf8_lossy(&show.stderr));
    }
    /// Power on: what is enabled starts, and as far as it is concerned it may still hold the address.
    pub fn boot(&self, node: &str) {
        fs::remove_file(self.world.dir.join(format!("w/{node}/dead"))).expect("it was dead");
    }
}
