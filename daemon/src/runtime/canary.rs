//! A canary is a short-lived child of the daemon, forked at intervals. All its records must arrive. It detects faults that no
//! counter shows, such as detached probes.

mod refused;
mod rename_probe;
#[cfg(test)]
mod tests;

use std::{io, time::Duration};

use rustix::process::{Pid, WaitOptions, waitpid};

use self::{refused::Refused, rename_probe::RenameProbe};
use crate::{
    duration,
    failpoint::{self, Point},
    lineage::{
        ActionKind,
        effect::{Effect, Provenance},
        id::{Ktime, Tgid},
    },
};

/// The events of a canary, all of which must be seen.
const WHOLE: [ActionKind; 4] =
    [ActionKind::Forked, ActionKind::Exiting, ActionKind::Exited, ActionKind::Released];

/// A canary whose events were not all seen within this time is broken. Its last record comes an RCU grace period after its death, ns.
const DEADLINE_NS: u64 = 5_000_000_000;

/// How many releases in a row may be hidden. More are not chance, so the hooks are in doubt.
const HIDDEN_IN_A_ROW: u32 = 3;

/// Stack of the child, bytes.
const STACK: usize = 16 << 10;

/// A canary that was not released yet.
#[derive(Debug)]
struct Flight {
    pid: libc::pid_t,
    launched: Ktime,
    waited_for: bool,
    /// Which events of [`WHOLE`] were seen, and whether the end was seen in any way.
    seen: [bool; WHOLE.len()],
    over: bool,
}

/// Releases that no program sees, because an interrupt on top of a hidden task runs them.
#[derive(Debug, Default)]
pub(super) struct HiddenReleases {
    /// Whether this kernel can hide a release.
    pub(super) are_possible: bool,
    in_a_row: u32,
}

/// The canaries of one daemon.
#[derive(Debug)]
pub struct Canary {
    every: Duration,
    flight: Option<Flight>,
    next: Ktime,
    last_whole: Option<Ktime>,
    complained: bool,
    stopped: bool,
    /// Successive canaries with an event that was not seen, without a known loss.
    unexplained: u32,
    /// The value of `unexplained` when [`Canary::take_alert`] was last called.
    last_unexplained: u32,
    /// Whether records were lost since the last launch.
    lossy: bool,
    /// Canaries whose records all arrived.
    pub whole: u64,
    /// Canaries with a record that did not arrive.
    pub broken: u64,
    /// Canaries that could not be created, because no pid or memory was left (`EAGAIN`, `ENOMEM`).
    pub no_pid: u64,
    /// Why canaries cannot be created; kept until the next one is released.
    refused: Option<Refused>,
    /// Shows that records arrive while no canary can be created.
    rename: RenameProbe,
    /// Canaries whose records all arrived except a release, which this kernel may hide.
    pub hidden: u64,
    pub(super) hidden_releases: HiddenReleases,
    stack: Box<[u128]>,
}

/// The child's function: it returns at once. The child shares the daemon's memory and thread-local storage and must not touch
/// either.
extern "C" fn die(_: *mut libc::c_void) -> libc::c_int {
    0
}

