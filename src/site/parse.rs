//! From a site file's tables to the tree, and what goes with what.
//!
//! Why it exists: a wrong site file means a wrong node. Invariant: `Some` only when the file has no mistake.

use super::raw::{RawAnswers, RawFence, RawNode, RawSite};
use super::{Answers, Fence, Node, Site};
use crate::playbook::names::slashes;
use crate::playbook::read::{Read, Reader, Slot};
use crate::playbook::{At, names};
use crate::problem::Problems;
use crate::prompt::answers::ROLL_BACK;
use std::path::Path;

impl Site {
    /// `folder`: where relative paths in it start. With the file's index, for problems that are found later.
    pub fn parse(name: &str, text: &str, folder: &Path, problems: &mut Problems) -> Option<(Site, usize)> {
        let (mut r, value) = Reader::open(name, text, problems);
        let file = r.file;
        let site = RawSite::read("site", value, &mut r).map(|raw| site(raw, folder, &mut r));
        site.filter(|_| r.close(problems)).map(|site| (site, file))
    }
}

fn site(mut raw: RawSite, folder: &Path, r: &mut Reader) -> Site {
    filled("playbook", &raw.playbook, r);
    if let Some(language) = &raw.language.value {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if language.is_empty() || !language.chars().all(fine) {
            r.wrong_hint(&language.span, format!("`{}` is not a language", language.value), "such as `ru` or `pt-BR`");
        }
    }
    let inputs = raw.inputs.take().unwrap_or_default().0;
    for (name, _) in &inputs {
        if !names::is_name(name) {
            r.wrong_hint(&name.span, format!("`{}` is not the name of an input", name.value), NAME_HINT);
        }
    }
    let mut secrets = Vec::new();
    for (name, argv) in raw.secrets.take().unwrap_or_default().0 {
        if !names::is_name(&name) {
            r.wrong_hint(&name.span, format!("`{}` is not the name of a secret", name.value), NAME_HINT);
        }
        if let Some((other, _)) = inputs.iter().find(|(other, _)| other.value == name.value) {
            let hint = "a secret is never written down: leave it out of `[inputs]`";
            r.wrong_hint(&other.span, format!("`{}` stands in `[inputs]` and in `[secrets]`", name.value), hint);
        }
        let words: Vec<String> = argv.value.0.into_iter().map(|w| w.value).collect();
        if words.first().is_none_or(String::is_empty) {
            r.wrong_hint(
                &argv.span,
                format!("`secrets.{}` names no program", name.value),
                "such as `[\"pass\", \"show\", \"bmc\"]`",
            );
        }
        secrets.push((name, words));
    }
    if let (Some(at), true) = (&raw.nodes.key, raw.nodes.value.as_ref().is_some_and(|n| n.0.is_empty())) {
        r.wrong_hint(at, "there are no nodes", "say at least one: `[nodes.NAME]`");
    }
    let raw_nodes = raw.nodes.take().unwrap_or_default().0;
    let mut nodes = Vec::new();
    let mut here: Option<At<String>> = None;
    for (name, raw) in raw_nodes {
        node_name(&name, r);
        if let Some(local) = raw.local.value.as_ref().filter(|l| l.value) {
            match &here {
                Some(first) => {
                    let hint = "two names of one machine would be two nodes; `via` enters another one";
                    r.wrong_hint(
                        &local.span,
                        format!("`{}` and `{}` are both this machine", first.value, name.value),
                        hint,
                    );
                }
                None => here = Some(name.clone()),
            }
        }
        let node = node(&name, raw, r);
        nodes.push((name, node));
    }
    Site {
        playbook: raw.playbook.take(),
        language: raw.language.take().map(|l| l.value),
        no_peers: raw.peers.value.is_some(),
        min_interval: raw.min_interval.take().map(|d| d.value.0),
        inputs,
        secrets,
        nodes,
        folder: folder.to_path_buf(),
    }
}

const NAME_HINT: &str = "names begin with a lower-case letter and go on with lower-case letters, digits and `_`";

/// Refuses an empty text, one with a space, and one that a program would take for an option.
fn filled(key: &str, slot: &Slot<At<String>>, r: &mut Reader) {
    let Some(text) = &slot.value else { return };
    if text.trim().is_empty() {
        r.wrong(&text.span, format!("`{key}` is empty"));
    } else if text.starts_with('-') {
        r.wrong(&text.span, format!("`{key}` begins with `-`"));
    }
}

fn node_name(name: &At<String>, r: &mut Reader) {
    if names::ON.contains(&name.as_str()) {
        let hint = format!("`on = \"{}\"` would mean two things; choose another name", name.value);
        r.wrong_hint(&name.span, format!("a node cannot be called `{}`", name.value), hint);
        return;
    }
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(fine) {
        let hint = "the name people type: letters, digits, `.`, `-`, `_`";
        r.wrong_hint(&name.span, format!("`{}` is not a node's name", name.value), hint);
    }
}

