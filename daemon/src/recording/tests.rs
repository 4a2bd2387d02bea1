//! Recordings against records of the decoder, and against damage.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use probe_common::{Header as WireHeader, Kind, Wire as _};

use super::{
    Counters, End, Entries, Entry, FORMAT, Header, Hook, Journal, Reader, RecordingError, Redaction,
    entry::{Encoder, Own},
};
use crate::{
    cgroup::Place,
    kernel::decode::decode,
    lineage::{
        Arguments, Config,
        death::{HostMemory, OomCgroup, Watch},
        figures::{Doing, TaskFigures},
        id::{GroupKey, Ktime, TaskKey, TaskRef, Tgid, Tid},
        leaks::SessionFacts,
        record::{Comm, Disposition, Fact, ForkLimit, ForkLimitKind, Record, TaskUsage},
    },
};

/// Random numbers that are the same in each run (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// A record of a kind whose other bytes are random, as far as the decoder takes them.
fn record(kind: Kind, numbers: &mut Numbers) -> Option<Record> {
    let mut bytes = vec![0; kind.size()];
    for byte in &mut bytes {
        let number = numbers.next();
        // Many small values, so that flags and codes are valid.
        *byte = if number.is_multiple_of(4) { (number >> 8) as u8 } else { (number >> 8 & 1) as u8 };
    }
    let at = numbers.next() >> 20;
    let header = WireHeader { kind: kind as u16, cpu: 3, len: kind.size() as u32, boottime_ns: at };
    header.write(&mut bytes)?;
    decode(&bytes).ok()
}

/// Adds the facts that are not in the bytes of the ring.
fn complete(record: &mut Record) {
    match &mut record.fact {
        Fact::CloneFailed(failed) => {
            let limit =
                ForkLimit { kind: ForkLimitKind::PidMax, name: "x".into(), used: Some(7), limit: None };
            failed.refused_by = Some(Arc::new(limit));
        }
        Fact::Signal(sent) => sent.disposition = Some(Disposition::Caught),
        Fact::OomVictim(oom) => {
            if let Some(limit) = &mut oom.limit {
                limit.host = Some(HostMemory { total_bytes: 1 << 40, swap_bytes: 0, swap_free_bytes: 9 });
                limit.cgroup =
                    Some(OomCgroup { path: "/a".into(), is_v1: true, kills_group: false, victims: Some(0) });
            }
        }
        _ => {}
    }
}

fn read(content: &[u8]) -> Vec<Entry> {
    Entries::of(content).map(|entry| entry.unwrap()).collect()
}

#[test]
fn a_record_of_every_kind_comes_back_as_it_was() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for kind in Kind::ALL {
        let mut tried = 0;
        for _ in 0..20_000 {
            let Some(mut record) = record(kind, &mut numbers) else { continue };
            complete(&mut record);
            let mut content = Vec::new();
            let mut encoder = Encoder::default();
            // The second one's time is stored as a difference.
            for now in [Ktime(5), record.at] {
                encoder.record(&record, now, &mut content);
            }
            let read = read(&content);
            let [Entry::Record { record: one, now: Ktime(5) }, Entry::Record { record: other, now }] = &*read
            else {
                panic!("{read:?}");
            };
            assert_eq!((one, other, *now), (&record, &record, record.at));
            tried += 1;
            if tried == 500 {
                break;
            }
        }
        assert!(tried > 20, "{}: {tried} random records were valid", kind.name());
    }
}

