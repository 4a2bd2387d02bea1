use super::*;
use crate::answer::{
    Made,
    spent::Spent,
    task::ZombieAge,
    tree::Thread,
    usage::{AnswerUsage, ChildrenUsage, Descent, UsageFigures},
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
    assert_eq!(text.lines().next(), Some("init(1)  has not waited for 9 zombies"));
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
    let container = Node { vpid: Some(1), new_pid_ns: Some(pid_ns), subreaper: true, ..node(0, 9, "app") };
    let leader = Node { state: "dead_leader".into(), threads: 3, ..node(1, 10, "java") };
    let text = tree(&of(vec![container, leader]), Style::default(), false);
    assert_eq!(text, "app(9) vpid 1  pid namespace 7, subreaper\n`-java(10)  dead leader, 2 threads live\n");
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
    let figures = |exec_runtime_ns| UsageFigures { exec_runtime_ns, ..UsageFigures::default() };
    let spent = |own_ns, total_ns, is_least| {
        let usage =
            AnswerUsage { figures: figures(own_ns), tasks: 1, at_least: is_least, ..AnswerUsage::default() };
        Some(Box::new(Spent {
            usage_so_far: Some(usage),
            children_usage: None,
            subtree_exec_runtime_ns: total_ns,
            subtree_at_least: is_least,
        }))
    };
    let ended = |ns, processes| Some(Descent { figures: figures(ns), processes, processes_unknown: None });
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
    let zombie =
        |pid| Node { state: "zombie".into(), spent: spent(1_000_000, 1_000_000, false), ..node(1, pid, "z") };
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
