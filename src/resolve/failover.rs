//! Who gives up, who takes over, and in which order: a failover's cast, and its stages where the playbook has none.
//!
//! Why it exists: most systems fail over alike (deactivate or fence the one, activate the other), and a playbook should
//! not have to say so. Invariant: in an unplanned failover no step stands on the node that is lost.

use super::{Cast, Resolver};
use crate::playbook::{At, Playbook, Stage};
use crate::site::Site;

/// `--from`, `--to`, `--unplanned`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roles {
    pub from: Option<String>,
    pub to: Option<String>,
    pub unplanned: bool,
}

impl Cast {
    /// `from` or `to` stands in the plan, and nothing says who that is.
    pub(super) fn unnamed(&self, role: &str) -> String {
        let does = if role == "from" { "gives up" } else { "takes over" };
        let known: Vec<&str> = self.all.iter().filter(|n| Some(*n) != self.from.as_ref()).map(String::as_str).collect();
        format!("which node {does}? name it with --{role} NODE ({})", known.join(", "))
    }
}

/// The nodes that can be `from` and `to`: the playbook's first group.
fn kind(pb: &Playbook, site: &Site) -> Vec<String> {
    let first = pb.groups.first().map(|g| g.as_str());
    let of_it = |n: &crate::site::Node| n.group.as_ref().map(|g| g.as_str()).or(first) == first;
    site.nodes.iter().filter(|(_, n)| of_it(n)).map(|(name, _)| name.value.clone()).collect()
}

/// Where two nodes are all there are, one tells the other.
fn deduced(all: &[String], roles: &Roles) -> (Option<String>, Option<String>) {
    let only = |but: &Option<String>| {
        let others: Vec<&String> = all.iter().filter(|n| Some(*n) != but.as_ref()).collect();
        if but.is_some() && others.len() == 1 { Some(others[0].clone()) } else { None }
    };
    (roles.from.clone().or_else(|| only(&roles.to)), roles.to.clone().or_else(|| only(&roles.from)))
}

/// Who gives up, as far as that is known without looking.
pub fn from_whom(pb: &Playbook, site: &Site, roles: &Roles) -> Option<String> {
    deduced(&kind(pb, site), roles).0
}

/// A stage that puts a procedure's stages here, about this role.
fn use_of(procedure: &str, role: &str) -> Stage {
    let at = |text: &str| At { value: text.to_string(), span: 0..0 };
    Stage {
        span: 0..0,
        stage: None,
        id: None,
        use_: Some(at(procedure)),
        target: Some(at(role)),
        on: None,
        owner: None,
        gate: None,
        about: String::new(),
        if_: Vec::new(),
        if_not: Vec::new(),
        when: None,
        done: None,
        steps: Vec::new(),
    }
}

impl Resolver<'_> {
    /// What a failover is where the playbook does not say it.
    pub(super) fn default_failover(&mut self) -> Option<Vec<Stage>> {
        let Some(roles) = &self.req.roles else { return Some(Vec::new()) };
        let first = if roles.unplanned { "fence" } else { "deactivate" };
        let mut lacks = vec!["activate"];
        if !roles.unplanned {
            lacks.insert(0, "deactivate");
        }
        lacks.retain(|p| self.pb.procedure(p).is_none());
        if !lacks.is_empty() {
            let lacks = lacks.iter().map(|p| format!("`{p}`")).collect::<Vec<_>>().join(" and ");
            let file = self.files.playbook;
            let p = self.site_problem(None, format!("the playbook has neither `failover` nor {lacks}"));
            p.hint = Some(
                "a failover is `deactivate` of the one node and `activate` of the other, or what `[[failover]]` says"
                    .into(),
            );
            p.file = file;
            return None;
        }
        Some(vec![use_of(first, "from"), use_of("activate", "to")])
    }

    /// What `if.mode` asks for.
    pub(super) fn mode(&self) -> &'static str {
        if self.req.roles.as_ref().is_some_and(|r| r.unplanned) { "unplanned" } else { "planned" }
    }

    pub(super) fn failover_cast(&mut self, all: &[String], exclusive: bool) -> Option<Cast> {
        let roles = self.req.roles.clone().unwrap_or_default();
        for node in roles.from.iter().chain(&roles.to) {
            self.known(node)?;
        }
        let (from, to) = deduced(all, &roles);
        for (role, node) in [("from", &from), ("to", &to)] {
            if let Some(node) = node.as_ref().filter(|n| !all.contains(n)) {
                let p = self.site_problem(None, format!("`--{role} {node}`: that is no node that can be active"));
                p.hint = Some(format!("these can: {}", all.join(", ")));
                return None;
            }
        }
        if from.is_some() && from == to {
            let node = from.unwrap_or_default();
            let p = self.site_problem(None, format!("`{node}` cannot fail over to itself"));
            p.hint = Some("`--from` gives up, `--to` takes over; they are two nodes".into());
            return None;
        }
        let lost = from.clone().filter(|_| roles.unplanned);
        let asked: Vec<String> = all.iter().filter(|n| Some(*n) != lost.as_ref()).cloned().collect();
        let cast = Cast {
            peers: asked.iter().filter(|n| Some(*n) != from.as_ref()).cloned().collect(),
            all: asked,
            failover: true,
            from,
            to,
            lost,
            default_on: "here",
            within: vec!["failover".into()],
            ..Cast::default()
        };
        let wanted = [("from", &cast.from, exclusive || roles.unplanned), ("to", &cast.to, exclusive)];
        let missing = wanted.iter().find(|(_, node, must)| *must && node.is_none()).map(|(role, ..)| *role);
        if let Some(role) = missing {
            let text = cast.unnamed(role);
            self.site_problem(None, text);
            return None;
        }
        Some(cast)
    }
}
