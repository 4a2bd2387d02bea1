//! Questions to one daemon over TCP: HTTP/1.1, with TLS if asked for, within limits of time and size.

use std::{
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    thread,
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderValue, Request, StatusCode, header},
};
use hyper::{
    Response,
    body::{Body as _, Incoming},
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, sync::oneshot, time::timeout};

use super::{access::Access, hosts::Host};
use crate::{
    answer::fleet::ErrorKind,
    cli::client::{error_message, lasts, piece},
    tls_client::TlsFailure,
};

/// The most bytes of an error's body that are read.
const ERROR_MAX: usize = 16 << 10;

/// The most characters of a message that are kept: some are chosen by the host.
const MESSAGE_MAX: usize = 400;

/// Why a host did not answer.
#[derive(Debug)]
pub(in crate::cli) struct Failure {
    pub(super) kind: ErrorKind,
    pub(in crate::cli) message: String,
    status: Option<StatusCode>,
}

impl Failure {
    pub(super) fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string().chars().take(MESSAGE_MAX).collect(), status: None }
    }
}

/// Asks a daemon; returns the body of an answer with the status 200, which has at most `most` bytes.
pub(super) async fn get(access: &Access, host: &Host, path: &str, most: usize) -> Result<Vec<u8>, Failure> {
    within(access, async {
        Session::start(access, host, addresses(host).await?).await?.get(path, most).await
    })
    .await
}

/// Waits for a host's answer within the time limit; an error of the kind `Timeout` if the host takes longer.
pub(super) async fn within<T>(
    access: &Access,
    asking: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Ok(outcome) = timeout(access.timeout, asking).await else {
        let limit = crate::duration::text(access.timeout);
        let message = format!("timeout: it has not answered within {limit} (--timeout)");
        return Err(Failure::new(ErrorKind::Timeout, message));
    };
    outcome
}

/// A connection to a daemon, for questions that are sent one after the other.
pub(super) struct Session<'a> {
    access: &'a Access,
    host: &'a Host,
    addresses: Vec<IpAddr>,
    /// For the header `host`.
    authority: HeaderValue,
    sender: SendRequest<Body>,
    /// Whether a question was sent on this connection.
    is_used: bool,
    /// Whether an answer that another viewer got within the last second is accepted.
    pub(super) is_shared: bool,
}

impl<'a> Session<'a> {
    /// Connects to one of the addresses.
    pub(super) async fn start(
        access: &'a Access,
        host: &'a Host,
        addresses: Vec<IpAddr>,
    ) -> Result<Self, Failure> {
        let sender = open(access, host, &addresses).await?;
        let authority = host.authority.clone();
        Ok(Self { access, host, addresses, authority, sender, is_used: false, is_shared: false })
    }

    /// Asks; returns the body of an answer with the status 200, which has at most `most` bytes.
    pub(super) async fn get(&mut self, path: &str, most: usize) -> Result<Vec<u8>, Failure> {
        Ok(self.get_lasting(path, most).await?.0)
    }

    /// Does the same; also returns for how long the daemon will repeat the answer.
    pub(super) async fn get_lasting(
        &mut self,
        path: &str,
        most: usize,
    ) -> Result<(Vec<u8>, Duration), Failure> {
        let mut answer = self.send(path, "application/json").await?;
        let lasts = lasts(answer.headers());
        Ok((body(&mut answer, most, self.host).await?, lasts))
    }

    /// Asks; returns an answer with the status 200. The caller reads its body.
    pub(super) async fn send(&mut self, path: &str, accept: &str) -> Result<Response<Incoming>, Failure> {
        match self.try_send(path, accept).await {
            // The daemon answers requests for names in allowed_hosts and for its address, and no others, to keep web pages out.
            Err(failure) if failure.status == Some(StatusCode::MISDIRECTED_REQUEST) => {
                let Some(ip) = self.addresses.first() else { return Err(failure) };
                let by_address = HeaderValue::try_from(SocketAddr::new(*ip, self.host.port).to_string());
                self.authority = by_address.map_err(|error| Failure::new(ErrorKind::Status, error))?;
                self.sender = open(self.access, self.host, &self.addresses).await?;
                self.is_used = false;
                self.try_send(path, accept).await
            }
            outcome => outcome,
        }
    }

