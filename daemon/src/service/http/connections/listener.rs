//! Listeners on TCP and on the Unix socket.

use std::{future::Future, io, time::Duration};

use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

use super::peer::Peer;

/// After this time without a byte, the kernel probes the peer (TCP keep-alive).
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(30);
/// The interval of these probes.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);
/// The number of unanswered probes that ends the connection.
const KEEP_ALIVE_TRIES: u32 = 3;

/// An address that accepts connections.
pub(in crate::service::http) trait Listener: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + FirstByte + Unpin + Send + 'static;

    /// Returns the next connection and its peer.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

/// A stream whose first byte can be looked at.
pub(in crate::service::http) trait FirstByte {
    /// Returns the first byte that the peer sends, which stays to be read; `None` if it sends none, or on a Unix socket.
    fn first_byte(&self) -> impl Future<Output = io::Result<Option<u8>>> + Send;
}

impl FirstByte for TcpStream {
    async fn first_byte(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        let count = self.peek(&mut byte).await?;
        Ok(byte.first().copied().filter(|_| count == 1))
    }
}

impl FirstByte for UnixStream {
    async fn first_byte(&self) -> io::Result<Option<u8>> {
        Ok(None)
    }
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

/// Sets keep-alive, so that a host that disappeared is noticed within a minute, and sends events without delay (`TCP_NODELAY`).
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEP_ALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEP_ALIVE_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, KEEP_ALIVE_TRIES)?;
    Ok(())
}
