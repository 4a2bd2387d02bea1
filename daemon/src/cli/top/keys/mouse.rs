//! What the mouse does.

use super::{Choice, Over};
use crate::{
    cli::full_screen::input::{Mouse, MouseAction},
    view::View,
};

/// Rows that one step of the wheel moves.
const STEP: u16 = 3;

/// The rows of a pane above its first row: its title and its column heads.
const HEADS: u16 = 2;

/// Handles a click or a step of the wheel.
pub(super) fn point(mouse: Mouse, view: &mut View, choice: &mut Choice) {
    match &mut choice.over {
        Over::Text(_, text, at) => {
            let most = u16::try_from(text.lines().count()).unwrap_or(u16::MAX).saturating_sub(1);
            match mouse.what {
                MouseAction::WheelDown => *at = (*at + STEP).min(most),
                MouseAction::WheelUp => *at = at.saturating_sub(STEP),
                MouseAction::Click => {}
            }
        }
        // What is typed is not disturbed.
        Over::Typing | Over::Time(_) => {}
        Over::Nothing => point_at_pane(mouse, view, choice),
    }
}

fn point_at_pane(mouse: Mouse, view: &mut View, choice: &Choice) {
    let is_there = |place: ratatui::layout::Rect| place.contains((mouse.x, mouse.y).into());
    let Some(drawn) = choice.drawn.iter().find(|drawn| is_there(drawn.place)) else { return };
    view.set_focus(drawn.pane);
    match mouse.what {
        MouseAction::WheelDown => view.move_by(STEP.cast_signed().into()),
        MouseAction::WheelUp => view.move_by((-STEP.cast_signed()).into()),
        MouseAction::Click => {
            let Some(row) = (mouse.y - drawn.place.y).checked_sub(HEADS) else { return };
            let first = choice.first_rows.get(drawn.pane as usize).copied().unwrap_or(0);
            view.select_row(drawn.pane, first + usize::from(row));
        }
    }
}
