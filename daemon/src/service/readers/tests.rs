//! The log and its readers: in any order of operations, a reader gets every event except those that a gap reports as missing.

use std::{
    collections::HashMap,
    sync::atomic::AtomicBool,
    task::{Context, Poll},
};

use proptest::prelude::*;

use super::*;
use crate::{
    export::{EventSelection, Filter, schema::Schema},
    lineage::{
        Config, Lineage, TaskKind,
        effect::{Action, Process, Provenance, Thread},
        id::{GroupKey, Ktime, TaskKey, Tgid, Tid},
    },
};

/// A budget for few events, so that tests see events dropped.
const SMALL: Budget = Budget { log_bytes: 64 << 10, text_bytes: 64 << 10 };

/// The event number `at` of a process.
fn effect(pid: u32, at: u64) -> Effect {
    let start = Ktime(u64::from(pid));
    Effect {
        at: Ktime(at),
        provenance: Provenance::Inferred,
        hook: None,
        late_ns: 0,
        process: Process {
            key: GroupKey { tgid: Tgid(pid), start: Some(start) },
            name: None,
            parent: None,
            vpid: None,
            executable: None,
            arguments: None,
            credentials: None,
            status: None,
        },
        thread: Thread {
            key: TaskKey { tid: Tid(pid), start },
            name: None,
            kind: TaskKind::Process,
            exit_signal: None,
            exit_state: None,
            exit_code: None,
            flags: None,
            cgroup_id: Some(1),
            namespace: None,
        },
        action: Action::Autoreaped,
    }
}

struct World {
    readers: Readers,
    stamp: Stamp,
    cgroups: Cgroups,
    events: u64,
}

impl World {
    fn new(keep: usize, budget: Budget) -> Self {
        let stamp = Stamp::new("1de03fcb", 0);
        let readers = Readers::with_budget(keep, budget, "1f", &stamp);
        Self { readers, stamp, cgroups: Cgroups::at(None), events: 0 }
    }

    /// Publishes `count` events as one batch; every second one is of process 2.
    fn publish(&mut self, count: u64) {
        let mut batch: Vec<_> =
            (self.events..self.events + count).map(|at| effect(1 + (at % 2) as u32, at + 1)).collect();
        self.events += count;
        self.readers.publish(&mut batch, &self.stamp, &self.cgroups);
        assert_eq!(self.readers.sequence(), self.events);
    }

    /// Skips events, as if they were not kept.
    fn skip(&mut self, count: u64) {
        self.events += count;
        self.readers.skip(count, Some(Ktime(self.events)));
        assert_eq!(self.readers.sequence(), self.events);
    }

    fn sweep(&self) {
        drop(self.readers.shared.log().sweep());
    }

    fn join(&self, only: Option<u32>, layout: Layout, after: Option<u64>) -> Listener {
        let after = after.map(|after| (after, true));
        self.join_with(only, Wanted { filter: filter(only), layout, after, since: None, limit: None })
    }

    fn join_with(&self, only: Option<u32>, wanted: Wanted) -> Listener {
        let next = wanted.after.map_or(self.events + 1, |(after, _)| after + 1);
        Listener { reader: self.readers.join(wanted), only, next, lost: 0, got: 0, gaps: 0 }
    }
}

/// Wants the events of one process, or all.
fn filter(only: Option<u32>) -> Filter {
    let selection = EventSelection { pids: only.into_iter().collect(), ..EventSelection::default() };
    selection.filter(&Lineage::new(Config::default())).unwrap()
}

/// Whether the reader was woken up after it had nothing to read.
#[derive(Default)]
struct Again(AtomicBool);

impl std::task::Wake for Again {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A reader that checks what it gets.
struct Listener {
    reader: Reader,
    /// If set, it wants the events of this process only.
    only: Option<u32>,
    /// The next event that it must get or find in a gap, wanted or not.
    next: u64,
    lost: u64,
    got: u64,
    /// Gaps since the last event that it got.
    gaps: u64,
}

impl Listener {
    /// Takes one piece; false if none is available now.
    fn take(&mut self) -> bool {
        let piece = loop {
            let again = Arc::new(Again::default());
            let waker = Arc::clone(&again).into();
            match self.reader.poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(Some(piece)) => break piece,
                // It gave other tasks a turn.
                Poll::Pending if again.0.load(Ordering::Relaxed) => {}
                Poll::Ready(None) | Poll::Pending => return false,
            }
        };
        for line in std::str::from_utf8(&piece).unwrap().lines() {
            let Some(text) = line.strip_prefix("data: ").or_else(|| line.starts_with('{').then_some(line))
            else {
                continue;
            };
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            if value["event"]["action"] == "gap" {
                let lost = value["gap"]["lost"].as_u64().unwrap();
                self.next += lost;
                self.lost += lost;
                self.gaps += 1;
                continue;
            }
            let sequence = value["event"]["sequence"].as_u64().unwrap();
            if let Some(only) = self.only {
                assert_eq!(value["process"]["pid"], only);
                // The numbers in between belong to events of other processes.
                assert!(
                    sequence >= self.next && sequence - self.next <= 1 + self.gaps,
                    "{sequence} after {}",
                    self.next
                );
            } else {
                assert_eq!(sequence, self.next, "an event was neither received nor reported as lost");
            }
            self.next = sequence + 1;
            self.gaps = 0;
            self.got += 1;
        }
        true
    }

