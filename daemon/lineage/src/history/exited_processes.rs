//! Lives that are over, kept for a while: "who was pid 4711 ten minutes ago, and who was its parent".

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;

use crate::accounting::rollup::Passed;
use crate::model::id::{GroupKey, Ktime, Tgid};
use crate::model::life::Life;
use crate::store::tgid_hash::TgidHasher;

/// Number of a dead life, counted up for ever.
type Serial = u64;

#[derive(Debug)]
pub(crate) struct Grave {
    pub(crate) life: Life,
    /// Who has got what it used.
    pub(crate) passed: Option<Passed>,
    /// The life before it with the same tgid.
    older: Option<Serial>,
}

/// Dead lives, oldest first.
#[derive(Default)]
pub(crate) struct Graveyard {
    graves: VecDeque<Grave>,
    /// Serial of the first.
    first: Serial,
    newest: HashMap<u32, Serial, BuildHasherDefault<TgidHasher>>,
}

impl Graveyard {
    /// Keeps a life, and at most `most` of them.
    pub(crate) fn bury(&mut self, life: Life, passed: Option<Passed>, most: usize) {
        if most == 0 {
            return;
        }
        while self.graves.len() >= most {
            self.drop_oldest();
        }
        let serial = self.first + self.graves.len() as u64;
        let older = self.newest.insert(life.key.tgid.0, serial);
        self.graves.push_back(Grave { life, passed, older });
    }

    /// Forgets lives that ended before `before`.
    pub(crate) fn forget(&mut self, before: Ktime, most: usize) {
        for _ in 0..most {
            match self.graves.front() {
                Some(grave) if grave.life.since < before => self.drop_oldest(),
                _ => break,
            }
        }
    }

    fn drop_oldest(&mut self) {
        let Some(grave) = self.graves.front() else { return };
        let tgid = grave.life.key.tgid.0;
        if self.newest.get(&tgid) == Some(&self.first) {
            self.newest.remove(&tgid);
        }
        // A grave is large and long out of the cache: it is left where it lies, not moved out.
        self.graves.drain(..1);
        self.first += 1;
    }

    /// Fetches what is looked at of the next lives to be forgotten.
    pub(crate) fn warm(&self, lives: usize) -> u64 {
        let see = |Grave { life, .. }: &Grave| {
            let owns = life.executable.is_some() ^ life.children_usage.is_some();
            u64::from(life.key.tgid.0) ^ life.since.0 ^ u64::from(owns)
        };
        self.graves.iter().take(lives).map(see).fold(0, std::ops::BitXor::bitxor)
    }

    fn at(&self, serial: Serial) -> Option<&Grave> {
        self.graves.get(usize::try_from(serial.checked_sub(self.first)?).ok()?)
    }

    /// Lives that had this tgid, youngest first.
    pub(crate) fn of(&self, tgid: Tgid) -> impl Iterator<Item = &Life> {
        let newest = self.newest.get(&tgid.0).and_then(|&serial| self.at(serial));
        std::iter::successors(newest, |grave| self.at(grave.older?)).map(|grave| &grave.life)
    }

    /// The last life with this tgid that was there at a moment: whoever began then was a thread or a child of it.
    pub(crate) fn last_before(&mut self, tgid: Tgid, moment: Ktime) -> Option<&mut Grave> {
        let mut serial = self.newest.get(&tgid.0).copied()?;
        loop {
            let grave = self.at(serial)?;
            if grave.life.key.start.is_none_or(|start| start <= moment) {
                break;
            }
            serial = grave.older?;
        }
        self.graves.get_mut(usize::try_from(serial.checked_sub(self.first)?).ok()?)
    }

    /// The life with this identity.
    pub(crate) fn find(&self, key: GroupKey) -> Option<&Life> {
        self.of(key.tgid).find(|life| life.key == key)
    }

    pub(crate) fn len(&self) -> usize {
        self.graves.len()
    }

    /// Every dead life, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Life> {
        self.graves.iter().map(|grave| &grave.life)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.graves.capacity() * size_of::<Grave>()
            + self.newest.capacity() * (size_of::<(u32, Serial)>() + 1)
    }
}
