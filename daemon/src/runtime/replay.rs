//! Replays a recording: repeats the calls that changed the lineage, so that the tree and the effects are the same as when it was
//! recorded. It reads no clock, no file of this host, and nothing from the kernel.

mod lineage_calls;

use std::collections::HashMap;

pub use self::lineage_calls::change_lineage;
use crate::{
    cgroup::{Cgroups, Place},
    lineage::{
        Lineage, Outcome,
        blocked::{Blocked, Overdue},
        effect::Effect,
        figures::TaskFigures,
        id::{Ktime, TaskKey},
        leaks::Leaks,
    },
    recording::{Counters, End, Entry, Header},
    runtime::{EventSink, LossPlace, Wall},
};

/// Takes the effects of a replay, and facts that a live sink reads from the host.
pub trait ReplaySink: EventSink {
    /// The wall clock was set: nanoseconds to add to a boottime.
    fn set_wall(&mut self, offset_ns: i128);
    /// The path of a cgroup.
    fn set_cgroup(&mut self, id: u64, place: &Place);
    /// A part of the recording is missing.
    fn gap(&mut self);
}

/// A recording that is being replayed.
pub struct Replay {
    /// The tree of all tasks.
    pub lineage: Lineage,
    /// Tasks that stay in uninterruptible sleep.
    pub blocked: Blocked,
    /// Leaks other than zombies.
    pub leaks: Leaks,
    /// The recorder's wall clock, and its boot.
    pub wall: Wall,
    /// The cgroups that events named.
    pub cgroups: Cgroups,
    /// When recording began.
    pub begun: Ktime,
    /// The time of the last entry.
    pub now: Ktime,
    /// Counts.
    pub counts: ReplayCounts,
    /// The last polls of tasks in uninterruptible sleep.
    pub polls: Polls,
    /// What the recorder's hooks could not report: hook and fact.
    pub lacks: Vec<String>,
    overdue: Vec<Overdue>,
    effects: Vec<Effect>,
    /// Whether the effects are to be passed on before the next change of the lineage.
    is_delivered: bool,
}

/// Polls of tasks in uninterruptible sleep.
#[derive(Clone, Debug, Default)]
pub struct Polls {
    /// What the last poll found, and when.
    pub last: Option<(Ktime, Vec<TaskFigures>)>,
    /// What the poll before it found.
    pub before: Vec<TaskFigures>,
    /// Kernel stacks of tasks that the last poll found and that had slept for too long.
    pub stacks: HashMap<TaskKey, Vec<String>>,
}

impl Polls {
    fn add(&mut self, at: Ktime, figures: &[TaskFigures]) {
        self.before = self.last.take().map(|(_, figures)| figures).unwrap_or_default();
        self.stacks.retain(|task, _| figures.iter().any(|figures| figures.task.key == *task));
        self.last = Some((at, figures.to_vec()));
    }
}

/// What was replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayCounts {
    /// Records that were applied.
    pub applied: u64,
    /// Records that the lineage refused.
    pub refused: u64,
    /// Effects that were passed on.
    pub effects: u64,
    /// Parts of the recording that are missing.
    pub gaps: u64,
    /// The programs' counters at the end; zero if the recording has no end.
    pub counters: Option<u64>,
    /// Records that were lost on the way to the recorder.
    pub lost: u64,
    /// Why the recording ended; `None` if the recorder was killed.
    pub end: Option<End>,
}

impl Replay {
    /// Returns a replay at the beginning. `reports_lives` is whether `Released` of a leader carries the whole life.
    #[must_use]
    pub fn new(header: &Header, reports_lives: bool) -> Self {
        let mut config = header.config.clone();
        config.reports_lives |= reports_lives;
        let mut lineage = Lineage::new(config);
        lineage.watch_signals(header.watch);
        lineage.watch_scopes(header.watches_scopes);
        Self {
            lineage,
            blocked: Blocked::default(),
            leaks: Leaks::default(),
            wall: Wall::recorded(&header.boot_id, i128::from(header.wall_offset_ns)),
            cgroups: Cgroups::at(None),
            begun: header.begun,
            now: header.begun,
            counts: ReplayCounts::default(),
            polls: Polls::default(),
            lacks: header
                .hooks
                .iter()
                .filter_map(|hook| Some(format!("{}: {}", hook.name, hook.lacks.as_ref()?)))
                .collect(),
            overdue: Vec::new(),
            effects: Vec::new(),
            is_delivered: false,
        }
    }

