//! Computes the rows of the tree, with folded parts, grouped processes and sorted siblings.

use std::collections::HashMap;

use super::{MOST_DRAWN, TreeLine, TreeRows};

/// The least number of processes with the same name and parent that become one row.
const GROUP: usize = 3;

impl TreeRows {
    /// Returns the rows: the processes that match the filter and their ancestors, with siblings in this order.
    pub(in crate::view) fn lines(&mut self, order: usize, filter: &str) -> Vec<u32> {
        let wanted = self.wanted(filter);
        let is_wanted = |n: u32| {
            let of = |n: u32| wanted.get(n as usize).copied().unwrap_or(0);
            wanted.is_empty() || of(self.end(n)) > of(n)
        };
        let mut lines = Vec::new();
        let mut stack: Vec<TreeLine> = Vec::new();
        let count = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.push_children(0, count, None, 0, 0, order, &is_wanted, &mut stack);
        while let Some(line) = stack.pop() {
            lines.push(line);
            let Some(node) = self.node(line.node) else { continue };
            // With a filter, nothing is folded.
            if line.count == 1 && (!wanted.is_empty() || !self.folded.contains(&node.pid)) {
                self.push_children(
                    line.node + 1,
                    self.end(line.node),
                    Some(node.pid),
                    line.depth + 1,
                    line.guides,
                    order,
                    &is_wanted,
                    &mut stack,
                );
            }
        }
        self.lines = lines;
        (0..u32::try_from(self.lines.len()).unwrap_or(u32::MAX)).collect()
    }

    /// Returns for each process how many processes before it match; empty without a filter.
    fn wanted(&self, filter: &str) -> Vec<u32> {
        if filter.is_empty() {
            return Vec::new();
        }
        let filter = filter.to_lowercase();
        let mut sum = 0;
        let mut sums = Vec::with_capacity(self.nodes.len() + 1);
        sums.push(0);
        for node in &self.nodes {
            let name = node.name.as_deref().unwrap_or_default();
            let is_match = name.to_lowercase().contains(&filter)
                || node.pid.to_string().contains(&filter)
                || node.state.contains(&filter);
            sum += u32::from(is_match);
            sums.push(sum);
        }
        sums
    }

    #[expect(clippy::too_many_arguments, reason = "one step of the walk that `lines` makes")]
    fn push_children(
        &self,
        from: u32,
        to: u32,
        parent: Option<u32>,
        depth: u32,
        guides: u32,
        order: usize,
        is_wanted: &impl Fn(u32) -> bool,
        stack: &mut Vec<TreeLine>,
    ) {
        let mut children: Vec<TreeLine> = Vec::new();
        let mut n = from;
        while n < to {
            if is_wanted(n) {
                children.push(TreeLine { node: n, count: 1, depth, guides });
            }
            n = self.end(n);
        }
        if self.groups.0 && parent.is_none_or(|pid| !self.spread.contains(&pid)) && children.len() >= GROUP {
            children = self.grouped(children);
        }
        let cpu = |line: &TreeLine| self.sum(line, |n| self.cpu(n)).unwrap_or(0.0);
        match order {
            0 => {
                let mut keyed: Vec<(f64, u64, TreeLine)> =
                    children.iter().map(|line| (cpu(line), self.used(line), *line)).collect();
                keyed.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
                children = keyed.into_iter().map(|(_, _, line)| line).collect();
            }
            1 => children.sort_by_key(|line| std::cmp::Reverse(self.used(line))),
            2 => children.sort_by_key(|line| std::cmp::Reverse(self.processes(line))),
            3 => children.sort_by_key(|line| self.node(line.node).map(|node| node.pid)),
            _ => children.sort_by(|a, b| {
                let name = |line: &TreeLine| self.node(line.node).and_then(|node| node.name.as_deref());
                name(a).cmp(&name(b))
            }),
        }
        let count = children.len();
        for (n, line) in children.iter_mut().enumerate() {
            if n + 1 < count && depth < MOST_DRAWN {
                line.guides |= 1 << depth;
            }
        }
        stack.extend(children.into_iter().rev());
    }

    /// Groups processes without children that have the same name and state into one row.
    fn grouped(&self, children: Vec<TreeLine>) -> Vec<TreeLine> {
        let mut by_name: HashMap<(Option<&str>, &str), Vec<TreeLine>> = HashMap::new();
        let mut out = Vec::new();
        for line in children {
            match self.node(line.node) {
                Some(node) if self.end(line.node) == line.node + 1 => {
                    by_name.entry((node.name.as_deref(), node.state.as_str())).or_default().push(line);
                }
                _ => out.push(line),
            }
        }
        for alike in by_name.into_values() {
            match alike.first() {
                Some(&first) if alike.len() >= GROUP => {
                    out.push(TreeLine { count: u32::try_from(alike.len()).unwrap_or(u32::MAX), ..first });
                }
                _ => out.extend(alike),
            }
        }
        out.sort_by_key(|line| line.node);
        out
    }
}
