//! The dresses a secret may wear in a program's output.
//!
//! Why it exists: each program quotes in its own way; this is the list of the ways that are looked for. Invariant: every
//! form is the secret alone, without what may stand around it (quotes, keys), so that it is found inside anything.

use std::collections::BTreeSet;

/// All forms of a secret: itself, shell-quoted, JSON, URL, base64. None for an empty one.
pub fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut all = BTreeSet::new();
    if secret.is_empty() {
        return Vec::new();
    }
    all.insert(secret.to_vec());
    // Inside '…': the quotes around it may be those of a longer word. Two customs for a quote within.
    for within in ["'\\''", "'\"'\"'"] {
        all.insert(replaced(secret, |b| (b == b'\'').then(|| within.into())));
    }
    // Inside "…", without and with history's exclamation mark.
    all.insert(backslashed(secret, |b| b"$`\"\\".contains(&b)));
    all.insert(backslashed(secret, |b| b"$`\"\\!".contains(&b)));
    // Unquoted: everything but letters and digits; but what hawiz leaves plain; what bash's %q has to escape.
    all.insert(backslashed(secret, |b| b.is_ascii() && !b.is_ascii_alphanumeric() && b != b'_'));
    all.insert(backslashed(secret, |b| b.is_ascii() && !b.is_ascii_alphanumeric() && !b"_@%+=:,./^-".contains(&b)));
    all.insert(backslashed(secret, |b| b" \t\n'\"\\|&;()<>!{}*[]?^$`,".contains(&b)));
    // $'…', for what has control characters or is not ASCII.
    all.insert(replaced(secret, ansi_c));
    json(secret, &mut all);
    url(secret, &mut all);
    for text in [secret.to_vec(), [secret, b"\n"].concat()] {
        // With a newline: `echo "$pw" | base64`.
        for alphabet in [STANDARD, URL_SAFE] {
            let padded = base64(&text, alphabet);
            let bare = padded.trim_end_matches('=').to_string();
            all.extend([padded.into_bytes(), bare.into_bytes()]);
        }
    }
    // What is left of bytes that are not UTF-8 once somebody has shown them.
    all.insert(String::from_utf8_lossy(secret).into_owned().into_bytes());
    // A form that is hardly there any more would mask everything.
    all.into_iter().filter(|f| f.len() >= secret.len().min(4)).collect()
}

fn replaced(secret: &[u8], with: impl Fn(u8) -> Option<String>) -> Vec<u8> {
    let mut out = Vec::with_capacity(secret.len());
    for b in secret {
        match with(*b) {
            Some(text) => out.extend_from_slice(text.as_bytes()),
            None => out.push(*b),
        }
    }
    out
}

fn backslashed(secret: &[u8], escape: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(secret.len() * 2);
    for b in secret {
        if escape(*b) {
            out.push(b'\\');
        }
        out.push(*b);
    }
    out
}

fn ansi_c(b: u8) -> Option<String> {
    Some(match b {
        b'\n' => "\\n".into(),
        b'\t' => "\\t".into(),
        b'\r' => "\\r".into(),
        0x1b => "\\E".into(),
        b'\'' => "\\'".into(),
        b'\\' => "\\\\".into(),
        0..=0x1f | 0x7f..=0xff => format!("\\{b:03o}"),
        _ => return None,
    })
}

/// As JSON strings of the usual writers: ours; with `\/`; ASCII only; and safe inside HTML.
fn json(secret: &[u8], all: &mut BTreeSet<Vec<u8>>) {
    let Ok(text) = std::str::from_utf8(secret) else { return };
    let quoted = serde_json::Value::from(text).to_string();
    let ours = &quoted[1..quoted.len() - 1];
    let escaped = |which: &dyn Fn(char) -> bool, upper: bool| -> String {
        let mut out = String::new();
        for c in ours.chars() {
            if which(c) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out += &if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
                }
            } else {
                out.push(c);
            }
        }
        out
    };
    let html = |c: char| "<>&".contains(c);
    let wide = |c: char| !c.is_ascii() || c == '\u{7f}';
    let mut versions = vec![ours.to_string(), escaped(&html, false)];
    for upper in [false, true] {
        versions.push(escaped(&wide, upper));
        versions.push(escaped(&|c| wide(c) || html(c) || c == '\'', upper));
    }
    for version in versions {
        all.insert(version.replace('/', "\\/").into_bytes());
        all.insert(version.into_bytes());
    }
}

