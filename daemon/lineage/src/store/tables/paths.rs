//! Paths of programs, each stored once for all processes that run it.

use std::collections::HashSet;
use std::sync::Arc;

use crate::model::path_name::PathName;

/// An [`Arc`] that a set finds by its bytes.
#[derive(PartialEq, Eq, Hash)]
struct Shared(Arc<PathName>);

impl std::borrow::Borrow<[u8]> for Shared {
    fn borrow(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// A sweep needs at least this many paths.
const SMALL: usize = 1024;

/// The paths in use. They are hashed with a random key, because any user can choose paths.
pub(crate) struct Paths {
    set: HashSet<Shared>,
    sweep_at: usize,
}

impl Default for Paths {
    fn default() -> Self {
        Self { set: HashSet::new(), sweep_at: SMALL }
    }
}

impl Paths {
    /// Returns the shared copy of `path`.
    pub(crate) fn share(&mut self, path: &[u8]) -> Arc<PathName> {
        if let Some(known) = self.set.get(path) {
            return Arc::clone(&known.0);
        }
        if self.set.len() >= self.sweep_at {
            self.set.retain(|path| Arc::strong_count(&path.0) > 1);
            self.sweep_at = (self.set.len() * 2).max(SMALL);
        }
        let path = Arc::new(PathName::from(path));
        self.set.insert(Shared(Arc::clone(&path)));
        path
    }

    /// Paths held.
    pub(crate) fn len(&self) -> usize {
        self.set.len()
    }

    /// Bytes held, with an estimate of the table's own overhead.
    pub(crate) fn bytes(&self) -> usize {
        const PER_PATH: usize = size_of::<PathName>() + 2 * size_of::<usize>();
        self.set.capacity() * (size_of::<Shared>() + 1)
            + self.set.iter().map(|path| path.0.bytes().len() + PER_PATH).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_kept_once() {
        let mut paths = Paths::default();
        let one = paths.share(b"/usr/bin/sh");
        let two = paths.share(b"/usr/bin/sh");
        assert!(Arc::ptr_eq(&one, &two));
        assert_eq!(paths.len(), 1);
    }

    #[test]
    fn unused_paths_are_removed() {
        let mut paths = Paths::default();
        let kept = paths.share(b"/kept");
        for n in 0..10 * SMALL {
            paths.share(format!("/{n}").as_bytes());
        }
        assert!(paths.len() <= 2 * SMALL, "{}", paths.len());
        assert!(Arc::ptr_eq(&kept, &paths.share(b"/kept")));
    }
}
