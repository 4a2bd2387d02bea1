//! Bytes as a kernel's type information: it is parsed, and every field that the programs want is looked up.
#![no_main]

#[path = "../bodies/btf.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
