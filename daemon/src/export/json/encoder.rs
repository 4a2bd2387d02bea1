//! Writes many events: the parts that the lines of a task have in common are copied from an earlier line.

use std::sync::Arc;

use super::{Parts, write_with};
use crate::cgroup::Place;
use crate::export::Stamp;
use crate::export::encode::Object;
use crate::lineage::effect::{Action, Effect, Process, Thread};

/// Tasks whose parts are kept. A task that starts or ends causes several events in succession, so a few are enough.
const TASKS: usize = 64;

/// The most bytes of a task's parts that are kept. Names and arguments can be long, and escapes make them longer.
const MOST_BYTES: usize = 4096;

/// The number of [`super::Part`]s.
const PARTS: usize = 4;

/// Writes the same lines as [`super::write`].
#[derive(Debug, Default)]
pub struct Encoder {
    /// The stamp of the parts.
    stamp: Option<Stamp>,
    /// By tid.
    kept: Vec<Option<Kept>>,
}

/// The parts of one task's lines.
#[derive(Debug)]
struct Kept {
    process: Process,
    thread: Thread,
    place: Option<Arc<Place>>,
    text: Vec<u8>,
    ends: [usize; PARTS],
}

impl Encoder {
    /// Appends an event to `line`. `place` is the task's cgroup, unit and container, if known.
    pub fn write(
        &mut self,
        effect: &Effect,
        sequence: u64,
        stamp: &Stamp,
        place: Option<&Arc<Place>>,
        line: &mut Vec<u8>,
    ) {
        if self.stamp.as_ref() != Some(stamp) {
            self.stamp = Some(stamp.clone());
            self.kept.clear();
            self.kept.resize_with(TASKS, || None);
        }
        let has_own_arguments = matches!(effect.action, Action::Execed { args: Some(_), .. });
        let slot = self.kept.get_mut(effect.thread.key.tid.0 as usize % TASKS);
        let plain = place.map(AsRef::as_ref);
        match slot {
            Some(Some(kept)) if !has_own_arguments && kept.is_of(effect, place) => {
                write_with(&mut Copied(kept), effect, sequence, stamp, plain, line);
            }
            Some(slot) if !has_own_arguments => {
                let earlier = slot.take();
                let kept = slot.insert(Kept::new(effect, place, earlier));
                write_with(&mut Keeping(kept), effect, sequence, stamp, plain, line);
                if kept.text.len() > MOST_BYTES {
                    *slot = None;
                }
            }
            _ => super::write(effect, sequence, stamp, plain, line),
        }
    }
}

impl Kept {
    /// Returns parts to be written, in the memory of earlier ones.
    fn new(effect: &Effect, place: Option<&Arc<Place>>, earlier: Option<Self>) -> Self {
        let mut text = earlier.map(|earlier| earlier.text).unwrap_or_default();
        text.clear();
        Self {
            process: effect.process.clone(),
            thread: effect.thread,
            place: place.cloned(),
            text,
            ends: [0; PARTS],
        }
    }

    /// Returns whether the parts are those of this event's line.
    fn is_of(&self, effect: &Effect, place: Option<&Arc<Place>>) -> bool {
        self.has_thread(effect.thread)
            && self.has_process(&effect.process)
            && is_same(self.place.as_ref(), place)
    }

    fn has_thread(&self, thread: Thread) -> bool {
        let Thread { exit_state, exit_code, flags, .. } = self.thread;
        self.thread == Thread { exit_state, exit_code, flags, ..thread }
    }

    fn has_process(&self, process: &Process) -> bool {
        let Process { key, name, parent, vpid, executable, arguments, credentials, status: _ } = process;
        let kept = &self.process;
        (kept.key, kept.name, kept.parent, kept.vpid) == (*key, *name, *parent, *vpid)
            && kept.credentials == *credentials
            && is_same(kept.executable.as_ref(), executable.as_ref())
            && is_same(kept.arguments.as_ref(), arguments.as_ref())
    }
}

/// Returns whether both are the same allocation, or neither is there. A kept one is not freed, so its address is not used again.
fn is_same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
}

/// Writes parts and keeps them.
struct Keeping<'a>(&'a mut Kept);

impl Parts for Keeping<'_> {
    fn part(&mut self, part: super::Part, object: &mut Object<'_>, write: impl FnOnce(&mut Object<'_>)) {
        let start = object.position();
        write(object);
        self.0.text.extend_from_slice(object.since(start));
        if let Some(end) = self.0.ends.get_mut(part as usize) {
            *end = self.0.text.len();
        }
    }
}

/// Copies the parts that are kept.
struct Copied<'a>(&'a Kept);

