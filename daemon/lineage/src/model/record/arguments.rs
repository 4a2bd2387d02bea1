//! The arguments of a program that no exec record reported.

/// An argument vector. An argument can contain any byte but NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The arguments.
    pub args: Vec<Vec<u8>>,
    /// Whether arguments were cut.
    pub truncated: bool,
}

impl Arguments {
    /// Splits the text of /proc/PID/cmdline and keeps at most `most` bytes. Returns `None` for an empty text, which kernel
    /// threads and zombies have.
    #[must_use]
    pub fn of_cmdline(text: &[u8], most: usize) -> Option<Self> {
        let truncated = text.len() > most;
        let kept = text.get(..most).unwrap_or(text);
        let kept = kept.strip_suffix(&[0]).unwrap_or(kept);
        let args = kept.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect();
        (!text.is_empty()).then_some(Self { args, truncated })
    }
}
