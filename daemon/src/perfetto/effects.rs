//! A trace from effects: each process and thread from its creation, or from the beginning of the recording, to its end.

mod lifetimes;
mod signals;

use self::lifetimes::{LIFE, THREAD, start, text};

use std::{collections::VecDeque, io::Write};

use super::{
    trace::{Notes, Trace, Value, Written, track_id},
    tracks::Tracks,
};
use crate::{
    cgroup::Place,
    lineage::{
        Action, Lineage, TaskState,
        effect::{Effect, Process},
        id::{GroupKey, Ktime, Tgid, Tid},
    },
    runtime::{EventSink, LossPlace, replay::ReplaySink},
};
/// The least difference between two readings that means that the wall clock was set, ns.
const CLOCK_SET_NS: u128 = 1_000_000;

/// How many ended processes are remembered.
const ENDED: usize = 16_384;

/// Writes a trace while a recording is replayed.
pub struct EffectTrace<W: Write> {
    trace: Trace<W>,
    processes: Tracks<Tgid>,
    threads: Tracks<Tid>,
    /// The processes that ended last, with their tracks: senders of signals may be among them.
    ended: VecDeque<(GroupKey, u64)>,
    /// When the recording began.
    begun: Ktime,
    /// The last time that was seen.
    now: u64,
    wall_offset_ns: i128,
}

impl<W: Write> EffectTrace<W> {
    /// Starts a trace. Its times are those of `CLOCK_BOOTTIME`.
    pub fn new(out: W, begun: Ktime, wall_offset_ns: i128) -> Self {
        let mut trace = Trace::new(out);
        trace.clocks(begun.0, i128::from(begun.0) + wall_offset_ns);
        Self {
            trace,
            processes: Tracks::new(),
            threads: Tracks::new(),
            ended: VecDeque::new(),
            begun,
            now: begun.0,
            wall_offset_ns,
        }
    }

    /// Whether writing has failed.
    pub const fn has_failed(&self) -> bool {
        self.trace.has_failed()
    }

    /// Ends the trace at this time: adds tasks that did nothing since the beginning, and ends all slices.
    pub fn finish(mut self, lineage: &Lineage, now: Ktime) -> std::io::Result<Written> {
        let now = now.0.max(self.now);
        for group in lineage.groups() {
            let process = Process {
                key: group.key(),
                name: group.name(),
                parent: group.parent().map(|parent| parent.key()),
                vpid: None,
                executable: None,
                arguments: None,
                credentials: None,
                status: None,
            };
            // The idle task is not a process.
            if process.key.tgid.0 == 0 {
                continue;
            }
            self.open_process(&process, now);
            for task in group.threads().filter(|task| task.state < TaskState::Zombie) {
                self.open_thread(&process, &task.thread, now);
            }
        }
        self.threads.end_all(&mut self.trace, now);
        self.processes.end_all(&mut self.trace, now);
        self.trace.finish()
    }

    fn note(&mut self, effect: &Effect) {
        let Effect { process, thread, action, .. } = effect;
        let at = effect.at.0;
        self.now = self.now.max(at);
        let (group, born) = (process.key.tgid, start(process.key));
        let (tid, thread_born) = (thread.key.tid, thread.key.start.0);
        match action {
            // The task of these effects is the cgroup's first or last one, which may be gone.
            Action::ScopeBegan(_) | Action::ScopeEnded(_) => return,
            Action::LeaderDied { .. }
            | Action::GroupExited { .. }
            | Action::ZombieBegan { .. }
            | Action::ZombieFlagged { .. } => {
                self.open_process(process, at);
            }
            Action::Reaped { .. } | Action::Autoreaped | Action::Released { .. } => {}
            _ => self.open_thread(process, thread, at),
        }
        match action {
            Action::Execed { path, .. } => {
                let id = track_id(THREAD, tid.0, thread_born);
                let path = path.as_ref().map(|path| String::from_utf8_lossy(path.bytes()));
                let notes = path.as_deref().map(|path| ("path", Value::Text(path)));
                self.trace.instant(id, at, "exec", None, &notes.into_iter().collect());
                self.rename(effect);
            }
            Action::Renamed { .. } => self.rename(effect),
            Action::ExecTakeover { old_tid } => {
                self.threads.remove(&mut self.trace, *old_tid, None, at);
                if let Some(track) = self.processes.get(group, born).filter(|track| !track.is_dead) {
                    track.end(&mut self.trace, at, LIFE, &Notes::new());
                }
                self.take_over(process, thread, at);
            }
            Action::Exited { .. } => {
                if let Some(track) = self.threads.get(tid, Some(thread_born)) {
                    track.is_dead = true;
                    track.end(&mut self.trace, at, 0, &Notes::new());
                }
            }
            Action::BlockedFlagged(sleep) => {
                let since = at.saturating_sub(sleep.blocked.ns);
                if let Some(track) = self.threads.get(tid, Some(thread_born)).filter(|track| !track.is_dead) {
                    track.end(&mut self.trace, since, LIFE, &Notes::new());
                    track.begin(&mut self.trace, since, "blocked", &Notes::new());
                }
            }
            Action::BlockedCleared { .. } => {
                if let Some(track) = self.threads.get(tid, Some(thread_born)).filter(|track| !track.is_dead) {
                    track.end(&mut self.trace, at, LIFE, &Notes::new());
                }
            }
            Action::LeaderDied { threads_left } => {
                let notes = vec![("threads_left", Value::Number(u64::from(*threads_left)))];
                if let Some(track) = self.processes.get(group, born).filter(|track| !track.is_dead) {
                    track.begin(&mut self.trace, at, "leader dead", &notes);
                }
            }
            Action::GroupExited { death, .. } => self.ended(process, at, death.as_deref()),
            Action::ZombieBegan { .. } => self.zombie(process, at),
            Action::Reparented { old_parent, new_parent, kind } if thread.key.tid == group.leader() => {
                let mut notes = vec![
                    ("new_parent_pid", Value::Number(u64::from(new_parent.tgid.0))),
                    ("kind", Value::Text(kind.name())),
                ];
                if let Some(old) = old_parent {
                    notes.push(("old_parent_pid", Value::Number(u64::from(old.tgid.0))));
                }
                let id = self.processes.get(group, born).map_or(0, |track| track.id);
                self.trace.instant(id, at, "reparented", None, &notes);
            }
            Action::Released { .. } => {
                self.threads.remove(&mut self.trace, tid, Some(thread_born), at);
                if thread.key.tid == group.leader() {
                    let id = self.processes.get(group, born).map(|track| track.id);
                    self.processes.remove(&mut self.trace, group, born, at);
                    if self.ended.len() >= ENDED {
                        self.ended.pop_front();
                    }
                    self.ended.extend(id.map(|id| (process.key, id)));
                }
            }
            Action::Reaped { .. } | Action::Autoreaped => {
                if thread.key.tid == group.leader()
                    && let Some(track) = self.processes.get(group, born)
                {
                    track.end(&mut self.trace, at, 0, &Notes::new());
                }
            }
            _ => {}
        }
    }
}

