//! Creates records from any bytes: few tasks, few start times, and arbitrary fields, so that records often contradict each other.
//!
//! The fuzz target `lineage` (`daemon/fuzz/`) and a test of this package make the same records from the same bytes, so the test
//! can replay what the fuzzer finds.

use std::time::Duration;

use taskscope::lineage::id::{Ktime, TaskKey, TaskRef, Tgid, Tid};
use taskscope::lineage::record::{
    CgroupAttached, CloneFailed, Comm, CpuLimits, Exec, ExecArgs, ExitParts, ExitSource, Exited, Exiting,
    Fact, GroupExit, Namespaced, New, OomVictim, Record, ReleaseSource, Released, Renamed, Reparented,
    SignalInfo, SignalSent, Snapshot, SnapshotSource, TaskPlace, TaskUsage,
};
use taskscope::lineage::scope::{CgroupChange, CgroupChanged};
use taskscope::lineage::{Config, Lineage};

const DAY_NS: u64 = 86_400_000_000_000;

/// Reads numbers from bytes; zeros once the bytes are used up.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn below(&mut self, most: u8) -> u8 {
        self.byte() % most
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 != 0
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.flag() { Some(make(self)) } else { None }
    }

    fn tid(&mut self) -> u32 {
        match self.byte() {
            255 => self.word(),
            byte => u32::from(byte % 12),
        }
    }

    fn start(&mut self, tid: u32) -> u64 {
        match self.byte() {
            255 => u64::from(self.word()) << 16,
            254 => u64::MAX,
            byte => u64::from(tid) * 100 + u64::from(byte % 4) * 10_000,
        }
    }

    fn task(&mut self) -> TaskRef {
        let tid = self.tid();
        let start = Ktime(self.start(tid));
        let group = if self.below(3) > 0 { tid } else { self.tid() };
        TaskRef { key: TaskKey { tid: Tid(tid), start }, tgid: Tgid(group) }
    }

    fn place(&mut self) -> TaskPlace {
        TaskPlace {
            cgroup_id: self.maybe(|source| u64::from(source.byte())),
            namespace: self.maybe(|source| Namespaced {
                vtid: source.tid(),
                vtgid: source.maybe(Self::tid),
                inode: if source.below(16) == 0 { source.word() } else { u32::from(source.below(4)) },
                level: u32::from(source.below(3)),
            }),
            credentials: self.maybe(|source| (source.word(), source.word())),
        }
    }

    fn exit_state(&mut self) -> Option<u32> {
        [None, Some(0), Some(16), Some(32), Some(48), Some(u32::MAX)][usize::from(self.below(6))]
    }

    fn exit_signal(&mut self) -> Option<i32> {
        [None, Some(17), Some(0), Some(-1), Some(10), Some(i32::MIN)][usize::from(self.below(6))]
    }

    fn parts(&mut self) -> ExitParts {
        ExitParts {
            exit_code: self.maybe(|source| i32::from(source.byte())),
            group: self.maybe(|source| GroupExit { code: i32::from(source.byte()), by_group: source.flag() }),
        }
    }

    fn flags(&mut self) -> Option<u32> {
        [None, Some(0), Some(4), Some(0x0020_0000), Some(0x4010), Some(u32::MAX)][usize::from(self.below(6))]
    }

    fn threads(&mut self) -> Option<i32> {
        [None, Some(0), Some(1), Some(2), Some(i32::MAX), Some(-1)][usize::from(self.below(6))]
    }

    fn comm(&mut self) -> Option<Comm> {
        self.maybe(|source| Comm([source.byte(); 16]))
    }

    fn path(&mut self) -> Option<Vec<u8>> {
        self.maybe(|source| vec![source.byte(); usize::from(source.below(3))])
    }

    fn usage(&mut self) -> Option<TaskUsage> {
        self.maybe(|source| {
            let huge = if source.below(8) == 0 { u64::MAX } else { u64::from(source.byte()) };
            TaskUsage { exec_runtime_ns: huge, utime_ns: huge, nvcsw: huge, ..TaskUsage::default() }
        })
    }

    fn new_task(&mut self) -> New {
        New {
            task: self.task(),
            leader_start: self.maybe(|source| {
                let tid = source.tid();
                Ktime(source.start(tid))
            }),
            creator: self.maybe(Self::task),
            parent: self.maybe(Self::task),
            clone_flags: [None, Some(0), Some(0x4100), Some(0x100), Some(0x1_0100), Some(u64::MAX)]
                [usize::from(self.below(6))],
            exit_signal: self.exit_signal(),
            task_flags: self.flags(),
            place: self.place(),
            comm: self.comm(),
        }
    }

    fn exec(&mut self) -> Exec {
        Exec {
            task: self.task(),
            old_tid: self.maybe(|source| Tid(source.tid())),
            place: self.place(),
            task_flags: self.flags(),
            exit_signal: self.exit_signal(),
            comm: self.comm(),
            path: self.path(),
            executable: self.path(),
            truncated: self.flag(),
        }
    }

    fn exited(&mut self) -> Exited {
        use ExitSource::{DoTaskDead, ExitNotify, FinalSwitch, ProcExitConnector};
        Exited {
            task: self.task(),
            source: [ExitNotify, ProcExitConnector, DoTaskDead, FinalSwitch][usize::from(self.below(4))],
            exit_state: self.exit_state(),
            exit: self.parts(),
            exit_signal: self.exit_signal(),
            task_flags: self.flags(),
            nr_threads: self.threads(),
            parent: self.maybe(Self::task),
            tracer: self.maybe(|source| source.maybe(Self::task)),
            new_reaper: self.maybe(Self::task),
            usage: self.usage(),
        }
    }

    fn released(&mut self) -> Released {
        use ReleaseSource::{Entry, Free, SecondTurn};
        Released {
            task: self.task(),
            source: [Entry, SecondTurn, Free][usize::from(self.below(3))],
            by: self.maybe(Self::task),
            parent: self.maybe(Self::task),
            tracer: self.maybe(|source| source.maybe(Self::task)),
            exit_state: self.exit_state(),
            exit: self.parts(),
            exit_signal: self.exit_signal(),
            task_flags: self.flags(),
            de_thread: self.below(4) == 0,
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        use SnapshotSource::{Iterator, Procfs};
        Snapshot {
            task: self.task(),
            leader_start: self.maybe(|source| {
                let tid = source.tid();
                Ktime(source.start(tid))
            }),
            source: if self.flag() { Iterator } else { Procfs },
            parent: self.maybe(Self::task),
            tracer: self.maybe(|source| source.maybe(Self::task)),
            exit_state: self.exit_state(),
            exit: self.parts(),
            exit_signal: self.exit_signal(),
            task_flags: self.flags(),
            nr_threads: self.threads(),
            state: self.maybe(Self::word),
            place: self.place(),
            comm: self.comm(),
            usage: self.usage(),
        }
    }

    fn fact(&mut self) -> Fact {
        match self.below(13) {
            0 | 1 => Fact::New(self.new_task()),
            2 => Fact::CloneFailed(CloneFailed {
                creator: self.maybe(Self::task),
                clone_flags: None,
                exit_signal: self.exit_signal(),
                errno: 11,
                refused_by: None,
            }),
            3 => Fact::Exec(Box::new(self.exec())),
            4 => Fact::ExecArgs(Box::new(ExecArgs {
                task: self.task(),
                args: vec![vec![self.byte()]],
                truncated: self.flag(),
            })),
            5 => Fact::Renamed(Renamed {
                task: self.task(),
                old: self.comm().unwrap_or_default(),
                new: self.comm().unwrap_or_default(),
            }),
            6 => Fact::Exiting(Exiting {
                task: self.task(),
                exit: self.parts(),
                task_flags: self.flags(),
                nr_threads: self.threads(),
                exit_signal: self.exit_signal(),
                seccomp_mode: self.maybe(|it| u32::from(it.below(4))),
                has_children: self.maybe(Self::flag),
                tracer: self.maybe(|it| it.maybe(|it| Tgid(it.tid()))),
                parent_ignores_sigchld: self.maybe(Self::flag),
            }),
            7 => Fact::Exited(self.exited()),
            8 if self.flag() => Fact::Reparented(Reparented {
                child: self.task(),
                old_parent: self.maybe(Self::task),
                new_parent: self.task(),
                exit_signal: self.exit_signal(),
            }),
            8 => Fact::Released(self.released()),
            9 if self.flag() => Fact::CgroupAttached(CgroupAttached {
                task: self.task(),
                cgroup_id: self.maybe(Self::word).map(u64::from),
            }),
            9 => Fact::Snapshot(Box::new(self.snapshot())),
            11 => Fact::CgroupChanged(Box::new(CgroupChanged {
                cgroup_id: u64::from(self.below(5)),
                parent_id: self.maybe(|it| u64::from(it.below(5))),
                change: match self.below(4) {
                    0 => CgroupChange::Made,
                    1 => CgroupChange::Removed,
                    2 => CgroupChange::Populated,
                    _ => CgroupChange::Emptied,
                },
                actor: self.maybe(Self::task),
                actor_flags: self.flags(),
                name: self.maybe(|it| if it.flag() { "a.service" } else { "b.slice" }.into()),
            })),
            10 => Fact::OomVictim(Box::new(OomVictim {
                tid: Tid(self.tid()),
                victim: self.maybe(Self::task),
                trigger: self.maybe(Self::task),
                trigger_comm: self.comm(),
                limit: None,
            })),
            _ => Fact::Signal(Box::new(SignalSent {
                target: self.task(),
                to_group: self.flag(),
                sender: self.maybe(Self::task),
                sender_comm: self.comm(),
                sender_uid: self.maybe(Self::word),
                sender_flags: self.flags(),
                sender_login_uid: self.maybe(Self::word),
                sender_terminal: None,
                in_execve: self.maybe(Self::flag),
                tracer: self.maybe(|it| it.maybe(|it| Tgid(it.tid()))),
                cpu_limits: self.maybe(|it| CpuLimits {
                    cpu: it.flag(),
                    rttime: it.flag(),
                    deadline: it.flag(),
                }),
                signal: i32::from(self.below(65)),
                code: Some(i32::from(self.byte()) - 8),
                info: match self.below(3) {
                    0 => SignalInfo::None,
                    1 => SignalInfo::Kernel,
                    _ => SignalInfo::Real,
                },
                result: i32::from(self.below(5)),
                address: 0,
                syscall: 0,
                disposition: None,
                leads_session: self.maybe(Self::flag),
            })),
        }
    }
}

