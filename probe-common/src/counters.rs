//! Counters that the programs keep, one instance per CPU.

use crate::kind::Kind;

/// Records by kind, since the programs were loaded: `produced` = read by the daemon + `dropped` + `shed`.
///
/// One instance per CPU, so that CPUs do not contend for a cache line. Programs add atomically, because on the same CPU a program
/// can be preempted by a program of another task (fentry), or interrupted by a program of a softirq (`sched_process_free`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Records that a program wanted to send.
    pub produced: [u64; Kind::COUNT],
    /// Records that the ring had no room for, part of `produced`.
    pub dropped: [u64; Kind::COUNT],
    /// Records left out because the ring was filling up, so that more important ones had room ([`crate::Settings`]); part of
    /// `produced`.
    pub shed: [u64; Kind::COUNT],
    /// Losses for reasons other than a full ring, by [`Lost`].
    pub lost: [u64; Lost::COUNT],
}

/// Why a program could not report what it saw, apart from a full ring. The index into [`Counters::lost`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// A map that links a function's entry to its return had no room.
    EntryMapFull = 0,
    /// The return of a function was seen, and its entry was not.
    NoEntry = 1,
    /// A task's identity could not be read.
    Unreadable = 2,
    /// The kernel had no kretprobe instance left, so a function's return was not seen.
    MissedReturn = 3,
}

impl Lost {
    /// Number of reasons.
    pub const COUNT: usize = 4;

    /// Every reason, in the order of its number.
    pub const ALL: [Self; Self::COUNT] =
        [Self::EntryMapFull, Self::NoEntry, Self::Unreadable, Self::MissedReturn];

    /// Stable name for metrics and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EntryMapFull => "entry_map_full",
            Self::NoEntry => "no_entry",
            Self::Unreadable => "unreadable",
            Self::MissedReturn => "missed_return",
        }
    }
}
