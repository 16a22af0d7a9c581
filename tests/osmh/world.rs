//! A real HAProxy with the three ports of the table, two stations behind it, and clients that never stop asking.
//!
//! Why it exists: that a drain loses no request is HAProxy's doing; only HAProxy can say whether it was told rightly. All of
//! it is rootless and on loopback: the stations are 127.0.0.2 and 127.0.0.3 with the same ports, as the document wants it.
//! Invariant: whatever is started here is ended here, by the pid that was kept.

use crate::support::World;
use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub const BACKENDS: [&str; 3] = ["be_proxy", "be_mirror_http", "be_mirror_https"];
const IPS: [&str; 2] = ["127.0.0.2", "127.0.0.3"];

/// Looks again until it is so; a minute at most.
#[track_caller]
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < end, "still not: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Why this cannot be had here; said aloud.
pub fn skipped() -> bool {
    for tool in ["haproxy", "openssl", "python3", "curl", "socat", "ss"] {
        if !there(tool) {
            println!("skipped: no {tool} here");
            return true;
        }
    }
    false
}

pub fn path() -> String {
    format!("{}:/usr/local/sbin:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into()))
}

fn there(tool: &str) -> bool {
    path().split(':').any(|d| fs::metadata(format!("{d}/{tool}")).is_ok_and(|m| m.permissions().mode() & 0o111 != 0))
}

// ---------------------------------------------------------------- a station

/// One answer a connection, each shaken hands with in a thread of its own.
const TLS: &str = r#"
import http.server, ssl, sys
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    def finish_request(self, request, client):
        try: super().finish_request(context.wrap_socket(request, server_side=True), client)
        except OSError: pass
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *words): pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[3], sys.argv[4])
Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"#;

/// A gate that downloads wait at.
#[derive(Default)]
struct Hold(Mutex<bool>, Condvar);

/// Two ports that speak HTTP here, and one of another program that speaks TLS.
pub struct Station {
    ip: &'static str,
    ports: [u16; 3],
    stop: Arc<AtomicBool>,
    /// The connections that are open, by number.
    taken: Arc<Mutex<HashMap<u64, TcpStream>>>,
    hold: Arc<Hold>,
    doors: Vec<JoinHandle<()>>,
    tls: Child,
}

