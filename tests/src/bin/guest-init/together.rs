//! Runs the tests of one binary in one process, and handles a broken process.
//!
//! A verdict given here stays. A test that failed runs once more alone, only to show whether it depends on the others. Tests that
//! a broken process did not reach run alone.

use std::collections::VecDeque;
use std::mem;
use std::time::Instant;

use crate::child::{Child, Outcome};
use crate::libtest::{Progress, Step, Verdict};
use crate::suite::{Case, Group, Suite, describe, print};

/// The name of a result that belongs to no single test: the end of the taskscope that the tests share.
const ALL: &str = "all_together";

/// One process, from its start until its last child is gone.
struct Shared<'a> {
    group: &'a Group,
    attach: &'a str,
    child: Child,
    /// All tests that the process was asked to run.
    tests: Vec<String>,
    progress: Progress,
    /// The start of the running test.
    since: Instant,
    /// Output of the running test.
    output: Vec<String>,
    /// Output that belongs to no test.
    around: Vec<String>,
    failed: Vec<String>,
}

impl<'a> Shared<'a> {
    fn id<'b>(&'b self, test: &'b str) -> [&'b str; 3] {
        [self.attach, &self.group.program, test]
    }

    fn case(&self, test: &str) -> Option<&'a Case> {
        self.group.cases.iter().find(|case| case.test == test)
    }
}

impl Suite<'_> {
    pub(crate) fn together(&mut self, group: &Group, cases: &[&Case], attach: &str) -> anyhow::Result<()> {
        for case in cases.iter().filter(|case| case.ignored) {
            self.ignored([attach, &group.program, &case.test])?;
        }
        let tests: Vec<String> =
            cases.iter().filter(|case| !case.ignored).map(|case| case.test.clone()).collect();
        let mut argv = vec![group.path.clone()];
        argv.extend_from_slice(&tests);
        argv.extend(["--exact", "--nocapture", "--test-threads=1"].map(str::to_owned));
        let mut shared = Shared {
            group,
            attach,
            child: self.launch(&argv, attach)?,
            progress: Progress::new(tests.clone()),
            tests,
            since: Instant::now(),
            output: Vec::new(),
            around: Vec::new(),
            failed: Vec::new(),
        };
        self.next(&shared)?;
        loop {
            self.reaper.turn(&mut [&mut shared.child])?;
            for line in mem::take(&mut shared.child.lines) {
                self.line(&mut shared, line)?;
            }
            if let Some(ended) = shared.child.ended() {
                let (outcome, leftovers) = (ended.outcome, ended.leftovers.clone());
                self.left(shared.id(ALL), &leftovers)?;
                return self.finish(shared, outcome);
            }
        }
    }

    /// Says which test runs now.
    fn next(&mut self, shared: &Shared<'_>) -> anyhow::Result<()> {
        let Some(test) = shared.progress.current() else { return Ok(()) };
        self.results.line(&[&["START"], &shared.id(test)[..]].concat())
    }

    fn line(&mut self, shared: &mut Shared<'_>, line: String) -> anyhow::Result<()> {
        let step = shared.progress.line(&line);
        if step == Step::BetweenTests {
            shared.around.push(line);
            return Ok(());
        }
        shared.output.push(line);
        let Step::Ended(test, verdict) = step else { return Ok(()) };
        let (output, elapsed) = (mem::take(&mut shared.output), shared.since.elapsed());
        match verdict {
            Verdict::Ignored => self.ignored(shared.id(&test))?,
            Verdict::Passed => self.verdict(shared.id(&test), elapsed, &output, None)?,
            Verdict::Failed => {
                self.verdict(shared.id(&test), elapsed, &output, Some("failed, with the others"))?;
                shared.failed.push(test);
            }
        }
        shared.child.progressed();
        shared.since = Instant::now();
        self.next(shared)
    }

    /// Gives each remaining test a verdict once the process has ended.
    fn finish(&mut self, mut shared: Shared<'_>, outcome: Outcome) -> anyhow::Result<()> {
        let elapsed = shared.since.elapsed();
        let why = describe(outcome);
        let broken = shared.progress.current().map(str::to_owned);
        let mut again: Vec<String> = mem::take(&mut shared.failed);
        if let Some(test) = &broken {
            shared.output.append(&mut shared.around);
            self.verdict(shared.id(test), elapsed, &shared.output, Some(&why))?;
            again.push(test.clone());
        } else if outcome != Outcome::Exited(0) && again.is_empty() {
            self.results.line(&[&["START"], &shared.id(ALL)[..]].concat())?;
            self.verdict(shared.id(ALL), elapsed, &shared.around, Some(&why))?;
            // Each test passed alone: one of them leaves the shared taskscope in a bad state.
            again.clone_from(&shared.tests);
        } else {
            print("OUTPUT", shared.id(ALL), &shared.around);
        }
        for test in &again {
            if let Some(case) = shared.case(test) {
                self.again(&shared, case)?;
            }
        }
        let (group, attach) = (shared.group, shared.attach);
        let left: VecDeque<String> = shared.progress.left();
        let cases = left.iter().skip(usize::from(broken.is_some()));
        let cases = cases.filter_map(|test| group.cases.iter().find(|case| case.test == *test)).collect();
        self.alone(group, cases, attach)
    }

    /// Reports the result of a test that runs once more alone. The result does not count.
    fn again(&mut self, shared: &Shared<'_>, case: &Case) -> anyhow::Result<()> {
        let mut child = self.launch(case.alone(), shared.attach)?;
        let ended = loop {
            self.reaper.turn(&mut [&mut child])?;
            if let Some(ended) = child.ended() {
                break ended.clone();
            }
        };
        let id = shared.id(&case.test);
        print("AGAIN", id, &child.lines);
        let what = match ended.outcome {
            Outcome::Exited(0) => "passes".to_owned(),
            outcome => format!("fails too, {}", describe(outcome)),
        };
        self.results.line(&["NOTE", &format!("{}: alone it {what}", id.join(" "))])
    }
}
