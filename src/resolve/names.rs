//! Which names a shell text uses, assigns and calls: a small lexer, no parser.
//!
//! Why it exists: an unset `$name` under `set -u` exits 2 in dash, which a look would read as *false*. So every name is
//! checked when planning. Invariant: text in single quotes (awk's `$1`) and comments never counts as use.

/// What stands in a shell text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scan<'t> {
    /// `$name`, `${name…}`, in order of first use.
    pub used: Vec<&'t str>,
    /// `name=`, `for name`, `read name`, `local name`, `${name:=…}`, as often as they stand there.
    pub assigned: Vec<&'t str>,
    /// Bare words, where a function could be called, as often as they stand there.
    pub words: Vec<&'t str>,
    /// Quotes and parentheses close, and there is no here-document: such texts may be syntax-checked together.
    pub closed: bool,
}

#[derive(PartialEq)]
enum Room {
    Code { cases: usize },
    Double,
}

/// Reads a shell text.
pub fn scan(text: &str) -> Scan<'_> {
    let b = text.as_bytes();
    let mut found = Scan { closed: true, ..Scan::default() };
    let mut rooms = vec![Room::Code { cases: 0 }];
    // What the words after this one are: names that `for`, `read`, `local`… assign.
    let mut assigning = false;
    // A command may begin here, so `name=` assigns; later `name=` is an argument (awk's `-v vip=…`).
    let mut head = true;
    let mut i = 0;
    let name_end = |from: usize| b[from..].iter().position(|c| !is_name(*c)).map_or(b.len(), |n| from + n);
    while i < b.len() {
        let code = matches!(rooms.last(), Some(Room::Code { .. }));
        let fresh = i == 0 || b" \t\n;|&(){}".contains(&b[i - 1]);
        if code && fresh && b"\"'$".contains(&b[i]) {
            head = false;
        }
        match b[i] {
            b'\\' => i += 1,
            b'$' if i + 1 < b.len() => match b[i + 1] {
                b'(' => {
                    rooms.push(Room::Code { cases: 0 });
                    (assigning, head) = (false, true);
                    i += 1;
                }
                b'{' => {
                    let start = if b.get(i + 2) == Some(&b'#') { i + 3 } else { i + 2 };
                    let end = name_end(start);
                    if end > start && is_name_start(b[start]) {
                        let name = &text[start..end];
                        if text[end..].starts_with(":=") || text[end..].starts_with('=') {
                            found.assigned.push(name);
                        }
                        note(&mut found.used, name);
                        i = end - 1;
                    } else {
                        i += 1;
                    }
                }
                c if is_name_start(c) => {
                    let end = name_end(i + 1);
                    note(&mut found.used, &text[i + 1..end]);
                    i = end - 1;
                }
                _ => i += 1,
            },
            b'"' if code => rooms.push(Room::Double),
            b'"' => {
                rooms.pop();
            }
            _ if !code => {}
            b'\'' => match b[i + 1..].iter().position(|c| *c == b'\'') {
                Some(n) => i += n + 1,
                None => {
                    found.closed = false;
                    return found;
                }
            },
            b'#' if i == 0 || b" \t\n;(".contains(&b[i - 1]) => {
                i += b[i..].iter().position(|c| *c == b'\n').unwrap_or(b.len() - i);
                assigning = false;
                continue;
            }
            b'(' => {
                rooms.push(Room::Code { cases: 0 });
                head = true;
            }
            // A `)` that ends a pattern of `case` closes nothing.
            b')' => {
                if rooms.len() > 1 && matches!(rooms.last(), Some(Room::Code { cases: 0 })) {
                    rooms.pop();
                }
                (assigning, head) = (false, true);
            }
            b'<' if b.get(i + 1) == Some(&b'<') => found.closed = false,
            b'<' | b'>' => assigning = false,
            b'\n' | b';' | b'|' | b'&' | b'{' | b'}' => (assigning, head) = (false, true),
            c if is_word(c) => {
                let end = b[i..].iter().position(|c| !is_word(*c)).map_or(b.len(), |n| i + n);
                let word = &text[i..end];
                let name = word.bytes().all(is_name) && is_name_start(word.as_bytes()[0]);
                let begins = matches!(word, "then" | "do" | "else" | "elif" | "if" | "while" | "until");
                if !fresh {
                    // The rest of a word: of a path, a value, a redirection.
                } else if b.get(end) == Some(&b'=') && name {
                    if head || assigning {
                        found.assigned.push(word);
                    }
                } else if assigning && name && !matches!(word, "in" | "do") {
                    found.assigned.push(word);
                } else {
                    assigning = (assigning && word.starts_with('-'))
                        || matches!(word, "for" | "read" | "local" | "export" | "readonly" | "getopts");
                    head = begins;
                }
                if let Some(Room::Code { cases }) = rooms.last_mut() {
                    match word {
                        "case" => *cases += 1,
                        "esac" => *cases = cases.saturating_sub(1),
                        _ => {}
                    }
                }
                found.words.push(word);
                i = end;
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    found.closed &= rooms.len() == 1 && !text.ends_with('\\');
    found
}

fn note<'t>(used: &mut Vec<&'t str>, name: &'t str) {
    if !used.contains(&name) {
        used.push(name);
    }
}
fn is_name_start(c: u8) -> bool {
    c.is_ascii_alphabetic() || c == b'_'
}
fn is_name(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'_'
}
fn is_word(c: u8) -> bool {
    is_name(c) || c == b'-'
}

/// Names the shell or every login sets.
pub const GIVEN: [&str; 14] = [
    "PATH", "HOME", "IFS", "PWD", "OLDPWD", "PPID", "OPTIND", "OPTARG", "LC_ALL", "LANG", "TMPDIR", "USER", "LOGNAME",
    "SHELL",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn used(text: &str) -> Vec<&str> {
        scan(text).used
    }

    #[test]
    fn names_are_found_where_the_shell_would_expand_them() {
        assert_eq!(used(r#"test "$a" = ${b%/} && echo $c"#), ["a", "b", "c"]);
        assert_eq!(used(r#"ip addr | awk -v v="$vip" '{ print $1, $x }'"#), ["vip"]);
        assert_eq!(used(r#"echo "it's $here" '$not' \$nor"#), ["here"]);
        assert_eq!(used("echo a # $comment\necho $b"), ["b"]);
        assert_eq!(used(r#"x="$(f '$no' "$yes")"; echo ${#len}"#), ["yes", "len"]);
        assert_eq!(used(r#"echo "$(case $a in x) echo '$no' ;; esac) $b""#), ["a", "b"]);
    }

    #[test]
    fn assigned_names_are_known() {
        let s = scan("for p in a b; do read -r x y <f; z=1; local w; : \"${q:=2}\"; done");
        assert_eq!(s.assigned, ["p", "x", "y", "z", "w", "q"]);
        let s = scan("a=1 b=$(c=2; ps -o comm=) awk -v vip=3; if d=4; then export e=5; fi");
        assert_eq!(s.assigned, ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn open_quotes_and_here_documents_are_not_closed() {
        assert!(scan("echo 'a' \"b\" $(c)").closed);
        for text in ["echo 'a", "echo \"a", "cat <<E\nE", "x=$(echo", "echo \\"] {
            assert!(!scan(text).closed, "{text}");
        }
    }
}
