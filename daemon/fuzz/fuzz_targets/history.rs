//! Bytes as a segment of the history: they give lines, or damage that is counted.
#![no_main]

#[path = "../bodies/history.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
