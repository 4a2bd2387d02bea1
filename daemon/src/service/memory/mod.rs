//! What the daemon frees when memory runs out, in this order: the backlog for readers that resume, then ended processes; then it
//! refuses new readers. It never drops records or facts about live tasks.

mod gauge;
mod holdings;

use std::path::Path;

pub(crate) use self::gauge::Level;
pub use self::holdings::{Holding, Holdings};

use self::gauge::Gauge;

/// The least freed bytes for which `malloc_trim(3)` is called.
const WORTH_TRIMMING: usize = 256 << 10;

/// Memory that can be freed.
pub(super) trait Shedding {
    /// Returns the bytes of the backlog, and the number of its events.
    fn backlog(&self) -> Holding;
    /// Keeps this many of the newest events, until called again. Returns the bytes that were freed.
    fn shed_backlog(&mut self, keep: usize) -> usize;
    /// Returns the bytes of ended processes, and their number.
    fn lives(&self) -> Holding;
    /// Keeps this many of the youngest ended processes, until called again. Returns the bytes that were freed.
    fn shed_lives(&mut self, keep: usize) -> usize;
    /// Keeps as many events and ended processes as the settings allow again.
    fn restore(&mut self);
    /// Returns freed memory to the kernel.
    fn give_back(&mut self);
}

/// What was dropped or refused since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shed {
    /// Events of the backlog.
    pub(super) backlog: u64,
    /// Lives.
    pub(super) lives: u64,
    /// Readers that were refused.
    pub(super) readers: u64,
}

/// What is freed. Each step begins when the steps before it are not enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    #[default]
    Nothing,
    Backlog,
    Lives,
    Readers,
}

/// Compares the memory in use with the limit and frees memory.
#[derive(Debug, Default)]
pub(super) struct MemoryGuard {
    gauge: Gauge,
    step: Step,
    /// The last reading.
    pub(super) level: Option<Level>,
    /// Calls since the last reading.
    skipped: u8,
    pub(super) shed: Shed,
}

/// While less than half of the limit is in use, only every fourth call measures the memory, once a second. Near the limit every
/// call does, because a storm adds some 30 MB a second.
const CALM_CALLS: u8 = 4;

/// Returns the usage above which memory is freed.
const fn high(max: u64) -> u64 {
    max / 10 * 8
}

/// Returns the usage below which the daemon again keeps as much as the settings allow.
const fn low(max: u64) -> u64 {
    max / 10 * 7
}

impl MemoryGuard {
    /// Returns a guard for the setting `memory_max`; `v2_root` is the mount point of the v2 cgroups.
    pub(super) fn new(memory_max: Option<u64>, v2_root: Option<&Path>) -> Self {
        let guard = Self { gauge: Gauge::new(memory_max, v2_root), ..Self::default() };
        Self { level: guard.gauge.read(), ..guard }
    }

    /// Returns whether there is a limit, so that measuring makes sense.
    pub(super) const fn is_limited(&self) -> bool {
        self.gauge.is_limited()
    }

    /// Returns what the daemon drops now, in words.
    pub(super) const fn given_up(&self) -> Option<&'static str> {
        match self.step {
            Step::Nothing => None,
            Step::Backlog => Some("backlog"),
            Step::Lives => Some("backlog, remembered lives"),
            Step::Readers => Some("backlog, remembered lives, new readers"),
        }
    }

    /// Returns whether a new reader is admitted, and counts one that is not.
    pub(super) const fn admits_reader(&mut self) -> bool {
        let is_refused = matches!(self.step, Step::Readers);
        self.shed.readers += is_refused as u64;
        !is_refused
    }

    /// Measures the memory in use and frees some if there is too little. It must be called four times a second.
    pub(super) fn poll(&mut self, from: &mut impl Shedding) {
        self.skipped += 1;
        if self.level.is_some_and(|level| level.used < level.max / 2) && self.skipped < CALM_CALLS {
            return;
        }
        self.skipped = 0;
        let level = self.gauge.read();
        self.level = level;
        let Some(level) = level else { return };
        self.follow(level, from);
        let after = self.gauge.read();
        self.level = after.or(self.level);
    }

    fn follow(&mut self, level: Level, from: &mut impl Shedding) {
        let Level { used, max } = level;
        if used < low(max) && self.step > Step::Nothing {
            log::info!(
                "memory: {used} of {max} bytes are in use; the daemon again keeps as much as the settings allow"
            );
            self.step = Step::Nothing;
            from.restore();
        }
        if used <= high(max) {
            return;
        }
        let excess = usize::try_from(used - high(max)).unwrap_or(usize::MAX);
        let backlog = from.backlog();
        let mut freed = 0;
        if let Some(keep) = left(backlog, excess) {
            self.enter(Step::Backlog, level, "events of the backlog are dropped, the oldest first");
            freed += from.shed_backlog(keep);
            self.shed.backlog += backlog.count - keep as u64;
        }
        let lives = from.lives();
        if let Some(keep) = left(lives, excess.saturating_sub(freed)) {
            self.enter(Step::Lives, level, "ended processes are forgotten, the oldest first");
            freed += from.shed_lives(keep);
            self.shed.lives += lives.count - keep as u64;
        }
        if freed >= WORTH_TRIMMING {
            from.give_back();
        }
        if freed < excess {
            self.enter(Step::Readers, level, "new readers of events are refused");
        }
    }

    fn enter(&mut self, step: Step, Level { used, max }: Level, what: &str) {
        if self.step < step {
            self.step = step;
            log::warn!("memory: {used} of {max} bytes are in use, more than 80 %: {what}");
        }
    }
}

