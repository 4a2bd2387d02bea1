//! NATS `JetStream`: a message for each event, which counts as sent once a stream has acknowledged it.
//!
//! The client is `async-nats`. Two of its properties do not fit the daemon, and are avoided here:
//!
//! - It looks up names on threads that it creates when it needs them. Here it gets addresses; the thread of `client::names` looks up names.
//! - It reconnects without end, and meanwhile keeps messages that its caller has given up. Here it tries each address once; after any
//!   failure the whole client is dropped, and the next attempt makes a new one.
//!
//! TLS is not supported: for TLS, `async-nats` reads all certificates of the system even if others are configured, and the sandbox
//! forbids that.

use std::{
    future::IntoFuture as _,
    path::{Path, PathBuf},
    time::Duration,
};

use async_nats::{
    ConnectErrorKind, ConnectOptions, Event, ServerAddr,
    jetstream::{
        self, Context,
        context::{PublishError, PublishErrorKind},
        message::PublishMessage,
    },
};
use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{Outcome, Rest, client::Names, message::Message};
use crate::{
    bounded,
    outputs::{spill::Record, url::Url},
};

/// How long connecting takes at most, and how long the stream may take to acknowledge.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest file with credentials, bytes.
const CREDENTIALS_MAX: usize = 64 << 10;

/// The client of one server.
#[derive(Debug)]
pub(in crate::outputs) struct Nats {
    url: Url,
    names: Names,
    credentials: Option<PathBuf>,
    connection: Option<Connection>,
}

/// A client, and whether it has lost its connection.
#[derive(Debug)]
struct Connection {
    context: Context,
    is_lost: watch::Receiver<bool>,
}

impl Nats {
    pub(in crate::outputs) const fn new(url: Url, names: Names, credentials: Option<PathBuf>) -> Self {
        Self { url, names, credentials, connection: None }
    }

    /// Publishes records, and waits until a stream has acknowledged them.
    pub(in crate::outputs) async fn send(&mut self, records: &[Record]) -> Outcome {
        let mut connection = match self.connection.take().filter(|kept| !*kept.is_lost.borrow()) {
            Some(kept) => kept,
            None => match self.connect().await {
                Ok(made) => made,
                Err(why) => return Outcome { accepted: 0, rest: self.retry(&why) },
            },
        };
        let outcome = self.publish(&mut connection, records).await;
        // After a failure the client may still publish messages later; the stream recognises them by their id.
        if matches!(outcome.rest, Rest::None | Rest::Refused(_)) {
            self.connection = Some(connection);
        }
        outcome
    }

    async fn publish(&self, connection: &mut Connection, records: &[Record]) -> Outcome {
        let Connection { context, is_lost } = connection;
        let (mut waiting, mut failure) = (Vec::with_capacity(records.len()), None);
        for record in records {
            let Some(Message { subject, id, document }) = Message::of(&record.bytes) else {
                failure =
                    Some(Rest::Refused("the spill file has a record from another type of output".into()));
                break;
            };
            let message = PublishMessage::build().message_id(id).payload(document);
            match context.send_publish(subject.clone(), message).await {
                Ok(acknowledgement) => waiting.push((subject, acknowledgement)),
                Err(error) => {
                    failure = Some(self.failed(&subject, &error));
                    break;
                }
            }
        }
        let mut accepted = 0;
        // One limit for all: a stream that acknowledges slowly would otherwise get messages again after the time in which it
        // recognises their ids.
        let end = Instant::now() + ANSWER_TIMEOUT;
        for (subject, acknowledgement) in waiting {
            // The client does not end the wait for an acknowledgement when it loses the connection.
            let answered = select! {
                biased;
                answered = acknowledgement.into_future() => answered,
                () = sleep_until(end) => return Outcome { accepted, rest: self.retry(&no_answer()) },
                _ = is_lost.wait_for(|is_lost| *is_lost) => {
                    let rest = self.retry("the server closed the connection before it acknowledged");
                    return Outcome { accepted, rest };
                }
            };
            match answered {
                Ok(_) => accepted += 1,
                Err(error) => return Outcome { accepted, rest: self.failed(&subject, &error) },
            }
        }
        Outcome { accepted, rest: failure.unwrap_or(Rest::None) }
    }

