//! The life of a cgroup as events have it: `task.scope`.

use super::Stamp;
use super::encode::Object;
use super::json::write_entity;
use crate::lineage::scope::{Scope, ScopeMember};

/// Writes what is known of a scope.
pub(super) fn write(task: &mut Object<'_>, scope: &Scope, stamp: &Stamp) {
    task.object("scope", |object| {
        if let Some(name) = &scope.name {
            object.bytes("name", name.as_bytes());
        }
        if let Some((at, by)) = scope.made {
            object.number("made_boottime_ns", at.0);
            write_member(object, "made_by", by, stamp);
        }
        if let Some(at) = scope.began {
            object.number("began_boottime_ns", at.0);
            object.number("starts", scope.starts);
        }
        if let Some(ns) = scope.empty_ns {
            object.number("empty_ns", ns);
        }
        write_member(object, "first", scope.first, stamp);
        if let Some(at) = scope.ended {
            object.number("ended_boottime_ns", at.0);
        }
        if let Some(ns) = scope.duration_ns() {
            object.number("duration_ns", ns);
        }
        if let Some(end) = scope.end {
            object.name("end", end.name());
            write_member(object, "last", scope.last, stamp);
        }
        if let Some(death) = &scope.first_death {
            object.object("first_death", |object| {
                object.number("pid", death.key.tgid.0);
                write_entity(object, "entity_id", death.key, stamp);
                if let Some(name) = death.name {
                    object.bytes("name", name.bytes());
                }
                object.name("cause", death.cause.code());
                object.number("boottime_ns", death.at.0);
            });
        }
    });
}

fn write_member(object: &mut Object<'_>, key: &str, member: Option<ScopeMember>, stamp: &Stamp) {
    let Some(member) = member else { return };
    object.object(key, |object| {
        object.number("pid", member.key.tgid.0);
        write_entity(object, "entity_id", member.key, stamp);
        if let Some(name) = member.name {
            object.bytes("name", name.bytes());
        }
    });
}
