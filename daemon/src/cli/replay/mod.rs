//! `taskscope replay`: the events and the answers of a recording.

mod figures;
#[cfg(feature = "top")]
mod frame;
mod views;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use self::{
    figures::Refusals,
    views::{LimitsView, Silent, View},
};
use super::{
    events::{
        Format,
        alone::finish,
        lines::{LineOptions, Lines},
    },
    exit::Exit,
};
use crate::{
    answer::time_arg,
    cgroup::Cgroups,
    duration, event_loop,
    export::{EventSelection, Zone, schema::Schema},
    lineage::{ActionKind, id::Ktime},
    recording::{Entries, Entry, Frame, Reader, RecordingError},
    runtime::{
        Wall,
        replay::{Replay, ReplaySink},
    },
    service::EventMetrics,
};

/// Bytes that wait for the reader of standard output before the replay waits too: it must not lose a line.
const WAITING_MOST: usize = 8 << 20;

/// The pause before the replay checks again whether the reader has read.
const AGAIN: Duration = Duration::from_millis(1);

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope replay web.rec                              the events, one JSON object per line
  taskscope replay web.rec events --action exited       only some of them
  taskscope replay web.rec --at +10s tree               the tree ten seconds after the recording began
  taskscope replay web.rec explain 4711                 the history of a process, as of the end of the recording
  taskscope replay web.rec --at 10s top                 a frame of the live view, ten seconds before the end
  taskscope replay web.rec --speed 1 events --format text   in real time

It needs no privileges and no daemon, and reads nothing of this host. docs/recordings.md says what a replay cannot know.")]
#[command(subcommand_value_name = "VIEW", subcommand_help_heading = "Views")]
pub(super) struct Args {
    /// A file that `taskscope record` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Stop at this time: +10s (since the recording began), 10s (before its end), 14:30:05 in local time, 2026-11-20T14:30:05Z in UTC
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Speed as a multiple of real time, such as 1 or 0.5; max does not wait
    #[arg(long, value_name = "N", default_value = "max", value_parser = speed)]
    speed: Speed,
    /// Print the metrics of the events at the end, instead of the view
    #[arg(long, conflicts_with = "speed")]
    metrics: bool,
    #[command(subcommand)]
    view: Option<View>,
}

/// `--speed`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Speed {
    Max,
    Times(f64),
}

/// What is replayed, up to when, and how fast.
pub(super) struct Source<'a> {
    pub(super) file: &'a Path,
    pub(super) at: Option<&'a str>,
    pub(super) speed: Speed,
}

impl Args {
    fn source(&self) -> Source<'_> {
        Source { file: &self.file, at: self.at.as_deref(), speed: self.speed }
    }
}

fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    let times: f64 = text.parse().map_err(|_| format!("`{text}` is not a number, or max"))?;
    if times.is_finite() && times > 0.0 {
        Ok(Speed::Times(times))
    } else {
        Err(format!("`{text}` is not more than 0"))
    }
}

/// What a replay found besides events.
pub(super) struct Replayed {
    pub(super) replay: Replay,
    /// Parts that could not be read.
    damaged: bool,
    /// Whether it was replayed to its end.
    is_whole: bool,
}

/// Runs `replay`.
pub(super) fn run(args: &Args) -> Exit {
    let outcome = match &args.view {
        _ if args.metrics => metrics(args),
        None => events(args, LineOptions::default()),
        Some(View::Events(of)) => events(args, of.options()),
        Some(View::Lives(of)) => events(args, of.options()),
        Some(View::Limits(of)) => limits(args, of),
        #[cfg(feature = "top")]
        Some(View::Top) => frame(args),
        Some(view) => {
            replay(&args.source(), false, &mut |_, _| Ok(Silent), &mut |_| true).and_then(|(replayed, _)| {
                let exit = view.answer(&replayed.replay)?;
                Ok(replayed.exit(exit))
            })
        }
    };
    outcome.unwrap_or_else(|exit| exit)
}

impl Replayed {
    /// A damaged recording is a failure, even if most of it could be replayed.
    pub(super) const fn exit(&self, exit: Exit) -> Exit {
        if self.damaged { Exit::Failure } else { exit }
    }
}

