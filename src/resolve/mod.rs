//! From what people wrote to what will run: playbook + site + inputs → [`Plan`].
//!
//! Why it exists: everything that can be known before the first command is decided and checked here, all of it at once,
//! so that nothing is left to go wrong by spelling at three in the morning.
//!
//! Invariant: a Plan is only given when there is no problem; every problem has a place in the file it stands in.

mod checks;
mod functions;
pub mod inputs;
pub mod names;
mod places;
mod reactivate;
mod scope;
mod steps;
mod syntax;

pub use scope::{Bound, On, World};

use crate::plan::{self, Plan};
use crate::playbook::{Condition, InputKind, Playbook, Stage, Step, slug};
use crate::problem::{Problem, Problems, did_you_mean};
use crate::shell::Value;
use crate::site::Site;
use sha2::{Digest, Sha256};

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub procedure: String,
    /// The node the procedure is about; the caller found it (`--on`, or the node that is this machine).
    pub target: Option<String>,
    /// The node that is this machine.
    pub here: Option<String>,
    /// `--set`, then the answers file's inputs; the first that names an input wins.
    pub sets: Vec<(String, Value)>,
    /// The files that were read, for the plan.
    pub sources: Vec<plan::Source>,
}

/// Index of the files in [`Problems`], so that each problem lands in its file.
#[derive(Clone, Copy, Debug)]
pub struct Files {
    pub playbook: usize,
    pub site: usize,
}

/// SHA-256, first 16 hexadecimal digits: enough to tell two plans apart, short enough to type.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Makes the plan, or adds to `problems` why it cannot be made.
pub fn resolve(pb: &Playbook, site: &Site, req: &Request, files: Files, problems: &mut Problems) -> Option<Plan> {
    let before = problems.list.len();
    let mut r = Resolver {
        pb,
        site,
        req,
        files,
        problems,
        world: World::default(),
        scripts: Vec::new(),
        checking: None,
        out: Out::default(),
    };
    let plan = r.plan();
    if r.problems.list.len() > before { None } else { plan }
}

/// What steps leave behind for the plan as a whole.
#[derive(Default)]
struct Out {
    paths: Vec<Value>,
    addresses: Vec<Value>,
    secrets: Vec<String>,
    captures: Vec<(String, String)>,
}

struct Resolver<'a> {
    pb: &'a Playbook,
    site: &'a Site,
    req: &'a Request,
    files: Files,
    problems: &'a mut Problems,
    world: World,
    /// Scripts met and not yet sent to be checked.
    scripts: Vec<steps::Script>,
    checking: Option<checks::Checking>,
    out: Out,
}

/// Who is who while a procedure's stages are laid out.
#[derive(Clone)]
struct Cast {
    target: Option<String>,
    peers: Vec<String>,
    all: Vec<String>,
    /// `on` of a stage that `use`s these.
    on: Option<Vec<crate::playbook::At<String>>>,
    /// Put in front of stage ids.
    prefix: String,
    /// Where steps run that say nothing.
    default_on: &'static str,
    /// Procedures being laid out, against going round in circles.
    within: Vec<String>,
}

