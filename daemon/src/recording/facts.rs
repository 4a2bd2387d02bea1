//! The fields of each message that is a type of the lineage. A number is never used for another meaning.

use super::wire::{self, Fields, Malformed, Plain, Value, code, message};
use crate::{
    cgroup::Place,
    lineage::{
        Arguments, Config,
        death::{HostMemory, OomCgroup, OomLimit, OomScope, Watch},
        figures::{Doing, TaskFigures},
        id::Ktime,
        record::{
            CgroupAttached, CloneFailed, CpuLimits, Disposition, Exec, ExecArgs, ExitParts, ExitSource,
            Exited, Exiting, Fact, ForkLimit, ForkLimitKind, GroupExit, Namespaced, New, OomVictim, Record,
            ReleaseSource, Released, Renamed, Reparented, SignalInfo, SignalSent, Snapshot, SnapshotSource,
            TaskPlace, TaskUsage,
        },
        scope::{CgroupChange, CgroupChanged},
    },
};

/// Real and effective uid, in one number: the real uid is the lower half.
impl Plain for (u32, u32) {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        wire::nested(field, out, |out| {
            self.0.put(1, out);
            if self.1 != self.0 {
                self.1.put(2, out);
            }
        });
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        let (mut real, mut effective) = (None, None);
        for field in Fields::of(value.bytes()?) {
            match field? {
                (1, value) => real = Some(u32::get(value)?),
                (2, value) => effective = Some(u32::get(value)?),
                _ => {}
            }
        }
        let real = real.ok_or(Malformed::Missing("uid"))?;
        Ok((real, effective.unwrap_or(real)))
    }
}

