//! The path of a program.

/// A path. It can contain any byte but NUL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathName(Box<[u8]>);

impl PathName {
    /// Returns the bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the path has the mark ` (deleted)` of /proc/PID/exe: the file has no directory entry. A memfd has the mark too.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.0.ends_with(b" (deleted)")
    }

    /// Whether only the end of the path is known, so that it does not begin at the root.
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
