//! Compares Debian version numbers in dpkg's order.
//!
//! The order: <https://www.debian.org/doc/debian-policy/ch-controlfields.html#version>

use std::cmp::Ordering;

/// Compares `[epoch:]upstream[-revision]`.
pub(in crate::vm) fn compare(left: &str, right: &str) -> Ordering {
    let (left_epoch, left_upstream, left_revision) = split(left);
    let (right_epoch, right_upstream, right_revision) = split(right);
    left_epoch
        .cmp(&right_epoch)
        .then_with(|| compare_part(left_upstream, right_upstream))
        .then_with(|| compare_part(left_revision, right_revision))
}

/// Returns the upstream part: `10.0.2+ds` of `1:10.0.2+ds-2`.
pub(in crate::vm) fn upstream(version: &str) -> &str {
    split(version).1
}

fn split(version: &str) -> (u32, &str, &str) {
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Compares text and numbers in turn; in text, letters come first, and `~` is before the end.
fn compare_part(mut left: &str, mut right: &str) -> Ordering {
    loop {
        let (left_text, left_rest) = left.split_at(text_len(left));
        let (right_text, right_rest) = right.split_at(text_len(right));
        let longest = left_text.len().max(right_text.len());
        for index in 0..longest {
            let weights = [left_text, right_text].map(|text| weight(text.as_bytes().get(index).copied()));
            let order = weights[0].cmp(&weights[1]);
            if order.is_ne() {
                return order;
            }
        }
        let (left_number, left_rest) = left_rest.split_at(number_len(left_rest));
        let (right_number, right_rest) = right_rest.split_at(number_len(right_rest));
        let order = compare_numbers(left_number, right_number);
        if order.is_ne() || (left_rest.is_empty() && right_rest.is_empty()) {
            return order;
        }
        (left, right) = (left_rest, right_rest);
    }
}

/// Compares numbers of any length: by length without leading zeroes, then by digits.
fn compare_numbers(left: &str, right: &str) -> Ordering {
    let [left, right] = [left, right].map(|number| number.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

fn text_len(part: &str) -> usize {
    part.find(|c: char| c.is_ascii_digit()).unwrap_or(part.len())
}

fn number_len(part: &str) -> usize {
    part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len())
}

fn weight(byte: Option<u8>) -> u16 {
    match byte {
        Some(b'~') => 0,
        None => 1,
        Some(letter) if letter.is_ascii_alphabetic() => 2 + u16::from(letter),
        Some(other) => 512 + u16::from(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_as_dpkg_sorts_them() {
        let sorted = [
            "5.10.251-1",
            "5.10.251-10",
            "6.12.117-1~deb12u1",
            "6.12.117-1",
            "7.3.4-1~bpo13+1",
            "7.3.4-1",
            "7.3.4-1+b1",
            "7.3.10-1",
            "1:7.2+dfsg-7+deb12u15",
            "1:7.2+dfsg-7+deb12u18+b3",
            "1:10.0.2+ds-2+deb13u1~bpo12+1",
            "1:10.0.2+ds-2+deb13u1",
        ];
        for pair in sorted.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(compare("6.1.0-1", "6.01.0-1"), Ordering::Equal);
    }

    #[test]
    fn the_upstream_part_has_neither_epoch_nor_revision() {
        assert_eq!(upstream("1:10.0.2+ds-2+deb13u1"), "10.0.2+ds");
        assert_eq!(upstream("6.1"), "6.1");
    }
}