message!(Namespaced { 1 vtid !, 2 vtgid ?, 3 inode !, 4 level ! });
message!(TaskPlace { 1 cgroup_id ?, 2 namespace ?, 3 credentials ? });
message!(GroupExit { 1 code !, 2 by_group * });
message!(ExitParts { 1 exit_code ?, 2 group ? });
message!(TaskUsage {
    1 exec_runtime_ns *, 2 run_delay_ns *, 3 run_count *, 4 utime_ns *, 5 stime_ns *,
    6 nvcsw *, 7 nivcsw *, 8 min_flt *, 9 maj_flt *,
});
message!(New {
    1 task !, 2 leader_start ?, 3 creator ?, 4 parent ?, 5 clone_flags ?, 6 exit_signal ?, 7 task_flags ?,
    8 place *, 9 comm ?,
});
code!(ForkLimitKind { RlimitNproc = 1, ThreadsMax = 2, Cgroup = 3, PidMax = 4, PidNamespace = 5 });
message!(ForkLimit { 1 kind !, 2 name *, 3 used ?, 4 limit ? });
message!(CloneFailed { 1 creator ?, 2 clone_flags ?, 3 exit_signal ?, 4 errno !, 5 refused_by ? });
message!(Exec {
    1 task !, 2 old_tid ?, 3 place *, 4 task_flags ?, 5 exit_signal ?, 6 comm ?, 7 path ?, 8 executable ?,
    9 truncated *,
});
message!(ExecArgs { 1 task !, 2 args +, 3 truncated * });
message!(Arguments { 1 args +, 2 truncated * });
message!(Renamed { 1 task !, 2 old !, 3 new ! });
message!(Exiting {
    1 task !, 2 exit *, 3 task_flags ?, 4 nr_threads ?, 5 exit_signal ?, 6 has_children ?,
    7 parent_ignores_sigchld ?, 8 tracer ?, 9 seccomp_mode ?,
});
code!(ExitSource { ExitNotify = 1, ProcExitConnector = 2, DoTaskDead = 3, FinalSwitch = 4 });
message!(Exited {
    1 task !, 2 source !, 3 exit_state ?, 4 exit *, 5 exit_signal ?, 6 task_flags ?, 7 nr_threads ?, 8 parent ?,
    9 tracer ?, 10 new_reaper ?, 11 usage ?,
});
message!(Reparented { 1 child !, 2 old_parent ?, 3 new_parent !, 4 exit_signal ? });
code!(ReleaseSource { Entry = 1, SecondTurn = 2, Free = 3 });
message!(Released {
    1 task !, 2 source !, 3 by ?, 4 parent ?, 5 tracer ?, 6 exit_state ?, 7 exit *, 8 exit_signal ?,
    9 task_flags ?, 10 de_thread *,
});
code!(SnapshotSource { Iterator = 1, Procfs = 2 });
message!(Snapshot {
    1 task !, 2 leader_start ?, 3 source !, 4 parent ?, 5 tracer ?, 6 exit_state ?, 7 exit *, 8 exit_signal ?,
    9 task_flags ?, 10 nr_threads ?, 11 state ?, 12 place *, 13 comm ?, 14 usage ?,
});
message!(CgroupAttached { 1 task !, 2 cgroup_id ? });
code!(SignalInfo { None = 1, Kernel = 2, Real = 3 });
code!(Disposition { Default = 1, Ignored = 2, Blocked = 3, Caught = 4 });
message!(CpuLimits { 1 cpu *, 2 rttime *, 3 deadline * });
message!(SignalSent {
    1 target !, 2 to_group *, 3 sender ?, 4 sender_comm ?, 5 sender_uid ?, 6 sender_flags ?, 7 signal !, 8 code ?,
    9 info !, 10 result *, 11 address *, 12 syscall *, 13 disposition ?,
    14 leads_session ?, 15 sender_login_uid ?, 16 sender_terminal ?, 17 in_execve ?, 18 tracer ?, 19 cpu_limits ?,
});
code!(OomScope { Host = 1, Cgroup = 2 });
message!(OomCgroup { 1 path *, 2 is_v1 *, 3 kills_group *, 4 victims ? });
message!(HostMemory { 1 total_bytes *, 2 swap_bytes *, 3 swap_free_bytes * });
message!(OomLimit {
    1 scope !, 2 is_certain *, 3 cgroup_id ?, 4 cgroup_name ?, 5 limit_bytes ?, 6 used_bytes ?, 7 cgroup ?, 8 host ?,
});
message!(OomVictim { 1 tid !, 2 victim ?, 3 trigger ?, 4 trigger_comm ?, 5 limit ? });
code!(CgroupChange { Made = 1, Removed = 2, Populated = 3, Emptied = 4 });
message!(CgroupChanged { 1 cgroup_id !, 2 parent_id ?, 3 change !, 4 actor ?, 5 actor_flags ?, 6 name ? });
code!(Doing {
    Running = 1, Ready = 2, Runnable = 3, Sleeping = 4, Uninterruptible = 5, Killable = 6, Stopped = 7, Traced = 8,
    Parked = 9, Idle = 10, Frozen = 11, Zombie = 12, Dead = 13,
});
message!(TaskFigures {
    1 task !, 2 at !, 3 name ?, 4 doing !, 5 flags *, 6 policy ?, 7 prio ?, 8 nice ?, 9 rt_priority ?, 10 cpu ?,
    11 usage ?,
});
message!(Watch { 1 since ?, 2 signals *, 3 oom *, 4 lost_until * });

/// The settings that the answers depend on. Durations are in ns.
impl Plain for Config {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        let ns = crate::duration::ns;
        wire::nested(field, out, |out| {
            wire::number(1, ns(self.zombie_after), out);
            wire::number(2, ns(self.blocked_after), out);
            wire::number(3, ns(self.exit_stuck_after), out);
            wire::number(4, u64::from(self.exec_args), out);
            wire::number(5, ns(self.tombstone), out);
            wire::number(6, self.tombstones as u64, out);
            wire::number(7, ns(self.release_within), out);
            wire::number(8, self.dead_lives as u64, out);
            wire::number(9, ns(self.dead_lives_age), out);
            wire::number(10, u64::from(self.reports_lives), out);
            wire::number(11, ns(self.dead_after), out);
            wire::number(12, ns(self.leaks.window), out);
            wire::number(13, self.leaks.threads.into(), out);
            wire::number(14, self.leaks.respawns.into(), out);
            wire::number(15, self.leaks.forks_per_second.into(), out);
            wire::number(16, self.leaks.orphans.into(), out);
        });
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        let mut config = Self::default();
        for field in Fields::of(value.bytes()?) {
            let (field, value) = field?;
            let Value::Number(number) = value else { continue };
            let time = std::time::Duration::from_nanos(number);
            // A file must not choose how much memory is used.
            let count = usize::try_from(number.min(1 << 20)).unwrap_or_default();
            let limit = u32::try_from(number).unwrap_or(u32::MAX);
            match field {
                1 => config.zombie_after = time,
                2 => config.blocked_after = time,
                3 => config.exit_stuck_after = time,
                4 => config.exec_args = number != 0,
                5 => config.tombstone = time,
                6 => config.tombstones = count,
                7 => config.release_within = time,
                8 => config.dead_lives = count,
                9 => config.dead_lives_age = time,
                10 => config.reports_lives = number != 0,
                11 => config.dead_after = time,
                12 => config.leaks.window = time,
                13 => config.leaks.threads = limit,
                14 => config.leaks.respawns = limit,
                15 => config.leaks.forks_per_second = limit,
                16 => config.leaks.orphans = number != 0,
                _ => {}
            }
        }
        Ok(config)
    }
}