    fn take_all(&mut self) {
        while self.take() {}
    }
}

const JSON: Layout = Layout { format: Format::Json, schema: Schema::Native, server_sent: false };
const SSE: Layout = Layout { server_sent: true, ..JSON };

#[test]
fn an_event_is_encoded_once_for_all_readers() {
    let mut world = World::new(0, BUDGET);
    let mut all: Vec<_> = (0..20)
        .map(|index| {
            let only = (index % 4 == 0).then_some(1);
            world.join(only, if index % 2 == 0 { JSON } else { SSE }, None)
        })
        .collect();
    for _ in 0..10 {
        world.publish(100);
        all.iter_mut().for_each(Listener::take_all);
    }
    assert!(all.iter().all(|listener| listener.lost == 0));
    let got: u64 = all.iter().map(|listener| listener.got).sum();
    assert_eq!(got, 15 * 1000 + 5 * 500);
    assert_eq!(world.readers.shared.encoded.load(Ordering::Relaxed), 1000);
    assert_eq!(world.readers.sent(), got);
}

#[test]
fn nothing_is_encoded_for_readers_that_do_not_read() {
    let mut world = World::new(100, SMALL);
    let _stuck: Vec<_> = (0..128).map(|_| world.join(None, JSON, None)).collect();
    for _ in 0..100 {
        world.publish(500);
    }
    assert_eq!(world.readers.shared.encoded.load(Ordering::Relaxed), 0);
    // One chunk more than the budget, at most.
    let chunk = chunk::EVENTS * size_of::<Effect>() + 1024;
    assert!(world.readers.bytes() <= SMALL.log_bytes + chunk, "{}", world.readers.bytes());
    assert!(world.readers.lost() > 128 * 49_000, "{}", world.readers.lost());
}

#[test]
fn what_was_kept_for_slow_readers_goes_when_they_have_read_or_left() {
    let mut world = World::new(100, BUDGET);
    let mut slow = world.join(None, JSON, None);
    let stuck = world.join(None, JSON, None);
    world.publish(10_000);
    assert!(world.readers.shared.log().has_excess());
    slow.take_all();
    assert_eq!((slow.got, slow.lost), (10_000, 0));
    world.sweep();
    assert!(world.readers.shared.log().has_excess(), "somebody has not read it");
    drop(stuck);
    world.sweep();
    let log = world.readers.shared.log();
    assert!(!log.has_excess());
    assert!(log.bytes() < 300 * size_of::<Effect>(), "{}", log.bytes());
}

#[test]
fn without_readers_no_more_is_kept_than_asked_for() {
    let mut world = World::new(100, BUDGET);
    for count in [1, 3, 700, 2, 1, 40, 5].into_iter().cycle().take(70) {
        world.publish(count);
        assert!(!world.readers.shared.log().has_excess(), "after {} events", world.events);
    }
}

#[test]
fn resuming_gives_everything_that_is_kept_and_a_gap_for_the_rest() {
    let mut world = World::new(8192, BUDGET);
    world.publish(20_000);
    let mut resumed = world.join(None, SSE, Some(5));
    resumed.take_all();
    assert_eq!(resumed.got + resumed.lost, 20_000 - 5);
    assert!(resumed.got >= 8192, "{}", resumed.got);
    let mut since = world.join_with(
        None,
        Wanted { filter: filter(None), layout: JSON, after: None, since: Some(Ktime(19_000)), limit: None },
    );
    since.next = 19_000;
    since.take_all();
    assert_eq!((since.got, since.lost), (1001, 0));
}

