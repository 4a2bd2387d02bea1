//! The lineage alone: what `cargo bench --bench lineage` measured just before, read from criterion's estimates.

use std::{fs, path::Path};

use serde::Serialize;
use serde_json::Value;

use super::table::Table;

const SIZES: [u64; 3] = [1_000, 100_000, 1_000_000];

/// Result for one number of live tasks.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) live: u64,
    pub(crate) records_a_second: f64,
    /// Memory accesses alone, as many as a life takes from cold memory.
    pub(crate) floor_records_a_second: f64,
}

/// What is there; without any the section is left out and said to be.
pub(crate) fn read(criterion: Option<&Path>) -> Vec<Row> {
    let Some(criterion) = criterion else { return Vec::new() };
    let rate = |group: &str, live: u64| {
        let said = |file: &str, at: &str| {
            let path = criterion.join(format!("{group}/{live}/new/{file}.json"));
            let value: Value = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
            value.pointer(at)?.as_f64()
        };
        let records = said("benchmark", "/throughput/Elements")?;
        let ns = said("estimates", "/median/point_estimate")?;
        Some(records / (ns / 1e9))
    };
    let row = |live| {
        Some(Row {
            live,
            records_a_second: rate("records", live)?,
            floor_records_a_second: rate("floor", live)?,
        })
    };
    SIZES.into_iter().filter_map(row).collect()
}

/// For people.
pub(crate) fn table(rows: &[Row]) -> Table {
    let columns = ["live tasks", "records a second", "memory accesses alone", "share of that floor's time"];
    let mut table = Table::new("The lineage alone (replay)", &columns);
    table.rows.extend(rows.iter().map(|row| {
        vec![
            row.live.to_string(),
            format!("{:.2} M", row.records_a_second / 1e6),
            format!("{:.2} M", row.floor_records_a_second / 1e6),
            format!("{:.0} %", 100.0 * row.records_a_second / row.floor_records_a_second),
        ]
    }));
    table
}
