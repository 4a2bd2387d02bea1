//! The keys of a line in the index of its frame, by which queries select frames.

use super::index::{Field, IndexMaker, key, pid_key};
use crate::{
    cgroup::Place,
    export::Stamp,
    lineage::{
        Life,
        death::Cause,
        effect::{Action, Effect},
    },
};

/// Adds the keys of a life.
pub(super) fn of_life(life: &Life, stamp: &Stamp, place: Option<&Place>, index: &mut IndexMaker) {
    let start_ms = life.key.start.and_then(|start| i64::try_from(stamp.wall_ns(start) / 1_000_000).ok());
    index.add_start(start_ms.unwrap_or(i64::MIN));
    index.add(pid_key(life.key.tgid.0));
    if let Some(name) = &life.name {
        index.add(key(Field::Comm, name.bytes()));
    }
    of_place(place, index);
    let known = if life.status.is_some() { Cause::Exited } else { Cause::Unknown };
    let cause = life.death.as_ref().map_or(known, |death| death.cause);
    index.add(key(Field::Cause, cause.code().as_bytes()));
    if cause != Cause::Exited || life.status.is_none_or(|status| status.code() != Some(0)) {
        index.add(key(Field::Failed, &[]));
    }
}

/// Adds the keys of an event.
pub(super) fn of_event(effect: &Effect, place: Option<&Place>, index: &mut IndexMaker) {
    index.add(pid_key(effect.process.key.tgid.0));
    index.add(key(Field::Action, effect.action.name().as_bytes()));
    if let Some(name) = effect.process.name.or(effect.thread.name) {
        index.add(key(Field::Comm, name.bytes()));
    }
    if let Action::GroupExited { death: Some(death), .. } = &effect.action {
        index.add(key(Field::Cause, death.cause.code().as_bytes()));
    }
    of_place(place, index);
}

fn of_place(place: Option<&Place>, index: &mut IndexMaker) {
    if let Some(unit) = place.and_then(|place| place.unit.as_ref()) {
        index.add(key(Field::Unit, unit.as_bytes()));
    }
}
