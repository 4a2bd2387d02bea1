//! The rows of the tree: groups of equal processes, folded parts, and the CPU usage of each subtree.

mod lines;
mod row;

use std::collections::{HashMap, HashSet};

use super::{TreeAnswer, TreeNode};

/// The greatest depth that is drawn as branches; deeper processes are drawn at this depth.
const MOST_DRAWN: u32 = 24;

/// A row: a process, or a group of equal processes.
#[derive(Clone, Copy, Debug)]
struct TreeLine {
    /// The process, or the first of them.
    node: u32,
    /// The number of processes in the row.
    count: u32,
    depth: u32,
    /// A bit for each depth: whether siblings follow at that depth.
    guides: u32,
}

/// All processes, and the visible rows.
#[derive(Default)]
pub(super) struct TreeRows {
    nodes: Vec<TreeNode>,
    /// For each process: the index after its last descendant, and its parent.
    ends: Vec<u32>,
    parents: Vec<Option<u32>>,
    /// How many CPUs its subtree used between the last two answers.
    cpus: Vec<Option<f64>>,
    made_ns: u64,
    by_pid: HashMap<u32, u32>,
    lines: Vec<TreeLine>,
    /// Pids whose children are folded, or whose equal children are shown one by one.
    folded: HashSet<u32>,
    spread: HashSet<u32>,
    /// Whether equal processes are one row; set by the view.
    pub(super) groups: Groups,
}

/// Whether equal processes are one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Groups(bool);

impl Default for Groups {
    fn default() -> Self {
        Self(true)
    }
}

impl std::ops::Not for Groups {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl TreeRows {
    /// Returns the rows of one answer.
    pub(super) fn of(answer: TreeAnswer) -> Self {
        let mut rows = Self::default();
        rows.replace(answer);
        rows
    }

    /// Returns by how much the tree is older than this time, ns; 0 before the first answer.
    pub(super) fn lag_ns(&self, now_ns: u64) -> u64 {
        if self.made_ns == 0 { 0 } else { now_ns.saturating_sub(self.made_ns) }
    }

    /// Applies a new answer. The CPU usage of a subtree is known if the last answer had it too.
    #[expect(clippy::cast_precision_loss, reason = "a quotient of lengths of time")]
    pub(super) fn replace(&mut self, answer: TreeAnswer) {
        // The daemon may give the same answer again.
        if answer.boottime_ns == self.made_ns {
            return;
        }
        let before: HashMap<&str, u64> = self
            .nodes
            .iter()
            .filter_map(|node| Some((node.entity_id.as_deref()?, node.subtree_exec_runtime_ns?)))
            .collect();
        let elapsed_ns = answer.boottime_ns.saturating_sub(self.made_ns) as f64;
        let cpu = |node: &TreeNode| {
            let before = *before.get(node.entity_id.as_deref()?)?;
            let used = node.subtree_exec_runtime_ns?.saturating_sub(before) as f64;
            (elapsed_ns > 0.0).then_some(used / elapsed_ns)
        };
        self.cpus = answer.processes.iter().map(cpu).collect();
        self.nodes = answer.processes;
        self.made_ns = answer.boottime_ns;
        self.link();
        let by_pid = &self.by_pid;
        self.folded.retain(|pid| by_pid.contains_key(pid));
        self.spread.retain(|pid| by_pid.contains_key(pid));
    }

    /// Computes parents and ends from the depths.
    fn link(&mut self) {
        let count = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.ends = vec![count; self.nodes.len()];
        self.parents = vec![None; self.nodes.len()];
        self.by_pid = HashMap::with_capacity(self.nodes.len());
        let mut open: Vec<(u32, u32)> = Vec::new();
        for (n, node) in (0..count).zip(&self.nodes) {
            while let Some(&(depth, above)) = open.last().filter(|(depth, _)| *depth >= node.depth) {
                let _ = depth;
                if let Some(end) = self.ends.get_mut(above as usize) {
                    *end = n;
                }
                open.pop();
            }
            if let Some(parent) = self.parents.get_mut(n as usize) {
                *parent = open.last().map(|&(_, above)| above);
            }
            open.push((node.depth, n));
            self.by_pid.insert(node.pid, n);
        }
    }

