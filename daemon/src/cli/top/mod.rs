//! `taskscope top`: a live view in the terminal.

mod alone;
mod asker;
mod channels;
mod daemon;
mod draw;
mod keys;
mod once;
mod screen;
mod watcher;

use std::io::{self, IsTerminal as _};

use self::{daemon::Daemon, watcher::Watcher};
use super::{ask::Source, exit::Exit, fleet::Remote, full_screen::Ended, terminal};
use crate::view::View;

/// Arguments of `top`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope top                          a live view: q ends it, ? lists the keys
  taskscope top --mouse                  a click chooses a row, the wheel scrolls
  taskscope top --once                   one frame, for scripts and bug reports
  COLUMNS=200 LINES=60 taskscope top --once
  taskscope top --alone                  observe the kernel directly, even if a daemon is running

docs/top.md describes the panes, and the requests that the view sends to the daemon.")]
pub(super) struct Args {
    /// Print one frame of COLUMNS x LINES characters (else the terminal's size, else 80x24), and end
    #[arg(long)]
    once: bool,
    /// Start with the mouse on: a click chooses a row or a pane, the wheel moves the selection. The key m does the same later.
    /// While it is on, most terminals select text only with Shift
    #[arg(long, conflicts_with = "once")]
    mouse: bool,
    #[command(flatten)]
    source: Source,
}

/// Runs `top`.
pub(super) fn run(args: &Args) -> Exit {
    let is_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
    if !args.once && !is_terminal {
        log::error!("top: standard input and output must be a terminal; --once prints one frame");
        return Exit::Usage;
    }
    let outcome = Watcher::start(&args.source)
        .and_then(|watcher| if args.once { once::print(watcher) } else { screen::run(watcher, args.mouse) });
    outcome.map_or_else(|exit| exit, |()| Exit::Success)
}

/// Shows the view of a daemon in a terminal that is taken already, until a key or a signal ends it.
pub(super) fn show_remote(daemon: Remote, mouse: bool) -> io::Result<Ended> {
    screen::show(Watcher::of_daemon(Daemon::Remote(daemon))?, mouse, None)
}

pub(super) use self::once::print_frame;

/// Returns an empty view for this terminal.
pub(super) fn view() -> View {
    let style = terminal::style();
    View::new(style.zone, style.unicode)
}
