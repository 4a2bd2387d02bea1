//! The byte stream of a connection. It ends the connection of a peer that does not read, lets a peer that has shut down its side
//! have its answer, and replaces errors that hyper writes by itself with JSON errors.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::connection::Connection;
use crate::{
    failpoint::{self, Point},
    service::http::error::ApiError,
};

/// A peer that reads no byte for this long loses its connection.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// A header that every answer of the daemon has, and no answer that hyper makes by itself.
const OURS: &[u8] = b"x-content-type-options";

/// A byte stream with a time limit for writing.
pub(super) struct Guarded<S> {
    stream: S,
    connection: Arc<Connection>,
    /// The time limit for writing; it runs while the peer takes nothing.
    write_deadline: Option<Pin<Box<Sleep>>>,
    /// Whether the peer has shut down its side while an answer was being written.
    has_ended: bool,
    /// An answer that replaces hyper's, and how many of its bytes are written already.
    instead: Option<(Vec<u8>, usize)>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guarded<S> {
    pub(in crate::service::http) fn new(stream: S, connection: Arc<Connection>) -> Self {
        Self { stream, connection, write_deadline: None, has_ended: false, instead: None }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Counts the bytes that the peer took, or ends the connection if it took none for too long.
    fn watch<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            if self.write_deadline.take().is_some() {
                self.connection.wrote();
            }
            return outcome;
        }
        self.connection.blocked();
        let write_deadline = self.write_deadline.get_or_insert_with(|| Box::pin(sleep(WRITE_TIME)));
        ready!(write_deadline.as_mut().poll(context));
        self.connection.stalled();
        let message = format!("the peer has read nothing for {} s", WRITE_TIME.as_secs());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }

    /// Returns what to write in place of hyper's own answer to a request that hyper does not understand.
    fn replaced(&self, piece: &[u8]) -> Option<Vec<u8>> {
        if self.connection.is_answered_now() || !piece.starts_with(b"HTTP/1.") {
            return None;
        }
        let status = StatusCode::from_bytes(piece.get(9..12)?).ok().filter(StatusCode::is_client_error)?;
        let is_ours = piece.windows(OURS.len()).any(|window| window.eq_ignore_ascii_case(OURS));
        (!is_ours).then(|| ApiError::not_understood(status).into_bytes())
    }

    fn write_instead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((text, written)) = &mut self.instead {
            let rest = text.get(*written..).unwrap_or_default();
            if rest.is_empty() {
                self.instead = None;
                break;
            }
            let outcome = Pin::new(&mut self.stream).poll_write(context, rest);
            let more = ready!(self.watch(context, outcome))?;
            if more == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if let Some((_, written)) = &mut self.instead {
                *written += more;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if !self.has_ended {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            if buffer.filled().len() > before {
                self.connection.received();
                return Poll::Ready(Ok(()));
            }
            self.has_ended = true;
            self.connection.ended();
        }
        // The end of input is passed on after the answer is complete: hyper would stop writing the answer.
        if self.connection.is_answered_now() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        piece: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.write_instead(context))?;
        if let Some(instead) = self.replaced(piece) {
            self.instead = Some((instead, 0));
            return Poll::Ready(Ok(piece.len()));
        }
        failpoint::check(Point::SocketWrite)?;
        let outcome = Pin::new(&mut self.stream).poll_write(context, piece);
        self.watch(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.write_instead(context))?;
        if let Some(instead) = pieces.first().and_then(|piece| self.replaced(piece)) {
            self.instead = Some((instead, 0));
            return Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()));
        }
        failpoint::check(Point::SocketWrite)?;
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_instead(context))?;
        // TLS keeps written bytes until the peer takes them, so flushing blocks too.
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_instead(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
