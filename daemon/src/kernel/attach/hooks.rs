//! The hook table: which kernel functions are watched, and by which rungs, in the order they are tried.

use serde::Serialize;

/// A family of ways to attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// kprobe and kretprobe.
    Kprobe,
    /// fentry and fexit.
    Fentry,
    /// btf and raw tracepoints.
    Tracepoint,
}

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// kprobe on the rung's function.
    Kprobe,
    /// kretprobe on the rung's function.
    Kretprobe,
    /// fentry on the rung's function.
    Fentry,
    /// fexit on the rung's function.
    Fexit,
    /// btf tracepoint.
    BtfTracepoint,
    /// Raw tracepoint.
    RawTracepoint,
    /// Not attached: the program of another hook reports the facts of this hook.
    By(&'static str),
}

/// The hook of new tasks.
pub const COPY_PROCESS: &str = "copy_process";

/// The program on the return of `copy_process()`. When the kernel skips it, another program notices later.
pub const COPY_PROCESS_RETURN: &str = "copy_process_kretprobe";

/// The hook of signals.
pub const SIGNAL_GENERATE: &str = "signal_generate";

/// The hook of the process that the out-of-memory killer chooses.
pub const MARK_VICTIM: &str = "mark_victim";

/// The hook of the call that starts the out-of-memory killer.
pub const OUT_OF_MEMORY: &str = "out_of_memory";

/// The hook that reports when a cgroup gets its first task and when it loses its last.
pub const CGROUP_POPULATED: &str = "cgroup_notify_populated";

/// One way to watch a hook.
#[derive(Debug)]
pub struct Rung {
    /// Family, for `--attach`.
    pub family: Family,
    /// Kernel function or tracepoint.
    pub point: &'static str,
    /// The programs of the object and how each is attached; a rung is used with all of them or not at all. Return programs come
    /// before entry programs: an entry that is seen without its return would look like a return that the kernel missed.
    pub programs: &'static [(&'static str, Attach)],
    /// What this rung cannot report and a better rung of the hook can.
    pub lacks: Option<&'static str>,
}

/// One hook with its rungs, best first.
#[derive(Debug)]
pub struct Hook {
    /// The kernel function whose effect is watched.
    pub name: &'static str,
    /// Whether taskscope cannot run without it.
    pub required: bool,
    /// What is unknown without it.
    pub gives: &'static str,
    /// The rungs.
    pub rungs: &'static [Rung],
}

