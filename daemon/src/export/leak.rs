//! A leak as events have it: `task.leak`.

use super::Stamp;
use super::encode::{Object, key};
use super::stamp::write_entity;
use crate::lineage::death::{CERTAIN, LIKELY};
use crate::lineage::leak::{Leak, Leaking, Orphans, Respawn};

/// Writes what is known of a leak.
pub(super) fn write(task: &mut Object<'_>, leak: &Leak, stamp: &Stamp) {
    task.object(key!("leak"), |object| {
        object.name(key!("kind"), leak.kind().name());
        object.name(key!("certainty"), if leak.is_certain() { CERTAIN } else { LIKELY });
        object.number(key!("count"), leak.count());
        object.number(key!("span_ns"), leak.span_ns());
        match &leak.what {
            Leaking::Threads(threads) => {
                object.number(key!("live"), threads.live);
                object.number(key!("ended"), threads.ended);
            }
            Leaking::Respawn(respawn) => write_respawn(object, respawn, stamp),
            Leaking::Storm(storm) => {
                object.number(key!("alive"), storm.alive);
                if storm.spreads {
                    object.yes(key!("spreads"));
                }
            }
            Leaking::Orphans(orphans) => write_orphans(object, orphans, stamp),
        }
    });
}

fn write_respawn(object: &mut Object<'_>, respawn: &Respawn, stamp: &Stamp) {
    object.object(key!("last"), |last| {
        last.number(key!("pid"), respawn.last.tgid.0);
        write_entity(last, key!("entity_id"), respawn.last, stamp);
        if let Some(name) = respawn.program {
            last.bytes(key!("name"), name.bytes());
        }
    });
    if let Some(unit) = &respawn.unit {
        object.bytes(key!("scope_name"), unit.as_bytes());
    }
    object.number(key!("median_life_ns"), respawn.median_life_ns);
    object.number(key!("median_pause_ns"), respawn.median_pause_ns);
    if let Some((cause, ..)) = respawn.causes.first() {
        object.name(key!("cause"), cause.code());
    }
}

fn write_orphans(object: &mut Object<'_>, orphans: &Orphans, stamp: &Stamp) {
    object.object(key!("job"), |job| {
        job.number(key!("pid"), orphans.job.tgid.0);
        write_entity(job, key!("entity_id"), orphans.job, stamp);
        if let Some(name) = orphans.job_name {
            job.bytes(key!("name"), name.bytes());
        }
    });
    let pids: Vec<String> = orphans.left.iter().map(|(key, _)| key.tgid.to_string()).collect();
    object.list(key!("pids"), &pids);
}
