//! Makes the verdict on one kernel from its results, its exit code and its console.

use std::time::Duration;

use super::boot::{Boot, Ending};
use super::console;
use super::replay::{self, Recording};
use super::results::{Id, Line};

/// QEMU's exit codes for the codes of guest-init: `(code << 1) | 1`.
const PASSED: i32 = 33;
const FAILED: i32 = 35;
/// QEMU's exit code for a guest that powers off because it has no isa-debug-exit.
const POWERED_OFF: i32 = 0;

/// The tests of one attach family.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) attach: String,
    pub(super) passed: u32,
    pub(super) failed: u32,
    pub(super) ignored: u32,
    /// Tests that cannot run in this guest.
    pub(super) skipped: u32,
    /// Time from the start of the first test to the end of the last one.
    pub(super) time: Duration,
    pub(super) started: Option<Duration>,
}

/// The outcome of one boot, or of two.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) release: String,
    pub(super) families: Vec<Family>,
    pub(super) failures: Vec<(Id, String)>,
    /// Tests that cannot run in this guest, and why.
    pub(super) skips: Vec<(Id, String)>,
    /// `(attach, key, value)` in the order printed.
    pub(super) reports: Vec<(String, String, String)>,
    /// Recordings that tests made, to be replayed on the host.
    pub(super) recordings: Vec<Recording>,
    pub(super) boot_time: Option<Duration>,
    pub(super) total_time: Duration,
    /// Reasons why the run as a whole has failed, in addition to failed tests.
    pub(super) trouble: Vec<String>,
    /// Notes that are no failures.
    pub(super) notes: Vec<String>,
    /// Tests with a verdict, including ignored ones.
    pub(super) done: Vec<Id>,
    /// Whether anything hung.
    pub(super) silent: bool,
    /// Whether the kernel or QEMU hung, which is not a fault of a program.
    pub(super) hung: bool,
    /// Reasons why the guest was rebooted.
    pub(super) reboots: Vec<String>,
}

impl Run {
    pub(super) fn judge(boot: &Boot, console: &str) -> Self {
        let mut run = Self { boot_time: boot.init_time, total_time: boot.total_time, ..Self::default() };
        run.hung = matches!(boot.ending, Ending::Hung(_));
        run.silent = run.hung || matches!(boot.ending, Ending::Silent(_) | Ending::NeverBooted(_));
        let mut running: Vec<&Id> = Vec::new();
        let mut end = None;
        for (at, line) in &boot.lines {
            if let Line::Pass(id, ..) | Line::Fail(id, ..) | Line::Ignored(id) | Line::Skip(id, ..) = line {
                run.done.push(id.clone());
            }
            match line {
                Line::Boot(release) => run.release.clone_from(release),
                Line::Note(text) => run.notes.push(text.clone()),
                Line::Start(id) => {
                    running.push(id);
                    run.family(&id.attach).started.get_or_insert(*at);
                }
                Line::Pass(id, _) => {
                    running.retain(|other| *other != id);
                    let family = run.family(&id.attach);
                    family.passed += 1;
                    family.time = at.saturating_sub(family.started.unwrap_or(*at));
                }
                Line::Fail(id, _, why) => {
                    running.retain(|other| *other != id);
                    let family = run.family(&id.attach);
                    family.failed += 1;
                    family.time = at.saturating_sub(family.started.unwrap_or(*at));
                    run.failures.push((id.clone(), why.clone()));
                }
                Line::Ignored(id) => run.family(&id.attach).ignored += 1,
                Line::Skip(id, why) => {
                    running.retain(|other| *other != id);
                    run.family(&id.attach).skipped += 1;
                    run.skips.push((id.clone(), why.clone()));
                }
                Line::Left(id, process) => run.notes.push(format!("{id} left running: {process}")),
                Line::Report { attach, key, value } => {
                    if !replay::take(&mut run.recordings, attach, key, value) {
                        run.reports.push((attach.clone(), key.clone(), value.clone()));
                    }
                }
                Line::Out(_) => {}
                Line::End { passed, failed } => end = Some((*passed, *failed)),
                Line::Unknown(text) => run.trouble.push(format!("a damaged line of results: {text:?}")),
            }
        }
        if let Some(reason) = run.no_end(boot, end, console) {
            let running: Vec<String> = running.iter().map(ToString::to_string).collect();
            run.trouble.push(match running.as_slice() {
                [] => reason,
                ids => format!("{reason}, while {} ran", ids.join(" and ")),
            });
        }
        run.trouble.extend(console::trouble(console).iter().map(|message| format!("kernel: {message}")));
        run
    }

