//! `hawiz nodes`: can each node be reached, entered and commanded, and if not, what is to be done.
//!
//! Why it exists: a failover at night is the wrong moment to learn that a host key is unknown or that a step would end with
//! its connection. Invariants: only looks, which create nothing on a node; on a terminal a login may ask, and an accepted
//! host key is written into known_hosts; without one nobody is asked. What could not be found out is left out, never guessed.

use super::entrance;
use super::{Done, colour, files, run, say, verbosity};
use crate::cli::{Common, Output};
use crate::plan::{How, Node};
use crate::problem::Exit;
use crate::reach::{Ask, Greeting, Reach, Sent, Unreachable};
use crate::session::{Fleet, Timed};
use crate::shell::quote;
use crate::transport::ssh::Facts;
use crate::ui::Style;
use crate::ui::roster::{self, Clock, HostKey, Login, Member, Reason, Roster, Shell, State, Way};
use chrono::{DateTime, NaiveDateTime, Utc};
use std::collections::BTreeMap;
use std::time::Duration;

const FACTS: &str = include_str!("roster.sh");
/// Portable but for the last word, which some leave as it is.
const CLOCK: &str = "date -u '+%Y-%m-%dT%H:%M:%S.%N'";
/// The shortest of these is the round trip; likewise for the clock.
const TRIPS: usize = 4;
const DEADLINE: Duration = Duration::from_secs(20);

pub(super) fn nodes(common: &Common) -> Done {
    let site = files::nodes(common)?;
    let stderr = Style::stderr(colour(common), verbosity(common));
    let porter = if run::interactive() { entrance::at_a_terminal(stderr.colours)? } else { entrance::nobody() };
    let names: Vec<String> = site.nodes.iter().map(|n| n.name.clone()).collect();
    let mut fleet = Fleet::new(site.nodes.clone(), site.folder).asking(porter);
    std::env::set_current_dir("/").ok();
    // What takes long is begun for all of them before anybody is asked anything.
    fleet.expect(&names);
    let met = fleet.greet_all(&names);
    let mut members: Vec<Member> =
        site.nodes.iter().zip(&met).map(|(node, met)| member(node, met, fleet.facts(&node.name))).collect();
    let there: Vec<&Node> = site.nodes.iter().zip(&met).filter(|(_, met)| met.is_ok()).map(|(n, _)| n).collect();
    for (node, mut answers) in look(&mut fleet, &there) {
        if let Some(m) = members.iter_mut().find(|m| m.name == node) {
            m.round_trip_ms = answers.trips.iter().min().map(|d| milliseconds(*d));
            m.clock = answers.clocks.drain(..).min_by(|a, b| a.uncertainty_ms.total_cmp(&b.uncertainty_ms));
            told(m, &answers.facts);
        }
    }
    one_machine_one_name(&mut members);
    let roster = Roster::of(site.path, members);
    let style = Style::stdout(colour(common), verbosity(common));
    match common.output {
        Some(Output::Json) => say(&roster::json(&roster)),
        _ => say(&roster::text(&roster, &style)),
    }
    Ok(if roster.ready { Exit::Ok } else { Exit::NotReady })
}

