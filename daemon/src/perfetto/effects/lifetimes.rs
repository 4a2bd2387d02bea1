//! The tracks of processes and threads: from their creation to their end.

use std::{borrow::Cow, io::Write};

use super::EffectTrace;
use crate::{
    lineage::{
        death::GroupDeath,
        effect::{Effect, Process, Thread},
        id::{GroupKey, TaskKey},
        record::Comm,
    },
    perfetto::{
        trace::{Notes, ProcessInfo, ThreadInfo, Value, track_id},
        tracks::Track,
    },
};

/// The parts of the ids of tracks.
const PROCESS: u64 = 1;

pub(super) const THREAD: u64 = 2;

/// The depth of slices inside the life of a process or thread.
pub(super) const LIFE: u32 = 1;

pub(super) fn text(comm: Option<&Comm>) -> Cow<'_, str> {
    comm.map_or(Cow::Borrowed("?"), |comm| String::from_utf8_lossy(comm.bytes()))
}

pub(super) const fn start(key: GroupKey) -> Option<u64> {
    match key.start {
        Some(start) => Some(start.0),
        None => None,
    }
}

/// Returns the id of the track of a process.
pub(super) fn process_track(key: GroupKey) -> u64 {
    track_id(PROCESS, key.tgid.0, start(key).unwrap_or_default())
}

impl<W: Write> EffectTrace<W> {
    /// Introduces a process if it is new, and returns the id of its track. The id never changes, although it depends on the start
    /// time, which may have been unknown when the process was introduced.
    pub(super) fn open_process(&mut self, process: &Process, at: u64) -> u64 {
        let Process { key, name, parent, executable, credentials, .. } = process;
        if let Some(track) = self.processes.get(key.tgid, start(*key)) {
            return track.id;
        }
        let id = process_track(*key);
        let from = start(*key).unwrap_or(self.begun.0);
        let mut track = Track::new(id, start(*key), from);
        let path = executable.as_ref().map(|path| String::from_utf8_lossy(path.bytes()));
        let name = text(name.as_ref());
        let info = ProcessInfo {
            track: id,
            pid: key.tgid.0,
            parent: parent.map(|parent| parent.tgid.0),
            name: &name,
            executable: path.as_deref(),
            start: start(*key),
            uid: credentials.map(|(real, _)| real),
        };
        self.trace.process(&info, from, true);
        let mut notes = vec![("pid", Value::Number(u64::from(key.tgid.0)))];
        if let Some(parent) = parent {
            notes.push(("parent_pid", Value::Number(u64::from(parent.tgid.0))));
        }
        if key.start.is_none() {
            notes.push(("start_not_known", Value::True));
        }
        track.begin(&mut self.trace, from, &name, &notes);
        self.processes.insert(&mut self.trace, key.tgid, track, at);
        id
    }

    pub(super) fn open_thread(&mut self, process: &Process, thread: &Thread, at: u64) {
        let of = self.open_process(process, at);
        let TaskKey { tid, start } = thread.key;
        if self.threads.get(tid, Some(start.0)).is_some() {
            return;
        }
        let id = track_id(THREAD, tid.0, start.0);
        let name = text(thread.name.as_ref());
        let info = ThreadInfo { track: id, pid: process.key.tgid.0, tid: tid.0, name: &name };
        self.trace.thread(&info, of, start.0);
        let mut track = Track::new(id, Some(start.0), start.0);
        track.begin(&mut self.trace, start.0, &name, &Notes::new());
        self.threads.insert(&mut self.trace, tid, track, at);
    }

    /// Writes the new names after an exec or a change of the comm.
    pub(super) fn rename(&mut self, effect: &Effect) {
        let Effect { process, thread, .. } = effect;
        let of = self.open_process(process, effect.at.0);
        let name = text(thread.name.as_ref());
        let id = track_id(THREAD, thread.key.tid.0, thread.key.start.0);
        let info = ThreadInfo { track: id, pid: process.key.tgid.0, tid: thread.key.tid.0, name: &name };
        self.trace.thread(&info, of, effect.at.0);
        if thread.key.tid == process.key.tgid.leader() {
            let path = process.executable.as_ref().map(|path| String::from_utf8_lossy(path.bytes()));
            let info = ProcessInfo {
                track: of,
                pid: process.key.tgid.0,
                parent: None,
                name: &name,
                executable: path.as_deref(),
                start: start(process.key),
                uid: None,
            };
            self.trace.process(&info, effect.at.0, false);
        }
    }

    /// Begins the leader's slice again: another thread has its tid now.
    pub(super) fn take_over(&mut self, process: &Process, thread: &Thread, at: u64) {
        let name = text(thread.name.as_ref());
        let TaskKey { tid, start } = thread.key;
        match self.threads.get(tid, Some(start.0)) {
            Some(track) if track.depth() == 0 => {
                track.is_dead = false;
                track.begin(&mut self.trace, at, &name, &vec![("exec_takeover", Value::True)]);
            }
            Some(_) => {}
            None => self.open_thread(process, thread, at),
        }
    }

    /// The last task of a process died: its life ends, and the signal that ended it has its arrow.
    pub(super) fn ended(&mut self, process: &Process, at: u64, death: Option<&GroupDeath>) {
        if let Some(sent) = death.and_then(|death| death.by.as_ref()) {
            self.signal(process.key, sent);
        }
        let mut notes = Notes::new();
        if let Some(death) = death {
            notes.push(("cause", Value::Text(death.cause.code())));
        }
        if let Some(status) = process.status {
            notes.push(("wait_status", Value::Signed(i64::from(status.0))));
        }
        if let Some(track) = self.processes.get(process.key.tgid, start(process.key)) {
            if track.is_dead {
                // The process was counted as a zombie before, while a thread that no record had shown was still alive.
                notes.clear();
            }
            // Only the end of the outermost slice has the notes.
            track.end(&mut self.trace, at, LIFE, &Notes::new());
            track.end(&mut self.trace, at, 0, &notes);
            track.is_dead = true;
        }
    }

    pub(super) fn zombie(&mut self, process: &Process, at: u64) {
        let Some(track) = self.processes.get(process.key.tgid, start(process.key)) else { return };
        track.end(&mut self.trace, at, 0, &Notes::new());
        track.is_dead = true;
        let mut notes = Notes::new();
        if let Some(parent) = process.parent {
            notes.push(("parent_pid", Value::Number(u64::from(parent.tgid.0))));
        }
        track.begin(&mut self.trace, at, "zombie", &notes);
    }
}
