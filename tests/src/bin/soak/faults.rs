//! `soak faults`: runs every fault of `taskscope_tests::faults` for a long time, and prints a table.

use std::{env, time::Duration};

use anyhow::{Context as _, ensure};
use taskscope_tests::faults::{FAULTS, Row, run};

/// Runs each row whose name is among `names`, or all of them.
pub(crate) fn all(family: &str, lasts: Duration, names: &[String]) -> anyhow::Result<()> {
    let beside = env::current_exe().context("finding this program")?.with_file_name("scenario");
    let mut table = vec![Row::HEAD.map(str::to_owned).to_vec()];
    let mut failed = 0;
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    for fault in FAULTS.iter().filter(|fault| wanted(fault.name)) {
        eprintln!("soak: {}: {}", fault.name, fault.what);
        match run(fault, &beside.to_string_lossy(), family, lasts) {
            Ok(row) => {
                eprintln!("soak: {}: {}", fault.name, row.line());
                for wrong in &row.wrong {
                    eprintln!("soak: {}: {wrong}", fault.name);
                }
                failed += usize::from(!row.wrong.is_empty());
                table.push(row.cells());
            }
            Err(why) => {
                eprintln!("soak: {}: not tried: {why}", fault.name);
                let mut cells = vec!["-".to_owned(); Row::HEAD.len()];
                fault.name.clone_into(&mut cells[0]);
                cells[Row::HEAD.len() - 1] = format!("not tried: {why}");
                table.push(cells);
            }
        }
    }
    ensure!(table.len() > 1, "no fault is called {}", names.join(" or "));
    print!("{}", aligned(&table));
    ensure!(failed == 0, "the daemon failed under {failed} faults");
    Ok(())
}

/// Aligns columns to their widest cell; the last column has no limit.
fn aligned(table: &[Vec<String>]) -> String {
    let columns = table.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| table.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    table.iter().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_name_of_its_own_and_columns_line_up() {
        let mut names: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAULTS.len());
        let table = [["a", "bcd"], ["ef", "g"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(&table), "a   bcd\nef  g\n");
    }
}
