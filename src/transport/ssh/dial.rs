//! The way to a host's port: TCP with its options, a channel of a bastion's connection, or the user's own ProxyCommand.
//!
//! Why it exists: libssh2 takes any socket, and sets none of the options without which a dead link is noticed after a quarter
//! of an hour and a small packet waits 40 ms for company. Invariant: every socket here does not block, is close-on-exec, and
//! nothing waits longer than its deadline.

use super::config::Family;
use super::connection::{Want, timespec};
use super::line::{Far, Near};
use super::{Board, Road, Through};
use crate::transport::{Trouble, local};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// For all addresses of a host together, where ssh_config has no ConnectTimeout.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes that nobody acknowledges break the connection after this long.
const UNHEARD: Duration = Duration::from_secs(20);

pub(super) struct Socket {
    pub fd: OwnedFd,
    /// What it is connected to, in words.
    pub address: String,
    tcp: bool,
    /// Ends with the socket.
    _command: Option<local::Piped>,
    /// The bastion's connection stands as long as this one.
    _bastion: Option<Arc<super::Kept>>,
}

impl Socket {
    /// For libssh2, which wants to own one.
    pub(super) fn same(&self) -> OwnedFd {
        self.fd.try_clone().expect("a descriptor can be doubled")
    }
    /// The kernel's word of what broke it, once.
    pub(super) fn error(&self) -> Option<Errno> {
        sockopt::socket_error(&self.fd).ok().and_then(Result::err)
    }
    /// Acknowledges at once what comes next: the server may wait for it, and the kernel forgets the wish.
    pub(super) fn quick(&self) {
        if self.tcp {
            let _ = sockopt::set_tcp_quickack(&self.fd, true);
        }
    }
}

/// A broken connection in words.
pub(super) fn broke(e: Errno) -> String {
    match e {
        Errno::TIMEDOUT => "the link is dead: nothing was acknowledged in time".into(),
        Errno::CONNRESET => "the other side cut the connection (reset)".into(),
        Errno::HOSTUNREACH | Errno::NETUNREACH => "there is no route to it any more".into(),
        Errno::PIPE => "the connection was closed by the other side".into(),
        e => format!("the connection broke: {}", said(&std::io::Error::from(e))),
    }
}

/// An error's text without Rust's "(os error N)".
fn said(e: &std::io::Error) -> String {
    let text = e.to_string();
    let plain = text.split(" (os error").next().unwrap_or(&text).trim().to_string();
    let mut chars = plain.chars();
    chars.next().map_or(String::new(), |c| c.to_lowercase().collect::<String>() + chars.as_str())
}

pub(super) fn reach(road: &Road, board: &Board) -> Result<Socket, Trouble> {
    match &road.through {
        Through::Direct => tcp(road),
        Through::Command(command) => {
            let (near, far) = pair()?;
            let piped = local::piped(command, far)
                .map_err(|e| Trouble::new(format!("its ProxyCommand `{command}` cannot be started: {}", said(&e))))?;
            let address = format!("`{command}`");
            Ok(Socket { fd: near, address, tcp: false, _command: Some(piped), _bastion: None })
        }
        Through::Bastion(kept, whom) => {
            // Its login may need a person, whose typing is nobody's delay.
            board.wait(kept.number, true).map_err(|t| Trouble { why: format!("through `{whom}`: {}", t.why), ..t })?;
            let (near, far) = pair()?;
            let input = far.try_clone().map_err(|e| Trouble::new(said(&e)))?;
            let (opened, answer) = channel();
            let near_ends = Near { input, output: far, errors: None, ended: Arc::default(), opened };
            let target = Far::Port(road.config.hostname.clone(), road.config.port);
            let asked = kept.ask(Want::Line(target, near_ends));
            let patience = road.config.connect_timeout.unwrap_or(CONNECT);
            let opened = if asked { answer.recv_timeout(patience).ok() } else { None };
            match opened {
                Some(Ok(())) => {}
                Some(Err(t)) => {
                    let why = if t.refused {
                        format!("`{whom}` does not forward to {} port {}", road.config.hostname, road.config.port)
                    } else {
                        format!("through `{whom}`: {}", t.why)
                    };
                    return Err(Trouble { why, ..t });
                }
                None => {
                    let secs = patience.as_secs();
                    return Err(Trouble::new(format!("through `{whom}`: it was not connected within {secs} s")));
                }
            }
            let address = format!("{} through {whom}", road.config.hostname);
            Ok(Socket { fd: near, address, tcp: false, _command: None, _bastion: Some(Arc::clone(kept)) })
        }
    }
}

