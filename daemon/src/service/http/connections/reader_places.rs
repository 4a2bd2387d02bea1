//! The places for readers of events of one address. Readers stay connected. If every connection could be a reader, no other
//! request would be answered.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::peer::Peer;
use crate::service::http::error::ApiError;

/// Root's uid. A place is always left for root, because root may end the daemon anyway.
const ROOT: Peer = Peer::User(0);

/// The places of readers of one address.
#[derive(Debug)]
pub(in crate::service::http) struct ReaderPlaces {
    most: usize,
    /// The most readers of one host, or of one user other than root.
    most_of_peer: usize,
    /// Places kept for root, on the Unix socket: over TCP no peer is known as root.
    for_root: usize,
    taken: Mutex<HashMap<Peer, usize>>,
}

/// A reader's place; dropping this gives it back.
#[derive(Debug)]
pub(in crate::service::http) struct ReaderPlace {
    places: Arc<ReaderPlaces>,
    peer: Peer,
}

impl ReaderPlaces {
    /// Returns places for an address that serves this many connections at once: half of them may read events, and one peer may
    /// have a quarter.
    pub(in crate::service::http) fn new(connections: usize) -> Arc<Self> {
        let most = connections.div_ceil(2);
        Arc::new(Self {
            most,
            most_of_peer: most.div_ceil(2),
            for_root: most.checked_div(8).unwrap_or(0),
            taken: Mutex::default(),
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Peer, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a place for one more reader of this peer, or why there is none.
    pub(in crate::service::http) fn admit(self: &Arc<Self>, peer: Peer) -> Result<ReaderPlace, ApiError> {
        let mut taken = self.taken();
        let (all, of_peer) = (taken.values().sum::<usize>(), taken.get(&peer).copied().unwrap_or(0));
        let (most, most_of_peer) = match peer {
            ROOT => (self.most, self.most),
            Peer::User(_) | Peer::Unknown => (self.most.saturating_sub(self.for_root), self.most_of_peer),
            Peer::Host(_) => (self.most, self.most_of_peer),
        };
        if of_peer >= most_of_peer {
            return Err(ApiError::too_many_readers_of_peer(most_of_peer));
        }
        if all >= most {
            return Err(ApiError::too_many_readers());
        }
        taken.insert(peer, of_peer.saturating_add(1));
        Ok(ReaderPlace { places: Arc::clone(self), peer })
    }
}

impl Drop for ReaderPlace {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        match taken.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            _ => drop(taken.remove(&self.peer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn host(text: &str) -> Peer {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn one_host_takes_half_of_the_places_and_the_others_are_for_others() {
        let places = ReaderPlaces::new(128);
        let (one, other) = (host("10.0.0.1"), host("10.0.0.2"));
        let mut held: Vec<_> = (0..32).map(|_| places.admit(one).unwrap()).collect();
        let refused = places.admit(one).unwrap_err().into_message();
        assert!(refused.contains("32 readers"), "{refused}");
        held.extend((0..32).map(|_| places.admit(other).unwrap()));
        assert!(places.admit(host("10.0.0.3")).is_err(), "all are taken");
        held.remove(0);
        assert!(places.admit(host("10.0.0.3")).is_ok(), "one is free again");
        assert!(places.admit(one).is_ok());
    }

    #[test]
    fn the_users_of_a_socket_leave_places_to_root() {
        let places = ReaderPlaces::new(256);
        let mut held = Vec::new();
        for user in 1..=9 {
            held.extend((0..64).map_while(|_| places.admit(Peer::User(user)).ok()));
        }
        assert_eq!(held.len(), 112);
        held.extend((0..16).map(|_| places.admit(ROOT).unwrap()));
        assert!(places.admit(ROOT).is_err());
    }

    #[test]
    fn root_may_take_every_place_and_a_small_address_has_one() {
        let places = ReaderPlaces::new(256);
        let held: Vec<_> = (0..128).map(|_| places.admit(ROOT).unwrap()).collect();
        assert!(places.admit(ROOT).is_err());
        drop(held);
        assert!(places.taken().is_empty());
        assert!(ReaderPlaces::new(1).admit(host("::1")).is_ok());
    }
}
