//! The columns of `tree --usage`, left of the tree so that no narrow terminal cuts them off.

use std::fmt::Write as _;

use super::columns;
use crate::{
    answer::{
        spent::Spent,
        tree::{Node, Thread},
    },
    verdict::duration,
};

const HEADS: [&str; 4] = ["TOTAL", "OWN", "CHILDREN", "ENDED"];

/// Nothing seen.
const NONE: &str = "-";

type Row = [String; HEADS.len()];

/// The columns of all rows, as wide as the widest; empty without `--usage`.
pub(super) struct Columns {
    rows: Vec<Row>,
    widths: [usize; HEADS.len()],
}

impl Columns {
    pub(super) fn of(nodes: &[Node]) -> Self {
        if nodes.iter().all(|node| node.spent.is_none()) {
            return Self { rows: Vec::new(), widths: Default::default() };
        }
        let rows: Vec<Row> = nodes.iter().map(|node| row(node.spent.as_deref())).collect();
        let mut widths = HEADS.map(columns);
        let threads = nodes.iter().flat_map(|node| &node.tasks).map(thread);
        for row in rows.iter().cloned().chain(threads) {
            for (width, cell) in widths.iter_mut().zip(&row) {
                *width = columns(cell).max(*width);
            }
        }
        Self { rows, widths }
    }

    /// Returns the titles.
    pub(super) fn heads(&self) -> Option<String> {
        (!self.rows.is_empty()).then(|| self.line(&HEADS.map(Into::into)))
    }

    /// Returns the columns of the process with this index.
    pub(super) fn row(&self, n: usize) -> String {
        self.rows.get(n).map_or_else(String::new, |row| self.line(row))
    }

    /// Returns the columns of one of its threads.
    pub(super) fn thread(&self, of: &Thread) -> String {
        if self.rows.is_empty() { String::new() } else { self.line(&thread(of)) }
    }

    /// Returns the sums of processes that are shown as one row.
    pub(super) fn folded(&self, nodes: &[Node]) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let spent = || nodes.iter().filter_map(|node| node.spent.as_deref());
        let total = spent().map(|spent| spent.subtree_exec_runtime_ns).fold(0, u64::saturating_add);
        let is_exact = spent().all(|spent| !spent.subtree_at_least);
        let mut row = Row::default();
        row[0] = length(total, is_exact);
        self.line(&row)
    }

    fn line(&self, row: &Row) -> String {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(self.widths) {
            let _ = write!(line, "{cell:>width$}  ");
        }
        line
    }
}

fn row(spent: Option<&Spent>) -> Row {
    let Some(spent) = spent else { return Row::default() };
    let is_exact = spent.is_childrens_exact();
    let (children, ended) = match spent.children_ended() {
        0 => (NONE.into(), NONE.into()),
        ended => (length(spent.childrens_ns(), is_exact), format!("{}{ended}", mark(is_exact))),
    };
    [
        length(spent.subtree_exec_runtime_ns, !spent.subtree_at_least),
        spent.own_ns().map_or_else(|| "?".into(), |ns| length(ns, spent.is_own_exact())),
        children,
        ended,
    ]
}

fn thread(thread: &Thread) -> Row {
    let own = thread.usage_so_far.map_or_else(|| "?".into(), |used| length(used.exec_runtime_ns, true));
    [String::new(), own, String::new(), String::new()]
}

fn length(ns: u64, is_exact: bool) -> String {
    format!("{}{}", mark(is_exact), duration(ns))
}

const fn mark(is_exact: bool) -> &'static str {
    if is_exact { "" } else { ">" }
}
