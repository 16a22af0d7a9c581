//! Names: what one may look like, which are taken, and how a title becomes an id.
//!
//! Why it exists: a name is a shell variable, a word of `on` and a part of ids at once; what it may be is said here only.

use super::At;
use super::read::Reader;

/// Words of the table "on", and names that hawiz sets itself. (`*_proxy` would change what other programs do.)
pub(crate) const RESERVED: &[&str] = &["target", "peers", "all", "others", "here", "from", "to", "mode", "node"];
/// The words of `on`.
pub(crate) const ON: &[&str] = &["target", "peers", "all", "others", "here", "from", "to"];
/// Procedures with a meaning of their own.
pub const KNOWN: &[&str] = &["activate", "deactivate", "setup", "status", "inactive", "alive", "fence", "failover"];

/// Of inputs, node variables, captures, roles, loops, functions: `[a-z][a-z0-9_]*`.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Of procedures, groups and ids: `[a-z0-9][a-z0-9_-]*` with a letter in it.
pub(crate) fn is_id(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
        && text.bytes().any(|b| b.is_ascii_lowercase())
}

/// Of environment variables.
pub(crate) fn is_env(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// What speaks against a name: cause and hint.
pub(crate) fn against(name: &str) -> Option<(String, String)> {
    if !is_name(name) {
        let hint = "a name begins with a lower-case letter and goes on with lower-case letters, digits and `_`";
        return Some((format!("`{name}` is not a name"), hint.into()));
    }
    if RESERVED.contains(&name) {
        return Some((format!("the name `{name}` is taken"), "hawiz itself sets it; choose another".into()));
    }
    if name.ends_with("_proxy") {
        let hint = "programs take `*_proxy` from their environment; choose another, or say it in `[env]`";
        return Some((format!("the name `{name}` is refused"), hint.into()));
    }
    None
}

/// The id a title gives, from the raw text: `Stop {unit}` is `stop-unit` whatever the unit. Without an ASCII letter in
/// it the title gives none, and an `id` must be said.
pub fn slug(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    if out.ends_with('-') {
        out.pop();
    }
    out
}

/// An id has at least so many `/` (a used stage's may have one more in front).
pub(crate) fn slashes(id: &At<String>, least: usize, form: &str, r: &mut Reader) {
    if id.matches('/').count() < least || id.split('/').any(str::is_empty) {
        let hint = format!("ids are written {form}, in quotes");
        r.wrong_hint(
            &id.span,
            format!("`{}` is not the id of a {}", id.value, if least == 1 { "stage" } else { "step" }),
            hint,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_become_ids() {
        for (title, id) in [
            ("Stop {unit}", "stop-unit"),
            ("Which interface does xCAT provision through?", "which-interface-does-xcat-provision-through"),
            ("Is the zone in order?", "is-the-zone-in-order"),
            ("Let {leader} step down", "let-leader-step-down"),
            ("… and it is the same server", "and-it-is-the-same-server"),
            ("/tmp/input.rsp", "tmp-input-rsp"),
            ("Only {new_leader} holds {float_ip}", "only-new-leader-holds-float-ip"),
            ("Исправна?", ""),
        ] {
            assert_eq!(slug(title), id, "{title}");
        }
    }

    #[test]
    fn names_are_shell_variables_that_nobody_else_means() {
        for good in ["vip", "float_ip", "a1"] {
            assert_eq!(against(good), None, "{good}");
        }
        for bad in ["Vip", "1a", "a-b", "", "node", "mode", "to", "http_proxy", "é"] {
            assert!(against(bad).is_some(), "{bad}");
        }
    }
}
