//! The zone in which times are shown to people. Programs get UTC.

use std::sync::OnceLock;

use jiff::{Timestamp, tz::TimeZone};

/// A time zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zone {
    /// UTC.
    #[default]
    Utc,
    /// The zone of this process: `TZ`, else /etc/localtime (tzset(3)); UTC if neither names one.
    Local,
}

impl Zone {
    /// Returns the zone's rules. The first call for [`Zone::Local`] reads files, so a daemon calls it before it installs the
    /// sandbox.
    #[must_use]
    pub fn rules(self) -> &'static TimeZone {
        static LOCAL: OnceLock<TimeZone> = OnceLock::new();
        static UTC: TimeZone = TimeZone::UTC;
        match self {
            Self::Utc => &UTC,
            Self::Local => LOCAL.get_or_init(|| TimeZone::try_system().unwrap_or(TimeZone::UTC)),
        }
    }

    /// Returns how far the zone's clocks are ahead of UTC at a given time, s; 0 for a moment before the year -9999 or after 9999.
    #[must_use]
    pub fn offset_s(self, since_epoch_ns: i128) -> i64 {
        if self == Self::Utc {
            return 0;
        }
        let offset =
            Timestamp::from_nanosecond(since_epoch_ns).map(|at| self.rules().to_offset(at).seconds());
        offset.map_or(0, i64::from)
    }
}
