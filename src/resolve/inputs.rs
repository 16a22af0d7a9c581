//! Values: inputs from flags, answers, the site and defaults; nodes and their variables.

use super::{Bound, Resolver};
use crate::plan::{self, How};
use crate::playbook::{At, Given, Input, InputKind};
use crate::problem::did_you_mean;
use crate::shell::Value;
use crate::site::{self, Site};
use std::ops::Range;

/// Where a value was given, for the text of a problem about it.
enum Origin {
    Flag,
    Site(Range<usize>),
    Playbook(Range<usize>),
}

impl Resolver<'_> {
    pub(super) fn inputs(&mut self) {
        let (pb, site, req) = (self.pb, self.site, self.req);
        let known = || pb.inputs.iter().map(|(n, _)| n.as_str());
        for (name, _) in &req.sets {
            if !known().any(|k| k == name) {
                let hint = did_you_mean(name, known());
                self.site_problem(None, format!("`--set {name}`: the playbook has no input `{name}`")).hint = hint;
            }
        }
        for (name, _) in &site.inputs {
            if !known().any(|k| k == name.value) {
                let hint = did_you_mean(&name.value, known());
                self.site_problem(Some(&name.span), format!("the playbook has no input `{}`", name.value)).hint = hint;
            }
        }
        for (name, _) in &site.secrets {
            if !pb.inputs.iter().any(|(n, i)| n.value == name.value && i.kind == InputKind::Secret) {
                let hint = did_you_mean(&name.value, known());
                self.site_problem(Some(&name.span), format!("the playbook has no secret `{}`", name.value)).hint = hint;
            }
        }
        // Twice, because `default-for` looks at another input, wherever that stands.
        for round in 0..2 {
            for (name, input) in &pb.inputs {
                if !self.world.names.contains_key(&name.value) {
                    self.input(name, input, round);
                }
            }
        }
    }

    fn input(&mut self, name: &At<String>, input: &Input, round: u32) {
        let key = name.value.clone();
        let flag = self.req.sets.iter().find(|(n, _)| *n == key).map(|(_, v)| v.clone());
        let in_site = self.site.inputs.iter().find(|(n, _)| n.value == key).map(|(_, v)| v.clone());
        if input.kind == InputKind::Secret {
            if flag.is_some() && round == 0 {
                self.site_problem(None, format!("`--set {key}`: a secret is never given on the command line")).hint =
                    Some(format!(
                        "set `$HAWIZ_SECRET_{}`, name a command in the site's `[secrets]`, or be asked",
                        key.to_uppercase()
                    ));
            }
            if let Some(v) = in_site.filter(|_| round == 0) {
                self.site_problem(Some(&v.span), format!("`{key}` is a secret and may not stand in a file")).hint =
                    Some(format!("name a command that prints it: `[secrets]` `{key} = [\"pass\", \"show\", …]`"));
            }
            self.world.names.insert(key.clone(), Bound::Secret(key));
            return;
        }
        let (bound, origin) = if let Some(v) = flag {
            let bound = match input.kind {
                InputKind::List => {
                    Bound::List(v.0.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(Value::new).collect())
                }
                _ => Bound::Value(v),
            };
            (bound, Origin::Flag)
        } else if let Some(v) = in_site {
            (given(&v.value), Origin::Site(v.span))
        } else if let Some((other, table)) = &input.default_for {
            let chosen = match self.world.names.get(&other.value) {
                Some(Bound::Value(v)) => v.lossy(),
                _ if round == 0 => return,
                _ => {
                    self.problem(&other.span, format!("`default-for.{}` needs an input with one value", other.value));
                    return;
                }
            };
            match (table.iter().find(|(k, _)| k.value == chosen), &input.default) {
                (Some((_, v)), _) => (given(&v.value), Origin::Playbook(v.span.clone())),
                (None, Some(d)) => (given(&d.value), Origin::Playbook(d.span.clone())),
                (None, None) => return self.missing(name, input),
            }
        } else if let Some(d) = &input.default {
            (given(&d.value), Origin::Playbook(d.span.clone()))
        } else {
            return self.missing(name, input);
        };
        if let Some(why) = wrong(&key, input, &bound) {
            match origin {
                Origin::Flag => self.site_problem(None, format!("`--set {key}`: {why}")),
                Origin::Site(span) => self.site_problem(Some(&span), why),
                Origin::Playbook(span) => self.problem(&span, why),
            };
        }
        self.world.names.insert(key, bound);
    }

    fn missing(&mut self, name: &At<String>, input: &Input) {
        let key = &name.value;
        let what = if input.prompt.is_empty() { String::new() } else { format!(" ({})", input.prompt) };
        let message = format!("input `{key}`{what} has no value");
        self.site_problem(None, message).hint =
            Some(format!("add `{key} = …` to `[inputs]` of the site file, or give `--set {key}=…`"));
        // A placeholder, so that one missing input is one problem.
        self.world.names.insert(
            key.clone(),
            if input.kind == InputKind::List { Bound::List(vec![]) } else { Bound::Value(Value::default()) },
        );
    }

    /// The nodes, as the plan keeps them.
    pub(super) fn nodes(&mut self) {
        let (pb, site) = (self.pb, self.site);
        self.world.node_defaults =
            pb.node_vars.iter().map(|(n, v)| (n.value.clone(), v.default.as_ref().map(|d| d.value.clone()))).collect();
        let groups: Vec<&str> = pb.groups.iter().map(|g| g.as_str()).collect();
        for (name, node) in &site.nodes {
            if let Some(group) = &node.group
                && !groups.contains(&group.as_str())
            {
                let hint = did_you_mean(group, groups.iter().copied());
                self.site_problem(Some(&group.span), format!("the playbook has no group `{}`", group.value)).hint =
                    hint;
            }
            for (var, _) in &node.vars {
                if !self.world.node_defaults.contains_key(&var.value) {
                    let hint = did_you_mean(&var.value, pb.node_vars.iter().map(|(n, _)| n.as_str()));
                    self.site_problem(Some(&var.span), format!("the playbook has no node variable `{}`", var.value))
                        .hint = hint;
                }
            }
            let group = node.group.as_ref().map(|g| g.value.clone()).or_else(|| groups.first().map(|g| g.to_string()));
            let vars = node.vars.iter().map(|(k, v)| (k.value.clone(), v.as_str().into())).collect();
            self.world.nodes.push(plan::Node { group, vars, ..reached(site, name, node, self.req.here.as_deref()) });
        }
        // Defaults of node variables, so that a role found at run time can be asked for them.
        for node in &mut self.world.nodes {
            for (var, default) in &self.world.node_defaults {
                if let Some(default) = default
                    && !node.vars.iter().any(|(k, _)| k == var)
                {
                    let filled = default
                        .replace("{node.address}", node.address.as_deref().unwrap_or(""))
                        .replace("{node}", &node.name);
                    node.vars.push((var.clone(), filled.into()));
                }
            }
        }
    }

    pub(super) fn input_values(&self) -> Vec<(String, Value)> {
        let value = |b: &Bound| match b {
            Bound::Value(v) => Some(v.clone()),
            Bound::List(items) => Some(super::scope::join(items, b"\n")),
            _ => None,
        };
        self.pb
            .inputs
            .iter()
            .filter_map(|(n, _)| Some((n.value.clone(), value(self.world.names.get(&n.value)?)?)))
            .collect()
    }

    pub(super) fn secrets(&self) -> Vec<plan::Secret> {
        let mut out: Vec<plan::Secret> = Vec::new();
        for name in &self.out.secrets {
            if out.iter().any(|s| s.name == *name) {
                continue;
            }
            let prompt = self
                .pb
                .inputs
                .iter()
                .find(|(n, _)| n.value == *name)
                .map(|(_, i)| i.prompt.clone())
                .unwrap_or_default();
            let argv = self.site.secrets.iter().find(|(n, _)| n.value == *name).map(|(_, a)| a.clone());
            out.push(plan::Secret { name: name.clone(), prompt, argv });
        }
        out
    }
}

