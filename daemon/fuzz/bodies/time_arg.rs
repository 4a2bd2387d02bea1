//! Bytes as a time, as `at=` takes it: the result is a time in the past, or an error that contains the text.

use taskscope::{answer::time_arg, export::Stamp, lineage::id::Ktime};

/// One input: eight bytes of time since boot, then the text.
pub(crate) fn run(bytes: &[u8]) {
    let Some((clock, text)) = bytes.split_first_chunk() else { return };
    // Nanoseconds in 63 bits last for 292 years.
    let now = Ktime(u64::from_le_bytes(*clock) >> 1);
    let stamp = Stamp::new("0", 1_795_000_000_000_000_000);
    let text = String::from_utf8_lossy(text);
    match time_arg::parse(&text, now, &stamp) {
        Ok(at) => assert!(at <= now, "{text} is after now"),
        Err(error) => assert!(error.contains(&*text), "{error}"),
    }
}
