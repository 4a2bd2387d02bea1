//! The wire format between taskscope's eBPF programs and its daemon.
//!
//! Everything that crosses the ring buffer, the counters map or the programs' read-only globals is defined here, once, for
//! both sides: integers only, no implicit padding, sizes asserted at compile time. Numbers are in host byte order: both
//! sides run on one machine.
#![no_std]
#![forbid(unsafe_code)]

mod cgroup_changed;
mod cgroup_pair;
mod counters;
mod figures;
mod kind;
mod offsets;
mod record;
mod sched;
mod signal;
mod sleepers;
pub mod task_state;
mod valid;
mod wire;

pub use cgroup_changed::{
    CGROUP_EMPTIED, CGROUP_LIFE_NAME_LEN, CGROUP_MADE, CGROUP_POPULATED, CGROUP_REMOVED, CgroupChanged,
};
pub use cgroup_pair::CgroupPair;
pub use counters::{Counters, Lost};
pub use figures::{Figures, WANT_ALL, WANT_BLOCKED};
pub use kind::{ExitSource, Kind, ReleaseSource};
pub use offsets::{ABSENT, NEVER_SHED, Offsets, Settings};
pub use record::{
    ARGS_LEN, COMM_LEN, CgroupAttached, CloneFailed, Exec, ExecArgs, Exited, Exiting, Header, PATH_LEN,
    Released, Renamed, Reparented, SECCOMP_UNREAD, Snapshot, TaskId, TaskNew, Usage, Where,
};
pub use sched::{
    OffCpu, SCHED_BUCKETS, SchedEvent, SchedHistogram, SchedHistograms, SchedKind, SchedLosses, SchedLost,
    SchedTraceLosses, SchedValid, sched_bucket,
};
pub use signal::{
    CGROUP_NAME_LEN, INFO_NONE, INFO_PRIV, INFO_REAL, LIMIT_CPU, LIMIT_DEADLINE, LIMIT_READ, LIMIT_RTTIME,
    NO_LOGIN_UID, OOM_CGROUP, OOM_CGROUP_BY_USAGE, OOM_HOST, OOM_HOST_BY_USAGE, OOM_UNKNOWN, OomVictim,
    SIGNALS_DEFAULT, SignalSent, TERMINAL_LEN, signal_bit,
};
pub use sleepers::{SLEEPER_SLOTS, SLEEPER_TAG, SLEEPERS_READ, Sleeper};
pub use valid::Valid;
#[cfg(feature = "codec")]
pub use wire::Wire;

/// Version of the wire format. The object has it in the global [`ABI_SYMBOL`]; the daemon refuses an object with another version.
pub const ABI_VERSION: u32 = 8;

/// Name of the global in the eBPF object that holds [`ABI_VERSION`].
pub const ABI_SYMBOL: &str = "TASKSCOPE_ABI_VERSION";
