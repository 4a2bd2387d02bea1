//! Verdicts on processes that are not zombies: alive, held, stopped, a dead leader, an exit that does not end.

use super::facts::{Facts, Frozen, Named, Sleep, ThreadFacts};
use super::{Certainty, Code, Verdict, duration, killed, stopped, traced, vfork, zombie};
use lineage::LifeState;

/// An exit is stuck if it takes longer than this, ns.
const EXITS_WITHIN_NS: u64 = 1_000_000_000;

pub(super) fn judge(facts: &Facts) -> Verdict {
    if let Some(verdict) = killed::judge(facts) {
        return verdict;
    }
    match facts.subject.known.life.state {
        LifeState::DeadLeader => killed::all_dead(facts).unwrap_or_else(|| dead_leader(facts)),
        LifeState::Exiting => exiting(facts),
        _ => running(facts),
    }
}

fn dead_leader(facts: &Facts) -> Verdict {
    let life = &facts.subject.known.life;
    let others: Vec<&ThreadFacts> =
        facts.subject.known.process().map_or_else(Vec::new, |it| it.live().collect());
    let count = if others.is_empty() { life.threads.saturating_sub(1) as usize } else { others.len() };
    let verb = if count == 1 { "still runs" } else { "still run" };
    let summary = format!(
        "not a zombie: its main thread has ended, but {} {verb}; no wait can reap it before the last thread has ended",
        threads(count)
    );
    let mut verdict = Verdict::certain(Code::DeadLeader, summary).by(facts.subject.known.named());
    let since = life.leader_died_at.unwrap_or(life.since);
    // If a snapshot found this state, the time at which it began is not known.
    let when = match facts.observed_since {
        Some(began) if began < since => format!(" {} ago", duration(facts.now.since(since))),
        _ => String::new(),
    };
    verdict = verdict.since(format!(
        "the main thread called exit(2) or pthread_exit(3){when}; ps and top show that thread's state, Z, for the whole process"
    ));
    let tids: Vec<String> = others.iter().take(8).map(|thread| described(thread)).collect();
    if !tids.is_empty() {
        let more = if others.len() > 8 { ", ..." } else { "" };
        verdict = verdict.since(format!("alive: {}{more}", tids.join(", ")));
    }
    let pid = life.key.tgid;
    let kill = facts.subject.known.process().map_or("kill", super::facts::ProcessFacts::kill_command);
    verdict.remedy(format!(
        "nothing, if its threads do their work: a monitor that takes state Z for a dead process is wrong here. To end it: {kill} {pid}"
    ))
}

fn threads(count: usize) -> String {
    if count == 1 { "1 thread".into() } else { format!("{count} threads") }
}

fn described(thread: &ThreadFacts) -> String {
    let state = thread.state.map_or(String::new(), |state| format!(" {}", char::from(state)));
    match &thread.wchan {
        Some(place) => format!("thread {}{state} in {place}()", thread.tid),
        None => format!("thread {}{state}", thread.tid),
    }
}

fn exiting(facts: &Facts) -> Verdict {
    let life = &facts.subject.known.life;
    let age = facts.now.since(life.since);
    if age < EXITS_WITHIN_NS && facts.observed_since.is_some() {
        return Verdict::certain(Code::Alive, format!("it has been in do_exit() for {}", duration(age)));
    }
    let place = facts.subject.known.process().and_then(|it| it.threads.first()?.wchan.clone());
    let began_in_sight = facts.observed_since.is_some_and(|began| began < life.since);
    let summary = match facts.obstacles.first() {
        Some(first) => format!(
            "its exit does not end: as init of a pid namespace it waits for {} of that namespace to end; the first is {}",
            if facts.obstacles.len() == 1 {
                "a process".into()
            } else {
                format!("{} processes", facts.obstacles.len())
            },
            first.process
        ),
        None => "its exit does not end: it is stuck in the kernel".into(),
    };
    let mut verdict = Verdict::likely(Code::ExitStuck, summary).since_all(facts.observed_since.map(|_| {
        let at_least = if began_in_sight { "" } else { "at least " };
        format!("in do_exit() for {at_least}{}", duration(age))
    }));
    if let Some(place) = &place {
        verdict = verdict.since(format!("it sleeps in {place}()"));
    }
    for obstacle in facts.obstacles.iter().take(4) {
        let what = if obstacle.is_zombie { "is a zombie" } else { "lives" };
        let parent =
            obstacle.parent.as_ref().map_or(String::new(), |parent| format!(", its parent is {parent}"));
        verdict = verdict.since(format!("{} {what}{parent}", obstacle.process));
    }
    let responsible = facts.obstacles.iter().find_map(|it| it.is_zombie.then(|| it.parent.clone()).flatten());
    match responsible {
        Some(parent) => {
            let pid = parent.key.tgid;
            let remedy = format!(
                "{parent} must wait for its zombie child; `taskscope explain {pid}` says why it does not. Ending it frees the namespace: kill {pid}"
            );
            verdict.by(parent).remedy(remedy)
        }
        None => verdict.remedy(format!(
            "find out what the kernel waits for: cat /proc/{}/stack as root; often storage or a network file system that does not answer",
            life.key.tgid
        )),
    }
}

