//! `taskscope job` in a real terminal with a shell that has job control: Ctrl-Z, `fg`, Ctrl-C, and commands that take the terminal.
//! The shell and /proc are the oracles.

use taskscope_tests::{
    proc, setting,
    tmux::{self, Tmux},
    wait,
};

/// Starts a shell in a terminal; `None` if there is no tmux.
fn terminal() -> Option<Tmux> {
    if setting::skip_in_vm("a guest has no tmux") {
        return None;
    }
    if !tmux::is_there() {
        setting::skip("no tmux; cargo xtask test installs it");
        return None;
    }
    Some(Tmux::start(120, 50))
}

fn runs(tmux: &Tmux, command: &str) {
    tmux.types(command);
    tmux.presses("Enter");
}

/// Runs `taskscope job` with a command in it.
fn job(tmux: &Tmux, command: &str) {
    let program = setting::taskscope();
    let program = program.canonicalize().unwrap_or(program);
    runs(tmux, &format!("{} job --alone --attach {} -- {command}", program.display(), setting::attach()));
}

/// Waits until the shell shows the status of the last command. What is typed does not contain it.
#[track_caller]
fn status_is(tmux: &Tmux, status: i32) {
    runs(tmux, "echo status-$?-");
    tmux.shows(&format!("status-{status}-"));
}

/// Waits until the processes are in these states, with these in the foreground or not.
#[track_caller]
fn are(pids: &[i64], state: &str, in_foreground: bool) {
    wait::until_ok(|| {
        let found: Vec<_> = pids.iter().map(proc::stat).collect();
        let is = |found: &Option<Vec<String>>| match found.as_deref() {
            Some([is, _parent, group, _session, _tty, foreground, ..]) => {
                state.contains(is.as_str()) && (group == foreground) == in_foreground
            }
            _ => false,
        };
        if found.iter().all(is) { Ok(()) } else { Err(format!("{pids:?} are not {state}: {found:?}")) }
    });
}

/// Returns taskscope and its command, which the shell of the terminal runs.
#[track_caller]
fn running(tmux: &Tmux, name: &str) -> [i64; 2] {
    let shell = tmux.asks("#{pane_pid}");
    wait::until_ok(|| {
        let pairs = proc::children(&shell).into_iter().flat_map(|taskscope| {
            proc::children(taskscope).into_iter().map(move |command| [taskscope, command])
        });
        let found = pairs.into_iter().find(|&[_, command]| proc::name(command) == name);
        found.ok_or_else(|| format!("{name} does not run:\n{}", tmux.screen()))
    })
}

#[test]
fn ctrl_z_stops_both_and_fg_continues_both() {
    let Some(tmux) = terminal() else { return };
    job(&tmux, "cat");
    let both = running(&tmux, "cat");
    runs(&tmux, "hello");
    // The terminal echoes the line, and cat(1) prints it.
    tmux.until("the line twice", |screen| screen.lines().filter(|line| *line == "hello").count() == 2);
    are(&both, "SR", true);
    for turn in ["one", "two"] {
        tmux.presses("C-z");
        tmux.until("a stopped job", |screen| screen.matches("Stopped").count() > usize::from(turn == "two"));
        are(&both, "T", false);
        runs(&tmux, "fg");
        are(&both, "SR", true);
        runs(&tmux, turn);
        tmux.until("the line twice", |screen| screen.lines().filter(|line| *line == turn).count() == 2);
    }
    tmux.presses("C-d");
    tmux.shows("Critical path");
    status_is(&tmux, 0);
}

#[test]
fn ctrl_c_ends_the_command_once_and_the_report_follows() {
    let Some(tmux) = terminal() else { return };
    // A second signal would end it.
    job(
        &tmux,
        "sh -c 'trap \"trap - INT; echo trapped; sleep 1; exit 7\" INT; echo ready; while :; do sleep 0.1; done'",
    );
    let both = running(&tmux, "sh");
    are(&both, "SR", true);
    tmux.until("a handler", |screen| screen.lines().any(|line| line == "ready"));
    tmux.presses("C-c");
    tmux.until("the handler's output", |screen| screen.lines().any(|line| line.ends_with("trapped")));
    tmux.shows("Critical path");
    status_is(&tmux, 7);
    job(&tmux, "sleep 1000");
    running(&tmux, "sleep");
    tmux.presses("C-c");
    tmux.shows("killed by SIGINT");
    status_is(&tmux, 130);
}

#[test]
fn a_command_that_takes_the_terminal_and_is_killed_gives_it_back() {
    let Some(tmux) = terminal() else { return };
    // A shell with job control has a process group of its own, and makes that the terminal's.
    job(&tmux, "env PS1='inner> ' sh -im");
    tmux.shows("inner>");
    let [taskscope, inner] = running(&tmux, "sh");
    are(&[inner], "SR", true);
    are(&[taskscope], "SR", false);
    runs(&tmux, "kill -9 $$");
    tmux.shows("killed by SIGKILL");
    status_is(&tmux, 137);
    // The shell reads from the terminal, and Ctrl-C reaches what it runs next.
    runs(&tmux, "cat");
    runs(&tmux, "again");
    tmux.until("the line twice", |screen| screen.lines().filter(|line| *line == "again").count() == 2);
    tmux.presses("C-c");
    status_is(&tmux, 130);
}

#[test]
fn the_end_of_a_pipeline_keeps_the_terminal() {
    let Some(tmux) = terminal() else { return };
    job(&tmux, "seq 3 | (cat; read answer < /dev/tty; echo \"got $answer-\")");
    tmux.until("the numbers", |screen| screen.lines().any(|line| line == "3"));
    tmux.shows("Critical path");
    runs(&tmux, "word");
    tmux.shows("got word-");
    status_is(&tmux, 0);
}
