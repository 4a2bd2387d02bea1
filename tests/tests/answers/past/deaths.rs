//! Deaths that an earlier daemon has recorded.

use std::process::Command;

use taskscope_tests::{client, history::History, service::Service, spawner::Spawned, wait};

use super::{FORGETFUL, asked, is_skipped, json};

/// Kills a process by SIGKILL; returns its pid once the daemon knows its end.
fn killed_sleep(service: &Service) -> i64 {
    let mut sleep = Spawned::new(Command::new("sleep").arg("1000"));
    sleep.kill();
    let pid = i64::from(sleep.id());
    // The history keeps it for longer than memory, which lives of other processes fill.
    wait::until(format_args!("the end of {pid} is reported"), || {
        !asked(service, &["lives", "--since", "1h", "--pid", &pid.to_string()]).stdout.is_empty()
    });
    pid
}

#[test]
fn deaths_of_an_earlier_daemon_are_listed_with_the_gap_between_the_two() {
    if is_skipped() {
        return;
    }
    let directory = History::new();
    let service = directory.start(&FORGETFUL);
    let killed = killed_sleep(&service);
    service.stop_clean();
    let service = directory.start(&FORGETFUL);
    let again = killed_sleep(&service);
    let output = asked(&service, &["deaths", "--since", "1h", "--cause", "killed", "--format", "json"]);
    let answer = json(&output);
    let deaths: Vec<_> = answer["deaths"].as_array().into_iter().flatten().collect();
    let of = |pid: i64| deaths.iter().filter(|death| death["process"]["pid"] == pid).count();
    assert_eq!((of(killed), of(again)), (1, 1), "{answer:#}");
    let position = |pid: i64| deaths.iter().position(|death| death["process"]["pid"] == pid);
    assert!(position(again) < position(killed), "the latest is not first: {answer:#}");
    let old = deaths.iter().find(|death| death["process"]["pid"] == killed).unwrap_or_else(|| panic!());
    let summary = old["summary"].as_str().unwrap_or_default();
    assert!(summary.starts_with("killed by SIGKILL from "), "{summary}");
    let gaps: Vec<_> = answer["history"]["gaps"].as_array().into_iter().flatten().collect();
    let between = gaps.iter().filter(|gap| gap["place"] == "not_running" && gap["from"].is_string());
    assert_eq!(between.count(), 1, "{answer:#}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no taskscope wrote history"), "{said}");
    service.stop_clean();
    // The directory gives the same deaths without a daemon.
    let path = directory.path();
    let path = path.to_str().unwrap_or_default();
    let args = ["deaths", "--from", path, "--cause", "killed", "--format", "json"];
    let alone = client::json(&args);
    let pids: Vec<_> = alone["deaths"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|death| death["process"]["pid"].as_i64())
        .collect();
    assert!(pids.contains(&killed) && pids.contains(&again), "{alone:#}");
    // Without the cause, deaths of other tests could be all that the text has room for.
    let text = client::text(&["deaths", "--from", path, "--cause", "killed"]);
    assert!(text.contains(&format!("(pid {killed})")), "{text}");
}
