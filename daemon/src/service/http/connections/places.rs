//! The places for connections of one address: how many there are, and which connection is closed when one is needed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{
    connection::Connection,
    counts::{Closed, ConnectionCounts},
    peer::Peer,
};

/// How many connections an address has.
#[derive(Clone, Copy, Debug)]
pub(in crate::service) struct Limits {
    /// The most connections at once.
    pub(in crate::service) connections: usize,
    /// The most connections of one peer that have not sent a complete request.
    pub(in crate::service) waiting_per_peer: usize,
    /// Additional places for short answers, when no connection can be closed.
    pub(in crate::service) reserve: usize,
}

/// The connections of one address.
#[derive(Debug)]
pub(in crate::service::http) struct Places {
    limits: Limits,
    taken: Mutex<Taken>,
    counts: Arc<ConnectionCounts>,
}

#[derive(Debug, Default)]
struct Taken {
    by: HashMap<u64, (Peer, Arc<Connection>)>,
    last: u64,
}

/// A connection's place; dropping this gives it back.
pub(in crate::service::http) struct ConnectionPlace {
    places: Arc<Places>,
    number: u64,
    pub(super) connection: Arc<Connection>,
}

impl Places {
    pub(in crate::service::http) fn new(limits: Limits, counts: Arc<ConnectionCounts>) -> Arc<Self> {
        Arc::new(Self { limits, taken: Mutex::default(), counts })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a place for a new connection. If there is none, the connection with the lowest rank is closed.
    pub(in crate::service::http) fn admit(self: &Arc<Self>, peer: Peer) -> Option<ConnectionPlace> {
        let mut taken = self.taken();
        if let Some(oldest) = taken.oldest_above(peer, self.limits.waiting_per_peer) {
            self.evict(&mut taken, oldest);
        }
        let mut is_reserve = false;
        if taken.by.len() >= self.limits.connections {
            match taken.first_to_go(Instant::now()) {
                Some(first) => self.evict(&mut taken, first),
                None if taken.by.len() < self.limits.connections + self.limits.reserve => is_reserve = true,
                None => return None,
            }
        }
        taken.last += 1;
        let (number, connection) = (taken.last, Arc::new(Connection::new(peer, is_reserve)));
        taken.by.insert(number, (peer, Arc::clone(&connection)));
        self.counts.opened();
        Some(ConnectionPlace { places: Arc::clone(self), number, connection })
    }

    /// Counts a new connection that is closed because there was no place for it for too long.
    pub(super) fn refused(&self) {
        self.counts.closed(Closed::Refused);
    }

    /// Closes a connection because descriptors have run out. Returns whether there was one to close.
    pub(super) fn make_room(&self) -> bool {
        let mut taken = self.taken();
        let first = taken.first_to_go(Instant::now());
        first.map(|first| self.evict(&mut taken, first)).is_some()
    }

    fn evict(&self, taken: &mut Taken, number: u64) {
        if let Some((_, connection)) = taken.by.remove(&number) {
            connection.give_up();
            self.counts.closed(Closed::Evicted);
        }
    }
}

impl Taken {
    /// Returns the connection of this peer that has waited longest for a complete request, if the peer has too many.
    fn oldest_above(&self, peer: Peer, limit: usize) -> Option<u64> {
        let of_peer = self.by.iter().filter(|(_, (of, _))| *of == peer);
        let waiting = of_peer
            .filter_map(|(number, (_, connection))| connection.waits_since().map(|since| (since, *number)));
        let (count, oldest) = waiting.fold((0, None), |(count, oldest): (usize, Option<_>), one| {
            (count + 1, Some(oldest.map_or(one, |oldest| one.min(oldest))))
        });
        oldest.filter(|_| count >= limit).map(|(_, number)| number)
    }

    fn first_to_go(&self, now: Instant) -> Option<u64> {
        let fit = self.by.iter().filter_map(|(number, (_, connection))| {
            connection.gives_way(now).map(|(rank, since)| (rank, since, *number))
        });
        fit.min().map(|(_, _, number)| number)
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.places.taken().by.remove(&self.number);
        self.places.counts.ended();
    }
}

impl ConnectionPlace {
    pub(super) fn counts(&self) -> &ConnectionCounts {
        &self.places.counts
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn places(connections: usize, waiting_per_peer: usize, reserve: usize) -> Arc<Places> {
        Places::new(Limits { connections, waiting_per_peer, reserve }, Arc::default())
    }

    #[test]
    fn the_oldest_without_a_request_goes_when_a_place_is_needed() {
        let places = places(2, 2, 0);
        let one = places.admit(Peer::User(1)).unwrap();
        let two = places.admit(Peer::User(2)).unwrap();
        two.connection.asked();
        let three = places.admit(Peer::User(3)).unwrap();
        assert!(one.connection.is_given_up());
        drop(one);
        three.connection.asked();
        assert!(places.admit(Peer::User(4)).is_none(), "both are being answered");
        drop(two);
        assert!(places.admit(Peer::User(4)).is_some());
    }

    #[test]
    fn a_peer_with_many_connections_takes_the_places_of_nobody_else() {
        let places = places(10, 3, 0);
        let other = places.admit(Peer::User(7)).unwrap();
        let flood: Vec<_> = (0..50).map(|_| places.admit(Peer::User(8)).unwrap()).collect();
        assert!(!other.connection.is_given_up());
        let left = flood.iter().filter(|place| !place.connection.is_given_up()).count();
        assert_eq!(left, 3);
    }

    #[test]
    fn the_reserve_is_for_when_nobody_gives_way() {
        let places = places(1, 1, 1);
        let one = places.admit(Peer::Unknown).unwrap();
        one.connection.asked();
        let reserve = places.admit(Peer::Unknown).unwrap();
        assert!(reserve.connection.is_reserve && !one.connection.is_reserve);
    }

    #[test]
    fn a_host_is_all_its_addresses() {
        let peer = |text: &str| Peer::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::2:3"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
        assert_ne!(peer("10.0.0.2"), peer("10.0.0.1"));
    }
}
