//! Who is at the other end of a connection.

use std::net::{IpAddr, Ipv6Addr};

/// The peer of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::service::http) enum Peer {
    /// A host: an IPv4 address, or the first 64 bits of an IPv6 address, because a host owns all addresses with that prefix.
    Host(IpAddr),
    /// A user, over the Unix socket.
    User(u32),
    /// The kernel does not show the peer.
    Unknown,
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        Self::Host(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}
