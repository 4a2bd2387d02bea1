//! The report of a job of the past, from what the daemon remembers and from its history.

use std::{path::Path, process::ExitCode, time::Duration};

use super::{Args, lives, output::Reports};
use crate::{
    answer::{
        known::Known,
        life::{LifeFilter, LifeRecord},
        time_arg,
        tree::{Node, Tree},
    },
    cli::{
        client::{Client, ClientError},
        exit::Exit,
        past::{self, FromDirectory},
    },
    duration, event_loop,
    export::{Stamp, matches},
    history::read::Times,
    job::{self, Identity, JobUsage, Living, Member, Members, PastReport, Scope, Setting, Window},
    lineage::id::Ktime,
    service::Status,
};

/// The options that ask for the past; they exclude options that need a running command.
pub(super) const SELECTORS: [&str; 2] = ["pid", "unit"];

/// The most lives that are kept in memory, about 1 KiB each.
const MOST_LIVES: usize = 1_000_000;

/// What the past is asked for.
#[derive(Debug, clap::Args)]
pub(super) struct PastArgs {
    /// Report on this process and its descendants instead of a command; of an ended process, the last one that had the pid
    #[arg(long, value_name = "PID", conflicts_with_all = ["unit", "command"], requires = "since")]
    pid: Option<u32>,
    /// Report on the processes of this systemd unit; * and ? as in a shell
    #[arg(long, value_name = "UNIT", conflicts_with = "command", requires = "since")]
    unit: Option<String>,
    /// With --pid or --unit: how far to look back
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "command")]
    since: Option<Duration>,
    /// With --pid or --unit: up to this time, 10m (ago), 14:30:05 or 2026-11-20T14:30:05 in local time [default: now]
    #[arg(long, value_name = "TIME", conflicts_with = "command", requires = "since")]
    until: Option<String>,
    #[command(flatten)]
    directory: FromDirectory,
}

/// Which processes are meant.
pub(super) enum Selector {
    Pid(u32),
    Unit(String),
}

impl PastArgs {
    /// Returns which processes of the past are meant; `None` if a command is to run.
    pub(super) fn selector(&self) -> Result<Option<Selector>, Exit> {
        let unit = || self.unit.clone().map(Selector::Unit);
        let selector = self.pid.map(Selector::Pid).or_else(unit);
        if selector.is_none() && self.directory.from.is_some() {
            log::error!("--from is for --pid and --unit: a command that runs is in no history yet");
            return Err(Exit::Usage);
        }
        Ok(selector)
    }
}

/// What is known of the time.
struct Found {
    lives: Vec<LifeRecord>,
    living: Vec<Living>,
    /// Sentences about what is missing.
    missing: Vec<String>,
    /// Whether processes that ended can be missing.
    is_incomplete: bool,
    /// The wall clock at boottime 0, and the boot, if the daemon says.
    clock: Option<(i128, String)>,
}

/// Times of the wall clock, ms since the epoch.
#[derive(Clone, Copy)]
struct Asked {
    from_ms: i64,
    to_ms: i64,
    /// Whether the time ends now, so that the present usage of living processes is their usage at its end.
    is_now: bool,
}

/// Makes the report.
pub(super) fn report(args: &Args, selector: &Selector, reports: &Reports) -> Result<ExitCode, Exit> {
    let now_ms = i64::try_from(past::now_ns() / 1_000_000).unwrap_or(i64::MAX);
    let until = args.past.until.as_deref().map(|text| past::moment("--until", text)).transpose()?;
    let to_ms = until.map_or(now_ms, |(_, ms)| ms);
    let asked = Asked { from_ms: past::since_ms(args.past.since), to_ms, is_now: to_ms >= now_ms };
    if asked.to_ms <= asked.from_ms {
        log::error!("--until is not later than --since");
        return Err(Exit::Usage);
    }
    let mut found = match &args.past.directory.from {
        Some(directory) => of_directory(directory, selector, asked)?,
        None => of_daemon(args, selector, asked).map_err(|error| error.exit())?,
    };
    let wall_ns = found.of_one_boot(selector);
    let at = |ms: i64| u64::try_from(i128::from(ms) * 1_000_000 - wall_ns).unwrap_or(0);
    let mut window = Window { from_ns: at(asked.from_ms), to_ns: at(asked.to_ms) };
    if asked.is_now {
        // Processes that began after the question was asked are part of the answer.
        window.to_ns = found.living.iter().map(|living| living.start_ns).fold(window.to_ns, u64::max);
    }
    let scope = match selector {
        Selector::Pid(pid) => Scope::Pid(*pid),
        Selector::Unit(_) => Scope::All,
    };
    let (members, mut notes) =
        job::members_of_lives(&found.lives, &found.living, &scope, window).map_err(Exit::failed)?;
    notes.append(&mut found.missing);
    let setting = Setting {
        notes,
        is_incomplete: found.is_incomplete,
        ..setting(args, selector, &members, window, wall_ns)
    };
    let is_well = reports.write_of(args, &members, setting, wall_ns)?;
    Ok(if is_well { ExitCode::SUCCESS } else { Exit::Failure.into() })
}

