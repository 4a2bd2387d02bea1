//! Settings of a lineage.

use std::time::Duration;

/// Called with address and size, in bytes, of each large piece of memory before it is touched.
///
/// The lineage does no I/O, so the daemon asks the kernel for huge pages (madvise(2)): with a million tasks nearly every
/// access is to a page that no TLB entry covers.
pub type Room = fn(usize, usize);

/// Settings of a lineage.
#[derive(Clone, Debug)]
pub struct Config {
    /// A zombie older than this is flagged (`zombie_flagged`).
    pub zombie_after: Duration,
    /// An uninterruptible sleep longer than this is flagged; zero flags none.
    pub blocked_after: Duration,
    /// When something is a leak.
    pub leaks: Thresholds,
    /// A task that is in `do_exit()` for longer than this is reported as stuck.
    pub exit_stuck_after: Duration,
    /// Whether each exec is followed by a record of its arguments. The effect of the exec waits for that record.
    pub exec_args: bool,
    /// How long a released task is remembered (tombstone), for records that arrive late.
    pub tombstone: Duration,
    /// The most tombstones.
    pub tombstones: usize,
    /// The RCU callback of a released task arrives within this time. Lazy RCU callbacks can take ten seconds.
    pub release_within: Duration,
    /// The most ended processes that are remembered.
    pub dead_lives: usize,
    /// How long ended processes are remembered.
    pub dead_lives_age: Duration,
    /// Whether `Released` of a leader carries the whole life.
    pub reports_lives: bool,
    /// A task in `EXIT_DEAD` is concluded to be released after this time without a record.
    pub dead_after: Duration,
    /// Called for each large piece of memory for tasks, so that the caller can request huge pages for it.
    pub room: Option<Room>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            zombie_after: Duration::from_secs(10),
            blocked_after: Duration::from_secs(10),
            leaks: Thresholds::default(),
            exit_stuck_after: Duration::from_secs(10),
            exec_args: false,
            tombstone: Duration::from_secs(10),
            tombstones: 16 * 1024,
            release_within: Duration::from_secs(12),
            dead_lives: 16 * 1024,
            dead_lives_age: Duration::from_secs(15 * 60),
            reports_lives: false,
            dead_after: Duration::from_secs(5),
            room: None,
        }
    }
}

/// When something is a leak. A number of 0 turns that kind off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// The time over which growth and ends are counted. The other times are fractions of it.
    pub window: Duration,
    /// Growth by this many threads is a leak.
    pub threads: u32,
    /// This many quick ends of one program are a respawn loop.
    pub respawns: u32,
    /// This many forks a second are a storm.
    pub forks_per_second: u32,
    /// Whether processes that have outlived their session are flagged.
    pub orphans: bool,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(600),
            threads: 100,
            respawns: 5,
            forks_per_second: 1_000,
            orphans: true,
        }
    }
}