    /// Returns the time of an entry; `None` if it has none.
    #[must_use]
    pub const fn time_of(entry: &Entry) -> Option<Ktime> {
        match entry {
            Entry::Record { now, .. } | Entry::Tick { now, .. } => Some(*now),
            Entry::SnapshotBegun(at)
            | Entry::SnapshotEnded(at)
            | Entry::SignalsDoubted(at)
            | Entry::ZombiesDoubted(at)
            | Entry::UnconfirmedEnded(_, at)
            | Entry::ReapedEnded(_, at)
            | Entry::Asleep(at, _)
            | Entry::LeaksPolled(at)
            | Entry::Overdue(at, ..)
            | Entry::End(_, at) => Some(*at),
            _ => None,
        }
    }

    /// Applies one entry.
    pub fn step(&mut self, entry: &Entry, sink: &mut impl ReplaySink) {
        match entry {
            Entry::Wall(offset_ns) => {
                self.wall.set_offset(i128::from(*offset_ns));
                return sink.set_wall(i128::from(*offset_ns));
            }
            Entry::Cgroup(id, place) => {
                self.cgroups.insert(*id, place.clone());
                return sink.set_cgroup(*id, place);
            }
            _ => self.deliver(sink),
        }
        self.now = Self::time_of(entry).unwrap_or_default().max(self.now);
        self.change(entry);
        match entry {
            Entry::Delivered(own) => {
                if !own.is_empty() {
                    let is_own = |effect: &Effect| {
                        own.iter().any(|it| it.tid == effect.thread.key.tid && it.at == effect.at)
                    };
                    self.effects.retain(|effect| !is_own(effect));
                }
                self.is_delivered = true;
            }
            Entry::Lost(place, count) => {
                self.counts.lost += count;
                if let Some(place) = LossPlace::ALL.into_iter().find(|known| known.name() == place) {
                    sink.lost(place, *count);
                }
            }
            Entry::Counters(counters) => {
                let Counters { produced, .. } = **counters;
                self.counts.counters = Some(produced);
            }
            Entry::End(end, _) => self.counts.end = Some(*end),
            _ => {}
        }
    }

    /// Notes that a part of the recording is missing. The replay handles this as a loss of records.
    pub fn damaged(&mut self, sink: &mut impl ReplaySink) {
        self.is_delivered = true;
        self.deliver(sink);
        self.counts.gaps += 1;
        self.lineage.abandon_snapshot();
        self.lineage.doubt_signals(self.now);
        self.lineage.doubt_zombies(self.now);
        sink.gap();
    }

    /// Passes on the effects that are left at the end of the recording, also if the recording was cut off.
    pub fn end(&mut self, sink: &mut impl ReplaySink) {
        self.is_delivered |= self.counts.end.is_none();
        self.deliver(sink);
    }

    fn deliver(&mut self, sink: &mut impl ReplaySink) {
        if !std::mem::take(&mut self.is_delivered) {
            return;
        }
        let names: Vec<_> = self.lineage.take_cgroup_names().collect();
        if !names.is_empty() {
            sink.take_cgroup_names(&names);
        }
        if !self.effects.is_empty() {
            self.counts.effects += self.effects.len() as u64;
            sink.take(&mut self.effects);
            self.effects.clear();
        }
    }

