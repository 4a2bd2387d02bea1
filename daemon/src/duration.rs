//! Lengths of time as people write them, on the command line and in the configuration.

use std::time::Duration;

/// Parses `500ms`, `10s`, `2m` or `1h`; a bare number is seconds.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 =
        number.parse().map_err(|_| format!("`{text}` is not a length of time such as 500ms, 10s or 2m"))?;
    let (seconds, millis) = match unit {
        "ms" => (0, number),
        "" | "s" => (number, 0),
        "m" => (number.saturating_mul(60), 0),
        "h" => (number.saturating_mul(3600), 0),
        _ => return Err(format!("`{unit}` in `{text}` is not a unit of time: use ms, s, m or h")),
    };
    let duration = Duration::from_secs(seconds).saturating_add(Duration::from_millis(millis));
    // The kernel counts in nanoseconds of 64 bits.
    if duration > Duration::from_nanos(u64::MAX) {
        return Err(format!("`{text}` is longer than any machine runs"));
    }
    Ok(duration)
}

/// Writes what [`parse`] reads, in the largest unit that leaves nothing over.
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
    fn anything_else_is_refused_by_name() {
        for text in ["", "s", "-1s", "1.5s", "1d", "99999999999999999999s", "999999999999999999h"] {
            assert!(parse(text).is_err_and(|error| error.contains(text)), "{text}");
        }
    }
}
