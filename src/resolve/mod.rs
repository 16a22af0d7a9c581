//! From what people wrote to what will run: playbook + site + inputs → [`Plan`].
//!
//! Why it exists: everything that can be known before the first command is decided and checked here, all of it at once,
//! so that nothing is left to go wrong by spelling at three in the morning.
//!
//! Invariant: a Plan is only given when there is no problem; every problem has a place in the file it stands in.

mod checks;
mod compile;
mod failover;
mod fence;
mod functions;
pub mod inputs;
pub mod names;
mod places;
mod reactivate;
mod scope;
mod stages;
mod steps;
mod syntax;

pub use failover::{Roles, from_whom};
pub use scope::{Bound, On, World};
pub(crate) use scope::{Piece, pieces};

use crate::plan::{self, Plan};
use crate::playbook::{Playbook, Stage, Step, slug};
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
    /// `failover`: who gives up, who takes over. Without it the plan is only to look who is active.
    pub roles: Option<Roles>,
    /// Nodes that are vouched for as off: where several may be active, they are left out as one that is lost is.
    pub off: Vec<String>,
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
    let mut plan = one(pb, site, req, files, problems)?;
    if let (Some(roles), Some(of)) = (&req.roles, &mut plan.failover)
        && !roles.unplanned
        && of.from.is_some()
    {
        // Its own mistakes are told to whoever asks for it.
        let roles = Roles { from: of.from.clone(), to: plan.target.clone(), unplanned: true };
        let lost = Request { roles: Some(roles), ..req.clone() };
        let mut quiet = Problems { files: problems.files.clone(), list: Vec::new() };
        of.instead = one(pb, site, &lost, files, &mut quiet).map(Box::new);
        plan.digest = plan_digest(&plan);
    }
    Some(plan)
}

fn one(pb: &Playbook, site: &Site, req: &Request, files: Files, problems: &mut Problems) -> Option<Plan> {
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
    fences: Vec<plan::Fence>,
    moving: Vec<plan::Look>,
}

struct Resolver<'a> {
    pb: &'a Playbook,
    site: &'a Site,
    req: &'a Request,
    files: Files,
    problems: &'a mut Problems,
    world: World,
    /// Scripts met and not yet sent to be checked.
    scripts: Vec<compile::Script>,
    checking: Option<checks::Checking>,
    out: Out,
}

/// Who is who while a procedure's stages are laid out.
#[derive(Clone, Debug, Default)]
pub struct Cast {
    target: Option<String>,
    peers: Vec<String>,
    all: Vec<String>,
    /// `from` and `to` are known here.
    failover: bool,
    from: Option<String>,
    to: Option<String>,
    /// What an unplanned failover has lost: nothing runs there.
    lost: Option<String>,
    /// Vouched for as off: nothing runs there either.
    off: Vec<String>,
    /// `on` of a stage that `use`s these.
    on: Option<Vec<crate::playbook::At<String>>>,
    /// `when` and `done` of a stage that `use`s these, and where they look.
    when: Option<Asked>,
    done: Option<Asked>,
    /// Put in front of stage ids.
    prefix: String,
    /// Where steps run that say nothing.
    default_on: &'static str,
    /// Procedures being laid out, against going round in circles.
    within: Vec<String>,
}