#[test]
fn every_other_entry_comes_back_as_it_was() {
    let group = GroupKey { tgid: Tgid(7), start: Some(Ktime(1 << 50)) };
    let key = TaskKey { tid: Tid(7), start: Ktime(1 << 50) };
    let task = TaskRef { key, tgid: Tgid(5) };
    let usage = TaskUsage { exec_runtime_ns: u64::MAX, nvcsw: 1, ..TaskUsage::default() };
    let figures = TaskFigures {
        task,
        at: Ktime(9),
        name: Some(Comm(*b"kworker/0:1\0\0\0\0\0")),
        doing: Doing::Killable,
        flags: 64,
        policy: Some(0),
        prio: Some(-1),
        nice: Some(-20),
        rt_priority: None,
        cpu: Some(3),
        usage: Some(usage),
    };
    let place = Place::of("/").joined(&Place::of(&format!("/docker/{}", "a".repeat(64))));
    let config = Config { reports_lives: true, exec_args: true, ..Config::default() };
    let counters = Counters { produced: 9, dropped: 1, received: 8, ..Counters::default() };
    let arguments = Arguments { args: vec![b"a".to_vec(), Vec::new(), vec![0xff; 300]], truncated: true };
    let entries = [
        Entry::Header(Box::new(header())),
        Entry::SnapshotBegun(Ktime(1)),
        Entry::SnapshotEnded(Ktime(2)),
        Entry::SnapshotAbandoned,
        Entry::ShownUnchanged(key),
        Entry::Tick { now: Ktime(3), flagged: None },
        Entry::Tick { now: Ktime(3), flagged: Some(0) },
        Entry::SignalsDoubted(Ktime(4)),
        Entry::ZombiesDoubted(Ktime(5)),
        Entry::ZombieConfirmed(GroupKey { tgid: Tgid(7), start: None }),
        Entry::UnconfirmedEnded(group, Ktime(6)),
        Entry::ReapedEnded(group, Ktime(7)),
        Entry::Executable(group, b"/bin/\xff".to_vec()),
        Entry::Arguments(group, arguments),
        Entry::Hidden(vec![Tgid(1), Tgid(2)]),
        Entry::Hidden(Vec::new()),
        Entry::Asleep(Ktime(8), vec![figures]),
        Entry::Overdue(Ktime(8), key, vec!["io_schedule+0x4/0x10".into()]),
        Entry::Config(Box::new(config)),
        Entry::Delivered(vec![Own { tid: Tid(3), at: Ktime(4) }]),
        Entry::Session(group, Some(SessionFacts { session: Tgid(5), ignores_hangup: true })),
        Entry::Session(group, None),
        Entry::LeaksPolled(Ktime(10)),
        Entry::Delivered(Vec::new()),
        Entry::Wall(-1),
        Entry::Cgroup(1 << 63 | 5, place),
        Entry::Lost("ring".into(), 7),
        Entry::Counters(Box::new(counters)),
        Entry::End(End::Full, Ktime(9)),
    ];
    let mut content = Vec::new();
    let mut encoder = Encoder::default();
    for entry in &entries {
        encoder.entry(entry, &mut content);
    }
    assert_eq!(format!("{:#?}", read(&content)), format!("{:#?}", entries.to_vec()));
}

fn header() -> Header {
    Header {
        format: FORMAT,
        made_by: "0.1.0".into(),
        boot_id: "1de03fcb-0000-0000-0000-000000000000".into(),
        release: "6.18.0".into(),
        machine: "x86_64".into(),
        begun: Ktime(1 << 40),
        wall_offset_ns: 1_764_000_000_000_000_000,
        config: Config::default(),
        hooks: vec![Hook { name: "a".into(), rung: None, lacks: Some("b".into()) }],
        watch: Watch { since: Some(Ktime(1)), signals: 7, oom: true, lost_until: Ktime(0) },
        watches_scopes: true,
        command: vec![b"make".to_vec(), b"-j8".to_vec()],
        redacted: false,
    }
}

/// A recording on the disk that is removed with it.
struct TestFile(PathBuf);

