//! Leaks other than zombies: threads that only grow, a program that is started again and again, a fork storm, and processes that
//! have outlived their session.

use std::fmt::Write as _;

use super::facts::Named;
use super::{Certainty, Code, Missing, Verdict, duration};
use lineage::death::Cause;
use lineage::flags::signal_name;
use lineage::id::{GroupKey, Ktime};
use lineage::leak::{GrowingThreads, Leak, Leaking, Orphans, Respawn, Storm};
use lineage::record::Comm;
use lineage::status::WaitStatus;

/// The tightest limit on the forks of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TightestLimit {
    /// The name of the limit, such as `pids.max of the cgroup /a`.
    pub what: String,
    /// Tasks that count against it.
    pub used: u64,
    /// The limit.
    pub limit: u64,
}

/// A command that ends every process of a fork bomb at once, and what else it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndAll {
    /// The command, for any shell; it needs no fork there.
    pub command: String,
    /// What it ends: `every process of the cgroup /x`.
    pub reach: String,
    /// Whether it ends the culprit too.
    pub with_culprit: bool,
    /// The first processes that it ends and that do not descend from the culprit.
    pub also: Vec<Named>,
    /// How many processes it ends that do not descend from the culprit.
    pub also_count: usize,
}

impl EndAll {
    fn words(&self, culprit: &Named) -> String {
        let mut ends: Vec<String> = self.with_culprit.then(|| culprit.to_string()).into_iter().collect();
        ends.extend(self.also.iter().map(ToString::to_string));
        let more = self.also_count.saturating_sub(self.also.len());
        if more > 0 {
            ends.push(format!("{more} more"));
        }
        let among = if ends.is_empty() { String::new() } else { format!(", among them {}", ends.join(", ")) };
        format!("{} (this ends {}{among})", self.command, self.reach)
    }
}

/// What a verdict on a leak needs besides the leak.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The tightest limit on pids of the culprit.
    pub limit: Option<TightestLimit>,
    /// The systemd unit or the container of the leaking processes.
    pub place: Option<String>,
    /// Whether that is a systemd unit.
    pub is_unit: bool,
    /// Whether SIGTERM does not end the processes that the remedy ends: they ignore or block it.
    pub resists_sigterm: bool,
    /// What ends a fork bomb, if all of its processes can be reached at once.
    pub end_all: Option<EndAll>,
}

impl Surroundings {
    const fn kill(&self) -> &'static str {
        if self.resists_sigterm { "kill -9" } else { "kill" }
    }
}

/// Returns the verdict on the culprit of a leak.
#[must_use]
pub fn leak(leak: &Leak, now: Ktime, around: &Surroundings) -> Verdict {
    let culprit = named(leak.culprit, leak.name);
    let verdict = match &leak.what {
        Leaking::Threads(threads) => growing(leak, threads, &culprit, around.kill()),
        Leaking::Respawn(respawn) => respawned(leak, respawn, &culprit, around),
        Leaking::Storm(storm) => forking(leak, storm, now, &culprit, around),
        Leaking::Orphans(orphans) => left_behind(orphans, now, around.kill()),
    };
    let limit =
        around.limit.as_ref().filter(|_| matches!(leak.what, Leaking::Threads(_) | Leaking::Storm(_)));
    verdict.since_all(limit.map(|limit| held_to(leak, limit))).by(culprit)
}

fn named(key: GroupKey, name: Option<Comm>) -> Named {
    Named { key, name: name.map(|name| name.bytes().to_vec()) }
}

/// Returns a rate as people say it.
fn rate(leak: &Leak) -> String {
    match leak.per_minute() {
        Some(rate) if rate >= 600.0 => format!("{:.0} a second", rate / 60.0),
        Some(rate) if rate >= 10.0 => format!("{rate:.0} a minute"),
        Some(rate) if rate >= 1.0 => format!("{rate:.1} a minute"),
        Some(rate) => format!("{:.1} an hour", 60.0 * rate),
        None => "an unknown rate".into(),
    }
}

