//! Bytes as a configuration file. If it is accepted, the settings are shown as a file that has the same meaning; if not, the error
//! names a line that exists.
#![no_main]

#[path = "../bodies/config.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
