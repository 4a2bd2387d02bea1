//! The output of a program, cut into lines.

use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, RawFd};

use anyhow::Context as _;

/// Longest line held back while its end has not been written.
const LINE_MAX: usize = 8 * 1024;

/// The read end of a program's stdout and stderr.
pub(crate) struct Output {
    reader: io::PipeReader,
    open: bool,
    pending: Vec<u8>,
}

impl Output {
    pub(crate) fn new(reader: io::PipeReader) -> io::Result<Self> {
        // SAFETY: an open descriptor and an integer argument.
        if unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { reader, open: true, pending: Vec::new() })
    }

    /// Returns the descriptor for poll(2). It is -1, which poll(2) ignores, once the pipe is closed: a closed pipe would wake it
    /// again and again.
    pub(crate) fn descriptor(&self) -> RawFd {
        if self.open { self.reader.as_raw_fd() } else { -1 }
    }

    /// Adds the lines that are complete now.
    pub(crate) fn pump(&mut self, lines: &mut Vec<String>) -> anyhow::Result<()> {
        let mut buffer = [0; 4096];
        while self.open {
            match self.reader.read(&mut buffer) {
                Ok(0) => self.open = false,
                Ok(count) => {
                    self.pending.extend_from_slice(&buffer[..count]);
                    cut(&mut self.pending, lines);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("reading a program's output"),
            }
        }
        Ok(())
    }

    /// Adds the rest of the output, including an unfinished last line.
    pub(crate) fn finish(&mut self, lines: &mut Vec<String>) -> anyhow::Result<()> {
        self.pump(lines)?;
        if !self.pending.is_empty() {
            lines.push(String::from_utf8_lossy(&self.pending).into_owned());
            self.pending.clear();
        }
        Ok(())
    }
}

fn cut(pending: &mut Vec<u8>, lines: &mut Vec<String>) {
    loop {
        let newline = pending.iter().position(|&byte| byte == b'\n');
        let (end, skip) = match newline {
            Some(end) if end <= LINE_MAX => (end, 1),
            _ if pending.len() >= LINE_MAX => (LINE_MAX, 0),
            _ => return,
        };
        lines.push(String::from_utf8_lossy(&pending[..end]).into_owned());
        pending.drain(..end + skip);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn lines_come_whole_and_a_long_one_in_pieces() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut output = Output::new(reader).unwrap();
        let mut lines = Vec::new();
        writer.write_all(b"one\ntw").unwrap();
        output.pump(&mut lines).unwrap();
        assert_eq!(lines, ["one"]);
        writer.write_all(b"o\n\n").unwrap();
        writer.write_all(&vec![b'x'; LINE_MAX + 3]).unwrap();
        drop(writer);
        // A child that another test forks just now holds a copy of the writing end until it execs.
        let deadline = Instant::now() + Duration::from_secs(10);
        while output.descriptor() >= 0 && Instant::now() < deadline {
            let mut end = libc::pollfd { fd: output.descriptor(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one valid pollfd.
            unsafe { libc::poll(&raw mut end, 1, 1000) };
            output.pump(&mut lines).unwrap();
        }
        output.finish(&mut lines).unwrap();
        assert_eq!(lines.len(), 5);
        assert_eq!((lines[1].as_str(), lines[2].as_str(), lines[4].as_str()), ("two", "", "xxx"));
        assert_eq!(lines[3].len(), LINE_MAX);
        assert_eq!(output.descriptor(), -1, "the writer is gone");
    }
}
