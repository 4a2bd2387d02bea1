//! Bytes as files of a process in /proc: all bytes as its stat, and parts of them, separated by 0xFF, as the files of its
//! directory.
#![no_main]

#[path = "../bodies/procfs.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
