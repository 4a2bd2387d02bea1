//! The reader against files that are torn, damaged, foreign, and that change while they are read.

use std::{
    fs::{self, File},
    io::Write as _,
    ops::ControlFlow,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use proptest::prelude::*;

use super::{LifeSearch, ReadDirectory, ReadError, Times, known, lines_of};
use crate::{
    answer::{known::Damage, life::LifeFilter},
    history::{
        frame::FrameMaker,
        index::{Field, IndexMaker, key, pid_key},
    },
};

/// A directory that is removed at the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("taskscope-read-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.join(name), bytes).unwrap();
    }

    fn open(&self) -> Arc<ReadDirectory> {
        Arc::new(ReadDirectory::open(&self.0).unwrap())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const FIRST: &str = "20261129T023917.123Z";
const LAST: &str = "20261129T033917.456Z";

/// A life as the writer writes it, as short as it can be.
fn line(pid: u32, minute: u32) -> String {
    format!(
        "{{\"@timestamp\":\"2026-11-29T02:{minute:02}:00.000Z\",\"life_version\":1,\"process\":{{\"pid\":{pid},\"name\":\"p{}\"}},\
         \"boottime_ns\":1,\"execs\":0,\"death\":{{\"cause\":\"exited\",\"certainty\":\"certain\"}},\"provenance\":\"observed\"}}\n",
        pid % 7
    )
}

/// A frame with its index.
fn frame(lines: &[String], pids: &[u32]) -> (Vec<u8>, usize) {
    let mut index = IndexMaker::default();
    for &pid in pids {
        index.add(pid_key(pid));
        index.add(key(Field::Comm, format!("p{}", pid % 7).as_bytes()));
    }
    let mut bytes = FrameMaker::new().unwrap().frame(lines.concat().as_bytes()).unwrap();
    let data = bytes.len();
    bytes.extend(index.frame(lines.len() as u64, FIRST, LAST));
    (bytes, data)
}

fn read(bytes: &[u8], is_open: bool) -> (Vec<String>, Damage) {
    let directory = Temporary::new();
    directory.put("x", bytes);
    let mut lines = Vec::new();
    let file = File::open(directory.0.join("x")).unwrap();
    let damage =
        lines_of(file, is_open, &mut |line| lines.push(String::from_utf8(line.to_vec()).unwrap())).unwrap();
    (lines, damage)
}

/// Three frames of some lives each: the bytes, where each begins, the lengths of their data, and the lines.
fn three() -> (Vec<u8>, Vec<usize>, Vec<usize>, Vec<Vec<String>>) {
    let (mut bytes, mut starts, mut data, mut lines) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for n in 0..3 {
        let pids: Vec<u32> = (n * 10..=n * 10 + n).collect();
        let texts: Vec<String> = pids.iter().map(|&pid| line(pid, n)).collect();
        let (one, length) = frame(&texts, &pids);
        starts.push(bytes.len());
        data.push(length);
        bytes.extend(one);
        lines.push(texts);
    }
    (bytes, starts, data, lines)
}

#[test]
fn whole_frames_are_read_and_a_torn_tail_is_reported_wherever_it_is_torn() {
    let (bytes, starts, data, lines) = three();
    assert_eq!(read(&bytes, false), (lines.concat(), Damage { frames_read: 3, ..Damage::default() }));
    for length in 0..=bytes.len() {
        let whole: Vec<_> = (0..3).filter(|&n| starts[n] + data[n] <= length).collect();
        let (found, damage) = read(&bytes[..length], true);
        assert_eq!(found, whole.iter().flat_map(|&n| lines[n].clone()).collect::<Vec<_>>(), "{length}");
        assert_eq!((damage.frames, damage.bytes), (0, 0), "{length}");
        let ends = [0].into_iter().chain(
            (0..3).flat_map(|n| [starts[n] + data[n], starts.get(n + 1).copied().unwrap_or(bytes.len())]),
        );
        let last = ends.filter(|&end| end <= length).max().unwrap();
        assert_eq!(damage.unfinished as usize, length - last, "{length}");
        // In a closed segment the same is damage.
        let (closed, damage) = read(&bytes[..length], false);
        assert_eq!(closed, found);
        assert_eq!((damage.bytes as usize, damage.unfinished), (length - last, 0), "{length}");
    }
}

#[test]
fn a_flipped_bit_costs_its_own_frame_and_no_other_and_is_counted() {
    let (bytes, starts, data, lines) = three();
    for bit in 0..bytes.len() * 8 {
        let at = bit / 8;
        let mut wrong = bytes.clone();
        wrong[at] ^= 1 << (bit % 8);
        let hurt = (0..3).rev().find(|&n| starts[n] <= at).unwrap();
        let is_in_index = at >= starts[hurt] + data[hurt];
        let (found, damage) = read(&wrong, false);
        for n in (0..3).filter(|&n| n != hurt || is_in_index) {
            assert!(lines[n].iter().all(|line| found.contains(line)), "bit {bit}: frame {n} is lost");
        }
        assert!(
            found.iter().all(|line| lines.concat().contains(line)),
            "bit {bit}: a line that was not written"
        );
        let is_lost = !is_in_index && lines[hurt].iter().any(|line| !found.contains(line));
        assert!(!is_lost || damage.frames > 0, "bit {bit}: {damage:?}");
    }
}

#[test]
fn a_frame_with_an_index_says_how_many_lines_are_lost_with_it() {
    let (mut bytes, starts, data, _) = three();
    // The last bytes of the data are its checksum.
    let at = starts[2] + data[2] - 1;
    bytes[at] ^= 1;
    let (found, damage) = read(&bytes, false);
    assert_eq!((found.len(), damage.frames, damage.lines, damage.bytes as usize), (3, 1, 3, data[2]));
}

#[test]
fn foreign_and_empty_and_zeroed_files_are_counted_and_no_error() {
    for bytes in
        [&b"x"[..], b"{\"a\":1}\n", &[0; 100], &vec![0xff; 300_000], b"\x28\xb5\x2f\xfd", b"\x54\x2a\x4d"]
    {
        let (found, damage) = read(bytes, false);
        assert_eq!((found.len(), damage.frames, damage.bytes as usize), (0, 1, bytes.len()));
    }
    assert_eq!(read(b"", false), (vec![], Damage::default()));
    // The content of a frame that claims more than this reader takes.
    let huge = b"\x28\xb5\x2f\xfd\xa0\xff\xff\xff\xff\x01\x00\x00";
    assert_eq!(read(huge, false).1.frames, 1);
    // Frames after many foreign bytes are found.
    let (bytes, _, _, lines) = three();
    let (found, damage) = read(&[&vec![7; 600_000][..], &bytes].concat(), false);
    assert_eq!((found, damage.bytes), (lines.concat(), 600_000));
}

fn search(directory: &Arc<ReadDirectory>, filter: LifeFilter) -> (Vec<u32>, Damage) {
    let mut search = LifeSearch::new(Arc::clone(directory), Times::ALL, filter);
    let mut pids = Vec::new();
    while !search
        .go_on(Duration::ZERO, &mut |_, life| {
            pids.push(life.process.pid);
            ControlFlow::Continue(())
        })
        .unwrap()
    {}
    (pids, search.finish())
}

#[test]
fn a_question_reads_only_frames_that_may_have_an_answer() {
    let directory = Temporary::new();
    let (bytes, ..) = three();
    directory.put(&format!("lives-{FIRST}-{LAST}.ndjson.zst"), &bytes);
    directory.put("lives-x.ndjson.zst", b"not a segment's name");
    directory.put("notes", b"nor this");
    let open = directory.open();
    let (pids, damage) = search(&open, LifeFilter { pids: vec![21], ..LifeFilter::default() });
    assert_eq!(pids, [21]);
    assert_eq!((damage.frames_read, damage.frames_passed), (1, 2));
    assert!(!damage.is_any());
    let (pids, _) = search(&open, LifeFilter { comms: vec!["p?".into()], ..LifeFilter::default() });
    assert_eq!(pids, [0, 10, 11, 20, 21, 22]);
    let (pids, _) = search(&open, LifeFilter { comms: vec!["p0".into()], ..LifeFilter::default() });
    assert_eq!(pids, [0, 21]);
    let (pids, _) = search(&open, LifeFilter { failed: true, ..LifeFilter::default() });
    assert!(pids.is_empty());
}

#[test]
fn a_segment_that_grows_and_is_closed_while_it_is_read_is_read_to_its_end_once() {
    let directory = Temporary::new();
    let (bytes, starts, ..) = three();
    let open_name = directory.0.join(format!("lives-{FIRST}.ndjson.zst"));
    // The second frame is half written.
    fs::write(&open_name, &bytes[..starts[1] + 20]).unwrap();
    let open = directory.open();
    let mut search = LifeSearch::new(Arc::clone(&open), Times::ALL, LifeFilter::default());
    let mut pids = Vec::new();
    let mut go_on = |search: &mut LifeSearch| {
        while !search
            .go_on(Duration::ZERO, &mut |_, life| {
                pids.push(life.process.pid);
                ControlFlow::Continue(())
            })
            .unwrap()
        {}
        pids.clone()
    };
    assert_eq!(go_on(&mut search), [0]);
    let mut file = fs::OpenOptions::new().append(true).open(&open_name).unwrap();
    file.write_all(&bytes[starts[1] + 20..]).unwrap();
    assert_eq!(go_on(&mut search), [0, 10, 11, 20, 21, 22]);
    fs::rename(&open_name, directory.0.join(format!("lives-{FIRST}-{LAST}.ndjson.zst"))).unwrap();
    let (more, _) = frame(&[line(99, 50)], &[99]);
    directory.put(&format!("lives-{LAST}.ndjson.zst"), &more);
    assert_eq!(go_on(&mut search), [0, 10, 11, 20, 21, 22, 99]);
    assert!(!search.finish().is_any());
}

#[test]
fn a_segment_that_is_removed_or_is_no_file_is_counted_and_the_others_are_read() {
    let directory = Temporary::new();
    let (bytes, ..) = three();
    directory.put(&format!("lives-{FIRST}-{LAST}.ndjson.zst"), &bytes);
    fs::create_dir(directory.0.join(format!("lives-{LAST}.ndjson.zst"))).unwrap();
    let open = directory.open();
    let (pids, damage) = search(&open, LifeFilter::default());
    assert_eq!((pids.len(), damage.unreadable), (6, 1));
    let known = known(&open, i64::MIN).unwrap();
    assert_eq!(known.known_since.as_deref(), Some("2026-11-29T02:39:17.123Z"));
    // Lines of a newer version are counted.
    let newer = line(5, 1).replace("\"life_version\":1", "\"life_version\":2");
    let (newer, _) = frame(&[newer, line(6, 1)], &[5, 6]);
    directory.put("lives-20261129T010000.000Z-20261129T010000.000Z.ndjson.zst", &newer);
    let (pids, damage) = search(&open, LifeFilter::default());
    assert_eq!((pids.len(), damage.unknown), (7, 1));
}

#[test]
fn a_directory_without_segments_or_none_at_all_is_an_error_by_name() {
    let directory = Temporary::new();
    assert!(matches!(ReadDirectory::open(&directory.0), Err(ReadError::Empty { .. })));
    let missing = directory.0.join("missing");
    let error = ReadDirectory::open(&missing).unwrap_err().to_string();
    assert!(error.contains(&missing.display().to_string()), "{error}");
}

proptest! {
    /// Whole frames between arbitrary bytes are found, whatever is between them.
    #[test]
    fn nothing_that_is_whole_is_lost(
        junk in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 4),
        counts in prop::collection::vec(1_u32..20, 3),
    ) {
        let mut bytes = junk[0].clone();
        let mut lines = Vec::new();
        for (n, &count) in counts.iter().enumerate() {
            let pids: Vec<u32> = (0..count).map(|pid| pid + 100 * n as u32).collect();
            let texts: Vec<String> = pids.iter().map(|&pid| line(pid, 1)).collect();
            bytes.extend(frame(&texts, &pids).0);
            bytes.extend(&junk[n + 1]);
            lines.extend(texts);
        }
        let (found, damage) = read(&bytes, false);
        prop_assert_eq!(found, lines);
        prop_assert_eq!(damage.bytes as usize, junk.iter().map(Vec::len).sum::<usize>());
    }
}
