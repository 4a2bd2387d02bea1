//! `taskscope events`: what the kernel's tasks do, as it happens.

use std::{fmt::Write as _, io, os::fd::AsFd as _, path::PathBuf, sync::Arc, time::Duration};

use clap::ValueEnum;
use tokio::{io::Interest, select, sync::Notify};

use super::{Attach, exit::Exit, output::Output, signals};
use crate::{
    export::{self, Stamp},
    fd::watch,
    kernel::{clock, object::Options},
    lineage::{Config, Lineage, effect::Effect},
    runtime::{Face, Pipeline, Place, Trust},
};

/// How long a stop waits for the reader of standard output to take something.
const FINISH: Duration = Duration::from_secs(2);

/// Two measurements of where the wall clock stands differ by less than this unless it was set.
const NOISE_NS: i128 = 100_000;

/// Arguments of `events`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope events | jq 'select(.event.action == \"exited\")'   all that die
  taskscope events --action reaped,zombie_flagged               who takes which dead child, and who does not
  taskscope events --format text --pid 4711                     one process, for eyes")]
pub(super) struct Args {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Only events with these actions (docs/events.md lists them)
    #[arg(long, value_delimiter = ',', value_name = "ACTION")]
    action: Vec<String>,
    /// Only events of these processes
    #[arg(long, value_delimiter = ',', value_name = "PID")]
    pid: Vec<u32>,
    /// Stop after this many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Use only the rungs of one family
    #[arg(long, value_enum, default_value_t)]
    attach: Attach,
    /// Read argument vectors of execs; they can hold secrets
    #[arg(long = "args")]
    argument_vectors: bool,
    /// Age at which a zombie is flagged, such as 500ms, 10s or 2m
    #[arg(long, value_name = "AGE", default_value = "10s", value_parser = crate::duration::parse)]
    zombie_after: Duration,
    /// Size of the ring between kernel and taskscope, in KiB; rounded up to a power of two
    #[arg(long, value_name = "KIB", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(4..=1_048_576))]
    ring_kib: u32,
    /// How often the tree is compared with the kernel's tasks though nothing is known to be lost; 0s is never
    #[arg(long, value_name = "AGE", default_value = "5m", value_parser = crate::duration::parse)]
    audit_every: Duration,
    /// How often a short-lived process of taskscope's own, which is not shown, must come through; 0s is never
    #[arg(long, value_name = "AGE", default_value = "15s", value_parser = crate::duration::parse)]
    canary_every: Duration,
    /// Do without the kernel's task iterator, as where it has none: /proc alone
    #[arg(long, hide_short_help = true)]
    no_iterator: bool,
    /// Use this eBPF object and not the embedded one, for work on the programs
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    object: Option<PathBuf>,
}

/// `--format` of `events`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object a line
    #[default]
    Json,
    /// One aligned line an event
    Text,
}

/// Runs `events`.
pub(super) fn run(args: &Args) -> Exit {
    if let Some(unknown) = args.action.iter().find(|name| !export::ACTIONS.contains(&name.as_str())) {
        log::error!("--action {unknown}: no such action; there are: {}", export::ACTIONS.join(", "));
        return Exit::Usage;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            log::error!("starting the event loop: {error}");
            return Exit::Failure;
        }
    };
    runtime.block_on(observe(args))
}

async fn observe(args: &Args) -> Exit {
    let config =
        Config { zombie_after: args.zombie_after, exec_args: args.argument_vectors, ..Config::default() };
    let options = Options { ring_bytes: args.ring_kib.saturating_mul(1024), args: args.argument_vectors };
    let trust =
        Trust { audit_every: args.audit_every, canary_every: args.canary_every, iterator: !args.no_iterator };
    let started = Pipeline::start_with(args.object.as_deref(), options, args.attach.into(), config, trust);
    let mut pipeline = match started {
        Ok(pipeline) => pipeline,
        Err(error) => {
            log::error!("{error}");
            return Exit::from(&error);
        }
    };
    let prepared = signals::stop().and_then(|signal| Ok((signal, Lines::start(args)?)));
    let (signal, mut lines) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            log::error!("preparing to write events: {error}");
            return Exit::Failure;
        }
    };
    let closed = lines.output.closed();
    let full = Arc::clone(&lines.full);
    log::info!("ready: {}", hooks_line(&pipeline));
    let stop = async {
        select! {
            () = signal => {}
            () = closed => {}
            () = full.notified() => {}
            () = reader_gone() => {}
        }
    };
    let outcome = pipeline.run(&mut lines, stop).await;
    let written = finish(&mut lines).await;
    log::info!("summary: {}", summary(&pipeline, &lines));
    match (outcome, written) {
        (Err(error), _) => {
            log::error!("{error}");
            Exit::Failure
        }
        (_, Err(error)) => {
            log::error!("writing to standard output: {error}");
            Exit::Failure
        }
        _ => Exit::Success,
    }
}

/// Resolves when standard output is a pipe or socket whose reader is gone; never for anything else.
async fn reader_gone() {
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    match stdout.and_then(|fd| watch(fd, Interest::ERROR)) {
        // An error on the writing end of a pipe means that the reading end is closed (poll(2), POLLERR).
        Ok(fd) => drop(fd.ready(Interest::ERROR).await),
        Err(_) => std::future::pending().await,
    }
}

