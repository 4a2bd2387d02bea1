//! Bytes as a configuration file: what is accepted is shown as a file that says the same; a mistake has a line that there is.
#![no_main]

#[path = "../bodies/config.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
