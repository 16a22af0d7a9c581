//! How a node's power is cut: the site's fence devices as steps, or the playbook's own `fence`.
//!
//! Why it exists: a node that does not answer may still write. What takes its power away is said once, in the site file, and
//! becomes the same steps wherever a plan fences. Invariants: `off` is sent to every device before the first of them is asked
//! what it says; nothing of it runs on the node itself; the last step is always a look.

use super::compile::catalogue_command;
use super::scope::{Bound, On, Scope};
use super::steps::place;
use super::{Cast, Resolver, digest_of};
use crate::catalog::{self, Fill};
use crate::plan::{self, Look, OnFailure, Reading, TrueOn, Undo, What};
use crate::playbook::{At, Stage, Step};
use crate::shell::{Command, Stdin, StdinPart, Value, Word};
use crate::site;
use std::ops::Range;
use std::time::Duration;

/// How long one command of an agent may take, where the site does not say it.
const DEADLINE: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(2);

/// A device of a node, and what tells it from the others.
struct Device<'a> {
    fence: &'a site::Fence,
    label: String,
    /// Its options, a line each.
    options: Vec<StdinPart>,
}

impl Device<'_> {
    fn deadline(&self) -> Duration {
        self.fence.deadline.unwrap_or(DEADLINE)
    }
    /// What the agent reads: the action, then the device's options.
    fn stdin(&self, action: &str) -> Option<Stdin> {
        let mut parts = vec![StdinPart::Text(format!("action={action}\n").into())];
        for part in &self.options {
            match (parts.last_mut(), part) {
                (Some(StdinPart::Text(before)), StdinPart::Text(more)) => before.0.extend_from_slice(&more.0),
                (_, part) => parts.push(part.clone()),
            }
        }
        Some(Stdin(parts))
    }
}

/// How the steps of a fencing are told apart and placed.
struct Frame<'a> {
    id: &'a str,
    on: &'a On,
    items: &'a [(String, Value)],
    about: &'a str,
    tries: u32,
    wait: Duration,
}

impl Frame<'_> {
    fn step(
        &self,
        part: &str,
        device: &str,
        title: String,
        what: What,
        deadline: Duration,
        within: Duration,
    ) -> plan::Step {
        let id = format!("{}/{part}", self.id);
        let items: Vec<(String, Value)> =
            self.items.iter().cloned().chain([("device".to_string(), Value::from(device))]).collect();
        let list: Vec<String> = items.iter().map(|(n, v)| format!("{n}={}", v.lossy())).collect();
        let at = match self.on {
            On::Node(n) => n.as_str(),
            On::Here => "here",
            On::Runtime { key, .. } => key.as_str(),
        };
        let changes = matches!(what, What::Change(_));
        plan::Step {
            instance: format!("{id}@{at}[{}]", list.join(",")),
            id,
            items,
            title: Word::literal(title),
            about: if changes { self.about.to_string() } else { String::new() },
            place: place(self.on),
            what,
            when: None,
            within,
            every: EVERY,
            deadline: Some(deadline),
            look_deadline: deadline,
            tries: if changes { self.tries } else { 1 },
            wait: self.wait,
            on_failure: OnFailure::Stop,
            capture: Vec::new(),
            show: false,
            exclusive: false,
            early: None,
            reverses: None,
        }
    }
}