/// Returns how many objects are left after this many bytes of them are freed; `None` if there are none.
fn left(of: Holding, excess: usize) -> Option<usize> {
    if of.count == 0 || excess == 0 {
        return None;
    }
    let each = (of.bytes / of.count).max(1);
    let given = (excess as u64).div_ceil(each);
    usize::try_from(of.count.saturating_sub(given)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A daemon whose events and lives take 1000 bytes each.
    struct Held {
        backlog: u64,
        lives: u64,
        restored: bool,
        given_back: bool,
    }

    impl Shedding for Held {
        fn backlog(&self) -> Holding {
            Holding { count: self.backlog, bytes: self.backlog * 1000 }
        }

        fn shed_backlog(&mut self, keep: usize) -> usize {
            let before = std::mem::replace(&mut self.backlog, keep as u64);
            (before as usize - keep) * 1000
        }

        fn lives(&self) -> Holding {
            Holding { count: self.lives, bytes: self.lives * 1000 }
        }

        fn shed_lives(&mut self, keep: usize) -> usize {
            let before = std::mem::replace(&mut self.lives, keep as u64);
            (before as usize - keep) * 1000
        }

        fn restore(&mut self) {
            self.restored = true;
        }

        fn give_back(&mut self) {
            self.given_back = true;
        }
    }

    const MAX: u64 = 10_000_000;

    fn held() -> Held {
        Held { backlog: 1000, lives: 1000, restored: false, given_back: false }
    }

    fn follow(guard: &mut MemoryGuard, used: u64, held: &mut Held) {
        guard.follow(Level { used, max: MAX }, held);
    }

    #[test]
    fn below_four_fifths_nothing_is_given_up() {
        let (mut guard, mut held) = (MemoryGuard::default(), held());
        follow(&mut guard, 8_000_000, &mut held);
        assert_eq!((held.backlog, held.lives, guard.given_up()), (1000, 1000, None));
        assert!(guard.admits_reader());
    }

    #[test]
    fn the_backlog_goes_first_and_only_as_much_as_is_needed() {
        let (mut guard, mut held) = (MemoryGuard::default(), held());
        follow(&mut guard, 8_600_000, &mut held);
        assert_eq!((held.backlog, held.lives), (400, 1000));
        assert_eq!(guard.given_up(), Some("backlog"));
        assert!(held.given_back);
        assert_eq!(guard.shed, Shed { backlog: 600, lives: 0, readers: 0 });
    }

    #[test]
    fn then_lives_and_then_new_readers() {
        let (mut guard, mut held) = (MemoryGuard::default(), held());
        follow(&mut guard, 9_500_000, &mut held);
        assert_eq!((held.backlog, held.lives), (0, 500));
        assert!(guard.admits_reader());
        follow(&mut guard, 9_500_000, &mut held);
        assert_eq!((held.backlog, held.lives), (0, 0));
        assert!(!guard.admits_reader());
        assert_eq!(guard.given_up(), Some("backlog, remembered lives, new readers"));
        assert_eq!(guard.shed, Shed { backlog: 1000, lives: 1000, readers: 1 });
    }

    #[test]
    fn once_there_is_room_again_all_is_kept_and_everybody_is_served() {
        let (mut guard, mut held) = (MemoryGuard::default(), held());
        follow(&mut guard, 12_000_000, &mut held);
        assert!(!guard.admits_reader());
        follow(&mut guard, 7_500_000, &mut held);
        assert!(!held.restored && !guard.admits_reader());
        follow(&mut guard, 6_000_000, &mut held);
        assert!(held.restored && guard.admits_reader());
        assert_eq!(guard.given_up(), None);
    }
}
