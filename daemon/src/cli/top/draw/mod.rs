//! Draws the view. Only visible rows are made.

mod head;
mod panes;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

use super::keys::{Choice, DrawnPane, Over};
use crate::view::{Mark, Pane, View};

/// What the terminal supports.
#[derive(Clone, Copy, Debug)]
pub(super) struct TerminalCaps {
    pub(super) colour: bool,
    pub(super) unicode: bool,
}

impl TerminalCaps {
    /// Returns the colour of a mark. Colours differ in brightness and not only in red and green, and each has a sign or a word
    /// beside it.
    fn of(self, mark: Mark) -> Style {
        let style = Style::new();
        match mark {
            Mark::Bad if self.colour => style.fg(Color::LightRed).add_modifier(Modifier::BOLD),
            Mark::Odd if self.colour => style.fg(Color::Yellow),
            Mark::Bad => style.add_modifier(Modifier::BOLD),
            Mark::Faint if self.colour => style.fg(Color::Cyan),
            Mark::None | Mark::Odd | Mark::Faint => style,
        }
    }

    const fn strong() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }
}

/// Draws the view. Returns whether the tree is visible.
pub(super) fn draw(
    view: &View,
    choice: &mut Choice,
    caps: TerminalCaps,
    area: Rect,
    out: &mut Buffer,
) -> bool {
    let mut pen = Pen { out, caps, area };
    choice.drawn.clear();
    if area.height < 5 || area.width < 40 {
        pen.text(
            area.x,
            area.y,
            "the terminal is too small: it needs at least 40x5",
            Style::new(),
            area.width,
        );
        return false;
    }
    let top = head::head(view, &mut pen);
    head::foot(view, choice, &mut pen);
    let body = Rect { y: area.y + top, height: area.height.saturating_sub(top + 1), ..area };
    if let Over::Text(title, text, from) = &choice.over {
        overlay(title, text, *from, body, &mut pen);
        return false;
    }
    let (places, hidden) = panes::arrange(view, choice.alone, body);
    for &(pane, place) in &places {
        if pane == view.focus() {
            choice.page = usize::from(place.height.saturating_sub(2));
        }
        let mut first = 0;
        let kept = choice.first_rows.get_mut(pane as usize).unwrap_or(&mut first);
        panes::pane_at(view, pane, place, kept, &mut pen);
        choice.drawn.push(DrawnPane { pane, place });
    }
    if !hidden.is_empty() {
        let names: Vec<String> = hidden
            .iter()
            .map(|pane| format!("{} {} ({})", *pane as usize + 1, pane.title(), view.len(*pane)))
            .collect();
        let y = body.y + body.height.saturating_sub(1);
        pen.text(area.x, y, &format!("more: {}", names.join("   ")), caps.of(Mark::Faint), area.width);
    }
    places.iter().any(|(pane, _)| *pane == Pane::Tree)
}

/// Draws text within an area.
struct Pen<'a> {
    out: &'a mut Buffer,
    caps: TerminalCaps,
    area: Rect,
}

impl Pen<'_> {
    /// Draws text that is escaped already, in at most `width` columns; a sign marks text that is cut. Returns the next column.
    fn text(&mut self, x: u16, y: u16, text: &str, style: Style, width: u16) -> u16 {
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
}

/// Returns the width of a text in a terminal.
fn columns(text: &str) -> usize {
    ratatui::text::Span::raw(text).width()
}

/// Draws a text in place of the panes, wrapped at the width.
fn overlay(title: &str, text: &str, from: u16, body: Rect, pen: &mut Pen<'_>) {
    let rule = if pen.caps.unicode { "─" } else { "-" };
    pen.text(body.x, body.y, &rule.repeat(usize::from(body.width)), TerminalCaps::strong(), body.width);
    let title = format!(" {title}: Up and Down move, any other key ends ");
    pen.text(body.x + 1, body.y, &title, TerminalCaps::strong(), body.width - 1);
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

#[cfg(test)]
mod tests;
