//! Content negotiation: which of the formats that a client accepts it gets.

use axum::http::{HeaderMap, HeaderName, header};

/// Returns the values of a header that is a list, in lower case, with their weights. Parameters besides the weight stay.
fn weighted(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = (String, f32)> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|item| {
        let mut weight = 1.0;
        let parts = item.split(';').map(|part| part.trim().to_ascii_lowercase()).filter(|part| {
            let Some(given) = part.strip_prefix("q=") else { return true };
            weight = given.parse().unwrap_or(0.0);
            false
        });
        let value = parts.collect::<Vec<_>>().join(";");
        (value, weight)
    })
}

/// Whether a client accepts answers that are compressed by gzip.
pub(super) fn gzip(headers: &HeaderMap) -> bool {
    let (mut named, mut any) = (None, None);
    for (coding, weight) in weighted(headers, header::ACCEPT_ENCODING) {
        match coding.as_str() {
            "gzip" | "x-gzip" => named = Some(weight),
            "*" => any = Some(weight),
            _ => {}
        }
    }
    named.or(any).is_some_and(|weight| weight > 0.0)
}

/// Whether a client prefers the `OpenMetrics` format 1.0.0 or 0.0.1 to the older text format. The daemon writes 1.0.0.
pub(super) fn open_metrics(headers: &HeaderMap) -> bool {
    let (mut open, mut text) = (0.0_f32, 0.0_f32);
    for (kind, weight) in weighted(headers, header::ACCEPT) {
        let (name, parameters) = kind.split_once(';').unwrap_or((&kind, ""));
        let version = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("version="));
        match name {
            "application/openmetrics-text" if matches!(version, None | Some("1.0.0" | "0.0.1")) => {
                open = open.max(weight);
            }
            "text/plain" => text = text.max(weight),
            _ => {}
        }
    }
    open > 0.0 && open >= text
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn gzip_is_sent_to_those_who_accept_it() {
        for (value, expected) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("GZIP", true),
            ("*", true),
            ("*;q=0", false),
            ("gzip;q=0, *", false),
            ("gzip;q=none", false),
            ("br, identity", false),
            ("", false),
        ] {
            assert_eq!(gzip(&of(header::ACCEPT_ENCODING, value)), expected, "{value}");
        }
        assert!(!gzip(&HeaderMap::new()));
    }

    #[test]
    fn prometheus_gets_open_metrics_and_others_text() {
        for (value, expected) in [
            // Prometheus 2.42 and 3.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                true,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                true,
            ),
            ("application/vnd.google.protobuf;q=0.7,text/plain;version=0.0.4;q=0.3", false),
            ("application/openmetrics-text;version=2.0.0", false),
            ("application/openmetrics-text;q=0.2, text/plain", false),
            ("application/openmetrics-text;q=0", false),
            ("*/*", false),
            ("text/html,application/xhtml+xml,*/*;q=0.8", false),
        ] {
            assert_eq!(open_metrics(&of(header::ACCEPT, value)), expected, "{value}");
        }
    }
}
