//! Formats the tables at the end of a run.

use std::time::Duration;

use super::kernels::own;
use super::run::Run;

/// Length at which a report is cut in the table; the file of results beside the console log has all of it.
const CELL_MAX: usize = 48;

/// Result of one kernel: the run, or why there was none.
pub(super) struct Row {
    /// The requested name, such as `newest`.
    pub(super) asked: String,
    pub(super) name: String,
    /// Debian's name of the architecture.
    pub(super) arch: &'static str,
    pub(super) outcome: Result<Run, String>,
}

impl Row {
    pub(super) fn succeeded(&self) -> bool {
        self.outcome.as_ref().is_ok_and(Run::succeeded)
    }
}

/// Returns the families of the tables' columns: those requested, and others of kernels that support none of them.
pub(super) fn families(rows: &[Row], requested: &[String]) -> Vec<String> {
    let mut families = requested.to_vec();
    for family in rows.iter().filter_map(|row| row.outcome.as_ref().ok()).flat_map(|run| &run.families) {
        if !families.contains(&family.attach) {
            families.push(family.attach.clone());
        }
    }
    families
}

/// Returns the table of passed and failed tests by kernel and family, with the times.
pub(super) fn verdicts(rows: &[Row], families: &[String]) -> String {
    let mut head = ["kernel", "arch", "release", "boot"].map(str::to_owned).to_vec();
    head.extend(families.iter().cloned());
    head.extend(["total".to_owned(), "verdict".to_owned()]);
    let mut table = vec![head];
    for row in rows {
        let mut cells = vec![row.name.clone(), row.arch.to_owned()];
        match &row.outcome {
            Ok(run) => {
                cells.push(run.release.clone());
                cells.push(run.boot_time.map_or_else(|| "-".to_owned(), seconds));
                cells.extend(families.iter().map(|attach| family_cell(run, attach)));
                cells.push(seconds(run.total_time));
                cells.push(verdict(run));
            }
            Err(reason) => {
                cells.extend(["-".to_owned(), "-".to_owned()]);
                cells.extend(families.iter().map(|_| "-".to_owned()));
                cells.extend(["-".to_owned(), format!("NOT RUN: {reason}")]);
            }
        }
        table.push(cells);
    }
    aligned(&table)
}

/// Returns rows for the table in docs/kernels.md: a kernel, its architecture, the tests by attach family, and the program that the
/// verifier read most instructions of, or `-` if the test `verifier` did not run.
pub(super) fn markdown(rows: &[Row], families: &[String]) -> String {
    let mut text = String::new();
    for row in rows {
        let Ok(run) = &row.outcome else { continue };
        // The release of a kernel that is compiled here does not contain its name.
        let name = own::find(&row.name).map_or_else(String::new, |own| format!(" (`{}`)", own.name));
        let mut cells = vec![format!("{}{name}", run.release), row.arch.to_owned()];
        cells.extend(families.iter().map(|attach| family_cell(run, attach)));
        cells.push(most_verified(run).unwrap_or_else(|| "-".to_owned()));
        text += "| ";
        text += &cells.join(" | ");
        text += " |\n";
    }
    text
}

/// Returns the highest count among the reports `verified_PROGRAM` of a test.
fn most_verified(run: &Run) -> Option<String> {
    let counts = run.reports.iter().filter_map(|(_, key, value)| {
        let program = key.strip_prefix("verified_")?;
        Some((value.parse::<u64>().ok()?, program))
    });
    counts.max().map(|(count, program)| format!("{count} (`{program}`)"))
}

/// Returns the table of what tests reported: a row for each family and key, a column for each kernel.
pub(super) fn reports(rows: &[Row]) -> Option<String> {
    let runs: Vec<(&str, &Run)> =
        rows.iter().filter_map(|row| Some((row.name.as_str(), row.outcome.as_ref().ok()?))).collect();
    let mut keys: Vec<(&str, &str)> = Vec::new();
    for (attach, key, _) in runs.iter().flat_map(|(_, run)| &run.reports) {
        if !keys.contains(&(attach, key)) {
            keys.push((attach, key));
        }
    }
    if keys.is_empty() {
        return None;
    }
    // Families stay in the order in which they ran; keys are sorted.
    let families: Vec<&str> = keys.iter().map(|(attach, _)| *attach).collect();
    keys.sort_by_key(|(attach, key)| (families.iter().position(|family| family == attach), *key));
    let mut table = vec![["family", "report"].map(str::to_owned).to_vec()];
    table[0].extend(runs.iter().map(|(name, _)| (*name).to_owned()));
    for (attach, key) in keys {
        let mut cells = vec![attach.to_owned(), key.to_owned()];
        cells.extend(runs.iter().map(|(_, run)| values(run, attach, key)));
        table.push(cells);
    }
    Some(aligned(&table))
}

