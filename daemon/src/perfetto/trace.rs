//! The messages of a trace: `protos/perfetto/trace/perfetto_trace.proto` of Perfetto.

#[cfg(test)]
pub(super) mod decoded;

use std::io::{self, Write};

use crate::recording::wire::{bytes, nested, number};

/// The only sequence of packets; no other process writes to the trace.
const SEQUENCE: u64 = 1;

/// `TracePacket.SEQ_INCREMENTAL_STATE_CLEARED`.
const STATE_CLEARED: u64 = 1;

/// `BuiltinClock` of `ClockSnapshot`.
const REALTIME: u64 = 1;
const BOOTTIME: u64 = 6;

/// Field numbers of `Trace` and `TracePacket`.
mod packet {
    pub(super) const PACKET: u32 = 1;
    pub(super) const PROCESS_TREE: u32 = 2;
    pub(super) const CLOCK_SNAPSHOT: u32 = 6;
    pub(super) const TIMESTAMP: u32 = 8;
    pub(super) const SEQUENCE_ID: u32 = 10;
    pub(super) const TRACK_EVENT: u32 = 11;
    pub(super) const SEQUENCE_FLAGS: u32 = 13;
    pub(super) const TRACK_DESCRIPTOR: u32 = 60;
}

/// `TrackEvent.Type`.
#[derive(Clone, Copy)]
enum Type {
    Begin = 1,
    End = 2,
    Instant = 3,
}

/// An annotation of an event: its name and value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Number(u64),
    Signed(i64),
    Text(&'a str),
    True,
}

/// Annotations of an event.
pub(super) type Notes<'a> = Vec<(&'static str, Value<'a>)>;

/// An end of a flow, which Perfetto draws as an arrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    From(u64),
    To(u64),
}

/// A process, as its track shows it.
pub(super) struct ProcessInfo<'a> {
    pub(super) track: u64,
    pub(super) pid: u32,
    pub(super) parent: Option<u32>,
    pub(super) name: &'a str,
    pub(super) executable: Option<&'a str>,
    pub(super) start: Option<u64>,
    pub(super) uid: Option<u32>,
}

/// A thread, as its track shows it.
pub(super) struct ThreadInfo<'a> {
    pub(super) track: u64,
    pub(super) pid: u32,
    pub(super) tid: u32,
    pub(super) name: &'a str,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Processes.
    pub processes: u64,
    /// Events: beginnings and ends of slices, and instants.
    pub events: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A trace that is being written. After an error it writes nothing more; `finish` returns the error.
pub(super) struct Trace<W: Write> {
    out: W,
    /// Packets that are not written to `out` yet.
    buffer: Vec<u8>,
    has_begun: bool,
    flows: u64,
    written: Written,
    error: Option<io::Error>,
}

/// Bytes that are collected before they are written.
const BUFFER: usize = 64 << 10;

/// Returns the id of the track of a process or a thread, from its pid or tid and its start time. `of` keeps processes, threads and
/// boots apart.
pub(super) const fn track_id(of: u64, number: u32, start: u64) -> u64 {
    let id = mix(mix(mix(of) ^ number as u64) ^ start);
    // 0 is Perfetto's track without a process.
    if id == 0 { 1 } else { id }
}

