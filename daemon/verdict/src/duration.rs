//! Times in sentences.

/// Formats a time in ns for a sentence, with at most two units: `2.1 s`, `3 h 12 min`.
#[must_use]
pub fn duration(ns: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let seconds = ns / 1_000_000_000;
    match ns {
        0..1_000_000 => format!("{} us", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", ns / 1_000_000),
        1_000_000_000..10_000_000_000 => {
            format!("{}.{} s", seconds, ns % 1_000_000_000 / 100_000_000)
        }
        _ => {
            let mut units = UNITS.into_iter().skip_while(|&(unit, _)| seconds < unit);
            let (unit, name) = units.next().unwrap_or((1, "s"));
            let (count, rest) = (seconds / unit, seconds % unit);
            match units.next() {
                Some((unit, second)) if rest / unit > 0 => {
                    format!("{count} {name} {} {second}", rest / unit)
                }
                _ => format!("{count} {name}"),
            }
        }
    }
}
