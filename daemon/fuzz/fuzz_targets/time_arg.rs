//! Bytes as a time, as `at=` takes it: the result is a time in the past, or an error that contains the text.
#![no_main]

#[path = "../bodies/time_arg.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
