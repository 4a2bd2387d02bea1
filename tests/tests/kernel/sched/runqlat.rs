//! The histogram of waits, compared with that of runqlat of libbpf-tools.

use std::{fs, process::Command};

use taskscope_tests::{programs, service::Service, setting, spawner, wait};

use super::{RUN_QUEUE, Samples, common::scenario, value};

/// Parses the histogram that runqlat printed: count by exclusive upper limit, us.
fn printed(text: &str) -> Vec<(u64, f64)> {
    let rows = text.lines().filter_map(|line| {
        let (range, rest) = line.split_once(':')?;
        let (_, high) = range.split_once("->")?;
        let count = rest.split_whitespace().next()?;
        Some((high.trim().parse::<u64>().ok()? + 1, count.parse().ok()?))
    });
    rows.collect()
}

/// The last finite limit of the exported histogram, us.
const LAST_LIMIT_US: u64 = 1 << 20;

/// taskscope and runqlat observe the same storm, each with its own programs and its own readings of the clock.
#[test]
fn the_histogram_has_the_shape_of_the_one_of_runqlat() {
    let Some(runqlat) = std::env::var_os("TASKSCOPE_RUNQLAT") else {
        setting::skip(format_args!("TASKSCOPE_RUNQLAT does not say where runqlat of libbpf-tools is"));
        return;
    };
    let service = Service::start(&["--sched"]);
    let mut scenario = scenario("ping-pong", &["20000"]);
    scenario.pause("before");
    // The interval of runqlat is longer than any storm, so it prints one histogram at the end.
    let mut command = Command::new(runqlat);
    command.args(["600", "1"]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let before = service.metrics();
    let mut child = command.spawn().unwrap();
    // runqlat has attached programs to wakeups, wakeups of new tasks, and switches.
    programs::wait_attached(child.id(), 3);
    until_sigint_is_caught(child.id());
    scenario.go();
    scenario.pause("after");
    // A signal that comes before runqlat sleeps does not wake it, so the test sends it repeatedly.
    wait::until("runqlat has ended", || {
        let has_ended = child.try_wait().unwrap().is_some();
        if !has_ended {
            spawner::signal(&child, libc::SIGINT);
        }
        has_ended
    });
    let output = child.wait_with_output().unwrap();
    let after = service.metrics();
    let text = String::from_utf8_lossy(&output.stdout);
    let theirs = printed(&text);
    assert!(!theirs.is_empty(), "{output:?}");
    // Limits are inclusive here (at most 2, 4, 8 us) and exclusive in runqlat's output.
    let up_to = |samples: &Samples, limit: u64| {
        let le = format!("le=\"{}\"", std::time::Duration::from_micros(limit).as_secs_f64());
        value(samples, RUN_QUEUE, "_bucket", &[le])
    };
    let all = |samples: &Samples| value(samples, RUN_QUEUE, "_count", &[]);
    let total: f64 = theirs.iter().map(|(_, count)| count).sum();
    let ours = all(&after) - all(&before);
    let shares = |limit: u64| {
        if limit > LAST_LIMIT_US { 1.0 } else { (up_to(&after, limit) - up_to(&before, limit)) / ours }
    };
    let mut so_far = 0.0;
    for (limit, count) in &theirs {
        so_far += count;
        let theirs = so_far / total;
        let (less, same, more) = (shares(limit / 2), shares(*limit), shares(limit * 2));
        println!("< {limit} us: {theirs:.4} by runqlat, {same:.4} by taskscope");
        // The programs of each observer delay those of the other by some hundred ns per wait, which moves short waits by one
        // bucket.
        assert!(
            (less - 0.05..=more + 0.05).contains(&theirs),
            "< {limit} us: {theirs} by runqlat; {less}, {same}, {more} here:\n{text}"
        );
    }
    setting::report("sched_runqlat", format!("{total}/{ours}"));
    // runqlat starts after the daemon's first reading and ends before its second.
    assert!(
        total > 30_000.0 && (0.5..1.02).contains(&(total / ours)),
        "{total} by runqlat, {ours} by taskscope"
    );
    scenario.go();
    scenario.finish();
    service.stop_clean();
}

/// Waits until runqlat has installed its handler of SIGINT, on which it prints its histogram.
fn until_sigint_is_caught(pid: u32) {
    wait::until("runqlat catches SIGINT", || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        caught.is_some_and(|mask| mask & 1 << (libc::SIGINT - 1) != 0)
    });
}
