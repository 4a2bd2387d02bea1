//! Decodes wire bytes into the lineage's records. It never panics: any bytes give a record or an error.

mod scopes;
mod signals;

use probe_common as wire;
use probe_common::{Header, Kind, TaskId, Valid, Wire};
use thiserror::Error;

use crate::lineage::{
    id::{Ktime, TaskKey, TaskRef, Tgid, Tid},
    record::{
        CgroupAttached, CloneFailed, Comm, Exec, ExecArgs, ExitParts, ExitSource, Exited, Exiting, Fact,
        GroupExit, Namespaced, New, Record, ReleaseSource, Released, Renamed, Reparented, Snapshot,
        SnapshotSource, TaskPlace, TaskUsage,
    },
};

/// `SIGNAL_GROUP_EXIT`: <https://elixir.bootlin.com/linux/v6.18/source/include/linux/sched/signal.h>.
const SIGNAL_GROUP_EXIT: u32 = 0x4;

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Shorter than a header.
    #[error("a record of {0} bytes is shorter than its header")]
    NoHeader(usize),
    /// A kind that this version does not know.
    #[error("a record has the unknown kind {0}")]
    UnknownKind(u16),
    /// The record's length is not the length of its kind.
    #[error("a record of kind {kind} is {found} bytes long, not {wanted}")]
    Length {
        /// Its kind.
        kind: &'static str,
        /// Bytes there are.
        found: usize,
        /// Bytes there should be.
        wanted: usize,
    },
    /// A field holds a value that is out of its range.
    #[error("a record of kind {kind} has {value} in {field}")]
    Value {
        /// Its kind.
        kind: &'static str,
        /// The field.
        field: &'static str,
        /// The value.
        value: u32,
    },
}

/// Decodes one record.
pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
    decode_with(bytes, |record| record)
}

/// Decodes one record and passes it to `take`. Each kind has its own call of `take`, so that the compiler can write the record
/// directly to its destination: with one call after the `match`, every record would be copied once more.
pub(crate) fn decode_with<T>(bytes: &[u8], take: impl FnOnce(Record) -> T) -> Result<T, DecodeError> {
    let header = Header::read(bytes).ok_or(DecodeError::NoHeader(bytes.len()))?;
    let kind = Kind::from_wire(header.kind).ok_or(DecodeError::UnknownKind(header.kind))?;
    // The ring returns multiples of eight bytes; the header has the true length.
    if header.len as usize != kind.size() || bytes.len() < kind.size() {
        let found = bytes.len().min(header.len as usize);
        return Err(DecodeError::Length { kind: kind.name(), found, wanted: kind.size() });
    }
    let take = |fact| take(Record { at: Ktime(header.boottime_ns), cpu: header.cpu, fact });
    Ok(match kind {
        Kind::TaskNew => take(Fact::New(new(&read(kind, bytes)?))),
        Kind::CloneFailed => take(Fact::CloneFailed(clone_failed(&read(kind, bytes)?))),
        Kind::Exec => take(Fact::Exec(Box::new(exec(&read(kind, bytes)?)))),
        Kind::ExecArgs => take(Fact::ExecArgs(Box::new(exec_args(&read(kind, bytes)?)))),
        Kind::Renamed => take(Fact::Renamed(renamed(&read(kind, bytes)?))),
        Kind::Exiting => take(Fact::Exiting(exiting(&read(kind, bytes)?))),
        Kind::Exited => take(Fact::Exited(exited(&read(kind, bytes)?)?)),
        Kind::Reparented => take(Fact::Reparented(reparented(&read(kind, bytes)?))),
        Kind::Released => take(Fact::Released(released(&read(kind, bytes)?)?)),
        Kind::Snapshot => take(Fact::Snapshot(Box::new(snapshot(&read(kind, bytes)?)))),
        Kind::CgroupAttached => take(Fact::CgroupAttached(cgroup_attached(&read(kind, bytes)?))),
        Kind::SignalSent => take(Fact::Signal(Box::new(signals::sent(&read(kind, bytes)?)?))),
        Kind::CgroupChanged => take(Fact::CgroupChanged(Box::new(scopes::changed(&read(kind, bytes)?)?))),
        Kind::OomVictim => take(Fact::OomVictim(Box::new(signals::oom_victim(&read(kind, bytes)?)?))),
    })
}

