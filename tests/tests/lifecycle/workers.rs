//! Tasks that the kernel makes in a process are not the user's threads.

#[path = "../common/mod.rs"]
mod common;

use common::scenario;
use taskscope_tests::{matcher::event, observer::shared, skipped::attempts};

#[test]
fn an_io_uring_worker_is_shown_as_one() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("io-worker", &[]);
        let facts = match scenario.finish_or_skip() {
            Ok(facts) => facts,
            Err(skip) => {
                assert!([libc::ENOSYS, libc::EPERM].contains(&skip.errno), "{skip:?}");
                taskscope_tests::setting::skip(format_args!(
                    "no io_uring here: {} answers {}",
                    skip.call, skip.errno
                ));
                return;
            }
        };
        let view = observer.view(&scenario);
        if facts.all("no-worker").next().is_some() {
            // Before 5.12 workers are kernel threads.
            view.expect(event("forked").field("task.kind", "kernel_thread")).soon();
            taskscope_tests::setting::skip(format_args!("this kernel's io_uring workers are kernel threads"));
            return;
        }
        let (user, worker) = (facts.role("user"), facts.role("worker"));
        let forked = view
            .expect(
                event("forked")
                    .of(&worker)
                    .field("task.kind", "io_worker")
                    .field("task.exit_signal", worker.number("exit_signal"))
                    .holds("task.flags", "PF_IO_WORKER"),
            )
            .soon();
        assert_eq!(forked.pid, user.pid);
        view.expect(event("released").of(&worker).field("task.kind", "io_worker")).soon();
        view.expect(event("group_exited").of(&user).exit_as(&facts.waited("user"))).soon();
    });
}
