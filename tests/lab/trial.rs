//! One handover and what befalls it; all of it is drawn before it begins.
//!
//! Why it exists: the faults that matter are those nobody thought of putting in a scenario, so a campaign draws them; a run
//! that failed must be had again, so nothing is drawn while it runs. [`commands`] says how a handover is done, [`drawn`] how
//! often what comes, [`each_once`] what the ordinary suite plays. Invariant: what no tool can know (a controller that lies
//! about a host that is cut off) is never drawn here; that is run apart.

use crate::fault::Fault;
use crate::rig::Lab;
use crate::support::Dice;
use std::path::PathBuf;
use std::time::Duration;

/// How a handover is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// `deactivate` here, `activate` there.
    TwoCommands,
    /// The source has lost its power before anything is begun; a person says so, and the target is activated.
    Attested,
    /// `failover`, planned: the source is active and well when it begins.
    Planned,
    /// `failover --unplanned`: its power is cut by its controller, then the target takes over.
    Unplanned,
}

/// Which host a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    Source,
    Target,
}

/// What the source's controller does wrong, until the commands have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    Fails,
    Hangs,
    Unknown,
    Lies,
}

impl Controller {
    pub fn mode(self) -> &'static str {
        match self {
            Controller::Fails => "fails",
            Controller::Hangs => "hangs",
            Controller::Unknown => "unknown",
            Controller::Lies => "lies",
        }
    }
}

/// What a second operator wants at the same time, from the other station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// The same handover.
    Same,
    /// The one back.
    Back,
    /// That the source gives up.
    GiveUp,
}

#[derive(Clone, Copy, Debug)]
pub struct Trial {
    pub how: Handover,
    pub fault: Option<(Fault, Victim)>,
    /// The fault comes before anything is begun, and is why it is.
    pub first: bool,
    pub controller: Option<Controller>,
    /// Somebody switches the source on again, so long after the first command.
    pub back: Option<Duration>,
    /// hawiz itself is killed after this long.
    pub killed: Option<Duration>,
    /// Who goes on then has another station.
    pub heir: bool,
    pub rival: Option<(Rival, Duration)>,
    /// From the first command to the fault.
    pub after: Duration,
    /// From the fault to its remedy; `None`: when the commands have ended.
    pub mended: Option<Duration>,
}

impl Trial {
    pub const CALM: Trial = Trial {
        how: Handover::Planned,
        fault: None,
        first: false,
        controller: None,
        back: None,
        killed: None,
        heir: false,
        rival: None,
        after: Duration::ZERO,
        mended: None,
    };
    /// The row of the figures that it belongs to.
    pub fn kind(&self) -> String {
        let whose = |v| if v == Victim::Source { "the active node" } else { "the other node" };
        if let Some(controller) = self.controller {
            return match controller {
                Controller::Fails => "fencing fails".into(),
                Controller::Hangs => "fencing hangs".into(),
                Controller::Unknown => "fencing of unknown outcome".into(),
                Controller::Lies => "fencing lies, the host still answers".into(),
            };
        }
        match self.fault {
            _ if self.rival.is_some() => "two operators at once".into(),
            _ if self.back.is_some() => "the source comes back in the middle".into(),
            Some((Fault::PowerCut, v)) => format!("power cut of {}", whose(v)),
            Some((Fault::CablePulled, v)) => format!("cable of {} pulled", whose(v)),
            Some((Fault::SshdHung, v)) => format!("sshd of {} hung", whose(v)),
            Some((Fault::DiskFull, v)) => format!("disk of {} full", whose(v)),
            None if self.heir => "hawiz killed, the other station goes on".into(),
            None if self.killed.is_some() => "hawiz killed, resumed".into(),
            None => "none".into(),
        }
    }
}

/// The command lines of a handover.
pub fn commands(lab: &Lab, how: Handover, from: &str, to: &str) -> Vec<Vec<String>> {
    let line = |words: &[&str]| words.iter().map(|w| w.to_string()).collect::<Vec<_>>();
    match how {
        Handover::TwoCommands => {
            vec![line(&["deactivate", "--on", from, "--yes"]), line(&["activate", "--on", to, "--yes"])]
        }
        Handover::Attested => vec![line(&["activate", "--on", to, "--yes", "--attest", from])],
        Handover::Planned => vec![line(&["failover", "--from", from, "--to", to, "--yes"])],
        Handover::Unplanned => {
            let answers = answers(lab, from).display().to_string();
            vec![line(&["failover", "--from", from, "--to", to, "--unplanned", "--yes", "--answers", &answers])]
        }
    }
}

/// The word that a person types before this host's power is cut.
pub fn answers(lab: &Lab, from: &str) -> PathBuf {
    lab.run.join(format!("answers-{from}.toml"))
}

