//! A client of one server over HTTP/1.1, which keeps its connection. It creates no thread: a thread that was created at the start looks
//! up names.

use std::{
    fmt,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    sync::mpsc,
    thread,
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderName, HeaderValue, Request, StatusCode, header},
};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::oneshot, time::timeout};

use super::{Outcome, Rest};
use crate::outputs::url::Url;

/// How long connecting and a request may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of an answer that are read.
const ANSWER_MAX: usize = 64 << 10;

/// The longest part of an answer that an error shows.
const SHOWN: usize = 200;

/// A question for the thread that looks up names: the host, and where the answer goes.
type Question = (String, oneshot::Sender<Result<Vec<IpAddr>, String>>);

/// Looks up names of hosts.
#[derive(Clone)]
pub(in crate::outputs) struct Names(Option<mpsc::Sender<Question>>);

impl Names {
    /// No names are looked up.
    pub(in crate::outputs) const fn none() -> Self {
        Self(None)
    }

    /// Starts the thread. It ends when the last clone of this is dropped.
    pub(in crate::outputs) fn start() -> std::io::Result<Self> {
        let (sender, questions) = mpsc::channel::<Question>();
        own_lookups_only();
        thread::Builder::new().name("output-names".into()).spawn(move || {
            for (host, answer) in questions {
                // getaddrinfo(3); it blocks for as long as resolv.conf says.
                let found = (host.as_str(), 0_u16).to_socket_addrs();
                let found = found.map(|all| all.map(|address| address.ip()).collect());
                // The receiver is gone if the daemon ends.
                let _ = answer.send(found.map_err(|error| format!("looking up {host}: {error}")));
            }
        })?;
        Ok(Self(Some(sender)))
    }

    async fn find(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let Some(sender) = &self.0 else { return Err(format!("{host} is not an address")) };
        let (answer, answered) = oneshot::channel();
        sender.send((host.to_owned(), answer)).map_err(|_| "no thread looks up names".to_owned())?;
        answered.await.map_err(|_| format!("{host} was not looked up"))?
    }
}

/// Limits name lookups to /etc/hosts and DNS, which a static C library can do by itself. For anything else that the host's
/// nsswitch.conf names, it would load modules that are built for another C library, and crash.
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
fn own_lookups_only() {
    use std::ffi::{c_char, c_int};
    // SAFETY: the declaration is that of glibc's <nss.h>.
    unsafe extern "C" {
        fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
    }
    // SAFETY: both strings end with NUL and live for ever; glibc takes its own lock.
    if unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) } != 0 {
        log::warn!(
            "host names are looked up by nsswitch.conf, because glibc refused another order: {}",
            std::io::Error::last_os_error()
        );
    }
}

#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
const fn own_lookups_only() {}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

/// An answer.
#[derive(Debug)]
pub(in crate::outputs) struct Answer {
    pub(in crate::outputs) status: StatusCode,
    pub(in crate::outputs) retry_after: Option<Duration>,
    pub(in crate::outputs) body: Bytes,
}

/// The client of one server.
#[derive(Debug)]
pub(in crate::outputs) struct Client {
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    names: Names,
    connection: Option<SendRequest<Body>>,
}

impl Client {
    pub(in crate::outputs) const fn new(
        url: Url,
        headers: Vec<(HeaderName, HeaderValue)>,
        names: Names,
    ) -> Self {
        Self { url, headers, names, connection: None }
    }

