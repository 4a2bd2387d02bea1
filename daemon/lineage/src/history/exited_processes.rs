//! Lives that are over, kept for a while: "who was pid 4711 ten minutes ago, and who was its parent".

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;

use crate::model::id::{GroupKey, Ktime, Tgid};
use crate::model::life::Life;
use crate::store::slot::charged_to::ChargedTo;
use crate::store::tables::tgid_hash::TgidHasher;

/// Number of a dead life, counted up for ever.
type Serial = u64;

#[derive(Debug)]
pub(crate) struct ExitedProcess {
    pub(crate) life: Life,
    /// Who has got what it used.
    pub(crate) charged_to: Option<ChargedTo>,
    /// The life before it with the same tgid.
    older: Option<Serial>,
}

/// Dead lives, oldest first.
#[derive(Default)]
pub(crate) struct ExitedProcesses {
    exited: VecDeque<ExitedProcess>,
    /// Serial of the first.
    first: Serial,
    newest: HashMap<u32, Serial, BuildHasherDefault<TgidHasher>>,
}

impl ExitedProcesses {
    /// Keeps a life, and at most `most` of them.
    pub(crate) fn insert(&mut self, life: Life, charged_to: Option<ChargedTo>, most: usize) {
        if most == 0 {
            return;
        }
        while self.exited.len() >= most {
            self.drop_oldest();
        }
        let serial = self.first + self.exited.len() as u64;
        let older = self.newest.insert(life.key.tgid.0, serial);
        self.exited.push_back(ExitedProcess { life, charged_to, older });
    }

    /// Forgets lives that ended before `before`.
    pub(crate) fn forget(&mut self, before: Ktime, most: usize) {
        for _ in 0..most {
            match self.exited.front() {
                Some(exited) if exited.life.since < before => self.drop_oldest(),
                _ => break,
            }
        }
    }

    fn drop_oldest(&mut self) {
        let Some(exited) = self.exited.front() else { return };
        let tgid = exited.life.key.tgid.0;
        if self.newest.get(&tgid) == Some(&self.first) {
            self.newest.remove(&tgid);
        }
        // A grave is large and long out of the cache: it is left where it lies, not moved out.
        self.exited.drain(..1);
        self.first += 1;
    }

    /// Fetches what is looked at of the next lives to be forgotten.
    pub(crate) fn prefetch(&self, lives: usize) -> u64 {
        let see = |ExitedProcess { life, .. }: &ExitedProcess| {
            let owns = life.executable.is_some() ^ life.children_usage.is_some();
            u64::from(life.key.tgid.0) ^ life.since.0 ^ u64::from(owns)
        };
        self.exited.iter().take(lives).map(see).fold(0, std::ops::BitXor::bitxor)
    }

    fn at(&self, serial: Serial) -> Option<&ExitedProcess> {
        self.exited.get(usize::try_from(serial.checked_sub(self.first)?).ok()?)
    }

    /// Lives that had this tgid, youngest first.
    pub(crate) fn of(&self, tgid: Tgid) -> impl Iterator<Item = &Life> {
        let newest = self.newest.get(&tgid.0).and_then(|&serial| self.at(serial));
        std::iter::successors(newest, |exited| self.at(exited.older?)).map(|exited| &exited.life)
    }

    /// The last life with this tgid that was there at a moment: whoever began then was a thread or a child of it.
    pub(crate) fn last_before(&mut self, tgid: Tgid, moment: Ktime) -> Option<&mut ExitedProcess> {
        let mut serial = self.newest.get(&tgid.0).copied()?;
        loop {
            let exited = self.at(serial)?;
            if exited.life.key.start.is_none_or(|start| start <= moment) {
                break;
            }
            serial = exited.older?;
        }
        self.exited.get_mut(usize::try_from(serial.checked_sub(self.first)?).ok()?)
    }

    /// The life with this identity.
    pub(crate) fn find(&self, key: GroupKey) -> Option<&Life> {
        self.of(key.tgid).find(|life| life.key == key)
    }

    pub(crate) fn len(&self) -> usize {
        self.exited.len()
    }

    /// Every dead life, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Life> {
        self.exited.iter().map(|exited| &exited.life)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.exited.capacity() * size_of::<ExitedProcess>()
            + self.newest.capacity() * (size_of::<(u32, Serial)>() + 1)
    }
}
