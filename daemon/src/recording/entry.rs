//! Entries: the input of the pipeline, in order. A recording is one message without end, and each entry is one of its fields: the number
//! of the field is the kind of the entry.

use super::{
    facts::{get_record, put_record},
    header::Header,
    wire::{self, Fields, Malformed, Plain, Value, message},
};
use crate::{
    cgroup::Place,
    lineage::{
        Arguments, Config,
        figures::TaskFigures,
        id::{GroupKey, Ktime, TaskKey, Tgid, Tid},
        leaks::SessionFacts,
        record::Record,
    },
};

/// An input of the pipeline.
#[derive(Clone, Debug)]
pub enum Entry {
    /// The first entry.
    Header(Box<Header>),
    /// A record was applied at the time `now`.
    Record {
        /// The record, with the facts that were read from /proc for it.
        record: Record,
        /// The clock of the pipeline.
        now: Ktime,
    },
    /// A comparison with the kernel's tasks began.
    SnapshotBegun(Ktime),
    /// The comparison has read all tasks.
    SnapshotEnded(Ktime),
    /// The comparison could not read all tasks.
    SnapshotAbandoned,
    /// The comparison has read this task, and the tree agrees with it.
    ShownUnchanged(TaskKey),
    /// Time passed.
    Tick {
        /// The clock.
        now: Ktime,
        /// How many zombies were allowed to be flagged; `None` is all.
        flagged: Option<u64>,
    },
    /// Records of signals may have been lost up to this time.
    SignalsDoubted(Ktime),
    /// Records of releases may have been lost up to this time.
    ZombiesDoubted(Ktime),
    /// /proc has this zombie.
    ZombieConfirmed(GroupKey),
    /// /proc does not have this zombie any more, after a loss.
    UnconfirmedEnded(GroupKey, Ktime),
    /// /proc does not have this zombie any more, and the report of its release is late.
    ReapedEnded(GroupKey, Ktime),
    /// The program of a process that is older than the recording.
    Executable(GroupKey, Vec<u8>),
    /// The arguments of a process that is older than the recording.
    Arguments(GroupKey, Arguments),
    /// Groups that the kernel hides from the programs.
    Hidden(Vec<Tgid>),
    /// A poll found these tasks in uninterruptible sleep.
    Asleep(Ktime, Vec<TaskFigures>),
    /// A sleep that is too long, with the kernel stack.
    Overdue(Ktime, TaskKey, Vec<String>),
    /// What /proc showed of the session of a process that an init or a subreaper has adopted.
    Session(GroupKey, Option<SessionFacts>),
    /// The groups that may leak were checked.
    LeaksPolled(Ktime),
    /// Settings changed.
    Config(Box<Config>),
    /// The effects so far were passed to readers, except these effects of the recorder's own canaries.
    Delivered(Vec<Own>),
    /// The wall clock was set: nanoseconds to add to a boottime.
    Wall(i64),
    /// Where a cgroup is.
    Cgroup(u64, Place),
    /// Records were lost at this place.
    Lost(String, u64),
    /// What the programs counted.
    Counters(Box<Counters>),
    /// The last entry: why recording ended.
    End(End, Ktime),
}

/// An effect of a canary of the recorder, by its task and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// The task.
    pub tid: Tid,
    /// When.
    pub at: Ktime,
}

message!(SessionFacts { 1 session !, 2 ignores_hangup * });
message!(Own { 1 tid !, 2 at ! });

/// The programs' counters at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records that programs wanted to send, in all.
    pub produced: u64,
    /// Records for which the ring had no room.
    pub dropped: u64,
    /// Records that programs left out because the ring was filling up.
    pub shed: u64,
    /// Other losses of the programs.
    pub unreported: u64,
    /// Calls of programs that the kernel skipped.
    pub skipped: u64,
    /// Records of the ring that could not be decoded.
    pub undecoded: u64,
    /// Records of the ring that were decoded.
    pub received: u64,
}

/// Why recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A signal, or the end of the command.
    Stopped,
    /// `--max-size` was reached.
    Full,
}

wire::code!(End { Stopped = 1, Full = 2 });
message!(Counters {
    1 produced *, 2 dropped *, 3 shed *, 4 unreported *, 5 skipped *, 6 undecoded *, 7 received *,
});

/// The fields of all small entries; each kind of entry uses some of them.
#[derive(Clone, Debug, Default)]
struct Parts {
    at: Option<Ktime>,
    number: Option<u64>,
    group: Option<GroupKey>,
    task: Option<TaskKey>,
    path: Option<Vec<u8>>,
    arguments: Option<Arguments>,
    groups: Vec<Tgid>,
    figures: Vec<TaskFigures>,
    texts: Vec<String>,
    place: Option<Place>,
    end: Option<End>,
    own: Vec<Own>,
    offset: Option<i64>,
    session: Option<SessionFacts>,
}

message!(Parts {
    1 at ?, 2 number ?, 3 group ?, 4 task ?, 5 path ?, 6 arguments ?, 7 groups +, 8 figures +, 9 texts +, 10 place ?,
    11 end ?, 12 own +, 13 offset ?, 14 session ?,
});

