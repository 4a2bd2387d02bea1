//! The fuzz targets of `fuzz/` without a fuzzer: runs every input of their corpora, and some thousands of slightly changed ones.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{fs, path::Path};

#[path = "../fuzz/bodies/btf.rs"]
mod btf;
#[path = "../fuzz/bodies/cgroup.rs"]
mod cgroup;
#[path = "../fuzz/bodies/config.rs"]
mod config;
#[path = "../fuzz/bodies/history.rs"]
mod history;
#[path = "../fuzz/bodies/procfs.rs"]
mod procfs;
#[path = "../fuzz/bodies/query.rs"]
mod query;
#[path = "../fuzz/bodies/recording.rs"]
mod recording;
#[path = "../fuzz/bodies/time_arg.rs"]
mod time_arg;
#[path = "../fuzz/bodies/wire.rs"]
mod wire;

/// A generator (xorshift64) of numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % below.max(1)
    }
}

/// Changes bytes, cuts, and repeats parts.
fn spoil(input: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=numbers.next(4) {
        let at = numbers.next(bytes.len());
        match numbers.next(4) {
            0 if at < bytes.len() => bytes[at] = numbers.next(256) as u8,
            1 if at < bytes.len() => bytes[at] ^= 1 << numbers.next(8),
            2 => bytes.truncate(at),
            _ => {
                let part = bytes[at..(at + numbers.next(64)).min(bytes.len())].to_vec();
                let to = numbers.next(bytes.len() + 1);
                bytes.splice(to..to, part);
            }
        }
    }
    bytes
}

fn try_all(target: &str, variants: usize, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus of {target} is empty");
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for file in files {
        let input = fs::read(&file).unwrap();
        run(&input);
        for _ in 0..variants {
            run(&spoil(&input, &mut numbers));
        }
    }
}

#[test]
fn any_type_information_is_read_or_refused() {
    try_all("btf", 200, btf::run);
}

#[test]
fn any_file_of_a_process_is_read_or_refused() {
    try_all("procfs", 2000, procfs::run);
    fs::remove_dir_all(procfs::root()).unwrap();
}

#[test]
fn any_path_of_a_cgroup_is_understood_or_left_as_it_is() {
    try_all("cgroup", 20_000, cgroup::run);
}

#[test]
fn any_query_is_read_or_refused_with_a_reason() {
    try_all("query", 5_000, query::run);
}

#[test]
fn each_path_with_a_query_is_among_those_that_are_tried() {
    let described: serde_json::Value =
        serde_json::from_str(include_str!("../src/service/http/openapi.json")).unwrap();
    let has_query = |path: &serde_json::Value| {
        let parameters = path["get"]["parameters"].as_array();
        parameters.is_some_and(|all| all.iter().any(|parameter| parameter["in"] == "query"))
    };
    let paths = described["paths"].as_object().unwrap();
    let with_query: Vec<_> =
        paths.iter().filter(|(_, path)| has_query(path)).map(|(name, _)| name.as_str()).collect();
    assert!(!with_query.is_empty());
    for name in with_query {
        assert!(query::PATHS.contains(&name), "{name}");
    }
}

#[test]
fn a_query_with_too_many_conditions_is_refused_with_their_number() {
    use taskscope::service::http::query::read;
    let many = |name: &str, value: &str, count: usize| vec![format!("{name}={value}"); count].join("&");
    for (path, name, value) in [
        ("/v1/events", "comm", "a*b"),
        ("/v1/events", "unit", "*"),
        ("/v1/events", "action", "exited"),
        ("/v1/lives", "comm", "?"),
        ("/v1/lives", "cause", "oom"),
        ("/v1/deaths", "comm", "*a"),
        ("/v1/deaths", "subtree", "7"),
        ("/v1/stops", "container", "0"),
    ] {
        read(path, &many(name, value, 100)).unwrap_or_else(|error| panic!("{path} {name}: {error}"));
        let refused = read(path, &many(name, value, 101)).expect_err(name);
        assert!(refused.starts_with("101 conditions: a query may have 100"), "{path} {name}: {refused}");
    }
    let pids: Vec<String> = (1..2000).map(|pid: u32| pid.to_string()).collect();
    read("/v1/events", &format!("pid={}", pids.join(","))).expect("pids are as many as fit");
}

#[test]
fn any_configuration_is_read_or_refused_with_a_line() {
    try_all("config", 5_000, config::run);
}

#[test]
fn any_segment_of_the_history_is_read_and_damage_is_counted() {
    try_all("history", 2_000, history::run);
}

#[test]
fn any_moment_is_over_or_refused_by_name() {
    try_all("time_arg", 5_000, time_arg::run);
}

#[test]
fn any_bytes_of_the_ring_leave_the_lineage_whole() {
    try_all("wire", 200, wire::run);
}

#[test]
fn any_recording_is_replayed_or_left_out_by_offset() {
    try_all("recording", 1000, recording::run);
}
