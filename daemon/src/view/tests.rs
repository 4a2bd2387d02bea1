//! Tests of the rows that answers and events lead to.

use serde_json::{Value, json};

use super::*;

const SECOND: u64 = 1_000_000_000;

fn view() -> View {
    View::new(Zone::Utc, true)
}

fn input<T: serde::de::DeserializeOwned>(make: impl FnOnce(T) -> Input, answer: Value) -> Input {
    make(serde_json::from_value(answer).unwrap())
}

fn node(depth: u32, pid: u32, name: &str, cpu_s: u64) -> Value {
    json!({
        "depth": depth, "pid": pid, "entity_id": format!("b-{pid}-1"), "name": name, "state": "running",
        "threads": 1, "subtree_exec_runtime_ns": cpu_s * SECOND,
    })
}

fn tree(at_s: u64, processes: &[Value]) -> Input {
    input(Input::Tree, json!({"boottime_ns": at_s * SECOND, "processes": processes}))
}

fn event(sequence: u64, action: &str, pid: u32, task: &Value) -> Event {
    event_of(sequence, action, &json!({"pid": pid, "name": "sh", "parent_pid": 1}), task)
}

fn event_of(sequence: u64, action: &str, process: &Value, task: &Value) -> Event {
    let line = json!({
        "@timestamp": "2026-11-20T23:10:01.846510225Z", "event": {"action": action, "sequence": sequence},
        "process": process, "task": task,
    });
    Event::of_line(&line.to_string()).unwrap()
}

fn zombies(parents: &[Value]) -> Input {
    input(
        Input::Zombies,
        json!({
            "@timestamp": "2026-11-20T23:10:01Z", "boottime_ns": 1, "zombies": parents.len(), "just_died": 0,
            "parents": parents, "dead_leaders": [], "stuck_exits": [],
        }),
    )
}

fn zombie_parent(pid: u32, name: &str, zombies: u32) -> Value {
    json!({
        "process": {"pid": pid, "name": name, "parent_pid": 1}, "zombies_per_minute": 1.5,
        "children": {"forked": 0, "reaped": 0, "autoreaped": 0, "zombies": zombies},
        "zombie_at_least_ns": 3 * SECOND, "zombie_at_most_ns": 3 * SECOND, "oldest_zombies": [],
        "verdict": {"code": "never_waits", "words": "never waits", "certainty": "certain", "summary": "x"},
    })
}

fn limits(at_s: u64, used: u64, limit: u64) -> Input {
    input(
        Input::Limits,
        json!({
            "@timestamp": "2026-11-20T23:10:01Z", "boottime_ns": at_s * SECOND,
            "limits": [{"kind": "pid_max", "used": used, "limit": limit, "full": used >= limit, "errno": "EAGAIN",
                        "zombies": 0, "consumers": []}],
        }),
    )
}

fn deaths(moments: &[u64]) -> Input {
    let death = |at: &u64| {
        json!({
            "@timestamp": "2026-11-20T23:10:01Z", "boottime_ns": at, "process": {"pid": at, "name": "d"},
            "cause": "killed", "certainty": "certain", "summary": "killed by SIGKILL from bash (pid 9)",
        })
    };
    let all: Vec<Value> = moments.iter().map(death).collect();
    input(Input::Deaths, json!({"@timestamp": "2026-11-20T23:10:01Z", "boottime_ns": 9, "deaths": all}))
}

fn texts(view: &View, pane: Pane) -> Vec<String> {
    (0..view.len(pane)).map(|n| view.row(pane, n).unwrap().cells.join("|")).collect()
}

#[test]
fn a_parent_that_owes_a_wait_is_shown_until_it_has_waited() {
    let mut view = view();
    view.apply(zombies(&[zombie_parent(7, "lazy", 2), zombie_parent(8, "worse", 5)]));
    assert_eq!(
        texts(&view, Pane::ZombieParents),
        ["5|3.0 s|1.5|worse (8)|never waits", "2|3.0 s|1.5|lazy (7)|never waits"]
    );
    assert_eq!(view.row(Pane::ZombieParents, 0).unwrap().mark, Mark::Bad);
    view.apply(zombies(&[]));
    assert_eq!(view.len(Pane::ZombieParents), 0);
}