impl<W: Write> EventSink for EffectTrace<W> {
    fn take(&mut self, effects: &mut Vec<Effect>) {
        for effect in &*effects {
            self.note(effect);
        }
    }

    fn lost(&mut self, place: LossPlace, count: u64) {
        log::warn!("{count} records lost: {}", place.reason());
        self.instant_of_all("records lost", &vec![("lost", Value::Number(count))]);
    }
}

impl<W: Write> EffectTrace<W> {
    /// An instant that belongs to no process.
    fn instant_of_all(&mut self, name: &str, notes: &Notes<'_>) {
        self.trace.instant(0, self.now, name, None, notes);
    }
}

impl<W: Write> ReplaySink for EffectTrace<W> {
    fn set_wall(&mut self, offset_ns: i128) {
        // A smaller difference is the error of measurement, not a change of the wall clock.
        if offset_ns.abs_diff(self.wall_offset_ns) >= CLOCK_SET_NS {
            self.wall_offset_ns = offset_ns;
            self.trace.clocks(self.now, i128::from(self.now) + offset_ns);
        }
    }

    fn set_cgroup(&mut self, _: u64, _: &Place) {}

    fn gap(&mut self) {
        self.instant_of_all("a part of the recording is missing", &Notes::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lineage::{
            TaskKind,
            effect::{Provenance, Thread},
            id::TaskKey,
        },
        perfetto::trace::decoded::introduced,
    };

    fn effect(at: u64, tid: u32, start: Option<u64>) -> Effect {
        let group = GroupKey { tgid: Tgid(7), start: start.map(Ktime) };
        Effect {
            at: Ktime(at),
            provenance: Provenance::Observed,
            hook: None,
            late_ns: 0,
            process: Process {
                key: group,
                name: None,
                parent: None,
                vpid: None,
                executable: None,
                arguments: None,
                credentials: None,
                status: None,
            },
            thread: Thread {
                key: TaskKey { tid: Tid(tid), start: Ktime(u64::from(tid)) },
                name: None,
                kind: TaskKind::Thread,
                exit_signal: None,
                exit_state: None,
                exit_code: None,
                flags: None,
                cgroup_id: None,
                namespace: None,
            },
            action: Action::Forked { creation: None, clone_flags: None, creator: None },
        }
    }

    #[test]
    fn a_thread_is_below_its_process_also_if_the_start_of_that_is_known_later() {
        let mut out = Vec::new();
        let mut trace = EffectTrace::new(&mut out, Ktime(1), 0);
        trace.take(&mut vec![effect(10, 7, None), effect(20, 8, Some(7)), effect(30, 9, None)]);
        trace.processes.end_all(&mut trace.trace, 40);
        trace.threads.end_all(&mut trace.trace, 40);
        trace.trace.finish().unwrap();
        let (tracks, above) = introduced(&out);
        assert_eq!(above.len(), 3);
        assert!(above.iter().all(|track| tracks.contains(track)), "{above:?} {tracks:?}");
    }
}