#[test]
fn readers_that_resume_or_ask_for_the_past_get_a_gap_for_what_was_not_kept() {
    let mut world = World::new(8192, BUDGET);
    world.publish(10);
    world.skip(30);
    assert_eq!((world.readers.backlog_len(), world.readers.bytes()), (0, 0));
    world.publish(5);
    let mut resumed = world.join(None, JSON, Some(4));
    resumed.take_all();
    assert_eq!((resumed.got, resumed.lost), (5, 36));
    let since = Some(Ktime(1));
    let mut reader =
        world.readers.join(Wanted { filter: filter(None), layout: JSON, after: None, since, limit: None });
    let mut context = Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(Some(piece)) = reader.poll(&mut context) else { panic!("nothing comes") };
    assert!(std::str::from_utf8(&piece).unwrap().contains(r#""place":"backlog""#), "{piece:?}");
}

#[test]
fn a_limit_that_the_past_satisfies_ends_the_reader() {
    let mut world = World::new(100, BUDGET);
    world.publish(10);
    let mut few = world.join_with(
        Some(2),
        Wanted { filter: filter(Some(2)), layout: JSON, after: Some((0, true)), since: None, limit: Some(3) },
    );
    few.take_all();
    assert_eq!(few.got, 3);
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(matches!(few.reader.poll(&mut context), Poll::Ready(None)));
}

#[test]
fn readers_end_with_the_daemon_when_they_have_read_everything() {
    let mut world = World::new(0, BUDGET);
    let mut reader = world.join(None, JSON, None);
    world.publish(3);
    drop(world);
    reader.take_all();
    assert_eq!(reader.got, 3);
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(matches!(reader.reader.poll(&mut context), Poll::Ready(None)));
}

#[test]
fn a_loss_for_everybody_is_a_gap_for_readers_and_for_those_that_resume() {
    let mut world = World::new(100, BUDGET);
    world.publish(3);
    world.readers.publish_gap("ring", Some(7));
    world.publish(3);
    let reader = world.join(None, JSON, Some(3));
    let mut reader = Listener { next: 4, ..reader };
    let mut context = Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(Some(piece)) = reader.reader.poll(&mut context) else { panic!("nothing comes") };
    assert!(std::str::from_utf8(&piece).unwrap().contains(r#""place":"ring","lost":7"#), "{piece:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Publish(u64),
    Skip(u64),
    Join { only: Option<u32>, server_sent: bool, back: Option<u64> },
    Take(usize),
    TakeAll(usize),
    Leave(usize),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..200_u64).prop_map(Step::Publish),
        2 => (1..4_u64).prop_map(Step::Publish),
        1 => (1..40_u64).prop_map(Step::Skip),
        2 => (prop::option::of(1..3_u32), any::<bool>(), prop::option::of(0..400_u64))
            .prop_map(|(only, server_sent, back)| Step::Join { only, server_sent, back }),
        4 => any::<usize>().prop_map(Step::Take),
        2 => any::<usize>().prop_map(Step::TakeAll),
        1 => any::<usize>().prop_map(Step::Leave),
        2 => Just(Step::Sweep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_interleaving_gives_each_reader_every_event_but_those_it_is_reported(
        keep in 0..300_usize,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(keep, SMALL);
        let mut readers: HashMap<usize, (Listener, u64)> = HashMap::new();
        let mut joined = 0;
        let pick = |readers: &HashMap<usize, _>, index: usize| {
            let mut numbers: Vec<_> = readers.keys().copied().collect();
            numbers.sort_unstable();
            numbers.get(index % numbers.len().max(1)).copied()
        };
        for step in steps {
            match step {
                Step::Publish(count) => world.publish(count),
                Step::Skip(count) => world.skip(count),
                Step::Join { only, server_sent, back } => {
                    let after = back.map(|back| world.events.saturating_sub(back));
                                        let reader = world.join(only, Layout { server_sent, ..JSON }, after);
                    let start = reader.next;
                    readers.insert(joined, (reader, start));
                    joined += 1;
                }
                Step::Take(index) => {
                    if let Some((reader, _)) = pick(&readers, index).and_then(|at| readers.get_mut(&at)) {
                        reader.take();
                    }
                }
                Step::TakeAll(index) => {
                    if let Some((reader, _)) = pick(&readers, index).and_then(|at| readers.get_mut(&at)) {
                        reader.take_all();
                    }
                }
                Step::Leave(index) => {
                    if let Some(at) = pick(&readers, index) {
                        readers.remove(&at);
                    }
                }
                Step::Sweep => world.sweep(),
            }
        }
        for (reader, start) in readers.values_mut() {
            reader.take_all();
            let all = world.events + 1 - *start;
            if let Some(only) = reader.only {
                // The reader wants every second event. It gets each wanted event that is not lost; at each gap the count can be off
                // by one.
                prop_assert!(reader.got <= all.div_ceil(2), "{only}: {} of {all}", reader.got);
                prop_assert!(world.events + 1 - reader.next <= 1 + reader.gaps);
            } else {
                prop_assert_eq!(reader.got + reader.lost, all);
            }
        }
        let counted = world.readers.shared.lost.load(Ordering::Relaxed);
        prop_assert_eq!(world.readers.lost(), counted, "everybody has read everything");
        world.sweep();
        readers.clear();
        world.sweep();
        prop_assert!(!world.readers.shared.log().has_excess());
    }
}
