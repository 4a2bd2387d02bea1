//! Clients of servers. They create no thread: a thread that was created at the start looks up names.
//!
//! - `connect`: TCP, and TLS if the address asks for it; `names`: addresses of hosts; `tls`: certificates and keys
//! - `http`: sends bodies over HTTP/1.1; `answer`: what the answers mean
//! - `grpc`: calls a method of gRPC over HTTP/2; `grpc_reply`: what the answers mean

mod answer;
mod connect;
#[cfg(feature = "grpc")]
mod grpc;
#[cfg(feature = "grpc")]
mod grpc_reply;
mod http;
mod names;
mod tls;

use std::time::Duration;

#[cfg(feature = "grpc")]
pub(in crate::outputs) use self::grpc::Grpc;
pub(in crate::outputs) use self::{connect::Server, http::Client, names::Names, tls::check};

/// How long connecting and a request may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of an answer that are read.
const ANSWER_MAX: usize = 64 << 10;

/// The longest part of an answer that an error shows.
const SHOWN: usize = 200;

/// Returns the beginning of a text of the server, without characters that change how a terminal or a log shows it.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text.get(..SHOWN.min(text.len())).unwrap_or_default());
    let text: String = text.chars().map(|c| if crate::export::is_unsafe(c) { ' ' } else { c }).collect();
    text.trim().to_owned()
}

/// Returns an error with its causes.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
