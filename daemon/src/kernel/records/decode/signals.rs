//! Records of signals and of the out-of-memory killer.

use probe_common::{self as wire, Valid};
use rustix::param::page_size;

use super::{DecodeError, known, task, tracer_group};
use crate::lineage::{
    death::{OomLimit, OomScope},
    id::Tid,
    record::{Comm, CpuLimits, OomVictim, SignalInfo, SignalSent, Terminal},
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
        sender_login_uid: (from.sender_login_uid != wire::NO_LOGIN_UID).then_some(from.sender_login_uid),
        sender_terminal: Terminal::of_kernel(from.sender_terminal),
        in_execve: known(valid, Valid::EXECVE, valid & Valid::IN_EXECVE != 0),
        signal: i32::try_from(from.signal).unwrap_or_default(),
        code: known(valid, Valid::SIGNAL_CODE, from.code),
        info,
        result: from.result,
        address: from.address,
        syscall: from.syscall,
        tracer: known(valid, Valid::PTRACE, tracer_group(valid, from.tracer_tgid)),
        cpu_limits: cpu_limits(from.limits),
        disposition: None,
        leads_session: None,
    })
}

fn cpu_limits(bits: u32) -> Option<CpuLimits> {
    let has = |bit| bits & bit != 0;
    has(wire::LIMIT_READ).then(|| CpuLimits {
        cpu: has(wire::LIMIT_CPU),
        rttime: has(wire::LIMIT_RTTIME),
        deadline: has(wire::LIMIT_DEADLINE),
    })
}

pub(super) fn oom_victim(from: &wire::OomVictim) -> Result<OomVictim, DecodeError> {
    let valid = from.valid;
    Ok(OomVictim {
        tid: Tid(from.victim.tid),
        victim: known(valid, Valid::IDENTITY, task(from.victim)),
        trigger: known(valid, Valid::ACTOR, task(from.trigger)),
        trigger_comm: known(valid, Valid::COMM, Comm::of_kernel(from.trigger_comm)),
        limit: oom_limit(from)?.map(Box::new),
    })
}

fn oom_limit(from: &wire::OomVictim) -> Result<Option<OomLimit>, DecodeError> {
    let (scope, is_certain) = match from.scope {
        wire::OOM_UNKNOWN => return Ok(None),
        wire::OOM_HOST => (OomScope::Host, true),
        wire::OOM_CGROUP => (OomScope::Cgroup, true),
        wire::OOM_HOST_BY_USAGE => (OomScope::Host, false),
        wire::OOM_CGROUP_BY_USAGE => (OomScope::Cgroup, false),
        value => return Err(DecodeError::Value { kind: "oom_victim", field: "scope", value }),
    };
    let page = page_size() as u64;
    // `PAGE_COUNTER_MAX`, no limit, is the largest number of pages.
    let bytes = |pages: u64| (pages > 0).then(|| pages.checked_mul(page)).flatten();
    let limit_bytes = bytes(from.limit_pages)
        .filter(|bytes| i64::try_from(*bytes).is_ok_and(|it| it < i64::MAX - (1 << 20)));
    Ok(Some(OomLimit {
        scope,
        is_certain,
        cgroup_id: (from.cgroup_id != 0).then_some(from.cgroup_id),
        limit_bytes,
        used_bytes: bytes(from.used_pages),
        cgroup_name: name(&from.cgroup_name),
        cgroup: None,
        host: None,
    }))
}

/// Returns the name up to the NUL; `None` for the root, which has no name.
fn name(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|&byte| byte == 0).next().filter(|text| !text.is_empty())?;
    Some(String::from_utf8_lossy(text).into_owned())
}
