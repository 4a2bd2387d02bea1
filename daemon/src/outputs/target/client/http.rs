//! A client of one server over HTTP/1.1, which keeps its connection.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{Request, header},
};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::{ANSWER_MAX, ANSWER_TIMEOUT, answer::Answer, connect::Server};

/// How long the body of an answer may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The client of one server.
#[derive(Debug)]
pub(in crate::outputs) struct Client {
    server: Server,
    connection: Option<SendRequest<Body>>,
}

impl Client {
    pub(in crate::outputs) const fn new(server: Server) -> Self {
        Self { server, connection: None }
    }

    /// Sends a body. After an error it is unknown whether the server has processed it.
    pub(in crate::outputs) async fn post(
        &mut self,
        body: Bytes,
        content_type: &'static str,
    ) -> Result<Answer, String> {
        let answered = match timeout(ANSWER_TIMEOUT, self.try_post(body, content_type)).await {
            Ok(answered) => answered,
            Err(_) => Err(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
        };
        answered.map_err(|why| {
            self.connection = None;
            format!("{}: {why}", self.server.url.text)
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
        let server = &self.server;
        let mut request = Request::post(server.url.path.as_str())
            .header(header::HOST, server.url.authority.as_str())
            .header(header::CONTENT_LENGTH, body.len())
            .header(header::USER_AGENT, concat!("taskscope/", env!("CARGO_PKG_VERSION")));
        if !server.headers.iter().any(|(name, _)| name == header::CONTENT_TYPE) {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        for (name, value) in &server.headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(body)).map_err(|error| error.to_string())?;
        let answer = connection.send_request(request).await.map_err(|error| server.failed(&error))?;
        let (head, body) = answer.into_parts();
        // The status says what has happened to the records. A body that is too long or does not end changes nothing about that.
        let body = timeout(BODY_TIMEOUT, to_bytes(Body::new(body), ANSWER_MAX)).await;
        let body = body.ok().and_then(Result::ok);
        if body.is_some() {
            self.connection = Some(connection);
        }
        Ok(Answer::new(head.status, &head.headers, body))
    }

    async fn connect(&mut self) -> Result<SendRequest<Body>, String> {
        let stream = self.server.connect().await?;
        let made = handshake(TokioIo::new(stream)).await;
        let (sender, connection) = made.map_err(|error| self.server.failed(&error))?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::outputs::{
        ServerSettings,
        target::client::Names,
        url::{Url, UrlKind},
    };

    #[tokio::test]
    async fn a_success_with_a_body_that_is_too_long_is_a_success() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let text = format!("http://{}", listener.local_addr().unwrap());
        let url = Url::parse(&text, UrlKind::http(80, "/")).unwrap();
        let settings = ServerSettings { url, headers: Vec::new(), tls: None };
        let mut client = Client::new(Server::new(&settings, &Names::none(), "http/1.1").unwrap());
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await.unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 4 * ANSWER_MAX);
            stream.write_all(head.as_bytes()).await.unwrap();
            let _ = stream.write_all(&vec![b'x'; 4 * ANSWER_MAX]).await;
        };
        let (answer, ()) = tokio::join!(client.post(Bytes::from_static(b"{}\n"), "text/plain"), serving);
        let answer = answer.unwrap();
        assert!(answer.body.is_none() && client.connection.is_none());
        assert_eq!(answer.outcome(3).accepted, 3);
    }
}
