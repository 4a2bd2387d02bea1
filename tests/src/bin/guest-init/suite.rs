//! The tests of the manifest, once for each attach family; binaries follow one another, each on a quiet machine.
//!
//! The tests of one binary run in one process and share one taskscope, because most of their time is its start. Otherwise each
//! test runs in a process of its own, several at once if requested.

use std::collections::VecDeque;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::child::{Child, Outcome, Reaper};
use crate::manifest::{Manifest, Program};
use crate::power::Verdict;
use crate::results::Results;

/// Prefix of a line that a test prints for the host's table: `TASKSCOPE-REPORT key=value`.
const REPORT: &str = "TASKSCOPE-REPORT ";
/// Prefix of a line that a test prints if it cannot run here.
const SKIPPED: &str = "TASKSCOPE-SKIPPED ";
/// Output of one test that goes to the console; the serial line takes about 0.6 MB/s.
const OUTPUT_MAX: usize = 256 * 1024;

/// The tests of one binary, or one command by hand.
pub(crate) struct Group {
    pub(crate) program: String,
    /// The tests of a test binary.
    pub(crate) path: String,
    pub(crate) cases: Vec<Case>,
    /// A command by hand, whose output goes to the host at once.
    by_hand: bool,
}

/// A test or a command to run.
pub(crate) struct Case {
    pub(crate) test: String,
    argv: Vec<String>,
    pub(crate) ignored: bool,
}

impl Case {
    /// Returns the command line that runs this case alone.
    pub(crate) fn alone(&self) -> &[String] {
        &self.argv
    }
}

#[derive(Default)]
struct Tally {
    passed: u32,
    failed: u32,
    ignored: u32,
    skipped: u32,
}

/// A whole run.
pub(crate) struct Suite<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) reaper: &'a Reaper,
    pub(crate) results: &'a mut Results,
    tally: Tally,
}

pub(crate) fn run(manifest: &Manifest, reaper: &Reaper, results: &mut Results) -> anyhow::Result<Verdict> {
    let mut suite = Suite { manifest, reaper, results, tally: Tally::default() };
    let groups = suite.groups()?;
    for attach in &manifest.attach {
        for group in &groups {
            suite.group(group, attach)?;
            reaper.clear()?;
        }
    }
    let Tally { passed, failed, ignored, skipped } = suite.tally;
    let counts = [passed, failed, ignored, skipped].map(|count| count.to_string());
    let [passed, failed_text, ignored, skipped] = counts.each_ref().map(String::as_str);
    results.line(&["END", passed, failed_text, ignored, skipped])?;
    Ok(if failed == 0 { Verdict::Passed } else { Verdict::Failed })
}

