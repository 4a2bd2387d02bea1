//! The life of a cgroup as events have it: `task.scope`.

use super::Stamp;
use super::encode::{Key, Object, key};
use super::stamp::write_entity;
use crate::lineage::scope::{Scope, ScopeMember};

/// Writes what is known of a scope.
pub(super) fn write(task: &mut Object<'_>, scope: &Scope, stamp: &Stamp) {
    task.object(key!("scope"), |object| {
        if let Some(name) = &scope.name {
            object.bytes(key!("name"), name.as_bytes());
        }
        if let Some((at, by)) = scope.made {
            object.number(key!("made_boottime_ns"), at.0);
            write_member(object, key!("made_by"), by, stamp);
        }
        if let Some(at) = scope.began {
            object.number(key!("began_boottime_ns"), at.0);
            object.number(key!("starts"), scope.starts);
        }
        if let Some(ns) = scope.empty_ns {
            object.number(key!("empty_ns"), ns);
        }
        write_member(object, key!("first"), scope.first, stamp);
        if let Some(at) = scope.ended {
            object.number(key!("ended_boottime_ns"), at.0);
        }
        if let Some(ns) = scope.duration_ns() {
            object.number(key!("duration_ns"), ns);
        }
        if let Some(end) = scope.end {
            object.name(key!("end"), end.name());
            write_member(object, key!("last"), scope.last, stamp);
        }
        if let Some(death) = &scope.first_death {
            object.object(key!("first_death"), |object| {
                object.number(key!("pid"), death.key.tgid.0);
                write_entity(object, key!("entity_id"), death.key, stamp);
                if let Some(name) = death.name {
                    object.bytes(key!("name"), name.bytes());
                }
                object.name(key!("cause"), death.cause.code());
                object.number(key!("boottime_ns"), death.at.0);
            });
        }
    });
}

fn write_member(object: &mut Object<'_>, key: Key, member: Option<ScopeMember>, stamp: &Stamp) {
    let Some(member) = member else { return };
    object.object(key, |object| {
        object.number(key!("pid"), member.key.tgid.0);
        write_entity(object, key!("entity_id"), member.key, stamp);
        if let Some(name) = member.name {
            object.bytes(key!("name"), name.bytes());
        }
    });
}
