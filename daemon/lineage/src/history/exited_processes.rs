//! Lives that are over, kept for a while: "who was pid 4711 ten minutes ago, and who was its parent".

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use super::bequest::Passed;
use super::id::{GroupKey, Ktime, Tgid};
use super::life::Life;

/// Number of a dead life, counted up for ever.
type Serial = u64;

/// Tgids are small numbers that the kernel hands out in turn: a multiplication spreads them well enough. Those that were handed out
/// one after the other stay neighbours in the table, as lives that follow each other are told and forgotten together.
#[derive(Default)]
pub(super) struct TgidHasher(u64);

/// Low bits of a number that keep their place.
const NEIGHBOURS: u64 = 63;

impl Hasher for TgidHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u32(&mut self, value: u32) {
        let value = u64::from(value);
        let spread = (value & !NEIGHBOURS).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // A table takes its place from the low bits and a check from the highest.
        self.0 = (spread.rotate_left(26) & !NEIGHBOURS | value & NEIGHBOURS) ^ value << 57;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
pub(super) struct Grave {
    pub(super) life: Life,
    /// Who has got what it used.
    pub(super) passed: Option<Passed>,
    /// The life before it with the same tgid.
    older: Option<Serial>,
}

/// Dead lives, oldest first.
#[derive(Default)]
pub(super) struct Graveyard {
    graves: VecDeque<Grave>,
    /// Serial of the first.
    first: Serial,
    newest: HashMap<u32, Serial, BuildHasherDefault<TgidHasher>>,
}

impl Graveyard {
    /// Keeps a life, and at most `most` of them.
    pub(super) fn bury(&mut self, life: Life, passed: Option<Passed>, most: usize) {
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
    pub(super) fn forget(&mut self, before: Ktime, most: usize) {
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
    pub(super) fn warm(&self, lives: usize) -> u64 {
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
    pub(super) fn of(&self, tgid: Tgid) -> impl Iterator<Item = &Life> {
        let newest = self.newest.get(&tgid.0).and_then(|&serial| self.at(serial));
        std::iter::successors(newest, |grave| self.at(grave.older?)).map(|grave| &grave.life)
    }

    /// The last life with this tgid that was there at a moment: whoever began then was a thread or a child of it.
    pub(super) fn last_before(&mut self, tgid: Tgid, moment: Ktime) -> Option<&mut Grave> {
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
    pub(super) fn find(&self, key: GroupKey) -> Option<&Life> {
        self.of(key.tgid).find(|life| life.key == key)
    }

    pub(super) fn len(&self) -> usize {
        self.graves.len()
    }

    /// Every dead life, oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Life> {
        self.graves.iter().map(|grave| &grave.life)
    }

    pub(super) fn bytes(&self) -> usize {
        self.graves.capacity() * size_of::<Grave>()
            + self.newest.capacity() * (size_of::<(u32, Serial)>() + 1)
    }
}
