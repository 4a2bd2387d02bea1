//! The history of one life as steps, in the order in which they happened.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::{
    answer::{process::ProcessRef, task::clone_flags, usage},
    export::Stamp,
    lineage::{
        End, Life, LifeState, Provenance,
        death::{Sent, StopReason},
        effect::{Bound, Creation, ReaperKind, ReparentKind},
        flags::{PF_FORKNOEXEC, SIGCHLD, SIGCONT, signal_name},
        id::{GroupKey, Ktime},
        status::WaitStatus,
    },
    verdict::{duration, facts::Named},
};

/// A step of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When, by the wall clock; absent if that was not seen.
    #[serde(rename = "@timestamp", skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The same time on `CLOCK_BOOTTIME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boottime_ns: Option<u64>,
    /// What happened, as a sentence.
    pub text: String,
}

/// Other processes that the steps name.
pub(super) struct Cast<'a> {
    pub(super) parent: Option<Named>,
    pub(super) first_parent: Option<&'a Named>,
    pub(super) creator: Option<&'a Named>,
    /// Signals that may end it, if it lives.
    pub(super) signals: &'a [Sent],
    pub(super) now: Ktime,
    pub(super) observed_since: Option<Ktime>,
    /// Its program, if no exec of it was seen.
    pub(super) executable: Option<String>,
}

impl Cast<'_> {
    /// Whether something began while taskscope observed. What a snapshot found began at an unknown time.
    fn saw(&self, at: Ktime) -> bool {
        self.observed_since.is_some_and(|began| began < at)
    }
}

pub(super) fn steps(life: &Life, cast: &Cast<'_>, stamp: &Stamp) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut step = |at: Option<Ktime>, text: String| {
        let timestamp = at.map(|at| stamp.timestamp(at));
        steps.push(Step { timestamp, boottime_ns: at.map(|at| at.0), text });
    };
    step(life.key.start, birth(life, cast));
    ran(life, cast, &mut step);
    if life.threads_created > 0 {
        let threads = count(life.threads_created, "thread");
        step(
            None,
            format!("created {threads} besides its main thread, at most {} at one time", life.threads_peak),
        );
    }
    if let Some((thread, at)) = life.forked_by {
        let parent = cast.first_parent.cloned().or_else(|| cast.parent.clone());
        let of = parent.map_or_else(|| "its parent".into(), |parent| parent.to_string());
        let tid = thread.key.tid;
        step(
            Some(at),
            format!(
                "the thread of {of} that forked it (tid {tid}) ended; another thread of that process is its parent now"
            ),
        );
    }
    reparented(life, cast, &mut step);
    stopped(life, &mut step);
    received(cast.signals, &mut step);
    for text in usage::reported(life) {
        step(None, text);
    }
    end(life, cast, stamp, &mut step);
    steps
}