fn values(run: &Run, attach: &str, key: &str) -> String {
    let mut values: Vec<&str> = Vec::new();
    for (family, name, value) in &run.reports {
        if family == attach && name == key && !values.contains(&value.as_str()) {
            values.push(value);
        }
    }
    let all = if values.is_empty() { "-".to_owned() } else { values.join(", ") };
    match all.char_indices().nth(CELL_MAX) {
        Some((end, _)) => format!("{}...", &all[..end]),
        None => all,
    }
}

fn family_cell(run: &Run, attach: &str) -> String {
    let Some(family) = run.families.iter().find(|family| family.attach == attach) else {
        return "-".to_owned();
    };
    let mut cell = format!("{} passed", family.passed);
    for (count, word) in [(family.failed, "FAILED"), (family.ignored, "ignored"), (family.skipped, "skipped")]
    {
        if count > 0 {
            cell = format!("{cell}, {count} {word}");
        }
    }
    format!("{cell} in {}", seconds(family.time))
}

fn verdict(run: &Run) -> String {
    let word = match run.trouble.first() {
        Some(trouble) => format!("FAILED: {trouble}"),
        None if run.failures.is_empty() => "passed".to_owned(),
        None => "FAILED".to_owned(),
    };
    run.reboots.iter().fold(word, |word, why| format!("{word}; REBOOTED: {why}"))
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Aligns columns to their widest cell; the last column has no limit.
pub(super) fn aligned(table: &[Vec<String>]) -> String {
    let columns = table.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            table.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in table {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::run::Family;

    fn rows() -> Vec<Row> {
        let family = Family {
            attach: "kprobe".into(),
            passed: 3,
            failed: 1,
            ignored: 0,
            skipped: 2,
            time: Duration::from_millis(4200),
            ..Family::default()
        };
        let report = |value: &str| ("kprobe".to_owned(), "rung.do_exit".to_owned(), value.to_owned());
        let run = Run {
            release: "5.10.0-46".into(),
            families: vec![family],
            reports: vec![report("kprobe"), report("kprobe")],
            boot_time: Some(Duration::from_secs(2)),
            total_time: Duration::from_secs(9),
            trouble: vec!["kernel: WARNING".into()],
            reboots: vec!["the kernel hung".into()],
            ..Run::default()
        };
        vec![
            Row { asked: "5.10".into(), name: "5.10".into(), arch: "amd64", outcome: Ok(run) },
            Row {
                asked: "newest".into(),
                name: "7.3".into(),
                arch: "arm64",
                outcome: Err("no package".into()),
            },
        ]
    }

    #[test]
    fn each_kernel_has_a_row_even_without_a_run() {
        let text = verdicts(&rows(), &["kprobe".to_owned(), "fentry".to_owned()]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].starts_with("7.3     arm64 "), "{text}");
        assert!(lines[1].contains("3 passed, 1 FAILED, 2 skipped in 4.2 s"), "{text}");
        assert!(lines[1].ends_with("FAILED: kernel: WARNING; REBOOTED: the kernel hung"), "{text}");
        assert!(lines[2].ends_with("NOT RUN: no package"), "{text}");
    }

    #[test]
    fn a_row_of_the_document_has_the_program_that_the_verifier_read_longest() {
        let mut rows = rows();
        if let Ok(run) = &mut rows[0].outcome {
            for (program, count) in
                [("verified_do_exit", "900"), ("verified_release", "1200"), ("other", "5000")]
            {
                run.reports.push(("kprobe".into(), program.into(), count.into()));
            }
        }
        assert_eq!(
            markdown(&rows, &["kprobe".to_owned()]),
            "| 5.10.0-46 | amd64 | 3 passed, 1 FAILED, 2 skipped in 4.2 s | 1200 (`release`) |\n",
            "a kernel that did not run has no row"
        );
        rows[0].name = "no-kprobes".into();
        assert!(markdown(&rows, &[]).starts_with("| 5.10.0-46 (`no-kprobes`) | amd64 |"));
    }

    #[test]
    fn a_family_that_was_not_requested_has_a_column_if_tests_ran_under_it() {
        let requested = ["fentry".to_owned()];
        assert_eq!(families(&rows(), &requested), ["fentry", "kprobe"]);
        assert_eq!(families(&[], &requested), requested);
    }

    #[test]
    fn equal_reports_are_shown_once_and_a_missing_one_as_a_dash() {
        let text = reports(&rows()).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.ends_with("kprobe  rung.do_exit  kprobe\n"), "{text}");
        assert_eq!(reports(&[]), None);

        let mut long = rows();
        if let Ok(run) = &mut long[0].outcome {
            run.reports[1].2 = "x".repeat(CELL_MAX);
        }
        let text = reports(&long).unwrap();
        assert!(text.trim_end().ends_with("x..."), "{text}");
    }
}