impl Default for LineOptions {
    fn default() -> Self {
        Self {
            selection: EventSelection::default(),
            format: Format::Json,
            schema: Schema::Native,
            colour: false,
            limit: None,
        }
    }
}

fn events(args: &Args, options: LineOptions) -> Result<Exit, Exit> {
    let unknown = options.selection.actions.iter().find(|name| ActionKind::from_name(name).is_none());
    if let Some(unknown) = unknown {
        log::error!("--action {unknown}: no such action; there are: {}", ActionKind::list());
        return Err(Exit::Usage);
    }
    let runtime = event_loop::start().map_err(Exit::failed)?;
    let lives = options.selection.lives;
    let mut options = Some(options);
    let mut start = |replay: &Replay, wall: Wall| {
        let options = options.take().unwrap_or_default();
        Lines::start(options, &replay.lineage, wall, Cgroups::at(None))
            .map_err(|error| Exit::failed_at("preparing to write events", error))
    };
    let mut goes_on = |lines: &mut Lines| {
        while lines.output.waiting() > WAITING_MOST && !lines.output.is_closed() {
            std::thread::sleep(AGAIN);
        }
        !lines.is_full() && !lines.output.is_closed()
    };
    let (replayed, mut printed) = replay(&args.source(), lives, &mut start, &mut goes_on)?;
    let written = runtime.block_on(finish(&mut printed.output));
    log::info!("replayed {} events; {}", printed.written, summary(&replayed));
    // A write to a reader that reads nothing would delay the end.
    runtime.shutdown_background();
    written.map_err(|error| Exit::failed_at("writing to standard output", error))?;
    Ok(replayed.exit(Exit::Success))
}

fn limits(args: &Args, view: &LimitsView) -> Result<Exit, Exit> {
    let mut start = |_: &Replay, _| Ok(Refusals::default());
    let (replayed, refusals) = replay(&args.source(), false, &mut start, &mut |_| true)?;
    view.answer(&replayed.replay, &refusals)?;
    Ok(replayed.exit(Exit::Success))
}

#[cfg(feature = "top")]
fn frame(args: &Args) -> Result<Exit, Exit> {
    let mut start = |_: &Replay, wall| Ok(frame::FrameSink::new(wall));
    let (replayed, sink) = replay(&args.source(), false, &mut start, &mut |_| true)?;
    sink.print(&replayed.replay)?;
    Ok(replayed.exit(Exit::Success))
}

fn metrics(args: &Args) -> Result<Exit, Exit> {
    let mut start = |_: &Replay, _| EventMetrics::new().map(views::Counting).map_err(Exit::failed);
    let (replayed, counting) = replay(&args.source(), false, &mut start, &mut |_| true)?;
    let text = counting.0.text(&replayed.replay.lineage).map_err(Exit::failed)?;
    super::output::answer(&text)?;
    Ok(replayed.exit(Exit::Success))
}

pub(super) fn summary(replayed: &Replayed) -> String {
    let replay = &replayed.replay;
    let counts = replay.counts;
    let end = if replayed.is_whole && counts.end.is_none() {
        "; the recording has no end: its recorder was killed"
    } else {
        ""
    };
    let lasted = Duration::from_nanos(replay.now.since(replay.begun));
    format!(
        "{} records in {:.3} s, {} refused; lost before they were recorded: {}; parts missing: {}{end}",
        counts.applied + counts.refused,
        lasted.as_secs_f64(),
        counts.refused,
        counts.lost,
        counts.gaps
    )
}

