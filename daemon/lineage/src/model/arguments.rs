//! The arguments of a program that no exec record reported.

/// An argument vector, any byte but NUL in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The arguments.
    pub args: Vec<Vec<u8>>,
    /// Whether some of it was cut.
    pub truncated: bool,
}

impl Arguments {
    /// Of the text of /proc/PID/cmdline, of which `most` bytes are kept; `None` of kernel threads and zombies, which have none.
    #[must_use]
    pub fn of_cmdline(text: &[u8], most: usize) -> Option<Self> {
        let truncated = text.len() > most;
        let kept = text.get(..most).unwrap_or(text);
        let kept = kept.strip_suffix(&[0]).unwrap_or(kept);
        let args = kept.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect();
        (!text.is_empty()).then_some(Self { args, truncated })
    }
}
