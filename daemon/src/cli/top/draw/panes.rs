//! Places the panes and draws their rows.

use ratatui::{
    layout::Rect,
    style::{Modifier, Style},
};

use crate::{
    cli::full_screen::{Pen, TerminalCaps, places, row_at},
    verdict::duration,
    view::{Mark, Pane, Row, View},
};

/// If the tree is older than this, ns, its title shows its age.
const LAG_SHOWN_NS: u64 = 5_000_000_000;

/// The least rows of a pane among others: title, column heads and a few more.
const LEAST: u16 = 4;

/// The least columns at which panes are side by side.
const WIDE: u16 = 150;

/// The order in which panes get room in a small terminal.
const IMPORTANT: [Pane; 6] =
    [Pane::ZombieParents, Pane::Tree, Pane::Deaths, Pane::Events, Pane::Blocked, Pane::Reparented];

/// Returns the area of each pane, and the panes without room.
pub(super) fn arrange(view: &View, alone: bool, body: Rect) -> (Vec<(Pane, Rect)>, Vec<Pane>) {
    let focus = view.focus();
    if alone {
        return (vec![(focus, body)], Vec::new());
    }
    if body.width >= WIDE && body.height >= 6 * LEAST {
        let half = body.width / 2;
        let left = Rect { width: half - 1, ..body };
        let right = Rect { x: body.x + half + 1, width: body.width - half - 1, ..body };
        let mut places =
            stack(view, &[Pane::ZombieParents, Pane::Deaths, Pane::Blocked, Pane::Reparented], left);
        places.extend(stack(view, &[Pane::Tree, Pane::Events], right));
        return (places, Vec::new());
    }
    let fits = usize::from(body.height.saturating_sub(1) / (LEAST + 1)).clamp(1, 6);
    let mut shown = vec![focus];
    for pane in IMPORTANT {
        if shown.len() < fits && !shown.contains(&pane) {
            shown.push(pane);
        }
    }
    let hidden: Vec<Pane> = Pane::ALL.into_iter().filter(|pane| !shown.contains(pane)).collect();
    shown.sort_by_key(|pane| *pane as usize);
    let height = body.height.saturating_sub(u16::from(!hidden.is_empty()));
    (stack(view, &shown, Rect { height, ..body }), hidden)
}

/// Stacks panes vertically. Each gets the rows that it needs, the focused one first; the last pane with more rows gets the rest.
fn stack(view: &View, panes: &[Pane], area: Rect) -> Vec<(Pane, Rect)> {
    let wants = |pane: Pane| u16::try_from(view.len(pane).max(1)).unwrap_or(u16::MAX).saturating_add(2);
    let mut heights: Vec<u16> = panes.iter().map(|pane| wants(*pane).min(LEAST)).collect();
    let mut left = area.height.saturating_sub(heights.iter().sum());
    // Rows are given one at a time to panes that need more, so that each gets some; the focused pane gets two of three.
    while left > 0 {
        let mut given = false;
        for (pane, height) in panes.iter().zip(&mut heights) {
            let share = if *pane == view.focus() { 2 } else { 1 };
            let more = wants(*pane).saturating_sub(*height).min(share).min(left);
            *height += more;
            left -= more;
            given |= more > 0;
        }
        if !given {
            break;
        }
    }
    if let Some(last) = heights.last_mut() {
        *last += left;
    }
    let mut y = area.y;
    let mut places = Vec::new();
    for (pane, height) in panes.iter().zip(heights) {
        let height = height.min(area.bottom().saturating_sub(y));
        places.push((*pane, Rect { y, height, ..area }));
        y += height;
    }
    places
}

/// Draws a pane. `first` is the first visible row, which changes only as far as needed for the selected row to be visible.
pub(super) fn pane_at(view: &View, pane: Pane, place: Rect, first: &mut usize, pen: &mut Pen<'_>) {
    if place.height == 0 {
        return;
    }
    title(view, pane, place, pen);
    let count = view.len(pane);
    let rows = usize::from(place.height.saturating_sub(2));
    if count == 0 {
        let nothing = match view.past() {
            _ if !view.filter().is_empty() => "no row contains the filter",
            Some(_) => pane.nothing_then(),
            None => pane.nothing(),
        };
        if place.height > 1 {
            pen.text(place.x + 2, place.y + 1, nothing, pen.caps.of(Mark::Faint), place.width - 2);
        }
        return;
    }
    let selected = view.selected(pane).unwrap_or(0);
    let from =
        (*first).max((selected + 1).saturating_sub(rows)).min(selected).min(count.saturating_sub(rows));
    *first = from;
    let columns = places(pane.columns(), place.width);
    let heads = pane.columns().iter().map(|column| column.title.to_owned()).collect();
    let heads = Row { mark: Mark::None, cells: heads, target: None };
    let style = pen.caps.of(Mark::Faint).add_modifier(Modifier::UNDERLINED);
    row_at(&heads, &columns, (place, 1), style, pen);
    for n in 0..rows.min(count - from) {
        let Some(row) = view.row(pane, from + n) else { continue };
        let mut style = pen.caps.of(row.mark);
        if view.focus() == pane && from + n == selected {
            style = style.add_modifier(Modifier::REVERSED);
        }
        row_at(&row, &columns, (place, u16::try_from(n).unwrap_or(u16::MAX).saturating_add(2)), style, pen);
    }
}

fn title(view: &View, pane: Pane, place: Rect, pen: &mut Pen<'_>) {
    let is_focus = view.focus() == pane;
    let style = if is_focus { TerminalCaps::strong() } else { Style::new() };
    let sign = if is_focus { ">" } else { " " };
    let lag_ns = if pane == Pane::Tree { view.tree_lag_ns() } else { 0 };
    let lag = if lag_ns > LAG_SHOWN_NS { format!(", {} old", duration(lag_ns)) } else { String::new() };
    let text = format!(
        "{sign}{} {} ({}) sorted by {}{lag} ",
        pane as usize + 1,
        pane.title(),
        view.len(pane),
        view.order(pane)
    );
    pen.title(place, &text, style);
}
