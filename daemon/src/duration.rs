//! Lengths of time as people write them, on the command line and in the configuration.
//!
//! This does not use `jiff`, whose format also accepts texts that would be mistakes here (`1 year`, `-5s`, `5s ago`) and refuses a
//! bare number, and whose errors name neither the possible units nor the longest time.
//!
//! A length of time in a sentence or a table is written by `verdict::duration`. In a line of `taskscope events` it is a field
//! without blanks (`export/text.rs`).

use std::time::Duration;

/// The longest duration: 100 years. The kernel's clock plus three such durations fits 64 bits of nanoseconds.
pub const MAX: Duration = Duration::from_secs(876_000 * 3600);

/// Returns the duration in nanoseconds; `u64::MAX` if it does not fit.
#[must_use]
pub fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The units, the largest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Parses `500ms`, `10s`, `2m`, `1h` or `1d`, and sums such as `1h30m` with the larger unit first, up to [`MAX`]; a bare number
/// is seconds.
pub fn parse(text: &str) -> Result<Duration, String> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    let mut next_unit = 0;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at_checked(digits).unwrap_or_default();
        if number.is_empty() {
            return Err(format!("`{text}` is not a duration such as 500ms, 10s, 2m, 1d or 1h30m"));
        }
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (name, tail) = tail.split_at_checked(letters).unwrap_or_default();
        let is_bare = name.is_empty() && next_unit == 0 && tail.is_empty();
        let unit = UNITS.iter().position(|&(unit, _)| unit == if is_bare { "s" } else { name });
        let Some(unit) = unit else {
            return Err(format!("`{name}` in `{text}` is not a unit of time: use ms, s, m, h or d"));
        };
        if unit < next_unit {
            return Err(format!("`{text}` is not a duration: the larger unit comes first, as in 1h30m"));
        }
        next_unit = unit + 1;
        // A number that does not fit is too large in any unit.
        let number: u64 = number.parse().unwrap_or(u64::MAX);
        let millis = UNITS.get(unit).map_or(0, |&(_, millis)| number.saturating_mul(millis));
        sum = sum.saturating_add(Duration::from_millis(millis));
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    if sum > MAX {
        return Err(format!("`{text}` is too long: {} (100 years) is the longest", self::text(MAX)));
    }
    Ok(sum)
}

/// Writes a duration in the largest unit that leaves no remainder; [`parse`] reads it.
#[must_use]
pub fn text(duration: Duration) -> String {
    let millis = duration.as_millis();
    let whole = [(3_600_000, "h"), (60_000, "m"), (1000, "s")]
        .into_iter()
        .find(|(unit, _)| millis > 0 && millis.is_multiple_of(*unit));
    match whole {
        Some((unit, name)) => format!("{}{name}", millis / unit),
        None if millis == 0 => "0s".into(),
        None => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_are_lengths_of_time() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse("1d"), Ok(Duration::from_secs(86_400)));
    }

    #[test]
    fn units_add_up_the_larger_one_first() {
        assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse("1d2h3m4s5ms"), Ok(Duration::from_millis(93_784_005)));
        for text in ["30m1h", "1h1h", "1h30", "1h30m ", "1d-2h"] {
            assert!(parse(text).is_err_and(|error| error.contains(text)), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (written, millis) in
            [("0s", 0), ("1ms", 1), ("1500ms", 1500), ("59s", 59_000), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(text(Duration::from_millis(millis)), written);
            assert_eq!(parse(written), Ok(Duration::from_millis(millis)));
        }
    }

    #[test]
    fn what_is_too_long_is_refused_with_the_longest_that_is_not() {
        assert_eq!(parse("876000h"), Ok(MAX));
        assert_eq!(parse(&text(MAX)), Ok(MAX));
        for text in [
            "876001h",
            "3153600000001ms",
            "18446744073709551615s",
            "99999999999999999999s",
            "99999999999999999999ms",
            "307445734561825861m",
            "5124095576030431h",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error, format!("`{text}` is too long: 876000h (100 years) is the longest"));
        }
    }

    #[test]
    fn the_longest_added_to_any_moment_of_the_clock_does_not_wrap() {
        let uptime_ns = ns(MAX);
        assert!(ns(MAX * 3).checked_add(uptime_ns).is_some());
        assert_eq!(ns(Duration::MAX), u64::MAX);
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for text in ["", "s", "-1s", "1.5s", "1w", "999999999999d", "1 s", "+1s"] {
            assert!(parse(text).is_err_and(|error| error.contains(text)), "{text}");
        }
    }
}