impl Suite<'_> {
    fn groups(&mut self) -> anyhow::Result<Vec<Group>> {
        let manifest = self.manifest;
        if !manifest.exec.is_empty() {
            return Ok(manifest.exec.iter().map(|argv| by_hand(argv)).collect());
        }
        manifest.programs.iter().map(|program| self.list(program)).collect()
    }

    /// Asks a libtest binary for the names of its tests.
    fn list(&mut self, program: &Program) -> anyhow::Result<Group> {
        let all = self.names(program, &["--list", "--format", "terse"])?;
        let ignored = self.names(program, &["--list", "--format", "terse", "--ignored"])?;
        if all.is_empty() {
            self.results.line(&["NOTE", &format!("{} lists no tests", program.path)])?;
        }
        let filter = self.manifest.filter.as_deref().unwrap_or_default();
        let cases = all
            .into_iter()
            .filter(|test| test.contains(filter) || program.name.contains(filter))
            .map(|test| Case {
                argv: [program.path.as_str(), test.as_str(), "--exact", "--nocapture", "--test-threads=1"]
                    .map(str::to_owned)
                    .to_vec(),
                ignored: ignored.contains(&test),
                test,
            })
            .collect();
        let (program, path) = (program.name.clone(), program.path.clone());
        Ok(Group { program, path, cases, by_hand: false })
    }

    fn names(&self, program: &Program, args: &[&str]) -> anyhow::Result<Vec<String>> {
        let mut child = Child::start(Command::new(&program.path).args(args), self.manifest.test_timeout)?;
        let outcome = loop {
            self.reaper.turn(&mut [&mut child])?;
            if let Some(ended) = child.ended() {
                break ended.outcome;
            }
        };
        if outcome != Outcome::Exited(0) {
            let output = child.lines.join(" / ");
            bail!("{} {}: {}: {output}", program.path, args.join(" "), describe(outcome));
        }
        Ok(child.lines.iter().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    }

    fn group(&mut self, group: &Group, attach: &str) -> anyhow::Result<()> {
        let wanted = |case: &&Case| self.manifest.wants(attach, &group.program, &case.test);
        let cases: Vec<&Case> = group.cases.iter().filter(wanted).collect();
        let runnable = cases.iter().filter(|case| !case.ignored).count();
        if self.manifest.together && !group.by_hand && runnable > 1 {
            self.together(group, &cases, attach)
        } else {
            self.alone(group, cases.into(), attach)
        }
    }

    /// Runs cases of a group in a process each, as many at once as the manifest allows.
    pub(crate) fn alone(
        &mut self,
        group: &Group,
        mut waiting: VecDeque<&Case>,
        attach: &str,
    ) -> anyhow::Result<()> {
        let mut running: Vec<(&Case, Child)> = Vec::new();
        loop {
            while running.len() < self.manifest.jobs
                && let Some(case) = waiting.pop_front()
            {
                if let Some(child) = self.start(group, case, attach)? {
                    running.push((case, child));
                }
            }
            if running.is_empty() {
                return Ok(());
            }
            let mut children: Vec<&mut Child> = running.iter_mut().map(|(_, child)| child).collect();
            self.reaper.turn(&mut children)?;
            if group.by_hand {
                for child in children {
                    for line in child.lines.drain(..) {
                        self.results.line(&["OUT", attach, &line])?;
                    }
                }
            }
            for (case, child) in running.extract_if(.., |(_, child)| child.ended().is_some()) {
                self.end([attach, &group.program, &case.test], &child)?;
            }
        }
    }

    fn start(&mut self, group: &Group, case: &Case, attach: &str) -> anyhow::Result<Option<Child>> {
        let id = [attach, group.program.as_str(), case.test.as_str()];
        if case.ignored {
            self.ignored(id)?;
            return Ok(None);
        }
        self.results.line(&[&["START"], &id[..]].concat())?;
        match self.launch(case.alone(), attach) {
            Ok(child) => Ok(Some(child)),
            // A command by hand may name a program that does not exist; a test binary always exists.
            Err(error) if group.by_hand => {
                self.tally.failed += 1;
                self.results.line(&[&["FAIL"], &id[..], &["0", &format!("{error:#}")]].concat())?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Starts a command as tests are started.
    pub(crate) fn launch(&self, argv: &[String], attach: &str) -> anyhow::Result<Child> {
        let (program, rest) = argv.split_first().context("an empty command line")?;
        let mut command = Command::new(program);
        command.args(rest).env_clear().envs(self.manifest.env.iter().map(|(key, value)| (key, value)));
        command.env("TASKSCOPE_ATTACH", attach);
        Child::start(&mut command, self.manifest.test_timeout)
    }

    fn end(&mut self, id: [&str; 3], child: &Child) -> anyhow::Result<()> {
        let Some(ended) = child.ended() else { return Ok(()) };
        self.left(id, &ended.leftovers)?;
        let why = (ended.outcome != Outcome::Exited(0)).then(|| describe(ended.outcome));
        self.verdict(id, ended.elapsed, &child.lines, why.as_deref())
    }

    /// Reports processes that outlived their test.
    pub(crate) fn left(&mut self, id: [&str; 3], leftovers: &[String]) -> anyhow::Result<()> {
        leftovers.iter().try_for_each(|process| self.results.line(&[&["LEFT"], &id[..], &[process]].concat()))
    }

    /// Reports and counts how a test ended, and shows what it printed; `why` is set if it failed.
    pub(crate) fn verdict(
        &mut self,
        id: [&str; 3],
        elapsed: Duration,
        lines: &[String],
        why: Option<&str>,
    ) -> anyhow::Result<()> {
        print("OUTPUT", id, lines);
        for line in lines {
            // libtest leaves its "test NAME ... " in front of the first line a test prints.
            if let Some((_, report)) = line.split_once(REPORT) {
                self.results.line(&["REPORT", id[0], report])?;
            }
        }
        let millis = elapsed.as_millis().to_string();
        if let Some(why) = why {
            self.tally.failed += 1;
            self.results.line(&[&["FAIL"], &id[..], &[&millis, why]].concat())
        } else if let Some((_, why)) = lines.iter().find_map(|line| line.split_once(SKIPPED)) {
            self.tally.skipped += 1;
            self.results.line(&[&["SKIP"], &id[..], &[why]].concat())
        } else {
            self.tally.passed += 1;
            self.results.line(&[&["PASS"], &id[..], &[&millis]].concat())
        }
    }

    pub(crate) fn ignored(&mut self, id: [&str; 3]) -> anyhow::Result<()> {
        self.tally.ignored += 1;
        self.results.line(&[&["IGNORED"], &id[..]].concat())
    }
}

fn by_hand(argv: &[String]) -> Group {
    let case = Case { test: argv.join(" "), argv: argv.to_vec(), ignored: false };
    Group { program: "exec".to_owned(), path: String::new(), cases: vec![case], by_hand: true }
}

/// Prints the output of one test in one piece, although others run beside it. A long output is cut at its beginning.
pub(crate) fn print(title: &str, id: [&str; 3], lines: &[String]) {
    println!("guest-init: {title} {}", id.join(" "));
    let mut room = OUTPUT_MAX;
    let shown = lines.iter().rev().take_while(|line| match room.checked_sub(line.len() + 1) {
        Some(rest) => {
            room = rest;
            true
        }
        None => false,
    });
    let hidden = lines.len() - shown.count();
    if hidden > 0 {
        println!("| [{hidden} lines before this are not shown]");
    }
    for line in &lines[hidden..] {
        println!("| {line}");
    }
}

pub(crate) fn describe(outcome: Outcome) -> String {
    match outcome {
        Outcome::Exited(code) => format!("exit code {code}"),
        Outcome::Signaled(signal) => format!("killed by signal {signal}"),
        Outcome::TimedOut => "killed at its deadline".to_owned(),
    }
}
