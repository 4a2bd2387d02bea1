//! Draws the view. Only visible rows are made.

mod head;
mod panes;

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use super::keys::{Choice, DrawnPane, Over};
use crate::{
    cli::full_screen::{Pen, TerminalCaps, overlay},
    view::{Mark, Pane, View},
};

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

#[cfg(test)]
mod tests;
