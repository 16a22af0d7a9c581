//! Is what ran what the scenario wants? `compare.py` in Rust, nothing more and nothing less.
//!
//! Why it exists: the suite runs without Python. Invariant: the same verdicts, word for word, as `compare.py`; the test
//! below holds both to `self.txt`, which `compare.py --self` has written.

use serde_json::Value;

/// A command that was seen: on which host, and its text.
pub type Seen = (String, String);

/// What the stand-ins have recorded: `seq TAB time TAB host TAB command`.
pub fn read_trace(text: &str) -> Vec<Seen> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.splitn(4, '\t').skip(2);
            Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
        })
        .collect()
}

fn group(command: &str) -> Option<String> {
    let mut words = command.split_whitespace();
    let (first, second) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    match first {
        "systemctl" => match second {
            "start" | "restart" => Some("start".into()),
            "stop" | "disable" | "enable" => Some(second.into()),
            _ => None,
        },
        "chdef" => Some("start".into()),
        make if make.starts_with("make") => Some("start".into()),
        "ip" | "ifconfig" | "arping" => Some("addr".into()),
        other => Some(other.into()),
    }
}

/// A wanted change: host, its text, and that text or what is taken for it.
struct Want {
    host: String,
    command: String,
    accepted: Vec<String>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

/// What is wrong with a run; nothing when it is as wanted.
pub fn check(scenario: &Value, seen: &[Seen], code: i64) -> Vec<String> {
    let mut bad: Vec<String> = Vec::new();
    let wishes = &scenario["hawiz"];
    let state = &scenario["stubs"]["state"];
    // Of a setup only the exit class and what must not run are judged.
    let setup = text(&scenario["name"]).starts_with("s-");
    // A unit that is stopped or disabled at the start is not stopped or disabled again.
    let already = |host: &str, command: &str| {
        let words: Vec<&str> = command.split_whitespace().collect();
        let [first, verb, unit, ..] = words[..] else { return false };
        let kind = match (first, verb) {
            ("systemctl", "stop") => "svc_active",
            ("systemctl", "disable") => "svc_enabled",
            _ => return false,
        };
        !texts(&state[kind][host]).iter().any(|u| u == unit)
    };
    let wants: Vec<Want> = wishes["wanted_commands"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|w| !setup && w.get("kind").is_none_or(|k| k == "change"))
        .map(|w| Want {
            host: text(&w["host"]),
            command: text(&w["command"]),
            accepted: std::iter::once(text(&w["command"])).chain(texts(&w["or"])).collect(),
        })
        .filter(|w| !already(&w.host, &w.command))
        .collect();

    let mut left: Vec<&Seen> = seen.iter().collect();
    for want in &wants {
        let fits = |(host, command): &&Seen| {
            (*host == want.host || want.host == "*") && want.accepted.iter().any(|a| fnmatch(command, a))
        };
        match left.iter().position(fits) {
            Some(at) => drop(left.remove(at)),
            None => bad.push(format!("missing: {}: {}", want.host, want.command)),
        }
    }

    // The order inside each group of verbs, on each host.
    type Group = (String, Option<String>);
    let mut groups: Vec<(Group, Vec<&Want>)> = Vec::new();
    for want in &wants {
        let key = (want.host.clone(), group(&want.command));
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, list)) => list.push(want),
            None => groups.push((key, vec![want])),
        }
    }
    for ((host, verb), list) in &groups {
        let mut rest = seen.iter().filter(|(h, _)| h == host).map(|(_, c)| c);
        for want in list {
            if !rest.any(|c| want.accepted.iter().any(|a| fnmatch(c, a))) {
                let end = format!(": {}", want.command);
                if !bad.iter().any(|b| b.ends_with(&end)) {
                    let order: Vec<&str> = list.iter().map(|w| w.command.as_str()).collect();
                    let verb = verb.as_deref().unwrap_or("None");
                    bad.push(format!("order: {host}: {verb}: {}", order.join(" < ")));
                }
                break;
            }
        }
    }

    let forbidden = texts(&wishes["must_not_run"]);
    for (host, command) in seen {
        for glob in forbidden.iter().filter(|g| fnmatch(command, g)) {
            bad.push(format!("forbidden: {host}: {command}  ({glob})"));
        }
    }

    let accepted: Vec<i64> =
        scenario["exit_codes_accepted"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
    if !accepted.is_empty() && !accepted.contains(&code) {
        let class = text(&scenario["exit_class_wanted"]);
        let list: Vec<String> = accepted.iter().map(i64::to_string).collect();
        bad.push(format!("exit {code}, class {class} wants [{}]", list.join(", ")));
        return bad;
    }
    let wanted = &scenario["exit_code_wanted"];
    let nonzero = wanted == "nonzero";
    if (nonzero && code == 0) || wanted.as_i64().is_some_and(|w| w != code) {
        let wanted = wanted.as_i64().map_or_else(|| text(wanted), |w| w.to_string());
        bad.push(format!("exit {code}, wanted {wanted}"));
    }
    bad
}

