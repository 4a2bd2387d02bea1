//! Metrics about the daemon itself.
//!
//! - `hooks`: how each hook is attached; `trust`: losses, repairs and canaries; `memory`: what the daemon holds, and what it dropped
//! - `http`: connections and readers of events; `history`: lives on disk; `own_process`: CPU time, memory and descriptors

pub(super) mod history;
pub(super) mod hooks;
pub(super) mod http;
pub(super) mod memory;
pub(super) mod own_process;
pub(super) mod trust;
