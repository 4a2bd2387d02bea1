//! The history on disk after a clean end and after kill -9, and with a directory that cannot be used. Segments are read by other
//! projects' programs: zstd(1), and `DuckDB` if installed.

#[path = "../common/mod.rs"]
mod common;

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::PathBuf,
    process::Command,
};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{
    history::{History, lines},
    scenario::Scenario,
    service::{self, Service},
    setting, wait,
};

/// Parses lines.
#[track_caller]
fn parsed(lines: &[String]) -> Vec<Value> {
    let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    lines.iter().map(parse).collect()
}

/// Runs `usage` with `count` children; returns its pid and theirs once all are reaped.
#[track_caller]
fn reaped(count: usize) -> Option<(Scenario, i64, BTreeSet<i64>)> {
    let mut scenario = scenario("usage", &[&count.to_string()]);
    if !scenario.pause_or_skip("counted") {
        return None;
    }
    let (me, pids) = (scenario.facts().role("scenario").pid, scenario.facts().reaped());
    Some((scenario, me, pids))
}

fn pids_of(lives: &[Value], parent: i64) -> BTreeSet<i64> {
    let ours = lives.iter().filter(|life| life["process"]["parent_pid"] == parent);
    ours.filter_map(|life| life["process"]["pid"].as_i64()).collect()
}

/// Bytes of an incomplete frame: fewer than any complete frame has.
const TORN: usize = 40;

/// Waits until these lives are on disk, where there are lives of other processes too.
#[track_caller]
fn until_on_disk(history: &History, parent: i64, pids: &BTreeSet<i64>) {
    wait::until_ok(|| {
        let found = on_disk(history, parent);
        if found == *pids {
            return Ok(());
        }
        Err(format!("{} of {} lives are on disk", found.len(), pids.len()))
    });
}

/// Returns the children of this parent in the frames that are whole by now.
fn on_disk(history: &History, parent: i64) -> BTreeSet<i64> {
    let mut found = BTreeSet::new();
    for path in history.segments("lives") {
        // The last frame may be incomplete at this time, so only the frames before it are read.
        let output = Command::new("zstd").arg("-dc").arg(&path).output();
        let text = output.unwrap_or_else(|error| panic!("starting zstd: {error}")).stdout;
        found.extend(children_in(&text, parent));
    }
    found
}

/// Returns the children of this parent in lines of lives.
fn children_in(lines: &[u8], parent: i64) -> BTreeSet<i64> {
    let known = lines.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    pids_of(&known.collect::<Vec<_>>(), parent)
}

/// Waits until these lives are reported.
#[track_caller]
fn until_reported(service: &Service, parent: i64, pids: &BTreeSet<i64>) {
    let mut found = BTreeSet::new();
    wait::until_ok(|| {
        let remembered = service.get_local("/v1/lives?comm=scenario").body;
        found.extend(children_in(remembered.as_bytes(), parent));
        if found == *pids {
            return Ok(());
        }
        let status = service.json("/v1/status");
        Err(format!("{} of {} lives are reported: {status:#}", found.len(), pids.len()))
    });
}

#[test]
fn every_life_is_on_disk_after_a_clean_end_and_another_start_adds_to_it() {
    if setting::in_vm() {
        setting::skip("a guest has no zstd(1), and files do not depend on the kernel");
        return;
    }
    let history = History::new();
    let mut all = BTreeSet::new();
    for turn in 1..=2 {
        let service = history.start(&[]);
        let Some((mut scenario, me, pids)) = reaped(300) else { return };
        scenario.go();
        scenario.finish();
        // The record of the last release may come late, on the tracepoint rung by an RCU grace period.
        until_reported(&service, me, &pids);
        service.stop_clean();
        let lives = parsed(&history.lines("lives"));
        assert_eq!(pids_of(&lives, me), pids, "turn {turn}");
        assert!(lives.iter().all(|life| life["life_version"] == 1));
        all.insert(me);
    }
    let lives = parsed(&history.lines("lives"));
    assert!(
        all.iter().all(|parent| pids_of(&lives, *parent).len() == 300),
        "the lives of the first run are missing"
    );
    // No segment is open, and the names contain the times.
    for path in history.segments("lives") {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        assert_eq!(name.matches('Z').count(), 2, "{name}");
        let mode = fs::metadata(&path).unwrap_or_else(|error| panic!("{error}")).permissions().mode();
        assert_eq!(mode & 0o7777, 0o640, "{name}");
    }
    let mode = fs::metadata(history.path()).unwrap_or_else(|error| panic!("{error}")).mode();
    assert_eq!(mode & 0o7777, 0o750);
}

#[test]
fn after_kill_9_every_whole_line_is_there_and_the_torn_tail_is_reported() {
    if setting::in_vm() {
        setting::skip("a guest has no zstd(1), and files do not depend on the kernel");
        return;
    }
    let history = History::new();
    let service = history.start(&[]);
    let Some((mut scenario, me, pids)) = reaped(300) else { return };
    scenario.go();
    scenario.finish();
    until_on_disk(&history, me, &pids);
    fs::remove_dir_all(service.kill()).unwrap_or_else(|error| panic!("{error}"));
    let open = history.segments("lives").pop().unwrap_or_else(|| panic!("no segment"));
    assert_eq!(pids_of(&parsed(&lines(&open)), me), pids);
    // A crash of the machine leaves the beginning of a frame.
    let whole = fs::read(&open).unwrap_or_else(|error| panic!("{error}"));
    let torn = [&whole[..], &whole[..TORN]].concat();
    fs::write(&open, &torn).unwrap_or_else(|error| panic!("{error}"));
    let service = history.start(&[]);
    let said = service.says("warning: history: lives-");
    assert!(said.contains(&format!("its last {TORN} bytes are an incomplete frame")), "{said}");
    let status = service.json("/v1/status");
    assert_eq!(status["history"]["cut_bytes"], TORN, "{status:#}");
    service.stop_clean();
    assert_eq!(pids_of(&parsed(&history.lines("lives")), me), pids);
}

