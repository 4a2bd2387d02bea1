//! `taskscope record`: records into a file what the kernel's tasks do, for `taskscope replay`.

mod command;
mod sink;

use std::{ffi::OsString, os::unix::ffi::OsStrExt as _, path::PathBuf, process::ExitCode, time::Duration};

use tokio::{select, time::sleep};

use self::{command::RunningCommand, sink::RecordSink};
use super::{
    Attach,
    events::{alone::finish, reader_gone},
    exit::Exit,
    signals,
};
use crate::{
    event_loop,
    kernel::{clock::boottime, ladder::in_words, object::Options},
    lineage::Config,
    recording::{End, Journal, Recorded, Redaction},
    runtime::{Pipeline, Recording, Trust},
    size,
};

/// How long recording continues after the command was reaped, because its last switch comes after that, and the report of its release
/// an RCU grace period later.
const LAST_RECORDS: Duration = Duration::from_millis(100);

/// Arguments of `record`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(after_help = "\
Examples:
  taskscope record web.rec                  until Ctrl-C
  taskscope record build.rec -- make -j8    until the command has ended; exits with its status
  taskscope record --redact send.rec        names replaced by hashes, to send it to somebody
  taskscope replay web.rec                  its events, on any host and without privileges

It observes the kernel itself, whether a daemon runs or not. Arguments of programs are left out unless --args is given. docs/recordings.md describes the format.

Exit codes: that of the command, or 128 plus the number of the signal that ended it; 126 or 127 if it could not be started; without a command as in `taskscope --help`.")]
pub(super) struct Args {
    /// The file to create; a file that has content is not overwritten
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Record until this command has ended
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
    /// Stop when the file would be larger than this, such as 64M
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size::parse)]
    max_size: u64,
    /// Print the events too, as `taskscope events` does
    #[arg(long)]
    print: bool,
    /// Replace names of programs, paths, cgroups, arguments and user ids by hashes; the same name has the same hash in the whole file
    #[arg(long)]
    redact: bool,
    /// Use the content of this file as the key of the hashes, so that several recordings have the same ones [default: a random key]
    #[arg(long, value_name = "FILE", requires = "redact")]
    redact_key: Option<PathBuf>,
    /// Read argument vectors of execs; they can hold secrets
    #[arg(long = "args")]
    argument_vectors: bool,
    /// Attach each hook only by this kind of program
    #[arg(long, value_enum)]
    attach: Option<Attach>,
    /// Age at which a zombie is flagged, such as 500ms, 10s or 2m [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse)]
    zombie_after: Option<Duration>,
    /// Size of the ring between kernel and taskscope, in KiB; rounded up to a power of two [default: by the number of CPUs]
    #[arg(long, value_name = "KIB", value_parser = clap::value_parser!(u32).range(4..=1_048_576))]
    ring_kib: Option<u32>,
    /// How often the tree is compared with the kernel's tasks even if no loss is known; 0s is never [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse)]
    audit_every: Option<Duration>,
    /// Interval of canaries, short-lived processes by which taskscope checks itself; they are not shown; 0s is never [default: 15s]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse)]
    canary_every: Option<Duration>,
    /// Do not use the kernel's task iterator, only /proc
    #[arg(long, hide_short_help = true)]
    no_iterator: bool,
    /// Use this eBPF object instead of the embedded one, for development of the programs
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    object: Option<PathBuf>,
}

/// Runs `record`.
pub(super) fn run(args: &Args) -> ExitCode {
    let runtime = match event_loop::start() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::failed(error).into(),
    };
    let exit = runtime.block_on(Box::pin(record(args)));
    // A write to a reader that reads nothing would delay the end.
    runtime.shutdown_background();
    exit.unwrap_or_else(ExitCode::from)
}

impl Args {
    fn redaction(&self) -> Result<Option<Redaction>, Exit> {
        match &self.redact_key {
            Some(path) => Redaction::with_key_of(path).map(Some).map_err(Exit::failed),
            None if self.redact => Redaction::with_random_key()
                .map(Some)
                .map_err(|error| Exit::failed_at("reading random bytes for the key of hashes", error)),
            None => Ok(None),
        }
    }

