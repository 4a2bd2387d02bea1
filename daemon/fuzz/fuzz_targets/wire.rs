//! Bytes as records of the ring, through the decoder into a lineage: any bytes, and records that are well-formed except for the
//! values of their fields.
#![no_main]

#[path = "../bodies/wire.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
