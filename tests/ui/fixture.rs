//! A plan with every kind of step, the looks of a dry run, and a run with every kind of event.

use hawiz::event::{Event, Looked, Outcome, Proven, Purpose, Record, Verdict};
use hawiz::plan::*;
use hawiz::register::{Debt, Owes, Register};
use hawiz::shell::{BEFORE, Command, Part, Stdin, StdinPart, Value, Want, Word};
use std::time::Duration;

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub fn look(text: &str) -> Look {
    Look { command: Command::new(text), not: false, reading: Reading::Script, kind: "sh".into() }
}

pub fn undo(text: &str) -> Undo {
    Undo::Run(Command::new(text))
}

pub fn change(done: &str, run: &str, undo: Undo) -> What {
    What::Change(Box::new(Change {
        done: Some(look(done)),
        run: Command::new(run),
        verify: vec![],
        undo,
        exits: vec![0],
        tty: false,
        kind: "sh".into(),
    }))
}

pub fn check(on: &str, look: Look) -> What {
    What::Check(Check {
        looks: vec![(Place::Node(on.into()), look)],
        true_on: TrueOn::All,
        role: None,
        same: false,
        lost: 0,
    })
}

pub fn step(on: &str, id: &str, item: Option<(&str, &str)>, title: &str, what: What) -> Step {
    let suffix = item.map(|(k, v)| format!("[{k}={v}]")).unwrap_or_default();
    let is_check = matches!(what, What::Check(_));
    Step {
        id: id.into(),
        instance: format!("{id}@{on}{suffix}"),
        items: item.map(|(k, v)| (k.to_string(), Value::from(v))).into_iter().collect(),
        title: Word::literal(title),
        about: String::new(),
        place: Place::Node(on.into()),
        what,
        when: None,
        within: secs(if is_check { 0 } else { 30 }),
        every: secs(2),
        deadline: (!is_check).then(|| secs(300)),
        look_deadline: secs(30),
        tries: 1,
        wait: secs(3),
        on_failure: OnFailure::Stop,
        capture: vec![],
        show: false,
        exclusive: false,
        early: None,
        reverses: None,
    }
}

pub fn stage(id: &str, title: &str, owner: Option<&str>, gate: Gate, steps: Vec<Step>) -> Stage {
    Stage {
        id: id.into(),
        title: title.into(),
        about: String::new(),
        owner: owner.map(String::from),
        gate,
        when: None,
        when_on: None,
        done: None,
        of: None,
        steps,
        digest: "5a5a".into(),
    }
}

fn node(name: &str) -> Node {
    Node {
        name: name.into(),
        how: How::Local,
        login: Default::default(),
        address: None,
        become_root: Some("sudo".into()),
        state: None,
        group: None,
        vars: vec![],
    }
}

pub fn want(var: &str, from: &str) -> Want {
    Want { var: var.into(), key: var.into(), from: from.into() }
}

/// A plan about one node, without proof: the shape the others are made from.
pub fn bare(stages: Vec<Stage>) -> Plan {
    Plan {
        format: FORMAT,
        hawiz: "0.1.0".into(),
        procedure: "activate".into(),
        title: "xCAT management node on shared storage".into(),
        about: "Only one node may be active.".into(),
        sources: vec![
            Source { what: "site".into(), path: "hawiz.toml".into(), digest: "0123456789abcdef".into() },
            Source { what: "playbook".into(), path: "playbooks/xcat.toml".into(), digest: "fedcba9876543210".into() },
        ],
        target: Some("xcatmn2".into()),
        here: None,
        nodes: vec![node("xcatmn1"), node("xcatmn2")],
        env: vec![],
        functions: vec![],
        inputs: vec![],
        secrets: vec![],
        captures: vec![],
        all: vec![],
        exclusive: false,
        activates: false,
        proof: vec![],
        stages,
        closing: None,
        undone: None,
        reactivation: None,
        failover: None,
        off: Vec::new(),
        fences: Vec::new(),
        moving: Vec::new(),
        alive: Vec::new(),
        paths: vec![],
        addresses: vec![],
        digest: "d1ge57d1ge57d1ge57".into(),
    }
}

const MN2: &str = "xcatmn2";

