//! Ended processes, stored for a while. They show, for example, which process had pid 4711 ten minutes ago, and its parent.
#![cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "fewer are forgotten than a chunk holds"))]

use std::collections::VecDeque;
use std::num::NonZeroU32;

use crate::Lineage;
use crate::history::exited_process::ExitedProcess;
use crate::model::id::{GroupKey, Ktime, Tgid};
use crate::model::life::Life;
use crate::model::usage::Descent;
use crate::store::slot::packed_usage::PackedUsage;
use crate::store::tables::index::TidTable;
use crate::store::tables::profile::ProfileIx;

/// Serial number of an ended process; serials are never reused.
type Serial = u64;

/// Lives in one chunk. With chunks, growth copies nothing, and forgotten lives free their memory step by step.
const CHUNK: usize = 512;

/// The table of tgids stores serials modulo this number.
const ROUND: u64 = u32::MAX as u64;

/// Ended processes, oldest first.
#[derive(Default)]
pub(crate) struct ExitedProcesses {
    chunks: VecDeque<Vec<ExitedProcess>>,
    /// A free chunk for reuse.
    spare: Option<Vec<ExitedProcess>>,
    /// The number of forgotten lives at the front of the first chunk.
    forgotten: usize,
    len: usize,
    /// The serial of the oldest life that is stored.
    first: Serial,
    /// The youngest life of each tgid.
    newest: TidTable<NonZeroU32>,
    /// Bytes of facts that few lives have.
    side_bytes: usize,
    /// When the youngest forgotten life was released.
    forgotten_until: Ktime,
    /// The number of lives that were forgotten because there were too many.
    crowded_out: u64,
}

/// Returns a serial in four bytes, which is unique among stored lives.
fn short(serial: Serial) -> Option<NonZeroU32> {
    NonZeroU32::new((serial % ROUND) as u32 + 1)
}

impl ExitedProcesses {
    /// Stores a life.
    fn insert(&mut self, mut life: ExitedProcess) {
        let serial = self.first + self.len as u64;
        let older = self.newest.set(Tgid(life.tgid).leader(), short(serial));
        let distance = older.map_or(0, |older| serial - self.serial(older));
        life.older = u32::try_from(distance).unwrap_or(0);
        self.side_bytes += life.side_bytes();
        if self.chunks.back().is_none_or(|chunk| chunk.len() == CHUNK) {
            let chunk = self.spare.take().unwrap_or_else(|| Vec::with_capacity(CHUNK));
            self.chunks.push_back(chunk);
        }
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.push(life);
            self.len += 1;
        }
    }

    /// Returns the full serial of the stored life with this short serial.
    fn serial(&self, short: NonZeroU32) -> Serial {
        let (short, first) = (u64::from(short.get() - 1), self.first % ROUND);
        self.first + (short + ROUND - first) % ROUND
    }

    /// Forgets the oldest life; returns the references that it held.
    fn drop_oldest(&mut self) -> Option<(ProfileIx, PackedUsage)> {
        let (first, newest) = (short(self.first), &mut self.newest);
        let life = self.chunks.front_mut()?.get_mut(self.forgotten)?;
        let tgid = Tgid(life.tgid).leader();
        if newest.get(tgid) == first {
            newest.set(tgid, None);
        }
        // Read the life in place, because moving it would copy memory that is not in the cache.
        let held = (life.profile, life.usage);
        if life.side.is_some() {
            self.side_bytes -= life.side_bytes();
            life.side = None;
        }
        life.executable = None;
        self.forgotten_until = self.forgotten_until.max(life.since);
        self.first += 1;
        self.len -= 1;
        self.forgotten += 1;
        if self.forgotten == CHUNK {
            self.forgotten = 0;
            if let Some(mut chunk) = self.chunks.pop_front() {
                chunk.clear();
                self.spare = Some(chunk);
            }
        }
        Some(held)
    }

    /// Prefetches the memory of the lives that will be forgotten next.
    pub(crate) fn prefetch(&self, lives: usize) -> u64 {
        let see = |life: &ExitedProcess| {
            let owns = life.executable.is_some() ^ life.side.is_some();
            u64::from(life.tgid) ^ life.since.0 ^ u64::from(owns)
        };
        let next = self.chunks.front().and_then(|chunk| chunk.get(self.forgotten..));
        next.unwrap_or_default().iter().take(lives).map(see).fold(0, std::ops::BitXor::bitxor)
    }

    /// Returns the life that ended first.
    fn oldest(&self) -> Option<&ExitedProcess> {
        self.chunks.front()?.get(self.forgotten)
    }

    fn place(&self, serial: Serial) -> Option<(usize, usize)> {
        let distance = usize::try_from(serial.checked_sub(self.first)?).ok()?;
        let place = distance + self.forgotten;
        (distance < self.len).then_some((place / CHUNK, place % CHUNK))
    }

    fn at(&self, serial: Serial) -> Option<&ExitedProcess> {
        let (chunk, place) = self.place(serial)?;
        self.chunks.get(chunk)?.get(place)
    }

    fn at_mut(&mut self, serial: Serial) -> Option<&mut ExitedProcess> {
        let (chunk, place) = self.place(serial)?;
        self.chunks.get_mut(chunk)?.get_mut(place)
    }

    /// Returns the serials of the lives with this tgid, youngest first.
    fn serials_of(&self, tgid: Tgid) -> impl Iterator<Item = Serial> {
        let newest = self.newest.get(tgid.leader()).map(|short| self.serial(short));
        std::iter::successors(newest, |&serial| {
            let distance = self.at(serial)?.older;
            serial.checked_sub(u64::from(distance)).filter(|_| distance != 0)
        })
    }

    /// Returns the lives with this tgid, youngest first.
    pub(crate) fn of(&self, tgid: Tgid) -> impl Iterator<Item = &ExitedProcess> {
        self.serials_of(tgid).map_while(|serial| self.at(serial))
    }

    /// Returns the last life with this tgid that existed at a time.
    pub(crate) fn last_before(&mut self, tgid: Tgid, moment: Ktime) -> Option<&mut ExitedProcess> {
        let serial = self.serial_before(tgid, moment)?;
        self.at_mut(serial)
    }

    fn serial_before(&self, tgid: Tgid, moment: Ktime) -> Option<Serial> {
        let began = |life: &ExitedProcess| life.key().start.is_none_or(|start| start <= moment);
        self.serials_of(tgid).find(|&serial| self.at(serial).is_some_and(began))
    }

    /// Adds to what the dead children of this life used.
    pub(crate) fn add_to_children(
        &mut self,
        tgid: Tgid,
        moment: Ktime,
        is_reaped: bool,
        sum: &Descent,
    ) -> Option<&ExitedProcess> {
        let serial = self.serial_before(tgid, moment)?;
        let life = self.at_mut(serial)?;
        let before = life.side_bytes();
        life.side.get_or_insert_default().children().of(is_reaped).add(sum);
        let more = life.side_bytes() - before;
        self.side_bytes += more;
        self.at(serial)
    }

    /// Returns the life with this identity.
    pub(crate) fn find(&self, key: GroupKey) -> Option<&ExitedProcess> {
        self.of(key.tgid).find(|life| life.key() == key)
    }

    /// Returns at most `most` lives from a serial on, oldest first, and the serial of the next page.
    fn from(&self, serial: Serial, most: usize) -> (impl Iterator<Item = &ExitedProcess>, Serial) {
        let first = serial.max(self.first);
        let end = self.first + self.len as u64;
        let until = first.saturating_add(most as u64).min(end).max(first);
        ((first..until).filter_map(|serial| self.at(serial)), until)
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Returns every ended life, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &ExitedProcess> {
        let chunks = self.chunks.iter().enumerate();
        chunks.flat_map(|(n, chunk)| &chunk[if n == 0 { self.forgotten } else { 0 }..])
    }

    pub(crate) fn bytes(&self) -> usize {
        let chunks = self.chunks.len() + usize::from(self.spare.is_some());
        chunks * CHUNK * size_of::<ExitedProcess>()
            + self.chunks.capacity() * size_of::<Vec<ExitedProcess>>()
            + self.newest.bytes()
            + self.side_bytes
    }
}

