//! The tree as text: one process per line, cut at the width of the terminal.

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
    // For each depth, whether more siblings follow.
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

/// The depth at which each node is drawn: at most one more than the node before it, whatever the answer says.
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
        marks.push(format!("owes {} zombie{plural} a wait", node.zombies));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{
        Made,
        spent::Spent,
        task::ZombieAge,
        tree::Thread,
        usage::{ChildrenUsage, Descent, Figures, Usage},
    };

    fn node(depth: u32, pid: u32, name: &str) -> Node {
        Node {
            depth,
            pid,
            vpid: None,
            parent_pid: None,
            entity_id: None,
            name: Some(name.into()),
            name_bytes: None,
            kind: "process".into(),
            state: "running".into(),
            state_for_ns: None,
            zombie: None,
            threads: 1,
            tasks: Vec::new(),
            new_pid_ns: None,
            orphan_of: None,
            subreaper: false,
            zombies: 0,
            now: None,
            spent: None,
            place: None,
        }
    }

    fn of(processes: Vec<Node>) -> Tree {
        let made = Made { timestamp: String::new(), boottime_ns: 0, observed_ns: None };
        Tree { made, at: None, missing: Vec::new(), incomplete_before: None, history: None, processes }
    }

    #[test]
    fn branches_are_drawn_to_the_last_child() {
        let tree_of =
            of(vec![node(0, 1, "init"), node(1, 2, "a"), node(2, 3, "b"), node(2, 4, "c"), node(1, 5, "d")]);
        let style = Style { unicode: true, ..Style::default() };
        let drawn = "init(1)\n├─a(2)\n│ ├─b(3)\n│ └─c(4)\n└─d(5)\n";
        assert_eq!(tree(&tree_of, style, false), drawn);
        let ascii = "init(1)\n|-a(2)\n| |-b(3)\n| `-c(4)\n`-d(5)\n";
        assert_eq!(tree(&tree_of, Style::default(), false), ascii);
    }

    #[test]
    fn a_depth_that_cannot_be_is_reported_and_costs_nothing() {
        let nodes = vec![node(7, 1, "init"), node(u32::MAX, 2, "a"), node(1, 3, "b")];
        assert_eq!(
            tree(&of(nodes), Style::default(), false),
            "init(1)  at depth 7\n|-a(2)  at depth 4294967295\n`-b(3)\n"
        );
    }

    #[test]
    fn a_chain_as_long_as_there_are_pids_is_drawn_in_bounded_lines() {
        let chain = (0..32_768).map(|depth| node(depth, depth + 1, "sh")).collect();
        let text = tree(&of(chain), Style::default(), false);
        assert_eq!(text.lines().count(), 32_768);
        assert!(text.lines().all(|line| line.len() < 2 * MOST_DRAWN + 64));
        assert!(text.ends_with("`-sh(32768)  at depth 32767\n"), "{}", text.lines().last().unwrap());
    }

    #[test]
    fn many_zombies_are_a_number_unless_all_are_asked_for() {
        let age = ZombieAge { zombie_at_least_ns: 12_000_000_000, zombie_at_most_ns: 12_000_000_000 };
        let zombie = |pid| Node { state: "zombie".into(), zombie: Some(age), ..node(1, pid, "z") };
        let mut nodes = vec![Node { zombies: 9, ..node(0, 1, "init") }];
        nodes.extend((2..11).map(zombie));
        nodes.push(node(1, 20, "last"));
        let text = tree(&of(nodes.clone()), Style::default(), false);
        assert_eq!(text.lines().next(), Some("init(1)  owes 9 zombies a wait"));
        assert!(text.contains("|-z(6)  zombie 12 s\n|-4 more zombies\n`-last(20)\n"), "{text}");
        assert_eq!(tree(&of(nodes), Style::default(), true).lines().count(), 11);
    }

    #[test]
    fn a_line_is_no_wider_than_the_terminal_and_its_text_harmless() {
        let mut nodes = vec![node(0, 1, "init")];
        nodes.extend((1..60).map(|depth| Node { zombies: 1, ..node(depth, depth + 1, "a\x1b[2Jb\n") }));
        for width in [1, 10, 40, 80] {
            let style = Style { width: Some(width), ..Style::default() };
            let text = tree(&of(nodes.clone()), style, false);
            assert_eq!(text.lines().count(), 60);
            assert!(text.lines().all(|line| columns(line) <= width), "{text}");
            assert!(!text.contains('\x1b'), "{text}");
        }
    }

    #[test]
    fn what_is_special_is_marked() {
        let pid_ns = crate::answer::task::PidNs { inode: 7, level: 1 };
        let container =
            Node { vpid: Some(1), new_pid_ns: Some(pid_ns), subreaper: true, ..node(0, 9, "app") };
        let leader = Node { state: "dead_leader".into(), threads: 3, ..node(1, 10, "java") };
        let text = tree(&of(vec![container, leader]), Style::default(), false);
        assert_eq!(
            text,
            "app(9) vpid 1  pid namespace 7, subreaper\n`-java(10)  dead leader, 2 threads live\n"
        );
        let dead = Node { state: "dead".into(), ..node(0, 9, "sleep") };
        assert_eq!(tree(&of(vec![dead]), Style::default(), false), "sleep(9)  dead\n");
    }

    #[test]
    fn the_past_says_what_is_forgotten_and_an_orphan_whose_it_was() {
        let first = crate::answer::process::ProcessRef {
            pid: 7,
            entity_id: None,
            name: Some("bash".into()),
            name_bytes: None,
        };
        let orphan = Node { orphan_of: Some(Box::new(first)), ..node(0, 9, "sleep") };
        let mut answer = of(vec![orphan]);
        answer.at = Some("2026-11-20T14:00:00.000000000Z".into());
        answer.incomplete_before = Some("2026-11-20T14:03:00.000000000Z".into());
        assert_eq!(
            tree(&answer, Style::default(), false),
            "as of 2026-11-20 14:00:00.000 UTC; incomplete before 2026-11-20 14:03:00.000 UTC: processes that ended before that are forgotten\n\
             sleep(9)  orphan of bash (pid 7)\n"
        );
    }

    #[test]
    fn what_was_used_stands_left_of_the_tree() {
        let figures = |exec_runtime_ns| Figures { exec_runtime_ns, ..Figures::default() };
        let spent = |own_ns, total_ns, is_least| {
            let usage = Usage { figures: figures(own_ns), tasks: 1, at_least: is_least, ..Usage::default() };
            Some(Box::new(Spent {
                usage_so_far: Some(usage),
                children_usage: None,
                subtree_exec_runtime_ns: total_ns,
                subtree_at_least: is_least,
            }))
        };
        let ended =
            |ns, processes| Some(Descent { figures: figures(ns), processes, processes_unknown: None });
        let children =
            ChildrenUsage { reaped: ended(600_000_000, 40), autoreaped: ended(7_000, 2), at_least: false };
        let mut shell = spent(30_000_000, 630_000_000, false);
        if let Some(shell) = &mut shell {
            shell.children_usage = Some(children);
        }
        let thread = Thread {
            tid: 4,
            vid: None,
            name: Some("io".into()),
            name_bytes: None,
            kind: "thread".into(),
            state: "running".into(),
            usage_so_far: Some(figures(1_000)),
        };
        let zombie = |pid| Node {
            state: "zombie".into(),
            spent: spent(1_000_000, 1_000_000, false),
            ..node(1, pid, "z")
        };
        let mut nodes = vec![
            Node { spent: spent(3_400_000_000, 75_000_000_000, true), ..node(0, 1, "init") },
            Node { spent: shell, tasks: vec![thread], threads: 2, ..node(1, 3, "sh") },
        ];
        nodes.extend((10..18).map(zombie));
        let text = tree(&of(nodes.clone()), Style::default(), false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..4],
            [
                "      TOTAL     OWN  CHILDREN  ENDED  PROCESS",
                ">1 min 15 s  >3.4 s         -      -  init(1)",
                "     630 ms   30 ms    600 ms     42  |-sh(3)",
                "               1 us                   | `-{io}(4)",
            ]
        );
        assert_eq!(lines.last(), Some(&"       3 ms                           `-3 more zombies"));
        let narrow = Style { width: Some(12), ..Style::default() };
        assert!(tree(&of(nodes), narrow, false).lines().all(|line| columns(line) <= 12));
    }
}
