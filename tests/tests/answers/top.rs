//! `taskscope top` in a real terminal: what it shows, and that it restores the terminal.

#[path = "../common/mod.rs"]
mod common;

use std::{
    fs,
    process::{Command, Stdio},
};

use common::scenario;
use taskscope_tests::{
    proc,
    service::{Service, directory},
    setting, spawner,
    tmux::{self, Tmux},
    top,
};

/// Runs `top` for a daemon in a terminal of this size; `None` if there is no tmux.
fn top(service: &Service, columns: u16, rows: u16) -> Option<Tmux> {
    let tmux = top::start(service, (columns, rows), "")?;
    top::is_shown(&tmux);
    Some(tmux)
}

#[track_caller]
fn assert_restored(tmux: &Tmux, service_directory: &std::path::Path) {
    top::assert_restored(tmux, service_directory, 0);
}

#[track_caller]
fn assert_fits(screen: &str, columns: usize) {
    for line in screen.lines() {
        assert!(line.chars().count() <= columns, "longer than {columns}: {line}\n{screen}");
    }
}

#[test]
fn a_zombie_is_shown_by_its_parent_and_is_gone_after_the_wait() {
    let service = Service::start(&[]);
    let Some(tmux) = top(&service, 80, 24) else { return };
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    let parent = zombie.facts().role("scenario").pid;
    let name = format!("scenario ({parent})");
    let screen = tmux.until("the parent that owes a wait", |screen| {
        let owes = screen.lines().skip_while(|line| !line.contains("Zombies by parent"));
        owes.take_while(|line| !line.contains("2 Deaths")).any(|line| line.contains(&name))
    });
    assert_fits(&screen, 80);
    assert!(screen.lines().last().is_some_and(|line| line.starts_with("q quit")), "{screen}");
    // Other parents may have zombies too.
    tmux.types("/");
    tmux.types(&parent.to_string());
    tmux.presses("Enter");
    tmux.until("that the tree has the parent, too", |screen| {
        let is_filtered = screen.contains(&format!("filter: {parent} (Esc)"));
        is_filtered && screen.contains("5 Tree (") && !screen.contains("5 Tree (0)")
    });
    // Opens the details of the parent, and closes them.
    tmux.presses("Enter");
    tmux.shows("Story: ");
    tmux.presses("Escape");
    // Shows the parent in the tree.
    tmux.presses("c");
    tmux.until("the parent in the tree", |screen| {
        screen.contains(">5 Tree") && screen.lines().any(|line| line.contains(&name) && line.contains("─"))
    });
    zombie.go();
    zombie.finish();
    tmux.until("that it is gone", |screen| {
        let owes = screen.lines().skip_while(|line| !line.contains("Zombies by parent"));
        !owes.take_while(|line| !line.contains("2 Deaths")).any(|line| line.contains(&name))
    });
    tmux.presses("q");
    assert_restored(&tmux, service.directory());
    service.stop_clean();
}

#[test]
fn a_kill_is_shown_with_victim_and_sender() {
    let service = Service::start(&[]);
    let Some(tmux) = top(&service, 200, 50) else { return };
    let mut command = Command::new("sleep");
    command.arg("1000").stdin(Stdio::null());
    let mut victim = spawner::spawn(command).unwrap_or_else(|error| panic!("starting sleep: {error}"));
    tmux.types("/");
    tmux.types(&victim.id().to_string());
    tmux.presses("Enter");
    tmux.shows(&format!("sleep ({})", victim.id()));
    spawner::signal(&victim, libc::SIGKILL);
    let _ = victim.wait();
    let us = std::process::id();
    let screen = tmux.until("victim and sender", |screen| {
        screen.lines().any(|line| {
            line.contains(&format!("sleep ({})", victim.id()))
                && line.contains("killed by SIGKILL from ")
                && line.contains(&us.to_string())
        })
    });
    assert_fits(&screen, 200);
    for pane in ["1 Zombies by parent", "2 Deaths", "3 Blocked, stuck", "4 Reparented", "5 Tree", "6 Events"]
    {
        assert!(screen.contains(pane), "no {pane}:\n{screen}");
    }
    // SIGTERM ends `top` like the key q.
    let pid = tmux.asks("#{pane_pid}");
    let child = proc::children(&pid).first().and_then(|&child| child.try_into().ok());
    let child: i32 = child.unwrap_or_else(|| panic!("{pid} has no child"));
    // SAFETY: kill takes integers; the process was started by this test's terminal.
    unsafe { libc::kill(child, libc::SIGTERM) };
    assert_restored(&tmux, service.directory());
    service.stop_clean();
}

