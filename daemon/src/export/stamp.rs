//! What turns the kernel's clock and pids into a wall-clock time and an id that no reboot repeats.

use crate::lineage::id::{GroupKey, Ktime, Tgid};

use super::{
    encode::{digits, number},
    zone::Zone,
};

/// Characters of the boot id in an entity id: enough to tell the boots of one host apart.
const BOOT_CHARS: usize = 8;

/// The first process of a boot.
const INIT: Tgid = Tgid(1);

/// The boot, and where its clock stands against the wall clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    boot: String,
    wall_offset_ns: i128,
    zone: Zone,
}

impl Stamp {
    /// `boot_id` as in `/proc/sys/kernel/random/boot_id`; `wall_offset_ns` is added to a boottime to get ns since the epoch.
    #[must_use]
    pub fn new(boot_id: &str, wall_offset_ns: i128) -> Self {
        let boot = boot_id.chars().filter(char::is_ascii_hexdigit).take(BOOT_CHARS).collect();
        Self { boot, wall_offset_ns, zone: Zone::Utc }
    }

    /// The same, with the local zone for lines that people read.
    #[must_use]
    pub fn in_local_zone(mut self) -> Self {
        self.zone = Zone::Local;
        // The first conversion reads the zone's file.
        let _ = self.zone.offset_s(self.wall_offset_ns);
        self
    }

    /// The zone of lines that people read.
    #[must_use]
    pub const fn zone(&self) -> Zone {
        self.zone
    }

    /// Moves to another offset: the wall clock was set.
    pub const fn set_wall_offset(&mut self, wall_offset_ns: i128) {
        self.wall_offset_ns = wall_offset_ns;
    }

    /// The wall-clock time of a moment, ns since the epoch.
    #[must_use]
    pub fn wall_ns(&self, at: Ktime) -> i128 {
        i128::from(at.0) + self.wall_offset_ns
    }

    /// The id of a group across reboots and restarts of the daemon, `None` while its start is unknown.
    ///
    /// A boot has one process with the pid 1: its id has no start, so that it is the same whether the start was read from the kernel
    /// (in ns) or from /proc (in ticks), or is not known yet.
    #[must_use]
    pub fn entity_id(&self, group: GroupKey) -> Option<String> {
        if group.tgid == INIT {
            return Some(format!("{}-1-0", self.boot));
        }
        group.start.map(|start| format!("{}-{}-{}", self.boot, group.tgid, start.0))
    }

    /// The moment of a wall-clock time; `None` if that is before the boot.
    #[must_use]
    pub fn at_wall(&self, wall_ns: i128) -> Option<Ktime> {
        u64::try_from(wall_ns - self.wall_offset_ns).ok().map(Ktime)
    }

    /// The wall-clock time of a moment, as RFC 3339.
    #[must_use]
    pub fn timestamp(&self, at: Ktime) -> String {
        let mut text = Vec::with_capacity(30);
        super::time::rfc3339(&mut text, self.wall_ns(at));
        // Digits and punctuation.
        String::from_utf8(text).unwrap_or_default()
    }

    /// The same to the millisecond.
    #[must_use]
    pub fn timestamp_ms(&self, at: Ktime) -> String {
        let mut text = self.timestamp(at);
        // Six digits and the Z.
        text.truncate(text.len().saturating_sub(7));
        text.push('Z');
        text
    }

    pub(super) fn write_entity_id(&self, out: &mut Vec<u8>, group: GroupKey, start: Ktime) {
        let start = if group.tgid == INIT { Ktime(0) } else { start };
        out.extend_from_slice(self.boot.as_bytes());
        out.push(b'-');
        number(out, u64::from(group.tgid.0));
        out.push(b'-');
        digits(out, start.0, 1);
    }
}
