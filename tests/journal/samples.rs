//! A plan with every shape in it, and one of every event: what golden journals are made of.

use hawiz::event::{Event, Looked, Outcome, Proven, Purpose, Record, Verdict};
use hawiz::plan::{
    Answer, Change, Check, Gate, How, Look, Manual, Node, OnFailure, Place, Plan, Proof, Reading, Secret, Source,
    Stage, Step, TrueOn, Undo, What,
};
use hawiz::reach::Claim;
use hawiz::register::{Debt, Owes, Register};
use hawiz::shell::{Command, Part, Stdin, StdinPart, Value, Want, Word};
use std::time::Duration;

pub const RUN: &str = "20261122-131722-activate-xcatmn2-4f3a";
pub const WHO: &str = "root (sudo: alice), uid 0, from 10.5.106.9, pts/3, host xcatmn2, pid 4711";

fn look(text: &str, reading: Reading) -> Look {
    Look { command: Command::new(text), not: false, reading, kind: "sh".into() }
}

fn step(id: &str, place: Place, what: What) -> Step {
    Step {
        id: id.into(),
        instance: format!("{id}@xcatmn2"),
        items: Vec::new(),
        title: Word::literal("A step"),
        about: String::new(),
        place,
        what,
        when: None,
        within: Duration::ZERO,
        every: Duration::from_secs(1),
        deadline: Some(Duration::from_secs(600)),
        look_deadline: Duration::from_millis(30_500),
        tries: 1,
        wait: Duration::ZERO,
        on_failure: OnFailure::Stop,
        capture: Vec::new(),
        show: false,
        exclusive: false,
        early: None,
        reverses: None,
    }
}

fn steps() -> Vec<Step> {
    let xcatmn2 = || Place::Node("xcatmn2".into());
    let check = |true_on, place, look: Look| Check {
        looks: vec![(place, look)],
        true_on,
        role: Some("primary".into()),
        same: true,
        lost: 0,
    };
    let mut every = vec![step("activate/ask/reachable", xcatmn2(), {
        What::Check(check(TrueOn::All, xcatmn2(), look("ping -c 1 10.5.106.1", Reading::Script)))
    })];
    for (i, true_on) in [TrueOn::One, TrueOn::None, TrueOn::Any, TrueOn::Majority].into_iter().enumerate() {
        let place = Place::OneOf { key: "first".into(), nodes: vec!["xcatmn1".into(), "xcatmn2".into()] };
        let not = Look { not: true, ..look("test -e /shared", Reading::Catalog) };
        every.push(step(&format!("activate/ask/check-{i}"), place.clone(), What::Check(check(true_on, place, not))));
    }
    let command = Command {
        binds: vec![("host".into(), Value::from("it's \"mn2\" $x\n")), ("raw".into(), Value(vec![0xff, 0xfe]))],
        wants: vec![Want { var: "before".into(), key: "before".into(), from: "this step's own look".into() }],
        functions: vec!["say".into()],
        text: Value::from("say \"$host\" && printf '%s' \"$raw\"\n"),
        stdin: Some(Stdin(vec![
            StdinPart::Text(Value::from("password: ")),
            StdinPart::Secret("db".into()),
            StdinPart::Name("before".into()),
        ])),
    };
    let undos = [
        Undo::Run(command.clone()),
        Undo::Manual(Word(vec![Part::Text(Value::from("put back ")), Part::Name("before".into())])),
        Undo::None("nothing is left of it".into()),
        Undo::NoReturn("the name is known to the world".into()),
    ];
    for (i, undo) in undos.into_iter().enumerate() {
        let change = Change {
            done: Some(look("test -e /done", Reading::Catalog)),
            run: command.clone(),
            verify: vec![look("true", Reading::Script)],
            undo,
            exits: vec![0, 3],
            tty: i == 0,
            kind: "sh".into(),
        };
        every.push(Step {
            items: vec![("unit".into(), Value::from("xcatd"))],
            title: Word(vec![Part::Text(Value::from("Start ")), Part::Name("unit".into())]),
            about: "Why it is done.".into(),
            when: Some(look("test -d /etc", Reading::Script)),
            within: Duration::from_secs(20),
            tries: 3,
            on_failure: [OnFailure::Stop, OnFailure::Ask, OnFailure::Continue][i % 3],
            capture: vec![("nic".into(), "nic@xcatmn2".into())],
            show: true,
            exclusive: i == 1,
            early: None,
            reverses: None,
            ..step(&format!("activate/do/change-{i}"), Place::Role("primary".into()), What::Change(Box::new(change)))
        });
    }
    let manual = Manual {
        text: Word::literal("pull the plug"),
        done: None,
        verify: Some(look("true", Reading::Script)),
        undo: Undo::None("the plug can stay".into()),
    };
    every.push(Step { deadline: None, ..step("activate/do/plug", Place::Here, What::Manual(Box::new(manual))) });
    every
}

