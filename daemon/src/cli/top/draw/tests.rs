//! Tests of the drawing, without a terminal.

use serde_json::json;

use super::*;
use crate::{
    cli::full_screen::columns,
    export::Zone,
    view::{Event, Health, Input},
};

fn full() -> View {
    let mut view = View::new(Zone::Utc, true);
    view.apply(Input::Health(Health {
        observer: "taskscope".into(),
        degraded: vec!["x".into()],
        ..Health::default()
    }));
    let node = |depth: u32, pid: u32, name: &str| json!({"depth": depth, "pid": pid, "name": name, "state": "running", "threads": 1});
    let mut processes = vec![node(0, 1, "init"), node(1, 2, "\u{6f22}\u{5b57}\u{6f22}\u{5b57}")];
    processes.extend((3..200).map(|pid| node(pid - 1, pid, &format!("deep-{pid}"))));
    let tree = json!({"boottime_ns": 1, "processes": processes});
    view.apply(Input::Tree(serde_json::from_value(tree).unwrap()));
    let event = |n: u64| {
        let line = json!({"event": {"action": "forked", "sequence": n}, "process": {"pid": n, "name": "e\u{301}\u{1b}"}});
        Event::of_line(&line.to_string())
    };
    view.apply(Input::Events((1..50).filter_map(event).collect()));
    view
}

fn picture(view: &View, choice: &mut Choice, width: u16, height: u16) -> Vec<String> {
    let area = Rect { x: 0, y: 0, width, height };
    let mut buffer = Buffer::empty(area);
    draw(view, choice, TerminalCaps { colour: true, unicode: true }, area, &mut buffer);
    let line =
        |y| (0..width).filter_map(|x| buffer.cell((x, y))).map(ratatui::buffer::Cell::symbol).collect();
    (0..height).map(line).collect()
}

#[test]
fn every_size_has_a_picture() {
    let mut view = full();
    for pane in Pane::ALL {
        view.set_focus(pane);
        view.move_by(100);
        for width in [0, 1, 39, 40, 79, 80, 95, 149, 150, 200] {
            for height in [0, 1, 4, 5, 6, 7, 8, 9, 10, 12, 15, 23, 24, 30, 31, 45] {
                for over in [Over::Nothing, Over::Typing, Over::Text("Keys", "a b\n".repeat(90), 3)] {
                    let mut choice = Choice { over, alone: height % 2 == 0, ..Choice::default() };
                    picture(&view, &mut choice, width, height);
                }
            }
        }
    }
}

#[test]
fn the_chosen_row_and_the_keys_are_always_seen() {
    let mut view = full();
    view.set_focus(Pane::Tree);
    for steps in [0, 5, 60, 150] {
        view.move_by(isize::MIN);
        view.move_by(steps);
        let chosen = view.target().unwrap().pid;
        let lines = picture(&view, &mut Choice::default(), 200, 24);
        assert!(lines.iter().any(|line| line.contains(&format!("({chosen})"))), "{chosen}: {lines:#?}");
        assert!(lines.last().unwrap().starts_with("q quit"), "{lines:#?}");
    }
}

#[test]
fn characters_that_take_two_columns_or_none_move_nothing() {
    let view = full();
    for line in picture(&view, &mut Choice::default(), 80, 24) {
        // A wide character's second cell is empty: the line is as wide as the terminal.
        assert!(columns(&line) <= 80 + 4 && !line.contains('\u{1b}'), "{line}");
    }
}
