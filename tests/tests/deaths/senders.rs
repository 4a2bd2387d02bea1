//! Ends by a signal whose sender, or whose reason, is easily mistaken for another. The oracles are the scenarios and wait(2).

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/ended.rs"]
mod ended;

use taskscope_tests::service::Service;

/// A scenario, the cause, its certainty, the role of the sender, and words of the summary.
type Row = (&'static str, &'static str, &'static str, Option<&'static str>, &'static str);

const ROWS: &[Row] = &[
    ("death-again", "killed", "certain", Some("scenario"), "killed by SIGTERM from "),
    // The summary names the process of the sender, and not its thread, whose name no list of processes shows.
    ("death-by-thread", "killed", "certain", Some("scenario"), "killed by SIGTERM from scenario (pid "),
    (
        "death-siblings",
        "escalation",
        "likely",
        Some("second"),
        "after SIGTERM from another process of that name",
    ),
    (
        "death-parent-thread",
        "parent_death_signal",
        "certain",
        Some("scenario"),
        " of its parent, which created it, ended",
    ),
    ("death-own-cgroup", "cgroup_kill", "likely", Some("child"), "its own write to cgroup.kill"),
    (
        "death-exec",
        "failed_exec",
        "certain",
        Some("child"),
        "execve(2) failed after the kernel had discarded the old program",
    ),
    // The tracer is the sender from Linux 5.19 on.
    ("death-tracer-kill", "tracer", "likely", None, "its tracer"),
    ("death-tracer-seize", "tracer", "likely", None, "its tracer"),
    ("death-rttime", "real_time_limit", "certain", Some("child"), "RLIMIT_RTTIME"),
    ("death-both-limits", "cpu_limit", "likely", Some("child"), "more than one CPU time limit"),
    ("death-typed", "killed", "certain", Some("sender"), ", on "),
    ("death-pipe-raised", "broken_pipe", "likely", Some("child"), "sent it to itself"),
    (
        "death-fault-abort",
        "abort",
        "certain",
        Some("child"),
        "before its end it had received SIGSEGV: an address that is not mapped at 0x10",
    ),
    ("death-passed-on", "killed", "certain", Some("init"), "which had received SIGTERM from scenario"),
    ("death-timer", "kernel", "likely", None, "a POSIX timer (timer_create(2)) sent SIGTERM"),
    ("death-reboot", "namespace_reboot", "certain", None, "called reboot(2)"),
    ("death-timeout-asked", "killed", "certain", Some("timeout"), "which had received SIGTERM from scenario"),
    ("death-injected", "tracer", "certain", Some("child"), "sent it SIGTERM by ptrace(2)"),
];

#[test]
fn no_sender_is_mistaken_for_another() {
    let service = Service::start(&[]);
    for &(name, cause, certainty, sender, words) in ROWS {
        let (death, facts) = match ended::ended(&service, name) {
            Ok(ended) => ended,
            Err(why) => {
                eprintln!("{name}: {why}");
                continue;
            }
        };
        assert_eq!(
            (&death["cause"], &death["certainty"]),
            (&cause.into(), &certainty.into()),
            "{name}: {death:#}"
        );
        if let [.., waited] = facts.waits("child").as_slice() {
            assert_eq!(death["exit"]["status"], waited.status, "{name}: {death:#}");
        }
        if let Some(role) = sender {
            assert_eq!(
                death["signal"]["sender"]["process"]["pid"],
                facts.role(role).pid,
                "{name}: {death:#}"
            );
        }
        assert!(death["summary"].as_str().is_some_and(|text| text.contains(words)), "{name}: {death:#}");
        if let Some(received) = death["signal"]["sender_received"].as_object() {
            assert_eq!(received["from"]["pid"], facts.role("sender").pid, "{name}: {death:#}");
        }
        if let Some(typed) = facts.all("typed").next() {
            let sender = &death["signal"]["sender"];
            assert_eq!(sender["terminal"], typed["terminal"], "{name}: {death:#}");
            let login = sender["login_user"]["id"].as_i64().unwrap_or(i64::from(u32::MAX));
            assert_eq!(login, typed["login_uid"].as_i64().unwrap_or_default(), "{name}: {death:#}");
        }
        if cause == "tracer" {
            assert_eq!(death["tracer"]["pid"], facts.role("sender").pid, "{name}: {death:#}");
        }
    }
    service.stop_clean();
}
