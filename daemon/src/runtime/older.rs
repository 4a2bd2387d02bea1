//! The programs of processes that are older than taskscope, which no exec record reported. They are read once, after the first
//! snapshot.

use super::{EventSink, Pipeline};
use crate::lineage::id::GroupKey;

impl Pipeline {
    /// Reads what each process runs that is known from the snapshot alone. A process that is still alive after every record up to
    /// the end of the reading is handled kept its pid all the time, so the program is its own, or that of an exec which a record
    /// reported.
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
