//! hawiz: an interactive failover wizard. This page is the way around the house.
//!
//! # One line
//!
//! A **playbook** is resolved into a **Plan**: plain data in which every command is already shell text. The **engine** walks the
//! Plan, asks a **Prompter**, runs commands on nodes and emits **Events**. The **journal** stores Events before anything else sees
//! them; everything an operator sees is drawn from Events; a resumed run is a fold over Events.
//!
//! ```text
//! playbook.toml ─► playbook ─┐
//! site, inputs ─────► site ──┼─► resolve ─► Plan ─┬─► ui::script  (a dry run prints the Plan)
//!                            │  catalog, shell     │
//!                            └─────────────────────┴─► engine ─► Event ─► journal ─► ui: term, plain, json
//!                                                      ▲    ▲                │
//!                                   reach ◄─ session ──┘    prompt           └─► history ─► resume, roll-back, status
//!                                            transport
//! ```
//!
//! # Nine nouns
//!
//! | noun | what it is | where |
//! |---|---|---|
//! | Playbook | the TOML as people wrote it, with places | [`playbook`], [`site`] |
//! | Plan | stages and steps, every command as text; has a digest | [`plan`], made by [`resolve`] |
//! | Recipe | what one word of the catalogue becomes: look, change, verification, undo | [`catalog`] |
//! | Command | shell text, the values it is given, its deadline; a secret only by name | [`shell`] |
//! | Event | one thing that happened, owned and versioned | [`event`] |
//! | History | the fold over Events: what a run has done, and what may be done next | [`history`] |
//! | Transport | a byte stream to a node's `sh`; [`session`] makes looks, claims and locks of it, [`reach`] is what the engine sees | [`transport`] |
//! | Prompter | who answers: a person at a terminal, a file, nobody | [`prompt`] |
//! | Journal | Events on disk, in order, each synced before the next act | [`journal`] |
//!
//! A tenth needs a reason.
//!
//! # The rooms, in reading order
//!
//! The modules below are declared in groups, in the order in which they are best read.
//!
//! 1. [`problem`]: what is said when something is wrong, and the exit codes. [`shell`]: the only maker of shell text.
//! 2. [`plan`], [`event`], [`history`]: the data. Whoever knows these three knows what a run is.
//! 3. [`playbook`], [`site`], [`resolve`], [`schema`]: from files to a Plan, with every mistake at its place.
//! 4. [`catalog`], [`explain`]: services, addresses, mounts, links, lines in files, as recipes; each documented by its own text.
//! 5. [`reach`], [`engine`]: what the engine needs of nodes, and the engine: gate, look, intent, change, look, result; the proof
//!    that every peer is inactive; the failure menu; roll-back. [`survey`]: the same looks without any change.
//! 6. [`prompt`], [`journal`], [`session`], [`transport`], [`secret`], [`mask`], [`signal`], [`who`]: the world outside, one door
//!    each. `session.sh` is the half of the protocol that runs on a node.
//! 7. [`ui`]: views and texts, drawn from Events and Plans. [`cli`], [`app`]: the command line, and the one place that knows all
//!    rooms.
//!
//! # A step, from the engine's side
//!
//! Look (`done`): true means *already so*, one record, never undone. Else the intent is recorded, with what the look saw and what an
//! undo will need; the step is claimed on the node and run there in a session of its own; its output comes back as it is printed and
//! its exit code is kept on the node. Then `done` and `verify` are looked at, and the result is recorded. After a crash the intent
//! without a result is taken to the node: it never began, runs still, ended with a code, or nobody can know; only the last is a
//! person's decision.
//!
//! # What holds everywhere
//!
//! 1. What was shown is what runs: there is one text, made when planning. A dry run is the Plan printed; the engine knows none.
//! 2. A look has four answers: yes, no, unsettled, could not look. Only yes and no decide.
//! 3. Intent before change, result after it, each on disk before the next act. In doubt the node is asked.
//! 4. In a system that has `inactive`, the engine takes the proof of every peer before the first change and before each exclusive
//!    one. No playbook, answer or flag goes around it.
//! 5. The last line and the exit code are computed from outcomes.
//! 6. A secret is in no Plan, Event, argument or environment; it travels on a step's standard input.
//!
//! And as absences:
//!
//! - [`engine`], [`history`], [`plan`], [`event`], [`catalog`] and [`shell`] touch no file, process, environment or screen.
//! - One crate, one door: clap in [`cli`], dialoguer in [`prompt`], indicatif in [`ui`], duct in [`transport`].
//! - [`ui`] imports neither [`engine`] nor [`transport`]; the engine imports no view; the catalogue runs nothing.
//! - Nothing below [`app`] knows whether a run is a dry one or a person is there.
//! - A transport never prompts, prints or retries. A view decides nothing, and a broken screen stops nothing; a journal that cannot
//!   be written does, before the next change.
//! - A run is resumed by the ids of its own plan; never by position, never into another plan.
//!
//! `tests/tidy.rs` looks for violations. What is written in files is described in `docs/format.md`.

// 1. What is said when something is wrong; shell text.
pub mod problem;
pub mod shell;

// 2. The data.
pub mod event;
pub mod history;
pub mod plan;

// 3. From files to a Plan.
pub mod playbook;
pub mod resolve;
pub mod schema;
pub mod site;

// 4. The catalogue.
pub mod catalog;
pub mod explain;

// 5. The engine.
pub mod engine;
pub mod reach;
pub mod survey;

// 6. The world outside, one door each.
pub mod journal;
pub mod mask;
pub mod prompt;
pub mod secret;
pub mod session;
pub mod signal;
pub mod transport;
pub mod who;

// 7. What people see and type.
pub mod app;
pub mod cli;
pub mod ui;