pub fn plan() -> Plan {
    let data = vec![
        step(
            MN2,
            "activate/data/mounted",
            None,
            "/HA is mounted and can be written",
            check(MN2, look("mountpoint -q /HA")),
        ),
        step(
            MN2,
            "activate/data/lies",
            Some(("dir", "/install")),
            "/install lies on it",
            check(MN2, look("test -L /install")),
        ),
        step(
            MN2,
            "activate/data/lies",
            Some(("dir", "/etc/xcat")),
            "/etc/xcat lies on it",
            check(MN2, look("test -L /etc/xcat")),
        ),
        step(
            MN2,
            "activate/data/lies",
            Some(("dir", "/tftpboot")),
            "/tftpboot lies on it",
            check(MN2, look("test -L /tftpboot")),
        ),
    ];
    let mut add = step(
        MN2,
        "activate/address/add",
        None,
        "Add 10.5.106.7/8 to eth0",
        change(
            "a=$(ip -o -4 addr show dev eth0 to 10.5.106.7/32); test -n \"$a\"",
            "ip addr add 10.5.106.7/8 brd + dev eth0 label eth0:0 && arping -q -U -c 3 -I eth0 10.5.106.7",
            undo("ip addr del 10.5.106.7/8 dev eth0"),
        ),
    );
    add.exclusive = true;
    let address = vec![
        step(
            MN2,
            "activate/address/free",
            None,
            "Nobody answers on 10.5.106.7",
            check(MN2, Look { not: true, ..look("arping -q -c 1 10.5.106.7") }),
        ),
        add,
    ];

    let mut start = step(
        MN2,
        "activate/services/start",
        Some(("unit", "postgresql")),
        "Start postgresql",
        change("systemctl is-active -q postgresql", "systemctl start postgresql", undo("systemctl stop postgresql")),
    );
    start.tries = 3;
    let mut answers =
        step(MN2, "activate/services/answers", None, "PostgreSQL answers", check(MN2, look("pg_isready -q")));
    answers.within = secs(600);
    let mut which = step(
        MN2,
        "activate/services/which-domain",
        None,
        "Which domain does xCAT serve?",
        check(MN2, look("lsdef -t site -i domain")),
    );
    which.capture = vec![("site_domain".into(), "site_domain".into())];
    let mut zones = step(
        MN2,
        "activate/services/zones",
        None,
        "",
        What::Change(Box::new(Change {
            done: None,
            run: Command::new("makedns -n"),
            verify: vec![look("systemctl is-active -q named"), look("dig +short @127.0.0.1 localhost")],
            undo: Undo::None("the standby rewrites it when it becomes active".into()),
            exits: vec![0, 3],
            tty: false,
            kind: "sh".into(),
        })),
    );
    zones.title = Word(vec![Part::Text("Publish the zones of ".into()), Part::Name("site_domain".into())]);
    zones.deadline = Some(secs(600));
    let mut when =
        look("test \"$site_domain\" != none && getent hosts 10.5.106.7 | grep -qwF \"xcatmn1.$site_domain\"");
    when.command.wants = vec![want("site_domain", "activate/services/which-domain")];
    zones.when = Some(when);
    let mut label = step(
        MN2,
        "activate/services/label",
        None,
        "xCAT knows the interface as eth0:0",
        change("test \"$(lsif)\" = eth0:0", "setif eth0:0", Undo::None(String::new())),
    );
    if let What::Change(c) = &mut label.what {
        let before = Want { var: BEFORE.into(), key: BEFORE.into(), from: "this step".into() };
        c.undo = Undo::Run(Command { wants: vec![before], ..Command::new("setif \"$before\"") });
        c.done = Some(Look {
            command: Command { functions: vec!["lsif".into()], ..c.done.as_ref().expect("set above").command.clone() },
            ..look("")
        });
    }
    label.on_failure = OnFailure::Continue;

    let mut power = step(MN2, "activate/end/power", None, "Cut the power of node3", {
        let stdin = Stdin(vec![
            StdinPart::Text("action=off\nip=node3-bmc\npassword=".into()),
            StdinPart::Secret("bmc_password".into()),
        ]);
        What::Change(Box::new(Change {
            done: None,
            run: Command { stdin: Some(stdin), ..Command::new("fence_ipmilan") },
            verify: vec![],
            undo: Undo::NoReturn("node3 loses its power; whatever runs there is lost or moves".into()),
            exits: vec![0],
            tty: false,
            kind: "sh".into(),
        }))
    });
    power.about = "The BMC asks for nothing.".into();
    let cable = step(
        MN2,
        "activate/end/cable",
        None,
        "Move the serial cable",
        What::Manual(Box::new(Manual {
            text: Word::literal("Move the serial cable from xcatmn1 to xcatmn2."),
            done: None,
            verify: None,
            undo: Undo::Manual(Word::literal("Move it back.")),
        })),
    );

    let mut services = stage(
        "activate/services",
        "Start the services",
        Some("xCAT"),
        Gate::Ask,
        vec![start, answers, which, zones, label],
    );
    services.about = "xCAT's own order: the database first.".into();
    let mut plan = bare(vec![
        stage("activate/data", "Is the shared data here?", None, Gate::Open, data),
        stage("activate/address", "Take the address", Some("Admin"), Gate::Ask, address),
        services,
        stage("activate/end", "The point of no return", None, Gate::Type("node3".into()), vec![cable, power]),
    ]);
    plan.env = vec![("XCATROOT".into(), "/opt/xcat".into()), ("PATH".into(), "/opt/xcat/bin:/opt/xcat/sbin".into())];
    plan.functions = vec![("lsif".into(), "tabdump site | awk -F, '$1 == \"mgtifname\" { print $2 }'".into())];
    plan.secrets = vec![Secret {
        name: "bmc_password".into(),
        prompt: "Password of the BMCs".into(),
        argv: Some(vec!["pass".into(), "show".into(), "xcat/bmc".into()]),
    }];
    plan.captures = vec![("site_domain".into(), "activate/services/which-domain".into())];
    plan.exclusive = true;
    plan.activates = true;
    plan.proof = vec![Proof {
        node: "xcatmn1".into(),
        steps: vec![
            step(
                "xcatmn1",
                "inactive/is/holds",
                None,
                "does not hold 10.5.106.7",
                check("xcatmn1", look("! ip-is 10.5.106.7")),
            ),
            step(
                "xcatmn1",
                "inactive/is/stopped",
                None,
                "xcatd is stopped",
                check("xcatmn1", look("systemctl is-inactive xcatd")),
            ),
        ],
    }];
    plan
}

