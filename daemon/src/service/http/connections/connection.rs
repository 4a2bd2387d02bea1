//! The state of one connection, as its own task sees it and as others need it to decide which connection is closed.

use super::peer::Peer;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// The connection of a peer that has read nothing for this long may be closed in favour of others.
const BLOCKED: Duration = Duration::from_millis(250);

/// A connection whose peer reads one answer for longer than this may be closed too. So may that of a reader of events that has read
/// nothing for this long.
const SLOW: Duration = Duration::from_secs(10);

/// The stage of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It has not sent a complete request; `true` if it has sent a part of one.
    Asking { has_input: bool },
    /// It was answered and has sent no request since.
    Idle,
    /// Its request is being answered.
    Answering,
    /// It reads events.
    Reading,
}

#[derive(Debug)]
struct ConnectionState {
    stage: Stage,
    /// When the stage began.
    since: Instant,
    /// Since when the peer has not read a byte although there are bytes to write.
    blocked: Option<Instant>,
    /// Since when the peer has been reading this answer: from the first byte that it did not read at once.
    slow: Option<Instant>,
    /// Whether the peer has shut down its side.
    has_ended: bool,
    /// Whether the connection is closed although the peer has not read everything.
    is_given_up: bool,
}

/// One connection.
#[derive(Debug)]
pub(in crate::service::http) struct Connection {
    state: Mutex<ConnectionState>,
    close: Notify,
    /// The peer.
    pub(in crate::service::http) peer: Peer,
    /// Whether it has one of the places that are kept for scrapes.
    pub(super) is_reserve: bool,
}

impl Connection {
    pub(in crate::service::http) fn new(peer: Peer, is_reserve: bool) -> Self {
        let state = ConnectionState {
            stage: Stage::Asking { has_input: false },
            since: Instant::now(),
            blocked: None,
            slow: None,
            has_ended: false,
            is_given_up: false,
        };
        Self { state: Mutex::new(state), close: Notify::new(), peer, is_reserve }
    }

    fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, next: Stage) {
        let mut state = self.state();
        (state.stage, state.since, state.slow) = (next, Instant::now(), None);
    }

    /// Notes that bytes have arrived.
    pub(super) fn received(&self) {
        let mut state = self.state();
        match state.stage {
            Stage::Idle => {
                (state.stage, state.since) = (Stage::Asking { has_input: true }, Instant::now());
            }
            // The time limit for a whole request began when the connection was accepted.
            Stage::Asking { .. } => state.stage = Stage::Asking { has_input: true },
            Stage::Answering | Stage::Reading => {}
        }
    }

    /// Notes that a complete request has arrived.
    pub(super) fn asked(&self) {
        self.enter(Stage::Answering);
    }

    /// Notes that the answer is a stream of events.
    pub(in crate::service::http) fn reads_events(&self) {
        self.enter(Stage::Reading);
    }

    /// Notes that the answer is complete, though perhaps not all written.
    pub(super) fn answered(&self) {
        self.enter(Stage::Idle);
    }

    /// Notes that the peer has shut down its side.
    pub(super) fn ended(&self) {
        self.state().has_ended = true;
    }

    /// Whether the peer has shut down its side.
    pub(in crate::service::http) fn has_ended(&self) -> bool {
        self.state().has_ended
    }

    /// Whether a request is being answered.
    pub(super) fn is_answered_now(&self) -> bool {
        matches!(self.state().stage, Stage::Answering | Stage::Reading)
    }

    /// Whether a part of a request has arrived.
    pub(super) fn has_part(&self) -> bool {
        self.state().stage == Stage::Asking { has_input: true }
    }

    /// Notes that the peer takes no more bytes now.
    pub(in crate::service::http) fn blocked(&self) {
        let (mut state, now) = (self.state(), Instant::now());
        state.blocked.get_or_insert(now);
        state.slow.get_or_insert(now);
    }

    /// Notes that the peer took bytes.
    pub(super) fn wrote(&self) {
        self.state().blocked = None;
    }

    /// Returns the rank of this connection, and since when it has that rank; `None` if the connection must not be closed. The
    /// connection with the lowest rank is closed first.
    pub(super) fn gives_way(&self, now: Instant) -> Option<(u8, Instant)> {
        let state = self.state();
        let longer = |since: Option<Instant>, than| since.filter(|since| now.duration_since(*since) >= than);
        match state.stage {
            Stage::Reading => longer(state.blocked, SLOW).map(|since| (4, since)),
            _ if state.blocked.is_some() => longer(state.blocked, BLOCKED)
                .map(|since| (2, since))
                .or_else(|| longer(state.slow, SLOW).map(|since| (3, since))),
            Stage::Asking { .. } => Some((0, state.since)),
            Stage::Idle => Some((1, state.since)),
            Stage::Answering => longer(state.slow, SLOW).map(|since| (3, since)),
        }
    }

    /// Since when the peer has not sent a complete request; `None` while a request is being answered.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let state = self.state();
        matches!(state.stage, Stage::Asking { .. } | Stage::Idle).then_some(state.since)
    }

    /// Closes the connection, even if bytes are still to be written.
    pub(super) fn give_up(&self) {
        self.state().is_given_up = true;
        self.close.notify_one();
    }

    /// Ends the connection with an error, because the peer has read nothing for too long.
    pub(super) fn stalled(&self) {
        self.state().is_given_up = true;
    }

    /// Whether it was closed by [`Connection::give_up`].
    pub(in crate::service::http) fn is_given_up(&self) -> bool {
        self.state().is_given_up
    }

    /// Resolves when it is to be closed.
    pub(super) async fn closing(&self) {
        self.close.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a time that is later than any limit here.
    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn rank(connection: &Connection, now: Instant) -> Option<u8> {
        connection.gives_way(now).map(|(rank, _)| rank)
    }

    #[test]
    fn who_has_asked_nothing_gives_way_before_who_is_idle_and_who_is_answered_stays() {
        let connection = Connection::new(Peer::Unknown, false);
        assert_eq!(rank(&connection, Instant::now()), Some(0));
        connection.received();
        assert!(connection.has_part());
        connection.asked();
        assert_eq!(rank(&connection, later()), None);
        connection.answered();
        assert_eq!(rank(&connection, Instant::now()), Some(1));
        connection.received();
        assert_eq!(rank(&connection, Instant::now()), Some(0));
    }

    #[test]
    fn who_does_not_read_its_answer_gives_way_after_a_moment() {
        let connection = Connection::new(Peer::Unknown, false);
        connection.asked();
        connection.blocked();
        assert_eq!(rank(&connection, Instant::now()), None);
        assert_eq!(rank(&connection, later()), Some(2));
        // The answer is complete but still in the buffers: the connection is not idle.
        connection.answered();
        assert_eq!(rank(&connection, Instant::now()), None);
        assert_eq!(rank(&connection, later()), Some(2));
        connection.wrote();
        assert_eq!(rank(&connection, Instant::now()), Some(1));
    }

    #[test]
    fn who_reads_an_answer_byte_by_byte_gives_way_at_last() {
        let connection = Connection::new(Peer::Unknown, false);
        connection.asked();
        connection.blocked();
        connection.wrote();
        assert_eq!(rank(&connection, Instant::now()), None);
        assert_eq!(rank(&connection, later()), Some(3));
    }

    #[test]
    fn a_reader_of_events_stays_unless_it_reads_nothing_for_long() {
        let connection = Connection::new(Peer::Unknown, false);
        connection.asked();
        connection.reads_events();
        assert_eq!(rank(&connection, later()), None);
        connection.blocked();
        assert_eq!(rank(&connection, Instant::now() + BLOCKED * 2), None);
        assert_eq!(rank(&connection, later()), Some(4));
    }
}
