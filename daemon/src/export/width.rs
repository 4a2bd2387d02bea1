//! Width of text on a terminal: Chinese and Japanese characters take two columns, combining marks none.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Columns of text without control characters.
#[must_use]
pub fn columns(text: &str) -> usize {
    text.width()
}

/// Returns the longest prefix of a text that fits into `width` columns.
#[must_use]
pub fn fitting(text: &str, width: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > width
    });
    end.and_then(|(at, _)| text.get(..at)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns_and_are_never_halved() {
        assert_eq!(columns("工作x"), 5);
        assert_eq!(columns("e\u{301}"), 1);
        for (width, fits) in [(0, ""), (1, ""), (2, "工"), (3, "工"), (4, "工作"), (5, "工作x"), (9, "工作x")]
        {
            assert_eq!(fitting("工作x", width), fits, "{width}");
        }
    }
}