/// How the site reaches a node; `here`: the one that is this machine. Without what only the playbook knows of it.
pub fn reached(site: &Site, name: &str, node: &site::Node, here: Option<&str>) -> plan::Node {
    // A node that is this machine by its address needs no transport of its own.
    let how = match (&node.via, node.local || here == Some(name)) {
        (Some(argv), _) => How::Via(argv.value.clone()),
        (None, true) => How::Local,
        (None, false) => How::Ssh,
    };
    plan::Node {
        name: name.to_string(),
        how,
        login: plan::Login {
            user: node.user.clone(),
            port: node.port,
            identity: node.identity.clone(),
            jump: node.jump.clone(),
        },
        address: node.address.as_ref().map(|a| a.value.clone()),
        become_root: node.become_.as_ref().map(|b| b.value.clone()).filter(|b| b != "none"),
        state: node.state.as_ref().map(|s| site.folder.join(&s.value).to_string_lossy().into_owned()),
        group: None,
        vars: Vec::new(),
    }
}

fn given(g: &Given) -> Bound {
    match g {
        Given::One(s) => Bound::Value(s.as_str().into()),
        Given::Many(items) => Bound::List(items.iter().map(|s| s.as_str().into()).collect()),
    }
}

/// Why a value does not fit its input's kind.
fn wrong(name: &str, input: &Input, bound: &Bound) -> Option<String> {
    let text = match (bound, input.kind) {
        (Bound::List(_), InputKind::List) => return None,
        (Bound::List(_), _) => return Some(format!("`{name}` takes one value, not a list")),
        (Bound::Value(_), InputKind::List) => return Some(format!("`{name}` is a list: write `[\"…\"]`")),
        (Bound::Value(v), _) => v.lossy(),
        _ => return None,
    };
    // `default = ""` means: may be left out.
    if text.is_empty() && input.default.as_ref().is_some_and(|d| d.value == Given::One(String::new())) {
        return None;
    }
    match input.kind {
        InputKind::Ip if text.parse::<std::net::IpAddr>().is_err() => {
            Some(format!("`{text}` is not an IP address (`{name}`)"))
        }
        InputKind::Int if text.parse::<i64>().is_err() => Some(format!("`{text}` is not a whole number (`{name}`)")),
        InputKind::Bool if !matches!(text.as_str(), "true" | "false") => {
            Some(format!("`{name}` is `true` or `false`, not `{text}`"))
        }
        InputKind::Path if !text.starts_with('/') => Some(format!("`{text}` is not an absolute path (`{name}`)")),
        InputKind::Choice if !input.of.contains(&text) => {
            let hint =
                did_you_mean(&text, input.of.iter().map(String::as_str)).map(|h| format!("; {h}")).unwrap_or_default();
            Some(format!("`{text}` is not a choice of `{name}` ({}){hint}", input.of.join(", ")))
        }
        _ => None,
    }
}
