//! A pipe between tasks of a scenario.

use super::{await_input, exit_group, read, write_all};
use crate::fact::{die, die_with};

/// A pipe that passes integers between tasks that inherit its descriptors.
#[derive(Clone, Copy)]
pub(crate) struct Channel {
    read: i32,
    write: i32,
}

impl Channel {
    pub(crate) fn new() -> Self {
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for two descriptors.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
            die("pipe2");
        }
        Self { read: ends[0], write: ends[1] }
    }

    pub(crate) fn send(self, value: i32) {
        write_all(self.write, &value.to_ne_bytes());
    }

    pub(crate) fn receive(self) -> i32 {
        let mut bytes = [0; 4];
        await_input(self.read);
        if read(self.read, &mut bytes) != bytes.len() {
            die_with("reading from a channel", libc::EPIPE);
        }
        i32::from_ne_bytes(bytes)
    }

    /// Receives in a process that only receives. Thousands of processes may wait; each message wakes one.
    pub(crate) fn receive_only(self) -> i32 {
        // SAFETY: the descriptor is open, and this process does not use it after this.
        unsafe { libc::close(self.write) };
        let mut bytes = [0; 4];
        if read(self.read, &mut bytes) != bytes.len() {
            // The last sender has ended, so the test has ended.
            exit_group(72);
        }
        i32::from_ne_bytes(bytes)
    }

    /// Closes the descriptors of this task; those of other tasks stay open.
    pub(crate) fn close(self) {
        // SAFETY: both descriptors are open and not used after this.
        unsafe {
            libc::close(self.read);
            libc::close(self.write);
        }
    }

    /// Reads until all other processes have closed the writing end.
    pub(crate) fn read_to_end(self) {
        // SAFETY: the descriptor is open, and this process does not use it after this.
        unsafe { libc::close(self.write) };
        while read(self.read, &mut [0; 64]) > 0 {}
    }

    /// Does what [`Self::read_to_end`] does, with poll(2) before each read, as Python's `communicate()` reads two pipes.
    pub(crate) fn poll_to_end(self) {
        // SAFETY: the descriptor is open, and this process does not use it after this.
        unsafe { libc::close(self.write) };
        loop {
            let mut polled = [libc::pollfd { fd: self.read, events: libc::POLLIN, revents: 0 }];
            // SAFETY: the length is that of the array.
            unsafe { libc::poll(polled.as_mut_ptr(), 1, -1) };
            if read(self.read, &mut [0; 64]) == 0 {
                return;
            }
        }
    }

    /// Returns the descriptor to read from.
    pub(crate) fn read_end(self) -> i32 {
        self.read
    }
}
