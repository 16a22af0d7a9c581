//! What a script's text says about itself: an empty one, one that begins with `!`, and two warnings.
//!
//! Why it exists: `set -e` does not see everywhere (FORMAT, trap 5), and the writer does not know. Invariant: this never
//! runs a shell; quoting is followed well enough to find words, no further.

use super::At;
use super::read::Reader;
use std::ops::Range;

/// The words in backticks of a message.
pub(crate) fn quoted(message: &str) -> Vec<String> {
    message.split('`').skip(1).step_by(2).map(str::to_string).collect()
}

/// Refuses what can never be meant. True: it may stand.
pub(crate) fn script(key: &str, text: &At<String>, r: &mut Reader) -> bool {
    let Some(first) = code_lines(text).next() else {
        r.wrong(&text.span, format!("`{key}` is an empty script"));
        return false;
    };
    if first.starts_with('!') {
        let hint = match key.strip_suffix(".sh") {
            Some(look) if !key.starts_with("run") && !key.starts_with("undo") && !key.contains(".not.") => {
                format!("write `{look}.not.sh`: then a missing tool is not taken for a yes")
            }
            _ => "`!` hides failures from `set -e`; assign and test instead".to_string(),
        };
        r.wrong_hint(&text.span, format!("`{key}` begins with `!`"), hint);
        return false;
    }
    true
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'))
}

/// Warnings about a look's script.
pub(crate) fn look(key: &str, not: bool, text: &str, span: &Range<usize>, r: &mut Reader) {
    let parts = commands(text);
    if let [only] = parts.as_slice()
        && (only.text.starts_with("test ") || only.text.starts_with("[ "))
        && only.text.contains("$(")
    {
        r.warn(
            span,
            format!("`{key}.sh`: inside `test \"$(…)\"` a command that fails goes unseen, and counts as false"),
            "assign first: `x=$(…)` on a line of its own, then `test \"$x\" …`",
        );
    }
    if not {
        // What only prints cannot fail unseen: `printf '%s\n' "$x" | grep …` is the cure, not the illness.
        let harmless = |c: &Command<'_>| ["printf ", "echo "].iter().any(|p| c.text.starts_with(p));
        if parts.iter().any(|c| c.piped && !harmless(c)) {
            r.warn(
                span,
                format!("`{key}.sh`: what stands left of a pipe may fail unseen, and under `not` that counts as true"),
                "assign first: `x=$(…)`, then `printf '%s\\n' \"$x\" | …`",
            );
        }
    }
}

/// One command of a script, roughly.
struct Command<'a> {
    text: &'a str,
    /// A single `|` comes after it.
    piped: bool,
}

/// Splits at `;`, newlines, `&&`, `||`, `|`, `&` outside quotes and `$(…)`.
fn commands(text: &str) -> Vec<Command<'_>> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let (mut start, mut i) = (0, 0);
    // `"` and `(` that are open, innermost last.
    let mut open: Vec<u8> = Vec::new();
    while i < bytes.len() {
        let quoted = open.last() == Some(&b'"');
        match bytes[i] {
            b'\\' => i += 1,
            b'\'' if !quoted => i = bytes[i + 1..].iter().position(|b| *b == b'\'').map_or(bytes.len(), |n| i + 1 + n),
            b'"' if quoted => drop(open.pop()),
            b'"' => open.push(b'"'),
            b'#' if open.is_empty() && (i == 0 || bytes[i - 1].is_ascii_whitespace()) => {
                push(&mut out, text, start..i, false);
                i = bytes[i..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| i + n);
                start = i;
                continue;
            }
            b'(' if !quoted || bytes[i.saturating_sub(1)] == b'$' => open.push(b'('),
            b')' if open.last() == Some(&b'(') => drop(open.pop()),
            b'\n' | b';' | b'&' | b'|' if open.is_empty() => {
                let double = bytes.get(i + 1) == Some(&bytes[i]) && bytes[i] != b'\n';
                // `2>&1` and `>|` are no ends.
                let redirection = matches!(bytes[i], b'&' | b'|') && i > 0 && matches!(bytes[i - 1], b'>' | b'<');
                if !redirection {
                    push(&mut out, text, start..i, bytes[i] == b'|' && !double);
                    i += usize::from(double);
                    start = i + 1;
                }
            }
            _ => {}
        }
        i += 1;
    }
    push(&mut out, text, start..text.len(), false);
    out
}

fn push<'a>(out: &mut Vec<Command<'a>>, text: &'a str, range: Range<usize>, piped: bool) {
    let part = text.get(range).unwrap_or("").trim();
    if !part.is_empty() {
        out.push(Command { text: part, piped });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_split_at_their_commands() {
        for (script, parts) in [
            ("test \"$(a | b)\" = x", vec!["test \"$(a | b)\" = x"]),
            ("a && b || c; d\n e", vec!["a", "b", "c", "d", "e"]),
            (
                "x=$(a; b) # why; not\nprintf '%s;\\n' \"$x\" | grep y",
                vec!["x=$(a; b)", "printf '%s;\\n' \"$x\"", "grep y"],
            ),
            ("echo \"$(f \"a;b\")\" >&2", vec!["echo \"$(f \"a;b\")\" >&2"]),
            ("# only a word", vec![]),
            ("echo 'open", vec!["echo 'open"]),
            ("echo \\", vec!["echo \\"]),
        ] {
            let found: Vec<&str> = commands(script).iter().map(|c| c.text).collect();
            assert_eq!(found, parts, "{script}");
        }
        assert!(commands("a | b")[0].piped && !commands("a || b")[0].piped);
    }
}