impl Resolver<'_> {
    /// The devices of a node, with their options filled in.
    fn devices(&mut self, node: &str, on: &On, cast: &Cast) -> Vec<Device<'_>> {
        let site = self.site;
        let Some((_, found)) = site.nodes.iter().find(|(n, _)| n.value == node) else { return Vec::new() };
        let mut out: Vec<Device> = Vec::new();
        for fence in &found.fence {
            let mut options = Vec::new();
            let mut words = vec![fence.agent.value.clone()];
            let mut wrong = Vec::new();
            // In a fence table `{node}` is the node that is fenced.
            let about = Cast { target: Some(node.to_string()), ..cast.clone() };
            let mut scope = Scope::new(&self.world, on.clone(), &about);
            scope.loops.push(("node".into(), Bound::Node(node.to_string())));
            for (name, value) in &fence.options {
                match scope.fill_stdin(&value.value) {
                    Ok(parts) if scope.take_wants().is_empty() => {
                        if matches!(name.as_str(), "ip" | "ipaddr" | "plug" | "port") {
                            words.extend(parts.iter().filter_map(|p| match p {
                                StdinPart::Text(v) => Some(v.lossy()),
                                _ => None,
                            }));
                        }
                        options.push(StdinPart::Text(format!("{}=", name.value).into()));
                        options.extend(parts);
                        options.push(StdinPart::Text("\n".into()));
                    }
                    Ok(_) => wrong
                        .push((value.span.clone(), "an option of a fence device must be known when planning".into())),
                    Err(why) => wrong.push((value.span.clone(), why)),
                }
            }
            for (span, why) in wrong {
                self.site_problem(Some(&span), why);
            }
            let label = words.join(" ");
            if out.iter().any(|d| d.label == label) {
                let text = format!("two fence devices of `{node}` cannot be told apart: {label}");
                self.site_problem(Some(&fence.span), text).hint =
                    Some("give each the `ip` or `plug` that is its own; one device stands there once".into());
            }
            self.out.secrets.extend(options.iter().filter_map(|p| match p {
                StdinPart::Secret(s) => Some(s.clone()),
                _ => None,
            }));
            out.push(Device { fence, label, options });
        }
        out
    }

    /// `off` on every device, then the status of each.
    fn cut(&mut self, node: &str, frame: &Frame<'_>, cast: &Cast) -> Vec<plan::Step> {
        let devices: Vec<Device<'_>> = {
            // What a device borrows is the site's, not the resolver's.
            let site = self.site;
            let made = self.devices(node, frame.on, cast);
            let made: Vec<(String, Vec<StdinPart>)> = made.into_iter().map(|d| (d.label, d.options)).collect();
            let of =
                site.nodes.iter().find(|(n, _)| n.value == node).map(|(_, n)| n.fence.as_slice()).unwrap_or_default();
            of.iter().zip(made).map(|(fence, (label, options))| Device { fence, label, options }).collect()
        };
        let mut off = Vec::new();
        let mut status = Vec::new();
        for d in &devices {
            let agent = &d.fence.agent.value;
            let run = Command { stdin: d.stdin("off"), ..Command::new(catalog::fence::off(agent)) };
            let change = plan::Change {
                done: None,
                run,
                verify: Vec::new(),
                undo: Undo::NoReturn(format!("{node} loses its power, and whatever ran there is gone")),
                exits: vec![0],
                tty: false,
                kind: "fence".into(),
            };
            let what = What::Change(Box::new(change));
            off.push(frame.step(
                "off",
                &d.label,
                format!("Cut the power of {node} ({})", d.label),
                what,
                d.deadline(),
                Duration::ZERO,
            ));
            let about = Cast::default();
            let scope = Scope::new(&self.world, frame.on.clone(), &about);
            let command = catalogue_command(catalog::fence::is_off(agent), &[], &scope);
            let command = Command { stdin: d.stdin("status"), ..command };
            let look = Look { command, not: false, reading: Reading::Catalog, kind: "fence".into() };
            let check = plan::Check {
                looks: vec![(place(frame.on), look)],
                true_on: TrueOn::All,
                role: None,
                same: false,
                lost: 0,
            };
            let title = format!("The power of {node} is off ({})", d.label);
            status.push(frame.step(
                "status",
                &d.label,
                title,
                What::Check(check),
                d.deadline(),
                d.deadline().min(Duration::from_secs(20)),
            ));
        }
        let steps: Vec<plan::Step> = off.into_iter().chain(status).collect();
        if !steps.is_empty() {
            let by = devices.iter().map(|d| d.label.clone()).collect::<Vec<_>>().join(", ");
            self.fenced(node, by, &steps);
        }
        steps
    }

    fn fenced(&mut self, node: &str, by: String, steps: &[plan::Step]) {
        let steps = steps.iter().map(|s| s.instance.clone()).collect();
        self.out.fences.push(plan::Fence { node: node.to_string(), by, steps });
    }

    /// `run.fence`.
    pub(super) fn power_cut(
        &mut self,
        (id, span): (&str, &Range<usize>),
        step: &Step,
        fence: &catalog::Fence,
        cast: &Cast,
        (on, items): (&On, Vec<(String, Bound)>),
        out: &mut Vec<plan::Step>,
    ) {
        let node = {
            let mut scope = Scope::new(&self.world, on.clone(), cast);
            scope.loops = items.clone();
            scope.word(&fence.node).map(|w| w.known().map(|v| v.lossy()))
        };
        let node = match node {
            Ok(Some(node)) => node,
            Ok(None) => {
                self.problem(span, "`run.fence`: the node must be known when planning");
                return;
            }
            Err(why) => {
                self.problem(span, why);
                return;
            }
        };
        if self.known(&node).is_none() {
            return;
        }
        if *on == On::Node(node.clone()) {
            let p = self.problem(span, format!("`{node}` cannot cut its own power and tell"));
            p.hint = Some("leave `on` out: it runs on this machine".into());
            return;
        }
        let items: Vec<(String, Value)> = items
            .into_iter()
            .map(|(n, b)| {
                (
                    n,
                    match b {
                        Bound::Value(v) => v,
                        Bound::Node(n) => n.into(),
                        _ => Value::default(),
                    },
                )
            })
            .collect();
        let retry = step.retry.as_ref();
        let frame = Frame {
            id,
            on,
            items: &items,
            about: &step.about,
            tries: retry.map_or(1, |r| r.tries.max(1)),
            wait: retry.and_then(|r| r.wait).unwrap_or(Duration::from_secs(3)),
        };
        let steps = self.cut(&node, &frame, cast);
        if steps.is_empty() {
            self.no_device(span, &node);
        }
        out.extend(steps);
    }

    fn no_device(&mut self, span: &Range<usize>, node: &str) {
        let p = self.problem(span, format!("the site has no fence device for `{node}`"));
        p.hint = Some(format!("say it in the site file: `[nodes.{node}.fence]` with `agent` and `options`"));
    }

    /// `use = "fence"` where the playbook has none: the site's devices. A node of an exclusive system that has none must be
    /// vouched for; the engine asks.
    pub(super) fn device_fence(&mut self, span: &Range<usize>, cast: &Cast, out: &mut Vec<plan::Stage>) {
        let Some(node) = cast.target.clone() else {
            self.problem(span, "which node is to be fenced? say `target = \"from\"`");
            return;
        };
        let id = format!("{}fence/cut-the-power", cast.prefix);
        let frame = Frame { id: &id, on: &On::Here, items: &[], about: "", tries: 1, wait: Duration::ZERO };
        let steps = self.cut(&node, &frame, cast);
        if steps.is_empty() {
            if self.pb.procedure("inactive").is_none() {
                self.no_device(span, &node);
            }
            return;
        }
        let digest = digest_of(&steps);
        out.push(plan::Stage {
            title: format!("Cut the power of {node}"),
            about: format!("Whatever still runs on {node} ends at once, and what it has not written is lost."),
            owner: None,
            gate: plan::Gate::Type(node.clone()),
            when: None,
            when_on: None,
            done: None,
            of: Some(node),
            id,
            steps,
            digest,
        });
    }

    /// The playbook's own `fence`.
    pub(super) fn own_fence(&mut self, stages: &[Stage], cast: &Cast, out: &mut Vec<plan::Stage>) {
        let made = self.stages("fence", stages, cast);
        let steps: Vec<plan::Step> = made.iter().flat_map(|s| s.steps.clone()).collect();
        if let (Some(node), Some(last)) = (&cast.target, steps.last()) {
            if matches!(last.what, What::Check(_)) {
                let node = node.clone();
                self.out.fences.retain(|f| f.node != node);
                self.fenced(&node, "the playbook's `fence`".into(), &steps);
            } else {
                let at: At<String> = At { value: String::new(), span: stages.last().map_or(0..0, |s| s.span.clone()) };
                self.problem(&at.span, "`fence` must end in a `check`").hint =
                    Some("only a look that says *off* is a proof".into());
            }
        }
        out.extend(made);
    }

    /// Every agent that the plan calls is looked for before anything is changed.
    pub(super) fn agents_first(&mut self, stages: &mut Vec<plan::Stage>) {
        let mut agents: Vec<(plan::Place, String)> = Vec::new();
        for step in stages.iter().flat_map(|s| &s.steps) {
            if let What::Change(c) = &step.what
                && c.kind == "fence"
                && !agents.iter().any(|(p, a)| *p == step.place && *a == c.run.text.lossy())
            {
                agents.push((step.place.clone(), c.run.text.lossy()));
            }
        }
        if agents.is_empty() {
            return;
        }
        let about = Cast::default();
        let scope = Scope::new(&self.world, On::Here, &about);
        let id = "fence/agents".to_string();
        let steps: Vec<plan::Step> = agents
            .into_iter()
            .map(|(at, agent)| {
                let on = match &at {
                    plan::Place::Node(n) => On::Node(n.clone()),
                    plan::Place::Here => On::Here,
                    plan::Place::Role(key) | plan::Place::OneOf { key, .. } => {
                        On::Runtime { key: key.clone(), from: String::new() }
                    }
                };
                // As it stands in the text: quoted already, where it needs to be.
                let text = [b"agent_is_here ".as_slice(), agent.as_bytes()].concat();
                let command = catalogue_command(Value(text), &[], &scope);
                let look = Look { command, not: false, reading: Reading::Catalog, kind: "fence".into() };
                let check = plan::Check {
                    looks: vec![(at.clone(), look)],
                    true_on: TrueOn::All,
                    role: None,
                    same: false,
                    lost: 0,
                };
                let frame = Frame { id: &id, on: &on, items: &[], about: "", tries: 1, wait: Duration::ZERO };
                let mut step = frame.step(
                    "installed",
                    &agent,
                    format!("{agent} is installed"),
                    What::Check(check),
                    Duration::from_secs(30),
                    Duration::ZERO,
                );
                step.place = at;
                step
            })
            .collect();
        let digest = digest_of(&steps);
        let stage = plan::Stage {
            id,
            title: "Can the power be cut from here?".into(),
            about: String::new(),
            owner: None,
            gate: plan::Gate::Open,
            when: None,
            when_on: None,
            done: None,
            of: None,
            steps,
            digest,
        };
        stages.insert(0, stage);
    }
}