/// Reads a record of a fixed length. The compiler knows the length of the slice, so it leaves out the bounds check of each field.
fn read<T: Wire>(kind: Kind, bytes: &[u8]) -> Result<T, DecodeError> {
    bytes.get(..T::SIZE).and_then(T::read).ok_or(DecodeError::Length {
        kind: kind.name(),
        found: bytes.len(),
        wanted: T::SIZE,
    })
}

/// Returns `value` if the validity bit `bit` is set.
fn known<T>(valid: u32, bit: u32, value: T) -> Option<T> {
    (valid & bit != 0).then_some(value)
}

pub(in crate::kernel) fn task(id: TaskId) -> TaskRef {
    TaskRef { key: TaskKey { tid: Tid(id.tid), start: Ktime(id.start_ns) }, tgid: Tgid(id.tgid) }
}

fn place(valid: u32, from: &wire::Where) -> TaskPlace {
    TaskPlace {
        cgroup_id: known(valid, Valid::CGROUP, from.cgroup_id),
        namespace: known(
            valid,
            Valid::NAMESPACE,
            Namespaced {
                vtid: from.vtid,
                vtgid: known(valid, Valid::VTGID, from.vtgid),
                inode: from.pid_ns,
                level: from.ns_level,
            },
        ),
        credentials: known(valid, Valid::CREDENTIALS, (from.uid, from.euid)),
    }
}

fn exit_parts(valid: u32, exit_code: i32, code: i32, signal_flags: u32) -> ExitParts {
    ExitParts {
        exit_code: known(valid, Valid::EXIT_CODE, exit_code),
        group: known(
            valid,
            Valid::GROUP_EXIT,
            GroupExit { code, by_group: signal_flags & SIGNAL_GROUP_EXIT != 0 },
        ),
    }
}

#[expect(clippy::option_option, reason = "unknown, not traced, traced by: the type of the record's field")]
fn tracer(valid: u32, id: TaskId) -> Option<Option<TaskRef>> {
    known(valid, Valid::PTRACE, known(valid, Valid::TRACER, task(id)))
}

pub(in crate::kernel) fn usage(from: &wire::Usage) -> TaskUsage {
    TaskUsage {
        exec_runtime_ns: from.exec_runtime_ns,
        run_delay_ns: from.run_delay_ns,
        run_count: from.run_count,
        utime_ns: from.utime_ns,
        stime_ns: from.stime_ns,
        nvcsw: from.nvcsw,
        nivcsw: from.nivcsw,
        min_flt: from.min_flt,
        maj_flt: from.maj_flt,
    }
}

/// A start time of zero means the idle task, or a start time that could not be read. Neither identifies the leader of a live
/// group.
fn leader_start(start_ns: u64) -> Option<Ktime> {
    (start_ns != 0).then_some(Ktime(start_ns))
}

fn new(from: &wire::TaskNew) -> New {
    let valid = from.valid;
    New {
        task: task(from.task),
        leader_start: leader_start(from.leader_start_ns),
        creator: known(valid, Valid::ACTOR, task(from.creator)),
        parent: known(valid, Valid::PARENT, task(from.parent)),
        clone_flags: known(valid, Valid::CLONE_FLAGS, from.clone_flags),
        exit_signal: known(valid, Valid::EXIT_SIGNAL, from.exit_signal),
        task_flags: known(valid, Valid::TASK_FLAGS, from.task_flags),
        place: place(valid, &from.place),
        comm: known(valid, Valid::COMM, Comm::of_kernel(from.comm)),
    }
}

fn cgroup_attached(from: &wire::CgroupAttached) -> CgroupAttached {
    CgroupAttached { task: task(from.task), cgroup_id: known(from.valid, Valid::CGROUP, from.cgroup_id) }
}

