//! The text of a row.

use std::fmt::Write as _;

use super::{MOST_DRAWN, TreeLine, TreeRows};
use crate::{
    answer::text::escape,
    verdict::duration,
    view::{Mark, Row, Target, TreeNode},
};

/// The pieces of branches: between siblings, at the last sibling, beside siblings, below the last sibling.
const UNICODE: [&str; 4] = ["├─", "└─", "│ ", "  "];
const ASCII: [&str; 4] = ["|-", "`-", "| ", "  "];

impl TreeRows {
    /// Returns a row.
    pub(in crate::view) fn row(&self, row: u32, unicode: bool) -> Option<Row> {
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

    fn text(&self, line: &TreeLine, node: &TreeNode, unicode: bool) -> String {
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
