//! `delayer IF-A IF-B MICROSECONDS`: two TUN devices joined with a fixed one-way delay per packet.
//!
//! Why it exists: what hawiz costs over a slow link must be measured over one, and not every kernel has netem. Ends when its
//! standard input does, so that it never outlives who started it.

use std::ffi::CString;
use std::io::Read;
use std::os::fd::RawFd;
use std::sync::mpsc;
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
        let fd = libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        assert!(fd >= 0, "/dev/net/tun: {}", std::io::Error::last_os_error());
        let set = libc::ioctl(fd, TUNSETIFF, request.as_mut_ptr());
        assert!(set == 0, "{name}: {}", std::io::Error::last_os_error());
        fd
    }
}

fn pump(from: RawFd, to: RawFd, delay: Duration) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    std::thread::spawn(move || {
        let mut buffer = vec![0u8; 65536];
        loop {
            // SAFETY: the buffer is ours and as long as it says.
            let n = unsafe { libc::read(from, buffer.as_mut_ptr().cast(), buffer.len()) };
            if n <= 0 {
                // The device is not up yet.
                std::thread::sleep(Duration::from_millis(5));
            } else if sender.send((Instant::now() + delay, buffer[..n as usize].to_vec())).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        // SAFETY: only this thread's timers: one microsecond of slack instead of fifty.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1000u64, 0, 0, 0) };
        for (due, packet) in receiver {
            let now = Instant::now();
            if due > now {
                std::thread::sleep(due - now);
            }
            // SAFETY: as above. A packet that is not taken is lost, as packets are.
            unsafe { libc::write(to, packet.as_ptr().cast(), packet.len()) };
        }
    });
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, a, b, delay] = &args[..] else {
        eprintln!("usage: delayer IF-A IF-B MICROSECONDS");
        std::process::exit(2);
    };
    let delay = Duration::from_micros(delay.parse().expect("microseconds"));
    let (a, b) = (tun(a), tun(b));
    pump(a, b, delay);
    pump(b, a, delay);
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
