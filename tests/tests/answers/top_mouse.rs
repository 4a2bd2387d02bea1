//! The mouse in `taskscope top`, and that the terminal no longer reports it after any kind of end.

#[path = "../common/mod.rs"]
mod common;

use std::{env, fs, path::PathBuf};

use common::scenario;
use taskscope_tests::{proc, service::Service, setting, tmux::Tmux, top};

/// Sends what a terminal reports for a button (0 left, 64 and 65 the wheel) at a cell; the first has the number 1.
fn report(tmux: &Tmux, button: u16, x: usize, y: usize) {
    tmux.types(&format!("\x1b[<{button};{x};{y}M"));
}

/// Returns the number of the line with this text; the first is 1.
#[track_caller]
fn line_of(screen: &str, text: &str) -> usize {
    let at = screen.lines().position(|line| line.contains(text));
    at.unwrap_or_else(|| panic!("no `{text}` in\n{screen}")) + 1
}

/// The width of the panes on the left in a terminal with 200 columns.
const LEFT: usize = 99;

/// Returns the number of the line in the pane of zombies, on the left, that has this name.
fn row_of_parent(screen: &str, name: &str) -> Option<usize> {
    let mut rows = screen.lines().enumerate().skip_while(|(_, line)| !line.contains("1 Zombies by parent"));
    rows.next()?;
    let mut rows = rows.take_while(|(_, line)| !line.starts_with(['─', '-']));
    let has_name = |line: &str| line.chars().take(LEFT).collect::<String>().contains(name);
    rows.find(|(_, line)| has_name(line)).map(|(at, _)| at + 1)
}

#[track_caller]
fn mode(tmux: &Tmux, is: &str) {
    let flags = || tmux.asks("#{mouse_standard_flag} #{mouse_sgr_flag}");
    tmux.until("the mouse's mode", |_| flags() == is);
}

fn pid_of_top(tmux: &Tmux) -> i32 {
    let pid = tmux.asks("#{pane_pid}");
    let children = proc::children(&pid);
    children.first().and_then(|&child| child.try_into().ok()).unwrap_or_else(|| panic!("{pid} has no child"))
}

#[test]
fn a_click_chooses_rows_and_panes_and_the_wheel_scrolls() {
    let service = Service::start(&[]);
    let Some(tmux) = top::start(&service, (80, 24), "") else { return };
    top::is_shown(&tmux);
    // It is off, so that the terminal selects text.
    mode(&tmux, "0 0");
    tmux.types("m");
    mode(&tmux, "1 1");
    let screen =
        tmux.until("the tree", |screen| screen.contains("5 Tree (") && !screen.contains("5 Tree (0)"));
    report(&tmux, 0, 5, line_of(&screen, "5 Tree ("));
    tmux.shows(">5 Tree (");
    // One pane alone, without changes of the order by CPU usage.
    tmux.types("zsss");
    let screen = tmux.shows("sorted by pid");
    let rows: Vec<String> = screen.lines().map(str::to_owned).collect();
    let row = line_of(&screen, "5 Tree (") + 4;
    report(&tmux, 0, 10, row);
    tmux.until("the third row in reverse", |_| {
        let line = tmux.coloured().lines().nth(row - 1).unwrap_or_default().to_owned();
        line.contains("\x1b[7m") || line.contains(";7m")
    });
    assert_eq!(
        tmux.screen().lines().nth(row - 1),
        rows.get(row - 1).map(String::as_str),
        "a click moves no row"
    );
    // The wheel moves the selection until rows scroll.
    for _ in 0..20 {
        report(&tmux, 65, 10, row);
    }
    tmux.until("that the first row has scrolled away", |screen| {
        screen.lines().nth(row - 3) != rows.get(row - 3).map(String::as_str)
    });
    for _ in 0..40 {
        report(&tmux, 64, 10, row);
    }
    tmux.until("the first row again", |screen| {
        screen.lines().nth(row - 3) == rows.get(row - 3).map(String::as_str)
    });
    // Reports of a text that covers the panes scroll it.
    tmux.types("?");
    tmux.shows("Keys: ");
    report(&tmux, 65, 10, 10);
    tmux.until("the next lines of the text", |screen| !screen.contains("choose the pane that keys act on"));
    report(&tmux, 0, 10, 10);
    tmux.presses("Escape");
    tmux.types("m");
    mode(&tmux, "0 0");
    tmux.presses("q");
    top::assert_restored(&tmux, service.directory(), 0);
    service.stop_clean();
}

#[test]
fn a_click_works_in_a_wide_terminal_with_panes_side_by_side() {
    let service = Service::start(&[]);
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    let parent = zombie.facts().role("scenario").pid;
    let Some(tmux) = top::start(&service, (200, 50), "--mouse") else { return };
    top::is_shown(&tmux);
    mode(&tmux, "1 1");
    tmux.shows("6 Events (");
    report(&tmux, 0, 150, line_of(&tmux.screen(), "6 Events ("));
    tmux.shows(">6 Events (");
    let name = format!("scenario ({parent})");
    // Other processes' zombies come and go, so the row may have moved when the click arrives.
    tmux.until("the chosen parent", |screen| {
        if let Some(row) = row_of_parent(screen, &name) {
            report(&tmux, 0, 20, row);
        }
        screen.contains(">1 Zombies by parent")
    });
    tmux.presses("Enter");
    tmux.shows("Story: ");
    tmux.presses("Escape");
    zombie.go();
    zombie.finish();
    // SIGTERM switches it off.
    // SAFETY: kill takes integers; the process was started by this test's terminal.
    unsafe { libc::kill(pid_of_top(&tmux), libc::SIGTERM) };
    top::assert_restored(&tmux, service.directory(), 0);
    service.stop_clean();
}

#[test]
fn a_panic_switches_the_mouse_off() {
    let Some(program) = env::var_os("TASKSCOPE_FAILPOINTS_BIN").map(PathBuf::from) else {
        return setting::skip("TASKSCOPE_FAILPOINTS_BIN names no taskscope with the feature failpoints");
    };
    let service = Service::start(&[]);
    let file = service.directory().join("failpoints");
    // The first frames are written, then a write panics.
    fs::write(&file, "stdout.write=20*off->panic\n").unwrap_or_else(|error| panic!("{error}"));
    let environment = format!("TASKSCOPE_FAILPOINTS={}", file.display());
    let Some(tmux) = top::start_program(&program, &service, (80, 24), "--mouse", &environment) else {
        return;
    };
    mode(&tmux, "1 1");
    top::assert_restored(&tmux, service.directory(), 1);
    tmux.shows("panicked");
    service.stop_clean();
}
