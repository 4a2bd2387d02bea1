//! Creates the report from the facts.

use std::collections::{BTreeMap, HashMap};

use crate::job::{
    concurrency,
    cost::Sum,
    failures,
    members::{Member, Members, Taken},
    path::critical_path,
    report::{
        Consumer, ExitReport, Leftover, LossReport, PastReport, ProcessCounts, Report, Rusage, UsageReport,
        VERSION,
    },
    steps, zombies,
};

/// The most programs, and command lines, of a report.
const MOST_CONSUMERS: usize = 50;

/// What the facts do not contain.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// The job's name.
    pub name: String,
    /// The command with its arguments.
    pub command: Vec<String>,
    /// When it started: RFC 3339.
    pub started: String,
    /// CPUs that it could use, if that is known.
    pub cpus: Option<u32>,
    /// What wait4(2) of the command returned.
    pub wait4: Option<Rusage>,
    /// The time of the report, ns of `CLOCK_BOOTTIME`: leftovers were alive until then.
    pub now_ns: u64,
    /// Zombies of at least this age are counted, ns.
    pub zombie_after_ns: u64,
    /// What was left at the end.
    pub leftovers: Vec<Leftover>,
    /// What else the reader should know.
    pub notes: Vec<String>,
    /// What was asked for, in a report from the history.
    pub past: Option<PastReport>,
    /// Whether processes can be missing.
    pub is_incomplete: bool,
}

/// Which process collected a process's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Collected {
    Waited,
    Autoreaped,
    Orphaned,
    Left,
}

/// Creates the report.
#[must_use]
pub fn report(members: &Members, setting: Setting) -> Report {
    let command = members.only_root();
    let (start_ns, end_ns) = members.span(setting.now_ns);
    let wall_ns = end_ns - start_ns;
    let usage = usage(members, setting.wait4);
    let path = critical_path(members);
    let (programs, commands) = consumers(members);
    let lost: Vec<_> = members
        .losses
        .iter()
        .map(|loss| LossReport { place: loss.place.clone(), count: loss.count })
        .collect();
    let is_whole = !members.all.is_empty() && members.roots().all(|root| root.ended.is_some());
    let is_known = |member: &Member| member.cost.is_some_and(|cost| !cost.at_least);
    // The usage of living processes is not final; their own sum shows that.
    let are_known = members.all.iter().all(|member| member.ended.is_none() || is_known(member));
    let at_least =
        !lost.is_empty() || members.left_out > 0 || !is_whole || !are_known || setting.is_incomplete;
    let mut notes = setting.notes;
    let (lacking, pending): (Vec<_>, Vec<_>) =
        members.incomplete().partition(|(_, incomplete)| incomplete.lacks_tasks);
    for (count, what) in [
        (pending.len(), "lacks what they used from their release to their last switch"),
        (lacking.len(), "lacks tasks, because no record with their figures has arrived"),
    ] {
        if count > 0 {
            notes.push(format!("the usage of {count} processes {what}: figures are lower bounds"));
        }
    }
    if members.left_out > 0 {
        notes.push(format!(
            "{} processes are not in this report, because it keeps {} at most",
            members.left_out,
            crate::job::members::MOST
        ));
    }
    let knows_sleeps = setting.past.is_none();
    Report {
        job_version: VERSION,
        name: setting.name,
        command: setting.command,
        started: setting.started,
        past: setting.past,
        exit: command.map(exit).unwrap_or_default(),
        wall_ns,
        cpus: setting.cpus,
        processes: counts(members),
        programs,
        commands,
        failures: failures::failures(members, start_ns),
        zombies: zombies::zombies(members, setting.zombie_after_ns, end_ns),
        leftovers: setting.leftovers,
        critical_path: steps::steps(members, &path, start_ns, knows_sleeps),
        parallelism: concurrency::parallelism(members, (start_ns, end_ns), setting.cpus),
        usage,
        lost,
        at_least,
        notes,
    }
}

fn exit(member: &Member) -> ExitReport {
    let (code, signal, cause) = failures::outcome(member);
    ExitReport { code, signal, cause }
}

fn counts(members: &Members) -> ProcessCounts {
    // Older processes are not counted, because it is not known what they did within the time of the report.
    let began = || members.all.iter().filter(|member| member.start_ns >= members.from_ns);
    ProcessCounts {
        made: began().count() as u64 + members.left_out,
        threads_made: began().map(|member| u64::from(member.threads)).sum(),
        most_at_once: concurrency::most_at_once(members),
        execs: began().map(|member| u64::from(member.execs)).sum(),
        reparented: members.all.iter().filter(|member| member.reparented.is_some()).count() as u64,
    }
}