/// Returns the share of the tightest limit, and when it will be full at this rate.
fn held_to(leak: &Leak, limit: &TightestLimit) -> String {
    let percent = u128::from(limit.used) * 100 / u128::from(limit.limit.max(1));
    let mut text = format!("{} is {percent} % full: {} of {} tasks", limit.what, limit.used, limit.limit);
    let left = limit.limit.saturating_sub(limit.used);
    let made = match &leak.what {
        Leaking::Threads(threads) => threads.grown,
        Leaking::Storm(storm) => storm.alive,
        _ => 0,
    };
    if left > 0 && made > 0 {
        let full_in = u128::from(left) * u128::from(leak.span_ns()) / u128::from(made);
        let full_in = u64::try_from(full_in).unwrap_or(u64::MAX);
        let _ = write!(text, "; at this rate it is full in {}", duration(full_in));
    }
    text
}

fn growing(leak: &Leak, threads: &GrowingThreads, culprit: &Named, kill: &str) -> Verdict {
    let GrowingThreads { live, grown, ended } = *threads;
    let over = duration(leak.span_ns());
    let summary = format!("its threads only grow: {live} now, {grown} more than {over} ago ({})", rate(leak));
    let pid = culprit.key.tgid;
    let (certainty, how) = match ended {
        0 => (
            Certainty::Certain,
            format!("{grown} threads were created in {over}, and none of its threads has ended"),
        ),
        1 => (Certainty::Likely, format!("{} threads were created in {over}, and one has ended", grown + 1)),
        _ => (
            Certainty::Likely,
            format!("{} threads were created in {over}, and {ended} have ended", grown + ended),
        ),
    };
    let missing = (ended > 0).then(|| Missing {
        fact: "whether more of its threads end later".into(),
        needs: "more time: ask again".into(),
    });
    Verdict::new(Code::ThreadsOnlyGrow, certainty, summary).since(how).lacks(missing).remedy(format!(
        "find out which threads these are: cat /proc/{pid}/task/*/comm | sort | uniq -c; until the program is fixed, kill it before the limit is reached: {kill} {pid}"
    ))
}

fn how(cause: Cause, status: Option<WaitStatus>) -> String {
    let code = status.and_then(WaitStatus::code);
    let signal = status
        .and_then(WaitStatus::signal)
        .map(|signal| signal_name(signal).map_or_else(|| format!("signal {signal}"), Into::into));
    match (cause, code, signal) {
        (Cause::Exited, Some(code), _) => format!("exited with code {code}"),
        (cause, _, Some(signal)) => format!("{}, {signal}", cause.code()),
        (cause, ..) => cause.code().into(),
    }
}

fn respawned(leak: &Leak, respawn: &Respawn, culprit: &Named, around: &Surroundings) -> Verdict {
    let program = respawn.program.map_or_else(|| "a program".into(), |name| printable(name.bytes()));
    let starter = match (&around.place, respawn.by_manager) {
        (Some(place), true) => format!("it starts {program} of {place}"),
        _ => format!("it starts {program}"),
    };
    let ends = respawn.ends;
    let summary = format!(
        "{starter} again and again, and that ends after {}: {ends} times in {} ({})",
        duration(respawn.median_life_ns),
        duration(leak.span_ns()),
        rate(leak)
    );
    let counted: u32 = respawn.causes.iter().map(|(.., count)| count).sum();
    let causes: Vec<String> = respawn
        .causes
        .iter()
        .map(|&(cause, status, count)| format!("{} ({count} of the last {counted})", how(cause, status)))
        .collect();
    let last = respawn.last.tgid;
    let pid = culprit.key.tgid;
    let find_out = match (&around.place, around.is_unit && respawn.by_manager) {
        (Some(unit), true) => format!("find out why it ends: taskscope deaths --unit '{unit}'"),
        _ => format!("find out why it ends: taskscope deaths --pid {last}"),
    };
    let (certainty, missing, remedy) = if respawn.by_manager {
        (Certainty::Certain, None, find_out)
    } else {
        let missing = Missing {
            fact: "whether it is meant to run once for each of many inputs, as below xargs(1) or find(1)"
                .into(),
            needs: format!("its arguments: taskscope events --args --subtree {pid} --action execed"),
        };
        let kill = around.kill();
        (Certainty::Likely, Some(missing), format!("{find_out}; to stop the loop: {kill} {pid}"))
    };
    Verdict::new(Code::RespawnLoop, certainty, summary)
        .since(format!("how it ends: {}", causes.join(", ")))
        .since(format!("the next start comes {} after an end", duration(respawn.median_pause_ns)))
        .since_all(respawn.path.as_ref().map(|path| format!("the program is {}", printable(path.bytes()))))
        .lacks(missing)
        .remedy(remedy)
}

