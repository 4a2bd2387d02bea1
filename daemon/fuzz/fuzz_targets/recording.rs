//! Bytes as a recording: a file with any bytes, or the entries of one frame, through a replay into a lineage and out as JSON.
#![no_main]

#[path = "../bodies/recording.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
