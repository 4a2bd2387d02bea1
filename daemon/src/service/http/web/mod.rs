//! TLS, client certificates, basic authentication, headers and a rate limit on TCP, by the web configuration file of Prometheus
//! exporters.
//!
//! The exporter-toolkit reads the file for each request. This daemon compares the files' times and sizes at most once a second, and
//! reads them if they have changed. A file that cannot be used is logged, and the last one that could stays in force: a mistake
//! neither opens the daemon nor ends scrapes.
//!
//! - `file`: reads the file; `node`: one value of it, with its line; `error`: what is wrong with it
//! - `tls`, `client_certs`, `basic_auth`, `rate_limit`: one file for each of its parts

mod basic_auth;
mod client_certs;
mod error;
mod file;
mod node;
mod rate_limit;
mod tls;

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{IntoResponse as _, Response},
};
use hyper::header;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

pub use self::error::WebError;
use self::{basic_auth::BasicAuth, file::WebFile, rate_limit::RateLimit};
use super::{ConnectionCounts, Workers, connections::peer::Peer, error::ApiError};
use crate::bounded;

/// The longest web configuration, bytes.
const FILE_MAX: usize = 1 << 20;

/// Interval at which the files are checked for changes, while there are requests.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Device, inode, size, and time of the last change of a file.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

fn stamp(path: &Path) -> Stamp {
    let it = fs::metadata(path).ok()?;
    Some((it.dev(), it.ino(), it.size(), it.mtime(), it.mtime_nsec()))
}

/// A configuration in force.
struct InForce {
    tls: Option<Arc<ServerConfig>>,
    users: BTreeMap<String, String>,
    headers: Vec<(HeaderName, HeaderValue)>,
    rate: Option<RateLimit>,
    /// The web configuration file, then the files that it names.
    files: Vec<PathBuf>,
}

impl InForce {
    fn read(path: &Path) -> Result<Self, WebError> {
        let failed = |source| WebError::Read { file: path.to_owned(), source };
        let bytes = bounded::read(path, FILE_MAX).map_err(failed)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| failed(io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8")))?;
        let WebFile { tls, headers, users, rate } = file::parse(path, &text)?;
        let mut files = vec![path.to_owned()];
        files.extend(tls.iter().flat_map(file::TlsSection::files).map(Path::to_owned));
        let mut parsed = Vec::new();
        for (name, value) in headers {
            let pair = HeaderName::try_from(&name).ok().zip(HeaderValue::try_from(&value).ok());
            parsed.push(pair.ok_or_else(|| WebError::Tls {
                name: format!("{}: http_server_config.headers.{name}", path.display()),
                what: "its value is not valid in a header".into(),
            })?);
        }
        let tls = tls.as_ref().map(tls::config).transpose()?;
        Ok(Self { tls, users, headers: parsed, rate: rate.map(RateLimit::new), files })
    }

    fn stamps(&self) -> Vec<Stamp> {
        self.files.iter().map(|file| stamp(file)).collect()
    }
}

struct WebState {
    now: Arc<InForce>,
    stamps: Vec<Stamp>,
    checked: Instant,
}

/// The web configuration of an address.
pub(in crate::service) struct Web {
    path: PathBuf,
    state: Mutex<WebState>,
    auth: BasicAuth,
    workers: Workers,
    counts: Arc<ConnectionCounts>,
}

/// Checks a file, and returns it and the files that it names, which a reload reads.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, WebError> {
    InForce::read(path).map(|web| web.files)
}

impl Web {
    /// Reads the file.
    pub(in crate::service) fn new(
        path: &Path,
        workers: Workers,
        counts: Arc<ConnectionCounts>,
    ) -> Result<Self, WebError> {
        let now = Arc::new(InForce::read(path)?);
        let auth = BasicAuth::new().map_err(|_| WebError::Read {
            file: "getrandom(2)".into(),
            source: io::ErrorKind::Other.into(),
        })?;
        let state = WebState { stamps: now.stamps(), now, checked: Instant::now() };
        Ok(Self { path: path.to_owned(), state: Mutex::new(state), auth, workers, counts })
    }

    fn state(&self) -> MutexGuard<'_, WebState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the configuration in force, after it is read again if its files have changed.
    fn now(&self) -> Arc<InForce> {
        let mut state = self.state();
        if state.checked.elapsed() < CHECK_EVERY {
            return Arc::clone(&state.now);
        }
        state.checked = Instant::now();
        let stamps = state.now.stamps();
        if stamps != state.stamps {
            state.stamps = stamps;
            self.reload(&mut state);
        }
        Arc::clone(&state.now)
    }

    fn reload(&self, state: &mut WebState) {
        let new = InForce::read(&self.path).and_then(|new| {
            let is_switched = new.tls.is_some() != state.now.tls.is_some();
            if is_switched { Err(WebError::Switched { file: self.path.clone() }) } else { Ok(new) }
        });
        match new {
            Ok(new) => {
                log::info!("{}: read again", self.path.display());
                self.counts.web.has_failed.store(false, Ordering::Relaxed);
                self.counts.web.reloads.fetch_add(1, Ordering::Relaxed);
                state.stamps = new.stamps();
                state.now = Arc::new(new);
            }
            Err(error) => {
                log::error!("{error}; the web configuration from before stays in force");
                self.counts.web.has_failed.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Reads the files again, whether or not they have changed.
    pub(in crate::service) fn read_again(&self) {
        let mut state = self.state();
        (state.checked, state.stamps) = (Instant::now(), state.now.stamps());
        self.reload(&mut state);
    }

    /// Whether connections use TLS.
    pub(in crate::service) fn has_tls(&self) -> bool {
        self.state().now.tls.is_some()
    }

    /// Returns what makes TLS connections, or `None` if they are plain.
    pub(super) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.now().tls.clone().map(TlsAcceptor::from)
    }

    /// Counts a handshake.
    pub(super) fn shook_hands(&self, is_complete: bool) {
        let count =
            if is_complete { &self.counts.web.handshakes } else { &self.counts.web.handshakes_failed };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the refusal of a request, if it is refused: too many requests, or no valid password.
    pub(super) async fn refusal(&self, headers: &HeaderMap, peer: Peer) -> Option<Response> {
        let now = self.now();
        if now.rate.as_ref().is_some_and(|rate| !rate.allows(Instant::now())) {
            self.counts.web.refused.fetch_add(1, Ordering::Relaxed);
            return Some(ApiError::too_fast().into_response());
        }
        if now.users.is_empty() {
            return None;
        }
        let error = self.auth.admit(&now.users, headers, peer, &self.workers).await.err()?;
        self.counts.web.refused.fetch_add(1, Ordering::Relaxed);
        let mut response = error.into_response();
        if response.status() == hyper::StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        }
        Some(response)
    }

    /// Adds the configured headers to a response.
    pub(super) fn decorate(&self, headers: &mut HeaderMap) {
        headers
            .extend(self.state().now.headers.iter().map(|(name, value)| (Some(name.clone()), value.clone())));
    }
}
