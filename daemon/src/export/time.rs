//! Wall-clock time as text: RFC 3339 in UTC for programs, a time of day or a date in a zone for people.
//!
//! Each event carries two timestamps, a step of the scheduler one. They are written here digit by digit and not by `jiff`, which formats through
//! `fmt::Write` with a check of every field: the encoder is the hottest code of the daemon after the lineage. `jiff` does
//! everything else about dates and zones.

use jiff::Timestamp;

use super::{encode::digits, zone::Zone};

const SECOND_NS: i128 = 1_000_000_000;
const DAY_S: i64 = 86_400;

/// Year, month and day of a number of days since 1970-01-01, by the proleptic Gregorian calendar.
///
/// Howard Hinnant's `civil_from_days`: years begin in March, so that the leap day is the last of a year.
const fn civil(days: i64) -> (i64, u64, u64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month.unsigned_abs(), day.unsigned_abs())
}

/// Date and time of day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Utc {
    year: i64,
    month: u64,
    day: u64,
    second_of_day: u64,
    ns: u64,
}

fn utc(since_epoch_ns: i128) -> Utc {
    let ns = since_epoch_ns.rem_euclid(SECOND_NS);
    let seconds = i64::try_from(since_epoch_ns.div_euclid(SECOND_NS)).unwrap_or(0);
    let (year, month, day) = civil(seconds.div_euclid(DAY_S));
    Utc {
        year,
        month,
        day,
        second_of_day: seconds.rem_euclid(DAY_S).unsigned_abs(),
        ns: u64::try_from(ns).unwrap_or(0),
    }
}

/// Writes a time as `2026-11-20T21:30:00.123456789Z`.
pub(super) fn rfc3339(out: &mut Vec<u8>, since_epoch_ns: i128) {
    match u64::try_from(since_epoch_ns) {
        Ok(since_epoch_ns) => out.extend_from_slice(&of_this_era(since_epoch_ns)),
        Err(_) => far_off(out, since_epoch_ns),
    }
}

/// Returns the text of a time from 1970 to 2554, computed in 32 bits: a third of the time that [`far_off`] takes.
const fn of_this_era(since_epoch_ns: u64) -> [u8; 30] {
    let (seconds, ns) = (since_epoch_ns / 1_000_000_000, (since_epoch_ns % 1_000_000_000) as u32);
    let (days, second) = ((seconds / 86_400) as u32, (seconds % 86_400) as u32);
    let (year, month, day) = civil_u32(days);
    let ([y1, y2], [y3, y4]) = (two(year / 100), two(year % 100));
    let ([m1, m2], [d1, d2]) = (two(month), two(day));
    let ([h1, h2], [i1, i2], [s1, s2]) = (two(second / 3600), two(second / 60 % 60), two(second % 60));
    let (high, low) = (ns / 100_000, ns % 100_000);
    let ([n1, n2], [n3, n4]) = (two(high / 100), two(high % 100));
    let (n5, [n6, n7], [n8, n9]) = (b'0' + (low / 10_000) as u8, two(low / 100 % 100), two(low % 100));
    [
        y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', i1, i2, b':', s1, s2, b'.', n1, n2,
        n3, n4, n5, n6, n7, n8, n9, b'Z',
    ]
}

/// As [`civil`], for days from 1970 on.
const fn civil_u32(days: u32) -> (u32, u32, u32) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + if month <= 2 { 1 } else { 0 }, month, day)
}

/// Two digits of a number below 100.
const fn two(value: u32) -> [u8; 2] {
    [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]
}

fn far_off(out: &mut Vec<u8>, since_epoch_ns: i128) {
    let utc = utc(since_epoch_ns);
    digits(out, utc.year.unsigned_abs(), 4);
    out.push(b'-');
    digits(out, utc.month, 2);
    out.push(b'-');
    digits(out, utc.day, 2);
    out.push(b'T');
    clock(out, utc.second_of_day);
    out.push(b'.');
    digits(out, utc.ns, 9);
    out.push(b'Z');
}

/// Writes a moment's time of day in a zone as `22:30:00.123456+01:00`; UTC as `21:30:00.123456Z`.
pub(super) fn time_of_day(out: &mut Vec<u8>, since_epoch_ns: i128, zone: Zone) {
    let offset_s = zone.offset_s(since_epoch_ns);
    let utc = utc(since_epoch_ns + i128::from(offset_s) * SECOND_NS);
    clock(out, utc.second_of_day);
    out.push(b'.');
    digits(out, utc.ns / 1000, 6);
    if offset_s == 0 {
        return out.push(b'Z');
    }
    out.push(if offset_s < 0 { b'-' } else { b'+' });
    let minutes = offset_s.unsigned_abs() / 60;
    digits(out, minutes / 60, 2);
    out.push(b':');
    digits(out, minutes % 60, 2);
}

/// Writes a time in a zone for people: `2026-11-20 22:30:00.123 CET`.
#[must_use]
pub fn local(since_epoch_ns: i128, zone: Zone) -> String {
    Timestamp::from_nanosecond(since_epoch_ns).map_or_else(
        |_| format!("{since_epoch_ns} ns since 1970"),
        |at| at.to_zoned(zone.rules().clone()).strftime("%Y-%m-%d %H:%M:%S.%3f %Z").to_string(),
    )
}

fn clock(out: &mut Vec<u8>, second_of_day: u64) {
    digits(out, second_of_day / 3600, 2);
    out.push(b':');
    digits(out, second_of_day / 60 % 60, 2);
    out.push(b':');
    digits(out, second_of_day % 60, 2);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(since_epoch_ns: i128) -> String {
        let mut out = Vec::new();
        rfc3339(&mut out, since_epoch_ns);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_moments_are_written_right() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(text(1_000_000_000 * SECOND_NS), "2001-09-09T01:46:40.000000000Z");
        assert_eq!(text(1_709_210_096 * SECOND_NS + 7), "2024-02-29T12:34:56.000000007Z");
        assert_eq!(text(951_868_799 * SECOND_NS + 999_999_999), "2000-02-29T23:59:59.999999999Z");
        assert_eq!(text(4_102_444_800 * SECOND_NS), "2100-01-01T00:00:00.000000000Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59.999999999Z");
    }

    #[test]
    fn a_moment_is_shown_in_its_zone_with_the_zones_name() {
        assert_eq!(local(1_709_210_096_987_654_321, Zone::Utc), "2024-02-29 12:34:56.987 UTC");
        assert_eq!(local(i128::MAX, Zone::Utc), format!("{} ns since 1970", i128::MAX));
    }

    #[test]
    fn the_calendar_is_jiffs() {
        // 0001-01-01 to 9999-12-31.
        for days in (-719_162..=2_932_896).step_by(97) {
            let ns = i128::from(days) * i128::from(DAY_S) * SECOND_NS + 12_345_678_901;
            let expected = Timestamp::from_nanosecond(ns).unwrap();
            assert_eq!(text(ns), format!("{expected:.9}"));
        }
    }
}
