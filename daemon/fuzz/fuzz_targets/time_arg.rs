//! Bytes as a moment, such as `at=` takes: one that is over, or an error that repeats it.
#![no_main]

#[path = "../bodies/time_arg.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
