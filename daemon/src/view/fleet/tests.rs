//! Tests of the rows that samples of hosts lead to.

use super::*;
use crate::{
    answer::fleet::{ErrorKind, FullestLimit, HostStatus, NewDeaths, ZombieSums},
    view::Mark,
};

const SECOND: u64 = 1_000_000_000;

fn names(count: usize) -> impl Iterator<Item = Arc<str>> {
    (0..count).map(|n| format!("node{n}").into())
}

fn well() -> HostSample {
    let status =
        r#"{"version":"0.1.0","uptime_ns":60000000000,"ready":true,"tasks":196,"processes":40,"zombies":0}"#;
    HostSample {
        status: serde_json::from_str(status).unwrap(),
        zombies: Some(ZombieSums { reap_debt_ns: Some(0), ..ZombieSums::default() }),
        fullest: Some(FullestLimit {
            kind: "pid_max".into(),
            used: 196,
            limit: 1960,
            ..FullestLimit::default()
        }),
        ..HostSample::default()
    }
}

fn with(change: impl FnOnce(&mut HostStatus)) -> HostSample {
    let mut sample = well();
    change(&mut sample.status);
    sample
}

fn refused() -> NoAnswer {
    NoAnswer { kind: ErrorKind::Refused, message: "refused: no process listens on 10.0.0.3:9753".into() }
}

fn apply(view: &mut FleetView, index: usize, answer: Result<HostSample, NoAnswer>) {
    view.apply(FleetInput { index, answer });
    view.refresh();
}

fn with_zombies(overdue: u64, old: u64) -> HostSample {
    let mut sample = well();
    sample.status.zombies = overdue;
    sample.status.zombies_old = old;
    let age = 90 * SECOND;
    sample.zombies = Some(ZombieSums { overdue, oldest_ns: age, reap_debt_ns: Some(overdue * age) });
    sample
}

fn shown(view: &FleetView) -> Vec<String> {
    (0..view.len()).map(|at| view.row(at, Layout::Narrow).unwrap().cells.join("|")).collect()
}

#[test]
fn hosts_that_need_attention_are_first() {
    let mut view = FleetView::new(names(7));
    apply(&mut view, 1, Ok(well()));
    apply(&mut view, 2, Ok(with_zombies(3, 1)));
    apply(&mut view, 3, Err(refused()));
    apply(&mut view, 4, Ok(with(|status| status.drifted = 2)));
    let blind = with(|status| {
        status.ready = false;
        status.not_ready_because = Some("blind".into());
    });
    apply(&mut view, 5, Ok(blind));
    apply(&mut view, 6, Ok(with_zombies(9, 7)));
    assert_eq!(
        shown(&view),
        [
            "node3|-|-|-|-|-|-|refused: no process listens on 10.0.0.3:9753",
            "node5|196|0|0|0|10%|0|NOT READY: blind",
            "node6|196|9|1 min 30 s|13 min 30 s|10%|0|ready",
            "node2|196|3|1 min 30 s|4 min 30 s|10%|0|ready",
            "node4|196|0|0|0|10%|0|ready",
            "node1|196|0|0|0|10%|0|ready",
            "node0|-|-|-|-|-|-|asking",
        ]
    );
    let marks: Vec<Mark> = (0..7).map(|at| view.row(at, Layout::Wide).unwrap().mark).collect();
    assert_eq!(marks, [Mark::Bad, Mark::Bad, Mark::Bad, Mark::Bad, Mark::Odd, Mark::None, Mark::Faint]);
    let counts = view.counts();
    assert_eq!((counts.asked, counts.answered, counts.not_ready), (6, 5, 1));
    assert_eq!((counts.zombies, counts.with_zombies), (12, 2));
    assert_eq!(counts.errors, [("refused", 1)]);
}

