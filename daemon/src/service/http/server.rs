//! Connections: a bounded number of them, each with bounded headers and a bounded time to send them.

use std::{sync::Arc, time::Duration};

use axum::{Router, serve::Listener};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
};

/// A request's headers must be there by then; between two requests a connection may rest as long.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// Bytes of a request line and its headers at most.
const HEADER_BYTES: usize = 16 << 10;

/// Headers at most.
const HEADERS: usize = 64;

/// How many connections there may be at once; others wait in the kernel.
#[derive(Clone)]
pub(in crate::service) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(in crate::service) fn new(connections: usize) -> Self {
        Self(Arc::new(Semaphore::new(connections)))
    }
}

/// Serves until its task is dropped.
pub(in crate::service) async fn serve<L>(mut listener: L, router: Router, gate: Gate)
where
    L: Listener,
{
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&gate.0).acquire_owned().await else { return };
        let (stream, _) = listener.accept().await;
        let router = router.clone();
        tokio::spawn(async move {
            connection(stream, router).await;
            drop(permit);
        });
    }
}

pub(super) async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let outcome = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = outcome {
        log::debug!("a connection: {error}");
    }
}
