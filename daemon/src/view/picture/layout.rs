//! Assigns rows to lives: each is below the first row of its parent, in the first rows that are free at its start. A life and its
//! descendants are a block; blocks of siblings share rows if they do not overlap in time.

use super::bars::Bar;

/// The most rows that are searched for one block; a block that finds no free rows gets new ones.
const SCANNED: usize = 4096;

/// The rows.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// The row of each life.
    pub(super) row: Vec<usize>,
    /// The rows of its block.
    pub(super) height: Vec<usize>,
    /// When its block ends.
    pub(super) until: Vec<u64>,
    pub(super) depth: Vec<usize>,
    /// The number of all rows.
    pub(super) rows: usize,
    /// Lives in order of their start.
    pub(super) order: Vec<usize>,
}

#[expect(
    clippy::indexing_slicing,
    reason = "all vectors have one element for each life, and parents are checked"
)]
impl Layout {
    /// Lives that overlap by less than `tolerance` ns may share a row.
    pub(super) fn of(bars: &[Bar], tolerance: u64) -> Self {
        let count = bars.len();
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|&n| (bars[n].start, n));
        let mut rank = vec![0; count];
        for (at, &n) in order.iter().enumerate() {
            rank[n] = at;
        }
        // A parent that does not start before its child is ignored, so there are no cycles.
        let above = |n: usize| bars[n].parent.filter(|&parent| parent < count && rank[parent] < rank[n]);
        let mut children = vec![Vec::new(); count];
        let mut roots = Vec::new();
        for &n in &order {
            match above(n) {
                Some(parent) => children[parent].push(n),
                None => roots.push(n),
            }
        }
        let mut this = Self {
            row: vec![0; count],
            height: vec![1; count],
            until: bars.iter().map(Bar::until).collect(),
            depth: vec![0; count],
            rows: 0,
            order: Vec::new(),
        };
        for &n in order.iter().rev() {
            let (rows, until) = this.place(bars, &children[n], tolerance);
            this.height[n] = 1 + rows;
            this.until[n] = this.until[n].max(until);
        }
        this.rows = this.place(bars, &roots, tolerance).0;
        for &n in &order {
            if let Some(parent) = above(n) {
                this.row[n] += this.row[parent] + 1;
                this.depth[n] = this.depth[parent] + 1;
            }
        }
        this.order = order;
        this
    }

    /// Places blocks relative to their parent; returns the number of rows, and the end of the last block.
    fn place(&mut self, bars: &[Bar], children: &[usize], tolerance: u64) -> (usize, u64) {
        let mut free: Vec<u64> = Vec::new();
        let mut last = 0;
        for &n in children {
            let height = self.height[n];
            let from = free.len().saturating_sub(SCANNED);
            let start = bars[n].start.saturating_add(tolerance);
            let mut fits = 0;
            let found = (from..free.len()).find(|&row| {
                fits = if free[row] <= start { fits + 1 } else { 0 };
                fits == height
            });
            // A block that needs new rows may begin in the last rows if these are free.
            let row = found.map_or(free.len() - fits.min(height), |end| end + 1 - height);
            if free.len() < row + height {
                free.resize(row + height, 0);
            }
            free[row..row + height].fill(self.until[n]);
            self.row[n] = row;
            last = last.max(self.until[n]);
        }
        (free.len(), last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(start: u64, release: u64, parent: Option<usize>) -> Bar {
        Bar { start, release: Some(release), exit: Some(release), parent, ..Bar::default() }
    }

    #[test]
    fn siblings_share_a_row_unless_they_overlap() {
        let bars = [bar(0, 100, None), bar(10, 20, Some(0)), bar(30, 40, Some(0)), bar(35, 50, Some(0))];
        let layout = Layout::of(&bars, 0);
        assert_eq!(layout.row, [0, 1, 1, 2]);
        assert_eq!(layout.rows, 3);
    }

    #[test]
    fn a_block_has_the_rows_of_its_descendants_for_itself() {
        // A grandchild outlives its parent: the next child may not use its row.
        let bars = [bar(0, 100, None), bar(10, 20, Some(0)), bar(11, 60, Some(1)), bar(30, 40, Some(0))];
        let layout = Layout::of(&bars, 0);
        assert_eq!(layout.row, [0, 1, 2, 3]);
        assert_eq!(layout.until[1], 60);
        assert_eq!(layout.height[0], 4);
    }

    #[test]
    fn a_circle_of_parents_is_no_circle() {
        let bars = [bar(5, 10, Some(1)), bar(5, 10, Some(0))];
        let layout = Layout::of(&bars, 0);
        assert_eq!(layout.rows, 2);
        assert_eq!(layout.depth, [0, 1]);
    }
}