    /// Adds a failure if no test ran under a family, so that a filter that matches nothing does not pass.
    pub(super) fn demand(&mut self, families: &[String]) {
        for attach in families {
            let ran = |family: &Family| family.attach == *attach && family.passed + family.failed > 0;
            if !self.families.iter().any(ran) {
                self.trouble.push(format!("no test ran under {attach}"));
            }
        }
    }

    /// Adds the outcome of a second boot, after this one's kernel hung.
    pub(super) fn and_then(mut self, next: Self) -> Self {
        self.reboots.extend(self.trouble.drain(..).take(1));
        for family in next.families {
            let ours = self.family(&family.attach);
            ours.passed += family.passed;
            ours.failed += family.failed;
            ours.ignored += family.ignored;
            ours.skipped += family.skipped;
            ours.time += family.time;
        }
        self.failures.extend(next.failures);
        self.skips.extend(next.skips);
        self.reports.extend(next.reports);
        self.recordings.extend(next.recordings);
        self.notes.extend(next.notes);
        self.done.extend(next.done);
        self.total_time += next.total_time;
        (self.release, self.trouble, self.hung) = (next.release, next.trouble, next.hung);
        self
    }

    pub(super) fn succeeded(&self) -> bool {
        self.trouble.is_empty() && self.failures.is_empty()
    }

    fn family(&mut self, attach: &str) -> &mut Family {
        let place = self.families.iter().position(|family| family.attach == attach).unwrap_or_else(|| {
            self.families.push(Family { attach: attach.to_owned(), ..Family::default() });
            self.families.len() - 1
        });
        &mut self.families[place]
    }

    /// Returns why a run is incomplete. A run is complete only if guest-init wrote its last line, the counts agree, and QEMU's exit
    /// code agrees with that line: a panic with `panic=-1` and `-no-reboot` also ends QEMU with 0.
    fn no_end(&self, boot: &Boot, end: Option<(u32, u32)>, console: &str) -> Option<String> {
        let code = match boot.ending {
            Ending::Exited(code) => code,
            Ending::NeverBooted(limit) => return Some(format!("init did not start within {limit:?}")),
            Ending::Silent(limit) => return Some(format!("the guest was silent for {limit:?}")),
            Ending::Hung(limit) => {
                return Some(format!(
                    "the kernel hung: silent for {limit:?}, and no answer to a break or an interrupt"
                ));
            }
            Ending::TooLong(limit) => return Some(format!("the guest was not done within {limit:?}")),
        };
        let Some((passed, failed)) = end else {
            return Some(match (console::panic(console), code) {
                (Some(panic), _) => panic.to_owned(),
                (None, Some(code)) => format!("QEMU ended with {code} and no verdict{}", said(boot)),
                (None, None) => format!("a signal ended QEMU{}", said(boot)),
            });
        };
        let seen: (u32, u32) =
            self.families.iter().fold((0, 0), |sum, family| (sum.0 + family.passed, sum.1 + family.failed));
        if seen != (passed, failed) {
            return Some(format!("guest-init counted {passed} passed and {failed} failed, {seen:?} arrived"));
        }
        let expected = if failed == 0 { PASSED } else { FAILED };
        match code {
            Some(code) if code == expected || code == POWERED_OFF => None,
            other => Some(format!("QEMU ended with {other:?} and not {expected}")),
        }
    }
}

