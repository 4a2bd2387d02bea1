//! The counters that the eBPF programs keep, summed over CPUs.

use aya::{
    Ebpf,
    maps::{MapData, MapError, PerCpuArray},
};
use probe_common::{Counters, Kind, Lost};
use thiserror::Error;

use crate::failpoint::{self, Point};

/// A per-CPU counters value as the map holds it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Raw(Counters);

// SAFETY: `Counters` is repr(C) and consists of u64 arrays only: any bytes are a value, and there is no padding.
unsafe impl aya::Pod for Raw {}

/// Why the counters cannot be read.
#[derive(Debug, Error)]
pub enum CountersError {
    /// The object has no such map.
    #[error("the eBPF object has no map COUNTERS")]
    NoMap,
    /// The kernel refused.
    #[error("reading the map COUNTERS: {0}")]
    Map(#[from] MapError),
}

/// The counters map.
pub struct CountersMap {
    map: PerCpuArray<MapData, Raw>,
}

/// Sums over all CPUs since the programs were loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records that programs wanted to send, by kind.
    pub produced: [u64; Kind::COUNT],
    /// Records for which the ring had no room, by kind.
    pub dropped: [u64; Kind::COUNT],
    /// Records that programs left out because the ring was filling up, by kind.
    pub shed: [u64; Kind::COUNT],
    /// Other losses, by [`Lost`].
    pub lost: [u64; Lost::COUNT],
}

impl CountersMap {
    /// Takes the map out of the loaded object.
    pub fn take(ebpf: &mut Ebpf) -> Result<Self, CountersError> {
        let map = ebpf.take_map("COUNTERS").ok_or(CountersError::NoMap)?;
        Ok(Self { map: PerCpuArray::try_from(map)? })
    }

    /// Reads the counters: one system call.
    pub fn read(&self) -> Result<Totals, CountersError> {
        failpoint::check(Point::MapCounters).map_err(MapError::from)?;
        let mut totals = Totals::default();
        for cpu in self.map.get(&0, 0)?.iter() {
            add(&mut totals.produced, &cpu.0.produced);
            add(&mut totals.dropped, &cpu.0.dropped);
            add(&mut totals.shed, &cpu.0.shed);
            add(&mut totals.lost, &cpu.0.lost);
        }
        Ok(totals)
    }
}

fn add<const N: usize>(sum: &mut [u64; N], part: &[u64; N]) {
    for (sum, part) in sum.iter_mut().zip(part) {
        *sum += part;
    }
}

impl Totals {
    /// Returns how many records were left out because the ring was filling up.
    #[must_use]
    pub fn all_shed(&self) -> u64 {
        self.shed.iter().sum()
    }

    /// Returns how many records were lost, in the ring or before it. Records that were left out on purpose ([`Self::shed`]) are
    /// not among them.
    #[must_use]
    pub fn all_lost(&self) -> u64 {
        self.dropped.iter().sum::<u64>() + self.lost.iter().sum::<u64>()
    }
}