impl Resolver<'_> {
    fn problem(&mut self, span: &std::ops::Range<usize>, message: impl Into<String>) -> &mut Problem {
        let mut p = Problem::new(message).at(span.clone());
        p.file = self.files.playbook;
        self.problems.push(p);
        self.problems.list.last_mut().expect("a problem was just pushed")
    }
    fn site_problem(&mut self, span: Option<&std::ops::Range<usize>>, message: impl Into<String>) -> &mut Problem {
        let mut p = Problem::new(message);
        p.span = span.cloned();
        p.file = self.files.site;
        self.problems.push(p);
        self.problems.list.last_mut().expect("a problem was just pushed")
    }

    fn plan(&mut self) -> Option<Plan> {
        self.functions();
        self.inputs();
        self.nodes();
        let procedure = self.req.procedure.clone();
        if procedure == "failover" {
            self.site_problem(None, "`failover` is not known to this version");
            return None;
        }
        let written = self.pb.procedures.iter().find(|(n, _)| n.value == procedure).map(|(_, stages)| &stages[..]);
        // Who is active can be told of every exclusive system.
        let exclusive = self.pb.procedures.iter().any(|(n, _)| n.value == "inactive");
        let Some(stages) = written.or((procedure == "status" && exclusive).then_some(&[])) else {
            let known: Vec<&str> = self.pb.procedures.iter().map(|(n, _)| n.as_str()).collect();
            let hint = did_you_mean(&procedure, known.iter().copied())
                .unwrap_or_else(|| format!("it has: {}", known.join(", ")));
            let mut p = Problem::new(format!("the playbook has no procedure `{procedure}`")).hint(hint);
            p.file = self.files.playbook;
            self.problems.push(p);
            return None;
        };
        let all = self.group(self.pb.groups.first().map(|g| g.as_str()));
        let target = self.req.target.clone();
        if let Some(t) = &target
            && !self.world.nodes.iter().any(|n| n.name == *t)
        {
            let known: Vec<&str> = self.world.nodes.iter().map(|n| n.name.as_str()).collect();
            let hint =
                did_you_mean(t, known.iter().copied()).unwrap_or_else(|| format!("it has: {}", known.join(", ")));
            self.site_problem(None, format!("the site has no node `{t}`")).hint = Some(hint);
            return None;
        }
        let peers: Vec<String> = all.iter().filter(|n| Some(*n) != target.as_ref()).cloned().collect();
        let inactive = self.pb.procedures.iter().find(|(n, _)| n.value == "inactive").map(|(_, s)| s);
        let exclusive = inactive.is_some();
        if exclusive && all.len() < 2 && !self.site.no_peers && matches!(procedure.as_str(), "activate" | "deactivate")
        {
            let p = self.site_problem(
                None,
                "the system is exclusive (its playbook has `inactive`), but the site has no other node",
            );
            p.hint =
                Some("add the other node to `[nodes]`, or say `peers = \"none\"` when there really is none".into());
        }
        let cast = Cast {
            target: target.clone(),
            peers: peers.clone(),
            all: all.clone(),
            on: None,
            prefix: String::new(),
            default_on: if procedure == "status" { "all" } else { "target" },
            within: vec![procedure.clone()],
        };
        self.learn(stages, &cast);
        let stages = self.stages(&procedure, stages, &cast);
        let mut proof = Vec::new();
        let (mut closing, mut undone) = (None, None);
        if let Some(inactive) = inactive.filter(|_| procedure != "inactive") {
            let of = |r: &mut Self, node: &String| {
                let cast = Cast {
                    target: Some(node.clone()),
                    peers: all.iter().filter(|n| *n != node).cloned().collect(),
                    default_on: "target",
                    within: vec!["inactive".into()],
                    ..cast.clone()
                };
                let steps = r.stages("inactive", inactive, &cast).into_iter().flat_map(|s| s.steps).collect();
                plan::Proof { node: node.clone(), steps }
            };
            for node in if target.is_some() { &peers } else { &all } {
                proof.push(of(self, node));
            }
            match (&target, procedure.as_str()) {
                (Some(t), "deactivate") => closing = Some(of(self, t)),
                (Some(t), "activate") => undone = Some(of(self, t)),
                _ => {}
            }
        }
        self.unique(&stages);
        self.syntax();
        let activates =
            exclusive && (procedure == "activate" || stages.iter().flat_map(|s| &s.steps).any(|s| s.exclusive));
        self.own_addresses();
        let reactivation = target.as_ref().filter(|_| exclusive).and_then(|t| self.reactivation(t));
        let mut plan = Plan {
            format: plan::FORMAT,
            hawiz: env!("CARGO_PKG_VERSION").into(),
            procedure,
            title: self.pb.title.clone(),
            about: self.pb.about.clone(),
            sources: self.req.sources.clone(),
            target,
            here: self.req.here.clone(),
            nodes: self.world.nodes.clone(),
            env: self.pb.env.iter().map(|(k, v)| (k.value.clone(), v.as_str().into())).collect(),
            functions: Vec::new(),
            inputs: self.input_values(),
            secrets: self.secrets(),
            captures: std::mem::take(&mut self.out.captures),
            exclusive,
            activates,
            proof,
            stages,
            closing,
            undone,
            reactivation,
            paths: std::mem::take(&mut self.out.paths),
            addresses: std::mem::take(&mut self.out.addresses),
            digest: String::new(),
        };
        plan.functions = self.functions_of(&plan);
        plan.digest = plan_digest(&plan);
        self.checked();
        Some(plan)
    }

    fn functions(&mut self) {
        let functions = functions::Functions::new(self.pb);
        let pb = self.pb;
        for (name, _) in pb.functions.iter().filter(|(n, _)| functions.library.has(&n.value)) {
            let hint = format!("its steps call it; choose another name, such as `my_{}`", name.value);
            self.problem(&name.span, format!("the catalogue has a function `{}` of its own", name.value)).hint =
                Some(hint);
        }
        self.world.functions = functions.into();
    }

    /// Those that some command calls: the catalogue's, then the playbook's.
    fn functions_of(&self, plan: &Plan) -> Vec<(String, Value)> {
        let mut used: std::collections::HashSet<&str> = Default::default();
        plan.for_commands(|c| used.extend(c.functions.iter().map(String::as_str)));
        let library = self.world.functions.library.functions().iter().map(|f| (f.name, f.body));
        let own = self.pb.functions.iter().map(|(n, body)| (n.as_str(), body.as_str()));
        library.chain(own).filter(|(n, _)| used.contains(n)).map(|(n, body)| (n.into(), body.into())).collect()
    }

    /// The nodes of a group, in site order; no groups: all nodes.
    fn group(&self, group: Option<&str>) -> Vec<String> {
        let first = self.pb.groups.first().map(|g| g.as_str());
        self.world
            .nodes
            .iter()
            .filter(|n| group.is_none() || n.group.as_deref().or(first) == group)
            .map(|n| n.name.clone())
            .collect()
    }

    /// Captures and roles of all stages that will be laid out, so that a text may speak of them.
    fn learn(&mut self, stages: &[Stage], cast: &Cast) {
        let mut todo: Vec<(String, &[Stage], Vec<String>)> =
            vec![(cast.within[0].clone(), stages, cast.within.clone())];
        while let Some((proc, stages, within)) = todo.pop() {
            for stage in stages {
                if let Some(used) = &stage.use_ {
                    if !within.contains(&used.value)
                        && let Some((_, more)) = self.pb.procedures.iter().find(|(n, _)| n.value == used.value)
                    {
                        todo.push((used.value.clone(), more, [within.clone(), vec![used.value.clone()]].concat()));
                    }
                    continue;
                }
                for step in &stage.steps {
                    let id = format!("{proc}/{}/{}", stage_id(stage), step_id(step));
                    let on = step.on.as_ref().or(stage.on.as_ref());
                    let several = match on {
                        Some(words) => {
                            words.len() > 1 || matches!(words.first().map(|w| w.as_str()), Some(w) if self.is_set(w))
                        }
                        None => cast.default_on == "all",
                    };
                    for name in &step.capture {
                        self.world.captures.insert(name.value.clone(), (id.clone(), several && step.role.is_none()));
                    }
                    if let Some(role) = &step.role {
                        self.world.roles.insert(role.value.clone(), id.clone());
                    }
                }
            }
        }
    }

    /// A word of `on` that may mean several nodes.
    fn is_set(&self, word: &str) -> bool {
        matches!(word, "all" | "peers" | "others") || self.pb.groups.iter().any(|g| g.value == word)
    }

    fn stages(&mut self, proc: &str, stages: &[Stage], cast: &Cast) -> Vec<plan::Stage> {
        let mut out = Vec::new();
        for stage in stages {
            if !self.kept(&stage.if_, &stage.if_not) {
                continue;
            }
            match &stage.use_ {
                Some(used) => self.used(stage, used, cast, &mut out),
                None => out.extend(self.stage(proc, stage, cast)),
            }
        }
        out
    }

    fn used(&mut self, stage: &Stage, used: &crate::playbook::At<String>, cast: &Cast, out: &mut Vec<plan::Stage>) {
        if cast.within.contains(&used.value) {
            self.problem(&used.span, format!("`use = \"{}\"` goes round in a circle", used.value));
            return;
        }
        let Some((_, more)) = self.pb.procedures.iter().find(|(n, _)| n.value == used.value) else {
            let hint = did_you_mean(&used.value, self.pb.procedures.iter().map(|(n, _)| n.as_str()));
            self.problem(&used.span, format!("there is no procedure `{}`", used.value)).hint = hint;
            return;
        };
        let mut inner = cast.clone();
        inner.within.push(used.value.clone());
        inner.on = stage.on.clone().or(inner.on);
        if let Some(id) = &stage.id {
            inner.prefix = format!("{}{}/", cast.prefix, id.value);
        }
        if let Some(role) = &stage.target {
            match role.as_str() {
                "target" => {}
                name if self.world.nodes.iter().any(|n| n.name == name) => {
                    inner.target = Some(name.to_string());
                    inner.peers = cast.all.iter().filter(|n| *n != name).cloned().collect();
                }
                other => {
                    self.problem(&role.span, format!("`target = \"{other}\"` is not a node here")).hint =
                        Some("a role that the run finds cannot be the target of `use` in this version".into());
                }
            }
        }
        let name = used.value.clone();
        out.extend(self.stages(&name, more, &inner));
    }

    fn stage(&mut self, proc: &str, stage: &Stage, cast: &Cast) -> Option<plan::Stage> {
        let id = format!("{}{proc}/{}", cast.prefix, stage_id(stage));
        let title = stage.stage.as_ref().map(|t| t.value.clone()).unwrap_or_default();
        let mut steps = Vec::new();
        for step in &stage.steps {
            if self.kept(&step.if_, &step.if_not) {
                self.step(&id, stage, step, cast, &mut steps);
            }
        }
        let first = cast.target.clone().map_or(On::Here, On::Node);
        let (when, when_on) = match &stage.when {
            Some(def) => {
                let words = cast.on.as_ref().or(stage.on.as_ref());
                let ons = self.on(words.map(Vec::as_slice), cast, &stage.span);
                let on = ons.into_iter().next().unwrap_or(first);
                let scope = scope::Scope::new(
                    &self.world,
                    on.clone(),
                    cast.target.clone(),
                    cast.peers.clone(),
                    cast.all.clone(),
                );
                let look = steps::look(def, &scope, self.pb);
                let look = self.took(look, &def.span);
                (look, Some(steps::place(&on)))
            }
            None => (None, None),
        };
        let title = self.titled(&title, cast, &stage.span);
        let about = self.titled(&stage.about, cast, &stage.span);
        let gate = self.gate(stage, &steps, cast);
        if steps.is_empty() {
            return None;
        }
        let digest = digest_of(&steps);
        Some(plan::Stage { id, title, about, owner: stage.owner.clone(), gate, when, when_on, steps, digest })
    }

    fn titled(&mut self, text: &str, cast: &Cast, span: &std::ops::Range<usize>) -> String {
        let on = cast.target.clone().map_or(On::Here, On::Node);
        let scope = scope::Scope::new(&self.world, on, cast.target.clone(), cast.peers.clone(), cast.all.clone());
        let filled = scope.fill(text);
        match filled {
            Ok(word) => word.shown(),
            Err(why) => {
                self.problem(span, why);
                text.to_string()
            }
        }
    }

    fn gate(&mut self, stage: &Stage, steps: &[plan::Step], cast: &Cast) -> plan::Gate {
        let no_return = steps.iter().any(|s| match &s.what {
            plan::What::Change(c) => matches!(c.undo, plan::Undo::NoReturn(_)),
            plan::What::Manual(m) => matches!(m.undo, plan::Undo::NoReturn(_)),
            plan::What::Check(_) => false,
        });
        let word = cast.target.clone().unwrap_or_else(|| "yes".into());
        let default = if no_return {
            plan::Gate::Type(word.clone())
        } else if steps.iter().any(plan::Step::changes) {
            plan::Gate::Ask
        } else {
            plan::Gate::Open
        };
        let Some(said) = &stage.gate else { return default };
        let wanted = match said.as_str() {
            "open" => plan::Gate::Open,
            "ask" => plan::Gate::Ask,
            "type" => plan::Gate::Type(word),
            other => plan::Gate::Type(other.strip_prefix("type ").unwrap_or(other).trim().to_string()),
        };
        if matches!(default, plan::Gate::Type(_)) && !matches!(wanted, plan::Gate::Type(_)) {
            let p = self.problem(
                &said.span,
                format!(
                    "`gate = \"{}\"` lowers a gate that must be typed: a step of this stage cannot be undone",
                    said.value
                ),
            );
            p.hint = Some("leave `gate` out, or write `gate = \"type WORD\"`".into());
        }
        wanted
    }

    /// `if` and `if-not` at plan time.
    fn kept(&mut self, wanted: &[Condition], unwanted: &[Condition]) -> bool {
        let mut keep = true;
        for (conditions, want) in [(wanted, true), (unwanted, false)] {
            for c in conditions {
                let value = match self.world.names.get(&c.input.value) {
                    Some(Bound::Value(v)) => v.lossy(),
                    _ if c.input.value == "mode" => "planned".into(),
                    Some(Bound::List(_) | Bound::Secret(_)) => {
                        self.problem(
                            &c.input.span,
                            format!("`if.{}` needs an input with one value that is no secret", c.input.value),
                        );
                        continue;
                    }
                    // An input without a value was reported where it is missing; an unknown one here.
                    _ => {
                        if !self.pb.inputs.iter().any(|(n, _)| n.value == c.input.value) {
                            let hint = did_you_mean(&c.input.value, self.pb.inputs.iter().map(|(n, _)| n.as_str()));
                            self.problem(&c.input.span, format!("`{}` is not an input", c.input.value)).hint = hint;
                        }
                        continue;
                    }
                };
                let of = self
                    .pb
                    .inputs
                    .iter()
                    .find(|(n, i)| n.value == c.input.value && i.kind == InputKind::Choice)
                    .map(|(_, i)| i.of.clone());
                for v in &c.values {
                    if let Some(of) = &of
                        && !of.contains(&v.value)
                    {
                        let hint = did_you_mean(&v.value, of.iter().map(String::as_str));
                        self.problem(&v.span, format!("`{}` is not a choice of `{}`", v.value, c.input.value)).hint =
                            hint.or_else(|| Some(format!("its choices are: {}", of.join(", "))));
                    }
                }
                keep &= c.values.iter().any(|v| v.value == value) == want;
            }
        }
        keep
    }
}

