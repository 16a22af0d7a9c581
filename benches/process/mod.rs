//! A program run to its end and measured, for all benches.
//!
//! Why it exists: what is compared must be taken in one way.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How a process ended: wall time, peak memory in MB (10^6 bytes), exit code.
pub struct Ran {
    pub wall: Duration,
    pub peak: f64,
    pub code: Option<i32>,
}

/// Runs a program to its end. Its own peak memory is asked of the kernel when it is reaped, which `std` does not pass on.
#[expect(clippy::zombie_processes, reason = "wait4 reaps it")]
pub fn run(mut command: Command) -> Ran {
    #[repr(C)]
    struct Usage {
        times: [i64; 4],
        maxrss: i64,
        rest: [i64; 13],
    }
    unsafe extern "C" {
        fn wait4(pid: i32, status: *mut i32, options: i32, usage: *mut Usage) -> i32;
    }
    let begun = Instant::now();
    let child = command.stdin(Stdio::null()).spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (mut status, mut usage) = (0, Usage { times: [0; 4], maxrss: 0, rest: [0; 13] });
    // SAFETY: both pointers are to locals that outlive the call; the struct is the kernel's of 64-bit Linux.
    let got = unsafe { wait4(child.id() as i32, &mut status, 0, &mut usage) };
    assert_eq!(got, child.id() as i32, "nobody else reaps it");
    let code = (status & 0x7f == 0).then_some((status >> 8) & 0xff);
    Ran { wall: begun.elapsed(), peak: usage.maxrss as f64 * 1024.0 / 1e6, code }
}
