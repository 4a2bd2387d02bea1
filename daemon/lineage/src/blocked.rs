//! Tasks that stay in uninterruptible sleep, by the rule of the kernel's own khungtaskd: a task that two polls find asleep, with
//! the same number of context switches, has slept from the first poll to the second.

use std::collections::HashMap;
use std::time::Duration;

use crate::Lineage;
use crate::model::effect::{Action, Effect, Sleep};
use crate::model::event_context::EventContext;
use crate::model::figures::{Doing, TaskFigures};
use crate::model::id::{Ktime, TaskKey};
use crate::model::kinds::{Bound, Span};

/// Sleeps that have not ended.
#[derive(Debug, Default)]
pub struct Blocked {
    episodes: HashMap<TaskKey, Episode>,
}

/// An uninterruptible sleep of one task.
#[derive(Debug)]
struct Episode {
    /// The first poll that found it.
    since: Ktime,
    /// The last poll that found it.
    seen: Ktime,
    /// The task's context switches so far. Another count at the next poll means that it was awake in between.
    switches: u64,
    doing: Doing,
    /// The effect that flagged it, if it was flagged.
    reported: Option<Box<Effect>>,
}

/// A sleep that has just become too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// The task that sleeps.
    pub task: TaskKey,
    /// How long the task has slept, at least.
    pub blocked: Span,
    /// Whether a fatal signal would end it.
    pub killable: bool,
}

impl Blocked {
    /// Returns how many sleeps are flagged now: all, and those that a fatal signal would end.
    #[must_use]
    pub fn flagged(&self) -> (usize, usize) {
        let flagged = || self.episodes.values().filter(|episode| episode.reported.is_some());
        (flagged().count(), flagged().filter(|episode| episode.doing == Doing::Killable).count())
    }

    /// Returns how long a task has been in its present sleep, at least, ns.
    #[must_use]
    pub fn age_ns(&self, task: TaskKey) -> Option<u64> {
        self.episodes.get(&task).map(Episode::ns)
    }

    /// Returns how long the longest flagged sleep has lasted, at least; zero if none is flagged.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let flagged = self.episodes.values().filter(|episode| episode.reported.is_some());
        Duration::from_nanos(flagged.map(Episode::ns).max().unwrap_or(0))
    }

    /// Applies a poll, which found the tasks in `blocked` asleep. Emits the end of flagged sleeps and returns the sleeps that
    /// have become too long, for [`Blocked::flag`].
    pub fn poll(
        &mut self,
        lineage: &Lineage,
        at: Ktime,
        blocked: &[TaskFigures],
        out: &mut Vec<Effect>,
    ) -> Vec<Overdue> {
        let mut overdue = Vec::new();
        for figures in blocked.iter().filter(|figures| figures.doing.is_blocked()) {
            let Some(usage) = figures.usage else { continue };
            let switches = usage.nvcsw.wrapping_add(usage.nivcsw);
            let fresh = || Episode {
                since: figures.at,
                seen: figures.at,
                switches,
                doing: figures.doing,
                reported: None,
            };
            let episode = self.episodes.entry(figures.task.key).or_insert_with(fresh);
            if episode.switches != switches {
                let former = std::mem::replace(episode, fresh());
                former.clear(lineage, at, out);
            }
            episode.seen = figures.at;
            if episode.reported.is_none()
                && u128::from(episode.ns()) >= lineage.config.blocked_after.as_nanos()
            {
                overdue.push(Overdue {
                    task: figures.task.key,
                    blocked: episode.span(),
                    killable: figures.doing == Doing::Killable,
                });
            }
        }
        // A task that this poll did not find is awake or gone.
        let (awake, asleep) = std::mem::take(&mut self.episodes)
            .into_iter()
            .partition::<HashMap<_, _>, _>(|(_, episode)| episode.seen < at);
        self.episodes = asleep;
        let mut awake: Vec<_> = awake.into_iter().collect();
        awake.sort_unstable_by_key(|(key, _)| *key);
        for (_, episode) in awake {
            episode.clear(lineage, at, out);
        }
        overdue
    }

    /// Emits a sleep that is too long, with its kernel stack.
    pub fn flag(
        &mut self,
        lineage: &Lineage,
        at: Ktime,
        of: Overdue,
        stack: Vec<String>,
        out: &mut Vec<Effect>,
    ) {
        let Some(episode) = self.episodes.get_mut(&of.task) else { return };
        let Some(ix) = lineage.store.find(of.task) else { return };
        let sleep = Box::new(Sleep { blocked: of.blocked, killable: of.killable, stack });
        let effect = lineage.effect(EventContext::observed(at), ix, Action::BlockedFlagged(sleep));
        episode.reported = effect.clone().map(Box::new);
        out.extend(effect);
    }
}

impl Episode {
    fn ns(&self) -> u64 {
        self.seen.since(self.since)
    }

    fn span(&self) -> Span {
        Span { ns: self.ns(), bound: Bound::AtLeast }
    }

    /// Emits the end of the sleep, if it was flagged.
    fn clear(self, lineage: &Lineage, at: Ktime, out: &mut Vec<Effect>) {
        let blocked = self.span();
        let Some(reported) = self.reported else { return };
        let action = Action::BlockedCleared { blocked };
        let now = lineage
            .store
            .find(reported.thread.key)
            .and_then(|ix| lineage.effect(EventContext::observed(at), ix, action.clone()));
        // If the task has ended since, the effect shows it as it was when it was flagged.
        out.push(now.unwrap_or(Effect { at, action, ..*reported }));
    }
}