impl Canary {
    /// Returns a state that forks a canary once in `every`; never if that is zero.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            flight: None,
            next: Ktime(0),
            last_whole: None,
            complained: false,
            stopped: false,
            unexplained: 0,
            last_unexplained: 0,
            lossy: false,
            whole: 0,
            broken: 0,
            no_pid: 0,
            refused: None,
            rename: RenameProbe::new(),
            hidden: 0,
            hidden_releases: HiddenReleases::default(),
            stack: vec![0; STACK / size_of::<u128>()].into_boxed_slice(),
        }
    }

    /// Returns the time since the launch of the last canary whose events were all seen; `None` before the first, or without canaries.
    #[must_use]
    pub fn age(&self, now: Ktime) -> Option<Duration> {
        self.last_whole.map(|at| Duration::from_nanos(now.since(at)))
    }

    /// Returns why canaries cannot be created at present; `None` if they can.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.refused
            .map(|refused| format!("the canary cannot fork ({}): {}", refused.name(), refused.cause()))
    }

    /// Returns when a record was last seen while no canary can be created; at first, when that began. `None` if canaries can be
    /// created, or if the last one was not seen for an unknown reason: then the hooks are in doubt, even if other records arrive.
    ///
    /// A rename shows that programs run and records arrive. If `failures_are_seen`, the refused clone must be seen as well,
    /// because a `copy_process()` that fails leads to a record. In a known loss both may be missing; the time of the youngest
    /// record, `youngest`, is used then.
    pub(super) fn proof(&self, failures_are_seen: bool, youngest: Ktime) -> Option<Ktime> {
        let refused = self.refused?;
        if self.goes_unseen() {
            return None;
        }
        if self.lossy {
            return Some(youngest);
        }
        let seen = if failures_are_seen { self.rename.seen.min(refused.seen) } else { self.rename.seen };
        seen.max(Some(refused.since))
    }

    /// Launches a canary that is due, waits for a dead one, and gives up one that was not seen. Called at each tick; usually does
    /// nothing.
    pub(super) fn tick(&mut self, now: Ktime) {
        if self.stopped {
            return;
        }
        if let Some(flight) = &mut self.flight {
            flight.wait();
            if flight.over && flight.waited_for {
                self.flight = None;
            } else if flight.waited_for && now.since(flight.launched) >= DEADLINE_NS {
                self.give_up();
            }
        }
        if self.flight.is_none() && !self.every.is_zero() && now >= self.next {
            self.next = Ktime(now.0.saturating_add(duration::ns(self.every)));
            self.lossy = false;
            match self.launch() {
                Ok(pid) => {
                    let seen = [false; WHOLE.len()];
                    self.flight = Some(Flight { pid, launched: now, waited_for: false, seen, over: false });
                }
                Err(error) => match error.raw_os_error() {
                    Some(errno @ (libc::EAGAIN | libc::ENOMEM)) => self.refuse(errno, now),
                    _ => log::warn!("making a canary process: {error}"),
                },
            }
        }
    }

    /// Returns the pid of the present canary.
    pub(super) fn process(&self) -> Option<Tgid> {
        self.flight.as_ref().map(|flight| Tgid(flight.pid.cast_unsigned()))
    }

    /// Removes the canary's events from `effects`, so that no sink gets them.
    pub(super) fn filter(&mut self, effects: &mut Vec<Effect>) {
        self.rename.filter(effects);
        if let Some(refused) = &mut self.refused {
            refused.filter(effects);
        }
        let Some(flight) = self.flight.as_mut().filter(|flight| !flight.over) else { return };
        let tgid = Tgid(flight.pid.cast_unsigned());
        effects.retain(|effect| {
            let is_ours = effect.process.key.tgid == tgid && effect.at >= flight.launched;
            if is_ours {
                flight.see(effect);
            }
            !is_ours
        });
        if !flight.over {
            return;
        }
        let (launched, missing) = (flight.launched, flight.missing());
        self.judge(launched, &missing);
    }

    /// Counts a canary that was released or has timed out; `missing` are the events that were not seen.
    fn judge(&mut self, launched: Ktime, missing: &[&str]) {
        if self.refused.take().is_some() {
            log::warn!("canary: processes can be created again");
        }
        if missing.is_empty() {
            self.whole += 1;
            self.hidden_releases.in_a_row = 0;
            log::debug!("canary: a whole life was seen");
        } else if self.hidden_releases.are_possible
            && missing == ["released"]
            && self.hidden_releases.in_a_row < HIDDEN_IN_A_ROW
        {
            self.hidden += 1;
            self.hidden_releases.in_a_row += 1;
            log::debug!("canary: all events were seen except a release, which this kernel can hide");
        } else {
            if !self.stopped {
                self.complain(missing);
            }
            return;
        }
        self.unexplained = 0;
        // The time of launch, not of the end: the age may be a little too large, never too small.
        self.last_whole = Some(launched);
        if std::mem::take(&mut self.complained) {
            log::warn!("canary: whole lives are seen again");
        }
    }

    /// Records are known to be lost; the present canary's may be among them.
    pub(super) const fn loss_is_known(&mut self) {
        self.lossy = true;
    }

    /// Returns whether to attach all hooks again: true at the 2nd, 4th, 8th, ... canary in a row that was not seen although no loss
    /// is known.
    pub(super) const fn take_alert(&mut self) -> bool {
        let is_due = self.unexplained >= 2 && self.unexplained.is_power_of_two();
        let is_new = self.unexplained != self.last_unexplained;
        self.last_unexplained = self.unexplained;
        is_due && is_new
    }

    /// Returns whether lives are not seen although no loss is known. A canary lost together with other records says nothing about
    /// the hooks: the daemon is overloaded.
    #[must_use]
    pub const fn goes_unseen(&self) -> bool {
        self.unexplained > 0
    }

    /// Stops launching canaries. The events of the present one need not be seen.
    pub(super) const fn stop(&mut self) {
        self.stopped = true;
    }

    fn give_up(&mut self) {
        if let Some(flight) = self.flight.take() {
            self.judge(flight.launched, &flight.missing());
        }
    }

    /// Logs a broken canary once, until all events of one are seen again. A canary lost in a known loss is not logged.
    fn complain(&mut self, missing: &[&str]) {
        self.broken += 1;
        let missing = missing.join(", ");
        if !self.lossy {
            self.unexplained += 1;
        }
        if self.lossy || std::mem::replace(&mut self.complained, true) {
            log::debug!("canary: {missing} of it was not seen");
        } else {
            log::warn!(
                "canary: {missing} of a process of our own was not seen: a hook may have been disarmed \
                 (/sys/kernel/debug/kprobes/enabled, kernel.ftrace_enabled), or the machine is overloaded"
            );
        }
    }

    /// Handles a canary that could not be created. That shows nothing about the programs, so a rename tests whether records arrive.
    fn refuse(&mut self, errno: i32, now: Ktime) {
        self.no_pid += 1;
        let (since, seen) = self.refused.map_or((now, None), |refused| (refused.since, refused.seen));
        let is_new = self.refused.replace(Refused { errno, since, launched: now, seen }).is_none();
        if let (true, Some(why)) = (is_new, self.refusal()) {
            log::warn!(
                "{why} (pids.max, kernel.pid_max, kernel.threads-max, RLIMIT_NPROC). Until then, a rename of taskscope's main thread shows whether records arrive"
            );
        }
        if let Err(error) = self.rename.send() {
            log::warn!("canary: prctl(PR_SET_NAME): {error}");
        }
    }

    fn launch(&mut self) -> io::Result<libc::pid_t> {
        failpoint::check(Point::Clone)?;
        let top = self.stack.as_mut_ptr_range().end;
        // SAFETY: the child gets a stack of its own, aligned to 16 bytes, that lives as long as `self` and is used by one child
        // at a time (the next is created only after this one was waited for); it returns at once and touches nothing shared.
        let pid =
            unsafe { libc::clone(die, top.cast(), libc::CLONE_VM | libc::SIGCHLD, std::ptr::null_mut()) };
        if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid) }
    }
}

impl Flight {
    fn see(&mut self, effect: &Effect) {
        let action = effect.action.kind();
        if effect.provenance != Provenance::Repaired {
            for (kind, seen) in WHOLE.iter().zip(&mut self.seen) {
                *seen |= *kind == action;
            }
        }
        self.over |= action == ActionKind::Released;
    }

    fn missing(&self) -> Vec<&'static str> {
        WHOLE.iter().zip(self.seen).filter(|(_, seen)| !seen).map(|(kind, _)| kind.name()).collect()
    }

    /// Reaps the child if it is dead.
    fn wait(&mut self) {
        if self.waited_for {
            return;
        }
        // If SIGCHLD is ignored, by inheritance, the kernel reaps the child: ECHILD.
        self.waited_for = !matches!(waitpid(Pid::from_raw(self.pid), WaitOptions::NOHANG), Ok(None));
    }
}

impl Drop for Canary {
    /// The child runs on a stack of this struct, so it must end first.
    fn drop(&mut self) {
        if let Some(flight) = self.flight.as_ref().filter(|flight| !flight.waited_for) {
            let _ = waitpid(Pid::from_raw(flight.pid), WaitOptions::empty());
        }
    }
}
