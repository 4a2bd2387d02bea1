//! The signals that ended processes: an instant on the track of the sender, one on that of the victim, and the arrow between them.

use std::io::Write;

use super::{EffectTrace, start, text};
use crate::{
    lineage::{
        death::Sent,
        effect::Process,
        flags::signal_name,
        id::{GroupKey, TaskRef},
    },
    perfetto::trace::{Flow, Value},
};

impl<W: Write> EffectTrace<W> {
    /// An instant of the sender, an instant of the victim, and the arrow from one to the other.
    pub(super) fn signal(&mut self, victim: GroupKey, sent: &Sent) {
        let name = signal_name(sent.signal).map_or_else(|| sent.signal.to_string(), str::to_owned);
        let at = sent.at.0;
        let Some(victim) = self.processes.get(victim.tgid, start(victim)).map(|track| track.id) else {
            return;
        };
        let sender = sent.sender.task.filter(|_| !sent.sender.is_kernel_thread());
        let sender = sender.and_then(|task| Some((task, self.sender(task, sent)?)));
        let flow = sender.map(|(task, track)| {
            let flow = self.trace.new_flow();
            let notes = vec![("thread", Value::Number(u64::from(task.key.tid.0)))];
            self.trace.instant(track, at, &format!("sends {name}"), Some(Flow::From(flow)), &notes);
            Flow::To(flow)
        });
        let by = text(sent.sender.name.as_ref());
        let mut notes = vec![("sender", Value::Text(&by))];
        if let Some(task) = sent.sender.task {
            notes.push(("sender_pid", Value::Number(u64::from(task.tgid.0))));
        }
        self.trace.instant(victim, at, &name, flow, &notes);
    }

    /// Returns the track of the process that sent a signal; `None` if it ended too long before the victim.
    fn sender(&mut self, task: TaskRef, sent: &Sent) -> Option<u64> {
        let key = task.group();
        let start = key.start;
        if let Some(track) = self.processes.get(key.tgid, start.map(|start| start.0)) {
            return Some(track.id);
        }
        let is_same = |(ended, _): &&(GroupKey, u64)| {
            ended.tgid == key.tgid && (start.is_none() || ended.start.is_none() || ended.start == start)
        };
        if let Some((_, track)) = self.ended.iter().rev().find(is_same) {
            return Some(*track);
        }
        // A process that is younger than the recording was introduced when it was forked.
        if task.key.start >= self.begun {
            return None;
        }
        let process = Process {
            key,
            name: sent.sender.name,
            parent: sent.sender.ancestors.first().map(|parent| parent.key),
            vpid: None,
            executable: None,
            arguments: None,
            credentials: sent.sender.uid.map(|uid| (uid, uid)),
            status: None,
        };
        Some(self.open_process(&process, sent.at.0))
    }
}
