//! Compares two lineages: one whose effects nobody wants, which takes shortcuts, and one that builds all effects. The latter is the
//! oracle for the former.

use taskscope::lineage::id::{Ktime, Tgid};
use taskscope::lineage::record::Record;
use taskscope::lineage::{ActionKind, Brief, Config, Effect, Lineage, Wanted, WantedActions, WantedDeaths};

/// Actions whose effects are wanted of all processes.
const ACTIONS: WantedActions = WantedActions {
    kinds: ActionKind::GroupExited.bit() | ActionKind::Reaped.bit() | ActionKind::ZombieFlagged.bit(),
    deaths: WantedDeaths::Signals,
    zombie_ns: 1000,
};

/// Both lineages, and their effects so far.
pub(crate) struct Pair {
    built: Lineage,
    short: Lineage,
    effects: Vec<Effect>,
    short_effects: Vec<Effect>,
    briefs: Vec<Brief>,
    /// The one process whose effects are all wanted.
    wanted: Tgid,
    /// Effects before all were wanted.
    before: Option<usize>,
}

impl Pair {
    pub(crate) fn new(wanted: Tgid) -> Self {
        let (mut built, mut short) = (Lineage::new(Config::default()), Lineage::new(Config::default()));
        built.take_no_shortcuts();
        short.set_wanted(Wanted::Of([None, Some(wanted)], ACTIONS));
        Self {
            built,
            short,
            effects: Vec::new(),
            short_effects: Vec::new(),
            briefs: Vec::new(),
            wanted,
            before: None,
        }
    }

    pub(crate) fn both(&mut self, step: impl Fn(&mut Lineage, &mut Vec<Effect>)) {
        step(&mut self.built, &mut self.effects);
        step(&mut self.short, &mut self.short_effects);
        self.briefs.extend(self.short.take_briefs());
    }

    pub(crate) fn apply(&mut self, records: &[Record]) {
        for record in records {
            self.both(|lineage, effects| {
                lineage.apply(record, record.at, effects);
            });
        }
    }

    /// From now on all effects of both lineages are wanted.
    pub(crate) fn want_all(&mut self) {
        self.before = Some(self.effects.len());
        self.short.set_wanted(Wanted::All);
    }

    /// Returns how many effects were replaced by briefs, and how many others were built before all were wanted. The error
    /// says what differs.
    pub(crate) fn compare(&self, now: Ktime) -> Result<(usize, usize), String> {
        let (before, after) = self.effects.split_at(self.before.unwrap_or(self.effects.len()));
        let is_wanted =
            |effect: &&Effect| effect.process.key.tgid == self.wanted || ACTIONS.has(&effect.action);
        let briefs: Vec<_> = before.iter().filter(|effect| !is_wanted(effect)).map(Brief::of).collect();
        same("briefs", &briefs, &self.briefs)?;
        let wanted: Vec<_> = before.iter().filter(is_wanted).cloned().map(punctual).collect();
        let (short, rest) = self.short_effects.split_at(wanted.len().min(self.short_effects.len()));
        same("effects that were wanted", &wanted, &short.iter().cloned().map(punctual).collect::<Vec<_>>())?;
        same("effects once all were wanted", after, rest)?;
        let tree = |lineage: &Lineage| {
            let mut lines: Vec<_> = lineage.tasks().map(|task| format!("{task:?}")).collect();
            lines.extend(lineage.groups().map(|group| format!("{:?} {:?}", group.life(now), group.debt())));
            lines.sort_unstable();
            lines.extend(lineage.dead_lives().map(|life| format!("{life:?}")));
            lines.push(format!("{:?}", lineage.stats()));
            lines
        };
        same("trees", &tree(&self.built), &tree(&self.short))?;
        Ok((briefs.len(), wanted.len()))
    }
}

/// Removes the delay, which depends on the effects that were built with it.
fn punctual(effect: Effect) -> Effect {
    Effect { late_ns: 0, ..effect }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &[T], found: &[T]) -> Result<(), String> {
    let differs = expected.iter().zip(found).find(|(one, other)| one != other);
    if let Some((one, other)) = differs {
        return Err(format!("{what} differ:\n{one:?}\n{other:?}"));
    }
    if expected.len() == found.len() {
        return Ok(());
    }
    Err(format!("{} {what}, but {}", expected.len(), found.len()))
}
