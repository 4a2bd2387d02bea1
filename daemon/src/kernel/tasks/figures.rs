//! What tasks are doing now, read by the kernel's task iterator: their figures, and the kernel functions in which they sleep.

use std::{collections::HashMap, fs::File, io::Read as _};

use aya::{
    Btf, Ebpf,
    maps::{Array, MapError},
    programs::Iter,
};
use probe_common::{Valid, WANT_ALL, WANT_BLOCKED, Wire as _, task_state};
use thiserror::Error;

use super::iterator_file::IteratorFile;
use crate::failpoint::{self, Point};
use crate::kernel::{
    decode::{task, usage},
    snapshot::{self, SnapshotError},
};
use crate::lineage::{
    figures::{Doing, TaskFigures},
    flags::{EXIT_DEAD, EXIT_ZOMBIE},
    id::{Ktime, TaskKey, Tgid, Tid},
    record::Comm,
};

const NUMBERS: &str = "task_figures";
const STACKS: &str = "task_stacks";
const WANTED: &str = "WANTED";

/// The tasks to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Every one.
    All,
    /// Those of one thread group.
    Group(Tgid),
    /// Those in uninterruptible sleep.
    Blocked,
}

/// Why the state of tasks cannot be read.
#[derive(Debug, Error)]
pub enum FiguresError {
    /// The iterator fails.
    #[error(transparent)]
    Iterator(#[from] SnapshotError),
    /// The object has no such map.
    #[error("the eBPF object has no map {WANTED}")]
    NoMap,
    /// The kernel refused the map.
    #[error("writing the map {WANTED}: {0}")]
    Map(#[from] MapError),
}

/// Loads both programs. The stacks need the second one; everything else works without it.
pub fn prepare(ebpf: &mut Ebpf, btf: &Btf) -> Result<(), SnapshotError> {
    for name in [NUMBERS, STACKS] {
        let program: &mut Iter = ebpf.program_mut(name).ok_or(SnapshotError::NoProgram(name))?.try_into()?;
        program.load("task", btf)?;
    }
    Ok(())
}

/// Reads what the wanted tasks are doing: one walk over all tasks, or over those of the group.
pub fn read(ebpf: &mut Ebpf, want: Want) -> Result<Vec<TaskFigures>, FiguresError> {
    // Decoded piece by piece: with 100,000 tasks, the pages of a buffer for all bytes would take a third of the time.
    let mut file = IteratorFile::new(open(ebpf, NUMBERS, want)?)?;
    let mut all = Vec::new();
    let mut take = |record: &[u8]| all.extend(probe_common::Figures::read(record).map(|read| decode(&read)));
    while file.next::<{ probe_common::Figures::SIZE }>(&mut take)? > 0 {}
    Ok(all)
}

/// Reads the kernel stacks of the wanted tasks, the innermost function first.
pub fn stacks(ebpf: &mut Ebpf, want: Want) -> Result<HashMap<TaskKey, Vec<String>>, FiguresError> {
    let mut bytes = Vec::new();
    let mut file = open(ebpf, STACKS, want)?;
    failpoint::check(Point::IteratorRead).map_err(SnapshotError::Read)?;
    // The buffer grows with what the kernel writes; a failed allocation is an error of reading.
    file.read_to_end(&mut bytes).map_err(SnapshotError::Read)?;
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

/// Opens an iterator file: reading it walks over the wanted tasks.
fn open(ebpf: &mut Ebpf, program: &'static str, want: Want) -> Result<File, FiguresError> {
    let wanted = match want {
        Want::All => WANT_ALL,
        Want::Blocked => WANT_BLOCKED,
        Want::Group(tgid) => u64::from(tgid.0),
    };
    failpoint::check(Point::MapWanted).map_err(MapError::from)?;
    let map = ebpf.map_mut(WANTED).ok_or(FiguresError::NoMap)?;
    Array::<_, u64>::try_from(map)?.set(0, wanted, 0)?;
    let group = match want {
        Want::Group(group) => Some(group),
        Want::All | Want::Blocked => None,
    };
    Ok(snapshot::file(ebpf, program, group)?)
}

/// Parses a line `# tid start` for each task, followed by a line for each stack frame.
fn parse(text: &str) -> HashMap<TaskKey, Vec<String>> {
    let mut stacks: HashMap<TaskKey, Vec<String>> = HashMap::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# ") {
            current = head.split_once(' ').and_then(|(tid, start)| {
                Some(TaskKey { tid: Tid(tid.parse().ok()?), start: Ktime(start.parse().ok()?) })
            });
            if let Some(key) = current {
                stacks.insert(key, Vec::new());
            }
        } else if let Some(stack) = current.and_then(|key| stacks.get_mut(&key)) {
            stack.push(line.to_owned());
        }
    }
    stacks
}

fn decode(from: &probe_common::Figures) -> TaskFigures {
    let known = |bit: u32| from.valid_sched & (1 << bit) != 0;
    let on_cpu = known(5).then_some(from.on_cpu != 0);
    TaskFigures {
        task: task(from.task),
        at: Ktime(from.boottime_ns),
        name: (from.valid & Valid::COMM != 0).then_some(Comm(from.comm)),
        doing: doing(from.state, from.exit_state, on_cpu),
        flags: from.task_flags,
        policy: known(0).then_some(from.policy),
        prio: known(1).then_some(from.prio),
        nice: known(2).then_some(from.static_prio.saturating_sub(120)),
        rt_priority: known(3).then_some(from.rt_priority),
        cpu: known(4).then_some(from.cpu),
        usage: (from.valid & Valid::USAGE != 0).then(|| usage(&from.usage)),
    }
}

/// Returns a task's state as `__task_state_index()` computes it:
/// <https://elixir.bootlin.com/linux/v6.18/source/include/linux/sched.h>.
pub(in crate::kernel) fn doing(state: u32, exit_state: u32, on_cpu: Option<bool>) -> Doing {
    use task_state as bit;
    let has = |bits: u32| state & bits != 0;
    if exit_state & EXIT_ZOMBIE != 0 {
        Doing::Zombie
    } else if exit_state & EXIT_DEAD != 0 {
        Doing::Dead
    } else if has(bit::FROZEN) {
        Doing::Frozen
    } else if has(bit::RTLOCK_WAIT) {
        Doing::Uninterruptible
    } else if has(bit::PARKED) {
        Doing::Parked
    } else if has(bit::TRACED) {
        Doing::Traced
    } else if has(bit::STOPPED) {
        Doing::Stopped
    } else if has(bit::UNINTERRUPTIBLE) {
        match (has(bit::NOLOAD), has(bit::WAKEKILL)) {
            (true, _) => Doing::Idle,
            (false, true) => Doing::Killable,
            (false, false) => Doing::Uninterruptible,
        }
    } else if has(bit::INTERRUPTIBLE) {
        Doing::Sleeping
    } else {
        match on_cpu {
            Some(true) => Doing::Running,
            Some(false) => Doing::Ready,
            None => Doing::Runnable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_the_kernels() {
        for (state, exit_state, doing_is) in [
            (0, 0, Doing::Ready),
            (1, 0, Doing::Sleeping),
            (2, 0, Doing::Uninterruptible),
            (0x102, 0, Doing::Killable),
            (0x402, 0, Doing::Idle),
            (0x104, 0, Doing::Stopped),
            (0x108, 0, Doing::Traced),
            (0x40, 0, Doing::Parked),
            (0x1000, 0, Doing::Uninterruptible),
            (0x8000, 0, Doing::Frozen),
            (0x2102, 0, Doing::Killable),
            (0x80, 0x20, Doing::Zombie),
            (0x80, 0x10, Doing::Dead),
        ] {
            assert_eq!(doing(state, exit_state, Some(false)), doing_is, "{state:#x} {exit_state:#x}");
        }
        assert_eq!(doing(0, 0, Some(true)), Doing::Running);
        assert_eq!(doing(0, 0, None), Doing::Runnable);
    }

    #[test]
    fn stacks_are_read_by_task() {
        let stacks = parse("# 7 99\na+0x1/0x2\nb+0x3/0x4\n# 8 100\n");
        let key = |tid, start| TaskKey { tid: Tid(tid), start: Ktime(start) };
        assert_eq!(stacks[&key(7, 99)], ["a+0x1/0x2", "b+0x3/0x4"]);
        assert_eq!(stacks[&key(8, 100)], [""; 0]);
        assert!(parse("# x y\nz\n").is_empty());
    }
}
