//! Leaks other than zombies, and behaviour that looks like a leak but is not one.

use std::time::Duration;

use super::fixture::Fixture;
use crate::config::Config;
use crate::leaks::{Leaks, SessionFacts, Thresholds};
use crate::model::id::{GroupKey, TaskRef};
use crate::model::leak::{Leak, LeakKind, Leaking};
use crate::model::record::Fact;

const SECOND: u64 = 1_000_000_000;

struct Watched {
    fixture: Fixture,
    leaks: Leaks,
    tid: u32,
}

impl Watched {
    fn new() -> Self {
        let thresholds = Thresholds {
            window: Duration::from_secs(600),
            threads: 50,
            respawns: 5,
            forks_per_second: 100,
            orphans: true,
        };
        let mut fixture = Fixture::with(Config { leaks: thresholds, ..Config::default() });
        fixture.now.0 += 100 * SECOND;
        Self { fixture, leaks: Leaks::default(), tid: 1_000 }
    }

    fn tid(&mut self) -> u32 {
        self.tid += 1;
        self.tid
    }

    fn poll(&mut self) {
        let Self { fixture, leaks, .. } = self;
        leaks.poll(&mut fixture.lineage, fixture.now, &mut fixture.effects);
    }

    /// Lets seconds pass, with a poll in each.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.fixture.now.0 += SECOND;
            self.poll();
        }
    }

    fn start(&mut self, parent: TaskRef, name: &str) -> TaskRef {
        let tid = self.tid();
        let mut new = self.fixture.new_of(parent, tid, name);
        new.place.cgroup_id = Some(7);
        self.fixture.record(Fact::New(new));
        new.task
    }

    fn program(&mut self, parent: TaskRef, name: &str) -> TaskRef {
        let child = self.start(parent, name);
        self.fixture.exec(child, &format!("/bin/{name}"));
        child
    }

    fn ends(&mut self, child: TaskRef, parent: TaskRef, code: i32) {
        self.fixture.exiting(child, code << 8);
        self.fixture.exited(child, 32, code << 8, true);
        self.fixture.released(child, parent);
    }

    /// One run of a program that exits with this code after this time.
    fn run(&mut self, parent: TaskRef, name: &str, code: i32, ns: u64) {
        let child = self.program(parent, name);
        self.fixture.now.0 += ns;
        self.ends(child, parent, code);
    }

    fn flagged(&self, kind: LeakKind) -> Vec<Leak> {
        let leaks = self.leaks.flagged();
        leaks.iter().filter(|leak| leak.kind() == kind).map(|leak| (**leak).clone()).collect()
    }

    #[track_caller]
    fn one(&self, kind: LeakKind) -> Leak {
        match self.flagged(kind).as_slice() {
            [leak] => leak.clone(),
            leaks => panic!("not one {kind:?}: {leaks:?}"),
        }
    }

    /// Returns the actions of leaks since the last call.
    fn actions(&mut self) -> Vec<String> {
        let is_leak = |action: &String| action.contains(":leak_");
        self.fixture.actions().into_iter().filter(is_leak).collect()
    }
}

fn key(task: TaskRef) -> GroupKey {
    GroupKey { tgid: task.tgid, start: Some(task.key.start) }
}

#[test]
fn threads_that_only_grow_are_flagged_once_and_cleared() {
    let mut watched = Watched::new();
    let init = watched.fixture.init();
    let server = watched.start(init, "server");
    for _ in 0..400 {
        let tid = watched.tid();
        watched.fixture.thread(server, tid);
        watched.pass(2);
    }
    let leak = watched.one(LeakKind::Threads);
    let Leaking::Threads(threads) = leak.what else { panic!("{leak:?}") };
    assert_eq!((leak.culprit, threads.live, threads.ended), (key(server), 401, 0));
    assert!(leak.is_certain() && threads.grown >= 50, "{leak:?}");
    let rate = leak.per_minute().unwrap();
    assert!((29.0..=31.0).contains(&rate), "{rate}");
    watched.pass(700);
    let actions = watched.actions();
    let name = |action: &str| format!("{}:{action}", server.key.tid);
    assert_eq!(actions, [name("leak_flagged"), name("leak_cleared")]);
    assert_eq!(watched.leaks.counts(LeakKind::Threads), (0, 0));
}

