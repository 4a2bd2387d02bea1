//! Lives that memory no longer has.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use taskscope_tests::{
    client,
    history::History,
    setting::{self, report},
    spawner::Spawned,
    wait,
};

use super::{FORGETFUL, asked, is_skipped, reaped};

fn records(output: &Output) -> Vec<Value> {
    client::lines(&String::from_utf8_lossy(&output.stdout))
}

/// How often each child of a parent is in an answer.
fn children(lives: &[Value], parent: i64) -> BTreeMap<i64, u32> {
    let mut counts = BTreeMap::new();
    for life in lives.iter().filter(|life| life["process"]["parent_pid"] == parent) {
        *counts.entry(life["process"]["pid"].as_i64().unwrap_or(0)).or_default() += 1;
    }
    counts
}

#[test]
fn each_life_is_in_the_answer_once_where_memory_and_history_meet() {
    if is_skipped() {
        return;
    }
    let directory = History::new();
    let service = directory.start(&FORGETFUL);
    let Some((me, pids)) = reaped(500) else { return };
    // The record of the last release may be on its way.
    let mut asked_so_often = 0;
    wait::until_ok(|| {
        let output = asked(&service, &["lives", "--since", "1h"]);
        asked_so_often += 1;
        let found = children(&records(&output), me);
        assert!(found.values().all(|&count| count == 1), "twice in one answer: {found:?}");
        if found.keys().copied().collect::<BTreeSet<_>>() == pids {
            return Ok(());
        }
        Err(format!("{} of {} lives are in the answer", found.len(), pids.len()))
    });
    // Without `--since`, the answer comes from memory alone, which has few lives.
    let memory = children(&records(&asked(&service, &["lives"])), me);
    assert!(memory.len() <= 64, "{}", memory.len());
    // A narrower query returns a part of that answer.
    let some: Vec<i64> = pids.iter().copied().step_by(100).collect();
    for pid in &some {
        let found = records(&asked(&service, &["lives", "--since", "1h", "--pid", &pid.to_string()]));
        assert_eq!(children(&found, me), BTreeMap::from([(*pid, 1)]));
    }
    let limited = records(&asked(&service, &["lives", "--since", "1h", "--limit", "7"]));
    assert_eq!(limited.len(), 7);
    assert!(records(&asked(&service, &["lives", "--since", "1h", "--limit", "0"])).is_empty());
    report("past_lives_asked", asked_so_often);
    service.stop_clean();
    // Reading the directory without a daemon gives the same lines as zstd(1).
    let path = directory.path();
    let path = path.to_str().unwrap_or_default();
    let own = client::text(&["lives", "--from", path]);
    assert_eq!(own.lines().collect::<Vec<_>>(), directory.lines("lives"));
}

#[test]
fn lives_that_end_while_a_slow_client_reads_are_not_lost_from_an_answer() {
    if is_skipped() {
        return;
    }
    let directory = History::new();
    let service = directory.start(&FORGETFUL);
    let Some((me, pids)) = reaped(1000) else { return };
    wait::until("the lives are reported", || {
        children(&records(&asked(&service, &["lives", "--since", "1h"])), me).len() >= pids.len()
    });
    let mut storm = Spawned::new(Command::new("sh").args(["-c", "while :; do /bin/true; done"]));
    let answers: Vec<_> = (0..5).map(|_| records(&asked(&service, &["lives", "--since", "1h"]))).collect();
    storm.kill();
    for lives in answers {
        let found = children(&lives, me);
        assert_eq!(found.len(), pids.len());
        let ids: BTreeSet<_> = lives.iter().map(|life| life["process"]["entity_id"].to_string()).collect();
        assert_eq!(ids.len(), lives.len(), "a life is there twice");
        // No life of the storm is in the answer twice.
        let storm_pids = children(&lives, i64::from(storm.id()));
        assert!(storm_pids.values().all(|&count| count == 1));
    }
    service.stop_clean();
}

#[test]
fn a_directory_that_is_no_history_is_an_error_by_name() {
    let directory = History::new();
    for (path, what) in
        [(Path::new("/proc/version"), "reading the directory"), (directory.above(), "no segment")]
    {
        for command in ["lives", "deaths"] {
            let output = Command::new(setting::taskscope())
                .args([command, "--from"])
                .arg(path)
                .output()
                .unwrap_or_else(|error| panic!("starting taskscope: {error}"));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains(what) && said.contains(&path.display().to_string()), "{said}");
        }
    }
}
