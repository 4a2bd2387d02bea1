//! The lineage alone: reads criterion's estimates of the run of `cargo bench --bench lineage` just before.

use std::{fs, path::Path};

use serde::Serialize;
use serde_json::Value;

use crate::table::Table;

const SIZES: [u64; 3] = [1_000, 100_000, 1_000_000];

/// Result for one number of live tasks.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) live: u64,
    pub(crate) records_a_second: f64,
    /// Time of the memory accesses alone, as many as a life makes to cold memory.
    pub(crate) floor_records_a_second: f64,
}

/// Reads the estimates. Without any, the section is left out with a message.
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

/// Returns the table for people.
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
