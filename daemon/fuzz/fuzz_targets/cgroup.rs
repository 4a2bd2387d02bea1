//! Bytes as the path of a cgroup: any user to whom a cgroup is delegated can choose names of directories below it.
#![no_main]

#[path = "../bodies/cgroup.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
