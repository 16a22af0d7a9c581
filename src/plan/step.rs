//! What is to be known of one step: its commands, what they want, its title.
//!
//! Why it exists: engine, survey and every view ask a step the same things. Invariant: all of it follows from the plan alone, but for what
//! the run has learnt, which the asker brings along.

use super::{Look, Place, Stage, Step, Undo, What};
use crate::event::Purpose;
use crate::shell::{Command, Part, Value, Want};

impl Stage {
    /// What is looked at before its gate, in order: whether it is to be done, and whether it is so already.
    pub fn asked(&self) -> impl Iterator<Item = (&Look, &Place, Purpose)> {
        let place = self.when_on.as_ref().unwrap_or(&Place::Here);
        let when = self.when.iter().map(move |l| (l, place, Purpose::When));
        when.chain(self.done.iter().map(move |l| (l, place, Purpose::Before)))
    }
}

impl Step {
    /// Every command of the step.
    pub fn for_commands<'a>(&'a self, mut each: impl FnMut(&'a Command)) {
        self.when.iter().for_each(|l| each(&l.command));
        let (looks, undo): (Vec<&Look>, _) = match &self.what {
            What::Check(c) => (c.looks.iter().map(|(_, l)| l).collect(), None),
            What::Change(c) => {
                each(&c.run);
                (c.done.iter().chain(&c.verify).collect(), Some(&c.undo))
            }
            What::Manual(m) => (m.done.iter().chain(&m.verify).collect(), Some(&m.undo)),
        };
        looks.into_iter().for_each(|l| each(&l.command));
        if let Some(Undo::Run(c)) = undo {
            each(c);
        }
    }
    /// Whether it changes something (a check never does).
    pub fn changes(&self) -> bool {
        !matches!(self.what, What::Check(_))
    }
    /// Every run-time value its commands need, `before` excepted.
    pub fn wants(&self) -> Vec<&Want> {
        let mut all: Vec<&Want> = Vec::new();
        match &self.what {
            What::Check(c) => c.looks.iter().for_each(|(_, l)| all.extend(&l.command.wants)),
            What::Change(c) => {
                all.extend(&c.run.wants);
                for look in c.done.iter().chain(&c.verify) {
                    all.extend(&look.command.wants);
                }
            }
            What::Manual(m) => {
                for look in [&m.done, &m.verify].into_iter().flatten() {
                    all.extend(&look.command.wants);
                }
            }
        }
        all.retain(|w| w.key != crate::shell::BEFORE);
        all
    }
    /// The title, with what the run has learnt; `value` is asked by key.
    pub fn titled(&self, value: impl Fn(&str) -> Option<Value>) -> String {
        let mut title = self.title.clone();
        for part in &mut title.0 {
            if let Part::Name(name) = part {
                let key = self.wants().iter().find(|w| w.var == *name).map_or(name.clone(), |w| w.key.clone());
                if let Some(v) = value(&key) {
                    *part = Part::Text(v);
                }
            }
        }
        title.shown()
    }
}
