//! Prints one frame of the view.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{draw, keys::Choice, view, watcher::Watcher};
use crate::{
    cli::{exit::Exit, full_screen},
    view::{Input, View},
};

/// The longest wait. CPU rates need two answers about the tree; if a busy host takes longer, the frame has no rates.
const AT_MOST: Duration = Duration::from_secs(5);

/// Draws the view and prints it.
pub(super) fn print(mut watcher: Watcher) -> Result<(), Exit> {
    let mut view = view();
    let mut trees = 0;
    let mut is_blocked_known = false;
    watcher.runtime.block_on(async {
        let until = Instant::now() + AT_MOST;
        while trees < 2 || !is_blocked_known {
            let Ok(Some(input)) = timeout_at(until, watcher.inputs.recv()).await else { break };
            trees += u32::from(matches!(input, Input::Tree(_)));
            is_blocked_known |= matches!(input, Input::Blocked(_));
            view.apply(input);
        }
    });
    watcher.stop();
    if view.health().is_none() {
        let why = view.disconnected().unwrap_or("no answer arrived in time");
        log::error!("{why}");
        return Err(Exit::Failure);
    }
    print_frame(&view)
}

/// Draws a view and prints it.
pub(in crate::cli) fn print_frame(view: &View) -> Result<(), Exit> {
    full_screen::print(|caps, area, out| {
        draw::draw(view, &mut Choice::default(), caps, area, out);
    })
}
