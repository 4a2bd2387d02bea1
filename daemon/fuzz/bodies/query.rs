//! Bytes as the query of an HTTP request: the first byte selects the path.

use taskscope::service::http::query;

/// Every path of openapi.json that has a query, and one whose last part the client chooses.
pub(crate) const PATHS: [&str; 10] = [
    "/v1/events",
    "/v1/tree",
    "/v1/zombies",
    "/v1/explain/{pid}",
    "/v1/blocked",
    "/v1/limits",
    "/v1/deaths",
    "/v1/stops",
    "/v1/lives",
    "/v1/scopes",
];

/// One input.
pub(crate) fn run(bytes: &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let path = PATHS[usize::from(first) % PATHS.len()];
    let text = String::from_utf8_lossy(rest);
    if let Err(message) = query::read(path, &text) {
        assert!(!message.is_empty(), "{path}?{text} is refused without a reason");
        // The message contains the query at most once, escaped, and little else.
        assert!(message.len() <= 16 * text.len() + 400, "{} bytes of {}", message.len(), text.len());
    }
}