    async fn connect(&self) -> Result<Connection, String> {
        let Url { host, port, .. } = &self.url;
        let found = match self.url.ip() {
            Some(ip) => vec![ip],
            None => self.names.find(host).await?,
        };
        let addresses = found.iter().map(|ip| match ip {
            std::net::IpAddr::V4(ip) => format!("nats://{ip}:{port}"),
            std::net::IpAddr::V6(ip) => format!("nats://[{ip}]:{port}"),
        });
        let addresses: Result<Vec<ServerAddr>, _> = addresses.map(|address| address.parse()).collect();
        let addresses = addresses.map_err(|error| error.to_string())?;
        let (lost, is_lost) = watch::channel(false);
        let options = self
            .options()?
            .event_callback(move |event| {
                if matches!(event, Event::Disconnected | Event::Closed) {
                    lost.send_replace(true);
                }
                std::future::ready(())
            })
            .name(concat!("taskscope/", env!("CARGO_PKG_VERSION")))
            .connection_timeout(ANSWER_TIMEOUT)
            .max_reconnects(addresses.len())
            .retain_servers_order()
            // The sandbox allows connections to the configured port only.
            .ignore_discovered_servers();
        let connecting = options.connect(addresses);
        let client = timeout(ANSWER_TIMEOUT, connecting).await.map_err(|_| no_answer())?;
        let client = client.map_err(|error| match error.kind() {
            ConnectErrorKind::Tls => {
                "requires TLS, which taskscope does not support for NATS: send to a leaf node on this host"
                    .to_owned()
            }
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                format!("does not accept the client (`credentials`): {error}")
            }
            _ => format!("connecting to port {port}: {error}"),
        })?;
        let mut context = jetstream::new(client);
        context.set_timeout(ANSWER_TIMEOUT);
        Ok(Connection { context, is_lost })
    }

    /// Returns options with the credentials, which are read for each connection, so that they can be renewed.
    fn options(&self) -> Result<ConnectOptions, String> {
        let Some(file) = &self.credentials else { return Ok(ConnectOptions::new()) };
        let text = credentials(file)?;
        if let Some((user, password)) = user_and_password(&text) {
            return Ok(ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned()));
        }
        ConnectOptions::with_credentials(&text).map_err(|error| format!("{}: {error}", file.display()))
    }

    /// Returns what happens to a record that was not acknowledged.
    fn failed(&self, subject: &str, error: &PublishError) -> Rest {
        match error.kind() {
            PublishErrorKind::StreamNotFound => self.retry(&format!(
                "no stream of JetStream has the subject {subject}: nats stream add TASKSCOPE --subjects 'taskscope.>' --defaults"
            )),
            PublishErrorKind::TimedOut => self.retry(&no_answer()),
            PublishErrorKind::MaxPayloadExceeded => {
                Rest::Refused(format!("{}: the message for {subject} is too long: {error}", self.url.text))
            }
            _ => self.retry(&format!("publishing {subject}: {error}")),
        }
    }

    fn retry(&self, why: &str) -> Rest {
        Rest::Retry { why: format!("{}: {why}", self.url.text), after: None }
    }
}

fn no_answer() -> String {
    format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())
}

/// Reads a file with credentials.
fn credentials(file: &Path) -> Result<String, String> {
    let bytes = bounded::read(file, CREDENTIALS_MAX)
        .map_err(|error| format!("reading {}: {error}", file.display()))?;
    String::from_utf8(bytes).map_err(|_| format!("{} is not text in UTF-8", file.display()))
}

/// Returns the two parts of one line `USER:PASSWORD`; `None` for a file of `nsc` with a JWT.
fn user_and_password(text: &str) -> Option<(&str, &str)> {
    let line = text.trim_end_matches(['\r', '\n']);
    line.split_once(':').filter(|(user, _)| !user.is_empty() && !line.contains(['\r', '\n']))
}

/// Reads the credentials to find errors in them.
pub(super) fn check(file: &Path) -> Result<(), String> {
    let text = credentials(file)?;
    if user_and_password(&text).is_none() {
        ConnectOptions::with_credentials(&text).map_err(|error| {
            format!("{} has neither one line USER:PASSWORD nor credentials of NATS: {error}", file.display())
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_a_line_or_a_file_of_nats() {
        assert_eq!(user_and_password("me:a:b\n"), Some(("me", "a:b")));
        for other in ["", ":x", "me", "-----BEGIN NATS USER JWT-----\na:b\n"] {
            assert_eq!(user_and_password(other), None, "{other}");
        }
        let path = std::env::temp_dir().join(format!("taskscope-nats-{}", std::process::id()));
        std::fs::write(&path, "nothing\n").unwrap();
        let error = check(&path).unwrap_err();
        std::fs::write(&path, "me:secret\n").unwrap();
        assert_eq!(check(&path), Ok(()));
        std::fs::remove_file(&path).unwrap();
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert!(check(&path).unwrap_err().contains("reading"));
    }
}
