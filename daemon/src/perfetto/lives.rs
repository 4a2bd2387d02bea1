//! A trace from records of lives, in any order. A life needs no memory after it is written.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Write},
};

use super::trace::{Flow, Notes, ProcessInfo, Trace, Value, Written, track_id};
use crate::answer::{
    Made,
    life::LifeRecord,
    time_arg,
    tree::{Node, Tree},
};

/// The most senders of signals that are remembered as introduced. Introducing one again only makes the trace longer.
const INTRODUCED: usize = 65_536;

/// Writes a trace from records of lives.
pub struct LifeTrace<W: Write> {
    trace: Trace<W>,
    /// By boot: what to add to its boot times, ns. All times of the trace are on the clock of the first boot, continued past its
    /// end.
    boots: HashMap<String, i128>,
    /// The wall clock less the boot time, of the first boot.
    wall_offset_ns: Option<i128>,
    introduced: HashSet<u64>,
    /// The processes of the tree that was given at the start and whose lives have not been added, by their tracks.
    living: HashMap<u64, Node>,
    made: Option<Made>,
}

/// The boot, pid and start in an entity id.
fn parts(entity_id: &str) -> Option<(&str, u32, u64)> {
    let mut parts = entity_id.split('-');
    let (boot, pid, start) = (parts.next()?, parts.next()?, parts.next()?);
    Some((boot, pid.parse().ok()?, start.parse().ok()?))
}

