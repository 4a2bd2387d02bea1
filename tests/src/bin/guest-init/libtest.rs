//! Parses the output of a libtest binary that runs its tests one after the other.

use std::collections::VecDeque;

/// The result of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
    Ignored,
}

/// What a line means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The running test printed it.
    Output,
    /// The running test has ended.
    Ended(String, Verdict),
    /// No test runs: libtest's own summary, and what comes after it.
    BetweenTests,
}

/// Follows one process through the tests that it was asked for.
///
/// With one thread libtest prints `test NAME ... `, then runs the test, then prints `ok` behind whatever the test has
/// printed itself.
pub(crate) struct Progress {
    waiting: VecDeque<String>,
    running: bool,
}

impl Progress {
    /// Starts with the tests of a run, in libtest's order.
    pub(crate) fn new(tests: impl IntoIterator<Item = String>) -> Self {
        Self { waiting: tests.into_iter().collect(), running: false }
    }

    /// Returns the test that runs now, or that comes next.
    pub(crate) fn current(&self) -> Option<&str> {
        self.waiting.front().map(String::as_str)
    }

    /// Returns the tests whose end was not seen.
    pub(crate) fn left(self) -> VecDeque<String> {
        self.waiting
    }

    pub(crate) fn line(&mut self, line: &str) -> Step {
        let Some(current) = self.current() else { return Step::BetweenTests };
        let mut rest = line;
        if !self.running {
            let begun =
                line.strip_prefix("test ").and_then(|line| line.strip_prefix(current)?.strip_prefix(" ..."));
            let Some(begun) = begun else { return Step::BetweenTests };
            self.running = true;
            rest = begun;
        }
        let verdict = match rest.trim() {
            "ok" => Verdict::Passed,
            "FAILED" => Verdict::Failed,
            text if text == "ignored" || text.starts_with("ignored, ") => Verdict::Ignored,
            _ => return Step::Output,
        };
        self.running = false;
        Step::Ended(self.waiting.pop_front().unwrap_or_default(), verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "\
running 4 tests
test one ... ok
test two ... TASKSCOPE-REPORT key=value
test three ... is what this test prints
ok
test three ... ignored, not today
test two_more ...
thread 'two_more' panicked at x.rs:1:1:
FAILED

failures:
    two_more

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.22s
";

    fn ended(test: &str, verdict: Verdict) -> Step {
        Step::Ended(test.to_owned(), verdict)
    }

    #[test]
    fn each_test_ends_with_its_verdict_whatever_it_prints() {
        let mut progress = Progress::new(["one", "two", "three", "two_more"].map(str::to_owned));
        let steps: Vec<Step> = RUN.lines().map(|line| progress.line(line)).collect();
        let ends: Vec<&Step> = steps.iter().filter(|step| matches!(step, Step::Ended(..))).collect();
        assert_eq!(
            ends,
            [
                &ended("one", Verdict::Passed),
                &ended("two", Verdict::Passed),
                &ended("three", Verdict::Ignored),
                &ended("two_more", Verdict::Failed),
            ]
        );
        assert_eq!(steps[2], Step::Output);
        assert_eq!(steps[3], Step::Output, "no test is begun while one runs");
        assert_eq!(steps.last(), Some(&Step::BetweenTests));
        assert!(progress.left().is_empty());
    }

    #[test]
    fn an_aborted_run_reports_which_tests_ran_and_which_did_not() {
        let mut progress = Progress::new(["one", "two", "two_more"].map(str::to_owned));
        for line in ["running 3 tests", "test one ... ok", "test two ... so far"] {
            progress.line(line);
        }
        assert_eq!(progress.current(), Some("two"));
        assert_eq!(progress.left(), ["two", "two_more"]);
    }

    #[test]
    fn a_test_name_does_not_match_a_longer_name() {
        let mut progress = Progress::new(["two".to_owned()]);
        assert_eq!(progress.line("test two_more ... ok"), Step::BetweenTests);
        assert_eq!(progress.line("test two ... ok"), ended("two", Verdict::Passed));
    }
}
