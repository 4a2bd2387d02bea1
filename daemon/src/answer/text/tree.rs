//! The tree as text: one process per line, cut at the width of the terminal.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use super::{Ink, Style, age, columns, columns::Columns, escape, fitting, moment};
use crate::{
    answer::{
        now,
        tree::{Node, Tree},
    },
    verdict::duration,
};

/// The most zombies of one parent that are shown one by one; the rest are counted.
const MOST_ZOMBIES: usize = 5;

/// The greatest depth that is drawn as branches. Deeper processes are drawn at this depth with their depth as a number: a chain
/// of 32,768 processes would otherwise take a gigabyte.
const MOST_DRAWN: usize = 256;

/// The pieces of branches: between siblings, at the last sibling, beside siblings, below the last sibling.
const UNICODE: [&str; 4] = ["├─", "└─", "│ ", "  "];
const ASCII: [&str; 4] = ["|-", "`-", "| ", "  "];

/// The answer as text; `all` shows every zombie.
#[must_use]
pub fn tree(answer: &Tree, style: Style, all: bool) -> String {
    let nodes = &answer.processes;
    let depths = depths(nodes);
    let is_last = last_children(&depths);
    let [between, last, past, blank] = if style.unicode { UNICODE } else { ASCII };
    let table = Columns::of(nodes);
    let mut out = String::new();
    if let Some(at) = &answer.at {
        let forgotten = answer.incomplete_before.as_ref().map_or_else(String::new, |until| {
            format!(
                "; incomplete before {}: processes that ended before that are forgotten",
                moment(until, style)
            )
        });
        let text = format!("as of {}{forgotten}", moment(at, style));
        out.push_str(&style.paint(Ink::Faint, &style.wrap(&text, 0)));
        out.push('\n');
    }
    if let Some(heads) = table.heads() {
        line(&mut out, style, &heads, "PROCESS", "", Ink::Faint);
    }
    // Whether more siblings follow, for each depth.
    let mut open: Vec<bool> = Vec::new();
    // Consecutive zombies under one parent, by depth.
    let mut zombies: Vec<usize> = Vec::new();
    for (n, ((node, &depth), &is_last)) in nodes.iter().zip(&depths).zip(&is_last).enumerate() {
        let next = nodes.get(n + 1).zip(depths.get(n + 1).copied());
        open.truncate(depth);
        // Under another parent, the count starts again.
        zombies.truncate(depth + 1);
        zombies.resize(depth + 1, 0);
        let mut in_a_row = zombies.pop().unwrap_or(0);
        let is_zombie = node.state == "zombie";
        let mut prefix = String::new();
        for &more in open.iter().skip(1) {
            prefix.push_str(if more { past } else { blank });
        }
        let more = !is_last;
        let branch = match (depth, more) {
            (0, _) => "",
            (_, true) => between,
            (_, false) => last,
        };
        open.push(more);
        in_a_row = if is_zombie { in_a_row + 1 } else { 0 };
        let folded = if is_zombie && !all { in_a_row.saturating_sub(MOST_ZOMBIES) } else { 0 };
        let next_is_folded =
            folded > 0 && next.is_some_and(|(next, of)| of == depth && next.state == "zombie");
        zombies.push(if folded > 0 && !next_is_folded { 0 } else { in_a_row });
        if next_is_folded {
            continue;
        }
        if folded > 0 {
            let text = if folded == 1 { "1 more zombie".into() } else { format!("{folded} more zombies") };
            let cells = table.folded(nodes.get((n + 1).saturating_sub(folded)..=n).unwrap_or_default());
            line(&mut out, style, &format!("{cells}{prefix}{branch}"), &text, "", Ink::Bad);
            continue;
        }
        let (mut marks, ink) = marks(node);
        if node.depth as usize != depth {
            let separator = if marks.is_empty() { "" } else { ", " };
            let _ = write!(marks, "{separator}at depth {}", node.depth);
        }
        line(&mut out, style, &format!("{}{prefix}{branch}", table.row(n)), &name(node), &marks, ink);
        let has_children = next.is_some_and(|(_, of)| of > depth);
        let below = format!(
            "{prefix}{}",
            match (depth, more) {
                (0, _) => "",
                (_, true) => past,
                (_, false) => blank,
            }
        );
        for (t, thread) in node.tasks.iter().enumerate() {
            let branch = if t + 1 < node.tasks.len() || has_children { between } else { last };
            let name = thread.name.as_deref().map_or_else(|| "?".into(), escape);
            let vid = thread.vid.map(|vid| format!(" vid {vid}")).unwrap_or_default();
            let kind = now::kind_in_words(&thread.kind);
            let state = if thread.state == "running" { "" } else { &thread.state };
            let marks: Vec<&str> = kind.into_iter().chain((!state.is_empty()).then_some(state)).collect();
            line(
                &mut out,
                style,
                &format!("{}{below}{branch}", table.thread(thread)),
                &format!("{{{name}}}({}){vid}", thread.tid),
                &marks.join(", "),
                Ink::Faint,
            );
        }
    }
    out
}