/// Lets the writer write what waits, for as long as the reader takes something.
async fn finish(lines: &mut Lines) -> io::Result<()> {
    lines.output.close();
    let mut waiting = lines.output.waiting();
    while tokio::time::timeout(FINISH, lines.output.closed()).await.is_err() {
        let left = lines.output.waiting();
        if left == waiting {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("its reader took nothing for {} s; {left} bytes are lost", FINISH.as_secs()),
            ));
        }
        waiting = left;
    }
    lines.output.finish()
}

fn hooks_line(pipeline: &Pipeline) -> String {
    let mut text = String::new();
    for hook in &pipeline.observer.hooks {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}{} by {}", hook.hook, hook.rung.as_deref().unwrap_or("nothing"));
    }
    text
}

fn summary(pipeline: &Pipeline, lines: &Lines) -> String {
    let mut text = format!("{} events", lines.written);
    let mut separator = " (";
    for (action, count) in export::ACTIONS.iter().zip(&lines.by_action) {
        if *count > 0 {
            let _ = write!(text, "{separator}{action} {count}");
            separator = ", ";
        }
    }
    if separator == ", " {
        text.push(')');
    }
    let mending = &pipeline.mending;
    let _ = write!(
        text,
        "; lost {}; {}; {} lines = {} written + {} not written; {} resyncs, longest {} us, mended {}, drift {}; canaries {} whole, {} broken",
        pipeline.counts.lost(),
        pipeline.sums(),
        lines.output.handed,
        lines.output.written(),
        lines.output.handed - lines.output.written(),
        mending.resyncs,
        mending.longest_ns / 1000,
        mending.repaired,
        mending.drift,
        pipeline.canary.whole,
        pipeline.canary.broken,
    );
    if let Some(age) = pipeline.canary.age(clock::boottime()) {
        let _ = write!(text, ", last {} s ago", age.as_secs());
    }
    let _ = write!(text, "; {}", hooks_line(pipeline));
    text
}

/// Effects as lines on standard output.
struct Lines {
    output: Output,
    stamp: Stamp,
    wall_offset_ns: i128,
    format: Format,
    actions: Vec<String>,
    pids: Vec<u32>,
    limit: Option<u64>,
    buffer: Vec<u8>,
    sequence: u64,
    written: u64,
    by_action: Vec<u64>,
    full: Arc<Notify>,
}

impl Lines {
    fn start(args: &Args) -> io::Result<Self> {
        let wall_offset_ns = clock::wall_offset_ns();
        Ok(Self {
            output: Output::start()?,
            stamp: stamp(wall_offset_ns),
            wall_offset_ns,
            format: args.format,
            actions: args.action.clone(),
            pids: args.pid.clone(),
            limit: args.limit,
            buffer: Vec::with_capacity(256 << 10),
            sequence: 0,
            written: 0,
            by_action: vec![0; export::ACTIONS.len()],
            full: Arc::new(Notify::new()),
        })
    }

    /// The wall clock can be set. What is less than that is the noise of measuring.
    fn follow_wall_clock(&mut self) {
        let offset_ns = clock::wall_offset_ns();
        if (offset_ns - self.wall_offset_ns).abs() > NOISE_NS {
            self.wall_offset_ns = offset_ns;
            self.stamp.set_wall_offset(offset_ns);
        }
    }

    fn wanted(&self, effect: &Effect) -> bool {
        (self.actions.is_empty() || self.actions.iter().any(|name| name == effect.action.name()))
            && (self.pids.is_empty() || self.pids.contains(&effect.process.key.tgid.0))
    }
}

impl Face for Lines {
    fn take(&mut self, effects: &[Effect], _lineage: &Lineage) {
        self.follow_wall_clock();
        let mut lines = 0;
        for effect in effects {
            self.sequence += 1;
            if !self.wanted(effect) {
                continue;
            }
            if self.limit.is_some_and(|limit| self.written >= limit) {
                break;
            }
            match self.format {
                Format::Json => {
                    export::json::write(effect, self.sequence, &self.stamp, None, &mut self.buffer);
                }
                Format::Text => export::text::write(effect, &self.stamp, &mut self.buffer),
            }
            if let Some(index) = export::ACTIONS.iter().position(|name| *name == effect.action.name())
                && let Some(count) = self.by_action.get_mut(index)
            {
                *count += 1;
            }
            self.written += 1;
            lines += 1;
        }
        let (format, stamp) = (self.format, &self.stamp);
        self.output.push(&mut self.buffer, lines, |lost| gap(format, stamp, "output", lost));
        if self.limit.is_some_and(|limit| self.written >= limit) {
            self.full.notify_one();
        }
    }

    fn lost(&mut self, count: u64) {
        self.lost_at(Place::Ring, count);
    }

    fn lost_at(&mut self, place: Place, count: u64) {
        log::warn!("{count} records lost: {}", place.reason());
        let mut line = gap(self.format, &self.stamp, place.name(), count);
        self.output.push(&mut line, 1, |lost| gap(self.format, &self.stamp, "output", lost));
    }
}

/// Without a readable boot id entity ids begin with zeros.
fn stamp(wall_offset_ns: i128) -> Stamp {
    let boot_id = clock::boot_id().unwrap_or_else(|error| {
        log::warn!("reading the boot id: {error}; entity ids are not unique across boots");
        "00000000".into()
    });
    Stamp::new(&boot_id, wall_offset_ns)
}

fn gap(format: Format, stamp: &Stamp, place: &'static str, lost: u64) -> Vec<u8> {
    let mut line = Vec::new();
    match format {
        Format::Json => export::json::write_gap(place, Some(lost), stamp, &mut line),
        Format::Text => export::text::write_gap(place, lost, stamp, &mut line),
    }
    line
}
