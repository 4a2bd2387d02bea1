//! What an answer by gRPC means for the records.
//!
//! The OpenTelemetry protocol says which codes are temporary (opentelemetry.io/docs/specs/otlp, "OTLP/gRPC Response"). As over HTTP,
//! events also wait while the server refuses the client or does not have the method, until somebody corrects the configuration.

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
};
use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use prost::Message;

use super::{answer::Answer, grpc::FRAME_HEAD, shown};
use crate::outputs::target::Rest;

/// Names of the codes (grpc.io/docs/guides/status-codes), by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Codes after which the same request can succeed.
const TEMPORARY: [&str; 9] = [
    "CANCELLED",
    "DEADLINE_EXCEEDED",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNAVAILABLE",
    "DATA_LOSS",
    // These three are not temporary by the specification: see above.
    "PERMISSION_DENIED",
    "UNIMPLEMENTED",
    "UNAUTHENTICATED",
];

/// `google.rpc.Status`, in the trailer `grpc-status-details-bin`.
#[derive(Clone, PartialEq, Message)]
struct StatusDetails {
    #[prost(message, repeated, tag = "3")]
    details: Vec<AnyDetail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct AnyDetail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// A message that is shorter is not too large for a server.
const SMALL: usize = 64 << 10;

/// Returns the message of an answer to a message of `sent` bytes, or what has to happen to the records.
pub(super) fn reply(
    answer: &Response<Bytes>,
    trailers: Option<&HeaderMap>,
    sent: usize,
) -> Result<Bytes, Rest> {
    let headers = answer.headers();
    if answer.status() != StatusCode::OK {
        // A proxy, or a server that has no gRPC.
        return Err(Answer::new(answer.status(), headers, Some(answer.body().clone())).outcome(1).rest);
    }
    let wrong =
        |why: &str| Err(Rest::Retry { why: format!("{why}: it may not be a collector"), after: None });
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if !kind.starts_with(b"application/grpc") {
        return wrong("answered with success, but not by gRPC");
    }
    // An answer without a message has its status among the headers.
    let field = |name: &str| trailers.and_then(|all| all.get(name)).or_else(|| headers.get(name));
    let code = field("grpc-status").and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let Some(code) = code else { return wrong("answered by gRPC without a status") };
    if code == 0 {
        return message(answer.body()).map_or_else(|| wrong("answered by gRPC without a message"), Ok);
    }
    let name = CODES.get(code).copied().unwrap_or("a code that gRPC does not have");
    let said = field("grpc-message").map(|text| shown(&percent_decoded(text.as_bytes()))).unwrap_or_default();
    let why = format!("answered {name}: {said}");
    let after = field("grpc-status-details-bin")
        .and_then(retry_delay)
        .or_else(|| pushback(field("grpc-retry-pushback-ms")?));
    // A server that says when to try again is overloaded; without that, the message may be too large for it.
    let is_overload = name == "RESOURCE_EXHAUSTED" && (after.is_some() || sent < SMALL);
    if is_overload || TEMPORARY.contains(&name) {
        Err(Rest::Retry { why, after })
    } else {
        Err(Rest::Refused(why))
    }
}

/// Returns the only message of a body.
fn message(body: &Bytes) -> Option<Bytes> {
    let head = body.get(..FRAME_HEAD)?;
    let (is_compressed, length) = head.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    let is_whole = *is_compressed == 0 && body.len() == FRAME_HEAD + usize::try_from(length).ok()?;
    is_whole.then(|| body.slice(FRAME_HEAD..))
}

/// Returns the delay of `RetryInfo`.
fn retry_delay(value: &HeaderValue) -> Option<Duration> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decoded = GeneralPurpose::new(&base64::alphabet::STANDARD, lenient).decode(value.as_bytes()).ok()?;
    let status = StatusDetails::decode(&decoded[..]).ok()?;
    let info = status.details.into_iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value).ok()?.delay?;
    Some(Duration::new(u64::try_from(delay.seconds).ok()?, u32::try_from(delay.nanos).ok()?.min(999_999_999)))
}

/// Returns the delay of `grpc-retry-pushback-ms`.
fn pushback(value: &HeaderValue) -> Option<Duration> {
    value.to_str().ok()?.parse().ok().map(Duration::from_millis)
}

