//! Bits of [`Group`](super::Group): which facts are known, and which effects were emitted.
#![cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "in a constant"))]

pub(crate) const CLONE_FLAGS: u32 = 1 << 0;
pub(crate) const CGROUP: u32 = 1 << 1;
pub(crate) const NAMESPACE: u32 = 1 << 2;
pub(crate) const CREDENTIALS: u32 = 1 << 4;
pub(crate) const EXIT_SIGNAL: u32 = 1 << 5;
pub(crate) const START: u32 = 1 << 6;
pub(crate) const PARENT: u32 = 1 << 7;
pub(crate) const PARENT_START: u32 = 1 << 8;
/// The present parent was concluded; no record showed it.
pub(crate) const PARENT_INFERRED: u32 = 1 << 9;
/// It still holds the parent that created it by vfork(2).
pub(crate) const HOLDS_PARENT: u32 = 1 << 10;
/// It adopted orphans without being the init of a pid namespace.
pub(crate) const SUBREAPER: u32 = 1 << 11;
/// The kernel counts no task of the group but the leader.
pub(crate) const SOLE: u32 = 1 << 12;
/// `group_exited` was emitted.
pub(crate) const EXIT_EMITTED: u32 = 1 << 13;
/// It is a zombie, and `zombie_began` was emitted.
pub(crate) const ZOMBIE: u32 = 1 << 14;
/// It became a zombie before the stored time.
pub(crate) const ZOMBIE_OLDER: u32 = 1 << 15;
/// It became a zombie after the stored time.
pub(crate) const ZOMBIE_YOUNGER: u32 = 1 << 16;
/// It may not have been reparented to the present parent: `Extra::pending`.
pub(crate) const PARENT_PENDING: u32 = 1 << 21;
/// Its leader is dead and other threads live.
pub(crate) const DEAD_LEADER: u32 = 1 << 20;
/// Its leader died before other threads.
pub(crate) const LEADER_DIED: u32 = 1 << 17;
/// Whether its parent ignores SIGCHLD is known from the time when its last task began to exit.
pub(crate) const IGNORED_KNOWN: u32 = 1 << 18;
/// The value of that fact.
pub(crate) const IGNORED: u32 = 1 << 19;
/// That fact is about a parent that adopted it later.
pub(crate) const IGNORED_LATER: u32 = 1 << 24;
/// Its leader's RCU callback arrived before the last switch of another task; the leader is released with that switch.
pub(crate) const FREED: u32 = 1 << 25;
/// It was released, and its usage was added to its parent: `PackedUsage::charged_to`.
pub(crate) const CHARGED: u32 = 1 << 26;
/// It is an unconfirmed zombie: no record or snapshot has shown it since records were lost.
pub(crate) const UNCONFIRMED: u32 = 1 << 30;
/// It is an unconfirmed zombie that was flagged as old before the loss.
pub(crate) const FLAGGED: u32 = 1 << 31;
/// Whether it ignores SIGCHLD is known from the time when a child of it began to exit.
pub(crate) const IGNORES_KNOWN: u32 = 1 << 22;
/// The value of that fact.
pub(crate) const IGNORES: u32 = 1 << 23;
/// It was reaped; `AUTOREAPED` is set if no wait(2) was needed.
pub(crate) const REAPED: u32 = 1 << 3;
pub(crate) const AUTOREAPED: u32 = 1 << 27;
/// The position of two bits that show what `Group::status_code` is.
pub(crate) const STATUS_SHIFT: u32 = 28;
pub(crate) const STATUS: u32 = 3 << STATUS_SHIFT;

/// Each bit is used for one fact only.
const _: () = {
    let all = [
        CLONE_FLAGS,
        CGROUP,
        NAMESPACE,
        CREDENTIALS,
        EXIT_SIGNAL,
        START,
        PARENT,
        PARENT_START,
        PARENT_INFERRED,
        HOLDS_PARENT,
        SUBREAPER,
        SOLE,
        EXIT_EMITTED,
        ZOMBIE,
        ZOMBIE_OLDER,
        ZOMBIE_YOUNGER,
        PARENT_PENDING,
        DEAD_LEADER,
        LEADER_DIED,
        IGNORED_KNOWN,
        IGNORED,
        IGNORED_LATER,
        FREED,
        CHARGED,
        UNCONFIRMED,
        FLAGGED,
        IGNORES_KNOWN,
        IGNORES,
        REAPED,
        AUTOREAPED,
        STATUS,
    ];
    let (mut seen, mut place) = (0, 0);
    while place < all.len() {
        assert!(seen & all[place] == 0, "two facts share a bit");
        seen |= all[place];
        place += 1;
    }
};