/// Returns the depth at which each node is drawn: at most one more than that of the node before it, even if the answer has a larger one.
fn depths(nodes: &[Node]) -> Vec<usize> {
    let mut deepest = 0;
    let mut depths = Vec::with_capacity(nodes.len());
    for node in nodes {
        let depth = (node.depth as usize).min(deepest);
        deepest = (depth + 1).min(MOST_DRAWN);
        depths.push(depth);
    }
    depths
}

/// Returns for each node whether it is the last sibling.
fn last_children(depths: &[usize]) -> Vec<bool> {
    // From the end: whether a node was seen at each depth without a shallower node in between.
    let mut seen: Vec<bool> = Vec::new();
    let mut is_last: Vec<bool> = Vec::with_capacity(depths.len());
    for &depth in depths.iter().rev() {
        seen.resize(depth + 1, false);
        is_last.push(!seen.pop().unwrap_or(false));
        seen.push(true);
    }
    is_last.reverse();
    is_last
}

fn name(node: &Node) -> String {
    let name = node.name.as_deref().map_or_else(|| "?".into(), escape);
    let name = if node.kind == "kernel_thread" { format!("[{name}]") } else { name };
    match node.vpid {
        Some(vpid) => format!("{name}({}) vpid {vpid}", node.pid),
        None => format!("{name}({})", node.pid),
    }
}

/// Returns remarks about a process, and their colour.
fn marks(node: &Node) -> (String, Ink) {
    let mut marks = Vec::new();
    let mut ink = Ink::Faint;
    let lasting = |what: &str| match node.state_for_ns {
        Some(ns) => format!("{what} for {}", duration(ns)),
        None => what.to_owned(),
    };
    match node.state.as_str() {
        "zombie" => {
            marks.push(node.zombie.map_or("zombie".into(), |zombie| format!("zombie {}", age(zombie))));
            ink = Ink::Bad;
        }
        "dead_leader" => {
            let live = node.threads.saturating_sub(1);
            let threads = if live == 1 { "1 thread lives".into() } else { format!("{live} threads live") };
            marks.push(format!("{}, {threads}", lasting("dead leader")));
            ink = Ink::Odd;
        }
        "exiting" => {
            marks.push(lasting("exiting"));
            ink = Ink::Odd;
        }
        // It was reaped or autoreaped; only the record of its release is still to come.
        "dead" => marks.push("dead".into()),
        _ => {}
    }
    if let Some(now) = &node.now
        && node.state != "zombie"
    {
        marks.push(now::short(now, node.pid, node.spent.is_none()));
    }
    if node.zombies > 0 {
        let plural = if node.zombies == 1 { "" } else { "s" };
        marks.push(format!("has not waited for {} zombie{plural}", node.zombies));
        ink = Ink::Odd;
    }
    if let Some(first) = &node.orphan_of {
        marks.push(format!("orphan of {}", escape(&first.to_string())));
    }
    if let Some(namespace) = node.new_pid_ns {
        marks.push(format!("pid namespace {}", namespace.inode));
    }
    if node.subreaper {
        marks.push("subreaper".into());
    }
    if let Some(place) = &node.place {
        marks.push(escape(&place.short()));
    }
    if node.tasks.is_empty() && node.threads > 1 && node.state != "dead_leader" {
        marks.push(format!("{} threads", node.threads));
    }
    (marks.join(", "), ink)
}

/// Appends a line, cut at the width.
fn line(out: &mut String, style: Style, prefix: &str, name: &str, marks: &str, ink: Ink) {
    let width = style.width.unwrap_or(usize::MAX);
    let head = cut(&format!("{prefix}{name}"), width);
    let rest = width.saturating_sub(columns(&head) + 2);
    out.push_str(&head);
    if !marks.is_empty() && rest > 0 {
        let _ = write!(out, "  {}", style.paint(ink, &cut(marks, rest)));
    }
    out.push('\n');
}

/// Cuts text to this many columns; `>` at the end shows that there is more.
fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut cut = fitting(text, width.saturating_sub(1)).to_owned();
    if width > 0 {
        cut.push('>');
    }
    cut
}
