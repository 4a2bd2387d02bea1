//! Answers as JSON, by serde. Names are escaped as in events.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use super::encode::is_unsafe;

/// Writes compact JSON without characters that change the direction of text, hide it or end it.
struct Escaping;

impl Formatter for Escaping {
    /// JSON's own special characters are not in a fragment.
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut from = 0;
        for (at, c) in fragment.char_indices().filter(|(_, c)| is_unsafe(*c)) {
            writer.write_all(fragment.get(from..at).unwrap_or_default().as_bytes())?;
            write!(writer, "\\u{:04x}", u32::from(c))?;
            from = at + c.len_utf8();
        }
        writer.write_all(fragment.get(from..).unwrap_or_default().as_bytes())
    }
}

/// Returns an answer as one line of JSON.
pub fn answer(value: &impl Serialize) -> serde_json::Result<String> {
    let mut text = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut text, Escaping))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_comes_back_and_shows_nothing_else(text in prop::collection::vec(any::<char>(), 0..40)) {
            let text: String = text.into_iter().collect();
            let json = answer(&text).unwrap();
            prop_assert!(!json.chars().any(is_unsafe), "{:?}", json);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn characters_that_turn_text_are_escaped() {
        let value = serde_json::json!({ "a\u{202e}": ["\u{85}x\u{2069}", "ü\n"] });
        assert_eq!(answer(&value).unwrap(), r#"{"a\u202e":["\u0085x\u2069","ü\n"]}"#);
    }
}
