//! The thread that asks a daemon or observes, so that a large answer never delays a key.

use std::{
    io,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
    time::Duration,
};

use tokio::{
    runtime::Runtime,
    sync::{mpsc, watch},
};

use super::{
    alone, asker,
    channels::{Ends, Reply, Request, Wants, runtime},
    daemon::Daemon,
};
use crate::{
    cli::{
        ask::Source,
        client::{Client, ClientError},
        exit::Exit,
    },
    event_loop,
    view::Input,
};

/// The most inputs that wait for the view.
const INPUTS: usize = 64;

/// How long the end waits for the thread of an observation, which has programs to detach.
const END: Duration = Duration::from_secs(2);

/// Returns the work of a thread that asks a daemon.
fn asks(daemon: Daemon) -> impl FnOnce(Ends, SyncSender<Result<(), Exit>>) + Send + 'static {
    move |ends, say| {
        // The caller waits for the result.
        let _ = say.send(Ok(()));
        asker::run(&daemon, ends);
    }
}

/// The thread, and the channels to it.
pub(super) struct Watcher {
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) wants: watch::Sender<Wants>,
    /// Questions that are asked once, and their answers.
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) replies: mpsc::Receiver<Reply>,
    /// The event loop of the thread that draws.
    pub(super) runtime: Runtime,
    ended: mpsc::Receiver<()>,
}

impl Watcher {
    /// Starts the thread, which asks the daemon, or observes if there is none and that is permitted.
    pub(super) fn start(source: &Source) -> Result<Self, Exit> {
        let runtime = runtime()?;
        let is_there = match source.daemon() {
            None => false,
            Some(socket) => match runtime.block_on(Client::at(socket).get("/healthz", "*/*")) {
                Ok(_) => true,
                Err(ClientError::NotThere(_)) => false,
                Err(error) => return Err(error.exit()),
            },
        };
        let source = source.clone();
        let watcher = if is_there {
            Self::with(runtime, asks(Daemon::Local(Client::at(&source.socket.socket))))
        } else {
            Self::with(runtime, move |ends, say| alone::run(&source, ends, &say))
        };
        watcher.unwrap_or_else(|error| {
            log::error!("starting a thread: {error}; taskscope zombies, limits and tree need no thread");
            Err(Exit::Failure)
        })
    }

    /// Starts the thread, which asks this daemon.
    pub(super) fn of_daemon(daemon: Daemon) -> io::Result<Self> {
        let runtime = event_loop::start().map_err(io::Error::other)?;
        Self::with(runtime, asks(daemon))?.map_err(|_| io::Error::other("the thread that asks has ended"))
    }

    /// Starts a thread, and waits until it reports whether it can work.
    fn with(
        runtime: Runtime,
        work: impl FnOnce(Ends, SyncSender<Result<(), Exit>>) + Send + 'static,
    ) -> io::Result<Result<Self, Exit>> {
        let (to_view, inputs) = mpsc::channel(INPUTS);
        let (wants, wanted) = watch::channel(Wants { paused: false, tree: true, past: false });
        let (requests, asked) = mpsc::channel(1);
        let (reply, replies) = mpsc::channel(1);
        let (running, ended) = mpsc::channel(1);
        let ends = Ends { inputs: to_view, wants: wanted, requests: asked, replies: reply };
        let (say, started) = sync_channel(1);
        let work = move || {
            let _running = running;
            work(ends, say);
        };
        thread::Builder::new().name("watcher".into()).spawn(work)?;
        let started = started.recv().unwrap_or(Err(Exit::Failure));
        Ok(started.map(|()| Self { inputs, wants, requests, replies, runtime, ended }))
    }

    /// Ends the thread, and waits until its programs are detached.
    pub(super) fn stop(self) {
        let Self { inputs, wants, requests, replies, runtime, mut ended } = self;
        drop((inputs, wants, requests, replies));
        let waited = runtime.block_on(async { tokio::time::timeout(END, ended.recv()).await });
        if waited.is_err() {
            log::debug!("the watcher is left to the kernel");
        }
    }
}