/// Field numbers of the kinds of entries.
mod number {
    pub(super) const HEADER: u32 = 1;
    /// The clock of the pipeline, for the records after it.
    pub(super) const NOW: u32 = 2;
    pub(super) const RECORD: u32 = 3;
    /// A record that was applied at its own time, as records of snapshots are.
    pub(super) const RECORD_AT_ITS_TIME: u32 = 4;
    pub(super) const SNAPSHOT_BEGUN: u32 = 5;
    pub(super) const SNAPSHOT_ENDED: u32 = 6;
    pub(super) const SNAPSHOT_ABANDONED: u32 = 7;
    pub(super) const SHOWN_UNCHANGED: u32 = 8;
    pub(super) const TICK: u32 = 9;
    pub(super) const SIGNALS_DOUBTED: u32 = 10;
    pub(super) const ZOMBIES_DOUBTED: u32 = 11;
    pub(super) const ZOMBIE_CONFIRMED: u32 = 12;
    pub(super) const UNCONFIRMED_ENDED: u32 = 13;
    pub(super) const REAPED_ENDED: u32 = 14;
    pub(super) const EXECUTABLE: u32 = 15;
    pub(super) const ARGUMENTS: u32 = 16;
    pub(super) const HIDDEN: u32 = 17;
    pub(super) const ASLEEP: u32 = 18;
    pub(super) const OVERDUE: u32 = 19;
    pub(super) const CONFIG: u32 = 20;
    pub(super) const DELIVERED: u32 = 21;
    pub(super) const WALL: u32 = 22;
    pub(super) const CGROUP: u32 = 23;
    pub(super) const LOST: u32 = 24;
    pub(super) const COUNTERS: u32 = 25;
    pub(super) const END: u32 = 26;
    pub(super) const SESSION: u32 = 27;
    pub(super) const LEAKS_POLLED: u32 = 28;
}

/// Writes entries. Each frame begins with a new encoder, so that it can be read without the one before.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    /// The time of the last record.
    base: Ktime,
    now: Ktime,
}

impl Encoder {
    pub(super) fn record(&mut self, record: &Record, now: Ktime, out: &mut Vec<u8>) {
        let kind = if now == record.at {
            number::RECORD_AT_ITS_TIME
        } else {
            if now != self.now {
                now.put(number::NOW, out);
                self.now = now;
            }
            number::RECORD
        };
        wire::nested(kind, out, |out| put_record(record, self.base, out));
        self.base = record.at;
    }

    pub(super) fn entry(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        let at = |at: &Ktime| Parts { at: Some(*at), ..Parts::default() };
        let of = |group: &GroupKey| Parts { group: Some(*group), ..Parts::default() };
        let (number, parts) = match entry {
            Entry::Header(header) => return header.put(number::HEADER, out),
            Entry::Record { record, now } => return self.record(record, *now, out),
            Entry::Config(config) => return config.put(number::CONFIG, out),
            Entry::Counters(counters) => return counters.put(number::COUNTERS, out),
            Entry::SnapshotBegun(time) => (number::SNAPSHOT_BEGUN, at(time)),
            Entry::SnapshotEnded(time) => (number::SNAPSHOT_ENDED, at(time)),
            Entry::SnapshotAbandoned => (number::SNAPSHOT_ABANDONED, Parts::default()),
            Entry::ShownUnchanged(task) => {
                (number::SHOWN_UNCHANGED, Parts { task: Some(*task), ..Parts::default() })
            }
            Entry::Tick { now, flagged } => (number::TICK, Parts { number: *flagged, ..at(now) }),
            Entry::SignalsDoubted(time) => (number::SIGNALS_DOUBTED, at(time)),
            Entry::ZombiesDoubted(time) => (number::ZOMBIES_DOUBTED, at(time)),
            Entry::ZombieConfirmed(group) => (number::ZOMBIE_CONFIRMED, of(group)),
            Entry::UnconfirmedEnded(group, time) => {
                (number::UNCONFIRMED_ENDED, Parts { at: Some(*time), ..of(group) })
            }
            Entry::ReapedEnded(group, time) => (number::REAPED_ENDED, Parts { at: Some(*time), ..of(group) }),
            Entry::Executable(group, path) => {
                (number::EXECUTABLE, Parts { path: Some(path.clone()), ..of(group) })
            }
            Entry::Arguments(group, arguments) => {
                (number::ARGUMENTS, Parts { arguments: Some(arguments.clone()), ..of(group) })
            }
            Entry::Hidden(groups) => (number::HIDDEN, Parts { groups: groups.clone(), ..Parts::default() }),
            Entry::Asleep(time, figures) => (number::ASLEEP, Parts { figures: figures.clone(), ..at(time) }),
            Entry::Overdue(time, task, stack) => {
                (number::OVERDUE, Parts { task: Some(*task), texts: stack.clone(), ..at(time) })
            }
            Entry::Session(group, session) => (number::SESSION, Parts { session: *session, ..of(group) }),
            Entry::LeaksPolled(time) => (number::LEAKS_POLLED, at(time)),
            Entry::Delivered(own) => (number::DELIVERED, Parts { own: own.clone(), ..Parts::default() }),
            Entry::Wall(offset) => (number::WALL, Parts { offset: Some(*offset), ..Parts::default() }),
            Entry::Cgroup(id, place) => {
                (number::CGROUP, Parts { number: Some(*id), place: Some(place.clone()), ..Parts::default() })
            }
            Entry::Lost(place, count) => {
                (number::LOST, Parts { number: Some(*count), texts: vec![place.clone()], ..Parts::default() })
            }
            Entry::End(end, time) => (number::END, Parts { end: Some(*end), ..at(time) }),
        };
        parts.put(number, out);
    }
}