fn clone_failed(from: &wire::CloneFailed) -> CloneFailed {
    CloneFailed {
        creator: known(from.valid, Valid::ACTOR, task(from.creator)),
        clone_flags: known(from.valid, Valid::CLONE_FLAGS, from.clone_flags),
        exit_signal: known(from.valid, Valid::EXIT_SIGNAL, from.exit_signal),
        errno: from.errno,
        refused_by: None,
    }
}

fn exec(from: &wire::Exec) -> Exec {
    let valid = from.valid;
    let path = known(valid, Valid::PATH, prefix(&from.path, from.path_len.into()).to_vec());
    let path_cut = path.as_ref().is_some_and(|p| p.len() + 1 >= wire::PATH_LEN);
    let mut executable =
        known(valid, Valid::EXECUTABLE, turn_round(prefix(&from.executable, from.executable_len.into())));
    if let Some(executable) = &mut executable {
        // A path that was cut does not begin at the root.
        if valid & Valid::TRUNCATED != 0 {
            executable.splice(..0, *b"...");
        }
        // /proc/PID/exe marks the path of a deleted file in the same way, also the path of a memfd.
        if valid & Valid::DELETED != 0 {
            executable.extend_from_slice(b" (deleted)");
        }
    }
    Exec {
        task: task(from.task),
        old_tid: (from.old_tid != from.task.tid && from.old_tid != 0).then_some(Tid(from.old_tid)),
        place: place(valid, &from.place),
        task_flags: known(valid, Valid::TASK_FLAGS, from.task_flags),
        exit_signal: known(valid, Valid::EXIT_SIGNAL, from.exit_signal),
        comm: known(valid, Valid::COMM, Comm::of_kernel(from.comm)),
        path,
        executable,
        truncated: path_cut || valid & Valid::TRUNCATED != 0,
    }
}

/// Returns at most `len` bytes of a buffer; a `len` beyond the buffer is cut.
fn prefix(buffer: &[u8], len: usize) -> &[u8] {
    buffer.get(..len).unwrap_or(buffer)
}

