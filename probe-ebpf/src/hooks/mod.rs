//! One file for each hook. A program's name is its hook's function and its rung.

mod cgroup_attach;
mod cgroup_life;
mod copy_process;
mod do_exit;
mod exec;
mod exit_notify;
mod figures;
mod iterator;
mod oom;
mod release_task;
mod rename;
mod reparent;
mod sched;
mod sched_switch;
mod sched_trace;
mod signal;
mod sleepers;
