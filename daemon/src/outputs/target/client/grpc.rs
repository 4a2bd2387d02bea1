//! A client of one method of a gRPC server, which keeps its connection: HTTP/2 with messages in frames and the status in trailers
//! (github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). taskscope sends one message and receives one, so it needs no crate for
//! gRPC: `tonic` would bring a server, a router and its own connections.

use std::{future::poll_fn, pin::Pin};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Request, Response, Uri, header, uri::Scheme},
};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::http2::{SendRequest, handshake},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::timeout;

use super::{ANSWER_MAX, ANSWER_TIMEOUT, connect::Server, grpc_reply::reply};
use crate::outputs::target::Rest;

/// Bytes before a message: whether it is compressed, and its length, big-endian.
pub(super) const FRAME_HEAD: usize = 5;

/// The client of one server.
#[derive(Debug)]
pub(in crate::outputs) struct Grpc {
    server: Server,
    connection: Option<SendRequest<Body>>,
}

impl Grpc {
    /// The path of the server's address must be that of the method.
    pub(in crate::outputs) const fn new(server: Server) -> Self {
        Self { server, connection: None }
    }

    /// Calls the method; returns its answer. After an error it is unknown whether the server has processed the message.
    pub(in crate::outputs) async fn call(&mut self, message: &[u8]) -> Result<Bytes, Rest> {
        let answered = match timeout(ANSWER_TIMEOUT, self.try_call(message)).await {
            Ok(answered) => answered,
            Err(_) => Err(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
        };
        answered.unwrap_or_else(|why| {
            self.connection = None;
            Err(Rest::Retry { why: format!("{}: {why}", self.server.url.text), after: None })
        })
    }

    async fn try_call(&mut self, message: &[u8]) -> Result<Result<Bytes, Rest>, String> {
        let mut connection = match self.connection.take() {
            Some(mut kept) => match kept.ready().await {
                Ok(()) => kept,
                Err(_) => self.connect().await?,
            },
            None => self.connect().await?,
        };
        let request = self.request(message)?;
        let answer = connection.send_request(request).await.map_err(|error| self.server.failed(&error))?;
        let (head, mut body) = answer.into_parts();
        let (bytes, trailers) = self.read(&mut body).await?;
        self.connection = Some(connection);
        Ok(reply(&Response::from_parts(head, Bytes::from(bytes)), trailers.as_ref(), message.len()))
    }

    async fn connect(&mut self) -> Result<SendRequest<Body>, String> {
        let stream = self.server.connect().await?;
        let made = handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = made.map_err(|error| self.server.failed(&error))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    fn request(&self, message: &[u8]) -> Result<Request<Body>, String> {
        let url = &self.server.url;
        let length = u32::try_from(message.len()).map_err(|error| error.to_string())?;
        let frame = [&[0][..], &length.to_be_bytes(), message].concat();
        let uri = Uri::builder()
            .scheme(if url.is_secure { Scheme::HTTPS } else { Scheme::HTTP })
            .authority(url.authority.clone())
            .path_and_query(url.path.as_str())
            .build()
            .map_err(|error| error.to_string())?;
        let mut request = Request::post(uri)
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .header("grpc-timeout", format!("{}S", ANSWER_TIMEOUT.as_secs()))
            .header(header::USER_AGENT, concat!("taskscope/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &self.server.headers {
            request = request.header(name, value);
        }
        request.body(Body::from(frame)).map_err(|error| error.to_string())
    }

    /// Reads a body to its end, with the trailers after it.
    async fn read(&self, body: &mut Incoming) -> Result<(Vec<u8>, Option<HeaderMap>), String> {
        let (mut bytes, mut trailers) = (Vec::new(), None);
        while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            let frame = frame.map_err(|error| self.server.failed(&error))?;
            match frame.into_data() {
                Ok(piece) if bytes.len() + piece.len() > ANSWER_MAX => {
                    return Err(format!("its answer has more than {ANSWER_MAX} bytes"));
                }
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(frame) => trailers = frame.into_trailers().ok().or(trailers),
            }
        }
        Ok((bytes, trailers))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, convert::Infallible, net::SocketAddr, sync::Arc, task::Poll};

    use hyper::{body::Frame, server::conn::http2, service::service_fn};
    use tokio::{
        io::AsyncWriteExt as _,
        net::{TcpListener, TcpStream},
        sync::Mutex,
    };

    use super::*;
    use crate::outputs::{
        ServerSettings,
        target::client::Names,
        url::{Url, UrlKind},
    };

    /// What a server does with a connection or a call.
    enum Step {
        /// Answers with this body and these trailers.
        Answer(&'static [u8], &'static [(&'static str, &'static str)]),
        /// Answers with a status of gRPC among the headers.
        Status(&'static str),
        /// Closes the connection without an answer.
        Close,
        /// Sends bytes that are not HTTP/2.
        Nonsense,
    }

    struct Frames(VecDeque<Frame<Bytes>>);

    impl hyper::body::Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }
    }

    /// Serves one connection.
    async fn serve(mut stream: TcpStream, script: Arc<Mutex<VecDeque<Step>>>) {
        if matches!(script.lock().await.front(), Some(Step::Nonsense | Step::Close)) {
            if let Some(Step::Nonsense) = script.lock().await.pop_front() {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            }
            return;
        }
        let answer = service_fn(move |request: Request<Incoming>| {
            let script = Arc::clone(&script);
            async move {
                assert_eq!(request.headers()["content-type"], "application/grpc");
                let answer = Response::builder().header("content-type", "application/grpc");
                let answer = match script.lock().await.pop_front() {
                    Some(Step::Answer(body, trailers)) => {
                        let trailers = trailers.iter().map(|(name, value)| {
                            (name.parse::<axum::http::HeaderName>().unwrap(), value.parse().unwrap())
                        });
                        let trailers: HeaderMap = trailers.collect();
                        let mut frames = VecDeque::from([Frame::data(Bytes::from_static(body))]);
                        if !trailers.is_empty() {
                            frames.push_back(Frame::trailers(trailers));
                        }
                        answer.body(Frames(frames))
                    }
                    Some(Step::Status(status)) => {
                        answer.header("grpc-status", status).body(Frames(VecDeque::new()))
                    }
                    _ => return Err("the script ends this connection"),
                };
                Ok(answer.unwrap())
            }
        });
        let _ =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
    }

    fn client(address: SocketAddr) -> Grpc {
        let url = Url::parse(&format!("http://{address}"), UrlKind::http(4317, "/a.B/C")).unwrap();
        let settings = ServerSettings { url, headers: Vec::new(), tls: None };
        Grpc::new(Server::new(&settings, &Names::none(), "h2").unwrap())
    }

    #[tokio::test]
    async fn only_a_whole_answer_acknowledges() {
        let ok = &[("grpc-status", "0")];
        let script = Arc::new(Mutex::new(VecDeque::from([
            Step::Nonsense,
            Step::Close,
            Step::Answer(b"\0\0\0\0\x01a", &[]),
            Step::Answer(b"", ok),
            Step::Answer(b"\0\0\0\0\x01a", &[("grpc-status", "14"), ("grpc-message", "full")]),
            Step::Status("3"),
            Step::Answer(b"\0\0\0\0\x01a", ok),
        ])));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut grpc = client(listener.local_addr().unwrap());
        let serving = async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                serve(stream, Arc::clone(&script)).await;
            }
        };
        let calling = async {
            for (step, wanted) in [
                ("nonsense", ""),
                ("closed", ""),
                ("no trailers", "without a status"),
                ("no message", "without a message"),
                ("unavailable", "answered UNAVAILABLE: full"),
            ] {
                let found = grpc.call(b"x").await;
                assert!(
                    matches!(&found, Err(Rest::Retry { why, .. }) if why.contains(wanted)),
                    "{step}: {found:?}"
                );
            }
            let refused = grpc.call(b"x").await;
            assert!(
                matches!(&refused, Err(Rest::Refused(why)) if why.contains("INVALID_ARGUMENT")),
                "{refused:?}"
            );
            assert_eq!(grpc.call(b"x").await.unwrap(), &b"a"[..]);
        };
        tokio::select! {
            () = serving => {}
            () = calling => {}
        }
    }
}
