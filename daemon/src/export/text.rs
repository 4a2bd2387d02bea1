//! Writes one event as an aligned line for people. Bytes that another process chose are escaped, because a terminal acts on
//! control characters.
//!
//! - `facts`: what the event is about; `sched`: steps of the scheduler

mod facts;
mod sched;

use self::facts::facts;
pub use self::sched::write_sched;
use super::{
    Stamp,
    encode::{hex, is_unsafe, number},
    time::time_of_day,
    width::columns,
};
use crate::lineage::effect::{Action, Effect};

/// An event that is out of order by this much is marked, ns. Smaller differences between CPUs are common.
const LATE_NS: u64 = 1_000_000;

/// Columns, each as wide as what is usually in it.
const ACTION: usize = 14;
const PID: usize = 8;
const NAME: usize = 16;

/// Appends an event to `line`: time of day with its zone, action, pid, tid, name, facts. `colour` highlights what needs
/// attention.
pub fn write(effect: &Effect, stamp: &Stamp, colour: bool, line: &mut Vec<u8>) {
    time_of_day(line, stamp.wall_ns(effect.at), stamp.zone());
    line.push(b' ');
    let code = if colour { colour_of(&effect.action) } else { "" };
    line.extend_from_slice(code.as_bytes());
    column(line, ACTION, |out| out.extend_from_slice(effect.action.name().as_bytes()));
    if !code.is_empty() {
        line.extend_from_slice(b"\x1b[0m");
    }
    column(line, PID, |out| number(out, u64::from(effect.process.key.tgid.0)));
    column(line, PID, |out| number(out, u64::from(effect.thread.key.tid.0)));
    column(line, NAME, |out| {
        if let Some(name) = effect.thread.name.or(effect.process.name) {
            escaped(out, name.bytes());
        }
    });
    facts(line, effect);
    if effect.late_ns >= LATE_NS {
        line.extend_from_slice(b" late=");
        number(line, effect.late_ns / 1_000_000);
        line.extend_from_slice(b"ms");
    }
    while line.last() == Some(&b' ') {
        line.pop();
    }
    line.push(b'\n');
}

/// Returns the escape sequence for an action's colour (ECMA-48, 8.3.117).
const fn colour_of(action: &Action) -> &'static str {
    match action {
        Action::Forked { .. } => "\x1b[32m",
        Action::Execed { .. } | Action::ExecTakeover { .. } | Action::ScopeBegan(_) => "\x1b[36m",
        Action::Reparented { .. } => "\x1b[35m",
        Action::ZombieBegan { .. } | Action::LeaderDied { .. } => "\x1b[33m",
        Action::ZombieFlagged { .. }
        | Action::BlockedFlagged(_)
        | Action::LeakFlagged(_)
        | Action::ExitStuck { .. }
        | Action::CloneFailed { .. } => "\x1b[1;31m",
        Action::Renamed { .. } | Action::Exiting { .. } | Action::Released { .. } => "\x1b[2m",
        Action::ScopeEnded(_)
        | Action::BlockedCleared { .. }
        | Action::LeakCleared(_)
        | Action::Exited { .. }
        | Action::GroupExited { .. }
        | Action::Reaped { .. }
        | Action::Autoreaped => "",
    }
}

/// Appends a line that says that events are missing here: how many, if that is known, and where.
pub fn write_gap(place: &str, lost: Option<u64>, line: &mut Vec<u8>) {
    line.extend_from_slice(b"--------------- gap: ");
    match lost {
        Some(lost) => number(line, lost),
        None => line.extend_from_slice(b"events"),
    }
    line.extend_from_slice(b" lost: ");
    line.extend_from_slice(place.as_bytes());
    line.push(b'\n');
}

/// Pads what `write` appends to a width in columns, and adds one blank.
fn column(out: &mut Vec<u8>, width: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let from = out.len();
    write(out);
    let columns = columns(&String::from_utf8_lossy(out.get(from..).unwrap_or_default()));
    out.extend(std::iter::repeat_n(b' ', width.saturating_sub(columns) + 1));
}

/// Appends bytes so that no terminal acts on them: control characters, also those above ASCII, and bytes that are not UTF-8
/// become `\xNN`.
pub(super) fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let mut utf8 = [0; 4];
            let encoded = c.encode_utf8(&mut utf8).as_bytes();
            if c == '\\' || is_unsafe(c) {
                encoded.iter().copied().for_each(|b| hexed(out, b));
            } else {
                out.extend_from_slice(encoded);
            }
        }
        chunk.invalid().iter().copied().for_each(|b| hexed(out, b));
    }
}

fn hexed(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(b"\\x");
    hex(out, byte);
}