impl Station {
    fn start(name: char, ip: &'static str, ports: [u16; 3], dir: &std::path::Path) -> Station {
        let (stop, taken, hold) =
            (Arc::<AtomicBool>::default(), Arc::<Mutex<HashMap<_, _>>>::default(), Arc::<Hold>::default());
        let doors = ports[..2]
            .iter()
            .map(|&port| {
                let door = TcpListener::bind((ip, port)).expect("the port was free a moment ago");
                let (stop, taken, hold) = (stop.clone(), taken.clone(), hold.clone());
                thread::spawn(move || {
                    for (n, stream) in (0..).zip(door.incoming()) {
                        let Ok(stream) = stream else { continue };
                        if stop.load(Ordering::SeqCst) {
                            break;
                        }
                        let n = n << 16 | u64::from(port);
                        let copy = stream.try_clone().expect("one more handle");
                        taken.lock().expect("nobody fails with it").insert(n, copy);
                        let (hold, taken) = (hold.clone(), taken.clone());
                        thread::spawn(move || {
                            serve(name, stream, &hold);
                            taken.lock().expect("nobody fails with it").remove(&n);
                        });
                    }
                })
            })
            .collect();
        let tls = Command::new("python3")
            .args(["-c", TLS, ip, &ports[2].to_string()])
            .args([dir.join("cert.pem"), dir.join("key.pem")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 was found");
        // HAProxy takes a server to be up until its first check.
        until("the TLS port listens", || TcpStream::connect((ip, ports[2])).is_ok());
        Station { ip, ports, stop, taken, hold, doors, tls }
    }
    /// Lets every download go on to its end.
    pub fn release(&self) {
        *self.hold.0.lock().expect("nobody fails with it") = true;
        self.hold.1.notify_all();
    }
    /// As if its power were cut: nothing listens, what was open is gone.
    pub fn die(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for port in &self.ports[..2] {
            drop(TcpStream::connect((self.ip, *port)));
        }
        self.doors.drain(..).for_each(|d| d.join().expect("a door only closes"));
        for (_, stream) in self.taken.lock().expect("nobody fails with it").drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.release();
        let _ = self.tls.kill();
        let _ = self.tls.wait();
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        self.die();
    }
}

/// Requests of one connection. `/hold` is a long download: its second half comes when it is released.
fn serve(name: char, mut stream: TcpStream, hold: &Hold) {
    let mut head = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let long = head.starts_with(b"GET /hold");
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", if long { 2 } else { 1 });
        if long {
            let mut open = hold.0.lock().expect("nobody fails with it");
            while !*open {
                open = hold.1.wait(open).expect("nobody fails with it");
            }
            let _ = stream.write_all(&[name as u8]);
        }
        head.clear();
    }
}

// ---------------------------------------------------------------- the world

pub struct Site {
    pub world: World,
    /// Short: a socket's path has 107 characters.
    pub dir: PathBuf,
    pub ports: [u16; 3],
    pub stations: Vec<Station>,
}

/// Three ports that are free on the load balancer's and both stations' addresses.
fn ports() -> [u16; 3] {
    let mut found = Vec::new();
    while found.len() < 3 {
        let one = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = one.local_addr().expect("it is bound").port();
        if !found.contains(&port) && IPS.iter().all(|ip| TcpListener::bind((*ip, port)).is_ok()) {
            found.push(port);
        }
    }
    [found[0], found[1], found[2]]
}

impl Site {
    /// Stations that run, and HAProxy with nothing but its socket.
    pub fn bare() -> Site {
        let site = Site::unplugged();
        site.systemctl(&["start", "haproxy"]);
        site
    }
    fn unplugged() -> Site {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("hz-osmh-{}-{n}", std::process::id()));
        fs::create_dir_all(dir.join("bin")).expect("a folder of our own");
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let playbook = fs::read_to_string(root.join("playbooks/osmh.toml")).expect("the playbook is shipped");
        let mut world = World::new(&playbook);
        world.env.push(("PATH".into(), format!("{}:{}", dir.join("bin").display(), path())));
        let mut site = Site { world, dir, ports: ports(), stations: Vec::new() };
        site.tools();
        let certificate = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=loadbalancer.example.com", "-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(&site.dir)
            .output()
            .expect("openssl was found");
        assert!(certificate.status.success(), "{}", String::from_utf8_lossy(&certificate.stderr));
        site.hawiz_toml("haproxy", "");
        let text = format!(
            "global\n  stats socket {0}/admin.sock mode 600 level admin\n  pidfile {0}/pid\n\
             defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n  timeout check 5s\n\
             listen keeps-it-going\n  bind unix@{0}/idle.sock\n",
            site.dir.display()
        );
        fs::write(site.dir.join("haproxy.cfg"), text).expect("the folder is ours");
        for i in 0..2 {
            site.boot(i);
        }
        site
    }
    /// All of it configured, both stations up.
    pub fn new() -> Site {
        let site = Site::unplugged();
        let mut text = fs::read_to_string(site.dir.join("haproxy.cfg")).expect("it was written");
        for (backend, port) in BACKENDS.iter().zip(site.ports) {
            text += &format!(
                "frontend fe_{backend}\n  bind 127.0.0.1:{port}\n  default_backend {backend}\nbackend {backend}\n"
            );
            for (name, ip) in ["StationA", "StationB"].iter().zip(IPS) {
                text += &format!("  server {name} {ip}:{port} check inter 200ms fall 2 rise 1\n");
            }
        }
        fs::write(site.dir.join("haproxy.cfg"), text).expect("the folder is ours");
        site.systemctl(&["start", "haproxy"]);
        until("both stations are up", || site.states() == UP);
        site
    }
    /// The site file, with more inputs.
    pub fn hawiz_toml(&self, kind: &str, more: &str) {
        let (w, d) = (self.world.dir.display(), self.dir.display());
        let [proxy, http, https] = self.ports;
        let node = |name: &str, more: &str| {
            format!("[nodes.{name}]\nvia = [\"env\", \"NODE={name}\", \"sh\"]\nstate = \"{w}/state/{name}\"\n{more}\n")
        };
        let mut text = format!(
            "playbook = \"playbook.toml\"\n[inputs]\nlb_kind = \"{kind}\"\nlb_host = \"127.0.0.1\"\nlb_bind = \"127.0.0.1\"\n\
             lb_socket = \"{d}/admin.sock\"\nlb_config = \"{d}/haproxy.cfg\"\nlb_keep = \"{d}/keep\"\nproxy_port = {proxy}\nhttp_port = {http}\n\
             https_port = {https}\nshared_mirror = false\nmirror_path = \"{w}/w\"\npermitted = \"127.0.0.0/8\"\n\
             rsp = \"{w}/input.rsp\"\nagent_setup = \"{d}/bin/agent-setup\"\ninstance_setup = \"{d}/instance-setup.sh\"\n{more}"
        );
        text += &node("StationA", "address = \"127.0.0.2\"");
        text += &node("StationB", "address = \"127.0.0.3\"");
        text += &node("lb", "group = \"lb\"\naddress = \"127.0.0.1\"");
        text += &node("web1", "group = \"instance\"");
        self.world.put("hawiz.toml", &text);
    }
    /// Stand-ins for what needs root: `systemctl` for HAProxy (really started, really loaded anew) and the agent.
    fn tools(&self) {
        let d = self.dir.display();
        self.tool(
            "systemctl",
            &format!(
                "echo \"$*\" >>{d}/systemctl.log\ncase \"$*\" in\n\
                 *haproxy*) here={d}/pid ;; *) here={d}/agent ;; esac\n\
                 alive() {{ [ -s \"$here\" ] && kill -0 \"$(cat \"$here\")\" 2>/dev/null; }}\n\
                 case $1 in\nshow) echo LoadState=loaded; if alive; then echo ActiveState=active; else echo ActiveState=inactive; fi ;;\n\
                 is-active) if alive; then echo active; else echo inactive; exit 3; fi ;;\n\
                 start) haproxy -W -D -f {d}/haproxy.cfg >{d}/haproxy.log 2>&1 ;;\nstop) kill \"$(cat {d}/pid)\"; while alive; do sleep .05; done; rm {d}/pid ;;\nreload | try-reload-or-restart) kill -USR2 \"$(cat {d}/pid)\" ;;\n*) exit 1 ;;\nesac\n"
            ),
        );
        // It takes the file as the real one does, and notes what it found.
        self.tool(
            "agent-setup",
            &format!("file=${{1#opts=}}\nls -l \"$file\" | cut -c1-10 >{d}/agent.saw\ncat \"$file\" >>{d}/agent.saw\necho {} >{d}/agent\n", std::process::id()),
        );
    }
    pub fn tool(&self, name: &str, body: &str) {
        let path = self.dir.join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}")).expect("the folder is ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    pub fn systemctl(&self, args: &[&str]) {
        let done = Command::new(self.dir.join("bin/systemctl")).args(args).env("PATH", path()).status();
        assert!(done.expect("it was written").success(), "{args:?}");
    }
    /// Station 0 or 1 comes (back) to life.
    pub fn boot(&mut self, i: usize) {
        let station = Station::start(['A', 'B'][i], IPS[i], self.ports, &self.dir);
        match self.stations.get_mut(i) {
            Some(old) => *old = station,
            None => self.stations.push(station),
        }
    }
    /// What HAProxy says of each server: backend, name, operational and administrative state.
    pub fn states(&self) -> String {
        self.ask("show servers state")
            .lines()
            .map(|l| l.split(' ').collect::<Vec<_>>())
            .filter(|w| w.len() > 15 && w[0] != "#")
            .map(|w| format!("{} {} {} {}\n", w[1], w[3], w[5], w[6]))
            .collect()
    }
    /// Whether the station is so (`2 0` is up) in all three backends.
    pub fn all(&self, station: &str, state: &str) -> bool {
        let all = self.states();
        BACKENDS.iter().all(|b| all.contains(&format!("{b} {station} {state}\n")))
    }
    pub fn ask(&self, what: &str) -> String {
        let Ok(mut socket) = std::os::unix::net::UnixStream::connect(self.dir.join("admin.sock")) else {
            return String::new();
        };
        let mut said = String::new();
        let asked = writeln!(socket, "{what}").and_then(|()| socket.read_to_string(&mut said));
        if asked.is_ok() { said } else { String::new() }
    }
    /// A download that is half through, from this station.
    pub fn download(&self, from: char) -> TcpStream {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            assert!(Instant::now() < end, "no connection came to {from}");
            let mut stream = TcpStream::connect(("127.0.0.1", self.ports[1])).expect("HAProxy listens");
            stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a deadline");
            stream.write_all(b"GET /hold HTTP/1.1\r\nHost: lb\r\n\r\n").expect("it takes a request");
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            if stream.read(&mut byte).is_ok_and(|n| n == 1) && byte[0] == from as u8 {
                return stream;
            }
        }
    }
}