pub fn looked(step: &str, title: &str, purpose: Purpose, answer: Answer, evidence: &str) -> Looked {
    let node = step.split('@').nth(1).and_then(|n| n.split('[').next()).unwrap_or("xcatmn2");
    let code = match answer {
        Answer::Yes => Some(0),
        Answer::No => Some(1),
        Answer::Unsettled => Some(4),
        Answer::CouldNotLook => None,
    };
    Looked {
        step: step.into(),
        title: title.into(),
        node: node.into(),
        purpose,
        answer,
        code,
        evidence: evidence.into(),
    }
}

/// Records of a dry run's looks, a second apart.
pub fn looks() -> Vec<Record> {
    use Answer::{No, Yes};
    use Purpose::{Before, Check};
    let events = vec![
        Event::NodeSeen { node: MN2.into(), boot: "b2".into(), identity: None, unrecorded: None },
        Event::NodeUnreachable { node: "xcatmn1".into(), why: "no answer on 10.5.106.70:22 in 10s".into() },
        Event::ProofTaken {
            node: "xcatmn1".into(),
            proven: Proven::CannotTell("no answer on 10.5.106.70:22 in 10s".into()),
            again: false,
        },
        Event::Looked(looked("activate/data/mounted@xcatmn2", "/HA is mounted and can be written", Check, Yes, "")),
        Event::Looked(looked("activate/data/lies@xcatmn2[dir=/install]", "/install lies on it", Check, Yes, "")),
        Event::Looked(looked("activate/data/lies@xcatmn2[dir=/etc/xcat]", "/etc/xcat lies on it", Check, Yes, "")),
        Event::Looked(looked("activate/data/lies@xcatmn2[dir=/tftpboot]", "/tftpboot lies on it", Check, Yes, "")),
        Event::Looked(looked("activate/address/free@xcatmn2", "Nobody answers on 10.5.106.7", Check, Yes, "")),
        Event::Looked(looked("activate/address/add@xcatmn2", "Add 10.5.106.7/8 to eth0", Before, No, "")),
        Event::Looked(looked("activate/services/start@xcatmn2[unit=postgresql]", "Start postgresql", Before, No, "")),
        Event::Looked(looked("activate/services/answers@xcatmn2", "PostgreSQL answers", Check, No, "no response")),
        Event::Looked(looked("activate/services/label@xcatmn2", "xCAT knows the interface as eth0:0", Before, Yes, "")),
    ];
    records(events)
}

