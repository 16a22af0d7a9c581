//! Breaking a command's lines where a shell does not mind.
//!
//! Why it exists: commands are read on narrow screens, and what is on the screen gets pasted. Invariant: the broken text
//! is the same command: a line is broken between two words of code only, with ` \` at its end or after `&&`, `||`, `|`,
//! `;` and the words after which a shell waits for more; never in quotes, in an expansion, in a pattern of `case`, or in
//! front of a comment. Texts with a here-document are left as they are. What cannot be broken stays long.

use super::escape::columns;

/// A command's lines; continuation lines are indented by two.
pub fn wrap_command(text: &str, width: usize) -> Vec<String> {
    let width = width.max(16);
    let text = text.trim_end_matches('\n');
    if text.lines().all(|l| columns(l) <= width) {
        return text.lines().map(String::from).collect();
    }
    let read = Reader::read(text);
    let mut out = Vec::new();
    let mut start = 0;
    for line in text.split('\n') {
        let end = start + line.len();
        let spots: Vec<Spot> = read
            .spots
            .iter()
            .filter(|s| (start..end).contains(&s.at))
            .map(|s| Spot { at: s.at - start, free: s.free })
            .collect();
        let comment = read.comments.iter().find(|c| (start..end).contains(*c)).map(|c| c - start);
        break_line(line, &spots, comment.unwrap_or(line.len()), width, &mut out);
        start = end + 1;
    }
    out
}

/// `code`: where a comment begins. It does not count; it would not get shorter.
fn break_line(line: &str, spots: &[Spot], code: usize, width: usize, out: &mut Vec<String>) {
    let lead = line.len() - line.trim_start().len();
    let mut from = 0;
    loop {
        let indent = if from == 0 { 0 } else { lead + 2 };
        let pad = " ".repeat(indent);
        let wide = |to: usize| indent + columns(line[from.min(to)..to].trim_end());
        // An operator in the second half of the line is the better place; else as far right as it goes.
        let fits = |s: &&Spot| s.at > from && wide(s.at) + if s.free { 0 } else { 2 } <= width;
        let operator = || spots.iter().rev().find(|s| s.free && fits(s) && wide(s.at) > width / 2);
        let last = || spots.iter().rev().find(fits);
        let next = || spots.iter().find(|s| s.at > from);
        let spot = if wide(code) <= width { None } else { operator().or_else(last).or_else(next) };
        let Some(spot) = spot else {
            return out.push(format!("{pad}{}", &line[from..]));
        };
        out.push(format!("{pad}{}{}", line[from..spot.at].trim_end(), if spot.free { "" } else { " \\" }));
        from = spot.at + line[spot.at..].len() - line[spot.at..].trim_start().len();
    }
}

/// The lines of a script without the indent they share, and without empty lines around them. Lines that begin inside
/// quotes keep theirs, for it is part of a value.
pub fn dedent(text: &str) -> String {
    let text = text.trim_matches('\n').trim_end();
    if !text.contains(['\n', '<']) {
        // One line, and no here-document.
        return text.trim_start_matches(' ').to_string();
    }
    let read = Reader::read(text);
    let mut start = 0;
    let lines: Vec<(&str, bool)> = text
        .split('\n')
        .map(|line| {
            let quoted = read.quoted.contains(&start);
            start += line.len() + 1;
            (line, quoted)
        })
        .collect();
    let lead = |l: &str| l.len() - l.trim_start_matches(' ').len();
    let shared = lines.iter().filter(|(l, quoted)| !quoted && !l.trim().is_empty()).map(|(l, _)| lead(l)).min();
    let cut = |(l, quoted): &(&str, bool)| {
        if *quoted { l.to_string() } else { l[shared.unwrap_or(0).min(lead(l))..].to_string() }
    };
    if read.here { text.to_string() } else { lines.iter().map(cut).collect::<Vec<_>>().join("\n") }
}