fn running(facts: &Facts) -> Verdict {
    let subject = facts.subject.known.named();
    let zombies = facts.subject.known.life.debt.map_or(0, |debt| debt.zombies);
    let owed = (zombies > 0).then(|| format!("meanwhile {} for it", waiting(zombies)));
    if let Some(frozen) = facts.subject.known.process().and_then(|process| process.frozen.as_ref()) {
        return frozen_with(frozen, subject, owed);
    }
    let state = facts.subject.known.process().and_then(super::facts::ProcessFacts::common_state);
    let leader = facts.subject.known.process().and_then(|it| it.threads.first());
    match state {
        Some(b'T') => stopped_by_signal(facts, subject, owed),
        Some(b't') => traced::judge(facts, leader, owed),
        Some(b'D') if facts.vfork_child.is_some() => held_by_vfork(facts, owed),
        Some(b'D') => in_d_state(leader, subject, owed),
        _ if zombies > 0 => owes(facts, zombies),
        _ => {
            let summary = match leader.and_then(|leader| leader.state) {
                Some(b'R') => "it runs; no problem is visible from outside",
                Some(b'S' | b'I') => "it is alive and sleeps; no problem is visible from outside",
                _ => "it is alive; no problem is visible from outside",
            };
            let place = leader.filter(|it| it.state == Some(b'S')).and_then(|it| it.wchan.clone());
            let mut verdict = Verdict::likely(Code::Alive, summary.into());
            verdict.evidence.extend(place.map(|place| format!("it sleeps in {place}()")));
            let throttled = facts.subject.known.process().and_then(|process| process.throttled.as_ref());
            verdict.evidence.extend(throttled.map(super::facts::Throttled::words));
            verdict.evidence.extend(lost_statuses(facts));
            if let Err(why) = &facts.subject.known.process {
                verdict
                    .missing
                    .push(super::Missing { fact: "its state in /proc".into(), needs: why.clone() });
            }
            verdict
        }
    }
}

fn stopped_by_signal(facts: &Facts, subject: Named, owed: Option<String>) -> Verdict {
    let process = facts.subject.known.process();
    let unread = super::facts::ProcessFacts::default();
    let stopped = stopped::Stopped {
        process: process.unwrap_or(&unread),
        pid: subject.key.tgid.0,
        by: facts.subject.known.life.job_stop.as_deref(),
        now: facts.now,
    };
    let (stop, certainty) = (stopped.describe(), stopped.certainty());
    let lasts = certainty == Certainty::Certain;
    let summary = format!("it is {}", stop.how.trim_end_matches(','));
    Verdict::new(Code::Stopped, certainty, summary)
        .by(subject)
        .since_all(lasts.then(|| "every live thread is in state T".to_owned()))
        .since_all(stop.evidence)
        .since_all(owed)
        .remedy(stop.remedy)
        .lacks(stop.missing)
}

