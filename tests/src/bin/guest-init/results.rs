//! The line protocol to the host: tab-separated fields on the second serial port, copied to the console.
//!
//! The results have a port of their own, because the kernel writes to the console at any time, also in the middle of a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;

use anyhow::Context as _;

pub(crate) struct Results {
    port: File,
}

impl Results {
    pub(crate) fn open(path: &str) -> anyhow::Result<Self> {
        let port = OpenOptions::new()
            .write(true)
            .open(path)
            .with_context(|| format!("opening {path} for results"))?;
        // A terminal turns "\n" into "\r\n" unless it is in raw mode.
        raw_mode(&port).with_context(|| format!("setting {path} to raw mode"))?;
        Ok(Self { port })
    }

    /// Writes one line and waits until the port has sent it, so that nothing is lost if the kernel panics next.
    pub(crate) fn line(&mut self, fields: &[&str]) -> anyhow::Result<()> {
        let line = join(fields);
        println!("guest-init: {}", line.trim_end().replace('\t', " "));
        self.port.write_all(line.as_bytes()).context("writing a result line")?;
        drain(&self.port).context("draining the results port")
    }
}

fn drain(port: &File) -> io::Result<()> {
    loop {
        // SAFETY: the descriptor is open.
        if unsafe { libc::tcdrain(port.as_raw_fd()) } == 0 {
            return Ok(());
        }
        // SIGCHLD of an orphan can interrupt the call at any time.
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn raw_mode(port: &File) -> io::Result<()> {
    // SAFETY: termios is plain data; tcgetattr fills it before it is used.
    let mut mode: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: an open descriptor and a valid termios in all three calls.
    unsafe {
        if libc::tcgetattr(port.as_raw_fd(), &raw mut mode) != 0 {
            return Err(io::Error::last_os_error());
        }
        libc::cfmakeraw(&raw mut mode);
        if libc::tcsetattr(port.as_raw_fd(), libc::TCSANOW, &raw const mode) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Joins fields by tabs. Replaces tabs and line breaks inside a field, which would forge a field or a line.
fn join(fields: &[&str]) -> String {
    let mut line = fields
        .iter()
        .map(|field| field.replace(|c: char| c.is_control(), " "))
        .collect::<Vec<_>>()
        .join("\t");
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn a_field_cannot_forge_another_field_or_line() {
        assert_eq!(join(&["FAIL", "a\tb\nEND\r"]), "FAIL\ta b END \n");
    }
}
