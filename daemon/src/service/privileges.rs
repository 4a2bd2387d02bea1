//! Drops all capabilities that the daemon does not need after loading and attaching.
//!
//! | capability | needed for |
//! |---|---|
//! | `CAP_BPF` | loading programs, making maps; on kernels that gate every `bpf(2)` call (before 5.19 with `kernel.unprivileged_bpf_disabled`), reading counters and tasks as well |
//! | `CAP_PERFMON` | programs that read kernel memory, attaching them to functions and tracepoints |
//!
//! Nothing else is needed, not even root. The daemon drops `CAP_BPF` and tries whether everything still works; if not, it keeps
//! the capability.

use caps::{CapSet, Capability, CapsHashSet};

use crate::runtime::Pipeline;

/// The privileges before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The permitted capabilities before.
    pub before: Vec<String>,
    /// The permitted capabilities from now on.
    pub after: Vec<String>,
}

/// Drops every capability that observing does not need, and every way to get one back.
///
/// Capabilities are a property of threads: call this while there is only one.
pub fn give_up(pipeline: &mut Pipeline) -> Result<Dropped, caps::errors::CapsError> {
    let permitted = caps::read(None, CapSet::Permitted)?;
    let mut needed = None;
    for candidate in [vec![], vec![Capability::CAP_BPF], vec![Capability::CAP_BPF, Capability::CAP_PERFMON]] {
        let candidate: CapsHashSet = candidate.into_iter().collect();
        if !candidate.is_subset(&permitted) {
            continue;
        }
        caps::set(None, CapSet::Effective, &candidate)?;
        if still_works(pipeline) {
            needed = Some(candidate);
            break;
        }
    }
    let needed = if let Some(needed) = needed {
        needed
    } else {
        log::warn!("the kernel requires {} for observing: they are kept", names(&permitted).join(", "));
        permitted.clone()
    };
    // The bounding set can be reduced only with CAP_SETPCAP, which a service started with few capabilities does not have: its
    // unit bounds them.
    if permitted.contains(&Capability::CAP_SETPCAP) {
        caps::set(None, CapSet::Effective, &permitted)?;
        for capability in caps::all() {
            if !needed.contains(&capability) {
                // Older kernels do not know the newest ones.
                let _ = caps::drop(None, CapSet::Bounding, capability);
            }
        }
    }
    let _ = caps::clear(None, CapSet::Ambient);
    caps::set(None, CapSet::Effective, &needed)?;
    caps::set(None, CapSet::Permitted, &needed)?;
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new())?;
    if let Err(error) = rustix::thread::set_no_new_privs(true) {
        log::warn!("prctl(PR_SET_NO_NEW_PRIVS): {}", std::io::Error::from(error));
    }
    Ok(Dropped { before: names(&permitted), after: names(&needed) })
}

/// Tries everything that the daemon does with the kernel while it observes.
fn still_works(pipeline: &mut Pipeline) -> bool {
    if pipeline.observer.totals().is_err() {
        return false;
    }
    if pipeline.observer.sched.as_mut().is_some_and(|maps| maps.read().is_err()) {
        return false;
    }
    if pipeline.observer.sleepers().is_err() {
        return false;
    }
    // A capability does not help if the kernel has no iterator.
    pipeline.observer.no_iterator.is_some() || pipeline.observer.snapshot().is_ok()
}

fn names(set: &CapsHashSet) -> Vec<String> {
    let mut names: Vec<String> = set.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    names
}