#[test]
fn an_unusable_directory_turns_off_only_the_history() {
    let history = History::new();
    fs::create_dir(history.path()).unwrap_or_else(|error| panic!("{error}"));
    let check = |what: &str, service: Service| {
        let status = service.json("/v1/status");
        let error = status["history"]["error"].as_str().unwrap_or_default();
        assert!(error.contains(what), "`{what}` is not in {status:#}");
        assert!(service.metrics()["taskscope_history_up"] < 0.5);
        assert_eq!(service.get("/readyz").status, 200);
        service.stop_clean();
    };
    let mode = |mode: u32| {
        let set = fs::set_permissions(history.path(), fs::Permissions::from_mode(mode));
        set.unwrap_or_else(|error| panic!("{error}"));
    };
    mode(0o777);
    check("others may write", history.start(&[]));
    mode(0o750);
    let first = history.start(&[]);
    assert!(first.metrics()["taskscope_history_up"] > 0.5);
    check("another taskscope writes to the directory", history.start(&[]));
    first.stop_clean();
    std::os::unix::fs::chown(history.path(), Some(12_345), None).unwrap_or_else(|error| panic!("{error}"));
    check("belongs to uid 12345", history.start(&[]));
    check("opening the directory /proc/version", Service::start(&["--history", "/proc/version"]));
    // /sys is a file system in which no file can be created.
    check("making a file in the directory /sys/kernel", Service::start(&["--history", "/sys/kernel"]));
}

/// A small file system that is soon full.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn new(size: &str) -> Option<Self> {
        let path = service::directory();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0750"), "tmpfs"])
            .arg(&path)
            .output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        is_mounted.then_some(Self(path))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_full_disk_is_reported_stops_only_the_history_and_is_written_again_once_there_is_space() {
    let Some(disk) = Tmpfs::new("256k") else {
        setting::skip("no tmpfs can be mounted");
        return;
    };
    let filler = disk.0.join("filler");
    let path = disk.0.to_str().unwrap_or_else(|| panic!("no UTF-8"));
    let service = Service::start(&["--history", path]);
    // Writes until nothing fits; a write that fails has filled the remaining space.
    let _ = fs::write(&filler, vec![1; 1 << 20]);
    let storm = || {
        scenario("burst", &["200"]).finish();
    };
    let lost = "taskscope_history_lost_lines_total{why=\"disk\"}";
    wait::until("lines are lost because the disk is full", || {
        storm();
        service.metrics()[lost] >= 1.0
    });
    let status = service.json("/v1/status");
    assert!(
        status["history"]["error"].as_str().is_some_and(|error| error.contains("os error 28")),
        "{status:#}"
    );
    fs::remove_file(&filler).unwrap_or_else(|error| panic!("{error}"));
    wait::until("the history is written again", || {
        storm();
        service.metrics()["taskscope_history_up"] > 0.5
    });
    service.stop_clean();
    if setting::in_vm() {
        return;
    }
    let mut gaps = Vec::new();
    for entry in fs::read_dir(&disk.0).unwrap_or_else(|error| panic!("{error}")) {
        let path = entry.unwrap_or_else(|error| panic!("{error}")).path();
        if path.to_string_lossy().contains("/events-") {
            gaps.extend(parsed(&lines(&path)).into_iter().filter(|line| line["gap"]["place"] == "history"));
        }
    }
    assert!(gaps.iter().any(|gap| gap["gap"]["lost"].as_u64() > Some(0)), "no gap line says what is missing");
}

/// A query of the segments by another project's program: which commands ran longest.
const DUCKDB: &str = "\
import duckdb, json, sys
rows = duckdb.sql(f\"\"\"
    SELECT process.name AS name, count(*) AS lives, sum(usage.exec_runtime_ns) AS cpu_ns
    FROM read_ndjson_auto('{sys.argv[1]}/lives-*.ndjson.zst', union_by_name = true)
    GROUP BY ALL ORDER BY cpu_ns DESC\"\"\").fetchall()
print(json.dumps(rows))";

#[test]
fn duckdb_reads_the_segments_as_they_are() {
    let Some(python) = env::var_os("TASKSCOPE_DUCKDB") else {
        setting::skip("TASKSCOPE_DUCKDB names no python with duckdb; cargo xtask test makes one");
        return;
    };
    let history = History::new();
    let service = history.start(&[]);
    let Some((mut scenario, _, _)) = reaped(200) else { return };
    scenario.go();
    scenario.finish();
    History::until_written(&service, 200.0);
    service.stop_clean();
    let output = Command::new(python).args(["-c", DUCKDB]).arg(history.path()).output();
    let output = output.unwrap_or_else(|error| panic!("starting python: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<(Option<String>, u64, Option<u64>)> =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}"));
    let lives = parsed(&history.lines("lives"));
    assert_eq!(rows.iter().map(|row| row.1).sum::<u64>(), lives.len() as u64);
    for (name, count, cpu_ns) in rows {
        let ours = lives.iter().filter(|life| life["process"]["name"].as_str() == name.as_deref());
        let (ours, used) = ours.fold((0, 0), |(count, sum), life| {
            (count + 1, sum + life["usage"]["exec_runtime_ns"].as_u64().unwrap_or(0))
        });
        assert_eq!((count, cpu_ns.unwrap_or(0)), (ours, used), "{name:?}");
    }
}