fn node(name: &At<String>, mut raw: RawNode, r: &mut Reader) -> Node {
    let local = raw.local.value.as_ref().is_some_and(|l| l.value);
    let ways = local || raw.via.given();
    if local && let Some(at) = &raw.via.key {
        r.wrong_hint(at, format!("`local` and `via` for node `{}`", name.value), "one of them says how it is reached");
    }
    let meant = |keys: &[&str]| keys.iter().any(|k| matches!(*k, "address" | "local" | "via"));
    let elsewhere = meant(&raw.meant) || raw.fence.value.as_ref().is_some_and(|f| f.0.iter().any(|f| meant(&f.meant)));
    let unread = raw.local.given() && raw.local.value.is_none();
    let reached = ways || elsewhere || unread || raw.address.given();
    if !reached {
        let hint = "say one: `address = …` (SSH), `local = true` (this machine), `via = [ … ]` (a program)";
        r.missing(&name.span, format!("nothing says how node `{}` is reached", name.value), hint);
    }
    if ways {
        let ssh = [
            ("user", &raw.user.key),
            ("port", &raw.port.key),
            ("identity", &raw.identity.key),
            ("jump", &raw.jump.key),
        ];
        for (key, at) in ssh {
            if let Some(at) = at {
                let way = if local { "local" } else { "via" };
                r.wrong_hint(
                    at,
                    format!("`{key}` with `{way}`"),
                    format!("`{key}` is for SSH, which reaches a node that has `address` only"),
                );
            }
        }
    }
    for (key, slot) in [
        ("address", &raw.address),
        ("user", &raw.user),
        ("identity", &raw.identity),
        ("jump", &raw.jump),
        ("group", &raw.group),
    ] {
        filled(key, slot, r);
        if let Some(text) = slot.value.as_ref().filter(|t| key != "identity" && t.trim().contains(char::is_whitespace))
        {
            r.wrong(&text.span, format!("`{key}` has a space in it"));
        }
    }
    if let Some(port) = raw.port.value.as_ref().filter(|p| p.value == 0) {
        r.wrong(&port.span, "there is no port 0");
    }
    if let Some(state) =
        raw.state.value.as_ref().filter(|s| !s.starts_with('/') && raw.via.value.is_none() && raw.local.value.is_none())
    {
        r.wrong_hint(
            &state.span,
            format!("`state` is not a full path: `{}`", state.value),
            "it is a directory on that node; it begins with `/`",
        );
    }
    let via = raw
        .via
        .take()
        .map(|argv| At { span: argv.span, value: argv.value.0.into_iter().map(|w| w.value).collect::<Vec<_>>() });
    if let Some(argv) = via.as_ref().filter(|argv| argv.first().is_none_or(String::is_empty)) {
        r.wrong_hint(
            &argv.span,
            "`via` names no program",
            "such as `[\"docker\", \"exec\", \"-i\", \"lab3\", \"sh\"]`",
        );
    }
    let vars: Vec<_> = raw.vars.take().unwrap_or_default().0.into_iter().map(|(k, v)| (k, At::from(v))).collect();
    for (name, _) in &vars {
        if !names::is_name(name) {
            r.wrong_hint(&name.span, format!("`{}` is not the name of a node variable", name.value), NAME_HINT);
        }
    }
    let devices = raw.fence.take().map(|f| f.0).unwrap_or_default();
    let fence = devices.into_iter().filter_map(|device| self::fence(device, r)).collect();
    Node {
        span: raw.span,
        address: raw.address.take(),
        user: raw.user.take().map(|t| t.value),
        port: raw.port.take().map(|p| p.value),
        identity: raw.identity.take().map(|t| t.value),
        jump: raw.jump.take().map(|t| t.value),
        local,
        via,
        become_: raw.become_.take().map(|b| At { value: b.value.word().into(), span: b.span }),
        state: raw.state.take(),
        group: raw.group.take(),
        vars,
        fence,
    }
}

fn fence(mut raw: RawFence, r: &mut Reader) -> Option<Fence> {
    filled("agent", &raw.agent, r);
    let options = raw.options.take().unwrap_or_default().0;
    let options: Vec<(At<String>, At<String>)> = options.into_iter().map(|(k, v)| (k, v.into())).collect();
    for (option, _) in options.iter().filter(|(k, _)| matches!(k.as_str(), "action" | "option")) {
        let hint = "hawiz says `off` and `status` itself; `reboot` would be no proof";
        r.wrong_hint(&option.span, format!("`{}` is not an option of a site", option.value), hint);
    }
    for (option, value) in &options {
        let wrong = if option.contains(['=', '\n', ' ']) || option.is_empty() {
            Some((option, "is not the name of an option"))
        } else {
            value.contains('\n').then_some((value, "has more than one line"))
        };
        if let Some((at, why)) = wrong {
            let hint = "an agent is given `name=value`, a line each";
            r.wrong_hint(&at.span, format!("`{}` {why}", at.value.trim_end()), hint);
        }
    }
    let deadline = raw.deadline.take();
    if let Some(at) = deadline.as_ref().filter(|d| d.value.0.is_zero()) {
        r.wrong(&at.span, "`deadline` is nothing");
    }
    Some(Fence { span: raw.span, agent: raw.agent.take()?, options, deadline: deadline.map(|d| d.value.0) })
}

impl Answers {
    /// `Some` only when there was no mistake.
    pub fn parse(name: &str, text: &str, problems: &mut Problems) -> Option<(Answers, usize)> {
        let (mut r, value) = Reader::open(name, text, problems);
        let file = r.file;
        let answers = RawAnswers::read("answers", value, &mut r).map(|mut raw| {
            let answers = Answers {
                inputs: raw.inputs.take().unwrap_or_default().0,
                digests: raw.digests.take().unwrap_or_default().0,
                gates: raw.gates.take().unwrap_or_default().0,
                manual: raw.manual.take().unwrap_or_default().0,
                plan: raw.plan.take(),
            };
            // A roll-back is no stage of any plan, and has a gate all the same.
            let gates = answers.gates.iter().filter(|(id, _)| id.value != ROLL_BACK);
            for (id, _) in answers.digests.iter().chain(gates) {
                slashes(id, 1, "`PROCEDURE/STAGE`", &mut r);
            }
            for (id, _) in &answers.manual {
                slashes(id, 2, "`PROCEDURE/STAGE/STEP`", &mut r);
            }
            answers
        });
        answers.filter(|_| r.close(problems)).map(|answers| (answers, file))
    }
}
