//! A client of the daemon: HTTP over its Unix socket.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use hyper::{
    HeaderMap, Request, Response,
    body::{Body, Incoming},
    client::conn::http1,
    header,
    header::HeaderValue,
};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::{
    net::UnixStream,
    time::{sleep, timeout},
};

use crate::cli::exit::Exit;
use crate::{lineage::id::Tgid, procfs::Procfs, service::config::DEFAULT_SOCKET};

/// A daemon that sends nothing for this long hangs: it answers within two seconds even on a host without pids or memory.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Pause before connecting again if the daemon's accept queue is full.
const QUEUE_PAUSE: Duration = Duration::from_millis(20);

/// The most bytes of an answer: more than the tree of a host with 4,194,304 processes has.
const MOST_BYTES: usize = 4 << 30;

/// Where the daemon is asked.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Socket {
    /// Unix socket of the daemon
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub(in crate::cli) socket: PathBuf,
}

/// A client of one daemon.
pub(in crate::cli) struct Client {
    socket: PathBuf,
    /// Pid of the daemon; 0 if it is not known.
    daemon: AtomicU32,
    /// The trailers of the last body, once it has ended.
    trailers: Mutex<Option<HeaderMap>>,
}

/// Why the request failed.
#[derive(Debug, Error)]
pub(in crate::cli) enum ClientError {
    /// No process listens on the socket.
    #[error("no taskscope daemon answers on {0}: systemctl start taskscope, or taskscope run")]
    NotThere(PathBuf),
    /// This user may not connect.
    #[error("{0}: permission denied: only root and members of its group (taskscope) may ask the daemon")]
    Denied(PathBuf),
    /// The daemon refuses the request.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The daemon's message.
        message: String,
    },
    /// The daemon sends nothing.
    #[error("the daemon on {socket}{who} has not answered for {} s{hint}", ANSWER_WITHIN.as_secs())]
    Silent {
        /// The socket.
        socket: PathBuf,
        /// ` (pid N)`, if the kernel reports the peer's pid.
        who: String,
        /// What the daemon is doing, and what helps.
        hint: String,
    },
    /// The daemon's accept queue is full.
    #[error(
        "the daemon on {socket} has no room for another connection (EAGAIN): {} clients or more wait for it to accept them; \
         ask again later, or list its clients: ss -xp | grep {socket}",
        queue_length()
    )]
    Busy {
        /// The socket.
        socket: PathBuf,
    },
    /// The connection failed.
    #[error("talking to the daemon on {socket}: {what}")]
    Broken {
        /// The socket.
        socket: PathBuf,
        /// The error.
        what: String,
    },
}

impl ClientError {
    /// Logs the error and returns its exit code.
    pub(in crate::cli) fn exit(&self) -> Exit {
        let exit = Exit::failed(self);
        if matches!(self, Self::Denied(_)) { Exit::Privilege } else { exit }
    }
}

/// Returns the next piece of a body; `None` at its end. Passes trailers to `take`.
pub(in crate::cli) async fn piece(
    body: &mut Incoming,
    mut take: impl FnMut(Option<HeaderMap>),
) -> hyper::Result<Option<Bytes>> {
    loop {
        let frame = std::future::poll_fn(|context| Body::poll_frame(Pin::new(&mut *body), context));
        let Some(frame) = frame.await.transpose()? else { return Ok(None) };
        match frame.into_data() {
            Ok(data) => return Ok(Some(data)),
            Err(frame) => take(frame.into_trailers().ok()),
        }
    }
}

/// Returns for how long the daemon will repeat an answer, from the headers `Cache-Control` and `Age`.
pub(in crate::cli) fn lasts(headers: &HeaderMap) -> Duration {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let seconds = |text: &str| text.parse().map_or(Duration::ZERO, Duration::from_secs);
    let lasts = text(header::CACHE_CONTROL).and_then(|text| text.strip_prefix("max-age=")).map(seconds);
    lasts.unwrap_or_default().saturating_sub(text(header::AGE).map(seconds).unwrap_or_default())
}

