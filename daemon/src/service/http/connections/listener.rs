//! Where connections come from.

use std::{future::Future, io, time::Duration};

use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

use super::places::Peer;

/// After this long without a byte the kernel probes the peer (TCP keep-alive).
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(30);
/// this often,
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);
/// so many times.
const KEEP_ALIVE_TRIES: u32 = 3;

/// An address that accepts connections.
pub(in crate::service::http) trait Listener: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, and who makes it.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, address) = Self::accept(self).await?;
        if let Err(error) = keep_alive(&stream) {
            log::debug!("preparing the connection of {address}: {error}");
        }
        Ok((stream, address.ip().into()))
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = Self::accept(self).await?;
        let peer = stream.peer_cred().map_or(Peer::Unknown, |peer| Peer::User(peer.uid()));
        Ok((stream, peer))
    }
}

/// A host that disappeared is noticed within a minute. Events are sent without delay.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEP_ALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEP_ALIVE_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, KEEP_ALIVE_TRIES)?;
    Ok(())
}
