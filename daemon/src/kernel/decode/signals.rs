//! Records of signals and of the out-of-memory killer.

use probe_common::{self as wire, Valid};

use super::{DecodeError, known, task};
use crate::lineage::{
    id::Tid,
    record::{Comm, OomVictim, SignalInfo, SignalSent},
};

/// The highest signal number, that of the last real-time signal: `_NSIG`.
const SIGNAL_LIMIT: u32 = 64;

pub(super) fn sent(from: &wire::SignalSent) -> Result<SignalSent, DecodeError> {
    let wrong = |field, value| DecodeError::Value { kind: "signal_sent", field, value };
    let valid = from.valid;
    let info = match from.info {
        wire::INFO_NONE => SignalInfo::None,
        wire::INFO_PRIV => SignalInfo::Kernel,
        wire::INFO_REAL => SignalInfo::Real,
        other => return Err(wrong("info", other)),
    };
    if from.signal > SIGNAL_LIMIT {
        return Err(wrong("signal", from.signal));
    }
    Ok(SignalSent {
        target: task(from.target),
        to_group: from.group != 0,
        sender: known(valid, Valid::ACTOR, task(from.sender)),
        sender_comm: known(valid, Valid::COMM, Comm::of_kernel(from.sender_comm)),
        sender_uid: known(valid, Valid::CREDENTIALS, from.sender_uid),
        sender_flags: known(valid, Valid::TASK_FLAGS, from.sender_flags),
        signal: i32::try_from(from.signal).unwrap_or_default(),
        code: known(valid, Valid::SIGNAL_CODE, from.code),
        info,
        result: from.result,
        address: from.address,
        syscall: from.syscall,
    })
}

pub(super) fn oom_victim(from: &wire::OomVictim) -> OomVictim {
    let valid = from.valid;
    OomVictim {
        tid: Tid(from.victim.tid),
        victim: known(valid, Valid::IDENTITY, task(from.victim)),
        trigger: known(valid, Valid::ACTOR, task(from.trigger)),
        trigger_comm: known(valid, Valid::COMM, Comm::of_kernel(from.trigger_comm)),
    }
}
