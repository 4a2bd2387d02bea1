//! The processes of a job: the command and all its descendants.
//!
//! A process is a member if a member forked it, even if its parent is another process now: neither a double fork, nor setsid(2), nor
//! reparenting takes it out of the job.

pub(super) mod fact;
pub(super) mod past;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::job::{
    cost::Cost,
    fact::{Fact, JobUsage, What},
};

/// The most processes that are stored. Later ones are only counted.
pub const MOST: usize = 200_000;

/// A program that a process ran, from a time on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// When it began, ns of `CLOCK_BOOTTIME`.
    pub at_ns: u64,
    /// The comm at that time.
    pub name: Arc<str>,
    /// The path of the program.
    pub program: Option<Arc<str>>,
    /// The arguments, with blanks between them.
    pub command: Option<Arc<str>>,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When its last task died, ns of `CLOCK_BOOTTIME`.
    pub at_ns: u64,
    /// The wait(2) status.
    pub status: Option<i32>,
    /// The code of the cause of death.
    pub cause: Option<String>,
}

/// How a process was reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// By a wait(2).
    Reaped {
        /// When, ns of `CLOCK_BOOTTIME`.
        at_ns: u64,
        /// The process that waited.
        by: Option<u32>,
        /// How long it was a zombie.
        zombie_ns: u64,
        /// Whether it was reaped earlier, by up to an RCU grace period.
        is_late: bool,
    },
    /// Without a wait(2).
    Autoreaped,
}

/// Figures of a process that ended, before the records of all its tasks have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incomplete {
    /// The time of the last event with such figures, ns of `CLOCK_BOOTTIME`.
    pub since_ns: u64,
    /// Whether all figures of a task are missing. If not, only what a task used between its release and its last switch is.
    pub lacks_tasks: bool,
}

/// A process of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its pid.
    pub pid: u32,
    /// When it was created, ns of `CLOCK_BOOTTIME`.
    pub start_ns: u64,
    /// The member that forked it; `None` for the command itself.
    pub forked_by: Option<usize>,
    /// Its parent now.
    pub parent_pid: Option<u32>,
    /// The programs that it ran: its forker's first, then one for each exec.
    pub stages: Vec<Stage>,
    /// How often it called execve(2).
    pub execs: u32,
    /// Threads that it created.
    pub threads: u32,
    /// Until when it held the parent that vforked it.
    pub held_until_ns: Option<u64>,
    /// Its end.
    pub ended: Option<Ended>,
    /// How it was reaped.
    pub taken: Option<Taken>,
    /// Whether its pid is free.
    pub is_released: bool,
    /// When and to what kind of process it was reparented last.
    pub reparented: Option<(u64, String)>,
    /// What it used.
    pub cost: Option<Cost>,
    /// What its figures lack.
    pub incomplete: Option<Incomplete>,
    /// Long uninterruptible sleeps: from, to.
    pub sleeps: Vec<(u64, u64)>,
    /// Whether a record showed its creation.
    pub is_seen: bool,
}

/// A loss, by place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::job) struct Loss {
    /// Where: docs/events.md.
    pub(in crate::job) place: String,
    /// How many events; `None` if that is not known.
    pub(in crate::job) count: Option<u64>,
}

/// The processes of a job, from its facts.
#[derive(Debug)]
pub struct Members {
    /// In the order in which they were seen; the command is the first.
    pub(in crate::job) all: Vec<Member>,
    /// The last member that had a pid.
    by_pid: HashMap<u32, usize>,
    /// The process that started the command.
    pub(in crate::job) starter: u32,
    root: u32,
    texts: HashSet<Arc<str>>,
    /// What was lost.
    pub(in crate::job) losses: Vec<Loss>,
    /// Processes beyond [`MOST`].
    pub(in crate::job) left_out: u64,
    /// For a job of the past: the time at which the report begins, ns of `CLOCK_BOOTTIME`.
    pub(in crate::job) from_ns: u64,
}

impl Member {
    /// Returns the program that it ran last.
    #[must_use]
    pub fn stage(&self) -> Option<&Stage> {
        self.stages.last()
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.stage().map_or("?", |stage| &stage.name)
    }

