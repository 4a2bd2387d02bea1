//! `taskscope export`: lives of processes in a format of another program.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    ops::ControlFlow,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    client::{Client, ClientError, Socket},
    exit::Exit,
    past::{self, FromDirectory},
    replay::{Source, Speed, replay, summary},
    whole_lines::WholeLines,
};
use crate::{
    answer::{
        life::{LifeFilter, LifeRecord},
        tree::Tree,
    },
    duration, event_loop,
    history::read::{LifeSearch, Times},
    perfetto::{EffectTrace, LifeTrace, Written},
    runtime::{Wall, replay::Replay},
};

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope export --perfetto build.pftrace build.rec      a recording: processes, threads, execs, zombies, signals
  taskscope export --perfetto a.pftrace                    what the daemon remembers, and the processes that exist
  taskscope export --perfetto a.pftrace --since 2h         further back than memory: from the daemon's history (docs/lives.md)
  taskscope export --perfetto a.pftrace --from ./copy      from a copy of a history; needs no daemon and no privileges

Open the file at https://ui.perfetto.dev, which reads it in the browser, or with trace_processor. docs/perfetto.md says what is in it.")]
pub(super) struct Args {
    /// Write a trace for Perfetto to this file; a file that has content is not overwritten
    #[arg(long, value_name = "FILE", required = true)]
    perfetto: PathBuf,
    /// A file that `taskscope record` wrote
    #[arg(value_name = "RECORDING", conflicts_with_all = ["since", "from"])]
    recording: Option<PathBuf>,
    /// Only processes that ended within this time, including those in the history on disk
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    since: Option<Duration>,
    #[command(flatten)]
    directory: FromDirectory,
    #[command(flatten)]
    socket: Socket,
}

/// Runs `export`.
pub(super) fn run(args: &Args) -> Exit {
    let path = &args.perfetto;
    let (file, is_new) = match make(path) {
        Ok(made) => made,
        Err(exit) => return exit,
    };
    let outcome = match (&args.recording, &args.directory.from) {
        (Some(recording), _) => of_recording(path, recording, file),
        (None, Some(directory)) => of_history(args, directory, file),
        (None, None) => of_daemon(args, file),
    };
    match outcome {
        Ok((written, exit)) => {
            let Written { processes, events, bytes } = written;
            log::info!("{}: {processes} processes, {events} events, {bytes} bytes", path.display());
            exit
        }
        Err(exit) => {
            if is_new && let Err(error) = fs::remove_file(path) {
                log::warn!("{}: removing the incomplete trace: {error}", path.display());
            }
            exit
        }
    }
}

/// Opens the file. Returns also whether it is a file of ours, which is removed if the trace is not complete.
fn make(path: &Path) -> Result<(File, bool), Exit> {
    let failed = |error: io::Error| Exit::failed_at(&format!("making {}", path.display()), error);
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_file() && metadata.len() > 0 {
        log::error!("{}: exists and is not empty; remove it, or choose another name", path.display());
        return Err(Exit::Failure);
    }
    Ok((file, metadata.is_file()))
}

fn unwritten(path: &Path, error: io::Error) -> Exit {
    Exit::failed_at(&format!("writing {}", path.display()), error)
}

fn of_recording(path: &Path, recording: &Path, file: File) -> Result<(Written, Exit), Exit> {
    let source = Source { file: recording, at: None, speed: Speed::Max };
    let mut file = Some(file);
    let mut start = |replay: &Replay, wall: Wall| {
        let file = file.take().ok_or(Exit::Failure)?;
        Ok(EffectTrace::new(file, replay.begun, wall.offset_ns()))
    };
    let (replayed, trace) = replay(&source, false, &mut start, &mut |trace| !trace.has_failed())?;
    let replay = &replayed.replay;
    let written = trace.finish(&replay.lineage, replay.now).map_err(|error| unwritten(path, error))?;
    log::info!("{}", summary(&replayed));
    Ok((written, replayed.exit(Exit::Success)))
}

fn of_history(args: &Args, directory: &Path, file: File) -> Result<(Written, Exit), Exit> {
    let from_ms = past::since_ms(args.since);
    let (directory, known) = past::open(directory, from_ms)?;
    past::report(&known);
    let mut trace = LifeTrace::new(file, None);
    let mut search = LifeSearch::new(directory, Times::since(from_ms), LifeFilter::default());
    let mut each = |_: &[u8], life: LifeRecord| {
        trace.add(&life);
        if trace.has_failed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut has_broken = false;
    while !has_broken
        && !search
            .go_on(past::PIECE, &mut |line, life| {
                let flow = each(line, life);
                has_broken = flow.is_break();
                flow
            })
            .map_err(Exit::failed)?
    {}
    past::report_damage(&search.finish());
    let written = trace.finish().map_err(|error| unwritten(&args.perfetto, error))?;
    Ok((written, Exit::Success))
}

fn of_daemon(args: &Args, file: File) -> Result<(Written, Exit), Exit> {
    let runtime = event_loop::start().map_err(Exit::failed)?;
    let trace = runtime.block_on(ask(args, file)).map_err(|error| error.exit())?;
    let written = trace.finish().map_err(|error| unwritten(&args.perfetto, error))?;
    Ok((written, Exit::Success))
}

async fn ask<W: Write>(args: &Args, out: W) -> Result<LifeTrace<W>, ClientError> {
    let client = Client::at(&args.socket.socket);
    // Read the tree first: a process that ends in between is then in both answers, and its life is used.
    let tree: Tree = client.json("/v1/tree?kernel=true").await?;
    let path = match args.since {
        Some(since) => format!("/v1/lives?since={}ms", since.as_millis()),
        None => "/v1/lives".to_owned(),
    };
    let answer = client.get(&path, "application/x-ndjson").await?;
    if let Some(known) = past::known_since(answer.headers()) {
        log::info!("processes that ended before {known} are not known");
    }
    if let Some(known) = past::known_by(answer.headers()) {
        past::report_gaps(&known);
    }
    let (mut body, mut lines, mut unknown) = (answer.into_body(), WholeLines::default(), 0_u64);
    let mut trace = LifeTrace::new(out, Some(tree));
    while let Some(piece) = client.piece(&mut body).await? {
        for line in lines.push(&piece).split_inclusive(|&byte| byte == b'\n') {
            match serde_json::from_slice::<LifeRecord>(line) {
                Ok(life) => trace.add(&life),
                Err(_) => unknown += 1,
            }
        }
        if trace.has_failed() {
            return Ok(trace);
        }
    }
    if unknown > 0 {
        log::warn!("lines that this version does not understand: {unknown}");
    }
    if let Some(damage) = past::damage(&client) {
        past::report_damage(&damage);
    }
    Ok(trace)
}
