//! The name of a terminal.

use std::fmt;

use crate::model::record::Comm;

/// A terminal, by the name that the kernel gives it (`tty_struct.name`): `tty1`, `ttyS0`, or `pts3` for `/dev/pts/3`. In a record, it has
/// the size of a comm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terminal(Comm);

impl Terminal {
    /// Creates a terminal from the kernel's bytes; `None` if they are not a valid name: the kernel can free the `tty_struct` while the
    /// eBPF program reads it.
    #[must_use]
    pub fn of_kernel(name: [u8; 16]) -> Option<Self> {
        let name = Comm::of_kernel(name);
        let text = name.bytes();
        let is_name = text.first().is_some_and(u8::is_ascii_alphabetic)
            && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/'));
        is_name.then_some(Self(name))
    }

    /// Returns the kernel's name.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// The path below `/dev`, as ps(1) prints it.
impl fmt::Display for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = str::from_utf8(self.bytes()).unwrap_or_default();
        match name.strip_prefix("pts") {
            Some(number) if number.starts_with(|it: char| it.is_ascii_digit()) => write!(f, "pts/{number}"),
            _ => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &[u8]) -> Option<String> {
        let mut bytes = [0; 16];
        bytes[..name.len()].copy_from_slice(name);
        Terminal::of_kernel(bytes).map(|it| it.to_string())
    }

    #[test]
    fn a_terminal_has_the_name_that_ps_prints() {
        for (kernel, ps) in
            [("pts3", "pts/3"), ("pts1048575", "pts/1048575"), ("tty1", "tty1"), ("ttyAMA0", "ttyAMA0")]
        {
            assert_eq!(shown(kernel.as_bytes()).as_deref(), Some(ps));
        }
    }

    #[test]
    fn bytes_of_a_freed_terminal_are_refused() {
        for bytes in [&b""[..], b"\x80\xff", b"pts\x01", b"1abc", b"a b", b"\0pts3"] {
            assert_eq!(shown(bytes), None, "{bytes:?}");
        }
    }
}
