//! The places where records are lost on their way from the kernel to the lineage.

use super::sums::Counts;

/// A place where records are lost. Each place has its own reason and remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LossPlace {
    /// The ring was full: taskscope did not keep up.
    Ring,
    /// The ring was filling up, and programs left out records of low priority so that exits and releases had room: argument
    /// vectors, renames and failed clones first, then creations of threads.
    Shed,
    /// The kernel skipped calls of a program because a program was already running on that CPU.
    Skipped,
    /// A program could not report what it saw: a map was full, or a return or a field was missing.
    Program,
    /// A record came through the ring and was not understood.
    Decode,
}

impl LossPlace {
    /// How many places there are.
    pub const COUNT: usize = 5;

    /// Every place.
    pub const ALL: [Self; Self::COUNT] = [Self::Ring, Self::Shed, Self::Skipped, Self::Program, Self::Decode];

    /// Stable name for events and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Shed => "shed",
            Self::Skipped => "skipped",
            Self::Program => "program",
            Self::Decode => "decode",
        }
    }

    /// Returns what happened there and what to do, for a message about `count` records.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Ring => "the ring was full; use a larger --ring-kib",
            Self::Shed => {
                "left out because the ring was filling up, so that exits had room; use a larger --ring-kib"
            }
            Self::Skipped => {
                "the kernel skipped a call of a program, because one was already running on that CPU; this happens least with --attach kprobe"
            }
            Self::Program => "a program could not report what it saw",
            Self::Decode => "not understood",
        }
    }
}

impl Counts {
    /// Returns how many records were lost so far, by place, in the order of [`LossPlace::ALL`].
    #[must_use]
    pub fn by_place(&self) -> [(LossPlace, u64); LossPlace::COUNT] {
        LossPlace::ALL.map(|place| {
            let count = match place {
                LossPlace::Ring => self.kernel.dropped.iter().sum(),
                LossPlace::Shed => self.kernel.all_shed(),
                LossPlace::Skipped => self.missed,
                LossPlace::Program => self.unreported().iter().sum(),
                LossPlace::Decode => self.undecoded,
            };
            (place, count)
        })
    }
}

#[cfg(test)]
mod tests {
    use probe_common::Kind;

    use super::*;

    #[test]
    fn every_loss_has_one_place_and_shedding_is_none() {
        let mut counts = Counts { missed: 3, undecoded: 5, ..Counts::default() };
        counts.kernel.dropped[Kind::Exited as usize] = 7;
        counts.kernel.shed[Kind::TaskNew as usize] = 100;
        counts.kernel.lost[0] = 11;
        let places = counts.by_place();
        assert_eq!(places.map(|(_, count)| count), [7, 100, 3, 11, 5]);
        let lost: u64 =
            places.iter().filter(|(place, _)| *place != LossPlace::Shed).map(|(_, count)| count).sum();
        assert_eq!(lost, counts.lost());
    }
}
