//! The histograms of `--sched`, read from the maps that the programs fill.

use std::fs;

use aya::{
    Ebpf,
    maps::{HashMap, Map, MapData, MapError, PerCpuArray, PerCpuValues, Queue},
};
use probe_common::{OffCpu, SchedHistogram, SchedHistograms, SchedLosses, SchedLost};
use thiserror::Error;

/// The number of cgroups that have histograms of their own, plus one entry for all others.
pub const CGROUPS: u32 = 256;

/// The most tasks that are followed; a host with fewer pids needs fewer entries.
pub const TASKS: u32 = 128 << 10;
/// Kernel memory for one followed task, bytes: key, value and hash table slot.
const TASK_BYTES: u64 = 104;

/// The most processes that `events --sched` follows.
pub const CHOSEN: u32 = 64;

/// The most tasks of these processes.
const TRACED_TASKS: u32 = 16 << 10;

/// Index of the entry for all other cgroups.
const OTHER: u32 = 0;

/// Why the histograms cannot be read.
#[derive(Debug, Error)]
pub enum SchedError {
    /// The object has no such map.
    #[error("the eBPF object has no map {0}")]
    NoMap(&'static str),
    /// The kernel refused.
    #[error("the map {map} of --sched: {source}")]
    Map {
        /// Its name.
        map: &'static str,
        /// Why.
        source: MapError,
    },
    /// The number of CPUs is not known.
    #[error("the number of CPUs: {0}")]
    Cpus(std::io::Error),
}

/// The histograms as the map holds them.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
struct Raw(SchedHistograms);

// SAFETY: `SchedHistograms` is repr(C) and consists of u64 arrays only: any bytes are a value, and there is no padding.
unsafe impl aya::Pod for Raw {}

/// The maps.
pub struct SchedMaps {
    cgroups: HashMap<MapData, u64, u32>,
    free: Queue<MapData, u32>,
    histograms: PerCpuArray<MapData, Raw>,
    lost: PerCpuArray<MapData, SchedLosses>,
}

/// What the programs counted since they were attached.
#[derive(Clone, Debug, Default)]
pub struct SchedReading {
    /// Histograms by cgroup id.
    pub cgroups: Vec<(u64, SchedHistograms)>,
    /// Histograms of all cgroups without an entry of their own.
    pub other: SchedHistograms,
    /// What could not be counted, by [`SchedLost`].
    pub lost: SchedLosses,
}

/// Which scheduler programs to load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sched {
    /// None: their maps take no memory.
    #[default]
    No,
    /// `run --sched`.
    Histograms,
    /// `events --sched`.
    Trace,
}

/// Returns the number of entries of each map.
pub(in crate::kernel) fn sizes(wanted: Sched, ring_bytes: u32) -> [(&'static str, u32); 7] {
    const SMALLEST_RING: u32 = 4096;
    let histograms = |entries: u32| if wanted == Sched::Histograms { entries } else { 1 };
    let trace = |entries: u32, else_: u32| if wanted == Sched::Trace { entries } else { else_ };
    [
        ("SCHED_TASKS", histograms(tasks())),
        ("SCHED_CGROUPS", histograms(CGROUPS - 1)),
        ("SCHED_FREE", histograms(CGROUPS - 1)),
        ("SCHED_HISTOGRAMS", histograms(CGROUPS)),
        ("SCHED_CHOSEN", trace(CHOSEN, 1)),
        ("SCHED_TIMES", trace(TRACED_TASKS, 1)),
        ("SCHED_TRACE", trace(ring_bytes, SMALLEST_RING)),
    ]
}

/// Tasks that are followed.
fn tasks() -> u32 {
    let pid_max = fs::read_to_string("/proc/sys/kernel/pid_max").ok();
    pid_max.and_then(|text| text.trim().parse().ok()).unwrap_or(TASKS).min(TASKS)
}

/// Returns about how much kernel memory the maps take, bytes.
#[must_use]
pub fn memory() -> u64 {
    let cpus = aya::util::nr_cpus().unwrap_or(1) as u64;
    u64::from(tasks()) * TASK_BYTES + u64::from(CGROUPS) * cpus * size_of::<SchedHistograms>() as u64
}

pub(in crate::kernel) fn take<M: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    map: &'static str,
) -> Result<M, SchedError> {
    let taken = ebpf.take_map(map).ok_or(SchedError::NoMap(map))?;
    M::try_from(taken).map_err(|source| SchedError::Map { map, source })
}

fn of(map: &'static str) -> impl Fn(MapError) -> SchedError {
    move |source| SchedError::Map { map, source }
}

impl SchedMaps {
    /// Takes the maps out of the loaded object and marks all histograms as free, except that of the other cgroups.
    pub fn take(ebpf: &mut Ebpf) -> Result<Self, SchedError> {
        let mut maps = Self {
            cgroups: take(ebpf, "SCHED_CGROUPS")?,
            free: take(ebpf, "SCHED_FREE")?,
            histograms: take(ebpf, "SCHED_HISTOGRAMS")?,
            lost: take(ebpf, "SCHED_LOST")?,
        };
        for slot in OTHER + 1..CGROUPS {
            maps.free.push(slot, 0).map_err(of("SCHED_FREE"))?;
        }
        Ok(maps)
    }

