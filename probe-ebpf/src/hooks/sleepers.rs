//! Reads the present state of the tasks that went to uninterruptible sleep. The program is attached to no hook: the daemon runs it
//! (`BPF_PROG_TEST_RUN`, for this type of program since 5.10).

use aya_ebpf::{
    macros::{map, raw_tracepoint},
    maps::Array,
    programs::RawTracePointContext,
};
use probe_common::{SLEEPERS_READ, Sleeper};

use crate::{kread::Probed, sleepers::MAPPED, task::Task};

/// The tasks to read, by their addresses, and what was read. There is one reader.
#[map]
static SLEEPERS_READING: Array<Sleeper> = Array::with_max_entries(SLEEPERS_READ, MAPPED);

#[raw_tracepoint(tracepoint = "sched_switch")]
pub fn read_sleepers(_: RawTracePointContext) -> i32 {
    for at in 0..SLEEPERS_READ {
        let Some(sleeper) = SLEEPERS_READING.get_ptr_mut(at) else { break };
        // SAFETY: the pointer is to a value of the map, which only this program writes while it runs.
        let sleeper = unsafe { &mut *sleeper };
        if sleeper.address == 0 {
            break;
        }
        // The task may be gone, and its memory may hold another: by helper any address can be read.
        let task = Task::<Probed>::new(sleeper.address as *const u8);
        sleeper.state = task.state().unwrap_or(0);
        sleeper.switches = task.switches().unwrap_or(0);
        sleeper.exit_state = task.exit_state().unwrap_or(0);
        sleeper.task_flags = task.flags().unwrap_or(0);
        sleeper.task = task.id().raw();
    }
    0
}
