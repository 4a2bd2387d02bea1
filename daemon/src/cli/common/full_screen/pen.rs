//! Draws lines, rows and texts within an area.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

use crate::view::{Column, Mark, Row};

/// The width from which the columns of a table have their additional width.
const ROOMY: u16 = 95;

/// What the terminal supports.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct TerminalCaps {
    pub(in crate::cli) colour: bool,
    pub(in crate::cli) unicode: bool,
}

impl TerminalCaps {
    /// Returns the colour of a mark. Colours differ in brightness and not only in red and green, and each has a sign or a word
    /// beside it.
    pub(in crate::cli) fn of(self, mark: Mark) -> Style {
        let style = Style::new();
        match mark {
            Mark::Bad if self.colour => style.fg(Color::LightRed).add_modifier(Modifier::BOLD),
            Mark::Odd if self.colour => style.fg(Color::Yellow),
            Mark::Bad => style.add_modifier(Modifier::BOLD),
            Mark::Faint if self.colour => style.fg(Color::Cyan),
            Mark::None | Mark::Odd | Mark::Faint => style,
        }
    }

    pub(in crate::cli) const fn strong() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }
}

/// Draws text within an area.
pub(in crate::cli) struct Pen<'a> {
    pub(in crate::cli) out: &'a mut Buffer,
    pub(in crate::cli) caps: TerminalCaps,
    pub(in crate::cli) area: Rect,
}

impl Pen<'_> {
    /// Draws text that is escaped already, in at most `width` columns; a sign marks text that is cut. Returns the next column.
    pub(in crate::cli) fn text(&mut self, x: u16, y: u16, text: &str, style: Style, width: u16) -> u16 {
        let width = width.min(self.area.right().saturating_sub(x));
        if y >= self.area.bottom() || width == 0 {
            return x;
        }
        let (end, _) = self.out.set_stringn(x, y, text, usize::from(width), style);
        if columns(text) > usize::from(width) {
            let sign = if self.caps.unicode { "…" } else { ">" };
            self.out.set_stringn(x + width - 1, y, sign, 1, style);
        }
        end
    }

    /// Draws text at the right end of a line, if there is room for it after the column `from`.
    pub(in crate::cli) fn text_right(&mut self, from: u16, y: u16, text: &str, style: Style) {
        let width = u16::try_from(columns(text)).unwrap_or(u16::MAX);
        let at = self.area.right().saturating_sub(width);
        if at > from {
            self.text(at, y, text, style, width);
        }
    }

    /// Draws a rule over the width of an area, and a title on it.
    pub(in crate::cli) fn title(&mut self, place: Rect, title: &str, style: Style) {
        let rule = if self.caps.unicode { "─" } else { "-" };
        self.text(place.x, place.y, &rule.repeat(usize::from(place.width)), style, place.width);
        self.text(place.x + 1, place.y, title, style, place.width.saturating_sub(1));
    }

    /// Draws a key and what it does, if there is room; returns the next column, or `None`.
    pub(in crate::cli) fn key(&mut self, at: u16, y: u16, key: &str, what: &str) -> Option<u16> {
        let room = self.area.right().saturating_sub(at);
        if usize::from(room) < key.len() + what.len() + 1 {
            return None;
        }
        let at = self.text(at, y, key, TerminalCaps::strong().add_modifier(Modifier::REVERSED), room);
        Some(self.text(at + 1, y, what, Style::new(), room) + 2)
    }
}

/// Returns the width of a text in a terminal.
pub(in crate::cli) fn columns(text: &str) -> usize {
    ratatui::text::Span::raw(text).width()
}

/// Returns the columns of a table with their positions: the sign first, one blank between columns, and the last column takes the
/// rest.
pub(in crate::cli) fn places(columns: &'static [Column], width: u16) -> Vec<(Column, u16, u16)> {
    let mut at = 2;
    let mut places = Vec::new();
    for (n, column) in columns.iter().enumerate() {
        let own = column.width + if width >= ROOMY { column.extra } else { 0 };
        let own = if n + 1 == columns.len() { width.saturating_sub(at) } else { own };
        places.push((*column, at, own));
        at += own + 1;
    }
    places
}

/// Draws a row in an area. `at` is the area, and the number of lines between its first line and the row.
pub(in crate::cli) fn row_at(
    row: &Row,
    columns: &[(Column, u16, u16)],
    at: (Rect, u16),
    style: Style,
    pen: &mut Pen<'_>,
) {
    let (place, below) = at;
    let y = place.y + below;
    if below >= place.height {
        return;
    }
    pen.out.set_style(Rect { x: place.x, y, width: place.width, height: 1 }, style);
    pen.text(place.x, y, &row.mark.sign().to_string(), style, 1);
    for ((column, x, width), cell) in columns.iter().zip(&row.cells) {
        let room = place.width.saturating_sub(*x).min(*width);
        let pad = if column.number {
            room.saturating_sub(u16::try_from(self::columns(cell)).unwrap_or(room))
        } else {
            0
        };
        pen.text(place.x + x + pad, y, cell, style, room - pad);
    }
}

/// Draws a text in place of other content, wrapped at the width.
pub(in crate::cli) fn overlay(title: &str, text: &str, from: u16, body: Rect, pen: &mut Pen<'_>) {
    let title = format!(" {title}: Up and Down move, any other key ends ");
    pen.title(body, &title, TerminalCaps::strong());
    let mut y = body.y + 1;
    for line in text.lines().skip(usize::from(from)) {
        for part in folded(line, usize::from(body.width)) {
            if y >= body.bottom() {
                return;
            }
            pen.text(body.x, y, &part, Style::new(), body.width);
            y += 1;
        }
    }
}

/// Wraps a line between words; further lines have the indent of the first.
fn folded(line: &str, width: usize) -> Vec<String> {
    let indent = (line.len() - line.trim_start().len()).min(width / 2);
    let mut parts = Vec::new();
    let mut part = " ".repeat(indent);
    for word in line.trim_start().split(' ') {
        if columns(&part) + columns(word) > width && !part.trim().is_empty() {
            parts.push(std::mem::replace(&mut part, " ".repeat(indent)));
        }
        part.push_str(word);
        part.push(' ');
    }
    parts.push(part.trim_end().to_owned());
    parts
}