pub fn plan() -> Plan {
    let node = |name: &str, how| Node {
        name: name.into(),
        how,
        login: Default::default(),
        address: Some("10.5.106.70".into()),
        become_root: Some("sudo".into()),
        state: Some("/srv/state".into()),
        group: Some("mn".into()),
        vars: vec![("nic".into(), Value::from("eth0"))],
    };
    let proof = |node: &str| Proof {
        node: node.into(),
        steps: vec![step("inactive/vip", Place::Node(node.into()), {
            What::Check(Check {
                looks: vec![(Place::Node(node.into()), look("! ip -o addr", Reading::Catalog))],
                true_on: TrueOn::All,
                role: None,
                same: false,
                lost: 0,
            })
        })],
    };
    let stage = |id: &str, gate, steps| Stage {
        id: id.into(),
        title: "A stage".into(),
        about: "What it is for.".into(),
        owner: Some("the storage team".into()),
        gate,
        when: Some(look("true", Reading::Script)),
        when_on: Some(Place::Node("xcatmn2".into())),
        done: None,
        of: None,
        steps,
        digest: "0c1d".into(),
    };
    Plan {
        format: 1,
        hawiz: "0.1.0".into(),
        procedure: "activate".into(),
        title: "xCAT management node".into(),
        about: "Makes a node the active one.".into(),
        sources: vec![Source { what: "site".into(), path: "./hawiz.toml".into(), digest: "abcd".into() }],
        target: Some("xcatmn2".into()),
        here: Some("xcatmn2".into()),
        nodes: vec![
            node("xcatmn1", How::Via(vec!["ssh".into(), "mn1".into(), "sh".into()])),
            node("xcatmn2", How::Local),
            node("xcatmn3", How::Ssh),
        ],
        env: vec![("LC_ALL".into(), Value::from("C"))],
        functions: vec![("say".into(), Value::from("printf '%s\\n' \"$1\""))],
        inputs: vec![("vip".into(), Value::from("10.5.106.7")), ("odd".into(), Value(vec![b'a', 0xff]))],
        secrets: vec![Secret { name: "db".into(), prompt: "Password".into(), argv: Some(vec!["pass".into()]) }],
        captures: vec![("nic@xcatmn2".into(), "activate/do/change-0".into())],
        all: vec![],
        exclusive: true,
        activates: true,
        proof: vec![proof("xcatmn1"), proof("xcatmn3")],
        stages: vec![
            stage("activate/ask", Gate::Open, steps()[..5].to_vec()),
            stage("activate/do", Gate::Ask, steps()[5..].to_vec()),
            stage("activate/end", Gate::Type("xcatmn2".into()), Vec::new()),
        ],
        closing: Some(proof("xcatmn2")),
        undone: None,
        reactivation: None,
        failover: None,
        off: Vec::new(),
        fences: Vec::new(),
        moving: Vec::new(),
        alive: Vec::new(),
        paths: vec![Value::from("/install")],
        addresses: vec![Value::from("10.5.106.7")],
        digest: "e3b0".into(),
    }
}

pub fn started() -> Event {
    Event::RunStarted {
        run: RUN.into(),
        format: 1,
        hawiz: "0.1.0".into(),
        procedure: "activate".into(),
        target: Some("xcatmn2".into()),
        from: None,
        unplanned: false,
        plan: "e3b0".into(),
        title: "xCAT management node".into(),
        sources: vec!["./hawiz.toml".into()],
        stages: vec!["activate/ask".into(), "activate/do".into()],
        comment: Some("CHG-4711: \"it's time\"\n".into()),
        marker: "5f1e".into(),
    }
}

