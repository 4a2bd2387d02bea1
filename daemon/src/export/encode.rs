//! Numbers and JSON, written straight into a line.
//!
//! This does not use `serde_json`: an event has fields that depend on its action and names that need not be UTF-8, and a line is
//! written without building a value first. Answers, which are few, are written by `serde_json` (`answer.rs`).

/// The most digits of a `u64`.
const MAX_DIGITS: usize = 20;

/// Writes a number with at least `width` digits.
pub(super) fn digits(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut text = [b'0'; MAX_DIGITS];
    let mut at = MAX_DIGITS;
    for pair in text.rchunks_exact_mut(2) {
        if value == 0 {
            break;
        }
        let two = (value % 100) as u8;
        value /= 100;
        pair.copy_from_slice(&[b'0' + two / 10, b'0' + two % 10]);
        at -= if value == 0 && two < 10 { 1 } else { 2 };
    }
    let from = at.min(MAX_DIGITS - width.clamp(1, MAX_DIGITS));
    out.extend_from_slice(text.get(from..).unwrap_or_default());
}

/// Writes a number.
pub(super) fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes a number that can be negative.
pub(super) fn signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    number(out, value.unsigned_abs());
}

/// Writes a JSON string; a byte that is not UTF-8 becomes U+FFFD. Returns false if there was such a byte.
pub(super) fn string(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    out.push(b'"');
    let mut clean = true;
    // Nearly all names are ASCII without anything to escape.
    if bytes.iter().all(|&b| is_plain(b)) {
        out.extend_from_slice(bytes);
    } else {
        for chunk in bytes.utf8_chunks() {
            chunk.valid().chars().for_each(|c| escape(out, c));
            for _ in chunk.invalid() {
                out.extend_from_slice("\u{fffd}".as_bytes());
                clean = false;
            }
        }
    }
    out.push(b'"');
    clean
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// A reader that shows the line unparsed must not be misled either.
fn escape(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        _ if is_unsafe(c) => {
            out.extend_from_slice(b"\\u");
            let [.., high, low] = u32::from(c).to_be_bytes();
            hex(out, high);
            hex(out, low);
        }
        _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Control characters, also those above ASCII (C1); and characters that turn, hide or end the text around them. All are below
/// U+10000.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// Writes a byte as two hex digits.
pub(super) fn hex(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for half in [byte >> 4, byte & 15] {
        out.extend(HEX.get(usize::from(half)));
    }
}

/// A field's name as it stands in an object, with the comma before it, the quotes and the colon: one piece to copy.
#[derive(Clone, Copy)]
pub(super) struct Key(&'static str);

impl Key {
    /// See [`key`].
    pub(super) const fn of(piece: &'static str) -> Self {
        Self(piece)
    }

    /// The name, without anything around it.
    fn name(self) -> &'static str {
        self.0.get(2..self.0.len().saturating_sub(2)).unwrap_or_default()
    }
}

/// The [`Key`] of a name that needs no escape.
macro_rules! key {
    ($name:literal) => {
        $crate::export::encode::Key::of(concat!(",\"", $name, "\":"))
    };
}
pub(super) use key;

/// A JSON object that is being written. A field that is not known is not written.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

#[expect(clippy::inline_always, reason = "names are copied with a known length only where they are inlined")]
impl<'a> Object<'a> {
    /// Opens an object. Its brace is written with its first field.
    pub(super) const fn open(out: &'a mut Vec<u8>) -> Self {
        Self { out, empty: true }
    }

    /// Closes the object.
    pub(super) fn close(self) {
        self.out.extend_from_slice(if self.empty { b"{}" } else { b"}" });
    }

    #[inline(always)]
    fn key(&mut self, key: Key) -> &mut Vec<u8> {
        let at = self.out.len();
        self.out.extend_from_slice(key.0.as_bytes());
        if std::mem::replace(&mut self.empty, false)
            && let Some(comma) = self.out.get_mut(at)
        {
            *comma = b'{';
        }
        self.out
    }

    /// The place in the buffer of what is written next.
    pub(super) const fn position(&self) -> usize {
        self.out.len()
    }

    /// What was written since the buffer was at `position`.
    pub(super) fn since(&self, position: usize) -> &[u8] {
        self.out.get(position..).unwrap_or_default()
    }

    /// Writes fields that were written at this place of another line.
    pub(super) fn raw(&mut self, fields: &[u8]) {
        self.out.extend_from_slice(fields);
        self.empty &= fields.is_empty();
    }

    /// Writes a number.
    #[inline(always)]
    pub(super) fn number(&mut self, key: Key, value: impl Into<u64>) {
        number(self.key(key), value.into());
    }

    /// Writes a number that can be negative.
    #[inline(always)]
    pub(super) fn signed(&mut self, key: Key, value: i32) {
        signed(self.key(key), i64::from(value));
    }

    /// Writes `true`; an absent field means false.
    #[inline(always)]
    pub(super) fn yes(&mut self, key: Key) {
        self.key(key).extend_from_slice(b"true");
    }

    /// Writes a name of taskscope's own, which needs no escape.
    #[inline(always)]
    pub(super) fn name(&mut self, key: Key, value: &str) {
        let out = self.key(key);
        out.push(b'"');
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
    }

    /// Writes bytes that another process chose. If they are not UTF-8, the exact bytes follow as hex under `key` + `_bytes`.
    pub(super) fn bytes(&mut self, key: Key, value: &[u8]) {
        if string(self.key(key), value) {
            return;
        }
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(key.name().as_bytes());
        self.out.extend_from_slice(b"_bytes\":\"");
        for &byte in value {
            hex(self.out, byte);
        }
        self.out.push(b'"');
    }

    /// Writes a list of byte strings that another process chose. If some are not UTF-8, the exact bytes follow as hex under `key`
    /// + `_bytes`, in the same places; `null` stands for the others.
    pub(super) fn list(&mut self, key: Key, values: &[impl AsRef<[u8]>]) {
        let out = self.key(key);
        out.push(b'[');
        let mut clean = true;
        for (n, value) in values.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            clean &= string(out, value.as_ref());
        }
        out.push(b']');
        if clean {
            return;
        }
        out.extend_from_slice(b",\"");
        out.extend_from_slice(key.name().as_bytes());
        out.extend_from_slice(b"_bytes\":[");
        for (n, value) in values.iter().map(AsRef::as_ref).enumerate() {
            if n > 0 {
                out.push(b',');
            }
            if std::str::from_utf8(value).is_ok() {
                out.extend_from_slice(b"null");
                continue;
            }
            out.push(b'"');
            for &byte in value {
                hex(out, byte);
            }
            out.push(b'"');
        }
        out.push(b']');
    }

    /// Writes the names of the bits that are set.
    pub(super) fn bits<T: Copy>(&mut self, key: Key, names: &[(T, &str)], is_set: impl Fn(T) -> bool) {
        let out = self.key(key);
        out.push(b'[');
        let mut empty = true;
        for (_, name) in names.iter().filter(|(bit, _)| is_set(*bit)) {
            if !empty {
                out.push(b',');
            }
            empty = false;
            out.push(b'"');
            out.extend_from_slice(name.as_bytes());
            out.push(b'"');
        }
        out.push(b']');
    }

    /// Writes a nested object.
    #[inline(always)]
    pub(super) fn object(&mut self, key: Key, fill: impl FnOnce(&mut Object<'_>)) {
        let out = self.key(key);
        let mut inner = Object::open(out);
        fill(&mut inner);
        inner.close();
    }

    /// Writes a value that is JSON already.
    #[inline(always)]
    pub(super) fn json(&mut self, key: Key, value: &[u8]) {
        self.key(key).extend_from_slice(value);
    }

    /// Returns the buffer, for a value that writes itself between quotes.
    #[inline(always)]
    pub(super) fn text(&mut self, key: Key, write: impl FnOnce(&mut Vec<u8>)) {
        let out = self.key(key);
        out.push(b'"');
        write(out);
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::export::tests::hostile_name;

    fn json(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        object.bytes(key!("name"), bytes);
        object.close();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_whole() {
        for value in [0, 7, 10, 99, 100, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
        let mut out = Vec::new();
        signed(&mut out, i64::MIN);
        assert_eq!(String::from_utf8(out).unwrap(), i64::MIN.to_string());
    }

    #[test]
    fn hostile_names_stay_inside_their_string() {
        for name in [
            &b"a\"b\\c"[..],
            b"new\nline\r\t",
            b"\x1b[31mred\x7f",
            "häß\u{1f600}".as_bytes(),
            b"",
            b"\x01\x02",
        ] {
            let value: serde_json::Value = serde_json::from_str(&json(name)).unwrap();
            assert_eq!(value["name"], std::str::from_utf8(name).unwrap());
            assert!(value.get("name_bytes").is_none());
        }
    }

    #[test]
    fn characters_that_turn_hide_or_end_text_are_escaped() {
        let name = "a\u{85}\u{202e}b\u{2066}\u{200f}\u{61c}\u{2028}\u{2029}\u{7f}ü";
        let text = json(name.as_bytes());
        assert_eq!(text, r#"{"name":"a\u0085\u202eb\u2066\u200f\u061c\u2028\u2029\u007fü"}"#);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["name"], name);
    }

    /// The name that a reader of a line decodes, as docs/events.md describes.
    fn read_back(line: &str) -> Vec<u8> {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        match value.get("name_bytes").and_then(serde_json::Value::as_str) {
            Some(digits) => digits
                .as_bytes()
                .chunks(2)
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect(),
            None => value["name"].as_str().unwrap().as_bytes().to_vec(),
        }
    }

    proptest! {
        #[test]
        fn any_name_comes_back_from_its_line(name in hostile_name()) {
            prop_assert_eq!(read_back(&json(&name)), name);
        }

        #[test]
        fn no_line_has_a_character_that_shows_as_something_else(name in hostile_name()) {
            let line = json(&name);
            prop_assert!(!line.chars().any(is_unsafe), "{:?}", line);
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_marked_and_kept() {
        let value: serde_json::Value = serde_json::from_str(&json(b"h\xffl\xc3")).unwrap();
        assert_eq!(value["name"], "h\u{fffd}l\u{fffd}");
        assert_eq!(value["name_bytes"], "68ff6cc3");
    }
}
