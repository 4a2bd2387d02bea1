//! The name of a terminal.

use std::fmt;

/// Size of the name in a record, with its NUL, bytes.
const LEN: usize = 16;

/// A terminal, by the name that the kernel gives it (`tty_struct.name`): `tty1`, `ttyS0`, or `pts3` for `/dev/pts/3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terminal([u8; LEN]);

impl Terminal {
    /// Creates a terminal from the kernel's bytes; `None` if they are not a valid name: the kernel can free the `tty_struct` while the
    /// eBPF program reads it.
    #[must_use]
    pub fn of_kernel(mut name: [u8; LEN]) -> Option<Self> {
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(LEN);
        name.iter_mut().skip(end).for_each(|byte| *byte = 0);
        let text = name.get(..end)?;
        let is_name = text.first().is_some_and(u8::is_ascii_alphabetic)
            && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/'));
        is_name.then_some(Self(name))
    }

    /// Returns the kernel's name.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(LEN);
        self.0.get(..end).unwrap_or_default()
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
        let mut bytes = [0; LEN];
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
