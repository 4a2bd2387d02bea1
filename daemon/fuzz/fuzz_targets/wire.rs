//! Bytes as the ring would hand them out, through the decoder and into a lineage: any bytes at all, and records that are
//! whole but for the values of their fields.
#![no_main]

#[path = "../bodies/wire.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
