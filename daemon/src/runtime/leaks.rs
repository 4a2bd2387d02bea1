//! Finds leaks other than zombies. `lineage` follows the groups that may leak; /proc shows which session orphans belong to.

use super::{EventSink, Pipeline};
use crate::kernel::clock::boottime;

impl Pipeline {
    /// Checks the groups that may leak.
    pub(super) fn poll_leaks(&mut self, sink: &mut impl EventSink) {
        let now = boottime();
        for key in self.leaks.wants_sessions(&self.lineage, now) {
            let facts = self.procfs.session(key);
            self.lineage.note_session(key, facts);
            self.leaks.learn_session(key, facts);
        }
        self.lineage.poll_leaks(&mut self.leaks, now, &mut self.effects);
        self.deliver(sink);
    }
}
