//! Bytes as files of a process in /proc: its stat as it is, and a directory of it whose files, in turn, end at 0xFF.
#![no_main]

#[path = "../bodies/procfs.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
