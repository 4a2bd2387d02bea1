//! What `replay` shows: events while they are replayed, or an answer about the tasks at one time.

use clap::Subcommand;

use super::figures::{self, Refusals};
use crate::{
    answer::{
        ExplainDraft, HostFacts, LineageAt, TaskSelector,
        blocked::BlockedTasks,
        death::{DeathFilter, DeathsDraft},
        now::AllFigures,
        place::AnswerPlace,
        text,
        tree::{Tree, TreeOptions},
        zombies::{ZombieFilter, ZombiesDraft},
    },
    cgroup::Place,
    cli::{
        ask::{self, Format},
        events,
        exit::Exit,
        selector::Selector,
        terminal,
    },
    duration,
    export::EventSelection,
    lineage::effect::Effect,
    procfs::Procfs,
    runtime::{
        EventSink, LossPlace,
        replay::{Replay, ReplaySink},
    },
    service::EventMetrics,
};

/// What to show.
#[derive(Debug, Subcommand)]
pub(super) enum View {
    /// The events, in order (default)
    Events(EventsView),
    /// The life of each process that ended, one JSON object per line
    Lives(LivesView),
    /// The process tree
    Tree(TreeView),
    /// The history of one process, and what is wrong with it
    Explain(ExplainView),
    /// Parents that have not waited for their zombies
    Zombies(ZombiesView),
    /// Processes that ended, and why
    Deaths(DeathsView),
    /// Tasks in uninterruptible sleep (state D)
    Blocked(BlockedView),
    /// Limits on pids that refused a fork
    Limits(LimitsView),
    /// One frame of the live view, as `taskscope top --once` prints it
    #[cfg(feature = "top")]
    Top,
}

