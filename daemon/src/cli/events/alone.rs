//! `events` without a daemon.

use std::{fmt::Write as _, io, sync::Arc, time::Duration};

use tokio::select;

use super::{Args, lines::Lines, reader_gone};
use crate::{
    cgroup::Cgroups,
    cli::{exit::Exit, output::Output, signals},
    kernel::{clock, ladder::in_words, object::Options},
    lineage::{ActionKind, Config},
    runtime::{Pipeline, Trust, Wall},
};

/// How long the end waits for the reader of standard output to read something.
const FINISH: Duration = Duration::from_secs(2);

/// Observes until a signal, the limit, or a reader that is gone.
pub(super) async fn observe(args: &Args) -> Exit {
    let config = Config::default();
    let config = Config {
        zombie_after: args.zombie_after.unwrap_or(config.zombie_after),
        blocked_after: args.blocked_after.unwrap_or(config.blocked_after),
        exec_args: args.argument_vectors,
        reports_lives: args.lives,
        ..config
    };
    let trust = Trust::of_command(args.audit_every, args.canary_every, !args.no_iterator);
    let options = Options::of_command(args.ring_kib, args.argument_vectors);
    let attach = args.attach.unwrap_or_default();
    let started = Pipeline::start_with(args.object.as_deref(), options, attach.into(), config, trust);
    let mut pipeline = match started {
        Ok(pipeline) => pipeline,
        Err(error) => {
            log::error!("{error}");
            return Exit::from(&error);
        }
    };
    let prepared = signals::stop().and_then(|signal| {
        Ok((signal, Lines::start(args.lines(), &pipeline.lineage, Wall::of_this_boot(), Cgroups::of_host())?))
    });
    let (signal, mut lines) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return Exit::failed_at("preparing to write events", error),
    };
    let closed = lines.output.closed();
    let full = Arc::clone(&lines.full);
    log::info!("ready: {}", in_words(&pipeline.observer.hooks));
    let stop = async {
        select! {
            () = signal => {}
            () = closed => {}
            () = full.notified() => {}
            () = reader_gone() => {}
        }
    };
    let outcome = pipeline.run(&mut lines, stop).await;
    let written = finish(&mut lines.output).await;
    log::info!("summary: {}", summary(&pipeline, &lines));
    match (outcome, written) {
        (Err(error), _) => Exit::failed(error),
        (_, Err(error)) => Exit::failed_at("writing to standard output", error),
        _ => Exit::Success,
    }
}

/// Lets the writer write the lines that are left, as long as the reader reads.
pub(in crate::cli) async fn finish(output: &mut Output) -> io::Result<()> {
    output.close();
    let mut waiting = output.waiting();
    while tokio::time::timeout(FINISH, output.closed()).await.is_err() {
        let left = output.waiting();
        if left == waiting {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("its reader read nothing for {} s; {left} bytes are lost", FINISH.as_secs()),
            ));
        }
        waiting = left;
    }
    output.finish()
}

fn summary(pipeline: &Pipeline, lines: &Lines) -> String {
    let mut text = format!("{} events", lines.written);
    let mut separator = " (";
    for (action, count) in ActionKind::ALL.map(ActionKind::name).into_iter().zip(&lines.by_action) {
        if *count > 0 {
            let _ = write!(text, "{separator}{action} {count}");
            separator = ", ";
        }
    }
    if separator == ", " {
        text.push(')');
    }
    let repairs = &pipeline.repairs;
    let _ = write!(
        text,
        "; lost {}; {}; {} lines = {} written + {} not written; {} resyncs, longest {} us, repaired {}, drift {}, {} ends concluded; canaries {} whole, {} broken",
        pipeline.counts.lost(),
        pipeline.sums(),
        lines.output.handed,
        lines.output.written(),
        lines.output.handed - lines.output.written(),
        repairs.resyncs,
        repairs.longest_ns / 1000,
        repairs.repaired,
        repairs.drift,
        pipeline.lineage.stats().concluded,
        pipeline.canary.whole,
        pipeline.canary.broken,
    );
    if let Some(age) = pipeline.canary.age(clock::boottime()) {
        let _ = write!(text, ", last {} s ago", age.as_secs());
    }
    let _ = write!(text, "; {}", in_words(&pipeline.observer.hooks));
    text
}
