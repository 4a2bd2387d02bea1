//! The tests of the manifest, once for each attach family, each test in a process of its own.
//!
//! A process a test costs milliseconds and buys a deadline, a verdict and a clean machine for each.

use std::process::Command;

use anyhow::{Context as _, bail};

use crate::child::{Outcome, Reaper};
use crate::manifest::{Manifest, Program};
use crate::power::Verdict;
use crate::results::Results;

/// What tests print on a line of its own for the host's table: `TASKSCOPE-REPORT key=value`.
const REPORT: &str = "TASKSCOPE-REPORT ";
/// Output of one test that goes to the console; the serial line takes about 0.6 MB/s.
const OUTPUT_MAX: usize = 256 * 1024;

/// One thing to run.
struct Case {
    program: String,
    test: String,
    argv: Vec<String>,
    ignored: bool,
}

#[derive(Default)]
struct Tally {
    passed: u32,
    failed: u32,
    ignored: u32,
}

pub(crate) fn run(manifest: &Manifest, reaper: &Reaper, results: &mut Results) -> anyhow::Result<Verdict> {
    let cases = if manifest.exec.is_empty() {
        let mut cases = Vec::new();
        for program in &manifest.programs {
            let mut listed = list(program, manifest, reaper)?;
            if listed.is_empty() && manifest.filter.is_none() {
                results.line(&["NOTE", &format!("{} lists no tests", program.path)])?;
            }
            cases.append(&mut listed);
        }
        cases
    } else {
        manifest.exec.iter().map(|argv| command_case(argv)).collect()
    };
    let mut tally = Tally::default();
    for attach in &manifest.attach {
        for case in &cases {
            one(case, attach, manifest, reaper, results, &mut tally)?;
        }
    }
    let Tally { passed, failed, ignored } = tally;
    results.line(&["END", &passed.to_string(), &failed.to_string(), &ignored.to_string()])?;
    Ok(if failed == 0 { Verdict::Passed } else { Verdict::Failed })
}

/// Asks a libtest binary for the names of its tests.
fn list(program: &Program, manifest: &Manifest, reaper: &Reaper) -> anyhow::Result<Vec<Case>> {
    let all = names(program, &["--list", "--format", "terse"], manifest, reaper)?;
    let ignored = names(program, &["--list", "--format", "terse", "--ignored"], manifest, reaper)?;
    let wanted = |name: &String| {
        manifest
            .filter
            .as_ref()
            .is_none_or(|filter| name.contains(filter.as_str()) || program.name.contains(filter.as_str()))
    };
    Ok(all
        .into_iter()
        .filter(wanted)
        .map(|test| Case {
            program: program.name.clone(),
            argv: [program.path.as_str(), test.as_str(), "--exact", "--nocapture", "--test-threads=1"]
                .map(str::to_owned)
                .to_vec(),
            ignored: ignored.contains(&test),
            test,
        })
        .collect())
}

fn names(
    program: &Program,
    args: &[&str],
    manifest: &Manifest,
    reaper: &Reaper,
) -> anyhow::Result<Vec<String>> {
    let mut output = Vec::new();
    let mut command = Command::new(&program.path);
    command.args(args);
    let finished = reaper.run(&mut command, manifest.test_timeout, &mut |line| {
        output.push(line.to_owned());
        Ok(())
    })?;
    if finished.outcome != Outcome::Exited(0) {
        bail!("{} {}: {}: {}", program.path, args.join(" "), describe(finished.outcome), output.join(" / "));
    }
    Ok(output.iter().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

fn command_case(argv: &[String]) -> Case {
    Case { program: "exec".to_owned(), test: argv.join(" "), argv: argv.to_vec(), ignored: false }
}

fn one(
    case: &Case,
    attach: &str,
    manifest: &Manifest,
    reaper: &Reaper,
    results: &mut Results,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let id = [attach, case.program.as_str(), case.test.as_str()];
    if case.ignored {
        tally.ignored += 1;
        return results.line(&[&["IGNORED"], &id[..]].concat());
    }
    results.line(&[&["START"], &id[..]].concat())?;
    let (program, args) = case.argv.split_first().context("an empty command line")?;
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(manifest.env.iter().map(|(key, value)| (key, value)));
    command.env("TASKSCOPE_ATTACH", attach);

    let to_host = case.program == "exec";
    let mut printed = 0;
    let mut reports = Vec::new();
    let finished = reaper.run(&mut command, manifest.test_timeout, &mut |line| {
        // libtest leaves its "test NAME ... " in front of the first line a test prints.
        if let Some((_, report)) = line.split_once(REPORT) {
            reports.push(report.to_owned());
        }
        if to_host {
            return results.line(&["OUT", attach, line]);
        }
        printed += line.len();
        if printed <= OUTPUT_MAX {
            println!("| {line}");
        }
        Ok(())
    });
    let finished = match finished {
        Ok(finished) => finished,
        // A command line by hand may name what is not there; a test binary always is.
        Err(error) if to_host => {
            tally.failed += 1;
            return results.line(&[&["FAIL"], &id[..], &["0", &format!("{error:#}")]].concat());
        }
        Err(error) => return Err(error),
    };
    if printed > OUTPUT_MAX {
        println!("| [{} more bytes of output not shown]", printed - OUTPUT_MAX);
    }
    for report in reports {
        results.line(&["REPORT", attach, &report])?;
    }
    for leftover in &finished.leftovers {
        results.line(&[&["LEFT"], &id[..], &[leftover.as_str()]].concat())?;
    }
    let millis = finished.elapsed.as_millis().to_string();
    if finished.outcome == Outcome::Exited(0) {
        tally.passed += 1;
        results.line(&[&["PASS"], &id[..], &[millis.as_str()]].concat())
    } else {
        tally.failed += 1;
        let detail = describe(finished.outcome);
        results.line(&[&["FAIL"], &id[..], &[millis.as_str(), detail.as_str()]].concat())
    }
}

fn describe(outcome: Outcome) -> String {
    match outcome {
        Outcome::Exited(code) => format!("exit code {code}"),
        Outcome::Signaled(signal) => format!("killed by signal {signal}"),
        Outcome::TimedOut => "killed at its deadline".to_owned(),
    }
}
