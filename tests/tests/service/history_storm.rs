//! The history on disk while more lives end than memory holds, in a test program of its own: each daemon of a test observes all
//! processes of the host.

#[path = "../common/mod.rs"]
mod common;

use std::{fs, process::Command, thread::sleep, time::Duration};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{
    history::History,
    setting::{self, report},
};

/// How often the daemon is killed in a storm.
const TURNS: u64 = 10;

/// Returns the bytes of all segments of a kind.
fn bytes(history: &History, kind: &str) -> u64 {
    history.segments(kind).iter().map(|path| fs::metadata(path).map_or(0, |meta| meta.len())).sum()
}

#[test]
fn kill_9_in_a_storm_loses_at_most_what_was_not_flushed() {
    if setting::in_vm() {
        setting::skip("a guest has no zstd(1), and files do not depend on the kernel");
        return;
    }
    let history = History::new();
    let mut written = 0;
    for turn in 0..TURNS {
        let service = history.start(&[]);
        let mut storm = Command::new("sh")
            .args(["-c", "while :; do /bin/true; done"])
            .spawn()
            .unwrap_or_else(|error| panic!("starting sh: {error}"));
        // The delay differs in each round, but is the same in each run.
        sleep(Duration::from_millis(200 + turn * 7919 % 6000));
        let reported = service.metrics()["taskscope_history_lines_total{kind=\"lives\"}"];
        fs::remove_dir_all(service.kill()).unwrap_or_else(|error| panic!("{error}"));
        let _ = storm.kill();
        let _ = storm.wait();
        // zstd(1) reads every complete frame without an error, and the frames have as many lines as the daemon reported.
        let now = history.lines("lives").len();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of lines")]
        let reported = reported as usize;
        assert!(
            now >= written + reported,
            "turn {turn}: {now} lines, and {written} and {reported} were written"
        );
        written = now;
    }
    let service = history.start(&[]);
    assert_eq!(service.json("/v1/status")["history"]["error"], Value::Null);
    service.stop_clean();
    assert!(history.lines("lives").len() >= written);
    report("history_lives_after_kills", written);
}

#[test]
fn history_keeps_within_its_size() {
    if setting::in_vm() {
        setting::skip("a guest is slow, and files do not depend on the kernel");
        return;
    }
    let history = History::new();
    let service = history.start(&["--history-size", "1M"]);
    for _ in 0..40 {
        scenario("burst", &["1000"]).finish();
    }
    History::until_written(&service, 20_000.0);
    let samples = service.metrics();
    assert!(samples["taskscope_history_disk_bytes"] <= f64::from(1 << 20), "{samples:#?}");
    service.stop_clean();
    assert!(bytes(&history, "lives") + bytes(&history, "events") <= 1 << 20);
    assert!(history.lines("lives").len() > 1000);
}
