//! A booted environment of OS Management Hub: what hawiz is told there, what a person does, and what the hosts themselves say.
//!
//! Why it exists: that nothing was changed must not be hawiz's own word. A [`Hub::picture`] is made of HAProxy's state and
//! configuration, of units as systemd has them, and of both programs' logs; two that are equal show that nobody did anything.

use crate::paper;
use crate::rig::{Lab, PATIENCE, Person, Said, said, text, whole};
use crate::station::{Station, Way, stations};
use crate::support::Dice;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

pub const BACKENDS: [&str; 3] = ["be_proxy", "be_mirror_http", "be_mirror_https"];
pub const STATIONS: [&str; 2] = ["sta", "stb"];
pub const KEY: &str = "key-of-keys-17";
/// What a person answers who has done all that is asked for.
const ANSWERS: &str = "[manual]\n\
    \"setup/mount-the-mirror-s-storage/mount\" = \"done\"\n\
    \"setup/create-and-register-the-stations/create\" = \"done\"\n\
    \"setup/create-the-profile/profile\" = \"done\"\n\
    \"reconfigure/change-the-stations/edit\" = \"done\"\n\
    \"instance/switch-target/switch\" = \"done\"\n";
pub const SETUP: [&str; 4] = ["setup", "--on", "sta", "--yes"];

/// What a person is asked for, and how it is done.
pub type Chore<'h> = (String, Box<dyn Fn() + 'h>);

pub struct Hub<'l> {
    pub lab: &'l Lab,
    pub desk: Station<'l>,
}

