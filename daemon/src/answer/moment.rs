//! Moments as people write them: so long ago, a time of day, or RFC 3339. The API takes them in UTC, the command line in local time.

use crate::{
    duration,
    export::{Stamp, Zone},
    lineage::id::Ktime,
};

const SECOND_NS: i128 = 1_000_000_000;
const DAY_S: i64 = 86_400;

/// Reads `5m` (ago), `14:30:05`, `2026-11-20 14:30` or `2026-11-20T14:30:05.5Z`.
pub fn parse(text: &str, now: Ktime, stamp: &Stamp) -> Result<Ktime, String> {
    let wrong = || {
        format!("`{text}` is no moment such as 5m (ago), 14:30:05, or 2026-11-20T14:30:05Z (times are UTC)")
    };
    if text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains(['-', ':']) {
        let ago = duration::parse(text)?;
        return Ok(Ktime(now.0.saturating_sub(duration::ns(ago))));
    }
    let today = i64::try_from(stamp.wall_ns(now).div_euclid(SECOND_NS * i128::from(DAY_S))).unwrap_or(0);
    let (day, clock) = match text.split_once(['T', ' ']) {
        Some((date, clock)) => (days(date).ok_or_else(wrong)?, clock),
        None => (today, text),
    };
    let ns = of_day(clock.strip_suffix('Z').unwrap_or(clock)).ok_or_else(wrong)?;
    let wall_ns = i128::from(day) * i128::from(DAY_S) * SECOND_NS + ns;
    stamp
        .at_wall(wall_ns)
        .filter(|at| *at <= now)
        .ok_or_else(|| format!("{text} is in the future, or before this host was started"))
}

/// Turns a moment in local time, as the command line takes it, into one in UTC for [`parse`]. What ends in `Z` is UTC already, and
/// so-long-ago has no zone. `None` is no moment.
#[must_use]
pub fn to_utc(text: &str, now_wall_ns: i128, zone: Zone) -> Option<String> {
    if text.ends_with('Z') || !text.contains(['-', ':']) {
        return Some(text.to_owned());
    }
    let offset_ns = |at: i128| i128::from(zone.offset_s(at)) * SECOND_NS;
    let day_ns = SECOND_NS * i128::from(DAY_S);
    let (day, clock) = match text.split_once(['T', ' ']) {
        Some((date, clock)) => (i128::from(days(date)?), clock),
        None => ((now_wall_ns + offset_ns(now_wall_ns)).div_euclid(day_ns), text),
    };
    let shown = day * day_ns + of_day(clock)?;
    // The offset at that moment, which is itself known by the offset only.
    let about = shown - offset_ns(shown);
    Some(Stamp::new("", shown - offset_ns(about)).timestamp(Ktime(0)))
}

/// The wall-clock time of an RFC 3339 timestamp in UTC, ns since the epoch.
#[must_use]
pub fn wall_ns(timestamp: &str) -> Option<i128> {
    let (date, clock) = timestamp.strip_suffix('Z')?.split_once('T')?;
    Some(i128::from(days(date)?) * i128::from(DAY_S) * SECOND_NS + of_day(clock)?)
}

/// `14:30` or `14:30:05.5` as ns of the day.
fn of_day(clock: &str) -> Option<i128> {
    let mut parts = clock.split(':');
    let hour = number(parts.next()?, 23)?;
    let minute = number(parts.next()?, 59)?;
    let (second, fraction) = match parts.next() {
        None => (0, 0),
        Some(text) => {
            let (second, fraction) = text.split_once('.').unwrap_or((text, ""));
            let digits = format!("{fraction:0<9}");
            (number(second, 60)?, number(digits.get(..9)?, 999_999_999)?)
        }
    };
    if parts.next().is_some() {
        return None;
    }
    Some(i128::from(hour * 3600 + minute * 60 + second) * SECOND_NS + i128::from(fraction))
}

fn number(text: &str, most: i64) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&number| digits && number <= most)
}

/// Days since 1970-01-01 of `2026-11-20`: Howard Hinnant's `days_from_civil`.
fn days(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let year = number(parts.next()?, 9999)?;
    let month = number(parts.next()?, 12).filter(|&month| month > 0)?;
    let day = number(parts.next()?, 31).filter(|&day| day > 0)?;
    if parts.next().is_some() {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-20 21:30:00 UTC at 1000 s after the boot.
    fn at(text: &str) -> Result<Ktime, String> {
        let wall_ns = (i128::from(days("2026-11-20").unwrap()) * i128::from(DAY_S) + 77_400) * SECOND_NS;
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
        let now = 1_795_210_200 * SECOND_NS;
        let utc = |text| to_utc(text, now, Zone::Utc);
        assert_eq!(utc("5m").as_deref(), Some("5m"));
        assert_eq!(utc("2026-11-20T21:25:00Z").as_deref(), Some("2026-11-20T21:25:00Z"));
        assert_eq!(utc("2026-11-20 21:25").as_deref(), Some("2026-11-20T21:25:00.000000000Z"));
        assert_eq!(utc("21:25").map(|mut text| text.split_off(11)).as_deref(), Some("21:25:00.000000000Z"));
        assert_eq!(utc("25:00"), None);
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
