//! The path of a program.

/// A path, any byte but NUL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathName(Box<[u8]>);

impl PathName {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether no directory entry led to the file, as /proc/PID/exe marks it; of a memfd, too.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.0.ends_with(b" (deleted)")
    }

    /// Whether only its end is known: then it does not begin at the root.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.0.starts_with(b".../")
    }
}

impl From<&[u8]> for PathName {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl std::borrow::Borrow<[u8]> for PathName {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}
