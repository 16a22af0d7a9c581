//! `sh -n` for every script of a plan, a few processes for thousands of texts.
//!
//! Why it exists: a text that cannot be parsed must be a plan-time error with a place, not a look that "is false".
//! Invariant: texts are only ever checked together when one cannot hide in another: their quotes close, they hold no
//! here-document, and each stands in braces of its own, so that a stray `fi` or `}` is an error wherever it stands.

use std::io::Write;
use std::process::{Command, Stdio};

/// For each text, what `sh -n` said, or nothing. `closed`: see [`super::names::Scan::closed`].
pub fn check(texts: &[(&str, bool)]) -> Vec<Option<String>> {
    let mut said = vec![None; texts.len()];
    let together: Vec<usize> = (0..texts.len()).filter(|i| texts[*i].1).collect();
    narrow(texts, &together, &mut said);
    for i in (0..texts.len()).filter(|i| !texts[*i].1) {
        said[i] = parse(texts[i].0);
    }
    said
}

/// All of them together; when that fails, each half, down to the text that is broken.
fn narrow(texts: &[(&str, bool)], some: &[usize], said: &mut [Option<String>]) {
    match some {
        [] => {}
        [one] => said[*one] = parse(texts[*one].0),
        _ => {
            let mut all = String::new();
            for i in some {
                all.push_str("_() {\n:\n");
                all.push_str(texts[*i].0);
                all.push_str("\n}\n");
            }
            if parse(&all).is_some() {
                let (left, right) = some.split_at(some.len() / 2);
                narrow(texts, left, said);
                narrow(texts, right, said);
            }
        }
    }
}

/// What `sh -n` complains of, in its own words without its name; a machine without `sh` complains of nothing.
fn parse(text: &str) -> Option<String> {
    let mut child =
        Command::new("sh").arg("-n").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
    // Written from a thread of its own is not needed: `sh -n` prints nothing before it has read its error.
    let _ = child.stdin.take().expect("stdin was piped").write_all(text.as_bytes());
    let out = child.wait_with_output().ok()?;
    if out.status.success() {
        return None;
    }
    let err = String::from_utf8_lossy(&out.stderr);
    let line = err.lines().next().unwrap_or("it cannot be parsed");
    Some(line.trim_start_matches("sh: ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_text_is_found_among_many() {
        let texts = [("true", true), ("if true; then", true), ("echo 'a'", true), ("fi", true), ("echo 'x", false)];
        let bad: Vec<usize> = check(&texts).iter().enumerate().filter(|(_, s)| s.is_some()).map(|(i, _)| i).collect();
        assert_eq!(bad, [1, 3, 4]);
    }
}
