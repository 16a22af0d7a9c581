//! A script laid ready on a node, for a program that gets the operator's terminal there.
//!
//! Why it exists: the terminal is the program's keyboard, so nothing else can travel beside it. Invariant: it is laid by the same
//! claim that lets a step start at most once; nothing of it runs here.

use super::door::PROMPTLY;
use super::seat::Seat;
use super::wire::{now, random};
use crate::reach::{Claim, Progress, Sent, Started};
use std::time::Duration;

/// A script on a terminal has the login's world, as far as the session would change it: where it stands and where programs of
/// the administrator are.
const WORLD: &str = "cd /\nPATH=${PATH:+$PATH:}/usr/local/sbin:/usr/sbin:/sbin\nexport PATH\n";
/// Keeps what it reads and says where that lies: its own kept output. Without claims there is none; then a file that removes
/// itself when it is started.
///
/// mksh has a pipe for its own standard output while it starts what is substituted, so that is asked of a copy.
const LAY: &str = r#"umask 077
exec 4>&1
hz_f=$(ls -l "/proc/$$/fd/4")
hz_f=${hz_f##*-> }
case $hz_f in
/*.out) cat ;;
*)
  hz_f=/tmp/hawiz-@NONCE@
  set -C
  { echo 'rm -f -- "$0"'; cat; } >"$hz_f"
  ;;
esac
printf '%s
' "$hz_f" >&2
"#;

impl Seat {
    /// The claim's own record holds the script: where another run takes the lock over, the file is gone before it starts.
    pub fn lay(&mut self, claim: &Claim, sent: &Sent) -> Result<String, String> {
        let script = [WORLD.as_bytes(), &sent.script].concat();
        let lay = LAY.replace("@NONCE@", &random(8)).into_bytes();
        match self.start(claim, &Sent { script: lay, stdin: Some(script), secret: false }) {
            Started::Running => {}
            Started::Refused(why) | Started::Lost(why) => return Err(why),
        }
        let until = now() + PROMPTLY;
        let mut said = Vec::new();
        while now() < until {
            match self.poll(claim, Duration::from_secs(1)) {
                // The script, as it is kept.
                Progress::Output(false, _) | Progress::Quiet => {}
                Progress::Output(true, bytes) => said.extend(bytes),
                Progress::Refused(why) | Progress::Lost(why) => return Err(why),
                Progress::Done(code) => {
                    let said = String::from_utf8_lossy(&said).trim().to_string();
                    return if code == 0 && said.starts_with('/') { Ok(said) } else { Err(said) };
                }
            }
        }
        Err("the node did not answer".into())
    }
}
