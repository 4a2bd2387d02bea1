//! Connections: which clients may have one, which connection is closed, and how bytes reach a client.
//!
//! - `peer`: who is at the other end
//! - `listener`, `reserving`: accept connections, and keep descriptors in reserve
//! - `places`, `reader_places`: how many connections and readers of events an address and a peer may have
//! - `connection`: the state of one connection, which decides whether it is closed when a place is needed
//! - `guarded`: the byte stream of a connection, which ends if the peer does not read
//! - `server`: serves requests on connections
//! - `counts`: counts connections and why they were closed

pub(super) mod connection;
pub(super) mod counts;
mod guarded;
pub(super) mod listener;
pub(super) mod peer;
pub(super) mod places;
pub(super) mod reader_places;
pub(super) mod reserving;
pub(super) mod server;
