//! Which records wake up the daemon while it polls the ring by its timer.

use std::{
    os::fd::AsFd as _,
    sync::atomic::{Ordering, fence},
};

use aya::{Ebpf, maps::Map};

use crate::kernel::mapped::Mapping;

const WAKE_ABOVE: &str = "WAKE_ABOVE";

/// A ring with more than this part of its bytes wakes up the daemon.
const PART: u64 = 16;

/// The word that the programs read before they submit a record.
#[derive(Debug)]
pub struct WakeUps {
    above: Mapping,
    /// Bytes in the ring that wake up the daemon.
    mark: u64,
}

impl WakeUps {
    /// Maps the word. `None` where it is missing or cannot be mapped: then each record that finds the ring empty wakes up the task
    /// that waits.
    pub(in crate::kernel) fn take(ebpf: &Ebpf, ring_bytes: u32) -> Option<Self> {
        let Some(Map::Array(map)) = ebpf.map(WAKE_ABOVE) else { return None };
        let above = Mapping::writable(map.fd().as_fd(), size_of::<u64>())
            .inspect_err(|error| log::debug!("mapping the map {WAKE_ABOVE}: {error}"))
            .ok()?;
        Some(Self { above, mark: u64::from(ring_bytes) / PART })
    }

    /// From here on records wake up the daemon only if they cannot wait or the ring fills up.
    pub fn only_urgent(&self) {
        self.set(self.mark);
    }

    /// From here on each record that finds the ring empty wakes it up. One that a program is just submitting may not: the next tick
    /// finds it.
    pub fn any(&self) {
        self.set(0);
    }

    /// Of no programs.
    #[cfg(test)]
    pub(crate) fn detached() -> Self {
        Self { above: Mapping::private(size_of::<u64>()), mark: 1 }
    }

    fn set(&self, value: u64) {
        if let [above] = self.above.words() {
            above.store(value, Ordering::Relaxed);
            // A poll of the ring after this sees the records of all programs that have not seen the word.
            fence(Ordering::SeqCst);
        }
    }
}
