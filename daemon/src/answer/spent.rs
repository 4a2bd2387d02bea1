//! What a process of a tree has used so far: itself, its ended children, and its whole subtree.

use serde::{Deserialize, Serialize};

use super::{
    now::AllFigures,
    usage::{AnswerUsage, ChildrenUsage},
};
use crate::lineage::{GroupView, Life, TaskState};

/// What one process has used so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Usage of all its tasks, live and ended; absent if it is not known of any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_so_far: Option<AnswerUsage>,
    /// Usage of its ended children and of theirs; absent if none was seen to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children_usage: Option<ChildrenUsage>,
    /// CPU time of both and of all its descendants in this tree, ns.
    pub subtree_exec_runtime_ns: u64,
    /// Whether some part of that is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub subtree_at_least: bool,
}

impl Spent {
    /// Returns the usage of the process and its dead children; `tree::subtrees` adds its descendants. Costs O(threads).
    ///
    /// The usage of a dead task comes from the lineage, even if the kernel still shows the task; the usage of a live task comes
    /// from the iterator.
    pub(super) fn of(life: &Life, view: Option<&GroupView<'_>>, figures: &AllFigures) -> Self {
        let mut account = life.usage.unwrap_or_default();
        let alive =
            view.into_iter().flat_map(GroupView::threads).filter(|task| task.state < TaskState::Zombie);
        for task in alive {
            match figures.used(task.task) {
                Some(used) => {
                    account.sum.add(used);
                    account.tasks += 1;
                }
                None => account.unknown += 1,
            }
        }
        let usage_so_far = (account.tasks > 0).then(|| AnswerUsage::by(account, life));
        let children_usage = ChildrenUsage::of(life);
        let mut spent =
            Self { usage_so_far, children_usage, subtree_exec_runtime_ns: 0, subtree_at_least: false };
        spent.subtree_exec_runtime_ns = spent.own_ns().unwrap_or(0).saturating_add(spent.childrens_ns());
        spent.subtree_at_least = !spent.is_own_exact() || !spent.is_childrens_exact();
        spent
    }

    /// Returns the CPU time of its own tasks, ns.
    #[must_use]
    pub fn own_ns(&self) -> Option<u64> {
        self.usage_so_far.map(|usage| usage.figures.exec_runtime_ns)
    }

    /// Whether that includes all its tasks.
    #[must_use]
    pub fn is_own_exact(&self) -> bool {
        self.usage_so_far.is_some_and(|usage| !usage.at_least && usage.tasks_unknown == 0)
    }

    /// Returns the CPU time of its dead children, reaped by wait(2) or not, ns.
    #[must_use]
    pub fn childrens_ns(&self) -> u64 {
        self.children().map(|sum| sum.figures.exec_runtime_ns).fold(0, u64::saturating_add)
    }

    /// Returns the number of its dead children.
    #[must_use]
    pub fn children_ended(&self) -> u64 {
        self.children().map(|sum| sum.processes).fold(0, u64::saturating_add)
    }

    /// Whether that includes all children.
    #[must_use]
    pub fn is_childrens_exact(&self) -> bool {
        !self.children_usage.is_some_and(|usage| usage.at_least)
            && self.children().all(|sum| sum.processes_unknown.is_none())
    }

    fn children(&self) -> impl Iterator<Item = super::usage::Descent> {
        let usage = self.children_usage.unwrap_or_default();
        [usage.reaped, usage.autoreaped].into_iter().flatten()
    }
}
