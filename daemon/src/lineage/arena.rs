//! Fixed-size slots with stable places: memory for tasks and groups without an allocation per record.

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};

/// Slots a chunk, a power of two. A chunk never moves, so growing to a million tasks copies nothing.
const CHUNK: usize = 1024;

/// Place of a `T` in its [`Arena`]. An `Option` of it is no larger.
pub(super) struct Ix<T>(NonZeroU32, PhantomData<fn() -> T>);

impl<T> Ix<T> {
    /// Slots are bounded by the number of tids (2^22) and of tombstones, far below `u32`.
    const fn new(slot: usize) -> Self {
        Self(NonZeroU32::MIN.saturating_add(slot as u32), PhantomData)
    }

    const fn slot(self) -> usize {
        self.0.get() as usize - 1
    }
}

// Derives would ask the same of `T`.
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

/// Slots of one type. Freed slots are used again, last freed first: they are still in the cache.
pub(super) struct Arena<T> {
    chunks: Vec<Box<[T]>>,
    free: Vec<Ix<T>>,
    /// Slots ever used; all above are untouched.
    touched: usize,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), touched: 0 }
    }
}

impl<T: Default> Arena<T> {
    /// Puts `value` in a free slot.
    pub(super) fn insert(&mut self, value: T) -> Ix<T> {
        let ix = self.free.pop().unwrap_or_else(|| {
            if self.touched == self.chunks.len() * CHUNK {
                self.chunks.push((0..CHUNK).map(|_| T::default()).collect());
            }
            self.touched += 1;
            Ix::new(self.touched - 1)
        });
        self[ix] = value;
        ix
    }

    /// Empties a slot. Its place must not be used any more.
    pub(super) fn remove(&mut self, ix: Ix<T>) -> T {
        self.free.push(ix);
        std::mem::take(&mut self[ix])
    }

    /// Slots in use.
    pub(super) const fn len(&self) -> usize {
        self.touched - self.free.len()
    }

    /// Bytes held.
    pub(super) const fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<T>()
            + self.chunks.capacity() * size_of::<Box<[T]>>()
            + self.free.capacity() * size_of::<Ix<T>>()
    }
}

impl<T> Index<Ix<T>> for Arena<T> {
    type Output = T;

    fn index(&self, ix: Ix<T>) -> &T {
        &self.chunks[ix.slot() / CHUNK][ix.slot() % CHUNK]
    }
}

impl<T> IndexMut<Ix<T>> for Arena<T> {
    fn index_mut(&mut self, ix: Ix<T>) -> &mut T {
        &mut self.chunks[ix.slot() / CHUNK][ix.slot() % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_slot_is_used_again_and_places_stay() {
        let mut arena = Arena::default();
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