    /// Reads all histograms.
    pub fn read(&self) -> Result<SchedReading, SchedError> {
        let mut reading = SchedReading { other: self.at(OTHER)?, ..SchedReading::default() };
        for entry in &self.cgroups {
            let (id, slot) = entry.map_err(of("SCHED_CGROUPS"))?;
            reading.cgroups.push((id, self.at(slot)?));
        }
        for cpu in self.lost.get(&0, 0).map_err(of("SCHED_LOST"))?.iter() {
            for (sum, part) in reading.lost.iter_mut().zip(cpu) {
                *sum += part;
            }
        }
        Ok(reading)
    }

    fn at(&self, slot: u32) -> Result<SchedHistograms, SchedError> {
        let mut sum = SchedHistograms::default();
        for cpu in self.histograms.get(&slot, 0).map_err(of("SCHED_HISTOGRAMS"))?.iter() {
            sum.add(&cpu.0);
        }
        Ok(sum)
    }

    /// Frees the histograms of a cgroup that is gone. Returns what they counted last.
    pub fn retire(&mut self, id: u64) -> Result<SchedHistograms, SchedError> {
        let slot = self.cgroups.get(&id, 0).map_err(of("SCHED_CGROUPS"))?;
        self.cgroups.remove(&id).map_err(of("SCHED_CGROUPS"))?;
        let last = self.at(slot)?;
        let cpus = aya::util::nr_cpus().map_err(|(_, error)| SchedError::Cpus(error))?;
        let zero = PerCpuValues::try_from(vec![Raw::default(); cpus]).map_err(SchedError::Cpus)?;
        self.histograms.set(slot, zero, 0).map_err(of("SCHED_HISTOGRAMS"))?;
        self.free.push(slot, 0).map_err(of("SCHED_FREE"))?;
        Ok(last)
    }
}

/// Sums and differences of histograms.
pub trait Sum {
    /// Adds what another counted.
    fn add(&mut self, other: &Self);
    /// Subtracts what had been counted before.
    fn subtract(&mut self, before: &Self);
}

impl Sum for SchedHistogram {
    fn add(&mut self, other: &Self) {
        for (sum, part) in self.counts.iter_mut().zip(&other.counts) {
            *sum += part;
        }
        self.sum_ns += other.sum_ns;
    }

    fn subtract(&mut self, before: &Self) {
        for (sum, part) in self.counts.iter_mut().zip(&before.counts) {
            *sum = sum.saturating_sub(*part);
        }
        self.sum_ns = self.sum_ns.saturating_sub(before.sum_ns);
    }
}

impl Sum for SchedHistograms {
    fn add(&mut self, other: &Self) {
        self.run_queue.add(&other.run_queue);
        self.off_cpu.iter_mut().zip(&other.off_cpu).for_each(|(sum, part)| sum.add(part));
    }

    fn subtract(&mut self, before: &Self) {
        self.run_queue.subtract(&before.run_queue);
        self.off_cpu.iter_mut().zip(&before.off_cpu).for_each(|(sum, part)| sum.subtract(part));
    }
}

/// The name of each reason with its count.
pub fn losses(reading: &SchedReading) -> impl Iterator<Item = (&'static str, u64)> {
    SchedLost::ALL.iter().zip(reading.lost).map(|(why, count)| (why.name(), count))
}

/// The name of each state with its histogram.
pub fn by_state(histograms: &SchedHistograms) -> impl Iterator<Item = (&'static str, &SchedHistogram)> {
    OffCpu::ALL.iter().zip(&histograms.off_cpu).map(|(state, histogram)| (state.name(), histogram))
}

#[cfg(test)]
mod tests {
    use probe_common::{SCHED_BUCKETS, sched_bucket};

    use super::*;

    #[test]
    fn a_bucket_takes_what_is_at_most_its_limit() {
        assert_eq!([0, 1, 1000, 1001, 2000, 2001].map(sched_bucket), [0, 0, 0, 1, 1, 2]);
        for bucket in 0..SCHED_BUCKETS - 1 {
            let limit = 1000_u64 << bucket;
            assert_eq!((sched_bucket(limit), sched_bucket(limit + 1)), (bucket, bucket + 1));
        }
        assert_eq!(sched_bucket(u64::MAX), SCHED_BUCKETS - 1);
    }

    #[test]
    fn a_state_is_what_wakes_the_task() {
        for (state, name) in [
            (0x1, "interruptible"),
            (0x2001, "interruptible"),
            (0x2, "uninterruptible"),
            (0x102, "killable"),
            (0x104, "stopped"),
            (0x8, "stopped"),
            (0x402, "idle"),
            (0x40, "other"),
            (0x200, "other"),
        ] {
            assert_eq!(OffCpu::of_state(state).name(), name, "{state:#x}");
        }
    }

    #[test]
    fn without_the_wish_the_maps_are_next_to_nothing() {
        let entries = |wanted| sizes(wanted, 1 << 20).map(|(_, entries)| entries);
        assert_eq!(entries(Sched::No), [1, 1, 1, 1, 1, 1, 4096]);
        assert!(entries(Sched::Histograms)[..4].iter().all(|entries| *entries >= 255));
        assert_eq!(entries(Sched::Trace), [1, 1, 1, 1, CHOSEN, TRACED_TASKS, 1 << 20]);
    }
}