fn usage(members: &Members, wait4: Option<Rusage>) -> UsageReport {
    let mut usage = UsageReport { wait4, ..UsageReport::default() };
    let mut by_pid: HashMap<u32, Vec<usize>> = HashMap::new();
    for (at, member) in members.all.iter().enumerate() {
        by_pid.entry(member.pid).or_default().push(at);
    }
    let mut known: Vec<Option<Collected>> = vec![None; members.all.len()];
    for at in 0..members.all.len() {
        let collected = collected(members, &by_pid, &mut known, at);
        let Some(member) = members.all.get(at) else { continue };
        let sum = match collected {
            Collected::Waited => &mut usage.waited_for,
            Collected::Autoreaped => &mut usage.autoreaped,
            Collected::Orphaned => &mut usage.orphaned,
            Collected::Left => &mut usage.left,
        };
        sum.add(member.cost.as_ref());
    }
    for sum in [usage.waited_for, usage.autoreaped, usage.orphaned, usage.left] {
        usage.all.join(&sum);
    }
    usage.all.cost.at_least |= !members.losses.is_empty() || members.left_out > 0;
    usage
}

/// Follows the processes that waited, up to the command or to the first process that no process of the job waited for.
fn collected(
    members: &Members,
    by_pid: &HashMap<u32, Vec<usize>>,
    known: &mut [Option<Collected>],
    at: usize,
) -> Collected {
    let mut chain = Vec::new();
    let mut next = at;
    let found = loop {
        if let Some(&Some(found)) = known.get(next) {
            break found;
        }
        chain.push(next);
        let Some(member) = members.all.get(next) else { break Collected::Left };
        match member.taken {
            // Its new parent may reap it at any time.
            None if member.ended.is_some() && member.reparented.is_some() => break Collected::Orphaned,
            None => break Collected::Left,
            Some(Taken::Autoreaped) => break Collected::Autoreaped,
            Some(Taken::Reaped { by: Some(by), .. }) if by == members.starter => break Collected::Waited,
            Some(Taken::Reaped { at_ns, by, .. }) => {
                let reaper = by.and_then(|by| by_pid.get(&by)).and_then(|list| {
                    let started = |&at: &usize| members.all.get(at).is_some_and(|it| it.start_ns <= at_ns);
                    list.iter().copied().rev().find(started)
                });
                match reaper {
                    // A process waits for processes that began after it did, so the chain ends.
                    Some(reaper) if !chain.contains(&reaper) => next = reaper,
                    // If no record shows which process waited, it was the parent.
                    None if by.is_none() => match (member.forked_by, &member.reparented) {
                        (Some(forker), None) if !chain.contains(&forker) => next = forker,
                        (None, _) => break Collected::Waited,
                        _ => break Collected::Orphaned,
                    },
                    _ => break Collected::Orphaned,
                }
            }
        }
    };
    for at in chain {
        if let Some(place) = known.get_mut(at) {
            *place = Some(found);
        }
    }
    found
}

fn consumers(members: &Members) -> (Vec<Consumer>, Vec<Consumer>) {
    let mut programs: BTreeMap<&str, Consumer> = BTreeMap::new();
    let mut commands: BTreeMap<&str, Consumer> = BTreeMap::new();
    for member in &members.all {
        for stage in member.stages.iter().skip(1).filter(|stage| stage.at_ns >= members.from_ns) {
            if let Some(program) = &stage.program {
                programs.entry(program).or_default().execs += 1;
            }
            if let Some(command) = &stage.command {
                commands.entry(command).or_default().execs += 1;
            }
        }
        let Some(stage) = member.stage() else { continue };
        let program = stage.program.as_deref().unwrap_or(&stage.name);
        programs.entry(program).or_default().sum.add(member.cost.as_ref());
        if let Some(command) = &stage.command {
            commands.entry(command).or_default().sum.add(member.cost.as_ref());
        }
    }
    (largest(programs), largest(commands))
}

fn largest(by_name: BTreeMap<&str, Consumer>) -> Vec<Consumer> {
    let mut all: Vec<_> =
        by_name.into_iter().map(|(name, consumer)| Consumer { name: name.into(), ..consumer }).collect();
    all.sort_by(|a, b| b.sum.cost.cpu_ns.cmp(&a.sum.cost.cpu_ns).then_with(|| a.name.cmp(&b.name)));
    if all.len() > MOST_CONSUMERS {
        let others: Vec<_> = all.drain(MOST_CONSUMERS - 1..).collect();
        let mut rest = Consumer { name: format!("{} others", others.len()), execs: 0, sum: Sum::default() };
        for other in &others {
            rest.execs += other.execs;
            rest.sum.join(&other.sum);
        }
        all.push(rest);
    }
    all
}