fn setting(args: &Args, selector: &Selector, members: &Members, window: Window, wall_ns: i128) -> Setting {
    let stamp = Stamp::new("", wall_ns);
    let time = |ns| stamp.timestamp_ms(Ktime(ns));
    let is_running = |root: &&Member| root.ended.is_none();
    let running = members.roots().filter(is_running).count() as u64;
    let program = members.roots().next().and_then(Member::stage);
    let program = program.map(|stage| stage.program.as_deref().unwrap_or(&stage.name).to_owned());
    let base = |path: &String| path.rsplit('/').next().unwrap_or(path).to_owned();
    let (pid, unit, name) = match selector {
        Selector::Pid(pid) => (Some(*pid), None, program.as_ref().map(base).unwrap_or_default()),
        Selector::Unit(unit) => (None, Some(unit.clone()), unit.clone()),
    };
    // While a root runs, its descendants are not leftovers.
    let leftovers = if running == 0 { job::leftovers(members, window.to_ns) } else { Vec::new() };
    Setting {
        name: args.name.clone().unwrap_or(name),
        command: if pid.is_some() { program.into_iter().collect() } else { Vec::new() },
        started: time(members.span(window.to_ns).0),
        cpus: None,
        wait4: None,
        now_ns: window.to_ns,
        zombie_after_ns: duration::ns(args.zombie_after),
        leftovers,
        past: Some(PastReport {
            pid,
            unit,
            since: time(window.from_ns),
            until: time(window.to_ns),
            roots: members.roots().count() as u64,
            running,
        }),
        ..Setting::default()
    }
}

/// Reads a directory: it has no process that still lives.
fn of_directory(path: &Path, selector: &Selector, asked: Asked) -> Result<Found, Exit> {
    let (directory, mut known) = past::open(path, asked.from_ms)?;
    let (lives, damage) = past::lives(&directory, Times::since(asked.from_ms), filter(selector))?;
    known.damage.add(&damage);
    let mut found =
        Found { lives, living: Vec::new(), missing: Vec::new(), is_incomplete: false, clock: None };
    found.check()?;
    found.add_known(&known, None, asked.from_ms);
    found.missing.push("processes that had not ended when the history was written are not in it".into());
    Ok(found)
}

fn filter(selector: &Selector) -> LifeFilter {
    match selector {
        // Its descendants are found by their parents.
        Selector::Pid(_) => LifeFilter::default(),
        Selector::Unit(unit) => LifeFilter { units: vec![unit.clone()], ..LifeFilter::default() },
    }
}

fn of_daemon(args: &Args, selector: &Selector, asked: Asked) -> Result<Found, ClientError> {
    let client = Client::at(&args.socket.socket);
    let runtime = event_loop::start().map_err(|error| ClientError::Broken {
        socket: args.socket.socket.clone(),
        what: error.to_string(),
    })?;
    runtime.block_on(async {
        // Read the living processes first: a process that ends in between is then among the lives.
        let tree: Tree = client.json("/v1/tree?usage=true").await?;
        let age_ms = past::now_ns() / 1_000_000 - i128::from(asked.from_ms);
        let mut query = lives::since(age_ms.saturating_add(1));
        if let Selector::Unit(unit) = selector {
            query.add("unit", unit);
        }
        let mut lives = Vec::new();
        let answer = lives::ask(&client, query, |life| lives.push(life)).await?;
        if answer.history.is_some() {
            lives::complete_from_memory(&client, &mut lives).await?;
        }
        let status: Status = client.json("/v1/status").await?;
        let living = living(&tree, selector, asked.is_now);
        let mut found =
            Found { lives, living, missing: Vec::new(), is_incomplete: false, clock: clock(&tree) };
        found.check().map_err(|_| ClientError::Refused { status: 0, message: too_many() })?;
        found.add_known(&answer.history.unwrap_or_default(), answer.known_since.as_deref(), asked.from_ms);
        if status.records_lost > 0 {
            found.is_incomplete = true;
            found.missing.push(format!(
                "the daemon has lost {} records since its start: processes of this time can be missing",
                status.records_lost
            ));
        }
        Ok(found)
    })
}

/// Returns the wall clock at boottime 0, and the boot.
fn clock(tree: &Tree) -> Option<(i128, String)> {
    let wall_ns = time_arg::wall_ns(&tree.made.timestamp)? - i128::from(tree.made.boottime_ns);
    let id = tree.processes.iter().find_map(|node| node.entity_id.as_deref())?;
    Some((wall_ns, boot(id).to_owned()))
}

