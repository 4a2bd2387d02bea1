//! What tasks used, as JSON.

use super::encode::{Object, key};
use crate::lineage::{ChildrenUsage, Descent, GroupUsage, record::TaskUsage};

/// The figures of one task. User and system time are split as wait4(2) and /proc do it.
pub(super) fn write(object: &mut Object<'_>, usage: &TaskUsage) {
    let (user, system) = usage.split();
    write_split(object, usage, user, system);
}

/// Writes the usage of a group's dead tasks.
pub(super) fn write_group(task: &mut Object<'_>, usage: Option<&GroupUsage>) {
    let Some(usage) = usage else { return };
    task.object(key!("usage"), |object| {
        if usage.tasks > 0 {
            write(object, &usage.sum);
            object.number(key!("tasks"), usage.tasks);
        }
        if usage.pending > 0 {
            object.number(key!("tasks_pending"), usage.pending);
        }
        if usage.unknown > 0 {
            object.number(key!("tasks_unknown"), usage.unknown);
        }
    });
}

/// Writes the usage of dead children.
pub(super) fn write_children(object: &mut Object<'_>, children: &ChildrenUsage) {
    for (key, descent) in [(key!("reaped"), &children.reaped), (key!("autoreaped"), &children.autoreaped)] {
        if descent.processes > 0 {
            object.object(key, |object| write_descent(object, descent));
        }
    }
}

fn write_descent(object: &mut Object<'_>, descent: &Descent) {
    write_split(object, &descent.sum, descent.sum.utime_ns, descent.sum.stime_ns);
    object.number(key!("processes"), descent.processes);
    if descent.unknown > 0 {
        object.number(key!("processes_unknown"), descent.unknown);
    }
}

fn write_split(object: &mut Object<'_>, usage: &TaskUsage, user_ns: u64, system_ns: u64) {
    object.number(key!("exec_runtime_ns"), usage.exec_runtime_ns);
    object.number(key!("run_delay_ns"), usage.run_delay_ns);
    object.number(key!("run_count"), usage.run_count);
    object.number(key!("user_ns"), user_ns);
    object.number(key!("system_ns"), system_ns);
    object.number(key!("voluntary_switches"), usage.nvcsw);
    object.number(key!("involuntary_switches"), usage.nivcsw);
    object.number(key!("minor_faults"), usage.min_flt);
    object.number(key!("major_faults"), usage.maj_flt);
}