/// What a greeting and a login tell.
fn member(node: &Node, met: &Result<Greeting, Unreachable>, facts: Option<Facts>) -> Member {
    let mut m =
        Member { name: node.name.clone(), way: Way::Ssh, r#become: node.become_root.clone(), ..Member::default() };
    match &node.how {
        How::Local => m.way = Way::Local,
        How::Via(argv) => {
            m.way = Way::Via;
            m.via = argv.clone();
        }
        How::Ssh => m.address = node.address.clone(),
    }
    if let Some(f) = facts {
        let text = |s: &str| (!s.is_empty()).then(|| s.to_string());
        (m.address, m.port, m.banner) = (text(&f.address).or(m.address), Some(f.port), text(&f.banner));
        m.host_key = f.host_key.split_once(' ').map(|(kind, print)| HostKey {
            kind: kind.into(),
            fingerprint: print.into(),
            known_in: text(&f.known_in),
        });
        m.login = Some(Login { user: f.user, by: text(&f.login) });
        m.notes = f.notes;
    }
    match met {
        Err(u) => {
            let (why, hint) = u.apart();
            let hint = hint.map(String::from).or_else(|| by_hand(node, &m));
            m.reasons.push(Reason { why: format!("cannot be reached: {why}"), hint });
        }
        Ok(g) => {
            m.reached = true;
            m.uid = Some(g.uid);
            (m.boot, m.identity) = (Some(g.boot.clone()).filter(|b| !b.is_empty()), g.identity.clone());
            if let Some(why) = &g.unrecorded {
                let hint = Some(mended(why, g));
                m.reasons.push(Reason { why: format!("keeps no record of steps: {why}"), hint });
            }
            m.state = Some(State { path: g.state.clone(), file_system: None, unrecorded: g.unrecorded.clone() });
        }
    }
    m
}

/// How to see what a shell that did not answer says.
fn by_hand(node: &Node, m: &Member) -> Option<String> {
    let word = |w: &String| String::from_utf8_lossy(&quote(w.as_bytes())).into_owned();
    match (&node.how, &m.login, &m.address) {
        (How::Via(argv), ..) => {
            let argv = argv.iter().map(word).collect::<Vec<_>>().join(" ");
            Some(format!("by hand, `echo 'echo here' | {argv}` must print `here`, in the site file's folder"))
        }
        // It was let in; what came then is the shell's.
        (How::Ssh, Some(Login { user, by: Some(_) }), Some(address)) => {
            let port = m.port.filter(|p| *p != 22).map(|p| format!("-p {p} ")).unwrap_or_default();
            let whom = word(&format!("{user}@{address}"));
            Some(format!("it was let in; by hand, `echo 'echo here' | ssh {port}{whom} 'exec sh'` must print `here`"))
        }
        _ => None,
    }
}

/// What helps where no record can be kept.
fn mended(why: &str, g: &Greeting) -> String {
    let another = "`state` of the node in the site file";
    let has = |words: &str| why.contains(words);
    if has("setsid") {
        "install util-linux there; without it a step ends with its connection, and nobody knows how".into()
    } else if has("not writable") {
        format!(
            "make it as root (`install -d -o {} {}`), let the node say `become = \"sudo\"`, or name a folder of the login's own \
             with {another}",
            g.uid, g.state
        )
    } else if has("survive a reboot") {
        format!(
            "name a folder on a disk with {another}; where a reboot may forget, as in tests and containers, \
             `HAWIZ_TMPFS_STATE=1` takes this one"
        )
    } else if has("shared") {
        format!("a node's records must be its own: name a folder on its own disk with {another}")
    } else if has("read-only") {
        format!("make it writable, or name a folder elsewhere with {another}")
    } else if has("/proc") {
        "without it nobody can tell there whether a step still runs".into()
    } else {
        format!("name another folder with {another}")
    }
}

/// What a node's looks gave.
#[derive(Default)]
struct Answers {
    trips: Vec<Duration>,
    clocks: Vec<Clock>,
    facts: String,
}

/// All looks of all nodes, side by side; a session that was just opened is warm.
fn look(fleet: &mut Fleet<entrance::Porter>, nodes: &[&Node]) -> BTreeMap<String, Answers> {
    let mut asks = Vec::new();
    for node in nodes {
        let ask = |script: Vec<u8>| Ask {
            node: node.name.clone(),
            sent: Sent { script, ..Sent::default() },
            deadline: DEADLINE,
        };
        asks.push(ask(facts_script(node, fleet.facts(&node.name).map(|f| f.user))));
        asks.extend((0..TRIPS).map(|_| ask(b":".to_vec())));
        asks.extend((0..TRIPS).map(|_| ask(CLOCK.into())));
    }
    let mut out: BTreeMap<String, Answers> = BTreeMap::new();
    for (ask, timed) in asks.iter().zip(fleet.look_timed(&asks)) {
        let Timed { at, took, reply: Ok(reply) } = timed else { continue };
        let answers = out.entry(ask.node.clone()).or_default();
        match &ask.sent.script[..] {
            b":" if reply.code == Some(0) => answers.trips.push(took),
            b":" => {}
            script if script == CLOCK.as_bytes() => {
                let ours = DateTime::<Utc>::from(at) + chrono::Duration::from_std(took / 2).unwrap_or_default();
                answers.clocks.extend(clock(&reply.out.lossy(), ours, took));
            }
            _ => answers.facts = reply.out.lossy(),
        }
    }
    out
}

fn facts_script(node: &Node, user: Option<String>) -> Vec<u8> {
    let mut script = Vec::new();
    let state = node.state.clone().unwrap_or_else(|| crate::session::STATE.into());
    for (name, value) in [
        ("state", state),
        ("become", node.become_root.clone().unwrap_or_default()),
        ("login", user.unwrap_or_default()),
    ] {
        script.extend(format!("{name}=").bytes());
        script.extend(quote(value.as_bytes()));
        script.push(b'\n');
    }
    script.extend(FACTS.bytes());
    script
}

fn milliseconds(d: Duration) -> f64 {
    d.as_micros() as f64 / 1000.0
}

/// The node's clock against ours, which stood at `ours` in the middle of the round trip.
fn clock(said: &str, ours: DateTime<Utc>, took: Duration) -> Option<Clock> {
    let (whole, part) = said.trim().split_once('.')?;
    let whole = NaiveDateTime::parse_from_str(whole, "%Y-%m-%dT%H:%M:%S").ok()?.and_utc();
    // A clock that tells seconds only is somewhere in that second.
    let (nanos, vague) = match part.parse::<u32>() {
        Ok(nanos) if part.len() == 9 => (nanos, 0.0),
        _ => (500_000_000, 500.0),
    };
    let theirs = whole + chrono::Duration::nanoseconds(nanos.into());
    let ahead_ms = (theirs - ours).num_microseconds()? as f64 / 1000.0;
    Some(Clock { ahead_ms, uncertainty_ms: milliseconds(took / 2) + vague })
}

/// What the node says of itself.
fn told(m: &mut Member, facts: &str) {
    let mut said: BTreeMap<&str, &str> = BTreeMap::new();
    for line in facts.lines() {
        if let Some((key, value)) = line.split_once([' ', '=']).filter(|(_, v)| !v.is_empty()) {
            said.insert(key, value);
        }
    }
    let one = |key: &str| said.get(key).map(|v| v.to_string());
    m.user = one("user");
    m.setsid = one("setsid");
    // Only a login by SSH goes through a login shell.
    let login = one("shell").filter(|_| m.way == Way::Ssh);
    m.shell = one("sh").map(|sh| Shell { login, sh });
    if let Some(state) = &mut m.state {
        state.file_system = one("file-system");
    }
    let Some(session) = one("session") else { return };
    let login = m.login.as_ref().map(|l| l.user.clone()).or_else(|| one("login")).unwrap_or(format!("uid {session}"));
    m.ends_with_login = said.get("KillUserProcesses").map(|kill| ended(&login, *kill == "yes", &said));
    if m.ends_with_login == Some(true) {
        let kept = said.get("KillExcludeUsers").copied().unwrap_or("root");
        m.reasons.push(Reason {
            why: format!("logind ends all that `{login}` has started when its last connection ends (`KillUserProcesses`)"),
            hint: Some(format!(
                "a step would not outlive a lost link: in /etc/systemd/logind.conf say `KillUserProcesses=no`, or \
                 `KillExcludeUsers={kept} {login}`, then `systemctl restart systemd-logind`; `loginctl enable-linger` alone \
                 does not spare them"
            )),
        });
    }
}

/// As logind decides it.
fn ended(login: &str, kill: bool, said: &BTreeMap<&str, &str>) -> bool {
    let lists = |key: &str| said.get(key).map(|names| names.split_whitespace().any(|n| n == login));
    !lists("KillExcludeUsers").unwrap_or(login == "root") && lists("KillOnlyUsers").unwrap_or(kill)
}

/// Two names that answer with one identity are one machine; a run on it is refused.
fn one_machine_one_name(members: &mut [Member]) {
    for i in 1..members.len() {
        let (before, rest) = members.split_at_mut(i);
        let m = &mut rest[0];
        let Some(id) = &m.identity else { continue };
        if let Some(other) = before.iter().find(|o| o.identity.as_ref() == Some(id)) {
            m.reasons.push(Reason {
                why: format!("is the same machine as {}: both have the identity {id}", other.name),
                hint: Some(
                    "two names, a floating address, a shared `state` folder, or a clone: on a clone, take away the file `id` in \
                     its state folder"
                        .into(),
                ),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_known_to_half_the_round_trip_and_to_the_second_where_it_says_no_more() {
        let ours: DateTime<Utc> = "2026-01-02T03:04:05.250Z".parse().expect("a time");
        let took = Duration::from_millis(10);
        let seen = |said: &str| clock(said, ours, took).map(|c| (c.ahead_ms, c.uncertainty_ms));
        assert_eq!(seen("2026-01-02T03:04:06.500000000\n"), Some((1250.0, 5.0)));
        assert_eq!(seen("2026-01-02T03:04:05.%N\n"), Some((250.0, 505.0)));
        assert_eq!(seen("2026-01-02T03:04:05.N\n"), Some((250.0, 505.0)));
        assert_eq!(seen("date: not found\n"), None);
    }

    fn ends(login: &str, logind: &str) -> (Option<bool>, Option<String>) {
        let login = Login { user: login.into(), by: None };
        let mut m = Member { login: Some(login), ..Member::default() };
        told(&mut m, logind);
        (m.ends_with_login, m.reasons.first().and_then(|r| r.hint.clone()))
    }

    #[test]
    fn what_logind_ends_with_the_login_is_decided_as_logind_does() {
        let yes = "session 1000\nKillUserProcesses=yes\nKillExcludeUsers=root\nKillOnlyUsers=\n";
        let (ended, hint) = ends("ops", yes);
        assert_eq!(ended, Some(true));
        assert!(hint.expect("a way out").contains("`KillExcludeUsers=root ops`"));
        assert_eq!(ends("root", &yes.replace("1000", "0")), (Some(false), None));
        assert_eq!(ends("ops", &yes.replace("=yes", "=no")), (Some(false), None));
        assert_eq!(ends("ops", &yes.replace("Users=root", "Users=root ops")), (Some(false), None));
        assert_eq!(ends("ops", &yes.replace("OnlyUsers=", "OnlyUsers=guest")), (Some(false), None));
        assert_eq!(ends("ops", &yes.replace("=yes", "=no").replace("OnlyUsers=", "OnlyUsers=ops")).0, Some(true));
        // No login session of its own, or nobody who tells.
        assert_eq!(ends("ops", "user ops\n"), (None, None));
        assert_eq!(ends("ops", "session 1000\n"), (None, None));
    }
}
