//! The catalogue: what a playbook can say in one word, and the plain shell it becomes.
//!
//! Why it exists: looks and changes that every site needs (services, addresses, files, mounts) are written once, with
//! their look, change, verification and undo, and judged by what commands print, never by their failing.
//!
//! A text is a few lines that a tired person can read: a look asks a function of the [`Library`], a change is the very
//! command that will run (`systemctl start postgresql`), with a guard of the library in front where one is needed.
//!
//! Invariants: a look changes nothing and creates nothing; every text is POSIX sh under `set -eu` and `LC_ALL=C`; values
//! stand in it only as quoted [`Word`]s. Exit codes of a catalogue look: see [`crate::plan::Reading::Catalog`]
//! (0 yes, 1 no, 3 nothing to do here and why on stdout, 4 unsettled, all else could not look). A catalogue change that
//! ends with [`NO_RETRY`] failed for good. What `done` printed on stdout before the change is `$before` in `undo`: of the
//! first attempt, since a retried one may find its own half-done work. What a person reads of a look (its evidence) is
//! the last line of its stderr if there is one, else the first line of its stdout.

mod database;
pub mod fence;
mod file;
mod guard;
mod haproxy;
mod host;
mod library;
pub mod network;
mod remote;
mod resource;
mod service;
mod storage;
mod text;

pub use database::{Listen, Server};
pub use file::{HostsEntry, Line, Nameserver};
pub use guard::{Guard, Record};
pub use host::{Clock, Hostname, Package, Process};
pub use library::{Function, Library};
pub use network::{Add, Del, Free, Present};
pub use remote::{Http, Port};
pub use resource::Resource;
pub use service::Unit;
pub use storage::{Link, Mount, Mounted, Resolves, Umount, Writable};

use crate::shell::{Value, Word};
use schemars::JsonSchema;
use serde::Deserialize;

/// Exit code of a catalogue change that trying again cannot mend (an absent unit).
pub const NO_RETRY: i32 = 125;

/// A parameter: text with `{names}`; numbers and booleans may be written as such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

/// One or several parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts(pub Vec<Text>);

/// Fills `{names}` in parameters; the planner's scope stands behind it.
pub trait Fill {
    fn word(&self, text: &Text) -> Result<Word, String>;
    /// A list input in a list parameter gives one word an item.
    fn words(&self, texts: &Texts) -> Result<Vec<Word>, String>;
}

/// Whether a change gives a node what only one may have, where its step does not say.
pub fn exclusive(word: &str) -> bool {
    matches!(word, "ip-add" | "mount" | "resource" | "own")
}

/// What an operation becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    pub done: Option<Value>,
    pub run: Value,
    pub verify: Option<Value>,
    pub undo: Undo,
    /// Paths that are mounted, unmounted, linked or replaced: hawiz's own state may not lie below them.
    pub paths: Vec<Word>,
    /// Addresses that move: no node may be known by one.
    pub addresses: Vec<Word>,
}