/// Looks again until it is so.
#[track_caller]
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < end, "still not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl<'l> Hub<'l> {
    pub fn new(lab: &'l Lab, way: Way) -> Hub<'l> {
        let [desk, _] = stations(lab, way, "../../playbooks/osmh.toml");
        let hub = Hub { lab, desk };
        std::fs::write(hub.answers(), ANSWERS).expect("the run's folder is ours");
        hub
    }
    fn answers(&self) -> PathBuf {
        self.lab.run.join("answers.toml")
    }
    pub fn hawiz(&self, args: &[&str]) -> Command {
        self.hawiz_with(args, ["setup", "resume", "run"].contains(&args[0]))
    }
    fn hawiz_with(&self, args: &[&str], answers: bool) -> Command {
        let mut hawiz = self.desk.hawiz(args);
        hawiz.env("HAWIZ_SECRET_MACS_KEY", KEY);
        if answers {
            hawiz.arg("--answers").arg(self.answers());
        }
        hawiz
    }
    pub fn say(&self, args: &[&str]) -> Said {
        said(self.hawiz(args))
    }

    pub fn without_answers(&self, args: &[&str]) -> Said {
        said(self.hawiz_with(args, false))
    }

    // ------------------------------------------------------------ what a person does

    /// What `setup` asks for.
    pub fn chores(&self) -> Vec<Chore<'_>> {
        let mut all: Vec<Chore> = Vec::new();
        for s in STATIONS {
            all.push((format!("On {s}: mount the volume"), Box::new(move || self.mount(s))));
        }
        for s in STATIONS {
            all.push((format!("Then, on {s}, register it"), Box::new(move || self.register(s))));
        }
        all.push(("create the profile ha".into(), Box::new(|| ())));
        all
    }
    /// The same for what a roll-back asks for.
    pub fn chores_undone(&self) -> Vec<Chore<'_>> {
        let agent = "systemctl disable -q --now mgmt_agent; rm /opt/oracle/mgmt_agent/gateway";
        let mut all: Vec<Chore> = Vec::new();
        all.push(("uninstall the Management Agent".into(), Box::new(|| drop(self.lab.on("web1", agent)))));
        all.push(("delete the profile ha".into(), Box::new(|| ())));
        for s in ["stb", "sta"] {
            all.push((format!("On {s}: unregister the station"), Box::new(move || self.unregister(s))));
        }
        for s in ["stb", "sta"] {
            all.push((format!("On {s}: unmount"), Box::new(move || self.unmount(s))));
        }
        all
    }
    pub fn mount(&self, station: &str) {
        self.lab.on(
            station,
            "echo '/volume /mnt/mirror none bind 0 0' >/etc/fstab; systemctl daemon-reload; mount /mnt/mirror",
        );
    }
    pub fn unmount(&self, station: &str) {
        self.lab.on(station, ": >/etc/fstab; umount /mnt/mirror; systemctl daemon-reload");
    }
    pub fn register(&self, station: &str) {
        self.lab.on(station, "systemctl enable -q --now osmh-station");
    }
    /// As the console would: from now on the stations listen on these ports.
    pub fn listen_on(&self, ports: &str) {
        STATIONS.iter().for_each(|s| self.listens_on(s, ports));
    }
    pub fn listens_on(&self, station: &str, ports: &str) {
        self.lab.on(station, &format!("echo {ports} >/etc/osmh-ports; systemctl restart osmh-station"));
    }
    /// A person tells HAProxy by its socket, without hawiz.
    pub fn tell(&self, station: &str, state: &str) {
        for backend in BACKENDS {
            let name = if station == "sta" { "StationA" } else { "StationB" };
            let order = format!("set server {backend}/{name} state {state}");
            self.lab.on("lb", &format!("echo '{order}' | socat stdio /run/haproxy/admin.sock"));
        }
    }
    pub fn unregister(&self, station: &str) {
        self.lab.on(station, "systemctl disable -q --now osmh-station");
    }
    /// All of it set up, and both stations up.
    pub fn set_up(&self) {
        for station in STATIONS {
            self.mount(station);
            self.register(station);
        }
        self.say(&SETUP).ends(0);
        self.both_serve();
    }

    // ------------------------------------------------------------ what is so

    /// What HAProxy says of each server, a line each: backend, station, operational and administrative state.
    pub fn states(&self) -> String {
        let ask = "echo 'show servers state' | socat stdio /run/haproxy/admin.sock 2>&1 | \
                   awk 'NF > 14 && !/^#/ { sub(\"Station\", \"st\", $4); print $2, tolower($4), $6, $7 }'";
        self.lab.on("lb", ask)
    }
    /// The same of one station.
    pub fn states_of(&self, station: &str) -> Vec<String> {
        let station = format!(" {station} ");
        self.states().lines().filter(|l| l.contains(&station)).map(String::from).collect()
    }
    fn all(&self, station: &str, state: &str) -> bool {
        let states = self.states();
        BACKENDS.iter().all(|b| states.lines().any(|l| l == format!("{b} {station} {state}")))
    }
    pub fn serves(&self, station: &str) -> bool {
        self.all(station, "2 0")
    }
    pub fn is_out(&self, station: &str) -> bool {
        self.all(station, "0 1")
    }
    pub fn is_dead(&self, station: &str) -> bool {
        self.all(station, "0 0")
    }
    #[track_caller]
    pub fn both_serve(&self) {
        until("both stations serve", || self.serves("sta") && self.serves("stb"));
    }
    /// Everything that a change would change, as the hosts tell it. What HAProxy logs of connections is left out.
    pub fn picture(&self) -> String {
        let units = |units: &str| {
            format!(
                "systemctl show {units} -p Id,ActiveState,UnitFileState,InvocationID,MainPID,NRestarts; \
                 journalctl -q -o cat -u {} | grep -v ' \\[[0-9]*/[A-Z]' || :; ",
                units.replace(' ', " -u ")
            )
        };
        let files =
            "stat -c '%n %y %a %s' /etc/haproxy/* /etc/fstab /tmp/* /root/* 2>/dev/null; findmnt -n /mnt/mirror; ";
        let lb =
            units("haproxy") + files + "cksum /etc/haproxy/haproxy.cfg; stat -c '%n %y %i' /var/lib/haproxy/*.state";
        let mut all =
            format!("{}\n{}", if self.socket() { self.states() } else { String::new() }, self.seen("lb", &lb));
        for station in STATIONS {
            all += &self.seen(station, &(units("osmh-station") + files));
        }
        all + &self.seen("web1", &(units("mgmt_agent") + files + "cat /var/log/instance-setup.log 2>/dev/null"))
    }
    fn socket(&self) -> bool {
        self.lab.inside("lb", "systemctl is-active -q haproxy").status.success()
    }
    /// What hawiz keeps on the hosts.
    fn kept(&self) -> String {
        let list = "find /var/lib/hawiz -printf '%p %T@\\n' 2>/dev/null | sort";
        ["lb", "sta", "stb", "web1"].map(|n| self.seen(n, list)).concat()
    }
    /// What a host prints; also one that has no power.
    fn seen(&self, node: &str, shell: &str) -> String {
        let out = self.lab.inside(node, shell);
        format!("{node}:\n{}\n{}\n", text(&out.stdout), text(&out.stderr))
    }

    // ------------------------------------------------------------ each procedure

    /// A dry run: changes nothing, and keeps nothing on the hosts.
    #[track_caller]
    pub fn dry(&self, args: &[&str], code: i32) {
        let before = (self.picture(), self.kept());
        self.say(&[args, &["--dryrun"]].concat()).ends(code);
        assert_eq!((self.picture(), self.kept()), before, "a dry run of {args:?} changed something");
    }
    /// For real; how many times its record was on its way to the disk, and how long it took.
    #[track_caller]
    pub fn real(&self, args: &[&str]) -> (u64, Duration) {
        let before = self.picture();
        let ran = self.ran(args);
        assert_ne!(self.picture(), before, "{args:?} did nothing");
        ran
    }
    /// The same of a procedure that only looks.
    #[track_caller]
    pub fn looks(&self, args: &[&str]) -> (u64, Duration) {
        let before = self.picture();
        let ran = self.ran(args);
        assert_eq!(self.picture(), before, "{args:?} changed something");
        ran
    }
    fn ran(&self, args: &[&str]) -> (u64, Duration) {
        let mut hawiz = self.hawiz(args);
        hawiz.env("HAWIZ_TEST_KILL_LOG", self.fresh_log());
        let begun = Instant::now();
        said(hawiz).ends(0);
        (self.moments(), begun.elapsed())
    }
    fn fresh_log(&self) -> PathBuf {
        let log = self.lab.run.join("moments");
        let _ = std::fs::remove_file(&log);
        log
    }
    /// How many times the record of what was run last was on its way to the disk.
    pub fn moments(&self) -> u64 {
        std::fs::read_to_string(self.lab.run.join("moments")).map_or(0, |l| l.lines().count() as u64)
    }
    /// Killed at one of so many moments, and gone on with.
    #[track_caller]
    pub fn interrupted(&self, args: &[&str], of: u64, dice: &mut Dice) {
        let at = 1 + dice.below(of);
        let mut hawiz = self.hawiz(args);
        hawiz.env("HAWIZ_TEST_KILL_AT", at.to_string());
        let killed = said(hawiz);
        assert_eq!(killed.code, None, "{args:?} was to be killed at {at} of {of}: {}", killed.out);
        let resumed = self.say(&["resume", "--yes"]);
        match resumed.code {
            Some(0) => {}
            // Killed before its plan was on disk, or after its last word was.
            Some(2) if resumed.out.contains("no run that could be resumed") => {
                self.say(args).ends(0);
            }
            _ => panic!("{args:?}, killed at {at} of {of}: {}", resumed.out),
        }
        eprintln!("{args:?}: killed at {at} of {of} moments, resumed");
    }
    /// Once more, when it is all done: every step says so, but for those in `told`, which only a person can know.
    #[track_caller]
    pub fn again(&self, args: &[&str], told: &[&str]) {
        let before = self.picture();
        self.say(args).ends(0);
        let wrong: Vec<String> = self
            .outcomes()
            .into_iter()
            .filter(|(step, is)| {
                !matches!(is.as_str(), "already" | "passed") && !told.iter().any(|t| step.starts_with(t))
            })
            .map(|(step, is)| format!("{step}: {is}"))
            .collect();
        assert_eq!(wrong, [""; 0], "{args:?} again");
        assert_eq!(self.picture(), before, "{args:?} again changed something");
    }
    /// What the steps of the last run came to.
    pub fn outcomes(&self) -> Vec<(String, String)> {
        // (Two runs of one second are told apart by lot, so that their names say nothing.)
        let runs = std::fs::read_dir(self.desk.state().join("runs")).expect("there was a run").flatten();
        let journals = runs.map(|r| r.path().join("journal.jsonl"));
        let written = journals.filter_map(|j| Some((std::fs::metadata(&j).ok()?.modified().ok()?, j)));
        let (_, last) = written.max().expect("a run has a journal");
        let events = std::fs::read_to_string(last).expect("it is ours");
        let events = events.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let finished = events.filter(|r| r["event"]["type"] == "step-finished");
        finished
            .map(|r| {
                let word = |v: &Value| v.as_str().unwrap_or_default().to_string();
                (word(&r["event"]["step"]), word(&r["event"]["outcome"]["is"]))
            })
            .collect()
    }
    /// Does what the checklist of a procedure says, on the hosts that it names; what was changed.
    pub fn on_paper(&self, args: &[&str], chores: &[Chore]) -> Vec<String> {
        let md = self.say(&[&["plan"], args, &["--format", "md"]].concat()).ends(0).out;
        let sh = |place: &str, script: &str| match place {
            "this machine" => whole(self.lab.place("station1", "sh").args(["-c", script])),
            host => self.lab.inside(host, script),
        };
        let by_hand = |what: &str| {
            let (_, act) = chores
                .iter()
                .find(|(asked, _)| what.contains(asked))
                .unwrap_or_else(|| panic!("nobody does this: {what}"));
            act();
        };
        paper::Person { sh: &sh, by_hand: &by_hand, written: &[("macs_key", KEY)] }.follows(&md)
    }
    /// A person at a terminal, who does each thing when it is asked for, and says so.
    pub fn by_a_person(&self, args: &[&str], does: &[Chore]) -> Said {
        let mut hawiz = self.hawiz_with(args, false);
        hawiz.env("HAWIZ_TEST_KILL_LOG", self.fresh_log());
        let mut person = Person::at(&hawiz);
        for (asked, act) in does {
            person.asked("Done?", "");
            assert!(person.screen().contains(asked), "`{asked}` is not on the screen:\n{}", person.screen());
            act();
            person.asked("", "d\r");
        }
        person.end()
    }
}
