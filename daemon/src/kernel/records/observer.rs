//! The attached programs, the ring that they write to, their counters and their log.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    path::Path,
};

use aya::{Ebpf, maps::Map};
use aya_log::EbpfLogger;
use log::Log;
use thiserror::Error;

use crate::kernel::{
    address_space::{self, AddressSpaceError},
    counters::{CountersError, CountersMap, Totals},
    fields::Missing,
    figures::{self, FiguresError, Want},
    hooks::{COPY_PROCESS, HOOKS, SCHED_HOOKS},
    ladder::{self, Choice, HookState, LadderError},
    links::Links,
    memory,
    object::{self, EMBEDDED, ObjectError, Options},
    privilege,
    program_stats::{self, ProgramStats},
    ring::Ring,
    sched::{Sched, SchedError, SchedMaps},
    sleepers::{Sleepers, SleepersError},
    snapshot::{self, SnapshotError, SnapshotReading},
    wake_ups::WakeUps,
};
use crate::{
    bounded,
    lineage::{figures::TaskFigures, id::TaskKey},
    pidns::{self, PidNamespaceError},
};

/// Longest object that is read; the embedded one has less than 1 MiB.
const OBJECT_MAX: usize = 64 << 20;

/// Why the kernel cannot be observed.
#[derive(Debug, Error)]
pub enum ObserveError {
    /// taskscope runs in a pid namespace other than the initial one: the pids of records would not match those of /proc.
    #[error(transparent)]
    PidNamespace(#[from] PidNamespaceError),
    /// The object cannot be used.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// There is not enough address space.
    #[error(transparent)]
    AddressSpace(#[from] AddressSpaceError),
    /// A hook cannot be attached.
    #[error(transparent)]
    Ladder(#[from] LadderError),
    /// A map is missing or refused.
    #[error("opening the ring buffer RECORDS: {0}")]
    Ring(#[source] io::Error),
    /// The object has no ring.
    #[error("the eBPF object has no map RECORDS")]
    NoRing,
    /// The counters are missing or refused.
    #[error(transparent)]
    Counters(#[from] CountersError),
    /// The maps of `--sched` are missing or refused.
    #[error(transparent)]
    Sched(#[from] SchedError),
}

/// Everything needed to observe. Dropping it detaches all programs.
pub struct Observer {
    links: Links,
    ring: Ring,
    counters: CountersMap,
    logger: Option<EbpfLogger<&'static dyn Log>>,
    /// The programs, and the maps that only they use.
    ebpf: Ebpf,
    /// The hooks and how each is attached.
    pub hooks: Vec<HookState>,
    /// The state of the hooks of `--sched`; empty without it.
    pub sched_hooks: Vec<HookState>,
    /// The histograms of `--sched`.
    pub sched: Option<SchedMaps>,
    /// Kernel fields that could not be found.
    pub missing: Vec<Missing>,
    /// Why the task iterator cannot be used; `None` if it can.
    pub no_iterator: Option<String>,
    /// Why the state of tasks cannot be read; `None` if it can.
    pub no_figures: Option<String>,
    /// Tasks in uninterruptible sleep; without it they are found by walks.
    sleepers: Option<Sleepers>,
    /// Selects the records that wake up the reader of the ring; taken by the code that polls the ring.
    pub wake_ups: Option<WakeUps>,
}

impl Observer {
    /// Loads an object (the embedded one if `file` is `None`) and attaches every hook. From here on records flow into the ring.
    pub fn start(file: Option<&Path>, options: Options, choice: Choice) -> Result<Self, ObserveError> {
        Self::start_file(file, options, Some(choice))
    }

    /// Loads an object without attaching any hook: it can only take snapshots.
    pub fn load_only(file: Option<&Path>, options: Options) -> Result<Self, ObserveError> {
        Self::start_file(file, options, None)
    }

    fn start_file(
        file: Option<&Path>,
        options: Options,
        choice: Option<Choice>,
    ) -> Result<Self, ObserveError> {
        pidns::check()?;
        address_space::check(options.ring_bytes)?;
        let Some(path) = file else {
            let started = Self::start_from("embedded", EMBEDDED, options, choice);
            memory::unmap_constant(EMBEDDED);
            return started;
        };
        let name = path.display().to_string();
        let bytes = bounded::read(path, OBJECT_MAX)
            .map_err(|error| ObjectError::Unusable { name: name.clone(), reason: error.to_string() })?;
        Self::start_from(&name, &bytes, options, choice)
    }

    fn start_from(
        name: &str,
        object: &[u8],
        options: Options,
        choice: Option<Choice>,
    ) -> Result<Self, ObserveError> {
        let object::Loaded { mut ebpf, btf, offsets, missing } = object::load(name, object, options)?;
        let Some(Map::RingBuf(records)) = ebpf.take_map("RECORDS") else { return Err(ObserveError::NoRing) };
        let counters = CountersMap::take(&mut ebpf)?;
        // An object whose programs never log has no log map; that is not an error.
        let logger = EbpfLogger::init(&mut ebpf).ok();
        let mut links = Links::default();
        let hooks = match choice {
            Some(choice) => ladder::climb(HOOKS, &mut ebpf, &btf, choice, true, &mut links)?,
            None => Vec::new(),
        };
        let sched = if options.sched == Sched::Histograms { Some(SchedMaps::take(&mut ebpf)?) } else { None };
        let sched_hooks = match (choice, &sched) {
            (Some(choice), Some(_)) => ladder::climb(SCHED_HOOKS, &mut ebpf, &btf, choice, true, &mut links)?,
            _ => Vec::new(),
        };
        let no_iterator = snapshot::prepare(&mut ebpf, &btf).err().map(|error| error.to_string());
        let no_figures = figures::prepare(&mut ebpf, &btf).err().map(|error| error.to_string());
        let sleepers = match Sleepers::take(&mut ebpf, &offsets) {
            Ok(sleepers) => choice.map(|_| sleepers),
            Err(error) => {
                log::debug!("tasks in uninterruptible sleep are found by walks over all tasks: {error}");
                None
            }
        };
        let wake_ups = WakeUps::take(&ebpf, object::records_bytes(options));
        drop(btf);
        memory::give_back();
        // Map the ring only now: with the kernel's types still in memory, the start would take more memory.
        let ring = Ring::new(records, object::records_bytes(options)).map_err(ObserveError::Ring)?;
        Ok(Self {
            links,
            ring,
            counters,
            logger,
            ebpf,
            hooks,
            sched_hooks,
            sched,
            missing,
            no_iterator,
            no_figures,
            sleepers,
            wake_ups,
        })
    }

    /// Passes the bytes of up to `limit` records to `take`. Returns how many there were.
    pub fn drain(&mut self, limit: usize, take: impl FnMut(&[u8])) -> usize {
        self.ring.drain(limit, take)
    }

    /// Starts to read all tasks through the kernel's iterator.
    pub fn snapshot(&mut self) -> Result<SnapshotReading, SnapshotError> {
        snapshot::open(&mut self.ebpf)
    }

    /// Reads what tasks are doing now, in one walk over all tasks.
    pub fn figures(&mut self, want: Want) -> Result<Vec<TaskFigures>, FiguresError> {
        figures::read(&mut self.ebpf, want)
    }

    /// The tasks in uninterruptible sleep that the programs have noted; `None` if one may be missing, so that only a walk finds
    /// all: [`Observer::figures`].
    pub fn sleepers(&self) -> Result<Option<Vec<TaskFigures>>, SleepersError> {
        self.sleepers.as_ref().map_or(Ok(None), |sleepers| sleepers.read(&self.ebpf))
    }

    /// Where tasks sleep: functions of the kernel, the innermost first, as `name+offset/size`.
    pub fn stacks(&mut self, want: Want) -> Result<HashMap<TaskKey, Vec<String>>, FiguresError> {
        figures::stacks(&mut self.ebpf, want)
    }

    /// Reads the state and the kernel stacks of one group; the error says which of them cannot be read and why.
    #[expect(clippy::type_complexity, reason = "two outcomes that are taken apart at once")]
    pub fn doing(
        &mut self,
        want: Want,
    ) -> (Result<Vec<TaskFigures>, String>, Result<HashMap<TaskKey, Vec<String>>, String>) {
        let figures = self.figures(want);
        let stacks = match want {
            Want::All => Ok(HashMap::new()),
            Want::Group(_) | Want::Blocked => self.stacks(want),
        };
        (figures.map_err(|error| error.to_string()), stacks.map_err(|error| error.to_string()))
    }

    /// Sums of the programs' counters.
    pub fn totals(&self) -> Result<Totals, CountersError> {
        self.counters.read()
    }

    /// Reads the kernel's statistics of each program that sends records. Programs that the kernel has no statistics for are left
    /// out.
    pub fn program_stats(&self) -> impl Iterator<Item = (&'static str, ProgramStats)> {
        self.stats_of(&self.hooks)
    }

    /// Reads the kernel's statistics of each program of `--sched`.
    pub fn sched_program_stats(&self) -> impl Iterator<Item = (&'static str, ProgramStats)> {
        self.stats_of(&self.sched_hooks)
    }

    fn stats_of(&self, hooks: &[HookState]) -> impl Iterator<Item = (&'static str, ProgramStats)> {
        hooks.iter().flat_map(|hook| &hook.programs).filter_map(|program| {
            let fd = self.ebpf.program(program.name)?.fd().ok()?;
            Some((program.name, program_stats::read(fd).ok()?))
        })
    }

    /// Passes on what the programs logged.
    pub fn flush_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// Attaches all programs again, because records stop coming without a known reason: a link may have been cut. The error
    /// says what could not be attached.
    pub fn attach_again(&mut self) -> Result<(), String> {
        // Without the capability to make new links, cutting the old ones would lose more than it could repair.
        let lacking: Vec<_> = privilege::missing().iter().map(|capability| capability.name).collect();
        if !lacking.is_empty() {
            return Err(format!(
                "{} was dropped after the start; restart the daemon to attach them",
                lacking.join(" and ")
            ));
        }
        let failed = self.links.renew(&mut self.ebpf);
        if failed.is_empty() {
            return Ok(());
        }
        let failed: Vec<_> = failed.into_iter().map(|(name, error)| format!("{name}: {error}")).collect();
        Err(failed.join("; "))
    }

    /// Returns whether every program in use is attached, as far as this process knows.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.links.are_whole()
    }

    /// Returns whether failing clones are reported: a tracepoint does not see them.
    #[must_use]
    pub fn reports_failed_clones(&self) -> bool {
        self.hooks.iter().any(|hook| hook.hook == COPY_PROCESS && hook.rung.is_some() && hook.lacks.is_none())
    }

    /// Detaches all programs. Records in the ring and the programs' counters stay readable.
    pub fn detach(&mut self) {
        self.links.cut_all();
    }
}

impl AsFd for Observer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

impl AsRawFd for Observer {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_fd().as_raw_fd()
    }
}
