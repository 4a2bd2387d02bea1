//! The wall clock at each time of `CLOCK_BOOTTIME`. Events carry both, and the wall clock can be set while the daemon runs.

use crate::{
    export::{SharedHost, Stamp},
    kernel::clock,
};

/// Two measurements of the offset differ by less than this unless the wall clock was set.
const NOISE_NS: i128 = 100_000;

/// A stamp that follows the wall clock.
#[derive(Debug)]
pub struct Wall {
    stamp: Stamp,
    offset_ns: i128,
    /// Whether the clock is this host's.
    is_live: bool,
}

impl Wall {
    /// Creates the stamp of this boot and this host. Without a readable boot id, entity ids begin with zeros.
    #[must_use]
    pub fn of_this_boot() -> Self {
        let offset_ns = clock::wall_offset_ns();
        let boot_id = clock::boot_id().unwrap_or_else(|error| {
            log::warn!("reading the boot id: {error}; entity ids are not unique across boots");
            "00000000".into()
        });
        let stamp = Stamp::new(&boot_id, offset_ns).in_local_zone().of_host(SharedHost::this());
        Self { stamp, offset_ns, is_live: true }
    }

    /// Creates the stamp of a recording. It does not follow a clock and names no host, which may be another one.
    #[must_use]
    pub fn recorded(boot_id: &str, offset_ns: i128) -> Self {
        Self { stamp: Stamp::new(boot_id, offset_ns).in_local_zone(), offset_ns, is_live: false }
    }

    /// Nanoseconds to add to a boottime, as of the last measurement.
    #[must_use]
    pub const fn offset_ns(&self) -> i128 {
        self.offset_ns
    }

    /// Sets the offset, as a recording has it.
    pub const fn set_offset(&mut self, offset_ns: i128) {
        self.offset_ns = offset_ns;
        self.stamp.set_wall_offset(offset_ns);
    }

    /// Measures the offset of the wall clock. A difference below the measuring noise is ignored.
    pub fn follow(&mut self) {
        if !self.is_live {
            return;
        }
        let offset_ns = clock::wall_offset_ns();
        if (offset_ns - self.offset_ns).abs() > NOISE_NS {
            self.set_offset(offset_ns);
        }
    }

    /// The stamp as of the last measurement.
    #[must_use]
    pub const fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}