/// Children whose wait status is lost, as evidence.
fn lost_statuses(facts: &Facts) -> Option<String> {
    let went = facts.subject.known.life.debt.map_or(0, |debt| debt.autoreaped);
    let children = if went == 1 { "1 child".into() } else { format!("{went} children") };
    (went > 0).then(|| {
        format!(
            "the kernel released {children} of it without a wait, because it ignores SIGCHLD (an exec keeps that) or set SA_NOCLDWAIT: wait(2) for them fails with ECHILD"
        )
    })
}

fn in_d_state(leader: Option<&ThreadFacts>, subject: Named, owed: Option<String>) -> Verdict {
    let pid = subject.key.tgid;
    let sleep = leader.and_then(|leader| leader.sleep.as_ref());
    let how = match sleep {
        Some(Sleep { is_killable: true, .. }) => {
            "it sleeps in the kernel (state D), and only SIGKILL ends this sleep"
        }
        _ => "it sleeps uninterruptibly in the kernel (state D)",
    };
    let summary = match sleep.and_then(|sleep| sleep.waits_for.as_ref()) {
        Some(what) => format!("{how}: it waits for {what}"),
        None => how.into(),
    };
    let find_out = format!(
        "find out what the kernel waits for: cat /proc/{pid}/stack as root; often storage or a network file system that does not answer"
    );
    let remedy = sleep.and_then(|sleep| sleep.remedy.clone()).unwrap_or(find_out);
    let remedy = match sleep {
        Some(Sleep { is_killable: true, .. }) => format!("{remedy}; kill -9 {pid} ends it"),
        Some(_) => format!("{remedy}; no signal ends it before that"),
        None => remedy,
    };
    let place = leader.and_then(|leader| leader.wchan.as_ref());
    Verdict::likely(Code::InDState, summary)
        .by(subject)
        .since_all(place.map(|place| format!("it sleeps in {place}()")))
        .since_all(leader.and_then(ThreadFacts::asleep_for))
        .since_all(owed)
        .remedy(remedy)
}

fn held_by_vfork(facts: &Facts, owed: Option<String>) -> Verdict {
    let Some(child) = &facts.vfork_child else {
        return Verdict::likely(Code::InDState, "it sleeps uninterruptibly in the kernel (state D)".into());
    };
    let holder = vfork::holder(child, facts.now);
    Verdict::certain(Code::HeldByVfork, format!("its vfork child holds it: {}", holder.what))
        .since("vfork(2) suspends the caller (state D) until the child execs or exits")
        .since_all(owed)
        .remedy(holder.remedy)
        .by(holder.responsible)
}

fn frozen_with(frozen: &Frozen, subject: Named, owed: Option<String>) -> Verdict {
    let (certainty, does) = if frozen.is_settled {
        (Certainty::Certain, "is frozen")
    } else {
        (Certainty::Likely, "is being frozen")
    };
    Verdict::new(
        Code::Frozen,
        certainty,
        format!("its cgroup {} {does}, so it does not run before the cgroup is thawed", frozen.cgroup),
    )
    .by(subject)
    .since(format!("the cgroup {} is set to frozen", frozen.cgroup))
    .since_all(owed)
    .remedy(format!("thaw it: {}", frozen.thaw))
}

fn waiting(zombies: u32) -> String {
    if zombies == 1 { "1 zombie waits".into() } else { format!("{zombies} zombies wait") }
}

/// The verdict on a parent of zombies: the reason is that of its oldest zombie.
fn owes(facts: &Facts, zombies: u32) -> Verdict {
    let subject = facts.subject.known.named();
    let count = if zombies == 1 { "a zombie child".into() } else { format!("{zombies} zombie children") };
    let Some(case) = zombie::Case::of_child(facts) else {
        return Verdict::certain(Code::OwesWaits, format!("it is alive and has not waited for {count}"))
            .by(subject);
    };
    let why = zombie::judge(&case);
    let child = Named::from(case.life);
    let mut verdict = Verdict::new(
        Code::OwesWaits,
        why.certainty,
        format!(
            "it is alive and has not waited for {count}; the reason for the oldest, {child}: {}",
            why.summary
        ),
    );
    verdict.responsible = why.responsible;
    verdict.evidence = why.evidence;
    verdict.remedy = why.remedy;
    verdict.missing = why.missing;
    verdict
}