impl Recipe {
    /// A change that `done` decides, and that moves neither a path nor an address.
    fn plain(done: Value, run: Value, undo: Undo) -> Recipe {
        Recipe { done: Some(done), run, verify: None, undo, paths: Vec::new(), addresses: Vec::new() }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Undo {
    Run(Value),
    None(String),
}

/// A node whose power is cut.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fence {
    /// The node.
    pub node: Text,
}

/// Writes the enum, its words and the way to its text from one list, so that none of them can be forgotten.
macro_rules! catalogue {
    ($(#[$doc:meta])* $name:ident, $method:ident -> $out:ty { $($(#[$about:meta])* $word:literal $variant:ident($params:ty) => $make:expr,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
        pub enum $name {
            /// A script of your own, in POSIX sh. Values stand in it as `$name`.
            #[serde(rename = "sh")]
            Sh(String),
            $($(#[$about])* #[serde(rename = $word)] $variant($params),)+
        }
        impl $name {
            /// Every word, in the order of the list.
            pub const WORDS: &'static [&'static str] = &["sh", $($word),+];
            /// The catalogue's word for it.
            pub fn word(&self) -> &'static str {
                match self { $name::Sh(_) => "sh", $($name::$variant(_) => $word,)+ }
            }
            /// Its shell text. `Sh` is the planner's own affair and never comes here.
            pub fn $method(&self, fill: &dyn Fill) -> Result<$out, String> {
                match self {
                    $name::Sh(_) => Err("a script of the playbook is not in the catalogue".into()),
                    $($name::$variant(params) => $make(params, fill),)+
                }
            }
        }
    };
}

catalogue! {
    /// A look by name: `check.OP`, `done.OP`, `when.OP`, `verify.OP`. A look changes nothing.
    Check, look -> Value {
        /// The service runs. One that is just starting, stopping or reloading is waited for.
        "service-active" ServiceActive(service::Unit) => service::active,
        /// The service is stopped, has failed, or does not exist. Not the opposite of `service-active`: one that is just starting or stopping is neither.
        "service-inactive" ServiceInactive(service::Unit) => service::inactive,
        /// The service is started at boot.
        "service-enabled" ServiceEnabled(service::Unit) => service::enabled,
        /// The service manager knows the service, running or not.
        "service-exists" ServiceExists(service::Unit) => service::exists,
        /// The node holds the address, whatever its prefix and label.
        "ip-present" IpPresent(network::Present) => network::present,
        /// Nobody but this node answers for the address. True as well when this node itself holds it.
        "ip-free" IpFree(network::Free) => network::free,
        /// The path is a mount point.
        "mounted" Mounted(storage::Mounted) => storage::mounted,
        /// The path exists and leads, links followed, to the place named.
        "resolves" Resolves(storage::Resolves) => storage::resolves,
        /// The TCP port takes a connection within 5 seconds.
        "port-open" PortOpen(remote::Port) => remote::port,
        /// The web address answers with the status wanted within 10 seconds.
        "http" Http(remote::Http) => remote::http,
        /// The node's clock is synchronised, by the word of chronyc, ntpstat, ntpq or timedatectl.
        "clock-synchronised" ClockSynchronised(host::Clock) => host::clock,
        /// The file has the line, the whole of it.
        "file-has-line" FileHasLine(file::Line) => file::has_line,
        /// The file or directory exists and this login may write it. Nothing is written.
        "writable" Writable(storage::Writable) => storage::writable,
        /// A process of this name runs.
        "process" Process(host::Process) => host::process,
        /// The package is installed, by the word of rpm or dpkg.
        "package" Package(host::Package) => host::package,
        /// The PostgreSQL server takes connections. One that is starting up is waited for.
        "pg-ready" PgReady(database::Server) => database::ready,
        /// The resource runs, by the word of its OCF agent. Only "not running" is no; whatever else the agent says is *could not look*.
        "resource-active" ResourceActive(resource::Resource) => resource::active,
        /// The ownership record names this node, and this installation of it.
        "owns" Owns(guard::Record) => guard::owns,
        /// The boot guard is installed as it should be, and systemd has read it. Without systemd there is none.
        "boot-guarded" BootGuarded(guard::Guard) => guard::guarded,
        /// HAProxy sends new connections to the server. One that is just starting is waited for.
        "haproxy-up" HaproxyUp(haproxy::Server) => haproxy::up,
        /// HAProxy knows the server to be down, by its health check or because it was taken out.
        "haproxy-down" HaproxyDown(haproxy::Server) => haproxy::down,
        /// HAProxy has the server and checks its health: without that a dead one goes unnoticed.
        "haproxy-checked" HaproxyChecked(haproxy::Server) => haproxy::checked,
        /// Another server of the backend than this one is up.
        "haproxy-spare" HaproxySpare(haproxy::Server) => haproxy::spare,
        /// The server has no session left, and none waits for it.
        "haproxy-idle" HaproxyIdle(haproxy::Server) => haproxy::idle,
        /// HAProxy runs by its configuration as it stands in the file now.
        "haproxy-loaded" HaproxyLoaded(haproxy::Loaded) => haproxy::loaded,
        /// Who is out of service in these backends will be so, too, when HAProxy is started or reloaded.
        "haproxy-kept" HaproxyKept(haproxy::Backends) => haproxy::kept,
    }
}

catalogue! {
    /// A change by name: `run.OP`, `undo.OP`. Each brings its own look and its own undo.
    Action, recipe -> Recipe {
        /// Start the service. Undo stops it. Fails at once when there is no such service.
        "service-start" ServiceStart(service::Unit) => service::start,
        /// Stop the service. Undo starts it. One that does not exist is taken as stopped.
        "service-stop" ServiceStop(service::Unit) => service::stop,
        /// Start the service at boot. Undo disables it. Fails at once when there is no such service.
        "service-enable" ServiceEnable(service::Unit) => service::enable,
        /// Do not start the service at boot. Undo enables it. One that does not exist is taken as disabled.
        "service-disable" ServiceDisable(service::Unit) => service::disable,
        /// Restart the service; it must be active afterwards. There is nothing to undo.
        "service-restart" ServiceRestart(service::Unit) => service::restart,
        /// Add the address to the interface. Undo removes it. IPv6: waits for duplicate detection. Judged by the address, never by the label.
        "ip-add" IpAdd(network::Add) => network::add,
        /// Remove the address from every interface that has it; other addresses stay. Undo puts it back as it was.
        "ip-del" IpDel(network::Del) => network::del,
        /// Mount. Undo unmounts.
        "mount" Mount(storage::Mount) => storage::mount,
        /// Unmount. Undo mounts the same again.
        "umount" Umount(storage::Umount) => storage::umount,
        /// Make the path a symbolic link; what was there is kept beside it. Undo puts it back.
        "link" Link(storage::Link) => storage::link,
        /// Give the address its names in /etc/hosts. Undo brings the file back.
        "hosts-entry" HostsEntry(file::HostsEntry) => file::hosts,
        /// Add the line to the end of the file, if it is not in it. Undo brings the file back.
        "line-in-file" LineInFile(file::Line) => file::line,
        /// Add the addresses to listen_addresses of a postgresql.conf. Undo brings the file back.
        "pg-listen" PgListen(database::Listen) => database::listen,
        /// Give the node this name until it boots again. Undo gives it its former name.
        "hostname" Hostname(host::Hostname) => host::hostname,
        /// Make the address the first name server in /etc/resolv.conf, if it is not one of the first three. Undo brings the file back.
        "nameserver" Nameserver(file::Nameserver) => file::nameserver,
        /// Start the resource by its OCF agent, if the agent takes its parameters (`validate-all`). Undo stops it.
        "resource" Resource(resource::Resource) => resource::start,
        /// Stop the resource by its OCF agent. Undo starts it.
        "resource-stop" ResourceStop(resource::Resource) => resource::stop,
        /// Write into the ownership record that this node owns the system. Undo brings back what it said before, unless another node owns the system by then.
        "own" Own(guard::Record) => guard::own,
        /// Withdraw the ownership record, if it names this node. Undo brings it back, unless another node owns the system by then.
        "disown" Disown(guard::Record) => guard::disown,
        /// Let systemd start the units only where this node owns the system: at boot, by hand, always; no answer means stay down. Undo leaves what was there before. Without systemd it is skipped.
        "boot-guard" BootGuard(guard::Guard) => guard::install,
        /// Send the server no new connections; those it has may end. Undo makes it ready. Refuses when no other server of the backend is up.
        "haproxy-drain" HaproxyDrain(haproxy::Kept) => haproxy::drain,
        /// Take the server out (maintenance): no connections, no health checks. Undo has it as it was. Refuses when no other server of the backend is up.
        "haproxy-out" HaproxyOut(haproxy::Kept) => haproxy::out,
        /// Bring the server back; it must be up afterwards. Undo has it as it was, if another server of the backend is up.
        "haproxy-ready" HaproxyReady(haproxy::Kept) => haproxy::ready,
        /// End the server's sessions. There is nothing to undo.
        "haproxy-cut" HaproxyCut(haproxy::Server) => haproxy::cut,
        /// Have HAProxy reload its configuration; servers that are out of service stay so. Refuses when a backend would have no other. There is nothing to undo.
        "haproxy-load" HaproxyLoad(haproxy::Load) => haproxy::load,
        /// Cut the power of a node by the site's fence agents: `off` on every device, then the status of each must say off. Runs on this machine; cannot be undone.
        "fence" Fence(Fence) => |_: &Fence, _: &dyn Fill| Err("what it runs is the site's: see `[nodes.X.fence]`".into()),
    }
}
