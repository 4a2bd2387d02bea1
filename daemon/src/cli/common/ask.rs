//! Gets an answer from the daemon, or computes it in this process.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::de::DeserializeOwned;

use crate::cli::{
    Attach,
    client::{Client, ClientError, Socket},
    exit::Exit,
};
use crate::{
    answer::{
        HostFacts, LineageAt, MergeLocalFacts, NotFound,
        blocked::{BlockedFilter, BlockedTasks, FirstPoll},
        now::AllFigures,
        tree::{Tree, TreeError, TreeOptions},
    },
    cgroup::Cgroups,
    duration, event_loop,
    export::Stamp,
    kernel::{clock, figures::Want, object::Options, observer::ObserveError, privilege, sched::Sched},
    lineage::{
        Config,
        effect::Effect,
        id::{GroupKey, Ktime},
    },
    procfs::Procfs,
    runtime::{EventSink, LossPlace, Pipeline, Trust},
};

/// Ring size of a short observation, bytes.
const RING_BYTES: u32 = 8 << 20;

/// Where answers come from.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Source {
    #[command(flatten)]
    pub(in crate::cli) socket: Socket,
    /// Observe the kernel directly, even if a daemon is running
    #[arg(long)]
    pub(in crate::cli) alone: bool,
    /// Observe the kernel for this long, such as 10s, before answering; does not ask the daemon
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(in crate::cli) observe: Option<Duration>,
    /// While observing, attach each hook only by this kind of program
    #[arg(long, value_enum, default_value_t, hide_short_help = true)]
    attach: Attach,
    /// Do not use the kernel's task iterator, only /proc
    #[arg(long, hide_short_help = true)]
    no_iterator: bool,
    /// Use this eBPF object instead of the embedded one, for development of the programs
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    object: Option<PathBuf>,
}

impl Source {
    /// Returns whether the daemon must not be asked.
    pub(in crate::cli) fn is_for_alone(&self) -> bool {
        self.alone || self.observe.is_some() || self.no_iterator || self.object.is_some()
    }

    /// Returns the socket of the daemon to ask.
    pub(in crate::cli) fn daemon(&self) -> Option<&Path> {
        (!self.is_for_alone()).then_some(&*self.socket.socket)
    }

    /// The observation ends before an audit or a canary would be useful.
    fn trust(&self) -> Trust {
        let never = Duration::ZERO;
        Trust { iterator: !self.no_iterator, audit_every: never, canary_every: never }
    }
}

/// The tasks as this process sees them, and facts besides the lineage.
pub(in crate::cli) struct LocalObserver {
    pub(in crate::cli) pipeline: Pipeline,
    pub(in crate::cli) context: LocalContext,
    pub(in crate::cli) observed_since: Option<Ktime>,
}

/// Facts besides the lineage: clock, cgroups, /proc.
pub(in crate::cli) struct LocalContext {
    stamp: Stamp,
    procfs: Procfs,
    cgroups: Cgroups,
}

impl LocalContext {
    pub(in crate::cli) fn new() -> Self {
        let boot_id = clock::boot_id().unwrap_or_else(|error| {
            log::warn!("reading the boot id: {error}; entity ids are not unique across boots");
            "00000000".into()
        });
        let stamp = Stamp::new(&boot_id, clock::wall_offset_ns());
        Self { stamp, procfs: Procfs::default(), cgroups: Cgroups::of_host() }
    }

    /// Passes the facts to `complete`, which finishes an answer.
    pub(in crate::cli) fn with<T>(&mut self, complete: impl FnOnce(&mut HostFacts<'_>) -> T) -> T {
        let Self { stamp, procfs, cgroups } = self;
        let now_ns = clock::boottime().0;
        let mut places = |id| cgroups.place(id, now_ns).map(|place| (&**place).into());
        // Each answer gets a clone, so that what it has read of /proc is not used for the next one.
        complete(&mut HostFacts { stamp, procfs: &procfs.clone(), places: &mut places })
    }
}

impl LocalObserver {
    /// Takes a snapshot, or observes for as long as `--observe` says.
    pub(in crate::cli) fn start(source: &Source) -> Result<Self, Exit> {
        let Some(observe) = source.observe.filter(|observe| !observe.is_zero()) else {
            let pipeline = Pipeline::snapshot_only(source.object.as_deref(), source.trust());
            return Ok(Self {
                pipeline: started(pipeline)?,
                context: LocalContext::new(),
                observed_since: None,
            });
        };
        let mut local = Self::attach(source)?;
        watch(&mut local.pipeline, observe)?;
        Ok(local)
    }

