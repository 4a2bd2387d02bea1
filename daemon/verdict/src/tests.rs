//! One test for each verdict: the facts that lead to it, and situations that must not be mistaken for it.

mod blameless;
mod exec;
mod habits;
mod killed;
mod living;
mod remedies;
mod strangers;
mod zombie;

use super::facts::{
    BackgroundStop, Call, Child, Frozen, HeldCall, HeldOn, Known, Named, Obstacle, ProcessFacts, Signals,
    TerminalAccess, ThreadFacts, Throttled, VforkChild, WALL, WCLONE, WNOTHREAD, WaitCall, WaitTarget,
};
use super::{Certainty, Code, Facts, Verdict, duration, judge};
use lineage::Debt;
use lineage::TaskKind;
use lineage::effect::{Bound, Provenance, Reaper, ReaperKind, ReparentKind, Span};
use lineage::flags::SIGCHLD;
use lineage::id::{GroupKey, Ktime, Tgid, Tid};
use lineage::record::{Comm, Namespaced};
use lineage::{End, Life, LifeState};

const SECOND: u64 = 1_000_000_000;
const NOW: Ktime = Ktime(1_000 * SECOND);
const SIGCHLD_SET: Signals = Signals(1 << (SIGCHLD - 1));
const NO_SIGNALS: Signals = Signals(0);

fn key(pid: u32) -> GroupKey {
    GroupKey { tgid: Tgid(pid), start: Some(Ktime(u64::from(pid) * SECOND)) }
}

fn life(pid: u32, name: &[u8], state: LifeState) -> Life {
    let mut comm = Comm::default();
    comm.0[..name.len()].copy_from_slice(name);
    Life {
        key: key(pid),
        state,
        provenance: Provenance::Observed,
        kind: TaskKind::Process,
        name: Some(comm),
        executable: None,
        parent: None,
        parent_name: None,
        first_parent: None,
        creator: None,
        clone_flags: None,
        creation: None,
        flags: None,
        exit_signal: Some(SIGCHLD),
        credentials: None,
        cgroup_id: None,
        namespace: None,
        holds_parent: false,
        execs: 0,
        exec_at: None,
        before_exec: None,
        renames: 0,
        threads: 1,
        threads_created: 0,
        threads_peak: 0,
        tracer: None,
        since: Ktime(900 * SECOND),
        leader_died_at: None,
        reparented: 0,
        reparented_at: None,
        reparent_kind: None,
        death: None,
        job_stop: None,
        status: None,
        zombie: None,
        end: None,
        reaper: None,
        released_at: None,
        ended_at: None,
        taken_at: None,
        forked_by: None,
        debt: None,
        usage: None,
        children_usage: None,
    }
}

fn thread(tid: u32) -> ThreadFacts {
    ThreadFacts {
        tid: Tid(tid),
        state: Some(b'S'),
        blocked: Some(NO_SIGNALS),
        has_run: None,
        flags: None,
        switches: Some(7),
        pending: Some(NO_SIGNALS),
        tracer: Some(0),
        call: Some(Call::Other),
        awaits_events: false,
        wchan: Some("hrtimer_nanosleep".into()),
        sleep: None,
    }
}

fn process(pid: u32) -> ProcessFacts {
    ProcessFacts {
        ignored: Some(NO_SIGNALS),
        caught: Some(NO_SIGNALS),
        pending: Some(NO_SIGNALS),
        namespace_pids: vec![pid],
        has_waited: Some(false),
        signalfd: Some(false),
        executable: None,
        is_dumping_core: false,
        frozen: None,
        throttled: None,
        background: None,
        pipe_read: None,
        held_call: None,
        threads: vec![thread(pid)],
        threads_omitted: 0,
    }
}

/// Returns a zombie, 100 s old, of a sleeping parent; the observation began before the parent was forked.
fn base_facts() -> Facts {
    let zombie = Life {
        parent: Some(key(50)),
        zombie: Some(Span { ns: 100 * SECOND, bound: Bound::Exact }),
        ..life(60, b"child", LifeState::Zombie)
    };
    let debt = Debt { forked: 3, zombies: 2, ..Debt::default() };
    let parent = Life { debt: Some(debt), ..life(50, b"parent", LifeState::Running) };
    Facts {
        now: NOW,
        observed_since: Some(Ktime(SECOND)),
        subject: Child {
            known: Known { life: zombie, process: Ok(process(60)) },
            parent_thread: Some(Tid(50)),
            tracer: None,
            tracer_state: None,
        },
        parent: Some(Known { life: parent, process: Ok(process(50)) }),
        owed: None,
        parents_tracer: None,
        vfork_child: None,
        parents_vfork_child: None,
        obstacles: Vec::new(),
        new_reaper: None,
    }
}

/// Returns the base facts with a changed parent.
fn with(change: impl FnOnce(&mut Life, &mut ProcessFacts)) -> Facts {
    let mut facts = base_facts();
    let parent = facts.parent.as_mut().unwrap();
    change(&mut parent.life, parent.process.as_mut().unwrap());
    facts
}

/// The scene with a zombie that is 2 s old.
fn young(mut facts: Facts) -> Facts {
    facts.subject.known.life.zombie = Some(Span { ns: 2 * SECOND, bound: Bound::Exact });
    facts
}

/// A stop in the background of the terminal of a shell.
fn background(access: Option<TerminalAccess>) -> BackgroundStop {
    let shell = Some(Named { key: key(40), name: Some("bash".into()) });
    BackgroundStop { terminal: "/dev/pts/3".into(), groups: (50, 40), shell, access }
}

fn vfork_child(pid: u32) -> VforkChild {
    let named = Named { key: key(pid), name: Some("slow".into()) };
    VforkChild { named, process: Some(process(pid)), tracer: None, job_stop: None }
}

fn frozen() -> Frozen {
    Frozen {
        cgroup: "/sys/fs/cgroup/web.slice".into(),
        is_settled: true,
        is_killable: true,
        thaw: "echo 0 > /sys/fs/cgroup/web.slice/cgroup.freeze".into(),
    }
}

#[track_caller]
fn expect(facts: &Facts, code: Code, certainty: Certainty, responsible: u32) -> Verdict {
    let verdict = judge(facts);
    assert_eq!((verdict.code, verdict.certainty), (code, certainty), "{verdict:#?}");
    let blamed = verdict.responsible.as_ref().map(|responsible| responsible.key.tgid.0);
    assert_eq!(blamed, Some(responsible), "{verdict:#?}");
    assert!(verdict.remedy.as_ref().is_some_and(|remedy| !remedy.is_empty()), "{verdict:#?}");
    assert!(!verdict.evidence.is_empty(), "{verdict:#?}");
    verdict
}

#[test]
fn every_code_has_a_name_of_its_own_and_words() {
    let names: std::collections::HashSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(names.len(), Code::ALL.len());
    assert!(Code::ALL.iter().all(|code| code.words().len() <= 40), "a column of a table");
}

#[test]
fn lengths_of_time_have_two_units_at_most() {
    for (ns, text) in [
        (0, "0 us"),
        (1_500_000, "1 ms"),
        (1_250 * 1_000_000, "1.2 s"),
        (59 * SECOND, "59 s"),
        (61 * SECOND, "1 min 1 s"),
        (3_600 * SECOND, "1 h"),
        (90_061 * SECOND, "1 d 1 h"),
    ] {
        assert_eq!(duration(ns), text);
    }
}
