//! Tasks in uninterruptible sleep, from the table that the program on `sched_switch` writes. Finding them takes no walk over all
//! tasks: only the tasks in the table are read, by their addresses.

use std::{
    io,
    os::fd::AsFd as _,
    sync::atomic::{AtomicU64, Ordering},
};

use aya::{
    Ebpf, RawTracePointRunOptions, TestRun as _,
    maps::Map,
    programs::{ProgramError, RawTracePoint},
};
use probe_common::{
    ABSENT, Offsets, SLEEPER_SLOTS, SLEEPER_TAG, SLEEPERS_READ, Sleeper, Wire as _, task_state,
};
use thiserror::Error;

use crate::kernel::{clock::boottime, decode, figures::doing, mapped::Mapping};
use crate::lineage::{figures::TaskFigures, id::Ktime, record::TaskUsage};

const TABLE: &str = "SLEEPERS";
const READING: &str = "SLEEPERS_READING";
const PROGRAM: &str = "read_sleepers";

/// Numbers of one task in the map [`READING`].
const WORDS: usize = Sleeper::SIZE / size_of::<u64>();

/// Why the table cannot be used.
#[derive(Debug, Error)]
pub enum SleepersError {
    /// The object has no such map.
    #[error("the eBPF object has no map {0}")]
    NoMap(&'static str),
    /// The object has no such program.
    #[error("the eBPF object has no program {PROGRAM}")]
    NoProgram,
    /// The kernel refused to map a map.
    #[error("mapping the map {0}: {1}")]
    Map(&'static str, io::Error),
    /// The kernel refused to load or run the program.
    #[error("the program {PROGRAM}: {0}")]
    Program(#[from] ProgramError),
    /// This kernel lacks a field.
    #[error("the kernel's types do not say where a task's state and its context switches are")]
    NoField,
}

/// The table, and the program that reads its tasks.
#[derive(Debug)]
pub struct Sleepers {
    table: Mapping,
    reading: Mapping,
}

impl Sleepers {
    /// Maps the table, loads the program and runs it once, on no task: not every kernel runs a program on request.
    pub fn take(ebpf: &mut Ebpf, offsets: &Offsets) -> Result<Self, SleepersError> {
        let needed = [offsets.task_state, offsets.task_nvcsw, offsets.task_nivcsw];
        if needed.contains(&ABSENT) {
            return Err(SleepersError::NoField);
        }
        let map = |name, count| {
            let Some(Map::Array(map)) = ebpf.map(name) else { return Err(SleepersError::NoMap(name)) };
            Mapping::writable(map.fd().as_fd(), count * size_of::<u64>())
                .map_err(|error| SleepersError::Map(name, error))
        };
        let table = map(TABLE, SLEEPER_SLOTS as usize + 1)?;
        let reading = map(READING, SLEEPERS_READ as usize * WORDS)?;
        let program = ebpf.program_mut(PROGRAM).ok_or(SleepersError::NoProgram)?;
        let program = <&mut RawTracePoint>::try_from(program)?;
        program.load()?;
        program.test_run(RawTracePointRunOptions::new())?;
        Ok(Self { table, reading })
    }

    /// Reads the tasks of the table that are in uninterruptible sleep now, and removes the others. `None` if a task may be missing:
    /// two tasks had one slot.
    pub fn read(&self, ebpf: &Ebpf) -> Result<Option<Vec<TaskFigures>>, SleepersError> {
        let program = ebpf.program(PROGRAM).ok_or(SleepersError::NoProgram)?;
        let program = <&RawTracePoint>::try_from(program)?;
        let words = self.table.words();
        let (slots, behind) = words.split_at_checked(SLEEPER_SLOTS as usize).unwrap_or((words, &[]));
        if behind.iter().any(|word| word.swap(0, Ordering::Relaxed) != 0) {
            return Ok(None);
        }
        let mut asleep = Vec::new();
        let mut taken = Vec::with_capacity(SLEEPERS_READ as usize);
        for slot in slots {
            let value = slot.load(Ordering::Acquire);
            if value != 0 {
                taken.push((slot, value));
            }
            if taken.len() == SLEEPERS_READ as usize {
                self.read_taken(program, &mut taken, &mut asleep)?;
            }
        }
        self.read_taken(program, &mut taken, &mut asleep)?;
        Ok(Some(asleep))
    }

    /// Reads tasks by their slots. Clears the slot of a task that is not asleep, unless the task has fallen asleep again in the
    /// meantime: the slot then has another value.
    fn read_taken(
        &self,
        program: &RawTracePoint,
        taken: &mut Vec<(&AtomicU64, u64)>,
        asleep: &mut Vec<TaskFigures>,
    ) -> Result<(), SleepersError> {
        let words = self.reading.words();
        let addresses = taken.iter().map(|(_, value)| value & !SLEEPER_TAG).chain([0]);
        for (place, address) in words.iter().step_by(WORDS).zip(addresses) {
            place.store(address, Ordering::Relaxed);
        }
        if taken.is_empty() {
            return Ok(());
        }
        // The program runs after this time, so what it reads is not older.
        let at = boottime();
        program.test_run(RawTracePointRunOptions::new())?;
        for (read, (slot, value)) in words.chunks_exact(WORDS).zip(taken.drain(..)) {
            let mut bytes = [0; Sleeper::SIZE];
            for (bytes, word) in bytes.chunks_exact_mut(size_of::<u64>()).zip(read) {
                bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
            }
            let found = Sleeper::read(&bytes).and_then(|sleeper| figures(&sleeper, at));
            if let Some(figures) = found {
                asleep.push(figures);
            } else {
                let _ = slot.compare_exchange(value, 0, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// Returns what a task of the table is doing; `None` if the task is not in uninterruptible sleep, or if its memory is no longer a
/// task.
fn figures(read: &Sleeper, at: Ktime) -> Option<TaskFigures> {
    let is_there = read.task.tid != u32::MAX && read.exit_state == 0 && task_state::is_blocked(read.state);
    is_there.then(|| TaskFigures {
        task: decode::task(read.task),
        at,
        name: None,
        doing: doing(read.state, read.exit_state, None),
        flags: read.task_flags,
        policy: None,
        prio: None,
        nice: None,
        rt_priority: None,
        cpu: None,
        usage: Some(TaskUsage { nvcsw: read.switches, ..TaskUsage::default() }),
    })
}

#[cfg(test)]
mod tests {
    use probe_common::TaskId;

    use super::*;

    #[test]
    fn only_a_task_that_sleeps_uninterruptibly_is_found() {
        let task = TaskId { tid: 7, tgid: 7, start_ns: 9 };
        let read = |state, exit_state, task| {
            let sleeper =
                Sleeper { address: 64, task, switches: 3, state, exit_state, task_flags: 0, pad: 0 };
            figures(&sleeper, Ktime(5)).map(|figures| (figures.doing.letter(), figures.usage.unwrap().nvcsw))
        };
        assert_eq!(read(2, 0, task), Some(('D', 3)));
        assert_eq!(read(0x102, 0, task), Some(('D', 3)));
        assert_eq!(read(1, 0, task), None, "any signal wakes it");
        assert_eq!(read(0x402, 0, task), None, "an idle kernel thread");
        assert_eq!(read(2, 0x20, task), None, "dead");
        assert_eq!(read(2, 0, TaskId { tid: u32::MAX, ..task }), None, "not readable");
    }
}
