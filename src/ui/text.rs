//! Laying text out: wrapping, right-hand notes, folding of loops, durations in words.
//!
//! Why it exists: every view breaks lines by the same rules, so that a command looks the same in a dry run, at a gate
//! and in a report. Invariant: a command is broken only at a space outside quotes, and in a way a shell reads as the
//! same command (` \` at the end, or after `&&`, `||`, `|`, `;`).

use super::escape::columns;
use std::time::Duration;

/// Prose, wrapped at spaces; a word that is too long stands alone.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut out = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ').filter(|w| !w.is_empty()) {
            if !line.is_empty() && columns(&line) + 1 + columns(word) > width {
                out.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        out.push(line);
    }
    out
}

/// `left … right` with the note at the right edge; below and indented when both do not fit.
pub fn beside(left: &str, right: &str, width: usize) -> Vec<String> {
    if right.is_empty() {
        return hang(left, width);
    }
    let (l, r) = (columns(left), columns(right));
    if l + 2 + r <= width {
        return vec![format!("{left}{}{right}", " ".repeat(width - l - r))];
    }
    let mut out = hang(left, width);
    let indent = left.len() - left.trim_start().len();
    let last = out.last().map_or(0, |l| columns(l));
    if last + 2 + r <= width {
        let end = out.pop().unwrap_or_default();
        out.push(format!("{end}{}{right}", " ".repeat(width - last - r)));
    } else {
        for line in wrap(right, width.saturating_sub(indent + 4)) {
            out.push(format!("{}{line}", " ".repeat(indent + 4)));
        }
    }
    out
}

/// Wraps one line under its own indent and two columns more.
pub fn hang(text: &str, width: usize) -> Vec<String> {
    if columns(text) <= width {
        return vec![text.to_string()];
    }
    let indent = text.len() - text.trim_start().len();
    let pad = " ".repeat(indent);
    let mut lines = wrap(text.trim_start(), width.saturating_sub(indent + 2)).into_iter();
    let mut out = vec![format!("{pad}{}", lines.next().unwrap_or_default())];
    out.extend(lines.map(|l| format!("{pad}  {l}")));
    out
}

/// A command's lines, broken where a shell does not mind; continuation lines are indented by two.
/// Comments, and texts with a here-document, are left as they are.
pub fn wrap_command(text: &str, width: usize) -> Vec<String> {
    let width = width.max(16);
    let text = text.trim_end_matches('\n');
    let mut out = Vec::new();
    let here = text.contains("<<");
    let mut quote = Quote::None;
    for line in text.lines() {
        if columns(line) <= width || here {
            quote = scan(line, quote, |_, _| {});
            out.push(line.to_string());
            continue;
        }
        // Where the line may be broken: byte of the space, and whether an operator stands before it.
        let mut spots: Vec<(usize, bool)> = Vec::new();
        let mut comment = None;
        quote = scan(line, quote, |at, what| match what {
            Spot::Space => {
                let before = line[..at].trim_end();
                let ends = ["&&", "||", "|", ";"].iter().any(|op| before.ends_with(op));
                if !before.is_empty() {
                    spots.push((at, ends));
                }
            }
            Spot::Comment => comment = comment.or(Some(at)),
        });
        let stop = comment.unwrap_or(line.len());
        let lead = line.len() - line.trim_start().len();
        let mut from = 0;
        let mut first = true;
        loop {
            let indent = if first { 0 } else { lead + 2 };
            if indent + columns(&line[from..]) <= width {
                out.push(format!("{}{}", " ".repeat(indent), &line[from..]));
                break;
            }
            // An operator in the second half of the line is the better place; else as far right as it goes.
            let fits = |(at, ends): &&(usize, bool)| {
                *at > from && *at <= stop && indent + columns(&line[from..*at]) + if *ends { 0 } else { 2 } <= width
            };
            let last = spots.iter().rev().find(fits);
            let operator =
                spots.iter().rev().find(|s| s.1 && fits(s) && indent + columns(&line[from..s.0]) > width / 2);
            let next = || spots.iter().find(|(at, _)| *at > from && *at <= stop);
            let Some(&(at, ends)) = operator.or(last).or_else(next) else {
                out.push(format!("{}{}", " ".repeat(indent), &line[from..]));
                break;
            };
            let end = line[from..at].trim_end();
            out.push(format!("{}{end}{}", " ".repeat(indent), if ends { "" } else { " \\" }));
            from = at + line[at..].len() - line[at..].trim_start().len();
            first = false;
        }
    }
    out
}

#[derive(Clone, Copy, PartialEq)]
enum Quote {
    None,
    Single,
    Double,
}
enum Spot {
    Space,
    Comment,
}

