//! Bytes as the path of a cgroup, whose directories anybody may name who has one delegated.
#![no_main]

#[path = "../bodies/cgroup.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
