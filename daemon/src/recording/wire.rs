//! The encoding of messages: that of protocol buffers, <https://protobuf.dev/programming-guides/encoding/>. Each field has a
//! number, so a later version can add fields that this one skips, and a field that is absent stays unknown.

use std::sync::Arc;

use thiserror::Error;

use crate::lineage::{
    id::{GroupKey, Ktime, TaskKey, TaskRef, Tgid, Tid},
    record::Comm,
};

/// Wire types of the encoding.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

/// Why bytes are not a message.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    /// The message ends in the middle of a field.
    #[error("a field is cut off")]
    Cut,
    /// A number is longer than 64 bits.
    #[error("a number has more than 64 bits")]
    Long,
    /// The wire type does not exist, or is not that of the field.
    #[error("a field has the wrong type")]
    Type,
    /// A field without which the message has no meaning is absent.
    #[error("a message lacks its field {0}")]
    Missing(&'static str),
    /// A field has a value that this version does not know.
    #[error("{0} has the unknown value {1}")]
    Value(&'static str, u64),
}

/// The value of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(crate) const fn number(self) -> Result<u64, Malformed> {
        if let Self::Number(number) = self { Ok(number) } else { Err(Malformed::Type) }
    }

    pub(crate) const fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(Malformed::Type) }
    }
}

/// Iterates over the fields of a message.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) const fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// Returns how many bytes are left.
    pub(super) const fn left(&self) -> usize {
        self.rest.len()
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(Malformed::Cut)?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed::Long);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed::Long)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed::Cut)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Cut)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Malformed::Long)?;
        let value = match tag & 7 {
            VARINT => Value::Number(self.varint()?),
            BYTES => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            // Not written by this version.
            FIXED_64 => Value::Bytes(self.take(8)?),
            FIXED_32 => Value::Bytes(self.take(4)?),
            _ => return Err(Malformed::Type),
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

pub(crate) fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(crate) fn number(field: u32, number: u64, out: &mut Vec<u8>) {
    varint(out, u64::from(field) << 3 | VARINT);
    varint(out, number);
}

pub(crate) fn bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    varint(out, u64::from(field) << 3 | BYTES);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a field that is a message, which `write` appends.
pub(crate) fn nested(field: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    varint(out, u64::from(field) << 3 | BYTES);
    // Nearly all are shorter than 128 bytes, so that their length takes one byte.
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    if let (Ok(short), Some(place)) = (u8::try_from(length), out.get_mut(at))
        && short < 0x80
    {
        *place = short;
        return;
    }
    let mut prefix = Vec::with_capacity(10);
    varint(&mut prefix, length as u64);
    out.splice(at..=at, prefix);
}

/// Maps signed numbers to unsigned ones so that small ones stay short.
pub(super) const fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

pub(super) const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// A type that one field can hold.
pub(super) trait Plain: Sized {
    fn put(&self, field: u32, out: &mut Vec<u8>);
    fn get(value: Value<'_>) -> Result<Self, Malformed>;
}

macro_rules! unsigned {
    ($($type:ty),*) => {$(
        impl Plain for $type {
            fn put(&self, field: u32, out: &mut Vec<u8>) {
                number(field, u64::from(*self), out);
            }
            fn get(value: Value<'_>) -> Result<Self, Malformed> {
                Self::try_from(value.number()?).map_err(|_| Malformed::Long)
            }
        }
    )*};
}
unsigned!(u16, u32, u64);

macro_rules! signed {
    ($($type:ty),*) => {$(
        impl Plain for $type {
            fn put(&self, field: u32, out: &mut Vec<u8>) {
                number(field, zigzag(i64::from(*self)), out);
            }
            fn get(value: Value<'_>) -> Result<Self, Malformed> {
                Self::try_from(unzigzag(value.number()?)).map_err(|_| Malformed::Long)
            }
        }
    )*};
}
signed!(i32, i64);

macro_rules! wrapped {
    ($($type:ident($inner:ty)),*) => {$(
        impl Plain for $type {
            fn put(&self, field: u32, out: &mut Vec<u8>) {
                self.0.put(field, out);
            }
            fn get(value: Value<'_>) -> Result<Self, Malformed> {
                <$inner>::get(value).map($type)
            }
        }
    )*};
}
wrapped!(Ktime(u64), Tid(u32), Tgid(u32));

impl Plain for bool {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        number(field, u64::from(*self), out);
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        Ok(value.number()? != 0)
    }
}

impl Plain for Vec<u8> {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        bytes(field, self, out);
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        value.bytes().map(<[u8]>::to_vec)
    }
}

impl Plain for String {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        bytes(field, self.as_bytes(), out);
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        Ok(Self::from_utf8_lossy(value.bytes()?).into_owned())
    }
}

impl Plain for Arc<str> {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        bytes(field, self.as_bytes(), out);
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        String::get(value).map(Self::from)
    }
}

impl<T: Plain> Plain for Box<T> {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        (**self).put(field, out);
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        T::get(value).map(Self::new)
    }
}

impl<T: Plain> Plain for Arc<T> {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        (**self).put(field, out);
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        T::get(value).map(Self::new)
    }
}

