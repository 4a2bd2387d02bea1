//! `taskscope top` shows a past time after the key `t`.

#[path = "../common/mod.rs"]
mod common;

use std::process::{Child, Command, Stdio};

use common::scenario;
use taskscope_tests::{
    history::History,
    service::Service,
    setting, spawner,
    tmux::Tmux,
    top::{self, pane},
};

fn sleep() -> Child {
    let mut command = Command::new("sleep");
    command.arg("1000").stdin(Stdio::null());
    spawner::spawn(command).unwrap_or_else(|error| panic!("starting sleep: {error}"))
}

fn kill(mut child: Child) -> u32 {
    spawner::signal(&child, libc::SIGKILL);
    let _ = child.wait();
    child.id()
}

fn parents_of(screen: &str) -> String {
    pane(screen, "1 Zombies by parent", "2 Deaths")
}

/// Asks for a time.
fn ask(tmux: &Tmux, time: &str) {
    tmux.types("t");
    tmux.shows("time: _");
    tmux.types(time);
    tmux.presses("Enter");
}

#[track_caller]
fn a_past_time_shows_what_was_then(size: (u16, u16)) {
    let service = Service::start(&[]);
    let Some(tmux) = top::start(&service, size, "") else { return };
    top::is_shown(&tmux);
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    let parent = zombie.facts().role("scenario").pid;
    let before = kill(sleep());
    let survivor = sleep();
    let name = format!("scenario ({parent})");
    tmux.until("the parent of the zombie", |screen| parents_of(screen).contains(&name));
    // The pane has seven rows, and other processes of a busy host die too: rows are filtered while a death is looked for.
    tmux.types("2/sleep (");
    tmux.presses("Enter");
    tmux.shows(&format!("sleep ({before})"));
    let then = setting::date();
    zombie.go();
    zombie.finish();
    let after = kill(survivor);
    tmux.shows(&format!("sleep ({after})"));
    tmux.types("/");
    tmux.presses("Escape");
    tmux.until("that it is over", |screen| {
        let parents = parents_of(screen);
        !parents.contains("no row contains") && !parents.contains(&name)
    });

    ask(&tmux, &then);
    let screen = tmux.until("the past", |screen| {
        screen.contains("* PAST   ")
            && screen.contains("* known  since ")
            && parents_of(screen).contains(&name)
    });
    // Side by side, the left half has the deaths.
    let left = if size.0 >= 150 { usize::from(size.0) / 2 - 1 } else { usize::from(size.0) };
    let deaths = |screen: &str| {
        let left: String =
            screen.lines().map(|line| line.chars().take(left).chain(['\n']).collect::<String>()).collect();
        pane(&left, "2 Deaths", if size.0 >= 150 { "3 Blocked" } else { "5 Tree" })
    };
    for (pid, is_dead) in [(before, true), (after, false)] {
        tmux.types(&format!("2/sleep ({pid})"));
        tmux.presses("Enter");
        tmux.until(&format!("whether {pid} was dead"), |screen| {
            let shown = if is_dead { format!("sleep ({pid})") } else { "no row contains".to_owned() };
            deaths(screen).contains(&shown)
        });
        tmux.types("/");
        tmux.presses("Escape");
        tmux.until("all deaths", |screen| !screen.contains("no row contains"));
    }
    assert!(screen.contains("then ") && !screen.contains(" pids   "), "{screen}");
    assert!(screen.lines().all(|line| line.chars().count() <= usize::from(size.0)), "{screen}");
    // The tree of that moment has the process that has ended since.
    tmux.types("5/");
    tmux.types(&after.to_string());
    tmux.presses("Enter");
    tmux.until("the survivor in the tree", |screen| {
        let tree = pane(screen, "5 Tree", "6 Events");
        tree.contains(&format!("sleep ({after})"))
    });

    // Esc returns to the present, and t without a time does.
    tmux.presses("Escape");
    tmux.until("the present", |screen| !screen.contains("* PAST ") && !screen.contains(&name));
    ask(&tmux, &then);
    tmux.shows("* PAST   ");
    ask(&tmux, "");
    tmux.until("the present again", |screen| !screen.contains("* PAST ") && screen.contains("filter: "));
    tmux.presses("q");
    top::assert_restored(&tmux, service.directory(), 0);
    service.stop_clean();
}

#[test]
fn a_past_time_shows_its_tree_zombies_and_deaths_at_80x24() {
    a_past_time_shows_what_was_then((80, 24));
}

#[test]
fn a_past_time_shows_its_tree_zombies_and_deaths_at_200x50() {
    a_past_time_shows_what_was_then((200, 50));
}

#[test]
fn a_wrong_time_is_refused_by_name_and_can_be_corrected() {
    let service = Service::start(&[]);
    let Some(tmux) = top::start(&service, (80, 24), "") else { return };
    top::is_shown(&tmux);
    ask(&tmux, "soon");
    tmux.shows("`soon` is not a time");
    // The prompt is open again with the text.
    tmux.presses("BSpace");
    tmux.shows("time: soo_");
    tmux.presses("Escape");
    tmux.until("the keys", |screen| screen.lines().last().is_some_and(|line| line.starts_with("q quit")));
    ask(&tmux, "2000-01-01 00:00");
    tmux.shows("before this host booted");
    tmux.presses("q");
    top::assert_restored(&tmux, service.directory(), 0);
    service.stop_clean();
}

#[test]
fn a_time_before_the_daemon_comes_from_its_history() {
    if setting::in_vm() {
        return setting::skip("a guest has no tmux");
    }
    let directory = History::new();
    let service = directory.start(&[]);
    let child = sleep();
    let earlier = kill(sleep());
    let then = setting::date();
    let pid = kill(child);
    History::until_written(&service, 2.0);
    service.stop_clean();
    let service = directory.start(&[]);
    let Some(tmux) = top::start(&service, (100, 30), "") else { return };
    top::is_shown(&tmux);
    ask(&tmux, &then);
    let screen = tmux.until("the past with its gap", |screen| {
        screen.contains("* PAST   ") && screen.contains("gaps since then: 1")
    });
    let deaths = pane(&screen, "2 Deaths", "5 Tree");
    assert!(deaths.contains(&format!("sleep ({earlier})")), "{screen}");
    assert!(!deaths.contains(&format!("sleep ({pid})")), "{screen}");
    tmux.types("5z/");
    tmux.types(&pid.to_string());
    tmux.shows(&format!("sleep ({pid})"));
    tmux.presses("C-c");
    top::assert_restored(&tmux, service.directory(), 0);
    service.stop_clean();
}