/// Decodes `%XX`, as `grpc-message` has it. Anything else stays as it is.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let digits =
            after.get(..2).filter(|digits| *first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, fields: &[(&str, &str)], body: &[u8]) -> Response<Bytes> {
        let mut answer = Response::builder().status(status);
        for (name, value) in fields {
            answer = answer.header(*name, *value);
        }
        answer.body(Bytes::copy_from_slice(body)).unwrap()
    }

    fn trailers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    const GRPC: (&str, &str) = ("content-type", "application/grpc");

    /// The outcome of a status among the trailers.
    fn of(fields: &[(&'static str, &str)]) -> Result<Bytes, Rest> {
        reply(&answer(200, &[GRPC], b""), Some(&trailers(fields)), 2 * SMALL)
    }

    #[test]
    fn a_message_with_status_0_acknowledges() {
        let ok = trailers(&[("grpc-status", "0")]);
        let found = reply(&answer(200, &[GRPC], b"\0\0\0\0\x02ab"), Some(&ok), 1).unwrap();
        assert_eq!(found, &b"ab"[..]);
        assert_eq!(reply(&answer(200, &[GRPC], b"\0\0\0\0\0"), Some(&ok), 1).unwrap(), &b""[..]);
        // Without a message, with one that is cut off, compressed, or followed by more.
        for body in [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x02a", b"\x01\0\0\0\0", b"\0\0\0\0\x01ab"] {
            let found = reply(&answer(200, &[GRPC], body), Some(&ok), 1);
            assert!(matches!(found, Err(Rest::Retry { .. })), "{body:?}: {found:?}");
        }
    }

    #[test]
    fn an_answer_without_a_status_acknowledges_nothing() {
        let whole = b"\0\0\0\0\0";
        for (fields, status) in
            [(&[GRPC][..], None), (&[GRPC], Some("")), (&[GRPC], Some("x")), (&[GRPC], Some("-1"))]
        {
            let trailers = status.map(|status| trailers(&[("grpc-status", status)]));
            let found = reply(&answer(200, fields, whole), trailers.as_ref(), 1);
            assert!(
                matches!(&found, Err(Rest::Retry { why, .. }) if why.contains("without a status")),
                "{found:?}"
            );
        }
        for kind in ["text/html", "application/json", ""] {
            let found = reply(&answer(200, &[("content-type", kind)], b"<html>"), None, 1);
            assert!(
                matches!(&found, Err(Rest::Retry { why, .. }) if why.contains("not by gRPC")),
                "{found:?}"
            );
        }
        // The status of HTTP counts if it is not 200.
        assert!(matches!(reply(&answer(503, &[], b""), None, 1), Err(Rest::Retry { .. })));
        assert!(matches!(reply(&answer(404, &[], b""), None, 1), Err(Rest::Retry { .. })));
        assert!(matches!(reply(&answer(413, &[], b""), None, 1), Err(Rest::Refused(_))));
    }

    #[test]
    fn codes_are_temporary_or_not_as_the_protocol_says() {
        for code in [1, 4, 7, 10, 11, 12, 14, 15, 16] {
            let found = of(&[("grpc-status", &code.to_string())]);
            assert!(matches!(found, Err(Rest::Retry { after: None, .. })), "{code}: {found:?}");
        }
        for code in [2, 3, 5, 6, 8, 9, 13, 17, 99] {
            let found = of(&[("grpc-status", &code.to_string())]);
            assert!(matches!(found, Err(Rest::Refused(_))), "{code}: {found:?}");
        }
        // A quota, and not the length.
        let short = reply(&answer(200, &[GRPC], b""), Some(&trailers(&[("grpc-status", "8")])), SMALL - 1);
        assert!(matches!(short, Err(Rest::Retry { after: None, .. })), "{short:?}");
        // The status can be among the headers.
        let found = reply(
            &answer(200, &[GRPC, ("grpc-status", "14"), ("grpc-message", "full%0Aqueue%")], b""),
            None,
            1,
        );
        let Err(Rest::Retry { why, .. }) = found else { panic!("{found:?}") };
        assert_eq!(why, "answered UNAVAILABLE: full queue%");
    }

    #[test]
    fn a_server_says_when_to_try_again() {
        let info = RetryInfo { delay: Some(Delay { seconds: 7, nanos: 500_000_000 }) };
        let any = AnyDetail {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".into(),
            value: info.encode_to_vec().into(),
        };
        let status = StatusDetails { details: vec![any] }.encode_to_vec();
        let padded = base64::engine::general_purpose::STANDARD.encode(&status);
        for text in [padded.trim_end_matches('='), &padded] {
            let found = of(&[("grpc-status", "8"), ("grpc-status-details-bin", text)]);
            let wanted = Some(Duration::from_millis(7500));
            assert!(matches!(found, Err(Rest::Retry { after, .. }) if after == wanted), "{found:?}");
        }
        let found = of(&[("grpc-status", "14"), ("grpc-retry-pushback-ms", "20")]);
        assert!(matches!(found, Err(Rest::Retry { after: Some(after), .. }) if after.as_millis() == 20));
        for text in ["?", "AAAA", ""] {
            let found = of(&[("grpc-status", "8"), ("grpc-status-details-bin", text)]);
            assert!(matches!(found, Err(Rest::Refused(_))), "{text}: {found:?}");
        }
    }
}
