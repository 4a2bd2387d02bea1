//! A zombie and the processes that could end it, with the phrases that describe them.

use crate::facts::{Child, Facts, Known, Named, ProcessFacts, Signals, ThreadFacts, VforkChild};
use crate::{Certainty, Missing, Verdict, duration};
use lineage::Life;
use lineage::effect::Bound;
use lineage::flags::SIGCHLD;
use lineage::id::{Ktime, Tid};

/// A parent that polls for dead children usually reaps one within this time. Until then it looks the same as one that never does. crond
/// of busybox polls once a minute, and sleeps for up to 61 s.
const OVERDUE_NS: u64 = 75_000_000_000;

/// A zombie and what is known of the processes that could end it.
pub(crate) struct Case<'a> {
    pub(super) now: Ktime,
    pub(super) observed_since: Option<Ktime>,
    pub(crate) life: &'a Life,
    /// The zombie's pids in each namespace (`NSpid`); empty if not readable.
    pub(super) pids: &'a [u32],
    pub(super) parent: Option<&'a Known>,
    pub(super) parent_thread: Option<Tid>,
    pub(super) tracer: Option<&'a Named>,
    /// The tracer's state letter.
    pub(super) tracer_state: Option<u8>,
    /// The tracer of the parent, with its state letter.
    pub(super) parents_tracer: Option<&'a (Named, Option<u8>)>,
    pub(super) vfork_child: Option<&'a VforkChild>,
    pub(super) new_reaper: Option<&'a Named>,
}

impl<'a> Case<'a> {
    /// Returns the case of a subject that is a zombie.
    pub(crate) fn of(facts: &'a Facts) -> Self {
        Self::new(facts, &facts.subject, facts.parent.as_ref(), facts.parents_vfork_child.as_ref())
    }

    /// Returns the case of the oldest zombie of a subject that is a parent.
    pub(crate) fn of_child(facts: &'a Facts) -> Option<Self> {
        let child = facts.owed.as_ref()?;
        Some(Self::new(facts, child, Some(&facts.subject.known), facts.vfork_child.as_ref()))
    }

    fn new(
        facts: &'a Facts,
        child: &'a Child,
        parent: Option<&'a Known>,
        vfork_child: Option<&'a VforkChild>,
    ) -> Self {
        Self {
            now: facts.now,
            observed_since: facts.observed_since,
            life: &child.known.life,
            pids: child.known.process().map_or(&[], |process| &process.namespace_pids),
            parent,
            parent_thread: child.parent_thread,
            tracer: child.tracer.as_ref(),
            tracer_state: child.tracer_state,
            parents_tracer: facts.parents_tracer.as_ref(),
            vfork_child,
            new_reaper: facts.new_reaper.as_ref(),
        }
    }

