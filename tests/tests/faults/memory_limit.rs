//! When its memory runs out, the daemon drops what it can, reports that, and continues.

#[path = "../common/mod.rs"]
mod common;

use std::process::Command;

use common::scenario;
use taskscope_tests::{
    cgroup::Cgroup,
    service::{Service, directory},
    setting,
};

const MIB: u64 = 1 << 20;

fn text(of: &Service) -> String {
    let mut command = Command::new(setting::taskscope());
    let output = command.arg("status").arg("--socket").arg(of.socket()).output();
    let output = output.unwrap_or_else(|error| panic!("taskscope status: {error}"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn without_memory_backlog_and_lives_are_dropped_then_readers_are_refused_and_queries_are_answered() {
    // The daemon uses more than this from the start, so it drops everything that it may.
    let service = Service::start(&["--memory-max", "1M"]);
    scenario("burst", &["300"]).finish();
    service.says("warning: memory: ");
    let samples = service.until("the daemon to drop what it may", |samples| {
        let shed = |what: &str| {
            let name = format!("taskscope_memory_shed_total{{what=\"{what}\"}}");
            samples.get(&name).is_some_and(|count| *count > 0.0)
        };
        shed("backlog") && shed("lives")
    });
    assert!((samples["taskscope_memory_limit_bytes"] - 1024.0 * 1024.0).abs() < 0.5, "{samples:#?}");
    assert!(samples["taskscope_memory_used_bytes"] > 1024.0 * 1024.0, "{samples:#?}");

    let refused = service.get_local("/v1/events?since=1h&limit=1");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains("memory"), "{refused:?}");
    let status = service.json("/v1/status");
    assert_eq!(status["memory_given_up"], "backlog, remembered lives, new readers", "{status:#}");
    assert_eq!(status["memory_shed"]["readers"], 1, "{status:#}");
    assert!(text(&service).contains("SHORT OF MEMORY"), "{}", text(&service));

    let me = std::process::id();
    for path in ["/v1/zombies".to_owned(), format!("/v1/tasks/{me}"), format!("/v1/explain/{me}")] {
        assert_eq!(service.get_local(&path).status, 200, "{path}");
    }
    service.stop_clean();
}

#[test]
fn with_enough_memory_nothing_is_dropped() {
    let service = Service::start(&["--memory-max", "4G"]);
    scenario("burst", &["300"]).finish();
    let samples = service
        .until("ended lives", |samples| samples["taskscope_memory_held_objects{of=\"lives\"}"] >= 300.0);
    assert!(samples["taskscope_memory_held_bytes{of=\"lives\"}"] > 300.0 * 100.0, "{samples:#?}");
    for what in ["backlog", "lives", "readers"] {
        let name = format!("taskscope_memory_shed_total{{what=\"{what}\"}}");
        assert!(samples[&name] < 0.5, "{samples:#?}");
    }
    let status = service.json("/v1/status");
    assert!(status["memory"]["backlog"]["count"].as_u64().is_some_and(|count| count > 300), "{status:#}");
    assert!(status.get("memory_given_up").is_none(), "{status:#}");
    assert!(text(&service).contains("lives remembered"), "{}", text(&service));
    service.stop_clean();
}

#[test]
fn the_limit_is_90_percent_of_that_of_the_daemons_cgroup() {
    let name = format!("taskscope-test-memory-{}", std::process::id());
    let Some(cgroup) = Cgroup::with_memory_limit(&name, 400 * MIB) else { return };
    let service = Service::start_with(directory(), &[], |command| cgroup.begin(command));
    let status = service.json("/v1/status");
    assert_eq!(status["memory_limit_bytes"], 360 * MIB, "{status:#}");
    let used = status["memory_used_bytes"].as_u64();
    assert!(used.is_some_and(|used| used > MIB && used < 300 * MIB), "{status:#}");
    service.stop_clean();
}
