//! Contradictory records of a few tasks, ticks and snapshots in any order: see `daemon/tests/lineage/arbitrary.rs`.
#![no_main]

#[path = "../../tests/lineage/arbitrary.rs"]
mod arbitrary;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = arbitrary::feed_any(bytes) {
        panic!("{error}");
    }
});