    pub(super) fn process(&self) -> Option<&'a ProcessFacts> {
        self.parent?.process()
    }

    /// Whether its tracer is a thread of its parent.
    pub(super) fn is_traced_by_its_parent(&self) -> bool {
        self.tracer.is_some_and(|tracer| self.parent.is_some_and(|it| it.life.key.tgid == tracer.key.tgid))
    }

    /// Returns the parent as a sentence names it.
    pub(super) fn who(&self) -> String {
        self.parent.map_or_else(|| "its parent".into(), |parent| parent.named().to_string())
    }

    pub(super) fn pid(&self) -> u32 {
        self.parent.map_or(0, |parent| parent.life.key.tgid.0)
    }

    /// Returns, as evidence, that the thread that forked the child has ended and cannot wait for it any more.
    pub(super) fn forked_by_thread(&self) -> Option<String> {
        let (thread, at) = self.life.forked_by?;
        Some(format!(
            "the thread that forked it (tid {}) ended {} ago; since then its parent is another thread of {}",
            thread.key.tid,
            duration(self.now.since(at)),
            self.who()
        ))
    }

    /// Returns, as evidence, that neither the parent nor a former parent called clone(2): the parent's code may not know of the
    /// child.
    pub(super) fn made_by_another(&self) -> Option<String> {
        let creator = self.life.creator?.tgid;
        Some(format!("pid {creator} created it with clone(2) and CLONE_PARENT, as a child of its own parent"))
    }

    /// Returns, as evidence, that the parent has never waited.
    pub(super) fn never(&self) -> Option<String> {
        (self.has_waited() == Some(false))
            .then(|| format!("it has not waited for any child since {}", self.since_when()))
    }

    /// Returns when the parent began to run its program: at its last exec, if one is known.
    pub(super) fn since_when(&self) -> &'static str {
        if self.exec_at().is_some() { "its last exec" } else { "it started" }
    }

    /// Returns when the parent last called exec, if that was seen.
    pub(super) fn exec_at(&self) -> Option<Ktime> {
        self.parent?.life.exec_at
    }

    /// Whether the daemon has observed the parent's program from its start.
    pub(super) fn is_watched_from_its_beginning(&self) -> bool {
        let Some(since) = self.observed_since else { return false };
        let began = self.exec_at().or_else(|| self.parent?.life.key.start);
        began.is_some_and(|began| since < began)
    }

    /// Returns the number of children that the parent's program has reaped, as far as seen.
    pub(super) fn reaped(&self) -> u64 {
        let Some(life) = self.parent.map(|parent| &parent.life) else { return 0 };
        let reaped = life.debt.map_or(0, |debt| debt.reaped);
        reaped.saturating_sub(life.before_exec.as_ref().map_or(0, |before| before.reaped))
    }

    /// Zombies of the parent.
    fn zombies(&self) -> u32 {
        self.parent.and_then(|parent| parent.life.debt).map_or(0, |debt| debt.zombies)
    }

    /// Returns how many children the kernel has released without a wait since the parent's last exec; 0 if some of them may be
    /// older than that exec.
    pub(super) fn autoreaped(&self) -> u64 {
        let autoreaped = self.parent.and_then(|parent| parent.life.debt).map_or(0, |debt| debt.autoreaped);
        let others = self.reaped() + u64::from(self.zombies());
        if autoreaped + others <= self.forked() { autoreaped } else { 0 }
    }

    /// Returns the number of children that the parent's program has forked, as far as seen.
    fn forked(&self) -> u64 {
        let Some(life) = self.parent.map(|parent| &parent.life) else { return 0 };
        let forked = life.debt.map_or(0, |debt| debt.forked);
        forked.saturating_sub(life.before_exec.as_ref().map_or(0, |before| before.forked))
    }

    /// Returns how long it has been a zombie at most, ns.
    pub(super) fn age_at_most(&self) -> u64 {
        let since_start = self.life.key.start.map_or(u64::MAX, |start| self.now.since(start));
        match self.life.zombie {
            Some(span) if span.bound != Bound::AtLeast => span.ns.min(since_start),
            _ => since_start,
        }
    }

    /// Whether it has been a zombie for longer than a parent that looks for dead children at intervals would take.
    pub(super) fn is_overdue(&self) -> bool {
        let span = self.life.zombie.filter(|span| span.bound != Bound::AtMost);
        span.is_some_and(|span| span.ns >= OVERDUE_NS)
    }

    /// Returns how certain it is that the parent does not wait at all. It is certain if the parent was observed from its start,
    /// has reaped no child, has had this zombie for a long time, and no other process holds it in a call.
    pub(super) fn certainty_of_never(&self) -> Certainty {
        let never = self.is_watched_from_its_beginning() && self.has_waited() == Some(false);
        if never && self.is_overdue() && self.blocked_thread().is_none() {
            Certainty::Certain
        } else {
            Certainty::Likely
        }
    }

    /// Returns the thread of the parent that forked the child, or the parent's only thread, if that thread is blocked in a call
    /// that another process has to end and no handler of SIGCHLD would run meanwhile: the parent had no chance to wait.
    pub(super) fn blocked_thread(&self) -> Option<&'a ThreadFacts> {
        let process = self.process()?;
        let runs_handler = self.handles_sigchld() && process.blocks_sigchld() != Some(true);
        if runs_handler && !self.has_handled_without_wait() {
            return None;
        }
        let forker = self.parent_thread.and_then(|tid| process.live().find(|thread| thread.tid == tid));
        let thread = forker.or_else(|| process.live().next())?;
        let is_held = thread.held_in().is_some() || (runs_handler && thread.awaits_events);
        is_held.then_some(thread)
    }

    /// Whether the parent has a handler for SIGCHLD that has run, as no signal is pending, and has never waited.
    pub(super) fn has_handled_without_wait(&self) -> bool {
        let Some(process) = self.process() else { return false };
        process.caught.is_some_and(|caught| caught.has(SIGCHLD))
            && process.blocks_sigchld() == Some(false)
            && self.is_pending() == Some(false)
            && self.has_waited() == Some(false)
    }

    /// Returns, as evidence, that [`Self::blocked_thread`] is in a call that another process has to end.
    pub(super) fn sits_in(&self) -> Option<String> {
        let thread = self.blocked_thread()?;
        let call = thread
            .held_in()
            .unwrap_or_else(|| "a wait for events without a timeout (select(2), poll(2), epoll(7))".into());
        Some(format!("its thread {} is in {call}, and may wait for its children after that", thread.tid))
    }

    /// Whether the parent's program has waited for any child; `None` if not known.
    pub(super) fn has_waited(&self) -> Option<bool> {
        let by_kernel = self.process().and_then(|process| process.has_waited);
        if self.reaped() > 0 || (by_kernel == Some(true) && self.exec_at().is_none()) {
            return Some(true);
        }
        if self.is_watched_from_its_beginning() {
            return Some(false);
        }
        // An exec does not reset the kernel's counts, so earlier waits count too.
        by_kernel.filter(|&has_waited| !has_waited)
    }

    /// Returns, as evidence, that the parent has waited for other children. The kernel's counts continue over an exec, and an exec
    /// before the observation is not known.
    pub(super) fn waited_for_others(&self) -> &'static str {
        if self.reaped() > 0 || self.is_watched_from_its_beginning() {
            "it has waited for other children"
        } else {
            "it has waited for other children, or a program that it ran before an exec did: the kernel counts both (cutime, cminflt)"
        }
    }

    /// Returns what can be done at once if the parent does not reap: end it, so that another parent reaps.
    pub(super) fn way_out(&self) -> Option<String> {
        // Do not suggest to end a parent that reaps other children.
        if self.has_waited() == Some(true) || self.blocked_thread().is_some() {
            return None;
        }
        // When the init of a pid namespace ends, the kernel ends all its processes.
        if self.parent?.init_of_level().is_some() {
            return None;
        }
        let new_reaper =
            self.new_reaper.map_or_else(|| "init or the nearest subreaper".into(), ToString::to_string);
        let kill = self.process().map_or("kill", ProcessFacts::kill_command);
        let when = if self.is_overdue() { "now" } else { "if it stays a zombie" };
        Some(format!(
            "{when}: {kill} {}; its zombies are then reparented to {new_reaper}, which should reap them",
            self.pid()
        ))
    }

    /// Returns a remedy, followed by what can be done at once, if anything can.
    pub(super) fn or_now(&self, remedy: &str) -> String {
        match self.way_out() {
            Some(way_out) => format!("{remedy}; {way_out}"),
            None => remedy.to_owned(),
        }
    }

    /// The zombie's pid as its parent sees it.
    pub(super) fn pid_for_parent(&self) -> Option<u32> {
        let level = self.process()?.namespace_pids.len().checked_sub(1)?;
        if let Some(pid) = self.pids.get(level) {
            return Some(*pid);
        }
        // Both in the namespace of the mounted /proc.
        (level == 0).then_some(self.life.key.tgid.0)
    }

    pub(super) fn handles_sigchld(&self) -> bool {
        self.process().is_some_and(|process| {
            process.caught.is_some_and(|caught| caught.has(SIGCHLD)) || process.signalfd == Some(true)
        })
    }

    pub(super) fn is_pending(&self) -> Option<bool> {
        Some(self.process()?.pending?.has(SIGCHLD))
    }

    /// Names the parent as the process that has to act.
    pub(super) fn blame(&self, verdict: Verdict) -> Verdict {
        match self.parent {
            Some(parent) => verdict.by(parent.named()),
            None => verdict,
        }
    }

    /// Returns, as evidence, how many zombies the parent has, and how many children it forked and reaped.
    pub(super) fn debts(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let Some(parent) = self.parent else { return lines };
        let debt = parent.life.debt.unwrap_or_default();
        if debt.zombies > 1 {
            lines.push(format!("{} zombies wait for it", debt.zombies));
        }
        let (forked, reaped) = (self.forked(), self.reaped());
        if let Some(since) = self.observed_since
            && forked + reaped > 0
        {
            let began = self.exec_at().or(parent.life.key.start);
            let since = began.map_or(since, |began| began.max(since));
            lines.push(format!(
                "in the last {} it forked {forked} children and reaped {reaped}",
                duration(self.now.since(since)),
            ));
        }
        lines
    }

    /// Returns the parent's disposition of SIGCHLD, as evidence.
    pub(super) fn disposition(&self) -> Vec<String> {
        let Some(process) = self.process() else { return Vec::new() };
        let mut lines = Vec::new();
        let has = |set: Option<Signals>| set.is_some_and(|set| set.has(SIGCHLD));
        if has(process.caught) {
            lines.push("it has a handler for SIGCHLD".into());
        } else if has(process.ignored) {
            lines.push("it ignores SIGCHLD".into());
        } else if process.signalfd == Some(true) {
            lines.push("it reads SIGCHLD from a signalfd".into());
        } else if process.caught.is_some() {
            lines.push("it has no handler for SIGCHLD".into());
        }
        if process.blocks_sigchld() == Some(true) {
            lines.push(format!(
                "each of its threads blocks SIGCHLD{}",
                match self.is_pending() {
                    Some(true) => ", and one is pending",
                    _ => "",
                }
            ));
        }
        lines
    }

    /// Returns, as evidence, the kernel function in which the parent sleeps.
    pub(super) fn whereabouts(&self) -> Option<String> {
        let process = self.process()?;
        if process.live().any(|thread| thread.state == Some(b'R')) {
            return Some("it runs, or is ready to run: it does something else, or gets no CPU".into());
        }
        let place = process.live().next()?.wchan.as_ref()?;
        Some(format!("it sleeps in {place}()"))
    }

    /// Facts that were not available and would make the verdict more certain.
    pub(super) fn missing(&self) -> Vec<Missing> {
        let mut missing = Vec::new();
        let mut lack = |fact: &str, needs: &str| {
            missing.push(Missing { fact: fact.into(), needs: needs.into() });
        };
        match self.parent.map(|parent| &parent.process) {
            None => lack("who its parent is", "a poll while its parent is known"),
            Some(Err(why)) => lack("the parent's signals and state", why),
            Some(Ok(process)) => {
                if process.live().all(|thread| thread.call.is_none()) {
                    lack(
                        "the current system call of its parent",
                        "CAP_SYS_PTRACE, to read /proc/PID/syscall",
                    );
                }
                if process.signalfd.is_none() {
                    lack("whether its parent has a signalfd", "CAP_SYS_PTRACE, to read /proc/PID/fdinfo");
                }
                if process.threads_omitted > 0 {
                    lack("all threads of its parent", "a parent with fewer threads");
                }
            }
        }
        if self.has_waited() != Some(true) && !self.is_overdue() && self.parent.is_some() {
            lack(
                "whether its parent waits for it later, as one that checks for dead children from time to time does",
                "time: ask again when it has been a zombie for more than a minute",
            );
        }
        if self.has_waited() == Some(true) && self.zombies() > 1 {
            lack(
                "whether its parent waits for this one later: one that reaps from time to time is only late",
                "time: ask again, and compare how many zombies wait for it",
            );
        }
        if self.observed_since.is_some() && !self.is_watched_from_its_beginning() {
            lack(
                "what its parent did before taskscope started, such as waits for children that used no CPU time",
                "a parent that starts after the daemon",
            );
        }
        if self.observed_since.is_none() {
            lack(
                "whether it is an orphan, when its parent called exec, and whether its parent reaps other children",
                "observation: a running daemon (taskscope run), or --observe 10s",
            );
        }
        missing
    }
}
