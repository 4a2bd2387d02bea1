//! What the view and the thread that asks or observes send to each other.

use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, watch},
};

use crate::{
    answer::TaskSelector,
    cli::exit::Exit,
    view::{Input, PastAnswer},
};

/// What the view needs at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wants {
    /// Whether it is paused and needs only events.
    pub(super) paused: bool,
    /// Whether the tree is visible, which is the only expensive query.
    pub(super) tree: bool,
    /// Whether it shows a past time and needs only the health and events.
    pub(super) past: bool,
}

/// A question that the view asks once.
#[derive(Debug)]
pub(super) enum Request {
    /// The story of a process.
    Explain(TaskSelector),
    /// A past time.
    Past(Moment),
}

/// A past time: in UTC as text, and as ms since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) utc: String,
    pub(super) ms: i64,
}

/// The answer to a [`Request`].
pub(super) enum Reply {
    Story(String),
    Past(Moment, Box<PastAnswer>),
    /// Why the past time cannot be shown.
    NoPast(String),
}

/// The thread's ends of the channels.
pub(super) struct Ends {
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) wants: watch::Receiver<Wants>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) replies: mpsc::Sender<Reply>,
}

/// Creates the event loop of one thread.
pub(super) fn runtime() -> Result<Runtime, Exit> {
    Builder::new_current_thread().enable_all().build().map_err(|error| {
        log::error!("starting the event loop: {error}");
        Exit::Failure
    })
}