fn pair() -> Result<(OwnedFd, OwnedFd), Trouble> {
    let made = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    );
    made.map_err(|e| Trouble::new(said(&e.into())))
}

fn tcp(road: &Road) -> Result<Socket, Trouble> {
    let (host, port) = (road.config.hostname.as_str(), road.config.port);
    let unknown = |e: &std::io::Error| said(e).replace("failed to lookup address information: ", "");
    let addresses = look_up(host, port)?.map_err(|e| {
        Trouble::new(format!("its name `{host}` is not known here ({})", unknown(&e)))
            .hint("write its address into the site file, or its name into the resolver")
    })?;
    let from = match road.config.bind_address.as_deref() {
        None => None,
        Some(from) => Some(Own { name: from, addresses: own(from).map_err(|e| not_ours(from, &unknown(&e)))? }),
    };
    let family = road.config.address_family;
    let fits = |a: &SocketAddr| match family {
        Family::Any => true,
        Family::V4 => a.is_ipv4(),
        Family::V6 => a.is_ipv6(),
    };
    let mut addresses: Vec<SocketAddr> = addresses.filter(fits).collect();
    addresses.dedup();
    let until = Instant::now() + road.config.connect_timeout.unwrap_or(CONNECT);
    let mut last = Trouble::new(format!("`{host}` has no address of the wanted family"));
    for (i, address) in addresses.iter().enumerate() {
        // A fair share for each of those that are left.
        let left = until.saturating_duration_since(Instant::now()) / (addresses.len() - i) as u32;
        match connect(address, from.as_ref(), Instant::now() + left) {
            Ok(fd) => {
                options(fd.as_fd()).map_err(|e| Trouble::new(said(&e.into())))?;
                let address = address.ip().to_string();
                return Ok(Socket { fd, address, tcp: true, _command: None, _bastion: None });
            }
            Err(Not::Connected(e)) => last = not_connected(&e.into(), address, road),
            Err(Not::Ours(t)) => last = t,
        }
    }
    Err(last)
}

/// `BindAddress`: the address of this machine that the connection is to come from.
struct Own<'a> {
    name: &'a str,
    addresses: Vec<SocketAddr>,
}

/// The resolver has no deadline of its own that anybody here could set.
fn look_up(host: &str, port: u16) -> Result<std::io::Result<std::vec::IntoIter<SocketAddr>>, Trouble> {
    // A plain address needs no resolver, and so no thread to wait for one.
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(Ok(vec![SocketAddr::new(ip, port)].into_iter()));
    }
    let (tell, told) = channel();
    let name = host.to_string();
    let asked = std::thread::Builder::new().spawn(move || {
        let _ = tell.send((name.as_str(), port).to_socket_addrs());
    });
    asked.map_err(|e| Trouble::new(format!("its name `{host}` cannot be looked up: {}", said(&e))))?;
    told.recv_timeout(CONNECT).map_err(|_| {
        let secs = CONNECT.as_secs();
        Trouble::new(format!("its name `{host}` was not found within {secs} s: the resolver does not answer"))
            .hint("write its address into the site file")
    })
}

fn own(name: &str) -> std::io::Result<Vec<SocketAddr>> {
    Ok((name, 0).to_socket_addrs()?.collect())
}

fn not_ours(name: &str, why: &str) -> Trouble {
    Trouble::new(format!("`BindAddress {name}` of ssh_config cannot be used here ({why})"))
        .hint("it must be an address of this machine, of the same family as the node's")
}

enum Not {
    Connected(Errno),
    /// It cannot come from where it is to come from.
    Ours(Trouble),
}
impl From<Errno> for Not {
    fn from(e: Errno) -> Not {
        Not::Connected(e)
    }
}

