//! A hash for numbers that the kernel hands out in turn.

use std::hash::Hasher;

/// Tgids are small numbers that the kernel hands out in turn: a multiplication spreads them well enough. Those that were handed out
/// one after the other stay neighbours in the table, as lives that follow each other are told and forgotten together.
#[derive(Default)]
pub(crate) struct TgidHasher(u64);

/// Low bits of a number that keep their place.
const NEIGHBOURS: u64 = 63;

impl Hasher for TgidHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u32(&mut self, value: u32) {
        let value = u64::from(value);
        let spread = (value & !NEIGHBOURS).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // A table takes its place from the low bits and a check from the highest.
        self.0 = (spread.rotate_left(26) & !NEIGHBOURS | value & NEIGHBOURS) ^ value << 57;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