/// Percent form: what is left plain differs (RFC 3986, paths, browsers), and so do the digits and the space.
fn url(secret: &[u8], all: &mut BTreeSet<Vec<u8>>) {
    for plain in ["-._~", "-._~/", "-._~!'()*", "-._~!'()*;/?:@&=+$,#", "-._~!$&'()*+,;=", "-._*", ""] {
        let keep = |b: u8| b.is_ascii_alphanumeric() || plain.as_bytes().contains(&b);
        for upper in [true, false] {
            let hex = |b: u8| if upper { format!("%{b:02X}") } else { format!("%{b:02x}") };
            all.insert(replaced(secret, |b| (!keep(b)).then(|| hex(b))));
            all.insert(replaced(secret, |b| match b {
                b' ' => Some("+".into()),
                b => (!keep(b)).then(|| hex(b)),
            }));
        }
    }
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |all, b| all << 8 | u32::from(*b)) << (8 * (3 - group.len()));
        for place in 0..4 {
            if place <= group.len() {
                out.push(char::from(alphabet[(bits >> (18 - 6 * place) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(secret: &str, form: &str) {
        let all = forms(secret.as_bytes());
        let shown: Vec<_> = all.iter().map(|f| String::from_utf8_lossy(f)).collect();
        assert!(all.iter().any(|f| f == form.as_bytes()), "{form} is not among {shown:#?}");
    }

    #[test]
    fn shells_quote_in_all_their_ways() {
        has("it's", "it'\\''s");
        has("it's", "it'\"'\"'s");
        has("a$b`c\"d\\e", "a\\$b\\`c\\\"d\\\\e");
        has("a b.c", "a\\ b.c");
        has("a b.c", "a\\ b\\.c");
        has("a\tb\u{fc}'", "a\\tb\\303\\274\\'");
    }

    #[test]
    fn json_of_the_usual_writers_is_known() {
        has("a\"b\\c\nd", "a\\\"b\\\\c\\nd");
        has("a/b/c", "a\\/b\\/c");
        has("pass<&>", "pass\\u003c\\u0026\\u003e");
        has("gr\u{fc}n\u{1f511}", "gr\\u00fcn\\ud83d\\udd11");
        has("gr\u{fc}n\u{1f511}", "gr\\u00FCn\\uD83D\\uDD11");
    }

    #[test]
    fn urls_of_the_usual_writers_are_known() {
        has("a b/c&d", "a%20b%2Fc%26d");
        has("a b/c&d", "a%20b%2fc%26d");
        has("a b/c&d", "a+b%2Fc%26d");
        has("a b/c&d", "a%20b/c%26d");
        has("it's(x)", "it's(x)");
        has("gr\u{fc}n", "gr%C3%BCn");
    }

    #[test]
    fn base64_is_known_with_and_without_padding() {
        has("hunter22", "aHVudGVyMjI=");
        has("hunter22", "aHVudGVyMjI");
        has("hunter22", "aHVudGVyMjIK");
        has("hunter2222", "aHVudGVyMjIyMg==");
        has("\u{fb}\u{ff}\u{fe}\u{fc}", "w7vDv8O+w7w=");
        has("\u{fb}\u{ff}\u{fe}\u{fc}", "w7vDv8O-w7w");
    }

    #[test]
    fn bytes_that_are_not_utf_8_have_forms_too() {
        let all = forms(b"\xff\xfeab");
        for form in
            [&b"\xff\xfeab"[..], b"%FF%FEab", b"//5hYg==", b"__5hYg", b"\\377\\376ab", "\u{fffd}\u{fffd}ab".as_bytes()]
        {
            assert!(all.iter().any(|f| f == form), "{:?}", String::from_utf8_lossy(form));
        }
    }

    #[test]
    fn an_empty_secret_has_no_forms() {
        assert!(forms(b"").is_empty());
    }
}