impl Parts for Copied<'_> {
    fn part(&mut self, part: super::Part, object: &mut Object<'_>, _: impl FnOnce(&mut Object<'_>)) {
        let Kept { text, ends, .. } = self.0;
        let start = (part as usize).checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
        let end = ends.get(part as usize).copied().unwrap_or(start);
        object.raw(text.get(start..end).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lineage::id::{GroupKey, Ktime, TaskKey, Tgid, Tid};
    use crate::lineage::record::{Comm, Namespaced};
    use crate::lineage::status::WaitStatus;
    use crate::lineage::{Arguments, PathName, Provenance, TaskKind};

    /// What the events of a test choose from.
    struct Pool {
        stamps: [Stamp; 2],
        places: [Option<Arc<Place>>; 3],
        programs: [Option<Arc<PathName>>; 3],
        arguments: [Option<Arc<Arguments>>; 2],
    }

    impl Pool {
        fn new() -> Self {
            let program = |path: &[u8]| Some(Arc::new(PathName::from(path)));
            let arguments = Arguments { args: vec![b"a".to_vec(), b"\xff".to_vec()], truncated: true };
            Self {
                stamps: [Stamp::new("0123-4567", 1_700_000_000_000_000_000), Stamp::new("0123-4567", 5)],
                places: [
                    None,
                    Some(Arc::new(Place::of("/"))),
                    Some(Arc::new(Place::of("/system.slice/a.service"))),
                ],
                programs: [None, program(b"/bin/a\n"), program(b"/bin/b (deleted)")],
                arguments: [None, Some(Arc::new(arguments))],
            }
        }

        /// An event of one of a few tasks. Each byte of `choice` decides one of its fields, and mostly the same way.
        fn event(&self, choice: &[u8; 16]) -> (Effect, &Stamp, Option<&Arc<Place>>) {
            let [
                tid,
                start,
                name,
                parent,
                vpid,
                program,
                arguments,
                uids,
                status,
                state,
                flags,
                ids,
                place,
                stamp,
                action,
                kind,
            ] = *choice;
            let other = |byte: u8| byte > 200;
            let pick = |byte: u8, count: usize| usize::from(byte / 100) % count;
            // Some tids share a slot.
            let tid = u32::from(tid % 3) * (TASKS as u32 / 2) + 1;
            let start = Ktime(u64::from(other(start)));
            let comm = |byte| {
                Comm(if other(byte) {
                    *b"b\"\xff\0\0\0\0\0\0\0\0\0\0\0\0\0"
                } else {
                    *b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                })
            };
            let key = GroupKey { tgid: Tgid(tid), start: Some(start) };
            let effect = Effect {
                at: Ktime(u64::from(status) * 1_000_003),
                provenance: Provenance::Observed,
                hook: None,
                late_ns: u64::from(action % 2),
                process: Process {
                    key: if kind % 5 == 0 { GroupKey { start: None, ..key } } else { key },
                    name: (!other(parent)).then(|| comm(name)),
                    parent: other(parent).then_some(GroupKey { tgid: Tgid(7), start: Some(Ktime(9)) }),
                    vpid: other(vpid).then_some(u32::from(vpid)),
                    executable: self.programs[pick(program, 3)].clone(),
                    arguments: self.arguments[pick(arguments, 2)].clone(),
                    credentials: other(uids).then_some((u32::from(uids), 0)),
                    status: other(status).then_some(WaitStatus(i32::from(status) << 8)),
                },
                thread: Thread {
                    key: TaskKey { tid: Tid(tid), start },
                    name: (!other(vpid)).then(|| comm(ids)),
                    kind: if other(kind) { TaskKind::Thread } else { TaskKind::Process },
                    exit_signal: other(arguments).then_some(17),
                    exit_state: other(state).then_some(32),
                    exit_code: other(state).then_some(i32::from(state)),
                    flags: Some(u32::from(flags)),
                    cgroup_id: other(ids).then_some(1),
                    namespace: other(uids).then_some(Namespaced { vtid: 2, vtgid: None, inode: 3, level: 1 }),
                },
                action: match action % 3 {
                    0 => Action::Autoreaped,
                    1 => Action::Exiting { nr_threads: Some(i32::from(action)) },
                    _ => Action::Execed {
                        path: None,
                        truncated: false,
                        args: other(action).then(|| (vec![b"x".to_vec()], false)),
                        vfork_held_ns: None,
                        since_fork_ns: None,
                    },
                },
            };
            (effect, &self.stamps[pick(stamp, 2)], self.places[pick(place, 3)].as_ref())
        }
    }

    proptest! {
        #[test]
        fn the_lines_are_those_that_are_written_anew(choices in prop::collection::vec(any::<[u8; 16]>(), 1..40)) {
            let pool = Pool::new();
            let mut encoder = Encoder::default();
            for (sequence, choice) in choices.iter().enumerate() {
                // Nearly the same event again, so that parts are copied.
                for changed in 0..16 {
                    let mut choice = *choice;
                    choice[changed] = choice[changed].wrapping_mul(7);
                    let (effect, stamp, place) = pool.event(&choice);
                    let (mut line, mut anew) = (Vec::new(), Vec::new());
                    encoder.write(&effect, sequence as u64, stamp, place, &mut line);
                    super::super::write(&effect, sequence as u64, stamp, place.map(AsRef::as_ref), &mut anew);
                    prop_assert_eq!(String::from_utf8(line).unwrap(), String::from_utf8(anew).unwrap());
                }
            }
        }
    }
}