pub fn intent(node: &str, attempt: u32) -> Event {
    Event::StepIntent {
        step: "activate/do/change-0@xcatmn2".into(),
        title: "Start xcatd".into(),
        node: node.into(),
        attempt,
        claim: Some(Claim {
            run: RUN.into(),
            step: "activate/do/change-0@xcatmn2".into(),
            attempt,
            marker: "5f1e".into(),
            boot: "b007".into(),
        }),
        before: Some(Value(vec![b'x', 0xff])),
        was: Some(Answer::No),
    }
}

pub fn finished(verdict: Verdict, exit: u8) -> Event {
    Event::RunFinished {
        verdict,
        exit,
        why: None,
        nodes: vec![("xcatmn2".into(), "active".into())],
        skipped: vec![("activate/do/plug@xcatmn2".into(), "no plug".into())],
        next: vec!["hawiz status".into()],
    }
}

/// At least one of every event, and every word of the enumerations in them.
pub fn every_event() -> Vec<Event> {
    let (s, t, n) =
        (|| "activate/do/change-0@xcatmn2".to_string(), || "Start xcatd".to_string(), || "xcatmn2".to_string());
    let mut all = vec![
        started(),
        Event::RunResumed { run: RUN.into(), purpose: "resume".into(), hawiz: "0.2.0".into(), taken: None },
        Event::NodeSeen { node: n(), boot: "b007".into(), identity: Some("1d".into()), unrecorded: None },
        Event::NodeSeen { node: n(), boot: "b007".into(), identity: None, unrecorded: Some("read-only".into()) },
        Event::NodeUnreachable { node: n(), why: "no route".into() },
        Event::NodeLocked { node: n(), generation: None },
        Event::NodeHeld { node: n(), holder: WHO.into() },
        Event::StageStarted { stage: "activate/do".into(), title: "A stage".into(), number: 2, of: 3 },
        Event::StageSkipped {
            stage: "activate/end".into(),
            title: "A stage".into(),
            reason: "not needed".into(),
            already: false,
        },
        Event::GateAsked { stage: "activate/do".into() },
        Event::GateAnswered { stage: "activate/do".into(), answer: "yes".into(), by: "person".into() },
        Event::StepStarted { step: s(), title: t(), node: n(), number: 6, of: 10 },
        intent("xcatmn2", 1),
        Event::StepIntent { step: s(), title: t(), node: n(), attempt: 2, claim: None, before: None, was: None },
        Event::AttemptFailed {
            step: s(),
            node: n(),
            attempt: 1,
            of: 3,
            code: None,
            why: "killed".into(),
            tail: "last\nwords \u{1b}[0m \u{fffd}".into(),
        },
        Event::Output { step: s(), node: n(), stderr: true, text: "said\n".into() },
        Event::LinkLost { step: s(), node: n(), why: "end of stream".into() },
        Event::Captured { key: "nic@xcatmn2".into(), value: Value(vec![0, 0xff, b'\n']) },
        Event::Chosen { step: s(), choice: "skip".into(), reason: Some("no plug".into()) },
        Event::UndoIntent { step: s(), title: t(), node: n(), attempt: 1, claim: None },
        Event::UndoFinished { step: s(), title: t(), node: n(), outcome: Outcome::Undone, tail: String::new() },
        Event::Noted { text: "the clock is off".into() },
        Event::Interrupted { signal: "SIGHUP".into(), then: "leaving".into() },
        Event::Other,
    ];
    for (i, purpose) in [
        Purpose::When,
        Purpose::Check,
        Purpose::Before,
        Purpose::After,
        Purpose::Verify,
        Purpose::Undone,
        Purpose::Proof,
    ]
    .into_iter()
    .enumerate()
    {
        all.push(Event::Looked(Looked {
            step: s(),
            title: t(),
            node: n(),
            purpose,
            answer: [Answer::Yes, Answer::No, Answer::Unsettled, Answer::CouldNotLook][i % 4],
            code: (i % 4 != 3).then_some(i as i32),
            evidence: "inet 10.5.106.7/24".into(),
        }));
    }
    let why = || "why".to_string();
    for proven in
        [Proven::LookedAt, Proven::Attested, Proven::Active(why()), Proven::CannotTell(why()), Proven::Alive(why())]
    {
        all.push(Event::ProofTaken { node: "xcatmn1".into(), proven, again: true });
    }
    for outcome in [
        Outcome::Done,
        Outcome::Already,
        Outcome::Passed,
        Outcome::Skipped(why()),
        Outcome::Failed(why()),
        Outcome::Unknown(why()),
        Outcome::Undone,
        Outcome::UndoFailed(why()),
    ] {
        let code = Some(3);
        all.push(Event::StepFinished {
            step: s(),
            title: t(),
            node: n(),
            outcome,
            attempts: 1,
            code,
            tail: "ok".into(),
            show: false,
            took_ms: 1204,
        });
    }
    for (i, verdict) in VERDICTS.into_iter().enumerate() {
        all.push(finished(verdict, i as u8));
    }
    all
}

