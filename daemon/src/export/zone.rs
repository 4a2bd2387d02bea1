//! The zone in which times are shown to people. Programs get UTC.

use std::{cell::Cell, ffi::CStr, mem::MaybeUninit};

const SECOND_NS: i128 = 1_000_000_000;

/// Offsets change at whole quarters of an hour: tz database, `theory.html`.
const QUARTER_S: i64 = 900;

/// Which zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zone {
    /// UTC.
    #[default]
    Utc,
    /// That of this process: `TZ`, else /etc/localtime (tzset(3)).
    Local,
}

impl Zone {
    /// How far its clocks are ahead of UTC at a moment, in seconds.
    #[must_use]
    pub fn offset_s(self, since_epoch_ns: i128) -> i64 {
        thread_local! {
            /// The last quarter of an hour that was asked for, and its offset.
            static LAST: Cell<(i64, i64)> = const { Cell::new((i64::MIN, 0)) };
        }
        if self == Self::Utc {
            return 0;
        }
        let seconds = seconds(since_epoch_ns);
        let quarter = seconds.div_euclid(QUARTER_S);
        let (last, known) = LAST.get();
        if last == quarter {
            return known;
        }
        let offset = broken_down(seconds).map_or(0, |time| time.tm_gmtoff);
        LAST.set((quarter, offset));
        offset
    }

    /// Its name at a moment, such as `CET`, or `+03` where it has none.
    #[must_use]
    pub fn name(self, since_epoch_ns: i128) -> String {
        let local = match self {
            Self::Utc => None,
            Self::Local => broken_down(seconds(since_epoch_ns)),
        };
        let Some(time) = local.filter(|time| !time.tm_zone.is_null()) else { return "UTC".into() };
        // SAFETY: `tm_zone` of localtime_r(3) is a string with NUL that the C library keeps until the next tzset(3); nobody here
        // calls that after the first conversion.
        let name = unsafe { CStr::from_ptr(time.tm_zone) };
        name.to_string_lossy().into_owned()
    }
}

fn seconds(since_epoch_ns: i128) -> i64 {
    i64::try_from(since_epoch_ns.div_euclid(SECOND_NS)).unwrap_or(0)
}

/// The first call reads the zone's file: a daemon makes it before it denies itself files.
fn broken_down(seconds: i64) -> Option<libc::tm> {
    let mut time = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are valid for the call; localtime_r(3) writes the whole struct unless it answers NULL.
    let filled = unsafe { !libc::localtime_r(&raw const seconds, time.as_mut_ptr()).is_null() };
    // SAFETY: it was filled.
    filled.then(|| unsafe { time.assume_init() })
}
