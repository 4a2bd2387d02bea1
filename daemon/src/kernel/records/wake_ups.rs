//! Selects the records that wake up the daemon while it polls the ring by a timer.

use std::{
    os::fd::AsFd as _,
    sync::atomic::{Ordering, fence},
};

use aya::{Ebpf, maps::Map};

use crate::kernel::mapped::Mapping;

const WAKE_ABOVE: &str = "WAKE_ABOVE";

/// The daemon is woken up when the ring is filled to more than 1/16.
const PART: u64 = 16;

/// The word that the programs read before they submit a record.
#[derive(Debug)]
pub struct WakeUps {
    above: Mapping,
    /// The number of bytes in the ring above which the daemon is woken up.
    mark: u64,
}

impl WakeUps {
    /// Maps the word. Returns `None` if it is missing or cannot be mapped: then each record that finds the ring empty wakes up the
    /// reader.
    pub(in crate::kernel) fn take(ebpf: &Ebpf, ring_bytes: u32) -> Option<Self> {
        let Some(Map::Array(map)) = ebpf.map(WAKE_ABOVE) else { return None };
        let above = Mapping::writable(map.fd().as_fd(), size_of::<u64>())
            .inspect_err(|error| log::debug!("mapping the map {WAKE_ABOVE}: {error}"))
            .ok()?;
        Some(Self { above, mark: u64::from(ring_bytes) / PART })
    }

    /// From now on only urgent records, and a ring that fills up, wake up the daemon.
    pub fn only_urgent(&self) {
        self.set(self.mark);
    }

    /// From now on each record that finds the ring empty wakes up the daemon. A record that a program is submitting during this
    /// call may not: the next tick finds it.
    pub fn any(&self) {
        self.set(0);
    }

    /// A word that no program reads, for tests.
    #[cfg(test)]
    pub(crate) fn detached() -> Self {
        Self { above: Mapping::private(size_of::<u64>()), mark: 1 }
    }

    fn set(&self, value: u64) {
        if let [above] = self.above.words() {
            above.store(value, Ordering::Relaxed);
            // A poll of the ring after this sees the records of all programs that did not see the new value of the word.
            fence(Ordering::SeqCst);
        }
    }
}
