//! One daemon over TCP, for the view of a single host.

use std::time::Duration;

use hyper::{Response, body::Incoming};
use serde::de::DeserializeOwned;

use super::{
    access::Access,
    client::{self, Failure, Session},
    hosts::Host,
};
use crate::answer::fleet::ErrorKind;

/// The most bytes of an answer: the tree of a host with some 200,000 processes.
const ANSWER_MAX: usize = 64 << 20;

/// A daemon of another host.
#[derive(Clone)]
pub(in crate::cli) struct Remote {
    pub(super) access: Access,
    pub(super) host: Host,
}

impl Remote {
    /// Returns the name of its host.
    pub(in crate::cli) fn name(&self) -> &str {
        &self.host.name
    }

    /// Gets an answer.
    pub(in crate::cli) async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        Ok(self.answer(path, false).await?.0)
    }

    /// Gets an answer that another viewer may have got within the last second. Also returns for how long the daemon will repeat it.
    pub(in crate::cli) async fn shared_json<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<(T, Duration), Failure> {
        self.answer(path, true).await
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        path: &str,
        is_shared: bool,
    ) -> Result<(T, Duration), Failure> {
        let Self { access, host } = self;
        let asking = async {
            let mut session = Session::start(access, host, client::addresses(host).await?).await?;
            session.is_shared = is_shared;
            session.get_lasting(path, ANSWER_MAX).await
        };
        let (text, lasts) = client::within(access, asking).await?;
        Ok((parsed(&text)?, lasts))
    }

    /// Opens a stream of lines.
    pub(in crate::cli) async fn stream(&self, path: &str) -> Result<Response<Incoming>, Failure> {
        let Self { access, host } = self;
        let opening = async {
            let mut session = Session::start(access, host, client::addresses(host).await?).await?;
            session.send(path, "application/x-ndjson").await
        };
        client::within(access, opening).await
    }
}

/// Parses an answer.
pub(super) fn parsed<T: DeserializeOwned>(text: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(text).map_err(|error| {
        let message = format!("its answer is not that of a taskscope of this version: {error}");
        Failure::new(ErrorKind::Nonsense, message)
    })
}

impl Failure {
    /// Whether the daemon itself refused this request; it may answer the next one.
    pub(in crate::cli) const fn is_refusal(&self) -> bool {
        matches!(self.kind, ErrorKind::Status | ErrorKind::NotFound | ErrorKind::TooLarge)
    }
}
