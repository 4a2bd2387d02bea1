//! Bytes as a kernel's type information: parsed, and every field looked for that the programs want.
#![no_main]

#[path = "../bodies/btf.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
