//! Why a group ended, as part of its event.

use super::{
    Stamp,
    encode::{Key, Object, key},
};
use crate::lineage::{
    death::{CERTAIN, Cause, GroupDeath, LIKELY, OomLimit, Received, Sent, UNKNOWN},
    flags::signal_name,
    id::{GroupKey, Ktime},
    status::WaitStatus,
};

/// The object `death`. Without a [`GroupDeath`] the group exited by itself, as its status says.
pub(super) fn write(
    task: &mut Object<'_>,
    death: Option<&GroupDeath>,
    status: Option<WaitStatus>,
    stamp: &Stamp,
) {
    task.object(key!("death"), |object| {
        let Some(death) = death else {
            let is_known = status.is_some();
            object.name(key!("cause"), if is_known { Cause::Exited } else { Cause::Unknown }.code());
            object.name(key!("certainty"), if is_known { CERTAIN } else { UNKNOWN });
            return;
        };
        object.name(key!("cause"), death.cause.code());
        object.name(key!("certainty"), death.certainty());
        if let Some(missing) = death.missing {
            object.name(key!("missing"), missing.code());
        }
        if let Some(by) = &death.by {
            write_signal(object, key!("by_signal"), by, stamp);
        }
        if let Some(limit) = death.oom.as_ref().and_then(|oom| oom.limit.as_deref())
            && death.cause == Cause::Oom
        {
            write_oom(object, limit);
        }
        if let Some(last) = death.others.last() {
            write_signal(object, key!("other_signal"), last, stamp);
        }
    });
}

fn write_oom(object: &mut Object<'_>, limit: &OomLimit) {
    object.object(key!("oom"), |object| {
        object.name(key!("scope"), limit.scope.code());
        object.name(key!("certainty"), if limit.is_certain { CERTAIN } else { LIKELY });
        if let Some(cgroup) = &limit.cgroup {
            object.bytes(key!("cgroup"), cgroup.path.as_bytes());
        }
        if let Some(name) = &limit.cgroup_name {
            object.bytes(key!("cgroup_name"), name.as_bytes());
        }
        if let Some(bytes) = limit.limit_bytes.or(limit.host.map(|host| host.total_bytes)) {
            object.number(key!("limit_bytes"), bytes);
        }
        if let Some(bytes) = limit.used_bytes {
            object.number(key!("used_bytes"), bytes);
        }
    });
}

fn write_signal(object: &mut Object<'_>, key: Key, sent: &Sent, stamp: &Stamp) {
    object.object(key, |object| {
        object.signed(key!("signal"), sent.signal);
        if let Some(name) = signal_name(sent.signal) {
            object.name(key!("signal_name"), name);
        }
        if let Some(code) = sent.code {
            object.signed(key!("si_code"), code);
        }
        object.number(key!("sent_boottime_ns"), sent.at.0);
        object.name(key!("sent_to"), if sent.to_group { "process" } else { "thread" });
        if !sent.is_delivered() {
            object.yes(key!("ignored"));
        }
        object.number(key!("times"), sent.times);
        if let Some(received) = &sent.received {
            write_received(object, received, sent.at);
        }
        object.object(key!("sender"), |object| {
            if let Some(task) = sent.sender.task {
                object.number(key!("pid"), task.tgid.0);
                object.number(key!("tid"), task.key.tid.0);
                if task.is_leader()
                    && let Some(id) =
                        stamp.entity_id(GroupKey { tgid: task.tgid, start: Some(task.key.start) })
                {
                    object.name(key!("entity_id"), &id);
                }
            }
            if let Some(name) = sent.sender.name {
                object.bytes(key!("name"), name.bytes());
            }
            if let Some(uid) = sent.sender.uid {
                object.object(key!("real_user"), |user| user.number(key!("id"), uid));
            }
            if let Some(uid) = sent.sender.login_uid {
                object.object(key!("login_user"), |user| user.number(key!("id"), uid));
            }
            if let Some(terminal) = sent.sender.terminal {
                object.name(key!("terminal"), &terminal.to_string());
            }
            let ancestors: Vec<Vec<u8>> = sent
                .sender
                .ancestors
                .iter()
                .map(|ancestor| {
                    let mut text = ancestor.name.map(|name| name.bytes().to_vec()).unwrap_or_default();
                    text.extend_from_slice(format!(":{}", ancestor.key.tgid.0).as_bytes());
                    text
                })
                .collect();
            if !ancestors.is_empty() {
                object.list(key!("ancestors"), &ancestors);
            }
        });
    });
}

fn write_received(object: &mut Object<'_>, received: &Received, sent_at: Ktime) {
    object.object(key!("sender_received"), |object| {
        object.number(key!("before_ns"), sent_at.since(received.at));
        if let Some(task) = received.from {
            object.number(key!("pid"), task.tgid.0);
        }
        if let Some(name) = received.name {
            object.bytes(key!("name"), name.bytes());
        }
        if received.is_by_kernel {
            object.yes(key!("by_kernel"));
        }
    });
}
