//! Checks packages with the programs that read them: systemd, Prometheus, Helm, rpm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{chart, packaging, trial};
use crate::{setup, shell, vm};

/// The highest allowed rating of `systemd-analyze security`, in tenths. Ratings go from 0 (nothing is exposed) to 10.
const EXPOSURE_LIMIT: &str = "25";

/// Checks the unit, the rules of alerts and their tests, the chart, and packages made with a stand-in for the program.
pub(crate) fn main() -> Result<()> {
    unit().context("packaging/systemd/taskscope.service")?;
    rules().context("packaging/prometheus")?;
    chart::main().context("packaging/helm and packaging/kubernetes")?;
    trial::main().context("packages with a stand-in for the program")
}

fn unit() -> Result<()> {
    let analyze = "systemd-analyze";
    if shell::which(analyze).is_none() {
        setup::install("checking the unit", &["systemd"])?;
    }
    let unit = executable_unit()?;
    // The manual pages that the unit names are not installed here.
    shell::run(Command::new(analyze).args(["verify", "--man=no"]).arg(&unit))?;
    let mut security = Command::new(analyze);
    security.args(["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE_LIMIT]).arg(&unit);
    let output = security.output().with_context(|| shell::line(&security))?;
    let table = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "exposed more than {EXPOSURE_LIMIT} tenths:\n{table}");
    eprintln!("{}", table.lines().last().unwrap_or_default());
    Ok(())
}

/// Returns the unit with an existing program, because the package need not be installed.
fn executable_unit() -> Result<PathBuf> {
    let text = fs::read_to_string(packaging("systemd/taskscope.service")).context("reading the unit")?;
    let directory = shell::target_dir().join("packages/check");
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    let unit = directory.join("taskscope.service");
    let text = text.replace("ExecStart=/usr/bin/taskscope", "ExecStart=/bin/true");
    fs::write(&unit, text).with_context(|| format!("writing {}", unit.display()))?;
    Ok(unit)
}

fn rules() -> Result<()> {
    let promtool = vm::program("prometheus", "promtool")?;
    let run = |args: &[&str], file: &Path| shell::run(Command::new(&promtool).args(args).arg(file));
    run(&["check", "rules"], &packaging("prometheus/taskscope.rules.yml"))?;
    run(&["check", "rules"], &packaging("prometheus/taskscope-fleet.rules.yml"))?;
    run(&["test", "rules"], &packaging("prometheus/tests.yml"))?;
    run(&["test", "rules"], &packaging("prometheus/fleet-tests.yml"))
}
