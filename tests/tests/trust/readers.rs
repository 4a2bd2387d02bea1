//! Readers of standard output, slow, dead and gone.

use std::{
    fs,
    io::{self, PipeReader, Read as _},
    process::Stdio,
};

use taskscope_tests::{observer::Observer, setting, spawner};

use crate::{
    common::scenario,
    help::{alone, events, sum},
};

/// Starts an observer whose stdout is a pipe; returns it with the read end.
fn pipe_reader(args: &[&str]) -> (Observer, PipeReader) {
    let (reader, writer) = io::pipe().unwrap_or_else(|error| panic!("making a pipe: {error}"));
    (Observer::start_silent(events(args), Stdio::from(writer)), reader)
}

#[test]
fn a_reader_that_never_reads_loses_lines_and_nothing_else() {
    let _alone = alone();
    let (observer, reader) = pipe_reader(&[]);
    scenario("burst", &["1000"]).finish();
    observer.signal(libc::SIGTERM);
    let end = observer.wait(setting::deadline());
    drop(reader);
    assert_eq!(sum(&end, "dropped"), 0, "records were lost to a reader: {}", end.text());
    assert!(sum(&end, "not written") > 0, "all fit into the pipe, so nothing was tested: {}", end.text());
    assert_eq!(sum(&end, "lines"), sum(&end, "written") + sum(&end, "not written"), "{}", end.text());
    assert!(
        end.text().contains("standard output"),
        "it does not report the lines that were not written: {}",
        end.text()
    );
}

#[test]
fn a_reader_that_closes_in_the_middle_of_a_line_ends_it_with_0() {
    let _alone = alone();
    let (observer, mut reader) = pipe_reader(&[]);
    spawner::blink().unwrap_or_else(|error| panic!("making a process: {error}"));
    let mut start = [0; 10];
    reader.read_exact(&mut start).unwrap_or_else(|error| panic!("reading from taskscope: {error}"));
    drop(reader);
    spawner::blink().unwrap_or_else(|error| panic!("making a process: {error}"));
    let end = observer.wait(setting::deadline());
    assert_eq!(end.code(), Some(0), "{}", end.text());
}

/// Returns `VmData` of a process, KiB: the private memory that it has mapped, used or not.
#[track_caller]
fn data_kib(pid: u32) -> u64 {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {path}: {error}"));
    let line = text.lines().find_map(|line| line.strip_prefix("VmData:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no VmData in {path}"))
}

#[test]
fn few_unread_lines_take_little_memory() {
    // The first table of the lineage may be mapped meanwhile, 22 MiB of addresses; a large buffer per batch would take 150 MiB.
    const LITTLE_KIB: u64 = 64 << 10;
    let _alone = alone();
    let (observer, reader) = pipe_reader(&[]);
    // The pipe is full, and the writer waits for its reader.
    scenario("burst", &["200"]).finish();
    let before = data_kib(observer.pid());
    // Each of these lives is a batch of a few lines.
    for _ in 0..600 {
        spawner::blink().unwrap_or_else(|error| panic!("making a process: {error}"));
    }
    let more = data_kib(observer.pid()).saturating_sub(before);
    assert!(more < LITTLE_KIB, "600 short lives take {more} KiB while their lines are not read");
    drop(reader);
    let end = observer.wait(setting::deadline());
    assert_eq!(end.code(), Some(0), "{}", end.text());
}