/// Each fault of a host, and of hawiz itself, once; none by lot: where it hurts, and mended when that has been felt.
pub fn each_once() -> Vec<Trial> {
    use {Fault::*, Handover::*, Victim::*};
    let ms = Duration::from_millis;
    let calm = Trial::CALM;
    let hit = |how, fault, victim, after, mended: Option<u64>| Trial {
        how,
        fault: Some((fault, victim)),
        after: ms(after),
        mended: mended.map(ms),
        ..calm
    };
    vec![
        hit(TwoCommands, CablePulled, Source, 150, Some(4_000)),
        hit(Planned, SshdHung, Source, 150, Some(3_000)),
        hit(TwoCommands, DiskFull, Target, 300, None),
        hit(Planned, PowerCut, Target, 900, Some(500)),
        // The source is back while its peer is being activated.
        hit(TwoCommands, PowerCut, Source, 700, Some(0)),
        Trial { killed: Some(ms(900)), ..calm },
        Trial { killed: Some(ms(900)), heir: true, ..calm },
        Trial { rival: Some((Rival::Back, ms(100))), ..calm },
    ]
}

/// All that may go wrong where the power is to be cut, once.
pub fn fencing() -> Vec<Trial> {
    let unplanned = Trial { how: Handover::Unplanned, first: true, ..Trial::CALM };
    let fence = |c| Trial { controller: Some(c), ..unplanned };
    let of = |fault| Trial { fault: Some((fault, Victim::Source)), ..unplanned };
    vec![
        of(Fault::CablePulled),
        Trial { back: Some(Duration::from_millis(500)), ..of(Fault::PowerCut) },
        fence(Controller::Fails),
        fence(Controller::Hangs),
        fence(Controller::Unknown),
        fence(Controller::Lies),
    ]
}

/// So many, by lot; each has a fault.
pub fn drawn(runs: usize, dice: &mut Dice) -> Vec<Trial> {
    (0..runs).map(|_| draw(dice)).collect()
}

fn draw(dice: &mut Dice) -> Trial {
    use {Fault::*, Handover::*, Victim::*};
    fn pick<T: Copy>(dice: &mut Dice, of: &[T]) -> T {
        of[dice.below(of.len() as u64) as usize]
    }
    let ms = |dice: &mut Dice, below| Duration::from_millis(dice.below(below));
    let killed = (dice.below(6) == 0).then(|| ms(dice, 4_000));
    let calm = Trial {
        how: pick(dice, &[TwoCommands, Planned, Planned]),
        killed,
        heir: dice.below(2) == 0,
        after: ms(dice, 3_000),
        mended: (dice.below(2) == 0).then(|| ms(dice, 2_000)),
        ..Trial::CALM
    };
    // What is cut off is not mended in the middle of an unplanned run: whoever begins one leaves the source for lost.
    let unplanned = Trial { how: Unplanned, first: true, mended: None, ..calm };
    match dice.below(24) {
        0..=7 => {
            let fault = pick(dice, &[PowerCut, PowerCut, CablePulled, SshdHung, DiskFull]);
            Trial { fault: Some((fault, pick(dice, &[Source, Target]))), ..calm }
        }
        8 => Trial { how: Attested, fault: Some((PowerCut, Source)), ..unplanned },
        9..=12 => {
            let fault = pick(dice, &[PowerCut, PowerCut, CablePulled, SshdHung, DiskFull]);
            Trial { fault: Some((fault, Source)), ..unplanned }
        }
        13..=16 => {
            let kill = Some(ms(dice, 4_000));
            let how = pick(dice, &[TwoCommands, Planned, Planned, Unplanned]);
            let mended = if how == Unplanned { None } else { calm.mended };
            Trial { how, killed: kill, mended, ..calm }
        }
        17..=18 => Trial { fault: Some((PowerCut, Source)), back: Some(ms(dice, 5_000)), ..unplanned },
        19..=21 => {
            let controller = pick(dice, &[Controller::Fails, Controller::Hangs, Controller::Unknown, Controller::Lies]);
            let fault = match controller {
                // About a host that still answers.
                Controller::Lies => pick(dice, &[None, Some(SshdHung), Some(DiskFull)]),
                _ => pick(dice, &[None, Some(PowerCut), Some(CablePulled), Some(SshdHung)]),
            };
            Trial { controller: Some(controller), fault: fault.map(|f| (f, Source)), ..unplanned }
        }
        _ => {
            let rival = pick(dice, &[Rival::Same, Rival::Back, Rival::GiveUp]);
            Trial { rival: Some((rival, ms(dice, 3_000))), killed: None, ..calm }
        }
    }
}
