//! The nodes and how they are reached: a table, what is in the way and what to do about it, or JSON.
//!
//! Why it exists: a person wants to know at one glance whether all nodes are ready, and of those that are not what to do; a
//! script wants the same with every detail. Invariant: 80 columns suffice; what is not known is left out, in JSON null.
//!
//! `docs/nodes.md` documents the JSON: new fields may appear under the same `format`, none changes its meaning.

use super::escape::{columns, cut, line as harmless};
use super::text::{beside, count, hang, wrap};
use super::{Ink, Style};
use serde::Serialize;

pub const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Roster {
    pub format: u32,
    pub hawiz: &'static str,
    /// The site file that was read.
    pub site: String,
    pub ready: bool,
    pub nodes: Vec<Member>,
}

impl Roster {
    /// Who has a reason against it is not ready.
    pub fn of(site: String, mut nodes: Vec<Member>) -> Roster {
        for m in &mut nodes {
            m.ready = m.reached && m.reasons.is_empty();
        }
        let ready = nodes.iter().all(|m| m.ready);
        Roster { format: FORMAT, hawiz: env!("CARGO_PKG_VERSION"), site, ready, nodes }
    }
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Member {
    pub name: String,
    pub ready: bool,
    /// A session stands: commands can be run.
    pub reached: bool,
    pub reasons: Vec<Reason>,
    pub way: Way,
    /// The program of a `via`.
    pub via: Vec<String>,
    /// What it was connected to, or was to be.
    pub address: Option<String>,
    pub port: Option<u16>,
    /// The server's own words.
    pub banner: Option<String>,
    pub host_key: Option<HostKey>,
    pub login: Option<Login>,
    pub r#become: Option<String>,
    /// Whose commands they are.
    pub user: Option<String>,
    pub uid: Option<u32>,
    pub round_trip_ms: Option<f64>,
    pub clock: Option<Clock>,
    pub shell: Option<Shell>,
    pub setsid: Option<String>,
    pub state: Option<State>,
    /// logind ends what the login has started when it ends; none: there is no login session, or nobody tells.
    pub ends_with_login: Option<bool>,
    pub identity: Option<String>,
    pub boot: Option<String>,
    pub notes: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    #[default]
    Ssh,
    Local,
    Via,
}

/// Why a node is not ready, as a fragment after its name; and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    pub why: String,
    pub hint: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostKey {
    pub kind: String,
    pub fingerprint: String,
    /// `file:line`.
    pub known_in: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Login {
    pub user: String,
    /// What opened the door.
    pub by: Option<String>,
}

/// The node's clock minus ours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Clock {
    pub ahead_ms: f64,
    pub uncertainty_ms: f64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shell {
    /// The login's own.
    pub login: Option<String>,
    /// What runs the commands.
    pub sh: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    pub path: String,
    pub file_system: Option<String>,
    /// Why no claims are kept there; none: they are.
    pub unrecorded: Option<String>,
}

pub fn json(roster: &Roster) -> String {
    format!("{}\n", serde_json::to_string_pretty(roster).expect("it is plain data"))
}

/// `0.4 ms`, `12 ms`, `1.2 s`, `3 min`, `2 h`, `5 days`.
fn span(ms: f64) -> String {
    match ms.abs() {
        a if a < 10.0 => format!("{a:.1} ms"),
        a if a < 1000.0 => format!("{a:.0} ms"),
        a if a < 100_000.0 => format!("{:.1} s", a / 1000.0),
        a if a < 6_000_000.0 => format!("{:.0} min", a / 60_000.0),
        a if a < 172_800_000.0 => format!("{:.0} h", a / 3_600_000.0),
        a => format!("{:.0} days", a / 86_400_000.0),
    }
}

impl Clock {
    /// No difference was seen.
    fn same(&self) -> bool {
        self.ahead_ms.abs() <= self.uncertainty_ms
    }
    fn short(&self) -> String {
        let sign = if self.ahead_ms < 0.0 { '-' } else { '+' };
        if self.same() { "same".into() } else { format!("{sign}{}", span(self.ahead_ms)) }
    }
    fn long(&self, ascii: bool) -> String {
        let unsure = format!("{} {}", if ascii { "+-" } else { "±" }, span(self.uncertainty_ms));
        match (self.same(), self.ahead_ms < 0.0) {
            (true, _) => format!("no difference seen ({unsure})"),
            (_, true) => format!("{} behind ours ({unsure})", span(self.ahead_ms)),
            (_, false) => format!("{} ahead of ours ({unsure})", span(self.ahead_ms)),
        }
    }
}

impl Member {
    fn place(&self) -> String {
        match (self.way, &self.address, self.port) {
            (Way::Local, ..) => "this machine".into(),
            (Way::Via, ..) => format!("via {}", self.via.first().map_or("", String::as_str)),
            (Way::Ssh, Some(a), None | Some(22)) => a.clone(),
            (Way::Ssh, Some(a), Some(port)) if a.contains(':') => format!("[{a}]:{port}"),
            (Way::Ssh, Some(a), Some(port)) => format!("{a}:{port}"),
            (Way::Ssh, None, _) => String::new(),
        }
    }
    /// Who logs in, and whose commands they are then.
    fn whose(&self, style: &Style) -> String {
        let login = self.login.as_ref().map(|l| l.user.as_str());
        let to = style.marks().change;
        match (login, self.user.as_deref(), &self.r#become) {
            (Some(login), Some(user), _) if login != user => format!("{login} {to} {user}"),
            (Some(one), ..) | (None, Some(one), None) => one.into(),
            (None, Some(user), Some(how)) => format!("{user} ({how})"),
            (None, None, _) => String::new(),
        }
    }
    fn row(&self, style: &Style) -> [String; 6] {
        let m = style.marks();
        [
            format!("{} {}", if self.ready { m.yes } else { m.no }, self.name),
            self.place(),
            self.whose(style),
            self.round_trip_ms.map(span).unwrap_or_default(),
            self.clock.map(|c| c.short()).unwrap_or_default(),
            if self.ready { "ready" } else { "not ready" }.into(),
        ]
        .map(|cell| harmless(&cell).into_owned())
    }
    fn ink(&self) -> Ink {
        if self.ready { Ink::Good } else { Ink::Bad }
    }
}

/// For a person.
pub fn text(roster: &Roster, style: &Style) -> String {
    let mut out = Vec::new();
    if style.verbose >= 0 {
        out.extend(table(&roster.nodes, style));
    }
    if style.verbose > 0 {
        roster.nodes.iter().for_each(|m| out.extend(block(m, style)));
    } else {
        roster.nodes.iter().filter(|m| !m.ready).for_each(|m| {
            out.push(String::new());
            out.extend(reasons(m, style));
        });
        out.extend(notes(&roster.nodes, style));
    }
    out.push(String::new());
    out.extend(verdict(roster, style));
    // A quiet one begins with what it has to say.
    let from = out.iter().position(|l| !l.is_empty()).unwrap_or(0);
    out[from..].iter().fold(String::new(), |all, l| all + l.trim_end() + "\n")
}

fn table(nodes: &[Member], style: &Style) -> Vec<String> {
    const GAP: usize = 2;
    let rows: Vec<[String; 6]> = nodes.iter().map(|m| m.row(style)).collect();
    let pad = " ".repeat(style.marks().wide() + 1);
    let head = [&*format!("{pad}node"), "address", "as", "round trip", "clock", ""].map(String::from);
    let wide = |i: usize| rows.iter().chain([&head]).map(|r| columns(&r[i])).max().unwrap_or(0);
    let mut widths: [usize; 6] = std::array::from_fn(wide);
    // What is too wide gives way: addresses first, then logins, then names; all of it stands in the block of `-v`.
    for (i, least) in [(1, 12), (2, 8), (0, 12), (1, 6), (2, 4), (0, 8)] {
        let over = (widths.iter().sum::<usize>() + 5 * GAP).saturating_sub(style.width);
        widths[i] = widths[i].saturating_sub(over).max(widths[i].min(least));
    }
    let line = |row: &[String; 6]| {
        let cell = |i: usize| {
            let text = cut(&row[i], widths[i], style.marks().more);
            let room = " ".repeat(widths[i].saturating_sub(columns(&text)));
            // Numbers stand at the right.
            if (3..5).contains(&i) { format!("{room}{text}") } else { format!("{text}{room}") }
        };
        (0..6).map(cell).collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_string()
    };
    let mut out = vec![style.paint(Ink::Dim, &line(&head))];
    for (m, row) in nodes.iter().zip(&rows) {
        let whole = line(row);
        let (left, right) = whole.split_at(whole.len() - row[5].len());
        out.push(format!("{left}{}", style.paint(m.ink(), right)));
    }
    out
}

/// `✗ mn2 cannot be reached: …`, and what to do.
fn reasons(m: &Member, style: &Style) -> Vec<String> {
    let mut out = Vec::new();
    for reason in &m.reasons {
        let title = format!("{} {} {}", style.marks().no, harmless(&m.name), harmless(&reason.why));
        out.extend(hang(&title, style.width).iter().map(|l| style.paint(m.ink(), l)));
        if let Some(hint) = &reason.hint {
            out.extend(indented(&harmless(hint), 4, style.width));
        }
    }
    out
}

fn indented(text: &str, indent: usize, width: usize) -> Vec<String> {
    wrap(text, width.saturating_sub(indent)).iter().map(|l| format!("{}{l}", " ".repeat(indent))).collect()
}

/// What the logins have to remark, each once.
fn notes(nodes: &[Member], style: &Style) -> Vec<String> {
    const FEW: usize = 3;
    let mut all: Vec<(&str, Vec<&str>)> = Vec::new();
    for m in nodes {
        for note in &m.notes {
            match all.iter_mut().find(|(n, _)| n == note) {
                Some((_, who)) => who.push(&m.name),
                None => all.push((note, vec![&m.name])),
            }
        }
    }
    if all.is_empty() || style.verbose < 0 {
        return Vec::new();
    }
    let mut out = vec![String::new()];
    for (note, who) in all.iter().take(FEW) {
        let who = if who.len() == nodes.len() && who.len() > 1 { "all nodes".into() } else { who.join(", ") };
        let text = format!("{} {}: {}", style.marks().dot, harmless(&who), harmless(note));
        out.extend(hang(&text, style.width).iter().map(|l| style.paint(Ink::Dim, l)));
    }
    if all.len() > FEW {
        let more = count(all.len() - FEW, "remark", "remarks");
        out.push(style.paint(Ink::Dim, &format!("{} {more} more: -v", style.marks().dot)));
    }
    out
}

/// All that is known of a node.
fn block(m: &Member, style: &Style) -> Vec<String> {
    let mut out = vec![String::new()];
    let title = format!("{} {}", if m.ready { style.marks().yes } else { style.marks().no }, harmless(&m.name));
    match (m.ready, m.reasons.is_empty()) {
        (false, false) => out.extend(reasons(m, style)),
        _ => out.push(style.paint(m.ink(), &title)),
    }
    let mut say = |what: &str, text: String| {
        if !text.is_empty() {
            // What is to be copied stays whole.
            let rest = indented(&harmless(&text), 15, style.width);
            out.extend(rest.iter().enumerate().map(|(i, l)| match i {
                0 => format!("  {}{}", style.paint(Ink::Dim, &format!("{what:<13}")), l.trim_start()),
                _ => l.clone(),
            }));
        }
    };
    let at = match (m.way, m.port) {
        (Way::Via, _) => format!("via {}", m.via.join(" ")),
        (Way::Ssh, Some(port)) => format!("{} port {port}", m.address.as_deref().unwrap_or_default()),
        _ => m.place(),
    };
    say("address", at);
    say("server", m.banner.clone().unwrap_or_default());
    if let Some(key) = &m.host_key {
        let known = key.known_in.as_ref().map_or("\nnot known".into(), |place| format!("\nknown in {place}"));
        say("host key", format!("{} {}", key.kind, key.fingerprint));
        say("", known.trim_start().to_string());
    }
    if let Some(login) = &m.login {
        let by = login.by.as_ref().map(|by| format!(", {by}")).unwrap_or_default();
        say("login", format!("{}{by}", login.user));
    }
    let user = match (&m.user, m.uid, &m.r#become) {
        (Some(user), Some(uid), Some(how)) => format!("{user} (uid {uid}) by {how}"),
        (Some(user), Some(uid), None) => format!("{user} (uid {uid})"),
        _ => String::new(),
    };
    say("commands as", user);
    say("round trip", m.round_trip_ms.map(span).unwrap_or_default());
    say("clock", m.clock.map(|c| c.long(style.ascii)).unwrap_or_default());
    if let Some(shell) = &m.shell {
        let login = shell.login.as_ref().map(|l| format!(", after {l} at login")).unwrap_or_default();
        say("shell", format!("{}{login}", shell.sh));
    }
    if m.reached {
        say("setsid", m.setsid.clone().unwrap_or("none".into()));
    }
    if let Some(state) = &m.state {
        let on = state.file_system.as_ref().map(|fs| format!(" ({fs})")).unwrap_or_default();
        let kept = match &state.unrecorded {
            None => "can be written".to_string(),
            Some(why) => format!("not used: {why}"),
        };
        say("state", format!("{}{on}, {kept}", state.path));
    }
    let ends = match m.ends_with_login {
        Some(true) => "ends what a login has started when it ends",
        Some(false) => "lets live what a login has started",
        None => "",
    };
    say("logind", ends.into());
    if m.reached {
        say("identity", m.identity.clone().unwrap_or("none yet: the first recorded step makes it".into()));
    }
    for (i, note) in m.notes.iter().enumerate() {
        say(if i == 0 { "remarks" } else { "" }, note.clone());
    }
    out
}

fn verdict(roster: &Roster, style: &Style) -> Vec<String> {
    let (all, ready) = (roster.nodes.len(), roster.nodes.iter().filter(|m| m.ready).count());
    let m = style.marks();
    let (text, ink) = match (all, ready) {
        (1, 1) => (format!("{} The node is ready.", m.yes), Ink::Good),
        (1, _) => (format!("{} The node is not ready.", m.no), Ink::Bad),
        (all, ready) if all == ready => (format!("{} All {all} nodes are ready.", m.yes), Ink::Good),
        (all, 0) => (format!("{} None of the {all} nodes is ready.", m.no), Ink::Bad),
        (all, 1) => (format!("{} 1 of {all} nodes is ready.", m.no), Ink::Bad),
        (all, ready) => (format!("{} {ready} of {all} nodes are ready.", m.no), Ink::Bad),
    };
    let exit = if roster.ready { "exit 0" } else { "exit 4" };
    beside(&text, exit, style.width).iter().map(|l| style.paint(ink, l)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_short() {
        let shown = [0.04, 9.96, 12.4, 999.4, 1500.0, 99_000.0, 3_600_000.0, 90_000_000.0, 864_000_000.0].map(span);
        assert_eq!(shown, ["0.0 ms", "10.0 ms", "12 ms", "999 ms", "1.5 s", "99.0 s", "60 min", "25 h", "10 days"]);
    }

    #[test]
    fn a_clock_within_its_uncertainty_is_the_same() {
        let clock = |ahead_ms, uncertainty_ms| Clock { ahead_ms, uncertainty_ms };
        assert_eq!(clock(-0.3, 0.4).short(), "same");
        assert_eq!(clock(-1300.0, 0.4).short(), "-1.3 s");
        assert_eq!(clock(70_000.0, 500.0).long(true), "70.0 s ahead of ours (+- 500 ms)");
    }
}