impl TestFile {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("taskscope-recording-{}-{name}", std::process::id()));
        let _ = fs::remove_file(&path);
        Self(path)
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Creates a recording whose frames have a mark each, and returns its bytes.
fn recorded(name: &str, frames: u64) -> Vec<u8> {
    let file = TestFile::new(name);
    let journal = Journal::create(&file.0, 1 << 30, None).unwrap();
    journal.begin(header());
    for mark in 0..frames {
        journal.note(Entry::Lost("mark".into(), mark));
        // A second later the frame is written.
        journal.pass_time(Ktime((1 + mark) * 1_000_000_000));
    }
    journal.finish(Ktime(1 << 41)).unwrap();
    fs::read(&file.0).unwrap()
}

/// Returns the marks that can be read, and the errors.
fn marks(bytes: &[u8]) -> (Vec<u64>, Vec<RecordingError>) {
    let (mut marks, mut errors) = (Vec::new(), Vec::new());
    let mut reader = match Reader::new(Path::new("it.rec"), bytes) {
        Ok(reader) => reader,
        Err(error) => return (marks, vec![error]),
    };
    loop {
        match reader.next_frame() {
            Ok(Some(frame)) => {
                for entry in Entries::of(&frame.content) {
                    match entry {
                        Ok(Entry::Lost(_, mark)) => marks.push(mark),
                        Ok(_) => {}
                        Err(error) => errors.push(reader.malformed(&frame, error)),
                    }
                }
            }
            Ok(None) => return (marks, errors),
            Err(error) => {
                let is_fatal = error.is_fatal();
                errors.push(error);
                if is_fatal {
                    return (marks, errors);
                }
            }
        }
    }
}

#[test]
fn a_file_that_is_cut_anywhere_keeps_what_is_whole() {
    let bytes = recorded("cut", 4);
    let (all, errors) = marks(&bytes);
    assert_eq!((all, errors.len()), (vec![0, 1, 2, 3], 0));
    let mut last = 0;
    for length in 0..bytes.len() {
        let (kept, errors) = marks(&bytes[..length]);
        assert!(kept.iter().copied().eq(0..kept.len() as u64), "{length}: {kept:?}");
        assert!(kept.len() >= last, "{length}");
        last = kept.len();
        assert!(errors.len() <= 1, "{length}: {errors:?}");
        for error in errors {
            let text = error.to_string();
            assert!(text.starts_with("it.rec: "), "{text}");
            assert!(length == 0 || text.contains("offset"), "{text}");
        }
    }
    assert_eq!(last, 4);
}

#[test]
fn a_flipped_bit_costs_its_own_frame_and_no_other() {
    let bytes = recorded("flipped", 4);
    let header = Reader::new(Path::new("it.rec"), &*bytes).unwrap().next_frame().unwrap().unwrap().offset;
    for at in 0..bytes.len() * 8 {
        let mut wrong = bytes.clone();
        wrong[at / 8] ^= 1 << (at % 8);
        let (kept, errors) = marks(&wrong);
        if (at / 8) as u64 >= header {
            assert!(kept.len() >= 3, "bit {at}: {kept:?}, {errors:?}");
            assert!(kept.is_sorted(), "bit {at}: {kept:?}");
        }
        assert!(kept.len() == 4 || errors.len() == 1, "bit {at}: {kept:?}, {errors:?}");
    }
}

#[test]
fn parts_of_two_recordings_in_a_row_are_read_one_after_the_other() {
    let bytes = recorded("two", 2);
    let mut garbage = bytes.clone();
    garbage.extend([0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3]);
    garbage.extend(vec![0; 700_000]);
    garbage.extend(&bytes);
    let (kept, errors) = marks(&garbage);
    assert_eq!(kept, [0, 1, 0, 1]);
    let [RecordingError::Damaged { offset, bytes: damaged, .. }] = &*errors else { panic!("{errors:?}") };
    assert_eq!((*offset, *damaged), (bytes.len() as u64, 700_007));
}