/// Returns the id of the track of a process.
fn track(boot: &str, pid: u32, start: u64) -> u64 {
    // The boot's id is hexadecimal digits.
    let boot = boot.bytes().fold(0_u64, |hash, byte| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
    track_id(boot, pid, start)
}

impl<W: Write> LifeTrace<W> {
    /// Starts a trace. The processes in `tree` are in the trace too, unless their lives are added.
    pub fn new(out: W, tree: Option<Tree>) -> Self {
        let (made, nodes) = tree.map_or((None, Vec::new()), |tree| (Some(tree.made), tree.processes));
        let living = nodes.into_iter().filter_map(|node| {
            let (boot, pid, start) = node.entity_id.as_deref().and_then(parts)?;
            Some((track(boot, pid, start), node))
        });
        Self {
            trace: Trace::new(out),
            boots: HashMap::new(),
            wall_offset_ns: None,
            introduced: HashSet::new(),
            living: living.collect(),
            made,
        }
    }

    /// Whether writing has failed.
    pub const fn has_failed(&self) -> bool {
        self.trace.has_failed()
    }

    /// Ends the trace: adds the processes that exist, zombies too.
    pub fn finish(mut self) -> io::Result<Written> {
        let mut living: Vec<_> = std::mem::take(&mut self.living).into_iter().collect();
        living.sort_by_key(|(_, node)| node.pid);
        if let Some(made) = self.made.take() {
            let wall = time_arg::wall_ns(&made.timestamp).unwrap_or_default();
            for (own, node) in living {
                self.add_living(&node, own, made.boottime_ns, wall);
            }
        }
        self.trace.finish()
    }

    /// Returns the offset to add to times of a boot, given one time on both clocks.
    fn shift(&mut self, boot: &str, boot_ns: u64, wall_ns: i128) -> i128 {
        if let Some(shift) = self.boots.get(boot) {
            return *shift;
        }
        let offset = wall_ns - i128::from(boot_ns);
        let first = *self.wall_offset_ns.get_or_insert_with(|| {
            self.trace.clocks(boot_ns, wall_ns);
            offset
        });
        self.boots.insert(boot.to_owned(), offset - first);
        offset - first
    }

    /// Adds a life.
    pub fn add(&mut self, life: &LifeRecord) {
        let process = &life.process;
        let wall = time_arg::wall_ns(&life.timestamp).unwrap_or_default();
        let id = process.entity_id.as_deref().and_then(parts);
        let boot = id.map_or("", |(boot, ..)| boot);
        let shift = self.shift(boot, life.boottime_ns, wall);
        let time = |boot_ns: u64| u64::try_from(i128::from(boot_ns) + shift).unwrap_or_default();
        let released = life.boottime_ns;
        let ended = life.dead_ns();
        // The end is known in any case; a life whose beginning is not known has the length 0.
        let start = life.start_boottime_ns.unwrap_or(ended).min(ended);
        let own = id
            .map_or_else(|| track(boot, process.pid, released), |(boot, pid, start)| track(boot, pid, start));
        self.living.remove(&own);
        let name = process.name.as_deref().unwrap_or("?");
        let first = life.first_parent.as_ref().map(|first| first.pid).or(process.parent_pid);
        let info = ProcessInfo {
            track: own,
            pid: process.pid,
            parent: process.parent_pid,
            name,
            executable: process.executable.as_ref().map(|executable| executable.path.as_str()),
            start: Some(time(start)),
            uid: process.real_user.as_ref().map(|user| user.id),
        };
        self.trace.process(&info, time(start), true);

        let mut notes = vec![("pid", Value::Number(u64::from(process.pid)))];
        notes.extend(first.map(|pid| ("parent_pid", Value::Number(u64::from(pid)))));
        notes.extend(life.start_boottime_ns.is_none().then_some(("start_not_known", Value::True)));
        notes.extend(id.map(|_| process.entity_id.as_deref().unwrap_or_default()).map(text("entity_id")));
        let unit = life.place.as_ref().and_then(|place| place.cgroup.unit.as_deref());
        notes.extend(unit.map(text("unit")));
        let counts = [("execs", life.execs), ("threads_created", life.threads_created)];
        notes.extend(
            counts
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| (name, Value::Number(u64::from(count)))),
        );
        notes.extend(
            life.usage
                .as_ref()
                .map(|usage| ("exec_runtime_ns", Value::Number(usage.figures.exec_runtime_ns))),
        );
        self.trace.begin(own, time(start), name, &notes);
        if let Some(at) = life.exec_boottime_ns {
            let path = process.executable.as_ref().map(|executable| executable.path.as_str());
            self.trace.instant(own, time(at), "exec", None, &path.map(text("path")).into_iter().collect());
        }
        if let Some(at) = life.reparented_boottime_ns {
            let pid = |pid: u32| Value::Number(u64::from(pid));
            let mut notes = Notes::new();
            notes.extend(process.parent_pid.map(|parent| ("new_parent_pid", pid(parent))));
            notes.extend(life.first_parent.as_ref().map(|parent| ("first_parent_pid", pid(parent.pid))));
            notes.extend(life.reparent_kind.as_deref().map(text("kind")));
            self.trace.instant(own, time(at), "reparented", None, &notes);
        }
        self.signal(life, own, &time);
        let mut notes = vec![("cause", Value::Text(&life.death.cause))];
        notes
            .extend(process.exit.as_ref().map(|exit| ("wait_status", Value::Signed(i64::from(exit.status)))));
        self.trace.end(own, time(ended), &notes);
        if let Some(ns) = life.zombie_duration_ns {
            let mut notes = Notes::new();
            notes.extend(process.parent_pid.map(|pid| ("parent_pid", Value::Number(u64::from(pid)))));
            notes.extend(life.parent_name.as_deref().map(text("parent")));
            notes.extend(life.zombie_duration_bound.as_deref().map(text("bound")));
            self.trace.begin(own, time(ended), "zombie", &notes);
            let mut notes = Notes::new();
            notes.extend(
                life.reaper.as_ref().map(|reaper| ("reaper_pid", Value::Number(u64::from(reaper.pid)))),
            );
            let until = ended.saturating_add(ns).min(released.max(ended));
            self.trace.end(own, time(until), &notes);
        }
    }

    /// The signal that ended the process: an instant of the sender, one of the victim, and the arrow between them.
    fn signal(&mut self, life: &LifeRecord, victim: u64, time: &dyn Fn(u64) -> u64) {
        let Some(signal) = &life.death.signal else { return };
        let number = signal.signal.to_string();
        let name = signal.signal_name.as_deref().unwrap_or(&number);
        let at = time(signal.boottime_ns);
        let sender = signal.sender.process.as_ref();
        let of = sender.and_then(|sender| Some((sender, parts(sender.entity_id.as_deref()?)?)));
        let flow = of.map(|(sender, (boot, pid, start))| {
            let track = track(boot, pid, start);
            self.introduce(track, pid, sender.name.as_deref(), Some(time(start)), at);
            let flow = self.trace.new_flow();
            self.trace.instant(track, at, &format!("sends {name}"), Some(Flow::From(flow)), &Notes::new());
            Flow::To(flow)
        });
        let mut notes = Notes::new();
        notes.extend(sender.and_then(|sender| sender.name.as_deref()).map(text("sender")));
        notes.extend(sender.map(|sender| ("sender_pid", Value::Number(u64::from(sender.pid)))));
        self.trace.instant(victim, at, name, flow, &notes);
    }

    /// Introduces a process whose life may not be in the trace.
    fn introduce(&mut self, track: u64, pid: u32, name: Option<&str>, start: Option<u64>, at: u64) {
        if self.introduced.len() >= INTRODUCED {
            self.introduced.clear();
        }
        if self.introduced.insert(track) {
            let name = name.unwrap_or("?");
            let info = ProcessInfo { track, pid, parent: None, name, executable: None, start, uid: None };
            self.trace.process(&info, at, false);
        }
    }

    fn add_living(&mut self, node: &Node, own: u64, boot_now: u64, wall: i128) {
        let Some((boot, _, start)) = node.entity_id.as_deref().and_then(parts) else { return };
        let shift = self.shift(boot, boot_now, wall);
        let time = |boot_ns: u64| u64::try_from(i128::from(boot_ns) + shift).unwrap_or_default();
        let (start, now) = (time(start.min(boot_now)), time(boot_now));
        let name = node.name.as_deref().unwrap_or("?");
        let info = ProcessInfo {
            track: own,
            pid: node.pid,
            parent: node.parent_pid,
            name,
            executable: None,
            start: Some(start),
            uid: None,
        };
        self.trace.process(&info, start, true);
        let parent = node.parent_pid.map(|pid| ("parent_pid", Value::Number(u64::from(pid))));
        let mut notes = vec![("pid", Value::Number(u64::from(node.pid)))];
        notes.extend(parent);
        self.trace.begin(own, start, name, &notes);
        let goes_on = vec![("goes_on", Value::True)];
        let age = node.zombie.as_ref().filter(|_| node.state == "zombie").map(|age| age.zombie_at_least_ns);
        if let Some(age) = age {
            let since = now.saturating_sub(age).max(start);
            self.trace.end(own, since, &Notes::new());
            self.trace.begin(own, since, "zombie", &parent.into_iter().collect());
        }
        self.trace.end(own, now, &goes_on);
    }
}