#[test]
fn a_death_is_shown_once_and_the_last_first() {
    let mut view = view();
    view.apply(deaths(&[3, 2]));
    view.apply(deaths(&[5, 3]));
    assert_eq!(
        texts(&view, Pane::Deaths),
        [
            "23:10:01|killed|d (5)|killed by SIGKILL from bash (pid 9)",
            "23:10:01|killed|d (3)|killed by SIGKILL from bash (pid 9)",
            "23:10:01|killed|d (2)|killed by SIGKILL from bash (pid 9)",
        ]
    );
}

#[test]
fn like_processes_are_one_row_until_it_is_unfolded() {
    let mut view = view();
    let mut processes = vec![node(0, 1, "init", 9), node(1, 2, "sh", 3)];
    processes.extend((10..510).map(|pid| node(2, pid, "sleep", 0)));
    view.apply(tree(1, &processes));
    let rows = texts(&view, Pane::Tree);
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert_eq!(rows[2], "-|0 us|500|  └─sleep x 500");
    view.set_focus(Pane::Tree);
    view.move_by(2);
    view.toggle_fold();
    assert_eq!(view.len(Pane::Tree), 502);
    view.toggle_fold();
    assert_eq!(view.len(Pane::Tree), 3);
}

#[test]
fn what_a_subtree_uses_now_is_what_it_used_between_two_answers() {
    let mut view = view();
    view.apply(tree(10, &[node(0, 1, "init", 9), node(1, 2, "idle", 3), node(1, 3, "busy", 1)]));
    view.apply(tree(12, &[node(0, 1, "init", 12), node(1, 2, "idle", 3), node(1, 3, "busy", 3)]));
    assert_eq!(
        texts(&view, Pane::Tree),
        ["150.0|12 s|3|init (1)", "100.0|3.0 s|1|├─busy (3)", "0.0|3.0 s|1|└─idle (2)",]
    );
}

#[test]
fn only_the_parts_with_a_match_are_left_and_all_above_them() {
    let mut view = view();
    view.apply(tree(
        1,
        &[node(0, 1, "init", 0), node(1, 2, "sshd", 0), node(2, 3, "Nginx", 0), node(1, 4, "cron", 0)],
    ));
    view.set_filter("nginx".into());
    assert_eq!(texts(&view, Pane::Tree).len(), 3);
    view.set_filter(String::new());
    assert_eq!(texts(&view, Pane::Tree).len(), 4);
}

#[test]
fn a_jump_to_a_parent_unfolds_what_hides_it() {
    let mut view = view();
    view.apply(tree(1, &[node(0, 1, "init", 9), node(1, 2, "a", 0), node(2, 3, "b", 0), node(3, 4, "c", 0)]));
    view.set_focus(Pane::Tree);
    view.toggle_fold();
    assert_eq!(texts(&view, Pane::Tree), ["-|9.0 s|4|init (1) +3 folded"]);
    view.apply(Input::Events(vec![event(1, "zombie_began", 4, &json!({}))]));
    view.set_focus(Pane::Events);
    assert_eq!(view.target().unwrap().parent, Some(1));
    view.panes[Pane::Events as usize].at = 0;
    assert!(view.jump_to_parent());
    assert_eq!((view.focus(), view.target().unwrap().pid), (Pane::Tree, 1));
    assert!(view.jump_in_tree(3));
    assert_eq!(view.target().unwrap().pid, 3);
}

#[test]
fn a_jump_to_the_culprit_goes_from_a_zombie_to_the_parent_that_owes_the_wait() {
    let mut view = view();
    view.apply(zombies(&[zombie_parent(7, "lazy", 2), zombie_parent(2, "worse", 5)]));
    view.apply(tree(
        1,
        &[node(0, 1, "init", 0), node(1, 2, "worse", 0), node(1, 7, "lazy", 0), node(2, 9, "z", 0)],
    ));
    assert!(view.jump_in_tree(9));
    assert!(view.jump_to_responsible());
    assert_eq!((view.focus(), view.target().unwrap().pid), (Pane::ZombieParents, 7));
    assert!(view.jump_to_responsible());
    assert_eq!((view.focus(), view.target().unwrap().pid), (Pane::Tree, 7));
    assert!(view.jump_in_tree(1));
    assert!(!view.jump_to_responsible());
}