/// Returns the last line that QEMU wrote to stderr.
fn said(boot: &Boot) -> String {
    boot.stderr.trim().lines().next_back().map_or_else(String::new, |line| format!(": {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::results::parse;

    fn boot(text: &str, ending: Ending) -> Boot {
        Boot {
            ending,
            lines: text.lines().zip(1..).map(|(line, at)| (Duration::from_secs(at), parse(line))).collect(),
            init_time: Some(Duration::from_secs(2)),
            total_time: Duration::from_secs(5),
            stderr: "qemu: warning\nqemu: last words\n".into(),
        }
    }

    const GOOD: &str = "BOOT\t6.1\nSTART\tkprobe\ta\tone\nPASS\tkprobe\ta\tone\t5\nSTART\tfentry\ta\tone\n\
        REPORT\tfentry\trung x\nPASS\tfentry\ta\tone\t7\nIGNORED\tfentry\ta\ttwo\n\
        SKIP\tfentry\ta\tthree\tno shell\nEND\t2\t0\t1\t1";

    #[test]
    fn a_complete_run_succeeds_and_is_counted_by_family() {
        let run = Run::judge(&boot(GOOD, Ending::Exited(Some(33))), "");
        assert!(run.succeeded(), "{:?}", run.trouble);
        assert_eq!(run.families.len(), 2);
        assert_eq!(run.families[1].passed, 1);
        assert_eq!(run.families[1].ignored, 1);
        assert_eq!(
            (run.families[1].skipped, run.skips.len()),
            (1, 1),
            "a skipped test was counted as passed"
        );
        assert_eq!(run.families[1].time, Duration::from_secs(2), "the lines are one second apart");
        assert_eq!(run.reports, [("fentry".into(), "rung".into(), "x".into())]);
    }

    #[test]
    fn a_panic_that_ends_qemu_with_zero_is_no_success() {
        let cut = GOOD.split("PASS\tfentry").next().unwrap();
        let console = "[    1.0] Kernel panic - not syncing: Fatal exception\n";
        let run = Run::judge(&boot(cut, Ending::Exited(Some(0))), console);
        assert!(!run.succeeded());
        assert_eq!(run.trouble[0], "Kernel panic - not syncing: Fatal exception, while fentry a one ran");
        let quiet = Run::judge(&boot(cut, Ending::Exited(Some(0))), "");
        let expected = "QEMU ended with 0 and no verdict: qemu: last words, while fentry a one ran";
        assert_eq!(quiet.trouble, [expected]);
    }

    #[test]
    fn a_verdict_that_the_exit_code_denies_is_no_success() {
        let run = Run::judge(&boot(GOOD, Ending::Exited(Some(35))), "");
        assert_eq!(run.trouble, ["QEMU ended with Some(35) and not 33"]);
        let lost = Run::judge(&boot(&GOOD.replace("END\t2", "END\t3"), Ending::Exited(Some(33))), "");
        assert!(lost.trouble[0].contains("counted 3 passed"), "{:?}", lost.trouble);
    }

    #[test]
    fn hangs_and_kernel_warnings_are_trouble() {
        let limit = Duration::from_secs(9);
        for ending in
            [Ending::NeverBooted, Ending::Silent, Ending::Hung, Ending::TooLong].map(|ending| ending(limit))
        {
            assert!(!Run::judge(&boot(GOOD, ending), "").succeeded(), "{ending:?}");
        }
        let run =
            Run::judge(&boot(GOOD, Ending::Exited(Some(33))), "[    1.0] WARNING: CPU: 0 PID: 1 at x\n");
        assert_eq!(run.trouble, ["kernel: WARNING: CPU: 0 PID: 1 at x"]);
        let damaged = Run::judge(&boot(&format!("PA\n{GOOD}"), Ending::Exited(Some(33))), "");
        assert!(!damaged.succeeded());
    }

    #[test]
    fn after_a_hang_the_rest_counts_and_the_hang_is_reported() {
        let (before, after) = GOOD.split_at(GOOD.find("START\tfentry").unwrap());
        let first = Run::judge(
            &boot(&format!("{before}START\tfentry\ta\tone"), Ending::Hung(Duration::from_secs(9))),
            "",
        );
        assert!(first.hung && !first.succeeded());
        assert_eq!(first.done.len(), 1);
        let after = format!("BOOT\t6.1\n{after}").replace("END\t2", "END\t1");
        let second = Run::judge(&boot(&after, Ending::Exited(Some(33))), "");
        let run = first.and_then(second);
        assert!(run.succeeded(), "{:?}", run.trouble);
        assert_eq!(run.families.iter().map(|family| family.passed).collect::<Vec<_>>(), [1, 1]);
        assert!(run.reboots[0].ends_with("while fentry a one ran"), "{:?}", run.reboots);
    }

    #[test]
    fn a_family_without_a_single_test_is_trouble() {
        let mut run = Run::judge(&boot(GOOD, Ending::Exited(Some(33))), "");
        run.demand(&["kprobe".to_owned(), "fentry".to_owned()]);
        assert!(run.succeeded());
        run.demand(&["tracepoint".to_owned()]);
        assert_eq!(run.trouble, ["no test ran under tracepoint"]);
    }

    #[test]
    fn a_failed_test_is_named_with_its_reason() {
        let text =
            "BOOT\t6.1\nSTART\tkprobe\ta\tone\nFAIL\tkprobe\ta\tone\t5\texit code 101\nEND\t0\t1\t0\t0";
        let run = Run::judge(&boot(text, Ending::Exited(Some(35))), "");
        assert!(run.trouble.is_empty(), "{:?}", run.trouble);
        assert!(!run.succeeded());
        assert_eq!(run.failures[0].0.to_string(), "kprobe a one");
        assert_eq!(run.failures[0].1, "exit code 101");
    }
}