fn text<'a>(name: &'static str) -> impl Fn(&'a str) -> (&'static str, Value<'a>) {
    move |text| (name, Value::Text(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perfetto::trace::decoded::{DecodedEvent, decoded};

    fn life(boot: &str, pid: u32, start: u64, released: u64, timestamp: &str) -> LifeRecord {
        serde_json::from_value(serde_json::json!({
            "@timestamp": timestamp,
            "life_version": 1,
            "process": {"pid": pid, "entity_id": format!("{boot}-{pid}-{start}"), "name": "a", "parent_pid": 1},
            "start_boottime_ns": start,
            "ended_boottime_ns": released - 5,
            "boottime_ns": released,
            "execs": 0,
            "zombie_duration_ns": 5,
            "death": {"cause": "exited", "certainty": "certain"},
            "provenance": "observed",
        }))
        .unwrap()
    }

    fn slices(lives: &[LifeRecord]) -> Vec<DecodedEvent> {
        let mut out = Vec::new();
        let mut trace = LifeTrace::new(&mut out, None);
        for life in lives {
            trace.add(life);
        }
        let written = trace.finish().unwrap();
        assert_eq!(written.bytes, out.len() as u64);
        decoded(&out)
    }

    #[test]
    fn a_life_and_its_zombie_tail_are_two_slices_with_its_times() {
        let events = slices(&[life("0a", 7, 100, 200, "2026-11-20T14:00:00.000Z")]);
        let times: Vec<_> = events.iter().map(|event| (event.kind, event.at, event.name.as_str())).collect();
        assert_eq!(times, [(1, 100, "a"), (2, 195, ""), (1, 195, "zombie"), (2, 200, "")]);
        assert!(events.iter().all(|event| event.track == events[0].track));
    }

    #[test]
    fn a_process_whose_end_was_not_seen_is_a_zombie_as_long_as_it_is_known_to_have_been_one() {
        let mut life = life("0a", 7, 100, 200, "2026-11-20T14:00:00.000Z");
        life.ended_boottime_ns = None;
        let times = |life: &LifeRecord| -> Vec<_> {
            slices(std::slice::from_ref(life)).iter().map(|event| event.at).collect()
        };
        for (bound, ended) in [("at_least", 195), ("at_most", 200)] {
            life.zombie_duration_bound = Some(bound.into());
            assert_eq!(times(&life), [100, ended, ended, 200], "{bound}");
        }
    }

    #[test]
    fn lives_of_the_next_boot_come_after_those_of_the_first() {
        let second = 1_000_000_000;
        let events = slices(&[
            life("0a", 7, 100 * second, 200 * second, "2026-11-20T14:00:00.000Z"),
            life("0b", 7, 10 * second, 20 * second, "2026-11-20T14:01:00.000Z"),
        ]);
        // Released a minute later by the wall clock.
        assert_eq!(events[7].at, 260 * second);
        assert_eq!(events[4].at, 250 * second);
        assert_ne!(events[0].track, events[4].track, "the same pid of two boots is two processes");
    }

    #[test]
    fn what_is_kept_does_not_grow_with_the_lives() {
        let mut trace = LifeTrace::new(io::sink(), None);
        for pid in 0..200_000 {
            let mut life = life("0a", pid, 100, 200, "2026-11-20T14:00:00.000Z");
            let signal = serde_json::json!({
                "signal": 9, "boottime_ns": 150, "to": "process", "result": "delivered", "times": 1,
                "sender": {"process": {"pid": pid + 1, "entity_id": format!("0a-{}-50", pid + 1)}},
            });
            life.death.signal = serde_json::from_value(signal).ok();
            assert!(life.death.signal.is_some());
            trace.add(&life);
            assert!(trace.introduced.len() <= INTRODUCED && trace.boots.len() == 1);
        }
        let written = trace.finish().unwrap();
        assert_eq!((written.processes, written.events), (200_000, 1_200_000));
    }
}
