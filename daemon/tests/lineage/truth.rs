//! What really happened to each task, in order.

use std::collections::BTreeMap;

use taskscope::lineage::id::TaskKey;

/// What each task did. A task that takes its leader's place continues under the leader's key.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    acts: BTreeMap<TaskKey, Vec<String>>,
}

impl Truth {
    pub(crate) fn did(&mut self, task: TaskKey, act: impl Into<String>) {
        self.acts.entry(task).or_default().push(act.into());
    }

    pub(crate) fn acts(&self) -> &BTreeMap<TaskKey, Vec<String>> {
        &self.acts
    }
}