pub const UP: &str = "be_proxy StationA 2 0\nbe_proxy StationB 2 0\nbe_mirror_http StationA 2 0\nbe_mirror_http StationB 2 0\n\
                      be_mirror_https StationA 2 0\nbe_mirror_https StationB 2 0\n";

impl Drop for Site {
    fn drop(&mut self) {
        self.stations.clear();
        let pid = fs::read_to_string(self.dir.join("pid")).ok().and_then(|p| p.trim().parse().ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

// ---------------------------------------------------------------- clients

/// One client a port, each asking again and again over connections of their own.
pub struct Clients {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub a: u32,
    pub b: u32,
    pub tls: u32,
    pub lost: Vec<String>,
    /// Requests that have ended, by port.
    pub ended: [u32; 3],
}

impl Clients {
    pub fn start(site: &Site) -> Clients {
        let (stop, seen) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Seen>>::default());
        let threads = (0..3)
            .map(|i| {
                let (stop, seen, port) = (stop.clone(), seen.clone(), site.ports[i]);
                thread::spawn(move || {
                    while !stop.load(Ordering::SeqCst) {
                        let answer = if i == 2 { curl(port) } else { get(port) };
                        let mut seen = seen.lock().expect("nobody fails with it");
                        match answer {
                            Ok('A') => seen.a += 1,
                            Ok('B') => seen.b += 1,
                            Ok(_) => seen.tls += 1,
                            Err(why) => seen.lost.push(format!("port {port}: {why}")),
                        }
                        seen.ended[i] += 1;
                        drop(seen);
                        thread::sleep(Duration::from_millis(2));
                    }
                })
            })
            .collect();
        Clients { stop, seen, threads }
    }
    pub fn seen(&self) -> Seen {
        self.seen.lock().expect("nobody fails with it").clone()
    }
    /// Until whatever was under way has ended: a request that hangs at a dead station is lost later than the station.
    pub fn settle(&self) {
        let then = self.seen().ended;
        until("what was under way has ended", || {
            self.seen().ended.iter().zip(then).all(|(now, then)| *now >= then + 2)
        });
    }
    /// Fifty requests more, each port among them.
    pub fn go_on(&self) {
        let then = self.seen();
        until("the clients go on", || {
            let now = self.seen();
            now.a + now.b >= then.a + then.b + 50 && now.tls >= then.tls + 3 || now.lost.len() > then.lost.len() + 20
        });
    }
    /// They stop; none of their requests was lost.
    #[track_caller]
    pub fn lost_none(self) {
        let seen = self.stop();
        assert_eq!(seen.lost, [""; 0], "of {} requests", seen.a + seen.b + seen.tls);
    }
    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().for_each(|t| t.join().expect("a client only counts"));
        self.seen.lock().expect("nobody fails with it").clone()
    }
}

fn get(port: u16) -> Result<char, String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(|e| e.to_string())?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n").map_err(|e| e.to_string())?;
    let mut said = Vec::new();
    let mut byte = [0];
    loop {
        if stream.read(&mut byte).map_err(|e| e.to_string())? == 0 {
            return Err(format!("it ended after {} bytes", said.len()));
        }
        said.push(byte[0]);
        if let Some(body) = said.strip_prefix(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
            && let [one] = body
        {
            return Ok(*one as char);
        }
    }
}

fn curl(port: u16) -> Result<char, String> {
    let url = format!("https://127.0.0.1:{port}/");
    let out = Command::new("curl").args(["-ksS", "--noproxy", "*", "-m", "30", "-o", "/dev/null", &url]).output();
    let out = out.map_err(|e| e.to_string())?;
    if out.status.success() { Ok('-') } else { Err(String::from_utf8_lossy(&out.stderr).trim().to_string()) }
}