fn count(number: u32, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Flags that every fork of the C library sets, which are not worth listing.
const OF_THE_C_LIBRARY: [&str; 4] =
    ["CLONE_CHILD_CLEARTID", "CLONE_CHILD_SETTID", "CLONE_PARENT_SETTID", "CLONE_SETTLS"];

fn birth(life: &Life, cast: &Cast<'_>) -> String {
    let first = cast.first_parent.cloned().or_else(|| cast.parent.clone());
    let by = cast.creator.cloned().or_else(|| first.clone());
    let Some(creation) = life.creation else {
        let found = if life.provenance == Provenance::Repaired {
            "its fork record was lost; a snapshot found it"
        } else {
            "it started before taskscope"
        };
        return match (first, life.reparented) {
            (Some(parent), 0) => format!("started; {found}, its parent is {parent}"),
            (Some(parent), _) => format!("started; {found}, its parent was {parent}"),
            (None, _) => format!("started; {found}"),
        };
    };
    let call = match creation {
        Creation::Fork => "forked",
        Creation::Vfork => "vforked (its parent slept until it called exec or ended)",
        Creation::Hybrid => "cloned with shared memory (CLONE_VM)",
        Creation::Thread => "created as a thread",
        Creation::Kernel => "created by the kernel",
    };
    let by = by.map_or(String::new(), |by| format!(" by {by}"));
    let mut text = format!("{call}{by}");
    if cast.creator.is_some()
        && let Some(parent) = first
    {
        let _ = write!(text, " as a child of {parent} (CLONE_PARENT)");
    }
    let mut flags = life.clone_flags.map(clone_flags).unwrap_or_default();
    flags.retain(|flag| !OF_THE_C_LIBRARY.contains(&flag.as_str()));
    if !flags.is_empty() {
        let _ = write!(text, ", {}", flags.join("|"));
    }
    if let Some(signal) = life.exit_signal.filter(|&signal| signal != SIGCHLD && signal >= 0) {
        let name = signal_name(signal).map_or_else(|| signal.to_string(), Into::into);
        let _ = write!(text, ", exit signal {}", if signal == 0 { "none".into() } else { name });
    }
    text
}

fn ran(life: &Life, cast: &Cast<'_>, step: &mut impl FnMut(Option<Ktime>, String)) {
    let seen = life.executable.as_ref().map(|path| String::from_utf8_lossy(path.bytes()).into_owned());
    let path = seen.or_else(|| cast.executable.clone());
    let never = life.flags.is_some_and(|flags| flags & PF_FORKNOEXEC != 0);
    match (life.execs, path) {
        (0, Some(path)) if never => step(None, format!("runs {path}, inherited from its parent")),
        (0, Some(path)) => step(None, format!("runs {path}")),
        (0, None) if never => step(None, "never called exec: ran its parent's program".into()),
        (0, None) => {}
        (1, path) => {
            step(life.exec_at, format!("called exec of {}", path.unwrap_or_else(|| "a program".into())));
        }
        (execs, path) => {
            let path = path.unwrap_or_else(|| "a program".into());
            step(life.exec_at, format!("called exec of {path}, the last of {execs} execs"));
        }
    }
}

fn reparented(life: &Life, cast: &Cast<'_>, step: &mut impl FnMut(Option<Ktime>, String)) {
    let Some(at) = life.reparented_at else { return };
    let from = cast.first_parent.map_or_else(|| "its parent".into(), ToString::to_string);
    let to = cast.parent.as_ref().map_or_else(|| "another".into(), ToString::to_string);
    let what = match life.reparent_kind {
        Some(ReparentKind::Subreaper) => ", a subreaper",
        Some(ReparentKind::NamespaceInit) => ", the init of its pid namespace",
        Some(ReparentKind::Init) => ", init",
        Some(ReparentKind::SiblingThread) | None => "",
    };
    let times =
        if life.reparented > 1 { format!(" ({} times in all)", life.reparented) } else { String::new() };
    step(Some(at), format!("{from} ended; reparented to {to}{what}{times}"));
}

fn stopped(life: &Life, step: &mut impl FnMut(Option<Ktime>, String)) {
    let Some(last) = &life.job_stop else { return };
    let sent = &last.sent;
    let name = |signal| signal_name(signal).unwrap_or("a signal");
    let by = match last.reason() {
        StopReason::Key => ", the suspend key of its terminal".into(),
        _ => sender(sent),
    };
    step(Some(sent.at), format!("received {}{by}{}", name(sent.signal), repeated(sent)));
    if let Some(at) = last.continued {
        step(Some(at), format!("received {}", name(SIGCONT)));
    }
}

/// Returns who sent a signal, as text that follows the signal.
fn sender(sent: &Sent) -> String {
    match sent.sender.task {
        _ if sent.is_from_itself() => ", which it caused itself".into(),
        Some(task) => {
            let name = sent.sender.name.map(|name| name.bytes().to_vec());
            format!(" from {}", Named { key: GroupKey { tgid: task.tgid, start: None }, name })
        }
        None => String::new(),
    }
}

/// Returns how often it was sent, as text that follows the sender; empty if once.
fn repeated(sent: &Sent) -> String {
    if sent.times > 1 { format!(" ({} times from there in all)", sent.times) } else { String::new() }
}

/// Signals that have not ended it: it handles, ignores or blocks them, or it cannot run.
fn received(signals: &[Sent], step: &mut impl FnMut(Option<Ktime>, String)) {
    for sent in signals {
        let name = signal_name(sent.signal).unwrap_or("a signal");
        let fate = if sent.is_ignored() { ", which was ignored" } else { "" };
        step(Some(sent.last), format!("received {name}{}{fate}{}", sender(sent), repeated(sent)));
    }
}

fn ended(status: Option<WaitStatus>) -> String {
    match status.map(|status| (status, status.signal())) {
        None => "ended; its wait status was not seen".into(),
        Some((status, None)) => format!("ended with exit code {}", status.code().unwrap_or_default()),
        Some((status, Some(signal))) => {
            let name = signal_name(signal).map_or_else(|| format!("signal {signal}"), Into::into);
            let core = if status.core_dumped() { ", core dumped" } else { "" };
            format!("killed by {name}{core}")
        }
    }
}

fn end(life: &Life, cast: &Cast<'_>, stamp: &Stamp, step: &mut impl FnMut(Option<Ktime>, String)) {
    if let Some(at) = life.leader_died_at {
        step(Some(at).filter(|&at| cast.saw(at)), "its main thread ended, other threads continued".into());
    }
    let zombie_since = life.zombie.and_then(|span| match life.state {
        LifeState::Zombie => (span.bound == Bound::Exact).then_some(life.since),
        _ => (span.bound == Bound::Exact)
            .then(|| Ktime(life.released_at.unwrap_or(life.since).0.saturating_sub(span.ns))),
    });
    match life.state {
        LifeState::Running => {}
        LifeState::Exiting => step(Some(life.since).filter(|&at| cast.saw(at)), "its exit began".into()),
        LifeState::DeadLeader => {
            if life.leader_died_at.is_none() {
                step(None, "its main thread ended, other threads continue".into());
            }
        }
        LifeState::Zombie => {
            let text = format!("{}; a zombie since", ended(life.status));
            match zombie_since {
                Some(at) => step(Some(at), format!("{text}, {}", duration(cast.now.since(at)))),
                None => step(
                    None,
                    format!("{}; a zombie; the time of its death was not seen", ended(life.status)),
                ),
            }
        }
        LifeState::Dead | LifeState::Released => {
            let text = ended(life.status);
            match life.ended_at.or(zombie_since) {
                Some(at) => step(Some(at), text),
                None => step(None, format!("{text}; the time was not seen")),
            }
            step(life.taken_at.or(life.released_at), taken(life, stamp));
        }
    }
}

fn taken(life: &Life, stamp: &Stamp) -> String {
    let after = life.zombie.map_or(String::new(), |span| {
        let about = match span.bound {
            Bound::Exact => "",
            Bound::AtMost => "at most ",
            Bound::AtLeast => "at least ",
        };
        format!(" after {about}{} as a zombie", duration(span.ns))
    });
    match (life.end, life.reaper) {
        (Some(End::Autoreaped), _) => "released without a wait: its parent ignores SIGCHLD".into(),
        (_, Some(reaper)) => {
            let by = ProcessRef::by(reaper.process, reaper.name, stamp);
            let role = match reaper.kind {
                ReaperKind::Parent => ", its parent",
                ReaperKind::Tracer => ", its tracer",
                ReaperKind::NamespaceInit => ", the init of its pid namespace, while that exited",
                ReaperKind::ExitingParent => ", its parent, while that exited",
                ReaperKind::Itself | ReaperKind::DeThread | ReaperKind::Other => "",
            };
            format!("reaped by {by}{role}{after}")
        }
        (Some(End::Reaped), None) => format!("reaped{after}; the reaper was not seen"),
        (None, None) => format!("gone{after}"),
    }
}