/// Returns a configuration with small bounds, so that a short run reaches all of them.
fn config(exec_args: bool) -> Config {
    Config {
        exec_args,
        zombie_after: Duration::from_micros(50),
        blocked_after: Duration::ZERO,
        leaks: taskscope::lineage::leaks::Thresholds::default(),
        exit_stuck_after: Duration::from_micros(50),
        tombstone: Duration::from_micros(100),
        tombstones: 8,
        release_within: Duration::from_micros(100),
        dead_lives: 6,
        dead_lives_age: Duration::from_millis(1),
        reports_lives: true,
        dead_after: Duration::from_micros(60),
        room: None,
    }
}

/// Feeds a lineage with what these bytes describe: records, ticks, snapshots begun and ended anywhere. Checks the invariants
/// after each, and that everything that is kept is bounded.
pub(crate) fn feed_any(bytes: &[u8]) -> Result<(), String> {
    run(bytes, |_| {}).map_err(|error| {
        let mut story = Vec::new();
        // Run the failing bytes again, and write down each step.
        let _ = run(bytes, |what| story.push(what()));
        format!("{}\n{error}", story.join("\n"))
    })
}

fn run(bytes: &[u8], mut write_down: impl FnMut(&dyn Fn() -> String)) -> Result<(), String> {
    let mut source = Source(bytes);
    let mut lineage = Lineage::new(config(source.flag()));
    let mut effects = Vec::new();
    let mut now = 1_000_u64;
    while !source.0.is_empty() {
        let what = source.byte();
        let step = u64::from(source.byte());
        now += if what == 250 { step << 40 } else { step * 16 };
        // A record can be older than the one before it, or bear a time of its own.
        let at = match source.below(8) {
            0 => now.saturating_sub(u64::from(source.byte()) * 64),
            1 if what == 251 => u64::MAX,
            _ => now,
        };
        match what % 16 {
            0 => {
                write_down(&|| format!("{now} a tick"));
                lineage.tick(Ktime(now), &mut effects);
            }
            1 => match source.below(3) {
                0 => {
                    write_down(&|| format!("{at} a snapshot begins"));
                    lineage.begin_snapshot(Ktime(at));
                }
                1 => {
                    write_down(&|| format!("{at} a snapshot ends"));
                    lineage.end_snapshot(Ktime(at), &mut effects);
                }
                _ => {
                    write_down(&|| format!("{now} a snapshot breaks off"));
                    lineage.abandon_snapshot();
                }
            },
            _ => {
                let record = Record { at: Ktime(at), cpu: 0, fact: source.fact() };
                write_down(&|| format!("{now} {record:?}"));
                lineage.apply(&record, Ktime(now), &mut effects);
            }
        }
        lineage.check()?;
        effects.clear();
    }
    stays_bounded(&mut lineage, now)
}

/// Checks that long after the last record nothing is kept but live tasks and a bounded number of ends.
fn stays_bounded(lineage: &mut Lineage, now: u64) -> Result<(), String> {
    let later = Ktime(now + 2 * DAY_NS);
    let mut effects = Vec::new();
    lineage.abandon_snapshot();
    lineage.tick(later, &mut effects);
    lineage.tick(Ktime(later.0 + DAY_NS), &mut effects);
    lineage.check().map_err(|error| format!("at the end:\n{error}"))?;
    let kept = lineage.kept();
    let ends_with_time = [
        kept.released,
        kept.dead,
        kept.dead_lives,
        kept.pending_reparents,
        kept.early_frees,
        kept.execs_without_args,
        kept.undecided_leaders,
    ];
    if ends_with_time != [0; 7] || kept.namespaces > lineage.group_count() {
        return Err(format!("kept for ever: {kept:?}"));
    }
    let (pending, ends) = lineage.deaths_kept();
    // A SIGKILL is kept while its target lives.
    if pending > lineage.group_count() || ends > 4_096 {
        return Err(format!("signals kept for ever: of {pending} groups; {ends} ends"));
    }
    Ok(())
}
