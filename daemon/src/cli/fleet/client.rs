//! One question to one daemon over TCP: HTTP/1.1, with TLS if asked for, within limits of time and size.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    pin::Pin,
    thread,
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
use crate::{answer::fleet::ErrorKind, cli::client::error_message, tls_client::TlsFailure};

/// The most bytes of an error's body that are read.
const ERROR_MAX: usize = 16 << 10;

/// The most characters of a message that are kept: some are chosen by the host.
const MESSAGE_MAX: usize = 400;

/// Why a host did not answer.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
    status: Option<StatusCode>,
}

impl Failure {
    pub(super) fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string().chars().take(MESSAGE_MAX).collect(), status: None }
    }
}

/// Asks a daemon; returns the body of an answer with the status 200, which has at most `most` bytes.
pub(super) async fn get(access: &Access, host: &Host, path: &str, most: usize) -> Result<Vec<u8>, Failure> {
    let Ok(outcome) = timeout(access.timeout, ask(access, host, path, most)).await else {
        let limit = crate::duration::text(access.timeout);
        let message = format!("timeout: it has not answered within {limit} (--timeout)");
        return Err(Failure::new(ErrorKind::Timeout, message));
    };
    outcome
}

async fn ask(access: &Access, host: &Host, path: &str, most: usize) -> Result<Vec<u8>, Failure> {
    let addresses = addresses(host).await?;
    match try_ask(access, host, &addresses, &host.authority, path, most).await {
        // The daemon answers requests for names in allowed_hosts and for its address, and no others, to keep web pages out.
        Err(failure) if failure.status == Some(StatusCode::MISDIRECTED_REQUEST) => {
            let Some(ip) = addresses.first() else { return Err(failure) };
            let by_address = HeaderValue::try_from(SocketAddr::new(*ip, host.port).to_string());
            let by_address = by_address.map_err(|error| Failure::new(ErrorKind::Status, error))?;
            try_ask(access, host, &addresses, &by_address, path, most).await
        }
        outcome => outcome,
    }
}

async fn try_ask(
    access: &Access,
    host: &Host,
    addresses: &[IpAddr],
    authority: &HeaderValue,
    path: &str,
    most: usize,
) -> Result<Vec<u8>, Failure> {
    let stream = connect(access, host, addresses).await?;
    let mut sender = if host.is_https { tls(access, host, stream).await? } else { http(stream).await? };
    let mut request = Request::get(path)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("taskscope/", env!("CARGO_PKG_VERSION")));
    if let Some(authorization) = &access.authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    let request = request.body(Body::empty()).map_err(|error| Failure::new(ErrorKind::Nonsense, error))?;
    let mut answer = sender.send_request(request).await.map_err(|error| broken(&error, host))?;
    if answer.status() == StatusCode::OK {
        return body(&mut answer, most, host).await;
    }
    let text = body(&mut answer, ERROR_MAX, host).await.unwrap_or_default();
    Err(refusal(answer.status(), &text, path, host))
}

/// Looks up the addresses of a host by getaddrinfo(3), which may block, on a thread of its own.
async fn addresses(host: &Host) -> Result<Vec<IpAddr>, Failure> {
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
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        match frame {
            None => return Ok(text),
            Some(Err(error)) => return Err(broken(&error, host)),
            Some(Ok(frame)) => {
                let Ok(piece) = frame.into_data() else { continue };
                if text.len().saturating_add(piece.len()) > most || text.try_reserve(piece.len()).is_err() {
                    return Err(too_large());
                }
                text.extend_from_slice(&piece);
            }
        }
    }
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
