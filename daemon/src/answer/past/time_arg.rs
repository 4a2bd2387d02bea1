//! Parses times as people write them: a duration ago, a time of day, or RFC 3339. The API reads them in UTC, the command line in
//! local time.

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

use crate::{
    duration,
    export::{Stamp, Zone},
    lineage::id::Ktime,
};

/// Parses `5m` (ago), `14:30:05`, `2026-11-20 14:30` or `2026-11-20T14:30:05.5Z`.
pub fn parse(text: &str, now: Ktime, stamp: &Stamp) -> Result<Ktime, String> {
    if is_age(text) {
        let ago = duration::parse(text)?;
        return Ok(Ktime(now.0.saturating_sub(duration::ns(ago))));
    }
    let moment = in_zone(text.strip_suffix('Z').unwrap_or(text), stamp.wall_ns(now), &TimeZone::UTC);
    let moment = moment.ok_or_else(|| not_a_time(text))?;
    stamp
        .at_wall(moment.as_nanosecond())
        .filter(|at| *at <= now)
        .ok_or_else(|| format!("{text} is in the future, or before this host booted"))
}

/// Parses the same as ms of the wall clock since the epoch. The time may be before the boot.
pub fn past_ms(text: &str, now: Ktime, stamp: &Stamp) -> Result<i64, String> {
    let now_ns = stamp.wall_ns(now);
    let ns = if is_age(text) {
        now_ns - i128::from(duration::ns(duration::parse(text)?))
    } else {
        let moment = in_zone(text.strip_suffix('Z').unwrap_or(text), now_ns, &TimeZone::UTC);
        moment.ok_or_else(|| not_a_time(text))?.as_nanosecond()
    };
    if ns > now_ns {
        return Err(format!("{text} is in the future"));
    }
    i64::try_from(ns.div_euclid(1_000_000)).map_err(|_| not_a_time(text))
}

fn not_a_time(text: &str) -> String {
    format!("`{text}` is not a time; write 5m (ago), 14:30:05, or 2026-11-20T14:30:05Z (times are UTC)")
}

/// Converts a time in local time to UTC for [`parse`]. A text that ends in `Z` is in UTC already, and a duration ago has no zone.
/// Returns `None` for other text.
#[must_use]
pub fn to_utc(text: &str, now_wall_ns: i128, zone: Zone) -> Option<String> {
    if text.ends_with('Z') || !text.contains(['-', ':']) {
        return Some(text.to_owned());
    }
    in_zone(text, now_wall_ns, zone.rules()).map(|moment| format!("{moment:.9}"))
}

/// The wall-clock time of an RFC 3339 timestamp in UTC, ns since the epoch.
#[must_use]
pub fn wall_ns(timestamp: &str) -> Option<i128> {
    timestamp.parse::<Timestamp>().ok().map(Timestamp::as_nanosecond)
}

fn is_age(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains(['-', ':'])
}