#[test]
fn a_slow_leak_is_found_after_hours_and_one_among_threads_that_end_is_likely() {
    let mut watched = Watched::new();
    let init = watched.fixture.init();
    let server = watched.start(init, "server");
    for count in 0..140 {
        let tid = watched.tid();
        let thread = watched.fixture.thread(server, tid);
        if count % 20 == 19 {
            watched.ends(thread, thread, 0);
        }
        for _ in 0..10 {
            watched.fixture.now.0 += 30 * SECOND;
            watched.poll();
        }
    }
    let leak = watched.one(LeakKind::Threads);
    assert!(!leak.is_certain(), "{leak:?}");
}

#[test]
fn a_pool_that_fills_up_and_threads_that_come_and_go_are_no_leak() {
    let mut watched = Watched::new();
    let init = watched.fixture.init();
    let (pool, busy) = (watched.start(init, "pool"), watched.start(init, "busy"));
    let mut last = Vec::new();
    for _ in 0..100 {
        let tid = watched.tid();
        watched.fixture.thread(pool, tid);
        let tid = watched.tid();
        last.push(watched.fixture.thread(busy, tid));
    }
    for _ in 0..700 {
        let tid = watched.tid();
        last.push(watched.fixture.thread(busy, tid));
        let thread = last.remove(0);
        watched.ends(thread, thread, 0);
        watched.pass(1);
    }
    assert_eq!(watched.actions(), [""; 0]);
}

#[test]
fn a_program_that_is_started_again_and_again_is_a_loop_of_its_parent() {
    let mut watched = Watched::new();
    let init = watched.fixture.init();
    let supervisor = watched.program(init, "supervise");
    for _ in 0..20 {
        watched.run(supervisor, "app", 3, SECOND / 2);
        watched.pass(2);
    }
    let leak = watched.one(LeakKind::Respawn);
    let Leaking::Respawn(respawn) = &leak.what else { panic!("{leak:?}") };
    assert_eq!((leak.culprit, respawn.ends), (key(supervisor), 20));
    assert!(!leak.is_certain(), "another work of the parent would look the same: {leak:?}");
    assert!((SECOND / 2..SECOND).contains(&respawn.median_life_ns), "{respawn:?}");
    assert!((2 * SECOND..3 * SECOND).contains(&respawn.median_pause_ns), "{respawn:?}");
    assert_eq!(respawn.causes.len(), 1);
    // It runs at last.
    watched.program(supervisor, "app");
    watched.pass(60);
    let name = |action: &str| format!("{}:{action}", supervisor.key.tid);
    assert_eq!(watched.actions(), [name("leak_flagged"), name("leak_cleared")]);
}

#[test]
fn builds_scripts_and_timers_are_no_loops() {
    let mut watched = Watched::new();
    let init = watched.fixture.init();
    let make = watched.program(init, "make");
    let script = watched.program(init, "script");
    let timer = watched.program(init, "timer");
    let once = watched.program(init, "once");
    for turn in 0..60 {
        // It succeeds.
        watched.run(make, "cc", 0, SECOND / 10);
        // One of the programs of a script exits with 1.
        watched.run(script, "grep", 1, SECOND / 100);
        watched.run(script, "sleep", 0, SECOND);
        // It starts again a minute after it ended.
        if turn % 30 == 0 {
            watched.run(timer, "check", 1, SECOND / 10);
        }
        // All at once.
        if turn == 0 {
            for _ in 0..40 {
                watched.run(once, "false", 1, SECOND / 1_000);
            }
        }
        // Two at a time.
        let two = [watched.program(make, "ld"), watched.program(make, "ld")];
        for child in two {
            watched.ends(child, make, 1);
        }
        watched.pass(1);
    }
    assert_eq!(watched.actions(), [""; 0]);
}

#[test]
fn one_process_that_forks_too_fast_is_a_storm_and_many_parents_are_a_build() {
    let mut watched = Watched::new();
    let init = watched.fixture.init();
    let makes: Vec<_> = (0..20).map(|_| watched.program(init, "make")).collect();
    for _ in 0..200 {
        for make in &makes {
            watched.run(*make, "cc", 0, 1_000);
        }
        watched.fixture.now.0 += SECOND / 20;
        watched.poll();
    }
    assert_eq!(watched.actions(), [""; 0], "400 a second from twenty parents");
    let script = watched.program(init, "script");
    for _ in 0..2_500 {
        watched.run(script, "date", 0, 1_000);
        watched.fixture.now.0 += SECOND / 200;
        watched.poll();
    }
    let leak = watched.one(LeakKind::Storm);
    let Leaking::Storm(storm) = leak.what else { panic!("{leak:?}") };
    assert_eq!((leak.culprit, storm.alive, storm.spreads), (key(script), 0, false));
    assert!(storm.made >= 1_000, "{storm:?}");
    watched.pass(15);
    assert_eq!(watched.flagged(LeakKind::Storm), []);
}

