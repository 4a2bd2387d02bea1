//! The process tree for Graphviz.

use std::fmt::Write as _;

use crate::answer::{
    text::escape,
    tree::{Node, Tree},
};

/// Returns the tree as a digraph: an arrow from each parent to its children, and a dashed one from the first parent of an orphan.
#[must_use]
pub fn tree_dot(tree: &Tree) -> String {
    let mut out = String::from(
        "digraph taskscope {\n  rankdir=LR;\n  node [shape=box, fontname=monospace, fontsize=10, style=filled, fillcolor=white];\n",
    );
    let mut above: Vec<&Node> = Vec::new();
    for node in &tree.processes {
        above.truncate(node.depth as usize);
        let colour = match node.state.as_str() {
            "zombie" => "#f3b53f",
            "running" => "white",
            _ => "#e3e9ee",
        };
        let state =
            if node.state == "running" { String::new() } else { format!("\\n{}", quoted(&node.state)) };
        let name = quoted(node.name.as_deref().unwrap_or("?"));
        // Writing to a String does not fail.
        let _ = writeln!(out, "  p{0} [label=\"{name}\\n{0}{state}\", fillcolor=\"{colour}\"];", node.pid);
        if let Some(parent) = above.last() {
            let _ = writeln!(out, "  p{} -> p{};", parent.pid, node.pid);
        }
        if let Some(first) = &node.orphan_of {
            let name = quoted(first.name.as_deref().unwrap_or("?"));
            let _ = writeln!(out, "  e{0} [label=\"{name}\\n{0}\\nended\", style=dashed];", first.pid);
            let _ = writeln!(out, "  e{} -> p{} [style=dashed];", first.pid, node.pid);
        }
        above.push(node);
    }
    out.push_str("}\n");
    out
}

/// Escapes a text for a quoted string.
fn quoted(text: &str) -> String {
    escape(text).replace('\\', "\\\\").replace('"', "\\\"")
}