/// A place where a line may be broken.
#[derive(Clone, Copy)]
struct Spot {
    at: usize,
    /// The shell waits for more here: no backslash.
    free: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Room {
    Code,
    Double,
    /// `${…}`, `$((…))` and back-quotes, by what ends them.
    Until(u8),
}

#[derive(Clone, Copy, PartialEq)]
enum Case {
    Subject,
    Pattern,
    Body,
}

#[derive(Default)]
struct Reader {
    spots: Vec<Spot>,
    /// Where comments begin.
    comments: Vec<usize>,
    /// Lines that begin inside quotes or an expansion, by their first byte.
    quoted: Vec<usize>,
    here: bool,
}

impl Reader {
    fn read(text: &str) -> Reader {
        let b = text.as_bytes();
        let mut found = Reader::default();
        // A room, and the `case`s that are open in it.
        let mut rooms: Vec<(Room, Vec<Case>)> = vec![(Room::Code, Vec::new())];
        // A command's name may stand here; the shell waits for more.
        let (mut first, mut free) = (true, true);
        let mut i = 0;
        while i < b.len() {
            let plain = rooms.iter().all(|(r, _)| *r == Room::Code);
            let (room, case) = rooms.last().map_or((Room::Code, None), |(r, c)| (*r, c.last().copied()));
            if b[i] == b'\n' {
                (first, free) = (true, true);
                if !plain {
                    found.quoted.push(i + 1);
                }
                i += 1;
                continue;
            }
            match (room, b[i]) {
                (_, b'\\') => {
                    (first, free) = (false, false);
                    i += 1;
                }
                (_, b'$') if text[i..].starts_with("$((") => {
                    rooms.push((Room::Until(b')'), Vec::new()));
                    i += 2;
                }
                (_, b'$') if text[i..].starts_with("$(") => {
                    rooms.push((Room::Code, Vec::new()));
                    (first, free) = (true, true);
                    i += 1;
                }
                (_, b'$') if text[i..].starts_with("${") => {
                    rooms.push((Room::Until(b'}'), Vec::new()));
                    i += 1;
                }
                (Room::Until(end), c) if c == end => {
                    rooms.pop();
                    if text[i..].starts_with("))") && end == b')' {
                        i += 1;
                    }
                    (first, free) = (false, false);
                }
                // Parentheses within `$((…))`.
                (Room::Until(b')'), b'(') => rooms.push((Room::Until(b')'), vec![Case::Body])),
                (Room::Double, b'"') => {
                    rooms.pop();
                    (first, free) = (false, false);
                }
                (_, b'"') => rooms.push((Room::Double, Vec::new())),
                (Room::Double, _) => {}
                (_, b'\'') => {
                    let end = b[i + 1..].iter().position(|c| *c == b'\'').map_or(b.len(), |n| i + 1 + n);
                    found.quoted.extend((i..end).filter(|at| b[*at] == b'\n').map(|at| at + 1));
                    (first, free) = (false, false);
                    i = end;
                }
                (Room::Until(_), _) => {}
                (Room::Code, b' ') => {
                    let rest = text[i..].trim_start_matches(' ');
                    let word = rest.split([' ', '\n', ';']).next().unwrap_or_default();
                    let late =
                        rest.starts_with(['#', ';', '\n']) || rest.is_empty() || matches!(word, "then" | "do" | "in");
                    let begun = i > 0 && !matches!(b[i - 1], b' ' | b'\n');
                    if plain && begun && !late && !matches!(case, Some(Case::Subject | Case::Pattern)) {
                        found.spots.push(Spot { at: i, free });
                    }
                }
                (Room::Code, b'#') if i == 0 || b" \n;()".contains(&b[i - 1]) => {
                    found.comments.push(i);
                    i += b[i..].iter().position(|c| *c == b'\n').unwrap_or(b.len() - i);
                    continue;
                }
                (Room::Code, b'`') => rooms.push((Room::Until(b'`'), Vec::new())),
                (Room::Code, b'(') if case != Some(Case::Pattern) => {
                    rooms.push((Room::Code, Vec::new()));
                    (first, free) = (true, true);
                }
                (Room::Code, b')') => {
                    let cases = rooms.last_mut().map(|(_, c)| c).filter(|c| !c.is_empty());
                    match cases {
                        Some(cases) if cases.last() == Some(&Case::Pattern) => {
                            cases.pop();
                            cases.push(Case::Body);
                            (first, free) = (true, true);
                        }
                        _ => {
                            if rooms.len() > 1 {
                                rooms.pop();
                            }
                            (first, free) = (false, false);
                        }
                    }
                }
                (Room::Code, b'<') if text[i..].starts_with("<<") => {
                    return Reader { here: true, comments: found.comments, quoted: found.quoted, spots: Vec::new() };
                }
                (Room::Code, b';' | b'&' | b'|') => {
                    let redirect = b[i] == b'&' && i > 0 && matches!(b[i - 1], b'>' | b'<');
                    if text[i..].starts_with(";;") {
                        if let Some(top) = rooms.last_mut().and_then(|(_, c)| c.last_mut()) {
                            *top = Case::Pattern;
                        }
                        i += 1;
                    }
                    // A lone `&` ends a command and waits for nothing.
                    let lone = b[i] == b'&' && b.get(i + 1) != Some(&b'&') && (i == 0 || b[i - 1] != b'&');
                    first = !redirect;
                    free = !redirect && !lone;
                }
                (Room::Code, _) => {
                    let end =
                        b[i..].iter().position(|c| b" \n;&|()<>\"'`$\\#".contains(c)).map_or(b.len(), |n| i + n.max(1));
                    let word = text.get(i..end).unwrap_or_default();
                    let whole = end == b.len() || b" \n;()".contains(&b[end]);
                    let cases = &mut rooms.last_mut().expect("the first room is never left").1;
                    let top = cases.last().copied();
                    let opens = matches!(word, "then" | "do" | "else" | "elif" | "if" | "while" | "until" | "{" | "!");
                    match word {
                        "case" if first && whole => cases.push(Case::Subject),
                        "in" if top == Some(Case::Subject) => {
                            if let Some(c) = cases.last_mut() {
                                *c = Case::Pattern;
                            }
                        }
                        "esac" if first && matches!(top, Some(Case::Pattern | Case::Body)) => {
                            cases.pop();
                        }
                        _ => {}
                    }
                    free = first && whole && opens && word != "!";
                    first = first && whole && opens;
                    i = end;
                    continue;
                }
            }
            i += 1;
        }
        found
    }
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
        let broken = ["echo \\", "  'a word that is much longer than the line and cannot be broken'"];
        assert_eq!(wrap_command(long, 20), broken);
    }

