//! Readers of the daemon's events: filters, resuming, slow ones, the command line.

#[path = "../common/mod.rs"]
mod common;

use std::process::Command;

use common::scenario;
use taskscope_tests::{
    observer::Observer,
    service::{self, Service},
    setting,
    skipped::attempts,
    wait,
};

#[test]
fn events_come_filtered_and_end_at_their_limit() {
    attempts(|| {
        let service = service::shared();
        let mut zombie = scenario("zombie", &[]);
        zombie.pause("zombie");
        let child = zombie.facts().role("child").pid;
        let lines = service.events(&format!("?pid={child}&action=reaped,released&limit=2"), "");
        zombie.go();
        zombie.finish();
        let lines = lines.rest();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[0].contains(r#""action":"reaped""#) && lines[1].contains(r#""action":"released""#),
            "{lines:?}"
        );
        let wrong = service.get_local("/v1/events?action=died");
        assert_eq!(wrong.status, 400);
        assert!(wrong.body.contains("died: no such action"), "{wrong:?}");
        assert_eq!(service.get_local("/v1/events?pdi=1").status, 400);
    });
}

#[test]
fn a_reader_whose_limit_the_backlog_reaches_ends_at_once() {
    let service = Service::start(&["--backlog", "1000000"]);
    scenario("burst", &["3"]).finish();
    service.until("events", |now| now["taskscope_releases_total"] >= 3.0);
    // The reader ends without a further event. A gap reports the events that are not kept any more.
    let lines = service.events("?since=1h&limit=2", "").rest();
    assert_eq!(lines.iter().filter(|line| !line.contains(r#""action":"gap""#)).count(), 2, "{lines:?}");
    service.stop_clean();
}

#[test]
fn a_filter_by_subtree_includes_new_children() {
    let service = service::shared();
    let mut storm = scenario("zombie", &[]);
    storm.pause("zombie");
    let root = storm.facts().role("scenario").pid;
    let lines = service.events(&format!("?subtree={root}&action=released&limit=2"), "");
    scenario("burst", &["20"]).finish();
    storm.go();
    storm.finish();
    for line in lines.rest() {
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        let (pid, parent) = (&event["process"]["pid"], &event["process"]["parent_pid"]);
        assert!(pid == root || parent == root, "not below {root}: {line}");
    }
}

#[test]
fn a_reader_resumes_where_it_was() {
    // The log also has the events of the other tests: it is large enough for all of them.
    let service = Service::start(&["--backlog", "1000000"]);
    scenario("burst", &["10"]).finish();
    let mut lines = service.events("?after=0", "");
    // The first line may be a gap, if the backlog does not begin with event 1.
    let sequence = std::iter::repeat_with(|| lines.next_json())
        .find_map(|line| line["event"]["sequence"].as_u64())
        .unwrap_or_default();
    let next = service.events(&format!("?limit=1&after={sequence}"), "").next_json();
    assert_eq!(next["event"]["sequence"].as_u64(), Some(sequence + 1), "{next}");
    service.stop_clean();
}

#[test]
fn a_gap_reports_to_a_reader_what_is_missing() {
    let service = Service::start(&["--backlog", "100"]);
    scenario("burst", &["110"]).finish();
    service.until("more than the backlog", |now| now["taskscope_releases_total"] > 100.0);
    let gap = service.events("?limit=1&after=0", "").next_json();
    assert_eq!(
        (gap["event"]["action"].as_str(), gap["gap"]["place"].as_str()),
        (Some("gap"), Some("backlog"))
    );
    assert!(gap["gap"]["lost"].as_u64() > Some(0), "{gap}");
    let gap = service.events("?limit=1&after=5&instance=another", "").next_json();
    assert_eq!(gap["gap"]["place"], "restart", "{gap}");
    service.stop_clean();
}

#[test]
fn server_sent_events_carry_their_sequence() {
    let service = Service::start(&["--backlog", "1000000"]);
    scenario("burst", &["5"]).finish();
    let mut lines = service.events("?after=0&action=forked", "Accept: text/event-stream\r\n");
    let mut head = lines.next_line().unwrap();
    while head == "event: gap" {
        // There may be a gap because the backlog begins later, or because the kernel skipped a program.
        while lines.next_line().is_some_and(|line| !line.is_empty()) {}
        head = lines.next_line().unwrap();
    }
    assert!(head.starts_with("id: "), "{head}");
    assert_eq!(lines.next_line().unwrap(), "event: forked");
    assert!(lines.next_line().unwrap().starts_with("data: {"));
    assert_eq!(lines.next_line().unwrap(), "");
    drop(lines);
    service.stop_clean();
}

#[test]
fn unread_events_are_counted_and_a_later_reader_gets_a_gap() {
    let service = Service::start(&["--backlog", "100"]);
    let before = service.json("/v1/status")["events"].as_u64().unwrap_or_default();
    let forked = "taskscope_tasks_created_total{kind=\"process\"}";
    let processes = service.metrics()[forked];
    scenario("burst", &["300"]).finish();
    service.until("all lives", |now| {
        now["taskscope_releases_total"] >= 300.0 && now[forked] >= processes + 300.0
    });
    let events = service.json("/v1/status")["events"].as_u64().unwrap_or_default();
    assert!(events - before >= 6 * 300, "{before} to {events} events");
    let gap = service.events("?since=1h&limit=1", "").next_json();
    assert_eq!(gap["gap"]["place"], "backlog", "{gap}");
    // While there is a reader, all events are built again.
    let mut lines = service.events("?action=group_exited&comm=scenario&limit=3", "");
    scenario("burst", &["3"]).finish();
    for _ in 0..3 {
        let event = lines.next_json();
        assert!(event["event"]["sequence"].as_u64() > Some(events), "{event}");
    }
    service.stop_clean();
}

#[test]
fn a_reader_that_never_reads_loses_its_own_events_only() {
    attempts(|| {
        let service = Service::start(&[]);
        let stuck = service.events("", "");
        let released = service.metrics()["taskscope_releases_total"];
        // More than the log and a socket hold.
        scenario("burst", &["7000"]).finish();
        service.until("all lives", |now| now["taskscope_releases_total"] >= released + 7000.0);
        let samples = service.metrics();
        assert!(
            samples["taskscope_event_readers_lost_events_total"] > 0.0,
            "the reader lost nothing, so nothing was tested"
        );
        let status = service.json("/v1/status");
        service.process().assert_lost_to_the_kernel_only(&status["records_lost"]);
        drop(stuck);
        service.stop_clean();
    });
}

/// The cost of a storm for a daemon with this many readers that never read.
struct Storm {
    dropped: u64,
    /// Resident memory after it, KiB.
    resident: u64,
}

impl Storm {
    /// Runs a storm of `lives` lives. After the readers have left, at most `left` KiB more may stay resident.
    fn with(readers: u32, lives: u32, left: u64) -> Self {
        let service = Service::start(&[]);
        let silent: Vec<_> = (0..readers).map(|_| service.silent_reader("")).collect();
        service.until("the readers", |now| now["taskscope_event_readers"] >= f64::from(readers));
        scenario("burst", &[&lives.to_string()]).finish();
        service.until("all lives", |now| now["taskscope_releases_total"] >= f64::from(lives));
        let (resident, status) = (service.kib("VmRSS"), service.json("/v1/status"));
        if readers > 0 {
            let lost = status["readers_lost"].as_u64();
            // These are more events than the log holds; with few lives, events whose programs the kernel skipped may be missing
            // from the count.
            let least = u64::from(lives / 20);
            assert!(lost > Some(least * u64::from(readers)), "they lost {lost:?}, so nothing was tested");
        }
        drop(silent);
        let after = wait::until_ok(|| match service.kib("VmRSS") {
            after if after <= left => Ok(after),
            after => Err(format!("{resident} KiB with readers, {after} without, and not {left}")),
        });
        setting::report(
            &format!("resident_kib_of_{readers}_silent_readers"),
            format!("{resident}, then {after}"),
        );
        let (end, directory) = service.stop();
        assert_eq!(end.code(), Some(0), "{}", end.text());
        // The directory is one for temporary files, so it may stay.
        let _ = std::fs::remove_dir_all(directory);
        Self { dropped: status["records_dropped"].as_u64().unwrap_or_else(|| panic!("{status}")), resident }
    }
}

#[test]
fn readers_that_never_read_cost_no_record_and_their_memory_is_given_back() {
    // The sum of 16 MiB of events, 16 MiB of their encoded text, and a chunk for each reader whose socket is full.
    const MORE_KIB: u64 = 64 << 10;
    // With readers, the backlog stays in memory; without readers, none is kept in a storm. In a guest, the tests that run beside
    // this one make as many lives as this one.
    let left_kib: u64 = if setting::in_vm() { 24 << 10 } else { 10 << 10 };
    // As many lives as the daemon keeps; under emulation, enough to exceed the log of events.
    let (readers, lives) = if setting::in_vm() { (32, 7_000) } else { (128, 20_000) };
    let without = Storm::with(0, lives, u64::MAX);
    let with = Storm::with(readers, lives, without.resident + left_kib);
    assert!(with.resident < without.resident + MORE_KIB, "{} KiB, then {}", without.resident, with.resident);
    assert!(
        with.dropped <= without.dropped,
        "{readers} readers make {} records dropped, and without them {}",
        with.dropped,
        without.dropped
    );
}

#[test]
fn a_backlog_of_many_mib_is_resumed_whole() {
    // The backlog also has the events of the other tests.
    let service = Service::start(&["--backlog", "1000000"]);
    let before = service.json("/v1/status")["events"].as_u64().unwrap_or_default();
    scenario("burst", &["2500"]).finish();
    service.until("all lives", |now| now["taskscope_releases_total"] >= 2500.0);
    let all = service.json("/v1/status")["events"].as_u64().unwrap_or_default();
    assert!(all - before > 8192, "{before} to {all} events");
    for query in ["?since=1h", "?after=0"] {
        for headers in ["", "Accept: text/event-stream\r\n"] {
            let lines = service.events(&format!("{query}&limit={all}"), headers).rest();
            let bytes: usize = lines.iter().map(String::len).sum();
            assert!(bytes > 4 << 20, "{query}: {bytes} bytes of {} lines", lines.len());
            let events = lines
                .iter()
                .filter_map(|line| line.strip_prefix("data: ").or(line.starts_with('{').then_some(line)));
            let numbers: Vec<u64> = events
                .filter_map(|text| {
                    let event: serde_json::Value = serde_json::from_str(text).unwrap();
                    event["event"]["sequence"].as_u64()
                })
                .collect();
            let expected: Vec<u64> = (1..=all).collect();
            assert_eq!(numbers.len() as u64, all, "{query}");
            assert!(numbers == expected, "{query}: not in order, or not all");
        }
    }
    service.stop_clean();
}

#[test]
fn a_silent_stream_sends_keep_alives_and_the_command_line_ignores_them() {
    // A program that the kernel skips is a gap for every reader.
    attempts(|| {
        let service = Service::start(&[]);
        let mut lines = service.events("?comm=nobody-is-called-so", "");
        let mut sent = service.events("?comm=nobody-is-called-so", "Accept: text/event-stream\r\n");
        let printed = reader(&service.socket(), &["--comm", "nobody-is-called-so"]);
        let beat = lines.next_json();
        assert_eq!(beat["event"]["action"], "heartbeat", "{beat}");
        assert!(beat["event"]["sequence"].is_u64(), "{beat}");
        assert_eq!(sent.next_line().as_deref(), Some(": keep-alive"));
        assert!(sent.next_line().is_some_and(|line| line.starts_with("id: ")));
        assert_eq!(sent.next_line().as_deref(), Some(""));
        // The command has received the same keep-alives by now, or receives them while it is stopped.
        printed.signal(libc::SIGINT);
        let end = printed.wait(setting::deadline());
        assert_eq!(end.code(), Some(0), "{}", end.text());
        service.stop_clean();
    });
}

#[test]
fn a_closed_reader_is_noticed_without_an_event_for_it() {
    let service = Service::start(&["--api-on-tcp"]);
    drop(service.events("?comm=nobody-is-called-so", ""));
    let mut tcp = service.open("GET /v1/events?comm=nobody-is-called-so HTTP/1.0\r\n\r\n");
    let mut head = [0; 12];
    std::io::Read::read_exact(&mut tcp, &mut head).unwrap();
    service.until("one reader", |now| now["taskscope_event_readers"] < 2.0);
    drop(tcp);
    service.until("no reader", |now| now["taskscope_event_readers"] < 1.0);
    service.stop_clean();
}

#[test]
fn a_reader_that_leaves_in_mid_line_is_forgotten() {
    let service = Service::start(&[]);
    let mut stream = service.events("", "");
    scenario("burst", &["5"]).finish();
    stream.next_line();
    drop(stream);
    scenario("burst", &["5"]).finish();
    service.until("no reader", |now| now["taskscope_event_readers"] < 1.0);
    service.stop_clean();
}

/// Starts `taskscope events` as a client of a daemon.
fn reader(socket: &std::path::Path, args: &[&str]) -> Observer {
    let mut command = Command::new(setting::taskscope());
    command.args(["events", "--socket"]).arg(socket).args(args);
    Observer::launch(command)
}

#[test]
fn the_command_line_reads_from_the_daemon_and_lives_through_its_restart() {
    let service = Service::start(&[]);
    let socket = service.socket();
    let reader = reader(&socket, &["--action", "released"]);
    let from = reader.log().line("taskscope: reading from the daemon", setting::deadline());
    assert!(from.is_some(), "it does not ask the daemon:\n{}", reader.log().text());
    let view = reader.from_now();
    let mut first = scenario("zombie", &[]);
    first.pause("zombie");
    first.go();
    let facts = first.finish();
    let reported = |pid: i64| {
        wait::until(format_args!("the release of {pid} is reported"), || {
            view.events().iter().any(|event| event.action == "released" && event.pid == pid)
        });
    };
    reported(facts.role("child").pid);
    let directory = service.kill();
    let away = reader.log().line("taskscope: warning: the daemon has stopped", setting::deadline());
    assert!(away.is_some(), "{}", reader.log().text());
    let service = Service::start_in(directory, &[]);
    let back = reader.log().line("taskscope: the daemon is back", setting::deadline());
    assert!(back.is_some(), "{}", reader.log().text());
    let mut second = scenario("zombie", &[]);
    second.pause("zombie");
    second.go();
    reported(second.finish().role("child").pid);
    let is_gap = |line: &String| line.contains(r#""action":"gap""#) && line.contains("restart");
    assert!(reader.stream().broken().iter().any(is_gap), "the stream does not say what is missing");
    reader.signal(libc::SIGINT);
    let end = reader.wait(setting::deadline());
    assert_eq!(end.code(), Some(0), "{}", end.text());
    service.stop_clean();
}

#[test]
fn a_limit_and_a_closed_pipe_end_a_reader() {
    let service = Service::start(&["--backlog", "1000000"]);
    scenario("burst", &["5"]).finish();
    let end = reader(&service.socket(), &["--since", "1h", "--limit", "3"]).wait(setting::deadline());
    assert_eq!(end.code(), Some(0), "{}", end.text());
    let mut command = Command::new(setting::taskscope());
    command.args(["events", "--format", "text", "--socket"]).arg(service.socket());
    let (pipe, writer) = std::io::pipe().unwrap();
    let silent = Observer::launch_with(command, writer.into());
    drop(pipe);
    let end = silent.wait(setting::deadline());
    assert_eq!(end.code(), Some(0), "{}", end.text());
    service.stop_clean();
}