/// `b"sh\0bin\0usr\0"` to `b"/usr/bin/sh"`: the kernel side walks from the leaf to the root.
fn turn_round(names: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(names.len() + 1);
    for name in names.strip_suffix(&[0]).unwrap_or(names).rsplit(|&byte| byte == 0) {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    path
}

fn exec_args(from: &wire::ExecArgs) -> ExecArgs {
    let bytes = prefix(&from.args, from.len as usize);
    let args = if bytes.is_empty() {
        Vec::new()
    } else {
        bytes.strip_suffix(&[0]).unwrap_or(bytes).split(|&byte| byte == 0).map(<[u8]>::to_vec).collect()
    };
    ExecArgs { task: task(from.task), args, truncated: from.valid & Valid::TRUNCATED != 0 }
}

fn renamed(from: &wire::Renamed) -> Renamed {
    Renamed { task: task(from.task), old: Comm::of_kernel(from.old), new: Comm::of_kernel(from.new) }
}

fn exiting(from: &wire::Exiting) -> Exiting {
    let valid = from.valid;
    Exiting {
        task: task(from.task),
        exit: exit_parts(valid, from.exit_code, from.group_exit_code, from.signal_flags),
        task_flags: known(valid, Valid::TASK_FLAGS, from.task_flags),
        nr_threads: known(valid, Valid::NR_THREADS, from.nr_threads),
        exit_signal: known(valid, Valid::EXIT_SIGNAL, from.exit_signal),
        has_children: Some(valid & Valid::HAS_CHILDREN != 0),
        tracer: known(valid, Valid::PTRACE, tracer_group(valid, from.tracer_tgid)),
        seccomp_mode: (from.seccomp_mode != wire::SECCOMP_UNREAD).then_some(from.seccomp_mode),
        parent_ignores_sigchld: known(valid, Valid::PARENT_SIGCHLD, valid & Valid::PARENT_IGNORES != 0),
    }
}

/// Returns the thread group of a tracer, if the task was traced.
fn tracer_group(valid: u32, tgid: u32) -> Option<Tgid> {
    known(valid, Valid::TRACER, Tgid(tgid)).filter(|tracer| tracer.0 != 0)
}

fn exited(from: &wire::Exited) -> Result<Exited, DecodeError> {
    let valid = from.valid;
    let source = match wire::ExitSource::from_wire(from.source) {
        Some(wire::ExitSource::ExitNotify) => ExitSource::ExitNotify,
        Some(wire::ExitSource::ProcExitConnector) => ExitSource::ProcExitConnector,
        Some(wire::ExitSource::DoTaskDead) => ExitSource::DoTaskDead,
        Some(wire::ExitSource::FinalSwitch) => ExitSource::FinalSwitch,
        None => return Err(DecodeError::Value { kind: "exited", field: "source", value: from.source }),
    };
    Ok(Exited {
        task: task(from.task),
        source,
        exit_state: known(valid, Valid::EXIT_STATE, from.exit_state),
        exit: exit_parts(valid, from.exit_code, from.group_exit_code, from.signal_flags),
        exit_signal: known(valid, Valid::EXIT_SIGNAL, from.exit_signal),
        task_flags: known(valid, Valid::TASK_FLAGS, from.task_flags),
        nr_threads: known(valid, Valid::NR_THREADS, from.nr_threads),
        parent: known(valid, Valid::PARENT, task(from.parent)),
        tracer: tracer(valid, from.tracer),
        new_reaper: known(valid, Valid::NEW_REAPER, task(from.new_reaper)),
        usage: known(valid, Valid::USAGE, usage(&from.usage)),
    })
}

fn reparented(from: &wire::Reparented) -> Reparented {
    Reparented {
        child: task(from.child),
        old_parent: known(from.valid, Valid::ACTOR, task(from.old_parent)),
        new_parent: task(from.new_parent),
        exit_signal: known(from.valid, Valid::EXIT_SIGNAL, from.exit_signal),
    }
}

fn released(from: &wire::Released) -> Result<Released, DecodeError> {
    let valid = from.valid;
    let source = match wire::ReleaseSource::from_wire(from.source) {
        Some(wire::ReleaseSource::Entry) => ReleaseSource::Entry,
        Some(wire::ReleaseSource::SecondTurn) => ReleaseSource::SecondTurn,
        Some(wire::ReleaseSource::Free) => ReleaseSource::Free,
        None => return Err(DecodeError::Value { kind: "released", field: "source", value: from.source }),
    };
    Ok(Released {
        task: task(from.task),
        source,
        by: known(valid, Valid::ACTOR, task(from.by)),
        parent: known(valid, Valid::PARENT, task(from.parent)),
        tracer: tracer(valid, from.tracer),
        exit_state: known(valid, Valid::EXIT_STATE, from.exit_state),
        exit: exit_parts(valid, from.exit_code, from.group_exit_code, from.signal_flags),
        exit_signal: known(valid, Valid::EXIT_SIGNAL, from.exit_signal),
        task_flags: known(valid, Valid::TASK_FLAGS, from.task_flags),
        de_thread: valid & Valid::DE_THREAD != 0,
    })
}

fn snapshot(from: &wire::Snapshot) -> Snapshot {
    let valid = from.valid;
    Snapshot {
        task: task(from.task),
        leader_start: leader_start(from.leader_start_ns),
        source: SnapshotSource::Iterator,
        parent: known(valid, Valid::PARENT, task(from.parent)),
        tracer: tracer(valid, from.tracer),
        exit_state: known(valid, Valid::EXIT_STATE, from.exit_state),
        exit: exit_parts(valid, from.exit_code, from.group_exit_code, from.signal_flags),
        exit_signal: known(valid, Valid::EXIT_SIGNAL, from.exit_signal),
        task_flags: known(valid, Valid::TASK_FLAGS, from.task_flags),
        nr_threads: known(valid, Valid::NR_THREADS, from.nr_threads),
        state: known(valid, Valid::STATE, from.state),
        place: place(valid, &from.place),
        comm: known(valid, Valid::COMM, Comm::of_kernel(from.comm)),
        usage: known(valid, Valid::USAGE, usage(&from.usage)),
    }
}
