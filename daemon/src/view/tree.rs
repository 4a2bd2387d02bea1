//! The rows of the tree: like processes in one row, parts folded away, the CPU that each subtree uses now.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

use super::{Mark, Row, Target, TreeAnswer, TreeNode};
use crate::{answer::text::escape, verdict::duration};

/// From so many on, processes with one name and one parent are one row.
const GROUP: usize = 3;

/// Steps that are drawn as branches; deeper processes stand at this depth.
const MOST_DRAWN: u32 = 24;

/// How branches are drawn: between siblings, at the last, past them, past the last.
const UNICODE: [&str; 4] = ["├─", "└─", "│ ", "  "];
const ASCII: [&str; 4] = ["|-", "`-", "| ", "  "];

/// A row: a process, or several that are alike.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// The process, or the first of them.
    node: u32,
    /// How many it stands for.
    count: u32,
    depth: u32,
    /// For each depth drawn, a bit: siblings follow there.
    guides: u32,
}

/// Every process, and the rows that are to be seen.
#[derive(Default)]
pub(super) struct TreeRows {
    nodes: Vec<TreeNode>,
    /// Of each process: one behind its last descendant, and its parent.
    ends: Vec<u32>,
    parents: Vec<Option<u32>>,
    /// CPUs that its subtree used between the last two answers.
    cpus: Vec<Option<f64>>,
    made_ns: u64,
    by_pid: HashMap<u32, u32>,
    lines: Vec<Line>,
    /// Pids whose children are folded away, or whose like children are shown one by one.
    folded: HashSet<u32>,
    spread: HashSet<u32>,
    /// Set from outside: whether like processes are one row.
    pub(super) groups: Groups,
}

