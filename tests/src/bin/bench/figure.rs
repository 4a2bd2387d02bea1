//! Figures of repeated runs.

use serde::Serialize;

/// Bytes in a MiB.
pub(crate) const MIB: f64 = 1_048_576.0;

/// The median of several figures, with the least and the greatest.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    pub(crate) runs: usize,
}

impl Spread {
    /// Summarizes figures; `None` for an empty list.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        // The median of an even number of figures is the mean of the two in the middle.
        let median = if values.len() % 2 == 1 { upper } else { f64::midpoint(values[middle - 1], upper) };
        Some(Self { median, least: values[0], most: values[values.len() - 1], runs: values.len() })
    }

    /// Returns the figure as text, such as `1.02 (0.99-1.05)`.
    pub(crate) fn text(&self, digits: usize) -> String {
        format!("{:.digits$} ({:.digits$}-{:.digits$})", self.median, self.least, self.most)
    }
}

/// Returns the median.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    Spread::of(values).map(|spread| spread.median)
}

/// Returns a table cell: the figure with this many digits and its unit, or a dash.
pub(crate) fn cell(figure: Option<f64>, digits: usize, unit: &str) -> String {
    let space = if unit.is_empty() { "" } else { " " };
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}{space}{unit}"))
}