    /// Starts to observe.
    pub(in crate::cli) fn attach(source: &Source) -> Result<Self, Exit> {
        let options = Options { ring_bytes: RING_BYTES, args: false, sched: Sched::No };
        let object = source.object.as_deref();
        let config = Config { leaks: crate::cli::leaks::thresholds(source.observe), ..Config::default() };
        let pipeline = Pipeline::start_with(object, options, source.attach.into(), config, source.trust());
        // Processes that the first snapshot finds were not observed from their start.
        let pipeline = started(pipeline)?;
        Ok(Self { pipeline, context: LocalContext::new(), observed_since: Some(clock::boottime()) })
    }

    /// Returns the tasks as they are now.
    pub(in crate::cli) fn lineage_at(&self) -> LineageAt<'_> {
        LineageAt {
            lineage: &self.pipeline.lineage,
            now: clock::boottime(),
            observed_since: self.observed_since,
        }
    }

    /// Returns the wall clock and the boot id.
    pub(in crate::cli) const fn stamp(&self) -> &Stamp {
        &self.context.stamp
    }

    /// Creates the tree.
    pub(in crate::cli) fn tree(&mut self, options: TreeOptions) -> Result<Tree, TreeError> {
        let Self { pipeline, context, observed_since } = self;
        let figures = options.needs_figures().then(|| AllFigures::new(pipeline.observer.doing(Want::All)));
        let now = clock::boottime();
        let lineage_at = LineageAt { lineage: &pipeline.lineage, now, observed_since: *observed_since };
        let LocalContext { stamp, cgroups, .. } = context;
        Tree::of(
            options,
            &lineage_at,
            stamp,
            &mut |id| cgroups.place(id, now.0).map(|place| (&**place).into()),
            figures.as_ref(),
        )
    }

    /// Returns the tasks that two polls found in the same uninterruptible sleep.
    pub(in crate::cli) fn blocked(
        &mut self,
        first: &FirstPoll,
        figures: &AllFigures,
        filter: BlockedFilter,
    ) -> BlockedTasks {
        let Self { pipeline, context: LocalContext { stamp, cgroups, .. }, observed_since } = self;
        let now = clock::boottime();
        let lineage_at = LineageAt { lineage: &pipeline.lineage, now, observed_since: *observed_since };
        let mut places = |id| cgroups.place(id, now.0).map(|place| (&**place).into());
        BlockedTasks::of(first, figures, filter, &|_| None, &lineage_at, stamp, &mut places)
    }

    /// Reads what a process is doing now.
    pub(in crate::cli) fn doing(&mut self, of: GroupKey) -> AllFigures {
        AllFigures::new(self.pipeline.observer.doing(Want::Group(of.tgid)))
    }