/// Returns the function in which a task sleeps, as /proc/PID/wchan shows it: the first one on the stack that does not belong to
/// the scheduler.
#[must_use]
pub fn wchan(stack: &[String]) -> Option<&str> {
    /// Functions of the sections `.sched.text` and `.lock.text`, by the beginnings of their names.
    const SCHEDULER: [&str; 19] = [
        "__schedule",
        "schedule",
        "preempt_schedule",
        "__switch_to",
        "context_switch",
        "io_schedule",
        "wait_for_",
        "__wait_for_common",
        "__mutex_lock",
        "mutex_lock",
        "__down",
        "down",
        "rwsem_down",
        "__wait_on_bit",
        "out_of_line_wait_on_bit",
        "bit_wait",
        "rt_mutex",
        "__rt_mutex",
        "do_wait_for_common",
    ];
    let name = |frame: &'_ str| frame.split('+').next().map(str::len);
    stack
        .iter()
        .filter_map(|frame| frame.get(..name(frame)?))
        .find(|function| !SCHEDULER.iter().any(|prefix| function.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Config,
        id::{TaskRef, Tgid, Tid},
        record::{Fact, Record, Snapshot, SnapshotSource, TaskPlace, TaskUsage},
    };

    const KEY: TaskKey = TaskKey { tid: Tid(7), start: Ktime(1) };
    const TASK: TaskRef = TaskRef { key: KEY, tgid: Tgid(7) };

    fn seen(at: u64, switches: u64, doing: Doing) -> TaskFigures {
        TaskFigures {
            task: TASK,
            at: Ktime(at),
            name: None,
            doing,
            flags: 0,
            policy: None,
            prio: None,
            nice: None,
            rt_priority: None,
            cpu: None,
            usage: Some(TaskUsage { nvcsw: switches, ..TaskUsage::default() }),
        }
    }

    fn lineage() -> Lineage {
        let mut lineage =
            Lineage::new(Config { blocked_after: Duration::from_nanos(100), ..Config::default() });
        let snapshot = Snapshot {
            task: TASK,
            leader_start: Some(KEY.start),
            source: SnapshotSource::Iterator,
            parent: None,
            tracer: None,
            exit_state: Some(0),
            exit: super::super::record::ExitParts::default(),
            exit_signal: Some(17),
            task_flags: Some(0),
            nr_threads: Some(1),
            state: Some(2),
            place: TaskPlace::default(),
            comm: None,
            usage: None,
        };
        let record = Record { at: Ktime(2), cpu: 0, fact: Fact::Snapshot(Box::new(snapshot)) };
        lineage.apply(&record, Ktime(2), &mut Vec::new());
        lineage
    }

    /// Polls at the given times; returns the effects with the length of the sleep.
    fn reported(polls: &[(u64, Option<(u64, Doing)>)]) -> Vec<(&'static str, u64)> {
        let lineage = lineage();
        let mut blocked = Blocked::default();
        let mut out = Vec::new();
        for &(at, found) in polls {
            let figures: Vec<_> =
                found.into_iter().map(|(switches, doing)| seen(at, switches, doing)).collect();
            for overdue in blocked.poll(&lineage, Ktime(at), &figures, &mut out) {
                blocked.flag(&lineage, Ktime(at), overdue, vec!["a+0x1/0x2".into()], &mut out);
            }
        }
        let ns = |effect: &Effect| match &effect.action {
            Action::BlockedFlagged(sleep) => sleep.blocked.ns,
            Action::BlockedCleared { blocked } => blocked.ns,
            other => panic!("{other:?}"),
        };
        out.iter().map(|effect| (effect.action.name(), ns(effect))).collect()
    }

    #[test]
    fn a_long_sleep_is_flagged_once_and_cleared() {
        let d = Some((5, Doing::Uninterruptible));
        let polls = [(10, d), (60, d), (110, d), (160, d), (210, None), (260, None)];
        assert_eq!(reported(&polls), [("blocked_flagged", 100), ("blocked_cleared", 150)]);
    }

    #[test]
    fn one_switch_more_begins_a_new_sleep() {
        let d = |switches| Some((switches, Doing::Killable));
        assert_eq!(reported(&[(10, d(5)), (90, d(6)), (170, d(7)), (250, d(7))]), []);
        let flagged = [(10, d(5)), (110, d(5)), (120, d(6)), (200, d(6)), (220, d(6))];
        assert_eq!(
            reported(&flagged),
            [("blocked_flagged", 100), ("blocked_cleared", 100), ("blocked_flagged", 100)]
        );
    }

    #[test]
    fn other_states_are_no_matter() {
        let s = Some((5, Doing::Sleeping));
        assert_eq!(reported(&[(10, s), (500, s)]), []);
    }

    #[test]
    fn the_scheduler_itself_is_not_where_a_task_waits() {
        let stack = |frames: &[&str]| -> Vec<String> { frames.iter().map(|&frame| frame.into()).collect() };
        let of_vfork = stack(&[
            "__schedule+0x1/0x9",
            "schedule+0x5/0x9",
            "wait_for_completion+0x1/0x2",
            "kernel_clone+0x2/0x3",
        ]);
        assert_eq!(wchan(&of_vfork), Some("kernel_clone"));
        assert_eq!(wchan(&[]), None);
    }
}