#[test]
fn a_chosen_row_stays_chosen_and_the_first_stays_first() {
    let mut view = view();
    view.set_focus(Pane::Events);
    view.apply(Input::Events(vec![event(1, "reaped", 5, &json!({})), event(2, "reaped", 6, &json!({}))]));
    view.apply(Input::Events(vec![event(3, "reaped", 7, &json!({}))]));
    assert_eq!(view.target().unwrap().pid, 7);
    view.move_by(1);
    view.apply(Input::Events(vec![event(4, "reaped", 8, &json!({}))]));
    assert_eq!((view.selected(Pane::Events), view.target().unwrap().pid), (Some(2), 6));
}

#[test]
fn a_paused_view_changes_nothing_and_has_the_events_later() {
    let mut view = view();
    view.toggle_pause();
    view.apply(zombies(&[zombie_parent(7, "lazy", 2)]));
    view.apply(Input::Events(vec![event(1, "forked", 5, &json!({}))]));
    assert_eq!((view.len(Pane::ZombieParents), view.len(Pane::Events)), (0, 0));
    view.toggle_pause();
    assert_eq!((view.len(Pane::ZombieParents), view.len(Pane::Events)), (0, 1));
}

#[test]
fn a_reparenting_is_in_its_own_pane_with_names_from_the_tree() {
    let mut view = view();
    view.apply(tree(1, &[node(0, 1, "init", 0)]));
    let task = json!({"old_parent_pid": 40, "new_parent_pid": 1, "reparent_kind": "init"});
    view.apply(Input::Events(vec![event(1, "reparented", 5, &task)]));
    assert_eq!(texts(&view, Pane::Reparented), ["23:10:01|sh (5)|? (40)|init (1), init"]);
    assert_eq!(texts(&view, Pane::Events), ["23:10:01|reparented|sh (5)|40 -> 1 (init)"]);
}

#[test]
fn a_death_in_the_stream_names_signal_and_sender() {
    let death = json!({"death": {"cause": "killed", "by_signal": {"sender": {"pid": 9, "name": "bash"}}}});
    let killed =
        json!({"pid": 5, "name": "sh", "exit": {"status": 9, "signal": 9, "signal_name": "SIGKILL"}});
    let event = event_of(1, "group_exited", &killed, &death);
    assert_eq!(event.facts(), "SIGKILL, killed by bash (9)");
}

#[test]
fn a_limit_that_fills_up_is_reported_when() {
    let mut view = view();
    for second in 0..=20 {
        view.apply(limits(second, 100 + 10 * second, 1000));
    }
    let line = view.budget().line(0).unwrap();
    assert_eq!(
        (line.numbers.as_str(), line.forecast.as_str()),
        ("300 of 1000", "+600/min, full in 1 min 10 s")
    );
    view.apply(limits(21, 1000, 1000));
    let line = view.budget().line(0).unwrap();
    assert_eq!((line.mark, line.forecast.as_str()), (Mark::Bad, "FULL: fork fails with EAGAIN"));
}

#[test]
fn a_limit_that_does_not_change_is_steady_and_a_short_past_says_nothing() {
    let mut view = view();
    view.apply(limits(0, 100, 1000));
    assert_eq!(view.budget().line(0).unwrap().forecast, "");
    view.apply(limits(30, 100, 1000));
    assert_eq!(view.budget().line(0).unwrap().forecast, "steady");
}

#[test]
fn no_name_reaches_the_terminal_as_it_is() {
    let hostile = "\u{1b}[2J\u{202e}\r\n\\";
    let mut view = view();
    view.apply(zombies(&[zombie_parent(7, hostile, 2)]));
    view.apply(tree(1, &[node(0, 1, hostile, 0)]));
    let named = json!({"pid": 5, "name": hostile});
    let event = event_of(1, "execed", &named, &json!({"exec_path": hostile}));
    view.apply(Input::Events(vec![event]));
    for pane in [Pane::ZombieParents, Pane::Tree, Pane::Events] {
        let rows = texts(&view, pane);
        assert!(rows[0].contains("\\x1b[2J\\xe2\\x80\\xae\\x0d\\x0a\\x5c"), "{rows:?}");
        assert!(!rows[0].contains(char::is_control), "{rows:?}");
    }
}