impl Plain for Comm {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        bytes(field, self.bytes(), out);
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        let mut comm = [0; 16];
        let bytes = value.bytes()?;
        if bytes.len() > comm.len() {
            return Err(Malformed::Value("comm", bytes.len() as u64));
        }
        for (to, from) in comm.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(Self::of_kernel(comm))
    }
}

/// A task of which it is known whether there is one: an empty message is none.
impl Plain for Option<TaskRef> {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        match self {
            Some(task) => task.put(field, out),
            None => bytes(field, &[], out),
        }
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        if value.bytes()?.is_empty() { Ok(None) } else { TaskRef::get(value).map(Some) }
    }
}

/// tid, start, and the tgid unless it is the tid.
impl Plain for TaskRef {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        nested(field, out, |out| {
            self.key.tid.put(1, out);
            self.key.start.put(2, out);
            if !self.is_leader() {
                self.tgid.put(3, out);
            }
        });
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        let (mut task, mut start, mut group) = (None, None, None);
        for field in Fields::of(value.bytes()?) {
            match field? {
                (1, value) => task = Some(Tid::get(value)?),
                (2, value) => start = Some(Ktime::get(value)?),
                (3, value) => group = Some(Tgid::get(value)?),
                _ => {}
            }
        }
        let tid = task.ok_or(Malformed::Missing("tid"))?;
        let start = start.ok_or(Malformed::Missing("start"))?;
        Ok(Self { key: TaskKey { tid, start }, tgid: group.unwrap_or(Tgid(tid.0)) })
    }
}

/// Gives types their encoding: fields by number. `!` must be there, `?` is an `Option`, `*` is the type's default if absent, and `+` is
/// a `Vec` with one field for each element.
macro_rules! message {
    ($type:ty { $($number:literal $field:ident $kind:tt),* $(,)? }) => {
        impl $crate::recording::wire::Plain for $type {
            fn put(&self, field: u32, out: &mut Vec<u8>) {
                $crate::recording::wire::nested(field, out, |out| {
                    $($crate::recording::wire::put!(self.$field, $number, out, $kind);)*
                });
            }
            #[expect(clippy::allow_attributes, reason = "one macro for all kinds of fields")]
            fn get(
                value: $crate::recording::wire::Value<'_>,
            ) -> Result<Self, $crate::recording::wire::Malformed> {
                $(#[allow(unused_mut, reason = "a message of which nothing is read")] let mut $field = $crate::recording::wire::absent!($kind);)*
                for field in $crate::recording::wire::Fields::of(value.bytes()?) {
                    let (number, value) = field?;
                    match number {
                        $($number => $crate::recording::wire::found!($field, value, $kind),)*
                        _ => {}
                    }
                }
                Ok(Self { $($field: $crate::recording::wire::taken!($field, $kind),)* })
            }
        }
    };
}

macro_rules! put {
    ($value:expr, $number:literal, $out:ident, !) => {
        $crate::recording::wire::Plain::put(&$value, $number, $out)
    };
    ($value:expr, $number:literal, $out:ident, ?) => {
        if let Some(value) = &$value {
            $crate::recording::wire::Plain::put(value, $number, $out);
        }
    };
    ($value:expr, $number:literal, $out:ident, *) => {
        if !$crate::recording::wire::is_default(&$value) {
            $crate::recording::wire::Plain::put(&$value, $number, $out);
        }
    };
    ($value:expr, $number:literal, $out:ident, +) => {
        for value in &$value {
            $crate::recording::wire::Plain::put(value, $number, $out);
        }
    };
}

macro_rules! absent {
    (+) => {
        Vec::new()
    };
    ($kind:tt) => {
        None
    };
}

macro_rules! found {
    ($field:ident, $value:ident, +) => {
        $field.push($crate::recording::wire::Plain::get($value)?)
    };
    ($field:ident, $value:ident, $kind:tt) => {
        $field = Some($crate::recording::wire::Plain::get($value)?)
    };
}

macro_rules! taken {
    ($field:ident, !) => {
        $field.ok_or($crate::recording::wire::Malformed::Missing(stringify!($field)))?
    };
    ($field:ident, *) => {
        $field.unwrap_or_default()
    };
    ($field:ident, $kind:tt) => {
        $field
    };
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Gives an enum without fields its numbers.
macro_rules! code {
    ($type:ident { $($variant:ident = $number:literal),* $(,)? }) => {
        impl $crate::recording::wire::Plain for $type {
            fn put(&self, field: u32, out: &mut Vec<u8>) {
                let number = match self { $(Self::$variant => $number,)* };
                $crate::recording::wire::number(field, number, out);
            }
            fn get(
                value: $crate::recording::wire::Value<'_>,
            ) -> Result<Self, $crate::recording::wire::Malformed> {
                match value.number()? {
                    $($number => Ok(Self::$variant),)*
                    other => Err($crate::recording::wire::Malformed::Value(stringify!($type), other)),
                }
            }
        }
    };
}

pub(super) use {absent, code, found, message, put, taken};

message!(TaskKey { 1 tid !, 2 start ! });
message!(GroupKey { 1 tgid !, 2 start ? });

#[cfg(test)]
mod tests {
    use super::*;

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