    /// Creates an answer from the lineage, and completes it.
    pub(in crate::cli) fn answer<D, T>(
        &mut self,
        draft: impl FnOnce(&LineageAt<'_>, &Stamp) -> Result<D, NotFound>,
        complete: impl FnOnce(D, &mut HostFacts<'_>) -> T,
    ) -> Result<T, NotFound> {
        let draft = draft(&self.lineage_at(), &self.context.stamp)?;
        Ok(self.context.with(|host_facts| complete(draft, host_facts)))
    }
}

/// Logs an error with its remedy.
fn started(pipeline: Result<Pipeline, ObserveError>) -> Result<Pipeline, Exit> {
    pipeline.map_err(|error| {
        log::error!("{error}");
        let exit = Exit::from(&error);
        if exit == Exit::Privilege {
            log::info!(
                "without a daemon this needs privileges: run it as root, or start a daemon as root (taskscope run)"
            );
        }
        exit
    })
}

/// Gets the answer that `path` has in the API, such as `/v1/zombies`; `observe` computes the same answer here.
///
/// The daemon has dropped `CAP_SYS_PTRACE`. If this process has it, it adds the facts that the daemon lacks.
pub(in crate::cli) fn ask<T: DeserializeOwned + MergeLocalFacts>(
    source: &Source,
    path: &str,
    observe: impl FnOnce(&mut LocalObserver) -> Result<T, NotFound>,
) -> Result<T, Exit> {
    ask_or_observe(source, path, None, observe)
}

/// Does the same for a query that needs some time of observation, which a daemon has already: `observe_for`, unless `--observe` says
/// how long.
pub(in crate::cli) fn ask_or_observe<T: DeserializeOwned + MergeLocalFacts>(
    source: &Source,
    path: &str,
    observe_for: Option<Duration>,
    observe: impl FnOnce(&mut LocalObserver) -> Result<T, NotFound>,
) -> Result<T, Exit> {
    if let Some(answer) = from_daemon::<T>(source, path)? {
        return Ok(merged_with_local_facts(source, answer));
    }
    let source = Source { observe: source.observe.or(observe_for), ..source.clone() };
    let mut local = LocalObserver::start(&source)?;
    observe(&mut local).map_err(Exit::failed)
}

/// Adds local facts to a daemon's answer. The answer is used even if that fails.
pub(in crate::cli) fn merged_with_local_facts<T: MergeLocalFacts>(source: &Source, mut answer: T) -> T {
    if answer.needs_local_facts()
        && privilege::missing().is_empty()
        && let Ok(pipeline) = Pipeline::snapshot_only(source.object.as_deref(), source.trust())
    {
        let lineage_at =
            LineageAt { lineage: &pipeline.lineage, now: clock::boottime(), observed_since: None };
        LocalContext::new().with(|host_facts| answer.merge_local_facts(&lineage_at, host_facts));
    }
    answer
}

/// Returns `None` if no daemon answers, or if none is to be asked.
pub(in crate::cli) fn from_daemon<T: DeserializeOwned>(
    source: &Source,
    path: &str,
) -> Result<Option<T>, Exit> {
    source.daemon().map_or(Ok(None), |socket| get(socket, path))
}

/// Asks the daemon on a socket; `None` if none answers.
pub(in crate::cli) fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<Option<T>, Exit> {
    let runtime = event_loop::start().map_err(Exit::failed)?;
    match runtime.block_on(Client::at(socket).json(path)) {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::NotThere(_)) => Ok(None),
        Err(error) => Err(error.exit()),
    }
}

fn watch(pipeline: &mut Pipeline, observe: Duration) -> Result<(), Exit> {
    let runtime = event_loop::start().map_err(Exit::failed)?;
    if observe >= Duration::from_secs(2) {
        log::info!("observing for {} s", observe.as_secs());
    }
    let outcome = runtime.block_on(async { pipeline.run(&mut Nobody, tokio::time::sleep(observe)).await });
    outcome.map_err(Exit::failed)
}

/// An event sink that discards events.
pub(in crate::cli) struct Nobody;

impl EventSink for Nobody {
    fn wants_effects(&self) -> bool {
        false
    }

    fn take(&mut self, _: &mut Vec<Effect>) {}

    fn lost(&mut self, _: LossPlace, count: u64) {
        log::warn!("{count} records were lost; the tasks are read again from the kernel");
    }
}

/// Prints an answer as JSON, or as text.
pub(in crate::cli) fn show<T: serde::Serialize>(
    answer: &T,
    format: Format,
    text: impl FnOnce(&T) -> String,
) -> Result<(), Exit> {
    let text = match format {
        Format::Text => text(answer),
        Format::Json => {
            let mut text = crate::export::answer(answer)
                .map_err(|error| Exit::failed_at("encoding the answer as JSON", error))?;
            text.push('\n');
            text
        }
    };
    super::output::answer(&text)
}

/// `--format` of everything that answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON object
    Json,
}

/// Wraps an answer that always exists.
pub(in crate::cli) fn always<T>(answer: T) -> Result<T, NotFound> {
    Ok::<T, Infallible>(answer).map_err(|never| match never {})
}
