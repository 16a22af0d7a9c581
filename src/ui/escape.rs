//! Text from nodes and playbooks, made harmless before a terminal sees it.
//!
//! Why it exists: what a node prints may hold escape sequences that move the cursor, retitle the window, answer a
//! prompt through the keyboard buffer, or (bidirectional overrides) show another command than the one that runs.
//! Invariant: nothing that leaves [`line`] or [`block`] can do more to a terminal than print; every character that was
//! replaced can still be told from the text (`^[`, `\x9b`, `<U+202E>`).
//!
//! `--format sh` alone is not escaped: it is bytes for a shell, not characters for an eye.

use std::borrow::Cow;
use std::fmt::Write;

/// One line: newlines show as `\n`, tabs as one space.
pub fn line(text: &str) -> Cow<'_, str> {
    if harmless(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push(' '),
            c => push(&mut out, c),
        }
    }
    Cow::Owned(out)
}

/// Several lines: newlines stay, `\r\n` counts as one, tabs become spaces up to the next eighth column.
pub fn block(text: &str) -> Cow<'_, str> {
    if harmless(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut column = 0;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => {
                out.push('\n');
                column = 0;
            }
            '\r' if chars.peek() == Some(&'\n') => {}
            '\t' => {
                let n = 8 - column % 8;
                out.extend(std::iter::repeat_n(' ', n));
                column += n;
            }
            c => {
                push(&mut out, c);
                column += 1;
            }
        }
    }
    Cow::Owned(out)
}

fn harmless(text: &str) -> bool {
    text.bytes().all(|b| (0x20..0x7f).contains(&b)) || !text.chars().any(|c| c == '\n' || c == '\t' || replaced(c))
}

/// Characters that a terminal acts upon, or that hide or reorder what is read.
fn replaced(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{ad}' | '\u{61c}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn push(out: &mut String, c: char) {
    // Writing into a String cannot fail.
    let _ = match c {
        '\0'..='\x1f' => write!(out, "^{}", (c as u8 + 0x40) as char),
        '\x7f' => write!(out, "^?"),
        '\u{80}'..='\u{9f}' => write!(out, "\\x{:02x}", c as u32),
        c if replaced(c) => write!(out, "<U+{:04X}>", c as u32),
        c => {
            out.push(c);
            Ok(())
        }
    };
}

/// Columns a text takes; it must have been escaped before.
pub fn columns(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { console::measure_text_width(text) }
}

/// Cuts a text to so many columns; what was cut shows as `tail`.
pub fn cut<'a>(text: &'a str, width: usize, tail: &str) -> Cow<'a, str> {
    if columns(text) <= width { Cow::Borrowed(text) } else { console::truncate_str(text, width, tail) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_never_gets_a_control_character() {
        for (text, want) in [
            ("plain", "plain"),
            ("grün ✓", "grün ✓"),
            ("\x1b[2Jgone", "^[[2Jgone"),
            ("bell\x07", "bell^G"),
            ("csi \u{9b}31m", "csi \\x9b31m"),
            ("a\u{202e}b", "a<U+202E>b"),
            ("zero\u{200b}width", "zero<U+200B>width"),
            ("del\x7f", "del^?"),
            ("two\nlines\tx", "two\\nlines x"),
        ] {
            assert_eq!(line(text), want);
        }
        assert_eq!(block("a\tb\r\nc\rd"), "a       b\nc^Md");
    }

    #[test]
    fn every_character_that_is_not_printed_as_it_is_is_a_control_or_format_character() {
        let bad = (0..=0x10ffff_u32)
            .filter_map(char::from_u32)
            .filter(|c| c.is_control() && *c != '\n' && line(&c.to_string()).contains(*c))
            .count();
        assert_eq!(bad, 0);
    }
}