/// Walks a line of shell, telling the spaces outside quotes and the start of a comment; gives the state at its end.
fn scan(line: &str, mut quote: Quote, mut spot: impl FnMut(usize, Spot)) -> Quote {
    let bytes = line.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        match (quote, bytes[i]) {
            (Quote::Single, b'\'') | (Quote::Double, b'"') => quote = Quote::None,
            (Quote::Single, _) => {}
            (_, b'\\') => i += 1,
            (Quote::Double, _) => {}
            (Quote::None, b'\'') => quote = Quote::Single,
            (Quote::None, b'"') => quote = Quote::Double,
            (Quote::None, b'#') if i == 0 || bytes[i - 1] == b' ' => {
                spot(i, Spot::Comment);
                return quote;
            }
            (Quote::None, b' ') if i > 0 && bytes[i - 1] != b' ' => spot(i, Spot::Space),
            _ => {}
        }
        i += 1;
    }
    quote
}

/// Titles of a loop's instances as one: what they share once, what differs as a list.
pub fn fold_titles(titles: &[&str]) -> String {
    let Some((first, rest)) = titles.split_first() else { return String::new() };
    if rest.iter().all(|t| t == first) {
        return first.to_string();
    }
    let words: Vec<Vec<&str>> = titles.iter().map(|t| t.split(' ').collect()).collect();
    let shortest = words.iter().map(Vec::len).min().unwrap_or(0);
    let same = |i: &usize, from_end: bool| {
        let pick = |w: &Vec<&str>| if from_end { w[w.len() - 1 - i].to_string() } else { w[*i].to_string() };
        words.iter().all(|w| pick(w) == pick(&words[0]))
    };
    let head = (0..shortest).take_while(|i| same(i, false)).count();
    let tail = (0..shortest - head).take_while(|i| same(i, true)).count();
    let middle: Vec<String> = words.iter().map(|w| w[head..w.len() - tail].join(" ")).collect();
    if head + tail == 0 && titles.len() > 1 {
        return titles.join("; ");
    }
    let mut parts: Vec<String> = words[0][..head].iter().map(|w| w.to_string()).collect();
    parts.push(middle.join(", "));
    parts.extend(words[0][words[0].len() - tail..].iter().map(|w| w.to_string()));
    parts.join(" ")
}

/// `90s` = `1m30s`, `5m`, `2h`.
pub fn duration(d: Duration) -> String {
    let ms = d.as_millis();
    if ms < 1000 && ms > 0 {
        return format!("{ms}ms");
    }
    let s = d.as_secs();
    let (h, m, s) = (s / 3600, s / 60 % 60, s % 60);
    let mut out = String::new();
    for (n, unit) in [(h, "h"), (m, "m"), (s, "s")] {
        if n > 0 {
            out.push_str(&format!("{n}{unit}"));
        }
    }
    if out.is_empty() { "0s".to_string() } else { out }
}

/// `just now`, `40s ago`, `3m ago`.
pub fn ago(seconds: i64) -> String {
    match seconds {
        i64::MIN..2 => "just now".to_string(),
        2..120 => format!("{seconds}s ago"),
        120..7200 => format!("{}m ago", seconds / 60),
        _ => format!("{}h ago", seconds / 3600),
    }
}

/// `1 change`, `2 changes`.
pub fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_break_at_spaces_outside_quotes_only() {
        let text = "printf 'action=off ip=node1-bmc username=admin password=%s' \"$bmc_password\" | fence_ipmilan";
        assert_eq!(
            wrap_command(text, 64),
            ["printf 'action=off ip=node1-bmc username=admin password=%s' \\", "  \"$bmc_password\" | fence_ipmilan"]
        );
        let text = "ip addr add 10.5.106.7/8 brd + dev eth0 label eth0:0 && arping -q -U -c 3 -I eth0 10.5.106.7";
        assert_eq!(
            wrap_command(text, 60),
            ["ip addr add 10.5.106.7/8 brd + dev eth0 label eth0:0 &&", "  arping -q -U -c 3 -I eth0 10.5.106.7"]
        );
        let long = "echo 'a word that is much longer than the line and cannot be broken'";
        assert_eq!(
            wrap_command(long, 20),
            ["echo \\", "  'a word that is much longer than the line and cannot be broken'"]
        );
        let comment = "true # a comment that is longer than the line is left as it is, for it does not continue";
        assert_eq!(
            wrap_command(comment, 20),
            ["true \\", "  # a comment that is longer than the line is left as it is, for it does not continue"]
                .map(String::from)
                .to_vec()
        );
    }

    #[test]
    fn titles_of_a_loop_fold_into_one() {
        assert_eq!(fold_titles(&["/a lies on it", "/b lies on it"]), "/a, /b lies on it");
        assert_eq!(fold_titles(&["Stop xcatd", "Stop named", "Stop dhcpd"]), "Stop xcatd, named, dhcpd");
        assert_eq!(fold_titles(&["same", "same"]), "same");
        assert_eq!(fold_titles(&["one thing", "other matter"]), "one thing; other matter");
    }

    #[test]
    fn durations_are_read_as_they_are_written() {
        let words: Vec<String> = [0, 3, 60, 90, 300, 7200].map(Duration::from_secs).map(duration).to_vec();
        assert_eq!(words, ["0s", "3s", "1m", "1m30s", "5m", "2h"]);
    }
}