impl Client {
    pub(in crate::cli) fn at(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), daemon: AtomicU32::new(0), trailers: Mutex::new(None) }
    }

    /// Sends a GET request; returns a successful answer whose body is still to be read.
    pub(in crate::cli) async fn get(
        &self,
        path: &str,
        accept: &str,
    ) -> Result<Response<Incoming>, ClientError> {
        self.send(path, accept, None).await
    }

    async fn send(
        &self,
        path: &str,
        accept: &str,
        cache_control: Option<&'static str>,
    ) -> Result<Response<Incoming>, ClientError> {
        let stream = self.connect(ANSWER_WITHIN).await?;
        let peer = stream.peer_cred().ok().and_then(|peer| peer.pid());
        let pid = peer.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        self.daemon.store(pid, Ordering::Relaxed);
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        tokio::spawn(connection);
        let mut request = Request::get(path)
            .header(header::HOST, "taskscope")
            .header(header::ACCEPT, accept)
            .header(header::TE, "trailers");
        if let Some(value) = cache_control {
            request = request.header(header::CACHE_CONTROL, value);
        }
        let request = request.body(axum::body::Body::empty()).map_err(|error| self.broken(&error))?;
        let mut answer =
            self.within(sender.send_request(request)).await?.map_err(|error| self.broken(&error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status().as_u16();
        let text = self.body(answer.body_mut()).await?;
        let message = error_message(&text).unwrap_or_else(|| format!("the daemon answers {status}"));
        Err(ClientError::Refused { status, message })
    }

    /// Connects. If the accept queue is full, tries again, because connect(2) does not wait on a non-blocking socket.
    async fn connect(&self, limit: Duration) -> Result<UnixStream, ClientError> {
        let mut is_full = false;
        let connecting = async {
            loop {
                match UnixStream::connect(&self.socket).await {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => is_full = true,
                    outcome => return outcome,
                }
                sleep(QUEUE_PAUSE).await;
            }
        };
        match timeout(limit, connecting).await {
            Ok(outcome) => outcome.map_err(|error| match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    ClientError::NotThere(self.socket.clone())
                }
                io::ErrorKind::PermissionDenied => ClientError::Denied(self.socket.clone()),
                _ => self.broken(&format!("connecting: {error}")),
            }),
            Err(_) if is_full => Err(ClientError::Busy { socket: self.socket.clone() }),
            Err(_) => Err(self.silent()),
        }
    }

    /// Sends a GET request; returns the answer's JSON.
    pub(in crate::cli) async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.parsed(path, self.get(path, "application/json").await?).await
    }

    /// Does the same, and accepts an answer that another viewer got within the last second. Also returns for how long the daemon
    /// will repeat the answer.
    pub(in crate::cli) async fn shared_json<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<(T, Duration), ClientError> {
        let answer = self.send(path, "application/json", Some("max-age=1")).await?;
        let lasts = lasts(answer.headers());
        Ok((self.parsed(path, answer).await?, lasts))
    }

    async fn parsed<T: DeserializeOwned>(
        &self,
        path: &str,
        mut answer: Response<Incoming>,
    ) -> Result<T, ClientError> {
        let text = self.body(answer.body_mut()).await?;
        serde_json::from_slice(&text).map_err(|error| {
            self.broken(&format!("{path}: {error}; does the daemon have the same version as this command?"))
        })
    }

    /// Returns the next piece of a body; `None` at its end.
    pub(in crate::cli) async fn piece(&self, body: &mut Incoming) -> Result<Option<Bytes>, ClientError> {
        piece(body, |trailers| *self.trailers() = trailers).await.map_err(|error| self.broken(&error))
    }

    /// Returns a trailer of the last body that ended.
    pub(in crate::cli) fn trailer(&self, name: &str) -> Option<String> {
        Some(self.trailers().as_ref()?.get(name)?.to_str().ok()?.to_owned())
    }

    fn trailers(&self) -> MutexGuard<'_, Option<HeaderMap>> {
        self.trailers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a body as a whole.
    pub(in crate::cli) async fn body(&self, body: &mut Incoming) -> Result<Vec<u8>, ClientError> {
        let mut text = Vec::new();
        while let Some(piece) = self.within(self.piece(body)).await?? {
            let has_room = text.len().saturating_add(piece.len()) <= MOST_BYTES;
            if !has_room || text.try_reserve(piece.len()).is_err() {
                let what = format!("there is no memory for an answer of more than {} bytes", text.len());
                return Err(self.broken(&what));
            }
            text.extend_from_slice(&piece);
        }
        Ok(text)
    }

    /// Waits, but not for a daemon that hangs.
    async fn within<T>(&self, what: impl Future<Output = T>) -> Result<T, ClientError> {
        timeout(ANSWER_WITHIN, what).await.map_err(|_| self.silent())
    }

    fn silent(&self) -> ClientError {
        let socket = self.socket.clone();
        let pid = self.daemon.load(Ordering::Relaxed);
        if pid == 0 {
            let hint = ": it accepts no connection".into();
            return ClientError::Silent { socket, who: String::new(), hint };
        }
        let state = Procfs::default().stat(Tgid(pid)).ok().flatten().map(|stat| stat.state);
        let hint = match state {
            Some(b'T') => format!(": it is stopped by a signal (state T); kill -CONT {pid}"),
            Some(b't') => {
                ": its tracer has stopped it (state t); continue it in the debugger, or detach".into()
            }
            Some(b'D') => ": it is in uninterruptible sleep (state D); cat /proc/{pid}/stack shows where"
                .replace("{pid}", &pid.to_string()),
            Some(state) => format!(
                " (state {}); the host may give it no CPU time, or it hangs: systemctl restart taskscope",
                char::from(state)
            ),
            None => ": it has ended".into(),
        };
        ClientError::Silent { socket, who: format!(" (pid {pid})"), hint }
    }

    pub(in crate::cli) fn broken(&self, what: &impl ToString) -> ClientError {
        ClientError::Broken { socket: self.socket.clone(), what: what.to_string() }
    }
}

/// Returns the message of an error of the API.
pub(in crate::cli) fn error_message(body: &[u8]) -> Option<String> {
    let error: serde_json::Value = serde_json::from_slice(body).ok()?;
    error.pointer("/error/message")?.as_str().map(str::to_owned)
}

/// The most connections that wait in a socket's accept queue.
fn queue_length() -> String {
    let limit = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
    limit.map_or_else(|_| "many".to_owned(), |limit| limit.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_without_room_is_named_with_what_to_do() {
        let path = std::env::temp_dir().join(format!("taskscope-full-queue-{}", std::process::id()));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let runtime = crate::event_loop::start().unwrap();
        let client = Client::at(&path);
        let mut waiting = Vec::new();
        let error = runtime.block_on(async {
            loop {
                match client.connect(Duration::from_millis(50)).await {
                    Ok(stream) => waiting.push(stream),
                    Err(error) => break error,
                }
            }
        });
        std::fs::remove_file(&path).unwrap();
        let text = error.to_string();
        assert!(!waiting.is_empty() && matches!(error, ClientError::Busy { .. }), "{text}");
        assert!(text.contains("(EAGAIN)") && text.contains("ss -xp"), "{text}");
    }
}
