//! Slots of fixed size in one piece of memory, so that tasks and groups need no allocation per record, and a place is found by one
//! comparison and one multiplication.
#![cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "only `insert` makes places"))]

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};

use crate::config::Room;

/// Slots by which an arena grows. The unused part takes address space only: the kernel maps memory when it is touched. The allocator
/// asks the kernel to move the pages of so large a piece (mremap(2)), so that growth copies nothing.
const STEP: usize = 64 * 1024;
/// The size of a huge page on architectures with pages of 4 KiB; on others it only rounds sizes.
const HUGE_PAGE: usize = 2 << 20;
/// Bytes that an allocator may store before a large piece of memory. Both together fill huge pages exactly, because only then
/// does the kernel align them to huge pages.
const HEADER: usize = 64;

/// Place of a `T` in its [`Arena`]. An `Option` of it has the same size.
pub(crate) struct Ix<T>(NonZeroU32, PhantomData<fn() -> T>);

impl<T> Ix<T> {
    /// The place after `slots` others. They are bounded by the number of tids (2^22) and of tombstones, far below `u32`.
    const fn after(slots: usize) -> Self {
        Self(NonZeroU32::MIN.saturating_add(slots as u32), PhantomData)
    }

    /// Its slot. Slot 0 is not used, so that nothing is subtracted whenever a place is used.
    const fn slot(self) -> usize {
        self.0.get() as usize
    }

    /// Returns the place as a number, which is never 0.
    pub(crate) const fn number(self) -> u32 {
        self.0.get()
    }

    /// Returns the place with this number.
    pub(crate) fn of_number(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(|number| Self(number, PhantomData))
    }
}

// A derive would require the same trait of `T`.
impl<T> Clone for Ix<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Ix<T> {}
impl<T> PartialEq for Ix<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T> Eq for Ix<T> {}
impl<T> fmt::Debug for Ix<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.slot())
    }
}

/// Slots of one type. The slot that was freed last is reused first, because it is still in the cache.
pub(crate) struct Arena<T> {
    /// Every slot that was ever used, and slot 0.
    slots: Vec<T>,
    free: Vec<Ix<T>>,
    room: Option<Room>,
}

impl<T: Default> Arena<T> {
    /// Returns an arena without slots. It calls `room` whenever it has grown beyond the first [`STEP`].
    pub(crate) const fn new(room: Option<Room>) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), room }
    }

    /// Puts `value` in a free slot.
    pub(crate) fn insert(&mut self, value: T) -> Ix<T> {
        if let Some(ix) = self.free.pop() {
            self[ix] = value;
            return ix;
        }
        if self.slots.len() == self.slots.capacity() {
            self.grow();
        }
        let ix = Ix::after(self.touched());
        self.slots.push(value);
        ix
    }

    /// Allocates more slots.
    #[cold]
    fn grow(&mut self) {
        let slots = self.slots.capacity() + STEP;
        let bytes = (slots * size_of::<T>() + HEADER).next_multiple_of(HUGE_PAGE) - HEADER;
        let slots = (bytes / size_of::<T>().max(1)).max(slots);
        self.slots.reserve_exact(slots - self.slots.len());
        if self.slots.is_empty() {
            self.slots.push(T::default());
        } else if let Some(room) = self.room {
            // The first step is seldom used up: without huge pages it takes less memory.
            room(self.slots.as_ptr().addr(), bytes);
        }
    }

    /// The number of slots that were ever used.
    const fn touched(&self) -> usize {
        self.slots.len().saturating_sub(1)
    }

    /// Empties a slot. Its place must not be used any more.
    pub(crate) fn remove(&mut self, ix: Ix<T>) -> T {
        self.free.push(ix);
        std::mem::take(&mut self[ix])
    }

    /// Slots in use.
    pub(crate) const fn len(&self) -> usize {
        self.touched() - self.free.len()
    }

    /// Bytes of slots in use.
    pub(crate) const fn used_bytes(&self) -> usize {
        self.len() * size_of::<T>()
    }

    /// Bytes held.
    pub(crate) const fn bytes(&self) -> usize {
        self.touched() * size_of::<T>() + self.free.capacity() * size_of::<Ix<T>>()
    }
}

impl<T> Index<Ix<T>> for Arena<T> {
    type Output = T;

    fn index(&self, ix: Ix<T>) -> &T {
        &self.slots[ix.slot()]
    }
}

impl<T> IndexMut<Ix<T>> for Arena<T> {
    fn index_mut(&mut self, ix: Ix<T>) -> &mut T {
        &mut self.slots[ix.slot()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_slot_is_used_again_and_places_stay() {
        let mut arena = Arena::new(None);
        let places: Vec<_> = (0..3000_u64).map(|n| arena.insert(n)).collect();
        for (n, &ix) in places.iter().enumerate() {
            assert_eq!(arena[ix], n as u64);
        }
        assert_eq!(arena.remove(places[7]), 7);
        assert_eq!(arena.len(), 2999);
        assert_eq!(arena.insert(70), places[7]);
        assert_eq!(arena[places[2999]], 2999);
    }

    #[test]
    fn an_optional_place_is_four_bytes() {
        assert_eq!(size_of::<Option<Ix<u64>>>(), 4);
    }
}
