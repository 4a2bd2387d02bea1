//! SHELL: everything that talks to the running kernel about tasks, except /proc; one file for each interface of the kernel.
//!
//! - `attach`: what is loaded and attached: `object`, `btf` and `fields` (offsets of members), `hooks`, `ladder`, `links`,
//!   `privilege`, `survey`, `program_stats`
//! - `records`: what the programs report: `observer` polls the `ring`, `decode` decodes the bytes, `counters`, `wake_ups`
//! - `tasks`: what is read on request: `snapshot` and `figures` by the kernel's iterator, `sched`, `sched_trace`, `sleepers`
//! - This host and process: `address_space`, `memory`, `clock`
//!
//! The three folders use each other, so their files are re-exported here.

mod address_space;
mod attach;
pub mod clock;
pub mod memory;
mod records;
mod tasks;

pub use attach::{btf, fields, hooks, ladder, links, object, privilege, program_stats, survey};
pub use records::{counters, decode, observer, wake_ups};
use records::{mapped, ring, window};
pub use tasks::{figures, sched, sched_trace, sleepers, snapshot};
