//! SHELL: effects as JSON and as text.
//!
//! - `json`, `sched`: one event as a line of JSON; `answer`, `death`, `usage` are parts of it and of answers
//! - `text`: one event as a line for people
//! - `event_schema`: the JSON Schema of such a line
//! - `schema`: the same lines by the Elastic Common Schema and by OpenTelemetry's semantic conventions
//! - `filter`: which events a reader gets
//! - `encode`: numbers and escaped strings; `width`: columns of a text on a terminal
//! - `stamp`, `time`, `zone`: wall-clock times; `host`: the host that lines name

pub mod json;
pub mod schema;
pub mod text;

mod answer;
mod death;
mod encode;
mod event_schema;
mod filter;
mod host;
mod leak;
mod sched;
mod scope;
mod stamp;
mod time;
mod usage;
mod width;
mod zone;

pub(crate) use self::encode::is_unsafe;
pub use self::{
    answer::answer,
    event_schema::event_schema,
    filter::{EventSelection, Filter, UnknownAction, descendants, matches},
    host::{Host, SharedHost},
    sched::{SCHED_ACTIONS, action as sched_action, write_sched},
    stamp::Stamp,
    time::local,
    width::{columns, fitting},
    zone::Zone,
};

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    /// A comm of any bytes but NUL. Most of them have a special meaning in some text format.
    pub(crate) fn hostile_name() -> impl Strategy<Value = Vec<u8>> {
        let pieces = [
            &b"\\"[..],
            b"\\xff",
            b"\xff",
            b"\"",
            b"\n",
            b"\x1b",
            b"\x7f",
            b"\xc2\x85",
            b"\xd8\x9c",
            b"\xe2\x80\xa8",
            b"\xe2\x80\xae",
            b"\xe2\x81\xa6",
            b"\xef\xbf\xbd",
            b"\xe2",
            b"x",
            b"u",
            b"00",
            b"other",
            b"unknown",
            b"%",
        ];
        let piece = prop_oneof![
            prop::sample::select(pieces.to_vec()).prop_map(<[u8]>::to_vec),
            prop::collection::vec(1..=u8::MAX, 1..4),
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| {
            let mut name = pieces.concat();
            name.truncate(15);
            name
        })
    }

    /// Names whose labels, lines and JSON must differ.
    #[test]
    fn a_byte_its_escape_and_its_replacement_are_three_names_everywhere() {
        let names = [&b"\xff"[..], br"\xff", "\u{fffd}".as_bytes(), b"\xfe"];
        let text = names.map(|name| {
            let mut out = Vec::new();
            super::text::escaped(&mut out, name);
            out
        });
        for (n, one) in text.iter().enumerate() {
            assert!(!text[n + 1..].contains(one), "{}", String::from_utf8_lossy(one));
        }
    }

    proptest! {
        #[test]
        fn no_two_names_are_one_text(one in hostile_name(), other in hostile_name()) {
            let text = |name: &[u8]| {
                let mut out = Vec::new();
                super::text::escaped(&mut out, name);
                out
            };
            prop_assert_eq!(text(&one) == text(&other), one == other);
        }
    }
}
