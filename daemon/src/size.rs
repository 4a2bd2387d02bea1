//! Sizes as people write them, on the command line and in the configuration. Only the units of systemd are accepted. The crates for
//! sizes accept more, and calling one with the checks against that would take as many lines as this file.

/// Parses `1048576`, `64K`, `256M` or `2G`, as systemd does: to the base 1024.
pub fn parse(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is not a size such as 256M"))?;
    let shift = match unit {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err(format!("`{unit}` in `{text}` is not a unit of size: use K, M or G")),
    };
    number.checked_mul(1 << shift).ok_or_else(|| format!("`{text}` is more than any machine has"))
}

/// Returns the text that [`parse`] reads, in the largest unit of which the size is a multiple.
#[must_use]
pub fn text(bytes: u64) -> String {
    let whole = [(30, "G"), (20, "M"), (10, "K")]
        .into_iter()
        .find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    whole.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_are_sizes() {
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(parse("1025"), Ok(1025));
        assert_eq!(parse("64K"), Ok(64 << 10));
        assert_eq!(parse("256M"), Ok(256 << 20));
        assert_eq!(parse("2G"), Ok(2 << 30));
        for wrong in ["", "M", "-1", "1m", "1 M", "1MB", "99999999999999999999", "99999999999G"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_size_is_written_as_it_is_read() {
        for bytes in [0, 1, 1023, 1024, 1025, 96 << 20, 3 << 30, u64::MAX] {
            assert_eq!(parse(&text(bytes)), Ok(bytes));
        }
    }
}