    fn node(&self, n: u32) -> Option<&TreeNode> {
        self.nodes.get(n as usize)
    }

    fn end(&self, n: u32) -> u32 {
        self.ends.get(n as usize).copied().unwrap_or(n + 1)
    }

    fn cpu(&self, n: u32) -> Option<f64> {
        self.cpus.get(n as usize).copied().flatten()
    }

    pub(super) fn name(&self, pid: u32) -> Option<&str> {
        self.node(*self.by_pid.get(&pid)?)?.name.as_deref()
    }

    /// The pid of a process's parent.
    pub(super) fn parent(&self, pid: u32) -> Option<u32> {
        let above = self.parents.get(*self.by_pid.get(&pid)? as usize).copied().flatten()?;
        self.node(above).map(|node| node.pid)
    }

    /// Returns an identity of a row, which finds it again after a change.
    pub(super) fn id(&self, row: u32) -> u64 {
        let Some(line) = self.lines.get(row as usize) else { return u64::MAX };
        self.node(line.node).map_or(u64::MAX, |node| u64::from(node.pid))
    }

    /// Whether a row stands for this process.
    pub(super) fn shows(&self, row: u32, pid: u32) -> bool {
        self.id(row) == u64::from(pid)
    }

    /// Unfolds all ancestors of a process, and its group; returns false if there is no such process.
    pub(super) fn reveal(&mut self, pid: u32) -> bool {
        let Some(&at) = self.by_pid.get(&pid) else { return false };
        let mut above = self.parents.get(at as usize).copied().flatten();
        if let Some(parent) = above.and_then(|n| self.node(n)).map(|node| node.pid) {
            let is_shown = self.lines.iter().any(|line| line.node == at);
            if !is_shown {
                self.spread.insert(parent);
            }
        }
        while let Some(n) = above {
            if let Some(pid) = self.node(n).map(|node| node.pid) {
                self.folded.remove(&pid);
            }
            above = self.parents.get(n as usize).copied().flatten();
        }
        true
    }

    /// Folds or unfolds the children of a row, or the processes of a grouped row.
    pub(super) fn toggle(&mut self, row: u32) {
        let Some(&line) = self.lines.get(row as usize) else { return };
        let Some(pid) = self.node(line.node).map(|node| node.pid) else { return };
        let parent = self.parents.get(line.node as usize).copied().flatten();
        let parent = parent.and_then(|n| self.node(n)).map(|node| node.pid);
        let has_children = self.end(line.node) > line.node + 1;
        let (set, key) = match parent {
            Some(parent) if line.count > 1 || !has_children => (&mut self.spread, parent),
            _ => (&mut self.folded, pid),
        };
        if !set.remove(&key) {
            set.insert(key);
        }
    }

    /// The processes that a row stands for: the first, and its siblings of the same name and state.
    fn members(&self, line: &TreeLine) -> impl Iterator<Item = u32> {
        let first = self.node(line.node);
        let end = match self.parents.get(line.node as usize).copied().flatten() {
            _ if line.count == 1 => line.node + 1,
            Some(parent) => self.end(parent),
            None => u32::try_from(self.nodes.len()).unwrap_or(u32::MAX),
        };
        let depth = first.map(|node| node.depth);
        (line.node..end).filter(move |&n| {
            n == line.node
                || self.end(n) == n + 1
                    && self.node(n).zip(first).is_some_and(|(node, first)| {
                        Some(node.depth) == depth && node.name == first.name && node.state == first.state
                    })
        })
    }

    fn sum<T: std::ops::Add<Output = T>>(&self, line: &TreeLine, of: impl Fn(u32) -> Option<T>) -> Option<T> {
        if line.count == 1 {
            return of(line.node);
        }
        self.members(line).filter_map(of).reduce(|a, b| a + b)
    }

    fn used(&self, line: &TreeLine) -> u64 {
        self.sum(line, |n| self.node(n)?.subtree_exec_runtime_ns).unwrap_or(0)
    }

    fn processes(&self, line: &TreeLine) -> u32 {
        if line.count == 1 { self.end(line.node) - line.node } else { line.count }
    }
}
