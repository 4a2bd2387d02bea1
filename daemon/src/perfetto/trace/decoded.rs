//! Reads a trace back, for tests.

use super::packet;
use crate::recording::wire::{Fields, Value as Field};

/// An event, as a reader finds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::perfetto) struct DecodedEvent {
    pub(in crate::perfetto) kind: u64,
    pub(in crate::perfetto) at: u64,
    pub(in crate::perfetto) track: u64,
    pub(in crate::perfetto) name: String,
}

/// Returns the events of a trace.
pub(in crate::perfetto) fn decoded(bytes: &[u8]) -> Vec<DecodedEvent> {
    let mut events = Vec::new();
    for packet in Fields::of(bytes) {
        let (number, packet) = packet.unwrap();
        assert_eq!(number, packet::PACKET);
        let (mut event, mut is_event) = (DecodedEvent::default(), false);
        for field in Fields::of(packet.bytes().unwrap()) {
            match field.unwrap() {
                (packet::TIMESTAMP, value) => event.at = value.number().unwrap(),
                (packet::TRACK_EVENT, value) => {
                    is_event = true;
                    for field in Fields::of(value.bytes().unwrap()) {
                        match field.unwrap() {
                            (9, Field::Number(kind)) => event.kind = kind,
                            (11, Field::Number(track)) => event.track = track,
                            (23, Field::Bytes(name)) => event.name = String::from_utf8_lossy(name).into(),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        if is_event {
            events.push(event);
        }
    }
    events
}

/// Returns the tracks that are introduced, and those that they are below.
pub(in crate::perfetto) fn introduced(bytes: &[u8]) -> (Vec<u64>, Vec<u64>) {
    let (mut tracks, mut above) = (Vec::new(), Vec::new());
    for packet in Fields::of(bytes) {
        for field in Fields::of(packet.unwrap().1.bytes().unwrap()) {
            let (packet::TRACK_DESCRIPTOR, descriptor) = field.unwrap() else { continue };
            for field in Fields::of(descriptor.bytes().unwrap()) {
                match field.unwrap() {
                    (1, Field::Number(track)) => tracks.push(track),
                    (5, Field::Number(track)) => above.push(track),
                    _ => {}
                }
            }
        }
    }
    (tracks, above)
}
