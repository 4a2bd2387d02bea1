//! Bytes as a recording: a file with any bytes, or the entries of one frame. They are replayed into a lineage, and the effects are
//! written as JSON.
#![no_main]

#[path = "../bodies/recording.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
