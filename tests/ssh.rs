//! hawiz over a real `sshd`: every trap that was found with SSH, as a sentence.

#[allow(dead_code, reason = "shared with the tests of the session protocol")]
#[path = "session/world.rs"]
mod session;
#[path = "support/sshd.rs"]
mod sshd;

use hawiz::reach::{Claim, Greeting, Locked, Progress, Reach, Started, Truth};
use hawiz::session::Fleet;
use session::{SOON, claim, run, sent};
use sshd::{Server, Sshd, Wire};

/// A session with a server.
fn fleet(server: &Sshd) -> Fleet {
    Fleet::new(vec![server.node()], server.dir.clone()).tmpfs(true)
}

/// A session that holds the lock.
fn locked(server: &Sshd) -> (Fleet, Greeting) {
    let mut fleet = fleet(server);
    let greeting = fleet.greet("n").unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(fleet.lock("n", "r", "m", "me@here, pid 1"), Ok(Locked::Ours));
    (fleet, greeting)
}

/// The end of a step, whatever it said before.
fn until_over(fleet: &mut Fleet, claim: &Claim) -> Progress {
    loop {
        match fleet.poll("n", claim, SOON) {
            Progress::Output(..) | Progress::Quiet => {}
            end => return end,
        }
    }
}

/// What a look on it prints.
fn says(fleet: &mut Fleet, script: &str) -> String {
    let reply = fleet.look("n", &sent(script), SOON).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(reply.code, Some(0), "{reply:?}");
    reply.out.lossy()
}

#[test]
fn looks_and_steps_over_ssh_tell_output_and_code_apart() {
    let Some(server) = Server::default().start() else { return };
    let (mut fleet, hello) = locked(&server);
    for _ in 0..3 {
        let reply = fleet.look("n", &sent("echo out; echo err >&2; printf end; exit 3"), SOON).expect("a session");
        assert_eq!((reply.code, reply.out.lossy(), reply.err.lossy()), (Some(3), "out\nend".into(), "err\n".into()));
    }
    let ended = run(&mut fleet, &claim(&hello.boot, "start", 1), &sent("echo out; echo err >&2; exit 4"));
    assert_eq!((ended.end, &ended.out[..], &ended.err[..]), (Progress::Done(4), &b"out\n"[..], &b"err\n"[..]));
    fleet.unlock("n", "r").expect("it was ours");
}

#[test]
fn a_node_that_was_rebooted_says_so() {
    let Some(mut server) = Server::default().net().start() else { return };
    let Some(wire) = Wire::new() else { return };
    wire.join(&mut server, 1);
    wire.inside(|| {
        let (mut fleet, hello) = locked(&server);
        assert_eq!(says(&mut fleet, "id -u; cat /proc/sys/kernel/random/boot_id"), format!("0\n{}\n", hello.boot));
        let c = claim(&hello.boot, "long", 1);
        assert_eq!(fleet.start("n", &c, &sent("sleep 60")), Started::Running);
        server.reboot();
        assert!(matches!(until_over(&mut fleet, &c), Progress::Lost(_)));
        let rebooted = Truth::Unknown("the node was rebooted while it ran".into());
        assert_eq!(fleet.truth("n", &c), Ok(rebooted));
        fleet.forget("n");
        assert_ne!(fleet.greet("n").expect("it is up again").boot, hello.boot);
    });
}
