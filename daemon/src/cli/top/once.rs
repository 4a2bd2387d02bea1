//! Prints one frame of the view.

use std::{env, time::Duration};

use ratatui::{buffer::Buffer, layout::Rect};
use tokio::time::{Instant, timeout_at};

use super::{
    draw::{self, TerminalCaps},
    keys::Choice,
    view,
    watcher::Watcher,
};
use crate::{
    cli::{exit::Exit, output, terminal},
    view::{Input, View},
};

/// The longest wait. CPU rates need two answers about the tree; if a busy host takes longer, the frame has no rates.
const AT_MOST: Duration = Duration::from_secs(5);

/// Rows if the terminal does not report a number.
const ROWS: u16 = 24;

/// The most rows, because a number from the environment must not exhaust the memory.
const MOST: u16 = 2000;

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
    let style = terminal::style();
    let width = style.width.and_then(|width| u16::try_from(width).ok()).unwrap_or(80).min(MOST);
    let area = Rect { x: 0, y: 0, width, height: height() };
    let mut buffer = Buffer::empty(area);
    let caps = TerminalCaps { colour: false, unicode: style.unicode };
    draw::draw(view, &mut Choice::default(), caps, area, &mut buffer);
    output::print(&text(&buffer)).map_err(|error| {
        log::error!("writing to standard output: {error}");
        Exit::Failure
    })
}

fn height() -> u16 {
    let lines = env::var("LINES").ok().and_then(|lines| lines.parse().ok()).filter(|&lines| lines > 0);
    let of_terminal = || terminal_size::terminal_size().map(|(_, height)| height.0);
    lines.or_else(of_terminal).unwrap_or(ROWS).min(MOST)
}

/// Returns the characters line by line.
fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer.cell((x, y)).map_or(" ", |cell| cell.symbol());
            line.push_str(symbol);
            // A wide character takes the next cell, too.
            x += u16::try_from(ratatui::text::Span::raw(symbol).width()).unwrap_or(1).max(1);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