    #[test]
    fn comments_patterns_and_expansions_stay_whole() {
        for whole in [
            "true # a comment that is longer than the line is left as it is",
            "x=\"$(printf '%s' \"a b\" | tr a b) and then some more words\"",
            "x=${before#present and many other words that may not be broken}",
            "x=$((1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10))",
            "cat <<X and then some more words of a line that is long\nX",
        ] {
            assert_eq!(wrap_command(whole, 20), whole.lines().collect::<Vec<_>>(), "{whole}");
        }
        let text = "case $a in\nx | y | a-long-word | another | 'one more') echo yes; echo it is ;;\n*) ;;\nesac";
        let broken = [
            "case $a in",
            "x | y | a-long-word | another | 'one more')",
            "  echo yes;",
            "  echo it is ;;",
            "*) ;;",
            "esac",
        ];
        assert_eq!(wrap_command(text, 16), broken);
        let text = "if [ -f /some/long/path ]; then echo there; else echo gone; fi # or not, who knows";
        let broken = ["if [ -f /some/long/path ]; then", "  echo there; else echo gone; fi # or not, who knows"];
        assert_eq!(wrap_command(text, 34), broken);
    }

    #[test]
    fn every_function_stays_the_same_however_narrow_the_screen() {
        let library = crate::catalog::Library::read();
        let words = |text: &str| text.replace(" \\\n", " ").split_whitespace().map(String::from).collect::<Vec<_>>();
        for f in library.functions() {
            for width in [20, 33, 50, 72] {
                let broken = wrap_command(f.body, width).join("\n");
                assert_eq!(words(&broken), words(f.body), "{} at {width}", f.name);
                let again = wrap_command(f.body, width).join("\n");
                assert_eq!(Reader::read(&again).comments.len(), Reader::read(f.body).comments.len(), "{}", f.name);
            }
        }
    }

    #[test]
    fn a_script_loses_the_indent_it_shares_but_no_value_does() {
        assert_eq!(dedent("\n    a\n      b\n\n    c\n  "), "a\n  b\n\nc");
        assert_eq!(dedent("    x='1\n2'\n    y"), "x='1\n2'\ny");
    }
}