#[test]
fn a_full_limit_a_missing_part_and_alarming_deaths_need_attention() {
    let mut view = FleetView::new(names(4));
    let limit = |used, full| {
        Some(FullestLimit { kind: "cgroup".into(), used, limit: 100, full, ..FullestLimit::default() })
    };
    apply(&mut view, 0, Ok(HostSample { fullest: limit(80, false), ..well() }));
    apply(&mut view, 1, Ok(HostSample { missing: Some("its zombies are not known".into()), ..well() }));
    let deaths = vec![(9 * SECOND, "oom".to_owned()), (8 * SECOND, "killed".to_owned())];
    let deaths = Some(NewDeaths { boottime_ns: 10 * SECOND, deaths, has_more: false });
    apply(&mut view, 2, Ok(HostSample { deaths, ..well() }));
    apply(&mut view, 3, Ok(HostSample { fullest: limit(100, true), ..well() }));
    assert_eq!(
        shown(&view),
        [
            "node3|196|0|0|0|FULL|0|ready",
            "node0|196|0|0|0|80%|0|ready",
            "node1|196|0|0|0|10%|0|ready; its zombies are not known",
            "node2|196|0|0|0|10%|2|oom 1, killed 1",
        ]
    );
    assert_eq!(view.counts().deaths, [("oom".to_owned(), 1), ("killed".to_owned(), 1)]);
    view.move_by(3);
    let [first, second] = view.details().unwrap();
    assert_eq!(first, "node2: ready");
    assert_eq!(
        second,
        "taskscope 0.1.0, up 1 min; lost 0, drift 0; pids 196 of 1960 (pid_max); deaths in 1 min: oom 1, killed 1"
    );
    // A host that did not answer for a while starts again without deaths.
    apply(&mut view, 2, Err(refused()));
    apply(&mut view, 2, Ok(well()));
    assert_eq!(view.counts().deaths, []);
}

#[test]
fn the_chosen_host_stays_chosen_and_the_first_row_stays_the_first_row() {
    let mut view = FleetView::new(names(5));
    (0..5).for_each(|n| apply(&mut view, n, Ok(well())));
    assert_eq!(view.chosen(), Some(0));
    apply(&mut view, 4, Err(refused()));
    assert_eq!(view.chosen(), Some(4), "the first row");
    view.move_by(2);
    assert_eq!(view.chosen(), Some(1));
    apply(&mut view, 3, Err(refused()));
    assert_eq!((view.chosen(), view.selected()), (Some(1), 3));
    view.move_by(isize::MAX);
    view.move_by(100);
    assert_eq!(view.selected(), 4);
    view.set_filter("REFUSED".into());
    view.refresh();
    assert_eq!((view.len(), view.selected()), (2, 1));
    view.set_filter("no such host".into());
    view.refresh();
    assert_eq!((view.len(), view.chosen(), view.details()), (0, None, None));
    view.move_by(1);
    view.set_filter("node2".into());
    view.refresh();
    assert_eq!(view.chosen(), Some(2));
}

#[test]
fn each_order_has_the_largest_first() {
    let mut view = FleetView::new(names(3));
    let mut busy = with_zombies(1, 0);
    busy.status.tasks = 900;
    busy.status.records_lost = 5;
    apply(&mut view, 2, Ok(busy));
    apply(&mut view, 1, Ok(well()));
    apply(&mut view, 0, Err(refused()));
    let mut first = Vec::new();
    for _ in ORDERS {
        view.refresh();
        first.push((view.order(), view.name(view.chosen().unwrap()).unwrap().to_owned()));
        view.next_order();
    }
    let of = |order: &str| first.iter().find(|(name, _)| *name == order).unwrap().1.clone();
    assert_eq!(view.order(), "attention");
    assert_eq!([of("attention"), of("name")], ["node0", "node0"]);
    for order in ["zombies", "oldest", "debt", "tasks", "lost, drift"] {
        assert_eq!(of(order), "node2", "{order}");
    }
    assert_eq!([of("deaths"), of("pids")], ["node1", "node1"], "hosts without an answer come last");
}

#[test]
fn what_a_host_says_does_no_harm_and_paused_answers_are_dropped() {
    let mut view = FleetView::new(["a\u{1b}[2J".into()]);
    let mut sample = well();
    sample.status.version = "\u{1b}]0;x\u{7}".into();
    sample.status.ready_but = Some("\u{1b}[2Jx\n".into());
    sample.fullest.as_mut().unwrap().name = "\u{1b}".into();
    sample.deaths = Some(NewDeaths { boottime_ns: 9, deaths: vec![(8, "\u{1b}[1m".into())], has_more: true });
    apply(&mut view, 0, Ok(sample));
    let mut all = view.details().unwrap().join("");
    for layout in [Layout::Narrow, Layout::Wide] {
        let row = view.row(0, layout).unwrap();
        assert_eq!(row.cells.len(), layout.columns().len());
        all.extend(row.cells);
    }
    assert!(!all.chars().any(char::is_control), "{all:?}");
    view.toggle_pause();
    apply(&mut view, 0, Err(refused()));
    assert_eq!(view.counts().answered, 1);
    view.apply(FleetInput { index: 7, answer: Err(refused()) });
}
