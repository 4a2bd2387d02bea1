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
        // A spill file can have records from an output of another type, which had this file before.
        let is_document = |record: &&Record| record.bytes.starts_with(b"{") && record.bytes.ends_with(b"\n");
        let count = records.iter().take_while(is_document).count();
        let records = records.get(..count).unwrap_or_default();
        if records.is_empty() {
            let why = "the spill file has a record from another type of output".to_owned();
            return Outcome { accepted: 0, rest: Rest::Refused(why) };
        }
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
