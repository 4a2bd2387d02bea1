//! A task's name.

/// A task's comm: up to 15 bytes, any byte but NUL, then NULs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Comm(pub [u8; 16]);

impl Comm {
    /// Bytes of the longest name.
    pub const LONGEST: usize = 15;

    /// Creates a comm from `task_struct.comm`, and clears the bytes after the first NUL: older kernels, such as 5.10, set a comm by
    /// `strlcpy()`, which leaves the rest of a longer former comm there.
    #[must_use]
    pub fn of_kernel(mut comm: [u8; 16]) -> Self {
        let end = comm.iter().position(|&byte| byte == 0).unwrap_or(comm.len());
        comm.iter_mut().skip(end).for_each(|byte| *byte = 0);
        Self(comm)
    }

    /// Creates a comm from a name, cut to the 15 bytes that a comm has before its NUL.
    #[must_use]
    pub fn of_name(name: &[u8]) -> Self {
        let mut comm = Self::default();
        for (to, from) in comm.0.iter_mut().take(Self::LONGEST).zip(name) {
            *to = *from;
        }
        comm
    }

    /// Returns the bytes before the first NUL.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&b| b == 0).unwrap_or(self.0.len());
        self.0.get(..end).unwrap_or_default()
    }
}
