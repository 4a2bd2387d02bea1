//! The orders in which the ring can deliver records that hooks on several CPUs make at once.
//!
//! A hook takes the time, reads, and reserves its room in the ring. Two hooks that run at the same time on two CPUs can reserve in
//! either order. But if one event is the cause of another, its record comes first. So a record can be overtaken by another record,
//! but not by one whose event its own event made possible.
//!
//! In any such order the tree converges. It does not in the following cases, which are not tried here:
//!
//! - *Any* permutation. A record carries what changed, not all that was before it: an exit that is reported before the fork makes
//!   the fork late (no state goes back). But a child that is first reported after its parent's death, by a fork that names the
//!   dead parent, can only get the new reaper of the kernel's rule.
//! - A parent's last switch, on the tracepoint rung, that names a new reaper and is reported after that new reaper's own last
//!   switch. The children's new parent is then concluded by rule, and the rule does not know a subreaper that has never adopted.
//!   The hook would have to be preempted between its read and its reservation for the new reaper's whole exit. An audit finds it
//!   (drift).
//! - Effects about a task in between: they can be `inferred` where kernel order gives `observed`. This test compares trees;
//!   another one compares effects in kernel order.

use taskscope::lineage::id::{Tgid, Tid};
use taskscope::lineage::record::{ExitSource, Fact, Record, ReleaseSource};

use crate::Dice;

/// The task that a record is about, and the task that ran the hook.
struct Origin {
    /// The task whose context the hook ran in; `None` for an RCU callback.
    by: Option<Tid>,
    of: Tid,
    group: Tgid,
}

fn origin(record: &Record) -> Option<Origin> {
    let (task, by) = match &record.fact {
        Fact::New(new) => (new.task, new.creator),
        Fact::CloneFailed(failed) => (failed.creator?, failed.creator),
        Fact::Exec(exec) => (exec.task, Some(exec.task)),
        Fact::ExecArgs(args) => (args.task, Some(args.task)),
        Fact::Renamed(renamed) => (renamed.task, Some(renamed.task)),
        Fact::Exiting(exiting) => (exiting.task, Some(exiting.task)),
        Fact::Exited(exited) => (exited.task, Some(exited.task)),
        Fact::Reparented(reparented) => (reparented.child, reparented.old_parent),
        Fact::Released(released) => (released.task, released.by),
        Fact::Snapshot(seen) => (seen.task, None),
        Fact::CgroupAttached(attached) => (attached.task, None),
        Fact::Signal(sent) => (sent.target, sent.sender),
        // The model has neither kind. In a recording they keep their places.
        Fact::OomVictim(_) | Fact::CgroupChanged(_) => return None,
    };
    Some(Origin { by: by.map(|by| by.key.tid), of: task.key.tid, group: task.tgid })
}

/// Whether the hook of `later` can run at the same time as that of `earlier`, and so be the first in the ring.
pub(crate) fn may_pass(earlier: &Record, later: &Record) -> bool {
    let (Some(one), Some(other)) = (origin(earlier), origin(later)) else { return false };
    // One task does one thing after the other. Compare tids, because an exec can swap the identities in between.
    if one.by.is_some() && one.by == other.by {
        return false;
    }
    let is_same = one.of == other.of;
    match (&earlier.fact, &later.fact) {
        // The record of another task that finds the new task in the tree may come before that of the creator. The new task itself
        // does not run before `wake_up_new_task()`.
        (Fact::New(_), later) => {
            matches!(later, Fact::Reparented(_)) || (!is_same && other.by != Some(one.of))
        }
        (Fact::Exited(father), Fact::Exited(new_reaper)) if father.new_reaper == Some(new_reaper.task) => {
            false
        }
        // The callback comes after the last switch.
        (Fact::Exited(exited), Fact::Released(released)) if is_same => {
            exited.source != ExitSource::FinalSwitch || released.source != ReleaseSource::Free
        }
        // A tid is free after the release. The tid of a thread that called execve is free before the exec is reported, but tids
        // wrap around before it is used again.
        (Fact::Renamed(_) | Fact::Exec(_), Fact::New(_)) => false,
        // The hook comes before what it reports, so its consequences cannot overtake it.
        (Fact::Exiting(_) | Fact::Released(_), Fact::Exiting(_)) => true,
        (Fact::Exiting(_), _) => one.group != other.group,
        (Fact::Released(one_release), Fact::Released(_) | Fact::Exec(_) | Fact::Renamed(_)) => {
            one.group != other.group || one_release.source == ReleaseSource::Free
        }
        // A reparented child is reaped by the new parent.
        (Fact::Released(_), Fact::New(_))
        | (Fact::Reparented(_), Fact::Released(_) | Fact::Reparented(_)) => !is_same,
        // The leader's comm and its exec.
        (Fact::Renamed(_) | Fact::Exec(_), _) | (_, Fact::Renamed(_) | Fact::Exec(_)) => {
            one.group != other.group
        }
        _ => true,
    }
}

/// Returns the same records in an order that the ring could have: none is overtaken by more than `most` others.
pub(crate) fn shuffle(records: &[Record], dice: &mut Dice, most: usize) -> Vec<Record> {
    let mut out: Vec<(usize, Record)> = records.iter().cloned().map(|record| (0, record)).collect();
    for _ in 0..most {
        let mut place = 1;
        while place < out.len() {
            let (earlier, later) = (&out[place - 1], &out[place]);
            if earlier.0 < most && dice.below(3) == 0 && may_pass(&earlier.1, &later.1) {
                out[place - 1].0 += 1;
                out.swap(place - 1, place);
                place += 1;
            }
            place += 1;
        }
    }
    out.into_iter().map(|(_, record)| record).collect()
}