pub fn records(events: Vec<Event>) -> Vec<Record> {
    events
        .into_iter()
        .enumerate()
        .map(|(i, event)| Record {
            seq: i as u64 + 1,
            utc: format!("2018-06-24T22:{:02}:{:02}.559Z", 13 + i / 60, i % 60),
            who: "root (alice) from 10.5.1.9 on pts/3".into(),
            event,
        })
        .collect()
}

/// A run in which everything happens that can happen.
pub fn everything() -> Vec<Record> {
    use Answer::{CouldNotLook, No, Yes};
    let s = |t: &str| t.to_string();
    let finished =
        |step: &str, title: &str, outcome: Outcome, attempts: u32, tail: &str, took_ms: u64| Event::StepFinished {
            step: s(step),
            title: s(title),
            node: s(MN2),
            code: match outcome {
                Outcome::Failed(_) => Some(1),
                Outcome::Unknown(_) => None,
                _ => Some(0),
            },
            outcome,
            attempts,
            tail: s(tail),
            show: false,
            took_ms,
        };
    let begins = |step: &str, title: &str, number: u32| Event::StepStarted {
        step: s(step),
        title: s(title),
        node: s(MN2),
        number,
        of: 5,
    };
    let intent = |step: &str, title: &str, attempt: u32| Event::StepIntent {
        step: s(step),
        title: s(title),
        node: s(MN2),
        attempt,
        claim: None,
        before: None,
        was: Some(No),
    };
    let pg = "activate/services/start@xcatmn2[unit=postgresql]";
    let xcatd = "activate/services/start@xcatmn2[unit=xcatd]";
    records(vec![
        Event::RunStarted {
            run: s("20180624-221310-k7q"),
            format: 1,
            hawiz: s("0.1.0"),
            procedure: s("activate"),
            target: Some(s(MN2)),
            from: None,
            unplanned: false,
            plan: s("d1ge57d1ge57d1ge57"),
            title: s("xCAT management node on shared storage"),
            sources: vec![s("hawiz.toml"), s("playbooks/xcat.toml")],
            stages: vec![s("activate/data"), s("activate/address"), s("activate/services")],
            comment: Some(s("RZ2 loses power at 23:00")),
            marker: s("m4rk3r"),
        },
        Event::RunResumed { run: s("20180624-221310-k7q"), purpose: s("resume"), hawiz: s("0.1.0"), taken: None },
        Event::NodeSeen { node: s(MN2), boot: s("b2"), identity: Some(s("id2")), unrecorded: None },
        Event::NodeSeen {
            node: s("xcatmn3"),
            boot: s("b3"),
            identity: None,
            unrecorded: Some(s("/var/lib is read-only")),
        },
        Event::NodeUnreachable { node: s("xcatmn1"), why: s("no answer on 10.5.106.70:22 in 10s") },
        Event::NodeLocked { node: s(MN2), generation: None },
        Event::NodeHeld { node: s("xcatmn3"), holder: s("run 20180624-220000-aaa of bob since 22:00") },
        Event::ProofTaken { node: s("xcatmn1"), proven: Proven::CannotTell(s("it cannot be reached")), again: false },
        Event::ProofTaken { node: s("xcatmn1"), proven: Proven::Attested, again: false },
        Event::ProofTaken { node: s("xcatmn3"), proven: Proven::LookedAt, again: false },
        Event::StageStarted { stage: s("activate/data"), title: s("Is the shared data here?"), number: 1, of: 3 },
        begins("activate/data/lies@xcatmn2[dir=/install]", "/install lies on it", 1),
        Event::Looked(looked(
            "activate/data/lies@xcatmn2[dir=/install]",
            "/install lies on it",
            Purpose::Check,
            Yes,
            "/HA/install",
        )),
        finished("activate/data/lies@xcatmn2[dir=/install]", "/install lies on it", Outcome::Passed, 1, "", 12),
        finished("activate/data/lies@xcatmn2[dir=/etc/xcat]", "/etc/xcat lies on it", Outcome::Passed, 1, "", 11),
        finished("activate/data/lies@xcatmn2[dir=/tftpboot]", "/tftpboot lies on it", Outcome::Passed, 1, "", 10),
        Event::StageSkipped {
            stage: s("activate/hba"),
            title: s("Let this node in"),
            reason: s("its condition is false"),
            already: false,
        },
        Event::StageSkipped {
            stage: s("activate/hba"),
            title: s("Let this node in"),
            reason: s("it is in pg_hba.conf"),
            already: true,
        },
        Event::StageStarted { stage: s("activate/address"), title: s("Take the address"), number: 2, of: 3 },
        Event::GateAsked { stage: s("activate/address") },
        Event::GateAnswered { stage: s("activate/address"), answer: s("yes"), by: s("person") },
        Event::ProofTaken { node: s("xcatmn1"), proven: Proven::Alive(s("its SSH answers")), again: true },
        Event::ProofTaken { node: s("xcatmn3"), proven: Proven::Active(s("it holds 10.5.106.7")), again: true },
        finished("activate/address/add@xcatmn2", "Add 10.5.106.7/8 to eth0", Outcome::Already, 0, "", 30),
        Event::StageStarted { stage: s("activate/services"), title: s("Start the services"), number: 3, of: 3 },
        begins(pg, "Start postgresql", 3),
        intent(pg, "Start postgresql", 1),
        Event::Output {
            step: s(pg),
            node: s(MN2),
            stderr: false,
            text: s("starting\n\u{1b}[31mred\u{1b}[0m \u{202e}txt\n"),
        },
        finished(pg, "Start postgresql", Outcome::Done, 1, "", 3210),
        begins(xcatd, "Start xcatd", 4),
        intent(xcatd, "Start xcatd", 1),
        Event::AttemptFailed {
            step: s(xcatd),
            node: s(MN2),
            attempt: 1,
            of: 2,
            code: Some(1),
            why: s("exit 1"),
            tail: s(
                "one\ntwo\nthree\nfour\nJob for xcatd.service failed because the control process exited with error code.",
            ),
        },
        intent(xcatd, "Start xcatd", 2),
        Event::LinkLost { step: s(xcatd), node: s(MN2), why: s("connection reset") },
        finished(xcatd, "Start xcatd", Outcome::Failed(s("exit 1")), 2, "see \"journalctl -xe\"", 64250),
        Event::Chosen { step: s(xcatd), choice: s("skip"), reason: Some(s("not needed today")) },
        finished(
            "activate/services/opt@xcatmn2",
            "Start conserver",
            Outcome::Skipped(s("the unit is absent")),
            0,
            "",
            0,
        ),
        finished(
            "activate/services/unk@xcatmn2",
            "Publish the zones",
            Outcome::Unknown(s("the node was rebooted")),
            1,
            "",
            5000,
        ),
        Event::Captured { key: s("site_domain"), value: "cluster.com".into() },
        Event::Looked(looked("activate/services/opt@xcatmn2", "conserver is there", Purpose::After, CouldNotLook, "")),
        Event::Noted { text: s("the site file changed since the run began") },
        Event::Owed { debts: vec![owed()] },
        Event::Registered {
            register: Register {
                active: Some(s(MN2)),
                debts: vec![owed(), Debt { owes: Owes::Step(s(pg)), ..owed() }],
                ..Register::new("xcat")
            },
            nodes: vec![s(MN2)],
            missed: vec![(s("xcatmn1"), s("its disk is full"))],
        },
        Event::Interrupted { signal: s("^C"), then: s("stops after this step; once more breaks it off") },
        Event::UndoIntent { step: s(pg), title: s("Start postgresql"), node: s(MN2), attempt: 1, claim: None },
        Event::UndoFinished {
            step: s(pg),
            title: s("Start postgresql"),
            node: s(MN2),
            outcome: Outcome::Undone,
            tail: s(""),
        },
        Event::UndoFinished {
            step: s("activate/address/add@xcatmn2"),
            title: s("Add 10.5.106.7/8 to eth0"),
            node: s(MN2),
            outcome: Outcome::UndoFailed(s("exit 2")),
            tail: s("RTNETLINK answers: Operation not permitted"),
        },
        Event::RunFinished {
            verdict: Verdict::Stuck,
            exit: 10,
            why: Some(s("the undo of `Add 10.5.106.7/8 to eth0` failed")),
            nodes: vec![
                (s("xcatmn1"), s("inactive: a person vouched for it")),
                (s(MN2), s("holds 10.5.106.7; postgresql is stopped; undo is owed there")),
            ],
            skipped: vec![(s("Start xcatd"), s("not needed today")), (s("Start conserver"), s("the unit is absent"))],
            next: vec![s("hawiz settle 20180624-221310-k7q"), s("on xcatmn2: ip addr del 10.5.106.7/8 dev eth0")],
        },
        Event::Other,
    ])
}

fn owed() -> Debt {
    let why = "it could not be reached, and a person vouched for it";
    Debt { node: "xcatmn1".into(), owes: Owes::Deactivation, run: "20261121-0304-activate".into(), why: why.into() }
}
