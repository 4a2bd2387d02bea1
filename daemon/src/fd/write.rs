//! Writing without waiting, to files that others share.
//!
//! `O_NONBLOCK` is a property of the open file description (`open(2)`): setting it on standard output or standard error would
//! change it for every process that inherited them. So `RWF_NOWAIT` asks for a single non-blocking write (`pwritev2(2)`); if the
//! file does not support that flag (pipes before 6.4, terminals), `poll(2)` says first whether a small write would block.

use std::{
    io::{self, IoSlice},
    os::fd::AsFd,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, ReadWriteFlags, pwritev2, write},
};

/// Bytes that a pipe takes without blocking if it polls as writable: `PIPE_BUF`.
const SMALL: usize = 4096;

/// Writes as much of `bytes` as `fd` takes without blocking. Returns how much that was.
///
/// Errors: `WouldBlock` if nothing can be written without blocking; otherwise those of `write(2)`. Writes to a regular file may
/// block, since it has no reader to wait for.
pub fn write_now(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    /// At the file's position, as `write(2)` does.
    const HERE: u64 = u64::MAX;
    loop {
        match pwritev2(&fd, &[IoSlice::new(bytes)], HERE, ReadWriteFlags::NOWAIT) {
            Err(Errno::INTR) => {}
            // The file or the kernel does not support the flag. For a regular file EAGAIN only says that the page cache would
            // block.
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::SPIPE | Errno::AGAIN) => break,
            other => return Ok(other?),
        }
    }
    if !wait_writable(&fd, Duration::ZERO)? {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    loop {
        match write(&fd, bytes.get(..SMALL).unwrap_or(bytes)) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Waits until `fd` is writable or has an error, but no longer than `at_most`. Returns whether it is.
pub fn wait_writable(fd: impl AsFd, at_most: Duration) -> io::Result<bool> {
    let limit = Timespec {
        tv_sec: i64::try_from(at_most.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: at_most.subsec_nanos().into(),
    };
    let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
    match poll(&mut fds, Some(&limit)) {
        Ok(ready) => Ok(ready > 0),
        // A signal: the caller tries again when it next has something to write.
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, os::unix::net::UnixStream};

    use super::*;

    #[test]
    fn a_full_pipe_takes_nothing_and_does_not_block() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut written = 0;
        let refused = loop {
            match write_now(&writer, &[b'x'; 10_000]) {
                Ok(count) => written += count,
                Err(error) => break error,
            }
        };
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        assert!(!wait_writable(&writer, Duration::ZERO).unwrap());
        let mut room = vec![0; written];
        reader.read_exact(&mut room).unwrap();
        assert!(wait_writable(&writer, Duration::ZERO).unwrap());
        assert!(write_now(&writer, b"y").unwrap() == 1);
    }

    #[test]
    fn a_reader_that_is_gone_is_an_error_and_not_a_wait() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        assert_eq!(write_now(&writer, b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn sockets_and_files_take_bytes_too() {
        let (one, mut other) = UnixStream::pair().unwrap();
        assert_eq!(write_now(&one, b"abc").unwrap(), 3);
        let mut read = [0; 3];
        other.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"abc");
        let path = std::env::temp_dir().join(format!("taskscope-write-{}", std::process::id()));
        let file = std::fs::File::create(&path).unwrap();
        assert_eq!(write_now(&file, b"abc").unwrap(), 3);
        std::fs::remove_file(path).unwrap();
    }
}
