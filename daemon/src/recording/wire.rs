//! The encoding of messages: that of protocol buffers, <https://protobuf.dev/programming-guides/encoding/>. Each field has a
//! number, so a later version can add fields that this one skips, and a field that is absent stays unknown.
//!
//! - `read`, `write`: fields as bytes; `plain`: types that one field can hold
//! - `macros`: messages, declared by the numbers of their fields

mod macros;
mod plain;
mod read;
mod write;

pub use self::read::Malformed;
pub(super) use self::{
    macros::{absent, code, found, is_default, message, put, taken},
    plain::Plain,
    write::{unzigzag, zigzag},
};
// Traces for other programs have the same encoding.
pub(crate) use self::{
    read::{Fields, Value},
    write::{bytes, nested, number, varint},
};
use crate::lineage::id::{GroupKey, TaskKey};

/// Wire types of the encoding.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

message!(TaskKey { 1 tid !, 2 start ! });
message!(GroupKey { 1 tgid !, 2 start ? });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::id::{Ktime, TaskRef, Tgid, Tid};

    #[test]
    fn numbers_of_any_size_and_sign_come_back() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            number.put(1, &mut out);
            let (field, value) = Fields::of(&out).next().unwrap().unwrap();
            assert_eq!((field, u64::get(value)), (1, Ok(number)));
            assert_eq!(zigzag(unzigzag(number)), number);
        }
        assert_eq!([0, -1, 1, -2].map(zigzag), [0, 1, 2, 3]);
    }

    #[test]
    fn a_message_longer_than_127_bytes_has_a_longer_length() {
        for length in [0, 1, 127, 128, 20_000] {
            let mut out = vec![7];
            nested(3, &mut out, |out| out.resize(out.len() + length, b'x'));
            let (field, value) = Fields::of(&out[1..]).next().unwrap().unwrap();
            assert_eq!((field, value.bytes().unwrap().len()), (3, length));
        }
    }

    #[test]
    fn unknown_fields_are_skipped_and_missing_ones_are_named() {
        let mut out = Vec::new();
        nested(1, &mut out, |out| {
            Tid(7).put(1, out);
            bytes(99, b"of a later version", out);
            Ktime(9).put(2, out);
        });
        let (_, value) = Fields::of(&out).next().unwrap().unwrap();
        let key = TaskKey { tid: Tid(7), start: Ktime(9) };
        assert_eq!(TaskKey::get(value), Ok(key));
        assert_eq!(TaskRef::get(value), Ok(TaskRef { key, tgid: Tgid(7) }));
        assert_eq!(TaskRef::get(Value::Bytes(&[8, 7])), Err(Malformed::Missing("start")));
    }

    #[test]
    fn cut_and_foreign_bytes_are_errors() {
        for wrong in [&b"\x80"[..], &[0xff; 11], &[10, 5, 1], &[7, 0], &[9, 1, 2]] {
            assert!(Fields::of(wrong).any(|field| field.is_err()), "{wrong:?}");
        }
    }
}