/// A connection that never blocks, made by then.
fn connect(to: &SocketAddr, from: Option<&Own>, until: Instant) -> Result<OwnedFd, Not> {
    let (family, same): (_, fn(&IpAddr) -> bool) = match to {
        SocketAddr::V4(_) => (AddressFamily::INET, IpAddr::is_ipv4),
        SocketAddr::V6(_) => (AddressFamily::INET6, IpAddr::is_ipv6),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // What hawiz says fits in the first window, and should leave at once: bbr, the default of many a server, lets two packets
    // out in 7 ms at a round trip of 100. Where cubic is not for everybody there is reno; where neither is, it works as well.
    let _ = sockopt::set_tcp_congestion(&fd, "cubic").or_else(|_| sockopt::set_tcp_congestion(&fd, "reno"));
    if let Some(Own { name, addresses }) = from {
        let Some(own) = addresses.iter().find(|a| same(&a.ip())) else {
            return Err(Not::Ours(not_ours(name, "it is of another family")));
        };
        rustix::net::bind(&fd, own).map_err(|e| Not::Ours(not_ours(name, &said(&e.into()))))?;
    }
    match rustix::net::connect(&fd, to) {
        Ok(()) => return Ok(fd),
        Err(Errno::INPROGRESS | Errno::INTR) => {}
        Err(e) => return Err(e.into()),
    }
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match poll(&mut [PollFd::new(&fd, PollFlags::OUT)], Some(&timespec(left))) {
            Ok(0) => return Err(Errno::TIMEDOUT.into()),
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    sockopt::socket_error(&fd)??;
    Ok(fd)
}

fn not_connected(e: &std::io::Error, address: &SocketAddr, road: &Road) -> Trouble {
    use std::io::ErrorKind;
    let (ip, port) = (address.ip(), address.port());
    match e.kind() {
        ErrorKind::ConnectionRefused => {
            Trouble::new(format!("nobody listens on port {port} of {ip} (connection refused)"))
                .hint("the machine is up, or something in front of it is; is sshd running there, on this port?")
        }
        ErrorKind::TimedOut | ErrorKind::WouldBlock => {
            let secs = road.config.connect_timeout.unwrap_or(CONNECT).as_secs();
            Trouble::new(format!("{ip} port {port} did not answer within {secs} s"))
                .hint("it is down, its address is wrong, or a firewall drops what is sent to it")
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            Trouble::new(format!("there is no route to {ip} ({})", said(e)))
                .hint("it is down or unplugged, or this machine's network does not lead there")
        }
        _ => Trouble::new(format!("cannot connect to {ip} port {port}: {}", said(e))),
    }
}

fn options(fd: rustix::fd::BorrowedFd<'_>) -> Result<(), Errno> {
    sockopt::set_tcp_nodelay(fd, true)?;
    sockopt::set_socket_keepalive(fd, true)?;
    sockopt::set_tcp_keepidle(fd, Duration::from_secs(5))?;
    sockopt::set_tcp_keepintvl(fd, Duration::from_secs(5))?;
    sockopt::set_tcp_keepcnt(fd, 3)?;
    sockopt::set_tcp_user_timeout(fd, UNHEARD.as_millis() as u32)?;
    sockopt::set_tcp_quickack(fd, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }
    fn from(name: &str) -> Own<'_> {
        Own { name, addresses: own(name).expect("an address") }
    }

    #[test]
    fn a_connection_comes_from_the_address_that_ssh_config_wants() {
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = server.local_addr().expect("its port");
        let Ok(_kept) = connect(&to, Some(&from("127.0.0.9")), soon()) else { panic!("not connected") };
        let (_, peer) = server.accept().expect("it came");
        assert_eq!(peer.ip().to_string(), "127.0.0.9");
        for (name, why) in [("192.0.2.1", "cannot assign requested address"), ("::1", "it is of another family")] {
            let Err(Not::Ours(t)) = connect(&to, Some(&from(name)), soon()) else { panic!("{name}") };
            assert_eq!(t.why, format!("`BindAddress {name}` of ssh_config cannot be used here ({why})"));
        }
    }

    #[test]
    fn a_refusal_is_heard_at_once_and_silence_ends_at_the_deadline() {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a port that was free");
        let Err(Not::Connected(e)) = connect(&port, None, soon()) else { panic!("somebody listens") };
        assert_eq!(e, Errno::CONNREFUSED);
        // A listener whose queue is full says nothing.
        let fd = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        rustix::net::bind(&fd, &"127.0.0.1:0".parse::<SocketAddr>().expect("an address")).expect("bound");
        rustix::net::listen(&fd, 0).expect("listens");
        let full = SocketAddr::try_from(rustix::net::getsockname(&fd).expect("a name")).expect("an address");
        let short = || Instant::now() + Duration::from_millis(150);
        let mut kept = Vec::new();
        let begun = Instant::now();
        let last = loop {
            match connect(&full, None, short()) {
                Ok(fd) => kept.push(fd),
                Err(Not::Connected(e)) => break e,
                Err(Not::Ours(t)) => panic!("{t}"),
            }
        };
        assert_eq!(last, Errno::TIMEDOUT);
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
