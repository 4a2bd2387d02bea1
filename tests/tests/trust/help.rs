//! Helpers of these tests: a taskscope's own sums, and waits for expected events.

use std::{
    collections::BTreeSet,
    path::Path,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use taskscope_tests::{
    observer::{End, Observer},
    replay, setting, tree,
    view::View,
    wait,
};

use crate::common::scenario;

/// How long a comparison after a loss may take, with room for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn events(args: &[&str]) -> Command {
    let mut command = Command::new(setting::taskscope());
    command.args(["events", "--attach", &setting::attach()]).args(args);
    command
}

/// Returns the number before a word or words in the summary, such as `7 dropped`.
#[track_caller]
pub(crate) fn sum(end: &End, what: &str) -> u64 {
    let summary = end.summary().unwrap_or_else(|| panic!("no summary:\n{}", end.text()));
    let at = summary.find(&format!(" {what}")).unwrap_or_else(|| panic!("no `{what}` in: {summary}"));
    let number = summary[..at].rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    number.parse().unwrap_or_else(|_| panic!("no number before `{what}` in: {summary}"))
}

/// Checks that the sums of the summary balance, and that taskscope did not log that they do not.
#[track_caller]
pub(crate) fn assert_sums(end: &End) {
    assert_eq!(end.code(), Some(0), "{}", end.text());
    assert!(!end.text().contains("do not add up"), "{}", end.text());
    assert_eq!(
        sum(end, "produced"),
        sum(end, "received") + sum(end, "dropped") + sum(end, "shed") + sum(end, "not understood"),
        "{}",
        end.text()
    );
    assert_eq!(
        sum(end, "received") + sum(end, "by snapshot"),
        sum(end, "applied") + sum(end, "refused"),
        "{}",
        end.text()
    );
    assert_eq!(sum(end, "lines"), sum(end, "written") + sum(end, "not written"), "{}", end.text());
}

/// Returns how many lines of stderr contain a text.
pub(crate) fn lines_with(observer: &Observer, text: &str) -> usize {
    observer.log().lines().iter().filter(|line| line.contains(text)).count()
}

/// Waits until the tree below `root` equals /proc. `assert_equals_proc` cannot be used, because the record of its fence process may
/// be lost.
#[track_caller]
pub(crate) fn assert_becomes_proc(view: &View<'_>, root: i64) {
    let compare = || {
        let proc = tree::from_proc(Path::new("/proc")).unwrap_or_else(|error| panic!("{error:#}"));
        let (proc, ours) = (tree::below(&proc, root), tree::below(&replay::replay(&view.events()), root));
        assert!(proc.contains_key(&root), "{root} is not in /proc");
        tree::differences(&proc, &ours)
    };
    wait::until_ok(|| {
        let differences = compare();
        if differences.is_empty() {
            return Ok(());
        }
        Err(format!("the tree is not repaired:\n{}", differences.join("\n")))
    });
}

/// Waits for an event in a stream with gaps, in which [`View::expect`] fails.
#[track_caller]
pub(crate) fn until_reported(view: &View<'_>, action: &str, pid: i64) {
    let reported =
        || view.events().iter().any(|seen| seen.action == action && seen.pid == pid && seen.tid == pid);
    wait::until(format_args!("`{action}` of {pid} is reported"), reported);
}

/// Takes a lock against other tests of this binary, because their storms would fill the ring that this test measures.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static STORM: Mutex<()> = Mutex::new(());
    STORM.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends an observer and returns how it ended; losses are allowed.
#[track_caller]
pub(crate) fn stop(observer: Observer) -> End {
    observer.signal(libc::SIGTERM);
    observer.wait(setting::deadline())
}

/// Stops an observer by SIGSTOP during a storm, so that records are lost if the storm makes more than the ring holds.
#[track_caller]
pub(crate) fn lose_while_stopped(observer: &Observer, storm: &str) {
    observer.signal(libc::SIGSTOP);
    scenario("burst", &[storm]).finish();
    observer.signal(libc::SIGCONT);
}

/// Waits until each of these actions was reported for each of these tasks.
#[track_caller]
pub(crate) fn until_all_reported(view: &View<'_>, actions: &[&'static str], tids: &[i64]) {
    let mut missing: BTreeSet<(&str, i64)> =
        actions.iter().flat_map(|&action| tids.iter().map(move |&tid| (action, tid))).collect();
    wait::until("everything is reported", || {
        let seen = view.events();
        let reported: BTreeSet<(&str, i64)> =
            seen.iter().map(|seen| (seen.action.as_str(), seen.tid)).collect();
        missing.retain(|wanted| !reported.contains(wanted));
        missing.is_empty()
    });
}