const fn rung(family: Family, point: &'static str, programs: &'static [(&'static str, Attach)]) -> Rung {
    Rung { family, point, programs, lacks: None }
}

const fn lacking(rung: &Rung, lacks: &'static str) -> Rung {
    Rung { family: rung.family, point: rung.point, programs: rung.programs, lacks: Some(lacks) }
}

use Attach::{BtfTracepoint, By, Fentry as FentryAt, Fexit, Kprobe as KprobeAt, Kretprobe, RawTracepoint};
use Family::{Fentry, Kprobe, Tracepoint};

const LATE: &str = "the task that released another; releases are reported an RCU grace period late";
const BY_USAGE: &str = "which memory limit was reached, for certain: it is assumed to be that of the innermost memory cgroup of the allocating \
                        task that is at its limit";
const NO_FAILURES: &str = "failed clones";
const SAMPLED: &str = "the new parent of each child: it is read from one child and assumed for its siblings";

/// Every hook, in the order in which they are attached. A hook for the end of a task's life is attached before the hooks for
/// earlier events, so that once one event of a task is reported, all its later events are. `release_task()` comes first: a task
/// whose final switch was reported but whose release was not would stay in the tree as a zombie.
pub const HOOKS: &[Hook] = &[
    Hook {
        name: "release_task",
        required: true,
        gives: "releases and reapers",
        rungs: &[
            rung(
                Kprobe,
                "release_task",
                &[("release_task_kretprobe", Kretprobe), ("release_task_kprobe", KprobeAt)],
            ),
            rung(Fentry, "release_task", &[("release_task_fexit", Fexit), ("release_task_fentry", FentryAt)]),
            lacking(
                &rung(Tracepoint, "sched_process_free", &[("sched_process_free_btf", BtfTracepoint)]),
                LATE,
            ),
            lacking(
                &rung(Tracepoint, "sched_process_free", &[("sched_process_free_raw", RawTracepoint)]),
                LATE,
            ),
        ],
    },
    Hook {
        name: "sched_switch",
        required: true,
        gives: "the final switch of a dead task",
        rungs: &[
            rung(Tracepoint, "sched_switch", &[("sched_switch_btf", BtfTracepoint)]),
            rung(Tracepoint, "sched_switch", &[("sched_switch_raw", RawTracepoint)]),
        ],
    },
    Hook {
        name: "exit_notify",
        required: true,
        gives: "zombies and exit status",
        rungs: &[
            rung(
                Kprobe,
                "exit_notify",
                &[("exit_notify_kretprobe", Kretprobe), ("exit_notify_kprobe", KprobeAt)],
            ),
            rung(Kprobe, "proc_exit_connector", &[("proc_exit_connector_kprobe", KprobeAt)]),
            rung(Kprobe, "do_task_dead", &[("do_task_dead_kprobe", KprobeAt)]),
            rung(Fentry, "exit_notify", &[("exit_notify_fexit", Fexit), ("exit_notify_fentry", FentryAt)]),
            rung(Fentry, "proc_exit_connector", &[("proc_exit_connector_fentry", FentryAt)]),
            rung(Fentry, "do_task_dead", &[("do_task_dead_fentry", FentryAt)]),
            rung(Tracepoint, "sched_switch", &[("", By("sched_switch"))]),
        ],
    },
    Hook {
        name: "forget_original_parent",
        required: false,
        gives: "each child that is reparented",
        rungs: &[
            rung(Kprobe, "kill_orphaned_pgrp", &[("kill_orphaned_pgrp_kprobe", KprobeAt)]),
            rung(Fentry, "kill_orphaned_pgrp", &[("kill_orphaned_pgrp_fentry", FentryAt)]),
            lacking(&rung(Tracepoint, "sched_switch", &[("", By("sched_switch"))]), SAMPLED),
        ],
    },
    Hook {
        name: "do_exit",
        required: true,
        gives: "beginning exits",
        rungs: &[
            rung(Kprobe, "do_exit", &[("do_exit_kprobe", KprobeAt)]),
            rung(Fentry, "do_exit", &[("do_exit_fentry", FentryAt)]),
            rung(Tracepoint, "sched_process_exit", &[("sched_process_exit_btf", BtfTracepoint)]),
            rung(Tracepoint, "sched_process_exit", &[("sched_process_exit_raw", RawTracepoint)]),
        ],
    },
    Hook {
        name: "task_rename",
        required: false,
        gives: "changes of names",
        rungs: &[
            rung(Tracepoint, "task_rename", &[("task_rename_btf", BtfTracepoint)]),
            rung(Tracepoint, "task_rename", &[("task_rename_raw", RawTracepoint)]),
        ],
    },
    Hook {
        name: "cgroup_attach_task",
        required: false,
        gives: "moves to another cgroup: a task keeps the cgroup, unit and container of its fork or last exec until the next comparison",
        rungs: &[
            rung(Tracepoint, "cgroup_attach_task", &[("cgroup_attach_task_btf", BtfTracepoint)]),
            rung(Tracepoint, "cgroup_attach_task", &[("cgroup_attach_task_raw", RawTracepoint)]),
        ],
    },
    Hook {
        name: CGROUP_POPULATED,
        required: false,
        gives: "when units and containers begin and end: neither is reported",
        rungs: &[
            rung(Tracepoint, "cgroup_notify_populated", &[("cgroup_notify_populated_btf", BtfTracepoint)]),
            rung(Tracepoint, "cgroup_notify_populated", &[("cgroup_notify_populated_raw", RawTracepoint)]),
        ],
    },
    Hook {
        name: "cgroup_rmdir",
        required: false,
        gives: "removals of cgroups: empty ones are remembered for a while",
        rungs: &[
            rung(Tracepoint, "cgroup_rmdir", &[("cgroup_rmdir_btf", BtfTracepoint)]),
            rung(Tracepoint, "cgroup_rmdir", &[("cgroup_rmdir_raw", RawTracepoint)]),
        ],
    },
    Hook {
        name: "cgroup_mkdir",
        required: false,
        gives: "which process created a cgroup, and when",
        rungs: &[
            rung(Tracepoint, "cgroup_mkdir", &[("cgroup_mkdir_btf", BtfTracepoint)]),
            rung(Tracepoint, "cgroup_mkdir", &[("cgroup_mkdir_raw", RawTracepoint)]),
        ],
    },
    Hook {
        name: "sched_process_exec",
        required: true,
        gives: "execs",
        rungs: &[
            rung(Tracepoint, "sched_process_exec", &[("sched_process_exec_btf", BtfTracepoint)]),
            rung(Tracepoint, "sched_process_exec", &[("sched_process_exec_raw", RawTracepoint)]),
        ],
    },
    Hook {
        name: COPY_PROCESS,
        required: true,
        gives: "new tasks",
        rungs: &[
            rung(
                Kprobe,
                "copy_process",
                &[(COPY_PROCESS_RETURN, Kretprobe), ("copy_process_kprobe", KprobeAt)],
            ),
            rung(Fentry, "copy_process", &[("copy_process_fexit", Fexit)]),
            lacking(&rung(Tracepoint, "task_newtask", &[("task_newtask_btf", BtfTracepoint)]), NO_FAILURES),
            lacking(&rung(Tracepoint, "task_newtask", &[("task_newtask_raw", RawTracepoint)]), NO_FAILURES),
        ],
    },
    // The lower rungs of this hook and of the next report as much as the first. They have only the victim's pid, but no other task
    // can get that pid between the choice of the victim and its record.
    Hook {
        name: MARK_VICTIM,
        required: false,
        gives: "processes that the out-of-memory killer ended",
        rungs: &[
            rung(Tracepoint, "mark_victim", &[("mark_victim_task_btf", BtfTracepoint)]),
            rung(Tracepoint, "mark_victim", &[("mark_victim_pid_btf", BtfTracepoint)]),
            rung(Tracepoint, "mark_victim", &[("mark_victim_raw", RawTracepoint)]),
        ],
    },
    Hook {
        name: OUT_OF_MEMORY,
        required: false,
        gives: "which memory limit was reached when the out-of-memory killer ran",
        rungs: &[
            rung(Kprobe, "out_of_memory", &[("out_of_memory_kprobe", KprobeAt)]),
            rung(Fentry, "out_of_memory", &[("out_of_memory_fentry", FentryAt)]),
            lacking(&rung(Tracepoint, "mark_victim", &[("", By(MARK_VICTIM))]), BY_USAGE),
        ],
    },
    Hook {
        name: SIGNAL_GENERATE,
        required: false,
        gives: "the sender of a signal that ended a process",
        rungs: &[
            rung(Tracepoint, "signal_generate", &[("signal_generate_btf", BtfTracepoint)]),
            rung(Tracepoint, "signal_generate", &[("signal_generate_raw", RawTracepoint)]),
        ],
    },
];

/// The hooks of `--sched`, attached after the others. The ends of waits come before their beginnings, so that no end is missed.
pub const SCHED_HOOKS: &[Hook] = &[
    Hook {
        name: "sched_wakeup",
        required: true,
        gives: "the ends of sleeps",
        rungs: &[
            rung(Tracepoint, "sched_wakeup", &[("sched_wakeup_btf", BtfTracepoint)]),
            rung(Tracepoint, "sched_wakeup", &[("sched_wakeup_raw", RawTracepoint)]),
        ],
    },
    Hook {
        name: "sched_histograms",
        required: true,
        gives: "waits for a CPU and times off it",
        rungs: &[
            rung(Tracepoint, "sched_switch", &[("sched_histograms_btf", BtfTracepoint)]),
            rung(Tracepoint, "sched_switch", &[("sched_histograms_read_btf", BtfTracepoint)]),
            rung(Tracepoint, "sched_switch", &[("sched_histograms_raw", RawTracepoint)]),
        ],
    },
    Hook {
        name: "sched_wakeup_new",
        required: true,
        gives: "the first wait of a task for a CPU",
        rungs: &[
            rung(Tracepoint, "sched_wakeup_new", &[("sched_wakeup_new_btf", BtfTracepoint)]),
            rung(Tracepoint, "sched_wakeup_new", &[("sched_wakeup_new_raw", RawTracepoint)]),
        ],
    },
];

/// The hooks of `events --sched`, which attaches no others.
pub const SCHED_TRACE_HOOKS: &[Hook] = &[
    Hook {
        name: "sched_waking",
        required: true,
        gives: "the task that wakes another",
        rungs: &[
            rung(Tracepoint, "sched_waking", &[("sched_trace_waking_btf", BtfTracepoint)]),
            rung(Tracepoint, "sched_waking", &[("sched_trace_waking_raw", RawTracepoint)]),
        ],
    },
    Hook {
        name: "sched_wakeup",
        required: true,
        gives: "wakeups",
        rungs: &[
            rung(Tracepoint, "sched_wakeup", &[("sched_trace_wakeup_btf", BtfTracepoint)]),
            rung(Tracepoint, "sched_wakeup", &[("sched_trace_wakeup_raw", RawTracepoint)]),
        ],
    },
    Hook {
        name: "sched_switch",
        required: true,
        gives: "switches",
        rungs: &[
            rung(Tracepoint, "sched_switch", &[("sched_trace_btf", BtfTracepoint)]),
            rung(Tracepoint, "sched_switch", &[("sched_trace_read_btf", BtfTracepoint)]),
            rung(Tracepoint, "sched_switch", &[("sched_trace_raw", RawTracepoint)]),
        ],
    },
    Hook {
        name: "sched_wakeup_new",
        required: true,
        gives: "new threads",
        rungs: &[
            rung(Tracepoint, "sched_wakeup_new", &[("sched_trace_wakeup_new_btf", BtfTracepoint)]),
            rung(Tracepoint, "sched_wakeup_new", &[("sched_trace_wakeup_new_raw", RawTracepoint)]),
        ],
    },
];

impl Rung {
    /// Returns how the rung is shown: the program type and what it is attached to.
    #[must_use]
    pub fn label(&self) -> String {
        let ways: Vec<_> = self.programs.iter().map(|(_, attach)| attach.label()).collect();
        format!("{} {}", ways.join("+"), self.point)
    }
}

impl Attach {
    /// Returns the family's usual name.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Kprobe => "kprobe",
            Self::Kretprobe => "kretprobe",
            Self::Fentry => "fentry",
            Self::Fexit => "fexit",
            Self::BtfTracepoint => "tp_btf",
            Self::RawTracepoint => "raw_tp",
            Self::By(_) => "final",
        }
    }
}

impl Hook {
    /// Returns whether the hook has rungs other than tracepoints, so that `--attach` makes a difference for it.
    #[must_use]
    pub fn has_family(&self, family: Family) -> bool {
        self.rungs.iter().any(|rung| rung.family == family)
    }
}