/// A cgroup's paths. Unit, container and pod are parsed from them again.
impl Plain for Place {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        wire::nested(field, out, |out| {
            self.path.put(1, out);
            if let Some(path) = &self.controller_path {
                path.put(2, out);
            }
        });
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        let (mut path, mut controller) = (None, None);
        for field in Fields::of(value.bytes()?) {
            match field? {
                (1, value) => path = Some(String::get(value)?),
                (2, value) => controller = Some(String::get(value)?),
                _ => {}
            }
        }
        let place = Self::of(&path.ok_or(Malformed::Missing("path"))?);
        Ok(controller.map_or_else(|| place.clone(), |path| place.joined(&Self::of(&path))))
    }
}

/// Writes a record, whose time is stored as the difference to `base`, the time of the record before it.
pub(super) fn put_record(record: &Record, base: Ktime, out: &mut Vec<u8>) {
    wire::number(1, wire::zigzag(record.at.0.wrapping_sub(base.0).cast_signed()), out);
    if record.cpu != 0 {
        record.cpu.put(2, out);
    }
    match &record.fact {
        Fact::New(it) => it.put(3, out),
        Fact::CloneFailed(it) => it.put(4, out),
        Fact::Exec(it) => it.put(5, out),
        Fact::ExecArgs(it) => it.put(6, out),
        Fact::Renamed(it) => it.put(7, out),
        Fact::Exiting(it) => it.put(8, out),
        Fact::Exited(it) => it.put(9, out),
        Fact::Reparented(it) => it.put(10, out),
        Fact::Released(it) => it.put(11, out),
        Fact::Snapshot(it) => it.put(12, out),
        Fact::CgroupAttached(it) => it.put(13, out),
        Fact::Signal(it) => it.put(14, out),
        Fact::OomVictim(it) => it.put(15, out),
        Fact::CgroupChanged(it) => it.put(16, out),
    }
}

/// Reads a record that [`put_record`] wrote.
pub(super) fn get_record(bytes: &[u8], base: Ktime) -> Result<Record, Malformed> {
    let (mut at, mut cpu, mut fact) = (None, 0, None);
    for field in Fields::of(bytes) {
        let (number, value) = field?;
        match number {
            1 => at = Some(Ktime(base.0.wrapping_add(wire::unzigzag(value.number()?).cast_unsigned()))),
            2 => cpu = u16::get(value)?,
            3 => fact = Some(Fact::New(Plain::get(value)?)),
            4 => fact = Some(Fact::CloneFailed(Plain::get(value)?)),
            5 => fact = Some(Fact::Exec(Plain::get(value)?)),
            6 => fact = Some(Fact::ExecArgs(Plain::get(value)?)),
            7 => fact = Some(Fact::Renamed(Plain::get(value)?)),
            8 => fact = Some(Fact::Exiting(Plain::get(value)?)),
            9 => fact = Some(Fact::Exited(Plain::get(value)?)),
            10 => fact = Some(Fact::Reparented(Plain::get(value)?)),
            11 => fact = Some(Fact::Released(Plain::get(value)?)),
            12 => fact = Some(Fact::Snapshot(Plain::get(value)?)),
            13 => fact = Some(Fact::CgroupAttached(Plain::get(value)?)),
            14 => fact = Some(Fact::Signal(Plain::get(value)?)),
            15 => fact = Some(Fact::OomVictim(Plain::get(value)?)),
            16 => fact = Some(Fact::CgroupChanged(Plain::get(value)?)),
            _ => {}
        }
    }
    let (at, fact) = (at.ok_or(Malformed::Missing("at"))?, fact.ok_or(Malformed::Missing("fact"))?);
    Ok(Record { at, cpu, fact })
}