/// Parses a date and a time in the zone, or a time of day, which is its last occurrence: today's, or yesterday's if today's is in
/// the future. If the zone's clocks skip that time or show it twice, the earlier offset applies, as in RFC 5545.
fn in_zone(text: &str, now_wall_ns: i128, zone: &TimeZone) -> Option<Timestamp> {
    let at = |date: Date, time: &str| {
        let time = Time::strptime("%H:%M:%S%.f", time).or_else(|_| Time::strptime("%H:%M", time)).ok()?;
        zone.to_timestamp(DateTime::from_parts(date, time)).ok()
    };
    if let Some((date, time)) = text.split_once(['T', ' ']) {
        return at(Date::strptime("%Y-%m-%d", date).ok()?, time);
    }
    let now = Timestamp::from_nanosecond(now_wall_ns).ok()?;
    let today = zone.to_datetime(now).date();
    at(today, text).filter(|moment| *moment <= now).or_else(|| at(today.yesterday().ok()?, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-20 21:30:00 UTC at 1000 s after the boot.
    fn at(text: &str) -> Result<Ktime, String> {
        let wall_ns = super::wall_ns("2026-11-20T21:30:00Z").unwrap();
        let now = Ktime(1_000_000_000_000);
        parse(text, now, &Stamp::new("0", wall_ns - i128::from(now.0)))
    }

    #[test]
    fn each_way_of_writing_means_the_same() {
        for text in ["5m", "21:25", "21:25:00", "2026-11-20 21:25", "2026-11-20T21:25:00.000Z"] {
            assert_eq!(at(text), Ok(Ktime(700_000_000_000)), "{text}");
        }
        assert_eq!(at("21:25:00.5"), Ok(Ktime(700_500_000_000)));
    }

    #[test]
    fn a_timestamp_is_read_as_it_was_written() {
        for wall_ns in [0, 1_709_210_096_000_000_007, 4_102_444_800_000_000_000] {
            let text = Stamp::new("", wall_ns).timestamp(Ktime(0));
            assert_eq!(super::wall_ns(&text), Some(wall_ns), "{text}");
        }
        assert_eq!(super::wall_ns("2026-11-20"), None);
    }

    #[test]
    fn a_moment_without_a_zone_is_local() {
        let now = 1_795_210_200_000_000_000;
        let utc = |text| to_utc(text, now, Zone::Utc);
        assert_eq!(utc("5m").as_deref(), Some("5m"));
        assert_eq!(utc("2026-11-20T21:25:00Z").as_deref(), Some("2026-11-20T21:25:00Z"));
        assert_eq!(utc("2026-11-20 21:25").as_deref(), Some("2026-11-20T21:25:00.000000000Z"));
        assert_eq!(utc("21:25").map(|mut text| text.split_off(11)).as_deref(), Some("21:25:00.000000000Z"));
        assert_eq!(utc("25:00"), None);
    }

    #[test]
    fn a_time_of_day_is_the_last_one() {
        let now = super::wall_ns("2026-11-20T00:21:00Z").unwrap();
        let zone = |text, zone| in_zone(text, now, &zone).map(|moment| moment.to_string());
        for (text, day) in [("00:20", "20"), ("00:21", "20"), ("00:22", "19"), ("14:30", "19")] {
            let expected = format!("2026-11-{day}T{text}:00Z");
            assert_eq!(zone(text, TimeZone::UTC), Some(expected), "{text}");
        }
        // There it is 19:21 on the 19th.
        let west = || TimeZone::posix("EST5").unwrap();
        assert_eq!(zone("14:30", west()).as_deref(), Some("2026-11-19T19:30:00Z"));
        assert_eq!(zone("20:00", west()).as_deref(), Some("2026-11-19T01:00:00Z"));
    }

    #[test]
    fn a_local_time_that_clocks_skip_or_show_twice_has_the_offset_before() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let utc = |text| in_zone(text, 0, &zone).map(|moment| moment.to_string());
        assert_eq!(utc("2026-07-01 9:30").as_deref(), Some("2026-07-01T07:30:00Z"));
        assert_eq!(utc("2026-03-29 02:30").as_deref(), Some("2026-03-29T01:30:00Z"), "skipped");
        assert_eq!(utc("2026-10-25 02:30").as_deref(), Some("2026-10-25T00:30:00Z"), "shown twice");
        assert_eq!(utc("2026-02-30 02:30"), None);
    }

    #[test]
    fn what_is_no_moment_or_not_yet_is_refused_by_name() {
        for text in [
            "",
            "25:00",
            "21:31",
            "2026-13-01 00:00",
            "2026-11-20",
            "1:2:3:4",
            "yesterday",
            "5x",
            "99999999999999999999h",
            "1999-01-01 00:00",
        ] {
            assert!(at(text).is_err_and(|error| error.contains(text)), "{text}");
        }
    }
}
