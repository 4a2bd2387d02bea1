//! Bytes as a recording: a file with any bytes, or the entries of one frame. They are replayed into a lineage, and the effects are
//! written as JSON.

use std::path::Path;

use taskscope::{
    cgroup::Place,
    export::{Stamp, json},
    lineage::effect::Effect,
    recording::{Entries, Reader},
    runtime::{
        EventSink, LossPlace,
        replay::{Replay, ReplaySink},
    },
};

/// After each of this many entries the lineage is checked; after that, once at the end.
const CHECKED: usize = 100;

/// Writes every event, as a reader would get it.
struct Written {
    stamp: Stamp,
    out: Vec<u8>,
}

impl EventSink for Written {
    fn take(&mut self, effects: &mut Vec<Effect>) {
        for effect in &*effects {
            self.out.clear();
            json::write(effect, 1, &self.stamp, None, &mut self.out);
        }
    }

    fn lost(&mut self, _: LossPlace, _: u64) {}
}

impl ReplaySink for Written {
    fn set_wall(&mut self, offset_ns: i128) {
        self.stamp.set_wall_offset(offset_ns);
    }

    fn set_cgroup(&mut self, _: u64, _: &Place) {}

    fn gap(&mut self) {}
}

/// A recording with an ordinary header.
const HEADER: &[u8] = include_bytes!("../corpus/recording/header");

/// One input. The first byte says whether the rest is a file or the entries of a frame.
pub(crate) fn run(bytes: &[u8]) {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    let is_file = kind & 1 == 0;
    let of_file = if is_file { bytes } else { HEADER.split_first().map_or(HEADER, |(_, file)| file) };
    let mut reader = match Reader::new(Path::new("it"), of_file) {
        Ok(reader) => reader,
        Err(error) => return assert!(error.to_string().starts_with("it: "), "{error}"),
    };
    let mut replay = Replay::new(&reader.header, true);
    let mut sink = Written { stamp: Stamp::new("0bad", 0), out: Vec::new() };
    if is_file {
        frames(&mut reader, &mut replay, &mut sink);
    } else {
        entries(bytes, &mut replay, &mut sink);
    }
    replay.end(&mut sink);
    replay.lineage.check().unwrap_or_else(|error| panic!("at the end:\n{error}"));
}

fn frames(reader: &mut Reader<&[u8]>, replay: &mut Replay, sink: &mut Written) {
    loop {
        match reader.next_frame() {
            Ok(Some(frame)) => entries(&frame.content, replay, sink),
            Ok(None) => return,
            Err(error) if error.is_fatal() => panic!("memory cannot fail: {error}"),
            Err(error) => {
                assert!(error.to_string().contains("offset"), "{error}");
                replay.damaged(sink);
            }
        }
    }
}

fn entries(content: &[u8], replay: &mut Replay, sink: &mut Written) {
    for (number, entry) in Entries::of(content).enumerate() {
        let Ok(entry) = entry else { return replay.damaged(sink) };
        replay.step(&entry, sink);
        if number < CHECKED {
            replay.lineage.check().unwrap_or_else(|error| panic!("after {entry:?}:\n{error}"));
        }
    }
}