impl Lineage {
    /// Stores an ended process, and removes the oldest one if there are too many.
    pub(crate) fn remember(&mut self, life: ExitedProcess) {
        while self.exited.len() >= self.config.dead_lives && self.forget_oldest_life() {
            self.exited.crowded_out += 1;
        }
        self.exited.insert(life);
    }

    /// Forgets lives that ended before `before`.
    pub(crate) fn forget_lives(&mut self, before: Ktime, most: usize) {
        for _ in 0..most {
            if !self.has_old_life(before) || !self.forget_oldest_life() {
                break;
            }
        }
    }

    /// Whether a life that ended before `before` is stored.
    pub(crate) fn has_old_life(&self, before: Ktime) -> bool {
        self.exited.oldest().is_some_and(|life| life.since < before)
    }

    /// Returns a page of ended lives, in the order in which they ended: at most `most` lives from `serial` on, and the serial of
    /// the next page. Serials number all lives that were ever stored; 0 returns the oldest stored life first.
    #[must_use]
    pub fn ended_lives(&self, serial: u64, most: usize) -> (Vec<Life>, u64) {
        let (lives, next) = self.exited.from(serial, most);
        (lives.map(|exited| self.life_of_exited(exited)).collect(), next)
    }

    /// Returns the serial that the next life to end will have.
    #[must_use]
    pub const fn next_ended_life(&self) -> u64 {
        self.exited.first + self.exited.len as u64
    }

    fn forget_oldest_life(&mut self) -> bool {
        let Some((profile, usage)) = self.exited.drop_oldest() else { return false };
        self.store.release_held(profile, usage);
        true
    }

    /// Counts an ended process that is not stored at all.
    pub(crate) fn forget_at_once(&mut self, at: Ktime) {
        self.exited.forgotten_until = self.exited.forgotten_until.max(at);
        self.exited.crowded_out += 1;
    }

    /// Returns the time up to which ended processes may be forgotten; all that were released later are remembered. `None` if none was
    /// forgotten.
    #[must_use]
    pub fn forgotten_until(&self) -> Option<Ktime> {
        Some(self.exited.forgotten_until).filter(|&until| until > Ktime(0))
    }

    /// Returns how many lives were forgotten early, because there were too many or memory was short.
    #[must_use]
    pub const fn lives_crowded_out(&self) -> u64 {
        self.exited.crowded_out
    }

    /// Forgets the oldest lives until `keep` are left; returns the freed bytes.
    pub fn shed_lives(&mut self, keep: usize) -> usize {
        let before = self.memory().dead;
        while self.exited.len() > keep && self.forget_oldest_life() {
            self.exited.crowded_out += 1;
        }
        self.exited.spare = None;
        before - self.memory().dead
    }
}