/// Returns the boot of an entity id, `BOOT-PID-START`.
fn boot(entity_id: &str) -> &str {
    entity_id.split('-').next().unwrap_or_default()
}

/// Returns the processes of a tree that can be meant.
fn living(tree: &Tree, selector: &Selector, is_now: bool) -> Vec<Living> {
    // Units of the ancestors of a process: one without a place has that of its parent.
    let mut units: Vec<Option<String>> = Vec::new();
    let mut found = Vec::new();
    for node in &tree.processes {
        units.truncate(usize::try_from(node.depth).unwrap_or(usize::MAX));
        let unit = match &node.place {
            Some(place) => place.cgroup.unit.clone(),
            None => units.last().cloned().flatten(),
        };
        let is_meant = match selector {
            Selector::Pid(_) => true,
            Selector::Unit(glob) => {
                unit.as_ref().is_some_and(|unit| matches(glob.as_bytes(), unit.as_bytes()))
            }
        };
        units.push(unit);
        if is_meant {
            found.push(living_of(node, tree.made.boottime_ns, is_now));
        }
    }
    found
}

fn living_of(node: &Node, now_ns: u64, is_now: bool) -> Living {
    let identity = |pid: u32, id: Option<&str>| -> Identity { (pid, id.and_then(job::start_of)) };
    let usage = node.spent.as_ref().and_then(|spent| spent.usage_so_far.as_ref());
    Living {
        pid: node.pid,
        start_ns: node.entity_id.as_deref().and_then(job::start_of).unwrap_or(0),
        parent_pid: node.parent_pid,
        first_parent: node.orphan_of.as_ref().map(|first| identity(first.pid, first.entity_id.as_deref())),
        name: node.name.clone(),
        threads: node.threads.saturating_sub(1),
        zombie_since_ns: node.zombie.as_ref().map(|age| now_ns.saturating_sub(age.zombie_at_least_ns)),
        usage: usage.filter(|_| is_now).map(JobUsage::of_life),
    }
}

impl Found {
    fn check(&self) -> Result<(), Exit> {
        if self.lives.len() > MOST_LIVES {
            log::error!("{}", too_many());
            return Err(Exit::Failure);
        }
        Ok(())
    }

    /// Says which ends may be missing since the time that was asked for.
    fn add_known(&mut self, known: &Known, since: Option<&str>, from_ms: i64) {
        let since = known.known_since.as_deref().or(since);
        let is_later = since
            .and_then(time_arg::wall_ns)
            .is_some_and(|since| since.div_euclid(1_000_000) > i128::from(from_ms));
        if let Some(since) = since.filter(|_| is_later) {
            self.missing.push(format!("processes that ended before {since} are not known"));
        }
        let gaps = known.sentences();
        self.is_incomplete |=
            is_later || !known.gaps.is_empty() || known.more_gaps > 0 || known.damage.frames > 0;
        self.missing.extend(gaps);
    }

    /// Keeps only lives of one boot, because times of two boots cannot be compared: of the last boot that has a life of the
    /// selected process or unit. Returns the wall clock at the boottime 0 of that boot.
    fn of_one_boot(&mut self, selector: &Selector) -> i128 {
        let is_meant = |life: &&LifeRecord| match selector {
            Selector::Pid(pid) => life.process.pid == *pid,
            Selector::Unit(_) => true,
        };
        let is_alive = match selector {
            Selector::Pid(pid) => self.living.iter().any(|living| living.pid == *pid),
            Selector::Unit(_) => !self.living.is_empty(),
        };
        let last = self.lives.iter().filter(is_meant).max_by(|a, b| a.timestamp.cmp(&b.timestamp));
        let of_life = || {
            let life = last?;
            let wall_ns = time_arg::wall_ns(&life.timestamp)? - i128::from(life.boottime_ns);
            Some((wall_ns, boot(life.process.entity_id.as_deref()?).to_owned()))
        };
        let present = self.clock.take();
        let clock =
            if is_alive { present.clone().or_else(of_life) } else { of_life().or_else(|| present.clone()) };
        let Some((wall_ns, id)) = clock else { return 0 };
        if present.as_ref().is_none_or(|(_, present)| *present != id) {
            self.living.clear();
        }
        let before = self.lives.len();
        self.lives.retain(|life| life.process.entity_id.as_deref().is_some_and(|other| boot(other) == id));
        let others = before - self.lives.len();
        if others > 0 && matches!(selector, Selector::Unit(_)) {
            self.missing.push(format!(
                "{others} processes are left out, because they ran in another boot of the host"
            ));
        }
        // The daemon's clock is exact; a timestamp has milliseconds.
        present.filter(|(_, present)| *present == id).map_or(wall_ns, |(wall_ns, _)| wall_ns)
    }
}

fn too_many() -> String {
    format!("more than {MOST_LIVES} processes ended in that time: choose a shorter time, or a unit")
}