#[test]
fn a_hostile_name_and_a_resize_do_not_break_the_screen() {
    let service = Service::start(&[]);
    let Some(tmux) = top(&service, 80, 24) else { return };
    // A comm that would clear the screen and set the title.
    let comm = "\x1b[2J\x1b]0;x\x07\n";
    let script = format!(
        "printf '{}' > /proc/self/comm; read line",
        comm.escape_default().to_string().replace("\\u{1b}", "\\033").replace("\\u{7}", "\\007")
    );
    let mut command = Command::new("bash");
    command.args(["-c", &script]).stdin(Stdio::piped());
    let mut named = spawner::spawn(command).unwrap_or_else(|error| panic!("starting bash: {error}"));
    tmux.presses("z");
    tmux.types("5/");
    tmux.types(&named.id().to_string());
    tmux.presses("Enter");
    let escaped = format!("\\x1b[2J\\x1b]0;x\\x07\\x0a ({})", named.id());
    let screen = tmux.shows(&escaped);
    assert!(screen.starts_with("taskscope "), "{screen}");
    assert_fits(&screen, 80);
    tmux.presses("Escape");
    tmux.resizes(200, 50);
    let screen = tmux.until("all panes side by side", |screen| {
        screen.lines().any(|line| line.contains("1 Zombies by parent") && line.contains("5 Tree"))
    });
    assert_eq!(screen.lines().count(), 50, "{screen}");
    assert_fits(&screen, 200);
    tmux.resizes(80, 24);
    tmux.until("the smaller screen", |screen| {
        screen.contains("more: ") && screen.lines().last().is_some_and(|line| line.starts_with("q quit"))
    });
    spawner::signal(&named, libc::SIGKILL);
    let _ = named.wait();
    tmux.presses("C-c");
    assert_restored(&tmux, service.directory());
    service.stop_clean();
}

#[test]
fn a_daemon_that_dies_is_reported_and_the_next_one_is_shown() {
    let service = Service::start(&[]);
    let Some(tmux) = top(&service, 80, 24) else { return };
    let first = service.process().pid();
    tmux.shows(&format!("pid {first}"));
    let directory = service.kill();
    tmux.shows("NO DAEMON");
    let service = Service::start_in(directory, &[]);
    let pid = format!("pid {}", service.process().pid());
    tmux.until("the next daemon", |screen| screen.contains(&pid) && !screen.contains("NO DAEMON"));
    // The event stream continues too.
    let mut command = Command::new("sleep");
    command.arg("1000").stdin(Stdio::null());
    let mut child = spawner::spawn(command).unwrap_or_else(|error| panic!("starting sleep: {error}"));
    tmux.presses("z");
    tmux.types("6/");
    tmux.types(&child.id().to_string());
    tmux.shows("forked");
    spawner::signal(&child, libc::SIGKILL);
    let _ = child.wait();
    tmux.presses("Escape");
    tmux.presses("q");
    assert_restored(&tmux, service.directory());
    service.stop_clean();
}

#[test]
fn without_colours_nothing_is_coloured() {
    let service = Service::start(&[]);
    if !tmux::is_there() {
        return setting::skip("no tmux; cargo xtask test installs it");
    }
    let tmux = Tmux::start(80, 24);
    let program = setting::taskscope();
    let program = program.canonicalize().unwrap_or(program);
    tmux.types(&format!("NO_COLOR=1 {} top --socket {}", program.display(), service.socket().display()));
    tmux.presses("Enter");
    tmux.shows("trust  ");
    let coloured = tmux.coloured();
    let is_colour =
        |code: &str| ["3", "4", "9", "10"].iter().any(|start| code.len() > 1 && code.starts_with(start));
    for sequence in coloured.split("\x1b[").skip(1) {
        let codes = sequence.split('m').next().unwrap_or_default();
        assert!(
            !codes.split(';').any(|code| is_colour(code) && code != "39" && code != "49"),
            "{sequence:?}"
        );
    }
    tmux.presses("q");
    service.stop_clean();
}

#[test]
fn one_screen_with_once_is_text_of_the_requested_size() {
    let service = Service::start(&[]);
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    let parent = zombie.facts().role("scenario").pid;
    let mut command = Command::new(setting::taskscope());
    command.args(["top", "--once", "--socket"]).arg(service.socket());
    command.env("COLUMNS", "100").env("LINES", "30").env("LC_ALL", "C").stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("running {command:?}: {error}"));
    let text = String::from_utf8(output.stdout).unwrap_or_else(|error| panic!("{error}"));
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.lines().count(), 30, "{text}");
    assert!(text.is_ascii() && !text.contains('\x1b'), "{text}");
    assert!(text.contains(&format!("scenario ({parent})")), "{text}");
    zombie.go();
    zombie.finish();
    service.stop_clean();
}

#[test]
fn without_a_terminal_the_error_names_the_option() {
    let mut command = Command::new(setting::taskscope());
    let output = command.arg("top").stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("running {command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.contains("--once")), (Some(2), true), "{said}");
}

#[test]
fn without_a_daemon_it_observes_by_itself() {
    let directory = directory();
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    let parent = zombie.facts().role("scenario").pid;
    let mut command = Command::new(setting::taskscope());
    command.args(["top", "--once", "--attach", &setting::attach(), "--socket"]).arg(directory.join("none"));
    command.env("COLUMNS", "100").env("LINES", "30").stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("running {command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("without a daemon") && text.contains(&format!("scenario ({parent})")), "{text}");
    zombie.go();
    zombie.finish();
    let _ = fs::remove_dir_all(directory);
}