/// Covers all that a node will see, whatever file or version it came from. What the stages hold is in their digests.
pub fn plan_digest(plan: &Plan) -> String {
    let stages: Vec<_> =
        plan.stages.iter().map(|s| (&s.id, &s.title, &s.gate, &s.when, &s.when_on, &s.digest)).collect();
    let base = digest_of(&(
        (plan.format, &plan.procedure, &plan.title, &plan.about, &plan.target, &plan.nodes),
        (&plan.env, &plan.functions, &plan.inputs, &plan.secrets, &plan.captures),
        (plan.exclusive, plan.activates, &plan.proof, &plan.closing, &plan.undone, &plan.paths, &plan.addresses),
        stages,
    ));
    // Older plans have none, and keep their digest.
    plan.reactivation.as_ref().map_or(base.clone(), |gate| digest_of(&(&base, gate)))
}

/// The digest of plain data, as its JSON.
fn digest_of(data: &impl serde::Serialize) -> String {
    struct Hash(Sha256);
    impl std::io::Write for Hash {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut out = std::io::BufWriter::with_capacity(1 << 16, Hash(Sha256::new()));
    serde_json::to_writer(&mut out, data).expect("plain data");
    let Ok(Hash(hash)) = out.into_inner() else { unreachable!("a hash takes every byte") };
    hex(&hash.finalize())
}

fn hex(hash: &[u8]) -> String {
    hash.iter().take(8).map(|b| format!("{b:02x}")).collect()
}

fn stage_id(stage: &Stage) -> String {
    match (&stage.id, &stage.stage) {
        (Some(id), _) => id.value.clone(),
        (None, Some(title)) => slug(title),
        (None, None) => String::new(),
    }
}

fn step_id(step: &Step) -> String {
    step.id.as_ref().map_or_else(|| slug(&step.name), |id| id.value.clone())
}
