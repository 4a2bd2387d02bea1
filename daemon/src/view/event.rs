//! An event of the stream, with what a row shows.

use std::fmt::Write as _;

use serde::Deserialize;

use crate::verdict::duration;

/// An event, or a gap.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// Wall-clock time, RFC 3339; a gap has none.
    #[serde(rename = "@timestamp", default)]
    pub timestamp: Option<String>,
    #[serde(rename = "event")]
    head: ViewHead,
    #[serde(default)]
    process: Option<ViewProcess>,
    #[serde(default)]
    task: Option<ViewTask>,
    #[serde(default)]
    gap: Option<ViewGap>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct ViewHead {
    action: String,
    #[serde(default)]
    sequence: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct ViewProcess {
    pub(super) pid: u32,
    #[serde(default)]
    pub(super) parent_pid: Option<u32>,
    #[serde(default)]
    pub(super) entity_id: Option<String>,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    exit: Option<ViewExit>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct ViewExit {
    #[serde(default)]
    code: Option<i32>,
    #[serde(default)]
    signal_name: Option<String>,
    #[serde(default)]
    signal: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct ViewTask {
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    exec_path: Option<String>,
    #[serde(default)]
    errno_name: Option<String>,
    #[serde(default)]
    wchan: Option<String>,
    #[serde(default)]
    zombie_duration_ns: Option<u64>,
    #[serde(default)]
    blocked_ns: Option<u64>,
    #[serde(default)]
    stuck_ns: Option<u64>,
    #[serde(default)]
    threads_left: Option<u32>,
    #[serde(default)]
    old_parent_pid: Option<u32>,
    #[serde(default)]
    new_parent_pid: Option<u32>,
    #[serde(default)]
    reparent_kind: Option<String>,
    #[serde(default)]
    reaper: Option<Who>,
    #[serde(default)]
    death: Option<ViewDeath>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Who {
    #[serde(default)]
    pid: Option<u32>,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct ViewDeath {
    cause: String,
    #[serde(default)]
    by_signal: Option<BySignal>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct BySignal {
    #[serde(default)]
    sender: Option<Who>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct ViewGap {
    place: String,
    #[serde(default)]
    lost: Option<u64>,
}

impl Who {
    fn text(&self) -> String {
        let name = self.name.as_deref().unwrap_or("?");
        self.pid.map_or_else(|| name.to_owned(), |pid| format!("{name} ({pid})"))
    }
}

impl Event {
    /// The actions that the view shows: one for each change of a process's state.
    pub const ACTIONS: &'static str = "forked,clone_failed,execed,exec_takeover,reparented,blocked_flagged,blocked_cleared,leak_flagged,leak_cleared,\
                                       exit_stuck,leader_died,group_exited,zombie_began,zombie_flagged,reaped,autoreaped";

    /// Parses a line of the stream; `None` for a heartbeat, for an event of a thread, and for other lines.
    #[must_use]
    pub fn of_line(line: &str) -> Option<Self> {
        let event: Self = serde_json::from_str(line).ok()?;
        let is_shown = event.gap.is_some() || Self::ACTIONS.split(',').any(|it| it == event.head.action);
        let kind = event.task.as_ref().and_then(|task| task.kind.as_deref());
        // These events of a thread are about its process, so they are shown.
        let is_threads = matches!(kind, Some("thread" | "io_worker" | "user_worker"))
            && matches!(event.head.action.as_str(), "forked" | "reaped" | "autoreaped" | "reparented");
        (is_shown && !is_threads).then_some(event)
    }

    /// Returns a gap of `lost` events.
    #[must_use]
    pub fn gap(place: &str, lost: u64) -> Self {
        let head = ViewHead { action: "gap".into(), sequence: 0 };
        let gap = Some(ViewGap { place: place.into(), lost: Some(lost) });
        Self { timestamp: None, head, process: None, task: None, gap }
    }

    pub(super) fn is_reparenting(&self) -> bool {
        self.head.action == "reparented"
    }

    pub(super) fn action(&self) -> &str {
        &self.head.action
    }

    pub(super) const fn sequence(&self) -> u64 {
        self.head.sequence
    }

    pub(super) const fn process(&self) -> Option<&ViewProcess> {
        self.process.as_ref()
    }

    pub(super) const fn is_gap(&self) -> bool {
        self.gap.is_some()
    }

    /// Returns the pids of the former and the new parent, and the kind of the new one.
    pub(super) fn parents(&self) -> (Option<u32>, Option<u32>, &str) {
        self.task.as_ref().map_or((None, None, ""), |task| {
            (task.old_parent_pid, task.new_parent_pid, task.reparent_kind.as_deref().unwrap_or_default())
        })
    }

    /// Returns further facts as text, not escaped.
    pub(super) fn facts(&self) -> String {
        if let Some(gap) = &self.gap {
            return match gap.lost {
                Some(lost) => format!("{lost} events are missing here ({})", gap.place),
                None => format!("events are missing here ({})", gap.place),
            };
        }
        let mut text = String::new();
        let nothing = ViewTask::default();
        let task = self.task.as_ref().unwrap_or(&nothing);
        let mut add = |part: std::fmt::Arguments<'_>| {
            // Writing to a String does not fail.
            let _ = write!(text, "{}{part}", if text.is_empty() { "" } else { ", " });
        };
        let parent = self.process.as_ref().and_then(|process| process.parent_pid);
        if matches!(self.action(), "forked" | "zombie_began" | "zombie_flagged")
            && let Some(pid) = parent
        {
            add(format_args!("parent {pid}"));
        }
        if let Some(path) = &task.exec_path {
            add(format_args!("{path}"));
        }
        if let Some(errno) = &task.errno_name {
            add(format_args!("{errno}"));
        }
        if let Some(wchan) = &task.wchan {
            add(format_args!("in {wchan}()"));
        }
        if self.is_reparenting() {
            let (old, new, kind) = self.parents();
            if let (Some(old), Some(new)) = (old, new) {
                add(format_args!("{old} -> {new} ({})", kind.replace('_', " ")));
            }
        }
        if self.action() == "group_exited"
            && let Some(exit) = self.process.as_ref().and_then(|process| process.exit.as_ref())
        {
            match (exit.code, &exit.signal_name, exit.signal) {
                (Some(code), _, _) => add(format_args!("code {code}")),
                (_, Some(name), _) => add(format_args!("{name}")),
                (_, _, Some(signal)) => add(format_args!("signal {signal}")),
                _ => {}
            }
        }
        if let Some(death) = task.death.as_ref().filter(|death| death.cause != "exited") {
            match death.by_signal.as_ref().and_then(|signal| signal.sender.as_ref()) {
                Some(sender) => add(format_args!("{} by {}", death.cause, sender.text())),
                None => add(format_args!("{}", death.cause)),
            }
        }
        if let Some(reaper) = &task.reaper {
            add(format_args!("by {}", reaper.text()));
        }
        let lengths = [task.zombie_duration_ns, task.blocked_ns, task.stuck_ns];
        if let Some(length) = lengths.into_iter().flatten().next() {
            add(format_args!("after {}", duration(length)));
        }
        if let Some(left) = task.threads_left {
            add(format_args!("{left} threads still run"));
        }
        text
    }
}

/// `name (pid)`, not escaped.
pub(super) fn name_pid(name: Option<&str>, pid: u32) -> String {
    format!("{} ({pid})", name.unwrap_or("?"))
}