/// Whether like processes are one row.
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
    /// Takes a new answer. What each subtree used since the last is known of those that were there.
    #[expect(clippy::cast_precision_loss, reason = "a quotient of lengths of time")]
    pub(super) fn replace(&mut self, answer: TreeAnswer) {
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

    /// Parents and ends from the depths.
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

    /// What a row is, so that it is found again.
    pub(super) fn id(&self, row: u32) -> u64 {
        let Some(line) = self.lines.get(row as usize) else { return u64::MAX };
        self.node(line.node).map_or(u64::MAX, |node| u64::from(node.pid))
    }

    /// Whether a row stands for this process.
    pub(super) fn shows(&self, row: u32, pid: u32) -> bool {
        self.id(row) == u64::from(pid)
    }

    /// Unfolds all above a process, and the group that it is in; false where there is no such process.
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

    /// Folds or unfolds what is below a row; shows each process of a row that stands for many, and back.
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

    /// The rows anew: what the filter leaves with all above it, siblings in this order.
    pub(super) fn lines(&mut self, order: usize, filter: &str) -> Vec<u32> {
        let wanted = self.wanted(filter);
        let is_wanted = |n: u32| {
            let of = |n: u32| wanted.get(n as usize).copied().unwrap_or(0);
            wanted.is_empty() || of(self.end(n)) > of(n)
        };
        let mut lines = Vec::new();
        let mut stack: Vec<Line> = Vec::new();
        let count = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.push_children(0, count, None, 0, 0, order, &is_wanted, &mut stack);
        while let Some(line) = stack.pop() {
            lines.push(line);
            let Some(node) = self.node(line.node) else { continue };
            // Under a filter nothing that is left is hidden.
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

    /// For each process how many before it match; empty without a filter.
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
        stack: &mut Vec<Line>,
    ) {
        let mut children: Vec<Line> = Vec::new();
        let mut n = from;
        while n < to {
            if is_wanted(n) {
                children.push(Line { node: n, count: 1, depth, guides });
            }
            n = self.end(n);
        }
        if self.groups.0 && parent.is_none_or(|pid| !self.spread.contains(&pid)) && children.len() >= GROUP {
            children = self.grouped(children);
        }
        let cpu = |line: &Line| self.sum(line, |n| self.cpu(n)).unwrap_or(0.0);
        match order {
            0 => {
                let mut keyed: Vec<(f64, u64, Line)> =
                    children.iter().map(|line| (cpu(line), self.used(line), *line)).collect();
                keyed.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
                children = keyed.into_iter().map(|(_, _, line)| line).collect();
            }
            1 => children.sort_by_key(|line| std::cmp::Reverse(self.used(line))),
            2 => children.sort_by_key(|line| std::cmp::Reverse(self.processes(line))),
            3 => children.sort_by_key(|line| self.node(line.node).map(|node| node.pid)),
            _ => children.sort_by(|a, b| {
                let name = |line: &Line| self.node(line.node).and_then(|node| node.name.as_deref());
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

    /// Processes without children that have one name and one state become one row.
    fn grouped(&self, children: Vec<Line>) -> Vec<Line> {
        let mut by_name: HashMap<(Option<&str>, &str), Vec<Line>> = HashMap::new();
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
                    out.push(Line { count: u32::try_from(alike.len()).unwrap_or(u32::MAX), ..first });
                }
                _ => out.extend(alike),
            }
        }
        out.sort_by_key(|line| line.node);
        out
    }

    /// The processes that a row stands for: the first, and its siblings of the same name and state.
    fn members(&self, line: &Line) -> impl Iterator<Item = u32> {
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

    fn sum<T: std::ops::Add<Output = T>>(&self, line: &Line, of: impl Fn(u32) -> Option<T>) -> Option<T> {
        if line.count == 1 {
            return of(line.node);
        }
        self.members(line).filter_map(of).reduce(|a, b| a + b)
    }

    fn used(&self, line: &Line) -> u64 {
        self.sum(line, |n| self.node(n)?.subtree_exec_runtime_ns).unwrap_or(0)
    }

    fn processes(&self, line: &Line) -> u32 {
        if line.count == 1 { self.end(line.node) - line.node } else { line.count }
    }

    /// A row, made now.
    pub(super) fn row(&self, row: u32, unicode: bool) -> Option<Row> {
        let line = self.lines.get(row as usize)?;
        let node = self.node(line.node)?;
        let mark = match node.state.as_str() {
            "zombie" => Mark::Bad,
            "running" => Mark::None,
            _ => Mark::Odd,
        };
        let parent = self.parents.get(line.node as usize).copied().flatten();
        let known = self.sum(line, |n| self.node(n)?.subtree_exec_runtime_ns);
        let cells = vec![
            self.sum(line, |n| self.cpu(n)).map_or_else(|| "-".into(), |cpu| format!("{:.1}", cpu * 100.0)),
            known.map_or_else(|| "-".into(), duration),
            self.processes(line).to_string(),
            self.text(line, node, unicode),
        ];
        let target = Target {
            pid: node.pid,
            entity_id: node.entity_id.clone(),
            parent: parent.and_then(|n| self.node(n)).map(|node| node.pid),
        };
        Some(Row { mark, cells, target: Some(target) })
    }

    fn text(&self, line: &Line, node: &TreeNode, unicode: bool) -> String {
        let [between, last, past, blank] = if unicode { UNICODE } else { ASCII };
        let mut text = String::new();
        let depth = line.depth.min(MOST_DRAWN);
        for at in 1..depth {
            text.push_str(if line.guides >> at & 1 == 1 { past } else { blank });
        }
        if depth > 0 {
            text.push_str(if line.guides >> depth & 1 == 1 { between } else { last });
        }
        text.push_str(&escape(node.name.as_deref().unwrap_or("?")));
        // Writing to a String does not fail.
        let mut add = |part: std::fmt::Arguments<'_>| {
            let _ = text.write_fmt(part);
        };
        if line.count > 1 {
            add(format_args!(" x {}", line.count));
        } else {
            add(format_args!(" ({})", node.pid));
        }
        if node.threads > 1 && line.count == 1 {
            add(format_args!(" {} threads", node.threads));
        }
        if node.state != "running" {
            add(format_args!(" {}", escape(&node.state.replace('_', " ")).to_uppercase()));
        }
        let below = self.end(line.node) - line.node - 1;
        if line.count == 1 && below > 0 && self.folded.contains(&node.pid) {
            add(format_args!(" +{below} folded"));
        }
        if line.depth > MOST_DRAWN {
            add(format_args!(" depth {}", line.depth));
        }
        text
    }
}
