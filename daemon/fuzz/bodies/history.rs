//! Bytes as a segment of the history: they give lines, or damage that is counted. Every whole frame before the damage must be read.

use std::{fs::File, io::Write as _, os::fd::FromRawFd as _};

use taskscope::history::read::lines_of;

/// One input: whether the segment is open, then its bytes.
pub(crate) fn run(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    // SAFETY: the name is a C string; the descriptor is new, and the file owns it.
    let mut file = unsafe {
        let fd = libc::memfd_create(c"segment".as_ptr(), libc::MFD_CLOEXEC);
        assert!(fd >= 0, "no memfd");
        File::from_raw_fd(fd)
    };
    file.write_all(bytes).expect("memory");
    let mut read = 0;
    let is_open = first & 1 == 1;
    let damage =
        lines_of(file, is_open, &mut |line| read += line.len()).expect("a file in memory is readable");
    let skipped = damage.bytes + damage.unfinished;
    assert!(skipped <= bytes.len() as u64, "{damage:?}");
    assert!(damage.unfinished == 0 || is_open, "{damage:?}");
    assert!(read == 0 || skipped < bytes.len() as u64, "{damage:?}");
}