/// Reads the entries of a frame. An entry that this version does not know is skipped: if it mattered, the format would have another
/// version.
pub struct Entries<'a> {
    length: usize,
    fields: Fields<'a>,
    base: Ktime,
    now: Ktime,
}

impl<'a> Entries<'a> {
    /// Returns the entries in the content of a frame.
    #[must_use]
    pub const fn of(content: &'a [u8]) -> Self {
        Self { length: content.len(), fields: Fields::of(content), base: Ktime(0), now: Ktime(0) }
    }

    /// How many bytes of the content have been read.
    #[must_use]
    pub const fn read(&self) -> usize {
        self.length - self.fields.left()
    }

    fn entry(&mut self, field: u32, value: Value<'_>) -> Result<Option<Entry>, Malformed> {
        match field {
            number::HEADER => return Ok(Some(Entry::Header(Plain::get(value)?))),
            number::CONFIG => return Ok(Some(Entry::Config(Plain::get(value)?))),
            number::COUNTERS => return Ok(Some(Entry::Counters(Plain::get(value)?))),
            number::NOW => {
                self.now = Ktime::get(value)?;
                return Ok(None);
            }
            number::RECORD | number::RECORD_AT_ITS_TIME => {
                let record = get_record(value.bytes()?, self.base)?;
                self.base = record.at;
                let now = if field == number::RECORD { self.now } else { record.at };
                return Ok(Some(Entry::Record { record, now }));
            }
            number::SNAPSHOT_BEGUN..=number::LEAKS_POLLED => {}
            _ => return Ok(None),
        }
        let parts = Parts::get(value)?;
        let at = parts.at.ok_or(Malformed::Missing("at"));
        let group = parts.group.ok_or(Malformed::Missing("group"));
        let task = parts.task.ok_or(Malformed::Missing("task"));
        let number = parts.number.ok_or(Malformed::Missing("number"));
        Ok(Some(match field {
            number::SNAPSHOT_BEGUN => Entry::SnapshotBegun(at?),
            number::SNAPSHOT_ENDED => Entry::SnapshotEnded(at?),
            number::SNAPSHOT_ABANDONED => Entry::SnapshotAbandoned,
            number::SHOWN_UNCHANGED => Entry::ShownUnchanged(task?),
            number::TICK => Entry::Tick { now: at?, flagged: parts.number },
            number::SIGNALS_DOUBTED => Entry::SignalsDoubted(at?),
            number::ZOMBIES_DOUBTED => Entry::ZombiesDoubted(at?),
            number::ZOMBIE_CONFIRMED => Entry::ZombieConfirmed(group?),
            number::UNCONFIRMED_ENDED => Entry::UnconfirmedEnded(group?, at?),
            number::REAPED_ENDED => Entry::ReapedEnded(group?, at?),
            number::EXECUTABLE => Entry::Executable(group?, parts.path.ok_or(Malformed::Missing("path"))?),
            number::ARGUMENTS => {
                Entry::Arguments(group?, parts.arguments.ok_or(Malformed::Missing("arguments"))?)
            }
            number::HIDDEN => Entry::Hidden(parts.groups),
            number::ASLEEP => Entry::Asleep(at?, parts.figures),
            number::OVERDUE => Entry::Overdue(at?, task?, parts.texts),
            number::DELIVERED => Entry::Delivered(parts.own),
            number::SESSION => Entry::Session(group?, parts.session),
            number::LEAKS_POLLED => Entry::LeaksPolled(at?),
            number::WALL => Entry::Wall(parts.offset.ok_or(Malformed::Missing("offset"))?),
            number::CGROUP => Entry::Cgroup(number?, parts.place.ok_or(Malformed::Missing("place"))?),
            number::LOST => {
                let place = parts.texts.into_iter().next().ok_or(Malformed::Missing("place"))?;
                Entry::Lost(place, number?)
            }
            _ => Entry::End(parts.end.ok_or(Malformed::Missing("end"))?, at?),
        }))
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.fields.next()? {
                Ok((field, value)) => self.entry(field, value),
                Err(error) => Err(error),
            };
            match entry {
                Ok(None) => {}
                Ok(Some(entry)) => return Some(Ok(entry)),
                Err(error) => {
                    self.fields = Fields::of(&[]);
                    return Some(Err(error));
                }
            }
        }
    }
}