    async fn try_send(&mut self, path: &str, accept: &str) -> Result<Response<Incoming>, Failure> {
        let sent = match self.send_once(self.request(path, accept)?).await {
            // A daemon may close a connection after an answer.
            Err(_) if self.is_used => {
                self.sender = open(self.access, self.host, &self.addresses).await?;
                self.send_once(self.request(path, accept)?).await
            }
            sent => sent,
        };
        self.is_used = true;
        let mut answer = sent.map_err(|error| broken(&error, self.host))?;
        if answer.status() == StatusCode::OK {
            return Ok(answer);
        }
        let text = body(&mut answer, ERROR_MAX, self.host).await.unwrap_or_default();
        Err(refusal(answer.status(), &text, path, self.host))
    }

    fn request(&self, path: &str, accept: &str) -> Result<Request<Body>, Failure> {
        let mut request = Request::get(path)
            .header(header::HOST, &self.authority)
            .header(header::ACCEPT, accept)
            .header(header::USER_AGENT, concat!("taskscope/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = &self.access.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if self.is_shared {
            request = request.header(header::CACHE_CONTROL, "max-age=1");
        }
        request.body(Body::empty()).map_err(|error| Failure::new(ErrorKind::Nonsense, error))
    }

    async fn send_once(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }
}

async fn open(access: &Access, host: &Host, addresses: &[IpAddr]) -> Result<SendRequest<Body>, Failure> {
    let stream = connect(access, host, addresses).await?;
    if host.is_https { tls(access, host, stream).await } else { http(stream).await }
}

/// Looks up the addresses of a host by getaddrinfo(3), which may block, on a thread of its own.
pub(super) async fn addresses(host: &Host) -> Result<Vec<IpAddr>, Failure> {
    if let Some(ip) = host.ip() {
        return Ok(vec![ip]);
    }
    let (answer, answered) = oneshot::channel();
    let name = host.node.clone();
    let resolve = move || {
        let found = (name.as_str(), 0_u16).to_socket_addrs();
        // The receiver is gone after the timeout.
        let _ = answer.send(found.map(|all| all.map(|address| address.ip()).collect::<Vec<_>>()));
    };
    thread::Builder::new().name("resolver".into()).spawn(resolve).map_err(|error| {
        Failure::new(ErrorKind::Local, format!("making a thread to look up its name: {error}"))
    })?;
    let mut found = answered
        .await
        .map_err(|error| Failure::new(ErrorKind::Local, error))?
        .map_err(|error| Failure::new(ErrorKind::Name, format!("its name has no address: {error}")))?;
    found.dedup();
    if found.is_empty() {
        return Err(Failure::new(ErrorKind::Name, "its name has no address"));
    }
    Ok(found)
}

/// Connects to the first address that answers. Each gets an equal share of the time.
async fn connect(access: &Access, host: &Host, addresses: &[IpAddr]) -> Result<TcpStream, Failure> {
    let shares = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let share = access.timeout / shares;
    let mut failure = Failure::new(ErrorKind::Name, "its name has no address");
    for ip in addresses {
        let address = SocketAddr::new(*ip, host.port);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = not_connected(address, &error),
            Err(_) => {
                failure = Failure::new(
                    ErrorKind::Timeout,
                    format!("timeout: {address} does not accept a connection"),
                );
            }
        }
    }
    Err(failure)
}

fn not_connected(address: SocketAddr, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        let message = format!(
            "refused: no process listens on {address}; does its daemon run with --listen {address} --api-on-tcp?"
        );
        return Failure::new(ErrorKind::Refused, message);
    }
    let is_local =
        matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM));
    if is_local {
        let message = format!("this host cannot make a connection: {error}; use a smaller --parallel");
        return Failure::new(ErrorKind::Local, message);
    }
    Failure::new(ErrorKind::Unreachable, format!("connecting to {address}: {error}"))
}

