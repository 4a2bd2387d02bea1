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
