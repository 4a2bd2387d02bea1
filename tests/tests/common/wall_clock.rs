//! RFC 3339 times and the distance between two clocks of the kernel.

use taskscope_tests::setting::now_ns;

/// Returns the least and the most by which the wall clock can be ahead of `CLOCK_BOOTTIME`, ns. They differ because this process
/// may be preempted between the two readings.
pub(crate) fn minus_boottime_ns() -> std::ops::RangeInclusive<i128> {
    let before = now_ns();
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let wall = i128::try_from(wall.as_nanos()).unwrap_or_default();
    wall - i128::from(now_ns())..=wall - i128::from(before)
}

/// Parses a time such as `2026-11-20T21:30:00.123456789Z`; returns ns since 1970.
pub(crate) fn parse(text: &str) -> i128 {
    let numbers: Vec<i128> =
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    let [year, month, day, hour, minute, second, nanos] = numbers.as_slice() else {
        panic!("not a time with ns: {text}")
    };
    assert!(text.len() == 30 && text.ends_with('Z'), "not UTC with nine digits: {text}");
    // Days by the civil calendar, years counted from March.
    let (y, m) = if *month > 2 { (*year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    ((days * 24 + hour) * 60 + minute) * 60_000_000_000 + second * 1_000_000_000 + nanos
}
