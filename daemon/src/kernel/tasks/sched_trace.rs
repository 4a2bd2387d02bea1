//! Every context switch and wakeup of chosen processes, from programs that are loaded for this only.

use std::os::fd::{AsFd, BorrowedFd};

use aya::{
    Ebpf,
    maps::{HashMap, MapData, MapError, PerCpuArray, RingBuf},
};
use probe_common::{SchedEvent, SchedTraceLosses, Wire as _};

use crate::kernel::{
    hooks::SCHED_TRACE_HOOKS,
    ladder::{self, Choice, HookState},
    links::Links,
    memory,
    object::{self, EMBEDDED, Options},
    observer::ObserveError,
    sched::{CHOSEN, Sched, SchedError, take},
};

/// Everything needed to follow some processes. Dropping it detaches all programs.
pub struct SchedTrace {
    links: Links,
    ring: RingBuf<MapData>,
    lost: PerCpuArray<MapData, SchedTraceLosses>,
    _ebpf: Ebpf,
    /// The hooks and how each is attached.
    pub hooks: Vec<HookState>,
}

impl SchedTrace {
    /// Loads the programs for these thread groups, and attaches them.
    pub fn start(tgids: &[u32], ring_bytes: u32, choice: Choice) -> Result<Self, ObserveError> {
        let options = Options { ring_bytes, args: false, sched: Sched::Trace };
        let object::Loaded { mut ebpf, btf, .. } = object::load("embedded", EMBEDDED, options)?;
        let mut chosen: HashMap<MapData, u32, u32> = take(&mut ebpf, "SCHED_CHOSEN")?;
        for tgid in tgids.iter().take(CHOSEN as usize) {
            let wrong = |source: MapError| SchedError::Map { map: "SCHED_CHOSEN", source };
            chosen.insert(tgid, 1, 0).map_err(wrong)?;
        }
        let ring = take(&mut ebpf, "SCHED_TRACE")?;
        let lost = take(&mut ebpf, "SCHED_TRACE_LOST")?;
        let mut links = Links::default();
        let hooks = ladder::climb(SCHED_TRACE_HOOKS, &mut ebpf, &btf, choice, true, &mut links)?;
        drop(btf);
        memory::give_back();
        Ok(Self { links, ring, lost, _ebpf: ebpf, hooks })
    }

    /// Passes up to `limit` events to `each`. Returns how many there were. An event that is too short is passed as `None`.
    pub fn drain(&mut self, limit: usize, mut each: impl FnMut(Option<SchedEvent>)) -> usize {
        for taken in 0..limit {
            let Some(item) = self.ring.next() else { return taken };
            each(SchedEvent::read(&item));
        }
        limit
    }

    /// Returns how many steps were lost: the ring was full, or the task could not be followed.
    pub fn lost(&self) -> Result<SchedTraceLosses, SchedError> {
        let mut sums = SchedTraceLosses::default();
        let wrong = |source| SchedError::Map { map: "SCHED_TRACE_LOST", source };
        for cpu in self.lost.get(&0, 0).map_err(wrong)?.iter() {
            for (sum, part) in sums.iter_mut().zip(cpu) {
                *sum += part;
            }
        }
        Ok(sums)
    }

    /// Detaches all programs. Steps that are in the ring stay readable.
    pub fn detach(&mut self) {
        self.links.cut_all();
    }
}

impl AsFd for SchedTrace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}
