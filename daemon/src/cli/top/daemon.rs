//! The daemon that the view shows: that of this host over its socket, or that of another host over TCP.

use std::time::Duration;

use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use crate::{
    cli::{
        client::{Client, ClientError},
        fleet::{Failure, Remote},
    },
    service::INSTANCE,
};

/// A daemon, and how it is reached.
pub(super) enum Daemon {
    /// Over its socket.
    Local(Client),
    /// Over TCP.
    Remote(Remote),
}

/// Why a request failed.
pub(super) enum AskError {
    /// The daemon refuses it, for example because it is busy.
    Refused(String),
    /// No daemon answers.
    Gone(String),
}

impl AskError {
    /// Returns the message.
    pub(super) fn message(self) -> String {
        let (Self::Refused(message) | Self::Gone(message)) = self;
        message
    }
}

impl From<ClientError> for AskError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused { status, message } => Self::Refused(format!("{status}: {message}")),
            other => Self::Gone(other.to_string()),
        }
    }
}

impl From<Failure> for AskError {
    fn from(failure: Failure) -> Self {
        if failure.is_refusal() { Self::Refused(failure.message) } else { Self::Gone(failure.message) }
    }
}

impl Daemon {
    /// Returns the name of its host, if it is not this one.
    pub(super) fn host(&self) -> Option<&str> {
        match self {
            Self::Local(_) => None,
            Self::Remote(remote) => Some(remote.name()),
        }
    }

    /// Gets an answer that viewers share; also returns for how long the daemon will repeat it.
    pub(super) async fn shared<T: DeserializeOwned>(&self, path: &str) -> Result<(T, Duration), AskError> {
        match self {
            Self::Local(client) => Ok(client.shared_json(path).await?),
            Self::Remote(remote) => Ok(remote.shared_json(path).await?),
        }
    }

    /// Gets an answer.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AskError> {
        match self {
            Self::Local(client) => Ok(client.json(path).await?),
            Self::Remote(remote) => Ok(remote.json(path).await?),
        }
    }

    /// Opens a stream; returns the instance of the daemon, and the body.
    pub(super) async fn stream(&self, path: &str) -> Result<(String, Incoming), AskError> {
        let answer = match self {
            Self::Local(client) => client.get(path, "application/x-ndjson").await?,
            Self::Remote(remote) => remote.stream(path).await?,
        };
        let instance = answer.headers().get(INSTANCE).and_then(|value| value.to_str().ok());
        Ok((instance.unwrap_or_default().to_owned(), answer.into_body()))
    }
}