/// Mixes the bits of a number (the finalizer of splitmix64, which maps no two numbers to one).
const fn mix(number: u64) -> u64 {
    let n = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

impl<W: Write> Trace<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            buffer: Vec::with_capacity(BUFFER + 4096),
            has_begun: false,
            flows: 0,
            written: Written::default(),
            error: None,
        }
    }

    /// Whether writing has failed.
    pub(super) const fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// Writes what is left. Returns what was written in all.
    pub(super) fn finish(mut self) -> io::Result<Written> {
        self.flush();
        if let Some(error) = self.error {
            return Err(error);
        }
        self.out.flush()?;
        Ok(self.written)
    }

    fn flush(&mut self) {
        if self.error.is_none() {
            match self.out.write_all(&self.buffer) {
                Ok(()) => self.written.bytes += self.buffer.len() as u64,
                Err(error) => self.error = Some(error),
            }
        }
        self.buffer.clear();
    }

    fn packet(&mut self, at: Option<u64>, write: impl FnOnce(&mut Vec<u8>)) {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        nested(packet::PACKET, &mut self.buffer, |out| {
            if let Some(at) = at {
                number(packet::TIMESTAMP, at, out);
            }
            number(packet::SEQUENCE_ID, SEQUENCE, out);
            if is_first {
                number(packet::SEQUENCE_FLAGS, STATE_CLEARED, out);
            }
            write(out);
        });
        if self.buffer.len() >= BUFFER {
            self.flush();
        }
    }

    /// Writes the wall-clock time of a time of the trace.
    pub(super) fn clocks(&mut self, boot_ns: u64, wall_ns: i128) {
        let wall = u64::try_from(wall_ns).unwrap_or_default();
        self.packet(Some(boot_ns), |out| {
            nested(packet::CLOCK_SNAPSHOT, out, |out| {
                for (clock, time) in [(BOOTTIME, boot_ns), (REALTIME, wall)] {
                    nested(1, out, |out| {
                        number(1, clock, out);
                        number(2, time, out);
                    });
                }
                number(2, BOOTTIME, out);
            });
        });
    }

    /// Introduces a process, or updates its facts. `is_new`: it has not been introduced before.
    pub(super) fn process(&mut self, info: &ProcessInfo<'_>, at: u64, is_new: bool) {
        let ProcessInfo { track, pid, parent, name, executable, start, uid } = *info;
        self.written.processes += u64::from(is_new);
        let command = executable.unwrap_or(name);
        if is_new && parent.is_some() {
            self.packet(Some(at), |out| {
                nested(packet::PROCESS_TREE, out, |out| {
                    nested(1, out, |out| {
                        number(1, u64::from(pid), out);
                        number(2, u64::from(parent.unwrap_or_default()), out);
                        bytes(3, command.as_bytes(), out);
                        if let Some(uid) = uid {
                            number(5, u64::from(uid), out);
                        }
                        if let Some(start) = start {
                            number(7, start, out);
                        }
                        if executable.is_none() {
                            number(9, 1, out);
                        }
                    });
                });
            });
        }
        self.packet(Some(at), |out| {
            nested(packet::TRACK_DESCRIPTOR, out, |out| {
                number(1, track, out);
                bytes(2, b"process", out);
                nested(3, out, |out| {
                    number(1, u64::from(pid), out);
                    bytes(2, command.as_bytes(), out);
                    bytes(6, name.as_bytes(), out);
                    if let Some(start) = start {
                        number(7, start, out);
                    }
                });
            });
        });
    }

    /// Introduces a thread, or updates its name.
    pub(super) fn thread(&mut self, info: &ThreadInfo<'_>, process: u64, at: u64) {
        self.packet(Some(at), |out| {
            nested(packet::TRACK_DESCRIPTOR, out, |out| {
                number(1, info.track, out);
                nested(4, out, |out| {
                    number(1, u64::from(info.pid), out);
                    number(2, u64::from(info.tid), out);
                    bytes(5, info.name.as_bytes(), out);
                });
                number(5, process, out);
            });
        });
    }

    /// Returns the id of a new flow.
    pub(super) const fn new_flow(&mut self) -> u64 {
        self.flows += 1;
        self.flows
    }

    pub(super) fn begin(&mut self, track: u64, at: u64, name: &str, notes: &Notes<'_>) {
        self.event(Type::Begin, track, at, Some(name), None, notes);
    }

    pub(super) fn end(&mut self, track: u64, at: u64, notes: &Notes<'_>) {
        self.event(Type::End, track, at, None, None, notes);
    }

    pub(super) fn instant(&mut self, track: u64, at: u64, name: &str, flow: Option<Flow>, notes: &Notes<'_>) {
        self.event(Type::Instant, track, at, Some(name), flow, notes);
    }

    fn event(
        &mut self,
        kind: Type,
        track: u64,
        at: u64,
        name: Option<&str>,
        flow: Option<Flow>,
        notes: &Notes<'_>,
    ) {
        self.written.events += 1;
        self.packet(Some(at), |out| {
            nested(packet::TRACK_EVENT, out, |out| {
                for (name, value) in notes {
                    nested(4, out, |out| note(name, *value, out));
                }
                number(9, kind as u64, out);
                number(11, track, out);
                if let Some(name) = name {
                    bytes(23, name.as_bytes(), out);
                }
                match flow {
                    Some(Flow::From(id)) => fixed64(47, id, out),
                    Some(Flow::To(id)) => fixed64(48, id, out),
                    None => {}
                }
            });
        });
    }
}

/// Writes a `DebugAnnotation`.
fn note(name: &str, value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::True => number(2, 1, out),
        Value::Number(value) => number(3, value, out),
        // int64: two's complement, not zigzag.
        Value::Signed(value) => number(4, value.cast_unsigned(), out),
        Value::Text(text) => bytes(6, text.as_bytes(), out),
    }
    bytes(10, name.as_bytes(), out);
}

/// Writes a field of the type fixed64.
fn fixed64(field: u32, value: u64, out: &mut Vec<u8>) {
    crate::recording::wire::varint(out, u64::from(field) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails after some bytes.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_the_error_at_the_end() {
        let mut trace = Trace::new(Full(100_000));
        for at in 0..10_000 {
            trace.instant(1, at, "exec", None, &Notes::new());
        }
        assert!(trace.has_failed());
        assert_eq!(trace.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn tracks_differ_by_number_and_by_start() {
        let mut ids: Vec<u64> =
            (0..100).flat_map(|pid| (0..100).map(move |start| track_id(1, pid, start))).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 10_000);
    }
}