    /// Returns when its last task died.
    #[must_use]
    pub fn ended_ns(&self) -> Option<u64> {
        self.ended.as_ref().map(|ended| ended.at_ns)
    }
}

impl Members {
    /// Follows the command `root` that the process `starter` starts.
    #[must_use]
    pub fn new(starter: u32, root: u32) -> Self {
        Self {
            all: Vec::new(),
            by_pid: HashMap::new(),
            starter,
            root,
            texts: HashSet::new(),
            losses: Vec::new(),
            left_out: 0,
            from_ns: 0,
        }
    }

    /// Returns the command, once it was seen.
    #[must_use]
    pub fn command(&self) -> Option<&Member> {
        self.all.first()
    }

    /// Returns the processes that no member forked: the command, or those of a unit that others started.
    pub fn roots(&self) -> impl Iterator<Item = &Member> {
        self.all.iter().filter(|member| member.forked_by.is_none())
    }

    /// Returns the command; `None` if there are several roots.
    pub(in crate::job) fn only_root(&self) -> Option<&Member> {
        let mut roots = self.roots();
        roots.next().filter(|_| roots.next().is_none())
    }

    /// Returns from when to when the job ran: until `now_ns` if a root has not ended.
    #[must_use]
    pub fn span(&self, now_ns: u64) -> (u64, u64) {
        let start = self.roots().map(|root| root.start_ns).min().unwrap_or(now_ns).max(self.from_ns);
        let end = self.roots().map(|root| root.ended_ns().unwrap_or(now_ns)).max().unwrap_or(now_ns);
        (start, end.max(start))
    }

    /// Returns all members.
    #[must_use]
    pub fn all(&self) -> &[Member] {
        &self.all
    }

    /// Returns members that have not ended, or that nobody has waited for, by index.
    pub fn alive(&self) -> impl Iterator<Item = (usize, &Member)> {
        self.all.iter().enumerate().filter(|(_, member)| member.ended.is_none() || member.taken.is_none())
    }

    /// Returns a member by index, to add what its facts do not contain.
    pub fn get_mut(&mut self, at: usize) -> Option<&mut Member> {
        self.all.get_mut(at)
    }

    /// Returns members that ended with incomplete figures, and what these lack.
    pub fn incomplete(&self) -> impl Iterator<Item = (&Member, Incomplete)> {
        self.all.iter().filter_map(|member| Some((member, member.incomplete?)))
    }

    /// Completes incomplete figures: `find` returns the usage of the process with a pid and a start, if it is known.
    pub fn complete(&mut self, mut find: impl FnMut(u32, u64) -> Option<JobUsage>) {
        for member in &mut self.all {
            if let Some(Incomplete { since_ns, .. }) = member.incomplete {
                member.learn_usage(find(member.pid, member.start_ns), since_ns);
            }
        }
    }

    /// Whether events were lost, so that figures are lower bounds whatever is found later.
    #[must_use]
    pub const fn has_losses(&self) -> bool {
        !self.losses.is_empty()
    }

    /// Takes the next fact. Facts of processes outside of the job change nothing.
    pub fn take(&mut self, fact: Fact) {
        if let What::Lost { count, place } = fact.what {
            return self.lose(place, count);
        }
        if let What::Forked { creator, seen } = fact.what {
            return self.fork(fact, creator, seen);
        }
        let Some(at) = self.find(&fact) else { return };
        let name = fact.name.map(|name| self.shared(name));
        let program = fact.program.map(|program| self.shared(program));
        let command = match &fact.what {
            What::Execed { arguments: Some(arguments), .. } => Some(self.shared(arguments.join(" ").into())),
            _ => None,
        };
        let Some(member) = self.all.get_mut(at) else { return };
        member.change(
            fact.what,
            fact.at_ns,
            Stage { at_ns: fact.at_ns, name: name.unwrap_or_else(|| Arc::from("?")), program, command },
        );
        if fact.parent.is_some() {
            member.parent_pid = fact.parent;
        }
    }

    /// Returns one shared text for all members that have the same one.
    fn shared(&mut self, text: Arc<str>) -> Arc<str> {
        if let Some(known) = self.texts.get(&text) {
            return Arc::clone(known);
        }
        self.texts.insert(Arc::clone(&text));
        text
    }

