//! A booted host that is reached by SSH, and its power: cut at random moments, and hawiz goes on.
//!
//! `HAWIZ_CAMPAIGN=1` makes it longer; the seed is printed.

use crate::rig::{Lab, Said, ended, said};
use crate::support::{Dice, campaign};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const NODE: &str = "xcatmn1";
/// Steps, each of which leaves its line on the host's own disk.
const STEPS: [&str; 5] = ["one", "two", "three", "four", "five"];

/// hawiz on the operator's machine, with a key for the host's own sshd.
struct Operator<'l> {
    lab: &'l Lab,
    dir: PathBuf,
}

impl Operator<'_> {
    fn new(lab: &Lab) -> Operator<'_> {
        let dir = lab.run.join("operator");
        std::fs::create_dir(&dir).expect("the run is ours");
        let key = dir.join("key");
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.is_ok_and(|s| s.success()), "no ssh-keygen");
        let public = std::fs::read_to_string(dir.join("key.pub")).expect("it was made");
        lab.on(NODE, &format!("mkdir -m 700 -p /root/.ssh; echo '{}' >/root/.ssh/authorized_keys", public.trim()));
        lab.on(NODE, "systemctl enable --now ssh 2>/dev/null");
        let host = lab.on(NODE, "cat /etc/ssh/ssh_host_ed25519_key.pub");
        let put = |name: &str, text: String| std::fs::write(dir.join(name), text).expect("the run is ours");
        put("known", format!("10.5.106.70 {host}\n"));
        put(
            "config",
            format!("Host *\n  UserKnownHostsFile {0}/known\n  GlobalKnownHostsFile /dev/null\n", dir.display()),
        );
        put(
            "hawiz.toml",
            format!(
                "playbook = \"playbook.toml\"\n[nodes.{NODE}]\naddress = \"10.5.106.70\"\nuser = \"root\"\nidentity = \"{}\"\n",
                key.display()
            ),
        );
        let step = |name: &str| {
            format!(
                "[[go.step]]\nname = \"{name}\"\nundo.none = \"\"\nrun.sh = '''\nsleep 0.2\necho {name} >>/var/lab-trace\n\
                 sync /var/lab-trace\necho said\nsleep 0.4\n'''\n"
            )
        };
        let steps: String = STEPS.iter().map(|s| step(s)).collect();
        put("playbook.toml", format!("format = 1\ntitle = \"Counting\"\n[[go]]\nstage = \"Count\"\n{steps}"));
        Operator { lab, dir }
    }
    fn hawiz(&self, args: &[&str]) -> Command {
        let mut c = self.lab.place("wire", env!("CARGO_BIN_EXE_hawiz"));
        c.arg("--site").arg(self.dir.join("hawiz.toml")).arg("--state-dir").arg(self.dir.join("state")).args(args);
        for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("HAWIZ_")) {
            c.env_remove(name);
        }
        c.env("HAWIZ_SSH_CONFIG", self.dir.join("config"));
        c
    }
    fn records(&self) -> Vec<Value> {
        let runs = std::fs::read_dir(self.dir.join("state/runs")).into_iter().flatten().flatten();
        let run = runs.map(|e| e.path()).max();
        let text = run.and_then(|r| std::fs::read_to_string(r.join("journal.jsonl")).ok()).unwrap_or_default();
        text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
    }
    fn trace(&self) -> Vec<String> {
        self.lab.on(NODE, "cat /var/lab-trace 2>/dev/null || :").lines().map(String::from).collect()
    }
    /// As if nothing had ever happened.
    fn fresh(&self) {
        let _ = std::fs::remove_dir_all(self.dir.join("state"));
        self.lab.on(NODE, "rm -rf /var/lab-trace /var/lib/hawiz; sync");
    }
}

/// What a step's turn came to.
fn outcome<'r>(records: &'r [Value], step: &str) -> Option<&'r str> {
    let ended = |r: &&Value| {
        r["event"]["type"] == "step-finished"
            && r["event"]["step"].as_str().is_some_and(|s| s.contains(&format!("/{step}@")))
    };
    records.iter().rfind(ended).and_then(|r| r["event"]["outcome"]["is"].as_str())
}

#[test]
fn a_host_behind_ssh_whose_power_is_cut_at_any_moment_does_each_step_once_or_says_that_it_cannot_know() {
    let test = "a_host_behind_ssh_whose_power_is_cut_at_any_moment_does_each_step_once_or_says_that_it_cannot_know";
    let Some(lab) = Lab::new(test) else { return };
    let operator = Operator::new(&lab);
    let mut dice = Dice::new("power cuts");
    let cuts = if campaign() { 22 } else { 2 };
    let (mut whole, mut honest, mut stopped, mut seen) = (0, 0, 0, 0);
    for cut in 0..cuts {
        operator.fresh();
        let mut hawiz = operator.hawiz(&["run", "go", "--on", NODE, "--yes"]);
        let hawiz = hawiz.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("hawiz starts");
        let ms = 300 + dice.below(3_200);
        std::thread::sleep(Duration::from_millis(ms));
        lab.power(NODE, "off");
        std::thread::sleep(Duration::from_millis(dice.below(4_000)));
        lab.power(NODE, "on");
        let first = ended(hawiz, Duration::from_secs(150));
        assert!(matches!(first, Some(0 | 4 | 6 | 7)), "cut {cut} after {ms} ms: {first:?}");
        let mut last = Said { code: first, out: String::new() };
        for _ in 0..4 {
            if matches!(last.code, Some(0)) {
                break;
            }
            last = said(operator.hawiz(&["resume", "--yes"]));
            if last.code == Some(2) && operator.trace().is_empty() {
                last = said(operator.hawiz(&["run", "go", "--on", NODE, "--yes"]));
            }
            if last.code == Some(7) {
                break;
            }
        }
        let (trace, records) = (operator.trace(), operator.records());
        let why = || format!("cut {cut} after {ms} ms, first {first:?}, last {:?}, {trace:?}: {}", last.code, last.out);
        let mut unknown = 0;
        for step in STEPS {
            let times = trace.iter().filter(|l| *l == step).count();
            assert!(times <= 1, "{step} ran twice; {}", why());
            match outcome(&records, step) {
                Some("done") => assert_eq!(times, 1, "{step} is not done; {}", why()),
                Some("unknown") => unknown += 1,
                _ => {}
            }
        }
        // At most the one step that was running when the power went.
        match last.code {
            Some(0) => assert!(unknown == 0 && trace == STEPS, "{}", why()),
            Some(7) => assert_eq!(unknown, 1, "{}", why()),
            _ => panic!("{}", why()),
        }
        whole += usize::from(last.code == Some(0));
        honest += unknown;
        stopped += usize::from(first == Some(6));
        seen += usize::from(records.iter().any(|r| r["event"]["type"] == "link-lost"));
    }
    eprintln!(
        "{cuts} power cuts: {whole} whole after a resume, {honest} with one step unknown; {stopped} stopped between steps, {seen} lost the link in one"
    );
}
