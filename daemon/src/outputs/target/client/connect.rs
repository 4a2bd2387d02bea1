//! Connects to a server by TCP, with TLS if its address asks for it.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::http::{HeaderName, HeaderValue};
use rustls::AlertDescription;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};

use super::{ANSWER_TIMEOUT, Names, tls::Tls, with_causes};
use crate::{
    outputs::{ServerSettings, url::Url},
    tls_client::TlsFailure,
};

/// How long a server may leave what was sent to it unacknowledged (`TCP_USER_TIMEOUT`), ms.
const UNREAD_MAX_MS: u32 = 20_000;

/// A server, and how it is reached.
#[derive(Debug)]
pub(in crate::outputs) struct Server {
    pub(in crate::outputs) url: Url,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    names: Names,
    tls: Option<Tls>,
    /// Why TLS failed on the present connection. The errors of hyper do not contain this.
    failure: Noted,
}

type Noted = Arc<Mutex<Option<TlsFailure>>>;

impl Server {
    /// Reads the files with certificates and keys. `protocol` is the name of the protocol for ALPN.
    pub(in crate::outputs) fn new(
        settings: &ServerSettings,
        names: &Names,
        protocol: &'static str,
    ) -> Result<Self, String> {
        let ServerSettings { url, headers, tls } = settings;
        let tls = tls.clone().map(|files| Tls::new(files, &url.host, protocol)).transpose()?;
        let (url, headers) = (url.clone(), headers.clone());
        Ok(Self { url, headers, names: names.clone(), tls, failure: Noted::default() })
    }

    /// Connects to the first address that accepts.
    pub(super) async fn connect(&mut self) -> Result<Stream, String> {
        let port = self.url.port;
        let found = match self.url.ip() {
            Some(ip) => vec![ip],
            None => self.names.find(&self.url.host).await?,
        };
        let mut why = format!("{} has no address", self.url.host);
        // An address that does not answer leaves time for the others.
        let share = ANSWER_TIMEOUT / 2 / u32::try_from(found.len()).unwrap_or(u32::MAX).max(1);
        for ip in found {
            match timeout(share, TcpStream::connect(SocketAddr::new(ip, port))).await {
                Ok(Ok(stream)) => return self.secure(stream).await,
                Ok(Err(error)) => why = format!("connecting to {ip} port {port}: {error}"),
                Err(_) => {
                    why =
                        format!("connecting to {ip} port {port}: no answer within {} ms", share.as_millis());
                }
            }
        }
        Err(why)
    }

    async fn secure(&mut self, stream: TcpStream) -> Result<Stream, String> {
        // A request is written at once and waits for its answer. If this fails, it only takes longer.
        let _ = stream.set_nodelay(true);
        // Otherwise a connection whose server reads nothing would never end: hyper writes everything before it closes. If this fails,
        // such a connection stays open.
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, UNREAD_MAX_MS);
        self.failure = Noted::default();
        let noted = Arc::clone(&self.failure);
        let Some(tls) = &mut self.tls else { return Ok(Stream { inner: Box::new(stream), noted }) };
        let (connector, name) = tls.connector();
        match connector.connect(name, stream).await {
            Ok(stream) => Ok(Stream { inner: Box::new(stream), noted }),
            Err(error) => {
                note(&self.failure, &error);
                Err(self.failed(&error))
            }
        }
    }

    /// Describes an error of a connection.
    pub(super) fn failed(&self, error: &dyn std::error::Error) -> String {
        let noted = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (Some(failure), Some(tls)) = (noted, &self.tls) else { return with_causes(error) };
        let Url { host, port, .. } = &self.url;
        match failure {
            TlsFailure::ServerCertificate(why) => {
                format!(
                    "the certificate of {host} is not accepted: {why} (authorities: {})",
                    tls.authorities()
                )
            }
            TlsFailure::ClientCertificate(alert) => match tls.certificate() {
                Some(cert) => format!("{host} does not accept the client certificate {cert}: {alert:?}"),
                None => format!(
                    "{host} ends TLS with the alert {alert:?}: it may require a client certificate (`cert`, `key`)"
                ),
            },
            TlsFailure::Alert(AlertDescription::NoApplicationProtocol) => {
                format!("{host} does not offer the protocol {} on port {port}", tls.protocol)
            }
            TlsFailure::Alert(alert) => format!("{host} ends TLS with the alert {alert:?}"),
            TlsFailure::NotTls => format!("{host} does not use TLS on port {port}"),
            TlsFailure::Other(why) => format!("TLS with {host}: {why}"),
        }
    }
}

fn note(noted: &Noted, error: &io::Error) {
    if let Some(failure) = TlsFailure::of(error) {
        *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }
}

/// A byte stream: a TCP connection, or TLS on one.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection, which notes why TLS failed.
pub(super) struct Stream {
    inner: Box<dyn Io>,
    noted: Noted,
}

impl Stream {
    fn noting<T>(
        self: Pin<&mut Self>,
        poll: impl FnOnce(Pin<&mut dyn Io>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Self { inner, noted } = self.get_mut();
        poll(Pin::new(&mut **inner)).map_err(|error| {
            note(noted, &error);
            error
        })
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.noting(|inner| inner.poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.noting(|inner| inner.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.noting(|inner| inner.poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.noting(|inner| inner.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.noting(|inner| inner.poll_shutdown(context))
    }
}