/// Python's `fnmatch.fnmatchcase`: `*`, `?`, `[abc]`, `[!abc]`, `[a-z]`; nothing is escaped, `*` crosses everything.
pub fn fnmatch(name: &str, pattern: &str) -> bool {
    let (name, pattern): (Vec<char>, Vec<char>) = (name.chars().collect(), pattern.chars().collect());
    at(&name, &pattern)
}

fn at(name: &[char], pattern: &[char]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return name.is_empty() };
    match first {
        '*' => (0..=name.len()).any(|skip| at(&name[skip..], rest)),
        '?' => !name.is_empty() && at(&name[1..], rest),
        '[' => match set(rest) {
            Some((negated, set, rest)) => {
                name.first().is_some_and(|c| within(*c, set) != negated) && at(&name[1..], rest)
            }
            None => name.first() == Some(&'[') && at(&name[1..], rest),
        },
        other => name.first() == Some(other) && at(&name[1..], rest),
    }
}

/// What stands between `[` and its `]`: negated, the characters, what follows.
fn set(pattern: &[char]) -> Option<(bool, &[char], &[char])> {
    let negated = pattern.first() == Some(&'!');
    let body = if negated { &pattern[1..] } else { pattern };
    // A `]` that comes first is one of the characters.
    let end = body.iter().enumerate().skip(1).find(|(_, c)| **c == ']')?.0;
    Some((negated, &body[..end], &body[end + 1..]))
}

fn within(c: char, set: &[char]) -> bool {
    let mut i = 0;
    while i < set.len() {
        if i + 2 < set.len() && set[i + 1] == '-' {
            if (set[i]..=set[i + 2]).contains(&c) {
                return true;
            }
            i += 3;
        } else {
            if set[i] == c {
                return true;
            }
            i += 1;
        }
    }
    false
}

#[test]
fn the_judge_says_of_the_original_what_compare_py_says() {
    let (mut good, mut ill, mut lines) = (0, 0, String::new());
    for scenario in super::scenarios() {
        let name = text(&scenario["name"]);
        if name.starts_with("flow-") {
            continue;
        }
        let seen: Vec<Seen> = scenario["expected_commands"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|x| (text(&x["host"]), text(&x["command"])))
            .collect();
        let bad = check(&scenario, &seen, scenario["exit_code_original"].as_i64().expect("every scenario has one"));
        if bad.is_empty() {
            good += 1;
            lines += &format!("PASS {name}\n");
        } else {
            ill += 1;
            let more = if bad.len() > 3 { format!(" (+{})", bad.len() - 3) } else { String::new() };
            lines += &format!("DIFF {name}   {}{more}\n", bad[..bad.len().min(3)].join("; "));
        }
    }
    lines += &format!("original: {good} scenarios as wanted, {ill} different\n");
    assert_eq!(lines, include_str!("self.txt"));
}

#[test]
fn the_patterns_are_those_of_python() {
    for (name, pattern, fits) in [
        ("ip addr add 10.5.106.7/8 brd + dev eth0", "ip addr add 10.5.106.7/*", true),
        ("ip addr add 10.5.106.70/8", "ip addr add 10.5.106.7/*", false),
        ("hostname", "hostname ?*", false),
        ("hostname x", "hostname ?*", true),
        ("a]b", "a[]]b", true),
        ("a[b", "a[b", true),
        ("abc", "a[!x]c", true),
        ("abc", "a[a-c]c", true),
        ("adc", "a[a-c]c", false),
        ("", "*", true),
        ("a\nb", "a*b", true),
    ] {
        assert_eq!(fnmatch(name, pattern), fits, "{name:?} {pattern:?}");
    }
}