async fn http(stream: TcpStream) -> Result<SendRequest<Body>, Failure> {
    let made = handshake(TokioIo::new(stream)).await;
    let (sender, connection) = made.map_err(|error| Failure::new(ErrorKind::Closed, error))?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn tls(access: &Access, host: &Host, stream: TcpStream) -> Result<SendRequest<Body>, Failure> {
    let Some(connector) = &access.tls else {
        return Err(Failure::new(ErrorKind::Tls, "https needs --ca FILE"));
    };
    let name = ServerName::try_from(host.node.clone()).map_err(|error| {
        Failure::new(ErrorKind::Tls, format!("no certificate can have the name {}: {error}", host.node))
    })?;
    let stream = connector.connect(name, stream).await.map_err(|error| of_io(&error))?;
    let made = handshake(TokioIo::new(stream)).await;
    let (sender, connection) = made.map_err(|error| broken(&error, host))?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Describes an error of the TLS handshake or of the stream.
fn of_io(error: &io::Error) -> Failure {
    let Some(failure) = TlsFailure::of(error) else {
        return Failure::new(ErrorKind::Closed, format!("it closed the connection: {error}"));
    };
    match failure {
        TlsFailure::ServerCertificate(why) => {
            let message = format!("certificate: its certificate is not accepted (--ca): {why}");
            Failure::new(ErrorKind::Certificate, message)
        }
        TlsFailure::ClientCertificate(alert) => Failure::new(
            ErrorKind::Certificate,
            format!(
                "certificate: it does not accept the client's certificate, or none (--cert, --key): {alert:?}"
            ),
        ),
        TlsFailure::Alert(alert) => {
            Failure::new(ErrorKind::Tls, format!("TLS: it answers with the alert {alert:?}"))
        }
        TlsFailure::NotTls => {
            Failure::new(ErrorKind::Tls, "TLS: it speaks no TLS on this port; list it as http://")
        }
        TlsFailure::Other(other) => Failure::new(ErrorKind::Tls, format!("TLS: {other}")),
    }
}

/// Describes a connection that failed after it was made.
fn broken(error: &hyper::Error, host: &Host) -> Failure {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(it) = cause {
        if let Some(io) = it.downcast_ref::<io::Error>().filter(|_| host.is_https) {
            return of_io(io);
        }
        cause = it.source();
    }
    if error.is_parse() || error.is_parse_too_large() {
        let hint = if host.is_https { "" } else { "; if it speaks TLS, list it as https://" };
        return Failure::new(ErrorKind::Nonsense, format!("its answer is not HTTP: {error}{hint}"));
    }
    Failure::new(ErrorKind::Closed, format!("it closed the connection before the end of its answer: {error}"))
}

/// Reads a body of at most `most` bytes.
async fn body(answer: &mut Response<Incoming>, most: usize, host: &Host) -> Result<Vec<u8>, Failure> {
    let too_large = || Failure::new(ErrorKind::TooLarge, format!("its answer has more than {most} bytes"));
    let body = answer.body_mut();
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let mut text = Vec::new();
    while let Some(piece) = piece(body, drop).await.map_err(|error| broken(&error, host))? {
        if text.len().saturating_add(piece.len()) > most || text.try_reserve(piece.len()).is_err() {
            return Err(too_large());
        }
        text.extend_from_slice(&piece);
    }
    Ok(text)
}

/// Describes an answer with a status other than 200.
fn refusal(status: StatusCode, text: &[u8], path: &str, host: &Host) -> Failure {
    let said = error_message(text).unwrap_or_else(|| String::from_utf8_lossy(text).trim().to_owned());
    let path = path.split('?').next().unwrap_or_default();
    let has_no_path = said.starts_with(&format!("there is no {path}"));
    let (kind, message) = match status.as_u16() {
        401 => {
            (ErrorKind::Unauthorized, "401: it needs another user or password (--basic-auth-file)".to_owned())
        }
        404 if has_no_path => (
            ErrorKind::NoApi,
            "404: its port has metrics only; start its daemon with --api-on-tcp".to_owned(),
        ),
        404 => (ErrorKind::NotFound, said),
        400 if !host.is_https && said.contains("speaks TLS") => (
            ErrorKind::Tls,
            "TLS: it speaks TLS on this port; use --ca FILE, or list it as https://".to_owned(),
        ),
        _ => (ErrorKind::Status, format!("it answers {status}: {said}")),
    };
    Failure { status: Some(status), ..Failure::new(kind, message) }
}
