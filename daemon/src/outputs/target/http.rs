//! Any server that takes JSON documents, one a line, by POST: Vector, `VictoriaLogs` and others.

use super::{Outcome, Rest, client::Client};
use crate::outputs::spill::Record;

/// The media type of NDJSON, by its specification (github.com/ndjson/ndjson-spec).
const CONTENT_TYPE: &str = "application/x-ndjson";

/// The client of one server.
#[derive(Debug)]
pub(in crate::outputs) struct Http {
    client: Client,
}

impl Http {
    pub(in crate::outputs) const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Sends records as one request. Any status of success acknowledges them.
    pub(in crate::outputs) async fn send(&mut self, records: &[Record]) -> Outcome {
        let mut body = Vec::with_capacity(records.iter().map(|record| record.bytes.len()).sum());
        for record in records {
            body.extend_from_slice(&record.bytes);
        }
        match self.client.post(body.into(), CONTENT_TYPE).await {
            Ok(answer) => answer.outcome(records.len()),
            Err(why) => Outcome { accepted: 0, rest: Rest::Retry { why, after: None } },
        }
    }
}
