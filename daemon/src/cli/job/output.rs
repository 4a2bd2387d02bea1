//! The report of a job: where it goes, and what `--fail-on` finds in it.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{Args, FailOn, Status, collector::Collector, leftovers::Ending};
use crate::{
    bounded,
    cli::exit::Exit,
    duration,
    export::{Zone, answer},
    job::{self, Comparison, Leftover, Members, Report, Setting},
    lineage::id::Ktime,
    runtime::Wall,
    view::picture::{Timeline, timeline_svg},
};

/// The most bytes of an earlier report.
const MOST_BYTES: usize = 64 << 20;

/// Width of the report where standard error is no terminal.
const WIDTH: usize = 80;

/// Width of the picture, pixels.
const PICTURE: u32 = 1200;

/// Where the report goes.
pub(super) struct Reports {
    files: Vec<(PathBuf, Layout)>,
    baseline: Option<Report>,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Json,
    Markdown,
    Html,
}

impl Layout {
    /// Returns the layout that the ending of a file's name asks for.
    fn of(path: &Path) -> Result<Self, String> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") => Ok(Self::Json),
            Some("md") => Ok(Self::Markdown),
            Some("html") => Ok(Self::Html),
            _ => Err(format!("--report {}: the name must end in .json, .md or .html", path.display())),
        }
    }
}

impl Reports {
    /// Checks what would make the report fail, before the command starts.
    pub(super) fn prepare(args: &Args) -> Result<Self, Exit> {
        let usage = |error: String| {
            log::error!("{error}");
            Exit::Usage
        };
        let mut files = Vec::new();
        for path in &args.report {
            files.push((path.clone(), Layout::of(path).map_err(usage)?));
        }
        for path in args.report.iter().chain(&args.timeline) {
            let file = fs::File::options().append(true).create(true).open(path);
            file.map_err(|error| Exit::failed_at(&format!("opening {}", path.display()), error))?;
        }
        let baseline = args.baseline.as_deref().map(read).transpose().map_err(usage)?;
        Ok(Self { files, baseline })
    }

    /// Writes the report of a command that ran; returns whether `--fail-on` found nothing.
    pub(super) fn write(
        &self,
        args: &Args,
        collector: &Collector,
        ending: &Ending,
        status: Status,
        started: Ktime,
    ) -> Result<bool, Exit> {
        let Some(members) = collector.members() else { return Ok(true) };
        let setting = setting(args, collector, ending, status, started);
        self.write_of(args, members, setting, Wall::of_this_boot().offset_ns())
    }

    /// Writes the report of some processes. `wall_ns` is the wall clock at boottime 0.
    pub(super) fn write_of(
        &self,
        args: &Args,
        members: &Members,
        setting: Setting,
        wall_ns: i128,
    ) -> Result<bool, Exit> {
        let until = setting.now_ns;
        let report = job::report(members, setting);
        let comparison = self.baseline.as_ref().map(|before| job::compare(before, &report));
        self.show(&report, comparison.as_ref())?;
        if let Some(path) = &args.timeline {
            let timeline = Timeline::of_job(members, until, wall_ns);
            save(path, timeline_svg(&timeline, PICTURE, Zone::Local).as_bytes())?;
        }
        Ok(is_well(args, &report))
    }

    fn show(&self, report: &Report, comparison: Option<&Comparison>) -> Result<(), Exit> {
        for (path, layout) in &self.files {
            let text = match layout {
                Layout::Json => json(report)?,
                Layout::Markdown => job::markdown(report, comparison),
                Layout::Html => job::html(report, comparison),
            };
            save(path, text.as_bytes())?;
        }
        let (width, colour) = style();
        let text = job::text(report, comparison, width, colour);
        let mut shown = &*text;
        if let Some((first, _)) = self.files.first() {
            let line = text.lines().next().unwrap_or_default();
            shown = line;
            log::info!("the report is in {}", first.display());
        }
        // Where standard error is closed nobody reads it; the files have been written.
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(format!("{}\n", shown.trim_end()).as_bytes());
        Ok(())
    }
}

