//! Serves the connections of one address: a bounded number of them, each with bounded headers and a bounded time for sending them
//! and for reading the answer.
//!
//! `axum::serve` has no bound on connections and no time limit for reading an answer, so this file drives hyper's connections
//! itself.

use std::{convert::Infallible, future::poll_fn, io, pin::Pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Request, Response, header},
    response::IntoResponse as _,
};
use hyper::{
    StatusCode,
    body::{Body as HttpBody, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::Service,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    select,
    task::yield_now,
    time::{sleep, timeout},
};

use super::{
    connection::Connection,
    counts::Closed,
    guarded::Guarded,
    listener::{FirstByte, Listener},
    peer::Peer,
    places::{ConnectionPlace, Places},
};
use crate::{
    fd::spare,
    service::http::{
        access::Access,
        error::{ApiError, HEADERS, JSON},
        web::Web,
    },
};

/// Time limit for a request's headers; a connection may also be idle for this long between two requests.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// The most bytes of a request line with its headers.
const HEADER_BYTES: usize = 16 << 10;

/// The most headers.
const MAX_HEADERS: usize = 64;

/// Pause after an error of accept(2), such as too few descriptors.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a new connection waits for a place.
const PLACE_TIME: Duration = Duration::from_secs(1);

/// How an address answers.
#[derive(Clone)]
pub(in crate::service::http) struct Answers {
    pub(in crate::service::http) router: Router,
    pub(in crate::service::http) access: Arc<Access>,
    /// TLS and authentication, if there is a web configuration.
    pub(in crate::service::http) web: Option<Arc<Web>>,
    /// Returns whether a path may be answered on a reserved place.
    pub(in crate::service::http) is_short: fn(&str) -> bool,
}

/// Serves until the task is dropped.
pub(in crate::service::http) async fn serve(listener: impl Listener, answers: Answers, places: Arc<Places>) {
    let mut has_failed = false;
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => {
                has_failed = false;
                accepted
            }
            Err(error) => {
                // Log consecutive failures once.
                let level = if has_failed { log::Level::Debug } else { log::Level::Warn };
                has_failed = true;
                log::log!(
                    level,
                    "accepting a connection: {error}; new clients wait until accepting works again"
                );
                // If descriptors have run out, another connection is closed. Other errors have nothing to do with connections.
                if spare::is_exhausted(&error) {
                    places.make_room();
                }
                sleep(PAUSE).await;
                continue;
            }
        };
        match timeout(PLACE_TIME, admitted(&places, peer)).await {
            Ok(place) => drop(tokio::spawn(arrived(stream, place, answers.clone()))),
            Err(_) => places.refused(),
        }
        // Let the task of this connection read its request before a later connection can take its place.
        yield_now().await;
    }
}

/// Waits for a place. Later connections wait too, because there is no place for them either.
async fn admitted(places: &Arc<Places>, peer: Peer) -> ConnectionPlace {
    loop {
        if let Some(place) = places.admit(peer) {
            return place;
        }
        sleep(PAUSE).await;
    }
}

/// Serves a connection, after its handshake if it uses TLS.
async fn arrived(
    mut stream: impl AsyncRead + AsyncWrite + FirstByte + Unpin + Send + 'static,
    place: ConnectionPlace,
    answers: Answers,
) {
    let secure =
        answers.web.as_ref().and_then(|web| web.acceptor().map(|acceptor| (acceptor, Arc::clone(web))));
    let Some((acceptor, web)) = secure else { return connection(stream, place, answers).await };
    let state = Arc::clone(&place.connection);
    let shaking_hands = timeout(HEADER_TIME, async {
        let first = stream.first_byte().await?;
        if first.is_some_and(|byte| byte.is_ascii_alphabetic()) {
            refuse_plain(&mut stream).await;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a request without TLS"));
        }
        acceptor.accept(stream).await
    });
    let outcome = select! {
        outcome = shaking_hands => outcome,
        () = state.closing() => return web.shook_hands(false),
    };
    web.shook_hands(matches!(outcome, Ok(Ok(_))));
    match outcome {
        Ok(Ok(stream)) => connection(stream, place, answers).await,
        Ok(Err(error)) => log::debug!("a TLS handshake: {error}"),
        Err(_) => place.counts().closed(Closed::HeaderTimeout),
    }
}