    /// Sends a body. After an error it is unknown whether the server has processed it.
    pub(in crate::outputs) async fn post(
        &mut self,
        body: Bytes,
        content_type: &'static str,
    ) -> Result<Answer, String> {
        let url = self.url.text.clone();
        let answered = match timeout(ANSWER_TIMEOUT, self.try_post(body, content_type)).await {
            Ok(answered) => answered,
            Err(_) => Err(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
        };
        answered.map_err(|why| {
            self.connection = None;
            format!("{url}: {why}")
        })
    }

    async fn try_post(&mut self, body: Bytes, content_type: &'static str) -> Result<Answer, String> {
        let mut connection = match self.connection.take() {
            Some(mut kept) => match kept.ready().await {
                Ok(()) => kept,
                Err(_) => self.connect().await?,
            },
            None => self.connect().await?,
        };
        let mut request = Request::post(self.url.path.as_str())
            .header(header::HOST, self.url.authority.as_str())
            .header(header::CONTENT_TYPE, content_type)
            .header(header::CONTENT_LENGTH, body.len())
            .header(header::USER_AGENT, concat!("taskscope/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(body)).map_err(|error| error.to_string())?;
        let answer = connection.send_request(request).await.map_err(|error| with_causes(&error))?;
        let (head, body) = answer.into_parts();
        let retry_after = head.headers.get(header::RETRY_AFTER).and_then(retry_after);
        let body = to_bytes(Body::new(body), ANSWER_MAX).await.map_err(|error| with_causes(&error))?;
        self.connection = Some(connection);
        Ok(Answer { status: head.status, retry_after, body })
    }

    async fn connect(&self) -> Result<SendRequest<Body>, String> {
        let found = match self.url.ip() {
            Some(ip) => vec![ip],
            None => self.names.find(&self.url.host).await?,
        };
        let mut why = format!("{} has no address", self.url.host);
        for ip in found {
            match TcpStream::connect(SocketAddr::new(ip, self.url.port)).await {
                Ok(stream) => {
                    let made = handshake(TokioIo::new(stream)).await;
                    let (sender, connection) = made.map_err(|error| with_causes(&error))?;
                    tokio::spawn(connection);
                    return Ok(sender);
                }
                Err(error) => why = format!("connecting to {ip} port {}: {error}", self.url.port),
            }
        }
        Err(why)
    }
}

impl Answer {
    /// Returns the outcome of `count` records from the answer to them.
    pub(in crate::outputs) fn outcome(&self, count: usize) -> Outcome {
        if self.status.is_success() {
            return Outcome { accepted: count, rest: Rest::None };
        }
        let text = String::from_utf8_lossy(self.body.get(..SHOWN.min(self.body.len())).unwrap_or_default());
        let text: String = text.chars().map(|c| if crate::export::is_unsafe(c) { ' ' } else { c }).collect();
        let why = format!("answered {}: {}", self.status, text.trim());
        // RFC 9110: these say that the same request can succeed later; a redirection or 404 is often a server that is being started.
        let is_for_now = self.status.is_server_error()
            || self.status.is_redirection()
            || self.status.is_informational()
            || matches!(self.status.as_u16(), 401 | 403 | 404 | 408 | 425 | 429);
        let rest = if is_for_now { Rest::Retry { why, after: self.retry_after } } else { Rest::Refused(why) };
        Outcome { accepted: 0, rest }
    }
}

/// Parses `Retry-After`: seconds, or a date.
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = at.duration_since(jiff::Timestamp::now());
    Some(Duration::from_secs(u64::try_from(wait.as_secs()).unwrap_or(0)))
}

/// Returns an error with its causes.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: None,
            body: Bytes::from_static(b"no\n\x1b[m"),
        }
    }

    #[test]
    fn what_can_succeed_later_is_tried_again_and_nothing_else() {
        assert!(matches!(answer(202).outcome(3), Outcome { accepted: 3, rest: Rest::None }));
        for status in [301, 404, 408, 429, 500, 502, 503, 504] {
            assert!(matches!(answer(status).outcome(3).rest, Rest::Retry { .. }), "{status}");
        }
        for status in [400, 405, 413, 415, 422] {
            let Rest::Refused(why) = answer(status).outcome(3).rest else { panic!("{status}") };
            assert!(why.ends_with("no  [m"), "{why:?}");
        }
    }

    #[test]
    fn a_server_can_ask_for_a_pause_in_seconds_or_until_a_date() {
        let after = |text: &str| retry_after(&HeaderValue::from_str(text).unwrap());
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::ZERO));
        assert!(after("Fri, 31 Dec 2100 23:59:59 GMT").unwrap() > Duration::from_secs(1_000_000));
        assert_eq!(after("soon"), None);
    }
}
