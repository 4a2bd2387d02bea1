//! Questions that reach further back than the daemon's memory, compared with what the scenario's waits returned and with the
//! lines that zstd(1) reads from the segments.
//!
//! - `lives`, `deaths`: what has ended; `tree`: the tree and `explain` of a past time
//! - `difference`: what two times differ by; `zombies`: the zombies of a past time

#[path = "../../common/mod.rs"]
mod common;
mod deaths;
mod difference;
mod lives;
mod tree;
mod zombies;

use std::{collections::BTreeSet, process::Output};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{client, service::Service, setting};

/// Arguments of a daemon whose memory holds 64 ended processes.
const FORGETFUL: [&str; 2] = ["--dead-lives", "64"];

/// Runs `taskscope` with the socket of a daemon; its exit code must be 0.
#[track_caller]
fn asked(service: &Service, args: &[&str]) -> Output {
    let output = client::run(&[args, &["--socket", &service.socket().to_string_lossy()]].concat());
    assert!(output.status.success(), "{args:?}: {output:?}");
    output
}

#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Returns whether the daemon reports that these processes have ended, in an answer that includes the history: lives of other tests
/// fill the memory. The releases of two processes may be reported in another order than that of their ends, so all of them are
/// asked for.
fn have_ended(service: &Service, pids: impl IntoIterator<Item = i64>) -> bool {
    let is_there = |pid| !service.get_local(&format!("/v1/lives?since=1h&pid={pid}")).body.is_empty();
    pids.into_iter().all(is_there)
}

/// Runs `usage` with `count` children; returns its pid and theirs once all are reaped.
fn reaped(count: usize) -> Option<(i64, BTreeSet<i64>)> {
    let mut scenario = scenario("usage", &[&count.to_string()]);
    if !scenario.pause_or_skip("counted") {
        return None;
    }
    let (me, pids) = (scenario.facts().role("scenario").pid, scenario.facts().reaped());
    scenario.go();
    scenario.finish();
    Some((me, pids))
}

fn is_skipped() -> bool {
    setting::skip_in_vm("a guest has no zstd(1), and files do not depend on the kernel")
}