fn setting(args: &Args, collector: &Collector, ending: &Ending, status: Status, started: Ktime) -> Setting {
    let words: Vec<String> = args.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let program = words.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word));
    let start = collector.members().and_then(|members| members.command()).map(|command| command.start_ns);
    Setting {
        name: args.name.clone().unwrap_or_else(|| program.to_owned()),
        // Arguments can hold secrets.
        command: if args.argument_vectors { words } else { words.into_iter().take(1).collect() },
        started: Wall::of_this_boot().stamp().timestamp_ms(start.map_or(started, Ktime)),
        cpus: Some(cpus()),
        wait4: Some(status.rusage),
        now_ns: ending.now_ns,
        zombie_after_ns: duration::ns(args.zombie_after),
        leftovers: completed(&ending.leftovers, collector.members()),
        notes: collector.notes.clone(),
        past: None,
        is_incomplete: false,
    }
}

/// Returns the leftovers with the figures that the last switches of zombies completed since.
fn completed(leftovers: &[Leftover], members: Option<&Members>) -> Vec<Leftover> {
    let zombies = members.into_iter().flat_map(Members::alive).filter(|(_, member)| member.ended.is_some());
    let cpu_ns: HashMap<u32, u64> =
        zombies.filter_map(|(_, member)| Some((member.pid, member.cost?.cpu_ns))).collect();
    let mut leftovers = leftovers.to_vec();
    for left in leftovers.iter_mut().filter(|left| left.zombie) {
        left.cpu_ns = cpu_ns.get(&left.pid).copied().unwrap_or(left.cpu_ns);
    }
    leftovers
}

/// Returns the CPUs that this process, and so the command, may use.
fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX))
}

/// Says what `--fail-on` finds.
fn is_well(args: &Args, report: &Report) -> bool {
    let mut is_well = true;
    for what in &args.fail_on {
        let (count, found) = match what {
            FailOn::Leftovers => (report.leftovers.len() as u64, "processes of the job are left"),
            FailOn::Zombies => (report.zombies.count, "children were left unreaped"),
            FailOn::Oom => (report.failures.oom, "processes were killed because memory ran out"),
            FailOn::Failures => (report.failures.count, "processes failed"),
            FailOn::Losses => (u64::from(report.at_least), "losses: figures are lower bounds"),
        };
        if count > 0 {
            log::error!("--fail-on: {count} {found}");
            is_well = false;
        }
    }
    is_well
}

fn read(path: &Path) -> Result<Report, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("--baseline {}: {error}", path.display());
    let text = bounded::read(path, MOST_BYTES).map_err(|error| wrong(&error))?;
    let report: Report = serde_json::from_slice(&text)
        .map_err(|error| wrong(&format_args!("{error}; it must be a report that --report FILE.json made")))?;
    if report.job_version == job::VERSION {
        Ok(report)
    } else {
        Err(wrong(&format_args!(
            "it has version {}, and this taskscope reads version {}",
            report.job_version,
            job::VERSION
        )))
    }
}

fn json(report: &Report) -> Result<String, Exit> {
    let text = answer(report).map_err(|error| Exit::failed_at("writing the report", error))?;
    Ok(text + "\n")
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), Exit> {
    fs::write(path, bytes).map_err(|error| Exit::failed_at(&format!("writing {}", path.display()), error))
}

/// Returns width and colour of standard error.
fn style() -> (usize, bool) {
    use std::io::IsTerminal as _;
    let stderr = io::stderr();
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let width = terminal_size::terminal_size_of(&stderr).map_or(WIDTH, |(width, _)| usize::from(width.0));
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    (width, stderr.is_terminal() && !is_dumb && !is_set("NO_COLOR"))
}