    /// Repeats the call that the entry recorded.
    fn change(&mut self, entry: &Entry) {
        let Self { lineage, effects, blocked, leaks, overdue, polls, .. } = self;
        match entry {
            Entry::Record { record, now } => match lineage.apply(record, *now, effects) {
                Outcome::Applied => self.counts.applied += 1,
                Outcome::Refused => self.counts.refused += 1,
            },
            Entry::Asleep(at, figures) => {
                *overdue = blocked.poll(lineage, *at, figures, effects);
                polls.add(*at, figures);
            }
            Entry::Overdue(at, key, stack) => {
                polls.stacks.insert(*key, stack.clone());
                if let Some(of) = overdue.iter().find(|of| of.task == *key) {
                    blocked.flag(lineage, *at, *of, stack.clone(), effects);
                }
            }
            Entry::Session(key, facts) => leaks.learn_session(*key, *facts),
            Entry::LeaksPolled(at) => leaks.poll(lineage, *at, effects),
            _ => change_lineage(lineage, entry, effects),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lineage::{
            Config,
            death::Watch,
            id::{TaskKey, TaskRef, Tgid, Tid},
            record::{Fact, New, Record, TaskPlace},
        },
        recording::{FORMAT, entry::Own},
    };

    /// The tids of the effects that were taken, and the wall clock at that time.
    #[derive(Default)]
    struct Taken {
        wall: i128,
        gaps: u32,
        effects: Vec<(u32, i128)>,
    }

    impl EventSink for Taken {
        fn take(&mut self, effects: &mut Vec<Effect>) {
            self.effects.extend(effects.iter().map(|effect| (effect.thread.key.tid.0, self.wall)));
        }

        fn lost(&mut self, _: LossPlace, _: u64) {}
    }

    impl ReplaySink for Taken {
        fn set_wall(&mut self, offset_ns: i128) {
            self.wall = offset_ns;
        }

        fn set_cgroup(&mut self, _: u64, _: &Place) {}

        fn gap(&mut self) {
            self.gaps += 1;
        }
    }

    fn header() -> Header {
        Header {
            format: FORMAT,
            made_by: String::new(),
            boot_id: "0bad".into(),
            release: String::new(),
            machine: String::new(),
            begun: Ktime(1),
            wall_offset_ns: 7,
            config: Config::default(),
            hooks: Vec::new(),
            watch: Watch::default(),
            watches_scopes: false,
            command: Vec::new(),
            redacted: false,
        }
    }

    fn fork(tid: u32) -> Entry {
        let at = Ktime(u64::from(tid));
        let task = TaskRef { key: TaskKey { tid: Tid(tid), start: at }, tgid: Tgid(tid) };
        let new = New {
            task,
            leader_start: None,
            creator: None,
            parent: None,
            clone_flags: None,
            exit_signal: None,
            task_flags: None,
            place: TaskPlace::default(),
            comm: None,
        };
        Entry::Record { record: Record { at, cpu: 0, fact: Fact::New(new) }, now: at }
    }

    fn replayed(entries: &[Entry]) -> (Replay, Taken) {
        let (mut replay, mut taken) = (Replay::new(&header(), false), Taken::default());
        for entry in entries {
            replay.step(entry, &mut taken);
        }
        replay.end(&mut taken);
        (replay, taken)
    }

    #[test]
    fn a_clock_that_jumped_jumps_again_before_the_same_event() {
        let delivered = || Entry::Delivered(Vec::new());
        let entries =
            [fork(100), delivered(), Entry::Wall(1), fork(101), fork(102), delivered(), Entry::Wall(-5)];
        let (replay, taken) = replayed(&entries);
        assert_eq!(taken.effects, [(100, 1), (101, -5), (102, -5)]);
        assert_eq!(replay.wall.offset_ns(), -5);
    }

    #[test]
    fn effects_of_the_recorders_canaries_are_not_passed_on() {
        let own = Own { tid: Tid(101), at: Ktime(101) };
        let (_, taken) = replayed(&[fork(100), fork(101), Entry::Delivered(vec![own])]);
        assert_eq!(taken.effects, [(100, 0)]);
    }

    #[test]
    fn what_a_killed_recorder_had_applied_is_passed_on_at_the_end() {
        let (replay, taken) = replayed(&[fork(100), Entry::Delivered(Vec::new()), fork(101)]);
        assert_eq!((taken.effects.len(), replay.counts.end), (2, None));
    }

    #[test]
    fn a_part_that_is_missing_is_a_gap() {
        let (mut replay, mut taken) = replayed(&[fork(100)]);
        replay.damaged(&mut taken);
        assert_eq!((taken.gaps, replay.counts.gaps), (1, 1));
        replay.lineage.check().unwrap();
    }
}
