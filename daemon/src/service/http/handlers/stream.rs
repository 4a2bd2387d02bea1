//! The body of an answer that is a stream of events.

use std::{
    collections::HashSet,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Bytes;
use hyper::body::{Body as HttpBody, Frame};
use tokio::time::{Instant, Sleep, sleep};

use crate::{
    export::descendants,
    lineage::id::GroupKey,
    service::{
        http::{
            api::Api,
            connections::{connection::Connection, reader_places::ReaderPlace},
        },
        readers::Reader,
    },
};

/// After this long without an event a reader gets a heartbeat. Writing it finds peers that disappeared.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A peer that has shut down its side may be gone. The first heartbeat then makes its kernel send a reset, and the second one
/// fails.
const SECOND_BEAT: Duration = Duration::from_secs(1);

/// The future that returns the members of a subtree.
type Members = Pin<Box<dyn Future<Output = HashSet<GroupKey>> + Send>>;

/// A reader and its place among the readers.
pub(super) struct EventStream {
    reader: Reader,
    api: Api,
    connection: Arc<Connection>,
    members: Option<Members>,
    last: Instant,
    beat: Pin<Box<Sleep>>,
    has_ended: bool,
    #[expect(dead_code, reason = "given back when this is dropped")]
    place: ReaderPlace,
}

impl EventStream {
    pub(in crate::service::http) fn new(
        reader: Reader,
        api: Api,
        connection: Arc<Connection>,
        place: ReaderPlace,
    ) -> Self {
        let (last, beat) = (Instant::now(), Box::pin(sleep(HEARTBEAT)));
        Self { reader, api, connection, members: None, last, beat, has_ended: false, place }
    }

    /// If the reader lost events of its subtree, asks for the members again and waits for them.
    fn poll_members(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(root) = self.reader.lacks_members_of()
            && self.members.is_none()
        {
            let api = self.api.clone();
            self.members = Some(Box::pin(async move {
                let members = api.ask_first(move |pipeline, _| descendants(&pipeline.lineage, root)).await;
                // An error means that the owner of the lineage is gone, so no more events come.
                members.unwrap_or_default()
            }));
        }
        if let Some(asked) = &mut self.members {
            let members = std::task::ready!(asked.as_mut().poll(context));
            self.members = None;
            self.reader.give_members(members);
        }
        Poll::Ready(())
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        std::task::ready!(self.poll_members(context));
        let piece = self.reader.poll(context);
        if piece.is_ready() {
            self.last = Instant::now();
        }
        piece
    }

    fn poll_beat(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        let now = Instant::now();
        if self.connection.has_ended() && !self.has_ended {
            self.has_ended = true;
            self.beat.as_mut().reset(now + SECOND_BEAT);
            return Poll::Ready(self.reader.heartbeat());
        }
        while self.beat.as_mut().poll(context).is_ready() {
            let due = self.last + if self.has_ended { SECOND_BEAT } else { HEARTBEAT };
            if due <= now {
                self.last = now;
                self.beat.as_mut().reset(now + HEARTBEAT);
                return Poll::Ready(self.reader.heartbeat());
            }
            self.beat.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl HttpBody for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match self.poll_piece(context) {
            Poll::Pending => self.poll_beat(context).map(Some),
            ready @ Poll::Ready(_) => ready,
        };
        piece.map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if self.connection.is_given_up() {
            self.reader.give_up();
        }
    }
}
