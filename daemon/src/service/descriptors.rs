//! File descriptors: connections never take the last ones, because answers need them to read /proc and the kernel's iterators.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::procfs::own_descriptors;

/// Descriptors kept for answers, for reading all tasks and for the log.
const KEPT: u64 = 32;

/// The most descriptors that are ever needed.
const ENOUGH: u64 = 4096;

/// Raises the soft limit to the hard limit. Returns how many descriptors connections may take.
pub(super) fn for_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(ENOUGH, |hard| hard.min(ENOUGH));
    if limit.current.is_some_and(|soft| soft < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            log::debug!("raising RLIMIT_NOFILE to {wanted}: {error}");
        }
    }
    let Some(limit) = getrlimit(Resource::Nofile).current else { return usize::MAX };
    let open = own_descriptors().unwrap_or(KEPT);
    usize::try_from(left(limit, open)).unwrap_or(usize::MAX)
}

const fn left(limit: u64, open: u64) -> u64 {
    limit.saturating_sub(open).saturating_sub(KEPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_descriptors_are_kept() {
        assert_eq!(left(1024, 40), 1024 - 40 - KEPT);
        assert_eq!(left(50, 40), 0);
    }
}