/// Answers a request without TLS.
async fn refuse_plain(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    // A peer that does not read it is gone.
    let _ = timeout(PAUSE, async {
        // The kernel would reset the connection, and discard the answer, if the request were not read.
        let _ = stream.read(&mut [0; 4096]).await?;
        stream.write_all(&ApiError::not_tls().into_bytes()).await?;
        stream.shutdown().await
    })
    .await;
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    place: ConnectionPlace,
    answers: Answers,
) {
    let connection = Arc::clone(&place.connection);
    let service = Answering {
        router: TowerToHyperService::new(answers.router.clone()),
        answers,
        connection: Arc::clone(&connection),
    };
    let stream = Guarded::new(stream, Arc::clone(&connection));
    let mut http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let outcome = select! {
        outcome = poll_fn(|context| Pin::new(&mut http).poll(context)) => outcome,
        () = connection.closing() => return,
    };
    let Err(error) = outcome else { return };
    log::debug!("a connection: {error}");
    if connection.is_given_up() {
        place.counts().closed(Closed::Stalled);
    } else if error.is_timeout() {
        place.counts().closed(Closed::HeaderTimeout);
        if connection.has_part() {
            let mut stream = http.into_parts().io.into_inner().into_inner();
            let answer = ApiError::not_understood(StatusCode::REQUEST_TIMEOUT).into_bytes();
            // A peer that does not read it is gone.
            let _ = timeout(PAUSE, async {
                stream.write_all(&answer).await?;
                stream.flush().await
            })
            .await;
        }
    }
}

/// Reads the requests of one connection and writes the responses.
struct Answering {
    router: TowerToHyperService<Router>,
    answers: Answers,
    connection: Arc<Connection>,
}

impl Service<Request<Incoming>> for Answering {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.connection.asked();
        let connection = Arc::clone(&self.connection);
        let refused = self.refusal(&request);
        request.extensions_mut().insert(Arc::clone(&connection));
        let (router, web) = (self.router.clone(), self.answers.web.clone());
        Box::pin(async move {
            let refused = match (refused, &web) {
                (Some(error), _) => Some(error.into_response()),
                (None, Some(web)) => web.refusal(request.headers(), connection.peer).await,
                (None, None) => None,
            };
            let mut response = match refused {
                Some(response) => response,
                None => router.call(request).await?,
            };
            let status = response.status();
            if (status.is_client_error() || status.is_server_error())
                && response.headers().get(header::CONTENT_TYPE).is_none_or(|kind| kind != JSON)
            {
                let headers = std::mem::take(response.headers_mut());
                response = ApiError::of_status(status).into_response();
                if let Some(allowed) = headers.get(header::ALLOW) {
                    response.headers_mut().insert(header::ALLOW, allowed.clone());
                }
            }
            response.headers_mut().extend(HEADERS.map(|(name, value)| (Some(name), value)));
            if let Some(web) = web {
                web.decorate(response.headers_mut());
            }
            Ok(response.map(|body| Answer { body, connection }))
        })
    }
}

impl Answering {
    fn refusal(&self, request: &Request<Incoming>) -> Option<ApiError> {
        let (uri, headers) = (request.uri(), request.headers());
        match self.answers.access.check(request.version(), uri, headers) {
            Err(error) => Some(error),
            Ok(()) if self.connection.is_reserve && !(self.answers.is_short)(uri.path()) => {
                Some(ApiError::busy())
            }
            Ok(()) => None,
        }
    }
}

/// The body of an answer. After it is dropped, the connection has only its buffers left to write.
pub(super) struct Answer {
    body: Body,
    connection: Arc<Connection>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.connection.answered();
    }
}