#[test]
fn foreign_empty_and_newer_files_are_refused_by_name() {
    let file = |bytes: &[u8]| marks(bytes).1.remove(0);
    assert!(matches!(file(b""), RecordingError::Empty { .. }));
    let text = zstd::bulk::compress(b"{\"a\":1}\n", 1).unwrap();
    for foreign in [&b"#!/bin/sh\n"[..], &[0; 5000], &text] {
        let error = file(foreign);
        assert!(matches!(error, RecordingError::Foreign { .. }), "{error}");
    }
    let mut content = Vec::new();
    Encoder::default()
        .entry(&Entry::Header(Box::new(Header { format: FORMAT + 1, ..header() })), &mut content);
    let error = file(&zstd::bulk::compress(&content, 1).unwrap());
    assert!(matches!(error, RecordingError::Newer { format, .. } if format == FORMAT + 1), "{error}");
}

#[test]
fn a_file_does_not_grow_beyond_its_size_and_has_an_end() {
    let file = TestFile::new("size");
    let journal = Journal::create(&file.0, 3000, None).unwrap();
    journal.begin(header());
    let mut numbers = Numbers(7);
    for second in 0..100 {
        let name = format!("{:?}", [(); 10].map(|()| numbers.next()));
        journal.note(Entry::Lost(name, second));
        journal.pass_time(Ktime((1 + second) * 1_000_000_000));
    }
    let recorded = journal.finish(Ktime(1 << 41)).unwrap();
    let bytes = fs::read(&file.0).unwrap();
    assert_eq!((recorded.end, recorded.bytes), (End::Full, bytes.len() as u64));
    assert!((1000..=3000).contains(&bytes.len()), "{}", bytes.len());
    let (kept, errors) = marks(&bytes);
    assert!(kept.len() > 3 && kept.is_sorted() && errors.is_empty(), "{kept:?} {errors:?}");
}

#[test]
fn a_file_with_content_is_not_overwritten() {
    let file = TestFile::new("overwritten");
    fs::write(&file.0, "mine").unwrap();
    let refused = Journal::create(&file.0, 1 << 20, None).map(drop).unwrap_err();
    assert!(matches!(refused, RecordingError::Exists { .. }), "{refused}");
    assert_eq!(fs::read(&file.0).unwrap(), b"mine");
}

#[test]
fn a_device_that_is_full_is_an_error_with_the_offset() {
    let journal = Journal::create(Path::new("/dev/full"), 1 << 20, None).unwrap();
    journal.begin(header());
    journal.note(Entry::Lost("ring".into(), 1));
    let error = journal.finish(Ktime(1)).unwrap_err();
    assert!(error.to_string().starts_with("/dev/full: writing the recording at offset 0: "), "{error}");
}

#[test]
fn a_redacted_recording_has_no_name() {
    let mut numbers = Numbers(99);
    let redaction = Redaction::with_random_key().unwrap();
    let name = Comm(*b"secret-name\0\0\0\0\0");
    for kind in [Kind::TaskNew, Kind::Exec, Kind::Renamed, Kind::Snapshot, Kind::SignalSent, Kind::ExecArgs] {
        for _ in 0..2000 {
            let Some(mut record) = record(kind, &mut numbers) else { continue };
            match &mut record.fact {
                Fact::New(new) => new.comm = Some(name),
                Fact::Exec(exec) => {
                    exec.comm = Some(name);
                    exec.path = Some(b"/home/secret-name/secret-name".to_vec());
                    exec.executable = Some(b".../secret-name (deleted)".to_vec());
                }
                Fact::Renamed(renamed) => (renamed.old, renamed.new) = (name, name),
                Fact::Snapshot(seen) => seen.comm = Some(name),
                Fact::Signal(sent) => sent.sender_comm = Some(name),
                Fact::ExecArgs(args) => args.args = vec![b"--password=secret-name".to_vec()],
                _ => {}
            }
            let mut content = Vec::new();
            Encoder::default().record(&redaction.record(&record), Ktime(1), &mut content);
            let holds = content.windows(11).any(|part| part == b"secret-name");
            assert!(!holds, "{record:?}");
        }
    }
}
