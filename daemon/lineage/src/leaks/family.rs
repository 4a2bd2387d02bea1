//! Finds the living processes of a fork bomb, including those whose parents have ended. A remedy must end all of them and no
//! others.

use std::collections::HashMap;

use super::storm::{LEVELS, parent};
use crate::Lineage;
use crate::model::id::{GroupKey, Ktime};

/// The living processes without the culprit of a fork bomb, by whether they belong to the bomb.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Descent {
    /// Those that descend from the culprit, were forked since the bomb began, and have not called execve(2).
    pub members: Vec<GroupKey>,
    /// All others, such as what a shell had started before; also processes with an ancestor in between that is not remembered.
    pub others: Vec<GroupKey>,
}

impl Lineage {
    /// Splits the living processes by whether they belong to a bomb of `of` that began at `born`. Costs O(processes).
    #[must_use]
    pub fn descent_from(&self, of: GroupKey, born: Ktime, now: Ktime) -> Descent {
        let mut known = HashMap::from([(of, true)]);
        let mut descent = Descent::default();
        let living = self.groups().map(|group| group.key()).filter(|key| self.sizes(*key).is_some());
        for key in living.filter(|key| *key != of) {
            let mut line = vec![key];
            let own = self.life_by_key(key, now);
            let is_young = key.start.is_some_and(|start| start >= born)
                && own.as_ref().is_some_and(|life| life.execs == 0);
            let mut next = own.and_then(|life| parent(&life));
            let descends = loop {
                let Some(above) = next.filter(|_| line.len() < LEVELS) else { break false };
                if let Some(&descends) = known.get(&above) {
                    break descends;
                }
                line.push(above);
                next = self.life_by_key(above, now).and_then(|life| parent(&life));
            };
            known.extend(line.into_iter().map(|key| (key, descends)));
            if descends && is_young { &mut descent.members } else { &mut descent.others }.push(key);
        }
        descent
    }
}