#[test]
fn a_chain_of_a_hundred_thousand_processes_has_its_rows() {
    let mut view = view();
    let chain: Vec<TreeNode> = (0..100_000)
        .map(|n| TreeNode { depth: n, pid: n + 1, state: "running".into(), ..TreeNode::default() })
        .collect();
    view.apply(Input::Tree(TreeAnswer { boottime_ns: 1, processes: chain }));
    assert_eq!(view.len(Pane::Tree), 100_000);
    let last = view.row(Pane::Tree, 99_999).unwrap();
    assert!(last.cells[3].ends_with("? (100000) depth 99999"), "{last:?}");
}

#[test]
fn every_pane_has_an_order_and_columns() {
    for (n, pane) in Pane::ALL.into_iter().enumerate() {
        assert_eq!(pane as usize, n);
        assert!(!pane.orders().is_empty() && pane.columns().last().unwrap().width == 0);
    }
}

fn past() -> PastAnswer {
    let node = |depth: u32, pid: u32, name: &str, state: &str| {
        let mut node = node(depth, pid, name, 0);
        node["state"] = json!(state);
        node["kind"] = json!("process");
        node["parent_pid"] = json!(pid / 10);
        if state == "zombie" {
            node["zombie_at_least_ns"] = json!(u64::from(pid) * SECOND);
            node["zombie_at_most_ns"] = json!(u64::from(pid) * SECOND);
        }
        node
    };
    let made = |at: &str| json!({"@timestamp": at, "boottime_ns": 900 * SECOND, "observed_ns": 600 * SECOND});
    let mut tree = made("2026-11-20T23:10:00Z");
    tree["at"] = json!("2026-11-20T23:05:00Z");
    tree["incomplete_before"] = json!("2026-11-20T23:06:00Z");
    tree["processes"] = json!([
        node(0, 1, "init", "running"),
        node(1, 10, "old", "running"),
        node(2, 101, "x", "zombie"),
        node(2, 102, "x", "zombie"),
    ]);
    let mut deaths = made("2026-11-20T23:10:00Z");
    deaths["deaths"] = json!([{
        "@timestamp": "2026-11-20T23:04:59Z", "boottime_ns": 599 * SECOND, "process": {"pid": 77, "name": "then"},
        "cause": "killed", "certainty": "certain", "summary": "killed",
    }]);
    PastAnswer {
        tree: serde_json::from_value(tree).unwrap(),
        deaths: serde_json::from_value(deaths).unwrap(),
    }
}

#[test]
fn a_past_time_replaces_the_present_until_it_is_left() {
    let mut view = view();
    view.apply(tree(1, &[node(0, 1, "init", 9), node(1, 20, "new", 3)]));
    view.apply(zombies(&[zombie_parent(7, "lazy", 2)]));
    view.apply(deaths(&[5]));
    view.show_past(past());
    let shown = view.past().unwrap();
    assert_eq!((shown.processes, shown.zombies, shown.gaps), (4, 2, 0));
    let minute = 60 * 1_000_000_000;
    let at = shown.at_ns.unwrap();
    assert_eq!(shown.known_since_ns, Some(at - 5 * minute));
    assert_eq!(shown.incomplete_before_ns, Some(at + minute));
    let parents = texts(&view, Pane::ZombieParents);
    assert_eq!(parents.len(), 1, "{parents:?}");
    assert!(parents[0].starts_with("2|1 min 42 s|-|old (10)|"), "{parents:?}");
    assert_eq!(texts(&view, Pane::Deaths), ["23:04:59|killed|then (77)|killed"]);
    assert!(texts(&view, Pane::Tree).iter().any(|row| row.contains("old (10)")));
    assert_eq!(view.len(Pane::Events), 0);
    // Answers about the present are not shown, and are not lost.
    view.apply(zombies(&[zombie_parent(8, "worse", 5)]));
    assert_eq!(texts(&view, Pane::ZombieParents), parents);
    assert!(view.jump_to_responsible());
    assert_eq!(view.target().unwrap().pid, 10);
    view.leave_past();
    assert!(view.past().is_none());
    assert_eq!(texts(&view, Pane::ZombieParents), ["5|3.0 s|1.5|worse (8)|never waits"]);
    assert!(texts(&view, Pane::Tree).iter().any(|row| row.contains("new (20)")));
}
