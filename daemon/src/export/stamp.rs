//! Converts the kernel's boot time to wall-clock time, and pids to ids that no reboot repeats.

use crate::lineage::id::{GroupKey, Ktime, Tgid};

use super::{
    encode::{Key, Object, number},
    host::SharedHost,
    zone::Zone,
};

/// Characters of the boot id in an entity id: enough to distinguish the boots of one host.
const BOOT_CHARS: usize = 8;

/// The first process of a boot.
const INIT: Tgid = Tgid(1);

/// The boot id, the offset of the wall clock from the boot time, and the host if lines name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    boot: String,
    wall_offset_ns: i128,
    zone: Zone,
    host: Option<SharedHost>,
}

impl Stamp {
    /// `boot_id` as in `/proc/sys/kernel/random/boot_id`; `wall_offset_ns` is added to a boottime to get ns since the epoch.
    #[must_use]
    pub fn new(boot_id: &str, wall_offset_ns: i128) -> Self {
        let boot = boot_id.chars().filter(char::is_ascii_hexdigit).take(BOOT_CHARS).collect();
        Self { boot, wall_offset_ns, zone: Zone::Utc, host: None }
    }

    /// Returns the stamp with the local zone, for lines that people read.
    #[must_use]
    pub fn in_local_zone(mut self) -> Self {
        self.zone = Zone::Local;
        // Reads the zone's file before the sandbox forbids it.
        let _ = self.zone.rules();
        self
    }

    /// Returns the stamp with the host that lines name.
    #[must_use]
    pub fn of_host(mut self, host: SharedHost) -> Self {
        self.host = Some(host);
        self
    }

    /// The host that lines name.
    #[must_use]
    pub const fn host(&self) -> Option<&SharedHost> {
        self.host.as_ref()
    }

    /// The zone of lines that people read.
    #[must_use]
    pub const fn zone(&self) -> Zone {
        self.zone
    }

    /// Returns the beginning of the boot id, with which entity ids begin.
    #[must_use]
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// Sets another offset, after the wall clock was set.
    pub const fn set_wall_offset(&mut self, wall_offset_ns: i128) {
        self.wall_offset_ns = wall_offset_ns;
    }

    /// Returns a boot time as wall-clock time, ns since the epoch.
    #[must_use]
    pub fn wall_ns(&self, at: Ktime) -> i128 {
        i128::from(at.0) + self.wall_offset_ns
    }

    /// Returns the id of a group, which is unique across reboots and restarts of the daemon; `None` while its start is unknown.
    ///
    /// Pid 1 has an id without a start, so that the id is the same whether the start was read from the kernel (in ns) or from
    /// /proc (in ticks), or is not known yet.
    #[must_use]
    pub fn entity_id(&self, group: GroupKey) -> Option<String> {
        if group.tgid == INIT {
            return Some(format!("{}-1-0", self.boot));
        }
        group.start.map(|start| format!("{}-{}-{}", self.boot, group.tgid, start.0))
    }

    /// Returns the boot time of a wall-clock time; `None` if that is before the boot.
    #[must_use]
    pub fn at_wall(&self, wall_ns: i128) -> Option<Ktime> {
        u64::try_from(wall_ns - self.wall_offset_ns).ok().map(Ktime)
    }

    /// Returns a boot time as wall-clock time in RFC 3339.
    #[must_use]
    pub fn timestamp(&self, at: Ktime) -> String {
        let mut text = Vec::with_capacity(30);
        super::time::rfc3339(&mut text, self.wall_ns(at));
        // Digits and punctuation.
        String::from_utf8(text).unwrap_or_default()
    }

    /// Returns the wall-clock time in milliseconds as RFC 3339.
    #[must_use]
    pub fn timestamp_ms(&self, at: Ktime) -> String {
        let text = self.timestamp(at);
        // Without six digits and the Z.
        let to_ms = text.get(..text.len().saturating_sub(7)).unwrap_or_default();
        format!("{to_ms}Z")
    }

    pub(super) fn write_entity_id(&self, out: &mut Vec<u8>, group: GroupKey, start: Ktime) {
        let start = if group.tgid == INIT { Ktime(0) } else { start };
        out.extend_from_slice(self.boot.as_bytes());
        out.push(b'-');
        number(out, u64::from(group.tgid.0));
        out.push(b'-');
        number(out, start.0);
    }
}

/// Writes the entity id of a process whose start is known.
pub(super) fn write_entity(object: &mut Object<'_>, key: Key, group: GroupKey, stamp: &Stamp) {
    if let Some(start) = group.start {
        object.text(key, |out| stamp.write_entity_id(out, group, start));
    }
}