fn forking(leak: &Leak, storm: &Storm, now: Ktime, culprit: &Named, around: &Surroundings) -> Verdict {
    let (pid, kill) = (culprit.key.tgid, around.kill());
    let (made, alive, over) = (storm.made, storm.alive, duration(leak.span_ns()));
    let left = match alive {
        0 => "none of them is alive".to_owned(),
        1 => "1 of them is alive".into(),
        _ => format!("{alive} of them are alive"),
    };
    let speed = rate(leak);
    if storm.spreads {
        let quiet = now.since(leak.seen);
        let summary = if quiet > 2 * leak.span_ns() {
            let quiet = duration(quiet);
            format!(
                "the processes that descend from it forked too fast: {made} in {over} ({speed}), until {quiet} ago; {alive} that descend from it are alive"
            )
        } else {
            format!(
                "the processes that descend from it fork too fast: {made} in {over} ({speed}), and {left}"
            )
        };
        return Verdict::certain(Code::ForkStorm, summary)
            .since("they fork without execve(2), and their children fork too: a fork bomb")
            .remedy(end_bomb(around.end_all.as_ref(), culprit));
    }
    Verdict::certain(
        Code::ForkStorm,
        format!("it forks too fast: {made} processes in {over} ({speed}), and {left}"),
    )
    .since("it made them itself; forks of its children do not count")
    .remedy(format!("stop it, find out what it does, and let it go on or end it: kill -STOP {pid}; kill -CONT {pid}; {kill} {pid}"))
}

fn end_bomb(end_all: Option<&EndAll>, culprit: &Named) -> String {
    let how = match end_all {
        Some(end_all) => end_all.words(culprit),
        // No process group and no cgroup has all of them.
        None => format!(
            "put them into a cgroup of their own and write 1 to its cgroup.kill, or stop them first (taskscope tree {})",
            culprit.key.tgid
        ),
    };
    format!(
        "end all of them at once, because others go on while they are ended one by one: {how}; a limit holds the next one: pids.max, TasksMax=, ulimit -u"
    )
}

fn left_behind(orphans: &Orphans, now: Ktime, kill: &str) -> Verdict {
    let job = named(orphans.job, orphans.job_name);
    let ago = duration(now.since(orphans.ended));
    let pids: Vec<String> = orphans.left.iter().map(|(key, _)| key.tgid.to_string()).collect();
    let others = match orphans.count {
        0 | 1 => String::new(),
        2 => ", and so has 1 other process".into(),
        count => format!(", and so have {} other processes", count - 1),
    };
    let names: Vec<String> = orphans.left.iter().map(|&(key, name)| named(key, name).to_string()).collect();
    let summary = format!("it has outlived its session: {job}, which led it, ended {ago} ago{others}");
    Verdict::likely(Code::OutlivesSession, summary)
        .since(format!("left of the session: {}", names.join(", ")))
        .since("an init or a subreaper has adopted it, it is still in the cgroup of the session, and it does not ignore SIGHUP")
        .lacks(Some(Missing {
            fact: "whether it is meant to outlive the session".into(),
            needs: "start it with setsid(1), nohup(1) or as a service if it is meant to: then it is not listed".into(),
        }))
        .remedy(format!("if it is not meant to go on, end it: {kill} {}", pids.join(" ")))
}

/// Returns a name that is not necessarily UTF-8, without control characters.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
