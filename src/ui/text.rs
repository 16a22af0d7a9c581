//! Laying text out: wrapping, right-hand notes, folding of loops, durations in words.
//!
//! Why it exists: every view breaks lines by the same rules, so that a command looks the same in a dry run, at a gate
//! and in a report. (Commands are broken by [`super::wrap`].)

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
