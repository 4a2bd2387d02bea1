//! A job without a daemon: taskscope observes the kernel itself.

use std::time::Duration;

use tokio::sync::{
    mpsc::{self, Sender, error::SendError},
    oneshot,
};

use super::{Args, Observed, Shared, command::JobCommand, last_figures, until_settled};
use crate::{
    cli::exit::Exit,
    export::{self, EventSelection, Filter},
    job::{ACTIONS, Fact, JobUsage, MOST},
    kernel::{clock, object::Options},
    lineage::{
        Config, Lineage,
        effect::Effect,
        id::{GroupKey, Ktime, Tgid},
    },
    runtime::{
        EventSink, LossPlace, MAX_BATCH_DELAY, MAX_BATCH_DELAY_UNREAD, Pipeline, Question, Trust, Wall,
    },
};

/// Takes effects of the command's processes.
struct JobSink {
    shared: Shared,
    filter: Filter,
    wall: Wall,
    line: Vec<u8>,
}

/// Starts to observe.
pub(super) fn start(args: &Args) -> Result<Pipeline, Exit> {
    // Figures that are completed after the release are asked for at the end.
    let config = Config {
        exec_args: args.argument_vectors,
        dead_lives: MOST,
        dead_lives_age: Duration::MAX,
        ..Config::default()
    };
    let options = Options::of_command(args.ring_kib, args.argument_vectors);
    let attach = args.attach.unwrap_or_default().into();
    Pipeline::start_with(args.object.as_deref(), options, attach, config, Trust::default()).map_err(|error| {
        log::error!("{error}");
        log::error!(
            "no daemon answers on {} either: start one (systemctl start taskscope), or run this as root",
            args.socket.socket.display()
        );
        Exit::from(&error)
    })
}

/// Observes until the command has ended and its last events have come.
pub(super) async fn follow(
    args: &Args,
    mut pipeline: Pipeline,
    command: JobCommand,
    shared: &Shared,
) -> Observed {
    let selection = EventSelection {
        actions: ACTIONS.split(',').map(str::to_owned).collect(),
        subtree: Some(std::process::id()),
        ..EventSelection::default()
    };
    let filter = selection.filter(&pipeline.lineage);
    let mut settled = None;
    let (questions, mut asked) = mpsc::channel(1);
    let settle = async {
        // After a question, the pipeline reads the batch delay of its sink again.
        let shorten_batch_delay = async || {
            let _ = ask(&questions).await;
        };
        settled = Some(until_settled(args, command, shared, shorten_batch_delay).await);
        last_figures::wait(shared, async |_| ask(&questions).await).await;
    };
    match filter {
        Ok(filter) => {
            let (wall, line) = (Wall::of_this_boot(), Vec::new());
            let mut sink = JobSink { shared: Shared::clone(shared), filter, wall, line };
            let mut settle = Box::pin(settle);
            let outcome = pipeline.serve(&mut sink, &mut asked, settle.as_mut()).await;
            // The pipeline has ended, so no question can be answered any more.
            drop(asked);
            complete(&pipeline.lineage, shared);
            drop(pipeline);
            if let Err(error) = outcome {
                log::error!("observing ended: {error}");
                {
                    let mut collector = sink.shared.borrow_mut();
                    collector.has_ended = true;
                    collector.take(Fact::lost("observing ended".into(), None));
                }
                // The command goes on.
                settle.await;
            }
        }
        Err(error) => {
            log::error!("{error}");
            drop(asked);
            settle.await;
        }
    }
    settled.unwrap_or_else(Observed::nothing)
}

/// Has the pipeline handle the records in the ring, and complete the figures of processes. Returns an error if it has ended.
async fn ask(questions: &Sender<Question<JobSink>>) -> Result<(), SendError<()>> {
    let (answer, answered) = oneshot::channel();
    let question: Question<JobSink> = Box::new(move |pipeline, sink| {
        complete(&pipeline.lineage, &sink.shared);
        let _ = answer.send(());
    });
    questions.send(question).await.map_err(|_| SendError(()))?;
    answered.await.map_err(|_| SendError(()))
}

/// Adds what records after their release have shown of processes.
fn complete(lineage: &Lineage, shared: &Shared) {
    let now = clock::boottime();
    let mut collector = shared.borrow_mut();
    let Some(members) = collector.members_mut() else { return };
    members.complete(|pid, start_ns| {
        let key = GroupKey { tgid: Tgid(pid), start: (start_ns > 0).then_some(Ktime(start_ns)) };
        lineage.life_by_key(key, now)?.usage.as_ref().map(JobUsage::of)
    });
}

impl EventSink for JobSink {
    fn take(&mut self, effects: &mut Vec<Effect>) {
        self.wall.follow();
        let mut collector = self.shared.borrow_mut();
        for effect in effects {
            if self.filter.wants(effect, None) {
                self.line.clear();
                export::json::write(effect, 0, self.wall.stamp(), None, &mut self.line);
                collector.take_line(&self.line);
            }
        }
    }

    fn max_batch_delay(&self) -> Duration {
        if self.shared.borrow().is_settling { MAX_BATCH_DELAY } else { MAX_BATCH_DELAY_UNREAD }
    }

    fn lost(&mut self, place: LossPlace, count: u64) {
        log::debug!("{count} records lost: {}", place.reason());
        self.shared.borrow_mut().take(Fact::lost(place.name().into(), Some(count)));
    }
}