    fn start(&self, journal: Journal) -> Result<Pipeline, Exit> {
        let config = Config::default();
        let config = Config {
            zombie_after: self.zombie_after.unwrap_or(config.zombie_after),
            exec_args: self.argument_vectors,
            ..config
        };
        let trust = Trust::of_command(self.audit_every, self.canary_every, !self.no_iterator);
        let options = Options::of_command(self.ring_kib, self.argument_vectors);
        // Arguments are recorded if asked for, those of the command too.
        let shown = if self.argument_vectors { self.command.len() } else { 1 };
        let command = self.command.iter().take(shown).map(|word| word.as_bytes().to_vec()).collect();
        let recording = Some(Recording { journal, command });
        let attach = self.attach.unwrap_or_default().into();
        Pipeline::start_recording(self.object.as_deref(), options, attach, config, trust, recording).map_err(
            |error| {
                log::error!("{error}");
                Exit::from(&error)
            },
        )
    }
}

async fn record(args: &Args) -> Result<ExitCode, Exit> {
    let journal = Journal::create(&args.file, args.max_size, args.redaction()?).map_err(Exit::failed)?;
    let started = args.start(journal.clone()).inspect_err(|_| journal.discard());
    let mut pipeline = started?;
    let mut sink = RecordSink::start(journal.clone(), args.print, &pipeline.lineage)
        .map_err(|error| Exit::failed_at("preparing to write events", error))?;
    log::info!("ready: {}", in_words(&pipeline.observer.hooks));
    let command = match args.command.split_first() {
        Some((program, arguments)) => match RunningCommand::start(program, arguments) {
            Ok(command) => Some(command),
            Err((exit, error)) => {
                log::error!("starting {}: {error}", program.display());
                journal.discard();
                return Ok(ExitCode::from(exit));
            }
        },
        None => None,
    };
    let (observed, status) = observe(&mut pipeline, &mut sink, &journal, command).await?;
    let recorded = journal.finish(boottime());
    let written = match &mut sink.lines {
        Some(lines) => finish(&mut lines.output).await,
        None => Ok(()),
    };
    let recorded = recorded.map_err(Exit::failed);
    if let Ok(recorded) = &recorded {
        log::info!("{}", summary(args, &pipeline, *recorded));
    }
    let status = match status {
        Some(mut command) => {
            Some(command.ended().await.map_err(|error| Exit::failed_at("waiting for the command", error))?)
        }
        None => None,
    };
    let failed = observed.err().or(recorded.err());
    if let Err(error) = written {
        return Err(Exit::failed_at("writing to standard output", error));
    }
    match (status, failed) {
        // The command's failure says more.
        (Some(status), _) if status != 0 => Ok(ExitCode::from(status)),
        (_, Some(exit)) => Err(exit),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Observes until the command has ended, a signal comes, or nothing can be recorded any more. The command goes on in the last case.
async fn observe(
    pipeline: &mut Pipeline,
    sink: &mut RecordSink,
    journal: &Journal,
    mut command: Option<RunningCommand>,
) -> Result<(Result<(), Exit>, Option<RunningCommand>), Exit> {
    let stopped = journal.stopped();
    let gone = sink.lines.as_ref().map(|_| reader_gone());
    let gone = async {
        match gone {
            Some(gone) => gone.await,
            None => std::future::pending().await,
        }
    };
    let outcome = if let Some(command) = &mut command {
        let stop = async {
            select! {
                // `record` asks for the status again.
                _ = command.ended() => sleep(LAST_RECORDS).await,
                () = stopped => {}
            }
        };
        pipeline.run(sink, stop).await
    } else {
        let signal = signals::stop().map_err(|error| Exit::failed_at("preparing for signals", error))?;
        let stop = async {
            select! {
                () = signal => {}
                () = stopped => {}
                () = gone => {}
            }
        };
        pipeline.run(sink, stop).await
    };
    Ok((outcome.map_err(Exit::failed), command))
}

fn summary(args: &Args, pipeline: &Pipeline, recorded: Recorded) -> String {
    let Recorded { records, bytes, end } = recorded;
    let full = match end {
        End::Stopped => "",
        End::Full => "; it stopped early because --max-size was reached",
    };
    let each = bytes.checked_div(records).unwrap_or(0);
    let lost = pipeline.counts.lost();
    format!(
        "recorded {records} records in {bytes} bytes ({each} a record) to {}; lost {lost}{full}",
        args.file.display()
    )
}