#[test]
fn a_fork_bomb_is_a_storm_of_the_process_that_was_there_before() {
    let mut watched = Watched::new();
    let init = watched.fixture.init();
    let shell = watched.program(init, "sh");
    let mut family = vec![watched.start(shell, "sh")];
    for turn in 0..4_000_usize {
        let parent = family[turn / 2];
        family.push(watched.start(parent, "sh"));
        watched.fixture.now.0 += SECOND / 300;
        watched.poll();
    }
    let leak = watched.one(LeakKind::Storm);
    let Leaking::Storm(storm) = leak.what else { panic!("{leak:?}") };
    assert!(storm.spreads && storm.alive > 1_000, "{storm:?}");
    assert!(leak.culprit == key(shell) || family.iter().any(|it| key(*it) == leak.culprit), "{leak:?}");
    // At a limit it forks no more, and its processes live on.
    watched.pass(60);
    let Leaking::Storm(storm) = watched.one(LeakKind::Storm).what else { panic!("another leak") };
    assert!(storm.alive > 1_000, "{storm:?}");
    // The same holds after a process between the culprit and the others has ended.
    watched.fixture.reparented(family[2], family[0], init);
    watched.ends(family[0], shell, 0);
    // Processes that the shell had started before, or that run another program, are not part of the bomb.
    let born = key(family[1]).start.unwrap();
    let editor = watched.program(shell, "editor");
    let descent = watched.fixture.lineage.descent_from(key(shell), born, watched.fixture.now);
    assert_eq!(descent.members.len(), family.len() - 1);
    assert!(descent.others.contains(&key(editor)) && !descent.members.contains(&key(editor)), "{descent:?}");
    assert!(
        descent.members.contains(&key(family[2])) && !descent.others.contains(&key(shell)),
        "{descent:?}"
    );
    assert!(descent.others.contains(&key(init)), "{descent:?}");
}

/// A shell below a login, with a child that an init adopts when the shell ends.
fn job(watched: &mut Watched, execs: bool) -> (TaskRef, TaskRef) {
    let init = watched.fixture.init();
    let login = watched.program(init, "login");
    let shell = if execs { watched.program(login, "sh") } else { watched.start(login, "sh") };
    let child = watched.program(shell, "server");
    watched.fixture.reparented(child, shell, init);
    watched.ends(shell, login, 0);
    watched.poll();
    (shell, child)
}

fn read(watched: &mut Watched, child: TaskRef, session: TaskRef, ignores_hangup: bool) {
    watched.pass(40);
    let wanted = watched.leaks.wants_sessions(&watched.fixture.lineage, watched.fixture.now);
    assert_eq!(wanted, [key(child)]);
    let facts = SessionFacts { session: session.tgid, ignores_hangup };
    watched.leaks.learn_session(key(child), Some(facts));
    watched.pass(2);
}

#[test]
fn a_process_that_has_outlived_its_session_is_likely_left_behind() {
    let mut watched = Watched::new();
    let (shell, child) = job(&mut watched, true);
    read(&mut watched, child, shell, false);
    let leak = watched.one(LeakKind::Orphans);
    let Leaking::Orphans(orphans) = &leak.what else { panic!("{leak:?}") };
    assert_eq!((orphans.job, orphans.count, leak.culprit), (key(shell), 1, key(child)));
    assert!(!leak.is_certain());
    let init = watched.fixture.init();
    watched.ends(child, init, 0);
    watched.pass(2);
    let name = |action: &str| format!("{}:{action}", child.key.tid);
    assert_eq!(watched.actions(), [name("leak_flagged"), name("leak_cleared")]);
}

#[test]
fn daemons_and_processes_that_ignore_a_hangup_are_not_left_behind() {
    // The child leads a session of its own; it ignores SIGHUP; the leader is the first child of a double fork.
    for (own_session, ignores, execs) in [(true, false, true), (false, true, true), (false, false, false)] {
        let mut watched = Watched::new();
        let (shell, child) = job(&mut watched, execs);
        read(&mut watched, child, if own_session { child } else { shell }, ignores);
        watched.pass(60);
        assert_eq!(watched.actions(), [""; 0], "{own_session} {ignores} {execs}");
    }
}
