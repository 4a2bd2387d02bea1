//! Writes the fields of a message.

use super::{BYTES, VARINT};

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
pub(in crate::recording) const fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

pub(in crate::recording) const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}
