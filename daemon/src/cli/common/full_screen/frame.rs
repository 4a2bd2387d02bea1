//! One frame of a view as text.

use std::env;

use ratatui::{buffer::Buffer, layout::Rect};

use super::{TerminalCaps, columns};
use crate::cli::{exit::Exit, output, terminal};

/// Rows if the terminal does not report a number.
const ROWS: u16 = 24;

/// The most rows and columns, because a number from the environment must not exhaust the memory.
const MOST: u16 = 2000;

/// Draws one frame of `COLUMNS` x `LINES` characters, else of the terminal's size, else of 80x24, and prints it.
pub(in crate::cli) fn print(draw: impl FnOnce(TerminalCaps, Rect, &mut Buffer)) -> Result<(), Exit> {
    let style = terminal::style();
    let width = style.width.and_then(|width| u16::try_from(width).ok()).unwrap_or(80).min(MOST);
    let area = Rect { x: 0, y: 0, width, height: height() };
    let mut buffer = Buffer::empty(area);
    draw(TerminalCaps { colour: false, unicode: style.unicode }, area, &mut buffer);
    output::answer(&text(&buffer))
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
            x += u16::try_from(columns(symbol)).unwrap_or(1).max(1);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