/// Which events, and how.
#[derive(Debug, clap::Args)]
pub(super) struct EventsView {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: events::Format,
    /// Only events with these actions
    #[arg(long, value_delimiter = ',', value_name = "ACTION")]
    action: Vec<String>,
    #[command(flatten)]
    of: Processes,
    /// Stop after this many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Which lives.
#[derive(Debug, clap::Args)]
pub(super) struct LivesView {
    #[command(flatten)]
    of: Processes,
    /// Stop after this many lives
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Conditions that events and lives share.
#[derive(Debug, clap::Args)]
struct Processes {
    /// Only these processes
    #[arg(long, value_delimiter = ',', value_name = "PID")]
    pid: Vec<u32>,
    /// Only processes or threads with this name; * and ? as in a shell
    #[arg(long, value_name = "GLOB")]
    comm: Vec<String>,
    /// Only in this systemd unit; * and ? as in a shell
    #[arg(long, value_name = "GLOB")]
    unit: Vec<String>,
    /// Only in this container, by the beginning of its id
    #[arg(long, value_name = "ID")]
    container: Vec<String>,
}

/// What the tree shows.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct TreeView {
    /// Show only this process and its descendants
    #[arg(value_name = "PID|NAME|UNIT")]
    pid: Option<Selector>,
    /// Show threads
    #[arg(long)]
    threads: bool,
    /// Show kernel threads
    #[arg(long)]
    kernel: bool,
    /// Show every zombie, however many there are
    #[arg(long)]
    all: bool,
    /// Show the CPU time of each process and of its ended children
    #[arg(long)]
    usage: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Which process is explained.
#[derive(Debug, clap::Args)]
pub(super) struct ExplainView {
    /// A pid, a tid, an entity id from an event, or the name of a process or systemd unit of that time
    #[arg(value_name = "PID|ENTITY_ID|NAME|UNIT")]
    selector: Selector,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Which zombies.
#[derive(Debug, clap::Args)]
pub(super) struct ZombiesView {
    /// Only zombies that have been zombies for at least this long
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration::parse)]
    min_age: std::time::Duration,
    /// Only zombies of parents in this systemd unit; * and ? as in a shell
    #[arg(long, value_name = "GLOB")]
    unit: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Which deaths.
#[derive(Debug, clap::Args)]
pub(super) struct DeathsView {
    /// Also show processes that exited with code 0
    #[arg(long)]
    all: bool,
    /// Only this cause, such as killed, oom or fault
    #[arg(long, value_name = "CAUSE")]
    cause: Vec<String>,
    #[command(flatten)]
    of: Processes,
    /// The most ends to show
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Which sleeps.
#[derive(Debug, clap::Args)]
pub(super) struct BlockedView {
    /// Only sleeps that are known to be at least this long
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration::parse)]
    min_age: std::time::Duration,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How limits are shown.
#[derive(Debug, clap::Args)]
pub(super) struct LimitsView {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl LimitsView {
    /// Shows the limits that refused a fork up to this time of the replay.
    pub(super) fn answer(&self, replay: &Replay, refusals: &Refusals) -> Result<(), Exit> {
        let lineage_at =
            LineageAt { lineage: &replay.lineage, now: replay.now, observed_since: Some(replay.begun) };
        let mut places = |id| replay.cgroups.known(id).map(|place| AnswerPlace::from(&**place));
        let procfs = Procfs::absent();
        let mut host_facts = HostFacts { stamp: replay.wall.stamp(), procfs: &procfs, places: &mut places };
        let answer = refusals.limits(&lineage_at, replay, &mut host_facts);
        ask::show(&answer, self.format, |answer| {
            if answer.limits.is_empty() {
                "no fork was refused up to this time; a recording does not have other limits on pids\n".into()
            } else {
                text::limits(answer, terminal::style())
            }
        })
    }
}

impl Processes {
    fn selection(&self) -> EventSelection {
        EventSelection {
            pids: self.pid.clone(),
            comms: self.comm.clone(),
            units: self.unit.clone(),
            containers: self.container.clone(),
            ..EventSelection::default()
        }
    }
}

impl EventsView {
    pub(super) fn options(&self) -> events::lines::LineOptions {
        let selection = EventSelection { actions: self.action.clone(), ..self.of.selection() };
        let colour = self.format == events::Format::Text && terminal::style().colour;
        events::lines::LineOptions {
            selection,
            format: self.format,
            colour,
            limit: self.limit,
            ..Default::default()
        }
    }
}

impl LivesView {
    pub(super) fn options(&self) -> events::lines::LineOptions {
        let selection = EventSelection { lives: true, ..self.of.selection() };
        events::lines::LineOptions { selection, limit: self.limit, ..Default::default() }
    }
}

impl View {
    /// Shows an answer about the tasks as they are at this time of the replay.
    pub(super) fn answer(&self, replay: &Replay) -> Result<Exit, Exit> {
        let lineage_at =
            LineageAt { lineage: &replay.lineage, now: replay.now, observed_since: Some(replay.begun) };
        let stamp = replay.wall.stamp();
        let mut places = |id| replay.cgroups.known(id).map(|place| AnswerPlace::from(&**place));
        let tree = |options, places: &mut dyn FnMut(u64) -> Option<AnswerPlace>| {
            Tree::of(options, &lineage_at, stamp, places, None).map_err(Exit::failed)
        };
        let procfs = Procfs::absent();
        let style = terminal::style();
        match self {
            Self::Tree(of) => {
                let root = match &of.pid {
                    Some(selector) => Some(selector.pid_in(|| tree(everything(), &mut places))?),
                    None => None,
                };
                let TreeView { threads, kernel, usage, .. } = *of;
                let options =
                    TreeOptions { root, threads, kernel, at: None, has_history: false, now: false, usage };
                let answer = tree(options, &mut places)?;
                ask::show(&answer, of.format, |answer| text::tree(answer, style, of.all))?;
            }
            Self::Explain(of) => {
                let selector: TaskSelector = of.selector.resolve_in(|| tree(everything(), &mut places))?;
                let draft = ExplainDraft::asked(&selector, &lineage_at, stamp).map_err(Exit::failed)?;
                let unknown = || Err("a recording does not have what tasks were doing".to_owned());
                let draft =
                    draft.doing(&AllFigures::new((unknown(), Err("a recording has no stacks".into()))));
                let answer = draft.explain(&mut HostFacts { stamp, procfs: &procfs, places: &mut places });
                ask::show(&answer, of.format, |answer| text::explanation(answer, style))?;
            }
            Self::Zombies(of) => {
                let filter = ZombieFilter { min_age_ns: duration::ns(of.min_age), unit: of.unit.clone() };
                let draft = ZombiesDraft::of(&lineage_at, &filter, &mut places);
                let answer = draft.finish(&mut HostFacts { stamp, procfs: &procfs, places: &mut places });
                ask::show(&answer, of.format, |answer| text::zombies(answer, style))?;
                if answer.overdue() > 0 {
                    return Ok(Exit::Zombies);
                }
            }
            Self::Deaths(of) => {
                let filter = DeathFilter {
                    all: of.all,
                    causes: of.cause.clone(),
                    pids: of.of.pid.clone(),
                    comms: of.of.comm.clone(),
                    units: of.of.unit.clone(),
                    containers: of.of.container.clone(),
                    limit: of.limit,
                    ..DeathFilter::default()
                };
                if let Err(error) = filter.check() {
                    log::error!("{error}");
                    return Err(Exit::Usage);
                }
                let draft = DeathsDraft::of(&lineage_at, filter);
                let answer = draft.finish(&mut HostFacts { stamp, procfs: &procfs, places: &mut places });
                ask::show(&answer, of.format, |answer| text::deaths(answer, style))?;
            }
            Self::Blocked(of) => {
                let min_age_ns = duration::ns(of.min_age);
                let answer = figures::blocked(replay, min_age_ns, &lineage_at, stamp, &mut places);
                if let Some((at, _)) = &replay.polls.last {
                    log::info!(
                        "as of the last poll, at {}; a recording has kernel stacks of flagged sleeps only",
                        stamp.timestamp_ms(*at)
                    );
                }
                let words = |answer: &BlockedTasks| match &answer.unknown_because {
                    Some(why) => format!("not known: {why}\n"),
                    None => text::blocked(answer, style),
                };
                ask::show(&answer, of.format, words)?;
            }
            // These need what a sink gathers while they are replayed.
            Self::Events(_) | Self::Lives(_) | Self::Limits(_) => {}
            #[cfg(feature = "top")]
            Self::Top => {}
        }
        Ok(Exit::Success)
    }
}

/// The tree in which names are looked up.
const fn everything() -> TreeOptions {
    TreeOptions {
        root: None,
        threads: false,
        kernel: true,
        at: None,
        has_history: false,
        now: false,
        usage: false,
    }
}

/// A sink for a replay whose events nobody reads.
pub(super) struct Silent;

impl EventSink for Silent {
    fn take(&mut self, _: &mut Vec<Effect>) {}

    fn lost(&mut self, _: LossPlace, _: u64) {}
}

impl ReplaySink for Silent {
    fn set_wall(&mut self, _: i128) {}

    fn set_cgroup(&mut self, _: u64, _: &Place) {}

    fn gap(&mut self) {}
}

/// A sink that counts.
pub(super) struct Counting(pub(super) EventMetrics);

impl EventSink for Counting {
    fn take(&mut self, effects: &mut Vec<Effect>) {
        for effect in &*effects {
            self.0.count(effect);
        }
    }

    fn lost(&mut self, _: LossPlace, _: u64) {}
}

impl ReplaySink for Counting {
    fn set_wall(&mut self, _: i128) {}

    fn set_cgroup(&mut self, _: u64, _: &Place) {}

    fn gap(&mut self) {}
}