/// What stages are asked that `use` brought in.
#[derive(Clone, Debug)]
struct Asked {
    look: crate::playbook::At<crate::playbook::LookDef>,
    on: On,
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
        let all = self.group(self.pb.groups.first().map(|g| g.as_str()));
        let (pb, failover) = (self.pb, procedure == "failover");
        let own = pb.procedure(&procedure);
        let default = if failover && own.is_none() { self.default_failover()? } else { Vec::new() };
        // Who is active can be told of every exclusive system.
        let told = procedure == "status" && pb.procedure("inactive").is_some();
        if own.is_none() && !failover && !told {
            let known: Vec<&str> = self.pb.procedures.iter().map(|(n, _)| n.as_str()).collect();
            let hint = did_you_mean(&procedure, known.iter().copied())
                .unwrap_or_else(|| format!("it has: {}", known.join(", ")));
            let mut p = Problem::new(format!("the playbook has no procedure `{procedure}`")).hint(hint);
            p.file = self.files.playbook;
            self.problems.push(p);
            return None;
        }
        let looking = failover && self.req.roles.is_none();
        let stages = own.filter(|_| !looking).unwrap_or(&default);
        let target = self.req.target.clone().filter(|_| !failover);
        if let Some(t) = &target {
            self.known(t)?;
        }
        let exclusive = pb.procedure("inactive").is_some();
        if exclusive
            && all.len() < 2
            && !self.site.no_peers
            && matches!(procedure.as_str(), "activate" | "deactivate" | "failover")
        {
            let p = self.site_problem(
                None,
                "the system is exclusive (its playbook has `inactive`), but the site has no other node",
            );
            p.hint =
                Some("add the other node to `[nodes]`, or say `peers = \"none\"` when there really is none".into());
        }
        // In an exclusive system a word stands in for one node's proof; elsewhere it is what a node that is gone leaves.
        let off = if exclusive || looking { Vec::new() } else { self.off(target.as_deref())? };
        let all: Vec<String> = all.into_iter().filter(|n| !off.contains(n)).collect();
        let cast = if failover && !looking {
            Cast { off: off.clone(), ..self.failover_cast(&all, exclusive)? }
        } else {
            Cast {
                target: target.clone(),
                peers: all.iter().filter(|n| Some(*n) != target.as_ref()).cloned().collect(),
                all: all.clone(),
                off: off.clone(),
                default_on: if procedure == "status" { "all" } else { "target" },
                within: vec![procedure.clone()],
                ..Cast::default()
            }
        };
        let target = if failover { cast.to.clone() } else { target };
        self.learn(stages, &cast);
        let mut stages = self.stages(&procedure, stages, &cast);
        self.agents_first(&mut stages);
        let mut proof = Vec::new();
        let (mut closing, mut undone) = (None, None);
        if let Some(inactive) = pb.procedure("inactive").filter(|_| procedure != "inactive") {
            for node in all.iter().filter(|n| Some(*n) != target.as_ref()) {
                proof.push(self.proof(inactive, node, &all, &cast));
            }
            match (&target, procedure.as_str()) {
                (Some(t), "deactivate") => closing = Some(self.proof(inactive, t, &all, &cast)),
                (Some(t), "activate" | "failover") => undone = Some(self.proof(inactive, t, &all, &cast)),
                _ => {}
            }
        }
        let wakes = matches!(procedure.as_str(), "activate" | "failover") && !looking;
        let alive = match pb.procedure("alive").zip(target.as_deref()).filter(|_| exclusive && wakes) {
            Some((signs, to)) => all.iter().filter(|n| *n != to).map(|n| self.signs(signs, n, to, &all)).collect(),
            None => Vec::new(),
        };
        self.unique(&stages);
        self.syntax();
        let activates = exclusive
            && !looking
            && (matches!(procedure.as_str(), "activate" | "failover")
                || stages.iter().flat_map(|s| &s.steps).any(|s| s.exclusive));
        self.own_addresses();
        let again = if failover { cast.from.as_ref() } else { target.as_ref() };
        let reactivation = again.filter(|_| exclusive).and_then(|t| self.reactivation(t));
        let failover = (failover && !looking).then(|| plan::Failover {
            from: cast.from.clone(),
            unplanned: cast.lost.is_some(),
            instead: None,
        });
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
            all,
            exclusive,
            activates,
            proof,
            stages,
            closing,
            undone,
            reactivation,
            failover,
            off,
            fences: std::mem::take(&mut self.out.fences),
            moving: if exclusive { std::mem::take(&mut self.out.moving) } else { Vec::new() },
            alive,
            paths: std::mem::take(&mut self.out.paths),
            addresses: std::mem::take(&mut self.out.addresses),
            digest: String::new(),
        };
        plan.functions = self.functions_of(&plan);
        plan.digest = plan_digest(&plan);
        self.checked();
        Some(plan)
    }

    /// The checks of `inactive` about a node.
    fn proof(&mut self, inactive: &[Stage], node: &str, all: &[String], cast: &Cast) -> plan::Proof {
        let cast = Cast {
            target: Some(node.to_string()),
            peers: all.iter().filter(|n| *n != node).cloned().collect(),
            all: all.to_vec(),
            lost: None,
            on: None,
            prefix: String::new(),
            default_on: "target",
            within: vec!["inactive".into()],
            ..cast.clone()
        };
        let steps = self.stages("inactive", inactive, &cast).into_iter().flat_map(|s| s.steps).collect();
        plan::Proof { node: node.to_string(), steps }
    }

    /// The playbook's own signs of life of a node, looked for by whoever is to take over from it: nothing of them runs there.
    fn signs(&mut self, signs: &[Stage], node: &str, to: &str, all: &[String]) -> plan::Proof {
        let others: Vec<String> = all.iter().filter(|n| *n != node).cloned().collect();
        let cast = Cast {
            target: Some(node.to_string()),
            peers: others.clone(),
            all: others,
            failover: true,
            from: Some(node.to_string()),
            to: Some(to.to_string()),
            lost: Some(node.to_string()),
            default_on: "to",
            within: vec!["alive".into()],
            ..Cast::default()
        };
        let steps = self.stages("alive", signs, &cast).into_iter().flat_map(|s| s.steps).collect();
        plan::Proof { node: node.to_string(), steps }
    }

    /// Who is vouched for as off: nodes of the site, and none that this plan is about.
    fn off(&mut self, target: Option<&str>) -> Option<Vec<String>> {
        let off = self.req.off.clone();
        for node in &off {
            self.known(node)?;
            let to = self.req.roles.as_ref().and_then(|r| r.to.as_deref());
            if [target, to].contains(&Some(node.as_str())) {
                let text = format!("`{node}` is vouched for as off (`--attest {node}`): nothing can run there");
                self.site_problem(None, text);
                return None;
            }
        }
        let from = self.req.roles.as_ref().and_then(|r| r.from.clone());
        Some(off.into_iter().filter(|n| Some(n) != from.as_ref()).collect())
    }

    /// A node of the site, or a problem.
    fn known(&mut self, node: &str) -> Option<()> {
        if self.world.nodes.iter().any(|n| n.name == node) {
            return Some(());
        }
        let known: Vec<&str> = self.world.nodes.iter().map(|n| n.name.as_str()).collect();
        let hint = did_you_mean(node, known.iter().copied()).unwrap_or_else(|| format!("it has: {}", known.join(", ")));
        self.site_problem(None, format!("the site has no node `{node}`")).hint = Some(hint);
        None
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
    // Older plans have none of these, and keep their digest.
    let done: Vec<_> = plan.stages.iter().filter_map(|s| Some((&s.id, s.done.as_ref()?))).collect();
    let base = if done.is_empty() { base } else { digest_of(&(&base, done)) };
    let base = plan.reactivation.as_ref().map_or(base.clone(), |gate| digest_of(&(&base, gate)));
    if plan.failover.is_none() && plan.fences.is_empty() && plan.moving.is_empty() && plan.alive.is_empty() {
        return base;
    }
    let instead = plan.failover.as_ref().and_then(|f| f.instead.as_ref()).map(|p| &p.digest);
    let roles = plan.failover.as_ref().map(|f| (&f.from, f.unplanned, instead));
    let base = digest_of(&(&base, roles, &plan.fences, &plan.moving));
    if plan.alive.is_empty() { base } else { digest_of(&(&base, &plan.alive)) }
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
