//! The process tree as SVG: the rows of the live view's tree, with like processes as one row.

use super::svg::{LETTER, ROW, Svg};
use crate::{
    answer::tree::Tree,
    export::Zone,
    view::{Input, Mark, Pane, View},
};

const MARGIN: f64 = 10.0;

/// Columns of the tree, and where they end (numbers) or begin (others), in letters. There is no column of CPU usage, because one
/// answer has only the CPU time so far.
const COLUMNS: [(usize, usize); 3] = [(1, 13), (2, 20), (3, 22)];

/// Returns the picture. CPU time is shown if the answer has it.
#[must_use]
pub fn tree_svg(tree: Tree) -> String {
    let made = tree.at.clone().unwrap_or_else(|| tree.made.timestamp.clone());
    let mut view = View::new(Zone::Utc, true);
    view.apply(Input::Tree(tree.into()));
    let mut svg = Svg::default();
    let mut y = MARGIN + ROW;
    let mut most = 0;
    let letters = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) * LETTER;
    let columns = COLUMNS.map(|(number, at)| (number, at, Pane::Tree.columns().get(number)));
    // Where a text of this many letters begins.
    let begin =
        |at: usize, is_number: bool, count: usize| if is_number { at.saturating_sub(count) } else { at };
    for (column, at) in columns.into_iter().filter_map(|(_, at, column)| column.zip(Some(at))) {
        let at = begin(at, column.number, column.title.len());
        svg.text("soft", (MARGIN + letters(at), y), column.title);
    }
    for row in (0..view.len(Pane::Tree)).filter_map(|at| view.row(Pane::Tree, at)) {
        y += ROW;
        let class = match row.mark {
            Mark::Bad => "bad",
            Mark::Odd => "odd",
            Mark::None | Mark::Faint => "plain",
        };
        for (number, at, column) in columns {
            let Some((cell, column)) = row.cells.get(number).zip(column) else { continue };
            let count = cell.chars().count();
            let at = begin(at, column.number, count);
            most = most.max(at + count);
            if cell != "-" {
                svg.text(class, (MARGIN + letters(at), y), cell);
            }
        }
    }
    svg.finish(&format!("Process tree at {made}"), letters(most.max(60)) + 2.0 * MARGIN, y + MARGIN)
}