pub const VERDICTS: [Verdict; 11] = [
    Verdict::Completed,
    Verdict::Degraded,
    Verdict::Declined,
    Verdict::NotReady,
    Verdict::Locked,
    Verdict::Stopped,
    Verdict::Failed,
    Verdict::Unknown,
    Verdict::RolledBack,
    Verdict::Stuck,
    Verdict::Dry,
];

/// What came after the golden journal of [`every_event`] was made.
pub fn newer_events() -> Vec<Event> {
    let n = || "xcatmn2".to_string();
    vec![
        Event::Owed { debts: vec![debt()] },
        Event::Registered {
            register: Register {
                system: "xcat".into(),
                epoch: 2,
                active: Some(n()),
                since: "2026-11-22T13:17:00Z".into(),
                run: "r".into(),
                by: WHO.into(),
                debts: vec![debt()],
            },
            nodes: vec![n()],
            missed: vec![("xcatmn1".into(), "cannot reach it".into())],
        },
    ]
}

fn debt() -> Debt {
    let step = Owes::Step("activate/start/dhcpd@xcatmn2".into());
    Debt { node: "xcatmn2".into(), owes: step, run: "r0".into(), why: "it was skipped: no plug".into() }
}

/// What was not known from the beginning.
pub fn since() -> Vec<Event> {
    let mut begun = started();
    if let Event::RunStarted { from, unplanned, .. } = &mut begun {
        (*from, *unplanned) = (Some("xcatmn1".into()), true);
    }
    let proven = Proven::Fenced("fence_ipmilan 10.5.106.170".into());
    vec![
        begun,
        Event::WentUnplanned { node: "xcatmn1".into(), why: "xcatmn1 does not answer".into() },
        Event::ProofTaken { node: "xcatmn1".into(), proven, again: true },
    ]
}

/// A new event must be added here, and above: this is no match for a catch-all.
pub fn number(event: &Event) -> usize {
    match event {
        Event::RunStarted { .. } => 0,
        Event::RunResumed { .. } => 1,
        Event::NodeSeen { .. } => 2,
        Event::NodeUnreachable { .. } => 3,
        Event::NodeLocked { .. } => 4,
        Event::NodeHeld { .. } => 5,
        Event::ProofTaken { .. } => 6,
        Event::StageStarted { .. } => 7,
        Event::StageSkipped { .. } => 8,
        Event::Looked(_) => 9,
        Event::GateAsked { .. } => 10,
        Event::GateAnswered { .. } => 11,
        Event::StepStarted { .. } => 12,
        Event::StepIntent { .. } => 13,
        Event::AttemptFailed { .. } => 14,
        Event::Output { .. } => 15,
        Event::LinkLost { .. } => 16,
        Event::Captured { .. } => 17,
        Event::StepFinished { .. } => 18,
        Event::Chosen { .. } => 19,
        Event::UndoIntent { .. } => 20,
        Event::UndoFinished { .. } => 21,
        Event::Noted { .. } => 22,
        Event::Interrupted { .. } => 23,
        Event::RunFinished { .. } => 24,
        Event::Owed { .. } => 25,
        Event::Registered { .. } => 26,
        Event::Other => 27,
        Event::WentUnplanned { .. } => 28,
    }
}
pub const NUMBERS: usize = 29;

/// As records one second apart.
pub fn recorded(events: Vec<Event>) -> Vec<Record> {
    let record = |(i, event)| Record {
        seq: i as u64 + 1,
        utc: format!("2026-11-22T13:{:02}:{:02}.042Z", 17 + i / 60, i % 60),
        who: WHO.into(),
        event,
    };
    events.into_iter().enumerate().map(record).collect()
}
