//! What a server answered over HTTP, and what that means for the records.

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};

use super::shown;
use crate::outputs::target::{Outcome, Rest};

/// An answer.
#[derive(Debug)]
pub(in crate::outputs) struct Answer {
    pub(in crate::outputs) status: StatusCode,
    pub(in crate::outputs) retry_after: Option<Duration>,
    /// The body; `None` if it is too long or did not end in time.
    pub(in crate::outputs) body: Option<Bytes>,
    /// Whether the body is HTML.
    is_html: bool,
}

impl Answer {
    pub(super) fn new(status: StatusCode, headers: &HeaderMap, body: Option<Bytes>) -> Self {
        let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let is_html = kind.get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"text/html"));
        let retry_after = headers.get(header::RETRY_AFTER).and_then(retry_after);
        Self { status, retry_after, body, is_html }
    }

    /// Returns the outcome of `count` records from the answer to them.
    pub(in crate::outputs) fn outcome(&self, count: usize) -> Outcome {
        if self.status.is_success() {
            return Outcome { accepted: count, rest: Rest::None };
        }
        let why = format!("answered {}: {}", self.status, shown(self.body.as_deref().unwrap_or_default()));
        // RFC 9110: these say that the same request can succeed later; a redirection or 404 is often a server that is being started.
        let is_for_now = self.status.is_server_error()
            || self.status.is_redirection()
            || self.status.is_informational()
            || matches!(self.status.as_u16(), 401 | 403 | 404 | 408 | 425 | 429)
            // No target answers in HTML. nginx does so, for example to a client without a certificate.
            || (self.is_html && self.status == StatusCode::BAD_REQUEST);
        let rest = if is_for_now { Rest::Retry { why, after: self.retry_after } } else { Rest::Refused(why) };
        Outcome { accepted: 0, rest }
    }
}

/// Parses `Retry-After`: seconds, or a date.
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = at.duration_since(jiff::Timestamp::now());
    Some(Duration::from_secs(u64::try_from(wait.as_secs()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: None,
            body: Some(Bytes::from_static(b"no\n\x1b[m")),
            is_html: false,
        }
    }

    #[test]
    fn what_can_succeed_later_is_tried_again_and_nothing_else() {
        assert!(matches!(answer(202).outcome(3), Outcome { accepted: 3, rest: Rest::None }));
        for status in [301, 404, 408, 429, 500, 502, 503, 504] {
            assert!(matches!(answer(status).outcome(3).rest, Rest::Retry { .. }), "{status}");
        }
        for status in [400, 405, 413, 415, 422] {
            let Rest::Refused(why) = answer(status).outcome(3).rest else { panic!("{status}") };
            assert!(why.ends_with("no  [m"), "{why:?}");
        }
        // A proxy in front of the target.
        for (status, is_retried) in [(400, true), (413, false)] {
            let of_proxy = Answer { is_html: true, ..answer(status) };
            assert_eq!(matches!(of_proxy.outcome(3).rest, Rest::Retry { .. }), is_retried, "{status}");
        }
    }

    #[test]
    fn a_server_can_ask_for_a_pause_in_seconds_or_until_a_date() {
        let after = |text: &str| retry_after(&HeaderValue::from_str(text).unwrap());
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::ZERO));
        assert!(after("Fri, 31 Dec 2100 23:59:59 GMT").unwrap() > Duration::from_secs(1_000_000));
        assert_eq!(after("soon"), None);
    }
}
