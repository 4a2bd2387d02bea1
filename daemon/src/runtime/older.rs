//! Programs of the processes that are older than taskscope, which no exec told: read once, after the first snapshot.

use super::{EventSink, Pipeline};
use crate::lineage::id::GroupKey;

impl Pipeline {
    /// Reads what every process runs that is known from the snapshot alone. Whoever still lives once every record up to the end of the
    /// reading is handled had its pid all the time: what was read is its own, or that of an exec which a record told.
    pub(super) fn read_programs(&mut self, sink: &mut impl EventSink) {
        let unknown: Vec<GroupKey> = self.lineage.without_executable().collect();
        let read: Vec<(GroupKey, Vec<u8>)> =
            unknown.into_iter().filter_map(|key| Some((key, self.procfs.executable(key.tgid)?))).collect();
        self.catch_up(sink);
        for (key, path) in read {
            self.lineage.learn_executable(key, &path);
        }
    }
}
