//! `taskscope top` in a terminal of tmux.

use std::path::Path;

use super::{
    service::Service,
    tmux::{self, Tmux},
};
use crate::setting;

/// Runs `top` for a daemon in a terminal of this size; `None` if there is no tmux.
#[must_use]
pub fn start(service: &Service, (columns, rows): (u16, u16), args: &str) -> Option<Tmux> {
    let program = setting::taskscope();
    start_program(&program, service, (columns, rows), args, "")
}

/// Does the same with another program, and with variables `NAME=value` for its environment.
#[must_use]
pub fn start_program(
    program: &Path,
    service: &Service,
    (columns, rows): (u16, u16),
    args: &str,
    environment: &str,
) -> Option<Tmux> {
    if !tmux::is_there() {
        setting::skip("no tmux; cargo xtask test installs it");
        return None;
    }
    let tmux = Tmux::start(columns, rows);
    let program = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    tmux.types(&format!(
        "stty -a > {0}/stty; {environment} {1} top {args} --socket {0}/socket; echo code=$?",
        service.directory().display(),
        program.display()
    ));
    tmux.presses("Enter");
    Some(tmux)
}

/// Waits until `top` shows the daemon's health.
#[track_caller]
pub fn is_shown(tmux: &Tmux) {
    tmux.until("the trust line", |screen| screen.contains("  trust  ") || screen.contains("* trust  "));
}

/// Checks that `top` has ended with this code and restored the terminal: main screen, cursor, mouse, echo and line mode.
#[track_caller]
pub fn assert_restored(tmux: &Tmux, service_directory: &Path, code: i32) {
    let ended = format!("code={code}");
    tmux.until("that it has ended", |screen| screen.lines().any(|line| line == ended));
    let modes = "#{alternate_on} #{cursor_flag} #{mouse_any_flag} #{mouse_sgr_flag}";
    assert_eq!(tmux.asks(modes), "0 1 0 0", "{}", tmux.screen());
    tmux.types(&format!(
        "stty -a > {0}/after; cmp {0}/stty {0}/after && echo terminal=$((40+2))",
        service_directory.display()
    ));
    tmux.presses("Enter");
    tmux.until("that the terminal is the same", |screen| {
        screen.lines().any(|line| line.ends_with("terminal=42"))
    });
}

/// Returns the lines of a pane: from its title to the next pane's. `Deaths` is the pane `2 Deaths`.
#[must_use]
pub fn pane(screen: &str, title: &str, next: &str) -> String {
    let lines = screen.lines().skip_while(|line| !line.contains(title));
    lines.take_while(|line| !line.contains(next)).fold(String::new(), |text, line| text + line + "\n")
}
