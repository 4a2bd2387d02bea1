//! Compares the lineage's usage with the model: that of each group, and that of its dead children.

use taskscope::lineage::id::{GroupKey, Ktime, Tgid};
use taskscope::lineage::record::TaskUsage;
use taskscope::lineage::{Descent, Life, Lineage};

use crate::kernel::{GroupNo, Kernel, State, usage};

fn add(sum: &mut TaskUsage, other: &TaskUsage) {
    sum.exec_runtime_ns += other.exec_runtime_ns;
    sum.run_delay_ns += other.run_delay_ns;
    sum.run_count += other.run_count;
    sum.utime_ns += other.utime_ns;
    sum.stime_ns += other.stime_ns;
    sum.nvcsw += other.nvcsw;
    sum.nivcsw += other.nivcsw;
    sum.min_flt += other.min_flt;
    sum.maj_flt += other.maj_flt;
}

/// Returns the usage of the dead tasks of a group, and their number. All of them are past their last switch.
fn own(kernel: &Kernel, group: GroupNo) -> (TaskUsage, u32) {
    let (mut sum, mut tasks) = (TaskUsage::default(), 0);
    for (no, task) in kernel.tasks.iter().enumerate() {
        if task.group == group && task.state >= State::Zombie {
            add(&mut sum, &usage(no, true));
            tasks += 1;
        }
    }
    (sum, tasks)
}

/// Returns the usage of a group's children: of those that were waited for, as `wait_task_zombie()` adds it to `signal->cutime` and
/// the like, and of those that were autoreaped, which the kernel adds to no process.
fn children(kernel: &Kernel, group: GroupNo) -> [Descent; 2] {
    let mut sums = [Descent::default(); 2];
    for child in 1..kernel.groups.len() {
        let Some((_, by_wait)) = kernel.groups[child].passed.filter(|&(to, _)| to == group) else { continue };
        let mut charged = own(kernel, child).0;
        (charged.utime_ns, charged.stime_ns) = charged.split();
        let [below, forgotten] = children(kernel, child);
        let itself = Descent { sum: charged, processes: 1, unknown: 0 };
        for (sum, is_reaped) in [(itself, by_wait), (below, by_wait), (forgotten, false)] {
            let into = &mut sums[usize::from(!is_reaped)];
            add(&mut into.sum, &sum.sum);
            into.processes += sum.processes;
        }
    }
    sums
}

fn life(kernel: &Kernel, lineage: &Lineage, group: GroupNo) -> Option<Life> {
    let group = &kernel.groups[group];
    let key = GroupKey { tgid: Tgid(group.tgid), start: Some(Ktime(group.start)) };
    lineage.life_by_key(key, Ktime(kernel.now))
}

/// Checks that each group's own usage equals the model's.
pub(crate) fn same_usage(kernel: &Kernel, lineage: &Lineage) -> Result<(), String> {
    for group in 1..kernel.groups.len() {
        let tgid = kernel.groups[group].tgid;
        let life = life(kernel, lineage, group).ok_or_else(|| format!("group {tgid} is not known"))?;
        let found = life.usage.unwrap_or_default();
        let (sum, tasks) = own(kernel, group);
        if (found.sum, found.tasks) != (sum, tasks) || !found.is_exact() {
            return Err(format!("group {tgid} used {sum:?} ({tasks} tasks), the lineage has {found:?}"));
        }
    }
    Ok(())
}

/// Checks that the usage of each group's dead children equals the model's. Autoreaped children are compared only if the records are
/// `in_order`: out of order, a child that ends at the same time as its parent can seem to have been reparented before. The total
/// usage of autoreaped children is the same even then.
pub(crate) fn same_children(kernel: &Kernel, lineage: &Lineage, in_order: bool) -> Result<(), String> {
    let mut forgotten = [Descent::default(); 2];
    for group in 1..kernel.groups.len() {
        let tgid = kernel.groups[group].tgid;
        let life = life(kernel, lineage, group).ok_or_else(|| format!("group {tgid} is not known"))?;
        let found = life.children_usage.map(|found| *found).unwrap_or_default();
        let [reaped, autoreaped] = children(kernel, group);
        if found.reaped != reaped || (in_order && found.autoreaped != autoreaped) {
            return Err(format!(
                "children of {tgid} used {reaped:#?} and {autoreaped:#?}, the lineage has {found:#?}"
            ));
        }
        // If the group itself was released, the usage of its children has been passed on to its parent.
        if kernel.groups[group].passed.is_none() {
            for (sum, of) in forgotten.iter_mut().zip([autoreaped, found.autoreaped]) {
                add(&mut sum.sum, &of.sum);
                sum.processes += of.processes;
            }
        }
    }
    let [expected, found] = forgotten;
    if expected == found {
        Ok(())
    } else {
        Err(format!("autoreaped: {expected:#?}, the lineage has {found:#?}"))
    }
}