    fn find(&self, fact: &Fact) -> Option<usize> {
        let at = *self.by_pid.get(&fact.pid)?;
        let known = self.all.get(at)?.start_ns;
        (known == fact.start_ns || known == 0 || fact.start_ns == 0).then_some(at)
    }

    fn fork(&mut self, fact: Fact, creator: Option<u32>, seen: bool) {
        let is_root = self.all.is_empty() && fact.pid == self.root && fact.parent == Some(self.starter);
        let forker = creator.or(fact.parent).and_then(|pid| self.by_pid.get(&pid).copied());
        // A member that is found later may have been reparented to a member, which then stands for its forker.
        if !is_root && forker.is_none() || self.find(&fact).is_some_and(|at| self.is(at, &fact)) {
            return;
        }
        if self.all.len() >= MOST {
            self.left_out += 1;
            return;
        }
        let inherited = forker.and_then(|at| self.all.get(at)?.stage().cloned());
        let name = fact.name.map(|name| self.shared(name));
        let program = fact.program.map(|program| self.shared(program));
        let stage = Stage {
            at_ns: fact.at_ns,
            name: name.or_else(|| Some(Arc::clone(&inherited.as_ref()?.name))).unwrap_or_else(|| "?".into()),
            program: program.or_else(|| inherited.as_ref()?.program.clone()),
            command: inherited.and_then(|stage| stage.command),
        };
        self.by_pid.insert(fact.pid, self.all.len());
        self.all.push(Member {
            pid: fact.pid,
            start_ns: if fact.start_ns > 0 { fact.start_ns } else { fact.at_ns },
            forked_by: forker,
            parent_pid: fact.parent,
            stages: vec![stage],
            execs: 0,
            threads: 0,
            held_until_ns: None,
            ended: None,
            taken: None,
            is_released: false,
            reparented: None,
            cost: None,
            incomplete: None,
            sleeps: Vec::new(),
            is_seen: seen,
        });
    }

    fn is(&self, at: usize, fact: &Fact) -> bool {
        self.all.get(at).is_some_and(|member| member.start_ns == fact.start_ns && member.taken.is_none())
    }

    fn lose(&mut self, place: String, count: Option<u64>) {
        match self.losses.iter_mut().find(|loss| loss.place == place) {
            Some(loss) => {
                loss.count = loss.count.zip(count).map(|(before, more)| before.saturating_add(more));
            }
            None => self.losses.push(Loss { place, count }),
        }
    }
}

impl Member {
    fn change(&mut self, what: What, at_ns: u64, stage: Stage) {
        match what {
            What::ThreadMade => self.threads = self.threads.saturating_add(1),
            What::Execed { held_parent, .. } => {
                self.execs = self.execs.saturating_add(1);
                self.stages.push(stage);
                if held_parent {
                    self.held_until_ns = Some(at_ns);
                }
            }
            What::LetParentGo => self.held_until_ns = Some(at_ns),
            What::Ended { status, cause, usage } => {
                self.ended = Some(Ended { at_ns, status, cause });
                self.learn_usage(usage, at_ns);
            }
            What::Reparented { kind } => self.reparented = Some((at_ns, kind)),
            What::Reaped { by, zombie_ns, is_late } => {
                let zombie_ns = zombie_ns.unwrap_or(0);
                self.taken = Some(Taken::Reaped { at_ns, by, zombie_ns, is_late });
            }
            What::Autoreaped => self.taken = Some(Taken::Autoreaped),
            // By kprobe and fentry, a task can be released before the records that complete its figures.
            What::Released { usage } => {
                self.learn_usage(usage, at_ns);
                // Before its end, this is the former leader, whose tid an exec in a thread took over.
                self.is_released = self.ended.is_some();
            }
            What::Slept { ns } => self.sleeps.push((at_ns.saturating_sub(ns), at_ns)),
            What::Forked { .. } | What::Lost { .. } => {}
        }
    }

    fn learn_usage(&mut self, usage: Option<JobUsage>, at_ns: u64) {
        let Some(usage) = usage else { return };
        self.cost = usage.cost().or(self.cost);
        self.incomplete = usage.incomplete_since(at_ns);
    }
}
