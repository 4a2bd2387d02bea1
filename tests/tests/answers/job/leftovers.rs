//! Processes that a job leaves.

use taskscope_tests::{proc, service::Service};

use super::{Source, job, scenario};

/// Kills processes that a job left, also if the test fails.
struct Left(Vec<u64>);

impl Drop for Left {
    fn drop(&mut self) {
        for pid in &self.0 {
            // SAFETY: the call has no pointers. The job's report named the process, which lives until it is killed.
            unsafe { libc::kill(i32::try_from(*pid).unwrap_or(0), libc::SIGKILL) };
        }
    }
}

fn alive(pid: u64) -> bool {
    proc::state(pid).is_some_and(|state| state != 'Z')
}

#[test]
fn what_a_daemon_leaves_is_named() {
    let job = job(&Source::Alone, "left", &["--fail-on", "leftovers"], &scenario(&["job-daemon"]));
    let mut pids = job.pids("left");
    let _left = Left(pids.clone());
    job.assert_whole();
    assert_eq!(job.output.status.code(), Some(1), "the command succeeded and --fail-on found something");
    let leftovers = job.report["leftovers"].as_array().unwrap();
    let depths: Vec<_> = leftovers.iter().map(|left| left["depth"].as_u64().unwrap()).collect();
    let mut found: Vec<_> = leftovers.iter().map(|left| left["pid"].as_u64().unwrap()).collect();
    assert_eq!((found[0], depths), (pids[0], vec![0, 1, 1]), "{}", job.report);
    found.sort_unstable();
    pids.sort_unstable();
    assert_eq!(found, pids);
    assert!(pids.iter().all(|&pid| alive(pid)));
}

#[test]
fn leftovers_are_ended_if_asked_to() {
    let service = Service::start(&[]);
    for (name, source) in [("kill-alone", Source::Alone), ("kill-daemon", Source::Daemon(&service))] {
        let job = job(&source, name, &["--kill-leftovers"], &scenario(&["job-daemon"]));
        let pids = job.pids("left");
        let _left = Left(pids.iter().copied().filter(|&pid| alive(pid)).collect());
        assert!(!pids.iter().any(|&pid| alive(pid)), "{}", job.report);
        for left in job.report["leftovers"].as_array().unwrap() {
            assert_eq!(left["killed"], "ended by SIGTERM", "{}", job.report);
        }
        assert_eq!(job.report["leftovers"].as_array().unwrap().len(), 3);
        assert_eq!(job.output.status.code(), Some(0));
    }
}