/// Replays the file up to `--at` into a sink that `start` returns, while `goes_on` returns true.
pub(super) fn replay<S: ReplaySink>(
    source: &Source<'_>,
    lives: bool,
    start: &mut dyn FnMut(&Replay, Wall) -> Result<S, Exit>,
    goes_on: &mut dyn FnMut(&mut S) -> bool,
) -> Result<(Replayed, S), Exit> {
    let mut reader = Reader::open(source.file).map_err(Exit::failed)?;
    let header = reader.header.clone();
    let until = source.at.map(|at| moment(source.file, at, &header)).transpose()?;
    let mut replay = Replay::new(&header, lives);
    let wall = Wall::recorded(&header.boot_id, i128::from(header.wall_offset_ns));
    let mut sink = start(&replay, wall)?;
    let pace = Pace::new(source.speed, header.begun);
    let (mut damaged, mut is_whole) = (false, false);
    'frames: loop {
        let frame = match reader.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                is_whole = true;
                break;
            }
            Err(error) => {
                damaged |= complain(&error, &mut replay, &mut sink)?;
                continue;
            }
        };
        for entry in Entries::of(&frame.content) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let error = reader.malformed(&frame, error);
                    damaged |= complain(&error, &mut replay, &mut sink)?;
                    continue 'frames;
                }
            };
            if let Some(time) = Replay::time_of(&entry) {
                if until.is_some_and(|until| time > until) {
                    replay.now = until.unwrap_or(replay.now);
                    break 'frames;
                }
                pace.wait_for(time);
            }
            replay.step(&entry, &mut sink);
        }
        if !goes_on(&mut sink) {
            break;
        }
    }
    replay.end(&mut sink);
    Ok((Replayed { replay, damaged, is_whole }, sink))
}

/// Logs what cannot be read. Returns whether something is missing in the middle; an error if nothing more can be read.
fn complain(error: &RecordingError, replay: &mut Replay, sink: &mut impl ReplaySink) -> Result<bool, Exit> {
    if error.is_fatal() {
        return Err(Exit::failed(error));
    }
    if matches!(error, RecordingError::Torn { .. }) {
        log::warn!("{error}");
        return Ok(false);
    }
    log::error!("{error}");
    replay.damaged(sink);
    Ok(true)
}

/// Waits between events, in proportion to the times at which they were recorded.
struct Pace {
    speed: Speed,
    started: Instant,
    begun: Ktime,
}

impl Pace {
    fn new(speed: Speed, begun: Ktime) -> Self {
        Self { speed, started: Instant::now(), begun }
    }

    fn wait_for(&self, time: Ktime) {
        let Speed::Times(times) = self.speed else { return };
        let due = Duration::from_nanos(time.since(self.begun)).div_f64(times);
        let left = due.saturating_sub(self.started.elapsed());
        if !left.is_zero() {
            std::thread::sleep(left);
        }
    }
}

/// Finds the time that `--at` means.
fn moment(file: &Path, text: &str, header: &crate::recording::Header) -> Result<Ktime, Exit> {
    let wrong = |error| {
        log::error!("--at: {error}");
        Exit::Usage
    };
    if let Some(since) = text.strip_prefix('+') {
        let since = duration::parse(since).map_err(wrong)?;
        return Ok(Ktime(header.begun.0.saturating_add(duration::ns(since))));
    }
    let (end, wall_offset_ns) = end_of(file, header)?;
    let wall = Wall::recorded(&header.boot_id, wall_offset_ns);
    let utc = time_arg::to_utc(text, wall.stamp().wall_ns(end), Zone::Local).unwrap_or_else(|| text.into());
    let at = time_arg::parse(&utc, end, wall.stamp()).map_err(|error| {
        log::error!(
            "--at: {error}; the recording lasts from {} to {}",
            wall.stamp().timestamp(header.begun),
            wall.stamp().timestamp(end)
        );
        Exit::Usage
    })?;
    if at < header.begun {
        log::error!("--at {text}: before the recording began, at {}", wall.stamp().timestamp(header.begun));
        return Err(Exit::Usage);
    }
    Ok(at)
}

/// Reads the file once for the time of its last entry, and the offset of the wall clock then.
fn end_of(file: &Path, header: &crate::recording::Header) -> Result<(Ktime, i128), Exit> {
    let mut reader = Reader::open(file).map_err(Exit::failed)?;
    let (mut end, mut wall) = (header.begun, header.wall_offset_ns);
    loop {
        let frame: Frame = match reader.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok((end, i128::from(wall))),
            Err(error) if error.is_fatal() => return Err(Exit::failed(error)),
            Err(_) => continue,
        };
        for entry in Entries::of(&frame.content).flatten() {
            end = Replay::time_of(&entry).unwrap_or_default().max(end);
            if let Entry::Wall(offset) = entry {
                wall = offset;
            }
        }
    }
}
