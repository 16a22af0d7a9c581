//! `delayer IF-A IF-B MICROSECONDS`: two TUN devices joined with a fixed one-way delay per packet.
//!
//! Why it exists: what hawiz costs over a slow link must be measured over one, and not every kernel has netem. Ends when its
//! standard input does, so that it never outlives who started it.

use std::collections::VecDeque;
use std::ffi::CString;
use std::io::Read;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// From <linux/if_tun.h>.
const TUNSETIFF: libc::c_ulong = 0x400454ca;
const IFF_TUN: i16 = 1;
const IFF_NO_PI: i16 = 0x1000;

fn tun(name: &str) -> RawFd {
    let path = CString::new("/dev/net/tun").expect("no NUL in it");
    let mut request = [0u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..18].copy_from_slice(&(IFF_TUN | IFF_NO_PI).to_ne_bytes());
    // SAFETY: the path ends with NUL; the request is as long as the kernel's `struct ifreq` and outlives the call.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC | libc::O_NONBLOCK);
        assert!(fd >= 0, "/dev/net/tun: {}", std::io::Error::last_os_error());
        let set = libc::ioctl(fd, TUNSETIFF, request.as_mut_ptr());
        assert!(set == 0, "{name}: {}", std::io::Error::last_os_error());
        fd
    }
}

/// Carries packets in one direction. One thread, so that a packet costs a wake-up or two and not four: what is measured shares the
/// processors with this.
fn pump(from: RawFd, to: RawFd, delay: Duration) {
    // SAFETY: only this thread's timers: one microsecond of slack instead of fifty.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1000u64, 0, 0, 0) };
    let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut buffer = vec![0u8; 65536];
    loop {
        let now = Instant::now();
        while waiting.front().is_some_and(|(due, _)| *due <= now) {
            let (_, packet) = waiting.pop_front().expect("just seen");
            // SAFETY: the packet is ours and as long as it says. One that is not taken is lost, as packets are.
            unsafe { libc::write(to, packet.as_ptr().cast(), packet.len()) };
        }
        let left = waiting.front().map(|(due, _)| due.saturating_duration_since(now));
        let time = left.map(|d| libc::timespec { tv_sec: d.as_secs() as i64, tv_nsec: d.subsec_nanos().into() });
        let mut fd = libc::pollfd { fd: from, events: libc::POLLIN, revents: 0 };
        let until = time.as_ref().map_or(std::ptr::null(), |t| t as *const libc::timespec);
        // SAFETY: both pointers are to locals that outlive the call.
        unsafe { libc::ppoll(&mut fd, 1, until, std::ptr::null()) };
        loop {
            // SAFETY: the buffer is ours and as long as it says.
            let n = unsafe { libc::read(from, buffer.as_mut_ptr().cast(), buffer.len()) };
            let Ok(n @ 1..) = usize::try_from(n) else { break };
            if delay.is_zero() {
                // SAFETY: as above.
                unsafe { libc::write(to, buffer.as_ptr().cast(), n) };
            } else {
                waiting.push_back((Instant::now() + delay, buffer[..n].to_vec()));
            }
        }
        if fd.revents & libc::POLLERR != 0 {
            // The device is not up yet.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, a, b, delay] = &args[..] else {
        eprintln!("usage: delayer IF-A IF-B MICROSECONDS");
        std::process::exit(2);
    };
    let delay = Duration::from_micros(delay.parse().expect("microseconds"));
    let (a, b) = (tun(a), tun(b));
    std::thread::spawn(move || pump(a, b, delay));
    std::thread::spawn(move || pump(b, a, delay));
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
