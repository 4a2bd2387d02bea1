//! The address of a server, as the configuration names it.

use std::net::IpAddr;

use axum::http::{HeaderName, HeaderValue, Uri, uri::Authority};

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// The text of the configuration.
    pub text: String,
    /// Whether the connection uses TLS.
    pub(super) is_secure: bool,
    /// Name or address of the host, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// For the header `host`.
    pub(super) authority: Authority,
    pub(super) path: String,
}

/// The kind of a server's address: its schemes, and what a text without port or path means.
#[derive(Clone, Copy, Debug)]
pub(super) struct UrlKind {
    /// The scheme without TLS and the port that it stands for.
    pub(super) plain: (&'static str, u16),
    /// The scheme with TLS and the port that it stands for.
    pub(super) secure: (&'static str, u16),
    pub(super) path: &'static str,
}

impl UrlKind {
    /// An address that begins with `http://` or `https://`; both stand for the same port.
    pub(super) const fn http(port: u16, path: &'static str) -> Self {
        Self { plain: ("http", port), secure: ("https", port), path }
    }
}

impl Url {
    /// Parses `http://host:port/path`.
    pub(super) fn parse(text: &str, kind: UrlKind) -> Result<Self, String> {
        let (scheme, port) = kind.plain;
        let example = || format!("`{text}` is not an address such as {scheme}://127.0.0.1:{port}");
        let uri: Uri = text.parse().map_err(|_| example())?;
        let own = uri.scheme_str().unwrap_or_default();
        let known = [(kind.plain, false), (kind.secure, true)];
        let found = known.into_iter().find(|((scheme, _), _)| *scheme == own);
        let ((_, port), is_secure) = found.ok_or_else(example)?;
        let authority = uri.authority().cloned().ok_or_else(example)?;
        if authority.as_str().contains('@') {
            return Err(
                "has a user name or password; use `headers` or, for NATS, `credentials` instead".into()
            );
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(example());
        }
        let own = uri.path_and_query().map_or("", |path| path.as_str());
        let path = if own.is_empty() || own == "/" { kind.path } else { own };
        let port = authority.port_u16().unwrap_or(port);
        Ok(Self { text: text.to_owned(), is_secure, host, port, authority, path: path.to_owned() })
    }

    /// The host's address, unless it is a name.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Parses a header such as `X-Scope-OrgID: 7`.
pub(super) fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || format!("`{text}` is not a header such as `X-Scope-OrgID: 7`");
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
    let value = HeaderValue::try_from(value.trim()).map_err(|_| wrong())?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGS: UrlKind = UrlKind::http(4318, "/v1/logs");

    #[test]
    fn an_address_without_a_path_gets_the_usual_one() {
        let url = |text| Url::parse(text, LOGS).unwrap();
        assert_eq!((url("http://h").port, url("http://h/").path.as_str()), (4318, "/v1/logs"));
        assert_eq!((url("http://[::1]:9/x").ip(), url("http://[::1]:9/x").port), ("::1".parse().ok(), 9));
        assert_eq!(url("http://otel.example/otlp/v1/logs?a=b").path, "/otlp/v1/logs?a=b");
        assert_eq!(url("http://otel.example").ip(), None);
        assert_eq!((url("https://h").port, url("https://h").is_secure), (4318, true));
        assert!(!url("http://h").is_secure && url("HTTPS://h").is_secure);
    }

    #[test]
    fn what_cannot_be_reached_is_refused_with_a_reason() {
        for (text, why) in [
            ("h:4318", "such as http://"),
            ("unix:/run/x", "such as http://"),
            ("nats://h", "such as http://"),
            ("http://me:secret@h", "headers"),
            ("http://", "such as http://"),
            ("", "such as http://"),
        ] {
            let error = Url::parse(text, LOGS).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(header("nothing").is_err() && header("a b: c").is_err() && header("A: b\n").is_ok());
    }
}
