//! SHELL: everything that talks to the running kernel about tasks, except /proc; one file for each interface of the kernel.
//!
//! - Loading: `object`, `fields` and `btf` (offsets of members), `hooks` and `ladder` (what to attach), `links`
//! - Records: `observer` reads the ring, `decode` decodes the bytes
//! - Tasks, by the kernel's iterator: `snapshot`, `figures`
//! - Scheduler: `sched`, `sched_trace`
//! - Counters: `counters`, `program_stats`
//! - This host and process: `survey`, `privilege`, `address_space`, `memory`, `clock`

mod address_space;
pub mod btf;
pub mod clock;
pub mod counters;
pub mod decode;
pub mod fields;
pub mod figures;
mod group_iterator;
pub mod hooks;
pub mod ladder;
pub mod links;
mod mapped;
pub mod memory;
pub mod object;
pub mod observer;
pub mod privilege;
pub mod program_stats;
mod ring;
pub mod sched;
pub mod sched_trace;
pub mod sleepers;
pub mod snapshot;
pub mod survey;
pub mod wake_ups;
